"""prepare, the edit loop and refresh."""

import email.header
import os
import re

import pytest

from fake_project import FILES, TRAILERS, write_tarball
from tools import export
from tools import git
from tools import mail
from tools import project as project_module
from tools import tree

FIRST = 'patches/make-f0-return-a-word.patch'
LAST = 'patches/make-f19-return-a-word.patch'


def everything(project):
    """The content of all files of the project."""
    return {path: path.read_bytes() for path in project.root.rglob('*')
            if path.is_file() and not {'build', '.git'} & set(path.relative_to(project.root).parts)}


# prepare


def test_history(patched):
    assert patched.subjects() == ['CPython 9.9.1', "asyncbis: the overlay's sources", 'asyncio: Make f0 return a word',
                                  'asyncio: Make f19 return a word', "asyncbis: the overlay's tests and docs"]
    assert patched.git('rev-parse', 'upstream') == patched.git('rev-list', '--max-parents=0', 'HEAD')
    assert patched.git('diff', '--name-only', 'upstream', 'HEAD~3') == 'Lib/asyncio/mine.py'
    assert patched.git('diff', '--name-only', 'HEAD~1', 'HEAD') == 'Lib/test/test_asyncio/test_mine.py'
    assert patched.git('ls-tree', 'upstream', 'configure').split()[0] == '100755'
    assert patched.git('status', '--porcelain') == ''


def test_same_input_gives_same_commits(patched):
    head = patched.git('rev-parse', 'HEAD')
    patched.run('clean')
    patched.run('prepare')
    assert patched.git('rev-parse', 'HEAD') == head


def test_author_date_and_message_survive(project):
    project.run('prepare')
    project.edit('Lib/asyncio/tasks.py', 'return 0', 'return "zero"')
    project.commit('asyncio: Make f0 return a wörd', 'First line\n  indented\n\nAnother paragraph, of Zoë.')
    project.git('commit', '--amend', '--no-edit', '--date', '2026-03-04T05:06:07+0530')
    message = project.git('log', '-1', '--format=%B')
    project.run('refresh')
    project.run('clean')
    project.run('prepare')
    assert project.git('log', '-1', '--format=%B') == message
    assert project.git('log', '-1', '--format=%an <%ae> %ai') == (
        'Ada Müller <ada@example.org> 2026-03-04 05:06:07 +0530')


def test_patch_file_is_plain_and_complete(patched):
    text = patched.read(FIRST)
    assert text.startswith(f'From {"0" * 40} Mon Sep 17 00:00:00 2001\nFrom: Ada Müller <ada@example.org>\nDate: ')
    assert re.search(r'\nindex [0-9a-f]{40}\.\.[0-9a-f]{40} 100644\n', text)
    assert '\nSubject: asyncio: Make f0 return a word\n\nBecause it must be.\n\nCategory: ' in text
    assert text.endswith('\n')
    assert '\n-- \n' not in text


def test_git_am_understands_the_patches(patched):
    head = patched.git('rev-parse', 'HEAD~1^{tree}')
    patched.git('checkout', '--quiet', 'HEAD~3')
    patched.git('am', '--quiet', *(str(patched.root / name) for name in (FIRST, LAST)))
    assert patched.git('rev-parse', 'HEAD^{tree}') == head


def test_patches_of_git_format_patch_are_understood(patched):
    for number, name in ((3, FIRST), (2, LAST)):
        text = patched.git('format-patch', '-1', '--stdout', '--numbered', f'HEAD~{number - 1}')
        assert '[PATCH 1/1]' in text and '\n-- \n' in text
        patched.write(name, text + '\n')
    head = patched.git('rev-parse', 'HEAD')
    patched.run('prepare')
    assert patched.git('rev-parse', 'HEAD') == head
    patched.run('refresh')
    assert patched.status() == ''


def test_encoded_headers_are_decoded(project):
    header = email.header.Header('asyncio: Use Zoë', 'utf-8').encode()
    data = (f'From: =?utf-8?q?Zo=C3=AB?= <z@example.org>\nDate: Wed, 4 Mar 2026 05:06:07 +0000\nSubject: {header}\n\n'
            'Why.\n---\ndiff --git a/x b/x\n').encode()
    patch = mail.parse(git.Git(project.root), data)
    assert patch == mail.Patch('Zoë <z@example.org>', 'Wed, 4 Mar 2026 05:06:07 +0000', 'asyncio: Use Zoë\n\nWhy.\n',
                               b'diff --git a/x b/x\n')


