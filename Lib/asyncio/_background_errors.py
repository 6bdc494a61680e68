"""The errors of background tasks: what a RootGroup logs and raises."""

import contextlib
import os

from . import cancelscopes
from . import exceptions
from .log import logger


class BackgroundErrors:
    """The exceptions of the members of a RootGroup."""

    def __init__(self):
        # With the descriptions of their tasks, by the exception's id: several
        # tasks may end with the same one.
        self._found = {}
        self._logged = False  # The first one has been.

    def add(self, task):
        exc = task.exception()
        _, descriptions = self._found.setdefault(id(exc), (exc, []))
        descriptions.append(describe_task(task))

    def log_first(self, task):
        """Log the failure of *task* if it is the first one.

        It may take long until it is raised.
        """
        exc = task.exception()
        if not self._logged and not _is_cancellation(exc):
            self._logged = True
            created = ''
            for frame in reversed(getattr(task, '_source_traceback', None)
                                  or ()):
                if not _is_own(frame.filename):
                    created = f' (created at {frame.filename}:{frame.lineno})'
                    break
            # What a handler of the logger raises must not be in the way.
            with contextlib.suppress(Exception):
                logger.error(
                    'Background task %s failed: %s%s', describe_task(task),
                    _describe_exception(exc), created)

    def take(self, cancelled):
        """Return the exceptions, with notes of their tasks, by their id.

        *cancelled*: without cancellations, as where a scope is exited that is
        cancelled.
        """
        found, self._found = self._found, {}
        errors = {}
        for key, (exc, descriptions) in found.items():
            if cancelled:
                exc = without_cancellations(exc)
            if exc is not None:
                for description in descriptions:
                    add_note(exc, f'in background task {description}')
                errors[key] = exc
        return errors


def without_cancellations(exc):
    """Return *exc* without the cancellations in it, if it is a group."""
    if isinstance(exc, BaseExceptionGroup):
        return cancelscopes._without_cancellations(exc)
    return exc


def without(errors, exc):
    """Return the list *errors* without *exc*, also where that is in a group.
    """
    remaining = []
    for error in errors:
        if isinstance(error, BaseExceptionGroup):
            error = cancelscopes._take_out(error, lambda member: member is exc)
        if error is not None and error is not exc:
            remaining.append(error)
    return remaining


def without_own_frames(exc):
    """Let the traceback of *exc* begin in the program that the loop runs."""
    tb = exc.__traceback__
    while (tb is not None and tb.tb_next is not None
           and _is_own(tb.tb_frame.f_code.co_filename)):
        tb = tb.tb_next
    return exc.with_traceback(tb)


def describe_task(task):
    """Return the name and the coroutine of *task*, in one line."""
    try:
        name = task.get_name()
        coro = task.get_coro()
    except AttributeError:
        return ' '.join(repr(task).split())  # An external task.
    qualname = getattr(coro, '__qualname__', None) or type(coro).__name__
    return f'{name!r}, {qualname}()'


def add_note(exc, note):
    # An exception that is raised again gets the note once, and one that
    # refuses notes gets none.
    with contextlib.suppress(Exception):
        if note not in getattr(exc, '__notes__', ()):
            exc.add_note(note)


def _describe_exception(exc):
    """Return the type and the message of *exc*, in one line."""
    try:
        lines = str(exc).splitlines()
    except Exception:
        lines = ['<str() failed>']
    message = lines[0] if lines else ''
    if len(lines) > 1:
        message += ' [...]'
    name = type(exc).__qualname__
    return f'{name}: {message}' if message else name


def _is_cancellation(exc):
    """Return true if *exc* is a group of nothing but CancelledErrors."""
    found = [exc]
    for member in found:
        if isinstance(member, BaseExceptionGroup):
            found += cancelscopes._get_members(member)
        elif not isinstance(member, exceptions.CancelledError):
            return False
    return isinstance(exc, BaseExceptionGroup)


def _is_own(filename):
    return os.path.dirname(filename) == os.path.dirname(__file__)
