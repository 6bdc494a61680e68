"""verify: how outcomes are read and judged, and that docs/testing.md says what the result files say."""

import json
import os
import pathlib
import subprocess

import fake_project
import pytest

from tools import figures
from tools import modules
from tools import project as project_module
from tools import ui
from tools import verify

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROJECT = project_module.Project(ROOT)

# The first test here may have to build an interpreter.
pytestmark = pytest.mark.timeout(2400)

PASSED = '''\
0:00:00 load avg: 0.10 [1/1] test.test_asyncio.test_locks passed

== Tests result: SUCCESS ==

1 test OK.

Total duration: 1.3 sec
Total tests: run=1,075 skipped=12
Total test files: run=1/1
Result: SUCCESS
'''
FAILED = '''\
0:00:02 load avg: 1.10 [1/1/1] test_spam failed (2 failures)
1 test failed:
    test_spam
Total tests: run=5 failures=2 skipped=1
Result: FAILURE
'''
DENIED = '''\
0:00:00 load avg: 8.87 [1/1] test_spam skipped (resource denied)
test_spam skipped -- Use of the 'network' resource not enabled
Total tests: run=0
Total test files: run=0/1 resource_denied=1
Result: NO TESTS RAN
'''
REPORT = '''\
<testsuites tests="3" errors="1" failures="1"><testsuite name="t" tests="3">
<testcase name="test.test_spam.Tests.test_b" status="run"><failure>no</failure></testcase>
<testcase name="test.test_spam.Tests.test_a" status="run"><error>no</error></testcase>
<testcase name="test.test_spam.Tests.test_c" status="run" />
</testsuite></testsuites>
'''
LEAKS = '''\
beginning 6 repetitions. Showing number of leaks (. for 0 or less, X for 10 or more)
123:456
XX. 111
test.test_asyncio.test_spam leaked [1, 1, 1] references, sum=3
test.test_asyncio.test_spam leaked [0, 1, 0] memory blocks, sum=1 (this is fine)
1 test failed:
Total tests: run=5
'''


def test_outcome_of_what_passed():
    outcome = modules.parse('test_locks', PASSED, None, 0, 1.23)
    assert outcome == modules.Outcome(True, 1075, 12, [], [], 1.2)


def test_outcome_of_what_failed():
    outcome = modules.parse('test_spam', FAILED, REPORT, 2, 2)
    assert (outcome.passed, outcome.tests, outcome.skipped) == (False, 5, 1)
    assert outcome.failed == ['test.test_spam.Tests.test_a', 'test.test_spam.Tests.test_b']


@pytest.mark.parametrize('report', [None, '', '<testsuites', '<testsuites />'])
def test_outcome_of_a_crash(report):
    """Whose report is missing or cut off."""
    outcome = modules.parse('test_spam', 'Fatal Python error: Segmentation fault\n', report, -11, 2)
    assert (outcome.passed, outcome.failed) == (False, ['test_spam'])


@pytest.mark.parametrize('status, passed', [(4, True), (2, False)])
def test_outcome_of_what_needs_a_resource(status, passed):
    outcome = modules.parse('test_spam', DENIED, None, status, 2)
    assert (outcome.passed, outcome.tests, outcome.failed) == (passed, 0, [] if passed else ['test_spam'])


def test_leaks():
    outcome = modules.parse('test_spam', LEAKS, None, 2, 2)
    assert outcome.leaks == ['test.test_asyncio.test_spam leaked [1, 1, 1] references, sum=3']


def outcome(*failed):
    return modules.Outcome(not failed, 10, 1, list(failed), [], 2.0)


def test_summary():
    found, problem = verify.summarize({'test_a': [outcome()], 'test_b': [outcome('b.x'), outcome()]})
    assert problem is None
    assert (found['modules'], found['tests'], found['skipped'], found['failed']) == (2, 20, 2, {})
    assert found['failed_before'] == {'test_b': ['b.x']}
    found, problem = verify.summarize({'test_a': [outcome()], 'test_b': [outcome(), outcome('b.x', 'b.y')]})
    assert found['failed'] == {'test_b': ['b.x', 'b.y']}
    assert problem == '1 of 2 test modules failed:\n    test_b: b.x, b.y'


