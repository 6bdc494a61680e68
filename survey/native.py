"""The column `native AnyIO`: the tests of projects that bring AnyIO, with the package anyio-asyncbis installed as well.

The environments of the other columns do not have the package.  Here all tests of the project are run, not only the
regressions, since the package could break what is fine without it.  They are compared with stock: a test that is fine
there three times and fails with the package twice is *left*, and *new* if it is no regression without the package.  If
the first run has no such test there is none, and no second run; both are of the whole suite, as those of the column
`default` are.

The package stays off with versions of AnyIO that it does not know.  Whether its backend is active is asked in the
environment, in the way that the tests are run; where it is not, there are no runs to report.
"""

import hashlib
import json
import re
import zipfile

from packaging import utils

from survey.attribution import Plan
from survey.projects import SurveyError

# The name of the interpreter with the package, beside 'stock' and 'patched'.
VARIANT = 'native'
RUNS = 2

# What a result says of the runs: there are some; the package stays off; the environment has no AnyIO.
ACTIVE, OFF, ABSENT = 'active', 'off', 'absent'

# Run in the environment.  All that it asks of AnyIO is public.
PROBE = '''
import asyncio, importlib.metadata, json, warnings
warnings.simplefilter('ignore')
import anyio, asyncbis_anyio

async def is_active():
    return isinstance(anyio.CancelScope(), asyncio.CancelScope)

print(json.dumps({'anyio': importlib.metadata.version('anyio'), 'tested': asyncbis_anyio.TESTED_VERSIONS,
                  'active': anyio.run(is_active)}))
'''


class Off(Exception):
    """The package does not know the version of AnyIO that is in the environment.

    Attributes:
        version: of AnyIO.
    """

    def __init__(self, version):
        super().__init__(f'off: anyio {version}')
        self.version = version


class Package:
    """The wheel of anyio-asyncbis.

    Attributes:
        path: where it is.
        identity: changes with what it installs, and not with what is said of it.
    """

    def __init__(self, path):
        self.path = path
        digest = hashlib.sha256()
        with zipfile.ZipFile(path) as wheel:
            for name in sorted(wheel.namelist()):
                if '.dist-info/' not in name:
                    digest.update(json.dumps([name, hashlib.sha256(wheel.read(name)).hexdigest()]).encode())
        self.identity = digest.hexdigest()[:40]


def find_anyio(lock):
    """Return the version of AnyIO in the text of a lock file, or None."""
    for line in lock.splitlines():
        found = re.match(r'\s*([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*==\s*([^\s;]+)', line)
        if found and utils.canonicalize_name(found[1]) == 'anyio':
            return found[2]
    return None


def check(project, answer):
    """Look at what PROBE has printed.

    Raises:
        Off: the package does not know this version of AnyIO.
        SurveyError: it knows it, and yet its backend is not there; or the other way round.
    """
    try:
        told = json.loads(answer.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise SurveyError(f'{project.name}: AnyIO cannot be asked for its backend; it said: {answer!r}') from None
    known = told['anyio'] in told['tested']
    if known != told['active']:
        raise SurveyError(
            f'{project.name}: anyio-asyncbis {"knows" if known else "does not know"} AnyIO {told["anyio"]}, but AnyIO '
            f'{"uses" if told["active"] else "does not use"} its backend. See anyio_backend/README.md for how it should '
            f'get there.')
    if not known:
        raise Off(told['anyio'])


def check_run(project, run):
    """Look at whose backend the tests have used.

    Raises:
        SurveyError: it is not that of the column.
    """
    if run.anyio == ('stock' if run.variant == VARIANT else 'native'):
        turned = 'off' if run.anyio == 'stock' else 'on'
        raise SurveyError(f'{project.name}: the tests of a run on {run.variant} used the {run.anyio} backend of AnyIO. '
                          f'Find out what in their environment turns anyio-asyncbis {turned}.')


class Comparison:
    """What the runs with the package say.

    Args:
        found: the Attribution of the project.
        runs: {Plan: Run}, those with the package that there are.
    """

    def __init__(self, found, runs):
        self._found = found
        self._runs = runs
        self._plans = [Plan(VARIANT, number=number + 1) for number in range(RUNS)]

    def wanted(self):
        """Return the next plan that is needed, None if there is none."""
        if len(self._runs) < RUNS and all(self._failing(run) for run in self._runs.values()):
            return self._plans[len(self._runs)]
        return None

    def _failing(self, run):
        return {test for test in self._found.fine_on_stock
                if test not in run.outcomes or not run.outcomes[test].fine}

    def describe(self, clean, *, anyio, package):
        """Return what a result says of the package; clean makes a log fit for it."""
        failing = [self._failing(run) for run in self._runs.values()]
        # With fewer runs than RUNS the last one had nothing that fails.
        left = set.intersection(*failing)
        unsteady = set.union(*failing) - left
        last = [*self._runs.values()][-1]

        def entry(test):
            outcome = last.outcomes.get(test)
            return {'native': outcome.outcome if outcome else 'absent',
                    'log': clean(outcome.log if outcome else '')[-4000:]}

        return {
            'state': ACTIVE, 'anyio': anyio, 'package': package,
            # The tests of some projects do without AnyIO, although it is there.
            'used': any(run.anyio is not None for run in self._runs.values()),
            'left': {test: entry(test) for test in sorted(left)},
            'repaired': sorted(self._found.regressions - left - unsteady),
            'flaky': sorted(unsteady),
        }


def complete(results, locks):
    """Mark those results that are older than the column, and need no runs for it, since there is no AnyIO.

    Args:
        results: {name: result}.
        locks: the folder with the lock files.
    """
    for name, result in results.items():
        lock = locks / f'{name}.txt'
        if 'native_anyio' not in result and lock.exists() and find_anyio(lock.read_text(encoding='utf-8')) is None:
            result['native_anyio'] = {'state': ABSENT}


def find_new(result):
    """Return the tests of a project that fail only with the package."""
    return [test for test in result['native_anyio'].get('left', {}) if test not in result['regressions']]


def count(result):
    """Return how many tests of a project fail with the package; None if that has not been tried.

    Where the package has nothing to do, these are the regressions.
    """
    entry = result.get('native_anyio')
    if entry is None:
        return None
    return len(entry['left']) if entry['state'] == ACTIVE else len(result['regressions'])


def summarize(results):
    """Return figures for the report from {name: result}, what depends on chance set aside."""
    entries = {name: result['native_anyio'] for name, result in results.items() if result.get('native_anyio')}
    active = {name: entry for name, entry in entries.items() if entry['state'] == ACTIVE}
    missing = [name for name in results if name not in entries]
    return {
        'missing': missing,
        'off': {name: entry['anyio'] for name, entry in entries.items() if entry['state'] == OFF},
        'absent': sorted((name for name, entry in entries.items() if entry['state'] == ABSENT), key=str.lower),
        'active': {name: entry['anyio'] for name, entry in active.items()},
        'versions': sorted({entry['anyio'] for entry in active.values()}),
        'used': [name for name, entry in active.items() if entry['used']],
        'packages': sorted({entry['package'] for entry in active.values()}),
        # Of the projects that have such runs.
        'regressions': sum(len(results[name]['regressions']) for name in active),
        'left': sum(len(entry['left']) for entry in active.values()),
        'new': sum(len(find_new(results[name])) for name in active),
        'flaky': sum(len(entry['flaky']) for entry in active.values()),
        'repaired': sum(len(entry['repaired']) for entry in active.values()),
        # Of all projects, with and without AnyIO.
        'total': None if missing else sum(count(result) for result in results.values()),
    }
