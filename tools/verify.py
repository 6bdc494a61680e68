"""verify: the checks that take too long for every day.

What each comes to is written into tests/results/NAME.json, from where docs/testing.md has its figures (see figures.py).
"""

import dataclasses
import datetime
import json
import os
import re
import shutil
import sys
import time

from tools import anyio_suite
from tools import coverage
from tools import figures
from tools import modules as modules_module
from tools import plain
from tools import processes
from tools import project as project_module
from tools import python_environment
from tools import source
from tools import tree as tree_module
from tools import ui
from tools import variants

# The variants whose test_asyncio is run: all that are patched, but for the one whose tests are a check of their own.
_VARIANTS = tuple(name for name, variant in variants.VARIANTS.items() if variant.patched and name != coverage.VARIANT)
# The variants that the threads are stressed on, and for how many seconds.
_THREADS = {'free-threaded': 60, 'tsan': 120}
# The seconds that a module may take on a slow variant; on others, 900.
_TIMEOUTS = {'asan': 1800, 'ubsan': 1800, 'debug': 1800, 'tsan': 3600}
# How often what differs between the variants is run again, in order to tell chance from change.
_AGAIN = 3
_SOAK_MINUTES = 3
_PROGRAMS = {'scopes and groups': 210_000, 'background tasks': 20_000}  # of the differential test
_DIFFERENTIAL = 'tests/differential/run.py'
_STOCK_PROGRAMS = 200_000  # of the differential test against stock
_AGAINST_STOCK = 'tests/differential/against_stock.py'
_REQUIREMENTS = 'tests/differential/requirements.txt'
_PARITY = 'tests/test_parity.py'
_EVERY_TICK = 'tests/every_tick'


@dataclasses.dataclass(frozen=True)
class Check:
    """One of the checks."""
    about: str
    minutes: str
    function: str  # the method of Verification
    variants: tuple = ()  # if it is run for each of these on its own


CHECKS = {
    'variants': Check('all of test_asyncio on each variant', '3 to 40 each', 'variant', _VARIANTS),
    'leaks': Check('all of test_asyncio, repeated on the debug variant, looking for references that grow', '40',
                   'leaks'),
    'coverage': Check('the lines and branches of the C code that test_asyncio runs', '15', 'coverage'),
    'soak': Check('a random workload for hours of virtual time: memory stays what it was', '7', 'soak'),
    'threads': Check('many loops in many threads at once', '3 each', 'threads', tuple(_THREADS)),
    'stdlib': Check('the whole test suite of CPython, patched against stock', '50', 'stdlib'),
    'differential': Check('random programs, on Trio and on this asyncio', '30', 'differential'),
    'against-stock': Check('random programs of the API of stock, on stock and on this asyncio', '60', 'against_stock'),
    'every-tick': Check('every API interrupted at every turn of the loop, patched against stock, and on uvloop', '40',
                        'every_tick'),
    'anyio': Check("AnyIO's own tests: stock, patched, and patched with the native backend", '15', 'anyio'),
    'parity': Check('each test of ours runs in C and in Python, with lazy and with eager tasks', '1', 'parity'),
    'prefixes': Check('test_asyncio on every prefix of the series', '45', 'prefixes'),
    'export': Check("what `export --patch` writes, on a plain tarball: it builds, and test_asyncio passes", '6', 'export'),
}


def names(words):
    """Return the names of the checks that words select, such as `leaks` or `variants:asan`; `variants` is many.

    Raises:
        UserError: there is no such check.
    """
    selected = []
    for word in words:
        name, colon, variant = word.partition(':')
        check = CHECKS.get(name)
        if check is None:
            raise ui.UserError(f'there is no check {name}. There are: {", ".join(CHECKS)}')
        if not colon:
            selected += [f'{name}:{each}' for each in check.variants] or [name]
        elif variant in check.variants:
            selected.append(word)
        else:
            raise ui.UserError(f'there is no check {word}. '
                               + (f'{name} has: {", ".join(check.variants)}' if check.variants else
                                  f'{name} is not split by variants.'))
    return selected


def overview(project):
    """Return a table of the checks: what they do, how long they take, when they were last run."""
    results = figures.read(project)
    lines = []
    for name, check in CHECKS.items():
        lines.append(f'  {name:<14}{check.about}; about {check.minutes} min')
        for each in [f'{name}:{variant}' for variant in check.variants] or [name]:
            result = results.get(_stem(each))
            last = 'never run' if result is None else (
                f'{"passed" if result["passed"] else "FAILED"} on {result["date"]}, sources {result["sources"]}')
            lines.append(f'    {each:<24}{last}')
    return '\n'.join(lines)


