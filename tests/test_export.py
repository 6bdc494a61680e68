"""export: the series in a plain CPython, as commits or as one patch.  (For the way back from build/src, see test_series.py.)"""

import os
import pathlib
import subprocess

import pytest

from tools import project as project_module
from tools import repository
from tools import source

ROOT = pathlib.Path(__file__).resolve().parent.parent
IDENTITY = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.org']
SUBJECTS = ["asyncbis: the overlay's sources", 'asyncio: Make f0 return a word', 'asyncio: Make f19 return a word',
            "asyncbis: the overlay's tests and docs"]


def git(folder, *arguments):
    return subprocess.run(['git', *IDENTITY, *arguments], cwd=folder, check=True, capture_output=True, text=True,
                          timeout=300).stdout.strip()


def unpack(tarball, folder):
    """Unpack the sources of CPython into folder; return it."""
    folder.mkdir()
    subprocess.run(['tar', '-C', folder, '--strip-components=1', '-xf', tarball], check=True, timeout=300)
    return folder


def commit(folder):
    """Make a git checkout, with one commit, of what is in folder; return it."""
    git(folder, 'init', '--quiet', '--initial-branch=main')
    git(folder, 'add', '--all', '--force')
    git(folder, 'commit', '--quiet', '--message', 'CPython')
    return folder


@pytest.fixture
def checkout(patched, tmp_path):
    """A checkout of the sources that the project in miniature is for."""
    return commit(unpack(patched.tarball, tmp_path / 'checkout'))


def state(folder):
    return git(folder, 'rev-parse', 'HEAD'), git(folder, 'status', '--porcelain')


def test_commits(patched, checkout):
    before = git(checkout, 'rev-parse', 'HEAD')
    assert f'4 commits made in {checkout}' in patched.run('export', checkout).stderr
    assert git(checkout, 'log', '--reverse', '--format=%s').splitlines() == ['CPython', *SUBJECTS]
    assert git(checkout, 'rev-parse', 'HEAD~4', 'HEAD^{tree}').splitlines() == [
        before, patched.git('rev-parse', 'HEAD^{tree}')]
    assert git(checkout, 'status', '--porcelain') == ''
    # With the author of the patch, and with what the message says but for the trailers.
    assert git(checkout, 'log', '-1', '--format=%an %cn%n%B', 'HEAD~1') == (
        'Ada Müller Ada Müller\nasyncio: Make f19 return a word\n\nBecause it must be.')


def test_no_branch(patched, checkout):
    # As after `git clone --branch v9.9.1`.
    assert 'switch -c' not in patched.run('export', checkout).stderr
    git(checkout, 'checkout', '--quiet', '--detach', 'HEAD~4')
    assert f'no branch is checked out there; to keep them: git -C {checkout} switch -c NAME' in patched.run(
        'export', checkout).stderr


def test_patch(patched, tmp_path):
    sources = unpack(patched.tarball, tmp_path / 'plain')
    assert patched.run('export', '--patch', 'all.patch').stderr.endswith('all.patch\n')
    with open(patched.folder / 'all.patch') as file:
        subprocess.run(['patch', '-p1', '--fuzz=0'], cwd=sources, stdin=file, check=True, timeout=60)
    assert (sources / 'Lib/asyncio/mine.py').read_text() == 'MINE = 1\n'
    assert git(commit(sources), 'rev-parse', 'HEAD^{tree}') == patched.git('rev-parse', 'HEAD^{tree}')


def test_patch_on_standard_output(patched):
    patched.run('export', '--patch', 'all.patch')
    assert patched.run('export', '--patch', '-').stdout == (patched.folder / 'all.patch').read_text()


def test_without_what_is_fork_only(patched, checkout):
    for path in patched.root.glob('patches/make-f0*.patch'):
        path.write_text(path.read_text().replace('Category: fork-only', 'Category: upstreamable'))
    patched.run('prepare')
    assert '2 commits made' in patched.run('export', '--upstreamable', checkout).stderr
    assert git(checkout, 'log', '-1', '--format=%s') == SUBJECTS[1]


def test_fork_only_patch_that_cannot_be_left_out(patched, checkout):
    for path in patched.root.glob('patches/make-f19*.patch'):
        path.write_text(path.read_text().replace('Category: fork-only', 'Category: upstreamable'))
    patched.run('prepare')
    assert 'stands before one that is upstreamable' in patched.fail('export', '--upstreamable', checkout)


def test_other_version(patched, checkout):
    path = checkout / 'Lib' / 'asyncio' / 'tasks.py'
    path.write_text(path.read_text().replace('return 19', 'return 20'))
    git(checkout, 'commit', '--quiet', '--all', '--message', 'newer')
    before = state(checkout)
    message = patched.fail('export', checkout)
    assert message.startswith("the patch 'asyncio: Make f19 return a word', 3 of 4, does not apply")
    assert 'The series is for CPython 9.9.1' in message
    assert state(checkout) == before
    git(checkout, 'reset', '--quiet', '--hard', 'HEAD~1')
    patched.run('export', checkout)


