"""The group of the tasks that belong to no TaskGroup."""

import sys
import weakref

from . import _background_errors
from . import _other_loops
from . import asyncgens
from . import cancelscopes
from . import constants
from . import exceptions
from . import groups
from . import tasks

# How often the loop turns for the sake of tasks after a second signal.
_TURNS = 200

# Tasks that wait for the threads of a default executor, after a signal has
# ended the wait for them.
_waiting_for_threads = []

_HINT = ('To handle such errors where the tasks are awaited, use '
         'create_task(..., errors="await"), a TaskGroup, or gather() of '
         'coroutines.')


class RootGroup(groups.Group):
    """The group of the tasks that are spawned into no other.

    A Runner gives one to its event loop.  It has no task of its own: its scope
    is the root of the tree.  When a member fails, all are cancelled; after
    they have ended, run() raises the error, and the next run() begins with a
    new scope.

    The Runner calls run() and close(); signals (see interrupts) lead to calls
    of interrupt(), disable_shields() and forget_tasks().
    """

    def __init__(self, loop):
        self.main = None  # The task that run() runs.
        self.main_interrupted = False  # It has met the group's cancellation.
        self._shutting_down = False  # close() has ended the members.
        self._shutdown_interrupted = False  # A signal has come since.
        # The loop may have to stop for an interrupted wait.
        self._loop_disturbed = False
        self._closers = None  # The tasks that close generators; see asyncgens.
        self._is_forked = False  # The loop is that of this process's parent.
        self._loop = loop
        # Closers that have not ended, though they were cancelled.
        self._given_up = weakref.WeakSet()
        self._start()

    def _start(self):
        super().__init__()
        self._scope = cancelscopes.CancelScope()
        self._failures = _background_errors.BackgroundErrors()
        self._aborted = False
        self.shields_disabled = False
        # The task whose exception run_until_complete() raises to its caller.
        self._retrieved = None
        self._scope._group = self
        self._scope._register_root(self._loop)
        self._replacement = _other_loops.replace_run_until_complete(self._loop)

    def _unregister(self):
        self._scope._unregister_root()
        _other_loops.restore_run_until_complete(self._loop, self._replacement)
        if self._closers is not None:
            self._closers.unregister()
            self._closers = None

    def run(self, coro, context, *, last):
        """Run *coro* as the main task and return its result.

        If a member has failed by then, or if this is the *last* time, the
        group is ended first.
        """
        if self._aborted:
            # A member has failed since the last run(), or an interrupt has
            # ended that before the group had ended.
            try:
                self._end()
            except BaseException:
                coro.close()
                raise
            finally:
                self._unregister()
                self._start()
        self._settle_loop()
        self.main_interrupted = False
        _other_loops.hook_into(self._loop)
        self.main = cancelscopes._spawn_background(
            None, self._loop.create_task, coro, context=context)
        result = error = tb = None
        try:
            try:
                result = self._loop.run_until_complete(self.main)
            except (KeyboardInterrupt, SystemExit):
                self._loop_disturbed = True
                raise
            except BaseException as exc:
                if not self.main.done():
                    raise  # Such as when the loop has been stopped.
                # Tasks that await main raise it as well, so its traceback
                # grows.
                error, tb = exc, exc.__traceback__
            if cancelscopes._was_interrupted(self.main):
                self.main_interrupted = True
            if last or self._aborted:
                self._drain()
                errors = self._take_errors()
                if not last:
                    self._start()
                if errors:
                    raise _to_group(errors)
            self.main = None
            if error is not None:
                raise _background_errors.without_own_frames(
                    error.with_traceback(tb))
            return result
        finally:
            # Needed to break reference cycles.
            error = errors = tb = None

    def close(self):
        """End the group, then close the loop's generators and executor."""
        try:
            try:
                self._end()
            except BaseExceptionGroup:
                self._shut_down()
                raise
            self._shut_down()
        finally:
            self._unregister()

    def _end(self):
        """Cancel the members, wait for them, and raise their errors."""
        if self._scope._loop is not None:
            self._drain()
        # If run() has not retrieved the exception of main, it was interrupted.
        errors = self._take_errors(main_too=True)
        under_way = sys.exception()
        if isinstance(under_way, (KeyboardInterrupt, SystemExit)):
            # It comes out bare, so the other errors have no caller.
            for error in _background_errors.without(errors, under_way):
                cancelscopes._report(
                    self._loop, error, 'unhandled error in asyncio.run()',
                    None)
        elif errors:
            raise _to_group(errors)

    def _drain(self):
        """Cancel the members and wait for them; then end the closers."""
        if not self._is_forked:
            self._end_members()
            if self._closers is not None:
                self._scope._unregister_root()
                self._start_closers().end()
        self._unregister()

    def _end_members(self):
        while self._count_members() or self._add_others():
            if not self._aborted:
                self._abort()
            if self.shields_disabled:
                self._run_briefly(self._count_members)
                break
            self._wait_for(self._join())
        self._joining = None

    def _add_others(self):
        """Make the loop's other tasks members, and return them.

        They are not in the tree, such as tasks that are older than the group.
        """
        others = self._find_others()
        for task in others:
            self._add_external(task, 'propagate')
        return others

    def _find_others(self):
        closers = set() if self._closers is None else self._closers._tasks
        return [task for task in self._all_tasks() - closers
                if not task.done() and task not in self._given_up]

    def _shut_down(self):
        """Shut down what the loop has besides tasks.

        A signal interrupts the wait: the tasks that close generators are
        cancelled; threads cannot be, so they are not waited for.
        """
        if self._is_forked:
            return
        self._shutting_down = True
        self._wait_for_killed_processes()
        self._shut_down_asyncgens()
        if not self._shutdown_interrupted:
            self._run_to_end(self._loop.shutdown_default_executor(
                constants.THREAD_JOIN_TIMEOUT))

    def _wait_for_killed_processes(self):
        # The cleanup that has killed them may have been interrupted when it
        # was going to wait.
        killed = getattr(self._loop, '_killed_processes', None)
        if isinstance(killed, set):  # Not another kind of loop.
            for transport in list(killed):
                if not self._shutdown_interrupted:
                    self._run_to_end(transport._wait())

    def _shut_down_asyncgens(self):
        loop = self._loop
        if not (getattr(loop, '_asyncgens', True)
                or getattr(loop, '_ready', True) or self._all_tasks()):
            # Nothing has to be closed.
            self._run_to_end(self._loop.shutdown_asyncgens())
            return
        # The tasks that are made meanwhile are awaited and their errors
        # logged, as are those of shutdown_asyncgens().
        try:
            self._start_closers().shut_down()
        except (KeyboardInterrupt, SystemExit):
            groups.cancel_each(self._all_tasks(), None, self._loop)
            self._run_briefly(self._all_tasks)
            raise
        self._unregister()

    def _run_to_end(self, coro):
        self._settle_loop()
        try:
            self._loop.run_until_complete(coro)
        except (exceptions.CancelledError, RuntimeError):
            # interrupt() has stopped the loop.
            if not self._shutdown_interrupted:
                raise

    # For signals.

    def interrupt(self):
        """Cancel the members, or end what the shutdown waits for."""
        if not self._shutting_down:
            self._abort()
        else:
            self._shutdown_interrupted = True
            if self._closers is None:
                # uvloop ends the task only after the threads.
                self.forget_tasks()
                _waiting_for_threads[:] = [
                    task for task in _waiting_for_threads if not task.done()]
                _waiting_for_threads.extend(self._all_tasks())
                self._loop.stop()
        if self._closers is not None:
            self._closers.hurry()

    def disable_shields(self):
        """Let the program end soon: no task has a shield any more."""
        self.shields_disabled = True
        self._clear_shields()
        if self._closers is not None:
            self._closers.hurry()

    def forget_tasks(self):
        """Do not report that tasks have not ended."""
        for task in self._all_tasks():
            task._log_destroy_pending = False

    def leave_to_parent(self):
        """Let the loop stop: this is a child process that has been forked.

        Only the code that has forked goes on, up to the next time that it has
        to wait.  The tasks are those of the parent, which shares the selector.
        """
        self._is_forked = True
        self._loop.stop()

    # What the tree and asyncgens call.

    def _abort(self, msg=None):
        self._aborted = True
        self._scope.cancel(msg)

    def _cancel_external(self, msg):
        if self.main in self._external and not self.main.done():
            self.main_interrupted = True
        super()._cancel_external(msg)

    def _member_failed(self, task):
        if (task is self._retrieved
                # The end of an iteration is no failure.  (task.exception()
                # would mark it as retrieved.)
                or isinstance(getattr(task, '_exception', None),
                              StopAsyncIteration)):
            return
        self._add_failure(task)

    def _add_failure(self, task):
        if isinstance(task.exception(), (SystemExit, KeyboardInterrupt)):
            return  # The loop has raised it.
        self._failures.add(task)
        self._abort()
        self._failures.log_first(task)

    def _close_asyncgen(self, aclose):
        if self._closers is None:
            closers = asyncgens.Closers(self)
            closers.enter()
            self._closers = closers
        self._closers._close_asyncgen(aclose)

    def _start_closers(self):
        """Let the closers take the place of the group, which has ended."""
        before, self._closers = self._closers, asyncgens.Closers(self)
        self._closers.become_root(before)
        return self._closers

    # Errors.

    def _take_errors(self, *, main_too=False):
        """Return a list of the errors of the members.

        If there are any, or with *main_too*, that of the main task as well.
        """
        errors = self._failures.take(self._aborted)
        if errors or main_too:
            main, self.main = self.main, None
            if (main is not None and main.done() and not main.cancelled()
                    and main.exception() is not None):
                self._add_main_error(main, errors)
        return list(errors.values())

    def _add_main_error(self, main, errors):
        exc = main.exception()
        if not errors and isinstance(exc, (KeyboardInterrupt, SystemExit)):
            return  # The loop has raised it.
        key = id(exc)
        if self._aborted:
            exc = _background_errors.without_cancellations(exc)
        if exc is not None and key not in errors:
            if errors:
                description = _background_errors.describe_task(main)
                _background_errors.add_note(exc, f'in main task {description}')
            errors[key] = exc

    def _report(self, task):
        cancelscopes._report(
            self._loop, task.exception(),
            'unhandled exception during asyncio.run() shutdown', task)

    # Running the loop.

    def _all_tasks(self):
        return tasks.all_tasks(self._loop) | tasks._py_all_tasks(self._loop)

    def _settle_loop(self):
        """Let the loop stop now if it may have to for an interrupted wait.

        asyncio's own loops forget that; others have scheduled the callback.
        """
        if self._loop_disturbed:
            self._loop_disturbed = False
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()

    def _wait_for(self, future):
        """Run the loop until *future* is done, and return its result."""
        def stop(future):
            # It may have been scheduled when an interrupt ended the wait.
            if waiting:
                self._loop.stop()

        waiting = True
        under_way = sys.exception()
        future.add_done_callback(stop)
        try:
            # More than once: the loop may stop for an interrupted wait.
            while not future.done():
                _other_loops.hook_into(self._loop)
                if self._is_forked:
                    raise RuntimeError('a child process cannot run the event '
                                       'loop of its parent')
                try:
                    self._loop.run_forever()
                except (KeyboardInterrupt, SystemExit) as exc:
                    # The loop raises the interrupt of a member of a TaskGroup
                    # at once, and the TaskGroup raises it again.
                    if exc is not under_way:
                        self._loop_disturbed = True
                        raise
        finally:
            waiting = False
            under_way = None
            future.remove_done_callback(stop)
        return future.result()

    def _run_briefly(self, is_busy):
        """Run the loop while is_busy(), with shields disabled.

        Every await that suspends raises, so that tasks can end.  For a bounded
        number of turns, because a task may keep swallowing CancelledError.
        """
        def turn(remaining):
            if remaining and is_busy():
                self._clear_shields()  # Cleanup may open new ones.
                self._loop.call_soon(turn, remaining - 1)
            else:
                enough.set_result(None)

        enough = self._loop.create_future()
        self._loop.call_soon(turn, _TURNS)
        self._wait_for(enough)
        self.forget_tasks()

    def _clear_shields(self):
        self._scope._disable_shields()
        if self._closers is not None:
            self._closers._scope._disable_shields()


def _to_group(errors):
    group = BaseExceptionGroup('unhandled errors in background tasks', errors)
    group.add_note(_HINT)
    return group
