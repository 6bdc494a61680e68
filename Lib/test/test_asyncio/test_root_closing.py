"""Tests of how the root task group ends (7.4, 7.8).

Names of tests carry the number of the rule that they check.
"""

import asyncio
import concurrent.futures
import contextlib
import math
import threading
import unittest
from test import support
from test.support import threading_helper

from test.test_asyncio.root_utils import MESSAGE, for_each, matrix
from test.test_asyncio.scope_utils import MyBaseError, MyError


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class ShieldedCleanupTests:
    """Rule 1.1: what asyncio makes of coroutines for a caller in a shielded block
    belongs to that block; whatever is cancelled outside."""

    async def work(self, result):
        await asyncio.sleep(0)
        await asyncio.sleep(1)
        return result

    def each_use(self):
        async def gather():
            return await asyncio.gather(self.work(1), self.work(2))

        async def gather_in_scopes():
            async with asyncio.timeout(10), asyncio.TaskGroup():
                return await gather()

        async def gather_in_gather():
            return sum(await asyncio.gather(gather(), gather()), [])[:2]

        async def as_completed():
            return [await each for each in asyncio.as_completed(
                [self.work(1), asyncio.sleep(2, 2)])]

        async def async_as_completed():
            return [await each async for each in asyncio.as_completed(
                [self.work(1), asyncio.sleep(2, 2)])]

        return gather, gather_in_scopes, gather_in_gather, as_completed, (
            async_as_completed)

    def each_shield(self):
        async def shield(use):
            return await asyncio.shield(use())

        async def timeout(use):
            async with asyncio.timeout(100, shield=True):
                return await use()

        async def scope(use):
            with asyncio.CancelScope(shield=True):
                return await use()

        return shield, timeout, scope

    def test_1_1_gather_in_shielded_cleanup(self):
        async def main():
            asyncio.create_task(self.failing(error, 1))
            try:
                await self.forever()
            finally:
                trace.append(await shield(use))

        for shield in self.each_shield():
            for use in self.each_use():
                with self.subTest(shield=shield.__name__, use=use.__name__):
                    error = MyError()
                    trace = []
                    with self.assertRaises(ExceptionGroup) as cm:
                        self.run_main(main())
                    self.assertEqual(cm.exception.exceptions, (error,))
                    self.assertEqual(trace, [[1, 2]])

    def test_1_1_cancelled_meanwhile(self):
        async def main():
            asyncio.create_task(self.failing(error, 1.5))
            trace.append(await shield(use))
            await self.forever()

        for shield in self.each_shield():
            for use in self.each_use():
                with self.subTest(shield=shield.__name__, use=use.__name__):
                    error = MyError()
                    trace = []
                    with self.assertRaises(ExceptionGroup):
                        self.run_main(main())
                    self.assertEqual(trace, [[1, 2]])

    def test_1_1_block_is_left_meanwhile(self):
        """The tasks move up, and are cancelled with the rest."""
        async def main():
            with asyncio.CancelScope(shield=True):
                made.append(asyncio.gather(self.forever(), self.work(1)))
                await asyncio.sleep(0)
            await asyncio.sleep(5)
            trace.append(made[0].done())

        trace, made = [], []
        self.run_main(main())
        self.assertEqual(trace, [False])
        with self.assertRaises(asyncio.CancelledError):
            made[0].result()

    def test_1_1_tasks_that_the_program_makes(self):
        """They belong to the root group, wherever that is done."""
        async def main():
            asyncio.create_task(self.failing(MyError(), 1))
            try:
                await self.forever()
            finally:
                with asyncio.CancelScope(shield=True):
                    task = asyncio.create_task(self.work(1))
                    await asyncio.wait([task])
                    trace.append(task.cancelled())

        trace = []
        with self.assertRaises(ExceptionGroup):
            self.run_main(main())
        self.assertEqual(trace, [True])


