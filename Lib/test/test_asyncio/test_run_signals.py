"""SIGINT and SIGTERM sent to programs that asyncio.run() runs.

Names of tests carry the number of the rule that they check.  The programs are
processes of their own.  They say where they are, a line at a time, and the test
sends a signal when it has read that line.  Where it matters that the loop is
waiting when the signal comes, the line comes from its selector ("blocked").

Not checked here: process 1 of a container (trap 33), and other event loops.
"""

import asyncio
import multiprocessing
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import types
import unittest
from test import support
from test.support import script_helper


if sys.platform == 'win32':
    raise unittest.SkipTest('a process cannot be sent SIGINT or SIGTERM')
if not support.has_subprocess_support:
    raise unittest.SkipTest('requires subprocesses')


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


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

# Whoever runs the tests may have been told to ignore them (nohup).
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)

if TASKS == 'Python':
    asyncio.current_task = tasks.current_task = tasks._py_current_task


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


class Program:
    """A process; it is killed if it takes too long."""

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
        """Read a line; how often the loop waits in between is its affair."""
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

    tasks = 'C'
    eager = False
    selector = 'DefaultSelector'

    def start(self, text, announce=False):
        settings = self.tasks, self.eager, self.selector, announce
        return Program(self, PRELUDE.replace('{settings}', repr(settings))
                       + textwrap.dedent(text))

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


def variants(*settings):
    """Class decorator: put one test class per variant into this module."""
    if support.check_sanitizer(thread=True):
        # Each of many programs takes seconds to start.
        settings = settings[:1]

    def make_classes(base):
        for values in settings:
            name = '_'.join([base.__name__, *(str(value).replace(' ', '')
                                              for value in values)])
            attributes = dict(zip(('tasks', 'selector'), values))
            attributes['eager'] = values[0].endswith(' eager')
            attributes['tasks'] = values[0].removesuffix(' eager')
            cls = types.new_class(
                name, (base, ProgramTestCase),
                exec_body=lambda namespace: namespace.update(attributes))
            cls.__module__ = __name__
            globals()[name] = cls
        return base
    return make_classes


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


@variants(*((tasks, selector)
            for tasks in ('C', 'C eager', 'Python', 'Python eager',
                          'no accelerator')
            for selector in ('DefaultSelector', 'PollSelector',
                             'SelectSelector')
            if hasattr(selectors, selector)))
class BasicTests:
    """On all kinds of tasks and selectors."""

    def test_8_2_everything_is_cancelled_and_cleans_up(self):
        # Trap 31: the loop would wait for an hour.
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start(EVERYWHERE)
                program.expect('ready')
                program.send(signum)
                program.expect_in_any_order(
                    'main cleaned up', 'member cleaned up',
                    'inner member cleaned up', 'background cleaned up')
                program.finish(RAISED[signum], code=EXIT_CODES[signum])

    def test_8_3_second_signal_while_a_clean_up_waits(self):
        # Trap 32.
        for first, second in PAIRS:
            with self.subTest(f'{first.name}, {second.name}'):
                program = self.start('''
                    async def main():
                        try:
                            say('ready')
                            await forever()
                        finally:
                            try:
                                with asyncio.CancelScope(shield=True):
                                    await forever()
                            finally:
                                say('finally')

                    run(main())
                ''', announce=True)
                program.expect('ready')
                program.expect_blocked()
                program.send(first)
                program.expect_blocked()
                program.send(second)
                self.finish_hard(program, second, says=['finally'])


SOME = [(tasks, selector)
        for tasks, selector in (('C', 'DefaultSelector'),
                                ('C eager', 'SelectSelector'),
                                ('Python', 'PollSelector'),
                                ('Python eager', 'DefaultSelector'))
        if hasattr(selectors, selector)]


