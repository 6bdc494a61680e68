"""What TaskGroup and the root group of a Runner have in common.

A group has a scope.  Tasks that are spawned into the group are members of the
scope: they hang right below it in the tree (see cancelscopes), which cancels
them and calls these methods of the group:

    _member_failed(task)        a member has failed
    _members_done()             the last member has left the scope
    _host_ended()               the task that entered the scope has ended
                                without exiting it
    _add_external(task, errors) a task has been spawned that has no place in
                                the tree: see below
    _cancel_external(msg)       the scope has become cancelled

Objects that a task factory makes and that are no asyncio tasks of the tree's
kind are *external tasks*.  The group keeps, cancels and awaits them itself.
"""

import weakref

from . import cancelscopes
from . import futures


class Group:
    """The base class of the groups, each of which sets its scope."""

    def __init__(self):
        self._scope = None
        self._parent_task = None  # The host of the scope.
        self._joining = None  # The Future that waits for the members.
        self._errors = []
        self._external = set()  # The members that are not in the tree.

    def _count_members(self):
        return self._scope._member_count + len(self._external)

    @property
    def _tasks(self):
        return {*self._scope._members(), *self._external}

    def _join(self):
        """Return a Future that is done when there are no members any more.

        Not for a group that has none.
        """
        joining = self._joining = Join(loop=self._loop)
        joining._group = self
        joining._cancel_requested = joining.stray = False
        return joining

    def _abort(self, msg=None):
        self._scope.cancel(msg)

    def _member_failed(self, task):
        self._errors.append(task.exception())
        self._abort()

    def _host_ended(self):
        """The task that entered the scope has ended without exiting it.

        The group lives until another task exits it, or until it is dropped;
        its members then belong to what is around it.
        """
        before, self._parent_task = self._parent_task, None
        if before is not None:
            for member in self._tasks:
                futures.future_discard_from_awaited_by(member, before)
        self._scope._group = weakref.ref(self)

    def _members_done(self):
        joining = self._joining
        if joining is None or self._external or self._scope._member_count:
            return
        loop = self._loop
        # In the next callback, so that the callbacks of the last member, which
        # are about to be scheduled, come before the task that waits for it.
        try:
            cancelscopes._call_soon(loop, joining._complete)
        except BaseException as exc:
            if isinstance(exc, RuntimeError) and loop.is_closed():
                return  # The task that waits can never be woken.
            # Complete it synchronously rather than leave the task hanging.
            joining._complete()
            raise

    def _add_external(self, task, errors):
        self._external.add(task)
        try:
            # The callback's argument may be a task that *task* wraps.
            task.add_done_callback(lambda _: self._external_done(task, errors))
        except BaseException:
            self._external.discard(task)
            raise
        if self._parent_task is not None:
            futures.future_add_to_awaited_by(task, self._parent_task)
        cancelled = self._scope._watch()
        if cancelled is not None:
            cancel_each([task], *cancelled, self._scope._loop)

    def _external_done(self, task, errors):
        try:
            if self._parent_task is not None:
                futures.future_discard_from_awaited_by(task, self._parent_task)
            if (errors is not None and not task.cancelled()
                    and task.exception() is not None):
                if errors == 'log':
                    cancelscopes._log_failure_now(task, task.get_loop())
                else:
                    self._member_failed(task)
        finally:
            self._external.discard(task)
            self._members_done()

    def _cancel_external(self, msg):
        cancel_each(self._external, msg, self._scope._loop)

    def _keep_cancellation(self, cancelled):
        """The group raises errors, which have priority over a cancellation.

        That is level-triggered, so it shows at the next yield point.
        """
        if (cancelled is not None
                and cancelscopes._can_have_scopes(self._parent_task)):
            cancelscopes._forget_delivery(self._parent_task)


class ExternalTasks(Group):
    """The external tasks that a scope without a group has spawned."""

    def __init__(self, scope, loop):
        super().__init__()
        self._scope = scope
        self._loop = loop
        scope._group = self

    def _member_failed(self, task):
        group = self._scope._outer_group
        if group is None:
            # The scope has been exited.
            root = cancelscopes._find_root(self._loop)
            group = None if root is None else root._group
        if group is not None:
            group._member_failed(task)


class Join(futures.Future):
    """What waits for the members of a group.

    A cancellation does not end the wait, because the group must not end before
    its members; it makes the wait end with CancelledError.
    """

    __slots__ = (
        '_group',
        '_cancel_requested',
        '_cancel_requested_msg',
        # The cancellation is one of the host alone, not of the group's scope.
        'stray',
    )

    def cancel(self, msg=None):
        if self.done():
            return False
        self._cancel_requested = True
        self._cancel_requested_msg = msg
        if not self._group._scope.cancels_tasks:
            # Task.cancel() reaches this Future, but not the members.
            self.stray = True
            self._cancel_members(msg)
        return True

    def _cancel_members(self, msg):
        self._group._scope.cancel(msg)

    def _complete(self):
        group = self._group
        if self.done() or group._scope._member_count or group._external:
            return
        if self._cancel_requested:
            super().cancel(msg=self._cancel_requested_msg)
        else:
            self.set_result(None)


def cancel_each(tasks, msg, loop):
    """Cancel all *tasks*; then raise an interrupt, if there was one.

    Other exceptions go to the exception handler of *loop*.
    """
    cancelscopes._call_all([
        (cancelscopes._call_external, loop, task,
         cancelscopes._call_cancel, task, msg) for task in tasks])
