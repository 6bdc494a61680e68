"""By which rule of docs/semantics.md a program does something else than on stock.

A rule is recognized by its condition in the first event that differs and in what both sides have done before that; each
rule belongs to the changes, by their legacy switches, that it is a part of.
"""

import re
from typing import NamedTuple

from . import stock_programs

SCOPES, CANCEL, SHIELD, BACKGROUND = 'edge-scopes', 'edge-cancel', 'shield', 'background-errors'


def first_difference(left, right):
    """The index of the first event in which two records differ."""
    for index, (one, other) in enumerate(zip(left, right)):
        if one != other:
            return index
    return min(len(left), len(right))


def event(record, index):
    return record[index] if index < len(record) else None


def shape(left, right):
    """What differs first, in words without names, messages and times."""
    place = first_difference(left, right)
    return ' / '.join(map(_shape_of, (event(left, place), event(right, place))))


def _shape_of(found):
    if found is None:
        return 'nothing'
    words = [found[0] if found[0] in ('loop', 'end', 'callback', 'machine', 'main') else 'task']
    for word in found[1:]:
        if isinstance(word, str):
            words.append(re.sub(r'\W.*|\d+$', '', word, flags=re.DOTALL))
    return ' '.join(words)


def is_quiet(record):
    """Tell if nothing was cancelled, timed out or failed in the background."""
    for found in record:
        for word in found[2:]:
            if isinstance(word, str) and ('CancelledError' in word or 'TimeoutError' in word or 'handler' in word
                                          or 'GeneratorExit' in word or word in ('cancelled', 'cancel', 'uncancel')):
                return False
    return True


class Difference(NamedTuple):
    """The first event that differs, and what is known of it."""
    program: dict
    before: list        # what both sides did
    stock: list         # what stock does then
    patched: list
    stock_later: list   # what stock does from then on
    patched_later: list
    in_force: tuple     # the switches that the patched side has on


def find_rule(changes, program, stock, found, place, in_force=()):
    """The rule by which stock and what was found with some switches differ at a place, one of those of some changes; or
    None."""
    one, other = (event(record, place) or [None] * 3 for record in (stock, found))
    difference = Difference(program, stock[:place], one, other, stock[place:], found[place:], in_force)
    for rule, of, condition in RULES:
        if set(of) & set(changes) and condition(difference):
            return rule
    return None


# What is asked of a difference.

def is_cancellation(found):
    """A CancelledError comes out of a statement."""
    return 'raises' in found[2:5] and str(found[-1]).startswith('CancelledError')


def task_of(program, who):
    """The coroutine whose task runs another one, or a generator: the innermost that is not just awaited."""
    who = who.split(':')[0] if who else ''
    name = who.partition('.')[0]
    hosts = {}
    _find_hosts(program['main'], 'main', hosts)
    while name in hosts:
        name = hosts[name]
    return name


def awaiters(program, who):
    """The coroutine *who* and those that wait for it, the innermost first, up to what was spawned."""
    who = who.split(':')[0] if who else ''
    found = [who.partition('.')[0]]
    parents = {item['id']: name for name, body in _coroutines(program) for s in _own(body)
               for item in [s, *s.get('items', ())] if item['op'] == 'co'}
    while found[-1] in parents:
        found.append(parents[found[-1]])
    return found


def _coroutines(program):
    """Pairs of a coroutine and its block."""
    yield 'main', program['main']
    for s in stock_programs.walk(program['main']):
        if s['op'] in ('co', 'spawn'):
            yield s['id'], s['body']


def _own(block):
    """The statements of a block that are no part of another coroutine."""
    for s in block:
        yield s
        if s['op'] not in ('co', 'spawn'):
            for key, inner in stock_programs.blocks(s):
                if key != 'items':
                    yield from _own(inner)


