"""Cancel scopes: the one tree through which asyncio cancels.

A scope is a node.  Every CancelScope, Timeout and TaskGroup that has been
entered is one, and so is every task: its *own scope* is the root of the scopes
that it enters, and hangs below the scope of the group that the task was
spawned into, if there is one.  A task's *current scope* is the innermost one
that it has entered and not left.

There are two kinds of request.  That of a scope (cancel(), a deadline, a group
that fails) reaches everything below the scope, up to the next shield.  That of
Task.cancel() concerns the code that the task itself runs: it is made to the
task's own scope, or to a shielded scope of the task if it comes from code that
was started in there, and it reaches the scopes that the task has entered below
that one, but no other task.  One invariant carries everything else:

    node._canceller refers to a scope with a request that reaches the code
    which runs in the node: the node itself, or an ancestor with no shield in
    between.  node._member_canceller refers to one with a request of the first
    kind, which is what reaches the tasks below the node.  Each is None if and
    only if there is no such scope.

A node with a canceller is *effectively cancelled*, so the question that each
yield of a task asks, "must I be interrupted?", costs one look at one field.
_update() restores the invariant below a node after each change (a request, a
shield that was moved, a parent that was left), and only then are the tasks
interrupted that are blocked in a node which has just become cancelled.
Nothing that could run external code happens while the tree is walked, and no
walk recurses.

The tree owns nothing.  A scope refers to the scope around it, and a task to
its current scope, so that a scope stays until its task has left it or has
ended.  One that has been left open by its task stays as long as code refers to
it, however many tasks are below it; they move up when it goes.  What keeps a
task alive, besides the code that refers to it, is the scope that it is a
member of.

Delivery is the task's side; it is explained beside tasks._PyTask and, for the
C tasks, in Modules/_asyncio/, which implements the same tree.  A tree has
tasks and scopes of one implementation.  The classes and functions whose names
begin with _Py or _py are the reference implementation; the C ones replace them
where the accelerator is available.

The parts: _cancel_tree has the nodes, _cancel_delivery the task's side,
_cancel_requests what Task.cancel() does, _spawning how a task gets its place,
_cancel_moves what happens where a scope is left in another task,
_cancel_groups the cancellations in exception groups, _cancel_debug the reports
of debug mode.  Here are the CancelScope and the functions around it.

Glossary:

    scope, node       a place in the tree
    own scope         the scope that a task has without entering it
    current scope     the innermost scope that a task has entered
    host              the task that has entered a scope, or whose own scope it
                      is
    member            a task whose own scope is right below a scope
    group             is told what becomes of the members of a scope; see
                      groups
    root              the scope of the group that a Runner gives its loop;
                      without a Runner, a task that was spawned into no group
                      has no parent
    external task     a task without a place in the tree; see _spawning
    errors mode       what becomes of a task's exception; see _spawning
    request           a call for cancellation: of a scope (_requested) or, by
                      Task.cancel(), of its host (_host_requested)
    pending request   one of Task.cancel() for which no CancelledError stands
                      yet; see _cancel_requests
    canceller         the scope whose request reaches the code in a node
    member canceller  the scope whose request reaches the tasks below a node
    shield            keeps what is requested outside of a scope away from it
    shield mark       tells in which shielded scope code was started; see
                      _cancel_requests
    waiter            the Future that a task waits for
    sent              the waiter has been asked to cancel, during this yield
    delivered         a CancelledError has reached the coroutine of the host;
                      until the scope is left that counts in cancelling()
    interrupted       the request has had an effect on at least one task
    expired           it was the deadline that made the request
    caught            the scope has swallowed its CancelledError
    movable           any task may leave the scope: that of a timeout or group
"""

__all__ = (
    'CancelScope',
    'move_on_after',
    'move_on_at',
    'current_effective_deadline',
    'current_scope',
)

import contextlib
import math
import weakref

from . import events
from . import exceptions
from . import futures
from . import tasks
from ._cancel_debug import _find_origin, _py_forget_delivery, _warn_moved
from ._cancel_delivery import (_call_all, _call_external, _get_scope,
                               _get_scope_msg, _interrupt, _note_delivery,
                               _raise_soon, _return_to)
