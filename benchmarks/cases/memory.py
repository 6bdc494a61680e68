"""Memory that a blocked task takes."""

import asyncio
import gc
import tracemalloc

from benchmarks.cases.case import Case, check

_TASKS = 10_000
_FAR = 3600


async def _measure(manager, spawn, wait, event, all_blocked):
    """Return (bytes, tasks) of tasks that spawn(group, function) starts; each calls wait(), which waits for event."""
    async def member():
        nonlocal ended
        await wait()
        ended += 1

    ended = 0
    async with manager as group:
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(_TASKS):
                spawn(group, member)
            await all_blocked()
            gc.collect()
            used = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        check(ended == 0)
        event.set()
    check(ended == _TASKS)
    return used, _TASKS


async def _measure_asyncio(wait, event):
    async def all_blocked():
        await asyncio.sleep(0)

    return await _measure(asyncio.TaskGroup(), lambda group, function: group.create_task(function()), wait, event,
                          all_blocked)


async def _measure_library(library, wait, event):
    return await _measure(library.open_group(), lambda group, function: group.start_soon(function), wait, event,
                          library.all_blocked)


async def _tasks(library, count, size):
    event = asyncio.Event()
    return await _measure_asyncio(event.wait, event)


async def _tasks_in_timeouts(library, count, size):
    async def wait():
        async with asyncio.timeout(_FAR):
            await event.wait()

    event = asyncio.Event()
    return await _measure_asyncio(wait, event)


async def _tasks_of_library(library, count, size):
    event = library.Event()
    return await _measure_library(library, event.wait, event)


async def _tasks_in_scopes(library, count, size):
    async def wait():
        with library.move_on_after(_FAR):
            await event.wait()

    event = library.Event()
    return await _measure_library(library, wait, event)


task_bytes = Case('task_bytes', 'memory of a task of a group that waits for an Event', {
    'stock patched': _tasks, 'anyio native trio': _tasks_of_library}, unit='byte', repeated=False)
task_bytes_timeout = Case('task_bytes_timeout', 'the same, in timeout(3600); other libraries: in move_on_after(3600)', {
    'stock patched': _tasks_in_timeouts, 'anyio native trio': _tasks_in_scopes}, unit='byte', repeated=False)
