"""What instructions.py counts: WORKLOAD, run by the interpreter that is measured.

A workload is run a few times first, so that the interpreter has specialized its bytecode and filled its free lists.
Between the two calls of mark() it does its operations COUNTS[WORKLOAD] times.
"""

import asyncio
import contextlib
import gc
import os
import sys

# The C function that valgrind looks for: os.getppid(), which nothing else here calls.
MARK = 'os_getppid'
mark = os.getppid
DEPTH = 10_000  # of bare_yield_deep
FEW = 500
_MANY = 5_000
_HUNDRED = 100


async def bare_yield(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def bare_yield_deep(count):
    await bare_yield(count)


async def future(count):
    loop = asyncio.get_running_loop()
    for _ in range(count):
        waiter = loop.create_future()
        loop.call_soon(waiter.set_result, None)
        await waiter


async def nothing():
    pass


async def create_task(count):
    for _ in range(count):
        await asyncio.create_task(nothing())


async def eager_task(count):
    await create_task(count)


async def group_task(count):
    for _ in range(count // _HUNDRED):
        async with asyncio.TaskGroup() as group:
            for _ in range(_HUNDRED):
                group.create_task(nothing())


async def small_group(count):
    for _ in range(count):
        async with asyncio.TaskGroup() as group:
            group.create_task(nothing())


async def empty_group(count):
    for _ in range(count):
        async with asyncio.TaskGroup():
            pass


async def shield(count):
    for _ in range(count):
        await asyncio.shield(nothing())


async def wait_for(count):
    for _ in range(count):
        await asyncio.wait_for(nothing(), 60)


async def timeout(count):
    for _ in range(count):
        async with asyncio.timeout(60):
            pass


async def timeout_none(count):
    for _ in range(count):
        async with asyncio.timeout(None):
            pass


if hasattr(asyncio, 'CancelScope'):
    async def scope(count):
        for _ in range(count):
            with asyncio.CancelScope():
                pass

    async def move_on_after(count):
        for _ in range(count):
            with asyncio.move_on_after(60):
                pass
else:
    # What stock has in their place.
    scope, move_on_after = timeout_none, timeout


def run(count):
    for _ in range(count):
        asyncio.run(nothing())


def new_loop(count):
    for _ in range(count):
        asyncio.new_event_loop().close()


# Those that are run without a loop.
_WITHOUT_LOOP = 'run', 'new_loop'
# How often each is counted.
COUNTS = {name: _MANY for name in ('bare_yield', 'future', 'create_task', 'eager_task', 'group_task', 'small_group', 'empty_group',
                                   'shield', 'wait_for', 'timeout', 'timeout_none', 'scope', 'move_on_after')} | {
    'run': 100, 'new_loop': 100, 'bare_yield_deep': _MANY}


async def measure(name):
    """Run a workload between marks, in an event loop."""
    if name == 'eager_task':
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    with contextlib.ExitStack() as scopes:
        for _ in range(DEPTH if name == 'bare_yield_deep' else 0):
            scopes.enter_context(asyncio.CancelScope())
        workload = globals()[name]
        await workload(FEW)
        gc.collect()
        mark()
        await workload(COUNTS[name])
        mark()


def main(name):
    if name in _WITHOUT_LOOP:
        workload = globals()[name]
        workload(10)
        gc.collect()
        mark()
        workload(COUNTS[name])
        mark()
    else:
        asyncio.run(measure(name))


if __name__ == '__main__':
    main(sys.argv[1])
