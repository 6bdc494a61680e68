"""What replaces parts of AnyIO's asyncio backend.

This is executed in the namespace of the stock module, after that: names which
are not defined here are the stock module's, and what is defined here under the
name of something there takes its place, for the code there as well.

AnyIO's cancel scopes are asyncio's here.  So nothing in this file delivers a
cancellation, counts the requests of Task.cancel(), or looks into a task:
asyncio's tree of scopes does all that.  A task that is spawned into a group
hangs below the scope of the group (CancelScope.create_task()); one that is
started with start() hangs below the scope of the caller until it has started,
and is then moved (CancelScope.adopt()).
"""

# Type checkers know neither asyncio.CancelScope yet nor how names are replaced here.
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import weakref
from asyncio import CancelledError, current_task, get_running_loop, sleep
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial, wraps
from types import CoroutineType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, TypeVarTuple, Unpack

if TYPE_CHECKING:
    from anyio import TaskInfo, abc
    from anyio._backends._asyncio import (
        AsyncIOBackend,
        BaseCancelScope,
        Runner,
        TestRunner,
        _eager_task_factory_code,
        _forcibly_shutdown_process_pool_on_exit,
        find_root_task,
    )
    from anyio._core._eventloop import set_current_async_library, threadlocals
    from anyio._core._exceptions import RunFinishedError
    from anyio._core._streams import create_memory_object_stream
    from anyio._core._synchronization import CapacityLimiter as BaseCapacityLimiter
    from anyio._core._tasks import TaskHandle
    from anyio.abc._tasks import call_for_coroutine, get_callable_name, get_coro_name

T_Retval = TypeVar('T_Retval')
T_co = TypeVar('T_co', covariant=True)
PosArgsT = TypeVarTuple('PosArgsT')

#
# Cancel scopes
#

_current_scope = asyncio.current_scope
_enter_scope = asyncio.CancelScope.__enter__
_exit_scope = asyncio.CancelScope.__exit__
_cancel_scope = asyncio.CancelScope.cancel
_get_deadline = asyncio.CancelScope.deadline.__get__
_set_deadline = asyncio.CancelScope.deadline.__set__
_is_deadline_expired = asyncio.CancelScope.deadline_expired.__get__
_was_cancel_called = asyncio.CancelScope.cancel_called.__get__


class CancelScope(asyncio.CancelScope, BaseCancelScope):
    """asyncio's CancelScope with AnyIO's interface.

    What AnyIO has and asyncio has not: no deadline is inf, a cancel() after the
    exit is remembered, and a wrong exit changes nothing.
    """

    # _cancelled_late is set by a cancel() after the exit.
    #
    # _requests is set if the host had been cancelled before the scope was entered:
    # the value of Task.cancelling() at that time.
    __slots__ = ('_cancelled_late', '_requests')

    # What stock code asks for, to find the scope of a worker thread's caller;
    # see AsyncIOBackend.run_sync_in_worker_thread().
    _parent_scope = None

    def __enter__(self) -> Self:
        _enter_scope(self)
        if self.effectively_cancelled:
            task = current_task()
            assert task is not None
            self._requests = task.cancelling()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        # asyncio takes a scope out of the tree after such an error; AnyIO has
        # always left it where it was, to be left in the right order.  (A
        # coroutine that is being closed may be closed in any task.)
        if _current_scope() is not self and not isinstance(exc_val, GeneratorExit):
            raise RuntimeError(
                'Attempted to exit cancel scope in a different task than it was '
                'entered in, or in the wrong order; leave a scope once, in the task '
                'that entered it, after the scopes inside it (an asynchronous '
                'generator that yields inside a scope can break this)'
            )
        if exc_val is None:
            return _exit_scope(self, None, None, None)
        return _exit_scope(self, exc_type, exc_val, exc_tb) or (
            isinstance(exc_val, CancelledError)
            and hasattr(self, '_requests')
            and _was_cancel_called(self)
            and self._is_alone()
        )

    def _is_alone(self) -> bool:
        """Tell if all that is cancelled around this scope, which has been left, is
        a task that was cancelled by Task.cancel() before it was entered.

        What asked for that has been raised there.  Such a request does not keep
        the scope from swallowing its own CancelledError; with level-triggered
        cancellation, it is raised once more at the next await.
        """
        task = current_task()
        assert task is not None
        with asyncio.CancelScope() as probe:
            return task.cancelling() <= self._requests and not probe.cancels_tasks

    def cancel(self, reason: str | None = None) -> None:
        if _was_cancel_called(self):
            return
        # The start of the message is what AnyIO's users know a cancellation by.
        message = f'Cancelled via cancel scope {id(self):x}'
        try:
            task = current_task()
        except RuntimeError:
            task = None  # A scope can be cancelled outside of any event loop.
        if task is not None:
            message += f' by {task}'
        if reason:
            message += f'; reason: {reason}'
        _cancel_scope(self, message)
        if not _was_cancel_called(self):
            self._cancelled_late = True

    @property
    def cancel_called(self) -> bool:
        return _was_cancel_called(self) or hasattr(self, '_cancelled_late')

    @property
    def deadline(self) -> float:
        deadline = _get_deadline(self)
        if deadline is None:
            return math.inf
        if _is_deadline_expired(self):
            # uvloop's timers are up to half a millisecond early.  That must not
            # keep fail_after(), which looks at the clock, from raising.
            with suppress(RuntimeError):
                now = get_running_loop().time()
                if now < deadline < now + 0.001:
                    return now
        return deadline

    @deadline.setter
    def deadline(self, value: float) -> None:
        _set_deadline(self, value)


