"""What the groups of tasks, TaskGroup and the root group, have in common.

A group has a scope.  The tasks that are spawned into it are the scope's
members: they hang right below it in the tree (see cancelscopes), which keeps
them alive, cancels them, and tells the group
  - _member_failed(task), when one has failed, at once;
  - _members_done(), when there is none left.
Only tasks of a foreign kind, which have no place in the tree, are the group's
own concern; _cancel_foreign() is called when its scope has become cancelled.
"""

import contextlib
import functools
import operator
import os
import sys
import weakref

from . import asyncgens
from . import cancelscopes
from . import constants
from . import exceptions
from . import futures
from . import tasks
from .log import logger
from _asyncio_legacy import legacy


class Group:
    """The base class of the groups."""

    _parent_task = None  # The host of the scope.
    _joining = None  # The Future that waits for the members.
    _foreign = None  # The members that are not in the tree, a set.

    def __init__(self, scope):
        self._scope = scope
        self._errors = []

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
        self._joining = join = _Join(loop=loop)
        join._group = self
        return join

    def _abort(self, msg=None):
        self._scope.cancel(msg)

    def _member_failed(self, task):
        self._errors.append(task.exception())
        self._abort()

    def _host_ended(self):
        """The task that has entered the scope has ended without leaving it.

        The group lives until another one leaves it, or until it is dropped: its
        members are then those of what is around it.
        """
        before, self._parent_task = self._parent_task, None
        if before is not None:
            for member in self._tasks:
                futures.future_discard_from_awaited_by(member, before)
        self._scope._weaken_group()

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
            cancelscopes._call_cancel(task, *cancelled)

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
        if not cancelscopes._can_have_scopes(self._parent_task):
            return
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


class ExternalTasks(Group):
    """The tasks of a foreign kind that a scope without a group has spawned."""

    def __init__(self, scope, loop):
        super().__init__(scope)
        self._loop = loop
        scope._set_group(self)

    def _member_failed(self, task):
        group = self._scope._outer_group
        if group is None:
            # The scope has been left.
            root = cancelscopes._find_root(self._loop)
            group = None if root is None else root._group
        if group is not None:
            group._member_failed(task)