def _stem(name):
    return name.replace(':', '-')


class Verification:
    """One run of `verify`."""

    def __init__(self, project, *, again=False, source_file=None, offline=False):
        self._project = project
        self._tree = tree_module.Tree(project)
        self._again = again
        self._source = {'source_file': source_file, 'offline': offline}
        self._fingerprint = None

    def run(self, selected):
        """Run the checks that are selected; write their result files.

        Raises:
            UserError: a check failed.
        """
        processes.accept_sigint_again()  # Tests send it to themselves and to children.
        problems = []
        for name in selected:
            kind, _, variant = name.partition(':')
            start = time.monotonic()
            found, problem = getattr(self, CHECKS[kind].function)(*([variant] if variant else []))
            self._refuse_if_moved()
            seconds = found.pop('seconds', None) or time.monotonic() - start
            result = {'command': f'./build.sh verify {name}', 'date': datetime.date.today().isoformat(),
                      'upstream': self._project.upstream.version, 'sources': self.sources,
                      'seconds': round(seconds), 'passed': problem is None, **found}
            figures.write(self._project, _stem(name), result)
            if problem is not None:
                problems.append(f'{name}: {problem}')
            figures.update(self._project)
            ui.say(f'{name}: {"passed" if problem is None else "FAILED"}')
        if problems:
            raise ui.UserError('\n  '.join(['what has been verified does not hold:', *problems]))

    @property
    def sources(self):
        """The id of the sources that were verified, as in a result."""
        return self._fingerprint[:12]

    # Building blocks.

    def _build(self, name):
        """Build a variant; return its Builder."""
        builder = variants.Builder(self._project, name)
        with self._project.lock():
            builder.build(**self._source)
            self._fingerprint = self._tree.fingerprint()
        return builder

    def _refuse_if_moved(self):
        """Raise UserError if the sources have changed: results that are of no sources in particular are worthless."""
        if self._tree.fingerprint() != self._fingerprint:
            raise ui.UserError('the sources have changed while they were verified, so nothing has been written down.\n'
                               '  Run it again when they are at rest; a second clone of the project is a good place.')

    def _modules(self, builder, what, **options):
        fingerprint = self._fingerprint if variants.VARIANTS[builder.name].patched else \
            self._tree.repository.tree_of(self._tree.repository.upstream)
        result = modules_module.Modules(self._project, builder, what, fingerprint, **options)
        if self._again:
            result.forget()
        return result

    def _test_asyncio(self, what, builder, **options):
        """Run test_asyncio, ours and upstream's, but for what has passed already; return (figures, problem)."""
        modules = self._modules(builder, what, **options)
        ours = {path.stem for path in (self._project.root / 'Lib' / 'test').glob('test_*.py')}
        wanted = [module for module in modules.listed() if module in ours or '.test_asyncio.' in module]
        modules_module.run_all(f'{what} {builder.name}', [(modules, module) for module in wanted if not any(
            outcome.passed for outcome in modules.outcomes(module)[-1:])])
        return summarize({module: modules.outcomes(module) for module in wanted}, modules)

    def _program(self, builder, what, arguments):
        """Run a program of the project's tests on the interpreter of a variant; return (its figures, problem)."""
        out = self._project.logs / f'verify-{what}.json'
        out.unlink(missing_ok=True)
        problem = self._run(what, [str(builder.build_python), *arguments, '--out', str(out)], f'verify-{what}', builder)
        found = json.loads(out.read_text(encoding='utf-8')) if out.exists() else {}
        if problem is None and not found:
            problem = f'{what} has left no figures'
        return found, problem

    def _run(self, what, command, log, builder=None):
        """Run a command in the project; return what is wrong, or None."""
        try:
            ui.run_logged(what, command, log=self._project.logs / f'{log}.log', cwd=self._project.root,
                          env=ui.clean_environment(**(builder.environment if builder else {})),
                          hint='The log says what is wrong.', echo=True)
        except ui.UserError as error:
            return str(error)
        return None

    # The checks.  Each returns its figures and what is wrong, or None.

    def variant(self, name):
        builder = self._build(name)
        found, problem = self._test_asyncio('variants', builder, timeout=_TIMEOUTS.get(name, 900))
        return {**found, 'configure': list(variants.VARIANTS[name].configure),
                'environment': variants.VARIANTS[name].environment}, problem

    def leaks(self):
        return self._test_asyncio('leaks', self._build('debug'), options=('-R', '3:3'), timeout=3600)

    def coverage(self, against='coverage-*'):
        """against: a pattern of the names of results that the figures may not be below."""
        builder = self._build(coverage.VARIANT)
        modules = self._modules(builder, 'coverage')
        if not any(modules.outcomes(module) for module in modules.listed()):
            coverage.forget(builder)
        found, problem = self._test_asyncio('coverage', builder)
        found['files'] = coverage.measure(builder)
        before = [] if against is None else sorted((self._project.root / figures.RESULTS).glob(f'{against}.json'))
        for path in before:
            for what in 'lines', 'branches':
                old, now = (coverage.total(files, what) for files in (figures.load(path)['files'], found['files']))
                if now < old and problem is None:
                    problem = f'{now:.1%} of the {what} are run; in {path.stem} it was {old:.1%}'
        return found, problem

    def soak(self):
        found, problem = self._program(self._build('release'), 'soak',
                                       ['tests/soak.py', '--minutes', str(_SOAK_MINUTES)])
        return {'runs': found}, problem

    def threads(self, name):
        builder = self._build(name)
        runs = {}
        for title, options in {'allowed': [], 'hostile': ['--hostile']}.items():
            found, problem = self._program(builder, f'threads-{name}-{title}',
                                           ['tests/threads.py', '--seconds', str(_THREADS[name]), *options])
            runs[title] = found
            if problem is not None:
                break
        return {'runs': runs}, problem

    def stdlib(self):
        # The stock one first: its fingerprint says nothing of the sources.
        both = [self._modules(builder, 'stdlib') for builder in (self._build('stock'), self._build('release'))]
        listed = [modules.listed() for modules in both]
        # One after the other, so that both meet each module under the same load.
        everything = sorted({(module, number) for number in (0, 1) for module in listed[number]})
        modules_module.run_all('stdlib', [(both[number], module) for module, number in everything
                                          if not both[number].outcomes(module)])
        for attempt in range(_AGAIN):
            again = [module for module in listed[1] if differ(*(modules.outcomes(module) for modules in both))]
            tasks = [(modules, module) for module in again for modules, names in zip(both, listed)
                     if module in names and len(modules.outcomes(module)) < attempt + 2]
            modules_module.run_all('stdlib, once more what differs', tasks)
        return compare(*({module: modules.outcomes(module) for module in names}
                         for modules, names in zip(both, listed)))

    def differential(self):
        builder = self._build('release')
        python = self._venv(builder, 'venv', _REQUIREMENTS)
        runs, mutations = {}, {}
        for title, options in (('scopes and groups', []), ('background tasks', ['--root'])):
            out = self._project.logs / 'verify-differential.json'
            out.unlink(missing_ok=True)
            problem = self._run(title, [
                str(python), _DIFFERENTIAL, '--programs', str(_PROGRAMS[title]), '--seed', '1', '--jobs',
                str(len(os.sched_getaffinity(0))), '--out', str(out), *options], 'verify-differential', builder)
            summary = json.loads(out.read_text(encoding='utf-8')) if out.exists() else {}
            runs[title] = {name: summary.get(name) for name in (
                'seed', 'programs', 'compared', 'matched', 'discarded', 'divergences', 'seconds')}
            if problem is not None:
                break
        else:
            out = self._project.logs / 'verify-mutations.json'
            out.unlink(missing_ok=True)
            problem = self._run('deliberate bugs', [str(python), _DIFFERENTIAL, '--mutations', '--out', str(out)],
                                'verify-mutations', builder)
            mutations = json.loads(out.read_text(encoding='utf-8')) if out.exists() else {}
        return {'runs': runs, 'mutations': mutations}, problem

    def every_tick(self):
        # Stock first: what is found there as well is no fault of the patches.
        there = str(self._project.logs / 'verify-every-tick-stock.json')
        found, problem = {}, None
        for title, variant, options in (('stock', 'stock', ['--survey']), ('patched', 'release', ['--stock', there]),
                                        ('legacy', 'release', ['--stock', there, '--legacy', 'all'])):
            builder = self._build(variant)
            python = self._venv(builder, f'every-tick-{variant}', f'{_EVERY_TICK}/requirements.txt')
            out = self._project.logs / f'verify-every-tick-{title}.json'
            out.unlink(missing_ok=True)
            problem = self._run(f'every tick, {title}', [
                str(python), f'{_EVERY_TICK}/run.py', '--all', '--loop', 'asyncio', 'uvloop', '--known',
                f'{_EVERY_TICK}/known.toml', '--jobs', str(len(os.sched_getaffinity(0))), '--out', str(out), *options],
                f'verify-every-tick-{title}', builder)
            found[title] = json.loads(out.read_text(encoding='utf-8')) if out.exists() else {}
            if problem is not None:
                return found, problem
        log = 'verify-every-tick-deliberate'
        problem = self._run('leftovers on purpose', [str(python), f'{_EVERY_TICK}/run.py', '--deliberate'], log)
        text = (self._project.logs / f'{log}.log').read_text(encoding='utf-8')
        numbers = re.findall(r'^(\d+) of (\d+) found$', text, re.MULTILINE)
        found['deliberate'] = [int(number) for number in numbers[-1]] if numbers else [0, 0]
        return found, problem

    def against_stock(self):
        self._build('stock')
        builder = self._build('release')
        out = self._project.logs / 'verify-against-stock.json'
        found = {}
        for name, options in (('run', ['--programs', str(_STOCK_PROGRAMS), '--seed', '1', '--jobs',
                                       str(len(os.sched_getaffinity(0)))]),
                              ('mutations', ['--mutations'])):
            out.unlink(missing_ok=True)
            problem = self._run(f'against stock, {name}', [sys.executable, _AGAINST_STOCK, '--out', str(out), *options],
                                'verify-against-stock', builder)
            found[name] = json.loads(out.read_text(encoding='utf-8')) if out.exists() else {}
            if problem is not None:
                break
        # What is no figure: the files are of this machine.
        found['run'] = {name: value for name, value in found['run'].items() if name not in ('files', 'ops')}
        return found, problem

    def _venv(self, builder, name, requirements):
        """Return the interpreter of a virtual environment of a variant that has what the requirements list."""
        folder = self._project.build / 'verify' / name
        log = self._project.logs / 'verify-venv.log'
        hint = f'The network is needed for what {requirements} lists.'
        env = ui.clean_environment()
        ui.run_logged('making a virtual environment', [str(builder.python), '-m', 'venv', '--clear', str(folder)],
                      log=log, cwd=self._project.root, env=env, hint=hint)
        python = folder / 'bin' / 'python'
        ui.run_logged(f'installing {requirements}', [str(python), '-m', 'pip', 'install',
                                                     '--disable-pip-version-check', '-r', requirements],
                      log=log, cwd=self._project.root, env=env, hint=hint)
        return python

    def anyio(self):
        pythons = {name: self._build(name).python for name in ('stock', 'release')}
        return anyio_suite.Suite(self._project, pythons).run()

    def parity(self):
        self._build('release')
        python = python_environment.ensure(self._project, 'tools-venv', 'tests/requirements.txt',
                                           offline=self._source['offline'])
        problem = self._run('parity', [str(python), '-m', 'pytest', '-ra', _PARITY], 'verify-parity')
        if problem is None:
            # Into the result file, to which all that is said of a check is added.
            problem = self._run('the table of parity', [str(python), _PARITY, '--write'], 'verify-parity-table')
        path = self._project.root / figures.RESULTS / 'parity.json'
        found = figures.load(path) if path.exists() else {}
        return {name: found.get(name, {}) for name in ('modules', 'totals')}, problem

    def prefixes(self):
        self._build('stock')
        self._build('release')
        log = 'verify-prefixes'
        problem = self._run('prefixes', [sys.executable, 'tests/prefixes.py'], log)
        found = prefixes((self._project.logs / f'{log}.log').read_text(encoding='utf-8'))
        return {'prefixes': found}, problem

    def export(self):
        self._build('release')
        with self._project.lock():
            series = plain.Series(self._project, self._tree, **self._source)
        folder = self._project.build / 'verify' / 'export'
        shutil.rmtree(folder, ignore_errors=True)
        patch, sources = folder / 'series.patch', folder / 'Python'
        project_module.write_atomically(patch, series.combined())
        sources.mkdir()
        finder = source.Finder(self._project.upstream, source=self._source['source_file'],
                               offline=self._source['offline'])
        jobs = f'-j{len(os.sched_getaffinity(0))}'
        for what, command in (
                ('unpacking', ['tar', '-C', sources, '--strip-components=1', '-xf', finder.find()]),
                ('patch -p1', ['patch', '-d', sources, '-p1', '--force', '--no-backup-if-mismatch', '--fuzz=0', '-i',
                               patch]),
                ('configure', ['env', '-C', sources, './configure']),
                ('make', ['make', '-C', sources, jobs]),
                ('test_asyncio', [sources / 'python', '-m', 'test', jobs, '--timeout', '900', 'test_asyncio'])):
            log = f'verify-export-{what.partition(" ")[0]}'
            problem = self._run(f'export: {what}', [str(word) for word in command], log)
            if problem is not None:
                return {'tests': 0, 'skipped': 0}, problem
        return total((self._project.logs / f'{log}.log').read_text(encoding='utf-8')), None


