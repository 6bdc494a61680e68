# switches:
"""A program uses what asyncio does not offer: a private attribute that is not there any more."""

import asyncio


async def main():
    async with asyncio.timeout(10) as timeout:
        assert timeout._timeout_handler is not None


asyncio.run(main())
