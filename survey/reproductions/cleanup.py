# switches: edge-cancel
"""Clean-up that awaits: the cancellation is still in force, and nothing shields the clean-up."""

import asyncio


class Connection:
    closed = False

    async def close(self):
        await asyncio.sleep(0)
        self.closed = True


async def use(connection):
    try:
        await asyncio.Event().wait()
    finally:
        # By level it takes `with asyncio.CancelScope(shield=True):` around this.
        await connection.close()


async def main():
    connection = Connection()
    task = asyncio.create_task(use(connection))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert connection.closed


asyncio.run(main())
