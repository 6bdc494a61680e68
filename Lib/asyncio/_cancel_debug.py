"""What debug mode reports of cancellation.

All of it goes to the logger, as a warning with the place in the program:

- a task that swallows a level-triggered cancellation and goes on waiting;
- a loop that waits for shield(task) again and again in a cancelled scope, and
  so keeps the processor busy;
- cleanup that awaits a task in a cancelled scope, and so cancels the task.

The block of a timeout or a group that is left in another task than the one
that entered it is reported by a RuntimeWarning.
"""

import contextlib
import gc
import os
import sys
import types
import warnings
import weakref

from . import cancelscopes
from . import events
from . import futures
from . import tasks
from .log import logger


def _find_origin():
    """Return where the scope that is being entered stands in the program."""
    frame = sys._getframe(1)
    while (frame.f_back is not None
            and frame.f_code.co_filename.startswith(_LIBRARY)):
        frame = frame.f_back
    place = _format_place(frame.f_code, frame.f_lineno)
    return f'entered {place}'


def _warn_moved(is_group, origin, exc):
    """Warn that a block is left in another task than it was entered in.

    A warning that is an error must not replace *exc*, with which the block
    ends: the exception handler of the loop gets it, unless that is None.
    """
    block, lost = (
        ('TaskGroup', 'cancel the code in it when a task of the group failed')
        if is_group else ('timeout()', 'interrupt the code in it any more'))
    entered = '' if origin is None else f' ({origin})'
    try:
        warnings.warn(
            f'The block of a {block} is left in another task than the one '
            f'that entered it{entered}: after that task had ended or gone on '
            f'elsewhere, the {block} could not {lost}; enter and leave it in '
            'one task, and close asynchronous generators with '
            'contextlib.aclosing()',
            RuntimeWarning, skip_file_prefixes=_LIBRARY)
    except Warning as warning:
        if exc is None:
            raise
        loop = events._get_running_loop()
        cancelscopes._report(loop, warning, 'Warning of debug mode', None)


def _check_ended(task, exc, origin):
    """Report that *task* has swallowed *exc*, while it is still cancelled.

    It is about to get a CancelledError again, or for the first time if *exc*
    is None.  *origin* is the task that was cancelled as a whole, or where the
    scope was entered ("entered at ..."), or None if that is not known.  Return
    whether it was reported.
    """
    place = _find_shield_loop(task)
    if exc is None:
        return False
    remedy = 'let the exception propagate'
    if origin is None:
        cause = 'a block around it is'
    elif origin is task:
        cause = 'Task.cancel() was called, and it is'
        remedy += ', or call Task.uncancel()'
    elif not isinstance(origin, str):
        cause = f'{origin!r} is'
    else:
        cause = f'the block that was {origin} is'
        remedy = 'let the exception leave that block'
    if place is not None:
        _report('%r waits for shield() again and again %s, and never blocks: '
                '%s cancelled.  shield() protects what it is given, not the '
                'wait.  To wait until that is done, use '
                '"with asyncio.CancelScope(shield=True): await ..."',
                task, place, cause, place=place)
        return True
    if _is_being_handled(exc, task):
        return False
    tb = exc.__traceback__
    # The frame that the exception reached in the end is the first.
    where = ('somewhere' if tb is None else
             _format_place(tb.tb_frame.f_code, tb.tb_lineno))
    logger.warning('%r swallowed a CancelledError %s and went on waiting, but '
                   '%s still cancelled: %s', task, where, cause, remedy)
    return True


def _check_awaited(task, exc):
    """Report that *task* is about to cancel another task by awaiting it.

    It handles *exc*, the CancelledError that it got last, and what it waits
    for is going to be cancelled since its scope still is.
    """
    other = task._fut_waiter
    if (isinstance(other, (tasks.Task, tasks._PyTask)) and not other.done()
            and not other.cancelling()
            and not cancelscopes._is_cancelled(other)
            and _is_being_handled(exc, task)):
        place = _find_place(task)
        _report('%r awaits %r %s, which cancels that task, because the code '
                'that awaits it is cancelled.  To wait until the task is '
                'done, use "with asyncio.CancelScope(shield=True): await ..."',
                task, other, place, place=place)


# What shield() waits for in debug mode: {the Future that it returned: a weak
# reference to the one that it was given}.
_shields = weakref.WeakKeyDictionary()


def _note_shield(outer, inner):
    _shields[outer] = weakref.ref(inner)


# Where tasks were interrupted as they waited for shield(): {task: (a weak
# reference to what that was given, the place)}.
_shield_places = weakref.WeakKeyDictionary()


