"""asyncio's Python implementation, on both interpreters."""

import asyncio

from benchmarks.cases import groups, scopes, tasks
from benchmarks.cases.case import Case, check

_BOTH = 'stock patched'


def _check_pure():
    check(asyncio.Task is asyncio.tasks._PyTask and asyncio.Future is asyncio.futures._PyFuture,
          'the C implementation is in use')


async def _tasks(library, count, size):
    _check_pure()
    return await tasks.create_tasks(library, count, size)


async def _groups(library, count, size):
    _check_pure()
    return await groups.measure(count, size)


async def _timeouts(library, count, size):
    _check_pure()
    return await scopes._timeouts(library, count, size)


pure_task = Case('pure_task', 'pure Python: await create_task(coro())', {_BOTH: _tasks}, pure=True)
pure_group = Case('pure_group', 'pure Python: each task of a TaskGroup of 100', {_BOTH: _groups}, sizes=(100,), pure=True)
pure_timeout = Case('pure_timeout', 'pure Python: async with timeout(60): pass', {_BOTH: _timeouts}, pure=True)