#
# Task groups
#


class _ChildScope(CancelScope):
    """The scope in which a task of a group runs.

    It is the one of the TaskHandle.  When the task exits it, the group hears
    at once how the task has ended, not when its callbacks are run: the siblings
    of a task that fails are cancelled before they run again.  The callback is
    for the exception of the task, which has to be retrieved, and for a task
    that never gets here.
    """

    __slots__ = ('_ended', '_group')

    _group: TaskGroup
    _ended: bool

    # It is the outermost scope of the task, so it needs no more than this.
    __enter__ = _enter_scope

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        # The exit of the class if all is well, else the one that raises an error.
        exit = _exit_scope if _current_scope() is self else CancelScope.__exit__
        try:
            if exit(self, exc_type, exc_val, exc_tb):
                exc_val = None
        except BaseException as exc:
            self._end(exc)
            raise
        else:
            if exc_val is None or isinstance(exc_val, CancelledError):
                if not self._ended:
                    # There is nothing left to do for the callback.
                    task = current_task()
                    if task is not None and task.remove_done_callback(self._task_done):
                        self._end(exc_val)
                        self._group._remove_task(task)
            elif not isinstance(exc_val, GeneratorExit):
                # (A coroutine that is closed is not a task that ends.)
                self._end(exc_val)
            return exc_val is None
        finally:
            del exc_val, exc_tb

    def _end(self, exc: BaseException | None) -> None:
        """Tell the group that the task ends with *exc*, unless None."""
        if not self._ended:
            self._ended = True
            if exc is not None:
                self._group._task_failed(exc)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            self._end(task.exception())
        elif not self._ended:
            try:
                task.result()
            except CancelledError as exc:
                self._end(exc)
        self._group._remove_task(task)

    def _find_below(self) -> asyncio.CancelScope:
        """Return the scope that the task hangs below."""
        return self._group.cancel_scope

    def _find_parent_id(self) -> int:
        return id(self._group._host_task)


class _StartedChildScope(_ChildScope):
    """The scope of a task that start() has spawned."""

    __slots__ = ('_below', '_started', '_starter_id', '_task')

    # The scope of the caller, until the task has started; then that of the group.
    _below: asyncio.CancelScope
    # What start() waits for, and the id of the task that waits.
    _started: asyncio.Future[Any]
    _starter_id: int
    # A weak reference to the task, once there is one.
    _task: Callable[[], asyncio.Task[Any] | None]

    def _end(self, exc: BaseException | None) -> None:
        started = self._started
        if self._ended or (started.done() and not started.cancelled()):
            super()._end(exc)
            return
        self._ended = True
        if started.cancelled():
            pass  # start() itself sees to what the task ends with.
        elif exc is None:
            started.set_exception(
                RuntimeError('Child exited without calling task_status.started()')
            )
        else:
            started.set_exception(exc)

    def _find_below(self) -> asyncio.CancelScope:
        return self._below

    def _find_parent_id(self) -> int:
        if self._started.done():
            return super()._find_parent_id()
        return self._starter_id


