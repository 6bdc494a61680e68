"""Programs that use locks, semaphores, events, conditions, barriers and queues."""

import asyncio
import contextlib

from ..cases import program


@program('Lock.acquire', returns=True)
async def lock_acquire(case):
    lock = asyncio.Lock()
    await lock.acquire()
    case.at(2, lock.release)
    outcome = yield lock.acquire
    case.expect(lock.locked() == outcome.finished, 'the lock is held by nobody, or not by its holder')


@program('Lock.acquire', returns=True)
async def lock_with_two_waiters(case):
    """The next waiter is woken, whatever becomes of the first."""
    lock = asyncio.Lock()
    await lock.acquire()
    case.at(3, lock.release)

    async def acquire_second():
        await lock.acquire()
        lock.release()

    async def acquire_first():
        second.append(asyncio.create_task(acquire_second()))
        await lock.acquire()
        lock.release()
        return True

    second = []
    yield acquire_first
    if second:
        await asyncio.wait(second)
    case.expect(not lock.locked(), 'the lock is held by nobody')


@program('Lock.__aenter__', 'Lock.__aexit__')
async def lock_as_block(case):
    async def body():
        async with lock:
            await asyncio.sleep(0)

    lock = asyncio.Lock()
    await lock.acquire()
    case.at(2, lock.release)
    yield body
    case.expect(not lock.locked(), 'the lock is held by nobody')


@program('Semaphore.acquire', returns=True)
async def semaphore_acquire(case):
    semaphore = asyncio.Semaphore(0)
    case.at(2, semaphore.release)
    outcome = yield semaphore.acquire
    case.expect(semaphore._value == (not outcome.finished), f'the value is {semaphore._value}')
    case.expect(semaphore.locked() == outcome.finished, 'locked() is wrong')


@program('Semaphore.__aenter__', 'Semaphore.__aexit__')
async def semaphore_as_block(case):
    async def body():
        async with semaphore:
            await asyncio.sleep(0)

    semaphore = asyncio.Semaphore(0)
    case.at(2, semaphore.release)
    yield body
    case.expect(semaphore._value == 1, f'the value is {semaphore._value}')


@program('BoundedSemaphore.__aenter__', 'BoundedSemaphore.__aexit__')
async def bounded_semaphore(case):
    async def body():
        async with semaphore:
            await asyncio.sleep(0)

    semaphore = asyncio.BoundedSemaphore(1)
    await semaphore.acquire()
    case.at(2, semaphore.release)
    yield body
    case.expect(semaphore._value == 1, f'the value is {semaphore._value}')


@program('Event.wait', returns=True)
async def event_wait(case):
    event = asyncio.Event()
    case.at(2, event.set)
    yield event.wait
    case.expect(not event._waiters, 'a waiter is left')


@program('Condition.__aenter__', 'Condition.__aexit__', 'Condition.wait', returns=True)
async def condition_wait(case):
    """A notification is not lost, and the lock is held where wait() has ended."""
    async def notify():
        async with condition:
            condition.notify()

    async def body():
        async with condition:
            try:
                return await condition.wait()
            finally:
                case.expect(condition.locked(), 'wait() has ended without the lock')

    condition = asyncio.Condition()
    notifiers = []
    case.at(2, lambda: notifiers.append(asyncio.ensure_future(notify())))
    yield body
    await asyncio.wait(notifiers)
    case.expect(not condition.locked(), 'the lock is held by nobody')
    case.expect(not condition._waiters, 'a waiter is left')


@program('Condition.wait')
async def condition_with_a_busy_lock(case):
    """The lock is taken when the condition is notified, so that wait() has to wait for it again."""
    async def notify():
        async with condition:
            condition.notify()
            await release.wait()

    async def body():
        async with condition:
            try:
                await condition.wait()
            finally:
                case.expect(condition.locked(), 'wait() has ended without the lock')

    condition, release = asyncio.Condition(), asyncio.Event()
    notifiers = []
    case.at(2, lambda: notifiers.append(asyncio.ensure_future(notify())))
    case.at(6, release.set)
    yield body
    await asyncio.wait(notifiers)
    case.expect(not condition.locked(), 'the lock is held by nobody')


