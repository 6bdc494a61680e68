"""Tests of what debug mode reports of swallowed cancellation (10.1).

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import functools
import logging
import re
import sys
import types
import unittest
import weakref
from asyncio import staggered
from test import support
from unittest import mock

from test.test_asyncio.scope_utils import (
    MyError, PyLazy, bare_yield, matrix, next_line)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


class Marker:
    """A local variable that can be referenced weakly."""


class DebugUtils:

    def setUp(self):
        super().setUp()
        # For all tasks, the main task of the test as well.
        self.loop.set_debug(True)

    @contextlib.contextmanager
    def collect_reports(self):
        """Yield a list; in the end it has pairs, of a place and an origin."""
        reports = []
        with self.assertLogs('asyncio', 'WARNING') as cm:
            yield reports
        for record in cm.records:
            message = record.getMessage()
            if message.startswith('Background task '):
                continue  # The first failure of a task, rule 10.3.
            match = re.fullmatch(
                r'<.+> swallowed a CancelledError (.+) and went on waiting, '
                r'but (.+) is still cancelled: let the exception .+',
                message, re.DOTALL)
            self.assertIsNotNone(match, message)
            reports.append(match.groups())

    def assert_origins(self, reports, *origins):
        """The reports are about scopes that were entered at these lines."""
        self.assertEqual([origin for _, origin in reports],
                         [f'the block that was entered {origin}'
                          for origin in origins])

    def no_reports(self):
        return self.assertNoLogs('asyncio', 'WARNING')

    async def swallow(self):
        """Swallow a cancellation in a coroutine of its own."""
        try:
            await self.forever()
        except asyncio.CancelledError:
            pass

    async def cancel_when_blocked(self, coro):
        """Run *coro* as a task, cancel it when it waits, and return it."""
        task = self.spawn(coro)
        await self.settle()
        task.cancel()
        await asyncio.wait([task])
        return task

    async def assert_silent(self, body):
        """Nothing is reported of a body that does not really swallow.

        Neither if it is cancelled by a scope nor if it is by Task.cancel().
        """
        with self.no_reports():
            with self.subTest('scope'):
                with self.CancelScope() as scope:
                    self.loop.call_later(1, scope.cancel)
                    await body()
                self.assert_scope(scope, called=True, caught=True)
            with self.subTest('task'):
                task = await self.cancel_when_blocked(body())
                self.assertIs(task.cancelled(), True)


def reported_once(body):
    """Decorator for a test that swallows in a cancelled scope.

    There has to be one report, of self.place if the test sets that.
    """
    @functools.wraps(body)
    async def test(self):
        self.place = None
        with self.collect_reports() as reports:
            with self.CancelScope() as scope:
                scope.cancel()
                await body(self)
        self.assertEqual(len(reports), 1)
        if self.place is not None:
            self.assertEqual(reports[0][0], self.place)
    return test


def silent(body):
    """Decorator for a test that does not swallow: see assert_silent()."""
    @functools.wraps(body)
    async def test(self):
        await self.assert_silent(functools.partial(body, self))
    return test


@matrix
class ReportTests(DebugUtils):
    """Rule 10.1: what is reported, and how."""

    async def test_10_1_scope(self):
        with self.collect_reports() as reports:
            origin = next_line()
            with self.CancelScope() as scope:
                scope.cancel()
                try:
                    place = next_line()
                    await self.forever()
                except asyncio.CancelledError:
                    pass
                await asyncio.sleep(0)
        self.assertEqual(reports,
                         [(place, f'the block that was entered {origin}')])

    async def test_10_1_record(self):
        with self.assertLogs() as cm:
            with self.CancelScope() as scope:
                scope.cancel()
                await self.swallow()
                await asyncio.sleep(0)
        self.assertEqual(len(cm.records), 1)
        self.assertEqual(cm.records[0].name, 'asyncio')
        self.assertEqual(cm.records[0].levelno, logging.WARNING)
        task = asyncio.current_task()
        self.assertIn(f'name={task.get_name()!r}', cm.records[0].getMessage())

    @reported_once
    async def test_10_1_once_however_often_it_is_swallowed(self):
        for _ in range(10):
            for wait in bare_yield, self.forever:
                try:
                    await wait()
                except asyncio.CancelledError:
                    pass

    async def test_10_1_every_kind_of_yield_point(self):
        async def plain(point):
            try:
                await point()
            except asyncio.CancelledError:
                pass

        async def suppressed(point):
            with contextlib.suppress(asyncio.CancelledError):
                await point()

        for swallow in plain, suppressed:
            for first in bare_yield, self.forever:
                for second in bare_yield, self.forever:
                    with self.subTest(swallow=swallow, first=first,
                                      second=second):
                        with self.collect_reports() as reports:
                            with self.CancelScope() as scope:
                                scope.cancel()
                                await swallow(first)
                                await second()
                        self.assertEqual(len(reports), 1)

    @reported_once
    async def test_10_1_place_is_in_the_function_that_swallowed(self):
        async def deep():
            await self.forever()

        async def swallows():
            try:
                self.place = next_line()
                await deep()
            except asyncio.CancelledError:
                pass

        async def shallow():
            await swallows()

        await shallow()
        self.assertIn('.<locals>.swallows()', self.place)
        await asyncio.sleep(0)

    @reported_once
    async def test_10_1_place_is_in_an_asynchronous_generator(self):
        async def generate():
            for _ in range(2):
                try:
                    self.place = next_line()
                    await self.forever()
                except asyncio.CancelledError:
                    pass
            yield 1

        async for _ in generate():
            pass

    @reported_once
    async def test_10_1_context_manager_that_swallows(self):
        class Manager:
            async def __aenter__(self):
                pass

            async def __aexit__(self, exc_type, exc, tb):
                return True

        async with Manager():
            self.place = next_line()
            await self.forever()
        await asyncio.sleep(0)

    async def test_10_1_deadline(self):
        for make in (lambda: self.CancelScope(deadline=self.loop.time() + 1),
                     lambda: asyncio.move_on_after(1),
                     lambda: asyncio.move_on_at(self.loop.time() + 1)):
            with self.collect_reports() as reports:
                origin = next_line()
                with make():
                    await self.swallow()
                    await asyncio.sleep(0)
            self.assert_origins(reports, origin)

    async def test_10_1_timeout(self):
        with self.collect_reports() as reports:
            with self.assertRaises(TimeoutError):
                origin = next_line()
                async with asyncio.timeout(1):
                    try:
                        place = next_line()
                        await self.forever()
                    except asyncio.CancelledError:
                        pass
                    await asyncio.sleep(0)
        self.assertEqual(reports,
                         [(place, f'the block that was entered {origin}')])

    async def test_10_1_wait_for(self):
        async def body():
            await self.swallow()
            await asyncio.sleep(0)

        with self.collect_reports() as reports:
            with self.assertRaises(TimeoutError):
                origin = next_line()
                await asyncio.wait_for(body(), 1)
        self.assert_origins(reports, origin)

    async def test_10_1_group(self):
        async def member():
            await self.swallow()
            await asyncio.sleep(0)

        with self.collect_reports() as reports:
            origin = next_line()
            async with asyncio.TaskGroup() as group:
                group.create_task(member())
                await self.settle()
                group.cancel()
                await member()
        # One for each of the two tasks.
        self.assert_origins(reports, origin, origin)

    async def test_10_1_member_of_a_group_in_a_scope(self):
        async def member():
            await self.swallow()
            await asyncio.sleep(0)

        with self.collect_reports() as reports:
            origin = next_line()
            with self.CancelScope() as scope:
                async with asyncio.TaskGroup() as group:
                    group.create_task(member())
                    await self.settle()
                    scope.cancel()
        self.assert_origins(reports, origin)

    async def test_10_1_origin_is_in_the_function_that_entered_the_scope(self):
        origin = None

        async def enters():
            nonlocal origin
            async with contextlib.AsyncExitStack():
                origin = next_line()
                async with asyncio.timeout(1):
                    await self.swallow()
                    await asyncio.sleep(0)

        with self.collect_reports() as reports:
            with self.assertRaises(TimeoutError):
                await enters()
        self.assert_origins(reports, origin)
        self.assertIn('.<locals>.enters()', origin)

    async def test_10_1_task(self):
        place = None

        async def body():
            nonlocal place
            try:
                place = next_line()
                await self.forever()
            except asyncio.CancelledError:
                pass
            await asyncio.sleep(0)

        with self.collect_reports() as reports:
            task = await self.cancel_when_blocked(body())
        self.assertEqual([where for where, _ in reports], [place])
        self.assertEqual(reports[0][1], 'Task.cancel() was called, and it')

    async def test_10_1_task_that_was_cancelled_before_its_start(self):
        async def body():
            await self.swallow()
            await asyncio.sleep(0)

        with self.collect_reports() as reports:
            # Not through the factory, which may be an eager one.
            task = self.Task(body(), loop=self.loop)
            task.cancel()
            await asyncio.wait([task])
        self.assertEqual(len(reports), 1)

    async def test_10_1_child_of_gather(self):
        async def child():
            await self.swallow()
            await asyncio.sleep(0)

        with self.collect_reports() as reports:
            with self.CancelScope(deadline=self.loop.time() + 1):
                await asyncio.gather(child())
        self.assertEqual([origin for _, origin in reports],
                         ['Task.cancel() was called, and it'])

    def test_10_1_root(self):
        async def body():
            await self.swallow()
            await asyncio.sleep(0)

        async def failing():
            raise MyError

        async def main():
            asyncio.create_task(body())
            await self.settle()
            asyncio.create_task(failing())
            await body()

        with self.collect_reports() as reports:
            with self.assertRaises(ExceptionGroup):
                asyncio.run(main(), debug=True, loop_factory=lambda: self.loop)
        self.assertEqual([origin for _, origin in reports],
                         ['the block that was entered by asyncio.run()'] * 2)

    def test_10_1_end_of_run(self):
        async def body():
            await self.swallow()
            await asyncio.sleep(0)

        async def main():
            asyncio.create_task(body())
            await self.settle()

        with self.collect_reports() as reports:
            asyncio.run(main(), debug=True, loop_factory=lambda: self.loop)
        self.assertEqual([origin for _, origin in reports],
                         ['the block that was entered by asyncio.run()'])

    async def test_10_1_again_for_the_next_scope(self):
        origins = []
        with self.collect_reports() as reports:
            for _ in range(3):
                origins.append(next_line())
                with self.CancelScope() as scope:
                    scope.cancel()
                    await self.swallow()
                    await self.swallow()
                    await asyncio.sleep(0)
                await asyncio.sleep(0)
        self.assert_origins(reports, *origins)

    async def test_10_1_again_for_the_scope_around(self):
        # Which is cancelled after the one inside was left.
        with self.collect_reports() as reports:
            outer_origin = next_line()
            with self.CancelScope() as outer:
                inner_origin = next_line()
                with self.CancelScope() as inner:
                    inner.cancel()
                    await self.swallow()
                    await asyncio.sleep(0)
                outer.cancel()
                await self.swallow()
                await asyncio.sleep(0)
        self.assert_origins(reports, inner_origin, outer_origin)

    async def test_10_1_again_after_uncancel(self):
        async def body():
            for _ in range(2):
                task = asyncio.current_task()
                task.cancel()
                await self.swallow()
                await self.swallow()
                self.assertEqual(task.uncancel(), 0)
                await asyncio.sleep(0)

        with self.collect_reports() as reports:
            await self.spawn(body())
        self.assertEqual(len(reports), 2)

    async def test_10_1_once_a_task(self):
        async def body():
            await self.swallow()
            await self.swallow()

        with self.collect_reports() as reports:
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(body())
                await self.settle()
                group.cancel()
        self.assertEqual(len(reports), 3)

    @reported_once
    async def test_10_1_swallowed_after_a_shielded_cleanup(self):
        try:
            self.place = next_line()
            await self.forever()
        except asyncio.CancelledError:
            with self.CancelScope(shield=True):
                await asyncio.sleep(1)
        await asyncio.sleep(0)

    @reported_once
    async def test_10_1_swallowed_after_a_cleanup_that_timed_out(self):
        # That the scope inside has caught its own error says nothing about the
        # one that is being handled.
        try:
            self.place = next_line()
            await self.forever()
        except asyncio.CancelledError:
            with asyncio.move_on_after(1, shield=True):
                await self.forever()
        await asyncio.sleep(0)

    @reported_once
    async def test_10_1_once_although_another_scope_comes_between(self):
        await self.swallow()
        await self.swallow()
        with asyncio.move_on_after(1, shield=True):
            await self.forever()
        await self.swallow()
        await self.swallow()

    @reported_once
    async def test_10_1_once_although_uncancel_changes_nothing(self):
        # The cancellation that is swallowed is that of a scope.
        await self.swallow()
        await self.swallow()
        task = asyncio.current_task()
        task.cancel()
        task.uncancel()
        await self.swallow()
        await self.swallow()

    async def test_10_1_origin_is_that_of_what_was_swallowed(self):
        # Not that of the scope that the next error comes from.
        with self.collect_reports() as reports:
            origin = next_line()
            with self.CancelScope() as outer:
                outer.cancel()
                await self.swallow()
                inner = self.CancelScope()
                inner.cancel()
                with inner:
                    await asyncio.sleep(0)
        self.assert_origins(reports, origin)

    async def test_10_1_scope_of_a_task_that_was_not_made_in_debug_mode(self):
        async def member():
            await self.swallow()
            await asyncio.sleep(0)

        async def host():
            async with asyncio.TaskGroup() as group:
                self.loop.set_debug(True)
                group.create_task(member())
                await self.settle()
                group.cancel()

        with self.collect_reports() as reports:
            self.loop.set_debug(False)
            await self.spawn(host())
        self.assertEqual(len(reports), 1)
        # There is no asyncio.run().
        self.assertNotIn('asyncio.run()', reports[0][1])

    async def test_10_1_logging_that_raises_does_not_harm_the_task(self):
        def refuse(record):
            seen.append(record.name)
            raise MyError

        seen = []
        logger = logging.getLogger('asyncio')
        logger.addFilter(refuse)
        self.addCleanup(logger.removeFilter, refuse)
        with support.catch_unraisable_exception():
            with self.CancelScope() as scope:
                scope.cancel()
                await self.swallow()
                await self.assert_cancelled(asyncio.sleep(0))
        self.assertEqual(seen, ['asyncio'])
        await self.assert_not_cancelled()
        self.take_ignored()

    def take_ignored(self):
        # Only the pure-Python class tells the loop.
        for problem in self.problems:
            self.assertIsInstance(problem['exception'], MyError)
        self.problems.clear()

    async def test_10_1_repr_that_raises_does_not_harm_the_task(self):
        class Task(self.Task):
            def __repr__(self):
                raise MyError

        async def body():
            asyncio.current_task().cancel()
            await self.swallow()
            await self.assert_cancelled(asyncio.sleep(0))
            return 'done'

        with (support.catch_unraisable_exception(), support.captured_stderr(),
              mock.patch.object(logging, 'raiseExceptions', False)):
            task = Task(body(), loop=self.loop)
            # A task that cannot be reported must not wait forever.
            done, _ = await asyncio.wait([task], timeout=100)
            self.assertEqual(len(done), 1)
            self.assertEqual(task.result(), 'done')
        self.take_ignored()


@matrix
class SilenceTests(DebugUtils):
    """Rule 10.1: what is not reported."""

    async def fail_to_wait(self):
        """Several awaits, each in a block of its own, none of which succeeds.
        """
        for wait in self.forever, bare_yield:
            try:
                await wait()
            except asyncio.CancelledError:
                pass

    async def test_10_1_not_in_debug_mode(self):
        async def body():
            with self.CancelScope() as scope:
                scope.cancel()
                for _ in range(3):
                    await self.swallow()
            asyncio.current_task().cancel()
            for _ in range(3):
                await self.swallow()

        self.loop.set_debug(False)
        with self.no_reports():
            await self.spawn(body())

    def test_10_1_not_in_debug_mode_under_run(self):
        async def main():
            asyncio.create_task(self.fail_to_wait())
            await self.settle()

        with self.no_reports():
            asyncio.run(main(), debug=False, loop_factory=lambda: self.loop)

    @silent
    async def test_10_1_propagation(self):
        await self.forever()

    @silent
    async def test_10_1_await_in_finally(self):
        try:
            await self.forever()
        finally:
            await self.fail_to_wait()

    @silent
    async def test_10_1_await_in_finally_that_fails(self):
        try:
            await self.forever()
        finally:
            await asyncio.sleep(0)

    @silent
    async def test_10_1_await_in_except(self):
        try:
            await self.forever()
        except asyncio.CancelledError:
            await self.fail_to_wait()
            raise

    @silent
    async def test_10_1_nested_handlers(self):
        try:
            await self.forever()
        except asyncio.CancelledError:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                try:
                    await asyncio.sleep(0)
                finally:
                    await self.fail_to_wait()
                    await asyncio.sleep(0)

    @silent
    async def test_10_1_handlers_in_several_coroutines(self):
        async def inner():
            try:
                await self.forever()
            finally:
                await self.fail_to_wait()

        async def middle():
            try:
                await inner()
            finally:
                await self.fail_to_wait()
                await asyncio.sleep(0)

        try:
            await middle()
        except asyncio.CancelledError:
            await self.fail_to_wait()
            raise

    @silent
    async def test_10_1_cleanup_in_a_helper(self):
        async def deeper():
            await self.fail_to_wait()
            try:
                await asyncio.sleep(0)
            finally:
                await self.fail_to_wait()

        async def clean_up():
            await deeper()

        try:
            await self.forever()
        finally:
            await clean_up()

    async def test_10_1_cleanup_behind_an_awaitable(self):
        # The frame of clean_up() is reached through other kinds of objects.
        async def clean_up():
            try:
                await self.forever()
            finally:
                await self.fail_to_wait()

        class Wrapper:
            # As of many libraries, such as aiohttp's requests.
            def __await__(self):
                return clean_up().__await__()

        class Generator:
            def __await__(self):
                return (yield from clean_up().__await__())

        @types.coroutine
        def generator():
            yield from clean_up()

        for awaitable in Wrapper, Generator, generator:
            async def body():
                await awaitable()

            with self.subTest(awaitable.__name__):
                await self.assert_silent(body)

    @silent
    async def test_10_1_cleanup_in_a_generator_of_the_old_kind(self):
        @types.coroutine
        def body():
            try:
                yield from self.forever()
            finally:
                yield from self.fail_to_wait()

        await body()

    @silent
    async def test_10_1_asynchronous_generator(self):
        async def generate():
            try:
                yield 1
                await self.forever()
            finally:
                await self.fail_to_wait()

        async for _ in generate():
            pass

    @silent
    async def test_10_1_asynchronous_generator_that_is_closed(self):
        async def generate():
            try:
                yield 1
            finally:
                await self.fail_to_wait()

        async with contextlib.aclosing(generate()) as generator:
            async for _ in generator:
                await self.forever()

    async def test_10_1_anext(self):
        async def generate():
            try:
                await self.forever()
                yield 1
            finally:
                await self.fail_to_wait()

        async def body(*default):
            generator = generate()
            await anext(generator, *default)

        with self.subTest('no default'):
            await self.assert_silent(body)
        with self.subTest('default'):
            await self.assert_silent(lambda: body(None))

    @silent
    async def test_10_1_asynchronous_context_managers(self):
        test = self

        class Manager:
            async def __aenter__(self):
                pass

            async def __aexit__(self, exc_type, exc, tb):
                await test.fail_to_wait()
                await asyncio.sleep(0)

        @contextlib.asynccontextmanager
        async def manager():
            try:
                yield
            finally:
                await self.fail_to_wait()
                await asyncio.sleep(0)

        async with Manager(), manager():
            async with manager(), Manager():
                await self.forever()

    @silent
    async def test_10_1_exit_stack(self):
        @contextlib.asynccontextmanager
        async def manager():
            try:
                yield
            finally:
                await self.fail_to_wait()

        async def callback():
            await self.fail_to_wait()
            await asyncio.sleep(0)

        async def exit(exc_type, exc, tb):
            await self.fail_to_wait()
            return False

        async with contextlib.AsyncExitStack() as stack:
            for _ in range(2):
                await stack.enter_async_context(manager())
                stack.push_async_callback(callback)
                stack.push_async_exit(exit)
            await self.forever()

    async def test_10_1_shielded_cleanup(self):
        async def in_scope():
            with self.CancelScope(shield=True):
                await asyncio.sleep(1)
                await asyncio.sleep(1)

        async def in_shield():
            await asyncio.shield(asyncio.sleep(1))

        async def in_timeout():
            async with asyncio.timeout(100, shield=True):
                await asyncio.sleep(1)

        async def in_timeout_that_expires():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1, shield=True):
                    await self.forever()

        async def in_scope_that_expires():
            with asyncio.move_on_after(1, shield=True):
                await self.forever()

        for clean_up in (in_scope, in_shield, in_timeout,
                         in_timeout_that_expires, in_scope_that_expires):
            async def body():
                try:
                    await self.forever()
                except asyncio.CancelledError:
                    await clean_up()
                    await self.fail_to_wait()
                    raise

            with self.subTest(clean_up.__name__):
                await self.assert_silent(body)

    async def test_10_1_shielded_waits_after_it_was_swallowed(self):
        # In there the task is not cancelled.
        async def body():
            await self.swallow()
            with self.CancelScope(shield=True):
                for _ in range(3):
                    await asyncio.sleep(1)

        with self.no_reports():
            with self.CancelScope() as scope:
                scope.cancel()
                await body()
            await self.cancel_when_blocked(body())

    async def test_10_1_swallowed_and_no_further_await(self):
        async def done():
            return 'done'

        async def body():
            await self.swallow()
            # None of these has to wait.
            await done()
            async with asyncio.Lock():
                pass
            return 'result'

        with self.no_reports():
            with self.CancelScope() as scope:
                scope.cancel()
                self.assertEqual(await body(), 'result')
            task = await self.cancel_when_blocked(body())
        self.assertEqual(task.result(), 'result')

    async def test_10_1_saved_to_be_raised_later(self):
        async def in_variable():
            saved = None
            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                saved = exc
            await self.fail_to_wait()
            raise saved

        async def in_exc_info():
            try:
                await self.forever()
            except asyncio.CancelledError:
                saved = sys.exc_info()
            await self.fail_to_wait()
            raise saved[1]

        async def in_list():
            errors = []
            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                errors.append(exc)
            await self.fail_to_wait()
            raise errors[0]

        async def in_closure():
            saved = None

            def reraise():
                raise saved

            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                saved = exc
            await self.fail_to_wait()
            reraise()

        async def in_callee():
            async def clean_up(exc):
                await self.fail_to_wait()
                raise exc

            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                cleaning_up = clean_up(exc)
            await cleaning_up

        for body in (in_variable, in_exc_info, in_list, in_closure, in_callee):
            with self.subTest(body.__name__):
                await self.assert_silent(body)

    async def test_10_1_replaced_by_another_error(self):
        async def body():
            try:
                try:
                    await self.forever()
                except asyncio.CancelledError:
                    raise MyError
            finally:
                await self.fail_to_wait()

        async def from_none():
            try:
                try:
                    await self.forever()
                except asyncio.CancelledError:
                    raise MyError from None
            except MyError:
                await self.fail_to_wait()
                raise

        for body in body, from_none:
            with self.subTest(body.__name__):
                with self.no_reports():
                    with self.CancelScope() as scope:
                        self.loop.call_later(1, scope.cancel)
                        with self.assertRaises(MyError):
                            await body()
                    task = await self.cancel_when_blocked(body())
                    self.assertIsInstance(task.exception(), MyError)

    async def test_10_1_in_a_group_of_errors(self):
        # While the group propagates, the error in it does.
        async def body():
            errors = []
            try:
                try:
                    await self.forever()
                except asyncio.CancelledError as exc:
                    errors.append(exc)
                group = BaseExceptionGroup('errors', errors)
                del errors
                raise group
            finally:
                del group
                await self.fail_to_wait()

        with self.no_reports():
            with self.CancelScope() as scope:
                self.loop.call_later(1, scope.cancel)
                await body()
        self.assert_scope(scope, called=True, caught=True)

    async def test_10_1_uncancel(self):
        async def body():
            for _ in range(3):
                task = asyncio.current_task()
                task.cancel()
                try:
                    await self.forever()
                except asyncio.CancelledError:
                    self.assertEqual(task.uncancel(), 0)
                await asyncio.sleep(0)
                await asyncio.sleep(1)

        with self.no_reports():
            await self.spawn(body())

    async def test_10_1_uncancel_and_a_scope_after_it(self):
        async def body():
            task = asyncio.current_task()
            task.cancel()
            await self.swallow()
            task.uncancel()
            with self.CancelScope() as scope:
                scope.cancel()
                await asyncio.sleep(0)

        with self.no_reports():
            await self.spawn(body())

    async def test_10_1_scope_after_scope(self):
        with self.no_reports():
            for _ in range(3):
                with self.CancelScope() as scope:
                    scope.cancel()
                    await self.forever()
                await asyncio.sleep(0)
                with asyncio.move_on_after(1):
                    try:
                        await self.forever()
                    finally:
                        await self.fail_to_wait()

    async def test_10_1_scope_in_a_cancelled_scope(self):
        with self.no_reports():
            with self.CancelScope() as outer:
                outer.cancel()
                with self.CancelScope() as inner:
                    inner.cancel()
                    try:
                        await self.forever()
                    finally:
                        await self.fail_to_wait()

    async def test_10_1_shielded_scope_in_a_cancelled_scope(self):
        # Trap 3: the inner one catches, and the next error is the outer one's.
        with self.no_reports():
            with self.CancelScope() as outer:
                outer.cancel()
                with self.CancelScope(shield=True) as inner:
                    inner.cancel()
                    await self.forever()
                await self.forever()
        self.assert_scope(outer, called=True, caught=True)

    async def test_10_1_swallowed_in_a_scope_that_was_left_then(self):
        # Once it was left, the task is cancelled no more.
        with self.no_reports():
            for _ in range(3):
                with self.CancelScope() as scope:
                    scope.cancel()
                    await self.swallow()
                await asyncio.sleep(0)

    async def test_10_1_timeout_after_timeout(self):
        with self.no_reports():
            for _ in range(3):
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(1):
                        await self.forever()
                with self.assertRaises(TimeoutError):
                    await asyncio.wait_for(self.forever(), 1)
                with self.assertRaises(TimeoutError):
                    await asyncio.wait_for(self.loop.create_future(), 1)
                with self.assertRaises(TimeoutError):
                    await asyncio.wait_for(self.forever(), 0)

    async def test_10_1_nested_timeouts(self):
        with self.no_reports():
            for inner, outer in (1, 2), (2, 1), (1, 1):
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(outer):
                        try:
                            async with asyncio.timeout(inner):
                                await self.forever()
                        except TimeoutError:
                            await self.forever()

    async def test_10_1_result_that_is_kept(self):
        # Rule 2.3: nothing was thrown, so nothing was swallowed.
        async def body():
            results.append(await future)
            await asyncio.sleep(0)

        results = []
        future = self.loop.create_future()
        with self.no_reports():
            with self.CancelScope() as scope:
                self.loop.call_soon(future.set_result, 'item')
                self.loop.call_soon(scope.cancel)
                await body()
        self.assertEqual(results, ['item'])

    async def test_10_1_awaited_task_that_keeps_its_result(self):
        async def worker():
            try:
                await self.forever()
            except asyncio.CancelledError:
                return 'result'

        with self.no_reports():
            with self.CancelScope() as scope:
                scope.cancel()
                self.assertEqual(await self.spawn(worker()), 'result')
                self.assertEqual(await self.spawn(worker()), 'result')
                await asyncio.sleep(0)

    @silent
    async def test_10_1_worker_is_stopped_in_finally(self):
        # Trap 18.
        async def worker():
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(1)

        task = self.spawn(worker())
        try:
            await self.forever()
        finally:
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass

    async def test_10_1_awaited_task_was_cancelled_by_others(self):
        # No cancellation of the one that waits.
        async def body():
            for _ in range(3):
                task = self.spawn(self.forever())
                await asyncio.sleep(1)
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    pass

        with self.no_reports():
            await self.spawn(body())

    async def test_10_1_library(self):
        async def condition():
            async def holder():
                async with condition:
                    await asyncio.sleep(10)

            condition = asyncio.Condition()
            async with condition:
                holding = self.spawn(holder())
                try:
                    # It has to be acquired again, which takes time.
                    await condition.wait()
                finally:
                    await asyncio.shield(asyncio.wait([holding]))

        async def queue_get():
            await asyncio.Queue().get()

        async def queue_put():
            queue = asyncio.Queue(1)
            await queue.put(1)
            await queue.put(2)

        async def lock():
            lock = asyncio.Lock()
            async with lock, lock:
                pass

        async def gather():
            await asyncio.gather(self.forever(), self.forever())

        async def gather_in_gather():
            await asyncio.gather(gather(), gather())

        async def wait():
            await asyncio.wait([self.loop.create_future()])

        async def completed():
            async for _ in asyncio.as_completed([self.loop.create_future()]):
                pass

        async def shielded():
            await asyncio.shield(self.loop.create_future())

        async def race():
            await staggered.staggered_race([self.forever, self.forever], 1)

        async def waits_for():
            await asyncio.wait_for(self.forever(), 100)

        async def group_in_body():
            async with asyncio.TaskGroup() as group:
                group.create_task(self.forever())
                await self.forever()

        async def group_in_join():
            async with asyncio.TaskGroup() as group:
                group.create_task(self.forever())

        async def group_that_takes_time():
            async def member():
                try:
                    await self.forever()
                finally:
                    with self.CancelScope(shield=True):
                        await asyncio.sleep(1)

            async with asyncio.TaskGroup() as group:
                group.create_task(member())
                await group_in_join()

        for body in (condition, queue_get, queue_put, lock, gather,
                     gather_in_gather, wait, completed, shielded, race,
                     waits_for, group_in_body, group_in_join,
                     group_that_takes_time):
            async def with_clean_up():
                try:
                    await body()
                finally:
                    for _ in range(2):
                        try:
                            await body()
                        except asyncio.CancelledError:
                            pass

            with self.subTest(body.__name__):
                await self.assert_silent(body)
            with self.subTest(body.__name__, clean_up=True):
                await self.assert_silent(with_clean_up)

    async def test_10_1_group_is_cancelled(self):
        async def member():
            await self.forever()

        with self.no_reports():
            for _ in range(3):
                async with asyncio.TaskGroup() as group:
                    group.create_task(member())
                    self.loop.call_later(1, group.cancel)
                    await self.forever()
                async with asyncio.TaskGroup() as group:
                    group.create_task(member())
                    self.loop.call_later(1, group.cancel)
                await asyncio.sleep(0)

    async def test_10_1_member_fails(self):
        async def failing():
            await asyncio.sleep(1)
            raise MyError

        with self.no_reports():
            for _ in range(3):
                with self.assertRaises(ExceptionGroup):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(failing())
                        group.create_task(self.forever())
                        await self.forever()
                await asyncio.sleep(0)

    async def test_10_1_errors_of_a_group_have_priority(self):
        # Rule 6.5: the group itself puts the cancellation off.
        async def failing():
            try:
                await self.forever()
            finally:
                raise MyError

        async def in_body():
            async with asyncio.TaskGroup() as group:
                group.create_task(failing())
                await self.forever()

        async def in_join():
            async with asyncio.TaskGroup() as group:
                group.create_task(failing())

        for host in in_body, in_join:
            async def body():
                try:
                    await host()
                except* MyError:
                    pass
                await asyncio.sleep(0)

            with self.subTest(host.__name__):
                await self.assert_silent(body)

    async def test_10_1_error_split_off_by_except_star(self):
        async def body():
            try:
                await self.forever()
            except* MyError:
                pass
            except* asyncio.CancelledError:
                await self.fail_to_wait()
                raise

        with self.no_reports():
            with self.CancelScope() as scope:
                self.loop.call_later(1, scope.cancel)
                await body()

    def test_10_1_under_run(self):
        async def failing():
            raise MyError

        async def background():
            try:
                await self.forever()
            finally:
                await self.fail_to_wait()

        async def main():
            asyncio.create_task(background())
            await self.settle()
            asyncio.create_task(failing())
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(background())
            finally:
                await asyncio.shield(asyncio.sleep(1))

        with self.collect_reports() as reports:
            with self.assertRaises(ExceptionGroup):
                asyncio.run(main(), debug=True, loop_factory=lambda: self.loop)
        self.assertEqual(reports, [])


@matrix
class LeakTests(DebugUtils):
    """Debug mode keeps the error that was delivered no longer than needed."""

    def setUp(self):
        super().setUp()
        self.markers = []

    async def forever_marked(self):
        """Wait; the traceback of the error keeps the marker alive."""
        marker = Marker()
        self.markers.append(weakref.ref(marker))
        await self.forever()
        del marker

    async def swallow_marked(self):
        try:
            await self.forever_marked()
        except asyncio.CancelledError:
            pass

    async def assert_markers_gone(self, count):
        # During the step that it is thrown into, the caller has it too.
        with self.CancelScope(shield=True):
            await asyncio.sleep(0)
        self.assertEqual([ref() for ref in self.markers], [None] * count)

    async def test_10_1_error_is_gone_when_the_scope_is_left(self):
        with support.disable_gc():
            with self.CancelScope() as scope:
                scope.cancel()
                await self.forever_marked()
            await self.assert_markers_gone(1)

    async def test_10_1_error_is_gone_when_a_timeout_is_left(self):
        with support.disable_gc():
            try:
                async with asyncio.timeout(1):
                    await self.forever_marked()
            except TimeoutError:
                pass
            await self.assert_markers_gone(1)

    async def test_10_1_swallowed_error_is_gone_when_the_scope_is_left(self):
        with support.disable_gc():
            with self.CancelScope() as scope:
                scope.cancel()
                await self.swallow_marked()
            await self.assert_markers_gone(1)

    async def test_10_1_error_is_gone_when_it_has_been_reported(self):
        with support.disable_gc():
            with self.CancelScope() as scope:
                scope.cancel()
                with self.collect_reports():
                    await self.swallow_marked()
                    await self.swallow_marked()
                await self.assert_markers_gone(2)

    async def test_10_1_error_is_gone_after_uncancel(self):
        async def body():
            task = asyncio.current_task()
            task.cancel()
            await self.swallow_marked()
            task.uncancel()
            await self.assert_markers_gone(1)

        with support.disable_gc():
            await self.spawn(body())

    async def test_10_1_error_is_gone_when_the_task_is_done(self):
        # Although the task is still there.
        async def body():
            await self.swallow_marked()
            return 'done'

        with support.disable_gc():
            task = await self.cancel_when_blocked(body())
            self.assertEqual(task.result(), 'done')
            await self.assert_markers_gone(1)

    async def test_10_1_error_is_gone_when_the_member_is_done(self):
        with support.disable_gc():
            async with asyncio.TaskGroup() as group:
                member = group.create_task(self.swallow_marked())
                await self.settle()
                group.cancel()
            self.assertIs(member.done(), True)
            await self.assert_markers_gone(1)

    async def test_10_1_error_is_gone_when_the_cancelled_task_is_gone(self):
        # As long as it is there, its result refers to the error (stock).
        with support.disable_gc():
            task = await self.cancel_when_blocked(self.forever_marked())
            self.assertIs(task.cancelled(), True)
            del task
            if isinstance(self, PyLazy):
                # The pure-Python task has a cycle there, in stock as well.
                support.gc_collect()
            await self.assert_markers_gone(1)

    async def test_10_1_error_is_gone_when_the_task_has_failed(self):
        async def body():
            await self.swallow_marked()
            with self.CancelScope(shield=True):
                # So that it does not become the context of what follows.
                await asyncio.sleep(0)
            raise MyError

        with support.disable_gc():
            task = await self.cancel_when_blocked(body())
            self.assertIsInstance(task.exception(), MyError)
            await self.assert_markers_gone(1)

    async def collect(self, wait):
        """Have a task collected that has swallowed, and then waits."""
        async def body(task_refers_to_itself):
            task_refers_to_itself.append(asyncio.current_task())
            await self.swallow_marked()
            await wait()

        task = self.spawn(body([]))
        await self.settle()
        task.cancel()
        await self.settle()
        self.assertIsNotNone(self.markers[0]())
        # That it is pending is no news.
        task._log_destroy_pending = False
        task = weakref.ref(task)
        support.gc_collect()
        self.assertIsNone(task())
        await self.assert_markers_gone(1)

    async def test_10_1_pending_task_can_be_collected(self):
        class RefusingFuture(self.Future):
            def cancel(self, msg=None):
                return False

        async def wait():
            # There is no other reference to that.
            await RefusingFuture(loop=self.loop)

        await self.collect(wait)

    async def test_10_1_pending_task_that_is_collected_is_not_reported(self):
        # For it is closed where it has not been cancelled.
        async def wait():
            with self.CancelScope(shield=True):
                await self.loop.create_future()

        with self.no_reports():
            await self.collect(wait)
            await self.settle()


if __name__ == '__main__':
    unittest.main()
