"""Tests for asyncio.timeout() and timeout_at() as cancel scopes."""

import asyncio
import contextlib
import gc
import math
import unittest
import weakref
from test import support
from unittest import mock

from test.test_asyncio.scope_utils import (MyBaseError, matrix,
                                           needs_level_cancel)
from test.test_asyncio.utils import await_without_task


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class TimeoutTests:
    """Rule 4.1: when there is a TimeoutError, and when there is none."""

    async def test_4_1_expires(self):
        for make in asyncio.timeout, self.timeout_at_after:
            with self.subTest(make=make.__name__):
                start = self.loop.time()
                with self.assertRaises(TimeoutError) as cm:
                    async with make(3) as timeout:
                        await self.forever()
                self.assertEqual(self.loop.time(), start + 3)
                self.assertIs(timeout.expired(), True)
                self.assertEqual(timeout.when(), start + 3)
                self.assertIsInstance(cm.exception.__cause__,
                                      asyncio.CancelledError)
                self.assertIs(cm.exception.__context__,
                              cm.exception.__cause__)
                self.assertEqual(cm.exception.args, ())
                await self.assert_not_cancelled()

    def timeout_at_after(self, delay):
        return asyncio.timeout_at(self.loop.time() + delay)

    async def test_4_1_the_error_that_was_delivered_is_the_cause(self):
        with self.assertRaises(TimeoutError) as cm:
            async with asyncio.timeout(1):
                try:
                    await self.forever()
                except asyncio.CancelledError as exc:
                    delivered = exc
                    raise
        self.assertIs(cm.exception.__cause__, delivered)

    async def test_4_1_does_not_expire(self):
        start = self.loop.time()
        async with asyncio.timeout(3) as timeout:
            await asyncio.sleep(1)
        await asyncio.sleep(10)
        self.assertIs(timeout.expired(), False)
        self.assertEqual(timeout.when(), start + 3)
        await self.assert_not_cancelled()

    async def test_4_1_no_deadline(self):
        for timeout in (asyncio.timeout(None), asyncio.timeout_at(None)):
            async with timeout:
                await asyncio.sleep(1e6)
                self.assertIsNone(timeout.when())
                self.assertEqual(asyncio.current_effective_deadline(),
                                 math.inf)
            self.assertIs(timeout.expired(), False)

    async def test_4_1_zero_and_negative(self):
        trace = []
        for delay in 0, -1, -0.5:
            with self.subTest(delay=delay):
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(delay) as timeout:
                        trace.append(delay)
                        await asyncio.sleep(0)
                        self.fail('not cancelled')
                self.assertIs(timeout.expired(), True)
        for when in self.loop.time(), self.loop.time() - 1, 0:
            with self.subTest(when=when):
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout_at(when) as timeout:
                        trace.append(when)
                        await self.forever()
                self.assertEqual(timeout.when(), when)
        self.assertEqual(len(trace), 6)
        await self.assert_not_cancelled()

    async def test_4_1_nan(self):
        with self.assertRaises(ValueError):
            async with asyncio.timeout(math.nan):
                self.fail('entered')
        with self.assertRaises(ValueError):
            async with asyncio.timeout_at(math.nan):
                self.fail('entered')
        await self.assert_not_cancelled()

    async def test_4_1_level_until_the_block_is_left(self):
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1) as timeout:
                with self.assertRaises(asyncio.CancelledError):
                    await self.forever()
                self.assertIs(timeout.expired(), True)
                for _ in range(3):
                    with self.assertRaises(asyncio.CancelledError):
                        await asyncio.sleep(0)
                    with self.assertRaises(asyncio.CancelledError):
                        await asyncio.sleep(1)
                await asyncio.sleep(1)
        await self.assert_not_cancelled()

    async def test_4_1_body_that_swallows_and_ends(self):
        # There is no error then, but the timeout did expire.
        async with asyncio.timeout(1) as timeout:
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()
        self.assertIs(timeout.expired(), True)
        await self.assert_not_cancelled()

    async def test_4_1_entered_without_a_yield(self):
        trace = []
        self.loop.call_soon(trace.append, 'yielded')
        with self.CancelScope() as scope:
            scope.cancel()
            async with asyncio.timeout(10):
                trace.append('in')
            async with asyncio.timeout(-1):
                trace.append('in')
        self.assertEqual(trace, ['in', 'in'])
        self.assert_scope(scope, called=True, caught=False)
        await self.assert_not_cancelled()

    async def test_4_1_real_error_passes(self):
        error = KeyError()
        for delay in 10, None, -1:
            with self.subTest(delay=delay):
                with self.assertRaises(KeyError) as cm:
                    async with asyncio.timeout(delay):
                        raise error
                self.assertIs(cm.exception, error)
        await self.assert_not_cancelled()

    async def test_4_1_not_expired_swallows_nothing(self):
        """Trap 9."""
        stray = self.loop.create_future()
        self.loop.call_soon(stray.cancel, 'stray')
        with self.assertRaises(asyncio.CancelledError) as cm:
            async with asyncio.timeout(10) as timeout:
                await stray
        self.assertEqual(cm.exception.args, ('stray',))
        self.assertIs(timeout.expired(), False)

        group = BaseExceptionGroup('group', [asyncio.CancelledError()])
        with self.assertRaises(BaseExceptionGroup) as cm:
            async with asyncio.timeout(10):
                raise group
        self.assertIs(cm.exception, group)
        await self.assert_not_cancelled()

    async def test_4_1_outer_scope_wins(self):
        """Trap 6: deadline and outer cancel have both come."""
        def expire_and_cancel():
            if cancel_first:
                scope.cancel('outer')
            timeout.reschedule(self.loop.time())
            if not cancel_first:
                scope.cancel('outer')

        for cancel_first in False, True:
            with self.subTest(cancel_first=cancel_first):
                seen = None
                with self.CancelScope() as scope:
                    try:
                        async with asyncio.timeout(10) as timeout:
                            self.loop.call_soon(expire_and_cancel)
                            await self.forever()
                    except BaseException as exc:
                        seen = type(exc)
                        raise
                self.assertIs(seen, asyncio.CancelledError)
                self.assertIs(timeout.expired(), True)
                self.assert_scope(scope, called=True, caught=True)
                await self.assert_not_cancelled()

    async def test_4_1_outer_scope_cancelled_while_the_error_propagates(self):
        seen = None
        with self.CancelScope() as scope:
            try:
                async with asyncio.timeout(1) as timeout:
                    try:
                        await self.forever()
                    finally:
                        scope.cancel()
            except BaseException as exc:
                seen = type(exc)
                raise
        self.assertIs(seen, asyncio.CancelledError)
        self.assertIs(timeout.expired(), True)
        self.assert_scope(scope, called=True, caught=True)

    async def test_4_1_outer_deadline_wins(self):
        """Trap 6: two nested timeouts that expire in one tick."""
        for make in asyncio.timeout, self.timeout_at_after:
            with self.subTest(make=make.__name__):
                seen = None
                with self.assertRaises(TimeoutError):
                    async with make(2) as outer:
                        try:
                            async with make(2) as inner:
                                await self.forever()
                        except BaseException as exc:
                            seen = type(exc)
                            raise
                self.assertIs(seen, asyncio.CancelledError)
                self.assertIs(inner.expired(), True)
                self.assertIs(outer.expired(), True)
                await self.assert_not_cancelled()

    async def test_4_1_two_deadlines_pass_while_the_loop_is_busy(self):
        # Both are due when the loop looks, though not at the same time.
        for outer_delay, inner_delay in (2, 1), (1, 2):
            with self.subTest(outer=outer_delay, inner=inner_delay):
                seen = None
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(outer_delay) as outer:
                        try:
                            async with asyncio.timeout(inner_delay) as inner:
                                self.loop.advance(5)
                                await self.forever()
                        except BaseException as exc:
                            seen = type(exc)
                            raise
                self.assertIs(seen, asyncio.CancelledError)
                self.assertIs(inner.expired(), True)
                self.assertIs(outer.expired(), True)
                await self.assert_not_cancelled()

    async def test_4_1_both_deadlines_pass_before_the_loop_looks(self):
        # The inner one is known to have passed earlier, which must not count.
        async def at_entry(deadline):
            async with asyncio.timeout_at(deadline) as inner:
                inners.append(inner)
                await self.forever()

        async def when_moved(deadline):
            async with asyncio.timeout(None) as inner:
                inners.append(inner)
                inner.reschedule(deadline)
                await self.forever()

        async def when_asked(deadline):
            with self.CancelScope() as scope:
                scope.deadline = self.loop.time() + 1
                self.loop.advance(1)
                self.assertIs(scope.cancel_called, True)
                await self.forever()

        for way in at_entry, when_moved, when_asked:
            with self.subTest(way.__name__):
                seen = None
                inners = []
                deadline = self.loop.time() + 2
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout_at(deadline) as outer:
                        with self.CancelScope():
                            self.loop.advance(3)
                            try:
                                await way(deadline)
                            except BaseException as exc:
                                seen = type(exc)
                                raise
                self.assertIs(seen, asyncio.CancelledError)
                self.assertIs(outer.expired(), True)
                self.assertEqual([inner.expired() for inner in inners],
                                 [True] * len(inners))
                await self.assert_not_cancelled()

    async def test_4_1_inner_deadline_comes_first(self):
        start = self.loop.time()
        async with asyncio.timeout(5) as outer:
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(1) as inner:
                    await self.forever()
            self.assertEqual(self.loop.time(), start + 1)
            await self.assert_not_cancelled()
        self.assertIs(inner.expired(), True)
        self.assertIs(outer.expired(), False)

    async def test_4_1_outer_deadline_comes_first(self):
        start = self.loop.time()
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1) as outer:
                with self.assertRaises(asyncio.CancelledError):
                    async with asyncio.timeout(5) as inner:
                        await self.forever()
                self.assertEqual(self.loop.time(), start + 1)
                await asyncio.sleep(0)
        self.assertIs(inner.expired(), False)
        self.assertIs(outer.expired(), True)
        await self.assert_not_cancelled()

    @needs_level_cancel
    async def test_4_1_task_cancel_wins(self):
        async def child():
            nonlocal timeout
            async with asyncio.timeout(5) as timeout:
                await self.forever()

        timeout = None
        for cancel_first in False, True:
            with self.subTest(cancel_first=cancel_first):
                task = self.spawn(child())
                await self.settle()
                if cancel_first:
                    task.cancel('why')
                timeout.reschedule(self.loop.time())
                if not cancel_first:
                    task.cancel('why')
                with self.assertRaises(asyncio.CancelledError):
                    await task
                self.assertIs(task.cancelled(), True)
                self.assertEqual(task.cancelling(), 1)
                self.assertIs(timeout.expired(), True)

    async def test_4_1_task_cancel_before_the_deadline(self):
        async def child():
            nonlocal timeout
            async with asyncio.timeout(5) as timeout:
                await self.forever()

        timeout = None
        task = self.spawn(child())
        await self.settle()
        task.cancel('why')
        with self.assertRaises(asyncio.CancelledError) as cm:
            await task
        self.assertEqual(cm.exception.args, ('why',))
        self.assertIs(timeout.expired(), False)

    async def test_4_1_outer_scope_cancelled_before_the_deadline(self):
        with self.CancelScope() as scope:
            self.loop.call_later(1, scope.cancel, 'why')
            with self.assertRaises(asyncio.CancelledError) as cm:
                async with asyncio.timeout(5) as timeout:
                    await self.forever()
            self.assertEqual(cm.exception.args, ('why',))
        self.assertIs(timeout.expired(), False)
        self.assertEqual(repr(timeout), '<Timeout [finished]>')
        await self.assert_not_cancelled()

    async def test_4_1_its_scope_cancelled_directly(self):
        """Trap 6a: no TimeoutError before the deadline."""
        trace = []
        async with asyncio.timeout(5) as timeout:
            # Nothing public gives the scope away.
            self.loop.call_later(1, timeout._scope.cancel, 'why')
            await self.assert_cancelled(self.forever(), 'why')
            trace.append('cancelled')
            await asyncio.sleep(0)
        self.assertEqual(trace, ['cancelled'])
        self.assertIs(timeout.expired(), False)
        await self.assert_not_cancelled()

    async def test_4_1_its_scope_cancelled_and_then_the_deadline_passes(self):
        """Trap 6a: it is the cause that counts."""
        start = self.loop.time()
        async with asyncio.timeout(5) as timeout:
            timeout._scope.cancel()
            with self.CancelScope(shield=True):
                await asyncio.sleep(10)
            await asyncio.sleep(0)
        self.assertEqual(self.loop.time(), start + 10)
        await self.assert_not_cancelled()

    async def test_4_1_timeout_inside_a_cancelled_scope(self):
        """Trap 1."""
        with self.CancelScope() as scope:
            scope.cancel('outer')
            for delay in 10, 0, -1, None:
                with self.subTest(delay=delay):
                    with self.assertRaises(asyncio.CancelledError) as cm:
                        async with asyncio.timeout(delay):
                            await asyncio.sleep(0)
                            self.fail('not cancelled')
                    self.assertIs(type(cm.exception), asyncio.CancelledError)
        self.assert_scope(scope, called=True, caught=False)
        await self.assert_not_cancelled()

    async def test_4_1_scope_inside_a_timeout(self):
        start = self.loop.time()
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(5):
                with self.CancelScope(deadline=start + 1) as scope:
                    await self.forever()
                self.assert_scope(scope, called=True, caught=True)
                with self.CancelScope() as scope:
                    await self.forever()
        self.assertEqual(self.loop.time(), start + 5)
        self.assert_scope(scope, called=False, caught=False)

    async def test_4_1_result_and_deadline_in_one_tick(self):
        # What has been received is kept (2.3): no TimeoutError, for there
        # is no yield point after it.
        waiter = self.loop.create_future()

        def both():
            waiter.set_result('result')
            timeout.reschedule(self.loop.time())

        self.loop.call_soon(both)
        async with asyncio.timeout(10) as timeout:
            self.assertEqual(await waiter, 'result')
        await self.assert_not_cancelled()

    async def test_4_1_wait_for_keeps_the_result(self):
        waiter = self.loop.create_future()
        self.loop.call_later(1, waiter.set_result, 'result')
        self.assertEqual(await asyncio.wait_for(waiter, 1.0), 'result')

    async def test_4_1_due_timer_that_has_not_run(self):
        async with asyncio.timeout(2) as timeout:
            await asyncio.sleep(1)
            self.loop.advance(5)
        self.assertIs(timeout.expired(), False)
        await self.assert_not_cancelled()

    async def test_4_1_wait_for(self):
        start = self.loop.time()
        with self.assertRaises(TimeoutError):
            await asyncio.wait_for(self.forever(), 2)
        self.assertEqual(self.loop.time(), start + 2)
        await self.assert_not_cancelled()

    async def test_4_1_task_group_in_a_timeout(self):
        async def child():
            try:
                await self.forever()
            finally:
                trace.append('child')

        trace = []
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1):
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(child())
        self.assertEqual(trace, ['child'])
        self.assertIs(task.cancelled(), True)
        await self.assert_not_cancelled()

    async def test_4_1_timeout_in_a_member_of_a_group(self):
        async def child():
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(1):
                    await self.forever()
            await self.assert_not_cancelled()
            return 'done'

        async with asyncio.TaskGroup() as group:
            children = [group.create_task(child()) for _ in range(3)]
        self.assertEqual([task.result() for task in children], ['done'] * 3)

    async def test_4_1_group_of_cancellations_in_an_expired_timeout(self):
        with self.assertRaises(TimeoutError) as cm:
            async with asyncio.timeout(1) as timeout:
                try:
                    await self.forever()
                except asyncio.CancelledError as exc:
                    raise BaseExceptionGroup('group', [exc]) from None
        self.assertIs(timeout.expired(), True)
        self.assertIsNotNone(cm.exception.__cause__)
        await self.assert_not_cancelled()

    async def test_4_1_group_with_an_error_in_an_expired_timeout(self):
        error = ValueError()
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.timeout(1) as timeout:
                try:
                    await self.forever()
                except asyncio.CancelledError as exc:
                    raise BaseExceptionGroup('group', [exc, error]) from None
        self.assertEqual(cm.exception.message, 'group')
        self.assertEqual(cm.exception.exceptions, (error,))
        self.assertIs(timeout.expired(), True)
        await self.assert_not_cancelled()


