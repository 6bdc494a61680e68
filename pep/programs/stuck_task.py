import asyncio

async def session(peer):
    try:
        await peer.wait()
    except asyncio.CancelledError:
        await peer.wait()               # say goodbye to a dead peer

async def main():
    task = asyncio.create_task(session(asyncio.Event()))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait([task])
    print("cancelled:", task.cancelled())

asyncio.run(main())
