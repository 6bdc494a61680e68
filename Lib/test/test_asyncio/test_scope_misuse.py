"""Tests for scopes that are not used as they should be (3.8).

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import unittest
from test import support

from test.test_asyncio.scope_utils import MyError, matrix


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class MisuseTests:
    """Rule 3.8; traps 11 and 14."""

    async def check_sound(self):
        """The scopes of this task and of others work as they should."""
        async def child(waiter):
            with self.CancelScope() as scope:
                scopes.append(scope)
                await waiter
            self.assert_scope(scope, called=True, caught=True)
            await self.assert_not_cancelled()

        scopes = []
        waiter = self.loop.create_future()
        task = self.spawn(child(waiter))
        with self.CancelScope() as outer:
            with self.CancelScope() as inner:
                await self.settle()
                inner.cancel()
                await asyncio.sleep(0)
            self.assert_scope(inner, called=True, caught=True)
            scopes[0].cancel()
            self.assertIs(waiter.cancelled(), True)
            await task
            outer.cancel()
            await self.assert_level(times=1)
        await self.assert_not_cancelled()

    async def test_3_8_generator_that_is_closed_after_its_scope_was_left(self):
        def generate():
            with self.CancelScope() as scope:
                yield scope

        generator = generate()
        next(generator).__exit__(None, None, None)
        generator.close()
        await self.check_sound()

    def test_3_8_made_and_cancelled_without_a_loop(self):
        scope = self.CancelScope(deadline=3000, shield=True)
        scope.deadline = 4000
        scope.shield = False
        scope.cancel('early')
        self.assert_scope(scope, called=True, caught=False)
        self.assertIsInstance(repr(scope), str)

        async def main():
            with scope:
                await self.assert_level('early')
                await asyncio.sleep(0)
            self.assert_scope(scope, called=True, caught=True)

        self.run_main(main())

    def test_3_8_entered_without_a_loop(self):
        scope = self.CancelScope()
        with self.assertRaisesRegex(RuntimeError, '(?i)task|loop'):
            scope.__enter__()

        async def main():       # nothing has happened to it
            with scope:
                scope.cancel()
                await asyncio.sleep(0)
            self.assert_scope(scope, called=True, caught=True)

        self.run_main(main())

    async def test_3_8_entered_without_a_task(self):
        errors = []
        scope = self.CancelScope(deadline=self.loop.time() - 1)

        def callback():
            try:
                scope.__enter__()
            except RuntimeError as exc:
                errors.append(exc)

        self.loop.call_soon(callback)
        await self.settle()
        self.assertRegex(str(errors[0]), '(?i)task')
        await self.check_sound()
        with scope:
            await asyncio.sleep(0)
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_8_entered_twice(self):
        with self.CancelScope() as scope:
            with self.assertRaisesRegex(
                    RuntimeError, '(?i)already|twice|once|only'):
                with scope:
                    self.fail('entered')
            await self.check_sound()
            scope.cancel()
            await asyncio.sleep(0)
        self.assert_scope(scope, called=True, caught=True)
        await self.check_sound()

    async def test_3_8_entered_in_two_tasks(self):
        async def other():
            with self.assertRaisesRegex(
                    RuntimeError, '(?i)already|twice|once|only'):
                scope.__enter__()
            await self.check_sound()

        with self.CancelScope() as scope:
            await self.spawn(other())
            scope.cancel()
            await asyncio.sleep(0)
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_8_reused(self):
        for cancelled in False, True:
            with self.subTest(cancelled=cancelled):
                with self.CancelScope() as scope:
                    if cancelled:
                        scope.cancel()
                    await asyncio.sleep(0)
                with self.assertRaisesRegex(
                        RuntimeError, '(?i)already|reus|once|only'):
                    with scope:
                        self.fail('entered')
                self.assert_scope(scope, called=cancelled, caught=cancelled)
                await self.check_sound()

    async def test_3_8_left_before_it_was_entered(self):
        scope = self.CancelScope()
        with self.assertRaisesRegex(RuntimeError, '(?i)enter'):
            scope.__exit__(None, None, None)
        await self.check_sound()
        with scope:
            scope.cancel()
            await asyncio.sleep(0)
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_8_left_twice(self):
        with self.CancelScope() as outer:
            with self.CancelScope() as scope:
                pass
            with self.assertRaisesRegex(
                    RuntimeError, '(?i)already|twice|not|left|exited'):
                scope.__exit__(None, None, None)
            await self.check_sound()
            outer.cancel()
            await self.assert_level()

    async def test_3_8_left_out_of_order(self):
        """Trap 11: what is inside moves up to the parent."""
        with self.CancelScope() as top:
            outer = self.CancelScope().__enter__()
            inner = self.CancelScope().__enter__()
            with self.assertRaisesRegex(
                    RuntimeError, '(?i)order|inside|inner|open|nest|current'):
                outer.__exit__(None, None, None)
            # The outer one is out.
            outer.cancel()
            await self.assert_not_cancelled()
            await self.check_sound()
            with self.assertRaises(RuntimeError):
                outer.__exit__(None, None, None)
            # The inner one hangs on the top one, and works.
            with self.CancelScope() as innermost:
                top.cancel('top')
                await self.assert_level('top')
                innermost.shield = True
                await asyncio.sleep(1)
            self.assertFalse(inner.__exit__(None, None, None))
            await self.assert_level('top')
        self.assert_scope(top, called=True, caught=False)
        await self.check_sound()

    async def test_3_8_left_out_of_order_inner_is_cancelled_later(self):
        outer = self.CancelScope().__enter__()
        inner = self.CancelScope().__enter__()
        with self.assertRaises(RuntimeError):
            outer.__exit__(None, None, None)
        inner.cancel('inner')
        exc = await self.assert_cancelled(asyncio.sleep(0), 'inner')
        self.assertTrue(inner.__exit__(type(exc), exc, None))
        self.assert_scope(inner, called=True, caught=True)
        await self.check_sound()

    async def test_3_8_left_out_of_order_outer_was_cancelled(self):
        outer = self.CancelScope().__enter__()
        inner = self.CancelScope().__enter__()
        outer.cancel()
        await self.assert_level()
        with self.assertRaises(RuntimeError):
            outer.__exit__(None, None, None)
        await self.assert_not_cancelled()
        inner.__exit__(None, None, None)
        await self.check_sound()

    async def test_3_8_left_out_of_order_in_the_middle(self):
        scopes = [self.CancelScope().__enter__() for _ in range(5)]
        with self.assertRaises(RuntimeError):
            scopes[2].__exit__(None, None, None)
        scopes[2].cancel()
        await self.assert_not_cancelled()
        scopes[1].cancel('one')
        await self.assert_level('one')
        scopes[3].shield = True
        await asyncio.sleep(0)
        scopes[4].cancel('four')
        exc = await self.assert_cancelled(asyncio.sleep(0), 'four')
        self.assertTrue(scopes[4].__exit__(type(exc), exc, None))
        await asyncio.sleep(0)
        scopes[3].__exit__(None, None, None)
        await self.assert_level('one')
        scopes[1].__exit__(None, None, None)
        scopes[0].__exit__(None, None, None)
        await self.check_sound()

    async def test_3_8_left_out_of_order_drops_the_deadline(self):
        outer = self.CancelScope(deadline=self.loop.time() + 1).__enter__()
        inner = self.CancelScope(deadline=self.loop.time() + 9).__enter__()
        with self.assertRaises(RuntimeError):
            outer.__exit__(None, None, None)
        await asyncio.sleep(5)
        self.assertIs(outer.cancelled_caught, False)
        start = self.loop.time()
        with self.assertRaises(asyncio.CancelledError) as cm:
            await self.forever()
        self.assertEqual(self.loop.time(), start + 4)
        self.assertTrue(inner.__exit__(type(cm.exception), cm.exception, None))
        await self.check_sound()

    async def test_3_8_left_out_of_order_with_an_error(self):
        # The error that was under way can be found behind the RuntimeError.
        outer = self.CancelScope()
        error = KeyError()
        with self.assertRaises(RuntimeError) as cm:
            with outer:
                inner = self.CancelScope().__enter__()
                raise error
        self.assertIs(cm.exception.__context__, error)
        inner.__exit__(None, None, None)
        await self.check_sound()

    async def test_3_8_interleaved_generators(self):
        async def generate():
            with self.CancelScope():
                yield

        first, second = generate(), generate()
        await anext(first)
        await anext(second)
        with self.assertRaises(RuntimeError):
            await first.aclose()
        await self.assert_not_cancelled()
        await second.aclose()
        await self.check_sound()

    async def test_3_8_left_in_another_task(self):
        gate = self.loop.create_future()
        scope = self.CancelScope()
        trace = []

        async def host():
            scope.__enter__()
            with self.CancelScope() as inner:
                await gate
                # The scope is out, the inner one has moved up.
                scope.cancel()
                await self.assert_not_cancelled()
                inner.cancel('inner')
                await self.assert_level('inner')
                await asyncio.sleep(0)
            self.assert_scope(inner, called=True, caught=True)
            with self.assertRaises(RuntimeError):
                scope.__exit__(None, None, None)
            await self.check_sound()
            trace.append('host')

        task = self.spawn(host())
        await self.settle()
        with self.CancelScope() as own:
            with self.assertRaisesRegex(RuntimeError, '(?i)task'):
                scope.__exit__(None, None, None)
            own.cancel()
            await self.assert_level()
            await asyncio.sleep(0)
        self.assert_scope(own, called=True, caught=True)
        gate.set_result(None)
        await task
        self.assertEqual(trace, ['host'])
        await self.check_sound()

    async def test_3_8_left_in_another_task_without_inner_scopes(self):
        gate = self.loop.create_future()
        scope = self.CancelScope(deadline=self.loop.time() + 5)

        async def host():
            scope.__enter__()
            await gate
            await asyncio.sleep(10)
            await self.check_sound()

        task = self.spawn(host())
        await self.settle()
        with self.assertRaisesRegex(RuntimeError, '(?i)task'):
            scope.__exit__(None, None, None)
        gate.set_result(None)
        await task

    async def test_3_8_cancelled_and_left_in_another_task(self):
        gate = self.loop.create_future()
        scope = self.CancelScope()

        async def host():
            scope.__enter__()
            await self.assert_cancelled(self.forever())
            with self.CancelScope(shield=True):
                await gate
            await self.assert_not_cancelled()
            await self.check_sound()

        task = self.spawn(host())
        await self.settle()
        scope.cancel()
        await self.settle()
        with self.assertRaisesRegex(RuntimeError, '(?i)task'):
            scope.__exit__(None, None, None)
        gate.set_result(None)
        await task

    async def test_3_8_shielded_scope_left_in_another_task(self):
        # What is inside moves up to the parent, which is cancelled: a
        # task that is blocked there is interrupted at once.
        async def host():
            with self.CancelScope() as outer:
                scopes.append(outer)
                shielded.__enter__()
                with self.CancelScope() as inner:
                    await waiter
            self.assert_scope(inner, called=False, caught=False)
            self.assert_scope(outer, called=True, caught=True)
            await self.check_sound()
            return 'done'

        scopes = []
        shielded = self.CancelScope(shield=True)
        waiter = self.loop.create_future()
        task = self.spawn(host())
        await self.settle()
        scopes[0].cancel()
        self.assertIs(waiter.done(), False)
        with self.assertRaisesRegex(RuntimeError, '(?i)task'):
            shielded.__exit__(None, None, None)
        self.assertIs(waiter.cancelled(), True)
        self.assertEqual(await task, 'done')

    async def test_3_8_shielded_innermost_scope_left_in_another_task(self):
        async def host():
            with self.CancelScope() as outer:
                scopes.append(outer)
                shielded.__enter__()
                await waiter
            self.assert_scope(outer, called=True, caught=True)
            return 'done'

        scopes = []
        shielded = self.CancelScope(shield=True)
        waiter = self.loop.create_future()
        task = self.spawn(host())
        await self.settle()
        scopes[0].cancel()
        self.assertIs(waiter.done(), False)
        with self.assertRaisesRegex(RuntimeError, '(?i)task'):
            shielded.__exit__(None, None, None)
        self.assertIs(waiter.cancelled(), True)
        self.assertEqual(await task, 'done')

    async def test_3_8_shielded_scope_left_out_of_order(self):
        with self.CancelScope() as outer:
            outer.cancel('outer')
            shielded = self.CancelScope(shield=True).__enter__()
            inner = self.CancelScope().__enter__()
            await self.assert_not_cancelled()
            with self.assertRaises(RuntimeError):
                shielded.__exit__(None, None, None)
            await self.assert_level('outer')
            inner.__exit__(None, None, None)
        await self.check_sound()

    def test_3_8_left_without_a_task(self):
        scopes = []

        async def main():
            scopes.append(self.CancelScope().__enter__())
            await asyncio.sleep(0)

        self.run_main(main())
        # Its task has ended, and there is no other to blame.
        self.assertIs(scopes[0].__exit__(None, None, None), False)
        self.assertIn('exited', repr(scopes[0]))

    async def test_3_8_left_after_its_task_has_ended(self):
        scope = self.CancelScope()

        async def host():
            scope.__enter__()
            await asyncio.sleep(0)

        await self.spawn(host())
        with self.assertRaises(RuntimeError):
            scope.__exit__(None, None, None)
        await self.check_sound()

    async def test_3_8_task_that_ends_with_open_scopes(self):
        async def host(scope):
            scope.__enter__()
            self.CancelScope().__enter__()
            scope.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            return 'result'

        for scope in self.CancelScope(), self.CancelScope(shield=True):
            task = self.spawn(host(scope))
            self.assertEqual(await task, 'result')
            await self.check_sound()

    async def test_4_4_group_left_open_by_a_task_that_ended(self):
        # It lives on below what the task itself was in, with what was around
        # it in that task.
        async def host(scope, waiter):
            scope.__enter__()
            inner = asyncio.TaskGroup()
            await inner.__aenter__()
            inners.append(inner)
            inner.create_task(member(waiter))
            await asyncio.sleep(0)

        async def member(waiter):
            await waiter

        inners, scopes = [], []
        waiters = [self.loop.create_future() for _ in range(3)]
        with self.CancelScope() as outer:
            async with asyncio.TaskGroup() as group:
                for waiter in waiters:
                    scope = self.CancelScope()
                    task = group.create_task(host(scope, waiter))
                    await self.settle()
                    self.assertIs(task.done(), True)
                    self.assertIn(' active', repr(scope))
                    scopes.append(scope)
                scopes[0].cancel()
                self.assertEqual([w.cancelled() for w in waiters],
                                 [True, False, False])
                scopes[1].deadline = self.loop.time() + 5
                await asyncio.sleep(10)
                self.assertIs(scopes[1].deadline_expired, True)
                self.assertEqual([w.cancelled() for w in waiters],
                                 [True, True, False])
                outer.cancel()
                self.assertEqual([w.cancelled() for w in waiters],
                                 [True, True, True])
        with self.CancelScope(shield=True):
            await self.settle()
        self.assertEqual([scope.cancelled_caught for scope in scopes],
                         [False] * 3)
        del scope, inners[:], scopes[:]
        await self.check_sound()

    async def test_4_4_group_left_open_below_what_is_cancelled(self):
        async def host():
            inner = asyncio.TaskGroup()
            await inner.__aenter__()
            inners.append(inner)
            inner.create_task(member())
            await asyncio.sleep(0)

        async def member():
            await waiter

        inners = []
        waiter = self.loop.create_future()
        with self.CancelScope() as outer:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(host())
                await self.settle()
                self.assertIs(task.done(), True)
                outer.cancel()
                self.assertIs(waiter.cancelled(), True)
        await self.settle()
        del inners[:]
        await self.check_sound()

    async def test_3_8_shielded_group_left_open_by_a_task_that_ended(self):
        # Nothing is above the members any more that would shield them.
        async def host():
            shield = self.CancelScope(shield=True)
            shield.__enter__()
            inner = asyncio.TaskGroup()
            await inner.__aenter__()
            inner.create_task(member())
            await gate

        async def member():
            await waiter

        for cancel_first in False, True:
            with self.subTest(cancel_first=cancel_first):
                gate = self.loop.create_future()
                waiter = self.loop.create_future()
                with self.CancelScope() as outer:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(host())
                        await self.settle()
                        with self.CancelScope(shield=True):
                            if cancel_first:
                                outer.cancel()
                                await self.settle()
                            self.assertIs(waiter.done(), False)
                            gate.set_result(None)
                            await self.settle()
                            if not cancel_first:
                                outer.cancel()
                            self.assertIs(waiter.cancelled(), True)
                            await self.settle()
        await self.check_sound()

    async def test_3_11_cancelled_scope_left_open_by_a_task_that_ended(self):
        # When it is gone, what was below it stays cancelled.
        async def host():
            scope = self.CancelScope().__enter__()
            inner = asyncio.TaskGroup()
            await inner.__aenter__()
            members.append(inner.create_task(member()))
            members.append(scope.create_task(member()))
            await gate
            scope.cancel('why')

        async def member():
            await self.assert_cancelled(self.forever(), 'why')
            with self.CancelScope(shield=True):
                await self.settle()
            await self.assert_level('why')
            return 'done'

        members = []
        gate = self.loop.create_future()
        task = self.spawn(host())
        await self.settle()
        gate.set_result(None)
        await task
        support.gc_collect()
        self.assertEqual([await each for each in members], ['done'] * 2)
        await self.check_sound()

    async def test_3_8_generator_closed_in_another_task(self):
        """Trap 14."""
        trace = []

        async def generate():
            with self.CancelScope() as scope:
                scopes.append(scope)
                yield 1
                yield 2

        async def consumer():
            self.assertEqual(await anext(generator), 1)
            await gate
            scopes[0].cancel()
            await self.assert_not_cancelled()
            await self.check_sound()
            trace.append('consumer')

        scopes = []
        gate = self.loop.create_future()
        generator = generate()
        task = self.spawn(consumer())
        await self.settle()
        with self.assertRaisesRegex(RuntimeError, '(?i)task'):
            await generator.aclose()
        await self.check_sound()
        gate.set_result(None)
        await task
        self.assertEqual(trace, ['consumer'])

    async def test_3_8_abandoned_generator(self):
        """Trap 14: the loop closes it in a task that is not cancelled."""
        trace = []

        async def generate():
            with self.CancelScope():
                try:
                    yield 1
                finally:
                    trace.append(asyncio.current_task() is main)
                    await asyncio.sleep(0)
                    trace.append('closed')

        main = asyncio.current_task()
        with self.CancelScope() as outer:
            async for _ in generate():
                break
            support.gc_collect()
            outer.cancel()
            with self.CancelScope(shield=True):
                await self.settle()
            await self.assert_level(times=1)
        self.assertEqual(trace, [False, 'closed'])
        support.gc_collect()
        await self.settle()
        self.assertEqual(len(self.problems), 1, self.problems)
        error = self.problems.pop()['exception']
        self.assertIsInstance(error, RuntimeError)
        self.assertRegex(str(error), '(?i)task')
        del error
        await self.check_sound()

    async def test_3_8_generator_scope_belongs_to_the_consumer(self):
        # Between two steps the consumer is inside the generator's scope.
        async def generate():
            with self.CancelScope() as scope:
                scopes.append(scope)
                yield 1

        scopes = []
        generator = generate()
        await anext(generator)
        scopes[0].cancel()
        await self.assert_level()
        await generator.aclose()
        await self.assert_not_cancelled()

    async def test_3_8_loop_that_cannot_set_a_timer(self):
        def fail(*args, **kwargs):
            raise MyError

        call_at = self.loop.call_at
        start = self.loop.time()
        scope = self.CancelScope(deadline=start + 5)
        self.loop.call_at = fail
        with self.assertRaises(MyError):
            scope.__enter__()
        self.loop.call_at = call_at
        await self.check_sound()
        with scope:
            await self.forever()
        self.assertEqual(self.loop.time(), start + 5)
        self.assert_scope(scope, called=True, caught=True)

        with self.CancelScope() as scope:
            self.loop.call_at = fail
            with self.assertRaises(MyError):
                scope.deadline = start + 8
            self.loop.call_at = call_at
            await self.check_sound()
            scope.deadline = start + 9
            await self.forever()
        self.assertEqual(self.loop.time(), start + 9)
        self.assert_scope(scope, called=True, caught=True)
        await self.check_sound()

    async def test_3_8_initialised_again(self):
        with self.CancelScope() as outer:
            with self.CancelScope() as scope:
                with contextlib.suppress(RuntimeError):
                    scope.__init__(shield=True)
                await self.check_sound()
                scope.cancel()
                await self.assert_level()
                await asyncio.sleep(0)
            self.assert_scope(scope, called=True, caught=True)
            outer.cancel()
            await self.assert_level()
        await self.check_sound()

    async def test_3_8_shield_is_a_bool(self):
        for value in 1, 0, None, 'yes', []:
            with self.subTest(value=value):
                with self.assertRaises(TypeError):
                    self.CancelScope(shield=value)
                with self.CancelScope(shield=True) as scope:
                    with self.assertRaises(TypeError):
                        scope.shield = value
                    self.assertIs(scope.shield, True)
                with self.assertRaises(TypeError):
                    asyncio.move_on_after(1, shield=value)
                with self.assertRaises(TypeError):
                    asyncio.move_on_at(1, shield=value)


if __name__ == '__main__':
    unittest.main()