def _find_hosts(block, name, hosts):
    """{coroutine: the one that it is a part of}, for those that are awaited where they stand."""
    for s in block:
        if s['op'] == 'co':
            hosts[s['id']] = name
        for key, inner in stock_programs.blocks(s):
            if s['op'] in ('co', 'spawn'):
                _find_hosts(inner, s['id'], hosts)
            elif key == 'items' and s['op'] != 'wait_for':
                for item in inner:
                    if item['op'] == 'co':
                        _find_hosts(item['body'], item['id'], hosts)
            else:
                _find_hosts(inner, name, hosts)


def was_cancelled(d, who):
    """A CancelledError has reached the task of *who* before."""
    task = task_of(d.program, who)
    return any('CancelledError' in str(word) for found in d.before if task_of(d.program, found[0]) == task
               for word in found[2:])


def main_has_ended(d):
    """run() has begun to cancel what is left."""
    return any(found[0] == 'main' and found[2] in ('ends', 'ends with') for found in d.before)


def same_step(d):
    return d.stock[0] == d.patched[0] and d.stock[2] == d.patched[2] and d.stock[0] is not None


def flatten(words):
    for word in words:
        if isinstance(word, list):
            yield from flatten(word)
        else:
            yield word


def counts_differ(d):
    """The two say the same but for how often somebody asked for the cancellation of a task."""
    one, other = list(flatten(d.stock)), list(flatten(d.patched))
    return (same_step(d) and len(one) == len(other) and d.stock[2] in (
        'start', 'ends', 'left', 'pending', 'cancel', 'uncancel', 'cancelling', 'catches', 'timer ends') and all(
            left == right or type(left) is type(right) is int for left, right in zip(one, other)))


def messages_differ(d):
    """A CancelledError has another message."""
    def strip(found):
        return [re.sub(r'CancelledError\([^()]*\)', 'CancelledError', str(word)) for word in found]
    return same_step(d) and strip(d.stock) == strip(d.patched)


def runs_at_all(d):
    """A coroutine starts that on stock never does, since its task was cancelled before."""
    name, _, what, *_ = d.patched
    return what == 'start' and not any(found[0] == name and found[2] == 'start' for found in d.stock_later)


def is_overdue_wait_for(d):
    """wait_for() with a time that is over made a task of a coroutine only to cancel it."""
    return d.patched[2] == 'wait_for' and d.patched[-1] == 'TimeoutError()' and (
        same_step(d) and d.stock[-1] == 'TimeoutError() from CancelledError()'
        or any(found[:3] == d.patched[:3] for found in d.stock_later))


def waits_for_what_it_cancelled(d):
    """wait_for() with a time that is over waits until what it has cancelled is done, where stock is interrupted."""
    return d.stock[2] == 'wait_for' and is_cancellation(d.stock) and any(
        found[0] == d.stock[0] and found[2] == 'wait_for' for found in d.patched_later) and any(
            s['op'] == 'wait_for' and s['delay'] == 0 for s in stock_programs.walk(d.program['main']))


def is_redelivery(d):
    """What the patched side does is to interrupt a task that a CancelledError has reached before."""
    return is_cancellation(d.patched) and was_cancelled(d, d.patched[0])


def outlives_request(d):
    """A task that was asked by cancel() went on with something else, since what it waited for made that of the request,
    and is interrupted at its next yield."""
    task, asked, went_on = task_of(d.program, d.patched[0]), False, False
    for found in d.before:
        if found[2] in ('cancel', 'uncancel') and isinstance(found[3], list):
            if task_of(d.program, found[3][0]) == task:
                asked, went_on = (found[3][2] is True if found[2] == 'cancel' else asked and found[3][1] > 0), False
                continue
        went_on = went_on or task_of(d.program, found[0]) == task
    return is_cancellation(d.patched) and asked and went_on and not was_cancelled(d, d.patched[0])


def shares_redelivery(d):
    """It interrupts a task that waits for the future for which such a task waits as well."""
    return is_cancellation(d.patched) and d.patched[3] is not None and any(
        is_cancellation(found) and found[1:4] == d.patched[1:4] and was_cancelled(d, found[0])
        for found in d.patched_later[1:])


