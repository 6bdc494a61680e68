"""Signals and the process that asyncio.run() is in: loops, handlers, forks.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import unittest
from test import support

from test.test_asyncio.signal_utils import (
    EVERYWHERE, EXIT_CODES, RAISED, SIGNALS, SOME, each_signal, variants)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@variants(SOME)
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

    @unittest.skipUnless(hasattr(signal, 'pthread_kill'),
                         'requires signal.pthread_kill()')
    def test_8_2_wakeup_descriptor_after_the_last_handler(self):
        # A signal that another thread gets wakes the loop all the same.
        program = self.start("""
            def work():
                os.read(0, 100)
                signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

            async def main():
                loop = asyncio.get_running_loop()
                try:
                    loop.add_signal_handler(signal.SIGKILL, print)
                except RuntimeError as exc:
                    say(exc)
                say(signal.set_wakeup_fd(-1) == loop._csock.fileno())
                loop.add_signal_handler(signal.SIGUSR1, print)
                say(loop.remove_signal_handler(signal.SIGUSR1))
                threading.Thread(target=work).start()
                await forever()

            run(main())
        """, announce=True)
        program.expect('sig 9 cannot be caught', 'True', 'True')
        program.expect_blocked()
        program.permit()
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


@variants(SOME)
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

    def test_8_4_child_that_ends_in_a_task(self):
        # It runs no code of its parent.
        program = self.start_forking("""
            async def fork(end):
                pid = os.fork()
                if pid:
                    return wait(pid)
                end()
                say('alive')

            def fail():
                raise ValueError('of the child')

            async def main():
                for end in lambda: signal.raise_signal(signal.SIGTERM), fail:
                    try:
                        say(await fork(end))
                    except BaseException as exc:
                        if end is not fail:
                            say('child goes on', repr(exc))
                        raise

            run(main())
            say('after')
        """)
        program.finish(str(-signal.SIGTERM),
                       "raised ValueError('of the child')", '1',
                       'returned None', 'after', code=0, quiet=False)

    def check_that_child_ends(self, text):
        """Run *text*, whose fork(end) forks a child that calls end().

        The child goes on where its parent has forked, and must not wait for
        the loop of its parent forever.
        """
        program = self.start_forking(textwrap.dedent("""
            def interrupt():
                signal.raise_signal(signal.SIGINT)

            def interrupt_by_keyboard():
                raise KeyboardInterrupt

            def leave():
                sys.exit(3)

            def fail():
                raise ValueError('of the child')

            def fork(end):
                pid = os.fork()
                if not pid:
                    end()
                return pid

            async def program(end):
                background = asyncio.create_task(forever())
                await asyncio.sleep(0)
                say(end.__name__, wait(await main(end)) != 0)
                background.cancel()
        """) + textwrap.dedent(text) + textwrap.dedent("""
            for end in interrupt, interrupt_by_keyboard, leave, fail:
                asyncio.run(program(end), loop_factory=loop_factory)
        """))
        program.finish('interrupt True', 'interrupt_by_keyboard True',
                       'leave True', 'fail True', code=0, quiet=False)

    def test_8_4_child_that_ends_in_main(self):
        self.check_that_child_ends("""
            async def main(end):
                return fork(end)
        """)

    def test_8_4_child_that_ends_in_a_background_task(self):
        self.check_that_child_ends("""
            async def task(end):
                return fork(end)

            async def main(end):
                return await asyncio.create_task(task(end))
        """)

    def test_8_4_child_that_ends_in_a_task_group(self):
        self.check_that_child_ends("""
            async def task(end):
                await asyncio.sleep(0)      # to be resumed by the loop
                return fork(end)

            async def main(end):
                async with asyncio.TaskGroup() as group:
                    other = group.create_task(asyncio.sleep(0))
                    task_of_group = group.create_task(task(end))
                return task_of_group.result()
        """)

    def test_8_4_child_that_ends_in_a_callback(self):
        self.check_that_child_ends("""
            async def main(end):
                loop = asyncio.get_running_loop()
                forked = loop.create_future()
                loop.call_soon(lambda: forked.set_result(fork(end)))
                return await forked
        """)

    def test_8_4_child_that_ends_in_the_cleanup_of_a_task(self):
        self.check_that_child_ends("""
            async def task(end):
                try:
                    await forever()
                finally:
                    pids.append(fork(end))

            async def main(end):
                pids.clear()
                cleaning = asyncio.create_task(task(end))
                await asyncio.sleep(0)
                cleaning.cancel()
                await asyncio.wait([cleaning])
                return pids[0]

            pids = []
        """)

    def test_8_4_child_that_awaits(self):
        # Of its own accord, not only if it is interrupted.
        program = self.start_forking("""
            async def main():
                waiter = asyncio.get_running_loop().create_future()
                pid = os.fork()
                if not pid:
                    await waiter
                say(wait(pid) != 0)

            run(main())
        """)
        program.finish("raised RuntimeError('Event loop stopped before Future "
                       "completed.')", 'True', 'returned None', code=0,
                       quiet=False)

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


@variants(SOME)
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

    @each_signal
    def test_8_2_handler_that_is_taken_back(self, signum):
        # What a server does around its main loop.
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
        # As in stock, the default is in place then.
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


@variants(SOME)
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


@variants(SOME)
class RunnerTests:
    """Rule 7.6: Runner.run() may be called repeatedly."""

    @each_signal
    def test_7_6_next_run_after_a_signal(self, signum):
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

    @each_signal
    def test_7_6_next_run_after_a_main_that_finished_all_the_same(
            self, signum):
        """Trap 35."""
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

    @each_signal
    def test_8_2_while_a_runner_is_closed(self, signum):
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


@variants([(tasks, 'DefaultSelector')
           for tasks in ('C', 'C eager', 'Python', 'Python eager')])
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

    @each_signal
    def test_8_2_run_in_another_thread_leaves_signals_alone(self, signum):
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