@pytest.mark.parametrize('stock, patched, again', [
    ([()], [()], False),
    ([('x',)], [('x',)], False),
    ([('x',)], [()], False),        # fixed, or chance: no failure either way
    ([()], [('x',)], True),
    ([('x',)], [('x', 'y')], True),
    ([], [('x',)], True),           # a module of ours
    ([(), ('x',)], [('x',), ()], False),
    ([(), ()], [('x',), ()], True),
])
def test_what_is_run_again(stock, patched, again):
    before, after = ([outcome(*failed) for failed in runs] for runs in (stock, patched))
    assert verify.differ(before, after) == again


def test_comparison():
    stock = {'test_same': [outcome('s')], 'test_new': [outcome()] * 4, 'test_chance': [outcome()] * 4}
    patched = {'test_same': [outcome('s')], 'test_new': [outcome('n')] * 4, 'test_ours': [outcome()],
               'test_chance': [outcome('c'), outcome(), outcome(), outcome()]}
    found, problem = verify.compare(stock, patched)
    assert problem == 'new failures in the standard library:\n    test_new: n'
    assert found['new_failures'] == {'test_new': ['n']}
    assert found['unsteady'] == {'c': {'stock': [0, 4], 'patched': [1, 4]}}
    assert found['stock'] == {'modules': 3, 'without_tests': 0, 'tests': 30, 'skipped': 3, 'failed': ['test_same']}
    assert found['patched'] == {'modules': 4, 'without_tests': 0, 'tests': 40, 'skipped': 4,
                                'failed': ['test_new', 'test_same']}
    del patched['test_new']
    _, problem = verify.compare(stock, patched)
    assert problem == 'new failures in the standard library:\n    test_new: is not there with the patches'
    del stock['test_new']
    assert verify.compare(stock, patched)[1] is None


def test_prefixes():
    assert verify.prefixes('passed  asyncio: One: Total tests: run=2,345 skipped=3\n'
                           'FAILED  asyncio: Two: and a half: Total tests: run=7 failures=1\nelse\n') == [
        {'patch': 'asyncio: One', 'tests': 2345, 'passed': True},
        {'patch': 'asyncio: Two: and a half', 'tests': 7, 'passed': False}]


def test_names():
    assert verify.names(['leaks', 'variants:asan']) == ['leaks', 'variants:asan']
    assert verify.names(['threads']) == ['threads:free-threaded', 'threads:tsan']
    for word, text in [('nonsense', 'no check nonsense'), ('leaks:asan', 'not split by variants'),
                       ('variants:stock', 'no check variants:stock'), ('variants:', 'no check variants:')]:
        with pytest.raises(ui.UserError, match=text):
            verify.names([word])


# The command.

def interpreter(project, script):
    """Make the build's python one that answers the runner of tests by script."""
    project.run('prepare')
    project.edit('Programs/python.sh', (project.src / 'Programs/python.sh').read_text(), (
        '#!/bin/sh\ncase "$*" in\n*importlib.import_module*) exit 0;;\n'
        '*--list-tests*) printf "test_other\\ntest.test_asyncio.test_mine\\ntest.test_asyncio.test_tasks\\n"; exit;;\n'
        f'esac\necho "$*" >> {project.folder}/calls\n{script}\n'))
    project.write('docs/testing.md', '<!-- figures variants -->\n<!-- end -->\n')


def calls(project):
    path = project.folder / 'calls'
    return path.read_text().splitlines() if path.exists() else []


