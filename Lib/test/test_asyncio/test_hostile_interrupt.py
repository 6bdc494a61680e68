"""Cancel scopes and code that runs between any two instructions.

Whatever such an object does in the middle of a change to the tree, the change
ends with a clear outcome, and the tree is sound afterwards.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import functools
import inspect
import logging
import signal
import sys
import unittest
from asyncio import _cancel_delivery
from asyncio import cancelscopes
from test import support
from test.support import threading_helper
from unittest import mock

from test.test_asyncio.scope_utils import (
    HostileTestCase, MyBaseError, MyError, matrix)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
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
        # cancel() does what it should, or has something to report, or, in
        # Python, fails; nothing else is affected.
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

        outcomes, unraisable = set(), []
        sys.unraisablehook = unraisable.append  # It needs no frame.
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
                reports = ([type(problem['exception'])
                            for problem in self.problems]
                           + [args.exc_type for args in unraisable])
                if reports:
                    self.assertEqual(set(reports), {RecursionError})
                    outcomes.add('reported')
                self.problems.clear()
                unraisable.clear()
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
        if self.CancelScope is cancelscopes._PyCancelScope:
            self.assertEqual(outcomes, {'done', 'error', 'reported'})
        else:
            # There may be enough room for the whole of it.
            self.assertIn('done', outcomes)
            self.assertNotIn('error', outcomes)


@matrix
class InterruptTests(HostileTestCase):
    """Ctrl-C comes while a group or the loop hears of something."""

    async def test_8_3_interrupt_as_external_members_are_cancelled(self):
        class Group:
            def _cancel_external(self, msg):
                calls.append(msg)
                raise KeyboardInterrupt

        calls = []
        with self.CancelScope() as scope:
            scope._group = Group()
            scope._watch()
            with self.assertRaises(KeyboardInterrupt):
                scope.cancel('message')
        # Not again, as what has been interrupted may have done its work.
        self.assertEqual(calls, ['message'])
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
        with mock.patch.object(asyncio.TimerHandle, 'cancel',
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
            if callback is _cancel_delivery._raise:
                self.unpatch_loop('call_soon')
                raise KeyboardInterrupt
            return original(callback, *args, **kwargs)

        async def main():
            with self.CancelScope() as scope:
                scope._group = Group()
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
            if callback is _cancel_delivery._raise:
                raise MyError
            return original(callback, *args, **kwargs)

        async def main():
            with self.CancelScope() as scope:
                scope._group = Group()
                scope._spawn('log', self.loop.create_task, asyncio.sleep(0))
                await asyncio.sleep(1)

        original = self.loop.call_soon
        self.patch_loop('call_soon', call_soon)
        task = self.loop.create_task(main())
        with self.assertLogs('asyncio', 'ERROR') as logs:
            self.loop.run_until_complete(task)
        self.assertEqual([record.exc_info[0] for record in logs.records],
                         [KeyboardInterrupt])

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
