"""Tests for the root task group: asyncio/groups.py and asyncio/runners.py.

Names of tests carry the number of the rule that they check.  Signals are
tested elsewhere, and so are the legacy switches, but for errors="log".
"""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import gc
import logging
import math
import sys
import threading
import traceback
import types
import unittest
import weakref
from asyncio import staggered
from asyncio import tasks
from asyncio.log import logger
from test import support
from test.support import socket_helper
from test.support import threading_helper
from test.support import warnings_helper

from test.test_asyncio import scope_utils


MESSAGE = 'unhandled errors in background tasks'


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


class MyError(Exception):
    """An exception that can be referenced weakly and is nobody else's."""


class MyBaseError(BaseException):
    pass


class Awaitable:
    """What is neither a coroutine nor a future."""

    def __init__(self, coro):
        self.coro = coro

    def __await__(self):
        return self.coro.__await__()


class ForeignTask(asyncio.Future):
    """Runs a coroutine but is no asyncio.Task: what a factory may return."""

    def __init__(self, coro, loop):
        super().__init__(loop=loop)
        self.coro = coro
        self.waiter = None
        self.error = None
        asyncio._register_task(self)
        loop.call_soon(self.step)

    def cancel(self, msg=None):
        if self.done():
            return False
        if self.waiter is None or not self.waiter.cancel(msg=msg):
            self.error = asyncio.CancelledError()
        return True

    def step(self, future=None):
        self.waiter = None
        error, self.error = self.error, None
        try:
            if error is None:
                future = self.coro.send(None)
            else:
                future = self.coro.throw(error)
        except StopIteration as exc:
            self.set_result(exc.value)
        except asyncio.CancelledError:
            super().cancel()
        except Exception as exc:
            self.set_exception(exc)
        else:
            if future is None:
                self.get_loop().call_soon(self.step)
            else:
                future._asyncio_future_blocking = False
                future.add_done_callback(self.step)
                self.waiter = future


class LoopMixin:

    Future = None

    def create_future(self):
        return self.Future(loop=self)


class VirtualLoop(LoopMixin, scope_utils.VirtualTimeLoop):
    pass


class RealLoop(LoopMixin, asyncio.SelectorEventLoop):
    """For what threads and sockets take part in."""

    async def wait_all_blocked(self):
        # Good enough for tasks that wait for nothing but each other.
        for _ in range(10):
            await asyncio.sleep(0)


class RootGroupTestCase(unittest.TestCase):
    """Whatever goes to the exception handler, and is not taken, is a failure.

    The variants say which implementation of Task is tested.
    """

    Task = None
    Future = None
    eager = False
    # Seconds that things take; none in tests that need a real loop.
    pause = 2

    def setUp(self):
        super().setUp()
        self.problems = []
        # The first failure of each program is logged (10.3).
        self.lines = []
        handler = logging.Handler()
        handler.emit = lambda record: self.lines.append(record.getMessage())
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)
        self.addCleanup(setattr, logger, 'propagate', logger.propagate)
        logger.propagate = False
        saved = sys.unraisablehook
        self.addCleanup(setattr, sys, 'unraisablehook', saved)
        sys.unraisablehook = self.on_unraisable
        if self.Task is tasks._PyTask:
            self.use_python_tasks()

    def tearDown(self):
        self.assertEqual(self.problems, [])
        super().tearDown()

    def use_python_tasks(self):
        def restore(saved=tasks.current_task):
            asyncio.current_task = tasks.current_task = saved
        self.addCleanup(restore)
        asyncio.current_task = tasks.current_task = tasks._py_current_task

    def on_unraisable(self, unraisable):
        self.problems.append(('unraisable', unraisable.exc_value))

    def on_problem(self, loop, context):
        # Do not keep tasks and futures alive.
        self.problems.append((context['message'], context.get('exception')))

    def take_problems(self):
        problems = self.problems[:]
        self.problems.clear()
        return problems

    # Loops and runners.

    def task_factory(self):
        if self.eager:
            return asyncio.create_eager_task_factory(self.Task)
        cls = self.Task

        def factory(loop, coro, **kwargs):
            return cls(coro, loop=loop, **kwargs)
        return factory

    def make_loop(self, cls=VirtualLoop):
        loop = cls()
        loop.Future = self.Future
        loop.set_exception_handler(self.on_problem)
        if self.eager or self.Task is not asyncio.Task:
            loop.set_task_factory(self.task_factory())
        return loop

    def make_real_loop(self):
        return self.make_loop(RealLoop)

    def run_main(self, coro):
        return asyncio.run(coro, loop_factory=self.make_loop)

    def run_really(self, coro):
        return asyncio.run(coro, loop_factory=self.make_real_loop)

    def runner(self):
        return asyncio.Runner(loop_factory=self.make_loop)

    def all_tasks(self):
        loop = asyncio.get_running_loop()
        return tasks.all_tasks(loop) | tasks._py_all_tasks(loop)

    # What run() raises.

    @contextlib.contextmanager
    def raises_group(self, *errors):
        """The group of background errors, with exactly these in any order."""
        with self.assertRaises(BaseExceptionGroup) as cm:
            yield cm
        self.check_group(cm.exception, *errors)

    def check_group(self, group, *errors):
        plain = all(isinstance(exc, Exception) for exc in errors)
        self.assertIs(type(group),
                      ExceptionGroup if plain else BaseExceptionGroup)
        self.assertEqual(group.message, MESSAGE)
        self.assertCountEqual(group.exceptions, errors)

    @contextlib.contextmanager
    def raises_bare(self, error):
        """This very exception."""
        with self.assertRaises(type(error)) as cm:
            yield cm
        self.assertIs(cm.exception, error)

    # Building blocks.

    async def forever(self):
        await asyncio.get_running_loop().create_future()

    async def settle(self):
        """Let all other tasks run until they are blocked."""
        await asyncio.get_running_loop().wait_all_blocked()

    async def failing(self, error, delay=None):
        if delay is not None:
            await asyncio.sleep(delay)
        raise error

    async def background(self, trace, name='background', error=None):
        """Wait for the cancellation, then take some time to clean up."""
        try:
            await self.forever()
        finally:
            with asyncio.CancelScope(shield=True):
                await asyncio.sleep(self.pause)
            trace.append(name)
            if error is not None:
                raise error

    async def assert_cancelled(self, awaitable):
        with self.assertRaises(asyncio.CancelledError) as cm:
            await awaitable
        self.assertIs(type(cm.exception), asyncio.CancelledError)

    async def assert_level(self):
        """Every kind of yield point raises, as often as it is tried."""
        for _ in range(3):
            await self.assert_cancelled(asyncio.sleep(0))
            await self.assert_cancelled(asyncio.sleep(1))
            await self.assert_cancelled(self.forever())

    async def assert_not_cancelled(self):
        """Yield points of both kinds work, and nothing is pending."""
        self.assertEqual(asyncio.current_task().cancelling(), 0)
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        self.assertEqual(asyncio.current_task().cancelling(), 0)


def for_each(name):
    """Decorator: run the test for each item that the method *name* returns."""
    def decorate(test):
        @functools.wraps(test)
        def run(self):
            for item in getattr(self, name)():
                args = item if isinstance(item, tuple) else (item,)
                with self.subTest(args[0].__name__):
                    test(self, *args)
        return run
    return decorate


def not_python_tasks(test):
    """Decorator for tests that look for reference cycles."""
    @functools.wraps(test)
    def run(self):
        if self.Task is tasks._PyTask:
            self.skipTest('the frames of a _PyTask and the CancelledError that '
                          'it gets are a cycle, as in stock')
        test(self)
    return run


def matrix(base):
    """Class decorator: put one test class per variant into this module."""
    for variant in (scope_utils.CLazy, scope_utils.CEager,
                    scope_utils.PyLazy, scope_utils.PyEager):
        name = f'{base.__name__}_{variant.__name__}'
        cls = types.new_class(name, (variant, base, RootGroupTestCase))
        cls.__module__ = base.__module__
        if variant.Task is None:
            cls = unittest.skip('requires the C _asyncio module')(cls)
        setattr(sys.modules[base.__module__], name, cls)
    return base


@matrix
class MembershipTests:
    """Rule 7.1."""

    def ways(self):
        """The ways to make a task without a group."""
        def create_task(coro):
            asyncio.create_task(coro)

        def loop_create_task(coro):
            asyncio.get_running_loop().create_task(coro)

        def with_arguments(coro):
            asyncio.create_task(coro, name='name', errors='propagate',
                                context=contextvars.copy_context())

        def ensure_future(coro):
            asyncio.ensure_future(coro)

        def ensure_future_of_an_awaitable(coro):
            asyncio.ensure_future(Awaitable(coro))

        def direct(coro):
            self.Task(coro, loop=asyncio.get_running_loop())

        def direct_eager(coro):
            self.Task(coro, loop=asyncio.get_running_loop(), eager_start=True)

        def in_a_callback(coro):
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.create_task, coro)

        def in_a_callback_from_outside(coro):
            loop = asyncio.get_running_loop()
            loop.call_soon_threadsafe(loop.create_task, coro)

        def in_a_done_callback(coro):
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            future.add_done_callback(lambda _: loop.create_task(coro))
            future.set_result(None)

        return (create_task, loop_create_task, with_arguments,
                ensure_future, ensure_future_of_an_awaitable, direct,
                direct_eager, in_a_callback, in_a_callback_from_outside,
                in_a_done_callback)

    @for_each('ways')
    def test_7_1_failure_of_a_task_is_raised(self, spawn):
        error = MyError()

        async def main():
            spawn(self.failing(error, 1))
            await self.assert_cancelled(self.forever())
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())

    @for_each('ways')
    def test_7_1_failure_before_the_first_await_is_raised(self, spawn):
        error = MyError()

        async def main():
            spawn(self.failing(error))
            await self.assert_cancelled(self.forever())
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())

    @for_each('ways')
    def test_7_1_task_is_cancelled_and_waited_for_at_the_end(self, spawn):
        trace = []

        async def main():
            spawn(self.background(trace))
            await self.settle()
            trace.append('main')
            return 'result'

        self.assertEqual(self.run_main(main()), 'result')
        self.assertEqual(trace, ['main', 'background'])

    @for_each('ways')
    def test_7_1_task_that_nobody_refers_to_is_kept(self, spawn):
        # Trap 29: nor does anybody refer to what it waits for.
        trace = []

        async def orphan():
            trace.append(weakref.ref(asyncio.current_task()))
            try:
                await self.forever()
            finally:
                trace.append('cancelled')

        async def main():
            spawn(orphan())
            await self.settle()
            support.gc_collect()
            self.assertIsNotNone(trace[0]())
            self.assertEqual(trace[1:], [])

        self.run_main(main())
        self.assertEqual(trace[1:], ['cancelled'])

    def test_7_1_tasks_that_only_tasks_refer_to_are_kept(self):
        # Trap 29.
        refs = []
        trace = []

        async def orphan(depth):
            refs.append(weakref.ref(asyncio.current_task()))
            try:
                if depth:
                    await asyncio.create_task(orphan(depth - 1))
                else:
                    await self.forever()
            finally:
                trace.append(depth)

        async def main():
            asyncio.create_task(orphan(3))
            await self.settle()
            support.gc_collect()
            self.assertNotIn(None, [ref() for ref in refs])
            self.assertEqual(trace, [])

        self.run_main(main())
        self.assertEqual(trace, [0, 1, 2, 3])

    def test_7_1_tasks_made_before_the_loop_runs(self):
        def create_task(loop, coro):
            loop.create_task(coro)

        def ensure_future(loop, coro):
            asyncio.ensure_future(coro, loop=loop)

        def direct(loop, coro):
            self.Task(coro, loop=loop)

        for spawn in create_task, ensure_future, direct:
            with self.subTest(way=spawn.__name__):
                error = MyError()
                trace = []

                async def orphan():
                    trace.append(weakref.ref(asyncio.current_task()))
                    await self.forever()

                async def main():
                    await asyncio.sleep(1)
                    support.gc_collect()
                    self.assertIsNotNone(trace[0]())
                    await self.assert_cancelled(self.forever())

                with self.runner() as runner:
                    spawn(runner.get_loop(), self.failing(error, 2))
                    spawn(runner.get_loop(), orphan())
                    support.gc_collect()
                    with self.raises_group(error):
                        runner.run(main())

    def test_7_1_task_made_by_a_background_task(self):
        error = MyError()

        async def background():
            asyncio.create_task(self.failing(error, 1))

        async def main():
            asyncio.create_task(background())
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            self.run_main(main())

    def test_7_1_task_made_by_a_member_of_a_group_is_no_member_of_that(self):
        trace = []

        async def member():
            asyncio.create_task(self.background(trace))
            await asyncio.sleep(0)
            raise MyError

        async def main():
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(member())
            await self.settle()
            trace.append('main')

        self.run_main(main())
        self.assertEqual(trace, ['main', 'background'])

    def test_7_1_scope_of_the_spawner_does_not_matter(self):
        trace = []

        async def main():
            with asyncio.CancelScope() as scope:
                scope.cancel()
                asyncio.create_task(self.background(trace))
                await asyncio.sleep(0)
            await self.settle()
            trace.append('main')

        self.run_main(main())
        self.assertEqual(trace, ['main', 'background'])

    # Custom task factories and loops.

    def run_with_factory(self, factory, coro):
        def make_loop():
            loop = self.make_loop()
            loop.set_task_factory(factory)
            return loop
        return asyncio.run(coro, loop_factory=make_loop)

    def check_members(self, run):
        """Members fail, are cancelled, and are kept."""
        error = MyError()
        trace = []

        async def orphan():
            trace.append(weakref.ref(asyncio.current_task()))
            try:
                await self.forever()
            finally:
                trace.append('cancelled')

        async def main():
            asyncio.create_task(orphan())
            await self.settle()
            support.gc_collect()
            self.assertIsNotNone(trace[0]())
            asyncio.get_running_loop().create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            run(main())
        self.assertEqual(trace[1:], ['cancelled'])

    def test_7_1_factory_that_makes_tasks_of_a_subclass(self):
        class MyTask(self.Task):
            pass

        def factory(loop, coro, **kwargs):
            kwargs.setdefault('eager_start', self.eager)
            return MyTask(coro, loop=loop, **kwargs)

        def run(coro):
            self.run_with_factory(factory, coro)

        self.check_members(run)

    def test_7_1_factory_that_wraps_the_coroutine(self):
        async def wrap(coro):
            return await coro

        factory = self.task_factory()

        def wrapping(loop, coro, **kwargs):
            return factory(loop, wrap(coro), **kwargs)

        self.check_members(lambda coro: self.run_with_factory(wrapping, coro))

    def test_7_1_factory_that_makes_another_task_first(self):
        factory = self.task_factory()
        helpers = []
        trace = []

        def twice(loop, coro, **kwargs):
            # For main and the two others; not for what comes after them.
            if len(helpers) < 3:
                helpers.append(factory(loop, self.background(trace)))
            return factory(loop, coro, **kwargs)

        self.check_members(lambda coro: self.run_with_factory(twice, coro))
        self.assertEqual([helper.cancelled() for helper in helpers], [True] * 3)
        self.assertEqual(trace, ['background'] * 3)

    def test_7_1_helper_of_the_factory_fails(self):
        factory = self.task_factory()
        error = MyError()
        made = []

        def twice(loop, coro, **kwargs):
            if len(made) == 1:
                factory(loop, self.failing(error, 1))
            made.append(factory(loop, coro, **kwargs))
            return made[-1]

        async def main():
            asyncio.create_task(self.background([]))
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            self.run_with_factory(twice, main())

    def test_7_1_helper_of_the_factory_fails_while_main_is_made(self):
        # What is known of the task for main does not hold for another one.
        factory = self.task_factory()
        error = MyError()
        made = []

        def twice(loop, coro, **kwargs):
            if not made:
                made.append(factory(loop, self.failing(error, 1)))
            return factory(loop, coro, **kwargs)

        async def main():
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            self.run_with_factory(twice, main())

    def test_7_1_factory_that_main_sets(self):
        error = MyError()

        class MyTask(self.Task):
            pass

        async def main():
            asyncio.get_running_loop().set_task_factory(
                lambda loop, coro, **kwargs: MyTask(coro, loop=loop, **kwargs))
            asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            self.run_main(main())

    def test_7_1_loop_that_makes_the_tasks_itself(self):
        task_class, eager = self.Task, self.eager

        class Loop(VirtualLoop):
            def create_task(self, coro, *, name=None, context=None):
                return task_class(coro, loop=self, name=name, context=context,
                                  eager_start=eager)

        self.check_members(lambda coro: asyncio.run(
            coro, loop_factory=lambda: self.make_loop(Loop)))

    def test_7_1_loop_that_wraps_create_task(self):
        class Loop(VirtualLoop):
            def create_task(self, coro, **kwargs):
                return super().create_task(coro, **kwargs)

        self.check_members(lambda coro: asyncio.run(
            coro, loop_factory=lambda: self.make_loop(Loop)))

    def test_7_1_tasks_that_the_loop_factory_makes(self):
        # They are older than the group, but ended with the others.
        trace = []

        def make_loop():
            loop = self.make_loop()
            made.append(loop.create_task(self.background(trace)))
            return loop

        async def main():
            await self.settle()
            trace.append('main')

        made = []
        asyncio.run(main(), loop_factory=make_loop)
        self.assertEqual(trace, ['main', 'background'])
        self.assertIs(made[0].cancelled(), True)

    # Tasks of a foreign kind.

    @contextlib.contextmanager
    def foreign_tasks(self):
        loop = asyncio.get_running_loop()
        saved = loop.get_task_factory()
        loop.set_task_factory(
            lambda loop, coro, **kwargs: ForeignTask(coro, loop))
        try:
            yield
        finally:
            loop.set_task_factory(saved)

    async def simple_background(self, trace, error=None):
        # It cannot have scopes.
        try:
            await self.forever()
        finally:
            trace.append('background')
            if error is not None:
                raise error

    def test_7_1_foreign_task_is_cancelled_and_waited_for_at_the_end(self):
        trace = []
        made = []

        async def main():
            with self.foreign_tasks():
                made.append(asyncio.create_task(self.simple_background(trace)))
            await self.settle()
            trace.append('main')

        self.run_main(main())
        self.assertEqual(trace, ['main', 'background'])
        self.assertIs(made[0].cancelled(), True)

    def test_7_1_foreign_task_that_fails_at_the_end(self):
        error = MyError()
        trace = []

        async def main():
            with self.foreign_tasks():
                made = asyncio.create_task(
                    self.simple_background(trace, error))
            await self.settle()
            self.assertIs(made.done(), False)

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, ['background'])

    def test_7_1_foreign_task_that_fails(self):
        error = MyError()

        async def main():
            with self.foreign_tasks():
                asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(asyncio.sleep(3600))
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())

    def test_7_1_foreign_task_while_another_one_fails(self):
        error = MyError()
        trace = []

        async def main():
            with self.foreign_tasks():
                task = asyncio.create_task(self.simple_background(trace))
            asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())
            trace.append('main')
            await self.assert_cancelled(task)

        with self.raises_group(error):
            self.run_main(main())
        self.assertCountEqual(trace, ['main', 'background'])

    def test_7_1_foreign_task_that_nobody_refers_to_is_kept(self):
        # Trap 29.
        refs = []
        trace = []

        async def main():
            with self.foreign_tasks():
                refs.append(weakref.ref(
                    asyncio.create_task(self.simple_background(trace))))
            await self.settle()
            support.gc_collect()
            self.assertIsNotNone(refs[0]())
            self.assertEqual(trace, [])

        self.run_main(main())
        self.assertEqual(trace, ['background'])

    def run_foreign(self, coro):
        """Let even main be a foreign task."""
        def make_loop():
            loop = self.make_loop()
            loop.set_task_factory(
                lambda loop, coro, **kwargs: ForeignTask(coro, loop))
            return loop
        return asyncio.run(coro, loop_factory=make_loop)

    def test_7_1_main_is_a_foreign_task(self):
        trace = []

        async def main():
            asyncio.create_task(self.simple_background(trace))
            await asyncio.sleep(1)
            trace.append('main')
            return 'result'

        self.assertEqual(self.run_foreign(main()), 'result')
        self.assertEqual(trace, ['main', 'background'])

    def test_7_1_main_is_a_foreign_task_that_fails(self):
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.simple_background(trace))
            await self.failing(error, 1)

        with self.raises_bare(error):
            self.run_foreign(main())
        self.assertEqual(trace, ['background'])

    def test_7_1_main_is_a_foreign_task_and_another_one_fails(self):
        errors = [MyError(i) for i in range(2)]

        async def main():
            asyncio.create_task(self.failing(errors[0], 1))
            await self.assert_cancelled(self.forever())
            raise errors[1]

        with self.raises_group(*errors):
            self.run_foreign(main())

    # Runners that are not closed.

    def test_7_1_runner_that_is_not_closed_is_collected(self):
        # As in stock: with what belongs to it, and a warning.
        for run in False, True:
            with self.subTest(run=run):
                runner = self.runner()
                loop = runner.get_loop()
                task = loop.create_task(self.forever())
                if run:
                    runner.run(asyncio.sleep(1))
                refs = [weakref.ref(loop), weakref.ref(task)]
                with self.assertWarnsRegex(ResourceWarning, 'unclosed event'):
                    del runner, loop, task
                    support.gc_collect()
                self.assertEqual([ref() for ref in refs], [None, None])
                self.take_problems()  # The task was pending.

    # Finished tasks.

    def test_7_1_finished_task_is_let_go_at_once(self):
        async def value():
            await asyncio.sleep(1)
            return 'value'

        async def logged():
            await asyncio.sleep(1)
            raise MyError

        async def main():
            refs = [
                weakref.ref(asyncio.create_task(value())),
                weakref.ref(asyncio.create_task(logged(), errors='log')),
                weakref.ref(self.Task(
                    value(), loop=asyncio.get_running_loop())),
                weakref.ref(asyncio.create_task(self.forever())),
            ]
            await self.settle()
            self.assertNotIn(None, [ref() for ref in refs])
            refs[-1]().cancel()
            await asyncio.sleep(2)
            self.assertEqual([ref() for ref in refs], [None] * len(refs))

        with support.disable_gc():
            self.run_main(main())
        self.assertEqual(len(self.take_problems()), 1)

    def test_7_1_task_that_finishes_in_its_first_step_is_let_go(self):
        async def value():
            return 'value'

        async def main():
            ref = weakref.ref(asyncio.create_task(value()))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.assertIsNone(ref())

        with support.disable_gc():
            self.run_main(main())

    def test_7_1_finished_tasks_of_a_failed_program_are_let_go(self):
        refs = []

        async def main():
            refs.append(weakref.ref(asyncio.create_task(self.background([]))))
            if self.Task is not tasks._PyTask:
                # As in stock, its frames keep one that was cancelled.
                refs.append(weakref.ref(asyncio.current_task()))
            refs.append(weakref.ref(
                asyncio.create_task(self.failing(MyError(), 1))))
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()

        with support.disable_gc():
            try:
                self.run_main(main())
            except ExceptionGroup:
                pass
            else:
                self.fail('not raised')
            self.assertEqual([ref() for ref in refs], [None] * len(refs))

    def test_7_1_many_tasks(self):
        count = 5_000
        ended = 0
        error = MyError()

        async def background():
            nonlocal ended
            try:
                await self.forever()
            finally:
                ended += 1

        async def main():
            for _ in range(count):
                asyncio.create_task(background())
            await self.settle()
            support.gc_collect()
            asyncio.create_task(self.failing(error, 1))
            await self.forever()

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(ended, count)


