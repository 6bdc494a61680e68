"""survey/reproductions: each fails here, and is fine as soon as one of the switches that it names takes a change back."""

import os
import pathlib
import subprocess

import pytest

from survey.attribution import SWITCHES
from tools import project as project_module
from tools import variants

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The first test here may have to build an interpreter.
pytestmark = pytest.mark.timeout(2400)
REPRODUCTIONS = sorted((ROOT / 'survey' / 'reproductions').glob('*.py'))
PYTHON = variants.Builder(project_module.Project(ROOT), variants.DEFAULT).python


@pytest.fixture(scope='module', autouse=True)
def built():
    subprocess.run(['./build.sh', 'build'], cwd=ROOT, check=True, timeout=1800)


def named(path):
    first = path.read_text(encoding='utf-8').partition('\n')[0]
    assert first.startswith('# switches:'), f'{path.name}: the first line has to name the switches'
    return first.removeprefix('# switches:').split()


def run(path, switches=''):
    env = {name: value for name, value in os.environ.items() if name != 'PYTHONASYNCIOLEGACY'}
    if switches:
        env['PYTHONASYNCIOLEGACY'] = switches
    done = subprocess.run([PYTHON, path], env=env, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize('path', REPRODUCTIONS, ids=lambda path: path.stem)
def test_reproduction(path):
    helping = named(path)
    assert set(helping) <= set(SWITCHES)
    status, output = run(path)
    assert status == 1, output
    for switch in SWITCHES:
        status, output = run(path, switch)
        assert (status == 0) is (switch in helping), f'{switch}: {output}'
    status, output = run(path, 'all')
    assert (status == 0) is bool(helping), output
