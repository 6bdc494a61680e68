"""Cancel scopes, groups and timeouts among hostile objects.

Whatever a loop, a Future, a coroutine, a message or a finalizer does in the
middle of a change to the tree, the change ends with a clear outcome, and the
tree is sound afterwards.  What is likely to crash or to hang if it goes wrong
is in classes of isolated tests, which run in a child process.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import collections.abc
import contextlib
import copy
import functools
import gc
import inspect
import os
import pickle
import signal
import sys
import textwrap
import threading
import types
import unittest
import weakref
from asyncio import cancelscopes
from asyncio import tasks
from test import support
from test.support import import_helper
from test.support import threading_helper

from test.test_asyncio import scope_utils
from test.test_asyncio.hostile_utils import (
    HostileTestCase, IsolatedTestCase, MyBaseError, MyError, Resurrecting,
    run_program)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@scope_utils.matrix
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
                with self.assertRaisesRegex(OSError, 'no memory'):
                    outer.cancel()
                self.assertIs(outer.cancel_called, True)
                with self.CancelScope(shield=True):
                    await self.settle()
                self.assertEqual(trace, ['second', 'third'])
                self.assertIs(futures['first'].cancelled(), True)
                # Nobody else will.
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

    async def test_3_7_time_returns_rubbish(self):
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

    async def test_3_7_call_at_returns_rubbish(self):
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


@scope_utils.matrix
class FutureTests(HostileTestCase):
    """cancel() of what a task waits for does what it should not."""

    async def attack(self, on_cancel, *, error=None, tell=None):
        """Cancel a scope with three members; the second future is hostile.

        Return the task of the second, which has ended, and its scope.
        """
        async def member(future):
            with self.CancelScope() as scope:
                inner[asyncio.current_task()] = scope
                await future

        def hook(future, super_cancel):
            return on_cancel(future, super_cancel, task, inner[task])

        inner = {}
        futures = [self.loop.create_future(), self.make_future(hook),
                   self.loop.create_future()]
        with self.CancelScope() as outer:
            members = [self.spawn(member(future)) for future in futures]
            task = members[1]
            await self.settle()
            for host in members:
                # Below a scope, without a group that waits.
                scope = inner[host]
                self.assertIs(scope.cancel_called, False)
            outcome = None
            for host in members:
                try:
                    inner[host].cancel('why')
                except BaseException as exc:
                    outcome = exc
            if error is None:
                self.assertIsNone(outcome)
            else:
                self.assertIsInstance(outcome, error)
            outcome = None
            if tell is not None:
                tell(task, futures[1])
            if not futures[1].done() and not task.done():
                super(type(futures[1]), futures[1]).cancel()
            await asyncio.wait(members)
        for host in members[::2]:
            self.assertIsNone(host.exception())
            self.assert_scope(inner[host], called=True, caught=True)
        self.assert_scope(outer, called=False, caught=False)
        await self.assert_sound()
        return task, inner[task]

    async def test_2_3_cancel_fails(self):
        for error in (MyError, MyBaseError, KeyboardInterrupt, SystemExit,
                      GeneratorExit, StopIteration, asyncio.CancelledError):
            with self.subTest(error.__name__):
                def on_cancel(future, super_cancel, task, scope):
                    raise error

                task, scope = await self.attack(on_cancel, error=error)
                self.assert_scope(scope, called=True, caught=True)

    async def test_2_3_cancel_returns_what_is_neither_true_nor_false(self):
        class Odd:
            def __bool__(self):
                raise MyError

        def on_cancel(future, super_cancel, task, scope):
            super_cancel()
            return Odd()

        task, scope = await self.attack(on_cancel, error=MyError)
        self.assert_scope(scope, called=True, caught=True)

    async def test_2_3_cancel_returns_odd_objects(self):
        for answer in NotImplemented, 0.5, 'no', object(), [], None:
            def on_cancel(future, super_cancel, task, scope):
                super_cancel()
                return answer

            with self.subTest(answer=answer):
                if answer is NotImplemented:    # an error as a truth value
                    await self.attack(on_cancel, error=TypeError)
                else:
                    await self.attack(on_cancel)

    async def test_2_2_cancel_sets_the_result(self):
        # What arrives is kept (2.2); the scope had no yield point any more.
        def on_cancel(future, super_cancel, task, scope):
            future.set_result(None)
            return True

        task, scope = await self.attack(on_cancel)
        self.assert_scope(scope, called=True, caught=False)

    async def test_2_2_cancel_sets_an_exception(self):
        def on_cancel(future, super_cancel, task, scope):
            future.set_exception(MyError())
            return True

        task, scope = await self.attack(on_cancel)
        self.assertIsInstance(task.exception(), MyError)
        self.assert_scope(scope, called=True, caught=False)

    async def test_3_8_cancel_leaves_the_scope(self):
        def on_cancel(future, super_cancel, task, scope):
            self.assertFalse(self.force_exit(scope))
            return super_cancel()

        task, scope = await self.attack(on_cancel)
        self.assertRegex(str(task.exception()), 'already been left')

    async def test_2_8_cancel_cancels_the_same_scope(self):
        def on_cancel(future, super_cancel, task, scope):
            scope.cancel('again')
            scope.shield = True
            scope.deadline = self.loop.time() - 1
            scope.shield = False
            return super_cancel('why')

        task, scope = await self.attack(on_cancel)
        self.assert_scope(scope, called=True, caught=True)

    async def test_2_8_cancel_of_the_future_cancels_its_task(self):
        # The request comes back while it is passed on (2.2).
        def on_cancel(future, super_cancel, task, scope):
            task.cancel()

        task, scope = await self.attack(on_cancel)
        self.assertIs(task.cancelled(), True)
        self.assert_scope(scope, called=True, caught=False)

    async def test_2_8_cancel_throws_into_the_coroutine(self):
        # In the wrong task, so the scope cannot be left.
        def on_cancel(future, super_cancel, task, scope):
            task.get_coro().throw(MyError())

        task, scope = await self.attack(on_cancel, error=RuntimeError)
        self.assertIsInstance(task.exception(), RuntimeError)

    async def test_2_8_cancel_closes_the_coroutine(self):
        def on_cancel(future, super_cancel, task, scope):
            task.get_coro().close()
            return super_cancel()

        task, scope = await self.attack(on_cancel)
        self.assertRegex(str(task.exception()), 'cannot reuse')
        self.assert_scope(scope, called=True, caught=False)

    async def test_2_8_cancel_goes_through_the_garbage(self):
        def on_cancel(future, super_cancel, task, scope):
            gc.collect()
            for thing in [task, scope, future, *gc.get_referrers(scope)]:
                gc.get_referents(thing)
                repr(type(thing))
            return super_cancel()

        task, scope = await self.attack(on_cancel)
        self.assert_scope(scope, called=True, caught=True)

    async def test_2_8_cancel_initialises_the_task_again(self):
        # Only a coroutine that has left its scopes can be sound after that.
        async def other():
            await asyncio.sleep(0)
            return 'other'

        def on_cancel(future, super_cancel, task, scope):
            task.__init__(other(), loop=self.loop)
            return super_cancel()

        task, scope = await self.attack(on_cancel)
        self.assertNotIn(' active', repr(scope))
        self.take_problems()

    async def test_2_8_only_the_first_error_is_raised(self):
        def fail(error):
            def on_cancel(future, super_cancel):
                super_cancel()
                raise error
            return self.make_future(on_cancel)

        async def member(future):
            await future

        errors = [MyError(i) for i in range(3)]
        with self.CancelScope() as outer:
            async with asyncio.TaskGroup() as group:
                for error in errors:
                    group.create_task(member(fail(error)))
                await self.settle()
                with self.assertRaises(MyError) as cm:
                    outer.cancel()
                self.assertIs(cm.exception, errors[0])
        self.assert_scope(outer, called=True, caught=True)
        await self.assert_sound()

    async def test_2_3_interrupts_amid_several_members(self):
        for error in KeyboardInterrupt, SystemExit:
            def on_cancel(future, super_cancel):
                super_cancel()
                raise error

            with self.subTest(error.__name__):
                with self.CancelScope() as outer:
                    async with asyncio.TaskGroup() as group:
                        members = [group.create_task(self.wait_for(future))
                                   for future in (
                                       self.loop.create_future(),
                                       self.make_future(on_cancel),
                                       self.loop.create_future())]
                        await self.settle()
                        with self.assertRaises(error):
                            outer.cancel()
                        # All have been told.
                        self.assertEqual(
                            [task._fut_waiter.done() for task in members],
                            [True] * 3)
                self.assert_scope(outer, called=True, caught=True)
                self.assertEqual([task.cancelled() for task in members],
                                 [True] * 3)
        await self.assert_sound()

    async def test_2_3_interrupt_outranks_other_errors(self):
        def failing_with(error):
            def on_cancel(future, super_cancel):
                super_cancel()
                raise error
            return self.make_future(on_cancel)

        for errors in ([MyError, KeyboardInterrupt, MyError],
                       [KeyboardInterrupt, MyError, SystemExit]):
            with self.subTest(errors=errors):
                with self.CancelScope() as outer:
                    async with asyncio.TaskGroup() as group:
                        for error in errors:
                            group.create_task(
                                self.wait_for(failing_with(error)))
                        await self.settle()
                        with self.assertRaises(KeyboardInterrupt):
                            outer.cancel()
                self.assert_scope(outer, called=True, caught=True)
        await self.assert_sound()

    async def wait_for(self, future):
        await future

    async def test_2_2_failing_cancel_at_the_yield(self):
        # The error goes where that of a callback goes, as in stock, and the
        # task waits.
        def on_cancel(future, super_cancel):
            raise MyError

        async def host():
            with self.CancelScope() as scope:
                scope.cancel('why')
                await future
                await self.assert_cancelled(asyncio.sleep(0), 'why')

        future = self.make_future(on_cancel)
        task = self.spawn(host()) if not self.eager else None
        if self.eager:
            with self.assertRaises(MyError):
                self.spawn(host())
            support.gc_collect()
            self.take_problems()
            # What was refused goes on all the same, outside of the tree (C)
            # or in it.
            future.set_result(None)
            await self.assert_sound()
            support.gc_collect()
            self.take_problems()
            return
        await self.settle()
        self.assertEqual([type(problem['exception'])
                          for problem in self.problems], [MyError])
        self.problems.clear()
        self.assertFalse(task.done())
        future.set_result(None)
        await task
        await self.assert_sound()

    async def test_2_3_cancel_drops_the_task(self):
        # The last references, but for those of cancel() itself.
        def on_cancel(future, super_cancel):
            held.clear()
            support.gc_collect()
            return super_cancel()

        async def host():
            with self.CancelScope() as scope:
                scopes.append(scope)
                future = self.make_future(on_cancel)
                held.append(future)
                ref = weakref.ref(future)
                del future
                await ref()

        held, scopes = [], []
        held.append(self.spawn(host()))
        await self.settle()
        scopes[0].cancel()
        scopes[0].cancel()
        scopes[0].shield = True
        await self.settle()
        support.gc_collect()
        self.assertNotIn(' active', repr(scopes[0]))
        self.take_problems()
        await self.assert_sound()

    async def test_2_3_future_that_is_lost_with_its_task(self):
        # Nobody refers to either: a yield later they are gone.
        def on_cancel(future, super_cancel):
            return False

        async def host():
            with self.CancelScope() as scope:
                scopes.append(weakref.ref(scope))
                scope.cancel()
                await self.make_future(on_cancel)

        scopes = []
        self.spawn(host())
        await self.settle()
        support.gc_collect()
        self.assertIsNone(scopes[0]())
        self.assertEqual(self.take_problems(),
                         ['Task was destroyed but it is pending!'])
        await self.assert_sound()

    async def test_2_2_future_that_is_none(self):
        # Things that only look like a Future.
        loop = self.loop

        class Impostor:
            _asyncio_future_blocking = True
            _loop = loop

            def __await__(self):
                yield self

            def get_loop(self):
                return loop

            def add_done_callback(self, callback, *, context=None):
                loop.call_soon(callback, self, context=context)

            def result(self):
                return None

        class NoCancel(Impostor):
            pass

        class OddCancel(Impostor):
            cancel = 42

        class Hidden(Impostor):
            def __getattribute__(self, name):
                if name == 'cancel':
                    raise MyError
                return super().__getattribute__(name)

        for cls, error in ((NoCancel, AttributeError), (OddCancel, TypeError),
                           (Hidden, MyError)):
            async def host():
                with self.CancelScope() as scope:
                    scope.cancel('why')
                    if not self.eager:
                        await cls()
                    await self.assert_cancelled(asyncio.sleep(0), 'why')
                return 'done'

            with self.subTest(cls.__name__):
                self.assertEqual(await self.spawn(host()), 'done')
                self.assertEqual(
                    [type(problem['exception']) for problem in self.problems],
                    [] if self.eager else [error])
                self.problems.clear()
        await self.assert_sound()


@scope_utils.matrix
class MessageTests(HostileTestCase):
    """Messages, deadlines and exceptions that are no mere data."""

    async def test_2_9_message_without_manners(self):
        class Message:
            def __repr__(self):
                raise MyError
            __str__ = __hash__ = __bool__ = __len__ = __repr__

            def __eq__(self, other):
                raise MyError

        message = Message()
        with self.CancelScope() as scope:
            scope.cancel(message)
            repr(scope)
            for _ in range(2):
                with self.assertRaises(asyncio.CancelledError) as cm:
                    await asyncio.sleep(1)
                self.assertIs(cm.exception.args[0], message)
        task = self.spawn(self.forever())
        await self.settle()
        task.cancel(message)
        with self.assertRaises(asyncio.CancelledError):
            await task
        await self.assert_sound()

    async def test_2_9_message_that_leaves_scopes_when_it_goes(self):
        def finalize():
            for scope in scopes:
                results.append(self.force_exit(scope))

        async def host():
            scopes.extend([self.CancelScope(), self.CancelScope()])
            with scopes[0]:
                with scopes[1]:
                    await self.forever()

        scopes, results = [], []
        task = self.spawn(host())
        await self.settle()
        task.cancel(Resurrecting(finalize))
        task.cancel(Resurrecting(finalize))
        task.cancel('last')
        support.gc_collect()
        with self.assertRaises((RuntimeError, asyncio.CancelledError)):
            await task
        task = None
        support.gc_collect()
        self.assertFalse(any(results))
        await self.assert_sound()

    async def test_2_9_message_that_cancels_when_it_goes(self):
        def finalize():
            victim.cancel('finalizer')
            for scope in scopes:
                scope.cancel()
            gc.collect()

        async def host():
            with self.CancelScope() as scope:
                scopes.append(scope)
                await self.forever()

        scopes = []
        victim = self.spawn(host())
        task = self.spawn(host())
        await self.settle()
        task.cancel(Resurrecting(finalize))
        task.cancel('second')
        scopes[0].cancel(Resurrecting(finalize))
        await asyncio.wait([task, victim])
        task = victim2 = None
        support.gc_collect()
        await self.assert_sound()

    async def test_2_9_message_that_drops_the_scope(self):
        # A scope that is not entered is all that has the message.
        scope = self.CancelScope()
        scope.cancel(Resurrecting(lambda: trace.append('gone')))
        trace = []
        del scope
        support.gc_collect()
        self.assertEqual(trace, ['gone'])
        # A cycle through the message.
        scope = self.CancelScope()
        scope.cancel([scope, Resurrecting(lambda: trace.append('cycle'))])
        del scope
        support.gc_collect()
        self.assertEqual(trace, ['gone', 'cycle'])
        await self.assert_sound()

    async def test_3_7_deadline_with_a_will_of_its_own(self):
        class Deadline:
            def __init__(self, action):
                self.action = action

            def __float__(self):
                return self.action()

        def fail():
            raise MyError

        def cancel():
            scope.cancel('deadline')
            return self.loop.time() + 5

        def leave():
            self.force_exit(scope)
            return self.loop.time() + 5

        def again():
            scope.deadline = self.loop.time() + 1
            return self.loop.time() + 5

        def nan():
            return float('nan')

        def rubbish():
            return 'soon'

        for action, error in ((fail, MyError), (cancel, None), (leave, None),
                              (again, None), (nan, ValueError),
                              (rubbish, TypeError)):
            with self.subTest(action.__name__):
                scope = self.CancelScope(deadline=self.loop.time() + 50)
                scope.__enter__()
                before = scope.deadline
                try:
                    scope.deadline = Deadline(action)
                except Exception as exc:
                    self.assertIs(type(exc), error)
                    self.assertEqual(scope.deadline, before)
                else:
                    self.assertIsNone(error)
                    self.assertEqual(scope.deadline, self.loop.time() + 5)
                self.assertIs(scope.cancel_called, action is cancel)
                self.assertIs(self.force_exit(scope), action is not leave)
                await self.assert_not_cancelled()

        def enter():
            scope.__enter__()
            return self.loop.time() + 5

        scope = self.CancelScope()
        scope.deadline = Deadline(enter)
        self.assertEqual(scope.deadline, self.loop.time() + 5)
        await self.assert_cancelled(asyncio.sleep(6), 'deadline exceeded')
        self.assertIs(self.force_exit(scope, asyncio.CancelledError()), True)
        self.assert_scope(scope, called=True, caught=True)
        with self.assertRaises(MyError):
            self.CancelScope(deadline=Deadline(fail))
        with self.assertRaises(MyError):
            asyncio.move_on_after(Deadline(fail))
        with self.assertRaises(ValueError):
            asyncio.move_on_at(Deadline(nan))
        await asyncio.sleep(100)
        await self.assert_sound()

    async def test_3_4_group_that_cannot_be_divided(self):
        class SplitFails(BaseExceptionGroup):
            def split(self, condition):
                raise MyError('split')

        class DeriveFails(BaseExceptionGroup):
            def derive(self, excs):
                raise MyError('derive')

        class DeriveLies(BaseExceptionGroup):
            def derive(self, excs):
                return 42

        class SplitInterrupts(BaseExceptionGroup):
            def split(self, condition):
                raise KeyboardInterrupt

        for cls, error in ((SplitFails, MyError), (DeriveFails, MyError),
                           (DeriveLies, TypeError),
                           (SplitInterrupts, KeyboardInterrupt)):
            with self.subTest(cls.__name__):
                with self.assertRaises(error):
                    with self.CancelScope() as scope:
                        scope.cancel()
                        raise cls('group', [asyncio.CancelledError(),
                                            ValueError()])
                self.assertNotIn(' active', repr(scope))
                await self.assert_not_cancelled()
                # Not asked where there is nothing to take out.
                with self.assertRaises(cls):
                    with self.CancelScope():
                        raise cls('group', [asyncio.CancelledError()])
        await self.assert_sound()

    async def test_3_4_split_changes_the_tree(self):
        class Group(BaseExceptionGroup):
            def split(self, condition):
                test.force_exit(scope)
                test.force_exit(outer)
                scope.cancel()
                gc.collect()
                return None, self

        test = self
        group = Group('group', [asyncio.CancelledError()])
        with self.assertRaisesRegex(RuntimeError, 'already been left'):
            with self.CancelScope() as outer:
                with self.CancelScope() as scope:
                    scope.cancel()
                    raise group
        self.assert_scope(scope, called=True, caught=False)
        await self.assert_sound()

    async def test_3_4_context_that_cannot_be_had(self):
        class Group(BaseExceptionGroup):
            @property
            def __context__(self):
                if armed:
                    raise MyError

            def derive(self, excs):
                return Group(self.message, excs)

        for excs in ([asyncio.CancelledError()],
                     [asyncio.CancelledError(), ValueError()]):
            group, outcome, armed = Group('group', excs), None, True
            try:
                with self.CancelScope() as scope:
                    scope.cancel()
                    raise group
            except BaseException as exc:
                armed = False
                # (The one in Python has to read it.)
                outcome = type(exc)
            armed = False
            self.assertIn(outcome, (None, Group, MyError))
            self.assert_scope(scope, called=True, caught=True)
        await self.assert_sound()

    async def test_4_3_timeout_and_hostile_groups(self):
        class DeriveFails(BaseExceptionGroup):
            def derive(self, excs):
                raise MyError

        with self.assertRaises(MyError):
            async with asyncio.timeout(0):
                raise DeriveFails('group', [asyncio.CancelledError(),
                                            ValueError()])
        await self.assert_sound()

    async def test_3_3_exit_is_called_with_rubbish(self):
        for args in ((1, 2, 3), ('', '', ''), (None, object(), None),
                     (int, int, int), (None, None, 'tb')):
            with self.subTest(args=args):
                scope = self.CancelScope()
                scope.__enter__()
                scope.cancel()
                self.assertIs(scope.__exit__(*args), False)
                self.assert_scope(scope, called=True, caught=False)
        for args in (), (None,), (None, None), (None,) * 4:
            scope = self.CancelScope()
            scope.__enter__()
            with self.assertRaises(TypeError):
                scope.__exit__(*args)
            self.assertIn(' active', repr(scope))
            self.assertIs(scope.__exit__(None, None, None), False)
        await self.assert_sound()


class SteppedCoroutine(collections.abc.Coroutine):
    """A coroutine that is no generator, such as Cython makes them.

    At the top level because asyncio remembers the types of coroutines.
    """

    def __init__(self, *steps, throw=None, close=None):
        self.steps = list(steps)
        self.on_throw = throw
        self.on_close = close

    def __await__(self):
        return self

    def send(self, value):
        if not self.steps:
            raise StopIteration('end')
        return self.steps.pop(0)()

    def throw(self, *args):
        if self.on_throw is None:
            raise args[0]
        return self.on_throw(*args)

    def close(self):
        if self.on_close is not None:
            self.on_close()


@scope_utils.matrix
class CoroutineTests(HostileTestCase):
    """Coroutines that break the rules."""

    def blocking(self, future):
        """What a coroutine yields to wait for *future*."""
        future._asyncio_future_blocking = True
        return future

    async def outcome(self, coro):
        """Run a coroutine as a task inside a scope; return what it ends with.
        """
        with self.CancelScope() as scope:
            task = self.spawn(coro)
            await asyncio.wait([task])
        self.assert_scope(scope, called=False, caught=False)
        await self.assert_sound()
        if task.cancelled():
            return 'cancelled'
        return task.exception() or task.result()

    async def test_5_1_send_cancels_its_own_task(self):
        def step():
            asyncio.current_task().cancel('own')
            return self.blocking(self.loop.create_future())

        self.assertEqual(await self.outcome(SteppedCoroutine(step)),
                         'cancelled')

    async def test_2_2_same_future_twice(self):
        future = self.loop.create_future()
        self.loop.call_later(1, future.set_result, None)
        step = functools.partial(self.blocking, future)
        self.assertEqual(await self.outcome(SteppedCoroutine(step, step)),
                         'end')

    async def test_2_2_future_without_being_asked(self):
        coro = SteppedCoroutine(self.loop.create_future)
        error = await self.outcome(coro)
        self.assertRegex(str(error), 'yield was used instead of yield from')

    async def test_2_1_rubbish_from_a_cancelled_scope(self):
        # No yield points: errors in the coroutine come before cancellation.
        for rubbish in 42, 'x', object(), (i for i in ()), [], NotImplemented:
            def first():
                scopes.append(self.CancelScope().__enter__())
                scopes[-1].cancel()
                return rubbish

            scopes = []
            with self.subTest(rubbish=rubbish):
                error = await self.outcome(SteppedCoroutine(first))
                self.assertIsInstance(error, RuntimeError)
                self.assertRegex(str(error), 'bad yield|yield was used')
                self.assertIn(' active', repr(scopes[0]))

    async def test_2_1_future_of_another_loop(self):
        other = asyncio.new_event_loop()
        self.addCleanup(other.close)
        future = self.Future(loop=other)

        async def host():
            with self.CancelScope() as scope:
                scope.cancel()
                await future

        error = await self.outcome(host())
        self.assertRegex(str(error), 'attached to a different loop')
        self.assertFalse(future.cancelled())

    async def test_2_1_throw_goes_on_for_some_time(self):
        def throw(exc):
            nonlocal left
            left -= 1
            if not left:
                raise exc
            return self.blocking(self.loop.create_future())

        def step():
            asyncio.current_task().cancel()
            return None

        left = 50
        coro = SteppedCoroutine(step, throw=throw)
        self.assertEqual(await self.outcome(coro), 'cancelled')
        self.assertEqual(left, 0)

    async def test_2_1_throw_fails_or_returns_rubbish(self):
        def fails(exc):
            raise MyError

        def interrupts(exc):
            raise GeneratorExit

        def rubbish(exc):
            return 42

        def step():
            asyncio.current_task().cancel()
            return None

        for throw, error in ((fails, MyError), (interrupts, GeneratorExit),
                             (rubbish, RuntimeError)):
            with self.subTest(throw.__name__):
                calls = []

                def once(exc):
                    if calls:
                        raise exc
                    calls.append(exc)
                    return throw(exc)

                result = await self.outcome(
                    SteppedCoroutine(step, throw=once))
                if throw is rubbish:
                    # Its RuntimeError takes the place of the CancelledError,
                    # like any error that a coroutine gets.
                    self.assertIn(result.__class__.__name__,
                                  ('RuntimeError', 'str'))
                else:
                    self.assertIsInstance(result, error)

    async def test_2_8_send_comes_back_to_its_task(self):
        # A step within a step is refused, in stock as well.
        def step():
            task = asyncio.current_task()
            with self.assertRaises(Exception):
                task._coro.send(None) if False else task.set_result(None)
            with self.CancelScope() as scope:
                scope.cancel()
                task.cancel()
                self.assertEqual(task.cancelling(), 1)
                task.uncancel()
            return None

        self.assertEqual(await self.outcome(SteppedCoroutine(step)), 'end')

    async def test_3_8_close_fails(self):
        def close():
            raise MyError

        coro = SteppedCoroutine(close=close)
        group = asyncio.TaskGroup()
        with self.assertRaises((RuntimeError, MyError)):
            group.create_task(coro)
        await self.assert_sound()

    async def test_3_8_scopes_that_cross_the_steps(self):
        # Enter in one step, leave in another, in the wrong order.
        def enter():
            scopes.extend(self.CancelScope().__enter__() for _ in range(3))
            scopes[0].cancel('zero')
            return self.blocking(self.loop.create_future())

        def throw(exc):
            trace.append(exc.args)
            if len(scopes) == 3:
                first = scopes.pop(0)
                self.assertFalse(self.force_exit(first))
                return None
            raise AssertionError('not cancelled any more')

        def leave():
            trace.append(self.force_exit(scopes[1]))
            trace.append(self.force_exit(scopes[0]))
            return None

        scopes, trace = [], []
        coro = SteppedCoroutine(enter, leave, throw=throw)
        self.assertEqual(await self.outcome(coro), 'end')
        self.assertEqual(trace, [('zero',), True, True])

    async def test_5_1_coroutine_that_refuses_to_be_closed(self):
        async def host():
            try:
                with self.CancelScope() as scope:
                    scopes.append(weakref.ref(scope))
                    await self.forever()
            except GeneratorExit:
                await asyncio.sleep(0)

        scopes = []
        task = self.spawn(host())
        await self.settle()
        with support.catch_unraisable_exception():
            with self.assertRaisesRegex(RuntimeError, 'ignored GeneratorExit'):
                task.get_coro().close()
            del task
            support.gc_collect()
        self.assertIsNone(scopes[0]())
        self.take_problems()
        await self.assert_sound()

    async def test_3_8_scope_is_left_by_a_generator_that_is_closed(self):
        # In every state: before its start, suspended, finished.
        def generator():
            with self.CancelScope() as scope:
                scopes.append(scope)
                yield

        scopes = []
        for steps in 0, 1, 2:
            gen = generator()
            for _ in range(steps):
                next(gen, None)
            del gen
            support.gc_collect()
        self.assertEqual(['left' in repr(scope) for scope in scopes],
                         [True, True])
        await self.assert_sound()

    async def test_3_8_generator_closed_in_a_thread(self):
        def generator():
            with self.CancelScope() as scope:
                scopes.append(scope)
                yield

        def close():
            try:
                gen.close()
            except RuntimeError as exc:
                errors.append(str(exc))

        async def host():
            next(gen)
            await self.forever()

        scopes, errors = [], []
        gen = generator()
        task = self.spawn(host())
        await self.settle()
        thread = threading.Thread(target=close)
        with threading_helper.start_threads([thread]):
            pass
        self.assertEqual(len(errors), 1)
        self.assertRegex(errors[0], 'entered in another task')
        self.assertIn('left', repr(scopes[0]))
        task.cancel()
        await asyncio.wait([task])
        await self.assert_sound()



@scope_utils.matrix
class LifetimeTests(HostileTestCase):
    """Objects that go away, or come back, at a bad moment."""

    async def test_3_9_weakref_callback_changes_the_tree(self):
        def callback(ref):
            trace.append('callback')
            inner.shield = True
            outer.cancel('callback')

        trace = []
        with self.CancelScope() as outer:
            dropped = self.CancelScope()
            ref = weakref.ref(dropped, callback)
            dropped.__enter__()
            with self.CancelScope() as inner:
                del dropped
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
                self.assertIsNone(ref())
                task.cancel()
                await asyncio.wait([task])
                await self.assert_sound()

    async def test_3_8_many_scopes_dropped(self):
        # In the order of entry, in the reverse order, by the collector.
        depth = min(self.scale, 20_000) // (4 if support.Py_DEBUG else 1)

        async def host(how):
            held = []
            for _ in range(depth):
                held.append(self.CancelScope())
                held[-1].__enter__()
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
            await self.assert_not_cancelled()

        keep = []
        for how in ('order', 'reverse', 'cycle', 'cancelled',
                    'left to the task'):
            with self.subTest(how):
                await self.spawn(host(how))
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
        # They go one after the other, from the outermost, and each is left.
        depth = min(self.scale, 20_000) // (4 if support.Py_DEBUG else 1)
        first = scope = self.CancelScope()
        first.__enter__()
        for _ in range(depth):
            inner = self.CancelScope()
            inner.__enter__()
            scope.cancel((inner,))
            scope = inner
        with self.CancelScope() as top:
            ref = weakref.ref(scope)
            del scope, inner
            del first
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


@scope_utils.matrix
class FactoryTests(HostileTestCase):
    """Task factories that return what nobody asked for."""

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
        # wait for ever.
        task = asyncio.current_task()
        with self.CancelScope() as scope:
            previous = self.use_factory(lambda: task)
            try:
                made = scope._spawn('propagate', self.loop.create_task,
                                    asyncio.sleep(0))
            finally:
                self.loop.set_task_factory(previous)
            self.assertIs(made, task)
            self.assertEqual(scope._member_tasks(), [])
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

        async def foreign():
            await asyncio.sleep(1)
            return 'other'

        def factory(loop, coro, **kwargs):
            coro.close()
            made.append(self.Task(foreign(), loop=other))
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
            # Nobody else may run a loop while one is running.
            with threading_helper.start_threads(
                    [threading.Thread(target=run)]):
                pass
        self.assertEqual(task.result(), 'other')
        await self.assert_sound()

    async def test_5_7_factory_spawns_before_it_returns(self):
        # The first task is not the one that was asked for.
        def factory(loop, coro, **kwargs):
            self.loop.set_task_factory(previous)
            extra.append(self.loop.create_task(asyncio.sleep(1, 'extra')))
            return self.loop.create_task(coro, **kwargs)

        extra = []
        async with asyncio.TaskGroup() as group:
            previous = self.loop.get_task_factory()
            self.loop.set_task_factory(factory)
            task = group.create_task(self.forever())
            self.assertEqual(group._count_members(), 1)
            group.cancel()
        self.assertTrue(task.cancelled())
        self.assertEqual(await extra[0], 'extra')
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
        # The loop runs it all the same, but nobody's group waits for it.
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
            self.assertEqual(group._count_members(), 0)
            group.cancel()
        self.assertEqual(await made[0], 'made')
        await self.assert_sound()


@scope_utils.matrix
class GroupTests(HostileTestCase):
    """Groups whose members and callbacks turn against them."""

    async def test_6_5_done_callbacks_do_what_they_like(self):
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
        # has nobody to wait for, and says what is wrong.
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
        # group go away: whoever has the member then must not keep it.
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
            # It is not lost, whoever hears of it.
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


@scope_utils.matrix
class GeneratorTests(HostileTestCase):
    """Asynchronous generators that hold something open."""

    def make(self, kind):
        """Return a generator function that yields inside a block."""
        async def scope():
            with self.CancelScope(deadline=self.loop.time() + 50) as scope:
                opened.append(scope)
                yield 1
                yield 2

        async def shielded():
            with self.CancelScope(shield=True) as scope:
                opened.append(scope)
                yield 1
                yield 2

        async def group():
            async with asyncio.TaskGroup() as group:
                opened.append(group.cancel_scope)
                group.create_task(asyncio.sleep(5))
                yield 1
                yield 2

        async def timeout():
            async with asyncio.timeout(50) as timeout:
                opened.append(timeout._scope)
                yield 1
                yield 2

        opened = []
        return locals()[kind], opened

    KINDS = 'scope', 'shielded', 'group', 'timeout'

    async def begin(self, function):
        gen = function()
        self.assertEqual(await anext(gen), 1)
        return gen

    async def end(self, opened, task=None):
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await asyncio.sleep(100)
        self.assertNotIn(' active', repr(opened[0]))
        self.take_problems()
        await self.assert_sound()

    @contextlib.contextmanager
    def expected(self, kind, error):
        """What leaving the block with *error* in another task must end with.

        The scope of a timeout or a group may be left there (4.4, 6.8).
        """
        try:
            yield
        except BaseException as exc:
            outcome = exc
        else:
            outcome = None
        if kind in ('scope', 'shielded'):
            self.assertIsInstance(outcome, RuntimeError)
        elif kind == 'group' and not isinstance(
                error, (StopAsyncIteration, asyncio.CancelledError)):
            self.assertIsInstance(outcome, BaseExceptionGroup)
            self.assertIs(type(outcome.exceptions[0]), type(error))
        elif isinstance(error, GeneratorExit):
            self.assertIsInstance(outcome, (type(None), GeneratorExit))
        else:
            self.assertIs(type(outcome), type(error))

    async def hold(self, function, gens):
        gens.append(await self.begin(function))
        await self.forever()

    async def test_4_4_closed_in_another_task(self):
        for kind in self.KINDS:
            with self.subTest(kind):
                function, opened = self.make(kind)
                gens = []
                task = self.spawn(self.hold(function, gens))
                await self.settle()
                with self.expected(kind, GeneratorExit()):
                    await gens[0].aclose()
                await self.end(opened, task)

    async def test_4_4_thrown_into_in_another_task(self):
        for kind in self.KINDS:
            for error in MyError(), asyncio.CancelledError(), GeneratorExit():
                with self.subTest(kind=kind, error=error):
                    function, opened = self.make(kind)
                    gens = []
                    task = self.spawn(self.hold(function, gens))
                    await self.settle()
                    with self.expected(kind, error):
                        await gens[0].athrow(error)
                    await self.end(opened, task)

    async def test_4_4_finished_in_another_task(self):
        for kind in self.KINDS:
            with self.subTest(kind):
                function, opened = self.make(kind)
                gens = []
                task = self.spawn(self.hold(function, gens))
                await self.settle()
                self.assertEqual(await anext(gens[0]), 2)
                with self.expected(kind, StopAsyncIteration()):
                    await anext(gens[0])
                await self.end(opened, task)

    async def test_7_8_abandoned_and_collected(self):
        # Closed by a task that the loop makes for it.
        for kind in self.KINDS:
            with self.subTest(kind):
                function, opened = self.make(kind)
                gen = await self.begin(function)
                del gen
                support.gc_collect()
                try:
                    await asyncio.sleep(1)
                except asyncio.CancelledError:
                    # A group that ends with an error (GeneratorExit) cancels
                    # all that is in it, and this is.
                    self.assertEqual(kind, 'group')
                    with self.CancelScope(shield=True):
                        await asyncio.sleep(10)
                await self.end(opened)

    async def test_7_8_abandoned_in_a_cycle_by_a_task_that_has_ended(self):
        async def host(function):
            gen = await self.begin(function)
            cycle = [gen]
            cycle.append(cycle)

        for kind in self.KINDS:
            with self.subTest(kind):
                function, opened = self.make(kind)
                await self.spawn(host(function))
                support.gc_collect()
                await asyncio.sleep(1)
                await self.end(opened)

    async def test_7_8_closed_while_its_task_is_cancelled(self):
        async def host(function):
            gen = await self.begin(function)
            try:
                await self.forever()
            finally:
                await gen.aclose()

        for kind in self.KINDS:
            with self.subTest(kind):
                function, opened = self.make(kind)
                task = self.spawn(host(function))
                await self.settle()
                if kind == 'shielded':
                    opened[0].shield = False    # it holds, wherever it is
                task.cancel('why')
                await asyncio.wait([task])
                if not task.cancelled():
                    # GeneratorExit is an error in a group, also in stock.
                    self.assertEqual(kind, 'group')
                    self.assertIsInstance(task.exception(),
                                          BaseExceptionGroup)
                await self.end(opened)

    async def test_3_8_interleaved(self):
        for first in self.KINDS:
            for second in self.KINDS:
                with self.subTest(first=first, second=second):
                    function, opened = self.make(first)
                    one = await self.begin(function)
                    function, opened2 = self.make(second)
                    two = await self.begin(function)
                    # In the order of entry, which is the wrong one.
                    for gen in one, two:
                        try:
                            await gen.aclose()
                        except (RuntimeError, BaseExceptionGroup):
                            pass
                    self.assertNotIn(' active', repr(opened2[0]))
                    await self.end(opened)


@scope_utils.matrix
class MisuseTests(HostileTestCase):
    """What Python lets anybody try."""

    async def test_3_8_wrong_types_for_all_attributes(self):
        class Odd:
            def __getattr__(self, name):
                raise MyError

        for active in False, True:
            scope = self.CancelScope()
            if active:
                scope.__enter__()
            for value in 'x', [], object(), Odd(), 1j, b'', scope, type:
                with self.assertRaises((TypeError, MyError)):
                    scope.deadline = value
                with self.assertRaises(TypeError):
                    scope.shield = value
            for value in 0, 1, None, 0.0:
                with self.assertRaises(TypeError):
                    scope.shield = value
            with self.assertRaises(OverflowError):
                scope.deadline = 10 ** 400
            with self.assertRaises(ValueError):
                scope.deadline = float('nan')
            for name in ('deadline', 'shield', 'cancel_called',
                         'cancelled_caught', 'cancel'):
                with self.assertRaises((AttributeError, TypeError)):
                    delattr(scope, name)
            for name in 'cancel_called', 'cancelled_caught', 'cancel', 'new':
                with self.assertRaises(AttributeError):
                    setattr(scope, name, True)
            self.assertIsNone(scope.deadline)
            self.assertIs(scope.shield, False)
            self.assert_scope(scope, called=False, caught=False)
            if active:
                scope.__exit__(None, None, None)
        for kwargs in ({'shield': 1}, {'deadline': 'x'}, {'x': 1}):
            with self.assertRaises(TypeError):
                self.CancelScope(**kwargs)
        with self.assertRaises(TypeError):
            self.CancelScope(5)
        await self.assert_sound()

    async def test_3_8_deadlines_at_the_limits(self):
        for deadline in (sys.float_info.max, -sys.float_info.max,
                         float('-inf'), 0, -0.0, 5e-324, True, 2 ** 70):
            with self.subTest(deadline=deadline):
                with self.CancelScope(deadline=deadline) as scope:
                    scope.deadline = deadline
                    expired = deadline <= self.loop.time()
                    self.assertIs(scope.cancel_called, expired)
                    repr(scope)
                await self.assert_not_cancelled()
        for delay in (sys.float_info.max, -sys.float_info.max, float('-inf'),
                      0, -1, False):
            with self.subTest(delay=delay):
                with asyncio.move_on_after(delay) as scope:
                    self.assertIs(scope.cancel_called, delay <= 0)
                    repr(scope)
        self.assertRaises(ValueError, asyncio.move_on_after, float('nan'))
        await self.assert_sound()

    async def test_3_8_no_copies_and_no_pickles(self):
        for active in False, True:
            scope = self.CancelScope()
            if active:
                scope.__enter__()
            for function in copy.copy, copy.deepcopy, pickle.dumps:
                with self.assertRaisesRegex(TypeError, 'CancelScope'):
                    function(scope)
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                with self.assertRaisesRegex(TypeError, 'CancelScope'):
                    scope.__reduce_ex__(protocol)
            with self.assertRaises(TypeError):
                pickle.dumps({'scope': [scope]})
            if active:
                scope.__exit__(None, None, None)
        group = asyncio.TaskGroup()
        timeout = asyncio.timeout(5)
        for thing in group, timeout:
            with self.assertRaises(TypeError):
                pickle.dumps(thing)
            with self.assertRaises(TypeError):
                copy.deepcopy(thing)
        await self.assert_sound()

    async def test_3_8_no_other_class(self):
        scope = self.CancelScope()
        with self.assertRaises(TypeError):
            scope.__class__ = object
        with self.assertRaises(TypeError):
            object.__new__(self.CancelScope)
            raise TypeError         # the one in Python allows it
        for name in '__dict__', 'anything':
            self.assertFalse(hasattr(scope, name))
        await self.assert_sound()

    async def test_3_8_made_without_new(self):
        # Only the one in Python can be had in that state.
        try:
            scope = object.__new__(self.CancelScope)
        except TypeError:
            return
        for call in (scope.__enter__, scope.cancel, lambda: repr(scope),
                     lambda: scope.deadline, lambda: scope.cancel_called):
            with self.assertRaises(AttributeError):
                call()
        with support.catch_unraisable_exception():
            del scope, call
            support.gc_collect()
        await self.assert_sound()

    async def test_3_8_methods_unbound_with_wrong_types(self):
        cls = self.CancelScope
        names = [name for name in dir(cls)
                 if not hasattr(object, name)
                 and callable(getattr(cls, name))]
        self.assertIn('__enter__', names)
        self.assertIn('cancel', names)
        for name in names:
            if name == '__init_subclass__':
                continue
            for wrong in None, object(), cls, asyncio.current_task(), 42:
                with self.assertRaises((TypeError, AttributeError)):
                    getattr(cls, name)(wrong)
        for name in ('deadline', 'shield', 'cancel_called',
                     'cancelled_caught', '_members', 'deadline_expired'):
            descriptor = cls.__dict__[name]
            for wrong in None, object(), cls, 42:
                if wrong is None:
                    continue        # the class
                with self.assertRaises((TypeError, AttributeError)):
                    descriptor.__get__(wrong)
                with self.assertRaises((TypeError, AttributeError)):
                    descriptor.__set__(wrong, 5)
        for name in '_cancel_requests', '_forget_delivery':
            for wrong in None, object(), 42:
                with self.assertRaises((TypeError, AttributeError)):
                    getattr(cancelscopes, name)(wrong)
        self.assertIs(cancelscopes._is_cancelled(None), False)
        await self.assert_sound()

    async def test_3_8_methods_of_one_kind_on_another(self):
        # A C method refuses a scope in Python, and the other way round.
        kinds = {cancelscopes._PyCancelScope, asyncio.CancelScope,
                 self.CancelScope}
        for cls in kinds:
            for other in kinds - {cls}:
                for name in '__enter__', 'cancel':
                    with self.assertRaises((TypeError, AttributeError)):
                        getattr(cls, name)(other())
        await self.assert_sound()

    async def test_3_8_private_methods_with_wrong_arguments(self):
        with self.CancelScope() as scope:
            for args in (), ('propagate',):
                with self.assertRaises(TypeError):
                    scope._spawn(*args)
            for errors in 'propagate', 'log', None:
                with self.assertRaises(TypeError):
                    scope._spawn(errors, 42)
            with self.assertRaises(MyError):
                scope._spawn('propagate', self.raise_error)
            scope.cancel()
        with self.assertRaisesRegex(RuntimeError, 'not active'):
            scope._spawn('propagate', print)
        for function in (cancelscopes._spawn_background,):
            with self.assertRaises(TypeError):
                function()
            with self.assertRaises(TypeError):
                function('propagate')
        await self.assert_sound()

    def raise_error(self, *args, **kwargs):
        raise MyError


@scope_utils.matrix
class InterruptionTests(HostileTestCase):
    """Python code that runs anywhere: trace functions, signal handlers."""

    async def tree(self, scopes):
        """Do a bit of everything; scopes can be cancelled at any moment."""
        with self.CancelScope(deadline=self.loop.time() + 5) as outer:
            scopes.append(outer)
            async with asyncio.TaskGroup() as group:
                scopes.append(group.cancel_scope)
                task = group.create_task(self.forever())
                group.create_task(asyncio.sleep(1))
                with self.CancelScope(shield=True) as inner:
                    scopes.append(inner)
                    await asyncio.sleep(0)
                outer.shield = True
                outer.shield = False
                inner.deadline = 17
                task.cancel()
                await asyncio.sleep(2)

    async def test_2_8_trace_functions_cancel(self):
        def function(frame, event, arg):
            nonlocal count
            count += 1
            if count % every == 0:
                install(None)
                for scope in scopes:
                    scope.cancel('trace')
                install(function)
            return function

        for install in sys.setprofile, sys.settrace:
            saved = (sys.getprofile if install is sys.setprofile
                     else sys.gettrace)()
            for every in 1, 2, 3, 7, 23:
                with self.subTest(install.__name__, every=every):
                    count, scopes = 0, []
                    task = self.spawn(self.tree(scopes))
                    install(function)
                    try:
                        while not task.done():
                            await asyncio.sleep(1)
                    finally:
                        install(saved)
                    await task
                    self.assertGreater(count, 0)
                    await self.assert_sound()

    async def test_2_8_trace_functions_leave_and_raise(self):
        # The frames that they hit are broken; the tree is not.
        def leave(scope):
            self.force_exit(scope)

        def fail(scope):
            raise MyError

        for action in leave, fail:
            for hit in range(1, 60, 7 if support.Py_DEBUG else 3):
                def function(frame, event, arg):
                    nonlocal count
                    count += 1
                    # In a debug build, an error as one coroutine yields to
                    # another fails an assertion of the interpreter
                    # (CLEANUP_THROW takes it for one of throw()).
                    yields = (event == 'return' and
                              frame.f_code.co_flags & inspect.CO_COROUTINE)
                    if count >= hit and not yields:
                        sys.setprofile(None)
                        if scopes:
                            action(scopes[hit % len(scopes)])
                        elif action is fail:
                            raise MyError

                async def host():
                    sys.setprofile(function)
                    try:
                        await self.tree(scopes)
                    finally:
                        sys.setprofile(saved)

                with self.subTest(action=action.__name__, hit=hit):
                    count, scopes = 0, []
                    saved = sys.getprofile()
                    try:
                        task = self.spawn(host())
                        await asyncio.wait([task], timeout=20)
                    except MyError:
                        pass
                    finally:
                        sys.setprofile(saved)
                    for left in self.all_tasks() - {asyncio.current_task()}:
                        left._log_destroy_pending = False
                        left.cancel()
                    await asyncio.sleep(1)
                    with support.catch_unraisable_exception():
                        task = left = None
                        # What is reported has an exception, and that a task.
                        for _ in range(2):
                            support.gc_collect()
                            self.take_problems()
                    await self.assert_sound()

    @unittest.skipUnless(hasattr(signal, 'SIGUSR1'), 'requires SIGUSR1')
    @threading_helper.reap_threads
    def test_2_8_signal_handlers_cancel(self):
        async def main():
            for index in range(3):
                for _ in range(2):
                    scopes.clear()
                    target = index
                    task = self.spawn(self.tree(scopes))
                    for _ in range(4):
                        signal.raise_signal(signal.SIGUSR1)
                        await asyncio.sleep(0)
                    await task
                    await self.assert_sound()

            def on_cancel(future, super_cancel):
                signal.raise_signal(signal.SIGUSR1)
                return super_cancel()

            async def host():
                with self.CancelScope() as scope:
                    scopes.append(scope)
                    await self.make_future(on_cancel)
            scopes.clear()
            hosts = [self.spawn(host()) for _ in range(3)]
            await self.settle()
            scopes[0].cancel('first')
            await asyncio.wait(hosts)
            for scope in scopes:
                self.assert_scope(scope, called=True, caught=True)
            await self.assert_sound()

        def handler(signum, frame):
            for scope in scopes:
                scope.cancel('signal')

        scopes = []
        saved = signal.signal(signal.SIGUSR1, handler)
        try:
            self.run_main(main())
        finally:
            signal.signal(signal.SIGUSR1, saved)

    async def test_2_8_near_the_recursion_limit(self):
        # cancel() fails, or does what it should; nothing else is affected.
        def descend(levels, function):
            if levels:
                return descend(levels - 1, function)
            return function()

        async def member(future):
            with self.CancelScope():
                await future

        class Remembering(self.Future):
            wake_up = None

            def add_done_callback(self, callback, *, context=None):
                self.wake_up = functools.partial(callback, self)
                super().add_done_callback(callback, context=context)

        outcomes = set()
        depth = support.get_recursion_depth()
        for room in range(1, 40):
            futures = [Remembering(loop=self.loop) for _ in range(2)]
            async with asyncio.TaskGroup() as group:
                scope = group.cancel_scope
                hosts = [group.create_task(member(future))
                         for future in futures]
                await self.settle()
                with support.set_recursion_limit(depth + 200):
                    levels = support.get_recursion_available() - room
                    try:
                        descend(levels, scope.cancel)
                    except RecursionError:
                        outcomes.add('error')
                    else:
                        outcomes.add('done')
                        self.assertIs(scope.cancel_called, True)
                # What has not been told can still be.
                for host, future in zip(hosts, futures):
                    if not future.done():
                        future.cancel()
                with self.CancelScope(shield=True):
                    await asyncio.sleep(1)
                    for host, future in zip(hosts, futures):
                        if not host.done():
                            # The loop could not take it, as in stock.
                            self.loop.call_soon(future.wake_up)
                    await asyncio.sleep(1)
                    self.assertEqual([host.done() for host in hosts],
                                     [True] * 2)
            await self.assert_sound()
        self.assertEqual(outcomes, {'error', 'done'})



class TimerHandle(Resurrecting):
    """What a loop that does not keep its handles returns."""

    def cancel(self):
        pass


@scope_utils.matrix
class CrashTests(IsolatedTestCase):
    """What has crashed, or might have."""

    async def test_3_8_root_is_nobodys_to_leave(self):
        async def background():
            await self.forever()

        root = self.CancelScope()
        root._plant(self.loop)
        try:
            with self.assertRaises(RuntimeError):
                root.__exit__(None, None, None)
            with self.assertRaises(RuntimeError):
                root.__enter__()
            task = self.spawn(background())
            await self.settle()
            repr(root)
            # It is still what it was.
            if self.Task is tasks._PyTask or (
                    self.CancelScope is not cancelscopes._PyCancelScope):
                if not self.is_mixed():
                    root.cancel('root')
                    with self.CancelScope(shield=True):
                        await asyncio.wait([task])
                    self.assertTrue(task.cancelled())
        finally:
            root._uproot()
        task.cancel()
        await asyncio.wait([task])
        root._uproot()
        await self.assert_sound()

    def is_mixed(self):
        """A C scope is not the root of Python tasks."""
        return (self.Task is tasks._PyTask
                and self.CancelScope is not cancelscopes._PyCancelScope)

    async def test_3_8_root_is_left_where_no_task_is(self):
        def leave():
            try:
                root.__exit__(None, None, None)
            except RuntimeError as exc:
                errors.append(str(exc))

        errors = []
        root = self.CancelScope()
        root._plant(self.loop)
        try:
            self.loop.call_soon(leave)
            await asyncio.sleep(1)
            thread = threading.Thread(target=leave)
            with threading_helper.start_threads([thread]):
                pass
        finally:
            root._uproot()
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



@scope_utils.matrix
class MemoryTests(IsolatedTestCase):
    """Any allocation can fail: MemoryError, or what should be done is done."""

    def setUp(self):
        if support.Py_DEBUG:
            self.skipTest('a debug build of the interpreter itself does not '
                          'hold out: assertions in _Py_Dealloc(), and '
                          'BaseExceptionGroup.split()')
        if (support.check_sanitizer(address=True)
                and 'exception_groups' in self._testMethodName):
            self.skipTest('without memory BaseExceptionGroup.split() of the '
                          'interpreter itself uses a null pointer')
        if self.Task is tasks._PyTask:
            self.skipTest('an error between any two statements of the one in '
                          'Python leaves half of what it does undone')
        self.testcapi = import_helper.import_module('_testcapi')
        if not hasattr(self.testcapi, 'set_nomemory'):
            self.skipTest('requires _testcapi.set_nomemory()')
        super().setUp()

    def attempt(self, function, start, stop):
        """Call function() and let its allocations fail from start to stop.

        (Counted from 0; with a stop of 0, all of them from start on.)  Return
        whether it has raised MemoryError.
        """
        failed = False
        # Other tests' garbage has to wait: without memory, a coroutine that
        # warns as it is collected makes warnings.c use a null pointer.
        gc.disable()
        self.testcapi.set_nomemory(start, stop)
        try:
            function()
        except MemoryError:
            failed = True
        finally:
            self.testcapi.remove_mem_hooks()
            gc.enable()
        return failed

    async def sweep(self, action, *, scopes=1):
        """Let each allocation of action(scopes, tasks) fail in turn.

        The scopes are nested, and tasks are blocked in the innermost one.
        """
        async def host(held):
            for _ in range(scopes):
                held.append(self.CancelScope())
                held[-1].__enter__()
            await self.forever()

        for many in False, True:
            lucky = 0
            for start in range(500):
                held = [[] for _ in range(3)]
                hosts = [self.spawn(host(h)) for h in held]
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                stop = 0 if many else start + 1
                function = functools.partial(action, held, hosts)
                # In a task of its own, which takes along what is half done.
                actor = self.spawn(self.act(function, start, stop))
                await asyncio.wait([actor])
                failed = actor.cancelled() or actor.exception() is not None
                lucky = 0 if failed else lucky + 1
                del actor
                for task in hosts:
                    task._log_destroy_pending = False
                    for _ in range(3):
                        task.cancel()
                for _ in range(4):
                    await asyncio.sleep(0)
                del hosts, held, function
                task = None
                if lucky == 10:
                    break
            else:
                self.fail('it takes a lot of memory')
        gc.collect()
        self.take_problems()
        await self.assert_sound()

    async def act(self, function, start, stop):
        if self.attempt(function, start, stop):
            raise MemoryError

    async def test_2_8_cancel(self):
        await self.sweep(lambda held, hosts: held[0][0].cancel('why'))

    async def test_2_8_cancel_of_nested_scopes(self):
        await self.sweep(lambda held, hosts: held[0][0].cancel(), scopes=5)

    async def test_2_8_task_cancel(self):
        def action(held, hosts):
            hosts[0].cancel('why')
            hosts[0].cancelling()
            hosts[0].uncancel()

        await self.sweep(action, scopes=2)

    async def test_3_8_wrong_exit(self):
        def action(held, hosts):
            self.force_exit(held[0][0])

        await self.sweep(action, scopes=3)

    async def test_3_6_attributes(self):
        def action(held, hosts):
            scope = held[0][0]
            scope.shield = True
            scope.deadline = self.loop.time() + 50
            scope.deadline = self.loop.time() + 20
            repr(scope)
            scope.cancel_called
            scope.deadline = None
            scope.shield = False

        await self.sweep(action)

    async def test_3_8_enter_and_exit(self):
        for kwargs in {}, {'deadline': 5000}, {'shield': True}, {
                'deadline': 1}:
            def action(held, hosts):
                scope = self.CancelScope(**kwargs)
                with scope:
                    scope.cancel_called

            with self.subTest(kwargs=kwargs):
                await self.sweep(action)

    async def test_3_4_exception_groups(self):
        def action(held, hosts):
            try:
                with self.CancelScope() as scope:
                    scope.cancel()
                    raise group
            except BaseExceptionGroup:
                pass

        group = BaseExceptionGroup('group', [
            asyncio.CancelledError(),
            BaseExceptionGroup('inner', [asyncio.CancelledError(),
                                         ValueError()])])
        await self.sweep(action)

    async def test_6_1_spawn(self):
        async def member():
            await asyncio.sleep(0)

        def action(held, hosts):
            coro = member()
            try:
                group.create_task(coro)
            except BaseException:
                coro.close()
                raise

        try:
            async with asyncio.TaskGroup() as group:
                with support.catch_unraisable_exception():
                    with self.CancelScope(shield=True):
                        await self.sweep(action)
                group.cancel()
        except* (MemoryError, RuntimeError):
            pass        # of a member, in its first step
        self.take_problems()
        await self.assert_sound()

    def run_program(self, main):
        """Let each allocation in the run of a main task fail in turn."""
        self.loop.close()
        for many in False, True:
            lucky = 0
            for start in range(2000):
                scope_utils.ScopeTestCase.setUp(self)   # another loop
                coro = main()
                task = self.loop.create_task(coro)
                stop = 0 if many else start + 1
                try:
                    failed = self.attempt(self.loop.run_forever, start, stop)
                except scope_utils.Deadlock:
                    failed = True
                except BaseException as exc:
                    # What a MemoryError was turned into.
                    failed = True
                    del exc
                lucky = 0 if failed or self.problems else lucky + 1
                task._log_destroy_pending = False
                if self.loop.is_running():
                    # The end of run_forever() has failed.
                    self.loop._thread_id = None
                    asyncio._set_running_loop(None)
                for left in self.all_tasks():
                    left._log_destroy_pending = False
                    left.cancel()
                self.loop.call_later(100, self.loop.stop)
                try:
                    self.loop.run_forever()
                except BaseException:
                    pass
                left = None
                self.loop.close()
                with support.catch_unraisable_exception():
                    del task, coro
                if lucky == 20:
                    break
        gc.collect()
        scope_utils.ScopeTestCase.setUp(self)
        self.run_main(self.assert_sound())

    def test_6_4_group_from_beginning_to_end(self):
        async def main():
            try:
                with self.CancelScope(deadline=self.loop.time() + 50):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(asyncio.sleep(0))
                        group.create_task(self.forever())
                        await asyncio.sleep(0)
                        group.cancel()
            finally:
                self.loop.stop()

        self.run_program(main)

    def test_4_1_timeout_from_beginning_to_end(self):
        async def main():
            try:
                async with asyncio.timeout(0):
                    await self.forever()
            except TimeoutError:
                await asyncio.shield(asyncio.sleep(0))
            finally:
                self.loop.stop()

        self.run_program(main)


# ----- Programs -----

PRELUDE = '''\
import sys
PYTHON, EAGER = {settings}
if PYTHON:
    sys.modules['_asyncio'] = None

import asyncio
import gc
import os
import threading
import weakref


def make_loop():
    loop = asyncio.SelectorEventLoop()
    if EAGER:
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def run(main):
    return asyncio.run(main, loop_factory=make_loop)


async def forever():
    await asyncio.get_running_loop().create_future()


async def use():
    """A bit of everything; return True if that comes out right."""
    with asyncio.move_on_after(0.001) as late:
        with asyncio.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                member = group.create_task(forever())
                await forever()
    with asyncio.CancelScope() as outer:
        async with asyncio.TaskGroup() as group:
            group.create_task(forever())
            other = asyncio.create_task(forever())
            outer.cancel('why')
            with asyncio.CancelScope(shield=True):
                await asyncio.sleep(0)
            await forever()
    assert not other.done()
    other.cancel()
    try:
        async with asyncio.timeout(0):
            await forever()
    except TimeoutError:
        pass
    else:
        assert False
    return (late.cancelled_caught and not scope.cancelled_caught
            and outer.cancelled_caught and member.cancelled())


kept = []


async def leave_open():
    """End with everything open."""
    scope = asyncio.CancelScope(deadline=asyncio.get_running_loop().time()
                                + 1000)
    scope.__enter__()
    group = asyncio.TaskGroup()
    await group.__aenter__()
    kept.extend([scope, group, group.create_task(forever())])
    timeout = asyncio.timeout(1000)
    await timeout.__aenter__()
    kept.append(timeout)
    shield = asyncio.CancelScope(shield=True)
    shield.__enter__()
    kept.append(shield)
    await forever()


def leave_pending():
    """Stop a loop amid its tasks, and do not close it."""
    loop = make_loop()
    kept.append(loop)
    kept.append(loop.create_task(leave_open()))
    loop.call_later(0.001, loop.stop)
    loop.run_forever()


def make_cycles():
    cycle = [*kept]
    cycle.append(cycle)
    for thing in kept:
        if hasattr(thing, 'cycle'):
            thing.cycle = cycle
    kept[:] = [cycle]
'''


class ProgramTestCase(unittest.TestCase):
    """Programs that run in processes of their own."""

    Task = None
    eager = False

    def setUp(self):
        if not support.has_subprocess_support:
            self.skipTest('requires subprocesses')

    def run_text(self, text, *, code=0, quiet=True):
        """Run a program; return what it has printed."""
        settings = repr((self.Task is tasks._PyTask, self.eager))
        text = (PRELUDE.replace('{settings}', settings)
                + textwrap.dedent(text))
        returncode, out, err = run_program(text)
        self.assertEqual(returncode, code, err)
        if quiet:
            self.assertNotRegex(
                err, 'Traceback|Fatal|Error|Assertion|Segmentation|leaked')
        return out.split()


def programs(base):
    """Class decorator: put one test class per variant into this module."""
    for variant in (scope_utils.CLazy, scope_utils.CEager,
                    scope_utils.PyLazy, scope_utils.PyEager):
        name = f'{base.__name__}_{variant.__name__}'
        cls = types.new_class(name, (variant, base, ProgramTestCase))
        cls.__module__ = base.__module__
        if variant.Task is None:
            cls = unittest.skip('requires the C _asyncio module')(cls)
        globals()[name] = cls
    return base


@programs
class InterpreterTests:
    """Other interpreters in the process."""

    def run_in_interpreters(self, code, driver):
        import_helper.import_module('concurrent.interpreters')
        settings = repr((self.Task is tasks._PyTask, self.eager))
        code = (PRELUDE.replace('{settings}', settings)
                + textwrap.dedent(code))
        return self.run_text(f'CODE = {code!r}\n' + textwrap.dedent(driver))

    def test_2_8_one_after_the_other(self):
        out = self.run_in_interpreters('''
            assert run(use())
            assert run(use())
            print('inside', flush=True)
            ''', '''
            from concurrent import interpreters
            assert run(use())
            for _ in range(4):
                interpreter = interpreters.create()
                interpreter.exec(CODE)
                interpreter.close()
                assert run(use())
            print('outside')
            ''')
        self.assertEqual(out, ['inside'] * 4 + ['outside'])

    def test_2_8_from_within_a_task(self):
        # The other interpreter has a current task of its own: none.
        out = self.run_in_interpreters('''
            try:
                asyncio.current_effective_deadline()
            except RuntimeError:
                print('no task', flush=True)
            assert run(use())
            ''', '''
            from concurrent import interpreters

            async def main():
                interpreter = interpreters.create()
                with asyncio.CancelScope() as scope:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(forever())
                        await asyncio.sleep(0)
                        interpreter.exec(CODE)
                        scope.cancel()
                interpreter.close()
                assert await use()

            run(main())
            print('outside')
            ''')
        self.assertEqual(out, ['no', 'task', 'outside'])

    @threading_helper.requires_working_threading()
    @support.skip_if_sanitizer('gh-129824: making interpreters in threads races '
                               'in the interpreter itself', thread=True)
    def test_2_8_in_threads(self):
        out = self.run_in_interpreters('''
            for _ in range(5):
                assert run(use())
            print('inside', flush=True)
            ''', '''
            from concurrent import interpreters

            def work():
                interpreter = interpreters.create()
                interpreter.exec(CODE)
                interpreter.close()

            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
            for _ in range(5):
                assert run(use())
            for thread in threads:
                thread.join()
            print('outside')
            ''')
        self.assertEqual(out, ['inside'] * 3 + ['outside'])

    def test_3_9_destroyed_while_scopes_are_open(self):
        for ending in '', 'make_cycles()', 'gc.disable(); make_cycles()':
            with self.subTest(ending):
                out = self.run_in_interpreters(f'''
                    leave_pending()
                    leave_pending()
                    {ending}
                    print('inside', flush=True)
                    ''', '''
                    from concurrent import interpreters
                    for _ in range(2):
                        interpreter = interpreters.create()
                        interpreter.exec(CODE)
                        interpreter.close()
                    interpreter = interpreters.create()
                    interpreter.exec(CODE)
                    assert run(use())
                    print('outside')
                    ''')
                self.assertEqual(out, ['inside'] * 3 + ['outside'])


@programs
class ForkTests:
    """fork() within tasks, scopes and groups.

    A child that goes on with the loop of its parent, such as by sys.exit(),
    hangs in stock: its thread has no running loop.
    """

    def setUp(self):
        super().setUp()
        if not support.has_fork_support:
            self.skipTest('requires os.fork()')

    def run_fork(self, child):
        text = '''
            import signal

            async def main():
                with asyncio.CancelScope(
                        deadline=asyncio.get_running_loop().time() + 100
                ) as scope:
                    async with asyncio.TaskGroup() as group:
                        member = group.create_task(forever())
                        background = asyncio.create_task(forever())
                        await asyncio.sleep(0)
                        sys.stdout.flush()
                        pid = os.fork()
                        if not pid:
                            CHILD
                        _, status = os.waitpid(pid, 0)
                        print('status', os.waitstatus_to_exitcode(status))
                        assert not scope.cancel_called
                        assert not member.done() and not background.done()
                        assert await use()
                        scope.cancel()
                        await forever()
                assert scope.cancelled_caught and member.cancelled()
                return await use()

            assert run(main())
            print('parent')
            '''
        indented = textwrap.indent(textwrap.dedent(child).strip(),
                                   ' ' * 28).lstrip()
        out = self.run_text(textwrap.dedent(text.replace('CHILD', indented)))
        self.assertEqual(out[-3:], ['status', '0', 'parent'])
        return out[:-3]

    def test_2_8_child_exits_at_once(self):
        self.assertEqual(self.run_fork('os._exit(0)'), [])

    def test_2_8_child_runs_a_program_of_its_own(self):
        out = self.run_fork('''
            def program():
                assert run(use())
                assert run(use())
                print('child', flush=True)
                os._exit(0)
            # The task of the parent is not current there.
            thread = threading.Thread(target=program)
            thread.start()
            thread.join()
            os._exit(1)
            ''')
        self.assertEqual(out, ['child'])

    def test_2_8_child_runs_a_program_in_the_same_thread(self):
        # As stock does or does not allow it: it neither crashes nor hangs,
        # and a task of the parent is none of the child's.
        out = self.run_fork('''
            try:
                result = run(use())
            except RuntimeError as exc:
                result = True
            assert result
            print('child', flush=True)
            os._exit(0)
            ''')
        self.assertEqual(out, ['child'])

    def test_2_8_child_goes_on_with_the_scopes(self):
        # They are copies; what happens to them is no concern of the parent.
        out = self.run_fork('''
            scope.cancel()
            member.cancel()
            group.cancel()
            scope.deadline = 5
            scope.shield = True
            gc.collect()
            print('child', scope.cancel_called, flush=True)
            os._exit(0)
            ''')
        self.assertEqual(out, ['child', 'True'])


@programs
class ShutdownTests:
    """The interpreter ends while scopes are open."""

    def run_and_end(self, text, *, noisy=False):
        self.assertEqual(self.run_text(text, quiet=not noisy), ['end'])

    def test_3_9_pending_in_globals(self):
        self.run_and_end('''
            leave_pending()
            leave_pending()
            print('end')
            ''')

    def test_3_9_pending_in_cycles(self):
        for prefix in '', 'gc.disable()', 'gc.collect()':
            self.run_and_end(f'''
                leave_pending()
                make_cycles()
                {prefix}
                print('end')
                ''')

    def test_3_9_pending_in_places_that_go_late(self):
        self.run_and_end('''
            import builtins
            leave_pending()
            builtins.kept = kept
            sys.kept = kept[:]
            asyncio.kept = kept[:]
            asyncio.cancelscopes.kept = kept[:]
            sys.modules['asyncio.kept'] = kept[-1]
            print('end')
            ''')

    def test_3_9_scopes_that_were_never_entered(self):
        self.run_and_end('''
            kept.append(asyncio.CancelScope(deadline=5))
            kept[0].cancel(kept)
            kept.append(asyncio.TaskGroup())
            kept[1].cancel()
            kept.append(asyncio.move_on_after(5))
            print('end')
            ''')

    def test_3_9_finalizers_use_scopes(self):
        # What is there of asyncio by then may be gone in part.
        self.run_and_end('''
            class Guard:
                def __init__(self, scopes):
                    self.scopes = scopes
                def __del__(self):
                    for scope in self.scopes:
                        for action in (scope.cancel, scope.__enter__,
                                       lambda: repr(scope),
                                       lambda: scope.__exit__(None, None,
                                                              None),
                                       lambda: scope.cancel_called,
                                       lambda: setattr(scope, 'shield', True),
                                       lambda: setattr(scope, 'deadline', 5),
                                       lambda: type(scope)()):
                            try:
                                action()
                            except BaseException:
                                pass

            import builtins
            leave_pending()
            builtins.guard = Guard([thing for thing in kept if isinstance(
                thing, asyncio.CancelScope)])
            sys.guard = Guard([asyncio.CancelScope()])
            print('end')
            ''')

    def test_3_9_exit_within_a_task(self):
        returncode = 3
        out = self.run_text('''
            async def main():
                with asyncio.CancelScope(shield=True):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(forever())
                        await asyncio.sleep(0)
                        sys.exit(3)

            run(main())
            ''', code=returncode)
        self.assertEqual(out, [])

    def test_3_9_exit_within_a_runner_that_is_kept(self):
        self.run_and_end('''
            runner = asyncio.Runner(loop_factory=make_loop)

            async def main():
                asyncio.create_task(leave_open())
                await asyncio.sleep(0.001)

            runner.run(main())
            kept.append(runner)
            print('end')
            ''')

    def test_3_9_exit_at_an_exit_handler(self):
        self.run_and_end('''
            import atexit

            def at_exit():
                assert run(use())
                print('end')

            atexit.register(at_exit)
            leave_pending()
            ''')

    @threading_helper.requires_working_threading()
    def test_3_9_daemon_threads_with_running_loops(self):
        self.run_and_end('''
            ready = threading.Barrier(4)

            async def main():
                with asyncio.CancelScope(
                        deadline=asyncio.get_running_loop().time() + 100):
                    async with asyncio.TaskGroup() as group:
                        for _ in range(10):
                            group.create_task(forever())
                        await asyncio.sleep(0)
                        ready.wait()
                        while True:
                            with asyncio.move_on_after(0):
                                await asyncio.sleep(0)
                            await asyncio.sleep(0)

            for _ in range(3):
                threading.Thread(target=run, args=(main(),),
                                 daemon=True).start()
            ready.wait()
            print('end', flush=True)
            ''')

    def test_3_9_generators_are_left_to_the_end(self):
        self.run_and_end('''
            async def generate():
                with asyncio.CancelScope():
                    async with asyncio.TaskGroup() as group:
                        group.create_task(forever())
                        yield
                        yield

            loop = make_loop()

            async def main():
                gen = generate()
                await anext(gen)
                kept.append(gen)
                await forever()

            kept.append(loop.create_task(main()))
            kept.append(loop)
            loop.call_later(0.001, loop.stop)
            loop.run_forever()
            print('end', flush=True)
            ''', noisy=True)


if __name__ == '__main__':
    unittest.main()