def test_run_of_modules_goes_on_where_it_was(patched):
    interpreter(patched, f'case "$*" in *test_tasks) test -e {patched.folder}/fixed || exit 2;; esac\n'
                         'echo "Total tests: run=5"')
    assert 'test_tasks: test.test_asyncio.test_tasks' in patched.fail('verify', 'variants:release')
    result = json.loads(patched.read('tests/results/variants-release.json'))
    assert (result['passed'], result['command']) == (False, './build.sh verify variants:release')
    assert len(calls(patched)) == 2 and all('-m test -j1' in call for call in calls(patched))
    (patched.folder / 'fixed').touch()
    patched.run('verify', 'variants:release')
    assert [call.split()[-1] for call in calls(patched)][2:] == ['test.test_asyncio.test_tasks']
    result = json.loads(patched.read('tests/results/variants-release.json'))
    assert result['passed'] and result['tests'] == 10 and result['upstream'] == '9.9.1'
    assert result['failed_before'] == {'test.test_asyncio.test_tasks': ['test.test_asyncio.test_tasks']}
    assert '| release | 2 | 10 | 0 | 0 |' in patched.read('docs/testing.md')
    patched.run('verify', 'variants:release')
    assert len(calls(patched)) == 3
    patched.run('verify', '--again', 'variants:release')
    assert len(calls(patched)) == 5
    overview = patched.run('verify').stdout
    assert 'variants:release        passed on ' in overview and 'variants:asan           never run' in overview


def test_sources_that_change_meanwhile(patched):
    interpreter(patched, f'echo "Total tests: run=5"; echo more >> {patched.src}/Lib/asyncio/tasks.py')
    assert 'the sources have changed' in patched.fail('verify', 'variants:release')
    assert not (patched.root / 'tests/results').exists()


def test_stdlib(patched):
    """A module that fails with the patches only: it is run again, on both."""
    files = {**fake_project.FILES, 'Programs/python.sh': (
        '#!/bin/sh\ncase "$*" in\n*importlib.import_module*) exit 0;;\n'
        '*--list-tests*) printf "test_one\\ntest_two\\n"; exit;;\n'
        f'esac\necho "$*" >> {patched.folder}/calls\necho "Total tests: run=5"\n')}
    patched.pin(fake_project.write_tarball(patched.tarball, files))
    patched.run('prepare')
    patched.edit('Programs/python.sh', 'run=5"\n', 'run=5"\ncase "$*" in *test_two) exit 2;; esac\n')
    patched.write('docs/testing.md', '<!-- figures stdlib -->\n<!-- end -->\n')
    assert 'new failures in the standard library:\n    test_two: test_two' in patched.fail('verify', 'stdlib')
    assert len(calls(patched)) == 2 + 2 * 4
    result = json.loads(patched.read('tests/results/stdlib.json'))
    assert result['patched']['tests'] == 10 and result['patched']['failed'] == ['test_two']
    assert result['stock']['failed'] == [] and result['unsteady'] == {}
    assert 'New failures: test_two (test_two).' in patched.read('docs/testing.md')


def test_missing_document(patched):
    assert 'docs/testing.md is missing' in patched.fail('verify', '--report')


# The document.

def test_document_is_up_to_date():
    text = (ROOT / figures.DOCUMENT).read_text()
    assert text == figures.render(text, figures.read(PROJECT)), 'run ./build.sh verify --report'


def test_all_results_are_good():
    results = figures.read(PROJECT)
    # (What the coverage of earlier revisions was is no check.)
    assert {name.replace(':', '-') for name in verify.names(verify.CHECKS)} == {
        name for name in results if not name.startswith('coverage-')}
    assert [name for name, result in results.items() if not result['passed']] == []
    text = (ROOT / figures.DOCUMENT).read_text()
    shown = {name for marker in figures.markers(text) for name in figures.of(marker, results)}
    assert shown == results.keys()


@pytest.mark.parametrize('variant', ['tsan', 'free-threaded'])
def test_calls_from_wrong_threads_are_a_run_of_their_own(monkeypatch, variant):
    monkeypatch.setattr(verify.Verification, '_build', lambda self, name: None)
    monkeypatch.setattr(verify.Verification, '_program', lambda self, builder, what, arguments: (
        {'hostile': '--hostile' in arguments}, None))
    found, problem = verify.Verification(PROJECT).threads(variant)
    assert problem is None
    assert found == {'runs': {'allowed': {'hostile': False}, 'hostile': {'hostile': True}}}


LAST = {'command': './build.sh verify x', 'date': '2026-01-02', 'upstream': '9.9.1', 'sources': '0123456789ab',
        'seconds': 192, 'passed': True}
