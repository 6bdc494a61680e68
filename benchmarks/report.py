"""docs/performance.md: rendered from the files in benchmarks/results/."""

import json
import pathlib
import statistics

from benchmarks import cases
from benchmarks import peers
from benchmarks import pyperformance_suite
from benchmarks import results
from benchmarks import server_suite

DOCUMENT = 'docs/performance.md'
GOALS = 'benchmarks/goals.toml'
INSTRUCTIONS = 'benchmarks/results/instructions.json'
_OTHERS = [name for name in peers.PEERS if name not in ('stock', 'patched', 'native')]
_NATIVE = 'native'
_PLOTS = {'ratios': 'Each case: the patched interpreter as a fraction of stock. Bars span half of the rounds.',
          'scaling': 'Cost of one operation against the number of scopes, tasks and deadlines.'}
_HEAD = """\
# Performance

What asyncio costs here, against stock asyncio and other libraries. `./build.sh bench` measures it, and
`./build.sh bench --report` renders this document from the figures in [benchmarks/results/](../benchmarks/results).
[benchmarks/README.md](../benchmarks/README.md) describes how it is measured.

The interpreters are run by turns. A ratio is that of two processes that ran one after the other. The median over the rounds
stands first, and half of the rounds are between the two values behind it (with fewer than four rounds, all of them). A goal is
met if the median is at most the goal. The goals are in [benchmarks/goals.toml](../benchmarks/goals.toml). `/1000` behind the
name of a case is its size, such as the number of tasks.
"""


def load_goals(root):
    """Return what goals.toml holds."""
    import tomllib
    return tomllib.loads((root / GOALS).read_text(encoding='utf-8'))


def load_figures(root, suite='cases'):
    """Return {variant: Figures} of those that have been measured."""
    figures = {variant: results.Figures(root / results.FOLDER / results.folder(variant, suite))
               for variant in results.VARIANTS}
    return {variant: found for variant, found in figures.items() if found.values}


def render(root):
    """Return the text of the document."""
    goals = load_goals(root)
    lines = [_HEAD]
    all_figures = load_figures(root)
    for variant, figures in all_figures.items():
        lines += [f'## {variant}', '', *_origin(variant, figures), '', *tables(figures, goals)]
        for name, text in _PLOTS.items():
            lines += [f'![{text}](performance/{name}-{variant}.svg)', '']
    if not all_figures:
        lines += ['Not measured yet.', '']
    for suite, title in (('pyperformance', 'pyperformance'), ('server', 'Servers')):
        for variant, figures in load_figures(root, suite).items():
            lines += [f'## {title}, {variant}', '', *_origin(variant, figures), '', *TABLES[suite](figures, goals), '']
    lines += _instructions(root, goals)
    return '\n'.join(lines).rstrip('\n') + '\n'


def _origin(variant, figures):
    """Return lines that say what was measured, where and when."""
    lines = []
    for peer in ('stock', 'patched'):
        if metadata := figures.metadata.get(peer):
            command = ' '.join(['configure', *metadata.get('configure', '').replace("'", '').split()])
            lines.append(f'- {peer}: CPython {metadata["python_version"]}, sources `{metadata["sources"]}`, '
                         f'{metadata["compiler"]}, `{command}`')
    metadata = figures.metadata.get('patched') or next(iter(figures.metadata.values()))
    lines.append(f'- {figures.rounds()} rounds, {metadata["measured"]}, {metadata.get("cpu_model_name", "?")}')
    packages = [f'{peers.PEERS[name].title} {found["peer_version"]}' for name, found in figures.metadata.items()
                if 'peer_version' in found and peers.PEERS[name].package and name != _NATIVE]
    return lines + ([f'- {", ".join(packages)}'] if packages else [])


def tables(figures, goals):
    """Return the lines of the tables of one variant."""
    lines = [*_against_stock(figures, goals), '']
    for table in (_own(figures, goals['own']), _against_others(figures, goals['goals']),
                  _native(figures, goals['native'])):
        if table:
            lines += [*table, '']
    return lines