@matrix
class FailureTests:
    """Rule 7.2."""

    def test_7_2_main_is_cancelled_by_level(self):
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.failing(error, 1))
            try:
                await self.forever()
            finally:
                trace.append(asyncio.get_running_loop().time())
                await self.assert_level()
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(5)
                    await self.settle()
                trace.append(asyncio.get_running_loop().time())
                await self.assert_level()
                trace.append('end')

        with self.raises_group(error) as cm:
            self.run_main(main())
        self.assertEqual(trace, [1001, 1006, 'end'])
        self.assertEqual(str(cm.exception), MESSAGE + ' (1 sub-exception)')
        self.assertIsNone(cm.exception.__cause__)
        self.assertIsNone(cm.exception.__context__)

    def test_7_2_all_others_are_cancelled_by_level(self):
        error = MyError()
        trace = []

        async def other(name):
            try:
                await self.forever()
            finally:
                await self.assert_level()
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(2)
                await self.assert_level()
                trace.append(name)

        async def main():
            for name in 'first', 'second':
                asyncio.create_task(other(name))
            asyncio.create_task(self.failing(error, 1))
            for name in 'third', 'fourth':
                asyncio.create_task(other(name))
            await self.forever()

        with self.raises_group(error):
            self.run_main(main())
        self.assertCountEqual(trace, ['first', 'second', 'third', 'fourth'])

    def test_7_2_run_waits_for_the_slowest(self):
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.background(trace))
            asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())
            trace.append('main')

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, ['main', 'background'])

    def test_7_2_background_task_ends_while_main_cleans_up(self):
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.background(trace))
            asyncio.create_task(self.failing(error, 1))
            try:
                await self.forever()
            finally:
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(10)
                trace.append('main')

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, ['background', 'main'])

    def test_7_2_traceback_of_mains_error_is_mains(self):
        # Another task raises the same exception as run() ends.
        async def wait(main):
            try:
                await asyncio.sleep(5)
            finally:
                try:
                    await main
                except MyError:
                    raised.append(True)

        async def main():
            asyncio.create_task(wait(asyncio.current_task()))
            await asyncio.sleep(1)
            raise MyError

        raised = []
        names = []
        try:
            self.run_main(main())
        except MyError as exc:
            tb = exc.__traceback__
            while tb is not None:
                names.append(tb.tb_frame.f_code.co_name)
                tb = tb.tb_next
        self.assertEqual(raised, [True])
        self.assertEqual(names[-1], 'main')
        self.assertNotIn('wait', names)

    def test_7_2_error_of_main_is_in_the_group(self):
        for own in MyError('main'), ExceptionGroup('', [MyError('main')]):
            with self.subTest(own=own):
                error = MyError('background')

                async def main():
                    asyncio.create_task(self.failing(error, 1))
                    try:
                        await self.forever()
                    finally:
                        with asyncio.CancelScope(shield=True):
                            await asyncio.sleep(1)
                        raise own

                with self.raises_group(error, own):
                    self.run_main(main())

    def test_7_2_main_that_was_just_cancelled_is_not_in_the_group(self):
        error = MyError()

        async def main():
            asyncio.create_task(self.failing(error, 1))
            try:
                await self.forever()
            except asyncio.CancelledError:
                raise asyncio.CancelledError('another') from None

        with self.raises_group(error):
            self.run_main(main())

    def test_7_2_cancellations_of_others_are_not_in_the_group(self):
        error = MyError()

        async def main():
            for _ in range(3):
                asyncio.create_task(self.background([]))
            asyncio.create_task(self.failing(error, 1))
            await self.forever()

        with self.raises_group(error):
            self.run_main(main())

    def test_7_2_main_has_a_result_all_the_same(self):
        error = MyError()

        async def main():
            asyncio.create_task(self.failing(error, 1))
            try:
                await self.forever()
            except asyncio.CancelledError:
                return 'result'

        with self.raises_group(error):
            self.run_main(main())

    def test_7_2_main_that_does_not_notice(self):
        error = MyError()

        async def main():
            task = asyncio.create_task(self.failing(error))
            if not self.eager:
                await asyncio.sleep(0)
            self.assertIs(task.done(), True)
            return 'result'

        with self.raises_group(error):
            self.run_main(main())

    def test_7_2_failure_in_the_tick_in_which_main_is_done(self):
        # Before it as well as after it.
        for main_first in False, True:
            with self.subTest(main_first=main_first):
                error = MyError()
                async def background(future):
                    await future
                    raise error

                async def main():
                    loop = asyncio.get_running_loop()
                    future = loop.create_future()
                    mine = loop.create_future()
                    asyncio.create_task(background(future))
                    await self.settle()
                    both = [future, mine]
                    if main_first:
                        both.reverse()
                    for each in both:
                        loop.call_later(1, each.set_result, None)
                    await mine
                    return 'result'

                with self.raises_group(error):
                    self.run_main(main())

    def test_7_2_failure_in_the_tick_in_which_main_fails(self):
        for main_first in False, True:
            with self.subTest(main_first=main_first):
                error, own = MyError('background'), MyError('main')

                async def main():
                    loop = asyncio.get_running_loop()
                    future = loop.create_future()
                    mine = loop.create_future()

                    async def background():
                        await future
                        raise error

                    asyncio.create_task(background())
                    await self.settle()
                    both = [future, mine]
                    if main_first:
                        both.reverse()
                    for each in both:
                        loop.call_later(1, each.set_result, None)
                    await mine
                    raise own

                with self.raises_group(error, own):
                    self.run_main(main())

    def test_7_2_failure_before_main_has_started(self):
        # It gets to its first await all the same.
        error = MyError()
        trace = []

        async def main():
            trace.append('started')
            await self.assert_level()
            trace.append('cancelled')

        with self.runner() as runner:
            runner.get_loop().create_task(self.failing(error))
            with self.raises_group(error):
                runner.run(main())
        self.assertEqual(trace, ['started', 'cancelled'])

    def test_7_2_several_failures(self):
        errors = [MyError(i) for i in range(3)]

        async def main():
            for error in errors:
                asyncio.create_task(self.failing(error, 1))
            await self.forever()

        with self.raises_group(*errors) as cm:
            self.run_main(main())
        self.assertEqual(str(cm.exception), MESSAGE + ' (3 sub-exceptions)')

    def test_7_2_failures_in_the_clean_up_after_a_failure(self):
        errors = [MyError(i) for i in range(4)]
        trace = []

        async def main():
            for error in errors[1:]:
                asyncio.create_task(self.background(trace, error=error))
            asyncio.create_task(self.failing(errors[0], 1))
            await self.forever()

        with self.raises_group(*errors):
            self.run_main(main())
        self.assertEqual(trace, ['background'] * 3)

    def test_7_2_group_of_errors_stays_a_member(self):
        error = ExceptionGroup('mine', [MyError(), MyError()])

        async def main():
            asyncio.create_task(self.failing(error, 1))
            await self.forever()

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual((error.message, len(error.exceptions)), ('mine', 2))

    def test_7_2_base_exceptions(self):
        for error, own in [(MyBaseError(), None),
                           (MyBaseError(), MyError()),
                           (MyError(), MyBaseError()),
                           (MyBaseError(), MyBaseError()),
                           (GeneratorExit(), None)]:
            with self.subTest(error=error, own=own):
                trace = []

                async def main():
                    asyncio.create_task(self.background(trace))
                    asyncio.create_task(self.failing(error, 1))
                    try:
                        await self.forever()
                    finally:
                        if own is not None:
                            raise own

                errors = [error] if own is None else [error, own]
                with self.raises_group(*errors):
                    self.run_main(main())
                self.assertEqual(trace, ['background'])

    def test_7_2_exit_exceptions_come_out_bare(self):
        class MySystemExit(SystemExit):
            pass

        for error in SystemExit(3), KeyboardInterrupt(), MySystemExit('x'):
            for delay in None, 0, 1:
                with self.subTest(error=error, delay=delay):
                    trace = []

                    async def main():
                        asyncio.create_task(self.background(trace, 'other'))
                        await self.settle()
                        asyncio.create_task(self.failing(error, delay))
                        try:
                            await self.forever()
                        finally:
                            with asyncio.CancelScope(shield=True):
                                await asyncio.sleep(5)
                            trace.append('main')

                    with self.raises_bare(error):
                        self.run_main(main())
                    if self.eager and delay is None:
                        # It is main that the error went through.
                        self.assertEqual(trace, ['other'])
                    else:
                        self.assertEqual(trace, ['other', 'main'])

    def test_7_2_exit_exceptions_of_main_come_out_bare(self):
        for error in SystemExit(3), KeyboardInterrupt():
            with self.subTest(error=error):
                trace = []

                async def main():
                    asyncio.create_task(self.background(trace))
                    await self.failing(error, 1)

                with self.raises_bare(error):
                    self.run_main(main())
                self.assertEqual(trace, ['background'])

    def test_7_2_exit_exception_that_main_puts_into_a_group(self):
        # As a group of tasks of another library does with that of its member.
        own = MyError()
        for error in SystemExit(3), KeyboardInterrupt():
            for others in [], [own]:
                with self.subTest(error=error, others=others):
                    async def main():
                        asyncio.create_task(self.failing(error, 1))
                        try:
                            await self.forever()
                        finally:
                            inner = BaseExceptionGroup('inner', [error])
                            raise BaseExceptionGroup(
                                'outer', [inner, *others]) from None

                    if others:
                        # Nothing is lost; the other is the context.
                        with self.assertRaises(ExceptionGroup) as cm:
                            self.run_main(main())
                        self.assertEqual(str(cm.exception),
                                         f'{MESSAGE} (1 sub-exception)')
                        outer, = cm.exception.exceptions
                        self.assertEqual(outer.message, 'outer')
                        self.assertEqual(outer.exceptions, (own,))
                        self.assertIs(cm.exception.__context__, error)
                    else:
                        with self.raises_bare(error):
                            self.run_main(main())

    def test_7_2_exit_exception_of_main_beside_other_errors(self):
        # It is not lost: bare, or among the errors.
        for own in SystemExit(3), KeyboardInterrupt():
            for delay in None, 1:
                with self.subTest(own=own, delay=delay):
                    async def main():
                        asyncio.create_task(
                            self.background([], error=MyError()))
                        await self.failing(own, delay)

                    with self.assertRaises(BaseException) as cm:
                        self.run_main(main())
                    if cm.exception is not own:
                        self.assertIn(own, cm.exception.exceptions)

    def test_7_2_only_main_fails(self):
        for error in (MyError(), MyBaseError(), asyncio.CancelledError('x'),
                      ExceptionGroup(MESSAGE, [MyError()])):
            with self.subTest(error=error):
                trace = []

                async def main():
                    asyncio.create_task(self.background(trace))
                    await self.failing(error, 1)

                with self.raises_bare(error) as cm:
                    self.run_main(main())
                self.assertIsNone(cm.exception.__context__)
                self.assertIsNone(cm.exception.__cause__)
                self.assertEqual(trace, ['background'])

    def test_7_2_only_main_fails_and_chains_are_kept(self):
        error, cause = MyError(), KeyError()

        async def main():
            asyncio.create_task(self.background([]))
            raise error from cause

        with self.raises_bare(error):
            self.run_main(main())
        self.assertIs(error.__cause__, cause)

    def test_7_2_main_cancels_itself(self):
        trace = []

        async def main():
            asyncio.create_task(self.background(trace))
            asyncio.current_task().cancel('why')
            await self.forever()

        with self.assertRaises(asyncio.CancelledError) as cm:
            self.run_main(main())
        self.assertEqual(cm.exception.args, ('why',))
        self.assertEqual(trace, ['background'])

    def test_7_2_background_task_that_is_cancelled_is_no_failure(self):
        async def raising():
            await asyncio.sleep(0)
            raise asyncio.CancelledError

        async def main():
            task = asyncio.create_task(self.forever())
            await self.settle()
            task.cancel()
            other = asyncio.create_task(raising())
            await asyncio.wait([task, other])
            self.assertEqual([task.cancelled(), other.cancelled()],
                             [True, True])
            await self.assert_not_cancelled()
            return 'result'

        self.assertEqual(self.run_main(main()), 'result')

    def test_7_2_background_task_that_fails_as_it_is_cancelled(self):
        error = MyError()

        async def main():
            task = asyncio.create_task(self.background([], error=error))
            await self.settle()
            task.cancel()
            await self.assert_cancelled(self.forever())
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())

    def test_7_2_main_in_a_shielded_block(self):
        # Trap 27.
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.failing(error, 1))
            with asyncio.CancelScope(shield=True):
                await asyncio.sleep(10)
                await self.assert_not_cancelled()
                trace.append('block')
            trace.append('after')
            await self.assert_level()
            await asyncio.sleep(0)
            trace.append('never')

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, ['block', 'after'])

    def test_7_2_main_in_shield(self):
        # Trap 27.
        error = MyError()
        trace = []

        async def protected():
            await asyncio.sleep(10)
            trace.append('protected')

        async def main():
            asyncio.create_task(self.failing(error, 1))
            await asyncio.shield(protected())
            trace.append('after')
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, ['protected', 'after'])

    def test_7_2_tasks_that_swallow_the_cancellation(self):
        # Trap 28: run() returns as soon as they run out of awaits.
        error = MyError()
        trace = []

        async def stubborn(name):
            for _ in range(10):
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    pass
            trace.append(name)

        async def main():
            asyncio.create_task(stubborn('background'))
            asyncio.create_task(self.failing(error, 1))
            loop = asyncio.get_running_loop()
            await stubborn('main')
            trace.append(loop.time())
            return 'result'

        with self.raises_group(error):
            self.run_main(main())
        self.assertCountEqual(trace, ['background', 'main', 1001])

    def test_7_2_main_inside_a_task_group(self):
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.failing(error, 1))
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.background(trace, 'first'))
                    group.create_task(self.background(trace, 'second'))
            finally:
                trace.append('main')

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, ['first', 'second', 'main'])

    def test_7_2_main_inside_a_timeout(self):
        # It is not the timeout that has cancelled it.
        error = MyError()

        async def main():
            asyncio.create_task(self.failing(error, 1))
            async with asyncio.timeout(10):
                await self.forever()

        with self.raises_group(error):
            self.run_main(main())

    def test_7_2_uncancel_does_not_lift_it(self):
        error = MyError()

        async def main():
            asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())
            task = asyncio.current_task()
            self.assertEqual(task.cancelling(), 1)
            while task.cancelling():
                task.uncancel()
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())

    def test_7_2_failed_task_keeps_its_exception(self):
        error = MyError()

        async def main():
            task = asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())
            self.assertIs(task.exception(), error)

        with self.raises_group(error):
            self.run_main(main())

    def test_7_2_failures_are_not_logged_as_well(self):
        errors = [MyError(i) for i in range(3)]

        async def main():
            asyncio.create_task(self.failing(errors[0]))
            asyncio.create_task(self.background([], error=errors[1]))
            try:
                await self.forever()
            finally:
                raise errors[2]

        with self.raises_group(*errors):
            self.run_main(main())
        support.gc_collect()
        self.assertEqual(self.problems, [])

    def test_7_2_done_callbacks_of_the_failed_task_run(self):
        error = MyError()
        trace = []

        async def main():
            task = asyncio.create_task(self.failing(error, 1))
            task.add_done_callback(lambda task: trace.append(task.exception()))
            await self.forever()

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, [error])

    def test_7_2_both_implementations_of_tasks_in_one_loop(self):
        error = MyError()
        trace = []
        other_kind = tasks._PyTask
        if self.Task is tasks._PyTask:
            other_kind = getattr(tasks, '_CTask', None)
            if other_kind is None:
                self.skipTest('requires the C _asyncio module')

        async def background():
            try:
                await self.forever()
            finally:
                trace.append('background')

        for one, other in (self.Task, other_kind), (other_kind, self.Task):
            async def main():
                loop = asyncio.get_running_loop()
                one(self.failing(error, 1), loop=loop)
                other(background(), loop=loop)
                one(background(), loop=loop)
                await self.assert_cancelled(self.forever())
                await self.assert_level()

            with self.subTest(one=one):
                with self.raises_group(error):
                    self.run_main(main())
                self.assertEqual(trace, ['background'] * 2)
                trace.clear()

    def test_7_2_what_asyncio_has_made_tasks_of_is_cancelled_as_well(self):
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.failing(error, 1))
            try:
                await asyncio.gather(self.background(trace, 'first'),
                                     self.background(trace, 'second'))
            finally:
                trace.append('main')

        with self.raises_group(error):
            self.run_main(main())
        self.assertCountEqual(trace, ['main', 'first', 'second'])

    # Reference cycles.

    async def raising(self, cls):
        await asyncio.sleep(1)
        raise cls

    def run_and_fail(self):
        async def main():
            asyncio.create_task(self.background([]))
            asyncio.create_task(self.raising(MyError))
            await self.forever()
        self.run_main(main())

    def run_and_fail_at_the_end(self):
        async def background():
            try:
                await self.forever()
            finally:
                raise MyError

        async def main():
            asyncio.create_task(background())
            await self.settle()
        self.run_main(main())

    def close_and_fail(self):
        async def background():
            try:
                await self.forever()
            finally:
                raise MyError

        async def main():
            asyncio.create_task(background())
            await self.settle()

        with self.runner() as runner:
            runner.run(main())

    def run_and_fail_repeatedly(self):
        async def main():
            asyncio.create_task(self.background([]))
            asyncio.create_task(self.raising(MyError))
            await self.forever()

        with self.runner() as runner:
            with contextlib.suppress(ExceptionGroup):
                runner.run(main())
            runner.run(main())

    def run_and_fail_in_main(self):
        async def main():
            asyncio.create_task(self.background([]))
            await self.raising(MyError)
        self.run_main(main())

    def run_and_fail_in_main_too(self):
        async def main():
            asyncio.create_task(self.raising(MyError))
            try:
                await self.forever()
            finally:
                raise MyError('main')
        self.run_main(main())

    def failing_programs(self):
        return (self.run_and_fail, self.run_and_fail_at_the_end,
                self.close_and_fail, self.run_and_fail_repeatedly)

    def check_no_references(self, run, pick):
        """Nothing refers to what *pick* finds in the exception of run()."""
        with support.disable_gc():
            exc = None
            try:
                run()
            except BaseException as raised:
                exc = pick(raised)
            self.assertIsInstance(exc, BaseException)
            self.assertEqual(gc.get_referrers(exc), [])
            ref = weakref.ref(exc)
            del exc
            self.assertIsNone(ref())

    def check_no_garbage(self, run):
        def run_and_catch():
            try:
                run()
            except BaseException:
                return
            self.fail('not raised')

        support.gc_collect()
        flags = gc.get_debug()
        saved = gc.garbage[:]
        gc.garbage.clear()
        try:
            with support.disable_gc():
                run_and_catch()
                gc.set_debug(gc.DEBUG_SAVEALL)
                gc.collect()
            found = [
                type(obj).__name__ for obj in gc.garbage
                if isinstance(obj, (
                    asyncio.Future, asyncio.Task, self.Future, self.Task,
                    asyncio.CancelScope, asyncio.AbstractEventLoop,
                    BaseException, types.TracebackType, types.CoroutineType))
                or type(obj).__module__.startswith('asyncio.')]
        finally:
            gc.set_debug(flags)
            gc.garbage[:] = saved
        self.assertEqual(found, [])

    @for_each('failing_programs')
    def test_7_2_nothing_refers_to_the_group_that_is_raised(self, run):
        self.check_no_references(run, lambda exc: exc)

    @not_python_tasks
    @for_each('failing_programs')
    def test_7_2_nothing_but_the_group_refers_to_its_errors(self, run):
        self.check_no_references(run, lambda exc: exc.exceptions[0])

    @not_python_tasks
    @for_each('failing_programs')
    def test_7_2_no_garbage_is_left_by_a_background_failure(self, run):
        self.check_no_garbage(run)

    # In stock the frames of Runner.run() and of run_until_complete() refer to the
    # main task, and so its error to itself.

    @not_python_tasks
    def test_7_2_nothing_refers_to_the_error_of_main(self):
        self.check_no_references(self.run_and_fail_in_main, lambda exc: exc)
        self.check_no_references(self.run_and_fail_in_main_too,
                                 lambda exc: exc.exceptions[1])

    @not_python_tasks
    def test_7_2_no_garbage_is_left_by_an_error_of_main(self):
        self.check_no_garbage(self.run_and_fail_in_main)
        self.check_no_garbage(self.run_and_fail_in_main_too)


