"""Run programs of stock asyncio's API and record what happens: the same file on stock and on the patched interpreter.

A worker: reads a line with a list of programs from standard input and answers with a line for each, the record of the
program as JSON, until the input ends.

    PYTHON tests/differential/stock_machine.py [--pure]

--pure: without the C accelerator.  A record is a list of events, [who, when, what ...]: who is a coroutine of the
program by its name (see stock_programs), when is the time on the virtual clock of the loop.  Where stock asyncio takes
the order from a set of objects, which is a matter of addresses, the order here is that of creation.
"""

import gc
import json
import logging
import re
import signal
import sys
import warnings
import weakref

if '--pure' in sys.argv:
    sys.modules['_asyncio'] = None

import asyncio
import contextlib
from asyncio import base_events, tasks

MAX_TURNS = 3000        # of the loop, after which a program is said to spin
MAX_EVENTS = 3000       # of a record
MAX_SECONDS = 1         # of the processor, after which a program is said to be stuck in one turn of the loop


class E1(Exception):
    pass


class E2(Exception):
    pass


class E3(Exception):
    pass


class Halt(BaseException):
    """The program is over for the record: it waits for ever or spins."""


ERRORS = {'E1': E1, 'E2': E2, 'E3': E3, 'Exception': Exception, 'cancelled': asyncio.CancelledError,
          'timeout': TimeoutError, 'any': BaseException, 'group': BaseExceptionGroup,
          'stop': StopAsyncIteration}


class OrderedSet:
    """Has the order of insertion, so that what comes of it does not depend on the addresses of objects."""

    def __init__(self, items=()):
        self.items = dict.fromkeys(items)

    def add(self, item):
        self.items[item] = None

    def discard(self, item):
        self.items.pop(item, None)

    def clear(self):
        self.items.clear()

    def copy(self):
        return OrderedSet(self.items)

    def __iter__(self):
        return iter(list(self.items))

    def __len__(self):
        return len(self.items)

    def __contains__(self, item):
        return item in self.items

    def __or__(self, other):
        return OrderedSet([*self, *other])

    def __sub__(self, other):
        return OrderedSet(item for item in self if item not in other)


class OrderedWeakSet:
    """The same for weakref.WeakSet."""

    def __init__(self):
        self.references = {}

    def add(self, item):
        self.references[id(item)] = weakref.ref(item, lambda _, key=id(item): self.references.pop(key, None))

    def discard(self, item):
        self.references.pop(id(item), None)

    def clear(self):
        self.references.clear()

    def __iter__(self):
        return iter([item for item in (reference() for reference in self.references.values()) if item is not None])

    def __len__(self):
        return len(list(iter(self)))


class Selector:
    """Waits for nothing: the clock of the loop jumps to the next timer."""

    def __init__(self, loop):
        self.loop = loop

    def select(self, timeout):
        loop = self.loop
        loop.turns += 1
        if loop.turns > MAX_TURNS:
            loop.machine.halt('spins')
        if timeout is None:
            loop.machine.halt('waits for ever')
        if timeout > 0:
            loop.now = max(loop.now, loop._scheduled[0]._when)
        return ()

    def get_map(self):
        return {}


class Loop(base_events.BaseEventLoop):
    """asyncio's own loop, without files and with virtual time."""

    def __init__(self, machine):
        super().__init__()
        self.machine = machine
        self.now = 0.0
        self.turns = 0
        self.made = OrderedSet()
        self._selector = Selector(self)
        self._clock_resolution = 2 ** -40
        self._asyncgens = OrderedWeakSet()

    def time(self):
        return self.now

    def create_task(self, coro, **kwargs):
        task = super().create_task(coro, **kwargs)
        self.made.add(task)
        return task

    def _process_events(self, event_list):
        pass

    def _write_to_self(self):
        pass


def all_tasks(loop=None):
    """Stock's all_tasks(), in the order in which the tasks were created."""
    if loop is None:
        loop = asyncio.get_running_loop()
    found = original_all_tasks(loop)
    known = [task for task in loop.made if task in found]
    return OrderedSet([*known, *sorted(found - set(known), key=lambda task: task.get_name())])


original_all_tasks = tasks.all_tasks
tasks.all_tasks = all_tasks


