"""asyncio.shield() and cancel scopes.

Names of tests carry the number of the rule that they check, for most of them
8.1: a coroutine runs in the task that awaits the shield.
"""

import asyncio
import contextlib
import contextvars
import types
import unittest
import warnings
from asyncio import futures
from test import support
from unittest import mock

from test.test_asyncio.scope_utils import (Awaitable, MyBaseError, MyError,
                                           bare_yield, matrix,
                                           needs_level_cancel)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


def cancel_from_outside():
    """Cancel the current task as code does that was started elsewhere."""
    contextvars.Context().run(asyncio.current_task().cancel)


@matrix
class HostTaskTests:
    """8.1: what is no Future runs in the host task."""

    ONCE = r'can be awaited only once.*shield\(asyncio\.ensure_future\('

    async def test_8_1_no_extra_task(self):
        async def inner():
            await asyncio.sleep(0)
            seen.append((asyncio.current_task(), self.all_tasks()))
            await asyncio.sleep(1)
            seen.append((asyncio.current_task(), self.all_tasks()))

        seen = []
        host = asyncio.current_task()
        await asyncio.shield(inner())
        self.assertEqual(seen, [(host, {host})] * 2)

    async def test_8_1_result(self):
        result = object()

        async def inner(delay):
            if delay is not None:
                await asyncio.sleep(delay)
            return result

        for delay in None, 0, 1:
            self.assertIs(await asyncio.shield(inner(delay)), result)
        await self.assert_not_cancelled()

    async def test_8_1_exception(self):
        async def inner(delay, error):
            if delay is not None:
                await asyncio.sleep(delay)
            raise error

        for delay in None, 0, 1:
            for error in MyError(), MyBaseError(), TimeoutError():
                with self.subTest(delay=delay, error=error):
                    cause = error.__cause__ = ValueError()
                    with self.assertRaises(type(error)) as cm:
                        await asyncio.shield(inner(delay, error))
                    self.assertIs(cm.exception, error)
                    self.assertIs(error.__cause__, cause)
                    self.assertIsNone(error.__context__)
        await self.assert_not_cancelled()

    async def test_8_1_it_begins_when_it_is_awaited(self):
        # There is no task that would run it before.
        trace = []

        async def inner():
            trace.append('inner')

        shielded = asyncio.shield(inner())
        await asyncio.sleep(1)
        trace.append('host')
        await shielded
        self.assertEqual(trace, ['host', 'inner'])

    async def test_8_1_await_that_does_not_wait_is_no_yield_point(self):
        trace = []

        async def inner():
            return 'result'

        async def other():
            trace.append('other')

        async with asyncio.TaskGroup() as group:
            if not self.eager:
                group.create_task(other())
            self.assertEqual(await asyncio.shield(inner()), 'result')
            self.assertEqual(trace, [])

    async def test_8_1_context_variables(self):
        # The same task has the same context.
        var = contextvars.ContextVar('var', default='outside')

        async def inner():
            self.assertEqual(var.get(), 'host')
            var.set('inner')
            await asyncio.sleep(1)

        var.set('host')
        await asyncio.shield(inner())
        self.assertEqual(var.get(), 'inner')

    async def test_8_1_any_awaitable(self):
        async def inner():
            await asyncio.sleep(1)
            await bare_yield()
            return asyncio.current_task()

        @types.coroutine
        def generator():
            return (yield from inner().__await__())

        for make in (lambda: Awaitable(inner()), generator,
                     lambda: asyncio.shield(inner())):
            with self.CancelScope() as scope:
                scope.cancel('why')
                task = await asyncio.shield(make())
                self.assertIs(task, asyncio.current_task())
                await self.assert_level('why')
            self.assert_scope(scope, called=True, caught=False)

    async def test_8_1_what_is_not_awaitable(self):
        async def function():
            pass

        async def generator():
            yield

        for arg in 42, None, 'text', function, generator(), [function], object:
            with self.subTest(arg=arg):
                with self.assertRaises(TypeError):
                    asyncio.shield(arg)

    async def test_8_1_awaited_twice(self):
        async def inner():
            return 'result'

        shielded = asyncio.shield(inner())
        self.assertEqual(await shielded, 'result')
        for _ in range(2):
            with self.assertRaisesRegex(RuntimeError, self.ONCE):
                await shielded
        with self.assertRaisesRegex(RuntimeError, self.ONCE):
            shielded.send(None)

    async def test_8_1_awaited_by_two_tasks(self):
        async def inner():
            await asyncio.sleep(1)
            return 'result'

        async def wait():
            return await shielded

        shielded = asyncio.shield(inner())
        first = self.spawn(wait())
        await asyncio.sleep(0)
        with self.assertRaisesRegex(RuntimeError, self.ONCE):
            await shielded
        # The first one is not disturbed.
        self.assertEqual(await first, 'result')

    async def test_8_1_driven_by_hand(self):
        @types.coroutine
        def steps():
            received.append((yield 'first'))
            try:
                yield 'second'
            except MyError:
                yield 'third'
            return 'result'

        async def inner():
            return await steps()

        received = []
        shielded = asyncio.shield(inner())
        scope = asyncio.current_scope()
        self.assertEqual(shielded.send(None), 'first')
        self.assertIs(asyncio.current_scope().shield, True)
        self.assertEqual(shielded.send('sent'), 'second')
        self.assertEqual(received, ['sent'])
        self.assertEqual(shielded.throw(MyError()), 'third')
        with self.assertRaises(StopIteration) as cm:
            shielded.send(None)
        self.assertEqual(cm.exception.value, 'result')
        self.assertIs(asyncio.current_scope(), scope)

    async def test_8_1_error_that_is_thrown_into_it(self):
        async def inner():
            await asyncio.sleep(1)

        started = asyncio.shield(inner())
        started.send(None)._asyncio_future_blocking = False
        for shielded in started, asyncio.shield(inner()):
            error = MyError()
            with self.assertRaises(MyError) as cm:
                shielded.throw(error)
            self.assertIs(cm.exception, error)
            self.assertIsNone(asyncio.current_scope())
            with self.assertRaisesRegex(RuntimeError, self.ONCE):
                shielded.send(None)

    async def test_8_1_closed_by_hand(self):
        async def inner():
            trace.append('begun')
            try:
                await asyncio.sleep(1)
            finally:
                trace.append('ended')

        trace = []
        for started in False, True:
            shielded = asyncio.shield(inner())
            if started:
                shielded.send(None)._asyncio_future_blocking = False
            for _ in range(2):
                shielded.close()
                self.assertIsNone(asyncio.current_scope())
            with self.assertRaisesRegex(RuntimeError, self.ONCE):
                await shielded
        self.assertEqual(trace, ['begun', 'ended'])

    async def test_8_1_dropped_while_it_runs(self):
        async def inner():
            try:
                await asyncio.sleep(1)
            finally:
                trace.append('ended')

        trace = []
        shielded = asyncio.shield(inner())
        shielded.send(None)._asyncio_future_blocking = False
        del shielded
        support.gc_collect()
        self.assertEqual(trace, ['ended'])
        self.assertIsNone(asyncio.current_scope())

    async def test_8_1_coroutine_that_is_awaited_already(self):
        async def inner():
            await asyncio.sleep(1)
            return 'result'

        coro = inner()
        task = self.spawn(coro)
        await asyncio.sleep(0)
        with self.assertRaisesRegex(RuntimeError, 'being awaited already'):
            await asyncio.shield(coro)
        self.assertIsNone(asyncio.current_scope())
        self.assertEqual(await task, 'result')

    async def test_8_1_stop_iteration_is_no_result(self):
        class Hostile:
            def __await__(self):
                raise StopIteration('result')

        with self.assertRaisesRegex(RuntimeError, 'raised StopIteration'):
            await asyncio.shield(Hostile())
        self.assertIsNone(asyncio.current_scope())

    async def test_8_1_value_sent_first(self):
        async def inner():
            return 'result'

        shielded = asyncio.shield(inner())
        with self.assertRaisesRegex(TypeError, 'just-started'):
            shielded.send(5)
        self.assertEqual(await shielded, 'result')

    async def test_8_1_deeply_nested(self):
        async def inner():
            await asyncio.sleep(0)

        shielded = asyncio.shield(inner())
        with warnings.catch_warnings(action='ignore'):
            for _ in range(100_000):
                shielded = asyncio.shield(shielded)
            # How deep C may be nested depends on the platform.
            with contextlib.suppress(RecursionError):
                await shielded
            del shielded
            support.gc_collect()
        self.assertIsNone(asyncio.current_scope())

    async def test_3_4_context_of_a_group_that_was_split(self):
        async def inner():
            error = BaseExceptionGroup('', [
                MyError(), asyncio.CancelledError()])
            error.__context__ = context
            asyncio.current_scope().cancel()
            raise error

        context = KeyError()
        with self.assertRaises(ExceptionGroup) as cm:
            await asyncio.shield(inner())
        self.assertIs(cm.exception.__context__, context)

    async def test_8_1_repr_of_its_task(self):
        async def inner():
            await asyncio.sleep(0)

        task = self.spawn(asyncio.shield(inner()))
        self.assertIn(' coro=<shield()', repr(task))
        await task

    async def test_8_1_repr(self):
        async def inner():
            reprs.append(repr(shielded))

        reprs = []
        shielded = asyncio.shield(inner())
        reprs.append(repr(shielded))
        await shielded
        reprs.append(repr(shielded))
        self.assertRegex(reprs[0], r'\A<shield\(\) of \S*inner, not awaited>\z')
        self.assertRegex(reprs[1], r'\A<shield\(\) of .*, running>\z')
        self.assertEqual(reprs[2], '<shield() of a coroutine, finished>')

    async def test_8_1_made_without_a_loop(self):
        # Only awaiting it needs one.
        def make():
            running = asyncio._get_running_loop()
            asyncio._set_running_loop(None)
            try:
                return asyncio.shield(inner())
            finally:
                asyncio._set_running_loop(running)

        async def inner():
            await asyncio.sleep(1)
            return asyncio.current_task()

        self.assertIs(await make(), asyncio.current_task())

    async def test_8_1_host_that_is_closed(self):
        # Not run to its end by anybody else.
        trace = []

        async def inner():
            try:
                await self.forever()
            except GeneratorExit:
                trace.append('closed')
                raise

        async def host():
            await asyncio.shield(inner())

        task = self.spawn(host())
        await self.settle()
        task._log_destroy_pending = False
        task.get_coro().close()
        self.assertEqual(trace, ['closed'])
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, RuntimeError):
            await task

    async def test_8_1_never_awaited(self):
        async def inner():
            pass

        messages = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            asyncio.shield(inner())
            # A record keeps alive what it is about.
            while caught:
                warning = caught.pop()
                self.assertIs(warning.category, RuntimeWarning)
                self.assertEqual(warning.filename, __file__)
                messages.append(str(warning.message))
                del warning
                support.gc_collect()
        # The coroutine of the program is named, once.
        [message] = messages
        self.assertRegex(
            message, r"inner'.* was never awaited.*; use create_task\(\)")