@variants(*SOME)
class FirstSignalTests:
    """Rule 8.2."""

    def test_8_2_while_the_loop_is_in_a_long_select(self):
        """Trap 31."""
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start('''
                    async def main():
                        await asyncio.sleep(3600)
                        say('not reached')

                    run(main())
                ''', announce=True)
                program.expect_blocked()
                program.send(signum)
                program.finish(RAISED[signum], code=EXIT_CODES[signum])

    def test_8_2_in_the_first_step_of_main(self):
        # Nobody waits yet.
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start(f'''
                    async def main():
                        signal.raise_signal({int(signum)})
                        say('goes on')
                        try:
                            await forever()
                        finally:
                            await clean_up('main')

                    run(main())
                ''')
                program.finish('goes on', 'main cleaned up', RAISED[signum],
                               code=EXIT_CODES[signum])

    def test_8_2_main_is_cancelled_by_level(self):
        program = self.start('''
            async def main():
                say('ready')
                for _ in range(3):
                    for yields in (forever, lambda: asyncio.sleep(0)):
                        try:
                            await yields()
                        except asyncio.CancelledError:
                            say('cancelled')
                await forever()

            run(main())
        ''')
        program.expect('ready')
        program.send(signal.SIGTERM)
        program.finish(*['cancelled'] * 6, RAISED[signal.SIGTERM],
                       code=-signal.SIGTERM)

    def test_8_2_task_that_is_made_during_the_shutdown(self):
        # It belongs to the root group, so it is cancelled from the start.
        program = self.start('''
            async def late():
                say('late')
                try:
                    await asyncio.sleep(3600)
                finally:
                    await clean_up('late')

            async def main():
                say('ready')
                try:
                    await forever()
                finally:
                    asyncio.create_task(late())

            run(main())
        ''')
        program.expect('ready')
        program.send(signal.SIGINT)
        program.finish('late', 'late cleaned up', RAISED[signal.SIGINT],
                       code=-signal.SIGINT)

    def test_8_2_shielded_block_completes(self):
        """Trap 27: main hears of it after the block."""
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start('''
                    async def main():
                        with asyncio.CancelScope(shield=True):
                            say('ready')
                            await permission()
                            say('completed')
                        await asyncio.sleep(0)
                        say('not reached')

                    run(main())
                ''')
                program.expect('ready')
                program.send(signum)
                program.permit()
                program.finish('completed', RAISED[signum],
                               code=EXIT_CODES[signum])

    def test_8_2_main_finishes_normally_after_the_cancellation(self):
        """Trap 35."""
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start('''
                    async def main():
                        asyncio.create_task(background())
                        say('ready')
                        try:
                            await forever()
                        except asyncio.CancelledError:
                            return 'result'

                    async def background():
                        try:
                            await forever()
                        finally:
                            await clean_up('background')

                    run(main())
                    say('goes on')
                ''')
                program.expect('ready')
                program.send(signum)
                program.finish('background cleaned up', "returned 'result'",
                               'goes on', code=0)

    def test_8_2_main_finishes_without_having_noticed(self):
        # There is no yield point after the shielded block.
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start('''
                    async def main():
                        with asyncio.CancelScope(shield=True):
                            say('ready')
                            await permission()
                        return 'result'

                    run(main())
                ''')
                program.expect('ready')
                program.send(signum)
                program.permit()
                program.finish(RAISED[signum], code=EXIT_CODES[signum])

    def test_8_2_main_raises_its_own_error(self):
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start('''
                    async def main():
                        try:
                            say('ready')
                            await forever()
                        except asyncio.CancelledError:
                            await clean_up('main')
                            raise ValueError('own')

                    run(main())
                ''')
                program.expect('ready')
                program.send(signum)
                self.finish_failed(program, signum, 'main cleaned up',
                                   shown=['ValueError: own'])

    def test_8_2_main_exits(self):
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start('''
                    async def main():
                        try:
                            say('ready')
                            await forever()
                        except asyncio.CancelledError:
                            sys.exit(3)

                    run(main())
                ''')
                program.expect('ready')
                program.send(signum)
                program.finish('raised SystemExit(3)', code=3)

    def test_8_2_background_task_fails_during_the_shutdown(self):
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start('''
                    async def background():
                        try:
                            await forever()
                        finally:
                            await clean_up('background')
                            raise ValueError('of the clean-up')

                    async def main():
                        task = asyncio.create_task(background())
                        await asyncio.sleep(0)
                        try:
                            say('ready')
                            await forever()
                        finally:
                            await clean_up('main')

                    run(main())
                ''')
                program.expect('ready')
                program.send(signum)
                program.expect_in_any_order('main cleaned up',
                                            'background cleaned up')
                self.finish_failed(
                    program, signum,
                    shown=['ExceptionGroup: unhandled errors in background '
                           'tasks (1 sub-exception)',
                           'ValueError: of the clean-up'])

    def test_8_2_group_of_main_fails_during_the_shutdown(self):
        program = self.start('''
            async def member():
                try:
                    await forever()
                finally:
                    raise ValueError('of the clean-up')

            async def main():
                async with asyncio.TaskGroup() as group:
                    group.create_task(member())
                    await asyncio.sleep(0)
                    say('ready')

            run(main())
        ''')
        program.expect('ready')
        program.send(signal.SIGINT)
        self.finish_failed(
            program, signal.SIGINT,
            shown=['ExceptionGroup: unhandled errors in a TaskGroup '
                   '(1 sub-exception)', 'ValueError: of the clean-up'])

    def test_8_2_signal_after_a_background_task_has_failed(self):
        program = self.start('''
            async def fail():
                raise ValueError('first')

            async def main():
                asyncio.create_task(fail())
                try:
                    await forever()
                finally:
                    with asyncio.CancelScope(shield=True):
                        say('cleaning up')
                        await permission()
                        say('cleaned up')

            run(main())
        ''')
        program.expect('cleaning up')
        program.send(signal.SIGINT)
        program.permit()
        self.finish_failed(program, signal.SIGINT, 'cleaned up',
                           shown=['ValueError: first'])

    def test_8_2_in_the_end_phase(self):
        # Main is done, a background task cleans up.
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start('''
                    async def background():
                        try:
                            await forever()
                        finally:
                            with asyncio.CancelScope(shield=True):
                                say('cleaning up')
                                await permission()
                                await asyncio.sleep(0)
                                say('cleaned up')

                    async def main():
                        asyncio.create_task(background())
                        await asyncio.sleep(0)
                        say('main is done')

                    run(main())
                ''')
                program.expect('main is done', 'cleaning up')
                program.send(signum)
                program.permit()
                program.finish('cleaned up', RAISED[signum],
                               code=EXIT_CODES[signum])

    def test_8_2_background_task_fails_after_a_signal_in_the_end_phase(self):
        program = self.start('''
            async def background():
                try:
                    await forever()
                finally:
                    with asyncio.CancelScope(shield=True):
                        say('cleaning up')
                        await permission()
                        raise ValueError('late')

            async def main():
                asyncio.create_task(background())
                await asyncio.sleep(0)

            run(main())
        ''')
        program.expect('cleaning up')
        program.send(signal.SIGINT)
        program.permit()
        self.finish_failed(program, signal.SIGINT,
                           shown=['ValueError: late'])

    def test_8_2_while_asynchronous_generators_are_closed(self):
        # A shutdown phase of run(), after the members have ended (7.8).
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start('''
                    async def generate():
                        try:
                            yield
                        finally:
                            with asyncio.CancelScope(shield=True):
                                say('cleaning up')
                                await permission()
                                say('cleaned up')
                            await forever()

                    async def main():
                        global generator
                        generator = generate()
                        await anext(generator)

                    run(main())
                ''')
                program.expect('cleaning up')
                program.send(signum)
                program.permit()
                program.finish('cleaned up', RAISED[signum],
                               code=EXIT_CODES[signum])

    def test_7_8_asynchronous_generators_are_closed_after_a_signal(self):
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start('''
                    async def generate():
                        try:
                            yield
                        finally:
                            await asyncio.sleep(0.001)
                            say('cleaned up')

                    async def main():
                        global generator
                        generator = generate()
                        await anext(generator)
                        say('ready')
                        await forever()

                    run(main())
                ''')
                program.expect('ready')
                program.send(signum)
                program.finish('cleaned up', RAISED[signum],
                               code=EXIT_CODES[signum])

    def test_8_2_thread_of_the_executor_is_joined(self):
        program = self.start('''
            def work():
                say('ready')    # before, it could be cancelled
                may_end.wait()
                time.sleep(0)
                say('thread is done')

            async def main():
                loop = asyncio.get_running_loop()
                future = loop.run_in_executor(None, work)
                try:
                    await future
                finally:
                    say('main is cancelled')
                    may_end.set()

            may_end = threading.Event()
            run(main())
        ''')
        program.expect('ready')
        program.send(signal.SIGTERM)
        program.finish('main is cancelled', 'thread is done',
                       RAISED[signal.SIGTERM],
                       code=-signal.SIGTERM)

    def test_8_2_exception_is_caught_by_the_program(self):
        for signum, name in zip(
                SIGNALS, ('KeyboardInterrupt', 'asyncio.Terminated')):
            with self.subTest(signum.name):
                program = self.start(f'''
                    async def main():
                        say('ready')
                        await forever()

                    for _ in range(2):
                        try:
                            run(main())
                        except {name}:
                            say_handlers('caught')
                ''')
                for _ in range(2):
                    program.expect('ready')
                    program.send(signum)
                    program.expect(RAISED[signum], 'caught default default')
                program.finish(code=0)

    def test_8_2_debug_mode(self):
        text = EVERYWHERE.replace('run(main())', textwrap.dedent('''
            async def patient():
                asyncio.get_running_loop().slow_callback_duration = 3600
                await main()

            run(patient(), debug=True)
        '''))
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start(text)
                program.expect('ready')
                program.send(signum)
                program.expect_in_any_order(
                    'main cleaned up', 'member cleaned up',
                    'inner member cleaned up', 'background cleaned up')
                program.finish(RAISED[signum], code=EXIT_CODES[signum])

    def test_8_2_loop_that_knows_nothing_of_signals(self):
        # 8.3: works with any loop.
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start('''
                    def loop_factory():
                        loop = make_loop()
                        loop.add_signal_handler = refuse
                        loop.remove_signal_handler = refuse
                        return loop

                    def refuse(*args):
                        raise NotImplementedError

                    async def main():
                        say('ready')
                        try:
                            await forever()
                        finally:
                            await clean_up('main')

                    run(main())
                ''')
                program.expect('ready')
                program.send(signum)
                program.finish('main cleaned up', RAISED[signum],
                               code=EXIT_CODES[signum])

    def test_7_7_interrupted_run_until_complete_of_a_loop(self):
        # Trap 52: its callback, which stops the loop, has not run yet.
        program = self.start("""
            async def main():
                await asyncio.sleep(0)
                loop.call_soon(signal.raise_signal, signal.SIGINT)

            async def next_main():
                await asyncio.sleep(0.001)
                return 'result'

            loop = make_loop()
            try:
                say_outcome(loop.run_until_complete, main())
            except KeyboardInterrupt:
                pass
            say_outcome(loop.run_until_complete, next_main())
            loop.close()
        """)
        program.finish(RAISED[signal.SIGINT], "returned 'result'", code=0)

    def test_7_7_loop_without_a_runner(self):
        # As in stock.
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start('''
                    loop = make_loop()
                    future = loop.create_future()
                    say_handlers('handlers')
                    try:
                        loop.run_until_complete(future)
                    except KeyboardInterrupt:
                        say('interrupted', future.done())
                        raise
                    finally:
                        loop.close()
                ''', announce=True)
                program.expect('handlers default default')
                program.expect_blocked()
                program.send(signum)
                if signum == signal.SIGINT:
                    program.expect('interrupted False')
                program.finish(code=-signum)


@variants(*SOME)
class UnseenSignalTests:
    """Rule 8.2: what main never saw is raised; what it saw, it may swallow."""

    def check(self, text, *lines, raised, announce=False):
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start(
                    f'SIGNUM = signal.{signum.name}\n' + textwrap.dedent(text),
                    announce=announce)
                outcome = [RAISED[signum]] if raised else ["returned 'result'"]
                program.finish(*lines, *outcome,
                               code=EXIT_CODES[signum] if raised else 0)

    def test_8_2_after_the_last_yield(self):
        # Trap 47: the loop does not come to the cancellation.
        for awaits in 'asyncio.sleep(0)', 'asyncio.sleep(0.001)':
            self.check(f"""
                async def main():
                    await {awaits}
                    signal.raise_signal(SIGNUM)
                    return 'result'

                run(main())
            """, raised=True)

    def test_8_2_main_that_never_yields(self):
        self.check("""
            async def main():
                signal.raise_signal(SIGNUM)
                return 'result'

            run(main())
        """, raised=True)

    def test_8_2_before_main_starts(self):
        self.check("""
            factory = make_loop

            def loop_factory():
                loop = factory()
                create_task = loop.create_task

                def raise_first(coro, **kwargs):
                    loop.create_task = create_task
                    signal.raise_signal(SIGNUM)
                    return create_task(coro, **kwargs)

                loop.create_task = raise_first
                return loop

            async def main():
                say('starts')
                await forever()

            run(main())
        """, 'starts', raised=True)

    def test_8_2_in_a_shielded_block(self):
        self.check("""
            async def shielded():
                signal.raise_signal(SIGNUM)
                await asyncio.sleep(0.001)

            async def main():
                await asyncio.shield(shielded())
                return 'result'

            run(main())
        """, raised=True)

    def test_8_2_waiter_that_refuses(self):
        self.check("""
            class Stubborn(asyncio.Future):
                def cancel(self, msg=None):
                    return False

            async def main():
                loop = asyncio.get_running_loop()
                future = Stubborn(loop=loop)
                loop.call_soon(signal.raise_signal, SIGNUM)
                loop.call_later(0.001, future.set_result, None)
                await future
                return 'result'

            run(main())
        """, raised=True)

    def test_8_2_swallowed(self):
        for yields in 'forever()', 'asyncio.sleep(0)':
            self.check(f"""
                async def main():
                    loop = asyncio.get_running_loop()
                    loop.call_soon(signal.raise_signal, SIGNUM)
                    try:
                        await forever()
                    except asyncio.CancelledError:
                        pass
                    try:
                        await {yields}
                    except asyncio.CancelledError:
                        return 'result'

                run(main())
            """, raised=False)

    def test_8_2_swallowed_inside_a_cancelled_scope(self):
        # The scope's cancellation comes first; the signal is visible as well.
        self.check("""
            async def main():
                with asyncio.CancelScope() as scope:
                    scope.cancel()
                    signal.raise_signal(SIGNUM)
                    # Let the loop come to it.
                    with asyncio.CancelScope(shield=True):
                        await asyncio.sleep(0.001)
                    try:
                        await forever()
                    except asyncio.CancelledError:
                        return 'result'

            run(main())
        """, raised=False)

    def test_8_2_cancelled_scope_below_a_shield(self):
        # What is delivered is not the signal.
        self.check("""
            async def main():
                with asyncio.CancelScope(shield=True):
                    with asyncio.move_on_after(0) as scope:
                        signal.raise_signal(SIGNUM)
                        with asyncio.CancelScope(shield=True):
                            await asyncio.sleep(0.001)
                        await forever()
                say('caught', scope.cancelled_caught)
                return 'result'

            run(main())
        """, 'caught True', raised=True)

    def test_8_2_awaited_task_that_turns_it_into_a_result(self):
        # Main was interrupted in its await.
        self.check("""
            async def work():
                try:
                    await forever()
                except asyncio.CancelledError:
                    return 'result'

            async def main():
                task = asyncio.create_task(work())
                await asyncio.sleep(0)
                asyncio.get_running_loop().call_soon(signal.raise_signal,
                                                     SIGNUM)
                return await task

            run(main())
        """, raised=False)

    def test_8_2_next_run_of_a_script(self):
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start(f"""
                    async def main(number):
                        await asyncio.sleep(0)
                        if number == 1:
                            signal.raise_signal({int(signum)})
                        return number

                    for number in range(3):
                        run(main(number))
                """)
                program.finish('returned 0', RAISED[signum],
                               code=EXIT_CODES[signum])

    def test_8_2_external_main_task(self):
        # The tree knows nothing of it: it is told if it has not ended.
        text = """
            class External(asyncio.Future):
                def __init__(self, coro, loop, **kwargs):
                    super().__init__(loop=loop)
                    self.coro, self.exc = coro, None
                    loop.call_soon(self.step)

                def step(self):
                    exc, self.exc = self.exc, None
                    try:
                        if exc is None:
                            self.coro.send(None)
                        else:
                            self.coro.throw(exc)
                    except StopIteration as stop:
                        self.set_result(stop.value)
                    else:
                        self.get_loop().call_soon(self.step)

                def cancel(self, msg=None):
                    self.exc = asyncio.CancelledError()
                    return True

            factory = make_loop

            def loop_factory():
                loop = factory()
                loop.set_task_factory(
                    lambda loop, coro, **kwargs: External(coro, loop))
                return loop
        """
        self.check(textwrap.dedent(text) + textwrap.dedent("""
            async def main():
                signal.raise_signal(SIGNUM)
                try:
                    while True:
                        await asyncio.sleep(0)
                except asyncio.CancelledError:
                    return 'result'

            run(main())
        """), raised=False)
        self.check(textwrap.dedent(text) + textwrap.dedent("""
            async def main():
                signal.raise_signal(SIGNUM)
                return 'result'

            run(main())
        """), raised=True)