class _Join(futures.Future):
    """What waits for the members of a group.

    That the wait is cancelled does not end it, for the members have to be
    waited for all the same; it makes it end with the CancelledError.
    """

    _group = None
    _passing_on = False
    _cancel_requested = False
    # The cancellation is the host's own and not that of the group's scope.
    stray = False

    def cancel(self, msg=None):
        if self.done():
            return False
        self._cancel_requested = True
        self._cancel_requested_msg = msg
        scope = self._group._scope
        if not scope.cancels_tasks:
            # Task.cancel() reaches nothing but this Future.
            self.stray = True
            if 'edge-cancel' in legacy():
                self._cancel_members(msg)
            else:
                scope.cancel(msg)
        return True

    def _cancel_members(self, msg):
        """By edge, a request goes on to the members."""
        if self._passing_on:
            return  # A member awaits the host, and passes it back.
        self._passing_on = True
        try:
            cancelscopes._call_for_all(
                lambda task: cancelscopes._call_cancel(task, msg),
                list(self._group._tasks))
        finally:
            self._passing_on = False

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
    _replaced = None  # See _replace_run_until_complete().
    # What closes asynchronous generators; see asyncgens.  Its root is found
    # only when that of this group is gone.
    _closers = None

    def __init__(self, loop):
        self._loop = loop
        # Tasks that close generators, refuse to end, and are not waited for.
        self._given_up = weakref.WeakSet()
        self._plant()

    def _plant(self):
        if self._closers is not None:
            self._closers.uproot()
            self._closers = None
        # The pure-Python tasks have a tree of their own.
        scope = cancelscopes.CancelScope()
        self._scopes = [scope]
        if not isinstance(scope, cancelscopes._PyCancelScope):
            self._scopes.append(cancelscopes._PyCancelScope())
        super().__init__(scope)
        # By identity, for several members may end with the same one.
        self._errors = {}
        self._aborted = False
        self._asked = set()  # By edge, the tasks that have been cancelled.
        self.shields_disabled = False
        self._ending = self._ended = False
        self._unreported = []
        # The task whose exception run_until_complete() raises to its caller.
        self._retrieved = None
        # Descriptions of the tasks that raised each of the _errors, by its id.
        self._failed = {}
        self._logged = False  # The first failure has been logged.
        for scope in self._scopes:
            scope._set_group(self)
            scope._plant(self._loop)
        self._replace_run_until_complete()

    def uproot(self):
        for scope in self._scopes:
            scope._uproot()
        if self._replaced is not None:
            if vars(self._loop).get('run_until_complete') is self._replaced:
                del self._loop.run_until_complete
            self._replaced = None
        if self._closers is not None:
            self._closers.uproot()
            self._closers = None

    def _replace_run_until_complete(self):
        """Have a loop that is not asyncio's own do what asyncio's does.

        That is, tell the group that an exception is raised to the caller of
        run_until_complete(), and close generators apart from the group.  There
        is no other place where such a loop could be told.
        """
        from . import base_events
        loop = self._loop
        own = base_events.BaseEventLoop.run_until_complete
        if (getattr(type(loop), 'run_until_complete', None) in (own, None)
                or 'run_until_complete' in getattr(loop, '__dict__', ())):
            return
        replacement = functools.partial(_run_until_complete, loop)
        try:
            loop.run_until_complete = replacement
        except AttributeError:
            return  # Such as of a class with slots.
        self._replaced = replacement

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
        if self._closers is not None:
            self._closers.hurry()
        if 'edge-cancel' in legacy():
            for task in self._all_tasks() - self._asked - self._closing_tasks():
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
        elif self._closers is not None:
            self._closers.hurry()

    def _cancel_all(self):
        cancelscopes._call_for_all(operator.methodcaller('cancel'),
                                   self._all_tasks())

    def disable_shields(self):
        """Clear the shields of all tasks: the program is to end at once."""
        self.shields_disabled = True
        for scope in self._scopes:
            scope._disable_shields()
        if self._closers is not None:
            self._closers.hurry()

    def _member_failed(self, task):
        if (task is self._retrieved
                # The end of an iteration is no failure.  (exception() would
                # say that it has been retrieved.)
                or isinstance(getattr(task, '_exception', None),
                              StopAsyncIteration)):
            return
        switches = legacy()
        if 'background-errors' in switches:
            if self._ending and not _ends_as_without_group():
                self._unreported.append(task)
            return
        if 'unretrieved-only' in switches and _is_awaited(task):
            return
        exc = task.exception()
        # The loop itself raises the interrupts, bare.
        if isinstance(exc, (SystemExit, KeyboardInterrupt)):
            return
        self._errors[id(exc)] = exc
        self._failed.setdefault(id(exc), []).append(_describe_task(task))
        self._abort()
        if not self._logged and not _is_cancellation(exc):
            # The end of the program, where it is raised, may be far away.
            self._logged = True
            _log_first_failure(task, exc)

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
        asyncgens.hook_into(self._loop)
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
                # Other tasks that await main raise it as well.
                error, tb = exc, exc.__traceback__
            if cancelscopes._was_interrupted(self.main):
                self.main_interrupted = True
            if last or self._aborted:
                self.end()
                errors = self._take_errors()
                if not last:
                    self._plant()
                if errors:
                    raise _to_group(errors)
            self.main = None
            if error is not None:
                raise _without_own_frames(error.with_traceback(tb))
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
        if errors:
            raise _to_group(errors)

    def _take_errors(self, *, main_too=False):
        """Return the errors of the members and, if there are any or it is
        asked for, that of the main task."""
        errors = self._without_cancellations(self._errors)
        for key, exc in errors.items():
            for description in self._failed[key]:
                _add_note(exc, f'in background task {description}')
        self._errors = {}
        self._failed = {}
        if main_too or errors:
            main, self.main = self.main, None
            if main is not None and main.done() and not main.cancelled():
                exc = main.exception()
                is_bare = isinstance(exc, (KeyboardInterrupt, SystemExit))
                if main_too and 'background-errors' in legacy():
                    if (exc is not None and not is_bare
                            and not _ends_as_without_group()):
                        self._report(main)
                # These two come out bare if they are alone.
                elif (exc is not None and (errors or not is_bare)
                      and id(exc) not in errors):
                    for exc in self._without_cancellations(
                            {id(exc): exc}).values():
                        if errors:
                            _add_note(
                                exc, f'in main task {_describe_task(main)}')
                        errors[id(exc)] = exc
        return list(errors.values())

    def _without_cancellations(self, errors):
        """Take them out of groups, as each scope that is cancelled does."""
        if self._aborted:
            for key, exc in list(errors.items()):
                if isinstance(exc, BaseExceptionGroup):
                    rest = cancelscopes._without_cancellations(exc)
                    if rest is None:
                        del errors[key]
                    else:
                        errors[key] = rest
        return errors

    def end(self):
        """Cancel the members and wait for them."""
        self._ending = True
        if (not self._aborted and self._count_members()
                and not _ends_as_without_group()):
            self._abort()
        if self.shields_disabled:
            self._wait_briefly()
        elif _ends_as_without_group():
            self._cancel_all_once()
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
        for scope in self._scopes:
            scope._uproot()
        if self._closers is not None:
            self._closers.end()
        self.uproot()
        self._ended = True
        unreported, self._unreported = self._unreported, []
        for task in unreported:
            self._report(task)

    def shut_down(self):
        """Shut down what the loop has besides tasks.

        A signal interrupts what is being waited for: the tasks that close
        generators are cancelled; threads cannot be, so they are not waited for.
        """
        self._shutting_down = True
        self._shut_down_asyncgens()
        if not self._shutdown_interrupted:
            self._joining_threads = True
            self._join_threads()

    def _join_threads(self):
        self._settle_loop()
        try:
            self._loop.run_until_complete(self._loop.shutdown_default_executor(
                constants.THREAD_JOIN_TIMEOUT))
        except (KeyboardInterrupt, SystemExit):
            self._loop_disturbed = True
            raise
        except exceptions.CancelledError:
            if not self._shutdown_interrupted:
                raise
        except RuntimeError:
            # The loop was stopped before the coroutine ended.
            if not self._shutdown_interrupted:
                raise

    def _settle_loop(self):
        """If a wait has been interrupted, let the loop stop for it now."""
        if self._loop_disturbed:
            self._loop_disturbed = False
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()

    def _closing_tasks(self):
        return set() if self._closers is None else self._closers.get_tasks()

    def _close_asyncgen(self, aclose):
        if self._closers is None:
            self._closers = asyncgens.Closers(self)
        self._closers._close_asyncgen(aclose)

    def _shut_down_asyncgens(self):
        """Close the generators that are left when the group has ended.

        The tasks that are made meanwhile are awaited and their errors logged,
        as are those of shutdown_asyncgens().
        """
        self._settle_loop()
        if _ends_as_without_group():
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            return
        self._closers = asyncgens.Closers(self)
        try:
            self._closers.shut_down()
        except (KeyboardInterrupt, SystemExit):
            self._cancel_all()
            self._wait_briefly()
            raise
        self.uproot()

    def _end_others(self):
        """Cancel and await what tasks there are, and yield those that fail.

        But for those that close generators.
        """
        while others := [t for t in self._all_tasks() - self._closing_tasks()
                         if not t.done() and t not in self._given_up]:
            for task in others:
                if task not in self._asked:
                    self._asked.add(task)
                    task.cancel()
            self._wait_for(tasks.gather(*others, return_exceptions=True))
            for task in others:
                if not task.cancelled() and task.exception() is not None:
                    yield task

    def _cancel_all_once(self):
        """Do what run() did at its end before there was a root group."""
        to_cancel = self._all_tasks()
        if not to_cancel:
            return
        for task in to_cancel:
            task.cancel()
        self._wait_for(tasks.gather(*to_cancel, return_exceptions=True))
        for task in to_cancel:
            if not task.cancelled() and task.exception() is not None:
                self._report(task)

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
                asyncgens.hook_into(self._loop)
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
        """Run the loop for a few turns, for the tasks that are left."""
        def is_busy():
            return (self._count_members()
                    or self._shutting_down and self._all_tasks())

        self._run_briefly(self._scopes, is_busy)
        self.forget_tasks()

    def _run_briefly(self, scopes, is_busy):
        """Run the loop while is_busy(), without shields below *scopes*.

        Every await that suspends raises, so that the tasks can end.  For a
        bounded number of turns, because a task may keep swallowing
        CancelledError; and on each turn, because cleanup may open new shields.
        """
        def turn(left):
            if left and is_busy():
                for scope in scopes:
                    scope._disable_shields()
                self._loop.call_soon(turn, left - 1)
            else:
                enough.set_result(None)

        enough = self._loop.create_future()
        self._loop.call_soon(turn, _TURNS)
        self._wait_for(enough)

    def forget_tasks(self):
        """The program ends hard: what is left need not be reported."""
        for task in self._all_tasks():
            task._log_destroy_pending = False


