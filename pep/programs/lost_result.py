import asyncio

async def main():
    loop = asyncio.get_running_loop()
    when = loop.time() + 0.1
    waiter = loop.create_future()       # of a pool of connections
    loop.call_at(when, waiter.set_result, "a connection")
    try:
        async with asyncio.timeout_at(when):
            print("got", await waiter)
    except TimeoutError:
        print("lost", waiter.result())

asyncio.run(main())
