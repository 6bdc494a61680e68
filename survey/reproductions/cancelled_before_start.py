# switches: edge-cancel
"""A task is cancelled before it has started."""

import asyncio


async def main():
    started = False

    async def work():
        nonlocal started
        started = True

    task = asyncio.create_task(work())
    task.cancel()
    await asyncio.wait([task])
    assert not started


asyncio.run(main())
