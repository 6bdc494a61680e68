"""The figures in docs/testing.md: rendered from the result files that `verify` writes.

What stands between `<!-- figures NAME -->` and `<!-- end -->` is made from tests/results/NAME.json, or from all of
NAME-*.json.
"""

import json
import re

from tools import project as project_module
from tools import ui

DOCUMENT = 'docs/testing.md'
RESULTS = 'tests/results'
_BLOCK = re.compile(r'(<!-- figures ([a-z-]+) -->\n).*?(<!-- end -->\n)', re.DOTALL)


def read(project):
    """Return {name: result} of all result files that `verify` has written."""
    results = {path.stem: load(path) for path in sorted((project.root / RESULTS).glob('*.json'))}
    return {name: result for name, result in results.items() if 'command' in result}


def load(path):
    """Return what the result file at path holds."""
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ui.UserError(f'{RESULTS}/{path.name} is no JSON: {error}. Restore it: '
                           f'git checkout {RESULTS}/{path.name}') from None


def write(project, name, result):
    """Write the result file of a check."""
    text = json.dumps(result, indent=1, ensure_ascii=False) + '\n'
    project_module.write_atomically(project.root / RESULTS / f'{name}.json', text.encode())


def update(project):
    """Bring the figures in the document up to date."""
    path = project.root / DOCUMENT
    try:
        text = path.read_text(encoding='utf-8')
    except FileNotFoundError:
        raise ui.UserError(f'{DOCUMENT} is missing. Restore it: git checkout {DOCUMENT}') from None
    project_module.write_atomically(path, render(text, read(project)).encode())


def markers(text):
    """Return the names of the blocks in the text of the document."""
    return [match[2] for match in _BLOCK.finditer(text)]


def of(name, results):
    """Return those of results, {name: result}, that the block called name is made from."""
    return {key: result for key, result in results.items() if key == name or key.startswith(f'{name}-')}


def render(text, results):
    """Return the text of the document with the figures of results, {name: result}."""
    def block(match):
        chosen = of(match[2], results)
        lines = _RENDERERS[match[2]](chosen) if chosen else ['Not run yet.']
        return f'{match[1]}\n{"".join(line + chr(10) for line in lines)}\n{match[3]}'
    unknown = sorted(set(markers(text)) - _RENDERERS.keys())
    if unknown:
        raise ui.UserError(f'{DOCUMENT}: nothing is known of the figures {", ".join(unknown)}. There are: '
                           f'{", ".join(_RENDERERS)}')
    return _BLOCK.sub(block, text)


def _last(result):
    """Return a line on when a check was run."""
    return (f'Last run: {result["date"]}, CPython {result["upstream"]}, sources `{result["sources"]}`, '
            f'{ui.duration(result["seconds"])}: {_verdict(result)}.')


def _verdict(result):
    return 'passed' if result['passed'] else '**FAILED**'


def _table(*rows):
    """Return the lines of a table; the first row is its head.  Numbers stand to the right."""
    def is_number(cell):
        return isinstance(cell, (int, float))

    marks = ['---:' if all(is_number(row[column]) for row in rows[1:]) else '---' for column in range(len(rows[0]))]
    cells = [[f'{cell:,}' if is_number(cell) else str(cell) for cell in row] for row in (rows[0], marks, *rows[1:])]
    return [f'| {" | ".join(row)} |' for row in cells]


def _variants(results):
    rows = [('Variant', 'Modules', 'Tests', 'Skipped', 'Failed', 'Date', 'Sources')]
    for name, result in results.items():
        rows.append((name.partition('-')[2], result['modules'], result['tests'], result['skipped'],
                     len(result['failed']), result['date'], f'`{result["sources"]}`'))
    lines = _table(*rows)
    settings = {}
    for result in results.values():
        settings.update(result['environment'])
    if settings:
        lines += ['', 'The sanitizers are set up like this (`{source}` is the CPython tree):', '']
        lines += [f'- `{name}={value}`' for name, value in settings.items()]
    again = [f'{name.partition("-")[2]}: {", ".join(result["failed_before"])}' for name, result in results.items()
             if result['failed_before']]
    if again:
        lines += ['', 'Passed only when they were run again: ' + '; '.join(again) + '.']
    return lines


