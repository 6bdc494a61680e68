"""Programs that use connections, servers, pipes and TLS of the loop."""

import asyncio
import contextlib
import functools
import os
import pathlib
import socket
import ssl
import tempfile
import test

from ..cases import program
from .sockets import DATA, client_of, listener, loop, pair, path, received

_CERTIFICATES = pathlib.Path(test.__path__[0]) / 'certdata'


class Protocol(asyncio.Protocol):
    """Notes what it is told; those that a server makes are in `connections`."""

    def __init__(self, connections=None):
        self.transport, self.data, self.lost = None, b'', False
        if connections is not None:
            connections.append(self)

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data

    def connection_lost(self, exc):
        self.lost = True


@functools.cache
def client_context():
    context = ssl.create_default_context()
    context.load_verify_locations(_CERTIFICATES / 'pycacert.pem')
    context.check_hostname = False
    return context


@functools.cache
def server_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_CERTIFICATES / 'keycert3.pem')
    return context


async def close(*transports):
    for transport in transports:
        transport.abort()
    await asyncio.sleep(0)


async def end_connection(outcome):
    if outcome.finished:
        await close(outcome.value[0])


@program('loop.create_connection')
async def create_connection(case):
    _, address = listener(case)
    await end_connection((yield lambda: loop().create_connection(Protocol, *address)))


@program('loop.create_connection')
async def create_connection_by_name(case):
    """The name is looked up in a thread."""
    _, (_, port) = listener(case)
    await end_connection((yield lambda: loop().create_connection(Protocol, 'localhost', port, family=socket.AF_INET)))


@program('loop.create_connection', loops=['asyncio'])  # uvloop has no happy eyeballs.
async def create_connection_by_race(case):
    """Two addresses are tried, one of which refuses."""
    _, (_, port) = listener(case)
    await end_connection((yield lambda: loop().create_connection(
        Protocol, 'localhost', port, happy_eyeballs_delay=0.001, interleave=1)))


@program('loop.create_connection')
async def create_connection_of_socket(case):
    ours, _ = pair(case)
    await end_connection((yield lambda: loop().create_connection(Protocol, sock=ours)))


@program('loop.create_connection', returns='refused')
async def create_connection_that_is_refused(case):
    async def body():
        try:
            await loop().create_connection(Protocol, *address)
        except ConnectionRefusedError:
            return 'refused'

    server, address = listener(case)
    server.close()
    yield body


async def end_server(server, connections=()):
    server.close()
    for protocol in connections:
        if protocol.transport is not None:
            protocol.transport.abort()
    for _ in range(3):
        await asyncio.sleep(0)


@program('loop.create_connection')
async def create_connection_with_tls(case):
    async def serve():
        connection, _ = await loop().sock_accept(server)
        made.extend((await loop().connect_accepted_socket(Protocol, connection, ssl=server_context()))[:1])

    server, address = listener(case)
    made = []
    case.start_peer(serve())
    await end_connection((yield lambda: loop().create_connection(
        Protocol, *address, ssl=client_context(), server_hostname='localhost')))
    await case.stop_peers()
    await close(*made)


@program('loop.connect_accepted_socket')
async def connect_accepted_socket(case):
    ours, _ = pair(case)
    await end_connection((yield lambda: loop().connect_accepted_socket(Protocol, ours)))


@program('loop.connect_accepted_socket', 'loop.start_tls')
async def tls_on_both_sides(case):
    async def body():
        transport, protocol = await loop().create_connection(Protocol, sock=ours)
        made.append(transport)
        made.append(await loop().start_tls(transport, protocol, client_context(), server_hostname='localhost'))

    async def serve():
        made.extend((await loop().connect_accepted_socket(Protocol, theirs, ssl=server_context()))[:1])

    ours, theirs = pair(case)
    made = []
    case.start_peer(serve())
    yield body
    await case.stop_peers()
    await close(*made)


@program('loop.create_unix_connection')
async def create_unix_connection(case):
    address = path(case)
    server = case.enter(socket.socket(socket.AF_UNIX))
    server.bind(address)
    server.listen()
    await end_connection((yield lambda: loop().create_unix_connection(Protocol, address)))


@program('loop.create_datagram_endpoint')
async def create_datagram_endpoint(case):
    await end_connection((yield lambda: loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=('127.0.0.1', 0))))


@program('loop.create_server')
async def create_server(case):
    outcome = yield lambda: loop().create_server(Protocol, '127.0.0.1', 0)
    if outcome.finished:
        await end_server(outcome.value)


