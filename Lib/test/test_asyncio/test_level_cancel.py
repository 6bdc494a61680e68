"""Tests for level cancellation: how it reaches tasks, and Task.cancel()."""

import asyncio
import contextlib
import contextvars
import signal
import types
import unittest
import weakref
from asyncio import tasks

from test.test_asyncio.scope_utils import matrix


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@types.coroutine
def bare_yield():
    yield


def make_refusing_future(test):
    """A future that counts the requests to cancel it, and refuses."""
    class RefusingFuture(test.Future):
        def cancel(self, msg=None):
            self.requests.append(msg)
            return False

    future = RefusingFuture(loop=test.loop)
    future.requests = []
    return future


def make_slow_future(test, delay, finish):
    """A future that says yes to cancel(), and is done a while later."""
    class SlowFuture(test.Future):
        def cancel(self, msg=None):
            self.requests.append(msg)
            self.get_loop().call_later(delay, finish, self)
            return True

        def really_cancel(self):
            super().cancel('slow')

    future = SlowFuture(loop=test.loop)
    future.requests = []
    return future


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

    async def test_2_1_shielded_clean_up(self):
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
        """Trap 16: refused, so it is waited for; nobody polls."""
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
        # A request through Task.cancel() that nobody has taken is thrown
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

    async def test_2_2_future_that_takes_time_to_honour_the_request(self):
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

    async def test_2_5_clean_up_of_a_task_cancelled_before_the_start(self):
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
class TaskCancelTests:
    """Rules 5.1 and 5.2."""

    async def test_5_1_cancel_returns_false_on_a_finished_task(self):
        async def child():
            return 'result'

        task = self.spawn(child())
        await task
        self.assertIs(task.cancel(), False)
        self.assertEqual(task.cancelling(), 0)
        self.assertEqual(task.result(), 'result')

    async def test_5_1_cancel_counts(self):
        async def child():
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()
            counts.append(asyncio.current_task().cancelling())

        counts = []
        task = self.spawn(child())
        await self.settle()
        self.assertEqual(task.cancelling(), 0)
        for i in 1, 2, 3:
            self.assertIs(task.cancel(), True)
            self.assertEqual(task.cancelling(), i)
        await task
        self.assertEqual(counts, [3])

    async def test_5_1_cancel_msg_by_keyword(self):
        task = self.spawn(self.forever())
        await self.settle()
        task.cancel(msg='why')
        with self.assertRaises(asyncio.CancelledError) as cm:
            await task
        self.assertEqual(cm.exception.args, ('why',))

    async def test_5_1_cancel_does_not_pierce_a_shield(self):
        waiter = self.loop.create_future()
        trace = []

        async def child():
            with self.CancelScope(shield=True) as scope:
                trace.append(await waiter)
                await asyncio.sleep(0)
                await asyncio.sleep(1)
                trace.append('shielded')
            self.assert_scope(scope, called=False, caught=False)
            trace.append('no yield point')
            await self.assert_level('why')
            await self.forever()

        task = self.spawn(child())
        await self.settle()
        self.assertIs(task.cancel('why'), True)
        self.assertEqual(task.cancelling(), 1)
        await self.settle()
        self.assertIs(waiter.done(), False)
        waiter.set_result('result')
        with self.assertRaises(asyncio.CancelledError) as cm:
            await task
        self.assertEqual(cm.exception.args, ('why',))
        self.assertEqual(trace, ['result', 'shielded', 'no yield point'])
        self.assertIs(task.cancelled(), True)

    async def test_5_1_shield_holds_back_what_5_2_would_raise(self):
        # The future is done already, and so is the bare yield.
        waiter = self.loop.create_future()

        async def child():
            outside = contextvars.copy_context()
            with self.CancelScope(shield=True):
                self.assertEqual(await waiter, 'result')
                self.loop.call_soon(asyncio.current_task().cancel,
                                    context=outside)
                await asyncio.sleep(0)
                await asyncio.sleep(1)
            await self.assert_level()
            return 'done'

        task = self.spawn(child())
        await self.settle()
        waiter.set_result('result')
        task.cancel()
        self.assertEqual(await task, 'done')

    async def test_5_1_hidden_request_is_not_used_up(self):
        # What is delivered in the shielded scope is that scope's own
        # cancellation; the request stays undelivered (5.2).
        async def child(point):
            asyncio.current_task().cancel('task')
            with self.CancelScope(shield=True) as scope:
                scope.cancel('scope')
                await self.assert_cancelled(point(), 'scope')
            return 'result'

        for point in bare_yield, self.forever, self.loop.create_future:
            task = self.spawn(child(point))
            with self.assertRaises(asyncio.CancelledError) as cm:
                await task
            self.assertEqual(cm.exception.args, ('task',))
            self.assertIs(task.cancelled(), True)

    async def test_5_1_hidden_request_does_not_cost_a_result(self):
        waiter = self.loop.create_future()

        async def child():
            with self.CancelScope(shield=True) as scope:
                scopes.append(scope)
                self.assertEqual(await waiter, 'result')
                await self.assert_level('scope')
            await self.assert_level('task')
            return 'done'

        scopes = []
        task = self.spawn(child())
        await self.settle()
        waiter.set_result('result')
        task.cancel('task')
        scopes[0].cancel('scope')
        self.assertEqual(await task, 'done')

    async def test_5_1_shield_set_after_the_request(self):
        async def child():
            task = asyncio.current_task()
            task.cancel('why')
            with self.CancelScope(shield=True):
                await asyncio.sleep(0)
                await asyncio.sleep(1)
            await self.assert_level('why')
            return 'done'

        self.assertEqual(await self.spawn(child()), 'done')

    async def test_5_1_unshield_delivers_task_cancel_at_once(self):
        waiter = self.loop.create_future()

        async def child():
            with self.CancelScope(shield=True) as scope:
                scopes.append(scope)
                await self.assert_cancelled(waiter, 'why')
            return 'done'

        scopes = []
        task = self.spawn(child())
        await self.settle()
        task.cancel('why')
        self.assertIs(waiter.done(), False)
        scopes[0].shield = False
        self.assertIs(waiter.cancelled(), True)
        self.assertEqual(await task, 'done')

    async def test_5_1_cancel_is_level(self):
        async def child():
            await self.assert_cancelled(self.forever(), 'why')
            await self.assert_level('why')
            with self.CancelScope():
                await self.assert_level('why')
            return 'done'

        task = self.spawn(child())
        await self.settle()
        task.cancel('why')
        self.assertEqual(await task, 'done')
        self.assertIs(task.cancelled(), False)

    async def test_5_1_waiter_is_cancelled_inside_cancel(self):
        waiter = self.loop.create_future()

        async def child():
            await waiter

        task = self.spawn(child())
        await self.settle()
        task.cancel()
        self.assertIs(waiter.cancelled(), True)
        with self.assertRaises(asyncio.CancelledError):
            await task

    async def test_5_1_cancelled_error_is_the_one_that_was_raised(self):
        async def child():
            nonlocal ref
            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                ref = weakref.ref(exc)
                raise

        ref = None
        task = self.spawn(child())
        await self.settle()
        task.cancel('why')
        with self.assertRaises(asyncio.CancelledError) as cm:
            await task
        self.assertIs(cm.exception, ref())
        self.assertEqual(cm.exception.args, ('why',))

    async def test_5_2_done_future_is_interrupted_all_the_same(self):
        """Trap 41: for Task.cancel(), not for scopes."""
        waiter = self.loop.create_future()

        async def child():
            await self.assert_cancelled(waiter, 'why')
            await self.assert_level('why')
            return 'done'

        task = self.spawn(child())
        await self.settle()
        waiter.set_result('result')
        task.cancel('why')
        self.assertEqual(await task, 'done')

    async def test_5_2_failed_future_is_interrupted_all_the_same(self):
        waiter = self.loop.create_future()

        async def child():
            await self.assert_cancelled(waiter, 'why')
            return 'done'

        task = self.spawn(child())
        await self.settle()
        waiter.set_exception(ValueError())
        task.cancel('why')
        self.assertEqual(await task, 'done')

    async def test_5_2_done_future_then_uncancelled(self):
        """Trap 19: nothing is delivered."""
        waiter = self.loop.create_future()

        async def child():
            result = await waiter
            await self.assert_not_cancelled()
            return result

        task = self.spawn(child())
        await self.settle()
        waiter.set_result('result')
        task.cancel('why')
        self.assertEqual(task.uncancel(), 0)
        self.assertEqual(await task, 'result')

    async def test_5_2_return_with_a_request_undelivered(self):
        async def child():
            asyncio.current_task().cancel('late')
            return 'result'

        async def child_that_waited():
            await asyncio.sleep(0)
            asyncio.current_task().cancel('late')
            return 'result'

        async def child_with_scope():
            with self.CancelScope() as scope:
                scope.cancel('scope')
                asyncio.current_task().cancel('late')
            return 'result'

        for func in child, child_that_waited, child_with_scope:
            with self.subTest(func.__name__):
                task = self.spawn(func())
                with self.assertRaises(asyncio.CancelledError) as cm:
                    await task
                self.assertEqual(cm.exception.args, ('late',))
                self.assertIs(task.cancelled(), True)
                self.assertIs(task._must_cancel, False)

    async def test_5_2_never_yields_and_cancelled_before_the_start(self):
        trace = []

        async def child():
            trace.append('ran')
            return 'result'

        task = self.Task(child(), loop=self.loop)
        task.cancel('early')
        with self.assertRaises(asyncio.CancelledError) as cm:
            await task
        self.assertEqual(trace, ['ran'])
        self.assertEqual(cm.exception.args, ('early',))
        self.assertIs(task.cancelled(), True)

    async def test_5_2_return_out_of_a_shield_with_a_request_undelivered(self):
        async def child():
            with self.CancelScope(shield=True):
                await asyncio.sleep(1)
                return 'result'

        task = self.spawn(child())
        await self.settle()
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertIs(task.cancelled(), True)

    async def test_5_2_return_after_the_request_was_delivered(self):
        async def child():
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()
            return 'result'

        task = self.spawn(child())
        await self.settle()
        task.cancel()
        self.assertEqual(await task, 'result')
        self.assertIs(task.cancelled(), False)
        self.assertEqual(task.cancelling(), 1)

    async def test_5_2_return_after_the_request_was_taken_back(self):
        async def child():
            task = asyncio.current_task()
            task.cancel()
            task.uncancel()
            return 'result'

        self.assertEqual(await self.spawn(child()), 'result')

    async def test_5_2_error_with_a_request_undelivered(self):
        error = ValueError()

        async def child():
            asyncio.current_task().cancel()
            raise error

        task = self.spawn(child())
        with self.assertRaises(ValueError) as cm:
            await task
        self.assertIs(cm.exception, error)
        self.assertIs(task.cancelled(), False)

    async def test_5_2_scope_keeps_the_result_where_task_cancel_does_not(self):
        # The same race, told apart by who asked.
        async def child():
            with self.CancelScope() as scope:
                scopes.append(scope)
                return await waiter
            return 'swallowed'

        scopes = []
        for by_scope in True, False:
            waiter = self.loop.create_future()
            task = self.spawn(child())
            await self.settle()
            waiter.set_result('result')
            if by_scope:
                scopes[-1].cancel()
                self.assertEqual(await task, 'result')
            else:
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                self.assertIs(task.cancelled(), True)


