"""Run a program on asyncbis: in C or in Python, with tasks that start lazily or eagerly."""

import asyncio
import contextlib
import heapq
import random
from asyncio import cancelscopes, events, futures, rootgroup, tasks, timeouts
from collections import deque

from test.test_asyncio import scope_utils

from . import machine

CONFIGURATIONS = 'C lazy', 'C eager', 'Python lazy', 'Python eager'


MAX_TURNS = 20_000


ROOT = object()     # stands for the root group


class Spinning(Exception):
    """The loop has turned far more often than any program has reason to."""


class Timer:

    def __init__(self, when, callback, args, context):
        self.when, self.callback, self.args, self.context = when, callback, args, context

    def cancel(self):
        self.callback = None


class Loop(events.AbstractEventLoop):
    """The least that tasks need, with a clock that jumps to the next timer."""

    def __init__(self, Task, Future, eager):
        self.Task, self.Future, self.eager = Task, Future, eager
        self.ready = deque()
        self.timers = []
        self.count = 0
        self._now = 0.0
        self.turns = 0
        self.running = self.stopping = False
        self.problems = []

    def call_soon(self, callback, *args, context=None):
        self.ready.append((callback, args, context))

    def call_at(self, when, callback, *args, context=None):
        timer = Timer(when, callback, args, context)
        self.count += 1
        heapq.heappush(self.timers, (when, self.count, timer))
        return timer

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self._now + delay, callback, *args, context=context)

    def time(self):
        return self._now

    def create_future(self):
        return self.Future(loop=self)

    def create_task(self, coro, **kwargs):
        return self.Task(coro, loop=self, eager_start=self.eager, **kwargs)

    def get_task_factory(self):
        return None

    def get_debug(self):
        return False

    def is_running(self):
        return self.running

    def is_closed(self):
        return False

    def call_exception_handler(self, context):
        self.problems.append(context['message'])

    def run_until_complete(self, future):
        if not futures.isfuture(future):
            future = self.Task(future, loop=self)
        future.add_done_callback(lambda future: self.stop())
        self.run_forever()
        return future.result()

    def stop(self):
        self.stopping = True

    def run_forever(self):
        events._set_running_loop(self)
        self.running, self.stopping = True, False
        ready = self.ready
        try:
            while not self.stopping:
                if not ready:
                    self.jump()
                self.turns += 1
                if self.turns > MAX_TURNS:
                    raise Spinning
                for _ in range(len(ready)):
                    callback, args, context = ready.popleft()
                    if context is None:
                        callback(*args)
                    else:
                        context.run(callback, *args)
        finally:
            self.running = False
            events._set_running_loop(None)

    def jump(self):
        """To the next timer that is still set; what is due then is ready."""
        while self.timers and self.timers[0][2].callback is None:
            heapq.heappop(self.timers)
        self._now = max(self._now, self.timers[0][0])
        while self.timers and self.timers[0][0] <= self._now:
            timer = heapq.heappop(self.timers)[2]
            if timer.callback is not None:
                # It may still be cancelled by what runs before it.
                self.ready.append((self.fire, (timer,), timer.context))

    def fire(self, timer):
        if timer.callback is not None:
            timer.callback(*timer.args)


@contextlib.contextmanager
def python_implementation():
    """Let the library itself use the pure-Python scopes and tasks."""
    restore = scope_utils.use_python_implementation()
    try:
        yield
    finally:
        restore()


def scope_of(thing):
    return thing.cancel_scope if isinstance(thing, asyncio.TaskGroup) else thing._scope


class SlowGroup(asyncio.TaskGroup):
    """A group whose end always takes a tick, in which others can run, as in Trio."""

    async def __aexit__(self, *args):
        try:
            return await super().__aexit__(*args)
        finally:
            with cancelscopes._shielded():
                await asyncio.sleep(0)


