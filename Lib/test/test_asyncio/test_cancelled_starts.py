"""What is cancelled while it starts reaches the caller or leaves nothing.

Names of tests carry the number of the rule that they check: promise B is "B",
2.3 says that no result is lost.  Each test cancels a start after every number
of turns of the loop that it can take.
"""

import asyncio
import contextlib
import gc
import os
import socket
import sys
import tempfile
import unittest
import unittest.mock
import warnings
from asyncio.log import logger
from test import support
from test.support import os_helper

from test.test_asyncio import scope_utils


TICKS = 14


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


def after(ticks, callback):
    """Call *callback* when the loop has turned that often."""
    def turn(left):
        if left:
            loop.call_soon(turn, left - 1)
        else:
            callback()

    loop = asyncio.get_running_loop()
    loop.call_soon(turn, ticks)


async def by_task(ticks, start):
    async def run():
        nonlocal got
        got = await start()

    got = None
    task = asyncio.create_task(run())
    after(ticks, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled() and task.exception() is not None:
        raise task.exception()
    return got


async def by_scope(ticks, start):
    got = None
    with asyncio.CancelScope() as scope:
        after(ticks, scope.cancel)
        got = await start()
    return got


async def by_timeout(ticks, start):
    def expire():
        with contextlib.suppress(RuntimeError):
            limit.reschedule(0)  # It has been left otherwise.

    got = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60) as limit:
            after(ticks, expire)
            got = await start()
    return got


WAYS = by_task, by_scope, by_timeout


async def run_and_cancel(coro):
    """Run it as a background task, which is cancelled with the root group."""
    asyncio.create_task(coro)
    for _ in range(5):
        await asyncio.sleep(0)


class StartTestCase(scope_utils.VariantMixin, unittest.TestCase):

    def make_loop(self):
        loop = asyncio.new_event_loop()
        self.set_task_factory(loop)
        loop.set_exception_handler(
            lambda loop, context: self.problems.append(context))
        return loop

    def setUp(self):
        self.problems = []
        # The first failure of a background task is logged (10.3).
        self.enterContext(support.swap_attr(logger, 'disabled', True))

    def run_main(self, coro):
        asyncio.run(coro, loop_factory=self.make_loop)
        self.assertEqual(self.problems, [])

    async def settle(self, condition):
        """Let the loop turn until the condition is true."""
        try:
            async with asyncio.timeout(30):
                while not condition():
                    await asyncio.sleep(0.001)
        except TimeoutError:
            return False
        return True

    async def check(self, start, dispose, *, ways=WAYS):
        """Cancel start(), which returns a thing; dispose() gets rid of it.

        No file descriptor may be left, however far start() has come.
        """
        await dispose(await start())  # Open what stays open.
        # (What is in the way of being closed has been by then.)
        await asyncio.sleep(0.01)
        finished = 0
        for way in ways:
            for ticks in range(TICKS):
                with self.subTest(way=way.__name__, ticks=ticks):
                    before = os_helper.fd_count()
                    with warnings.catch_warnings(
                            action='error', category=ResourceWarning):
                        got = await way(ticks, start)
                        if got is not None:
                            finished += 1
                            await dispose(got)
                            got = None
                        ended = await self.settle(
                            lambda: os_helper.fd_count() <= before)
                        gc.collect()
                    self.assertTrue(
                        ended, f'{os_helper.fd_count() - before} left')
        # Some have not been cancelled in time, so all ticks are covered.
        self.assertGreater(finished, 0)


matrix = scope_utils.matrix(case=StartTestCase,
                            variants=scope_utils.TASK_VARIANTS)