def is_named_finished(d):
    """A group that refuses a task is called finished, and not what it was when it was left."""
    def strip(found):
        return re.sub('<TaskGroup[^>]*>', '', str(found))
    return (same_step(d) and d.stock[2] == 'spawn' and 'finished> is finished' in str(d.patched[3])
            and strip(d.stock) == strip(d.patched))


def host_is_interrupted_again(d):
    """A member of a group is interrupted, since the host, which a CancelledError has reached before, waits for it."""
    groups = {group for name in awaiters(d.program, d.patched[0]) for _, _, group in spawns(d, name)} - {'root'}
    return is_cancellation(d.patched) and any(
        found[2] in ('left', 'group', 'stack') and found[3] in groups and was_cancelled(d, found[0])
        for found in d.patched_later)


def waiters_that_go(d):
    """Who is interrupted while it waits for a future; who would complete that, sees that it is cancelled."""
    if not same_step(d) or d.patched[2] not in ('set', 'cancel_future') or not isinstance(d.patched[3], list) or (
            d.patched[3][1] not in ('done', False)):
        return []
    return [found[0] for found in d.patched_later[1:]
            if is_cancellation(found) and found[1:4] == [d.patched[1], 'wait', d.patched[3][0]]]


def is_gone_again(d):
    """It is one that a CancelledError has reached before."""
    return any(was_cancelled(d, name) for name in waiters_that_go(d))


def keeps_result(d):
    """Where stock raises CancelledError, the patched side has the result, or the error, that was there already."""
    # (What gather(return_exceptions=True) returns can be such errors.)
    returned = d.patched[2] == 'gather' and isinstance(d.patched[-1], list)
    kept = re.sub(r' from CancelledError\([^()]*\)', '', str(d.patched[2:]))
    return (d.stock[:2] == d.patched[:2] and is_cancellation(d.stock) and (returned or 'CancelledError' not in kept))


def is_end_of_run(condition):
    return lambda d: main_has_ended(d) and condition(d)


def both_cancelled(d):
    """Both sides interrupt the same tasks at the same time, in another order."""
    def comes(found, later):
        return any(other[:3] == found[:3] and is_cancellation(other) for other in later)
    return (is_cancellation(d.stock) and is_cancellation(d.patched) and d.stock[0] != d.patched[0]
            and comes(d.patched, d.stock_later) and comes(d.stock, d.patched_later))


def is_asked_once(d):
    """A task that is awaited has been interrupted by one timeout, or by cancel(), and on stock it is once more, by
    another timeout; or what it waits for by then, perhaps as a member of its group."""
    name = task_of(d.program, d.stock[0])
    groups = {group for _, _, group in spawns(d, name)} - {'root'}
    interrupted = was_cancelled(d, d.stock[0]) or any(
        found[1] == d.stock[1] and was_cancelled(d, found[0])
        and (is_cancellation(found) and awaits(d.program, found, {name}) or found[2] == 'left' and found[3] in groups)
        for found in d.stock_later[1:])
    timeouts = sum(s['op'] in ('timeout', 'stack', 'wait_for') for s in stock_programs.walk(d.program['main']))
    asked = any(found[2] == 'cancel' for found in d.before)
    return is_cancellation(d.stock) and interrupted and timeouts > (0 if asked else 1)


def is_asked(d, found, name):
    """The event is a call of cancel() that asks this task, perhaps that of a timer made by hand."""
    if found[2] == 'timer fires':
        asked = [coroutine for coroutine, body in _coroutines(d.program) for s in _own(body)
                 if s['op'] == 'timer' and s['id'] == found[3]]
    else:
        asked = [found[3][0]] if found[2] == 'cancel' and isinstance(found[3], list) and found[3][2] is True else []
    return any(task_of(d.program, each) == name for each in asked)


