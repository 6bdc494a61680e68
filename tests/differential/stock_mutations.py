"""Deliberate bugs in the patched asyncio, each of which the comparison with stock has to find.

Each is an edit of one file: a copy of the package with that edit is what a worker imports, in pure Python.  A bug that
is not found says that the programs, or what is recorded of them, are too weak.

    python3 tests/differential/against_stock.py --mutations
"""

import pathlib
import random
import shutil
import subprocess
import tempfile
import time
from typing import NamedTuple

from . import stock_compare, stock_programs

LIMIT = 4000    # programs


class Mutation(NamedTuple):
    file: str
    old: str
    new: str
    ops: tuple = ()     # only programs that have one of these are run
    switches: bool = True   # with all switches in force; otherwise by default


MUTATIONS = {
    # Primitives.
    'lock_wakes_nobody': Mutation(
        'locks.py',
        '            self._locked = False\n            self._wake_up_first()',
        '            self._locked = False',
        ('lock',)),
    'event_wakes_one': Mutation(
        'locks.py',
        '                if not fut.done():\n                    fut.set_result(True)\n',
        '                if not fut.done():\n                    fut.set_result(True)\n                    break\n',
        ('wait',)),
    'condition_wakes_one_too_many': Mutation(
        'locks.py',
        '            if idx >= n:',
        '            if idx > n:',
        ('condition',)),
    'barrier_lets_one_through': Mutation(
        'locks.py',
        '                if index + 1 == self._parties:',
        '                if index + 2 >= self._parties:',
        ('wait',)),
    'queue_is_a_stack': Mutation(
        'queues.py',
        '        return self._queue.popleft()',
        '        return self._queue.pop()',
        ('wait',)),
    'queue_has_room_for_one_more': Mutation(
        'queues.py',
        '            return self.qsize() >= self._maxsize',
        '            return self.qsize() > self._maxsize',
        ('put_nowait',)),
    'shutdown_wakes_no_getter': Mutation(
        'queues.py',
        '        while self._getters:',
        '        while False:',
        ('shutdown',)),
    'join_of_a_queue_never_ends': Mutation(
        'queues.py',
        '            self._finished.set()\n\n    async def join',
        '            pass\n\n    async def join',
        ('task_done',)),
    # Tasks.
    'gather_loses_the_order': Mutation(
        'tasks.py',
        '            for fut in children:\n                if fut.cancelled():',
        '            for fut in reversed(children):\n                if fut.cancelled():',
        ('gather',)),
    'gather_cancels_one_child': Mutation(
        'tasks.py',
        '            if child.cancel(msg=msg):\n                ret = True',
        '            if child.cancel(msg=msg):\n                return True',
        ('gather',)),
    'gather_loses_the_message': Mutation(
        'tasks.py',
        '            if child.cancel(msg=msg):',
        '            if child.cancel():',
        ('gather',)),
    'wait_forgets_its_timeout': Mutation(
        'tasks.py',
        '        timeout_handle = loop.call_later(timeout, _release_waiter, waiter)',
        '        timeout_handle = loop.call_later(2 * timeout, _release_waiter, waiter)',
        ('wait_tasks',)),
    'wait_ignores_first_exception': Mutation(
        'tasks.py',
        '            return_when == FIRST_EXCEPTION and (not f.cancelled() and',
        '            return_when == FIRST_EXCEPTION and (f.cancelled() and',
        ('wait_tasks',)),
    'as_completed_yields_the_last_first': Mutation(
        'tasks.py',
        '        self._done.put_nowait(f)\n',
        '        self._done._queue.appendleft(f)\n        self._done._wakeup_next(self._done._getters)\n',
        ('as_completed',)),
    'shield_of_a_task_does_not_shield': Mutation(
        'tasks.py',
        '    if inner.done():\n        # Shortcut.',
        '    if True:\n        # Shortcut.',
        ('shield',)),
    'cancel_is_counted_twice': Mutation(
        'tasks.py',
        '        self._num_cancels_requested += 1',
        '        self._num_cancels_requested += 2',
        ('cancel',)),
    'sleep_is_a_bit_longer': Mutation(
        'tasks.py',
        '    h = loop.call_later(delay,',
        '    h = loop.call_later(delay * 1.01,',
        ()),
    'wait_for_zero_loses_the_result': Mutation(
        'tasks.py',
        '        if fut.done():\n            return fut.result()\n\n        await _cancel',
        '        await _cancel',
        ('wait_for',)),
    'request_is_lost_if_the_future_is_done': Mutation(
        '_cancel_requests.py',
        '    # The step is scheduled or under way, or a shield holds this back.\n    _set_pending(task, scope)',
        '    # The step is scheduled or under way, or a shield holds this back.\n'
        '    if task._fut_waiter is None or task._fut_waiter.cancelled():\n'
        '        _set_pending(task, scope)',
        ('cancel',)),
    'message_of_cancel_is_lost': Mutation(
        '_cancel_requests.py',
        '    if scope is task._own_scope:\n        task._cancel_message = msg\n\n\ndef',
        '    if scope is task._own_scope:\n        task._cancel_message = None\n\n\ndef',
        ('cancel',)),
    'uncancel_lifts_nothing': Mutation(
        '_cancel_requests.py',
        '            scope._host_requested = scope._host_pending = False\n            _update_pending(task)',
        '            _update_pending(task)',
        ('uncancel',), switches=False),
    # Timeouts and groups.
    'timeout_at_is_late': Mutation(
        'timeouts.py',
        '    return Timeout(when, shield=shield)',
        '    return Timeout(when and when + 0.01, shield=shield)',
        ('timeout',), switches=False),
    'reschedule_does_nothing': Mutation(
        'timeouts.py',
        '        self._scope.deadline = when\n        self._when = when',
        '        self._when = when',
        ('reschedule',), switches=False),
    'timeout_has_no_cause': Mutation(
        'timeouts.py',
        '            raise TimeoutError from exc_val',
        '            raise TimeoutError',
        ('timeout',), switches=False),
    'expiry_is_not_in_the_chain': Mutation(
        'timeouts.py',
        '                self._insert_timeout_error(exc_val)\n                if isinstance(exc_val, ExceptionGroup)',
        '                if isinstance(exc_val, ExceptionGroup)',
        ('timeout',), switches=False),
    'errors_of_members_lose_the_first': Mutation(
        'taskgroups.py',
        '                                      list(self._errors))',
        '                                      list(self._errors)[-1:])',
        ('group',), switches=False),
    'body_error_is_not_in_the_group': Mutation(
        'taskgroups.py',
        '            self._errors.append(exc)\n        # Errors have',
        '            self._errors or self._errors.append(exc)\n        # Errors have',
        ('group',), switches=False),
    'group_does_not_wait': Mutation(
        'taskgroups.py',
        '        while members:',
        '        while False:',
        ('group',), switches=False),
    'failed_member_does_not_cancel': Mutation(
        'groups.py',
        '        self._errors.append(task.exception())\n        self._abort()',
        '        self._errors.append(task.exception())',
        ('group',), switches=False),
    # The end of run().
    'shutdown_reports_nothing': Mutation(
        'legacy_groups.py',
        '            if not task.cancelled() and task.exception() is not None:\n                self._report(task)',
        '            del task',
        ('spawn',)),
}


