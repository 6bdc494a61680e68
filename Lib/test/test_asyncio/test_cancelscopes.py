"""Tests for cancel scopes: asyncio/cancelscopes.py and its C twin."""

import asyncio
import contextlib
import copy
import gc
import inspect
import math
import pickle
import random
import sys
import threading
import traceback
import types
import unittest
import weakref
from asyncio import cancelscopes
from asyncio import tasks
from test import support
from test.support import threading_helper

from test.test_asyncio import scope_utils
from test.test_asyncio.scope_utils import matrix


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


class MyError(Exception):
    """An exception that can be referenced weakly and is nobody else's."""


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
        self.assertIs(member.cancelled(), True)
        self.assertEqual(helpers[0].cancelling(), 0)
        self.assertEqual(await helpers[0], 'done')

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


@matrix
class CatchTests:
    """Rules 3.3 and 3.5: which scope swallows, and what."""

    async def test_3_3_cancelled_scope_swallows(self):
        with self.CancelScope() as scope:
            scope.cancel()
            await asyncio.sleep(0)
            self.fail('not cancelled')
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_3_3_outermost_cancelled_scope_catches(self):
        for order in 'outer first', 'inner first':
            with self.subTest(order):
                with self.CancelScope() as outer:
                    with self.CancelScope() as middle:
                        with self.CancelScope() as inner:
                            if order == 'outer first':
                                outer.cancel()
                                inner.cancel()
                            else:
                                inner.cancel()
                                outer.cancel()
                            await asyncio.sleep(0)
                        self.fail('the inner scope swallowed')
                    self.fail('the middle scope swallowed')
                self.assert_scope(inner, called=True, caught=False)
                self.assert_scope(middle, called=False, caught=False)
                self.assert_scope(outer, called=True, caught=True)
                await self.assert_not_cancelled()

    async def test_3_3_handler_of_the_inner_cancels_the_outer(self):
        """Trap 2: what counts is the state at the exit."""
        with self.CancelScope() as outer:
            with self.CancelScope() as inner:
                inner.cancel()
                try:
                    await asyncio.sleep(0)
                finally:
                    outer.cancel()
            self.fail('the inner scope swallowed')
        self.assert_scope(inner, called=True, caught=False)
        self.assert_scope(outer, called=True, caught=True)

    async def test_3_3_both_cancelled_inner_shielded(self):
        """Trap 3."""
        trace = []
        with self.CancelScope() as outer:
            with self.CancelScope(shield=True) as inner:
                inner.cancel('inner')
                outer.cancel('outer')
                await self.assert_cancelled(asyncio.sleep(0), 'inner')
                await asyncio.sleep(0)
            trace.append('between')
            await self.assert_level('outer')
            await asyncio.sleep(0)
            trace.append('not reached')
        self.assertEqual(trace, ['between'])
        self.assert_scope(inner, called=True, caught=True)
        self.assert_scope(outer, called=True, caught=True)

    async def test_3_3_shield_in_finally_of_scope_not_cancelled(self):
        """Trap 4."""
        with self.CancelScope() as outer:
            outer.cancel()
            with self.CancelScope() as inner:
                try:
                    await asyncio.sleep(0)
                finally:
                    inner.shield = True
                    await asyncio.sleep(1)
            self.fail('the inner scope swallowed')
        self.assert_scope(inner, called=False, caught=False)
        self.assert_scope(outer, called=True, caught=True)

    async def test_3_3_shield_in_finally_of_cancelled_scope(self):
        # The error came from the outer one, yet at the exit of the inner no
        # outer cancellation is visible.
        trace = []
        with self.CancelScope() as outer:
            outer.cancel()
            with self.CancelScope() as inner:
                inner.cancel()
                try:
                    await asyncio.sleep(0)
                finally:
                    inner.shield = True
            trace.append('between')
            await self.assert_level()
        self.assertEqual(trace, ['between'])
        self.assert_scope(inner, called=True, caught=True)
        self.assert_scope(outer, called=True, caught=False)

    async def test_3_3_unshield_while_the_error_propagates(self):
        with self.CancelScope() as outer:
            outer.cancel()
            with self.CancelScope(shield=True) as inner:
                inner.cancel()
                try:
                    await asyncio.sleep(0)
                finally:
                    inner.shield = False
            self.fail('the inner scope swallowed')
        self.assert_scope(inner, called=True, caught=False)
        self.assert_scope(outer, called=True, caught=True)

    async def test_3_3_scope_not_cancelled_swallows_nothing(self):
        """Trap 9."""
        for shield in False, True:
            with self.subTest(shield=shield):
                error = asyncio.CancelledError('by hand')
                with self.assertRaises(asyncio.CancelledError) as cm:
                    with self.CancelScope(shield=shield) as scope:
                        raise error
                self.assertIs(cm.exception, error)
                self.assert_scope(scope, called=False, caught=False)
        await self.assert_not_cancelled()

    async def test_3_3_cancelled_awaitable_of_somebody_else(self):
        future = self.loop.create_future()
        self.loop.call_soon(future.cancel, 'theirs')
        with self.assertRaises(asyncio.CancelledError) as cm:
            with self.CancelScope() as scope:
                await future
        self.assertEqual(cm.exception.args, ('theirs',))
        self.assert_scope(scope, called=False, caught=False)
        await self.assert_not_cancelled()

    async def test_3_3_error_raised_by_hand_in_cancelled_scope(self):
        # The type decides, not who made the error.
        with self.CancelScope() as scope:
            scope.cancel()
            raise asyncio.CancelledError('by hand')
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_3_new_error_in_place_of_the_one_delivered(self):
        with self.CancelScope() as scope:
            scope.cancel()
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                raise asyncio.CancelledError('another') from None
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_3_task_cancel_is_an_outer_cancellation(self):
        async def child():
            with self.CancelScope() as scope:
                scopes.append(scope)
                await self.forever()
            self.fail('the scope swallowed')

        scopes = []
        task = self.spawn(child())
        await self.settle()
        scopes[0].cancel('scope')
        task.cancel('task')
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertIs(task.cancelled(), True)
        self.assert_scope(scopes[0], called=True, caught=False)

    async def test_3_3_normal_exit_leaves_nothing_behind(self):
        with self.CancelScope() as scope:
            scope.cancel()
        self.assert_scope(scope, called=True, caught=False)
        await self.assert_not_cancelled()

        with self.CancelScope() as scope:
            scope.cancel()
            await self.assert_level()
        self.assert_scope(scope, called=True, caught=False)
        await self.assert_not_cancelled()

    async def test_3_3_return_value_out_of_a_cancelled_scope(self):
        async def child():
            with self.CancelScope() as scope:
                scope.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
                return 'value'

        task = self.spawn(child())
        self.assertEqual(await task, 'value')
        self.assertIs(task.cancelled(), False)
        for _ in range(3):
            with self.CancelScope() as scope:
                scope.cancel()
                break
        self.assert_scope(scope, called=True, caught=False)
        await self.assert_not_cancelled()

    async def test_3_3_scopes_one_after_the_other(self):
        trace = []
        for i in range(5):
            with self.CancelScope() as scope:
                if i % 2:
                    scope.cancel(str(i))
                await asyncio.sleep(1)
                trace.append(i)
            self.assert_scope(scope, called=bool(i % 2), caught=bool(i % 2))
        self.assertEqual(trace, [0, 2, 4])

    async def test_3_3_exit_stacks(self):
        with contextlib.ExitStack() as stack:
            outer = stack.enter_context(self.CancelScope())
            inner = stack.enter_context(self.CancelScope())
            outer.cancel()
            await asyncio.sleep(0)
            self.fail('not cancelled')
        self.assert_scope(inner, called=False, caught=False)
        self.assert_scope(outer, called=True, caught=True)
        async with contextlib.AsyncExitStack() as stack:
            scope = stack.enter_context(self.CancelScope())
            await stack.enter_async_context(asyncio.timeout(10))
            scope.cancel()
            await asyncio.sleep(0)
            self.fail('not cancelled')
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_3_3_scope_in_a_context_manager(self):
        @contextlib.contextmanager
        def manager():
            with self.CancelScope() as scope:
                yield scope

        @contextlib.asynccontextmanager
        async def async_manager():
            with self.CancelScope() as scope:
                yield scope

        with manager() as scope:
            scope.cancel()
            await asyncio.sleep(0)
            self.fail('not cancelled')
        self.assert_scope(scope, called=True, caught=True)
        async with async_manager() as scope:
            scope.cancel()
            await asyncio.sleep(0)
            self.fail('not cancelled')
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_3_5_real_error_propagates(self):
        """Trap 7."""
        error = KeyError('real')
        with self.assertRaises(KeyError) as cm:
            with self.CancelScope() as scope:
                scope.cancel()
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError as exc:
                    cancelled = exc
                    raise error
        self.assertIs(cm.exception, error)
        self.assertIs(error.__context__, cancelled)
        self.assertIsNone(error.__cause__)
        self.assertIs(error.__suppress_context__, False)
        self.assert_scope(scope, called=True, caught=False)
        await self.assert_not_cancelled()

    async def test_3_5_real_error_in_clean_up(self):
        with self.assertRaises(ZeroDivisionError) as cm:
            with self.CancelScope() as outer:
                with self.CancelScope() as inner:
                    outer.cancel()
                    try:
                        await asyncio.sleep(0)
                    finally:
                        1/0
        self.assertIsInstance(cm.exception.__context__,
                              asyncio.CancelledError)
        self.assert_scope(inner, called=False, caught=False)
        self.assert_scope(outer, called=True, caught=False)

    async def test_3_5_base_exceptions_propagate(self):
        class MyBaseError(BaseException):
            pass

        for error in MyBaseError(), GeneratorExit(), StopAsyncIteration():
            with self.subTest(type(error).__name__):
                with self.assertRaises(type(error)) as cm:
                    with self.CancelScope() as scope:
                        scope.cancel()
                        raise error
                self.assertIs(cm.exception, error)
                self.assert_scope(scope, called=True, caught=False)