def summarize(outcomes, modules=None):
    """Return (figures, problem) of a run of modules, {name: Outcomes}, of which the last counts."""
    last = {module: tried[-1] for module, tried in outcomes.items()}
    failed = {module: outcome.failed for module, outcome in last.items() if not outcome.passed}
    found = {
        'modules': len(last),
        'tests': sum(outcome.tests for outcome in last.values()),
        'skipped': sum(outcome.skipped for outcome in last.values()),
        'failed': failed,
        # What passed at last, after it had failed on the same sources.
        'failed_before': {module: sorted({test for outcome in tried[:-1] for test in outcome.failed})
                          for module, tried in outcomes.items() if len(tried) > 1},
        'leaks': [leak for outcome in last.values() for leak in outcome.leaks],
        'seconds': sum(outcome.seconds for outcome in last.values()),
    }
    if not failed:
        return found, None
    lines = [f'{module}: {", ".join(tests)}' + (f'; log: {modules.log(module)}' if modules else '')
             for module, tests in failed.items()]
    return found, '\n    '.join([f'{len(failed)} of {len(last)} test modules failed:', *lines])


def differ(stock, patched):
    """Return true if a module has failures with the patches that it has not always had without, so far."""
    return bool(_always(patched) - _always(stock)) or bool(_ever(patched) - _ever(stock))


