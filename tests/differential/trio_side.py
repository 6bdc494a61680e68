"""Run a program on Trio.

Trio decides.  Where asyncbis differs on purpose, the place here that makes up for it is marked N1, N2, ... : README.md
lists them, with the rule of docs/semantics.md that each is about.

A Schedule says how Trio's freedom is used: in which order the tasks of a batch run, how many ticks things take, which
of two timers that are close is first.  What depends on that is not compared.
"""

import contextlib
import math
import random

import outcome
import trio
from trio._core import _run
from trio.lowlevel import Abort, cancel_shielded_checkpoint, current_task, wait_task_rescheduled
from trio.testing import MockClock

from . import machine

JITTER = 2 ** -20   # of a second; a program has far less than 2 ** 10 sleeps, and times are multiples of 1/8


class Schedule:
    """One way to run a program.

    noise -- how likely a task is to take more ticks than it must, where it suspends
    jitter -- whether sleeps take a little more or less than they say
    eager -- whether a new task runs up to where it suspends before its spawner goes on
    alarm -- whether sleep() waits for something that is done then (as asyncio's does), which counts even if the task is
        cancelled at the same moment; Trio's own is a scope with a deadline
    """

    def __init__(self, seed, noise=0.0, jitter=False, eager=False, alarm=False):
        self.seed, self.noise, self.jitter, self.eager, self.alarm = seed, noise, jitter, eager, alarm


class Alarm:
    """Wakes a task at some time. To Trio's run loop, it is a scope that has a deadline."""

    async def wait(self, when):
        self._registered_deadline = when
        self.task = current_task()
        _run.GLOBAL_RUN_CONTEXT.runner.deadlines.add(when, self)
        await wait_task_rescheduled(self.abort)

    def disarm(self):
        _run.GLOBAL_RUN_CONTEXT.runner.deadlines.remove(self._registered_deadline, self)
        self._registered_deadline = math.inf

    def abort(self, raise_cancel):
        self.disarm()
        return Abort.SUCCEEDED

    def _cancel(self, reason):
        self.disarm()
        trio.lowlevel.reschedule(self.task)


class TimedOut(Exception):
    """What timeout() raises here."""


class Kept(BaseException):
    """Stands for a Cancelled in a group of errors that no scope is to take out of it."""

    def __init__(self, cancelled):
        super().__init__()
        self.cancelled = cancelled


def keep(exc):
    """Return exc, or, if it is a group of errors, one with stand-ins for each Cancelled in it."""
    if not isinstance(exc, BaseExceptionGroup):
        return exc
    return exc.derive([Kept(each) if isinstance(each, trio.Cancelled) else keep(each) for each in exc.exceptions])


def restore(exc):
    """Undo keep()."""
    if isinstance(exc, BaseExceptionGroup):
        return exc.derive([restore(each) for each in exc.exceptions])
    return exc.cancelled if isinstance(exc, Kept) else exc


class Level:
    """A place inside a task where what Task.cancel() asks of it can be in force, and the scope that puts it there."""

    def __init__(self, block=None):
        self.block = block      # the Scope whose inside this is
        self.marked = False     # the context of what is started in there says so: the task itself has shielded it
        self.asked = False
        self.scope = trio.CancelScope()

    def put_in_force(self, value):
        if value:
            self.scope.cancel()
        elif self.scope._cancel_called:     # Trio has no way back.
            self.scope._cancel_called = False
            if self.scope._cancel_status is not None:
                self.scope._cancel_status.recalculate()


