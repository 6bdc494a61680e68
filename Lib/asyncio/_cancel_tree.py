"""The tree of cancel scopes: its nodes, and what restores its invariant.

cancelscopes explains both.
"""

import weakref

from . import events
from . import futures
from . import tasks
from ._cancel_delivery import (_call_all, _call_cancel, _call_external,
                               _forget_cancel_sent, _get_scope,
                               _get_scope_msg, _ignore, _interrupt,
                               _raise_soon)
from ._spawning import _RETRIEVED, _report_failure

# The life of a CancelScope; the values are what repr() shows.
_NEW = 'unentered'
_ACTIVE = 'active'
_EXITED = 'exited'


_NOT_ACTIVE = ('This CancelScope is not active; it takes tasks inside its '
               '"with" block only')


def _current_task():
    loop = events._get_running_loop()
    if loop is None:
        return None
    task = tasks._py_current_task(loop)
    # A task that is not a _PyTask is known to the accelerator only.
    return tasks.current_task(loop) if task is None else task


def _no_host():
    """Stand in for the weak reference to the host of a scope without one."""
    return None


class _Node:
    """What a CancelScope and the own scope of a task have in common."""

    __slots__ = (
        # The scopes right below: {id: weak reference}.  The tree owns nothing,
        # so that a scope which no code can leave any more goes away.
        '_children',
        # See the invariant.  Weak references, or None.
        '_canceller', '_member_canceller',
        # A weak reference to the host.  It is dead if the host was destroyed,
        # and _no_host if there is none.
        '_host',
        # The message of the request that is in force.  (Of an own scope, that
        # of Task.cancel(): for _requested there is _inherited_msg.)
        '_msg',
        # The cancel of this scope was requested.  (Of an own scope: a
        # cancelled scope that it was below has been left.)
        '_requested',
        # A Task.cancel() of the host is in force here, or is pending.  (Of an
        # own scope, or a shielded one.)
        '_host_requested', '_host_pending',
        '_shield',
        # The cancellation that begins here has reached the coroutine of the
        # host; uncancel() has discounted that.  (Of an own scope: the
        # cancellation that comes from outside the task.)
        '_delivered', '_uncancelled',
        # The cancellation that begins here has interrupted a task.  (Of an own
        # scope: its task, while that was cancelled from outside.)
        '_interrupted',
        '__weakref__')

    def __new__(cls, /, *args, **kwargs):
        # Not in __init__(), which a subclass of CancelScope need not call.
        # (Another base of a subclass can have a __new__() for other uses.)
        self = object.__new__(cls)
        self._set_defaults()
        return self

    def _set_defaults(self):
        self._children = {}
        self._canceller = None
        self._member_canceller = None
        self._host = _no_host
        self._msg = None
        self._requested = False
        self._host_requested = False
        self._host_pending = False
        self._shield = False
        self._delivered = False
        self._uncancelled = False
        self._interrupted = False

    def _attach(self, parent):
        """Hang this node, which hangs nowhere, below *parent* or nothing."""
        self._parent = parent
        if parent is not None:
            parent._children[id(self)] = weakref.ref(self)

    def _get_children(self):
        # The garbage collector can change the dict at any moment.
        references = list(self._children.values())
        return [child for reference in references
                if (child := reference()) is not None]

    def _detach(self):
        """Take this node out of the tree; what is below it moves up.

        Tasks move up to the next CancelScope.  Return the nodes that moved,
        for _update().
        """
        parent = self._parent
        moved = self._get_children() if self._children else []
        self._children = {}
        if parent is not None:
            parent._children.pop(id(self), None)
        for child in moved:
            if child._is_own:
                child._change_group(parent)
            else:
                child._attach(parent)
        self._parent = None
        self._canceller = None
        self._member_canceller = None
        self._host = _no_host
        return moved

    def _find_cancellers(self):
        """Return what _canceller and _member_canceller have to be."""
        parent = self._parent
        outer = (None if self._shield or parent is None
                 else parent._member_canceller)
        if self._requested:
            # A scope that was requested below a cancelled one goes with that,
            # which came first.  (An own scope gets its request only when it
            # loses the other.)
            reference = weakref.ref(self)
            before = self._member_canceller
            if (outer is None or self._is_own
                    or before is None or before is reference):
                return reference, reference
        canceller = (weakref.ref(self) if self._host_requested
                     else self._outer_canceller())
        return canceller, outer

    def _outer_canceller(self):
        """The outside cancellation that is visible through this scope."""
        parent = self._parent
        if self._shield or parent is None:
            return None
        # What Task.cancel() asks of another task stays with that task.
        return (parent._canceller if parent._host is self._host
                else parent._member_canceller)


