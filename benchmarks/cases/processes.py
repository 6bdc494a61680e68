"""What a program pays once: asyncio.run(), and the import."""

import asyncio
import os
import sys

from benchmarks import peers
from benchmarks.cases.case import Case, check, clock

_CHECKED = "import asyncio; assert asyncio.run(asyncio.sleep(0, 'done')) == 'done'"


async def _answer():
    return 1


def _measure(run, count):
    total = 0
    begin = clock()
    for _ in range(count):
        total += run()
    used = clock() - begin
    check(total == count)
    return used, count


def _run(library, count, size):
    return _measure(lambda: asyncio.run(_answer()), count)


def _run_uvloop(library, count, size):
    factory = peers.PEERS['uvloop'].loop_factory()
    return _measure(lambda: asyncio.run(_answer(), loop_factory=factory), count)


def _run_rloop(library, count, size):
    factory = peers.PEERS['rloop'].loop_factory()
    return _measure(lambda: asyncio.run(_answer(), loop_factory=factory), count)


def _run_anyio(library, count, size):
    import anyio
    return _measure(lambda: anyio.run(_answer), count)


def _run_trio(library, count, size):
    import trio
    return _measure(lambda: trio.run(_answer), count)


def _spawn(program):
    """Run a program on this interpreter; return the processor time that it has used."""
    # Without `site`, so that what is installed beside asyncio counts for nothing.
    child = os.posix_spawn(sys.executable, [sys.executable, '-I', '-S', '-c', program], os.environ)
    _, status, usage = os.wait4(child, 0)
    check(status == 0, f'{program} failed')
    return usage.ru_utime + usage.ru_stime


def _import(library, count, size):
    used = sum(_spawn('import asyncio') for _ in range(count))
    _spawn(_CHECKED)
    return used, count


run = Case('run', 'asyncio.run(coro()), or as the library calls it', {
    'stock patched': _run, 'uvloop': _run_uvloop, 'rloop': _run_rloop, 'anyio native': _run_anyio, 'trio': _run_trio})
import_asyncio = Case('import_asyncio', "a process that runs `import asyncio`", {'stock patched': _import})
