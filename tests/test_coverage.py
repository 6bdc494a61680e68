"""tools/coverage.py: what gcov says of the C code of asyncio."""
import json
import subprocess
import types

import pytest

from tools import coverage
from tools import figures
from tools import project as project_module
from tools import ui
from tools import verify

# Of the second branch of the first `if`, nothing is run.
PROGRAM = """\
#include "_asyncio/part.h"

int
main(int argc, char **argv)
{
    if (argc > 1) {
        return part(argc);
    }
    return 0;
}
"""
PART = """\
static int
part(int number)
{
    if (number > 2) {
        return 3;
    }
    return 0;
}
"""


@pytest.fixture
def builder(tmp_path):
    """What coverage wants of a Builder, of a program that was built with --coverage and not yet run."""
    source, folder = tmp_path / 'src', tmp_path / 'build'
    for path, text in {'Modules/_asynciomodule.c': PROGRAM, 'Modules/_asyncio/part.h': PART}.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text)
    (folder / 'Modules').mkdir(parents=True)
    subprocess.run(['gcc', '-O0', '--coverage', '-c', source / 'Modules/_asynciomodule.c',
                    '-o', folder / 'Modules/_asynciomodule.o'], check=True)
    subprocess.run(['gcc', '--coverage', folder / 'Modules/_asynciomodule.o', '-o', folder / 'program'], check=True)
    return types.SimpleNamespace(source=source, folder=folder, name='coverage')


def test_measure(builder):
    with pytest.raises(ui.UserError, match='is missing: has coverage been built'):
        coverage.measure(builder)
    subprocess.run([builder.folder / 'program'], check=True)
    found = coverage.measure(builder)
    assert list(found) == ['Modules/_asyncio/part.h', 'Modules/_asynciomodule.c']
    part, module = (found[name] for name in found)
    assert part['lines'] == [0, 4] and part['branches'] == [0, 2]
    assert module['branches'] == [1, 2] and coverage.total(found, 'branches') == 0.25
    # Another run adds to it.
    subprocess.run([builder.folder / 'program', 'argument'], check=True)
    assert coverage.total(coverage.measure(builder), 'branches') == 0.75
    coverage.forget(builder)
    with pytest.raises(ui.UserError):
        coverage.measure(builder)


@pytest.mark.parametrize('branches, problem', [
    ([50, 100], None), ([51, 100], '50.0% of the branches are run; in coverage-abcdef0 it was 51.0%')])
def test_not_less_than_before(tmp_path, monkeypatch, branches, problem):
    project = project_module.Project(tmp_path)
    figures.write(project, 'coverage-abcdef0', {'files': {'a.c': {'lines': [1, 2], 'branches': branches}}})
    check = verify.Verification(project)
    monkeypatch.setattr(check, '_build', lambda name: types.SimpleNamespace(name=name, folder=tmp_path))
    monkeypatch.setattr(check, '_modules', lambda *arguments: types.SimpleNamespace(listed=lambda: []))
    monkeypatch.setattr(check, '_test_asyncio', lambda *arguments: ({'tests': 3}, None))
    monkeypatch.setattr(coverage, 'measure', lambda builder: {'b.c': {'lines': [1, 2], 'branches': [5, 10]}})
    found, said = check.coverage()
    assert (found['tests'], said) == (3, problem)
    assert json.dumps(found['files'])


def test_command_line(capsys):
    assert coverage.main([]) == coverage.main(['--help']) == 2
    assert 'python3 -m tools.coverage REVISION' in capsys.readouterr().err