@matrix
class ContractTests:
    """Rule 4.1: when(), reschedule(), expired(), repr() as in stock."""

    def check(self, timeout, state, *, expired):
        self.assertIs(timeout.expired(), expired)
        self.assertIn(f'<Timeout [{state}]', repr(timeout))

    async def test_4_1_clock_starts_when_it_is_made(self):
        start = self.loop.time()
        timeout = asyncio.timeout(5)
        self.assertEqual(timeout.when(), start + 5)
        await asyncio.sleep(3)
        with self.assertRaises(TimeoutError):
            async with timeout:
                self.assertEqual(timeout.when(), start + 5)
                await self.forever()
        self.assertEqual(self.loop.time(), start + 5)

    async def test_4_1_states(self):
        timeout = asyncio.timeout(5)
        self.check(timeout, 'created', expired=False)
        async with timeout:
            self.check(timeout, 'active', expired=False)
        self.check(timeout, 'finished', expired=False)

        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(5) as timeout:
                self.check(timeout, 'active', expired=False)
                with self.assertRaises(asyncio.CancelledError):
                    await self.forever()
                self.check(timeout, 'expiring', expired=True)
                await asyncio.sleep(0)
        self.check(timeout, 'expired', expired=True)

    async def test_4_1_repr(self):
        timeout = asyncio.timeout(5)
        self.assertEqual(repr(timeout), '<Timeout [created]>')
        async with timeout:
            self.assertEqual(repr(timeout),
                             f'<Timeout [active] when={timeout.when():.1f}>')
            timeout.reschedule(None)
            self.assertEqual(repr(timeout), '<Timeout [active] when=None>')
        self.assertEqual(repr(timeout), '<Timeout [finished]>')

    async def test_4_1_reschedule(self):
        for moved in 2, 9:
            with self.subTest(moved=moved):
                start = self.loop.time()
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(5) as timeout:
                        timeout.reschedule(start + moved)
                        self.assertEqual(timeout.when(), start + moved)
                        await self.forever()
                self.assertEqual(self.loop.time(), start + moved)
                self.assertEqual(timeout.when(), start + moved)

    async def test_4_1_reschedule_to_none_and_back(self):
        start = self.loop.time()
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(5) as timeout:
                timeout.reschedule(None)
                self.assertIsNone(timeout.when())
                await asyncio.sleep(10)
                timeout.reschedule(start + 12)
                await self.forever()
        self.assertEqual(self.loop.time(), start + 12)

    async def test_4_1_reschedule_to_the_past(self):
        for delta in 0, -1:
            with self.subTest(delta=delta):
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(5) as timeout:
                        timeout.reschedule(self.loop.time() + delta)
                        await asyncio.sleep(0)
                        await asyncio.sleep(0)
                        self.fail('not cancelled')
                self.assertIs(timeout.expired(), True)

    async def test_4_1_reschedule_by_another_task(self):
        timeouts = []

        async def child():
            async with asyncio.timeout(5) as timeout:
                timeouts.append(timeout)
                with self.assertRaises(asyncio.CancelledError):
                    await self.forever()
                return self.loop.time()

        start = self.loop.time()
        task = self.spawn(child())
        await self.settle()
        timeouts[0].reschedule(start + 50)
        self.assertEqual(await task, start + 50)

    async def test_4_1_reschedule_before_entry(self):
        timeout = asyncio.timeout(5)
        with self.assertRaisesRegex(
                RuntimeError, r'\ATimeout has not been entered\z'):
            timeout.reschedule(None)
        async with timeout:
            pass

    async def test_4_1_reschedule_when_expiring(self):
        async with asyncio.timeout(1) as timeout:
            with self.assertRaises(asyncio.CancelledError):
                await self.forever()
            when = timeout.when()
            with self.assertRaisesRegex(
                    RuntimeError,
                    r'\ACannot change state of expiring Timeout\z'):
                timeout.reschedule(None)
            self.assertEqual(timeout.when(), when)
        await self.assert_not_cancelled()

    async def test_4_1_reschedule_when_expired(self):
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1) as timeout:
                await self.forever()
        with self.assertRaisesRegex(
                RuntimeError, r'\ACannot change state of expired Timeout\z'):
            timeout.reschedule(None)

    async def test_4_1_reschedule_when_finished(self):
        async with asyncio.timeout(1) as timeout:
            pass
        with self.assertRaisesRegex(
                RuntimeError, r'\ACannot change state of finished Timeout\z'):
            timeout.reschedule(None)
        await asyncio.sleep(5)
        await self.assert_not_cancelled()

    async def test_4_1_entered_twice(self):
        message = r'\ATimeout has already been entered\z'
        async with asyncio.timeout(5) as timeout:
            with self.assertRaisesRegex(RuntimeError, message):
                async with timeout:
                    self.fail('entered')
            await self.assert_not_cancelled()
        with self.assertRaisesRegex(RuntimeError, message):
            async with timeout:
                self.fail('entered')
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1) as timeout:
                await self.forever()
        with self.assertRaisesRegex(RuntimeError, message):
            async with timeout:
                self.fail('entered')
        await self.assert_not_cancelled()

    async def test_4_1_entered_without_a_task(self):
        timeout = asyncio.timeout(5)
        with self.assertRaisesRegex(
                RuntimeError, r'\ATimeout should be used inside a task\z'):
            await await_without_task(timeout.__aenter__())
        self.check(timeout, 'created', expired=False)
        async with timeout:
            await self.assert_not_cancelled()

    def test_4_1_made_without_a_loop(self):
        with self.assertRaises(RuntimeError):
            asyncio.timeout(5)
        self.assertEqual(asyncio.timeout_at(5000).when(), 5000)

    async def test_4_1_class(self):
        self.assertIsInstance(asyncio.timeout(5), asyncio.Timeout)
        self.assertIsInstance(asyncio.timeout_at(5), asyncio.Timeout)
        start = self.loop.time()
        with self.assertRaises(TimeoutError):
            async with asyncio.Timeout(start + 2):
                await self.forever()
        self.assertEqual(self.loop.time(), start + 2)

    async def test_4_1_subclass(self):
        # async_timeout 5 derives from the class.
        class MyTimeout(asyncio.Timeout):
            def shift(self, delta):
                self.reschedule(self.when() + delta)

        start = self.loop.time()
        with self.assertRaises(TimeoutError):
            async with MyTimeout(start + 2) as timeout:
                timeout.shift(3)
                await self.forever()
        self.assertEqual(self.loop.time(), start + 5)
        self.assertIs(timeout.expired(), True)

    async def test_4_4_left_in_another_task(self):
        # Through an asynchronous generator.
        async def generate():
            async with asyncio.timeout(5):
                yield

        async def host():
            await anext(generator)
            await gate
            await asyncio.sleep(50)
            await self.assert_not_cancelled()
            return 'done'

        generator = generate()
        gate = self.loop.create_future()
        task = self.spawn(host())
        await self.settle()
        await generator.aclose()
        await self.assert_not_cancelled()
        gate.set_result(None)
        self.assertEqual(await task, 'done')