class Requests:
    """What Task.cancel() asks of one task (N12, N13).

    Trio would put the request around all that the task does, and so around the members of its groups as well.  Here it
    is put around the innermost code that the task itself runs: each group has a scope around its body and the wait for
    its members, which are outside of it, and only the innermost of these scopes is cancelled.  When that has been left,
    it is the turn of the next one.  Shields between the place of the request and this scope hold it back.
    """

    def __init__(self):
        self.levels = [Level()]     # the outermost is that of the task

    def make(self, blocks):
        """Ask, out of a context that was inside these blocks; return the level that it is asked for."""
        asked = self.innermost(lambda level: level.block in blocks and level.marked)
        asked.asked = True
        self.update()
        return asked

    def innermost(self, condition=lambda level: True):
        """Return the innermost level below a shield that meets the condition, or that of the task."""
        return next((level for level in reversed(self.levels[1:]) if level.block.scope.shield and condition(level)),
                    self.levels[0])

    def enter(self, block):
        level = Level(block)
        level.marked = block.scope.shield
        level.scope.__enter__()
        self.levels.append(level)
        self.update()

    def leave(self):
        """Leave the innermost level; return whether there is a request that goes on outside of it."""
        level = self.levels[-1]
        level.put_in_force(False)   # so that the scope catches nothing
        level.scope.__exit__(None, None, None)
        self.levels.pop()
        if level.asked:     # N13
            self.innermost().asked = True
        self.update()
        return level.asked

    def shield_set(self, block):
        """The task itself has set the shield of a scope that it is in."""
        for level in self.levels:
            if level.block is block:
                level.marked = True

    @property
    def in_force(self):
        return self.levels[-1].scope._cancel_called

    def update(self):
        for level in self.levels[:-1]:
            level.put_in_force(False)
        self.levels[-1].put_in_force(self.is_visible())

    def is_visible(self):
        if not any(level.asked for level in self.levels):
            return False
        if self.levels[-1].asked:
            return True
        asked = {level.scope for level in self.levels if level.asked}
        status = self.levels[-1].scope._cancel_status
        while not status._scope.shield:
            status = status.parent
            if status._scope in asked:
                return True
        return False


class Scope:
    """A scope, a timeout or a group before, while and after it is one of Trio's."""

    def __init__(self, scope, machine):
        self.scope = scope
        self.machine = machine
        self.entered = self.left = False
        self.by_hand = False    # cancelled before its deadline

    def __enter__(self):
        self.entered = True
        self.scope.__enter__()
        self.machine.current().requests.enter(self)

    def __exit__(self, *exc_info):
        asked = self.machine.current().requests.leave()
        self.left = True
        if asked:
            # N13: the Cancelled, if it is one, goes on with the request.
            self.scope.__exit__(None, None, None)
            return False
        return self.scope.__exit__(*exc_info)

    async def __aenter__(self):
        self.__enter__()

    async def __aexit__(self, *exc_info):
        return self.__exit__(*exc_info)

    @property
    def active(self):
        return self.entered and not self.left

    def cancel(self):
        if not self.left:               # N1
            if not self.scope._cancel_called:
                self.by_hand = True
            self.scope.cancel()

    def set_deadline(self, when):
        if self.left:
            return True
        if not self.entered and self.scope.is_relative:
            self.scope.relative_deadline = math.inf
        self.scope.deadline = math.inf if when is None else when
        if self.active:
            self.scope.cancel_called    # N2
        return True

    def set_shield(self, value):
        if not self.left:
            if (self.active and self.scope.shield and not value
                    and self.scope._cancel_status.parent.effectively_cancelled):
                self.machine.stats['! shield removed under a cancelled scope'] += 1
            self.scope.shield = value
            if value and self.active:
                self.machine.current().requests.shield_set(self)
            for task in self.machine.running.values():
                before = task.requests.in_force
                task.requests.update()
                if task.requests.in_force and not before and self.machine.has_result(task):     # N9
                    self.machine.discard = '5.2'
        return True


class Timeout(Scope):

    def __exit__(self, *exc_info):
        swallowed = super().__exit__(*exc_info)
        if swallowed and self.scope.cancelled_caught and not self.by_hand:      # N3
            raise TimedOut
        return swallowed

    def set_deadline(self, when):
        # N4: reschedule() keeps its stock contract.
        expired = self.scope._cancel_called and not self.by_hand
        return self.active and not expired and super().set_deadline(when)


