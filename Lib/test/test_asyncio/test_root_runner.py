"""Tests for repeated runs, by a Runner and by unittest (7.6).

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import contextvars
import unittest
import weakref
from test import support

from test.test_asyncio.root_utils import MESSAGE, matrix
from test.test_asyncio.scope_utils import MyBaseError, MyError


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class RepeatedRunTests:
    """Rule 7.6."""

    def test_7_6_background_tasks_live_on_between_calls(self):
        ticks = []

        async def ticker():
            try:
                while True:
                    await asyncio.sleep(1)
                    ticks.append('tick')
            finally:
                await self.assert_level()
                ticks.append('cancelled')

        async def start():
            asyncio.create_task(ticker())
            await asyncio.sleep(2.5)
            return 'first'

        with self.runner() as runner:
            self.assertEqual(runner.run(start()), 'first')
            self.assertEqual(ticks, ['tick'] * 2)
            support.gc_collect()
            self.assertEqual(runner.run(asyncio.sleep(3, 'second')), 'second')
            self.assertEqual(ticks, ['tick'] * 5)
        self.assertEqual(ticks, ['tick'] * 5 + ['cancelled'])

    def test_7_6_background_tasks_survive_an_error_of_main(self):
        for own in MyError(), asyncio.CancelledError(), MyBaseError():
            with self.subTest(own=own):
                trace = []

                async def main():
                    asyncio.create_task(self.background(trace))
                    await self.failing(own, 1)

                with self.runner() as runner:
                    with self.raises_bare(own):
                        runner.run(main())
                    runner.run(asyncio.sleep(10))
                    runner.run(self.assert_not_cancelled())
                    self.assertEqual(trace, [])
                self.assertEqual(trace, ['background'])

    def test_7_6_background_task_fails_in_a_later_call(self):
        error = MyError()
        trace = []

        async def start():
            asyncio.create_task(self.failing(error, 3))
            asyncio.create_task(self.background(trace))

        async def main():
            await self.assert_cancelled(self.forever())
            await self.assert_level()
            trace.append('main')

        with self.runner() as runner:
            runner.run(start())
            runner.run(asyncio.sleep(1))
            with self.raises_group(error):
                runner.run(main())
            self.assertEqual(trace, ['main', 'background'])

    def test_7_6_call_that_fails_waits_for_the_group(self):
        # And the next one starts afresh (trap 30).
        error = MyError()
        trace = []

        async def failing():
            asyncio.create_task(self.background(trace))
            asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())
            trace.append('main')

        async def fresh():
            self.assertEqual(self.all_tasks(), {asyncio.current_task()})
            await self.assert_not_cancelled()
            task = asyncio.create_task(asyncio.sleep(1, 'slept'))
            asyncio.create_task(self.background(trace, 'fresh'))
            await asyncio.sleep(2)
            return await task

        with self.runner() as runner:
            for _ in range(3):
                with self.raises_group(error):
                    runner.run(failing())
                self.assertEqual(trace, ['main', 'background'])
                trace.clear()
            self.assertEqual(runner.run(fresh()), 'slept')
            runner.run(self.assert_not_cancelled())
            self.assertEqual(trace, [])
        self.assertEqual(trace, ['fresh'])

    def test_7_6_call_that_fails_raises_the_errors_of_the_cleanup(self):
        errors = [MyError(i) for i in range(3)]

        async def main():
            asyncio.create_task(self.background([], error=errors[0]))
            asyncio.create_task(self.failing(errors[1], 1))
            try:
                await self.forever()
            finally:
                raise errors[2]

        with self.runner() as runner:
            with self.raises_group(*errors):
                runner.run(main())
            runner.run(self.assert_not_cancelled())

    def test_7_6_fresh_group_fails_again(self):
        # It is as good as the first one in every respect.
        first, second = MyError(), MyError()
        refs = []

        async def orphan():
            refs.append(weakref.ref(asyncio.current_task()))
            await self.forever()

        async def main(error):
            asyncio.create_task(orphan())
            await self.settle()
            support.gc_collect()
            self.assertIsNotNone(refs.pop()())
            asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())

        with self.runner() as runner:
            with self.raises_group(first):
                runner.run(main(first))
            with self.raises_group(second):
                runner.run(main(second))

    def test_7_6_context_is_shared_by_the_calls(self):
        var = contextvars.ContextVar('var', default='unset')

        async def failing():
            var.set('set')
            asyncio.create_task(self.failing(MyError(), 1))
            await self.forever()

        async def main():
            return var.get()

        with self.runner() as runner:
            with self.assertRaises(ExceptionGroup):
                runner.run(failing())
            self.assertEqual(runner.run(main()), 'set')

    def test_7_6_failure_while_no_call_runs(self):
        # The loop can be run by other means. The next call raises the error.
        error = MyError()
        trace = []

        async def main():
            trace.append('started')
            await self.assert_level()

        with self.runner() as runner:
            loop = runner.get_loop()
            loop.create_task(self.failing(error, 1))
            loop.create_task(self.background(trace))
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(self.forever())
            with self.raises_group(error):
                runner.run(main())
            self.assertIn('background', trace)
            runner.run(self.assert_not_cancelled())

    def test_7_6_exit_exception_of_main_is_not_reported_later(self):
        for error in SystemExit(3), KeyboardInterrupt():
            with self.subTest(error=error), self.runner() as runner:
                with self.raises_bare(error):
                    runner.run(self.failing(error))
                runner.run(asyncio.sleep(1))
                support.gc_collect()
                self.assertEqual(self.problems, [])

    def test_7_6_task_made_between_calls(self):
        error = MyError()

        with self.runner() as runner:
            runner.run(asyncio.sleep(1))
            runner.get_loop().create_task(self.failing(error, 1))
            with self.raises_group(error):
                runner.run(self.forever())
            runner.get_loop().create_task(self.background([], error=error))
            runner.run(asyncio.sleep(1))
            with self.raises_group(error):
                runner.close()


@matrix
class TestCaseTests:
    """Rule 7.6: IsolatedAsyncioTestCase."""

    def run_case(self, cls):
        """Run the tests of a class; return the result."""
        suite = unittest.TestSuite(
            map(cls, unittest.TestLoader().getTestCaseNames(cls)))
        result = unittest.TestResult()
        suite.run(result)
        self.assertEqual(result.failures, [])
        return result

    def make_case(self):
        trace = []

        class Case(unittest.IsolatedAsyncioTestCase):
            loop_factory = staticmethod(self.make_loop)

            async def asyncSetUp(self):
                trace.append('setUp')

            async def asyncTearDown(self):
                await asyncio.sleep(1)
                trace.append('tearDown')

        return Case, trace

    def assert_one_error(self, result, name):
        (case, text), = result.errors
        self.assertEqual(case._testMethodName, name)
        self.assertIn(MESSAGE, text)
        self.assertIn('MyError: reason', text)

    def test_B_test_that_calls_docleanups(self):
        Case, trace = self.make_case()

        class Tests(Case):
            def setUp(case):
                case.doCleanups()

            def test_1(case):
                case.doCleanups()

            def tearDown(case):
                case.doCleanups()

        result = self.run_case(Tests)
        self.assertEqual((result.testsRun, result.errors), (1, []))
        self.assertEqual(trace, ['setUp', 'tearDown'])

    def test_7_6_background_task_that_fails_during_a_test(self):
        # Trap 30.
        Case, trace = self.make_case()

        class Tests(Case):
            async def test_1_failing(case):
                asyncio.create_task(self.background(trace))
                asyncio.create_task(self.failing(MyError('reason'), 1))
                await self.assert_cancelled(self.forever())
                trace.append('test')

            async def test_2_clean(case):
                await self.assert_not_cancelled()
                trace.append('clean')

        result = self.run_case(Tests)
        self.assertEqual(result.testsRun, 2)
        self.assert_one_error(result, 'test_1_failing')
        self.assertEqual(trace, ['setUp', 'test', 'background', 'tearDown',
                                 'setUp', 'clean', 'tearDown'])

    def test_7_6_cleanups_run_after_a_background_failure(self):
        Case, trace = self.make_case()

        class Tests(Case):
            async def asyncSetUp(case):
                case.addAsyncCleanup(case.cleanup, 'outer')

            async def cleanup(case, name):
                await asyncio.sleep(1)
                trace.append(name)

            async def test(case):
                case.addAsyncCleanup(case.cleanup, 'inner')
                asyncio.create_task(self.failing(MyError('reason'), 1))
                await self.forever()

        self.assert_one_error(self.run_case(Tests), 'test')
        self.assertEqual(trace, ['tearDown', 'inner', 'outer'])

    def test_7_6_background_task_of_set_up(self):
        # It lives on in the test, which it makes fail.
        Case, trace = self.make_case()

        class Tests(Case):
            async def asyncSetUp(case):
                asyncio.create_task(self.failing(MyError('reason'), 5))
                case.background = asyncio.create_task(self.background(trace))

            async def test_1_short(case):
                await asyncio.sleep(1)
                self.assertIs(case.background.done(), False)
                trace.append('short')

            async def test_2_long(case):
                await asyncio.sleep(10)

        self.assert_one_error(self.run_case(Tests), 'test_2_long')
        self.assertEqual(trace, ['short', 'tearDown', 'background',
                                 'background', 'tearDown'])

    def test_7_6_background_task_that_fails_during_set_up(self):
        Case, trace = self.make_case()

        class Tests(Case):
            async def asyncSetUp(case):
                asyncio.create_task(self.failing(MyError('reason'), 1))
                await self.forever()

            async def test(case):
                trace.append('test')

        self.assert_one_error(self.run_case(Tests), 'test')
        self.assertEqual(trace, [])

    def test_7_6_background_task_that_fails_during_tear_down(self):
        Case, trace = self.make_case()

        class Tests(Case):
            async def test(case):
                asyncio.create_task(self.failing(MyError('reason'), 0.5))

        self.assert_one_error(self.run_case(Tests), 'test')
        self.assertEqual(trace, ['setUp'])

    def test_7_6_background_task_that_fails_in_its_cleanup(self):
        # An error of that test. The others run.
        Case, trace = self.make_case()

        class Tests(Case):
            async def test_1_failing(case):
                asyncio.create_task(self.background(
                    trace, error=MyError('reason')))
                await self.settle()
                trace.append('test')

            async def test_2_clean(case):
                await self.assert_not_cancelled()
                trace.append('clean')

        result = self.run_case(Tests)
        self.assertEqual(result.testsRun, 2)
        self.assert_one_error(result, 'test_1_failing')
        self.assertEqual(trace, ['setUp', 'test', 'tearDown', 'background',
                                 'setUp', 'clean', 'tearDown'])

    def test_7_6_test_fails_and_so_does_a_background_task(self):
        Case, trace = self.make_case()

        class Tests(Case):
            async def test(case):
                asyncio.create_task(self.failing(MyError('reason'), 1))
                try:
                    await self.forever()
                finally:
                    raise KeyError('test')

        result = self.run_case(Tests)
        self.assert_one_error(result, 'test')
        self.assertIn("KeyError: 'test'", result.errors[0][1])
        self.assertEqual(trace, ['setUp', 'tearDown'])

    def test_7_6_only_the_test_fails(self):
        Case, trace = self.make_case()

        class Tests(Case):
            async def test_1_error(case):
                asyncio.create_task(self.background(trace))
                raise KeyError('test')

            async def test_2_clean(case):
                asyncio.create_task(self.background(trace))

        result = self.run_case(Tests)
        (case, text), = result.errors
        self.assertEqual(case._testMethodName, 'test_1_error')
        self.assertNotIn(MESSAGE, text)
        self.assertEqual(trace, ['setUp', 'tearDown', 'background'] * 2)

    def test_7_6_debug(self):
        Case, trace = self.make_case()

        class Tests(Case):
            async def test_clean(case):
                asyncio.create_task(self.background(trace))

            async def test_failing(case):
                asyncio.create_task(self.background(trace, error=error))

        error = MyError()
        Tests('test_clean').debug()
        self.assertEqual(trace, ['setUp', 'tearDown', 'background'])
        with self.raises_group(error):
            Tests('test_failing').debug()

    def test_7_6_expected_failure(self):
        Case, trace = self.make_case()

        class Tests(Case):
            @unittest.expectedFailure
            async def test(case):
                asyncio.create_task(self.failing(MyError('reason'), 1))
                await self.forever()

        result = self.run_case(Tests)
        self.assertEqual(result.errors, [])
        self.assertEqual(len(result.expectedFailures), 1)
        self.assertEqual(trace, ['setUp', 'tearDown'])


class OtherLoopTests(unittest.TestCase):
    """Rules 5.8 and 7.6: what programs of stock do with loops."""

    def test_7_6_two_runners_of_one_loop(self):
        async def main(number):
            await asyncio.sleep(0)
            return number

        loop = asyncio.new_event_loop()
        first = asyncio.Runner(loop_factory=lambda: loop)
        second = asyncio.Runner(loop_factory=lambda: loop)
        self.assertEqual([first.run(main(1)), second.run(main(2)),
                          first.run(main(3))], [1, 2, 3])
        first.close()

    def test_5_8_loop_that_wraps_another(self):
        class Wrapper(asyncio.AbstractEventLoop):
            def __init__(self):
                self.inner = asyncio.SelectorEventLoop()

            def __getattribute__(self, name):
                get = super().__getattribute__
                if name in ('inner', 'run_until_complete', '__dict__',
                            '__class__'):
                    return get(name)
                return getattr(get('inner'), name)

            def run_until_complete(self, future):
                return self.inner.run_until_complete(future)

        async def main():
            await asyncio.sleep(0)
            return 'result'

        self.assertEqual(asyncio.run(main(), loop_factory=Wrapper), 'result')


if __name__ == '__main__':
    unittest.main()
