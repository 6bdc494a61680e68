"""Every API of asyncio, interrupted at every turn of the loop, a part of it: see every_tick/README.md."""

import json
import pathlib
import subprocess
import tomllib

import pytest

from every_tick import run as net

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / 'tests' / 'every_tick'
# The first test here may have to build an interpreter.
pytestmark = pytest.mark.timeout(2400)


@pytest.fixture(scope='module')
def python():
    """The patched interpreter."""
    done = subprocess.run([ROOT / 'build.sh', 'run', '-c', 'import sys; print(sys.executable)'], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, timeout=1800, check=True)
    return done.stdout.splitlines()[-1]


def run(python, *arguments):
    """Return (exit status, what was printed)."""
    done = subprocess.run([python, FOLDER / 'run.py', *arguments], capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize('options', [[], ['--pure', '--eager']], ids=['C', 'Python'])
def test_some_of_the_cases(python, tmp_path, options):
    out = tmp_path / 'summary.json'
    status, output = run(python, '--sample', '25', '--seed', '1', '--known', FOLDER / 'known.toml', '--out', out,
                         *options)
    assert status == 0, output
    summary = json.loads(out.read_text(encoding='utf-8'))
    assert summary['cases'] > 300 and len(summary['ways']) > 8
    assert summary['apis'] > 90 and summary['apis_without_program'] == summary['apis_unknown'] == []


def test_what_is_left_on_purpose_is_found(python):
    status, output = run(python, '--deliberate')
    assert status == 0 and '18 of 18 found' in output, output


def test_case_that_fails_can_be_run_alone(python):
    arguments = ['--only', 'leave_task', '--loop', 'asyncio', '--way', 'scope', '--shield', 'none', '--turn', '0']
    status, output = run(python, *arguments)
    assert status == 1 and ' '.join(arguments) in output and 'task left: Event.wait' in output, output


def test_api_without_a_program_fails(python):
    code = ('import asyncio.queues, sys; sys.argv[0] = "run.py"; sys.path.insert(0, sys.argv.pop(1))\n'
            'async def new(): pass\n'
            'asyncio.queues.new = new; asyncio.queues.__all__ += ("new",)\n'
            'from every_tick import run; sys.exit(run.main())')
    done = subprocess.run([python, '-c', code, FOLDER.parent, '--only', 'sleep', '--way', 'none'], capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 1 and 'new: no program covers it' in done.stdout, done.stdout + done.stderr


KNOWN = [{'name': 'a race', 'programs': ['echo'], 'loops': ['uvloop'], 'problems': ['fd .*'],
          'ways': ['task', 'timer']}]
PROBLEM = {'program': 'echo', 'loop': 'uvloop', 'problem': 'fd left', 'ways': ['task']}


@pytest.mark.parametrize('change, stock, known', [
    ({}, None, 'a race'), ({}, [{}], 'a race'), ({}, [], None), ({}, [{'loop': 'asyncio'}], None),
    ({}, [{'problem': 'fd lost'}], 'a race'), ({}, [{'problem': 'task left'}], None),
    ({'ways': ['task', 'scope']}, None, None), ({'loop': 'asyncio'}, None, None), ({'program': 'read'}, None, None), ({'problem': 'a fd left'}, None, None)])
def test_what_is_known(change, stock, known):
    problem = {**PROBLEM, **change}
    if stock is not None:
        stock = {'problems': [{**PROBLEM, **each} for each in stock]}
    net.name_known({'problems': [problem]}, KNOWN, stock)
    assert problem['known'] == known


def test_table_of_what_is_known():
    for entry in tomllib.loads((FOLDER / 'known.toml').read_text(encoding='utf-8'))['known']:
        assert {'name', 'programs', 'loops', 'problems', 'upstream', 'why'} <= entry.keys() <= {*entry, 'ways'}
        assert entry['why']


@pytest.mark.parametrize('count, number, last', [(0, 3, 2), (5, 8, 7), (33, 36, 35), (500, 37, 502)])
def test_turns(count, number, last):
    turns = list(net._turns(count))
    assert len(turns) == len(set(turns)) == number and turns[0] == 0 and turns[-1] == last
