"""Tests of what a cancel scope catches, and what its shield keeps out.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import unittest

from test.test_asyncio.scope_utils import (MyBaseError, matrix,
                                           needs_level_cancel)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


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

    async def test_3_3_awaitable_cancelled_by_another_task(self):
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

    @needs_level_cancel
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

    async def test_3_5_real_error_in_cleanup(self):
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
        for error in MyBaseError(), GeneratorExit(), StopAsyncIteration():
            with self.subTest(type(error).__name__):
                with self.assertRaises(type(error)) as cm:
                    with self.CancelScope() as scope:
                        scope.cancel()
                        raise error
                self.assertIs(cm.exception, error)
                self.assert_scope(scope, called=True, caught=False)


@matrix
class ShieldTests:
    """Rule 3.6."""

    async def test_3_6_unshield_delivers_at_once(self):
        """Trap 5: to the tasks that are blocked below."""
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


if __name__ == '__main__':
    unittest.main()
