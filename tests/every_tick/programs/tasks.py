"""Programs that use tasks, futures, timeouts, threads and what waits for them."""

import asyncio
import concurrent.futures
import functools
import threading
from asyncio import staggered

from ..cases import program


async def hold(case, held):
    """Take something for a while, and give it back."""
    held.append(1)
    try:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return 'result'
    finally:
        held.pop()


def until(future):
    async def wait():
        return await future
    return wait


@program('sleep', returns='result')
async def sleep(case):
    yield lambda: asyncio.sleep(0.001, 'result')


@program('sleep', returns='result')
async def sleep_zero(case):
    yield lambda: asyncio.sleep(0, 'result')


@program('Future.__await__', returns='result')
async def future(case):
    waited_for = asyncio.get_running_loop().create_future()
    case.at(2, lambda: waited_for.done() or waited_for.set_result('result'))
    yield until(waited_for)


@program('Task.__await__', 'create_task', 'loop.create_task', returns='result', spawns=True)
async def task(case):
    async def body():
        tasks.append(asyncio.create_task(hold(case, held)))
        return await tasks[0]

    held, tasks = [], []
    yield body
    if tasks:
        await asyncio.wait(tasks)
    case.expect(not held, 'the clean-up has not run')


@program('ensure_future', 'Task.__await__', returns='result')
async def task_that_swallows(case):
    """What is awaited makes a result of the cancellation."""
    async def swallow():
        try:
            return await hold(case, held)
        except asyncio.CancelledError:
            return 'result'

    async def body():
        tasks.append(asyncio.ensure_future(swallow()))
        return await tasks[0]

    held, tasks = [], []
    yield body
    if tasks:
        await asyncio.wait(tasks)
    case.expect(not held, 'the clean-up has not run')


@program('wait', returns=2)
async def wait(case):
    async def body():
        made.extend(asyncio.create_task(hold(case, held)) for _ in range(2))
        done, _ = await asyncio.wait(made)
        return len(done)

    held, made = [], []
    yield body
    if made:
        await asyncio.wait(made)
    case.expect(not held, 'the clean-up has not run')


@program('wait', returns=(0, 1))
async def wait_with_timeout(case):
    async def body():
        return tuple(len(tasks) for tasks in await asyncio.wait([forever], timeout=0.001))

    forever = asyncio.get_running_loop().create_future()
    yield body
    case.expect(not forever.done() and not forever._callbacks, 'a callback is left')


@program('wait_for', returns='result')
async def wait_for(case):
    held = []
    yield lambda: asyncio.wait_for(hold(case, held), 60)
    case.expect(not held, 'the clean-up has not run')


@program('wait_for', returns='item')
async def wait_for_queue(case):
    queue = asyncio.Queue()
    case.at(2, queue.put_nowait, 'item')
    outcome = yield lambda: asyncio.wait_for(queue.get(), 60)
    case.expect(queue.qsize() == (not outcome.finished), 'the item is lost or doubled')


@program('wait_for', returns='expired')
async def wait_for_that_expires(case):
    async def body():
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        except TimeoutError:
            return 'expired'

    yield body


@program('wait_for', returns=True)
async def wait_for_lock(case):
    lock = asyncio.Lock()
    await lock.acquire()
    case.at(2, lock.release)
    outcome = yield lambda: asyncio.wait_for(lock.acquire(), 60)
    case.expect(lock.locked() == outcome.finished, 'the lock is held by nobody')


@program('wait_for', 'shield', returns='result', spawns=True)
async def wait_for_shielded_task(case):
    """The task goes on, whatever becomes of the wait."""
    async def body():
        started.append(asyncio.create_task(hold(case, held)))
        return await asyncio.wait_for(asyncio.shield(started[0]), 60)

    held, started = [], []
    yield body
    if started:
        await asyncio.wait(started)
    case.expect(not held, 'the clean-up has not run')


@program('gather', returns=['result', 'result', 'result'])
async def gather(case):
    held = []
    yield gathering(case, held)
    case.expect(not held, 'the clean-up has not run')


@program('gather', returns=['result', 'result', 'result'])
async def gather_with_exceptions(case):
    held = []
    yield gathering(case, held, return_exceptions=True)
    await settle(held)
    case.expect(not held, 'the clean-up has not run')


def gathering(case, held, **options):
    async def body():
        return await asyncio.gather(*(hold(case, held) for _ in range(3)), **options)
    return body


async def settle(held):
    """Let what was cancelled, and is not waited for, end."""
    for _ in range(5):
        if held:
            await asyncio.sleep(0)


@program('gather', returns='failed')
async def gather_that_fails(case):
    async def fail():
        await asyncio.sleep(0)
        raise OSError

    async def body():
        try:
            await asyncio.gather(hold(case, held), fail(), hold(case, held))
        except OSError:
            return 'failed'

    held = []
    yield body
    await settle(held)
    case.expect(not held, 'the clean-up has not run')


@program('as_completed', returns=['result', 'result'])
async def as_completed(case):
    async def body():
        return [await each for each in asyncio.as_completed([hold(case, held) for _ in range(2)])]

    held = []
    yield body
    await settle(held)
    case.expect(not held, 'the clean-up has not run')


@program('as_completed', returns=['result', 'result'])
async def as_completed_asynchronously(case):
    async def body():
        return [await each async for each in asyncio.as_completed([hold(case, held) for _ in range(2)], timeout=60)]

    held = []
    yield body
    await settle(held)
    case.expect(not held, 'the clean-up has not run')


