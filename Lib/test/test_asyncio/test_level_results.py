"""Tests of what a cancelled task gets from the awaitable that it waits for.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import unittest

from test.test_asyncio.scope_utils import make_refusing_future, matrix


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class ResultTests:
    """Rules 2.3 and 2.6; trap 15: results and scopes' cancels in one tick."""

    async def race(self, wait, complete, *, cancel_first):
        """Block on wait(); then complete() and cancel in one callback.

        Return what wait() returned; the next yield point must raise.
        """
        def both():
            if cancel_first:
                scope.cancel('why')
            complete()
            if not cancel_first:
                scope.cancel('why')

        async def host():
            nonlocal scope
            with self.CancelScope() as scope:
                result = await wait()
                await self.assert_level('why')
                return result
            return 'cancelled'

        scope = None
        task = self.spawn(host())
        await self.settle()
        self.loop.call_soon(both)
        result = await task
        self.assert_scope(scope, called=True,
                          caught=result == 'cancelled')
        self.assertIs(task.cancelled(), False)
        self.assertEqual(task.cancelling(), 0)
        return result

    async def test_2_3_result_delivered_in_same_tick_is_kept(self):
        for what in 'result', 'cancelled':
            with self.subTest(what):
                future = self.loop.create_future()

                async def wait():
                    return await future

                def complete():
                    self.assertIs(future.cancelled(), what == 'cancelled')
                    if not future.cancelled():
                        future.set_result('result')

                self.assertEqual(
                    await self.race(wait, complete,
                                    cancel_first=what == 'cancelled'), what)

    async def test_2_3_exception_delivered_in_same_tick_is_kept(self):
        future = self.loop.create_future()
        error = ValueError()

        async def wait():
            with self.assertRaises(ValueError) as cm:
                await future
            self.assertIs(cm.exception, error)
            return 'failed'

        self.assertEqual(
            await self.race(wait, lambda: future.set_exception(error),
                            cancel_first=False), 'failed')

    async def test_2_3_waiter_is_cancelled_inside_cancel(self):
        async def host(waiter):
            with self.CancelScope() as outer:
                with self.CancelScope():
                    scopes.append(outer)
                    await waiter

        scopes = []
        for future in self.loop.create_future(), self.Future(loop=self.loop):
            task = self.spawn(host(future))
            await self.settle()
            scopes[-1].cancel('why')
            self.assertIs(future.cancelled(), True)
            self.assertIs(task.done(), False)
            await task

    async def test_2_3_waiters_of_group_members_are_cancelled_inside(self):
        async def member(waiter):
            await waiter

        async def host():
            nonlocal scope
            with self.CancelScope() as scope:
                async with asyncio.TaskGroup() as group:
                    for waiter in waiters[1:]:
                        group.create_task(member(waiter))
                    await waiters[0]

        scope = None
        waiters = [self.loop.create_future() for _ in range(4)]
        task = self.spawn(host())
        await self.settle()
        scope.cancel()
        self.assertEqual([w.cancelled() for w in waiters], [True] * 4)
        await task
        self.assert_scope(scope, called=True, caught=True)

    async def test_2_3_queue_item_is_kept(self):
        queue = asyncio.Queue()
        result = await self.race(queue.get, lambda: queue.put_nowait('item'),
                                 cancel_first=False)
        self.assertEqual(result, 'item')
        self.assertIs(queue.empty(), True)

    async def test_2_3_queue_item_is_not_taken_by_a_cancelled_getter(self):
        queue = asyncio.Queue()
        result = await self.race(queue.get, lambda: queue.put_nowait('item'),
                                 cancel_first=True)
        self.assertEqual(result, 'cancelled')
        self.assertEqual(queue.get_nowait(), 'item')

    async def test_2_3_queue_item_goes_to_the_next(self):
        queue = asyncio.Queue()
        others = []

        async def get():
            # The one that is cancelled is the first in the line.
            self.loop.call_soon(
                lambda: others.append(self.spawn(queue.get())))
            return await queue.get()

        result = await self.race(get, lambda: queue.put_nowait('item'),
                                 cancel_first=True)
        self.assertEqual(result, 'cancelled')
        self.assertEqual(await others[0], 'item')

    async def test_2_3_queue_put_is_kept(self):
        queue = asyncio.Queue(1)
        queue.put_nowait('old')

        async def put():
            await queue.put('new')
            return 'put'

        self.assertEqual(
            await self.race(put, queue.get_nowait, cancel_first=False), 'put')
        self.assertEqual(queue.get_nowait(), 'new')
        queue.put_nowait('old')
        self.assertEqual(
            await self.race(put, queue.get_nowait, cancel_first=True),
            'cancelled')
        self.assertIs(queue.empty(), True)

    async def test_2_3_lock_handed_over_is_kept(self):
        lock = asyncio.Lock()
        await lock.acquire()
        self.assertIs(await self.race(lock.acquire, lock.release,
                                      cancel_first=False), True)
        self.assertIs(lock.locked(), True)
        lock.release()

    async def test_2_3_lock_goes_to_the_next(self):
        lock = asyncio.Lock()
        await lock.acquire()
        others = []

        async def acquire():
            self.loop.call_soon(
                lambda: others.append(self.spawn(lock.acquire())))
            return await lock.acquire()

        self.assertEqual(await self.race(acquire, lock.release,
                                         cancel_first=True), 'cancelled')
        self.assertIs(await others[0], True)
        self.assertIs(lock.locked(), True)
        lock.release()
        self.assertIs(lock.locked(), False)

    async def test_2_3_semaphore_is_kept_or_goes_to_the_next(self):
        semaphore = asyncio.Semaphore(0)
        self.assertIs(await self.race(semaphore.acquire, semaphore.release,
                                      cancel_first=False), True)
        self.assertIs(semaphore.locked(), True)

        others = []

        async def acquire():
            self.loop.call_soon(
                lambda: others.append(self.spawn(semaphore.acquire())))
            return await semaphore.acquire()

        self.assertEqual(await self.race(acquire, semaphore.release,
                                         cancel_first=True), 'cancelled')
        self.assertIs(await others[0], True)
        semaphore.release()
        self.assertIs(await semaphore.acquire(), True)

    async def test_2_3_event(self):
        event = asyncio.Event()
        self.assertIs(await self.race(event.wait, event.set,
                                      cancel_first=False), True)
        event.clear()
        self.assertEqual(await self.race(event.wait, event.set,
                                         cancel_first=True), 'cancelled')

    async def test_2_3_bytes_that_were_read_are_kept(self):
        for cancel_first, expected in (False, b'data'), (True, 'cancelled'):
            with self.subTest(expected):
                stream = asyncio.StreamReader(loop=self.loop)
                result = await self.race(
                    lambda: stream.read(100),
                    lambda: stream.feed_data(b'data'),
                    cancel_first=cancel_first)
                self.assertEqual(result, expected)
                if cancel_first:
                    self.assertEqual(await stream.read(100), b'data')

    async def test_2_3_outcome_of_an_awaited_task_is_kept(self):
        waiter = self.loop.create_future()

        async def inner():
            await waiter
            return 'result'

        async def host():
            nonlocal scope
            with self.CancelScope() as scope:
                self.assertEqual(await task, 'result')
                await self.assert_level('why')
                return 'done'

        scope = None
        task = self.spawn(inner())
        # The task is done, and its done-callback that wakes the host is
        # queued behind this one.
        task.add_done_callback(lambda _: scope.cancel('why'))
        host_task = self.spawn(host())
        await self.settle()
        waiter.set_result(None)
        self.assertEqual(await host_task, 'done')

    async def test_2_3_outcome_of_gather_is_kept(self):
        waiters = [self.loop.create_future() for _ in range(2)]
        gathered = None

        async def wait():
            nonlocal gathered
            gathered = asyncio.gather(*waiters)
            gathered.add_done_callback(lambda _: trace.append('done'))
            return await gathered

        trace = []

        async def host():
            with self.CancelScope() as scope:
                scopes.append(scope)
                result = await wait()
                await self.assert_level()
                return result

        scopes = []
        task = self.spawn(host())
        await self.settle()
        gathered.add_done_callback(lambda _: scopes[0].cancel())
        for waiter in waiters:
            waiter.set_result('result')
        self.assertEqual(await task, ['result', 'result'])

    async def test_2_3_cancel_between_the_result_and_the_wake_up(self):
        # The wake-up is queued already, by a callback of its own.
        future = self.loop.create_future()
        with self.CancelScope() as scope:
            self.loop.call_soon(future.set_result, 'result')
            self.loop.call_soon(scope.cancel)
            self.assertEqual(await future, 'result')
            await self.assert_level()

    async def test_2_3_deadline_and_result_in_one_tick(self):
        future = self.loop.create_future()
        self.loop.call_later(5, future.set_result, 'result')
        with self.CancelScope(deadline=self.loop.time() + 5) as scope:
            try:
                self.assertEqual(await future, 'result')
            except asyncio.CancelledError:
                # The order of timers that are due at once is not promised,
                # but the future must agree with what the task has got.
                self.assertIs(future.cancelled(), True)
            else:
                self.assertIs(future.cancelled(), False)
            self.assertIs(scope.cancel_called, True)
            await self.assert_level('deadline exceeded')

    async def test_2_2_requests_of_several_scopes_reach_a_future_once(self):
        """Trap 16."""
        future = make_refusing_future(self)

        async def host():
            with self.CancelScope() as outer:
                with self.CancelScope() as middle:
                    with self.CancelScope() as inner:
                        scopes.extend([inner, middle, outer])
                        self.assertEqual(await future, 'result')
                        await self.assert_cancelled(asyncio.sleep(0), 'inner')
                        return 'done'

        scopes = []
        task = self.spawn(host())
        await self.settle()
        for scope, message in zip(scopes, ('inner', 'middle', 'outer')):
            scope.cancel(message)
            scope.shield = True
            scope.shield = False
        self.assertEqual(future.requests, ['inner'])
        await self.settle()
        future.set_result('result')
        self.assertEqual(await task, 'done')
        self.assertEqual(future.requests, ['inner'])

    async def test_2_2_request_of_a_scope_after_that_of_the_task(self):
        future = make_refusing_future(self)

        async def host():
            with self.CancelScope() as scope:
                scopes.append(scope)
                await future

        scopes = []
        task = self.spawn(host())
        await self.settle()
        task.cancel('task')
        self.assertEqual(future.requests, ['task'])
        scopes[0].cancel('scope')
        self.assertEqual(future.requests, ['task'])
        future.set_result('result')
        with self.assertRaises(asyncio.CancelledError):
            await task

    async def test_2_2_request_after_one_that_was_taken_back(self):
        future = make_refusing_future(self)

        async def host():
            with self.CancelScope() as outer, self.CancelScope() as inner:
                scopes.extend([outer, inner])
                await future

        scopes = []
        task = self.spawn(host())
        await self.settle()
        outer, inner = scopes
        for msg in 'first', 'second':
            task.cancel(msg)
            task.uncancel()
        outer.cancel('outer')
        inner.shield = True
        inner.cancel('inner')
        self.assertEqual(future.requests,
                         ['first', 'second', 'outer', 'inner'])
        outer.shield = True
        outer.shield = False
        self.assertEqual(len(future.requests), 4)   # It is cancelled still.
        future.set_result('result')
        await task
        self.assert_scope(inner, called=True, caught=False)

    async def test_2_6_cancel_after_the_last_yield_point(self):
        async def child():
            with self.CancelScope() as scope:
                await asyncio.sleep(0)
                scope.cancel()
                return 'result'

        task = self.spawn(child())
        self.assertEqual(await task, 'result')
        self.assertIs(task.cancelled(), False)
        self.assertEqual(task.cancelling(), 0)

    async def test_2_6_cancel_while_the_last_step_is_queued(self):
        waiter = self.loop.create_future()

        async def child():
            with self.CancelScope() as scope:
                scopes.append(scope)
                await waiter
                return 'result'

        scopes = []
        task = self.spawn(child())
        await self.settle()
        waiter.set_result(None)
        scopes[0].cancel()
        self.assertEqual(await task, 'result')
        self.assertIs(task.cancelled(), False)
        self.assert_scope(scopes[0], called=True, caught=False)

    async def test_2_6_member_of_a_cancelled_group(self):
        async def child():
            await waiter
            return 'result'

        waiter = self.loop.create_future()
        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(child())
                await self.settle()
                waiter.set_result(None)
                scope.cancel()
        self.assertEqual(task.result(), 'result')
        self.assertIs(task.cancelled(), False)

    async def test_2_2_result_is_kept_when_a_shield_is_dropped(self):
        # Task.cancel() waits for the shield; what is awaited takes the request
        # when the shield goes, so the request is delivered.
        async def stubborn():
            try:
                await self.forever()
            except asyncio.CancelledError:
                return 42

        async def host():
            nonlocal scope
            with self.CancelScope(shield=True) as scope:
                results.append(await inner)
            await self.assert_cancelled(asyncio.sleep(0), 'why')

        scope, results = None, []
        inner = self.spawn(stubborn())
        task = self.spawn(host())
        await self.settle()
        task.cancel('why')
        self.assertTrue(task._must_cancel)
        scope.shield = False
        self.assertFalse(task._must_cancel)
        await task
        self.assertEqual(results, [42])