@variants(*SOME)
class TerminatedTests:
    """Rule 8.2: the exception that SIGTERM stands for."""

    PROGRAM = """
        import atexit

        async def main():
            signal.raise_signal(signal.SIGTERM)
            try:
                await forever()
            finally:
                await clean_up('main')

        # Not flushed: the end is an orderly one.
        atexit.register(sys.stdout.write, 'atexit\\n')
        try:
            run(main())
        finally:
            sys.stdout.write('finally\\n')
    """
    LINES = ('main cleaned up', 'raised Terminated()', 'finally', 'atexit')

    def test_8_2_ends_the_process_by_sigterm(self):
        program = self.start(self.PROGRAM)
        program.finish(*self.LINES, code=-signal.SIGTERM, stderr='')

    def test_8_2_where_a_program_can_come_from(self):
        settings = repr((self.tasks, self.eager, self.selector, False))
        text = (PRELUDE.replace('{settings}', settings)
                + textwrap.dedent(self.PROGRAM))
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, 'program.py')
            with open(path, 'w') as file:
                file.write(text)
            for args, stdin in ([path], None), (['-m', 'program'], None), (
                    [directory], None), ([], text):
                if args == [directory]:
                    os.rename(path, os.path.join(directory, '__main__.py'))
                with self.subTest(args=args):
                    result = subprocess.run(
                        [sys.executable, *args], cwd=directory, input=stdin,
                        capture_output=True, text=True,
                        timeout=support.SHORT_TIMEOUT)
                    self.assertEqual(
                        (result.returncode, result.stderr,
                         tuple(result.stdout.splitlines())),
                        (-signal.SIGTERM, '', self.LINES))

    def test_8_2_status_where_a_signal_cannot_end_the_process(self):
        # As for process 1 of a container.
        program = self.start("""
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            raise asyncio.Terminated
        """)
        program.finish(code=143, stderr='')

    def test_8_2_inspected(self):
        # The program goes on, so there is something to say.
        result = script_helper.run_python_until_end(
            '-i', '-c', 'import asyncio; raise asyncio.Terminated')[0]
        self.assertIn(b'asyncio.exceptions.Terminated', result.err)

    def test_8_2_is_a_keyboard_interrupt(self):
        self.assertTrue(issubclass(asyncio.Terminated, KeyboardInterrupt))
        program = self.start("""
            async def main():
                signal.raise_signal(signal.SIGTERM)
                await forever()

            try:
                run(main())
            except KeyboardInterrupt as exc:
                say(type(exc) is asyncio.Terminated)
        """)
        program.finish(RAISED[signal.SIGTERM], 'True', code=0)

    def test_8_2_in_a_thread(self):
        program = self.start("""
            def work():
                raise asyncio.Terminated('of a thread')

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            say('goes on')
        """)
        self.assertIn('of a thread',
                      program.finish('goes on', code=0, quiet=False))

    def test_8_2_error_of_the_shutdown_is_reported(self):
        program = self.start("""
            async def main():
                signal.raise_signal(signal.SIGTERM)
                try:
                    await forever()
                finally:
                    raise ValueError('of the clean-up')

            try:
                run(main())
            except KeyboardInterrupt as exc:
                say(repr(exc.__cause__))
                raise
        """)
        found = program.finish(
            RAISED[signal.SIGTERM], "ValueError('of the clean-up')",
            code=-signal.SIGTERM, quiet=False)
        self.assertEqual(found.count('ValueError: of the clean-up'), 1)
        self.assertIn('in the course of the shutdown by SIGTERM', found)

    def test_8_2_error_before_close_is_reported(self):
        program = self.start("""
            async def generate():
                try:
                    yield
                finally:
                    signal.raise_signal(signal.SIGTERM)
                    await forever()

            async def main():
                global generator
                generator = generate()
                await anext(generator)
                raise ValueError('of main')

            run(main())
        """)
        found = program.finish(RAISED[signal.SIGTERM], code=-signal.SIGTERM,
                               quiet=False)
        self.assertEqual(found.count('ValueError: of main'), 1)

    def test_8_2_unittest_ends(self):
        with tempfile.TemporaryDirectory() as directory:
            with open(os.path.join(directory, 'slow.py'), 'w') as file:
                file.write(textwrap.dedent("""
                    import asyncio
                    import signal
                    import unittest

                    signal.signal(signal.SIGTERM, signal.SIG_DFL)

                    class Slow(unittest.IsolatedAsyncioTestCase):
                        async def test_1(self):
                            print('started', flush=True)
                            signal.raise_signal(signal.SIGTERM)
                            await asyncio.sleep(3600)

                        test_2 = test_1
                """))
            result = subprocess.run(
                [sys.executable, '-m', 'unittest', 'slow'], cwd=directory,
                capture_output=True, text=True, timeout=support.SHORT_TIMEOUT)
        self.assertEqual((result.returncode, result.stdout),
                         (-signal.SIGTERM, 'started\n'))
        self.assertNotIn('Traceback', result.stderr)