def _leaks(results):
    result = results['leaks']
    lines = [_last(result), '', f'{result["modules"]} modules with {result["tests"]:,} tests, '
             f'{result["skipped"]:,} of them skipped; modules that leak: {len(result["failed"]) or "none"}.']
    if result['failed_before']:
        lines += ['', 'Passed only when they were run again: ' + ', '.join(result['failed_before']) + '.']
    return lines + [f'- `{leak}`' for leak in result['leaks']]


def _coverage(results):
    now = results.get('coverage')
    rows = [('Sources', 'Tests', 'Lines', 'Run', 'Branches', 'Run')]
    for name, result in sorted(results.items(), key=lambda item: item[0] == 'coverage'):
        _, _, revision = name.partition('-')
        rows.append((f'before the core was rebuilt, {revision}' if revision else 'now', result['tests'],
                     *_covered(result['files'].values())))
    lines = _table(*rows)
    if now is not None:
        lines = [_last(now), '', *lines, '', *_table(('File', 'Lines', 'Run', 'Branches', 'Run'), *(
            (f'`{name}`', *_covered([counts])) for name, counts in now['files'].items()))]
    return lines


def _covered(files):
    cells = []
    for what in 'lines', 'branches':
        covered, everything = (sum(counts[what][index] for counts in files) for index in (0, 1))
        cells += [everything, f'{100 * covered / everything:.1f} %' if everything else '–']
    return cells


_IMPLEMENTATIONS = {'c': 'C', 'python': 'Python'}


def _soak(results):
    result = results['soak']
    rows = [('Implementation', 'Virtual hours', 'Rounds', 'Tasks', 'Scopes', 'Cancels', 'RSS, MB', 'Growth, kB',
             'Objects that grew')]
    for name, run in result['runs'].items():
        count = run.get('count', {})
        rows.append((_IMPLEMENTATIONS[name], run.get('virtual_hours', '?'), run.get('rounds', '?'),
                     *(count.get(what, '?') for what in ('tasks', 'scopes', 'cancels')),
                     round(run.get('rss', 0) / 1e6, 1), round(run.get('rss_growth', 0) / 1000),
                     ', '.join(run.get('grown', ())) or 'none'))
    return [_last(result), '', *_table(*rows)]


def _threads(results):
    rows = [('Variant', 'Traffic', 'Implementation', 'Threads', 'Programs', 'Tasks', 'Scopes', 'Cancels', 'Failures')]
    for name, result in results.items():
        for title, runs in result['runs'].items():
            for implementation, run in runs.items():
                rows.append((name.partition('-')[2], title, _IMPLEMENTATIONS[implementation], *(
                    run.get(what, '?') for what in ('threads', 'programs', 'tasks', 'scopes', 'cancels', 'failures'))))
    lines = [f'{name.partition("-")[2]}: {_last(result)}' for name, result in results.items()]
    return [*(f'- {line}' for line in lines), '', *_table(*rows)]


def _stdlib(results):
    result = results['stdlib']
    rows = [('', 'Modules', 'Of them skipped', 'Tests', 'Of them skipped', 'Modules that fail')]
    rows += [(name, *(result[name][what] for what in ('modules', 'without_tests', 'tests', 'skipped')),
              ', '.join(f'`{module}`' for module in result[name]['failed']) or 'none') for name in ('stock', 'patched')]
    new = [f'{module} ({", ".join(tests)})' for module, tests in result['new_failures'].items()]
    lines = [_last(result), '', *_table(*rows), '', f'New failures: {", ".join(new) or "none"}.']
    if result['unsteady']:
        lines += ['', 'Failed now and then (failures of runs):', '',
                  *_table(('Test', 'Stock', 'Patched'), *[
                      (f'`{test}`', *(f'{failures} of {runs}' for failures, runs in (
                          counts['stock'], counts['patched']))) for test, counts in result['unsteady'].items()])]
    return lines


def _differential(results):
    result = results['differential']
    rows = [('Programs', 'Number', 'Compared', 'Matched', 'Discarded', 'Divergences')]
    for name, run in result['runs'].items():
        rows.append((name, run['programs'], run['compared'], run['matched'], run['discarded'],
                     len(run['divergences'] or ())))
    mutations = result['mutations'].values()
    found = [number for number in mutations if number is not None]
    return [_last(result), '', *_table(*rows), '', f'Deliberate bugs that are found: {len(found)} of {len(mutations)}, '
            f'after {max(found, default=0)} programs at most.']