@matrix
class ProtectionTests:
    """8.1: the host is protected during the call."""

    def each_way_to_cancel(self):
        """Names, and functions that run host(cancel) and return its result.

        host(cancel) is to cancel itself by calling cancel() and to raise the
        error in the end.
        """
        def by_scope(host):
            async def run():
                with self.CancelScope() as scope:
                    await host(scope.cancel)
            return run()

        def by_outer_scope(host):
            async def run():
                with self.CancelScope() as outer:
                    with self.CancelScope():
                        async with asyncio.timeout(1000):
                            await host(outer.cancel)
            return run()

        def by_task(host):
            async def run():
                await host(asyncio.current_task().cancel)

            async def wait():
                with self.assertRaises(asyncio.CancelledError):
                    await self.spawn(run())
            return wait()

        def by_group(host):
            async def run():
                async with asyncio.TaskGroup() as group:
                    await host(group.cancel)
            return run()

        def by_group_of_member(host):
            async def run():
                async with asyncio.TaskGroup() as group:
                    group.create_task(host(group.cancel))
            return run()

        def by_sibling(host):
            async def fail(future):
                await future
                raise MyError

            async def run():
                future = self.loop.create_future()
                with self.assertRaises(ExceptionGroup):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(fail(future))
                        await host(lambda: future.set_result(None))
            return run()

        def by_deadline(host):
            async def run():
                with self.CancelScope(deadline=self.loop.time() + 10) as scope:
                    await host(lambda: self.loop.advance(100))
                self.assert_scope(scope, called=True, caught=True)
            return run()

        def by_timeout(host):
            async def run():
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(10):
                        await host(lambda: self.loop.advance(100))
            return run()

        return {function.__name__: function for function in (
            by_scope, by_outer_scope, by_task, by_group, by_group_of_member,
            by_sibling, by_deadline, by_timeout)}

    @needs_level_cancel
    async def test_8_1_cancelled_while_it_waits(self):
        async def inner(cancel):
            self.loop.call_soon(self.loop.call_soon, cancel,
                                context=contextvars.Context())
            await asyncio.sleep(0)
            await asyncio.sleep(5)
            await bare_yield()
            trace.append('inner')
            return 'result'

        async def host(cancel):
            self.assertEqual(await asyncio.shield(inner(cancel)), 'result')
            # Nothing shows before the first yield point.
            trace.append('host')
            for _ in range(2):
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    trace.append('cancelled')
            await self.forever()

        for name, run in self.each_way_to_cancel().items():
            with self.subTest(name):
                trace = []
                await run(host)
                self.assertEqual(trace,
                                 ['inner', 'host', 'cancelled', 'cancelled'])
                await self.assert_not_cancelled()

    @needs_level_cancel
    async def test_8_1_cancelled_before(self):
        async def inner():
            await asyncio.sleep(0)
            await asyncio.sleep(5)
            trace.append('inner')

        async def host(cancel):
            cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()
            await asyncio.shield(inner())
            trace.append('host')
            await self.forever()

        for name, run in self.each_way_to_cancel().items():
            with self.subTest(name):
                trace = []
                await run(host)
                self.assertEqual(trace, ['inner', 'host'])
                await self.assert_not_cancelled()

    @needs_level_cancel
    async def test_8_1_cleanup(self):
        # What it is for most of all.
        async def inner():
            await asyncio.sleep(5)
            trace.append('inner')

        async def host(cancel):
            self.loop.call_soon(self.loop.call_soon, cancel)
            try:
                await self.forever()
            finally:
                await asyncio.shield(inner())
                trace.append('finally')
                await asyncio.sleep(0)
                trace.append('not reached')

        for name, run in self.each_way_to_cancel().items():
            with self.subTest(name):
                trace = []
                await run(host)
                self.assertEqual(trace, ['inner', 'finally'])
                await self.assert_not_cancelled()

    async def test_8_1_every_yield_point_inside_works(self):
        async def inner():
            await asyncio.sleep(0)
            await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))
            await asyncio.wait_for(asyncio.sleep(1), 10)
            await self.spawn(asyncio.sleep(1))
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(1))
            async with asyncio.timeout(10), asyncio.Lock():
                await asyncio.sleep(1)
            with self.CancelScope():
                await asyncio.sleep(1)
            await asyncio.shield(asyncio.sleep(1))
            await asyncio.shield(self.spawn(asyncio.sleep(1)))
            return 'result'

        with self.CancelScope() as scope:
            scope.cancel()
            self.assertEqual(await asyncio.shield(inner()), 'result')
            await asyncio.sleep(0)
        self.assert_scope(scope, called=True, caught=True)

    @needs_level_cancel
    async def test_8_1_cancel_counts_inside_and_after(self):
        async def inner():
            cancel_from_outside()
            self.assertEqual(task.cancelling(), 1)
            await asyncio.sleep(1)
            cancel_from_outside()
            await asyncio.sleep(1)
            self.assertEqual(task.cancelling(), 2)

        async def host():
            nonlocal task
            task = asyncio.current_task()
            await asyncio.shield(inner())
            await self.assert_level()
            self.assertEqual(task.uncancel(), 1)
            self.assertEqual(task.uncancel(), 0)
            await self.assert_not_cancelled()
            return 'result'

        task = None
        self.assertEqual(await self.spawn(host()), 'result')

    async def test_8_1_request_that_is_taken_back_inside(self):
        async def inner():
            cancel_from_outside()
            await asyncio.sleep(1)
            asyncio.current_task().uncancel()

        async def host():
            await asyncio.shield(inner())
            await self.assert_not_cancelled()
            return 'result'

        self.assertEqual(await self.spawn(host()), 'result')

    async def test_8_1_scope_inside_can_be_cancelled(self):
        # A shield keeps out what comes from outside.
        async def inner(kind):
            if kind == 'scope':
                with self.CancelScope() as scope:
                    scope.cancel()
                    await self.forever()
                self.assert_scope(scope, called=True, caught=True)
            elif kind == 'move_on_after':
                with asyncio.move_on_after(1) as scope:
                    await self.forever()
                self.assert_scope(scope, called=True, caught=True)
            elif kind == 'timeout':
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(1):
                        await self.forever()
            else:
                async with asyncio.TaskGroup() as group:
                    group.cancel()
                    await self.forever()
            await asyncio.sleep(0)
            return 'result'

        with self.CancelScope() as scope:
            for cancelled in False, True:
                for kind in 'scope', 'move_on_after', 'timeout', 'group':
                    with self.subTest(kind, cancelled=cancelled):
                        self.assertEqual(await asyncio.shield(inner(kind)),
                                         'result')
                if not cancelled:
                    scope.cancel()
            await self.assert_level()

    async def test_8_1_timeout_inside_comes_out(self):
        async def inner():
            async with asyncio.timeout(1):
                await self.forever()

        start = self.loop.time()
        with self.CancelScope() as scope:
            scope.cancel()
            with self.assertRaises(TimeoutError):
                await asyncio.shield(inner())
            self.assertEqual(self.loop.time(), start + 1)
            await self.assert_level()

    async def test_8_1_real_error_in_a_cancelled_scope(self):
        """Rule 3.5: it is not replaced."""
        async def inner():
            await asyncio.sleep(1)
            raise error

        error = MyError()
        with self.assertRaises(MyError) as cm:
            with self.CancelScope() as scope:
                scope.cancel()
                await asyncio.shield(inner())
        self.assertIs(cm.exception, error)
        self.assert_scope(scope, called=True, caught=False)
        await self.assert_not_cancelled()

    async def test_8_1_effective_deadline(self):
        async def inner():
            return asyncio.current_effective_deadline()

        with self.CancelScope(deadline=self.loop.time() + 5):
            self.assertEqual(await asyncio.shield(inner()), float('inf'))
            self.assertEqual(asyncio.current_effective_deadline(),
                             self.loop.time() + 5)

    async def test_8_1_nested(self):
        async def inner():
            cancel_from_outside()
            await asyncio.sleep(1)
            trace.append('inner')

        async def middle():
            await asyncio.shield(inner())
            await asyncio.sleep(1)
            trace.append('middle')

        async def host():
            await asyncio.shield(middle())
            trace.append('host')
            await asyncio.sleep(0)
            trace.append('not reached')

        trace = []
        task = self.spawn(host())
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertEqual(trace, ['inner', 'middle', 'host'])

    def test_8_1_background_task_fails(self):
        """Trap 27: main finishes the shielded call, then gets the error."""
        async def fail():
            raise MyError

        async def inner():
            self.spawn(fail())
            await asyncio.sleep(1)
            trace.append('inner')
            return 'result'

        async def main():
            trace.append(await asyncio.shield(inner()))
            await self.assert_level()
            trace.append('main')

        trace = []
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            with self.assertRaises(ExceptionGroup) as cm:
                runner.run(main())
        self.assertEqual([type(exc) for exc in cm.exception.exceptions],
                         [MyError])
        self.assertEqual(trace, ['inner', 'result', 'main'])

    async def test_8_1_aclose_of_an_asynchronous_generator(self):
        async def generate():
            try:
                yield 1
                yield 2
            finally:
                await asyncio.sleep(1)
                trace.append('closed')

        trace = []
        with self.CancelScope() as scope:
            generator = generate()
            self.assertEqual(await asyncio.shield(anext(generator)), 1)
            scope.cancel()
            self.assertEqual(await asyncio.shield(generator.asend(None)), 2)
            await asyncio.shield(generator.aclose())
            trace.append('host')
            await asyncio.sleep(0)
        self.assertEqual(trace, ['closed', 'host'])
        self.assert_scope(scope, called=True, caught=True)

    async def test_8_1_exit_stack(self):
        async def clean_up():
            await asyncio.sleep(1)
            trace.append('cleaned up')

        trace = []
        with self.CancelScope() as scope:
            async with contextlib.AsyncExitStack() as stack:
                stack.push_async_callback(
                    lambda: asyncio.shield(clean_up()))
                scope.cancel()
                await self.forever()
        self.assertEqual(trace, ['cleaned up'])
        self.assert_scope(scope, called=True, caught=True)


