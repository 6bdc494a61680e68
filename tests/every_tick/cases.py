"""One case: a program, interrupted at one turn of the loop in one way.

A program is an asynchronous generator: what stands before its `yield` sets up, what is yielded is called to get the
coroutine that is interrupted, and what stands after it is told the outcome and cleans up.  Neither is interrupted.

    @program('Queue.get')
    async def get(case):
        queue = asyncio.Queue()
        case.at(2, queue.put_nowait, 'item')        # in turn 2, before an interruption in that turn
        outcome = yield queue.get
        case.expect(outcome.value == 'item' or queue.qsize() == 1, 'the item is lost')

The three parts are three runs of one asyncio.Runner, so that a way that ends a run (a signal, a failing task in the
background) does not end the case.  A turn is one iteration of the loop, counted by a callback that schedules itself
again.  Since it does so first of all, an interruption in turn *k* comes after all callbacks of turn *k* - 1, and before
those tasks resume which these have woken: a result can be there and not delivered yet.
"""

import asyncio
import contextlib
import functools
import time

from . import audit
from . import ways

SCOPES = hasattr(asyncio, 'CancelScope')
PROGRAMS = {}
# From this turn on the loop is slowed down, so that threads and child processes take few turns.
_SLOW_FROM = 12
_PAUSE = 0.0004


def program(*covers, loops=('asyncio', 'uvloop'), needs=(), returns=None, raises=(), spawns=False,
            deliberate=None):
    """Decorator: an asynchronous generator that uses what it *covers*, on these loops.

    Args:
        needs: what asyncio has to have, such as 'CancelScope'; the program is not run on others.
        returns: the result that the interrupted part always has, if it has one.
        raises: errors that may be its outcome, besides CancelledError, when it was interrupted.
        spawns: it depends on tasks of its own in the background, which no shield protects from the end of the program.
        deliberate: it leaves something, and this is a part of what is to be said of that.
    """
    def decorate(function):
        function.covers, function.loops, function.needs = covers, loops, needs
        function.returns, function.raises, function.spawns = returns, raises, spawns
        function.deliberate = deliberate
        function.failed = 0     # cases so far
        assert function.__name__ not in PROGRAMS
        PROGRAMS[function.__name__] = function
        return function
    return decorate


class Outcome:
    """How the interrupted part ended: kind is 'result', 'cancelled', 'error' or, if it never ran, 'not started'."""

    def __init__(self):
        self.kind = 'not started'
        self.value = None

    @property
    def cancelled(self):
        return self.kind in ('cancelled', 'not started')

    @property
    def finished(self):
        return self.kind == 'result'


