"""Cancel scopes among hostile and broken objects, and cases found by review.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import collections.abc
import gc
import unittest
import weakref

from test import support
from test.test_asyncio import scope_utils


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


class Handle:
    """A timer handle that knows nothing of its callback."""

    def __init__(self, on_cancel=None):
        self.on_cancel = on_cancel

    def cancel(self):
        if self.on_cancel is not None:
            self.on_cancel()


class SteppedCoroutine(collections.abc.Coroutine):
    """A coroutine that is no generator, such as Cython makes them.

    At the top level because asyncio remembers the types of coroutines.
    """

    def __init__(self, *steps):
        self.steps = list(steps)

    def __await__(self):
        return self

    def send(self, value):
        return self.steps.pop(0)(self)

    def throw(self, *args):
        raise args[0]

    def close(self):
        pass


class Refusing(asyncio.Future):
    def cancel(self, msg=None):
        return False


@scope_utils.matrix
class HostileTests:

    def leave(self, *scopes):
        for scope in scopes:
            scope.__exit__(None, None, None)

    async def test_3_8_call_at_leaves_the_scope(self):
        def call_at(when, callback, *args, context=None):
            del self.loop.call_at
            self.leave(scope)
            return Handle()

        scope = self.CancelScope(deadline=self.loop.time() + 100)
        self.loop.call_at = call_at
        scope.__enter__()
        with self.assertRaisesRegex(RuntimeError, 'already been left'):
            self.leave(scope)
        await self.assert_not_cancelled()

    async def test_3_8_cancelling_a_timer_leaves_the_scopes(self):
        def on_cancel():
            for handle in handles:
                handle.on_cancel = None
            self.leave(inner, outer)

        def call_at(when, callback, *args, context=None):
            handles.append(Handle(on_cancel))
            return handles[-1]

        handles = []
        outer = self.CancelScope(deadline=self.loop.time() + 100)
        inner = self.CancelScope(deadline=self.loop.time() + 50)
        self.loop.call_at = call_at
        try:
            outer.__enter__()
            inner.__enter__()
            # An earlier deadline moves the timer, wherever it is armed.
            inner.deadline = self.loop.time() + 10
        finally:
            del self.loop.call_at
        for scope in inner, outer:
            if ' active' in repr(scope):
                self.leave(scope)
        await self.assert_not_cancelled()

    async def test_3_8_call_at_fails(self):
        def call_at(when, callback, *args, context=None):
            raise OSError('no more timers')

        self.loop.call_at = call_at
        scope = self.CancelScope(deadline=self.loop.time() + 100)
        with self.assertRaisesRegex(OSError, 'no more timers'):
            scope.__enter__()
        del self.loop.call_at
        with scope:     # it is as it was before
            await self.assert_not_cancelled()
        await self.assert_not_cancelled()

    async def test_3_7_clock_fails_while_cancel_called_is_read(self):
        def time():
            raise OSError('no clock')

        with self.CancelScope(deadline=self.loop.time() + 10) as scope:
            self.loop.time = time
            with self.assertRaisesRegex(OSError, 'no clock'):
                scope.cancel_called
            del self.loop.time
            await self.forever()
        self.assert_scope(scope, called=True, caught=True)

    async def test_1_1_factory_returns_a_task_that_is_there(self):
        # It hangs where it hangs: the tree gets no ring, and nobody a member.
        async def member():
            await self.forever()

        async with asyncio.TaskGroup() as other:
            theirs = other.create_task(member())
            for existing in asyncio.current_task(), theirs:
                with self.CancelScope() as scope:
                    coro = asyncio.sleep(0)
                    previous = self.loop.get_task_factory()
                    self.loop.set_task_factory(lambda loop, coro, **kwargs: existing)
                    task = scope._spawn('propagate', self.loop.create_task, coro)
                    self.loop.set_task_factory(previous)
                    coro.close()
                    self.assertIs(task, existing)
                    self.assertNotIn(task, scope._member_tasks())
                    scope.cancel()
                    self.assertFalse(theirs.done())
            theirs.cancel()
        await self.assert_not_cancelled()

    async def test_1_1_factory_fails_after_it_made_a_task(self):
        def factory(loop, coro, **kwargs):
            made.append(self.Task(coro, loop=loop))
            raise OSError('no task')

        async def background():
            await self.forever()

        made = []
        with self.CancelScope() as scope:
            previous = self.loop.get_task_factory()
            self.loop.set_task_factory(factory)
            with self.assertRaisesRegex(OSError, 'no task'):
                scope._spawn('propagate', self.loop.create_task, background())
            self.loop.set_task_factory(previous)
            scope.cancel()
        await self.settle()
        self.assertFalse(made[0].done())
        made[0].cancel()
        await self.settle()
        self.assertTrue(made[0].cancelled())

    async def test_3_7_loop_that_lost_its_timers(self):
        now = self.loop.time()
        with self.CancelScope(deadline=now + 1000) as outer:
            with self.CancelScope(deadline=now + 10):
                await asyncio.sleep(0)
            self.loop._scheduled.clear()
            self.loop._timer_cancelled_count = 0
            with self.CancelScope(deadline=now + 20) as scope:
                await self.forever()
            self.assert_scope(scope, called=True, caught=True)
        self.assertEqual(self.loop.time(), now + 20)
        self.assert_scope(outer, called=False, caught=False)

    async def test_3_7_loop_that_does_not_keep_its_timer_handles(self):
        def call_at(when, callback, *args, context=None):
            original(when, callback, *args, context=context)
            calls.append(when)
            return Handle()

        calls, original = [], self.loop.call_at
        self.loop.call_at = call_at
        now = self.loop.time()
        with self.CancelScope(deadline=now + 20) as outer:
            with self.CancelScope(deadline=now + 10) as inner:
                await self.forever()
            self.assert_scope(inner, called=True, caught=True)
            await self.forever()
        del self.loop.call_at
        self.assert_scope(outer, called=True, caught=True)
        self.assertEqual(self.loop.time(), now + 20)
        self.assertLessEqual(len(calls), 4)     # and no timer a scope a turn

    async def test_5_2_second_init_that_fails_with_a_cancel_pending(self):
        async def host(future):
            await future

        future = self.loop.create_future()
        task = self.spawn(host(future))
        await self.settle()
        future.set_result(None)
        task.cancel()
        self.assertTrue(task._must_cancel)
        with self.assertRaises(TypeError):
            task.__init__(None, loop=self.loop)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.assertTrue(task.cancelled())

    async def test_3_8_scope_that_nobody_can_leave_leaves_by_itself(self):
        # It would be in the way of those around it.
        with self.CancelScope() as outer:
            self.CancelScope(shield=True).__enter__()
            support.gc_collect()
            outer.cancel()
            await self.assert_level()
        self.assert_scope(outer, called=True, caught=False)
        await self.assert_not_cancelled()

    async def test_3_8_dropped_below_others(self):
        dropped = [self.CancelScope(shield=True)]
        with self.CancelScope() as outer:
            dropped[0].__enter__()
            with self.CancelScope() as inner:
                outer.cancel('outer')
                await asyncio.sleep(0)  # the shield holds
                dropped.clear()
                support.gc_collect()
                await self.assert_cancelled(asyncio.sleep(0), 'outer')
            self.assert_scope(inner, called=False, caught=False)
            await self.assert_cancelled(asyncio.sleep(0), 'outer')
        self.assert_scope(outer, called=True, caught=False)
        await self.assert_not_cancelled()

    async def test_3_4_split_returns_nonsense(self):
        class Group(BaseExceptionGroup):
            def split(self, condition):
                return answer

        for answer in None, (), (self, self, self):
            with self.subTest(answer=answer), self.assertRaises((TypeError, ValueError)):
                with self.CancelScope() as scope:
                    scope.cancel()
                    raise Group('group', [asyncio.CancelledError()])
            await self.assert_not_cancelled()
        answer = (ValueError(), 42)
        with self.assertRaises(TypeError):
            with self.CancelScope() as scope:
                scope.cancel()
                raise Group('group', [asyncio.CancelledError()])
        await self.assert_not_cancelled()

    async def test_5_1_resurrected_task_is_dropped_with_a_scope_open(self):
        # A finalizer runs once; what the task enters after it has to be taken
        # out of the tree by the deallocation.
        if self.Task is asyncio.tasks._PyTask:
            self.skipTest('an object in Python has no deallocation to hook')
        test, loop = self, self.loop

        class Waiter:
            """Future-like, and keeps nothing alive."""
            _asyncio_future_blocking = True

            def get_loop(self):
                return loop

            _loop = property(get_loop)

            def add_done_callback(self, callback, *, context=None):
                pass

            def cancel(self, msg=None):
                return False

        def first_step(coro):
            future = loop.create_future()
            future._asyncio_future_blocking = True
            return future

        def second_step(coro):
            scope = test.CancelScope().__enter__()
            coro.guard = Guard(scope)
            members.append(scope._spawn('propagate', loop.create_task, member()))
            return Waiter()

        class Guard:
            # Made after the first collection: it has not been finalized yet.
            def __init__(self, scope):
                self.scope = scope

            def __del__(self):
                self.scope.cancel()
                closed.append(repr(self.scope))

        async def member():
            await asyncio.sleep(1)
            return 'member'

        members, closed, saved = [], [], []
        loop.set_exception_handler(lambda loop, context: saved.append(context['task']))
        loop.create_task(SteppedCoroutine(first_step, second_step))
        await asyncio.sleep(0)
        gc.collect()
        self.assertEqual(len(saved), 1)
        loop.set_exception_handler(self._on_problem)
        saved[0]._fut_waiter.set_result(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.assertEqual(len(members), 1)
        saved.clear()
        gc.collect()
        self.assertEqual(len(closed), 1)
        self.assertEqual(await members[0], 'member')


@scope_utils.matrix
class ReviewTests:

    async def test_2_2_result_is_kept_when_a_shield_is_dropped(self):
        # Task.cancel() waits for the shield; what is awaited takes the request
        # when the shield goes, so the request is delivered.
        async def stubborn():
            try:
                await self.forever()
            except asyncio.CancelledError:
                return 42

        async def host():
            nonlocal scope
            with self.CancelScope(shield=True) as scope:
                results.append(await inner)
            await self.assert_cancelled(asyncio.sleep(0), 'why')

        scope, results = None, []
        inner = self.spawn(stubborn())
        task = self.spawn(host())
        await self.settle()
        task.cancel('why')
        self.assertTrue(task._must_cancel)
        scope.shield = False
        self.assertFalse(task._must_cancel)
        await task
        self.assertEqual(results, [42])

    async def test_2_9_expired_scope_below_a_cancelled_one(self):
        with self.CancelScope() as outer:
            outer.cancel('outer')
            with self.CancelScope(deadline=self.loop.time() - 1) as inner:
                await self.assert_cancelled(asyncio.sleep(0), 'outer')
                self.assertEqual(asyncio.current_task().cancelling(), 1)
            self.assert_scope(inner, called=True, caught=False)
            await self.assert_cancelled(asyncio.sleep(0), 'outer')
        await self.assert_not_cancelled()

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

    async def test_6_1_foreign_task_spawned_while_a_cancelled_group_joins(self):
        class Foreign(asyncio.Future):
            calls = 0

            def cancel(self, msg=None):
                self.calls += 1
                return super().cancel(msg)

        def factory(loop, coro, **kwargs):
            coro.close()
            foreign.append(Foreign(loop=loop))
            return foreign[-1]

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

        foreign = []
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                group.create_task(member())
                await asyncio.sleep(0)
                group.create_task(failing())
        self.assertEqual([type(exc) for exc in cm.exception.exceptions], [ValueError])
        self.assertEqual([task.calls for task in foreign], [1])

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


@scope_utils.matrix
class ClosedLoopTests:

    def test_3_9_closed_loop_goes_away_with_its_timer(self):
        async def main():
            with self.CancelScope(deadline=loop.time() + 1000):
                await asyncio.sleep(0)

        with support.disable_gc():
            loop = asyncio.new_event_loop()
            gone = weakref.ref(loop)
            task = self.Task(main(), loop=loop)
            loop.run_until_complete(task)
            loop.close()
            del loop, task
            if self.Task is asyncio.tasks._PyTask:
                # The handles of its steps and the frames are cycles.
                support.gc_collect()
            self.assertIsNone(gone())


if __name__ == '__main__':
    unittest.main()
