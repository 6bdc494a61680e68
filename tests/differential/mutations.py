"""Deliberate bugs, put into the library at run time: each of them has to be found.

A mutation that is not found says that the generator is too weak. Most touch the Python implementation, where a function
can be replaced; those marked C touch what C uses too. Each says by which means it is to be found: by comparison with
Trio, or by that of C and Python ("parity"), for what has no counterpart in Trio.

    PYTHON tests/differential/run.py --mutations
"""

import asyncio
import contextlib
import functools
import random
import sys
import time
from asyncio import _cancel_requests, _shields, cancelscopes, exceptions, groups, rootgroup, timeouts
from collections.abc import Callable
from typing import NamedTuple

from . import compare, programs

LIMIT = 3000    # programs
MUTATIONS = {}
Scope = cancelscopes._PyCancelScope


def mutation(*configurations, parity=False, root=False):
    def register(function):
        MUTATIONS[function.__name__] = Mutation(
            function, configurations or ('Python lazy', 'Python eager'), parity, root)
        return function
    return register


class Mutation(NamedTuple):
    apply: Callable         # is given Patches
    configurations: tuple   # in which it is looked for
    parity: bool            # C and Python differ, rather than Trio
    root: bool              # by programs with background tasks


class Patches:
    """Replaces attributes, and puts the old ones back at the end."""

    def __init__(self):
        self.stack = contextlib.ExitStack()

    def __call__(self, owner, name, value):
        self.stack.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, value)

    def function(self, module, name, value):
        """Replace a function of *module* there and in all other modules of asyncio that have imported it."""
        original = getattr(module, name)
        for key, other in list(sys.modules.items()):
            if key.partition('.')[0] == 'asyncio' and vars(other).get(name) is original:
                self(other, name, value)

    def setter(self, owner, name, value):
        """Replace the setter of a property."""
        self(owner, name, getattr(owner, name).setter(value))


@contextlib.contextmanager
def mutated(name):
    patch = Patches()
    with patch.stack:
        MUTATIONS[name].apply(patch)
        yield


# The tree.

@mutation()
def shield_is_ignored(patch):
    def _find_cancellers(self):
        shield, self._shield = self._shield, False
        try:
            return original(self)
        finally:
            self._shield = shield
    original = cancelscopes._Node._find_cancellers
    patch(cancelscopes._Node, '_find_cancellers', _find_cancellers)


@mutation()
def cancel_does_not_reach_inner_scopes(patch):
    mark = cancelscopes._mark

    def _mark(tops):
        hidden = [(top, top._children) for top in tops]
        for top in tops:
            top._children = {}
        try:
            return mark(tops)
        finally:
            for top, children in hidden:
                top._children = children
    patch.function(cancelscopes, '_mark', _mark)


@mutation()
def new_scope_in_a_cancelled_one_is_not_cancelled(patch):
    def __enter__(self):
        original(self)
        if not self._requested:
            self._canceller = self._member_canceller = None
        return self
    original = Scope.__enter__
    patch(Scope, '__enter__', __enter__)


@mutation()
def late_spawn_is_not_cancelled(patch):
    enter_tree = cancelscopes._enter_tree

    def _enter_tree(task):
        enter_tree(task)
        task._own_scope._canceller = task._own_scope._member_canceller = None
    patch.function(cancelscopes, '_enter_tree', _enter_tree)


# Delivery.

@mutation()
def no_redelivery_after_a_swallow(patch):
    interrupt, exception_for_step = cancelscopes._interrupt, cancelscopes._exception_for_step
    told = {}

    def is_told(task):
        canceller = task._scope._canceller
        return canceller is not None and told.get(id(task)) == (task, canceller)

    def _interrupt(task):
        if not is_told(task):
            interrupt(task)

    def _exception_for_step(task, exc):
        if is_told(task):
            return exc
        result = exception_for_step(task, exc)
        if isinstance(result, exceptions.CancelledError) and task._scope._canceller is not None:
            told[id(task)] = task, task._scope._canceller
        return result
    patch.function(cancelscopes, '_interrupt', _interrupt)
    patch.function(cancelscopes, '_exception_for_step', _exception_for_step)


@mutation()
def bare_yield_is_not_interrupted(patch):
    exception_for_step = cancelscopes._exception_for_step
    patch.function(cancelscopes, '_exception_for_step',
                   lambda task, exc: exc if task._fut_waiter is None else exception_for_step(task, exc))


