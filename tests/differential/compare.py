"""Run one program on both sides and tell what is different.

If all of Trio's schedules agree about a program, asyncbis has to do the same: the program is "compared" (the Verdict is
"same"). If they do not, what each task does on asyncbis has to be what that task does in one of Trio's schedules at
least: it is "matched". And all programs, also those that Trio cannot run, are run in C and in Python, which have to
agree about everything.
"""

import random
import traceback

from .asyncbis_side import CONFIGURATIONS, AsyncbisMachine
from .programs import ASYNCIO_ONLY, walk
from .trio_side import Schedule, TrioMachine

PARITY = [('C lazy', 'Python lazy'), ('C eager', 'Python eager')]
EXTRA_SCHEDULES = 60    # Looked at before a divergence is believed.
# The same, for a program that depends on the schedule.  Most are matched by one of the first few; but a schedule in 150
# has been all there was.
MATCH_SCHEDULES = 5000


class Verdict:
    """What became of a program.

    kind -- "same" or "matched", "discarded"; "divergence" or "unmatched" (Trio is different), "parity" (C and Python
        differ), "crash"
    why -- the reason why it was discarded, the configuration that differs, or the traceback
    expected, found -- the traces, by task; for "parity", the records
    stats -- how often each op was run, and what happened in the course of that
    """

    def __init__(self, kind, why=None, expected=None, found=None, stats=None):
        self.kind, self.why, self.expected, self.found, self.stats = kind, why, expected, found, stats

    @property
    def failed(self):
        return self.kind in ('divergence', 'unmatched', 'parity', 'crash')

    @property
    def label(self):
        if self.kind == 'crash':
            return 'crash'      # Where may be different each time.
        return self.kind if self.why is None else f'{self.kind}: {self.why}'


def schedules(seed):
    """The few schedules that each program is run with, those first that tell most."""
    yield Schedule(seed)
    yield Schedule(seed + 1, noise=0.5, jitter=True, eager=True)
    yield Schedule(seed + 2, noise=0.6, jitter=True)
    yield Schedule(seed + 3, noise=0.2, jitter=True, eager=True)


def more_schedules(seed, count):
    rng = random.Random(seed)
    for number in range(count):
        yield Schedule(seed + 100 + number, noise=rng.choice([0, 0.2, 0.5, 0.8]), jitter=rng.random() < 0.6,
                       eager=rng.random() < 0.5, alarm=rng.random() < 0.5)


SCHEDULE = 'depends on the schedule'
HANDED_OVER = 'condition'    # N11
NEVER_EAGER = 'eager'        # In each schedule, tasks had to wait where in asyncio they do not.
ONLY_PARITY = 'Trio has not all of it'


def run_trio(program, some_schedules, expected=None):
    """Return what Trio makes of it, or the reason to discard the program; the other is None. And the statistics."""
    stats = None
    for schedule in some_schedules:
        machine = TrioMachine(program, schedule).run()
        stats = stats or machine.stats
        if machine.discard:
            return None, machine.discard, stats
        if machine.handed_over:
            return None, SCHEDULE, stats
        traces = machine.traces()
        if expected is None:
            expected = traces
        elif traces != expected:
            return None, SCHEDULE, stats
    return expected, None, stats


def check(program, seed, configurations=CONFIGURATIONS, with_parity=True):
    """Return the Verdict on a program."""
    machines = {configuration: AsyncbisMachine(program, configuration).run() for configuration in configurations}
    tied = 0
    if with_parity:
        for one, other in PARITY:
            if one in machines and other in machines and machines[one].record != machines[other].record:
                # In which order timers go off that are due at the same time nobody promises: C has one timer for all
                # deadlines. It has to happen without that as well.
                records = [AsyncbisMachine(program, which, apart=True).run().record for which in (one, other)]
                if records[0] != records[1]:
                    return Verdict('parity', f'{one} and {other}', *records)
                tied += 1
    for machine in machines.values():
        if machine.discard:
            return Verdict('discarded', machine.discard)
    if any(s['op'] in ASYNCIO_ONLY for s in walk(program['main'])):
        return Verdict('discarded', ONLY_PARITY)
    expected, why, stats = run_trio(program, schedules(seed))
    if tied:
        stats['! timers tied'] += 1
    if why == SCHEDULE:
        return match(program, seed, machines)
    if why is not None:
        return Verdict('discarded', why)
    for configuration, machine in machines.items():
        traces = machine.traces()
        if traces != expected:
            _, why, _ = run_trio(program, more_schedules(seed, EXTRA_SCHEDULES), expected)
            if why == SCHEDULE:
                return match(program, seed, machines)
            if why is None and AsyncbisMachine(program, configuration, slow_groups=True).run().traces() == expected:
                # It is only that a group without members ends at once, and in Trio other tasks can run meanwhile.
                why = NEVER_EAGER
            if why is not None:
                return Verdict('discarded', why)
            return Verdict('divergence', configuration, expected, traces)
    return Verdict('same', stats=stats)


def match(program, seed, machines):
    """The Verdict on a program that depends on the schedule."""
    missing = {(configuration, task): trace for configuration, machine in machines.items()
               for task, trace in machine.traces().items()}
    faithful, handed_over = False, False
    for schedule in [*schedules(seed), *more_schedules(seed, MATCH_SCHEDULES)]:
        machine = TrioMachine(program, schedule).run()
        if machine.discard:
            return Verdict('discarded', machine.discard)
        faithful = faithful or schedule.eager and not machine.watch.interleaved
        handed_over = handed_over or machine.handed_over
        traces = machine.traces()
        missing = {key: trace for key, trace in missing.items() if trace != traces.get(key[1])}
        if not missing:
            return Verdict('matched')
    if handed_over:
        return Verdict('discarded', HANDED_OVER)
    if not faithful:
        missing = {key: trace for key, trace in missing.items() if not key[0].endswith('eager')}
        if not missing:
            return Verdict('discarded', NEVER_EAGER)
    (configuration, task), trace = next(iter(missing.items()))
    return Verdict('unmatched', configuration, {task: traces.get(task, [])}, {task: trace})


def check_safely(program, seed, *args, **kwargs):
    """Like check(); an error that comes out of the library is a verdict as well."""
    try:
        return check(program, seed, *args, **kwargs)
    except Exception:
        return Verdict('crash', traceback.format_exc())
