"""Stress asyncio from several threads at once: many loops, and all traffic between threads that is allowed.

    PYTHON tests/threads.py [--threads N] [--seconds S] [--implementation c|python|both] [--seed S] [--out FILE]

Each thread runs one small program after the other, every one on a new event loop: scopes, deadlines, groups, failures,
shields, queues.  What comes of each is known beforehand and checked.  Some programs have a second thread to them that
cancels from outside through call_soon_threadsafe(), submits coroutines, or is the one to close the loop.  All the
while another thread collects garbage and asks for the tasks of all loops, and one more drops the last references to
loops, tasks and scopes.

With --hostile, threads also do what is not allowed: they call cancel() and its like directly on what belongs to a loop
in another thread.  There the outcome is not checked, only that the interpreter survives and nothing waits forever; but
a few more programs, on the C classes only, call from a wrong thread themselves and check what must hold even so.

It is meant for the variants free-threaded and tsan, but it runs on any build of the patched interpreter.
"""

import collections
import contextlib
import faulthandler
import functools
import gc
import itertools
import math
import os
import queue
import random
import sys
import threading
import time
import traceback
import warnings
from test.support import check_sanitizer

import stress

ARGUMENTS = stress.parser(__doc__.splitlines()[0])
ARGUMENTS.add_argument('--threads', type=int, default=4, help='threads that run programs; default: 4')
ARGUMENTS.add_argument('--seconds', type=float, default=20, help='for how long; default: 20')
ARGUMENTS.add_argument('--iterations', type=int, help='programs a thread, instead of --seconds')
ARGUMENTS.add_argument('--hostile', action='store_true', help='call from wrong threads, too')
ARGUMENTS.add_argument('--only', metavar='NAME', action='append', help='run this program only; can be repeated')
ARGUMENTS.add_argument('--patience', type=float, default=120,
                       help='seconds without progress in a thread that count as hanging; default: 120')
ARGUMENTS.add_argument('--most-failures', type=int, default=5, help='stop after so many; default: 5')
if __name__ == '__main__':
    stress.choose(ARGUMENTS.parse_args())

import asyncio  # noqa: E402 (see stress.choose)

# What is not to be waited for to the end.
LONG = 3600


class Broken(Exception):
    """An error that a program raises on purpose."""


def expect(condition, text):
    """Raise AssertionError with text unless condition holds."""
    if not condition:
        raise AssertionError(text)


