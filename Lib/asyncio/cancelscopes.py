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

    node.cause is a scope with a request that reaches the code which runs in
    the node: the node itself, or an ancestor with no shield in between.
    node.tree_cause is one with a request of the first kind, which is what
    reaches the tasks below the node.  Each is None if and only if there is no
    such scope.

A node with a cause is *effectively cancelled*, so the question that each
yield of a task asks, "must I be interrupted?", costs one look at one field.
_update() restores the invariant below a node after each change (a request, a
shield that was moved, a parent that was left), and only then are the tasks
interrupted that are blocked in a node which has just become cancelled.
Nothing that could run foreign code happens while the tree is walked, and no
walk recurses.

The tasks right below a scope are its *members*; the scope keeps them alive.  A
scope can have a group (see groups), which is told what becomes of them.  The
root of
the tree is the scope of the group that a Runner gives its event loop; without a
Runner a task that was spawned into no group has no parent.

Delivery is the task's side; it is explained beside tasks._PyTask and, for the
C tasks, in Modules/_asyncio/, which implements the same tree.  The
classes and functions whose names begin with _Py are the reference
implementation; the C ones replace them where the accelerator is available.
"""

__all__ = (
    'CancelScope',
    'move_on_after',
    'move_on_at',
    'current_effective_deadline',
    'current_scope',
)

import contextlib
import contextvars
import functools
import math
import operator
import threading
import weakref

from . import events
from . import exceptions
from ._cancel_debug import _check_awaited, _check_ended, _find_origin
from . import futures
from . import tasks
from ._cancel_debug import (_check_awaited, _check_ended, _find_origin,
                            _note_shield, _warn_moved)
from .log import logger
from _asyncio_legacy import legacy


# The life of a CancelScope; the values are what repr() shows.
_NEW = 'unentered'
_ACTIVE = 'active'
_LEFT = 'left'
_DESTROYED = 'destroyed'  # Its task was destroyed while it was pending.

# Whether what a task waits for has been asked to give up.
_NOT_ASKED = 0
_ASKING = 1  # It is just being asked.
_ASKING_ITSELF = 2  # And it has asked the task in turn.
_ASKED = 3

# What becomes of the exception that a task ends with.
_PROPAGATE = 'propagate'  # The group that the task belongs to gets it.
_LOG = 'log'              # The exception handler of the loop gets it.
_HAND_ON = None           # It is raised where the task is awaited: "await".

# Task.cancel() interrupts one await, as it did before there were scopes.
_EDGE_CANCEL = 'edge-cancel' in legacy()


class _Node:
    """What all scopes share: their place in the tree and their cause."""

    # _requested: the cancel of this scope was requested.  (For a task's own
    # scope: a cancelled scope that it was below has been left.)
    #
    # _host_requested: a Task.cancel() of the host is in force here, in a task's
    # own scope or a shielded one.  _host_pending: no CancelledError stands for
    # it yet.
    #
    # _delivered: the cancellation that begins here has reached the coroutine
    # of the host at least once.  (For a task's own scope: the one that comes
    # from outside the task.)  _lifted: uncancel() has discounted that.
    # _interrupted: the cancellation that begins here has interrupted a task.
    # (An own scope: its task was interrupted while it was cancelled from
    # outside.)

    __slots__ = ('_parent', '_children', '_cause', '_tree_cause', '_host',
                 '_msg', '_requested', '_host_requested', '_host_pending',
                 '_shield', '_delivered', '_lifted', '_interrupted')

    def __init__(self):
        self._parent = None
        self._children = {}  # An ordered set: siblings in order of entry.
        self._cause = None
        self._tree_cause = None
        self._host = _no_host
        self._msg = None
        self._requested = False
        self._host_requested = False
        self._host_pending = False
        self._shield = False
        self._delivered = False
        self._lifted = False
        self._interrupted = False

    def _attach(self, parent, host):
        self._parent = parent
        self._host = host
        if parent is not None:
            parent._children[self] = None
        self._cause, self._tree_cause = self._find_causes()

    def _detach(self, heir):
        """Take this node out of the tree; what is below it moves up to *heir*.

        That is one of its ancestors, or None; tasks move up to the next
        CancelScope.  Return the nodes that moved, for _update().
        """
        _hand_up_requests(self)
        moved = list(self._children)
        self._children.clear()
        if self._parent is not None:
            del self._parent._children[self]
        owner = heir
        while isinstance(owner, _TaskScope):
            owner = owner._parent
        for child in moved:
            if isinstance(child, _TaskScope):
                _change_parent(child, owner)
                _change_group(child, self, owner)
            else:
                _change_parent(child, heir)
        self._parent = None
        self._cause = None
        self._tree_cause = None
        self._host = _no_host
        return moved

    def _find_causes(self):
        """Return what _cause and _tree_cause have to be."""
        if self._requested:
            return self, self
        cause = self if self._host_requested else self._outer_cause()
        if self._shield or self._parent is None:
            return cause, None
        return cause, self._parent._tree_cause

    def _outer_cause(self):
        """The outside cancellation that is visible through this scope."""
        parent = self._parent
        if self._shield or parent is None:
            return None
        # What Task.cancel() asks of another task stays with that task.
        return (parent._cause if parent._host is self._host
                else parent._tree_cause)


class _TaskScope(_Node):
    """The own scope of a _PyTask."""

    __slots__ = ()


def _change_parent(node, parent):
    """Put *node*, which is in no scope's children any more, below *parent*."""
    node._parent = parent
    if parent is not None:
        parent._children[node] = None


def _change_group(own, old, new):
    """The parent of the own scope of a task changes from *old* to *new*."""
    task = own._host()
    if isinstance(old, _ScopeNode):
        old._members.discard(task)
    if isinstance(new, _ScopeNode) and task is not None:
        new._members.add(task)


def _no_host():
    """Stand in for the weak reference to a host that is not, or no more."""
    return None


def _update(*tops):
    """Restore the invariant below *tops*; interrupt whom that cancels."""
    _interrupt_all(_mark(*tops))


def _mark(*tops):
    """Restore the invariant below *tops*; return whose scope it cancelled."""
    hosts = []
    todo = list(reversed(tops))
    while todo:
        node = todo.pop()
        cause, tree_cause = node._find_causes()
        if cause is node._cause and tree_cause is node._tree_cause:
            continue
        host = node._host()
        if node._tree_cause is None and tree_cause is not None:
            # A task that overrides cancel() is told by a call of that; and a
            # group, to tell the tasks that are not in the tree.
            if (_overrides_cancel(host) if isinstance(node, _TaskScope)
                    else isinstance(node, _ScopeNode) and node._watched):
                hosts.append(node)
        if host is not None and host._scope is node:
            if cause is None:
                _forget_asked(host)
            elif node._cause is None:
                hosts.append(host)
        node._cause, node._tree_cause = cause, tree_cause
        # (Without a GIL it is not safe to go backwards through a dict that
        # another thread may change.)
        todo += list(node._children)[::-1]
    return hosts


def _overrides_cancel(task):
    return task is not None and type(task).cancel is not tasks._PyTask.cancel


def _interrupt_all(hosts):
    """Interrupt every task of *hosts*; then raise an error, if there was one.

    The group of a scope among them cancels the tasks that are not in the tree;
    the host of an own scope among them overrides cancel().
    """
    _call_for_all(_interrupt_host, hosts)


def _interrupt_host(host):
    if not isinstance(host, _Node):
        _interrupt(host)
    elif (cause := host._tree_cause) is None:
        pass  # The request has been taken back meanwhile.
    elif isinstance(host, _TaskScope):
        if (task := host._host()) is not None and not task.done():
            _call_cancel(task, _get_scope_msg(cause))
    elif host._group is not None:
        if isinstance(cause, _ScopeNode):
            cause._interrupted = True
        _tell_group(host._group, '_cancel_foreign', _get_scope_msg(cause))


def _call_cancel(task, msg):
    """Call task.cancel(), which can be one that takes no message."""
    if msg is None:
        task.cancel()
    else:
        task.cancel(msg=msg)


def _call_for_all(function, items):
    """Call *function* for every item; then raise an error, if there was one."""
    error = None
    for item in items:
        try:
            function(item)
        except BaseException as exc:
            if error is None or _rank(exc) > _rank(error):
                error = exc
    if error is not None:
        try:
            raise error
        finally:
            error = None


def _rank(exc):
    """Of several errors an interrupt counts, then what is no Exception, then
    the first one."""
    return 2 if _is_interrupt(exc) else 0 if isinstance(exc, Exception) else 1


def _is_interrupt(exc):
    """Tell if *exc* must not be lost: it is what ends a loop."""
    return isinstance(exc, (KeyboardInterrupt, SystemExit))


