"""Tests for the deadlines of cancel scopes.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import contextvars
import math
import random
import textwrap
import time
import types
import unittest
from asyncio import cancelscopes
from test.support import script_helper
from unittest import mock

from test.test_asyncio.scope_utils import matrix, needs_level_cancel


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


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
class ContextTests:

    async def test_3_7_timers_share_no_context(self):
        # What one task's timer sets is none of another's.
        class Setting(self.Future):
            def cancel(self, msg=None):
                seen.append(variable.get())
                variable.set('of a timer')
                return super().cancel(msg)

        variable = contextvars.ContextVar('variable', default='default')
        seen = []
        for _ in range(2):
            with self.CancelScope(deadline=self.loop.time() + 1):
                await Setting(loop=self.loop)
        self.assertEqual(seen, ['default'] * 2)


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

    async def test_3_effective_deadline_while_the_delay_has_no_start(self):
        def read_clock():
            self.check(math.inf)
            seen.append(True)
            return clock()

        seen, clock = [], self.loop.time
        self.loop.time = read_clock
        try:
            with asyncio.move_on_after(5):
                self.loop.time = clock
        finally:
            self.loop.time = clock
        self.assertTrue(seen)

    @needs_level_cancel
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
class FailedEntryTests:
    """Rules 3.7 and 3.8."""

    async def test_3_8_delay_counts_from_the_entry_that_succeeds(self):
        real = self.loop.call_at

        def call_at(*args, **kwargs):
            raise ValueError('no timer')

        if self.CancelScope is cancelscopes._PyCancelScope:
            scope = cancelscopes._py_move_on_after(5)
        else:
            scope = asyncio.move_on_after(5)
        self.loop.call_at = call_at
        with self.assertRaisesRegex(ValueError, 'no timer'):
            scope.__enter__()
        self.loop.call_at = real
        self.assertEqual(repr(scope),
                         '<CancelScope unentered, deadline 5 s after entry>')
        await asyncio.sleep(10)
        start = self.loop.time()
        with scope:
            await self.forever()
        self.assertEqual(self.loop.time(), start + 5)


class ClockTests(unittest.TestCase):
    """Rule 3.7: deadlines are on the clock of the loop, also if a program has
    replaced that while it runs."""

    class Loop(asyncio.SelectorEventLoop):
        def time(self):
            return 1000.0

    class Attribute:
        """What a loop of another kind may have for a method."""

        def __get__(self, loop, owner):
            return lambda: 1000.0

    def each_way(self):
        """Yield (name, loop factory, context manager that replaces)."""
        yield 'subclass', self.Loop, contextlib.nullcontext()
        for name, target, attribute in (
                ('method', asyncio.base_events.BaseEventLoop, 'time'),
                ('clock', time, 'monotonic'),
                ('module', asyncio.base_events.time, 'monotonic')):
            yield (name, asyncio.SelectorEventLoop,
                   mock.patch.object(target, attribute,
                                     lambda *args: 1000.0))
        yield ('global', asyncio.SelectorEventLoop,
               mock.patch.object(asyncio.base_events, 'time',
                                 types.SimpleNamespace(
                                     monotonic=lambda: 1000.0,
                                     get_clock_info=time.get_clock_info)))
        yield ('descriptor', asyncio.SelectorEventLoop,
               mock.patch.object(asyncio.base_events.BaseEventLoop, 'time',
                                 self.Attribute()))

    async def check(self):
        self.assertEqual(asyncio.timeout(5).when(), 1005)
        with asyncio.move_on_after(5) as scope:
            self.assertEqual(scope.deadline, 1005)
            self.assertIs(scope.cancel_called, False)
        for when, expired in (999, True), (1000, True), (1001, False):
            with asyncio.move_on_at(when) as scope:
                self.assertIs(scope.deadline_expired, expired)
            with asyncio.move_on_at(when) as scope:
                self.assertIs(scope.effectively_cancelled, expired)

    def test_3_7_clock_that_is_replaced(self):
        for name, factory, replace in self.each_way():
            with self.subTest(name):
                with contextlib.closing(factory()) as loop:
                    before = loop.time()
                    with replace:
                        loop.run_until_complete(self.check())
                    if factory is not self.Loop:
                        # It is read without calling time() again.
                        async def after():
                            when = asyncio.timeout(0).when()
                            self.assertTrue(before <= when <= loop.time())
                        loop.run_until_complete(after())

    def test_3_7_clock_that_was_replaced_before_asyncio_was_imported(self):
        for clock in 'lambda: 1000.0', 'time.thread_time':
            with self.subTest(clock):
                script_helper.assert_python_ok('-c', textwrap.dedent(f"""
                    import time
                    time.monotonic = {clock}
                    import asyncio

                    async def main():
                        before = asyncio.get_running_loop().time()
                        when = asyncio.timeout(0).when()
                        assert before <= when < before + 100

                    loop = asyncio.new_event_loop()
                    loop.run_until_complete(main())
                    loop.close()
                    """))

    def test_3_7_loop_without_a_clock(self):
        class Loop(asyncio.SelectorEventLoop):
            def __getattribute__(self, name):
                if name == 'time':
                    raise AttributeError('no clock')
                return super().__getattribute__(name)

        class Bare:
            """It has next to nothing."""

        async def run():
            with self.assertRaises(AttributeError):
                asyncio.timeout(5)

        for loop in Loop, Bare:
            with self.subTest(loop):
                coro = run()
                asyncio._set_running_loop(loop())
                try:
                    with self.assertRaises(StopIteration):
                        coro.send(None)
                finally:
                    asyncio._set_running_loop(None)

    def test_3_7_clock_of_one_loop(self):
        with contextlib.closing(asyncio.SelectorEventLoop()) as loop:
            loop.time = lambda: 1000.0
            loop.run_until_complete(self.check())
            del loop.time

            async def run():
                fail = mock.Mock(side_effect=ValueError('no time'))
                with mock.patch.object(loop, 'time', fail):
                    for make in (lambda: asyncio.timeout(5),
                                 lambda: asyncio.move_on_after(5).__enter__()):
                        with self.assertRaisesRegex(ValueError, 'no time'):
                            make()

            loop.run_until_complete(run())


if __name__ == '__main__':
    unittest.main()
