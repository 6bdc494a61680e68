"""SIGINT and SIGTERM while a Runner runs a program."""

import os
import signal
import socket
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
    needs to clean up.  Then the manager raises what the signal stands for,
    unless the main task has finished all the same.

    A further signal does not wait for anybody: KeyboardInterrupt is raised where
    the program stands, and no shield holds any more; SIGTERM kills the process.
    """

    def __init__(self, loop, root, *, closing=False):
        self._loop = loop
        self._root = root
        self._closing = closing  # There is no main task to have its way.
        self._first = None  # The signal that came first.
        self._late = closing  # The main task was done when it came.
        self._again = False  # There was another one.
        self._handles = []

    def __enter__(self):
        self._installed = []
        self._wakeup_fd = None
        if (threading.current_thread() is not threading.main_thread()
                # It is the turn of the defaults.
                or (self._closing and self._root.pierced)):
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
        self._set_wakeup_fd()
        return self

    def _set_wakeup_fd(self):
        """Have a signal wake the loop also if another thread gets it.

        As loop.add_signal_handler() does, where the loop has a socket for it.
        """
        csock = getattr(self._loop, '_csock', None)
        if self._installed and isinstance(csock, socket.socket):
            previous = signal.set_wakeup_fd(csock.fileno())
            if previous == -1:
                self._wakeup_fd = csock.fileno()
            else:
                signal.set_wakeup_fd(previous)

    def _reset_wakeup_fd(self):
        if self._wakeup_fd is not None and not self._loop._signal_handlers:
            current = signal.set_wakeup_fd(-1)
            if current not in (self._wakeup_fd, -1):
                signal.set_wakeup_fd(current)

    def __exit__(self, exc_type, exc, tb):
        for signum in self._installed:
            if signal.getsignal(signum) == self._on_signal:
                signal.signal(signum, _DEFAULTS[signum])
        self._reset_wakeup_fd()
        # What they were to do is done here, if they have not been called yet.
        for handle in self._handles:
            handle.cancel()
        if self._again:
            self._root.pierce()
        try:
            if self._first is not None:
                self._finish(exc)
        finally:
            self._handles = exc = tb = None

    def _finish(self, exc):
        if 'signals' in legacy():
            self._finish_legacy(exc)
            return
        self._root._abort()
        if isinstance(exc, (KeyboardInterrupt, SystemExit)) or (
                exc is None and not self._late):
            return
        interrupt = self._interrupt()
        if not isinstance(exc, (exceptions.CancelledError, type(None))):
            interrupt.__cause__ = exc
            if isinstance(interrupt, SystemExit):
                # Which is not shown, nor is where it came from.
                self._loop.call_exception_handler({
                    'message': 'An error in the course of the shutdown by '
                               f'{signal.Signals(self._first).name}',
                    'exception': exc,
                })
        raise interrupt

    def _finish_legacy(self, exc):
        if isinstance(exc, exceptions.CancelledError):
            # Somebody else may have cancelled the main task as well.
            uncancel = getattr(self._root.interrupted, 'uncancel', None)
            if uncancel is not None and uncancel() == 0:
                raise self._interrupt()

    def _interrupt(self):
        if self._first == signal.SIGINT:
            return KeyboardInterrupt()
        return SystemExit(128 + self._first)

    def _call_soon(self, callback):
        """Have the loop, which may be waiting, call something at once."""
        self._handles.append(self._loop.call_soon_threadsafe(callback))

    def _on_signal(self, signum, frame):
        main = self._root.main
        is_done = self._closing or main is None or main.done()
        if self._first is None:
            self._first = signum
            self._late = is_done
            if 'signals' not in legacy():
                # Between two callbacks, where everything is in order.
                self._call_soon(self._root._abort)
                return
            if not is_done:
                self._root.interrupted = main
                main.cancel()
                self._call_soon(lambda: None)
                return
        self._again = True
        if signum == signal.SIGINT:
            # It may be caught on its way, by a group that waits for its tasks.
            self._call_soon(self._root.pierce)
            raise KeyboardInterrupt
        signal.signal(signum, signal.SIG_DFL)
        signal.raise_signal(signum)
        # Process 1 of a container is not killed by what it sends to itself.
        os._exit(128 + signum)
