"""Tests for Task.cancel(), uncancel() and cancelling().

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import contextvars
import unittest
import weakref

from test.test_asyncio.scope_utils import (
    bare_yield, make_refusing_future, matrix)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class TaskCancelTests:
    """Rules 5.1 and 5.2."""

    async def test_5_1_cancel_returns_false_on_a_finished_task(self):
        async def child():
            return 'result'

        task = self.spawn(child())
        await task
        self.assertIs(task.cancel(), False)
        self.assertEqual(task.cancelling(), 0)
        self.assertEqual(task.result(), 'result')

    async def test_5_1_cancel_counts(self):
        async def child():
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()
            counts.append(asyncio.current_task().cancelling())

        counts = []
        task = self.spawn(child())
        await self.settle()
        self.assertEqual(task.cancelling(), 0)
        for i in 1, 2, 3:
            self.assertIs(task.cancel(), True)
            self.assertEqual(task.cancelling(), i)
        await task
        self.assertEqual(counts, [3])

    async def test_5_1_cancel_msg_by_keyword(self):
        task = self.spawn(self.forever())
        await self.settle()
        task.cancel(msg='why')
        with self.assertRaises(asyncio.CancelledError) as cm:
            await task
        self.assertEqual(cm.exception.args, ('why',))

    async def test_5_1_cancel_does_not_pierce_a_shield(self):
        waiter = self.loop.create_future()
        trace = []

        async def child():
            with self.CancelScope(shield=True) as scope:
                trace.append(await waiter)
                await asyncio.sleep(0)
                await asyncio.sleep(1)
                trace.append('shielded')
            self.assert_scope(scope, called=False, caught=False)
            trace.append('no yield point')
            await self.assert_level('why')
            await self.forever()

        task = self.spawn(child())
        await self.settle()
        self.assertIs(task.cancel('why'), True)
        self.assertEqual(task.cancelling(), 1)
        await self.settle()
        self.assertIs(waiter.done(), False)
        waiter.set_result('result')
        with self.assertRaises(asyncio.CancelledError) as cm:
            await task
        self.assertEqual(cm.exception.args, ('why',))
        self.assertEqual(trace, ['result', 'shielded', 'no yield point'])
        self.assertIs(task.cancelled(), True)

    async def test_5_1_shield_holds_back_what_5_2_would_raise(self):
        # The future is done already, and so is the bare yield.
        waiter = self.loop.create_future()

        async def child():
            outside = contextvars.copy_context()
            with self.CancelScope(shield=True):
                self.assertEqual(await waiter, 'result')
                self.loop.call_soon(asyncio.current_task().cancel,
                                    context=outside)
                await asyncio.sleep(0)
                await asyncio.sleep(1)
            await self.assert_level()
            return 'done'

        task = self.spawn(child())
        await self.settle()
        waiter.set_result('result')
        task.cancel()
        self.assertEqual(await task, 'done')

    async def test_5_1_hidden_request_is_not_used_up(self):
        # What is delivered in the shielded scope is that scope's own
        # cancellation; the request stays undelivered (5.2).
        async def child(point):
            asyncio.current_task().cancel('task')
            with self.CancelScope(shield=True) as scope:
                scope.cancel('scope')
                await self.assert_cancelled(point(), 'scope')
            return 'result'

        for point in bare_yield, self.forever, self.loop.create_future:
            task = self.spawn(child(point))
            with self.assertRaises(asyncio.CancelledError) as cm:
                await task
            self.assertEqual(cm.exception.args, ('task',))
            self.assertIs(task.cancelled(), True)

    async def test_5_1_hidden_request_does_not_cost_a_result(self):
        waiter = self.loop.create_future()

        async def child():
            with self.CancelScope(shield=True) as scope:
                scopes.append(scope)
                self.assertEqual(await waiter, 'result')
                await self.assert_level('scope')
            await self.assert_level('task')
            return 'done'

        scopes = []
        task = self.spawn(child())
        await self.settle()
        waiter.set_result('result')
        task.cancel('task')
        scopes[0].cancel('scope')
        self.assertEqual(await task, 'done')

    async def test_5_1_shield_set_after_the_request(self):
        async def child():
            task = asyncio.current_task()
            task.cancel('why')
            with self.CancelScope(shield=True):
                await asyncio.sleep(0)
                await asyncio.sleep(1)
            await self.assert_level('why')
            return 'done'

        self.assertEqual(await self.spawn(child()), 'done')

    async def test_5_1_unshield_delivers_task_cancel_at_once(self):
        waiter = self.loop.create_future()

        async def child():
            with self.CancelScope(shield=True) as scope:
                scopes.append(scope)
                await self.assert_cancelled(waiter, 'why')
            return 'done'

        scopes = []
        task = self.spawn(child())
        await self.settle()
        task.cancel('why')
        self.assertIs(waiter.done(), False)
        scopes[0].shield = False
        self.assertIs(waiter.cancelled(), True)
        self.assertEqual(await task, 'done')

    async def test_5_1_cancel_is_level(self):
        async def child():
            await self.assert_cancelled(self.forever(), 'why')
            await self.assert_level('why')
            with self.CancelScope():
                await self.assert_level('why')
            return 'done'

        task = self.spawn(child())
        await self.settle()
        task.cancel('why')
        self.assertEqual(await task, 'done')
        self.assertIs(task.cancelled(), False)

    async def test_5_1_waiter_is_cancelled_inside_cancel(self):
        waiter = self.loop.create_future()

        async def child():
            await waiter

        task = self.spawn(child())
        await self.settle()
        task.cancel()
        self.assertIs(waiter.cancelled(), True)
        with self.assertRaises(asyncio.CancelledError):
            await task

    async def test_5_1_cancelled_error_is_the_one_that_was_raised(self):
        async def child():
            nonlocal ref
            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                ref = weakref.ref(exc)
                raise

        ref = None
        task = self.spawn(child())
        await self.settle()
        task.cancel('why')
        with self.assertRaises(asyncio.CancelledError) as cm:
            await task
        self.assertIs(cm.exception, ref())
        self.assertEqual(cm.exception.args, ('why',))

    async def test_5_2_done_future_is_interrupted_all_the_same(self):
        """Trap 41: for Task.cancel(), not for scopes."""
        waiter = self.loop.create_future()

        async def child():
            await self.assert_cancelled(waiter, 'why')
            await self.assert_level('why')
            return 'done'

        task = self.spawn(child())
        await self.settle()
        waiter.set_result('result')
        task.cancel('why')
        self.assertEqual(await task, 'done')

    async def test_5_2_failed_future_is_interrupted_all_the_same(self):
        waiter = self.loop.create_future()

        async def child():
            await self.assert_cancelled(waiter, 'why')
            return 'done'

        task = self.spawn(child())
        await self.settle()
        waiter.set_exception(ValueError())
        task.cancel('why')
        self.assertEqual(await task, 'done')

    async def test_5_2_done_future_then_uncancelled(self):
        """Trap 19: nothing is delivered."""
        waiter = self.loop.create_future()

        async def child():
            result = await waiter
            await self.assert_not_cancelled()
            return result

        task = self.spawn(child())
        await self.settle()
        waiter.set_result('result')
        task.cancel('why')
        self.assertEqual(task.uncancel(), 0)
        self.assertEqual(await task, 'result')

    async def test_5_2_return_with_a_request_undelivered(self):
        async def child():
            asyncio.current_task().cancel('late')
            return 'result'

        async def child_that_waited():
            await asyncio.sleep(0)
            asyncio.current_task().cancel('late')
            return 'result'

        async def child_with_scope():
            with self.CancelScope() as scope:
                scope.cancel('scope')
                asyncio.current_task().cancel('late')
            return 'result'

        for func in child, child_that_waited, child_with_scope:
            with self.subTest(func.__name__):
                task = self.spawn(func())
                with self.assertRaises(asyncio.CancelledError) as cm:
                    await task
                self.assertEqual(cm.exception.args, ('late',))
                self.assertIs(task.cancelled(), True)
                self.assertIs(task._must_cancel, False)

    async def test_5_2_never_yields_and_cancelled_before_the_start(self):
        trace = []

        async def child():
            trace.append('ran')
            return 'result'

        task = self.Task(child(), loop=self.loop)
        task.cancel('early')
        with self.assertRaises(asyncio.CancelledError) as cm:
            await task
        self.assertEqual(trace, ['ran'])
        self.assertEqual(cm.exception.args, ('early',))
        self.assertIs(task.cancelled(), True)

    async def test_5_2_return_out_of_a_shield_with_a_request_undelivered(self):
        async def child():
            with self.CancelScope(shield=True):
                await asyncio.sleep(1)
                return 'result'

        task = self.spawn(child())
        await self.settle()
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertIs(task.cancelled(), True)

    async def test_5_2_return_after_the_request_was_delivered(self):
        async def child():
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()
            return 'result'

        task = self.spawn(child())
        await self.settle()
        task.cancel()
        self.assertEqual(await task, 'result')
        self.assertIs(task.cancelled(), False)
        self.assertEqual(task.cancelling(), 1)

    async def test_5_2_return_after_the_request_was_taken_back(self):
        async def child():
            task = asyncio.current_task()
            task.cancel()
            task.uncancel()
            return 'result'

        self.assertEqual(await self.spawn(child()), 'result')

    async def test_5_2_error_with_a_request_undelivered(self):
        error = ValueError()

        async def child():
            asyncio.current_task().cancel()
            raise error

        task = self.spawn(child())
        with self.assertRaises(ValueError) as cm:
            await task
        self.assertIs(cm.exception, error)
        self.assertIs(task.cancelled(), False)

    async def test_5_2_scope_keeps_the_result_where_task_cancel_does_not(self):
        # The same race, told apart by who asked.
        async def child():
            with self.CancelScope() as scope:
                scopes.append(scope)
                return await waiter
            return 'swallowed'

        scopes = []
        for by_scope in True, False:
            waiter = self.loop.create_future()
            task = self.spawn(child())
            await self.settle()
            waiter.set_result('result')
            if by_scope:
                scopes[-1].cancel()
                self.assertEqual(await task, 'result')
            else:
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                self.assertIs(task.cancelled(), True)


@matrix
class CountTests:
    """Rule 5.3; traps 19, 20 and 21."""

    async def test_5_3_scope_counts_once_it_has_been_delivered(self):
        task = asyncio.current_task()
        with self.CancelScope() as scope:
            scope.cancel()
            self.assertEqual(task.cancelling(), 0)
            await self.assert_cancelled(asyncio.sleep(0))
            self.assertEqual(task.cancelling(), 1)
            await self.assert_level()
            self.assertEqual(task.cancelling(), 1)
        self.assertEqual(task.cancelling(), 0)
        await self.assert_not_cancelled()

    async def test_5_3_scope_that_caught_leaves_nothing(self):
        task = asyncio.current_task()
        with self.CancelScope() as scope:
            scope.cancel()
            await self.forever()
        self.assertEqual(task.cancelling(), 0)
        await self.assert_not_cancelled()

    async def test_5_3_scope_left_by_an_error_leaves_nothing(self):
        with self.assertRaises(ValueError):
            with self.CancelScope() as scope:
                scope.cancel()
                try:
                    await self.forever()
                finally:
                    raise ValueError
        await self.assert_not_cancelled()

    async def test_5_3_scope_not_delivered_does_not_count(self):
        with self.CancelScope() as scope:
            scope.cancel()
            with self.CancelScope(shield=True):
                await self.assert_not_cancelled()
        await self.assert_not_cancelled()

    async def test_5_3_inner_scopes_inherit_but_do_not_count(self):
        task = asyncio.current_task()
        with self.CancelScope() as outer:
            with self.CancelScope():
                with self.CancelScope():
                    outer.cancel()
                    await self.assert_level()
                    self.assertEqual(task.cancelling(), 1)
                self.assertEqual(task.cancelling(), 1)
            self.assertEqual(task.cancelling(), 1)
            with self.CancelScope():
                await self.assert_level()
                self.assertEqual(task.cancelling(), 1)
        self.assertEqual(task.cancelling(), 0)

    async def test_5_3_shielded_scopes_add_up(self):
        task = asyncio.current_task()
        with self.CancelScope() as outer:
            outer.cancel()
            await self.assert_level()
            self.assertEqual(task.cancelling(), 1)
            with self.CancelScope(shield=True) as inner:
                await asyncio.sleep(0)
                self.assertEqual(task.cancelling(), 1)
                inner.cancel()
                await self.assert_level()
                self.assertEqual(task.cancelling(), 2)
            self.assertEqual(task.cancelling(), 1)
        self.assertEqual(task.cancelling(), 0)

    async def test_5_3_nested_cancelled_scopes(self):
        task = asyncio.current_task()
        with self.CancelScope() as outer:
            with self.CancelScope() as inner:
                inner.cancel()
                await self.assert_level()
                outer.cancel()
                await self.assert_level()
                self.assertGreaterEqual(task.cancelling(), 1)
            self.assertGreaterEqual(task.cancelling(), 1)
            await self.assert_level()
            self.assertEqual(task.cancelling(), 1)
        self.assertEqual(task.cancelling(), 0)
        await self.assert_not_cancelled()

    async def test_5_3_member_of_a_cancelled_group(self):
        async def child():
            self.assertEqual(asyncio.current_task().cancelling(), 0)
            await self.assert_cancelled(self.forever())
            counts.append(asyncio.current_task().cancelling())
            await self.assert_level()
            counts.append(asyncio.current_task().cancelling())

        counts = []
        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                await self.settle()
                scope.cancel()
        self.assertEqual(counts, [1, 1])
        await self.assert_not_cancelled()

    async def test_5_3_shielded_member_of_a_cancelled_group(self):
        async def child():
            with self.CancelScope(shield=True):
                await gate
            counts.append(asyncio.current_task().cancelling())
            await self.assert_cancelled(self.forever())
            counts.append(asyncio.current_task().cancelling())
            self.assertEqual(asyncio.current_task().uncancel(), 0)

        counts = []
        gate = self.loop.create_future()
        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                await self.settle()
                scope.cancel()
                gate.set_result(None)
        self.assertEqual(counts, [0, 1])

    async def test_5_3_timeout_leaves_nothing(self):
        """Trap 21."""
        task = asyncio.current_task()
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1):
                await self.assert_cancelled(self.forever())
                self.assertEqual(task.cancelling(), 1)
                await asyncio.sleep(0)
        await self.assert_not_cancelled()

    async def test_5_3_group_leaves_nothing(self):
        """Trap 21."""
        async def fail():
            raise ValueError

        task = asyncio.current_task()
        with self.assertRaises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await self.assert_cancelled(self.forever())
                self.assertEqual(task.cancelling(), 1)
        await self.assert_not_cancelled()

    async def test_5_3_existing_code_can_tell_a_real_cancellation(self):
        async def existing_code(awaitable):
            try:
                await awaitable
            except asyncio.CancelledError:
                if asyncio.current_task().cancelling():
                    raise
                return 'stray'

        stray = self.loop.create_future()
        self.loop.call_soon(stray.cancel)
        self.assertEqual(await existing_code(stray), 'stray')
        with self.CancelScope() as scope:
            self.loop.call_soon(scope.cancel)
            await existing_code(self.forever())
            self.fail('the cancellation was swallowed')
        self.assert_scope(scope, called=True, caught=True)

    async def test_5_3_uncancel_takes_off_explicit_requests_first(self):
        async def child():
            task = asyncio.current_task()
            with self.CancelScope() as scope:
                scope.cancel('scope')
                await self.assert_cancelled(self.forever(), 'scope')
                task.cancel('task')
                task.cancel('task')
                counts = [task.cancelling()]
                counts += [task.uncancel() for _ in range(4)]
                self.assertEqual(counts, [3, 2, 1, 0, 0])
                # What the scope asked is in force all the same.
                await self.assert_level('scope')
                await asyncio.sleep(0)
            self.assert_scope(scope, called=True, caught=True)
            await self.assert_not_cancelled()
            return 'done'

        task = self.spawn(child())
        self.assertEqual(await task, 'done')
        self.assertIs(task.cancelled(), False)

    async def test_5_3_explicit_request_goes_first_and_scope_remains(self):
        async def child():
            task = asyncio.current_task()
            with self.CancelScope() as scope:
                task.cancel('task')
                await self.assert_level('task')
                scope.cancel('scope')
                self.assertEqual(task.cancelling(), 1)
                self.assertEqual(task.uncancel(), 0)
                await self.assert_level('scope')
                self.assertEqual(task.cancelling(), 1)
                await asyncio.sleep(0)
            self.assert_scope(scope, called=True, caught=True)
            await self.assert_not_cancelled()
            return 'done'

        self.assertEqual(await self.spawn(child()), 'done')

    async def test_5_3_loop_of_uncancel_ends(self):
        """Trap 21."""
        async def child():
            task = asyncio.current_task()
            for requests in 0, 1, 3:
                with self.CancelScope() as outer:
                    outer.cancel()
                    await self.assert_level()
                    with self.CancelScope(shield=True) as inner:
                        inner.cancel()
                        await self.assert_level()
                        for _ in range(requests):
                            task.cancel()
                        turns = 0
                        while task.cancelling():
                            task.uncancel()
                            turns += 1
                            self.assertLess(turns, 20)
                        self.assertEqual(turns, requests + 2)
                        await self.assert_level()
                await self.assert_not_cancelled()
            return 'done'

        self.assertEqual(await self.spawn(child()), 'done')

    async def test_5_3_uncancel_does_not_lift_a_scopes_cancellation(self):
        with self.CancelScope() as scope:
            scope.cancel()
            await self.assert_cancelled(self.forever())
            self.assertEqual(asyncio.current_task().uncancel(), 0)
            self.assertIs(scope.cancel_called, True)
            self.assertEqual(asyncio.current_effective_deadline(),
                             float('-inf'))
            await self.assert_level()
            await asyncio.sleep(0)
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_5_3_uncancel_without_a_request(self):
        task = asyncio.current_task()
        self.assertEqual(task.uncancel(), 0)
        self.assertEqual(task.cancelling(), 0)
        task.cancel()
        self.assertEqual(task.cancelling(), 1)
        self.assertEqual(task.uncancel(), 0)
        await self.assert_not_cancelled()

    async def test_5_3_uncancel_to_zero_lifts_the_level(self):
        """Trap 19."""
        async def child():
            task = asyncio.current_task()
            await self.assert_cancelled(self.forever(), 'why')
            await self.assert_level('why')
            self.assertEqual(task.uncancel(), 0)
            await self.assert_not_cancelled()
            # And it can be cancelled again.
            task.cancel('again')
            await self.assert_level('again')
            self.assertEqual(task.uncancel(), 0)
            await self.assert_not_cancelled()
            return 'done'

        task = self.spawn(child())
        await self.settle()
        task.cancel('why')
        self.assertEqual(await task, 'done')
        self.assertIs(task.cancelled(), False)

    async def test_5_3_uncancel_from_outside_lifts_the_level(self):
        async def child():
            await self.assert_cancelled(self.forever())
            with self.CancelScope(shield=True):
                await gate
            await self.assert_not_cancelled()
            return 'done'

        gate = self.loop.create_future()
        task = self.spawn(child())
        await self.settle()
        task.cancel()
        await self.settle()
        self.assertEqual(task.uncancel(), 0)
        gate.set_result(None)
        self.assertEqual(await task, 'done')

    async def test_5_3_cancel_twice_and_uncancel_once(self):
        """Trap 20."""
        async def child():
            task = asyncio.current_task()
            await self.assert_cancelled(self.forever())
            self.assertEqual(task.uncancel(), 1)
            await self.assert_level()
            self.assertEqual(task.uncancel(), 0)
            await self.assert_not_cancelled()
            return 'done'

        task = self.spawn(child())
        await self.settle()
        task.cancel()
        task.cancel()
        self.assertEqual(await task, 'done')

    async def test_5_3_cancel_twice_and_uncancel_once_before_delivery(self):
        """Trap 20."""
        async def child():
            task = asyncio.current_task()
            task.cancel('why')
            task.cancel('why')
            self.assertEqual(task.uncancel(), 1)
            await self.assert_level('why')
            await self.forever()

        task = self.spawn(child())
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertEqual(task.cancelling(), 1)

    async def test_5_3_uncancel_during_a_bare_yield(self):
        """Trap 19: between two yields."""
        def cancel_and_uncancel():
            task.cancel()
            task.uncancel()

        task = asyncio.current_task()
        self.loop.call_soon(cancel_and_uncancel)
        await asyncio.sleep(0)
        await self.assert_not_cancelled()

    async def test_5_3_uncancel_cannot_revive_a_cancelled_future(self):
        waiter = self.loop.create_future()

        async def child():
            await self.assert_cancelled(waiter, 'why')
            await self.assert_not_cancelled()
            return 'done'

        task = self.spawn(child())
        await self.settle()
        task.cancel('why')
        self.assertEqual(task.uncancel(), 0)
        self.assertEqual(await task, 'done')

    async def test_5_3_uncancel_reaches_into_inner_scopes(self):
        async def child():
            task = asyncio.current_task()
            with self.CancelScope() as outer:
                with self.CancelScope() as inner:
                    task.cancel()
                    await self.assert_level()
                    task.uncancel()
                    await self.assert_not_cancelled()
                    inner.cancel('inner')
                    await asyncio.sleep(0)
                self.assert_scope(inner, called=True, caught=True)
            self.assert_scope(outer, called=False, caught=False)
            return 'done'

        self.assertEqual(await self.spawn(child()), 'done')

    async def test_5_3_uncancel_of_a_member_of_a_cancelled_group(self):
        async def child():
            task = asyncio.current_task()
            await self.assert_cancelled(self.forever(), 'group')
            task.cancel('task')
            self.assertEqual(task.cancelling(), 2)
            while task.cancelling():
                task.uncancel()
            await self.assert_level('group')
            return 'done'

        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(child())
                await self.settle()
                scope.cancel('group')
        self.assertEqual(task.result(), 'done')

    async def test_5_3_cancel_after_uncancel_in_a_finished_scope(self):
        # Contributions of a scope do not go into the account of a later one.
        task = asyncio.current_task()
        for _ in range(3):
            with self.CancelScope() as scope:
                scope.cancel()
                await self.assert_level()
                self.assertEqual(task.uncancel(), 0)
            self.assertEqual(task.cancelling(), 0)
            self.assertEqual(task.uncancel(), 0)
        await self.assert_not_cancelled()

    async def test_5_3_own_request_is_not_counted_for_the_outside(self):
        async def member():
            task = asyncio.current_task()
            await self.assert_cancelled(self.forever())
            task.uncancel()
            counts.append(task.cancelling())
            group._scope.cancel()
            counts.append(task.cancelling())
            await self.assert_cancelled(asyncio.sleep(0))
            counts.append(task.cancelling())

        counts = []
        async with asyncio.TaskGroup() as group:
            task = group.create_task(member())
            await self.settle()
            task.cancel()
        # Requested, but not delivered yet; then delivered.
        self.assertEqual(counts, [0, 0, 1])


@matrix
class AttributeTests:
    """Rule 5.5."""

    async def test_5_5_before_the_start(self):
        task = self.Task(self.forever(), loop=self.loop)
        self.assertIs(task._must_cancel, False)
        self.assertIsNone(task._fut_waiter)
        task.cancel()
        self.assertIs(task._must_cancel, True)
        task.uncancel()
        self.assertIs(task._must_cancel, False)
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task

    async def test_5_5_blocked_on_a_future(self):
        waiter = self.loop.create_future()

        async def child():
            await waiter

        task = self.spawn(child())
        await self.settle()
        self.assertIs(task._fut_waiter, waiter)
        self.assertIs(task._must_cancel, False)
        task.cancel()
        # The future has taken the request.
        self.assertIs(task._must_cancel, False)
        self.assertIs(task._fut_waiter, waiter)
        with self.assertRaises(asyncio.CancelledError):
            await task

    async def test_5_5_blocked_on_a_future_that_is_done(self):
        waiter = self.loop.create_future()

        async def child():
            await waiter

        task = self.spawn(child())
        await self.settle()
        waiter.set_result(None)
        self.assertIs(task._fut_waiter, waiter)
        task.cancel()
        self.assertIs(task._must_cancel, True)
        with self.assertRaises(asyncio.CancelledError):
            await task

    async def test_5_5_in_a_bare_yield(self):
        async def child():
            await self.assert_cancelled(asyncio.sleep(0))
            self.assertIs(asyncio.current_task()._must_cancel, False)
            return 'done'

        task = self.spawn(child())
        if not self.eager:
            await asyncio.sleep(0)
        self.assertIsNone(task._fut_waiter)
        task.cancel()
        self.assertIs(task._must_cancel, True)
        self.assertEqual(await task, 'done')

    async def test_5_5_while_it_runs(self):
        async def child():
            task = asyncio.current_task()
            self.assertIsNone(task._fut_waiter)
            self.assertIs(task._must_cancel, False)
            task.cancel()
            self.assertIs(task._must_cancel, True)
            await self.assert_cancelled(self.forever())
            self.assertIs(task._must_cancel, False)
            self.assertIsNone(task._fut_waiter)
            await self.assert_level()
            self.assertIs(task._must_cancel, False)
            return 'done'

        self.assertEqual(await self.spawn(child()), 'done')

    async def test_5_5_finished(self):
        async def child():
            await asyncio.sleep(0)

        task = self.spawn(child())
        await task
        self.assertIsNone(task._fut_waiter)
        self.assertIs(task._must_cancel, False)

    async def test_5_5_waiter_in_a_cancelled_scope(self):
        future = make_refusing_future(self)

        async def child():
            with self.CancelScope() as scope:
                scope.cancel()
                await future

        task = self.spawn(child())
        await self.settle()
        self.assertIs(task._fut_waiter, future)
        future.set_result(None)
        await task


@matrix
class TaskTypeTests:
    """Rule 5.7."""

    async def test_5_7_subclass(self):
        class MyTask(self.Task):
            def __init__(self, *args, **kwargs):
                self.requests = []
                super().__init__(*args, **kwargs)

            def cancel(self, msg=None):
                self.requests.append(msg)
                return super().cancel(msg=msg)

        async def child():
            with self.CancelScope() as scope:
                scope.cancel('scope')
                await self.assert_level('scope')
                await asyncio.sleep(0)
            self.assert_scope(scope, called=True, caught=True)
            await self.assert_cancelled(self.forever(), 'why')
            self.assertEqual(asyncio.current_task().cancelling(), 1)
            await self.assert_level('why')
            asyncio.current_task().uncancel()
            await self.assert_not_cancelled()
            return 'done'

        task = MyTask(child(), loop=self.loop)
        await self.settle()
        self.assertEqual(task.requests, [])
        with self.CancelScope() as scope:
            scope.cancel('why')
            self.assertEqual(await task, 'done')
        self.assertEqual(task.requests, ['why'])

    async def test_5_7_subclass_in_a_group(self):
        class MyTask(self.Task):
            pass

        async def child():
            await self.assert_cancelled(self.forever(), 'why')
            await self.assert_level('why')

        def factory(loop, coro, **kwargs):
            return MyTask(coro, loop=loop, **kwargs)

        saved = self.loop.get_task_factory()
        self.loop.set_task_factory(factory)
        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(child())
                self.assertIsInstance(task, MyTask)
                await self.settle()
                scope.cancel('why')
        self.loop.set_task_factory(saved)
        self.assertIs(task.cancelled(), False)
        self.assertIsNone(task.exception())

    async def test_5_7_subclass_with_its_own_arguments(self):
        class MyTask(self.Task):
            __slots__ = ('extra',)

        task = MyTask(self.forever(), loop=self.loop, name='mine')
        task.extra = 'extra'
        await self.settle()
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertEqual((task.extra, task.get_name()), ('extra', 'mine'))

    async def test_5_7_scope_in_an_external_task(self):
        async def child():
            scope = self.CancelScope()
            with self.assertRaisesRegex(RuntimeError, '(?i)task'):
                scope.__enter__()
            return scope

        with self.external_tasks():
            task = self.loop.create_task(child())
        scope = await task
        with scope:             # nothing has happened to it
            scope.cancel()
            await asyncio.sleep(0)
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_5_7_external_member_of_a_cancelled_group(self):
        async def child():
            await self.forever()

        with self.external_tasks() as created:
            with self.CancelScope() as scope:
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(child())
                    await self.settle()
                    scope.cancel()
                self.fail('not cancelled')
        self.assertEqual(created, [task])
        self.assertGreaterEqual(len(task.requests), 1)
        self.assertIs(task.cancelled(), True)
        self.assert_scope(scope, called=True, caught=True)

    async def test_5_7_external_member_of_a_group_that_fails(self):
        async def child():
            await self.forever()

        with self.external_tasks():
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(child())
                    await self.settle()
                    raise ValueError
        self.assertGreaterEqual(len(task.requests), 1)
        self.assertIs(task.cancelled(), True)
        await self.assert_not_cancelled()

    async def test_5_7_external_member_that_fails(self):
        error = ValueError()

        async def child():
            await asyncio.sleep(1)
            raise error

        with self.external_tasks():
            with self.assertRaises(ExceptionGroup) as cm:
                async with asyncio.TaskGroup() as group:
                    group.create_task(child())
                    await self.assert_cancelled(self.forever())
                    await self.assert_level()
        self.assertEqual(cm.exception.exceptions, (error,))
        await self.assert_not_cancelled()

    async def test_5_7_external_task_awaited_in_a_cancelled_scope(self):
        with self.external_tasks():
            task = self.loop.create_task(self.forever())
        await self.settle()
        with self.CancelScope() as scope:
            scope.cancel('why')
            with self.assertRaises(asyncio.CancelledError):
                await task
        self.assertEqual(task.requests, ['why'])
        self.assertIs(task.cancelled(), True)


class UnbasedTimer:
    """Times out a block by cancel(), and takes that back by uncancel().

    It does not look at the count of requests at all (async_timeout 4.0.3).
    """

    def __init__(self, delay):
        self._delay = delay
        self.expired = False

    async def __aenter__(self):
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        self._handle = loop.call_later(self._delay, self.expire)
        return self

    def expire(self):
        self.expired = True
        self._task.cancel()

    async def __aexit__(self, et, exc, tb):
        self._handle.cancel()
        if et is asyncio.CancelledError and self.expired:
            self._task.uncancel()
            raise TimeoutError from exc


class BasedTimer(UnbasedTimer):
    """The same, but it compares the count with that at its entry.

    (aiohttp's TimerContext, asyncio.timeout() of Python 3.11 to 3.14)
    """

    async def __aenter__(self):
        self._base = asyncio.current_task().cancelling()
        return await super().__aenter__()

    async def __aexit__(self, et, exc, tb):
        self._handle.cancel()
        if et is asyncio.CancelledError and self.expired:
            if self._task.uncancel() > self._base:
                return          # there was another request as well
            raise TimeoutError from exc


class LegacyTimerTests:
    """Rules 5.2 to 5.4; traps 37 and 41: pairs of cancel() and uncancel()."""

    async def test_5_3_timer_expires(self):
        start = self.loop.time()
        for _ in range(3):
            with self.assertRaises(TimeoutError):
                async with self.Timer(1):
                    await self.forever()
            await self.assert_clean()
        self.assertEqual(self.loop.time(), start + 6)

    async def assert_clean(self):
        await self.assert_not_cancelled()

    async def test_5_3_timer_does_not_expire(self):
        async with self.Timer(2):
            await asyncio.sleep(1)
        await self.assert_clean()

    async def test_5_3_cleanup_under_a_timer(self):
        trace = []
        with self.assertRaises(TimeoutError):
            async with self.Timer(1):
                try:
                    await self.forever()
                finally:
                    with self.CancelScope(shield=True):
                        await asyncio.sleep(1)
                        trace.append('shielded')
                    await asyncio.sleep(0)
                    trace.append('not reached')
        self.assertEqual(trace, ['shielded'])
        await self.assert_clean()

    async def test_5_2_timer_and_result_in_one_tick(self):
        """Trap 41: the body is interrupted, no count leaks."""
        for order in 'result first', 'timer first':
            with self.subTest(order):
                def both():
                    if order == 'timer first':
                        timer.expire()
                    if not waiter.done():
                        waiter.set_result('result')
                    if order == 'result first':
                        timer.expire()

                waiter = self.loop.create_future()
                timer = self.Timer(100)
                self.loop.call_soon(both)
                reached = False
                with self.assertRaises(TimeoutError):
                    async with timer:
                        await waiter
                        reached = True
                self.assertIs(reached, False)
                await self.assert_clean()

    async def test_5_2_timer_and_timer_of_the_body_in_one_tick(self):
        """Trap 41: through the clock of the loop."""
        reached = False
        with self.assertRaises(TimeoutError):
            async with self.Timer(1):
                await asyncio.sleep(1)
                reached = True
        self.assertIs(reached, False)
        await self.assert_clean()

    async def test_5_3_timer_in_a_cancelled_task(self):
        async def child():
            async with self.Timer(5):
                await self.forever()

        task = self.spawn(child())
        await self.settle()
        task.cancel('why')
        with self.assertRaises(asyncio.CancelledError) as cm:
            await task
        self.assertEqual(cm.exception.args, ('why',))
        self.assertEqual(task.cancelling(), 1)

    async def test_5_3_timer_inside_a_scope_that_is_cancelled(self):
        with self.CancelScope() as scope:
            self.loop.call_later(1, scope.cancel)
            async with self.Timer(5):
                await self.forever()
        self.assert_scope(scope, called=True, caught=True)
        await asyncio.sleep(10)
        await self.assert_clean()

    async def test_5_3_scope_inside_a_timer(self):
        with self.assertRaises(TimeoutError):
            async with self.Timer(5):
                with self.CancelScope(deadline=self.loop.time() + 1) as scope:
                    await self.forever()
                self.assert_scope(scope, called=True, caught=True)
                await self.assert_clean()
                with self.CancelScope() as scope:
                    await self.forever()
                self.fail('the scope swallowed')
        self.assert_scope(scope, called=False, caught=False)
        await self.assert_clean()

    async def test_5_3_native_timeout_inside_a_timer(self):
        with self.assertRaises(TimeoutError):
            async with self.Timer(5):
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(1):
                        await self.forever()
                await self.assert_clean()
                async with asyncio.timeout(100):
                    await self.forever()
        await self.assert_clean()

    async def test_5_3_timer_inside_a_native_timeout(self):
        start = self.loop.time()
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(5) as timeout:
                with self.assertRaises(TimeoutError):
                    async with self.Timer(1):
                        await self.forever()
                await self.assert_clean()
                async with self.Timer(100):
                    await self.forever()
        self.assertEqual(self.loop.time(), start + 5)
        self.assertIs(timeout.expired(), True)
        await self.assert_clean()

    async def test_5_3_nested_timers(self):
        with self.assertRaises(TimeoutError):
            async with self.Timer(5) as outer:
                with self.assertRaises(TimeoutError):
                    async with self.Timer(1) as inner:
                        await self.forever()
                await self.assert_clean()
                self.assertIs(inner.expired, True)
                async with self.Timer(100) as inner:
                    await self.forever()
        self.assertIs(outer.expired, True)
        self.assertIs(inner.expired, False)
        await self.assert_clean()

    async def test_5_1_timer_waits_for_a_shielded_block(self):
        reached = False
        start = self.loop.time()
        with self.assertRaises(TimeoutError):
            async with self.Timer(1):
                with self.CancelScope(shield=True):
                    await asyncio.sleep(5)
                    reached = True
                await asyncio.sleep(0)
                self.fail('not cancelled')
        self.assertIs(reached, True)
        self.assertEqual(self.loop.time(), start + 5)
        await self.assert_clean()

    async def test_5_3_timer_in_a_group(self):
        async def child():
            with self.assertRaises(TimeoutError):
                async with self.Timer(1):
                    await self.forever()
            await self.assert_clean()
            return 'done'

        async with asyncio.TaskGroup() as group:
            children = [group.create_task(child()) for _ in range(3)]
        self.assertEqual([task.result() for task in children], ['done'] * 3)
        await self.assert_clean()


@matrix
class UnbasedTimerTests(LegacyTimerTests):

    Timer = UnbasedTimer

    async def test_5_4_timer_and_scope_in_one_tick(self):
        # The timer takes back its own request; the scope is left clean.
        def both():
            requests = [scope.cancel, timer.expire]
            if timer_first:
                requests.reverse()
            for request in requests:
                request()

        for timer_first in False, True:
            with self.subTest(timer_first=timer_first):
                with self.assertRaises(TimeoutError):
                    with self.CancelScope() as scope:
                        timer = self.Timer(100)
                        self.loop.call_soon(both)
                        async with timer:
                            await self.forever()
                self.assert_scope(scope, called=True, caught=False)
                await self.assert_clean()


@matrix
class BasedTimerTests(LegacyTimerTests):

    Timer = BasedTimer

    async def test_5_4_timer_and_scope_in_one_tick(self):
        # The scope has asked as well, so it is no timeout.
        def both():
            scope.cancel()
            timer.expire()

        with self.CancelScope() as scope:
            timer = self.Timer(100)
            self.loop.call_soon(both)
            async with timer:
                await self.forever()
            self.fail('not cancelled')
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_clean()

    async def test_5_4_timer_and_then_scope_in_one_tick(self):
        # It depends on what the one error that is raised stands for if this
        # is a timeout, but all is clean in either case.
        def both():
            timer.expire()
            scope.cancel()

        outcome = 'caught'
        try:
            with self.CancelScope() as scope:
                timer = self.Timer(100)
                self.loop.call_soon(both)
                async with timer:
                    await self.forever()
                self.fail('not cancelled')
        except TimeoutError:
            outcome = 'timeout'
        self.assert_scope(scope, called=True, caught=outcome == 'caught')
        await self.assert_clean()

    async def test_5_4_timer_and_request_in_one_tick(self):
        async def child():
            nonlocal timer
            timer = self.Timer(100)
            async with timer:
                await self.forever()

        timer = None
        for timer_first in False, True:
            with self.subTest(timer_first=timer_first):
                task = self.spawn(child())
                await self.settle()
                if timer_first:
                    timer.expire()
                task.cancel()
                if not timer_first:
                    timer.expire()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                self.assertEqual(task.cancelling(), 1)

    async def test_5_3_timer_whose_base_is_not_zero(self):
        # The cleanup in a cancelled scope has one request to begin with.
        trace = []
        with self.CancelScope() as scope:
            scope.cancel()
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True) as inner:
                    self.loop.call_later(1, inner.cancel)
                    async with self.Timer(100) as timer:
                        trace.append(timer._base)
                        await self.forever()
                trace.append('cleaned up')
        self.assertEqual(trace, [1, 'cleaned up'])
        self.assert_scope(inner, called=True, caught=True)
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_clean()

    async def test_5_9_timer_inside_a_shielded_block(self):
        async def child():
            with self.CancelScope(shield=True):
                with self.assertRaises(TimeoutError):
                    async with self.Timer(1):
                        await asyncio.sleep(5)
                await self.assert_not_cancelled()
            await self.assert_not_cancelled()
            return self.loop.time() - start

        start = self.loop.time()
        self.assertEqual(await self.spawn(child()), 3)


if __name__ == '__main__':
    unittest.main()
