"""What the groups of tasks, TaskGroup and the root group, have in common.

A group has a scope.  The tasks that are spawned into it are the scope's
members: they hang right below it in the tree (see cancelscopes), which keeps
them alive, cancels them, and tells the group
  - _member_failed(task), when one has failed, at once;
  - _members_done(), when there is none left.
Only tasks of a foreign kind, which have no place in the tree, are the group's
own concern; _cancel_foreign() is called when its scope has become cancelled.
"""

from . import cancelscopes
from . import exceptions
from . import futures
from . import tasks
from _asyncio_legacy import legacy


class Group:
    """The base class of the groups."""

    _parent_task = None  # The host of the scope.
    _joining = None  # The Future that waits for the members.

    def __init__(self, scope):
        self._scope = scope
        self._foreign = set()  # The members that are not in the tree.
        self._errors = []
        scope._set_group(self)

    def _count_members(self):
        return self._scope._members + len(self._foreign)

    def _join(self, loop):
        """Return a Future that is done when there are no members left.

        Not for a group that has none.
        """
        self._joining = _Join(self, loop=loop)
        return self._joining

    def _abort(self):
        self._scope.cancel()

    def _member_failed(self, task):
        self._errors.append(task.exception())
        self._abort()

    def _members_done(self):
        if self._joining is not None and not self._count_members():
            # After the callbacks of the last member, which may spawn more.
            self._joining.get_loop().call_soon(self._joining._complete)

    def _add_foreign(self, task, errors):
        self._foreign.add(task)
        self._scope._watch()
        if self._parent_task is not None:
            futures.future_add_to_awaited_by(task, self._parent_task)
        if self._scope.cancel_called or self._scope._overruled:
            task.cancel()
        task.add_done_callback(lambda task: self._foreign_done(task, errors))

    def _foreign_done(self, task, errors):
        if self._parent_task is not None:
            futures.future_discard_from_awaited_by(task, self._parent_task)
        if (errors is not None and not task.cancelled()
                and task.exception() is not None):
            if errors == 'log':
                cancelscopes._log_failure(task)
            else:
                self._member_failed(task)
        self._foreign.discard(task)
        self._members_done()

    def _cancel_foreign(self, msg):
        for task in list(self._foreign):
            if not task.done():
                task.cancel(msg=msg)


class _Join(futures.Future):
    """What waits for the members of a group.

    That the wait is cancelled does not end it, for the members have to be
    waited for all the same; it makes it end with the CancelledError.
    """

    _cancel_requested = False
    stray = False  # The cancellation is not that of a scope.

    def __init__(self, group, *, loop):
        super().__init__(loop=loop)
        self._group = group

    def cancel(self, msg=None):
        if self.done():
            return False
        self._cancel_requested = True
        self._cancel_requested_msg = msg
        scope = self._group._scope
        if not (scope.cancel_called or scope._overruled):
            # With the legacy switch edge-cancel, Task.cancel() reaches nothing
            # but this Future.
            self.stray = True
            scope.cancel(msg)
        return True

    def _complete(self):
        if self.done() or self._group._count_members():
            return
        if self._cancel_requested:
            super().cancel(msg=self._cancel_requested_msg)
        else:
            self.set_result(None)