@program('Condition.wait_for')
async def condition_wait_for(case):
    async def notify():
        async with condition:
            items.append(1)
            condition.notify()

    async def body():
        async with condition:
            await condition.wait_for(lambda: items)
            return items.pop()

    condition, items, notifiers = asyncio.Condition(), [], []
    case.at(2, lambda: notifiers.append(asyncio.ensure_future(notify())))
    outcome = yield body
    await asyncio.wait(notifiers)
    # notify() may have been cancelled together with everything else.
    case.expect(not (outcome.finished and items), 'an item is doubled')
    case.expect(not condition.locked(), 'the lock is held by nobody')


@program('Barrier.wait', 'Barrier.__aenter__', 'Barrier.__aexit__', raises=asyncio.BrokenBarrierError,
         spawns=True)
async def barrier_wait(case):
    async def body():
        async with barrier as position:
            return position

    async def wait():
        await go.wait()
        with contextlib.suppress(asyncio.BrokenBarrierError):
            await barrier.wait()

    barrier, go = asyncio.Barrier(2), asyncio.Event()
    other = asyncio.create_task(wait())
    case.at(2, go.set)
    outcome = yield body
    if not outcome.finished:
        await barrier.abort()
    await asyncio.wait([other])
    case.expect(barrier.n_waiting == 0, 'somebody waits at the barrier')
    await barrier.reset()


@program('Barrier.reset', 'Barrier.abort')
async def barrier_reset(case):
    """Waiters get an error, and the barrier can be used again."""
    async def wait():
        try:
            await barrier.wait()
        except asyncio.BrokenBarrierError:
            pass

    async def body():
        await barrier.reset()
        await asyncio.sleep(0)
        await barrier.abort()

    barrier = asyncio.Barrier(3)
    tasks = [asyncio.create_task(wait()) for _ in range(2)]
    await asyncio.sleep(0)
    yield body
    await barrier.abort()
    await asyncio.wait(tasks)
    await barrier.reset()
    case.expect(not barrier.broken and barrier.n_waiting == 0, 'the barrier cannot be used again')


@program('Queue.get', returns='item')
async def queue_get(case):
    queue = asyncio.Queue()
    case.at(2, queue.put_nowait, 'item')
    outcome = yield queue.get
    case.expect(queue.qsize() == (not outcome.finished), 'the item is lost or doubled')
    case.expect(not queue._getters, 'a waiter is left')


@program('Queue.get')
async def queue_with_two_getters(case):
    """If the first getter is cancelled when it has been woken, the second gets the item."""
    async def get_first():
        got.append(asyncio.ensure_future(get_second()))
        return await queue.get()

    async def get_second():
        await asyncio.sleep(0)
        return await queue.get()

    queue, got = asyncio.Queue(), []
    case.at(3, queue.put_nowait, 0)
    case.at(4, queue.put_nowait, 1)
    outcome = yield get_first
    for task in got:
        await asyncio.wait([task])
        taken = outcome.finished + (not task.cancelled())
        case.expect(queue.qsize() + taken == 2, 'an item is lost or doubled')


@program('Queue.put')
async def queue_put(case):
    queue = asyncio.Queue(1)
    queue.put_nowait('first')
    case.at(2, queue.get_nowait)
    outcome = yield lambda: queue.put('second')
    case.expect(queue.qsize() == outcome.finished, 'the item is lost or doubled')
    case.expect(not queue._putters, 'a waiter is left')


@program('Queue.put', 'Queue.get', returns=[1, 2, 3])
async def lifo_and_priority_queues(case):
    async def body():
        for number in 3, 1, 2:
            await priority.put(number)
            await lifo.put(await priority.get())
        numbers = [await lifo.get() for _ in range(3)]
        return sorted(numbers)

    lifo, priority = asyncio.LifoQueue(3), asyncio.PriorityQueue()
    yield body


@program('Queue.get', raises=asyncio.QueueShutDown)
async def queue_shutdown(case):
    async def body():
        try:
            await queue.get()
        except asyncio.QueueShutDown:
            pass

    queue = asyncio.Queue()
    case.at(2, queue.shutdown)
    yield body
    case.expect(not queue._getters, 'a waiter is left')


@program('Queue.join')
async def queue_join(case):
    queue = asyncio.Queue()
    queue.put_nowait(1)
    case.at(2, queue.task_done)
    yield queue.join
    await queue.join()