def _do_all(*steps):
    """Take every step; then raise an error, if there was one."""
    _call_for_all(operator.call, steps)


# The three places in which a task meets the tree.  Twins: Modules/_asyncio.

def _interrupt(task):
    """Ask what *task* is blocked on, if anything, to give up: once a yield."""
    waiter = task._fut_waiter
    if waiter is None or task._asked:
        return
    scope = task._scope._cause
    if (cause := scope) is None and (scope := _find_pending(task)) is None:
        return
    msg = _get_msg(task, scope, pending=cause is None)
    if task._delivered is not None and cause is not None:  # In debug mode.
        _check_waiter(task)
        if task._fut_waiter is not waiter or task._asked:
            return
    if _cancel_waiter(task, msg):
        _note_interruption(task)
        if cause is None or not _EDGE_CANCEL:
            # It stands for the requests made through Task.cancel() as well.
            _clear_pending(task)


def _cancel_waiter(task, msg):
    if task._asked in (_ASKING, _ASKING_ITSELF):
        task._asked = _ASKING_ITSELF
        return True
    waiter = task._fut_waiter
    task._asked = _ASKING
    try:
        taken = waiter.cancel(msg=msg)
    finally:
        itself = task._asked == _ASKING_ITSELF
        if task._fut_waiter is waiter:
            task._asked = _ASKED
    if itself and task._fut_waiter is waiter:
        taken = _stop_waiting(task, waiter, msg) or taken
    return taken


def _stop_waiting(task, waiter, msg):
    """Let *task* go on with CancelledError; return false if *waiter* is done.

    It waits for itself, perhaps through other tasks, so nothing else will end
    that.
    """
    if not waiter.remove_done_callback(task._Task__wakeup):
        return False
    futures.future_discard_from_awaited_by(waiter, task)
    waiter.add_done_callback(_forget_cancellation)
    if task._fut_waiter is not waiter:
        return True  # What was called here has let it go on already.
    task._fut_waiter = None
    exc = (exceptions.CancelledError() if msg is None
           else exceptions.CancelledError(msg))
    task._loop.call_soon(task._Task__step, exc, context=task._context)
    return True


def _forget_cancellation(future):
    """Nothing waits for *future* any more: that is no reason to log that
    gather() was cancelled, which it says with an exception."""
    if isinstance(getattr(future, '_exception', None),
                  exceptions.CancelledError):
        future.exception()


def _forget_asked(task):
    """The code of *task* is not cancelled any more: if it is again, what the
    task waits for is asked again.  (But not by what happens as it is asked.)"""
    if task._asked == _ASKED:
        task._asked = _NOT_ASKED


def _exception_for_step(task, exc):
    """Return what *task* is to get in place of *exc* at its next step.

    It is about to run in a cancelled scope, or Task.cancel() has not been
    honoured yet.  The outcome of a Future that it waited
    for is kept, for there is always a next yield; but a request made through
    Task.cancel() after the Future was done overrides it, because that is what
    stock asyncio does and programs that pair cancel() with uncancel() around a
    timer count on it.
    """
    pending = _find_pending(task)
    if not task._started and (pending is None or not _EDGE_CANCEL):
        return exc
    cause = task._scope._cause
    if not isinstance(exc, exceptions.CancelledError):
        bare_yield = task._fut_waiter is None and exc is None
        if pending is None and (cause is None or not bare_yield):
            return exc
        msg = _get_msg(task, pending or cause, pending=pending is not None)
        exc = (exceptions.CancelledError() if msg is None
               else exceptions.CancelledError(msg))
    # By edge, the request has to survive the scope, whose error this is.  (By
    # level, the scope that it was made to does.)
    if _EDGE_CANCEL and cause is not None:
        if task._edge_taken:
            _set_pending(task, _find_shield(task, task._scope))
    elif pending is not None:
        _clear_pending(task)
    if cause is not None:
        _note_delivery(task, cause)
        _note_interruption(task)
        if task._source_traceback is not None:  # Made in debug mode.
            _check_swallowed(task, exc, cause)
    return exc


def _get_msg(task, scope, *, pending):
    """Return the message of the request that was made to *scope*; of one that is
    *pending*, or that cancels the code of *task*."""
    if pending or not scope._requested:
        if pending and scope is task._own_scope:
            return task._cancel_message  # Where stock asyncio has it.
        for other, msg in reversed(task._shielded_requests):
            if other is scope:
                return msg
    return _get_scope_msg(scope)


def _get_scope_msg(scope):
    if (scope._msg is None and isinstance(scope, _ScopeNode)
            and scope._expired and not scope._movable):
        # (A timeout says it with its TimeoutError.)
        return 'deadline exceeded'
    return scope._msg


def _end(task):
    """*task* is done: tell whom its failure concerns; leave the tree.

    Before its callbacks are scheduled, for some ask who is waiting for it.
    """
    try:
        if task._exception is not None and task._errors is not _HAND_ON:
            _report_failure(task)
    except BaseException as exc:
        _ignore(exc, task._loop, task=task)
    finally:
        _leave_tree(task)


def _leave_tree(task):
    """What the end of *task* means for others is no reason for it to fail."""
    try:
        _finish(task)
    except BaseException as exc:
        _ignore(exc, task._loop, task=task)


def _report_failure(task):
    if task._errors == _LOG:
        _log_failure(task)
        return
    group = _find_group(task._own_scope._parent)
    if group is not None:
        _tell_group(group, '_member_failed', task)


def _find_group(node):
    """Return the group of the nearest scope that has one, *node* or outer."""
    while node is not None:
        if isinstance(node, _ScopeNode) and node._group is not None:
            return node._group
        node = node._parent
    return None


def _log_failure(task):
    """What errors="log" means.  A moment later, outside the task's context."""
    task._loop.call_soon(_log_failure_now, task, task._loop)


def _log_failure_now(task, loop):
    exc = task.exception()
    if _is_interrupt(exc):
        return  # The loop itself has raised it.
    loop.call_exception_handler({
        'message': 'Unhandled exception in a background task',
        'exception': exc,
        'task': task,
    })


def _raise_soon(exc, loop):
    """Let the loop raise an interrupt that came at a bad moment."""
    try:
        loop.call_soon(_raise, exc)
    except (KeyboardInterrupt, SystemExit) as another:
        # It came at this moment, so the first one may not have got there.
        loop.call_soon(_raise, another)


def _raise(exc):
    try:
        raise exc
    finally:
        exc = None  # Needed to break a cycle.


def _ignore(exc, loop, **context):
    """Nobody is there to get *exc*.  A moment later, outside of the task."""
    message = 'Exception ignored in the bookkeeping of a task'
    try:
        if _is_interrupt(exc):
            _raise_soon(exc, loop)
        else:
            loop.call_soon(_report_ignored, loop, {
                'message': message, 'exception': exc, **context})
    except Exception:
        with contextlib.suppress(Exception):
            logger.error(message, exc_info=exc)


def _report_ignored(loop, context):
    # It may be the report of something that has failed.
    with contextlib.suppress(Exception):
        loop.call_exception_handler(context)


def _finish(task, *, destroyed=False):
    """*task* is done or is being destroyed: take it out of the tree."""
    own = task._own_scope
    group = own._parent
    host = None if group is None else group._host()
    if host is not None:
        futures.future_discard_from_awaited_by(task, host)
    moved = []
    steps = []
    ended = []
    left = []
    # As long as all that see what was requested are scopes of the task.
    scope = task._scope
    while scope is not own and scope is not None:
        _hand_up_requests(scope)
        scope = scope._parent
    # When garbage is collected, the coroutine may have been closed before and
    # have left its scopes without finding its task.
    while (scope := task._scope) is not own and scope is not None:
        _hand_up_requests(scope)
        task._scope = scope._parent
        if scope._state is _ACTIVE and not destroyed:
            # It lives on, below what the task was below.
            scope._remove_mark()
            scope._host = _no_host
            scope._delivered = scope._lifted = False
            if scope._group is not None:
                ended.append(functools.partial(_tell_group, scope._group,
                                               '_host_ended'))
        elif scope._state is _ACTIVE:
            scope._state = _DESTROYED
            scope._remove_mark()
            steps.append(scope._disarm)
            if scope._members and scope._group is not None:
                # Another task may wait for members that are moving.
                left.append(scope._group)
            moved += scope._detach(own._parent)
    task._scope = own
    moved += own._detach(own._parent)
    task._delivered = None
    if isinstance(group, _ScopeNode):
        steps.append(lambda: group.dismiss(task))
    if moved:
        steps.append(lambda: _update(*moved))
    steps += [functools.partial(_tell_group, each, '_members_done')
              for each in left]
    _do_all(*steps, *ended)