@matrix
class ExceptionGroupTests:
    """Rule 3.4."""

    def make_group(self):
        error = ValueError('real')
        inner = BaseExceptionGroup('inner', [asyncio.CancelledError(), error])
        inner.add_note('inner note')
        group = BaseExceptionGroup('outer', [
            asyncio.CancelledError('top'),
            inner,
            BaseExceptionGroup('gone', [asyncio.CancelledError()]),
        ])
        group.add_note('outer note')
        return group, error

    async def test_3_4_cancellations_are_taken_out(self):
        """Trap 8."""
        group, error = self.make_group()
        with self.assertRaises(ExceptionGroup) as cm:
            with self.CancelScope() as scope:
                scope.cancel()
                raise group
        rest = cm.exception
        self.assertEqual(rest.message, 'outer')
        self.assertEqual(rest.__notes__, ['outer note'])
        [inner] = rest.exceptions
        self.assertIs(type(inner), ExceptionGroup)
        self.assertEqual(inner.message, 'inner')
        self.assertEqual(inner.__notes__, ['inner note'])
        self.assertEqual(len(inner.exceptions), 1)
        self.assertIs(inner.exceptions[0], error)
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_3_4_cause_context_and_traceback_are_kept(self):
        group, _ = self.make_group()
        cause = KeyError('cause')

        def raise_it():
            raise group from cause

        rest = None
        try:
            try:
                raise LookupError
            except LookupError as exc:
                context = exc
                with self.CancelScope() as scope:
                    scope.cancel()
                    raise_it()
        except ExceptionGroup as exc:
            rest = exc
        self.assertIs(rest.__cause__, cause)
        self.assertIs(rest.__context__, context)
        self.assertIs(rest.__suppress_context__, True)
        names = [frame.name
                 for frame in traceback.extract_tb(rest.__traceback__)]
        self.assertIn('raise_it', names)

    async def test_3_4_without_cause_or_context(self):
        group, _ = self.make_group()
        with self.assertRaises(ExceptionGroup) as cm:
            with self.CancelScope() as scope:
                scope.cancel()
                raise group
        self.assertIsNone(cm.exception.__cause__)
        self.assertIsNone(cm.exception.__context__)

    async def test_3_4_only_cancellations_are_swallowed(self):
        with self.CancelScope() as scope:
            scope.cancel()
            raise BaseExceptionGroup('outer', [
                asyncio.CancelledError(),
                BaseExceptionGroup('inner', [asyncio.CancelledError()]),
            ])
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_3_4_lone_error_stays_in_its_group(self):
        error = ValueError()
        with self.assertRaises(ExceptionGroup) as cm:
            with self.CancelScope() as scope:
                scope.cancel()
                raise BaseExceptionGroup(
                    'message', [error, asyncio.CancelledError()])
        self.assertEqual(cm.exception.message, 'message')
        self.assertEqual(len(cm.exception.exceptions), 1)
        self.assertIs(cm.exception.exceptions[0], error)
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_4_group_without_cancellations_is_left_alone(self):
        group = ExceptionGroup('message', [ValueError()])
        with self.assertRaises(ExceptionGroup) as cm:
            with self.CancelScope() as scope:
                scope.cancel()
                raise group
        self.assertIs(cm.exception, group)
        self.assert_scope(scope, called=True, caught=False)

    async def test_3_4_scope_not_cancelled_touches_nothing(self):
        """Trap 9."""
        group, _ = self.make_group()
        with self.assertRaises(BaseExceptionGroup) as cm:
            with self.CancelScope() as scope:
                raise group
        self.assertIs(cm.exception, group)
        self.assert_scope(scope, called=False, caught=False)

    async def test_3_4_outer_scope_splits_if_it_is_cancelled(self):
        group, error = self.make_group()
        seen = None
        with self.assertRaises(ExceptionGroup) as cm:
            with self.CancelScope() as outer:
                try:
                    with self.CancelScope() as inner:
                        inner.cancel()
                        outer.cancel()
                        raise group
                except BaseExceptionGroup as exc:
                    seen = exc
                    raise
        self.assertIs(seen, group)
        self.assert_scope(inner, called=True, caught=False)
        self.assert_scope(outer, called=True, caught=True)
        self.assertIs(cm.exception.exceptions[0].exceptions[0], error)

    async def test_3_4_shielded_scope_splits_below_a_cancelled_one(self):
        group, error = self.make_group()
        with self.assertRaises(ExceptionGroup) as cm:
            with self.CancelScope() as outer:
                with self.CancelScope(shield=True) as inner:
                    inner.cancel()
                    outer.cancel()
                    raise group
        self.assertIs(cm.exception.exceptions[0].exceptions[0], error)
        self.assert_scope(inner, called=True, caught=True)
        self.assert_scope(outer, called=True, caught=False)

    async def test_3_4_base_exceptions_remain(self):
        class MyBaseError(BaseException):
            pass

        error = MyBaseError()
        with self.assertRaises(BaseExceptionGroup) as cm:
            with self.CancelScope() as scope:
                scope.cancel()
                raise BaseExceptionGroup(
                    'message', [asyncio.CancelledError(), error])
        self.assertEqual(cm.exception.exceptions, (error,))
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_4_derived_groups_keep_their_type(self):
        class MyGroup(BaseExceptionGroup):
            def derive(self, excs):
                return MyGroup(self.message, excs)

        error = ValueError()
        with self.assertRaises(MyGroup) as cm:
            with self.CancelScope() as scope:
                scope.cancel()
                raise MyGroup('message', [asyncio.CancelledError(), error])
        self.assertEqual(cm.exception.exceptions, (error,))

    async def test_3_4_errors_of_a_task_group(self):
        async def child():
            try:
                await self.forever()
            finally:
                raise error

        error = ValueError()
        with self.assertRaises(ExceptionGroup) as cm:
            with self.CancelScope() as scope:
                async with asyncio.TaskGroup() as group:
                    group.create_task(child())
                    group.create_task(self.forever())
                    await self.settle()
                    scope.cancel()
        self.assertEqual(cm.exception.exceptions, (error,))
        await self.assert_not_cancelled()


@matrix
class ShieldTests:
    """Rule 3.6."""

    async def test_3_6_unshield_delivers_at_once(self):
        """Trap 5: to whoever is blocked below."""
        waiter = self.loop.create_future()
        scopes = []

        async def child():
            with self.CancelScope() as outer:
                with self.CancelScope(shield=True) as inner:
                    scopes.extend([outer, inner])
                    await self.assert_cancelled(waiter, 'outer')
                    await self.assert_level('outer')
            return 'done'

        task = self.spawn(child())
        await self.settle()
        outer, inner = scopes
        outer.cancel('outer')
        await self.settle()
        self.assertIs(waiter.done(), False)
        inner.shield = False
        self.assertIs(inner.shield, False)
        self.assertIs(waiter.cancelled(), True)
        self.assertEqual(await task, 'done')

    async def test_3_6_unshield_delivers_to_group_members(self):
        waiter = self.loop.create_future()
        scopes = []

        async def child():
            await self.assert_cancelled(waiter)
            await asyncio.sleep(0)

        async def host():
            with self.CancelScope() as outer:
                with self.CancelScope(shield=True) as inner:
                    scopes.extend([outer, inner])
                    async with asyncio.TaskGroup() as group:
                        group.create_task(child())
            return 'done'

        task = self.spawn(host())
        await self.settle()
        outer, inner = scopes
        outer.cancel()
        await self.settle()
        self.assertIs(waiter.done(), False)
        inner.shield = False
        self.assertIs(waiter.cancelled(), True)
        self.assertEqual(await task, 'done')
        self.assert_scope(outer, called=True, caught=True)
        self.assert_scope(inner, called=False, caught=False)

    async def test_3_6_unshield_stops_at_a_deeper_shield(self):
        with self.CancelScope() as outer:
            with self.CancelScope(shield=True) as middle:
                with self.CancelScope(shield=True) as inner:
                    outer.cancel()
                    middle.shield = False
                    await self.assert_not_cancelled()
                    inner.shield = False
                    await self.assert_level()

    async def test_3_6_unshield_without_cancel_does_nothing(self):
        with self.CancelScope(shield=True) as scope:
            self.loop.call_soon(setattr, scope, 'shield', False)
            await asyncio.sleep(1)
        self.assert_scope(scope, called=False, caught=False)

    async def test_3_6_toggle(self):
        with self.CancelScope() as outer:
            outer.cancel()
            with self.CancelScope() as inner:
                for _ in range(3):
                    await self.assert_level()
                    inner.shield = True
                    inner.shield = True
                    await asyncio.sleep(0)
                    await asyncio.sleep(1)
                    inner.shield = False
                    inner.shield = False
        self.assert_scope(inner, called=False, caught=False)
        self.assert_scope(outer, called=True, caught=False)

    async def test_3_6_shield_does_not_take_back_what_is_under_way(self):
        waiter = self.loop.create_future()

        def cancel_and_shield():
            outer.cancel('late')
            inner.shield = True

        with self.CancelScope() as outer:
            with self.CancelScope() as inner:
                self.loop.call_soon(cancel_and_shield)
                await self.assert_cancelled(waiter, 'late')
                # But nothing more is delivered from outside.
                await asyncio.sleep(0)
                await asyncio.sleep(1)
            await self.assert_level('late')

    async def test_3_6_own_cancel_is_not_shielded(self):
        with self.CancelScope() as scope:
            scope.cancel()
            scope.shield = True
            await self.assert_level()
            await asyncio.sleep(0)
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_6_shield_above_the_cancelled_scope(self):
        with self.CancelScope(shield=True):
            with self.CancelScope() as inner:
                inner.cancel()
                await asyncio.sleep(0)
            self.assert_scope(inner, called=True, caught=True)

    async def test_3_6_shield_after_exit_has_no_effect(self):
        with self.CancelScope() as outer:
            with self.CancelScope() as inner:
                pass
            inner.shield = True
            outer.cancel()
            await self.assert_level()
            inner.shield = False
            await self.assert_level()

    async def test_3_6_shield_toggled_without_a_yield(self):
        with self.CancelScope() as outer:
            outer.cancel()
            with self.CancelScope(shield=True) as inner:
                inner.shield = False
                inner.shield = True
                await self.assert_not_cancelled()