@matrix
class ServerTests:

    async def is_served(self, family, address):
        """Tell if a client gets an answer of a server."""
        self.served.clear()
        with socket.socket(family) as client:
            try:
                client.connect(address)
            except OSError:
                return False
            for _ in range(10):
                await asyncio.sleep(0)
            await asyncio.sleep(0.005)
        return bool(self.served)

    async def check_server(self, start, family, address):
        async def dispose(server):
            server.close()

        self.served = []
        await self.check(start, dispose)
        for way in WAYS:
            for ticks in range(8):
                with self.subTest(way=way.__name__, ticks=ticks):
                    server = await way(ticks, start)
                    served = await self.is_served(family, address())
                    self.assertEqual(served, server is not None)
                    if server is not None:
                        server.close()

    def serve(self, reader, writer):
        self.served.append(True)
        writer.close()

    def protocol(self):
        self.served.append(True)
        return asyncio.Protocol()

    def test_B_start_server(self):
        async def main():
            with socket.socket() as sock:
                sock.bind(('127.0.0.1', 0))
                address = sock.getsockname()

            async def start():
                return await asyncio.start_server(self.serve, *address)

            await self.check_server(start, socket.AF_INET, lambda: address)

        self.run_main(main())

    def test_B_create_server_on_several_hosts(self):
        async def main():
            with socket.socket() as sock:
                sock.bind(('127.0.0.1', 0))
                port = sock.getsockname()[1]

            async def start():
                return await asyncio.get_running_loop().create_server(
                    self.protocol, ['127.0.0.1', '127.0.0.2'], port)

            await self.check_server(start, socket.AF_INET,
                                    lambda: ('127.0.0.2', port))

        self.run_main(main())

    @unittest.skipUnless(hasattr(socket, 'AF_UNIX'), 'requires AF_UNIX')
    def test_B_start_unix_server(self):
        async def main():
            async def start():
                return await asyncio.start_unix_server(self.serve, path)

            await self.check_server(start, socket.AF_UNIX, lambda: path)
            self.assertFalse(os.path.exists(path))

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'socket')
            self.run_main(main())

    def check_given(self, family, address, create):
        # A socket that was given stays open, and can be served again.
        async def main():
            self.served = []
            for way in WAYS:
                for ticks in range(4):
                    with (self.subTest(way=way.__name__, ticks=ticks),
                          socket.socket(family) as sock):
                        sock.bind(address())
                        sock.listen()

                        async def start():
                            return await create(
                                asyncio.get_running_loop(), sock)

                        server = await way(ticks, start)
                        bound = sock.getsockname()
                        self.assertEqual(await self.is_served(family, bound),
                                         server is not None)
                        if server is None:
                            self.assertNotEqual(sock.fileno(), -1)
                            server = await start()
                            self.assertTrue(
                                await self.is_served(family, bound))
                        server.close()

        self.run_main(main())

    def test_B_create_server_on_a_given_socket(self):
        self.check_given(
            socket.AF_INET, lambda: ('127.0.0.1', 0),
            lambda loop, sock: loop.create_server(self.protocol, sock=sock))

    @unittest.skipUnless(hasattr(socket, 'AF_UNIX'), 'requires AF_UNIX')
    def test_B_create_unix_server_on_a_given_socket(self):
        def address():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return path

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'socket')
            self.check_given(
                socket.AF_UNIX, address,
                lambda loop, sock: loop.create_unix_server(
                    self.protocol, sock=sock))

    def test_B_start_that_fails(self):
        async def main():
            loop = asyncio.get_running_loop()
            before = os_helper.fd_count()

            def fail(*args):
                raise MemoryError

            loop._start_serving = fail
            for keywords in {'host': '127.0.0.1', 'port': 0}, {'sock': given}:
                with self.assertRaises(MemoryError):
                    await loop.create_server(self.protocol, **keywords)
            self.assertNotEqual(given.fileno(), -1)
            self.assertEqual(os_helper.fd_count(), before)

        with socket.socket() as given:
            given.bind(('127.0.0.1', 0))
            self.run_main(main())