SUMMARY = {'modules': 2, 'tests': 3000, 'skipped': 4, 'failed': {}, 'failed_before': {}, 'leaks': []}
COUNT = {'tasks': 5000, 'scopes': 6, 'cancels': 7}


@pytest.mark.parametrize('name, results, line', [
    ('variants', {'variants-asan': {**SUMMARY, 'environment': {'ASAN_OPTIONS': 'a=b'}},
                  'variants-debug': {**SUMMARY, 'environment': {}, 'failed_before': {'test_x': ['x']}}},
     '| asan | 2 | 3,000 | 4 | 0 | 2026-01-02 | `0123456789ab` |'),
    ('leaks', {'leaks': SUMMARY}, '2 modules with 3,000 tests, 4 of them skipped; modules that leak: none.'),
    ('leaks', {'leaks': {**SUMMARY, 'failed': {'test_x': ['test_x']}, 'leaks': ['test_x leaked [1, 1, 1]']}},
     '- `test_x leaked [1, 1, 1]`'),
    ('coverage', {'coverage': {**SUMMARY, 'files': {'a.c': {'lines': [90, 100], 'branches': [7, 10]}}},
                  'coverage-abcdef0': {**SUMMARY, 'files': {'a.c': {'lines': [1, 2], 'branches': [1, 4]}}}},
     '| before the core was rebuilt, abcdef0 | 3,000 | 2 | 50.0 % | 4 | 25.0 % |'),
    ('coverage', {'coverage': {**SUMMARY, 'files': {'a.c': {'lines': [90, 100], 'branches': [7, 10]}}}},
     '| `a.c` | 100 | 90.0 % | 10 | 70.0 % |'),
    ('soak', {'soak': {'runs': {
        'c': {'virtual_hours': 70, 'rounds': 80, 'count': COUNT, 'rss': 27_500_000, 'rss_growth': 4096, 'grown': {}},
        'python': {'status': -11}}}}, '| C | 70 | 80 | 5,000 | 6 | 7 | 27.5 | 4 | none |'),
    ('threads', {'threads-tsan': {'runs': {
        'allowed': {'c': {**COUNT, 'threads': 4, 'programs': 9, 'failures': 0}, 'python': {'status': -11}}}}},
     '| tsan | allowed | C | 4 | 9 | 5,000 | 6 | 7 | 0 |'),
    ('differential', {'differential': {'runs': {'background tasks': {
        'programs': 10_000, 'compared': 8000, 'matched': 1500, 'discarded': 500, 'divergences': {}}},
        'mutations': {'one': 7, 'two': 312, 'three': None}}},
     '| background tasks | 10,000 | 8,000 | 1,500 | 500 | 0 |'),
    ('differential', {'differential': {'runs': {}, 'mutations': {'one': 7, 'two': 312, 'three': None}}},
     'Deliberate bugs that are found: 2 of 3, after 312 programs at most.'),
    ('every-tick', {'every-tick': {'stock': {}, 'patched': {
        'apis': 94, 'programs': 104, 'turns': 800, 'cases': 200_000, 'configurations': {'asyncio': 1, 'uvloop': 2},
        'ways': {'task': 3}, 'problems': [{'program': 'echo', 'known': 'A race'}]}, 'deliberate': [17, 18]}},
     '| patched | 94 | 104 | 2 | 800 | 200,000 | 1 | 1 |'),
    ('against-stock', {'against-stock': {'run': {
        'programs': 20_000, 'quiet': 7000, 'same': 15_000, 'explained': 4998, 'unsteady': 2, 'divergences': {},
        'rules': {'2.1': 3000, '8.1': 1500}}, 'mutations': {'one': 7, 'two': 312}}},
     '| 20,000 | 7,000 | 15,000 | 4,998 | 2 | 0 |'),
    ('against-stock', {'against-stock': {'run': {'rules': {'2.1': 3000}}}}, '| 2.1 | 3,000 |'),
    ('prefixes', {'prefixes': {'prefixes': [{'patch': 'asyncio: One', 'tests': 2345, 'passed': True}]}},
     '1 prefixes; failing: 0.'),
])
def test_figures(name, results, line):
    results = {key: {**LAST, **result} for key, result in results.items()}
    text = figures.render(f'before\n<!-- figures {name} -->\nold\n<!-- end -->\nafter\n', results)
    assert text.startswith(f'before\n<!-- figures {name} -->\n\n') and text.endswith('\n\n<!-- end -->\nafter\n')
    assert line in text.splitlines() and 'old' not in text
    assert figures.render(text, results) == text


