"""How a cancellation reaches the code of a _PyTask.

A task meets the tree of scopes in three places: when its scope becomes
cancelled while it is blocked (_interrupt()), when it blocks in a cancelled
scope (_interrupt() as well), and when its next step begins
(_exception_for_step()).  It is explained beside tasks._PyTask.

What is called here is external code, such as the cancel() of a Future.  Its
errors are no errors of the code that has cancelled a scope: _report() gives
them to the exception handler of the loop.  Only KeyboardInterrupt and
SystemExit propagate.
"""

from . import cancelscopes
from . import exceptions
from . import futures
from . import tasks
from ._cancel_debug import _check_swallowed, _check_waiter
from ._cancel_requests import (_clear_pending, _find_pending, _find_shield,
                               _is_visible, _set_pending)
from .log import logger

# Whether the waiter of a task has been asked to cancel (task._cancel_sent).
_NOT_SENT = 0
_SENDING = 1  # It is just being asked.
_SENDING_TO_SELF = 2  # And it has asked the task in turn.
_SENT = 3

# What is said of errors that have no caller.
_IN_CANCEL = 'Exception while a task was cancelled'
_IN_CALLBACK = 'Exception in a callback of a cancel scope'


def _interrupt(task):
    """Ask what *task* is blocked on, if anything, to cancel: once a yield."""
    waiter = task._fut_waiter
    if waiter is None or task._cancel_sent:
        return
    scope = canceller = _get_scope(task._scope._canceller)
    if canceller is None and (scope := _find_pending(task)) is None:
        return
    msg = _get_msg(task, scope, pending=canceller is None)
    if task._delivery is not None and canceller is not None:  # In debug mode.
        _check_waiter(task)
        if task._fut_waiter is not waiter or task._cancel_sent:
            return
    try:
        taken = _cancel_waiter(task, msg)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as exc:
        _report(task._loop, exc, _IN_CANCEL, task)
        return
    if taken:
        _note_interruption(task)
        if canceller is None or tasks._LEVEL_CANCEL:
            # It stands for the requests made through Task.cancel() as well.
            _clear_pending(task)


def _cancel_waiter(task, msg):
    """Ask the waiter to cancel; return true if that interrupts *task*."""
    if task._cancel_sent in (_SENDING, _SENDING_TO_SELF):
        task._cancel_sent = _SENDING_TO_SELF
        return True
    waiter = task._fut_waiter
    task._cancel_sent = _SENDING
    try:
        taken = bool(waiter.cancel(msg=msg))
    finally:
        to_self = task._cancel_sent == _SENDING_TO_SELF
        if task._fut_waiter is waiter:
            task._cancel_sent = _SENT
    if to_self and task._fut_waiter is waiter:
        taken = _stop_waiting(task, waiter, msg) or taken
    return taken


def _stop_waiting(task, waiter, msg):
    """Let *task* go on with CancelledError; return false if *waiter* is done.

    The task waits for itself, perhaps through other tasks, so nothing else
    will end that.
    """
    if not waiter.remove_done_callback(task._Task__wakeup):
        return False
    futures.future_discard_from_awaited_by(waiter, task)
    waiter.add_done_callback(_forget_cancellation)
    if task._fut_waiter is not waiter:
        return True  # What was called here has let it go on already.
    task._fut_waiter = None
    task._loop.call_soon(task._Task__step, _make_error(msg),
                         context=task._context)
    return True


def _forget_cancellation(future):
    """No task waits for *future* any more: that is no reason to log that
    gather() was cancelled, which it says with an exception."""
    if isinstance(getattr(future, '_exception', None),
                  exceptions.CancelledError):
        future.exception()


def _forget_cancel_sent(task):
    """The code of *task* is not cancelled any more: if it is again, what the
    task waits for is asked again.  (But not by what happens as it is
    asked.)"""
    if task._cancel_sent == _SENT:
        task._cancel_sent = _NOT_SENT


def _return_to(task, scope):
    """The current scope of *task* is left."""
    task._scope = scope
    if scope._canceller is None:
        _forget_cancel_sent(task)


def _exception_for_step(task, exc):
    """Return what *task* is to get in place of *exc* at its next step.

    It is about to run in a cancelled scope, or a request of Task.cancel() is
    pending.  The outcome of a Future that it waited for is kept, for there is
    always a next yield; but a request made through Task.cancel() after the
    Future was done overrides it, because that is what asyncio has always done
    and programs that pair cancel() with uncancel() around a timer count on it.
    """
    pending = _find_pending(task)
    if not task._started and (pending is None or tasks._LEVEL_CANCEL):
        return exc
    canceller = _get_scope(task._scope._canceller)
    if not isinstance(exc, exceptions.CancelledError):
        bare_yield = task._fut_waiter is None and exc is None
        if pending is None and (canceller is None or not bare_yield):
            return exc
        scope = canceller if pending is None else pending
        exc = _make_error(_get_msg(task, scope, pending=pending is not None))
    if not tasks._LEVEL_CANCEL and canceller is not None:
        # The request has to survive the scope, whose error this is.  (If it is
        # level-triggered, the scope that it was made to does.)
        if task._edge_taken:
            _set_pending(task, _find_shield(task, task._scope))
    elif pending is not None:
        _clear_pending(task)
    if canceller is not None:
        _note_delivery(task, canceller)
        _note_interruption(task)
        if task._source_traceback is not None:  # Made in debug mode.
            _check_swallowed(task, exc, canceller)
    return exc


