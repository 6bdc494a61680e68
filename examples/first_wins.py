"""The first answer wins: TaskGroup.cancel() ends the group without an error.

Three mirrors are asked at once.  The first one to answer cancels the group, the others clean
up, and the program goes on below the group as if they had never been.
"""
import asyncio
from collections.abc import Awaitable, Iterable

MIRRORS = {"far": 0.5, "near": 0.02, "down": 3600}  # seconds to the answer


async def ask(mirror: str, delay: float) -> str:
    try:
        await asyncio.sleep(delay)
    finally:
        print(f"{mirror}: hung up")
    return f"the answer of {mirror}"


async def first[T](calls: Iterable[Awaitable[T]]) -> T | None:
    """Return the result of the first of the coroutines to have one."""
    winner: T | None = None

    async def compete(call: Awaitable[T]) -> None:
        nonlocal winner
        result = await call
        if winner is None:
            winner = result
            group.cancel()

    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(compete(call))
    return winner


async def main() -> None:
    async with asyncio.timeout(10):
        print(await first([ask(*mirror) for mirror in MIRRORS.items()]))
    if task := asyncio.current_task():
        print(f"requests to cancel that are left: {task.cancelling()}")


asyncio.run(main())
