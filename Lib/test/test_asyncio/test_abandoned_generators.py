"""Tests for the closing of asynchronous generators: asyncio/asyncgens.py.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import threading
import unittest
from asyncio import rootgroup
from asyncio.log import logger
from test import support
from unittest import mock

from test.test_asyncio import scope_utils
from test.test_asyncio.scope_utils import MyError, needs_level_cancel


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


class OtherLoop(scope_utils.VirtualTimeLoop):
    """Closes generators as loops do that are not asyncio's own, and does not
    tell if it is idle."""

    _is_idle = None

    def _asyncgen_finalizer_hook(self, agen):
        self._asyncgens.discard(agen)
        if not self.is_closed():
            self.call_soon_threadsafe(self.create_task, agen.aclose())


class GeneratorTestCase(scope_utils.VariantMixin, unittest.TestCase):
    """The variants also say on which kind of loop a test runs."""

    make = scope_utils.VirtualTimeLoop

    def setUp(self):
        self.problems = []
        self.lines = []
        self.trace = []
        self.kept = []
        handler = logging.Handler()
        handler.emit = lambda record: self.lines.append(record.getMessage())
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)
        self.addCleanup(setattr, logger, 'propagate', logger.propagate)
        logger.propagate = False

    def make_loop(self, cls=None):
        self.loop = loop = (cls or self.make)()
        self.set_task_factory(loop)
        loop.set_exception_handler(
            lambda loop, context: self.problems.append(
                (context['message'], context.get('exception'))))
        return loop

    def make_real_loop(self):
        return self.make_loop(asyncio.SelectorEventLoop)

    def run_main(self, coro):
        return asyncio.run(coro, loop_factory=self.make_loop)

    def run_for(self, seconds, coro):
        """Run it; it must take that long on the clock of the loop."""
        clock = []

        class Loop(self.make):
            def close(self):
                clock.append(self.time())
                super().close()

        loop = self.make_loop(Loop)
        start = loop.time()
        result = asyncio.run(coro, loop_factory=lambda: loop)
        self.assertAlmostEqual(clock[0] - start, seconds, delta=0.5)
        return result

    # How much time a cleanup gets that waits for nothing that can happen.
    @property
    def idle(self):
        return 5 if self.make is OtherLoop else 0

    async def forever(self):
        await asyncio.get_running_loop().create_future()

    async def generator(self, cleanup):
        try:
            yield 1
            yield 2
        finally:
            await cleanup()

    async def give_up(self, cleanup):
        async for _ in self.generator(cleanup):
            break
        gc.collect()

    async def keep(self, cleanup):
        self.kept.append(self.generator(cleanup))
        await anext(self.kept[-1])

    ways = 'give_up', 'keep'

    def for_ways(self):
        for way in self.ways:
            for found in self.trace, self.problems, self.lines, self.kept:
                found.clear()
            yield getattr(self, way)


def make_variants():
    for loop in scope_utils.VirtualTimeLoop, OtherLoop:
        for variant in scope_utils.TASK_VARIANTS:
            yield type(f'{variant.__name__}_{loop.__name__}', (variant,),
                       {'make': loop})


matrix = scope_utils.matrix(case=GeneratorTestCase,
                            variants=list(make_variants()))


@matrix
class ClosingTests:

    def test_7_8_thousands(self):
        """Their end takes linear time: they are not counted for each of them."""
        async def main():
            for _ in range(count):
                await self.give_up(cleanup)
            support.gc_collect()

        async def cleanup():
            started.append(None)
            await asyncio.sleep(1 + len(started) / count)
            self.trace.append('ended')

        def count_looks(group, look=rootgroup.RootGroup._all_tasks):
            nonlocal looks
            looks += 1
            return look(group)

        count, looks, started = 100, 0, []
        with mock.patch.object(rootgroup.RootGroup, '_all_tasks', count_looks):
            self.run_main(main())
        self.assertEqual(self.trace, ['ended'] * count)
        self.assertLess(looks, count // 2)

    def test_7_8_time_to_finish(self):
        async def cleanup():
            await asyncio.sleep(4)
            # What the cleanup starts is not cancelled either.
            await asyncio.gather(asyncio.sleep(0.1), asyncio.sleep(0.1))
            self.trace.append('cleaned up')

        async def main(way):
            await way(cleanup)
            return 'result'

        for way in self.for_ways():
            self.assertEqual(self.run_main(main(way)), 'result')
            self.assertEqual(self.trace, ['cleaned up'])
            self.assertEqual(self.problems + self.lines, [])

    def test_7_8_main_fails_or_a_background_task_does(self):
        async def cleanup():
            for _ in range(3):
                await asyncio.sleep(1)
            self.trace.append('cleaned up')

        async def fail():
            raise MyError

        async def fail_in_background():
            asyncio.create_task(fail())
            await self.forever()

        async def main(way, end):
            await way(cleanup)
            await end()

        for end in fail, fail_in_background:
            for way in self.for_ways():
                with self.assertRaises((MyError, ExceptionGroup)):
                    self.run_main(main(way, end))
                self.assertEqual(self.trace, ['cleaned up'])
                self.assertEqual(self.problems, [])

    @needs_level_cancel
    def test_7_8_waits_for_what_never_happens(self):
        async def cleanup():
            try:
                await self.forever()
            except asyncio.CancelledError:
                # Level-triggered: each await that has to wait raises.
                for _ in range(3):
                    with self.assertRaises(asyncio.CancelledError):
                        await asyncio.sleep(1)
                self.trace.append('cancelled')
                raise

        async def main(way):
            await way(cleanup)
            await asyncio.sleep(1)
            self.assertEqual(self.trace, [])
            return 'result'

        for way in self.for_ways():
            self.assertEqual(self.run_for(1 + self.idle, main(way)), 'result')
            self.assertEqual(self.trace, ['cancelled'])
            self.assertEqual(self.problems + self.lines, [])

    def test_7_8_at_most_five_seconds(self):
        async def cleanup():
            while True:
                await asyncio.sleep(1)

        async def main(way):
            await way(cleanup)

        for way in self.for_ways():
            self.run_for(5, main(way))
            self.assertEqual(self.problems + self.lines, [])

    def test_7_8_timer_that_is_due_later_is_not_waited_for(self):
        async def main(way):
            await way(lambda: asyncio.sleep(3600))

        for way in self.for_ways():
            self.run_for(self.idle, main(way))

    def test_7_8_cleans_up_when_it_is_cancelled(self):
        async def cleanup():
            try:
                await self.forever()
            finally:
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(3)
                self.trace.append('cleaned up')

        async def main(way):
            await way(cleanup)

        for way in self.for_ways():
            self.run_for(3 + self.idle, main(way))
            self.assertEqual(self.trace, ['cleaned up'])

    def test_7_8_shield_does_not_keep_run_from_returning(self):
        async def cleanup():
            with asyncio.CancelScope(shield=True):
                await self.forever()

        async def main(way):
            await way(cleanup)

        for way in self.for_ways():
            self.run_for(2 * self.idle, main(way))
            self.assertEqual(self.problems + self.lines, [])

    def test_7_8_nor_do_shields_that_cleanup_opens_later(self):
        async def cleanup():
            for _ in range(3):
                with contextlib.suppress(asyncio.CancelledError):
                    with asyncio.CancelScope(shield=True):
                        await self.forever()
            self.trace.append('cleaned up')

        async def main(way):
            await way(cleanup)

        for way in self.for_ways():
            self.run_for(2 * self.idle, main(way))
            self.assertEqual(self.trace, ['cleaned up'])
            self.assertEqual(self.problems + self.lines, [])

    def test_7_8_cleanup_that_swallows_everything(self):
        async def cleanup():
            while True:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(1)

        async def main(way):
            # So that it does not take thousands of turns in each second.
            self.loop.seconds_per_turn = 0.1
            await way(cleanup)
            return 'result'

        def complain(unraisable):
            # When the coroutine is destroyed it refuses that as well.
            pass

        for way in self.for_ways():
            with support.swap_attr(sys, 'unraisablehook', complain):
                self.assertEqual(self.run_main(main(way)), 'result')
                self.kept.clear()
                gc.collect()
            # (In debug mode it is also said where it swallows what, 10.1.)
            given_up = [line for line in self.lines
                        if 'does not end and is given up' in line]
            self.assertTrue(given_up)

    def test_7_8_failure_is_logged_once(self):
        error = MyError('rollback failed')

        async def cleanup():
            await asyncio.sleep(0)
            raise error

        async def main(way, seconds):
            await way(cleanup)
            await asyncio.sleep(seconds)
            return 'result'

        for seconds in 0, 2:
            for way in self.for_ways():
                self.assertEqual(self.run_main(main(way, seconds)), 'result')
                gc.collect()
                self.assertEqual([exc for _, exc in self.problems], [error])
                self.assertEqual(self.lines, [])

    def test_7_8_failures_of_some_while_others_are_cancelled(self):
        async def fail():
            # (A reference to the exception would keep a _PyTask alive.)
            raise MyError

        async def main(way):
            await way(fail)
            await way(self.forever)
            await way(fail)

        for way in self.for_ways():
            self.run_main(main(way))
            gc.collect()
            self.assertEqual([type(exc) for _, exc in self.problems],
                             [MyError] * 2)

    def test_7_8_failure_when_it_is_cancelled(self):
        error = MyError()

        async def cleanup():
            try:
                await self.forever()
            finally:
                raise error

        async def main(way):
            await way(cleanup)
            return 'result'

        for way in self.for_ways():
            self.assertEqual(self.run_main(main(way)), 'result')
            gc.collect()
            self.assertEqual([exc for _, exc in self.problems], [error])

    def test_7_8_task_that_a_cleanup_makes(self):
        # It is waited for, but does not keep run() from returning.
        async def late():
            try:
                await self.forever()
            finally:
                self.trace.append('late ends')

        async def cleanup():
            asyncio.create_task(late())
            await asyncio.sleep(1)

        async def main(way):
            await way(cleanup)

        for way in self.for_ways():
            self.run_main(main(way))
            self.assertEqual(self.trace, ['late ends'])
            self.assertEqual(self.problems + self.lines, [])

    def test_7_8_lives_on_between_calls_of_a_runner(self):
        async def cleanup():
            await asyncio.sleep(3)
            self.trace.append('cleaned up')

        async def main():
            await self.give_up(cleanup)

        with asyncio.Runner(loop_factory=self.make_loop) as runner:
            runner.run(main())
            runner.run(asyncio.sleep(2))
            self.assertEqual(self.trace, [])
            runner.run(asyncio.sleep(2))
            self.assertEqual(self.trace, ['cleaned up'])

    def test_7_8_after_a_call_that_failed(self):
        async def cleanup():
            await asyncio.sleep(3)
            self.trace.append('cleaned up')

        async def fail():
            raise MyError

        async def main():
            await self.give_up(cleanup)
            asyncio.create_task(fail())
            await self.forever()

        with asyncio.Runner(loop_factory=self.make_loop) as runner:
            for _ in range(2):
                with self.assertRaises(ExceptionGroup):
                    runner.run(main())
            self.assertEqual(self.trace, ['cleaned up'] * 2)
            # What comes afterwards is a member of the root group again.
            with self.assertRaises(ExceptionGroup):
                runner.run(self.fail_in_background())
            self.assertEqual(self.problems, [])

    async def fail_in_background(self):
        async def fail():
            raise MyError

        asyncio.create_task(fail())
        await self.forever()

    def test_7_8_many(self):
        async def cleanup():
            await asyncio.sleep(1)
            self.trace.append(True)

        async def main(way):
            for _ in range(50):
                await way(cleanup)
                await way(self.forever)

        for way in self.for_ways():
            self.run_main(main(way))
            self.assertEqual(len(self.trace), 50)

    def test_7_7_without_a_runner(self):
        # Then the loop closes them as it does in stock.
        async def cleanup():
            await asyncio.sleep(1)
            self.trace.append('cleaned up')

        async def main():
            await self.give_up(cleanup)
            await asyncio.sleep(2)

        loop = self.make_loop()
        with contextlib.closing(loop):
            loop.run_until_complete(main())
            loop.run_until_complete(loop.shutdown_asyncgens())
        self.assertEqual(self.trace, ['cleaned up'])


@matrix
class ProgressTests:
    """What can wake a cleanup: here on a real loop."""

    def run_really(self, coro):
        return asyncio.run(coro, loop_factory=self.make_real_loop)

    def test_7_8_thread(self):
        def work():
            release.wait()

        async def cleanup():
            loop = asyncio.get_running_loop()
            loop.call_later(0.02, release.set)
            await loop.run_in_executor(None, work)
            self.trace.append('cleaned up')

        async def main(way):
            await way(cleanup)

        for way in self.for_ways():
            release = threading.Event()
            self.run_really(main(way))
            self.assertEqual(self.trace, ['cleaned up'])

    def test_7_8_thread_of_no_executor(self):
        def work(loop, future):
            release.wait()
            loop.call_soon_threadsafe(future.set_result, None)

        async def cleanup():
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            thread = threading.Thread(target=work, args=(loop, future))
            thread.start()
            # Only the thread can wake the cleanup, in some time.
            timer = threading.Timer(0.02, release.set)
            timer.start()
            await future
            thread.join()
            timer.join()
            self.trace.append('cleaned up')

        async def main(way):
            await way(cleanup)

        for way in self.for_ways():
            release = threading.Event()
            self.run_really(main(way))
            self.assertEqual(self.trace, ['cleaned up'])

    def test_7_8_idle_thread_of_an_executor_is_not_waited_for(self):
        async def main(way):
            await asyncio.to_thread(int)
            await way(self.forever)

        for way in self.for_ways():
            with support.swap_attr(asyncio.asyncgens, '_GRACE', 3600):
                self.run_really(main(way))

    def test_7_8_socket(self):
        async def cleanup():
            self.trace.append(await asyncio.get_running_loop().sock_recv(
                one, 100))

        async def main(way):
            await way(cleanup)

        def answer():
            release.wait()
            other.send(b'answer')

        for way in self.for_ways():
            one, other = socket.socketpair()
            with one, other:
                one.setblocking(False)
                release = threading.Event()
                thread = threading.Thread(target=answer)
                thread.start()
                try:
                    timer = threading.Timer(0.02, release.set)
                    timer.start()
                    self.run_really(main(way))
                finally:
                    release.set()
                    thread.join()
                    timer.join()
            self.assertEqual(self.trace, [b'answer'])

    def test_8_2_signal_ends_the_wait(self):
        async def cleanup():
            asyncio.get_running_loop().call_later(
                0.02, signal.raise_signal, signal.SIGINT)
            try:
                # A timer, so there is progress.
                await asyncio.sleep(3000)
            finally:
                self.trace.append('ended')

        async def main(way):
            await way(cleanup)

        old = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            for way in self.for_ways():
                with support.swap_attr(asyncio.asyncgens, '_GRACE', 3600):
                    with contextlib.suppress(KeyboardInterrupt):
                        self.run_really(main(way))
                self.assertEqual(self.trace, ['ended'])
        finally:
            signal.signal(signal.SIGINT, old)


if __name__ == '__main__':
    unittest.main()
