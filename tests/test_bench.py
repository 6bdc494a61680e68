"""bench: the cases do what they claim, figures are put together correctly, and what must not become slower has not."""

import json
import os
import pathlib
import subprocess
import sys
import types

import pytest

from benchmarks import cases
from benchmarks import peers
from benchmarks import report
from benchmarks import results
from benchmarks import pyperformance_suite
from benchmarks import rounds
from benchmarks import server_suite
from benchmarks import suites
from benchmarks.cases import case as case_module
from tools import bench
from tools import packages
from tools import project as project_module
from tools import ui

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROJECT = project_module.Project(ROOT)
sys.path.insert(0, str(ROOT / 'benchmarks'))

import instructions  # noqa: E402 (it is a program of its own)
import workloads  # noqa: E402

pytest_plugins = ['interpreters']
# The first test here may have to build an interpreter.
pytestmark = pytest.mark.timeout(2400)

BIG = 20_000  # the sizes from here on take seconds


def names(pure):
    """Return the names of the cases that are run on the interpreters alone, but for big ones."""
    return [case.key(size) for case in cases.CASES.values() for size in case.sizes
            if case.pure == pure and {'stock', 'patched'} & set(case.peers) and (size or 0) < BIG]


def of(peer, pure):
    return [name for name in names(pure) if peer in cases.CASES[name.partition('/')[0]].peers]


# The cases.

@pytest.mark.parametrize('pure', [False, True])
def test_cases_do_what_they_claim(pure):
    subprocess.run(['./build.sh', 'run', 'benchmarks/worker.py', '--once', 'patched', *of('patched', pure)], cwd=ROOT,
                   check=True, timeout=1800)


@pytest.mark.parametrize('pure', [False, True])
def test_cases_on_stock(stock, pure):
    subprocess.run([stock, 'benchmarks/worker.py', '--once', 'stock', *of('stock', pure)], cwd=ROOT, check=True,
                   timeout=300)


def test_worker(stock):
    done = subprocess.run([stock, suites.WORKER, 'timeout_none', 'stock'], capture_output=True, text=True, timeout=60,
                          check=True)
    result = json.loads(done.stdout)
    assert result['unit'] == 'second' and result['version'] is None
    assert len(result['values']) == 4 and all(0 < value < 1e-3 for value in result['values'])
    loops = [number for number, _ in result['warmups']]
    assert loops == sorted(loops) and loops[-1] == result['loops'] > 100


def test_a_case_that_does_nothing_is_found():
    """A scope that cancels nothing and a deadline that never comes are no faster scopes: they are wrong."""
    class Scope:
        cancelled_caught = False

        def __enter__(self):
            return self

        def __exit__(self, *exc_info):
            pass

        def cancel(self):
            pass

    async def sleep(delay=0):
        pass

    library = types.SimpleNamespace(CancelScope=Scope, move_on_after=lambda delay: Scope(), sleep=sleep,
                                    sleep_forever=sleep, Cancelled=KeyError)
    for name, size in (('scope', None), ('move_on_after', None), ('timeout_0', None), ('yield_below_scopes', 10),
                       ('level_redelivery', None)):
        case = cases.CASES[name]
        with pytest.raises(case_module.Wrong):
            peers.STOCK.run(case.function('anyio'), library, 1, size)


def test_every_row_has_stock_and_patched():
    for case in cases.CASES.values():
        assert set(case.peers) <= peers.PEERS.keys(), case.name
        if case.name not in ('level_redelivery', 'stragglers'):
            assert {'stock', 'patched'} <= set(case.peers), case.name


def test_selected():
    tree = cases.CASES['cancel_by_group']
    assert cases.selected(['cancel_by_group']) == [(tree, 1_000), (tree, 10_000), (tree, 100_000)]
    assert cases.selected(['cancel_by_group/1000', 'scope']) == [(tree, 1_000), (cases.CASES['scope'], None)]
    assert len(cases.selected([])) == sum(len(case.sizes) for case in cases.CASES.values())