@matrix
class DeadlineTests:
    """Rule 3.7 and the functions that make scopes with a deadline."""

    async def test_3_7_deadline_cancels(self):
        start = self.loop.time()
        with self.CancelScope(deadline=start + 2) as scope:
            self.assertEqual(scope.deadline, start + 2)
            with self.assertRaises(asyncio.CancelledError):
                await self.forever()
            self.assertEqual(self.loop.time(), start + 2)
            self.assertIs(scope.cancel_called, True)
            with self.assertRaises(asyncio.CancelledError):
                await asyncio.sleep(0)
            await asyncio.sleep(10)
        self.assertEqual(self.loop.time(), start + 2)
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_3_7_block_ends_before_its_deadline(self):
        with self.CancelScope(deadline=self.loop.time() + 2) as scope:
            await asyncio.sleep(1)
        self.assert_scope(scope, called=False, caught=False)
        await asyncio.sleep(5)
        self.assert_scope(scope, called=False, caught=False)

    async def test_3_7_expired_deadline_at_entry(self):
        for deadline in self.loop.time(), self.loop.time() - 5, -1, -math.inf:
            with self.subTest(deadline=deadline):
                trace = []
                with self.CancelScope(deadline=deadline) as scope:
                    self.assertIs(scope.cancel_called, True)
                    trace.append('entered')
                    await asyncio.sleep(0)
                    trace.append('not reached')
                self.assertEqual(trace, ['entered'])
                self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_3_7_expired_deadline_without_yield(self):
        with self.CancelScope(deadline=self.loop.time() - 1) as scope:
            pass
        self.assert_scope(scope, called=True, caught=False)
        await self.assert_not_cancelled()

    async def test_3_7_no_deadline(self):
        for scope in (self.CancelScope(deadline=None),
                      self.CancelScope(deadline=math.inf)):
            self.assertIsNone(scope.deadline)
            with scope:
                await asyncio.sleep(1e6)
            self.assert_scope(scope, called=False, caught=False)

    async def test_3_7_deadline_can_be_set_before_entry(self):
        scope = self.CancelScope()
        scope.deadline = self.loop.time() + 3
        start = self.loop.time()
        with scope:
            await self.forever()
        self.assertEqual(self.loop.time(), start + 3)
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_7_deadline_moved_after_entry(self):
        """Trap 13."""
        for first, moved in (10, 2), (2, 10), (None, 5), (math.inf, 5):
            with self.subTest(first=first, moved=moved):
                start = self.loop.time()
                with self.CancelScope() as scope:
                    if first is not None:
                        scope.deadline = start + first
                    scope.deadline = start + moved
                    self.assertEqual(scope.deadline, start + moved)
                    await self.forever()
                self.assertEqual(self.loop.time(), start + moved)
                self.assert_scope(scope, called=True, caught=True)

    async def test_3_7_deadline_moved_while_blocked(self):
        for first, moved in (10, 4), (4, 10), (None, 4), (10, 3):
            with self.subTest(first=first, moved=moved):
                start = self.loop.time()
                scope = self.CancelScope(
                    deadline=None if first is None else start + first)
                with scope:
                    self.loop.call_at(start + 3, setattr, scope, 'deadline',
                                      start + moved)
                    await self.forever()
                self.assertEqual(self.loop.time(), start + moved)
                self.assert_scope(scope, called=True, caught=True)

    async def test_3_7_deadline_removed(self):
        for nothing in None, math.inf:
            with self.subTest(nothing=nothing):
                with self.CancelScope(deadline=self.loop.time() + 2) as scope:
                    await asyncio.sleep(1)
                    scope.deadline = nothing
                    self.assertIsNone(scope.deadline)
                    await asyncio.sleep(10)
                self.assert_scope(scope, called=False, caught=False)

    async def test_3_7_deadline_set_to_the_past_cancels_at_once(self):
        scopes = []

        async def child(waiter):
            with self.CancelScope(deadline=self.loop.time() + 9) as scope:
                scopes.append(scope)
                await waiter
            self.assert_scope(scope, called=True, caught=True)

        for delta in 0, -1, -math.inf:
            with self.subTest(delta=delta):
                waiter = self.loop.create_future()
                task = self.spawn(child(waiter))
                await self.settle()
                scopes[-1].deadline = self.loop.time() + delta
                self.assertIs(scopes[-1].cancel_called, True)
                self.assertIs(waiter.cancelled(), True)
                await task

    async def test_3_7_deadline_set_to_the_past_by_the_host(self):
        with self.CancelScope() as scope:
            scope.deadline = self.loop.time()
            self.assertIs(scope.cancel_called, True)
            await self.assert_level('deadline exceeded')

    async def test_3_7_moving_the_deadline_does_not_undo_the_cancel(self):
        with self.CancelScope(deadline=self.loop.time() + 1) as scope:
            with self.assertRaises(asyncio.CancelledError):
                await self.forever()
            for deadline in self.loop.time() + 10, None, math.inf:
                scope.deadline = deadline
                self.assertIs(scope.cancel_called, True)
                await self.assert_level('deadline exceeded', times=1)
        with self.CancelScope() as scope:
            scope.cancel('by hand')
            scope.deadline = self.loop.time() + 10
            await self.assert_level('by hand', times=1)

    async def test_3_7_due_timer_that_has_not_run_cancels_nothing(self):
        with self.CancelScope(deadline=self.loop.time() + 2) as scope:
            await asyncio.sleep(1)
            self.loop.advance(5)
        self.assertIs(scope.cancelled_caught, False)
        await self.assert_not_cancelled()

    async def test_3_7_due_timer_behind_the_host_in_the_same_tick(self):
        waiter = self.loop.create_future()

        def complete():
            waiter.set_result('result')
            self.loop.advance(5)

        self.loop.call_later(1, complete)
        with self.CancelScope(deadline=self.loop.time() + 2) as scope:
            # The wake-up is queued before the timer is found to be due.
            self.assertEqual(await waiter, 'result')
        self.assertIs(scope.cancelled_caught, False)
        await self.assert_not_cancelled()

    async def test_3_cancel_called_once_the_deadline_has_passed(self):
        # Before the loop has had a chance to run the timer.
        with self.CancelScope(deadline=self.loop.time() + 2) as scope:
            self.assertIs(scope.cancel_called, False)
            self.loop.advance(1)
            self.assertIs(scope.cancel_called, False)
            self.loop.advance(1)
            self.assertIs(scope.cancel_called, True)
            await self.assert_level('deadline exceeded')
        scope = self.CancelScope(deadline=self.loop.time() + 2)
        self.assertIs(scope.cancel_called, False)
        self.loop.advance(2)
        self.assertIs(scope.cancel_called, True)
        await self.assert_not_cancelled()

    async def test_3_7_timer_never_fires_into_a_later_scope(self):
        """Trap 13."""
        for _ in range(10):
            with self.CancelScope(deadline=self.loop.time() + 2):
                await asyncio.sleep(1)
            with self.CancelScope() as later:
                await asyncio.sleep(5)
            self.assert_scope(later, called=False, caught=False)
            del later
            start = self.loop.time()
            with self.CancelScope(deadline=start + 1):
                pass
            with self.CancelScope(deadline=start + 8) as later:
                await self.forever()
            self.assertEqual(self.loop.time(), start + 8)
            self.assert_scope(later, called=True, caught=True)

    async def test_3_7_outer_deadline_in_a_shielded_block(self):
        start = self.loop.time()
        with self.CancelScope(deadline=start + 2) as outer:
            with self.CancelScope(shield=True):
                await asyncio.sleep(5)
                self.assertIs(outer.cancel_called, True)
            self.assertEqual(self.loop.time(), start + 5)
            await asyncio.sleep(0)
            self.fail('not cancelled')
        self.assert_scope(outer, called=True, caught=True)

    async def test_3_7_nested_deadlines(self):
        start = self.loop.time()
        with self.CancelScope(deadline=start + 5) as outer:
            with self.CancelScope(deadline=start + 2) as inner:
                await self.forever()
            self.assertEqual(self.loop.time(), start + 2)
            self.assert_scope(inner, called=True, caught=True)
            with self.CancelScope(deadline=start + 9) as inner:
                await self.forever()
            self.fail('the inner scope swallowed')
        self.assertEqual(self.loop.time(), start + 5)
        self.assert_scope(inner, called=False, caught=False)
        self.assert_scope(outer, called=True, caught=True)

    async def test_3_7_nested_deadlines_in_one_tick(self):
        deadline = self.loop.time() + 2
        with self.CancelScope(deadline=deadline) as outer:
            with self.CancelScope(deadline=deadline) as inner:
                await self.forever()
            self.fail('the inner scope swallowed')
        self.assert_scope(inner, called=True, caught=False)
        self.assert_scope(outer, called=True, caught=True)

    async def test_3_7_many_moves_leave_no_timers_behind(self):
        with self.CancelScope() as scope:
            for i in range(3000):
                scope.deadline = self.loop.time() + 1000 - i / 10
                await asyncio.sleep(0)
        self.assertLess(len(self.loop._scheduled), 500)

    async def test_3_7_many_scopes_leave_no_timers_behind(self):
        for i in range(3000):
            with self.CancelScope(deadline=self.loop.time() + 1000 + i % 7):
                await asyncio.sleep(0)
        self.assertLess(len(self.loop._scheduled), 500)

    async def test_3_7_deadlines_of_many_tasks(self):
        rng = random.Random(314)
        start = self.loop.time()
        scopes = {}
        expected = {}
        seen = {}

        async def child(i, deadline):
            with self.CancelScope(deadline=deadline) as scope:
                scopes[i] = scope
                with contextlib.suppress(asyncio.CancelledError):
                    await self.forever()
                seen[i] = self.loop.time()

        children = []
        for i in range(200):
            expected[i] = start + rng.randrange(10, 1000)
            children.append(self.spawn(child(i, expected[i])))
        await self.settle()
        for i in rng.sample(range(200), 100):
            action = rng.randrange(4)
            if action == 0:
                expected[i] = start + rng.randrange(10, 1000)
                scopes[i].deadline = expected[i]
            elif action == 1:
                scopes[i].deadline = None
                expected[i] = start + rng.randrange(10, 1000)
                scopes[i].deadline = expected[i]
            elif action == 2:
                expected[i] = start
                scopes[i].cancel()
            else:
                expected[i] = start
                scopes[i].deadline = start
        await asyncio.wait(children)
        self.assertEqual(seen, expected)

    async def test_3_7_task_that_ended_with_an_open_scope(self):
        scopes = []

        async def child():
            scope = self.CancelScope(deadline=self.loop.time() + 2)
            scope.__enter__()
            scopes.append(scope)
            await asyncio.sleep(0)

        await self.spawn(child())
        await asyncio.sleep(10)
        scopes[0].cancel()
        scopes[0].deadline = self.loop.time() - 1
        await self.assert_not_cancelled()

    async def test_3_7_deadline_set_after_exit(self):
        with self.CancelScope() as scope:
            pass
        with self.CancelScope():
            scope.deadline = self.loop.time() + 1
            await asyncio.sleep(5)
            scope.deadline = self.loop.time() - 1
            await self.assert_not_cancelled()
        self.assertIs(scope.cancelled_caught, False)

    async def test_3_8_deadline_nan(self):
        with self.assertRaises(ValueError):
            self.CancelScope(deadline=math.nan)
        start = self.loop.time()
        with self.CancelScope(deadline=start + 5) as scope:
            with self.assertRaises(ValueError):
                scope.deadline = math.nan
            self.assertEqual(scope.deadline, start + 5)
            await self.forever()
        self.assertEqual(self.loop.time(), start + 5)
        with self.assertRaises(ValueError):
            with asyncio.move_on_after(math.nan):
                self.fail('entered')
        with self.assertRaises(ValueError):
            with asyncio.move_on_at(math.nan):
                self.fail('entered')

    async def test_3_8_deadline_is_a_number(self):
        for value in 'soon', [], object():
            with self.assertRaises(TypeError):
                self.CancelScope(deadline=value)
        with self.CancelScope(deadline=5000) as scope:
            for value in 'soon', [], object():
                with self.assertRaises(TypeError):
                    scope.deadline = value
            self.assertEqual(scope.deadline, 5000)

    async def test_3_8_attributes_cannot_be_deleted(self):
        with self.CancelScope(deadline=5000, shield=True) as scope:
            for name in 'deadline', 'shield':
                with self.assertRaises((AttributeError, TypeError)):
                    delattr(scope, name)
            self.assertEqual(scope.deadline, 5000)
            self.assertIs(scope.shield, True)

    async def test_3_move_on_after(self):
        start = self.loop.time()
        with asyncio.move_on_after(3) as scope:
            self.assertEqual(scope.deadline, start + 3)
            await self.forever()
        self.assertEqual(self.loop.time(), start + 3)
        self.assert_scope(scope, called=True, caught=True)
        self.assertIsInstance(scope, asyncio.CancelScope)

    async def test_3_move_on_after_clock_starts_at_entry(self):
        scope = asyncio.move_on_after(3)
        await asyncio.sleep(10)
        start = self.loop.time()
        with scope:
            self.assertEqual(scope.deadline, start + 3)
            await asyncio.sleep(2)
            await self.forever()
        self.assertEqual(self.loop.time(), start + 3)
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_move_on_after_with_another_deadline(self):
        scope = asyncio.move_on_after(5)
        start = self.loop.time()
        scope.deadline = start + 2
        self.assertEqual(scope.deadline, start + 2)
        with scope:
            await self.forever()
        self.assertEqual(self.loop.time(), start + 2)
        scope = asyncio.move_on_after(5)
        scope.deadline = None
        with scope:
            await asyncio.sleep(10)
        self.assert_scope(scope, called=False, caught=False)

    async def test_3_move_on_after_not_reached(self):
        with asyncio.move_on_after(3) as scope:
            await asyncio.sleep(2)
        self.assert_scope(scope, called=False, caught=False)

    async def test_3_move_on_after_zero_and_negative(self):
        for delay in 0, -1, -math.inf:
            with self.subTest(delay=delay):
                with asyncio.move_on_after(delay) as scope:
                    await asyncio.sleep(0)
                    self.fail('not cancelled')
                self.assert_scope(scope, called=True, caught=True)

    async def test_3_move_on_after_inf(self):
        with asyncio.move_on_after(math.inf) as scope:
            self.assertIsNone(scope.deadline)
            await asyncio.sleep(1e6)
        self.assert_scope(scope, called=False, caught=False)

    async def test_3_move_on_after_shield(self):
        self.assertIs(asyncio.move_on_after(3).shield, False)
        with self.CancelScope() as outer:
            outer.cancel()
            start = self.loop.time()
            with asyncio.move_on_after(3, shield=True) as scope:
                self.assertIs(scope.shield, True)
                await self.forever()
            self.assertEqual(self.loop.time(), start + 3)
            self.assert_scope(scope, called=True, caught=True)
            await self.assert_level()
        with self.assertRaises(TypeError):
            asyncio.move_on_after(3, True)

    async def test_3_move_on_at(self):
        start = self.loop.time()
        scope = asyncio.move_on_at(start + 3)
        self.assertEqual(scope.deadline, start + 3)
        await asyncio.sleep(1)
        with scope:
            await self.forever()
        self.assertEqual(self.loop.time(), start + 3)
        self.assert_scope(scope, called=True, caught=True)
        with asyncio.move_on_at(start) as scope:
            await asyncio.sleep(0)
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_move_on_at_shield(self):
        self.assertIs(asyncio.move_on_at(3).shield, False)
        with self.CancelScope() as outer:
            outer.cancel()
            when = self.loop.time() + 3
            with asyncio.move_on_at(when, shield=True) as scope:
                self.assertIs(scope.shield, True)
                await self.forever()
            self.assertEqual(self.loop.time(), when)
            await self.assert_level()
        with self.assertRaises(TypeError):
            asyncio.move_on_at(3, True)

    def test_3_move_on_needs_no_loop(self):
        self.assertEqual(asyncio.move_on_at(3000).deadline, 3000)
        scope = asyncio.move_on_after(3)

        async def main():
            start = self.loop.time()
            with scope:
                await self.forever()
            self.assertEqual(self.loop.time(), start + 3)

        self.run_main(main())