@matrix
class CountTests:
    """Rule 5.3; traps 19, 20 and 21."""

    async def test_5_3_scope_counts_once_it_has_been_delivered(self):
        task = asyncio.current_task()
        with self.CancelScope() as scope:
            scope.cancel()
            self.assertEqual(task.cancelling(), 0)
            await self.assert_cancelled(asyncio.sleep(0))
            self.assertEqual(task.cancelling(), 1)
            await self.assert_level()
            self.assertEqual(task.cancelling(), 1)
        self.assertEqual(task.cancelling(), 0)
        await self.assert_not_cancelled()

    async def test_5_3_scope_that_caught_leaves_nothing(self):
        task = asyncio.current_task()
        with self.CancelScope() as scope:
            scope.cancel()
            await self.forever()
        self.assertEqual(task.cancelling(), 0)
        await self.assert_not_cancelled()

    async def test_5_3_scope_left_by_an_error_leaves_nothing(self):
        with self.assertRaises(ValueError):
            with self.CancelScope() as scope:
                scope.cancel()
                try:
                    await self.forever()
                finally:
                    raise ValueError
        await self.assert_not_cancelled()

    async def test_5_3_scope_not_delivered_does_not_count(self):
        with self.CancelScope() as scope:
            scope.cancel()
            with self.CancelScope(shield=True):
                await self.assert_not_cancelled()
        await self.assert_not_cancelled()

    async def test_5_3_inner_scopes_inherit_but_do_not_count(self):
        task = asyncio.current_task()
        with self.CancelScope() as outer:
            with self.CancelScope():
                with self.CancelScope():
                    outer.cancel()
                    await self.assert_level()
                    self.assertEqual(task.cancelling(), 1)
                self.assertEqual(task.cancelling(), 1)
            self.assertEqual(task.cancelling(), 1)
            with self.CancelScope():
                await self.assert_level()
                self.assertEqual(task.cancelling(), 1)
        self.assertEqual(task.cancelling(), 0)

    async def test_5_3_shielded_scopes_add_up(self):
        task = asyncio.current_task()
        with self.CancelScope() as outer:
            outer.cancel()
            await self.assert_level()
            self.assertEqual(task.cancelling(), 1)
            with self.CancelScope(shield=True) as inner:
                await asyncio.sleep(0)
                self.assertEqual(task.cancelling(), 1)
                inner.cancel()
                await self.assert_level()
                self.assertEqual(task.cancelling(), 2)
            self.assertEqual(task.cancelling(), 1)
        self.assertEqual(task.cancelling(), 0)

    async def test_5_3_nested_cancelled_scopes(self):
        task = asyncio.current_task()
        with self.CancelScope() as outer:
            with self.CancelScope() as inner:
                inner.cancel()
                await self.assert_level()
                outer.cancel()
                await self.assert_level()
                self.assertGreaterEqual(task.cancelling(), 1)
            self.assertGreaterEqual(task.cancelling(), 1)
            await self.assert_level()
            self.assertEqual(task.cancelling(), 1)
        self.assertEqual(task.cancelling(), 0)
        await self.assert_not_cancelled()

    async def test_5_3_member_of_a_cancelled_group(self):
        async def child():
            self.assertEqual(asyncio.current_task().cancelling(), 0)
            await self.assert_cancelled(self.forever())
            counts.append(asyncio.current_task().cancelling())
            await self.assert_level()
            counts.append(asyncio.current_task().cancelling())

        counts = []
        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                await self.settle()
                scope.cancel()
        self.assertEqual(counts, [1, 1])
        await self.assert_not_cancelled()

    async def test_5_3_shielded_member_of_a_cancelled_group(self):
        async def child():
            with self.CancelScope(shield=True):
                await gate
            counts.append(asyncio.current_task().cancelling())
            await self.assert_cancelled(self.forever())
            counts.append(asyncio.current_task().cancelling())
            self.assertEqual(asyncio.current_task().uncancel(), 0)

        counts = []
        gate = self.loop.create_future()
        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                await self.settle()
                scope.cancel()
                gate.set_result(None)
        self.assertEqual(counts, [0, 1])

    async def test_5_3_timeout_leaves_nothing(self):
        """Trap 21."""
        task = asyncio.current_task()
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1):
                await self.assert_cancelled(self.forever())
                self.assertEqual(task.cancelling(), 1)
                await asyncio.sleep(0)
        await self.assert_not_cancelled()

    async def test_5_3_group_leaves_nothing(self):
        """Trap 21."""
        async def fail():
            raise ValueError

        task = asyncio.current_task()
        with self.assertRaises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await self.assert_cancelled(self.forever())
                self.assertEqual(task.cancelling(), 1)
        await self.assert_not_cancelled()

    async def test_5_3_existing_code_can_tell_a_real_cancellation(self):
        async def existing_code(awaitable):
            try:
                await awaitable
            except asyncio.CancelledError:
                if asyncio.current_task().cancelling():
                    raise
                return 'stray'

        stray = self.loop.create_future()
        self.loop.call_soon(stray.cancel)
        self.assertEqual(await existing_code(stray), 'stray')
        with self.CancelScope() as scope:
            self.loop.call_soon(scope.cancel)
            await existing_code(self.forever())
            self.fail('the cancellation was swallowed')
        self.assert_scope(scope, called=True, caught=True)

    async def test_5_3_uncancel_takes_off_explicit_requests_first(self):
        async def child():
            task = asyncio.current_task()
            with self.CancelScope() as scope:
                scope.cancel('scope')
                await self.assert_cancelled(self.forever(), 'scope')
                task.cancel('task')
                task.cancel('task')
                counts = [task.cancelling()]
                counts += [task.uncancel() for _ in range(4)]
                self.assertEqual(counts, [3, 2, 1, 0, 0])
                # What the scope asked is in force all the same.
                await self.assert_level('scope')
                await asyncio.sleep(0)
            self.assert_scope(scope, called=True, caught=True)
            await self.assert_not_cancelled()
            return 'done'

        task = self.spawn(child())
        self.assertEqual(await task, 'done')
        self.assertIs(task.cancelled(), False)

    async def test_5_3_explicit_request_goes_first_and_scope_remains(self):
        async def child():
            task = asyncio.current_task()
            with self.CancelScope() as scope:
                task.cancel('task')
                await self.assert_level('task')
                scope.cancel('scope')
                self.assertEqual(task.cancelling(), 1)
                self.assertEqual(task.uncancel(), 0)
                await self.assert_level('scope')
                self.assertEqual(task.cancelling(), 1)
                await asyncio.sleep(0)
            self.assert_scope(scope, called=True, caught=True)
            await self.assert_not_cancelled()
            return 'done'

        self.assertEqual(await self.spawn(child()), 'done')

    async def test_5_3_loop_of_uncancel_ends(self):
        """Trap 21."""
        async def child():
            task = asyncio.current_task()
            for requests in 0, 1, 3:
                with self.CancelScope() as outer:
                    outer.cancel()
                    await self.assert_level()
                    with self.CancelScope(shield=True) as inner:
                        inner.cancel()
                        await self.assert_level()
                        for _ in range(requests):
                            task.cancel()
                        turns = 0
                        while task.cancelling():
                            task.uncancel()
                            turns += 1
                            self.assertLess(turns, 20)
                        self.assertEqual(turns, requests + 2)
                        await self.assert_level()
                await self.assert_not_cancelled()
            return 'done'

        self.assertEqual(await self.spawn(child()), 'done')

    async def test_5_3_uncancel_does_not_lift_a_scopes_cancellation(self):
        with self.CancelScope() as scope:
            scope.cancel()
            await self.assert_cancelled(self.forever())
            self.assertEqual(asyncio.current_task().uncancel(), 0)
            self.assertIs(scope.cancel_called, True)
            self.assertEqual(asyncio.current_effective_deadline(),
                             float('-inf'))
            await self.assert_level()
            await asyncio.sleep(0)
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_5_3_uncancel_without_a_request(self):
        task = asyncio.current_task()
        self.assertEqual(task.uncancel(), 0)
        self.assertEqual(task.cancelling(), 0)
        task.cancel()
        self.assertEqual(task.cancelling(), 1)
        self.assertEqual(task.uncancel(), 0)
        await self.assert_not_cancelled()

    async def test_5_3_uncancel_to_zero_lifts_the_level(self):
        """Trap 19."""
        async def child():
            task = asyncio.current_task()
            await self.assert_cancelled(self.forever(), 'why')
            await self.assert_level('why')
            self.assertEqual(task.uncancel(), 0)
            await self.assert_not_cancelled()
            # And it can be cancelled again.
            task.cancel('again')
            await self.assert_level('again')
            self.assertEqual(task.uncancel(), 0)
            await self.assert_not_cancelled()
            return 'done'

        task = self.spawn(child())
        await self.settle()
        task.cancel('why')
        self.assertEqual(await task, 'done')
        self.assertIs(task.cancelled(), False)

    async def test_5_3_uncancel_from_outside_lifts_the_level(self):
        async def child():
            await self.assert_cancelled(self.forever())
            with self.CancelScope(shield=True):
                await gate
            await self.assert_not_cancelled()
            return 'done'

        gate = self.loop.create_future()
        task = self.spawn(child())
        await self.settle()
        task.cancel()
        await self.settle()
        self.assertEqual(task.uncancel(), 0)
        gate.set_result(None)
        self.assertEqual(await task, 'done')

    async def test_5_3_cancel_twice_and_uncancel_once(self):
        """Trap 20."""
        async def child():
            task = asyncio.current_task()
            await self.assert_cancelled(self.forever())
            self.assertEqual(task.uncancel(), 1)
            await self.assert_level()
            self.assertEqual(task.uncancel(), 0)
            await self.assert_not_cancelled()
            return 'done'

        task = self.spawn(child())
        await self.settle()
        task.cancel()
        task.cancel()
        self.assertEqual(await task, 'done')

    async def test_5_3_cancel_twice_and_uncancel_once_before_delivery(self):
        """Trap 20."""
        async def child():
            task = asyncio.current_task()
            task.cancel('why')
            task.cancel('why')
            self.assertEqual(task.uncancel(), 1)
            await self.assert_level('why')
            await self.forever()

        task = self.spawn(child())
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertEqual(task.cancelling(), 1)

    async def test_5_3_uncancel_during_a_bare_yield(self):
        """Trap 19: between two yields."""
        def cancel_and_uncancel():
            task.cancel()
            task.uncancel()

        task = asyncio.current_task()
        self.loop.call_soon(cancel_and_uncancel)
        await asyncio.sleep(0)
        await self.assert_not_cancelled()

    async def test_5_3_uncancel_cannot_revive_a_cancelled_future(self):
        waiter = self.loop.create_future()

        async def child():
            await self.assert_cancelled(waiter, 'why')
            await self.assert_not_cancelled()
            return 'done'

        task = self.spawn(child())
        await self.settle()
        task.cancel('why')
        self.assertEqual(task.uncancel(), 0)
        self.assertEqual(await task, 'done')

    async def test_5_3_uncancel_reaches_into_inner_scopes(self):
        async def child():
            task = asyncio.current_task()
            with self.CancelScope() as outer:
                with self.CancelScope() as inner:
                    task.cancel()
                    await self.assert_level()
                    task.uncancel()
                    await self.assert_not_cancelled()
                    inner.cancel('inner')
                    await asyncio.sleep(0)
                self.assert_scope(inner, called=True, caught=True)
            self.assert_scope(outer, called=False, caught=False)
            return 'done'

        self.assertEqual(await self.spawn(child()), 'done')

    async def test_5_3_uncancel_of_a_member_of_a_cancelled_group(self):
        async def child():
            task = asyncio.current_task()
            await self.assert_cancelled(self.forever(), 'group')
            task.cancel('task')
            self.assertEqual(task.cancelling(), 2)
            while task.cancelling():
                task.uncancel()
            await self.assert_level('group')
            return 'done'

        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(child())
                await self.settle()
                scope.cancel('group')
        self.assertEqual(task.result(), 'done')

    async def test_5_3_cancel_after_uncancel_in_a_finished_scope(self):
        # Contributions of a scope do not go into the account of a later one.
        task = asyncio.current_task()
        for _ in range(3):
            with self.CancelScope() as scope:
                scope.cancel()
                await self.assert_level()
                self.assertEqual(task.uncancel(), 0)
            self.assertEqual(task.cancelling(), 0)
            self.assertEqual(task.uncancel(), 0)
        await self.assert_not_cancelled()


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


