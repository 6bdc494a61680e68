"""Run a program through AnyIO's API: on the native asyncio backend, and on Trio, which is right.

Both run the same code here, so there is little to make up for:

A1 (GroupBox) -- a nursery that ends with errors has the Cancelled of its tasks among them; AnyIO on asyncio has always
    raised the errors alone
A2 (AnyIOMachine.op_deadline) -- in Trio, a deadline in the past takes effect in the next turn of the loop; reading
    cancel_called, as is done here on both sides, has it take effect at once
A3 (TimeoutBox, GroupBox) -- a fail_after() that has not been entered has no scope, nor has a group on Trio: what refers
    to it does nothing
A4 (GroupBox) -- a Cancelled of an outer scope is on its way out of the body when the group is shielded: Trio's nursery,
    which it cancels, swallows it; here it goes on to that scope, as in asyncio's groups (N8 of trio_side)
A5 (OnTrioMachine.describe) -- Trio's checkpoint_if_cancelled() fails with "this should never happen" if another task sets a
    shield just then: the program is discarded
"""

import asyncio
import math
import random
import traceback

import anyio
import trio
from anyio.lowlevel import checkpoint
from trio._core import _run
from trio.lowlevel import cancel_shielded_checkpoint
from trio.testing import MockClock

from . import machine
from .asyncbis_side import Loop, Spinning
from .compare import Verdict
from .programs import ASYNCIO_ONLY, walk
from .trio_side import JITTER, Alarm, Schedule

MATCH_SCHEDULES = 2000
EXTRA_SCHEDULES = 60


class ScopeBox:
    """A scope before, while and after it is entered; the machine enters all by `async with`."""

    def __init__(self, scope):
        self.scope = scope
        self.entered = self.left = False

    async def __aenter__(self):
        self.entered = True
        self.scope.__enter__()

    async def __aexit__(self, *exc_info):
        self.left = True
        return self.scope.__exit__(*exc_info)


class TimeoutBox(ScopeBox):

    def __init__(self, delay, shield):
        super().__init__(None)      # A3
        self.manager = anyio.fail_after(delay, shield)

    async def __aenter__(self):
        self.entered = True
        self.scope = self.manager.__enter__()

    async def __aexit__(self, *exc_info):
        self.left = True
        return self.manager.__exit__(*exc_info)


class GroupBox(ScopeBox):

    def __init__(self, machine):
        self.machine = machine
        self.group = anyio.create_task_group()
        super().__init__(None)      # A3

    async def __aenter__(self):
        await self.group.__aenter__()
        self.entered = True
        self.scope = self.group.cancel_scope

    async def __aexit__(self, *exc_info):
        stray = None
        if isinstance(exc_info[1], self.machine.Cancelled) and not anyio.get_current_task().has_pending_cancellation():
            stray = exc_info[1]     # A4
        await self.machine.noise()
        try:
            if stray is not None:
                self.scope.cancel()
                await self.group.__aexit__(None, None, None)
                raise stray
            return await self.group.__aexit__(*exc_info)
        except BaseExceptionGroup as group:
            rest = group.split(self.machine.Cancelled)[1]
            if rest is None:
                raise
            raise rest from None    # A1
        finally:
            self.left = True
            stray = None
            await self.machine.noise()


class AnyIOMachine(machine.Machine):

    TimedOut = TimeoutError

    def __init__(self, program):
        super().__init__(program)
        self.rescues = {}   # the scopes around what may wait for ever, as an ordered set

    async def start(self):
        async with anyio.create_task_group() as group:
            group.start_soon(self.release)
            with anyio.move_on_after(machine.WATCHDOG):
                try:
                    await self.main()
                except self.Cancelled:
                    raise
                except BaseException:
                    pass    # It is in the record.
            group.cancel_scope.cancel()

    async def release(self):
        await anyio.sleep(machine.RELEASE)
        for event in self.events.values():
            event.set()
        self.make_event = self.make_set_event
        self.feed_queues()
        while True:
            await anyio.sleep(machine.DEADLOCK)
            self.discard = 'deadlock'
            for scope in list(self.rescues):
                scope.cancel()

    async def noise(self):
        pass

    async def waiting(self, wait):
        """Await something that may never come."""
        with anyio.CancelScope() as scope:
            self.rescues[scope] = None
            try:
                result = await wait()
            finally:
                del self.rescues[scope]
                await self.noise()
        if scope.cancel_called:
            raise machine.Discard
        return result

    # Tasks.

    def spawn(self, box, child, block):
        child.handle = box.group.start_soon(self.member, child, block)

    async def member(self, task, block):
        await self.noise()
        await self.body(task, block)

    async def after_spawn(self, child):
        await self.noise()

    def cancel_task(self, target, name):
        target.handle.cancel()

    # What the machine asks for.

    def now(self):
        return anyio.current_time()

    async def sleep(self, task, seconds):
        await anyio.sleep(seconds)
        await self.noise()

    async def checkpoint(self, task):
        await checkpoint()

    def make(self, s):
        if s['op'] == 'group':
            return GroupBox(self)
        if s['op'] == 'timeout':
            return TimeoutBox(s['delay'], s['shield'])
        return ScopeBox(anyio.move_on_after(s['deadline'], s['shield']))

    def prepare_group(self, group, task):
        pass

    def make_shield(self):
        return anyio.CancelScope(shield=True)

    async def run_shielded(self, task, s):
        with self.make_shield():
            await self.block(task, s['body'])

    async def wait_for(self, task, s):
        with anyio.fail_after(s['delay']):
            await self.block(task, s['body'])

    def was_entered(self, box):
        return box.entered

    def is_over(self, box):
        return box.left

    def flags(self, box):
        return (False, False) if box.scope is None else (box.scope.cancel_called, box.scope.cancelled_caught)

    def settings(self, box):
        return box.scope.deadline, box.scope.shield

    def was_timer(self, box):
        return False

    def cancel(self, box, name):
        if box.scope is not None:
            box.scope.cancel(name)

    def set_deadline(self, box, when):
        if box.scope is None:
            return False
        box.scope.deadline = math.inf if when is None else when
        box.scope.cancel_called     # A2
        return True

    def set_shield(self, box, value):
        if box.scope is None:
            return False
        box.scope.shield = value
        return True

    def effective_deadline(self):
        return anyio.current_effective_deadline()

    def make_event(self):
        return anyio.Event()

    def make_set_event(self):
        event = anyio.Event()
        event.set()
        return event

    def set_event(self, event):
        event.set()

    async def wait_event(self, task, event):
        await self.waiting(event.wait)

    def make_lock(self):
        return anyio.Lock()

    def make_semaphore(self):
        return anyio.Semaphore(2)

    def make_condition(self):
        return anyio.Condition()

    async def acquire(self, task, lock):
        await self.waiting(lock.acquire)

    def release_lock(self, lock):
        lock.release()

    async def wait_condition(self, task, condition):
        await self.waiting(condition.wait)

    def notify(self, condition, task):
        condition.notify_all()

    def make_queue(self):
        return anyio.create_memory_object_stream(math.inf)

    def put(self, queue, item):
        queue[0].send_nowait(item)

    async def get(self, task, queue):
        return await self.waiting(queue[1].receive)


