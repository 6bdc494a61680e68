"""Cancel scopes and tasks that go away, or come back, at a bad moment.

Whatever such an object does in the middle of a change to the tree, the change
ends with a clear outcome, and the tree is sound afterwards.  Tests that crash
or hang if that is broken are in classes of isolated tests, which run in a
child process.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import gc
import sys
import threading
import unittest
import weakref
from asyncio import cancelscopes
from asyncio import tasks
from test import support
from test.support import threading_helper
from unittest import mock

from test.test_asyncio.child_utils import IsolatedTestCase
from test.test_asyncio.scope_utils import (
    HostileTestCase, MyError, Resurrecting, SteppedCoroutine, matrix)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


class GuardedCoroutine(SteppedCoroutine):
    """Its steps get the coroutine as an argument."""

    def send(self, value):
        return self.steps.pop(0)(self)


@matrix
class LifetimeTests(HostileTestCase):
    """Objects that go away, or come back, at a bad moment."""

    async def test_3_9_weakref_callback_changes_the_tree(self):
        def callback(ref):
            trace.append('callback')
            inner.shield = True
            outer.cancel('callback')

        trace = []
        async def host():
            dropped.append(self.CancelScope().__enter__())

        dropped = []
        await self.spawn(host())
        with self.CancelScope() as outer:
            ref = weakref.ref(dropped[0], callback)
            with self.CancelScope() as inner:
                dropped.clear()
                support.gc_collect()
                self.assertEqual(trace, ['callback'])
                self.assertIsNone(ref())
                await asyncio.sleep(0)
                inner.shield = False
                await self.assert_level('callback')
        self.assert_scope(outer, called=True, caught=False)
        await self.assert_sound()

    async def test_3_9_finalizers_change_the_tree(self):
        # Those of what a task that is destroyed while pending refers to.
        def begin():
            def finalize():
                trace.append('finalizer')
                for scope in scopes:
                    scope.cancel()
                    self.force_exit(scope)
                    scope.shield = True
                other.cancel('finalizer')

            async def doomed():
                guard = Resurrecting(finalize)
                with self.CancelScope() as outer:
                    scopes.append(outer)
                    async with asyncio.TaskGroup() as group:
                        scopes.append(group.cancel_scope)
                        for _ in range(3):
                            group.create_task(self.forever())
                        with self.CancelScope(shield=True) as inner:
                            scopes.append(inner)
                            await self.forever()
                del guard

            scopes = []
            self.spawn(doomed())
            return scopes

        trace = []
        other = self.spawn(self.forever())
        scopes = begin()
        await self.settle()
        refs = [weakref.ref(scope) for scope in scopes]
        del scopes
        with support.catch_unraisable_exception():
            support.gc_collect()
        self.assertEqual(trace, ['finalizer'])
        await asyncio.wait([other])
        self.assertIs(other.cancelled(), True)
        self.assertEqual([ref() for ref in refs], [None] * 3)
        self.assertEqual(set(self.take_problems()),
                         {'Task was destroyed but it is pending!'})
        await self.assert_sound()

    def resurrectable(self, ask_base):
        class Task(self.Task):
            def __del__(self):
                if ask_base:
                    super().__del__()
                saved.append(self)

        saved = []
        return Task, saved

    async def test_5_1_resurrected_task_goes_on(self):
        async def host():
            with self.CancelScope() as outer:
                scopes.append(outer)
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(1))
                    with self.CancelScope(shield=True):
                        future = self.loop.create_future()
                        futures.append(weakref.ref(future))
                        await future
            return 'done'

        for ask_base in False, True:
            with self.subTest(ask_base=ask_base):
                futures, scopes = [], []
                cls, saved = self.resurrectable(ask_base)
                task = cls(host(), loop=self.loop)
                await self.settle()
                await asyncio.sleep(2)
                del task
                # Its future, its coroutine, its scopes are its own.
                scopes[:] = map(weakref.ref, scopes)
                support.gc_collect()
                self.assertEqual(len(saved), 1)
                task = saved.pop()
                future = futures[0]()
                if future is not None and not future.done():
                    future.set_result(None)
                await asyncio.wait([task], timeout=10)
                self.take_problems()
                if task.done():
                    # Rightly, or told that its scopes are destroyed.
                    if task.exception() is None:
                        self.assertEqual(task.result(), 'done')
                    else:
                        self.assertIsInstance(task.exception(),
                                              (RuntimeError,
                                               BaseExceptionGroup))
                else:
                    task._log_destroy_pending = False
                del task
                support.gc_collect()
                saved.clear()
                self.take_problems()
                await self.assert_sound()

    # Whether a scope that code refers to no more stays around the code of the
    # task that is in it, which refers to its current scope, or leaves the tree
    # at once.
    @property
    def scopes_stay(self):
        return self.CancelScope is cancelscopes._PyCancelScope

    async def test_3_8_scope_dropped_in_a_thread(self):
        async def host():
            held.append(self.CancelScope(deadline=self.loop.time() + 100))
            held[0].__enter__()
            with self.CancelScope() as inner:
                await self.forever()
            self.assert_scope(inner, called=False, caught=False)

        def drop():
            held.clear()
            gc.collect()

        for cyclic in False, True:
            with self.subTest(cyclic=cyclic):
                held = []
                task = self.spawn(host())
                await self.settle()
                ref = weakref.ref(held[0])
                if cyclic:
                    cycle = [held[0]]
                    cycle.append(cycle)
                    del cycle
                with threading_helper.start_threads(
                        [threading.Thread(target=drop)]):
                    pass
                if self.scopes_stay:
                    self.assertIn(' active', repr(ref()))
                else:
                    self.assertIsNone(ref())
                task.cancel()
                await asyncio.wait([task])
                support.gc_collect()
                self.assertIsNone(ref())
                await self.assert_sound()

    async def test_3_8_many_scopes_dropped(self):
        # In the order of entry, in the reverse order, by the collector.
        depth = min(self.scale, 20_000) // (4 if support.Py_DEBUG else 1)

        async def host(how):
            held = []
            for _ in range(depth):
                held.append(self.CancelScope())
                held[-1].__enter__()
            refs.append(weakref.ref(held[-1]))
            if how == 'cancelled':
                held[0].cancel()
            if how == 'cycle':
                held.append(held)
            if how == 'left to the task':
                keep.append(held)
                return
            if how == 'reverse':
                while held:
                    held.pop()
            else:
                if how != 'cycle':
                    held.reverse()
                    while held:
                        held.pop()
                del held
            support.gc_collect()
            if self.scopes_stay:
                self.assertIn(' active', repr(refs[0]()))
                if how == 'cancelled':
                    await self.assert_level(times=1)
            else:
                self.assertIsNone(refs[0]())
                await self.assert_not_cancelled()

        keep = []
        for how in ('order', 'reverse', 'cycle', 'cancelled',
                    'left to the task'):
            with self.subTest(how):
                refs = []
                await self.spawn(host(how))
                support.gc_collect()
                self.assertEqual(refs[0]() is None, how != 'left to the task')
        self.assertIn(' active', repr(keep[0][-1]))
        keep.clear()
        await self.assert_sound()

    async def test_3_8_many_scopes_of_a_destroyed_task(self):
        depth = min(self.scale, 20_000) // (4 if support.Py_DEBUG else 1)

        async def host():
            held = [self.CancelScope() for _ in range(depth)]
            for scope in held:
                scope.__enter__()
            refs.append(weakref.ref(held[-1]))
            await self.forever()

        refs = []
        self.spawn(host())
        await self.settle()
        support.gc_collect()
        self.assertIsNone(refs[0]())
        self.take_problems()
        await self.assert_sound()

    async def test_2_8_long_chain_of_messages(self):
        # Each scope is all that keeps the next one.
        depth = min(self.scale, 20_000)
        scope = last = self.CancelScope()
        for _ in range(depth):
            outer = self.CancelScope()
            outer.cancel(scope)
            scope = outer
        ref = weakref.ref(last)
        del last, outer
        del scope
        support.gc_collect()
        self.assertIsNone(ref())
        await self.assert_sound()

    async def test_2_8_long_chain_of_entered_scopes(self):
        # Each is the message of the one around it.
        depth = min(self.scale, 20_000) // (4 if support.Py_DEBUG else 1)

        async def host():
            scope = self.CancelScope()
            scope.__enter__()
            for _ in range(depth):
                inner = self.CancelScope()
                inner.__enter__()
                scope.cancel((inner,))
                scope = inner
            return weakref.ref(scope)

        with self.CancelScope() as top:
            ref = await self.spawn(host())
            support.gc_collect()
            self.assertIsNone(ref())
            await self.assert_not_cancelled()
        self.assert_scope(top, called=False, caught=False)
        await self.assert_sound()

    async def test_5_1_initialised_again_while_it_is_running(self):
        async def host():
            task = asyncio.current_task()
            with self.CancelScope() as scope:
                scopes.append(scope)
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(0))
                    task.__init__(other(), loop=self.loop)
                    scope.cancel()
                    await asyncio.sleep(0)

        async def other():
            await asyncio.sleep(1)
            return 'other'

        if self.eager:
            self.skipTest('the first step of an eager task ends in another '
                          'context than it began in, also in stock')
        scopes = []
        coro = host()   # stock crashes if the running coroutine goes away
        task = self.spawn(coro)
        for _ in range(5):
            await asyncio.sleep(1)
        self.assertTrue(task.done())
        task.exception()
        # It is in the coroutine that the task has given up.
        self.assertIn(' active', repr(scopes[0]))
        scopes.clear()
        support.gc_collect()
        self.take_problems()
        await self.assert_sound()

    async def test_5_1_never_initialised(self):
        task = self.Task.__new__(self.Task)
        with self.CancelScope() as scope:
            for call in (lambda: task.cancelling(), lambda: task.uncancel(),
                         lambda: task.cancel('why'), lambda: repr(task),
                         lambda: task.cancelled(), lambda: task.done(),
                         lambda: cancelscopes._is_cancelled(task),
                         lambda: cancelscopes._cancel_requests(task),
                         lambda: cancelscopes._forget_delivery(task)):
                try:
                    call()
                except (AttributeError, RuntimeError, TypeError):
                    pass
            scope.cancel()
        if self.Task is tasks._PyTask:
            task._log_destroy_pending = False
            task._loop = self.loop
        del task, call
        with support.catch_unraisable_exception():
            support.gc_collect()
        self.take_problems()
        await self.assert_sound()

    async def test_5_7_task_with_a_hash_of_its_own(self):
        def calm():
            pass

        def fails():
            raise MyError

        def cancels():
            group.cancel()

        def leaves():
            self.force_exit(group.cancel_scope)

        def collects():
            gc.collect()

        for action in calm, cancels, leaves, collects, fails:
            with self.subTest(action.__name__):
                class Task(self.Task):
                    def __hash__(self):
                        action = hooks[-1]
                        hooks.append(calm)
                        action()
                        return id(self) >> 4

                    def __eq__(self, other):
                        return self is other

                def factory(loop, coro, **kwargs):
                    return Task(coro, loop=loop, **kwargs)

                hooks = [calm]
                previous = self.loop.get_task_factory()
                try:
                    async with asyncio.TaskGroup() as group:
                        self.loop.set_task_factory(factory)
                        hooks.append(action)
                        coro = asyncio.sleep(0)
                        try:
                            group.create_task(coro)
                        except (MyError, RuntimeError):
                            coro.close()
                        finally:
                            hooks.append(calm)
                            self.loop.set_task_factory(previous)
                except* (MyError, RuntimeError):
                    pass
                for _ in range(3):
                    await asyncio.sleep(0)
                support.gc_collect()
                self.take_problems()
                await self.assert_sound()

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

    async def test_3_8_scope_without_a_host_is_left(self):
        async def host(ends):
            scopes.append(self.CancelScope())
            scopes[0].__enter__()
            if not ends:
                await self.forever()

        async def leave(exc=None):
            return scopes[0].__exit__(exc and type(exc), exc, None)

        def leave_outside():
            left.set_result(scopes[0].__exit__(None, None, None))

        for ends in True, False:
            for where in 'callback', 'closed generator', 'task':
                with self.subTest(ends=ends, where=where):
                    scopes = []
                    self.spawn(host(ends))
                    await self.settle()
                    support.gc_collect()
                    self.assertEqual(len(self.take_problems()), not ends)
                    self.assertIn(' active', repr(scopes[0]))
                    if where == 'callback':
                        left = self.loop.create_future()
                        self.loop.call_soon(leave_outside)
                        self.assertIs(await left, False)
                    elif where == 'closed generator':
                        self.assertIs(await leave(GeneratorExit()), False)
                    else:
                        with self.assertRaisesRegex(RuntimeError, 'another'):
                            await leave()
                    self.assertIn(' exited', repr(scopes[0]))
        await self.assert_sound()

    async def test_3_8_scope_without_references(self):
        with self.CancelScope() as outer:
            ref = weakref.ref(self.CancelScope(shield=True).__enter__())
            support.gc_collect()
            outer.cancel()
            if self.scopes_stay:
                # The current scope of a task can always be had, and left.
                self.assertIs(asyncio.current_scope(), ref())
                await asyncio.sleep(0)
                await asyncio.sleep(1)
                ref().__exit__(None, None, None)
            self.assertIs(asyncio.current_scope(), outer)
            await self.assert_level()
        self.assertIsNone(ref())
        self.assert_scope(outer, called=True, caught=False)
        await self.assert_not_cancelled()

    async def test_5_1_resurrected_task_is_dropped_with_a_scope_open(self):
        # A finalizer runs once; what the task enters after it has to lose its
        # host by the deallocation.
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
                closed.append(repr(self.scope))
                self.scope.cancel('guard')

        async def member():
            await asyncio.sleep(1)
            return 'member'

        members, closed, saved = [], [], []
        loop.set_exception_handler(lambda loop, context: saved.append(context['task']))
        loop.create_task(GuardedCoroutine(first_step, second_step))
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
        # The scope lives on until the guard drops it.
        self.assertIn(' active', closed[0])
        await self.assert_cancelled(members[0], 'guard')


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


@matrix
class DyingTests(HostileTestCase, IsolatedTestCase):
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

    async def test_3_2_interrupted_task_is_deallocated(self):
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
            # It is no member, so no object owns it.
            task = outer._spawn('log', self.loop.create_task, host())
            task._log_destroy_pending = False
            await self.settle()
            outer.cancel()
        self.assertIsNone(task)
        await self.assert_sound()

    async def test_3_3_task_is_deallocated_as_its_scope_is_exited(self):
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
                    scope._group = Group()
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
                return mock.Mock()

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


class TimerHandle(Resurrecting):
    """What a loop that does not keep its handles returns."""

    def cancel(self):
        pass


@matrix
class CrashTests(HostileTestCase, IsolatedTestCase):
    """What has crashed, or might have."""

    async def test_3_8_root_scope_cannot_be_exited(self):
        async def background():
            await self.forever()

        root = self.CancelScope()
        root._register_root(self.loop)
        try:
            with self.assertRaises(RuntimeError):
                root.__exit__(None, None, None)
            with self.assertRaises(RuntimeError):
                root.__enter__()
            task = self.spawn(background())
            await self.settle()
            repr(root)
            # It is still what it was.
            root.cancel('root')
            with self.CancelScope(shield=True):
                await asyncio.wait([task])
            self.assertTrue(task.cancelled())
        finally:
            root._unregister_root()
        task.cancel()
        await asyncio.wait([task])
        root._unregister_root()
        await self.assert_sound()

    async def test_3_8_root_is_left_where_no_task_is(self):
        def leave():
            try:
                root.__exit__(None, None, None)
            except RuntimeError as exc:
                errors.append(str(exc))

        errors = []
        root = self.CancelScope()
        root._register_root(self.loop)
        try:
            self.loop.call_soon(leave)
            await asyncio.sleep(1)
            thread = threading.Thread(target=leave)
            with threading_helper.start_threads([thread]):
                pass
        finally:
            root._unregister_root()
        self.assertEqual(len(errors), 2)
        await self.assert_sound()

    async def test_3_8_scope_is_entered_while_it_is_asked(self):
        def enter():
            self.unpatch_loop('time')
            scope.__enter__()
            return self.loop.time()

        scope = self.CancelScope(deadline=self.loop.time())
        self.patch_loop('time', enter)
        self.assertIs(scope.cancel_called, True)
        await self.assert_level('deadline exceeded', times=1)
        exc = asyncio.CancelledError()
        self.assertIs(scope.__exit__(type(exc), exc, None), True)
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_sound()

    def test_3_8_task_that_lost_its_loop(self):
        # A second Task.__init__(), which fails as there is no loop.
        async def host():
            with self.CancelScope(deadline=self.loop.time() + 50) as outer:
                scopes.append(outer)
                with self.CancelScope() as inner:
                    scopes.append(inner)
                    await self.forever()

        def change(scope):
            for action in (lambda: repr(scope), lambda: scope.cancel_called,
                           lambda: setattr(scope, 'shield', True),
                           lambda: setattr(scope, 'shield', False),
                           lambda: setattr(scope, 'deadline', 5),
                           lambda: setattr(scope, 'deadline', None),
                           lambda: scope.cancel('why'),
                           lambda: scope._spawn('propagate', int),
                           lambda: task.cancel(), lambda: task.cancelling(),
                           lambda: task.uncancel(), lambda: repr(task)):
                try:
                    action()
                except (RuntimeError, AttributeError, TypeError):
                    pass
                results.append(action)

        scopes, results = [], []
        asyncio.set_event_loop(None)
        task = self.Task(host(), loop=self.loop)
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()
        if self.eager:
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
        other = host()
        with self.assertRaises(RuntimeError):
            task.__init__(other)
        other.close()
        for scope in scopes:
            change(scope)
        self.assertEqual(len(results), 24)
        # It cannot run any more: stock does not stand that, either.
        self.loop._ready.clear()
        task._log_destroy_pending = False
        with support.catch_unraisable_exception():
            del task
            change = None
            support.gc_collect()
        # Another task of that loop works as ever.
        self.run_main(self.assert_sound())

    def test_3_8_second_init_with_a_loop_that_is_none(self):
        # (Not by run_main(): what it was done to may never end.)
        self.loop.run_until_complete(
            self.loop.create_task(self.spoil_tasks()))

    async def spoil_tasks(self):
        async def host():
            with self.CancelScope(deadline=self.loop.time() + 50) as scope:
                scopes.append(scope)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.forever())
                    await self.forever()

        class Loop:
            asked = False

            def get_debug(self):
                if not self.asked:      # a scope asks as well
                    self.asked = True
                    try:
                        scopes[0].shield = True
                        scopes[0].deadline = 17
                    except (MyError, AttributeError):
                        pass
                    gc.collect()
                raise MyError

        for loop, error in ((42, AttributeError), (Loop(), MyError)):
            with self.subTest(loop=loop):
                scopes = []
                task = self.spawn(host())
                await self.settle()
                other = host()
                with self.assertRaises(error):
                    task.__init__(other, loop=loop)
                other.close()
                for action in (lambda: repr(scopes[0]),
                               lambda: scopes[0].cancel_called,
                               lambda: scopes[0].cancel(),
                               lambda: task.cancel()):
                    try:
                        action()
                    except (AttributeError, RuntimeError, MyError):
                        pass
                task._log_destroy_pending = False
                with support.catch_unraisable_exception():
                    del task, action
                    scopes.clear()
                    support.gc_collect()
                for task in self.all_tasks() - {asyncio.current_task()}:
                    task._log_destroy_pending = False
                    task.cancel()
                with support.catch_unraisable_exception():
                    task = None
                    await asyncio.sleep(1)
                    support.gc_collect()
                self.take_problems()
                await self.assert_sound()

    async def test_5_1_current_task_that_was_never_initialised(self):
        def use(*actions):
            task = self.Task.__new__(self.Task)
            asyncio.tasks._py_enter_task if python else None
            enter(self.loop, task)
            try:
                for action in actions:
                    try:
                        action()
                    except (RuntimeError, AttributeError, TypeError,
                            KeyError) as exc:
                        outcomes.append(type(exc))
                    else:
                        outcomes.append(None)
            finally:
                leave(self.loop, task)
            if python:
                task._loop, task._log_destroy_pending = self.loop, False
                task._state, task._callbacks = 'FINISHED', []

        def enter_and_leave(**kwargs):
            with self.CancelScope(**kwargs) as scope:
                scope.cancel()
                scope.cancel_called
                repr(scope)

        def spawn():
            with self.CancelScope() as scope:
                coro = asyncio.sleep(0)
                try:
                    scope._spawn('propagate', self.loop.create_task, coro)
                finally:
                    coro.close()

        def callback():
            use(asyncio.current_effective_deadline)
            use(enter_and_leave)
            use(lambda: enter_and_leave(deadline=5))
            use(lambda: enter_and_leave(shield=True))
            use(lambda: asyncio.move_on_after(5).__enter__())
            use(lambda: self.CancelScope().__enter__(),
                lambda: self.CancelScope(deadline=5).__enter__(),
                asyncio.current_effective_deadline)
            use(spawn)
            done.set_result(None)

        python = self.Task is tasks._PyTask
        enter = tasks._py_enter_task if python else tasks._enter_task
        leave = tasks._py_leave_task if python else tasks._leave_task
        outcomes = []
        done = self.loop.create_future()
        self.loop.call_soon(callback)
        with support.catch_unraisable_exception():
            await done
            support.gc_collect()
        self.assertEqual(len(outcomes), 9)
        await asyncio.sleep(1)
        self.take_problems()
        await self.assert_sound()

    async def test_3_8_timer_handle_drops_the_scope_of_a_task_that_ends(self):
        # The last reference to the scope, amid the end of its task.
        def finalize():
            while scopes:
                self.force_exit(scopes.pop())
            gc.collect()

        def call_at(*args, **kwargs):
            return TimerHandle(finalize)

        async def host(count):
            for _ in range(count):
                scope = self.CancelScope(deadline=self.loop.time() + 50)
                scope.__enter__()
                scopes.append(scope)

        self.patch_loop('call_at', call_at)
        scopes = []
        for count in 1, 2, 5:
            task = self.spawn(host(count))
            while not task.done():
                await asyncio.sleep(0)
            self.assertIsNone(task.exception())
        self.unpatch_loop('call_at')
        await self.assert_sound()

    async def test_3_8_timer_handle_drops_the_scopes_around(self):
        # Amid the exit of a scope that has handed its cancellation outwards.
        def finalize():
            while scopes:
                self.force_exit(scopes.pop())
            gc.collect()

        def call_at(*args, **kwargs):
            return TimerHandle(finalize)

        async def host():
            outer = self.CancelScope()
            outer.__enter__()
            outer.cancel('outer')
            inner = self.CancelScope(deadline=self.loop.time() + 50)
            self.patch_loop('call_at', call_at)
            inner.__enter__()
            self.unpatch_loop('call_at')
            await self.assert_cancelled(asyncio.sleep(0), 'outer')
            scopes.append(outer)
            del outer
            self.force_exit(inner)
            if scopes:
                self.force_exit(scopes.pop())
            await self.assert_not_cancelled()

        scopes = []
        await self.spawn(host())
        await self.assert_sound()

    def test_3_8_swallowed_error_drops_the_scopes_around(self):
        # In debug mode a task keeps the CancelledError until the scope that
        # it is from has been left, and with it the locals of its traceback.
        def finalize():
            while scopes:
                self.force_exit(scopes.pop())
            gc.collect()

        async def swallow():
            guard = Resurrecting(finalize)
            await asyncio.sleep(0)
            del guard

        async def main():
            scopes.append(self.CancelScope())
            scopes[0].__enter__()
            inner = self.CancelScope()
            inner.__enter__()
            inner.cancel('inner')
            try:
                await swallow()
            except asyncio.CancelledError:
                pass
            with self.CancelScope(shield=True):
                await asyncio.sleep(0)      # the step with the error ends
            scopes[0].cancel('outer')
            inner.__exit__(None, None, None)
            if scopes:
                self.force_exit(scopes.pop())
            support.gc_collect()
            await self.assert_not_cancelled()
            await self.assert_sound()

        scopes = []
        self.loop.set_debug(True)
        self.loop.slow_callback_duration = 1e9
        with self.assertNoLogs('asyncio', 'ERROR'):
            self.run_main(main())


if __name__ == '__main__':
    unittest.main()
