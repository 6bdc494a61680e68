"""What both sides share: a machine that runs a program and writes down what happens.

The two sides (trio_side, asyncbis_side) derive from Machine and say how to sleep, to open a scope, and so on.  Nothing
in this module awaits anything of its own: a place where the coroutine suspends is one of theirs.

The record is a list of events (task, time, what); `what` is a tuple of strings, numbers, and exceptions as described by
describe().  Events whose first word is in PARITY_ONLY have no counterpart in Trio: only C and Python are compared by
them.  traces() makes of the record what is compared with Trio.
"""

from collections import Counter

from .programs import OPS, walk

PARITY_ONLY = 'args', 'cancelling'
WATCHDOG = 64       # seconds after which the program is cancelled as a whole
RELEASE = 200       # seconds after which there is something for those who wait for it under a shield
DEADLOCK = 1000     # seconds after that, those who still wait are told that it is enough
TICKS_PER_SECOND = 8


class E1(Exception):
    pass


class E2(Exception):
    pass


class E3(Exception):
    pass


ERRORS = {'E1': E1, 'E2': E2, 'E3': E3, 'Exception': Exception}


class Discard(BaseException):
    """Trio cannot do what asyncbis does here, by a rule that says so: the program is not compared."""


class Task:
    """A task of the program, on either side."""

    def __init__(self, name):
        self.name = name
        self.spawned = Counter()    # how often each of its spawn statements was run
        self.caught = 0             # how many cancellations it has caught, for the statistics
        self.blocked = False
        self.scopes = []            # the ids it is in, for the statistics