@program('loop.create_server')
async def create_server_of_names(case):
    outcome = yield lambda: loop().create_server(Protocol, ['localhost', '127.0.0.1'], 0, family=socket.AF_INET)
    if outcome.finished:
        await end_server(outcome.value)


@program('loop.create_server')
async def create_server_of_socket(case):
    """A socket that has been given remains the caller's."""
    sock, address = listener(case)
    connections = []
    outcome = yield lambda: loop().create_server(lambda: Protocol(connections), sock=sock)
    if outcome.finished:
        await end_server(outcome.value, connections)
        return
    client_of(case, address)
    for _ in range(5):
        await asyncio.sleep(0)
    case.expect(not connections, 'a server that was cancelled accepts connections')
    for protocol in connections:
        protocol.transport.abort()
    await asyncio.sleep(0)


@program('loop.create_unix_server')
async def create_unix_server(case):
    address = path(case)
    outcome = yield lambda: loop().create_unix_server(Protocol, address)
    if outcome.finished:
        await end_server(outcome.value)


@program('Server.start_serving')
async def start_serving(case):
    server = await loop().create_server(Protocol, '127.0.0.1', 0, start_serving=False)
    yield server.start_serving
    await end_server(server)


@program('Server.serve_forever')
async def serve_forever(case):
    """A server with a client ends when somebody closes it."""
    async def body():
        try:
            await server.serve_forever()
        except asyncio.CancelledError:
            if not stopped:
                raise

    def stop():
        stopped.append(1)
        for task in tasks:
            task.cancel()

    async def run():
        tasks.append(asyncio.ensure_future(body()))
        await asyncio.wait(tasks)
        return await tasks[0] if not tasks[0].cancelled() else None

    connections, stopped, tasks = [], [], []
    server = await loop().create_server(lambda: Protocol(connections), '127.0.0.1', 0)
    client_of(case, server.sockets[0].getsockname())
    case.at(5, stop)
    yield run
    stop()
    if tasks:
        await asyncio.wait(tasks)
    case.expect(not (tasks and server.is_serving()), 'it still serves')
    await end_server(server, connections)


@program('Server.serve_forever')
async def serve_forever_directly(case):
    async def body():
        try:
            async with asyncio.timeout(0.004):
                await server.serve_forever()
        except TimeoutError:
            pass

    connections = []
    server = await loop().create_server(lambda: Protocol(connections), '127.0.0.1', 0)
    client_of(case, server.sockets[0].getsockname())
    outcome = yield body
    case.expect(outcome.kind == 'not started' or not server.is_serving(), 'it still serves')
    await end_server(server, connections)


@program('Server.__aenter__', 'Server.__aexit__', 'Server.wait_closed')
async def server_as_block(case):
    async def body():
        async with server:
            await asyncio.sleep(0)

    connections = []
    server = await loop().create_server(lambda: Protocol(connections), '127.0.0.1', 0)
    client_of(case, server.sockets[0].getsockname())
    for turn in range(4, 8):
        case.at(turn, lambda: [protocol.transport.abort() for protocol in connections])
    outcome = yield body
    case.expect(outcome.kind == 'not started' or not server.is_serving(), 'it still serves')
    await end_server(server, connections)


def pipe(case):
    """Return both ends of a pipe as files, which are closed at the end."""
    files = []
    for number, mode in zip(os.pipe(), ('rb', 'wb')):
        files.append(os.fdopen(number, mode, 0))
        case.enter(contextlib.suppress(OSError))  # uvloop closes the descriptor, and leaves the file as it is.
        case.enter(files[-1])
    return files


@program('loop.connect_read_pipe')
async def connect_read_pipe(case):
    reading, _ = pipe(case)
    outcome = yield lambda: loop().connect_read_pipe(Protocol, reading)
    if outcome.finished:
        outcome.value[0].close()
        await asyncio.sleep(0)


@program('loop.connect_write_pipe')
async def connect_write_pipe(case):
    _, writing = pipe(case)
    await end_connection((yield lambda: loop().connect_write_pipe(Protocol, writing)))


@program('loop.sendfile', loops=['asyncio'])  # uvloop has not got it.
async def sendfile(case):
    ours, theirs = pair(case)
    file = case.enter(tempfile.TemporaryFile())
    file.write(DATA * 3000)
    file.seek(0)
    transport, _ = await loop().create_connection(Protocol, sock=ours)
    got = []
    for turn in range(2, 12):
        case.at(turn, lambda: got.append(received(theirs)))
    outcome = yield lambda: loop().sendfile(transport, file)
    size = len(b''.join(got) + received(theirs))
    case.expect(not outcome.finished or outcome.value == size == len(DATA) * 3000, f'{size} bytes have been sent')
    await close(transport)