@matrix
class HandedOnTests:
    """Rule 7.3."""

    def run_ok(self, coro, run=None):
        """The program does not notice and nothing is logged."""
        async def main():
            await coro
            await self.assert_not_cancelled()
            return 'result'

        self.assertEqual((run or self.run_main)(main()), 'result')
        support.gc_collect()

    def test_7_3_gather(self):
        error = MyError()
        for delay in None, 0, 1:
            with self.subTest(delay=delay):
                async def main():
                    trace = []

                    async def other():
                        await asyncio.sleep(2)
                        trace.append('other')

                    with self.raises_bare(error):
                        await asyncio.gather(
                            self.failing(error, delay), other())
                    await asyncio.sleep(3)
                    self.assertEqual(trace, ['other'])

                self.run_ok(main())

    def test_7_3_gather_return_exceptions(self):
        # Trap 26.
        errors = [MyError(i) for i in range(4)]

        async def main():
            self.assertEqual(
                await asyncio.gather(
                    self.failing(errors[0]), self.failing(errors[1], 1),
                    asyncio.sleep(2, 'slept'),
                    Awaitable(self.failing(errors[2], 0)),
                    self.failing(errors[3], 3), return_exceptions=True),
                [*errors[:2], 'slept', *errors[2:]])

        self.run_ok(main())

    def test_7_3_gather_with_several_failures(self):
        # The second one is nobody's, as in stock.
        errors = [MyError(i) for i in range(2)]

        async def main():
            with self.raises_bare(errors[0]):
                await asyncio.gather(
                    self.failing(errors[0], 1), self.failing(errors[1], 2))
            await asyncio.sleep(3)

        self.run_ok(main())

    def test_7_3_gather_of_base_exceptions(self):
        error = MyBaseError()

        async def main():
            with self.raises_bare(error):
                await asyncio.gather(
                    self.failing(error, 1), asyncio.sleep(2))
            await asyncio.sleep(3)

        self.run_ok(main())

    def test_7_3_gather_in_gather(self):
        error = MyError()

        async def inner():
            await asyncio.gather(self.failing(error, 1), asyncio.sleep(0))

        async def main():
            with self.raises_bare(error):
                await asyncio.gather(inner(), asyncio.sleep(1))

        self.run_ok(main())

    def test_7_3_gather_that_main_does_not_handle(self):
        # It is main's own error, bare.
        error = MyError()

        async def main():
            await asyncio.gather(self.failing(error, 1), self.forever())

        with self.raises_bare(error):
            self.run_main(main())

    def test_7_3_gather_in_a_background_task(self):
        # This fails itself.
        error = MyError()

        async def background():
            await asyncio.gather(self.failing(error, 1))

        async def main():
            asyncio.create_task(background())
            await self.forever()

        with self.raises_group(error):
            self.run_main(main())

    def test_7_3_gather_of_a_task_from_create_task(self):
        for return_exceptions in False, True:
            with self.subTest(return_exceptions=return_exceptions):
                error = MyError()

                async def main():
                    task = asyncio.create_task(self.failing(error, 1))
                    with contextlib.suppress(MyError, asyncio.CancelledError):
                        await asyncio.gather(
                            task, return_exceptions=return_exceptions)
                    await self.assert_level()

                with self.raises_group(error):
                    self.run_main(main())

    def test_7_3_task_made_by_what_is_gathered(self):
        # That one is of the ordinary kind.
        error = MyError()

        async def spawning():
            asyncio.create_task(self.failing(error))
            await asyncio.sleep(0)

        async def main():
            await asyncio.gather(spawning(), return_exceptions=True)
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            self.run_main(main())

    def test_7_3_task_made_by_what_is_gathered_before_its_first_await(self):
        error = MyError()

        async def spawning():
            asyncio.create_task(self.failing(error, 1))

        async def main():
            await asyncio.gather(spawning(), return_exceptions=True)
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            self.run_main(main())

    def test_7_3_gather_while_the_factory_fails(self):
        # What gather() has asked for is not taken for the next task.
        error = MyError()

        def factory(loop, coro, **kwargs):
            coro.close()
            raise KeyError

        async def main():
            loop = asyncio.get_running_loop()
            saved = loop.get_task_factory()
            loop.set_task_factory(factory)
            with self.assertRaises(KeyError):
                asyncio.gather(self.forever())
            loop.set_task_factory(saved)
            asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            self.run_main(main())

    def test_7_3_gather_with_a_factory_that_makes_another_task_first(self):
        error = MyError()

        async def main():
            loop = asyncio.get_running_loop()
            factory = self.task_factory()

            def twice(loop, coro, **kwargs):
                factory(loop, self.background([]))
                return factory(loop, coro, **kwargs)

            loop.set_task_factory(twice)
            gathering = asyncio.gather(
                self.failing(error, 1), return_exceptions=True)
            loop.set_task_factory(factory)
            self.assertEqual(await gathering, [error])

        self.run_ok(main())

    def test_7_3_foreign_tasks(self):
        error = MyError()

        async def main():
            loop = asyncio.get_running_loop()
            saved = loop.get_task_factory()
            loop.set_task_factory(
                lambda loop, coro, **kwargs: ForeignTask(coro, loop))
            self.assertEqual(
                await asyncio.gather(self.failing(error), self.failing(error, 1),
                                     return_exceptions=True), [error] * 2)
            for each in asyncio.as_completed([self.failing(error, 1)]):
                with self.raises_bare(error):
                    await each
            loop.set_task_factory(saved)

        self.run_ok(main())

    def test_7_3_as_completed(self):
        error = MyError()

        async def main():
            found = []
            for each in asyncio.as_completed(
                    [self.failing(error, 2), asyncio.sleep(1, 'slept'),
                     asyncio.sleep(3, 'slept')]):
                try:
                    found.append(await each)
                except MyError as exc:
                    found.append(exc)
            self.assertEqual(found, ['slept', error, 'slept'])

        self.run_ok(main())

    def test_7_3_as_completed_asynchronously(self):
        error = MyError()

        async def main():
            found = []
            async for each in asyncio.as_completed(
                    [self.failing(error), asyncio.sleep(1, 'slept')]):
                try:
                    found.append(await each)
                except MyError as exc:
                    found.append(exc)
            self.assertEqual(found, [error, 'slept'])

        self.run_ok(main())

    def test_7_3_wait_for(self):
        error = MyError()

        async def main():
            for timeout in None, 10:
                for delay in None, 1:
                    with self.raises_bare(error):
                        await asyncio.wait_for(
                            self.failing(error, delay), timeout)
                    with self.raises_bare(error):
                        await asyncio.wait_for(
                            Awaitable(self.failing(error, delay)), timeout)

        self.run_ok(main())

    def test_7_3_wait_for_something_that_fails_when_the_time_is_up(self):
        error = MyError()

        async def main():
            with self.raises_bare(error):
                await asyncio.wait_for(self.background([], error=error), 1)

        self.run_ok(main())

    def test_7_3_shield(self):
        error = MyError()

        async def main():
            with self.raises_bare(error):
                await asyncio.shield(self.failing(error, 1))
            with self.raises_bare(error):
                await asyncio.shield(Awaitable(self.failing(error, 1)))

        self.run_ok(main())

    @threading_helper.requires_working_threading()
    def test_7_3_run_coroutine_threadsafe(self):
        error = MyError()

        async def main():
            loop = asyncio.get_running_loop()

            def in_thread(delay):
                future = asyncio.run_coroutine_threadsafe(
                    self.failing(error, delay), loop)
                return future.exception(support.LONG_TIMEOUT)

            for delay in None, 0:
                # run_in_executor() makes no task.
                self.assertIs(
                    await loop.run_in_executor(None, in_thread, delay), error)

        self.run_ok(main(), self.run_really)

    @threading_helper.requires_working_threading()
    def test_7_3_to_thread(self):
        error = MyError()

        def in_thread():
            raise error

        async def main():
            with self.raises_bare(error):
                await asyncio.to_thread(in_thread)

        self.run_ok(main(), self.run_really)

    def test_7_3_run_until_complete(self):
        error = MyError()
        trace = []
        with self.runner() as runner:
            loop = runner.get_loop()
            loop.create_task(self.background(trace))
            for delay in None, 1:
                with self.raises_bare(error):
                    loop.run_until_complete(self.failing(error, delay))
                with self.raises_bare(error):
                    loop.run_until_complete(
                        Awaitable(self.failing(error, delay)))
            runner.run(self.assert_not_cancelled())
            self.assertEqual(trace, [])
        self.assertEqual(trace, ['background'])

    def tasks_for_run_until_complete(self):
        async def awaiting(awaitable):
            await awaitable

        async def gathering(coro):
            await asyncio.gather(coro, self.forever())

        async def grouping(coro):
            # The member's failure is the group's, the group's is the task's.
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(coro)
            except* MyError as group:
                raise group.exceptions[0] from None

        def ensure_future(loop, coro):
            return asyncio.ensure_future(coro, loop=loop)

        def create_task(loop, coro):
            return loop.create_task(coro)

        for make in create_task, ensure_future:
            for wrap in (lambda coro: coro), awaiting, gathering, grouping:
                yield make, wrap

    @for_each('tasks_for_run_until_complete')
    def test_7_3_run_until_complete_of_a_task(self, make, wrap):
        error = MyError()
        trace = []
        with self.runner() as runner:
            loop = runner.get_loop()
            loop.create_task(self.background(trace))
            for delay in None, 1:
                task = make(loop, wrap(self.failing(error, delay)))
                with self.raises_bare(error):
                    loop.run_until_complete(task)
            runner.run(self.assert_not_cancelled())
            self.assertEqual(trace, [])
        self.assertEqual(trace, ['background'])

    def test_7_3_run_until_complete_of_another_loop(self):
        class OtherLoop(VirtualLoop):
            def run_until_complete(self, future):
                future = asyncio.ensure_future(future, loop=self)
                future.add_done_callback(lambda _: self.stop())
                self.run_forever()
                return future.result()

        error = MyError()
        loop = self.make_loop(OtherLoop)
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.get_loop()
            for make in (lambda coro: coro, loop.create_task,
                         functools.partial(asyncio.ensure_future, loop=loop)):
                with self.raises_bare(error):
                    loop.run_until_complete(make(self.failing(error, 1)))
            self.assertEqual(
                loop.run_until_complete(asyncio.sleep(1, 'fine')), 'fine')
            self.assertIs(runner.run(self.assert_not_cancelled()), None)
            with self.raises_group(error):
                loop.create_task(self.failing(error))
                runner.run(self.forever())
        # It is left as it was.
        self.assertNotIn('run_until_complete', vars(loop))

    def test_7_3_run_until_complete_of_a_task_that_has_failed_before(self):
        # It was a background task then.
        error = MyError()
        runner = self.runner()
        loop = runner.get_loop()
        task = loop.create_task(self.failing(error))
        with self.assertRaises(asyncio.CancelledError):
            loop.run_until_complete(asyncio.sleep(1))
        with self.raises_bare(error):
            loop.run_until_complete(task)
        with self.raises_group(error):
            runner.close()
        self.assertIs(loop.is_closed(), True)

    def test_7_3_run_until_complete_that_is_stopped(self):
        # It has handed nothing on, so the task is a background task again.
        error = MyError()
        runner = self.runner()
        loop = runner.get_loop()
        task = loop.create_task(self.failing(error, 2))
        loop.call_later(1, loop.stop)
        with self.assertRaisesRegex(RuntimeError, 'Event loop stopped'):
            loop.run_until_complete(task)
        with self.raises_group(error):
            runner.run(self.forever())
        runner.close()

    def test_7_3_run_until_complete_while_a_background_task_fails(self):
        error, other = MyError(), MyError()
        runner = self.runner()
        loop = runner.get_loop()
        loop.create_task(self.failing(other))
        with self.assertRaises(asyncio.CancelledError):
            loop.run_until_complete(
                loop.create_task(self.failing(error, self.pause)))
        with self.raises_group(other):
            runner.close()

    def test_7_3_stop_async_iteration_is_no_failure(self):
        async def stop():
            raise StopAsyncIteration

        async def numbers():
            yield 1
            yield 2

        async def main():
            asyncio.create_task(stop())
            numbers_ = numbers()
            got = []
            while True:
                task = asyncio.ensure_future(anext(numbers_))
                await asyncio.wait([task])
                if isinstance(task.exception(), StopAsyncIteration):
                    break
                got.append(task.result())
            await self.assert_not_cancelled()
            support.gc_collect()
            return got

        self.assertEqual(self.run_main(main()), [1, 2])
        # The one that is never retrieved is logged as it is in stock.
        (message, exc), = self.take_problems()
        self.assertEqual(message, 'Task exception was never retrieved')
        self.assertIs(type(exc), StopAsyncIteration)

    def test_7_3_client_handler(self):
        error = MyError()

        async def handler(reader, writer):
            await reader.readline()
            raise error

        async def main():
            server = await asyncio.start_server(handler, '127.0.0.1', 0)
            async with server:
                for _ in range(2):
                    reader, writer = await asyncio.open_connection(
                        *server.sockets[0].getsockname())
                    writer.write(b'\n')
                    # The connection is closed.
                    self.assertEqual(await reader.read(), b'')
                    writer.close()
                    await writer.wait_closed()

        self.run_ok(main(), self.run_really)
        self.assertEqual(
            self.take_problems(),
            [('Unhandled exception in client_connected_cb', error)] * 2)

    def test_7_3_client_handler_that_is_cancelled_at_the_end(self):
        # It is a member: waited for. What it raises is logged, as ever.
        trace = []
        errors = [MyError(), None]

        async def handler(reader, writer):
            await reader.readline()
            started.release()
            try:
                await self.forever()
            finally:
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(0)
                trace.append('handler')
                error = errors.pop(0)
                if error is not None:
                    raise error

        async def main():
            nonlocal started
            started = asyncio.Semaphore(0)
            server = await asyncio.start_server(handler, '127.0.0.1', 0)
            for _ in range(2):
                reader, writer = await asyncio.open_connection(
                    *server.sockets[0].getsockname())
                writer.write(b'\n')
                await started.acquire()
                writers.append(writer)
            server.close()
            trace.append('main')
            for writer in writers:
                writer.close()
            return 'result'

        started = None
        writers = []
        error = errors[0]
        self.assertEqual(self.run_really(main()), 'result')
        self.assertEqual(trace, ['main', 'handler', 'handler'])
        self.assertEqual(
            self.take_problems(),
            [('Unhandled exception in client_connected_cb', error)])

    def test_7_3_staggered_race(self):
        errors = [MyError(i) for i in range(3)]

        def failing(error, delay):
            return lambda: self.failing(error, delay)

        async def main():
            result = await staggered.staggered_race(
                [failing(errors[0], None), failing(errors[1], 1),
                 failing(errors[2], 5)], 2)
            self.assertEqual(result, (None, None, errors))
            # One that wins while another is still running.
            result = await staggered.staggered_race(
                [failing(errors[0], 1), lambda: asyncio.sleep(3, 'won'),
                 lambda: self.background([], error=errors[2])], 2)
            self.assertEqual(result[:2], ('won', 1))
            self.assertIs(result[2][0], errors[0])

        self.run_ok(main())

    def test_7_3_happy_eyeballs(self):
        # Each attempt is a task of a staggered race.
        async def main():
            port = socket_helper.find_unused_port()
            with self.assertRaises(OSError):
                await asyncio.open_connection(
                    '127.0.0.1', port, happy_eyeballs_delay=0.25)

        self.run_ok(main(), self.run_really)

    def test_7_3_task_from_create_task_that_is_awaited_is_a_failure(self):
        error = MyError()
        trace = []

        async def main():
            task = asyncio.create_task(self.failing(error, 1))
            try:
                await task
            except MyError as exc:
                trace.append(exc)
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, [error])

    def test_7_3_task_that_wait_for_gets_is_a_failure(self):
        error = MyError()

        async def main():
            task = asyncio.create_task(self.failing(error, 1))
            with contextlib.suppress(MyError):
                await asyncio.wait_for(task, 10)
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())

    def test_7_3_task_that_main_awaits_without_handling_the_error(self):
        # Main raises this very error; it is in the group once.
        error = MyError()

        async def main():
            await asyncio.create_task(self.failing(error, 1))

        with self.raises_group(error):
            self.run_main(main())

    def test_7_3_error_that_is_handled_in_the_coroutine_is_none(self):
        async def background():
            try:
                await self.failing(MyError(), 1)
            except MyError:
                return 'handled'

        async def main():
            self.assertEqual(
                await asyncio.create_task(background()), 'handled')

        self.run_ok(main())

    # TaskGroup.

    def test_7_3_members_of_a_task_group(self):
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.background(trace))
            with self.assertRaises(ExceptionGroup) as cm:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.failing(error, 1))
                    await self.forever()
            self.assertEqual(cm.exception.message,
                             'unhandled errors in a TaskGroup')
            self.assertEqual(cm.exception.exceptions, (error,))
            await self.assert_not_cancelled()
            self.assertEqual(trace, [])

        self.run_ok(main())
        self.assertEqual(trace, ['background'])

    def test_7_3_task_group_in_a_background_task(self):
        error = MyError()

        async def background():
            async with asyncio.TaskGroup() as group:
                group.create_task(self.failing(error, 1))

        async def main():
            asyncio.create_task(background())
            await self.forever()

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_main(main())
        self.assertEqual(cm.exception.message, MESSAGE)
        inner, = cm.exception.exceptions
        self.assertEqual(inner.message, 'unhandled errors in a TaskGroup')
        self.assertEqual(inner.exceptions, (error,))

    async def abandon(self, *coros):
        """Be the host of a TaskGroup, and end without leaving it."""
        group = asyncio.TaskGroup()
        await group.__aenter__()
        for coro in coros:
            group.create_task(coro)
        return group

    def test_7_3_tasks_of_an_abandoned_task_group_are_cancelled(self):
        trace = []

        async def main():
            task = asyncio.create_task(self.abandon(
                self.background(trace, 'first'),
                self.background(trace, 'second')))
            await task
            await self.settle()
            trace.append('main')

        self.run_main(main())
        self.assertEqual(trace, ['main', 'first', 'second'])

    def test_7_3_failure_in_an_abandoned_task_group(self):
        error = MyError()
        trace = []

        async def main():
            await asyncio.create_task(self.abandon(
                self.failing(error, 1), self.background(trace)))
            await self.assert_cancelled(self.forever())
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, ['background'])

    def test_6_8_failure_in_a_task_group_that_can_still_be_left(self):
        # The error is the group's.
        error = MyError()
        trace = []

        async def main():
            group = await asyncio.create_task(self.abandon(
                self.failing(error, 1), self.background(trace)))
            await asyncio.sleep(100)
            self.assertEqual(trace, ['background'])
            with self.assertRaises(ExceptionGroup) as cm:
                await group.__aexit__(None, None, None)
            self.assertEqual(cm.exception.exceptions, (error,))

        self.run_main(main())

    def test_6_8_failure_in_a_task_group_that_is_never_left(self):
        error = MyError()
        trace = []

        async def main():
            group = await asyncio.create_task(self.abandon(
                self.failing(error, 1), self.background(trace)))
            await asyncio.sleep(100)
            self.assertEqual(trace, ['background'])

        self.run_main(main())
        support.gc_collect()
        self.assertEqual([exc for _, exc in self.take_problems()], [error])

    def test_7_3_task_of_an_abandoned_task_group_is_kept(self):
        # Trap 29.
        trace = []

        async def orphan():
            trace.append(weakref.ref(asyncio.current_task()))
            try:
                await self.forever()
            finally:
                trace.append('cancelled')

        async def main():
            await asyncio.create_task(self.abandon(orphan()))
            await self.settle()
            support.gc_collect()
            self.assertIsNotNone(trace[0]())
            self.assertEqual(trace[1:], [])

        self.run_main(main())
        self.assertEqual(trace[1:], ['cancelled'])

    def test_7_3_main_abandons_a_task_group(self):
        error = MyError()
        trace = []

        async def main():
            await self.abandon(self.background(trace, error=error))
            await self.settle()
            trace.append('main')

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, ['main', 'background'])