# What waits for the threads of default executors, where a signal has ended the
# wait.
_given_up = []

# How often the loop turns for the sake of tasks after a second signal.
_TURNS = 200


def _ends_as_without_group():
    """Tell if run() ends as it did before there was a root group.

    With both legacy switches that concern its end nothing of the group is left:
    each task is cancelled once, those that close generators as well, and a
    task that is spawned after that is not waited for.
    """
    return {'edge-cancel', 'background-errors'} <= legacy()


def _run_until_complete(loop, future):
    new_task = not futures.isfuture(future)
    future = tasks.ensure_future(future, loop=loop, _errors=None)
    if new_task:
        future._log_destroy_pending = False
    cancelscopes._set_retrieved(loop, future)
    asyncgens.hook_into(loop)
    try:
        return type(loop).run_until_complete(loop, future)
    except BaseException:
        if new_task and future.done() and not future.cancelled():
            future.exception()  # The caller does not have the task.
        raise
    finally:
        cancelscopes._set_retrieved(loop, None)
        future = None


def _to_group(errors):
    return BaseExceptionGroup('unhandled errors in background tasks', errors)


def _without_own_frames(exc):
    """Let the traceback of *exc* begin in the program that the loop runs."""
    tb = exc.__traceback__
    here = os.path.dirname(__file__)
    while (tb is not None and tb.tb_next is not None and here
           == os.path.dirname(tb.tb_frame.f_code.co_filename)):
        tb = tb.tb_next
    return exc.with_traceback(tb)


