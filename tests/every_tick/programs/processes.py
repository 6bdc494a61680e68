"""Programs that use child processes."""

import asyncio
import contextlib
import subprocess

from ..cases import program
from .sockets import loop

PIPE = subprocess.PIPE
CAT = '/bin/cat'


async def end(process):
    """Kill a process and wait for it."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    process._transport.close()
    await asyncio.sleep(0)


async def end_result(outcome):
    if outcome.finished:
        await end(outcome.value)


@program('create_subprocess_exec')
async def create_subprocess_exec(case):
    await end_result((yield lambda: asyncio.create_subprocess_exec(CAT, stdin=PIPE, stdout=PIPE)))


@program('create_subprocess_exec')
async def create_subprocess_exec_without_pipes(case):
    await end_result((yield lambda: asyncio.create_subprocess_exec('/bin/sleep', '60')))


@program('create_subprocess_shell')
async def create_subprocess_shell(case):
    await end_result((yield lambda: asyncio.create_subprocess_shell('exec cat', stdin=PIPE)))


@program('loop.subprocess_exec')
async def subprocess_exec(case):
    await end_transport((yield lambda: loop().subprocess_exec(
        asyncio.SubprocessProtocol, CAT, stdin=PIPE, stdout=PIPE, stderr=None)))


@program('loop.subprocess_shell')
async def subprocess_shell(case):
    await end_transport((yield lambda: loop().subprocess_shell(
        asyncio.SubprocessProtocol, 'exec cat', stdin=PIPE, stdout=None, stderr=None)))


async def end_transport(outcome):
    if outcome.finished:
        outcome.value[0].close()
        while outcome.value[0].get_returncode() is None:
            await asyncio.sleep(0.001)


@program('Process.wait', returns=0)
async def process_wait(case):
    process = await asyncio.create_subprocess_exec(CAT, stdin=PIPE)
    case.at(2, process.stdin.close)
    yield process.wait
    case.expect(await process.wait() == 0, 'a second wait() returns something else')
    await end(process)


@program('Process.communicate')
async def process_communicate(case):
    process = await asyncio.create_subprocess_exec(CAT, stdin=PIPE, stdout=PIPE)
    outcome = yield lambda: process.communicate(b'data')
    case.expect(not outcome.finished or outcome.value == (b'data', None), f'the output is {outcome.value}')
    await end(process)


@program('Process.communicate', 'create_subprocess_exec')
async def run_process(case):
    async def body():
        process = await asyncio.create_subprocess_exec(CAT, stdin=PIPE, stdout=PIPE)
        try:
            return await process.communicate(b'data')
        finally:
            if process.returncode is None:
                process.kill()

    outcome = yield body
    case.expect(not outcome.finished or outcome.value == (b'data', None), f'the output is {outcome.value}')