class _TaskStatus(abc.TaskStatus[Any]):
    def __init__(self, scope: _StartedChildScope):
        self._scope = scope

    def started(self, value: Any = None) -> None:
        scope = self._scope
        started = scope._started
        if started.done():
            if not started.cancelled():
                raise RuntimeError("called 'started' twice on the same task status")
            # The caller of start() was cancelled; the task is ending.
            return
        started.set_result(value)
        if scope._group._loop is not get_running_loop():
            # It cannot hang below the scope of the group.
            scope._group._add_distant(scope)
            return
        # The task belongs to the group from here on.  If that is cancelled, the
        # task is interrupted the next time it has to wait.
        before, scope._below = scope._below, scope._group.cancel_scope
        task = scope._task()
        if before is not scope._below and task is not None:
            scope._below.adopt(task)


class _Join(asyncio.Future[None]):
    """What the host of a group waits for until there are no tasks left.

    A cancellation does not end that, for the tasks have to be waited for all
    the same.
    """

    def __init__(self, group: TaskGroup):
        super().__init__()
        self._group = group
        # The message of a Task.cancel() of the host, in a tuple.
        self.native_request: tuple[Any] | None = None

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        self._group._cancel_distant()
        if self._group.cancel_scope.cancels_tasks and not self.native_request:
            # A scope around the host is cancelled, so the tasks of the group
            # are as well.  What the host gets is for them to say.
            return False
        # Task.cancel() concerns the host alone; the tasks hear of it here.
        self.native_request = (msg,)
        _cancel_scope(self._group.cancel_scope, msg)
        return True

    def complete(self) -> None:
        """Let the host go on, unless there are tasks again."""
        if self.done() or self._group._tasks:
            return
        if self.native_request is not None:
            super().cancel(*self.native_request)
        elif (cancelled := self._group._cancelled) is not None:
            # What a task has ended with ends the group.
            super().cancel(*cancelled.args[:1])
        else:
            self.set_result(None)


# The scope in which each task of a group runs, until it has ended.
_child_scopes: dict[asyncio.Task[Any], _ChildScope] = {}


