"""Tests of how a cancellation is delivered, and that it comes again and again.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import signal
import types
import unittest

from test.test_asyncio.scope_utils import (
    bare_yield, make_refusing_future, make_slow_future, matrix)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


class DeliveryTests:
    """Section 2, as far as it is the same for both kinds of request."""

    # Of a future that is done, or refuses cancel(), when the request comes.
    keeps_results = True

    def start(self, body):
        """Return a task that runs body(cancel), with cancel to interrupt it.
        """
        raise NotImplementedError

    async def run_body(self, body):
        return await self.start(body)

    def yield_points(self):
        """Pairs of a name and a function that returns an awaitable."""
        loop = self.loop

        async def acquire_condition():
            condition = asyncio.Condition()
            async with condition:
                await condition.wait()

        async def put():
            queue = asyncio.Queue(1)
            queue.put_nowait(1)
            await queue.put(2)

        async def join_queue():
            queue = asyncio.Queue()
            queue.put_nowait(1)
            await queue.join()

        async def lock():
            lock = asyncio.Lock()
            await lock.acquire()
            await lock.acquire()

        async def group():
            async with asyncio.TaskGroup() as group:
                group.create_task(self.forever())

        async def timeout():
            async with asyncio.timeout(100):
                await self.forever()

        async def nested_scopes():
            with self.CancelScope():
                with self.CancelScope(deadline=loop.time() + 100):
                    await self.forever()

        async def completed():
            async for _ in asyncio.as_completed([loop.create_future()]):
                pass

        return {
            'sleep(0)': lambda: asyncio.sleep(0),
            'sleep(n)': lambda: asyncio.sleep(100),
            'bare yield': bare_yield,
            'future': loop.create_future,
            'event': lambda: asyncio.Event().wait(),
            'lock': lock,
            'semaphore': lambda: asyncio.Semaphore(0).acquire(),
            'condition': acquire_condition,
            'barrier': lambda: asyncio.Barrier(2).wait(),
            'queue get': lambda: asyncio.Queue().get(),
            'queue put': put,
            'queue join': join_queue,
            'stream': lambda: asyncio.StreamReader(loop=loop).read(1),
            'task': lambda: self.spawn(self.forever()),
            'gather': lambda: asyncio.gather(self.forever(), self.forever()),
            'wait': lambda: asyncio.wait([loop.create_future()]),
            'wait_for': lambda: asyncio.wait_for(self.forever(), 100),
            'shield': lambda: asyncio.shield(loop.create_future()),
            'as_completed': completed,
            'group': group,
            'timeout': timeout,
            'scopes': nested_scopes,
        }

    async def test_2_1_every_kind_of_yield_point_raises(self):
        async def body(cancel):
            cancel()
            for name, point in self.yield_points().items():
                with self.subTest(name):
                    for _ in range(3):
                        with self.assertRaises(asyncio.CancelledError):
                            await point()
                        reached.append(name)
            return 'done'

        reached = []
        self.assertEqual(await self.run_body(body), 'done')
        self.assertEqual(len(reached), 3 * len(self.yield_points()))

    async def test_2_1_every_kind_of_yield_point_is_interrupted(self):
        async def body(cancel):
            self.loop.call_soon(self.loop.call_soon, cancel)
            with self.assertRaises(asyncio.CancelledError):
                await point()
            with self.assertRaises(asyncio.CancelledError):
                await point()
            return 'done'

        for name, point in self.yield_points().items():
            if name in ('sleep(0)', 'bare yield'):
                continue        # does not wait for the cancel: see 2.4
            with self.subTest(name):
                self.assertEqual(await self.run_body(body), 'done')

    async def test_2_1_catching_does_not_consume_it(self):
        async def body(cancel):
            cancel('why')
            caught = 0
            for _ in range(100):
                try:
                    await self.forever()
                except asyncio.CancelledError as exc:
                    self.assertEqual(exc.args, ('why',))
                    caught += 1
            return caught

        self.assertEqual(await self.run_body(body), 100)

    async def test_2_1_finally_and_handlers_are_interrupted_too(self):
        trace = []

        async def body(cancel):
            cancel()
            try:
                try:
                    await self.forever()
                finally:
                    trace.append('finally')
                    await asyncio.sleep(0)
                    trace.append('not reached')
            except asyncio.CancelledError:
                trace.append('handler')
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
                    trace.append('not reached')
            return 'done'

        self.assertEqual(await self.run_body(body), 'done')
        self.assertEqual(trace, ['finally', 'handler'])

    async def test_2_1_asynchronous_context_managers_and_generators(self):
        trace = []

        @contextlib.asynccontextmanager
        async def manager():
            try:
                yield
            finally:
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    trace.append('exit')
                    raise

        async def body(cancel):
            with self.assertRaises(asyncio.CancelledError):
                async with manager():
                    cancel()
                    await self.forever()
            return 'done'

        self.assertEqual(await self.run_body(body), 'done')
        self.assertEqual(trace, ['exit'])

    async def test_2_1_closing_of_a_generator(self):
        trace = []

        async def generate():
            try:
                yield
            finally:
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    trace.append('generator')
                    raise

        async def body(cancel):
            generator = generate()
            await anext(generator)
            cancel()
            with self.assertRaises(asyncio.CancelledError):
                await generator.aclose()
            return 'done'

        self.assertEqual(await self.run_body(body), 'done')
        self.assertEqual(trace, ['generator'])

    async def test_2_1_shielded_cleanup(self):
        trace = []

        async def body(cancel):
            cancel('why')
            try:
                await self.forever()
            except asyncio.CancelledError:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(0)
                    await asyncio.sleep(1)
                    trace.append('cleaned up')
                await self.assert_level('why')
            return 'done'

        self.assertEqual(await self.run_body(body), 'done')
        self.assertEqual(trace, ['cleaned up'])

    async def test_2_2_request_reaches_the_future_once_per_yield(self):
        """Trap 16: refused, so it is waited for, without polling."""
        async def body(cancel):
            cancel('why')
            await self.assert_level('why', times=1)
            for i in range(3):
                future = make_refusing_future(self)
                futures.append(future)
                self.loop.call_later(10, future.set_result, i)
                self.assertEqual(await future, i)
            await self.assert_level('why')
            return 'done'

        futures = []
        turns = self.loop.turns
        start = self.loop.time()
        self.assertEqual(await self.run_body(body), 'done')
        self.assertEqual([f.requests for f in futures], [['why']] * 3)
        self.assertEqual(self.loop.time(), start + 30)
        self.assertLess(self.loop.turns - turns, 60)

    async def test_2_2_refusing_future_that_fails(self):
        error = ValueError()

        async def body(cancel):
            cancel()
            await self.assert_level(times=1)
            future = make_refusing_future(self)
            self.loop.call_later(1, future.set_exception, error)
            with self.assertRaises(ValueError) as cm:
                await future
            self.assertIs(cm.exception, error)
            self.assertEqual(future.requests, [None])
            await self.assert_level()
            return 'done'

        self.assertEqual(await self.run_body(body), 'done')

    async def test_2_2_refusing_future_at_the_first_yield(self):
        # A request through Task.cancel() that was not delivered is thrown
        # when the task resumes, as in stock (5.2); a scope's is not.
        async def body(cancel):
            future = make_refusing_future(self)
            if first:
                cancel('why')
            else:
                self.loop.call_soon(self.loop.call_soon, cancel, 'why')
            start = self.loop.time()
            self.loop.call_later(10, future.set_result, 'result')
            if self.keeps_results:
                self.assertEqual(await future, 'result')
            else:
                await self.assert_cancelled(future, 'why')
            self.assertEqual(self.loop.time(), start + 10)
            self.assertEqual(future.requests, ['why'])
            await self.assert_level('why')
            return 'done'

        for first in True, False:
            turns = self.loop.turns
            self.assertEqual(await self.run_body(body), 'done')
            self.assertLess(self.loop.turns - turns, 40)

    async def test_2_3_gather_whose_children_are_done(self):
        # It refuses, for there is nothing to cancel; it is not done yet.
        async def body(cancel):
            waiters = [self.loop.create_future() for _ in range(2)]

            def complete():
                for waiter in waiters:
                    waiter.set_result('result')
                cancel('why')
                self.assertIs(gathered.done(), False)

            self.loop.call_soon(self.loop.call_soon, complete)
            gathered = asyncio.gather(*waiters)
            if self.keeps_results:
                self.assertEqual(await gathered, ['result', 'result'])
            else:
                await self.assert_cancelled(gathered, 'why')
            await self.assert_level('why')
            return 'done'

        self.assertEqual(await self.run_body(body), 'done')

    async def test_2_2_errors_of_the_task_machinery_are_kept(self):
        # A bad yield makes a RuntimeError at the next step: that is real.
        @types.coroutine
        def yield_this(value):
            yield value

        async def body(cancel):
            cancel()
            await self.assert_level(times=1)
            for value in 'nonsense', (i for i in ()):
                with self.assertRaisesRegex(RuntimeError, 'yield'):
                    await yield_this(value)
                await self.assert_level(times=1)
            with self.assertRaisesRegex(RuntimeError, 'itself'):
                await asyncio.current_task()
            await self.assert_level()
            return 'done'

        self.assertEqual(await self.run_body(body), 'done')

    async def test_2_2_request_is_made_at_once(self):
        # When the yield is handled, not a tick later.
        async def body(cancel):
            cancel()
            self.loop.call_soon(lambda: trace.append(future.cancelled()))
            with self.assertRaises(asyncio.CancelledError):
                await future
            return 'done'

        trace = []
        future = self.loop.create_future()
        self.assertEqual(await self.run_body(body), 'done')
        self.assertEqual(trace, [True])

    async def test_2_2_future_that_takes_time_to_honor_the_request(self):
        """Trap 16."""
        def finish_cancelled(future):
            future.really_cancel()

        def finish_with_result(future):
            future.set_result('result')

        def finish_with_error(future):
            future.set_exception(error)

        async def cancelled_first(cancel, future):
            cancel('why')
            return await future

        async def cancelled_later(cancel, future):
            self.loop.call_soon(self.loop.call_soon, cancel, 'why')
            return await future

        async def body(cancel):
            start = self.loop.time()
            future = make_slow_future(self, 5, finish)
            if finish is finish_with_result:
                self.assertEqual(await how(cancel, future), 'result')
            elif finish is finish_with_error:
                with self.assertRaises(ValueError) as cm:
                    await how(cancel, future)
                self.assertIs(cm.exception, error)
            else:
                with self.assertRaises(asyncio.CancelledError) as cm:
                    await how(cancel, future)
                self.assertEqual(cm.exception.args, ('slow',))
            self.assertEqual(self.loop.time(), start + 5)
            self.assertEqual(future.requests, ['why'])
            await self.assert_level('why')
            return 'done'

        error = ValueError()
        for finish in finish_cancelled, finish_with_result, finish_with_error:
            for how in cancelled_first, cancelled_later:
                with self.subTest(finish=finish.__name__, how=how.__name__):
                    turns = self.loop.turns
                    self.assertEqual(await self.run_body(body), 'done')
                    self.assertLess(self.loop.turns - turns, 40)

    async def test_2_2_future_that_is_done_inside_cancel(self):
        class ObligingFuture(self.Future):
            def cancel(self, msg=None):
                requests.append(msg)
                self.set_result('result')
                return True

        async def body(cancel):
            future = ObligingFuture(loop=self.loop)
            if first:
                await asyncio.sleep(0)
                cancel('why')
            else:
                self.loop.call_soon(self.loop.call_soon, cancel, 'why')
            self.assertEqual(await future, 'result')
            self.assertEqual(requests, ['why'])
            await self.assert_level('why')
            return 'done'

        for first in True, False:
            requests = []
            self.assertEqual(await self.run_body(body), 'done')

    async def test_2_2_object_like_a_future(self):
        # The protocol, without the class.
        class FutureLike:
            _asyncio_future_blocking = False

            def __init__(self, future):
                self.future = future
                self.requests = []

            def get_loop(self):
                return self.future.get_loop()

            def add_done_callback(self, callback, *, context=None):
                self.future.add_done_callback(
                    lambda _: callback(self), context=context)

            def done(self):
                return self.future.done()

            def result(self):
                return self.future.result()

            def cancel(self, msg=None):
                self.requests.append(msg)
                return self.future.cancel(msg)

            def __await__(self):
                if not self.future.done():
                    self._asyncio_future_blocking = True
                    yield self
                return self.future.result()

        async def body(cancel):
            future = FutureLike(self.loop.create_future())
            if first:
                cancel('why')
            else:
                self.loop.call_soon(self.loop.call_soon, cancel, 'why')
            await self.assert_cancelled(future, 'why')
            self.assertEqual(future.requests, ['why'])
            await self.assert_level('why')
            return 'done'

        for first in True, False:
            self.assertEqual(await self.run_body(body), 'done')

    async def test_2_2_task_that_waits_for_itself(self):
        # On stock cancel() fails with RecursionError, and the task goes on.
        def gather():
            return asyncio.gather(asyncio.current_task())

        def nested_gather():
            return asyncio.gather(asyncio.gather(asyncio.current_task()),
                                  self.loop.create_future())

        async def other(task):
            await task

        def another_task():
            return self.spawn(other(asyncio.current_task()))

        for wait in gather, nested_gather, another_task:
            for before in False, True:
                with self.subTest(wait=wait.__name__, before=before):
                    async def body(cancel):
                        if before:
                            cancel()
                        else:
                            self.loop.call_later(1, cancel)
                        with self.assertRaises(asyncio.CancelledError):
                            await wait()
                        return 'ended'

                    task = self.start(body)
                    await asyncio.wait([task], timeout=10)
                    self.assertIs(task.done(), True)
                    if not task.cancelled():
                        self.assertEqual(task.result(), 'ended')

    async def test_8_1_shielded_code_gathers_the_task_that_runs_it(self):
        async def cleanup(task):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        async def body(cancel):
            with self.assertRaises(asyncio.CancelledError):
                await asyncio.shield(cleanup(asyncio.current_task()))
            asyncio.current_task().uncancel()
            ended.append(True)

        ended = []
        task = self.start(body)
        await asyncio.wait([task], timeout=10)
        self.assertIs(task.done(), True)
        self.assertEqual(ended, [True])

    async def test_2_2_awaited_task_turns_cancellation_into_a_result(self):
        async def inner():
            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                return 'result', exc.args

        async def body(cancel):
            task = self.spawn(inner())
            if first:
                await asyncio.sleep(0)
                cancel('why')
            else:
                self.loop.call_soon(self.loop.call_soon, cancel, 'why')
            self.assertEqual(await task, ('result', ('why',)))
            await self.assert_level('why')
            return 'done'

        for first in True, False:
            self.assertEqual(await self.run_body(body), 'done')

    async def test_2_2_awaited_task_turns_cancellation_into_an_error(self):
        error = ValueError()

        async def inner():
            try:
                await self.forever()
            finally:
                raise error

        async def body(cancel):
            task = self.spawn(inner())
            self.loop.call_soon(self.loop.call_soon, cancel)
            with self.assertRaises(ValueError) as cm:
                await task
            self.assertIs(cm.exception, error)
            await self.assert_level()
            return 'done'

        self.assertEqual(await self.run_body(body), 'done')

    async def test_2_2_awaited_task_takes_time(self):
        async def inner():
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(50)

        async def body(cancel):
            task = self.spawn(inner())
            self.loop.call_soon(self.loop.call_soon, cancel)
            start = self.loop.time()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertEqual(self.loop.time(), start + 50)
            self.assertIs(task.cancelled(), True)
            return 'done'

        turns = self.loop.turns
        self.assertEqual(await self.run_body(body), 'done')
        self.assertLess(self.loop.turns - turns, 40)

    async def test_2_2_awaited_task_goes_on_all_the_same(self):
        class CountingTask(self.Task):
            requests = 0

            def cancel(self, msg=None):
                self.requests += 1
                return super().cancel(msg)

        async def inner():
            try:
                await self.forever()
            except asyncio.CancelledError:
                asyncio.current_task().uncancel()
            await asyncio.sleep(50)
            return 'result'

        async def body(cancel):
            task = CountingTask(inner(), loop=self.loop)
            await asyncio.sleep(0)
            cancel()
            start = self.loop.time()
            self.assertEqual(await task, 'result')
            self.assertEqual(self.loop.time(), start + 50)
            self.assertEqual(task.requests, 1)
            await self.assert_level()
            return 'done'

        self.assertEqual(await self.run_body(body), 'done')

    async def test_2_4_cancel_during_a_bare_yield(self):
        async def body(cancel):
            self.loop.call_soon(cancel, 'why')
            await self.assert_cancelled(point(), 'why')
            await self.assert_level('why')
            return 'done'

        for point in bare_yield, lambda: asyncio.sleep(0):
            self.assertEqual(await self.run_body(body), 'done')

    async def test_2_4_cancel_during_a_bare_yield_by_another_task(self):
        async def other(cancel):
            cancel('why')

        async def body(cancel):
            # This one runs before the next step of the body.
            task = self.Task(other(cancel), loop=self.loop)
            await self.assert_cancelled(asyncio.sleep(0), 'why')
            return task

        await (await self.run_body(body))

    async def test_2_7_the_loop_keeps_turning(self):
        async def other():
            while not stop:
                trace.add('task')
                await asyncio.sleep(0)

        def callback():
            if not stop:
                trace.add('callback')
                self.loop.call_soon(callback)

        async def body(cancel):
            cancel()
            for i in range(1000):
                try:
                    await point()
                except asyncio.CancelledError:
                    pass
            return 'done'

        self.loop.seconds_per_turn = 0.001
        for point in self.forever, lambda: asyncio.sleep(0):
            trace = set()
            stop = False
            task = self.spawn(other())
            self.loop.call_soon(callback)
            self.loop.call_later(0.5, trace.add, 'timer')
            self.assertEqual(await self.run_body(body), 'done')
            self.assertEqual(trace, {'task', 'callback', 'timer'})
            stop = True
            await task

    async def test_2_7_code_that_never_gives_up(self):
        async def body(cancel):
            cancel()
            while True:
                try:
                    await self.forever()
                except asyncio.CancelledError:
                    pass
                if stop:
                    return 'done'

        stop = False
        task = self.start(body)
        self.loop.seconds_per_turn = 0.01
        await asyncio.sleep(1)
        self.assertIs(task.done(), False)
        stop = True
        self.assertEqual(await task, 'done')

    @unittest.skipUnless(hasattr(signal, 'SIGUSR1'), 'requires SIGUSR1')
    async def test_2_7_signals_are_handled(self):
        async def body(cancel):
            cancel()
            signal.raise_signal(signal.SIGUSR1)
            for _ in range(1000):
                try:
                    await self.forever()
                except asyncio.CancelledError:
                    pass
                if trace:
                    return 'done'

        trace = []
        self.loop.add_signal_handler(signal.SIGUSR1, trace.append, 'signal')
        try:
            self.assertEqual(await self.run_body(body), 'done')
        finally:
            self.loop.remove_signal_handler(signal.SIGUSR1)
        self.assertEqual(trace, ['signal'])

    async def test_2_9_message_at_every_redelivery(self):
        for message in 'why', '', 42, ('a', 'b'), ValueError():
            async def body(cancel):
                cancel(message)
                for point in (asyncio.sleep(0), asyncio.sleep(1),
                              self.forever(), self.spawn(self.forever()),
                              self.loop.create_future()):
                    exc = await self.assert_cancelled(point, message)
                    self.assertIs(exc.args[0], message)
                return 'done'

            with self.subTest(message=message):
                self.assertEqual(await self.run_body(body), 'done')

    async def test_2_9_no_message(self):
        async def body(cancel):
            cancel()
            await self.assert_level()
            return 'done'

        self.assertEqual(await self.run_body(body), 'done')

    async def test_2_9_message_if_the_task_was_blocked(self):
        async def body(cancel):
            self.loop.call_soon(self.loop.call_soon, cancel, 'why')
            await self.assert_cancelled(self.forever(), 'why')
            await self.assert_level('why')
            return 'done'

        self.assertEqual(await self.run_body(body), 'done')

    async def test_2_9_each_delivery_is_a_new_error(self):
        async def body(cancel):
            cancel()
            errors = []
            for _ in range(3):
                for point in self.forever, bare_yield:
                    try:
                        await point()
                    except asyncio.CancelledError as exc:
                        errors.append(exc)
            return errors

        errors = await self.run_body(body)
        self.assertEqual(len(errors), 6)
        self.assertEqual(len(set(map(id, errors))), 6)
        for exc in errors:
            self.assertIs(type(exc), asyncio.CancelledError)
            self.assertIsNone(exc.__cause__)
            self.assertIsNone(exc.__context__)
            self.assertIs(exc.__suppress_context__, False)

    async def test_2_9_context_as_in_stock(self):
        async def body(cancel):
            cancel()
            for point in self.forever, bare_yield:
                error = ValueError()
                with self.assertRaises(asyncio.CancelledError) as cm:
                    try:
                        raise error
                    finally:
                        await point()
                self.assertIs(cm.exception.__context__, error)
                self.assertIsNone(cm.exception.__cause__)

                try:
                    try:
                        await point()
                    except asyncio.CancelledError as exc:
                        first = exc
                        await point()
                except asyncio.CancelledError as exc:
                    self.assertIsNot(exc, first)
                    self.assertIs(exc.__context__, first)
                    self.assertIsNone(exc.__cause__)
            return 'done'

        self.assertEqual(await self.run_body(body), 'done')


@matrix
class ScopeDeliveryTests(DeliveryTests):

    def start(self, body):
        async def run():
            with self.CancelScope() as scope:
                return await body(scope.cancel)
        return self.spawn(run())


@matrix
class OuterScopeDeliveryTests(DeliveryTests):
    """The cancelled scope is some way up."""

    def start(self, body):
        async def run():
            with self.CancelScope() as scope:
                with self.CancelScope():
                    with self.CancelScope():
                        return await body(scope.cancel)
        return self.spawn(run())


@matrix
class GroupDeliveryTests(DeliveryTests):
    """The cancelled scope surrounds the task's group."""

    def start(self, body):
        async def run():
            result = None

            async def child():
                nonlocal result
                result = await body(scope.cancel)

            with self.CancelScope() as scope:
                async with asyncio.TaskGroup() as group:
                    group.create_task(child())
            return result
        return self.spawn(run())


