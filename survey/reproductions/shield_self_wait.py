# switches: shield
"""What is shielded waits for all tasks of a set to end, and one of them is the task that called it.

On stock it is another task that waits.  Here it is the caller itself, which waits for its own end, under a shield.
"""

import asyncio
import os


async def main():
    tasks = set()

    async def wait_for_all():
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def member():
        await asyncio.shield(wait_for_all())

    tasks.add(asyncio.create_task(member()))
    done, _ = await asyncio.wait(tasks, timeout=0.5)
    if not done:
        os._exit(1)  # It never ends; nor would run().


asyncio.run(main())