from ._cancel_groups import _raise_rest, _without_cancellations
from ._cancel_moves import _adopt, _is_being_closed, _move_to, _prepare_exit
from ._cancel_requests import (_ShieldMark, _hand_up_requests,
                               _py_cancel_once)
from ._cancel_tree import (_ACTIVE, _EXITED, _NEW, _NOT_ACTIVE, _Node,
                           _current_task, _find_group, _mark, _update)
from ._spawning import (_RETRIEVED, _create_task_below, _py_spawn,
                        _py_spawn_background, _py_take_slot)

# What the accelerator and the rest of asyncio look for here.
from ._cancel_debug import _note_shield
from ._cancel_delivery import (_NOT_SENT, _call_cancel, _cancel_waiter,
                               _exception_for_step, _forget_cancel_sent,
                               _forget_cancellation, _ignore, _report)
from ._cancel_groups import _find_free, _get_members, _take_out
from ._cancel_moves import _is_closing
from ._cancel_requests import _cancel_task, _count_cancels, _uncancel_task
from ._cancel_tree import _TaskScope, _end, _leave_tree
from ._spawning import (_add_external, _py_adopt_external, _become_member,
                        _check_errors, _create_task, _enter_tree, _log_failure,
                        _log_failure_now, _set_errors, _set_retrieved,
                        _spawn_for_caller)


# The scopes of the groups that a Runner, and its loop, have: {id of the loop:
# [weak reference, ...]}.  The first one is the root for new tasks.
_roots = {}


def _py_find_root(loop):
    """Return the root for tasks of *loop* that belong to no group, or None."""
    for reference in _roots.get(id(loop), ()):
        root = reference()
        if root is not None and root._loop is loop:
            return root
    return None


def _to_deadline(value, name='deadline'):
    """Return *value* as a float, None if it is None or infinity."""
    if value is None:
        return None
    value = float.from_number(value)
    if math.isnan(value):
        raise ValueError(f'{name} must not be NaN')
    return None if value == math.inf else value


def _check_shield(shield):
    if not isinstance(shield, bool):
        raise TypeError(
            f'shield must be a bool, not {type(shield).__name__}')


def _request(scopes):
    """The cancellation of *scopes*, innermost first, has been requested."""
    calls = []
    for scope in scopes:
        scope._requested = True
        scope._disarm(calls)
    # All that is below a scope that is cancelled already knows.
    calls += _mark([scope for scope in scopes if scope._state is _ACTIVE
                    and scope._member_canceller is None])
    _call_all(calls)


def _on_deadline(reference, when):
    scope = reference()
    # (The timer can be one that could not be cancelled.)
    if (scope is not None and scope._deadline is not None
            and scope._deadline <= when):
        scope._timer = None
        scope._expire(when)


