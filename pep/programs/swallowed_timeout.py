import asyncio

async def worker():
    try:
        await asyncio.sleep(3600)
    finally:
        with asyncio.CancelScope(shield=True):
            await asyncio.sleep(1)

async def main():
    async with asyncio.timeout(0.5):
        async with asyncio.TaskGroup() as group:
            group.create_task(worker())
            await asyncio.sleep(0.1)
            group.cancel()
    print("no error")

asyncio.run(main())