def _against_stock(figures, goals):
    rows = [('Case', '', 'stock', 'patched', 'patched / stock', 'Goal', 'Met')]
    for case in cases.CASES.values():
        for size in case.sizes:
            key = case.key(size)
            ratio = figures.ratio(('patched', key), ('stock', key))
            if ratio is None:
                continue
            goal = goals['goals'].get(key, {}).get('stock')
            about = case.about if size == case.sizes[0] else ''
            rows.append((f'`{key}`', about, *(_amount(case, figures.value(peer, key)) for peer in ('stock', 'patched')),
                         str(ratio), *_verdict(ratio, goal)))
    return _table(rows, right=(2, 3, 4, 5)) if len(rows) > 1 else []


def _own(figures, goals):
    rows = [('Case', 'Multiple of', 'Ratio', 'Goal', 'Met')]
    for key, goal in goals.items():
        ratio = figures.ratio(('patched', key), ('patched', goal['than']))
        if ratio is not None:
            rows.append((f'`{key}`', f'`{goal["than"]}`', str(ratio), *_verdict(ratio, goal['most'])))
    return ['The patched interpreter against itself:', '', *_table(rows, right=(2, 3))] if len(rows) > 1 else []


def _against_others(figures, goals):
    rows = [('Case', *(peers.PEERS[name].title for name in _OTHERS))]
    for case in cases.CASES.values():
        for size in case.sizes:
            key = case.key(size)
            ratios = [figures.ratio(('patched', key), (name, key)) for name in _OTHERS]
            if any(ratios):
                rows.append((f'`{key}`', *(_against(ratio, goals.get(key, {}).get(name))
                                           for name, ratio in zip(_OTHERS, ratios))))
    if len(rows) == 1:
        return []
    return ['The patched interpreter as a fraction of others, all on stock:', '',
            *_table(rows, right=range(1, len(rows[0])))]


def _native(figures, goals):
    rows = [('Case', 'AnyIO', 'AnyIO, native', 'native / AnyIO', 'Goal', 'Met')]
    for case in cases.CASES.values():
        for size in case.sizes:
            key = case.key(size)
            ratio = figures.ratio((_NATIVE, key), ('anyio', key))
            if ratio is not None:
                rows.append((f'`{key}`', *(_amount(case, figures.value(peer, key)) for peer in ('anyio', _NATIVE)),
                             str(ratio), *_verdict(ratio, goals.get(key))))
    return ["AnyIO with the native backend against AnyIO on stock:", '',
            *_table(rows, right=(1, 2, 3, 4))] if len(rows) > 1 else []


def pyperformance(figures, goals):
    """Return the lines of the table of pyperformance's benchmarks."""
    rows = [('Benchmark', 'stock', 'patched', 'patched / stock', 'Goal', 'Met')]
    groups = []
    for key in pyperformance_suite.NAMES:
        ratio = figures.ratio(('patched', key), ('stock', key))
        if ratio is None:
            continue
        goal = goals['pyperformance']['others']
        if key in pyperformance_suite.GROUPS:
            groups.append(ratio.median)
            goal = None
        rows.append((f'`{key}`', *(f'{figures.value(peer, key) * 1e3:,.1f} ms' for peer in ('stock', 'patched')),
                     str(ratio), *_verdict(ratio, goal)))
    if groups:
        mean, goal = statistics.geometric_mean(groups), goals['pyperformance']['groups']
        rows.append((f'`*_tg`, geometric mean of {len(groups)}', '', '', results.number(mean), _goal(goal),
                     'yes' if mean <= goal else '**no**'))
    return _table(rows, right=(1, 2, 3, 4))


def servers(figures, goals):
    """Return the lines of the table of the servers."""
    rows = [('Server', '', 'stock', 'patched', 'patched / stock', 'Goal', 'Met')]
    for key in server_suite.NAMES:
        # Of requests per second: the other way round.
        ratio = figures.ratio(('stock', key), ('patched', key))
        if ratio is None:
            continue
        goal = goals['server'].get(key)
        rows.append((f'`{key}`', 'requests per second', *(
            f'{1 / figures.value(peer, key):,.0f}' for peer in ('stock', 'patched')), str(ratio), _goal(goal),
            'yes' if ratio.median >= goal else '**no**'))
        for name, title in (('processor', "the server's processor time for a request"),
                            ('p50', 'latency, median'), ('p99', 'latency, 99th percentile')):
            each = f'{key}/{name}'
            rows.append(('', title, *(f'{figures.value(peer, each) * 1e6:,.0f} µs' for peer in ('stock', 'patched')),
                         str(figures.ratio(('patched', each), ('stock', each))), '', ''))
    return _table(rows, right=(2, 3, 4, 5))


