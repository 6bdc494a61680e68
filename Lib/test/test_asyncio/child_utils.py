"""Programs and tests that run in processes of their own."""

import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import unittest
from test import support
from test.support import script_helper


def run_program(program, *options, timeout=support.SHORT_TIMEOUT, **env):
    """Run a program; return its exit code, stdout and stderr.

    *env* is added to the environment.  The exit code of a program that had to
    be killed, because it took too long, is None.
    """
    # As in test.support.script_helper, whose functions have no time limit.
    isolation = [] if env else ['-E']
    with subprocess.Popen(
            [sys.executable, '-X', 'faulthandler', *isolation, *options,
             '-c', program],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            env={**os.environ, 'TERM': 'dumb', **env}) as child:
        try:
            out, err = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate()
            return None, out, f'it hung\n{err}'
    return child.returncode, out, err


def run_test(test):
    """Run a test; return what has failed and why it was skipped, as texts."""
    result = unittest.TestResult()
    test.run(result)
    # The name of a subtest tells which one it is.
    problems = [f'{test}\n{text}'
                for test, text in [*result.errors, *result.failures]]
    return '\n'.join(problems), '\n'.join(reason
                                          for test, reason in result.skipped)


# ----- Tests in a child process -----

in_child = False


class IsolatedTestCase:
    """A mixin of a ScopeTestCase whose tests run in a child process.

    One child runs all tests of the class.  If it dies, another one runs the
    remaining tests.
    """

    def _callTestMethod(self, method):
        if in_child:
            super()._callTestMethod(method)
            return
        self.loop.close()
        problems, skipped = run_isolated(type(self))[method.__name__]
        if skipped:
            self.skipTest(skipped)
        if problems:
            self.fail(problems)


def run_in_child(module, class_name, names):
    """In the child: print the outcome of each test, in a line."""
    global in_child
    in_child = True
    cls = getattr(importlib.import_module(module), class_name)
    for name in names:
        print(json.dumps([name]), flush=True)
        print(json.dumps([name, *run_test(cls(name))]), flush=True)


@functools.cache
def run_isolated(cls):
    """Return {test: (its problems, why it was skipped)}."""
    if not support.has_subprocess_support:
        raise unittest.SkipTest('requires subprocesses')
    left = unittest.TestLoader().getTestCaseNames(cls)
    outcomes = {}
    while left:
        program = (f'from test.test_asyncio import child_utils; '
                   f'child_utils.run_in_child({cls.__module__!r}, '
                   f'{cls.__name__!r}, {left!r})')
        env = {}
        if not support.check_sanitizer(address=True):
            env['PYTHONMALLOC'] = 'debug'   # overwrites freed memory
        returncode, out, err = run_program(
            program, timeout=support.LONG_TIMEOUT, **env)
        begun = None
        for line in out.splitlines():
            if not line.startswith('["test_'):
                continue        # printed by the test itself
            name, *outcome = json.loads(line)
            if outcome:
                outcomes[name], begun = outcome, None
            else:
                begun = name
        if begun is None and returncode:
            begun = next((name for name in left if name not in outcomes),
                         left[-1])
        if begun is not None:
            outcomes[begun] = [f'the child died: exit code {returncode}\n'
                               f'{err[-5000:]}', '']
        left = [name for name in left if name not in outcomes]
    return outcomes


# ----- Programs that are talked to -----

class Program:
    """A running program; it is killed if it takes too long."""

    def __init__(self, test, text):
        self.test = test
        self.lines = []         # what it has said
        self.hung = False
        self.stderr = tempfile.TemporaryFile('w+')
        test.addCleanup(self.stderr.close)
        self.process = script_helper.spawn_python(
            '-c', text, stderr=self.stderr, text=True)
        self.watchdog = threading.Timer(support.SHORT_TIMEOUT, self.on_timeout)
        self.watchdog.start()
        test.addCleanup(self.clean_up)

    def on_timeout(self):
        self.hung = True
        self.process.kill()

    def clean_up(self):
        self.watchdog.cancel()
        self.watchdog.join()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass

    def fail(self, message):
        if self.hung:
            message = f'the program was killed, it hung; {message}'
        self.process.kill()
        self.process.wait()
        self.test.fail(f'{message}\nit said: {self.lines}\n'
                       f'and on stderr:\n{self.read_stderr()}')

    def read_stderr(self):
        self.stderr.seek(0)
        return self.stderr.read()

    def read_line(self, expected=''):
        """Read a line; skip how often the loop has waited, unless expected."""
        while True:
            line = self.process.stdout.readline().rstrip('\n')
            self.lines.append(line)
            if line != 'blocked' or expected == 'blocked':
                return line

    def expect(self, *lines):
        """Read exactly these lines."""
        for expected in lines:
            line = self.read_line(expected)
            if line != expected:
                self.fail(f'{expected!r} was expected, not {line!r}')

    def expect_in_any_order(self, *lines):
        found = [self.read_line() for _ in lines]
        if sorted(found) != sorted(lines):
            self.fail(f'{sorted(lines)} were expected, not {sorted(found)}')

    def expect_blocked(self):
        """The loop has nothing to do: wait until its thread sleeps."""
        self.expect('blocked')
        stat = f'/proc/{self.process.pid}/task/{self.process.pid}/stat'
        if not os.path.exists(stat):
            return              # the signal can come a moment too early
        while self.process.poll() is None:
            with open(stat, 'rb') as file:
                if file.read().rpartition(b')')[2].split()[0] == b'S':
                    return
            os.sched_yield()
        self.fail('the program was expected to wait')

    def send(self, signum):
        self.process.send_signal(signum)

    def permit(self):
        # The signals that were sent before are handled before this is read.
        try:
            self.process.stdin.write('go on\n')
            self.process.stdin.flush()
        except BrokenPipeError:
            self.fail('the program has ended')

    def finish(self, *lines, code, stderr=None, quiet=True):
        """Expect the rest of the lines, and how the process ends.

        *stderr* is the beginning of the last line there.  If it is *quiet*,
        asyncio complains of nothing.
        """
        self.expect(*lines, '')
        returncode = self.process.wait()
        if returncode != code or self.hung:
            self.fail(f'exit code {code} was expected, not {returncode}')
        found = self.read_stderr()
        if not quiet:
            return found
        if stderr is None:
            stderr = 'KeyboardInterrupt' if code == -signal.SIGINT else ''
        *before, last = found.splitlines() or ['']
        if not (last.lstrip().startswith(stderr) if stderr else found == ''):
            self.fail(f'{stderr!r} was expected at the end of stderr')
        # No task was forgotten, no coroutine never awaited.
        for noise in 'never', 'destroyed', 'ignored', 'Unhandled':
            if noise in found:
                self.fail(f'noise on stderr: {noise}')
        return found


class ProgramTestCase(unittest.TestCase):
    """Runs programs that begin with a prelude, which is told the variant."""

    prelude = ''

    def setUp(self):
        super().setUp()
        if not support.has_subprocess_support:
            self.skipTest('requires subprocesses')

    def make_text(self, text, *settings):
        """Return a program; the prelude has its *settings* as a tuple."""
        return (self.prelude.replace('{settings}', repr(settings))
                + textwrap.dedent(text))