@mutation()
def result_is_lost(patch):
    def _exception_for_step(task, exc):
        if task._started and task._scope._canceller is not None and task._fut_waiter is not None:
            return exceptions.CancelledError()
        return exception_for_step(task, exc)
    exception_for_step = cancelscopes._exception_for_step
    patch.function(cancelscopes, '_exception_for_step', _exception_for_step)


@mutation()
def cancelled_task_does_not_start(patch):
    def _exception_for_step(task, exc):
        task._started = True
        return exception_for_step(task, exc)
    exception_for_step = cancelscopes._exception_for_step
    patch.function(cancelscopes, '_exception_for_step', _exception_for_step)


@mutation()
def only_the_first_of_several_tasks_is_interrupted(patch):
    mark, interrupt = cancelscopes._mark, cancelscopes._interrupt

    def _mark(tops):
        calls = mark(tops)
        interruptions = [call for call in calls if call[0] is interrupt]
        return [call for call in calls if call not in interruptions[1:]]
    patch.function(cancelscopes, '_mark', _mark)


# Scopes.

@mutation()
def inner_scope_swallows_what_is_the_outer_ones(patch):
    def __exit__(self, kind, exc, tb):
        if self._requested and self._outer_canceller() is not None:
            shield, self._shield = self._shield, True
            try:
                return original(self, kind, exc, tb)
            finally:
                self._shield = shield
        return original(self, kind, exc, tb)
    original = Scope.__exit__
    patch(Scope, '__exit__', __exit__)


@mutation()
def scope_swallows_what_it_has_not_caused(patch):
    def __exit__(self, kind, exc, tb):
        swallow = original(self, kind, exc, tb)
        return swallow or isinstance(exc, exceptions.CancelledError)
    original = Scope.__exit__
    patch(Scope, '__exit__', __exit__)


@mutation()
def cancelled_caught_is_always_set(patch):
    def __exit__(self, kind, exc, tb):
        swallow = original(self, kind, exc, tb)
        self._caught = self._requested
        return swallow
    original = Scope.__exit__
    patch(Scope, '__exit__', __exit__)


@mutation()
def groups_of_errors_are_not_split(patch):
    patch.function(cancelscopes, '_without_cancellations', lambda group: group)


@mutation()
def cancel_before_entry_is_forgotten(patch):
    def __enter__(self):
        self._requested = False
        return original(self)
    original = Scope.__enter__
    patch(Scope, '__enter__', __enter__)


@mutation()
def cancel_under_a_cancelled_parent_is_not_recorded(patch):
    def cancel(self, msg=None):
        if self._canceller is None:
            original(self, msg)
    original = Scope.cancel
    patch(Scope, 'cancel', cancel)


@mutation()
def removing_a_shield_does_not_deliver(patch):
    def set_shield(self, value):
        if value:
            original(self, value)
            return
        self._shield = value
        if self._state is cancelscopes._ACTIVE:
            cancelscopes._mark([self])
    original = Scope.shield.fset
    patch.setter(Scope, 'shield', set_shield)


@mutation()
def setting_a_shield_stops_nothing(patch):
    def set_shield(self, value):
        if value and self._state is cancelscopes._ACTIVE:
            self._shield = True     # For scopes to come.
        else:
            original(self, value)
    original = Scope.shield.fset
    patch.setter(Scope, 'shield', set_shield)


# Deadlines.

@mutation()
def deadline_setter_does_not_arm(patch):
    def set_deadline(self, value):
        self._deadline, self._delay = cancelscopes._to_deadline(value), None
    patch.setter(Scope, 'deadline', set_deadline)


@mutation()
def deadline_setter_does_not_disarm(patch):
    def set_deadline(self, value):
        if self._timer is not None:
            self._loop.call_at(self._deadline, late, self)      # in place of the timer
        original(self, value)

    def late(self):
        if self._state is cancelscopes._ACTIVE and not self._requested:
            self._expired = True
            cancelscopes._request([self])
    original = Scope.deadline.fset
    patch.setter(Scope, 'deadline', set_deadline)


@mutation()
def deadline_that_has_passed_is_ignored(patch):
    def _arm(self):
        now = self._loop.time()
        if self._delay is not None:
            self._deadline, self._delay = now + self._delay, None
        if self._deadline is not None and self._deadline > now:
            original(self)
    original = Scope._arm
    patch(Scope, '_arm', _arm)