def _tell_group(group, name, *args):
    """Call a method of *group*, which can be called again after an interrupt."""
    method = getattr(group, name)
    try:
        method(*args)
    except KeyboardInterrupt:
        with contextlib.suppress(BaseException):
            method(*args)
        raise


def _is_visible(outer, inner):
    """Tell if no shield stands between *outer* and the scope *inner*."""
    while inner is not outer:
        if inner._shield:
            return False
        inner = inner._parent
    return True


# task._delivered is None or a tuple: the CancelledError that is to end the
# task's block, None once it has been reported that it did not; the scope that
# it is from; where that was entered.

def _check_swallowed(task, exc, cause):
    """Keep *exc*, which is thrown into *task*, in order to see it end.

    If the one before has ended, it ended too early: report that.
    """
    if task._delivered is None:
        origin = (cause._host() if isinstance(cause, _TaskScope)
                  else cause._origin)
        task._delivered = exc, cause, origin
        before = None
    else:
        before, cause, origin = task._delivered
        if before is None:
            return  # It has been reported.
    try:
        reported = _check_ended(task, before, origin)
    except BaseException as failure:
        reported = before is not None  # As well as it can be.
        _ignore(failure, task._loop)
    if reported and task._delivered is not None:
        task._delivered = None, cause, None


def _check_waiter(task):
    """What *task* waits for is about to be asked to give up: report that if
    that is hardly what the program wants."""
    exc, _, _ = task._delivered
    if exc is not None:
        try:
            _check_awaited(task, exc)
        except BaseException as failure:
            _ignore(failure, task._loop)


def _py_forget_delivery(task, cause=None):
    """What was thrown into *task* has ended rightly, if it is from *cause*."""
    if task._delivered is not None and (
            cause is None or cause is task._delivered[1]):
        task._delivered = None


def _note_delivery(task, cause):
    """The CancelledError that *cause* asked for reaches the coroutine."""
    own = task._own_scope
    if not cause._requested:
        return  # Requests made through cancel() have a count of their own.
    if cause._host() is task:
        cause._delivered = True
    else:
        own._delivered = True


def _note_interruption(task):
    """The coroutine is interrupted, or what it waits for has agreed to end.

    Note it for _was_interrupted(), if a cancellation from outside is a reason,
    and for the scope where that begins.
    """
    own = task._own_scope
    cause = task._scope._cause
    if cause is not None and cause._requested and isinstance(cause, _ScopeNode):
        cause._interrupted = True
    if ((own._requested or own._outer_cause() is not None)
            and _is_visible(own, task._scope)):
        own._interrupted = True


def _contributions(task):
    """Yield the scopes that count in task.cancelling(), innermost first."""
    node = task._scope
    own = task._own_scope
    while node is not own:
        if node._delivered and not node._lifted:
            yield node
        node = node._parent
    # An own scope counts for all that is outside.
    if (own._delivered and not own._lifted
            and (own._requested or own._outer_cause() is not None)):
        yield own


# Task.cancel(), cancelling() and uncancel() of a _PyTask.
#
# A request is made to a scope of the task: to its own scope; or to a shielded
# one, if it comes from code that was started in that block.  The latter are in
# task._shielded_requests, pairs of the scope and the message, latest last.

def _cancel_task(task, msg, *, once=_EDGE_CANCEL):
    """*once*: interrupt one await."""
    scope = _find_target(task)
    if scope is not task._own_scope:
        task._shielded_requests.append((scope, msg))
    elif not scope._requested:
        # (Else the message of the scope that was left counts, which holds
        # longer; that of this request is in task._cancel_message as well.)
        scope._msg = msg
    if not once:
        scope._host_requested = True
        _update_path(task, scope)
    if task._fut_waiter is not None and _is_visible(scope, task._scope):
        # Unlike a scope, each call asks anew: the waiter may be a Task that
        # caught and ignored the request before.
        if _cancel_waiter(task, msg):
            task._edge_taken = once
            return
        if scope._parent is None:
            scope = task._own_scope  # That has had the block left.
    # The step is scheduled or under way, or a shield holds this back.
    _set_pending(task, scope)
    if scope is task._own_scope:
        task._cancel_message = msg


def _cancel_once(task, msg=None):
    """Request what Task.cancel() does without scopes: one CancelledError.

    For the legacy switch edge-scopes.
    """
    kind = next((kind for kind in (tasks._PyTask, tasks.Task)
                 if isinstance(task, kind)), None)
    if _EDGE_CANCEL or kind is None or type(task).cancel is not kind.cancel:
        _call_cancel(task, msg)
    elif kind is not tasks._PyTask:
        _c_cancel_once(task, msg)
    elif not task.done():
        task._log_traceback = False
        task._num_cancels_requested += 1
        _cancel_task(task, msg, once=True)


def _c_cancel_once(task, msg):
    """Replaced by the accelerator's."""


def _count_cancels(task):
    return task._num_cancels_requested + sum(1 for _ in _contributions(task))


def _uncancel_task(task):
    if task._num_cancels_requested > 0:
        task._num_cancels_requested -= 1
        if not task._num_cancels_requested:
            task._edge_taken = False  # Nothing has to survive a scope.
        if requests := task._shielded_requests:
            scope, _ = requests.pop()
            is_last = all(scope is not other for other, _ in requests)
        else:
            scope = task._own_scope
            is_last = task._num_cancels_requested == 0
        if is_last:
            scope._host_requested = scope._host_pending = False
            _update_pending(task)
            _py_forget_delivery(task, scope)
            _update_path(task, scope)
            if scope is task._own_scope and not scope._requested:
                scope._msg = None
    else:
        for node in _contributions(task):
            node._lifted = True
            break
    return _count_cancels(task)


def _find_target(task):
    """Return the scope to which the code that is running makes a request."""
    node = own = task._own_scope
    marked = set()
    mark = _shield_mark.get()
    while mark is not None:
        scope = mark.scope
        if scope is not None and scope._shield and scope._host() is task:
            marked.add(scope)
        mark = mark.outer
    if marked:
        # The innermost one counts; a shield that was set late has its mark
        # before those of the blocks inside it.
        node = task._scope
        while node is not own and node not in marked:
            node = node._parent
    return node


def _find_shield(task, scope):
    """Return the innermost shielded scope of *task*, from *scope* outwards, or
    its own scope."""
    while scope is not task._own_scope and not scope._shield:
        scope = scope._parent
    return scope


def _update_path(task, top):
    """Restore the invariant in *top* and the scopes that *task* has entered
    below it, after a change that concerns no other task."""
    cause, _ = top._find_causes()
    path = []  # Those which see what *top* does.
    node = task._scope
    while node is not top:
        if node._requested or node._host_requested or node._shield:
            path.clear()
        else:
            path.append(node)
        node = node._parent
    for node in path:
        node._cause = cause
    top._cause = cause
    if task._scope._cause is None:
        _forget_asked(task)


def _hand_up_requests(scope):
    """*scope* is about to be left: requests of Task.cancel() that were made to
    it go on as requests to a scope around it.  Return that one, or None."""
    task = scope._host()
    if task is None or scope is task._own_scope:
        return None
    in_force = scope._host_requested or scope._host_pending
    # By edge, one that has been delivered is in the list only.
    if not in_force and not task._shielded_requests:
        return None
    outer = _find_shield(task, scope._parent)
    own = task._own_scope
    requests = []
    for target, msg in task._shielded_requests:
        if target is not scope:
            requests.append((target, msg))
        elif outer is not own:
            requests.append((outer, msg))
        else:
            own._msg = msg
            if scope._host_pending:
                task._cancel_message = msg
    task._shielded_requests = requests
    if not in_force:
        return None
    outer._host_requested |= scope._host_requested
    outer._host_pending |= scope._host_pending
    scope._host_requested = scope._host_pending = False
    _update_path(task, scope)
    _update_path(task, outer)
    return outer if outer._host_requested else None


# Whether a request that was made through Task.cancel() has still to be honoured
# is known of each scope that it can be made to; task._must_cancel tells if that
# is so for any of them.

def _find_pending(task):
    """Return the innermost scope with such a request that the code of *task* can
    see, or None."""
    if not task._must_cancel:
        return None
    own = task._own_scope
    node = task._scope
    while not node._host_pending:
        if node._shield or node is own:
            return None
        node = node._parent
    return node


def _set_pending(task, scope):
    scope._host_pending = task._must_cancel = True


def _clear_pending(task):
    """There is no such request any more that the code of *task* can see."""
    if not task._must_cancel:
        return
    node = task._scope
    while True:
        node._host_pending = False
        if node._shield or node is task._own_scope:
            break
        node = node._parent
    _update_pending(task)


