"""test: the order of its stages, and what it says of them."""

import re

import pytest

from tools import project as project_module
from tools import testing


@pytest.mark.parametrize('output, totals', [
    ('...\n====== 3 passed, 1 skipped in 0.12s ======\n', '3 passed, 1 skipped in 0.12s'),
    ('= short test summary info =\nFAILED x - 2 failed\n=== 1 failed, 2 passed in 3.40s (0:00:03) ===\n',
     '1 failed, 2 passed in 3.40s (0:00:03)'),
    ('Total duration: 493 ms\nTotal tests: run=59 skipped=2\nTotal test files: run=1/1\n', 'run=59 skipped=2'),
    ('----\nRan 28 tests in 0.649s\n\nOK (skipped=2)\n', 'Ran 28 tests'),
    ('nothing\n', ''),
])
def test_totals(tmp_path, output, totals):
    log = tmp_path / 'log'
    log.write_text(output)
    assert testing._totals(log) == totals


def test_cheapest_stage_fails_first(patched):
    patched.write('patches/stray.patch', '')
    result = patched.run('test', status=1)
    assert 'patches/stray.patch: is not in patches/series' in result.stderr
    assert result.stderr.count('  check ') == 1 and '  failed\n' in result.stderr
    assert not (patched.root / 'build/release').exists()
    assert not (patched.root / 'build/tools-venv').exists()


def interpreter(script):
    """A build's python that answers the runners of tests by script."""
    return f'#!/bin/sh\ncase "$*" in *importlib.import_module*) exit 0;; esac\n{script}\n'


def with_interpreter(project, script):
    project.run('prepare')
    project.edit('Programs/python.sh', (project.src / 'Programs/python.sh').read_text(), interpreter(script))


def test_module_by_name(patched):
    with_interpreter(patched, 'echo "asked: $*"; echo "Total tests: run=5"')
    stderr = patched.run('test', 'test_mine').stderr
    asked, = [line for line in stderr.splitlines() if line.startswith('asked: ')]
    assert asked.startswith('asked: -m test -j') and asked.endswith(' test.test_asyncio.test_mine')
    assert 'release: test_mine' in stderr and 'run=5' in stderr
    # CPython's runner must not write into the sources.
    assert f'--tempdir {patched.root}/build/release/tmp' in asked


def test_several_patterns(patched):
    with_interpreter(patched, 'echo "asked: $*"; printf "Ran 3 tests in 0.1s\\n\\nOK\\n"; echo "Total tests: run=5"')
    stderr = patched.run('test', 'cancel', 'Lib/test/test_asyncio/test_mine.py', 'test_tasks', 'deadline').stderr
    asked = [line for line in stderr.splitlines() if line.startswith('asked: ')]
    assert [re.search('test.test_asyncio.*|-k [a-z]+', line)[0] for line in asked] == [
        'test.test_asyncio.test_mine test.test_asyncio.test_tasks', '-k cancel', '-k deadline']


def test_several_files(patched, monkeypatch):
    patterns = ['tests/test_a.py', 'tests/test_b.py::test_c']
    runner = testing.Runner(project_module.Project(patched.root), patterns=patterns)
    asked = []
    monkeypatch.setattr(testing.Runner, '_run_pytest', lambda self, paths: asked.append(paths))
    runner.run()
    assert asked == [patterns]


def test_tests_by_part_of_their_name(patched):
    with_interpreter(patched, 'echo "asked: $*"; printf "Ran 3 tests in 0.1s\\n\\nOK\\n"')
    stderr = patched.run('test', 'cancel').stderr
    asked, = [line for line in stderr.splitlines() if line.startswith('asked: ')]
    assert asked == (f'asked: -m unittest discover --verbose -k cancel -s {patched.src}/Lib/test/test_asyncio '
                     f'-t {patched.src}/Lib')


def test_pattern_that_matches_nothing(patched):
    with_interpreter(patched, 'printf "Ran 2 tests in 0.1s\\n\\nOK (skipped=2)\\n"')
    assert 'no test of test_asyncio has nonsense in its name' in patched.fail('test', 'nonsense')


def test_order_of_the_stages_of_a_variant(patched):
    with_interpreter(patched, 'case "$*" in *showrefcount*) echo "[0 refs, 0 blocks]" >&2;; esac; '
                              'echo "Total tests: run=1"')
    patched.write('tests/refs_at_exit.py', '')
    stderr = patched.run('test', '--variant', 'debug').stderr
    stages = [line.split('  ')[1] for line in stderr.splitlines() if line.startswith('build.sh:   ')]
    assert [stage.strip() for stage in stages] == ['debug: our tests', "debug: upstream's test_asyncio",
                                                   'debug: references at exit']


def test_failing_tests(patched):
    with_interpreter(patched, 'echo "Total tests: run=1 failures=1"; exit 2')
    message = patched.fail('test', '--variant', 'release')
    assert 'release: our tests failed (exit status 2)' in message
    assert f'Log: {patched.root}/build/log/release-test-our-tests.log' in message


@pytest.mark.parametrize('script, left', [
    ('echo "[7 refs, 3 blocks]" >&2', '[7 refs, 3 blocks]'),
    ('echo "[0 refs, 0 blocks]" >&2; exit 1', '[0 refs, 0 blocks]'),
    (':', 'nothing'),
])
def test_references_that_are_left(patched, script, left):
    with_interpreter(patched, f'case "$*" in *showrefcount*) {script};; esac')
    patched.write('tests/refs_at_exit.py', '')
    message = patched.fail('test', '--variant', 'debug')
    assert f'leaves references behind on the debug build: {left} ' in message