class RootGroup(Group):
    """The group of the tasks that are spawned into no other.

    A Runner gives one to its event loop.  It has no task of its own: its scope
    is the root of the tree.  When a member fails, everything is cancelled, and
    run() raises the error after that has come to its end.
    """

    _main = None  # The task that run() runs.
    pierced = False

    def __init__(self, loop):
        self._loop = loop
        self._plant()

    def _plant(self):
        # The pure-Python tasks have a tree of their own.
        scope = cancelscopes.CancelScope()
        self._scopes = [scope]
        if not isinstance(scope, cancelscopes._PyCancelScope):
            self._scopes.append(cancelscopes._PyCancelScope())
        super().__init__(scope)
        self._aborted = False
        self._ending = False
        self._unreported = []
        for scope in self._scopes:
            scope._set_group(self)
            scope._plant(self._loop)

    def _uproot(self):
        for scope in self._scopes:
            scope._uproot()

    def _count_members(self):
        return sum(scope._members for scope in self._scopes)

    def _abort(self):
        self._aborted = True
        if 'edge-cancel' in legacy():
            for task in self._all_tasks():
                task.cancel()
        else:
            for scope in self._scopes:
                scope.cancel()

    def _all_tasks(self):
        return tasks.all_tasks(self._loop) | tasks._py_all_tasks(self._loop)

    def pierce(self):
        """From now on nothing that belongs to the group is shielded."""
        self.pierced = True
        for scope in self._scopes:
            scope._pierce()

    def _member_failed(self, task):
        switches = legacy()
        if 'background-errors' in switches:
            if self._ending:
                self._unreported.append(task)
        elif not ('unretrieved-only' in switches and _is_awaited(task)):
            # The others are raised by the loop itself, bare.
            if not isinstance(task.exception(),
                              (SystemExit, KeyboardInterrupt)):
                self._errors.append(task.exception())
                self._abort()

    def create_main(self, coro, context):
        """Return the task for run(), which will hand its exception on."""
        if self._aborted and not self._errors:
            # What was left when a signal put an end to the last run().
            self.end()
            self._plant()
        return cancelscopes._spawn_background(
            None, self._loop.create_task, coro, context=context)

    def run(self, main, *, last):
        """Run the task *main* and return its result.

        If a member has failed by then, or if this is the *last* time, the
        group is brought to its end.
        """
        self._main = main
        result = error = errors = None
        try:
            try:
                result = self._loop.run_until_complete(main)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as exc:
                if not main.done():
                    raise  # Such as when the loop has been stopped.
                error = exc
            self._main = None
            if last or self._aborted:
                errors = self.end()
                if not last:
                    self._plant()
                if errors and error is not None and not isinstance(
                        error, exceptions.CancelledError):
                    errors.append(error)
                _raise_all(errors)
            if error is not None:
                raise error
            return result
        finally:
            main = error = errors = None

    def close(self):
        """Cancel the members, wait for them, and raise their errors."""
        _raise_all(self.end())

    def end(self):
        """Cancel the members and wait for them; return the list of errors."""
        self._ending = True
        if not self._aborted and self._count_members():
            self._abort()
        while self._count_members() and 'edge-cancel' not in legacy():
            self._loop.run_until_complete(self._join(self._loop))
            self._joining = None
        while others := [t for t in self._all_tasks() if not t.done()]:
            self._end_others(others)
        self._uproot()
        for task in self._unreported:
            self._loop.call_exception_handler({
                'message': 'unhandled exception during asyncio.run() shutdown',
                'exception': task.exception(),
                'task': task,
            })
        errors, self._errors = self._errors, []
        main, self._main = self._main, None
        if main is not None and main.done() and not main.cancelled():
            # A KeyboardInterrupt got in the way of run().
            exc = main.exception()
            if not isinstance(exc, (KeyboardInterrupt, SystemExit,
                                    type(None))):
                errors.append(exc)
        return errors

    def _end_others(self, others):
        """Cancel and await tasks of a foreign kind, or made before us.

        By edge, all are.
        """
        for task in others:
            task.cancel()
        self._loop.run_until_complete(
            tasks.gather(*others, return_exceptions=True))
        for task in others:
            if (not isinstance(task, (tasks.Task, tasks._PyTask))
                    and not task.cancelled()
                    and task.exception() is not None):
                self._member_failed(task)


def _raise_all(errors):
    if errors:
        try:
            raise BaseExceptionGroup('unhandled errors in background tasks',
                                     errors)
        finally:
            errors = None


def _is_awaited(task):
    """Tell if somebody will hear of the exception of *task*, as it ends."""
    return bool(task._callbacks) or bool(task._asyncio_awaited_by)