def has_taken_back(d):
    """Stock interrupts an awaited task by a timeout.  The one that awaits it was asked by cancel() before, and has
    passed that on, but the awaited task has taken it back by uncancel(); it is not asked again during the same yield.
    """
    name, asked, taken_back = task_of(d.program, d.stock[0]), False, False
    hosts = {task_of(d.program, found[0]) for found in d.stock_later[1:] if is_cancellation(found)
             and found[1] == d.stock[1] and awaits(d.program, found, {name})}
    for found in d.before:
        if any(is_asked(d, found, host) for host in hosts):
            asked, taken_back = True, False
        elif asked and found[2] == 'uncancel' and isinstance(found[3], list) and found[3][1] == 0:
            taken_back = taken_back or task_of(d.program, found[3][0]) == name
    return is_cancellation(d.stock) and taken_back and any(
        s['op'] in ('timeout', 'stack', 'wait_for') for s in stock_programs.walk(d.program['main']))


def is_of_destroyed_task(d):
    """A task that was destroyed within a group, or a timeout, ends with another RuntimeError."""
    return (same_step(d) and d.stock[2] in ('ends with', 'stack', 'group', 'timeout')
            and 'RuntimeError' in str(d.stock[-1]) and 'RuntimeError' in str(d.patched[-1])
            and any('was destroyed' in str(found) for found in d.before))


def is_taken_by_destroyed(d):
    """Stock reports the error of a task for which another one waits, and both are destroyed with a group.  As the group
    is left, it cancels what is below it, where stock fails before; so who waits takes the error."""
    if d.stock[2] != 'late handler' or 'never retrieved' not in d.stock[3]:
        return False
    names = {task_of(d.program, found[0]) for found in d.before
             if found[2] == 'ends with' and str(found[3]).startswith(d.stock[-1])}
    return any(str(found[-1]) == 'GeneratorExit()' and awaits(d.program, found, names)
               for found in d.stock_later) and any(
                   found[2] == 'group' and str(found[-1]).startswith('RuntimeError') for found in d.patched_later)


def moved_in_time(d):
    """Both sides do the same at this moment, in another order, and tasks have been cancelled."""
    def comes(found, later):
        return any(other[:3] == found[:3] for other in later)
    return (d.stock[:3] != d.patched[:3] and d.stock[1] == d.patched[1]
            and comes(d.patched, d.stock_later) and comes(d.stock, d.patched_later)
            and any('CancelledError' in str(word) or word == 'cancel' for found in [*d.before, d.stock, d.patched]
                    for word in found[2:]))


def moved_by_redelivery(d):
    """So they do since a task goes on that swallowed a CancelledError, and is interrupted at once at its next yield."""
    return moved_in_time(d) and any(found[2] in ('catches', 'retries') and 'CancelledError' in str(found[3])
                                    for found in d.before)


def moved_by_join(d):
    """So they do since a task that has been asked twice by cancel() waits for the members of a group.  With edge-scopes
    in force the second request does not interrupt that wait, where stock begins it once more."""
    return SCOPES in d.in_force and moved_in_time(d) and any(
        found[2] == 'left' and found[3][0] == 'g' and found[4] > 1 for found in (d.stock, d.patched))


def spawns(d, name):
    """[(the index of the event in which the task of a coroutine was spawned, by whom, the group)]"""
    return [(index, found[0], found[3][1]) for index, found in enumerate(d.before)
            if found[2] == 'spawn' and isinstance(found[3], list) and found[3][0] == name]


def member_hears_at_once(d):
    """A member of a group is interrupted that the host has not told yet, or that was done before it did."""
    return is_cancellation(d.patched) and not was_cancelled(d, d.patched[0]) and any(
        group != 'root' for name in awaiters(d.program, d.patched[0]) for _, _, group in spawns(d, name))


def awaits(program, found, names):
    """The event is the end of a statement that waits for a task or a coroutine of one of these names."""
    name = found[0].split(':')[0].partition('.')[0]
    return any(s['op'] == found[2] and not names.isdisjoint(each.get('id') if each['op'] == 'co' else each.get('of')
                                                            for each in [s, *s.get('items', ())]
                                                            if each['op'] in ('co', 'ref'))
               for coroutine, body in _coroutines(program) if coroutine == name for s in _own(body))


