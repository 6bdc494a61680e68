"""The awaits in the cleanup of the library, in a cancelled scope.

Names of tests carry the number of the rule that they check, for all of them
2.1: each await that waits is interrupted, so cleanup that has to wait is
shielded.
"""

import asyncio
import contextlib
import os
import socket
import sys
import threading
import unittest
from asyncio import staggered
from test import support

from test.test_asyncio import scope_utils


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


class CleanupTestCase(scope_utils.VariantMixin,
                      unittest.IsolatedAsyncioTestCase):

    def loop_factory(self):
        loop = asyncio.new_event_loop()
        self.set_task_factory(loop)
        return loop


matrix = scope_utils.matrix(case=CleanupTestCase,
                            variants=scope_utils.TASK_VARIANTS)


@matrix
class CleanupTests:

    async def test_2_1_staggered_race_that_cannot_start(self):
        before = asyncio.current_scope()
        with self.assertRaises(TypeError) as cm:
            await staggered.staggered_race(None, None)
        # (Its traceback keeps what the function has.)
        self.assertIs(asyncio.current_scope(), before)
        del cm

    async def test_B_executor_is_shut_down_in_an_external_task(self):
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, int)

        class Task(scope_utils.ExternalTask, asyncio.Future):
            pass

        await Task(loop.shutdown_default_executor(), loop)

    async def test_2_1_staggered_race_waits_for_its_tasks(self):
        # Trap 42: it is not left before its tasks are, and does not spin.
        loop = asyncio.get_running_loop()
        started, may_end = asyncio.Event(), asyncio.Event()
        trace = []
        futures = []

        async def slow_to_end():
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                with asyncio.CancelScope(shield=True):
                    await may_end.wait()
                trace.append('task')

        async def helper():
            await started.wait()
            loop.create_future = counting_create_future
            scope.cancel()
            for _ in range(10):
                await asyncio.sleep(0)
            del loop.create_future
            trace.append('release')
            may_end.set()

        def counting_create_future(create_future=loop.create_future):
            futures.append(create_future())
            return futures[-1]

        helping = asyncio.create_task(helper())
        with asyncio.CancelScope() as scope:
            await staggered.staggered_race([slow_to_end], delay=None)
        self.assertTrue(scope.cancelled_caught)
        self.assertEqual(trace, ['release', 'task'])
        # One for the second wait of the race, one for may_end.
        self.assertLessEqual(len(futures), 2)
        await helping

    async def test_2_1_serve_forever_waits_for_the_connections(self):
        trace = []

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport):
                # More than the sockets take, so that closing takes its time.
                transport.write(bytes(support.SOCK_MAX_SIZE))
                scope.cancel()
                cancelled.set()

            def connection_lost(self, exc):
                trace.append('lost')

        async def client():
            reader, writer = await asyncio.open_connection(*address)
            await cancelled.wait()
            for _ in range(10):
                await asyncio.sleep(0)
            trace.append('reads')
            await reader.read()
            writer.close()

        cancelled = asyncio.Event()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Protocol, '127.0.0.1', 0)
        address = server.sockets[0].getsockname()
        visiting = asyncio.create_task(client())
        with asyncio.CancelScope() as scope:
            try:
                await server.serve_forever()
            finally:
                trace.append('stopped')
        self.assertTrue(scope.cancelled_caught)
        self.assertEqual(trace, ['reads', 'lost', 'stopped'])
        await visiting

    @contextlib.asynccontextmanager
    async def serving(self, handler):
        """A server of one client, which reads nothing."""
        full = asyncio.Event()

        class Protocol(asyncio.StreamReaderProtocol):
            def pause_writing(self):
                full.set()
                super().pause_writing()

        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Protocol(asyncio.StreamReader(), handler),
            '127.0.0.1', 0)
        with socket.socket() as client:
            client.connect(server.sockets[0].getsockname())
            await full.wait()
            try:
                yield server
            finally:
                server.close()

    async def flood(self, reader, writer):
        # Until the client's buffers are full, and forever then.
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b'x' * 65536)
                await writer.drain()

    def patience(self, seconds):
        return support.swap_attr(asyncio.farewells, '_PATIENCE', seconds)

    async def test_B_serve_forever_ends_by_a_second_cancel(self):
        async with self.serving(self.flood) as server:
            with self.patience(3600):
                task = asyncio.create_task(server.serve_forever())
                await asyncio.sleep(0)
                task.cancel()
                for _ in range(20):
                    await asyncio.sleep(0)
                # The client could still read.
                self.assertFalse(task.done())
                self.assertTrue(server._clients)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                await server.wait_closed()

    async def test_B_serve_forever_ends_by_a_cancel_after_a_deadline(self):
        async with self.serving(self.flood) as server:
            async def serve():
                with asyncio.move_on_after(0):
                    await server.serve_forever()

            with self.patience(3600):
                task = asyncio.create_task(serve())
                for _ in range(20):
                    await asyncio.sleep(0)
                self.assertFalse(task.done())
                task.cancel()
                await asyncio.wait([task])
                await server.wait_closed()

    async def test_B_serve_forever_does_not_wait_for_a_client_that_does_not_read(self):
        async def by_cancel(server):
            task = asyncio.create_task(server.serve_forever())
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        async def by_scope(server):
            with asyncio.move_on_after(0):
                await server.serve_forever()

        async def by_two_timeouts(server):
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(0.01):
                    async with asyncio.timeout(0):
                        await server.serve_forever()

        for way in by_cancel, by_scope, by_two_timeouts:
            with self.subTest(way.__name__):
                async with self.serving(self.flood) as server:
                    with self.patience(0.02):
                        await way(server)
                    await server.wait_closed()

    async def test_B_serve_forever_waits_for_a_client_that_reads(self):
        data = b'x' * (1 << 22)

        async def answer(reader, writer):
            writer.write(data)
            answered.set()
            with contextlib.suppress(ConnectionError):
                await reader.read()

        def read():
            received = 0
            while block := client.recv(1 << 16):
                received += len(block)
            return received

        answered = asyncio.Event()
        server = await asyncio.start_server(answer, '127.0.0.1', 0)
        with socket.socket() as client:
            client.connect(server.sockets[0].getsockname())
            await answered.wait()
            task = asyncio.create_task(server.serve_forever())
            await asyncio.sleep(0)
            task.cancel()
            received = asyncio.create_task(asyncio.to_thread(read))
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertEqual(await received, len(data))

    async def test_B_serve_forever_with_an_idle_client_ends_at_once(self):
        async def idle(reader, writer):
            connected.set()
            self.assertEqual(await reader.read(), b'')

        connected = asyncio.Event()
        server = await asyncio.start_server(idle, '127.0.0.1', 0)
        with socket.socket() as client:
            client.connect(server.sockets[0].getsockname())
            await connected.wait()
            with self.patience(3600):
                task = asyncio.create_task(server.serve_forever())
                await asyncio.sleep(0)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task

    async def test_B_serve_forever_and_a_handler_that_waits_below_a_shield(self):
        async def handler(reader, writer):
            handlers.append(asyncio.current_task())
            try:
                await reader.read()
            finally:
                with asyncio.CancelScope(shield=True):
                    shielded.set()
                    await release.wait()
                    writer.close()

        handlers = []
        shielded, release = asyncio.Event(), asyncio.Event()
        server = await asyncio.start_server(handler, '127.0.0.1', 0)
        with socket.socket() as client:
            client.connect(server.sockets[0].getsockname())
            while not handlers:
                await asyncio.sleep(0)
            task = asyncio.create_task(server.serve_forever())
            await asyncio.sleep(0)
            handlers[0].cancel()
            await shielded.wait()
            task.cancel()
            for _ in range(20):
                await asyncio.sleep(0)
            self.assertFalse(task.done())  # There may be an answer.
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            release.set()
            await asyncio.wait(handlers)

    async def test_2_1_shutdown_default_executor_joins_the_thread(self):
        loop = asyncio.get_running_loop()
        worker = await loop.run_in_executor(None, threading.current_thread)
        gate = threading.Event()
        self.addCleanup(gate.set)
        busy = loop.run_in_executor(None, gate.wait)

        async def helper():
            for _ in range(10):
                await asyncio.sleep(0)
            gate.set()

        helping = asyncio.create_task(helper())
        alive = None
        with asyncio.CancelScope() as scope:
            scope.cancel()
            await loop.shutdown_default_executor()
            alive = worker.is_alive()
            await asyncio.sleep(0)
        self.assertTrue(scope.cancelled_caught)
        self.assertIs(alive, False)
        await helping
        self.assertTrue(await busy)

    async def test_B_shutdown_default_executor_is_interrupted(self):
        loop = asyncio.get_running_loop()
        gate = threading.Event()
        self.addCleanup(gate.set)
        busy = loop.run_in_executor(None, gate.wait)

        async def by_task():
            cancels.append(asyncio.current_task().cancel)
            await loop.shutdown_default_executor()

        async def by_scope():
            with asyncio.CancelScope() as scope:
                cancels.append(scope.cancel)
                await loop.shutdown_default_executor()

        async def by_timeout():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None) as limit:
                    cancels.append(lambda: limit.reschedule(0))
                    await loop.shutdown_default_executor()

        async def let_run():
            for _ in range(10):
                await asyncio.sleep(0)

        cancels = []
        for way in by_task, by_scope, by_timeout:
            with self.subTest(way.__name__):
                task = asyncio.create_task(way())
                await let_run()
                cancels.pop()()
                await let_run()
                interrupted = task.done()
                if not interrupted:
                    gate.set()
                await asyncio.wait([task])
                self.assertIs(interrupted, True)
        gate.set()
        self.assertTrue(await busy)

    @unittest.skipIf(sys.platform == 'win32', 'children are counted by waitpid()')
    @support.requires_subprocess()
    async def test_2_1_subprocess_is_waited_for(self):
        with asyncio.CancelScope() as scope:
            scope.cancel()
            await asyncio.create_subprocess_exec(
                sys.executable, '-c', 'input()', stdin=asyncio.subprocess.PIPE)
        self.assertTrue(scope.cancelled_caught)
        with self.assertRaises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


if __name__ == '__main__':
    unittest.main()
