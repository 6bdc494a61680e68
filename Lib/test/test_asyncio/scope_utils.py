"""Utilities of the cancel scope tests: a loop with virtual time, and the
matrix of task, future and scope implementations that each test runs on.

Names of tests carry the number of the rule that they check.  Not checked here:
5.8 (other event loops), and what 2.8 says about the cost of a yield and of a
scope (benchmarks measure it).
"""

import asyncio
import collections.abc
import contextlib
import gc
import inspect
import selectors
import sys
import types
import unittest
import warnings
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


class MyError(Exception):
    """An error that only the tests raise; it can be referenced weakly."""


class MyBaseError(BaseException):
    """The same, but no Exception."""


class Deadlock(AssertionError):
    """Nothing is ready, no timer is set: the loop would wait forever."""


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


# ----- Things to await -----

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


class Awaitable:
    """An awaitable that is neither a coroutine nor a future."""

    def __init__(self, coro):
        self._coro = coro

    def __await__(self):
        return (yield from self._coro.__await__())


class SteppedCoroutine(collections.abc.Coroutine):
    """A coroutine that is no generator, as Cython makes them.

    send() calls the next one of *steps*.
    """

    # At the top level because asyncio remembers the types of coroutines.

    def __init__(self, *steps, throw=None, close=None):
        self.steps = list(steps)
        self.on_throw = throw
        self.on_close = close

    def __await__(self):
        return self

    def send(self, value):
        if not self.steps:
            raise StopIteration('end')
        return self.steps.pop(0)()

    def throw(self, *args):
        if self.on_throw is None:
            raise args[0]
        return self.on_throw(*args)

    def close(self):
        if self.on_close is not None:
            self.on_close()


class ExternalTask:
    """Runs a coroutine but is no asyncio.Task; a mixin of a Future.

    Task factories may return such objects.
    """

    def __init__(self, coro, loop):
        super().__init__(loop=loop)
        self._coro = coro
        self._waiting_for = None
        self._throw = None
        self.requests = []      # the messages of cancel()
        asyncio._register_task(self)
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
        return 'external'

    def cancelling(self):
        return 0

    def uncancel(self):
        return 0

    def _step(self, future=None):
        self._waiting_for = None
        throw, self._throw = self._throw, None
        loop = self.get_loop()
        tasks._enter_task(loop, self)
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
                future.add_done_callback(self._step)
                self._waiting_for = future
        finally:
            tasks._leave_task(loop, self)


class Resurrecting:
    """Calls a function when it is finalized."""

    def __init__(self, function):
        self.function = function

    def __del__(self):
        self.function()


def next_line():
    """Return where the line after the call is, the way a report has it."""
    frame = sys._getframe(1)
    return (f'at {frame.f_code.co_filename}:{frame.f_lineno + 1} '
            f'in {frame.f_code.co_qualname}()')


# ----- Implementations -----

TASK_NAMES = (
    'current_task', 'all_tasks', '_register_task', '_register_eager_task',
    '_unregister_task', '_unregister_eager_task', '_enter_task', '_leave_task',
    '_swap_current_task')
FUTURE_NAMES = 'future_add_to_awaited_by', 'future_discard_from_awaited_by'


def find_counterparts():
    """Yield (name, C implementation, Python implementation)."""
    yield 'Task', tasks.Task, tasks._PyTask
    yield 'Future', futures.Future, futures._PyFuture
    accelerated = [sys.modules.get('asyncio.' + name)
                   for name in ('cancelscopes', 'timeouts', '_shields')]
    for module, names in (
            (tasks, TASK_NAMES), (futures, FUTURE_NAMES),
            *((module, getattr(module, '_ACCELERATED', ()))
              for module in accelerated)):
        for name in names:
            prefix = '_Py' if name[0].isupper() else '_py_'
            yield (name, getattr(module, name),
                   getattr(module, prefix + name.lstrip('_')))


def use_python_implementation():
    """Make all of asyncio use its pure-Python implementation.

    Return a function that makes it use the C one again.
    """
    undo = contextlib.ExitStack()
    modules = [module for name, module in list(sys.modules.items())
               if name.partition('.')[0] == 'asyncio']
    for name, c_version, py_version in list(find_counterparts()):
        for module in modules:
            if vars(module).get(name) is c_version:
                setattr(module, name, py_version)
                undo.callback(setattr, module, name, c_version)
    return undo.close


def find_tasks(loop):
    """Return the tasks of both implementations."""
    c_all_tasks = getattr(tasks, '_c_all_tasks', tasks._py_all_tasks)
    return tasks._py_all_tasks(loop) | c_all_tasks(loop)


class VariantMixin:
    """A mixin of a TestCase: the implementations that the tests run on.

    The variants below say which ones these are.
    """

    Task = None
    Future = None
    CancelScope = None
    eager = False
    # The number of objects in tests of scale.  The full number is for one C
    # and one Python variant.
    scale = N // 10

    def run(self, result=None):
        # Not in setUp(): it holds until all cleanups of the test have run.
        if self.Task is not tasks._PyTask:
            return super().run(result)
        use_c_implementation = use_python_implementation()
        try:
            return super().run(result)
        finally:
            use_c_implementation()

    def task_factory(self):
        if self.eager:
            return asyncio.create_eager_task_factory(self.Task)

        def factory(loop, coro, **kwargs):
            return self.Task(coro, loop=loop, **kwargs)
        return factory

    def set_task_factory(self, loop):
        """Make *loop* use the kind of task that is tested."""
        if self.eager or self.Task is not asyncio.Task:
            loop.set_task_factory(self.task_factory())

    @contextlib.contextmanager
    def external_tasks(self):
        """Let the running loop make external tasks; yield a list of them."""
        cls = types.new_class('ExternalTask', (ExternalTask, self.Future))
        created = []

        def factory(loop, coro, **kwargs):
            created.append(cls(coro, loop))
            return created[-1]

        loop = asyncio.get_running_loop()
        saved = loop.get_task_factory()
        loop.set_task_factory(factory)
        try:
            yield created
        finally:
            loop.set_task_factory(saved)


