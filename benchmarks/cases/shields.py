"""Awaiting a coroutine under shield() or wait_for()."""

import asyncio

from benchmarks.cases.case import Case, check, clock
from benchmarks.cases.scopes import ASYNCIO

_FAR = 60


async def _answer():
    return 1


async def _shield(library, count, size):
    total, shield = 0, asyncio.shield
    begin = clock()
    for _ in range(count):
        total += await shield(_answer())
    used = clock() - begin
    check(total == count)

    async def finish():
        nonlocal finished
        await asyncio.sleep(0.001)
        finished = True

    finished = False
    task = asyncio.ensure_future(shield(finish()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0.01)
    check(finished)
    return used, count


async def _shielded_scope(library, count, size):
    total, scope = 0, library.CancelScope
    begin = clock()
    for _ in range(count):
        with scope(shield=True):
            total += await _answer()
    used = clock() - begin
    check(total == count)
    finished = False
    with scope() as outer:
        outer.cancel()
        with scope(shield=True):
            await library.sleep(0.001)
            finished = True
    check(finished)
    return used, count


async def _wait_for(library, count, size):
    total, wait_for = 0, asyncio.wait_for
    begin = clock()
    for _ in range(count):
        total += await wait_for(_answer(), _FAR)
    used = clock() - begin
    check(total == count)
    try:
        await wait_for(asyncio.sleep(_FAR), 0.001)
    except TimeoutError:
        return used, count
    check(False)


async def _fail_after(library, count, size):
    total, fail_after = 0, library.fail_after
    begin = clock()
    for _ in range(count):
        with fail_after(_FAR):
            total += await _answer()
    used = clock() - begin
    check(total == count)
    try:
        with fail_after(0.001):
            await library.sleep(_FAR)
    except Exception as error:
        check(type(error).__name__ in ('TimeoutError', 'TooSlowError'))
        return used, count
    check(False)


shield = Case('shield', 'await shield(coro()); other libraries: in CancelScope(shield=True)', {
    ASYNCIO: _shield, 'anyio native trio': _shielded_scope})
wait_for = Case('wait_for', 'await wait_for(coro(), 60); other libraries: in fail_after(60)', {
    ASYNCIO: _wait_for, 'anyio native trio quattro': _fail_after})