def test_only_what_differs_is_written(patched):
    """Otherwise every prepare would build the whole interpreter anew."""
    paths = [path for path in patched.src.rglob('*') if path.is_file() and '.git' not in path.parts]
    for path in paths:
        os.utime(path, (1, 1))
    patched.git('update-index', '--refresh')
    patched.write('Lib/asyncio/mine.py', 'MINE = 2\n')
    patched.run('prepare')
    assert [path.name for path in paths if path.stat().st_mtime != 1] == ['mine.py']
    assert (patched.src / 'Lib/asyncio/mine.py').read_text() == 'MINE = 2\n'


def test_removed_overlay_file_goes_away(patched):
    (patched.root / 'Lib/asyncio/mine.py').unlink()
    patched.run('prepare')
    assert not (patched.src / 'Lib/asyncio/mine.py').exists()


def test_new_upstream(patched):
    """The pin is changed: the series is put on the new upstream."""
    tarball = patched.folder / 'new.tar.xz'
    patched.pin(write_tarball(tarball, {**FILES, 'Lib/asyncio/other.py': 'OTHER = 2\n'}))
    patched.run('prepare', '--source', str(tarball))
    assert (patched.src / 'Lib/asyncio/other.py').read_text() == 'OTHER = 2\n'
    assert patched.git('show', 'upstream:Lib/asyncio/other.py') == 'OTHER = 2'
    assert len(patched.subjects()) == 5


def test_patch_that_does_not_apply(patched):
    head = patched.git('rev-parse', 'HEAD')
    patched.write(LAST, patched.read(LAST).replace('    return 19', '    return 1900'))
    message = patched.fail('prepare')
    assert f'{LAST} does not apply:\n  error: patch failed: Lib/asyncio/tasks.py:' in message
    assert './build.sh prepare --until make-f19-return-a-word' in message
    assert patched.git('rev-parse', 'HEAD') == head


def test_carrying_a_patch_over_by_hand(patched):
    patched.run('prepare', '--until', 'make-f0-return-a-word')
    assert len(patched.subjects()) == 3
    # The rest of the work is not forgotten by a refresh on the way.
    patched.git('am', '--quiet', '-3', str(patched.root / FIRST))
    patched.run('refresh')
    assert patched.status() == ''
    assert len(patched.subjects()) == 4
    patched.git('am', '--quiet', '-3', str(patched.root / LAST))
    patched.run('refresh')
    assert patched.status() == ''
    assert len(patched.subjects()) == 5


def test_until_an_unknown_patch(patched):
    assert 'make-f0-return-a-word.patch' in patched.fail('prepare', '--until', 'other')


@pytest.mark.parametrize('path', ['Lib/asyncio/tasks.py', 'Modules/_spammodule.c'])
def test_overlay_file_that_upstream_has(project, path):
    project.write(path, 'x\n')
    message = project.fail('prepare')
    assert f'{path} is a file of upstream' in message
    assert f'build/src/{path}' in message


def test_patch_of_an_overlay_file(patched):
    patched.write(FIRST, patched.read(FIRST).replace('Lib/asyncio/tasks.py', 'Lib/asyncio/mine.py'))
    assert 'touches Lib/asyncio/mine.py, which upstream does not have' in patched.fail('prepare')


@pytest.mark.parametrize('text, complaint', [
    ('', 'no patch in mailbox format'),
    ('From: A <a@b>\nDate: Wed, 4 Mar 2026 05:06:07 +0000\nSubject: x\n\nbody\n', 'no diff in it'),
    ('Date: Wed, 4 Mar 2026 05:06:07 +0000\nSubject: x\n\n---\ndiff --git a/x b/x\n', 'no From in its header'),
    ('From: A <a@b>\nSubject: x\n\n---\ndiff --git a/x b/x\n', 'no Date in its header'),
])
def test_what_is_no_patch(project, text, complaint):
    project.write('patches/x.patch', text)
    project.write('patches/series', 'x.patch\n')
    assert complaint in project.fail('prepare')


def test_listed_patch_that_is_missing(project):
    project.write('patches/series', 'gone.patch\n')
    assert 'there is no patches/gone.patch' in project.fail('prepare')


# Nothing is lost


def modify(project):
    project.edit('Lib/asyncio/tasks.py', 'return 3', 'return 33')
    return 'Lib/asyncio/tasks.py'


def stage(project):
    modify(project)
    project.git('add', '--all')
    return 'Lib/asyncio/tasks.py'


def add(project):
    (project.src / 'Lib/asyncio/new.py').write_text('NEW = 1\n')
    return 'Lib/asyncio/new.py'