def test_unknown_marker():
    with pytest.raises(ui.UserError, match='nothing is known of the figures nonsense'):
        figures.render('<!-- figures nonsense -->\n<!-- end -->\n', {})


# The programs, small.

def run(*arguments):
    done = subprocess.run([ROOT / 'build.sh', 'run', *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600,
                          env={name: value for name, value in os.environ.items() if name != 'ASYNCBIS_ROOT'})
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize('implementation', ['c', 'python'])
@pytest.mark.parametrize('leak, found', [
    ('scope', 'alive after round'), ('task', 'alive after round'), ('cycle', 'more and more builtins.list'),
    ('memory', 'the process has grown by')])
def test_soak_finds_leaks(implementation, leak, found):
    status, output = run('tests/soak.py', '--leak', leak, '--implementation', implementation, '--virtual-hours', '2',
                         '--programs', '10')
    assert status == 1 and f'FAILED: {found}' in output, output


def test_soak(tmp_path):
    out = tmp_path / 'figures.json'
    status, output = run('tests/soak.py', '--virtual-hours', '4', '--programs', '20', '--out', str(out))
    assert status == 0, output
    results = json.loads(out.read_text())
    for implementation in 'c', 'python':
        assert results[implementation]['virtual_hours'] >= 4 and results[implementation]['grown'] == {}


@pytest.mark.parametrize('options', [[], ['--hostile']], ids=['allowed', 'hostile'])
def test_threads(tmp_path, options):
    out = tmp_path / 'figures.json'
    status, output = run('tests/threads.py', '--iterations', '40', '--out', str(out), *options)
    assert status == 0, output
    results = json.loads(out.read_text())
    for implementation in 'c', 'python':
        assert results[implementation]['programs'] == 4 * 40 and results[implementation]['failures'] == 0


def test_threads_find_what_is_wrong(tmp_path):
    """A program whose outcome is not what it should be."""
    text = (ROOT / 'tests/threads.py').read_text().replace("'target')", "'another')", 1)
    assert "'another')" in text
    (tmp_path / 'threads.py').write_text(text)
    (tmp_path / 'stress.py').write_text((ROOT / 'tests/stress.py').read_text())
    status, output = run(str(tmp_path / 'threads.py'), '--iterations', '40', '--implementation', 'c',
                         '--only', 'nested_scopes')
    assert status == 1 and 'FAILED: worker' in output and "instead of 'another'" in output


def test_threads_rescue_what_waits_for_ever(tmp_path):
    """In a hostile run a loop can miss that it has something to do, or lose a timer; that must not count as hanging."""
    text = (ROOT / 'tests/threads.py').read_text()
    marker = 'def stress_threads('
    assert text.count(marker) == 1
    program = """@program
def waits(worker):
    async def main(worker):
        tasks.append(asyncio.create_task(other()))
        await wait_forever()

    async def other():
        try:
            await wait_forever()
        finally:
            with asyncio.CancelScope(shield=True) as scope:  # Not by worker.scope(): hostile threads would end it.
                worker._scopes.append(scope)
                await wait_forever()

    tasks = []

    try:
        worker.execute(main)
    except asyncio.CancelledError:
        worker.count['rescued'] += tasks[0].cancelled()


"""
    (tmp_path / 'threads.py').write_text(text.replace(marker, program + marker))
    (tmp_path / 'stress.py').write_text((ROOT / 'tests/stress.py').read_text())
    out = tmp_path / 'figures.json'
    status, output = run(str(tmp_path / 'threads.py'), '--iterations', '1', '--threads', '1', '--only', 'waits',
                         '--hostile', '--patience', '60', '--out', str(out))
    assert status == 0, output
    assert {name: figures['rescued'] for name, figures in json.loads(out.read_text()).items()} == {'c': 1, 'python': 1}