class Stress:
    """One run: the threads, and what they share."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.end = None if arguments.iterations else time.monotonic() + arguments.seconds
        self.stop = threading.Event()
        self.failures = []
        self.count = collections.Counter()
        self._lock = threading.Lock()
        self._loops = set()  # Those that run.
        self._live = collections.deque(maxlen=200)  # What hostile threads take.
        self.drops = queue.SimpleQueue()

    def fail(self, what, error=None):
        """Note a failure."""
        text = what if error is None else f'{what}\n{"".join(traceback.format_exception(error))}'
        with self._lock:
            self.failures.append(text)
            if len(self.failures) >= self.arguments.most_failures:
                self.stop.set()

    def add(self, counter):
        """Add a thread's own count to the sum."""
        with self._lock:
            self.count.update(counter)

    def register(self, loop):
        """loop is about to run."""
        with self._lock:
            self._loops.add(loop)

    def unregister(self, loop):
        """loop is about to be closed."""
        with self._lock:
            self._loops.discard(loop)

    def loops(self):
        """Return the loops that run."""
        with self._lock:
            return list(self._loops)

    def expose(self, loop, thing):
        """Leave thing, which belongs to loop, to the hostile threads."""
        if self.arguments.hostile:
            self._live.append((loop, thing))

    def exposed(self, rng):
        """Return one such thing and its loop, or None."""
        try:
            return rng.choice(self._live)
        except IndexError:  # There is none, or one was taken out in the meantime.
            return None

    # The threads beside the workers.

    def collect(self):
        """Collect garbage and look at the tasks of all loops."""
        counter = collections.Counter()
        while not self.stop.is_set():
            for loop in self.loops():
                try:
                    tasks = asyncio.all_tasks(loop)
                except RuntimeError as error:
                    self.fail('all_tasks() from another thread', error)
                    break
                for task in tasks:
                    if task.get_loop() is not loop:
                        self.fail(f'all_tasks() of {loop} has {task}')
                counter['looks at all tasks'] += 1
                tasks = task = None
            gc.collect()
            counter['collections'] += 1
            time.sleep(0.002)
        self.add(counter)

    def drop(self):
        """Close what can be closed and drop the last references."""
        counter = collections.Counter()
        while True:
            things = self.drops.get()
            if things is None:
                break
            for thing in things:
                if hasattr(thing, 'close'):
                    thing.close()
                    counter['closed in another thread'] += 1
            counter['dropped in another thread'] += len(things)
            del thing, things
        self.add(counter)

    def molest(self, number):
        """Do what is not allowed."""
        rng = random.Random(f'{self.arguments.seed} hostile {number}')
        counter = collections.Counter()
        while not self.stop.is_set():
            found = self.exposed(rng)
            if found is None:
                time.sleep(0.001)
                continue
            loop, thing = found
            try:
                self._molest(rng, loop, thing)
            except Exception:  # Such as repr() of what changes at that moment.
                counter['hostile calls refused'] += 1
            counter['hostile calls'] += 1
            if rng.random() < 0.1:
                time.sleep(0.0001)
        self.add(counter)

    def _molest(self, rng, loop, thing):
        action = rng.randrange(10)
        if action == 0:
            # (A task's walks the frames of its coroutine, which upstream does not guard: tsan sees races in them.)
            if not (isinstance(thing, asyncio.Task) and check_sanitizer(thread=True)):
                repr(thing)
        elif isinstance(thing, asyncio.CancelScope):
            if action < 4:
                thing.cancel('hostile')
            elif action < 6:
                thing.shield = rng.random() < 0.3
            elif action < 8:
                thing.deadline = rng.choice((None, loop.time() + rng.random() / 100, loop.time() + LONG))
            elif action < 9:
                thing.cancel_called, thing.cancelled_caught, thing.deadline, thing.shield
            elif not _is_python():
                # (Where there are no locks, a scope that is just being entered below this one would be in no tree, and
                # its task beyond rescue.)
                thing.__exit__(None, None, None)
        elif isinstance(thing, asyncio.Task):
            if action < 4:
                thing.cancel('hostile')
            elif action < 7:
                thing.uncancel()
            elif action < 9:
                # (Not get_stack(): upstream's frames do not stand being walked while they run.)
                thing.cancelling(), thing.done()
            else:
                thing.add_done_callback(lambda task: None)
        else:
            thing.cancel('hostile')  # A group.

    def rescue(self, workers):
        """See to it that what hostile threads do keeps no loop from ending."""
        while not self.stop.wait(0.5):
            for worker in workers:
                worker.rescue()

    def main(self):
        """Run the threads to their end; return the figures."""
        workers = [Worker(self, number) for number in range(self.arguments.threads)]
        others = [threading.Thread(target=self.collect, name='collector')]
        if self.arguments.hostile:
            others += [threading.Thread(target=self.molest, args=(number,), name=f'hostile {number}')
                       for number in range(2)]
            others.append(threading.Thread(target=self.rescue, args=(workers,), name='rescuer'))
        dropper = threading.Thread(target=self.drop, name='dropper')
        for thread in [*workers, *others, dropper]:
            thread.daemon = True  # What hangs must not be waited for.
            thread.start()
        start = time.monotonic()
        self._watch(workers)
        self.stop.set()
        for thread in others:
            thread.join()
        self.drops.put(None)
        dropper.join()
        self._live.clear()
        gc.collect()
        if not self.failures and not self.arguments.hostile:
            self._check_reports()
        figures = {'threads': self.arguments.threads, 'hostile': self.arguments.hostile,
                   'gil': getattr(sys, '_is_gil_enabled', lambda: True)(),
                   'seconds': round(time.monotonic() - start, 1), **dict(sorted(self.count.items()))}
        return figures

    def _watch(self, workers):
        """Wait for the workers."""
        while any(worker.is_alive() for worker in workers):
            time.sleep(0.1)
            late = time.monotonic() - self.arguments.patience
            for worker in workers:
                if worker.is_alive() and worker.progress < late:
                    # To end in good order is not possible now.
                    print(f'FAILED: {worker.name} hangs in {worker.doing}', flush=True)
                    for failure in self.failures:
                        print(f'FAILED before: {failure}')
                    sys.stdout.flush()
                    for loop in self.loops():
                        for task in asyncio.all_tasks(loop):
                            try:
                                task.print_stack(file=sys.stdout)
                            except Exception:  # It is in the state that is to be found out.
                                traceback.print_exc(file=sys.stdout)
                    sys.stdout.flush()
                    faulthandler.dump_traceback(all_threads=True)
                    os._exit(3)

    def _check_reports(self):
        """Every task that was given up has been destroyed, and the handler was told so; every error was logged."""
        for made, reported in (('tasks given up', 'tasks destroyed'), ('errors to be logged', 'errors logged')):
            if self.count[made] != self.count[reported]:
                self.fail(f'{made}: {self.count[made]}, {reported}: {self.count[reported]}')


