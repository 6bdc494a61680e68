"""Tests for the switches that bring single behaviours of asyncio back.

They hold for a whole process, so what they do is checked in child processes,
one for each set of switches.  A child runs the cases, the classes below that
@cases registers, on every implementation (see scope_utils), and prints what
came out.  Here each case that applies to a set is a test of its own.

A class of cases says which switches must be on and which must be off.  So those
for a switch that is off show that the others have left that behaviour alone.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import functools
import json
import signal
import subprocess
import sys
import textwrap
import types
import unittest
import weakref
from test import support
from test.support import os_helper
from test.support import script_helper
from test.support.script_helper import assert_python_failure
from test.support.script_helper import assert_python_ok
from test.support.script_helper import spawn_python

from test.test_asyncio import scope_utils


if not support.has_subprocess_support:
    raise unittest.SkipTest('requires subprocesses')


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


SWITCHES = ('edge-cancel', 'edge-scopes', 'background-errors',
            'unretrieved-only', 'shield', 'signals')

# The value of the option, and the switches that it stands for, by the name
# that the tests have.
SETS = {
    'none': ('', frozenset()),
    **{name.replace('-', '_'): (name, frozenset({name})) for name in SWITCHES},
    'edge_cancel_and_edge_scopes': ('edge-cancel,edge-scopes',
                                    frozenset({'edge-cancel', 'edge-scopes'})),
    'edge_cancel_and_shield': ('edge-cancel,shield',
                               frozenset({'edge-cancel', 'shield'})),
    'all': ('all', frozenset(SWITCHES)),
}

# Those that the build has.
VARIANTS = [variant for variant in scope_utils.VARIANTS
            if variant.Task is not None and variant.CancelScope is not None]

CASES = []


def cases(*, on=(), off=()):
    """Class decorator: these are cases for sets with *on* and without *off*."""
    def register(cls):
        CASES.append((cls, frozenset(on), frozenset(off)))
        return cls
    return register


def find_cases(switches):
    return [cls for cls, on, off in CASES
            if on <= switches and not off & switches]


def get_names(cls):
    return unittest.TestLoader().getTestCaseNames(cls)


def run_cases():
    """What a child does: print the outcome of each case in a line."""
    for cls in find_cases(asyncio.legacy()):
        for variant in VARIANTS:
            test_case = types.new_class(
                cls.__name__, (variant, cls, scope_utils.ScopeTestCase))
            for name in get_names(cls):
                result = unittest.TestResult()
                test_case(name).run(result)
                # The name of a subtest tells which one it is.
                problems = [f'{test}\n{text}' for test, text in
                            [*result.errors, *result.failures]]
                print(json.dumps([cls.__name__, name, variant.__name__,
                                  '\n'.join(problems)]), flush=True)


@functools.cache
def run_child(set_name):
    """Return the outcomes of the cases of a set, and what else was printed.

    The outcomes are a dict; what a child that died did not come to is missing.
    """
    option, _ = SETS[set_name]
    program = ('from test.test_asyncio import test_legacy; '
               'test_legacy.run_cases()')
    with spawn_python('-X', f'asyncio_legacy={option}', '-c', program,
                      stderr=subprocess.PIPE, text=True) as child:
        try:
            out, err = child.communicate(timeout=support.LONG_TIMEOUT)
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate()
    outcomes = {}
    for line in out.splitlines():
        *case, problems = json.loads(line)
        outcomes[tuple(case)] = problems
    return outcomes, f'exit code {child.returncode}\n{err}'


class CaseTests:
    """A class of cases, and a set of switches, as a test case."""

    set_name = None
    cls = None

    def check(self, name):
        outcomes, rest = run_child(self.set_name)
        for variant in VARIANTS:
            case = self.cls.__name__, name, variant.__name__
            with self.subTest(variant=variant.__name__):
                self.assertIn(case, outcomes, rest)
                if outcomes[case]:
                    self.fail(outcomes[case])


class MyError(Exception):
    pass


class CaseUtils:
    """What the cases have in common; in a child, a ScopeTestCase."""

    def run_program(self, main):
        return asyncio.run(main, loop_factory=lambda: self.loop)

    def get_problems(self):
        """Return what the exception handler of the loop was told."""
        support.gc_collect()
        return [(problem['message'], problem.get('exception'))
                for problem in self.problems]

    async def assert_awaits_work(self):
        await asyncio.sleep(0)
        await asyncio.sleep(1)
        await asyncio.wait_for(asyncio.sleep(1), 10)
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1))

    async def failing(self, delay=1):
        await asyncio.sleep(delay)
        raise MyError

    async def fail_when_cancelled(self):
        try:
            await self.forever()
        finally:
            raise MyError

    async def clean_up_slowly(self, trace, name):
        """Wait until cancelled; then take some time, unprotected."""
        try:
            await self.forever()
        finally:
            trace.append(f'{name}: {asyncio.current_task().cancelling()}')
            await self.assert_awaits_work()
            trace.append(f'{name} done')

    def assert_only(self, errors, *kinds):
        """*errors* is the group that run() raises, of these and no others."""
        self.assertIs(type(errors), ExceptionGroup)
        self.assertEqual(errors.message,
                         'unhandled errors in background tasks')
        self.assertCountEqual([type(exc) for exc in errors.exceptions], kinds)


class SignalUtils(CaseUtils):

    def setUp(self):
        super().setUp()
        # Whoever runs the tests may have been told to ignore them (nohup).
        for signum, handler in ((signal.SIGINT, signal.default_int_handler),
                                (signal.SIGTERM, signal.SIG_DFL)):
            self.addCleanup(signal.signal, signum,
                            signal.signal(signum, handler))


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

    async def test_9_clean_up_may_wait(self):
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

    async def test_9_wait_for_lets_the_clean_up_wait(self):
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
        # A request that was made, and honoured, in a block which has gone.
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

    async def test_9_failure_cancels_the_other_members_by_level(self):
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


@cases(on={'edge-cancel', 'background-errors'})
class RunWithoutGroup(CaseUtils):
    """run() ends as it did before there was a root group."""

    def test_9_generators_are_closed_by_tasks_like_any_other(self):
        trace = []

        async def generate():
            try:
                yield
            finally:
                trace.append('closing')
                await asyncio.sleep(2)
                trace.append('closed')

        async def main():
            async for _ in generate():
                break
            support.gc_collect()
            await asyncio.sleep(1)
            return self.loop.time()

        end = self.run_program(main())
        self.assertEqual(self.loop.time(), end)
        self.assertEqual(trace, ['closing'])

    def test_9_task_that_is_spawned_at_the_end_is_not_awaited(self):
        trace = []

        async def late():
            trace.append('late')
            await asyncio.sleep(1)
            trace.append('too late')

        async def background():
            try:
                await self.forever()
            finally:
                task = asyncio.create_task(late())
                task._log_destroy_pending = False
                tasks.append(weakref.ref(task))
                await asyncio.sleep(0)

        async def main():
            asyncio.create_task(background())
            await self.settle()

        tasks = []
        self.run_program(main())
        self.assertEqual(trace, ['late'])
        support.gc_collect()
        self.assertIsNone(tasks[0]())

    def test_9_every_failure_at_the_end_is_reported(self):
        async def main():
            asyncio.gather(self.fail_when_cancelled())
            asyncio.create_task(self.fail_when_cancelled())
            await self.settle()

        self.run_program(main())
        reported = [type(exc) for message, exc in self.get_problems()
                    if message == ('unhandled exception during asyncio.run() '
                                   'shutdown')]
        self.problems.clear()
        self.assertEqual(reported, [MyError, MyError])


@cases(on={'edge-cancel'})
class EdgeCancelRun(CaseUtils):
    """What asyncio.run() and Runner cancel, they cancel by edge."""

    def test_9_end_of_main_cancels_each_task_once(self):
        trace = []

        async def main():
            background = [asyncio.create_task(
                self.clean_up_slowly(trace, name)) for name in ('one', 'two')]
            await self.settle()
            return len(background)

        self.assertEqual(self.run_program(main()), 2)
        self.assertCountEqual(
            trace, ['one: 1', 'two: 1', 'one done', 'two done'])
        self.assertEqual(self.get_problems(), [])

    def test_9_close_cancels_each_task_once(self):
        trace = []

        async def main():
            asyncio.create_task(self.clean_up_slowly(trace, 'background'))
            await self.settle()

        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(main())
            self.assertEqual(trace, [])
        self.assertEqual(trace, ['background: 1', 'background done'])

    def test_9_task_that_has_not_started_never_runs(self):
        trace = []

        async def background():
            trace.append('started')
            await self.forever()

        async def main():
            # In the last turn of the loop, after main.
            self.loop.call_soon(self.loop.create_task, background())

        self.run_program(main())
        self.assertEqual(trace, ['started'] if self.eager else [])

    def test_9_end_of_main_and_a_task_that_another_waits_for(self):
        trace = []

        async def waits():
            try:
                await worker
            finally:
                await self.assert_awaits_work()
                trace.append('waits done')

        async def main():
            nonlocal worker
            worker = asyncio.create_task(self.clean_up_slowly(trace, 'worker'))
            waiting = asyncio.create_task(waits())
            await self.settle()
            del waiting

        worker = None
        self.run_program(main())
        # One request of its own, and one that was passed on.
        self.assertEqual(trace, ['worker: 2', 'worker done', 'waits done'])

    def test_9_group_in_a_background_task(self):
        trace = []

        async def member():
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await self.assert_awaits_work()
                trace.append('member done')

        async def background():
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(member())
            finally:
                await self.assert_awaits_work()
                trace.append('background done')

        async def main():
            asyncio.create_task(background())
            await self.settle()

        self.run_program(main())
        self.assertEqual(trace, ['member done', 'background done'])


@cases(on={'edge-cancel'}, off={'background-errors'})
class EdgeCancelAfterFailure(CaseUtils):

    def run_failing(self, main):
        with self.assertRaises(ExceptionGroup) as cm:
            self.run_program(main)
        self.assert_only(cm.exception, MyError)

    def test_9_failure_cancels_main_once(self):
        trace = []

        async def main():
            asyncio.create_task(self.failing())
            await self.clean_up_slowly(trace, 'main')

        self.run_failing(main())
        self.assertEqual(trace, ['main: 1', 'main done'])

    def test_9_failure_cancels_each_task_once(self):
        # Main is done before the others are.
        trace = []

        async def main():
            asyncio.create_task(self.clean_up_slowly(trace, 'other'))
            asyncio.create_task(self.failing())
            await self.forever()

        self.run_failing(main())
        self.assertEqual(trace, ['other: 1', 'other done'])

    def test_9_failure_at_the_end_cancels_nobody_again(self):
        trace = []

        async def main():
            asyncio.create_task(self.clean_up_slowly(trace, 'other'))
            asyncio.create_task(self.fail_when_cancelled())
            await self.settle()

        self.run_failing(main())
        self.assertEqual(trace, ['other: 1', 'other done'])


@cases(on={'edge-cancel'}, off={'signals'})
class EdgeCancelSignals(SignalUtils):

    def test_9_sigint_cancels_each_task_once(self):
        trace = []

        async def main(slow):
            asyncio.create_task(self.clean_up_slowly(trace, 'other'))
            await self.settle()
            signal.raise_signal(signal.SIGINT)
            if slow:
                await self.clean_up_slowly(trace, 'main')
            else:
                await self.forever()

        with self.assertRaises(KeyboardInterrupt):
            self.run_program(main(False))
        self.assertEqual(trace, ['other: 1', 'other done'])

    def test_9_sigint_cancels_main_once(self):
        trace = []

        async def main():
            signal.raise_signal(signal.SIGINT)
            await self.clean_up_slowly(trace, 'main')

        with self.assertRaises(KeyboardInterrupt):
            self.run_program(main())
        self.assertEqual(trace, ['main: 1', 'main done'])


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


@cases(on={'background-errors'})
class BackgroundErrors(CaseUtils):

    NEVER_RETRIEVED = 'Task exception was never retrieved'
    AT_THE_END = 'unhandled exception during asyncio.run() shutdown'

    def assert_problems(self, *expected):
        self.assertEqual([(message, type(exc)) for message, exc
                          in self.get_problems()], list(expected))

    def test_9_failure_cancels_nobody(self):
        async def other():
            await asyncio.sleep(10)
            return 'other'

        async def main():
            asyncio.create_task(self.failing())
            task = asyncio.create_task(other())
            await asyncio.sleep(5)
            return await task, asyncio.current_task().cancelling()

        self.assertEqual(self.run_program(main()), ('other', 0))
        self.assert_problems((self.NEVER_RETRIEVED, MyError))

    def test_9_failure_is_logged_when_the_task_is_collected(self):
        async def main():
            task = asyncio.create_task(self.failing())
            await asyncio.sleep(10)
            self.assert_problems()
            del task
            self.assert_problems((self.NEVER_RETRIEVED, MyError))
            return 'main'

        self.assertEqual(self.run_program(main()), 'main')
        self.assert_problems((self.NEVER_RETRIEVED, MyError))

    def test_9_failure_that_is_retrieved_later_is_not_logged(self):
        async def main():
            task = asyncio.create_task(self.failing())
            await asyncio.sleep(10)
            with self.assertRaises(MyError):
                await task

        self.run_program(main())
        self.assert_problems()

    def test_9_failure_at_the_end_is_logged(self):
        async def main():
            background = [asyncio.create_task(self.fail_when_cancelled())
                          for _ in range(2)]
            await self.settle()
            return len(background)

        self.assertEqual(self.run_program(main()), 2)
        # Once each, even when they are collected.
        self.assert_problems(*[(self.AT_THE_END, MyError)] * 2)

    def test_9_failures_during_the_run_and_at_the_end(self):
        async def main():
            background = [asyncio.create_task(self.failing()),
                          asyncio.create_task(self.fail_when_cancelled())]
            await asyncio.sleep(10)
            return len(background)

        self.assertEqual(self.run_program(main()), 2)
        self.assertCountEqual(
            [message for message, _ in self.get_problems()],
            [self.NEVER_RETRIEVED, self.AT_THE_END])

    def test_9_error_of_main_comes_bare(self):
        class MainError(Exception):
            pass

        async def main():
            asyncio.create_task(self.failing())
            asyncio.create_task(self.fail_when_cancelled())
            await asyncio.sleep(10)
            raise MainError

        with self.assertRaises(MainError):
            self.run_program(main())
        self.assertCountEqual(
            [message for message, _ in self.get_problems()],
            [self.NEVER_RETRIEVED, self.AT_THE_END])

    def test_9_failure_at_the_close_of_a_runner_is_logged(self):
        async def main():
            asyncio.create_task(self.failing())
            asyncio.create_task(self.fail_when_cancelled())
            await asyncio.sleep(10)
            return 'main'

        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            self.assertEqual(runner.run(main()), 'main')
            self.assert_problems((self.NEVER_RETRIEVED, MyError))
        self.assert_problems((self.NEVER_RETRIEVED, MyError),
                             (self.AT_THE_END, MyError))

    def test_9_group_still_raises(self):
        async def main():
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.failing())
            return 'main'

        self.assertEqual(self.run_program(main()), 'main')
        self.assert_problems()

    def test_9_system_exit_still_ends_the_program(self):
        async def background():
            raise SystemExit(3)

        async def main():
            asyncio.create_task(background())
            await self.forever()

        with self.assertRaises(SystemExit) as cm:
            self.run_program(main())
        self.assertEqual(cm.exception.code, 3)

    def test_9_error_of_main_at_the_end_is_logged(self):
        # Main is a task among others when something else has ended the run.
        async def background():
            await asyncio.sleep(1)
            raise SystemExit(3)

        async def main():
            asyncio.create_task(background())
            await self.fail_when_cancelled()

        with self.assertRaises(SystemExit) as cm:
            self.run_program(main())
        self.assertEqual(cm.exception.code, 3)
        self.assert_problems((self.AT_THE_END, MyError),
                             (self.NEVER_RETRIEVED, SystemExit))


@cases(off={'background-errors'})
class RaisedErrors(CaseUtils):
    """Of tasks that nobody awaits."""

    def run_failing(self, main, *kinds):
        with self.assertRaises(ExceptionGroup) as cm:
            self.run_program(main)
        self.assert_only(cm.exception, *kinds)
        self.assertEqual(self.get_problems(), [])

    def test_9_failure_cancels_main_and_is_raised(self):
        trace = []

        async def main():
            asyncio.create_task(self.failing())
            try:
                await self.forever()
            finally:
                trace.append('main')

        self.run_failing(main(), MyError)
        self.assertEqual(trace, ['main'])

    def test_9_failure_at_the_end_is_raised(self):
        async def main():
            asyncio.create_task(self.fail_when_cancelled())
            await self.settle()

        self.run_failing(main(), MyError)

    def test_9_error_of_main_is_raised_with_it(self):
        class MainError(Exception):
            pass

        async def main():
            asyncio.create_task(self.failing())
            try:
                await self.forever()
            finally:
                raise MainError

        self.run_failing(main(), MyError, MainError)

    def test_9_failure_at_the_close_of_a_runner_is_raised(self):
        async def main():
            asyncio.create_task(self.fail_when_cancelled())
            await self.settle()
            return 'main'

        with self.assertRaises(ExceptionGroup) as cm:
            with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                self.assertEqual(runner.run(main()), 'main')
        self.assert_only(cm.exception, MyError)


@cases(on={'unretrieved-only'}, off={'background-errors'})
class UnretrievedOnly(CaseUtils):

    def run_quietly(self, main):
        self.assertEqual(self.run_program(main), 'main')
        self.assertEqual(self.get_problems(), [])

    def test_9_failure_of_a_task_that_is_awaited(self):
        async def main():
            task = asyncio.create_task(self.failing())
            with self.assertRaises(MyError):
                await task
            await self.assert_awaits_work()
            return 'main'

        self.run_quietly(main())

    def test_9_failure_of_a_task_that_another_task_awaits(self):
        async def waits(task):
            with self.assertRaises(MyError):
                await task

        async def main():
            waiting = asyncio.create_task(
                waits(asyncio.create_task(self.failing())))
            await asyncio.sleep(10)
            self.assertIs(waiting.done(), True)
            return 'main'

        self.run_quietly(main())

    def test_9_failure_of_a_task_with_a_callback(self):
        errors = []

        async def main():
            task = asyncio.create_task(self.failing())
            task.add_done_callback(lambda task: errors.append(task.exception()))
            await asyncio.sleep(10)
            return 'main'

        self.run_quietly(main())
        self.assertEqual([type(exc) for exc in errors], [MyError])

    def test_9_failure_of_a_task_that_asyncio_waits_for(self):
        async def in_as_completed(task):
            async for done in asyncio.as_completed([task]):
                await done

        async def in_wait(task):
            done, _ = await asyncio.wait([task])
            await done.pop()

        async def main():
            for wait in (lambda task: asyncio.gather(task),
                         lambda task: asyncio.wait_for(task, 100),
                         asyncio.shield, in_as_completed, in_wait):
                task = asyncio.create_task(self.failing())
                with self.assertRaises(MyError):
                    await wait(task)
                await self.assert_awaits_work()
            results = await asyncio.gather(
                asyncio.create_task(self.failing()), return_exceptions=True)
            self.assertEqual([type(exc) for exc in results], [MyError])
            return 'main'

        self.run_quietly(main())

    def test_9_failure_at_the_end_of_a_task_that_is_awaited(self):
        async def waits(task):
            with self.assertRaises(MyError):
                await task

        async def main():
            asyncio.create_task(
                waits(asyncio.create_task(self.fail_when_cancelled())))
            await self.settle()
            return 'main'

        self.run_quietly(main())

    def test_9_failure_before_anybody_awaits(self):
        trace = []

        async def main():
            task = asyncio.create_task(self.failing())
            try:
                await asyncio.sleep(10)
            finally:
                trace.append(task.done())
                with self.assertRaises(MyError):
                    await task

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_program(main())
        self.assert_only(cm.exception, MyError)
        self.assertEqual(trace, [True])

    def test_9_failure_after_the_last_has_given_up(self):
        async def main():
            task = asyncio.create_task(self.failing(10))
            await asyncio.wait([task], timeout=1)
            await self.forever()

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_program(main())
        self.assert_only(cm.exception, MyError)

    def test_9_callback_that_was_removed_does_not_count(self):
        async def main():
            task = asyncio.create_task(self.failing())
            task.add_done_callback(print)
            task.remove_done_callback(print)
            await self.forever()

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_program(main())
        self.assert_only(cm.exception, MyError)

    def test_9_group_still_raises_for_a_member_that_is_awaited(self):
        async def main():
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    await group.create_task(self.failing())
            return 'main'

        self.run_quietly(main())


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


@cases(off={'background-errors', 'unretrieved-only'})
class RetrievedErrors(CaseUtils):

    def test_9_failure_of_a_task_that_is_awaited_is_raised(self):
        async def main():
            task = asyncio.create_task(self.failing())
            with self.assertRaises(MyError):
                await task
            return 'main'

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_program(main())
        self.assert_only(cm.exception, MyError)

    def test_9_failure_of_a_task_with_a_callback_is_raised(self):
        async def main():
            task = asyncio.create_task(self.failing())
            task.add_done_callback(lambda task: task.exception())
            await self.forever()

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_program(main())
        self.assert_only(cm.exception, MyError)


@cases()
class RootGroup(CaseUtils):
    """What no switch restores."""

    def test_9_background_task_is_not_collected(self):
        # Rule 7.1.
        async def main():
            # Nobody else refers to what it waits for.
            task = weakref.ref(asyncio.create_task(self.forever()))
            await self.settle()
            support.gc_collect()
            self.assertIsNotNone(task())

        self.run_program(main())
        self.assertEqual(self.get_problems(), [])

    def test_9_error_of_main_comes_bare(self):
        with self.assertRaises(MyError):
            self.run_program(self.failing())

    def test_9_errors_log(self):
        async def main():
            async with asyncio.TaskGroup() as group:
                for create_task in (asyncio.create_task,
                                    self.loop.create_task,
                                    group.create_task):
                    with self.subTest(create_task):
                        create_task(self.failing(), errors='log')
                        await asyncio.sleep(10)
                        problems.extend(self.get_problems())
                        self.problems.clear()
            return 'main'

        problems = []
        self.assertEqual(self.run_program(main()), 'main')
        self.assertEqual(
            [(message, type(exc)) for message, exc in problems],
            [('Unhandled exception in a background task', MyError)] * 3)

    def test_9_gather_hands_the_errors_on(self):
        # Rule 7.3.
        async def main():
            results = await asyncio.gather(self.failing(), self.failing(),
                                           return_exceptions=True)
            self.assertEqual([type(exc) for exc in results], [MyError] * 2)
            return 'main'

        self.assertEqual(self.run_program(main()), 'main')
        self.assertEqual(self.get_problems(), [])


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
        # Rule 7.3; stock logs it if nobody is there to get it.
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


@cases(on={'signals'})
class LegacySignals(SignalUtils):

    def test_9_sigint_cancels_the_main_task_only(self):
        trace = []

        async def background():
            try:
                await self.forever()
            finally:
                trace.append('background')

        async def main():
            task = asyncio.create_task(background())
            await self.settle()
            signal.raise_signal(signal.SIGINT)
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(1)
                trace.append(('main', task.done(), task.cancelling()))

        with self.assertRaises(KeyboardInterrupt):
            self.run_program(main())
        self.assertEqual(trace, [('main', False, 0), 'background'])

    def test_9_main_may_finish_all_the_same(self):
        async def main():
            signal.raise_signal(signal.SIGINT)
            await self.assert_cancelled(self.forever())
            return 'main'

        self.assertEqual(self.run_program(main()), 'main')

    def test_9_main_may_fail_all_the_same(self):
        async def main():
            signal.raise_signal(signal.SIGINT)
            await self.fail_when_cancelled()

        with self.assertRaises(MyError):
            self.run_program(main())

    def test_9_second_sigint_is_raised_where_the_code_stands(self):
        async def main():
            signal.raise_signal(signal.SIGINT)
            await self.assert_cancelled(self.forever())
            with self.assertRaises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            return 'main'

        self.assertEqual(self.run_program(main()), 'main')

    def test_9_sigint_when_main_is_done_is_raised_where_the_code_stands(self):
        trace = []

        async def background():
            try:
                await self.forever()
            finally:
                trace.append('background')
                signal.raise_signal(signal.SIGINT)
                trace.append('went on')

        async def main():
            asyncio.create_task(background())
            await self.settle()

        with self.assertRaises(KeyboardInterrupt):
            self.run_program(main())
        self.assertEqual(trace, ['background'])

    def test_9_sigint_when_main_is_done_does_not_wait_for_anybody(self):
        # As in stock, where one interrupt ends the program.
        trace = []

        async def stubborn():
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(10)
                    trace.append('stubborn')

        async def main():
            asyncio.create_task(stubborn())
            await self.settle()
            self.loop.call_later(1, signal.raise_signal, signal.SIGINT)

        # For it is never done.
        self.loop.set_exception_handler(lambda loop, context: None)
        with self.assertRaises(KeyboardInterrupt):
            self.run_program(main())
        self.assertEqual(trace, [])

    def test_9_sigint_when_main_is_done_and_a_task_that_does_not_end(self):
        async def stubborn():
            while True:
                try:
                    await self.forever()
                except asyncio.CancelledError:
                    pass

        async def main():
            asyncio.create_task(stubborn())
            await self.settle()
            self.loop.call_soon(self.loop.call_soon, signal.raise_signal,
                                signal.SIGINT)

        self.loop.set_exception_handler(lambda loop, context: None)
        self.loop.max_turns = 1_000
        with self.assertRaises(KeyboardInterrupt):
            self.run_program(main())

    def test_9_somebody_else_has_cancelled_main_too(self):
        async def main():
            asyncio.current_task().cancel()
            signal.raise_signal(signal.SIGINT)
            await self.forever()

        with self.assertRaises(asyncio.CancelledError):
            self.run_program(main())

    def test_9_sigterm_is_left_alone(self):
        async def main():
            return (signal.getsignal(signal.SIGTERM),
                    signal.getsignal(signal.SIGINT))

        sigterm, sigint = self.run_program(main())
        self.assertIs(sigterm, signal.SIG_DFL)
        self.assertIsNot(sigint, signal.default_int_handler)
        self.assertIs(signal.getsignal(signal.SIGINT),
                      signal.default_int_handler)

    def test_9_handler_of_the_program_is_left_alone(self):
        async def main():
            signal.raise_signal(signal.SIGINT)
            await self.assert_awaits_work()
            return 'main'

        received = []
        signal.signal(signal.SIGINT, lambda *args: received.append(args[0]))
        self.assertEqual(self.run_program(main()), 'main')
        self.assertEqual(received, [signal.SIGINT])


@cases(off={'signals'})
class NativeSignals(SignalUtils):

    def run_interrupted(self, signum):
        trace = []

        async def background():
            try:
                await self.forever()
            finally:
                trace.append('background')

        async def main():
            asyncio.create_task(background())
            await self.settle()
            signal.raise_signal(signum)
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.sleep(1)
                trace.append('main')

        try:
            self.run_program(main())
        finally:
            self.assertEqual(trace, ['background', 'main'])

    def test_9_sigint_cancels_all_tasks(self):
        with self.assertRaises(KeyboardInterrupt):
            self.run_interrupted(signal.SIGINT)

    @unittest.skipIf(sys.platform == 'win32', 'SIGTERM kills the process')
    def test_9_sigterm_cancels_all_tasks(self):
        with self.assertRaises(asyncio.Terminated):
            self.run_interrupted(signal.SIGTERM)


@cases()
class Legacy(CaseUtils):

    def test_9_legacy_returns_the_set_in_force(self):
        # By itself this shows that each child got what it was meant to get.
        self.assertIs(type(asyncio.legacy()), frozenset)
        self.assertIn(asyncio.legacy(), [names for _, names in SETS.values()])
        self.assertIn('legacy', asyncio.__all__)


def make_test(name):
    def test(self):
        self.check(name)
    return test


def make_tests():
    """Make the test cases that stand for the cases."""
    for set_name, (_, switches) in SETS.items():
        for cls in find_cases(switches):
            members = {name: make_test(name) for name in get_names(cls)}
            members.update(set_name=set_name, cls=cls, __module__=__name__)
            name = f'{cls.__name__}_{set_name}'
            globals()[name] = type(name, (CaseTests, unittest.TestCase),
                                   members)


make_tests()


class SetTests(unittest.TestCase):

    def test_9_each_child_has_its_switches(self):
        program = 'import asyncio; print(*sorted(asyncio.legacy()))'
        for set_name, (option, names) in SETS.items():
            with self.subTest(set_name):
                _, out, _ = assert_python_ok(
                    '-X', f'asyncio_legacy={option}', '-c', program)
                self.assertEqual(out.decode().split(), sorted(names))

    def test_9_each_case_belongs_to_a_set(self):
        for cls, on, off in CASES:
            with self.subTest(cls.__name__):
                self.assertTrue(any(
                    on <= names and not off & names
                    for _, names in SETS.values()))


class StartUpTests(unittest.TestCase):
    """How the switches are read."""

    def read(self, *options, **env):
        """Return what a child says of asyncio.legacy(), as a string."""
        _, out, err = assert_python_ok(
            *options, '-c',
            'import asyncio; print(*sorted(asyncio.legacy()))', **env)
        self.assertEqual(err, b'')
        return out.decode().strip()

    def test_9_option(self):
        self.assertEqual(self.read('-X', 'asyncio_legacy=shield'), 'shield')
        self.assertEqual(self.read('-X', 'asyncio_legacy=shield,edge-cancel'),
                         'edge-cancel shield')

    def test_9_environment(self):
        self.assertEqual(self.read(PYTHONASYNCIOLEGACY='shield'), 'shield')
        self.assertEqual(self.read(PYTHONASYNCIOLEGACY='shield,edge-cancel'),
                         'edge-cancel shield')

    def test_9_all(self):
        everything = ' '.join(sorted(SWITCHES))
        for value in 'all', 'all,shield', 'shield, all':
            with self.subTest(value):
                self.assertEqual(self.read('-X', f'asyncio_legacy={value}'),
                                 everything)
                self.assertEqual(self.read(PYTHONASYNCIOLEGACY=value),
                                 everything)

    def test_9_spaces_and_repeated_names(self):
        for value in ' shield ,signals', 'signals,shield,,signals,', '\tshield, signals\n':
            with self.subTest(value):
                self.assertEqual(self.read('-X', f'asyncio_legacy={value}'),
                                 'shield signals')
                self.assertEqual(self.read(PYTHONASYNCIOLEGACY=value),
                                 'shield signals')

    def test_9_empty_value(self):
        for option in 'asyncio_legacy', 'asyncio_legacy=', 'asyncio_legacy= , ':
            with self.subTest(option):
                self.assertEqual(self.read('-X', option), '')
        for value in '', ' , ':
            with self.subTest(value):
                self.assertEqual(self.read(PYTHONASYNCIOLEGACY=value), '')

    def test_9_none(self):
        self.assertEqual(self.read(), '')

    def test_9_option_wins_over_the_environment(self):
        for value in 'signals', 'no-such-switch':
            for option, names in {'asyncio_legacy=shield': 'shield',
                                  'asyncio_legacy=': '',
                                  'asyncio_legacy': ''}.items():
                with self.subTest(value=value, option=option):
                    self.assertEqual(
                        self.read('-X', option, PYTHONASYNCIOLEGACY=value),
                        names)

    def test_9_last_option_wins(self):
        # As for every -X option.
        self.assertEqual(self.read('-X', 'asyncio_legacy=shield',
                                   '-X', 'asyncio_legacy=signals'), 'signals')

    def test_9_environment_is_ignored_where_python_is_told_to(self):
        for value in 'signals', 'no-such-switch':
            for option in '-E', '-I':
                with self.subTest(value=value, option=option):
                    self.assertEqual(
                        self.read(option, PYTHONASYNCIOLEGACY=value), '')
                    self.assertEqual(
                        self.read(option, '-X', 'asyncio_legacy=shield',
                                  PYTHONASYNCIOLEGACY=value), 'shield')

    def test_9_another_option_that_begins_alike(self):
        self.assertEqual(self.read('-X', 'asyncio_legacy_shield=no-such-switch'),
                         '')

    def test_9_nothing_is_imported_without_a_switch(self):
        program = ('import sys; print("_asyncio_legacy" in sys.modules, '
                   '"asyncio" in sys.modules)')
        _, out, _ = assert_python_ok('-c', program)
        self.assertEqual(out.split(), [b'False', b'False'])
        _, out, _ = assert_python_ok('-E', '-c', program,
                                     PYTHONASYNCIOLEGACY='shield')
        self.assertEqual(out.split(), [b'False', b'False'])

    def test_9_asyncio_is_not_imported_with_a_switch(self):
        program = 'import sys; print("asyncio" in sys.modules)'
        _, out, _ = assert_python_ok('-X', 'asyncio_legacy=all', '-c', program)
        self.assertEqual(out.split(), [b'False'])

    def test_9_help(self):
        _, out, _ = assert_python_ok('--help-all')
        self.assertIn(b'-X asyncio_legacy=', out)
        self.assertIn(b'PYTHONASYNCIOLEGACY', out)


class UnknownNameTests(unittest.TestCase):

    def assert_refused(self, source, names, returncode, out, err):
        self.assertNotEqual(returncode, 0)
        # It says so before the program runs.
        self.assertEqual(out, b'')
        lines = err.decode().splitlines()
        self.assertEqual(len(lines), 1, lines)
        for word in (source, *names, *SWITCHES, 'all'):
            self.assertIn(word, lines[0])

    def check(self, *args, names=('no-such-switch',)):
        value = ','.join(['shield', *names])
        self.assert_refused('-X asyncio_legacy', names, *assert_python_failure(
            '-X', f'asyncio_legacy={value}', *args))
        self.assert_refused('PYTHONASYNCIOLEGACY', names, *assert_python_failure(
            *args, PYTHONASYNCIOLEGACY=value))

    def test_9_command(self):
        self.check('-c', 'print("ran")')

    def test_9_command_that_uses_asyncio(self):
        self.check('-c', 'import asyncio; print("ran")')

    def test_9_module(self):
        self.check('-m', 'this')

    def test_9_script(self):
        with os_helper.temp_dir() as folder:
            script = script_helper.make_script(folder, 'script', 'print("ran")')
            self.check(script)

    def test_9_folder(self):
        with os_helper.temp_dir() as folder:
            script_helper.make_script(folder, '__main__', 'print("ran")')
            self.check(folder)

    def test_9_stdin(self):
        for args in (), ('-',):
            with self.subTest(args):
                with spawn_python('-X', 'asyncio_legacy=no-such-switch', *args,
                                  stderr=subprocess.PIPE) as child:
                    out, err = child.communicate(b'print("ran")\n')
                self.assert_refused('-X asyncio_legacy', ['no-such-switch'],
                                    child.returncode, out, err)

    def test_9_interactive(self):
        with spawn_python('-i', '-q', '-X', 'asyncio_legacy=no-such-switch',
                          '-c', 'print("ran")',
                          stderr=subprocess.PIPE) as child:
            out, err = child.communicate(b'print("ran")\n')
        # This option makes a traceback of every way to exit.
        self.assert_refused('-X asyncio_legacy', ['no-such-switch'],
                            child.returncode, out, err.splitlines()[-1])

    def test_9_several_names(self):
        self.check('-c', 'print("ran")', names=['no-such-switch', 'another'])

    def test_9_near_misses(self):
        for name in 'Shield', 'edge_cancel', 'ALL', 'none', 'shield signals':
            with self.subTest(name):
                self.check('-c', 'print("ran")', names=[name])


@unittest.skipIf(sys.platform == 'win32',
                 'a process cannot be sent SIGINT or SIGTERM')
class SignalProcessTests(unittest.TestCase):
    """The signals come from outside, while the loop waits."""

    PROGRAM = textwrap.dedent('''\
        import asyncio
        import signal

        # Whoever runs the tests may have been told to ignore them (nohup).
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

        async def background():
            try:
                await asyncio.sleep(3600)
            finally:
                print('background ends')

        async def main():
            task = asyncio.create_task(background())
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(print, 'ready')
            try:
                await asyncio.sleep(3600)
            finally:
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                print('main ends', task.cancelling())

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print('KeyboardInterrupt')
        ''')

    def interrupt(self, option, signum):
        with spawn_python('-u', '-X', f'asyncio_legacy={option}',
                          '-c', self.PROGRAM, text=True) as child:
            self.assertEqual(child.stdout.readline(), 'ready\n')
            child.send_signal(signum)
            try:
                out, _ = child.communicate(timeout=support.SHORT_TIMEOUT)
            finally:
                child.kill()
        return child.returncode, out.splitlines()

    def test_9_sigint(self):
        for option in 'signals', 'all', 'edge-cancel,signals':
            with self.subTest(option):
                self.assertEqual(
                    self.interrupt(option, signal.SIGINT),
                    (0, ['main ends 0', 'background ends',
                         'KeyboardInterrupt']))

    def test_9_sigterm(self):
        for option in 'signals', 'all':
            with self.subTest(option):
                self.assertEqual(self.interrupt(option, signal.SIGTERM),
                                 (-signal.SIGTERM, []))

    def test_9_signals_without_the_switch(self):
        others = ','.join(name for name in SWITCHES if name != 'signals')
        returncode, out = self.interrupt(others, signal.SIGINT)
        self.assertEqual(returncode, 0)
        self.assertEqual(out, ['background ends', 'main ends 1',
                               'KeyboardInterrupt'])
        returncode, out = self.interrupt(others, signal.SIGTERM)
        self.assertEqual(returncode, 0)
        self.assertEqual(out, ['background ends', 'main ends 1',
                               'KeyboardInterrupt'])


if __name__ == '__main__':
    unittest.main()