def _update_pending(task):
    task._must_cancel = task._own_scope._host_pending or any(
        scope._host_pending for scope, _ in task._shielded_requests)


class _ShieldMark:
    """What the context of code says that was started in a shielded block."""

    __slots__ = ('scope', 'outer', 'token')

    def __init__(self, scope):
        outer = _shield_mark.get()
        # Skip the blocks that have been left, also right above the next one, so
        # that code which goes on and on starting code leaves no chain behind.
        while outer is not None and outer.scope is None:
            outer = outer.outer
        if outer is not None:
            while outer.outer is not None and outer.outer.scope is None:
                outer.outer = outer.outer.outer
        self.scope = scope
        self.outer = outer
        self.token = _shield_mark.set(self)

    def remove(self):
        """The block has been left, or has lost its shield for good."""
        self.scope = None
        token, self.token = self.token, None
        if _shield_mark.get() is self:
            try:
                _shield_mark.reset(token)
            except ValueError:
                # The block was entered in another context.
                _shield_mark.set(self.outer)


# The innermost block with a shield in which the code was started, a _ShieldMark.
_shield_mark = contextvars.ContextVar('asyncio shield', default=None)


class _Spawning(threading.local):
    """What is known of the task that is being made in this thread.

    This is how the scope of a group, and what is to become of the task's
    errors, pass through any loop and any task factory, in time for an eager
    first step.  The first _PyTask that is made takes them; if it was not that
    one that was asked for, _spawn() puts it right.
    """
    active = False
    scope = None
    errors = _PROPAGATE
    taker = None


_spawning = _Spawning()


def _spawn(scope, errors, create_task, args, kwargs):
    """Call *create_task* for a task below *scope*; return it and its taker.

    Below the root of its loop, if *scope* is None.
    """
    outer = (_spawning.active, _spawning.scope, _spawning.errors,
             _spawning.taker)
    _spawning.active, _spawning.scope = True, scope
    _spawning.errors, _spawning.taker = errors, None
    task = taker = None

    def create():
        nonlocal task
        # A C task is none of ours, but must not be taken for anybody's.
        task = _c_spawn(errors if scope is None else _HAND_ON,
                        create_task, *args, **kwargs)

    def put_right():
        nonlocal taker
        taker = _spawning.taker
        (_spawning.active, _spawning.scope, _spawning.errors,
         _spawning.taker) = outer
        if taker is not None and taker is not task and not taker.done():
            _take_back(taker, task)
            # (Its eager step may have failed: then it is out of the tree.)
            if scope is not None and taker._own_scope._parent is not None:
                _move(taker, _find_root(taker._loop))

    _do_all(create, put_right)
    return task, taker


def _take_back(taker, task):
    """*taker* has taken what was meant for *task*, which is not a C task.

    The factory made a task of its own first, or has failed since.  A foreign
    task that it has returned may be a wrapper of *taker*.
    """
    taker._errors = (_PROPAGATE if task is None
                     or isinstance(task, tasks._PyTask) else _HAND_ON)


def _settle(taker, task, errors):
    """*taker* has asked the accelerator for what was meant for *task*."""
    if taker is not task:
        if not taker.done():
            _take_back(taker, task)
        if isinstance(task, tasks._PyTask):
            task._errors = errors


def _c_spawn(errors, create_task, /, *args, **kwargs):
    """Replaced by the accelerator's, for which see below."""
    return create_task(*args, **kwargs)


def _c_take_errors(task):
    """Replaced by the accelerator's, for which see below."""
    return _PROPAGATE


def _py_spawn_background(errors, create_task, /, *args, **kwargs):
    """Call *create_task*; the task it makes treats its exception as told.

    *errors* is one of "propagate", "log" and None, which means that the caller
    sees to it.
    """
    task, taker = _spawn(None, errors, create_task, args, kwargs)
    if task is not taker and isinstance(task, tasks._PyTask):
        task._errors = errors
    return task


def _spawn_for_caller(loop, coro):
    """Make a task on behalf of the code that is running, which gets what comes
    of it from gather() and its like.

    In a shielded block the task belongs to that block: cleanup has to be able
    to use them although all that is outside has been cancelled.
    """
    scope = _shielding_scope()
    if scope is None or scope._loop is not loop:
        return _spawn_background(_HAND_ON, loop.create_task, coro)
    return scope._spawn(_HAND_ON, loop.create_task, coro)


def _adopt_foreign(loop, task):
    """Let a task that a factory has made be a member of the root, if it has
    no place in the tree itself.  Return it."""
    if not _can_have_scopes(task):
        if _spawning.active:
            errors = _HAND_ON if _spawning.scope else _spawning.errors
            _spawning.active = False
        else:
            errors = _c_take_errors(task)
        root = _find_root(loop)
        if root is not None:
            root._group._add_foreign(task, errors)
        elif errors == _LOG:
            task.add_done_callback(lambda _: _log_foreign(task))
    return task


def _set_retrieved(loop, task):
    """From now on the caller of *loop* retrieves the exception of *task*, so
    that this is not the failure of a background task.

    (The failure of a member of a TaskGroup stays the group's.)
    """
    root = _find_root(loop)
    if root is not None:
        root._group._retrieved = task


def _log_foreign(task):
    if not task.cancelled() and task.exception() is not None:
        _log_failure_now(task, task.get_loop())


def _create_task_below(scope, coro, *, name=None, context=None,
                       eager_start=None, errors='await'):
    """What CancelScope.create_task() does."""
    errors = _check_errors(errors, coro)
    loop = scope._loop
    if loop is None:
        coro.close()
        raise RuntimeError(_NOT_ACTIVE)
    kwargs = {'name': name, 'context': context, 'eager_start': eager_start}
    # (Not every loop and every factory knows them all.)
    kwargs = {key: kwargs[key] for key in kwargs if kwargs[key] is not None}
    task = scope._spawn(errors, loop.create_task, coro, **kwargs)
    if not _can_have_scopes(task):
        _add_external(scope, loop, task, errors)
    return task


def _add_external(scope, loop, task, errors):
    """Keep *task*, which has no place in the tree, for a scope without a group.

    (A group has been given it already.)
    """
    if scope._group is None and not task.done():
        from . import groups
        groups.ExternalTasks(scope, loop)._add_foreign(task, errors)


def _create_task(loop, coro, *, errors, **kwargs):
    """What create_task() does if it is told what becomes of the exception."""
    errors = _check_errors(errors, coro)
    return _spawn_background(errors, loop.create_task, coro, **kwargs)


def _check_errors(errors, coro):
    """Return *errors*, which create_task() was given, as _spawn() takes it."""
    if errors == 'await':
        return _HAND_ON
    if errors not in (_PROPAGATE, _LOG):
        coro.close()
        raise ValueError('errors must be "propagate", "log" or "await", '
                         f'not {errors!r}')
    return errors


def _adopt(task):
    """Give the new _PyTask *task* its own scope."""
    if task._own_scope is not None:
        _finish(task)  # Nothing prevents a second call of __init__().
    group = None
    if _spawning.active:
        group, errors = _spawning.scope, _spawning.errors
        _spawning.active, _spawning.scope = False, None
        taking = True
        _c_take_errors(task)
    else:
        taking = False
        errors = _c_take_errors(task)
    task._errors = errors
    task._edge_taken = False
    task._shielded_requests = []
    task._delivered = None
    if group is None or group._loop is not task._loop:
        group = _find_root(task._loop)
    task._own_scope = task._scope = own = _TaskScope()
    own._attach(group, weakref.ref(task))
    if taking:
        _spawning.taker = task


def _enroll(task):
    """Let *task*, which is ready to run, be a member of its group."""
    _change_group(task._own_scope, None, task._own_scope._parent)


def _move(task, parent):
    """Hang the own scope of *task* below another parent, or none."""
    own = task._own_scope
    before = own._parent
    if before is not None:
        del before._children[own]
    _change_group(own, before, parent)
    _change_parent(own, parent)
    # What came from above does not concern the task any more.
    if own._requested and not own._host_requested:
        own._msg = None
    own._requested = own._delivered = own._lifted = False
    steps = [lambda: _update(own)]
    if isinstance(before, _ScopeNode) and before is not parent:
        host = before._host()
        if host is not None:
            futures.future_discard_from_awaited_by(task, host)
        if before._group is not None and not before._members:
            group = before._group
            steps.append(lambda: _tell_group(group, '_members_done'))
    _do_all(*steps)


# What a subclass of BaseExceptionGroup or BaseException cannot redefine.
_get_members = BaseExceptionGroup.exceptions.__get__
_get_context = BaseException.__context__.__get__
_set_context = BaseException.__context__.__set__
_KEPT = [(attribute.__get__, attribute.__set__) for attribute in (
    BaseException.__traceback__, BaseException.__context__,
    BaseException.__cause__, BaseException.__suppress_context__)]


