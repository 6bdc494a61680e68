"""AnyIO's own test suite, unmodified, in three ways: see WAYS.

The result is compared by test: nothing may fail on the patched interpreter with the native backend that passes on the
stock interpreter with AnyIO's own, except for what EXPECTED lists.
"""

import dataclasses
import os
import re
import shutil
import tarfile
import xml.etree.ElementTree

from tools import ui
from tools import wheel

VERSION = '4.16.0'
_LOCK = 'survey/locks/anyio.txt'  # what it needs, at the versions that the survey has
_SELECTION = 'not trio'
BACKENDS = 'asyncio', 'asyncio+eager', 'asyncio+uvloop', 'none'
# Title -> the variant, and the value of ASYNCBIS_ANYIO.
WAYS = {
    'stock interpreter, stock backend': ('stock', '0'),
    'patched interpreter, stock backend': ('release', '0'),
    'patched interpreter, native backend': ('release', '1'),
}
STOCK, _, NATIVE = WAYS
# Tests that look at what AnyIO's own backend does inside.
EXPECTED = {
    'test_taskgroups::test_cancel_with_nested_task_groups':
        'counts the calls of CancelScope._deliver_cancellation(), the polling that there is none of',
    'test_taskgroups::test_no_spin_on_done_task_in_cancel_scope':
        'counts the calls of CancelScope._deliver_cancellation() and reads CancelScope._cancel_handle',
}
_AGAIN = 3  # times that a test is run alone before its failure counts
_LIMIT = 45 * 60
# All that the suite connects to is on this machine.  It looks up names with AI_ADDRCONFIG, for which a machine without
# an address besides those of the loopback interface has none.  (One test asks the DNS; it fails on stock as well.)
_NAMESPACE = ' && '.join(('mount --bind "$0" /etc/hosts', 'ip link set lo up', 'ip addr add 192.0.2.1/24 dev lo',
                          'ip addr add 2001:db8::1/64 dev lo nodad', 'ip addr add fe80::1/64 dev lo nodad',
                          'exec "$@"'))
_HOSTS = '127.0.0.1 localhost\n::1 localhost\n'


@dataclasses.dataclass
class Run:
    """The outcome of each test: {name: 'passed', 'failed' or 'skipped'}; an expected failure is 'skipped'."""
    outcomes: dict

    def count(self, backend):
        counts = dict.fromkeys(('passed', 'failed', 'skipped'), 0)
        for name, outcome in self.outcomes.items():
            if backend_of(name) == backend:
                counts[outcome] += 1
        return counts


def backend_of(name):
    """Return the backend that a test is for, 'none' if it is for no particular one."""
    found = re.search(r'\[(?:.*-)?(asyncio(?:\+eager|\+uvloop)?)(?:-.*)?\]$', name)
    return found[1] if found else 'none'


def base_of(name):
    """Return the name of a test without its parameters."""
    return name.partition('[')[0]


def parse(report):
    """Return the Run that a report of pytest in JUnit's format tells of."""
    outcomes = {}
    for case in xml.etree.ElementTree.fromstring(report).iter('testcase'):
        name = f'{case.get("classname").removeprefix("tests.").replace(".", "::")}::{case.get("name")}'
        kinds = {child.tag for child in case}
        outcome = 'failed' if kinds & {'failure', 'error'} else 'skipped' if 'skipped' in kinds else 'passed'
        # (A test whose tear-down fails is reported twice.)
        if outcomes.get(name) != 'failed':
            outcomes[name] = outcome
    return Run(outcomes)


def regressions(runs):
    """Return the tests that fail in the native way and pass in the stock way, of runs, {way: Run}."""
    stock, native = runs[STOCK].outcomes, runs[NATIVE].outcomes
    return sorted(name for name, outcome in native.items() if outcome == 'failed' and stock.get(name) == 'passed')