@program('shield', returns='result')
async def shield(case):
    """Stock makes a task, which goes on."""
    held = []
    yield lambda: asyncio.shield(hold(case, held)) if hasattr(asyncio, 'CancelScope') else until(
        asyncio.shield(hold(case, held)))()
    await settle(held)
    case.expect(not held, 'the clean-up has not run')


@program('shield', returns='result', spawns=True)
async def shield_task(case):
    async def body():
        made.append(asyncio.create_task(hold(case, held)))
        return await asyncio.shield(made[0])

    held, made = [], []
    yield body
    if made:
        await asyncio.wait(made)
    case.expect(not held, 'the clean-up has not run')


@program('TaskGroup.__aenter__', 'TaskGroup.__aexit__', 'TaskGroup.create_task', returns=['result', 'result'])
async def task_group(case):
    async def body():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(hold(case, held)) for _ in range(2)]
        return [task.result() for task in tasks]

    held = []
    yield body
    case.expect(not held, 'a member has not cleaned up')


@program('TaskGroup.__aexit__', returns='failed')
async def task_group_that_fails(case):
    async def fail():
        await asyncio.sleep(0)
        raise OSError

    async def body():
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(hold(case, held))
                group.create_task(fail())
                await asyncio.Event().wait()
        except* OSError:
            pass
        return 'failed'

    held = []
    yield body
    case.expect(not held, 'a member has not cleaned up')


@program('timeout', 'Timeout.__aenter__', 'Timeout.__aexit__', returns='result')
async def timeout(case):
    async def body():
        async with asyncio.timeout(60):
            return await hold(case, held)

    held = []
    yield body
    case.expect(not held, 'the clean-up has not run')


@program('timeout_at', returns='expired')
async def timeout_at(case):
    async def body():
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + 0.001):
                await hold(case, held)
                await asyncio.Event().wait()
        except TimeoutError:
            return 'expired'

    held = []
    yield body
    case.expect(not held, 'the clean-up has not run')


@program('move_on_after', 'move_on_at', 'CancelScope.create_task', needs=['CancelScope'], returns='result')
async def scopes(case):
    async def body():
        with asyncio.move_on_after(0.001):
            await hold(case, held)
            await asyncio.Event().wait()
        with asyncio.move_on_at(asyncio.get_running_loop().time() + 60) as scope:
            return await scope.create_task(hold(case, held))

    held = []
    yield body
    await settle(held)
    case.expect(not held, 'the clean-up has not run')


@program('staggered_race')
async def staggered_race(case):
    async def run(number):
        if number == 0:
            await asyncio.sleep(0)
            raise OSError
        return await hold(case, held)

    async def body():
        attempts = [functools.partial(run, number) for number in range(3)]
        winner, index, _ = await staggered.staggered_race(attempts, 0.001)
        return winner, index

    held = []
    outcome = yield body
    case.expect(outcome.cancelled or outcome.value in (('result', 1), ('result', 2)), f'won: {outcome.value}')
    case.expect(not held, 'an attempt has not cleaned up')


# Threads.

def in_thread(case):
    """Return a function for a thread, which waits for turn 3."""
    def run():
        event.wait(20)
        return 'result'

    event = threading.Event()
    case.at(3, event.set)
    return run


@program('to_thread', returns='result')
async def to_thread(case):
    run = in_thread(case)
    yield lambda: asyncio.to_thread(run)


@program('loop.run_in_executor', 'wrap_future', returns='result')
async def run_in_executor(case):
    async def body():
        return await loop.run_in_executor(executor, run)

    run = in_thread(case)
    loop = asyncio.get_running_loop()
    executor = case.enter(concurrent.futures.ThreadPoolExecutor(1))
    yield body


@program('wrap_future', returns='result')
async def wrap_future(case):
    wrapped = concurrent.futures.Future()
    case.at(2, lambda: wrapped.cancelled() or wrapped.set_result('result'))

    async def body():
        return await asyncio.wrap_future(wrapped)

    outcome = yield body
    case.expect(wrapped.cancelled() or not outcome.cancelled or wrapped.done(), 'the future is left')


@program('run_coroutine_threadsafe', returns='result', spawns=True)
async def run_coroutine_threadsafe(case):
    def run():
        future = asyncio.run_coroutine_threadsafe(hold(case, held), loop)
        try:
            return future.result(20)
        except concurrent.futures.CancelledError:
            return 'cancelled'

    loop, held = asyncio.get_running_loop(), []
    yield lambda: asyncio.to_thread(run)
    await loop.shutdown_default_executor()
    case.expect(not held, 'the clean-up has not run')


@program('loop.shutdown_default_executor')
async def shutdown_default_executor(case):
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, int)
    yield loop.shutdown_default_executor


@program('loop.shutdown_asyncgens')
async def shutdown_asyncgens(case):
    async def generator():
        try:
            yield
        finally:
            await asyncio.sleep(0)
            closed.append(1)

    closed, loop = [], asyncio.get_running_loop()
    generators = [generator() for _ in range(2)]
    for each in generators:
        await anext(each)
    outcome = yield loop.shutdown_asyncgens
    case.expect(outcome.cancelled or len(closed) == 2, 'a generator has not been closed')
    for each in generators:
        await each.aclose()