def awaited_by_member(d):
    """A task is interrupted since a member of a group, which hears at once, waits for it, perhaps through others."""
    if not is_cancellation(d.patched):
        return False
    names, grown = {task_of(d.program, d.patched[0])}, True
    waiting = [found for found in d.patched_later[1:] if is_cancellation(found) and found[1] == d.patched[1]]
    while grown:
        hosts = [found for found in waiting if awaits(d.program, found, names)]
        if any(member_hears_at_once(d._replace(patched=found)) for found in hosts):
            return True
        more = names | {task_of(d.program, found[0]) for found in hosts}
        grown, names = more != names, more
    return False


def awaited_by_cancelled(d):
    """A task is interrupted since another one, which is cancelled, begins to wait for it."""
    return is_cancellation(d.patched) and any(
        is_cancellation(found) and found[1] == d.patched[1] and was_cancelled(d, found[0])
        and found[2] in ('ref', 'gather', 'wait_for', 'co', 'stack') for found in d.patched_later[1:])


def hears_once(d):
    """Stock interrupts a member of a group twice as run() ends, since its host tells it later than run() does."""
    task = task_of(d.program, d.stock[0])
    return is_cancellation(d.stock) and any(
        is_cancellation(found) and found[1] == d.stock[1] and task_of(d.program, found[0]) == task
        for found in d.before) and any(
            group != 'root' for name in awaiters(d.program, d.stock[0]) for _, _, group in spawns(d, name))


def is_failed_member(d, found):
    """The event is the end of a member of a group that fails."""
    return found[2] == 'ends with' and not str(found[3]).startswith('CancelledError') and any(
        group != 'root' for _, _, group in spawns(d, found[0].partition('.')[0]))


def member_has_failed(d):
    """A member of a group has just failed, which interrupts the host and the others at once."""
    return is_cancellation(d.patched) and any(found[1] == d.patched[1] and is_failed_member(d, found)
                                              for found in d.before)


def is_lost_by_shield(d):
    """So it has interrupted the wait for what shield() was given, which had just failed.  shield() did not know of that
    yet, and does not take the error any more, which is reported."""
    if d.patched[2] != 'late handler' or 'never retrieved' not in d.patched[3]:
        return False
    for index, failed in enumerate(d.before):
        if failed[2] == 'ends with' and str(failed[3]).startswith(d.patched[-1]):
            now = [found for found in d.before[index + 1:] if found[1] == failed[1]]
            if any(is_failed_member(d, found) for found in now) and any(
                    found[2] == 'shield' and is_cancellation(found)
                    and awaits(d.program, found, {task_of(d.program, failed[0])}) for found in now):
                return True
    return False


def member_never_starts(d):
    """A member of a group starts on stock, for the host has not told it yet, and is cancelled before that here."""
    name = d.stock[0]
    return d.stock[2] == 'start' and not any(found[:1] == [name] for found in d.patched_later) and any(
        group != 'root' for _, _, group in spawns(d, str(name).partition('.')[0]))


def is_late_member(d):
    """A member of a group is interrupted that was spawned below a cancelled scope."""
    return is_cancellation(d.patched) and any(
        group != 'root' and was_cancelled(d._replace(before=d.before[:index]), spawner)
        for name in awaiters(d.program, d.patched[0]) for index, spawner, group in spawns(d, name))


def is_made_late(d):
    """A task that was made after the end of main goes on or is interrupted."""
    ended = False
    for found in d.before:
        if found[0] == 'main' and found[2] in ('ends', 'ends with'):
            ended = True
        if ended and found[2] == 'start' and found[0] == (d.patched[0] or '').split(':')[0]:
            return True
        # One that stock runs since the loop still turns, and that is cancelled before here.
        if (ended and found[2] == 'spawn' and isinstance(found[3], list) and d.stock[2] == 'start'
                and found[3][0] == d.stock[0].partition('.')[0]):
            return True
    return False


