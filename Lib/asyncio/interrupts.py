"""SIGINT and SIGTERM while a Runner runs a program."""

import contextvars
import os
import signal
import socket
import threading

from . import cancelscopes
from . import exceptions


class Interrupts:
    """What signals do to the tasks of a RootGroup.

    The first signal cancels the group, which gives all tasks the time that
    they need for cleanup; or it ends what the shutdown that follows waits for.
    Then main_ended() and shutdown_ended() return the exception that stands for
    the signal, and the Runner raises that.

    A further signal does not wait for any task: KeyboardInterrupt is raised
    where the program stands, and no shield holds any more; SIGTERM kills the
    process.

    The handlers are installed for one call of Runner.run() and for
    Runner.close(); asyncio.run() installs them once for both.
    """

    # What is replaced: a program that has installed a handler keeps it.
    _DEFAULTS = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
    }
    covers_shutdown = True  # The handlers are installed for close() as well.

    def __init__(self, loop, root):
        self._loop = loop
        self._root = root
        self._first = None  # The signal that came first.
        self._raised = False  # main_ended() has returned what it stands for.
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
        for signum, default in self._DEFAULTS.items():
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
            self._watch_forks()

    def restore(self):
        """Restore the handlers that were there before."""
        global _active
        if self._installed:
            self.restore_wakeup_fd()
            self._restore_handlers()
            if _active is self:
                _active = self._outer
            self._outer = None

    def _restore_handlers(self):
        installed, self._installed = self._installed, []
        for signum in installed:
            if signal.getsignal(signum) == self._on_signal:
                signal.signal(signum, self._DEFAULTS[signum])

    def _set_wakeup_fd(self):
        """Have a signal wake the loop also if another thread gets it.

        As loop.add_signal_handler() does, if the loop has a socket for it.  A
        socket that is full wakes the loop as well, so that is no reason for a
        warning.
        """
        self._previous_fd = signal.set_wakeup_fd(-1)
        csock = getattr(self._loop, '_csock', None)
        if isinstance(csock, socket.socket) and self._previous_fd == -1:
            self._wakeup_fd = csock.fileno()
            signal.set_wakeup_fd(self._wakeup_fd, warn_on_full_buffer=False)
            return
        signal.set_wakeup_fd(self._previous_fd)
        if not isinstance(csock, socket.socket) and not self._loop.is_closed():
            # Another kind of loop will have set its own when it runs this.
            self._loop.call_soon(self._silence_wakeup_fd)

    def _silence_wakeup_fd(self):
        if self._installed:
            current = signal.set_wakeup_fd(-1)
            signal.set_wakeup_fd(
                current, warn_on_full_buffer=current == self._previous_fd)

    def restore_wakeup_fd(self):
        """Restore the wakeup descriptor, before the loop is closed."""
        # (Only the loops of Unix have signal handlers of their own.)
        if (self._wakeup_fd is not None
                and not getattr(self._loop, '_signal_handlers', None)):
            current = signal.set_wakeup_fd(-1)
            if current not in (self._wakeup_fd, -1):
                signal.set_wakeup_fd(current)
        self._wakeup_fd = None

    def main_ended(self, exc):
        """Return the exception to raise in place of *exc*.

        None means that *exc* is raised, or that the result of main is returned
        if *exc* is None.
        """
        if self._first is None:
            return None
        if self._again:
            self._root.disable_shields()
            _shorten(exc)
        self._raised = True
        self._root.interrupt()  # If the loop has not come to it.
        if exc is None and self._root.main_interrupted:
            return None
        return self._replace(exc)

    def shutdown_ended(self, exc, under_way):
        """Return the exception to raise in place of *exc*, or None.

        *under_way* is the exception that was being handled when the shutdown
        began.
        """
        if self._again:
            self._root.forget_tasks()
            _shorten(exc)
        if self._first is None or self._raised:
            return None
        return self._replace(exc, under_way)

    def _replace(self, exc, under_way=None):
        if isinstance(exc, (KeyboardInterrupt, SystemExit)):
            return None
        interrupt = (KeyboardInterrupt() if self._first == signal.SIGINT
                     else exceptions.Terminated())
        if isinstance(exc, exceptions.CancelledError):
            # Its traceback shows where main was interrupted, which is all that
            # the reader of the new one needs of it.
            interrupt.__traceback__ = _skip_runner(exc.__traceback__)
            interrupt.__context__ = exc.__context__
            interrupt.__cause__ = exc.__cause__
            interrupt.__suppress_context__ = exc.__suppress_context__
        elif exc is not None:
            interrupt.__cause__ = exc
        if self._first == signal.SIGTERM:
            # Terminated prints no traceback, so report its cause here.
            for error in exc, under_way:
                if error is not None and not isinstance(
                        error, (exceptions.CancelledError, KeyboardInterrupt,
                                SystemExit)):
                    cancelscopes._report(
                        self._loop, error,
                        'Exception during shutdown on SIGTERM', None)
        return interrupt

    def _on_signal(self, signum, frame):
        if not self._installed:
            # The program has saved this handler, and restored it too late.
            if _active is not None:
                _active._on_signal(signum, frame)
            elif signum == signal.SIGINT:
                signal.default_int_handler(signum, frame)
            else:
                _kill_process(signum)
        elif self._first is None:
            self._first = signum
            self._on_first_signal(signum, frame)
        else:
            self._on_further_signal(signum, frame)

    def _on_first_signal(self, signum, frame):
        # In a callback, between the steps of tasks.
        self._call_soon(self._cancel)

    def _cancel(self):
        # This may run too late.
        if self._installed and not self._raised:
            self._root.interrupt()

    def _on_further_signal(self, signum, frame):
        self._again = True
        if signum != signal.SIGINT:
            _kill_process(signum)
        # A group that waits for its tasks may catch the KeyboardInterrupt.
        self._call_soon(self._disable_shields)
        if (getattr(_forking, 'under_way', False)
                or frame is not None and frame.f_code in _FORK_HOOKS):
            # What is raised in the hooks of a fork is ignored.
            self._call_soon(_raise_keyboard_interrupt)
        else:
            raise KeyboardInterrupt

    def _disable_shields(self):
        if self._installed:
            self._root.disable_shields()

    def _call_soon(self, callback):
        """Have the loop, which may be waiting, call *callback* at once.

        Not in the context of the code that the signal has interrupted.
        """
        if not self._loop.is_closed():
            contextvars.Context().run(
                self._loop.call_soon_threadsafe, callback)

    def _watch_forks(self):
        global _watching_forks
        if (not _watching_forks and hasattr(os, 'register_at_fork')
                and hasattr(signal, 'pthread_sigmask')):
            _watching_forks = True
            os.register_at_fork(before=_before_fork,
                                after_in_parent=_after_fork_in_parent,
                                after_in_child=_after_fork_in_child)

    def _restore_in_child(self):
        if self._installed:
            self._restore_handlers()
            signal.set_wakeup_fd(self._previous_fd)
        self._outer = self._wakeup_fd = None
        self._root.leave_to_parent()