@mutation()
def deadline_goes_off_in_a_later_scope(patch):
    def _exit(self):
        timer, self._timer, task, loop = self._timer, None, self._host(), self._loop
        outer = original(self)
        if timer is not None and task is not None:
            timer.cancel()
            loop.call_at(self._deadline, late, task)
        return outer

    def late(task):
        if not task.done() and isinstance(task._scope, Scope):
            cancelscopes._request([task._scope])
    original = Scope._exit
    patch(Scope, '_exit', _exit)


@mutation()
def moving_the_deadline_undoes_the_cancel(patch):
    def set_deadline(self, value):
        if self._state is cancelscopes._ACTIVE and self._expired:
            self._requested = self._expired = False
            cancelscopes._update(self)
        original(self, value)
    original = Scope.deadline.fset
    patch.setter(Scope, 'deadline', set_deadline)


@mutation()
def effective_deadline_ignores_shields(patch):
    def current_effective_deadline():
        node = cancelscopes._current_task()._scope
        hidden = []
        while node is not None:
            hidden.append((node, node._shield))
            node._shield = False
            node = node._parent
        try:
            return original()
        finally:
            for node, shield in hidden:
                node._shield = shield
    original = cancelscopes._py_current_effective_deadline
    patch(cancelscopes, '_py_current_effective_deadline', current_effective_deadline)


# Tasks.

@mutation()
def task_cancel_pierces_a_shield(patch):
    patch.function(_cancel_requests, '_is_visible', lambda outer, inner: True)


@mutation()
def task_cancel_is_by_edge(patch):
    def _cancel_task(task, msg, **kwargs):
        original(task, msg, **kwargs)
        for scope in [task._own_scope, *(scope for scope, _ in task._shielded_requests)]:
            scope._host_requested = False
            _cancel_requests._update_path(task, scope)
    original = cancelscopes._cancel_task
    patch.function(cancelscopes, '_cancel_task', _cancel_task)


@mutation()
def task_cancel_reaches_the_members(patch):
    def _cancel_task(task, msg, **kwargs):
        original(task, msg, **kwargs)
        node = task._scope
        while node is not task._own_scope:
            for member in node._members():
                member.cancel()
            node = node._parent
    original = cancelscopes._cancel_task
    patch.function(cancelscopes, '_cancel_task', _cancel_task)


@mutation()
def shield_holds_back_what_comes_from_inside(patch):
    patch.function(_cancel_requests, '_find_target', lambda task: task._own_scope)


@mutation()
def request_is_lost_with_its_shielded_block(patch):
    patch.function(_cancel_requests, '_hand_up_requests', lambda scope: None)


# Groups.

@mutation('C lazy', 'Python lazy')
def failed_member_does_not_cancel_the_group(patch):
    def _member_failed(self, task):
        self._errors.append(task.exception())
    patch(groups.Group, '_member_failed', _member_failed)


@mutation()
def cancelled_member_cancels_the_group(patch):
    def _end(task):
        parent = task._own_scope._parent
        if task._state == 'CANCELLED' and parent is not None and parent._group is not None:
            parent._group._abort()
        original(task)
    original = cancelscopes._end
    patch.function(cancelscopes, '_end', _end)


@mutation()
def cancelled_group_does_not_wait(patch):
    patch(Scope, '_member_count', property(lambda self: 0 if self._canceller is not None else len(self._member_set)))


@mutation('C lazy', 'Python lazy')
def join_is_no_yield_point(patch):
    def cancel(self, msg=None):
        return not self.done()
    patch(groups.Join, 'cancel', cancel)


@mutation('C lazy', 'Python lazy')
def cancellation_has_priority_over_errors(patch):
    def _pick_error(self, exc, cancelled):
        return cancelled or original(self, exc, cancelled)
    original = asyncio.TaskGroup._pick_error
    patch(asyncio.TaskGroup, '_pick_error', _pick_error)


@mutation('C lazy', 'Python lazy')
def error_of_the_body_is_lost(patch):
    def _pick_error(self, exc, cancelled):
        if exc is not None and len(self._errors) > 1:
            self._errors = [error for error in self._errors if error is not exc]
        return original(self, exc, cancelled)
    original = asyncio.TaskGroup._pick_error
    patch(asyncio.TaskGroup, '_pick_error', _pick_error)


@mutation('C lazy', 'Python lazy')
def group_refuses_once_it_is_cancelled(patch):
    def create_task(self, coro, **kwargs):
        if self._entered and self._scope.cancel_called:
            coro.close()
            raise RuntimeError
        return original(self, coro, **kwargs)
    original = asyncio.TaskGroup.create_task
    patch(asyncio.TaskGroup, 'create_task', create_task)