def commit(project):
    modify(project)
    project.commit('asyncio: Make f3 return more')
    return 'asyncio: Make f3 return more'


def commit_elsewhere(project):
    project.git('checkout', '--quiet', '-b', 'my-work', 'HEAD~1')
    return commit(project)


@pytest.mark.parametrize('work', [modify, stage, add, commit, commit_elsewhere])
@pytest.mark.parametrize('verb', ['prepare', 'clean'])
def test_work_is_not_thrown_away(patched, work, verb):
    named = work(patched)
    before = {path: path.read_bytes() for path in patched.src.rglob('*.py')}
    head = patched.git('rev-parse', 'HEAD')
    message = patched.fail(verb)
    assert named in message
    assert './build.sh refresh' in message and 'git -C build/src' in message
    assert {path: path.read_bytes() for path in patched.src.rglob('*.py')} == before
    assert patched.git('rev-parse', 'HEAD') == head


def test_what_interpreters_leave_behind_is_no_work(patched):
    (patched.src / 'Lib/asyncio/__pycache__').mkdir()
    (patched.src / 'Lib/asyncio/__pycache__/tasks.cpython-314.pyc').write_bytes(b'x')
    patched.run('prepare')
    assert patched.git('status', '--porcelain') == ''


@pytest.mark.parametrize('work', [modify, stage, add, commit])
def test_fingerprint_tells_work_from_what_was_prepared(patched, work):
    built = tree.Tree(project_module.Project(patched.root))
    whole, part = built.fingerprint(), built.fingerprint(without=['Lib/test', 'Doc'])
    assert part not in {whole, tree.Tree(project_module.Project(patched.root)).fingerprint(without=['Lib'])}
    work(patched)
    assert built.fingerprint() != whole and built.fingerprint(without=['Lib/test', 'Doc']) != part


@pytest.mark.parametrize('staged', [False, True])
def test_fingerprint_without_a_folder(patched, staged):
    built = tree.Tree(project_module.Project(patched.root))
    whole, part = built.fingerprint(), built.fingerprint(without=['Lib/test', 'Doc'])
    patched.edit('Lib/test/test_asyncio/test_tasks.py', 'assert 1', 'assert 11')
    if staged:
        patched.git('add', '--all')
        patched.edit('Lib/test/test_asyncio/test_tasks.py', 'assert 11', 'assert 111')
    status = patched.git('status', '--porcelain')
    assert built.fingerprint() != whole
    assert built.fingerprint(without=['Lib/test', 'Doc']) == part
    assert patched.git('status', '--porcelain') == status


@pytest.mark.parametrize('work', [modify, stage, add])
def test_refresh_wants_commits(patched, work):
    before = everything(patched)
    named = work(patched)
    message = patched.fail('refresh')
    assert named in message and 'git commit' in message
    assert everything(patched) == before


def test_giving_the_work_up_as_the_message_says(patched):
    commit(patched)
    add(patched)
    line = next(line for line in patched.fail('prepare').splitlines() if 'To give it up' in line)
    for command in line.partition(': ')[2].split(' && '):
        patched.git(*command.split()[1:], where=patched.root)
    patched.run('prepare')


# refresh


def test_refresh_after_prepare_changes_nothing(patched):
    patched.run('prepare')
    head = patched.git('rev-parse', 'HEAD')
    assert 'nothing has changed' in patched.run('refresh').stderr
    assert patched.status() == ''
    patched.run('prepare')
    assert patched.git('rev-parse', 'HEAD') == head


def test_commit_that_touches_both_kinds_is_split(patched):
    modify(patched)
    patched.edit('Lib/asyncio/mine.py', '1', '2')
    (patched.src / 'Doc').mkdir()
    (patched.src / 'Doc/mine.rst').write_text('Mine.\n')
    patched.commit('asyncio: Make f3 return more')
    patched.run('refresh')
    assert patched.status().splitlines() == ['M Lib/asyncio/mine.py', ' M patches/series', '?? Doc/mine.rst',
                                             '?? patches/make-f3-return-more.patch']
    assert 'mine' not in patched.read('patches/make-f3-return-more.patch')
    assert patched.read('patches/series').splitlines()[-1] == 'make-f3-return-more.patch'
    assert patched.subjects()[-2] == 'asyncio: Make f3 return more'
    assert patched.git('status', '--porcelain') == ''
    patched.run('prepare')


def test_commit_of_overlay_files_only_makes_no_patch(patched):
    patched.edit('Lib/asyncio/mine.py', '1', '2')
    patched.commit('Whatever')
    patched.run('refresh')
    assert patched.status() == 'M Lib/asyncio/mine.py'
    assert patched.read('Lib/asyncio/mine.py') == 'MINE = 2\n'
    assert len(patched.subjects()) == 5


