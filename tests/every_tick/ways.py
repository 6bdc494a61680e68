"""The ways to interrupt a program, and what each has to come to."""

import asyncio
import signal

from . import audit

WAYS = {}


def way(name, *, stock=True, immediate=False, outer=False, lasting=True):
    """Decorator: a coroutine function, or for what runs in main a plain one, that runs a case.

    Args:
        stock: stock asyncio has it as well.
        immediate: the request is made in the very turn that the case names, and not some turns later.
        outer: it makes sense inside a shield in a cancelled scope.
        lasting: the request is in force until the program has ended.
    """
    def decorate(function):
        function.name, function.stock, function.immediate = name, stock, immediate
        function.outer, function.lasting = outer, lasting
        WAYS[name] = function
        return function
    return decorate


def run(case, runner):
    """Run the interrupted part of a case in its way."""
    if case.way.name in IN_MAIN:
        case.way(case, runner)
        return

    async def main():
        coro = case.way(case)
        task = await _finish(case, asyncio.create_task(_in_cancelled_scope(coro) if case.shield == 'outer' else coro))
        if not task.cancelled():
            task.result()
        elif case.way.name not in ('task', 'twice'):
            case.problems.append('the task has been cancelled')

    runner.run(main())


async def _finish(case, task):
    """Wait for a task; let the interruption come if it is late."""
    await asyncio.wait([task])
    while case.is_ticking and not case.fired:
        await asyncio.sleep(0)
    case.stop_clock()
    return task


async def _in_cancelled_scope(coro):
    with asyncio.CancelScope() as scope:
        scope.cancel()
        with asyncio.CancelScope(shield=True):
            await coro


async def _expect_no_trace(case):
    """Nothing is left of a request whose scope or timer has been left."""
    case.expect(asyncio.current_task().cancelling() == 0, 'a request is still counted')
    try:
        for _ in range(3):
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        case.problems.append('a request that is over cancels what comes after it')


@way('none', outer=True)
async def _none(case):
    case.start_clock(lambda: None)
    await case.region()
    await _expect_no_trace(case)


@way('task', immediate=True)
async def _task(case):
    """Task.cancel(), from outside of the task."""
    await _cancel(case, lambda task: task.cancel())


@way('twice', immediate=True)
async def _twice(case):
    """Task.cancel(), and again in the next turn, when the clean-up may have begun."""
    def cancel(task):
        task.cancel()
        asyncio.get_running_loop().call_soon(task.cancel)

    await _cancel(case, cancel)


async def _cancel(case, cancel):
    case.start_clock(lambda: cancel(task))
    task = asyncio.create_task(case.region())
    await _finish(case, task)
    if case.escaped:
        case.expect(task.cancelled(), 'CancelledError left the coroutine, and the task is not cancelled')
    elif task.cancelled():  # Rule 5.2, and stock: a request that comes after the last yield.
        case.expect(case.interrupted, 'the task is cancelled, and no request came in time')


@way('timer', immediate=True, outer=True)
async def _timer(case):
    """Task.cancel(), and uncancel() when the program has ended, as in the timers of async_timeout and aiohttp."""
    task = asyncio.current_task()
    case.start_clock(task.cancel)
    try:
        await case.region()
    except asyncio.CancelledError:
        case.expect(case.fired, 'cancelled by nobody')
    case.stop_clock()
    if case.fired:
        task.uncancel()
    await _expect_no_trace(case)


@way('undone', immediate=True, outer=True, lasting=False)
async def _undone(case):
    """Task.cancel() that is taken back at once: what has been interrupted may be, nothing else."""
    def interrupt():
        task.cancel()
        task.uncancel()

    task = asyncio.current_task()
    case.start_clock(interrupt)
    try:
        await case.region()
    except asyncio.CancelledError:
        case.expect(case.fired, 'cancelled by nobody')
    case.stop_clock()
    await _expect_no_trace(case)