def _is_cancellation(exc):
    return isinstance(exc, exceptions.CancelledError)


def _without_cancellations(group):
    """Return the exception group *group* without the CancelledErrors in it.

    That is *group* itself if there are none, and None if there is nothing else.
    """
    if type(group).split is not BaseExceptionGroup.split:
        return _split(group)
    return _take_out(group, _is_cancellation, _found_free)


def _split(group):
    """_without_cancellations() for a class that has a split() of its own."""
    if not _find_groups_with(group, _is_cancellation, _found_free)[0]:
        return group
    try:
        pair = group.split(exceptions.CancelledError)
        # It can return anything.
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(f'{type(group).__name__}.split() must return a '
                            f'pair, not {type(pair).__name__}')
        matched, rest = pair
        if rest is not None and not isinstance(rest, BaseException):
            raise TypeError(f'{type(group).__name__}.split() must return '
                            f'exceptions or None, not {type(rest).__name__}')
        return group if matched is None else rest
    except BaseException as exc:
        _chain(exc, group)
        raise
    finally:
        del group
        pair = matched = rest = None


def _take_out(group, is_unwanted, known=()):
    """Return *group* without the exceptions for which *is_unwanted* is true.

    As BaseExceptionGroup.split() does, but groups without such exceptions, and
    those in *known*, stay what they are, and nothing recurses.
    """
    found, groups = _find_groups_with(group, is_unwanted, known)
    if not found:
        return group
    remaining = {}  # What is left of each of the groups.
    try:
        for each in groups:
            members = []
            for member in _get_members(each):
                member = remaining.get(id(member), member)
                if member is not None and not is_unwanted(member):
                    members.append(member)
            remaining[id(each)] = _derive(each, members) if members else None
        return remaining[id(group)]
    except BaseException as exc:
        _chain(exc, group)
        raise
    finally:
        # Exceptions refer to this frame.
        del group, remaining
        found = groups = each = members = member = None


def _find_groups_with(group, is_unwanted, known):
    """Look for exceptions for which *is_unwanted* is true in *group*.

    Return whether there are any, and a list of the groups that they are in, at
    any depth, inner ones first.  Groups in *known* are known to have none.
    """
    seen = set()
    found = {}
    todo = [group]
    while todo:
        each = todo[-1]
        if id(each) not in seen:
            seen.add(id(each))
            if each not in known:
                todo += [member for member in _get_members(each)
                         if isinstance(member, BaseExceptionGroup)
                         and not is_unwanted(member) and id(member) not in seen]
            continue
        todo.pop()
        if id(each) not in found and each not in known and any(
                id(member) in found or is_unwanted(member)
                for member in _get_members(each)):
            found[id(each)] = each
    return bool(found), list(found.values())


def _derive(group, members):
    """Return a group like *group* with other members."""
    derived = group.derive(members)
    if not isinstance(derived, BaseExceptionGroup):
        raise TypeError(f'{type(group).__name__}.derive() must return a group, '
                        f'not {type(derived).__name__}')
    for get, set in _KEPT:
        set(derived, get(group))
    notes = getattr(group, '__notes__', None)
    if isinstance(notes, (list, tuple)):
        derived.__notes__ = list(notes)
    return derived


def _chain(exc, group):
    """Let *exc*, because of which *group* is not raised, tell of it."""
    seen = {id(group)}
    last = group
    while (last := _get_context(last)) is not None and id(last) not in seen:
        seen.add(id(last))
    while id(exc) not in seen:
        seen.add(id(exc))
        context = _get_context(exc)
        if context is None:
            _set_context(exc, group)
            break
        exc = context


class _FoundFree:
    """The groups of errors that have been found free of cancellations.

    An error that goes through many groups of tasks becomes a part of a larger
    group of errors in each, which must not be searched as a whole each time.
    Nothing can be remembered with an exception, or refer to it weakly.  But
    what is a local variable where the exception is raised lives as long as its
    traceback, which nothing else has.
    """

    class _Witness:
        __slots__ = 'members', '__weakref__'

    def __init__(self):
        self._witnesses = {}  # Weak references, by the id of the group.

    def add(self, group):
        """Return an object; *group* is known as long as that exists."""
        key = id(group)
        witness = self._Witness()
        # By identity: a group's members cannot be exchanged.
        witness.members = id(_get_members(group))
        self._witnesses[key] = weakref.ref(
            witness, functools.partial(self._forget, key))
        return witness

    def _forget(self, key, reference):
        if self._witnesses.get(key) is reference:
            del self._witnesses[key]

    def __contains__(self, group):
        reference = self._witnesses.get(id(group))
        witness = None if reference is None else reference()
        return (witness is not None
                and witness.members == id(_get_members(group)))


_found_free = _FoundFree()


def _find_free(group):
    """If *group* is free of cancellations, remember that.

    As long as what is returned exists: it is for a local variable of the
    function that raises *group*.
    """
    if _find_groups_with(group, _is_cancellation, _found_free)[0]:
        return None
    return _found_free.add(group)


# The scope of the root group of each loop that has one: {id: weak reference}.
# Not a WeakSet, for other threads plant and uproot theirs.
_roots = {}


def _find_root(loop):
    for reference in list(_roots.values()):
        node = reference()
        if node is not None and node._loop is loop:
            return node
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


def _tell_requested(nodes):
    """The cancellation of *nodes*, from inside out, has been requested."""
    _do_all(*(node._disarm for node in nodes),
            # All below a scope that is cancelled already know.
            lambda: _update(*(node for node in nodes
                              if node._state is _ACTIVE
                              and node._tree_cause is None)))


_NOT_ACTIVE = ('This CancelScope is not active; it takes tasks inside its '
               '"with" block only')


def _cancel_timer(timer, loop):
    try:
        timer.cancel()
    except Exception as exc:
        # Nothing depends on it: see _ScopeNode._on_deadline().
        _ignore(exc, loop, handle=timer)