class Group(Scope):

    def __init__(self, machine):
        # Trio has no nursery before entry: until then this is asked to do things in its place.
        super().__init__(trio.CancelScope(), machine)
        self.host = None
        self.members = 0
        self.joining = False
        self.asked_of_host = False      # what cancelled the group is a request to its host, as it joined

    async def __aenter__(self):
        self.manager = trio.open_nursery()
        self.nursery = await self.manager.__aenter__()
        before, self.scope = self.scope, self.nursery.cancel_scope
        self.entered = True
        self.scope.shield = before.shield
        self.set_deadline(before.deadline)
        if before._cancel_called:
            self.scope.cancel()
        self.host.requests.enter(self)

    async def __aexit__(self, kind, exc, tb):
        # The Cancelled that is not this scope's; it goes on whatever Trio would make of it.
        stray = exc if isinstance(exc, trio.Cancelled) and not self.scope.cancel_called else None       # N8
        if exc is not None:
            self.scope.cancel()
        empty = not self.members
        cancelled = await self.join()
        asked = self.host.requests.leave()
        if exc is None and cancelled is not None:       # N5
            if self.scope.cancel_called and not self.asked_of_host:
                exc = cancelled
            else:
                stray = cancelled
        if self.nursery._pending_excs and (exc is None or isinstance(exc, trio.Cancelled)):
            exc = stray = None  # N6
        if asked:   # N13
            if isinstance(exc, trio.Cancelled):
                stray = exc
            exc = keep(exc)
            self.nursery._pending_excs[:] = [keep(each) for each in self.nursery._pending_excs]
        if stray is not None:
            exc = None
        self.left = True
        try:
            # With nobody to wait for, asyncio does not suspend (6.5); a nursery does.
            with self.machine.watch.window() if empty else contextlib.nullcontext():
                swallowed = await self.manager.__aexit__(type(exc), exc, exc and exc.__traceback__)
        except BaseExceptionGroup as group:
            if len(group.exceptions) == 1 and isinstance(group.exceptions[0], trio.Cancelled):
                raise group.exceptions[0]       # N6
            raise restore(group) if asked else group
        if stray is not None:
            raise stray
        return swallowed

    async def join(self):
        """Wait for the members; return the Cancelled if that wait was cancelled."""
        cancelled = None

        def abort(raise_cancel):
            nonlocal cancelled
            cancelled = outcome.capture(raise_cancel).error
            if (host.requests.in_force and not self.scope.cancel_called
                    and not self.scope._cancel_status.parent_cancellation_is_visible_to_us):
                self.scope.cancel()     # N12: now the members hear of it
                self.asked_of_host = True
            return Abort.FAILED

        host = self.host
        while self.members:
            self.joining = True
            host.waits = host.suspended = True
            await wait_task_rescheduled(abort)
            # On its way from the last member to the host.  In asyncio there is a future in between: a cancellation
            # before that is done interrupts the host, one after that leaves it alone (2.3).
            host.has_result = True
            await self.machine.noise()
            if cancelled is None:
                try:
                    await trio.lowlevel.checkpoint_if_cancelled()
                except trio.Cancelled as exc:
                    cancelled = exc
            await self.machine.noise()
            host.waits = host.has_result = False
        return cancelled

    def member_done(self):
        self.members -= 1
        if self.joining and not self.members:
            self.joining = False
            trio.lowlevel.reschedule(self.host.trio_task)


class Root(Group):
    """The root group. It ends with the main task, which is not a member."""

    def __init__(self, nursery, machine):
        super().__init__(machine)
        self.nursery, self.scope, self.entered = nursery, nursery.cancel_scope, True


class Watch(trio.abc.Instrument):
    """Sees whether other tasks run where in asyncio none could: Trio needs a tick for what asyncio does at once.

    Steps are all that can be seen from outside, and more than is recorded: a task that takes a lock says nothing.
    """

    def __init__(self):
        self.tasks = set()      # of the program
        self.windows = []       # pairs of a task that has to wait and, if it waits for the start of another, that one
        self.interleaved = False

    @contextlib.contextmanager
    def window(self, child=None):
        mine = current_task(), child
        self.windows.append(mine)
        try:
            yield
        finally:
            self.windows.remove(mine)

    def before_task_step(self, task):
        if self.windows and task in self.tasks and not any(
                task is waiting or child is not None and task is child.trio_task for waiting, child in self.windows):
            self.interleaved = True


