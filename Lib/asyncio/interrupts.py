"""SIGINT and SIGTERM while a Runner runs a program."""

import contextvars
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
    """What signals do to the tasks of a RootGroup.

    The first signal cancels the group, which gives everything the time that it
    needs to clean up; or it interrupts what the shutdown that follows waits
    for.  Then end() and end_shutdown() return what the signal stands for, and
    the Runner raises that.

    A further signal does not wait for any task: KeyboardInterrupt is raised
    where the program stands, and no shield holds any more; SIGTERM kills the
    process.

    The handlers are installed for one call of Runner.run() and for
    Runner.close(); asyncio.run() installs them once for both.
    """

    def __init__(self, loop, root):
        self._loop = loop
        self._root = root
        self._first = None  # The signal that came first.
        self._told = False  # The Runner knows what that stands for.
        self._again = False  # There was another one.
        self._installed = []
        self._outer = None  # What is active when the handlers are restored.
        self._wakeup_fd = None  # The one that has been set.
        self._previous_fd = -1

    def install(self):
        """Install the handlers, where the program has none of its own."""
        global _active
        if (self._installed
                or threading.current_thread() is not threading.main_thread()):
            return
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
        if self._installed:
            self._set_wakeup_fd()
            self._outer, _active = _active, self
            _watch_forks()

    def _set_wakeup_fd(self):
        """Have a signal wake the loop also if another thread gets it.

        As loop.add_signal_handler() does, where the loop has a socket for it.
        A socket that is full wakes the loop as well, so that is no reason for
        a warning.
        """
        csock = getattr(self._loop, '_csock', None)
        if isinstance(csock, socket.socket):
            fd = csock.fileno()
            previous = signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
            if previous == -1:
                self._wakeup_fd = fd
            else:
                self._previous_fd = previous
                signal.set_wakeup_fd(previous)
        else:
            # Another kind of loop has set its own by the time it calls this.
            self._previous_fd = signal.set_wakeup_fd(-1)
            signal.set_wakeup_fd(self._previous_fd)
            if not self._loop.is_closed():
                self._loop.call_soon(self._silence_wakeup_fd)

    def _silence_wakeup_fd(self):
        if self._installed:
            current = signal.set_wakeup_fd(-1)
            signal.set_wakeup_fd(
                current, warn_on_full_buffer=current == self._previous_fd)

    def restore_wakeup_fd(self):
        """Take back the wake-up descriptor, before the loop is closed."""
        if self._wakeup_fd is not None and not self._loop._signal_handlers:
            current = signal.set_wakeup_fd(-1)
            if current not in (self._wakeup_fd, -1):
                signal.set_wakeup_fd(current)
        self._wakeup_fd = None

    def restore(self):
        """Restore the handlers that were there before."""
        global _active
        if self._installed:
            self.restore_wakeup_fd()
            installed, self._installed = self._installed, []
            for signum in installed:
                if signal.getsignal(signum) == self._on_signal:
                    signal.signal(signum, _DEFAULTS[signum])
            if _active is self:
                _active = self._outer
            self._outer = None

    def end(self, exc):
        """Main has ended: return what is to be raised in the place of *exc*.

        None means that *exc* is raised, or that the result is returned if
        there is no *exc*.
        """
        if self._first is None:
            return None
        if self._again:
            self._root.disable_shields()
            self._shorten(exc)
        self._told = True
        if 'signals' in legacy():
            return self._end_legacy(exc)
        # If the loop did not come to it.
        self._root._abort()
        if exc is None and self._root.main_interrupted:
            return None
        return self._interrupt(exc)

    def end_shutdown(self, exc, under_way):
        """The Runner is closed: return what is to be raised instead of *exc*.

        *under_way* is the exception that was being handled at its beginning.
        """
        if self._again:
            self._root.forget_tasks()
            self._shorten(exc)
        if self._first is None or self._told:
            return None
        return self._interrupt(exc, under_way)

    def _interrupt(self, exc, under_way=None):
        if isinstance(exc, (KeyboardInterrupt, SystemExit)):
            return None
        if self._first == signal.SIGINT:
            interrupt = KeyboardInterrupt()
        else:
            interrupt = exceptions.Terminated()
        if isinstance(exc, exceptions.CancelledError):
            # That shows where main was interrupted, which is all there is to
            # say about it.
            interrupt.__traceback__ = _skip_runner(exc.__traceback__)
            interrupt.__context__ = exc.__context__
            interrupt.__cause__ = exc.__cause__
            interrupt.__suppress_context__ = exc.__suppress_context__
        elif exc is not None:
            interrupt.__cause__ = exc
        if isinstance(interrupt, exceptions.Terminated):
            # Which is not shown, nor is where it came from.
            for error in exc, under_way:
                if not isinstance(error, _QUIET):
                    self._loop.call_exception_handler({
                        'message': 'An error in the course of the shutdown by '
                                   f'{signal.Signals(self._first).name}',
                        'exception': error,
                    })
        return interrupt

    def _shorten(self, exc):
        """Take the frames of the loop out of what a second signal has raised.

        What remains shows where the code of the program stood.
        """
        if isinstance(exc, KeyboardInterrupt):
            first = exc.__traceback__
            tb = first.tb_next
            while tb is not None and _is_of_the_loop(tb.tb_frame):
                tb = tb.tb_next
            first.tb_next = tb

    def _end_legacy(self, exc):
        if isinstance(exc, exceptions.CancelledError):
            # Other code may have cancelled the main task as well.
            uncancel = getattr(self._root.interrupted, 'uncancel', None)
            if uncancel is not None and uncancel() == 0:
                interrupt = KeyboardInterrupt()
                interrupt.__context__ = exc
                return interrupt
        return None

    def _call_soon(self, callback, *args):
        """Have the loop, which may be waiting, call something at once.

        Not in the context of the code that the signal has interrupted.
        """
        if not self._loop.is_closed():
            contextvars.Context().run(self._loop.call_soon_threadsafe,
                                      callback, *args)

    def _cancel(self):
        # A callback of the loop; it may come too late.
        if self._installed and not self._told:
            self._root.interrupt()

    def _disable_shields(self):
        if self._installed:
            self._root.disable_shields()

    def _on_signal(self, signum, frame):
        if not self._installed:
            # The program has saved this handler, and restored it too late.
            if _active is not None:
                _active._on_signal(signum, frame)
            elif signum == signal.SIGINT:
                signal.default_int_handler(signum, frame)
            else:
                signal.signal(signum, _DEFAULTS[signum])
                signal.raise_signal(signum)
            return
        if self._first is None:
            self._first = signum
            if 'signals' not in legacy():
                # Between two callbacks, where everything is in order.
                self._call_soon(self._cancel)
                return
            main = self._root.main
            if main is not None and not main.done():
                self._root.interrupted = main
                main.cancel()
                self._call_soon(lambda: None)
                return
        self._again = True
        if signum == signal.SIGINT:
            # It may be caught on its way, by a group that waits for its tasks.
            self._call_soon(self._disable_shields)
            if (getattr(_forking, 'under_way', False)
                    or frame is not None and frame.f_code in _FORK_HOOKS):
                # What the hooks raise is ignored.
                self._call_soon(_raise_keyboard_interrupt)
                return
            raise KeyboardInterrupt
        signal.signal(signum, signal.SIG_DFL)
        signal.raise_signal(signum)
        # Process 1 of a container is not killed by what it sends to itself.
        os._exit(128 + signum)

    def _restore_in_child(self):
        if self._installed:
            for signum in self._installed:
                if signal.getsignal(signum) == self._on_signal:
                    signal.signal(signum, _DEFAULTS[signum])
            self._installed = []
            signal.set_wakeup_fd(self._previous_fd)
        self._outer = self._wakeup_fd = None


