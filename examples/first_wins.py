"""The first answer wins: TaskGroup.cancel() ends the group without an error.

Three mirrors are asked at once.  The first one to answer cancels the group, the others clean
up, and the program goes on below the group as if they had never been.
"""
import asyncio

MIRRORS = {"far": 0.5, "near": 0.02, "down": None}  # seconds to the answer


async def ask(mirror, delay):
    if delay is None:
        await asyncio.Event().wait()
    try:
        await asyncio.sleep(delay)
    finally:
        print(f"{mirror}: hung up")
    return f"the answer of {mirror}"


async def first(calls):
    """Return the result of the first of the coroutines to have one."""
    winner = None

    async def compete(call):
        nonlocal winner
        result = await call
        if winner is None:
            winner = result
            group.cancel()

    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(compete(call))
    return winner


async def main():
    async with asyncio.timeout(10):
        print(await first([ask(*mirror) for mirror in MIRRORS.items()]))
    print(f"requests to cancel that are left: {asyncio.current_task().cancelling()}")


asyncio.run(main())