@variants(*SOME)
class ShutdownPhaseTests:
    """Rule 8.2: the first signal interrupts what the shutdown waits for."""

    # A generator that is closed gets time as long as there is progress, such as
    # by another thread (7.8).
    GENERATOR = """
        from asyncio import asyncgens
        asyncgens._GRACE = 600
        threading.Thread(target=threading.Event().wait, daemon=True).start()

        def say_soon(*words):
            # When the caller waits.
            asyncio.get_running_loop().call_soon(say, *words)

        async def generate(name):
            try:
                yield
            finally:
                say_soon(name, 'is closed')
                try:
                    await forever()
                finally:
                    say(name, 'ends')

        async def start(name):
            generator = generate(name)
            kept.append(generator)
            await anext(generator)

        kept = []
    """

    def check(self, text, *lines, expect=(), announce=True, generator=False,
              in_any_order=False):
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start(
                    (textwrap.dedent(self.GENERATOR) if generator else '')
                    + textwrap.dedent(text), announce=announce)
                if in_any_order:
                    program.expect_in_any_order(*expect)
                else:
                    program.expect(*expect)
                if not generator:
                    program.expect_blocked()
                program.send(signum)
                if in_any_order:
                    program.expect_in_any_order(*lines)
                else:
                    program.expect(*lines)
                program.finish(RAISED[signum], code=EXIT_CODES[signum])

    def test_8_2_generators_that_wait(self):
        self.check("""
            async def main():
                await start('one')
                await start('other')

            run(main())
        """, 'one ends', 'other ends', expect=['one is closed',
                                               'other is closed'],
            generator=True, in_any_order=True)

    def test_8_2_tasks_that_generators_have_made(self):
        self.check("""
            async def work():
                try:
                    say_soon('waiting')
                    await forever()
                except asyncio.CancelledError:
                    try:
                        with asyncio.CancelScope(shield=True):
                            say('cleaning up')
                            await asyncio.sleep(0.001)
                        await forever()
                    finally:
                        say('work ends')

            async def generate():
                try:
                    yield
                finally:
                    kept.append(asyncio.create_task(work()))
                    await asyncio.sleep(0)
                    await forever()

            async def main():
                kept.append(generate())
                await anext(kept[0])

            run(main())
        """, 'cleaning up', 'work ends', expect=['waiting'], generator=True)

    # The thread ends when run() has; the interpreter joins it.
    THREAD = """
        async def wait_in_thread():
            asyncio.get_running_loop().run_in_executor(None, release.wait)

        def run(main):
            try:
                say_outcome(asyncio.run, main, loop_factory=loop_factory)
            finally:
                release.set()

        release = threading.Event()
    """

    def test_8_2_thread_of_the_executor(self):
        self.check(textwrap.dedent(self.THREAD) + textwrap.dedent("""
            run(wait_in_thread())
        """))

    def test_8_2_thread_after_generators(self):
        # The same signal is for both.
        self.check(textwrap.dedent(self.THREAD) + textwrap.dedent("""
            async def main():
                await start('generator')
                await wait_in_thread()

            run(main())
        """), 'generator ends', expect=['generator is closed'], generator=True)

    def test_8_2_thread_in_debug_mode(self):
        self.check(textwrap.dedent(self.THREAD) + textwrap.dedent("""
            async def main():
                asyncio.get_running_loop().set_debug(True)
                await wait_in_thread()

            run(main())
        """))

    def test_8_2_nothing_is_waited_for(self):
        # Right before the end of close().
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start(f"""
                    factory = make_loop

                    def loop_factory():
                        loop = factory()
                        close = loop.close

                        def raise_first():
                            signal.raise_signal({int(signum)})
                            close()
                            say('closed')

                        loop.close = raise_first
                        return loop

                    async def main():
                        return 'result'

                    run(main())
                """)
                program.finish('closed', RAISED[signum],
                               code=EXIT_CODES[signum])

    def test_8_2_while_a_runner_is_closed(self):
        self.check("""
            runner = asyncio.Runner(loop_factory=loop_factory)
            say_outcome(runner.run, start('generator'))
            say_outcome(runner.close)
        """, 'generator ends',
            expect=['returned None', 'generator is closed'], generator=True)

    def test_8_3_handler_that_is_restored_after_its_run(self):
        """It does what the handler did that was there before run()."""
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start(f"""
                    async def main():
                        return signal.signal({int(signum)}, signal.SIG_IGN)

                    saved = asyncio.run(main(), loop_factory=loop_factory)
                    signal.signal({int(signum)}, saved)
                    say('restored')
                    signal.raise_signal({int(signum)})
                    say('not reached')
                """)
                program.finish('restored', code=-signum)

    def test_8_3_handler_that_is_restored_in_a_later_run(self):
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start(f"""
                    async def main():
                        return signal.signal({int(signum)}, signal.SIG_IGN)

                    async def later():
                        signal.signal({int(signum)}, saved)
                        try:
                            signal.raise_signal({int(signum)})
                            await forever()
                        finally:
                            say('cancelled')

                    saved = asyncio.run(main(), loop_factory=loop_factory)
                    signal.signal({int(signum)}, signal.SIG_DFL
                                  if {int(signum)} == signal.SIGTERM
                                  else signal.default_int_handler)
                    run(later())
                """)
                program.finish('cancelled', RAISED[signum],
                               code=EXIT_CODES[signum])

    def test_8_2_between_the_runs_of_a_runner(self):
        # The default handlers.
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start(textwrap.dedent(self.GENERATOR) + f"""
with asyncio.Runner(loop_factory=loop_factory) as runner:
    runner.run(asyncio.sleep(0))
    say_handlers('between')
    signal.raise_signal({int(signum)})
""")
                program.finish('between default default',
                               code=EXIT_CODES[signum])

    def test_8_2_signal_of_main_does_not_interrupt_the_shutdown(self):
        # The loop has not come to it when main ends.
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start(f"""
                    async def generate():
                        try:
                            yield
                        finally:
                            await asyncio.sleep(0)
                            await asyncio.sleep(0.001)
                            say('closed')

                    async def main():
                        global generator
                        generator = generate()
                        await anext(generator)
                        signal.raise_signal({int(signum)})

                    run(main())
                """)
                program.finish('closed', RAISED[signum],
                               code=EXIT_CODES[signum])

    def test_8_3_second_signal_in_the_shutdown(self):
        for first, second in PAIRS:
            with self.subTest(f'{first.name}, {second.name}'):
                program = self.start(textwrap.dedent(self.GENERATOR)
                                     + textwrap.dedent("""
                    def cancel(self, original=asyncgens.Closers._cancel):
                        original(self)
                        say('cancelled')

                    asyncgens.Closers._cancel = cancel

                    async def generate():
                        try:
                            yield
                        finally:
                            with asyncio.CancelScope(shield=True):
                                say_soon('waiting')
                                await forever()

                    async def main():
                        global generator
                        generator = generate()
                        await anext(generator)

                    run(main())
                """))
                program.expect('waiting')
                program.send(first)
                program.expect('cancelled')
                program.send(second)
                # The generator is left over, and meets a loop that is closed.
                program.finish(
                    *[RAISED[second]] * (second == signal.SIGINT),
                    code=-second, quiet=False)

    def test_8_3_signal_of_main_is_the_first_one(self):
        # asyncio.run() is one program: the shutdown gets the second signal.
        for first, second in PAIRS:
            with self.subTest(f'{first.name}, {second.name}'):
                program = self.start(textwrap.dedent(self.GENERATOR)
                                     + textwrap.dedent("""
                    async def main():
                        await start('generator')
                        say('ready')
                        await forever()

                    run(main())
                """), announce=True)
                program.expect('ready')
                program.expect_blocked()
                program.send(first)
                program.expect('generator is closed')
                program.send(second)
                self.finish_hard(program, second, says=['generator ends'])

    def test_8_2_the_loop_does_not_stop_for_an_earlier_wait(self):
        """Trap 52."""
        # The second signal comes when main is done, before the loop stops; or
        # when the last member is, before what waits for it is told.
        for last in 'main', 'member':
            program = self.start(textwrap.dedent(SecondSignalTests.HOLD)
                                 + textwrap.dedent(f"""
            async def member():
                try:
                    await forever()
                finally:
                    if {last!r} == 'member':
                        hold(3600)

            async def main():
                global keep
                keep = asyncio.create_task(member())
                await asyncio.sleep(0)
                say('ready')
                try:
                    await forever()
                finally:
                    if {last!r} == 'main':
                        hold(3600)

            async def next_main():
                await asyncio.sleep(0.001)
                await asyncio.to_thread(time.sleep, 0)
                return 'result'

            with asyncio.Runner(loop_factory=loop_factory) as runner:
                try:
                    say_outcome(runner.run, main())
                except KeyboardInterrupt:
                    pass
                say_outcome(runner.run, next_main())
            """))
            program.expect('ready')
            program.send(signal.SIGINT)
            program.expect('in the loop')
            program.send(signal.SIGINT)
            program.finish(RAISED[signal.SIGINT], "returned 'result'", code=0)