def is_report_of_made_late(d):
    """What is reported is the error of a task that was made after the end of main, or of one that waits for it."""
    ended, made = False, set()
    for found in d.before:
        if found[0] == 'main' and found[2] in ('ends', 'ends with'):
            ended = True
        if ended and found[2] == 'start':
            made.add(found[0])
        if found[0] in made and found[2] == 'ends with' and any(
                each[2] == 'late handler' and str(each[-1]) == str(found[3]) for each in (d.stock, d.patched)):
            return True
    return False


def is_report_of_shutdown(d):
    """Stock reports the error of a task that fails as run() cancels it."""
    return d.stock[2] == 'late handler' and 'during asyncio.run() shutdown' in d.stock[3]


def never_starts(d):
    """Stock starts, eagerly, the coroutine of a wait_for() with a time that is over."""
    overdue = {item['id'] for s in stock_programs.walk(d.program['main']) if s['op'] == 'wait_for' and s['delay'] == 0
               for item in s['items'] if item['op'] == 'co'}
    return d.stock[2] == 'start' and d.stock[0].partition('.')[0] in overdue


def is_left_elsewhere(d):
    """An exit stack is filled or closed by another task, and what differs is about that."""
    return any(str(found[0]).endswith(':elsewhere') for found in d.before[-1:] + [d.stock, d.patched]) or any(
        s['op'] == 'stack' and s['how'] != 'here' and any(found[0] == f"{s['id']}:elsewhere" for found in d.before)
        for s in stock_programs.walk(d.program['main'])) and same_step(d) and d.stock[2] == 'stack'


def is_of_generator(left, right):
    """What differs first is the moment at which an abandoned generator is closed, or whether it is at the end of run()
    by a task that nobody awaits or by shutdown_asyncgens()."""
    place = first_difference(left, right)
    events = [event(record, place) or (None, None, None) for record in (left, right)]
    closing, ended = set(), False
    for found in left[:place]:
        ended = ended or found[0] == 'main' and found[2] in ('ends', 'ends with')
        if found[2] == 'generator ends':
            closing.add(found[0])
        elif found[2] == 'generator has ended':
            closing.discard(found[0])
    return any('generator ends' in found or 'asynchronous generator' in str(found) or ended and found[0] in closing
               for found in events)


def times_out(d):
    """A timeout whose deadline is over raises TimeoutError, where stock leaves a CancelledError to others."""
    return (same_step(d) and d.stock[2] in ('timeout', 'stack', 'wait_for', 'ends with')
            and str(d.stock[-1]).startswith('CancelledError') and str(d.patched[-1]).startswith('TimeoutError'))


def has_expiry_added(d, one, other):
    """An error has left a timeout that has expired, and in one event it has the TimeoutError in its chain."""
    added = re.escape(str(other[-1])) + r' after TimeoutError\(\) from CancelledError\([^()]*\)'
    return (same_step(d) and one[2] in ('timeout', 'stack', 'wait_for') and one[:-1] == other[:-1]
            and re.fullmatch(added, str(one[-1])) is not None
            and (one[2] != 'timeout' or d.before[-1][2:5] == ['left', one[3], True]))


def times_out_in_chain(d):
    """An error that leaves such a timeout has the TimeoutError in its chain.  It is one that takes no notice of the
    cancel() that has been called as well, since with edge-cancel in force that does not last."""
    return (CANCEL in d.in_force and has_expiry_added(d, d.patched, d.stock)
            and any(is_asked(d, found, task_of(d.program, d.stock[0])) for found in d.before))


def is_overruled_in_chain(d):
    """An error has no TimeoutError in its chain, since a cancel() that came before the timeout is still in force."""
    return (CANCEL not in d.in_force and has_expiry_added(d, d.stock, d.patched)
            and d.stock[2] == 'timeout' and d.before[-1][5] > 0
            and any(is_asked(d, found, task_of(d.program, d.stock[0])) for found in d.before))


def is_done_in_spite(d):
    """A request that comes after the last yield changes nothing."""
    return (d.stock[0] == 'end' and d.stock[:2] == d.patched[:2] and d.stock[2] == 'cancelled'
            and d.patched[2] != 'pending')