@matrix
class AwaitedTests:
    """Rule 5.6, and what 2.2 means for functions that wait."""

    async def test_5_6_awaited_task_is_cancelled(self):
        for wait in lambda t: t, asyncio.gather, lambda t: asyncio.wait_for(
                t, 100):
            task = self.spawn(self.forever())
            await self.settle()
            with self.CancelScope() as scope:
                self.loop.call_soon(scope.cancel, 'why')
                await self.assert_cancelled(wait(task), 'why')
                self.assertIs(task.cancelled(), True)
                self.assertEqual(task.cancelling(), 1)

    async def test_5_6_gather_cancels_and_waits_for_all(self):
        async def child(delay):
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(delay)

        for return_exceptions in False, True:
            with self.subTest(return_exceptions=return_exceptions):
                children = [self.spawn(child(i)) for i in (1, 5)]
                await self.settle()
                start = self.loop.time()
                with self.CancelScope() as scope:
                    self.loop.call_soon(scope.cancel)
                    with self.assertRaises(asyncio.CancelledError):
                        await asyncio.gather(
                            *children, return_exceptions=return_exceptions)
                    self.assertEqual(
                        [task.cancelling() for task in children], [1, 1])
                    if return_exceptions:
                        self.assertEqual(self.loop.time(), start + 5)
                    else:       # as in stock: the first one decides
                        self.assertEqual(self.loop.time(), start + 1)
                await asyncio.wait(children)
                self.assertEqual([task.cancelled() for task in children],
                                 [True, True])

    async def test_5_6_gather_of_coroutines(self):
        trace = []

        async def child(i):
            try:
                await self.forever()
            finally:
                trace.append(i)

        with self.CancelScope() as scope:
            scope.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await asyncio.gather(child(1), child(2))
        await self.settle()
        self.assertEqual(sorted(trace), [1, 2])

    async def test_5_6_wait_does_not_cancel_what_it_waits_for(self):
        task = self.spawn(asyncio.sleep(10, 'result'))
        with self.CancelScope() as scope:
            self.loop.call_soon(scope.cancel, 'why')
            await self.assert_cancelled(asyncio.wait([task]), 'why')
            await self.assert_cancelled(asyncio.wait([task]), 'why')
        self.assertEqual(task.cancelling(), 0)
        self.assertEqual(await task, 'result')

    async def test_5_6_shielded_task_is_not_cancelled(self):
        task = self.spawn(asyncio.sleep(10, 'result'))
        with self.CancelScope() as scope:
            self.loop.call_soon(scope.cancel, 'why')
            with self.assertRaises(asyncio.CancelledError):
                await asyncio.shield(task)
            self.assertIs(task.done(), False)
        self.assertEqual(task.cancelling(), 0)
        self.assertEqual(await task, 'result')

    async def test_5_6_wait_for_in_a_cancelled_scope(self):
        with self.CancelScope() as scope:
            scope.cancel('why')
            for _ in range(2):
                await self.assert_cancelled(
                    asyncio.wait_for(self.forever(), 100), 'why')
        await self.assert_not_cancelled()

    async def test_5_6_cleanup_waits_for_its_worker(self):
        """Trap 18."""
        async def work():
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(5)
                trace.append('worker')

        trace = []
        worker = self.spawn(work())
        await self.settle()
        start = self.loop.time()
        with self.CancelScope() as scope:
            self.loop.call_later(1, scope.cancel)
            try:
                await self.forever()
            finally:
                worker.cancel()
                try:
                    await worker
                finally:
                    trace.append('host')
        self.assertEqual(trace, ['worker', 'host'])
        self.assertEqual(self.loop.time(), start + 6)
        self.assertIs(worker.cancelled(), True)
        self.assert_scope(scope, called=True, caught=True)
        self.assertLess(self.loop.turns, 60)

    async def test_5_6_cleanup_waits_for_a_worker_that_uncancels(self):
        """Trap 18: it does not hang either if the worker swallows."""
        async def work():
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()
            return 'swallowed'

        worker = self.spawn(work())
        await self.settle()
        with self.CancelScope() as scope:
            scope.cancel()
            worker.cancel()
            self.assertEqual(await worker, 'swallowed')
            await self.assert_level()

    async def test_2_2_wait_for_zero_waits_for_the_child(self):
        """Trap 42: _cancel_and_wait() in a cancelled scope."""
        async def child():
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(5)

        for timeout in 0, -1:
            with self.subTest(timeout=timeout):
                task = self.spawn(child())
                await self.settle()
                start = self.loop.time()
                with self.CancelScope() as scope:
                    scope.cancel('why')
                    with self.assertRaises((TimeoutError,
                                            asyncio.CancelledError)):
                        await asyncio.wait_for(task, timeout)
                    self.assertIs(task.cancelled(), True)
                    self.assertEqual(self.loop.time(), start + 5)
                    await self.assert_level('why')
                await self.assert_not_cancelled()

    async def test_2_2_wait_for_zero_interrupted_while_it_waits(self):
        """Trap 42."""
        async def child():
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(5)

        task = self.spawn(child())
        await self.settle()
        start = self.loop.time()
        with self.CancelScope(deadline=start + 1):
            with self.assertRaises((TimeoutError, asyncio.CancelledError)):
                await asyncio.wait_for(task, 0)
            self.assertIs(task.cancelled(), True)
            self.assertEqual(self.loop.time(), start + 5)
            await self.assert_level('deadline exceeded')
        await self.assert_not_cancelled()

    async def test_B_wait_for_zero_of_a_future_that_refuses(self):
        future = make_refusing_future(self)
        task = self.spawn(asyncio.wait_for(future, 0))
        await self.settle()
        self.assertEqual(future.requests, [None])
        task.cancel('why')
        await self.settle()
        self.assertIs(task.cancelled(), True)
        with self.CancelScope() as scope:
            self.loop.call_later(1, scope.cancel)
            await asyncio.wait_for(future, 0)
        self.assert_scope(scope, called=True, caught=True)
        # It is waited for as long as nothing else ends that.
        self.loop.call_later(1, future.set_result, 'result')
        self.assertEqual(await asyncio.wait_for(future, 0), 'result')