class Worker(threading.Thread):
    """A thread that runs one program after the other."""

    def __init__(self, run, number):
        super().__init__(name=f'worker {number}')
        self._run = run
        self._number = number
        self._rng = None
        self.count = collections.Counter()
        self.progress = time.monotonic()
        self.doing = None
        self._loops, self._scopes = [], []  # Those of the current program, to be rescued.
        self._rescuing = threading.RLock()  # A loop that is garbage can be closed at any time.
        self._logged = 0  # Reports to the exception handlers that the current program is to make.

    def run(self):
        arguments = self._run.arguments
        programs = [program for program in programs_of(arguments)
                    if not arguments.only or program.__name__ in arguments.only]
        for iteration in itertools.count():
            if self._run.stop.is_set() or iteration == arguments.iterations:
                break
            self.progress = time.monotonic()
            if self._run.end is not None and self.progress > self._run.end:
                break
            seed = f'{arguments.seed} {self._number} {iteration}'
            self._rng = random.Random(seed)
            program = programs[(iteration + self._number) % len(programs)]
            self.doing = f'{program.__name__}, iteration {iteration}'
            try:
                program(self)
            except BaseException as error:
                if not arguments.hostile:
                    self._run.fail(f'{self.name}: {self.doing}', error)
            self.count['programs'] += 1
            with self._rescuing:
                self._loops.clear()
            self._scopes.clear()
        self._run.add(self.count)

    # Helpers of the programs.

    def new_loop(self):
        """Make a loop with a handler for reports."""
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(functools.partial(_on_report, self._run, self._number))
        if self._rng.random() < 0.3:
            loop.set_task_factory(asyncio.eager_task_factory)
        self.count['loops'] += 1
        if self._run.arguments.hostile:
            self._loops.append(loop)
            loop.close = functools.partial(self._close, loop, loop.close)
        return loop

    def runner(self):
        """Return a Runner on such a loop."""
        return asyncio.Runner(loop_factory=self.new_loop)

    def execute(self, function, *args):
        """Run function(worker, *args), a coroutine function, by asyncio.run()."""
        loops = []

        def factory():
            loops.append(self.new_loop())
            self._run.register(loops[0])
            return loops[0]

        coro = function(self, *args)
        if self._run.arguments.hostile:
            coro = self._exposed(coro)
        try:
            return asyncio.run(coro, loop_factory=factory)
        finally:
            self._run.unregister(loops.pop())

    async def _exposed(self, coro):
        self._run.expose(asyncio.get_running_loop(), asyncio.current_task())
        return await coro

    def rescue(self):
        """Wake the loops of a program that has taken long, and cancel all there is.

        A call from a wrong thread does not wake the loop, and can lose a timer, so that it would wait forever.
        """
        if time.monotonic() < self.progress + 2:
            return
        with self._rescuing:
            for loop in self._loops:
                loop.call_soon_threadsafe(_cancel_all, loop, list(self._scopes))

    def _close(self, loop, close):
        # Upstream's call_soon_threadsafe() does not stand that the loop is closed at the same moment.
        with self._rescuing:
            if loop in self._loops:
                self._loops.remove(loop)
            close()

    def spawn(self, group, coro, **options):
        """Make a member of group, or of the root group if that is None."""
        self.count['tasks'] += 1
        task = (asyncio if group is None else group).create_task(coro, **options)
        self._run.expose(task.get_loop(), task)
        return task

    def scope(self, **options):
        """Make a scope."""
        self.count['scopes'] += 1
        scope = asyncio.CancelScope(**options)
        if self._run.arguments.hostile:
            self._run.expose(asyncio.get_running_loop(), scope)
            self._scopes.append(scope)
        return scope

    def cancel(self, thing, *args):
        """Cancel thing."""
        self.count['cancels'] += 1
        thing.cancel(*args)

    def thread(self, function, *args):
        """Start a second thread; return it."""
        self.count['second threads'] += 1
        thread = _Second(function, *args)
        thread.start()
        return thread

    @property
    def rng(self):
        """The random numbers of the current program."""
        return self._rng

    @property
    def shared(self):
        """The Stress."""
        return self._run


