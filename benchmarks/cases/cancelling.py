"""Cancelling blocked tasks."""

import asyncio

from benchmarks.cases.case import Case, check, clock, repeat

_FAN_OUT = 6
_DEPTH = 6  # 6 + 36 + ... + 46,656: 55,986 tasks


# All the tasks of a group.

async def _wait(loop):
    await loop.create_future()


def _spawn(group, size):
    loop = asyncio.get_running_loop()
    return [group.create_task(_wait(loop)) for _ in range(size)]


def _check_cancelled(tasks, size):
    check(len(tasks) == size and all(task.cancelled() for task in tasks))


@repeat
async def _cancel_host(library, count, size):
    async def host():
        nonlocal tasks
        async with asyncio.TaskGroup() as group:
            tasks = _spawn(group, size)

    tasks = None
    task = asyncio.create_task(host())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    begin = clock()
    task.cancel()
    await asyncio.wait([task])
    used = clock() - begin
    check(task.cancelled())
    _check_cancelled(tasks, size)
    return used, size


async def _cancel_scope_around(library, size):
    with library.CancelScope() as scope:
        async with library.TaskGroup() as group:
            tasks = _spawn(group, size)
            await asyncio.sleep(0)
            begin = clock()
            scope.cancel()
    used = clock() - begin
    check(scope.cancelled_caught)
    _check_cancelled(tasks, size)
    return used, size


@repeat
async def _cancel_scope(library, count, size):
    return await _cancel_scope_around(asyncio, size)


@repeat
async def _cancel_group(library, count, size):
    async with asyncio.TaskGroup() as group:
        tasks = _spawn(group, size)
        await asyncio.sleep(0)
        begin = clock()
        group.cancel()
    used = clock() - begin
    _check_cancelled(tasks, size)
    return used, size


@repeat
async def _cancel_quattro(library, count, size):
    return await _cancel_scope_around(library, size)


@repeat
async def _cancel_scope_of_group(library, count, size):
    async def wait():
        nonlocal started, ended
        started += 1
        await library.sleep_forever()
        ended += 1

    started = ended = 0
    async with library.open_group() as group:
        for _ in range(size):
            group.start_soon(wait)
        await library.all_blocked()
        begin = clock()
        group.cancel_scope.cancel()
    used = clock() - begin
    check(started == size and ended == 0 and group.cancel_scope.cancel_called)
    return used, size


# A tree.

async def _cancel_tree(scope):
    async def node(depth):
        nonlocal leaves
        if not depth:
            leaves += 1
            await loop.create_future()
        async with asyncio.TaskGroup() as group:
            tasks.extend([group.create_task(node(depth - 1)) for _ in range(_FAN_OUT)])

    async def host():
        await node(_DEPTH)

    async def host_in_scope():
        with asyncio.CancelScope() as scopes[0]:
            await node(_DEPTH)

    tasks, leaves, scopes, loop = [], 0, [None], asyncio.get_running_loop()
    task = asyncio.create_task(host_in_scope() if scope else host())
    while leaves < _FAN_OUT ** _DEPTH:
        await asyncio.sleep(0)
    begin = clock()
    (scopes[0] or task).cancel()
    await asyncio.wait([task])
    used = clock() - begin
    check(scopes[0].cancelled_caught if scope else task.cancelled())
    _check_cancelled(tasks, sum(_FAN_OUT ** depth for depth in range(1, _DEPTH + 1)))
    return used, len(tasks)


async def _cancel_tree_by_task(library, count, size):
    return await _cancel_tree(False)


async def _cancel_tree_by_scope(library, count, size):
    return await _cancel_tree(True)


async def _cancel_tree_of_groups(library, count, size):
    async def node(depth):
        nonlocal started, ended
        started += 1
        if not depth:
            await library.sleep_forever()
        else:
            async with library.open_group() as group:
                for _ in range(_FAN_OUT):
                    group.start_soon(node, depth - 1)
        ended += 1

    started = ended = 0
    async with library.open_group() as group:
        for _ in range(_FAN_OUT):
            group.start_soon(node, _DEPTH - 1)
        await library.all_blocked()
        begin = clock()
        group.cancel_scope.cancel()
    used = clock() - begin
    check(started == sum(_FAN_OUT ** depth for depth in range(1, _DEPTH + 1)) and group.cancel_scope.cancel_called)
    return used, started


# Tasks that do not give up.

async def _redeliver(library, count, size):
    cancelled, wait, error = 0, library.sleep_forever, library.Cancelled
    with library.CancelScope() as scope:
        scope.cancel()
        begin = clock()
        for _ in range(count):
            try:
                await wait()
            except error:
                cancelled += 1
        used = clock() - begin
    check(cancelled == count)
    return used, count


async def _stragglers(library, count, size):
    async def wait():
        with library.CancelScope(shield=True):
            await done.wait()

    async def take_a_second():
        nonlocal used
        with library.CancelScope(shield=True):
            await cancelled.wait()
            begin = clock()
            await library.sleep(1)
            used = clock() - begin
            done.set()

    used, done, cancelled = None, library.Event(), library.Event()
    async with library.open_group() as group:
        for _ in range(size):
            group.start_soon(wait)
        group.start_soon(take_a_second)
        await library.all_blocked()
        cancelled.set()
        group.cancel_scope.cancel()
    check(group.cancel_scope.cancel_called and used is not None)
    return used, 1


cancel_by_scope = Case('cancel_by_scope', 'each blocked task of a group, cancelled by its scope; on stock: Task.cancel()', {
    'stock uvloop rloop': _cancel_host, 'patched': _cancel_scope, 'anyio native trio': _cancel_scope_of_group,
    'quattro': _cancel_quattro}, sizes=(10, 100, 1_000, 10_000, 100_000))
cancel_by_group = Case('cancel_by_group', 'the same, by TaskGroup.cancel()', {
    'stock': _cancel_host, 'patched': _cancel_group}, sizes=(1_000, 10_000, 100_000))
cancel_tree = Case('cancel_tree', 'each task of a tree of 55,986 tasks in groups of 6, cancelled at its root', {
    'stock': _cancel_tree_by_task, 'patched': _cancel_tree_by_scope, 'anyio native trio': _cancel_tree_of_groups},
    repeated=False)
level_redelivery = Case('level_redelivery', 'one more wait in a cancelled scope, which raises again', {
    'patched anyio native trio': _redeliver})
stragglers = Case('stragglers', '10,000 shielded tasks in a cancelled scope take a second to end', {
    'anyio native trio': _stragglers}, sizes=(10_000,), repeated=False)
