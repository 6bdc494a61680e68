"""Which runs a project needs, and what follows from their outcomes.

Stock runs three times.  A test whose outcome is not the same each time is *flaky* and counts for nothing; so is one that has
another name each time, such as one with the address of an object in it.  The patched interpreter runs twice: a test that is
fine on stock and not on the patched interpreter in the first run is a *candidate*; if it fails there in the second run as
well it is a *regression*, else it is flaky.

A regression is *attributed* to legacy switches.  The candidates alone are run again, first on stock and on the patched
interpreter without a switch: only if they pass there and fail here does a selection show what the whole suite shows;
otherwise the whole suite is run under each switch.  Then they are run under each switch alone and under `all`.

    passes under X alone            attributed to X (to each X that helps, if there are several)
    under no single one, but `all`  attributed to those without which it fails, joined by +: run under all but one,
                                    and under all but two of which either may be enough
    fails under `all` too           'none': a bug of ours or a change without a switch, to be looked into

The regressions are run once more under FIRST_STEP, the switches that leave in force what is proposed first.  For the runs
with AnyIO's native backend, which nothing is attributed by, see native.py.
"""

import collections
import dataclasses
import itertools

SWITCHES = 'edge-cancel', 'edge-scopes', 'background-errors', 'unretrieved-only', 'shield', 'signals'
# The proposal's first step: scopes, timeout(), TaskGroup and cancel() of groups as here, everything else as on stock.
# (background-errors takes back all that unretrieved-only does.)
FIRST_STEP = 'edge-cancel,background-errors,shield,signals'
# Pairs of which one can do for a test what the other does.  `unretrieved-only` takes back a part of what
# `background-errors` does; `edge-cancel` and `edge-scopes` are two sources of level cancellation, and a test that is
# interrupted by both may need either or both of them.
_ALTERNATIVES = ('edge-cancel', 'edge-scopes'), ('background-errors', 'unretrieved-only')
STOCK_RUNS = 3
PATCHED_RUNS = 2


@dataclasses.dataclass(frozen=True)
class Plan:
    """One run: on which interpreter, with which switches, of which tests."""
    variant: str
    switches: str = ''
    scope: str = 'all'  # 'all' tests, or the 'candidates' only
    number: int = 1

    @property
    def name(self):
        """What its file is called."""
        return '-'.join(filter(None, [self.variant, self.switches.replace(',', '+'),
                                      '' if self.scope == 'all' else self.scope, str(self.number)]))


def base_plans():
    """The runs that every project needs."""
    return [*(Plan('stock', number=number + 1) for number in range(STOCK_RUNS)),
            *(Plan('patched', number=number + 1) for number in range(PATCHED_RUNS))]


def all_but(*switches):
    """The value that means all switches but these."""
    return ','.join(name for name in SWITCHES if name not in switches)


def _without():
    """The switches left out, one after the other, to find out what it takes."""
    return [*((switch,) for switch in SWITCHES), *_ALTERNATIVES]


def _groups():
    """Return the pairs of alternatives, and each other switch by itself."""
    paired = set(itertools.chain(*_ALTERNATIVES))
    return [*_ALTERNATIVES, *((switch,) for switch in SWITCHES if switch not in paired)]


class Attribution:
    """Goes through a project's runs and asks for more of them.

    Args:
        runs: {Plan: Run}, those that there are.
    """

    def __init__(self, runs):
        self.runs = runs
        stock = [runs[plan] for plan in base_plans() if plan.variant == 'stock']
        patched = [runs[plan] for plan in base_plans() if plan.variant == 'patched']
        self.tests = sorted(set().union(*(run.outcomes for run in stock + patched)))
        kinds = {test: {_kind(run, test) for run in stock} for test in self.tests}
        self.flaky = {test for test in self.tests if len(kinds[test]) > 1 or kinds[test] == {'absent'}}
        self.fine_on_stock = {test for test in self.tests if test not in self.flaky and _fine(stock[0], test)}
        self.candidates = {test for test in self.fine_on_stock if not _fine(patched[0], test)}
        self.mended = {test for test in self.tests if test not in self.flaky and not _fine(stock[0], test)
                       and all(_fine(run, test) for run in patched)}
        self.unsteady = {test for test in self.fine_on_stock
                         if len({_fine(run, test) for run in patched}) > 1}
        self.regressions = self.candidates - self.unsteady
        self.flaky |= self.unsteady

    def wanted(self):
        """Returns the next plans that are needed, [] if there are none."""
        if not self.regressions:
            return []
        first = [Plan('stock', scope='candidates'), Plan('patched', scope='candidates')]
        if absent := self._absent(first):
            return absent
        scopes = {self._scope(test) for test in self.regressions}
        single = [Plan('patched', switches, scope) for scope in sorted(scopes)
                  for switches in (*SWITCHES, FIRST_STEP, 'all')]
        if absent := self._absent(single):
            return absent
        combined = {test for test in self.regressions
                    if not self._helping(test) and self._fine_under('all', test)}
        scopes = {self._scope(test) for test in combined}
        return self._absent([Plan('patched', all_but(*switches), scope) for scope in sorted(scopes)
                             for switches in _without()])

    def attribute(self):
        """Returns {regression: [switch, ...]}, ['none'] where no switch helps."""
        result = {}
        for test in sorted(self.regressions):
            helping = self._helping(test)
            if not helping and self._fine_under('all', test):
                helping = self._combinations(test)
            result[test] = helping or ['none']
        return result

    def _combinations(self, test):
        """Returns the combinations of switches that it takes; ['all'] if that cannot be told."""
        def needed(*switches):
            return not self._fine_under(all_but(*switches), test)

        choices = []  # for each group, the selections from it that are enough
        for group in _groups():
            required = [switch for switch in group if needed(switch)]
            if required:
                choices.append([required])
            elif len(group) > 1 and needed(*group):
                choices.append([[switch] for switch in group])
        combinations = [list(itertools.chain(*chosen)) for chosen in itertools.product(*choices)]
        # (Each single one has failed, so that one alone is chance.)
        return ['+'.join(sorted(names, key=SWITCHES.index)) for names in combinations if len(names) > 1] or ['all']

    def _absent(self, plans):
        return [plan for plan in plans if plan not in self.runs]

    def _scope(self, test):
        """Tells whether a run of the candidates alone shows what becomes of a test."""
        stock = self.runs[Plan('stock', scope='candidates')]
        patched = self.runs[Plan('patched', scope='candidates')]
        return 'candidates' if _fine(stock, test) and not _fine(patched, test) else 'all'

    def _fine_under(self, switches, test):
        run = self.runs.get(Plan('patched', switches, self._scope(test)))
        return run is not None and _fine(run, test)

    def _helping(self, test):
        return [switch for switch in SWITCHES if self._fine_under(switch, test)]

    def fine_in_the_first_step(self):
        """Return the regressions that are none in the proposal's first step."""
        return {test for test in self.regressions if self._fine_under(FIRST_STEP, test)}

    def summary(self):
        """Returns figures to print."""
        return collections.OrderedDict(
            tests=len(self.tests), flaky=len(self.flaky), failing_on_stock=len(
                set(self.tests) - self.fine_on_stock - self.flaky),
            regressions=len(self.regressions), mended=len(self.mended))


def _fine(run, test):
    """A test that has not been run, such as after a crash of the whole, is not fine."""
    return test in run.outcomes and run.outcomes[test].fine


def _kind(run, test):
    """Passing and being skipped are different; how it fails is not."""
    outcome = run.outcomes.get(test)
    return 'absent' if outcome is None else outcome.outcome if outcome.fine else 'bad'