@pytest.mark.parametrize('word', ['scopes', 'cancel_by_group/7', 'scope/1', 'cancel_by_group/x'])
def test_there_is_no_such_case(word):
    with pytest.raises(LookupError, match='there is no case'):
        cases.selected([word])


def test_list():
    done = subprocess.run(['./build.sh', 'bench', '--list'], cwd=ROOT, capture_output=True, text=True, timeout=60,
                          check=True)
    assert all(f'  {name} ' in done.stdout for name in cases.CASES)


def test_variants():
    with pytest.raises(ui.UserError, match='asan cannot be measured'):
        bench.Bench(PROJECT, variant='asan')
    assert set(bench.VARIANTS) == set(results.VARIANTS)


def test_stock_has_the_flags_of_pgo():
    run = bench.Bench(PROJECT, variant='pgo')
    builder = run._stock_builder()
    assert builder._variant.configure == ('--enable-optimizations',) and not builder._variant.patched
    assert builder.folder == ROOT / 'build' / 'stock-pgo' and builder.source == ROOT / 'build' / 'upstream'
    assert bench.Bench(PROJECT)._stock_builder().folder == ROOT / 'build' / 'stock'


def test_as_built_needs_a_build(tmp_path):
    run = bench.Bench(project_module.Project(tmp_path), as_built=True)
    with pytest.raises(ui.UserError, match='build/stock is missing'):
        run._build({'stock': run._stock_builder()})


def test_as_built_is_quick():
    with pytest.raises(ui.UserError, match='--as-built is for --quick only'):
        bench.Bench(PROJECT, as_built=True).run([])


# The rounds.

IDENTITIES = {'stock': 'a', 'patched': 'b'}


def measure(tmp_path, monkeypatch, words, count, work):
    """Measure with work(python, key, peer) in place of a process; return (rounds, problems)."""
    monkeypatch.setattr(suites, '_run_case', work)
    found = rounds.Rounds(tmp_path / 'work' / 'rounds.jsonl', IDENTITIES)
    problems = rounds.measure(found, suites.select('cases', words), {'stock': 's', 'patched': 'p'}, count,
                              lambda text: None)
    return found, problems


def result(value):
    return {'loops': 1, 'values': [value, value * 2], 'warmups': [], 'unit': 'second', 'version': None}


def test_interpreters_run_by_turns(tmp_path, monkeypatch):
    calls = []
    measure(tmp_path, monkeypatch, ['pure_task', 'import_asyncio'], 2,
            lambda *arguments: calls.append(arguments) or result(1.0))
    assert calls == [
        ('s', 'pure_task', 'stock'), ('p', 'pure_task', 'patched'),
        ('s', 'import_asyncio', 'stock'), ('p', 'import_asyncio', 'patched'),
        ('p', 'pure_task', 'patched'), ('s', 'pure_task', 'stock'),
        ('p', 'import_asyncio', 'patched'), ('s', 'import_asyncio', 'stock')]


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch):
    calls = []

    def interrupted(*arguments):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(arguments)
        return result(1.0)

    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, monkeypatch, ['pure_task'], 3, interrupted)
    with open(tmp_path / 'work' / 'rounds.jsonl', 'a', encoding='utf-8') as file:
        file.write('{"identity": "')  # what a kill leaves
    more = []
    found, problems = measure(tmp_path, monkeypatch, ['pure_task'], 3,
                              lambda *arguments: more.append(arguments) or result(1.0))
    assert len(more) == 3 and len(found.entries) == 6 and problems == {}


def test_other_sources_begin_anew(tmp_path, monkeypatch):
    found, _ = measure(tmp_path, monkeypatch, ['pure_task'], 1, lambda *arguments: result(1.0))
    assert len(found.entries) == 2
    assert rounds.Rounds(tmp_path / 'work' / 'rounds.jsonl', {**IDENTITIES, 'patched': 'c'}).entries == []


def test_what_has_been_stored_is_measured_anew(tmp_path, monkeypatch):
    found, _ = measure(tmp_path, monkeypatch, ['pure_task', 'import_asyncio'], 1, lambda *arguments: result(1.0))
    found.forget([entry for entry in found.entries if entry['case'] == 'pure_task'])
    again = rounds.Rounds(tmp_path / 'work' / 'rounds.jsonl', IDENTITIES)
    assert not again.has(0, 'pure_task', 'stock') and again.has(0, 'import_asyncio', 'stock')