def is_gathered_in_spite(d):
    """gather() returns the result of such a task."""
    results = d.stock[-1], d.patched[-1]
    return same_step(d) and d.stock[2] == 'gather' and all(isinstance(each, list) for each in results) and all(
        one == other or str(one).startswith('CancelledError') for one, other in zip(*results))


def ends_cancelled(d):
    """A coroutine has returned while a request was undelivered: its task ends cancelled."""
    return d.stock[0] == 'end' and d.stock[:2] == d.patched[:2] and d.patched[2] == 'cancelled'


def does_not_yield(d):
    """A group whose members were eager tasks that are done is left at once."""
    if d.patched[2] != 'left' or d.patched[3][0] != 'g':
        return False
    members = [found[3][0] for found in d.before if found[2] == 'spawn' and isinstance(found[3], list)
               and found[3][1] == d.patched[3]]
    return bool(members) and all(any(found[0].partition('.')[0] == member and found[2] in ('ends', 'ends with')
                                     for found in d.before) for member in members)


def ends_at_once(d):
    """run() interrupts a task that on stock has its result, for main has left at once a group whose members have ended
    in the same turn of the loop, or were cancelled before they started."""
    groups = {found[3] for found in d.before if found[:3] == ['main', d.patched[1], 'left'] and found[3][0] == 'g'}
    members = [(found[3][0], found[3][1]) for found in d.before if found[2] == 'spawn' and isinstance(found[3], list)
               and found[3][1] in groups]
    return (d.stock[:3] == d.patched[:3] and is_cancellation(d.patched) and not is_cancellation(d.stock)
            and any(all(is_over(d, member) for member, of in members if of == group)
                    for group in {of for _, of in members}))


def is_over(d, name):
    """A task has ended, or was cancelled before its first step, and had none."""
    own = [found[2] for found in d.before if found[0] == name]
    return 'ends' in own or 'ends with' in own or 'start' not in own and any(
        found[2] == 'cancel' and isinstance(found[3], list) and found[3][:2] == [name, 'new'] for found in d.before)


def spawned_late(d):
    """A group that shuts down takes a task, or one that it has taken is interrupted."""
    return same_step(d) and d.stock[2] == 'spawn' and 'shutting down' in str(d.stock[3])


def deadline_has_passed(d):
    """A timeout had a deadline that was over as it was set."""
    for found in [*d.before, d.stock]:
        if found[2] == 'reschedule' and isinstance(found[3], list) and found[3][1] is not None and (
                found[3][1] <= found[1]):
            return True
    return any(s['op'] in ('timeout', 'stack') and s['delay'] == 0 for s in stock_programs.walk(d.program['main']))


def is_of_past_deadline(d):
    return deadline_has_passed(d) and (
        same_step(d) and d.stock[2] in ('left', 'reschedule') or is_cancellation(d.patched) or is_cancellation(d.stock))


def background_failed(d):
    """A task that was spawned into no group has failed."""
    spawned = {found[3][0] for found in d.before if found[2] == 'spawn' and isinstance(found[3], list)
               and found[3][1] == 'root'}
    return any((found[0].partition('.')[0] in spawned and found[2] == 'ends with'
                or found[0].endswith(':elsewhere') and found[2] == 'ends with')
               and not str(found[3]).startswith('CancelledError') for found in d.before)


def is_closing(d):
    """An abandoned generator was being closed as main ended."""
    return main_has_ended(d) and any(found[2] == 'generator ends' for found in [*d.before, d.stock, d.patched])


def is_closing_itself(d):
    """It is such a generator that goes on or is interrupted."""
    return is_closing(d) and any(':' in str(found[0]) for found in (d.stock, d.patched))


def is_shielded_coroutine(d):
    """shield() was given a coroutine, which has started."""
    shielded = {item['id'] for s in stock_programs.walk(d.program['main']) if s['op'] == 'shield'
                for item in s['items'][:1] if item['op'] == 'co'}
    return any(found[2] == 'start' and found[0].split(':')[0].partition('.')[0] in shielded
               for found in [*d.before, d.stock, d.patched])