@matrix
class ConnectionTests:

    @contextlib.asynccontextmanager
    async def serving(self):
        """A server that closes each connection when the client does."""
        async def handler(reader, writer):
            with contextlib.suppress(OSError):
                await reader.read()
            writer.close()

        async with await asyncio.start_server(handler, '0.0.0.0', 0) as server:
            yield server.sockets[0].getsockname()[1]

    async def close(self, pair):
        pair[0].close()

    async def close_writer(self, pair):
        pair[1].close()

    def check_connection(self, start, dispose=None):
        async def main():
            async with self.serving() as port:
                await self.check(lambda: start(port), dispose or self.close)

        self.run_main(main())

    def test_2_3_open_connection(self):
        self.check_connection(
            lambda port: asyncio.open_connection('127.0.0.1', port),
            self.close_writer)

    def test_2_3_happy_eyeballs(self):
        async def getaddrinfo(host, port, **options):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, '',
                     (address, port))
                    for address in ('127.0.0.1', '127.0.0.2', '127.0.0.3')]

        for delay in 0, 1:
            def connect(port):
                asyncio.get_running_loop().getaddrinfo = getaddrinfo
                return asyncio.open_connection(
                    'some.host', port, happy_eyeballs_delay=delay)

            with self.subTest(delay=delay):
                self.check_connection(connect, self.close_writer)

    def test_2_3_two_attempts_of_happy_eyeballs_succeed_in_one_tick(self):
        # The scope of the root group is cancelled when both are connected.
        connected = []

        async def main():
            loop = asyncio.get_running_loop()
            ready = loop.create_future()

            async def getaddrinfo(host, port, **options):
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, '',
                         (address, port))
                        for address in ('127.0.0.1', '127.0.0.2')]

            async def sock_connect(sock, address):
                connected.append(sock)
                if len(connected) == 2:
                    ready.set_result(None)
                # A future of its own for each, done in the same tick.
                future = loop.create_future()
                ready.add_done_callback(lambda _: future.set_result(None))
                await future

            loop.getaddrinfo = getaddrinfo
            loop.sock_connect = sock_connect

            async def fail():
                await ready
                raise LookupError

            asyncio.create_task(fail())
            await loop.create_connection(
                asyncio.Protocol, 'some.host', 80, happy_eyeballs_delay=0)

        with self.assertRaises(ExceptionGroup) as cm:
            self.run_main(main())
        self.assertIsInstance(cm.exception.exceptions[0], LookupError)
        self.assertEqual(len(cm.exception.exceptions), 1)
        self.assertEqual(len(connected), 2)
        self.assertEqual([sock.fileno() for sock in connected], [-1, -1])

    def test_7_2_shielded_cleanup_connects_by_happy_eyeballs(self):
        async def main():
            async def getaddrinfo(host, port, **options):
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, '',
                         ('127.0.0.1', port))] * 2

            loop = asyncio.get_running_loop()
            loop.getaddrinfo = getaddrinfo
            try:
                await asyncio.Event().wait()
            finally:
                with asyncio.CancelScope(shield=True):
                    transport, _ = await loop.create_connection(
                        asyncio.Protocol, 'some.host', listening.getsockname()[1],
                        happy_eyeballs_delay=1)
                    connected.append(transport)
                    transport.close()

        connected = []
        with socket.create_server(('127.0.0.1', 0)) as listening:
            self.run_main(run_and_cancel(main()))
        self.assertEqual(len(connected), 1)

    def test_2_3_create_connection_on_a_given_socket(self):
        def connect(port):
            sock = socket.create_connection(('127.0.0.1', port))
            return asyncio.get_running_loop().create_connection(
                asyncio.Protocol, sock=sock)

        self.check_connection(connect)

    def test_2_3_connect_accepted_socket(self):
        async def main():
            async def start():
                one, other = socket.socketpair()
                others.append(other)
                return await asyncio.get_running_loop().connect_accepted_socket(
                    asyncio.Protocol, one)

            async def dispose(pair):
                pair[0].close()

            async def run(ticks, start, way):
                try:
                    return await way(ticks, start)
                finally:
                    others.pop().close()

            others = []
            first = await start()
            others.pop().close()
            for way in WAYS:
                for ticks in range(4):
                    with self.subTest(way=way.__name__, ticks=ticks):
                        before = os_helper.fd_count()
                        got = await run(ticks, start, way)
                        if got is not None:
                            await dispose(got)
                        self.assertTrue(await self.settle(
                            lambda: os_helper.fd_count() <= before))
            first[0].close()

        # (A socketpair() is of AF_UNIX.)
        self.run_main(main())

    @unittest.skipUnless(hasattr(socket, 'AF_UNIX'), 'requires AF_UNIX')
    def test_2_3_create_unix_connection(self):
        async def main():
            server = await asyncio.start_unix_server(handler, path)
            async with server:
                await self.check(
                    lambda: asyncio.open_unix_connection(path),
                    self.close_writer)

        async def handler(reader, writer):
            await reader.read()
            writer.close()

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'socket')
            self.run_main(main())

    def test_2_3_create_datagram_endpoint(self):
        async def main():
            loop = asyncio.get_running_loop()
            for keywords in ({'local_addr': ('127.0.0.1', 0)},
                             {'remote_addr': ('127.0.0.1', 9)}):
                await self.check(
                    lambda: loop.create_datagram_endpoint(
                        asyncio.DatagramProtocol, **keywords), self.close)

        self.run_main(main())

    @unittest.skipIf(sys.platform == 'win32', 'pipes of POSIX')
    def test_2_3_connect_pipes(self):
        async def main():
            loop = asyncio.get_running_loop()

            async def start(connect, mode):
                read, write = os.pipe()
                mine, other = (read, write) if mode == 'rb' else (write, read)
                try:
                    return await connect(
                        asyncio.BaseProtocol, os.fdopen(mine, mode))
                finally:
                    # (At the end of a read pipe its transport closes it.)
                    loop.call_soon(os.close, other)

            await self.check(
                lambda: start(loop.connect_read_pipe, 'rb'), self.close)
            await self.check(
                lambda: start(loop.connect_write_pipe, 'wb'), self.close)

        self.run_main(main())


