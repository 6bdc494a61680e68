"""Deadlines: many at once, moved, and expired."""

import asyncio

from benchmarks.cases.case import Case, check, clock
from benchmarks.cases.scopes import ASYNCIO, LIBRARIES, ON_STOCK, check_scopes_expire, check_timeouts_expire

_FAR = 3600
_NEAR = 60
# Time to have all tasks blocked before their deadlines; processor time does not pass meanwhile.
_HEAD_START = 0.4
_APART = 1e-6  # seconds between deadlines, so that they are not one


# Below many deadlines that are further away.

async def _nearest_timeout(library, count, size):
    async def wait(number):
        async with asyncio.timeout(_FAR + number):
            await asyncio.get_running_loop().create_future()

    tasks = [asyncio.create_task(wait(number)) for number in range(size)]
    await asyncio.sleep(0)
    timeout = asyncio.timeout
    begin = clock()
    for _ in range(count):
        async with timeout(_NEAR):
            pass
    used = clock() - begin
    await check_timeouts_expire()
    await _cancel_all(tasks)
    return used, count


async def _cancel_all(tasks):
    check(not any(task.done() for task in tasks))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    check(all(task.cancelled() for task in tasks))


async def _measure_nearest_scope(library, count):
    move_on_after = library.move_on_after
    begin = clock()
    for _ in range(count):
        with move_on_after(_NEAR):
            pass
    used = clock() - begin
    await check_scopes_expire(library)
    return used, count


async def _nearest_scope(library, count, size):
    async def wait(number):
        with library.move_on_after(_FAR + number):
            await library.sleep_forever()

    tasks = [asyncio.create_task(wait(number)) for number in range(size)]
    await asyncio.sleep(0)
    result = await _measure_nearest_scope(library, count)
    await _cancel_all(tasks)
    return result


async def _nearest_scope_in_group(library, count, size):
    async def wait(number):
        nonlocal ended
        with library.move_on_after(_FAR + number):
            await library.sleep_forever()
        ended += 1

    ended = 0
    async with library.open_group() as group:
        for number in range(size):
            group.start_soon(wait, number)
        await library.all_blocked()
        result = await _measure_nearest_scope(library, count)
        check(ended == 0)
        group.cancel_scope.cancel()
    return result


# Moved.

async def _move_timeout(library, count, size):
    try:
        async with asyncio.timeout(_FAR) as timeout:
            when = timeout.when()
            begin = clock()
            for number in range(count):
                timeout.reschedule(when + number)
            used = clock() - begin
            check(timeout.when() == when + count - 1)
            timeout.reschedule(0)
            await asyncio.sleep(1)
    except TimeoutError:
        pass
    check(timeout.expired())
    return used, count


async def _move_scope(library, count, size):
    with library.move_on_after(_FAR) as scope:
        when = scope.deadline
        begin = clock()
        for number in range(count):
            scope.deadline = when + number
        used = clock() - begin
        check(scope.deadline == when + count - 1)
        scope.deadline = 0
        await library.sleep(1)
    check(scope.cancelled_caught)
    return used, count


# Expired.

_TOO_SLOW = 'too slow: deadlines have expired before all tasks were blocked'


async def _expire(size, wait):
    """Have tasks wait for their deadlines; wait(when) returns whether its deadline has expired."""
    loop = asyncio.get_running_loop()
    when = loop.time() + _HEAD_START
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wait(when + number * _APART)) for number in range(size)]
        await asyncio.sleep(0)
        check(loop.time() < when, _TOO_SLOW)
        begin = clock()
    used = clock() - begin
    check(all(task.result() for task in tasks))
    return used, size


async def _timeouts_expire(library, count, size):
    async def wait(when):
        try:
            async with asyncio.timeout_at(when):
                await loop.create_future()
        except TimeoutError:
            return True

    loop = asyncio.get_running_loop()
    return await _expire(size, wait)


async def _scopes_expire(library, count, size):
    async def wait(when):
        with library.move_on_at(when) as scope:
            await loop.create_future()
        return scope.cancelled_caught

    loop = asyncio.get_running_loop()
    return await _expire(size, wait)


async def _scopes_expire_in_group(library, count, size):
    async def wait(delay):
        nonlocal blocked, expired
        with library.move_on_after(delay) as scope:
            blocked += 1
            await library.sleep_forever()
        expired += scope.cancelled_caught

    blocked = expired = 0
    async with library.open_group() as group:
        for number in range(size):
            group.start_soon(wait, _HEAD_START + number * _APART)
        await library.all_blocked()
        check(blocked == size and expired == 0, _TOO_SLOW)
        begin = clock()
    used = clock() - begin
    check(expired == size)
    return used, size


async def _timeouts_0(library, count, size):
    expired = 0
    timeout, loop = asyncio.timeout, asyncio.get_running_loop()
    begin = clock()
    for _ in range(count):
        try:
            async with timeout(0):
                await loop.create_future()
        except TimeoutError:
            expired += 1
    used = clock() - begin
    check(expired == count)
    return used, count


async def _scopes_0(library, count, size):
    expired = 0
    move_on_after, sleep_forever = library.move_on_after, library.sleep_forever
    begin = clock()
    for _ in range(count):
        with move_on_after(0) as scope:
            await sleep_forever()
        expired += scope.cancelled_caught
    used = clock() - begin
    check(expired == count)
    return used, count


nearest_deadline = Case('nearest_deadline', 'with move_on_after(60), nearest of many deadlines; on stock: timeout(60)', {
    'stock': _nearest_timeout, 'patched quattro': _nearest_scope, 'anyio native trio': _nearest_scope_in_group},
    sizes=(1, 10, 100, 1_000, 10_000))
deadline_moved = Case('deadline_moved', 'scope.deadline = later; on stock: timeout.reschedule(later)', {
    f'patched {LIBRARIES}': _move_scope, ON_STOCK: _move_timeout})
reschedule = Case('reschedule', 'timeout.reschedule(later)', {ASYNCIO: _move_timeout})
deadlines_expire = Case('deadlines_expire', 'each of 2,000 deadlines that expire: move_on_at(); on stock: timeout_at()', {
    ON_STOCK: _timeouts_expire, 'patched quattro': _scopes_expire, 'anyio native trio': _scopes_expire_in_group},
    sizes=(2_000,), repeated=False)
timeouts_expire = Case('timeouts_expire', 'each of 2,000 timeouts that expire: timeout_at()', {
    ASYNCIO: _timeouts_expire}, sizes=(2_000,), repeated=False)
timeout_0 = Case('timeout_0', 'a wait in timeout(0); other libraries: in move_on_after(0)', {
    ASYNCIO: _timeouts_0, LIBRARIES: _scopes_0})
