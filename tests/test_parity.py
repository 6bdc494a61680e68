"""One table of tests that run on both implementations, with lazy and with eager tasks; and C against Python (PEP 399).

A patched interpreter tells what there is (see parity_probe.py).  Run as a program, this prints the table, or with
--write keeps it in tests/results/parity.json.
"""

import functools
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTHON = ROOT / 'build' / 'release' / 'python'
SOURCE = ROOT / 'build' / 'src'
TESTS = pathlib.Path('Lib') / 'test' / 'test_asyncio'
RESULT = ROOT / 'tests' / 'results' / 'parity.json'

VARIANTS = ('C lazy', 'C eager', 'Python lazy', 'Python eager')

# Classes whose tests are not about one implementation: why.
EXEMPT = {
    'test_cancelscopes.ImplementationTests': 'compares the two implementations',
    'test_handles.CallSoonTests': 'how C puts a callback into the queue of a loop',
    'test_handles.CHandleTests': 'Handle in C: the same tests as PyHandleTests',
    'test_handles.PyHandleTests': 'Handle in Python: the same tests as CHandleTests',
    'test_legacy_switches.SetTests': 'about the sets of switches, which the cases run with on all variants',
    'test_legacy_switches.StartUpTests': 'how a process reads its switches, before it has tasks',
    'test_legacy_switches.UnknownNameTests': 'how a process refuses to start',
    'test_legacy_switches.SignalProcessTests': 'processes with switches; the cases of LegacySignals run on all variants',
    'test_root_membership.PlainTests': 'asyncio.run() as it is, without a loop factory or a task factory',
    'test_scope_deadlines.ClockTests': 'how C reads the clock of a loop that a program has replaced',
    'test_scope_moves.ExternalTaskTests': 'about tasks that are neither in C nor in Python, but of a factory',
    'test_scope_moves.RunnerTests': 'asyncio.run() as it is, without a loop factory or a task factory',
    'test_scope_splits.RootGroupTests': 'asyncio.run() as it is, without a loop factory or a task factory',
    'test_task_tools.ToolTests': 'python -m asyncio pstree, which reads C tasks from outside',
    'test_root_runner.OtherLoopTests': 'programs of stock, with the tasks that asyncio makes',
    'test_scope_references.ExitTests': 'what a process does that ends, with the tasks that asyncio makes',
    'test_task_tools.ReplTests': 'python -m asyncio, which runs its own loop',
}

# What _asyncio has without a counterpart in Python: why.
WITHOUT_COUNTERPART = {
    'FutureIter': 'the iterator of a C Future; a generator in Python',
    'TaskStepMethWrapper': 'a bound method in Python',
    '_set_base_loop': 'tells C what it can do without',
    '_set_handle_functions': 'tells C what it leaves to Python',
}

# Differences between a function in C and its counterpart, but for those of stock: why.
DIFFERENT = {
    '_forget_delivery': 'in C, the function for one scope is not to be called from Python',
}

# What stock has and the series has left alone is not compared.
OURS = ('move_on_after', 'move_on_at', 'current_effective_deadline', 'current_scope', '_make_scope', '_shielding_scope',
        '_spawn_background', '_take_slot', '_find_root', '_is_cancelled', '_was_interrupted', '_cancel_requests', '_cancel_once',
        '_forget_delivery', '_call_soon')


def find_modules():
    """Return the names of the test modules of the overlay, with those that are new in build/src."""
    listed = subprocess.run(['git', 'ls-tree', '--name-only', f'upstream:{TESTS}'], cwd=SOURCE, check=True,
                            capture_output=True, text=True, timeout=60).stdout.split()
    found = {path.name for folder in (ROOT, SOURCE) for path in (folder / TESTS).glob('test_*.py')}
    return sorted(name.removesuffix('.py') for name in found.difference(listed))


@functools.cache
def read():
    """Return what the probe says."""
    if not PYTHON.exists() or not SOURCE.exists():
        pytest.skip('needs a release build: ./build.sh build')
    program = [PYTHON, ROOT / 'tests' / 'parity_probe.py', *find_modules()]
    # What the modules ask for by -u changes which tests are there, not which variants they have.
    result = subprocess.run(program, capture_output=True, text=True, timeout=240,
                            env={name: value for name, value in os.environ.items() if not name.startswith('PYTHON')})
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def each_body():
    """Yield (name, {variant: tests}) for each body of tests of each module."""
    for module, bodies in read()['modules'].items():
        for body, variants in bodies.items():
            yield f'{module}.{body}', variants