@variants(*SOME)
class LoopTests:
    """Rule 8.2: how the loop is told."""

    def test_8_2_no_warnings_about_a_full_wakeup_descriptor(self):
        for debug in False, True:
            program = self.start(f"""
                async def main():
                    loop = asyncio.get_running_loop()
                    loop.slow_callback_duration = 3600
                    signal.signal(signal.SIGUSR1,
                                  lambda *args: calls.append(1))
                    for _ in range(5000):
                        signal.raise_signal(signal.SIGUSR1)
                    say(len(calls))
                    await asyncio.sleep(0.001)
                    say('ready')
                    await forever()

                calls = []
                run(main(), debug={debug})
            """, announce=True)
            program.expect('5000', 'ready')
            program.expect_blocked()
            program.send(signal.SIGTERM)
            program.finish(RAISED[signal.SIGTERM], code=-signal.SIGTERM)

    def test_8_2_wakeup_descriptor_that_the_loop_has_set(self):
        # As uvloop does when it starts to run.
        program = self.start("""
            import socket

            class Socket:
                def __init__(self, socket):
                    self.socket = socket

                def __getattr__(self, name):
                    return getattr(self.socket, name)

            factory = make_loop

            def loop_factory():
                loop = factory()
                loop._csock = Socket(loop._csock)
                run_forever = loop.run_forever

                def run():
                    pair = socket.socketpair()
                    for end in pair:
                        end.setblocking(False)
                    signal.set_wakeup_fd(pair[1].fileno())
                    try:
                        run_forever()
                    finally:
                        signal.set_wakeup_fd(-1)
                        for end in pair:
                            end.close()

                loop.run_forever = run
                return loop

            async def main():
                signal.signal(signal.SIGUSR1, lambda *args: None)
                for _ in range(5000):
                    signal.raise_signal(signal.SIGUSR1)
                return 'result'

            run(main())
        """)
        program.finish("returned 'result'", code=0, stderr='')

    def test_8_3_loop_that_is_closed(self):
        program = self.start("""
            runner = asyncio.Runner(loop_factory=loop_factory)
            runner.get_loop().close()
            for function in runner.close, runner.close:
                try:
                    function()
                except RuntimeError as exc:
                    say(exc)
                say_handlers('after')
        """)
        # The coroutine of the shutdown is never awaited, as before.
        program.finish('Event loop is closed', 'after default default',
                       'after default default', code=0, quiet=False)

    def test_8_2_loop_whose_call_soon_threadsafe_returns_nothing(self):
        text = """
            factory = make_loop

            def loop_factory():
                loop = factory()
                call_soon_threadsafe = loop.call_soon_threadsafe
                # Nor does it know the argument `context`.
                loop.call_soon_threadsafe = lambda callback, *args: (
                    call_soon_threadsafe(callback, *args) and None)
                return loop
        """
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start(textwrap.dedent(text)
                                     + textwrap.dedent(EVERYWHERE))
                program.expect('ready')
                program.send(signum)
                program.expect_in_any_order(
                    'main cleaned up', 'member cleaned up',
                    'inner member cleaned up', 'background cleaned up')
                program.finish(RAISED[signum], code=EXIT_CODES[signum])
        for second in SIGNALS:
            with self.subTest(f'second {second.name}'):
                program = self.start(textwrap.dedent(text)
                                     + textwrap.dedent("""
                    async def main():
                        with asyncio.CancelScope(shield=True):
                            say('ready')
                            await forever()

                    run(main())
                """), announce=True)
                program.expect('ready')
                program.expect_blocked()
                program.send(signal.SIGINT)
                program.expect_blocked()
                program.send(second)
                self.finish_hard(program, second)

    def test_8_2_cancellation_does_not_run_in_the_context_of_the_code(self):
        program = self.start("""
            import contextvars

            variable = contextvars.ContextVar('variable', default='empty')

            class Future(asyncio.Future):
                def cancel(self, msg=None):
                    say('cancelled in', variable.get())
                    return super().cancel(msg)

            async def interrupted():
                variable.set('of the task')
                signal.raise_signal(signal.SIGTERM)

            async def main():
                variable.set('of main')
                asyncio.create_task(interrupted())
                await Future(loop=asyncio.get_running_loop())

            run(main())
        """)
        program.finish('cancelled in empty', RAISED[signal.SIGTERM],
                       code=-signal.SIGTERM)


@variants(*SOME)
class TracebackTests:
    """What a user reads after Ctrl-C."""

    def test_8_2_traceback_shows_where_main_was_interrupted(self):
        # Once, and not below the frames of the loop.
        program = self.start("""
            async def member():
                await forever()

            async def work():
                async with asyncio.TaskGroup() as outer:
                    outer.create_task(member())
                    async with asyncio.timeout(3600):
                        async with asyncio.TaskGroup() as inner:
                            inner.create_task(member())
                            await forever()     # interrupted

            async def main():
                task = asyncio.create_task(member())
                await asyncio.sleep(0)
                say('ready')
                await work()

            asyncio.run(main(), loop_factory=loop_factory)
        """, announce=True)
        program.expect('ready')
        program.expect_blocked()
        program.send(signal.SIGINT)
        found = program.finish(code=-signal.SIGINT)
        if self.tasks == 'C':
            # A Python task shows its own frames and errors, as on stock.
            self.assertEqual(found.count('Traceback'), 1, found)
        self.assertEqual(found.count('in work'), 3, found)
        self.assertNotIn('in run_until_complete', found)

    def test_8_2_traceback_keeps_the_context(self):
        for cause, text in (('', 'During handling'), (
                'from exc', 'direct cause')):
            program = self.start(f"""
                async def main():
                    try:
                        raise ValueError('earlier')
                    except ValueError as exc:
                        asyncio.get_running_loop().call_soon(
                            signal.raise_signal, signal.SIGINT)
                        try:
                            await forever()
                        except asyncio.CancelledError as error:
                            raise error {cause}

                asyncio.run(main(), loop_factory=loop_factory)
            """)
            found = program.finish(code=-signal.SIGINT)
            self.assertEqual(found.count('Traceback'), 2, found)
            self.assertIn('ValueError: earlier', found)
            self.assertIn(text, found)

    def test_8_3_traceback_of_the_second_signal(self):
        # The frames of the loop say nothing.
        program = self.start("""
            async def main():
                with asyncio.CancelScope(shield=True):
                    say('ready')
                    await forever()

            asyncio.run(main(), loop_factory=loop_factory)
        """, announce=True)
        program.expect('ready')
        for _ in range(2):
            program.expect_blocked()
            program.send(signal.SIGINT)
        found = program.finish(code=-signal.SIGINT)
        self.assertEqual(found.count('Traceback'), 1, found)
        self.assertNotIn('_run_once', found)


@variants(*SOME)
class ForkTests:
    """Rule 8.4 (trap 48)."""

    FORK = """
        import warnings

        warnings.simplefilter('ignore')     # of fork() beside threads

        def find():
            fd = signal.set_wakeup_fd(-1)
            signal.set_wakeup_fd(fd)
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
            return (signal.getsignal(signal.SIGINT) is
                    signal.default_int_handler,
                    signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
                    fd == before, mask == set())

        def report(name):
            say(name, *find())

        def child(function, *args):
            pid = os.fork()
            if not pid:
                code = 1
                try:
                    function(*args)
                    code = 0
                finally:
                    os._exit(code)
            return pid

        def wait(pid):
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        before = signal.set_wakeup_fd(-1)
    """

    def start_forking(self, text, **kwargs):
        return self.start(textwrap.dedent(self.FORK) + textwrap.dedent(text),
                          **kwargs)

    def test_8_4_handlers_and_wakeup_descriptor(self):
        program = self.start_forking("""
            async def main():
                say(wait(child(report, 'child')))
                say(wait(child(lambda: wait(child(report, 'grandchild')))))
                thread = threading.Thread(
                    target=lambda: say(wait(child(report, 'of a thread'))))
                thread.start()
                thread.join()
                report('parent')

            run(main())
            report('after')
        """)
        program.finish('child True True True True', '0',
                       'grandchild True True True True', '0',
                       'of a thread True True True True', '0',
                       'parent False False False True',
                       'returned None', 'after True True True True', code=0)

    def test_8_4_wakeup_descriptor_of_the_program(self):
        program = self.start_forking("""
            import socket
            one, other = socket.socketpair()
            for end in one, other:
                end.setblocking(False)
            signal.set_wakeup_fd(other.fileno())
            before = other.fileno()

            async def main():
                say(wait(child(report, 'child')))

            run(main())
            report('after')
            signal.set_wakeup_fd(-1)
        """)
        program.finish('child True True True True', '0', 'returned None',
                       'after True True True True', code=0)

    def test_8_4_signals_end_a_child(self):
        program = self.start_forking("""
            def sleep():
                reader.close()
                writer.write('x')
                writer.flush()
                time.sleep(3600)

            async def main():
                global reader, writer
                for signum in signal.SIGTERM, signal.SIGINT:
                    ends = os.pipe()
                    reader, writer = open(ends[0]), open(ends[1], 'w')
                    pid = child(sleep)
                    writer.close()
                    reader.read(1)
                    reader.close()
                    os.kill(pid, signum)
                    say(signum.name, wait(pid))

            run(main())
        """)
        # It raises KeyboardInterrupt, for SIGINT.
        program.finish(f'SIGTERM {-signal.SIGTERM}', 'SIGINT 1',
                       'returned None', code=0, quiet=False)

    def test_8_4_no_signal_is_lost(self):
        # A signal that reaches the child at once, or the parent meanwhile.
        program = self.start_forking("""
            def raise_in(which):
                if which == where:
                    signal.raise_signal(signal.SIGTERM)

            os.register_at_fork(after_in_child=lambda: raise_in('child'),
                                before=lambda: raise_in('parent'))
            where = None

            async def main():
                global where
                where = 'child'
                say(wait(child(time.sleep, 3600)))
                where = 'parent'
                say(wait(child(report, 'child')))
                where = None
                try:
                    await forever()
                finally:
                    say('main is cancelled')

            run(main())
        """)
        program.finish(str(-signal.SIGTERM), 'child True True True True', '0',
                       'main is cancelled', RAISED[signal.SIGTERM],
                       code=-signal.SIGTERM)

    def test_8_4_second_signal_around_a_fork(self):
        # The hooks cannot raise it.
        program = self.start_forking("""
            def interrupt():
                if interrupting:
                    signal.raise_signal(signal.SIGINT)

            interrupting = False
            # Signals are still blocked when this is called.
            os.register_at_fork(after_in_parent=interrupt)

            async def main():
                global interrupting
                signal.raise_signal(signal.SIGINT)
                interrupting = True
                say(wait(child(report, 'child')))
                with asyncio.CancelScope(shield=True):
                    await forever()

            run(main())
        """)
        found = program.finish(quiet=False, code=-signal.SIGINT, *(
            ['child True True True True', '0', RAISED[signal.SIGINT]]))
        self.assertNotIn('ignored', found)

    def test_8_4_child_runs_a_program_of_its_own(self):
        program = self.start_forking("""
            async def own():
                signal.raise_signal(signal.SIGTERM)
                try:
                    await forever()
                finally:
                    await clean_up('child')

            def run_own():
                try:
                    asyncio.run(own(), loop_factory=loop_factory)
                except asyncio.Terminated:
                    report('after')
                    say(wait(child(report, 'grandchild')))

            async def main():
                say(wait(child(run_own)))

            run(main())
        """)
        program.finish('child cleaned up', 'after True True True True',
                       'grandchild True True True True', '0', '0',
                       'returned None', code=0)

    def test_8_4_child_that_returns_into_run(self):
        program = self.start_forking("""
            async def main():
                global pid
                pid = os.fork()
                if pid:
                    say(wait(pid))
                else:
                    report('child')

            asyncio.run(main(), loop_factory=loop_factory)
            report('after' if pid else 'child after')
        """)
        program.finish('child True True True True',
                       'child after True True True True', '0',
                       'after True True True True', code=0, quiet=False)

    def test_8_4_handlers_of_the_program_stay(self):
        program = self.start_forking("""
            def handler(*args):
                pass

            async def main():
                signal.signal(signal.SIGTERM, handler)
                say(wait(child(lambda: say(
                    signal.getsignal(signal.SIGTERM) is handler))))

            run(main())
        """)
        program.finish('True', '0', 'returned None', code=0)

    def test_8_4_subprocess_with_preexec_fn(self):
        program = self.start_forking("""
            import subprocess

            CODE = ("import signal; print(signal.getsignal(signal.SIGTERM) "
                    "is signal.SIG_DFL, *signal.pthread_sigmask("
                    "signal.SIG_BLOCK, []), flush=True)")

            async def main():
                for preexec_fn in None, lambda: None:
                    subprocess.run([sys.executable, '-c', CODE],
                                   preexec_fn=preexec_fn)

            run(main())
        """)
        program.finish('True', 'True', 'returned None', code=0)

    @unittest.skipUnless(hasattr(os, 'forkpty'), 'requires os.forkpty()')
    def test_8_4_forkpty(self):
        program = self.start_forking("""
            async def main():
                pid, fd = os.forkpty()
                if not pid:
                    os._exit(find() != (True,) * 4)
                say(wait(pid))
                os.close(fd)

            run(main())
        """)
        program.finish('0', 'returned None', code=0)

    def test_8_4_nothing_is_registered_without_run(self):
        program = self.start_forking("""
            from asyncio import interrupts
            say(interrupts._watching_forks)
            loop = make_loop()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
            say(interrupts._watching_forks)
        """)
        program.finish('False', 'False', code=0)

    PROCESSES = """
        import asyncio
        import multiprocessing
        import signal

        async def main():
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(3600)

        def target():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            print('started')    # not flushed
            asyncio.run(main())
    """

    def test_8_2_process_of_multiprocessing_ends_by_sigterm(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, 'program.py')
            with open(path, 'w') as file:
                file.write(textwrap.dedent(self.PROCESSES)
                           + textwrap.dedent("""
                    import concurrent.futures
                    import sys

                    if __name__ == '__main__':
                        context = multiprocessing.get_context(sys.argv[1])
                        process = context.Process(target=target)
                        process.start()
                        process.join()
                        print(process.exitcode)
                        with concurrent.futures.ProcessPoolExecutor(
                                1, mp_context=context) as executor:
                            try:
                                executor.submit(target).result()
                            except concurrent.futures.BrokenExecutor:
                                print('broken')
                """))
            for method in multiprocessing.get_all_start_methods():
                with self.subTest(method):
                    result = subprocess.run(
                        [sys.executable, path, method], capture_output=True,
                        text=True, timeout=support.SHORT_TIMEOUT)
                    self.assertEqual(
                        (result.returncode, result.stderr,
                         result.stdout.split()),
                        (0, '', ['started', str(-signal.SIGTERM), 'started',
                                 'broken']))