class Suite:
    """Runs it.

    Args:
        project: the Project.
        pythons: {variant: path of the interpreter}.
    """

    def __init__(self, project, pythons):
        self._project = project
        self._pythons = pythons
        self._folder = project.build / 'verify' / 'anyio'

    def run(self):
        """Return (figures, problem)."""
        self._prepare()
        runs = {way: self._run(way) for way in WAYS}
        for way in (STOCK, NATIVE):
            # Under load, and after other tests, some fail that do not alone.
            outcomes = runs[way].outcomes
            for _ in range(_AGAIN):
                names = [name for name, outcome in outcomes.items() if outcome == 'failed'
                         and base_of(name) not in EXPECTED
                         and (way == STOCK or runs[STOCK].outcomes.get(name) == 'passed')]
                if not names:
                    break
                again = self._run(way, names).outcomes
                outcomes.update({name: 'passed' for name in names if again.get(name) == 'passed'})
        return summarize(runs)

    def _prepare(self):
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        (self._folder / 'hosts').write_text(_HOSTS, encoding='utf-8')
        for variant in sorted({variant for variant, _ in WAYS.values()}):
            self._command(f'AnyIO {VERSION} on {variant}: making an environment',
                          [self._pythons[variant], '-m', 'venv', self._folder / variant])
            self._pip(variant, 'install', '--requirement', self._project.root / _LOCK)
            name, data = wheel.make(self._project.root)
            (self._folder / name).write_bytes(data)
            self._pip(variant, 'install', '--force-reinstall', '--no-index', self._folder / name)
        self._pip('stock', 'download', '--no-deps', '--no-binary', 'anyio', '--dest', self._folder, f'anyio=={VERSION}')
        with tarfile.open(self._folder / f'anyio-{VERSION}.tar.gz') as archive:
            archive.extractall(self._folder)

    def _pip(self, variant, verb, *arguments):
        self._command(f'AnyIO {VERSION} on {variant}: pip {verb}',
                      [self._folder / variant / 'bin' / 'python', '-m', 'pip', '--disable-pip-version-check', verb,
                       *arguments])

    def _command(self, what, command, *, environment=None, cwd=None, check=True):
        slug = re.sub(r'[^a-z0-9]+', '-', what.lower().removeprefix(f'anyio {VERSION}'))
        try:
            ui.run_logged(what, [str(word) for word in command], log=self._project.logs / f'verify-anyio{slug}.log',
                          cwd=cwd or self._project.root, env=ui.clean_environment(**(environment or {})),
                          hint='The network is needed for the packages, and root for a network of its own.',
                          limit=_LIMIT)
        except ui.UserError:
            if check:
                raise

    def _run(self, way, names=None):
        variant, native = WAYS[way]
        report = self._folder / 'report.xml'
        report.unlink(missing_ok=True)
        sources = self._folder / f'anyio-{VERSION}'
        options = ['-k', _SELECTION]
        if names is not None:
            listed = self._folder / 'names.txt'
            listed.write_text(''.join(f'{_node(name, sources)}\n' for name in names), encoding='utf-8')
            options = [f'@{listed}']
        namespace = ['unshare', '--net', '--mount', *(['--map-root-user'] if os.getuid() else [])]
        self._command(f'AnyIO {VERSION}: {way}' + (f', {len(names)} once more' if names else ''), [
            *namespace, 'sh', '-c', _NAMESPACE, self._folder / 'hosts',
            self._folder / variant / 'bin' / 'python', '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '--tb=short',
            f'--junitxml={report}', *options], environment={'ASYNCBIS_ANYIO': native}, cwd=sources, check=False)
        if not report.exists():
            raise ui.UserError(f'AnyIO {VERSION}: {way}: pytest has left no report.\n'
                               f'  The log is one of {self._project.logs}/verify-anyio-*.log')
        return parse(report.read_text(encoding='utf-8'))


def _node(name, sources):
    """Return what pytest calls a test."""
    base, bracket, parameters = name.partition('[')
    parts = base.split('::')
    # A module can be in a folder.
    for count in range(1, len(parts)):
        path = '/'.join(('tests', *parts[:count])) + '.py'
        if (sources / path).exists():
            return '::'.join([path, *parts[count:]]) + bracket + parameters
    raise ui.UserError(f'AnyIO {VERSION}: there is no module of the test {name}')


def summarize(runs):
    """Return (figures, problem) of runs, {way: Run}."""
    found = regressions(runs)
    new = [name for name in found if base_of(name) not in EXPECTED]
    figures = {
        'version': VERSION,
        'ways': {way: {backend: run.count(backend) for backend in BACKENDS} for way, run in runs.items()},
        'expected': {base: EXPECTED[base] for base in sorted({base_of(name) for name in found} & EXPECTED.keys())},
        'failed': {way: sorted(name for name, outcome in run.outcomes.items() if outcome == 'failed')
                   for way, run in runs.items()},
        'new_failures': new,
    }
    return figures, '\n    '.join([f'{len(new)} tests of AnyIO fail with the native backend only:', *new]
                                  ) if new else None