def _always(outcomes):
    """Return the tests that failed each time."""
    return set.intersection(*(set(outcome.failed) for outcome in outcomes)) if outcomes else set()


def _ever(outcomes):
    return {test for outcome in outcomes for test in outcome.failed}


def compare(stock, patched):
    """Return (figures, problem) of the whole test suite, {module: Outcomes} of each.

    A new failure is a test that fails each time with the patches, but not each time without.  What fails now and then
    is listed with the numbers of both.
    """
    new, unsteady = {}, {}
    for module, outcomes in patched.items():
        before = stock.get(module, [])
        if fresh := sorted(_always(outcomes) - _always(before)):
            new[module] = fresh
        for test in sorted(_ever(outcomes) | _ever(before)):
            counts = [[sum(test in outcome.failed for outcome in tried), len(tried)] for tried in (before, outcomes)]
            if any(0 < count < tries for count, tries in counts) and test not in new.get(module, ()):
                unsteady[test] = {'stock': counts[0], 'patched': counts[1]}
    found = {
        **{name: {
            'modules': len(outcomes),
            'without_tests': sum(not tried[0].tests for tried in outcomes.values()),
            'tests': sum(tried[0].tests for tried in outcomes.values()),
            'skipped': sum(tried[0].skipped for tried in outcomes.values()),
            'failed': sorted(module for module, tried in outcomes.items() if _always(tried)),
        } for name, outcomes in (('stock', stock), ('patched', patched))},
        'new_failures': new,
        'unsteady': unsteady,
        'missing': sorted(stock.keys() - patched.keys()),
        'seconds': sum(outcome.seconds for outcomes in (stock, patched) for tried in outcomes.values()
                       for outcome in tried),
    }
    problems = [f'{module}: {", ".join(tests)}' for module, tests in new.items()]
    problems += [f'{module}: is not there with the patches' for module in found['missing']]
    return found, '\n    '.join(['new failures in the standard library:', *problems]) if problems else None


def total(output):
    """Return {'tests': number, 'skipped': number} from what `python -m test` prints in the end."""
    line = re.search(r'^Total tests: run=([\d,]+)(?:.*? skipped=([\d,]+))?', output, re.MULTILINE)
    tests, skipped = (int((number or '0').replace(',', '')) for number in line.groups())
    return {'tests': tests, 'skipped': skipped}


def prefixes(output):
    """Return [{'patch': subject, 'tests': number, 'passed': bool}] from what tests/prefixes.py prints."""
    found = re.findall(r'^(passed|FAILED)  (.*): Total tests: run=([\d,]+)', output, re.MULTILINE)
    return [{'patch': subject, 'tests': int(tests.replace(',', '')), 'passed': status == 'passed'}
            for status, subject, tests in found]
