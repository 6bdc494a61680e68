import asyncio

async def commit():
    await asyncio.sleep(0.2)
    print("committed")

async def main():
    try:
        async with asyncio.timeout(0.1):
            await asyncio.shield(commit())
    except TimeoutError:
        pass
    print("connection closed")

asyncio.run(main())