@matrix
class EndTests:
    """Rule 7.4."""

    def test_7_4_background_tasks_are_cancelled_and_waited_for(self):
        trace = []

        async def background(name):
            try:
                await self.forever()
            finally:
                await self.assert_level()
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(5)
                await self.assert_level()
                trace.append(name)

        async def main():
            for name in 'first', 'second':
                asyncio.create_task(background(name))
            await self.settle()
            trace.append('main')
            return 'result'

        self.assertEqual(self.run_main(main()), 'result')
        self.assertEqual(trace, ['main', 'first', 'second'])

    def test_7_4_task_that_has_not_started_gets_to_its_first_await(self):
        trace = []

        async def background():
            trace.append('started')
            try:
                await self.forever()
            finally:
                await self.assert_level()
                trace.append('cancelled')

        async def main():
            asyncio.create_task(background())

        self.run_main(main())
        self.assertEqual(trace, ['started', 'cancelled'])

    def test_7_4_tasks_that_swallow_the_cancellation(self):
        # Trap 28: they are waited for until they run out of awaits.
        trace = []

        async def stubborn():
            for _ in range(10):
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    trace.append('swallowed')

        async def main():
            asyncio.create_task(stubborn())
            await self.settle()

        self.run_main(main())
        self.assertEqual(trace, ['swallowed'] * 10)

    def test_7_4_task_that_ends_with_a_result(self):
        async def background():
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()
            return 'result'

        async def main():
            asyncio.create_task(background())
            await self.settle()
            return 'main'

        self.assertEqual(self.run_main(main()), 'main')

    def test_7_4_errors_are_raised_and_the_result_is_discarded(self):
        errors = [MyError(i) for i in range(2)]
        trace = []

        async def main():
            asyncio.create_task(self.background(trace, 'first', errors[0]))
            asyncio.create_task(self.background(trace, 'second'))
            asyncio.create_task(self.background(trace, 'third', errors[1]))
            await self.settle()
            return 'result'

        with self.raises_group(*errors) as cm:
            self.run_main(main())
        support.gc_collect()
        self.assertIsNone(cm.exception.__context__)
        self.assertEqual(trace, ['first', 'second', 'third'])

    def test_7_4_errors_are_raised_with_that_of_main(self):
        for own in MyError('main'), MyBaseError('main'):
            with self.subTest(own=own):
                error = MyError('background')
                trace = []

                async def main():
                    asyncio.create_task(self.background(trace, error=error))
                    await self.settle()
                    raise own

                with self.raises_group(error, own):
                    self.run_main(main())
                self.assertEqual(trace, ['background'])

    def test_7_4_errors_are_raised_without_a_cancelled_main(self):
        error = MyError('background')

        async def main():
            asyncio.create_task(self.background([], error=error))
            await self.settle()
            asyncio.current_task().cancel()
            await self.forever()

        with self.raises_group(error):
            self.run_main(main())

    def test_3_4_cancellations_are_taken_out_of_groups(self):
        # The root group is a scope that has been cancelled.
        async def background(*errors):
            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                raise BaseExceptionGroup('cleanup', [exc, *errors])

        async def main(*errors):
            asyncio.create_task(background(*errors))
            await self.settle()
            return 'result'

        error = MyError()
        with self.assertRaises(ExceptionGroup) as cm:
            self.run_main(main(error))
        self.assertEqual(cm.exception.message, MESSAGE)
        inner, = cm.exception.exceptions
        self.assertEqual(inner.message, 'cleanup')
        self.assertEqual(inner.exceptions, (error,))
        self.assertEqual(self.run_main(main()), 'result')

    def test_3_4_cancellations_are_taken_out_of_the_group_of_main(self):
        async def main(*errors):
            asyncio.create_task(self.failing(failure, 1))
            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                raise BaseExceptionGroup('main', [exc, *errors])

        failure, error = MyError('background'), MyError('main')
        with self.assertRaises(ExceptionGroup) as cm:
            self.run_main(main(error))
        first, second = cm.exception.exceptions
        self.assertIs(first, failure)
        self.assertEqual(second.exceptions, (error,))
        with self.raises_group(failure):
            self.run_main(main())

    def test_3_4_cancellations_in_a_group_without_a_request(self):
        # Without a cancelled scope such a group is an error like others.
        group = BaseExceptionGroup('stray', [asyncio.CancelledError()])

        async def main():
            raise group

        with self.raises_bare(group):
            self.run_main(main())

    def test_7_4_error_of_a_task_that_has_not_started(self):
        error = MyError()

        async def background():
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()
            raise error

        async def main():
            asyncio.create_task(background())

        with self.raises_group(error):
            self.run_main(main())

    def test_7_4_tasks_that_are_made_at_the_end(self):
        trace = []

        async def last(name):
            trace.append('started ' + name)
            await self.assert_level()
            with asyncio.CancelScope(shield=True):
                await asyncio.sleep(10)
            await self.assert_level()
            trace.append('ended ' + name)

        async def background():
            try:
                await self.forever()
            finally:
                asyncio.create_task(last('first'))
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(1)
                    asyncio.create_task(last('second'))

        async def main():
            asyncio.create_task(background())
            await self.settle()

        self.run_main(main())
        self.assertEqual(trace, ['started first', 'started second',
                                 'ended first', 'ended second'])

    def test_7_4_errors_of_tasks_that_are_made_at_the_end(self):
        error = MyError()

        async def background(depth):
            try:
                await self.forever()
            finally:
                if depth:
                    asyncio.create_task(background(depth - 1))
                else:
                    raise error

        async def main():
            asyncio.create_task(background(5))
            await self.settle()

        with self.raises_group(error):
            self.run_main(main())

    def test_7_4_task_that_is_made_by_the_callback_of_the_last(self):
        trace = []

        async def main():
            task = asyncio.create_task(self.background(trace, 'first'))
            task.add_done_callback(lambda task: asyncio.create_task(
                self.background(trace, 'second')))
            await self.settle()

        self.run_main(main())
        self.assertEqual(trace, ['first', 'second'])

    def test_7_4_cleanup_uses_tasks(self):
        trace = []

        async def member():
            await asyncio.sleep(1)
            trace.append('member')

        async def background():
            try:
                await self.forever()
            finally:
                with asyncio.CancelScope(shield=True):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(member())
                        group.create_task(member())
                trace.append('background')

        async def main():
            asyncio.create_task(background())
            await self.settle()

        self.run_main(main())
        self.assertEqual(trace, ['member', 'member', 'background'])

    def test_7_4_errors_that_are_retrieved_at_the_end(self):
        trace = []
        error = MyError()

        async def background():
            try:
                await self.forever()
            finally:
                with asyncio.CancelScope(shield=True):
                    trace.extend(await asyncio.gather(
                        self.failing(error), return_exceptions=True))

        async def main():
            asyncio.create_task(background())
            await self.settle()

        self.run_main(main())
        self.assertEqual(trace, [error])

    @threading_helper.requires_working_threading()
    def test_7_4_coroutine_of_another_thread_at_the_end(self):
        self.pause = 0
        trace = []
        found = []

        async def main():
            loop = asyncio.get_running_loop()

            def in_thread():
                future = asyncio.run_coroutine_threadsafe(submitted(), loop)
                try:
                    future.result(support.LONG_TIMEOUT)
                except BaseException as exc:
                    found.append(type(exc))

            started = asyncio.Event()

            async def submitted():
                started.set()
                await self.background(trace)

            thread = threading.Thread(target=in_thread)
            thread.start()
            self.addCleanup(thread.join)
            await started.wait()
            trace.append('main')
            return thread

        thread = self.run_really(main())
        thread.join(support.LONG_TIMEOUT)
        self.assertEqual(trace, ['main', 'background'])
        self.assertEqual(found, [concurrent.futures.CancelledError])

    def test_7_4_exit_exception_at_the_end_comes_out_bare(self):
        for error in SystemExit(3), KeyboardInterrupt():
            with self.subTest(error=error):
                trace = []

                async def main():
                    asyncio.create_task(self.background(trace, error=error))
                    asyncio.create_task(self.background(trace))
                    await self.settle()

                with self.raises_bare(error):
                    self.run_main(main())
                self.assertEqual(trace, ['background'] * 2)

    # Runner.close().

    def test_7_4_close_cancels_and_waits(self):
        trace = []

        async def main():
            asyncio.create_task(self.background(trace))
            await self.settle()

        with self.runner() as runner:
            loop = runner.get_loop()
            runner.run(main())
            self.assertEqual(trace, [])
        self.assertEqual(trace, ['background'])
        self.assertIs(loop.is_closed(), True)

    def test_7_4_close_raises_errors(self):
        errors = [MyError(i) for i in range(2)]

        async def main():
            for error in errors:
                asyncio.create_task(self.background([], error=error))
            await self.settle()
            return 'result'

        runner = self.runner()
        loop = runner.get_loop()
        self.assertEqual(runner.run(main()), 'result')
        with self.raises_group(*errors) as cm:
            runner.close()
        self.assertIsNone(cm.exception.__context__)
        self.assertIs(loop.is_closed(), True)
        # Nothing is raised twice.
        runner.close()
        coro = main()
        with self.assertRaisesRegex(RuntimeError, 'closed'):
            runner.run(coro)
        coro.close()

    def test_7_4_task_that_is_older_than_the_group_fails_at_the_end(self):
        error = MyError()

        def make_loop():
            loop = self.make_loop()
            loop.create_task(self.background([], error=error))
            return loop

        async def main():
            await self.settle()

        with self.raises_group(error):
            asyncio.run(main(), loop_factory=make_loop)

    def test_7_4_errors_are_the_context_of_what_fails_after_them(self):
        error, late = MyError('background'), OSError('no more generators')

        async def main():
            asyncio.create_task(self.background([], error=error))
            await self.settle()

        async def shutdown_asyncgens():
            raise late

        runner = self.runner()
        runner.run(main())
        runner.get_loop().shutdown_asyncgens = shutdown_asyncgens
        with self.assertRaises(OSError) as cm:
            runner.close()
        self.assertIs(cm.exception, late)
        self.assertEqual(late.__context__.exceptions, (error,))

    def test_7_4_close_has_the_exception_under_way_as_context(self):
        error, under_way = MyError(), KeyError()

        async def main():
            asyncio.create_task(self.background([], error=error))
            await self.settle()

        with self.raises_group(error) as cm:
            with self.runner() as runner:
                runner.run(main())
                raise under_way
        self.assertIs(cm.exception.__context__, under_way)
        self.assertIsNone(cm.exception.__cause__)

    def test_7_4_close_has_the_error_of_main_as_context(self):
        error, own = MyError('background'), MyError('main')

        async def main():
            asyncio.create_task(self.background([], error=error))
            await self.settle()
            raise own

        with self.raises_group(error) as cm:
            with self.runner() as runner:
                with self.raises_bare(own):
                    runner.run(main())
                raise own
        self.assertIs(cm.exception.__context__, own)

    def test_7_4_close_leaves_the_exception_under_way_alone(self):
        under_way = KeyError()

        async def main():
            asyncio.create_task(self.background([]))
            await self.settle()

        with self.raises_bare(under_way):
            with self.runner() as runner:
                runner.run(main())
                raise under_way

    def test_7_4_close_raises_errors_of_tasks_made_outside(self):
        error = MyError()
        runner = self.runner()
        runner.get_loop().create_task(self.background([], error=error))
        with self.raises_group(error):
            runner.close()

    def test_7_4_close_without_a_run(self):
        with self.runner() as runner:
            loop = runner.get_loop()
        self.assertIs(loop.is_closed(), True)
        self.runner().close()

    def test_7_4_main_that_was_left_when_the_loop_stopped(self):
        # Its error is not lost.
        own = MyError()

        async def main():
            asyncio.get_running_loop().stop()
            await self.background([], error=own)

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_main(main())
        self.check_group(cm.exception, own)
        self.assertIsInstance(cm.exception.__context__, RuntimeError)


