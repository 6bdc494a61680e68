"""Scopes and tasks that are moved in the tree: create_task() and adopt() of a
CancelScope, and blocks that are left in another task than they were entered in.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import gc
import types
import unittest
import warnings
import weakref
from asyncio import cancelscopes
from test import support

from test.test_asyncio.scope_utils import (ExternalTask, MyError, matrix,
                                           needs_level_cancel)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


class Helpers:

    async def fail_with(self, error, delay=1):
        await asyncio.sleep(delay)
        raise error

    async def be_cancelled(self, *args):
        await self.assert_cancelled(self.forever(), *args)
        await self.assert_level(*args)

    async def in_task(self, coro):
        """Run *coro* in a task of its own."""
        return await self.spawn(coro)


@matrix
class CreateTaskTests(Helpers):
    """Rule 3.11."""

    async def test_3_11_cancelled_with_the_scope(self):
        async def member():
            await self.be_cancelled('why')
            return asyncio.current_task().cancelling()

        with self.CancelScope() as scope:
            task = scope.create_task(member())
            await self.settle()
            scope.cancel('why')
            late = scope.create_task(member())
        self.assertEqual(await asyncio.gather(task, late), [1, 1])

    async def test_3_11_not_waited_for_and_moves_up(self):
        async def member():
            await asyncio.sleep(1)
            with self.assertRaises(asyncio.CancelledError):
                await self.forever()
            return 'cancelled'

        with self.CancelScope() as outer:
            with self.CancelScope() as inner:
                task = inner.create_task(member())
            inner.cancel()
            self.assertFalse(task.done())
            await asyncio.sleep(2)
            self.assertFalse(task.done())
            outer.cancel()
            with self.CancelScope(shield=True):
                self.assertEqual(await task, 'cancelled')

    async def test_3_11_moves_up_out_of_the_task(self):
        # What is asked of the task alone does not concern it.
        async def spawner():
            with self.CancelScope() as scope:
                tasks.append(scope.create_task(asyncio.sleep(1, 'result')))
            await self.forever()

        tasks = []
        async with asyncio.TaskGroup() as group:
            task = group.create_task(spawner())
            await self.settle()
            task.cancel()
            await self.settle()
            self.assertTrue(task.done())
            self.assertEqual(await tasks[0], 'result')
            self.spawn(self.in_group(group, spawner()))
            await self.settle()
            group.cancel()
            with self.CancelScope(shield=True):
                await asyncio.wait([tasks[1]])
            self.assertTrue(tasks[1].cancelled())

    async def in_group(self, group, coro):
        group.create_task(coro)

    async def test_3_11_stays_cancelled(self):
        # Again and again, and so do the tasks below it.
        async def member():
            with contextlib.suppress(asyncio.CancelledError):
                async with asyncio.TaskGroup() as group:
                    members.append(group.create_task(self.be_cancelled('why')))
                    await self.be_cancelled('why')
                    with self.CancelScope(shield=True):
                        await asyncio.sleep(5)
                    await self.be_cancelled('why')
                    self.assertEqual(asyncio.current_task().cancelling(), 1)
                    self.assertEqual(asyncio.current_task().uncancel(), 0)
                    await self.assert_level('why')
                    members.append(group.create_task(self.be_cancelled('why')))
            return 'done'

        members = []
        with self.CancelScope() as scope:
            task = scope.create_task(member())
            await self.settle()
            scope.cancel('why')
        self.assertEqual(asyncio.current_task().cancelling(), 0)
        await self.assert_not_cancelled()
        self.assertEqual(await task, 'done')
        self.assertEqual([m.exception() for m in members], [None, None])

    async def test_3_11_stays_cancelled_by_a_deadline(self):
        with self.CancelScope(deadline=self.loop.time() + 1) as scope:
            task = scope.create_task(self.be_cancelled('deadline exceeded'))
            await self.forever()
        await task

    async def test_3_11_stays_cancelled_beside_requests_of_its_own(self):
        async def member():
            await self.be_cancelled()
            task = asyncio.current_task()
            task.cancel('mine')
            await self.assert_cancelled(asyncio.sleep(0), 'mine')
            while task.cancelling():
                task.uncancel()
            with self.assertRaises(asyncio.CancelledError):
                await asyncio.sleep(0)

        with self.CancelScope() as scope:
            task = scope.create_task(member())
            await self.settle()
            scope.cancel()
        await task

    async def test_2_9_message_of_what_stays_cancelled(self):
        # Not that of a request which has been taken back, or of a scope that
        # the task has been taken out of.
        async def member():
            task = asyncio.current_task()
            for msg in ('before',), ():
                task.cancel(*msg)
                await self.assert_cancelled(asyncio.sleep(0), *msg)
                self.assertEqual(task.uncancel(), 0)
            await self.assert_cancelled(self.forever(), 'first')
            await self.assert_level('first')
            task.cancel('beside')
            await self.assert_cancelled(asyncio.sleep(0), 'beside')
            self.assertEqual(task.uncancel(), 1)
            await self.assert_level('first')
            with self.CancelScope(shield=True):
                await gate
            await self.assert_not_cancelled()
            await self.assert_cancelled(self.forever(), 'second')
            await self.assert_level('second')

        gate = self.loop.create_future()
        with self.CancelScope() as scope:
            task = scope.create_task(member())
            await self.settle()
            scope.cancel('first')
        await self.settle()
        with self.CancelScope() as scope:
            scope.adopt(task)
            gate.set_result(None)
            await self.settle()
            await asyncio.sleep(5)
            scope.cancel('second')
        await task

    @needs_level_cancel
    async def test_2_9_message_of_a_request_before_that_of_the_scope(self):
        # It is taken back after the scope has been left.
        async def member():
            task = asyncio.current_task()
            await self.assert_cancelled(self.forever(), 'task')
            await self.assert_level('task')
            with self.CancelScope(shield=True):
                await gate
            await self.assert_level('scope')
            self.assertEqual(task.uncancel(), 1)
            await self.assert_level('scope')

        gate = self.loop.create_future()
        with self.CancelScope() as scope:
            task = scope.create_task(member())
            await self.settle()
            task.cancel('task')
            await self.settle()
            scope.cancel('scope')
        gate.set_result(None)
        await task

    async def test_2_9_message_of_the_first_of_the_scopes_that_were_left(self):
        async def member():
            await self.assert_cancelled(self.forever(), first)
            for gate in gates:
                with self.CancelScope(shield=True):
                    await gate
                await self.assert_level(first)

        for first, second in ('outer', 'inner'), ('inner', 'outer'):
            gates = [self.loop.create_future() for _ in range(2)]
            with self.CancelScope() as outer:
                with self.CancelScope() as inner:
                    task = inner.create_task(member())
                    await self.settle()
                    scopes = {'outer': outer, 'inner': inner}
                    scopes[first].cancel(first)
                    scopes[second].cancel(second)
                gates[0].set_result(None)
                with self.CancelScope(shield=True):
                    await self.settle()
            gates[1].set_result(None)
            await task

    async def test_3_11_stays_cancelled_when_the_scope_is_dropped(self):
        # Its task has left it open.
        async def host():
            scope = self.CancelScope().__enter__()
            members.append(scope.create_task(member()))
            inner = self.CancelScope().__enter__()
            members.append(inner.create_task(member()))
            await gates[0]
            scope.cancel('why')

        async def member():
            await self.assert_cancelled(self.forever(), 'why')
            with self.CancelScope(shield=True):
                await gates[1]
            await self.assert_level('why')

        gates = [self.loop.create_future() for _ in range(2)]
        members = []
        task = self.spawn(host())
        await self.settle()
        gates[0].set_result(None)
        await task
        support.gc_collect()
        gates[1].set_result(None)
        for task in members:
            await task

    async def test_3_11_cancelled_from_outside_does_not_stay(self):
        with self.CancelScope() as outer:
            with self.CancelScope() as inner:
                task = inner.create_task(self.forever())
                await self.settle()
                outer.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task

    async def test_3_11_arguments(self):
        async def member():
            return name.get()

        import contextvars
        name = contextvars.ContextVar('name', default='outer')
        context = contextvars.copy_context()
        context.run(name.set, 'mine')
        with self.CancelScope() as scope:
            task = scope.create_task(member(), name='a name', context=context)
            self.assertEqual(task.get_name(), 'a name')
            self.assertEqual(await task, 'mine')
            self.assertIsInstance(task, self.Task)
            with self.assertRaises(TypeError):
                coro = member()
                try:
                    scope.create_task(coro, nonsense=1)
                finally:
                    coro.close()
            with self.assertRaisesRegex(ValueError, '"await"'):
                scope.create_task(member(), errors='nonsense')

    async def test_3_11_scope_that_is_not_active(self):
        scope = self.CancelScope()
        for when in 'before', 'after':
            coro = self.forever()
            with self.assertRaisesRegex(RuntimeError, 'not active'):
                scope.create_task(coro)
            self.assertIsNone(coro.cr_frame)    # it was closed
            if when == 'before':
                with scope:
                    pass

    async def test_3_11_error_of_a_task(self):
        error = MyError()
        with self.CancelScope() as scope:
            task = scope.create_task(self.fail_with(error))
            with self.assertRaises(MyError) as cm:
                await task
            self.assertIs(cm.exception, error)
            scope.create_task(self.fail_with(error))
            await asyncio.sleep(2)
        support.gc_collect()
        problems, self.problems = self.problems, []
        self.assertEqual([p['exception'] for p in problems], [error])

    async def test_3_11_error_that_propagates(self):
        error = MyError()
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                async def member():
                    with self.CancelScope() as outer:
                        with self.CancelScope():
                            outer.create_task(self.fail_with(error),
                                              errors='propagate')
                            await self.be_cancelled()

                group.create_task(member())
                await self.be_cancelled()
        self.assertEqual(cm.exception.exceptions, (error,))

    async def test_3_11_scope_that_owns_its_tasks(self):
        async def member():
            future = self.loop.create_future()
            references.append(weakref.ref(future))
            # Nothing else refers to the task that waits for it.
            await future

        references = []
        with self.CancelScope() as scope:
            scope.create_task(member())
            await self.settle()
            support.gc_collect()
            self.assertIsNotNone(references[0]())
            references[0]().set_result(None)
            await self.settle()
            support.gc_collect()
            self.assertIsNone(references[0]())

    async def test_3_11_finished_tasks_are_not_kept(self):
        with self.CancelScope() as scope:
            task = scope.create_task(asyncio.sleep(1))
            await task
            reference = weakref.ref(task)
            del task
            await asyncio.sleep(1)
            support.gc_collect()
            self.assertIsNone(reference())

    async def test_3_11_many_tasks(self):
        with self.CancelScope() as scope:
            tasks = [scope.create_task(self.forever())
                     for _ in range(self.scale)]
            await self.settle()
            scope.cancel()
        await asyncio.wait(tasks)
        self.assertTrue(all(task.cancelled() for task in tasks))


class ExternalTaskTests(unittest.TestCase):
    """Rule 3.11 with a task factory that makes tasks of an external kind."""

    kind = types.new_class('ExternalTask', (ExternalTask, asyncio.Future))

    def run_main(self, main):
        def factory(loop, coro, **kwargs):
            if made:
                return self.kind(coro, loop)
            made.append(True)
            return asyncio.Task(coro, loop=loop, **kwargs)

        async def start():
            asyncio.get_running_loop().set_task_factory(factory)
            made.append(True)
            await main()

        made = []
        asyncio.run(start())

    def test_3_11_external_task(self):
        async def forever():
            await asyncio.get_running_loop().create_future()

        async def main():
            with asyncio.CancelScope() as outer:
                with asyncio.CancelScope() as scope:
                    task = scope.create_task(forever())
                    self.assertIsInstance(task, self.kind)
                    scope.cancel()
                    late = scope.create_task(forever())
            with self.assertRaises(asyncio.CancelledError):
                await task
            with self.assertRaises(asyncio.CancelledError):
                await late

        self.run_main(main)

    def test_3_11_failure_of_an_external_task(self):
        error = MyError()

        async def fail():
            raise error

        async def main():
            async with asyncio.TaskGroup() as group:
                with asyncio.CancelScope() as scope:
                    scope.create_task(fail(), errors='propagate')
                    await asyncio.sleep(30)

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_main(main)
        self.assertEqual(cm.exception.exceptions, (error,))


@matrix
class AdoptTests(Helpers):
    """Rule 3.12."""

    async def test_3_12_moves_what_is_below(self):
        async def host():
            async with asyncio.TaskGroup() as group:
                members.append(group.create_task(self.be_cancelled('why')))
                await self.be_cancelled('why')

        members = []
        with self.CancelScope() as scope:
            task = self.spawn(host())
            await self.settle()
            scope.adopt(task)
            await self.settle()
            self.assertFalse(members[0].done())
            scope.cancel('why')
            with self.CancelScope(shield=True):
                await task
        self.assertIsNone(members[0].exception())

    async def test_3_12_by_a_cancelled_scope(self):
        task = self.spawn(self.forever())
        await self.settle()
        with self.CancelScope() as scope:
            scope.cancel()
            scope.adopt(task)
            with self.CancelScope(shield=True):
                await asyncio.wait([task])
        self.assertTrue(task.cancelled())

    async def test_3_12_takes_out_of_what_is_cancelled(self):
        async def member():
            await self.assert_cancelled(self.forever())
            gate.set_result(None)
            with self.CancelScope(shield=True):
                await moved
            await self.assert_not_cancelled()

        gate = self.loop.create_future()
        moved = self.loop.create_future()
        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(member())
                await self.settle()
                group.cancel()
                with self.CancelScope(shield=True):
                    await gate
                scope.adopt(task)
                moved.set_result(None)
            await task

    async def test_3_12_out_of_a_group_that_waits(self):
        async def mover():
            await asyncio.sleep(1)
            with self.CancelScope() as scope:
                scope.adopt(task)
                self.assertEqual(group._tasks, set())
                await asyncio.sleep(5)
                scope.cancel()

        error = MyError()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.forever())
            start = self.loop.time()
            other = self.spawn(mover())
        self.assertEqual(self.loop.time(), start + 1)
        await other
        await asyncio.wait([task])
        self.assertTrue(task.cancelled())

    async def test_3_12_into_a_group(self):
        error = MyError()
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                task = self.spawn(self.fail_with(error, 5))
                group.cancel_scope.adopt(task)
                self.assertEqual(group._tasks, {task})
                start = self.loop.time()
        self.assertEqual(cm.exception.exceptions, (error,))
        self.assertEqual(self.loop.time(), start + 5)

    async def test_3_12_from_group_to_group(self):
        async with asyncio.TaskGroup() as first:
            async with asyncio.TaskGroup() as second:
                task = second.create_task(asyncio.sleep(5))
                first.cancel_scope.adopt(task)
                start = self.loop.time()
            self.assertEqual(self.loop.time(), start)
            self.assertEqual(first._tasks, {task})
        self.assertEqual(self.loop.time(), start + 5)

    async def test_3_12_who_awaits_it(self):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.forever())
            self.assertEqual(task._asyncio_awaited_by,
                             {asyncio.current_task()})
            with self.CancelScope() as scope:
                scope.adopt(task)
                self.assertFalse(task._asyncio_awaited_by)
                group.cancel_scope.adopt(task)
                self.assertEqual(task._asyncio_awaited_by,
                                 {asyncio.current_task()})
                task.cancel()

    async def test_3_12_one_that_stays_cancelled(self):
        async def member():
            await self.be_cancelled()
            with self.CancelScope(shield=True):
                await gate
            await self.assert_not_cancelled()

        gate = self.loop.create_future()
        with self.CancelScope() as scope:
            task = scope.create_task(member())
            await self.settle()
            scope.cancel()
        await self.settle()
        with self.CancelScope() as scope:
            scope.adopt(task)
            gate.set_result(None)
            await task

    @needs_level_cancel
    async def test_2_9_message_of_a_request_that_goes_on(self):
        # That of the scope that was left goes away, that of the task stays.
        async def member(*, is_first):
            task = asyncio.current_task()
            await self.assert_cancelled(self.forever(),
                                        'task' if is_first else 'scope')
            with self.CancelScope(shield=True):
                await gates[0]
            if not is_first:
                task.cancel('task')
                await self.assert_cancelled(asyncio.sleep(0), 'task')
            await self.assert_level('scope')
            with self.CancelScope(shield=True):
                await gates[1]
            await self.assert_level('task')
            self.assertEqual(task.uncancel(), 0)
            await self.assert_not_cancelled()

        for is_first in True, False:
            gates = [self.loop.create_future() for _ in range(2)]
            with self.CancelScope() as scope:
                task = scope.create_task(member(is_first=is_first))
                await self.settle()
                if is_first:
                    task.cancel('task')
                    await self.settle()
                scope.cancel('scope')
            gates[0].set_result(None)
            await self.settle()
            with self.CancelScope() as scope:
                scope.adopt(task)
                gates[1].set_result(None)
                await task

    async def test_3_12_refuses(self):
        async def inside():
            with inner:
                async with asyncio.TaskGroup() as group:
                    members.append(group.create_task(below()))

        async def below():
            with lowest:
                await self.forever()

        members = []
        inner, lowest, left = (self.CancelScope() for _ in range(3))
        task = self.spawn(inside())
        done = self.spawn(asyncio.sleep(0))
        await self.settle()
        with left:
            pass
        with self.CancelScope() as scope:
            for owner, moved, message in (
                    (self.CancelScope(), task, 'not active'),
                    (left, task, 'not active'),
                    (scope, done, 'is done'),
                    (scope, asyncio.current_task(), 'inside the task'),
                    (inner, task, 'inside the task'),
                    (lowest, task, 'inside the task')):
                with self.assertRaisesRegex(RuntimeError, message):
                    owner.adopt(moved)
            for wrong in None, 42, self.loop.create_future(), self.forever:
                with self.assertRaisesRegex(TypeError, 'asyncio.Task'):
                    scope.adopt(wrong)
            scope.cancel()
        await self.settle()
        self.assertFalse(task.done())
        task.cancel()
        await asyncio.wait([task])

    async def test_3_12_task_of_another_loop(self):
        other = asyncio.new_event_loop()
        coro = self.forever()
        task = self.Task(coro, loop=other)
        with self.CancelScope() as scope:
            with self.assertRaisesRegex(RuntimeError, 'another event loop'):
                scope.adopt(task)
            scope.cancel()
        task._log_destroy_pending = False
        coro.close()
        other.close()

    async def test_3_12_many_tasks(self):
        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.forever())
                         for _ in range(self.scale // 10)]
                await self.settle()
                for task in tasks:
                    scope.adopt(task)
                self.assertEqual(group._tasks, set())
            scope.cancel()
        await asyncio.wait(tasks)


@matrix
class TimeoutTests(Helpers):
    """Rule 4.4."""

    async def enter(self, manager):
        """Enter the block in a task that then ends."""
        await self.in_task(manager.__aenter__())

    async def leave(self, manager, exc=None):
        return await self.in_task(manager.__aexit__(type(exc), exc, None))

    async def test_4_4_left_by_another_task(self):
        async with asyncio.timeout(9):
            timeout = asyncio.timeout(5)
            await self.enter(timeout)
            self.assertIs(timeout.expired(), False)
            await self.leave(timeout)
            await asyncio.sleep(6)
            self.assertIs(timeout.expired(), False)
        await self.assert_not_cancelled()

    async def test_4_4_expires_meanwhile(self):
        # There is nothing to interrupt, and nothing was caught.
        timeout = asyncio.timeout(5)
        await self.enter(timeout)
        await asyncio.sleep(6)
        self.assertIs(timeout.expired(), True)
        self.assertIn('expiring', repr(timeout))
        await self.leave(timeout)
        self.assertIn('expired', repr(timeout))
        await self.assert_not_cancelled()

    async def test_4_4_error_after_it_has_expired(self):
        timeout = asyncio.timeout(5)
        await self.enter(timeout)
        await asyncio.sleep(6)
        error = MyError()
        self.assertFalse(await self.leave(timeout, error))

    async def test_4_4_reschedule_meanwhile(self):
        timeout = asyncio.timeout(5)
        await self.enter(timeout)
        timeout.reschedule(self.loop.time() + 50)
        await asyncio.sleep(6)
        self.assertIs(timeout.expired(), False)
        timeout.reschedule(self.loop.time() - 1)
        self.assertIs(timeout.expired(), True)
        await self.leave(timeout)

    async def test_4_4_entered_by_a_task_that_goes_on(self):
        async def host():
            async with asyncio.timeout(50) as outer:
                await timeout.__aenter__()
                async with asyncio.timeout(60) as inner:
                    entered.set_result(None)
                    await self.settle()
                    await asyncio.sleep(10)
                    await self.assert_not_cancelled()
            return outer.expired(), inner.expired()

        timeout = asyncio.timeout(5)
        entered = self.loop.create_future()
        task = self.spawn(host())
        await entered
        await timeout.__aexit__(None, None, None)
        await asyncio.sleep(6)
        self.assertIs(timeout.expired(), False)
        self.assertEqual(await task, (False, False))
        await self.assert_not_cancelled()

    async def test_4_4_shielded_one_leaves_its_task_to_what_is_outside(self):
        async def host():
            await timeout.__aenter__()
            await self.be_cancelled('why')

        timeout = asyncio.timeout(50, shield=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(host())
            await self.settle()
            group.cancel('why')
            with self.CancelScope(shield=True):
                await self.settle()
                self.assertEqual(len(group._tasks), 1)
                await timeout.__aexit__(None, None, None)
                await self.settle()
                self.assertEqual(len(group._tasks), 0)
            await self.assert_cancelled(asyncio.sleep(0), 'why')
            await asyncio.sleep(0)
        await self.assert_not_cancelled()

    @needs_level_cancel
    async def test_4_4_request_in_a_block_whose_task_has_ended(self):
        """What Task.cancel() asked of that task, for a shielded block, does not
        concern the blocks inside it that live on."""
        async def host():
            shields.append(self.CancelScope(shield=True).__enter__())
            for _ in range(2):
                timeout = asyncio.timeout(None)
                await timeout.__aenter__()
                scopes.append(asyncio.current_scope())
                timeouts.append(timeout)
            asyncio.current_task().cancel()     # Of the shielded block.
            self.assertTrue(scopes[0].effectively_cancelled)

        shields, scopes, timeouts = [], [], []
        task = self.spawn(host())
        await asyncio.wait([task])
        for scope in scopes:
            self.assertFalse(scope.effectively_cancelled)
        for timeout in reversed(timeouts):
            self.assertFalse(await timeout.__aexit__(None, None, None))
        await self.assert_not_cancelled()

    async def test_2_2_waiter_is_asked_again_after_a_block_was_left(self):
        # The next cancellation is another one.
        class Refusing(self.Future):
            def cancel(self, msg=None):
                asked.append(msg)
                return False

        async def host():
            with self.CancelScope() as outer:
                timeout = asyncio.timeout(None)
                await timeout.__aenter__()
                entered.append((outer, timeout, asyncio.current_scope()))
                with contextlib.suppress(asyncio.CancelledError):
                    await waiter

        asked, entered = [], []
        waiter = Refusing(loop=self.loop)
        task = self.spawn(host())
        await self.settle()
        (outer, timeout, scope), = entered
        scope.cancel('inner')
        await timeout.__aexit__(None, None, None)
        outer.cancel('outer')
        self.assertEqual(asked, ['inner', 'outer'])
        waiter.set_result(None)
        await task

    @needs_level_cancel
    async def test_4_4_requests_go_away_with_the_task(self):
        class Message:
            pass

        async def host():
            await timeout.__aenter__()
            for _ in range(3):
                message = Message()
                messages.append(weakref.ref(message))
                asyncio.current_task().cancel(message)
            message = None
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()
            entered.set_result(None)
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()

        messages = []
        timeout = asyncio.timeout(None, shield=True)
        entered = self.loop.create_future()
        task = self.spawn(host())
        await entered
        await timeout.__aexit__(None, None, None)
        await task
        del task
        await asyncio.sleep(0)      # The step that is under way has it as well.
        support.gc_collect()
        self.assertEqual([message() for message in messages], [None] * 3)

    async def test_4_4_catches_in_the_task_that_leaves_it(self):
        # The cancellation that it is given there is its own.
        timeout = asyncio.timeout(5)
        await self.enter(timeout)
        await asyncio.sleep(6)
        with self.assertRaises(TimeoutError):
            await timeout.__aexit__(asyncio.CancelledError,
                                    asyncio.CancelledError(), None)
        await self.assert_not_cancelled()

    async def test_4_4_outer_cancellation_of_the_leaving_task(self):
        timeout = asyncio.timeout(5)
        await self.enter(timeout)
        await asyncio.sleep(6)
        with self.CancelScope() as scope:
            scope.cancel('outer')
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError as exc:
                # It wins, so there is no TimeoutError.
                self.assertFalse(await timeout.__aexit__(type(exc), exc, None))
                raise
        self.assertIs(scope.cancelled_caught, True)
        await self.assert_not_cancelled()

    async def test_4_4_in_reverse(self):
        first, second = asyncio.timeout(5), asyncio.timeout(50)
        await first.__aenter__()
        await second.__aenter__()
        await first.__aexit__(None, None, None)
        await asyncio.sleep(6)
        self.assertIs(first.expired(), False)
        await second.__aexit__(None, None, None)
        await self.assert_not_cancelled()

    async def test_4_4_given_up_generator(self):
        async def lines():
            async with asyncio.timeout(5) as timeout:
                timeouts.append(timeout)
                yield 1

        async def one():
            async for _ in lines():
                break

        timeouts = []
        await one()
        async with asyncio.timeout(50):
            await one()
        with self.CancelScope() as scope:
            await one()
        async with asyncio.TaskGroup():
            await one()
        await asyncio.sleep(10)
        support.gc_collect()
        await asyncio.sleep(10)
        self.assertEqual([t.expired() for t in timeouts], [False] * 4)
        self.assertIs(scope.cancelled_caught, False)
        await self.assert_not_cancelled()

    async def test_3_8_plain_scope_inside_is_still_an_error(self):
        scope = self.CancelScope()
        with self.assertRaisesRegex(RuntimeError, 'still open'):
            async with asyncio.timeout(5):
                scope.__enter__()
        scope.__exit__(None, None, None)
        await self.assert_not_cancelled()

    async def test_3_8_plain_scope_in_another_task_is_still_an_error(self):
        async def host():
            scope.__enter__()

        scope = self.CancelScope()
        await self.in_task(host())
        with self.assertRaisesRegex(RuntimeError, 'another task'):
            scope.__exit__(None, None, None)
        with self.assertRaisesRegex(RuntimeError, 'already been left'):
            scope.__exit__(None, None, None)
        await self.assert_not_cancelled()

    async def test_4_4_anext_in_tasks_of_their_own(self):
        async def numbers():
            for number in range(3):
                async with asyncio.timeout(5):
                    yield number

        generator = numbers()
        got = []
        while (number := await self.in_task(
                self.step(generator))) is not None:
            got.append(number)
            await asyncio.sleep(6)
        self.assertEqual(got, [0, 1, 2])
        await self.assert_not_cancelled()

    async def step(self, generator):
        return await anext(generator, None)

    async def test_4_4_dropped(self):
        timeout = asyncio.timeout(5)
        await self.enter(timeout)
        await asyncio.sleep(0)
        reference = weakref.ref(timeout)
        del timeout
        support.gc_collect()
        self.assertIsNone(reference())
        await asyncio.sleep(10)
        await self.assert_not_cancelled()

    async def test_4_4_left_below_itself(self):
        # By a task of a group in the block: it stays where it is.
        async def member():
            await timeout.__aexit__(None, None, None)
            await asyncio.sleep(10)
            await self.assert_not_cancelled()

        timeout = asyncio.timeout(5)
        await timeout.__aenter__()
        async with asyncio.TaskGroup() as group:
            group.create_task(member())
        self.assertIs(timeout.expired(), False)
        await self.assert_not_cancelled()

    async def test_4_4_count_of_cancellations(self):
        # What was delivered in one task does not count in another.
        async def host():
            await timeout.__aenter__()
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()
            self.assertEqual(asyncio.current_task().cancelling(), 1)
            gate.set_result(None)
            with self.CancelScope(shield=True):
                await self.settle()
            self.assertEqual(asyncio.current_task().cancelling(), 0)
            await self.assert_not_cancelled()

        timeout = asyncio.timeout(5)
        gate = self.loop.create_future()
        task = self.spawn(host())
        await gate
        self.assertFalse(await timeout.__aexit__(None, None, None))
        self.assertEqual(asyncio.current_task().cancelling(), 0)
        await task


@matrix
class GroupTests(Helpers):
    """Rule 6.8."""

    async def start(self, *coros, group=None):
        """Enter a group in a task that then ends; return it and its tasks."""
        async def host():
            await group.__aenter__()
            return [group.create_task(coro) for coro in coros]

        if group is None:
            group = asyncio.TaskGroup()
        return group, await self.in_task(host())

    async def test_6_8_joins_where_it_is_left(self):
        group, members = await self.start(asyncio.sleep(5, 'first'))
        await self.settle()
        members.append(group.create_task(asyncio.sleep(7, 'second')))
        start = self.loop.time()
        await group.__aexit__(None, None, None)
        self.assertEqual(self.loop.time(), start + 7)
        self.assertEqual([m.result() for m in members], ['first', 'second'])
        self.assertEqual(repr(group), '<TaskGroup finished>')

    async def test_6_8_member_that_fails_meanwhile(self):
        error = MyError()
        group, members = await self.start(self.be_cancelled(),
                                          self.fail_with(error))
        await asyncio.sleep(2)
        self.assertTrue(members[0].done())
        late = group.create_task(self.be_cancelled())
        with self.assertRaises(ExceptionGroup) as cm:
            await group.__aexit__(None, None, None)
        self.assertEqual(cm.exception.exceptions, (error,))
        self.assertIsNone(late.exception())
        await self.assert_not_cancelled()

    async def test_6_8_member_that_fails_while_it_joins(self):
        error = MyError()
        group, members = await self.start(self.be_cancelled(),
                                          self.fail_with(error, 5))
        with self.assertRaises(ExceptionGroup) as cm:
            await group.__aexit__(None, None, None)
        self.assertEqual(cm.exception.exceptions, (error,))
        await self.assert_not_cancelled()

    async def test_6_8_cancelled_where_it_joins(self):
        group, members = await self.start(self.be_cancelled('why'))
        stop = self.spawn(group.__aexit__(None, None, None))
        await self.settle()
        self.assertFalse(members[0].done())
        stop.cancel('why')
        await self.assert_cancelled(stop, 'why')
        self.assertIsNone(members[0].exception())

    async def test_6_8_scope_around_the_join_is_cancelled(self):
        group, members = await self.start(self.be_cancelled('why'))
        with self.CancelScope() as scope:
            self.loop.call_later(1, scope.cancel, 'why')
            await group.__aexit__(None, None, None)
        self.assertIs(scope.cancelled_caught, True)
        self.assertIsNone(members[0].exception())
        await self.assert_not_cancelled()

    async def test_6_8_cancelled_meanwhile(self):
        group, members = await self.start(self.be_cancelled('why'))
        await self.settle()
        group.cancel('why')
        await self.settle()
        self.assertIsNone(members[0].exception())
        await group.__aexit__(None, None, None)
        await self.assert_not_cancelled()

    async def test_6_8_error_of_the_body(self):
        group, members = await self.start(self.be_cancelled())
        error = MyError()
        with self.assertRaises(ExceptionGroup) as cm:
            await group.__aexit__(MyError, error, None)
        self.assertEqual(cm.exception.exceptions, (error,))
        self.assertIsNone(members[0].exception())

    async def test_6_8_entered_by_a_task_that_goes_on(self):
        # The end of the block elsewhere does not cancel that task.
        async def host():
            await group.__aenter__()
            group.create_task(self.be_cancelled())
            await asyncio.sleep(10)
            await self.assert_not_cancelled()
            return 'done'

        group = asyncio.TaskGroup()
        task = self.spawn(host())
        await self.settle()
        with self.assertRaises(BaseExceptionGroup):
            await group.__aexit__(MyError, MyError(), None)
        self.assertEqual(await task, 'done')

    async def test_6_8_generator_that_is_given_up(self):
        async def merge():
            async with asyncio.TaskGroup() as group:
                members.append(group.create_task(self.forever()))
                yield 1

        members = []
        async for _ in merge():
            break
        await asyncio.wait(members)
        self.assertTrue(members[0].cancelled())
        support.gc_collect()
        await asyncio.sleep(1)
        await self.assert_not_cancelled()
        # The group had the GeneratorExit of the body.
        problems, self.problems = self.problems, []
        for problem in problems:
            self.assertIsInstance(problem['exception'], BaseExceptionGroup)

    async def test_6_8_told_again_that_its_task_has_ended(self):
        # As after a KeyboardInterrupt.
        group = asyncio.TaskGroup()
        await self.in_task(group.__aenter__())
        group._host_ended()
        member = group.create_task(self.forever())
        group.create_task(self.fail_with(MyError()))
        await asyncio.wait([member])
        with self.assertRaises(ExceptionGroup):
            await self.in_task(group.__aexit__(None, None, None))

    async def test_6_8_fixture_with_a_timeout(self):
        async def fixture():
            async with asyncio.timeout(50), asyncio.TaskGroup() as group:
                worker = group.create_task(self.forever())
                yield group
                worker.cancel()

        generator = fixture()
        group = await self.in_task(anext(generator))
        result = await self.in_task(self.use(group))
        self.assertEqual(result, 'spawned')
        await self.in_task(self.rest(generator))
        await self.assert_not_cancelled()

    async def use(self, group):
        return await group.create_task(asyncio.sleep(1, 'spawned'))

    async def rest(self, generator):
        self.assertEqual(await anext(generator, 'ended'), 'ended')

    async def test_6_8_stack_that_another_task_closes(self):
        async def start():
            await stack.enter_async_context(asyncio.timeout(50))
            group = await stack.enter_async_context(asyncio.TaskGroup())
            return group.create_task(asyncio.sleep(3, 'result'))

        stack = contextlib.AsyncExitStack()
        member = await self.in_task(start())
        await self.in_task(stack.aclose())
        self.assertEqual(member.result(), 'result')
        await self.assert_not_cancelled()

    async def test_6_8_who_awaits_the_members(self):
        group, (member,) = await self.start(self.forever())
        stop = self.spawn(group.__aexit__(None, None, None))
        await self.settle()
        self.assertEqual(member._asyncio_awaited_by, {stop})
        member.cancel()
        await stop

    async def test_6_8_dropped(self):
        # Its members go on, below what it was below.
        group, (member,) = await self.start(asyncio.sleep(5, 'result'))
        await asyncio.sleep(0)
        await self.settle()
        reference = weakref.ref(group)
        del group
        support.gc_collect()
        self.assertIsNone(reference())
        self.assertEqual(await member, 'result')

    async def test_6_8_dropped_with_errors(self):
        error = MyError()
        group, members = await self.start(self.fail_with(error))
        await asyncio.sleep(2)
        del group, members
        support.gc_collect()
        problems, self.problems = self.problems, []
        self.assertEqual([p['exception'] for p in problems], [error])
        self.assertIn('never left', problems[0]['message'])

    async def test_6_8_below_a_group(self):
        async with asyncio.TaskGroup() as outer:
            async def host():
                await group.__aenter__()
                return group.create_task(self.be_cancelled('why'))

            group = asyncio.TaskGroup()
            member = await outer.create_task(host())
            await self.settle()
            outer.cancel('why')
            with self.CancelScope(shield=True):
                await self.settle()
                self.assertIsNone(member.exception())
                with contextlib.suppress(asyncio.CancelledError):
                    await group.__aexit__(None, None, None)
        await self.assert_not_cancelled()

    async def test_6_8_left_below_itself(self):
        # As on stock, it waits for the task that waits for it.
        group, (member,) = await self.start(self.forever())
        task = group.create_task(group.__aexit__(None, None, None))
        await asyncio.sleep(50)
        self.assertFalse(task.done())
        group.cancel()
        await self.settle()
        self.assertTrue(member.done())
        task._log_destroy_pending = False
        # Nothing but adopt() ends that.
        with self.CancelScope() as scope:
            scope.adopt(task)
            await task

    async def test_6_8_many_members(self):
        group, members = await self.start(
            *(self.forever() for _ in range(self.scale // 10)))
        await self.settle()
        with self.CancelScope() as scope:
            self.loop.call_later(1, scope.cancel)
            await group.__aexit__(None, None, None)
        self.assertTrue(all(member.cancelled() for member in members))


@matrix
class WarningTests(Helpers):
    """What debug mode says of them."""

    def setUp(self):
        super().setUp()
        self.loop.set_debug(True)
        self.loop.slow_callback_duration = 1e9

    async def leave_elsewhere(self, manager):
        await self.in_task(manager.__aenter__())
        await manager.__aexit__(None, None, None)

    async def test_4_4_warning(self):
        for manager, name in ((asyncio.timeout(5), r'timeout\(\)'),
                              (asyncio.TaskGroup(), 'TaskGroup')):
            with self.assertWarnsRegex(RuntimeWarning,
                                       f'{name} is left in another task') as cm:
                await self.leave_elsewhere(manager)
            self.assertEqual(cm.filename, __file__)
            self.assertIn('entered at', str(cm.warning))

    async def test_4_4_one_warning_a_place(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('default')
            for _ in range(5):
                await self.leave_elsewhere(asyncio.timeout(5))
        self.assertEqual(len(caught), 1)

    async def test_4_4_no_warning_where_all_is_well(self):
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(1))
            self.loop.set_debug(False)

    async def test_4_4_warning_that_is_an_error(self):
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            for manager in asyncio.timeout(5), asyncio.TaskGroup():
                with self.assertRaises((RuntimeWarning, ExceptionGroup)):
                    await self.leave_elsewhere(manager)
                await self.assert_not_cancelled()
                await asyncio.sleep(10)
        support.gc_collect()

    async def test_4_4_warning_that_is_an_error_replaces_none(self):
        async def leave(error):
            scope = await self.in_task(self.enter_scope())
            if not isinstance(error, MyError):
                scope.cancel()
            try:
                caught = scope.__exit__(type(error), error, None)
            except BaseException as exc:
                return exc, scope.cancelled_caught
            return caught, scope.cancelled_caught

        error = MyError()
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            self.assertEqual(await leave(asyncio.CancelledError()),
                             (True, True))
            self.assertEqual(await leave(error), (False, False))
            rest, caught = await leave(BaseExceptionGroup(
                'group', [asyncio.CancelledError(), error]))
            self.assertEqual(rest.exceptions, (error,))
            self.assertIs(caught, True)
        problems, self.problems = self.problems, []
        self.assertEqual([type(problem['exception']) for problem in problems],
                         [RuntimeWarning] * 3)
        del rest, problems

    async def enter_scope(self):
        return cancelscopes._make_scope(movable=True).__enter__()


class RunnerTests(unittest.TestCase):
    """The same, below a root group."""

    def test_7_1_tasks_of_a_scope_end_with_run(self):
        ended = []

        async def member():
            try:
                await asyncio.Event().wait()
            finally:
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(0.001)
                ended.append(True)

        async def main():
            with asyncio.CancelScope() as scope:
                for _ in range(3):
                    scope.create_task(member())
                await asyncio.sleep(0)
            gc.collect()
            await asyncio.sleep(0)
            return 'result'

        self.assertEqual(asyncio.run(main()), 'result')
        self.assertEqual(ended, [True] * 3)

    def test_3_11_error_reaches_the_root_group(self):
        error = MyError()

        async def fail():
            raise error

        async def main():
            with asyncio.CancelScope() as scope:
                scope.create_task(fail(), errors='propagate')
                await asyncio.Event().wait()

        with self.assertRaises(ExceptionGroup) as cm:
            asyncio.run(main())
        self.assertEqual(cm.exception.exceptions, (error,))

    def test_4_4_generator_stepped_by_several_runs(self):
        async def fixture():
            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                worker = group.create_task(asyncio.Event().wait())
                yield group
                worker.cancel()

        async def step(generator):
            return await anext(generator, 'ended')

        async def use(group):
            return await group.create_task(asyncio.sleep(0, 'spawned'))

        with asyncio.Runner() as runner:
            generator = fixture()
            group = runner.run(step(generator))
            self.assertEqual(runner.run(use(group)), 'spawned')
            self.assertEqual(runner.run(step(generator)), 'ended')

    def test_6_8_group_that_is_never_left(self):
        kept = []
        ended = []

        async def member():
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        async def enter():
            kept.append(await asyncio.TaskGroup().__aenter__())
            kept[0].create_task(member())
            await asyncio.sleep(0)

        async def main():
            await asyncio.create_task(enter())
            await asyncio.sleep(0)
            return 'result'

        self.assertEqual(asyncio.run(main()), 'result')
        self.assertEqual(ended, [True])

    def test_6_8_enter_async_context(self):
        class Tests(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                await self.enterAsyncContext(asyncio.timeout(30))
                self.group = await self.enterAsyncContext(asyncio.TaskGroup())
                self.group.create_task(asyncio.sleep(0.001))

            async def test(self):
                await self.group.create_task(asyncio.sleep(0))

        with warnings.catch_warnings():
            warnings.simplefilter('ignore', RuntimeWarning)  # Debug mode.
            result = unittest.TestResult()
            unittest.defaultTestLoader.loadTestsFromTestCase(Tests).run(result)
        self.assertEqual(result.errors + result.failures, [])
        self.assertEqual(result.testsRun, 1)


if __name__ == '__main__':
    unittest.main()
