# switches: background-errors
"""Several tasks fail, and are awaited one after the other by somebody who deals with the errors."""

import asyncio


async def fail():
    raise ValueError('expected')


async def main():
    tasks = [asyncio.create_task(fail()) for _ in range(2)]
    for task in tasks:
        try:
            await task  # The second one has failed by now, while nobody awaited it.
        except ValueError:
            pass
    await asyncio.sleep(0)


asyncio.run(main())
