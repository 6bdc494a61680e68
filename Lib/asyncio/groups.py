"""What the groups of tasks, TaskGroup and the root group, have in common.

A group has a scope.  The tasks that are spawned into it are the scope's
members: they hang right below it in the tree (see cancelscopes), which keeps
them alive, cancels them, and tells the group
  - _member_failed(task), when one has failed, at once;
  - _members_done(), when there is none left.
Only tasks of a foreign kind, which have no place in the tree, are the group's
own concern; _cancel_foreign() is called when its scope has become cancelled.
"""

import operator
import sys

from . import cancelscopes
from . import constants
from . import exceptions
from . import futures
from . import tasks
from _asyncio_legacy import legacy


class Group:
    """The base class of the groups."""

    _parent_task = None  # The host of the scope.
    _joining = None  # The Future that waits for the members.
    _foreign = None  # The members that are not in the tree, a set.

    def __init__(self, scope):
        self._scope = scope
        # By identity, for several members may end with the same one.
        self._errors = {}

    def _count_members(self):
        count = self._scope._members
        return count if self._foreign is None else count + len(self._foreign)

    @property
    def _tasks(self):
        return {*self._scope._member_tasks(), *(self._foreign or ())}

    def _join(self, loop):
        """Return a Future that is done when there are no members left.

        Not for a group that has none.
        """
        self._joining = _Join(self, loop=loop)
        return self._joining

    def _abort(self, msg=None):
        self._scope.cancel(msg)

    def _member_failed(self, task):
        exc = task.exception()
        self._errors[id(exc)] = exc
        self._abort()

    def _members_done(self):
        if self._joining is not None and not self._count_members():
            loop = self._joining.get_loop()
            if loop.is_closed():
                return  # Whoever waits for it waits for ever.
            # A moment later, so that the callbacks of the last member, which
            # are about to be scheduled, come before whoever waits for it.
            try:
                loop.call_soon(self._joining._complete)
            except BaseException:
                self._joining._complete()  # Better than never.
                raise

    def _add_foreign(self, task, errors):
        if self._foreign is None:
            self._foreign = set()
        self._foreign.add(task)
        try:
            # (What the callback is given may be something that *task* wraps.)
            task.add_done_callback(lambda _: self._foreign_done(task, errors))
        except BaseException:
            self._foreign.discard(task)
            raise
        if self._parent_task is not None:
            futures.future_add_to_awaited_by(task, self._parent_task)
        cancelled = self._scope._watch()
        if cancelled is not None:
            task.cancel(*cancelled)

    def _foreign_done(self, task, errors):
        try:
            if self._parent_task is not None:
                futures.future_discard_from_awaited_by(task, self._parent_task)
            if (errors is not None and not task.cancelled()
                    and task.exception() is not None):
                if errors == 'log':
                    cancelscopes._log_failure_now(task, task.get_loop())
                else:
                    self._member_failed(task)
        finally:
            self._foreign.discard(task)
            self._members_done()

    def _keep_cancellation(self, cancelled):
        """A group ends with errors, which have priority over a cancellation.

        By level it shows at the next yield point.  By edge it must be requested
        again.
        """
        if cancelled is not None:
            cancelscopes._forget_delivery(self._parent_task)
        if ('edge-cancel' in legacy()
                and cancelscopes._cancel_requests(self._parent_task)):
            self._parent_task.uncancel()
            self._parent_task.cancel()

    def _cancel_foreign(self, msg):
        def cancel(task):
            if not task.done():
                cancelscopes._call_cancel(task, msg)

        cancelscopes._call_for_all(cancel, list(self._foreign))


