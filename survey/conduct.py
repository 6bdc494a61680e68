"""Conducts the survey: makes the runs that are wanted, keeps them, and writes results/PROJECT.json.

Each run is kept in build/survey/runs as soon as it is over, under a key that says what it depends on: a survey that is
interrupted goes on where it was, and one that is repeated runs only what has changed.
"""

import hashlib
import json
import shutil
import time
import traceback

from survey import attribution
from survey import native
from survey import runs as runs_module
from survey import services
from survey.projects import HERE, SurveyError

RESULTS = HERE / 'results'
# Changed when runs of before are not worth keeping.
_FORMAT = 1


class Survey:
    """One survey, or a part of one.

    Args:
        folder: build/survey.
        environments: an Environments.
        identities: {'stock': ..., 'patched': ...}, what the interpreters were built from, but for CPython's own tests,
            documentation and news.
        listener: told of what happens, see progress.py.
        fresh: make all runs anew.
        runs: the folder that keeps the runs.
        results: the folder that gets the results.
        package: a native.Package, AnyIO's native backend; without it there are no runs with it.
    """

    def __init__(self, folder, environments, identities, listener, *, runs, results, fresh=False, package=None):
        self._folder = folder
        self._runs = runs
        self._results = results
        self._environments = environments
        self._identities = identities
        self._listener = listener
        self._fresh = fresh
        self._package = package
        # What a run on each of them depends on.
        self._dependencies = dict(identities)
        if package is not None:
            self._dependencies[native.VARIANT] = f'{identities["patched"]} {package.identity}'

    def conduct(self, project):
        """Makes the runs of one project; returns what is in its result file, or None if it could not be surveyed."""
        try:
            return self._conduct(project)
        except SurveyError as error:
            self._listener.failed(project, str(error))
        except Exception:
            # One project must not take the others with it.
            self._listener.failed(project, traceback.format_exc())
        return None

    def _conduct(self, project):
        known = {}
        lock = self._environments.lock(project).read_text(encoding='utf-8')
        with services.running(project.services, self._folder / 'services'):
            for plan in attribution.base_plans():
                known[plan] = self._make(project, lock, plan)
            if not any(run.outcomes for run in known.values()):
                problems = '\n'.join(known[attribution.base_plans()[0]].problems)
                raise SurveyError(f'{project.name}: not a single test was run.\n{problems[-3000:]}')
            while wanted := attribution.Attribution(known).wanted():
                candidates = attribution.Attribution(known).regressions
                for plan in wanted:
                    only = None if plan.scope == 'all' else candidates
                    known[plan] = self._make(project, lock, plan, only)
            with_package = {}
            backend = self._try_package(project, lock, attribution.Attribution(known), with_package)
        result = describe(project, {**known, **with_package}, self._identities, native_anyio=backend)
        self._results.mkdir(parents=True, exist_ok=True)
        write(self._results / f'{project.name}.json', result)
        self._listener.finished(project, result)
        if backend is not None and backend['state'] != native.ABSENT:
            self._listener.note(f'{project.name}: native AnyIO: {_in_short(result)}')
        return result

    def _try_package(self, project, lock, found, runs):
        """Makes the runs with AnyIO's native backend and puts them into runs; returns what the result says of them."""
        if self._package is None:
            return None
        version = native.find_anyio(lock)
        if version is None:
            return {'state': native.ABSENT}
        comparison = native.Comparison(found, runs)
        try:
            while plan := comparison.wanted():
                runs[plan] = self._make(project, lock, plan)
        except native.Off as off:
            return {'state': native.OFF, 'anyio': off.version, 'package': self._package.identity}
        if not any(run.outcomes for run in runs.values()):
            problems = '\n'.join(runs[next(iter(runs))].problems)
            raise SurveyError(f"{project.name}: with AnyIO's native backend not a single test was run.\n"
                              f'{problems[-3000:]}')
        return comparison.describe(_publish, anyio=version, package=self._package.identity)

    def _make(self, project, lock, plan, only=None):
        """Returns the Run of a plan: one of before, or a new one."""
        key = hashlib.sha256(json.dumps([
            _FORMAT, repr(project), lock, self._dependencies[plan.variant], None if only is None else sorted(only),
        ]).encode()).hexdigest()[:16]
        path = self._runs / project.name / f'{plan.name}-{key}.json'
        if path.exists() and not self._fresh:
            return runs_module.Run.load(path)
        python = self._environments.venv(project, plan.variant)
        work = self._folder / 'work' / project.name / plan.name
        source = self._environments.unpack(project, work / 'source')
        runs_module.prepare(project, source, python)
        runner = runs_module.Runner(project, python, source, work, variant=plan.variant, switches=plan.switches,
                                    only=only, tick=lambda done: self._listener.moved(project, done))
        if plan.variant == native.VARIANT:
            native.check(project, runner.ask(native.PROBE))
        self._listener.started(project, plan)
        run = runner.run()
        native.check_run(project, run)
        run.save(path)
        shutil.rmtree(work, ignore_errors=True)
        self._listener.ran(project, plan, run)
        return run


def _in_short(result):
    backend = result['native_anyio']
    if backend['state'] == native.OFF:
        return f'off: anyio {backend["anyio"]}'
    return (f'{len(backend["repaired"])} repaired, {len(backend["left"])} left, '
            f'{len(native.find_new(result))} of them new')


def _publish(log):
    # Where this checkout lies concerns no reader.
    return log.replace(f'{HERE.parent}/', '')


def describe(project, known, identities, *, native_anyio=None):
    """Returns what is written to the result file of a project.

    Args:
        project: the Project.
        known: {Plan: Run}.
        identities: see Survey.
        native_anyio: what is said of the runs with AnyIO's native backend; None if none were to be made.
    """
    found = attribution.Attribution(known)
    attributed = found.attribute()
    fine_in_the_first_step = found.fine_in_the_first_step()
    base = attribution.base_plans()
    stock, patched = (next(known[plan] for plan in base if plan.variant == variant) for variant in ('stock', 'patched'))

    def outcome(run, test):
        return run.outcomes[test].outcome if test in run.outcomes else 'absent'

    def log(run, test):
        return _publish(run.outcomes[test].log if test in run.outcomes else '')

    return {
        'name': project.name,
        'version': project.version,
        'category': project.category,
        'date': time.strftime('%Y-%m-%d'),
        'interpreters': identities,
        'runs': {plan.name: {'switches': plan.switches, 'scope': plan.scope, 'seconds': run.seconds,
                             'counts': dict(sorted(run.counts().items())), 'problems': run.problems}
                 for plan, run in known.items()},
        'summary': found.summary(),
        **({} if native_anyio is None else {'native_anyio': native_anyio}),
        'regressions': {test: {
            'stock': outcome(stock, test), 'patched': outcome(patched, test), 'switches': attributed[test],
            'fine_in_the_first_step': test in fine_in_the_first_step,
            'log': log(patched, test)[-4000:]} for test in sorted(found.regressions)},
        'flaky': {test: [outcome(known[plan], test) for plan in base] for test in sorted(found.flaky)},
        'mended': sorted(found.mended),
        'failing_on_stock': {test: outcome(stock, test) for test in found.tests
                             if test not in found.fine_on_stock and test not in found.flaky},
        'tests': {test: outcome(patched, test) for test in found.tests},
    }


def write(path, data):
    """Writes a result file, a line for each thing that a diff should show."""
    text = json.dumps(data, indent=1, ensure_ascii=False)
    temporary = path.with_suffix('.tmp')
    temporary.write_text(text + '\n', encoding='utf-8')
    temporary.rename(path)