@matrix
class TaskDeliveryTests(DeliveryTests):
    """Task.cancel() cancels the task's own scope."""

    keeps_results = False       # rule 5.2

    def start(self, body):
        async def run():
            return await body(asyncio.current_task().cancel)
        return self.spawn(run())


@matrix
class FirstStepTests:
    """Rule 2.5."""

    def spawn_lazily(self, coro):
        """Make a task that has not taken its first step."""
        return self.Task(coro, loop=self.loop)

    async def test_2_5_task_cancel_before_the_start(self):
        trace = []

        async def child():
            trace.append('started')
            await self.assert_level('early')
            trace.append('goes on')
            await asyncio.sleep(0)
            trace.append('not reached')

        task = self.spawn_lazily(child())
        self.assertIs(task.cancel('early'), True)
        self.assertEqual(trace, [])
        with self.assertRaises(asyncio.CancelledError) as cm:
            await task
        self.assertEqual(trace, ['started', 'goes on'])
        self.assertEqual(cm.exception.args, ('early',))
        self.assertIs(task.cancelled(), True)

    async def test_2_5_cleanup_of_a_task_cancelled_before_the_start(self):
        # This is what the rule is for: what was handed to the task is owned.
        trace = []

        async def child():
            try:
                await asyncio.sleep(1)
            finally:
                trace.append('closed')

        task = self.spawn_lazily(child())
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertEqual(trace, ['closed'])

    async def test_2_5_task_cancelled_and_uncancelled_before_the_start(self):
        async def child():
            await self.assert_not_cancelled()
            return 'result'

        task = self.spawn_lazily(child())
        task.cancel()
        self.assertEqual(task.uncancel(), 0)
        self.assertEqual(await task, 'result')

    async def test_2_5_cancelled_right_after_create_task(self):
        # Lazy or eager: up to the first yield point, and no further.
        trace = []

        async def child():
            trace.append('started')
            await self.forever()
            trace.append('not reached')

        task = self.spawn(child())
        task.cancel('early')
        with self.assertRaises(asyncio.CancelledError) as cm:
            await task
        self.assertEqual(cm.exception.args, ('early',))
        self.assertEqual(trace, ['started'])

    async def test_2_5_awaiting_such_a_task_in_a_cancelled_scope(self):
        trace = []

        async def child():
            trace.append('started')
            await self.forever()

        with self.CancelScope() as scope:
            scope.cancel()
            await self.assert_cancelled(self.spawn_lazily(child()))
        self.assertEqual(trace, ['started'])

    async def test_2_5_member_created_in_a_cancelled_scope(self):
        await self.check_member(cancel_first=True)

    async def test_2_5_member_whose_scope_is_cancelled_before_the_start(self):
        await self.check_member(cancel_first=False)

    async def test_2_5_member_with_eager_start(self):
        for cancel_first in True, False:
            for eager_start in True, False:
                with self.subTest(cancel_first=cancel_first,
                                  eager_start=eager_start):
                    await self.check_member(cancel_first=cancel_first,
                                            eager_start=eager_start)

    async def check_member(self, *, cancel_first, **kwargs):
        trace = []

        async def child():
            trace.append('started')
            await self.assert_level('scope')
            trace.append('goes on')
            await self.forever()
            trace.append('not reached')

        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                if cancel_first:
                    scope.cancel('scope')
                task = group.create_task(child(), **kwargs)
                if not cancel_first:
                    scope.cancel('scope')
        self.assertEqual(trace, ['started', 'goes on'])
        self.assertIs(task.cancelled(), True)
        self.assert_scope(scope, called=True, caught=True)

    async def test_2_5_member_that_never_yields(self):
        async def child():
            return 'result'

        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                scope.cancel()
                task = group.create_task(child())
        self.assertEqual(task.result(), 'result')

    async def test_2_5_eager_first_step_cancels_itself(self):
        trace = []

        async def child():
            with self.CancelScope() as scope:
                scope.cancel('self')
                trace.append('before')
                await self.assert_cancelled(self.forever(), 'self')
                await self.assert_cancelled(asyncio.sleep(0), 'self')
                trace.append('after')
                await asyncio.sleep(0)
            trace.append('left')
            await self.assert_not_cancelled()
            asyncio.current_task().cancel('task')
            await self.assert_level('task')
            trace.append('end')

        await self.spawn(child())
        self.assertEqual(trace, ['before', 'after', 'left', 'end'])

    async def test_2_5_eager_first_step_in_the_spawners_cancelled_scope(self):
        # The child takes its first step on the spawner's stack, but it is
        # not in the spawner's scope.
        async def child():
            await asyncio.sleep(0)
            with self.CancelScope() as scope:
                scope.cancel('child')
                await self.assert_level('child')
            return 'result'

        with self.CancelScope() as scope:
            scope.cancel('host')
            task = self.spawn(child())
            await self.assert_level('host')
        self.assertEqual(await task, 'result')

    async def test_2_5_wait_for_does_not_start_the_coroutine(self):
        started = False

        async def child():
            nonlocal started
            started = True

        for timeout in 0, -1, -0.5:
            with self.subTest(timeout=timeout):
                coro = child()
                with self.assertRaises(TimeoutError):
                    await asyncio.wait_for(coro, timeout)
                self.assertIs(started, False)
                self.assertIsNone(coro.cr_frame)
        await self.assert_not_cancelled()

    async def test_2_5_wait_for_of_what_is_done(self):
        future = self.loop.create_future()
        future.set_result('result')
        self.assertEqual(await asyncio.wait_for(future, 0), 'result')
        self.assertEqual(await asyncio.wait_for(future, -1), 'result')


