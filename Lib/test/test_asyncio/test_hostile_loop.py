"""Cancel scopes and loops whose clock and timers misbehave.

Whatever such an object does in the middle of a change to the tree, the change
ends with a clear outcome, and the tree is sound afterwards.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import functools
import unittest
import weakref
from asyncio import cancelscopes
from asyncio import tasks
from test import support
from unittest import mock

from test.test_asyncio.scope_utils import HostileTestCase, MyError, matrix


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


class Handle:
    """A timer handle that knows nothing of its callback."""

    def __init__(self, on_cancel=None):
        self.on_cancel = on_cancel

    def cancel(self):
        if self.on_cancel is not None:
            self.on_cancel()


@matrix
class LoopTests(HostileTestCase):
    """Methods of the loop raise, lie or come back to the scopes."""

    async def hosts(self, *hooks):
        """Start tasks blocked in a scope each; return their scopes."""
        async def host(index):
            with self.CancelScope() as scope:
                scopes[index] = scope
                try:
                    await self.forever()
                finally:
                    trace.append(index)
                    hooks[index]()

        scopes, trace = {}, []
        spawned = [self.spawn(host(i)) for i in range(len(hooks))]
        await self.settle()
        return spawned, scopes, trace

    async def test_2_3_call_soon_fails_once(self):
        # The Future whose callbacks are lost is done, as in stock; the others
        # are interrupted.
        def call_soon(*args, **kwargs):
            self.unpatch_loop('call_soon')
            raise OSError('no memory for handles')

        class Remembering(self.Future):
            def add_done_callback(self, callback, *, context=None):
                self.wake_up = functools.partial(callback, self)
                super().add_done_callback(callback, context=context)

        async def host(name):
            try:
                await futures[name]
            finally:
                trace.append(name)

        trace = []
        futures = {name: Remembering(loop=self.loop)
                   for name in ('first', 'second', 'third')}
        with self.CancelScope() as outer:
            async with asyncio.TaskGroup() as group:
                for name in futures:
                    group.create_task(host(name))
                await self.settle()
                self.patch_loop('call_soon', call_soon)
                outer.cancel()
                self.assertEqual([type(problem['exception'])
                                  for problem in self.problems], [OSError])
                self.problems.clear()
                self.assertIs(outer.cancel_called, True)
                with self.CancelScope(shield=True):
                    await self.settle()
                self.assertEqual(trace, ['second', 'third'])
                self.assertIs(futures['first'].cancelled(), True)
                # No other code does.
                self.loop.call_soon(futures['first'].wake_up)
        self.assert_scope(outer, called=True, caught=True)
        self.assertEqual(trace, ['second', 'third', 'first'])
        await self.assert_sound()

    async def test_2_8_call_soon_fails_always_while_a_member_is_made(self):
        def call_soon(*args, **kwargs):
            raise OSError('never')

        async def member():
            await self.forever()

        async with asyncio.TaskGroup() as group:
            with self.CancelScope() as scope:
                coro = member()
                self.patch_loop('call_soon', call_soon)
                try:
                    if self.eager:
                        group.create_task(coro)
                    else:
                        with self.assertRaisesRegex(OSError, 'never'):
                            group.create_task(coro)
                finally:
                    self.unpatch_loop('call_soon')
                scope.cancel()
            group.cancel()
        self.assertEqual(group._count_members(), 0)
        if not self.eager:
            coro.close()
        support.gc_collect()
        self.assertIn(self.take_problems(),
                      ([], ['Task was destroyed but it is pending!']))
        await self.assert_sound()

    async def test_2_3_call_soon_runs_the_callback_at_once(self):
        # So all of the hosts run and end within cancel().
        def canceller():
            self.patch_loop('call_soon', call_soon)
            try:
                outer.cancel()
            finally:
                self.unpatch_loop('call_soon')
            trace.append('cancelled')
            wake.set_result(None)

        def call_soon(callback, *args, context=None):
            if context is None:
                callback(*args)
            else:
                context.run(callback, *args)
            return asyncio.Handle(callback, args, self.loop)

        async def host(name):
            with self.CancelScope():
                try:
                    await self.forever()
                finally:
                    trace.append(name)
                    outer.cancel('again')
                    outer.shield = not outer.shield

        trace = []
        wake = self.loop.create_future()
        with self.CancelScope() as outer:
            async with asyncio.TaskGroup() as group:
                for i in range(3):
                    group.create_task(host(i))
                await self.settle()
                with self.CancelScope(shield=True):
                    asyncio.SelectorEventLoop.call_soon(self.loop, canceller)
                    await wake
        self.assertEqual(trace, [0, 1, 2, 'cancelled'])
        self.assert_scope(outer, called=True, caught=False)
        await self.assert_sound()

    async def test_2_3_call_soon_changes_the_tree(self):
        def call_soon(callback, *args, context=None):
            self.unpatch_loop('call_soon')
            for scope in list(scopes.values()):
                self.force_exit(scope)
                scope.cancel()
            with self.CancelScope(shield=True) as inner:
                inner.cancel()
                inner.shield = False
            return self.loop.call_soon(callback, *args, context=context)

        hosts, scopes, trace = await self.hosts(*[int] * 3)
        self.patch_loop('call_soon', call_soon)
        scopes[0].cancel()
        for host in hosts:
            host.cancel()
        await asyncio.wait(hosts)
        self.assertCountEqual(trace, [0, 1, 2])
        for host in hosts:
            self.assertRegex(str(host.exception()), 'already been left')
        await self.assert_sound()

    async def test_3_8_get_debug_fails(self):
        def get_debug():
            raise OSError('who knows')

        with self.CancelScope(deadline=self.loop.time() + 5) as scope:
            self.patch_loop('get_debug', get_debug)
            with self.assertRaisesRegex(OSError, 'who knows'):
                scope.cancel()
            with self.assertRaisesRegex(OSError, 'who knows'):
                scope.deadline = None
            with self.assertRaisesRegex(OSError, 'who knows'):
                scope.shield = True
            self.unpatch_loop('get_debug')
            self.assertIs(scope.cancel_called, False)
            self.assertIs(scope.shield, False)
            self.assertEqual(scope.deadline, self.loop.time() + 5)
            await self.forever()
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_sound()

    async def test_3_8_get_debug_leaves_the_scope(self):
        def get_debug():
            self.unpatch_loop('get_debug')
            self.assertTrue(self.force_exit(scopes[-1]))
            return answer

        def set_deadline(scope):
            scope.deadline = self.loop.time() + 1

        def set_shield(scope):
            scope.shield = True

        def cancel(scope):
            scope.cancel()

        scopes = []
        for answer in False, True, 'yes', []:
            for change in set_deadline, set_shield, cancel:
                with self.subTest(answer=answer, change=change.__name__):
                    scopes.append(self.CancelScope())
                    scopes[-1].__enter__()
                    self.patch_loop('get_debug', get_debug)
                    change(scopes[-1])
                    self.assertFalse(self.force_exit(scopes[-1]))
                    self.assertIs(scopes[-1].cancelled_caught, False)
        await self.assert_sound()
        self.assertEqual(self.loop._scheduled, [])

    async def test_3_8_get_debug_is_unusual(self):
        class Odd:
            def __bool__(self):
                raise MyError

        with self.CancelScope() as scope:
            self.patch_loop('get_debug', Odd)
            with self.assertRaises(MyError):
                scope.cancel()
            self.unpatch_loop('get_debug')
            self.assertIs(scope.cancel_called, False)
        await self.assert_sound()

    async def test_3_7_time_leaves_the_scope(self):
        for then in 'return', 'raise', 'late':
            with self.subTest(then):
                def time():
                    self.unpatch_loop('time')
                    self.force_exit(scope)
                    if then == 'raise':
                        raise MyError
                    return self.loop.time() + 1000 * (then == 'late')

                scope = self.CancelScope(deadline=self.loop.time() + 5)
                self.patch_loop('time', time)
                try:
                    scope.__enter__()
                except MyError:
                    self.assertEqual(then, 'raise')
                self.unpatch_loop('time')
                self.assertFalse(self.force_exit(scope))
                await self.assert_not_cancelled()
        await self.assert_sound()

    async def test_3_7_time_enters_scopes_and_cancels(self):
        # What it enters is inside of the scope that asks.
        def time():
            self.unpatch_loop('time')
            inner.append(self.CancelScope().__enter__())
            outer.cancel('outer')
            return self.loop.time()

        inner = []
        with self.CancelScope() as outer:
            scope = self.CancelScope(deadline=self.loop.time() + 5)
            self.patch_loop('time', time)
            scope.__enter__()
            await self.assert_level('outer', times=1)
            inner[0].__exit__(None, None, None)
            scope.__exit__(None, None, None)
            await self.assert_level('outer', times=1)
        await self.assert_sound()

    async def test_3_7_time_moves_the_deadline(self):
        for deadline in None, 1, 5000:
            with self.subTest(deadline):
                def time():
                    self.unpatch_loop('time')
                    scope.deadline = deadline
                    return self.loop.time()

                scope = self.CancelScope(deadline=self.loop.time() + 5)
                self.patch_loop('time', time)
                try:
                    with scope:
                        if scope.deadline is not None:
                            await self.forever()
                except TypeError:
                    # The Python one compares with what it had read before.
                    self.assertIs(self.Task, tasks._PyTask)
                self.unpatch_loop('time')
                self.assertNotIn(' active', repr(scope))
                await self.assert_not_cancelled()
        await self.assert_sound()

    async def test_3_7_time_returns_no_number(self):
        for answer, error in (
                ('noon', TypeError), (None, TypeError), ([], TypeError),
                (float('nan'), None), (float('-inf'), None),
                (float('inf'), None), (True, None)):
            with self.subTest(answer=answer):
                scope = self.CancelScope(deadline=self.loop.time() + 5)
                self.patch_loop('time', lambda: answer)
                try:
                    if error is not None:
                        with self.assertRaises(error):
                            scope.__enter__()
                    else:
                        scope.__enter__()
                finally:
                    self.unpatch_loop('time')
                if error is None:
                    scope.__exit__(None, None, None)
                else:
                    # It has not been entered, and still can be.
                    self.assertIn('unentered', repr(scope))
                    with scope:
                        pass
                await self.assert_not_cancelled()
        await self.assert_sound()

    async def test_3_7_call_at_fails_when_the_deadline_is_moved(self):
        def call_at(*args, **kwargs):
            raise OSError('no more timers')

        start = self.loop.time()
        with self.CancelScope(deadline=start + 50) as scope:
            self.patch_loop('call_at', call_at)
            with self.assertRaisesRegex(OSError, 'no more timers'):
                scope.deadline = start + 5
            self.unpatch_loop('call_at')
            # It is kept in mind all the same.
            self.assertEqual(scope.deadline, start + 5)
            await asyncio.sleep(1)
            scope.deadline = start + 3
            await self.forever()
        self.assertEqual(self.loop.time(), start + 3)
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_sound()

    async def test_3_7_call_at_runs_the_callback_at_once(self):
        def call_at(when, callback, *args, context=None):
            self.unpatch_loop('call_at')
            callback(*args)
            return self.loop.call_at(when, callback, *args, context=context)

        self.patch_loop('call_at', call_at)
        with self.CancelScope(deadline=self.loop.time() + 5) as scope:
            self.unpatch_loop('call_at')
            await self.forever()
        self.assert_scope(scope, called=True, caught=True)
        self.assertLessEqual(self.loop.time(), 1005)
        await self.assert_sound()

    async def test_3_7_call_at_returns_no_timer_handle(self):
        class Handle:
            def cancel(self):
                return 'no'

        original = self.loop.call_at
        for make in Handle, object, lambda: 42:
            with self.subTest(make=make):
                def call_at(*args, **kwargs):
                    original(*args, **kwargs)
                    return make()

                scope = self.CancelScope(deadline=self.loop.time() + 50)
                self.patch_loop('call_at', call_at)
                scope.__enter__()
                try:
                    scope.deadline = self.loop.time() + 5
                except AttributeError:      # no cancel() in a handle
                    self.assertIsNot(make, Handle)
                self.unpatch_loop('call_at')
                try:
                    scope.__exit__(None, None, None)
                except AttributeError:
                    self.assertIsNot(make, Handle)
                    self.force_exit(scope)
                self.assertNotIn(' active', repr(scope))
                await self.assert_not_cancelled()
        await asyncio.sleep(100)
        self.take_problems()
        await self.assert_sound()

    async def test_2_2_create_future_fails_in_a_cancelled_scope(self):
        def create_future():
            raise OSError('no future')

        with self.CancelScope() as scope:
            scope.cancel()
            saved = self.loop.create_future
            self.loop.create_future = create_future
            try:
                with self.assertRaisesRegex(OSError, 'no future'):
                    await asyncio.sleep(1)
            finally:
                self.loop.create_future = saved
            await self.assert_level()
        await self.assert_sound()

    async def test_4_1_loop_of_timeout_fails(self):
        def time():
            raise OSError('no clock')

        timeout = asyncio.timeout(5)
        self.patch_loop('time', time)
        with self.assertRaisesRegex(OSError, 'no clock'):
            asyncio.timeout(5)
        with self.assertRaisesRegex(OSError, 'no clock'):
            await timeout.__aenter__()
        self.unpatch_loop('time')
        async with timeout:
            await asyncio.sleep(1)
        await self.assert_sound()

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


@matrix
class TimerTests(HostileTestCase):
    """The timers of a loop, and its clock."""

    async def test_3_7_call_at_opens_a_scope(self):
        # The timer of the inner scope is not the one of the outer.
        original = self.loop.call_at

        def call_at(*args, **kwargs):
            self.unpatch_loop('call_at')
            with self.CancelScope(deadline=self.loop.time() + 1):
                pass
            return original(*args, **kwargs)

        self.patch_loop('call_at', call_at)
        with self.CancelScope(deadline=self.loop.time() + 10) as scope:
            await asyncio.sleep(5)
            self.assertIs(scope.cancel_called, False)
            await asyncio.sleep(10)
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_sound()

    async def test_3_7_call_at_moves_the_deadline(self):
        original = self.loop.call_at

        def call_at(*args, **kwargs):
            self.unpatch_loop('call_at')
            scope.deadline = start + 20
            return original(*args, **kwargs)

        start = self.loop.time()
        scope = self.CancelScope(deadline=start + 10)
        self.patch_loop('call_at', call_at)
        with scope:
            await asyncio.sleep(100)
        self.assert_scope(scope, called=True, caught=True)
        self.assertEqual(self.loop.time(), start + 20)
        await self.assert_sound()

    async def test_3_7_call_at_fails_for_another_deadline(self):
        async def victim():
            with self.CancelScope(deadline=self.loop.time() + 3) as scope:
                await self.forever()
            return scope.cancelled_caught

        def call_at(*args, **kwargs):
            raise MyError

        start = self.loop.time()
        task = self.spawn(victim())
        await self.settle()
        self.patch_loop('call_at', call_at)
        with self.assertRaises(MyError):
            self.CancelScope(deadline=start + 1).__enter__()
        self.unpatch_loop('call_at')
        self.assertIs(await task, True)
        self.assertEqual(self.loop.time(), start + 3)
        await self.assert_sound()

    async def test_3_7_call_at_fails_as_a_timer_comes(self):
        # The next deadline is not missed for that.
        def call_at(*args, **kwargs):
            tried.append(args)
            if len(tried) == 5:
                self.unpatch_loop('call_at')
            raise MyError

        tried = []
        start = self.loop.time()
        with self.CancelScope(deadline=start + 5) as outer:
            with self.CancelScope(deadline=start + 1) as inner:
                await self.settle()
                self.patch_loop('call_at', call_at)
                await self.forever()
            await self.forever()
        self.unpatch_loop('call_at')
        self.assert_scope(inner, called=True, caught=True)
        self.assert_scope(outer, called=True, caught=True)
        self.assertEqual(self.loop.time(), start + 5)
        # Each scope of the pure-Python class has its own timer.
        python = self.Task is tasks._PyTask
        self.assertEqual(len(self.take_problems()), 0 if python else 1)
        await self.assert_sound()

    async def test_3_8_entry_fails_with_a_member(self):
        class Group:
            def _members_done(self):
                told.append(self)

        def call_at(*args, **kwargs):
            self.unpatch_loop('call_at')
            member = scope._spawn('log', self.loop.create_task, self.forever())
            members.append(member)
            raise MyError

        told, members = [], []
        scope = self.CancelScope(deadline=self.loop.time() + 5)
        scope._group = Group()
        self.patch_loop('call_at', call_at)
        with self.assertRaises(MyError):
            scope.__enter__()
        # (An eager member has begun to wait.)
        await self.settle()
        members[0].cancel()
        await asyncio.wait(members)
        with scope:
            await asyncio.sleep(10)
        self.assert_scope(scope, called=True, caught=True)
        self.assertEqual(len(told), 1)
        await self.assert_sound()

    async def test_3_7_expiry_is_remembered_over_entry(self):
        def call_at(*args, **kwargs):
            self.unpatch_loop('call_at')
            self.patch_loop('time', lambda: start + 100)
            self.assertIs(scope.cancel_called, True)
            self.unpatch_loop('time')
            raise MyError

        start = self.loop.time()
        for how in 'before entry', 'while entry fails':
            with self.subTest(how):
                if how == 'before entry':
                    scope = self.CancelScope(deadline=start)
                    self.assertIs(scope.cancel_called, True)
                else:
                    scope = self.CancelScope(deadline=start + 50)
                    self.patch_loop('call_at', call_at)
                    with self.assertRaises(MyError):
                        scope.__enter__()
                self.assertIs(scope.deadline_expired, True)
                with scope:
                    self.assertIs(scope.deadline_expired, True)
                    await self.assert_level('deadline exceeded', times=1)
                self.assertIs(scope.deadline_expired, True)
                await self.assert_sound()

    async def test_3_7_timer_cannot_be_cancelled(self):
        def refuse(handle):
            raise MyError

        async def member():
            self.CancelScope(deadline=self.loop.time() + 5).__enter__()

        with mock.patch.object(asyncio.TimerHandle, 'cancel', refuse):
            with self.CancelScope(deadline=self.loop.time() + 10) as scope:
                async with asyncio.TaskGroup() as group:
                    group.create_task(member())
                scope.deadline = self.loop.time() + 50
                # The first timer comes; nothing is due.
                await self.loop.create_task(self.wait_for_timer(30))
        self.assert_scope(scope, called=False, caught=False)
        await asyncio.sleep(100)
        self.take_problems()
        await self.assert_sound()

    async def test_8_3_interrupt_as_a_timer_is_cancelled(self):
        # The C scopes share a timer, and cancel it less often.
        async def host():
            deadline = self.loop.time() + 100
            with self.CancelScope(deadline=deadline) as outer:
                with self.CancelScope(deadline=deadline) as inner:
                    scopes[:] = outer, inner
                    await self.forever()

        def interrupt(handle):
            original(handle)
            if armed:
                armed.clear()
                raise KeyboardInterrupt

        def cancel():
            scopes[0].cancel()

        def move():
            scopes[0].deadline = self.loop.time() + 2

        def expire():
            self.patch_loop('time', lambda: before + 200)
            try:
                scopes[1].cancel_called
            finally:
                self.unpatch_loop('time')

        original = asyncio.TimerHandle.cancel
        scopes, armed = [], []
        for change, delay in (cancel, 0), (move, 2), (expire, 0):
            with self.subTest(change.__name__):
                task = self.spawn(host())
                await self.settle()
                before = self.loop.time()
                with mock.patch.object(asyncio.TimerHandle, 'cancel',
                                                interrupt):
                    armed.append(change)
                    with contextlib.suppress(KeyboardInterrupt):
                        change()
                    armed.clear()
                await task
                self.assert_scope(scopes[0], called=True, caught=True)
                self.assertEqual(self.loop.time(), before + delay)
        await self.assert_sound()

    async def test_8_3_interrupt_as_a_scope_with_a_timer_is_left(self):
        def interrupt(handle):
            original(handle)
            if armed:
                armed.clear()
                raise KeyboardInterrupt

        class Group:
            def _members_done(self):
                pass

        original = asyncio.TimerHandle.cancel
        armed = []
        with self.CancelScope() as outer:
            with (mock.patch.object(asyncio.TimerHandle, 'cancel',
                                             interrupt),
                  contextlib.suppress(KeyboardInterrupt)):
                with self.CancelScope(deadline=self.loop.time() + 5,
                                      shield=True) as scope:
                    scope._group = Group()
                    member = scope._spawn('log', self.loop.create_task,
                                          self.forever())
                    await self.settle()
                    armed.append(scope)
            # What was in the scope has moved out of its shield.
            outer.cancel('outer')
            await self.assert_level('outer', times=1)
            self.assertIs(member.cancelled(), True)
        self.assert_scope(scope, called=False, caught=False)
        await self.assert_sound()

    async def wait_for_timer(self, delay):
        # Unlike sleep() it does not cancel its timer.
        future = self.loop.create_future()
        self.loop.call_later(delay, future.set_result, None)
        await future

    def hook_time(self, action):
        def time():
            self.unpatch_loop('time')
            action()
            return self.loop.time()
        self.patch_loop('time', time)

    def move_on_after(self, delay):
        return (cancelscopes._py_move_on_after
                if self.CancelScope is cancelscopes._PyCancelScope
                else asyncio.move_on_after)(delay)

    async def test_3_8_time_changes_the_scope_on_entry(self):
        def enter():
            with self.assertRaises(RuntimeError):
                scope.__enter__()

        def remove():
            scope.deadline = None

        def cancel():
            scope.cancel('time')

        for action in enter, remove, cancel:
            with self.subTest(action.__name__):
                scope = self.move_on_after(5)
                self.hook_time(action)
                with scope:
                    await asyncio.sleep(10)
                self.assert_scope(scope, called=action is not remove,
                                  caught=action is not remove)
                await self.assert_sound()

    async def test_3_2_cancel_while_entry_fails(self):
        def fail():
            scope.cancel('why')
            scope.shield = True
            scope.deadline = self.loop.time() + 77
            raise MyError

        for relative in False, True:
            with self.subTest(relative=relative):
                scope = (self.move_on_after(50) if relative
                         else self.CancelScope(deadline=self.loop.time() + 50))
                self.hook_time(fail)
                with self.assertRaises(MyError):
                    scope.__enter__()
                self.assertEqual(scope.deadline, self.loop.time() + 77)
                self.assertIs(scope.shield, True)
                with scope:
                    await self.assert_level('why', times=1)
                await self.assert_sound()


@matrix
class ClosedLoopTests:

    def test_3_9_closed_loop_is_deallocated_with_its_timer(self):
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
