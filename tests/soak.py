"""Soak asyncio in a random workload and see whether anything grows.

    PYTHON tests/soak.py [--minutes M | --virtual-hours H] [--implementation c|python|both] [--seed S] [--out FILE]

A program is a random tree of scopes, timeouts, task groups, shields, cancellations, failures, queues and locks, and of
generators and tasks that are given up.  It runs on an event loop whose clock jumps to the next timer, so that hours
pass in seconds.  After each round of programs garbage is collected, and then:

- no task, future, scope, group, coroutine or asynchronous generator may be alive;
- memory is measured.  The first quarter of the rounds is for warming up.  In the last quarter no type may always have
  more objects than it ever had in the second and still get more, and the size of the process must be about the same.

With --leak NAME it keeps something that it should drop, to show that it would be found.
"""

import collections
import gc
import json
import os
import random
import selectors
import statistics
import sys
import tempfile
import time
import types
import warnings

import stress

ARGUMENTS = stress.parser(__doc__.splitlines()[0])
ARGUMENTS.add_argument('--minutes', type=float, default=3, help='how long, for each implementation; default: 3')
ARGUMENTS.add_argument('--virtual-hours', type=float, help='how long on the clock of the loops, instead')
ARGUMENTS.add_argument('--programs', type=int, default=60, help='programs in a round; default: 60')
ARGUMENTS.add_argument('--leak', choices=('scope', 'task', 'cycle', 'memory'), help='leak this on purpose')
if __name__ == '__main__':
    stress.choose(ARGUMENTS.parse_args())

import asyncio  # noqa: E402 (see stress.choose)
from asyncio import cancelscopes, futures, tasks  # noqa: E402

MAIN_SECONDS = 3600
# A program is a tree of so many levels.
DEPTH = 5
# What the process may grow by between the second quarter and the last: what its allocator does on its own.
MOST_RSS = 1 << 20
FEWEST_ROUNDS = 12
# Of these nothing may be alive between programs.
MORTAL = tuple({
    types.CoroutineType, types.AsyncGeneratorType, asyncio.Task, asyncio.Future, tasks._PyTask, futures._PyFuture,
    asyncio.CancelScope, cancelscopes._PyCancelScope, asyncio.Timeout, asyncio.TaskGroup, asyncio.Runner,
    asyncio.BaseEventLoop, cancelscopes._Node})


class Broken(Exception):
    """An error that a program raises on purpose."""


class Deadlock(Exception):
    """A loop has nothing to do, now or later."""