@matrix
class SameTickTests:
    """Rule 5.4; trap 20."""

    async def check(self, *, first, shield):
        """Task.cancel() and a scope's cancel in one tick."""
        async def child():
            with self.CancelScope(shield=shield) as scope:
                scopes.append(scope)
                await self.forever()
            trace.append('left')
            await asyncio.sleep(0)
            trace.append('not reached')

        scopes = []
        trace = []
        task = self.spawn(child())
        await self.settle()
        if first == 'scope':
            scopes[0].cancel('scope')
        self.assertIs(task.cancel('task'), True)
        if first == 'task':
            scopes[0].cancel('scope')
        with self.assertRaises(asyncio.CancelledError) as cm:
            await task
        self.assertIs(task.cancelled(), True)
        self.assertEqual(task.cancelling(), 1)
        if shield:
            self.assertEqual(trace, ['left'])
            self.assertEqual(cm.exception.args, ('task',))
        else:
            self.assertEqual(trace, [])
        self.assert_scope(scopes[0], called=True, caught=shield)

    async def test_5_4_request_survives_the_scopes_exit(self):
        for first in 'scope', 'task':
            for shield in False, True:
                with self.subTest(first=first, shield=shield):
                    await self.check(first=first, shield=shield)

    async def test_5_4_scope_whose_body_swallows(self):
        async def child():
            with self.CancelScope() as scope:
                scopes.append(scope)
                with contextlib.suppress(asyncio.CancelledError):
                    await self.forever()
            await self.assert_level('task')
            await self.forever()

        for first in 'scope', 'task':
            with self.subTest(first=first):
                scopes = []
                task = self.spawn(child())
                await self.settle()
                requests = [lambda: scopes[0].cancel('scope'),
                            lambda: task.cancel('task')]
                if first == 'task':
                    requests.reverse()
                for request in requests:
                    request()
                with self.assertRaises(asyncio.CancelledError) as cm:
                    await task
                self.assertEqual(cm.exception.args, ('task',))

    async def test_5_4_in_the_tick_in_which_the_scope_is_left(self):
        # The scope's error is on its way; then comes the request.
        async def child():
            with self.CancelScope() as scope:
                scope.cancel()
                try:
                    await self.forever()
                finally:
                    asyncio.current_task().cancel('task')
            self.fail('the scope swallowed')

        task = self.spawn(child())
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertIs(task.cancelled(), True)

    async def test_5_4_request_taken_back_in_the_same_tick(self):
        async def child():
            with self.CancelScope() as scope:
                scopes.append(scope)
                await self.forever()
            self.assert_scope(scope, called=True, caught=True)
            await self.assert_not_cancelled()
            return 'done'

        for first in 'scope', 'task':
            with self.subTest(first=first):
                scopes = []
                task = self.spawn(child())
                await self.settle()
                if first == 'scope':
                    scopes[0].cancel()
                task.cancel()
                task.uncancel()
                if first == 'task':
                    scopes[0].cancel()
                self.assertEqual(await task, 'done')

    async def test_5_4_with_a_deadline_in_one_tick(self):
        async def child():
            with self.CancelScope(deadline=self.loop.time() + 5):
                await self.forever()
            self.fail('the scope swallowed')

        task = self.spawn(child())
        self.loop.call_later(5, task.cancel)
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertIs(task.cancelled(), True)


if __name__ == '__main__':
    unittest.main()
