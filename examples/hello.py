"""A cancelled scope stays cancelled: level cancellation in one screen.

Stock asyncio raises CancelledError once, at one await; a program that catches it is free again.
Here cancellation is a state of a block.  Every await in it raises until the block is left, a
deadline is such a block with a time, and cleanup that has to wait says so with shield=True.
"""
import asyncio
import platform
import sys

FEATURES = ("CancelScope", "move_on_after", "move_on_at", "current_effective_deadline")


async def every_await_raises() -> None:
    with asyncio.CancelScope() as scope:
        scope.cancel("enough")
        for attempt in 1, 2, 3:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError as error:
                print(f"  await {attempt} inside: CancelledError({error})")
    await asyncio.sleep(0)
    print("  first await outside: fine again")


async def a_deadline_and_a_shield() -> None:
    with asyncio.move_on_after(0.05) as scope:
        try:
            await asyncio.sleep(3600)
        finally:
            with asyncio.CancelScope(shield=True):
                await asyncio.sleep(0.01)
                print("  shielded cleanup: took its time")
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                print("  plain cleanup: interrupted")
                raise
    print(f"  moved on: {scope.cancelled_caught}")


async def main() -> None:
    print("a cancelled scope:")
    await every_await_raises()
    print("a deadline:")
    await a_deadline_and_a_shield()


missing = [name for name in FEATURES if not hasattr(asyncio, name)]
if missing:
    sys.exit(f"Python {platform.python_version()} at {sys.executable} lacks asyncio.{', asyncio.'.join(missing)}: "
             "run this with ./build.sh run, or in the asyncbis-python image")
print(f"Python {platform.python_version()} with asyncio.{', asyncio.'.join(FEATURES)}")
asyncio.run(main())
