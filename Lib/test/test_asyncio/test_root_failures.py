"""Tests for failures of tasks in the root task group (7.2, 10.3).

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import functools
import gc
import logging
import traceback
import types
import unittest
import weakref
from asyncio import tasks
from asyncio.log import logger
from test import support

from test.test_asyncio.root_utils import (
    MESSAGE, for_each, matrix, not_python_tasks)
from test.test_asyncio.scope_utils import (MyBaseError, MyError,
                                           needs_level_cancel)

# Of errors that an exit exception leaves without a caller.
UNHANDLED = 'unhandled error in asyncio.run()'


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class FailureTests:
    """Rule 7.2."""

    def test_7_2_main_is_cancelled_again_and_again(self):
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.failing(error, 1))
            try:
                await self.forever()
            finally:
                trace.append(asyncio.get_running_loop().time())
                await self.assert_level()
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(5)
                    await self.settle()
                trace.append(asyncio.get_running_loop().time())
                await self.assert_level()
                trace.append('end')

        with self.raises_group(error) as cm:
            self.run_main(main())
        self.assertEqual(trace, [1001, 1006, 'end'])
        self.assertEqual(str(cm.exception), MESSAGE + ' (1 sub-exception)')
        self.assertIsNone(cm.exception.__cause__)
        self.assertIsNone(cm.exception.__context__)

    def test_7_2_all_others_are_cancelled_again_and_again(self):
        error = MyError()
        trace = []

        async def other(name):
            try:
                await self.forever()
            finally:
                await self.assert_level()
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(2)
                await self.assert_level()
                trace.append(name)

        async def main():
            for name in 'first', 'second':
                asyncio.create_task(other(name))
            asyncio.create_task(self.failing(error, 1))
            for name in 'third', 'fourth':
                asyncio.create_task(other(name))
            await self.forever()

        with self.raises_group(error):
            self.run_main(main())
        self.assertCountEqual(trace, ['first', 'second', 'third', 'fourth'])

    def test_7_2_run_waits_for_the_slowest(self):
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.background(trace))
            asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())
            trace.append('main')

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, ['main', 'background'])

    def test_7_2_background_task_ends_while_main_cleans_up(self):
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.background(trace))
            asyncio.create_task(self.failing(error, 1))
            try:
                await self.forever()
            finally:
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(10)
                trace.append('main')

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, ['background', 'main'])

    def test_7_2_traceback_of_mains_error_is_mains(self):
        # Another task raises the same exception as run() ends.
        async def wait(main):
            try:
                await asyncio.sleep(5)
            finally:
                try:
                    await main
                except MyError:
                    raised.append(True)

        async def main():
            asyncio.create_task(wait(asyncio.current_task()))
            await asyncio.sleep(1)
            raise MyError

        raised = []
        names = []
        try:
            self.run_main(main())
        except MyError as exc:
            tb = exc.__traceback__
            while tb is not None:
                names.append(tb.tb_frame.f_code.co_name)
                tb = tb.tb_next
        self.assertEqual(raised, [True])
        self.assertEqual(names[-1], 'main')
        self.assertNotIn('wait', names)

    def test_7_2_error_of_main_is_in_the_group(self):
        for own in MyError('main'), ExceptionGroup('', [MyError('main')]):
            with self.subTest(own=own):
                error = MyError('background')

                async def main():
                    asyncio.create_task(self.failing(error, 1))
                    try:
                        await self.forever()
                    finally:
                        with asyncio.CancelScope(shield=True):
                            await asyncio.sleep(1)
                        raise own

                with self.raises_group(error, own):
                    self.run_main(main())

    def test_7_2_main_that_was_just_cancelled_is_not_in_the_group(self):
        error = MyError()

        async def main():
            asyncio.create_task(self.failing(error, 1))
            try:
                await self.forever()
            except asyncio.CancelledError:
                raise asyncio.CancelledError('another') from None

        with self.raises_group(error):
            self.run_main(main())

    def test_7_2_cancellations_of_others_are_not_in_the_group(self):
        error = MyError()

        async def main():
            for _ in range(3):
                asyncio.create_task(self.background([]))
            asyncio.create_task(self.failing(error, 1))
            await self.forever()

        with self.raises_group(error):
            self.run_main(main())

    def test_7_2_main_has_a_result_all_the_same(self):
        error = MyError()

        async def main():
            asyncio.create_task(self.failing(error, 1))
            try:
                await self.forever()
            except asyncio.CancelledError:
                return 'result'

        with self.raises_group(error):
            self.run_main(main())

    def test_7_2_main_that_does_not_notice(self):
        error = MyError()

        async def main():
            task = asyncio.create_task(self.failing(error))
            if not self.eager:
                await asyncio.sleep(0)
            self.assertIs(task.done(), True)
            return 'result'

        with self.raises_group(error):
            self.run_main(main())

    def test_7_2_failure_in_the_tick_in_which_main_is_done(self):
        # Before it as well as after it.
        for main_first in False, True:
            with self.subTest(main_first=main_first):
                error = MyError()
                async def background(future):
                    await future
                    raise error

                async def main():
                    loop = asyncio.get_running_loop()
                    future = loop.create_future()
                    mine = loop.create_future()
                    asyncio.create_task(background(future))
                    await self.settle()
                    both = [future, mine]
                    if main_first:
                        both.reverse()
                    for each in both:
                        loop.call_later(1, each.set_result, None)
                    await mine
                    return 'result'

                with self.raises_group(error):
                    self.run_main(main())

    def test_7_2_failure_in_the_tick_in_which_main_fails(self):
        for main_first in False, True:
            with self.subTest(main_first=main_first):
                error, own = MyError('background'), MyError('main')

                async def main():
                    loop = asyncio.get_running_loop()
                    future = loop.create_future()
                    mine = loop.create_future()

                    async def background():
                        await future
                        raise error

                    asyncio.create_task(background())
                    await self.settle()
                    both = [future, mine]
                    if main_first:
                        both.reverse()
                    for each in both:
                        loop.call_later(1, each.set_result, None)
                    await mine
                    raise own

                with self.raises_group(error, own):
                    self.run_main(main())

    def test_7_2_failure_before_main_has_started(self):
        # It gets to its first await all the same.
        error = MyError()
        trace = []

        async def main():
            trace.append('started')
            await self.assert_level()
            trace.append('cancelled')

        with self.runner() as runner:
            runner.get_loop().create_task(self.failing(error))
            with self.raises_group(error):
                runner.run(main())
        self.assertEqual(trace, ['started', 'cancelled'])

    def test_7_2_several_failures(self):
        errors = [MyError(i) for i in range(3)]

        async def main():
            for error in errors:
                asyncio.create_task(self.failing(error, 1))
            await self.forever()

        with self.raises_group(*errors) as cm:
            self.run_main(main())
        self.assertEqual(str(cm.exception), MESSAGE + ' (3 sub-exceptions)')

    def test_7_2_failures_in_the_cleanup_after_a_failure(self):
        errors = [MyError(i) for i in range(4)]
        trace = []

        async def main():
            for error in errors[1:]:
                asyncio.create_task(self.background(trace, error=error))
            asyncio.create_task(self.failing(errors[0], 1))
            await self.forever()

        with self.raises_group(*errors):
            self.run_main(main())
        self.assertEqual(trace, ['background'] * 3)

    def test_7_2_group_of_errors_stays_a_member(self):
        error = ExceptionGroup('mine', [MyError(), MyError()])

        async def main():
            asyncio.create_task(self.failing(error, 1))
            await self.forever()

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual((error.message, len(error.exceptions)), ('mine', 2))

    def test_7_2_base_exceptions(self):
        for error, own in [(MyBaseError(), None),
                           (MyBaseError(), MyError()),
                           (MyError(), MyBaseError()),
                           (MyBaseError(), MyBaseError()),
                           (GeneratorExit(), None)]:
            with self.subTest(error=error, own=own):
                trace = []

                async def main():
                    asyncio.create_task(self.background(trace))
                    asyncio.create_task(self.failing(error, 1))
                    try:
                        await self.forever()
                    finally:
                        if own is not None:
                            raise own

                errors = [error] if own is None else [error, own]
                with self.raises_group(*errors):
                    self.run_main(main())
                self.assertEqual(trace, ['background'])

    def test_7_2_exit_exceptions_come_out_bare(self):
        class MySystemExit(SystemExit):
            pass

        for error in SystemExit(3), KeyboardInterrupt(), MySystemExit('x'):
            for delay in None, 0, 1:
                with self.subTest(error=error, delay=delay):
                    trace = []

                    async def main():
                        asyncio.create_task(self.background(trace, 'other'))
                        await self.settle()
                        asyncio.create_task(self.failing(error, delay))
                        try:
                            await self.forever()
                        finally:
                            with asyncio.CancelScope(shield=True):
                                await asyncio.sleep(5)
                            trace.append('main')

                    with self.raises_bare(error):
                        self.run_main(main())
                    if self.eager and delay is None:
                        # It is main that the error went through.
                        self.assertEqual(trace, ['other'])
                    else:
                        self.assertEqual(trace, ['other', 'main'])

    def test_7_2_exit_exceptions_of_main_come_out_bare(self):
        for error in SystemExit(3), KeyboardInterrupt():
            with self.subTest(error=error):
                trace = []

                async def main():
                    asyncio.create_task(self.background(trace))
                    await self.failing(error, 1)

                with self.raises_bare(error):
                    self.run_main(main())
                self.assertEqual(trace, ['background'])

    def test_7_2_exit_exception_that_main_puts_into_a_group(self):
        # As a group of tasks of another library does with that of its member.
        own = MyError()
        for error in SystemExit(3), KeyboardInterrupt():
            for others in [], [own]:
                with self.subTest(error=error, others=others):
                    async def main():
                        asyncio.create_task(self.failing(error, 1))
                        try:
                            await self.forever()
                        finally:
                            inner = BaseExceptionGroup('inner', [error])
                            raise BaseExceptionGroup(
                                'outer', [inner, *others]) from None

                    with self.raises_bare(error):
                        self.run_main(main())
                    # Nothing is lost.
                    problems = self.take_problems()
                    self.assertEqual([message for message, _ in problems],
                                     [UNHANDLED] * len(others))
                    for _, outer in problems:
                        self.assertEqual(outer.message, 'outer')
                        self.assertEqual(outer.exceptions, (own,))

    def test_7_2_exit_exception_of_main_beside_other_errors(self):
        for own in SystemExit(3), KeyboardInterrupt():
            for delay in None, 1:
                with self.subTest(own=own, delay=delay):
                    error = MyError()

                    async def main():
                        asyncio.create_task(self.background([], error=error))
                        await asyncio.sleep(0)
                        await self.failing(own, delay)

                    with self.raises_bare(own):
                        self.run_main(main())
                    self.assertEqual(self.take_problems(),
                                     [(UNHANDLED, error)])

    def test_7_2_error_of_main_beside_an_exit_exception(self):
        exit_error, error = SystemExit(3), MyError()

        async def main():
            asyncio.create_task(self.failing(exit_error, 1))
            try:
                await self.forever()
            finally:
                raise error

        with self.raises_bare(exit_error):
            self.run_main(main())
        self.assertEqual(self.take_problems(), [(UNHANDLED, error)])

    def test_7_2_only_main_fails(self):
        for error in (MyError(), MyBaseError(), asyncio.CancelledError('x'),
                      ExceptionGroup(MESSAGE, [MyError()])):
            with self.subTest(error=error):
                trace = []

                async def main():
                    asyncio.create_task(self.background(trace))
                    await self.failing(error, 1)

                with self.raises_bare(error) as cm:
                    self.run_main(main())
                self.assertIsNone(cm.exception.__context__)
                self.assertIsNone(cm.exception.__cause__)
                self.assertEqual(trace, ['background'])

    def test_7_2_only_main_fails_and_chains_are_kept(self):
        error, cause = MyError(), KeyError()

        async def main():
            asyncio.create_task(self.background([]))
            raise error from cause

        with self.raises_bare(error):
            self.run_main(main())
        self.assertIs(error.__cause__, cause)

    def test_7_2_main_cancels_itself(self):
        trace = []

        async def main():
            asyncio.create_task(self.background(trace))
            asyncio.current_task().cancel('why')
            await self.forever()

        with self.assertRaises(asyncio.CancelledError) as cm:
            self.run_main(main())
        self.assertEqual(cm.exception.args, ('why',))
        self.assertEqual(trace, ['background'])

    def test_7_2_background_task_that_is_cancelled_is_no_failure(self):
        async def raising():
            await asyncio.sleep(0)
            raise asyncio.CancelledError

        async def main():
            task = asyncio.create_task(self.forever())
            await self.settle()
            task.cancel()
            other = asyncio.create_task(raising())
            await asyncio.wait([task, other])
            self.assertEqual([task.cancelled(), other.cancelled()],
                             [True, True])
            await self.assert_not_cancelled()
            return 'result'

        self.assertEqual(self.run_main(main()), 'result')

    def test_7_2_background_task_that_fails_as_it_is_cancelled(self):
        error = MyError()

        async def main():
            task = asyncio.create_task(self.background([], error=error))
            await self.settle()
            task.cancel()
            await self.assert_cancelled(self.forever())
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())

    def test_7_2_main_in_a_shielded_block(self):
        # Trap 27.
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.failing(error, 1))
            with asyncio.CancelScope(shield=True):
                await asyncio.sleep(10)
                await self.assert_not_cancelled()
                trace.append('block')
            trace.append('after')
            await self.assert_level()
            await asyncio.sleep(0)
            trace.append('never')

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, ['block', 'after'])

    def test_7_2_main_in_shield(self):
        # Trap 27.
        error = MyError()
        trace = []

        async def protected():
            await asyncio.sleep(10)
            trace.append('protected')

        async def main():
            asyncio.create_task(self.failing(error, 1))
            await asyncio.shield(protected())
            trace.append('after')
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, ['protected', 'after'])

    def test_7_2_tasks_that_swallow_the_cancellation(self):
        # Trap 28: run() returns as soon as they run out of awaits.
        error = MyError()
        trace = []

        async def stubborn(name):
            for _ in range(10):
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    pass
            trace.append(name)

        async def main():
            asyncio.create_task(stubborn('background'))
            asyncio.create_task(self.failing(error, 1))
            loop = asyncio.get_running_loop()
            await stubborn('main')
            trace.append(loop.time())
            return 'result'

        with self.raises_group(error):
            self.run_main(main())
        self.assertCountEqual(trace, ['background', 'main', 1001])

    def test_7_2_main_inside_a_task_group(self):
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.failing(error, 1))
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.background(trace, 'first'))
                    group.create_task(self.background(trace, 'second'))
            finally:
                trace.append('main')

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, ['first', 'second', 'main'])

    def test_7_2_main_inside_a_timeout(self):
        # It is not the timeout that has cancelled it.
        error = MyError()

        async def main():
            asyncio.create_task(self.failing(error, 1))
            async with asyncio.timeout(10):
                await self.forever()

        with self.raises_group(error):
            self.run_main(main())

    def test_7_2_uncancel_does_not_lift_it(self):
        error = MyError()

        async def main():
            asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())
            task = asyncio.current_task()
            self.assertEqual(task.cancelling(), 1)
            while task.cancelling():
                task.uncancel()
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())

    def test_7_2_failed_task_keeps_its_exception(self):
        error = MyError()

        async def main():
            task = asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())
            self.assertIs(task.exception(), error)

        with self.raises_group(error):
            self.run_main(main())

    def test_7_2_failures_are_not_logged_as_well(self):
        errors = [MyError(i) for i in range(3)]

        async def main():
            asyncio.create_task(self.failing(errors[0]))
            asyncio.create_task(self.background([], error=errors[1]))
            try:
                await self.forever()
            finally:
                raise errors[2]

        with self.raises_group(*errors):
            self.run_main(main())
        support.gc_collect()
        self.assertEqual(self.problems, [])

    def test_7_2_done_callbacks_of_the_failed_task_run(self):
        error = MyError()
        trace = []

        async def main():
            task = asyncio.create_task(self.failing(error, 1))
            task.add_done_callback(lambda task: trace.append(task.exception()))
            await self.forever()

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, [error])

    @needs_level_cancel
    def test_7_2_both_implementations_of_tasks_in_one_loop(self):
        # Those that are not of the kind of the tree are external tasks: they
        # have no scopes, and their cancel() is called.
        other_kind = tasks._PyTask
        if self.Task is tasks._PyTask:
            other_kind = getattr(tasks, '_CTask', None)
            if other_kind is None:
                self.skipTest('requires the C _asyncio module')
        error = MyError()
        trace, made = [], []

        def create_task(kind, coro):
            loop = asyncio.get_running_loop()
            factory = loop.get_task_factory()
            loop.set_task_factory(
                lambda loop, coro, **kwargs: kind(coro, loop=loop, **kwargs))
            try:
                task = loop.create_task(coro)
            finally:
                loop.set_task_factory(factory)
            self.assertIs(type(task), kind)
            return task

        async def background():
            await self.assert_cancelled(self.forever())
            await self.assert_level()
            trace.append('background')

        async def external():
            with self.assertRaisesRegex(RuntimeError, 'CancelScope'):
                asyncio.CancelScope().__enter__()
            await self.assert_cancelled(self.forever())
            await self.assert_level()
            # (current_task() does not know it.)
            made.pop().uncancel()
            await asyncio.sleep(self.pause)
            trace.append('external')

        for kind in self.Task, other_kind:
            async def main():
                create_task(kind, self.failing(error, 1))
                made.append(create_task(other_kind, external()))
                create_task(self.Task, background())
                await self.assert_cancelled(self.forever())
                await self.assert_level()

            with self.subTest(failing=kind):
                with self.raises_group(error):
                    self.run_main(main())
                self.assertEqual(trace, ['background', 'external'])
                trace.clear()

    def test_7_2_what_asyncio_has_made_tasks_of_is_cancelled_as_well(self):
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.failing(error, 1))
            try:
                await asyncio.gather(self.background(trace, 'first'),
                                     self.background(trace, 'second'))
            finally:
                trace.append('main')

        with self.raises_group(error):
            self.run_main(main())
        self.assertCountEqual(trace, ['main', 'first', 'second'])

    # Reference cycles.

    async def raising(self, cls):
        await asyncio.sleep(1)
        raise cls

    def run_and_fail(self):
        async def main():
            asyncio.create_task(self.background([]))
            asyncio.create_task(self.raising(MyError))
            await self.forever()
        self.run_main(main())

    def run_and_fail_at_the_end(self):
        async def background():
            try:
                await self.forever()
            finally:
                raise MyError

        async def main():
            asyncio.create_task(background())
            await self.settle()
        self.run_main(main())

    def close_and_fail(self):
        async def background():
            try:
                await self.forever()
            finally:
                raise MyError

        async def main():
            asyncio.create_task(background())
            await self.settle()

        with self.runner() as runner:
            runner.run(main())

    def run_and_fail_repeatedly(self):
        async def main():
            asyncio.create_task(self.background([]))
            asyncio.create_task(self.raising(MyError))
            await self.forever()

        with self.runner() as runner:
            with contextlib.suppress(ExceptionGroup):
                runner.run(main())
            runner.run(main())

    def run_and_fail_in_main(self):
        async def main():
            asyncio.create_task(self.background([]))
            await self.raising(MyError)
        self.run_main(main())

    def run_and_fail_in_main_too(self):
        async def main():
            asyncio.create_task(self.raising(MyError))
            try:
                await self.forever()
            finally:
                raise MyError('main')
        self.run_main(main())

    def failing_programs(self):
        return (self.run_and_fail, self.run_and_fail_at_the_end,
                self.close_and_fail, self.run_and_fail_repeatedly)

    def check_no_references(self, run, pick):
        """Nothing refers to what *pick* finds in the exception of run()."""
        with support.disable_gc():
            exc = None
            try:
                run()
            except BaseException as raised:
                exc = pick(raised)
            self.assertIsInstance(exc, BaseException)
            self.assertEqual(gc.get_referrers(exc), [])
            ref = weakref.ref(exc)
            del exc
            self.assertIsNone(ref())

    def check_no_garbage(self, run):
        def run_and_catch():
            try:
                run()
            except BaseException:
                return
            self.fail('not raised')

        support.gc_collect()
        flags = gc.get_debug()
        saved = gc.garbage[:]
        gc.garbage.clear()
        try:
            with support.disable_gc():
                run_and_catch()
                gc.set_debug(gc.DEBUG_SAVEALL)
                gc.collect()
            found = [
                type(obj).__name__ for obj in gc.garbage
                if isinstance(obj, (
                    asyncio.Future, asyncio.Task, self.Future, self.Task,
                    asyncio.CancelScope, asyncio.AbstractEventLoop,
                    BaseException, types.TracebackType, types.CoroutineType))
                or type(obj).__module__.startswith('asyncio.')]
        finally:
            gc.set_debug(flags)
            gc.garbage[:] = saved
        self.assertEqual(found, [])

    @for_each('failing_programs')
    def test_7_2_nothing_refers_to_the_group_that_is_raised(self, run):
        self.check_no_references(run, lambda exc: exc)

    @not_python_tasks
    @for_each('failing_programs')
    def test_7_2_nothing_but_the_group_refers_to_its_errors(self, run):
        self.check_no_references(run, lambda exc: exc.exceptions[0])

    @not_python_tasks
    @for_each('failing_programs')
    def test_7_2_no_garbage_is_left_by_a_background_failure(self, run):
        self.check_no_garbage(run)

    # In stock the frames of Runner.run() and of run_until_complete() refer to the
    # main task, and so its error to itself.

    @not_python_tasks
    def test_7_2_nothing_refers_to_the_error_of_main(self):
        self.check_no_references(self.run_and_fail_in_main, lambda exc: exc)
        self.check_no_references(self.run_and_fail_in_main_too,
                                 lambda exc: exc.exceptions[1])

    @not_python_tasks
    def test_7_2_no_garbage_is_left_by_an_error_of_main(self):
        self.check_no_garbage(self.run_and_fail_in_main)
        self.check_no_garbage(self.run_and_fail_in_main_too)


@matrix
class FirstFailureTests:
    """Rule 10.3."""

    def run_failing(self, main):
        with self.assertRaises(BaseExceptionGroup) as cm:
            self.run_main(main)
        return cm.exception.exceptions

    def notes(self, exc):
        return getattr(exc, '__notes__', [])

    def test_10_3_first_failure_is_logged_at_once(self):
        async def main():
            asyncio.create_task(self.failing(MyError('reason'), 1), name='one')
            asyncio.create_task(
                self.background([], error=MyError('later')), name='two')
            with asyncio.CancelScope(shield=True):
                await asyncio.sleep(2)
            self.assertEqual(len(self.lines), 1)

        self.run_failing(main())
        self.assertEqual(self.lines, [
            "Background task 'one', RootGroupTestCase.failing() failed: "
            "MyError: reason"])

    def test_10_3_debug_mode_tells_where_the_task_was_created(self):
        async def main():
            asyncio.get_running_loop().set_debug(True)
            asyncio.create_task(self.failing(MyError()))
            await self.forever()

        self.run_failing(main())
        line, = self.lines
        self.assertRegex(line, r'failed: MyError \(created at .*'
                               r'test_root_failures\.py:\d+\)\Z')

    def descriptions(self):
        class Silent(Exception):
            def __str__(self):
                raise ValueError

        yield MyError(), 'MyError'
        yield MyError('one\ntwo'), 'MyError: one [...]'
        yield Silent(), f'{Silent.__qualname__}: <str() failed>'
        yield ExceptionGroup('many', [MyError()]), \
            'ExceptionGroup: many (1 sub-exception)'

    def test_10_3_one_line_whatever_the_exception_is(self):
        for exc, description in self.descriptions():
            with self.subTest(description):
                self.lines.clear()

                async def main():
                    asyncio.create_task(self.failing(exc), name='a\nb')
                    await self.forever()

                self.run_failing(main())
                line, = self.lines
                self.assertEqual(
                    line, "Background task 'a\\nb', RootGroupTestCase."
                          f"failing() failed: {description}")

    def test_10_3_failure_while_the_program_ends(self):
        async def main():
            asyncio.create_task(self.background([], error=MyError('late')))
            await self.settle()

        self.run_failing(main())
        self.assertEqual(len(self.lines), 1)

    def test_10_3_each_call_of_a_runner_logs_its_first_failure(self):
        async def main():
            asyncio.create_task(self.failing(MyError()))
            await self.forever()

        with self.runner() as runner:
            for count in 1, 2:
                with self.assertRaises(ExceptionGroup):
                    runner.run(main())
                self.assertEqual(len(self.lines), count)

    def test_10_3_what_is_no_background_failure_is_not_logged(self):
        error = MyError()

        async def main():
            await asyncio.gather(self.failing(error), return_exceptions=True)
            with self.raises_bare(error):
                await asyncio.wait_for(self.failing(error), 1)
            asyncio.create_task(self.failing(error), errors='log')
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.failing(error))
            await self.assert_not_cancelled()

        self.run_main(main())
        self.take_problems()
        with self.raises_bare(error):
            self.run_main(self.failing(error))
        for exc in KeyboardInterrupt, SystemExit:
            async def interrupted():
                asyncio.create_task(self.failing(exc()))
                await self.forever()

            with self.assertRaises(exc):
                self.run_main(interrupted())
        self.assertEqual(self.lines, [])

    def test_10_3_group_of_cancellations_is_not_logged(self):
        async def end():
            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                raise BaseExceptionGroup('all', [exc]) from None

        async def main():
            asyncio.create_task(end())
            await self.settle()

        self.run_main(main())
        self.assertEqual(self.lines, [])

    def test_10_3_notes_name_the_tasks(self):
        errors = MyError('one'), MyError('two'), MyError('main')

        async def main():
            asyncio.create_task(self.failing(errors[0]), name='one')
            asyncio.create_task(
                self.background([], error=errors[1]), name='two')
            try:
                await self.forever()
            finally:
                raise errors[2]

        self.assertCountEqual(self.run_failing(main()), errors)
        for exc, name in zip(errors[:2], ('one', 'two')):
            note, = self.notes(exc)
            self.assertIn(repr(name), note)
        note, = self.notes(errors[2])
        self.assertIn('main task', note)

    def test_7_3_group_names_the_ways_out(self):
        async def main():
            for name in 'one', 'two':
                asyncio.create_task(self.failing(MyError()), name=name)
            await self.forever()

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_main(main())
        note, = self.notes(cm.exception)
        for way in 'create_task(..., errors="await")', 'TaskGroup', 'gather()':
            self.assertIn(way, note)
        # It is said once.
        line, = self.lines
        self.assertNotIn('gather', line)
        for exc in cm.exception.exceptions:
            self.assertEqual(len(self.notes(exc)), 1)

        # It is true.
        async def advised():
            with self.assertRaises(MyError):
                await asyncio.create_task(
                    self.failing(MyError()), errors='await')
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.failing(MyError()))
            with self.assertRaises(MyError):
                await asyncio.gather(self.failing(MyError()))
            return 'result'

        self.assertEqual(self.run_main(advised()), 'result')

    def test_10_3_notes_of_an_exception_that_several_tasks_raise(self):
        error = MyError()

        async def main():
            for name in 'one', 'two':
                asyncio.create_task(
                    self.background([], error=error), name=name)
            await self.settle()
            raise error

        for _ in range(3):
            self.assertEqual(self.run_failing(main()), (error,))
            notes = self.notes(error)
            self.assertEqual(len(notes), 2)
            self.assertIn("'one'", notes[0])
            self.assertIn("'two'", notes[1])

    def test_10_3_exceptions_that_refuse_notes(self):
        class Refusing(Exception):
            def add_note(self, note):
                raise TypeError

        class Odd(Exception):
            __notes__ = 5

        for exc in Refusing(), Odd():
            async def main():
                asyncio.create_task(self.failing(exc))
                await self.forever()

            self.assertEqual(self.run_failing(main()), (exc,))

    def test_10_3_notes_where_cancellations_are_taken_out(self):
        async def end():
            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                raise BaseExceptionGroup('all', [exc, MyError()]) from None

        async def main():
            asyncio.create_task(end(), name='one')
            await self.settle()

        group, = self.run_failing(main())
        note, = self.notes(group)
        self.assertIn("'one'", note)

    def test_7_2_tracebacks_show_few_frames_of_asyncio(self):
        async def fail_in_background():
            asyncio.create_task(self.failing(MyError()))
            await self.forever()

        for make in functools.partial(self.failing, MyError()), \
                fail_in_background:
            # (assertRaises() takes the traceback away.)
            try:
                self.run_main(make())
            except (MyError, ExceptionGroup) as exc:
                frames = traceback.extract_tb(exc.__traceback__)
            names = [frame.name for frame in frames
                     if 'test_asyncio' not in frame.filename]
            # asyncio.run(), Runner.run(), RootGroup.run().
            self.assertEqual(names, ['run'] * 3)

    def test_10_3_handler_that_fails(self):
        # It is in the way of nothing.
        class Failing(logging.Handler):
            def emit(self, record):
                raise MyError('handler')

        handler = Failing()
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.failing(error))
            asyncio.create_task(self.background(trace))
            await self.forever()

        self.assertEqual(self.run_failing(main()), (error,))
        self.assertEqual(trace, ['background'])
        self.take_problems()


if __name__ == '__main__':
    unittest.main()
