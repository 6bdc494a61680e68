"""prefixes.py: which interpreter runs the tests of a prefix."""

import os

import pytest

import prefixes
from tools import ui

SPAM = 'Modules/_spammodule.c'


@pytest.fixture
def series(patched, monkeypatch):
    """A Project with two more patches that touch C; the second one adds a C file that the first one does not need."""
    for number in 1, 2:
        patched.edit(SPAM, '_Py_ID(spam)', f'_Py_ID(spam) /* {number} */')
        if number == 2:
            (patched.src / 'Modules/_spam').mkdir()
            (patched.src / 'Modules/_spam/known.h').write_text('/* nothing */\n')
        patched.commit(f'asyncio: Change spam {number}', trailers='Category: fork-only\nForwarded: no'
                       + '\nAdds: Modules/_spam/known.h' * (number == 2))
    patched.run('refresh')
    monkeypatch.setattr(prefixes, 'ROOT', patched.root)
    monkeypatch.setattr(prefixes, 'SOURCES', patched.src)
    monkeypatch.setattr(prefixes, 'FOLDER', patched.root / 'build' / 'prefixes')
    return patched


def commit(project, subject):
    return project.git('rev-parse', f':/{subject}')


def test_interpreters(series):
    stock, release, own = (series.root / 'build' / folder / 'python' for folder in ('stock', 'release', 'prefixes/build'))
    assert prefixes.interpreter(commit(series, 'Make f19')) == stock
    assert not own.exists()
    assert prefixes.interpreter(commit(series, 'Change spam 1')) == own
    assert os.access(own, os.X_OK)
    assert prefixes.interpreter(commit(series, 'Change spam 2')) == release
    assert prefixes.interpreter('HEAD') == release


def test_files_of_later_patches_are_not_there(series):
    sources = series.root / 'build' / 'prefixes' / 'src'
    prefixes.build(commit(series, 'Change spam 2'))
    assert (sources / 'Modules/_spam/known.h').exists()
    before = (sources / 'configure').stat().st_mtime_ns
    prefixes.build(commit(series, 'Change spam 1'))
    assert not (sources / 'Modules/_spam/known.h').exists()
    assert '/* 1 */' in (sources / SPAM).read_text() and '/* 2 */' not in (sources / SPAM).read_text()
    assert (sources / 'configure').stat().st_mtime_ns == before, 'only what differs is written'
    assert (series.root / 'build' / 'prefixes' / 'build' / 'made').read_text() == 'once\nonce\n'


def test_file_that_comes_too_late_needs_a_build_of_its_own(series):
    """Its C sources are those of the release build only with that file."""
    head = series.git('rev-parse', 'HEAD')
    series.git('rm', '--quiet', 'Modules/_spam/known.h')
    series.git('commit', '--quiet', '--message', 'without it')
    without = series.git('rev-parse', 'HEAD')
    series.git('reset', '--quiet', '--hard', head)
    assert prefixes.interpreter(without) == series.root / 'build' / 'prefixes' / 'build' / 'python'


def test_prefix_that_does_not_build(series):
    series.edit('Makefile.pre.in', 'echo once', 'false once')
    series.commit('asyncio: Break it', trailers='Category: fork-only\nForwarded: no')
    with pytest.raises(SystemExit, match='does not build; the end of .*/build/prefixes/log says why'):
        prefixes.build('HEAD')


@pytest.mark.parametrize('failed, problem', [
    ({'m.A.test_x', 'm.B.test_x', 'n.C.test_y'}, None),
    ({'m.A.test_x'}, 'n.C.test_y passes, but .* says that it fails'),
    ({'n.C.test_y'}, r'm\.\*\.test_x passes, but .* says that it fails'),
    ({'m.A.test_x', 'n.C.test_y', 'n.C.test_z'}, 'n.C.test_z fails, and .* does not have it'),
    ({'m.A.test_x', 'n.C.test_y', 'm.A.test_hangs'}, 'm.A.test_hangs fails, and .* does not have it'),
])
def test_list_of_the_first_step(failed, problem):
    text = '# A comment\nm.*.test_x: a reason\nn.C.test_y: another: one\nm.*.test_hangs: hangs: it waits\n'
    if problem is None:
        prefixes.compare(failed, text)
    else:
        with pytest.raises(ui.UserError, match=problem):
            prefixes.compare(failed, text)
