"""Tests for the legacy switches in asyncio.run() and the root task group.

See legacy_utils for how they run.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import signal
import sys
import unittest
import weakref
from test import support

from test.test_asyncio import legacy_utils
from test.test_asyncio.legacy_utils import CaseUtils, SETS, SignalUtils, cases
from test.test_asyncio.scope_utils import MyError


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@cases(on={'edge-cancel', 'background-errors'})
class RunWithoutGroup(CaseUtils):
    """run() ends as it did before there was a root group."""

    def test_9_generators_are_closed_by_tasks_like_any_other(self):
        trace = []

        async def generate():
            try:
                yield
            finally:
                trace.append('closing')
                await asyncio.sleep(2)
                trace.append('closed')

        async def main():
            async for _ in generate():
                break
            support.gc_collect()
            await asyncio.sleep(1)
            return self.loop.time()

        end = self.run_program(main())
        self.assertEqual(self.loop.time(), end)
        self.assertEqual(trace, ['closing'])

    def test_9_task_that_is_spawned_at_the_end_is_not_awaited(self):
        trace = []

        async def late():
            trace.append('late')
            await asyncio.sleep(1)
            trace.append('too late')

        async def background():
            try:
                await self.forever()
            finally:
                task = asyncio.create_task(late())
                task._log_destroy_pending = False
                tasks.append(weakref.ref(task))
                await asyncio.sleep(0)

        async def main():
            asyncio.create_task(background())
            await self.settle()

        tasks = []
        self.run_program(main())
        self.assertEqual(trace, ['late'])
        support.gc_collect()
        self.assertIsNone(tasks[0]())

    def test_9_every_failure_at_the_end_is_reported(self):
        async def main():
            asyncio.gather(self.fail_when_cancelled())
            asyncio.create_task(self.fail_when_cancelled())
            await self.settle()

        self.run_program(main())
        reported = [type(exc) for message, exc in self.get_problems()
                    if message == ('unhandled exception during asyncio.run() '
                                   'shutdown')]
        self.problems.clear()
        self.assertEqual(reported, [MyError, MyError])


@cases(on={'edge-cancel'})
class EdgeCancelRun(CaseUtils):
    """What asyncio.run() and Runner cancel, they cancel once."""

    def test_9_end_of_main_cancels_each_task_once(self):
        trace = []

        async def main():
            background = [asyncio.create_task(
                self.clean_up_slowly(trace, name)) for name in ('one', 'two')]
            await self.settle()
            return len(background)

        self.assertEqual(self.run_program(main()), 2)
        self.assertCountEqual(
            trace, ['one: 1', 'two: 1', 'one done', 'two done'])
        self.assertEqual(self.get_problems(), [])

    def test_9_close_cancels_each_task_once(self):
        trace = []

        async def main():
            asyncio.create_task(self.clean_up_slowly(trace, 'background'))
            await self.settle()

        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(main())
            self.assertEqual(trace, [])
        self.assertEqual(trace, ['background: 1', 'background done'])

    def test_9_task_that_has_not_started_never_runs(self):
        trace = []

        async def background():
            trace.append('started')
            await self.forever()

        async def main():
            # In the last turn of the loop, after main.
            self.loop.call_soon(self.loop.create_task, background())

        self.run_program(main())
        self.assertEqual(trace, ['started'] if self.eager else [])

    def test_9_end_of_main_and_a_task_that_another_waits_for(self):
        trace = []

        async def waits():
            try:
                await worker
            finally:
                await self.assert_awaits_work()
                trace.append('waits done')

        async def main():
            nonlocal worker
            worker = asyncio.create_task(self.clean_up_slowly(trace, 'worker'))
            waiting = asyncio.create_task(waits())
            await self.settle()
            del waiting

        worker = None
        self.run_program(main())
        # One request of its own, and one that was passed on.
        self.assertEqual(trace, ['worker: 2', 'worker done', 'waits done'])

    def test_9_group_in_a_background_task(self):
        trace = []

        async def member():
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await self.assert_awaits_work()
                trace.append('member done')

        async def background():
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(member())
            finally:
                await self.assert_awaits_work()
                trace.append('background done')

        async def main():
            asyncio.create_task(background())
            await self.settle()

        self.run_program(main())
        self.assertEqual(trace, ['member done', 'background done'])


@cases(on={'edge-cancel'}, off={'background-errors'})
class EdgeCancelAfterFailure(CaseUtils):

    def run_failing(self, main):
        with self.assertRaises(ExceptionGroup) as cm:
            self.run_program(main)
        self.assert_only(cm.exception, MyError)

    def test_9_failure_cancels_main_once(self):
        trace = []

        async def main():
            asyncio.create_task(self.failing())
            await self.clean_up_slowly(trace, 'main')

        self.run_failing(main())
        self.assertEqual(trace, ['main: 1', 'main done'])

    def test_9_failure_cancels_each_task_once(self):
        # Main is done before the others are.
        trace = []

        async def main():
            asyncio.create_task(self.clean_up_slowly(trace, 'other'))
            asyncio.create_task(self.failing())
            await self.forever()

        self.run_failing(main())
        self.assertEqual(trace, ['other: 1', 'other done'])

    def test_9_failure_at_the_end_cancels_no_task_again(self):
        trace = []

        async def main():
            asyncio.create_task(self.clean_up_slowly(trace, 'other'))
            asyncio.create_task(self.fail_when_cancelled())
            await self.settle()

        self.run_failing(main())
        self.assertEqual(trace, ['other: 1', 'other done'])


@cases(on={'edge-cancel'}, off={'signals'})
class EdgeCancelSignals(SignalUtils):

    def test_9_sigint_cancels_each_task_once(self):
        trace = []

        async def main(slow):
            asyncio.create_task(self.clean_up_slowly(trace, 'other'))
            await self.settle()
            signal.raise_signal(signal.SIGINT)
            if slow:
                await self.clean_up_slowly(trace, 'main')
            else:
                await self.forever()

        with self.assertRaises(KeyboardInterrupt):
            self.run_program(main(False))
        self.assertEqual(trace, ['other: 1', 'other done'])

    def test_9_sigint_cancels_main_once(self):
        trace = []

        async def main():
            signal.raise_signal(signal.SIGINT)
            await self.clean_up_slowly(trace, 'main')

        with self.assertRaises(KeyboardInterrupt):
            self.run_program(main())
        self.assertEqual(trace, ['main: 1', 'main done'])


@cases(on={'background-errors'})
class BackgroundErrors(CaseUtils):

    NEVER_RETRIEVED = 'Task exception was never retrieved'
    AT_THE_END = 'unhandled exception during asyncio.run() shutdown'

    def assert_problems(self, *expected):
        self.assertEqual([(message, type(exc)) for message, exc
                          in self.get_problems()], list(expected))

    def test_9_failure_cancels_no_task(self):
        async def other():
            await asyncio.sleep(10)
            return 'other'

        async def main():
            asyncio.create_task(self.failing())
            task = asyncio.create_task(other())
            await asyncio.sleep(5)
            return await task, asyncio.current_task().cancelling()

        self.assertEqual(self.run_program(main()), ('other', 0))
        self.assert_problems((self.NEVER_RETRIEVED, MyError))

    def test_9_failure_is_logged_when_the_task_is_collected(self):
        async def main():
            task = asyncio.create_task(self.failing())
            await asyncio.sleep(10)
            self.assert_problems()
            del task
            self.assert_problems((self.NEVER_RETRIEVED, MyError))
            return 'main'

        self.assertEqual(self.run_program(main()), 'main')
        self.assert_problems((self.NEVER_RETRIEVED, MyError))

    def test_9_failure_that_is_retrieved_later_is_not_logged(self):
        async def main():
            task = asyncio.create_task(self.failing())
            await asyncio.sleep(10)
            with self.assertRaises(MyError):
                await task

        self.run_program(main())
        self.assert_problems()

    def test_9_failure_at_the_end_is_logged(self):
        async def main():
            background = [asyncio.create_task(self.fail_when_cancelled())
                          for _ in range(2)]
            await self.settle()
            return len(background)

        self.assertEqual(self.run_program(main()), 2)
        # Once each, even when they are collected.
        self.assert_problems(*[(self.AT_THE_END, MyError)] * 2)

    def test_9_failures_during_the_run_and_at_the_end(self):
        async def main():
            background = [asyncio.create_task(self.failing()),
                          asyncio.create_task(self.fail_when_cancelled())]
            await asyncio.sleep(10)
            return len(background)

        self.assertEqual(self.run_program(main()), 2)
        self.assertCountEqual(
            [message for message, _ in self.get_problems()],
            [self.NEVER_RETRIEVED, self.AT_THE_END])

    def test_9_error_of_main_comes_bare(self):
        class MainError(Exception):
            pass

        async def main():
            asyncio.create_task(self.failing())
            asyncio.create_task(self.fail_when_cancelled())
            await asyncio.sleep(10)
            raise MainError

        with self.assertRaises(MainError):
            self.run_program(main())
        self.assertCountEqual(
            [message for message, _ in self.get_problems()],
            [self.NEVER_RETRIEVED, self.AT_THE_END])

    def test_9_failure_at_the_close_of_a_runner_is_logged(self):
        async def main():
            asyncio.create_task(self.failing())
            asyncio.create_task(self.fail_when_cancelled())
            await asyncio.sleep(10)
            return 'main'

        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            self.assertEqual(runner.run(main()), 'main')
            self.assert_problems((self.NEVER_RETRIEVED, MyError))
        self.assert_problems((self.NEVER_RETRIEVED, MyError),
                             (self.AT_THE_END, MyError))

    def test_9_group_still_raises(self):
        async def main():
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.failing())
            return 'main'

        self.assertEqual(self.run_program(main()), 'main')
        self.assert_problems()

    def test_9_system_exit_still_ends_the_program(self):
        async def background():
            raise SystemExit(3)

        async def main():
            asyncio.create_task(background())
            await self.forever()

        with self.assertRaises(SystemExit) as cm:
            self.run_program(main())
        self.assertEqual(cm.exception.code, 3)

    def test_9_error_of_main_at_the_end_is_logged(self):
        # Main is a task among others when something else has ended the run.
        async def background():
            await asyncio.sleep(1)
            raise SystemExit(3)

        async def main():
            asyncio.create_task(background())
            await self.fail_when_cancelled()

        with self.assertRaises(SystemExit) as cm:
            self.run_program(main())
        self.assertEqual(cm.exception.code, 3)
        self.assert_problems((self.AT_THE_END, MyError),
                             (self.NEVER_RETRIEVED, SystemExit))


@cases(off={'background-errors'})
class RaisedErrors(CaseUtils):
    """Errors of tasks that are not awaited."""

    def run_failing(self, main, *kinds):
        with self.assertRaises(ExceptionGroup) as cm:
            self.run_program(main)
        self.assert_only(cm.exception, *kinds)
        self.assertEqual(self.get_problems(), [])

    def test_9_failure_cancels_main_and_is_raised(self):
        trace = []

        async def main():
            asyncio.create_task(self.failing())
            try:
                await self.forever()
            finally:
                trace.append('main')

        self.run_failing(main(), MyError)
        self.assertEqual(trace, ['main'])

    def test_9_failure_at_the_end_is_raised(self):
        async def main():
            asyncio.create_task(self.fail_when_cancelled())
            await self.settle()

        self.run_failing(main(), MyError)

    def test_9_error_of_main_is_raised_with_it(self):
        class MainError(Exception):
            pass

        async def main():
            asyncio.create_task(self.failing())
            try:
                await self.forever()
            finally:
                raise MainError

        self.run_failing(main(), MyError, MainError)

    def test_9_failure_at_the_close_of_a_runner_is_raised(self):
        async def main():
            asyncio.create_task(self.fail_when_cancelled())
            await self.settle()
            return 'main'

        with self.assertRaises(ExceptionGroup) as cm:
            with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                self.assertEqual(runner.run(main()), 'main')
        self.assert_only(cm.exception, MyError)


@cases(on={'unretrieved-only'}, off={'background-errors'})
class UnretrievedOnly(CaseUtils):

    def run_quietly(self, main):
        self.assertEqual(self.run_program(main), 'main')
        self.assertEqual(self.get_problems(), [])

    def test_9_failure_of_a_task_that_is_awaited(self):
        async def main():
            task = asyncio.create_task(self.failing())
            with self.assertRaises(MyError):
                await task
            await self.assert_awaits_work()
            return 'main'

        self.run_quietly(main())

    def test_9_failure_of_a_task_that_another_task_awaits(self):
        async def waits(task):
            with self.assertRaises(MyError):
                await task

        async def main():
            waiting = asyncio.create_task(
                waits(asyncio.create_task(self.failing())))
            await asyncio.sleep(10)
            self.assertIs(waiting.done(), True)
            return 'main'

        self.run_quietly(main())

    def test_9_failure_of_a_task_with_a_callback(self):
        errors = []

        async def main():
            task = asyncio.create_task(self.failing())
            task.add_done_callback(lambda task: errors.append(task.exception()))
            await asyncio.sleep(10)
            return 'main'

        self.run_quietly(main())
        self.assertEqual([type(exc) for exc in errors], [MyError])

    def test_9_failure_of_a_task_that_asyncio_waits_for(self):
        async def in_as_completed(task):
            async for done in asyncio.as_completed([task]):
                await done

        async def in_wait(task):
            done, _ = await asyncio.wait([task])
            await done.pop()

        async def main():
            for wait in (lambda task: asyncio.gather(task),
                         lambda task: asyncio.wait_for(task, 100),
                         asyncio.shield, in_as_completed, in_wait):
                task = asyncio.create_task(self.failing())
                with self.assertRaises(MyError):
                    await wait(task)
                await self.assert_awaits_work()
            results = await asyncio.gather(
                asyncio.create_task(self.failing()), return_exceptions=True)
            self.assertEqual([type(exc) for exc in results], [MyError])
            return 'main'

        self.run_quietly(main())

    def test_9_failure_at_the_end_of_a_task_that_nothing_awaits(self):
        async def fails_when_it_is_cancelled():
            try:
                await self.forever()
            finally:
                raise MyError

        async def main():
            asyncio.create_task(fails_when_it_is_cancelled())
            await self.settle()
            return 'main'

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_program(main())
        self.assert_only(cm.exception, MyError)

    def test_9_failure_at_the_end_of_a_task_that_is_awaited(self):
        async def waits(task):
            with self.assertRaises(MyError):
                await task

        async def main():
            asyncio.create_task(
                waits(asyncio.create_task(self.fail_when_cancelled())))
            await self.settle()
            return 'main'

        self.run_quietly(main())

    def test_9_failure_before_any_task_awaits(self):
        trace = []

        async def main():
            task = asyncio.create_task(self.failing())
            try:
                await asyncio.sleep(10)
            finally:
                trace.append(task.done())
                with self.assertRaises(MyError):
                    await task

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_program(main())
        self.assert_only(cm.exception, MyError)
        self.assertEqual(trace, [True])

    def test_9_failure_after_the_last_has_given_up(self):
        async def main():
            task = asyncio.create_task(self.failing(10))
            await asyncio.wait([task], timeout=1)
            await self.forever()

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_program(main())
        self.assert_only(cm.exception, MyError)

    def test_9_callback_that_was_removed_does_not_count(self):
        async def main():
            task = asyncio.create_task(self.failing())
            task.add_done_callback(print)
            task.remove_done_callback(print)
            await self.forever()

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_program(main())
        self.assert_only(cm.exception, MyError)

    def test_9_group_still_raises_for_a_member_that_is_awaited(self):
        async def main():
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    await group.create_task(self.failing())
            return 'main'

        self.run_quietly(main())


@cases(off={'background-errors', 'unretrieved-only'})
class RetrievedErrors(CaseUtils):

    def test_9_failure_of_a_task_that_is_awaited_is_raised(self):
        async def main():
            task = asyncio.create_task(self.failing())
            with self.assertRaises(MyError):
                await task
            return 'main'

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_program(main())
        self.assert_only(cm.exception, MyError)

    def test_9_failure_of_a_task_with_a_callback_is_raised(self):
        async def main():
            task = asyncio.create_task(self.failing())
            task.add_done_callback(lambda task: task.exception())
            await self.forever()

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_program(main())
        self.assert_only(cm.exception, MyError)


@cases()
class RootGroup(CaseUtils):
    """What no switch restores."""

    def test_9_background_task_is_not_collected(self):
        # Rule 7.1.
        async def main():
            # There is no other reference to what it waits for.
            task = weakref.ref(asyncio.create_task(self.forever()))
            await self.settle()
            support.gc_collect()
            self.assertIsNotNone(task())

        self.run_program(main())
        self.assertEqual(self.get_problems(), [])

    def test_9_error_of_main_comes_bare(self):
        with self.assertRaises(MyError):
            self.run_program(self.failing())

    def test_9_errors_log(self):
        async def main():
            async with asyncio.TaskGroup() as group:
                for create_task in (asyncio.create_task,
                                    self.loop.create_task,
                                    group.create_task):
                    with self.subTest(create_task):
                        create_task(self.failing(), errors='log')
                        await asyncio.sleep(10)
                        problems.extend(self.get_problems())
                        self.problems.clear()
            return 'main'

        problems = []
        self.assertEqual(self.run_program(main()), 'main')
        self.assertEqual(
            [(message, type(exc)) for message, exc in problems],
            [('Unhandled exception in a background task', MyError)] * 3)

    def test_9_gather_hands_the_errors_on(self):
        # Rule 7.3.
        async def main():
            results = await asyncio.gather(self.failing(), self.failing(),
                                           return_exceptions=True)
            self.assertEqual([type(exc) for exc in results], [MyError] * 2)
            return 'main'

        self.assertEqual(self.run_program(main()), 'main')
        self.assertEqual(self.get_problems(), [])


@cases(on={'signals'})
class LegacySignals(SignalUtils):

    def test_9_sigint_cancels_the_main_task_only(self):
        trace = []

        async def background():
            try:
                await self.forever()
            finally:
                trace.append('background')

        async def main():
            task = asyncio.create_task(background())
            await self.settle()
            signal.raise_signal(signal.SIGINT)
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(1)
                trace.append(('main', task.done(), task.cancelling()))

        with self.assertRaises(KeyboardInterrupt):
            self.run_program(main())
        self.assertEqual(trace, [('main', False, 0), 'background'])

    def test_9_main_may_finish_all_the_same(self):
        async def main():
            signal.raise_signal(signal.SIGINT)
            await self.assert_cancelled(self.forever())
            return 'main'

        self.assertEqual(self.run_program(main()), 'main')

    def test_9_main_may_fail_all_the_same(self):
        async def main():
            signal.raise_signal(signal.SIGINT)
            await self.fail_when_cancelled()

        with self.assertRaises(MyError):
            self.run_program(main())

    def test_9_second_sigint_is_raised_where_the_code_stands(self):
        async def main():
            signal.raise_signal(signal.SIGINT)
            await self.assert_cancelled(self.forever())
            with self.assertRaises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            return 'main'

        self.assertEqual(self.run_program(main()), 'main')

    def test_9_sigint_when_main_is_done_is_raised_where_the_code_stands(self):
        trace = []

        async def background():
            try:
                await self.forever()
            finally:
                trace.append('background')
                signal.raise_signal(signal.SIGINT)
                trace.append('went on')

        async def main():
            asyncio.create_task(background())
            await self.settle()

        with self.assertRaises(KeyboardInterrupt):
            self.run_program(main())
        self.assertEqual(trace, ['background'])

    def test_9_sigint_when_main_is_done_does_not_wait(self):
        # As in stock, where one interrupt ends the program.
        trace = []

        async def stubborn():
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(10)
                    trace.append('stubborn')

        async def main():
            asyncio.create_task(stubborn())
            await self.settle()
            self.loop.call_later(1, signal.raise_signal, signal.SIGINT)

        # For it is never done.
        self.loop.set_exception_handler(lambda loop, context: None)
        with self.assertRaises(KeyboardInterrupt):
            self.run_program(main())
        self.assertEqual(trace, [])

    def test_9_sigint_when_main_is_done_and_a_task_that_does_not_end(self):
        async def stubborn():
            while True:
                try:
                    await self.forever()
                except asyncio.CancelledError:
                    pass

        async def main():
            asyncio.create_task(stubborn())
            await self.settle()
            self.loop.call_soon(self.loop.call_soon, signal.raise_signal,
                                signal.SIGINT)

        self.loop.set_exception_handler(lambda loop, context: None)
        self.loop.max_turns = 1_000
        with self.assertRaises(KeyboardInterrupt):
            self.run_program(main())

    def test_9_main_is_cancelled_too(self):
        async def main():
            asyncio.current_task().cancel()
            signal.raise_signal(signal.SIGINT)
            await self.forever()

        with self.assertRaises(asyncio.CancelledError):
            self.run_program(main())

    def test_9_sigterm_is_left_alone(self):
        async def main():
            return (signal.getsignal(signal.SIGTERM),
                    signal.getsignal(signal.SIGINT))

        sigterm, sigint = self.run_program(main())
        self.assertIs(sigterm, signal.SIG_DFL)
        self.assertIsNot(sigint, signal.default_int_handler)
        self.assertIs(signal.getsignal(signal.SIGINT),
                      signal.default_int_handler)

    def test_9_handler_of_the_program_is_left_alone(self):
        async def main():
            signal.raise_signal(signal.SIGINT)
            await self.assert_awaits_work()
            return 'main'

        received = []
        signal.signal(signal.SIGINT, lambda *args: received.append(args[0]))
        self.assertEqual(self.run_program(main()), 'main')
        self.assertEqual(received, [signal.SIGINT])


@cases(off={'signals'})
class NativeSignals(SignalUtils):

    def run_interrupted(self, signum):
        trace = []

        async def background():
            try:
                await self.forever()
            finally:
                trace.append('background')

        async def main():
            asyncio.create_task(background())
            await self.settle()
            signal.raise_signal(signum)
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(1)
                trace.append('main')

        try:
            self.run_program(main())
        finally:
            self.assertEqual(trace, ['background', 'main'])

    def test_9_sigint_cancels_all_tasks(self):
        with self.assertRaises(KeyboardInterrupt):
            self.run_interrupted(signal.SIGINT)

    @unittest.skipIf(sys.platform == 'win32', 'SIGTERM kills the process')
    def test_9_sigterm_cancels_all_tasks(self):
        with self.assertRaises(asyncio.Terminated):
            self.run_interrupted(signal.SIGTERM)


@cases()
class Legacy(CaseUtils):

    def test_9_legacy_returns_the_set_in_force(self):
        # By itself this shows that each child got what it was meant to get.
        self.assertIs(type(asyncio.legacy()), frozenset)
        self.assertIn(asyncio.legacy(), [names for _, names in SETS.values()])
        self.assertIn('legacy', asyncio.__all__)


legacy_utils.make_tests(__name__)


if __name__ == '__main__':
    unittest.main()