@matrix
class EffectiveDeadlineTests:
    """asyncio.current_effective_deadline()"""

    def check(self, expected):
        self.assertEqual(asyncio.current_effective_deadline(), expected)

    async def test_3_effective_deadline_none(self):
        self.check(math.inf)
        with self.CancelScope():
            self.check(math.inf)
        with self.CancelScope(shield=True):
            self.check(math.inf)
        self.assertIsInstance(asyncio.current_effective_deadline(), float)

    async def test_3_effective_deadline_is_a_float(self):
        with self.CancelScope(deadline=5000) as scope:
            self.check(5000)
            self.assertIsInstance(asyncio.current_effective_deadline(), float)
            self.assertIsInstance(scope.deadline, float)
            scope.deadline = 6000
            self.assertIsInstance(asyncio.current_effective_deadline(), float)
            self.assertIsInstance(scope.deadline, float)

    async def test_3_effective_deadline_is_the_earliest(self):
        now = self.loop.time()
        with self.CancelScope(deadline=now + 5) as outer:
            self.check(now + 5)
            with self.CancelScope(deadline=now + 9) as inner:
                self.check(now + 5)
                inner.deadline = now + 3
                self.check(now + 3)
                outer.deadline = now + 2
                self.check(now + 2)
                outer.deadline = None
                self.check(now + 3)
            self.check(math.inf)

    async def test_3_effective_deadline_behind_a_shield(self):
        now = self.loop.time()
        with self.CancelScope(deadline=now + 5):
            with self.CancelScope(deadline=now + 9, shield=True) as inner:
                self.check(now + 9)
                inner.deadline = None
                self.check(math.inf)
                with self.CancelScope(deadline=now + 20):
                    self.check(now + 20)
                inner.shield = False
                self.check(now + 5)

    async def test_3_effective_deadline_if_cancelled(self):
        now = self.loop.time()
        with self.CancelScope() as outer:
            with self.CancelScope(deadline=now + 5) as inner:
                outer.cancel()
                self.check(-math.inf)
                with self.CancelScope(shield=True):
                    self.check(math.inf)
                inner.shield = True
                self.check(now + 5)
                inner.cancel()
                self.check(-math.inf)
            self.check(-math.inf)
        self.check(math.inf)

    async def test_3_effective_deadline_if_expired(self):
        with self.CancelScope(deadline=self.loop.time() - 5):
            self.check(-math.inf)

    async def test_3_effective_deadline_of_a_cancelled_task(self):
        task = asyncio.current_task()
        task.cancel()
        self.check(-math.inf)
        with self.CancelScope(shield=True):
            self.check(math.inf)
        task.uncancel()
        self.check(math.inf)
        await self.assert_not_cancelled()

    async def test_3_effective_deadline_of_a_timeout(self):
        now = self.loop.time()
        async with asyncio.timeout(5):
            self.check(now + 5)
            async with asyncio.timeout(2):
                self.check(now + 2)
        self.check(math.inf)

    async def test_3_effective_deadline_in_a_group(self):
        deadlines = []

        async def child():
            deadlines.append(asyncio.current_effective_deadline())

        deadline = self.loop.time() + 5
        with self.CancelScope(deadline=deadline):
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
            await self.spawn(child())
        self.assertEqual(deadlines, [deadline, math.inf])

    async def test_3_effective_deadline_in_a_callback(self):
        errors = []

        def callback():
            try:
                asyncio.current_effective_deadline()
            except RuntimeError as exc:
                errors.append(exc)

        self.loop.call_soon(callback)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.assertEqual(len(errors), 1)

    def test_3_effective_deadline_without_a_loop(self):
        with self.assertRaises(RuntimeError):
            asyncio.current_effective_deadline()


