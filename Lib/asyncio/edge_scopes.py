"""timeout() and TaskGroup with edge-triggered cancellation.

What the legacy switch edge-scopes puts in the place of asyncio's own.  Nothing
here is in the tree of scopes (see cancelscopes): a timeout or a group that is
to end calls for one CancelledError in a task, as Task.cancel() did before
there were scopes, counts that as a request, and takes it back as the block
ends.  So a block that is entered later is not cancelled, and only the group
itself cancels its tasks.
"""

__all__ = 'TaskGroup', 'Timeout', 'timeout', 'timeout_at'

import contextvars

from . import cancelscopes
from . import events
from . import exceptions
from . import futures
from . import taskgroups
from . import tasks
from . import timeouts


def _cancel_once(task, msg=None):
    """Interrupt one await of *task*, of whatever kind it is."""
    if (isinstance(task, tasks.Task)
            and type(task).cancel is tasks.Task.cancel):
        cancelscopes._cancel_once(task, msg)
    else:
        cancelscopes._py_cancel_once(task, msg)


class EdgeScope:
    """What a Timeout has in place of a CancelScope, with the same methods.

    *deadline* is in seconds on the clock of the event loop.
    """

    def __init__(self, deadline=None, shield=False):
        self._deadline = deadline
        # Kept out of the tree but for this.
        self._shield = (cancelscopes._make_scope(shield=True, movable=True)
                        if shield else None)
        self._context = None
        self._task = None
        self._timer = None
        self.cancel_called = False
        self.deadline_expired = False

    @property
    def deadline(self):
        return self._deadline

    @deadline.setter
    def deadline(self, when):
        self._deadline = when
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if when is None or self._task is None:
            return
        loop = self._task.get_loop()
        if when <= loop.time():
            self._timer = loop.call_soon(self._expire, context=self._context)
        else:
            self._timer = loop.call_at(when, self._expire,
                                       context=self._context)

    def __enter__(self):
        if self._shield is not None:
            self._shield.__enter__()
            # A request that is made in it is in force below the shield.
            self._context = contextvars.copy_context()
        self._task = tasks.current_task()
        self._requests_before = self._task.cancelling()
        self.deadline = self._deadline

    def __exit__(self, exc_type, exc, tb):
        """Take the request back; return true if it is what ends the block."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        caught = False
        if self.cancel_called:
            # (A shield has kept requests of others away.)
            caught = ((self._task.uncancel() <= self._requests_before
                       or self._shield is not None)
                      and isinstance(exc, exceptions.CancelledError))
        if self._shield is not None:
            self._shield.__exit__(exc_type, exc, tb)
        return caught

    @property
    def _parent_cancelled(self):
        """True if other code has called for cancellation of the task too."""
        return (self.cancel_called
                and self._task.cancelling() - 1 > self._requests_before)

    @property
    def _has_interrupted(self):
        """True if the task has been asked to cancel."""
        return self.cancel_called

    def _expire(self):
        self._timer = None
        self.cancel_called = self.deadline_expired = True
        _cancel_once(self._task)


class Timeout(timeouts._PyTimeout):
    __doc__ = timeouts._PyTimeout.__doc__

    def __init__(self, when, *, shield=False):
        super().__init__(None)
        self._when = when
        self._scope = EdgeScope(when, shield)


class TaskGroup:
    __doc__ = taskgroups.TaskGroup.__doc__

    def __init__(self):
        self._scope = _GroupScope(self)
        self._entered = False
        self._exiting = False
        self._aborting = False
        self._loop = None
        self._parent_task = None
        # The parent's request is the group's own, and is to be taken back.
        self._parent_cancel_requested = False
        self._tasks = set()
        self._errors = []
        self._base_error = None
        self._joining = None

    def __repr__(self):
        info = ''
        if self._tasks:
            info += f' tasks={len(self._tasks)}'
        if self._errors:
            info += f' errors={len(self._errors)}'
        if self._aborting:
            info += ' cancelling'
        elif self._entered:
            info += ' entered'
        return f'<TaskGroup{info}>'

    @property
    def cancel_scope(self):
        """What cancels the group, at a deadline too; it is no CancelScope."""
        return self._scope

    def cancel(self, msg=None):
        """Cancel the body and the tasks; the group then ends without an error.
        """
        self._scope.cancel(msg)

    async def __aenter__(self):
        if self._entered:
            raise RuntimeError(
                f'TaskGroup {self!r} has already been entered')
        if self._loop is None:
            self._loop = events.get_running_loop()
        self._parent_task = tasks.current_task(self._loop)
        if self._parent_task is None:
            raise RuntimeError(
                f'TaskGroup {self!r} cannot determine the parent task')
        self._entered = True
        self._scope.__enter__()
        return self

    async def __aexit__(self, exc_type, exc, tb):
        tb = None
        try:
            return await self._aexit(exc)
        finally:
            # The traceback of an error refers to this frame.
            self._scope.close()
            self._parent_task = None
            self._errors = None
            self._base_error = None
            exc = None

    async def _aexit(self, exc):
        self._exiting = True
        cancellation = None
        if isinstance(exc, exceptions.CancelledError):
            cancellation = exc
        elif exc is not None and _is_interrupt(exc):
            self._base_error = self._base_error or exc
        if exc is not None and not self._aborting:
            self._abort()

        # Each request to the parent interrupts the wait, and none ends it.
        # One that is level-triggered would do so forever, so once is enough.
        patient = (cancellation is not None
                   and cancelscopes._is_cancelled(self._parent_task))
        while self._tasks:
            if self._joining is None:
                self._joining = (_PatientWait(loop=self._loop) if patient
                                 else self._loop.create_future())
            try:
                await self._joining
            except exceptions.CancelledError as interruption:
                if not self._aborting:
                    cancellation = interruption
                    self._abort()
                patient = cancelscopes._is_cancelled(self._parent_task)
            self._joining = None

        try:
            if self._base_error is not None:
                raise self._base_error
            caught = False
            if (self._parent_cancel_requested
                    and self._parent_task.uncancel() == 0):
                caught = cancellation is not None
                cancellation = None
            if cancellation is not None and not self._errors:
                raise cancellation
            if exc is not None and not isinstance(
                    exc, exceptions.CancelledError):
                self._errors.append(exc)
            if self._errors:
                self._request_again()
                raise BaseExceptionGroup('unhandled errors in a TaskGroup',
                                         self._errors) from None
            # (Without errors, it is cancel() that has made the request.)
            return caught
        finally:
            exc = cancellation = None

    def _request_again(self):
        """The errors have priority over a cancellation from outside, which is
        delivered once.  Call for another delivery of it."""
        parent = self._parent_task
        if parent.cancelling() and not cancelscopes._is_cancelled(parent):
            parent.uncancel()
            _cancel_once(parent)

    def create_task(self, coro, *, errors='propagate', **kwargs):
        """Create a new task in this group and return it.

        *errors* says what becomes of its exception, as in
        `asyncio.create_task`; by default the group raises it.
        """
        problem = ('has not been entered' if not self._entered else
                   'is finished' if self._exiting and not self._tasks else
                   'is shutting down' if self._aborting else None)
        if problem is not None:
            coro.close()
            raise RuntimeError(f'TaskGroup {self!r} {problem}')
        of_group = errors == 'propagate'
        errors = None if of_group else cancelscopes._check_errors(errors, coro)
        task = cancelscopes._spawn_background(
            errors, self._loop.create_task, coro, **kwargs)
        futures.future_add_to_awaited_by(task, self._parent_task)
        self._tasks.add(task)
        # Of a task that is done, too: its failure must not cancel the task
        # that is just running.
        task.add_done_callback(
            self._on_task_done if of_group else self._on_other_done)
        try:
            return task
        finally:
            del task  # The traceback of its exception can refer to this frame.

    def _abort(self, msg=None):
        self._aborting = True
        for task in self._tasks:
            if not task.done():
                _cancel_once(task, msg)

    def _stop(self, msg=None):
        """Interrupt the tasks and the body."""
        if not self._aborting and not self._parent_cancel_requested:
            self._abort(msg)
            self._parent_cancel_requested = True
            _cancel_once(self._parent_task, msg)

    def _on_other_done(self, task):
        self._tasks.discard(task)
        futures.future_discard_from_awaited_by(task, self._parent_task)
        if (self._joining is not None and not self._tasks
                and not self._joining.done()):
            self._joining.set_result(True)

    def _on_task_done(self, task):
        self._on_other_done(task)
        if task.cancelled() or (exc := task.exception()) is None:
            return
        self._errors.append(exc)
        if _is_interrupt(exc) and self._base_error is None:
            self._base_error = exc
        if self._parent_task.done():
            # (It was destroyed, or the group was never left.)
            self._loop.call_exception_handler({
                'message': f'Task {task!r} has errored out but its parent '
                           f'task {self._parent_task} is already completed',
                'exception': exc,
                'task': task,
            })
        else:
            self._stop()


class _PatientWait(futures.Future):
    """Waits for the tasks of a group whose parent has been cancelled."""

    def cancel(self, msg=None):
        return not self.done()


class _GroupScope(EdgeScope):
    """The cancel_scope of a TaskGroup."""

    def __init__(self, group):
        super().__init__()
        self._group = group
        self._msg = None

    @property
    def shield(self):
        return False

    @shield.setter
    def shield(self, value):
        if value:
            raise RuntimeError('with the legacy switch edge-scopes a TaskGroup '
                               'cannot be shielded; use a CancelScope around '
                               'it')

    def __enter__(self):
        super().__enter__()
        if self.cancel_called:
            self._group._stop(self._msg)

    def cancel(self, msg=None):
        if self._group is None or self.cancel_called:
            return
        self.cancel_called = True
        self._msg = msg
        if self._group._entered:
            self._group._stop(msg)

    def _expire(self):
        self._timer = None
        self.deadline_expired = True
        self.cancel()

    def close(self):
        """The group has ended."""
        self.deadline = None
        self._task = self._group = None


def _is_interrupt(exc):
    return isinstance(exc, (KeyboardInterrupt, SystemExit))


# What wait_for() and timeout() find.
taskgroups.TaskGroup = TaskGroup
timeouts.Timeout = Timeout
timeout = timeouts.timeout = timeouts._py_timeout
timeout_at = timeouts.timeout_at = timeouts._py_timeout_at
timeouts._ACCELERATED = ()
