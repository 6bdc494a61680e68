"""Tasks, yields and Futures: what the patches should leave alone."""

import asyncio
import contextlib
import sys

from benchmarks.cases.case import Case, check, clock
from benchmarks.cases.scopes import ASYNCIO, ON_STOCK


async def _answer():
    return 1


async def create_tasks(library, count, size):
    """Create tasks that end at once, and await each."""
    total, create_task = 0, asyncio.create_task
    begin = clock()
    for _ in range(count):
        total += await create_task(_answer())
    used = clock() - begin
    check(total == count)
    return used, count


async def _yield(library, count, size):
    turns, sleep = 0, library.sleep

    def turn():
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(turn)

    begin = clock()
    for _ in range(count):
        await sleep(0)
    used = clock() - begin
    if library.Cancelled is asyncio.CancelledError:
        turn()
        for _ in range(10):
            await sleep(0)
        check(turns >= 10)
    return used, count


async def _yield_below_scopes(library, count, size):
    sys.setrecursionlimit(1_000 + 10 * size)  # AnyIO asks each scope above for its state by recursion.
    with contextlib.ExitStack() as stack:
        scopes = [stack.enter_context(library.CancelScope()) for _ in range(size)]
        result = await _yield(library, count, size)
        scopes[0].cancel()
        await library.sleep(0)
        check(False)
    check(scopes[0].cancelled_caught)
    return result


async def _ping_pong(library, count, size):
    async def play(name, other):
        nonlocal passes
        for _ in range(count):
            await waiters[name]
            waiters[name] = loop.create_future()
            passes += 1
            waiters[other].set_result(None)

    passes, loop = 0, asyncio.get_running_loop()
    waiters = {name: loop.create_future() for name in ('ping', 'pong')}
    tasks = [asyncio.create_task(play('ping', 'pong')), asyncio.create_task(play('pong', 'ping'))]
    await asyncio.sleep(0)
    begin = clock()
    waiters['ping'].set_result(None)
    await tasks[0]
    await tasks[1]
    used = clock() - begin
    check(passes == 2 * count)
    return used, 2 * count


create_task = Case('create_task', 'await create_task(coro())', {ASYNCIO: create_tasks})
create_task_eager = Case('create_task_eager', 'the same, with eager tasks', {ASYNCIO: create_tasks}, eager=True)
bare_yield = Case('yield', 'await sleep(0)', {f'{ASYNCIO} anyio native trio': _yield})
yield_below_scopes = Case('yield_below_scopes', 'await sleep(0) below many scopes; on stock: below none', {
    'stock': _yield, 'patched anyio native trio': _yield_below_scopes}, sizes=(1, 10, 100, 1_000))
ping_pong = Case('ping_pong', 'one task sets the result of the Future that another one awaits', {ASYNCIO: _ping_pong})
