"""Cancel scopes and futures whose cancel() is any code.

Whatever such an object does in the middle of a change to the tree, the change
ends with a clear outcome, and the tree is sound afterwards.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import gc
import unittest
import weakref
from test import support

from test.test_asyncio.scope_utils import (HostileTestCase, MyBaseError,
                                           MyError, matrix, needs_level_cancel)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
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
            if error in (KeyboardInterrupt, SystemExit):
                self.assertIsInstance(outcome, error)
            else:
                # Any other is not the error of the code that cancels.
                self.assertIsNone(outcome)
                self.assertEqual([type(problem['exception'])
                                  for problem in self.problems],
                                 [] if error is None else [error])
                self.problems.clear()
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

    @needs_level_cancel
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

    async def test_2_8_errors_of_cancel_are_reported(self):
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
                outer.cancel()
                self.assertEqual([problem['exception']
                                  for problem in self.problems], errors)
                self.problems.clear()
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

    async def test_2_3_latest_interrupt_propagates(self):
        def failing_with(error):
            def on_cancel(future, super_cancel):
                super_cancel()
                raise error
            return self.make_future(on_cancel)

        for expected, errors in (
                (KeyboardInterrupt, [MyError, KeyboardInterrupt, MyError]),
                (SystemExit, [KeyboardInterrupt, MyError, SystemExit])):
            with self.subTest(errors=errors):
                with self.CancelScope() as outer:
                    async with asyncio.TaskGroup() as group:
                        for error in errors:
                            group.create_task(
                                self.wait_for(failing_with(error)))
                        await self.settle()
                        with self.assertRaises(expected):
                            outer.cancel()
                self.assert_scope(outer, called=True, caught=True)
                self.assertEqual(
                    [type(problem['exception']) for problem in self.problems],
                    [error for error in errors if error is MyError])
                self.problems.clear()
        await self.assert_sound()

    async def wait_for(self, future):
        await future

    async def test_2_2_failing_cancel_at_the_yield(self):
        # The loop's exception handler gets the error, and the task waits.
        def on_cancel(future, super_cancel):
            raise MyError

        async def host():
            with self.CancelScope() as scope:
                scope.cancel('why')
                await future
                await self.assert_cancelled(asyncio.sleep(0), 'why')

        future = self.make_future(on_cancel)
        task = self.spawn(host())
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
        # There is no reference to either: a yield later they are gone.
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


@matrix
class ReentrancyTests:
    """cancel() of a future may be any code: the tree is sound all the while.
    """

    def make_future(self, callback):
        class Future(self.Future):
            def cancel(self, msg=None):
                callback()
                return super().cancel(msg)
        return Future(loop=self.loop)

    async def check(self, callback, *, scopes, error=None):
        """Run callback() amid the cancel of a scope with three members."""
        async def member(future):
            with self.CancelScope(deadline=self.loop.time() + 100) as scope:
                scopes.append(scope)
                await future

        futures = [self.loop.create_future(), self.make_future(callback),
                   self.loop.create_future()]
        with self.CancelScope() as outer:
            async with asyncio.TaskGroup() as group:
                for future in futures:
                    group.create_task(member(future))
                await self.settle()
                outer.cancel()
                # The loop hears of it, as of that of a callback.
                self.assertEqual([problem['exception']
                                  for problem in self.problems],
                                 [] if error is None else [error])
                self.problems.clear()
                self.assertIs(outer.cancel_called, True)
                self.assertEqual([f.cancelled() for f in futures][::2],
                                 [True, True])
                if not futures[1].done():
                    futures[1].set_result(None)
        self.assert_scope(outer, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_2_8_cancel_of_a_future_cancels_a_scope(self):
        scopes = []

        def cancel_all():
            for scope in scopes:
                scope.cancel()

        await self.check(cancel_all, scopes=scopes)

    async def test_2_8_cancel_of_a_future_moves_shields(self):
        scopes = []

        def toggle():
            for scope in scopes:
                scope.shield = not scope.shield
                scope.shield = not scope.shield
                scope.deadline = None

        await self.check(toggle, scopes=scopes)

    async def test_2_8_cancel_of_a_future_leaves_scopes_out_of_order(self):
        scopes = []
        errors = []

        def leave():
            try:
                scopes[0].__exit__(None, None, None)
            except RuntimeError as exc:
                errors.append(exc)

        with self.assertRaises(ExceptionGroup) as cm:
            await self.check(leave, scopes=scopes)
        # The first member cannot leave its scope again.
        self.assertEqual([type(e) for e in cm.exception.exceptions],
                         [RuntimeError])
        self.assertEqual(len(errors), 1)
        await self.assert_not_cancelled()

    async def test_2_8_cancel_of_a_future_collects_garbage(self):
        async def abandon():
            with self.CancelScope() as scope:
                scope.shield = True
                cycle = [scope]
                cycle.append(cycle)
                await asyncio.sleep(0)

        await self.spawn(abandon())
        await self.check(support.gc_collect, scopes=[])

    async def test_2_8_cancel_of_a_future_fails_at_a_deadline(self):
        # The loop hears of it; the others are interrupted all the same.
        def fail():
            raise error

        async def host(future):
            with self.CancelScope(deadline=deadline):
                await future
            return self.loop.time()

        error = MyError()
        deadline = self.loop.time() + 5
        futures = [self.loop.create_future(), self.make_future(fail),
                   self.loop.create_future()]
        hosts = [self.spawn(host(future)) for future in futures]
        await asyncio.wait([hosts[0], hosts[2]])
        self.assertEqual([hosts[0].result(), hosts[2].result()],
                         [deadline] * 2)
        self.assertEqual([problem['exception'] for problem in self.problems],
                         [error])
        self.problems.clear()
        futures[1].set_result(None)
        await hosts[1]
        await self.assert_not_cancelled()

    async def test_2_8_cancel_of_a_future_fails(self):
        def fail():
            raise error

        error = MyError()
        await self.check(fail, scopes=[], error=error)


if __name__ == '__main__':
    unittest.main()