def is_below_shield(d):
    """Stock interrupts what shield() was given, or a task that this has made."""
    inside = {s['id'] for shield in stock_programs.walk(d.program['main']) if shield['op'] == 'shield'
              for s in stock_programs.walk(shield['items']) if s['op'] in ('co', 'spawn')}
    return is_cancellation(d.stock) and d.stock[0].split(':')[0].partition('.')[0] in inside


# (rule, the changes that it is a part of, its condition): the first one counts.
RULES = [
    ('8.1', [SHIELD], is_shielded_coroutine),
    ('8.1', [CANCEL], is_end_of_run(is_below_shield)),
    ('7.2', [BACKGROUND], background_failed),
    ('7.8', [BACKGROUND], is_closing),
    ('7.8', [CANCEL], is_closing_itself),
    ('5.3', [CANCEL, SCOPES], counts_differ),
    ('2.9', [CANCEL, SCOPES], messages_differ),
    ('2.5', [CANCEL, SCOPES], runs_at_all),
    ('2.5', [CANCEL], is_overdue_wait_for),
    ('2.5', [CANCEL], never_starts),
    ('3.7', [SCOPES], is_of_past_deadline),
    ('6.2', [SCOPES], spawned_late),
    ('2.1', [CANCEL, SCOPES], is_redelivery),
    ('2.1', [CANCEL, SCOPES], shares_redelivery),
    ('2.2', [CANCEL], outlives_request),
    ('2.2', [SCOPES], waits_for_what_it_cancelled),
    ('2.1', [CANCEL, SCOPES], host_is_interrupted_again),
    ('2.1', [CANCEL, SCOPES], is_gone_again),
    ('2.3', [SCOPES], waiters_that_go),
    ('3.10', [SCOPES], is_named_finished),
    ('2.3', [SCOPES], keeps_result),
    ('2.3', [CANCEL], is_end_of_run(keeps_result)),
    ('7.4', [CANCEL], is_end_of_run(both_cancelled)),
    ('1.2', [SCOPES], both_cancelled),
    ('6.2', [CANCEL, SCOPES], is_late_member),
    ('1.2', [SCOPES], member_hears_at_once),
    ('1.2', [SCOPES], awaited_by_member),
    ('1.2', [SCOPES], member_never_starts),
    ('1.2', [SCOPES], is_end_of_run(hears_once)),
    ('6.3', [SCOPES], member_has_failed),
    ('6.3', [SCOPES], is_lost_by_shield),
    ('5.6', [CANCEL, SCOPES], awaited_by_cancelled),
    ('4.4', [CANCEL, SCOPES], is_left_elsewhere),
    ('4.1', [CANCEL, SCOPES], times_out),
    ('4.1', [CANCEL], is_overruled_in_chain),
    ('4.3', [SCOPES], times_out_in_chain),
    ('5.2', [CANCEL], ends_cancelled),
    ('2.6', [SCOPES], is_done_in_spite),
    ('2.6', [SCOPES], is_gathered_in_spite),
    ('2.6', [CANCEL], is_end_of_run(is_done_in_spite)),
    ('7.4', [CANCEL, BACKGROUND], is_made_late),
    ('7.4', [CANCEL, BACKGROUND], is_report_of_made_late),
    ('7.4', [CANCEL, BACKGROUND], is_report_of_shutdown),
    ('6.5', [SCOPES], does_not_yield),
    ('6.5', [SCOPES], is_end_of_run(ends_at_once)),
    ('6.4', [SCOPES], is_of_destroyed_task),
    ('6.4', [SCOPES], is_taken_by_destroyed),
    ('2.2', [SCOPES], is_asked_once),
    ('2.2', [SCOPES], has_taken_back),
    ('2.3', [SCOPES], moved_in_time),
    ('7.4', [CANCEL], is_end_of_run(moved_in_time)),
    ('2.1', [CANCEL], moved_by_redelivery),
    ('6.4', [CANCEL], moved_by_join),
]
