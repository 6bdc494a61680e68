"""Tests for cancel scopes: asyncio/cancelscopes.py and its counterpart in C.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import copy
import inspect
import math
import pickle
import random
import sys
import threading
import types
import unittest
from unittest import mock
import weakref
from asyncio import cancelscopes
from asyncio import tasks
from test import support
from test.support import threading_helper

from test.test_asyncio import scope_utils
from test.test_asyncio.scope_utils import MyError, matrix, needs_level_cancel


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


class Refusing(asyncio.Future):
    def cancel(self, msg=None):
        return False


@matrix
class ScopeTreeTests:
    """Section 1, rules 3.1 and 3.2."""

    async def test_1_1_task_scope_is_not_child_of_spawners_scope(self):
        trace = []

        async def child():
            await asyncio.sleep(0)
            trace.append('child')

        with self.CancelScope() as scope:
            scope.cancel()
            task = self.spawn(child())
            await self.assert_cancelled(asyncio.sleep(0))
        await task
        self.assertEqual(trace, ['child'])
        self.assertEqual(task.cancelling(), 0)

    async def test_1_1_group_member_belongs_to_the_scope_of_its_group(self):
        # Not to the scope in which the spawner happens to be.
        trace = []

        async def child():
            await asyncio.sleep(1)
            trace.append('child')

        async with asyncio.TaskGroup() as group:
            with self.CancelScope() as scope:
                scope.cancel()
                group.create_task(child())
                await self.assert_cancelled(asyncio.sleep(0))
        self.assertEqual(trace, ['child'])

    async def test_1_1_shield_of_the_spawner_does_not_cover_a_member(self):
        trace = []

        async def child():
            try:
                await self.forever()
            except asyncio.CancelledError:
                trace.append('child')
                raise

        with self.CancelScope() as outer:
            async with asyncio.TaskGroup() as group:
                with self.CancelScope(shield=True):
                    group.create_task(child())
                    await self.settle()
                    outer.cancel()
                    await self.settle()
                    trace.append('shield')
            await asyncio.sleep(0)
        self.assertEqual(trace, ['child', 'shield'])
        self.assert_scope(outer, called=True, caught=True)

    async def test_1_1_task_made_by_a_member_is_no_member(self):
        made = []

        async def other():
            await asyncio.sleep(1)
            return 'done'

        async def member():
            made.append(self.spawn(other()))
            await self.forever()

        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                group.create_task(member())
                await self.settle()
                scope.cancel()
                await asyncio.sleep(0)
        self.assertEqual(made[0].cancelling(), 0)
        self.assertEqual(await made[0], 'done')

    async def test_1_1_factory_that_wraps_the_coroutine(self):
        async def wrap(coro):
            return await coro

        async def member():
            try:
                await self.assert_cancelled(self.forever(), 'why')
                await self.assert_level('why')
            finally:
                trace.append('member')

        trace = []
        factory = self.loop.get_task_factory()
        self.loop.set_task_factory(
            lambda loop, coro, **kwargs: factory(loop, wrap(coro), **kwargs))
        for cancel_first in False, True:
            with self.CancelScope() as scope:
                async with asyncio.TaskGroup() as group:
                    if cancel_first:
                        scope.cancel('why')
                    group.create_task(member())
                    if not cancel_first:
                        await self.settle()
                        scope.cancel('why')
        self.assertEqual(trace, ['member', 'member'])

    async def test_1_1_factory_that_makes_another_task_first(self):
        async def helper():
            await asyncio.sleep(1)
            return 'done'

        helpers = []

        def make(loop, coro, **kwargs):
            helpers.append(factory(loop, helper()))
            return factory(loop, coro, **kwargs)

        factory = self.loop.get_task_factory()
        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                self.loop.set_task_factory(make)
                member = group.create_task(self.forever())
                self.loop.set_task_factory(factory)
                await self.settle()
                scope.cancel()
                await asyncio.sleep(0)
        # The helper has the member's place in the tree; the member is an
        # external task of the group.
        self.assertIs(member.cancelled(), True)
        self.assertIs(helpers[0].cancelled(), True)

    async def test_1_1_factory_that_fails(self):
        def fail(loop, coro, **kwargs):
            coro.close()
            raise MyError

        factory = self.loop.get_task_factory()
        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                self.loop.set_task_factory(fail)
                with self.assertRaises(MyError):
                    group.create_task(self.forever())
                self.loop.set_task_factory(factory)
                with self.assertRaises(TypeError):
                    group.create_task('not a coroutine')
                # This one is not taken for the one that was not made.
                other = self.spawn(asyncio.sleep(1, 'done'))
                scope.cancel()
                await self.assert_level()
        self.assertEqual(other.cancelling(), 0)
        self.assertEqual(await other, 'done')

    async def test_1_1_groups_in_groups(self):
        trace = []

        async def leaf(name):
            try:
                await self.forever()
            finally:
                trace.append(name)

        async def branch(name):
            async with asyncio.TaskGroup() as group:
                group.create_task(leaf(name + 'a'))
                with self.CancelScope():
                    group.create_task(leaf(name + 'b'))
                    await self.forever()

        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                group.create_task(branch('1'))
                group.create_task(branch('2'))
                await self.settle()
                scope.cancel()
                self.assertEqual(trace, [])
        self.assertEqual(sorted(trace), ['1a', '1b', '2a', '2b'])
        self.assert_scope(scope, called=True, caught=True)

    async def test_1_2_cancel_reaches_every_depth(self):
        with self.CancelScope() as a:
            with self.CancelScope() as b:
                with self.CancelScope() as c:
                    a.cancel('a')
                    await self.assert_level('a')
                await self.assert_level('a')
            await self.assert_level('a')
        for scope, called in (a, True), (b, False), (c, False):
            self.assert_scope(scope, called=called, caught=False)
        await self.assert_not_cancelled()

    async def test_1_2_cancel_does_not_reach_upwards(self):
        with self.CancelScope() as outer:
            with self.CancelScope() as inner:
                inner.cancel()
                await asyncio.sleep(0)
                self.fail('not cancelled')
            await self.assert_not_cancelled()
        self.assert_scope(inner, called=True, caught=True)
        self.assert_scope(outer, called=False, caught=False)

    async def test_1_3_scope_of_one_task_does_not_concern_another(self):
        other = self.spawn(asyncio.sleep(1, 'slept'))
        with self.CancelScope() as scope:
            scope.cancel()
            await self.assert_cancelled(asyncio.sleep(0))
        self.assertEqual(await other, 'slept')

    async def test_1_4_await_that_does_not_suspend_is_no_yield_point(self):
        done = self.loop.create_future()
        done.set_result('result')
        event = asyncio.Event()
        event.set()
        lock = asyncio.Lock()
        queue = asyncio.Queue()
        queue.put_nowait('item')

        async def nothing():
            return 'nothing'

        with self.CancelScope() as scope:
            scope.cancel()
            self.assertEqual(await done, 'result')
            self.assertIs(await event.wait(), True)
            self.assertIs(await lock.acquire(), True)
            self.assertEqual(await queue.get(), 'item')
            self.assertEqual(await nothing(), 'nothing')
            await self.assert_level(times=1)
        self.assert_scope(scope, called=True, caught=False)

    async def test_3_enter_returns_the_scope_and_does_not_yield(self):
        trace = []
        self.loop.call_soon(trace.append, 'yielded')
        with self.CancelScope() as outer:
            outer.cancel()
            scope = self.CancelScope()
            with scope as entered:
                self.assertIs(entered, scope)
            self.assertEqual(trace, [])
        self.assert_scope(outer, called=True, caught=False)

    async def test_3_defaults(self):
        scope = self.CancelScope()
        for _ in 'before', 'inside':
            self.assertIsNone(scope.deadline)
            self.assertIs(scope.shield, False)
            self.assert_scope(scope, called=False, caught=False)
            if not _ == 'inside':
                scope.__enter__()
        scope.__exit__(None, None, None)
        self.assert_scope(scope, called=False, caught=False)

    async def test_3_arguments_are_keywords(self):
        scope = self.CancelScope(deadline=5000, shield=True)
        self.assertEqual(scope.deadline, 5000)
        self.assertIs(scope.shield, True)
        with self.assertRaises(TypeError):
            self.CancelScope(5000)
        with self.assertRaises(TypeError):
            self.CancelScope(timeout=5000)

    async def test_3_outcome_attributes_are_read_only(self):
        scope = self.CancelScope()
        for name in 'cancel_called', 'cancelled_caught':
            with self.assertRaises(AttributeError):
                setattr(scope, name, True)
        self.assert_scope(scope, called=False, caught=False)

    async def test_3_1_scope_under_cancelled_parent_is_cancelled(self):
        """Trap 1."""
        with self.CancelScope() as outer:
            outer.cancel()
            with self.CancelScope() as inner:
                await self.assert_level()
                self.assert_scope(inner, called=False, caught=False)
                await asyncio.sleep(0)
            self.fail('the inner scope swallowed')
        self.assert_scope(inner, called=False, caught=False)
        self.assert_scope(outer, called=True, caught=True)

    async def test_3_1_shielded_scope_under_cancelled_parent(self):
        with self.CancelScope() as outer:
            outer.cancel()
            with self.CancelScope(shield=True) as inner:
                await self.assert_not_cancelled()
                with self.CancelScope():
                    await self.assert_not_cancelled()
            self.assert_scope(inner, called=False, caught=False)
            await self.assert_level()

    async def test_3_1_shielded_scope_obeys_its_own_cancel(self):
        with self.CancelScope() as outer:
            outer.cancel('outer')
            with self.CancelScope(shield=True) as inner:
                await self.assert_not_cancelled()
                inner.cancel('inner')
                await self.assert_level('inner')
                await asyncio.sleep(0)
            self.assert_scope(inner, called=True, caught=True)
            await self.assert_level('outer')

    async def test_3_1_shielded_scope_obeys_its_own_deadline(self):
        with self.CancelScope() as outer:
            outer.cancel()
            start = self.loop.time()
            with self.CancelScope(deadline=start + 5, shield=True) as inner:
                await self.forever()
            self.assertEqual(self.loop.time(), start + 5)
            self.assert_scope(inner, called=True, caught=True)
            await self.assert_level()

    async def test_3_1_shield_can_be_set_before_entry(self):
        inner = self.CancelScope()
        inner.shield = True
        with self.CancelScope() as outer:
            outer.cancel()
            with inner:
                await asyncio.sleep(1)
            await self.assert_level()

    async def test_3_2_cancel_before_entry(self):
        scope = self.CancelScope()
        scope.cancel('early')
        self.assert_scope(scope, called=True, caught=False)
        trace = []
        with scope:
            trace.append('runs up to the first yield point')
            await self.assert_cancelled(asyncio.sleep(0), 'early')
            await asyncio.sleep(0)
            trace.append('not reached')
        self.assertEqual(trace, ['runs up to the first yield point'])
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_3_2_cancel_after_exit(self):
        with self.CancelScope() as scope:
            await asyncio.sleep(0)
        scope.cancel()
        await self.assert_not_cancelled()
        with self.CancelScope() as later:
            scope.cancel()
            await self.assert_not_cancelled()
        self.assert_scope(later, called=False, caught=False)
        self.assert_scope(scope, called=False, caught=False)

    async def test_3_2_cancel_is_idempotent(self):
        with self.CancelScope() as scope:
            self.assertIsNone(scope.cancel('first'))
            self.assertIsNone(scope.cancel('second'))
            await self.assert_level('first')
            scope.cancel('third')
            await self.assert_level('first')
        await self.assert_not_cancelled()

    async def test_3_2_cancel_twice_while_blocked(self):
        waiter = self.loop.create_future()

        def cancel():
            scope.cancel('first')
            scope.cancel('second')

        with self.CancelScope() as scope:
            self.loop.call_soon(cancel)
            await self.assert_cancelled(waiter, 'first')
            await self.assert_cancelled(asyncio.sleep(0), 'first')

    async def test_3_2_cancel_takes_msg_by_keyword(self):
        with self.CancelScope() as scope:
            scope.cancel(msg='why')
            await self.assert_cancelled(asyncio.sleep(0), 'why')

    async def test_3_2_cancel_from_another_task(self):
        async def other():
            scope.cancel('other')

        with self.CancelScope() as scope:
            task = self.spawn(other())
            await self.assert_cancelled(self.forever(), 'other')
            await asyncio.sleep(0)
        self.assert_scope(scope, called=True, caught=True)
        await task
        self.assertEqual(task.cancelling(), 0)

    async def test_3_2_cancel_from_a_callback(self):
        with self.CancelScope() as scope:
            self.loop.call_later(3, scope.cancel)
            start = self.loop.time()
            await self.forever()
        self.assertEqual(self.loop.time(), start + 3)
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_2_cancel_inside_cancelled_parent_is_recorded(self):
        """Trap 10."""
        with self.CancelScope() as outer:
            with self.CancelScope() as inner:
                outer.cancel()
                self.assertIs(inner.cancel_called, False)
                inner.cancel()
                self.assertIs(inner.cancel_called, True)
                await asyncio.sleep(0)
        self.assert_scope(inner, called=True, caught=False)
        self.assert_scope(outer, called=True, caught=True)

    @threading_helper.requires_working_threading()
    async def test_3_2_cancel_from_another_thread_in_debug_mode(self):
        self.loop.set_debug(True)
        errors = []

        def cancel():
            try:
                scope.cancel()
            except BaseException as exc:
                errors.append(exc)

        with self.CancelScope() as scope:
            thread = threading.Thread(target=cancel)
            with threading_helper.start_threads([thread]):
                pass
            self.assertEqual([type(exc) for exc in errors], [RuntimeError])
            self.assertRegex(str(errors[0]), 'thread')
            self.assertIs(scope.cancel_called, False)
            await self.assert_not_cancelled()
        self.assert_scope(scope, called=False, caught=False)

    @threading_helper.requires_working_threading()
    async def test_3_2_cancel_through_call_soon_threadsafe(self):
        for debug in False, True:
            self.loop.set_debug(debug)
            with self.CancelScope() as scope:
                thread = threading.Thread(
                    target=self.loop.call_soon_threadsafe,
                    args=(scope.cancel,))
                with threading_helper.start_threads([thread]):
                    pass
                await self.forever()
            self.assert_scope(scope, called=True, caught=True)

    async def test_2_9_expired_scope_below_a_cancelled_one(self):
        with self.CancelScope() as outer:
            outer.cancel('outer')
            with self.CancelScope(deadline=self.loop.time() - 1) as inner:
                await self.assert_cancelled(asyncio.sleep(0), 'outer')
                self.assertEqual(asyncio.current_task().cancelling(), 1)
            self.assert_scope(inner, called=True, caught=False)
            await self.assert_cancelled(asyncio.sleep(0), 'outer')
        await self.assert_not_cancelled()

    @needs_level_cancel
    async def test_2_9_message_of_the_scope_that_was_left(self):
        # The request of Task.cancel() has none, and is taken back.
        async def member():
            for _ in range(2):
                await self.assert_cancelled(self.forever(), 'scope')
            asyncio.current_task().uncancel()
            await self.assert_cancelled(self.forever(), 'scope')

        with self.CancelScope() as scope:
            task = scope.create_task(member())
            await self.settle()
            scope.cancel('scope')
            task.cancel()
        with self.CancelScope(shield=True):
            await asyncio.wait([task])
        await task

    @needs_level_cancel
    async def test_2_9_requested_below_a_cancelled_scope(self):
        # The outer request came first; that of the task is taken back.
        async def member():
            task = asyncio.current_task()
            await self.assert_cancelled(self.forever(), 'outer')
            task.cancel('task')
            with self.CancelScope() as inner:
                inner.cancel('inner')
                task.uncancel()
                await self.assert_level('outer')
                self.assertEqual(task.cancelling(), 1)
            self.assert_scope(inner, called=True, caught=False)
            await self.assert_level('outer')

        with self.CancelScope() as outer:
            task = outer.create_task(member())
            await self.settle()
            outer.cancel('outer')
            with self.CancelScope(shield=True):
                await task

    async def test_2_9_requested_below_a_scope_that_was_left(self):
        async def member():
            task = asyncio.current_task()
            await self.assert_cancelled(self.forever(), 'outer')
            with self.CancelScope() as inner:
                inner.cancel('inner')
                await self.assert_level('outer')
                with self.CancelScope(shield=True):
                    await gate
                await self.assert_level('outer')
                self.assertEqual(task.cancelling(), 1)
            self.assert_scope(inner, called=True, caught=False)
            await self.assert_level('outer')

        gate = self.loop.create_future()
        with self.CancelScope() as outer:
            task = outer.create_task(member())
            await self.settle()
            outer.cancel('outer')
            with self.CancelScope(shield=True):
                await self.settle()
        gate.set_result(None)
        await task

    async def test_2_9_requested_before_the_scope_around_it(self):
        async def member():
            with self.CancelScope() as inner:
                inner.cancel('inner')
                await self.assert_level('inner')
                with self.CancelScope(shield=True):
                    await gate
                await self.assert_level('inner')
            self.assert_scope(inner, called=True, caught=False)
            await self.assert_level('outer')

        gate = self.loop.create_future()
        with self.CancelScope() as outer:
            task = outer.create_task(member())
            with self.CancelScope(shield=True):
                await self.settle()
            outer.cancel('outer')
        gate.set_result(None)
        await task

    @needs_level_cancel
    async def test_2_9_message_of_the_request_that_overrides(self):
        async def host():
            task = asyncio.current_task()
            with self.CancelScope() as scope:
                scope.cancel('scope')
                self.loop.call_soon(task.cancel, 'task')
                await self.assert_cancelled(asyncio.sleep(0), 'task')
                refusing = Refusing(loop=self.loop)
                self.loop.call_soon(refusing.set_result, None)
                self.loop.call_soon(task.cancel, 'again')
                await self.assert_cancelled(refusing, 'again')
                await self.assert_cancelled(asyncio.sleep(0), 'scope')
            await asyncio.sleep(0)

        task = self.spawn(host())
        with self.assertRaises(asyncio.CancelledError):
            await task


@matrix
class LoopTests:
    """Deadlines and trees belong to one loop; loops do not meet."""

    def run_once(self, main):
        """Run main() in a loop of its own; for any thread."""
        loop = scope_utils.VirtualTimeLoop()
        try:
            task = self.Task(main(loop), loop=loop)
            return loop.run_until_complete(task)
        finally:
            loop.close()

    def test_3_7_deadline_left_in_a_closed_loop(self):
        kept = []

        async def leave_open(loop):
            scope = self.CancelScope(deadline=loop.time() + 1)
            kept.append(scope.__enter__())

        async def main(loop):
            start = loop.time()
            with self.CancelScope(deadline=start + 5) as scope:
                await loop.create_future()
            self.assertIs(scope.cancelled_caught, True)
            return loop.time() - start

        self.run_once(leave_open)
        self.assertEqual(self.run_once(main), 5)
        for scope in kept:
            scope.deadline = 1
            scope.cancel()
        self.assertEqual(self.run_once(main), 5)

    def test_3_2_scope_cancelled_before_its_loop_runs(self):
        async def main(loop):
            with scope:
                await asyncio.sleep(0)
                self.fail('not cancelled')

        scope = self.CancelScope()
        scope.cancel()
        self.run_once(main)
        self.assert_scope(scope, called=True, caught=True)

    @threading_helper.requires_working_threading()
    def test_3_7_loops_in_many_threads(self):
        async def child(loop, delay):
            with self.CancelScope(deadline=loop.time() + delay) as scope:
                await loop.create_future()
            return scope.cancelled_caught

        async def main(loop):
            for i in range(20):
                with self.CancelScope() as outer:
                    children = [self.Task(child(loop, 1 + (i * k) % 7),
                                          loop=loop) for k in range(10)]
                    await asyncio.wait(children)
                    outer.cancel()
                    await asyncio.sleep(0)
                results.append(outer.cancelled_caught and
                               all(task.result() for task in children))

        results = []
        threads = [threading.Thread(target=self.run_once, args=(main,))
                   for _ in range(4)]
        with threading_helper.catch_threading_exception() as cm:
            with threading_helper.start_threads(threads):
                pass
            self.assertIsNone(cm.exc_value)
        self.assertEqual(results, [True] * 80)


@matrix
class TaskGroupTests:
    """What task groups need from sections 1 to 5."""

    async def test_2_1_failing_child_interrupts_the_body_at_every_await(self):
        interrupted = 0

        async def fail():
            await asyncio.sleep(1)
            raise error

        error = ValueError()
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                with self.assertRaises(asyncio.CancelledError):
                    await self.forever()
                for yields in (lambda: asyncio.sleep(0),
                               lambda: asyncio.sleep(1), self.forever):
                    try:
                        await yields()
                    except asyncio.CancelledError:
                        interrupted += 1
        self.assertEqual(interrupted, 3)
        self.assertEqual(cm.exception.exceptions, (error,))
        await self.assert_not_cancelled()

    async def test_2_1_failing_child_interrupts_its_siblings(self):
        interrupted = 0

        async def fail():
            await asyncio.sleep(1)
            raise ValueError

        async def sibling():
            nonlocal interrupted
            for _ in range(3):
                try:
                    await self.forever()
                except asyncio.CancelledError:
                    interrupted += 1

        with self.assertRaises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(sibling())
                group.create_task(fail())
        self.assertEqual(interrupted, 3)
        await self.assert_not_cancelled()

    async def test_2_7_join_does_not_spin(self):
        async def child():
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(10)

        start = self.loop.time()
        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                self.loop.call_later(1, scope.cancel)
            self.fail('not cancelled')
        self.assertEqual(self.loop.time(), start + 11)
        self.assertLess(self.loop.turns, 50)
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_2_7_join_after_a_failure_does_not_spin(self):
        async def fail():
            await asyncio.sleep(1)
            raise ValueError

        async def child():
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(10)

        start = self.loop.time()
        with self.assertRaises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                group.create_task(fail())
        self.assertEqual(self.loop.time(), start + 11)
        self.assertLess(self.loop.turns, 50)
        await self.assert_not_cancelled()

    async def test_2_7_join_under_task_cancel_does_not_spin(self):
        async def child():
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(10)

        async def host():
            async with asyncio.TaskGroup() as group:
                group.create_task(child())

        start = self.loop.time()
        task = self.spawn(host())
        await self.settle()
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertIs(task.cancelled(), True)
        self.assertEqual(self.loop.time(), start + 10)
        self.assertLess(self.loop.turns, 50)

    async def test_3_1_group_in_a_shielded_scope(self):
        async def fail():
            await asyncio.sleep(1)
            raise error

        error = ValueError()
        trace = []
        with self.CancelScope() as outer:
            outer.cancel('outer')
            with self.CancelScope(shield=True):
                with self.assertRaises(ExceptionGroup) as cm:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(fail())
                        try:
                            await self.forever()
                        finally:
                            trace.append('interrupted')
                self.assertEqual(cm.exception.exceptions, (error,))
                await self.assert_shielded()
            await self.assert_level('outer')
        self.assertEqual(trace, ['interrupted'])
        await self.assert_not_cancelled()

    async def assert_shielded(self):
        await asyncio.sleep(0)
        await asyncio.sleep(1)

    @needs_level_cancel
    async def test_5_1_group_in_a_shielded_scope_of_a_cancelled_task(self):
        # The child's failure does not reach through the shield to the outside,
        # nor does the request from outside get in.
        async def fail():
            await asyncio.sleep(1)
            raise ValueError

        async def host():
            with self.CancelScope(shield=True):
                with self.assertRaises(ExceptionGroup):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(fail())
                        await self.forever()
                await self.assert_shielded()
                trace.append('after the group')
            await self.assert_level('request')
            trace.append('after the shield')

        trace = []
        task = self.spawn(host())
        await self.settle()
        task.cancel('request')
        await task
        self.assertEqual(trace, ['after the group', 'after the shield'])


@matrix
class ReprTests:
    """Rule 3.10."""

    async def test_3_10_active(self):
        deadline = self.loop.time() + 1.5
        with self.CancelScope() as scope:
            self.assertEqual(repr(scope), '<CancelScope active>')
            scope.deadline = deadline
            self.assertEqual(repr(scope),
                             '<CancelScope active, deadline in 1.5 s>')
            scope.shield = True
            self.assertEqual(
                repr(scope),
                '<CancelScope active, deadline in 1.5 s, shielded>')
            scope.deadline = None
            self.assertEqual(repr(scope), '<CancelScope active, shielded>')

    async def test_3_10_states(self):
        scope = self.CancelScope()
        fresh = repr(scope)
        with scope:
            active = repr(scope)
            scope.cancel()
            cancelled = repr(scope)
            await asyncio.sleep(0)
        caught = repr(scope)
        with self.CancelScope() as scope:
            pass
        left = repr(scope)
        seen = [fresh, active, cancelled, caught, left]
        self.assertEqual(len(set(seen)), 5, seen)
        for text in seen:
            self.assertRegex(text, r'\A<CancelScope .+>\z')
        self.assertNotIn('active', fresh)
        self.assertNotIn('active', left)
        self.assertNotIn('cancel', fresh.removeprefix('<CancelScope'))
        self.assertNotIn('cancel', left.removeprefix('<CancelScope'))
        self.assertIn('cancel', cancelled.removeprefix('<CancelScope'))

    def test_3_10_without_a_loop(self):
        self.assertRegex(repr(self.CancelScope(deadline=5000, shield=True)),
                         r'\A<CancelScope .*shielded.*>\z')


@matrix
class ScaleTests:
    """Rule 2.8; traps 12 and 44."""

    async def enter_many(self):
        scopes = [self.CancelScope() for _ in range(self.scale)]
        for scope in scopes:
            scope.__enter__()
        return scopes

    async def test_2_8_nested_scopes(self):
        scopes = await self.enter_many()
        await asyncio.sleep(0)
        scopes[0].cancel('top')
        exc = await self.assert_cancelled(asyncio.sleep(0), 'top')
        outermost = scopes[0]
        swallowed = sum(bool(scope.__exit__(type(exc), exc, None))
                        for scope in reversed(scopes[1:]))
        self.assertEqual(swallowed, 0)
        self.assertTrue(outermost.__exit__(type(exc), exc, None))
        self.assert_scope(outermost, called=True, caught=True)
        self.assert_scope(scopes[-1], called=False, caught=False)
        await self.assert_not_cancelled()

    async def test_2_8_nested_scopes_all_cancelled(self):
        scopes = await self.enter_many()
        for scope in reversed(scopes):
            scope.cancel()
        exc = await self.assert_cancelled(asyncio.sleep(0))
        caught = [bool(scope.__exit__(type(exc), exc, None))
                  for scope in reversed(scopes)]
        self.assertEqual(caught.index(True), self.scale - 1)
        await self.assert_not_cancelled()

    async def test_2_8_shield_below_and_above_many(self):
        scopes = await self.enter_many()
        middle = scopes[self.scale // 2]
        middle.shield = True
        scopes[0].cancel('top')
        await asyncio.sleep(0)
        middle.shield = False
        await self.assert_cancelled(asyncio.sleep(0), 'top')
        middle.shield = True
        await asyncio.sleep(0)
        for scope in reversed(scopes):
            scope.__exit__(None, None, None)
        await self.assert_not_cancelled()

    async def test_2_8_effective_deadline_below_many(self):
        scopes = await self.enter_many()
        scopes[0].deadline = self.loop.time() + 5
        self.assertEqual(asyncio.current_effective_deadline(),
                         self.loop.time() + 5)
        with self.assertRaises(asyncio.CancelledError):
            await self.forever()
        for scope in reversed(scopes):
            scope.__exit__(None, None, None)
        self.assertIs(scopes[0].cancel_called, True)
        await self.assert_not_cancelled()

    async def test_2_8_many_tasks_below_one_scope(self):
        """Trap 12."""
        count = self.scale
        if self.Task is tasks._PyTask:
            count //= 4
        ended = 0

        async def child():
            nonlocal ended
            try:
                with self.CancelScope():
                    await self.forever()
            finally:
                ended += 1

        # Collecting garbage takes half of the time.
        with support.disable_gc(), self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(child())
                await self.settle()
                scope.cancel()
        self.assertEqual(ended, count)
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_2_8_many_tasks_end_in_any_order(self):
        """Trap 12: leaving the tree takes no time that grows with it."""
        count = self.scale // 10
        rng = random.Random(42)

        async def child(waiter):
            with self.CancelScope():
                await waiter

        for order in 'first', 'last', 'random':
            with self.subTest(order):
                waiters = [self.loop.create_future() for _ in range(count)]
                with self.CancelScope() as scope:
                    async with asyncio.TaskGroup() as group:
                        for waiter in waiters:
                            group.create_task(child(waiter))
                        await self.settle()
                        if order == 'last':
                            waiters.reverse()
                        elif order == 'random':
                            rng.shuffle(waiters)
                        for waiter in waiters:
                            waiter.set_result(None)
                self.assert_scope(scope, called=False, caught=False)

    async def test_2_8_group_forgets_its_finished_members(self):
        async def child():
            with self.CancelScope(deadline=self.loop.time() + 1000):
                await asyncio.sleep(0)

        async def run_children():
            for _ in range(500):
                await group.create_task(child())
            await asyncio.sleep(0)
            support.gc_collect()
            return sys.getallocatedblocks()

        async with asyncio.TaskGroup() as group:
            await run_children()
            before = await run_children()
            after = await run_children()
        self.assertLess(after - before, 250)

    async def test_2_8_task_forgets_the_scopes_it_has_left(self):
        async def run_scopes():
            for i in range(500):
                with self.CancelScope(deadline=self.loop.time() + 1000):
                    with self.CancelScope() as scope:
                        if i % 2:
                            scope.cancel()
                        await asyncio.sleep(0)
            support.gc_collect()
            return sys.getallocatedblocks()

        await run_scopes()
        before = await run_scopes()
        after = await run_scopes()
        self.assertLess(after - before, 250)

    async def test_2_8_dealloc_of_an_abandoned_chain(self):
        """Trap 44: only the innermost scope is referenced."""
        first = None

        async def abandon():
            nonlocal first
            scope = self.CancelScope().__enter__()
            first = weakref.ref(scope)
            for _ in range(self.scale):
                scope = self.CancelScope().__enter__()
            await asyncio.sleep(0)

        await self.spawn(abandon())
        await asyncio.sleep(0)
        support.gc_collect()
        self.assertIsNone(first())
        await self.assert_not_cancelled()

    async def test_2_8_dealloc_of_a_kept_innermost_scope(self):
        """Trap 44."""
        async def abandon():
            for _ in range(self.scale):
                scope = self.CancelScope().__enter__()
            return scope

        innermost = await self.spawn(abandon())
        ref = weakref.ref(innermost)
        innermost.cancel()
        del innermost
        await asyncio.sleep(0)
        support.gc_collect()
        self.assertIsNone(ref())

    async def test_2_8_task_destroyed_with_many_scopes_open(self):
        """Trap 44."""
        async def abandon():
            for i in range(self.scale):
                scope = self.CancelScope().__enter__()
                if i % 10_000 == 0:
                    scope.deadline = self.loop.time() + 10
            await self.forever()

        task = self.spawn(abandon())
        await self.settle()
        ref = weakref.ref(task)
        del task
        support.gc_collect()
        self.assertIsNone(ref())
        self.assertEqual([problem['message'] for problem in self.problems],
                         ['Task was destroyed but it is pending!'])
        self.problems.clear()
        await asyncio.sleep(100)
        await self.assert_not_cancelled()

    async def test_2_8_task_destroyed_inside_with_blocks(self):
        async def abandon():
            with self.CancelScope(deadline=self.loop.time() + 10):
                with self.CancelScope():
                    await self.forever()

        task = self.spawn(abandon())
        await self.settle()
        ref = weakref.ref(task)
        del task
        with support.catch_unraisable_exception() as cm:
            # It is no mistake that the coroutine is closed outside of its
            # task.
            support.gc_collect()
            self.assertIsNone(cm.unraisable)
        self.assertIsNone(ref())
        self.assertEqual([problem['message'] for problem in self.problems],
                         ['Task was destroyed but it is pending!'])
        self.problems.clear()
        await asyncio.sleep(100)
        await self.assert_not_cancelled()


class ImplementationTests(unittest.TestCase):
    """PEP 399, and what happens where the two implementations meet."""

    def test_python_implementation_is_complete(self):
        self.assertEqual(cancelscopes._PyCancelScope.__module__,
                         'asyncio.cancelscopes')
        if not hasattr(cancelscopes, '_CCancelScope'):
            self.assertIs(asyncio.CancelScope, cancelscopes._PyCancelScope)

    def test_public_names(self):
        for name in ('CancelScope', 'move_on_after', 'move_on_at',
                     'current_effective_deadline'):
            self.assertIs(getattr(asyncio, name),
                          getattr(cancelscopes, name))
            self.assertIn(name, cancelscopes.__all__)
            self.assertIn(name, asyncio.__all__)

    def test_signatures_of_functions(self):
        for func, expected in (
                (asyncio.move_on_after, ['delay', 'shield']),
                (asyncio.move_on_at, ['when', 'shield']),
                (asyncio.current_effective_deadline, []),
                (asyncio.timeout, ['delay', 'shield']),
                (asyncio.timeout_at, ['when', 'shield'])):
            with self.subTest(func.__name__):
                parameters = inspect.signature(func).parameters
                self.assertEqual(list(parameters), expected)
                if 'shield' in parameters:
                    shield = parameters['shield']
                    self.assertIs(shield.kind, shield.KEYWORD_ONLY)
                    self.assertIs(shield.default, False)
                self.assertTrue(func.__doc__)

    @unittest.skipUnless(hasattr(cancelscopes, '_CCancelScope'),
                         'requires the C _asyncio module')
    def test_pep_399_parity(self):
        py, c = cancelscopes._PyCancelScope, cancelscopes._CCancelScope
        self.assertIs(asyncio.CancelScope, c)
        self.assertIsNot(py, c)

        def public(cls):
            return {name for name in dir(cls) if not name.startswith('_')}

        self.assertEqual(public(c), {'deadline', 'shield', 'cancel',
                                     'create_task', 'adopt', 'cancel_called', 'cancel_message',
                                     'cancelled_caught', 'cancels_tasks',
                                     'deadline_expired',
                                     'effectively_cancelled'})
        self.assertEqual(public(py), public(c))
        for name in public(c):
            with self.subTest(name):
                self.assertTrue(getattr(c, name).__doc__)
                self.assertTrue(getattr(py, name).__doc__)
        self.assertTrue(c.__doc__)
        self.assertTrue(py.__doc__)
        self.assertEqual(inspect.signature(c().cancel),
                         inspect.signature(py().cancel))

        def parameters(cls):
            return [(p.name, p.kind, p.default)
                    for p in inspect.signature(cls).parameters.values()]

        self.assertEqual(parameters(c), parameters(py))
        for name in '__enter__', '__exit__':
            self.assertTrue(callable(getattr(c, name)))
            self.assertTrue(callable(getattr(py, name)))

        for cls in c, py:
            for function in copy.copy, copy.deepcopy, pickle.dumps:
                with self.assertRaises(TypeError):
                    function(cls())

        # (It can be subclassed: the tests are in test_scope_api.)
        for cls in c, py:
            self.assertIsInstance(types.new_class('Subclass', (cls,))(), cls)

    @unittest.skipUnless(hasattr(cancelscopes, '_CCancelScope'),
                         'requires the C _asyncio module')
    def test_pep_399_same_texts(self):
        # repr() and the messages of errors are part of the behavior.
        async def main(scope_type, texts):
            def attempt(function, *args, **kwargs):
                try:
                    function(*args, **kwargs)
                except Exception as exc:
                    texts.append((type(exc), str(exc)))
                else:
                    texts.append(None)

            now = asyncio.get_running_loop().time()
            attempt(scope_type, deadline=math.nan)
            attempt(scope_type, shield=1)
            scope = scope_type(deadline=now + 5, shield=True)
            texts.append(repr(scope))
            attempt(scope.__exit__, None, None, None)
            with scope:
                texts.append(repr(scope))
                attempt(scope.__enter__)
                attempt(setattr, scope, 'shield', None)
                attempt(setattr, scope, 'deadline', math.nan)
                scope.deadline = now - 3
                texts.append(repr(scope))
            texts.append(repr(scope))
            attempt(scope.__enter__)
            attempt(scope.__exit__, None, None, None)
            with scope_type() as scope:
                scope.cancel('why')
                texts.append(repr(scope))
                await asyncio.sleep(0)
            texts.append(repr(scope))
            outer, inner = scope_type(), scope_type()
            outer.__enter__()
            inner.__enter__()
            attempt(outer.__exit__, None, None, None)
            texts.append(repr(outer))
            inner.__exit__(None, None, None)
            left_open = scope_type().__enter__()
            return left_open, attempt

        def run(task_type, scope_type):
            texts = []
            loop = scope_utils.VirtualTimeLoop()
            self.addCleanup(loop.close)
            left_open, attempt = loop.run_until_complete(
                task_type(main(scope_type, texts), loop=loop))
            texts.append(repr(left_open))
            attempt(left_open.__exit__, None, None, None)
            attempt(scope_type().__enter__)
            return texts

        c = run(tasks._CTask, cancelscopes._CCancelScope)
        use_c_implementation = scope_utils.use_python_implementation()
        try:
            py = run(tasks._PyTask, cancelscopes._PyCancelScope)
        finally:
            use_c_implementation()
        self.maxDiff = None
        self.assertEqual(c, py)
        self.assertEqual(len(c), 19)

    @unittest.skipUnless(hasattr(cancelscopes, '_CCancelScope'),
                         'requires the C _asyncio module')
    def test_5_7_scope_in_a_task_of_the_other_kind(self):
        async def main(own, other):
            scope = other()
            with self.assertRaisesRegex(RuntimeError, 'external type'):
                scope.__enter__()
            with own() as scope:
                scope.cancel()
                await asyncio.sleep(0)
            self.assertIs(scope.cancelled_caught, True)
            # What the library makes is of the kind of the task.
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                self.assertIs(type(group.cancel_scope), own)

        loop = scope_utils.VirtualTimeLoop()
        self.addCleanup(loop.close)
        py, c = cancelscopes._PyCancelScope, cancelscopes._CCancelScope
        loop.run_until_complete(tasks._CTask(main(c, py), loop=loop))
        # (timeout() asks for the current task.)
        with mock.patch.object(tasks, 'current_task', tasks._py_current_task):
            loop.run_until_complete(tasks._PyTask(main(py, c), loop=loop))


if __name__ == '__main__':
    unittest.main()
