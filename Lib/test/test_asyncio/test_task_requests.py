"""Tests of what a request of Task.cancel() concerns (rules 5.1, 5.7, 5.9).

It stays with the task, and with the shielded block that it comes from.
"""

import asyncio
import contextlib
import contextvars
import random
import threading
import unittest

from test.test_asyncio.scope_utils import MyError, matrix


@matrix
class MemberTests:
    """What a task is asked concerns the members of its groups when the group
    tells them: at the end of the body, or in the join."""

    async def run_pair(self, body, *, members=1):
        """Run *body* in a group of the current task; the members go on."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.forever())
                     for _ in range(members)]
            await self.settle()
            await body(group)
            await self.settle()
            tasks.append(group.create_task(self.forever()))
            await self.settle()
            self.assertEqual([task.done() for task in tasks],
                             [False] * len(tasks))
            self.assertEqual([task.cancelling() for task in tasks],
                             [0] * len(tasks))
            for task in tasks:
                task.cancel()
        await self.assert_not_cancelled()

    def timer(self, delay=1):
        return self.loop.call_later(delay, asyncio.current_task().cancel)

    async def test_5_1_timer_in_the_body(self):
        async def body(group):
            self.timer()
            await self.assert_cancelled(self.forever())
            await self.assert_level()
            self.assertEqual(asyncio.current_task().uncancel(), 0)

        await self.run_pair(body, members=3)

    async def test_5_1_request_below_scopes_of_the_body(self):
        async def body(group):
            with self.CancelScope(), self.CancelScope():
                async with asyncio.timeout(100):
                    self.timer()
                    await self.assert_cancelled(self.forever())
                    asyncio.current_task().uncancel()

        await self.run_pair(body)

    async def test_5_1_request_of_a_member(self):
        async def body(group):
            async def ask():
                host.cancel()

            host = asyncio.current_task()
            group.create_task(ask())
            await self.assert_cancelled(self.forever())
            host.uncancel()

        await self.run_pair(body)

    async def test_5_1_before_the_group(self):
        """Tasks spawned by a cancelled task are not cancelled."""
        async def host():
            asyncio.current_task().cancel('why')
            async with asyncio.TaskGroup() as group:
                members.append(group.create_task(self.forever()))
                self.assertFalse(group.cancel_scope.cancel_called)
                await self.assert_level('why')
                self.assertEqual(members[0].cancelling(), 0)
                asyncio.current_task().uncancel()
                await self.settle()
                self.assertFalse(members[0].done())
                group.cancel()
            return 'result'

        members = []
        self.assertEqual(await self.spawn(host()), 'result')
        self.assertTrue(members[0].cancelled())

    async def test_5_1_nested_groups(self):
        async def middle():
            async with asyncio.TaskGroup() as group:
                members.append(group.create_task(self.forever()))
                await self.forever()

        async def host():
            async with asyncio.TaskGroup() as group:
                members.append(group.create_task(middle()))
                await self.assert_cancelled(self.forever(), 'why')
                await self.settle_shielded()
                self.assertFalse(any(member.done() for member in members))
                raise asyncio.CancelledError('why')

        members = []
        task = self.spawn(host())
        await self.settle()
        task.cancel('why')
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertEqual([member.cancelled() for member in members],
                         [True, True])

    async def settle_shielded(self):
        with self.CancelScope(shield=True):
            await self.settle()

    async def test_5_1_message_at_the_end_of_the_body(self):
        async def member():
            await self.assert_cancelled(self.forever(), 'why')
            trace.append('member')

        async def host():
            async with asyncio.TaskGroup() as group:
                group.create_task(member())
                await self.forever()

        trace = []
        task = self.spawn(host())
        await self.settle()
        task.cancel('why')
        await self.assert_cancelled(task, 'why')
        self.assertEqual(trace, ['member'])

    async def test_5_1_in_the_join(self):
        async def member():
            await self.assert_cancelled(self.forever(), 'why')
            with self.CancelScope(shield=True):
                await asyncio.sleep(1)
            trace.append('member')

        async def host():
            async with asyncio.TaskGroup() as group:
                group.create_task(member())

        trace = []
        task = self.spawn(host())
        await self.settle()
        task.cancel('why')
        await self.assert_cancelled(task, 'why')
        self.assertEqual(trace, ['member'])
        self.assertTrue(task.cancelled())

    async def test_5_1_in_the_join_and_taken_back(self):
        # The members have been told, and the group says so (6.5).
        async def member():
            try:
                await self.forever()
            finally:
                task.uncancel()

        async def host():
            with self.assertRaises(asyncio.CancelledError):
                async with asyncio.TaskGroup() as group:
                    group.create_task(member())
            await self.assert_not_cancelled()
            return 'result'

        task = self.spawn(host())
        await self.settle()
        task.cancel()
        self.assertEqual(await task, 'result')

    async def test_5_1_drain_at_the_end_of_the_body(self):
        async def worker(queue):
            while True:
                trace.append(await queue.get())
                await asyncio.sleep(1)
                queue.task_done()

        async def host():
            queue = asyncio.Queue()
            async with asyncio.TaskGroup() as group:
                for _ in range(2):
                    group.create_task(worker(queue))
                for item in range(6):
                    queue.put_nowait(item)
                try:
                    await self.forever()
                finally:
                    await asyncio.shield(queue.join())
                    trace.append('drained')

        trace = []
        task = self.spawn(host())
        await asyncio.sleep(1.5)
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertEqual(trace, [*range(6), 'drained'])

    async def test_5_1_scope_around_the_group_reaches_the_members(self):
        async def host():
            with scope:
                async with asyncio.TaskGroup() as group:
                    member = group.create_task(self.forever())
                    with self.CancelScope(shield=True):
                        await asyncio.wait([member])
                        self.assertTrue(member.cancelled())

        scope = self.CancelScope()
        task = self.spawn(host())
        await self.settle()
        scope.cancel()
        await task
        self.assert_scope(scope, called=True, caught=False)

    async def test_5_1_request_and_a_scope_around_it(self):
        """Both are in force; that of the scope reaches the members."""
        async def host():
            with scope:
                async with asyncio.TaskGroup() as group:
                    members.append(group.create_task(self.forever()))
                    await self.forever()

        for first in 'task', 'scope':
            with self.subTest(first=first):
                members = []
                scope = self.CancelScope()
                task = self.spawn(host())
                await self.settle()
                for cancel in ([task.cancel, scope.cancel] if first == 'task'
                               else [scope.cancel, task.cancel]):
                    cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                self.assertTrue(members[0].cancelled())
                self.assert_scope(scope, called=True, caught=False)

    async def test_1_2_many_members_cost_nothing(self):
        """A request that is taken back does not walk over the members."""
        async def body(group):
            task = asyncio.current_task()
            for _ in range(2 * self.scale):
                task.cancel()
                task.uncancel()

        await self.run_pair(body, members=self.scale // 10)

    async def test_3_11_task_of_a_scope(self):
        """What is right below a scope hears nothing of it, either."""
        async def host():
            with self.CancelScope() as scope:
                made.append(scope._spawn('propagate', self.loop.create_task,
                                         self.forever()))
                with self.assertRaises(asyncio.CancelledError):
                    await self.forever()
                asyncio.current_task().uncancel()
                await self.settle()
                self.assertFalse(made[0].done())
                scope.cancel()
                await self.settle_shielded()

        made = []
        task = self.spawn(host())
        await self.settle()
        task.cancel()
        await task
        await self.settle()
        self.assertTrue(made[0].cancelled())


@matrix
class ShieldTests:
    """A request that comes from inside a shielded block is in force there."""

    def each_shield(self):
        async def shield(body):
            return await asyncio.shield(body())

        async def scope(body):
            with self.CancelScope(shield=True):
                return await body()

        async def late(body):
            with self.CancelScope() as scope:
                scope.shield = True
                return await body()

        async def timeout(body):
            async with asyncio.timeout(60, shield=True):
                return await body()

        async def generator(body):
            async def steps():
                with self.CancelScope(shield=True):
                    yield await body()

            steps = steps()
            result = await anext(steps)
            await anext(steps, None)
            return result

        async def two(body):
            with self.CancelScope(shield=True), self.CancelScope():
                with self.CancelScope(shield=True):
                    return await body()

        return shield, scope, late, timeout, generator, two

    def each_request(self):
        task = None

        def later():
            return self.loop.call_later(1, asyncio.current_task().cancel)

        def soon():
            self.loop.call_soon(asyncio.current_task().cancel)

        def at():
            self.loop.call_at(self.loop.time() + 1,
                              asyncio.current_task().cancel)

        def by_task():
            async def ask(host):
                await asyncio.sleep(1)
                host.cancel()

            self.spawn(ask(asyncio.current_task()))

        def by_callback():
            future = self.loop.create_future()
            cancel = asyncio.current_task().cancel
            future.add_done_callback(lambda _: cancel())
            self.loop.call_later(1, future.set_result, None)

        def by_copied_context():
            context = contextvars.copy_context()
            cancel = asyncio.current_task().cancel
            self.loop.call_later(
                1, lambda: context.run(cancel), context=contextvars.Context())

        def by_context_argument():
            self.loop.call_later(1, asyncio.current_task().cancel,
                                 context=contextvars.copy_context())

        def at_once():
            asyncio.current_task().cancel()

        def by_thread():
            context = contextvars.copy_context()
            cancel = asyncio.current_task().cancel
            thread = threading.Thread(target=context.run, args=(
                self.loop.call_soon_threadsafe, cancel))
            thread.start()
            thread.join()

        return (later, soon, at, by_task, by_callback, by_copied_context,
                by_context_argument, at_once, by_thread)

    def subtests(self):
        for shield in self.each_shield():
            for request in self.each_request():
                with self.subTest(shield=shield.__name__,
                                  request=request.__name__):
                    yield shield, request

    async def test_5_9_taken_back(self):
        async def body():
            ask()
            await self.assert_cancelled(self.forever())
            await self.assert_level()
            self.assertEqual(asyncio.current_task().cancelling(), 1)
            self.assertEqual(asyncio.current_task().uncancel(), 0)
            await self.assert_not_cancelled()
            return 'result'

        for shield, ask in self.subtests():
            self.assertEqual(await shield(body), 'result')
            await self.assert_not_cancelled()

    async def test_5_9_not_taken_back(self):
        """It goes on as an ordinary request when the block is left."""
        async def body():
            ask()
            await self.assert_cancelled(self.forever())
            return 'result'

        async def host():
            self.assertEqual(await shield(body), 'result')
            await self.assert_level()
            self.assertEqual(asyncio.current_task().uncancel(), 0)
            await self.assert_not_cancelled()
            with self.assertRaises(asyncio.CancelledError):
                await shield(raising)
            await self.assert_level()

        async def raising():
            ask()
            await self.forever()

        for shield, ask in self.subtests():
            task = self.spawn(host())
            await asyncio.wait([task])
            self.assertIs(task.exception() if not task.cancelled() else None,
                          None)

    async def test_5_9_not_noticed(self):
        """No yield point was there to notice it."""
        async def body():
            asyncio.current_task().cancel()
            return 'result'

        async def host():
            self.assertEqual(await shield(body), 'result')

        for shield in self.each_shield():
            with self.subTest(shield=shield.__name__):
                if shield.__name__ == 'generator':
                    continue    # Its end is a yield point of its own.
                task = self.spawn(host())
                await asyncio.wait([task])
                self.assertTrue(task.cancelled())       # 5.2

    async def test_5_9_from_outside(self):
        async def body():
            await asyncio.sleep(3)
            trace.append('completed')

        async def host():
            task = asyncio.current_task()
            self.loop.call_later(1, task.cancel)
            self.spawn(watch(task))
            await shield(body)
            trace.append('left')
            await self.assert_level()
            self.assertEqual(task.cancelling(), 2)

        async def watch(task):
            await asyncio.sleep(1)
            task.cancel()

        for shield in self.each_shield():
            with self.subTest(shield=shield.__name__):
                trace = []
                task = self.spawn(host())
                await asyncio.wait([task])
                self.assertEqual(trace, ['completed', 'left'])

    async def test_5_9_both(self):
        """uncancel() takes off the request from inside first, the latest first;
        that from outside waits for the end of the block."""
        async def body():
            task = asyncio.current_task()
            await asyncio.sleep(2)          # That from outside has come.
            self.assertEqual(task.cancelling(), 1)
            for msg in 'first', 'second':
                task.cancel(msg)
            await self.assert_cancelled(asyncio.sleep(0), 'second')
            self.assertEqual(task.uncancel(), 2)
            await self.assert_level('first')
            self.assertEqual(task.uncancel(), 1)
            await asyncio.sleep(1)
            return 'result'

        async def host():
            task = asyncio.current_task()
            self.loop.call_later(1, task.cancel, 'outside')
            self.assertEqual(await shield(body), 'result')
            await self.assert_level('outside')
            self.assertEqual(task.uncancel(), 0)
            await self.assert_not_cancelled()

        for shield in self.each_shield():
            with self.subTest(shield=shield.__name__):
                await self.spawn(host())

    async def test_5_9_nested(self):
        """The latest first, whichever block it is in force in."""
        task = asyncio.current_task()
        with self.CancelScope(shield=True):
            in_outer = contextvars.copy_context()
            with self.CancelScope(shield=True):
                task.cancel('inner')
                in_outer.run(task.cancel, 'outer')
                task.cancel('inner again')
                self.assertEqual(task.cancelling(), 3)
                await self.assert_level('inner again')
                self.assertEqual(task.uncancel(), 2)
                await self.assert_level('inner')
                self.assertEqual(task.uncancel(), 1)    # That of the outer.
                await self.assert_level('inner')
                self.assertEqual(task.uncancel(), 0)
                await self.assert_not_cancelled()
                in_outer.run(task.cancel, 'outer')
                await asyncio.sleep(1)
            await self.assert_level('outer')
            task.uncancel()
            with self.CancelScope(shield=True):
                task.cancel('inner')
                await self.assert_level('inner')
            await self.assert_level('inner')
            self.assertEqual(task.uncancel(), 0)
        await self.assert_not_cancelled()

    async def test_5_9_shield_set_after_a_block_inside(self):
        """The innermost shield counts, not the latest."""
        task = asyncio.current_task()
        with self.CancelScope() as outer:
            with self.CancelScope(shield=True):
                outer.shield = True
                task.cancel()
                await self.assert_level()
                task.uncancel()
            task.cancel()
            await self.assert_level()
            task.uncancel()
        await self.assert_not_cancelled()

    async def test_5_9_shield_is_removed(self):
        task = asyncio.current_task()
        with self.CancelScope(shield=True) as scope:
            task.cancel('inside')
            scope.shield = False
            await self.assert_level('inside')
            self.assertEqual(task.uncancel(), 0)
            await self.assert_not_cancelled()
            task.cancel('ordinary')
        await self.assert_level('ordinary')
        self.assertEqual(task.uncancel(), 0)
        await self.assert_not_cancelled()

    async def test_5_9_scope_is_cancelled_as_well(self):
        task = asyncio.current_task()
        with self.CancelScope(shield=True) as scope:
            task.cancel('task')
            scope.cancel('scope')
            await self.assert_cancelled(asyncio.sleep(0), 'task')
            await self.assert_level('scope')
            task.uncancel()
            await self.assert_level('scope')
            await self.forever()
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

        async def host():
            with self.CancelScope(shield=True) as scope:
                asyncio.current_task().cancel('task')
                scope.cancel('scope')
                await self.forever()

        task = self.spawn(host())
        await asyncio.wait([task])
        self.assertTrue(task.cancelled())

    async def test_5_9_members_of_a_group_inside(self):
        """It stays with the task, in a shielded block too."""
        task = asyncio.current_task()
        with self.CancelScope(shield=True):
            async with asyncio.TaskGroup() as group:
                member = group.create_task(self.forever())
                await self.settle()
                task.cancel()
                await self.assert_level()
                task.uncancel()
                await self.settle()
                self.assertFalse(member.done())
                member.cancel()
        await self.assert_not_cancelled()

    async def test_5_9_of_another_task(self):
        """A block of one task says nothing of the requests to another."""
        async def other():
            with self.CancelScope(shield=True):
                inside.append(contextvars.copy_context())
                await asyncio.sleep(2)
            await self.assert_level()
            return 'result'

        inside = []
        task = self.spawn(other())
        await self.settle()
        with self.CancelScope(shield=True):
            task.cancel()
            await asyncio.sleep(1)
            self.assertFalse(task.done())
        self.assertEqual(await task, 'result')
        task = self.spawn(other())
        await self.settle()
        inside[-1].run(task.cancel)
        with self.assertRaises(asyncio.CancelledError):
            await task

    def each_deadline(self, task):
        """Kinds of code that waits for *task*, but for a second at most."""
        async def by_timeout():
            async with asyncio.timeout(1):
                await task

        async def by_wait_for():
            await asyncio.wait_for(task, 1)

        async def by_scope():
            with asyncio.move_on_after(1):
                await task

        async def by_later_deadline():
            with self.CancelScope() as scope:
                self.loop.call_soon(setattr, scope, 'deadline',
                                    self.loop.time() + 1)
                await task

        async def by_member():
            async with asyncio.timeout(1), asyncio.TaskGroup() as group:
                group.create_task(asyncio.wait_for(task, None))

        return by_timeout, by_wait_for, by_scope, by_later_deadline, by_member

    async def wait_until_deadline(self, code):
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await code()

    async def test_5_9_deadline_of_code_inside(self):
        """A deadline that was set inside, whatever else is due then."""
        async def host(number, others):
            task, start = asyncio.current_task(), self.loop.time()
            for _ in range(others):
                self.spawn(self.wait_until_deadline(
                    lambda: asyncio.wait_for(self.forever(), 1)))
            with self.CancelScope(shield=True):
                self.spawn(self.wait_until_deadline(
                    self.each_deadline(task)[number]))
                # (What a scope says of its deadline is passed on.)
                with self.assertRaises(asyncio.CancelledError) as cm:
                    await asyncio.sleep(3)
                self.assertEqual(self.loop.time(), start + 1)
                await self.assert_level(*cm.exception.args)
                task.uncancel()
                await asyncio.sleep(3)
            await self.assert_not_cancelled()

        for number, code in enumerate(self.each_deadline(None)):
            for others in 0, 1:
                with self.subTest(code=code.__name__, others=others):
                    await self.spawn(host(number, others))
                    await self.settle()

    async def test_5_9_deadline_of_code_outside(self):
        """Nor does one inside that comes first say anything of it."""
        async def host(number):
            task = asyncio.current_task()
            self.spawn(self.wait_until_deadline(
                self.each_deadline(task)[number]))
            await self.settle()
            with self.CancelScope(shield=True):
                self.spawn(self.wait_until_deadline(
                    lambda: asyncio.wait_for(self.forever(), 0.5)))
                await asyncio.sleep(3)
            with self.assertRaises(asyncio.CancelledError) as cm:
                await asyncio.sleep(0)
            await self.assert_level(*cm.exception.args)
            task.uncancel()
            await self.assert_not_cancelled()

        for number, code in enumerate(self.each_deadline(None)):
            with self.subTest(code=code.__name__):
                await self.spawn(host(number))
                await self.settle()

    async def test_5_9_message_of_a_request_that_goes_on(self):
        """It is that of the task then, which gather() asks for."""
        async def child():
            await asyncio.sleep(1)
            with self.CancelScope(shield=True):
                waiting.cancel('first')
                waiting.cancel('second')
            raise ValueError

        async def wait():
            await asyncio.gather(child(), return_exceptions=True)

        waiting = self.spawn(wait())
        with self.assertRaises(asyncio.CancelledError) as caught:
            await waiting
        self.assertEqual(caught.exception.args, ('second',))

    async def test_5_9_code_that_outlives_the_block(self):
        """Its requests are ordinary ones from then on."""
        task = asyncio.current_task()
        with self.CancelScope(shield=True):
            inside = contextvars.copy_context()
        inside.run(task.cancel)
        await self.assert_level()
        with self.CancelScope(shield=True):
            await self.assert_sleeps()
        self.assertEqual(task.uncancel(), 0)
        await self.assert_not_cancelled()

    async def assert_sleeps(self):
        await asyncio.sleep(0)
        await asyncio.sleep(1)

    async def test_5_9_request_that_is_taken_back_as_it_is_made(self):
        # It stays in the block.
        class Refusing(self.Future):
            def cancel(self, msg=None):
                task.uncancel()
                return False

        task = asyncio.current_task()
        with self.CancelScope(shield=True):
            waiter = Refusing(loop=self.loop)
            self.loop.call_soon(task.cancel)
            self.loop.call_later(1, waiter.set_result, None)
            with self.assertRaises(asyncio.CancelledError):
                await waiter
            await self.assert_not_cancelled()
        await self.assert_not_cancelled()

    async def test_2_9_message_of_a_scope_after_that_of_a_request(self):
        # The request was made below a shield, and is taken back.
        async def member():
            task = asyncio.current_task()
            await self.assert_cancelled(self.forever(), 'scope')
            with self.CancelScope(shield=True):
                self.loop.call_soon(task.cancel, 'task')
                await self.assert_cancelled(self.forever(), 'task')
            task.uncancel()
            await self.assert_cancelled(self.forever(), 'scope')

        with self.CancelScope() as scope:
            task = scope.create_task(member())
            await self.settle()
            scope.cancel('scope')
        await asyncio.wait([task])
        await task

    async def test_5_9_context_is_as_before(self):
        async def chain(count):
            with self.CancelScope(shield=True):
                if count:
                    started.append(self.spawn(chain(count - 1)))
                await asyncio.sleep(2)

        before = list(contextvars.copy_context())
        for shield in self.each_shield():
            await shield(lambda: asyncio.sleep(1))
            self.assertEqual(list(contextvars.copy_context()), before)
        started = []
        started.append(self.spawn(chain(50)))
        for task in started:
            await task

    async def test_5_9_block_is_left_as_the_waiter_is_asked(self):
        # By what the waiter does in its cancel(), which refuses.
        class Waiter(type(self.loop.create_future())):
            def cancel(self, msg=None):
                with contextlib.suppress(RuntimeError):  # It has no task.
                    scope.__exit__(None, None, None)
                return False

        async def body():
            waiter = Waiter(loop=self.loop)
            scope.__enter__()
            self.loop.call_later(1, asyncio.current_task().cancel, 'why')
            self.loop.call_later(2, waiter.set_result, 'kept')
            trace.append(await waiter)
            await self.forever()

        # Nothing else has been asked for, so the message is that of the
        # request.
        trace = []
        scope = self.CancelScope(shield=True)
        task = self.spawn(body())
        with self.assertRaises(asyncio.CancelledError) as cm:
            await task
        self.assertIn(trace, ([], ['kept']))
        self.assertEqual(cm.exception.args, ('why',))

    async def test_5_9_block_is_not_left_by_its_task(self):
        """A request survives that the scope is dropped, or left wrongly."""
        async def host():
            scope = self.CancelScope(shield=True)
            scope.__enter__()
            task = asyncio.current_task()
            self.loop.call_soon(task.cancel, 'message')
            await self.assert_cancelled(self.forever(), 'message')
            if how == 'dropped':
                del scope
            else:
                entered.set_result(scope)
                scope = None
                await self.assert_cancelled(gate, 'message')
            await self.assert_level('message')
            self.assertEqual(task.cancelling(), 1)
            self.assertEqual(task.uncancel(), 0)
            await self.assert_not_cancelled()

        for how in 'dropped', 'left':
            with self.subTest(how=how):
                entered = self.loop.create_future()
                gate = self.loop.create_future()
                task = self.spawn(host())
                if how == 'left':
                    scope = await entered
                    with self.assertRaisesRegex(RuntimeError, 'another task'):
                        scope.__exit__(None, None, None)
                await task

    async def test_5_9_left_in_another_context(self):
        """Each context is as it was before, or knows that the block is over."""
        task = asyncio.current_task()
        context = contextvars.Context()
        scope = self.CancelScope(shield=True)
        before = list(contextvars.copy_context())
        context.run(scope.__enter__)
        self.assertEqual(list(contextvars.copy_context()), before)
        context.run(task.cancel)
        await self.assert_level()
        self.assertEqual(task.uncancel(), 0)
        task.cancel()       # From outside, as far as that context knows.
        await self.assert_sleeps()
        self.assertFalse(scope.__exit__(None, None, None))
        await self.assert_level()
        self.assertEqual(task.uncancel(), 0)
        context.run(task.cancel)
        await self.assert_level()
        self.assertEqual(task.uncancel(), 0)
        with self.CancelScope(shield=True):
            context.run(task.cancel)
            await self.assert_sleeps()
        self.assertEqual(task.uncancel(), 0)
        await self.assert_not_cancelled()

    async def test_5_9_many_shields(self):
        """Deep nesting costs neither recursion nor more than linear time."""
        count = self.scale // 4
        task = asyncio.current_task()
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                stack.enter_context(self.CancelScope(shield=True))
            contexts = [contextvars.copy_context()]
            task.cancel()
            await self.assert_level()
            self.assertEqual(task.uncancel(), 0)
            await self.assert_sleeps()
        del contexts
        await self.assert_not_cancelled()

    async def test_5_9_timers_of_one_task_at_random(self):
        """Every hand-made timer fires in time, however blocks and timers are
        nested."""
        class Timer:
            def __init__(self, delay):
                self.delay = delay

            async def __aenter__(self):
                self.expired = False
                self.task = asyncio.current_task()
                self.handle = loop.call_later(self.delay, self.expire)
                return self

            def expire(self):
                self.expired = True
                self.task.cancel()

            async def __aexit__(self, kind, exc, tb):
                self.handle.cancel()
                if self.expired:
                    self.task.uncancel()
                    if kind is asyncio.CancelledError:
                        raise TimeoutError

        async def nest(rng, visible, depth):
            """Wait below timers and shields; *visible* are the deadlines that
            no shield hides."""
            kind = rng.randrange(4) if depth else None
            if kind == 0 or not depth:
                delay = rng.randrange(1, 50)
                async with Timer(delay):
                    visible = [*visible, loop.time() + delay]
                    if depth:
                        await nest(rng, visible, depth - 1)
                    else:
                        expected.append(min(visible))
                        await asyncio.sleep(1000)
            elif kind == 1:
                with self.CancelScope(shield=True):
                    await nest(rng, [], depth - 1)
            elif kind == 2:
                with self.CancelScope():
                    await nest(rng, visible, depth - 1)
            else:
                await asyncio.shield(nest(rng, [], depth - 1))

        loop = self.loop
        for seed in range(60):
            with self.subTest(seed=seed):
                expected = []
                with self.assertRaises(TimeoutError):
                    await nest(random.Random(seed), [], 8)
                self.assertEqual([loop.time()], expected)
                await self.assert_not_cancelled()


@matrix
class OverrideTests:
    """Subclasses of Task that override cancel() (5.7)."""

    def setUp(self):
        super().setUp()
        self.calls = calls = []

        class Noting(self.Task):
            def cancel(self, msg=None):
                calls.append((self.get_name(), msg))
                return super().cancel(msg)

        self.Noting = Noting

    def make(self, coro, name, **options):
        return self.Noting(coro, loop=self.loop, name=name, **options)

    @contextlib.contextmanager
    def use(self, cls):
        before = self.loop.get_task_factory()
        if self.eager:
            self.loop.set_task_factory(asyncio.create_eager_task_factory(cls))
        else:
            self.loop.set_task_factory(
                lambda loop, coro, **options: cls(coro, loop=loop, **options))
        try:
            yield
        finally:
            self.loop.set_task_factory(before)

    async def group_of(self, *names):
        async with asyncio.TaskGroup() as group:
            with self.use(self.Noting):
                for name in names:
                    group.create_task(self.forever(), name=name)
            await self.settle()
            group.cancel('why')

    async def test_5_7_group(self):
        await self.group_of('a', 'b')
        self.assertEqual(self.calls, [('a', 'why'), ('b', 'why')])

    async def test_5_7_scopes_around_it(self):
        with self.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                with self.use(self.Noting):
                    task = group.create_task(self.forever(), name='member')
                await self.settle()
                scope.cancel()
                scope.cancel()
                group.cancel('another')
        self.assertEqual(self.calls, [('member', None)])
        self.assertTrue(task.cancelled())
        self.assert_scope(scope, called=True, caught=True)

    async def test_5_7_deadline(self):
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1), asyncio.TaskGroup() as group:
                with self.use(self.Noting):
                    group.create_task(self.forever(), name='member')
        self.assertEqual(self.calls, [('member', None)])

    async def test_5_7_below_a_shield_of_its_own(self):
        """It is told at once, and gets the error after the shielded block."""
        async def member():
            with self.CancelScope(shield=True):
                await asyncio.sleep(2)
                self.assertEqual(self.calls, [('member', None)])
            await self.assert_level()

        async with asyncio.TaskGroup() as group:
            with self.use(self.Noting):
                task = group.create_task(member(), name='member')
            await asyncio.sleep(1)
            group.cancel()
            self.assertEqual(self.calls, [('member', None)])

    async def test_5_7_scope_inside_is_none_of_its_business(self):
        async def member():
            with self.CancelScope() as scope:
                scope.cancel()
                await self.assert_level()

        with self.use(self.Noting):
            await self.spawn(member())
        self.assertEqual(self.calls, [])

    async def test_5_7_override_that_refuses(self):
        """The scope's cancellation is level all the same."""
        class Refusing(self.Task):
            def cancel(self):
                calls.append(self.get_name())
                return False

        calls = self.calls
        with self.use(Refusing):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(self.forever(), name='member')
                await self.settle()
                group.cancel()
        self.assertEqual(calls, ['member'])
        self.assertTrue(task.cancelled())

    async def test_5_7_override_that_fails(self):
        class Failing(self.Task):
            def cancel(self, msg=None):
                raise MyError

        scope = self.CancelScope()

        async def host():
            with scope:
                async with asyncio.TaskGroup() as group:
                    with self.use(Failing):
                        tasks.append(group.create_task(self.forever()))
                    tasks.append(group.create_task(self.forever()))

        tasks = []
        task = self.spawn(host())
        await self.settle()
        scope.cancel()
        self.assertEqual([type(problem['exception'])
                          for problem in self.problems], [MyError])
        self.problems.clear()
        await self.settle()
        # It is interrupted all the same, like every task below the scope.
        self.assertEqual([task.cancelled() for task in tasks], [True, True])
        await task

    async def test_5_7_request_that_is_taken_back(self):
        """It is told once for each cancellation."""
        async def member():
            while not done:
                with contextlib.suppress(asyncio.CancelledError):
                    await self.forever()
                while asyncio.current_task().cancelling():
                    asyncio.current_task().uncancel()
                with self.CancelScope(shield=True):
                    await asyncio.sleep(2)

        async def host():
            with self.CancelScope() as outer, self.CancelScope() as scope:
                scopes.extend([outer, scope])
                async with asyncio.TaskGroup() as group:
                    with self.use(self.Noting):
                        group.create_task(member(), name='member')

        done = False
        scopes = []
        task = self.spawn(host())
        await self.settle()
        scopes[0].cancel('first')
        await asyncio.sleep(1)
        scopes[1].shield = True
        await asyncio.sleep(2)
        self.assertEqual(self.calls, [('member', 'first')])
        done = True
        scopes[1].shield = False
        await task
        self.assertEqual(self.calls, [('member', 'first')] * 2)


if __name__ == '__main__':
    unittest.main()