@matrix
class HostileTests:
    """Code that runs in the middle of what a timeout does."""

    async def test_4_1_clock_that_enters_the_same_timeout(self):
        def hostile():
            self.loop.time = real
            timeout.__aenter__().send(None)
            self.fail('entered')

        real = self.loop.time
        timeout = asyncio.timeout_at(real() + 5)
        self.loop.time = hostile
        # The inner entry is refused, which time() passes on.
        with self.assertRaisesRegex(RuntimeError, 'already been entered'):
            async with timeout:
                self.fail('entered')
        self.assertIs(self.loop.time, real)
        self.assertIsNone(asyncio.current_scope())
        async with timeout:
            self.assertIs(asyncio.current_scope(), timeout._scope)

    async def test_4_1_clock_that_raises_stop_iteration(self):
        def hostile():
            raise StopIteration('result')

        timeout = asyncio.timeout_at(self.loop.time() + 5)
        with mock.patch.object(self.loop, 'time', hostile):
            with self.assertRaisesRegex(RuntimeError, 'raised StopIteration'):
                async with timeout:
                    self.fail('entered')
        self.assertIsNone(asyncio.current_scope())
        async with timeout:
            self.assertIs(asyncio.current_scope(), timeout._scope)

    async def test_4_3_error_whose_chain_cannot_be_read(self):
        class Hostile(Exception):
            @property
            def __context__(self):
                raise MyBaseError

        with self.assertRaises(MyBaseError):
            async with asyncio.timeout(1):
                try:
                    await self.forever()
                except asyncio.CancelledError:
                    raise Hostile
        # It has been left.
        self.assertIsNone(asyncio.current_scope())
        await self.assert_not_cancelled()


