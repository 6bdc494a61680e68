"""How asynchronous generators are closed that were not iterated to their end.

A generator that is given up is closed by a task that the event loop creates
when the garbage collector finds the generator; the others are closed by
shutdown_asyncgens() at the end of the program.  No code waits for the cleanup
that runs then: its failure is logged and does not end the program, and it is
not cancelled together with the program.

Below a Runner, the tasks that close generators are the *closers*.  They hang
below a shielded scope of their own, and this scope below the root.  When
everything else has come to its end, their scope is the root, and the closers
are

 1. left alone, as long as they make progress, for at most _GRACE seconds;
 2. cancelled (level-triggered, like all scopes), and left alone for as long
    again;
 3. deprived of their shields;
 4. given up, which is logged.

The closers make progress as long as anything can happen that might wake one
of them before the time is over: a callback is ready, a timer is due by then, a
file descriptor or a child process is watched, or there is another thread that
could call call_soon_threadsafe() (threads of the default executor that have
nothing to do do not count).  Otherwise there is nothing to wait for.  Of
the event loops, only those with a selector tell; elsewhere the time alone
decides.
"""

from . import cancelscopes
from . import groups
from . import tasks
from .log import logger

# How long the closers have, in seconds on the clock of the loop.
_GRACE = 5.0

# How long it takes until it is first checked whether there is progress, and
# the longest time between two checks.
_FIRST_LOOK = 0.001
_LONGEST_LOOK = 0.25


def close(loop, aclose):
    """Have *loop* close a generator that has been given up.

    *aclose* is the result of its aclose() method.
    """
    root = cancelscopes._find_root(loop)
    group = None if root is None else root._group
    if group is None:
        loop.create_task(aclose)
    else:
        group._close_asyncgen(aclose)


class Closers(groups.Group):
    """The tasks that close generators, as a group inside the *root* group.

    After the end of the root group it takes the place of that: each new task
    is a member of this one.
    """

    _hurry = None  # The Future that _wait() waits for.
    _shutdown = None  # The task that runs shutdown_asyncgens().
    _retrieved = None  # See RootGroup.

    def __init__(self, root):
        super().__init__()
        self._scope = cancelscopes.CancelScope(shield=True)
        self._root = root
        self._loop = root._loop
        self._scope._group = self

    def enter(self):
        """Put the scope below the root of the loop, which is running.

        It has no host: the task that enters it ends at once, and such a scope
        stays active.
        """
        tasks.Task(_enter(self._scope), loop=self._loop, name='closers',
                   eager_start=True)

    def become_root(self, before):
        """Make the scope the root of the loop, which has no other.

        The members of *before*, other Closers or None, become members of this
        group.
        """
        members = []
        if before is not None:
            members = before._scope._members()
            before.unregister()
        self._scope._register_root(self._loop)
        for task in members:
            self._scope.adopt(task)

    def unregister(self):
        self._scope._unregister_root()

    def _close_asyncgen(self, aclose):
        # An exception is logged as that of any task that is not awaited.
        self._spawn(aclose)

    def _spawn(self, coro):
        return self._scope._spawn(None, self._loop.create_task, coro)

    def _member_failed(self, task):
        if task is not self._retrieved:
            self._loop.call_soon(self._root._report, task)

    def _cancel_external(self, msg):
        pass  # _cancel() does.

    def shut_down(self):
        """Run the loop's shutdown_asyncgens(), then end all closers."""
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
        self._root._run_briefly(self._pending)
        for task in self._pending():
            if not self._root.shields_disabled:
                logger.error('%r does not end and is given up', task)
            self._root._given_up.add(task)

    def hurry(self):
        """Do not wait any longer for tasks that end by themselves."""
        if self._hurry is not None and not self._hurry.done():
            self._hurry.set_result(None)

    def _pending(self):
        return [task for task in self._root._all_tasks()
                if not task.done() and task not in self._root._given_up]

    def _cancel(self):
        self._scope.cancel()
        members = set(self._scope._members())
        for task in self._pending():
            if task not in members and task is not self._shutdown:
                task.cancel()

    def _wait(self):
        """Run the loop as long as there is progress.

        Return true if all tasks have ended.
        """
        if not self._pending() or self._root.shields_disabled:
            return not self._pending()
        self._hurry = hurry = self._loop.create_future()
        look = _Look(self._loop, hurry, self._loop.time() + _GRACE)
        watched = set()

        def watch(ended=None):
            watched.discard(ended)
            if hurry.done() or watched:
                return
            # Not for each task that ends, because there may be thousands.
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
            # Needed to break cycles that keep the tasks alive.
            watch = watched = task = None
        return not self._pending()


class _Look:
    """Checks from time to time if there is progress.

    When there is none, or at *deadline*, it sets the result of *future*.
    """

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
    # If the wait for them were cancelled too, errors would be lost.
    with cancelscopes._shielded():
        await loop.shutdown_asyncgens()


async def _enter(scope):
    scope.__enter__()