@matrix
class AttributeTests:
    """Rule 5.5."""

    async def test_5_5_before_the_start(self):
        task = self.Task(self.forever(), loop=self.loop)
        self.assertIs(task._must_cancel, False)
        self.assertIsNone(task._fut_waiter)
        task.cancel()
        self.assertIs(task._must_cancel, True)
        task.uncancel()
        self.assertIs(task._must_cancel, False)
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task

    async def test_5_5_blocked_on_a_future(self):
        waiter = self.loop.create_future()

        async def child():
            await waiter

        task = self.spawn(child())
        await self.settle()
        self.assertIs(task._fut_waiter, waiter)
        self.assertIs(task._must_cancel, False)
        task.cancel()
        # The future has taken the request.
        self.assertIs(task._must_cancel, False)
        self.assertIs(task._fut_waiter, waiter)
        with self.assertRaises(asyncio.CancelledError):
            await task

    async def test_5_5_blocked_on_a_future_that_is_done(self):
        waiter = self.loop.create_future()

        async def child():
            await waiter

        task = self.spawn(child())
        await self.settle()
        waiter.set_result(None)
        self.assertIs(task._fut_waiter, waiter)
        task.cancel()
        self.assertIs(task._must_cancel, True)
        with self.assertRaises(asyncio.CancelledError):
            await task

    async def test_5_5_in_a_bare_yield(self):
        async def child():
            await self.assert_cancelled(asyncio.sleep(0))
            self.assertIs(asyncio.current_task()._must_cancel, False)
            return 'done'

        task = self.spawn(child())
        if not self.eager:
            await asyncio.sleep(0)
        self.assertIsNone(task._fut_waiter)
        task.cancel()
        self.assertIs(task._must_cancel, True)
        self.assertEqual(await task, 'done')

    async def test_5_5_while_it_runs(self):
        async def child():
            task = asyncio.current_task()
            self.assertIsNone(task._fut_waiter)
            self.assertIs(task._must_cancel, False)
            task.cancel()
            self.assertIs(task._must_cancel, True)
            await self.assert_cancelled(self.forever())
            self.assertIs(task._must_cancel, False)
            self.assertIsNone(task._fut_waiter)
            await self.assert_level()
            self.assertIs(task._must_cancel, False)
            return 'done'

        self.assertEqual(await self.spawn(child()), 'done')

    async def test_5_5_finished(self):
        async def child():
            await asyncio.sleep(0)

        task = self.spawn(child())
        await task
        self.assertIsNone(task._fut_waiter)
        self.assertIs(task._must_cancel, False)

    async def test_5_5_waiter_in_a_cancelled_scope(self):
        future = make_refusing_future(self)

        async def child():
            with self.CancelScope() as scope:
                scope.cancel()
                await future

        task = self.spawn(child())
        await self.settle()
        self.assertIs(task._fut_waiter, future)
        future.set_result(None)
        await task


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

    async def test_5_6_clean_up_waits_for_its_worker(self):
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

    async def test_5_6_clean_up_waits_for_a_worker_that_uncancels(self):
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


