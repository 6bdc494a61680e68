"""The first SIGINT or SIGTERM sent to programs that asyncio.run() runs (8.2).

Not checked here: process 1 of a container (trap 33), and other event loops.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import textwrap
import unittest
from test import support
from test.support import script_helper

from test.test_asyncio.signal_utils import (
    EVERYWHERE, EXIT_CODES, RAISED, SIGNALS, SOME, each_pair, each_signal,
    variants)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@variants([(tasks, selector)
           for tasks in ('C', 'C eager', 'Python', 'Python eager',
                         'no accelerator')
           for selector in ('DefaultSelector', 'PollSelector',
                            'SelectSelector')
           if hasattr(selectors, selector)])
class BasicTests:
    """On all kinds of tasks and selectors."""

    @each_signal
    def test_8_2_everything_is_cancelled_and_cleans_up(self, signum):
        # Trap 31: the loop would wait for an hour.
        program = self.start(EVERYWHERE)
        program.expect('ready')
        program.send(signum)
        program.expect_in_any_order(
            'main cleaned up', 'member cleaned up',
            'inner member cleaned up', 'background cleaned up')
        program.finish(RAISED[signum], code=EXIT_CODES[signum])

    @each_pair
    def test_8_3_second_signal_while_a_cleanup_waits(self, first, second):
        # Trap 32.
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


@variants(SOME)
class FirstSignalTests:
    """Rule 8.2."""

    @each_signal
    def test_8_2_while_the_loop_is_in_a_long_select(self, signum):
        """Trap 31."""
        program = self.start('''
            async def main():
                await asyncio.sleep(3600)
                say('not reached')

            run(main())
        ''', announce=True)
        program.expect_blocked()
        program.send(signum)
        program.finish(RAISED[signum], code=EXIT_CODES[signum])

    @each_signal
    def test_8_2_in_the_first_step_of_main(self, signum):
        # No task waits yet.
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

    def test_8_2_main_is_cancelled_again_and_again(self):
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

    @each_signal
    def test_8_2_shielded_block_completes(self, signum):
        """Trap 27: main hears of it after the block."""
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

    @each_signal
    def test_8_2_main_finishes_normally_after_the_cancellation(self, signum):
        """Trap 35."""
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

    @each_signal
    def test_8_2_main_finishes_without_having_noticed(self, signum):
        # There is no yield point after the shielded block.
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

    @each_signal
    def test_8_2_main_raises_its_own_error(self, signum):
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

    @each_signal
    def test_8_2_main_exits(self, signum):
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

    @each_signal
    def test_8_2_background_task_fails_during_the_shutdown(self, signum):
        program = self.start('''
            async def background():
                try:
                    await forever()
                finally:
                    await clean_up('background')
                    raise ValueError('of the cleanup')

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
                   'ValueError: of the cleanup'])

    def test_8_2_group_of_main_fails_during_the_shutdown(self):
        program = self.start('''
            async def member():
                try:
                    await forever()
                finally:
                    raise ValueError('of the cleanup')

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
                   '(1 sub-exception)', 'ValueError: of the cleanup'])

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

    @each_signal
    def test_8_2_in_the_end_phase(self, signum):
        # Main is done, a background task cleans up.
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

    @each_signal
    def test_8_2_while_asynchronous_generators_are_closed(self, signum):
        # A shutdown phase of run(), after the members have ended (7.8).
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

    @each_signal
    def test_7_8_asynchronous_generators_are_closed_after_a_signal(
            self, signum):
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

    @each_signal
    def test_8_2_debug_mode(self, signum):
        text = EVERYWHERE.replace('run(main())', textwrap.dedent('''
            async def patient():
                asyncio.get_running_loop().slow_callback_duration = 3600
                await main()

            run(patient(), debug=True)
        '''))
        program = self.start(text)
        program.expect('ready')
        program.send(signum)
        program.expect_in_any_order(
            'main cleaned up', 'member cleaned up',
            'inner member cleaned up', 'background cleaned up')
        program.finish(RAISED[signum], code=EXIT_CODES[signum])

    @each_signal
    def test_8_2_loop_that_knows_nothing_of_signals(self, signum):
        # 8.3: works with any loop.
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

    @each_signal
    def test_7_7_loop_without_a_runner(self, signum):
        # As in stock.
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


@variants(SOME)
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

    @each_signal
    def test_8_2_next_run_of_a_script(self, signum):
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


@variants(SOME)
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
        text = self.make_text(self.PROGRAM, self.tasks, self.eager,
                              self.selector, False)
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

    def test_8_2_exception_that_names_no_signal(self):
        for value in '9999', '-15', '0', '1 << 40', '"15"', 'signal.NSIG':
            with self.subTest(value):
                program = self.start(f"""
                    class Interrupt(KeyboardInterrupt):
                        _exit_signal = {value}

                    raise Interrupt('shown')
                """)
                found = program.finish(code=-signal.SIGINT, quiet=False)
                self.assertEqual(found.splitlines()[-1],
                                 'Interrupt: shown')

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
                    raise ValueError('of the cleanup')

            try:
                run(main())
            except KeyboardInterrupt as exc:
                say(repr(exc.__cause__))
                raise
        """)
        found = program.finish(
            RAISED[signal.SIGTERM], "ValueError('of the cleanup')",
            code=-signal.SIGTERM, quiet=False)
        self.assertEqual(found.count('ValueError: of the cleanup'), 1)
        self.assertIn('Exception during shutdown on SIGTERM', found)

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


@variants(SOME)
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


if __name__ == '__main__':
    unittest.main()