# Timeouts and shield().

def patch_both_timeouts(patch, __aexit__):
    """Replace the method of Timeout in C and in Python; it is given the original one as well."""
    for cls in asyncio.Timeout, timeouts._PyTimeout:
        patch(cls, '__aexit__', functools.partialmethod(__aexit__, cls.__aexit__))


@mutation('C lazy', 'Python lazy')
def timeout_raises_though_the_outer_scope_won(patch):
    async def __aexit__(self, original, kind, exc, tb):
        expired, parent_cancelled = self._scope.deadline_expired, self._scope._parent_cancelled
        result = await original(self, kind, exc, tb)
        if expired and parent_cancelled and isinstance(exc, exceptions.CancelledError):
            raise TimeoutError
        return result
    patch_both_timeouts(patch, __aexit__)


@mutation('C lazy', 'Python lazy')
def timeout_raises_though_it_was_cancelled_by_hand(patch):
    async def __aexit__(self, original, kind, exc, tb):
        result = await original(self, kind, exc, tb)
        if result:
            raise TimeoutError
        return result
    patch_both_timeouts(patch, __aexit__)


@mutation('C lazy', 'Python lazy')
def shield_call_does_not_shield(patch):
    patch(_shields, 'ShieldedCall', lambda awaitable: awaitable)


# The root group.

@mutation('C lazy', 'Python lazy', root=True)
def background_failure_does_not_cancel_main(patch):
    patch(rootgroup.RootGroup, '_add_failure', lambda self, task: self._failures.add(task))


@mutation('C lazy', 'Python lazy', root=True)
def error_of_main_is_not_among_those_of_the_background(patch):
    patch(rootgroup.RootGroup, '_add_main_error', lambda self, main, errors: None)


@mutation('C lazy', 'Python lazy', root=True)
def errors_after_the_end_of_main_are_lost(patch):
    def _member_failed(self, task):
        if not self.main.done():
            original(self, task)
    original = rootgroup.RootGroup._member_failed
    patch(rootgroup.RootGroup, '_member_failed', _member_failed)


@mutation('C lazy', 'Python lazy', root=True)
def root_group_waits_instead_of_cancelling(patch):
    def _end_members(self):
        self._aborted = True    # As if that had been done.
        original(self)
    original = rootgroup.RootGroup._end_members
    patch(rootgroup.RootGroup, '_end_members', _end_members)


# What only C and Python are compared by.

@mutation('C lazy', 'Python lazy', parity=True)
def last_message_wins(patch):
    def cancel(self, msg=None):
        if self._state is cancelscopes._ACTIVE:
            self._msg = msg
        original(self, msg)
    original = Scope.cancel
    patch(Scope, 'cancel', cancel)


@mutation('C lazy', 'Python lazy', parity=True)
def siblings_are_interrupted_in_reverse_order(patch):
    mark = cancelscopes._mark
    patch.function(cancelscopes, '_mark', lambda tops: mark(tops)[::-1])


@mutation('C lazy', 'Python lazy', parity=True)
def delivered_cancellation_is_not_counted(patch):
    patch.function(cancelscopes, '_note_delivery', lambda task, canceller: None)


def hunt(name, seed=0, limit=LIMIT):
    """Return how many programs it took to find a mutation, and how it shows; None and None if none did."""
    what = MUTATIONS[name]
    with mutated(name):
        for number in range(limit):
            program = programs.generate(random.Random(seed + number), what.root)
            verdict = compare.check_safely(program, seed + number, what.configurations, with_parity=what.parity)
            if verdict.failed and (verdict.kind == 'parity') == what.parity:
                return number + 1, verdict.label
    return None, None


def table(seed=0, limit=LIMIT):
    """Hunt for all; print a line for each; return {name: after how many programs it was found, or None}."""
    print(f'{"mutation":52} {"in":10} {"found by":10} programs   seconds   shows as')
    found = {}
    for name, what in MUTATIONS.items():
        start = time.monotonic()
        number, how = hunt(name, seed, limit)
        found[name] = number
        print(f'{name:52} {"C, Python" if "C lazy" in what.configurations and not what.parity else "Python":10} '
              f'{"parity" if what.parity else "Trio":10} {number or "NOT FOUND":>8}   '
              f'{time.monotonic() - start:7.1f}   {how}', flush=True)
    print(f'{len(found)} mutations, {sum(number is not None for number in found.values())} found')
    return found
