"""Utilities of the tests of the root task group."""

import asyncio
import contextlib
import functools
import logging
import sys
import unittest
from asyncio import tasks
from asyncio.log import logger

from test.test_asyncio import scope_utils


MESSAGE = 'unhandled errors in background tasks'


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


class RootGroupTestCase(scope_utils.VariantMixin, unittest.TestCase):
    """A report to the exception handler that is not taken is a failure."""

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

    def tearDown(self):
        self.assertEqual(self.problems, [])
        super().tearDown()

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

    def make_loop(self, cls=VirtualLoop):
        loop = cls()
        loop.Future = self.Future
        loop.set_exception_handler(self.on_problem)
        self.set_task_factory(loop)
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
        return scope_utils.find_tasks(asyncio.get_running_loop())

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


matrix = scope_utils.matrix(case=RootGroupTestCase,
                            variants=scope_utils.TASK_VARIANTS)