class _PyCancelScope(_Node):
    """A block of code that can be cancelled as one.

    Use it as a plain `with`, inside a task.  Once the scope is cancelled,
    every await in its block that suspends raises CancelledError, until the
    block is left; there the scope swallows the error.

    deadline -- when the scope cancels itself, in seconds on the clock of the
        event loop, or None.
    shield -- keep cancellation that comes from outside away from the block.

    Modeled on trio.CancelScope.
    """

    __slots__ = (
        '_state',
        '_parent',  # The scope around this one; None outside the tree.
        # On the clock of the loop; or, until entry, counted from that.
        '_deadline', '_delay',
        '_timer',  # For the deadline, a handle of the loop.
        '_loop',  # None outside the tree.
        '_expired',  # It was the deadline that made the request.
        '_caught',  # The scope has swallowed its CancelledError.
        '_group_ref',  # See _group.
        '_member_set',  # The tasks right below, which the scope keeps alive.
        '_watched',  # The group has external tasks.
        '_origin',  # Where the scope was entered, in debug mode.
        '_mark',  # A _ShieldMark, if the block is shielded.
        '_movable',  # Any task may leave the scope.
        # It has been moved to the task that leaves it, which is to be
        # reported.
        '_moved')

    _is_own = False

    def _set_defaults(self):
        super()._set_defaults()
        self._state = _NEW
        self._parent = None
        self._deadline = None
        self._delay = None
        self._timer = None
        self._loop = None
        self._expired = False
        self._caught = False
        self._group_ref = None
        self._member_set = set()
        self._watched = False
        self._origin = None
        self._mark = None
        self._movable = False
        self._moved = False

    def __init__(self, *, deadline=None, shield=False):
        _check_shield(shield)
        deadline = _to_deadline(deadline)
        if self._state is not _NEW:
            raise RuntimeError(
                'This CancelScope has already been entered; it cannot be '
                'initialized again')
        self._shield = shield
        self._deadline = deadline
        self._delay = None

    def __reduce__(self):
        raise TypeError(f'cannot pickle {type(self).__name__!r} object')

    def __enter__(self):
        if self._state is not _NEW:
            raise RuntimeError(
                'This CancelScope has already been entered; '
                'make a new one for each "with" block')
        task = _current_py_task()
        self._loop = task._loop
        self._state = _ACTIVE
        if task._source_traceback is not None:
            self._origin = _find_origin()
        self._attach(task._scope)
        self._host = task._own_scope._host
        self._canceller, self._member_canceller = self._find_cancellers()
        task._scope = self
        if self._shield:
            self._mark = _ShieldMark(self)
        try:
            self._arm()
        except BaseException:
            try:
                if self._state is _ACTIVE:
                    self._exit()
            finally:
                self._state = _NEW
            raise
        return self

    def __exit__(self, exc_type, exc, tb):
        task = _current_task()
        if (task is None or task is not self._host()
                or task._scope is not self):
            problem = _prepare_exit(self, task, exc)
            if problem is not None:
                if self._state is _ACTIVE:
                    self._exit(closing=not problem)
                if problem:
                    raise RuntimeError(problem)
                return False
            if task is not self._host():
                task = None  # Left outside the tasks of its tree.
        outer = _get_scope(self._outer_canceller())
        if outer is not None and self._interrupted and not outer._is_own:
            # What the scope has interrupted is the outer one's as well.
            outer._interrupted = True
        delivered = self._delivered
        if task is not None:
            _py_forget_delivery(task, self)
        if self._moved:
            is_group, origin = self._group is not None, self._origin
        request = self._exit()
        if self._moved:
            _warn_moved(is_group, origin, exc)
        if outer is not None or request is not None:
            # The error, if there is one, is the outer scope's from here on.
            if (delivered and task is not None and (
                    canceller := _get_scope(task._scope._canceller))):
                _note_delivery(task, canceller)
            return False
        if not self._requested:
            return False
        if isinstance(exc, exceptions.CancelledError):
            self._caught = True
            return True
        if isinstance(exc, BaseExceptionGroup):
            rest = _without_cancellations(exc)
            if rest is exc:
                return False
            self._caught = True
            if rest is None:
                return True
            try:
                _raise_rest(rest)
            finally:
                rest = None  # Needed to break a cycle.
        return False

    def __del__(self):
        # The task that has entered the scope keeps it alive.  So that task has
        # ended, or this is a root.
        if self._state is _ACTIVE:
            parent, loop = self._parent, self._loop
            try:
                self._unregister_root()
                if self._state is _ACTIVE:
                    self._exit()
            except (KeyboardInterrupt, SystemExit) as exc:
                _raise_soon(exc, loop)
            # Let go of it only when this is gone, so that a long chain of
            # scopes goes without recursion.
            self._parent = parent

    def __repr__(self):
        return _scope_repr(self._state, self._requested, self._caught,
                           self._deadline, self._delay, self._shield,
                           self._loop)

    def cancel(self, msg=None):
        """Cancel the scope: interrupt every await in it from now on.

        *msg* goes into each CancelledError.  Only the first call counts.
        Called before entry it takes effect on entry; after exit it does
        nothing.  Not thread-safe: from another thread, use
        loop.call_soon_threadsafe(scope.cancel).
        """
        if not self._requested and self._state is not _EXITED:
            self._check_thread()
            self._msg = msg
            _request([self])

    def create_task(self, coro, *, name=None, context=None, eager_start=None,
                    errors='await'):
        """Spawn a task below this scope and return it.

        It is cancelled with the scope, and not waited for: when the scope is
        left, a task that is not done moves up to the scope around it, and
        stays cancelled if the scope was.

        By default its exception is raised where the task is awaited, and
        logged if the task is collected before.  With errors="propagate" the
        group of the nearest enclosing scope that has one gets it, with
        errors="log" the exception handler of the loop.  The other arguments
        are those of loop.create_task().

        Raise RuntimeError, and close the coroutine, if the scope is not
        active.
        """
        return _create_task_below(self, coro, name=name, context=context,
                                  eager_start=eager_start, errors=errors)

    def adopt(self, task, /):
        """Move *task*, with all that is below it, to below this scope.

        From now on it is cancelled with this scope, and no more with what it
        was below; if it was a member of a group, that does not wait for it any
        more.  Raise RuntimeError, and move nothing, if the scope is not
        active, if the task is done or belongs to another event loop, or if the
        scope is inside the task.
        """
        _adopt(self, task)

    @property
    def cancel_called(self):
        """True if the scope's cancel was requested or its deadline passed."""
        if not self._requested and self._deadline is not None:
            loop = self._loop
            if self._state is _NEW:
                loop = events._get_running_loop()
            if loop is not None:
                now = loop.time()
                if self._deadline <= now:
                    # It must not go back to False once observed.
                    self._expire(now)
        return self._requested

    @property
    def cancel_message(self):
        """The message of the request that cancelled the scope, or None."""
        return _get_scope_msg(self)

    @property
    def deadline_expired(self):
        """True if it was the deadline that cancelled the scope."""
        return self._expired

    @property
    def effectively_cancelled(self):
        """True if the scope is cancelled, by itself or from outside.

        That is, if its own cancel was requested or its deadline has passed, or
        if it is not shielded and what surrounds it is effectively cancelled.
        Before entry and after exit only the scope itself counts.  Can be read
        from any thread.
        """
        # So it changes nothing.
        if self._canceller is not None or self._requested:
            return True
        loop = self._loop
        if self._state is _NEW:
            loop = events._get_running_loop()
        now = None
        node = self
        while loop is not None and node is not None:
            # Its timer may be late.
            deadline = node._deadline
            if deadline is not None:
                if now is None:
                    now = loop.time()
                if deadline <= now:
                    return True
            node = None if node._shield else node._parent
        return False

    @property
    def cancels_tasks(self):
        """True if the tasks below the scope are cancelled.

        Like effectively_cancelled, but what Task.cancel() asks of the task
        that has entered the scope does not count: it concerns that task only.
        """
        return self._member_canceller is not None

    @property
    def cancelled_caught(self):
        """True if the scope swallowed the CancelledError that it caused."""
        return self._caught

    @property
    def deadline(self):
        """When the scope cancels itself (loop.time() clock), or None."""
        return self._deadline

    @deadline.setter
    def deadline(self, value):
        deadline = _to_deadline(value)
        self._check_thread()
        self._deadline = deadline
        self._delay = None
        if self._state is _ACTIVE:
            calls = []
            self._disarm(calls)
            try:
                _call_all(calls)
            finally:
                self._arm()

    @property
    def shield(self):
        """Whether cancellation from outside is kept away from the block."""
        return self._shield

    @shield.setter
    def shield(self, value):
        _check_shield(value)
        self._check_thread()
        self._shield = value
        if self._state is _ACTIVE:
            task = self._host()
            if (value and self._mark is None and task is not None
                    and _current_task() is task):
                self._mark = _ShieldMark(self)
            calls = _mark([self])
            if task is not None:
                # A pending request may be visible now.
                calls.append((_interrupt, task))
            _call_all(calls)

    # Entering and leaving.

    def _move_here(self):
        """Make the current task, which is about to leave this scope, the host.

        That is for the scopes of timeouts and groups, whose block can be
        entered in another task.  Return whether it has been moved.
        """
        return not _is_being_closed(self) and _move_to(self, _current_task())

    def _exit(self, *, closing=False):
        """Take the scope out of the tree.

        Return the outer scope to which a request of Task.cancel() has moved
        up, or None.  *closing*: the coroutine of the host is being closed, so
        it is not interrupted.
        """
        parent = self._parent
        task = self._host()
        outer = _hand_up_requests(self)
        # Only a wrong exit finds another scope than this one on top.
        if task is not None and task._scope is self:
            _return_to(task, parent)
        calls = []
        if self._member_set and (group := self._group) is not None:
            # It will have no members to wait for any more.
            calls.append((_call_external, self._loop, task,
                          group._members_done))
        self._state = _EXITED
        # (It is the first request that counts: not this one, below a scope
        # that was cancelled before.)
        canceller = _get_scope(self._member_canceller)
        moved = self._detach()
        self._remove_mark()
        if self._requested:
            for child in moved:
                if child._is_own and not child._requested:
                    child._inherited_msg = _get_scope_msg(
                        self if canceller is None else canceller)
                    child._requested = True
        self._disarm(calls)
        self._loop = self._group_ref = None
        if moved:
            calls += _mark(moved)
        if (task is not None and task._fut_waiter is not None
                and not closing):
            calls.append((_interrupt, task))
        if calls:
            _call_all(calls)
        return outer

    def _remove_mark(self):
        mark, self._mark = self._mark, None
        if mark is not None:
            mark.remove()

    # The deadline.

    def _arm(self):
        """Set the timer, if the scope needs one.  Errors are the caller's."""
        loop = self._loop
        if loop is None or (self._delay is None and (
                self._deadline is None or self._requested)):
            return
        now = loop.time()
        # time() may have done anything to the scope.
        if self._state is not _ACTIVE:
            return
        delay = self._delay
        if delay is not None:
            self._deadline = now + delay
            self._delay = None
        when = self._deadline
        if when is None:
            return
        if when <= now:
            self._expire(now)
        elif not self._requested and self._timer is None:
            try:
                timer = loop.call_at(
                    when, _on_deadline, weakref.ref(self), when)
            except BaseException:
                if delay is not None and self._deadline == when:
                    # It counts from the next entry.
                    self._deadline, self._delay = None, delay
                raise
            # So may call_at(), such as move the deadline.
            if (self._state is _ACTIVE and not self._requested
                    and self._timer is None and self._deadline == when):
                self._timer = timer
            else:
                _call_external(loop, None, timer.cancel)

    def _disarm(self, calls):
        """Append to *calls* what cancels the timer, if there is one."""
        timer, self._timer = self._timer, None
        if timer is not None:
            calls.append((_call_external, self._loop, None, timer.cancel))

    def _expire(self, now):
        """The deadline has passed.

        Those of scopes around this one that have passed by *now* as well must
        not come later only because their timers do: it is the outermost one
        that counts.
        """
        if self._requested or self._state is _EXITED:
            return
        scopes = [self]
        node = self._parent
        while node is not None:
            if node._timer is not None and node._deadline <= now:
                scopes.append(node)
            node = node._parent
        for scope in scopes:
            scope._expired = True
        _request(scopes)

    def _check_thread(self):
        loop = self._loop
        if loop is not None and loop.get_debug():
            _check_calling_loop(loop)

    # For groups and timeouts.

    @property
    def _group(self):
        """The group, which is told what becomes of the members, or None.

        Assign a weak reference to a group that the scope must not keep alive.
        """
        group = self._group_ref
        return group() if isinstance(group, weakref.ref) else group

    @_group.setter
    def _group(self, group):
        self._group_ref = group

    @property
    def _outer_group(self):
        """The group of the nearest outer scope that has one, or None."""
        return _find_group(self._parent)

    @property
    def _member_count(self):
        """The number of tasks right below this scope that are not done."""
        return len(self._member_set)

    def _members(self):
        """Return a list of these tasks."""
        return list(self._member_set)

    @property
    def _parent_cancelled(self):
        """True if the scope is cancelled from outside, visibly."""
        return self._host_requested or self._outer_canceller() is not None

    @property
    def _has_interrupted(self):
        """True if the cancellation of the scope has interrupted a task."""
        return self._interrupted

    def _watch(self):
        """Have the group cancel its external tasks when this is cancelled.

        If it is, return the message in a tuple.
        """
        self._watched = True
        canceller = _get_scope(self._member_canceller)
        return None if canceller is None else (_get_scope_msg(canceller),)

    def _spawn(self, errors, create_task, /, *args, **kwargs):
        """Call *create_task*; the task it makes hangs below this scope.

        An external task cannot; it is given to the group.  *errors* is the
        errors mode.
        """
        if self._state is not _ACTIVE:
            raise RuntimeError(_NOT_ACTIVE)
        loop = self._loop
        task, claimed = _py_spawn(self, errors, create_task, *args, **kwargs)
        if claimed:
            self._note_awaiter(task)
        else:
            _add_external(self, loop, task, errors)
        return task

    def _note_awaiter(self, task):
        """Note that the host awaits *task*, a new member of its group."""
        host = self._host()
        if (self._group is not None and host is not None
                and task in self._member_set):
            futures.future_add_to_awaited_by(task, host)

    # For the root group.

    def _register_root(self, loop):
        """Become a root for the tasks of *loop*."""
        self._state = _ACTIVE
        self._loop = loop
        self._origin = 'entered by asyncio.run()'
        _roots.setdefault(id(loop), []).append(weakref.ref(self))

    def _is_root(self):
        return any(reference() is self
                   for reference in _roots.get(id(self._loop), ()))

    def _unregister_root(self):
        """Unregister this root and detach what is below it."""
        if self._is_root():
            key = id(self._loop)
            _roots[key] = [reference for reference in _roots[key]
                           if reference() is not self]
            if not _roots[key]:
                del _roots[key]
            self._state = _EXITED
            self._loop = self._group_ref = None
            _update(*self._detach())

    def _disable_shields(self):
        """Clear all shields below this root."""
        nodes = [self]
        for node in nodes:
            node._shield = False
            nodes += node._get_children()
        _update(*nodes)


