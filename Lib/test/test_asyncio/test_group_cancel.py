"""Tests for TaskGroup.cancel() and TaskGroup.cancel_scope (6.1).

Names of tests carry the number of the rule that they check.
"""

import asyncio
import threading
import unittest
import weakref
from test import support

from test.test_asyncio.scope_utils import GroupHelpers, MyError, matrix


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class CancelTests(GroupHelpers):
    """Rule 6.1."""

    async def test_6_1_before_entry(self):
        group = asyncio.TaskGroup()
        group.cancel('why')
        self.assertIs(group.cancel_scope.cancel_called, True)
        # It has no effect yet.
        await asyncio.sleep(0)
        async with group:
            task = group.create_task(self.be_cancelled('why'))
            await self.assert_level('why')
            await asyncio.sleep(0)
            self.fail('not cancelled')
        self.assertIsNone(task.exception())
        self.assert_group(group, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_6_1_before_entry_and_nothing_waits(self):
        group = asyncio.TaskGroup()
        group.cancel()
        reached = False
        async with group:
            reached = True
        self.assertIs(reached, True)
        self.assert_group(group, called=True, caught=False)
        await self.assert_not_cancelled()

    async def test_6_1_in_the_body(self):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.forever()) for _ in range(3)]
            await self.settle()
            group.cancel('why')
            # The members are interrupted inside cancel() (2.3).
            self.assertEqual([task._fut_waiter.cancelled() for task in tasks],
                             [True] * 3)
            await self.assert_level('why')
            await asyncio.sleep(0)
            self.fail('not cancelled')
        self.assertEqual([task.cancelled() for task in tasks], [True] * 3)
        self.assert_group(group, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_6_1_during_the_join(self):
        start = self.loop.time()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.wait_shielded(delay))
                     for delay in (2, 5, 3)]
            self.loop.call_later(1, group.cancel)
        self.assertEqual(self.loop.time(), start + 6)
        self.assertEqual([task.cancelled() for task in tasks], [True] * 3)
        self.assert_scope(group.cancel_scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_6_1_by_a_member(self):
        trace = []

        async def member():
            group.cancel('why')
            trace.append('cancelled')
            await self.assert_level('why')
            trace.append('member')
            return 'result'

        for wait in False, True:
            with self.subTest(wait=wait):
                trace.clear()
                async with asyncio.TaskGroup() as group:
                    other = group.create_task(self.forever())
                    task = group.create_task(member())
                    if wait:
                        await self.assert_cancelled(self.forever(), 'why')
                        await self.assert_level('why')
                self.assertEqual(trace, ['cancelled', 'member'])
                self.assertEqual(task.result(), 'result')
                self.assertIs(other.cancelled(), True)
                self.assertIs(group.cancel_scope.cancel_called, True)
                await self.assert_not_cancelled()

    async def test_6_1_by_a_callback(self):
        for schedule in (self.loop.call_soon,
                         lambda *args: self.loop.call_later(1, *args),
                         self.loop.call_soon_threadsafe):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(self.forever())
                schedule(group.cancel, 'why')
                await self.assert_cancelled(self.forever(), 'why')
                await self.assert_level('why')
            self.assertIs(task.cancelled(), True)
            await self.assert_not_cancelled()

    async def test_6_1_by_a_done_callback_of_a_member(self):
        # The first one to be done ends the group: a race.
        async def member(delay):
            await asyncio.sleep(delay)
            return delay

        start = self.loop.time()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(member(delay)) for delay in (3, 1, 2)]
            for task in tasks:
                task.add_done_callback(lambda task: group.cancel())
        self.assertEqual(self.loop.time(), start + 1)
        self.assertEqual([task.cancelled() for task in tasks],
                         [True, False, True])
        self.assertEqual(tasks[1].result(), 1)
        await self.assert_not_cancelled()

    async def test_6_1_by_a_task_elsewhere(self):
        async def other():
            await asyncio.sleep(1)
            group.cancel('why')
            await asyncio.sleep(1)
            return 'result'

        task = self.spawn(other())
        async with asyncio.TaskGroup() as group:
            await self.assert_cancelled(self.forever(), 'why')
        self.assertEqual(await task, 'result')
        self.assertEqual(task.cancelling(), 0)

    async def test_6_1_twice(self):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.be_cancelled('first'))
            group.cancel('first')
            group.cancel('second')
            await self.assert_level('first')
            group.cancel('third')
            await self.assert_level('first')
        self.assertIsNone(task.exception())
        await self.assert_not_cancelled()

    async def test_6_1_twice_before_entry(self):
        group = asyncio.TaskGroup()
        group.cancel('first')
        group.cancel('second')
        async with group:
            group.cancel('third')
            await self.assert_level('first')

    async def test_6_1_without_a_message(self):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.be_cancelled())
            group.cancel()
            await self.assert_level()
            group.cancel('late')
            await self.assert_level()
        self.assertIsNone(task.exception())

    async def test_6_1_message_by_keyword(self):
        async with asyncio.TaskGroup() as group:
            self.assertIsNone(group.cancel(msg='why'))
            await self.assert_level('why')

    async def test_6_1_after_exit(self):
        async with asyncio.TaskGroup() as group:
            pass
        group.cancel()
        self.assert_group(group, called=False, caught=False)
        await self.assert_not_cancelled()

    async def test_6_1_after_exit_as_the_host_goes_on(self):
        # Neither the body of another group nor a task made by a member.
        async def member():
            others.append(self.spawn(asyncio.sleep(5, 'result')))

        others = []
        async with asyncio.TaskGroup() as group:
            group.create_task(member())
        async with asyncio.TaskGroup() as second:
            task = second.create_task(asyncio.sleep(1, 'result'))
            group.cancel()
            await asyncio.sleep(1)
        self.assertEqual(task.result(), 'result')
        self.assertEqual(await others[0], 'result')

    async def test_6_1_cleanup_of_the_body_and_the_members(self):
        trace = []

        async def work(name):
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(1)
                    trace.append(name)
                await asyncio.sleep(0)
                trace.append('not reached')

        async with asyncio.TaskGroup() as group:
            group.create_task(work('member'))
            await asyncio.sleep(0)
            self.loop.call_soon(group.cancel)
            await work('body')
        self.assertEqual(sorted(trace), ['body', 'member'])
        await self.assert_not_cancelled()

    async def test_6_1_everything_below_the_members(self):
        trace = []

        async def leaf(name):
            try:
                await self.forever()
            finally:
                trace.append(name)

        async def branch(name):
            async with asyncio.TaskGroup() as inner:
                inner.create_task(leaf(name + 'a'))
                with self.CancelScope():
                    async with asyncio.timeout(1000):
                        await leaf(name + 'b')

        async with asyncio.TaskGroup() as group:
            group.create_task(branch('1'))
            group.create_task(branch('2'))
            await self.settle()
            group.cancel()
        self.assertEqual(sorted(trace), ['1a', '1b', '2a', '2b'])

    async def test_6_1_results_are_kept(self):
        """Rules 2.3 and 2.6."""
        async def member(future):
            return await future

        future = self.loop.create_future()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(member(future))
            await self.settle()
            future.set_result('result')
            group.cancel()
        self.assertEqual(task.result(), 'result')

    async def test_6_1_members_that_swallow_it_are_waited_for(self):
        async def member():
            swallowed = 0
            for _ in range(5):
                try:
                    await self.forever()
                except asyncio.CancelledError:
                    swallowed += 1
            return swallowed

        async with asyncio.TaskGroup() as group:
            task = group.create_task(member())
            group.cancel()
        self.assertEqual(task.result(), 5)
        await self.assert_not_cancelled()

    async def test_6_1_counts(self):
        """Rule 5.3."""
        async def member():
            await self.assert_cancelled(self.forever())
            counts.append(asyncio.current_task().cancelling())

        counts = []
        host = asyncio.current_task()
        async with asyncio.TaskGroup() as group:
            group.create_task(member())
            await self.settle()
            group.cancel()
            self.assertEqual(host.cancelling(), 0)
            await self.assert_cancelled(self.forever())
            self.assertEqual(host.cancelling(), 1)
        self.assertEqual(counts, [1])
        self.assertEqual(host.cancelling(), 0)

    async def test_6_1_error_of_a_member(self):
        error = MyError()

        async def member():
            try:
                await self.forever()
            finally:
                raise error

        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                group.create_task(member())
                group.create_task(self.forever())
                await self.settle()
                group.cancel()
                await self.forever()
        self.assert_errors(cm.exception, error)
        await self.assert_not_cancelled()

    async def test_6_1_errors_of_the_body_and_of_members(self):
        """Trap 24: none is lost, and there is no CancelledError."""
        async def work(error):
            try:
                await self.forever()
            finally:
                raise error

        errors = [MyError(), ValueError(), KeyError()]
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                group.create_task(work(errors[0]))
                group.create_task(work(errors[1]))
                await self.settle()
                self.loop.call_soon(group.cancel)
                await work(errors[2])
        self.assert_errors(cm.exception, *errors)
        self.assertIsNone(cm.exception.__cause__)
        await self.assert_not_cancelled()

    async def test_6_1_error_in_the_tick_of_the_cancel(self):
        def both():
            if cancel_first:
                group.cancel()
            future.set_exception(error)
            if not cancel_first:
                group.cancel()

        async def member():
            # The request does not reach the future.
            with self.CancelScope(shield=True):
                await future

        for cancel_first in False, True:
            with self.subTest(cancel_first=cancel_first):
                error = MyError()
                future = self.loop.create_future()
                outcome = []
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(member())
                        await self.settle()
                        both()
                        await self.forever()
                except ExceptionGroup as exc:
                    outcome += exc.exceptions
                self.assertEqual(outcome, [error])
                await self.assert_not_cancelled()

    async def test_6_1_body_that_ends_before_it_notices(self):
        trace = []
        async with asyncio.TaskGroup() as group:
            group.cancel()
            trace.append('body')
        self.assertEqual(trace, ['body'])
        self.assert_group(group, called=True, caught=False)

    async def test_6_1_return_out_of_the_body(self):
        async def run():
            async with asyncio.TaskGroup() as group:
                group.create_task(self.forever())
                group.cancel()
                return 'result'

        self.assertEqual(await run(), 'result')
        await self.assert_not_cancelled()

    async def test_6_1_loop_of_groups(self):
        for i in range(10):
            async with asyncio.TaskGroup() as group:
                group.create_task(self.forever())
                group.cancel()
                if i % 3 == 0:
                    continue
                if i == 8:
                    break
                await self.forever()
        self.assertEqual(i, 8)
        await self.assert_not_cancelled()

    async def test_6_1_from_another_thread(self):
        """Rule 3.2: in debug mode that is refused."""
        def run():
            try:
                group.cancel()
            except RuntimeError as exc:
                errors.append(str(exc))

        errors = []
        self.loop.set_debug(True)
        async with asyncio.TaskGroup() as group:
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
            await self.assert_not_cancelled()
        self.loop.set_debug(False)
        self.assertEqual(len(errors), 1)
        self.assertRegex(errors[0], 'call_soon_threadsafe')
        self.assert_group(group, called=False, caught=False)

    async def test_6_1_group_is_deallocated(self):
        """Rule 3.9: no cycle is left, whether it was entered or not."""
        async def use():
            async with asyncio.TaskGroup() as group:
                group.create_task(self.forever())
                group.create_task(self.be_cancelled())
                await self.settle()
                group.cancel()
                await self.forever()
            return weakref.ref(group)

        with support.disable_gc():
            group = asyncio.TaskGroup()
            group.cancel()
            gone = weakref.ref(group)
            del group
            self.assertIsNone(gone())
            gone = await use()
            await asyncio.sleep(0)
            self.assertIsNone(gone())


