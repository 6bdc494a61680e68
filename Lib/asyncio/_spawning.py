"""How a new task gets its place in the tree of scopes.

The scope that a task is spawned into, and what becomes of the task's
exception, have to pass through any event loop and any task factory, in time
for an eager first step.  So they are not arguments: _spawn() puts them into a
slot, one for each thread, and the first asyncio task that is initialized takes
them out.  If what create_task() returns is not the task that has taken them,
it is an external task.

An *external task* has no place in the tree: an object that a task factory has
made and that is no asyncio task of the tree's kind (C or pure Python).  It is
given to a group, which calls its cancel().

The *errors mode* of a task says what becomes of the exception that it ends
with.
"""

import threading

from . import cancelscopes
from . import tasks

_PROPAGATE = 'propagate'  # The group that the task belongs to gets it.
_LOG = 'log'              # The exception handler of the loop gets it.
_RETRIEVED = None         # It is raised where the task is awaited: "await".


class _Request:
    """What is in the slot."""

    __slots__ = ('scope', 'errors', 'claimed_by')

    def __init__(self, scope, errors):
        self.scope = scope  # None for the root of the loop.
        self.errors = errors
        self.claimed_by = None  # The task that has taken it.


class _Slot(threading.local):
    request = None


_slot = _Slot()


def _py_spawn(scope, errors, create_task, /, *args, **kwargs):
    """Call *create_task* for a task below *scope*, or below the root if that
    is None.

    Return what *create_task* has returned, and whether that has its place in
    the tree.  If not, the caller has to treat it as an external task.
    """
    outer = _slot.request
    _slot.request = request = _Request(scope, errors)
    try:
        task = create_task(*args, **kwargs)
    finally:
        _slot.request = outer
    claimed_by = request.claimed_by
    # (After an eager first step the scope may have been left.)
    if (claimed_by is task and isinstance(task, tasks._PyTask)
            and (scope is None or scope._loop in (None, task._loop))):
        return task, True
    for other in claimed_by, task:
        if isinstance(other, tasks._PyTask) and not other.done():
            other._errors = _RETRIEVED
    return task, False


def _set_errors(task, errors):
    """Set the errors mode of *task*, if it is a _PyTask."""
    if isinstance(task, tasks._PyTask):
        task._errors = errors


def _py_take_slot(task):
    """Return the scope and the errors mode that *task* is meant to have, or
    None if it is not made by _spawn()."""
    request = _slot.request
    if request is None:
        return None
    _slot.request = None
    request.claimed_by = task
    return request.scope, request.errors


def _py_spawn_background(errors, create_task, /, *args, **kwargs):
    """Call *create_task* for a task below the root; *errors* is its errors
    mode."""
    task, claimed = _py_spawn(None, errors, create_task, *args, **kwargs)
    if not claimed and isinstance(task, tasks._PyTask):
        task._errors = errors
    return task


def _enter_tree(task):
    """Give the new _PyTask *task* its own scope."""
    if task._own_scope is not None:
        # Nothing prevents a second call of __init__().
        cancelscopes._leave_tree(task)
    parent, errors = cancelscopes._take_slot(task) or (None, _PROPAGATE)
    if parent is not None and not (
            isinstance(parent, cancelscopes._PyCancelScope)
            and parent._loop is task._loop):
        # To the code that spawns it, it is an external task.
        parent, errors = None, _RETRIEVED
    if parent is None:
        parent = cancelscopes._py_find_root(task._loop)
    task._errors = errors
    cancelscopes._TaskScope(task, parent)


def _become_member(task):
    """Let *task*, which is ready to run, be a member of the scope above it."""
    parent = task._own_scope._parent
    if parent is not None:
        parent._member_set.add(task)