@variants(*SOME)
class SecondSignalTests:
    """Rule 8.3."""

    def check(self, text, *before, says=(), ready='ready', announce=True):
        """Send each pair of signals to the program."""
        for first, second in PAIRS:
            with self.subTest(f'{first.name}, {second.name}'):
                program = self.start(text, announce)
                program.expect(ready)
                if announce:
                    program.expect_blocked()
                program.send(first)
                program.expect_in_any_order(*before)
                if announce:
                    program.expect_blocked()
                program.send(second)
                self.finish_hard(program, second, says=says)

    def test_8_3_shielded_clean_up_of_a_background_task(self):
        """Trap 32."""
        self.check('''
            async def background():
                try:
                    await forever()
                finally:
                    try:
                        await asyncio.shield(forever())
                    finally:
                        say('background ends')

            async def main():
                asyncio.create_task(background())
                say('ready')
                await forever()

            run(main())
        ''', says=['background ends'])

    def test_8_3_in_the_end_phase(self):
        # Main is done: its result does not count.
        self.check('''
            async def background():
                try:
                    await forever()
                finally:
                    try:
                        with asyncio.CancelScope(shield=True):
                            await forever()
                    finally:
                        say('background ends')

            async def main():
                asyncio.create_task(background())
                await asyncio.sleep(0)
                say('ready')
                return 'result'

            run(main())
        ''', says=['background ends'])

    def test_8_3_nested_clean_ups_in_nested_groups(self):
        # Every await raises from now on, whatever the shields; what does not
        # wait runs.
        for first in SIGNALS:
            with self.subTest(first.name):
                program = self.start('''
                    def try_to_wait(name):
                        async def attempt(kind, function):
                            try:
                                await function()
                            except asyncio.CancelledError:
                                pass
                            else:
                                say(name, kind, 'was not cancelled')

                        async def attempt_all():
                            for _ in range(2):
                                await attempt('future', forever)
                                await attempt('sleep', lambda: asyncio.sleep(0))
                                await attempt('shield', lambda:
                                              asyncio.shield(forever()))
                                with asyncio.CancelScope(shield=True):
                                    await attempt('scope', forever)
                                    await attempt('timer', lambda:
                                                  asyncio.sleep(60))
                        return attempt_all()

                    async def clean_up(name, depth):
                        try:
                            with asyncio.CancelScope(shield=True):
                                if depth:
                                    await clean_up(name, depth - 1)
                                else:
                                    await forever()
                        finally:
                            await try_to_wait(name)
                            say(name, 'leaves clean-up', depth)

                    async def member(name):
                        try:
                            await forever()
                        finally:
                            await clean_up(name, 2)

                    async def main():
                        try:
                            async with asyncio.TaskGroup() as a:
                                a.create_task(member('a'))
                                async with asyncio.TaskGroup() as b:
                                    b.create_task(member('b'))
                                    async with asyncio.TaskGroup() as c:
                                        c.create_task(member('c'))
                                        asyncio.create_task(member('d'))
                                        await asyncio.sleep(0)
                                        say('ready')
                                        await forever()
                        finally:
                            say('main ends')

                    run(main())
                ''', announce=True)
                program.expect('ready')
                program.expect_blocked()
                program.send(first)
                program.expect_blocked()
                program.send(signal.SIGINT)
                for depth in range(3):
                    program.expect_in_any_order(
                        *[f'{name} leaves clean-up {depth}' for name in 'abcd'])
                program.finish('main ends', RAISED[signal.SIGINT],
                               code=-signal.SIGINT)

    def test_8_3_interrupt_in_the_code_of_main(self):
        # KeyboardInterrupt is raised where the code stands.
        self.check('''
            async def main():
                try:
                    say('ready')
                    await forever()
                finally:
                    try:
                        say('busy')
                        compute()
                    except KeyboardInterrupt:
                        say('interrupted')
                        raise

            run(main())
        ''', 'busy', says=['interrupted'], announce=False)

    def test_8_3_interrupt_in_the_code_of_a_member(self):
        # Trap 25: it goes through the loop and comes out of the group as well.
        self.check('''
            async def sibling():
                try:
                    await forever()
                finally:
                    try:
                        with asyncio.CancelScope(shield=True):
                            say('sibling waits')
                            await forever()
                    finally:
                        say('sibling ends')

            async def member():
                try:
                    await forever()
                finally:
                    with asyncio.CancelScope(shield=True):
                        await asyncio.sleep(0)
                    try:
                        say('member is busy')
                        compute()
                    except KeyboardInterrupt:
                        say('interrupted')
                        raise

            async def main():
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(sibling())
                        group.create_task(member())
                        await asyncio.sleep(0)
                        say('ready')
                        await forever()
                finally:
                    say('main ends')

            run(main())
        ''', 'sibling waits', 'member is busy', announce=False,
                   says=['interrupted', 'sibling ends', 'main ends'])

    def test_8_3_interrupt_that_the_program_swallows(self):
        # No await works any more, so it ends all the same.
        program = self.start('''
            async def main():
                try:
                    say('ready')
                    await forever()
                finally:
                    with asyncio.CancelScope(shield=True):
                        try:
                            say('busy')
                            compute()
                        except KeyboardInterrupt:
                            say('interrupted')
                        try:
                            await forever()
                        finally:
                            say('main ends')

            run(main())
        ''')
        program.expect('ready')
        program.send(signal.SIGINT)
        program.expect('busy')
        program.send(signal.SIGINT)
        program.finish('interrupted', 'main ends', RAISED[signal.SIGINT],
                       code=-signal.SIGINT)

    def test_8_3_errors_after_the_interrupt(self):
        # Rule 7.4: they are raised, with what was under way as the context.
        program = self.start('''
            async def background():
                try:
                    await forever()
                finally:
                    try:
                        with asyncio.CancelScope(shield=True):
                            await forever()
                    finally:
                        raise ValueError('of the clean-up')

            async def main():
                asyncio.create_task(background())
                say('ready')
                await forever()

            run(main())
        ''', announce=True)
        program.expect('ready')
        program.expect_blocked()
        program.send(signal.SIGINT)
        program.expect_blocked()
        program.send(signal.SIGINT)
        stderr = program.finish(
            "raised ExceptionGroup('unhandled errors in background tasks', "
            "[ValueError('of the clean-up')])", code=1, stderr='+-----')
        found = [line.lstrip(' |') for line in stderr.splitlines()]
        self.assertIn('KeyboardInterrupt', found)
        self.assertIn('ValueError: of the clean-up', found)

    # Trap 28: tasks that do not end by themselves.

    def test_8_3_task_that_never_awaits(self):
        # The program hears of each signal through a pipe: when it has read the
        # number, the handler has run.
        self.check('''
            async def main():
                receiver, sender = os.pipe()
                os.set_blocking(receiver, False)
                os.set_blocking(sender, False)
                signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
                try:
                    say('ready')
                    while True:
                        try:
                            os.read(receiver, 1)
                        except BlockingIOError:
                            continue
                        say('signal')
                finally:
                    signal.set_wakeup_fd(-1)
                    say('main ends')

            run(main())
        ''', 'signal', says=['main ends'], announce=False)

    def test_8_3_background_task_that_never_awaits(self):
        self.check('''
            async def background():
                try:
                    say('busy')
                    compute()
                finally:
                    say('background ends')

            async def main():
                try:
                    say('ready')
                    await forever()
                except asyncio.CancelledError:
                    asyncio.create_task(background())
                    await clean_up('main')
                    raise

            run(main())
        ''', 'busy', says=['background ends'], announce=False)

    def test_8_3_task_that_never_stops_awaiting(self):
        # The interrupt comes while its own code runs.
        self.check('''
            async def background():
                while True:
                    try:
                        await forever()
                    except asyncio.CancelledError:
                        say('swallowed')
                        compute()

            async def main():
                asyncio.create_task(background())
                await asyncio.sleep(0)
                say('ready')
                await forever()

            run(main())
        ''', 'swallowed', announce=False)

    # The second signal comes while the code of the loop runs.

    HOLD = '''
        def hold(seconds):
            """The next time that the loop looks for events, stop there."""
            def select(timeout=None):
                del selector.select
                say('in the loop')
                time.sleep(seconds)
                return selector.select(timeout)

            selector = asyncio.get_running_loop()._selector
            selector.select = select
    '''

    def test_8_3_interrupt_when_main_has_just_ended(self):
        # Its callback, which stops the loop, has not run yet.
        self.check(self.HOLD + '''
        async def background():
            try:
                await forever()
            finally:
                for _ in range(9):
                    try:
                        await asyncio.sleep(0)
                    except asyncio.CancelledError:
                        pass
                say('background ends')

        async def main():
            asyncio.create_task(background())
            await asyncio.sleep(0)
            say('ready')
            try:
                await forever()
            finally:
                hold(3600)

        run(main())
        ''', 'in the loop', says=['background ends'], announce=False)

    def test_8_3_interrupt_beside_tasks_that_wait(self):
        self.check(self.HOLD + '''
        async def work(name):
            try:
                await forever()
            finally:
                try:
                    with asyncio.CancelScope(shield=True):
                        await asyncio.sleep(0)
                        await forever()
                finally:
                    say(name, 'ends')

        async def main():
            async with asyncio.TaskGroup() as group:
                group.create_task(work('member'))
                await asyncio.sleep(0)
                say('ready')
                try:
                    await forever()
                finally:
                    hold(3600)

        run(main())
        ''', 'in the loop', says=['member ends'], announce=False)