@matrix
@unittest.skipIf(sys.platform == 'win32', 'processes of POSIX')
class SubprocessTests:

    def test_B_subprocess(self):
        children = []

        async def main():
            def popen(transport, *args, **kwargs):
                start(transport, *args, **kwargs)
                children.append(transport._proc)

            cls = asyncio.unix_events._UnixSubprocessTransport
            start = cls._start
            with unittest.mock.patch.object(cls, '_start', popen):
                await self.check(
                    lambda: asyncio.create_subprocess_exec(
                        'cat', stdin=asyncio.subprocess.PIPE,
                        stdout=asyncio.subprocess.PIPE),
                    self.end)

        self.run_main(main())
        self.assertTrue(children)
        for child in children:
            self.assertIsNotNone(child.returncode)

    def test_7_2_shielded_cleanup_starts_a_subprocess(self):
        async def main():
            try:
                await asyncio.Event().wait()
            finally:
                with asyncio.CancelScope(shield=True):
                    process = await asyncio.create_subprocess_exec(
                        'cat', stdin=asyncio.subprocess.PIPE,
                        stdout=asyncio.subprocess.PIPE)
                    process.stdin.close()
                    ends.append(await process.stdout.read())
                    ends.append(await process.wait())

        ends = []
        self.run_main(run_and_cancel(main()))
        self.assertEqual(ends, [b'', 0])

    def test_B_killed_in_cleanup_that_is_interrupted(self):
        # Its end is noticed late, as if it took some time.
        class Watcher(asyncio.unix_events._PidfdChildWatcher):
            def _do_wait(self, pid, pidfd, callback, args):
                asyncio.get_running_loop()._remove_reader(pidfd)
                after(50, lambda: super(Watcher, self)._do_wait(
                    pid, pidfd, callback, args))

        async def run(wait):
            process = await asyncio.create_subprocess_exec(
                'cat', stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE)
            try:
                await asyncio.Event().wait()
            finally:
                if close:
                    process._transport.close()
                else:
                    process.kill()
                await wait(process)

        async def main(wait):
            if pidfd:
                asyncio.get_running_loop()._watcher = Watcher()
            task = asyncio.create_task(run(wait))
            after(TICKS, task.cancel)
            await asyncio.wait([task])

        cls = asyncio.subprocess.Process
        pidfd = asyncio.unix_events.can_use_pidfd()
        for wait, close in ((cls.wait, False), (cls.communicate, False),
                            (cls.wait, True)):
            with self.subTest(wait=wait.__name__, close=close):
                before = os_helper.fd_count()
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter('always', ResourceWarning)
                    self.run_main(main(wait))
                    support.gc_collect()
                self.assertEqual([str(w.message) for w in caught], [])
                self.assertEqual(os_helper.fd_count(), before)
                with self.assertRaises(ChildProcessError):
                    os.waitpid(-1, os.WNOHANG)

    async def end(self, process):
        process.kill()
        await process.wait()
        process._transport.close()


if __name__ == '__main__':
    unittest.main()