class AsyncbisMachine(machine.Machine):

    Cancelled = asyncio.CancelledError
    TimedOut = TimeoutError

    def __init__(self, program, configuration, apart=False, slow_groups=False):
        super().__init__(program)
        self.Group = SlowGroup if slow_groups else asyncio.TaskGroup
        # Makes each time that is asked for a little later, so that no two timers are due at the same time.
        self.apart = random.Random(0) if apart else None
        implementation, start = configuration.split()
        self.python = implementation == 'Python'
        if self.python:
            self.loop = Loop(tasks._PyTask, futures._PyFuture, start == 'eager')
            self.CancelScope, self.move_on_after = cancelscopes._PyCancelScope, cancelscopes._py_move_on_after
            self.effective_deadline = cancelscopes._py_current_effective_deadline
        else:
            self.loop = Loop(tasks._CTask, futures._CFuture, start == 'eager')
            self.CancelScope, self.move_on_after = asyncio.CancelScope, asyncio.move_on_after
            self.effective_deadline = asyncio.current_effective_deadline
        self.now = self.loop.time
        self.blocked = {}       # tasks that may wait for ever, as an ordered set

    def run(self):
        with python_implementation() if self.python else contextlib.nullcontext():
            try:
                if 'root' in self.program:
                    self.run_with_root()
                else:
                    self.loop.run_until_complete(self.start())
            except asyncio.CancelledError as exc:
                self.log_outcome(exc)   # Of a task that was awaited.
            except Spinning:
                if self.discard != 'deadlock':
                    raise
        self.loop.timers.clear()
        for problem in self.loop.problems:
            self.record.append(('main', self.now(), ('problem', problem)))
        return self

    def run_with_root(self):
        """What asyncio.run() does."""
        self.objects['root'] = ROOT
        error = None
        try:
            rootgroup.RootGroup(self.loop).run(self.start_with_root(), None, last=True)
        except BaseException as exc:
            error = exc
        # That of main, if it was cancelled.
        self.log_outcome(None if isinstance(error, asyncio.CancelledError) else error)

    async def start_with_root(self):
        self.loop.call_later(machine.RELEASE, self.release_all)
        with self.move_on_after(machine.WATCHDOG):
            await self.main()

    async def start(self):
        self.loop.call_later(machine.RELEASE, self.release_all)
        with self.move_on_after(machine.WATCHDOG):
            try:
                await self.main()
            except (asyncio.CancelledError, GeneratorExit):
                raise
            except BaseException:
                pass    # It is in the record.
        if asyncio.current_task().cancelling():
            self.record.append(('main', self.now(), ('problem', 'cancelling() is not 0 at the end')))

    def release_all(self):
        for event in self.events.values():
            event.set()
        self.make_event = self.make_set_event
        self.feed_queues()
        self.loop.call_later(machine.DEADLOCK, self.break_deadlock)

    def break_deadlock(self):
        """Some tasks wait for what will never come, under shields."""
        self.discard = 'deadlock'
        for task in list(self.blocked):
            waiter = task._fut_waiter
            if waiter is not None and not waiter.done() and not isinstance(waiter, (tasks._CTask, tasks._PyTask)):
                waiter.set_exception(machine.Discard())
        self.loop.call_later(machine.DEADLOCK, self.break_deadlock)

    # Tasks.

    def spawn(self, group, child, block):
        spawner = self.loop if group is ROOT else group
        child.asyncio_task = spawner.create_task(self.member(child, block))

    async def member(self, task, block):
        task.asyncio_task = asyncio.current_task()
        await self.body(task, block)

    async def after_spawn(self, child):
        pass

    def cancel_task(self, target, name):
        target = target.asyncio_task
        waiter = target._fut_waiter
        if waiter is not None and waiter.done() and not waiter.cancelled():
            self.discard = '5.2'
        target.cancel(name)

    # What the machine asks for.

    def shift(self, seconds):
        if self.apart and seconds and seconds > 0:
            seconds += 2 ** -20 * self.apart.random()
        return seconds

    async def sleep(self, task, seconds):
        await asyncio.sleep(self.shift(seconds))

    async def checkpoint(self, task):
        await asyncio.sleep(0)

    def make(self, s):
        if s['op'] == 'group':
            return self.Group()
        if s['op'] == 'timeout':
            timeout = asyncio.timeout(self.shift(s['delay']), shield=s['shield'])
            # Programs use its scope before it is entered, too.
            if self.python:
                timeout = timeouts._PyTimeout(timeout.when(), shield=s['shield'])
                timeout._scope = cancelscopes._make_scope(timeout.when(), s['shield'], movable=True)
            return timeout
        if s['deadline'] is None:
            return Scope(self.CancelScope(shield=s['shield']))
        return Scope(self.move_on_after(self.shift(s['deadline']), shield=s['shield']))

    def prepare_group(self, group, task):
        pass

    def make_shield(self):
        return self.CancelScope(shield=True)

    async def run_shielded(self, task, s):
        await asyncio.shield(self.block(task, s['body']))

    async def wait_for(self, task, s):
        await asyncio.wait_for(self.block(task, s['body']), self.shift(s['delay']))

    def was_entered(self, thing):
        if isinstance(thing, timeouts._CTimeout):
            return '[created]' not in repr(thing)
        return thing is ROOT or thing._entered

    def is_over(self, thing):
        if thing is ROOT:
            return False
        if isinstance(thing, asyncio.TaskGroup):
            return thing._finished
        if isinstance(thing, timeouts._CTimeout):
            return '[finished]' in repr(thing) or '[expired]' in repr(thing)
        return thing._exited

    def flags(self, thing):
        if thing is ROOT:
            return False, False
        scope = scope_of(thing)
        return scope.cancel_called, scope.cancelled_caught

    def settings(self, thing):
        scope = scope_of(thing)
        return scope.deadline, scope.shield

    def was_timer(self, thing):
        return scope_of(thing).deadline_expired

    def cancel(self, thing, name):
        (thing if isinstance(thing, asyncio.TaskGroup) else thing._scope).cancel(name)

    def set_deadline(self, thing, when):
        if when is not None:
            when = self.now() + self.shift(when - self.now())
        if isinstance(thing, asyncio.Timeout):
            try:
                thing.reschedule(when)
            except RuntimeError:
                return False
        else:
            scope_of(thing).deadline = when
        return True

    def set_shield(self, thing, value):
        scope_of(thing).shield = value
        return True

    make_event = asyncio.Event
    make_lock = asyncio.Lock

    def make_set_event(self):
        event = asyncio.Event()
        event.set()
        return event

    def set_event(self, event):
        event.set()

    async def wait_event(self, task, event):
        await event.wait()

    make_condition = asyncio.Condition
    make_queue = asyncio.Queue

    def make_semaphore(self):
        return asyncio.Semaphore(2)

    async def waiting(self, wait):
        """Await something that may never come."""
        this = asyncio.current_task()
        self.blocked[this] = None
        try:
            return await wait()
        finally:
            del self.blocked[this]

    async def acquire(self, task, lock):
        await self.waiting(lock.acquire)

    async def wait_condition(self, task, condition):
        await self.waiting(condition.wait)

    def notify(self, condition, task):
        condition.notify_all()

    def put(self, queue, item):
        queue.put_nowait(item)

    async def get(self, task, queue):
        return await self.waiting(queue.get)

    def release_lock(self, lock):
        lock.release()

    def uncancel(self, task):
        return task.asyncio_task.uncancel()

    async def await_tasks(self, targets, how):
        async def wait():
            match how:
                case 'await':
                    return await targets[0]
                case 'shield':
                    return await asyncio.shield(targets[0])
                case 'gather':
                    return tuple(map(self.describe_result, await asyncio.gather(*targets, return_exceptions=True)))
                case 'wait':
                    done, pending = await asyncio.wait(targets)
                    return len(done)

        targets = list(dict.fromkeys(target.asyncio_task for target in targets))
        return await wait()

    def describe_result(self, result):
        return self.describe(result) if isinstance(result, BaseException) else 'none'

    def caught_cancellation(self, task, exc):
        self.log(task, 'args', exc.args)

    def count_exit(self, task, *rest):
        super().count_exit(task, *rest)
        self.log(task, 'cancelling', asyncio.current_task().cancelling())


class Scope:
    """A CancelScope in the shape of a Timeout: entered by `async with`, and with the same private names."""

    def __init__(self, scope):
        self._scope = scope
        self._entered = self._exited = False

    async def __aenter__(self):
        self._entered = True
        self._scope.__enter__()

    async def __aexit__(self, *exc_info):
        self._exited = True
        return self._scope.__exit__(*exc_info)