class _ScopeNode(_Node):
    """The node of a _PyCancelScope, and all that can be done with it."""

    __slots__ = ('_state', '_deadline', '_delay', '_timer', '_loop',
                 '_expired', '_caught', '_group_ref', '_members', '_watched',
                 '_origin', '_mark', '_scope', '_movable', '_moved',
                 '__weakref__')

    def __init__(self):
        super().__init__()
        self._state = _NEW
        self._scope = None  # A weak reference to the CancelScope.
        self._deadline = None
        self._delay = None  # The deadline, counted from entry.
        self._timer = None
        self._loop = None
        self._expired = False  # The deadline asked first.
        self._caught = False
        self._group = None
        self._members = set()
        self._watched = False  # The group wants to know of a cancellation.
        self._origin = None  # Where it was entered, in debug mode.
        self._mark = None  # A _ShieldMark, if the block is shielded.
        # Of a timeout or a group: any task may leave it.
        self._movable = False
        # It has been moved to the task that leaves it, which is to be reported.
        self._moved = False

    @property
    def _group(self):
        """The group, which is told what becomes of the members, or None."""
        group = self._group_ref
        return group() if isinstance(group, weakref.ref) else group

    @_group.setter
    def _group(self, group):
        self._group_ref = group

    def weaken_group(self):
        """From now on the scope does not keep its group alive."""
        if self._group is not None:
            self._group_ref = weakref.ref(self._group)

    def enter(self):
        if self._state is not _NEW:
            raise RuntimeError(
                'This CancelScope has already been entered; '
                'make a new one for each "with" block')
        task = _current_py_task()
        self._loop = loop = task._loop
        self._state = _ACTIVE
        if task._source_traceback is not None:
            self._origin = _find_origin()
        self._attach(task._scope, weakref.ref(task))
        task._scope = self
        if self._shield:
            self._mark = _ShieldMark(self)
        try:
            self._arm()
        except BaseException as exc:
            try:
                if self._state is _ACTIVE:
                    self._leave()
            except BaseException as other:
                if _rank(other) > _rank(exc):
                    raise
            finally:
                self._state = _NEW
            raise

    def exit(self, exc):
        if id(self) in _roots:
            raise RuntimeError('Nobody can leave a root')
        is_group = self._group is not None
        task = self._prepare_exit(exc)
        problem = self._wrong_exit(exc) if task is None else None
        if problem is not None:
            if self._state is _ACTIVE:
                self._leave()
            if not problem:
                return False
            raise RuntimeError(problem)
        try:
            result = self._exit(task, exc)
        except BaseException:
            if self._moved:
                with contextlib.suppress(Exception):
                    _warn_moved(is_group, self._origin)
            raise
        if self._moved:
            _warn_moved(is_group, self._origin)
        return result

    def _exit(self, task, exc):
        """Leave the scope, which is the current one of *task*.

        Or *task* is false, where a scope that may be left anywhere is left
        outside the tasks of its tree.
        """
        outer = self._outer_cause()
        if self._interrupted and isinstance(outer, _ScopeNode):
            # What the scope has interrupted is the outer one's as well.
            outer._interrupted = True
        outer = _hand_up_requests(self) or outer
        delivered = self._delivered
        if task:
            _py_forget_delivery(task, self)
        self._leave()
        if outer is not None:
            # The error, if there is one, is the outer scope's from here on.
            if (delivered and task
                    and (cause := task._scope._cause) is not None):
                _note_delivery(task, cause)
            return False
        if not self._requested:
            return False
        if isinstance(exc, exceptions.CancelledError):
            self._caught = True
            return True
        if isinstance(exc, BaseExceptionGroup):
            return self._filter(exc)
        return False

    def _filter(self, group):
        """Take the cancellations out of *group* and raise the rest."""
        rest = _without_cancellations(group)
        if rest is group:
            return False
        self._caught = True
        if rest is None:
            return True
        context = _get_context(rest)
        try:
            raise rest
        finally:
            # Raised while *group* is being handled, but not caused by it.
            _set_context(rest, context)
            del group, rest, context

    def _prepare_exit(self, exc):
        """Return the task whose current scope this is, once it has been moved.

        False if it may be left all the same, None if not.
        """
        if self._state is not _ACTIVE:
            return None
        task = _current_task()
        host = self._host()
        if task is not None and host is task and task._scope is self:
            return task
        if not self._movable and (task is None or host is not task):
            return None
        if isinstance(exc, GeneratorExit) and self._is_being_closed():
            return None
        if self._move_here(task):
            return task
        return False if self._movable and task is not None and (
            host is not task) else None

    def _is_being_closed(self):
        """Tell if the coroutine of the host, which is not done, is closed."""
        host = self._host()
        if host is None:
            # If it has ended, the scope has no reference to it any more.
            return self._host is not _no_host
        return host is not _current_task() and _is_closing(host)

    def _can_move_to(self, task):
        """Tell if the scope may be left in *task*, whose current one it is not.

        If it is another task's, the scopes of timeouts and groups may, except
        in what is below them; else, if only such are inside.
        """
        if (not isinstance(task, tasks._PyTask) or task._own_scope is None
                or task.done() or self._state is not _ACTIVE or id(self) in _roots
                or self._loop is not task._loop):
            return False
        other = task._scope
        if self._host() is task:
            while other is not self:
                if not other._movable:
                    return False
                other = other._parent
            return True
        while other is not None and other is not self:
            other = other._parent
        return self._movable and other is None

    def move_here(self):
        """Make the current task the host, which is about to leave the scope.

        Return whether it has been moved.
        """
        return not self._is_being_closed() and self._move_here(_current_task())

    def _move_here(self, task):
        host = self._host()
        if ((host is task and task is not None and task._scope is self)
                or not self._can_move_to(task)):
            return False
        moved = [self]
        _hand_up_requests(self)
        if host is not task:
            self._remove_mark()
            self._delivered = self._lifted = False
            self._moved = task._source_traceback is not None
        if host is not None:
            if host._scope is self:
                host._scope = self._parent
            else:
                # What is inside the scope in that task moves up.
                inner = host._scope
                while inner._parent is not self:
                    inner = inner._parent
                del self._children[inner]
                _change_parent(inner, self._parent)
                moved.append(inner)
        if self._parent is not None:
            del self._parent._children[self]
        _change_parent(self, task._scope)
        self._host = weakref.ref(task)
        task._scope = self
        steps = [lambda: _update(*moved)]
        if host is not None and host is not task:
            _py_forget_delivery(host, self)
            # It may be blocked in the scope around this one now.
            steps.append(lambda: _interrupt(host))
        _do_all(*steps)
        return True

    def _wrong_exit(self, exc):
        """Return what is wrong with leaving the scope now, or None.

        It is nobody's fault, '', if the coroutine is just being closed.
        """
        if self._state is _NEW:
            return 'This CancelScope has not been entered'
        if self._state is _LEFT:
            return 'This CancelScope has already been left'
        if self._state is _DESTROYED:
            return ''
        task = _current_task()
        host = self._host()
        if task is None or host is not task:
            if (isinstance(exc, GeneratorExit) and self._state is _ACTIVE
                    and self._is_being_closed()):
                return ''
            return ('This CancelScope was entered in another task; leave a '
                    'scope in the task that entered it (an asynchronous '
                    'generator that yields inside a scope can break this)')
        if task._scope is not self:
            return ('This CancelScope is left while a scope inside it is '
                    'still open; leave scopes in the reverse order of '
                    'their entry')
        return None

    def _leave(self):
        parent = self._parent
        task = self._host()
        # Only while this is among the scopes of the task: a wrong exit, or the
        # end of a scope that was dropped, has not done so.
        _hand_up_requests(self)
        # Only a wrong exit finds another scope than this one on top.
        if task is not None and task._scope is self:
            task._scope = parent
        self._state = _LEFT
        group = self._group if self._members else None
        if self._requested:
            for child in self._children:
                if isinstance(child, _TaskScope):
                    child._requested = True
                    if child._msg is None:
                        child._msg = _get_scope_msg(self)
        moved = self._detach(parent)
        self._remove_mark()
        steps = []
        if self._timer is not None:
            timer, self._timer = self._timer, None
            steps.append(functools.partial(_cancel_timer, timer, self._loop))
        self._loop = self._group = None
        if moved:
            steps.append(lambda: _update(*moved))
        if task is not None:
            steps.append(lambda: _interrupt(task))
        if group is not None:  # It has nobody to wait for any more.
            steps.append(lambda: _tell_group(group, '_members_done'))
        _do_all(*steps)

    def _remove_mark(self):
        mark, self._mark = self._mark, None
        if mark is not None:
            mark.remove()

    def plant(self, loop):
        """Become the root of the tree of *loop*."""
        self._state = _ACTIVE
        self._loop = loop
        self._origin = 'its scope is that of asyncio.run()'
        key = id(self)
        _roots[key] = weakref.ref(self, lambda _: _roots.pop(key, None))

    def uproot(self):
        """Be no root any more, and let go of what is below."""
        if _roots.pop(id(self), None) is not None:
            self._state = _LEFT
            self._loop = self._group = None
            _update(*self._detach(None))

    def disable_shields(self):
        """Clear all shields below this root."""
        nodes = [self]
        for node in nodes:
            node._shield = False
            nodes += node._children
        _update(*nodes)

    def dismiss(self, task):
        """*task*, which was right below, has left the tree."""
        if task in self._members:
            self._members.discard(task)
            if self._group is not None and not self._members:
                _tell_group(self._group, '_members_done')

    def _arm(self):
        loop = self._loop
        if loop is None or (self._delay is None and (
                self._deadline is None or self._requested)):
            return
        now = loop.time()
        # A hostile time() may have done anything to the scope.
        if self._state is not _ACTIVE:
            return
        if self._delay is not None:
            self._deadline = now + self._delay
            self._delay = None
        when = self._deadline
        if when is None:
            return
        if when <= now:
            self._expire(now)
        elif not self._requested and self._timer is None:
            timer = loop.call_at(when, self._on_deadline, when)
            # So may call_at(), such as move the deadline.
            if (self._state is _ACTIVE and not self._requested
                    and self._timer is None and self._deadline == when):
                self._timer = timer
            else:
                _cancel_timer(timer, loop)

    def _disarm(self):
        timer, self._timer = self._timer, None
        if timer is not None:
            _cancel_timer(timer, self._loop)

    def _on_deadline(self, when):
        # (The timer can be one that could not be cancelled.)
        if self._deadline is not None and self._deadline <= when:
            self._timer = None
            self._expire(when)

    def _expire(self, now):
        """The deadline has passed.

        Those of scopes around this one that have passed by *now* as well must
        not come later only because their timers do: it is the outermost one
        that counts.
        """
        if self._requested or self._state not in (_NEW, _ACTIVE):
            return
        nodes = [self]
        node = self._parent
        while node is not None:
            if (isinstance(node, _ScopeNode) and node._timer is not None
                    and node._deadline <= now):
                nodes.append(node)
            node = node._parent
        for node in nodes:
            node._requested = node._expired = True
        _tell_requested(nodes)

    def effectively_cancelled(self):
        # Changes nothing, for it may be asked from any thread.
        if self._cause is not None or self._requested:
            return True
        if self._state is _NEW:
            loop = events._get_running_loop()
        elif self._state is _ACTIVE:
            loop = self._loop
        else:
            loop = None
        now = None
        node = self
        while loop is not None and node is not None:
            # Its timer may be late.
            deadline = getattr(node, '_deadline', None)
            if deadline is not None:
                if now is None:
                    now = loop.time()
                if deadline <= now:
                    return True
            node = None if node._shield else node._parent
        return False

    def _request(self, msg):
        self._requested = True
        self._msg = msg
        _tell_requested([self])

    def cancel(self, msg):
        if self._requested or self._state not in (_NEW, _ACTIVE):
            return
        self._check_thread()
        self._request(msg)

    def _check_thread(self):
        loop = self._loop
        if loop is not None and loop.get_debug():
            _check_calling_loop(loop)

    def cancel_called(self):
        if self._requested:
            return True
        if self._deadline is not None:
            loop = self._loop
            if self._state is _NEW:
                loop = events._get_running_loop()
            if loop is not None:
                now = loop.time()
                if self._deadline <= now:
                    self._expire(now)  # That somebody is told so holds.
        return self._requested

    def set_deadline(self, value):
        deadline = _to_deadline(value)
        self._check_thread()
        self._deadline = deadline
        self._delay = None
        if self._state is _ACTIVE:
            _do_all(self._disarm, self._arm)

    def set_shield(self, value):
        _check_shield(value)
        self._check_thread()
        self._shield = value
        if self._state is _ACTIVE:
            task = self._host()
            if (value and self._mark is None and task is not None
                    and _current_task() is task):
                self._mark = _ShieldMark(self)
            _update(self)
            if task is not None:
                _interrupt(task)  # By edge, no scope has become cancelled.

    def set_delay(self, delay):
        self._delay = _to_deadline(delay, 'delay')

    def spawn(self, errors, create_task, args, kwargs):
        if self._state is not _ACTIVE:
            raise RuntimeError(_NOT_ACTIVE)
        task, taker = _spawn(self, errors, create_task, args, kwargs)
        ours = isinstance(task, tasks._PyTask)
        if ours and task is taker:
            ours = task._loop is self._loop
        elif ours and not task.done():
            ours = self._can_adopt(task)
            if ours:
                task._errors = errors
                _move(task, self)
        if not ours:
            if self._group is not None:
                self._group._add_foreign(task, errors)
        else:
            self._note_awaiter(task)
        return task

    def _note_awaiter(self, task):
        """A task that has become a member of a group is awaited by its host."""
        host = self._host()
        if (self._group is not None and host is not None
                and task in self._members):
            futures.future_add_to_awaited_by(task, host)

    def _can_adopt(self, task):
        """Tell if a task that its factory has not just made may hang here.

        Not if it hangs elsewhere, nor if this scope hangs below it.
        """
        return (self._state is _ACTIVE and task._loop is self._loop
                and task._own_scope._parent is _find_root(task._loop)
                and not self._is_below(task))

    def _is_below(self, task):
        node = self
        while node is not None and node is not task._own_scope:
            node = node._parent
        return node is not None

    def adopt(self, task):
        if self._state is not _ACTIVE:
            raise RuntimeError(_NOT_ACTIVE)
        if not isinstance(task, tasks._PyTask) or task._own_scope is None:
            raise TypeError('adopt() takes an asyncio.Task, '
                            f'not {type(task).__name__}')
        self._check_thread()
        if task.done():
            problem = 'The task is done'
        elif task._loop is not self._loop:
            problem = ('The task belongs to another event loop than this '
                       'CancelScope')
        elif self._is_below(task):
            problem = ('This CancelScope is inside the task, which cannot be '
                       'below it')
        else:
            _move(task, self)
            self._note_awaiter(task)
            return
        raise RuntimeError(problem)

    def __repr__(self):
        return _scope_repr(self._state, self._requested, self._caught,
                           self._deadline, self._delay, self._shield,
                           self._loop)