class _Second(threading.Thread):
    """A thread that keeps its error for the thread that joins it."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self._call = functools.partial(function, *args)
        self._error = None

    def run(self):
        try:
            self._call()
        except BaseException as error:
            self._error = error

    def finish(self):
        """Wait for its end; raise its error."""
        self.join()
        self._call = None
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None


def _cancel_all(loop, scopes):
    for scope in scopes:
        scope.shield = False
    for task in asyncio.all_tasks(loop):
        task.cancel()


def _on_report(run, number, loop, context):
    """The exception handler of all loops."""
    message = context['message']
    if message.startswith('Task was destroyed but it is pending'):
        run.add({'tasks destroyed': 1})
    elif isinstance(context.get('exception'), Broken) and context['exception'].args[0] == 'to be logged':
        run.add({'errors logged': 1})
    elif not run.arguments.hostile:
        run.fail(f'worker {number}: the loop reports: {message}', context.get('exception'))


# The programs.  Each is called with its Worker.

PROGRAMS = []
HOSTILE_PROGRAMS = []


def programs_of(arguments):
    """Return the programs that a run consists of."""
    # (The pure-Python classes have no locks: there nothing holds.)
    if arguments.hostile and not _is_python():
        return PROGRAMS + HOSTILE_PROGRAMS
    return PROGRAMS


def _is_python():
    return asyncio.Task is asyncio.tasks._PyTask


def program(function):
    """Decorator: one of the programs."""
    PROGRAMS.append(function)
    return function


def program_unless(condition):
    """Decorator: one of the programs, unless condition holds."""
    return (lambda function: function) if condition else program


def main_task(function):
    """Decorator: one of the programs, a coroutine function that is the main task of a loop."""
    @functools.wraps(function)
    def run(worker):
        worker.execute(function)
    PROGRAMS.append(run)
    return function


async def wait_forever():
    await asyncio.get_running_loop().create_future()


async def assert_level(worker, text):
    """Every await in a cancelled scope raises."""
    for delay in 0, LONG, 0:
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError as error:
            expect(error.args == (text,), f'{error!r} instead of {text!r}')
        else:
            raise AssertionError('an await in a cancelled scope did not raise')
    worker.count['redeliveries'] += 3


@main_task
async def nested_scopes(worker):
    """One of many nested scopes is cancelled: it alone catches, unless a shield is in between."""
    depth = worker.rng.randrange(2, 30)
    target = worker.rng.randrange(depth)
    shield = worker.rng.choice((None, worker.rng.randrange(depth)))
    scopes = [worker.scope(shield=level == shield) for level in range(depth)]
    blocked = shield is not None and shield > target

    async def enter(level):
        if level == depth:
            if blocked:
                # Only the inner deadline can end this.
                with asyncio.move_on_after(0.001) as inner:
                    await asyncio.sleep(LONG)
                expect(inner.cancelled_caught, 'the inner deadline has not caught')
            else:
                try:
                    await asyncio.sleep(LONG)
                finally:
                    await assert_level(worker, 'target')
            return
        with scopes[level]:
            await enter(level + 1)
            if blocked and target <= level < shield:
                await wait_forever()

    asyncio.get_running_loop().call_soon(worker.cancel, scopes[target], 'target')
    await enter(0)
    caught = [level for level, scope in enumerate(scopes) if scope.cancelled_caught]
    expect(caught == [target], f'scope {target} of {depth} was cancelled, caught have {caught}, the shield is {shield}')
    expect(asyncio.current_task().cancelling() == 0, 'something is left of the cancellation')
    await asyncio.sleep(0)


@main_task
async def deadlines(worker):
    """Many tasks whose scopes expire, some of them moved."""
    loop = asyncio.get_running_loop()

    async def expire():
        with worker.scope(deadline=loop.time() + worker.rng.random() / 500) as scope:
            if worker.rng.random() < 0.3:
                await asyncio.sleep(0)
                scope.deadline = loop.time() + worker.rng.choice((-1, 0, 0.001))
            await asyncio.sleep(LONG)
        expect(scope.cancelled_caught, f'{scope} has not caught')
        worker.count['deadlines passed'] += 1

    async def not_expire():
        with worker.scope(deadline=loop.time() + LONG) as scope:
            expect(asyncio.current_effective_deadline() == scope.deadline, 'a wrong effective deadline')
            await asyncio.sleep(0.001)
        expect(not scope.cancel_called, f'{scope} was cancelled')

    async with asyncio.TaskGroup() as group:
        for _ in range(worker.rng.randrange(5, 40)):
            worker.spawn(group, worker.rng.choice((expire, expire, not_expire))())


@main_task
async def timeouts(worker):
    """timeout() in a loop that swallows, wait_for(), nested timeouts, shield()."""
    async def stubborn():
        for _ in range(5):
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                pass
        await asyncio.sleep(LONG)

    try:
        async with asyncio.timeout(0.001):
            await stubborn()
    except TimeoutError:
        worker.count['timeouts'] += 1
    else:
        raise AssertionError('no TimeoutError from timeout()')
    try:
        await asyncio.wait_for(stubborn(), 0.001)
    except TimeoutError:
        worker.count['timeouts'] += 1
    else:
        raise AssertionError('no TimeoutError from wait_for()')
    expect(await asyncio.wait_for(asyncio.sleep(0, 'result'), LONG) == 'result', 'wait_for() lost the result')
    try:
        async with asyncio.timeout(0.002) as outer:
            async with asyncio.timeout(LONG) as inner:
                try:
                    await asyncio.sleep(LONG)
                finally:
                    expect(await asyncio.shield(asyncio.sleep(0.001, 'shielded')) == 'shielded', 'shield()')
    except TimeoutError:
        expect(outer.expired() and not inner.expired(), 'the wrong timeout has expired')
        worker.count['timeouts'] += 1
    else:
        raise AssertionError('no TimeoutError from nested timeouts')
    task = worker.spawn(None, asyncio.sleep(0.002, 'went on'))
    try:
        await asyncio.wait_for(asyncio.shield(task), 0.0005)
    except TimeoutError:
        pass
    expect(await task == 'went on', 'shield() of a task')


@main_task
async def group_results(worker):
    """Members come to their results."""
    number = worker.rng.randrange(1, 60)

    async def member(value):
        for _ in range(value % 3):
            await asyncio.sleep(0)
        return value

    async with asyncio.TaskGroup() as group:
        members = [worker.spawn(group, member(value)) for value in range(number)]
    expect([task.result() for task in members] == list(range(number)), 'wrong results')
    results = await asyncio.gather(*(member(value) for value in range(number)))
    worker.count['tasks'] += number
    expect(results == list(range(number)), 'wrong results of gather()')


@main_task
async def group_failure(worker):
    """Members fail: the others are cancelled, all failures are raised."""
    number, bad = worker.rng.randrange(2, 40), worker.rng.randrange(1, 4)
    cancelled = 0

    async def wait():
        nonlocal cancelled
        try:
            await wait_forever()
        finally:
            cancelled += 1
            with worker.scope(shield=True):
                await asyncio.sleep(0)

    async def fail():
        try:
            await asyncio.sleep(0)
        finally:
            raise Broken('member')

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(number):
                worker.spawn(group, wait())
            for _ in range(bad):
                worker.spawn(group, fail())
    except* Broken as errors:
        expect(len(errors.exceptions) == bad, f'{len(errors.exceptions)} errors of {bad}')
        worker.count['group failures'] += 1
    expect(cancelled == number, f'{cancelled} cancelled of {number}')


@main_task
async def group_cancel(worker):
    """cancel() of a group ends it without an error; tasks spawned into it afterwards end as well."""
    number = worker.rng.randrange(1, 40)
    async with asyncio.TaskGroup() as group:
        members = [worker.spawn(group, wait_forever()) for _ in range(number)]
        if worker.rng.random() < 0.5:
            await asyncio.sleep(0)
        worker.cancel(group, 'enough')
        members += [worker.spawn(group, wait_forever())]
    expect(all(task.cancelled() for task in members), 'a member of a cancelled group is not cancelled')
    # The group's deadline.
    async with asyncio.TaskGroup() as group:
        group.cancel_scope.deadline = asyncio.get_running_loop().time() + 0.001
        members = [worker.spawn(group, wait_forever()) for _ in range(number)]
    expect(all(task.cancelled() for task in members), 'a member of an expired group is not cancelled')


@main_task
async def task_cancel(worker):
    """Task.cancel() and uncancel()."""
    async def takes_it_back():
        try:
            await wait_forever()
        except asyncio.CancelledError:
            while asyncio.current_task().uncancel():
                pass
        return await asyncio.sleep(0, 'went on')

    tasks = [worker.spawn(None, takes_it_back()) for _ in range(10)]
    await asyncio.sleep(0)
    for task in tasks:
        for _ in range(worker.rng.randrange(1, 4)):
            worker.cancel(task, 'message')
    expect(await asyncio.gather(*tasks) == ['went on'] * 10, 'uncancel()')
    tasks = [worker.spawn(None, wait_forever()) for _ in range(10)]
    if worker.rng.random() < 0.5:
        await asyncio.sleep(0)
    for task in tasks:
        worker.cancel(task)
    done, pending = await asyncio.wait(tasks)
    expect(not pending and all(task.cancelled() for task in done), 'a cancelled task is not')


@main_task
async def nothing_is_lost(worker):
    """Consumers whose scopes expire lose no item of a queue; no lock stays locked."""
    items, lock, condition = asyncio.Queue(maxsize=3), asyncio.Lock(), asyncio.Condition()
    number = 60
    got = []

    async def produce():
        for item in range(number):
            await items.put(item)
            if not item % 7:
                await asyncio.sleep(0.0003)

    async def consume():
        while len(got) < number:
            with asyncio.move_on_after(worker.rng.random() / 2000):
                got.append(await items.get())
            with asyncio.move_on_after(worker.rng.random() / 2000):
                async with lock:
                    await asyncio.sleep(0.0002)
            with asyncio.move_on_after(worker.rng.random() / 2000):
                async with condition:
                    await condition.wait()

    async with asyncio.TaskGroup() as group:
        consumers = [worker.spawn(group, consume()) for _ in range(4)]
        await worker.spawn(group, produce())
        await consumers[0]
        group.cancel()
    expect(sorted(got) == list(range(number)), f'items were lost or doubled: {sorted(got)}')
    expect(not lock.locked() and not condition.locked(), 'a lock is held')


@program
def background_failure(worker):
    """A background task fails: everything is cancelled, run() raises."""
    cleaned = []

    async def fail():
        await asyncio.sleep(worker.rng.choice((0, 0.001)))
        raise Broken('background')

    async def other(worker):
        try:
            await wait_forever()
        finally:
            await asyncio.shield(asyncio.sleep(0))
            cleaned.append('other')

    async def main(worker):
        for _ in range(3):
            worker.spawn(None, other(worker))
        worker.spawn(None, fail())
        with worker.scope():
            try:
                await wait_forever()
            finally:
                cleaned.append('main')

    try:
        worker.execute(main)
    except* Broken as errors:
        expect(len(errors.exceptions) == 1, f'{len(errors.exceptions)} errors instead of one')
        worker.count['root failures'] += 1
    else:
        raise AssertionError('run() raises nothing')
    expect(sorted(cleaned) == ['main'] + ['other'] * 3, f'cleaned up: {cleaned}')


@main_task
async def errors_logged(worker):
    """errors="log"."""
    async def fail():
        await asyncio.sleep(0)
        raise Broken('to be logged')

    for _ in range(5):
        worker.spawn(None, fail(), errors='log')
    worker.count['errors to be logged'] += 5
    await asyncio.sleep(0.001)


@program
def runner_again(worker):
    """A Runner for several calls, of which some fail."""
    async def fail():
        raise Broken('background')

    async def main(bad):
        agen = generator()
        await anext(agen)
        if bad:
            # (The pure-Python task keeps its CancelledError, thus its frames, until garbage is collected: anywhere.)
            await agen.aclose()
            worker.spawn(None, fail())
            await wait_forever()
        # The generator is given up here, before it is exhausted.
        return 'done'

    async def generator():
        try:
            for number in range(10):
                yield number
        finally:
            await asyncio.sleep(0)

    with worker.runner() as runner:
        loop = runner.get_loop()
        worker.shared.register(loop)
        try:
            for _ in range(3):
                if worker.rng.random() < 0.4:
                    try:
                        runner.run(main(True))
                    except* Broken:
                        worker.count['root failures'] += 1
                    else:
                        raise AssertionError('run() raises nothing')
                else:
                    expect(runner.run(main(False)) == 'done', 'a wrong result')
        finally:
            worker.shared.unregister(loop)


@main_task
async def executor(worker):
    """Threads that a loop waits for in cancelled scopes."""
    with asyncio.move_on_after(0.0005) as scope:
        await asyncio.to_thread(time.sleep, 0.001)
        await asyncio.sleep(LONG)
    expect(scope.cancelled_caught, 'the scope around to_thread() has not caught')
    expect(await asyncio.gather(*(asyncio.to_thread(pow, 2, n) for n in range(5))) == [1, 2, 4, 8, 16], 'to_thread()')


# Programs with a second thread.

@main_task
async def cancelled_from_outside(worker):
    """Another thread cancels scopes, groups and tasks, each exactly once, by call_soon_threadsafe()."""
    loop = asyncio.get_running_loop()
    number = worker.rng.randrange(5, 30)
    targets = queue.SimpleQueue()

    def cancel():
        for _ in range(number):
            loop.call_soon_threadsafe(targets.get().cancel, 'from outside')

    async def scope():
        with worker.scope() as scope:
            targets.put(scope)
            try:
                await wait_forever()
            finally:
                await assert_level(worker, 'from outside')
        expect(scope.cancelled_caught, 'a scope that was cancelled from outside has not caught')

    async def group():
        async with asyncio.TaskGroup() as group:
            targets.put(group)
            member = worker.spawn(group, wait_forever())
        expect(member.cancelled(), 'a member is not cancelled')

    async def task():
        task = worker.spawn(None, wait_forever())
        targets.put(task)
        await asyncio.wait([task])
        expect(task.cancelled(), 'a task is not cancelled')

    second = worker.thread(cancel)
    async with asyncio.timeout(worker.shared.arguments.patience):
        async with asyncio.TaskGroup() as all_of_them:
            for _ in range(number):
                worker.spawn(all_of_them, worker.rng.choice((scope, group, task))())
    worker.count['cancels'] += number
    await asyncio.to_thread(second.finish)


@main_task
async def submitted(worker):
    """Another thread submits coroutines and cancels some of their futures."""
    loop = asyncio.get_running_loop()
    number = worker.rng.randrange(5, 30)
    finished = asyncio.Event()
    started = ended = 0

    async def work(value):
        nonlocal started, ended
        started += 1
        try:
            with asyncio.CancelScope():
                await asyncio.sleep(LONG if value % 3 == 0 else 0)
            if value % 3 == 1:
                raise Broken('submitted')
            return value
        finally:
            ended += 1

    def submit():
        futures = [asyncio.run_coroutine_threadsafe(work(value), loop) for value in range(number)]
        for value, future in enumerate(futures):
            if value % 3 == 0:
                future.cancel()
            else:
                error = future.exception(worker.shared.arguments.patience)
                if value % 3 == 1:
                    expect(isinstance(error, Broken), f'{error!r} from a submitted coroutine')
                else:
                    expect(error is None and future.result() == value, 'a wrong result from a submitted coroutine')
        loop.call_soon_threadsafe(finished.set)

    second = worker.thread(submit)
    await finished.wait()
    await asyncio.to_thread(second.finish)
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0)
    expect(started == ended, f'{started} have started, {ended} have ended')
    worker.count['submitted'] += number
    worker.count['tasks'] += number


# Not where there is no GIL, for the sake of two faults of upstream's list of tasks.
#
# A task that outlives its thread is in a list of the interpreter's.  But if it ends in a thread that has the id of the
# one it was made in (ids are used again at once), then unregister_task() takes it for one in this thread's own list, and
# takes it out without stopping the world, while another thread that ends adds to the same list: a crash, if seldom.
#
# And all_tasks() asserts that the tasks in the lists of all threads are pending.  But a task that ends in another thread
# than it was made in has to stop the world before it leaves its list, and an all_tasks() in a third thread, which stops
# the world as well, can come before that.
@program_unless(not getattr(sys, '_is_gil_enabled', lambda: True)())
def runs_elsewhere(worker):
    """A Runner that is made here, run in a second thread and closed in a third."""
    async def main():
        background = worker.spawn(None, wait_forever())
        with asyncio.move_on_after(0.001):
            await wait_forever()
        return background

    runner = worker.runner()
    runner.get_loop()
    tasks = []
    second = worker.thread(lambda: tasks.append(runner.run(main())))
    second.finish()
    expect(not tasks[0].done(), 'a background task does not live on between calls')
    third = worker.thread(runner.close)
    third.finish()
    expect(tasks[0].cancelled(), 'a background task has survived close()')
    worker.shared.drops.put(tasks)


@program
def given_up(worker):
    """A loop is left with tasks that wait in scopes; another thread closes it and drops them all.

    The loop has no root group, so that nothing keeps the tasks alive but who refers to them.
    """
    loop = worker.new_loop()

    async def wait_in_scopes(cyclic):
        me = asyncio.current_task() if cyclic else None
        with worker.scope(deadline=loop.time() + LONG), worker.scope(shield=worker.rng.random() < 0.5):
            async with asyncio.timeout(LONG):
                await wait_forever()
        return me

    async def main():
        tasks = [loop.create_task(wait_in_scopes(worker.rng.random() < 0.3))
                 for _ in range(worker.rng.randrange(1, 6))]
        await asyncio.sleep(0)
        return tasks

    tasks = loop.run_until_complete(main())
    worker.count['tasks'] += len(tasks)
    worker.count['tasks given up'] += len(tasks)
    worker.shared.drops.put([loop, *tasks, asyncio.CancelScope()])


# What must hold even if threads do what is not allowed.  Nothing here is left to the other hostile threads.

def hostile_program(function):
    """Decorator: one of the programs of hostile runs, a coroutine function."""
    @functools.wraps(function)
    def run(worker):
        # One at a time, or each would wait for the busy thread of the other.
        if not _busy.acquire(timeout=0.01):
            worker.count['hostile programs put off'] += 1
            return
        try:
            # Not by worker.new_loop(), whose tasks the rescuer cancels.
            with _loop_of_first_tree(worker) as loop:
                loop.set_exception_handler(lambda loop, context: None)
                asyncio.run(function(worker), loop_factory=lambda: loop)
            worker.count[function.__name__] += 1
        except BaseException as error:
            worker.shared.fail(worker.doing, error)
        finally:
            _busy.release()
    HOSTILE_PROGRAMS.append(run)
    return function


_busy = threading.Lock()


@contextlib.contextmanager
def _loop_of_first_tree(worker):
    """Give a loop whose tree has the lock that a scope in no tree has, as chance will have it; see scopes.c."""
    with contextlib.ExitStack() as others:
        for _ in range(500):
            loop = asyncio.new_event_loop()
            bits = id(loop) >> 4
            if (bits ^ (bits >> 6) ^ (bits >> 12)) % 64 == 0:
                break
            others.callback(loop.close)
            worker.progress = time.monotonic()
        yield loop


@contextlib.asynccontextmanager
async def busy_tree(worker):
    """Meanwhile a second thread has the lock of the running loop's tree most of the time."""
    async def enter():
        with contextlib.ExitStack() as scopes:
            for _ in range(1000):
                scopes.enter_context(asyncio.CancelScope())
            await wait_forever()

    def ask():
        while not finished.is_set():
            task.cancelling()  # It asks all the scopes.

    finished = threading.Event()
    task = asyncio.create_task(enter())
    await asyncio.sleep(0)
    second = worker.thread(ask)
    try:
        yield
    finally:
        finished.set()
        second.finish()
        task.cancel()
        with asyncio.CancelScope(shield=True):
            await asyncio.wait([task])


