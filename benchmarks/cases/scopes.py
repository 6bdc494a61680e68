"""Entering and exiting scopes and timeouts that have no deadline, or one that is far away."""

import asyncio

from benchmarks.cases.case import Case, check, clock

ON_STOCK = 'stock uvloop rloop'
ASYNCIO = f'patched {ON_STOCK}'
LIBRARIES = 'anyio native trio quattro'
_FAR = 60


async def _scopes(library, count, size):
    scope = library.CancelScope
    begin = clock()
    for _ in range(count):
        with scope():
            pass
    used = clock() - begin
    with scope() as last:
        last.cancel()
        await library.sleep(0)
    check(last.cancelled_caught)
    return used, count


async def _scopes_with_deadline(library, count, size):
    move_on_after = library.move_on_after
    begin = clock()
    for _ in range(count):
        with move_on_after(_FAR):
            pass
    used = clock() - begin
    await check_scopes_expire(library)
    return used, count


async def check_scopes_expire(library):
    """A short deadline ends what a far one does not."""
    with library.move_on_after(_FAR) as far:
        with library.move_on_after(0.001) as near:
            await library.sleep_forever()
    check(near.cancelled_caught and not far.cancelled_caught)


async def _timeouts(library, count, size):
    await check_timeouts_expire()
    timeout = asyncio.timeout
    begin = clock()
    for _ in range(count):
        async with timeout(_FAR):
            pass
    return clock() - begin, count


async def check_timeouts_expire():
    """A short timeout ends what a far one does not."""
    try:
        async with asyncio.timeout(_FAR) as far:
            async with asyncio.timeout(0.001) as near:
                await asyncio.get_running_loop().create_future()
    except TimeoutError:
        pass
    check(near.expired() and not far.expired())


async def _timeouts_without_deadline(library, count, size):
    timeout = asyncio.timeout
    begin = clock()
    for _ in range(count):
        async with timeout(None):
            pass
    used = clock() - begin
    try:
        async with timeout(None) as last:
            last.reschedule(0)
            await asyncio.sleep(1)
    except TimeoutError:
        pass
    check(last.expired())
    return used, count


scope = Case('scope', 'with CancelScope(): pass; on stock: async with timeout(None)',
             {f'patched {LIBRARIES}': _scopes, ON_STOCK: _timeouts_without_deadline})
move_on_after = Case('move_on_after', 'with move_on_after(60): pass; on stock: async with timeout(60)',
                     {f'patched {LIBRARIES}': _scopes_with_deadline, ON_STOCK: _timeouts})
timeout = Case('timeout', 'async with timeout(60): pass', {ASYNCIO: _timeouts})
timeout_none = Case('timeout_none', 'async with timeout(None): pass', {ASYNCIO: _timeouts_without_deadline})