@way('scope', stock=False, immediate=True, outer=True)
async def _scope(case):
    with asyncio.CancelScope() as scope:
        case.start_clock(scope.cancel)
        await case.region()
    case.expect(scope.cancelled_caught == case.escaped, f'cancelled_caught is {scope.cancelled_caught}')
    await _expect_no_trace(case)


@way('before', stock=False, immediate=True, outer=True)
async def _before(case):
    """A scope that is cancelled before the call."""
    with asyncio.CancelScope() as scope:
        scope.cancel()
        case.interrupted = case.fired = True
        case.start_clock(lambda: None)
        await case.region()
    case.expect(scope.cancelled_caught == case.escaped, f'cancelled_caught is {scope.cancelled_caught}')
    await _expect_no_trace(case)


@way('deadline', outer=True)
async def _deadline(case):
    def expire():
        if active:
            limit.reschedule(asyncio.get_running_loop().time())

    active = True
    try:
        async with asyncio.timeout(None) as limit:
            case.start_clock(expire)
            try:
                await case.region()
            finally:
                active = False
    except TimeoutError:
        case.expect(case.escaped, 'TimeoutError, though no CancelledError has left the program')
    else:
        case.expect(not case.escaped, 'no TimeoutError')
    await _expect_no_trace(case)


@way('sibling', outer=True)
async def _sibling(case):
    """Another task of the same group fails."""
    failure = _Failure()
    try:
        async with asyncio.TaskGroup() as group:
            case.start_clock(failure.make)
            group.create_task(failure.wait())
            group.create_task(failure.prevent_after(case.region()))
    except BaseExceptionGroup as group:
        case.expect(failure.made and _is_failure(group), f'the group raised {audit.describe(group)}')
    else:
        case.expect(not failure.made, 'the group did not raise the error of a member')
    await _expect_no_trace(case)


@way('root', stock=False)
def _root(case, runner):
    """A background task fails."""
    async def main():
        background = asyncio.create_task(failure.wait())
        case.start_clock(failure.make)
        try:
            await failure.prevent_after(case.region())
        finally:
            case.stop_clock()
            with asyncio.CancelScope(shield=True):
                await asyncio.wait([background])

    failure = _Failure()
    try:
        runner.run(main())
    except BaseExceptionGroup as group:
        case.expect(failure.made and _is_failure(group), f'run() raised {audit.describe(group)}')
    except asyncio.CancelledError:
        case.problems.append('run() raised CancelledError')
    else:
        case.expect(not failure.made, 'run() did not raise the error of a background task')


@way('sigint')
def _sigint(case, runner):
    _signal(case, runner, signal.SIGINT, KeyboardInterrupt)


@way('sigterm', stock=False)
def _sigterm(case, runner):
    _signal(case, runner, signal.SIGTERM, asyncio.Terminated)


def _signal(case, runner, number, expected):
    async def main():
        case.start_clock(lambda: signal.raise_signal(number))
        try:
            await case.region()
        finally:
            case.stop_clock()

    try:
        runner.run(main())
    except (KeyboardInterrupt, asyncio.CancelledError) as exc:
        case.expect(case.fired and type(exc) is expected, f'run() raised {exc!r}')
    else:
        case.expect(not case.escaped, f'run() did not raise {expected.__name__}')


# What runs in main, and interrupts it.
IN_MAIN = 'root', 'sigint', 'sigterm'


class Interruption(Exception):
    """What a sibling or a background task fails with, in order to interrupt."""


class _Failure:
    """A task that fails when it is told to."""

    def __init__(self):
        self.made = False
        self._told = asyncio.Event()

    async def wait(self):
        await self._told.wait()
        if self.made:
            raise Interruption

    def make(self):
        if not self._told.is_set():
            self.made = True
            self._told.set()

    async def prevent_after(self, coro):
        """Run what the failure is to interrupt; when it has ended, the task does not fail any more."""
        try:
            await coro
        finally:
            self._told.set()


def _is_failure(group):
    return len(group.exceptions) == 1 and isinstance(group.exceptions[0], Interruption)