def _against_stock(results):
    result = results['against-stock']
    run = result['run']
    mutations = result.get('mutations', {}).values()
    found = [number for number in mutations if number is not None]
    rules = _table(('Rule', 'Divergences'), *(run.get('rules') or {}).items())
    return [_last(result), '', *_table(
        ('Programs', 'Of them not disturbed', 'The same by default', 'Explained', 'Unsteady', 'Divergences'),
        tuple(run.get(name, '?') for name in ('programs', 'quiet', 'same', 'explained', 'unsteady')) + (
            sum((run.get('divergences') or {}).values()),)), '',
        'By the rules of semantics.md:', '', *rules, '',
        f'Deliberate bugs that are found: {len(found)} of {len(mutations)}, after {max(found, default=0):,} programs '
        'at most.']


def _anyio(results):
    result = results['anyio']
    rows = [('Interpreter and backend', 'Tests for', 'Passed', 'Failed', 'Skipped')]
    for way, backends in result['ways'].items():
        rows += [(way, backend if backend != 'none' else 'no backend', *(counts[what] for what in (
            'passed', 'failed', 'skipped'))) for backend, counts in backends.items()]
    lines = [_last(result), '', *_table(*rows), '',
             f'Tests that pass on stock and fail with the native backend: {len(result["new_failures"]) or "none"}, '
             f'but for {len(result["expected"])} that look at how the stock backend works inside:', '']
    return lines + [f'- `{name}` {reason}' for name, reason in result['expected'].items()]


def _parity(results):
    result = results['parity']
    totals = {'classes': 0, 'tests': 0, 'exempt': 0, **result['totals']}
    ways = [name for name in totals if name not in ('classes', 'tests', 'exempt')]
    return [_last(result), '', *_table(('Tests', *ways), ('number', *(totals[way] for way in ways))), '',
            f'{totals["classes"]} classes with {totals["tests"]:,} tests; {totals["exempt"]} classes are not about one '
            'implementation.']


def _prefixes(results):
    result = results['prefixes']
    found = result['prefixes']
    return [_last(result), '', f'{len(found)} prefixes; failing: {sum(not prefix["passed"] for prefix in found)}.']


def _export(results):
    result = results['export']
    return [_last(result), '', f'{result["tests"]:,} tests, {result["skipped"]:,} of them skipped.']


def _every_tick(results):
    result = results['every-tick']
    rows = [('', 'APIs', 'Programs', 'Configurations', 'Turns', 'Cases', 'Problems', 'Of them known')]
    lines = [_last(result), '']
    for name, title in (('stock', 'stock'), ('patched', 'patched'), ('legacy', 'patched, all switches')):
        run = result.get(name, {})
        problems = run.get('problems', ())
        rows.append((title, *(run.get(what, '?') for what in ('apis', 'programs')), len(run.get('configurations', ())),
                     *(run.get(what, '?') for what in ('turns', 'cases')), len(problems),
                     sum(problem['known'] is not None for problem in problems)))
    lines += _table(*rows)
    patched = result.get('patched', {})
    if patched.get('ways'):
        lines += ['', *_table(('Way', *patched['ways']), ('Cases', *patched['ways'].values()))]
    known = {}
    for problem in patched.get('problems', ()):
        known.setdefault(problem['known'] or '**new**', set()).add(f'`{problem["program"]}`')
    if known:
        lines += ['', 'Found with the patches, and on stock:', '']
        lines += [f'- {name}: {", ".join(sorted(programs))}' for name, programs in sorted(known.items())]
    only_on_stock = {f'`{problem["program"]}`' for problem in result.get('stock', {}).get('problems', ())}
    only_on_stock -= {f'`{problem["program"]}`' for problem in patched.get('problems', ())}
    if only_on_stock:
        lines += ['', f'Found on stock only: {", ".join(sorted(only_on_stock))}.']
    found, number = result.get('deliberate', (0, 0))
    return lines + ['', f'Leftovers that are made on purpose are found: {found} of {number}.']


_RENDERERS = {'variants': _variants, 'leaks': _leaks, 'coverage': _coverage, 'soak': _soak, 'threads': _threads,
              'stdlib': _stdlib, 'differential': _differential, 'against-stock': _against_stock,
              'every-tick': _every_tick, 'anyio': _anyio, 'parity': _parity, 'prefixes': _prefixes, 'export': _export}