class ForeignTask:
    """Runs a coroutine; a future, but no asyncio.Task.

    What a task factory may return.
    """

    def __init__(self, test, coro, loop):
        super().__init__(loop=loop)
        self._test = test
        self._coro = coro
        self._waiting_for = None
        self._throw = None
        self.requests = []
        loop.call_soon(self._step)

    def cancel(self, msg=None):
        self.requests.append(msg)
        if self.done():
            return False
        if self._waiting_for is None or not self._waiting_for.cancel(msg=msg):
            self._throw = asyncio.CancelledError()
        return True

    def get_coro(self):
        return self._coro

    def set_name(self, name):
        pass

    def get_name(self):
        return 'foreign'

    def cancelling(self):
        return 0

    def uncancel(self):
        return 0

    def _wake_up(self, future):
        self._step()

    def _step(self):
        self._waiting_for = None
        throw, self._throw = self._throw, None
        loop = self.get_loop()
        self._test.enter_task(loop, self)
        try:
            if throw is None:
                future = self._coro.send(None)
            else:
                future = self._coro.throw(throw)
        except StopIteration as exc:
            self.set_result(exc.value)
        except asyncio.CancelledError:
            super().cancel()
        except Exception as exc:
            self.set_exception(exc)
        else:
            if future is None:
                loop.call_soon(self._step)
            else:
                future._asyncio_future_blocking = False
                future.add_done_callback(self._wake_up)
                self._waiting_for = future
        finally:
            self._test.leave_task(loop, self)


