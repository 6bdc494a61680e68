"""Tests for create_task(errors="log").

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextvars
import unittest
import weakref
from test import support
from test.support import warnings_helper

from test.test_asyncio.root_utils import VirtualLoop, for_each, matrix
from test.test_asyncio.scope_utils import MyBaseError, MyError


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class LogTests:
    """Section 9: create_task(errors="log")."""

    def on_problem(self, loop, context):
        self.contexts.append(context)
        super().on_problem(loop, context)

    def setUp(self):
        self.contexts = []
        super().setUp()

    def check_logged(self, *errors):
        """These have been logged once each, and are not reported again."""
        contexts = self.contexts[:]
        self.contexts.clear()
        self.take_problems()
        self.assertEqual([context['exception'] for context in contexts],
                         list(errors))
        for context in contexts:
            self.assertIs(context['task'].exception(), context['exception'])
            self.assertIsInstance(context['message'], str)
        contexts = context = None
        support.gc_collect()
        self.assertEqual(self.problems, [])

    def ways(self):
        def create_task(group, coro, **kwargs):
            return asyncio.create_task(coro, errors='log', **kwargs)

        def loop_create_task(group, coro, **kwargs):
            loop = asyncio.get_running_loop()
            return loop.create_task(coro, errors='log', **kwargs)

        def in_a_group(group, coro, **kwargs):
            return group.create_task(coro, errors='log', **kwargs)

        return create_task, loop_create_task, in_a_group

    async def start(self, spawn, *coros, **kwargs):
        """Call *spawn* for each in a TaskGroup that is left."""
        async with asyncio.TaskGroup() as group:
            for coro in coros:
                spawn(group, coro, **kwargs)
            # For those that are not in the group.
            await asyncio.sleep(5)

    @for_each('ways')
    def test_9_failure_is_logged(self, spawn):
        for delay in None, 0, 1:
            error = MyError()

            async def main():
                asyncio.create_task(self.forever())
                await self.start(spawn, self.failing(error, delay),
                                 asyncio.sleep(2))
                await self.assert_not_cancelled()
                return 'result'

            self.assertEqual(self.run_main(main()), 'result')
            self.check_logged(error)

    @for_each('ways')
    def test_9_several_failures(self, spawn):
        errors = [MyError(), MyBaseError(), ExceptionGroup('', [MyError()])]

        async def main():
            await self.start(spawn, *[
                self.failing(error, i) for i, error in enumerate(errors)])
            await self.assert_not_cancelled()

        self.run_main(main())
        self.check_logged(*errors)

    @for_each('ways')
    def test_9_task_that_is_awaited(self, spawn):
        error = MyError()

        async def main():
            async with asyncio.TaskGroup() as group:
                task = spawn(group, self.failing(error, 1))
                with self.raises_bare(error):
                    await task
            await self.assert_not_cancelled()

        self.run_main(main())
        self.check_logged(error)

    @for_each('ways')
    def test_9_result_and_cancellation_are_not_logged(self, spawn):
        async def main():
            async with asyncio.TaskGroup() as group:
                task = spawn(group, asyncio.sleep(1, 'slept'))
                other = spawn(group, self.forever())
                self.assertEqual(await task, 'slept')
                other.cancel()
                await asyncio.wait([other])
                self.assertIs(other.cancelled(), True)

        self.run_main(main())
        self.check_logged()

    @for_each('ways')
    def test_9_what_the_loop_raises_is_not_logged(self, spawn):
        for error in KeyboardInterrupt(), SystemExit(3):
            async def main():
                await self.start(spawn, self.failing(error, 1))

            with self.raises_bare(error):
                self.run_main(main())
            self.check_logged()

    @for_each('ways')
    def test_9_other_arguments_are_passed_on(self, spawn):
        var = contextvars.ContextVar('var', default='unset')

        error = MyError()
        context = contextvars.copy_context()
        context.run(var.set, 'set')
        found = []

        async def failing():
            found.append(asyncio.current_task().get_name())
            found.append(var.get())
            raise error

        async def main():
            await self.start(
                spawn, failing(), name='name', context=context)

        self.run_main(main())
        self.assertEqual(found, ['name', 'set'])
        self.check_logged(error)

    @for_each('ways')
    def test_9_failure_at_the_end(self, spawn):
        # With those of others, which are raised.
        errors = [MyError(i) for i in range(3)]
        trace = []

        async def background():
            async with asyncio.TaskGroup() as group:
                spawn(group, self.background(trace, error=errors[0]))
                await self.forever()

        async def main():
            asyncio.create_task(background())
            asyncio.create_task(self.background(trace, error=errors[1]))
            await self.settle()
            raise errors[2]

        with self.raises_group(*errors[1:]):
            self.run_main(main())
        self.assertEqual(trace, ['background'] * 2)
        self.check_logged(errors[0])

    def test_9_failure_in_the_tick_in_which_main_is_done(self):
        error = MyError()

        async def background(future):
            await future
            raise error

        async def main():
            loop = asyncio.get_running_loop()
            futures = [loop.create_future() for _ in range(3)]
            for future in futures[::2]:
                asyncio.create_task(background(future), errors='log')
            await self.settle()
            for future in futures:
                loop.call_later(1, future.set_result, None)
            await futures[1]
            return 'result'

        self.assertEqual(self.run_main(main()), 'result')
        self.check_logged(error, error)

    @for_each('ways')
    def test_9_task_is_a_member_all_the_same(self, spawn):
        # It is cancelled and waited for.
        trace = []

        async def background():
            async with asyncio.TaskGroup() as group:
                spawn(group, self.background(trace))
                await self.forever()

        async def main():
            asyncio.create_task(background())
            await self.settle()
            support.gc_collect()
            trace.append('main')

        self.run_main(main())
        self.assertEqual(trace, ['main', 'background'])
        self.check_logged()

    def test_9_task_without_references_is_kept(self):
        # Trap 29.
        trace = []

        async def orphan():
            trace.append(weakref.ref(asyncio.current_task()))
            try:
                await self.forever()
            finally:
                trace.append('cancelled')

        async def main():
            asyncio.create_task(orphan(), errors='log')
            await self.settle()
            support.gc_collect()
            self.assertIsNotNone(trace[0]())

        self.run_main(main())
        self.assertEqual(trace[1:], ['cancelled'])
        self.check_logged()

    @for_each('ways')
    def test_9_task_made_by_such_a_task_is_of_the_ordinary_kind(self, spawn):
        error = MyError()

        async def spawning():
            asyncio.create_task(self.failing(error, 1))

        async def main():
            await self.start(spawn, spawning())

        with self.raises_group(error):
            self.run_main(main())
        self.check_logged()

    def test_9_factory_that_makes_another_task_first(self):
        # The helper is left to the factory.
        helper, error = MyError('helper'), MyError('task')
        made = []

        async def main():
            loop = asyncio.get_running_loop()
            factory = self.task_factory()

            def twice(loop, coro, **kwargs):
                made.append(factory(loop, self.failing(helper, 2)))
                return factory(loop, coro, **kwargs)

            loop.set_task_factory(twice)
            asyncio.create_task(self.failing(error, 1), errors='log')
            loop.set_task_factory(factory)
            await asyncio.sleep(1.5)
            self.check_logged(error)
            await asyncio.sleep(1)
            await self.assert_not_cancelled()

        self.run_main(main())
        self.assertIs(made[0].exception(), helper)
        self.check_logged()

    @for_each('ways')
    def test_9_factory_that_fails(self, spawn):
        # The next task is not taken for the one that was not made.
        error = MyError()

        def factory(loop, coro, **kwargs):
            coro.close()
            raise KeyError

        async def main():
            loop = asyncio.get_running_loop()
            saved = loop.get_task_factory()
            async with asyncio.TaskGroup() as group:
                loop.set_task_factory(factory)
                with self.assertRaises(KeyError):
                    spawn(group, self.forever())
                loop.set_task_factory(saved)
            asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            self.run_main(main())
        self.check_logged()

    def test_9_group_goes_on(self):
        errors = [MyError(i) for i in range(2)]
        trace = []

        async def main():
            async with asyncio.TaskGroup() as group:
                group.create_task(self.failing(errors[0], 1), errors='log')
                group.create_task(self.background(trace))
                await asyncio.sleep(5)
                self.assertEqual(trace, [])
                self.check_logged(errors[0])
                # The others are of the ordinary kind.
                group.create_task(self.failing(errors[1], 1))
                await self.assert_cancelled(self.forever())

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_main(main())
        self.assertEqual(cm.exception.exceptions, (errors[1],))
        self.assertEqual(trace, ['background'])
        self.check_logged()

    def test_9_errors_propagate_is_the_default(self):
        for in_group in False, True:
            with self.subTest(in_group=in_group):
                error = MyError()

                async def main():
                    async with asyncio.TaskGroup() as group:
                        create_task = (group.create_task if in_group
                                       else asyncio.create_task)
                        create_task(
                            self.failing(error, 1), errors='propagate')
                        await self.forever()

                with self.assertRaises(ExceptionGroup) as cm:
                    self.run_main(main())
                self.assertEqual(cm.exception.exceptions, (error,))
                self.check_logged()

    def test_9_bad_value(self):
        async def main():
            loop = asyncio.get_running_loop()
            async with asyncio.TaskGroup() as group:
                for create_task in (asyncio.create_task, loop.create_task,
                                    group.create_task):
                    for errors in 'ignore', '', None, True, 1, ['log']:
                        with self.subTest(
                                create_task=create_task, errors=errors):
                            with self.assertRaisesRegex(ValueError, 'errors'):
                                create_task(self.forever(), errors=errors)
                            with self.assertRaisesRegex(ValueError, 'errors'):
                                create_task(self.forever(), errors=errors,
                                            name='name')
            self.assertEqual(self.all_tasks(), {asyncio.current_task()})
            await self.assert_not_cancelled()

        # No "coroutine was never awaited", either.
        with warnings_helper.check_no_warnings(
                self, category=RuntimeWarning, force_gc=True):
            self.run_main(main())

    def test_9_bad_value_without_a_group_to_put_it_in(self):
        group = asyncio.TaskGroup()
        with warnings_helper.check_no_warnings(
                self, category=RuntimeWarning, force_gc=True):
            coro = self.forever()
            with self.assertRaises(RuntimeError):
                group.create_task(coro, errors='log')
            with self.assertRaises((RuntimeError, ValueError)):
                group.create_task(self.forever(), errors='ignore')

    def test_9_factory_does_not_get_the_argument(self):
        error = MyError()
        found = []

        async def main():
            loop = asyncio.get_running_loop()
            factory = self.task_factory()

            def spying(loop, coro, **kwargs):
                found.append(kwargs)
                return factory(loop, coro, **kwargs)

            loop.set_task_factory(spying)
            async with asyncio.TaskGroup() as group:
                for create_task in (asyncio.create_task, loop.create_task,
                                    group.create_task):
                    create_task(asyncio.sleep(1), errors='propagate')
                    create_task(self.failing(error, 1), errors='log')
                await asyncio.sleep(2)
            loop.set_task_factory(factory)

        self.run_main(main())
        self.assertEqual(found, [{}] * 6)
        self.check_logged(*[error] * 3)

    def check_external(self, spawn):
        error = MyError()

        async def main():
            async with asyncio.TaskGroup() as group:
                with self.external_tasks():
                    spawn(group, self.failing(error, 1))
                await asyncio.sleep(2)
            await self.assert_not_cancelled()

        self.run_main(main())
        self.check_logged(error)

    def test_9_external_task_in_a_group(self):
        self.check_external(self.ways()[-1])

    def test_9_external_task(self):
        self.check_external(self.ways()[0])

    def test_9_member_of_an_abandoned_group(self):
        error = MyError()

        async def host():
            group = asyncio.TaskGroup()
            await group.__aenter__()
            group.create_task(self.failing(error, 1), errors='log')

        async def main():
            await asyncio.create_task(host())
            await asyncio.sleep(2)
            await self.assert_not_cancelled()

        self.run_main(main())
        self.check_logged(error)

    def test_9_loop_that_knows_no_errors(self):
        task_class, eager = self.Task, self.eager

        class Loop(VirtualLoop):
            def create_task(self, coro, *, name=None, context=None):
                return task_class(coro, loop=self, name=name, context=context,
                                  eager_start=eager)

        error = MyError()

        async def main():
            task = asyncio.create_task(
                self.failing(error, 1), errors='log', name='name')
            self.assertEqual(task.get_name(), 'name')
            task = asyncio.create_task(
                asyncio.sleep(1), errors='propagate', name='other')
            self.assertEqual(task.get_name(), 'other')
            async with asyncio.TaskGroup() as group:
                group.create_task(self.failing(error, 2), errors='log')
                group.create_task(asyncio.sleep(5))
            await self.assert_not_cancelled()
            return 'result'

        self.assertEqual(
            asyncio.run(main(), loop_factory=lambda: self.make_loop(Loop)),
            'result')
        self.check_logged(error, error)

    def test_9_handler_that_fails(self):
        # It is reported by the loop, as ever, and harms no task.
        async def main():
            loop = asyncio.get_running_loop()

            def handler(loop, context):
                called.append(context['exception'])
                raise KeyError

            loop.set_exception_handler(handler)
            asyncio.create_task(self.failing(error, 1), errors='log')
            await asyncio.sleep(2)
            await self.assert_not_cancelled()

        error = MyError()
        called = []
        with self.assertLogs('asyncio', 'ERROR'):
            self.run_main(main())
        self.assertEqual(called, [error])

    def test_9_default_handler_logs_it_once(self):
        async def main():
            asyncio.get_running_loop().set_exception_handler(None)
            asyncio.create_task(self.failing(MyError('reason'), 1),
                                errors='log')
            await asyncio.sleep(2)
            support.gc_collect()

        with self.assertLogs('asyncio', 'ERROR') as cm:
            self.run_main(main())
        text, = cm.output
        self.assertIn('MyError: reason', text)


if __name__ == '__main__':
    unittest.main()
