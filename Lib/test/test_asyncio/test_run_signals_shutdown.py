"""Signals while asyncio.run() shuts down, and the second signal (8.3).

Names of tests carry the number of the rule that they check.
"""

import asyncio
import signal
import textwrap
import unittest

from test.test_asyncio.signal_utils import (
    EXIT_CODES, PAIRS, RAISED, SIGNALS, SOME, each_pair, each_signal, variants)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@variants(SOME)
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

    @each_signal
    def test_8_2_nothing_is_waited_for(self, signum):
        # Right before the end of close().
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

    @each_signal
    def test_8_3_handler_that_is_restored_after_its_run(self, signum):
        """It does what the handler did that was there before run()."""
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

    @each_signal
    def test_8_3_handler_that_is_restored_in_a_later_run(self, signum):
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

    @each_signal
    def test_8_2_between_the_runs_of_a_runner(self, signum):
        # The default handlers.
        program = self.start(textwrap.dedent(self.GENERATOR) + f"""
with asyncio.Runner(loop_factory=loop_factory) as runner:
    runner.run(asyncio.sleep(0))
    say_handlers('between')
    signal.raise_signal({int(signum)})
""")
        program.finish('between default default',
                       code=EXIT_CODES[signum])

    @each_signal
    def test_8_2_signal_of_main_does_not_interrupt_the_shutdown(self, signum):
        # The loop has not come to it when main ends.
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

    @each_pair
    def test_8_3_second_signal_in_the_shutdown(self, first, second):
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

    @each_pair
    def test_8_3_signal_of_main_is_the_first_one(self, first, second):
        # asyncio.run() is one program: the shutdown gets the second signal.
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


@variants(SOME)
class LoopTests:

    def test_B_loop_without_signal_handlers(self):
        # As on Windows.
        program = self.start('''
            from asyncio import selector_events

            class Loop(selector_events.BaseSelectorEventLoop):
                pass

            async def main():
                return 'result'

            signums = signal.SIGINT, signal.SIGTERM
            before = [signal.getsignal(signum) for signum in signums]
            loop = Loop()
            say(asyncio.run(main(), loop_factory=lambda: loop))
            say(loop.is_closed())
            say(before == [signal.getsignal(signum) for signum in signums])
        ''')
        program.finish('result', 'True', 'True', code=0)


@variants(SOME)
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

    def test_8_3_shielded_cleanup_of_a_background_task(self):
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

    @each_signal
    def test_8_3_nested_cleanups_in_nested_groups(self, first):
        # Every await raises from now on, whatever the shields; what does not
        # wait runs.
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
                    say(name, 'leaves cleanup', depth)

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
                *[f'{name} leaves cleanup {depth}' for name in 'abcd'])
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
        # Rule 7.2: it comes out bare, and they are not lost.
        program = self.start('''
            async def background():
                try:
                    await forever()
                finally:
                    try:
                        with asyncio.CancelScope(shield=True):
                            await forever()
                    finally:
                        raise ValueError('of the cleanup')

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
        stderr = program.finish(RAISED[signal.SIGINT], code=-signal.SIGINT,
                                quiet=False)
        self.assertIn('ValueError: of the cleanup', stderr.splitlines())

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


@variants([(tasks, 'DefaultSelector')
           for tasks in ('C', 'C eager', 'Python', 'Python eager')])
class StubbornTests:
    """Trap 28: a task that never stops awaiting."""

    def test_8_3_interrupt_beside_a_task_that_never_stops_awaiting(self):
        # It interrupts the loop, so no task gets to see it.  A task that
        # swallows its cancellation cannot keep the program alive.
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


if __name__ == '__main__':
    unittest.main()
