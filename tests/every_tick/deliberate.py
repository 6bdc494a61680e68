"""Programs that leave something when they are interrupted, one for each thing that is looked for."""

import asyncio
import os
import signal
import socket
import subprocess
import threading
import warnings

from .cases import program

kept = []


async def wait_then(leave):
    """Wait for a while; leave something if that is interrupted."""
    try:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        leave()
        raise


def leaving(deliberate):
    """Decorator: a function that leaves something becomes a program."""
    def decorate(function):
        async def run(case):
            yield lambda: wait_then(function)
        run.__name__ = function.__name__
        return program(deliberate=deliberate)(run)
    return decorate


@leaving('task left')
def leave_task():
    kept.append(asyncio.ensure_future(asyncio.Event().wait()))


@leaving('timer left')
def leave_timer():
    asyncio.get_running_loop().call_later(60, print)


@leaving('descriptor left: pipe')
def leave_descriptor():
    os.pipe()


@leaving('ResourceWarning: unclosed')
def leave_socket():
    socket.socket()


@leaving('watched descriptor left')
def leave_watched_socket():
    kept.extend(socket.socketpair())
    asyncio.get_running_loop().add_reader(kept[-1], print)


@leaving('child process left: running')
def leave_child():
    kept.append(subprocess.Popen(['/bin/sleep', '60']))


@leaving('child process left: zombie')
def leave_zombie():
    kept.append(subprocess.Popen(['/bin/true']))


@leaving('thread left')
def leave_thread():
    threading.Thread(target=threading.Event().wait, name='left', daemon=True).start()


@leaving('handler of signal')
def leave_handler():
    signal.signal(signal.SIGTERM, lambda *args: None)


@leaving('logged: Future exception was never retrieved')
def leave_exception():
    asyncio.get_running_loop().create_future().set_exception(ValueError())


@leaving('never awaited')
def leave_coroutine():
    asyncio.sleep(0)


@leaving('DeprecationWarning')
def leave_warning():
    warnings.warn('deprecated', DeprecationWarning)


@program(deliberate='the outcome is ValueError')
async def raise_something_else(case):
    async def body():
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            raise ValueError from None

    yield body


@program(deliberate='the result is', returns='result')
async def return_something_else(case):
    async def body():
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return 'something else'
        return 'result'

    yield body


@program(deliberate='the lock is held by nobody')
async def leave_lock(case):
    async def body():
        await lock.acquire()
        await asyncio.sleep(0)
        lock.release()

    lock = asyncio.Lock()
    yield body
    case.expect(not lock.locked(), 'the lock is held by nobody')


@program(deliberate='an item is lost')
async def lose_item(case):
    async def body():
        await queue.get()
        await asyncio.sleep(0)
        done.append(1)

    queue, done = asyncio.Queue(), []
    queue.put_nowait('item')
    yield body
    case.expect(done or queue.qsize(), 'an item is lost')


@program(deliberate='hangs')
async def hang(case):
    yield lambda: wait_then(threading.Event().wait)


@program(deliberate='crashes')
async def crash(case):
    yield lambda: wait_then(os.abort)