def test_a_case_that_fails_is_named(tmp_path, monkeypatch):
    def work(python, key, peer):
        if peer == 'rloop':
            raise RuntimeError('it is broken')
        return result(1.0)

    found, problems = measure(tmp_path, monkeypatch, ['pure_task', 'run'], 2, work)
    assert problems == {'run on rloop': 'it is broken'}
    assert {entry['peer'] for entry in found.entries if entry['case'] == 'run'} == {
        'stock', 'patched', 'uvloop', 'anyio', 'native', 'trio'}


def test_a_worker_that_fails():
    with pytest.raises(RuntimeError, match='there is no case spam'):
        suites.run([sys.executable, suites.WORKER, 'spam', 'stock'])


# The figures.

def entries(values):
    """Return entries of Rounds: values is {(peer, key): values of the rounds}."""
    return [{'identity': '', 'round': number, 'case': key, 'peer': peer, 'date': '2026-01-01', **result(value)}
            for (peer, key), series in values.items() for number, value in enumerate(series)]


def test_the_ratio_is_that_of_each_round():
    figures = results.Figures.of_entries(entries({
        ('stock', 'scope'): [1.0, 2.0, 4.0, 8.0, 1.0], ('patched', 'scope'): [0.5, 1.0, 2.0, 4.0, 0.9],
        ('anyio', 'scope'): [10.0]}))
    ratio = figures.ratio(('patched', 'scope'), ('stock', 'scope'))
    assert (ratio.median, ratio.low, ratio.high) == (0.5, 0.5, 0.5)
    assert figures.ratio(('patched', 'scope'), ('anyio', 'scope')).median == 0.05
    assert figures.ratio(('patched', 'scope'), ('trio', 'scope')) is None
    assert figures.value('stock', 'scope') == 2.0 and figures.rounds() == 5


def test_spread():
    assert str(results.Ratio([0.3, 0.1, 0.2])) == '0.20 (0.100–0.30)'
    assert str(results.Ratio([1, 2, 3, 4, 5])) == '3.00 (2.00–4.00)'


def test_tables():
    figures = results.Figures.of_entries(entries({
        ('stock', 'scope'): [1e-6, 1e-6], ('patched', 'scope'): [2e-7, 2e-7], ('anyio', 'scope'): [5e-6, 5e-6],
        ('native', 'scope'): [1.5e-6, 1.5e-6],
        ('stock', 'run'): [1e-3, 1e-3], ('patched', 'run'): [1e-3, 1e-3],
        ('patched', 'cancel_by_scope/1000'): [1e-6, 1e-6], ('patched', 'cancel_by_scope/100000'): [3e-6, 3e-6]}))
    text = '\n'.join(report.tables(figures, report.load_goals(ROOT)))
    assert '| 1,000 ns | 200 ns | 0.20 (0.20–0.20) | 0.12 | **no** |' in text
    assert '| 1.0 ms | 1.0 ms | 1.00 (1.00–1.00) | 1.05 | yes |' in text
    assert '| `scope` |  |  | 0.040 ≤ 0.05 |  |  |' in text
    assert '| `scope` | 5,000 ns | 1,500 ns | 0.30 (0.30–0.30) | 0.35 | yes |' in text
    assert '| `cancel_by_scope/100000` | `cancel_by_scope/1000` | 3.00 (3.00–3.00) | 2.50 | **no** |' in text


def test_goals_are_of_cases():
    goals = report.load_goals(ROOT)
    keys = {case.key(size): case for case in cases.CASES.values() for size in case.sizes}
    for key, of_peers in goals['goals'].items():
        assert set(of_peers) <= set(keys[key].peers) - {'patched', 'native'}, key
    for key, goal in goals['own'].items():
        assert {key, goal['than']} <= keys.keys() and 'patched' in keys[key].peers
    for key in goals['native']:
        assert {'anyio', 'native'} <= set(keys[key].peers)
    assert goals['instructions'].keys() <= workloads.COUNTS.keys()