class ScopeTestCase(VariantMixin, unittest.TestCase):
    """Runs `async def test_*` as the main task of a VirtualTimeLoop."""

    def setUp(self):
        super().setUp()
        self.problems = []
        self.loop = VirtualTimeLoop()
        self.loop.set_exception_handler(self._on_problem)
        self.loop.create_future = lambda: self.Future(loop=self.loop)
        # Always with a factory, which is part of what is tested.
        self.loop.set_task_factory(self.task_factory())

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
        """Return the pending tasks of all implementations."""
        return {task for task in find_tasks(self.loop) if not task.done()}

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


class HostileTestCase:
    """A mixin of a ScopeTestCase: tests with hostile objects.

    Whatever these do, the tree has to be sound in the end.
    """

    def setUp(self):
        super().setUp()
        # Objects that are destroyed by force complain in places that have no
        # caller.
        self.enterContext(warnings.catch_warnings())
        warnings.simplefilter('ignore', RuntimeWarning)
        saved = sys.unraisablehook
        self.addCleanup(setattr, sys, 'unraisablehook', saved)
        self.addCleanup(gc.collect)
        sys.unraisablehook = lambda unraisable: None

    async def assert_sound(self):
        """The tree around the current task works as it should."""
        await self.assert_not_cancelled()
        with self.CancelScope() as outer:
            with self.CancelScope(shield=True) as inner:
                outer.cancel('outer')
                await asyncio.sleep(0)
            await self.assert_level('outer', times=1)
        self.assert_scope(inner, called=False, caught=False)
        self.assert_scope(outer, called=True, caught=False)
        with self.CancelScope(deadline=self.loop.time() + 1) as scope:
            async with asyncio.TaskGroup() as group:
                member = group.create_task(self.forever())
                await self.forever()
        self.assert_scope(scope, called=True, caught=True)
        self.assertIs(member.cancelled(), True)
        await self.assert_not_cancelled()

    def make_future(self, on_cancel):
        """Return a Future: cancel() calls on_cancel(future, super_cancel)."""
        class Hostile(self.Future):
            def cancel(self, msg=None):
                return on_cancel(self, super().cancel)
        return Hostile(loop=self.loop)

    def force_exit(self, scope, exc=None):
        """Exit a scope, here; return true if that was allowed."""
        try:
            scope.__exit__(type(exc) if exc else None, exc, None)
        except RuntimeError:
            return False
        return True

    def patch_loop(self, name, function):
        """Replace a method of the loop until unpatch_loop()."""
        setattr(self.loop, name, function)

    def unpatch_loop(self, *names):
        for name in names:
            self.loop.__dict__.pop(name, None)

    def take_problems(self):
        problems, self.problems = self.problems, []
        return [problem['message'] for problem in problems]

    def assert_reported(self, *types):
        """The exception handler of the loop got these, and nothing else."""
        problems, self.problems = self.problems, []
        self.assertEqual([type(problem.get('exception'))
                          for problem in problems], list(types))


class GroupHelpers:
    """A mixin of a ScopeTestCase: tests of task groups."""

    async def fail_with(self, error, delay=0):
        if delay:
            await asyncio.sleep(delay)
        raise error

    async def be_cancelled(self, *args):
        """Wait for the cancellation, and see that it comes again and again."""
        await self.assert_cancelled(self.forever(), *args)
        await self.assert_level(*args)

    async def wait_shielded(self, delay):
        """Be cancelled, and take a while to clean up."""
        try:
            await self.forever()
        finally:
            with self.CancelScope(shield=True):
                await asyncio.sleep(delay)

    def assert_group(self, group, *, called, caught):
        self.assert_scope(group.cancel_scope, called=called, caught=caught)
        self.assertEqual(group._tasks, set())

    def assert_errors(self, group, *errors):
        """An exception group with exactly these members, in order."""
        self.assertEqual(group.message, 'unhandled errors in a TaskGroup')
        self.assertEqual(group.exceptions, errors)


# ----- Variants -----

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


VARIANTS = CLazy, CEager, CTaskPyFuture, PyLazy, PyEager
# Those that differ in the kind of task only.
TASK_VARIANTS = CLazy, CEager, PyLazy, PyEager


# What a test expects of Task.cancel() that is level-triggered, if that is a
# small part of what its module is about.
needs_level_cancel = unittest.skipUnless(
    tasks._LEVEL_CANCEL, 'Task.cancel() is edge-triggered')


def matrix(base=None, *, case=ScopeTestCase, variants=VARIANTS):
    """Class decorator: put one test class per variant into base's module.

    It is a subclass of the variant, of *base* and of *case*.
    """
    if base is None:
        return lambda base: matrix(base, case=case, variants=variants)
    module = sys.modules[base.__module__]
    for variant in variants:
        name = f'{base.__name__}_{variant.__name__}'
        cls = types.new_class(name, (variant, base, case))
        cls.__module__ = base.__module__
        # A variant that needs the accelerator has None for its classes.
        if None in (getattr(variant, 'Task', ()),
                    getattr(variant, 'CancelScope', ())):
            cls = unittest.skip('requires the C _asyncio module')(cls)
        setattr(module, name, cls)
    return base