@matrix
class ShieldedCleanupTests:
    """Rule 1.1: what asyncio makes of coroutines for a caller in a shielded block
    belongs to that block; whatever is cancelled outside."""

    async def work(self, result):
        await asyncio.sleep(0)
        await asyncio.sleep(1)
        return result

    def each_use(self):
        async def gather():
            return await asyncio.gather(self.work(1), self.work(2))

        async def gather_in_scopes():
            async with asyncio.timeout(10), asyncio.TaskGroup():
                return await gather()

        async def gather_in_gather():
            return sum(await asyncio.gather(gather(), gather()), [])[:2]

        async def as_completed():
            return [await each for each in asyncio.as_completed(
                [self.work(1), asyncio.sleep(2, 2)])]

        async def async_as_completed():
            return [await each async for each in asyncio.as_completed(
                [self.work(1), asyncio.sleep(2, 2)])]

        return gather, gather_in_scopes, gather_in_gather, as_completed, (
            async_as_completed)

    def each_shield(self):
        async def shield(use):
            return await asyncio.shield(use())

        async def timeout(use):
            async with asyncio.timeout(100, shield=True):
                return await use()

        async def scope(use):
            with asyncio.CancelScope(shield=True):
                return await use()

        return shield, timeout, scope

    def test_1_1_gather_in_shielded_cleanup(self):
        async def main():
            asyncio.create_task(self.failing(error, 1))
            try:
                await self.forever()
            finally:
                trace.append(await shield(use))

        for shield in self.each_shield():
            for use in self.each_use():
                with self.subTest(shield=shield.__name__, use=use.__name__):
                    error = MyError()
                    trace = []
                    with self.assertRaises(ExceptionGroup) as cm:
                        self.run_main(main())
                    self.assertEqual(cm.exception.exceptions, (error,))
                    self.assertEqual(trace, [[1, 2]])

    def test_1_1_cancelled_meanwhile(self):
        async def main():
            asyncio.create_task(self.failing(error, 1.5))
            trace.append(await shield(use))
            await self.forever()

        for shield in self.each_shield():
            for use in self.each_use():
                with self.subTest(shield=shield.__name__, use=use.__name__):
                    error = MyError()
                    trace = []
                    with self.assertRaises(ExceptionGroup):
                        self.run_main(main())
                    self.assertEqual(trace, [[1, 2]])

    def test_1_1_block_is_left_meanwhile(self):
        """The tasks move up, and are cancelled with the rest."""
        async def main():
            with asyncio.CancelScope(shield=True):
                made.append(asyncio.gather(self.forever(), self.work(1)))
                await asyncio.sleep(0)
            await asyncio.sleep(5)
            trace.append(made[0].done())

        trace, made = [], []
        self.run_main(main())
        self.assertEqual(trace, [False])
        with self.assertRaises(asyncio.CancelledError):
            made[0].result()

    def test_1_1_tasks_that_the_program_makes(self):
        """They belong to the root group, wherever that is done."""
        async def main():
            asyncio.create_task(self.failing(MyError(), 1))
            try:
                await self.forever()
            finally:
                with asyncio.CancelScope(shield=True):
                    task = asyncio.create_task(self.work(1))
                    await asyncio.wait([task])
                    trace.append(task.cancelled())

        trace = []
        with self.assertRaises(ExceptionGroup):
            self.run_main(main())
        self.assertEqual(trace, [True])