def test_results_are_files_of_pyperf(tmp_path):
    pyperf = pytest.importorskip('pyperf', reason='pyperf is not installed here; ./build.sh bench has it')
    descriptions = {name: {'python_version': '3.14.7', 'compiler': 'GCC', 'configure': ''} for name in IDENTITIES}

    def store(values):
        results.store(entries(values), descriptions, IDENTITIES, tmp_path)

    store({('stock', 'scope'): [1.0, 2.0], ('patched', 'scope'): [0.5, 0.5], ('stock', 'run'): [3.0, 3.0]})
    store({('stock', 'scope'): [4.0, 4.0], ('patched', 'scope'): [1.0, 1.0]})
    figures = results.Figures(tmp_path)
    assert figures.values == {'stock': {'scope': {0: 4.0, 1: 4.0}, 'run': {0: 3.0, 1: 3.0}},
                              'patched': {'scope': {0: 1.0, 1: 1.0}}}
    assert figures.metadata['patched']['sources'] == 'b'
    suite = pyperf.BenchmarkSuite.load(str(tmp_path / 'stock.json'))
    assert suite.get_benchmark('run').get_values() == (3.0, 6.0, 3.0, 6.0)
    assert str(ROOT) not in (tmp_path / 'stock.json').read_text()


def test_plots(tmp_path):
    pytest.importorskip('matplotlib', reason='matplotlib is not installed here; ./build.sh bench has it')
    from benchmarks import plots

    figures = results.Figures.of_entries(entries({
        (peer, f'{name}/{size}'): [1e-6, 2e-6] for peer in ('stock', 'patched') for name in plots._SCALING
        for size in cases.CASES[name].sizes}))
    for name in report._PLOTS:
        paths = [tmp_path / f'{name}-{number}.svg' for number in (1, 2)]
        for path in paths:
            plots.draw(name, figures, report.load_goals(ROOT), path)
        first, second = (path.read_text(encoding='utf-8') for path in paths)
        assert first == second and len(first) < 200_000
        assert 'fill: #ffffff' in first and 'cancel' in first


def test_the_document_is_current():
    assert (ROOT / report.DOCUMENT).read_text(encoding='utf-8') == report.render(ROOT), \
        'run ./build.sh bench --report'


# The other suites.

def test_echo_server(stock):
    """The server answers, and is measured."""
    found = server_suite.measure(stock, 'echo', suites.run, requests=1_600)
    assert found['loops'] == 1_600
    assert 0 < found['extra']['p50'] <= found['extra']['p99'] and 0 < found['extra']['processor'] < 0.1
    assert found['values'][0] > 0


def test_a_server_that_does_not_start(tmp_path):
    with pytest.raises(RuntimeError, match='does not start'):
        server_suite.measure('/bin/false', 'echo', suites.run)


def test_server_table():
    series = {}
    for peer, factor in (('stock', 1.0), ('patched', 0.8)):
        for key, seconds in (('echo', 1e-4), ('echo/processor', 9e-5), ('echo/p50', 2e-3), ('echo/p99', 4e-3)):
            series[peer, key] = [seconds * factor]
    text = '\n'.join(report.servers(results.Figures.of_entries(entries(series)), report.load_goals(ROOT)))
    assert '| `echo` | requests per second | 10,000 | 12,500 | 1.25 (1.25–1.25) | 1.15 | yes |' in text
    assert '|  | latency, median | 2,000 µs | 1,600 µs | 0.80 (0.80–0.80) |  |  |' in text


def test_figures_beside_the_first_one(tmp_path):
    found = rounds.Rounds(tmp_path / 'rounds.jsonl', IDENTITIES)
    found.add(0, 'echo', 'stock', {**result(1.0), 'extra': {'p50': 3.0}})
    again = rounds.Rounds(tmp_path / 'rounds.jsonl', IDENTITIES)
    assert [(entry['case'], entry['values']) for entry in again.entries] == [('echo/p50', [3.0]), ('echo', [1.0, 2.0])]
    assert again.has(0, 'echo', 'stock') and not again.has(1, 'echo', 'stock')