class _Guard:
    """Goes away with a CancelScope and takes its node out of the tree.

    (A subclass can have a __del__() of its own.)
    """

    __slots__ = ('_node',)

    def __del__(self):
        # Such as when the frame of a coroutine that refused to be closed goes
        # away.  The node must not be in the way of its host.
        if id(self._node) in _roots:
            self._node.uproot()
        elif self._node._state is _ACTIVE:
            self._node._leave()


class _ScopeBase:
    """Gives every CancelScope its node.

    (With __init__() in a derived class, inspect.signature() looks there.)
    """

    # The tree knows the node alone, so that a scope which nobody can leave any
    # more goes away and takes its node out.

    __slots__ = ('_node', '_guard', '__weakref__')

    # The arguments are for __init__(), which a subclass can override.
    def __new__(cls, /, *args, **kwargs):
        self = super().__new__(cls)
        self._node = _ScopeNode()
        self._node._scope = weakref.ref(self)
        self._guard = _Guard()
        self._guard._node = self._node
        return self


class _PyCancelScope(_ScopeBase):
    """A block of code that can be cancelled as one.

    Use it as a plain `with`, inside a task.  Once the scope is cancelled,
    every await in its block that has to wait raises CancelledError, until the
    block is left; there the scope swallows the error.

    deadline -- when the scope cancels itself, in seconds on the clock of the
        event loop, or None.
    shield -- keep cancellation that comes from outside away from the block.

    Modelled on trio.CancelScope.
    """

    __slots__ = ()

    def __init__(self, *, deadline=None, shield=False):
        _check_shield(shield)
        deadline = _to_deadline(deadline)
        node = self._node
        if node._state is not _NEW:
            raise RuntimeError(
                'This CancelScope has already been entered; it cannot be '
                'initialized again')
        node._shield = shield
        node._deadline = deadline
        node._delay = None

    def __reduce__(self):
        raise TypeError(f'cannot pickle {type(self).__name__!r} object')

    def __enter__(self):
        self._node.enter()
        return self

    def __exit__(self, exc_type, exc, tb):
        return self._node.exit(exc)

    def __repr__(self):
        return repr(self._node)

    def cancel(self, msg=None):
        """Cancel the scope: interrupt every await in it from now on.

        *msg* goes into each CancelledError.  Only the first call counts.
        Called before entry it takes effect on entry; after exit it does
        nothing.  Not thread-safe: from another thread, use
        loop.call_soon_threadsafe(scope.cancel).
        """
        self._node.cancel(msg)

    def create_task(self, coro, *, name=None, context=None, eager_start=None,
                    errors='await'):
        """Spawn a task below this scope and return it.

        It is cancelled with the scope, and not waited for: when the scope is
        left, a task that is not done moves up to the scope around it, and stays
        cancelled if the scope was.

        By default its exception is raised where the task is awaited, and logged
        if the task is collected before.  With errors="propagate" the group of
        the nearest enclosing scope that has one gets it, with errors="log" the
        exception handler of the loop.  The other arguments are those of
        loop.create_task().

        Raise RuntimeError, and close the coroutine, if the scope is not active.
        """
        return _create_task_below(self, coro, name=name, context=context,
                                  eager_start=eager_start, errors=errors)

    def adopt(self, task, /):
        """Move *task*, with all that is below it, to below this scope.

        From now on it is cancelled with this scope, and no more with what it
        was below; if it was a member of a group, that does not wait for it any
        more.  Raise RuntimeError, and move nothing, if the scope is not active,
        if the task is done or belongs to another event loop, or if the scope is
        inside the task.
        """
        self._node.adopt(task)

    @property
    def cancel_called(self):
        """True if the scope's cancel was requested or its deadline passed."""
        return self._node.cancel_called()

    @property
    def cancel_message(self):
        """The message of the request that cancelled the scope, or None."""
        return _get_scope_msg(self._node)

    @property
    def deadline_expired(self):
        """True if it was the deadline that cancelled the scope."""
        return self._node._expired

    @property
    def effectively_cancelled(self):
        """True if the scope is cancelled, by itself or from outside.

        That is, if its own cancel was requested or its deadline has passed, or
        if it is not shielded and what surrounds it is effectively cancelled.
        Before entry and after exit only the scope itself counts.  Can be read
        from any thread.
        """
        return self._node.effectively_cancelled()

    @property
    def cancels_tasks(self):
        """True if the tasks below the scope are cancelled.

        Like effectively_cancelled, but what Task.cancel() asks of the task that
        has entered the scope does not count: it concerns that task only.
        """
        return self._node._tree_cause is not None

    @property
    def cancelled_caught(self):
        """True if the scope swallowed the CancelledError that it caused."""
        return self._node._caught

    @property
    def deadline(self):
        """When the scope cancels itself (loop.time() clock), or None."""
        return self._node._deadline

    @deadline.setter
    def deadline(self, value):
        self._node.set_deadline(value)

    @property
    def shield(self):
        """Whether cancellation from outside is kept away from the block."""
        return self._node._shield

    @shield.setter
    def shield(self, value):
        self._node.set_shield(value)

    @property
    def _overruled(self):
        """True if the scope is cancelled from outside, visibly."""
        node = self._node
        return node._host_requested or node._outer_cause() is not None

    @property
    def _has_interrupted(self):
        """True if the cancellation of the scope has interrupted a task."""
        return self._node._interrupted

    # For groups.

    def _set_group(self, group):
        """Tell *group* from now on what becomes of the members."""
        self._node._group = group

    @property
    def _members(self):
        """The number of tasks right below this scope that are not done."""
        return len(self._node._members)

    def _member_tasks(self):
        """Return a list of these tasks."""
        return list(self._node._members)

    @property
    def _group(self):
        """The group of the scope, or None."""
        return self._node._group

    @property
    def _outer_group(self):
        """The group of the nearest scope around this one that has one, or None.
        """
        return _find_group(self._node._parent)

    @property
    def _loop(self):
        """The event loop of the scope while it is active, else None."""
        return self._node._loop

    def _weaken_group(self):
        """From now on the scope does not keep its group alive."""
        self._node.weaken_group()

    def _move_here(self):
        """Make the current task the host of this scope, which it is about to leave.

        That is for the scopes of timeouts and groups, whose block can be
        entered in another task.  Return whether it has been moved.
        """
        return self._node.move_here()

    def _watch(self):
        """Have the group cancel its foreign tasks when this is cancelled.

        If it is, return the message in a tuple.
        """
        self._node._watched = True
        cause = self._node._tree_cause
        return None if cause is None else (_get_scope_msg(cause),)

    def _spawn(self, errors, create_task, /, *args, **kwargs):
        """Call *create_task*; the task it makes hangs below this scope.

        A foreign kind of task cannot; it is given to the group.  For *errors*
        see _spawn_background().
        """
        return self._node.spawn(errors, create_task, args, kwargs)

    def _plant(self, loop):
        self._node.plant(loop)

    def _uproot(self):
        self._node.uproot()

    def _disable_shields(self):
        self._node.disable_shields()