def test_overlay_file_removed_in_build_src(patched):
    patched.git('rm', '--quiet', 'Lib/asyncio/mine.py')
    patched.commit('Whatever')
    patched.run('refresh')
    assert patched.status() == 'D Lib/asyncio/mine.py'


def test_executable_overlay_file(patched):
    (patched.src / 'Lib/asyncio/mine.py').chmod(0o755)
    patched.commit('Whatever')
    patched.run('refresh')
    assert os.access(patched.root / 'Lib/asyncio/mine.py', os.X_OK)
    patched.run('prepare')
    assert patched.git('ls-files', '--stage', 'Lib/asyncio/mine.py').startswith('100755')


def test_dropped_patch(patched):
    patched.write('patches/series', '# The order.\n\n# About f0.\nmake-f0-return-a-word.patch\n\n# About f19.\n'
                  'make-f19-return-a-word.patch\n')
    patched.run('prepare')
    patched.git('rebase', '--quiet', '--onto', 'HEAD~3', 'HEAD~2')
    patched.run('refresh')
    assert not (patched.root / FIRST).exists()
    assert patched.read('patches/series') == ('# The order.\n\n# About f0.\n\n# About f19.\n'
                                              'make-f19-return-a-word.patch\n')


def test_reworded_subject_renames_the_file(patched):
    patched.git('reset', '--quiet', '--hard', 'HEAD~1')
    patched.git('commit', '--quiet', '--amend', '-m', 'asyncio: Let f19 speak\n\nBecause.')
    (patched.src / 'Lib/test/test_asyncio/test_mine.py').write_text('TEST = 1\n')
    patched.commit('overlay')
    patched.run('refresh')
    assert not (patched.root / LAST).exists()
    assert patched.read('patches/series').splitlines()[-2:] == ['make-f0-return-a-word.patch', 'let-f19-speak.patch']


def test_fixup_is_folded_in(patched):
    """Also one that belongs to an overlay file which comes later in the history than the patch."""
    patched.edit('Lib/asyncio/tasks.py', 'return "zero"', 'return "nil"')
    (patched.src / 'Lib/test/test_asyncio/test_mine.py').write_text('TEST = 2\n')
    patched.git('commit', '--quiet', '--all', '--fixup', ':/Make f0')
    before = everything(patched)
    assert './build.sh refresh --autosquash' in patched.fail('refresh')
    assert everything(patched) == before
    patched.run('refresh', '--autosquash')
    assert patched.status().splitlines() == [
        'M Lib/test/test_asyncio/test_mine.py', f' M {FIRST}', f' M {LAST}']
    assert '+    return "nil"' in patched.read(FIRST)
    assert len(patched.subjects()) == 5
    patched.run('prepare')
    assert (patched.src / 'Lib/asyncio/tasks.py').read_text().startswith('def f0():\n    return "nil"\n')


@pytest.mark.parametrize('kind, message', [
    ('squash', 'asyncio: Make f0 return a word\n\nBecause it must be.\n\nCategory: fork-only\nForwarded: not-needed\n\n'
               'Added.\n'),
    ('amend', 'asyncio: Replace it\n\nAdded.\n'),
])
def test_other_kinds_of_fixup(patched, kind, message):
    patched.edit('Lib/asyncio/tasks.py', 'return "zero"', 'return "nil"')
    rest = 'asyncio: Replace it\n\nAdded.' if kind == 'amend' else 'Added.'
    patched.git('commit', '--quiet', '--all', '-m', f'{kind}! asyncio: Make f0 return a word\n\n{rest}')
    patched.run('refresh', '--autosquash')
    assert patched.git('log', '-1', '--format=%B', 'HEAD~2') == message.strip()


def test_fixup_that_needs_a_hand(patched):
    """It changes a line that the patch between has made."""
    patched.edit('Lib/asyncio/tasks.py', 'return "nineteen"', 'return "XIX"')
    patched.git('commit', '--quiet', '--all', '--fixup', ':/Make f0')
    before, head = everything(patched), patched.git('rev-parse', 'HEAD')
    message = patched.fail('refresh', '--autosquash')
    assert 'does not apply there' in message and 'git -C build/src rebase -i upstream' in message
    assert everything(patched) == before
    assert patched.git('rev-parse', 'HEAD') == head