def _is_in_py_task():
    """Return true if the current task is a _PyTask."""
    return isinstance(_current_task(), tasks._PyTask)


def _current_py_task():
    """Return the current task, which must be a _PyTask."""
    task = _current_task()
    if not isinstance(task, tasks._PyTask):
        _refuse_host()
    if task._own_scope is None:
        raise RuntimeError('The current task has not been initialized')
    return task


def _refuse_host():
    """Raise RuntimeError: the current task cannot enter a CancelScope."""
    task = _current_task()
    if task is None:
        raise RuntimeError(
            'A CancelScope must be entered inside a task; start one with '
            'asyncio.run() or asyncio.create_task()')
    raise RuntimeError(
        f'A CancelScope cannot be entered in a task of the external type '
        f'{type(task).__name__}, only in an asyncio.Task')


def _check_calling_loop(loop):
    if events._get_running_loop() is not loop and loop.is_running():
        raise RuntimeError(
            'Non-thread-safe operation: a CancelScope was changed from '
            'another thread; use loop.call_soon_threadsafe()')


def _can_have_scopes(task):
    return isinstance(task, (tasks.Task, tasks._PyTask))


def _shielded():
    """Return a scope in which the cleanup of the library itself may wait.

    An external task cannot have one; it is cancelled once only, so it does not
    need one either.
    """
    if _can_have_scopes(_current_task()):
        return _make_scope(shield=True)
    return contextlib.nullcontext()