class NativeMachine(AnyIOMachine):
    """On asyncio, with virtual time."""

    Cancelled = asyncio.CancelledError

    def run(self):
        loop = Loop(asyncio.Task, asyncio.Future, eager=False)
        try:
            loop.run_until_complete(self.start())
        except Spinning:
            if self.discard != 'deadlock':
                raise
        loop.timers.clear()
        for problem in loop.problems:
            self.record.append(('main', loop.time(), ('problem', problem)))
        return self


class OnTrioMachine(AnyIOMachine):

    Cancelled = trio.Cancelled

    def __init__(self, program, schedule):
        super().__init__(program)
        self.schedule = schedule
        self.random = random.Random(schedule.seed)

    def run(self):
        _run._r.seed(self.schedule.seed)
        trio.run(self.start, clock=MockClock(autojump_threshold=0))
        return self

    def describe(self, exc):
        if isinstance(exc, AssertionError):     # A5
            self.discard = 'Trio should never'
        return super().describe(exc)

    async def noise(self):
        """Take some ticks more, where the task has been suspended anyway."""
        while self.random.random() < self.schedule.noise:
            await cancel_shielded_checkpoint()

    async def sleep(self, task, seconds):
        if self.schedule.jitter:
            seconds += JITTER * self.random.randint(-100, 100)
        if self.schedule.alarm:
            # As asyncio's: what a task waits for is done at that time, and counts even if a scope is cancelled then.
            await Alarm().wait(self.now() + max(seconds, JITTER))
            await self.noise()
        else:
            await super().sleep(task, max(seconds, 0))


def schedules(seed):
    yield Schedule(seed)
    yield Schedule(seed + 1, noise=0.5, jitter=True)
    yield Schedule(seed + 2, noise=0.2, jitter=True)


def more_schedules(seed, count):
    rng = random.Random(seed)
    for number in range(count):
        yield Schedule(seed + 100 + number, noise=rng.choice([0, 0.2, 0.5, 0.8]), jitter=rng.random() < 0.6,
                       alarm=rng.random() < 0.5)


def check(program, seed):
    """Return the Verdict on a program."""
    if any(s['op'] in ASYNCIO_ONLY for s in walk(program['main'])):
        return Verdict('discarded', 'Trio has not all of it')
    native = NativeMachine(program).run()
    if native.discard:
        return Verdict('discarded', native.discard)
    found = native.traces()
    expected, agreed = None, True
    for schedule in schedules(seed):
        on_trio = OnTrioMachine(program, schedule).run()
        if on_trio.discard:
            return Verdict('discarded', on_trio.discard)
        traces = on_trio.traces()
        if expected is None:
            expected = traces
        agreed = agreed and traces == expected
    if agreed and found == expected:
        return Verdict('same', stats=native.stats)
    missing = found
    for number, schedule in enumerate([*schedules(seed), *more_schedules(seed, MATCH_SCHEDULES)]):
        on_trio = OnTrioMachine(program, schedule).run()
        if on_trio.discard:
            return Verdict('discarded', on_trio.discard)
        traces = on_trio.traces()
        agreed = agreed and traces == expected
        if agreed and number > EXTRA_SCHEDULES:
            return Verdict('divergence', 'native', expected, found)
        missing = {task: trace for task, trace in missing.items() if trace != traces.get(task)}
        if not missing and not agreed:
            return Verdict('matched')
    task, trace = next(iter(missing.items()))
    return Verdict('unmatched', 'native', {task: traces.get(task, [])}, {task: trace})


def check_safely(program, seed, only=None):
    """Like check(); an error that comes out of the library is a verdict as well."""
    try:
        return check(program, seed)
    except Exception:
        return Verdict('crash', traceback.format_exc())
