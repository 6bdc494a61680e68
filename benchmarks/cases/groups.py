"""Groups of tasks that end at once."""

import asyncio

from benchmarks.cases.case import Case, check, clock
from benchmarks.cases.scopes import ASYNCIO


async def _nothing():
    pass


async def measure(count, size, make_group=None):
    """Spawn tasks into TaskGroups."""
    make_group = make_group or asyncio.TaskGroup
    begin = clock()
    for _ in range(count):
        async with make_group() as group:
            for _ in range(size):
                group.create_task(_nothing())
    used = clock() - begin
    async with make_group() as group:
        tasks = [group.create_task(asyncio.sleep(0, 1)) for _ in range(size)]
    check(sum(task.result() for task in tasks) == size)
    return used, count * size


async def _task_groups(library, count, size):
    return await measure(count, size)


async def _quattro(library, count, size):
    return await measure(count, size, library.TaskGroup)


async def _groups(library, count, size):
    async def count_up():
        nonlocal ended
        await library.sleep(0)
        ended += 1

    open_group, ended = library.open_group, 0
    begin = clock()
    for _ in range(count):
        async with open_group() as group:
            for _ in range(size):
                group.start_soon(_nothing)
    used = clock() - begin
    async with open_group() as group:
        for _ in range(size):
            group.start_soon(count_up)
    check(ended == size)
    return used, count * size


_WAYS = {ASYNCIO: _task_groups, 'anyio native trio': _groups, 'quattro': _quattro}
group = Case('group', 'each task of a TaskGroup of 1 or 100, which ends at once', _WAYS, sizes=(1, 100))
group_eager = Case('group_eager', 'the same, with eager tasks', {ASYNCIO: _task_groups}, sizes=(1, 100), eager=True)