def test_fixup_for_nothing(patched):
    patched.edit('Lib/asyncio/tasks.py', 'return 3', 'return 33')
    patched.git('commit', '--quiet', '--all', '-m', 'fixup! asyncio: Never heard of')
    assert 'is for a commit that is not there' in patched.fail('refresh', '--autosquash')


def test_new_file_outside_of_the_overlay(patched):
    (patched.src / 'Objects').mkdir()
    (patched.src / 'Objects/new.c').write_text('x\n')
    patched.commit('asyncio: Add a file')
    before = everything(patched)
    assert 'Objects/new.c in build/src is new' in patched.fail('refresh')
    assert everything(patched) == before


def test_two_commits_with_one_subject(patched):
    patched.edit('Lib/asyncio/tasks.py', 'return 3', 'return 33')
    patched.commit('asyncio: Make f0 return a word')
    assert f'two commits would both become {FIRST}' in patched.fail('refresh')


def test_merge_cannot_be_exported(patched):
    patched.git('checkout', '--quiet', '-b', 'side', 'HEAD~1')
    commit(patched)
    patched.git('checkout', '--quiet', 'asyncbis')
    patched.git('merge', '--quiet', '--no-edit', 'side')
    assert 'is a merge' in patched.fail('refresh')


def test_rebase_under_way(patched):
    patched.git('-c', 'sequence.editor=sed -i 1ibreak', 'rebase', '--quiet', '--interactive', 'upstream')
    assert 'a git rebase is under way' in patched.fail('refresh')


@pytest.mark.parametrize('line', ['--- a line', 'diff --git a/x b/x'])
def test_message_that_no_mail_can_hold(patched, line):
    modify(patched)
    patched.commit('asyncio: Make f3 return more', f'Look:\n{line}')
    before = everything(patched)
    assert 'cannot become a patch' in patched.fail('refresh')
    assert everything(patched) == before


def test_message_that_looks_like_a_header(patched):
    modify(patched)
    patched.commit('asyncio: Make f3 return more', 'Subject: another one')
    assert 'cannot become a patch' in patched.fail('refresh')


def test_refresh_before_prepare(project):
    assert './build.sh prepare' in project.fail('refresh')


def test_both_sides_changed_different_files(patched):
    """refresh brings them together; build does not guess."""
    commit(patched)
    patched.write('Lib/asyncio/mine.py', 'MINE = 5\n')
    patched.write('Lib/asyncio/extra.py', 'EXTRA = 1\n')
    message = patched.fail('build')
    assert 'Lib/asyncio/mine.py' in message and 'Make f3 return more' in message and './build.sh refresh' in message
    patched.run('refresh')
    assert patched.read('Lib/asyncio/mine.py') == 'MINE = 5\n'
    assert (patched.src / 'Lib/asyncio/mine.py').read_text() == 'MINE = 5\n'
    assert (patched.src / 'Lib/asyncio/extra.py').read_text() == 'EXTRA = 1\n'
    assert 'return 33' in (patched.src / 'Lib/asyncio/tasks.py').read_text()
    assert 'make-f3-return-more.patch' in patched.read('patches/series')
    patched.run('build')


def test_both_sides_changed_one_file(patched):
    patched.edit('Lib/asyncio/mine.py', '1', '2')
    patched.commit('overlay')
    patched.write('Lib/asyncio/mine.py', 'MINE = 5\n')
    before = everything(patched)
    message = patched.fail('refresh')
    assert 'changed both in this project and in build/src' in message and 'Lib/asyncio/mine.py' in message
    assert everything(patched) == before
    assert (patched.src / 'Lib/asyncio/mine.py').read_text() == 'MINE = 2\n'


def test_both_sides_changed_the_patches(patched):
    commit(patched)
    patched.write(FIRST, patched.read(FIRST).replace('Because', 'Since'))
    assert '    patches/\n' in patched.fail('refresh')


def test_project_changed_the_patches_and_build_src_the_overlay(patched):
    patched.edit('Lib/asyncio/mine.py', '1', '2')
    patched.commit('overlay')
    patched.write(FIRST, patched.read(FIRST).replace('Because', 'Since'))
    patched.run('refresh')
    assert 'Since it must be' in patched.git('log', '-1', '--format=%b', 'HEAD~2')
    assert patched.read('Lib/asyncio/mine.py') == 'MINE = 2\n'