class _Selector(selectors.DefaultSelector):
    loop = None

    def select(self, timeout=None):
        events = super().select(0)
        if not events and (timeout is None or timeout > 0):
            self.loop.skip(timeout)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that never waits: its clock jumps to the next timer."""

    def __init__(self):
        self.now = 0.0
        selector = _Selector()
        super().__init__(selector)
        selector.loop = self

    def time(self):
        return self.now

    def skip(self, timeout):
        """Pass the time up to the next timer."""
        if timeout is None:
            raise Deadlock('every task waits, and nothing can wake one')
        self.now = max(self.now, self._scheduled[0].when())

    def close(self):
        self._selector.loop = None
        super().close()


class Program:
    """One program: its random numbers, and what of it can be cancelled at the moment."""

    # Coroutines are destroyed in the midst of their cleanup, which may try to wait, or to leave a scope that others
    # are still open in: that cannot but fail.
    giving_up = False

    def __init__(self, seed, count, leak):
        self.rng = random.Random(seed)
        self.count = count
        self._leak = leak
        self.targets = []  # What can be cancelled.
        self.problems = []
        self._actions = [getattr(self, name) for name in dir(Program) if name.startswith('do_')]
        self.queue = self.lock = self.condition = None
        self.rooted = True  # There is a root task group.

    def scope(self, scope):
        """Count a scope, and leak it if that is asked for."""
        self.count['scopes'] += 1
        if self._leak == 'scope' and self.count['scopes'] % 100 == 0:
            LEAKED.append(scope)
        elif self._leak == 'memory' and self.count['scopes'] % 10 == 0:
            LEAKED.append(b'x' * 100_000)
        elif self._leak == 'cycle' and self.count['scopes'] % 100 == 0:
            LEAKED.append([])
        return scope

    def spawn(self, create_task, coro, **options):
        """Make a task with create_task."""
        self.count['tasks'] += 1
        task = create_task(coro, **options)
        if self._leak == 'task' and self.count['tasks'] % 100 == 0:
            LEAKED.append(task)
        self.targets.append(task)
        return task

    def delay(self):
        """Return some time, or none."""
        return self.rng.choice((0, 0, 1, 10, 100)) * self.rng.random()

    # Running it.

    def run(self):
        """Run the program; return the virtual seconds that it took."""
        kind = self.rng.random()
        if kind < 0.6:
            return self._run_once()
        if kind < 0.85:
            return self._run_again()
        return self._run_bare()

    def _new_loop(self):
        self.count['loops'] += 1
        loop = VirtualLoop()
        loop.set_exception_handler(self._on_report)
        if self.rng.random() < 0.3:
            loop.set_task_factory(asyncio.eager_task_factory)
        self.queue, self.lock, self.condition = asyncio.Queue(3), asyncio.Lock(), asyncio.Condition()
        return loop

    def _on_report(self, loop, context):
        self.count['reports'] += 1
        error = context.get('exception')
        # Tasks that are left when a loop without a root group ends are destroyed, and keep their generators running.
        left = 'Task was destroyed but it is pending', 'an error occurred during closing of asynchronous generator'
        if not (context['message'].startswith(left) and not self.rooted
                or isinstance(error, BaseException) and self._is_expected(error)):
            self.problems.append(f'the loop reports: {context["message"]}: {error!r}')

    def _attempt(self, function):
        """Call function, which may fail in the ways that the program does on purpose."""
        try:
            return function()
        except BaseException as error:
            if not self._is_expected(error):
                raise
            self.count['programs that failed'] += 1

    def _is_expected(self, error):
        if isinstance(error, BaseExceptionGroup):
            return all(self._is_expected(each) for each in error.exceptions)
        return isinstance(error, (Broken, TimeoutError, asyncio.CancelledError))

    def _run_once(self):
        loops = []

        def factory():
            loops.append(self._new_loop())
            return loops[0]

        self._attempt(lambda: asyncio.run(self.main(), loop_factory=factory))
        return self._finish(loops.pop())

    def _run_again(self):
        """A Runner for several calls; background tasks live on between them."""
        runner = asyncio.Runner(loop_factory=self._new_loop)
        loop = runner.get_loop()

        def run():
            with runner:
                for _ in range(self.rng.randrange(1, 4)):
                    self._attempt(lambda: runner.run(self.main()))

        self._attempt(run)
        return self._finish(loop)

    def _run_bare(self):
        """A loop without a root group: background tasks are given up when it is closed."""
        self.rooted = False
        Program.giving_up = True
        loop = self._new_loop()
        try:
            self._attempt(lambda: loop.run_until_complete(self.main()))
            self._attempt(lambda: loop.run_until_complete(loop.shutdown_asyncgens()))
        finally:
            loop.close()
            self._finish(loop)
            gc.collect()
            Program.giving_up = False
        return loop.time()

    def _finish(self, loop):
        if self.rooted and (left := asyncio.all_tasks(loop)):
            self.problems.append(f'tasks are left behind: {left}')
        self.targets.clear()
        self.queue = self.lock = self.condition = None
        return loop.time()

    async def main(self):
        # The rest of the program before waits for nothing.
        self.targets = [target for target in self.targets if isinstance(target, asyncio.Task) and not target.done()]
        async with asyncio.timeout(MAIN_SECONDS):
            await self.some(DEPTH)

    async def some(self, depth):
        """Do something a few times, nested up to depth."""
        for _ in range(self.rng.randrange(1, 4)):
            if depth == 0 or self.rng.random() < 0.1:
                await asyncio.sleep(self.delay())
            else:
                self.count['actions'] += 1
                await self.rng.choice(self._actions)(depth - 1)

    # Things to do.

    async def do_scope(self, depth):
        delay = self.rng.choice((None, self.delay(), self.delay()))
        with self.scope(asyncio.move_on_after(delay, shield=self.rng.random() < 0.2)) as scope:
            self.targets.append(scope)
            if self.rng.random() < 0.2:
                scope.deadline = asyncio.get_running_loop().time() + self.delay()
            await self.some(depth)
            if self.rng.random() < 0.2:
                scope.shield = not scope.shield
                await self.some(depth)
        self.count['scopes that caught'] += scope.cancelled_caught

    async def do_scopes(self, depth):
        """Many at once."""
        async def enter(level):
            if level:
                with self.scope(asyncio.CancelScope(shield=self.rng.random() < 0.05)) as scope:
                    self.targets.append(scope)
                    await enter(level - 1)
            else:
                await self.some(min(depth, 1))
        await enter(self.rng.randrange(30))

    async def do_timeout(self, depth):
        self.count['scopes'] += 1
        try:
            async with asyncio.timeout(self.delay(), shield=self.rng.random() < 0.2) as timeout:
                if self.rng.random() < 0.2 and not timeout.expired():
                    timeout.reschedule(asyncio.get_running_loop().time() + self.delay())
                await self.some(depth)
        except TimeoutError:
            self.count['timeouts'] += 1

    async def do_wait_for(self, depth):
        try:
            await asyncio.wait_for(self.some(depth), self.delay())
        except TimeoutError:
            self.count['timeouts'] += 1

    async def do_group(self, depth):
        self.count['scopes'] += 1
        try:
            async with asyncio.TaskGroup() as group:
                self.targets.append(group)
                if self.rng.random() < 0.2:
                    group.cancel_scope.deadline = asyncio.get_running_loop().time() + self.delay()
                for _ in range(self.rng.randrange(4)):
                    self.spawn(group.create_task, self.some(depth))
                if self.rng.random() < 0.3:
                    self.spawn(group.create_task, self.fail())
                if self.rng.random() < 0.3:
                    await self.some(depth)
                    self.count['cancels'] += 1
                    group.cancel()
        except* (Broken, TimeoutError):
            self.count['groups that failed'] += 1

    async def fail(self):
        await asyncio.sleep(self.delay())
        raise Broken

    async def do_gather(self, depth):
        coros = [self.some(min(depth, 1)) for _ in range(3)]
        if self.rng.random() < 0.3:
            coros.append(self.fail())
        self.count['tasks'] += len(coros)
        try:
            await asyncio.gather(*coros, return_exceptions=self.rng.random() < 0.5)
        except Broken:
            pass

    async def do_shield(self, depth):
        await asyncio.shield(self.some(min(depth, 2)))

    async def do_shield_task(self, depth):
        task = self.spawn(asyncio.create_task, self.some(min(depth, 1)), errors='log')
        try:
            await asyncio.wait_for(asyncio.shield(task), self.delay())
        except TimeoutError:
            self.count['timeouts'] += 1

    async def do_clean_up(self, depth):
        try:
            await self.some(depth)
        finally:
            with self.scope(asyncio.move_on_after(self.delay(), shield=True)):
                await self.some(min(depth, 1))

    async def do_swallow(self, depth):
        for _ in range(3):
            try:
                await self.some(depth)
            except asyncio.CancelledError:
                self.count['swallowed'] += 1

    async def do_cancel(self, depth):
        for _ in range(min(len(self.targets), self.rng.randrange(3))):
            # The latest are more likely to be alive.
            target = self.targets.pop(-1 - min(int(self.rng.expovariate(0.2)), len(self.targets) - 1))
            self.count['cancels'] += 1
            target.cancel(self.rng.choice((None, 'a message')))

    async def do_cancel_itself(self, depth):
        if self.rng.random() < 0.3:
            self.count['cancels'] += 1
            asyncio.current_task().cancel()
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                if self.rng.random() < 0.8:
                    while asyncio.current_task().uncancel():
                        pass
                else:
                    raise

    async def do_fail(self, depth):
        if self.rng.random() < 0.2:
            raise Broken

    async def do_queue(self, depth):
        with self.scope(asyncio.move_on_after(self.delay())):
            if self.rng.random() < 0.5:
                await self.queue.put(depth)
            else:
                await self.queue.get()

    async def do_lock(self, depth):
        with self.scope(asyncio.move_on_after(self.delay())):
            async with self.lock:
                await asyncio.sleep(self.delay())

    async def do_condition(self, depth):
        with self.scope(asyncio.move_on_after(self.delay())):
            async with self.condition:
                if self.rng.random() < 0.5:
                    self.condition.notify(2)
                else:
                    await self.condition.wait()

    async def do_generator(self, depth):
        """Some are used up, others given up."""
        async for _ in self.generator(min(depth, 1)):
            if self.rng.random() < 0.5:
                break

    async def generator(self, depth):
        try:
            for _ in range(3):
                await self.some(depth)
                yield
        finally:
            self.count['generators closed'] += 1
            await asyncio.sleep(self.delay())

    async def do_background(self, depth):
        if self.rng.random() < 0.2:
            self.spawn(asyncio.create_task, self.some(depth))

    async def do_background_failure(self, depth):
        if self.rng.random() < 0.02:
            self.spawn(asyncio.create_task, self.fail())
        elif self.rng.random() < 0.1:
            self.spawn(asyncio.create_task, self.fail(), errors='log')

    async def do_give_up(self, depth):
        """A task that is part of a cycle to which there is no other reference."""
        async def wait():
            me = asyncio.current_task()
            with self.scope(asyncio.CancelScope()) as scope:
                me.scope = scope
                await me.future
            return me

        if type(asyncio.current_task()) is Given:
            return
        self.count['tasks'] += 1
        task = Given(wait(), loop=asyncio.get_running_loop())
        task.future = asyncio.get_running_loop().create_future()
        await asyncio.sleep(0)

    async def do_as_completed(self, depth):
        self.count['tasks'] += 3
        with self.scope(asyncio.move_on_after(self.delay())):
            for next_one in asyncio.as_completed([self.some(min(depth, 1)) for _ in range(3)]):
                await next_one

    async def do_wait(self, depth):
        waited = [self.spawn(asyncio.create_task, self.some(min(depth, 1)), errors='log') for _ in range(3)]
        try:
            await asyncio.wait(waited, timeout=self.delay(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waited:
                self.count['cancels'] += 1
                task.cancel()


class Given(asyncio.Task):
    """A task that takes attributes."""


LEAKED = []


# Measuring.

class Measurements:
    """What was measured after each round: written to a file, so that it does not show in the measurements."""

    def __init__(self):
        self._file = tempfile.TemporaryFile('w+', encoding='utf-8')
        self._number = 0

    def __len__(self):
        return self._number

    def take(self):
        """Measure; return {name of a mortal type: number of its objects}."""
        for _ in range(3):
            gc.collect()
        counted = collections.Counter(map(type, gc.get_objects()))
        alive = {_name(each): number for each, number in counted.items() if issubclass(each, MORTAL)}
        figures = {'objects': counted.total(), 'blocks': sys.getallocatedblocks(), 'rss': _resident()}
        if hasattr(sys, 'gettotalrefcount'):
            figures['references'] = sys.gettotalrefcount()
        json.dump([figures, {_name(each): number for each, number in counted.items()}], self._file)
        self._file.write('\n')
        self._number += 1
        return alive

    def read(self):
        """Return ({figure: its values}, {name of a type: its values})."""
        self._file.seek(0)
        lines = [json.loads(line) for line in self._file]
        names = {name for _, types in lines for name in types}
        return ({name: [figures[name] for figures, _ in lines] for name in lines[0][0]},
                {name: [types.get(name, 0) for _, types in lines] for name in sorted(names)})


def _name(each):
    return f'{each.__module__}.{each.__qualname__}'


def _resident():
    """Return the bytes of the process that are in memory."""
    with open('/proc/self/statm', encoding='ascii') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def quarters(values):
    """Return the values of the second, the third and the last quarter."""
    quarter = len(values) // 4
    return values[quarter:2 * quarter], values[2 * quarter:-quarter], values[-quarter:]


def _growth(values):
    """Return by how much the last values are above the earlier ones; not positive if they are not, or stand still."""
    before, between, after = quarters(values)
    # What is made once, when it is needed first, is no growth.
    return min(after) - max(before) if max(after) > max(between) else 0


def drift(values):
    """Return by how much the median of the last values is above that of the earlier ones."""
    before, _, after = quarters(values)
    return round(statistics.median(after) - statistics.median(before))


def slope(values):
    """Return the growth a round according to a fitted line, without the first quarter."""
    values = values[len(values) // 4:]
    return statistics.linear_regression(range(len(values)), values).slope


def soak(arguments):
    """Return the figures of a run, and the failures."""
    measurements = Measurements()
    count = collections.Counter()
    failures = []
    start = time.monotonic()
    virtual = 0.0

    def unraisable(hook):
        if Program.giving_up and ((hook.err_msg or '').startswith('Exception ignored while closing')
                                  or str(hook.exc_value) == 'Event loop is closed'):
            count['cleanups that came too late'] += 1
            return
        failures.append(f'an exception that cannot be raised: {hook.err_msg or ""} {hook.object!r}: {hook.exc_value!r}')

    sys.unraisablehook = unraisable

    def is_over():
        if len(measurements) < FEWEST_ROUNDS:
            return False
        if arguments.virtual_hours is not None:
            return virtual / 3600 >= arguments.virtual_hours
        return time.monotonic() - start >= 60 * arguments.minutes

    while not failures and not is_over():
        for number in range(arguments.programs):
            seed = f'{arguments.seed} {len(measurements)} {number}'
            program = Program(seed, count, arguments.leak)
            count['programs'] += 1
            try:
                virtual += program.run()
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                failures.append(f'program {seed!r}: {error!r}')
            failures += [f'program {seed!r}: {problem}' for problem in program.problems]
            program = None
        alive = measurements.take()
        if alive:
            failures.append(f'alive after round {len(measurements)}: '
                            + ', '.join(f'{number} {name}' for name, number in sorted(alive.items())))
    sys.unraisablehook = sys.__unraisablehook__
    figures = {'rounds': len(measurements), 'virtual_hours': round(virtual / 3600),
               'seconds': round(time.monotonic() - start), 'grown': {}, 'count': dict(sorted(count.items()))}
    if len(measurements) >= FEWEST_ROUNDS:
        measured, by_type = measurements.read()
        # One a round is less than any leak that a program shows, and more than what caches take.
        slack = {'blocks': len(measurements), 'references': len(measurements)}
        judged = {**by_type, **{name: values for name, values in measured.items() if name in slack}}
        figures['grown'] = {name: growth for name, values in judged.items()
                            if (growth := _growth(values)) > slack.get(name, 0)}
        for name, values in measured.items():
            print(f'{name:<12}{values[len(values) // 4]:>14,} ...{values[-1]:>14,}, drift {drift(values):,}, '
                  f'{slope(values):+,.1f} a round', flush=True)
            figures[name] = values[-1]
            figures[f'{name}_growth'] = drift(values)
        failures += [f'more and more {name}: {number} more in the last quarter of the rounds than ever in the second'
                     for name, number in figures['grown'].items()]
        if figures['rss_growth'] > MOST_RSS:
            failures.append(f'the process has grown by {figures["rss_growth"]:,} bytes')
    print(', '.join(f'{number:,} {name}' for name, number in figures['count'].items()))
    print(f'{figures["rounds"]} rounds, {figures["virtual_hours"]:,} virtual hours in {figures["seconds"]} s',
          flush=True)
    return figures, failures


def main():
    arguments = ARGUMENTS.parse_args()
    if not hasattr(asyncio, 'CancelScope'):
        ARGUMENTS.error('this Python has no cancel scopes: run it with the patched interpreter, ./build.sh python')
    # Of coroutines that were given up before they began.
    warnings.simplefilter('ignore', RuntimeWarning)
    stress.run(arguments, soak)


if __name__ == '__main__':
    main()