@matrix
class TaskTypeTests:
    """Rule 5.7."""

    def enter_task(self, loop, task):
        if self.Task is tasks._PyTask:
            tasks._py_enter_task(loop, task)
        else:
            tasks._enter_task(loop, task)

    def leave_task(self, loop, task):
        if self.Task is tasks._PyTask:
            tasks._py_leave_task(loop, task)
        else:
            tasks._leave_task(loop, task)

    @contextlib.contextmanager
    def foreign_tasks(self):
        """Let the loop make foreign tasks."""
        cls = types.new_class('ForeignTask', (ForeignTask, self.Future))
        created = []

        def factory(loop, coro, **kwargs):
            created.append(cls(self, coro, loop))
            return created[-1]

        saved = self.loop.get_task_factory()
        self.loop.set_task_factory(factory)
        try:
            yield created
        finally:
            self.loop.set_task_factory(saved)

    async def test_5_7_subclass(self):
        class MyTask(self.Task):
            def __init__(self, *args, **kwargs):
                self.requests = []
                super().__init__(*args, **kwargs)

            def cancel(self, msg=None):
                self.requests.append(msg)
                return super().cancel(msg=msg)

        async def child():
            with self.CancelScope() as scope:
                scope.cancel('scope')
                await self.assert_level('scope')
                await asyncio.sleep(0)
            self.assert_scope(scope, called=True, caught=True)
            await self.assert_cancelled(self.forever(), 'why')
            self.assertEqual(asyncio.current_task().cancelling(), 1)
            await self.assert_level('why')
            asyncio.current_task().uncancel()
            await self.assert_not_cancelled()
            return 'done'

        task = MyTask(child(), loop=self.loop)
        await self.settle()
        self.assertEqual(task.requests, [])
        with self.CancelScope() as scope:
            scope.cancel('why')
            self.assertEqual(await task, 'done')
        self.assertEqual(task.requests, ['why'])

    async def test_5_7_subclass_in_a_group(self):
        class MyTask(self.Task):
            pass

        async def child():
            await self.assert_cancelled(self.forever(), 'why')
            await self.assert_level('why')

        def factory(loop, coro, **kwargs):
            return MyTask(coro, loop=loop, **kwargs)

        saved = self.loop.get_task_factory()
        self.loop.set_task_factory(factory)
        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(child())
                self.assertIsInstance(task, MyTask)
                await self.settle()
                scope.cancel('why')
        self.loop.set_task_factory(saved)
        self.assertIs(task.cancelled(), False)
        self.assertIsNone(task.exception())

    async def test_5_7_subclass_with_its_own_arguments(self):
        class MyTask(self.Task):
            __slots__ = ('extra',)

        task = MyTask(self.forever(), loop=self.loop, name='mine')
        task.extra = 'extra'
        await self.settle()
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertEqual((task.extra, task.get_name()), ('extra', 'mine'))

    async def test_5_7_scope_in_a_foreign_task(self):
        async def child():
            scope = self.CancelScope()
            with self.assertRaisesRegex(RuntimeError, '(?i)task'):
                scope.__enter__()
            return scope

        with self.foreign_tasks():
            task = self.loop.create_task(child())
        scope = await task
        with scope:             # nothing has happened to it
            scope.cancel()
            await asyncio.sleep(0)
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_5_7_foreign_member_of_a_cancelled_group(self):
        async def child():
            await self.forever()

        with self.foreign_tasks() as created:
            with self.CancelScope() as scope:
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(child())
                    await self.settle()
                    scope.cancel()
                self.fail('not cancelled')
        self.assertEqual(created, [task])
        self.assertGreaterEqual(len(task.requests), 1)
        self.assertIs(task.cancelled(), True)
        self.assert_scope(scope, called=True, caught=True)

    async def test_5_7_foreign_member_of_a_group_that_fails(self):
        async def child():
            await self.forever()

        with self.foreign_tasks():
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(child())
                    await self.settle()
                    raise ValueError
        self.assertGreaterEqual(len(task.requests), 1)
        self.assertIs(task.cancelled(), True)
        await self.assert_not_cancelled()

    async def test_5_7_foreign_member_that_fails(self):
        error = ValueError()

        async def child():
            await asyncio.sleep(1)
            raise error

        with self.foreign_tasks():
            with self.assertRaises(ExceptionGroup) as cm:
                async with asyncio.TaskGroup() as group:
                    group.create_task(child())
                    await self.assert_cancelled(self.forever())
                    await self.assert_level()
        self.assertEqual(cm.exception.exceptions, (error,))
        await self.assert_not_cancelled()

    async def test_5_7_foreign_task_awaited_in_a_cancelled_scope(self):
        with self.foreign_tasks():
            task = self.loop.create_task(self.forever())
        await self.settle()
        with self.CancelScope() as scope:
            scope.cancel('why')
            with self.assertRaises(asyncio.CancelledError):
                await task
        self.assertEqual(task.requests, ['why'])
        self.assertIs(task.cancelled(), True)


