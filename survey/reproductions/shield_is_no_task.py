# switches: shield
"""A limit of time for a coroutine that is shielded: on stock the wait ends at once, and the coroutine goes on."""

import asyncio


async def work(permission):
    await permission.wait()


async def main():
    permission = asyncio.Event()
    # Long after the limit; here, it is this that the wait ends with.
    asyncio.get_running_loop().call_later(0.5, permission.set)
    try:
        await asyncio.wait_for(asyncio.shield(work(permission)), 0.01)
    except TimeoutError:
        pass
    assert not permission.is_set(), 'the wait lasted for as long as the coroutine'


asyncio.run(main())
