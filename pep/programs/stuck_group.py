import asyncio

async def session(peer):
    try:
        await peer.wait()
    except asyncio.CancelledError:
        await peer.wait()               # say goodbye to a dead peer

async def check():
    raise ValueError("wrong configuration")

async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(session(asyncio.Event()))
        group.create_task(check())

asyncio.run(main())