class TrioMachine(machine.Machine):

    Cancelled = trio.Cancelled
    TimedOut = TimedOut

    def __init__(self, program, schedule):
        super().__init__(program)
        self.schedule = schedule
        self.random = random.Random(schedule.seed)
        self.blocked = {}   # tasks, as an ordered set
        self.running = {}   # tasks of Trio -> those of the program
        self.watch = Watch()
        self.handed_over = False    # a lock that asyncio leaves to whoever comes first

    def run(self):
        _run._r.seed(self.schedule.seed)
        try:
            trio.run(self.start, clock=MockClock(autojump_threshold=0),
                     instruments=[self.watch] if self.schedule.eager else [])
        except trio.TrioInternalError:
            if self.discard != 'deadlock':  # Then Trio has reason to complain.
                raise
        return self

    async def start(self):
        """The main task of Trio: the program, and who helps those that wait for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.release)
            if 'root' in self.program:
                await self.main_with_root()
            else:
                with trio.move_on_after(machine.WATCHDOG):
                    try:
                        await self.main()
                    except trio.Cancelled:
                        raise
                    except BaseException:
                        pass    # It is in the record.
            nursery.cancel_scope.cancel()

    async def main_with_root(self):
        """What run() does (rules 7.2 and 7.4), with a nursery."""
        errors, main_error = [], None
        try:
            async with trio.open_nursery() as nursery:
                self.objects['root'] = Root(nursery, self)
                try:
                    with trio.move_on_after(machine.WATCHDOG):
                        await self.main()
                except trio.Cancelled:
                    pass
                except BaseException as exc:
                    main_error = exc
                # run() hears of the end of main by a callback, so that others can run before it cancels them.
                await self.noise()
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            errors = group.exceptions
        if errors:
            if isinstance(main_error, BaseExceptionGroup):
                # Main is in the scope of the root group, which takes out its cancellations as it ends (3.4).
                main_error = main_error.split(trio.Cancelled)[1]
            if main_error is not None:
                errors = [*errors, main_error]
            main_error = BaseExceptionGroup('', errors)
        self.log_outcome(main_error)

    async def main(self):
        task = machine.Task('main')
        self.prepare_task(task)
        self.start_task(task)
        await self.body(task, self.program['main'])

    async def release(self):
        await trio.sleep(machine.RELEASE)
        for event in self.events.values():
            event.set()
        self.make_event = self.make_set_event
        self.feed_queues()
        while True:
            await trio.sleep(machine.DEADLOCK)
            self.discard = 'deadlock'
            for task in self.blocked:
                if task.trio_task._next_send_fn is None:
                    trio.lowlevel.reschedule(task.trio_task, outcome.Error(machine.Discard()))

    # What Trio leaves open.

    async def noise(self):
        """Take some ticks more, where the task has been suspended anyway."""
        while self.random.random() < self.schedule.noise:
            await cancel_shielded_checkpoint()

    async def after_spawn(self, child):
        if self.schedule.eager:
            with self.watch.window(child):
                while not child.suspended and not child.over:
                    await cancel_shielded_checkpoint()
        else:
            await self.noise()

    # Tasks.

    def current(self):
        return self.running[current_task()]

    def prepare_task(self, task, blocks=()):
        task.requests = Requests()
        task.blocks = blocks        # the shielded ones that it was started in (N13)
        task.trio_task = None
        task.suspended = False      # was, once
        task.waits = False          # for something that has an outcome
        task.has_result = False     # has it, but has not gone on
        task.until = None           # when what it waits for is there, if that is known
        task.notified = False       # of what it waits for; it has yet to acquire the lock again
        task.over = False

    def start_task(self, task):
        task.trio_task = current_task()
        self.running[task.trio_task] = task
        self.watch.tasks.add(task.trio_task)

    def inside_of(self, task):
        """The blocks with a shield that the context of a task is inside of."""
        return {*task.blocks, *(level.block for level in task.requests.levels if level.marked)}

    def spawn(self, group, child, block):
        self.prepare_task(child, self.inside_of(self.current()))
        if not group.active:
            raise RuntimeError
        group.nursery.start_soon(self.member, group, child, block)
        group.members += 1

    async def member(self, group, task, block):
        self.start_task(task)
        if not self.schedule.eager:
            await self.noise()
        error = None
        try:
            with task.requests.levels[0].scope:
                try:
                    await self.body(task, block)
                except trio.Cancelled:
                    pass            # N7
                except BaseException as exc:
                    error = exc     # N7
            if error is not None:
                raise error
        finally:
            error = None
            task.over = True
            del self.running[task.trio_task]
            group.member_done()

    def cancel_task(self, target, name):
        if target.over:
            return
        if self.has_result(target):     # N9
            self.discard = '5.2'
        if target.requests.make(self.inside_of(self.current())).block is not None:
            self.stats['! request from inside a shield'] += 1

    def has_result(self, task):
        """Whether what the task waits for is there already, and the task has yet to go on."""
        if task.has_result or task.notified:
            return True
        if not task.waits or task.trio_task._next_send_fn is None:
            return False
        if task.until is not None:
            return self.now() >= task.until
        return isinstance(task.trio_task._next_send, outcome.Value)

    async def waiting(self, task, wait, *args, until=None):
        """Await something that has an outcome."""
        task.waits = task.suspended = True
        task.until = until
        self.blocked[task] = None
        try:
            result = await wait(*args)
            task.has_result = True
            return result
        except trio.Cancelled:
            if task.notified:   # N10
                self.discard = '2.3'
            raise
        finally:
            del self.blocked[task]
            task.waits = task.notified = False
            await self.noise()
            task.has_result = False

    # What the machine asks for.

    def now(self):
        return trio.current_time()

    async def sleep(self, task, seconds):
        if self.schedule.jitter:
            seconds += JITTER * self.random.randint(-100, 100)
        until = self.now() + seconds
        if self.schedule.alarm:
            await self.waiting(task, Alarm().wait, until)
        else:
            await self.waiting(task, trio.sleep_until, until, until=until)

    async def checkpoint(self, task):
        task.suspended = True
        await trio.lowlevel.checkpoint()
        while self.random.random() < self.schedule.noise:
            await trio.lowlevel.checkpoint()

    def make(self, s):
        if s['op'] == 'group':
            return Group(self)
        if s['op'] == 'timeout':
            when = math.inf if s['delay'] is None else self.now() + s['delay']
            return Timeout(trio.CancelScope(deadline=when, shield=s['shield']), self)
        delay = math.inf if s['deadline'] is None else s['deadline']
        return Scope(trio.CancelScope(relative_deadline=delay, shield=s['shield']), self)

    def prepare_group(self, group, task):
        group.host = task

    def make_shield(self):
        return Scope(trio.CancelScope(shield=True), self)

    async def run_shielded(self, task, s):
        with self.make_shield():
            await self.block(task, s['body'])

    async def wait_for(self, task, s):
        with Timeout(trio.CancelScope(deadline=self.now() + s['delay']), self):
            await self.block(task, s['body'])

    def was_entered(self, thing):
        return thing.entered

    def is_over(self, thing):
        return thing.left

    def flags(self, thing):
        return thing.scope.cancel_called, thing.scope.cancelled_caught

    def settings(self, thing):
        return thing.scope.deadline, thing.scope.shield

    def was_timer(self, thing):
        return thing.scope._cancel_called and not thing.by_hand and thing.scope.deadline <= self.now()

    def cancel(self, thing, name):
        thing.cancel()

    def set_deadline(self, thing, when):
        return thing.set_deadline(when)

    def set_shield(self, thing, value):
        return thing.set_shield(value)

    def effective_deadline(self):
        return trio.current_effective_deadline()

    make_event = trio.Event
    make_lock = trio.Lock

    def make_set_event(self):
        event = trio.Event()
        event.set()
        return event

    def set_event(self, event):
        event.set()

    async def wait_event(self, task, event):
        if not event.is_set():      # asyncio does not suspend then
            await self.waiting(task, event.wait)

    async def acquire(self, task, lock):
        try:
            lock.acquire_nowait()   # asyncio does not suspend then
        except trio.WouldBlock:
            if isinstance(lock, trio.Condition):
                owner = lock.statistics().lock_statistics.owner
                if any(other.notified and other.trio_task is owner for other in self.blocked):   # N11
                    self.handed_over = True
            await self.waiting(task, lock.acquire)

    make_condition = trio.Condition

    def make_semaphore(self):
        return trio.Semaphore(2)

    def release_lock(self, lock):
        lock.release()

    async def wait_condition(self, task, condition):
        await self.waiting(task, condition.wait)

    def notify(self, condition, task):
        condition.notify_all()
        if task is not None:    # the one that waits
            task.notified = True

    def make_queue(self):
        return trio.open_memory_channel(math.inf)

    def put(self, queue, item):
        queue[0].send_nowait(item)

    async def get(self, task, queue):
        try:
            return queue[1].receive_nowait()    # asyncio does not suspend then
        except trio.WouldBlock:
            return await self.waiting(task, queue[1].receive)