class UnbasedTimer:
    """Times out a block by cancel(), and takes that back by uncancel().

    It does not look at the count of requests at all (async_timeout 4.0.3).
    """

    def __init__(self, delay):
        self._delay = delay
        self.expired = False

    async def __aenter__(self):
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        self._handle = loop.call_later(self._delay, self.expire)
        return self

    def expire(self):
        self.expired = True
        self._task.cancel()

    async def __aexit__(self, et, exc, tb):
        self._handle.cancel()
        if et is asyncio.CancelledError and self.expired:
            self._task.uncancel()
            raise TimeoutError from exc


class BasedTimer(UnbasedTimer):
    """The same, but it compares the count with that at its entry.

    (aiohttp's TimerContext, asyncio.timeout() of Python 3.11 to 3.14)
    """

    async def __aenter__(self):
        self._base = asyncio.current_task().cancelling()
        return await super().__aenter__()

    async def __aexit__(self, et, exc, tb):
        self._handle.cancel()
        if et is asyncio.CancelledError and self.expired:
            if self._task.uncancel() > self._base:
                return          # somebody else has asked as well
            raise TimeoutError from exc


class LegacyTimerTests:
    """Rules 5.2 to 5.4; traps 37 and 41: pairs of cancel() and uncancel()."""

    async def test_5_3_timer_expires(self):
        start = self.loop.time()
        for _ in range(3):
            with self.assertRaises(TimeoutError):
                async with self.Timer(1):
                    await self.forever()
            await self.assert_clean()
        self.assertEqual(self.loop.time(), start + 6)

    async def assert_clean(self):
        await self.assert_not_cancelled()

    async def test_5_3_timer_does_not_expire(self):
        async with self.Timer(2):
            await asyncio.sleep(1)
        await self.assert_clean()

    async def test_5_3_clean_up_under_a_timer(self):
        trace = []
        with self.assertRaises(TimeoutError):
            async with self.Timer(1):
                try:
                    await self.forever()
                finally:
                    with self.CancelScope(shield=True):
                        await asyncio.sleep(1)
                        trace.append('shielded')
                    await asyncio.sleep(0)
                    trace.append('not reached')
        self.assertEqual(trace, ['shielded'])
        await self.assert_clean()

    async def test_5_2_timer_and_result_in_one_tick(self):
        """Trap 41: the body is interrupted, no count leaks."""
        for order in 'result first', 'timer first':
            with self.subTest(order):
                def both():
                    if order == 'timer first':
                        timer.expire()
                    if not waiter.done():
                        waiter.set_result('result')
                    if order == 'result first':
                        timer.expire()

                waiter = self.loop.create_future()
                timer = self.Timer(100)
                self.loop.call_soon(both)
                reached = False
                with self.assertRaises(TimeoutError):
                    async with timer:
                        await waiter
                        reached = True
                self.assertIs(reached, False)
                await self.assert_clean()

    async def test_5_2_timer_and_timer_of_the_body_in_one_tick(self):
        """Trap 41: through the clock of the loop."""
        reached = False
        with self.assertRaises(TimeoutError):
            async with self.Timer(1):
                await asyncio.sleep(1)
                reached = True
        self.assertIs(reached, False)
        await self.assert_clean()

    async def test_5_3_timer_in_a_cancelled_task(self):
        async def child():
            async with self.Timer(5):
                await self.forever()

        task = self.spawn(child())
        await self.settle()
        task.cancel('why')
        with self.assertRaises(asyncio.CancelledError) as cm:
            await task
        self.assertEqual(cm.exception.args, ('why',))
        self.assertEqual(task.cancelling(), 1)

    async def test_5_3_timer_inside_a_scope_that_is_cancelled(self):
        with self.CancelScope() as scope:
            self.loop.call_later(1, scope.cancel)
            async with self.Timer(5):
                await self.forever()
        self.assert_scope(scope, called=True, caught=True)
        await asyncio.sleep(10)
        await self.assert_clean()

    async def test_5_3_scope_inside_a_timer(self):
        with self.assertRaises(TimeoutError):
            async with self.Timer(5):
                with self.CancelScope(deadline=self.loop.time() + 1) as scope:
                    await self.forever()
                self.assert_scope(scope, called=True, caught=True)
                await self.assert_clean()
                with self.CancelScope() as scope:
                    await self.forever()
                self.fail('the scope swallowed')
        self.assert_scope(scope, called=False, caught=False)
        await self.assert_clean()

    async def test_5_3_native_timeout_inside_a_timer(self):
        with self.assertRaises(TimeoutError):
            async with self.Timer(5):
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(1):
                        await self.forever()
                await self.assert_clean()
                async with asyncio.timeout(100):
                    await self.forever()
        await self.assert_clean()

    async def test_5_3_timer_inside_a_native_timeout(self):
        start = self.loop.time()
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(5) as timeout:
                with self.assertRaises(TimeoutError):
                    async with self.Timer(1):
                        await self.forever()
                await self.assert_clean()
                async with self.Timer(100):
                    await self.forever()
        self.assertEqual(self.loop.time(), start + 5)
        self.assertIs(timeout.expired(), True)
        await self.assert_clean()

    async def test_5_3_nested_timers(self):
        with self.assertRaises(TimeoutError):
            async with self.Timer(5) as outer:
                with self.assertRaises(TimeoutError):
                    async with self.Timer(1) as inner:
                        await self.forever()
                await self.assert_clean()
                self.assertIs(inner.expired, True)
                async with self.Timer(100) as inner:
                    await self.forever()
        self.assertIs(outer.expired, True)
        self.assertIs(inner.expired, False)
        await self.assert_clean()

    async def test_5_1_timer_waits_for_a_shielded_block(self):
        reached = False
        start = self.loop.time()
        with self.assertRaises(TimeoutError):
            async with self.Timer(1):
                with self.CancelScope(shield=True):
                    await asyncio.sleep(5)
                    reached = True
                await asyncio.sleep(0)
                self.fail('not cancelled')
        self.assertIs(reached, True)
        self.assertEqual(self.loop.time(), start + 5)
        await self.assert_clean()

    async def test_5_3_timer_in_a_group(self):
        async def child():
            with self.assertRaises(TimeoutError):
                async with self.Timer(1):
                    await self.forever()
            await self.assert_clean()
            return 'done'

        async with asyncio.TaskGroup() as group:
            children = [group.create_task(child()) for _ in range(3)]
        self.assertEqual([task.result() for task in children], ['done'] * 3)
        await self.assert_clean()


