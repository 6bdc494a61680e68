"""Tests for errors that are no failures, as a caller retrieves them (7.3).

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import functools
import unittest
import weakref
from asyncio import staggered
from test import support
from test.support import socket_helper
from test.support import threading_helper

from test.test_asyncio.root_utils import MESSAGE, VirtualLoop, for_each, matrix
from test.test_asyncio.scope_utils import Awaitable, MyBaseError, MyError


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class RetrievedErrorTests:
    """Rule 7.3."""

    def run_ok(self, coro, run=None):
        """The program does not notice and nothing is logged."""
        async def main():
            await coro
            await self.assert_not_cancelled()
            return 'result'

        self.assertEqual((run or self.run_main)(main()), 'result')
        support.gc_collect()

    def test_7_3_gather(self):
        error = MyError()
        for delay in None, 0, 1:
            with self.subTest(delay=delay):
                async def main():
                    trace = []

                    async def other():
                        await asyncio.sleep(2)
                        trace.append('other')

                    with self.raises_bare(error):
                        await asyncio.gather(
                            self.failing(error, delay), other())
                    await asyncio.sleep(3)
                    self.assertEqual(trace, ['other'])

                self.run_ok(main())

    def test_7_3_gather_return_exceptions(self):
        # Trap 26.
        errors = [MyError(i) for i in range(4)]

        async def main():
            self.assertEqual(
                await asyncio.gather(
                    self.failing(errors[0]), self.failing(errors[1], 1),
                    asyncio.sleep(2, 'slept'),
                    Awaitable(self.failing(errors[2], 0)),
                    self.failing(errors[3], 3), return_exceptions=True),
                [*errors[:2], 'slept', *errors[2:]])

        self.run_ok(main())

    def test_7_3_gather_with_several_failures(self):
        # The second one is not retrieved, as in stock.
        errors = [MyError(i) for i in range(2)]

        async def main():
            with self.raises_bare(errors[0]):
                await asyncio.gather(
                    self.failing(errors[0], 1), self.failing(errors[1], 2))
            await asyncio.sleep(3)

        self.run_ok(main())

    def test_7_3_gather_of_base_exceptions(self):
        error = MyBaseError()

        async def main():
            with self.raises_bare(error):
                await asyncio.gather(
                    self.failing(error, 1), asyncio.sleep(2))
            await asyncio.sleep(3)

        self.run_ok(main())

    def test_7_3_gather_in_gather(self):
        error = MyError()

        async def inner():
            await asyncio.gather(self.failing(error, 1), asyncio.sleep(0))

        async def main():
            with self.raises_bare(error):
                await asyncio.gather(inner(), asyncio.sleep(1))

        self.run_ok(main())

    def test_7_3_gather_that_main_does_not_handle(self):
        # It is main's own error, bare.
        error = MyError()

        async def main():
            await asyncio.gather(self.failing(error, 1), self.forever())

        with self.raises_bare(error):
            self.run_main(main())

    def test_7_3_gather_in_a_background_task(self):
        # This fails itself.
        error = MyError()

        async def background():
            await asyncio.gather(self.failing(error, 1))

        async def main():
            asyncio.create_task(background())
            await self.forever()

        with self.raises_group(error):
            self.run_main(main())

    def test_7_3_gather_of_a_task_from_create_task(self):
        for return_exceptions in False, True:
            with self.subTest(return_exceptions=return_exceptions):
                error = MyError()

                async def main():
                    task = asyncio.create_task(self.failing(error, 1))
                    with contextlib.suppress(MyError, asyncio.CancelledError):
                        await asyncio.gather(
                            task, return_exceptions=return_exceptions)
                    await self.assert_level()

                with self.raises_group(error):
                    self.run_main(main())

    def test_7_3_task_made_by_what_is_gathered(self):
        # That one is of the ordinary kind.
        error = MyError()

        async def spawning():
            asyncio.create_task(self.failing(error))
            await asyncio.sleep(0)

        async def main():
            await asyncio.gather(spawning(), return_exceptions=True)
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            self.run_main(main())

    def test_7_3_task_made_by_what_is_gathered_before_its_first_await(self):
        error = MyError()

        async def spawning():
            asyncio.create_task(self.failing(error, 1))

        async def main():
            await asyncio.gather(spawning(), return_exceptions=True)
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            self.run_main(main())

    def test_7_3_gather_while_the_factory_fails(self):
        # What gather() has asked for is not taken for the next task.
        error = MyError()

        def factory(loop, coro, **kwargs):
            coro.close()
            raise KeyError

        async def main():
            loop = asyncio.get_running_loop()
            saved = loop.get_task_factory()
            loop.set_task_factory(factory)
            with self.assertRaises(KeyError):
                asyncio.gather(self.forever())
            loop.set_task_factory(saved)
            asyncio.create_task(self.failing(error, 1))
            await self.assert_cancelled(self.forever())

        with self.raises_group(error):
            self.run_main(main())

    def test_7_3_gather_with_a_factory_that_makes_another_task_first(self):
        error = MyError()

        async def main():
            loop = asyncio.get_running_loop()
            factory = self.task_factory()

            def twice(loop, coro, **kwargs):
                factory(loop, self.background([]))
                return factory(loop, coro, **kwargs)

            loop.set_task_factory(twice)
            gathering = asyncio.gather(
                self.failing(error, 1), return_exceptions=True)
            loop.set_task_factory(factory)
            self.assertEqual(await gathering, [error])

        self.run_ok(main())

    def test_7_3_external_tasks(self):
        error = MyError()

        async def main():
            with self.external_tasks():
                self.assertEqual(
                    await asyncio.gather(
                        self.failing(error), self.failing(error, 1),
                        return_exceptions=True), [error] * 2)
                for each in asyncio.as_completed([self.failing(error, 1)]):
                    with self.raises_bare(error):
                        await each

        self.run_ok(main())

    def test_7_3_as_completed(self):
        error = MyError()

        async def main():
            found = []
            for each in asyncio.as_completed(
                    [self.failing(error, 2), asyncio.sleep(1, 'slept'),
                     asyncio.sleep(3, 'slept')]):
                try:
                    found.append(await each)
                except MyError as exc:
                    found.append(exc)
            self.assertEqual(found, ['slept', error, 'slept'])

        self.run_ok(main())

    def test_7_3_as_completed_asynchronously(self):
        error = MyError()

        async def main():
            found = []
            async for each in asyncio.as_completed(
                    [self.failing(error), asyncio.sleep(1, 'slept')]):
                try:
                    found.append(await each)
                except MyError as exc:
                    found.append(exc)
            self.assertEqual(found, [error, 'slept'])

        self.run_ok(main())

    def test_7_3_wait_for(self):
        error = MyError()

        async def main():
            for timeout in None, 10:
                for delay in None, 1:
                    with self.raises_bare(error):
                        await asyncio.wait_for(
                            self.failing(error, delay), timeout)
                    with self.raises_bare(error):
                        await asyncio.wait_for(
                            Awaitable(self.failing(error, delay)), timeout)

        self.run_ok(main())

    def test_7_3_wait_for_something_that_fails_when_the_time_is_up(self):
        error = MyError()

        async def main():
            with self.raises_bare(error):
                await asyncio.wait_for(self.background([], error=error), 1)

        self.run_ok(main())

    def test_7_3_shield(self):
        error = MyError()

        async def main():
            with self.raises_bare(error):
                await asyncio.shield(self.failing(error, 1))
            with self.raises_bare(error):
                await asyncio.shield(Awaitable(self.failing(error, 1)))

        self.run_ok(main())

    @threading_helper.requires_working_threading()
    def test_7_3_run_coroutine_threadsafe(self):
        error = MyError()

        async def main():
            loop = asyncio.get_running_loop()

            def in_thread(delay):
                future = asyncio.run_coroutine_threadsafe(
                    self.failing(error, delay), loop)
                return future.exception(support.LONG_TIMEOUT)

            for delay in None, 0:
                # run_in_executor() makes no task.
                self.assertIs(
                    await loop.run_in_executor(None, in_thread, delay), error)

        self.run_ok(main(), self.run_really)

    @threading_helper.requires_working_threading()
    def test_7_3_to_thread(self):
        error = MyError()

        def in_thread():
            raise error

        async def main():
            with self.raises_bare(error):
                await asyncio.to_thread(in_thread)

        self.run_ok(main(), self.run_really)

    def test_7_3_run_until_complete(self):
        error = MyError()
        trace = []
        with self.runner() as runner:
            loop = runner.get_loop()
            loop.create_task(self.background(trace))
            for delay in None, 1:
                with self.raises_bare(error):
                    loop.run_until_complete(self.failing(error, delay))
                with self.raises_bare(error):
                    loop.run_until_complete(
                        Awaitable(self.failing(error, delay)))
            runner.run(self.assert_not_cancelled())
            self.assertEqual(trace, [])
        self.assertEqual(trace, ['background'])

    def tasks_for_run_until_complete(self):
        async def awaiting(awaitable):
            await awaitable

        async def gathering(coro):
            await asyncio.gather(coro, self.forever())

        async def grouping(coro):
            # The member's failure is the group's, the group's is the task's.
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(coro)
            except* MyError as group:
                raise group.exceptions[0] from None

        def ensure_future(loop, coro):
            return asyncio.ensure_future(coro, loop=loop)

        def create_task(loop, coro):
            return loop.create_task(coro)

        for make in create_task, ensure_future:
            for wrap in (lambda coro: coro), awaiting, gathering, grouping:
                yield make, wrap

    @for_each('tasks_for_run_until_complete')
    def test_7_3_run_until_complete_of_a_task(self, make, wrap):
        error = MyError()
        trace = []
        with self.runner() as runner:
            loop = runner.get_loop()
            loop.create_task(self.background(trace))
            for delay in None, 1:
                task = make(loop, wrap(self.failing(error, delay)))
                with self.raises_bare(error):
                    loop.run_until_complete(task)
            runner.run(self.assert_not_cancelled())
            self.assertEqual(trace, [])
        self.assertEqual(trace, ['background'])

    def test_7_3_run_until_complete_of_another_loop(self):
        class OtherLoop(VirtualLoop):
            def run_until_complete(self, future):
                future = asyncio.ensure_future(future, loop=self)
                future.add_done_callback(lambda _: self.stop())
                self.run_forever()
                return future.result()

        error = MyError()
        loop = self.make_loop(OtherLoop)
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.get_loop()
            for make in (lambda coro: coro, loop.create_task,
                         functools.partial(asyncio.ensure_future, loop=loop)):
                with self.raises_bare(error):
                    loop.run_until_complete(make(self.failing(error, 1)))
            self.assertEqual(
                loop.run_until_complete(asyncio.sleep(1, 'fine')), 'fine')
            self.assertIs(runner.run(self.assert_not_cancelled()), None)
            with self.raises_group(error):
                loop.create_task(self.failing(error))
                runner.run(self.forever())
        # It is left as it was.
        self.assertNotIn('run_until_complete', vars(loop))

    def test_7_3_run_until_complete_of_a_task_that_has_failed_before(self):
        # It was a background task then.
        error = MyError()
        runner = self.runner()
        loop = runner.get_loop()
        task = loop.create_task(self.failing(error))
        with self.assertRaises(asyncio.CancelledError):
            loop.run_until_complete(asyncio.sleep(1))
        with self.raises_bare(error):
            loop.run_until_complete(task)
        with self.raises_group(error):
            runner.close()
        self.assertIs(loop.is_closed(), True)

    def test_7_3_run_until_complete_that_is_stopped(self):
        # It has handed nothing on, so the task is a background task again.
        error = MyError()
        runner = self.runner()
        loop = runner.get_loop()
        task = loop.create_task(self.failing(error, 2))
        loop.call_later(1, loop.stop)
        with self.assertRaisesRegex(RuntimeError, 'Event loop stopped'):
            loop.run_until_complete(task)
        with self.raises_group(error):
            runner.run(self.forever())
        runner.close()

    def test_7_3_run_until_complete_while_a_background_task_fails(self):
        error, other = MyError(), MyError()
        runner = self.runner()
        loop = runner.get_loop()
        loop.create_task(self.failing(other))
        with self.assertRaises(asyncio.CancelledError):
            loop.run_until_complete(
                loop.create_task(self.failing(error, self.pause)))
        with self.raises_group(other):
            runner.close()

    def test_7_3_stop_async_iteration_is_no_failure(self):
        async def stop():
            raise StopAsyncIteration

        async def numbers():
            yield 1
            yield 2

        async def main():
            asyncio.create_task(stop())
            numbers_ = numbers()
            got = []
            while True:
                task = asyncio.ensure_future(anext(numbers_))
                await asyncio.wait([task])
                if isinstance(task.exception(), StopAsyncIteration):
                    break
                got.append(task.result())
            await self.assert_not_cancelled()
            support.gc_collect()
            return got

        self.assertEqual(self.run_main(main()), [1, 2])
        # The one that is never retrieved is logged as it is in stock.
        (message, exc), = self.take_problems()
        self.assertEqual(message, 'Task exception was never retrieved')
        self.assertIs(type(exc), StopAsyncIteration)

    def test_7_3_client_handler(self):
        error = MyError()

        async def handler(reader, writer):
            await reader.readline()
            raise error

        async def main():
            server = await asyncio.start_server(handler, '127.0.0.1', 0)
            async with server:
                for _ in range(2):
                    reader, writer = await asyncio.open_connection(
                        *server.sockets[0].getsockname())
                    writer.write(b'\n')
                    # The connection is closed.
                    self.assertEqual(await reader.read(), b'')
                    writer.close()
                    await writer.wait_closed()

        self.run_ok(main(), self.run_really)
        self.assertEqual(
            self.take_problems(),
            [('Unhandled exception in client_connected_cb', error)] * 2)

    def test_7_3_client_handler_that_is_cancelled_at_the_end(self):
        # It is a member: waited for. What it raises is logged, as ever.
        trace = []
        errors = [MyError(), None]

        async def handler(reader, writer):
            await reader.readline()
            started.release()
            try:
                await self.forever()
            finally:
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(0)
                trace.append('handler')
                error = errors.pop(0)
                if error is not None:
                    raise error

        async def main():
            nonlocal started
            started = asyncio.Semaphore(0)
            server = await asyncio.start_server(handler, '127.0.0.1', 0)
            for _ in range(2):
                reader, writer = await asyncio.open_connection(
                    *server.sockets[0].getsockname())
                writer.write(b'\n')
                await started.acquire()
                writers.append(writer)
            server.close()
            trace.append('main')
            for writer in writers:
                writer.close()
            return 'result'

        started = None
        writers = []
        error = errors[0]
        self.assertEqual(self.run_really(main()), 'result')
        self.assertEqual(trace, ['main', 'handler', 'handler'])
        self.assertEqual(
            self.take_problems(),
            [('Unhandled exception in client_connected_cb', error)])

    def test_7_3_staggered_race(self):
        errors = [MyError(i) for i in range(3)]

        def failing(error, delay):
            return lambda: self.failing(error, delay)

        async def main():
            result = await staggered.staggered_race(
                [failing(errors[0], None), failing(errors[1], 1),
                 failing(errors[2], 5)], 2)
            self.assertEqual(result, (None, None, errors))
            # One that wins while another is still running.
            result = await staggered.staggered_race(
                [failing(errors[0], 1), lambda: asyncio.sleep(3, 'won'),
                 lambda: self.background([], error=errors[2])], 2)
            self.assertEqual(result[:2], ('won', 1))
            self.assertIs(result[2][0], errors[0])

        self.run_ok(main())

    def test_7_3_happy_eyeballs(self):
        # Each attempt is a task of a staggered race.
        async def main():
            port = socket_helper.find_unused_port()
            with self.assertRaises(OSError):
                await asyncio.open_connection(
                    '127.0.0.1', port, happy_eyeballs_delay=0.25)

        self.run_ok(main(), self.run_really)

    def test_7_3_task_from_create_task_that_is_awaited_is_a_failure(self):
        error = MyError()
        trace = []

        async def main():
            task = asyncio.create_task(self.failing(error, 1))
            try:
                await task
            except MyError as exc:
                trace.append(exc)
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, [error])

    def test_7_3_task_that_wait_for_gets_is_a_failure(self):
        error = MyError()

        async def main():
            task = asyncio.create_task(self.failing(error, 1))
            with contextlib.suppress(MyError):
                await asyncio.wait_for(task, 10)
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())

    def test_7_3_task_that_main_awaits_without_handling_the_error(self):
        # Main raises this very error; it is in the group once.
        error = MyError()

        async def main():
            await asyncio.create_task(self.failing(error, 1))

        with self.raises_group(error):
            self.run_main(main())

    def test_7_3_error_that_is_handled_in_the_coroutine_is_none(self):
        async def background():
            try:
                await self.failing(MyError(), 1)
            except MyError:
                return 'handled'

        async def main():
            self.assertEqual(
                await asyncio.create_task(background()), 'handled')

        self.run_ok(main())

    # TaskGroup.

    def test_7_3_members_of_a_task_group(self):
        error = MyError()
        trace = []

        async def main():
            asyncio.create_task(self.background(trace))
            with self.assertRaises(ExceptionGroup) as cm:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.failing(error, 1))
                    await self.forever()
            self.assertEqual(cm.exception.message,
                             'unhandled errors in a TaskGroup')
            self.assertEqual(cm.exception.exceptions, (error,))
            await self.assert_not_cancelled()
            self.assertEqual(trace, [])

        self.run_ok(main())
        self.assertEqual(trace, ['background'])

    def test_7_3_task_group_in_a_background_task(self):
        error = MyError()

        async def background():
            async with asyncio.TaskGroup() as group:
                group.create_task(self.failing(error, 1))

        async def main():
            asyncio.create_task(background())
            await self.forever()

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_main(main())
        self.assertEqual(cm.exception.message, MESSAGE)
        inner, = cm.exception.exceptions
        self.assertEqual(inner.message, 'unhandled errors in a TaskGroup')
        self.assertEqual(inner.exceptions, (error,))

    async def abandon(self, *coros):
        """Be the host of a TaskGroup, and end without leaving it."""
        group = asyncio.TaskGroup()
        await group.__aenter__()
        for coro in coros:
            group.create_task(coro)
        return group

    def test_7_3_tasks_of_an_abandoned_task_group_are_cancelled(self):
        trace = []

        async def main():
            task = asyncio.create_task(self.abandon(
                self.background(trace, 'first'),
                self.background(trace, 'second')))
            await task
            await self.settle()
            trace.append('main')

        self.run_main(main())
        self.assertEqual(trace, ['main', 'first', 'second'])

    def test_7_3_failure_in_an_abandoned_task_group(self):
        error = MyError()
        trace = []

        async def main():
            await asyncio.create_task(self.abandon(
                self.failing(error, 1), self.background(trace)))
            await self.assert_cancelled(self.forever())
            await self.assert_level()

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, ['background'])

    def test_6_8_failure_in_a_task_group_that_can_still_be_left(self):
        # The error is the group's.
        error = MyError()
        trace = []

        async def main():
            group = await asyncio.create_task(self.abandon(
                self.failing(error, 1), self.background(trace)))
            await asyncio.sleep(100)
            self.assertEqual(trace, ['background'])
            with self.assertRaises(ExceptionGroup) as cm:
                await group.__aexit__(None, None, None)
            self.assertEqual(cm.exception.exceptions, (error,))

        self.run_main(main())

    def test_6_8_failure_in_a_task_group_that_is_never_left(self):
        error = MyError()
        trace = []

        async def main():
            group = await asyncio.create_task(self.abandon(
                self.failing(error, 1), self.background(trace)))
            await asyncio.sleep(100)
            self.assertEqual(trace, ['background'])

        self.run_main(main())
        support.gc_collect()
        self.assertEqual([exc for _, exc in self.take_problems()], [error])

    def test_7_3_task_of_an_abandoned_task_group_is_kept(self):
        # Trap 29.
        trace = []

        async def orphan():
            trace.append(weakref.ref(asyncio.current_task()))
            try:
                await self.forever()
            finally:
                trace.append('cancelled')

        async def main():
            await asyncio.create_task(self.abandon(orphan()))
            await self.settle()
            support.gc_collect()
            self.assertIsNotNone(trace[0]())
            self.assertEqual(trace[1:], [])

        self.run_main(main())
        self.assertEqual(trace[1:], ['cancelled'])

    def test_7_3_main_abandons_a_task_group(self):
        error = MyError()
        trace = []

        async def main():
            await self.abandon(self.background(trace, error=error))
            await self.settle()
            trace.append('main')

        with self.raises_group(error):
            self.run_main(main())
        self.assertEqual(trace, ['main', 'background'])


if __name__ == '__main__':
    unittest.main()