@matrix
class EndTests:
    """Rule 7.4."""

    def test_7_4_background_tasks_are_cancelled_and_waited_for(self):
        trace = []

        async def background(name):
            try:
                await self.forever()
            finally:
                await self.assert_level()
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(5)
                await self.assert_level()
                trace.append(name)

        async def main():
            for name in 'first', 'second':
                asyncio.create_task(background(name))
            await self.settle()
            trace.append('main')
            return 'result'

        self.assertEqual(self.run_main(main()), 'result')
        self.assertEqual(trace, ['main', 'first', 'second'])

    def test_7_4_task_that_has_not_started_gets_to_its_first_await(self):
        trace = []

        async def background():
            trace.append('started')
            try:
                await self.forever()
            finally:
                await self.assert_level()
                trace.append('cancelled')

        async def main():
            asyncio.create_task(background())

        self.run_main(main())
        self.assertEqual(trace, ['started', 'cancelled'])

    def test_7_4_tasks_that_swallow_the_cancellation(self):
        # Trap 28: they are waited for until they run out of awaits.
        trace = []

        async def stubborn():
            for _ in range(10):
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    trace.append('swallowed')

        async def main():
            asyncio.create_task(stubborn())
            await self.settle()

        self.run_main(main())
        self.assertEqual(trace, ['swallowed'] * 10)

    def test_7_4_task_that_ends_with_a_result(self):
        async def background():
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()
            return 'result'

        async def main():
            asyncio.create_task(background())
            await self.settle()
            return 'main'

        self.assertEqual(self.run_main(main()), 'main')

    def test_7_4_errors_are_raised_and_the_result_is_discarded(self):
        errors = [MyError(i) for i in range(2)]
        trace = []

        async def main():
            asyncio.create_task(self.background(trace, 'first', errors[0]))
            asyncio.create_task(self.background(trace, 'second'))
            asyncio.create_task(self.background(trace, 'third', errors[1]))
            await self.settle()
            return 'result'

        with self.raises_group(*errors) as cm:
            self.run_main(main())
        support.gc_collect()
        self.assertIsNone(cm.exception.__context__)
        self.assertEqual(trace, ['first', 'second', 'third'])

    def test_7_4_errors_are_raised_with_that_of_main(self):
        for own in MyError('main'), MyBaseError('main'):
            with self.subTest(own=own):
                error = MyError('background')
                trace = []

                async def main():
                    asyncio.create_task(self.background(trace, error=error))
                    await self.settle()
                    raise own

                with self.raises_group(error, own):
                    self.run_main(main())
                self.assertEqual(trace, ['background'])

    def test_7_4_errors_are_raised_without_a_cancelled_main(self):
        error = MyError('background')

        async def main():
            asyncio.create_task(self.background([], error=error))
            await self.settle()
            asyncio.current_task().cancel()
            await self.forever()

        with self.raises_group(error):
            self.run_main(main())

    def test_3_4_cancellations_are_taken_out_of_groups(self):
        # The root group is a scope that has been cancelled.
        async def background(*errors):
            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                raise BaseExceptionGroup('clean-up', [exc, *errors])

        async def main(*errors):
            asyncio.create_task(background(*errors))
            await self.settle()
            return 'result'

        error = MyError()
        with self.assertRaises(ExceptionGroup) as cm:
            self.run_main(main(error))
        self.assertEqual(cm.exception.message, MESSAGE)
        inner, = cm.exception.exceptions
        self.assertEqual(inner.message, 'clean-up')
        self.assertEqual(inner.exceptions, (error,))
        self.assertEqual(self.run_main(main()), 'result')

    def test_3_4_cancellations_are_taken_out_of_the_group_of_main(self):
        async def main(*errors):
            asyncio.create_task(self.failing(failure, 1))
            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                raise BaseExceptionGroup('main', [exc, *errors])

        failure, error = MyError('background'), MyError('main')
        with self.assertRaises(ExceptionGroup) as cm:
            self.run_main(main(error))
        first, second = cm.exception.exceptions
        self.assertIs(first, failure)
        self.assertEqual(second.exceptions, (error,))
        with self.raises_group(failure):
            self.run_main(main())

    def test_3_4_cancellations_in_a_group_that_nobody_asked_for(self):
        # Without a cancelled scope such a group is an error like others.
        group = BaseExceptionGroup('stray', [asyncio.CancelledError()])

        async def main():
            raise group

        with self.raises_bare(group):
            self.run_main(main())

    def test_7_4_error_of_a_task_that_has_not_started(self):
        error = MyError()

        async def background():
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()
            raise error

        async def main():
            asyncio.create_task(background())

        with self.raises_group(error):
            self.run_main(main())

    def test_7_4_tasks_that_are_made_at_the_end(self):
        trace = []

        async def last(name):
            trace.append('started ' + name)
            await self.assert_level()
            with asyncio.CancelScope(shield=True):
                await asyncio.sleep(10)
            await self.assert_level()
            trace.append('ended ' + name)

        async def background():
            try:
                await self.forever()
            finally:
                asyncio.create_task(last('first'))
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(1)
                    asyncio.create_task(last('second'))

        async def main():
            asyncio.create_task(background())
            await self.settle()

        self.run_main(main())
        self.assertEqual(trace, ['started first', 'started second',
                                 'ended first', 'ended second'])

    def test_7_4_errors_of_tasks_that_are_made_at_the_end(self):
        error = MyError()

        async def background(depth):
            try:
                await self.forever()
            finally:
                if depth:
                    asyncio.create_task(background(depth - 1))
                else:
                    raise error

        async def main():
            asyncio.create_task(background(5))
            await self.settle()

        with self.raises_group(error):
            self.run_main(main())

    def test_7_4_task_that_is_made_by_the_callback_of_the_last(self):
        trace = []

        async def main():
            task = asyncio.create_task(self.background(trace, 'first'))
            task.add_done_callback(lambda task: asyncio.create_task(
                self.background(trace, 'second')))
            await self.settle()

        self.run_main(main())
        self.assertEqual(trace, ['first', 'second'])

    def test_7_4_clean_up_uses_tasks(self):
        trace = []

        async def member():
            await asyncio.sleep(1)
            trace.append('member')

        async def background():
            try:
                await self.forever()
            finally:
                with asyncio.CancelScope(shield=True):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(member())
                        group.create_task(member())
                trace.append('background')

        async def main():
            asyncio.create_task(background())
            await self.settle()

        self.run_main(main())
        self.assertEqual(trace, ['member', 'member', 'background'])

    def test_7_4_errors_that_are_handed_on_at_the_end(self):
        trace = []
        error = MyError()

        async def background():
            try:
                await self.forever()
            finally:
                with asyncio.CancelScope(shield=True):
                    trace.extend(await asyncio.gather(
                        self.failing(error), return_exceptions=True))

        async def main():
            asyncio.create_task(background())
            await self.settle()

        self.run_main(main())
        self.assertEqual(trace, [error])

    @threading_helper.requires_working_threading()
    def test_7_4_coroutine_of_another_thread_at_the_end(self):
        self.pause = 0
        trace = []
        found = []

        async def main():
            loop = asyncio.get_running_loop()

            def in_thread():
                future = asyncio.run_coroutine_threadsafe(submitted(), loop)
                try:
                    future.result(support.LONG_TIMEOUT)
                except BaseException as exc:
                    found.append(type(exc))

            started = asyncio.Event()

            async def submitted():
                started.set()
                await self.background(trace)

            thread = threading.Thread(target=in_thread)
            thread.start()
            self.addCleanup(thread.join)
            await started.wait()
            trace.append('main')
            return thread

        thread = self.run_really(main())
        thread.join(support.LONG_TIMEOUT)
        self.assertEqual(trace, ['main', 'background'])
        self.assertEqual(found, [concurrent.futures.CancelledError])

    def test_7_4_exit_exception_at_the_end_comes_out_bare(self):
        for error in SystemExit(3), KeyboardInterrupt():
            with self.subTest(error=error):
                trace = []

                async def main():
                    asyncio.create_task(self.background(trace, error=error))
                    asyncio.create_task(self.background(trace))
                    await self.settle()

                with self.raises_bare(error):
                    self.run_main(main())
                self.assertEqual(trace, ['background'] * 2)

    # Runner.close().

    def test_7_4_close_cancels_and_waits(self):
        trace = []

        async def main():
            asyncio.create_task(self.background(trace))
            await self.settle()

        with self.runner() as runner:
            loop = runner.get_loop()
            runner.run(main())
            self.assertEqual(trace, [])
        self.assertEqual(trace, ['background'])
        self.assertIs(loop.is_closed(), True)

    def test_7_4_close_raises_errors(self):
        errors = [MyError(i) for i in range(2)]

        async def main():
            for error in errors:
                asyncio.create_task(self.background([], error=error))
            await self.settle()
            return 'result'

        runner = self.runner()
        loop = runner.get_loop()
        self.assertEqual(runner.run(main()), 'result')
        with self.raises_group(*errors) as cm:
            runner.close()
        self.assertIsNone(cm.exception.__context__)
        self.assertIs(loop.is_closed(), True)
        # Nothing is raised twice.
        runner.close()
        coro = main()
        with self.assertRaisesRegex(RuntimeError, 'closed'):
            runner.run(coro)
        coro.close()

    def test_7_4_task_that_is_older_than_the_group_fails_at_the_end(self):
        error = MyError()

        def make_loop():
            loop = self.make_loop()
            loop.create_task(self.background([], error=error))
            return loop

        async def main():
            await self.settle()

        with self.raises_group(error):
            asyncio.run(main(), loop_factory=make_loop)

    def test_7_4_errors_are_the_context_of_what_fails_after_them(self):
        error, late = MyError('background'), OSError('no more generators')

        async def main():
            asyncio.create_task(self.background([], error=error))
            await self.settle()

        async def shutdown_asyncgens():
            raise late

        runner = self.runner()
        runner.run(main())
        runner.get_loop().shutdown_asyncgens = shutdown_asyncgens
        with self.assertRaises(OSError) as cm:
            runner.close()
        self.assertIs(cm.exception, late)
        self.assertEqual(late.__context__.exceptions, (error,))

    def test_7_4_close_has_the_exception_under_way_as_context(self):
        error, under_way = MyError(), KeyError()

        async def main():
            asyncio.create_task(self.background([], error=error))
            await self.settle()

        with self.raises_group(error) as cm:
            with self.runner() as runner:
                runner.run(main())
                raise under_way
        self.assertIs(cm.exception.__context__, under_way)
        self.assertIsNone(cm.exception.__cause__)

    def test_7_4_close_has_the_error_of_main_as_context(self):
        error, own = MyError('background'), MyError('main')

        async def main():
            asyncio.create_task(self.background([], error=error))
            await self.settle()
            raise own

        with self.raises_group(error) as cm:
            with self.runner() as runner:
                with self.raises_bare(own):
                    runner.run(main())
                raise own
        self.assertIs(cm.exception.__context__, own)

    def test_7_4_close_leaves_the_exception_under_way_alone(self):
        under_way = KeyError()

        async def main():
            asyncio.create_task(self.background([]))
            await self.settle()

        with self.raises_bare(under_way):
            with self.runner() as runner:
                runner.run(main())
                raise under_way

    def test_7_4_close_raises_errors_of_tasks_made_outside(self):
        error = MyError()
        runner = self.runner()
        runner.get_loop().create_task(self.background([], error=error))
        with self.raises_group(error):
            runner.close()

    def test_7_4_close_without_a_run(self):
        with self.runner() as runner:
            loop = runner.get_loop()
        self.assertIs(loop.is_closed(), True)
        self.runner().close()

    def test_7_4_main_that_was_left_when_the_loop_stopped(self):
        # Its error is not lost.
        own = MyError()

        async def main():
            asyncio.get_running_loop().stop()
            await self.background([], error=own)

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_main(main())
        self.check_group(cm.exception, own)
        self.assertIsInstance(cm.exception.__context__, RuntimeError)


@matrix
class HiddenTests:
    """Rule 7.5."""

    def test_7_5_all_tasks_in_main(self):
        async def main():
            self.assertEqual(self.all_tasks(), {asyncio.current_task()})
            task = asyncio.create_task(self.forever())
            self.assertEqual(self.all_tasks(), {asyncio.current_task(), task})
            await self.settle()
            self.assertEqual(self.all_tasks(), {asyncio.current_task(), task})
            task.cancel()
            await asyncio.wait([task])
            self.assertEqual(self.all_tasks(), {asyncio.current_task()})

        self.run_main(main())

    def test_7_5_current_task_in_main(self):
        coro = None

        async def main():
            task = asyncio.current_task()
            self.assertIsInstance(task, self.Task)
            self.assertIs(task.get_coro(), coro)
            self.assertFalse(task._asyncio_awaited_by)

        coro = main()
        self.run_main(coro)

    def test_7_5_current_task_in_a_background_task(self):
        found = []

        async def background():
            found.append(asyncio.current_task())

        async def main():
            task = asyncio.create_task(background())
            # It has no hidden host, either.
            self.assertFalse(task._asyncio_awaited_by)
            await task
            self.assertEqual(found, [task])

        self.run_main(main())

    def test_7_5_no_current_task_outside_tasks(self):
        found = []

        async def main():
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: found.append(asyncio.current_task()))
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        self.run_main(main())
        self.assertEqual(found, [None])

    def test_7_5_all_tasks_while_a_failed_program_ends(self):
        found = []

        async def background():
            try:
                await self.forever()
            finally:
                found.append(self.all_tasks() - {asyncio.current_task()})
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(5)
                found.append(self.all_tasks() - {asyncio.current_task()})

        async def main():
            asyncio.create_task(background())
            asyncio.create_task(self.failing(MyError(), 1))
            try:
                await self.forever()
            finally:
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(1)

        coro = main()
        with self.assertRaises(ExceptionGroup):
            self.run_main(coro)
        self.assertEqual([[task.get_coro() for task in each] for each in found],
                         [[coro], []])

    def test_7_5_all_tasks_at_the_end(self):
        # The wait for the others is no task.
        found = []

        async def background():
            try:
                await self.forever()
            finally:
                found.append(self.all_tasks() - {asyncio.current_task()})
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(5)
                found.append(self.all_tasks() - {asyncio.current_task()})

        async def main():
            asyncio.create_task(background())
            await self.settle()

        self.run_main(main())
        self.assertEqual(found, [set(), set()])

    def test_7_5_names(self):
        numbers = []

        async def main():
            for task in asyncio.current_task(), asyncio.create_task(
                    self.background([])):
                prefix, number = task.get_name().split('-')
                self.assertEqual(prefix, 'Task')
                numbers.append(int(number))
            self.assertEqual(
                asyncio.create_task(self.forever(), name='x').get_name(), 'x')

        for _ in range(3):
            self.run_main(main())
        # As in stock: main, the background task, and two tasks at the end, in
        # which asynchronous generators and the executor are shut down.
        first = numbers[0]
        self.assertEqual(numbers, [first, first + 1, first + 4, first + 5,
                                   first + 8, first + 9])