@matrix
class NestedTests(GroupHelpers):
    """Rule 6.1: groups in groups."""

    async def test_6_1_inner_cancel_does_not_touch_the_outer(self):
        async with asyncio.TaskGroup() as outer:
            other = outer.create_task(asyncio.sleep(5, 'result'))
            async with asyncio.TaskGroup() as inner:
                task = inner.create_task(self.forever())
                await self.settle()
                inner.cancel()
                await self.forever()
            self.assertIs(task.cancelled(), True)
            await self.assert_not_cancelled()
            late = outer.create_task(asyncio.sleep(1, 'late'))
        self.assertEqual(other.result(), 'result')
        self.assertEqual(late.result(), 'late')
        self.assert_group(outer, called=False, caught=False)
        self.assert_group(inner, called=True, caught=True)

    async def test_6_1_outer_cancel_ends_the_inner(self):
        reached = []
        async with asyncio.TaskGroup() as outer:
            async with asyncio.TaskGroup() as inner:
                task = inner.create_task(self.wait_shielded(5))
                await self.settle()
                outer.cancel('why')
                await self.assert_level('why')
                reached.append('body')
            # The join had to wait: one CancelledError (6.5).
            reached.append('between')
        self.assertEqual(reached, ['body'])
        self.assertIs(task.cancelled(), True)
        self.assert_group(inner, called=False, caught=False)
        self.assert_group(outer, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_6_1_both_are_cancelled(self):
        for first in 'inner', 'outer':
            with self.subTest(first):
                async with asyncio.TaskGroup() as outer:
                    async with asyncio.TaskGroup() as inner:
                        inner.create_task(self.forever())
                        groups = {'inner': inner, 'outer': outer}
                        groups.pop(first).cancel(first)
                        groups.popitem()[1].cancel('second')
                        await self.forever()
                    self.fail('the outer one was cancelled as well')
                # The outermost cancelled scope catches (3.3).
                self.assert_group(inner, called=True, caught=False)
                self.assert_group(outer, called=True, caught=True)
                await self.assert_not_cancelled()

    async def test_6_1_inner_group_of_a_member(self):
        async def member():
            async with asyncio.TaskGroup() as inner:
                inner.create_task(self.wait_shielded(3))
                await self.settle()
                inner.cancel()
            await self.assert_not_cancelled()
            return 'result'

        async with asyncio.TaskGroup() as outer:
            task = outer.create_task(member())
        self.assertEqual(task.result(), 'result')
        self.assert_group(outer, called=False, caught=False)

    async def test_6_1_member_cancels_both(self):
        async def member(*groups):
            for group in groups:
                group.cancel()

        async with asyncio.TaskGroup() as outer:
            async with asyncio.TaskGroup() as inner:
                inner.create_task(member(inner, outer))
                await self.forever()
            self.fail('not cancelled')
        await self.assert_not_cancelled()

    async def test_6_1_inner_fails_while_the_outer_is_cancelled(self):
        error = MyError()

        async def member():
            try:
                await self.forever()
            finally:
                raise error

        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as outer:
                async with asyncio.TaskGroup() as inner:
                    inner.create_task(member())
                    await self.settle()
                    outer.cancel()
                    await self.forever()
        # The errors of the inner group are a member, with their structure.
        (group,) = cm.exception.exceptions
        self.assert_errors(group, error)
        self.assertIs(inner.cancel_scope.cancelled_caught, False)
        await self.assert_not_cancelled()

    async def test_6_1_groups_at_two_levels_of_a_shield(self):
        trace = []
        async with asyncio.TaskGroup() as outer:
            outer.cancel('outer')
            with self.CancelScope(shield=True):
                async with asyncio.TaskGroup() as inner:
                    inner.create_task(asyncio.sleep(1))
                    await asyncio.sleep(2)
                    trace.append('protected')
                    inner.cancel('inner')
                    await self.assert_level('inner')
                await asyncio.sleep(1)
                trace.append('still protected')
            await self.assert_level('outer')
        self.assertEqual(trace, ['protected', 'still protected'])


@matrix
class ScopeOfGroupTests(GroupHelpers):
    """Rule 6.1: TaskGroup.cancel_scope."""

    async def test_6_1_attribute(self):
        group = asyncio.TaskGroup()
        scope = group.cancel_scope
        self.assertIsInstance(scope, asyncio.CancelScope)
        self.assertIs(scope.shield, False)
        self.assertIsNone(scope.deadline)
        self.assert_scope(scope, called=False, caught=False)
        async with group:
            self.assertIs(group.cancel_scope, scope)
        self.assertIs(group.cancel_scope, scope)
        with self.assertRaises(AttributeError):
            group.cancel_scope = self.CancelScope()

    async def test_6_1_cancel_of_the_scope(self):
        # It is the same as that of the group.
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.be_cancelled('why'))
            group.cancel_scope.cancel('why')
            group.cancel('later')
            late = group.create_task(self.be_cancelled('why'))
            await self.assert_level('why')
            await self.forever()
        self.assertIsNone(task.exception())
        self.assertIsNone(late.exception())
        self.assert_group(group, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_6_1_cancel_of_the_scope_before_entry(self):
        group = asyncio.TaskGroup()
        group.cancel_scope.cancel('why')
        async with group:
            await self.assert_level('why')
            await self.forever()
        self.assert_group(group, called=True, caught=True)

    async def test_6_1_deadline_before_entry(self):
        start = self.loop.time()
        group = asyncio.TaskGroup()
        group.cancel_scope.deadline = start + 5
        async with group:
            task = group.create_task(self.forever())
            await self.assert_cancelled(self.forever())
            self.assertEqual(self.loop.time(), start + 5)
            await self.assert_level()
            await self.forever()
        self.assertIs(task.cancelled(), True)
        self.assert_group(group, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_6_1_deadline_inside(self):
        start = self.loop.time()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.forever())
            group.cancel_scope.deadline = start + 5
            await self.forever()
        self.assertEqual(self.loop.time(), start + 5)
        self.assertIs(task.cancelled(), True)
        self.assert_group(group, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_6_1_deadline_during_the_join(self):
        start = self.loop.time()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.wait_shielded(3))
            group.cancel_scope.deadline = start + 5
        self.assertEqual(self.loop.time(), start + 8)
        self.assertIs(task.cancelled(), True)
        self.assert_group(group, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_6_1_deadline_that_has_passed_at_entry(self):
        group = asyncio.TaskGroup()
        group.cancel_scope.deadline = self.loop.time() - 1
        async with group:
            task = group.create_task(self.be_cancelled())
            await self.assert_level()
            await self.forever()
        self.assertIsNone(task.exception())
        self.assert_group(group, called=True, caught=True)

    async def test_6_1_deadline_that_is_not_reached(self):
        group = asyncio.TaskGroup()
        group.cancel_scope.deadline = self.loop.time() + 5
        async with group:
            task = group.create_task(asyncio.sleep(3, 'result'))
        self.assertEqual(task.result(), 'result')
        await asyncio.sleep(10)
        self.assert_group(group, called=False, caught=False)
        await self.assert_not_cancelled()

    async def test_6_1_deadline_is_moved(self):
        async def member():
            await asyncio.sleep(3)
            group.cancel_scope.deadline += 5

        start = self.loop.time()
        async with asyncio.TaskGroup() as group:
            group.cancel_scope.deadline = start + 5
            group.create_task(member())
            await self.forever()
        self.assertEqual(self.loop.time(), start + 10)

    async def test_6_1_deadline_of_members(self):
        async def member():
            return asyncio.current_effective_deadline()

        group = asyncio.TaskGroup()
        deadline = group.cancel_scope.deadline = self.loop.time() + 5
        async with group:
            self.assertEqual(asyncio.current_effective_deadline(), deadline)
            task = group.create_task(member())
        self.assertEqual(task.result(), deadline)

    async def test_6_1_shield_protects_the_body_and_the_members(self):
        async def member():
            await asyncio.sleep(5)
            trace.append('member')

        trace = []
        for when in 'before', 'inside', 'join':
            with self.subTest(when):
                trace.clear()
                group = asyncio.TaskGroup()
                group.cancel_scope.shield = True
                with self.CancelScope() as outer:
                    if when == 'before':
                        outer.cancel()
                    async with group:
                        group.create_task(member())
                        if when == 'inside':
                            self.loop.call_later(1, outer.cancel)
                        elif when == 'join':
                            self.loop.call_later(4, outer.cancel)
                        await asyncio.sleep(3)
                        trace.append('body')
                    trace.append('after')
                    await asyncio.sleep(0)
                    trace.append('not reached')
                self.assertEqual(trace, ['body', 'member', 'after'])
                self.assert_scope(outer, called=True, caught=True)
                self.assert_group(group, called=False, caught=False)
                await self.assert_not_cancelled()

    async def test_6_1_shield_holds_back_task_cancel(self):
        async def host():
            group = asyncio.TaskGroup()
            group.cancel_scope.shield = True
            async with group:
                task = group.create_task(asyncio.sleep(5, 'result'))
                await asyncio.sleep(3)
                trace.append('body')
            trace.append(task.result())
            await asyncio.sleep(0)
            trace.append('not reached')

        trace = []
        task = self.spawn(host())
        self.loop.call_later(1, task.cancel)
        self.loop.call_later(4, task.cancel)
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertEqual(trace, ['body', 'result'])

    async def test_6_1_shield_does_not_hold_back_the_groups_own_cancel(self):
        group = asyncio.TaskGroup()
        group.cancel_scope.shield = True
        with self.CancelScope() as outer:
            outer.cancel('outer')
            async with group:
                task = group.create_task(self.be_cancelled('own'))
                self.loop.call_later(1, group.cancel, 'own')
                await self.be_cancelled('own')
                await self.forever()
            self.assertIsNone(task.exception())
            # The group is the outermost that is visible: it has caught.
            self.assert_group(group, called=True, caught=True)
            await self.assert_level('outer')

    async def test_6_1_shield_is_dropped(self):
        """Trap 5."""
        group = asyncio.TaskGroup()
        group.cancel_scope.shield = True
        with self.CancelScope() as outer:
            outer.cancel('outer')
            async with group:
                task = group.create_task(self.wait_shielded(5))
                await self.settle()
                waiter = task._fut_waiter
                group.cancel_scope.shield = False
                self.assertIs(waiter.cancelled(), True)
                await self.assert_level('outer')
        self.assertIs(task.cancelled(), True)
        self.assert_scope(outer, called=True, caught=True)

    async def test_6_1_timeout_in_a_shielded_group(self):
        # The usual way to give cleanup a limit.
        start = self.loop.time()
        with self.CancelScope() as outer:
            outer.cancel()
            try:
                await self.forever()
            finally:
                group = asyncio.TaskGroup()
                group.cancel_scope.shield = True
                group.cancel_scope.deadline = start + 5
                async with group:
                    group.create_task(self.forever())
                self.assertEqual(self.loop.time(), start + 5)
        self.assert_group(group, called=True, caught=True)
        self.assert_scope(outer, called=True, caught=True)


@matrix
class MisuseTests(GroupHelpers):
    """Rules 3.8 and 6.2: what TaskGroup says of misuse."""

    async def test_3_8_left_before_it_was_entered(self):
        group = asyncio.TaskGroup()
        with self.assertRaisesRegex(RuntimeError, 'has not been entered'):
            await group.__aexit__(None, None, None)
        async with group:
            pass

    async def test_3_8_left_twice(self):
        async with asyncio.TaskGroup() as group:
            pass
        with self.assertRaisesRegex(RuntimeError, 'make a new one'):
            await group.__aexit__(None, None, None)

    async def test_6_3_error_of_a_member_of_a_group_that_is_destroyed(self):
        # Its task is garbage while it joins; the error goes nowhere else.
        async def host():
            async with asyncio.TaskGroup() as group:
                group.create_task(self.wait_shielded_for(
                    self.loop.create_future()))
                group.create_task(self.raise_error())

        seen = []
        self.loop.set_exception_handler(
            lambda loop, context: seen.append(context.get('exception')))
        task = self.spawn(host())
        task._log_destroy_pending = False
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        for _ in range(3):
            support.gc_collect()
            await asyncio.sleep(0)
        self.loop.set_exception_handler(self._on_problem)
        self.assertEqual([type(exc) for exc in seen if exc], [MyError])

    async def wait_shielded_for(self, future):
        asyncio.current_task()._log_destroy_pending = False
        with self.CancelScope(shield=True):
            await future

    async def raise_error(self):
        raise MyError


if __name__ == '__main__':
    unittest.main()
