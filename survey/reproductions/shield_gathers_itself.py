# switches: shield
"""What is shielded cancels the task that called it and gathers it, as aiormq's FutureStore.reject_all() does.

On stock it is another task that waits.  Here the task waits for its own end: the request is in force inside the shield (5.9)
and is passed on to gather(), which passes it on to the task, and so on, until a RecursionError ends the step.
"""

import asyncio
import os


async def main():
    async def reject_all():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def member():
        await asyncio.shield(reject_all())

    task = asyncio.create_task(member())
    done, _ = await asyncio.wait([task], timeout=0.5)
    if not done:
        os._exit(1)  # It never ends; nor would run().


asyncio.run(main())
