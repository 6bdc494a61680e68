"""Tests for the switches edge-cancel and edge-scopes in tasks and groups.

See legacy_utils for how they run.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import unittest
from asyncio import tasks
from test import support
from unittest import mock

from test.test_asyncio import legacy_utils
from test.test_asyncio.legacy_utils import CaseUtils, cases
from test.test_asyncio.scope_utils import MyError


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@cases(on={'edge-cancel'})
class EdgeCancel(CaseUtils):
    """Task.cancel() as in stock; most of this passes there as well."""

    async def test_9_request_is_delivered_once(self):
        args = []

        async def body():
            try:
                await self.forever()
            except asyncio.CancelledError as exc:
                args.append(exc.args)
            await self.assert_awaits_work()
            return 'done'

        task = self.spawn(body())
        await self.settle()
        self.assertIs(task.cancel('why'), True)
        self.assertEqual(await task, 'done')
        self.assertEqual(args, [('why',)])
        self.assertEqual(task.cancelling(), 1)
        self.assertIs(task.cancel(), False)

    async def test_9_bare_yield_is_interrupted_once(self):
        async def body():
            asyncio.current_task().cancel('why')
            await self.assert_cancelled(asyncio.sleep(0), 'why')
            await self.assert_awaits_work()

        await self.spawn(body())

    async def test_9_cleanup_may_wait(self):
        trace = []
        task = self.spawn(self.clean_up_slowly(trace, 'task'))
        await self.settle()
        task.cancel()
        await self.assert_cancelled(task)
        self.assertEqual(trace, ['task: 1', 'task done'])
        self.assertIs(task.cancelled(), True)

    async def test_9_second_request_interrupts_again(self):
        trace = []

        async def body():
            for _ in range(2):
                try:
                    await self.forever()
                except asyncio.CancelledError as exc:
                    trace.append(exc.args)
            await self.assert_awaits_work()
            return asyncio.current_task().cancelling()

        task = self.spawn(body())
        for msg in 'first', 'second':
            await self.settle()
            task.cancel(msg)
        self.assertEqual(await task, 2)
        self.assertEqual(trace, [('first',), ('second',)])

    async def test_9_two_requests_in_one_tick_are_delivered_as_one(self):
        async def body():
            await self.assert_cancelled(self.forever(), 'first')
            await self.assert_awaits_work()
            return asyncio.current_task().cancelling()

        task = self.spawn(body())
        await self.settle()
        task.cancel('first')
        task.cancel('second')
        self.assertEqual(await task, 2)

    async def test_9_task_cancelled_before_its_start_never_runs(self):
        trace = []

        async def body():
            trace.append('started')

        # Not through the factory, which may be an eager one.
        task = self.Task(body(), loop=self.loop)
        task.cancel('why')
        await self.assert_cancelled(task, 'why')
        self.assertEqual(trace, [])
        self.assertIs(task.cancelled(), True)

    async def test_9_member_cancelled_before_its_start_never_runs(self):
        trace = []

        async def member():
            trace.append('started')
            await self.forever()

        async with asyncio.TaskGroup() as group:
            group.create_task(member()).cancel()
        self.assertEqual(trace, ['started'] if self.eager else [])

    async def test_9_uncancel_before_the_start(self):
        task = self.Task(asyncio.sleep(1, 'result'), loop=self.loop)
        task.cancel()
        self.assertEqual(task.uncancel(), 0)
        self.assertEqual(await task, 'result')

    async def test_9_cancelling_and_uncancel(self):
        task = asyncio.current_task()
        self.assertEqual(task.cancelling(), 0)
        self.assertEqual(task.uncancel(), 0)
        task.cancel()
        task.cancel('last')
        self.assertEqual(task.cancelling(), 2)
        self.assertEqual(task.uncancel(), 1)
        # One is left, so there is still something to deliver.
        await self.assert_cancelled(asyncio.sleep(1), 'last')
        await self.assert_awaits_work()
        self.assertEqual(task.cancelling(), 1)
        self.assertEqual(task.uncancel(), 0)
        self.assertEqual(task.uncancel(), 0)

    async def test_9_uncancel_takes_back_what_was_not_delivered(self):
        task = asyncio.current_task()
        task.cancel()
        self.assertEqual(task.uncancel(), 0)
        await self.assert_awaits_work()

    async def test_9_uncancel_after_delivery_changes_no_await(self):
        task = asyncio.current_task()
        task.cancel()
        await self.assert_cancelled(asyncio.sleep(0))
        self.assertEqual(task.uncancel(), 0)
        await self.assert_awaits_work()

    async def test_9_request_after_a_result_in_the_same_tick(self):
        async def body(future):
            await self.assert_cancelled(future, 'why')
            await self.assert_awaits_work()
            return future

        for outcome in 'result', 'error':
            with self.subTest(outcome):
                future = self.loop.create_future()
                task = self.spawn(body(future))
                await self.settle()
                if outcome == 'result':
                    future.set_result('item')
                else:
                    future.set_exception(MyError())
                task.cancel('why')
                self.assertIs(await task, future)
                self.assertIs(future.cancelled(), False)
                future.exception()

    async def test_9_future_that_refuses(self):
        class RefusingFuture(self.Future):
            def cancel(self, msg=None):
                requests.append(msg)
                return False

        async def body():
            await self.assert_cancelled(future, 'why')
            await self.assert_awaits_work()

        requests = []
        future = RefusingFuture(loop=self.loop)
        task = self.spawn(body())
        await self.settle()
        task.cancel('why')
        await self.settle()
        self.assertIs(task.done(), False)
        future.set_result('item')
        await task
        self.assertEqual(requests, ['why'])

    async def test_9_return_with_a_request_undelivered(self):
        async def body():
            asyncio.current_task().cancel('why')
            return 'result'

        task = self.spawn(body())
        await self.assert_cancelled(task, 'why')
        self.assertIs(task.cancelled(), True)

    async def test_9_error_with_a_request_undelivered(self):
        async def body():
            asyncio.current_task().cancel()
            raise MyError

        with self.assertRaises(MyError):
            await self.spawn(body())

    async def test_9_awaited_task_is_asked_each_time(self):
        trace = []

        async def inner():
            for _ in range(2):
                try:
                    await self.forever()
                except asyncio.CancelledError as exc:
                    trace.append(exc.args)
            await self.assert_awaits_work()
            return 'inner'

        async def outer():
            result = await waited_for
            await self.assert_awaits_work()
            return result

        waited_for = self.spawn(inner())
        task = self.spawn(outer())
        for msg in 'first', 'second':
            await self.settle()
            task.cancel(msg)
        # The inner one has its way.
        self.assertEqual(await task, 'inner')
        self.assertEqual(trace, [('first',), ('second',)])

    async def test_9_gather_asks_each_child_once(self):
        trace = []

        async def body():
            await self.assert_cancelled(asyncio.gather(
                self.clean_up_slowly(trace, 'one'),
                self.clean_up_slowly(trace, 'two')))
            await self.assert_awaits_work()

        task = self.spawn(body())
        await self.settle()
        task.cancel()
        await task
        self.assertEqual(trace, ['one: 1', 'two: 1', 'one done', 'two done'])

    async def test_9_wait_for_lets_the_cleanup_wait(self):
        trace = []
        task = self.spawn(asyncio.wait_for(
            self.clean_up_slowly(trace, 'inner'), 100))
        await self.settle()
        task.cancel()
        await self.assert_cancelled(task)
        self.assertEqual(trace, ['inner: 1', 'inner done'])

    async def test_9_request_does_not_cancel_what_is_entered_later(self):
        async def body():
            asyncio.current_task().cancel()
            await self.assert_cancelled(asyncio.sleep(0))
            self.assertEqual(asyncio.current_effective_deadline(), float('inf'))
            with self.CancelScope() as scope:
                await self.assert_awaits_work()
            self.assert_scope(scope, called=False, caught=False)
            async with asyncio.timeout(100):
                await self.assert_awaits_work()

        await self.spawn(body())

    async def test_9_request_ends_a_timeout_that_has_not_expired(self):
        async def body():
            with self.assertRaises(asyncio.CancelledError):
                async with asyncio.timeout(100) as timeout:
                    try:
                        await self.forever()
                    finally:
                        await self.assert_awaits_work()
            self.assertIs(timeout.expired(), False)
            await self.assert_awaits_work()
            return asyncio.current_task().cancelling()

        task = self.spawn(body())
        await self.settle()
        task.cancel()
        self.assertEqual(await task, 1)

    async def test_9_swallowed_request_is_not_reported(self):
        # 10.1 is about level cancellation.
        async def body():
            for _ in range(2):
                asyncio.current_task().cancel()
                try:
                    await self.forever()
                except asyncio.CancelledError:
                    pass

        self.loop.set_debug(True)
        with self.assertNoLogs('asyncio', 'WARNING'):
            await self.spawn(body())
        self.loop.set_debug(False)


@cases(on={'edge-cancel'})
class EdgeCancelScopes(CaseUtils):
    """The scopes stay level, and a request through Task.cancel() edge."""

    async def test_9_scope_is_level(self):
        for cancel in ('cancel', 'deadline'):
            with self.subTest(cancel):
                with self.CancelScope() as scope:
                    if cancel == 'cancel':
                        scope.cancel('why')
                        await self.assert_level('why')
                    else:
                        scope.deadline = self.loop.time() + 1
                        await self.assert_cancelled(self.forever(),
                                                    'deadline exceeded')
                        await self.assert_level('deadline exceeded')
                    await asyncio.sleep(0)
                self.assert_scope(scope, called=True, caught=True)
                await self.assert_not_cancelled()

    async def test_9_taken_back_after_the_shielded_block(self):
        # A request that was made, and honored, in a block which has gone.
        task = asyncio.current_task()
        for outer in False, True:
            with self.subTest(outer=outer):
                with self.CancelScope(shield=outer):
                    with self.CancelScope(shield=True):
                        self.loop.call_later(1, task.cancel, 'why')
                        await self.assert_cancelled(self.forever(), 'why')
                    support.gc_collect()
                    await asyncio.sleep(1)
                    if outer:
                        self.assertEqual(task.uncancel(), 0)
                if not outer:
                    self.assertEqual(task.uncancel(), 0)
                await self.assert_not_cancelled()

    async def test_9_taken_back_in_the_turn_in_which_a_scope_is_cancelled(self):
        task = asyncio.current_task()
        for left in 0, 1:
            with self.subTest(left=left):
                def interrupt():
                    for _ in range(left + 1):
                        task.cancel('why')
                    task.uncancel()
                    scope.cancel()

                with self.CancelScope() as scope:
                    self.loop.call_soon(interrupt)
                    with self.assertRaises(asyncio.CancelledError):
                        await self.forever()
                if left:
                    # The request survives the scope.
                    await self.assert_cancelled(asyncio.sleep(0), 'why')
                    self.assertEqual(task.uncancel(), 0)
                await self.assert_not_cancelled()

    async def test_9_shield_holds_a_request_back(self):
        async def body():
            with self.CancelScope(shield=True):
                await gate.wait()
                await self.assert_awaits_work()
            trace.append('left')
            await self.assert_cancelled(self.forever(), 'why')
            await self.assert_awaits_work()
            return asyncio.current_task().cancelling()

        trace = []
        gate = asyncio.Event()
        task = self.spawn(body())
        await self.settle()
        task.cancel('why')
        await self.settle()
        self.assertEqual(trace, [])
        gate.set()
        self.assertEqual(await task, 1)
        self.assertEqual(trace, ['left'])

    async def test_9_return_after_a_shield_with_a_request_undelivered(self):
        async def body():
            with self.CancelScope(shield=True):
                await gate.wait()

        gate = asyncio.Event()
        task = self.spawn(body())
        await self.settle()
        task.cancel('why')
        gate.set()
        await self.assert_cancelled(task, 'why')

    async def test_9_uncancel_takes_back_what_a_shield_holds_back(self):
        async def body():
            with self.CancelScope(shield=True):
                await gate.wait()
            await self.assert_awaits_work()
            return 'done'

        gate = asyncio.Event()
        task = self.spawn(body())
        await self.settle()
        task.cancel()
        self.assertEqual(task.uncancel(), 0)
        gate.set()
        self.assertEqual(await task, 'done')

    async def test_9_request_and_shield_lifted(self):
        async def body():
            with self.CancelScope(shield=True) as scope:
                scopes.append(scope)
                await self.assert_cancelled(self.forever(), 'why')
                await self.assert_awaits_work()

        scopes = []
        task = self.spawn(body())
        await self.settle()
        task.cancel('why')
        await self.settle()
        self.assertIs(task.done(), False)
        scopes[0].shield = False
        await task

    async def test_9_request_in_a_cancelled_scope_survives_it(self):
        async def body():
            with self.CancelScope() as scope:
                scope.cancel()
                await self.assert_cancelled(asyncio.sleep(0))
                asyncio.current_task().cancel()
                await asyncio.sleep(0)
            # Unless it went on to here.
            await asyncio.sleep(1)

        task = self.spawn(body())
        await asyncio.wait([task])
        self.assertIs(task.cancelled(), True)

    async def test_9_scope_leaves_no_request_behind(self):
        with self.CancelScope() as scope:
            scope.cancel()
            await asyncio.sleep(0)
        await self.assert_not_cancelled()
        task = asyncio.current_task()
        task.cancel()
        await self.assert_cancelled(asyncio.sleep(0))
        self.assertEqual(task.uncancel(), 0)

    async def test_9_error_of_a_group_in_a_timeout_leaves_no_request_behind(self):
        with self.assertRaises(ExceptionGroup):
            async with asyncio.timeout(1):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.fail_when_cancelled())
        await self.assert_not_cancelled()

    async def test_9_error_of_a_group_in_a_group_leaves_no_request_behind(self):
        with self.assertRaises(ExceptionGroup):
            async with asyncio.TaskGroup() as outer:
                outer.create_task(self.failing())
                async with asyncio.TaskGroup() as inner:
                    inner.create_task(self.fail_when_cancelled())
        await self.assert_not_cancelled()


@cases(on={'edge-cancel'}, off={'edge-scopes'})
class EdgeCancelBlocks(CaseUtils):
    """With edge-cancel alone, timeouts and groups stay level-triggered."""

    def start_in_scope(self, kind):
        """Return a task that is blocked in a scope, and what cancels that."""
        async def in_scope():
            with self.CancelScope() as scope:
                cancels.append(scope.cancel)
                await self.forever()

        async def in_timeout():
            async with asyncio.timeout(None) as timeout:
                cancels.append(
                    lambda: timeout.reschedule(self.loop.time()))
                await self.forever()

        async def in_group():
            async with asyncio.TaskGroup() as group:
                cancels.append(group.cancel)
                await self.forever()

        async def in_join():
            async with asyncio.TaskGroup() as group:
                cancels.append(group.cancel)
                group.create_task(self.forever())

        async def body():
            try:
                await {'scope': in_scope, 'timeout': in_timeout,
                       'group': in_group, 'join': in_join}[kind]()
            except TimeoutError:
                pass
            await asyncio.sleep(1)

        cancels = []
        return self.spawn(body()), lambda: cancels[0]()

    async def test_9_timeout_is_level(self):
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1):
                await self.assert_cancelled(self.forever())
                await self.assert_level()
                await asyncio.sleep(0)
        await self.assert_not_cancelled()

    async def test_9_group_is_level(self):
        trace = []

        async def member():
            await self.assert_cancelled(self.forever(), 'why')
            await self.assert_level('why')
            trace.append('member')

        async with asyncio.TaskGroup() as group:
            group.create_task(member())
            await self.settle()
            group.cancel('why')
            await self.assert_level('why')
            trace.append('body')
        self.assertCountEqual(trace, ['member', 'body'])
        await self.assert_not_cancelled()

    async def test_9_member_of_a_cancelled_group_gets_to_its_first_await(self):
        trace = []

        async def member():
            trace.append('started')
            await self.forever()
            trace.append('went on')

        async with asyncio.TaskGroup() as group:
            group.cancel()
            group.create_task(member())
        self.assertEqual(trace, ['started'])

    async def test_9_failure_cancels_the_other_members_again_and_again(self):
        trace = []

        async def member():
            await self.assert_cancelled(self.forever())
            await self.assert_level()
            trace.append('member')

        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                group.create_task(member())
                group.create_task(self.failing())
        self.assertEqual([type(exc) for exc in cm.exception.exceptions],
                         [MyError])
        self.assertEqual(trace, ['member'])
        await self.assert_not_cancelled()

    async def test_9_request_in_the_tick_of_a_scopes_survives_it(self):
        # Rule 5.4, which the switch has nothing to do with.
        for kind in 'scope', 'timeout', 'group', 'join':
            for scope_first in True, False:
                with self.subTest(kind=kind, scope_first=scope_first):
                    task, cancel_scope = self.start_in_scope(kind)
                    await self.settle()
                    if scope_first:
                        cancel_scope()
                    task.cancel()
                    if not scope_first:
                        cancel_scope()
                    await asyncio.wait([task])
                    self.assertIs(task.cancelled(), True)
                    self.assertEqual(task.cancelling(), 1)

    async def test_9_error_of_a_group_in_a_scope_leaves_no_request_behind(self):
        # The group asks its host again for what Task.cancel() has asked for,
        # which is not what a scope has.
        with self.CancelScope() as scope:
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.fail_when_cancelled())
                    await self.settle()
                    scope.cancel()
                    await self.forever()
        await self.assert_not_cancelled()


@cases(off={'edge-scopes'})
class LevelBlocks(CaseUtils):

    async def test_9_timeout_and_group_stay_level(self):
        async with asyncio.TaskGroup() as group:
            group.cancel()
            await self.assert_level()
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1):
                await self.assert_cancelled(self.forever())
                await self.assert_level()
                await asyncio.sleep(1)


@cases(on={'edge-scopes'})
class EdgeScopes(CaseUtils):
    """timeout() and TaskGroup as in stock; most of this passes there as well.
    """

    async def test_9_timeout_interrupts_once(self):
        for make in (lambda: asyncio.timeout(1),
                     lambda: asyncio.timeout(-1),
                     lambda: asyncio.timeout_at(self.loop.time() + 1)):
            with self.assertRaises(TimeoutError) as cm:
                async with make() as timeout:
                    with self.assertRaises(asyncio.CancelledError):
                        await self.forever()
                    self.assertEqual(asyncio.current_task().cancelling(), 1)
                    self.assertIs(timeout.expired(), True)
                    await self.assert_awaits_work()
                    raise asyncio.CancelledError
            self.assertIsInstance(cm.exception.__cause__,
                                  asyncio.CancelledError)
            await self.assert_not_cancelled()

    async def test_9_blocks_in_tasks_of_each_kind(self):
        async def wait_in_timeout():
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(1):
                    await self.forever()

        async def wait_in_group():
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.fail_with(MyError()))
                    await self.forever()

        # As the tests of asyncio mix them.
        for kind, current_task in ((tasks.Task, tasks.current_task),
                                   (tasks._PyTask, tasks._py_current_task)):
            for wait in wait_in_timeout, wait_in_group:
                with (self.subTest(kind=kind, wait=wait),
                      mock.patch.object(tasks, 'current_task', current_task)):
                    await kind(wait(), loop=self.loop)

    async def test_9_timeout_that_was_swallowed(self):
        async with asyncio.timeout(1) as timeout:
            with self.assertRaises(asyncio.CancelledError):
                await self.forever()
        self.assertIs(timeout.expired(), True)
        await self.assert_not_cancelled()

    async def test_9_block_below_an_expired_timeout_is_not_cancelled(self):
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1):
                try:
                    await self.forever()
                finally:
                    await asyncio.wait_for(asyncio.sleep(1), 5)
                    async with asyncio.timeout(5):
                        await asyncio.sleep(1)
                    async with asyncio.TaskGroup() as group:
                        group.create_task(asyncio.sleep(1))
                    with self.assertRaises(TimeoutError):
                        async with asyncio.timeout(1):
                            await self.forever()
        await self.assert_not_cancelled()

    async def test_9_timeouts_that_expire_in_one_tick(self):
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1) as outer:
                with self.assertRaises(asyncio.CancelledError):
                    async with asyncio.timeout(1) as inner:
                        await self.forever()
                self.assertIs(inner.expired(), True)
                raise asyncio.CancelledError
        self.assertIs(outer.expired(), True)
        await self.assert_not_cancelled()

    async def test_9_error_after_the_expiry(self):
        with self.assertRaises(MyError) as cm:
            async with asyncio.timeout(1):
                try:
                    await self.forever()
                finally:
                    raise MyError
        self.assertIsInstance(cm.exception.__context__, TimeoutError)
        await self.assert_not_cancelled()

    async def test_9_reschedule(self):
        async with asyncio.timeout(1) as timeout:
            timeout.reschedule(self.loop.time() + 5)
            await asyncio.sleep(2)
            timeout.reschedule(None)
            await asyncio.sleep(20)
            timeout.reschedule(self.loop.time() - 1)
            with self.assertRaises(asyncio.CancelledError):
                await self.forever()
            with self.assertRaisesRegex(RuntimeError, 'expiring Timeout'):
                timeout.reschedule(None)
        await self.assert_not_cancelled()

    async def test_9_timeout_below_its_own_shield(self):
        task = asyncio.current_task()
        self.loop.call_later(1, task.cancel)
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(5, shield=True):
                start = self.loop.time()
                await self.forever()
        self.assertEqual(self.loop.time() - start, 5)
        await self.assert_cancelled(asyncio.sleep(1))
        task.uncancel()
        await self.assert_not_cancelled()

    async def test_9_failure_interrupts_the_others_once(self):
        async def host(in_body):
            trace = []
            with self.assertRaises(ExceptionGroup) as cm:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.clean_up_slowly(trace, 'member'))
                    group.create_task(self.failing())
                    if in_body:
                        await self.clean_up_slowly(trace, 'body')
            self.assertEqual([type(exc) for exc in cm.exception.exceptions],
                             [MyError])
            self.assertCountEqual(
                trace, ['member: 1', 'member done',
                        *(['body: 1', 'body done'] if in_body else [])])
            await self.assert_not_cancelled()

        for in_body in True, False:
            with self.subTest(in_body=in_body):
                await host(in_body)

    async def test_9_timeout_reaches_members_through_their_group(self):
        trace = []

        async def worker():
            while True:
                await asyncio.sleep(1)
                trace.append('worked')

        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1.5):
                async with asyncio.TaskGroup() as group:
                    member = group.create_task(worker())
                    try:
                        await self.forever()
                    finally:
                        # The worker can still be used.
                        await asyncio.sleep(2)
                        self.assertEqual(member.cancelling(), 0)
        self.assertEqual(trace, ['worked'] * 3)
        self.assertIs(member.cancelled(), True)
        await self.assert_not_cancelled()

    async def test_9_group_that_shuts_down_takes_no_tasks(self):
        with self.assertRaises(ExceptionGroup) as cm:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.failing())
                with self.assertRaises(asyncio.CancelledError):
                    await self.forever()
                with self.assertRaisesRegex(RuntimeError, 'shutting down'):
                    group.create_task(asyncio.sleep(1))
        self.assertEqual([type(exc) for exc in cm.exception.exceptions],
                         [MyError])
        with self.assertRaisesRegex(RuntimeError, 'finished'):
            group.create_task(asyncio.sleep(1))
        await self.assert_not_cancelled()

    async def test_9_group_is_cancelled(self):
        for how in 'before', 'body', 'join', 'deadline':
            with self.subTest(how=how):
                trace = []
                group = asyncio.TaskGroup()
                if how == 'before':
                    group.cancel('why')
                async with group:
                    if how == 'before':
                        await self.assert_cancelled(self.forever(), 'why')
                        continue
                    group.create_task(self.clean_up_slowly(trace, 'member'))
                    if how == 'deadline':
                        group.cancel_scope.deadline = self.loop.time() + 1
                    else:
                        self.loop.call_later(1, group.cancel)
                    if how == 'body':
                        await self.forever()
                self.assertEqual(trace, ['member: 1', 'member done'])
                await self.assert_not_cancelled()

    async def test_9_error_of_a_group_below_an_expired_timeout(self):
        # It has priority, and the expiry is not forgotten.
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(1):
                with self.assertRaises(ExceptionGroup):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self.fail_when_cancelled())
                await asyncio.sleep(1)
                self.fail('not interrupted')
        await self.assert_not_cancelled()

    async def test_9_errors_of_tasks_that_are_not_the_groups(self):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.failing(), errors='await')
            group.create_task(self.failing(), errors='log')
            await asyncio.sleep(2)
            with self.assertRaises(MyError):
                await task
        self.assertEqual([type(exc) for _, exc in self.get_problems()],
                         [MyError])
        self.problems.clear()

    def test_9_error_of_a_member_is_no_background_failure(self):
        async def main():
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.failing())
            await self.assert_awaits_work()
            return 'result'

        self.assertEqual(self.run_program(main()), 'result')


@cases(on={'edge-scopes'}, off={'edge-cancel'})
class EdgeScopesLevelCancel(CaseUtils):
    """With edge-scopes alone, Task.cancel() stays level-triggered."""

    async def test_9_request_below_a_timeout_stays_level(self):
        task = asyncio.current_task()
        async with asyncio.timeout(5):
            task.cancel('why')
            await self.assert_level('why')
            task.uncancel()
            await self.assert_awaits_work()

    async def test_9_member_that_is_cancelled_stays_level(self):
        async def member():
            await self.assert_cancelled(self.forever(), 'why')
            await self.assert_level('why')

        async with asyncio.TaskGroup() as group:
            task = group.create_task(member())
            await self.settle()
            task.cancel('why')
        await self.assert_not_cancelled()

    async def test_9_request_and_expiry_in_one_tick(self):
        async def body():
            async with asyncio.timeout(1):
                await self.assert_cancelled(self.forever())
                await self.assert_level()
                raise asyncio.CancelledError

        task = self.spawn(body())
        self.loop.call_later(1, task.cancel)
        await self.assert_cancelled(task)
        self.assertEqual(task.cancelling(), 1)


@cases(on={'edge-cancel'})
class EdgeCancelGroups(CaseUtils):
    """The host of a TaskGroup is cancelled."""

    async def run_host(self, host):
        task = self.spawn(host)
        await self.settle()
        task.cancel('why')
        return await task

    async def test_9_host_is_cancelled(self):
        async def member():
            try:
                await self.forever()
            finally:
                trace.append('member')

        async def host(in_body):
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(member())
                    if in_body:
                        await self.forever()
            except asyncio.CancelledError as exc:
                trace.append(exc.args)
            await self.assert_awaits_work()
            return asyncio.current_task().cancelling()

        for in_body in True, False:
            with self.subTest(in_body=in_body):
                trace = []
                self.assertEqual(await self.run_host(host(in_body)), 1)
                self.assertEqual(trace, ['member', ('why',)])

    async def test_9_host_is_cancelled_again(self):
        async def member():
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    trace.append('member')
                    await asyncio.sleep(10)
                trace.append('member done')

        async def host():
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(member())
            except asyncio.CancelledError:
                trace.append('host')
            await self.assert_awaits_work()
            return asyncio.current_task().cancelling()

        trace = []
        task = self.spawn(host())
        for _ in range(3):
            await asyncio.sleep(1)
            task.cancel()
        self.assertEqual(await task, 3)
        # It waits for its members all the same.
        self.assertEqual(trace, ['member', 'member done', 'host'])

    async def test_9_error_has_priority_over_the_request(self):
        async def host(in_body):
            with self.assertRaises(ExceptionGroup) as cm:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.fail_when_cancelled())
                    if in_body:
                        await self.forever()
            self.assertEqual([type(exc) for exc in cm.exception.exceptions],
                             [MyError])
            # It shows at the next await, and there alone.
            with self.assertRaises(asyncio.CancelledError):
                await asyncio.sleep(1)
            await self.assert_awaits_work()
            return asyncio.current_task().cancelling()

        for in_body in True, False:
            with self.subTest(in_body=in_body):
                self.assertEqual(await self.run_host(host(in_body)), 1)

    async def test_9_error_and_no_further_await(self):
        async def host():
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.fail_when_cancelled())

        with self.assertRaises(asyncio.CancelledError):
            await self.run_host(host())

    async def test_9_request_in_the_tick_of_a_failure(self):
        # The request is not taken for that of the group.
        async def member():
            await gate
            raise MyError

        async def host(in_body):
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(member())
                    if in_body:
                        await self.forever()
            with self.assertRaises(asyncio.CancelledError):
                await asyncio.sleep(1)
            await self.assert_awaits_work()
            return asyncio.current_task().cancelling()

        for in_body in True, False:
            with self.subTest(in_body=in_body):
                gate = self.loop.create_future()
                task = self.spawn(host(in_body))
                await self.settle()
                gate.set_result(None)
                self.loop.call_soon(task.cancel)
                self.assertEqual(await task, 1)

    async def test_9_failure_without_a_request_leaves_none(self):
        with self.assertRaises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(self.failing())
                await self.forever()
        await self.assert_not_cancelled()

    async def test_9_member_cancelled_on_its_own(self):
        trace = []
        async with asyncio.TaskGroup() as group:
            member = group.create_task(self.clean_up_slowly(trace, 'member'))
            await self.settle()
            member.cancel()
        self.assertEqual(trace, ['member: 1', 'member done'])
        await self.assert_not_cancelled()


@cases(on={'edge-cancel'}, off={'edge-scopes'})
class EdgeCancelJoin(CaseUtils):

    async def test_9_member_that_cancels_the_host_of_its_group(self):
        # As one does that awaits the host.
        calls = []

        class PassedOn(asyncio.Future):
            def cancel(self, msg=None):
                calls.append(self)
                host.cancel()
                return super().cancel()

        async def member():
            await PassedOn(loop=self.loop)

        async def body():
            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(member())

        host = self.spawn(body())
        await self.settle()
        host.cancel()
        await self.assert_cancelled(host)
        self.assertEqual(len(calls), 20)


@cases(off={'edge-cancel'})
class LevelCancel(CaseUtils):

    async def test_9_request_stays_level(self):
        async def body():
            await self.assert_cancelled(self.forever(), 'why')
            await self.assert_level('why')
            asyncio.current_task().uncancel()
            await self.assert_awaits_work()
            return 'done'

        task = self.spawn(body())
        await self.settle()
        task.cancel('why')
        self.assertEqual(await task, 'done')

    async def test_9_task_that_has_not_started_gets_to_its_first_await(self):
        trace = []

        async def body():
            trace.append('started')
            await self.forever()

        task = self.Task(body(), loop=self.loop)
        task.cancel('why')
        await self.assert_cancelled(task, 'why')
        self.assertEqual(trace, ['started'])

    def test_9_end_of_main_is_level(self):
        trace = []

        async def background():
            await self.assert_cancelled(self.forever())
            await self.assert_level()
            trace.append('background')

        async def main():
            asyncio.create_task(background())
            await self.settle()

        self.run_program(main())
        self.assertEqual(trace, ['background'])


@cases(on={'edge-cancel'})
class OverdueWaitFor(CaseUtils):

    async def test_9_coroutine_is_cancelled_as_a_task(self):
        with self.assertRaises(TimeoutError) as cm:
            await asyncio.wait_for(self.forever(), 0)
        self.assertIsInstance(cm.exception.__cause__, asyncio.CancelledError)


@cases(on={'edge-cancel', 'edge-scopes'})
class WaitForCancelled(CaseUtils):

    async def test_9_request_ends_the_wait(self):
        async def swallow():
            try:
                await self.forever()
            except asyncio.CancelledError:
                await release

        async def wait():
            await asyncio.wait_for(swallowing, 0)

        release = self.loop.create_future()
        swallowing = self.spawn(swallow())
        await self.settle()
        task = self.spawn(wait())
        await self.settle()
        task.cancel()
        await self.assert_cancelled(task)
        self.assertIs(swallowing.done(), False)
        release.set_result(None)
        await swallowing


@cases(on={'edge-scopes'}, off={'edge-cancel'})
class JoinByLevel(CaseUtils):

    async def test_9_group_does_not_spin(self):
        async def member():
            try:
                await self.forever()
            finally:
                # As a cleanup that cannot be interrupted does.
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(1)

        async def host():
            async with asyncio.TaskGroup() as group:
                group.create_task(member())

        task = self.spawn(host())
        await self.settle()
        task.cancel()
        turns = self.loop.turns
        await self.assert_cancelled(task)
        self.assertLess(self.loop.turns - turns, 20)


@cases(on={'edge-cancel'}, off={'shield'})
class EdgeCancelNativeShield(CaseUtils):

    async def test_9_shield_holds_a_request_back(self):
        async def protected():
            await gate.wait()
            await self.assert_awaits_work()
            return 'result'

        async def body():
            trace.append(await asyncio.shield(protected()))
            await self.assert_cancelled(self.forever(), 'why')
            await self.assert_awaits_work()
            return 'done'

        trace = []
        gate = asyncio.Event()
        task = self.spawn(body())
        await self.settle()
        task.cancel('why')
        await self.settle()
        self.assertEqual(trace, [])
        gate.set()
        self.assertEqual(await task, 'done')
        self.assertEqual(trace, ['result'])


@cases(on={'edge-cancel', 'shield'})
class EdgeCancelLegacyShield(CaseUtils):

    async def test_9_shield_is_interrupted_once(self):
        async def protected():
            await gate.wait()
            trace.append('protected')

        async def body():
            await self.assert_cancelled(asyncio.shield(protected()))
            trace.append('body')
            await self.assert_awaits_work()
            gate.set()
            await self.settle()
            return asyncio.current_task().cancelling()

        trace = []
        gate = asyncio.Event()
        task = self.spawn(body())
        await self.settle()
        task.cancel()
        self.assertEqual(await task, 1)
        self.assertEqual(trace, ['body', 'protected'])


@cases(on={'shield'})
class LegacyShield(CaseUtils):

    async def test_9_coroutine_is_wrapped_in_a_task(self):
        before = self.all_tasks()
        future = asyncio.shield(asyncio.sleep(1, 'result'))
        self.assertIs(asyncio.isfuture(future), True)
        self.assertEqual(len(self.all_tasks() - before), 1)
        self.assertEqual(await future, 'result')

    async def test_9_future_can_be_waited_for_in_every_way(self):
        trace = []
        future = asyncio.shield(asyncio.sleep(1, 'result'))
        future.add_done_callback(trace.append)
        done, pending = await asyncio.wait([future])
        self.assertEqual((done, pending), ({future}, set()))
        await asyncio.sleep(0)
        self.assertEqual(trace, [future])
        self.assertEqual(
            await asyncio.gather(asyncio.shield(asyncio.sleep(1, 'result'))),
            ['result'])

    async def test_9_host_is_cancelled_at_once(self):
        async def protected():
            await gate.wait()
            trace.append('protected')

        async def body():
            try:
                await asyncio.shield(protected())
            finally:
                trace.append('body')

        trace = []
        gate = asyncio.Event()
        task = self.spawn(body())
        await self.settle()
        task.cancel('why')
        await self.assert_cancelled(task, 'why')
        self.assertEqual(trace, ['body'])
        gate.set()
        await self.settle()
        self.assertEqual(trace, ['body', 'protected'])

    async def test_9_cancelled_scope_is_left_at_once(self):
        async def protected():
            trace.append('started')
            await gate.wait()
            trace.append('protected')

        trace = []
        gate = asyncio.Event()
        with self.CancelScope(deadline=self.loop.time() + 1) as scope:
            await asyncio.shield(protected())
        self.assert_scope(scope, called=True, caught=True)
        with self.assertRaises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(protected()), 1)
        self.assertEqual(trace, ['started'] * 2)
        gate.set()
        await self.settle()
        self.assertEqual(trace, ['started'] * 2 + ['protected'] * 2)

    async def test_9_cancellation_of_what_is_shielded_passes_through(self):
        async def protected():
            asyncio.current_task().cancel('why')
            await asyncio.sleep(0)

        # The message gets lost, as in stock.
        await self.assert_cancelled(asyncio.shield(protected()))
        await self.assert_not_cancelled()

    async def test_9_not_an_awaitable(self):
        with self.assertRaises(TypeError):
            asyncio.shield(1)

    def test_9_failure_is_no_background_failure(self):
        # Rule 7.3; stock logs it if there is no caller to get it.
        async def main(give_up):
            if give_up:
                with self.assertRaises(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(self.failing(10)), 1)
                await asyncio.sleep(100)
            else:
                with self.assertRaises(MyError):
                    await asyncio.shield(self.failing())
            return 'main'

        async def both():
            await main(False)
            self.assertEqual(self.get_problems(), [])
            await main(True)
            return 'main'

        self.assertEqual(self.run_program(both()), 'main')
        self.assertEqual([(message, type(exc)) for message, exc
                          in self.get_problems()],
                         [('MyError exception in shielded future', MyError)])

    async def test_9_scope_still_shields(self):
        with self.CancelScope() as outer:
            outer.cancel()
            with self.CancelScope(shield=True):
                await self.assert_awaits_work()
            await asyncio.sleep(0)
        self.assert_scope(outer, called=True, caught=True)


@cases(off={'shield'})
class NativeShield(CaseUtils):

    async def test_9_coroutine_runs_in_the_host(self):
        async def protected():
            return asyncio.current_task()

        awaitable = asyncio.shield(protected())
        self.assertIs(asyncio.isfuture(awaitable), False)
        self.assertIs(await awaitable, asyncio.current_task())

    async def test_9_host_is_protected(self):
        trace = []
        with self.CancelScope() as scope:
            scope.cancel()
            trace.append(await asyncio.shield(asyncio.sleep(1, 'result')))
            await asyncio.sleep(0)
            trace.append('went on')
        self.assertEqual(trace, ['result'])
        self.assert_scope(scope, called=True, caught=True)

    async def test_9_future_is_shielded_as_in_stock(self):
        task = self.spawn(asyncio.sleep(10, 'result'))
        shielded = asyncio.shield(task)
        self.assertIs(asyncio.isfuture(shielded), True)
        with self.assertRaises(TimeoutError):
            await asyncio.wait_for(shielded, 1)
        self.assertEqual(await task, 'result')


legacy_utils.make_tests(__name__)


if __name__ == '__main__':
    unittest.main()