@matrix
class StockTests:
    """What programs do with the class that stock has."""

    async def test_B_attributes_of_the_program(self):
        async with asyncio.timeout(5) as timeout:
            timeout.label = 'mine'
        self.assertEqual(timeout.label, 'mine')

    async def test_B_methods_that_are_replaced(self):
        with mock.patch.object(asyncio.Timeout, 'expired',
                               lambda self: 'replaced'):
            async with asyncio.timeout(5) as timeout:
                self.assertEqual(timeout.expired(), 'replaced')
        self.assertIs(timeout.expired(), False)

    async def test_B_subclass(self):
        class Mine(asyncio.Timeout):
            def __init__(self, delay, *, loop):
                super().__init__(loop.time() + delay)

        async with Mine(5, loop=self.loop) as timeout:
            self.assertIsInstance(timeout, Mine)
            self.assertEqual(timeout.when(), self.loop.time() + 5)
        with self.assertRaises(TimeoutError):
            async with Mine(5, loop=self.loop):
                await self.forever()

    async def test_B_exit_with_keywords(self):
        timeout = asyncio.timeout(5)
        self.assertIs(await timeout.__aenter__(), timeout)
        self.assertFalse(await timeout.__aexit__(
            exc_type=None, exc_val=None, exc_tb=None))
        self.assertIsNone(asyncio.current_scope())