@matrix
class MisuseTests:
    """Rule 3.8; traps 11 and 14."""

    async def check_sound(self):
        """The scopes of this task and of others work as they should."""
        async def child(waiter):
            with self.CancelScope() as scope:
                scopes.append(scope)
                await waiter
            self.assert_scope(scope, called=True, caught=True)
            await self.assert_not_cancelled()

        scopes = []
        waiter = self.loop.create_future()
        task = self.spawn(child(waiter))
        with self.CancelScope() as outer:
            with self.CancelScope() as inner:
                await self.settle()
                inner.cancel()
                await asyncio.sleep(0)
            self.assert_scope(inner, called=True, caught=True)
            scopes[0].cancel()
            self.assertIs(waiter.cancelled(), True)
            await task
            outer.cancel()
            await self.assert_level(times=1)
        await self.assert_not_cancelled()

    def test_3_8_made_and_cancelled_without_a_loop(self):
        scope = self.CancelScope(deadline=3000, shield=True)
        scope.deadline = 4000
        scope.shield = False
        scope.cancel('early')
        self.assert_scope(scope, called=True, caught=False)
        self.assertIsInstance(repr(scope), str)

        async def main():
            with scope:
                await self.assert_level('early')
                await asyncio.sleep(0)
            self.assert_scope(scope, called=True, caught=True)

        self.run_main(main())

    def test_3_8_entered_without_a_loop(self):
        scope = self.CancelScope()
        with self.assertRaisesRegex(RuntimeError, '(?i)task|loop'):
            scope.__enter__()

        async def main():       # nothing has happened to it
            with scope:
                scope.cancel()
                await asyncio.sleep(0)
            self.assert_scope(scope, called=True, caught=True)

        self.run_main(main())

    async def test_3_8_entered_without_a_task(self):
        errors = []
        scope = self.CancelScope(deadline=self.loop.time() - 1)

        def callback():
            try:
                scope.__enter__()
            except RuntimeError as exc:
                errors.append(exc)

        self.loop.call_soon(callback)
        await self.settle()
        self.assertRegex(str(errors[0]), '(?i)task')
        await self.check_sound()
        with scope:
            await asyncio.sleep(0)
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_8_entered_twice(self):
        with self.CancelScope() as scope:
            with self.assertRaisesRegex(
                    RuntimeError, '(?i)already|twice|once|only'):
                with scope:
                    self.fail('entered')
            await self.check_sound()
            scope.cancel()
            await asyncio.sleep(0)
        self.assert_scope(scope, called=True, caught=True)
        await self.check_sound()

    async def test_3_8_entered_in_two_tasks(self):
        async def other():
            with self.assertRaisesRegex(
                    RuntimeError, '(?i)already|twice|once|only'):
                scope.__enter__()
            await self.check_sound()

        with self.CancelScope() as scope:
            await self.spawn(other())
            scope.cancel()
            await asyncio.sleep(0)
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_8_reused(self):
        for cancelled in False, True:
            with self.subTest(cancelled=cancelled):
                with self.CancelScope() as scope:
                    if cancelled:
                        scope.cancel()
                    await asyncio.sleep(0)
                with self.assertRaisesRegex(
                        RuntimeError, '(?i)already|reus|once|only'):
                    with scope:
                        self.fail('entered')
                self.assert_scope(scope, called=cancelled, caught=cancelled)
                await self.check_sound()

    async def test_3_8_left_before_it_was_entered(self):
        scope = self.CancelScope()
        with self.assertRaisesRegex(RuntimeError, '(?i)enter'):
            scope.__exit__(None, None, None)
        await self.check_sound()
        with scope:
            scope.cancel()
            await asyncio.sleep(0)
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_8_left_twice(self):
        with self.CancelScope() as outer:
            with self.CancelScope() as scope:
                pass
            with self.assertRaisesRegex(
                    RuntimeError, '(?i)already|twice|not|left|exited'):
                scope.__exit__(None, None, None)
            await self.check_sound()
            outer.cancel()
            await self.assert_level()

    async def test_3_8_left_out_of_order(self):
        """Trap 11: what is inside moves up to the parent."""
        with self.CancelScope() as top:
            outer = self.CancelScope().__enter__()
            inner = self.CancelScope().__enter__()
            with self.assertRaisesRegex(
                    RuntimeError, '(?i)order|insid|inner|open|nest|current'):
                outer.__exit__(None, None, None)
            # The outer one is out.
            outer.cancel()
            await self.assert_not_cancelled()
            await self.check_sound()
            with self.assertRaises(RuntimeError):
                outer.__exit__(None, None, None)
            # The inner one hangs on the top one, and works.
            with self.CancelScope() as innermost:
                top.cancel('top')
                await self.assert_level('top')
                innermost.shield = True
                await asyncio.sleep(1)
            self.assertFalse(inner.__exit__(None, None, None))
            await self.assert_level('top')
        self.assert_scope(top, called=True, caught=False)
        await self.check_sound()

    async def test_3_8_left_out_of_order_inner_is_cancelled_later(self):
        outer = self.CancelScope().__enter__()
        inner = self.CancelScope().__enter__()
        with self.assertRaises(RuntimeError):
            outer.__exit__(None, None, None)
        inner.cancel('inner')
        exc = await self.assert_cancelled(asyncio.sleep(0), 'inner')
        self.assertTrue(inner.__exit__(type(exc), exc, None))
        self.assert_scope(inner, called=True, caught=True)
        await self.check_sound()

    async def test_3_8_left_out_of_order_outer_was_cancelled(self):
        outer = self.CancelScope().__enter__()
        inner = self.CancelScope().__enter__()
        outer.cancel()
        await self.assert_level()
        with self.assertRaises(RuntimeError):
            outer.__exit__(None, None, None)
        await self.assert_not_cancelled()
        inner.__exit__(None, None, None)
        await self.check_sound()

    async def test_3_8_left_out_of_order_in_the_middle(self):
        scopes = [self.CancelScope().__enter__() for _ in range(5)]
        with self.assertRaises(RuntimeError):
            scopes[2].__exit__(None, None, None)
        scopes[2].cancel()
        await self.assert_not_cancelled()
        scopes[1].cancel('one')
        await self.assert_level('one')
        scopes[3].shield = True
        await asyncio.sleep(0)
        scopes[4].cancel('four')
        exc = await self.assert_cancelled(asyncio.sleep(0), 'four')
        self.assertTrue(scopes[4].__exit__(type(exc), exc, None))
        await asyncio.sleep(0)
        scopes[3].__exit__(None, None, None)
        await self.assert_level('one')
        scopes[1].__exit__(None, None, None)
        scopes[0].__exit__(None, None, None)
        await self.check_sound()

    async def test_3_8_left_out_of_order_drops_the_deadline(self):
        outer = self.CancelScope(deadline=self.loop.time() + 1).__enter__()
        inner = self.CancelScope(deadline=self.loop.time() + 9).__enter__()
        with self.assertRaises(RuntimeError):
            outer.__exit__(None, None, None)
        await asyncio.sleep(5)
        self.assertIs(outer.cancelled_caught, False)
        start = self.loop.time()
        with self.assertRaises(asyncio.CancelledError) as cm:
            await self.forever()
        self.assertEqual(self.loop.time(), start + 4)
        self.assertTrue(inner.__exit__(type(cm.exception), cm.exception, None))
        await self.check_sound()

    async def test_3_8_left_out_of_order_with_an_error(self):
        # The error that was under way can be found behind the RuntimeError.
        outer = self.CancelScope()
        error = KeyError()
        with self.assertRaises(RuntimeError) as cm:
            with outer:
                inner = self.CancelScope().__enter__()
                raise error
        self.assertIs(cm.exception.__context__, error)
        inner.__exit__(None, None, None)
        await self.check_sound()

    async def test_3_8_interleaved_generators(self):
        async def generate():
            with self.CancelScope():
                yield

        first, second = generate(), generate()
        await anext(first)
        await anext(second)
        with self.assertRaises(RuntimeError):
            await first.aclose()
        await self.assert_not_cancelled()
        await second.aclose()
        await self.check_sound()

    async def test_3_8_left_in_another_task(self):
        gate = self.loop.create_future()
        scope = self.CancelScope()
        trace = []

        async def host():
            scope.__enter__()
            with self.CancelScope() as inner:
                await gate
                # The scope is out, the inner one has moved up.
                scope.cancel()
                await self.assert_not_cancelled()
                inner.cancel('inner')
                await self.assert_level('inner')
                await asyncio.sleep(0)
            self.assert_scope(inner, called=True, caught=True)
            with self.assertRaises(RuntimeError):
                scope.__exit__(None, None, None)
            await self.check_sound()
            trace.append('host')

        task = self.spawn(host())
        await self.settle()
        with self.CancelScope() as own:
            with self.assertRaisesRegex(RuntimeError, '(?i)task'):
                scope.__exit__(None, None, None)
            own.cancel()
            await self.assert_level()
            await asyncio.sleep(0)
        self.assert_scope(own, called=True, caught=True)
        gate.set_result(None)
        await task
        self.assertEqual(trace, ['host'])
        await self.check_sound()

    async def test_3_8_left_in_another_task_without_inner_scopes(self):
        gate = self.loop.create_future()
        scope = self.CancelScope(deadline=self.loop.time() + 5)

        async def host():
            scope.__enter__()
            await gate
            await asyncio.sleep(10)
            await self.check_sound()

        task = self.spawn(host())
        await self.settle()
        with self.assertRaisesRegex(RuntimeError, '(?i)task'):
            scope.__exit__(None, None, None)
        gate.set_result(None)
        await task

    async def test_3_8_cancelled_and_left_in_another_task(self):
        gate = self.loop.create_future()
        scope = self.CancelScope()

        async def host():
            scope.__enter__()
            await self.assert_cancelled(self.forever())
            with self.CancelScope(shield=True):
                await gate
            await self.assert_not_cancelled()
            await self.check_sound()

        task = self.spawn(host())
        await self.settle()
        scope.cancel()
        await self.settle()
        with self.assertRaisesRegex(RuntimeError, '(?i)task'):
            scope.__exit__(None, None, None)
        gate.set_result(None)
        await task

    async def test_3_8_shielded_scope_left_in_another_task(self):
        # What is inside moves up to the parent, which is cancelled: whoever
        # is blocked there hears of it at once.
        async def host():
            with self.CancelScope() as outer:
                scopes.append(outer)
                shielded.__enter__()
                with self.CancelScope() as inner:
                    await waiter
            self.assert_scope(inner, called=False, caught=False)
            self.assert_scope(outer, called=True, caught=True)
            await self.check_sound()
            return 'done'

        scopes = []
        shielded = self.CancelScope(shield=True)
        waiter = self.loop.create_future()
        task = self.spawn(host())
        await self.settle()
        scopes[0].cancel()
        self.assertIs(waiter.done(), False)
        with self.assertRaisesRegex(RuntimeError, '(?i)task'):
            shielded.__exit__(None, None, None)
        self.assertIs(waiter.cancelled(), True)
        self.assertEqual(await task, 'done')

    async def test_3_8_shielded_innermost_scope_left_in_another_task(self):
        async def host():
            with self.CancelScope() as outer:
                scopes.append(outer)
                shielded.__enter__()
                await waiter
            self.assert_scope(outer, called=True, caught=True)
            return 'done'

        scopes = []
        shielded = self.CancelScope(shield=True)
        waiter = self.loop.create_future()
        task = self.spawn(host())
        await self.settle()
        scopes[0].cancel()
        self.assertIs(waiter.done(), False)
        with self.assertRaisesRegex(RuntimeError, '(?i)task'):
            shielded.__exit__(None, None, None)
        self.assertIs(waiter.cancelled(), True)
        self.assertEqual(await task, 'done')

    async def test_3_8_shielded_scope_left_out_of_order(self):
        with self.CancelScope() as outer:
            outer.cancel('outer')
            shielded = self.CancelScope(shield=True).__enter__()
            inner = self.CancelScope().__enter__()
            await self.assert_not_cancelled()
            with self.assertRaises(RuntimeError):
                shielded.__exit__(None, None, None)
            await self.assert_level('outer')
            inner.__exit__(None, None, None)
        await self.check_sound()

    def test_3_8_left_without_a_task(self):
        scopes = []

        async def main():
            scopes.append(self.CancelScope().__enter__())
            await asyncio.sleep(0)

        self.run_main(main())
        with self.assertRaises(RuntimeError):
            scopes[0].__exit__(None, None, None)

    async def test_3_8_left_after_its_task_has_ended(self):
        scope = self.CancelScope()

        async def host():
            scope.__enter__()
            await asyncio.sleep(0)

        await self.spawn(host())
        with self.assertRaises(RuntimeError):
            scope.__exit__(None, None, None)
        await self.check_sound()

    async def test_3_8_task_that_ends_with_open_scopes(self):
        async def host(scope):
            scope.__enter__()
            self.CancelScope().__enter__()
            scope.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            return 'result'

        for scope in self.CancelScope(), self.CancelScope(shield=True):
            task = self.spawn(host(scope))
            self.assertEqual(await task, 'result')
            await self.check_sound()

    async def test_4_4_group_left_open_by_a_task_that_ended(self):
        # It lives on below what the task itself was in, with what was around
        # it in that task.
        async def host(scope, waiter):
            scope.__enter__()
            inner = asyncio.TaskGroup()
            await inner.__aenter__()
            inners.append(inner)
            inner.create_task(member(waiter))
            await asyncio.sleep(0)

        async def member(waiter):
            await waiter

        inners, scopes = [], []
        waiters = [self.loop.create_future() for _ in range(3)]
        with self.CancelScope() as outer:
            async with asyncio.TaskGroup() as group:
                for waiter in waiters:
                    scope = self.CancelScope()
                    task = group.create_task(host(scope, waiter))
                    await self.settle()
                    self.assertIs(task.done(), True)
                    self.assertIn(' active', repr(scope))
                    scopes.append(scope)
                scopes[0].cancel()
                self.assertEqual([w.cancelled() for w in waiters],
                                 [True, False, False])
                scopes[1].deadline = self.loop.time() + 5
                await asyncio.sleep(10)
                self.assertIs(scopes[1].deadline_expired, True)
                self.assertEqual([w.cancelled() for w in waiters],
                                 [True, True, False])
                outer.cancel()
                self.assertEqual([w.cancelled() for w in waiters],
                                 [True, True, True])
        with self.CancelScope(shield=True):
            await self.settle()
        self.assertEqual([scope.cancelled_caught for scope in scopes],
                         [False] * 3)
        del scope, inners[:], scopes[:]
        await self.check_sound()

    async def test_4_4_group_left_open_below_what_is_cancelled(self):
        async def host():
            inner = asyncio.TaskGroup()
            await inner.__aenter__()
            inners.append(inner)
            inner.create_task(member())
            await asyncio.sleep(0)

        async def member():
            await waiter

        inners = []
        waiter = self.loop.create_future()
        with self.CancelScope() as outer:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(host())
                await self.settle()
                self.assertIs(task.done(), True)
                outer.cancel()
                self.assertIs(waiter.cancelled(), True)
        await self.settle()
        del inners[:]
        await self.check_sound()

    async def test_3_8_shielded_group_left_open_by_a_task_that_ended(self):
        # Nothing is above the members any more that would shield them.
        async def host():
            shield = self.CancelScope(shield=True)
            shield.__enter__()
            inner = asyncio.TaskGroup()
            await inner.__aenter__()
            inner.create_task(member())
            await gate

        async def member():
            await waiter

        for cancel_first in False, True:
            with self.subTest(cancel_first=cancel_first):
                gate = self.loop.create_future()
                waiter = self.loop.create_future()
                with self.CancelScope() as outer:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(host())
                        await self.settle()
                        with self.CancelScope(shield=True):
                            if cancel_first:
                                outer.cancel()
                                await self.settle()
                            self.assertIs(waiter.done(), False)
                            gate.set_result(None)
                            await self.settle()
                            if not cancel_first:
                                outer.cancel()
                            self.assertIs(waiter.cancelled(), True)
                            await self.settle()
        await self.check_sound()

    async def test_3_8_cancelled_group_left_open_by_a_task_that_ended(self):
        # Nor anything that would cancel them.
        async def host():
            scope = self.CancelScope().__enter__()
            inner = asyncio.TaskGroup()
            await inner.__aenter__()
            members.append(inner.create_task(member()))
            await gate
            scope.cancel()

        async def member():
            await self.assert_cancelled(self.forever())
            with self.CancelScope(shield=True):
                await self.settle()
            await self.assert_not_cancelled()
            return 'done'

        members = []
        gate = self.loop.create_future()
        task = self.spawn(host())
        await self.settle()
        gate.set_result(None)
        await task
        self.assertEqual(await members[0], 'done')
        await self.check_sound()

    async def test_3_8_generator_closed_in_another_task(self):
        """Trap 14."""
        trace = []

        async def generate():
            with self.CancelScope() as scope:
                scopes.append(scope)
                yield 1
                yield 2

        async def consumer():
            self.assertEqual(await anext(generator), 1)
            await gate
            scopes[0].cancel()
            await self.assert_not_cancelled()
            await self.check_sound()
            trace.append('consumer')

        scopes = []
        gate = self.loop.create_future()
        generator = generate()
        task = self.spawn(consumer())
        await self.settle()
        with self.assertRaisesRegex(RuntimeError, '(?i)task'):
            await generator.aclose()
        await self.check_sound()
        gate.set_result(None)
        await task
        self.assertEqual(trace, ['consumer'])

    async def test_3_8_abandoned_generator(self):
        """Trap 14: the loop closes it in a task that is not cancelled."""
        trace = []

        async def generate():
            with self.CancelScope():
                try:
                    yield 1
                finally:
                    trace.append(asyncio.current_task() is main)
                    await asyncio.sleep(0)
                    trace.append('closed')

        main = asyncio.current_task()
        with self.CancelScope() as outer:
            async for _ in generate():
                break
            support.gc_collect()
            outer.cancel()
            with self.CancelScope(shield=True):
                await self.settle()
            await self.assert_level(times=1)
        self.assertEqual(trace, [False, 'closed'])
        support.gc_collect()
        await self.settle()
        self.assertEqual(len(self.problems), 1, self.problems)
        error = self.problems.pop()['exception']
        self.assertIsInstance(error, RuntimeError)
        self.assertRegex(str(error), '(?i)task')
        del error
        await self.check_sound()

    async def test_3_8_generator_scope_belongs_to_the_consumer(self):
        # Between two steps the consumer is inside the generator's scope.
        async def generate():
            with self.CancelScope() as scope:
                scopes.append(scope)
                yield 1

        scopes = []
        generator = generate()
        await anext(generator)
        scopes[0].cancel()
        await self.assert_level()
        await generator.aclose()
        await self.assert_not_cancelled()

    async def test_3_8_loop_that_cannot_set_a_timer(self):
        def fail(*args, **kwargs):
            raise MyError

        call_at = self.loop.call_at
        start = self.loop.time()
        scope = self.CancelScope(deadline=start + 5)
        self.loop.call_at = fail
        with self.assertRaises(MyError):
            scope.__enter__()
        self.loop.call_at = call_at
        await self.check_sound()
        with scope:
            await self.forever()
        self.assertEqual(self.loop.time(), start + 5)
        self.assert_scope(scope, called=True, caught=True)

        with self.CancelScope() as scope:
            self.loop.call_at = fail
            with self.assertRaises(MyError):
                scope.deadline = start + 8
            self.loop.call_at = call_at
            await self.check_sound()
            scope.deadline = start + 9
            await self.forever()
        self.assertEqual(self.loop.time(), start + 9)
        self.assert_scope(scope, called=True, caught=True)
        await self.check_sound()

    async def test_3_8_initialised_again(self):
        with self.CancelScope() as outer:
            with self.CancelScope() as scope:
                with contextlib.suppress(RuntimeError):
                    scope.__init__(shield=True)
                await self.check_sound()
                scope.cancel()
                await self.assert_level()
                await asyncio.sleep(0)
            self.assert_scope(scope, called=True, caught=True)
            outer.cancel()
            await self.assert_level()
        await self.check_sound()

    async def test_3_8_shield_is_a_bool(self):
        for value in 1, 0, None, 'yes', []:
            with self.subTest(value=value):
                with self.assertRaises(TypeError):
                    self.CancelScope(shield=value)
                with self.CancelScope(shield=True) as scope:
                    with self.assertRaises(TypeError):
                        scope.shield = value
                    self.assertIs(scope.shield, True)
                with self.assertRaises(TypeError):
                    asyncio.move_on_after(1, shield=value)
                with self.assertRaises(TypeError):
                    asyncio.move_on_at(1, shield=value)