@matrix
class UnbasedTimerTests(LegacyTimerTests):

    Timer = UnbasedTimer

    async def test_5_4_timer_and_scope_in_one_tick(self):
        # The timer takes back its own request; the scope is left clean.
        def both():
            requests = [scope.cancel, timer.expire]
            if timer_first:
                requests.reverse()
            for request in requests:
                request()

        for timer_first in False, True:
            with self.subTest(timer_first=timer_first):
                with self.assertRaises(TimeoutError):
                    with self.CancelScope() as scope:
                        timer = self.Timer(100)
                        self.loop.call_soon(both)
                        async with timer:
                            await self.forever()
                self.assert_scope(scope, called=True, caught=False)
                await self.assert_clean()


@matrix
class BasedTimerTests(LegacyTimerTests):

    Timer = BasedTimer

    async def test_5_4_timer_and_scope_in_one_tick(self):
        # The scope has asked as well, so it is no timeout.
        def both():
            scope.cancel()
            timer.expire()

        with self.CancelScope() as scope:
            timer = self.Timer(100)
            self.loop.call_soon(both)
            async with timer:
                await self.forever()
            self.fail('not cancelled')
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_clean()

    async def test_5_4_timer_and_then_scope_in_one_tick(self):
        # It depends on what the one error that is raised stands for if this
        # is a timeout, but all is clean in either case.
        def both():
            timer.expire()
            scope.cancel()

        outcome = 'caught'
        try:
            with self.CancelScope() as scope:
                timer = self.Timer(100)
                self.loop.call_soon(both)
                async with timer:
                    await self.forever()
                self.fail('not cancelled')
        except TimeoutError:
            outcome = 'timeout'
        self.assert_scope(scope, called=True, caught=outcome == 'caught')
        await self.assert_clean()

    async def test_5_4_timer_and_request_in_one_tick(self):
        async def child():
            nonlocal timer
            timer = self.Timer(100)
            async with timer:
                await self.forever()

        timer = None
        for timer_first in False, True:
            with self.subTest(timer_first=timer_first):
                task = self.spawn(child())
                await self.settle()
                if timer_first:
                    timer.expire()
                task.cancel()
                if not timer_first:
                    timer.expire()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                self.assertEqual(task.cancelling(), 1)

    async def test_5_3_timer_whose_base_is_not_zero(self):
        # The clean-up of a cancelled scope has one request to begin with.
        trace = []
        with self.CancelScope() as scope:
            scope.cancel()
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True) as inner:
                    self.loop.call_later(1, inner.cancel)
                    async with self.Timer(100) as timer:
                        trace.append(timer._base)
                        await self.forever()
                trace.append('cleaned up')
        self.assertEqual(trace, [1, 'cleaned up'])
        self.assert_scope(inner, called=True, caught=True)
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_clean()

    async def test_5_9_timer_inside_a_shielded_block(self):
        async def child():
            with self.CancelScope(shield=True):
                with self.assertRaises(TimeoutError):
                    async with self.Timer(1):
                        await asyncio.sleep(5)
                await self.assert_not_cancelled()
            await self.assert_not_cancelled()
            return self.loop.time() - start

        start = self.loop.time()
        self.assertEqual(await self.spawn(child()), 3)


if __name__ == '__main__':
    unittest.main()