def describe(exc, depth=2):
    """An exception in one line, with its cause and, if a timeout has put a TimeoutError there, its context."""
    if exc is None:
        return None
    if isinstance(exc, BaseExceptionGroup):
        inner = ', '.join(describe(each, 0) for each in exc.exceptions)
        text = f'{type(exc).__name__}({exc.message}: {inner})'
    else:
        text = f'{type(exc).__name__}({", ".join(map(str, exc.args))})'
    if depth:
        if exc.__cause__ is not None:
            text += ' from ' + describe(exc.__cause__, depth - 1)
        elif (isinstance(exc.__context__, TimeoutError) and not exc.__suppress_context__
              # Any other context, and that of a cancellation, depends on where the code stood that resumed the task,
              # and on whether it did so by throw().  A TimeoutError that was raised is such a one.
              and exc.__context__.__traceback__ is None and not isinstance(exc, asyncio.CancelledError)):
            text += ' after ' + describe(exc.__context__, depth - 1)
    return text


class Hashable:
    """A coroutine for as_completed(), which makes a set of what it is given."""

    def __init__(self, number, coro):
        self.number, self.coro = number, coro

    def __hash__(self):
        return self.number

    def __await__(self):
        return self.coro.__await__()


class Machine:
    """One run of a program."""

    depth = 2   # of what is said of exceptions

    def __init__(self, program):
        self.program = program
        self.trace = []
        self.frozen = False
        self.loop = None
        self.tasks = {}         # id -> task
        self.names = {}         # task -> id, for those that the program has made
        self.started = set()    # ids of the coroutines that have started
        self.blocks = {}        # id -> timeout, group, stack
        self.things = {}        # id -> event, lock, queue ...
        self.times = {}         # id -> how often a coroutine of that name was made
        self.awaited = {}       # task -> those that it has awaited
        self.hosts = {}         # group -> its task
        self.timers = 0         # how many have been set
        self.items = 0          # how many have been put

    def log(self, *event):
        if not self.frozen:
            self.trace.append(event)
            if len(self.trace) > MAX_EVENTS:
                self.halt('is too long')

    def halt(self, why):
        if not self.frozen:
            self.log('loop', self.trace[-1][1], why)
            # (Which timers are left in the midst of it is the loop's own affair: C has one for all deadlines.)
            self.end_state(timers=False)
            self.frozen = True
        raise Halt

    def now(self):
        return round(self.loop.now, 5)

    def later(self, delay):
        """A delay of a statement, made a little longer each time: no two timers are due at the same moment."""
        if delay is None or delay <= 0:
            return delay
        self.timers += 1
        return delay + self.timers * 2 ** -30

    # Running.

    def make_loop(self):
        loop = self.loop = Loop(self)
        loop.set_exception_handler(self.report)
        if self.program.get('eager'):
            loop.set_task_factory(asyncio.eager_task_factory)
        return loop

    def report(self, loop, context):
        what = 'handler' if self.trace and self.loop.is_running() else 'late handler'
        message = re.sub('<.*>', '', context['message'])
        self.log('loop', self.now(), what, message, describe(context.get('exception'), 0))

    def run(self):
        try:
            result = asyncio.run(self.coroutine('main', self.program['main']), loop_factory=self.make_loop)
            self.log('loop', self.now(), 'run() returns', result)
        except Halt:
            pass
        except BaseException as exc:
            self.log('loop', self.now(), 'run() raises', describe(exc, 0))
        if not self.frozen:
            self.end_state()
        # What nobody has retrieved is reported as the tasks go away.
        before = len(self.trace)
        loop = self.loop
        self.tasks.clear()
        self.names.clear()
        self.awaited.clear()
        self.hosts.clear()
        self.blocks.clear()
        self.things.clear()
        loop.made.clear()
        gc.collect()
        self.trace[before:] = sorted(self.trace[before:], key=repr)
        self.frozen = True
        return self.trace

    def end_state(self, timers=True):
        """What is left when the program is over."""
        for name, task in self.tasks.items():
            state = ('pending' if not task.done() else 'cancelled' if task.cancelled() else
                     describe(getattr(task, '_exception', None), 0) or 'done')
            # (A count of requests says nothing any more when the task is done.)
            self.log('end', name, state, *([] if task.done() else [task.cancelling()]))
        internal = sum(not task.done() and task not in self.names for task in self.loop.made)
        if internal:
            self.log('end', 'other tasks', internal)
        for name, thing in sorted(self.things.items()):
            waiters = sum(not waiter.done() for key in ('_waiters', '_getters', '_putters')
                          for waiter in getattr(thing, key, None) or ())
            state = {'e': lambda: thing.is_set(), 'k': lambda: thing.locked(), 'v': lambda: thing._value,
                     'c': lambda: thing.locked(), 'b': lambda: [thing.n_waiting, thing.broken],
                     'q': lambda: [*map(str, thing._queue), thing._unfinished_tasks],
                     'f': lambda: thing._state}[name[0]]()
            self.log('end', name, state, waiters)
        armed = sum(not timer._cancelled for timer in self.loop._scheduled)
        if timers and armed:
            self.log('end', 'timers', armed)

    def coroutine(self, name, body, host=None):
        """A coroutine of the program; *host* awaits it."""
        # (Counted as it is made: whether one starts that is cancelled before is what the two sides differ in.)
        times = self.times[name] = self.times.get(name, 0) + 1
        return self.run_coroutine(name if times == 1 else f'{name}.{times}', name, body, host)

    async def run_coroutine(self, me, name, body, host):
        task = tasks.current_task()
        self.register(name, task)
        self.awaited.setdefault(host, []).append(task)
        self.started.add(name)
        self.log(me, self.now(), 'start', task.cancelling())
        try:
            await self.block(me, body)
        except BaseException as exc:
            self.log(me, self.now(), 'ends with', describe(exc, self.depth))
            if me == 'main':
                # It is the context of what others raise from now on, for run() does.
                self.depth = 0
            raise
        self.log(me, self.now(), 'ends', tasks.current_task().cancelling())
        return me

    def register(self, name, task):
        if self.tasks.get(name) is not task:
            self.tasks[name] = task
            self.names.setdefault(task, name)
        return task

    async def block(self, me, statements):
        for s in statements:
            op = s['op']
            if op in ACTIONS:
                self.log(me, self.now(), op, self.act(s))
                continue
            try:
                result = await STATEMENTS[op](self, me, s)
            except BaseException as exc:
                self.log(me, self.now(), op, s.get('id') or s.get('of'), 'raises', describe(exc, self.depth))
                raise
            self.log(me, self.now(), op, s.get('id') or s.get('of'), result)

    # What does not wait.

    def act(self, s):
        """Take an action; the result is for the record."""
        try:
            return ACTIONS[s['op']](self, s)
        except Exception as exc:
            return describe(exc, 0)

    def task(self, name):
        if name == 'self':
            return tasks.current_task()
        return self.tasks.get(name)

    def thing(self, name):
        """The event, lock ... of that name."""
        if name not in self.things:
            self.things[name] = {
                'e': asyncio.Event, 'k': asyncio.Lock, 'v': lambda: asyncio.Semaphore(2), 'c': asyncio.Condition,
                'b': lambda: asyncio.Barrier(2), 'q': lambda: asyncio.Queue(2), 'f': self.loop.create_future,
            }[name[0]]()
        return self.things[name]

    def cancel(self, s):
        task = self.task(s['of'])
        if task is None:
            return 'none'
        where = 'self' if task is tasks.current_task(self.loop) else 'started' if s['of'] in self.started else 'new'
        return [self.name_of(s, task), where, task.cancel(s['msg']), task.cancelling()]

    def name_of(self, s, task):
        """What a statement calls a task; not "self", which can be another task than that of the coroutine."""
        return self.names.get(task, s['of']) if s['of'] == 'self' else s['of']

    def uncancel(self, s):
        task = self.task(s['of'])
        return 'none' if task is None else [self.name_of(s, task), task.uncancel()]

    def cancelling(self, s):
        task = self.task(s['of'])
        return 'none' if task is None else [self.name_of(s, task), task.cancelling(), task.cancelled()]

    def reschedule(self, s):
        timeout = self.blocks.get(s['of'])
        if not isinstance(timeout, asyncio.Timeout):
            return 'none'
        timeout.reschedule(None if s['after'] is None else self.loop.time() + self.later(s['after']))
        return [s['of'], timeout.when() and round(timeout.when(), 5), timeout.expired()]

    def set_thing(self, s):
        thing = self.thing(s['of'])
        match s['of'][0]:
            case 'e':
                thing.set()
            case 'f' if not thing.done():
                thing.set_result('result') if s['how'] == 'result' else thing.set_exception(E1('future'))
            case 'f':
                return [s['of'], 'done']

    def clear(self, s):
        self.thing(s['of']).clear()

    def cancel_future(self, s):
        return [s['of'], self.thing(s['of']).cancel(s['msg'])]

    def put_nowait(self, s):
        self.thing(s['of']).put_nowait(self.item())
        return self.thing(s['of']).qsize()

    def item(self):
        self.items += 1
        return f'item {self.items}'

    def get_nowait(self, s):
        return self.thing(s['of']).get_nowait()

    def task_done(self, s):
        self.thing(s['of']).task_done()

    def shutdown(self, s):
        self.thing(s['of']).shutdown(s['immediate'])

    def spawn(self, s):
        """A task in the background, or in a group."""
        coro = self.coroutine(s['id'], s['body'], self.hosts.get(self.blocks.get(s['group'])))
        kwargs = {'eager_start': True} if s['eager'] else {}
        try:
            if s['group'] == 'root':
                task = self.loop.create_task(coro, **kwargs)
            elif isinstance(group := self.blocks.get(s['group']), asyncio.TaskGroup):
                task = group.create_task(coro, **kwargs)
                self.awaited.setdefault(self.hosts.get(group), []).append(task)
            else:
                coro.close()
                return 'none'
        except RuntimeError:
            coro.close()
            raise
        self.register(s['id'], task)
        return [s['id'], s['group']]

    def callback(self, s):
        def run():
            for action in s['actions']:
                if action['op'] in ACTIONS:
                    self.log('callback', self.now(), action['op'], self.act(action))

        if s['delay'] is None:
            self.loop.call_soon(run)
        else:
            self.loop.call_later(self.later(s['delay']), run)

    # What waits.

    async def sleep(self, me, s):
        await asyncio.sleep(self.later(s['d']))

    async def checkpoint(self, me, s):
        await asyncio.sleep(0)

    async def raise_error(self, me, s):
        raise ERRORS[s['error']](me)

    async def wait(self, me, s):
        """Wait for something to come: an event, a future, an item, room for one, the end of a queue's tasks ..."""
        thing = self.thing(s['of'])
        match s['of'][0], s['how']:
            case 'e', _:
                return await thing.wait()
            case 'f', _:
                return await thing
            case 'b', 'abort':
                return await thing.abort()
            case 'b', 'reset':
                return await thing.reset()
            case 'b', _:
                return await thing.wait()
            case 'q', 'put':
                return await thing.put(self.item())
            case 'q', 'join':
                return await thing.join()
            case 'q', _:
                return await thing.get()

    async def lock(self, me, s):
        async with self.thing(s['of']):
            self.log(me, self.now(), 'has', s['of'])
            await self.block(me, s['body'])

    async def condition(self, me, s):
        condition, ready = self.thing(s['of']), self.thing('e1')
        async with condition:
            match s['how']:
                case 'wait':
                    return await condition.wait()
                case 'wait_for':
                    return await condition.wait_for(ready.is_set)
                case 'notify_all':
                    condition.notify_all()
                case _:
                    condition.notify()

    async def try_(self, me, s):
        caught = ERRORS[s['catch']] if s['catch'] != 'error' else Exception
        try:
            await self.block(me, s['body'])
        except GeneratorExit:
            raise
        except caught as exc:
            self.log(me, self.now(), 'catches', describe(exc, self.depth), tasks.current_task().cancelling())
            await self.block(me, s['handler'])
            match s['then']:
                case 'reraise':
                    raise
                case 'replace':
                    raise E3('replaced') from exc
                case 'instead':
                    raise E3('instead')

    async def finally_(self, me, s):
        try:
            await self.block(me, s['body'])
        finally:
            self.log(me, self.now(), 'cleans up')
            await self.block(me, s['handler'])

    async def retry(self, me, s):
        for _ in range(s['times']):
            try:
                return await self.block(me, s['body'])
            except asyncio.CancelledError as exc:
                self.log(me, self.now(), 'retries', describe(exc, self.depth))
        return await self.block(me, s['body'])

    async def timeout(self, me, s):
        delay = self.later(s['delay'])
        timeout = (asyncio.timeout(delay) if not s['at'] else
                   asyncio.timeout_at(None if delay is None else self.loop.time() + delay))
        self.blocks[s['id']] = timeout
        try:
            async with timeout:
                await self.block(me, s['body'])
        finally:
            self.log(me, self.now(), 'left', s['id'], timeout.expired(), tasks.current_task().cancelling())

    async def timer(self, me, s):
        """A timer made by hand, which interrupts the task by cancel(): the ways of well-known libraries."""
        task = tasks.current_task()
        fired = False

        def fire():
            nonlocal fired
            fired = True
            self.log('callback', self.now(), 'timer fires', s['id'])
            task.cancel(*(['timer'] if s['how'] == 'message' else []))

        before = task.cancelling()
        handle = self.loop.call_later(self.later(s['delay']), fire)
        try:
            await self.block(me, s['body'])
        except asyncio.CancelledError as exc:
            if not fired:
                raise
            match s['how']:
                case 'async_timeout':
                    if task.uncancel() > before:
                        raise
                    raise TimeoutError from exc
                case 'message':
                    if 'timer' not in exc.args:
                        raise
                    task.uncancel()
                    return 'timed out'
                case _:
                    raise TimeoutError from exc     # the old way, without uncancel()
        else:
            if fired and s['how'] != 'old':
                task.uncancel()
        finally:
            handle.cancel()
            self.log(me, self.now(), 'timer ends', s['id'], fired, task.cancelling())

    def ordered(self, group):
        if type(vars(group).get('_tasks')) is set:
            group._tasks = OrderedSet()
        return group

    async def group(self, me, s):
        group = self.blocks[s['id']] = self.ordered(asyncio.TaskGroup())
        self.hosts[group] = tasks.current_task()
        try:
            async with group:
                await self.block(me, s['body'])
        finally:
            self.log(me, self.now(), 'left', s['id'], tasks.current_task().cancelling())

    def awaitables(self, s, kinds=('co', 'ref')):
        """What a statement has among its items: new coroutines and tasks that there are."""
        found = []
        for item in s['items']:
            if item['op'] == 'co' and 'co' in kinds:
                found.append(self.coroutine(item['id'], item['body'], tasks.current_task()))
            elif item['op'] == 'ref' and (task := self.refer(item)) is not None and task not in found:
                found.append(task)
        return found

    def refer(self, s):
        """A task that can be awaited: not one that waits for this one, for then cancel() calls itself for ever."""
        task, current = self.task(s['of']), tasks.current_task()
        todo, seen = [task], set()
        while todo:
            each = todo.pop()
            if each is current:
                return None
            if each not in seen:
                seen.add(each)
                todo += self.awaited.get(each, ())
        if task is not None:
            self.awaited.setdefault(current, []).append(task)
        return task

    async def co(self, me, s):
        return await self.coroutine(s['id'], s['body'])

    async def ref(self, me, s):
        task = self.refer(s)
        return 'none' if task is None else await task

    def results(self, found):
        return [describe(each, 0) if isinstance(each, BaseException) else each for each in found]

    async def gather(self, me, s):
        return self.results(await asyncio.gather(*self.awaitables(s), return_exceptions=s['exceptions']))

    def name(self, task):
        return self.names.get(task, '?')

    async def wait_tasks(self, me, s):
        found = self.awaitables(s, ['ref'])
        if not found:
            return 'none'
        if s['when'] == 'FIRST_EXCEPTION':
            # Of several that are done a set says which is looked at first, and so whose error is retrieved.
            done = [task for task in found if task.done()]
            found = [task for task in found if task not in done[1:]]
        done, pending = await asyncio.wait(found, timeout=self.later(s['delay']), return_when=s['when'])
        return [sorted(map(self.name, done)), sorted(map(self.name, pending))]

    async def as_completed(self, me, s):
        # With tasks among them the order in which the coroutines start would be that of a set, and so would be that in
        # which those are returned that are done.
        items = [item for item in s['items'] if item['op'] == 'co']
        if items:
            if self.program.get('eager'):
                items = items[:1]
            found = [Hashable(number, coro) for number, coro in enumerate(self.awaitables({'items': items}))]
        else:
            found = self.awaitables(s)
            found = [task for task in found if not task.done()] or found[:1]
        results = []
        iterator = asyncio.as_completed(found, timeout=self.later(s['delay']))
        if s['how'] == 'async':
            async for each in iterator:
                self.log(me, self.now(), 'completed', self.name(each))
                results.append(await each)
        else:
            for each in iterator:
                results.append(await each)
        return results

    async def wait_for(self, me, s):
        for each in self.awaitables({'items': s['items'][:1]}):
            return await asyncio.wait_for(each, self.later(s['delay']))

    async def shield(self, me, s):
        for each in self.awaitables({'items': s['items'][:1]}):
            return await asyncio.shield(each)

    async def agen(self, me, s):
        generator = self.generate(me, s)
        taken = 0
        async for item in generator:
            await self.block(me, s['loop'])
            taken += 1
            if taken == s['take']:
                break
        if s['end'] == 'close':
            await generator.aclose()
        elif s['end'] == 'task':
            await self.elsewhere(s['id'], generator.aclose())
        generator = None
        return taken

    async def generate(self, me, s):
        me = f"{me}:{s['id']}"
        try:
            for number in range(s['number']):
                await self.block(me, s['body'])
                yield number
        finally:
            self.log(me, self.now(), 'generator ends')
            await self.block(me, s['handler'])
            self.log(me, self.now(), 'generator has ended')

    async def elsewhere(self, name, awaitable):
        """Await something in a task of its own."""
        async def run():
            self.awaited.setdefault(host, []).append(tasks.current_task())
            self.log(name, self.now(), 'start', tasks.current_task().cancelling())
            try:
                await awaitable
            except BaseException as exc:
                self.log(name, self.now(), 'ends with', describe(exc, self.depth))
                raise
            self.log(name, self.now(), 'ends', tasks.current_task().cancelling())

        name, host = f'{name}:elsewhere', tasks.current_task()
        await self.register(name, self.loop.create_task(run()))

    async def stack(self, me, s):
        """An exit stack, which another task may fill or close."""
        stack = contextlib.AsyncExitStack()
        for number, kind in enumerate(s['enter']):
            if kind == 'group':
                thing = self.ordered(asyncio.TaskGroup())
                self.hosts[thing] = tasks.current_task()
            else:
                thing = asyncio.timeout(self.later(s['delay']))
            self.blocks[s['id'] if not number else f"{s['id']}:{number}"] = thing
            entering = stack.enter_async_context(thing)
            if s['how'] == 'fixture':
                await self.elsewhere(s['id'] + ':enter', entering)
            else:
                await entering
        stack.push_async_callback(self.block, me, s['handler'])
        if s['how'] == 'here':
            async with stack:
                await self.block(me, s['body'])
        else:
            try:
                await self.block(me, s['body'])
            finally:
                await self.elsewhere(s['id'], stack.aclose())