def _py_adopt_external(loop, task):
    """Give *task*, which a task factory has made, to the root group if it is
    an external task.  Return it."""
    if isinstance(task, tasks.Task):
        return task
    root = cancelscopes._find_root(loop)
    group = None if root is None else root._group
    if isinstance(task, tasks._PyTask):  # Of a loop with a C root.
        if group is not None:
            errors, task._errors = task._errors, _RETRIEVED
            group._add_external(task, errors)
        return task
    scope, errors = cancelscopes._take_slot(task) or (None, _PROPAGATE)
    if scope is not None:
        errors = _RETRIEVED  # The group of that scope gets the exception.
    if group is not None:
        group._add_external(task, errors)
    elif errors == _LOG:
        task.add_done_callback(lambda _: _log_external(task))
    return task


def _add_external(scope, loop, task, errors):
    """Give the external *task* to *scope*, or to the group that it has."""
    group = scope._group
    if group is None:
        kind = (tasks._PyTask if isinstance(scope, cancelscopes._PyCancelScope)
                else tasks._CTask)
        # (One of the tree's kind has a place, which may be anywhere.)
        if isinstance(task, kind) or errors is _RETRIEVED and task.done():
            return
        from . import groups
        group = groups.ExternalTasks(scope, loop)
    group._add_external(task, errors)


def _create_task(loop, coro, *, errors, **kwargs):
    """What create_task() does if it is told what becomes of the exception."""
    errors = _check_errors(errors, coro)
    return cancelscopes._spawn_background(
        errors, loop.create_task, coro, **kwargs)


def _create_task_below(scope, coro, *, name=None, context=None,
                       eager_start=None, errors='await'):
    """What CancelScope.create_task() does."""
    errors = _check_errors(errors, coro)
    loop = scope._loop
    if loop is None:
        coro.close()
        raise RuntimeError(cancelscopes._NOT_ACTIVE)
    kwargs = {'name': name, 'context': context, 'eager_start': eager_start}
    # (Not every loop and every factory knows them all.)
    kwargs = {key: kwargs[key] for key in kwargs if kwargs[key] is not None}
    return scope._spawn(errors, loop.create_task, coro, **kwargs)


def _spawn_for_caller(loop, coro):
    """Make a task on behalf of the code that is running, which gets what comes
    of it from gather() and its like.

    In a shielded block the task belongs to that block: cleanup has to be able
    to use them although all that is outside has been cancelled.
    """
    scope = cancelscopes._shielding_scope()
    if scope is None or scope._loop is not loop:
        return cancelscopes._spawn_background(
            _RETRIEVED, loop.create_task, coro)
    return scope._spawn(_RETRIEVED, loop.create_task, coro)


def _check_errors(errors, coro):
    """Return the errors mode for *errors*, which create_task() was given."""
    if errors == 'await':
        return _RETRIEVED
    if errors not in (_PROPAGATE, _LOG):
        coro.close()
        raise ValueError('errors must be "propagate", "log" or "await", '
                         f'not {errors!r}')
    return errors


def _set_retrieved(loop, task):
    """From now on the caller of *loop* retrieves the exception of *task*, so
    that this is not the failure of a background task.

    (The failure of a member of a TaskGroup stays the group's.)
    """
    root = cancelscopes._find_root(loop)
    if root is not None:
        root._group._retrieved = task


def _report_failure(task):
    """*task* has failed: tell its group, or do what its errors mode says."""
    if task._errors == _LOG:
        _log_failure(task)
    elif task._errors == _PROPAGATE:
        group = cancelscopes._find_group(task._own_scope._parent)
        if group is not None:
            cancelscopes._call_external(
                task._loop, task, group._member_failed, task)


def _log_failure(task):
    """What errors="log" means.  A moment later, outside the task's context."""
    task._loop.call_soon(_log_failure_now, task, task._loop)


def _log_failure_now(task, loop):
    exc = task.exception()
    if isinstance(exc, (KeyboardInterrupt, SystemExit)):
        return  # The loop itself has raised it.
    loop.call_exception_handler({
        'message': 'Unhandled exception in a background task',
        'exception': exc,
        'task': task,
    })


def _log_external(task):
    if not task.cancelled() and task.exception() is not None:
        _log_failure_now(task, task.get_loop())
