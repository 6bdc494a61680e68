"""Programs that use streams."""

import asyncio
import socket

from ..cases import program
from .sockets import DATA, client_of, listener, loop, pair, path, received
from .transports import client_context, server_context

LINES = b'first\nsecond\n'


async def connect(case):
    """Return (reader, writer, a socket that is the other side)."""
    ours, theirs = pair(case)
    return *(await asyncio.open_connection(sock=ours)), theirs


async def close(writer):
    writer.transport.abort()
    await asyncio.sleep(0)


async def end_streams(outcome):
    if outcome.finished:
        await close(outcome.value[1])


async def check_rest(case, reader, writer, theirs, outcome, wanted=LINES):
    """What the interrupted call did not return is still there."""
    theirs.shutdown(socket.SHUT_WR)
    rest = await reader.read()
    case.expect((outcome.value or b'') + rest == wanted, 'data is lost or doubled')
    await close(writer)


@program('StreamReader.read', returns=LINES)
async def read(case):
    reader, writer, theirs = await connect(case)
    case.at(2, theirs.send, LINES)
    outcome = yield lambda: reader.read(100)
    await check_rest(case, reader, writer, theirs, outcome)


@program('StreamReader.readexactly', returns=LINES[:8])
async def readexactly(case):
    reader, writer, theirs = await connect(case)
    case.at(2, theirs.send, LINES[:4])
    case.at(4, theirs.send, LINES[4:])
    outcome = yield lambda: reader.readexactly(8)
    await check_rest(case, reader, writer, theirs, outcome)


@program('StreamReader.readline', returns=b'first\n')
async def readline(case):
    reader, writer, theirs = await connect(case)
    case.at(2, theirs.send, LINES[:4])
    case.at(4, theirs.send, LINES[4:])
    outcome = yield reader.readline
    await check_rest(case, reader, writer, theirs, outcome)


@program('StreamReader.readuntil', returns=b'first\nsec')
async def readuntil(case):
    reader, writer, theirs = await connect(case)
    case.at(2, theirs.send, LINES[:4])
    case.at(4, theirs.send, LINES[4:])
    outcome = yield lambda: reader.readuntil(b'sec')
    await check_rest(case, reader, writer, theirs, outcome)


@program('StreamReader.__aiter__', 'StreamReader.__anext__')
async def lines(case):
    async def body():
        async for line in reader:
            got.append(line)

    reader, writer, theirs = await connect(case)
    got = []
    case.at(2, theirs.send, LINES)
    case.at(4, theirs.shutdown, socket.SHUT_WR)
    outcome = yield body
    case.expect(b''.join(got) + await reader.read() == LINES, 'data is lost or doubled')
    case.expect(not outcome.finished or len(got) == 2, f'{got} are the lines')
    await close(writer)


@program('StreamWriter.drain')
async def drain(case):
    async def body():
        writer.write(bytes(1_000_000))
        await writer.drain()
        await asyncio.sleep(0)
        await writer.drain()

    _, writer, theirs = await connect(case)
    for turn in range(2, 14):
        case.at(turn, received, theirs)
    yield body
    await close(writer)


@program('StreamWriter.wait_closed')
async def wait_closed(case):
    async def body():
        writer.close()
        await writer.wait_closed()

    _, writer, _ = await connect(case)
    yield body
    await close(writer)


@program('StreamWriter.start_tls')
async def stream_start_tls(case):
    async def body():
        reader, writer = await asyncio.open_connection(sock=ours)
        made.append(writer)
        await writer.start_tls(client_context(), server_hostname='localhost')
        writer.write(b'ping\n')
        return await reader.readline()

    async def serve():
        reader, writer = await asyncio.open_connection(sock=theirs)
        made.append(writer)
        # (open_connection() makes a client of TLS only.)
        transport = await loop().start_tls(writer.transport, writer.transport.get_protocol(), server_context(),
                                           server_side=True)
        writer._transport = transport
        reader._transport = transport
        writer.write(await reader.readline())

    ours, theirs = pair(case)
    made = []
    case.start_peer(serve())
    outcome = yield body
    case.expect(not outcome.finished or outcome.value == b'ping\n', f'read {outcome.value}')
    await case.stop_peers()
    for writer in made:
        await close(writer)


@program('open_connection')
async def open_connection(case):
    _, address = listener(case)
    await end_streams((yield lambda: asyncio.open_connection(*address)))


@program('open_unix_connection')
async def open_unix_connection(case):
    address = path(case)
    server = case.enter(socket.socket(socket.AF_UNIX))
    server.bind(address)
    server.listen()
    await end_streams((yield lambda: asyncio.open_unix_connection(address)))


@program('start_server')
async def start_server(case):
    outcome = yield lambda: asyncio.start_server(lambda reader, writer: None, '127.0.0.1', 0)
    if outcome.finished:
        outcome.value.close()
        await asyncio.sleep(0)


@program('start_unix_server')
async def start_unix_server(case):
    address = path(case)
    outcome = yield lambda: asyncio.start_unix_server(lambda reader, writer: None, address)
    if outcome.finished:
        outcome.value.close()
        await asyncio.sleep(0)


@program('start_server', 'StreamReader.readline', 'StreamWriter.drain', 'StreamWriter.wait_closed',
         spawns=True)
async def echo(case):
    """A server, its handler and a client, all of them interrupted."""
    async def answer(reader, writer):
        try:
            writer.write(await reader.readline())
            await writer.drain()
        finally:
            writer.close()

    async def body():
        async with await asyncio.start_server(answer, '127.0.0.1', 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            try:
                writer.write(b'ping\n')
                await writer.drain()
                return await reader.readline()
            finally:
                writer.close()

    outcome = yield body
    case.expect(not outcome.finished or outcome.value == b'ping\n', f'read {outcome.value}')


@program('start_server')
async def handler(case):
    """The handler of a client is what is interrupted, with the server that goes on."""
    async def answer(reader, writer):
        writers.append(writer)
        try:
            writer.write(await reader.readline())
            await writer.drain()
        except (ConnectionError, RuntimeError):  # uvloop raises the second one.
            pass
        finally:
            writer.close()
            ended.set()

    async def body():
        clients.append(client_of(case, server.sockets[0].getsockname()))
        await asyncio.sleep(0)
        clients[0].send(DATA + b'\n')
        await ended.wait()

    ended, clients, writers = asyncio.Event(), [], []
    server = await asyncio.start_server(answer, '127.0.0.1', 0)
    yield body
    if clients:
        # The server may have to accept it yet.
        clients[0].close()
        await ended.wait()
    server.close()
    for writer in writers:
        await close(writer)