class Machine:

    Cancelled = None

    def __init__(self, program):
        self.program = program
        self.record = []
        self.objects = {}   # id -> the scope, timeout or group that it stands for
        self.tasks = {}     # id -> the last task that was spawned by that name
        self.events = {}
        self.locks = {}         # and semaphores, and conditions
        self.queues = {}
        self.owners = {}        # queue or condition -> the one task that waits for it: it matters which one is woken
        self.items = 0
        self.stats = Counter()
        self.definitions = _find_definitions(program)
        self.ops = {op: getattr(self, 'op_' + op) for op in OPS}
        self.discard = None     # the reason, if there is one

    def log(self, task, *what):
        self.record.append((task.name, self.now(), what))

    def describe(self, exc):
        """An exception as nested tuples and strings."""
        if exc is None:
            return 'none'
        if isinstance(exc, self.Cancelled):
            return 'Cancelled'
        if isinstance(exc, BaseExceptionGroup):
            kind = 'errors' if isinstance(exc, ExceptionGroup) else 'group'
            return (kind, *map(self.describe, exc.exceptions))
        if type(exc).__name__ in ERRORS:
            return type(exc).__name__
        if isinstance(exc, self.TimedOut):
            return 'TimeoutError'
        return f'{type(exc).__name__}: {exc}'

    def traces(self):
        """What happened in each task, in a form in which it is the same on both sides."""
        result = {}
        for name, time, what in self.record:
            if what[0] not in PARITY_ONLY:
                result.setdefault(name, []).append((round(time * TICKS_PER_SECOND) / TICKS_PER_SECOND,
                                                    *map(_sort_groups, what)))
        return result

    # Running.

    async def block(self, task, block):
        for statement in block:
            self.stats[statement['op']] += 1
            await self.ops[statement['op']](task, statement)

    async def main(self):
        task = Task('main')
        await self.body(task, self.program['main'])

    async def body(self, task, block):
        """What a task does from beginning to end."""
        self.log(task, 'begin')
        try:
            await self.block(task, block)
        except BaseException as exc:
            self.log(task, 'end', self.describe(exc))
            raise
        self.log(task, 'end', 'none')

    def log_outcome(self, exc):
        """What run() raises, for a program that has a root group."""
        self.record.append(('run', self.now(), ('outcome', self.describe(exc))))

    def find(self, name):
        """The object of that name, which may have to be made first; None if the program does not define it."""
        found = self.objects.get(name)
        if found is None and name in self.definitions:
            found = self.objects[name] = self.make(self.definitions[name])
        return found

    def take(self, statement):
        """The object of a block that is being entered."""
        found = self.find(statement['id'])
        if self.was_entered(found):
            found = self.objects[statement['id']] = self.make(statement)
        return found

    async def inside(self, task, name, manager, body):
        """Run a block in an async context manager, and log how that ends."""
        task.scopes.append(name)
        leaves = None
        try:
            async with manager:
                await self.block(task, body)
        except BaseException as exc:
            leaves = exc
            raise
        finally:
            task.scopes.pop()
            called, caught = self.flags(manager)
            self.log(task, 'exit', name, called, caught, self.describe(leaves))
            self.count_exit(task, manager, called, caught, leaves)
            leaves = None

    def count_exit(self, task, manager, called, caught, leaves):
        if self.was_timer(manager):
            self.stats['! deadline fired'] += 1
        if caught:
            self.stats['! scope caught'] += 1
        if called and not caught and self.describe(leaves) == 'Cancelled':
            self.stats['! outer scope won'] += 1

    # Statements.

    async def op_sleep(self, task, s):
        task.blocked = True
        try:
            await self.sleep(task, s['d'])
        finally:
            task.blocked = False
        self.log(task, 'slept')

    async def op_checkpoint(self, task, s):
        await self.checkpoint(task)
        self.log(task, 'checkpoint')

    async def op_scope(self, task, s):
        await self.inside(task, s['id'], self.take(s), s['body'])

    async def op_timeout(self, task, s):
        if s['how'] == 'wait_for':
            await self.wait_for(task, s)
        else:
            await self.inside(task, s['id'], self.take(s), s['body'])

    async def op_shielded(self, task, s):
        if s['how'] == 'shield':
            await self.run_shielded(task, s)
        else:
            with self.make_shield():
                await self.block(task, s['body'])
        self.log(task, 'unshielded')

    async def op_group(self, task, s):
        group = self.take(s)
        self.prepare_group(group, task)
        await self.inside(task, s['id'], group, s['body'])

    async def op_spawn(self, task, s):
        group = self.find(s['group']) if s['group'][0] in 'gr' else None
        number = task.spawned[s['id']]
        task.spawned[s['id']] += 1
        child = Task(f"{task.name}/{s['id']}.{number}" if number else f"{task.name}/{s['id']}")
        if group is None:
            return
        self.count_spawn(task, s, group)
        before, self.tasks[s['id']] = self.tasks.get(s['id']), child
        try:
            self.spawn(group, child, s['body'])
        except RuntimeError:
            self.tasks[s['id']] = before
            self.stats['! spawn refused'] += 1
            self.log(task, 'refused', s['id'])
            return
        await self.after_spawn(child)
        self.log(task, 'spawned', s['id'])

    def count_spawn(self, task, s, group):
        if self.was_entered(group) and not self.is_over(group):
            if self.flags(group)[0]:
                self.stats['! spawn into a cancelled group'] += 1
            if s['group'] not in task.scopes:
                self.stats['! spawn by another task'] += 1

    async def op_cancel(self, task, s):
        target = self.find(s['of'])
        if target is not None:
            self.count_target('cancel', task, s, target)
            self.cancel(target, s['of'])

    async def op_deadline(self, task, s):
        target = self.find(s['of'])
        if target is not None:
            self.count_target('deadline', task, s, target)
            when = None if s['after'] is None else self.now() + s['after']
            if not self.set_deadline(target, when):
                self.log(task, 'refused', 'deadline')

    async def op_shield(self, task, s):
        target = self.find(s['of'])
        if target is not None:
            self.count_target(f"shield = {s['value']}", task, s, target)
            if not self.set_shield(target, s['value']):
                self.log(task, 'refused', 'shield')

    def count_target(self, what, task, s, target):
        if not self.was_entered(target):
            self.stats[f'! {what} before entry'] += 1
        elif self.is_over(target):
            self.stats[f'! {what} after exit'] += 1
        elif s['of'] in task.scopes:
            self.stats[f'! {what} of own'] += 1
        else:
            self.stats[f'! {what} of another task'] += 1

    async def op_cancel_task(self, task, s):
        target = self.tasks.get(s['of'])
        if target is not None:
            self.stats['! task cancelled'] += 1
            if any(name[0] == 'g' for name in target.scopes):
                self.stats['! host of a group cancelled'] += 1
            self.cancel_task(target, s['of'])
            self.log(task, 'cancelled task', s['of'])

    async def op_read(self, task, s):
        target = self.find(s['of'])
        if target is not None:
            self.log(task, 'read', s['of'], *self.flags(target))
            if self.was_entered(target) and not self.is_over(target):
                deadline, shield = self.settings(target)
                self.log(task, 'settings', s['of'], _show_time(deadline), shield)

    async def op_effective(self, task, s):
        self.log(task, 'effective', _show_time(self.effective_deadline()))

    async def op_set(self, task, s):
        self.set_event(self.event(s['event']))

    async def op_wait(self, task, s):
        await self.wait_event(task, self.event(s['event']))
        self.log(task, 'waited', s['event'])

    def event(self, name):
        if name not in self.events:
            self.events[name] = self.make_event()
        return self.events[name]

    async def op_lock(self, task, s):
        async def body():
            await self.block(task, s['body'])

        await self.locked(task, s['id'], self.make_lock if s['id'][0] == 'k' else self.make_semaphore, body)

    async def op_condition(self, task, s):
        async def body():
            condition = self.locks[s['id']]
            if s['what'] == 'notify':
                self.notify(condition, self.owners.pop(s['id'], None))
            elif s['id'] not in self.owners:
                self.owners[s['id']] = task
                try:
                    await self.wait_condition(task, condition)
                finally:
                    if self.owners.get(s['id']) is task:
                        del self.owners[s['id']]
                self.log(task, 'notified', s['id'])

        await self.locked(task, s['id'], self.make_condition, body)

    async def locked(self, task, name, make, body):
        if name in task.scopes:
            return  # It would wait for itself.
        if name not in self.locks:
            self.locks[name] = make()
        lock = self.locks[name]
        await self.acquire(task, lock)
        self.log(task, 'locked', name)
        task.scopes.append(name)
        try:
            await body()
        finally:
            task.scopes.remove(name)
            self.release_lock(lock)

    async def op_put(self, task, s):
        self.items += 1
        self.put(self.queue(s), self.items)

    async def op_get(self, task, s):
        if self.owners.setdefault(s['queue'], task) is task:
            item = await self.get(task, self.queue(s))
            self.log(task, 'got', item)

    def feed_queues(self):
        for queue in self.queues.values():
            for _ in range(9):
                self.put(queue, 0)

    def queue(self, s):
        if s['queue'] not in self.queues:
            self.queues[s['queue']] = self.make_queue()
        return self.queues[s['queue']]

    # Only asyncio has the following; there is no comparison with Trio.

    async def op_uncancel(self, task, s):
        target = task if s['of'] == 'self' else self.tasks.get(s['of'])
        if target is not None and target.name != 'main':
            self.log(task, 'uncancelled', s['of'], self.uncancel(target))

    async def op_await(self, task, s):
        # Only tasks further down in the program, so that no two await each other: to cancel these never ends, as in
        # stock.
        targets = [self.tasks[name] for name in s['of'] if name in self.tasks and _number(name) > _number(task.name)]
        if targets:
            result = await self.await_tasks(targets, s['how'])
            self.log(task, 'awaited', *s['of'], result)

    async def op_try(self, task, s):
        kind = {'cancelled': self.Cancelled, 'error': Exception, 'any': BaseException}[s['catch']]
        try:
            await self.block(task, s['body'])
        except kind as exc:
            self.caught(task, exc, s['then'] == 'swallow')
            await self.block(task, s['handler'])
            if s['then'] == 'reraise':
                raise
            elif s['then'] == 'replace':
                raise E3()
            elif s['then'] == 'group':
                raise BaseExceptionGroup('group', [exc, E3()])

    async def op_finally(self, task, s):
        try:
            await self.block(task, s['body'])
        finally:
            self.log(task, 'finally')
            await self.block(task, s['handler'])

    async def op_retry(self, task, s):
        for _ in range(s['times']):
            try:
                await self.block(task, s['body'])
                break
            except self.Cancelled as exc:
                self.caught(task, exc, True)

    async def op_star(self, task, s):
        try:
            await self.block(task, s['body'])
        except* ERRORS[s['error']] as group:
            self.log(task, 'caught*', self.describe(group))
            await self.block(task, s['handler'])

    async def op_raise(self, task, s):
        raise ERRORS[s['error']]()

    def caught(self, task, exc, swallowed):
        if isinstance(exc, Discard):
            raise
        self.log(task, 'caught', self.describe(exc))
        if isinstance(exc, self.Cancelled):
            self.stats['! cancellation swallowed' if swallowed else '! cancellation caught'] += 1
            task.caught += 1
            if task.caught > 1:
                self.stats['! cancellation caught again'] += 1
            self.caught_cancellation(task, exc)

    def caught_cancellation(self, task, exc):
        pass


def _find_definitions(program):
    return {s['id']: s for s in walk(program['main'])
            if s['op'] in ('scope', 'group') or s['op'] == 'timeout' and s['how'] == 'timeout'}


def _number(name):
    """The number of a task; that of the main task is 0."""
    return int(name.rpartition('/t')[2].partition('.')[0].lstrip('t') if name != 'main' else 0)


def _show_time(time):
    if time is None or abs(time) > 1e9:
        return str(time or float('inf'))
    return round(time * TICKS_PER_SECOND) / TICKS_PER_SECOND


def _sort_groups(value):
    """Let the order of the errors in a group not matter."""
    if isinstance(value, tuple):
        kind, *members = value
        return (kind, *sorted(map(_sort_groups, members), key=repr))
    return value