class _Join(futures.Future):
    """What waits for the members of a group.

    That the wait is cancelled does not end it, for the members have to be
    waited for all the same; it makes it end with the CancelledError.
    """

    _cancel_requested = False
    # The cancellation is the host's own and not that of the group's scope.
    stray = False

    def __init__(self, group, *, loop):
        super().__init__(loop=loop)
        self._group = group

    def cancel(self, msg=None):
        if self.done():
            return False
        self._cancel_requested = True
        self._cancel_requested_msg = msg
        scope = self._group._scope
        if not scope._cancels_tasks:
            # Task.cancel() reaches nothing but this Future.
            self.stray = True
            if 'edge-cancel' in legacy():
                cancelscopes._call_for_all(
                    lambda task: cancelscopes._call_cancel(task, msg),
                    list(self._group._tasks))
            else:
                scope.cancel(msg)
        return True

    def _complete(self):
        if self.done() or self._group._count_members():
            return
        if self._cancel_requested:
            super().cancel(msg=self._cancel_requested_msg)
        else:
            self.set_result(None)


class RootGroup(Group):
    """The group of the tasks that are spawned into no other.

    A Runner gives one to its event loop.  It has no task of its own: its scope
    is the root of the tree.  When a member fails, everything is cancelled, and
    run() raises the error after that has come to its end.
    """

    main = None  # The task that run() runs.
    main_interrupted = False  # The group's cancellation has reached it.
    interrupted = None  # With the legacy switch, what SIGINT has cancelled.
    _shutting_down = False  # The members have ended.
    _joining_threads = False  # And so have the generators.
    _shutdown_interrupted = False  # A signal has come since.
    _loop_disturbed = False  # It still has to stop for an earlier wait.

    def __init__(self, loop):
        self._loop = loop
        self._plant()

    def _plant(self):
        # The pure-Python tasks have a tree of their own.
        scope = cancelscopes.CancelScope()
        self._scopes = [scope]
        if not isinstance(scope, cancelscopes._PyCancelScope):
            self._scopes.append(cancelscopes._PyCancelScope())
        super().__init__(scope)
        self._aborted = False
        self._asked = set()  # By edge, the tasks that have been cancelled.
        self.pierced = False
        self._ending = self._ended = False
        self._unreported = []
        for scope in self._scopes:
            scope._set_group(self)
            scope._plant(self._loop)

    def uproot(self):
        for scope in self._scopes:
            scope._uproot()

    def _count_members(self):
        return (sum(scope._members for scope in self._scopes)
                + len(self._foreign or ()))

    def _abort(self):
        self._aborted = True
        main = self.main
        if main is not None and not main.done() and (
                'edge-cancel' in legacy()
                or not cancelscopes._can_have_scopes(main)):
            self.main_interrupted = True  # The tree knows nothing of it.
        if 'edge-cancel' in legacy():
            for task in self._all_tasks() - self._asked:
                self._asked.add(task)
                task.cancel()
        else:
            for scope in self._scopes:
                scope.cancel()

    def _all_tasks(self):
        return tasks.all_tasks(self._loop) | tasks._py_all_tasks(self._loop)

    def interrupt(self):
        """A signal cancels the members, or what the shutdown waits for."""
        if not self._shutting_down:
            self._abort()
            return
        self._shutdown_interrupted = True
        if self._joining_threads:
            # Their end could have to wait for the threads (in uvloop).
            self.forget_tasks()
            _given_up.extend(self._all_tasks())
            self._loop.stop()
        else:
            self._cancel_all()

    def _cancel_all(self):
        cancelscopes._call_for_all(operator.methodcaller('cancel'),
                                   self._all_tasks())

    def pierce(self):
        """From now on nothing that belongs to the group is shielded."""
        self.pierced = True
        for scope in self._scopes:
            scope._pierce()

    def _member_failed(self, task):
        switches = legacy()
        if 'background-errors' in switches:
            if self._ending:
                self._unreported.append(task)
        elif not ('unretrieved-only' in switches and _is_awaited(task)):
            # The others are raised by the loop itself, bare.
            exc = task.exception()
            if not isinstance(exc, (SystemExit, KeyboardInterrupt)):
                self._errors[id(exc)] = exc
                self._abort()

    def run(self, coro, context, *, last):
        """Run *coro* as the main task and return its result.

        If a member has failed by then, or if this is the *last* time, the
        group is brought to its end.
        """
        if self._aborted:
            # Something has gone wrong since the last run(), or before it came
            # to its end.
            try:
                self.close()
            except BaseException:
                coro.close()
                raise
            finally:
                self._plant()
        self._settle_loop()
        self.main_interrupted = False
        # Its exception is handed on here.
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
                # Without this frame, which is added when it is raised again,
                # and without those of the loop.
                tb = exc.__traceback__.tb_next
                while (tb is not None and tb.tb_next is not None
                        and tb.tb_frame.f_code.co_name.endswith(
                            'run_until_complete')):
                    tb = tb.tb_next
                error = exc.with_traceback(tb)
            if cancelscopes._was_interrupted(self.main):
                self.main_interrupted = True
            if last or self._aborted:
                self.end()
                errors = self._take_errors()
                if not last:
                    self._plant()
                _raise_all(errors)
            self.main = None
            if error is not None:
                raise error
            return result
        finally:
            error = errors = tb = None

    def close(self):
        """Cancel the members, wait for them, and raise their errors."""
        if not self._ended:
            self.end()
        # Something got in the way of run() if main is still known.
        errors = self._take_errors(main_too=True)
        under_way = sys.exception()
        if isinstance(under_way, (KeyboardInterrupt, SystemExit)):
            # It comes out bare, also where a group has it among its errors.
            errors = _without(errors, under_way)
        _raise_all(errors)

    def _take_errors(self, *, main_too=False):
        """Return the errors of the members and, if there are any or it is
        asked for, that of the main task."""
        errors = self._without_cancellations(self._errors)
        self._errors = {}
        if main_too or errors:
            main, self.main = self.main, None
            if main is not None and main.done() and not main.cancelled():
                exc = main.exception()
                is_bare = isinstance(exc, (KeyboardInterrupt, SystemExit))
                if main_too and 'background-errors' in legacy():
                    if exc is not None and not is_bare:
                        self._report(main)
                # These two come out bare if they are alone.
                elif exc is not None and (errors or not is_bare):
                    errors |= self._without_cancellations({id(exc): exc})
        return list(errors.values())

    def _without_cancellations(self, errors):
        """Take them out of groups, as each scope that is cancelled does."""
        if self._aborted:
            for key, exc in list(errors.items()):
                if isinstance(exc, BaseExceptionGroup):
                    cancelled, rest = exc.split(exceptions.CancelledError)
                    if rest is None:
                        del errors[key]
                    elif cancelled is not None:
                        errors[key] = rest
        return errors

    def end(self):
        """Cancel the members and wait for them."""
        self._ending = True
        if not self._aborted and self._count_members():
            self._abort()
        if self.pierced:
            self._wait_briefly()
        else:
            while self._count_members() and 'edge-cancel' not in legacy():
                self._wait_for(self._join(self._loop))
                self._joining = None
            # Tasks of a foreign kind, or made before us; by edge, all.
            for task in self._end_others():
                # By edge there are members among them, of which we have heard.
                if not ('edge-cancel' in legacy()
                        and cancelscopes._can_have_scopes(task)):
                    self._member_failed(task)
        self.uproot()
        self._ended = True
        unreported, self._unreported = self._unreported, []
        for task in unreported:
            self._report(task)

    def shut_down(self):
        """Shut down what the loop has besides tasks.

        A signal interrupts what is being waited for: generators are cancelled,
        and run out of awaits sooner or later; threads cannot be, so they are
        not waited for.
        """
        self._shutting_down = True
        self._run_interruptibly(self._loop.shutdown_asyncgens())
        self.end_latecomers()
        if not self._shutdown_interrupted:
            self._joining_threads = True
            self._run_interruptibly(self._loop.shutdown_default_executor(
                constants.THREAD_JOIN_TIMEOUT))

    def _run_interruptibly(self, coro):
        self._settle_loop()
        try:
            self._loop.run_until_complete(coro)
        except (KeyboardInterrupt, SystemExit):
            self._loop_disturbed = True
            if not self._joining_threads:
                self._cancel_all()
                self._wait_briefly()
            raise
        except exceptions.CancelledError:
            if not self._shutdown_interrupted:
                raise
        except RuntimeError:
            # The loop was stopped before the coroutine ended.
            if not (self._shutdown_interrupted and self._joining_threads):
                raise

    def _settle_loop(self):
        """If a wait has been interrupted, let the loop stop for it now."""
        if self._loop_disturbed:
            self._loop_disturbed = False
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()

    def end_latecomers(self):
        """Cancel and await the tasks that were made after the group's end.

        Such as by generators that shutdown_asyncgens() has closed.  Those that
        close one themselves, which was given up as the loop stopped, are not
        cancelled.  Errors are logged, as are those of shutdown_asyncgens().
        """
        if self.pierced:
            self._wait_briefly()
        else:
            closers = ()
            if not self._shutdown_interrupted:
                closers = getattr(self._loop, '_asyncgen_closers', ())
            for task in self._end_others(spare=closers):
                self._report(task)

    def _end_others(self, spare=()):
        """Cancel and await what tasks there are, and yield those that fail."""
        while others := [t for t in self._all_tasks() if not t.done()]:
            for task in others:
                if task not in self._asked and task not in spare:
                    self._asked.add(task)
                    task.cancel()
            self._wait_for(tasks.gather(*others, return_exceptions=True))
            for task in others:
                if not task.cancelled() and task.exception() is not None:
                    yield task

    def _report(self, task):
        self._loop.call_exception_handler({
            'message': 'unhandled exception during asyncio.run() shutdown',
            'exception': task.exception(),
            'task': task,
        })

    def _wait_for(self, future):
        def stop(future):
            # It may have been scheduled when KeyboardInterrupt ended the wait.
            if waiting:
                self._loop.stop()

        waiting = True
        under_way = sys.exception()
        future.add_done_callback(stop)
        try:
            # More than once: the loop may still have to stop for an earlier
            # wait, which a KeyboardInterrupt has ended.
            while not future.done():
                try:
                    self._loop.run_forever()
                except (KeyboardInterrupt, SystemExit) as exc:
                    # That of a member of a TaskGroup, which was raised by the
                    # loop at once, comes out of the group as well.
                    if exc is not under_way:
                        self._loop_disturbed = True
                        raise
        finally:
            waiting = False
            under_way = None
            future.remove_done_callback(stop)
        return future.result()

    def _wait_briefly(self):
        """Let what is left end, where no await waits any more.

        Not for long: somebody may go on for ever, swallowing what he is told.
        """
        def turn(left):
            if left and (self._count_members()
                         or self._shutting_down and self._all_tasks()):
                self._loop.call_soon(turn, left - 1)
            else:
                enough.set_result(None)

        enough = self._loop.create_future()
        self._loop.call_soon(turn, _TURNS)
        self._wait_for(enough)
        self.forget_tasks()

    def forget_tasks(self):
        """The program ends hard: what is left need not be reported."""
        for task in self._all_tasks():
            task._log_destroy_pending = False


# What waits for the threads of default executors, where a signal has ended the
# wait.
_given_up = []

# How often the loop turns for the sake of tasks after a second signal.
_TURNS = 200


def _raise_all(errors):
    if errors:
        try:
            raise BaseExceptionGroup('unhandled errors in background tasks',
                                     errors)
        finally:
            errors = None


def _without(errors, exc):
    """Return *errors* without *exc* where it is inside a group."""
    remaining = []
    for error in errors:
        if isinstance(error, BaseExceptionGroup):
            error = error.split(lambda member: member is exc)[1]
        if error is not None:
            remaining.append(error)
    return remaining


def _is_awaited(task):
    """Tell if somebody will hear of the exception of *task*, as it ends."""
    return bool(task._callbacks) or bool(task._asyncio_awaited_by)