TABLES = {'cases': tables, 'pyperformance': pyperformance, 'server': servers}


# What some of the operations consist of: (operation, part, how often).  The parts are operations as well.
_PARTS = (('small_group', 'empty_group', 1), ('small_group', 'bare_yield', 3), ('create_task', 'bare_yield', 2),
          ('run', 'new_loop', 1))


def _parts(found):
    """Return the lines of a table of where the instructions of operations go that consist of others."""
    rows = [('Operation', 'Part', 'stock', 'patched')]
    for operation in dict.fromkeys(operation for operation, _, _ in _PARTS):
        rest = dict(found[operation])
        for _, part, times in (row for row in _PARTS if row[0] == operation):
            values = {variant: times * found[part][variant] for variant in ('stock', 'patched')}
            for variant, value in values.items():
                rest[variant] -= value
            name = f'`{part}`' + (f', {times} times' if times > 1 else '')
            rows.append((f'`{operation}`', name, f'{values["stock"]:,}', f'{values["patched"]:,}'))
        rows.append(('', 'the rest', f'{rest["stock"]:,}', f'{rest["patched"]:,}'))
    return ['Some operations consist of others. In a group of one task the loop turns three times: for the task, for the',
            'callback that says that it was the last, and for the task that waits in the group.', '',
            *_table(rows, right=(2, 3))]


def _instructions(root, goals):
    path = root / INSTRUCTIONS
    if not path.exists():
        return []
    found = json.loads(path.read_text(encoding='utf-8'))
    rows = [('Operation', 'stock', 'patched', 'patched / stock', 'Goal', 'Met')]
    for name, row in found.items():
        if isinstance(row, dict) and 'ratio' in row:
            before, after = (row['stock'], row['patched']) if 'stock' in row else (row['flat'], row['deep'])
            goal = goals['instructions'].get(name)
            met = '' if goal is None else 'yes' if row['ratio'] <= goal else '**no**'
            rows.append((f'`{name}`', f'{before:,}', f'{after:,}', f'{row["ratio"]:.4f}', _goal(goal), met))
    compiler = found.get('compiler')
    return ['## Instructions', '',
            'What one operation executes, counted by valgrind on `build/stock` and `build/release`'
            + (f', built by {compiler}' if compiler else '') + '. `bare_yield_deep`',
            'compares a yield below many scopes with one below none. `python3 benchmarks/instructions.py` counts them.', '',
            *_table(rows, right=(1, 2, 3, 4)), '', *_parts(found)]


def _against(ratio, goal):
    """Return the cell of a peer: the ratio, and its goal if it has one."""
    if ratio is None:
        return ''
    text = results.number(ratio.median)
    if goal is None:
        return text
    return f'{text} ≤ {_goal(goal)}' if ratio.median <= goal else f'**{text}** > {_goal(goal)}'


def _verdict(ratio, goal):
    """Return the cells of a goal, and of whether it is met."""
    if goal is None:
        return '', ''
    return _goal(goal), 'yes' if ratio.median <= goal else '**no**'


def _goal(goal):
    return '' if goal is None else f'{goal:.2f}' if goal == round(goal, 2) else f'{goal:g}'


def _amount(case, value):
    """Return a figure with its unit."""
    if value is None:
        return ''
    if case.unit == 'byte':
        return f'{value:,.0f} B'
    nanoseconds = value * 1e9
    if nanoseconds >= 1e6:
        return f'{nanoseconds / 1e6:,.1f} ms'
    return f'{nanoseconds:,.0f} ns'


def _table(rows, right):
    marks = ['---:' if column in right else '---' for column in range(len(rows[0]))]
    return [f'| {" | ".join(row)} |' for row in (rows[0], marks, *rows[1:])]


def write(root):
    """Write the document and its plots; return their paths."""
    from benchmarks import plots

    path = root / DOCUMENT
    path.write_text(render(root), encoding='utf-8')
    paths = [path]
    goals = load_goals(root)
    for variant, figures in load_figures(root).items():
        for name in _PLOTS:
            plot = root / pathlib.Path(DOCUMENT).with_suffix('') / f'{name}-{variant}.svg'
            plot.parent.mkdir(parents=True, exist_ok=True)
            plots.draw(name, figures, goals, plot)
            paths.append(plot)
    return paths
