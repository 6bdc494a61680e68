import asyncio

async def session(peer):
    try:
        await peer.wait()
    except asyncio.CancelledError:
        await peer.wait()               # say goodbye to a dead peer

async def main():
    async with asyncio.timeout(0.1):
        await session(asyncio.Event())

asyncio.run(main())
