"""Cancel scopes and coroutines and generators that break the rules.

Whatever such an object does in the middle of a change to the tree, the change
ends with a clear outcome, and the tree is sound afterwards.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import functools
import threading
import unittest
import weakref
from test import support
from test.support import threading_helper

from test.test_asyncio.scope_utils import (HostileTestCase, MyError,
                                           SteppedCoroutine, matrix,
                                           needs_level_cancel)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
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

    async def test_2_1_invalid_yield_in_a_cancelled_scope(self):
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

    async def test_2_2_waiter_of_a_coroutine_that_is_closed(self):
        # It is not asked: the coroutine does not wait any more.
        class Waiter(self.Future):
            def cancel(self, msg=None):
                asked.append(msg)
                return False

        async def host():
            with self.CancelScope() as outer:
                scopes.append(outer)
                with self.CancelScope(shield=True):
                    await waiter

        asked, scopes = [], []
        waiter = Waiter(loop=self.loop)
        coro = host()
        task = self.spawn(coro)
        await self.settle()
        scopes[0].cancel()
        coro.close()
        self.assertEqual(asked, [])
        waiter.set_result(None)
        with self.assertRaises(RuntimeError):
            await task

    @needs_level_cancel
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

    async def test_2_1_throw_fails_or_returns_an_invalid_object(self):
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
        self.assertEqual(['exited' in repr(scope) for scope in scopes],
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
        self.assertIn('exited', repr(scopes[0]))
        task.cancel()
        await asyncio.wait([task])
        await self.assert_sound()


@matrix
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


if __name__ == '__main__':
    unittest.main()