def test_settings_of_the_user_do_not_matter(patched):
    """Neither for the export nor for the commits."""
    hooks = patched.folder / 'hooks'
    hooks.mkdir()
    for name in ('post-checkout', 'pre-commit', 'reference-transaction'):
        (hooks / name).write_text('#!/bin/sh\nexit 1\n')
        (hooks / name).chmod(0o755)
    config = patched.folder / 'gitconfig'
    config.write_text(
        '[diff]\nnoprefix = true\nmnemonicPrefix = true\ncontext = 1\nalgorithm = myers\nrenames = copies\n'
        f'[core]\nhooksPath = {hooks}\nautocrlf = true\nabbrev = 5\n'
        '[commit]\ngpgsign = true\n[user]\nname = Nemo\n[format]\nsignature = me\nsubjectPrefix = X\n')
    patched.write('Lib/asyncio/mine.py', 'MINE = 3\n')
    patched.save()
    env = {'GIT_CONFIG_GLOBAL': str(config), 'GIT_DIR': '/nowhere', 'GIT_INDEX_FILE': '/nowhere/index'}
    patched.run('prepare', env=env)
    head = patched.git('rev-parse', 'HEAD')
    patched.run('refresh', env=env)
    assert patched.status() == ''
    patched.run('clean', env=env)
    patched.run('prepare', env=env)
    assert patched.git('rev-parse', 'HEAD') == head


# Overlay files that come with a patch


ADDING = 'patches/add-files.patch'
SERIES_WITH_FILES = ["asyncbis: the overlay's sources", 'asyncio: Make f0 return a word',
                     'asyncio: Make f19 return a word', 'asyncio: Add files']


def files_of(project, commit):
    """Return the paths that a commit of build/src changes."""
    return project.git('diff', '--name-only', f'{commit}~1', commit).splitlines()


def add_files(project, *trailers, edit=True):
    """Commit two new overlay files, and a change of upstream's file, with trailers; export that."""
    if edit:
        modify(project)
    for path in ('Lib/asyncio/new/a.py', 'Lib/test/test_asyncio/test_new.py'):
        (project.src / path).parent.mkdir(exist_ok=True)
        (project.src / path).write_text(f'NAME = "{path}"\n')
    project.commit('asyncio: Add files', trailers='\n'.join([*TRAILERS.splitlines(), *trailers]))
    project.run('refresh')
    project.save()


@pytest.mark.parametrize('trailers', [
    ['Adds: Lib/asyncio/new/a.py Lib/test/test_asyncio/test_new.py'],
    ['Adds: Lib/asyncio/new/', 'Adds: Lib/test/test_asyncio/test_new.py'],
    ['Adds: Lib/asyncio/new', 'Rule: 2.1', 'Adds: Lib/test/test_asyncio/test_new.py'],
])
def test_files_come_with_the_patch_that_names_them(patched, trailers):
    add_files(patched, *trailers)
    assert patched.subjects()[1:] == [*SERIES_WITH_FILES, "asyncbis: the overlay's tests and docs"]
    assert files_of(patched, 'HEAD~1') == ['Lib/asyncio/new/a.py', 'Lib/asyncio/tasks.py',
                                           'Lib/test/test_asyncio/test_new.py']
    assert files_of(patched, 'HEAD') == ['Lib/test/test_asyncio/test_mine.py']
    text = patched.read(ADDING)
    assert all(f'\n{trailer}\n' in text for trailer in trailers) and 'NAME' not in text
    # There and back again.
    head = patched.git('rev-parse', 'HEAD')
    assert 'nothing has changed' in patched.run('refresh').stderr
    patched.run('clean')
    patched.run('prepare')
    assert patched.git('rev-parse', 'HEAD') == head
    patched.run('check')


def test_prefix_has_only_the_files_of_its_patches(patched):
    add_files(patched, 'Adds: Lib/asyncio/new Lib/test/test_asyncio/test_new.py')
    patched.git('commit', '--quiet', '--allow-empty', '-m',
                'amend! asyncio: Make f19 return a word\n\nasyncio: Make f19 return a word\n\nWhy.\n\n'
                f'{TRAILERS}\nAdds: Lib/asyncio/mine.py Lib/test/test_asyncio/test_mine.py')
    patched.run('refresh', '--autosquash')
    # No file is left for a commit of the tools' own.
    assert patched.subjects()[1:] == SERIES_WITH_FILES[1:]
    def present(commit):
        return set(patched.git('ls-tree', '-r', '--name-only', commit).splitlines()) - FILES.keys()
    assert present('HEAD~2') == set()
    assert present('HEAD~1') == {'Lib/asyncio/mine.py', 'Lib/test/test_asyncio/test_mine.py'}
    assert present('HEAD') == present('HEAD~1') | {'Lib/asyncio/new/a.py', 'Lib/test/test_asyncio/test_new.py'}
    assert 'nothing has changed' in patched.run('refresh').stderr
    patched.run('check')


