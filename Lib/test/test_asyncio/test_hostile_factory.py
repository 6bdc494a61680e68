"""Cancel scopes and hostile task factories, members and callbacks.

Whatever such an object does in the middle of a change to the tree, the change
ends with a clear outcome, and the tree is sound afterwards.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import gc
import logging
import threading
import unittest
import weakref
from asyncio import cancelscopes
from asyncio import tasks
from test import support
from test.support import threading_helper

from test.test_asyncio import scope_utils
from test.test_asyncio.scope_utils import (HostileTestCase, MyBaseError,
                                           MyError, matrix, needs_level_cancel)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class FactoryTests(HostileTestCase):
    """Task factories that return other objects than they should."""

    def use_factory(self, make):
        """Let the factory close the coroutine and return make()."""
        def factory(loop, coro, **kwargs):
            coro.close()
            return make()

        previous = self.loop.get_task_factory()
        self.loop.set_task_factory(factory)
        return previous

    async def spawn_into_group(self, make):
        """Spawn twice with a strange factory; return what that gave."""
        outcomes = []
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1))
            previous = self.use_factory(make)
            try:
                for _ in range(2):
                    try:
                        outcomes.append(group.create_task(asyncio.sleep(0)))
                    except Exception as exc:
                        outcomes.append(type(exc))
            finally:
                self.loop.set_task_factory(previous)
            member = group.create_task(asyncio.sleep(1, 'member'))
        self.assertEqual(member.result(), 'member')
        self.assertEqual(group._count_members(), 0)
        await self.assert_sound()
        return outcomes

    async def test_5_7_factory_returns_no_task(self):
        for rubbish in None, 42, object, 'task', NotImplemented:
            with self.subTest(rubbish=rubbish):
                outcomes = await self.spawn_into_group(lambda: rubbish)
                self.assertEqual(outcomes, [AttributeError] * 2)

    async def test_5_7_factory_fails(self):
        def make():
            raise MyError

        self.assertEqual(await self.spawn_into_group(make), [MyError] * 2)

    async def test_5_7_factory_is_interrupted(self):
        def make():
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            async with asyncio.TaskGroup() as group:
                group.create_task(self.forever())
                previous = self.use_factory(make)
                try:
                    group.create_task(asyncio.sleep(0))
                finally:
                    self.loop.set_task_factory(previous)
        await self.assert_sound()

    async def test_5_7_factory_returns_the_same_task_twice(self):
        task = self.spawn(asyncio.sleep(5, 'same'))
        start = self.loop.time()
        outcomes = await self.spawn_into_group(lambda: task)
        self.assertEqual(outcomes, [task] * 2)
        self.assertEqual(task.result(), 'same')
        self.assertEqual(self.loop.time(), start + 5 + 3)

    async def test_5_7_factory_returns_a_finished_task(self):
        task = self.spawn(asyncio.sleep(0, 'done'))
        await task
        self.assertEqual(await self.spawn_into_group(lambda: task),
                         [task] * 2)

    async def test_5_7_factory_returns_the_current_task(self):
        # It hangs where it hangs; a group that waited for its own host would
        # wait forever.
        task = asyncio.current_task()
        with self.CancelScope() as scope:
            previous = self.use_factory(lambda: task)
            try:
                made = scope._spawn('propagate', self.loop.create_task,
                                    asyncio.sleep(0))
            finally:
                self.loop.set_task_factory(previous)
            self.assertIs(made, task)
            self.assertEqual(scope._members(), [])
            scope.cancel()
        await self.assert_sound()

    async def test_5_7_factory_returns_a_future(self):
        future = self.loop.create_future()
        self.loop.call_later(5, future.set_result, None)
        outcomes = await self.spawn_into_group(lambda: future)
        self.assertEqual(outcomes, [future] * 2)
        # A failure of it is one of the group: of both members that it is.
        future = self.loop.create_future()
        self.loop.call_later(1, future.set_exception, MyError())
        with self.assertRaises(ExceptionGroup) as cm:
            await self.spawn_into_group(lambda: future)
        self.assertEqual([type(exc) for exc in cm.exception.exceptions],
                         [MyError] * 2)
        await self.assert_sound()

    async def test_5_7_factory_returns_a_task_of_another_loop(self):
        other = scope_utils.VirtualTimeLoop()
        self.addCleanup(other.close)

        async def external():
            await asyncio.sleep(1)
            return 'other'

        def factory(loop, coro, **kwargs):
            coro.close()
            made.append(self.Task(external(), loop=other))
            return made[-1]

        def run():
            other.run_until_complete(made[0])

        made = []
        async with asyncio.TaskGroup() as group:
            previous = self.loop.get_task_factory()
            self.loop.set_task_factory(factory)
            try:
                task = group.create_task(asyncio.sleep(0))
            finally:
                self.loop.set_task_factory(previous)
            self.assertIs(task, made[0])
            # No other thread may run a loop while one is running.
            with threading_helper.start_threads(
                    [threading.Thread(target=run)]):
                pass
        self.assertEqual(task.result(), 'other')
        await self.assert_sound()

    async def test_5_7_factory_spawns_before_it_returns(self):
        # The first task takes the place of the one that was asked for, which
        # is an external one of the group then.
        def factory(loop, coro, **kwargs):
            self.loop.set_task_factory(previous)
            extra.append(self.loop.create_task(asyncio.sleep(1, 'extra')))
            return self.loop.create_task(coro, **kwargs)

        extra = []
        async with asyncio.TaskGroup() as group:
            previous = self.loop.get_task_factory()
            self.loop.set_task_factory(factory)
            task = group.create_task(self.forever())
            self.assertEqual(group._count_members(), 2)
            group.cancel()
        self.assertTrue(task.cancelled())
        self.assertTrue(extra[0].cancelled())
        await self.assert_sound()

    async def test_5_7_tasks_of_a_factory_that_spawns_fail(self):
        # What the first one raises is not the group's.
        def factory(loop, coro, **kwargs):
            self.loop.set_task_factory(previous)
            extra.append(self.loop.create_task(fail(OSError(), 1)))
            return self.loop.create_task(coro, **kwargs)

        async def fail(error, delay):
            await asyncio.sleep(delay)
            raise error

        extra, error = [], MyError()
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                previous = self.loop.get_task_factory()
                self.loop.set_task_factory(factory)
                group.create_task(fail(error, 2))
        self.assertEqual(cm.exception.exceptions, (error,))
        self.assertIsInstance(extra.pop().exception(), OSError)
        await self.assert_sound()

    async def test_5_7_factory_cancels_and_leaves_the_group(self):
        def cancel():
            group.cancel()

        def leave():
            self.force_exit(group.cancel_scope)

        for action in cancel, leave:
            def factory(loop, coro, **kwargs):
                self.loop.set_task_factory(previous)
                action()
                return self.loop.create_task(coro, **kwargs)

            with self.subTest(action.__name__):
                previous = self.loop.get_task_factory()
                try:
                    async with asyncio.TaskGroup() as group:
                        self.loop.set_task_factory(factory)
                        task = group.create_task(asyncio.sleep(1))
                    self.assertIs(action, cancel)
                    self.assertTrue(task.cancelled())
                except* RuntimeError:
                    self.assertIs(action, leave)
                await asyncio.wait([task])
                await self.assert_sound()

    async def test_5_7_initialized_again_as_it_is_initialized_again(self):
        # What the group is told of the task does it; the C task refuses.
        class Group:
            calls = 0

            def _members_done(self):
                self.calls += 1
                if self.calls <= 2:
                    scope._spawn(None, again)

            def _member_failed(self, task):
                pass

            def _host_ended(self):
                pass

            def _cancel_external(self, msg):
                pass

        def again():
            task.__init__(asyncio.sleep(0), loop=loop)
            return task

        loop = self.loop
        with self.CancelScope() as scope:
            scope._group = group = Group()
            task = scope._spawn(None, loop.create_task, asyncio.sleep(0))
            with contextlib.suppress(RuntimeError):
                task.__init__(asyncio.sleep(0), loop=loop)
            await asyncio.sleep(1)
            scope._group = None
        self.assertGreater(group.calls, 0)
        await asyncio.sleep(1)
        self.problems.clear()  # It has been scheduled more than once.
        await self.assert_sound()

    @needs_level_cancel
    async def test_5_7_task_that_is_cancelled_by_its_init(self):
        class Task(self.Task):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                self.cancel('init')

        def factory(loop, coro, **kwargs):
            return Task(coro, loop=loop, **kwargs)

        async def member():
            await self.assert_cancelled(asyncio.sleep(0), 'init')
            raise MyError

        previous = self.loop.get_task_factory()
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                self.loop.set_task_factory(factory)
                try:
                    group.create_task(member())
                finally:
                    self.loop.set_task_factory(previous)
        self.assertIsInstance(cm.exception.exceptions[0], MyError)
        await self.assert_sound()

    async def test_5_7_task_whose_init_fails_late(self):
        # The loop runs it all the same, in the group.
        class Task(self.Task):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                made.append(self)
                raise MyError

        def factory(loop, coro, **kwargs):
            return Task(coro, loop=loop, **kwargs)

        made = []
        async with asyncio.TaskGroup() as group:
            previous = self.loop.get_task_factory()
            self.loop.set_task_factory(factory)
            try:
                with self.assertRaises(MyError):
                    group.create_task(asyncio.sleep(1, 'made'))
            finally:
                self.loop.set_task_factory(previous)
            self.assertEqual(group._count_members(), 1)
            group.cancel()
        self.assertTrue(made[0].cancelled())
        await self.assert_sound()

    async def test_1_1_factory_returns_a_task_that_is_there(self):
        # It stays where it is: the tree gets no ring, and no group a member.
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
                    self.assertNotIn(task, scope._members())
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
        self.assertTrue(made[0].cancelled())


@matrix
class GroupTests(HostileTestCase):
    """Groups whose members and callbacks turn against them."""

    async def test_6_5_done_callbacks_change_the_group(self):
        def cancel_group(task):
            group.cancel()

        def cancel_scope(task):
            outer.cancel()

        def spawn(task):
            late.append(group.create_task(asyncio.sleep(1, 'late')))

        def fail(task):
            raise MyError

        def toggle(task):
            group.cancel_scope.shield = True
            group.cancel_scope.deadline = self.loop.time() + 5
            group.cancel_scope.deadline = None
            group.cancel_scope.shield = False

        def collect(task):
            gc.collect()

        for callback in (cancel_group, cancel_scope, spawn, fail, toggle,
                         collect):
            with self.subTest(callback.__name__):
                late, finished = [], False
                with self.CancelScope() as outer:
                    async with asyncio.TaskGroup() as group:
                        task = group.create_task(asyncio.sleep(1))
                        task.add_done_callback(callback)
                        slow = group.create_task(asyncio.sleep(10, 'slow'))
                    finished = True
                self.assertTrue(task.done() and slow.done())
                if callback in (cancel_group, cancel_scope):
                    self.assertTrue(slow.cancelled())
                    self.assertIs(finished, callback is cancel_group)
                else:
                    self.assertEqual(slow.result(), 'slow')
                    self.assertTrue(finished)
                if callback is spawn:
                    self.assertEqual(late[0].result(), 'late')
                # The loop hears of it, as of that of any callback.
                self.assertEqual([type(problem['exception'])
                                  for problem in self.problems],
                                 [MyError] * (callback is fail))
                self.problems.clear()
                await self.assert_sound()

    async def test_3_8_callback_leaves_the_group_while_it_waits(self):
        # Those that are left no longer belong to the group, which therefore
        # has no members to wait for, and says what is wrong.
        def leave(task):
            self.assertFalse(self.force_exit(group.cancel_scope))

        async def host():
            nonlocal group, slow
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(1)).add_done_callback(leave)
                slow = group.create_task(asyncio.sleep(10, 'slow'))

        group = slow = None
        with self.assertRaises(ExceptionGroup) as cm:
            await self.spawn(host())
        self.assertRegex(str(cm.exception.exceptions[0]),
                         'already been left')
        self.assertEqual(await slow, 'slow')
        await self.assert_sound()

    async def test_3_8_callback_of_the_last_member_leaves_the_group(self):
        def leave(task):
            self.assertFalse(self.force_exit(group.cancel_scope))

        async def host():
            nonlocal group
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(1)).add_done_callback(leave)

        group = None
        with self.assertRaises(ExceptionGroup) as cm:
            await self.spawn(host())
        self.assertRegex(str(cm.exception.exceptions[0]),
                         'already been left')
        await self.assert_sound()

    async def test_3_8_member_that_ends_is_moved_to_another_group(self):
        # It leaves a group open, which is told, and makes the member's own
        # group go away: the one that has the member then must not keep it.
        class Hostile(asyncio.TaskGroup):
            def _host_ended(self):
                calls.append(None)
                test.force_exit(inner.cancel_scope)
                super()._host_ended()

        async def end():
            left_open = Hostile()
            await left_open.__aenter__()
            others.append(left_open.create_task(asyncio.sleep(5, 'other')))

        async def host():
            nonlocal inner
            async with asyncio.TaskGroup() as outer:
                async with asyncio.TaskGroup() as inner:
                    inner.create_task(end())
            self.fail('the body of the outer group goes wrong')

        test, inner = self, None
        calls, others = [], []
        with self.assertRaises(ExceptionGroup) as cm:
            await asyncio.wait_for(self.spawn(host()), 60)
        error, = cm.exception.exceptions
        self.assertRegex(str(error.exceptions[0]), 'already been left')
        self.assertEqual(len(calls), 1)
        await asyncio.wait(others)
        self.assertIs(others[0].cancelled(), True)
        await self.assert_sound()

    async def test_3_8_body_leaves_the_scope_of_its_group(self):
        async def host():
            nonlocal member
            async with asyncio.TaskGroup() as group:
                member = group.create_task(asyncio.sleep(5, 'member'))
                await asyncio.sleep(0)
                group.cancel_scope.__exit__(None, None, None)
                coro = asyncio.sleep(0)
                try:
                    group.create_task(coro)
                except RuntimeError:
                    coro.close()

        member = None
        with self.assertRaises(ExceptionGroup) as cm:
            await self.spawn(host())
        self.assertRegex(str(cm.exception.exceptions[0]),
                         'already been left')
        self.assertEqual(await member, 'member')
        await self.assert_sound()

    async def test_3_8_scope_of_a_group_entered_by_hand(self):
        group = asyncio.TaskGroup()
        with group.cancel_scope:
            with self.assertRaisesRegex(RuntimeError, 'already been entered'):
                await group.__aenter__()
            coro = asyncio.sleep(0)
            with self.assertRaisesRegex(RuntimeError, 'not been entered'):
                group.create_task(coro)
            group.cancel()
            await self.assert_level()
        await self.assert_sound()

    async def test_3_8_group_used_twice(self):
        group = asyncio.TaskGroup()
        async with group:
            with self.assertRaisesRegex(RuntimeError, 'already been entered'):
                async with group:
                    self.fail('entered twice')
            group.create_task(asyncio.sleep(1))
        with self.assertRaisesRegex(RuntimeError, 'already been entered'):
            async with group:
                self.fail('entered again')
        group.cancel()
        await self.assert_sound()

    async def test_3_8_group_used_in_two_tasks(self):
        async def host():
            async with group:
                await asyncio.sleep(1)

        group = asyncio.TaskGroup()
        hosts = [self.spawn(host()), self.spawn(host())]
        await asyncio.wait(hosts)
        self.assertIsNone(hosts[0].exception())
        self.assertRegex(str(hosts[1].exception()), 'already been entered')
        await self.assert_sound()

    async def test_3_8_group_left_before_it_was_entered(self):
        group = asyncio.TaskGroup()
        with self.assertRaises((RuntimeError, ExceptionGroup)):
            await group.__aexit__(None, None, None)
        await self.assert_sound()

    async def test_3_8_group_left_twice(self):
        group = asyncio.TaskGroup()
        async with group:
            pass
        with self.assertRaises((RuntimeError, ExceptionGroup)):
            await group.__aexit__(None, None, None)
        error = MyError()
        with self.assertRaises((RuntimeError, ExceptionGroup)):
            await group.__aexit__(MyError, error, None)
        await self.assert_sound()

    async def test_6_8_group_left_in_another_task(self):
        async def host():
            await group.__aenter__()
            member = group.create_task(asyncio.sleep(5, 'member'))
            members.append(member)
            await self.forever()

        members = []
        group = asyncio.TaskGroup()
        task = self.spawn(host())
        await self.settle()
        await group.__aexit__(None, None, None)
        self.assertEqual(members[0].result(), 'member')
        self.assertFalse(task.done())
        task.cancel()
        await asyncio.wait([task])
        self.assertTrue(task.cancelled())
        await self.assert_sound()

    async def test_6_8_groups_left_out_of_order(self):
        async def host():
            outer, inner = asyncio.TaskGroup(), asyncio.TaskGroup()
            await outer.__aenter__()
            await inner.__aenter__()
            outer.create_task(asyncio.sleep(2, 'outer'))
            task = inner.create_task(asyncio.sleep(5, 'inner'))
            await outer.__aexit__(None, None, None)
            self.assertFalse(task.done())
            # The inner one works as before.
            outer.cancel()
            inner.create_task(asyncio.sleep(1))
            await inner.__aexit__(None, None, None)
            self.assertEqual(task.result(), 'inner')
            await self.assert_sound()

        await self.spawn(host())
        await self.assert_sound()

    async def test_4_4_timeout_left_in_another_task(self):
        async def host():
            await timeout.__aenter__()
            await self.forever()

        timeout = asyncio.timeout(50)
        task = self.spawn(host())
        await self.settle()
        await timeout.__aexit__(None, None, None)
        await asyncio.sleep(100)
        self.assertFalse(task.done())
        task.cancel()
        await asyncio.wait([task])
        self.assertTrue(task.cancelled())
        await self.assert_sound()

    async def test_3_8_timeout_left_without_being_entered(self):
        with self.assertRaises((RuntimeError, AssertionError)):
            await asyncio.timeout(5).__aexit__(None, None, None)
        timeout = asyncio.timeout(5)
        async with timeout:
            pass
        with self.assertRaises((RuntimeError, AssertionError)):
            await timeout.__aexit__(None, None, None)
        await self.assert_sound()

    async def test_6_3_members_that_fail_with_odd_errors(self):
        class Odd(Exception):
            def __eq__(self, other):
                raise MyError
            __hash__ = __bool__ = __str__ = __repr__ = __eq__

        class Finalized(Exception):
            def __init__(self, function):
                self.function = function

            def __del__(self):
                self.function()

        async def failing(exc):
            raise exc

        errors = [Odd(), Odd()]
        caught = []
        try:
            async with asyncio.TaskGroup() as group:
                for error in errors:
                    group.create_task(failing(error))
                # Twice the same.
                group.create_task(failing(errors[0]))
        except BaseExceptionGroup as exc:
            caught = list(map(id, exc.exceptions))
        self.assertCountEqual(caught, map(id, [*errors, errors[0]]))

        def change():
            changes.append(1)
            outer.cancel('finalizer')
            outer.cancel_called

        changes = []
        with self.CancelScope() as outer:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(failing(Finalized(change)))
            except* Finalized:
                pass
            support.gc_collect()
            self.assertEqual(changes, [1])
            await self.assert_level('finalizer', times=1)
        self.assert_scope(outer, called=True, caught=False)
        await self.assert_sound()

    async def test_6_3_exception_property_of_a_member_fails(self):
        class Task(self.Task):
            def exception(self):
                raise KeyError('exception')

        async def failing():
            raise MyError

        def factory(loop, coro, **kwargs):
            return Task(coro, loop=loop, **kwargs)

        previous = self.loop.get_task_factory()
        with support.catch_unraisable_exception() as cm:
            async with asyncio.TaskGroup() as group:
                self.loop.set_task_factory(factory)
                try:
                    group.create_task(failing())
                finally:
                    self.loop.set_task_factory(previous)
            # It is not lost, wherever it is reported.
            found = [type(problem.get('exception'))
                     for problem in self.problems]
            if cm.unraisable is not None:
                found.append(cm.unraisable.exc_type)
            self.assertIn(KeyError, found)
        # The traceback of that keeps the task, which has an error of its own.
        found = None
        self.problems.clear()
        support.gc_collect()
        self.problems.clear()
        await self.assert_sound()

    def drop_current_task(self):
        """Make a task the current one to which nothing else refers.

        Return a weak reference to it, and a function that makes the task the
        current one again that is so now, and lets go of the other.
        """
        def swap_back():
            if pair:
                tasks._leave_task(self.loop, asyncio.current_task())
                tasks._enter_task(self.loop, pair.pop())

        coro = self.forever()
        self.addCleanup(coro.close)
        task = self.Task(coro, loop=self.loop, eager_start=False)
        task._log_destroy_pending = False
        self.loop._ready.clear()    # Its first step.
        pair = [asyncio.current_task()]
        tasks._leave_task(self.loop, pair[0])
        tasks._enter_task(self.loop, task)
        return weakref.ref(task), swap_back

    async def test_4_4_current_task_goes_away(self):
        # When the task of the scope is asked whether it is being closed.
        class Task(self.Task):
            def get_coro(task):
                if swaps:
                    swaps[-1]()
                return super().get_coro()

        async def host():
            scopes.append(
                cancelscopes._make_scope(movable=True).__enter__())
            await self.forever()

        swaps, scopes = [], []
        exc = GeneratorExit()
        for leave in (
                lambda scope: scope.__exit__(GeneratorExit, exc, None),
                lambda scope: scope._move_here()):
            task = Task(host(), loop=self.loop, eager_start=False)
            await asyncio.sleep(0)
            reference, swap_back = self.drop_current_task()
            swaps.append(swap_back)
            with contextlib.suppress(RuntimeError):
                leave(scopes[-1])
            swaps.clear()
            swap_back()
            del swap_back
            task.cancel()
            await asyncio.wait([task])
            support.gc_collect()
            self.assertIsNone(reference())
        scopes.clear()
        await self.assert_sound()

    async def test_3_8_current_task_goes_away_as_it_enters_a_scope(self):
        # When the loop is asked for the time.
        def time():
            swap_back()
            return before()

        before = self.loop.time
        scope = self.CancelScope(deadline=before() + 5)
        reference, swap_back = self.drop_current_task()
        self.patch_loop('time', time)
        with contextlib.suppress(RuntimeError):
            scope.__enter__()
        self.unpatch_loop('time')
        swap_back()
        support.gc_collect()
        self.assertIsNone(reference())
        self.force_exit(scope)
        del scope
        await self.assert_sound()


@matrix
class MemberTests(HostileTestCase):
    """Members that fail to begin, to be cancelled or to be told of."""

    def failing_future(self, error):
        def cancel(future, super_cancel):
            super_cancel()
            raise error
        return self.make_future(cancel)

    async def wait_for(self, awaitable):
        await awaitable

    @contextlib.contextmanager
    def use_factory(self, factory):
        before = self.loop.get_task_factory()
        self.loop.set_task_factory(factory)
        try:
            yield
        finally:
            self.loop.set_task_factory(before)

    async def test_5_7_eager_start_fails(self):
        def call_soon(*args, **kwargs):
            self.unpatch_loop('call_soon')
            raise MyError

        async with asyncio.TaskGroup() as group:
            self.patch_loop('call_soon', call_soon)
            with self.assertRaises(MyError):
                group.create_task(asyncio.sleep(0), eager_start=True)
            self.assertEqual(group._count_members(), 0)
        support.gc_collect()
        self.assertEqual(self.all_tasks(), {asyncio.current_task()})
        self.take_problems()
        await self.assert_sound()

    async def test_5_7_eager_start_fails_and_so_does_its_group(self):
        class Group:
            def _members_done(self):
                raise OSError

        def call_soon(*args, **kwargs):
            self.unpatch_loop('call_soon')
            raise MyError

        with self.CancelScope() as scope:
            scope._group = Group()
            self.patch_loop('call_soon', call_soon)
            with self.assertRaises(MyError):
                scope._spawn('log', self.loop.create_task, asyncio.sleep(0),
                             eager_start=True)
        await self.settle()
        self.take_problems()
        support.gc_collect()
        self.take_problems()
        await self.assert_sound()

    def test_7_2_eager_start_fails_below_the_root(self):
        def call_soon(*args, **kwargs):
            del loop.call_soon
            raise MyError

        async def main():
            async with asyncio.TaskGroup() as group:
                loop.call_soon = call_soon
                with self.assertRaises(MyError):
                    group.create_task(asyncio.sleep(0), eager_start=True)
            return 'done'

        loop = self.loop
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            # run() does not wait for a task that never runs.
            self.assertEqual(runner.run(main()), 'done')
            support.gc_collect()

    async def test_2_3_of_several_errors_the_latest_interrupt_counts(self):
        async def host(own, member, scope):
            with scope:
                async with asyncio.TaskGroup() as group:
                    group.create_task(
                        self.wait_for(self.failing_future(member)))
                    await self.failing_future(own)

        for own, member, expected in (
                (MyError(), OSError(), None),
                (MyError(), KeyboardInterrupt(), 1),
                (KeyboardInterrupt(), MyError(), 0),
                (MyError(), MyBaseError(), None),
                (MyBaseError(), KeyboardInterrupt(), 1),
                (asyncio.CancelledError(), SystemExit(), 1),
                (KeyboardInterrupt(), SystemExit(), 1)):
            with self.subTest(own=own, member=member):
                scope = self.CancelScope()
                task = self.spawn(host(own, member, scope))
                await self.settle()
                raised = None
                try:
                    scope.cancel()
                except (KeyboardInterrupt, SystemExit) as exc:
                    raised = exc
                self.assertIs(raised, None if expected is None
                              else (own, member)[expected])
                # The loop's exception handler gets the others.
                self.assertEqual(
                    [problem['exception'] for problem in self.problems],
                    [exc for exc in (own, member) if not isinstance(
                        exc, (KeyboardInterrupt, SystemExit))])
                self.problems.clear()
                raised = None
                await task
                self.assert_scope(scope, called=True, caught=True)
        self.take_problems()
        await self.assert_sound()

    async def test_5_7_external_member_refuses_cancel(self):
        class External(self.Future):
            def cancel(self, msg=None):
                asked.append(self)
                super().cancel(msg)
                raise errors[len(asked) - 1]

        def factory(loop, coro, **kwargs):
            coro.close()
            return External(loop=loop)

        async with asyncio.TaskGroup() as group:
            asked, errors = [], [MyError(), OSError(), MyBaseError()]
            with self.use_factory(factory):
                members = {group.create_task(asyncio.sleep(0))
                           for _ in errors}
            group.cancel()
            self.assertEqual(set(asked), members)
            self.assert_reported(MyError, OSError, MyBaseError)
        # The latest interrupt is raised when all have been asked.
        async with asyncio.TaskGroup() as group:
            asked, errors = [], [KeyboardInterrupt(), MyError(), SystemExit(),
                                 OSError()]
            with self.use_factory(factory):
                members = {group.create_task(asyncio.sleep(0))
                           for _ in errors}
            with self.assertRaises(SystemExit) as cm:
                group.cancel()
            self.assertIs(cm.exception, errors[2])
            self.assertEqual(set(asked), members)
            self.assert_reported(MyError, OSError)
        await self.assert_sound()

    async def test_5_7_external_member_fails_as_another_refuses_cancel(self):
        def factory(loop, coro, **kwargs):
            coro.close()
            return external

        external = self.Future(loop=self.loop)
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    self.wait_for(self.failing_future(OSError())))
                await self.settle()
                with self.use_factory(factory):
                    group.create_task(asyncio.sleep(0))
                self.loop.call_later(1, external.set_exception, MyError())
        self.assertEqual([type(exc) for exc in cm.exception.exceptions],
                         [MyError])
        self.take_problems()
        await self.assert_sound()

    async def test_5_7_external_member_is_done_at_once(self):
        class External:
            def __init__(self, loop):
                self.loop = loop

            def add_done_callback(self, callback, **kwargs):
                callback(self)

            def cancelled(self):
                return False

            def exception(self):
                return None

            def done(self):
                return True

            def get_loop(self):
                return self.loop

        def factory(loop, coro, **kwargs):
            coro.close()
            return External(loop)

        async with asyncio.TaskGroup() as group:
            with self.use_factory(factory):
                for _ in range(2):
                    group.create_task(asyncio.sleep(0))
            self.assertEqual(group._count_members(), 0)
        await self.assert_sound()

    async def test_6_4_group_joins_although_a_task_cannot_be_cancelled(self):
        async def host(error):
            async with asyncio.TaskGroup() as group:
                members.append(group.create_task(
                    self.wait_for(self.failing_future(error))))
                members.append(group.create_task(self.forever()))
                await self.forever()

        for error in MyError(), OSError():
            with self.subTest(error=error):
                members = []
                task = self.spawn(host(error))
                await self.settle()
                task.cancel()
                await asyncio.wait([task])
                self.assert_reported(type(error))
                self.assertIs(task.cancelled(), True)
                self.assertEqual([member.cancelled() for member in members],
                                 [True, True])
        await self.assert_sound()

    async def test_5_7_group_fails_where_reports_and_logging_fail(self):
        class Group:
            def _members_done(self):
                told.append('done')
                raise MyError

            def _member_failed(self, task):
                told.append('failed')
                raise MyError

        async def fail():
            await asyncio.sleep(1)
            raise OSError

        def handle(loop, context):
            reports.append(type(context['exception']))
            raise MyBaseError

        def refuse(record):
            logged.append(record)
            raise MyBaseError

        told, reports, logged = [], [], []
        logger = logging.getLogger('asyncio')
        logger.addFilter(refuse)
        self.addCleanup(logger.removeFilter, refuse)
        with self.CancelScope() as scope:
            scope._group = Group()
            task = scope._spawn('propagate', self.loop.create_task, fail())
            self.loop.set_exception_handler(handle)
            done, _ = await asyncio.wait([task], timeout=5)
            self.loop.set_exception_handler(self._on_problem)
            self.assertEqual(done, {task})
            self.assertEqual(scope._member_count, 0)
        self.assertEqual(told, ['failed', 'done'])
        self.assertEqual(reports, [MyError] * 2)
        self.assertGreaterEqual(len(logged), 2)
        self.assertIsInstance(task.exception(), OSError)
        await self.assert_sound()

    async def test_2_1_blocked_task_is_the_current_one(self):
        async def host():
            with self.CancelScope() as scope:
                scopes.append(scope)
                await self.forever()
            return scope.cancelled_caught

        swap = (tasks._py_swap_current_task if self.Task is tasks._PyTask
                else tasks._swap_current_task)
        scopes = []
        task = self.spawn(host())
        await self.settle()
        current = swap(self.loop, task)
        try:
            scopes[0].cancel()
        finally:
            swap(self.loop, current)
        self.assertIs(await task, True)
        await self.assert_sound()

    async def test_5_6_members_that_move_refuse_cancel(self):
        # Another task waits in the group that they leave.
        async def host():
            group = asyncio.TaskGroup()
            await group.__aenter__()
            group.cancel_scope.shield = True
            group.create_task(self.wait_for(self.failing_future(MyError())))
            groups.append(group)
            await gate
            group.cancel_scope.__exit__(None, None, None)
            self.assert_reported(MyError)

        async def join():
            await groups[-1].__aexit__(None, None, None)

        groups = []
        gate = self.loop.create_future()
        async with asyncio.TaskGroup() as outer:
            outer.create_task(host())
            await self.settle()
            joiner = self.spawn(join())
            await self.settle()
            gate.set_result(None)
            outer.cancel()
        done, _ = await asyncio.wait([joiner], timeout=1)
        self.assertEqual(done, {joiner})
        joiner.exception()
        await self.assert_sound()


if __name__ == '__main__':
    unittest.main()