@matrix
class CancellationOfTheArgumentTests:
    """8.1: a cancellation of what is awaited passes through."""

    async def test_8_1_coroutine_that_raises_it(self):
        async def inner(delay):
            if delay:
                await asyncio.sleep(delay)
            raise error

        error = asyncio.CancelledError('own')
        for delay in 0, 1:
            with self.assertRaises(asyncio.CancelledError) as cm:
                await asyncio.shield(inner(delay))
            self.assertIs(cm.exception, error)
            await self.assert_not_cancelled()

    async def test_8_1_future_that_was_cancelled_elsewhere(self):
        async def inner():
            await future

        future = self.loop.create_future()
        self.loop.call_later(1, future.cancel, 'elsewhere')
        await self.assert_cancelled(asyncio.shield(inner()), 'elsewhere')
        await self.assert_not_cancelled()

    async def test_8_1_task_that_was_cancelled_elsewhere(self):
        async def inner():
            await task

        task = self.spawn(self.forever())
        self.loop.call_later(1, task.cancel, 'elsewhere')
        await self.assert_cancelled(asyncio.shield(inner()), 'elsewhere')
        await self.assert_not_cancelled()

    async def test_8_1_scope_that_was_not_cancelled_swallows_nothing(self):
        """Rule 3.3."""
        async def inner():
            await asyncio.sleep(1)
            raise asyncio.CancelledError('own')

        with self.assertRaises(asyncio.CancelledError) as cm:
            with self.CancelScope() as scope:
                await asyncio.shield(inner())
        self.assertEqual(cm.exception.args, ('own',))
        self.assert_scope(scope, called=False, caught=False)

    async def test_8_1_group_with_a_cancellation(self):
        async def inner():
            raise error

        error = BaseExceptionGroup('message', [asyncio.CancelledError(),
                                               MyError()])
        with self.assertRaises(BaseExceptionGroup) as cm:
            await asyncio.shield(inner())
        self.assertIs(cm.exception, error)
        self.assertEqual(len(error.exceptions), 2)

    async def test_8_1_in_a_scope_that_is_cancelled_as_well(self):
        async def inner():
            scope.cancel('scope')
            await asyncio.sleep(1)
            raise asyncio.CancelledError('own')

        reached = False
        with self.CancelScope() as scope:
            await self.assert_cancelled(asyncio.shield(inner()), 'own')
            await self.assert_level('scope')
            reached = True
        self.assertIs(reached, True)
        self.assert_scope(scope, called=True, caught=False)
        await self.assert_not_cancelled()