@matrix
class RepeatedRunTests:
    """Rule 7.6."""

    def test_7_6_background_tasks_live_on_between_calls(self):
        ticks = []

        async def ticker():
            try:
                while True:
                    await asyncio.sleep(1)
                    ticks.append('tick')
            finally:
                await self.assert_level()
                ticks.append('cancelled')

        async def start():
            asyncio.create_task(ticker())
            await asyncio.sleep(2.5)
            return 'first'

        with self.runner() as runner:
            self.assertEqual(runner.run(start()), 'first')
            self.assertEqual(ticks, ['tick'] * 2)
            support.gc_collect()
            self.assertEqual(runner.run(asyncio.sleep(3, 'second')), 'second')
            self.assertEqual(ticks, ['tick'] * 5)
        self.assertEqual(ticks, ['tick'] * 5 + ['cancelled'])

    def test_7_6_background_tasks_survive_an_error_of_main(self):
        for own in MyError(), asyncio.CancelledError(), MyBaseError():
            with self.subTest(own=own):
                trace = []

                async def main():
                    asyncio.create_task(self.background(trace))
                    await self.failing(own, 1)

                with self.runner() as runner:
                    with self.raises_bare(own):
                        runner.run(main())
                    runner.run(asyncio.sleep(10))
                    runner.run(self.assert_not_cancelled())
                    self.assertEqual(trace, [])
                self.assertEqual(trace, ['background'])

    def test_7_6_background_task_fails_in_a_later_call(self):
        error = MyError()
        trace = []

        async def start():
            asyncio.create_task(self.failing(error, 3))
            asyncio.create_task(self.background(trace))

        async def main():
            await self.assert_cancelled(self.forever())
            await self.assert_level()
            trace.append('main')

        with self.runner() as runner:
            runner.run(start())
            runner.run(asyncio.sleep(1))
            with self.raises_group(error):
                runner.run(main())
            self.assertEqual(trace, ['main', 'background'])

    def test_7_6_call_that_fails_waits_for_the_group(self):
        # And the next one starts afresh (trap 30).
        error = MyError()
        trace = []

        async def failing():
            asyncio.create_task(self.background(trace))
            asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())
            trace.append('main')

        async def fresh():
            self.assertEqual(self.all_tasks(), {asyncio.current_task()})
            await self.assert_not_cancelled()
            task = asyncio.create_task(asyncio.sleep(1, 'slept'))
            asyncio.create_task(self.background(trace, 'fresh'))
            await asyncio.sleep(2)
            return await task

        with self.runner() as runner:
            for _ in range(3):
                with self.raises_group(error):
                    runner.run(failing())
                self.assertEqual(trace, ['main', 'background'])
                trace.clear()
            self.assertEqual(runner.run(fresh()), 'slept')
            runner.run(self.assert_not_cancelled())
            self.assertEqual(trace, [])
        self.assertEqual(trace, ['fresh'])

    def test_7_6_call_that_fails_raises_the_errors_of_the_clean_up(self):
        errors = [MyError(i) for i in range(3)]

        async def main():
            asyncio.create_task(self.background([], error=errors[0]))
            asyncio.create_task(self.failing(errors[1], 1))
            try:
                await self.forever()
            finally:
                raise errors[2]

        with self.runner() as runner:
            with self.raises_group(*errors):
                runner.run(main())
            runner.run(self.assert_not_cancelled())

    def test_7_6_fresh_group_fails_again(self):
        # It is as good as the first one in every respect.
        first, second = MyError(), MyError()
        refs = []

        async def orphan():
            refs.append(weakref.ref(asyncio.current_task()))
            await self.forever()

        async def main(error):
            asyncio.create_task(orphan())
            await self.settle()
            support.gc_collect()
            self.assertIsNotNone(refs.pop()())
            asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())

        with self.runner() as runner:
            with self.raises_group(first):
                runner.run(main(first))
            with self.raises_group(second):
                runner.run(main(second))

    def test_7_6_context_is_shared_by_the_calls(self):
        var = contextvars.ContextVar('var', default='unset')

        async def failing():
            var.set('set')
            asyncio.create_task(self.failing(MyError(), 1))
            await self.forever()

        async def main():
            return var.get()

        with self.runner() as runner:
            with self.assertRaises(ExceptionGroup):
                runner.run(failing())
            self.assertEqual(runner.run(main()), 'set')

    def test_7_6_failure_while_no_call_runs(self):
        # The loop can be run by other means. The next call raises the error.
        error = MyError()
        trace = []

        async def main():
            trace.append('started')
            await self.assert_level()

        with self.runner() as runner:
            loop = runner.get_loop()
            loop.create_task(self.failing(error, 1))
            loop.create_task(self.background(trace))
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(self.forever())
            with self.raises_group(error):
                runner.run(main())
            self.assertIn('background', trace)
            runner.run(self.assert_not_cancelled())

    def test_7_6_task_made_between_calls(self):
        error = MyError()

        with self.runner() as runner:
            runner.run(asyncio.sleep(1))
            runner.get_loop().create_task(self.failing(error, 1))
            with self.raises_group(error):
                runner.run(self.forever())
            runner.get_loop().create_task(self.background([], error=error))
            runner.run(asyncio.sleep(1))
            with self.raises_group(error):
                runner.close()


@matrix
class TestCaseTests:
    """Rule 7.6: IsolatedAsyncioTestCase."""

    def run_case(self, cls):
        """Run the tests of a class; return the result."""
        suite = unittest.TestSuite(
            map(cls, unittest.TestLoader().getTestCaseNames(cls)))
        result = unittest.TestResult()
        suite.run(result)
        self.assertEqual(result.failures, [])
        return result

    def make_case(self):
        trace = []

        class Case(unittest.IsolatedAsyncioTestCase):
            loop_factory = staticmethod(self.make_loop)

            async def asyncSetUp(self):
                trace.append('setUp')

            async def asyncTearDown(self):
                await asyncio.sleep(1)
                trace.append('tearDown')

        return Case, trace

    def assert_one_error(self, result, name):
        (case, text), = result.errors
        self.assertEqual(case._testMethodName, name)
        self.assertIn(MESSAGE, text)
        self.assertIn('MyError: reason', text)

    def test_7_6_background_task_that_fails_during_a_test(self):
        # Trap 30.
        Case, trace = self.make_case()

        class Tests(Case):
            async def test_1_failing(case):
                asyncio.create_task(self.background(trace))
                asyncio.create_task(self.failing(MyError('reason'), 1))
                await self.assert_cancelled(self.forever())
                trace.append('test')

            async def test_2_clean(case):
                await self.assert_not_cancelled()
                trace.append('clean')

        result = self.run_case(Tests)
        self.assertEqual(result.testsRun, 2)
        self.assert_one_error(result, 'test_1_failing')
        self.assertEqual(trace, ['setUp', 'test', 'background', 'tearDown',
                                 'setUp', 'clean', 'tearDown'])

    def test_7_6_cleanups_run_after_a_background_failure(self):
        Case, trace = self.make_case()

        class Tests(Case):
            async def asyncSetUp(case):
                case.addAsyncCleanup(case.cleanup, 'outer')

            async def cleanup(case, name):
                await asyncio.sleep(1)
                trace.append(name)

            async def test(case):
                case.addAsyncCleanup(case.cleanup, 'inner')
                asyncio.create_task(self.failing(MyError('reason'), 1))
                await self.forever()

        self.assert_one_error(self.run_case(Tests), 'test')
        self.assertEqual(trace, ['tearDown', 'inner', 'outer'])

    def test_7_6_background_task_of_set_up(self):
        # It lives on in the test, which it makes fail.
        Case, trace = self.make_case()

        class Tests(Case):
            async def asyncSetUp(case):
                asyncio.create_task(self.failing(MyError('reason'), 5))
                case.background = asyncio.create_task(self.background(trace))

            async def test_1_short(case):
                await asyncio.sleep(1)
                self.assertIs(case.background.done(), False)
                trace.append('short')

            async def test_2_long(case):
                await asyncio.sleep(10)

        self.assert_one_error(self.run_case(Tests), 'test_2_long')
        self.assertEqual(trace, ['short', 'tearDown', 'background',
                                 'background', 'tearDown'])

    def test_7_6_background_task_that_fails_during_set_up(self):
        Case, trace = self.make_case()

        class Tests(Case):
            async def asyncSetUp(case):
                asyncio.create_task(self.failing(MyError('reason'), 1))
                await self.forever()

            async def test(case):
                trace.append('test')

        self.assert_one_error(self.run_case(Tests), 'test')
        self.assertEqual(trace, [])

    def test_7_6_background_task_that_fails_during_tear_down(self):
        Case, trace = self.make_case()

        class Tests(Case):
            async def test(case):
                asyncio.create_task(self.failing(MyError('reason'), 0.5))

        self.assert_one_error(self.run_case(Tests), 'test')
        self.assertEqual(trace, ['setUp'])

    def test_7_6_background_task_that_fails_in_its_clean_up(self):
        # An error of that test. The others run.
        Case, trace = self.make_case()

        class Tests(Case):
            async def test_1_failing(case):
                asyncio.create_task(self.background(
                    trace, error=MyError('reason')))
                await self.settle()
                trace.append('test')

            async def test_2_clean(case):
                await self.assert_not_cancelled()
                trace.append('clean')

        result = self.run_case(Tests)
        self.assertEqual(result.testsRun, 2)
        self.assert_one_error(result, 'test_1_failing')
        self.assertEqual(trace, ['setUp', 'test', 'tearDown', 'background',
                                 'setUp', 'clean', 'tearDown'])

    def test_7_6_test_fails_and_so_does_a_background_task(self):
        Case, trace = self.make_case()

        class Tests(Case):
            async def test(case):
                asyncio.create_task(self.failing(MyError('reason'), 1))
                try:
                    await self.forever()
                finally:
                    raise KeyError('test')

        result = self.run_case(Tests)
        self.assert_one_error(result, 'test')
        self.assertIn("KeyError: 'test'", result.errors[0][1])
        self.assertEqual(trace, ['setUp', 'tearDown'])

    def test_7_6_only_the_test_fails(self):
        Case, trace = self.make_case()

        class Tests(Case):
            async def test_1_error(case):
                asyncio.create_task(self.background(trace))
                raise KeyError('test')

            async def test_2_clean(case):
                asyncio.create_task(self.background(trace))

        result = self.run_case(Tests)
        (case, text), = result.errors
        self.assertEqual(case._testMethodName, 'test_1_error')
        self.assertNotIn(MESSAGE, text)
        self.assertEqual(trace, ['setUp', 'tearDown', 'background'] * 2)

    def test_7_6_debug(self):
        Case, trace = self.make_case()

        class Tests(Case):
            async def test_clean(case):
                asyncio.create_task(self.background(trace))

            async def test_failing(case):
                asyncio.create_task(self.background(trace, error=error))

        error = MyError()
        Tests('test_clean').debug()
        self.assertEqual(trace, ['setUp', 'tearDown', 'background'])
        with self.raises_group(error):
            Tests('test_failing').debug()

    def test_7_6_expected_failure(self):
        Case, trace = self.make_case()

        class Tests(Case):
            @unittest.expectedFailure
            async def test(case):
                asyncio.create_task(self.failing(MyError('reason'), 1))
                await self.forever()

        result = self.run_case(Tests)
        self.assertEqual(result.errors, [])
        self.assertEqual(len(result.expectedFailures), 1)
        self.assertEqual(trace, ['setUp', 'tearDown'])


@matrix
class NoRunnerTests:
    """Rule 7.7."""

    def run_main(self, coro):
        loop = self.make_loop()
        try:
            return loop.run_until_complete(coro)
        finally:
            loop.close()

    def test_7_7_failure_is_logged_when_it_is_collected(self):
        error = MyError()

        async def main():
            task = asyncio.create_task(self.failing(error, 1))
            await asyncio.sleep(2)
            await self.assert_not_cancelled()
            self.assertEqual(self.problems, [])
            del task
            support.gc_collect()
            self.assertEqual(
                self.take_problems(),
                [('Task exception was never retrieved', error)])
            return 'result'

        self.assertEqual(self.run_main(main()), 'result')

    def test_7_7_failure_that_is_retrieved(self):
        error = MyError()

        async def main():
            for kwargs in {}, {'errors': 'propagate'}:
                task = asyncio.create_task(self.failing(error, 1), **kwargs)
                with self.raises_bare(error):
                    await task
                await self.assert_not_cancelled()

        self.run_main(main())
        support.gc_collect()

    def test_7_7_reference_is_weak(self):
        trace = []

        async def orphan():
            trace.append(weakref.ref(asyncio.current_task()))
            await self.forever()

        async def main():
            asyncio.create_task(orphan())
            await self.settle()
            support.gc_collect()
            self.assertIsNone(trace[0]())

        self.run_main(main())
        self.assertEqual(
            self.take_problems(),
            [('Task was destroyed but it is pending!', None)])

    def test_7_7_tasks_are_left_alone_when_main_is_done(self):
        trace = []
        tasks = []

        async def main():
            tasks.append(asyncio.create_task(self.background(trace)))
            await self.settle()

        loop = self.make_loop()
        try:
            loop.run_until_complete(main())
            self.assertIs(tasks[0].done(), False)
            self.assertEqual(tasks[0].cancelling(), 0)
            self.assertEqual(trace, [])
            tasks[0].cancel()
            with self.assertRaises(asyncio.CancelledError):
                loop.run_until_complete(tasks[0])
        finally:
            loop.close()
        self.assertEqual(trace, ['background'])

    def test_7_7_task_group(self):
        error = MyError()

        async def main():
            with self.assertRaises(ExceptionGroup) as cm:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.failing(error, 1))
                    await self.forever()
            self.assertEqual(cm.exception.exceptions, (error,))
            await self.assert_not_cancelled()

        self.run_main(main())

    def test_7_7_abandoned_task_group(self):
        # Its tasks belong to nobody.
        error = MyError()

        async def host():
            group = asyncio.TaskGroup()
            await group.__aenter__()
            return group.create_task(self.failing(error, 1))

        async def main():
            task = await asyncio.create_task(host())
            with self.raises_bare(error):
                await task
            await self.assert_not_cancelled()

        self.run_main(main())

    def test_7_7_errors_log(self):
        error = MyError()

        async def main():
            for create_task in (asyncio.create_task,
                                asyncio.get_running_loop().create_task):
                task = create_task(self.failing(error, 1), errors='log')
                await asyncio.sleep(2)
                (message, exc), = self.take_problems()
                self.assertIs(exc, error)
                self.assertNotIn('never retrieved', message)
                del task
                support.gc_collect()
                self.assertEqual(self.problems, [])
                await self.assert_not_cancelled()

        self.run_main(main())

    def test_7_7_errors_log_for_a_foreign_task(self):
        error = MyError()

        async def main():
            loop = asyncio.get_running_loop()
            saved = loop.get_task_factory()
            loop.set_task_factory(
                lambda loop, coro, **kwargs: ForeignTask(coro, loop))
            asyncio.create_task(self.failing(error, 1), errors='log')
            loop.set_task_factory(saved)
            await asyncio.sleep(2)
            support.gc_collect()

        self.run_main(main())
        (message, exc), = self.take_problems()
        self.assertIs(exc, error)
        self.assertNotIn('never retrieved', message)

    def test_7_7_loop_beside_a_runner(self):
        # The group belongs to the other loop.
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.failing(error, 1))
            await asyncio.sleep(2)
            await self.assert_not_cancelled()
            return 'result'

        with self.runner() as runner:
            runner.get_loop().create_task(self.background(trace))
            runner.run(asyncio.sleep(1))
            self.assertEqual(self.run_main(main()), 'result')
            support.gc_collect()
            self.assertEqual(
                self.take_problems(),
                [('Task exception was never retrieved', error)])
            runner.run(self.assert_not_cancelled())
            self.assertEqual(trace, [])
        self.assertEqual(trace, ['background'])

    def test_7_7_two_runners_in_turn(self):
        error = MyError()
        trace = []
        with self.runner() as one, self.runner() as other:
            one.get_loop().create_task(self.background(trace, 'one'))
            other.get_loop().create_task(self.background(trace, 'other'))
            other.get_loop().create_task(self.failing(error, 1))
            one.run(asyncio.sleep(2))
            with self.raises_group(error):
                other.run(self.forever())
            self.assertEqual(trace, ['other'])
            one.run(self.assert_not_cancelled())
            other.run(self.assert_not_cancelled())
        self.assertEqual(trace, ['other', 'one'])

    @threading_helper.requires_working_threading()
    def test_7_7_runners_in_several_threads(self):
        count = 4
        barrier = threading.Barrier(count, timeout=support.LONG_TIMEOUT)
        errors = [MyError(i) for i in range(count)]
        found = [None] * count
        traces = [[] for _ in range(count)]

        async def main(i):
            asyncio.create_task(self.background(traces[i]))
            asyncio.create_task(self.failing(errors[i], 1))
            barrier.wait()
            await self.assert_cancelled(self.forever())
            barrier.wait()
            await self.assert_level()

        def in_thread(i):
            try:
                asyncio.run(main(i), loop_factory=self.make_loop)
            except BaseException as exc:
                found[i] = exc

        threads = [threading.Thread(target=in_thread, args=(i,))
                   for i in range(count)]
        with threading_helper.start_threads(threads):
            pass
        for exc, error in zip(found, errors):
            self.check_group(exc, error)
        self.assertEqual(traces, [['background']] * count)