def _shielded_if_cancelled():
    """Like _shielded(), but only if the code is cancelled already.

    Else a cancellation ends the wait.
    """
    task = _current_task()
    if not _can_have_scopes(task):
        return contextlib.nullcontext()
    is_cancelled = current_effective_deadline() <= task.get_loop().time()
    return _make_scope(shield=is_cancelled)


def _scope_repr(state, requested, caught, deadline, delay, shield, loop):
    info = [state]
    if caught:
        info.append('cancelled and caught')
    elif requested:
        info.append('cancelled')
    if delay is not None:
        info.append(f'deadline {delay:.6g} s after entry')
    elif deadline is not None:
        if loop is None:
            info.append(f'deadline at {deadline:.6g}')
        else:
            left = deadline - loop.time()
            info.append(f'deadline in {left:.6g} s' if left > 0
                        else f'deadline {-left:.6g} s ago')
    if shield:
        info.append('shielded')
    return f'<CancelScope {", ".join(info)}>'


def _py_cancel_requests(task):
    """Return the number of requests through cancel() that are in force."""
    return task._num_cancels_requested


def _py_is_cancelled(task):
    """Return true if *task* is cancelled as a whole."""
    return (isinstance(task, tasks._PyTask)
            and task._own_scope._canceller is not None)


