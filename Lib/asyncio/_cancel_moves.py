"""Scopes and tasks that move to another place in the tree.

A scope is moved to the task that leaves it, if that is not the task that has
entered it, and a task is moved to the scope that adopts it.
"""

from . import futures
from . import tasks
from ._cancel_debug import _py_forget_delivery
from ._cancel_delivery import (_call_all, _call_external, _interrupt,
                               _return_to)
from ._cancel_requests import _hand_up_requests
from ._cancel_tree import (_ACTIVE, _EXITED, _NEW, _NOT_ACTIVE, _current_task,
                           _mark, _no_host)


def _prepare_exit(scope, task, exc):
    """Prepare to leave *scope*, which is not the current one of *task*.

    Return None if it can be left now, '' if it is to be left silently, else
    what is wrong.
    """
    if scope._state is _NEW:
        return 'This CancelScope has not been entered'
    host = scope._host()
    if scope._state is _EXITED:
        if host is None and isinstance(exc, GeneratorExit):
            return ''  # Collected with its task, before its coroutine.
        return 'This CancelScope has already been left'
    if scope._is_root():
        raise RuntimeError('cannot exit the root cancel scope')
    here = task is not None and host is task
    if isinstance(exc, GeneratorExit) and (
            _is_being_closed(scope)
            or host is None and not (scope._movable and task is not None)):
        return ''
    if host is None and task is None:
        return ''
    if (scope._movable or here) and _move_to(scope, task):
        return None
    if here:
        return ('This CancelScope is left while a scope inside it is '
                'still open; leave scopes in the reverse order of '
                'their entry')
    if scope._movable and task is not None:
        return None
    return ('This CancelScope was entered in another task; leave a '
            'scope in the task that entered it (an asynchronous '
            'generator that yields inside a scope can break this)')


def _is_being_closed(scope):
    """Return true if the coroutine that has entered *scope* is being closed.

    It cannot wait any more, so the scope is not moved.
    """
    host = scope._host()
    if host is None:
        return scope._host is not _no_host  # It has been destroyed.
    return host is not _current_task() and _is_closing(host)


def _can_move_to(scope, task):
    """Return true if *scope* may be left in *task*.

    If it is another task's, the scopes of timeouts and groups may, except
    in what is below them; else, if only such are inside.
    """
    if (not isinstance(task, tasks._PyTask) or task._own_scope is None
            or task.done() or scope._loop is not task._loop):
        return False
    other = task._scope
    if scope._host() is task:
        while other is not scope:
            if not other._movable:
                return False
            other = other._parent
        return True
    while other is not None and other is not scope:
        other = other._parent
    return scope._movable and other is None


def _move_to(scope, task):
    """Make *task*, which is about to leave *scope*, the host of that.

    Return whether it has been moved.
    """
    host = scope._host()
    if ((host is not None and host is task and task._scope is scope)
            or not _can_move_to(scope, task)):
        return False
    moved = [scope]
    _hand_up_requests(scope)
    if host is not task:
        scope._remove_mark()
        scope._delivered = scope._uncancelled = False
        scope._moved = task._source_traceback is not None
    if host is not None:
        if host._scope is scope:
            _return_to(host, scope._parent)
        else:
            # What is inside the scope in that task moves up.
            inner = host._scope
            while inner._parent is not scope:
                inner = inner._parent
            del scope._children[id(inner)]
            inner._attach(scope._parent)
            moved.append(inner)
    if scope._parent is not None:
        scope._parent._children.pop(id(scope), None)
    scope._attach(task._scope)
    scope._host = task._own_scope._host
    task._scope = scope
    calls = _mark(moved)
    if host is not None and host is not task:
        _py_forget_delivery(host, scope)
        # It may be blocked in the scope around this one now.
        calls.append((_interrupt, host))
    _call_all(calls)
    return True


def _is_closing(task):
    """Return true if the coroutine of *task*, which is not current, is
    running.

    Then it is being closed, by the garbage collector or by a call of close().
    """
    awaiting = task.get_coro()
    while awaiting is not None:
        if getattr(awaiting, 'cr_running',
                   getattr(awaiting, 'gi_running', False)):
            return True
        awaiting = getattr(awaiting, 'cr_await', None)
    return False


def _adopt(scope, task):
    """What CancelScope.adopt() does."""
    if scope._state is not _ACTIVE:
        raise RuntimeError(_NOT_ACTIVE)
    if not isinstance(task, tasks._PyTask) or task._own_scope is None:
        raise TypeError('adopt() takes an asyncio.Task, '
                        f'not {type(task).__name__}')
    scope._check_thread()
    if task.done():
        raise RuntimeError('The task is done')
    if task._loop is not scope._loop:
        raise RuntimeError('The task belongs to another event loop than '
                           'this CancelScope')
    own = task._own_scope
    node = scope
    while node is not None:
        if node is own:
            raise RuntimeError('This CancelScope is inside the task, which '
                               'cannot be below it')
        node = node._parent
    before = own._parent
    own._change_group(scope)
    # What came from above does not concern the task any more.
    own._inherited_msg = None
    own._requested = own._delivered = own._uncancelled = False
    calls = _mark([own])
    if before is not None and before is not scope:
        host = before._host()
        if host is not None:
            futures.future_discard_from_awaited_by(task, host)
        if before._group is not None and not before._member_set:
            calls.append((_call_external, scope._loop, task,
                          before._group._members_done))
    scope._note_awaiter(task)
    _call_all(calls)
