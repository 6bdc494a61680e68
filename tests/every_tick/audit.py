"""What a run may not leave: looked for in the process, on the loop, and in what is printed.

A descriptor, a child process, a thread, a signal handler and the wake-up descriptor belong to the process, and are
compared with what was there before the loop was made.  A task, a timer and a watched descriptor belong to the loop, and
are looked for while it still runs, because closing it would hide them.  Some of it takes a moment to go: it is given
time.
"""

import asyncio
import gc
import logging
import os
import re
import signal
import sys
import threading
import time
import warnings

PATIENCE = 2.0          # seconds that what is to go may take; see run.py --patience
LITTLE_PATIENCE = 0.1   # the same in a program that has left something already
_SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGCHLD


class Messages(logging.Handler):
    """Collects what would be printed: logs, warnings, exceptions that cannot be raised."""

    def __init__(self):
        super().__init__()
        self.found = []
        logger = logging.getLogger('asyncio')
        logger.addHandler(self)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        warnings.simplefilter('always')
        warnings.showwarning = self._warning
        sys.unraisablehook = self._unraisable
        threading.excepthook = self._thread

    def emit(self, record):
        error = record.exc_info[1] if record.exc_info else None
        self.found.append(f'logged: {record.getMessage().splitlines()[0]}' + (f' ({error!r})' if error else ''))

    def _warning(self, message, category, filename, lineno, file=None, line=None):
        self.found.append(f'{category.__name__}: {message}')

    def _unraisable(self, unraisable):
        self.found.append(f'unraisable: {unraisable.exc_value!r} in {unraisable.object!r}')

    def _thread(self, args):
        self.found.append(f'error of a thread: {args.exc_value!r}')

    def take(self):
        found, self.found = self.found, []
        return found


class Process:
    """What the process had before a run."""

    def __init__(self):
        self._before = self._state()

    def problems(self, patience):
        """Return what is there now and was not then, or the other way round; wait for what is on its way out."""
        found = _wait(self._differences, patience)
        if found:
            gc.collect()  # For the next run; a ResourceWarning then tells what it was.
        return found

    @staticmethod
    def _state():
        threads = {thread.name for thread in threading.enumerate()}
        handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        wakeup = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(wakeup)
        return descriptors(), children(), threads, handlers, wakeup

    def _differences(self):
        fds, processes, threads, handlers, wakeup = self._state()
        fds_before, processes_before, threads_before, handlers_before, wakeup_before = self._before
        found = [f'descriptor left: {kind(what)}' for fd, what in fds.items() if fds_before.get(fd) != what]
        found += [f'descriptor closed that was there before: {kind(what)}' for fd, what in fds_before.items()
                  if fd not in fds]
        found += [f'child process left: {state}' for state in sorted(
            state for pid, state in processes.items() if pid not in processes_before)]
        found += [f'thread left: {name}' for name in sorted(threads - threads_before)]
        found += [f'handler of signal {number} left: {handler}' for number, handler in handlers.items()
                  if handler != handlers_before[number]]
        if wakeup != wakeup_before:
            found.append('wake-up descriptor of signals left')
        return found


def descriptors():
    """Return {number: what it is} of the open descriptors."""
    found = {}
    for name in os.listdir('/proc/self/fd'):
        try:
            found[int(name)] = os.readlink(f'/proc/self/fd/{name}')
        except OSError:
            pass  # That of the listing.
    return found


def kind(what):
    """Return what a descriptor is, without its number."""
    return what.partition(':[')[0]


def children():
    """Return {pid: state} of the children, zombies included."""
    found = {}
    for thread in os.listdir('/proc/self/task'):
        for pid in _read(f'/proc/self/task/{thread}/children').split():
            if state := _read(f'/proc/{pid}/stat').rpartition(')')[2].split():
                found[int(pid)] = 'zombie' if state[0] == 'Z' else 'running'
    return found


def _read(path):
    """Return what is in a file of /proc, or nothing, if its thread or process has ended."""
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ''


async def loop_problems(allowed_fds, patience):
    """Return what the loop still has when a program has ended: tasks, timers, watched descriptors.

    allowed_fds are those that it has watched before the program.
    """
    loop = asyncio.get_running_loop()
    me = asyncio.current_task()
    deadline = time.monotonic() + patience
    turns = 0
    while True:
        found = [f'task left: {_coroutine(task)}' for task in asyncio.all_tasks() if task is not me]
        if hasattr(loop, '_scheduled'):
            timers = [_callback(timer) for timer in loop._scheduled if not timer.cancelled()]
            if shared := [timer for timer in timers if '_LoopState' in timer]:
                timers.remove(shared[0])  # One for all scopes, which stays until it is due.
            found += [f'timer left: {timer}' for timer in timers]
            found += [f'watched descriptor left: {kind(descriptors().get(fd, "closed"))}'
                      for fd in watched(loop) - allowed_fds]
        if not found or time.monotonic() > deadline:
            return found
        turns += 1
        if turns > 10:
            time.sleep(0.0005)
        await asyncio.sleep(0)


def watched(loop):
    """Return the numbers of the descriptors that asyncio's loop watches."""
    return set(loop._selector.get_map()) if hasattr(loop, '_selector') else set()


def _coroutine(task):
    coro = task.get_coro()
    return getattr(coro, '__qualname__', type(coro).__qualname__)


def _callback(timer):
    callback = timer._callback
    return getattr(callback, '__qualname__', repr(callback))


def _wait(look, patience):
    deadline = time.monotonic() + patience
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(0.001)
    return found


def general(problem):
    """Return a problem without what differs from run to run, so that problems of one kind are equal."""
    problem = re.sub(r'0x[0-9a-f]+', '0x…', problem)
    problem = re.sub(r'/tmp/[\w/]*', '/tmp/…', problem)
    return re.sub(r'\d+', 'N', problem)


def describe(exc):
    if isinstance(exc, BaseExceptionGroup):
        return f'{type(exc).__name__} of {", ".join(describe(each) for each in exc.exceptions)}'
    return repr(exc)