class Rounds:
    """What a program and a second thread do at the same time, again and again for a moment.

    Iterate over it for the numbers of the rounds.  In each the second thread calls function(number); join() waits for it.
    """

    def __init__(self, worker, function):
        self._worker = worker
        self._function = function
        self._number = 0
        self._barrier = threading.Barrier(2)

    def __iter__(self):
        end = time.monotonic() + 0.3
        second = self._worker.thread(self._run)
        try:
            while True:
                self._worker.progress = time.monotonic()
                if self._worker.progress > end:
                    self._number = None
                self._barrier.wait()
                if self._number is None:
                    break
                yield self._number
                self._number += 1
        except GeneratorExit:
            self._barrier.abort()
            raise
        second.finish()

    def join(self):
        """Wait for the second thread's part of the round."""
        self._barrier.wait()

    def _run(self):
        while True:
            self._barrier.wait()
            if self._number is None:
                break
            self._function(self._number)
            self._barrier.wait()


@hostile_program
async def asked_by_two_threads(worker):
    """cancel() in one thread, uncancel() in another: a task is cancelled exactly if it counts a request."""
    task = asyncio.current_task()
    async with busy_tree(worker):
        rounds = Rounds(worker, lambda number: task.cancel())
        for number in rounds:
            if number % 2:
                task.cancel()
            while not task.cancelling():
                pass
            task.uncancel()
            rounds.join()
            for _ in range(2):
                cancelled = asyncio.current_effective_deadline() == -math.inf
                expect(cancelled == (task.cancelling() > 0), f'{task.cancelling()} requests, cancelled: {cancelled}')
                while task.cancelling():
                    task.uncancel()