ACTIONS = {
    'cancel': Machine.cancel, 'uncancel': Machine.uncancel, 'cancelling': Machine.cancelling,
    'reschedule': Machine.reschedule, 'set': Machine.set_thing, 'clear': Machine.clear,
    'cancel_future': Machine.cancel_future, 'put_nowait': Machine.put_nowait, 'get_nowait': Machine.get_nowait,
    'task_done': Machine.task_done, 'shutdown': Machine.shutdown, 'spawn': Machine.spawn, 'callback': Machine.callback,
}
STATEMENTS = {
    'sleep': Machine.sleep, 'checkpoint': Machine.checkpoint, 'raise': Machine.raise_error, 'wait': Machine.wait,
    'lock': Machine.lock, 'condition': Machine.condition, 'try': Machine.try_, 'finally': Machine.finally_,
    'retry': Machine.retry, 'timeout': Machine.timeout, 'timer': Machine.timer, 'group': Machine.group,
    'co': Machine.co, 'ref': Machine.ref, 'gather': Machine.gather, 'wait_tasks': Machine.wait_tasks,
    'as_completed': Machine.as_completed, 'wait_for': Machine.wait_for, 'shield': Machine.shield,
    'agen': Machine.agen, 'stack': Machine.stack,
}


def run(program):
    """The record of a program, or what the machine itself has run into."""
    machine = Machine(program)
    # Between exceptions that are raised again and again contextlib can look for ever for the end of a chain of
    # contexts.  (An interval, since what is raised in a callback of the garbage collector is lost.)
    signal.signal(signal.SIGVTALRM, lambda number, frame: machine.halt('is stuck'))
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_SECONDS, MAX_SECONDS)
    try:
        return machine.run()
    except BaseException as exc:
        return [['machine', 0, 'fails', describe(exc)]]
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        machine.frozen = True


def main():
    logging.disable()
    sys.unraisablehook = lambda unraisable: None
    sys.setrecursionlimit(10_000)
    warnings.simplefilter('ignore')
    gc.disable()
    for line in sys.stdin:
        programs = json.loads(line)
        # Only what a program leaves is looked at when garbage is collected, and only when that is asked for.
        gc.collect()
        gc.freeze()
        for program in programs:
            # At once: if the next one ends the interpreter or never ends, it is seen which of them did.
            print(json.dumps(run(program)), flush=True)


if __name__ == '__main__':
    main()