def _find_shield_loop(task):
    """Return the place where *task* waits for shield(), if it has been
    interrupted there before, waiting for the same."""
    waiter = task._fut_waiter
    if waiter is None or (inner := _shields.get(waiter)) is None:
        return None
    place = _find_place(task)
    before = _shield_places.get(task)
    _shield_places[task] = inner, place
    return place if before == (inner, place) else None


# The places that have been reported: one report each is enough.
_reported = set()


def _report(message, *args, place):
    if (message, place) not in _reported:
        _reported.add((message, place))
        logger.warning(message, *args)


def _is_own(code):
    """Return true if this is code of asyncio."""
    return os.path.dirname(code.co_filename) == _directory


_directory = os.path.dirname(__file__)

# Prefixes of the files whose code enters and leaves blocks for other code.
_LIBRARY = (_directory + os.sep, contextlib.__file__,
            os.path.join(os.path.dirname(contextlib.__file__), 'unittest', ''))


def _format_place(code, lineno):
    return f'at {code.co_filename}:{lineno} in {code.co_qualname}()'


def _find_place(task):
    """Return where the program awaits what *task* is blocked on."""
    place = 'somewhere'
    for awaiting, _ in _walk(task.get_coro()):
        for name in 'cr_frame', 'gi_frame', 'ag_frame':
            frame = getattr(awaiting, name, None)
            if frame is not None and not _is_own(frame.f_code):
                place = _format_place(frame.f_code, frame.f_lineno)
    return place


def _walk(awaiting):
    """Yield the coroutines that wait for each other, from the outermost on,
    each with what it refers to."""
    seen = set()
    while awaiting is not None and id(awaiting) not in seen:
        seen.add(id(awaiting))
        references = gc.get_referents(awaiting)
        yield awaiting, references
        for name in 'cr_await', 'gi_yieldfrom', 'ag_await':
            if hasattr(awaiting, name):
                awaiting = getattr(awaiting, name)
                break
        else:
            awaiting = _find_wrapped(references)


def _find_wrapped(references):
    """Return the coroutine in an awaitable that refers to *references*.

    Such as what anext() or the __await__() of a class returns.
    """
    for _ in range(3):
        for found in references:
            if isinstance(found, _SUSPENDABLE):
                return found
        # (A Future refers to tasks that wait for it, a Task to its coroutine.)
        references = gc.get_referents(*[
            found for found in references if hasattr(found, '__await__')
            and not futures.isfuture(found)])
    return None


_SUSPENDABLE = (types.CoroutineType, types.GeneratorType,
                types.AsyncGeneratorType)
_CONTAINERS = tuple, list, dict, set, types.CellType


def _is_being_handled(exc, task):
    """Return true if the coroutine of *task* still refers to *exc*.

    A coroutine that waits in an except or finally block refers to the
    exception that is being handled.  So does one that keeps it for later.
    """
    return any(_mentions(found, exc)
               for _, references in _walk(task.get_coro())
               for found in references)


def _mentions(found, exc):
    """Return true if *exc* is *found*, or what that came from, or is in it."""
    if isinstance(found, _CONTAINERS):
        return any(item is exc or isinstance(item, BaseException)
                   and _mentions(item, exc)
                   for item in gc.get_referents(found))
    seen = set()
    while isinstance(found, BaseException) and id(found) not in seen:
        if found is exc:
            return True
        if isinstance(found, BaseExceptionGroup):
            if any(_mentions(item, exc) for item in found.exceptions):
                return True
        seen.add(id(found))
        found = found.__context__
    return False


# task._delivery is None, or in debug mode a tuple: the CancelledError that is
# to end the task's block, None once it has been reported that it did not; the
# scope that it is from; where that was entered.

def _check_swallowed(task, exc, canceller):
    """Keep *exc*, which is thrown into *task*, in order to see it end.

    If the one before has ended, it ended too early: report that.
    """
    if task._delivery is None:
        origin = canceller._host() if canceller._is_own else canceller._origin
        task._delivery = exc, canceller, origin
        before = None
    else:
        before, canceller, origin = task._delivery
        if before is None:
            return  # It has been reported.
    try:
        reported = _check_ended(task, before, origin)
    except BaseException as failure:
        reported = before is not None  # As well as it can be.
        cancelscopes._ignore(failure, task._loop, task)
    if reported and task._delivery is not None:
        task._delivery = None, canceller, None


def _check_waiter(task):
    """Report it if the waiter of *task* is a task that it hardly wants to
    cancel."""
    exc, _, _ = task._delivery
    if exc is not None:
        try:
            _check_awaited(task, exc)
        except BaseException as failure:
            cancelscopes._ignore(failure, task._loop, task)


def _py_forget_delivery(task, canceller=None):
    """The CancelledError that was thrown into *task* has not been swallowed:
    it ended what it was meant to end, if it is from *canceller*."""
    if task._delivery is not None and (
            canceller is None or canceller is task._delivery[1]):
        task._delivery = None
