# switches: edge-cancel
"""A task catches its CancelledError, takes it for dealt with, and goes on waiting."""

import asyncio


async def worker(release):
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        # "Resistant": there is something to be finished first.  By level, this await is cancelled as well.
        await release.wait()
    return 'finished'


async def main():
    release = asyncio.Event()
    task = asyncio.create_task(worker(release))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    release.set()
    assert await task == 'finished'


asyncio.run(main())
