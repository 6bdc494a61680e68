"""What Task.cancel(), cancelling() and uncancel() do to a _PyTask.

A request is made to a scope of the task: to its own scope; or to a shielded
one, if the code that makes it was started in that block.  The latter are kept
in task._shielded_requests, pairs of the scope and the message, latest last.

A request is *in force* in its scope (_host_requested) until uncancel() takes
it back.  It is *pending* (_host_pending) as well until a CancelledError stands
for it: a pending one overrides the result of what the task waits for, and
cancels a task whose coroutine ends.  task._must_cancel tells whether a request
is pending in any scope of the task.

Where a request comes from is told by a context variable: entering a shielded
scope leaves a mark in the context, which timers, callbacks and tasks that are
started in the block inherit.
"""

import contextvars

from . import cancelscopes
from . import tasks


def _cancel_task(task, msg, *, once=None):
    """Make a request.  *once*: interrupt one await only."""
    if once is None:
        once = not tasks._LEVEL_CANCEL
    scope = _find_target(task)
    if scope is not task._own_scope:
        task._shielded_requests += ((scope, msg),)
    else:
        scope._msg = msg
    if not once:
        scope._host_requested = True
        _update_path(task, scope)
    if (task._fut_waiter is not None
            and _is_visible(scope, task._scope)):
        # Unlike a scope, each call asks anew: the waiter may be a Task that
        # caught and ignored the request before.
        if cancelscopes._cancel_waiter(task, msg):
            task._edge_taken = once
            return
        if scope._parent is None:
            scope = task._own_scope  # That has had the block left.
    # The step is scheduled or under way, or a shield holds this back.
    _set_pending(task, scope)
    if scope is task._own_scope:
        task._cancel_message = msg


def _py_cancel_once(task, msg=None):
    """Request what Task.cancel() does without scopes: one CancelledError.

    For the legacy switch edge-scopes.
    """
    if (not tasks._LEVEL_CANCEL or not isinstance(task, tasks._PyTask)
            or type(task).cancel is not tasks._PyTask.cancel):
        cancelscopes._call_cancel(task, msg)
    elif not task.done():
        task._log_traceback = False
        task._num_cancels_requested += 1
        _cancel_task(task, msg, once=True)


def _count_cancels(task):
    return task._num_cancels_requested + sum(1 for _ in _contributions(task))


def _contributions(task):
    """Yield the scopes that count in task.cancelling(), innermost first."""
    node = task._scope
    own = task._own_scope
    while node is not own:
        if node._delivered and not node._uncancelled:
            yield node
        node = node._parent
    # An own scope counts for all that is outside.
    if (own._delivered and not own._uncancelled
            and (own._requested or own._outer_canceller() is not None)):
        yield own


def _uncancel_task(task):
    if task._num_cancels_requested > 0:
        task._num_cancels_requested -= 1
        if not task._num_cancels_requested:
            task._edge_taken = False  # Nothing has to survive a scope.
        if requests := task._shielded_requests:
            scope, _ = requests[-1]
            task._shielded_requests = requests = requests[:-1]
            is_last = all(scope is not other for other, _ in requests)
        else:
            scope = task._own_scope
            is_last = task._num_cancels_requested == 0
        if is_last:
            scope._host_requested = scope._host_pending = False
            _update_pending(task)
            cancelscopes._py_forget_delivery(task, scope)
            _update_path(task, scope)
            if scope is task._own_scope:
                scope._msg = None
    else:
        for node in _contributions(task):
            node._uncancelled = True
            break
    return _count_cancels(task)


def _is_visible(outer, inner):
    """Return true if no shield stands between the scopes *outer* and *inner*.
    """
    while inner is not outer:
        if inner._shield:
            return False
        inner = inner._parent
    return True


def _find_target(task):
    """Return the scope to which the code that is running makes a request."""
    node = own = task._own_scope
    marked = set()  # Of ids: a subclass of CancelScope can redefine equality.
    mark = _shield_mark.get()
    while mark is not None:
        scope = mark.scope
        if scope is not None and scope._shield and scope._host() is task:
            marked.add(id(scope))
        mark = mark.outer
    if marked:
        # The innermost one counts; a shield that was set late has its mark
        # before those of the blocks inside it.
        node = task._scope
        while node is not own and id(node) not in marked:
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
    canceller, _ = top._find_cancellers()
    path = []  # Those which see what *top* does.
    node = task._scope
    while node is not top:
        if (node._host_requested or node._shield
                or cancelscopes._get_scope(node._member_canceller) is node):
            path.clear()
        else:
            path.append(node)
        node = node._parent
    for node in path:
        node._canceller = canceller
    top._canceller = canceller
    if task._scope._canceller is None:
        cancelscopes._forget_cancel_sent(task)


def _hand_up_requests(scope):
    """*scope* is about to be left: requests of Task.cancel() that were made to
    it go on as requests to a scope around it.  Return that one, or None."""
    task = scope._host()
    if task is None:
        return None
    in_force = scope._host_requested or scope._host_pending
    # Of a request for one CancelledError that has been delivered, only the
    # entry in the list remains.
    if not in_force and all(target is not scope
                            for target, _ in task._shielded_requests):
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
    task._shielded_requests = tuple(requests)
    if not in_force:
        return None
    outer._host_requested |= scope._host_requested
    outer._host_pending |= scope._host_pending
    scope._host_requested = scope._host_pending = False
    _update_path(task, scope)
    _update_path(task, outer)
    return outer if outer._host_requested else None


def _find_pending(task):
    """Return the innermost scope with a pending request that the code of
    *task* can see, or None."""
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
    """No request that the code of *task* can see is pending any more."""
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


# The innermost block with a shield in which the code was started, a
# _ShieldMark.
_shield_mark = contextvars.ContextVar('asyncio shield', default=None)


class _ShieldMark:
    """What the context of code says that was started in a shielded block."""

    __slots__ = ('scope', 'outer', 'token')

    def __init__(self, scope):
        outer = _shield_mark.get()
        # Skip the blocks that have been left, also right above the next one,
        # so that code which goes on and on starting code leaves no chain
        # behind.
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
