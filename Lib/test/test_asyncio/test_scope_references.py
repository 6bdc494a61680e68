"""Tests of which objects cancel scopes keep alive (3.9).

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import gc
import unittest
import weakref
from test import support

from test.test_asyncio import child_utils
from test.test_asyncio import scope_utils
from test.test_asyncio.scope_utils import MyError, matrix


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class ReferenceTests:
    """Rule 3.9."""

    async def check_no_garbage(self, func):
        await func()            # fill caches
        await asyncio.sleep(0)
        support.gc_collect()
        with support.disable_gc():
            for _ in range(5):
                await func()
            await asyncio.sleep(0)
            self.assertEqual(gc.collect(), 0)

    async def test_3_9_scope_does_not_keep_a_finished_task(self):
        async def caught(scope):
            with scope:
                scope.cancel()
                await asyncio.sleep(0)

        async def not_cancelled(scope):
            with scope:
                await asyncio.sleep(0)

        async def failed(scope):
            with scope:
                scope.deadline = self.loop.time() + 100
                await asyncio.sleep(0)
                raise MyError

        async def left_open(scope):
            scope.__enter__()
            await asyncio.sleep(0)

        async def left_open_with_deadline(scope):
            scope.deadline = self.loop.time() + 100
            scope.__enter__()
            scope.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)

        for func in (caught, not_cancelled, failed, left_open,
                     left_open_with_deadline):
            with self.subTest(func.__name__):
                scope = self.CancelScope()
                task = self.spawn(func(scope))
                with contextlib.suppress(MyError):
                    await task
                await asyncio.sleep(0)
                ref = weakref.ref(task)
                del task
                support.gc_collect()
                self.assertIsNone(ref())
                scope.cancel()

    async def test_3_9_scope_is_freed_without_gc(self):
        async def check(body):
            scope = self.CancelScope()
            ref = weakref.ref(scope)
            with self.CancelScope():
                with scope:
                    await body(scope)
            del scope
            # The step of the task that threw the error refers to it.
            await asyncio.sleep(0)
            self.assertIsNone(ref())

        async def nothing(scope):
            pass

        async def cancelled(scope):
            scope.cancel()
            await asyncio.sleep(0)

        async def deadline(scope):
            scope.deadline = self.loop.time() + 100
            await asyncio.sleep(0)

        async def expired(scope):
            scope.deadline = self.loop.time() + 1
            await asyncio.sleep(100)

        with support.disable_gc():
            for body in nothing, cancelled, deadline, expired:
                with self.subTest(body.__name__):
                    await check(body)

    async def test_3_9_no_garbage(self):
        async def not_cancelled():
            with self.CancelScope():
                with self.CancelScope():
                    await asyncio.sleep(0)

        async def cancelled():
            with self.CancelScope() as outer:
                with self.CancelScope():
                    outer.cancel()
                    await asyncio.sleep(0)

        async def swallowed():
            with self.CancelScope() as scope:
                scope.cancel()
                for _ in range(3):
                    try:
                        await asyncio.sleep(1)
                    except asyncio.CancelledError:
                        pass

        async def expired():
            with asyncio.move_on_after(1):
                await self.forever()

        async def in_a_task():
            await self.spawn(cancelled())

        async def split():
            try:
                with self.CancelScope() as scope:
                    scope.cancel()
                    raise BaseExceptionGroup(
                        'message', [asyncio.CancelledError(), MyError()])
            except* MyError:
                pass

        async def by_another_task():
            async def other(scope):
                scope.cancel()
            with self.CancelScope() as scope:
                task = self.spawn(other(scope))
                with self.CancelScope(shield=True):
                    await task
                await asyncio.sleep(0)

        for func in (not_cancelled, cancelled, swallowed, expired, in_a_task,
                     split, by_another_task):
            with self.subTest(func.__name__):
                await self.check_no_garbage(func)

    async def test_3_9_no_cycle_with_the_error_that_is_caught(self):
        async def body():
            nonlocal ref
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError as exc:
                ref = weakref.ref(exc)
                raise

        ref = None
        with support.disable_gc():
            with self.CancelScope() as scope:
                scope.cancel()
                await body()
            self.assertIs(scope.cancelled_caught, True)
            await asyncio.sleep(0)
            self.assertIsNone(ref())

    async def test_3_9_no_cycle_with_an_error_that_leaves(self):
        async def body(error):
            with self.CancelScope() as scope:
                scope.cancel()
                try:
                    await asyncio.sleep(0)
                finally:
                    try:
                        raise error
                    finally:
                        del error   # the traceback refers to this frame

        async def check():
            error = MyError()
            ref = weakref.ref(error)
            try:
                await body(error)
            except MyError:
                pass
            del error
            return ref

        with support.disable_gc():
            ref = await check()
            await asyncio.sleep(0)
            self.assertIsNone(ref())

    async def test_3_9_no_cycle_with_the_rest_of_a_group(self):
        async def check():
            error = MyError()
            ref = weakref.ref(error)
            try:
                with self.CancelScope() as scope:
                    scope.cancel()
                    raise BaseExceptionGroup(
                        'message', [asyncio.CancelledError(), error])
            except ExceptionGroup:
                pass
            del error
            return ref

        with support.disable_gc():
            ref = await check()
            await asyncio.sleep(0)
            self.assertIsNone(ref())

    async def test_3_9_message_is_released(self):
        message = MyError('any object will do')
        ref = weakref.ref(message)
        with support.disable_gc():
            with self.CancelScope() as scope:
                scope.cancel(message)
                await asyncio.sleep(0)
            del message, scope
            await asyncio.sleep(0)
            self.assertIsNone(ref())

    async def test_3_9_message_that_refers_to_the_scope(self):
        for entered in False, True:
            scope = self.CancelScope()
            scope.cancel([scope])
            if entered:
                with scope:
                    await asyncio.sleep(0)
            ref = weakref.ref(scope)
            del scope
            await asyncio.sleep(0)
            support.gc_collect()
            self.assertIsNone(ref())

    async def test_3_9_message_that_refers_to_the_task(self):
        async def child():
            with self.CancelScope() as scope:
                scope.cancel(asyncio.current_task())
                await asyncio.sleep(0)
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()

        task = self.spawn(child())
        await self.settle()
        task.cancel([task])
        await task
        await asyncio.sleep(0)
        ref = weakref.ref(task)
        del task
        support.gc_collect()
        self.assertIsNone(ref())

    async def test_3_9_scope_that_was_never_entered_is_freed(self):
        with support.disable_gc():
            scope = self.CancelScope(deadline=5000)
            scope.cancel('early')
            ref = weakref.ref(scope)
            del scope
            self.assertIsNone(ref())


    def test_3_9_loop_is_not_kept(self):
        async def main(loop):
            scope = self.CancelScope(deadline=loop.time() + 50)
            with scope:
                scope.deadline = loop.time() + 100
                await asyncio.sleep(0)
            self.CancelScope(deadline=loop.time() + 100).__enter__()
            return scope

        loop = scope_utils.VirtualTimeLoop()
        task = self.Task(main(loop), loop=loop)
        scope = loop.run_until_complete(task)
        loop.close()
        ref = weakref.ref(loop)
        del task, loop
        support.gc_collect()
        self.assertIsNone(ref())
        scope.cancel()


class ExitTests(unittest.TestCase):
    """What a process that ends still refers to."""

    def check(self, program):
        code, out, err = child_utils.run_program(program)
        self.assertEqual((code, out, err), (0, 'end\n', ''))

    def test_3_9_task_and_scope_outlive_the_module(self):
        for place in ('asyncio', 'asyncio.tasks', 'asyncio.CancelledError',
                      'sys.modules["_asyncio"]'):
            with self.subTest(place=place):
                self.check(f"""if True:
                    import asyncio, sys
                    async def main():
                        with asyncio.move_on_after(60) as scope:
                            return asyncio.current_task(), scope
                    keeper = {place}
                    try:
                        keeper.kept = asyncio.run(main())
                    except KeyError:
                        pass  # There is no accelerator.
                    del keeper
                    print('end')
                    """)




if __name__ == '__main__':
    unittest.main()