def _call_threadsafe(
    loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object
) -> None:
    """Call *function* in an event loop that another thread may close meanwhile."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        if not loop.is_closed():
            raise


def _no_task() -> None:
    """Stand in for the weak reference to a task that does not exist yet."""


class TaskGroup(abc.TaskGroup):
    """A group of tasks on the scope of which its tasks hang.

    asyncio.TaskGroup has other rules: AnyIO always waits at the exit, even
    without tasks; a task that ends with a CancelledError of its own cancels the
    group; and KeyboardInterrupt in a task is an error like any other.
    """

    def __init__(self) -> None:
        self.cancel_scope: CancelScope = CancelScope()
        self._entered = self._active = False
        self._host_task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # The scopes of tasks in other event loops.
        self._distant: dict[CancelScope, asyncio.AbstractEventLoop] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._join: _Join | None = None
        self._exceptions: list[BaseException] = []
        # The first CancelledError that a task has ended with.
        self._cancelled: CancelledError | None = None

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError('TaskGroup cannot be entered more than once')
        self._entered = True
        self.cancel_scope.__enter__()
        self._host_task = current_task()
        self._loop = get_running_loop()
        self._active = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        __tracebackhide__ = True
        del exc_tb
        scope = self.cancel_scope
        cancelled = exc_val if isinstance(exc_val, CancelledError) else None
        try:
            # A CancelledError that nothing here has asked for, such as of a Future
            # that was cancelled elsewhere, is not for the scope to swallow, though
            # that is about to be cancelled.
            stray = cancelled is not None and not scope.effectively_cancelled
            if exc_val is not None:
                if cancelled is None:
                    self._exceptions.append(exc_val)
                scope.cancel()

            if self._tasks:
                if scope.effectively_cancelled:
                    self._cancel_distant()
                if (error := await self._wait_for_tasks(exc_val)) is not None:
                    cancelled, stray = error, False
            else:
                await AsyncIOBackend.cancel_shielded_checkpoint()
            if cancelled is None and self._cancelled is not None:
                # Of a task that ended before the host came here.
                cancelled = CancelledError(*self._cancelled.args)

            self._active = False
            if self._exceptions:
                return self._exit_with_errors(cancelled)
            if cancelled is None or stray:
                _exit_scope(scope, None, None, None)
                return False
            if cancelled is exc_val:
                return _exit_scope(scope, exc_type, exc_val, exc_val.__traceback__)
            try:
                raise cancelled from None
            except BaseException as exc:
                if _exit_scope(scope, type(exc), exc, exc.__traceback__):
                    return True
                raise
        finally:
            self._active = False
            self._exceptions = []
            self._host_task = self._cancelled = None
            cancelled = error = None
            del exc_val

    def _exit_with_errors(self, cancelled: CancelledError | None) -> bool:
        __tracebackhide__ = True
        message = 'unhandled errors in a TaskGroup'
        errors = BaseExceptionGroup(message, self._exceptions)
        scope = self.cancel_scope
        try:
            try:
                # What the host was doing is among the exceptions; it need not be
                # named once more for each group around this one.
                if cancelled is None:
                    raise errors from None
                # For the scope to take out.
                raise BaseExceptionGroup(
                    message, [*self._exceptions, cancelled]
                ) from None
            except BaseException as exc:
                if _exit_scope(scope, type(exc), exc, exc.__traceback__):
                    return True
                if cancelled is None:
                    raise
            # It is the business of a scope around this one, and shows at the next
            # await; AnyIO on asyncio has always raised the errors alone.
            raise errors from None
        finally:
            del errors, cancelled

    async def _wait_for_tasks(
        self, exc_val: BaseException | None
    ) -> CancelledError | None:
        """Wait until there are no tasks; return the CancelledError of the wait.

        Not if *exc_val*, with which the body ended, is one that counts.
        """
        error = None
        try:
            while self._tasks:
                join = self._join = _Join(self)
                if not self._tasks:
                    break  # Another thread removed the last one, and saw no join.
                try:
                    await join
                except CancelledError as exc:
                    if exc_val is None or join.native_request is not None:
                        error = exc
            return error
        finally:
            self._join = None
            del error, exc_val

    def _task_failed(self, exc: BaseException) -> None:
        if not isinstance(exc, CancelledError):
            self._exceptions.append(exc)
        elif self._cancelled is None:
            self._cancelled = exc
        if not _was_cancel_called(self.cancel_scope):
            self._call(self.cancel_scope.cancel)

    def _remove_task(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        scope = _child_scopes.pop(task, None)
        if self._distant:
            self._distant.pop(scope, None)
        if self._host_task is not None:
            asyncio.future_discard_from_awaited_by(task, self._host_task)
        # (Another thread may change the attribute.)
        join = self._join
        if join is not None and not self._tasks:
            # In a moment, when the task will have ended.
            self._call(self._loop.call_soon, join.complete)

    def _call(self, function: Callable[..., object], *args: object) -> None:
        """Call *function* in the event loop of the group, in which this usually is."""
        loop = self._loop
        try:
            is_here = get_running_loop() is loop
        except RuntimeError:
            is_here = True  # A coroutine is being closed, outside of any event loop.
        if is_here:
            function(*args)
        else:
            _call_threadsafe(loop, function, *args)

    def _add_distant(self, scope: CancelScope) -> None:
        """Let *scope*, of a task in the running loop, be cancelled with the group."""
        self._distant[scope] = get_running_loop()
        # Only now, so that no cancellation comes in between.
        if self.cancel_scope.effectively_cancelled:
            scope.cancel()

    def _cancel_distant(self) -> None:
        """Cancel the tasks that do not hang below the scope."""
        for scope, loop in list(self._distant.items()):
            _call_threadsafe(loop, scope.cancel)

    def _check_active(self) -> None:
        if not self._active:
            raise RuntimeError(
                'This task group is not active; no new tasks can be started.'
            )

    def _spawn(
        self,
        handle: TaskHandle[Any],
        scope: _ChildScope,
        below: asyncio.CancelScope,
    ) -> asyncio.Task[None]:
        scope._group = self
        scope._ended = False
        coro = handle._run_coro()
        try:
            loop = get_running_loop()
            # What makes the task.  Another event loop than that of the group must not
            # be used like this, but is by programs that share a group between threads.
            # AnyIO runs the task in the loop that asks for it.
            create_task = below.create_task
            if loop is not self._loop:
                create_task = partial(asyncio.create_task, errors='await')
                if type(scope) is _ChildScope:
                    self._add_distant(scope)  # Or else as soon as it has started.
            factory = loop.get_task_factory()
            if (
                factory is not None
                and getattr(factory, '__code__', None) is _eager_task_factory_code
            ):
                # AnyIO promises that a task does not start at once.
                task = create_task(coro, name=handle.name, eager_start=False)
            else:
                task = create_task(coro, name=handle.name)
        except BaseException:
            self._distant.pop(scope, None)
            with suppress(BaseException):
                coro.close()
            with suppress(BaseException):
                handle.coro.close()
            raise
        _child_scopes[task] = scope
        self._tasks.add(task)
        if self._host_task is not None:
            asyncio.future_add_to_awaited_by(task, self._host_task)
        task.add_done_callback(scope._task_done)
        return task

    def create_task(
        self,
        coro: Coroutine[Any, Any, T_co],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> TaskHandle[T_co]:
        if type(coro) is not CoroutineType and not isinstance(coro, Coroutine):
            raise TypeError(f'expected a coroutine, got {type(coro).__qualname__}')
        if not self._active:
            coro.close()
            self._check_active()
        scope = _ChildScope()
        handle = TaskHandle(coro, get_coro_name(coro, name), cancel_scope=scope)
        if context is None:
            self._spawn(handle, scope, self.cancel_scope)
        else:
            context.run(self._spawn, handle, scope, self.cancel_scope)
        return handle

    async def start(
        self,
        func: Callable[..., Coroutine[Any, Any, T_co]],
        *args: object,
        name: object = None,
        return_handle: bool = False,
    ) -> Any:
        self._check_active()
        # Until the task has started it belongs to the caller, so that
        # cancelling the group does not concern it.
        below = asyncio.current_scope()
        if below is None:
            below = self.cancel_scope
        scope = _StartedChildScope()
        # *func* can call started() before it returns the coroutine.
        scope._group = self
        scope._below = below
        scope._task = _no_task
        scope._starter_id = id(current_task())
        scope._started = started = get_running_loop().create_future()
        coro = call_for_coroutine(func, args, task_status=_TaskStatus(scope))
        handle = TaskHandle(coro, get_callable_name(func, name), cancel_scope=scope)
        task = self._spawn(handle, scope, below)
        scope._task = weakref.ref(task)
        if scope._below is not below:
            # It has run eagerly, and has started.
            scope._below.adopt(task)
        del task
        try:
            await started
        except BaseException:
            if handle.status in (handle.Status.PENDING, handle.Status.CANCELLING):
                handle.cancel()
                with CancelScope(shield=True):
                    await handle.wait()
            if started.cancelled() and handle.status is handle.Status.FAILED:
                # It failed as it was cancelled; there is no other place where
                # that could be raised.
                error = handle.exception
                assert error is not None
                try:
                    raise error from None
                finally:
                    error = None  # Break the cycle with the traceback.
            raise
        if return_handle:
            handle._start_value = started.result()
            return handle
        return started.result()


#
# Tasks
#


class AsyncIOTaskInfo(TaskInfo):
    def __init__(self, task: asyncio.Task[Any]):
        scope = _child_scopes.get(task)
        coro = task.get_coro()
        assert coro is not None, 'created TaskInfo from a completed Task'
        super().__init__(
            id(task),
            None if scope is None else scope._find_parent_id(),
            task.get_name(),
            coro,
        )
        self._task = weakref.ref(task)

    def has_pending_cancellation(self) -> bool:
        task = self._task()
        if task is None or task.done():
            return False
        scope = asyncio.current_scope(task)
        if task is current_task():
            # It has heard of what Task.cancel() asked.
            return scope is not None and scope.cancels_tasks
        if scope is not None:
            return scope.effectively_cancelled
        if task.cancelling():
            return True
        # A task that has not run yet has not entered its scope.
        child_scope = _child_scopes.get(task)
        return child_scope is not None and (
            child_scope.effectively_cancelled or child_scope._find_below().cancels_tasks
        )


_find_stock_root_task = find_root_task


def find_root_task() -> asyncio.Task[Any]:
    """Return the task that lives as long as the event loop runs.

    Or else the host of the outermost group around the current task.
    """
    task = _find_stock_root_task()
    while (scope := _child_scopes.get(task)) is not None:
        host = scope._group._host_task
        if host is None:
            break
        task = host
    return task


#
# The pytest plugin
#


class TestRunner(TestRunner):
    def _run(
        self, func: Callable[..., Awaitable[T_Retval]], /, *args: Any, **kwargs: Any
    ) -> T_Retval:
        """Call *func* in the runner task.

        By Runner.run(), so that the failure of a task in the background is raised
        for the test in which it happens, and the next test starts afresh.
        """
        try:
            retval = self._runner.run(
                self._call_in_runner_task(func, *args, **kwargs), context=copy_context()
            )
        finally:
            if self._runner_task is not None and self._runner_task.done():
                self._runner_task = None
        self._raise_async_exceptions()
        return retval

    def run_asyncgen_fixture(
        self,
        fixture_func: Callable[..., AsyncGenerator[T_Retval, Any]],
        kwargs: dict[str, Any],
    ) -> Iterable[T_Retval]:
        asyncgen = fixture_func(**kwargs)
        yield self._run(anext, asyncgen)
        try:
            self._run(anext, asyncgen)
        except StopAsyncIteration:
            self._raise_async_exceptions()
        else:
            self._runner.run(asyncgen.aclose())
            raise RuntimeError('Async generator fixture did not stop')

    def run_fixture(
        self,
        fixture_func: Callable[..., Coroutine[Any, Any, T_Retval]],
        kwargs: dict[str, Any],
    ) -> T_Retval:
        return self._run(fixture_func, **kwargs)

    def run_test(
        self, test_func: Callable[..., Coroutine[Any, Any, Any]], kwargs: dict[str, Any]
    ) -> None:
        try:
            self._run(test_func, **kwargs)
        except Exception as exc:
            # Together with what callbacks have raised.
            self._exceptions.append(exc)
            self._raise_async_exceptions()

    async def _run_tests_and_fixtures(self, receive_stream: Any) -> None:
        from _pytest.outcomes import OutcomeException

        task = current_task()
        assert task is not None
        with receive_stream, self._send_stream:
            async for coro, future in receive_stream:
                try:
                    retval = await coro
                except CancelledError as exc:
                    if not future.cancelled():
                        future.cancel(*exc.args)
                    raise
                except BaseException as exc:
                    if not future.cancelled():
                        future.set_exception(exc)
                    if not isinstance(exc, (Exception, OutcomeException)):
                        raise
                else:
                    if not future.cancelled():
                        future.set_result(retval)
                # A test that has cancelled its task must not have cancelled the
                # tests after it.
                while task.cancelling():
                    task.uncancel()

    async def _call_in_runner_task(
        self, func: Callable[..., Awaitable[T_Retval]], /, *args: Any, **kwargs: Any
    ) -> T_Retval:
        if not self._runner_task:
            self._send_stream, receive_stream = create_memory_object_stream[Any](1)
            # What a test raises is raised by whatever has called it; it is not
            # the failure of a task in the background.
            self._runner_task = asyncio.create_task(
                self._run_tests_and_fixtures(receive_stream), errors='await'
            )
        coro = func(*args, **kwargs)
        future: asyncio.Future[T_Retval] = get_running_loop().create_future()
        self._send_stream.send_nowait((coro, future))
        return await future


#
# The backend
#


async def _close_process_pool(workers: set[abc.Process]) -> None:
    """Kill the worker processes when the event loop ends."""
    try:
        await sleep(math.inf)
    finally:
        # They have to be waited for, although all is cancelled.
        with CancelScope(shield=True):
            workers = workers.copy()
            for process in workers:
                if process.returncode is None:
                    process.kill()
            for process in workers:
                await process.aclose()


class _CallerScope(CancelScope):
    """The scope around the call of to_thread.run_sync()."""

    __slots__ = ('abandon_on_cancel',)

    abandon_on_cancel: bool


class AsyncIOBackend(AsyncIOBackend):
    @classmethod
    def create_cancel_scope(
        cls, *, deadline: float = math.inf, shield: bool = False
    ) -> CancelScope:
        if deadline is math.inf and shield is False:
            # These are the defaults; keyword arguments would cost a lot of the time.
            return CancelScope()
        return CancelScope(deadline=deadline, shield=shield)

    @classmethod
    def run(
        cls,
        func: Callable[[Unpack[PosArgsT]], Awaitable[T_Retval]],
        args: tuple[Unpack[PosArgsT]],
        kwargs: dict[str, Any],
        options: dict[str, Any],
    ) -> T_Retval:
        @wraps(func)
        async def wrapper() -> T_Retval:
            task = current_task()
            assert task is not None
            task.set_name(get_callable_name(func))
            return await func(*args)

        loop_factory = options.get('loop_factory')
        if loop_factory is None and options.get('use_uvloop', False):
            import uvloop

            loop_factory = uvloop.new_event_loop
        with Runner(debug=options.get('debug'), loop_factory=loop_factory) as runner:
            return runner.run(wrapper())

    @classmethod
    async def checkpoint_if_cancelled(cls) -> None:
        if cls.current_effective_deadline() == -math.inf:
            await sleep(0)

    @classmethod
    async def cancel_shielded_checkpoint(cls) -> None:
        task = current_task()
        assert task is not None
        requests = task.cancelling()
        with asyncio.CancelScope(shield=True):
            await sleep(0)
        if task.cancelling() > requests:
            # A shield holds Task.cancel() back until the next await, but this
            # can be the last one of a task, which has just got a lock, or an
            # item, that it would then end with.
            await sleep(0)

    @classmethod
    def current_effective_deadline(cls) -> float:
        try:
            return asyncio.current_effective_deadline()
        except RuntimeError:
            return math.inf  # There is no task, or none that can have scopes.

    @classmethod
    async def run_sync_in_worker_thread(
        cls,
        func: Callable[[Unpack[PosArgsT]], T_Retval],
        args: tuple[Unpack[PosArgsT]],
        abandon_on_cancel: bool = False,
        limiter: BaseCapacityLimiter | None = None,
    ) -> T_Retval:
        # The stock method shields the wait for the thread, unless it is to be
        # abandoned.  What the thread asks about, and what it calls back, goes
        # by the scope around that.
        caller_scope = _CallerScope()
        caller_scope.abandon_on_cancel = abandon_on_cancel

        def call_in_thread() -> T_Retval:
            __tracebackhide__ = True
            threadlocals.current_cancel_scope = caller_scope
            return func(*args)

        try:
            with caller_scope:
                return await super().run_sync_in_worker_thread(
                    call_in_thread, (), abandon_on_cancel, limiter
                )
        except CancelledError:
            # An abandoned thread is to find that out even now.
            caller_scope.cancel('the call has been abandoned')
            raise

    @classmethod
    def check_cancelled(cls) -> None:
        scope = threadlocals.current_cancel_scope
        if scope.effectively_cancelled or hasattr(scope, '_cancelled_late'):
            raise CancelledError(f'Cancelled via cancel scope {id(scope):x}')

    @classmethod
    def run_async_from_thread(
        cls,
        func: Callable[[Unpack[PosArgsT]], Coroutine[Any, Any, T_co]],
        args: tuple[Unpack[PosArgsT]],
        token: object,
    ) -> T_co:
        async def task_wrapper() -> T_co:
            __tracebackhide__ = True
            # As in Trio: what the thread calls is cancelled with the caller that
            # waits for the thread, and not with one that abandons it.
            if caller_scope is not None and not caller_scope.abandon_on_cancel:
                caller_scope.adopt(current_task())
            try:
                return await func(*args)
            except CancelledError as exc:
                raise concurrent.futures.CancelledError(str(exc)) from None

        loop = token or threadlocals.current_token.native_token
        if loop.is_closed():
            raise RunFinishedError
        context = copy_context()
        context.run(set_current_async_library, 'asyncio')
        caller_scope: _CallerScope | None
        caller_scope = getattr(threadlocals, 'current_cancel_scope', None)
        future: concurrent.futures.Future[T_co] = context.run(
            asyncio.run_coroutine_threadsafe, task_wrapper(), loop=loop
        )
        return future.result()

    @classmethod
    def setup_process_pool_exit_at_shutdown(cls, workers: set[abc.Process]) -> None:
        asyncio.create_task(
            _close_process_pool(workers),
            name='AnyIO process pool shutdown task',
            # What goes wrong when a worker is killed is no reason for the
            # program to fail.
            errors='log',
        )
        find_root_task().add_done_callback(
            partial(_forcibly_shutdown_process_pool_on_exit, workers)
        )


backend_class = AsyncIOBackend