@matrix
class ReferenceTests:
    """Rule 3.9."""

    async def check_no_garbage(self, func):
        await func()            # fill caches
        await asyncio.sleep(0)
        support.gc_collect()
        with support.disable_gc():
            for _ in range(5):
                await func()
            await asyncio.sleep(0)
            self.assertEqual(gc.collect(), 0)

    async def test_3_9_scope_does_not_keep_a_finished_task(self):
        async def caught(scope):
            with scope:
                scope.cancel()
                await asyncio.sleep(0)

        async def not_cancelled(scope):
            with scope:
                await asyncio.sleep(0)

        async def failed(scope):
            with scope:
                scope.deadline = self.loop.time() + 100
                await asyncio.sleep(0)
                raise MyError

        async def left_open(scope):
            scope.__enter__()
            await asyncio.sleep(0)

        async def left_open_with_deadline(scope):
            scope.deadline = self.loop.time() + 100
            scope.__enter__()
            scope.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)

        for func in (caught, not_cancelled, failed, left_open,
                     left_open_with_deadline):
            with self.subTest(func.__name__):
                scope = self.CancelScope()
                task = self.spawn(func(scope))
                with contextlib.suppress(MyError):
                    await task
                await asyncio.sleep(0)
                ref = weakref.ref(task)
                del task
                support.gc_collect()
                self.assertIsNone(ref())
                scope.cancel()

    async def test_3_9_scope_is_freed_without_gc(self):
        async def check(body):
            scope = self.CancelScope()
            ref = weakref.ref(scope)
            with self.CancelScope():
                with scope:
                    await body(scope)
            del scope
            # The step of the task that threw the error refers to it.
            await asyncio.sleep(0)
            self.assertIsNone(ref())

        async def nothing(scope):
            pass

        async def cancelled(scope):
            scope.cancel()
            await asyncio.sleep(0)

        async def deadline(scope):
            scope.deadline = self.loop.time() + 100
            await asyncio.sleep(0)

        async def expired(scope):
            scope.deadline = self.loop.time() + 1
            await asyncio.sleep(100)

        with support.disable_gc():
            for body in nothing, cancelled, deadline, expired:
                with self.subTest(body.__name__):
                    await check(body)

    async def test_3_9_no_garbage(self):
        async def not_cancelled():
            with self.CancelScope():
                with self.CancelScope():
                    await asyncio.sleep(0)

        async def cancelled():
            with self.CancelScope() as outer:
                with self.CancelScope():
                    outer.cancel()
                    await asyncio.sleep(0)

        async def swallowed():
            with self.CancelScope() as scope:
                scope.cancel()
                for _ in range(3):
                    try:
                        await asyncio.sleep(1)
                    except asyncio.CancelledError:
                        pass

        async def expired():
            with asyncio.move_on_after(1):
                await self.forever()

        async def in_a_task():
            await self.spawn(cancelled())

        async def split():
            try:
                with self.CancelScope() as scope:
                    scope.cancel()
                    raise BaseExceptionGroup(
                        'message', [asyncio.CancelledError(), MyError()])
            except* MyError:
                pass

        async def by_another_task():
            async def other(scope):
                scope.cancel()
            with self.CancelScope() as scope:
                task = self.spawn(other(scope))
                with self.CancelScope(shield=True):
                    await task
                await asyncio.sleep(0)

        for func in (not_cancelled, cancelled, swallowed, expired, in_a_task,
                     split, by_another_task):
            with self.subTest(func.__name__):
                await self.check_no_garbage(func)

    async def test_3_9_no_cycle_with_the_error_that_is_caught(self):
        async def body():
            nonlocal ref
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError as exc:
                ref = weakref.ref(exc)
                raise

        ref = None
        with support.disable_gc():
            with self.CancelScope() as scope:
                scope.cancel()
                await body()
            self.assertIs(scope.cancelled_caught, True)
            await asyncio.sleep(0)
            self.assertIsNone(ref())

    async def test_3_9_no_cycle_with_an_error_that_leaves(self):
        async def body(error):
            with self.CancelScope() as scope:
                scope.cancel()
                try:
                    await asyncio.sleep(0)
                finally:
                    try:
                        raise error
                    finally:
                        del error   # the traceback refers to this frame

        async def check():
            error = MyError()
            ref = weakref.ref(error)
            try:
                await body(error)
            except MyError:
                pass
            del error
            return ref

        with support.disable_gc():
            ref = await check()
            await asyncio.sleep(0)
            self.assertIsNone(ref())

    async def test_3_9_no_cycle_with_the_rest_of_a_group(self):
        async def check():
            error = MyError()
            ref = weakref.ref(error)
            try:
                with self.CancelScope() as scope:
                    scope.cancel()
                    raise BaseExceptionGroup(
                        'message', [asyncio.CancelledError(), error])
            except ExceptionGroup:
                pass
            del error
            return ref

        with support.disable_gc():
            ref = await check()
            await asyncio.sleep(0)
            self.assertIsNone(ref())

    async def test_3_9_message_is_released(self):
        message = MyError('any object will do')
        ref = weakref.ref(message)
        with support.disable_gc():
            with self.CancelScope() as scope:
                scope.cancel(message)
                await asyncio.sleep(0)
            del message, scope
            await asyncio.sleep(0)
            self.assertIsNone(ref())

    async def test_3_9_message_that_refers_to_the_scope(self):
        for entered in False, True:
            scope = self.CancelScope()
            scope.cancel([scope])
            if entered:
                with scope:
                    await asyncio.sleep(0)
            ref = weakref.ref(scope)
            del scope
            await asyncio.sleep(0)
            support.gc_collect()
            self.assertIsNone(ref())

    async def test_3_9_message_that_refers_to_the_task(self):
        async def child():
            with self.CancelScope() as scope:
                scope.cancel(asyncio.current_task())
                await asyncio.sleep(0)
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()

        task = self.spawn(child())
        await self.settle()
        task.cancel([task])
        await task
        await asyncio.sleep(0)
        ref = weakref.ref(task)
        del task
        support.gc_collect()
        self.assertIsNone(ref())

    async def test_3_9_scope_that_was_never_entered_is_freed(self):
        with support.disable_gc():
            scope = self.CancelScope(deadline=5000)
            scope.cancel('early')
            ref = weakref.ref(scope)
            del scope
            self.assertIsNone(ref())


    def test_3_9_loop_is_not_kept(self):
        async def main(loop):
            scope = self.CancelScope(deadline=loop.time() + 50)
            with scope:
                scope.deadline = loop.time() + 100
                await asyncio.sleep(0)
            self.CancelScope(deadline=loop.time() + 100).__enter__()
            return scope

        loop = scope_utils.VirtualTimeLoop()
        task = self.Task(main(loop), loop=loop)
        scope = loop.run_until_complete(task)
        loop.close()
        ref = weakref.ref(loop)
        del task, loop
        support.gc_collect()
        self.assertIsNone(ref())
        scope.cancel()


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
class ReentrancyTests:
    """cancel() of a future may be any code: the tree is sound all the while.
    """

    def make_future(self, callback):
        class Future(self.Future):
            def cancel(self, msg=None):
                callback()
                return super().cancel(msg)
        return Future(loop=self.loop)

    async def check(self, callback, *, scopes, error=None):
        """Run callback() amid the cancel of a scope with three members."""
        async def member(future):
            with self.CancelScope(deadline=self.loop.time() + 100) as scope:
                scopes.append(scope)
                await future

        futures = [self.loop.create_future(), self.make_future(callback),
                   self.loop.create_future()]
        with self.CancelScope() as outer:
            async with asyncio.TaskGroup() as group:
                for future in futures:
                    group.create_task(member(future))
                await self.settle()
                if error is None:
                    outer.cancel()
                else:           # the caller hears of it, as in stock
                    with self.assertRaises(MyError) as cm:
                        outer.cancel()
                    self.assertIs(cm.exception, error)
                self.assertIs(outer.cancel_called, True)
                self.assertEqual([f.cancelled() for f in futures][::2],
                                 [True, True])
                if not futures[1].done():
                    futures[1].set_result(None)
        self.assert_scope(outer, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_2_8_cancel_of_a_future_cancels_a_scope(self):
        scopes = []

        def cancel_all():
            for scope in scopes:
                scope.cancel()

        await self.check(cancel_all, scopes=scopes)

    async def test_2_8_cancel_of_a_future_moves_shields(self):
        scopes = []

        def toggle():
            for scope in scopes:
                scope.shield = not scope.shield
                scope.shield = not scope.shield
                scope.deadline = None

        await self.check(toggle, scopes=scopes)

    async def test_2_8_cancel_of_a_future_leaves_scopes_out_of_order(self):
        scopes = []
        errors = []

        def leave():
            try:
                scopes[0].__exit__(None, None, None)
            except RuntimeError as exc:
                errors.append(exc)

        with self.assertRaises(ExceptionGroup) as cm:
            await self.check(leave, scopes=scopes)
        # The first member cannot leave its scope again.
        self.assertEqual([type(e) for e in cm.exception.exceptions],
                         [RuntimeError])
        self.assertEqual(len(errors), 1)
        await self.assert_not_cancelled()

    async def test_2_8_cancel_of_a_future_collects_garbage(self):
        async def abandon():
            with self.CancelScope() as scope:
                scope.shield = True
                cycle = [scope]
                cycle.append(cycle)
                await asyncio.sleep(0)

        await self.spawn(abandon())
        await self.check(support.gc_collect, scopes=[])

    async def test_2_8_cancel_of_a_future_fails_at_a_deadline(self):
        # The loop hears of it; the others are interrupted all the same.
        def fail():
            raise error

        async def host(future):
            with self.CancelScope(deadline=deadline):
                await future
            return self.loop.time()

        error = MyError()
        deadline = self.loop.time() + 5
        futures = [self.loop.create_future(), self.make_future(fail),
                   self.loop.create_future()]
        hosts = [self.spawn(host(future)) for future in futures]
        await asyncio.wait([hosts[0], hosts[2]])
        self.assertEqual([hosts[0].result(), hosts[2].result()],
                         [deadline] * 2)
        self.assertEqual([problem['exception'] for problem in self.problems],
                         [error])
        self.problems.clear()
        futures[1].set_result(None)
        await hosts[1]
        await self.assert_not_cancelled()

    async def test_2_8_cancel_of_a_future_fails(self):
        def fail():
            raise error

        error = MyError()
        await self.check(fail, scopes=[], error=error)


class Model:
    """What a scope is, in as few words as possible."""

    def __init__(self, parent):
        self.parent = parent
        self.cancelled = False
        self.shield = False
        self.requests = 0       # by Task.cancel()

    @property
    def outside(self):
        return (not self.shield and self.parent is not None
                and self.parent.effective)

    @property
    def effective(self):
        return self.cancelled or self.requests > 0 or self.outside

    def find_shield(self):
        """The innermost scope from here with a shield, or the task's own."""
        node = self
        while not node.shield and node.parent is not None:
            node = node.parent
        return node


@matrix
class RandomTests:
    """Rules 1.2, 3.3, 3.6, 3.8 and 5.9: compare with a model."""

    async def run_host(self, rng):
        task = asyncio.current_task()
        own = Model(None)
        requests = []           # the models that they were made to
        stack = []              # pairs of a scope and its model

        def hand_up(model):
            target = model.parent.find_shield()
            target.requests += model.requests
            model.requests = 0
            for i, other in enumerate(requests):
                if other is model:
                    requests[i] = target

        for _ in range(60):
            action = rng.randrange(12)
            current = stack[-1][1] if stack else own
            if action < 4 and len(stack) < 12:
                scope, model = self.CancelScope(), Model(current)
                if rng.random() < 0.3:
                    scope.shield = model.shield = True
                if rng.random() < 0.1:
                    scope.cancel()
                    model.cancelled = True
                scope.__enter__()
                stack.append((scope, model))
            elif action < 6 and stack:
                scope, model = stack.pop()
                effective = model.effective
                caught = (model.cancelled and not model.outside
                          and not model.requests)
                hand_up(model)
                if effective and rng.random() < 0.8:
                    error = asyncio.CancelledError()
                    self.assertEqual(
                        bool(scope.__exit__(type(error), error, None)),
                        caught)
                    self.assertIs(scope.cancelled_caught, caught)
                else:
                    self.assertFalse(scope.__exit__(None, None, None))
                    self.assertIs(scope.cancelled_caught, False)
            elif action == 6 and len(stack) > 1 and rng.random() < 0.3:
                i = rng.randrange(len(stack) - 1)
                scope, model = stack.pop(i)
                hand_up(model)
                with self.assertRaises(RuntimeError):
                    scope.__exit__(None, None, None)
                stack[i][1].parent = model.parent
            elif action < 8 and stack:
                scope, model = rng.choice(stack)
                if rng.random() < 0.4:
                    scope.cancel()
                    model.cancelled = True
            elif action < 10 and stack:
                scope, model = rng.choice(stack)
                model.shield = not model.shield
                scope.shield = model.shield
            elif action == 10 and rng.random() < 0.5:
                task.cancel()
                requests.append(current.find_shield())
                requests[-1].requests += 1
            elif action == 11:
                task.uncancel()
                if requests:
                    # Those to a shielded scope first, the latest first.
                    shielded = [i for i, model in enumerate(requests)
                                if model is not own]
                    i = shielded[-1] if shielded else -1
                    requests.pop(i).requests -= 1

            current = stack[-1][1] if stack else own
            self.assertEqual(
                asyncio.current_effective_deadline() == -math.inf,
                current.effective)
            for _ in range(rng.randrange(3)):
                interrupted = False
                try:
                    if rng.random() < 0.5:
                        await asyncio.sleep(0)
                    else:
                        await asyncio.sleep(1)
                except asyncio.CancelledError:
                    interrupted = True
                self.assertEqual(interrupted, current.effective)
            self.assertGreaterEqual(task.cancelling(), len(requests))
        while stack:
            stack.pop()[0].__exit__(None, None, None)
        self.assertEqual(task.cancelling(), len(requests))
        for _ in requests:
            task.uncancel()
        await self.assert_not_cancelled()

    async def test_1_2_random_scopes_of_one_task(self):
        for seed in range(40):
            with self.subTest(seed=seed):
                await self.spawn(self.run_host(random.Random(seed)))

    async def test_1_2_random_scopes_of_many_tasks(self):
        for seed in range(15):
            with self.subTest(seed=seed):
                await self.check_many_tasks(random.Random(seed))

    async def check_many_tasks(self, rng):
        scopes = []             # pairs of a scope and its model
        waiters = []            # pairs of a future and the model around it
        release = self.loop.create_future()

        async def block(model):
            future = self.loop.create_future()
            waiters.append((future, model))
            with contextlib.suppress(asyncio.CancelledError):
                await future
            with self.CancelScope(shield=True):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.shield(release)

        async def host(parent, depth):
            model = Model(parent)
            with contextlib.ExitStack() as stack:
                for _ in range(rng.randrange(3)):
                    scope = stack.enter_context(self.CancelScope())
                    model = Model(model)
                    scopes.append((scope, model))
                if depth and rng.random() < 0.8:
                    group = Model(model)
                    async with asyncio.TaskGroup() as tg:
                        for _ in range(rng.randrange(4)):
                            tg.create_task(host(group, depth - 1))
                        await block(group)
                else:
                    await block(model)

        hosts = [self.spawn(host(None, 3)) for _ in range(3)]
        await self.settle()
        expected = set()
        for _ in range(30):
            scope, model = rng.choice(scopes)
            if rng.random() < 0.3:
                scope.cancel()
                model.cancelled = True
            else:
                model.shield = not model.shield
                scope.shield = model.shield
            expected |= {future for future, model in waiters
                         if model.effective}
            self.assertEqual({future for future, model in waiters
                              if future.cancelled()}, expected)
            if rng.random() < 0.3:
                await self.settle()
        release.set_result(None)
        for future, model in waiters:
            if not future.done():
                future.set_result(None)
        await asyncio.wait(hosts)
        self.assertEqual([task.cancelled() for task in hosts], [False] * 3)
        for task in hosts:
            self.assertIsNone(task.exception())


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
            # That the coroutine is closed outside of its task is nobody's
            # mistake.
            support.gc_collect()
            self.assertIsNone(cm.unraisable)
        self.assertIsNone(ref())
        self.assertEqual([problem['message'] for problem in self.problems],
                         ['Task was destroyed but it is pending!'])
        self.problems.clear()
        await asyncio.sleep(100)
        await self.assert_not_cancelled()


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

    async def test_5_1_group_in_a_shielded_scope_of_a_cancelled_task(self):
        # Neither does the child's failure pierce the shield outwards, nor
        # does the request from outside get in.
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
        # repr() and the messages of errors are part of the behaviour.
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
        saved = tasks.current_task
        asyncio.current_task = tasks.current_task = tasks._py_current_task
        try:
            py = run(tasks._PyTask, cancelscopes._PyCancelScope)
            both = run(tasks._PyTask, cancelscopes._CCancelScope)
        finally:
            asyncio.current_task = tasks.current_task = saved
        self.maxDiff = None
        self.assertEqual(c, py)
        self.assertEqual(both, py)
        self.assertEqual(len(c), 19)

    @unittest.skipUnless(hasattr(cancelscopes, '_CCancelScope'),
                         'requires the C _asyncio module')
    def test_python_scope_in_a_c_task(self):
        async def main():
            scope = cancelscopes._PyCancelScope()
            with self.assertRaises(RuntimeError):
                scope.__enter__()
            with asyncio.CancelScope() as scope:
                scope.cancel()
                await asyncio.sleep(0)
            self.assertIs(scope.cancelled_caught, True)

        loop = scope_utils.VirtualTimeLoop()
        self.addCleanup(loop.close)
        loop.run_until_complete(tasks._CTask(main(), loop=loop))


if __name__ == '__main__':
    unittest.main()