def test_patch_of_new_files_alone(patched):
    add_files(patched, 'Adds: Lib/asyncio/new Lib/test/test_asyncio/test_new.py', edit=False)
    assert files_of(patched, 'HEAD~1') == ['Lib/asyncio/new/a.py', 'Lib/test/test_asyncio/test_new.py']
    assert patched.read(ADDING).endswith('\nAdds: Lib/asyncio/new Lib/test/test_asyncio/test_new.py\n')
    patched.run('check')
    head = patched.git('rev-parse', 'HEAD')
    patched.run('clean')
    patched.run('prepare')
    assert patched.git('rev-parse', 'HEAD') == head
    assert 'nothing has changed' in patched.run('refresh').stderr


@pytest.mark.parametrize('number', [0, 1, 2])
def test_edit_of_an_added_file_in_any_commit(patched, number):
    add_files(patched, 'Adds: Lib/asyncio/new Lib/test/test_asyncio/test_new.py')
    patched.edit('Lib/asyncio/new/a.py', 'NAME', 'TITLE')
    if number:
        patched.git('commit', '--quiet', '--all', '--fixup', f'HEAD~{number}')
    else:
        patched.commit('Whatever')
    patched.run('refresh', '--autosquash')
    assert patched.status() == 'M Lib/asyncio/new/a.py'
    assert patched.read('Lib/asyncio/new/a.py').startswith('TITLE')
    assert patched.git('show', 'HEAD~1:Lib/asyncio/new/a.py').startswith('TITLE')
    patched.run('check')


@pytest.mark.parametrize('by_hand', [False, True])
def test_fixup_of_a_patch_with_files(patched, by_hand):
    """Also a commit after it changes the same file of upstream."""
    add_files(patched, 'Adds: Lib/asyncio/new Lib/test/test_asyncio/test_new.py')
    patched.edit('Lib/asyncio/tasks.py', 'return 10', 'return 100')
    patched.commit('asyncio: Make f10 return more')
    patched.edit('Lib/asyncio/tasks.py', 'return 33', 'return 333')
    patched.edit('Lib/asyncio/new/a.py', 'NAME', 'TITLE')
    (patched.src / 'Lib/asyncio/new/b.py').write_text('B = 1\n')
    patched.git('add', '--all')
    patched.git('commit', '--quiet', '--fixup', ':/Add files')
    if by_hand:
        patched.git('rebase', '--quiet', '--autosquash', '--interactive', 'upstream', env={'GIT_SEQUENCE_EDITOR': ':'})
        patched.run('refresh')
    else:
        patched.run('refresh', '--autosquash')
    assert '+    return 333\n' in patched.read(ADDING)
    assert patched.read('Lib/asyncio/new/a.py').startswith('TITLE')
    assert files_of(patched, 'HEAD~2') == ['Lib/asyncio/new/a.py', 'Lib/asyncio/new/b.py', 'Lib/asyncio/tasks.py',
                                           'Lib/test/test_asyncio/test_new.py']
    assert files_of(patched, 'HEAD~1') == ['Lib/asyncio/tasks.py']
    patched.run('check')


def test_fixup_of_a_patch_of_files_alone(patched):
    add_files(patched, 'Adds: Lib/asyncio/new Lib/test/test_asyncio/test_new.py', edit=False)
    patched.edit('Lib/asyncio/new/a.py', 'NAME', 'TITLE')
    patched.git('commit', '--quiet', '--all', '--fixup', ':/Add files')
    patched.run('refresh', '--autosquash')
    assert patched.status() == 'M Lib/asyncio/new/a.py'
    assert patched.subjects()[-2] == 'asyncio: Add files'


def test_removed_file_that_a_patch_names(patched):
    add_files(patched, 'Adds: Lib/asyncio/new Lib/test/test_asyncio/test_new.py')
    patched.git('rm', '--quiet', 'Lib/asyncio/new/a.py')
    patched.commit('Whatever')
    before = everything(patched)
    message = patched.fail('refresh')
    assert f'{ADDING}: its trailer Adds: names Lib/asyncio/new, but the overlay has no such file or folder' in message
    assert 'git -C build/src rebase -i upstream' in message
    assert everything(patched) == before