@matrix
class FutureTests:
    """8.1: a Future or Task as the argument. The stock contract stays."""

    async def test_8_1_a_future_is_returned(self):
        async def inner():
            await asyncio.sleep(1)
            return 'result'

        for make in self.loop.create_future, lambda: self.spawn(inner()):
            argument = make()
            shielded = asyncio.shield(argument)
            self.assertIs(asyncio.isfuture(shielded), True)
            self.assertIsNot(shielded, argument)
            self.assertIs(shielded.done(), False)
            if not isinstance(argument, self.Task):
                argument.set_result('result')
            self.assertEqual(await shielded, 'result')
            # It need not be awaited by the task that has made it.
            self.assertEqual(await asyncio.shield(shielded), 'result')

    async def test_8_1_future_that_is_done_is_returned_as_it_is(self):
        done = self.loop.create_future()
        done.set_result('result')
        failed = self.loop.create_future()
        failed.set_exception(MyError())
        cancelled = self.loop.create_future()
        cancelled.cancel('why')
        for future in done, failed, cancelled:
            self.assertIs(asyncio.shield(future), future)
        with self.assertRaises(MyError):
            await failed
        await self.assert_cancelled(asyncio.shield(cancelled), 'why')

    async def test_8_1_the_wait_is_interrupted_and_the_task_goes_on(self):
        async def work():
            await asyncio.sleep(10)
            return 'result'

        async def by_scope():
            with self.CancelScope() as scope:
                self.loop.call_later(1, scope.cancel)
                await asyncio.shield(task)
                self.fail('not interrupted')
            self.assert_scope(scope, called=True, caught=True)

        async def by_timeout():
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(1):
                    await asyncio.shield(task)

        async def by_group():
            async with asyncio.TaskGroup() as group:
                self.loop.call_later(1, group.cancel)
                await asyncio.shield(task)
                self.fail('not interrupted')

        async def by_task():
            host = self.spawn(asyncio.wait_for(asyncio.shield(task), None))
            self.loop.call_later(1, host.cancel, 'why')
            await self.assert_cancelled(host, 'why')

        for cancel in by_scope, by_timeout, by_group, by_task:
            with self.subTest(cancel.__name__):
                start = self.loop.time()
                task = self.spawn(work())
                await cancel()
                self.assertEqual(self.loop.time(), start + 1)
                await self.assert_not_cancelled()
                self.assertIs(task.done(), False)
                self.assertEqual(task.cancelling(), 0)
                self.assertEqual(await asyncio.shield(task), 'result')

    async def test_8_1_the_wait_is_interrupted_again_and_again(self):
        task = self.spawn(asyncio.sleep(10, 'result'))
        with self.CancelScope() as scope:
            scope.cancel('why')
            for _ in range(3):
                await self.assert_cancelled(asyncio.shield(task), 'why')
        self.assertEqual(await task, 'result')

    async def test_8_1_argument_that_is_cancelled(self):
        task = self.spawn(self.forever())
        self.loop.call_later(1, task.cancel)
        with self.assertRaises(asyncio.CancelledError):
            await asyncio.shield(task)
        self.assertIs(task.cancelled(), True)
        await self.assert_not_cancelled()

    async def test_8_1_error_that_is_not_awaited_is_reported(self):
        async def fail():
            await asyncio.sleep(5)
            raise error

        error = MyError()
        task = self.spawn(fail())
        with asyncio.move_on_after(1):
            await asyncio.shield(task)
        await asyncio.sleep(10)
        self.assertEqual([problem['exception'] for problem in self.problems],
                         [error])
        self.assertRegex(self.problems.pop()['message'], 'shielded future')

    async def test_8_1_host_that_is_protected_while_it_waits_for_a_task(self):
        # What to write for that.
        async def work():
            await asyncio.sleep(10)
            return 'result'

        task = self.spawn(work())
        result = None
        start = self.loop.time()
        with self.CancelScope() as scope:
            self.loop.call_later(1, scope.cancel)
            with self.CancelScope(shield=True):
                result = await task
            self.assertEqual(self.loop.time(), start + 10)
            await asyncio.sleep(0)
            self.fail('not cancelled')
        self.assertEqual(result, 'result')
        self.assert_scope(scope, called=True, caught=True)

    async def test_8_1_host_that_is_protected_by_a_coroutine(self):
        async def wait():
            return await task

        task = self.spawn(asyncio.sleep(10, 'result'))
        with self.CancelScope() as scope:
            scope.cancel()
            self.assertEqual(await asyncio.shield(wait()), 'result')

    async def test_8_1_object_like_a_future(self):
        # isfuture() tells, not the type.
        class Like(self.Future):
            pass

        future = Like(loop=self.loop)
        self.loop.call_later(5, future.set_result, 'result')
        with asyncio.move_on_after(1) as scope:
            await asyncio.shield(future)
        self.assert_scope(scope, called=True, caught=True)
        self.assertIs(future.done(), False)
        self.assertEqual(await asyncio.shield(future), 'result')