def test_index_that_is_in_use(patched, checkout):
    (checkout / '.git' / 'index.lock').touch()
    before = git(checkout, 'rev-parse', 'HEAD')
    message = patched.fail('export', checkout)
    assert 'which is as before' in message and 'index.lock' in message
    (checkout / '.git' / 'index.lock').unlink()
    assert git(checkout, 'rev-parse', 'HEAD') == before
    assert git(checkout, 'status', '--porcelain') == ''


def test_settings_of_the_checkout(patched, checkout):
    for setting in ('apply.whitespace', 'error'), ('core.autocrlf', 'true'), ('commit.gpgSign', 'true'):
        git(checkout, 'config', *setting)
    patched.run('export', checkout)
    assert git(checkout, 'rev-parse', 'HEAD^{tree}') == patched.git('rev-parse', 'HEAD^{tree}')


def test_file_in_the_way(patched, checkout):
    path = checkout / 'Lib' / 'asyncio' / 'mine.py'
    path.write_text('YOURS = 1\n')
    before = state(checkout)
    assert 'Lib/asyncio/mine.py' in patched.fail('export', checkout)
    assert path.read_text() == 'YOURS = 1\n'
    assert state(checkout) == before


def test_uncommitted_change_in_the_checkout(patched, checkout):
    path = checkout / 'Lib' / 'asyncio' / 'other.py'
    path.write_text('OTHER = 2\n')
    assert 'has changes that are not committed (Lib/asyncio/other.py)' in patched.fail('export', checkout)
    assert path.read_text() == 'OTHER = 2\n'


def test_rebase_in_the_checkout(patched, checkout):
    (checkout / '.git' / 'rebase-merge').mkdir()
    assert 'in the middle of something' in patched.fail('export', checkout)


def test_no_checkout(patched, checkout, tmp_path):
    for folder in tmp_path / 'missing', checkout / 'configure':
        assert f'there is no folder {folder}' in patched.fail('export', folder)
    for folder in patched.cache, checkout / '.git':
        assert f'{folder} is no git checkout with a commit in it' in patched.fail('export', folder)
    assert 'is a folder within a git checkout' in patched.fail('export', checkout / 'Lib')


def test_neither_checkout_nor_file(patched):
    assert patched.fail('export').startswith('export needs a git checkout of CPython, or a file')


def test_file_that_cannot_be_written(patched):
    (patched.folder / 'folder').mkdir()
    assert 'cannot be written' in patched.fail('export', '--patch', 'folder')


def test_file_that_is_none(patched, tmp_path):
    # What FILE refers to is written, and not replaced by a file.
    (tmp_path / 'there').write_text('before')
    (tmp_path / 'link').symlink_to('there')
    patched.run('export', '--patch', tmp_path / 'link')
    assert (tmp_path / 'link').is_symlink()
    assert (tmp_path / 'there').read_text().startswith('asyncbis: ')
    os.mkfifo(tmp_path / 'pipe')
    with subprocess.Popen(['cat', tmp_path / 'pipe'], stdout=subprocess.PIPE, text=True) as reader:
        patched.run('export', '--patch', tmp_path / 'pipe')
        assert reader.communicate(timeout=60)[0] == (tmp_path / 'there').read_text()
    assert (tmp_path / 'pipe').is_fifo()


def test_work_that_was_not_exported_by_refresh(patched, checkout):
    patched.edit('Lib/asyncio/tasks.py', 'return 5', 'return "five"')
    patched.commit('asyncio: Make f5 return a word')
    before = state(checkout)
    assert 'build/src holds work that no patch and no overlay file has yet' in patched.fail('export', checkout)
    assert state(checkout) == before


def test_our_series(tmp_path):
    # Both ways give, file by file, what the interpreter is built from.
    subprocess.run(['./build.sh', 'export', '--patch', tmp_path / 'all.patch'], cwd=ROOT, check=True, timeout=600)
    project = project_module.Project(ROOT)
    tree = repository.Repository(project.src).tree_of('HEAD')
    sources = unpack(source.Finder(project.upstream).find(), tmp_path / 'sources')
    commit(sources)
    subprocess.run(['./build.sh', 'export', sources], cwd=ROOT, check=True, timeout=600)
    assert git(sources, 'rev-parse', 'HEAD^{tree}') == tree
    messages = git(sources, 'log', '--format=%B', 'main')
    for trailer in 'Adds:', 'Category:', 'Forwarded:', 'Rule:':
        assert f'\n{trailer}' not in messages
    first = git(sources, 'rev-list', '--max-parents=0', 'HEAD')
    git(sources, 'reset', '--quiet', '--hard', first)
    with open(tmp_path / 'all.patch', 'rb') as file:
        subprocess.run(['patch', '-p1', '--fuzz=0', '--quiet'], cwd=sources, stdin=file, check=True, timeout=300)
    git(sources, 'add', '--all', '--force')
    assert git(sources, 'write-tree') == tree