@hostile_program
async def entered_meanwhile(worker):
    """What is done to a scope is not lost when a task enters it in another thread, in C or in Python."""
    def change(number):
        if number % 3 == 0:
            scopes[-1].cancel()
        elif number % 3 == 1:
            scopes[-1].shield = True
        else:
            scopes[-1].deadline = math.pi

    async def enter(Scope):
        scopes.append(Scope())
        rounds = Rounds(worker, change)
        for number in rounds:
            with scopes[-1] as scope:
                rounds.join()
                found = scope.cancel_called, scope.shield, scope.deadline
            expected = ((True, False, None), (False, True, None), (True, False, math.pi))[number % 3]
            expect(found == expected, f'{found} instead of {expected}')
            scopes.append(Scope())

    scopes = []
    async with busy_tree(worker):
        loop = asyncio.get_running_loop()
        for Task, Scope in ((asyncio.Task, asyncio.CancelScope),
                            (asyncio.tasks._PyTask, asyncio.cancelscopes._PyCancelScope)):
            await Task(enter(Scope), loop=loop)


@hostile_program
async def members_that_go_on(worker):
    """A group is cancelled in another thread while what its members wait for is done."""
    async def member(future):
        with contextlib.suppress(asyncio.CancelledError):
            await future
        for _ in range(4):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)

    def cancel():
        begun.set()
        group.cancel()

    async with busy_tree(worker):
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            begun = threading.Event()
            futures = [asyncio.get_running_loop().create_future() for _ in range(200)]
            async with asyncio.TaskGroup() as group:
                for future in futures:
                    group.create_task(member(future))
                await asyncio.sleep(0)
                second = worker.thread(cancel)
                begun.wait()
                while not all(future.done() for future in futures):
                    worker.progress = time.monotonic()
                    for future in worker.rng.sample(futures, 30):
                        # (The group may be faster.)
                        with contextlib.suppress(asyncio.InvalidStateError):
                            future.set_result(None)
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.sleep(0)
                second.finish()