class Case:
    """What a program is given.

    Args:
        function: the program.
        way: one of ways.WAYS.
        turn: the turn of the interruption; None for none at all.
        shield: 'inner' if there is a shielded scope between the request and the program, 'outer' if there is one around
            both, in a scope that is cancelled, or 'none'.
    """

    def __init__(self, function, way, turn, shield):
        self.function, self.way, self.turn, self.shield = function, way, turn, shield
        self.problems = []
        self.outcome = Outcome()
        self.turns = 0              # How many the loop has made since the interrupted part began ...
        self.turns_taken = None     # ... and had made when it ended.
        self.fired = False          # The request has been made ...
        self.interrupted = False    # ... before the end of the interrupted part.
        self.escaped = False        # A CancelledError has left it.
        self._actions = {}
        self._peers = []
        self._handle = self._interrupt = self._body = None
        self._stack = contextlib.ExitStack()

    # For programs.

    def at(self, turn, callback, *args):
        """Call callback(*args) in that turn of the interrupted part, or before the clean-up, if it ends earlier."""
        self._actions.setdefault(turn, []).append(functools.partial(callback, *args))

    def expect(self, condition, problem):
        if not condition:
            self.problems.append(problem)

    def enter(self, context_manager):
        """Enter a context manager, which is left when the program has ended."""
        return self._stack.enter_context(context_manager)

    def start_peer(self, coro):
        """Start the other side of what is interrupted: a task that no interruption reaches; its errors are ignored.

        Return it; stop_peers() ends it.
        """
        async def run():
            try:
                with asyncio.CancelScope(shield=True) if SCOPES else contextlib.nullcontext() as scope:
                    self._peers.append((asyncio.current_task(), scope))
                    await coro
            except Exception:
                pass

        return asyncio.ensure_future(run())

    async def stop_peers(self):
        for task, scope in self._peers:
            (scope or task).cancel()
            await asyncio.wait([task])

    # For ways.

    async def region(self):
        """Run the interrupted part and note its outcome; errors are for _judge()."""
        shielded = self.shield == 'inner'
        try:
            with asyncio.CancelScope(shield=True) if shielded else contextlib.nullcontext():
                await self._note_outcome()
            if shielded:
                await self._meet_request()
        except asyncio.CancelledError:
            self.escaped = True
            raise

    async def _note_outcome(self):
        outcome, body, self._body = self.outcome, self._body, None
        try:
            outcome.value = await body()
            outcome.kind = 'result'
        except asyncio.CancelledError:
            outcome.kind = 'cancelled'
            raise
        except Exception as exc:
            outcome.kind, outcome.value = 'error', exc
        finally:
            self.turns_taken = self.turns

    async def _meet_request(self):
        """After a shielded block, a request shows at the next yield."""
        wanted = self.interrupted and self.way.lasting
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.expect(self.fired and self.way.lasting, 'cancelled by nobody after the shield')
            raise
        self.expect(not wanted or not self.way.immediate, 'a request does not show after the shield')

    def start_clock(self, interrupt):
        self._interrupt = interrupt
        self._handle = asyncio.get_running_loop().call_soon(self._tick)

    def stop_clock(self):
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._interrupt = None

    @property
    def is_ticking(self):
        """Tell if the interruption is still to come, and soon."""
        return self._handle is not None and self.turn is not None and self.turn - self.turns < 5

    def _tick(self):
        loop, turn = asyncio.get_running_loop(), self.turns
        self.turns += 1
        if turn > _SLOW_FROM:
            time.sleep(_PAUSE)
        self._handle = loop.call_soon(self._tick)
        for action in self._actions.pop(turn, ()):
            action()
        if turn == self.turn and not self.fired:
            self.fired = True
            self.interrupted = self.turns_taken is None
            self._interrupt()

    # The case as a whole.

    def run(self, loop_factory):
        """Run the case; return what is wrong."""
        process = audit.Process()
        self._patience = audit.PATIENCE if self.function.failed < 1 else audit.LITTLE_PATIENCE
        with self._stack:
            # Started outside of a loop, so that no loop minds it as one of its asynchronous generators.
            steps = self.function(self)
            first = steps.asend(None)
            try:
                with asyncio.Runner(loop_factory=loop_factory) as runner:
                    self._run_parts(runner, steps, first)
            except BaseException as exc:
                self.problems.append(f'the run raised {audit.describe(exc)}')
            steps = first = None
        self.problems += process.problems(self._patience)
        self.function.failed += bool(self.problems)
        return self.problems

    def _run_parts(self, runner, steps, first):
        allowed = audit.watched(runner.get_loop())
        self._body = runner.run(_awaited(first))
        try:
            ways.run(self, runner)
        finally:
            self.stop_clock()
        self._judge()
        runner.run(self._clean_up(steps))
        self.problems += runner.run(audit.loop_problems(allowed, self._patience))

    async def _clean_up(self, steps):
        for turn in sorted(self._actions):
            for action in self._actions.pop(turn):
                action()
        try:
            await steps.asend(self.outcome)
        except StopAsyncIteration:
            return
        raise RuntimeError(f'{self.function.__name__} yields twice')

    def _judge(self):
        """Note what is wrong with the outcome of the interrupted part."""
        outcome, wanted = self.outcome, self.function.returns
        if outcome.kind == 'error':
            self.expect(self.interrupted and isinstance(outcome.value, self.function.raises),
                        f'the outcome is {audit.describe(outcome.value)}')
        elif outcome.kind == 'result':
            self.expect(wanted is None or outcome.value == wanted, f'the result is {outcome.value!r}, not {wanted!r}')
        else:
            self.expect(self.interrupted, 'cancelled by nobody')
            self.expect(self.shield != 'inner', 'cancelled below a shield')


async def _awaited(awaitable):
    return await awaitable
