"""Programs that use the loop's methods for sockets, and its name lookups."""

import asyncio
import os
import socket
import tempfile

from ..cases import program

DATA = b'0123456789' * 10


def pair(case, kind=socket.SOCK_STREAM):
    """Return two sockets that do not block and are connected."""
    both = socket.socketpair(type=kind)
    for sock in both:
        sock.setblocking(False)
        case.enter(sock)
    return both


def listener(case):
    """Return (a socket that listens, does not block, and accepts by itself as far as clients can see; its address)."""
    sock = case.enter(socket.create_server(('127.0.0.1', 0)))
    sock.setblocking(False)
    return sock, sock.getsockname()


def client_of(case, address):
    sock = case.enter(socket.socket())
    sock.setblocking(False)
    sock.connect_ex(address)
    return sock


def received(sock):
    """Return what can be read from a socket now."""
    found = b''
    try:
        while more := sock.recv(100_000):
            found += more
    except BlockingIOError:
        pass
    return found


def loop():
    return asyncio.get_running_loop()


@program('loop.sock_recv', returns=DATA)
async def sock_recv(case):
    ours, theirs = pair(case)
    case.at(2, theirs.send, DATA)
    outcome = yield lambda: loop().sock_recv(ours, 1000)
    case.expect((outcome.value or b'') + received(ours) == DATA, 'data is lost or doubled')


@program('loop.sock_recv_into', returns=len(DATA))
async def sock_recv_into(case):
    ours, theirs = pair(case)
    buffer = bytearray(1000)
    case.at(2, theirs.send, DATA)
    outcome = yield lambda: loop().sock_recv_into(ours, buffer)
    case.expect(bytes(buffer[:outcome.value or 0]) + received(ours) == DATA, 'data is lost or doubled')


@program('loop.sock_recvfrom', loops=['asyncio'])  # uvloop has not got it.
async def sock_recvfrom(case):
    ours, theirs = pair(case, socket.SOCK_DGRAM)
    case.at(2, theirs.send, DATA)
    outcome = yield lambda: loop().sock_recvfrom(ours, 1000)
    data = outcome.value[0] if outcome.finished else received(ours)
    case.expect(data == DATA, 'data is lost or doubled')


@program('loop.sock_recvfrom_into', loops=['asyncio'])  # uvloop has not got it.
async def sock_recvfrom_into(case):
    ours, theirs = pair(case, socket.SOCK_DGRAM)
    buffer = bytearray(1000)
    case.at(2, theirs.send, DATA)
    outcome = yield lambda: loop().sock_recvfrom_into(ours, buffer)
    data = bytes(buffer[:outcome.value[0]]) if outcome.finished else received(ours)
    case.expect(data == DATA, 'data is lost or doubled')


@program('loop.sock_sendall')
async def sock_sendall(case):
    """The buffers of the kernel are full until the other side reads."""
    def read():
        got.append(received(theirs))

    ours, theirs = pair(case)
    data, got = bytes(1_000_000), []
    for turn in range(2, 12):
        case.at(turn, read)
    outcome = yield lambda: loop().sock_sendall(ours, data)
    read()
    size = sum(map(len, got))
    case.expect(size == len(data) if outcome.finished else size <= len(data), f'{size} bytes have been sent')


@program('loop.sock_sendto', loops=['asyncio'], returns=len(DATA))  # uvloop has not got it.
async def sock_sendto(case):
    ours, theirs = (case.enter(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2))
    for sock in ours, theirs:
        sock.setblocking(False)
        sock.bind(('127.0.0.1', 0))
    yield lambda: loop().sock_sendto(ours, DATA, theirs.getsockname())


@program('loop.sock_connect')
async def sock_connect(case):
    _, address = listener(case)
    sock = case.enter(socket.socket())
    sock.setblocking(False)
    yield lambda: loop().sock_connect(sock, address)


@program('loop.sock_accept')
async def sock_accept(case):
    """A connection is returned or still waits to be accepted."""
    server, address = listener(case)
    case.at(2, lambda: client_of(case, address))
    outcome = yield lambda: loop().sock_accept(server)
    if outcome.finished:
        outcome.value[0].close()
        return
    await asyncio.sleep(0)
    try:
        server.accept()[0].close()
    except BlockingIOError:
        case.problems.append('a connection is lost')


@program('loop.sock_sendfile', loops=['asyncio'])  # uvloop has not got it.
async def sock_sendfile(case):
    ours, theirs = pair(case)
    file = case.enter(tempfile.TemporaryFile())
    file.write(DATA * 3000)
    file.seek(0)
    got = []
    for turn in range(2, 12):
        case.at(turn, lambda: got.append(received(theirs)))
    outcome = yield lambda: loop().sock_sendfile(ours, file)
    size = len(b''.join(got) + received(theirs))
    case.expect(not outcome.finished or outcome.value == size == len(DATA) * 3000, f'{size} bytes have been sent')


@program('loop.sock_sendfile', loops=['asyncio'])  # uvloop has not got it.
async def sock_sendfile_by_reading(case):
    """A file that the system cannot send is read in a thread."""
    ours, theirs = pair(case)
    file = case.enter(tempfile.SpooledTemporaryFile())
    file.write(DATA)
    file.seek(0)
    outcome = yield lambda: loop().sock_sendfile(ours, file)
    case.expect(not outcome.finished or received(theirs) == DATA, 'not all has been sent')


@program('loop.getaddrinfo')
async def getaddrinfo(case):
    outcome = yield lambda: loop().getaddrinfo('localhost', 80, type=socket.SOCK_STREAM)
    case.expect(not outcome.finished or outcome.value, 'no address')


@program('loop.getnameinfo')
async def getnameinfo(case):
    yield lambda: loop().getnameinfo(('127.0.0.1', 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)


def path(case):
    """Return the path of a socket in a folder that is removed."""
    return os.path.join(case.enter(tempfile.TemporaryDirectory()), 'socket')
