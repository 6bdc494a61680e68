# switches: background-errors
"""A task in the background fails, and nobody asks what has become of it."""

import asyncio


async def background():
    raise ValueError('nobody has ever seen this but in the log')


async def main():
    task = asyncio.create_task(background())
    await asyncio.sleep(0.01)
    assert task.done()


asyncio.run(main())