class _TaskScope(_Node):
    """The own scope of a _PyTask."""

    __slots__ = (
        '_parent_reference',
        # The message of the cancelled scope that the task was below and that
        # has been left.
        '_inherited_msg')

    _is_own = True
    # What only a CancelScope can have.
    _deadline = _timer = _group = None
    _expired = _movable = False

    def __init__(self, task, parent):
        self._host = weakref.ref(task)
        self._inherited_msg = None
        self._attach(parent)
        self._canceller, self._member_canceller = self._find_cancellers()
        task._own_scope = task._scope = self

    @property
    def _parent(self):
        # Tasks do not keep alive what they are below: a scope that no code can
        # leave any more must not stay above them.
        reference = self._parent_reference
        return None if reference is None else reference()

    @_parent.setter
    def _parent(self, parent):
        self._parent_reference = (
            None if parent is None else weakref.ref(parent))

    def _change_group(self, parent):
        """Hang below *parent* or the next CancelScope around that, where the
        task is a member from now on."""
        while parent is not None and parent._is_own:
            parent = parent._parent
        task = self._host()
        if self._parent is not None:
            self._parent._member_set.discard(task)
            self._parent._children.pop(id(self), None)
        if parent is not None and task is not None:
            parent._member_set.add(task)
        self._attach(parent)


def _find_group(node):
    """Return the group of the nearest scope that has one, *node* or outer."""
    while node is not None:
        if node._group is not None:
            return node._group
        node = node._parent
    return None


def _update(*tops):
    """Restore the invariant below *tops*; interrupt what that cancels."""
    _call_all(_mark(tops))


def _mark(tops):
    """Restore the invariant below *tops*.

    Return what is to be called then: tuples of a function and its arguments.
    """
    calls = []
    todo = list(reversed(tops))
    while todo:
        node = todo.pop()
        canceller, member_canceller = node._find_cancellers()
        if (canceller is node._canceller
                and member_canceller is node._member_canceller):
            continue
        host = node._host()
        if node._member_canceller is None and member_canceller is not None:
            if not node._is_own:
                if node._watched:
                    calls.append((_cancel_external, node))
            elif (host is not None
                    and type(host).cancel is not tasks._PyTask.cancel):
                calls.append((_call_own_cancel, node))
        if host is not None and host._scope is node:
            if canceller is None:
                _forget_cancel_sent(host)
            elif node._canceller is None:
                calls.append((_interrupt, host))
        node._canceller = canceller
        node._member_canceller = member_canceller
        if node._children:
            todo += node._get_children()[::-1]
    return calls


def _call_own_cancel(own):
    """A task that overrides cancel() is told of a cancellation by that."""
    canceller, task = _get_scope(own._member_canceller), own._host()
    # (The request can have been taken back meanwhile.)
    if canceller is not None and task is not None and not task.done():
        _call_external(task._loop, task,
                       _call_cancel, task, _get_scope_msg(canceller))


def _cancel_external(scope):
    """The group cancels the tasks that are not in the tree."""
    canceller, group = _get_scope(scope._member_canceller), scope._group
    if canceller is not None and group is not None:
        if not canceller._is_own:
            canceller._interrupted = True
        _call_external(scope._loop, None,
                       group._cancel_external, _get_scope_msg(canceller))


def _end(task):
    """*task* is done: tell its group if it has failed, and leave the tree.

    Before its callbacks are scheduled, for the group may ask who awaits it.
    """
    try:
        if task._exception is not None and task._errors is not _RETRIEVED:
            _report_failure(task)
    except BaseException as exc:
        _ignore(exc, task._loop, task)
    finally:
        _leave_tree(task)


def _leave_tree(task):
    """*task* is done or is being destroyed: take it out of the tree.

    The scopes that it has not left live on, without a host, below what the
    task was below.
    """
    own = task._own_scope
    parent = own._parent
    host = None if parent is None else parent._host()
    if host is not None:
        futures.future_discard_from_awaited_by(task, host)
    entered = []
    scope = task._scope
    # (When garbage is collected, the coroutine may have been closed before,
    # and have left scopes without finding its task.)
    while scope is not own and scope is not None:
        entered.append(scope)
        scope = scope._parent
    for scope in entered:
        scope._host_requested = scope._host_pending = False
    task._shielded_requests = ()
    for scope in reversed(entered):
        scope._canceller, _ = scope._find_cancellers()
    calls = []
    for scope in entered:
        if scope._state is _ACTIVE:
            scope._remove_mark()
            scope._delivered = scope._uncancelled = False
            if task.done():  # Else the reference dies with the task.
                scope._host = _no_host
            if scope._group is not None:
                calls.append((_call_external, task._loop, task,
                              scope._group._host_ended))
    task._scope = own
    task._delivery = None
    moved = own._detach()
    if parent is not None:
        parent._member_set.discard(task)
        if not parent._member_set and parent._group is not None:
            calls.insert(0, (_call_external, task._loop, task,
                             parent._group._members_done))
    try:
        _call_all(calls + _mark(moved) if moved else calls)
    except (KeyboardInterrupt, SystemExit) as exc:
        _raise_soon(exc, task._loop)