def _py_was_interrupted(task):
    """Return true if a cancellation from outside of *task* has interrupted it.

    Whether the coroutine let the CancelledError pass does not matter, nor does
    whether *task* is done.
    """
    return isinstance(task, tasks._PyTask) and task._own_scope._interrupted


def _py_move_on_after(delay, *, shield=False):
    """Return a CancelScope that cancels itself *delay* seconds after entry.

    The clock starts when the scope is entered.  A *delay* of None means no
    deadline; one that is zero or negative has passed on entry.
    """
    scope = _PyCancelScope(shield=shield)
    scope._delay = _to_deadline(delay, 'delay')
    return scope


def _py_move_on_at(when, *, shield=False):
    """Return a CancelScope that cancels itself at *when*.

    *when* is in seconds on the clock of the event loop, loop.time(), or None
    for no deadline.
    """
    return _PyCancelScope(deadline=when, shield=shield)


def _py_make_scope(deadline=None, shield=False, movable=False):
    """Return a CancelScope of the kind of the current task.

    If it is *movable*, any task may leave it.
    """
    scope = _PyCancelScope(deadline=deadline, shield=shield)
    scope._movable = movable
    return scope


def _py_current_effective_deadline():
    """Return when the code that asks will be cancelled by a deadline.

    That is the earliest deadline among the scopes that surround it, up to the
    first shield: in seconds on the clock of the event loop, inf if there is
    none, -inf if the code is cancelled already.
    """
    node = _current_py_task()._scope
    if node._canceller is not None:
        return -math.inf
    earliest = math.inf
    while node is not None:
        if node._deadline is not None:
            earliest = min(earliest, node._deadline)
        node = None if node._shield else node._parent
    return earliest


