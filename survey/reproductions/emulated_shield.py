# switches: edge-cancel
"""A library has scopes of its own, which cancel by Task.cancel() and shield by not calling it.

So does AnyIO on asyncio.  Its scopes are level; but what they ask asyncio for once stays in force here, within the
library's shields as well, of which asyncio knows nothing.
"""

import asyncio


class Scope:
    """Cancels the task that is in it, again and again, unless it is in a shield."""
    shielded = False

    def __enter__(self):
        self.task = asyncio.current_task()
        return self

    def cancel(self):
        if not self.shielded:
            self.task.cancel()

    def __exit__(self, exc_type, exc, tb):
        self.task.uncancel()
        return exc_type is asyncio.CancelledError


async def main():
    cleaned_up = False
    with Scope() as scope:
        asyncio.get_running_loop().call_soon(scope.cancel)
        try:
            await asyncio.Event().wait()
        finally:
            scope.shielded = True  # As does CancelScope(shield=True) around this.
            await asyncio.sleep(0)
            cleaned_up = True
    assert cleaned_up


asyncio.run(main())