def _is_closing(task):
    """Tell if the coroutine of *task*, which is not current, is running.

    Then it is being closed, by the garbage collector or somebody's close().
    """
    frame = task.get_coro()
    while frame is not None:
        if getattr(frame, 'cr_running', getattr(frame, 'gi_running', False)):
            return True
        frame = getattr(frame, 'cr_await', None)
    return False


def _fill_twin(scope, twin, movable, group, deadline, relative, shield,
               requested, expired, msg):
    """Let *twin*, which stands in for the C *scope*, be what that has been."""
    node = twin._node
    node._scope = weakref.ref(scope)
    node._group = group
    node._movable = movable
    node.set_shield(shield)
    if relative:
        node.set_delay(deadline)
    else:
        node.set_deadline(deadline)
    if requested:
        node.cancel(msg)
        node._expired = expired


def _read_twin(twin):
    """Return what _fill_twin() is given, but for the group."""
    node = twin._node
    relative = node._delay is not None
    return (node._delay if relative else node._deadline, relative,
            node._shield, node._requested, node._expired, node._msg)


def _current_task():
    loop = events._get_running_loop()
    if loop is None:
        return None
    task = tasks._py_current_task(loop)
    # A task that is not a _PyTask is known to the accelerator only.
    return tasks.current_task(loop) if task is None else task


async def _await_shielded(awaitable):
    """Await *awaitable* here; keep cancellation from outside away from it."""
    if not _can_have_scopes(_current_task()):
        # Somebody has to run it when that task is cancelled.
        return await tasks.shield(
            tasks.ensure_future(awaitable, _errors=_HAND_ON))
    with CancelScope(shield=True):
        return await awaitable


def _can_have_scopes(task):
    return isinstance(task, (tasks.Task, tasks._PyTask))


def _shielded():
    """Return a scope in which the clean-up of the library itself may wait.

    A foreign kind of task cannot have one; it is cancelled by edge, so it does
    not need one either.
    """
    if _can_have_scopes(_current_task()):
        return CancelScope(shield=True)
    return contextlib.nullcontext()


def _check_host(task):
    """Refuse a task that cannot have scopes."""
    if task is None:
        raise RuntimeError(
            'A CancelScope must be entered inside a task; start one with '
            'asyncio.run() or asyncio.create_task()')
    if not _can_have_scopes(task):
        raise RuntimeError(
            f'A CancelScope cannot be entered in a task of the foreign type '
            f'{type(task).__name__}, only in an asyncio.Task')


def _current_py_task():
    """Return the current task, which must be a _PyTask."""
    task = _current_task()
    _check_host(task)
    if not isinstance(task, tasks._PyTask):
        raise RuntimeError(
            'A _PyCancelScope can only be used in a _PyTask that has been '
            'initialized; use asyncio.CancelScope')
    if task._own_scope is None:
        raise RuntimeError('The current task has not been initialized')
    return task


def _check_calling_loop(loop):
    if events._get_running_loop() is not loop and loop.is_running():
        raise RuntimeError(
            'Non-thread-safe operation: a CancelScope was changed from '
            'another thread; use loop.call_soon_threadsafe()')


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
    """Tell if *task* is cancelled as a whole."""
    return (isinstance(task, tasks._PyTask)
            and task._own_scope._cause is not None)


def _py_was_interrupted(task):
    """Tell if a cancellation from outside of *task* has interrupted it.

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
    scope._node.set_delay(delay)
    return scope


def _py_move_on_at(when, *, shield=False):
    """Return a CancelScope that cancels itself at *when*.

    *when* is in seconds on the clock of the event loop, loop.time(), or None
    for no deadline.
    """
    return _PyCancelScope(deadline=when, shield=shield)


def _py_current_effective_deadline():
    """Return when the code that asks will be cancelled by a deadline.

    That is the earliest deadline among the scopes that surround it, up to the
    first shield: in seconds on the clock of the event loop, inf if there is
    none, -inf if the code is cancelled already.
    """
    node = _current_py_task()._scope
    if node._cause is not None:
        return -math.inf
    earliest = math.inf
    while node is not None:
        if isinstance(node, _ScopeNode) and node._deadline is not None:
            earliest = min(earliest, node._deadline)
        node = None if node._shield else node._parent
    return earliest


def _py_movable_scope(deadline=None, shield=False, /):
    """Return a CancelScope that any task may leave."""
    scope = _PyCancelScope(deadline=deadline, shield=shield)
    scope._node._movable = True
    return scope


def _py_current_scope(task=None):
    """Return the innermost CancelScope that a task has entered, or None.

    The default is the current task.  Scopes of timeouts and task groups count.
    """
    if task is None:
        task = _current_task()
        if not _can_have_scopes(task):
            return None
    elif not _can_have_scopes(task):
        raise TypeError(
            f'task must be an asyncio.Task, not {type(task).__name__}')
    if not isinstance(task, tasks._PyTask):
        return current_scope(task)
    node = task._scope
    while isinstance(node, _ScopeNode):
        scope = node._scope()
        if scope is not None:
            return scope
        node = node._parent  # It is just being taken out.
    return None


def _py_shielding_scope():
    """Return the innermost shielded CancelScope around the running code, or None.

    It can be one of another task, which the current one is below.
    """
    task = _current_task()
    if not isinstance(task, tasks._PyTask) or task._own_scope is None:
        return None
    node = task._scope
    while node is not None and not node._shield:
        node = node._parent
    return None if node is None else node._scope()


CancelScope = _PyCancelScope
current_scope = _py_current_scope
_shielding_scope = _py_shielding_scope
_movable_scope = _py_movable_scope
move_on_after = _py_move_on_after
move_on_at = _py_move_on_at
current_effective_deadline = _py_current_effective_deadline
_spawn_background = _py_spawn_background
_cancel_requests = _py_cancel_requests
_is_cancelled = _py_is_cancelled
_was_interrupted = _py_was_interrupted
_forget_delivery = _py_forget_delivery


try:
    from _asyncio import (CancelScope, move_on_after, move_on_at,
                          current_effective_deadline, current_scope,
                          _cancel_once as _c_cancel_once, _cancel_requests,
                          _forget_delivery, _is_cancelled,
                          _movable_scope, _shielding_scope, _spawn_background,
                          _take_errors as _c_take_errors, _was_interrupted)
except ImportError:
    pass
else:
    _c_spawn = _spawn_background
    _CCancelScope = CancelScope
    _c_move_on_after = move_on_after
    _c_move_on_at = move_on_at
    _c_current_effective_deadline = current_effective_deadline
    _c_current_scope = current_scope
