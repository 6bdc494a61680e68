"""Tests of which tasks belong to the root task group.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import contextvars
import threading
import types
import unittest
import weakref
from asyncio import tasks
from test import support
from test.support import threading_helper

from test.test_asyncio.root_utils import MESSAGE, VirtualLoop, for_each, matrix
from test.test_asyncio.scope_utils import Awaitable, ExternalTask, MyError


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class MembershipTests:
    """Rule 7.1."""

    def ways(self):
        """The ways to make a task without a group."""
        def create_task(coro):
            asyncio.create_task(coro)

        def loop_create_task(coro):
            asyncio.get_running_loop().create_task(coro)

        def with_arguments(coro):
            asyncio.create_task(coro, name='name', errors='propagate',
                                context=contextvars.copy_context())

        def ensure_future(coro):
            asyncio.ensure_future(coro)

        def ensure_future_of_an_awaitable(coro):
            asyncio.ensure_future(Awaitable(coro))

        def direct(coro):
            self.Task(coro, loop=asyncio.get_running_loop())

        def direct_eager(coro):
            self.Task(coro, loop=asyncio.get_running_loop(), eager_start=True)

        def in_a_callback(coro):
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.create_task, coro)

        def in_a_callback_from_outside(coro):
            loop = asyncio.get_running_loop()
            loop.call_soon_threadsafe(loop.create_task, coro)

        def in_a_done_callback(coro):
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            future.add_done_callback(lambda _: loop.create_task(coro))
            future.set_result(None)

        return (create_task, loop_create_task, with_arguments,
                ensure_future, ensure_future_of_an_awaitable, direct,
                direct_eager, in_a_callback, in_a_callback_from_outside,
                in_a_done_callback)

    @for_each('ways')
    def test_7_1_failure_of_a_task_is_raised(self, spawn):
        error = MyError()

        async def main():
            spawn(self.failing(error, 1))
            await self.assert_cancelled(self.forever())
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())

    @for_each('ways')
    def test_7_1_failure_before_the_first_await_is_raised(self, spawn):
        error = MyError()

        async def main():
            spawn(self.failing(error))
            await self.assert_cancelled(self.forever())
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())

    @for_each('ways')
    def test_7_1_task_is_cancelled_and_waited_for_at_the_end(self, spawn):
        trace = []

        async def main():
            spawn(self.background(trace))
            await self.settle()
            trace.append('main')
            return 'result'

        self.assertEqual(self.run_main(main()), 'result')
        self.assertEqual(trace, ['main', 'background'])

    @for_each('ways')
    def test_7_1_task_without_references_is_kept(self, spawn):
        # Trap 29: nor does anybody refer to what it waits for.
        trace = []

        async def orphan():
            trace.append(weakref.ref(asyncio.current_task()))
            try:
                await self.forever()
            finally:
                trace.append('cancelled')

        async def main():
            spawn(orphan())
            await self.settle()
            support.gc_collect()
            self.assertIsNotNone(trace[0]())
            self.assertEqual(trace[1:], [])

        self.run_main(main())
        self.assertEqual(trace[1:], ['cancelled'])

    def test_7_1_tasks_that_only_tasks_refer_to_are_kept(self):
        # Trap 29.
        refs = []
        trace = []

        async def orphan(depth):
            refs.append(weakref.ref(asyncio.current_task()))
            try:
                if depth:
                    await asyncio.create_task(orphan(depth - 1))
                else:
                    await self.forever()
            finally:
                trace.append(depth)

        async def main():
            asyncio.create_task(orphan(3))
            await self.settle()
            support.gc_collect()
            self.assertNotIn(None, [ref() for ref in refs])
            self.assertEqual(trace, [])

        self.run_main(main())
        self.assertEqual(trace, [0, 1, 2, 3])

    def test_7_1_tasks_made_before_the_loop_runs(self):
        def create_task(loop, coro):
            loop.create_task(coro)

        def ensure_future(loop, coro):
            asyncio.ensure_future(coro, loop=loop)

        def direct(loop, coro):
            self.Task(coro, loop=loop)

        for spawn in create_task, ensure_future, direct:
            with self.subTest(way=spawn.__name__):
                error = MyError()
                trace = []

                async def orphan():
                    trace.append(weakref.ref(asyncio.current_task()))
                    await self.forever()

                async def main():
                    await asyncio.sleep(1)
                    support.gc_collect()
                    self.assertIsNotNone(trace[0]())
                    await self.assert_cancelled(self.forever())

                with self.runner() as runner:
                    spawn(runner.get_loop(), self.failing(error, 2))
                    spawn(runner.get_loop(), orphan())
                    support.gc_collect()
                    with self.raises_group(error):
                        runner.run(main())

    def test_7_1_task_made_by_a_background_task(self):
        error = MyError()

        async def background():
            asyncio.create_task(self.failing(error, 1))

        async def main():
            asyncio.create_task(background())
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            self.run_main(main())

    def test_7_1_task_made_by_a_member_of_a_group_is_no_member_of_that(self):
        trace = []

        async def member():
            asyncio.create_task(self.background(trace))
            await asyncio.sleep(0)
            raise MyError

        async def main():
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(member())
            await self.settle()
            trace.append('main')

        self.run_main(main())
        self.assertEqual(trace, ['main', 'background'])

    def test_7_1_scope_of_the_spawner_does_not_matter(self):
        trace = []

        async def main():
            with asyncio.CancelScope() as scope:
                scope.cancel()
                asyncio.create_task(self.background(trace))
                await asyncio.sleep(0)
            await self.settle()
            trace.append('main')

        self.run_main(main())
        self.assertEqual(trace, ['main', 'background'])

    # Custom task factories and loops.

    def run_with_factory(self, factory, coro):
        def make_loop():
            loop = self.make_loop()
            loop.set_task_factory(factory)
            return loop
        return asyncio.run(coro, loop_factory=make_loop)

    def check_members(self, run):
        """Members fail, are cancelled, and are kept."""
        error = MyError()
        trace = []

        async def orphan():
            trace.append(weakref.ref(asyncio.current_task()))
            try:
                await self.forever()
            finally:
                trace.append('cancelled')

        async def main():
            asyncio.create_task(orphan())
            await self.settle()
            support.gc_collect()
            self.assertIsNotNone(trace[0]())
            asyncio.get_running_loop().create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            run(main())
        self.assertEqual(trace[1:], ['cancelled'])

    def test_7_1_factory_that_makes_tasks_of_a_subclass(self):
        class MyTask(self.Task):
            pass

        def factory(loop, coro, **kwargs):
            kwargs.setdefault('eager_start', self.eager)
            return MyTask(coro, loop=loop, **kwargs)

        def run(coro):
            self.run_with_factory(factory, coro)

        self.check_members(run)

    def test_7_1_factory_that_wraps_the_coroutine(self):
        async def wrap(coro):
            return await coro

        factory = self.task_factory()

        def wrapping(loop, coro, **kwargs):
            return factory(loop, wrap(coro), **kwargs)

        self.check_members(lambda coro: self.run_with_factory(wrapping, coro))

    def test_7_1_factory_that_makes_another_task_first(self):
        factory = self.task_factory()
        helpers = []
        trace = []

        def twice(loop, coro, **kwargs):
            # For main and the two others; not for what comes after them.
            if len(helpers) < 3:
                helpers.append(factory(loop, self.background(trace)))
            return factory(loop, coro, **kwargs)

        self.check_members(lambda coro: self.run_with_factory(twice, coro))
        self.assertEqual([helper.cancelled() for helper in helpers], [True] * 3)
        self.assertEqual(trace, ['background'] * 3)

    def test_7_1_helper_of_the_factory_fails(self):
        factory = self.task_factory()
        error = MyError()
        made = []

        def twice(loop, coro, **kwargs):
            if len(made) == 1:
                factory(loop, self.failing(error, 1))
            made.append(factory(loop, coro, **kwargs))
            return made[-1]

        async def main():
            asyncio.create_task(self.background([]))
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            self.run_with_factory(twice, main())

    def test_7_1_helper_of_the_factory_fails_while_main_is_made(self):
        # It is not what run() has asked for, so it is left to the factory.
        factory = self.task_factory()
        error = MyError()
        made = []

        def twice(loop, coro, **kwargs):
            if not made:
                made.append(factory(loop, self.failing(error, 1)))
            return factory(loop, coro, **kwargs)

        async def main():
            await asyncio.sleep(2)
            await self.assert_not_cancelled()
            return 'result'

        self.assertEqual(self.run_with_factory(twice, main()), 'result')
        self.assertIs(made[0].exception(), error)

    def test_7_1_factory_that_main_sets(self):
        error = MyError()

        class MyTask(self.Task):
            pass

        async def main():
            asyncio.get_running_loop().set_task_factory(
                lambda loop, coro, **kwargs: MyTask(coro, loop=loop, **kwargs))
            asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            self.run_main(main())

    def test_7_1_loop_that_makes_the_tasks_itself(self):
        task_class, eager = self.Task, self.eager

        class Loop(VirtualLoop):
            def create_task(self, coro, *, name=None, context=None):
                return task_class(coro, loop=self, name=name, context=context,
                                  eager_start=eager)

        self.check_members(lambda coro: asyncio.run(
            coro, loop_factory=lambda: self.make_loop(Loop)))

    def test_7_1_loop_that_wraps_create_task(self):
        class Loop(VirtualLoop):
            def create_task(self, coro, **kwargs):
                return super().create_task(coro, **kwargs)

        self.check_members(lambda coro: asyncio.run(
            coro, loop_factory=lambda: self.make_loop(Loop)))

    def test_7_1_tasks_that_the_loop_factory_makes(self):
        # They are older than the group, but ended with the others.
        trace = []

        def make_loop():
            loop = self.make_loop()
            made.append(loop.create_task(self.background(trace)))
            return loop

        async def main():
            await self.settle()
            trace.append('main')

        made = []
        asyncio.run(main(), loop_factory=make_loop)
        self.assertEqual(trace, ['main', 'background'])
        self.assertIs(made[0].cancelled(), True)

    # Tasks of an external kind.

    async def simple_background(self, trace, error=None):
        # It cannot have scopes.
        try:
            await self.forever()
        finally:
            trace.append('background')
            if error is not None:
                raise error

    def test_7_1_external_task_is_cancelled_and_waited_for_at_the_end(self):
        trace = []
        made = []

        async def main():
            with self.external_tasks():
                made.append(asyncio.create_task(self.simple_background(trace)))
            await self.settle()
            trace.append('main')

        self.run_main(main())
        self.assertEqual(trace, ['main', 'background'])
        self.assertIs(made[0].cancelled(), True)

    def test_7_1_external_task_that_fails_at_the_end(self):
        error = MyError()
        trace = []

        async def main():
            with self.external_tasks():
                made = asyncio.create_task(
                    self.simple_background(trace, error))
            await self.settle()
            self.assertIs(made.done(), False)

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, ['background'])

    def test_7_1_external_task_that_fails(self):
        error = MyError()

        async def main():
            with self.external_tasks():
                asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(asyncio.sleep(3600))
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())

    def test_7_1_external_task_while_another_one_fails(self):
        error = MyError()
        trace = []

        async def main():
            with self.external_tasks():
                task = asyncio.create_task(self.simple_background(trace))
            asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())
            trace.append('main')
            await self.assert_cancelled(task)

        with self.raises_group(error):
            self.run_main(main())
        self.assertCountEqual(trace, ['main', 'background'])

    def test_7_1_external_task_without_references_is_kept(self):
        # Trap 29.
        refs = []
        trace = []

        async def main():
            with self.external_tasks():
                refs.append(weakref.ref(
                    asyncio.create_task(self.simple_background(trace))))
            await self.settle()
            support.gc_collect()
            self.assertIsNotNone(refs[0]())
            self.assertEqual(trace, [])

        self.run_main(main())
        self.assertEqual(trace, ['background'])

    def run_external(self, coro):
        """Let even main be an external task."""
        cls = types.new_class('ExternalTask', (ExternalTask, self.Future))

        def make_loop():
            loop = self.make_loop()
            loop.set_task_factory(
                lambda loop, coro, **kwargs: cls(coro, loop))
            return loop
        return asyncio.run(coro, loop_factory=make_loop)

    def test_7_1_main_is_an_external_task(self):
        trace = []

        async def main():
            asyncio.create_task(self.simple_background(trace))
            await asyncio.sleep(1)
            trace.append('main')
            return 'result'

        self.assertEqual(self.run_external(main()), 'result')
        self.assertEqual(trace, ['main', 'background'])

    def test_7_1_main_is_an_external_task_that_fails(self):
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.simple_background(trace))
            await self.failing(error, 1)

        with self.raises_bare(error):
            self.run_external(main())
        self.assertEqual(trace, ['background'])

    def test_7_1_main_is_an_external_task_and_another_one_fails(self):
        errors = [MyError(i) for i in range(2)]

        async def main():
            asyncio.create_task(self.failing(errors[0], 1))
            await self.assert_cancelled(self.forever())
            raise errors[1]

        with self.raises_group(*errors):
            self.run_external(main())

    # Runners that are not closed.

    def test_7_1_runner_that_is_not_closed_is_collected(self):
        # As in stock: with what belongs to it, and a warning.
        for run in False, True:
            with self.subTest(run=run):
                runner = self.runner()
                loop = runner.get_loop()
                task = loop.create_task(self.forever())
                if run:
                    runner.run(asyncio.sleep(1))
                refs = [weakref.ref(loop), weakref.ref(task)]
                with self.assertWarnsRegex(ResourceWarning, 'unclosed event'):
                    del runner, loop, task
                    support.gc_collect()
                self.assertEqual([ref() for ref in refs], [None, None])
                self.take_problems()  # The task was pending.

    # Finished tasks.

    def test_7_1_finished_task_is_let_go_at_once(self):
        async def value():
            await asyncio.sleep(1)
            return 'value'

        async def logged():
            await asyncio.sleep(1)
            raise MyError

        async def main():
            refs = [
                weakref.ref(asyncio.create_task(value())),
                weakref.ref(asyncio.create_task(logged(), errors='log')),
                weakref.ref(self.Task(
                    value(), loop=asyncio.get_running_loop())),
                weakref.ref(asyncio.create_task(self.forever())),
            ]
            await self.settle()
            self.assertNotIn(None, [ref() for ref in refs])
            refs[-1]().cancel()
            await asyncio.sleep(2)
            self.assertEqual([ref() for ref in refs], [None] * len(refs))

        with support.disable_gc():
            self.run_main(main())
        self.assertEqual(len(self.take_problems()), 1)

    def test_7_1_task_that_finishes_in_its_first_step_is_let_go(self):
        async def value():
            return 'value'

        async def main():
            ref = weakref.ref(asyncio.create_task(value()))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.assertIsNone(ref())

        with support.disable_gc():
            self.run_main(main())

    def test_7_1_finished_tasks_of_a_failed_program_are_let_go(self):
        refs = []

        async def main():
            refs.append(weakref.ref(asyncio.create_task(self.background([]))))
            if self.Task is not tasks._PyTask:
                # As in stock, its frames keep one that was cancelled.
                refs.append(weakref.ref(asyncio.current_task()))
            refs.append(weakref.ref(
                asyncio.create_task(self.failing(MyError(), 1))))
            with contextlib.suppress(asyncio.CancelledError):
                await self.forever()

        with support.disable_gc():
            try:
                self.run_main(main())
            except ExceptionGroup:
                pass
            else:
                self.fail('not raised')
            self.assertEqual([ref() for ref in refs], [None] * len(refs))

    def test_7_1_many_tasks(self):
        count = 5_000
        ended = 0
        error = MyError()

        async def background():
            nonlocal ended
            try:
                await self.forever()
            finally:
                ended += 1

        async def main():
            for _ in range(count):
                asyncio.create_task(background())
            await self.settle()
            support.gc_collect()
            asyncio.create_task(self.failing(error, 1))
            await self.forever()

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(ended, count)


@matrix
class HiddenTests:
    """Rule 7.5."""

    def test_7_5_all_tasks_in_main(self):
        async def main():
            self.assertEqual(self.all_tasks(), {asyncio.current_task()})
            task = asyncio.create_task(self.forever())
            self.assertEqual(self.all_tasks(), {asyncio.current_task(), task})
            await self.settle()
            self.assertEqual(self.all_tasks(), {asyncio.current_task(), task})
            task.cancel()
            await asyncio.wait([task])
            self.assertEqual(self.all_tasks(), {asyncio.current_task()})

        self.run_main(main())

    def test_7_5_current_task_in_main(self):
        coro = None

        async def main():
            task = asyncio.current_task()
            self.assertIsInstance(task, self.Task)
            self.assertIs(task.get_coro(), coro)
            self.assertFalse(task._asyncio_awaited_by)

        coro = main()
        self.run_main(coro)

    def test_7_5_current_task_in_a_background_task(self):
        found = []

        async def background():
            found.append(asyncio.current_task())

        async def main():
            task = asyncio.create_task(background())
            # It has no hidden host, either.
            self.assertFalse(task._asyncio_awaited_by)
            await task
            self.assertEqual(found, [task])

        self.run_main(main())

    def test_7_5_no_current_task_outside_tasks(self):
        found = []

        async def main():
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: found.append(asyncio.current_task()))
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        self.run_main(main())
        self.assertEqual(found, [None])

    def test_7_5_all_tasks_while_a_failed_program_ends(self):
        found = []

        async def background():
            try:
                await self.forever()
            finally:
                found.append(self.all_tasks() - {asyncio.current_task()})
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(5)
                found.append(self.all_tasks() - {asyncio.current_task()})

        async def main():
            asyncio.create_task(background())
            asyncio.create_task(self.failing(MyError(), 1))
            try:
                await self.forever()
            finally:
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(1)

        coro = main()
        with self.assertRaises(ExceptionGroup):
            self.run_main(coro)
        self.assertEqual([[task.get_coro() for task in each] for each in found],
                         [[coro], []])

    def test_7_5_all_tasks_at_the_end(self):
        # The wait for the others is no task.
        found = []

        async def background():
            try:
                await self.forever()
            finally:
                found.append(self.all_tasks() - {asyncio.current_task()})
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(5)
                found.append(self.all_tasks() - {asyncio.current_task()})

        async def main():
            asyncio.create_task(background())
            await self.settle()

        self.run_main(main())
        self.assertEqual(found, [set(), set()])

    def test_7_5_names(self):
        numbers = []

        async def main():
            for task in asyncio.current_task(), asyncio.create_task(
                    self.background([])):
                prefix, number = task.get_name().split('-')
                self.assertEqual(prefix, 'Task')
                numbers.append(int(number))
            self.assertEqual(
                asyncio.create_task(self.forever(), name='x').get_name(), 'x')

        for _ in range(3):
            self.run_main(main())
        # As in stock: main, the background task, and two tasks at the end, in
        # which asynchronous generators and the executor are shut down.
        first = numbers[0]
        self.assertEqual(numbers, [first, first + 1, first + 4, first + 5,
                                   first + 8, first + 9])


@matrix
class NoRunnerTests:
    """Rule 7.7."""

    def run_main(self, coro):
        loop = self.make_loop()
        try:
            return loop.run_until_complete(coro)
        finally:
            loop.close()

    def test_7_7_failure_is_logged_when_it_is_collected(self):
        error = MyError()

        async def main():
            task = asyncio.create_task(self.failing(error, 1))
            await asyncio.sleep(2)
            await self.assert_not_cancelled()
            self.assertEqual(self.problems, [])
            del task
            support.gc_collect()
            self.assertEqual(
                self.take_problems(),
                [('Task exception was never retrieved', error)])
            return 'result'

        self.assertEqual(self.run_main(main()), 'result')

    def test_7_7_failure_that_is_retrieved(self):
        error = MyError()

        async def main():
            for kwargs in {}, {'errors': 'propagate'}:
                task = asyncio.create_task(self.failing(error, 1), **kwargs)
                with self.raises_bare(error):
                    await task
                await self.assert_not_cancelled()

        self.run_main(main())
        support.gc_collect()

    def test_7_7_reference_is_weak(self):
        trace = []

        async def orphan():
            trace.append(weakref.ref(asyncio.current_task()))
            await self.forever()

        async def main():
            asyncio.create_task(orphan())
            await self.settle()
            support.gc_collect()
            self.assertIsNone(trace[0]())

        self.run_main(main())
        self.assertEqual(
            self.take_problems(),
            [('Task was destroyed but it is pending!', None)])

    def test_7_7_tasks_are_left_alone_when_main_is_done(self):
        trace = []
        tasks = []

        async def main():
            tasks.append(asyncio.create_task(self.background(trace)))
            await self.settle()

        loop = self.make_loop()
        try:
            loop.run_until_complete(main())
            self.assertIs(tasks[0].done(), False)
            self.assertEqual(tasks[0].cancelling(), 0)
            self.assertEqual(trace, [])
            tasks[0].cancel()
            with self.assertRaises(asyncio.CancelledError):
                loop.run_until_complete(tasks[0])
        finally:
            loop.close()
        self.assertEqual(trace, ['background'])

    def test_7_7_task_group(self):
        error = MyError()

        async def main():
            with self.assertRaises(ExceptionGroup) as cm:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.failing(error, 1))
                    await self.forever()
            self.assertEqual(cm.exception.exceptions, (error,))
            await self.assert_not_cancelled()

        self.run_main(main())

    def test_7_7_abandoned_task_group(self):
        # Its tasks belong to no group.
        error = MyError()

        async def host():
            group = asyncio.TaskGroup()
            await group.__aenter__()
            return group.create_task(self.failing(error, 1))

        async def main():
            task = await asyncio.create_task(host())
            with self.raises_bare(error):
                await task
            await self.assert_not_cancelled()

        self.run_main(main())

    def test_7_7_errors_log(self):
        error = MyError()

        async def main():
            for create_task in (asyncio.create_task,
                                asyncio.get_running_loop().create_task):
                task = create_task(self.failing(error, 1), errors='log')
                await asyncio.sleep(2)
                (message, exc), = self.take_problems()
                self.assertIs(exc, error)
                self.assertNotIn('never retrieved', message)
                del task
                support.gc_collect()
                self.assertEqual(self.problems, [])
                await self.assert_not_cancelled()

        self.run_main(main())

    def test_7_7_errors_log_for_an_external_task(self):
        error = MyError()

        async def main():
            with self.external_tasks():
                asyncio.create_task(self.failing(error, 1), errors='log')
            await asyncio.sleep(2)
            support.gc_collect()

        self.run_main(main())
        (message, exc), = self.take_problems()
        self.assertIs(exc, error)
        self.assertNotIn('never retrieved', message)

    def test_7_7_loop_beside_a_runner(self):
        # The group belongs to the other loop.
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.failing(error, 1))
            await asyncio.sleep(2)
            await self.assert_not_cancelled()
            return 'result'

        with self.runner() as runner:
            runner.get_loop().create_task(self.background(trace))
            runner.run(asyncio.sleep(1))
            self.assertEqual(self.run_main(main()), 'result')
            support.gc_collect()
            self.assertEqual(
                self.take_problems(),
                [('Task exception was never retrieved', error)])
            runner.run(self.assert_not_cancelled())
            self.assertEqual(trace, [])
        self.assertEqual(trace, ['background'])

    def test_7_7_two_runners_in_turn(self):
        error = MyError()
        trace = []
        with self.runner() as one, self.runner() as other:
            one.get_loop().create_task(self.background(trace, 'one'))
            other.get_loop().create_task(self.background(trace, 'other'))
            other.get_loop().create_task(self.failing(error, 1))
            one.run(asyncio.sleep(2))
            with self.raises_group(error):
                other.run(self.forever())
            self.assertEqual(trace, ['other'])
            one.run(self.assert_not_cancelled())
            other.run(self.assert_not_cancelled())
        self.assertEqual(trace, ['other', 'one'])

    @threading_helper.requires_working_threading()
    def test_7_7_runners_in_several_threads(self):
        count = 4
        barrier = threading.Barrier(count, timeout=support.LONG_TIMEOUT)
        errors = [MyError(i) for i in range(count)]
        found = [None] * count
        traces = [[] for _ in range(count)]

        async def main(i):
            asyncio.create_task(self.background(traces[i]))
            asyncio.create_task(self.failing(errors[i], 1))
            barrier.wait()
            await self.assert_cancelled(self.forever())
            barrier.wait()
            await self.assert_level()

        def in_thread(i):
            try:
                asyncio.run(main(i), loop_factory=self.make_loop)
            except BaseException as exc:
                found[i] = exc

        threads = [threading.Thread(target=in_thread, args=(i,))
                   for i in range(count)]
        with threading_helper.start_threads(threads):
            pass
        for exc, error in zip(found, errors):
            self.check_group(exc, error)
        self.assertEqual(traces, [['background']] * count)


class PlainTests(unittest.TestCase):
    """asyncio.run() as it is used."""

    def test_7_2_run(self):
        async def background():
            await asyncio.sleep(0)
            raise MyError

        async def main():
            asyncio.create_task(background())
            await asyncio.Event().wait()

        with self.assertRaises(ExceptionGroup) as cm:
            asyncio.run(main())
        self.assertEqual(cm.exception.message, MESSAGE)
        self.assertEqual([type(exc) for exc in cm.exception.exceptions],
                         [MyError])

    def test_7_4_run(self):
        trace = []

        async def background():
            try:
                await asyncio.Event().wait()
            finally:
                trace.append('background')

        async def main():
            asyncio.create_task(background())
            return 'result'

        self.assertEqual(asyncio.run(main(), debug=True), 'result')
        self.assertEqual(trace, ['background'])


if __name__ == '__main__':
    unittest.main()
