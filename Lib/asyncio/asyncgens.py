"""How asynchronous generators are closed that were not iterated to their end.

A generator that is given up is closed by a task that the event loop creates
when the garbage collector finds the generator; the others are closed by
shutdown_asyncgens() at the end of the program.  No code waits for the cleanup
that runs then: its failure is logged and does not end the program, and it is
not cancelled together with the program.

Below a Runner, the tasks that close generators are the *closers*.  They hang
below a root of their own, next to that of the root group.  When everything
else has come to its end, the closers are

 1. left alone, as long as they make progress, for at most _GRACE seconds;
 2. cancelled (level-triggered, like all scopes), and left alone for as long
    again;
 3. deprived of their shields;
 4. given up, which is logged.

The closers make progress as long as anything can happen that might wake one
of them before the time is over: a callback is ready, a timer is due by then, a
file descriptor or a child process is watched, or there is another thread that
could call call_soon_threadsafe() (threads of the default executor that have
nothing to do do not count).  Otherwise there is nothing to wait for.  Event
loops other than asyncio's own do not tell, so there the time alone decides.
"""

import functools
import sys

from . import cancelscopes
from . import tasks
from .log import logger

# How long the closers have, in seconds on the clock of the loop.
_GRACE = 5.0

# How long it takes until it is first looked at whether there is progress, and
# the longest time between two looks.
_FIRST_LOOK = 0.001
_LONGEST_LOOK = 0.25


def close(loop, aclose):
    """Have *loop* close a generator that has been given up.

    *aclose* is what its aclose() method has returned.
    """
    from . import groups
    root = cancelscopes._find_root(loop)
    group = None if root is None else root._group
    if group is None or groups._ends_as_without_group():
        loop.create_task(aclose)
    else:
        group._close_asyncgen(aclose)


def hook_into(loop):
    """Have *loop* call close(), from its next turn to its next stop.

    asyncio's own loops do so anyway.  Others set hooks of their own when they
    start to run.
    """
    from . import base_events
    if (getattr(type(loop), '_asyncgen_finalizer_hook', None)
            is not base_events.BaseEventLoop._asyncgen_finalizer_hook):
        loop.call_soon(_set_finalizer, loop)


def _set_finalizer(loop):
    # (A loop without a finalizer does not close generators at all.)
    if sys.get_asyncgen_hooks().finalizer is not None:
        sys.set_asyncgen_hooks(finalizer=functools.partial(_finalize, loop))


def _finalize(loop, agen):
    if not loop.is_closed():
        loop.call_soon_threadsafe(close, loop, agen.aclose())