@matrix
class WrapperTests:
    """shield() below the other functions of asyncio."""

    async def test_8_1_wait_for_a_shielded_task(self):
        """Trap 38: it times out and the task goes on."""
        task = self.spawn(asyncio.sleep(10, 'result'))
        start = self.loop.time()
        for _ in range(2):
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(task), 1)
        self.assertEqual(self.loop.time(), start + 2)
        with self.assertRaises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), 0)
        self.assertEqual(task.cancelling(), 0)
        self.assertEqual(await asyncio.wait_for(asyncio.shield(task), 100),
                         'result')
        self.assertEqual(self.loop.time(), start + 10)

    async def test_8_1_wait_for_a_shielded_coroutine(self):
        """Trap 38: the coroutine is waited for; its result counts (2.3)."""
        async def inner():
            await asyncio.sleep(10)
            return 'result'

        start = self.loop.time()
        self.assertEqual(
            await asyncio.wait_for(asyncio.shield(inner()), 1), 'result')
        self.assertEqual(self.loop.time(), start + 10)
        await self.assert_not_cancelled()

    async def test_8_1_timeout_that_expires_during_a_shielded_call(self):
        trace = []

        async def inner():
            await asyncio.sleep(10)
            trace.append('inner')

        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.shield(inner())
                trace.append('after')
                await asyncio.sleep(0)
        self.assertEqual(trace, ['inner', 'after'])
        await self.assert_not_cancelled()

    async def test_2_5_wait_for_zero_does_not_start_it(self):
        async def inner():
            self.fail('started')

        start = self.loop.time()
        for timeout in 0, -1:
            coro = inner()
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(coro), timeout)
            self.assertEqual(self.loop.time(), start)
            coro.close()

    async def test_8_1_gather(self):
        async def inner(delay):
            await asyncio.sleep(delay)
            return delay

        self.assertEqual(
            await asyncio.gather(*map(asyncio.shield, map(inner, (3, 1, 2)))),
            [3, 1, 2])

    async def test_8_1_gather_that_is_cancelled(self):
        # Each of its tasks is a host.  How many gather() waits for is stock's.
        async def inner(delay):
            await asyncio.sleep(delay)
            trace.append(delay)

        for wait_for_all, end in (False, 2), (True, 5):
            with self.subTest(wait_for_all=wait_for_all):
                trace = []
                start = self.loop.time()
                with self.CancelScope() as scope:
                    self.loop.call_later(1, scope.cancel)
                    await asyncio.gather(
                        *map(asyncio.shield, map(inner, (3, 5, 2))),
                        return_exceptions=wait_for_all)
                    self.fail('not cancelled')
                self.assert_scope(scope, called=True, caught=True)
                self.assertEqual(self.loop.time(), start + end)
                await asyncio.sleep(10)
                self.assertEqual(trace, [2, 3, 5])

    async def test_8_1_shielded_gather(self):
        # That is a Future: stock's contract.
        trace = []

        async def inner():
            await asyncio.sleep(5)
            trace.append('inner')

        gathered = asyncio.gather(inner(), inner())
        with asyncio.move_on_after(1) as scope:
            await asyncio.shield(gathered)
        self.assert_scope(scope, called=True, caught=True)
        self.assertEqual(trace, [])
        await gathered
        self.assertEqual(trace, ['inner', 'inner'])

    async def test_8_1_as_completed(self):
        async def inner(delay):
            await asyncio.sleep(delay)
            return delay

        results = []
        for future in asyncio.as_completed(
                [asyncio.shield(inner(delay)) for delay in (3, 1, 2)]):
            results.append(await future)
        self.assertEqual(results, [1, 2, 3])

    async def test_8_1_task_of_a_shielded_coroutine(self):
        async def inner():
            await asyncio.sleep(5)
            trace.append('inner')

        for make in self.spawn, asyncio.ensure_future:
            trace = []
            start = self.loop.time()
            task = make(asyncio.shield(inner()))
            await self.settle()
            task.cancel('why')
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertEqual(trace, ['inner'])
            self.assertEqual(self.loop.time(), start + 5)
            # Rule 5.2: a request that was not delivered.
            self.assertIs(task.cancelled(), True)

    async def test_8_1_member_of_a_group(self):
        async def inner():
            await asyncio.sleep(5)
            return 'result'

        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.shield(inner()))
            await asyncio.sleep(0)
            group.cancel()
        # Rule 2.6: nothing of a scope's request is left.
        self.assertEqual(task.result(), 'result')

    async def test_8_1_wait_refuses_it(self):
        """Trap 39."""
        async def inner():
            self.fail('started')

        coro = inner()
        shielded = asyncio.shield(coro)
        with self.assertRaises(TypeError):
            await asyncio.wait([shielded])
        shielded.close()
        coro.close()

    async def test_8_1_no_methods_of_a_future(self):
        """Trap 39."""
        async def inner():
            self.fail('started')

        coro = inner()
        shielded = asyncio.shield(coro)
        self.assertIs(asyncio.isfuture(shielded), False)
        for name in ('add_done_callback', 'cancel', 'done', 'result',
                     'exception'):
            with self.assertRaisesRegex(
                    AttributeError,
                    rf'no Future and has no {name}\(\).*ensure_future'):
                getattr(shielded, name)
        with self.assertRaisesRegex(AttributeError, "no attribute 'other'"):
            shielded.other
        shielded.close()
        coro.close()

    async def test_8_1_call_graph(self):
        # It is one stack of calls in one task.
        async def inner():
            await self.forever()

        async def host():
            await asyncio.shield(inner())

        task = self.spawn(host())
        await self.settle()
        # It knows one kind of Future at a time.
        with mock.patch.object(futures, 'Future', self.Task.__base__):
            graph = asyncio.capture_call_graph(task)
        names = [entry.frame.f_code.co_name for entry in graph.call_stack]
        self.assertEqual(names[-1], 'host')
        self.assertIn('inner', names)
        self.assertEqual(names[0], 'forever')
        task.cancel()
        # A shield holds, so what is inside has to end by itself.
        task._fut_waiter.set_result(None)
        with self.assertRaises(asyncio.CancelledError):
            await task


