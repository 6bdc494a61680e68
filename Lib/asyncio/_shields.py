"""What shield() returns for a coroutine.

It is awaited once, and runs the coroutine in a shielded scope of the task that
awaits it: there is no other task.  So it is no Future, and what is done with
the Future that shield() returns for a task is refused with a message that says
what to do instead.
"""

import contextlib
import os
import warnings

from . import cancelscopes
from . import futures
from . import tasks


class ShieldedCall:
    """What shield() returns for a coroutine: await it once."""

    _awaitable = None
    _runner = None  # The coroutine that runs it.

    # For the repr() of a task that runs it.
    __name__ = property(lambda self: 'shield')

    def __init__(self, awaitable, /):
        self._awaitable = awaitable

    def __await__(self):
        if self._awaitable is None:
            _refuse_second_await()
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self._start().send(None)

    def send(self, value):
        """Resume it with a value."""
        if self._awaitable is not None and value is not None:
            raise TypeError("can't send non-None value to a just-started "
                            "coroutine")
        return self._start().send(value)

    def throw(self, *exc):
        """Resume it with an exception."""
        unstarted = self._awaitable
        try:
            return self._start().throw(*exc)
        finally:
            # It never starts, and is not to warn of that.
            if close := getattr(unstarted, 'close', None):
                close()

    def close(self):
        """Close what runs in it."""
        inner = self._awaitable if self._runner is None else self._runner
        self._awaitable = None
        if close := getattr(inner, 'close', None):
            close()

    def _start(self):
        if self._awaitable is not None:
            awaitable, self._awaitable = self._awaitable, None
            self._runner = _run_shielded(awaitable)
        elif self._runner is None or self._runner.cr_frame is None:
            _refuse_second_await()
        return self._runner

    @property
    def cr_await(self):
        """What runs in it, or None."""
        return None if self._runner is None else self._runner.cr_await

    def __getattr__(self, name):
        _explain_missing(name)
        raise AttributeError(
            f'{type(self).__name__!r} object has no attribute {name!r}',
            name=name, obj=self)

    def __repr__(self):
        if self._awaitable is not None:
            return _shielded_repr('not awaited', self._awaitable)
        is_running = (self._runner is not None
                      and self._runner.cr_frame is not None)
        return _shielded_repr('running' if is_running else 'finished',
                              self.cr_await)

    def __del__(self):
        if self._awaitable is not None:
            _warn_never_awaited(self._awaitable)


async def _run_shielded(awaitable):
    """Await *awaitable* here; keep cancellation from outside away from it."""
    if not cancelscopes._can_have_scopes(cancelscopes._current_task()):
        # Another task has to run it when that one is cancelled.
        return await tasks.shield(tasks._ensure_future(awaitable))
    with cancelscopes._make_scope(shield=True):
        return await awaitable


def _shielded_repr(state, inner):
    what = 'a coroutine' if inner is None else _find_name(inner)
    return f'<shield() of {what}, {state}>'


def _find_name(awaitable):
    return getattr(awaitable, '__qualname__', type(awaitable).__qualname__)


def _refuse_second_await():
    raise RuntimeError(
        'shield() of a coroutine can be awaited only once, in one task; '
        'to await it several times, shield a task: '
        'shield(asyncio.ensure_future(...))')


def _explain_missing(name):
    """Raise an error that helps if *name* is an attribute of a Future."""
    if not name.startswith('_') and hasattr(futures.Future, name):
        raise AttributeError(
            f'shield() of a coroutine returns no Future and has no {name}(); '
            'it runs in the task that awaits it. To get a Future, shield a '
            'task: shield(asyncio.ensure_future(...))', name=name)


def _warn_never_awaited(awaitable):
    """Warn that *awaitable* has not run, and close it: it warns no more."""
    origin = getattr(awaitable, 'cr_origin', None)
    made = ', created at {}:{},'.format(*origin[0]) if origin else ''
    with contextlib.ExitStack() as stack:
        if hasattr(awaitable, 'close'):
            stack.callback(awaitable.close)
        warnings.warn(
            f'shield() of {_find_name(awaitable)!r}{made} was never awaited, '
            'so that has not run; use create_task() to run it in the '
            'background', RuntimeWarning, source=awaitable,
            skip_file_prefixes=(os.path.dirname(__file__),))


# The Python version; where the accelerator is available, it is replaced.
_ACCELERATED = 'ShieldedCall',

_PyShieldedCall = ShieldedCall

try:
    from _asyncio import ShieldedCall
except ImportError:
    pass
else:
    _CShieldedCall = ShieldedCall