@matrix
class ShutdownTests:
    """Rule 7.8."""

    def programs(self):
        """The ways in which a program ends, and a check of how it does."""
        error, own = MyError('background'), MyError('main')

        async def succeed():
            await asyncio.sleep(self.pause)

        async def fail():
            await self.failing(own, self.pause)

        async def fail_in_background():
            asyncio.create_task(self.failing(error, self.pause))
            await self.forever()

        async def fail_at_the_end():
            asyncio.create_task(self.background([], error=error))
            await self.settle()

        return [(succeed, contextlib.nullcontext()),
                (fail, self.raises_bare(own)),
                (fail_in_background, self.raises_group(error)),
                (fail_at_the_end, self.raises_group(error))]

    async def generator(self, trace):
        try:
            yield 'first'
            yield 'second'
        finally:
            await self.assert_not_cancelled()
            self.assertEqual(
                asyncio.current_effective_deadline(), math.inf)
            await asyncio.sleep(4)
            trace.append('generator')

    @for_each('programs')
    def test_7_8_asynchronous_generators_complete_their_cleanup(
            self, program, check):
        trace = []
        kept = []

        async def main():
            asyncio.create_task(self.background(trace))
            kept.append(self.generator(trace))
            await anext(kept[0])
            await program()

        with check:
            self.run_main(main())
        self.assertEqual(trace, ['background', 'generator'])

    def test_7_8_order_when_a_runner_is_closed(self):
        error = MyError()
        trace = []
        kept = []

        async def main():
            asyncio.create_task(self.background(trace, error=error))
            kept.append(self.generator(trace))
            await anext(kept[0])
            await self.settle()

        with self.raises_group(error):
            with self.runner() as runner:
                runner.run(main())
                self.assertEqual(trace, [])
        self.assertEqual(trace, ['background', 'generator'])

    def test_7_8_generator_lives_on_after_a_call_that_fails(self):
        # It is the runner that it is shut down with.
        trace = []
        kept = []

        async def failing():
            kept.append(self.generator(trace))
            await anext(kept[0])
            asyncio.create_task(self.failing(MyError()))
            await self.forever()

        async def main():
            return await anext(kept[0])

        with self.runner() as runner:
            with self.assertRaises(ExceptionGroup):
                runner.run(failing())
            self.assertEqual(runner.run(main()), 'second')
            self.assertEqual(trace, [])
        self.assertEqual(trace, ['generator'])

    @for_each('programs')
    def test_7_8_generator_of_a_background_task(self, program, check):
        trace = []
        kept = []

        async def background():
            kept.append(self.generator(trace))
            async for _ in kept[0]:
                try:
                    await self.forever()
                finally:
                    with asyncio.CancelScope(shield=True):
                        await asyncio.sleep(2)
                    trace.append('background')

        async def main():
            asyncio.create_task(background())
            await self.settle()
            await program()

        with check:
            self.run_main(main())
        self.assertEqual(trace, ['background', 'generator'])

    @for_each('programs')
    def test_7_8_generator_that_is_dropped_while_the_program_fails(self, program, check):
        # Trap 14: its aclose() runs in a fresh task that is not cancelled.
        trace = []

        async def main():
            generator = self.generator(trace)
            try:
                await anext(generator)
                await program()
            finally:
                trace.append('main')
                del generator

        with check:
            self.run_main(main())
        support.gc_collect()
        self.assertEqual(trace, ['main', 'generator'])

    async def failing_generator(self, error):
        try:
            yield
        finally:
            await asyncio.sleep(1)
            raise error

    def drop_after_main(self, generator):
        """Give up a generator when it is too late for the root group.

        The task that closes it comes after the loop has stopped for main.
        """
        kept = [generator]
        asyncio.current_task().add_done_callback(lambda _: kept.clear())

    @for_each('programs')
    def test_7_8_generator_that_is_dropped_after_main(self, program, check):
        trace = []

        async def main():
            generator = self.generator(trace)
            await anext(generator)
            self.drop_after_main(generator)
            del generator
            await program()

        with check:
            self.run_main(main())
        self.assertEqual(trace, ['generator'])

    def test_7_8_generator_that_is_dropped_between_two_calls(self):
        # The runner has it closed in the next call, or when there is none.
        for calls in 1, 2:
            with self.subTest(calls=calls):
                trace = []

                async def main():
                    generator = self.generator(trace)
                    await anext(generator)
                    self.drop_after_main(generator)

                with self.runner() as runner:
                    runner.run(main())
                    if calls == 2:
                        runner.run(asyncio.sleep(10))
                        self.assertEqual(trace, ['generator'])
                    self.assertEqual(trace, ['generator'] * (calls - 1))
                self.assertEqual(trace, ['generator'])

    def test_7_8_generator_that_fails_after_main(self):
        error = MyError()

        async def main():
            dropped = self.failing_generator(error)
            await anext(dropped)
            self.drop_after_main(dropped)
            return 'result'

        self.assertEqual(self.run_main(main()), 'result')
        self.assertEqual([exc for _, exc in self.take_problems()], [error])

    def test_7_8_task_that_a_generator_makes_at_the_end(self):
        # It is cancelled and waited for, as are those that it makes.
        errors = [MyError('first'), MyError('second')]
        trace = []
        kept = []

        async def late(name, *following):
            try:
                await self.forever()
            finally:
                trace.append(f'{name} is cancelled')
                for other in following:
                    asyncio.create_task(late(other))
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(1)
                trace.append(f'{name} ends')
                raise errors[len(following) == 0]

        async def generator():
            try:
                yield
            finally:
                asyncio.create_task(late('first', 'second'))
                await self.settle()

        async def main():
            kept.append(generator())
            await anext(kept[0])

        self.run_main(main())
        self.assertEqual(trace[:2], ['first is cancelled',
                                     'second is cancelled'])
        self.assertCountEqual(trace[2:], ['first ends', 'second ends'])
        self.assertCountEqual([exc for _, exc in self.take_problems()], errors)

    def test_7_8_generator_that_fails_while_it_is_dropped(self):
        # Its error is logged, as in stock.
        error = MyError()

        async def main():
            dropped = self.failing_generator(error)
            await anext(dropped)
            del dropped
            await asyncio.sleep(2)
            await self.assert_not_cancelled()
            support.gc_collect()

        self.run_main(main())
        self.assertEqual([exc for _, exc in self.take_problems()], [error])

    def test_7_8_generator_that_fails_at_the_end(self):
        error = MyError()
        kept = []

        async def main():
            kept.append(self.failing_generator(error))
            await anext(kept[0])
            return 'result'

        self.assertEqual(self.run_main(main()), 'result')
        self.assertEqual([exc for _, exc in self.take_problems()], [error])

    def test_7_8_abandoned_generator_that_holds_a_scope_open(self):
        # Trap 14: the scope reports the wrong task, and the tree is sound.
        trace = []

        async def generator():
            with self.CancelScope() as scope:
                try:
                    yield scope
                finally:
                    trace.append(asyncio.current_task())
                    await self.assert_not_cancelled()
                    await asyncio.sleep(1)
                    trace.append('closed')

        async def main():
            with self.CancelScope() as outer:
                async for _ in generator():
                    break
                outer.cancel()
                await self.assert_level()
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(2)
                self.assertEqual(trace[1:], ['closed'])
                self.assertIsNot(trace[0], asyncio.current_task())
                trace.clear()
                await self.assert_level()
                await asyncio.sleep(0)
            self.assertIs(outer.cancelled_caught, True)
            await self.assert_not_cancelled()
            support.gc_collect()

        self.run_main(main())
        (_, exc), = self.take_problems()
        self.assertIsInstance(exc, RuntimeError)
        self.assertRegex(str(exc), 'another task')

    def test_7_8_abandoned_generator_holds_a_scope_in_a_failed_program(self):
        # Trap 14.
        error = MyError()
        trace = []

        async def generator():
            with self.CancelScope():
                try:
                    yield
                finally:
                    await self.assert_not_cancelled()
                    await asyncio.sleep(1)
                    trace.append('closed')

        async def main():
            asyncio.create_task(self.failing(error, 1))
            try:
                await self.forever()
            finally:
                dropped = generator()
                await anext(dropped)  # It does not wait for anything.
                del dropped
                await self.assert_level()
                trace.append('main')

        with self.raises_group(error):
            self.run_main(main())
        support.gc_collect()
        # The scope is exited silently: its task has ended.
        self.assertCountEqual(trace, ['main', 'closed'])

    @threading_helper.requires_working_threading()
    @for_each('programs')
    def test_7_8_default_executor_is_shut_down_last(self, program, check):
        self.pause = 0
        trace = []
        threads = []
        kept = []

        async def background():
            try:
                await self.forever()
            finally:
                with asyncio.CancelScope(shield=True):
                    trace.append(await asyncio.to_thread(
                        lambda: 'background'))

        async def generator():
            try:
                yield
            finally:
                trace.append(await asyncio.to_thread(lambda: 'generator'))

        async def main():
            asyncio.create_task(background())
            kept.append(generator())
            await anext(kept[0])
            threads.append(await asyncio.to_thread(
                threading.current_thread))
            await program()

        with check:
            self.run_really(main())
        self.assertEqual(trace, ['background', 'generator'])
        self.assertIs(threads[0].is_alive(), False)


if __name__ == '__main__':
    unittest.main()