@matrix
class ExternalHostTests:
    """A task of an external kind has no scopes: stock behavior."""

    def spawn_external(self, coro):
        with self.external_tasks():
            return self.loop.create_task(coro)

    async def test_8_1_result_and_exception(self):
        async def inner(error):
            await asyncio.sleep(1)
            if error is not None:
                raise error
            return 'result'

        async def host(error):
            return await asyncio.shield(inner(error))

        self.assertEqual(await self.spawn_external(host(None)), 'result')
        error = MyError()
        with self.assertRaises(MyError) as cm:
            await self.spawn_external(host(error))
        self.assertIs(cm.exception, error)

    async def test_8_1_host_is_interrupted_and_the_coroutine_goes_on(self):
        async def inner():
            trace.append(asyncio.current_task() is not task)
            await asyncio.sleep(5)
            trace.append('inner')

        async def host():
            try:
                await asyncio.shield(inner())
            finally:
                trace.append('host')

        trace = []
        start = self.loop.time()
        task = self.spawn_external(host())
        self.loop.call_later(1, task.cancel)
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertEqual(self.loop.time(), start + 1)
        self.assertEqual(trace, [True, 'host'])
        await asyncio.sleep(10)
        self.assertEqual(trace, [True, 'host', 'inner'])

    async def test_8_1_awaitable(self):
        async def inner():
            await asyncio.sleep(1)
            return 'result'

        async def host():
            return await asyncio.shield(Awaitable(inner()))

        self.assertEqual(await self.spawn_external(host()), 'result')

    async def test_8_1_future(self):
        async def host():
            return await asyncio.shield(future)

        future = self.loop.create_future()
        task = self.spawn_external(host())
        await self.settle()
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertIs(future.done(), False)
        future.set_result('result')
        self.assertEqual(await self.spawn_external(host()), 'result')

    async def test_8_1_member_of_a_cancelled_group(self):
        async def inner():
            await asyncio.sleep(5)
            trace.append('inner')

        async def host():
            await asyncio.shield(inner())

        trace = []
        start = self.loop.time()
        async with asyncio.TaskGroup() as group:
            with self.external_tasks():
                task = group.create_task(host())
            await self.settle()
            group.cancel()
        self.assertIs(task.cancelled(), True)
        self.assertEqual(self.loop.time(), start)
        await asyncio.sleep(10)
        self.assertEqual(trace, ['inner'])


if __name__ == '__main__':
    unittest.main()