def test_pyperformance_table():
    series = {}
    for peer, seconds in (('stock', 1.0), ('patched', 0.5)):
        series[peer, 'async_tree_tg'] = series[peer, 'async_tree_io_tg'] = [seconds]
        series[peer, 'coroutines'] = [1.0]
    series['patched', 'coroutines'] = [1.03]
    text = '\n'.join(report.pyperformance(results.Figures.of_entries(entries(series)), report.load_goals(ROOT)))
    assert '| `coroutines` | 1,000.0 ms | 1,030.0 ms | 1.03 (1.03–1.03) | 1.02 | **no** |' in text
    assert '| `*_tg`, geometric mean of 2 |  |  | 0.50 | 0.85 | yes |' in text


def test_pyperformance_names():
    assert len(pyperformance_suite.NAMES) == 22 and len(pyperformance_suite.GROUPS) == 8
    pytest.importorskip('pyperformance', reason='pyperformance is not installed here; ./build.sh bench has it')
    assert set(pyperformance_suite.NAMES) <= pyperformance_suite.programs().keys()


def test_pyperformance_measures_processor_time(stock):
    """pyperf's own clock is replaced where what is run starts."""
    program = 'import time; print(time.perf_counter is time.process_time)'
    assert suites.run([stock, '-c', program], PYTHONPATH=str(pyperformance_suite._CLOCK)) == 'True\n'
    assert suites.run([stock, '-c', program]) == 'False\n'


def test_pyperformance_output():
    suite = {'version': '1.0', 'metadata': {'loops': 4}, 'benchmarks': [{'runs': [
        {'metadata': {'calibrate_loops': 4}, 'warmups': [[4, 1.0]]}, {'warmups': [[4, 0.4]], 'values': [0.3, 0.2]}]}]}
    found = pyperformance_suite.read(suite)
    assert found['values'] == [0.3, 0.2] and found['loops'] == 4


@pytest.mark.parametrize('suite', ['pyperformance', 'server'])
def test_there_is_none_in_the_suite(suite):
    with pytest.raises(LookupError, match='there is no spam'):
        suites.select(suite, ['spam'])


# What must not become slower.

@pytest.fixture(scope='session')
def valgrind():
    """Install valgrind if that is possible, and build what it runs."""
    try:
        packages.ensure(('valgrind',), log=PROJECT.logs)
    except ui.UserError as error:
        if os.environ.get('CI'):
            raise
        pytest.skip(f'valgrind is needed: {error}')
    for variant in 'stock', 'release':
        subprocess.run(['./build.sh', 'build', '--variant', variant], cwd=ROOT, check=True, timeout=1800)


def test_nothing_has_become_slower(valgrind):
    """No operation takes more instructions, against stock, than the committed figures say."""
    done = subprocess.run([sys.executable, 'benchmarks/instructions.py', '--check', *GUARDED], cwd=ROOT,
                          capture_output=True, text=True, timeout=600)
    print(done.stdout)
    assert done.returncode == 0, f'{done.stderr}\nIf that is meant, run: python3 benchmarks/instructions.py'


# One of each kind, to be quick; `python3 benchmarks/instructions.py --check` has more.
GUARDED = ['bare_yield', 'create_task', 'eager_task', 'timeout', 'small_group', 'scope']


def test_slower():
    committed = {'scope': {'ratio': 0.5}, 'run': {'ratio': 1.0}}
    assert instructions.slower({'scope': {'ratio': 0.5049}, 'run': {'ratio': 0.2}}, committed) == []
    assert instructions.slower({'scope': {'ratio': 0.51}}, committed) == [
        'scope: 0.51 of stock, 2.0 % above the 0.5 of instructions.json']
    line, = instructions.slower({'timeout': {'ratio': 1}}, committed)
    assert 'no figure' in line


def test_committed_instructions():
    committed = json.loads(instructions.RESULTS.read_text(encoding='utf-8'))
    assert committed.keys() == workloads.COUNTS.keys() | {'compiler'}
    assert set(GUARDED) <= set(instructions.GUARDED)