def sources(patched):
    """The folder of the asyncio package of an interpreter."""
    code = 'import asyncio; print(asyncio.__path__[0])'
    done = subprocess.run([patched, '-c', code], capture_output=True, text=True, check=True)
    return pathlib.Path(done.stdout.strip())


def apply(name, package):
    """Edit a copy of the package."""
    what = MUTATIONS[name]
    path = package / what.file
    text = path.read_text(encoding='utf-8')
    if what.old not in text:
        raise ValueError(f'{name}: {what.file} has no such text any more; adapt stock_mutations.py:\n{what.old}')
    path.write_text(text.replace(what.old, what.new, 1), encoding='utf-8')


def hunt(name, options, limit=LIMIT):
    """After how many programs a mutation is found, and how it shows; None and None if it is not."""
    what = MUTATIONS[name]
    with tempfile.TemporaryDirectory() as folder:
        package = pathlib.Path(folder, 'asyncio')
        shutil.copytree(sources(options.patched), package, ignore=shutil.ignore_patterns('__pycache__'))
        apply(name, package)
        comparison = stock_compare.Comparison(
            options.stock, options.patched, switches=options.switches, implementations=['Python'],
            modes=[stock_compare.ALL] if what.switches else [''], environment={'PYTHONPATH': folder})
        sound = stock_compare.Comparison(options.stock, options.patched, switches=options.switches)
        try:
            for first in range(0, limit, 50):
                made = []
                for number in range(first, first + 50):
                    program = stock_programs.generate(random.Random(options.seed + number))
                    if not what.ops or any(s['op'] in what.ops for s in stock_programs.walk(program['main'])):
                        made.append((number, program))
                for (number, program), verdict in zip(made, comparison.check([program for _, program in made])):
                    # What fails without the mutation is not found because of it.
                    if verdict.failed and not sound.check([program])[0].failed:
                        return number + 1, verdict.label
        finally:
            comparison.close()
            sound.close()
    return None, None


def table(options, limit=LIMIT):
    """Hunt for all; print a line for each; return {name: after how many programs it was found, or None}."""
    print(f'{"mutation":40} programs   seconds   shows as')
    found = {}
    for name in MUTATIONS:
        start = time.monotonic()
        number, how = hunt(name, options, limit)
        found[name] = number
        print(f'{name:40} {number or "NOT FOUND":>8}   {time.monotonic() - start:7.1f}   {how}', flush=True)
    print(f'{len(found)} mutations, {sum(number is not None for number in found.values())} found')
    return found