@variants(*SOME)
class OwnHandlerTests:
    """Trap 34: the program's own handlers are left alone."""

    def check(self, text, *said, then):
        """Two signals of each kind do nothing but what the program says."""
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start(f'SIGNUM = {int(signum)}\n'
                                     + textwrap.dedent(text), announce=True)
                program.expect('ready')
                program.expect_blocked()
                for _ in range(2):
                    program.send(signum)
                    program.expect(*said)
                program.permit()
                program.finish("returned 'result'", then, code=0)

    MAIN = '''
        def handler(*args):
            # Not through sys.stdout, which need not be ready for it.
            os.write(1, b'handler\\n')

        async def main():
            before_ready()
            say('ready')
            await permission()
            await asyncio.sleep(0)
            return 'result'

        def before_ready():
            pass
    '''

    def test_8_2_handler_of_the_program(self):
        self.check(self.MAIN + '''
        signal.signal(SIGNUM, handler)
        run(main())
        say(signal.getsignal(SIGNUM) is handler)
        ''', 'handler', then='True')

    def test_8_2_handler_that_is_installed_by_main(self):
        self.check(self.MAIN + '''
        def before_ready():
            signal.signal(SIGNUM, handler)

        run(main())
        say(signal.getsignal(SIGNUM) is handler)
        ''', 'handler', then='True')

    def test_8_2_handler_of_the_loop(self):
        self.check(self.MAIN + '''
        def before_ready():
            asyncio.get_running_loop().add_signal_handler(SIGNUM, handler)

        run(main())
        say_handlers('afterwards')
        ''', 'handler', then='afterwards default default')

    def test_8_2_ignored_signals(self):
        self.check(self.MAIN + '''
        signal.signal(SIGNUM, signal.SIG_IGN)
        run(main())
        say(signal.getsignal(SIGNUM) is signal.SIG_IGN)
        ''', then='True')

    def test_8_2_signals_that_main_ignores(self):
        self.check(self.MAIN + '''
        def before_ready():
            signal.signal(SIGNUM, signal.SIG_IGN)

        run(main())
        say(signal.getsignal(SIGNUM) is signal.SIG_IGN)
        ''', then='True')

    def test_8_2_handler_for_the_other_signal(self):
        for signum, other in (SIGNALS, SIGNALS[::-1]):
            with self.subTest(signum.name):
                program = self.start(self.MAIN + f'''
        signal.signal({int(other)}, handler)
        run(main())
        ''', announce=True)
                program.expect('ready')
                program.expect_blocked()
                program.send(other)
                program.expect('handler')
                program.send(signum)
                program.finish(RAISED[signum], code=EXIT_CODES[signum])

    def test_8_2_handler_that_is_taken_back(self):
        # What a server does around its main loop.
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start(self.MAIN + f'''
        async def main():
            saved = signal.signal({int(signum)}, handler)
            say('ready')
            await permission()
            signal.signal({int(signum)}, saved)
            say('ready again')
            try:
                await forever()
            finally:
                await clean_up('main')

        run(main())
        say_handlers('afterwards')
        ''', announce=True)
                program.expect('ready')
                program.expect_blocked()
                program.send(signum)
                program.expect('handler')
                program.permit()
                program.expect('ready again')
                program.expect_blocked()
                program.send(signum)
                program.finish('main cleaned up', RAISED[signum],
                               code=EXIT_CODES[signum])

    def test_8_2_handler_of_the_loop_that_is_removed(self):
        # As in stock, what is left then is the default.
        program = self.start('''
            async def main():
                loop = asyncio.get_running_loop()
                for signum in signal.SIGINT, signal.SIGTERM:
                    loop.add_signal_handler(signum, int)
                    loop.remove_signal_handler(signum)
                say_handlers('inside')

            run(main())
            say_handlers('afterwards')
        ''')
        program.finish('inside default default', 'returned None',
                       'afterwards default default', code=0)

    def test_8_2_default_action_for_sigint(self):
        # The program has asked for that: it is not what Python starts with.
        program = self.start('''
            signal.signal(signal.SIGINT, signal.SIG_DFL)

            async def main():
                say('ready')
                await forever()

            run(main())
        ''')
        program.expect('ready')
        program.send(signal.SIGINT)
        program.finish(code=-signal.SIGINT, stderr='')

    def test_8_2_keyboard_interrupt_for_sigterm(self):
        # It is raised at once, and everything still cleans up.
        program = self.start('''
            signal.signal(signal.SIGTERM, signal.default_int_handler)

            async def main():
                try:
                    say('ready')
                    await forever()
                finally:
                    await clean_up('main')

            run(main())
        ''', announce=True)
        program.expect('ready')
        program.expect_blocked()
        program.send(signal.SIGTERM)
        program.finish('main cleaned up', RAISED[signal.SIGINT],
                       code=-signal.SIGINT)


