"""Renders what the results say: docs/survey.md, docs/findings.md and survey/index.html.

The results are the truth.  What they mean is in triage.toml: causes, and findings, which give regressions a cause; what
we conclude is in templates/findings.md.jinja, with figures from the results.
"""

import collections
import json

from survey import agreement
from survey import attribution
from survey import history
from survey import native
from survey import ports
from survey import projects as projects_module
from survey import triage
from survey.conduct import RESULTS
from survey.environments import LOCKS
from survey.projects import HERE, SurveyError

PAGE = HERE / 'index.html'
DOCUMENT = HERE.parent / 'docs' / 'survey.md'
FINDINGS = HERE.parent / 'docs' / 'findings.md'
# The column of the runs under attribution.FIRST_STEP.
FIRST_STEP = 'first step'
COLUMNS = (*attribution.SWITCHES, FIRST_STEP, 'all')


def load_results(projects):
    """Returns {name: result}, as they are in the files.

    Raises:
        SurveyError: there are none, or one is of no project in the list.
    """
    results = {}
    for path in sorted(RESULTS.glob('*.json'), key=lambda path: path.stem.lower()):
        result = json.loads(path.read_text(encoding='utf-8'))
        if result['name'] not in projects:
            raise SurveyError(f'{path} is of a project that is not in projects.toml. Delete it or restore the project.')
        results[result['name']] = result
    if not results:
        raise SurveyError(f'there are no results in {RESULTS}. Make some: ./build.sh survey')
    return results


def remember():
    """Writes down what the results say, for later ones to be compared with."""
    projects, _ = projects_module.load()
    results, judgment = load_results(projects), triage.load()
    for result in results.values():
        judgment.set_aside(result)
    history.remember(results, judgment)


def collect():
    """Returns all that the templates show.

    Raises:
        SurveyError: the results or the triage are incomplete or contradict each other.
    """
    projects, excluded = projects_module.load()
    results = load_results(projects)
    native.complete(results, LOCKS)
    identities = collections.Counter(json.dumps(result['interpreters']) for result in results.values())
    judgment = triage.load()
    for result in results.values():
        judgment.set_aside(result)
    causes = judgment.give_causes(results)
    rows = [_row(projects[name], result) for name, result in results.items()]
    regressions = sum(row['regressions'] for row in rows)
    by_switch = collections.Counter()
    for result in results.values():
        for regression in result['regressions'].values():
            by_switch[' or '.join(f'`{name}`' for name in regression['switches'])] += 1
    missing = {column: [row['name'] for row in rows if row['switches'][column] is None] for column in COLUMNS}
    remaining = {column: None if missing[column] else sum(row['switches'][column] for row in rows)
                 for column in COLUMNS}

    def left(*switches):
        """How many regressions there are with these switches on, as far as single switches tell."""
        return sum(_is_left(regression, set(switches)) for result in results.values()
                   for regression in result['regressions'].values())

    return {
        'left': left,
        'cause': {cause.id: cause for cause in causes},
        'date': max(result['date'] for result in results.values()),
        'interpreters': json.loads(identities.most_common(1)[0][0]),
        'mixed': len(identities) > 1,
        'switches': attribution.SWITCHES,
        'columns': COLUMNS,
        'step_projects': [row['name'] for row in rows if row['switches'][FIRST_STEP]],
        'first_step': attribution.FIRST_STEP.split(','),
        # {column: the projects whose results are older than it}, for those columns that are incomplete.
        'missing': {column: names for column, names in missing.items() if names},
        'history': history.compare(results, causes, judgment.topics),
        'native': {**native.summarize(results), 'causes': _native_causes(causes, results)},
        'ports': ports.summarize(results, ports.load(), ports.read()),
        'rows': rows,
        'pending': sorted(projects.keys() - results.keys(), key=str.lower),
        'excluded': excluded,
        'causes': causes,
        'chance': judgment.chance,
        'totals': {
            'projects': len(results),
            'tests': sum(row['tests'] for row in rows),
            'fine_on_stock': sum(row['fine_on_stock'] for row in rows),
            'flaky': sum(row['flaky'] for row in rows),
            'failing_on_stock': sum(row['failing_on_stock'] for row in rows),
            'regressions': regressions,
            'projects_affected': sum(1 for row in rows if row['regressions']),
            'mended': sum(row['mended'] for row in rows),
        },
        'remaining': remaining,
        'attributed': by_switch.most_common(),
        'repeated': _repeated(results),
    }