@pytest.mark.parametrize('old, new, complaint', [
    ('Adds: Lib', 'Adds: Lib/asyncio/mime.py Lib', f'{ADDING}: its trailer Adds: names Lib/asyncio/mime.py, but'),
    ('Adds: Lib', 'Adds: Lib/asyncio/tasks.py Lib', f'{ADDING}: its trailer Adds: names Lib/asyncio/tasks.py, but'),
    ('Adds: Lib', 'Adds: Lib/asyncio/ne Lib', f'{ADDING}: its trailer Adds: names Lib/asyncio/ne, but'),
    ('Adds: Lib', 'Adds: Lib/asyncio/new/a.py\nAdds: Lib',
     f'Lib/asyncio/new/a.py is named more than once by the trailers Adds: of {ADDING}'),
    ('Adds: Lib', 'Adds: Lib/asyncio/mine.py Lib',
     f'Lib/asyncio/mine.py is named more than once by the trailers Adds: of {FIRST} and {ADDING}'),
])
def test_wrong_trailers(patched, old, new, complaint):
    add_files(patched, 'Adds: Lib/asyncio/new Lib/test/test_asyncio/test_new.py')
    patched.write(FIRST, patched.read(FIRST).replace('Forwarded:', 'Adds: Lib/asyncio/mine.py\nForwarded:'))
    patched.run('prepare')
    patched.write(ADDING, patched.read(ADDING).replace(old, new))
    assert complaint in patched.fail('prepare')
    assert complaint in patched.run('check', status=1).stderr


@pytest.mark.parametrize('edit', [True, False])
def test_files_of_patches_that_are_left_out_stay(patched, edit):
    add_files(patched, 'Adds: Lib/asyncio/new Lib/test/test_asyncio/test_new.py', edit=edit)
    patched.run('prepare', '--until', 'add-files')
    assert (patched.src / 'Lib/asyncio/new/a.py').exists()
    assert patched.subjects()[1:] == [*SERIES_WITH_FILES[:-1], "asyncbis: the overlay's tests and docs"]
    patched.git('am', '--quiet', '-3', '--empty=keep', str(patched.root / ADDING))
    patched.run('refresh')
    assert patched.status() == ''
    assert files_of(patched, 'HEAD~1') == ['Lib/asyncio/new/a.py', *(['Lib/asyncio/tasks.py'] if edit else []),
                                           'Lib/test/test_asyncio/test_new.py']


def test_edit_of_an_added_file_in_the_project(patched):
    add_files(patched, 'Adds: Lib/asyncio/new Lib/test/test_asyncio/test_new.py')
    patched.write('Lib/asyncio/new/a.py', 'NAME = 0\n')
    patched.run('prepare')
    assert patched.git('show', 'HEAD~1:Lib/asyncio/new/a.py') == 'NAME = 0'


def test_project_without_any_patch_and_overlay(project):
    project.run('prepare')
    assert project.subjects() == ['CPython 9.9.1']
    project.run('refresh')
    assert 'nothing has changed' in project.run('refresh').stderr
    project.run('build')
    project.run('check')


# The series file and the names


@pytest.mark.parametrize('text, names, expected', [
    ('# head\n', ['a'], '# head\n\na\n'),
    ('# head\n\na\n', ['a', 'b'], '# head\n\na\nb\n'),
    ('# head\n\na\nb\n', ['b'], '# head\n\nb\n'),
    ('# head\n\na\n', [], '# head\n'),
    ('# head\n\n# A\na\n\n# C\nc\n', ['a', 'b', 'c'], '# head\n\n# A\na\nb\n\n# C\nc\n'),
    ('# head\n\n# A\na\n\n# C\nc\n', ['a2', 'c'], '# head\n\n# A\na2\n\n# C\nc\n'),
    ('# head\n\n# A\na\n\n# C\nc\n', ['a', 'c', 'd'], '# head\n\n# A\na\n\n# C\nc\nd\n'),
    ('# A\na\nb\n', ['b', 'a'], 'b\n# A\na\n'),
    ('a\n# end\n', ['a', 'b'], 'a\nb\n# end\n'),
])
def test_comments_of_the_series_are_kept(text, names, expected):
    merged = export.merge_series(text, names)
    assert [line for line in text.splitlines() if line.startswith('#')] == [
        line for line in merged.splitlines() if line.startswith('#')]
    assert merged == expected
    assert export.merge_series(merged, names) == merged


@pytest.mark.parametrize('subject, name', [
    ('asyncio: Give every task a scope', 'give-every-task-a-scope.patch'),
    ('asyncio: Don’t swallow `CancelledError` (gh-1)', 'don-t-swallow-cancellederror-gh-1.patch'),
    ('asyncio: ' + 'word ' * 20, 'word-' * 11 + 'word.patch'),
    ('???', 'patch.patch'),
])
def test_name_of_a_patch(subject, name):
    assert mail.Patch('', '', subject + '\n', b'').name == name
