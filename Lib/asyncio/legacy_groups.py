"""What legacy switches change in groups, root groups and signal handlers.

That is edge-cancel, background-errors, unretrieved-only and signals.  At the
end is what they put in the place of asyncio's own.
"""

import signal

from . import cancelscopes
from . import exceptions
from . import groups
from . import interrupts
from . import rootgroup
from . import tasks
from _asyncio_legacy import legacy


# edge-cancel: Task.cancel() interrupts one await.

class EdgeJoin(groups.Join):
    """Cancels the members for each request, as gather() does."""

    _cancelling = False

    def _cancel_members(self, msg):
        if self._cancelling:
            return  # A member awaits the host, and cancels it in turn.
        self._cancelling = True
        try:
            groups.cancel_each(self._group._tasks, msg, self.get_loop())
        finally:
            self._cancelling = False


_keep_level_cancellation = groups.Group._keep_cancellation


def _keep_edge_cancellation(group, cancelled):
    """Have the cancellation delivered once more, after the errors."""
    _keep_level_cancellation(group, cancelled)
    parent = group._parent_task
    if (cancelscopes._can_have_scopes(parent)
            and cancelscopes._cancel_requests(parent)):
        parent.uncancel()
        parent.cancel()


class EdgeRootGroup(rootgroup.RootGroup):
    """Cancels each task once."""

    _gathered = ()  # The tasks that have a callback of the group's gather().

    def _start(self):
        super()._start()
        self._cancelled = set()

    def _abort(self, msg=None):
        self._aborted = True
        if self.main is not None and not self.main.done():
            self.main_interrupted = True  # Its scope is not cancelled.
        for task in self._find_others():
            if task not in self._cancelled:
                self._cancelled.add(task)
                task.cancel()

    def _end_members(self):
        if not self._aborted and self._count_members():
            self._abort()
        if self.shields_disabled:
            self._run_briefly(self._count_members)
            return
        while others := self._find_others():
            self._abort()
            self._gathered = others
            self._wait_for(tasks.gather(*others, return_exceptions=True))
            self._gathered = ()
            for task in others:
                # Members have reported their failure themselves.
                if (not cancelscopes._can_have_scopes(task)
                        and not task.cancelled()
                        and task.exception() is not None):
                    self._member_failed(task)


# background-errors: they are logged.

class LoggingRootGroup(rootgroup.RootGroup):
    """Reports failures of members and of main during its end; ignores others.

    Those are logged when the task is collected.
    """

    _ending = False

    def _start(self):
        super()._start()
        self._unreported = []

    def _drain(self):
        self._ending = True
        super()._drain()
        self._ending = False
        unreported, self._unreported = self._unreported, []
        for task in unreported:
            self._report(task)

    def _add_failure(self, task):
        if self._ending:
            self._unreported.append(task)

    def _add_main_error(self, main, errors):
        if not isinstance(main.exception(), (KeyboardInterrupt, SystemExit)):
            self._report(main)


# Both of them.

class StockRootGroup(EdgeRootGroup, LoggingRootGroup):
    """Ends as run() did before there was a root group.

    Each task is cancelled once, also those that close generators, and a task
    that is spawned after that is not waited for.
    """

    def _end_members(self):
        if self.shields_disabled:
            self._run_briefly(self._count_members)
            return
        to_cancel = self._all_tasks()
        if not to_cancel:
            return
        for task in to_cancel:
            task.cancel()
        self._wait_for(tasks.gather(*to_cancel, return_exceptions=True))
        for task in to_cancel:
            if not task.cancelled() and task.exception() is not None:
                self._report(task)

    def _add_failure(self, task):
        pass

    def _add_main_error(self, main, errors):
        pass

    def _close_asyncgen(self, aclose):
        self._loop.create_task(aclose)

    def _shut_down_asyncgens(self):
        self._settle_loop()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())


# unretrieved-only: they are logged if another task awaits the one that failed.

class UnretrievedRootGroup(rootgroup.RootGroup):

    _gathered = ()

    def _add_failure(self, task):
        callbacks = len(task._callbacks or ()) - (task in self._gathered)
        if not callbacks and not task._asyncio_awaited_by:
            super()._add_failure(task)


# signals: SIGINT cancels the main task, SIGTERM is left alone.

class LegacyInterrupts(interrupts.Interrupts):

    _DEFAULTS = {signal.SIGINT: signal.default_int_handler}
    covers_shutdown = False
    _cancelled = None  # The main task that SIGINT has cancelled.

    def _on_first_signal(self, signum, frame):
        main = self._root.main
        if main is not None and not main.done():
            self._cancelled = main
            main.cancel()
            self._call_soon(lambda: None)
        else:
            self._on_further_signal(signum, frame)

    def main_ended(self, exc):
        if self._again:
            self._root.disable_shields()
            interrupts._shorten(exc)
        if isinstance(exc, exceptions.CancelledError):
            # Other code may have cancelled the main task as well.
            uncancel = getattr(self._cancelled, 'uncancel', None)
            if uncancel is not None and uncancel() == 0:
                interrupt = KeyboardInterrupt()
                interrupt.__context__ = exc
                return interrupt
        return None

    def _watch_forks(self):
        pass


# What TaskGroup and Runner find.
if 'edge-cancel' in legacy():
    groups.Join = EdgeJoin
    groups.Group._keep_cancellation = _keep_edge_cancellation
if bases := [cls for names, cls in (
                 ({'edge-cancel', 'background-errors'}, StockRootGroup),
                 ({'edge-cancel'}, EdgeRootGroup),
                 ({'background-errors'}, LoggingRootGroup),
                 ({'unretrieved-only'}, UnretrievedRootGroup))
             if names <= legacy()]:
    rootgroup.RootGroup = type('RootGroup', tuple(bases), {})
if 'signals' in legacy():
    interrupts.Interrupts = LegacyInterrupts