# What need not be reported.
_QUIET = (exceptions.CancelledError, KeyboardInterrupt, SystemExit, type(None))


def _skip_runner(tb):
    """Return *tb* from where it enters the main coroutine."""
    names = f'{__package__}.runners', f'{__package__}.groups'
    while tb is not None and tb.tb_frame.f_globals.get('__name__') in names:
        tb = tb.tb_next
    return tb


def _is_of_the_loop(frame):
    name = frame.f_globals.get('__name__', '')
    return name == 'selectors' or name.startswith(f'{__package__}.')


def _raise_keyboard_interrupt():
    raise KeyboardInterrupt


# Children that are forked meanwhile get the handlers that were there before.

_active = None  # The Interrupts whose handlers are installed.
_forking = threading.local()  # The state of a thread that is forking.
_watching_forks = False


def _watch_forks():
    global _watching_forks
    if (not _watching_forks and hasattr(os, 'register_at_fork')
            and hasattr(signal, 'pthread_sigmask')
            and 'signals' not in legacy()):
        _watching_forks = True
        os.register_at_fork(before=_before_fork,
                            after_in_parent=_after_fork_in_parent,
                            after_in_child=_after_fork_in_child)


def _before_fork():
    # One that reaches the child before it has its own handlers would be lost.
    if _active is not None:
        _forking.under_way = True
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _DEFAULTS)
        _forking.blocked = _DEFAULTS.keys() - before


def _after_fork_in_parent():
    if getattr(_forking, 'under_way', False):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _forking.blocked)
        _forking.under_way = False


def _after_fork_in_child():
    global _active
    active, _active = _active, None
    while active is not None:
        outer = active._outer
        active._restore_in_child()
        active = outer
    _after_fork_in_parent()


_FORK_HOOKS = {_before_fork.__code__, _after_fork_in_parent.__code__}
