"""Tests for the members of task groups, and for how groups end.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import threading
import unittest
import weakref
from asyncio import futures
from test import support
from unittest import mock

from test.test_asyncio.scope_utils import (GroupHelpers, MyBaseError, MyError,
                                           matrix, needs_level_cancel)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class MemberTests(GroupHelpers):
    """Rules 6.2 and 6.6, traps 22 and 23."""

    async def test_6_2_spawn_into_a_cancelled_group(self):
        """Trap 22: the task runs to its first yield point."""
        async def member(name):
            trace.append((name, 'starts'))
            await asyncio.sleep(0)
            trace.append((name, 'not reached'))

        async def quick():
            trace.append('quick')
            return 'result'

        trace = []
        async with asyncio.TaskGroup() as group:
            group.cancel()
            lazy = group.create_task(member('lazy'), eager_start=False)
            eager = group.create_task(member('eager'), eager_start=True)
            result = group.create_task(quick())
        self.assertCountEqual(
            trace, [('lazy', 'starts'), ('eager', 'starts'), 'quick'])
        self.assertIs(lazy.cancelled(), True)
        self.assertIs(eager.cancelled(), True)
        self.assertEqual(result.result(), 'result')

    async def test_6_2_spawn_during_the_join_of_a_cancelled_group(self):
        async def member():
            try:
                await self.forever()
            finally:
                late.append(group.create_task(self.be_cancelled('why')))

        late = []
        async with asyncio.TaskGroup() as group:
            group.create_task(member())
            await self.settle()
            group.cancel('why')
        self.assertIsNone(late[0].exception())

    async def test_6_2_spawn_after_a_member_has_failed(self):
        async def member():
            try:
                await self.forever()
            finally:
                late.append(group.create_task(self.be_cancelled()))

        late = []
        error = MyError()
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                group.create_task(member())
                await self.settle()
                group.create_task(self.fail_with(error))
        self.assert_errors(cm.exception, error)
        self.assertIsNone(late[0].exception())

    async def test_6_2_refused_before_entry(self):
        group = asyncio.TaskGroup()
        coro = self.forever()
        with self.assertRaisesRegex(RuntimeError, 'not been entered'):
            group.create_task(coro)
        self.assertIsNone(coro.cr_frame)    # it was closed
        group.cancel()
        coro = self.forever()
        with self.assertRaisesRegex(RuntimeError, 'not been entered'):
            group.create_task(coro)
        self.assertIsNone(coro.cr_frame)

    async def test_6_2_refused_after_the_end(self):
        for how in 'plain', 'cancelled', 'failed':
            with self.subTest(how):
                with contextlib.suppress(ExceptionGroup):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(asyncio.sleep(1))
                        if how == 'cancelled':
                            group.cancel()
                        elif how == 'failed':
                            raise MyError
                coro = self.forever()
                with self.assertRaisesRegex(RuntimeError, 'is finished'):
                    group.create_task(coro)
                self.assertIsNone(coro.cr_frame)

    async def test_6_2_done_callback_of_the_last_member_spawns(self):
        """Trap 23: the group waits for that one as well."""
        def spawn(task):
            if len(tasks) < 4:
                tasks.append(group.create_task(asyncio.sleep(1)))
                tasks[-1].add_done_callback(spawn)

        start = self.loop.time()
        tasks = []
        async with asyncio.TaskGroup() as group:
            spawn(None)
        self.assertEqual(len(tasks), 4)
        self.assertEqual([task.done() for task in tasks], [True] * 4)
        self.assertEqual(self.loop.time(), start + 4)
        await self.assert_not_cancelled()

    async def test_6_2_done_callback_spawns_what_does_not_wait(self):
        """Trap 23: with an eager factory it is done when it is spawned."""
        async def quick():
            trace.append('quick')

        def spawn(task):
            group.create_task(quick())

        trace = []
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1)).add_done_callback(spawn)
        self.assertEqual(trace, ['quick'])

    async def test_6_2_done_callback_spawns_what_fails(self):
        """Trap 23."""
        def spawn(task):
            group.create_task(self.fail_with(error))

        error = MyError()
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(1)).add_done_callback(spawn)
        self.assert_errors(cm.exception, error)
        await self.assert_not_cancelled()

    async def test_6_2_done_callback_spawns_into_a_cancelled_group(self):
        """Traps 22 and 23."""
        def spawn(task):
            late.append(group.create_task(self.be_cancelled('why')))

        late = []
        async with asyncio.TaskGroup() as group:
            group.create_task(self.forever()).add_done_callback(spawn)
            await self.settle()
            group.cancel('why')
        self.assertEqual([task.exception() for task in late], [None])

    async def test_6_2_done_callback_after_the_end(self):
        """Trap 23: RuntimeError, and the coroutine is closed."""
        def spawn(future):
            coro = self.forever()
            try:
                group.create_task(coro)
            except RuntimeError as exc:
                errors.append((str(exc), coro.cr_frame))

        errors = []
        future = self.loop.create_future()
        future.add_done_callback(spawn)
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1))
        future.set_result(None)
        await asyncio.sleep(0)
        ((message, frame),) = errors
        self.assertRegex(message, 'is finished')
        self.assertIsNone(frame)

    async def test_6_6_member_that_is_cancelled_on_its_own(self):
        for how in 'before its start', 'blocked', 'by itself', 'raises':
            with self.subTest(how):
                async def member():
                    if how == 'by itself':
                        asyncio.current_task().cancel()
                    elif how == 'raises':
                        raise asyncio.CancelledError
                    await self.forever()

                async with asyncio.TaskGroup() as group:
                    other = group.create_task(asyncio.sleep(5, 'result'))
                    task = group.create_task(member())
                    if how == 'blocked':
                        await self.settle()
                    if how in ('before its start', 'blocked'):
                        task.cancel()
                    await self.assert_not_cancelled()
                self.assertIs(task.cancelled(), True)
                self.assertEqual(other.result(), 'result')
                self.assert_group(group, called=False, caught=False)

    async def test_6_6_all_members_are_cancelled_on_their_own(self):
        start = self.loop.time()
        async with asyncio.TaskGroup() as group:
            for delay in 1, 2, 3:
                task = group.create_task(self.forever())
                self.loop.call_later(delay, task.cancel)
        self.assertEqual(self.loop.time(), start + 3)
        self.assert_group(group, called=False, caught=False)
        await self.assert_not_cancelled()

    async def test_6_6_cancelled_member_that_fails(self):
        async def member():
            try:
                await self.forever()
            finally:
                raise error

        error = MyError()
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(member())
                await self.settle()
                task.cancel()
        self.assert_errors(cm.exception, error)


@matrix
class ErrorTests(GroupHelpers):
    """Rule 6.3; traps 8, 24 and 25."""

    async def test_6_3_failure_cancels_the_scope(self):
        error = MyError()
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(self.forever())
                group.create_task(self.fail_with(error, 1))
                await self.assert_cancelled(self.forever())
                self.assertIs(group.cancel_scope.cancel_called, True)
                await self.assert_level()
                late = group.create_task(self.be_cancelled())
        self.assert_errors(cm.exception, error)
        self.assertIs(task.cancelled(), True)
        self.assertIsNone(late.exception())
        await self.assert_not_cancelled()

    async def test_6_3_error_of_the_body_alone(self):
        error = MyError()
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(self.wait_shielded(5))
                await self.settle()
                raise error
        self.assert_errors(cm.exception, error)
        self.assertIs(task.cancelled(), True)
        self.assertIs(group.cancel_scope.cancel_called, True)
        await self.assert_not_cancelled()

    async def test_6_3_errors_of_the_body_and_of_members(self):
        """Trap 24: as in stock, that of the body comes last."""
        async def member(error):
            try:
                await self.forever()
            finally:
                raise error

        errors = [MyError(), ValueError(), KeyError()]
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                group.create_task(member(errors[0]))
                group.create_task(member(errors[1]))
                await self.settle()
                raise errors[2]
        self.assert_errors(cm.exception, *errors)

    async def test_6_3_one_exception_of_several_members(self):
        # Listed as often as it was raised, as in stock.
        async def fails():
            await gate
            raise exc

        async def awaits(task):
            await task

        exc = MyError()
        gate = self.loop.create_future()
        self.loop.call_soon(gate.set_result, None)
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(fails())
                group.create_task(awaits(task))
                await task
        self.assertEqual(cm.exception.exceptions, (exc, exc, exc))

    async def test_6_3_base_exceptions(self):
        error = MyBaseError()
        other = MyError()
        with self.assertRaises(BaseExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.fail_with(error))
                group.create_task(self.fail_with(other))
                await self.forever()
        self.assertIs(type(cm.exception), BaseExceptionGroup)
        self.assert_errors(cm.exception, error, other)

    async def test_6_3_exit_exceptions_of_the_body_stay_bare(self):
        for cls in KeyboardInterrupt, SystemExit:
            for members in 0, 1:
                with self.subTest(cls, members=members):
                    error = cls()
                    with self.assertRaises(cls) as cm:
                        async with asyncio.TaskGroup() as group:
                            if members:
                                group.create_task(self.forever())
                                await self.settle()
                            raise error
                    self.assertIs(cm.exception, error)
                    await self.assert_not_cancelled()

    def test_6_3_exit_exceptions_of_a_member_stay_bare(self):
        """Trap 25: bare, once."""
        async def other():
            try:
                await self.forever()
            finally:
                raise MyError

        async def run(error):
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.wait_shielded(5))
                    group.create_task(other())
                    group.create_task(self.fail_with(error, 1))
                    await self.forever()
            except BaseException as exc:
                caught.append(exc)
            await self.assert_not_cancelled()

        for cls in KeyboardInterrupt, SystemExit:
            with self.subTest(cls):
                caught = []
                error = cls()
                task = self.loop.create_task(run(error))
                # As in stock it goes through the loop first.
                with self.assertRaises(cls):
                    self.loop.run_until_complete(task)
                self.loop.run_until_complete(task)
                self.assertEqual(caught, [error])

    async def test_3_4_cancellations_in_the_group_of_a_member(self):
        """Trap 8: they are taken out, structure and notes are kept."""
        async def member():
            try:
                await self.forever()
            finally:
                raise outer

        error = MyError()
        inner = BaseExceptionGroup('inner', [asyncio.CancelledError(), error])
        inner.add_note('note')
        outer = BaseExceptionGroup(
            'outer', [inner, BaseExceptionGroup('gone',
                                                [asyncio.CancelledError()])])
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                group.create_task(member())
                await self.settle()
                group.cancel()
                await self.forever()
        self.assertEqual(cm.exception.message,
                         'unhandled errors in a TaskGroup')
        (kept,) = cm.exception.exceptions
        self.assertEqual(kept.message, 'outer')
        (kept,) = kept.exceptions
        self.assertEqual((kept.message, kept.__notes__, kept.exceptions),
                         ('inner', ['note'], (error,)))
        self.assert_scope(group.cancel_scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_3_4_nothing_but_cancellations_in_the_group_of_a_member(self):
        async def member():
            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                raise BaseExceptionGroup('message', [exc])

        async with asyncio.TaskGroup() as group:
            group.create_task(member())
            await self.settle()
            group.cancel()
            await self.forever()
        self.assert_scope(group.cancel_scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_3_4_cancellations_in_the_group_of_the_body(self):
        error = MyError()
        for rest in [], [error]:
            with self.subTest(rest=rest):
                caught = None
                try:
                    async with asyncio.TaskGroup() as group:
                        group.cancel()
                        try:
                            await self.forever()
                        except asyncio.CancelledError as exc:
                            raise BaseExceptionGroup('message', [exc, *rest])
                except BaseExceptionGroup as exc:
                    caught = exc
                if not rest:
                    self.assertIsNone(caught)
                else:
                    (kept,) = caught.exceptions
                    self.assertEqual((kept.message, kept.exceptions),
                                     ('message', (error,)))
                await self.assert_not_cancelled()

    async def test_3_4_outer_cancellation_keeps_them(self):
        # Another scope is to take them out.
        async def member():
            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                raise BaseExceptionGroup('message', [exc, error])

        error = MyError()
        seen = []
        with self.assertRaises(ExceptionGroup) as cm:
            with self.CancelScope() as outer:
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(member())
                        await self.settle()
                        outer.cancel()
                        await self.forever()
                except BaseExceptionGroup as exc:
                    seen.append(exc.split(asyncio.CancelledError)[0])
                    raise
        self.assertIsNotNone(seen[0])
        matched, rest = cm.exception.split(asyncio.CancelledError)
        self.assertIsNone(matched)
        self.assertEqual(rest.exceptions[0].exceptions, (error,))
        self.assert_scope(outer, called=True, caught=True)

    async def test_6_3_stray_cancelled_error_in_the_body(self):
        # There was no request to cancel the group or a scope outside.  As in
        # stock the error goes on, after the members have been cancelled.
        error = asyncio.CancelledError('stray')
        with self.assertRaises(asyncio.CancelledError) as cm:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(self.wait_shielded(5))
                await self.settle()
                raise error
        self.assertIs(cm.exception, error)
        self.assertIs(task.cancelled(), True)
        # What it has not swallowed it has not caught.
        self.assertIs(group.cancel_scope.cancelled_caught, False)
        await self.assert_not_cancelled()

    async def test_6_3_body_awaits_what_was_cancelled_elsewhere(self):
        future = self.loop.create_future()
        future.cancel('elsewhere')
        with self.assertRaises(asyncio.CancelledError) as cm:
            async with asyncio.TaskGroup():
                await future
        self.assertEqual(cm.exception.args, ('elsewhere',))

    async def test_6_3_errors_log(self):
        """Section 9: such a failure does not cancel the group."""
        error = MyError()
        async with asyncio.TaskGroup() as group:
            other = group.create_task(asyncio.sleep(5, 'result'))
            task = group.create_task(self.fail_with(error, 1), errors='log')
            await asyncio.sleep(3)
        self.assertEqual(other.result(), 'result')
        self.assertIs(task.exception(), error)
        self.assert_group(group, called=False, caught=False)
        self.assertEqual([problem['exception'] for problem in self.problems],
                         [error])
        self.problems.clear()
        await self.assert_not_cancelled()

    async def test_6_3_errors_log_of_the_last_member(self):
        error = MyError()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.fail_with(error, 1), errors='log')
        # It is logged a moment after the task is done.
        await asyncio.sleep(0)
        self.assertEqual([problem['exception'] for problem in self.problems],
                         [error])
        self.problems.clear()

    async def test_6_3_errors_log_beside_a_failure(self):
        logged, raised = MyError(), MyError()
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.fail_with(logged), errors='log')
                group.create_task(self.fail_with(raised), errors='propagate')
        self.assert_errors(cm.exception, raised)
        await asyncio.sleep(0)
        self.assertEqual([problem['exception'] for problem in self.problems],
                         [logged])
        self.problems.clear()

    async def test_6_3_errors_log_is_cancelled_like_the_others(self):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.forever(), errors='log')
            await self.settle()
            group.cancel()
        self.assertIs(task.cancelled(), True)

    async def test_6_3_errors_of_another_name(self):
        async with asyncio.TaskGroup() as group:
            for errors in 'ignore', None, 1:
                coro = self.forever()
                with self.assertRaises(ValueError):
                    group.create_task(coro, errors=errors)
                self.assertIsNone(coro.cr_frame)    # it was closed

    async def test_6_3_scope_left_open_in_the_body_hides_no_error(self):
        async def failing():
            raise ValueError

        async def forgetful():
            async with asyncio.TaskGroup() as group:
                scope = self.CancelScope()
                scope.__enter__()
                group.create_task(failing())

        async def exiting():
            async with asyncio.TaskGroup():
                scope = self.CancelScope()
                scope.__enter__()
                raise asyncio.QueueEmpty

        with self.assertRaises(ExceptionGroup) as cm:
            await self.spawn(forgetful())
        self.assertEqual([type(exc) for exc in cm.exception.exceptions],
                         [ValueError, RuntimeError])
        with self.assertRaises(ExceptionGroup) as cm:
            await self.spawn(exiting())
        self.assertEqual([type(exc) for exc in cm.exception.exceptions],
                         [asyncio.QueueEmpty, RuntimeError])

    async def test_6_5_group_keeps_the_error_of_the_body(self):
        async def host():
            nonlocal error
            async with asyncio.TaskGroup() as group:
                group.create_task(self.forever())
                try:
                    await self.forever()
                except asyncio.CancelledError as exc:
                    error = exc
                    raise

        error = None
        task = self.spawn(host())
        await self.settle()
        task.cancel('why')
        with self.assertRaises(asyncio.CancelledError) as cm:
            await task
        self.assertIs(cm.exception, error)


@matrix
class JoinTests(GroupHelpers):
    """Rules 6.4 and 6.5."""

    async def test_6_4_members_receive_outside_cancellation(self):
        # Though the wait for them is shielded.
        with self.CancelScope() as outer:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(self.be_cancelled('why'))
                self.loop.call_later(1, outer.cancel, 'why')
            self.fail('not cancelled')
        self.assertIsNone(task.exception())
        self.assert_scope(outer, called=True, caught=True)

    async def test_6_4_repeated_cancels_do_not_end_the_wait(self):
        async def host():
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.wait_shielded(10))
            except asyncio.CancelledError as exc:
                ended.append((self.loop.time() - start, exc.args))
                raise

        ended = []
        start = self.loop.time()
        task = self.spawn(host())
        for i in range(1, 9):
            self.loop.call_later(i, task.cancel, i)
        with self.assertRaises(asyncio.CancelledError):
            await task
        ((time, args),) = ended
        self.assertEqual(time, 11)
        self.assertEqual(len(args), 1)
        self.assertEqual(task.cancelling(), 8)

    async def test_6_4_cancels_of_several_kinds_during_the_wait(self):
        start = self.loop.time()
        with self.CancelScope() as a:
            with self.CancelScope() as b:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.wait_shielded(10))
                    for delay, scope in enumerate(
                            (group, b, group.cancel_scope, a), 1):
                        self.loop.call_later(delay, scope.cancel)
                self.fail('not cancelled')
        self.assertEqual(self.loop.time(), start + 11)
        self.assert_scope(a, called=True, caught=True)
        self.assert_scope(b, called=True, caught=False)
        self.assertIs(group.cancel_scope.cancelled_caught, False)
        await self.assert_not_cancelled()

    async def test_6_4_wait_in_an_expired_timeout(self):
        start = self.loop.time()
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.wait_shielded(10))
        self.assertEqual(self.loop.time(), start + 11)
        await self.assert_not_cancelled()

    async def test_6_5_cancelled_during_the_join(self):
        """One bare error, when all are done; the message is kept."""
        async def host(cancel_how):
            with self.CancelScope() as outer:
                cancel = (outer.cancel if cancel_how == 'scope'
                          else asyncio.current_task().cancel)
                self.loop.call_later(1, cancel, 'why')
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self.wait_shielded(3))
                except BaseException as exc:
                    caught.append((exc, self.loop.time()))
                    raise

        for how in 'scope', 'task':
            with self.subTest(how):
                caught = []
                start = self.loop.time()
                task = self.spawn(host(how))
                await asyncio.wait([task])
                ((exc, time),) = caught
                self.assertIs(type(exc), asyncio.CancelledError)
                self.assertEqual(exc.args, ('why',))
                self.assertEqual(time, start + 4)
                self.assertIs(task.cancelled(), how == 'task')

    async def test_6_5_cancelled_before_the_join(self):
        # The body has swallowed it; the join raises.
        with self.CancelScope() as outer:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.wait_shielded(3))
                await self.settle()
                outer.cancel('why')
                await self.assert_level('why')
            self.fail('the join had to wait')
        self.assert_scope(outer, called=True, caught=True)

    async def test_6_5_no_members_to_wait_for(self):
        reached = []
        for members in 0, 2:
            with self.CancelScope() as outer:
                async with asyncio.TaskGroup() as group:
                    for _ in range(members):
                        group.create_task(asyncio.sleep(0))
                    await self.settle()
                    outer.cancel()
                reached.append('after the group')
                await asyncio.sleep(0)
                reached.append('not reached')
            self.assert_scope(outer, called=True, caught=True)
        self.assertEqual(reached, ['after the group'] * 2)

    async def test_6_5_no_members_to_wait_for_is_no_yield_point(self):
        async def other():
            trace.append('other')

        trace = []
        task = self.loop.create_task(other(), eager_start=False)
        async with asyncio.TaskGroup():
            pass
        self.assertEqual(trace, [])
        await task

    async def test_6_5_no_members_to_wait_for_in_a_cancelled_task(self):
        async def host():
            asyncio.current_task().cancel()
            async with asyncio.TaskGroup():
                pass
            trace.append('after the group')
            await asyncio.sleep(0)
            trace.append('not reached')

        trace = []
        task = self.spawn(host())
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertEqual(trace, ['after the group'])

    async def test_6_3_body_is_interrupted_before_the_members(self):
        async def member():
            try:
                await self.forever()
            finally:
                trace.append('member')

        trace = []
        with self.assertRaises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(member())
                group.create_task(self.fail_with(MyError(), 1))
                try:
                    await self.forever()
                finally:
                    trace.append('body')
        self.assertEqual(trace, ['body', 'member'])

    @needs_level_cancel
    async def test_6_5_errors_have_priority(self):
        # The cancellation shows at the next yield point.
        async def member():
            try:
                await self.forever()
            finally:
                raise error

        async def host(cancel_how, when):
            with self.CancelScope() as outer:
                cancel = (outer.cancel if cancel_how == 'scope'
                          else asyncio.current_task().cancel)
                with self.assertRaises(ExceptionGroup) as cm:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(member())
                        await self.settle()
                        if when == 'body':
                            cancel('why')
                            await self.forever()
                        self.loop.call_later(1, cancel, 'why')
                self.assert_errors(cm.exception, error)
                await self.assert_level('why')
                trace.append('host')
                await self.forever()

        for how in 'scope', 'task':
            for when in 'body', 'join':
                with self.subTest(how, when=when):
                    trace = []
                    error = MyError()
                    task = self.spawn(host(how, when))
                    await asyncio.wait([task])
                    self.assertEqual(trace, ['host'])
                    self.assertIs(task.cancelled(), how == 'task')

    async def test_6_5_request_that_is_taken_back_during_the_join(self):
        # Nothing is left to show, but the wait was interrupted.
        async def host():
            async with asyncio.TaskGroup() as group:
                group.create_task(self.wait_shielded(10))

        task = self.spawn(host())
        self.loop.call_later(1, task.cancel, 'why')
        self.loop.call_later(2, task.uncancel)
        await self.assert_cancelled(task, 'why')

    async def test_6_5_join_is_no_yield_point_of_a_finished_cancel(self):
        # The group's own cancel does not come out of the join.
        trace = []
        async with asyncio.TaskGroup() as group:
            group.create_task(self.wait_shielded(3))
            await self.settle()
            group.cancel()
            trace.append('body')
        trace.append('after')
        self.assertEqual(trace, ['body', 'after'])
        await self.assert_not_cancelled()

    async def test_6_8_group_whose_host_has_ended(self):
        async def host():
            await group.__aenter__()

        group = asyncio.TaskGroup()
        await self.spawn(host())
        self.assertEqual(repr(group), '<TaskGroup entered>')
        task = group.create_task(asyncio.sleep(1, 'result'))
        self.assertEqual(repr(group), '<TaskGroup tasks=1 entered>')
        await group.__aexit__(None, None, None)
        self.assertEqual(task.result(), 'result')
        self.assertEqual(repr(group), '<TaskGroup finished>')
        coro = asyncio.sleep(0)
        with self.assertRaisesRegex(RuntimeError, 'is finished'):
            group.create_task(coro)
        self.assertIsNone(coro.cr_frame)    # it was closed

    async def test_6_5_uncancel_during_the_join(self):
        # The body was cut short, so the group does not end as if it were not.
        async def host():
            async with asyncio.TaskGroup() as group:
                group.create_task(member(asyncio.current_task()))
                await self.forever()

        async def member(host):
            try:
                await self.forever()
            finally:
                host.uncancel()

        task = self.spawn(host())
        await self.settle()
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task


@matrix
class ExternalMemberTests(GroupHelpers):
    """Rules 5.7 and 6.1: members that are no asyncio.Task."""

    def spawn_external(self, group, coro, **kwargs):
        with self.external_tasks():
            task = group.create_task(coro, **kwargs)
        self.assertNotIsInstance(task, self.Task)
        return task

    async def test_5_7_asked_once(self):
        async def by_group(group, outer, host):
            group.cancel('why')

        async def by_scope(group, outer, host):
            group.cancel_scope.cancel('why')

        async def by_deadline(group, outer, host):
            group.cancel_scope.deadline = self.loop.time() + 1

        async def by_outer_scope(group, outer, host):
            outer.cancel('why')

        async def by_outer_deadline(group, outer, host):
            outer.deadline = self.loop.time() + 1

        async def by_task(group, outer, host):
            host.cancel('why')

        async def by_failure(group, outer, host):
            group.create_task(self.fail_with(MyError(), 1))

        async def by_body(group, outer, host):
            raise MyError

        async def run(cancel, wait):
            with self.CancelScope() as outer:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.wait_shielded(3))
                    tasks.append(self.spawn_external(group, self.forever()))
                    await self.settle()
                    await cancel(group, outer, asyncio.current_task())
                    if wait:
                        await self.forever()

        for cancel in (by_group, by_scope, by_deadline, by_outer_scope,
                       by_outer_deadline, by_task, by_failure, by_body):
            for wait in False, True:
                with self.subTest(cancel.__name__, wait=wait):
                    tasks = []
                    async def host():
                        with contextlib.suppress(ExceptionGroup):
                            await run(cancel, wait)
                    await asyncio.wait([self.spawn(host())])
                    said = cancel in (by_group, by_scope, by_outer_scope,
                                      by_task)
                    msg = ('why' if said else 'deadline exceeded'
                           if cancel is by_outer_deadline else None)
                    self.assertEqual(tasks[0].requests, [msg])
                    self.assertIs(tasks[0].cancelled(), True)
        await self.assert_not_cancelled()

    async def test_5_7_one_that_needs_time(self):
        # It is cancelled once, and the group waits for it.
        async def member():
            try:
                await self.forever()
            finally:
                await asyncio.sleep(5)

        start = self.loop.time()
        async with asyncio.TaskGroup() as group:
            task = self.spawn_external(group, member())
            self.loop.call_later(1, group.cancel)
            self.loop.call_later(2, group.cancel)
        self.assertEqual(self.loop.time(), start + 6)
        self.assertEqual(len(task.requests), 1)
        self.assertIs(task.cancelled(), True)

    async def test_4_3_expiry_that_interrupts_an_external_member_only(self):
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.timeout(1):
                async with asyncio.TaskGroup() as group:
                    self.spawn_external(group, self.fail_when_cancelled())
        [error] = cm.exception.exceptions
        self.assertIsInstance(error, ZeroDivisionError)
        self.assertIsInstance(error.__context__, TimeoutError)

    async def test_6_2_spawned_into_a_cancelled_group(self):
        async with asyncio.TaskGroup() as group:
            group.cancel('why')
            task = self.spawn_external(group, self.forever())
        # Rule 2.9: what the request says.
        self.assertEqual(task.requests, ['why'])
        self.assertIs(task.cancelled(), True)

    async def test_6_2_spawned_where_the_outer_scope_is_cancelled(self):
        with self.CancelScope() as outer:
            outer.cancel('why')
            async with asyncio.TaskGroup() as group:
                task = self.spawn_external(group, self.forever())
        self.assertEqual(task.requests, ['why'])
        self.assertIs(task.cancelled(), True)

    async def test_5_7_shielded_group(self):
        with self.CancelScope() as outer:
            group = asyncio.TaskGroup()
            group.cancel_scope.shield = True
            async with group:
                task = self.spawn_external(group, asyncio.sleep(5, 'result'))
                other = self.spawn_external(group, self.forever())
                self.loop.call_later(1, outer.cancel, 'why')
                await task
                self.assertEqual(other.requests, [])
                group.cancel_scope.shield = False
                self.assertEqual(other.requests, ['why'])
        self.assertEqual(task.result(), 'result')
        self.assertEqual(task.requests, [])
        self.assertEqual(len(other.requests), 1)

    async def test_5_7_one_that_is_done_is_left_alone(self):
        async with asyncio.TaskGroup() as group:
            task = self.spawn_external(group, asyncio.sleep(1, 'result'))
            await asyncio.sleep(2)
            group.cancel()
        self.assertEqual(task.requests, [])
        self.assertEqual(task.result(), 'result')

    async def test_6_6_cancelled_on_its_own(self):
        async with asyncio.TaskGroup() as group:
            task = self.spawn_external(group, self.forever())
            await self.settle()
            task.cancel()
            await self.assert_not_cancelled()
        self.assertIs(task.cancelled(), True)
        self.assert_group(group, called=False, caught=False)

    async def test_6_2_its_done_callback_spawns(self):
        """Trap 23."""
        def spawn(task):
            late.append(group.create_task(asyncio.sleep(1, 'result')))

        late = []
        async with asyncio.TaskGroup() as group:
            task = self.spawn_external(group, asyncio.sleep(1))
            task.add_done_callback(spawn)
        self.assertEqual([task.result() for task in late], ['result'])

    async def test_6_3_errors_log(self):
        error = MyError()
        async with asyncio.TaskGroup() as group:
            other = group.create_task(asyncio.sleep(5, 'result'))
            self.spawn_external(group, self.fail_with(error, 1), errors='log')
        self.assertEqual(other.result(), 'result')
        self.assertEqual([problem['exception'] for problem in self.problems],
                         [error])
        self.problems.clear()

    async def test_6_1_repr_and_count(self):
        async with asyncio.TaskGroup() as group:
            tasks = {self.spawn_external(group, self.forever()),
                     group.create_task(self.forever())}
            self.assertEqual(repr(group), '<TaskGroup tasks=2 entered>')
            self.assertEqual(group._tasks, tasks)
            group.cancel()
        self.assertEqual(repr(group), '<TaskGroup finished>')

    async def test_5_7_task_of_another_loop(self):
        # Its place is in the tree of its own loop.
        other = type(self.loop)()
        self.addCleanup(other.close)

        async def member():
            await other.create_future()

        def factory(loop, coro, **kwargs):
            return self.Task(coro, loop=other)

        def run():
            with contextlib.suppress(asyncio.CancelledError):
                other.run_until_complete(task)

        async with asyncio.TaskGroup() as group:
            before = self.loop.get_task_factory()
            self.loop.set_task_factory(factory)
            task = group.create_task(member())
            self.loop.set_task_factory(before)
            group.cancel()
            self.assertEqual(task.cancelling(), 1)
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
            self.assertIs(task.cancelled(), True)
        await self.assert_not_cancelled()

    async def test_10_2_call_graph(self):
        # As in stock, this is not kept between a C and a Python future.
        same_kind = issubclass(self.Task, self.Future)
        async with asyncio.TaskGroup() as group:
            task = self.spawn_external(group, self.forever())
            await self.settle()
            self.assertEqual(task._asyncio_awaited_by or set(),
                             {asyncio.current_task()} if same_kind else set())
            group.cancel()
        self.assertFalse(task._asyncio_awaited_by)

    async def test_6_1_external_task_spawned_while_a_cancelled_group_joins(
            self):
        class External(asyncio.Future):
            calls = 0

            def cancel(self, msg=None):
                self.calls += 1
                return super().cancel(msg)

        def factory(loop, coro, **kwargs):
            coro.close()
            external.append(External(loop=loop))
            return external[-1]

        async def member():
            try:
                await self.forever()
            finally:
                previous = self.loop.get_task_factory()
                self.loop.set_task_factory(factory)
                group.create_task(asyncio.sleep(1))
                self.loop.set_task_factory(previous)

        async def failing():
            raise ValueError

        external = []
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                group.create_task(member())
                await asyncio.sleep(0)
                group.create_task(failing())
        self.assertEqual([type(exc) for exc in cm.exception.exceptions], [ValueError])
        self.assertEqual([task.calls for task in external], [1])


@matrix
class ScaleTests(GroupHelpers):
    """Rule 6.7."""

    async def test_6_7_many_members_are_cancelled(self):
        count = self.scale
        ended = 0

        async def member():
            nonlocal ended
            try:
                await self.forever()
            finally:
                ended += 1

        # Collecting garbage takes half of the time.
        with support.disable_gc():
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(member())
                await self.settle()
                self.assertEqual(len(group._tasks), count)
                self.assertEqual(repr(group),
                                 f'<TaskGroup tasks={count} entered>')
                group.cancel()
                self.assertEqual(repr(group),
                                 f'<TaskGroup tasks={count} cancelling>')
        self.assertEqual(ended, count)
        self.assert_group(group, called=True, caught=True)
        self.assertEqual(repr(group), '<TaskGroup finished>')

    async def test_6_7_many_members_of_a_cancelled_group(self):
        # Each of them is cancelled at its first yield point.
        ended = 0

        async def member():
            nonlocal ended
            try:
                await asyncio.sleep(0)
            finally:
                ended += 1

        with support.disable_gc():
            async with asyncio.TaskGroup() as group:
                group.cancel()
                for _ in range(self.scale):
                    group.create_task(member())
        self.assertEqual(ended, self.scale)

    async def test_6_7_many_members_end_by_themselves(self):
        async def member():
            await asyncio.sleep(0)

        with support.disable_gc():
            async with asyncio.TaskGroup() as group:
                for _ in range(self.scale):
                    group.create_task(member())
        self.assertEqual(repr(group), '<TaskGroup finished>')
        self.assert_group(group, called=False, caught=False)

    async def test_6_7_many_members_fail(self):
        count = self.scale // 10

        async def member():
            try:
                await self.forever()
            finally:
                errors.append(MyError())
                raise errors[-1]

        errors = []
        with support.disable_gc():
            with self.assertRaises(ExceptionGroup) as cm:
                async with asyncio.TaskGroup() as group:
                    for _ in range(count):
                        group.create_task(member())
                    await self.settle()
                    group.cancel()
        self.assertEqual(len(errors), count)
        self.assertEqual(cm.exception.exceptions, tuple(errors))

    async def test_6_7_members_one_after_the_other(self):
        # The group keeps nothing of those that are done.
        async def member():
            await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                task = group.create_task(member())
                self.assertEqual(group._tasks, {task})
                gone = weakref.ref(task)
                await task
                del task
                # Its callbacks, which wake up this task, refer to it.
                await asyncio.sleep(0)
                self.assertIsNone(gone())
                self.assertEqual(group._tasks, set())
                self.assertEqual(repr(group), '<TaskGroup entered>')

    async def test_6_7_repr(self):
        group = asyncio.TaskGroup()
        self.assertEqual(repr(group), '<TaskGroup>')
        error = MyError()
        with self.assertRaises(ExceptionGroup):
            async with group:
                self.assertEqual(repr(group), '<TaskGroup entered>')
                group.create_task(self.forever())
                await self.settle()
                self.assertEqual(repr(group), '<TaskGroup tasks=1 entered>')
                group.create_task(self.fail_with(error))
                await self.assert_cancelled(self.forever())
                self.assertRegex(
                    repr(group), r'^<TaskGroup (tasks=1 )?errors=1 cancelling>')
        # As create_task() calls it.
        self.assertEqual(repr(group), '<TaskGroup finished>')
        with self.assertRaisesRegex(
                RuntimeError, '^TaskGroup <TaskGroup finished> is finished$'):
            group.create_task(self.forever())


@matrix
class CallGraphTests(GroupHelpers):
    """Rule 10.2."""

    def setUp(self):
        super().setUp()

    def look_at(self, function, task):
        # It knows one kind of Future at a time.
        with mock.patch.object(futures, 'Future', self.Task.__base__):
            return function(task)

    async def test_10_2_parent_awaits_the_member(self):
        async def member():
            await self.forever()

        async def parent():
            async with asyncio.TaskGroup() as group:
                tasks.append(group.create_task(member(), name='the member'))
                if in_body:
                    await future

        for in_body in False, True:
            with self.subTest(in_body=in_body):
                tasks = []
                future = self.loop.create_future()
                host = self.spawn(parent(), name='the parent')
                await self.settle()
                graph = self.look_at(asyncio.capture_call_graph, tasks[0])
                self.assertIs(graph.future, tasks[0])
                self.assertEqual([caller.future for caller in graph.awaited_by],
                                 [host])
                frames = [entry.frame.f_code.co_name
                          for entry in graph.awaited_by[0].call_stack]
                self.assertEqual(frames[-1], 'parent')
                text = self.look_at(asyncio.format_call_graph, tasks[0])
                self.assertRegex(text, r"(?s)member\(\).*Awaited by.*parent\(\)")
                future.cancel()
                tasks[0].cancel()
                await asyncio.wait([host])
                graph = self.look_at(asyncio.capture_call_graph, tasks[0])
                self.assertEqual(graph.awaited_by, ())

    async def test_10_2_member_that_is_done_does_not_keep_the_parent(self):
        async def member(how):
            if how == 'waits':
                await asyncio.sleep(1)
            elif how == 'fails':
                raise MyError
            elif how == 'is cancelled':
                await self.forever()

        async def parent(how):
            with contextlib.suppress(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    tasks.append(group.create_task(member(how)))
                    await asyncio.sleep(0)
                    if how == 'is cancelled':
                        group.cancel()

        for how in 'waits', 'does not wait', 'fails', 'is cancelled':
            with self.subTest(how):
                tasks = []
                host = self.spawn(parent(how))
                gone = weakref.ref(host)
                await host
                self.assertFalse(tasks[0]._asyncio_awaited_by)
                del host
                await asyncio.sleep(0)
                # The traceback of an error leads to the task that was running.
                if how != 'fails':
                    self.assertIsNone(gone())
                self.assertIs(tasks[0].done(), True)

    async def test_10_2_member_of_a_nested_group(self):
        async def member():
            await self.forever()

        async def middle():
            async with asyncio.TaskGroup() as inner:
                tasks.append(inner.create_task(member()))

        tasks = []
        async with asyncio.TaskGroup() as outer:
            tasks.append(outer.create_task(middle()))
            await self.settle()
            if self.eager:
                tasks.reverse()
            outer_task, inner_task = tasks
            graph = self.look_at(asyncio.capture_call_graph, inner_task)
            (first,) = graph.awaited_by
            self.assertIs(first.future, outer_task)
            (second,) = first.awaited_by
            self.assertIs(second.future, asyncio.current_task())
            outer.cancel()
        self.assertFalse(inner_task._asyncio_awaited_by)
        self.assertFalse(outer_task._asyncio_awaited_by)


if __name__ == '__main__':
    unittest.main()