def _repeated(results):
    """Returns what the second survey said, or None if there is none of these interpreters and of all projects."""
    if not agreement.FILE.exists():
        return None
    data = json.loads(agreement.FILE.read_text(encoding='utf-8'))
    if data['projects'].keys() != results.keys() or any(
            result['interpreters'] != data['interpreters'] for result in results.values()):
        return None
    compared = data['projects'].values()
    return {
        'date': data['date'],
        'regressions': sum(entry['regressions'] for entry in compared),
        'flaky': sum(len(entry['flaky_in_one']) for entry in compared),
        'chance': sum(len(entry['chance']) for entry in compared),
        'only_in_one': sum(len(entry['only_in_the_first']) + len(entry['only_in_the_second']) for entry in compared),
        'attributed_differently': sum(len(entry['attributed_differently']) for entry in compared),
        'native': _repeated_native([entry['native_anyio'] for entry in compared if entry.get('native_anyio')]),
    }


def _repeated_native(compared):
    """Return the same for the regressions that remain with AnyIO's native backend; None if that has not been repeated."""
    return {
        'left': sum(entry['left'] for entry in compared),
        'only_in_one': sum(len(entry['only_in_the_first']) + len(entry['only_in_the_second']) for entry in compared),
        'flaky': sum(len(entry['flaky_in_one']) for entry in compared),
    } if compared else None


def _native_causes(causes, results):
    """Return the rest of each cause with AnyIO's native backend, in the projects that have been run with it.

    Those of which there is something with or without it.
    """
    tried = {name for name, result in results.items()
             if result.get('native_anyio', {}).get('state') == native.ACTIVE}
    rows = []
    for cause in causes:
        before = sum(len(finding.regressions) for finding in cause.findings if finding.project in tried)
        if before or cause.left:
            groups = {}
            for left in cause.left:
                group = groups.setdefault((left.project, id(left.finding)), {
                    'project': left.project, 'finding': left.finding, 'tests': []})
                group['tests'].append({
                    'test': left.test, 'new': left.test not in results[left.project]['regressions'], **left.entry})
            rows.append({'id': cause.id, 'title': cause.title, 'before': before, 'left': len(cause.left),
                         'new': sum(test['new'] for group in groups.values() for test in group['tests']),
                         'groups': list(groups.values())})
    return rows


def _is_left(regression, switches):
    """Tells whether a regression remains.  (A name of several, joined by +, helps if all of them are on.)"""
    return not any(set(name.split('+')) <= switches for name in regression['switches'])


def _row(project, result):
    summary = result['summary']
    regressions = result['regressions']

    ran = {run['switches'] for run in result['runs'].values()}

    def remaining(column):
        """How many regressions there are with a switch on; None if that has not been tried."""
        if column == FIRST_STEP:
            # (Results of before have no such entry.)
            fine = [entry.get('fine_in_the_first_step') for entry in regressions.values()]
            return None if None in fine else fine.count(False)
        if column not in ran and regressions:
            return None
        if column == 'all':
            return sum('none' in entry['switches'] for entry in regressions.values())
        return sum(_is_left(entry, {column}) for entry in regressions.values())

    return {
        'name': project.name,
        'version': project.version,
        'category': project.category,
        'tests': summary['tests'],
        'flaky': summary['flaky'],
        'failing_on_stock': summary['failing_on_stock'],
        'fine_on_stock': summary['tests'] - summary['flaky'] - summary['failing_on_stock'],
        'regressions': summary['regressions'],
        'mended': summary['mended'],
        'native': native.count(result),
        'native_off': result.get('native_anyio', {}).get('state') == native.OFF,
        'switches': {column: remaining(column) for column in COLUMNS},
        'seconds': result['runs']['patched-1']['seconds'],
        'notes': project.notes,
    }


def write():
    """Writes the page and the documents."""
    # Only the survey's own environment has it, and the figures are tested without.
    import jinja2

    data = collect()
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE / 'templates'), autoescape=False,
                                     trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
                                     keep_trailing_newline=True)
    environment.filters['thousands'] = lambda number: f'{number:,}'
    environment.filters['known'] = lambda number: '–' if number is None else number
    environment.filters['percent'] = lambda part, whole: f'{100 * part / whole:.2f} %' if whole else '–'
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(environment.get_template('survey.md.jinja').render(data), encoding='utf-8')
    FINDINGS.write_text(environment.get_template('findings.md.jinja').render(data), encoding='utf-8')
    page = environment.overlay(autoescape=True)
    PAGE.write_text(page.get_template('index.html.jinja').render(data), encoding='utf-8')
    for path in DOCUMENT, FINDINGS, PAGE:
        print(path)
