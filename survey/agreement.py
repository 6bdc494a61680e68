"""Whether two complete surveys come to the same: what `./build.sh survey --repeat` writes to agreement.json.

A test that one of the two calls flaky is no disagreement: that is what the word means; nor is one that triage.toml says
depends on chance.  All others have to be regressions in both or in neither.  What they are attributed to is found in a
single run for each switch, so that it can depend on chance as well: what differs there is listed.
"""

import json
import time

from survey import triage
from survey.projects import HERE

FILE = HERE / 'agreement.json'


def compare(first, second):
    """Returns what is to be said of two results of one project."""
    one, two = first['regressions'], second['regressions']
    flaky = first['flaky'].keys() | second['flaky'].keys()
    both = one.keys() & two.keys()
    compared = {
        'tests': len(first['tests'].keys() | second['tests'].keys()),
        'regressions': len(both),
        **_differences(one, two, flaky),
        'attributed_differently': {
            test: [one[test]['switches'], two[test]['switches']] for test in sorted(both)
            if one[test]['switches'] != two[test]['switches']},
    }
    one, two = (result.get('native_anyio') or {} for result in (first, second))
    if 'left' in one and 'left' in two and one['package'] == two['package']:
        compared['native_anyio'] = {
            'left': len(one['left'].keys() & two['left'].keys()),
            **_differences(one['left'], two['left'], flaky.union(one['flaky'], two['flaky']))}
    return compared


def _differences(one, two, flaky):
    """Returns what is in one of two dicts of tests only; that apart which is flaky in one of the surveys."""
    differing = one.keys() ^ two.keys()
    return {
        'only_in_the_first': sorted((differing - flaky) & one.keys()),
        'only_in_the_second': sorted((differing - flaky) & two.keys()),
        'flaky_in_one': sorted(differing & flaky),
    }


def agrees(compared):
    """Tells whether the two surveys of a project agree on its regressions, and on what the native AnyIO leaves."""
    return not any(entry['only_in_the_first'] or entry['only_in_the_second']
                   for entry in (compared, compared.get('native_anyio')) if entry)


def write(first_folder, second_folder, path=FILE):
    """Compares the results in two folders.  Returns what it has written: {'projects': {name: ...}, ...}.

    Only projects that have both, of the same two interpreters.
    """
    compared, interpreters, judgment = {}, None, triage.load()
    for second_path in sorted(second_folder.glob('*.json'), key=lambda path: path.stem.lower()):
        first_path = first_folder / second_path.name
        if not first_path.exists():
            continue
        first, second = (json.loads(path.read_text(encoding='utf-8')) for path in (first_path, second_path))
        if first['interpreters'] == second['interpreters'] and first['version'] == second['version']:
            chance = {*judgment.set_aside(first), *judgment.set_aside(second)}
            compared[first['name']] = {**compare(first, second), 'chance': sorted(chance)}
            interpreters = second['interpreters']
    data = {'date': time.strftime('%Y-%m-%d'), 'interpreters': interpreters, 'projects': compared}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    return data
