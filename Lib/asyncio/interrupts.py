"""SIGINT and SIGTERM while a Runner runs a program."""

import os
import signal
import threading

from . import exceptions
from _asyncio_legacy import legacy

# What is replaced: a program that has installed a handler keeps it.
_DEFAULTS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}


class Interrupts:
    """Context manager: what signals do to the tasks of a RootGroup.

    The first signal cancels the group, which gives everything the time that it
    needs to clean up.  If *main* is the one to end with that cancellation, the
    manager raises what the signal stands for; a main task that finishes all the
    same has its way.

    A further signal does not wait for anybody: KeyboardInterrupt is raised where
    the program stands, and no shield holds any more; SIGTERM kills the process.
    """

    def __init__(self, loop, root, main=None):
        self._loop = loop
        self._root = root
        self._main = main
        self._first = None  # The signal that came first.
        self._late = False  # It came when main was done already.
        self._again = False  # There was another one.

    def __enter__(self):
        self._installed = []
        if (threading.current_thread() is not threading.main_thread()
                or self._root.pierced):  # It is the turn of the defaults.
            return self
        for signum, default in _DEFAULTS.items():
            if signum == signal.SIGTERM and 'signals' in legacy():
                continue
            if signal.getsignal(signum) is default:
                try:
                    signal.signal(signum, self._on_signal)
                except ValueError:
                    # The main thread of a subinterpreter, or of a program that
                    # embeds Python, may not do that (gh-91880).
                    break
                self._installed.append(signum)
        return self

    def __exit__(self, exc_type, exc, tb):
        for signum in self._installed:
            if signal.getsignal(signum) == self._on_signal:
                signal.signal(signum, _DEFAULTS[signum])
        try:
            if self._again:
                self._root.pierce()
            if self._first is not None and (
                    isinstance(exc, exceptions.CancelledError)
                    or (exc is None and self._late)):
                self._raise()
        finally:
            self._main = exc = tb = None

    def _raise(self):
        if 'signals' in legacy():
            # Somebody else may have cancelled the main task as well.
            uncancel = getattr(self._main, 'uncancel', None)
            if uncancel is None or uncancel() != 0:
                return
        if self._first == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self._first)

    def _on_signal(self, signum, frame):
        if self._first is None:
            self._first = signum
            self._late = self._main is None or self._main.done()
            if 'signals' not in legacy():
                # Between two callbacks, where everything is in order; this
                # also wakes the loop up if it is waiting for events.
                self._loop.call_soon_threadsafe(self._root._abort)
                return
            if not self._late:
                self._main.cancel()
                self._loop.call_soon_threadsafe(lambda: None)
                return
        self._again = True
        if signum == signal.SIGINT:
            # It may be caught on its way, by a group that waits for its tasks.
            self._loop.call_soon_threadsafe(self._root.pierce)
            raise KeyboardInterrupt
        signal.signal(signum, signal.SIG_DFL)
        signal.raise_signal(signum)
        # Process 1 of a container is not killed by what it sends to itself.
        os._exit(128 + signum)