def _without(errors, exc):
    """Return *errors* without *exc* where it is inside a group."""
    remaining = []
    for error in errors:
        if isinstance(error, BaseExceptionGroup):
            error = cancelscopes._take_out(error, lambda member: member is exc)
        if error is not None:
            remaining.append(error)
    return remaining


def _is_cancellation(exc):
    """Tell if *exc* is a group of nothing but CancelledErrors."""
    found = [exc]
    for member in found:
        if isinstance(member, BaseExceptionGroup):
            found += cancelscopes._get_members(member)
        elif not isinstance(member, exceptions.CancelledError):
            return False
    return isinstance(exc, BaseExceptionGroup)


def _describe_task(task):
    """Return the name and the coroutine of *task*, in one line."""
    try:
        name = task.get_name()
        coro = task.get_coro()
    except AttributeError:
        return ' '.join(repr(task).split())  # An external task.
    qualname = getattr(coro, '__qualname__', None) or type(coro).__name__
    return f'{name!r}, {qualname}()'


def _describe_exception(exc):
    """Return the type and the message of *exc*, in one line."""
    try:
        lines = str(exc).splitlines()
    except Exception:
        lines = ['<str() failed>']
    message = lines[0] if lines else ''
    if len(lines) > 1:
        message += ' [...]'
    name = type(exc).__qualname__
    return f'{name}: {message}' if message else name


def _log_first_failure(task, exc):
    created = ''
    for frame in reversed(getattr(task, '_source_traceback', None) or ()):
        if os.path.dirname(frame.filename) != os.path.dirname(__file__):
            created = f' (created at {frame.filename}:{frame.lineno})'
            break
    logger.error('Background task %s failed: %s%s', _describe_task(task),
                 _describe_exception(exc), created)


def _add_note(exc, note):
    # An exception that is raised again and again gets the note once, and one
    # that refuses notes goes without.
    with contextlib.suppress(Exception):
        if note not in getattr(exc, '__notes__', ()):
            exc.add_note(note)


def _is_awaited(task):
    """Tell if somebody will hear of the exception of *task*, as it ends."""
    return bool(task._callbacks) or bool(task._asyncio_awaited_by)