def _make_error(msg):
    return (exceptions.CancelledError() if msg is None
            else exceptions.CancelledError(msg))


def _get_msg(task, scope, *, pending):
    """Return the message of the request that was made to *scope*; of one that
    is *pending*, or that cancels the code of *task*."""
    if pending or not scope._requested:
        if pending and scope is task._own_scope:
            return task._cancel_message  # Where it has always been.
        for other, msg in reversed(task._shielded_requests):
            if other is scope:
                return msg
    return _get_scope_msg(scope)


def _get_scope(reference):
    """Return the scope of a _canceller, or None."""
    return None if reference is None else reference()


def _get_scope_msg(scope):
    if scope._is_own and scope._requested:
        return scope._inherited_msg
    if scope._msg is None and scope._expired and not scope._movable:
        # (A timeout says it with its TimeoutError.)
        return 'deadline exceeded'
    return scope._msg


def _note_delivery(task, canceller):
    """The CancelledError that *canceller* asked for reaches the coroutine."""
    if not canceller._requested:
        return  # Requests made through cancel() have a count of their own.
    if canceller._host() is task:
        canceller._delivered = True
    else:
        task._own_scope._delivered = True


def _note_interruption(task):
    """The coroutine is interrupted, or what it waits for has agreed to end.

    Note it for _was_interrupted(), if a cancellation from outside is a reason,
    and for the scope where that begins.
    """
    own = task._own_scope
    canceller = _get_scope(task._scope._canceller)
    if (canceller is not None and canceller._requested
            and not canceller._is_own):
        canceller._interrupted = True
    if (not own._interrupted
            and (own._requested or own._outer_canceller() is not None)
            and _is_visible(own, task._scope)):
        own._interrupted = True


def _call_all(calls):
    """Make all *calls*; then raise the latest interrupt that came meanwhile.

    Other errors are reported by the functions themselves.
    """
    interrupt = None
    for function, *args in calls:
        try:
            function(*args)
        except (KeyboardInterrupt, SystemExit) as exc:
            interrupt = exc
    if interrupt is not None:
        try:
            raise interrupt
        finally:
            interrupt = None  # Needed to break a cycle.


def _call_external(loop, task, function, *args):
    """Call *function*, whose errors have no caller: they are reported."""
    try:
        function(*args)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as exc:
        _report(loop, exc,
                _IN_CANCEL if function is _call_cancel else _IN_CALLBACK, task)


def _call_cancel(task, msg):
    """Call task.cancel(), which can be one that takes no message."""
    if msg is None:
        task.cancel()
    else:
        task.cancel(msg=msg)


def _report(loop, exc, message, task):
    """Give *exc*, which has no caller to propagate to, to the exception
    handler of *loop*.  Return whether that has worked."""
    context = {'message': message, 'exception': exc}
    if task is not None:
        context['task' if _can_enter(task) else 'current_task'] = task
    try:
        # (Nothing can be woken in a loop that is closed, nor has to be.)
        if not (isinstance(exc, RuntimeError) and loop.is_closed()):
            loop.call_exception_handler(context)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return False
    return True


def _can_enter(task):
    """Return true if the exception handler can be called in the context of
    *task*, as call_exception_handler() does; not if that is the current
    one."""
    try:
        task.get_context().run(bool)
    except (AttributeError, RuntimeError):
        return False
    return True


def _ignore(exc, loop, task):
    """Report *exc*, which came where not even an interrupt can propagate."""
    if isinstance(exc, (KeyboardInterrupt, SystemExit)):
        _raise_soon(exc, loop)
        return
    try:
        _report(loop, exc, 'Exception ignored in the bookkeeping of a task',
                task)
    except (KeyboardInterrupt, SystemExit) as interrupt:
        _raise_soon(interrupt, loop)


def _raise_soon(exc, loop):
    """Let *loop* raise an interrupt that came where it could not propagate."""
    try:
        loop.call_soon(_raise, exc)
    except (KeyboardInterrupt, SystemExit) as another:
        # It came at this moment, so the first one may not have got there.
        loop.call_soon(_raise, another)
    except Exception:  # Such as when the loop is closed.
        logger.error('Interrupted in the bookkeeping of a task', exc_info=exc)


def _raise(exc):
    try:
        raise exc
    finally:
        exc = None  # Needed to break a cycle.