def restore_wakeup_fd(loop):
    """Set the wakeup descriptor again after *loop* has reset it.

    It does that with its last signal handler.
    """
    if (_active is not None and _active._loop is loop
            and _active._wakeup_fd is not None):
        signal.set_wakeup_fd(_active._wakeup_fd, warn_on_full_buffer=False)


def _kill_process(signum):
    """Do what *signum* does by default."""
    signal.signal(signum, signal.SIG_DFL)
    signal.raise_signal(signum)
    # Process 1 of a container is not killed by a signal from itself.
    os._exit(128 + signum)


def _raise_keyboard_interrupt():
    raise KeyboardInterrupt


def _shorten(exc):
    """Remove the frames of the loop from a KeyboardInterrupt's traceback.

    It then shows where the code of the program stood.
    """
    if isinstance(exc, KeyboardInterrupt):
        first = exc.__traceback__
        tb = first.tb_next
        while tb is not None and _is_of_the_loop(tb.tb_frame):
            tb = tb.tb_next
        first.tb_next = tb


def _is_of_the_loop(frame):
    name = frame.f_globals.get('__name__', '')
    return name == 'selectors' or name.startswith(f'{__package__}.')


def _skip_runner(tb):
    """Return *tb* from where it enters the main coroutine."""
    names = f'{__package__}.runners', f'{__package__}.rootgroup'
    while tb is not None and tb.tb_frame.f_globals.get('__name__') in names:
        tb = tb.tb_next
    return tb


# Child processes that are forked meanwhile get the handlers that were there
# before.

_active = None  # The Interrupts whose handlers are installed.
_forking = threading.local()  # The state of a thread that is forking.
_watching_forks = False


def _before_fork():
    # A signal that reaches the child before it has its own handlers would be
    # lost.
    if _active is not None:
        _forking.under_way = True
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _active._DEFAULTS)
        _forking.blocked = _active._DEFAULTS.keys() - before


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