@matrix
class ShieldTests:
    """Rule 4.2."""

    def make(self, delay):
        return (asyncio.timeout(delay, shield=True),
                asyncio.timeout_at(self.loop.time() + delay, shield=True))

    async def test_4_2_protected_as_long_as_the_deadline_allows(self):
        for i in range(2):
            with self.CancelScope() as scope:
                scope.cancel('outer')
                timeout = self.make(5)[i]
                start = self.loop.time()
                reached = False
                with self.assertRaises(TimeoutError):
                    async with timeout:
                        await asyncio.sleep(0)
                        await asyncio.sleep(3)
                        reached = True
                        await self.forever()
                self.assertIs(reached, True)
                self.assertEqual(self.loop.time(), start + 5)
                self.assertIs(timeout.expired(), True)
                await self.assert_level('outer')
            self.assert_scope(scope, called=True, caught=False)
            await self.assert_not_cancelled()

    async def test_4_2_block_that_ends_in_time(self):
        for i in range(2):
            with self.CancelScope() as scope:
                scope.cancel('outer')
                timeout = self.make(5)[i]
                async with timeout:
                    await asyncio.sleep(3)
                self.assertIs(timeout.expired(), False)
                await self.assert_level('outer')

    async def test_4_2_cancelled_while_inside(self):
        reached = False
        start = self.loop.time()
        with self.CancelScope() as scope:
            self.loop.call_later(1, scope.cancel)
            async with asyncio.timeout(5, shield=True):
                await asyncio.sleep(3)
                reached = True
            self.assertEqual(self.loop.time(), start + 3)
            await asyncio.sleep(0)
            self.fail('not cancelled')
        self.assertIs(reached, True)
        self.assert_scope(scope, called=True, caught=True)

    async def test_4_2_outer_cancel_and_deadline_in_one_tick(self):
        with self.CancelScope() as scope:
            self.loop.call_later(5, scope.cancel)
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(5, shield=True):
                    await self.forever()
            await self.assert_level()

    async def test_4_2_task_cancel(self):
        async def child():
            try:
                await self.forever()
            finally:
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(5, shield=True):
                        await asyncio.sleep(1)
                        trace.append('cleanup')
                        await self.forever()
                trace.append('in time')

        trace = []
        task = self.spawn(child())
        await self.settle()
        start = self.loop.time()
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertEqual(trace, ['cleanup', 'in time'])
        self.assertEqual(self.loop.time(), start + 5)
        self.assertIs(task.cancelled(), True)

    async def test_4_2_outer_timeout(self):
        start = self.loop.time()
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1) as outer:
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(5, shield=True) as inner:
                        await self.forever()
                self.assertEqual(self.loop.time(), start + 5)
                await asyncio.sleep(0)
                self.fail('not cancelled')
        self.assertIs(outer.expired(), True)
        self.assertIs(inner.expired(), True)
        await self.assert_not_cancelled()

    async def test_4_2_without_a_deadline(self):
        with self.CancelScope() as scope:
            scope.cancel()
            async with asyncio.timeout(None, shield=True):
                await asyncio.sleep(1e6)
            await self.assert_level()

    async def test_4_2_not_shielded_by_default(self):
        with self.CancelScope() as scope:
            scope.cancel()
            with self.assertRaises(asyncio.CancelledError):
                async with asyncio.timeout(5, shield=False):
                    await asyncio.sleep(0)
            with self.assertRaises(asyncio.CancelledError):
                async with asyncio.timeout(5):
                    await asyncio.sleep(0)

    async def test_4_2_shield_is_a_keyword_and_a_bool(self):
        with self.assertRaises(TypeError):
            asyncio.timeout(5, True)
        with self.assertRaises(TypeError):
            asyncio.timeout_at(5, True)
        with self.assertRaises(TypeError):
            asyncio.timeout(5, shield=1)
        with self.assertRaises(TypeError):
            asyncio.timeout_at(5, shield=None)


