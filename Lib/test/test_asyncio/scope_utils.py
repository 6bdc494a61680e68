"""Utilities of the cancel scope tests: a loop with virtual time, and the
matrix of task, future and scope implementations that each test runs on.

Names of tests carry the number of the rule that they check.  Not checked here:
5.8 (other event loops: it needs them), and what 2.8 says about the cost of a
yield and of a scope (that is for benchmarks).
"""

import asyncio
import inspect
import selectors
import sys
import types
import unittest
from asyncio import cancelscopes
from asyncio import futures
from asyncio import tasks
from test import support

# For tests of scale.  A debug build is slow, and checks every step as well; one
# that looks for data races is slower still.
if support.check_sanitizer(thread=True):
    N = 2_000
elif support.Py_DEBUG:
    N = 20_000
else:
    N = 100_000


class Deadlock(AssertionError):
    """Nothing is ready, no timer is set: the loop would wait for ever."""


class Spinning(AssertionError):
    """The loop has turned far more often than any test has reason to."""


class _VirtualSelector(selectors.DefaultSelector):

    loop = None

    def select(self, timeout=None):
        # Look at real file descriptors (signals, other threads), never wait.
        events = super().select(0)
        if self.loop is not None:
            self.loop._on_select(timeout, bool(events))
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer instead of waiting for it.

    A loop that would wait without a timer raises Deadlock, and one that keeps
    turning raises Spinning, so that no test can hang.
    """

    max_turns = 400_000     # a turn is one iteration of the loop

    def __init__(self):
        self._now = 1000.0
        self._idle_waiters = []
        self.turns = 0
        # Seconds that pass in each turn, for tests where the loop is busy.
        self.seconds_per_turn = 0
        selector = _VirtualSelector()
        super().__init__(selector)
        selector.loop = self

    def time(self):
        return self._now

    def advance(self, seconds):
        """Let time pass as if the caller had computed all the while."""
        self._now += seconds

    async def wait_all_blocked(self):
        """Wait until every other task waits for a timer or for this one."""
        waiter = self.create_future()
        self._idle_waiters.append(waiter)
        await waiter

    def _on_select(self, timeout, has_events):
        self.turns += 1
        if self.turns > self.max_turns:
            raise Spinning(f'the loop turned {self.turns} times')
        self._now += self.seconds_per_turn
        if has_events or (timeout is not None and timeout <= 0):
            return
        if self._idle_waiters:
            waiters, self._idle_waiters = self._idle_waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
        elif timeout is None:
            raise Deadlock('every task waits, and nothing can wake one')
        else:
            self._now = max(self._now, self._scheduled[0]._when)


class ScopeTestCase(unittest.TestCase):
    """Runs `async def test_*` as the main task of a VirtualTimeLoop.

    The variants below say which implementations are tested.
    """

    Task = None
    Future = None
    CancelScope = None
    eager = False
    # The full number is for one C and one Python variant.
    scale = N // 10

    def setUp(self):
        super().setUp()
        self.problems = []
        self.loop = VirtualTimeLoop()
        self.loop.set_exception_handler(self._on_problem)
        self.loop.create_future = lambda: self.Future(loop=self.loop)
        if self.eager:
            factory = asyncio.create_eager_task_factory(self.Task)
        else:
            def factory(loop, coro, **kwargs):
                return self.Task(coro, loop=loop, **kwargs)
        self.loop.set_task_factory(factory)
        if self.Task is tasks._PyTask:
            self._use_python_tasks()

    def _use_python_tasks(self):
        def restore(saved=tasks.current_task):
            asyncio.current_task = tasks.current_task = saved
        self.addCleanup(restore)
        asyncio.current_task = tasks.current_task = tasks._py_current_task

    def _on_problem(self, loop, context):
        # Do not keep tasks and futures alive.
        self.problems.append({key: context[key] for key in context
                              if key in ('message', 'exception')})

    def _callTestMethod(self, method):
        if inspect.iscoroutinefunction(method):
            self.run_main(method())
        else:
            try:
                super()._callTestMethod(method)
            finally:
                self.loop.close()

    def run_main(self, coro):
        """Run a coroutine as the main task, once per test."""
        loop = self.loop
        finished = False
        try:
            # No references stay here, for the tests that look for them.
            result = loop.run_until_complete(loop.create_task(coro))
            pending = self.all_tasks()
            loop.run_until_complete(loop.shutdown_asyncgens())
            finished = True
        finally:
            coro = None
            try:
                if not finished:
                    self._stop_tasks()
            finally:
                loop.close()
        self.assertEqual(pending, set(), 'tasks left behind')
        self.assertEqual(self.problems, [])
        return result

    def _stop_tasks(self):
        # The test has failed: the first error counts, not what follows.
        for task in self.all_tasks():
            task._log_destroy_pending = False
            task.cancel()
        self.loop.turns = self.loop.max_turns - 20_000
        self.loop.call_later(1e9, self.loop.stop)
        try:
            self.loop.run_forever()
        except BaseException:
            pass

    def all_tasks(self):
        found = tasks.all_tasks(self.loop) | tasks._py_all_tasks(self.loop)
        return {task for task in found if not task.done()}

    # Building blocks.

    def spawn(self, coro, **kwargs):
        return self.loop.create_task(coro, **kwargs)

    async def forever(self):
        await self.loop.create_future()

    async def fail_when_cancelled(self):
        """Wait until that is interrupted; then end with ZeroDivisionError."""
        try:
            await self.forever()
        finally:
            1/0

    async def settle(self):
        """Let all other tasks run until they are blocked."""
        await self.loop.wait_all_blocked()

    async def assert_cancelled(self, awaitable, *args):
        """The await raises CancelledError with exactly these arguments."""
        with self.assertRaises(asyncio.CancelledError) as cm:
            await awaitable
        self.assertIs(type(cm.exception), asyncio.CancelledError)
        self.assertEqual(cm.exception.args, args)
        return cm.exception

    async def assert_level(self, *args, times=3):
        """Every kind of yield point raises, as often as it is tried."""
        for _ in range(times):
            await self.assert_cancelled(asyncio.sleep(0), *args)
            await self.assert_cancelled(asyncio.sleep(1), *args)
            await self.assert_cancelled(self.loop.create_future(), *args)

    async def assert_not_cancelled(self):
        """Yield points of both kinds work, and no request is left."""
        self.assertEqual(asyncio.current_task().cancelling(), 0)
        await asyncio.sleep(0)
        await asyncio.sleep(1)
        self.assertEqual(asyncio.current_task().cancelling(), 0)

    def assert_scope(self, scope, *, called, caught):
        self.assertIs(scope.cancel_called, called)
        self.assertIs(scope.cancelled_caught, caught)


class CLazy:
    Task = getattr(tasks, '_CTask', None)
    Future = getattr(futures, '_CFuture', None)
    CancelScope = getattr(cancelscopes, '_CCancelScope', None)
    scale = N


class CEager(CLazy):
    eager = True
    scale = N // 10


class CTaskPyFuture(CLazy):
    # Futures that are not the C type take another way through the C task.
    Future = futures._PyFuture
    scale = N // 10


class PyLazy:
    Task = tasks._PyTask
    Future = futures._PyFuture
    CancelScope = cancelscopes._PyCancelScope
    scale = N


class PyEager(PyLazy):
    eager = True
    scale = N // 10


class PyTaskCScope(PyLazy):
    # A C scope that is entered in a Python task delegates to the Python one.
    Future = getattr(futures, '_CFuture', None)
    CancelScope = getattr(cancelscopes, '_CCancelScope', None)
    scale = N // 5


VARIANTS = (CLazy, CEager, CTaskPyFuture, PyLazy, PyEager, PyTaskCScope)


def matrix(base):
    """Class decorator: put one test class per variant into base's module."""
    module = sys.modules[base.__module__]
    for variant in VARIANTS:
        name = f'{base.__name__}_{variant.__name__}'
        cls = types.new_class(name, (variant, base, ScopeTestCase))
        cls.__module__ = base.__module__
        if variant.CancelScope is None or variant.Task is None:
            cls = unittest.skip('requires the C _asyncio module')(cls)
        setattr(module, name, cls)
    return base
