"""Messages, progress and logged steps.

Everything for the reader's eye goes to stderr: stdout belongs to the verbs that answer something (`python`, `help`).
"""

import collections
import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time

from tools import processes


class UserError(Exception):
    """An error that the user can fix; its text says what is wrong and the way out."""


def say(text):
    """Print one line of progress."""
    print(f'build.sh: {text}', file=sys.stderr, flush=True)


def warn(text):
    """Print a warning, which does not stop anything."""
    print(f'build.sh: warning: {text}', file=sys.stderr, flush=True)


class LiveLine:
    """A line on a terminal that is overwritten in place; nothing at all where there is no terminal."""

    def __init__(self):
        self._on = sys.stderr.isatty()
        self._last = 0.0

    def show(self, text):
        """Show text, not more than ten times a second."""
        now = time.monotonic()
        if not self._on or now - self._last < 0.1:
            return
        self._last = now
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write('\r\x1b[K' + text.expandtabs()[:width])
        sys.stderr.flush()

    def clear(self):
        """Remove the line."""
        if self._on:
            sys.stderr.write('\r\x1b[K')
            sys.stderr.flush()


def duration(seconds):
    """Return seconds as people write them: 4.2 s, 3 min 20 s."""
    if seconds < 60:
        return f'{seconds:.1f} s'
    return f'{int(seconds) // 60} min {int(seconds) % 60} s'


@contextlib.contextmanager
def timed(what):
    """Say what begins, and how long it took."""
    say(f'{what} ...')
    start = time.monotonic()
    yield
    say(f'{what}: done in {duration(time.monotonic() - start)}')


@contextlib.contextmanager
def _limited(process, limit):
    """Kill process and all below it after `limit` seconds, if not None; give an event that is set if that happened."""
    overdue = threading.Event()

    def stop():
        overdue.set()
        processes.kill({process.pid, *processes.descendants(process.pid)})

    timer = threading.Timer(limit or 0, stop)
    if limit is not None:
        timer.start()
    try:
        yield overdue
    finally:
        timer.cancel()


def run_logged(what, command, *, log, cwd, env=None, hint, echo=False, limit=None):
    """Run command with its output in the file log; show its progress.

    Args:
        what: the name of the step, for the messages.
        command: the program and its arguments.
        log: the Path of the log, which is overwritten.
        cwd: where to run it.
        env: its environment; the own one if None.
        hint: what the user can do when it fails; ends the error's message.
        echo: whether the output is shown whole as it comes, not only as one live line.
        limit: the seconds after which the command and all that it has started are killed; None means never.

    Raises:
        UserError: the command failed or took too long; the end of its output, the log and the hint are in the message.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    say(f'{what} ...')
    start = time.monotonic()
    live = LiveLine()
    tail = collections.deque(maxlen=15)
    with open(log, 'w', encoding='utf-8', errors='replace') as file:
        file.write('$ ' + ' '.join(map(str, command)) + '\n')
        file.flush()
        try:
            process = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, encoding='utf-8', errors='replace')
        except OSError as error:
            raise UserError(f'{what} failed: cannot run {command[0]}: {error.strerror}\n{hint}') from None
        with _limited(process, limit) as overdue, process:
            try:
                for line in process.stdout:
                    file.write(line)
                    if echo:
                        sys.stderr.write(line)
                        sys.stderr.flush()
                    elif line.strip():
                        tail.append(line.rstrip())
                        live.show(f'[{duration(time.monotonic() - start)}] {tail[-1]}')
            except KeyboardInterrupt:
                # The child is in the same process group: Ctrl-C reached it too.  Its end is waited for, so that
                # nothing goes on writing after we are gone.
                process.wait()
                live.clear()
                raise
    live.clear()
    if overdue.is_set():
        output = ''.join(f'  | {line}\n' for line in tail)
        raise UserError(f'{what} was killed: it took longer than {duration(limit)}.\n{output}  Log: {log}\n  {hint}')
    if process.returncode:
        output = ''.join(f'  | {line}\n' for line in tail)
        raise UserError(f'{what} failed (exit status {process.returncode}).\n{output}  Log: {log}\n  {hint}')
    say(f'{what}: done in {duration(time.monotonic() - start)}')


def clean_environment(**changes):
    """Return the environment for build steps: the user's, without what would steer them by accident.

    Python's own variables would be obeyed by the interpreter that is being built, make's by a make that is not the
    caller's child, git's would point a plain git (CPython's Makefile calls one) at another repository.
    """
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(('PYTHON', 'GIT_', 'MAKE', 'MFLAGS', 'DESTDIR', 'ASYNCBIS_'))}
    env.update(changes)
    return env
