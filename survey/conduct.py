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
        identities: {'stock': ..., 'patched': ...}, what the interpreters were built from, but for CPython's own tests.
        listener: told of what happens, see progress.py.
        fresh: make all runs anew.
        runs: the folder that keeps the runs.
        results: the folder that gets the results.
    """

    def __init__(self, folder, environments, identities, listener, *, runs, results, fresh=False):
        self._folder = folder
        self._runs = runs
        self._results = results
        self._environments = environments
        self._identities = identities
        self._listener = listener
        self._fresh = fresh

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
        result = describe(project, known, self._identities)
        self._results.mkdir(parents=True, exist_ok=True)
        write(self._results / f'{project.name}.json', result)
        self._listener.finished(project, result)
        return result

    def _make(self, project, lock, plan, only=None):
        """Returns the Run of a plan: one of before, or a new one."""
        key = hashlib.sha256(json.dumps([
            _FORMAT, repr(project), lock, self._identities[plan.variant], None if only is None else sorted(only),
        ]).encode()).hexdigest()[:16]
        path = self._runs / project.name / f'{plan.name}-{key}.json'
        if path.exists() and not self._fresh:
            return runs_module.Run.load(path)
        python = self._environments.venv(project, plan.variant)
        work = self._folder / 'work' / project.name / plan.name
        source = self._environments.unpack(project, work / 'source')
        runs_module.prepare(project, source, python)
        self._listener.started(project, plan)
        run = runs_module.Runner(project, python, source, work, variant=plan.variant, switches=plan.switches, only=only,
                                 tick=lambda done: self._listener.moved(project, done)).run()
        run.save(path)
        shutil.rmtree(work, ignore_errors=True)
        self._listener.ran(project, plan, run)
        return run


def describe(project, known, identities):
    """Returns what is written to the result file of a project.  (known is {Plan: Run}.)"""
    found = attribution.Attribution(known)
    attributed = found.attribute()
    fine_in_the_first_step = found.fine_in_the_first_step()
    base = attribution.base_plans()
    stock, patched = (next(known[plan] for plan in base if plan.variant == variant) for variant in ('stock', 'patched'))

    def outcome(run, test):
        return run.outcomes[test].outcome if test in run.outcomes else 'absent'

    def log(run, test):
        text = run.outcomes[test].log if test in run.outcomes else ''
        # Where this checkout lies is nobody's business.
        return text.replace(f'{HERE.parent}/', '')

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