def _py_current_scope(task=None):
    """Return the innermost CancelScope that a task has entered, or None.

    The default is the current task.  Scopes of timeouts and task groups count.
    """
    if task is None:
        task = _current_task()
        if not isinstance(task, tasks._PyTask):
            return None
    elif not isinstance(task, tasks._PyTask):
        raise TypeError(
            f'task must be an asyncio.Task, not {type(task).__name__}')
    scope = task._scope
    return None if scope is task._own_scope else scope


def _py_shielding_scope():
    """Return the innermost shielded CancelScope around the running code, or
    None.

    It can be one of another task, which the current one is below.
    """
    task = _current_task()
    if not isinstance(task, tasks._PyTask):
        return None
    node = task._scope
    while node is not None and not node._shield:
        node = node._parent
    return node


def _py_scopes_around(task):
    """Describe the scopes around the code of *task*, the innermost first.

    Return a list of (scope, kind, host, origin): the task that has entered the
    scope, or None, and in debug mode where.
    """
    found = []
    node = getattr(task, '_scope', None)
    while isinstance(node, _Node):
        if not node._is_own:
            kind = ('asyncio.run()' if node._is_root()
                    else 'CancelScope' if not node._movable
                    else 'TaskGroup' if node._group is not None
                    else 'timeout()')
            found.append((node, kind, node._host(), node._origin))
        node = node._parent
    return found


def _py_call_soon(loop, callback):
    """Have *loop* call *callback*, without arguments."""
    loop.call_soon(callback)


# The Python versions; where the accelerator is available, it replaces them
# all.
_ACCELERATED = (
    'CancelScope', 'move_on_after', 'move_on_at',
    'current_effective_deadline', 'current_scope', '_make_scope',
    '_shielding_scope', '_spawn_background', '_take_slot',
    '_find_root', '_is_cancelled', '_was_interrupted', '_cancel_requests',
    '_forget_delivery', '_cancel_once', '_adopt_external',
    '_scopes_around', '_call_soon')

CancelScope = _PyCancelScope
move_on_after = _py_move_on_after
move_on_at = _py_move_on_at
current_effective_deadline = _py_current_effective_deadline
current_scope = _py_current_scope
_make_scope = _py_make_scope
_shielding_scope = _py_shielding_scope
_spawn_background = _py_spawn_background
_take_slot = _py_take_slot
_find_root = _py_find_root
_is_cancelled = _py_is_cancelled
_was_interrupted = _py_was_interrupted
_cancel_requests = _py_cancel_requests
_forget_delivery = _py_forget_delivery
_cancel_once = _py_cancel_once
_adopt_external = _py_adopt_external
_scopes_around = _py_scopes_around
_call_soon = _py_call_soon

try:
    from _asyncio import (
        _make_scope, _shielding_scope, _spawn_background, _take_slot,
        _find_root, _is_cancelled, _was_interrupted, _cancel_requests,
        _forget_delivery, _cancel_once, _adopt_external, _scopes_around,
        _call_soon,
        CancelScope, move_on_after, move_on_at, current_effective_deadline,
        current_scope)
except ImportError:
    pass
else:
    _CCancelScope = CancelScope