def stress_threads(arguments):
    """Return the figures of a run, and the failures."""
    run = Stress(arguments)

    def unraisable(hook):
        if not arguments.hostile:
            run.fail(f'an exception that cannot be raised: {hook.err_msg or ""} {hook.object!r}', hook.exc_value)

    sys.unraisablehook = unraisable
    threading.excepthook = lambda hook: run.fail(f'thread {hook.thread.name}', hook.exc_value)
    figures = run.main()
    sys.unraisablehook = sys.__unraisablehook__
    for name, value in figures.items():
        print(f'{name:<28}{value:>12,}' if type(value) is int else f'{name:<28}{value!s:>12}', flush=True)
    return figures, run.failures


def main():
    arguments = ARGUMENTS.parse_args()
    there = [program.__name__ for program in programs_of(arguments)]
    unknown = set(arguments.only or ()) - set(there)
    if unknown:
        ARGUMENTS.error(f'there is no program {", ".join(sorted(unknown))}. There are: {", ".join(there)}')
    if not hasattr(asyncio, 'CancelScope'):
        ARGUMENTS.error('this Python has no cancel scopes: run it with the patched interpreter, ./build.sh python')
    faulthandler.enable()
    # A warning, such as one about a coroutine that was never awaited, is an error somewhere; see unraisable().
    warnings.simplefilter('error')
    # So that threads change places often where there is a GIL.
    sys.setswitchinterval(0.0005)
    stress.run(arguments, stress_threads)


if __name__ == '__main__':
    main()