@matrix
class FirstFailureTests:
    """Rule 10.3."""

    def run_failing(self, main):
        with self.assertRaises(BaseExceptionGroup) as cm:
            self.run_main(main)
        return cm.exception.exceptions

    def notes(self, exc):
        return getattr(exc, '__notes__', [])

    def test_10_3_first_failure_is_logged_at_once(self):
        async def main():
            asyncio.create_task(self.failing(MyError('reason'), 1), name='one')
            asyncio.create_task(
                self.background([], error=MyError('later')), name='two')
            with asyncio.CancelScope(shield=True):
                await asyncio.sleep(2)
            self.assertEqual(len(self.lines), 1)

        self.run_failing(main())
        self.assertEqual(self.lines, [
            "Background task 'one', RootGroupTestCase.failing() failed: "
            "MyError: reason"])

    def test_10_3_debug_mode_tells_where_the_task_was_created(self):
        async def main():
            asyncio.get_running_loop().set_debug(True)
            asyncio.create_task(self.failing(MyError()))
            await self.forever()

        self.run_failing(main())
        line, = self.lines
        self.assertRegex(line, r'failed: MyError \(created at .*'
                               r'test_root_group\.py:\d+\)\Z')

    def descriptions(self):
        class Silent(Exception):
            def __str__(self):
                raise ValueError

        yield MyError(), 'MyError'
        yield MyError('one\ntwo'), 'MyError: one [...]'
        yield Silent(), f'{Silent.__qualname__}: <str() failed>'
        yield ExceptionGroup('many', [MyError()]), \
            'ExceptionGroup: many (1 sub-exception)'

    def test_10_3_one_line_whatever_the_exception_is(self):
        for exc, description in self.descriptions():
            with self.subTest(description):
                self.lines.clear()

                async def main():
                    asyncio.create_task(self.failing(exc), name='a\nb')
                    await self.forever()

                self.run_failing(main())
                line, = self.lines
                self.assertEqual(
                    line, "Background task 'a\\nb', RootGroupTestCase."
                          f"failing() failed: {description}")

    def test_10_3_failure_while_the_program_ends(self):
        async def main():
            asyncio.create_task(self.background([], error=MyError('late')))
            await self.settle()

        self.run_failing(main())
        self.assertEqual(len(self.lines), 1)

    def test_10_3_each_call_of_a_runner_logs_its_first_failure(self):
        async def main():
            asyncio.create_task(self.failing(MyError()))
            await self.forever()

        with self.runner() as runner:
            for count in 1, 2:
                with self.assertRaises(ExceptionGroup):
                    runner.run(main())
                self.assertEqual(len(self.lines), count)

    def test_10_3_what_is_no_background_failure_is_not_logged(self):
        error = MyError()

        async def main():
            await asyncio.gather(self.failing(error), return_exceptions=True)
            with self.raises_bare(error):
                await asyncio.wait_for(self.failing(error), 1)
            asyncio.create_task(self.failing(error), errors='log')
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.failing(error))
            await self.assert_not_cancelled()

        self.run_main(main())
        self.take_problems()
        with self.raises_bare(error):
            self.run_main(self.failing(error))
        for exc in KeyboardInterrupt, SystemExit:
            async def interrupted():
                asyncio.create_task(self.failing(exc()))
                await self.forever()

            with self.assertRaises(exc):
                self.run_main(interrupted())
        self.assertEqual(self.lines, [])

    def test_10_3_group_of_cancellations_is_not_logged(self):
        async def end():
            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                raise BaseExceptionGroup('all', [exc]) from None

        async def main():
            asyncio.create_task(end())
            await self.settle()

        self.run_main(main())
        self.assertEqual(self.lines, [])

    def test_10_3_notes_name_the_tasks(self):
        errors = MyError('one'), MyError('two'), MyError('main')

        async def main():
            asyncio.create_task(self.failing(errors[0]), name='one')
            asyncio.create_task(
                self.background([], error=errors[1]), name='two')
            try:
                await self.forever()
            finally:
                raise errors[2]

        self.assertCountEqual(self.run_failing(main()), errors)
        for exc, name in zip(errors[:2], ('one', 'two')):
            note, = self.notes(exc)
            self.assertIn(repr(name), note)
        note, = self.notes(errors[2])
        self.assertIn('main task', note)

    def test_10_3_notes_of_an_exception_that_several_tasks_raise(self):
        error = MyError()

        async def main():
            for name in 'one', 'two':
                asyncio.create_task(
                    self.background([], error=error), name=name)
            await self.settle()
            raise error

        for _ in range(3):
            self.assertEqual(self.run_failing(main()), (error,))
            notes = self.notes(error)
            self.assertEqual(len(notes), 2)
            self.assertIn("'one'", notes[0])
            self.assertIn("'two'", notes[1])

    def test_10_3_exceptions_that_refuse_notes(self):
        class Refusing(Exception):
            def add_note(self, note):
                raise TypeError

        class Odd(Exception):
            __notes__ = 5

        for exc in Refusing(), Odd():
            async def main():
                asyncio.create_task(self.failing(exc))
                await self.forever()

            self.assertEqual(self.run_failing(main()), (exc,))

    def test_10_3_notes_where_cancellations_are_taken_out(self):
        async def end():
            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                raise BaseExceptionGroup('all', [exc, MyError()]) from None

        async def main():
            asyncio.create_task(end(), name='one')
            await self.settle()

        group, = self.run_failing(main())
        note, = self.notes(group)
        self.assertIn("'one'", note)

    def test_7_2_tracebacks_show_few_frames_of_asyncio(self):
        async def fail_in_background():
            asyncio.create_task(self.failing(MyError()))
            await self.forever()

        for make in functools.partial(self.failing, MyError()), \
                fail_in_background:
            # (assertRaises() takes the traceback away.)
            try:
                self.run_main(make())
            except (MyError, ExceptionGroup) as exc:
                frames = traceback.extract_tb(exc.__traceback__)
            names = [frame.name for frame in frames
                     if 'test_asyncio' not in frame.filename]
            # asyncio.run(), Runner.run(), RootGroup.run().
            self.assertEqual(names, ['run'] * 3)

    def test_10_3_handler_that_fails(self):
        # It is in the way of nothing.
        class Failing(logging.Handler):
            def emit(self, record):
                raise MyError('handler')

        handler = Failing()
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.failing(error))
            asyncio.create_task(self.background(trace))
            await self.forever()

        self.assertEqual(self.run_failing(main()), (error,))
        self.assertEqual(trace, ['background'])
        self.take_problems()


@matrix
class ShutdownTests:
    """Rule 7.8."""

    def programs(self):
        """The ways in which a program ends, and a check of how it does."""
        error, own = MyError('background'), MyError('main')

        async def succeed():
            await asyncio.sleep(self.pause)

        async def fail():
            await self.failing(own, self.pause)

        async def fail_in_background():
            asyncio.create_task(self.failing(error, self.pause))
            await self.forever()

        async def fail_at_the_end():
            asyncio.create_task(self.background([], error=error))
            await self.settle()

        return [(succeed, contextlib.nullcontext()),
                (fail, self.raises_bare(own)),
                (fail_in_background, self.raises_group(error)),
                (fail_at_the_end, self.raises_group(error))]

    async def generator(self, trace):
        try:
            yield 'first'
            yield 'second'
        finally:
            await self.assert_not_cancelled()
            self.assertEqual(
                asyncio.current_effective_deadline(), math.inf)
            await asyncio.sleep(4)
            trace.append('generator')

    @for_each('programs')
    def test_7_8_asynchronous_generators_complete_their_clean_up(self, program, check):
        trace = []
        kept = []

        async def main():
            asyncio.create_task(self.background(trace))
            kept.append(self.generator(trace))
            await anext(kept[0])
            await program()

        with check:
            self.run_main(main())
        self.assertEqual(trace, ['background', 'generator'])

    def test_7_8_order_when_a_runner_is_closed(self):
        error = MyError()
        trace = []
        kept = []

        async def main():
            asyncio.create_task(self.background(trace, error=error))
            kept.append(self.generator(trace))
            await anext(kept[0])
            await self.settle()

        with self.raises_group(error):
            with self.runner() as runner:
                runner.run(main())
                self.assertEqual(trace, [])
        self.assertEqual(trace, ['background', 'generator'])

    def test_7_8_generator_lives_on_after_a_call_that_fails(self):
        # It is the runner that it is shut down with.
        trace = []
        kept = []

        async def failing():
            kept.append(self.generator(trace))
            await anext(kept[0])
            asyncio.create_task(self.failing(MyError()))
            await self.forever()

        async def main():
            return await anext(kept[0])

        with self.runner() as runner:
            with self.assertRaises(ExceptionGroup):
                runner.run(failing())
            self.assertEqual(runner.run(main()), 'second')
            self.assertEqual(trace, [])
        self.assertEqual(trace, ['generator'])

    @for_each('programs')
    def test_7_8_generator_of_a_background_task(self, program, check):
        trace = []
        kept = []

        async def background():
            kept.append(self.generator(trace))
            async for _ in kept[0]:
                try:
                    await self.forever()
                finally:
                    with asyncio.CancelScope(shield=True):
                        await asyncio.sleep(2)
                    trace.append('background')

        async def main():
            asyncio.create_task(background())
            await self.settle()
            await program()

        with check:
            self.run_main(main())
        self.assertEqual(trace, ['background', 'generator'])

    @for_each('programs')
    def test_7_8_generator_that_is_dropped_while_the_program_fails(self, program, check):
        # Trap 14: its aclose() runs in a fresh task that is not cancelled.
        trace = []

        async def main():
            generator = self.generator(trace)
            try:
                await anext(generator)
                await program()
            finally:
                trace.append('main')
                del generator

        with check:
            self.run_main(main())
        support.gc_collect()
        self.assertEqual(trace, ['main', 'generator'])

    async def failing_generator(self, error):
        try:
            yield
        finally:
            await asyncio.sleep(1)
            raise error

    def drop_after_main(self, generator):
        """Give up a generator when it is too late for the root group.

        The task that closes it comes after the loop has stopped for main.
        """
        kept = [generator]
        asyncio.current_task().add_done_callback(lambda _: kept.clear())

    @for_each('programs')
    def test_7_8_generator_that_is_dropped_after_main(self, program, check):
        trace = []

        async def main():
            generator = self.generator(trace)
            await anext(generator)
            self.drop_after_main(generator)
            del generator
            await program()

        with check:
            self.run_main(main())
        self.assertEqual(trace, ['generator'])

    def test_7_8_generator_that_is_dropped_between_two_calls(self):
        # The runner has it closed in the next call, or when there is none.
        for calls in 1, 2:
            with self.subTest(calls=calls):
                trace = []

                async def main():
                    generator = self.generator(trace)
                    await anext(generator)
                    self.drop_after_main(generator)

                with self.runner() as runner:
                    runner.run(main())
                    if calls == 2:
                        runner.run(asyncio.sleep(10))
                        self.assertEqual(trace, ['generator'])
                    self.assertEqual(trace, ['generator'] * (calls - 1))
                self.assertEqual(trace, ['generator'])

    def test_7_8_generator_that_fails_after_main(self):
        error = MyError()

        async def main():
            dropped = self.failing_generator(error)
            await anext(dropped)
            self.drop_after_main(dropped)
            return 'result'

        self.assertEqual(self.run_main(main()), 'result')
        self.assertEqual([exc for _, exc in self.take_problems()], [error])

    def test_7_8_task_that_a_generator_makes_at_the_end(self):
        # It is cancelled and waited for, as are those that it makes.
        errors = [MyError('first'), MyError('second')]
        trace = []
        kept = []

        async def late(name, *following):
            try:
                await self.forever()
            finally:
                trace.append(f'{name} is cancelled')
                for other in following:
                    asyncio.create_task(late(other))
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(1)
                trace.append(f'{name} ends')
                raise errors[len(following) == 0]

        async def generator():
            try:
                yield
            finally:
                asyncio.create_task(late('first', 'second'))
                await self.settle()

        async def main():
            kept.append(generator())
            await anext(kept[0])

        self.run_main(main())
        self.assertEqual(trace[:2], ['first is cancelled',
                                     'second is cancelled'])
        self.assertCountEqual(trace[2:], ['first ends', 'second ends'])
        self.assertCountEqual([exc for _, exc in self.take_problems()], errors)

    def test_7_8_generator_that_fails_while_it_is_dropped(self):
        # Its error is logged, as in stock.
        error = MyError()

        async def main():
            dropped = self.failing_generator(error)
            await anext(dropped)
            del dropped
            await asyncio.sleep(2)
            await self.assert_not_cancelled()
            support.gc_collect()

        self.run_main(main())
        self.assertEqual([exc for _, exc in self.take_problems()], [error])

    def test_7_8_generator_that_fails_at_the_end(self):
        error = MyError()
        kept = []

        async def main():
            kept.append(self.failing_generator(error))
            await anext(kept[0])
            return 'result'

        self.assertEqual(self.run_main(main()), 'result')
        self.assertEqual([exc for _, exc in self.take_problems()], [error])

    def test_7_8_abandoned_generator_that_holds_a_scope_open(self):
        # Trap 14: the scope reports the wrong task, and the tree is sound.
        trace = []

        async def generator():
            with self.CancelScope() as scope:
                try:
                    yield scope
                finally:
                    trace.append(asyncio.current_task())
                    await self.assert_not_cancelled()
                    await asyncio.sleep(1)
                    trace.append('closed')

        async def main():
            with self.CancelScope() as outer:
                async for _ in generator():
                    break
                outer.cancel()
                await self.assert_level()
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(2)
                self.assertEqual(trace[1:], ['closed'])
                self.assertIsNot(trace[0], asyncio.current_task())
                trace.clear()
                await self.assert_level()
                await asyncio.sleep(0)
            self.assertIs(outer.cancelled_caught, True)
            await self.assert_not_cancelled()
            support.gc_collect()

        self.run_main(main())
        (_, exc), = self.take_problems()
        self.assertIsInstance(exc, RuntimeError)
        self.assertRegex(str(exc), 'another task')

    def test_7_8_abandoned_generator_holds_a_scope_in_a_failed_program(self):
        # Trap 14.
        error = MyError()
        trace = []

        async def generator():
            with self.CancelScope():
                try:
                    yield
                finally:
                    await self.assert_not_cancelled()
                    await asyncio.sleep(1)
                    trace.append('closed')

        async def main():
            asyncio.create_task(self.failing(error, 1))
            try:
                await self.forever()
            finally:
                dropped = generator()
                await anext(dropped)  # It does not wait for anything.
                del dropped
                await self.assert_level()
                trace.append('main')

        with self.raises_group(error):
            self.run_main(main())
        support.gc_collect()
        self.assertCountEqual(trace, ['main', 'closed'])
        (_, exc), = self.take_problems()
        self.assertRegex(str(exc), 'another task')

    @threading_helper.requires_working_threading()
    @for_each('programs')
    def test_7_8_default_executor_is_shut_down_last(self, program, check):
        self.pause = 0
        trace = []
        threads = []
        kept = []

        async def background():
            try:
                await self.forever()
            finally:
                with asyncio.CancelScope(shield=True):
                    trace.append(await asyncio.to_thread(
                        lambda: 'background'))

        async def generator():
            try:
                yield
            finally:
                trace.append(await asyncio.to_thread(lambda: 'generator'))

        async def main():
            asyncio.create_task(background())
            kept.append(generator())
            await anext(kept[0])
            threads.append(await asyncio.to_thread(
                threading.current_thread))
            await program()

        with check:
            self.run_really(main())
        self.assertEqual(trace, ['background', 'generator'])
        self.assertIs(threads[0].is_alive(), False)


