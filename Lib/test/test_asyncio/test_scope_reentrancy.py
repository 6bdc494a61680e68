"""Code that runs between two steps of a change, and objects that go away.

Python code can run wherever a change to the tree calls a method of the loop,
of a Future or of a group, or drops a reference.  It can change the tree, fail,
be interrupted, or drop the last reference to what is being changed.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import gc
import logging
import sys
import threading
import unittest
import unittest.mock
from asyncio import cancelscopes
from asyncio import tasks
from test import support
from test.support import threading_helper

from test.test_asyncio import scope_utils
from test.test_asyncio.hostile_utils import (
    HostileTestCase, IsolatedTestCase, MyBaseError, MyError, Resurrecting)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


class Forgetful:
    """What can be awaited like a Future, but forgets who does."""

    _asyncio_future_blocking = False

    def __init__(self, loop, cancel=lambda: True):
        self.loop = loop
        self.on_cancel = cancel

    def get_loop(self):
        return self.loop

    def add_done_callback(self, callback, *, context=None):
        pass

    def cancel(self, msg=None):
        return self.on_cancel()

    def __await__(self):
        self._asyncio_future_blocking = True
        yield self


@scope_utils.matrix
class DyingTests(IsolatedTestCase):
    """Tasks and scopes whose last reference is gone, or goes meanwhile."""

    async def test_3_8_host_is_being_deallocated(self):
        # Without the Task's own finalizer its attributes go first, while it is
        # still the host of its scopes.
        class Task(self.Task):
            def __del__(self):
                pass

        async def host(scopes):
            scope = self.CancelScope()
            scope.__enter__()
            scopes.append(scope)
            await Forgetful(self.loop)

        def shield(scopes):
            scopes[0].shield = True

        def leave(scopes):
            self.force_exit(scopes[0])

        def close(scopes):
            self.force_exit(scopes[0], GeneratorExit())

        def drop(scopes):
            scopes.clear()

        for action in shield, leave, close, drop:
            with self.subTest(action.__name__):
                for _ in range(20):
                    scopes = []
                    task = Task(host(scopes), loop=self.loop)
                    await asyncio.sleep(0)
                    task.guard = Resurrecting(
                        lambda action=action, scopes=scopes: action(scopes))
                    task = None
                    gc.collect()
                    await asyncio.sleep(0)
                self.take_problems()
                await self.assert_sound()

    async def test_3_2_what_is_to_be_interrupted_goes_away(self):
        def forget():
            nonlocal task
            lists = [found for found in gc.get_objects()
                     if type(found) is list and any(each is task
                                                    for each in found)]
            task = None
            for found in lists:
                found.clear()
            lists = found = None
            gc.collect()
            return True

        async def host():
            await Forgetful(self.loop, forget)

        with self.CancelScope() as outer:
            # It is no member, so that nobody owns it.
            task = outer._spawn('log', self.loop.create_task, host())
            task._log_destroy_pending = False
            await self.settle()
            outer.cancel()
        self.assertIsNone(task)
        await self.assert_sound()

    async def test_3_3_task_goes_away_as_its_scope_is_left(self):
        python = self.Task is tasks._PyTask
        swap = (tasks._py_swap_current_task if python
                else tasks._swap_current_task)
        members = []

        class Group:
            def _members_done(self):
                if hosts:
                    hosts.clear()
                    swap(loop, None)
                    gc.collect()

            def _member_failed(self, task):
                pass

        async def host(scopes):
            for index in range(2):
                scope = self.CancelScope()
                if index == 1:
                    scope._set_group(Group())
                scope.__enter__()
                scopes.append(scope)
            members.append(scopes[1]._spawn(
                'log', self.loop.create_task, self.wait_forgotten()))
            scopes[1].cancel()
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                pass
            await Forgetful(self.loop)

        loop = self.loop
        scopes = []
        hosts = [self.spawn(host(scopes))]
        hosts[0]._log_destroy_pending = False
        await self.settle()
        members[0]._log_destroy_pending = False
        outer, inner = scopes
        scopes.clear()
        outer.cancel()
        current = swap(loop, hosts[0])
        try:
            self.force_exit(inner)
        finally:
            swap(loop, current)
        self.assertEqual(hosts, [])
        outer = inner = None
        members.clear()
        support.gc_collect()
        self.take_problems()
        await self.assert_sound()

    async def wait_forgotten(self):
        await Forgetful(self.loop)

    async def test_3_8_second_init_with_another_loop(self):
        class Loop:
            now = 0.0

            def get_debug(self):
                if scopes:
                    first, second, third = scopes
                    scopes.clear()
                    second.deadline = 100
                    self.now = 1e12
                    third.deadline = 5
                return False

            def time(self):
                return self.now

            def call_at(self, *args, **kwargs):
                return unittest.mock.Mock()

            def call_soon(self, *args, **kwargs):
                pass

            def is_running(self):
                return True

        async def host():
            for deadline in self.loop.time() + 50, None, None:
                scope = self.CancelScope(deadline=deadline)
                scope.__enter__()
                scopes.append(scope)
            await Forgetful(self.loop)

        scopes = []
        task = self.Task(host(), loop=self.loop)
        await self.settle()
        self.assertEqual(len(scopes), 3)
        task.__init__(self.forever(), loop=Loop())
        task._log_destroy_pending = False
        task = None
        support.gc_collect()
        self.take_problems()
        await self.assert_sound()

    @unittest.skipIf(support.check_sanitizer(address=True, thread=True),
                     'a sanitizer needs more of the stack')
    @threading_helper.requires_working_threading()
    def test_3_8_deallocation_is_put_off(self):
        # Near the end of the stack an object without references waits for its
        # deallocation, while it is still in the tree.
        enter, leave = ((tasks._py_enter_task, tasks._py_leave_task)
                        if self.Task is tasks._PyTask
                        else (tasks._enter_task, tasks._leave_task))

        def shield(scope):
            scope.shield = True

        def attack():
            if pool:
                entry = pool.pop()
                entry[0] = None
                action(entry[1])

        def descend(_):
            try:
                max([1], key=descend)
            except RecursionError:
                pass
            try:
                attack()
            except RecursionError:
                pass
            return 0

        def run():
            asyncio._set_running_loop(self.loop)
            for _ in range(1500):
                task = self.Task(asyncio.sleep(0), loop=self.loop)
                task._log_destroy_pending = False
                scope = self.CancelScope()
                enter(self.loop, task)
                scope.__enter__()
                leave(self.loop, task)
                pool.append([task, scope])
            self.loop._ready.clear()
            task = scope = None
            descend(0)
            pool.clear()
            asyncio._set_running_loop(None)

        limit, size = sys.getrecursionlimit(), threading.stack_size(1 << 19)
        sys.setrecursionlimit(10 ** 6)
        try:
            for action in repr, shield, self.force_exit:
                with self.subTest(action=action):
                    pool = []
                    with threading_helper.start_threads(
                            [threading.Thread(target=run)]):
                        pass
        finally:
            sys.setrecursionlimit(limit)
            threading.stack_size(size)


@scope_utils.matrix
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

    async def test_3_7_call_at_fails_for_somebody_else(self):
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
        scope._set_group(Group())
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

        with unittest.mock.patch.object(asyncio.TimerHandle, 'cancel', refuse):
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
                with unittest.mock.patch.object(asyncio.TimerHandle, 'cancel',
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
            with (unittest.mock.patch.object(asyncio.TimerHandle, 'cancel',
                                             interrupt),
                  contextlib.suppress(KeyboardInterrupt)):
                with self.CancelScope(deadline=self.loop.time() + 5,
                                      shield=True) as scope:
                    scope._set_group(Group())
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

    async def test_3_2_cancel_while_entered_in_a_python_task(self):
        original = cancelscopes._fill_twin

        def fill(*args):
            scope.cancel('why')
            original(*args)

        scope = self.CancelScope()
        with unittest.mock.patch.object(cancelscopes, '_fill_twin', fill):
            scope.__enter__()
        scope.cancel('why')     # where nobody stands in for it
        await self.assert_level('why', times=1)
        self.assertIs(self.force_exit(scope, asyncio.CancelledError()), True)
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_sound()


@scope_utils.matrix
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
            scope._set_group(Group())
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
            # run() does not wait for what nobody will ever run.
            self.assertEqual(runner.run(main()), 'done')
            support.gc_collect()

    async def test_5_7_foreign_member_refuses_cancel(self):
        class Foreign(self.Future):
            def cancel(self, msg=None):
                asked.append(self)
                res = super().cancel(msg)
                if len(asked) == 1:
                    raise MyError
                return res

        def factory(loop, coro, **kwargs):
            coro.close()
            return Foreign(loop=loop)

        asked = []
        async with asyncio.TaskGroup() as group:
            with self.use_factory(factory):
                members = {group.create_task(asyncio.sleep(0))
                           for _ in range(4)}
            with self.assertRaises(MyError):
                group.cancel()
            self.assertEqual(set(asked), members)
        await self.assert_sound()

    async def test_5_7_foreign_member_fails_as_another_refuses_cancel(self):
        def factory(loop, coro, **kwargs):
            coro.close()
            return foreign

        foreign = self.Future(loop=self.loop)
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    self.wait_for(self.failing_future(OSError())))
                await self.settle()
                with self.use_factory(factory):
                    group.create_task(asyncio.sleep(0))
                self.loop.call_later(1, foreign.set_exception, MyError())
        self.assertEqual([type(exc) for exc in cm.exception.exceptions],
                         [MyError])
        self.take_problems()
        await self.assert_sound()

    async def test_5_7_foreign_member_is_done_at_once(self):
        class Foreign:
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
            return Foreign(loop)

        async with asyncio.TaskGroup() as group:
            with self.use_factory(factory):
                for _ in range(2):
                    group.create_task(asyncio.sleep(0))
            self.assertEqual(group._count_members(), 0)
        await self.assert_sound()

    async def test_2_3_of_several_errors_an_interrupt_counts(self):
        async def host(own, member, scope):
            with scope:
                async with asyncio.TaskGroup() as group:
                    group.create_task(
                        self.wait_for(self.failing_future(member)))
                    await self.failing_future(own)

        for own, member, expected in (
                (MyError(), OSError(), 0), (MyError(), KeyboardInterrupt(), 1),
                (KeyboardInterrupt(), MyError(), 0),
                (MyError(), MyBaseError(), 1),
                (MyBaseError(), KeyboardInterrupt(), 1),
                (asyncio.CancelledError(), SystemExit(), 1),
                (KeyboardInterrupt(), SystemExit(), 0)):
            with self.subTest(own=own, member=member):
                scope = self.CancelScope()
                task = self.spawn(host(own, member, scope))
                await self.settle()
                with self.assertRaises(BaseException) as cm:
                    scope.cancel()
                self.assertIs(cm.exception, (own, member)[expected])
                await task
                self.assert_scope(scope, called=True, caught=True)
        self.take_problems()
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
                self.assertIsInstance(task.exception(), ExceptionGroup)
                self.assertEqual(task.exception().exceptions, (error,))
                self.assertEqual([member.cancelled() for member in members],
                                 [True, True])
        self.take_problems()
        await self.assert_sound()

    async def test_2_3_of_several_errors_of_a_spawn_an_interrupt_counts(self):
        class Group:
            def _members_done(self):
                pass

        def create(coro):
            # It is taken for the one that was asked for, so it is moved below
            # the root, which is cancelled.
            made.append(self.Task(coro, loop=self.loop, eager_start=True))
            raise first

        made = []
        root = (cancelscopes._PyCancelScope
                if self.Task is tasks._PyTask else self.CancelScope)()
        root._set_group(Group())
        root._plant(self.loop)
        root.cancel()
        try:
            for first, second, expected in (
                    (MyError(), KeyboardInterrupt(), 1),
                    (KeyboardInterrupt(), MyError(), 0),
                    (MyError(), OSError(), 0),
                    (MyError(), MyBaseError(), 1),
                    (SystemExit(), KeyboardInterrupt(), 0)):
                with self.subTest(first=first, second=second):
                    with self.CancelScope() as scope:
                        scope._set_group(Group())
                        with self.assertRaises(BaseException) as cm:
                            scope._spawn(
                                'propagate', create,
                                self.wait_for(self.failing_future(second)))
                    self.assertIs(cm.exception, (first, second)[expected])
                    await asyncio.wait(made)
        finally:
            root._uproot()
        self.take_problems()
        await self.assert_sound()

    async def test_5_7_nobody_can_be_told_of_a_failure(self):
        class Group:
            def _members_done(self):
                told.append(self)

            def _member_failed(self, task):
                raise MyError

        async def fail():
            await asyncio.sleep(1)
            self.patch_loop('call_soon', call_soon)
            raise OSError

        def call_soon(callback, *args, **kwargs):
            if callback is cancelscopes._report_ignored:
                raise MyError
            return original(callback, *args, **kwargs)

        def refuse(record):
            raise MyError

        told = []
        original = self.loop.call_soon
        logger = logging.getLogger('asyncio')
        logger.addFilter(refuse)
        self.addCleanup(logger.removeFilter, refuse)
        with self.CancelScope() as scope:
            scope._set_group(Group())
            task = scope._spawn('propagate', self.loop.create_task, fail())
            done, _ = await asyncio.wait([task], timeout=5)
            self.unpatch_loop('call_soon')
            self.assertEqual(done, {task})
            self.assertEqual(scope._members, 0)
        self.assertEqual(len(told), 1)
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
            with self.assertRaises(MyError):
                group.cancel_scope.__exit__(None, None, None)

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
        self.take_problems()
        await self.assert_sound()


@scope_utils.matrix
class InterruptTests(HostileTestCase):
    """Ctrl-C comes while a group or the loop hears of something."""

    def test_8_3_interrupt_as_a_group_is_told(self):
        class Group(asyncio.TaskGroup):
            def interrupt(self, name):
                if name == target and not interrupted:
                    interrupted.append(name)
                    raise KeyboardInterrupt

            def _member_failed(self, task):
                self.interrupt('_member_failed')
                super()._member_failed(task)

            def _members_done(self):
                self.interrupt('_members_done')
                super()._members_done()

        async def member():
            await asyncio.sleep(1)
            raise MyError

        async def main():
            with self.assertRaises(ExceptionGroup) as cm:
                async with Group() as group:
                    group.create_task(member())
            self.assertEqual(len(cm.exception.exceptions), 1)
            return 'done'

        for target in '_member_failed', '_members_done':
            with self.subTest(target):
                interrupted = []
                task = self.loop.create_task(main())
                with self.assertRaises(KeyboardInterrupt):
                    self.loop.run_until_complete(task)
                self.assertEqual(interrupted, [target])
                self.assertEqual(self.loop.run_until_complete(task), 'done')

    async def test_8_3_interrupt_as_foreign_members_are_cancelled(self):
        class Group:
            def _cancel_foreign(self, msg):
                calls.append(msg)
                if len(calls) == 1:
                    raise KeyboardInterrupt

        calls = []
        with self.CancelScope() as scope:
            scope._set_group(Group())
            scope._watch()
            with self.assertRaises(KeyboardInterrupt):
                scope.cancel('message')
        self.assertEqual(calls, ['message'] * 2)
        await self.assert_sound()

    def test_8_3_interrupt_as_an_open_scope_is_abandoned(self):
        def interrupt(handle):
            original(handle)
            if armed:
                armed.clear()
                raise KeyboardInterrupt

        async def member():
            await asyncio.sleep(1)
            scope = self.CancelScope(deadline=self.loop.time() + 5)
            scope.__enter__()
            scopes.append(scope)
            armed.append(scope)

        async def main():
            async with asyncio.TaskGroup() as group:
                group.create_task(member())
            return 'done'

        original = asyncio.TimerHandle.cancel
        scopes, armed = [], []
        task = self.loop.create_task(main())
        with unittest.mock.patch.object(asyncio.TimerHandle, 'cancel',
                                        interrupt):
            # (A C scope does not cancel the timer.)
            with contextlib.suppress(KeyboardInterrupt):
                self.loop.run_until_complete(task)
            armed.clear()
            self.assertEqual(self.loop.run_until_complete(task), 'done')

    def test_8_3_interrupt_as_another_one_is_handed_to_the_loop(self):
        class Group:
            def _members_done(self):
                told.append(self)

            def _member_failed(self, task):
                raise SystemExit

        async def fail():
            await asyncio.sleep(1)
            self.patch_loop('call_soon', call_soon)
            raise OSError

        def call_soon(callback, *args, **kwargs):
            if callback is cancelscopes._raise:
                self.unpatch_loop('call_soon')
                raise KeyboardInterrupt
            return original(callback, *args, **kwargs)

        async def main():
            with self.CancelScope() as scope:
                scope._set_group(Group())
                task = scope._spawn('propagate', self.loop.create_task, fail())
                await asyncio.wait([task])
            return 'done'

        told = []
        original = self.loop.call_soon
        task = self.loop.create_task(main())
        with self.assertRaises(KeyboardInterrupt):
            self.loop.run_until_complete(task)
        self.assertEqual(self.loop.run_until_complete(task), 'done')
        self.assertEqual(len(told), 1)

    def test_8_3_interrupt_that_the_loop_refuses_is_reported(self):
        class Group:
            def _members_done(self):
                raise KeyboardInterrupt

        def call_soon(callback, *args, **kwargs):
            if callback is cancelscopes._raise:
                raise MyError
            return original(callback, *args, **kwargs)

        async def main():
            with self.CancelScope() as scope:
                scope._set_group(Group())
                scope._spawn('log', self.loop.create_task, asyncio.sleep(0))
                await asyncio.sleep(1)

        original = self.loop.call_soon
        self.patch_loop('call_soon', call_soon)
        task = self.loop.create_task(main())
        with (support.catch_unraisable_exception() as cm,
              self.assertLogs('asyncio', 'ERROR') if
              self.Task is tasks._PyTask else contextlib.nullcontext() as logs):
            self.loop.run_until_complete(task)
            reported = (logs.records[0].exc_info[0] if logs is not None
                        else cm.unraisable.exc_type)
        self.assertIs(reported, KeyboardInterrupt)

    def test_10_1_report_of_a_swallowed_cancellation_fails(self):
        async def body():
            with self.CancelScope() as scope:
                scope.cancel()
                for _ in range(4):
                    try:
                        await asyncio.sleep(0)
                    except asyncio.CancelledError:
                        pass
            return 'done'

        def refuse(record):
            tried.append(record)
            raise error

        logger = logging.getLogger('asyncio')
        logger.addFilter(refuse)
        self.addCleanup(logger.removeFilter, refuse)
        self.loop.set_debug(True)
        for error in MyError, MyBaseError, KeyboardInterrupt:
            with (self.subTest(error=error),
                  support.catch_unraisable_exception() as cm):
                tried = []
                task = self.loop.create_task(body())
                if error is KeyboardInterrupt:
                    with self.assertRaises(KeyboardInterrupt):
                        self.loop.run_until_complete(task)
                self.assertEqual(self.loop.run_until_complete(task), 'done')
                self.assertEqual(len(tried), 1)
                if error is not KeyboardInterrupt:
                    problems, self.problems = self.problems, []
                    self.assertIs(type(problems[0]['exception']) if problems
                                  else cm.unraisable.exc_type, error)


if __name__ == '__main__':
    unittest.main()
