"""Utilities of the tests that send signals to programs.

The programs are processes of their own.  They say where they are, a line at a
time, and the test sends a signal when it has read that line.  Where it matters
that the loop is waiting when the signal comes, the line comes from its
selector ("blocked").
"""

import functools
import selectors
import signal
import sys
import unittest
from test import support

from test.test_asyncio import child_utils
from test.test_asyncio import scope_utils


if sys.platform == 'win32':
    raise unittest.SkipTest('a process cannot be sent SIGINT or SIGTERM')
if not support.has_subprocess_support:
    raise unittest.SkipTest('requires subprocesses')


SIGNALS = signal.SIGINT, signal.SIGTERM
PAIRS = [(first, second) for first in SIGNALS for second in SIGNALS]

# What ends a program that lets the exception pass that run() raises.
RAISED = {signal.SIGINT: 'raised KeyboardInterrupt()',
          signal.SIGTERM: 'raised Terminated()'}
EXIT_CODES = {signum: -signum for signum in SIGNALS}

PRELUDE = '''\
import os
import selectors
import signal
import sys
import threading
import time

TASKS, EAGER, SELECTOR, ANNOUNCE = {settings}

if TASKS == 'no accelerator':
    sys.modules['_asyncio'] = None

import asyncio
from asyncio import tasks

# The process that runs the tests may ignore them (nohup).
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)

if TASKS == 'Python':
    from test.test_asyncio import scope_utils
    scope_utils.use_python_implementation()


def say(*words):
    print(*words, flush=True)


def make_loop():
    base = getattr(selectors, SELECTOR)

    class Announcing(base):
        def select(self, timeout=None):
            if timeout is None or timeout > 60:
                say('blocked')
            return super().select(timeout)

    loop = asyncio.SelectorEventLoop(Announcing() if ANNOUNCE else base())
    cls = tasks._PyTask if TASKS == 'Python' else tasks.Task
    if EAGER:
        loop.set_task_factory(asyncio.create_eager_task_factory(cls))
    elif TASKS == 'Python':
        loop.set_task_factory(
            lambda loop, coro, **kwargs: cls(coro, loop=loop, **kwargs))
    return loop


# What most programs have.
loop_factory = make_loop
if (TASKS, EAGER, SELECTOR, ANNOUNCE) == ('C', False, 'DefaultSelector', False):
    loop_factory = None


def say_outcome(function, *args, **kwargs):
    try:
        result = function(*args, **kwargs)
    except BaseException as exc:
        say('raised', repr(exc))
        raise
    say('returned', repr(result))


def run(main, **kwargs):
    say_outcome(asyncio.run, main, loop_factory=loop_factory, **kwargs)


def say_handlers(*words):
    say(*words, *['default' if signal.getsignal(signum) is default else 'other'
                  for signum, default in (
                      (signal.SIGINT, signal.default_int_handler),
                      (signal.SIGTERM, signal.SIG_DFL))])


def compute():
    # Not one long sleep(): a signal that comes right before it, when Python has
    # looked for signals, would not be seen before its end.
    while True:
        time.sleep(0.01)


async def forever():
    await asyncio.get_running_loop().create_future()


async def permission():
    """Wait for the test to send a line."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def on_input():
        loop.remove_reader(0)
        os.read(0, 100)
        if not future.done():
            future.set_result(None)

    loop.add_reader(0, on_input)
    await future


async def clean_up(name):
    """Takes some turns of the loop, and waits."""
    with asyncio.CancelScope(shield=True):
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        say(name, 'cleaned up')
'''


class SignalTestCase(child_utils.ProgramTestCase):

    prelude = PRELUDE
    tasks = 'C'
    eager = False
    selector = 'DefaultSelector'

    def start(self, text, announce=False):
        return child_utils.Program(self, self.make_text(
            text, self.tasks, self.eager, self.selector, announce))

    def finish_failed(self, program, signum, *lines, shown):
        """Expect what the signal stands for, though there is an error.

        Main has not finished normally, so run() raises that (8.2); but the
        error is not lost (7.4): *shown* are lines on stderr.
        """
        found = program.finish(*lines, RAISED[signum],
                               code=EXIT_CODES[signum], quiet=False)
        found = [line.lstrip(' |') for line in found.splitlines()]
        for line in shown:
            self.assertIn(line, found)

    def finish_hard(self, program, second, *, says=()):
        """Expect what the second signal demands."""
        if second == signal.SIGINT:
            program.finish(*says, RAISED[signal.SIGINT], code=-signal.SIGINT)
        else:
            # Nothing else runs.
            program.finish(code=-signal.SIGTERM)


def variants(settings):
    """Class decorator: put one test class per variant into base's module."""
    if support.check_sanitizer(thread=True):
        # Each of many programs takes seconds to start.
        settings = settings[:1]
    return scope_utils.matrix(case=SignalTestCase, variants=[
        type(f'{tasks}_{selector}'.replace(' ', ''), (), {
            'tasks': tasks.removesuffix(' eager'),
            'eager': tasks.endswith(' eager'),
            'selector': selector})
        for tasks, selector in settings])


def each_signal(test):
    """Decorator: run the test for SIGINT and for SIGTERM."""
    @functools.wraps(test)
    def run(self, *args):
        for signum in SIGNALS:
            with self.subTest(signum.name):
                test(self, *args, signum)
    return run


def each_pair(test):
    """Decorator: run the test for each pair of two signals."""
    @functools.wraps(test)
    def run(self, *args):
        for first, second in PAIRS:
            with self.subTest(f'{first.name}, {second.name}'):
                test(self, *args, first, second)
    return run


# The kinds of tasks, and the selectors, that most tests run on.
SOME = [(tasks, selector)
        for tasks, selector in (('C', 'DefaultSelector'),
                                ('C eager', 'SelectSelector'),
                                ('Python', 'PollSelector'),
                                ('Python eager', 'DefaultSelector'))
        if hasattr(selectors, selector)]


# Main, members of two groups and a task in the background.
EVERYWHERE = '''
waiting = 0

async def work(name):
    global waiting
    try:
        waiting += 1
        if waiting == 4:
            say('ready')
        # Trap 31: this is how long the loop would sleep.
        await asyncio.sleep(3600)
        say('not reached')
    finally:
        await clean_up(name)

async def main():
    asyncio.create_task(work('background'))
    async with asyncio.TaskGroup() as outer:
        outer.create_task(work('member'))
        async with asyncio.TaskGroup() as inner:
            inner.create_task(work('inner member'))
            await work('main')

run(main())
'''