@matrix
class LogTests:
    """Section 9: create_task(errors="log")."""

    def on_problem(self, loop, context):
        self.contexts.append(context)
        super().on_problem(loop, context)

    def setUp(self):
        self.contexts = []
        super().setUp()

    def check_logged(self, *errors):
        """These have been logged once each, and are not reported again."""
        contexts = self.contexts[:]
        self.contexts.clear()
        self.take_problems()
        self.assertEqual([context['exception'] for context in contexts],
                         list(errors))
        for context in contexts:
            self.assertIs(context['task'].exception(), context['exception'])
            self.assertIsInstance(context['message'], str)
        contexts = context = None
        support.gc_collect()
        self.assertEqual(self.problems, [])

    def ways(self):
        def create_task(group, coro, **kwargs):
            return asyncio.create_task(coro, errors='log', **kwargs)

        def loop_create_task(group, coro, **kwargs):
            loop = asyncio.get_running_loop()
            return loop.create_task(coro, errors='log', **kwargs)

        def in_a_group(group, coro, **kwargs):
            return group.create_task(coro, errors='log', **kwargs)

        return create_task, loop_create_task, in_a_group

    async def start(self, spawn, *coros, **kwargs):
        """Call *spawn* for each in a TaskGroup that is left."""
        async with asyncio.TaskGroup() as group:
            for coro in coros:
                spawn(group, coro, **kwargs)
            # For those that are not in the group.
            await asyncio.sleep(5)

    @for_each('ways')
    def test_9_failure_is_logged(self, spawn):
        for delay in None, 0, 1:
            error = MyError()

            async def main():
                asyncio.create_task(self.forever())
                await self.start(spawn, self.failing(error, delay),
                                 asyncio.sleep(2))
                await self.assert_not_cancelled()
                return 'result'

            self.assertEqual(self.run_main(main()), 'result')
            self.check_logged(error)

    @for_each('ways')
    def test_9_several_failures(self, spawn):
        errors = [MyError(), MyBaseError(), ExceptionGroup('', [MyError()])]

        async def main():
            await self.start(spawn, *[
                self.failing(error, i) for i, error in enumerate(errors)])
            await self.assert_not_cancelled()

        self.run_main(main())
        self.check_logged(*errors)

    @for_each('ways')
    def test_9_task_that_somebody_awaits(self, spawn):
        error = MyError()

        async def main():
            async with asyncio.TaskGroup() as group:
                task = spawn(group, self.failing(error, 1))
                with self.raises_bare(error):
                    await task
            await self.assert_not_cancelled()

        self.run_main(main())
        self.check_logged(error)

    @for_each('ways')
    def test_9_result_and_cancellation_are_not_logged(self, spawn):
        async def main():
            async with asyncio.TaskGroup() as group:
                task = spawn(group, asyncio.sleep(1, 'slept'))
                other = spawn(group, self.forever())
                self.assertEqual(await task, 'slept')
                other.cancel()
                await asyncio.wait([other])
                self.assertIs(other.cancelled(), True)

        self.run_main(main())
        self.check_logged()

    @for_each('ways')
    def test_9_what_the_loop_raises_is_not_logged(self, spawn):
        for error in KeyboardInterrupt(), SystemExit(3):
            async def main():
                await self.start(spawn, self.failing(error, 1))

            with self.raises_bare(error):
                self.run_main(main())
            self.check_logged()

    @for_each('ways')
    def test_9_other_arguments_are_passed_on(self, spawn):
        var = contextvars.ContextVar('var', default='unset')

        error = MyError()
        context = contextvars.copy_context()
        context.run(var.set, 'set')
        found = []

        async def failing():
            found.append(asyncio.current_task().get_name())
            found.append(var.get())
            raise error

        async def main():
            await self.start(
                spawn, failing(), name='name', context=context)

        self.run_main(main())
        self.assertEqual(found, ['name', 'set'])
        self.check_logged(error)

    @for_each('ways')
    def test_9_failure_at_the_end(self, spawn):
        # With those of others, which are raised.
        errors = [MyError(i) for i in range(3)]
        trace = []

        async def background():
            async with asyncio.TaskGroup() as group:
                spawn(group, self.background(trace, error=errors[0]))
                await self.forever()

        async def main():
            asyncio.create_task(background())
            asyncio.create_task(self.background(trace, error=errors[1]))
            await self.settle()
            raise errors[2]

        with self.raises_group(*errors[1:]):
            self.run_main(main())
        self.assertEqual(trace, ['background'] * 2)
        self.check_logged(errors[0])

    def test_9_failure_in_the_tick_in_which_main_is_done(self):
        error = MyError()

        async def background(future):
            await future
            raise error

        async def main():
            loop = asyncio.get_running_loop()
            futures = [loop.create_future() for _ in range(3)]
            for future in futures[::2]:
                asyncio.create_task(background(future), errors='log')
            await self.settle()
            for future in futures:
                loop.call_later(1, future.set_result, None)
            await futures[1]
            return 'result'

        self.assertEqual(self.run_main(main()), 'result')
        self.check_logged(error, error)

    @for_each('ways')
    def test_9_task_is_a_member_all_the_same(self, spawn):
        # It is cancelled and waited for.
        trace = []

        async def background():
            async with asyncio.TaskGroup() as group:
                spawn(group, self.background(trace))
                await self.forever()

        async def main():
            asyncio.create_task(background())
            await self.settle()
            support.gc_collect()
            trace.append('main')

        self.run_main(main())
        self.assertEqual(trace, ['main', 'background'])
        self.check_logged()

    def test_9_task_that_nobody_refers_to_is_kept(self):
        # Trap 29.
        trace = []

        async def orphan():
            trace.append(weakref.ref(asyncio.current_task()))
            try:
                await self.forever()
            finally:
                trace.append('cancelled')

        async def main():
            asyncio.create_task(orphan(), errors='log')
            await self.settle()
            support.gc_collect()
            self.assertIsNotNone(trace[0]())

        self.run_main(main())
        self.assertEqual(trace[1:], ['cancelled'])
        self.check_logged()

    @for_each('ways')
    def test_9_task_made_by_such_a_task_is_of_the_ordinary_kind(self, spawn):
        error = MyError()

        async def spawning():
            asyncio.create_task(self.failing(error, 1))

        async def main():
            await self.start(spawn, spawning())

        with self.raises_group(error):
            self.run_main(main())
        self.check_logged()

    def test_9_factory_that_makes_another_task_first(self):
        # The helper is of the ordinary kind.
        helper, error = MyError('helper'), MyError('task')

        async def main():
            loop = asyncio.get_running_loop()
            factory = self.task_factory()

            def twice(loop, coro, **kwargs):
                factory(loop, self.failing(helper, 2))
                return factory(loop, coro, **kwargs)

            loop.set_task_factory(twice)
            asyncio.create_task(self.failing(error, 1), errors='log')
            loop.set_task_factory(factory)
            await asyncio.sleep(1.5)
            self.check_logged(error)
            await self.assert_cancelled(self.forever())

        with self.raises_group(helper):
            self.run_main(main())
        self.check_logged()

    @for_each('ways')
    def test_9_factory_that_fails(self, spawn):
        # The next task is not taken for the one that was not made.
        error = MyError()

        def factory(loop, coro, **kwargs):
            coro.close()
            raise KeyError

        async def main():
            loop = asyncio.get_running_loop()
            saved = loop.get_task_factory()
            async with asyncio.TaskGroup() as group:
                loop.set_task_factory(factory)
                with self.assertRaises(KeyError):
                    spawn(group, self.forever())
                loop.set_task_factory(saved)
            asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            self.run_main(main())
        self.check_logged()

    def test_9_group_goes_on(self):
        errors = [MyError(i) for i in range(2)]
        trace = []

        async def main():
            async with asyncio.TaskGroup() as group:
                group.create_task(self.failing(errors[0], 1), errors='log')
                group.create_task(self.background(trace))
                await asyncio.sleep(5)
                self.assertEqual(trace, [])
                self.check_logged(errors[0])
                # The others are of the ordinary kind.
                group.create_task(self.failing(errors[1], 1))
                await self.assert_cancelled(self.forever())

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_main(main())
        self.assertEqual(cm.exception.exceptions, (errors[1],))
        self.assertEqual(trace, ['background'])
        self.check_logged()

    def test_9_errors_propagate_is_the_default(self):
        for in_group in False, True:
            with self.subTest(in_group=in_group):
                error = MyError()

                async def main():
                    async with asyncio.TaskGroup() as group:
                        create_task = (group.create_task if in_group
                                       else asyncio.create_task)
                        create_task(
                            self.failing(error, 1), errors='propagate')
                        await self.forever()

                with self.assertRaises(ExceptionGroup) as cm:
                    self.run_main(main())
                self.assertEqual(cm.exception.exceptions, (error,))
                self.check_logged()

    def test_9_bad_value(self):
        async def main():
            loop = asyncio.get_running_loop()
            async with asyncio.TaskGroup() as group:
                for create_task in (asyncio.create_task, loop.create_task,
                                    group.create_task):
                    for errors in 'ignore', '', None, True, 1, ['log']:
                        with self.subTest(
                                create_task=create_task, errors=errors):
                            with self.assertRaisesRegex(ValueError, 'errors'):
                                create_task(self.forever(), errors=errors)
                            with self.assertRaisesRegex(ValueError, 'errors'):
                                create_task(self.forever(), errors=errors,
                                            name='name')
            self.assertEqual(self.all_tasks(), {asyncio.current_task()})
            await self.assert_not_cancelled()

        # No "coroutine was never awaited", either.
        with warnings_helper.check_no_warnings(
                self, category=RuntimeWarning, force_gc=True):
            self.run_main(main())

    def test_9_bad_value_without_a_group_to_put_it_in(self):
        group = asyncio.TaskGroup()
        with warnings_helper.check_no_warnings(
                self, category=RuntimeWarning, force_gc=True):
            coro = self.forever()
            with self.assertRaises(RuntimeError):
                group.create_task(coro, errors='log')
            with self.assertRaises((RuntimeError, ValueError)):
                group.create_task(self.forever(), errors='ignore')

    def test_9_factory_does_not_get_the_argument(self):
        error = MyError()
        found = []

        async def main():
            loop = asyncio.get_running_loop()
            factory = self.task_factory()

            def spying(loop, coro, **kwargs):
                found.append(kwargs)
                return factory(loop, coro, **kwargs)

            loop.set_task_factory(spying)
            async with asyncio.TaskGroup() as group:
                for create_task in (asyncio.create_task, loop.create_task,
                                    group.create_task):
                    create_task(asyncio.sleep(1), errors='propagate')
                    create_task(self.failing(error, 1), errors='log')
                await asyncio.sleep(2)
            loop.set_task_factory(factory)

        self.run_main(main())
        self.assertEqual(found, [{}] * 6)
        self.check_logged(*[error] * 3)

    def check_foreign(self, spawn):
        error = MyError()

        async def main():
            loop = asyncio.get_running_loop()
            saved = loop.get_task_factory()
            async with asyncio.TaskGroup() as group:
                loop.set_task_factory(
                    lambda loop, coro, **kwargs: ForeignTask(coro, loop))
                spawn(group, self.failing(error, 1))
                loop.set_task_factory(saved)
                await asyncio.sleep(2)
            await self.assert_not_cancelled()

        self.run_main(main())
        self.check_logged(error)

    def test_9_foreign_task_in_a_group(self):
        self.check_foreign(self.ways()[-1])

    def test_9_foreign_task(self):
        self.check_foreign(self.ways()[0])

    def test_9_member_of_an_abandoned_group(self):
        error = MyError()

        async def host():
            group = asyncio.TaskGroup()
            await group.__aenter__()
            group.create_task(self.failing(error, 1), errors='log')

        async def main():
            await asyncio.create_task(host())
            await asyncio.sleep(2)
            await self.assert_not_cancelled()

        self.run_main(main())
        self.check_logged(error)

    def test_9_loop_that_knows_no_errors(self):
        task_class, eager = self.Task, self.eager

        class Loop(VirtualLoop):
            def create_task(self, coro, *, name=None, context=None):
                return task_class(coro, loop=self, name=name, context=context,
                                  eager_start=eager)

        error = MyError()

        async def main():
            task = asyncio.create_task(
                self.failing(error, 1), errors='log', name='name')
            self.assertEqual(task.get_name(), 'name')
            task = asyncio.create_task(
                asyncio.sleep(1), errors='propagate', name='other')
            self.assertEqual(task.get_name(), 'other')
            async with asyncio.TaskGroup() as group:
                group.create_task(self.failing(error, 2), errors='log')
                group.create_task(asyncio.sleep(5))
            await self.assert_not_cancelled()
            return 'result'

        self.assertEqual(
            asyncio.run(main(), loop_factory=lambda: self.make_loop(Loop)),
            'result')
        self.check_logged(error, error)

    def test_9_handler_that_fails(self):
        # It is reported by the loop, as ever, and hurts nobody.
        async def main():
            loop = asyncio.get_running_loop()

            def handler(loop, context):
                called.append(context['exception'])
                raise KeyError

            loop.set_exception_handler(handler)
            asyncio.create_task(self.failing(error, 1), errors='log')
            await asyncio.sleep(2)
            await self.assert_not_cancelled()

        error = MyError()
        called = []
        with self.assertLogs('asyncio', 'ERROR'):
            self.run_main(main())
        self.assertEqual(called, [error])

    def test_9_default_handler_logs_it_once(self):
        async def main():
            asyncio.get_running_loop().set_exception_handler(None)
            asyncio.create_task(self.failing(MyError('reason'), 1),
                                errors='log')
            await asyncio.sleep(2)
            support.gc_collect()

        with self.assertLogs('asyncio', 'ERROR') as cm:
            self.run_main(main())
        text, = cm.output
        self.assertIn('MyError: reason', text)


class PlainTests(unittest.TestCase):
    """asyncio.run() as it is used."""

    def test_7_2_run(self):
        async def background():
            await asyncio.sleep(0)
            raise MyError

        async def main():
            asyncio.create_task(background())
            await asyncio.Event().wait()

        with self.assertRaises(ExceptionGroup) as cm:
            asyncio.run(main())
        self.assertEqual(cm.exception.message, MESSAGE)
        self.assertEqual([type(exc) for exc in cm.exception.exceptions],
                         [MyError])

    def test_7_4_run(self):
        trace = []

        async def background():
            try:
                await asyncio.Event().wait()
            finally:
                trace.append('background')

        async def main():
            asyncio.create_task(background())
            return 'result'

        self.assertEqual(asyncio.run(main(), debug=True), 'result')
        self.assertEqual(trace, ['background'])


if __name__ == '__main__':
    unittest.main()