@matrix
class PrimitiveTests:
    """Locks and queues of asyncio in cancelled scopes; traps 15 and 17."""

    class CountingLock(asyncio.Lock):
        attempts = 0

        async def acquire(self):
            self.attempts += 1
            return await super().acquire()

    async def check_condition_wait(self, cancel_how):
        """Cancel Condition.wait() while another task holds the lock."""
        async def wait():
            nonlocal attempts
            async with condition:
                with self.CancelScope() as scope:
                    scopes.append(scope)
                    try:
                        await condition.wait()
                    finally:
                        trace.append(('woken', self.loop.time() - start,
                                      holder_done, condition.locked()))
                        attempts = lock.attempts
                trace.append('swallowed')

        async def hold():
            nonlocal holder_done
            async with condition:
                await gate
                await asyncio.sleep(1)
                holder_done = True

        scopes = []
        trace = []
        holder_done = False
        attempts = None
        gate = self.loop.create_future()
        lock = self.CountingLock()
        condition = asyncio.Condition(lock)
        waiter = self.spawn(wait())
        await self.settle()
        holder = self.spawn(hold())
        await self.settle()
        lock.attempts = 0
        start = self.loop.time()
        turns = self.loop.turns
        cancel_how(waiter, scopes[0])
        await self.settle()
        self.assertIs(waiter.done(), False)
        gate.set_result(None)
        await asyncio.wait([waiter, holder])
        self.assertEqual(trace[0], ('woken', 1, True, True))
        # One attempt that is interrupted, and one that is not.
        self.assertIn(attempts, (1, 2))
        self.assertLess(self.loop.turns - turns, 50)
        self.assertIs(condition.locked(), False)
        await holder
        return waiter, scopes[0], trace

    async def test_2_1_condition_wait_does_not_spin(self):
        """Trap 17: the lock is acquired once, then comes the error."""
        waiter, scope, trace = await self.check_condition_wait(
            lambda task, scope: scope.cancel())
        await waiter
        self.assertEqual(trace[1:], ['swallowed'])
        self.assert_scope(scope, called=True, caught=True)

    async def test_5_1_condition_wait_under_task_cancel(self):
        """Trap 17."""
        waiter, scope, trace = await self.check_condition_wait(
            lambda task, scope: task.cancel('why'))
        self.assertIs(waiter.cancelled(), True)
        self.assertEqual(trace[1:], [])

    async def test_5_4_condition_wait_cancelled_again_and_again(self):
        """Trap 17."""
        def cancel(task, scope):
            task.cancel()
            scope.cancel()
            for i in range(1, 4):
                self.loop.call_later(i / 10, task.cancel)

        waiter, scope, trace = await self.check_condition_wait(cancel)
        self.assertIs(waiter.cancelled(), True)

    async def test_2_1_condition_wait_in_an_already_cancelled_scope(self):
        condition = asyncio.Condition()
        async with condition:
            with self.CancelScope() as scope:
                scope.cancel('why')
                for _ in range(3):
                    await self.assert_cancelled(condition.wait(), 'why')
                    self.assertIs(condition.locked(), True)

    async def test_2_3_condition_passes_on_the_notification(self):
        async def wait(name):
            async with condition:
                with self.CancelScope() as scope:
                    scopes[name] = scope
                    await condition.wait()
                    trace.append(name)

        for cancel_first in True, False:
            with self.subTest(cancel_first=cancel_first):
                scopes = {}
                trace = []
                condition = asyncio.Condition()
                first = self.spawn(wait('first'))
                await self.settle()
                second = self.spawn(wait('second'))
                await self.settle()
                async with condition:
                    if cancel_first:
                        scopes['first'].cancel()
                    condition.notify()
                    if not cancel_first:
                        scopes['first'].cancel()
                await self.settle()
                # One of them was notified, whatever has become of the other.
                self.assertEqual(len(trace), 1)
                if cancel_first:
                    self.assertEqual(trace, ['second'])
                async with condition:
                    condition.notify_all()
                await asyncio.wait([first, second])
                self.assertIs(condition.locked(), False)

    async def test_2_1_async_with_lock(self):
        lock = asyncio.Lock()
        with self.CancelScope() as scope:
            async with lock:
                scope.cancel()
                await self.forever()
        self.assertIs(lock.locked(), False)
        self.assert_scope(scope, called=True, caught=True)

    async def test_2_1_waiters_of_a_lock_in_one_cancelled_group(self):
        async def work(i):
            async with lock:
                trace.append(i)
                await self.forever()

        trace = []
        lock = asyncio.Lock()
        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                for i in range(20):
                    group.create_task(work(i))
                await self.settle()
                scope.cancel()
        self.assertEqual(trace, [0])
        self.assertIs(lock.locked(), False)
        self.assertFalse(lock._waiters)
        await asyncio.wait_for(lock.acquire(), 1)

    async def test_2_1_waiters_of_a_semaphore_in_one_cancelled_group(self):
        async def work():
            async with semaphore:
                await self.forever()

        semaphore = asyncio.Semaphore(3)
        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(work())
                await self.settle()
                scope.cancel()
        for _ in range(3):
            self.assertIs(semaphore.locked(), False)
            await semaphore.acquire()
        self.assertIs(semaphore.locked(), True)

    async def test_2_1_queue_after_cancelled_getters_and_putters(self):
        queue = asyncio.Queue(1)
        for operation in queue.get, lambda: queue.put('lost'):
            if operation is not queue.get and not queue.full():
                queue.put_nowait('item')
            with self.CancelScope() as scope:
                async with asyncio.TaskGroup() as group:
                    for _ in range(10):
                        group.create_task(operation())
                    await self.settle()
                    scope.cancel()
        self.assertEqual(queue.get_nowait(), 'item')
        self.assertIs(queue.empty(), True)
        getter = self.spawn(queue.get())
        await self.settle()
        await queue.put('next')
        self.assertEqual(await getter, 'next')

    async def test_2_1_barrier_after_a_cancelled_waiter(self):
        barrier = asyncio.Barrier(2)
        with self.CancelScope() as scope:
            self.loop.call_soon(scope.cancel)
            await barrier.wait()
        self.assert_scope(scope, called=True, caught=True)
        self.assertEqual(barrier.n_waiting, 0)
        self.assertEqual(
            sorted(await asyncio.gather(barrier.wait(), barrier.wait())),
            [0, 1])


if __name__ == '__main__':
    unittest.main()