@variants(*SOME)
class RestoreTests:
    """8.3: handlers are restored on exit."""

    def test_8_3_after_run(self):
        program = self.start('''
            async def main(outcome):
                say_handlers('inside')
                match outcome:
                    case 'error':
                        raise ValueError
                    case 'background':
                        asyncio.create_task(fail())
                        await forever()
                    case 'interrupted':
                        signal.raise_signal(signal.SIGINT)
                        await forever()
                    case 'terminated':
                        signal.raise_signal(signal.SIGTERM)
                        await forever()
                    case 'twice':
                        signal.raise_signal(signal.SIGINT)
                        signal.raise_signal(signal.SIGINT)

            async def fail():
                raise ValueError

            for outcome in ('result', 'error', 'background', 'interrupted',
                            'terminated', 'twice', 'result'):
                try:
                    run(main(outcome))
                except BaseException:
                    pass
                say_handlers('afterwards')
        ''')
        for outcome in (
                'returned None', 'raised ValueError()',
                "raised ExceptionGroup('unhandled errors in background tasks', "
                "[ValueError()])", RAISED[signal.SIGINT],
                RAISED[signal.SIGTERM], RAISED[signal.SIGINT],
                'returned None'):
            program.expect('inside other other', outcome,
                           'afterwards default default')
        program.finish(code=0, stderr='Background task ')

    def test_8_3_each_run_of_a_runner(self):
        program = self.start('''
            async def main():
                say_handlers('inside')

            with asyncio.Runner(loop_factory=loop_factory) as runner:
                say_handlers('before')
                for _ in range(2):
                    runner.run(main())
                    say_handlers('between')
            say_handlers('afterwards')
        ''')
        program.finish(
            'before default default', 'inside other other',
            'between default default', 'inside other other',
            'between default default', 'afterwards default default', code=0)


@variants(*SOME)
class RunnerTests:
    """Rule 7.6: Runner.run() may be called repeatedly."""

    def test_7_6_next_run_after_a_signal(self):
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start('''
                    async def work(name):
                        try:
                            await forever()
                        finally:
                            await clean_up(name)

                    async def first():
                        asyncio.create_task(work('background'))
                        await asyncio.sleep(0)
                        say('ready')
                        await work('main')

                    async def second():
                        # Nothing is left of the cancellation.
                        await asyncio.sleep(0)
                        await asyncio.create_task(asyncio.sleep(0.001))
                        say(asyncio.current_task().cancelling())
                        return 'result'

                    with asyncio.Runner(loop_factory=loop_factory) as runner:
                        for _ in range(2):
                            try:
                                say_outcome(runner.run, first())
                            except KeyboardInterrupt:
                                say_handlers('between')
                            say_outcome(runner.run, second())
                ''')
                for _ in range(2):
                    program.expect('ready')
                    program.send(signum)
                    program.expect_in_any_order('main cleaned up',
                                                'background cleaned up')
                    program.expect(RAISED[signum], 'between default default',
                                   '0', "returned 'result'")
                program.finish(code=0)

    def test_7_6_next_run_after_a_main_that_finished_all_the_same(self):
        """Trap 35."""
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start('''
                    async def background():
                        try:
                            await forever()
                        finally:
                            await clean_up('background')

                    async def first():
                        asyncio.create_task(background())
                        await asyncio.sleep(0)
                        say('ready')
                        try:
                            await forever()
                        except asyncio.CancelledError:
                            return 'first'

                    async def second():
                        await asyncio.create_task(asyncio.sleep(0.001))
                        return 'second'

                    with asyncio.Runner(loop_factory=loop_factory) as runner:
                        say_outcome(runner.run, first())
                        say_outcome(runner.run, second())
                ''')
                program.expect('ready')
                program.send(signum)
                program.finish('background cleaned up', "returned 'first'",
                               "returned 'second'", code=0)

    def test_7_6_next_run_after_the_second_signal(self):
        # The group is a fresh one: shields hold, and the first signal is the
        # first again.
        program = self.start('''
            async def main():
                try:
                    say('ready')
                    await forever()
                finally:
                    with asyncio.CancelScope(shield=True):
                        say('cleaning up')
                        await permission()
                        say('cleaned up')

            with asyncio.Runner(loop_factory=loop_factory) as runner:
                for _ in range(2):
                    try:
                        say_outcome(runner.run, main())
                    except KeyboardInterrupt:
                        say_handlers('between')
        ''', announce=True)
        program.expect('ready')
        program.expect_blocked()
        program.send(signal.SIGINT)
        program.expect('cleaning up')
        program.expect_blocked()
        program.send(signal.SIGINT)
        program.expect(RAISED[signal.SIGINT], 'between default default')
        program.expect('ready')
        program.expect_blocked()
        program.send(signal.SIGINT)
        program.expect('cleaning up')
        program.expect_blocked()
        program.permit()
        program.finish('cleaned up', RAISED[signal.SIGINT],
                       'between default default', code=0)

    def test_8_2_while_a_runner_is_closed(self):
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start('''
                    async def background():
                        try:
                            await forever()
                        finally:
                            with asyncio.CancelScope(shield=True):
                                say('cleaning up')
                                await permission()
                                say('cleaned up')

                    async def main():
                        asyncio.create_task(background())
                        await asyncio.sleep(0)
                        return 'result'

                    runner = asyncio.Runner(loop_factory=loop_factory)
                    say_outcome(runner.run, main())
                    say_outcome(runner.close)
                ''')
                program.expect("returned 'result'", 'cleaning up')
                program.send(signum)
                program.permit()
                program.finish('cleaned up', RAISED[signum],
                               code=EXIT_CODES[signum])


@variants(*((tasks, 'DefaultSelector')
            for tasks in ('C', 'C eager', 'Python', 'Python eager')))
class StubbornTests:
    """Trap 28: a task that never stops awaiting."""

    def test_8_3_interrupt_beside_a_task_that_never_stops_awaiting(self):
        # It strikes the loop, so that no task gets to see it.  Nobody who
        # swallows what cancels him can keep the program alive.
        program = self.start(SecondSignalTests.HOLD + '''
        async def background():
            while True:
                try:
                    await forever()
                except asyncio.CancelledError:
                    pass

        async def main():
            asyncio.create_task(background())
            await asyncio.sleep(0)
            say('ready')
            try:
                await forever()
            finally:
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(0)
                    hold(3600)
                    await forever()

        run(main())
        ''')
        program.expect('ready')
        program.send(signal.SIGINT)
        program.expect('in the loop')
        program.send(signal.SIGINT)
        # That a task is left over may be reported.
        program.finish(RAISED[signal.SIGINT], code=-signal.SIGINT, quiet=False)

    def test_8_3_termination_beside_a_task_that_never_stops_awaiting(self):
        program = self.start('''
            async def background():
                while True:
                    try:
                        await forever()
                    except asyncio.CancelledError:
                        if not swallowed:
                            say('swallowed')
                            swallowed.append(True)

            async def main():
                asyncio.create_task(background())
                await asyncio.sleep(0)
                say('ready')
                await forever()

            swallowed = []
            run(main())
        ''')
        program.expect('ready')
        program.send(signal.SIGINT)
        program.expect('swallowed')
        program.send(signal.SIGTERM)
        self.finish_hard(program, signal.SIGTERM)


@variants(*((tasks, 'DefaultSelector')
            for tasks in ('C', 'C eager', 'Python', 'Python eager')))
class ThreadTests:
    """Signals and other threads."""

    def test_8_2_signal_that_another_thread_gets(self):
        # Trap 31: nothing interrupts the wait of the main thread.
        program = self.start('''
            async def main():
                thread = threading.Thread(target=os.read, args=(0, 1),
                                          daemon=True)
                thread.start()
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
                try:
                    await asyncio.sleep(3600)
                finally:
                    signal.pthread_sigmask(signal.SIG_UNBLOCK,
                                           [signal.SIGTERM])

            run(main())
        ''', announce=True)
        program.expect_blocked()
        program.send(signal.SIGTERM)
        program.finish(RAISED[signal.SIGTERM],
                       code=-signal.SIGTERM)

    def test_8_2_run_in_another_thread_leaves_signals_alone(self):
        for signum in SIGNALS:
            with self.subTest(signum.name):
                program = self.start('''
                    async def main():
                        say_handlers('handlers')
                        await forever()

                    thread = threading.Thread(target=run, args=[main()],
                                              daemon=True)
                    try:
                        thread.start()
                        thread.join()
                    except KeyboardInterrupt:
                        say('interrupted')
                        raise
                ''', announce=True)
                program.expect('handlers default default', 'blocked')
                program.send(signum)
                if signum == signal.SIGINT:
                    program.expect('interrupted')
                program.finish(code=-signum)

    def test_8_2_run_in_another_thread_goes_on(self):
        # The signal is for the program in the main thread.
        program = self.start('''
            async def other():
                loop = asyncio.get_running_loop()
                may_end = asyncio.Event()
                shared.append((loop, may_end))
                started.set()
                await may_end.wait()
                return 'other'

            async def main():
                say('ready')
                try:
                    await forever()
                finally:
                    loop, may_end = shared.pop()
                    loop.call_soon_threadsafe(may_end.set)
                    thread.join()

            shared = []
            started = threading.Event()
            thread = threading.Thread(target=run, args=[other()])
            thread.start()
            started.wait()
            run(main())
        ''')
        program.expect('ready')
        program.send(signal.SIGTERM)
        program.finish("returned 'other'", RAISED[signal.SIGTERM],
                       code=-signal.SIGTERM)


if __name__ == '__main__':
    unittest.main()