def test_each_module_has_tests():
    assert {'test_cancelscopes', 'test_level_delivery', 'test_root_failures', 'test_scope_timeouts'} <= set(
        read()['modules'])
    assert [module for module, bodies in read()['modules'].items() if not bodies] == []


def test_each_class_has_all_variants():
    missing = {name: sorted(set(VARIANTS).difference(variants)) for name, variants in each_body()
               if name not in EXEMPT and not set(VARIANTS) <= set(variants)}
    assert missing == {}


def test_each_variant_has_the_same_tests():
    different = {}
    for name, variants in each_body():
        tests = [set(variants[variant]) for variant in variants]
        odd = set().union(*tests).difference(set.intersection(*tests))
        if odd:
            different[name] = sorted(odd)
    assert different == {}


def test_exemptions_are_needed():
    needed = {name for name, variants in each_body() if not set(VARIANTS) <= set(variants)}
    assert set(EXEMPT) - needed == set()
    assert all(EXEMPT.values())


def test_each_name_of_the_accelerator_has_a_counterpart():
    lonely = {name for name, pair in read()['functions'].items() if pair['python'] is None}
    assert lonely - set(WITHOUT_COUNTERPART) == set()
    assert set(WITHOUT_COUNTERPART) & set(read()['functions']) - lonely == set()


@pytest.mark.parametrize('name', [name for name in OURS if name not in WITHOUT_COUNTERPART])
def test_functions_are_alike(name):
    pair = read()['functions'][name]
    if name in DIFFERENT:
        assert pair['c'] != pair['python']
    elif name.startswith('_'):
        # The docstrings of what is private are for its readers.
        assert pair['c']['signature'] == pair['python']['signature']
    else:
        assert pair['c'] == pair['python']


def test_scopes_have_the_same_names():
    ours = {name for name, pair in read()['scopes'].items() if pair['c']}
    theirs = {name for name, pair in read()['scopes'].items() if pair['python']}
    # What is private in Python is attributes and methods of its own, too.
    assert {name for name in theirs - ours if not name.startswith('_')} == set()
    assert {name for name in ours if not read()['scopes'][name]['python']} == set()


def test_scopes_are_alike():
    def shown(name, description):
        # The docstrings of what is private are for its readers.
        return description if not name.startswith('_') else description['signature']

    different = {name: pair for name, pair in read()['scopes'].items()
                 if pair['c'] and pair['python'] and shown(name, pair['c']) != shown(name, pair['python'])}
    assert different == {}


def test_public_names_are_documented():
    undocumented = [name for name, pair in read()['scopes'].items()
                    if not name.startswith('_') and not pair['c']['doc']]
    assert undocumented == []


def table():
    """Return {module: {class: {tests: n, variants: […]}}} and totals."""
    modules, totals = {}, dict.fromkeys(['classes', 'tests', 'exempt', *VARIANTS], 0)
    for name, variants in each_body():
        module, body = name.split('.')
        entry = {'tests': len(set().union(*variants.values())),
                 'variants': [variant for variant in VARIANTS if variant in variants]}
        if name in EXEMPT:
            entry['exempt'] = EXEMPT[name]
            totals['exempt'] += 1
        modules.setdefault(module, {})[body] = entry
        totals['classes'] += 1
        totals['tests'] += entry['tests']
        for variant in entry['variants']:
            totals[variant] += len(variants[variant])
    return {'modules': modules, 'totals': totals}


def test_table():
    found = table()
    assert found['totals']['classes'] == sum(map(len, found['modules'].values()))
    assert len({found['totals'][variant] for variant in VARIANTS}) == 1


def main():
    text = json.dumps(table(), indent=2) + '\n'
    if sys.argv[1:] == ['--write']:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(text, encoding='utf-8')
    else:
        print(text, end='')


if __name__ == '__main__':
    main()
