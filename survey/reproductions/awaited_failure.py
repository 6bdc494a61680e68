# switches: background-errors unretrieved-only
"""A task of create_task() fails, and somebody waits for it, who deals with the error."""

import asyncio


async def fail():
    raise ValueError('expected')


async def main():
    task = asyncio.create_task(fail())
    try:
        await task
    except ValueError:
        await asyncio.sleep(0)
        return 'dealt with'


assert asyncio.run(main()) == 'dealt with'
