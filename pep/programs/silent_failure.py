import asyncio

async def consume(queue):
    while True:
        print(1 / await queue.get())

async def main():
    queue = asyncio.Queue(maxsize=1)
    consumer = asyncio.create_task(consume(queue))
    for number in 2, 0, 4, 5, 6:
        await queue.put(number)
    consumer.cancel()

asyncio.run(main())