class Closers:
    """The tasks that close generators, as a group next to the *root* group.

    After the end of the root group every new task is a member of this one.
    """

    def __init__(self, root):
        self._root = root
        self._loop = root._loop
        self._hurry = None  # The Future that is waited for.
        self._external = set()
        self._shutdown = None  # The task that runs shutdown_asyncgens().
        self._retrieved = None  # See RootGroup.
        # The pure-Python tasks have a tree of their own.
        scope = cancelscopes.CancelScope()
        self._scopes = [scope]
        if not isinstance(scope, cancelscopes._PyCancelScope):
            self._scopes.append(cancelscopes._PyCancelScope())
        for scope in self._scopes:
            scope._set_group(self)
            scope._plant(self._loop)

    def uproot(self):
        for scope in self._scopes:
            scope._uproot()

    def _close_asyncgen(self, aclose):
        # An exception is logged as that of any task that is not awaited.
        self._spawn(aclose)

    def _spawn(self, coro):
        scope, *others = self._scopes
        create_task = self._loop.create_task
        if others:
            # A task takes from the tree of its own kind what it is given.
            return cancelscopes._spawn(
                others[0]._node, None, scope._spawn,
                (None, create_task, coro), {})[0]
        return scope._spawn(None, create_task, coro)

    def get_tasks(self):
        return {*self._external, *(task for scope in self._scopes
                                   for task in scope._member_tasks())}

    # What the tree tells a group.

    def _members_done(self):
        pass

    def _member_failed(self, task):
        if task is not self._retrieved:
            self._loop.call_soon(self._root._report, task)

    def _add_foreign(self, task, errors):
        if not cancelscopes._can_have_scopes(task):
            self._external.add(task)
            task.add_done_callback(
                functools.partial(self._external_done, errors))

    def _external_done(self, errors, task):
        self._external.discard(task)
        if (errors is not None and not task.cancelled()
                and task.exception() is not None):
            self._root._report(task)

    def _cancel_foreign(self, msg):
        pass  # _cancel() does.

    def shut_down(self):
        """Run the loop's shutdown_asyncgens() and end what that leaves."""
        coro = _shutdown_asyncgens(self._loop)
        try:
            self._shutdown = self._spawn(coro)
        except BaseException:
            coro.close()
            raise
        try:
            self.end()
            if self._shutdown.done() and not self._shutdown.cancelled():
                self._shutdown.result()
        finally:
            self._shutdown = None

    def end(self):
        """Bring every task of the loop to its end."""
        if self._wait():
            return
        self._cancel()
        if self._wait():
            return
        self._root._run_briefly(self._scopes, self._pending)
        for task in self._pending():
            if not self._root.shields_disabled:
                logger.error('%r does not end and is given up', task)
            task._log_destroy_pending = False
            self._root._given_up.add(task)

    def hurry(self):
        """Wait no longer for what comes to its end by itself."""
        if self._hurry is not None and not self._hurry.done():
            self._hurry.set_result(None)

    def _pending(self):
        return [task for task in self._root._all_tasks()
                if not task.done() and task not in self._root._given_up]

    def _cancel(self):
        for scope in self._scopes:
            scope.cancel()
        members = {task for scope in self._scopes
                   for task in scope._member_tasks()}
        for task in self._pending():
            if task not in members and task is not self._shutdown:
                task.cancel()

    def _wait(self):
        """Run the loop as long as there is progress; tell if all has ended."""
        if not self._pending() or self._root.shields_disabled:
            return not self._pending()
        self._hurry = hurry = self._loop.create_future()
        look = _Look(self._loop, hurry, self._loop.time() + _GRACE)
        watched = set()

        def watch(ended=None):
            watched.discard(ended)
            if hurry.done() or watched:
                return
            # (Not for each that ends: there may be thousands.)
            watched.update(self._pending())
            for task in watched:
                task.add_done_callback(watch)
            if not watched:
                hurry.set_result(None)

        watch()
        try:
            self._root._wait_for(hurry)
        finally:
            self._hurry = None
            look.stop()
            for task in watched:
                task.remove_done_callback(watch)
            # Leave no cycle that keeps the tasks alive.
            watch = watched = task = None
        return not self._pending()


class _Look:
    """Looks from time to time if there is still progress; if not, sets the
    result of *future*."""

    def __init__(self, loop, future, deadline):
        self._loop = loop
        self._future = future
        self._deadline = deadline
        self._is_idle = getattr(loop, '_is_idle', None)
        self._delay = _FIRST_LOOK
        self._schedule()

    def _schedule(self):
        when = min(self._loop.time() + self._delay, self._deadline)
        self._timer = self._loop.call_at(when, self._look)
        self._delay = min(2 * self._delay, _LONGEST_LOOK)

    def _look(self):
        if self._future.done():
            return
        if (self._loop.time() >= self._deadline
                or self._is_idle is not None
                and self._is_idle(self._deadline)):
            self._future.set_result(None)
        else:
            self._schedule()

    def stop(self):
        self._timer.cancel()


async def _shutdown_asyncgens(loop):
    # The tasks in which the generators are closed are cancelled themselves.
    # If the wait for them were as well, the errors of some would be lost.
    with cancelscopes._shielded():
        await loop.shutdown_asyncgens()