@matrix
class ChainTests:
    """Rule 4.3: the chain of an error that responds to the expiry."""

    async def test_4_3_error_in_response_to_the_expiry(self):
        with self.assertRaises(ZeroDivisionError) as cm:
            async with asyncio.timeout(1) as timeout:
                try:
                    await self.forever()
                finally:
                    1/0
        self.assertIs(timeout.expired(), True)
        error = cm.exception
        self.assertIsNone(error.__cause__)
        self.assertIsInstance(error.__context__, TimeoutError)
        cancelled = error.__context__.__cause__
        self.assertIsInstance(cancelled, asyncio.CancelledError)
        self.assertIs(error.__context__.__context__, cancelled)
        await self.assert_not_cancelled()

    async def test_4_3_longer_chain(self):
        with self.assertRaises(ZeroDivisionError) as cm:
            async with asyncio.timeout(1):
                try:
                    try:
                        raise ValueError
                    finally:
                        await self.forever()
                finally:
                    try:
                        raise KeyError
                    finally:
                        1/0
        self.assertIsInstance(cm.exception.__context__, KeyError)
        timeout_error = cm.exception.__context__.__context__
        self.assertIsInstance(timeout_error, TimeoutError)
        cancelled = timeout_error.__cause__
        self.assertIsInstance(cancelled, asyncio.CancelledError)
        self.assertIsInstance(cancelled.__context__, ValueError)

    async def test_4_3_handled_errors_before_the_expiry(self):
        with self.assertRaises(TimeoutError) as cm:
            async with asyncio.timeout(1):
                try:
                    1/0
                finally:
                    await self.forever()
        cancelled = cm.exception.__cause__
        self.assertIsInstance(cancelled, asyncio.CancelledError)
        self.assertIs(cm.exception.__context__, cancelled)
        self.assertIsNone(cancelled.__cause__)
        self.assertIsInstance(cancelled.__context__, ZeroDivisionError)

    async def test_4_3_error_that_is_no_response_to_the_expiry(self):
        error = ValueError()
        with self.assertRaises(ValueError) as cm:
            async with asyncio.timeout(1) as timeout:
                with contextlib.suppress(asyncio.CancelledError):
                    await self.forever()
                raise error
        self.assertIs(cm.exception, error)
        self.assertIs(timeout.expired(), True)
        self.assertIsNone(error.__cause__)

    async def test_4_3_not_expired_leaves_the_chain_alone(self):
        stray = self.loop.create_future()
        self.loop.call_soon(stray.cancel)
        with self.assertRaises(ZeroDivisionError) as cm:
            async with asyncio.timeout(10):
                try:
                    await stray
                finally:
                    1/0
        self.assertIsInstance(cm.exception.__context__,
                              asyncio.CancelledError)

    def assert_chain(self, error, *expected):
        """The contexts of *error* are of these types."""
        found = []
        while (error := error.__context__) is not None:
            found.append(type(error))
        self.assertEqual(found, list(expected))

    async def test_4_3_expiry_that_has_interrupted_nothing(self):
        # The CancelledError in the chain is of another cancellation.
        task = asyncio.current_task()
        for when in self.loop.time(), self.loop.time() - 1:
            with self.subTest(when=when):
                with self.assertRaises(ZeroDivisionError) as cm:
                    async with asyncio.timeout(None) as timeout:
                        self.loop.call_soon(task.cancel)
                        try:
                            await self.forever()
                        except asyncio.CancelledError:
                            task.uncancel()
                            timeout.reschedule(when)
                            self.assertIs(timeout.expired(), True)
                            1/0
                self.assert_chain(cm.exception, asyncio.CancelledError)
                await self.assert_not_cancelled()

    async def test_4_3_expiry_whose_await_has_its_result(self):
        # By 2.3 the result is kept.
        def complete():
            future.set_result(None)
            timeout.reschedule(self.loop.time())

        future = self.loop.create_future()
        stray = self.loop.create_future()
        stray.cancel()
        with self.assertRaises(ZeroDivisionError) as cm:
            async with asyncio.timeout(None) as timeout:
                try:
                    await stray
                except asyncio.CancelledError:
                    self.loop.call_soon(complete)
                    await future
                    self.assertIs(timeout.expired(), True)
                    1/0
        self.assert_chain(cm.exception, asyncio.CancelledError)
        await self.assert_not_cancelled()

    async def test_4_3_expiry_in_a_block_inside(self):
        # It has interrupted what is below the scope inside.
        with self.assertRaises(ZeroDivisionError) as cm:
            async with asyncio.timeout(1):
                with self.CancelScope():
                    try:
                        await self.forever()
                    finally:
                        1/0
        self.assert_chain(cm.exception, TimeoutError, asyncio.CancelledError)

    async def test_4_3_expiry_around_one_that_has_interrupted(self):
        # The two come in the same turn of the loop.
        for outer, inner in (2, 1), (1, 2):
            with self.subTest(outer=outer, inner=inner):
                with self.assertRaises(ZeroDivisionError) as cm:
                    async with asyncio.timeout(outer):
                        async with asyncio.timeout(inner):
                            self.loop.call_soon(self.loop.advance, 3)
                            try:
                                await self.forever()
                            finally:
                                1/0
                self.assert_chain(cm.exception, TimeoutError,
                                  asyncio.CancelledError)

    async def test_4_3_expiry_at_a_bare_yield(self):
        with self.assertRaises(ZeroDivisionError) as cm:
            async with asyncio.timeout(0):
                try:
                    await asyncio.sleep(0)
                finally:
                    1/0
        self.assert_chain(cm.exception, TimeoutError, asyncio.CancelledError)

    async def test_4_3_expiry_that_an_awaited_task_makes_an_error_of(self):
        for spawn in self.spawn, asyncio.gather:
            with self.subTest(spawn=spawn):
                with self.assertRaises(ZeroDivisionError) as cm:
                    async with asyncio.timeout(1):
                        await spawn(self.fail_when_cancelled())
                self.assert_chain(cm.exception, TimeoutError,
                                  asyncio.CancelledError)

    async def test_4_3_expiry_that_interrupts_members_only(self):
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.timeout(1):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.fail_when_cancelled())
        [error] = cm.exception.exceptions
        self.assert_chain(error, TimeoutError, asyncio.CancelledError)

    async def test_4_3_outer_cancellation_leaves_the_chain_alone(self):
        with self.assertRaises(ZeroDivisionError) as cm:
            with self.CancelScope() as scope:
                async with asyncio.timeout(1) as timeout:
                    try:
                        await self.forever()
                    finally:
                        scope.cancel()
                        1/0
        self.assertIs(timeout.expired(), True)
        self.assertIsInstance(cm.exception.__context__,
                              asyncio.CancelledError)

    async def test_4_3_timeout_in_finally_of_an_expired_timeout(self):
        # By 3.1 the second one is cancelled from the start by the first.
        with self.assertRaises(TimeoutError) as cm:
            async with asyncio.timeout(1) as outer:
                try:
                    await self.forever()
                except asyncio.CancelledError as exc:
                    first = exc
                    try:
                        async with asyncio.timeout(1) as inner:
                            await self.forever()
                    finally:
                        # Not a TimeoutError: that would have been shown as
                        # a ZeroDivisionError below.
                        self.assertIs(inner.expired(), False)
        self.assertIs(outer.expired(), True)
        second = cm.exception.__cause__
        self.assertIsInstance(second, asyncio.CancelledError)
        self.assertIsNot(second, first)
        self.assertIs(second.__context__, first)

    async def test_4_3_shielded_timeout_in_finally_of_an_expired_one(self):
        with self.assertRaises(TimeoutError) as cm:
            async with asyncio.timeout(1):
                try:
                    await self.forever()
                finally:
                    with self.assertRaises(TimeoutError) as inner_cm:
                        async with asyncio.timeout(1, shield=True):
                            await self.forever()
        first = cm.exception.__cause__
        self.assertIsInstance(first, asyncio.CancelledError)
        self.assertIsNone(first.__context__)
        second = inner_cm.exception.__cause__
        self.assertIsInstance(second, asyncio.CancelledError)
        self.assertIs(second.__context__, first)

    async def test_4_3_errors_in_a_group(self):
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.timeout(1):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.fail_when_cancelled())
                    try:
                        raise ValueError
                    finally:
                        await self.forever()
        group = cm.exception
        self.assertIsNone(group.__cause__)
        self.assertIsInstance(group.__context__, TimeoutError)
        cancelled = group.__context__.__cause__
        self.assertIsInstance(cancelled, asyncio.CancelledError)
        self.assertIs(group.__context__.__context__, cancelled)
        self.assertIsInstance(cancelled.__context__, ValueError)
        [error] = group.exceptions
        self.assertIsInstance(error, ZeroDivisionError)
        self.assertIsNone(error.__cause__)
        self.assertIsInstance(error.__context__, TimeoutError)
        self.assertIsInstance(error.__context__.__cause__,
                              asyncio.CancelledError)
        self.assertIsNot(error.__context__.__cause__, cancelled)

    async def test_4_3_error_beside_a_cancellation_in_a_group(self):
        # The split that 3.4 makes does not lose the chain.
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.timeout(1):
                try:
                    await self.forever()
                except asyncio.CancelledError as exc:
                    try:
                        1/0
                    except ZeroDivisionError as error:
                        raise BaseExceptionGroup('group', [exc, error])
        [error] = cm.exception.exceptions
        self.assertIsInstance(error, ZeroDivisionError)
        chain = []
        while error is not None:
            chain.append(type(error))
            error = error.__context__
        self.assertIn(TimeoutError, chain)


@matrix
class ReferenceTests:
    """Rule 3.9 for timeouts."""

    async def test_3_9_no_garbage(self):
        async def expires():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self.forever()

        async def ends():
            async with asyncio.timeout(1):
                await asyncio.sleep(0)

        async def waits():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.forever(), 1)

        for func in expires, ends, waits:
            with self.subTest(func.__name__):
                await func()
                await asyncio.sleep(0)
                support.gc_collect()
                with support.disable_gc():
                    for _ in range(5):
                        await func()
                    await asyncio.sleep(0)
                    self.assertEqual(gc.collect(), 0)

    async def test_3_9_timeout_does_not_keep_a_finished_task(self):
        async def child(timeout):
            with contextlib.suppress(TimeoutError):
                async with timeout:
                    await self.forever()

        timeout = asyncio.timeout(1)
        task = self.spawn(child(timeout))
        await task
        await asyncio.sleep(0)
        ref = weakref.ref(task)
        del task
        support.gc_collect()
        self.assertIsNone(ref())
        self.assertIs(timeout.expired(), True)


if __name__ == '__main__':
    unittest.main()
