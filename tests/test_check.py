"""check: each thing that it looks at, broken."""

import re

from blurb.blurb import BlurbError, Blurbs
import pytest

from fake_project import ROOT
from tools import changed_tests
from tools import lint
from tools import project as project_module

FIRST = 'patches/make-f0-return-a-word.patch'
TEST_FILE = 'Lib/test/test_asyncio/test_tasks.py'


def failures(project):
    """Run check, which must fail; return its lines."""
    result = project.run('check', status=1)
    lines = [line[len('check: '):] for line in result.stderr.splitlines() if line.startswith('check: ')]
    assert f'check found {len(lines)} problem' in result.stderr
    assert all('; ' in line for line in lines), 'a line without the way out'
    return lines


def failure(project):
    """Run check, which must find one failure."""
    line, = failures(project)
    return line


def test_good_series(patched):
    assert '2 patches, 2 overlay files, 2 of them added by no patch' in patched.run('check').stderr
    assert patched.status() == ''


def test_needs_no_build(patched):
    patched.run('clean')
    patched.run('check')
    assert not (patched.root / 'build' / 'release').exists()
    patched.run('build')


def test_work_in_progress_is_left_alone(patched):
    patched.edit('Lib/asyncio/tasks.py', 'return 3', 'return 33')
    patched.commit('asyncio: Make f3 return more')
    patched.edit('Lib/asyncio/tasks.py', 'return 4', 'return 44')
    head = patched.git('rev-parse', 'HEAD')
    patched.run('check')
    assert patched.git('rev-parse', 'HEAD') == head
    assert patched.git('status', '--porcelain') == 'M Lib/asyncio/tasks.py'


# The series


def test_patch_that_is_not_listed(patched):
    patched.write('patches/series', patched.read('patches/series').replace('make-f19-return-a-word.patch\n', ''))
    assert failure(patched).startswith('patches/make-f19-return-a-word.patch: is not in patches/series; ')


def test_patch_that_is_listed_twice(patched):
    patched.write('patches/series', patched.read('patches/series') + 'make-f0-return-a-word.patch\n')
    assert failure(patched).startswith('patches/series: lists make-f0-return-a-word.patch more than once; ')


def test_listed_patch_that_is_missing(patched):
    (patched.root / FIRST).unlink()
    assert 'there is no patches/make-f0-return-a-word.patch' in ' '.join(
        patched.run('check', status=1).stderr.splitlines())


def test_name_with_a_number(patched):
    (patched.root / FIRST).rename(patched.root / 'patches/0001-make-f0-return-a-word.patch')
    patched.write('patches/series', patched.read('patches/series').replace('make-f0', '0001-make-f0'))
    lines = failures(patched)
    assert lines[0].startswith('patches/series: 0001-make-f0-return-a-word.patch is no slug; ')
    assert 'a patch is named after its subject, this one make-f0-return-a-word.patch; ' in lines[1]


@pytest.mark.parametrize('old, new, complaint', [
    ('asyncio: Make f0 return a word', 'Make f0 return a word', 'must read `asyncio: Do something`'),
    ('asyncio: Make', 'asyncio: Making', "begins with 'Making', which is no imperative"),
    ('asyncio: Make', 'asyncio: Makes', "begins with 'Makes', which is no imperative"),
    ('a word', 'a word.', 'ends with a full stop'),
    ('a word', 'a word' + ' more' * 20, 'more than 78 characters'),
    ('Because it must be.\n\n', '', 'has no body'),
    ('Category: fork-only\n', '', 'needs a trailer `Category:`'),
    ('Category: fork-only', 'Category: ours', 'needs a trailer `Category:`'),
    ('Forwarded: not-needed\n', '', 'needs a trailer `Forwarded:`'),
    ('Forwarded: not-needed', 'Forwarded: maybe', 'needs a trailer `Forwarded:`'),
    ('Forwarded: not-needed', 'Forwarded: no\nRule: two', '`Test-Rule:` must be like'),
    ('Forwarded: not-needed', 'Forwarded: no\nAdd: Lib/asyncio/mine.py', 'its trailer `Add:` means nothing here'),
])
def test_header(patched, old, new, complaint):
    text = patched.read(FIRST)
    assert old in text
    patched.write(FIRST, text.replace(old, new, 1))
    assert complaint in '\n'.join(failures(patched))


@pytest.mark.parametrize('first', ['Pass', 'Embed', 'Suppress', 'Bring', 'Give', 'Use'])
def test_imperatives_that_look_like_something_else(patched, first):
    for path in (FIRST, 'patches/series'):
        patched.write(path, patched.read(path).replace('Make', first).replace('make-f0', f'{first.lower()}-f0'))
    (patched.root / FIRST).rename(patched.root / f'patches/{first.lower()}-f0-return-a-word.patch')
    patched.run('check')


@pytest.mark.parametrize('url', ['no', 'https://example.org/pull/1'])
def test_forwarded(patched, url):
    patched.write(FIRST, patched.read(FIRST).replace('Forwarded: not-needed', f'Forwarded: {url}'))
    patched.run('check')


def test_offset(patched):
    """git would apply it all the same."""
    text = patched.read(FIRST)
    moved = re.sub(r'@@ -1,(\d+) \+1,(\d+) @@', r'@@ -3,\1 +3,\2 @@', text)
    assert moved != text
    patched.write(FIRST, moved)
    assert failure(patched).startswith(f'{FIRST}: is not what ./build.sh refresh writes')


def test_abbreviated_index(patched):
    patched.write(FIRST, re.sub(r'index (.{9}).*?\.\.(.{9}).*? ', r'index \1..\2 ', patched.read(FIRST)))
    assert failure(patched).startswith(f'{FIRST}: is not what ./build.sh refresh writes')


def test_patch_that_does_not_apply(patched):
    patched.write(FIRST, patched.read(FIRST).replace('-    return 0', '-    return 00'))
    assert f'{FIRST} does not apply' in patched.run('check', status=1).stderr


def test_stray_blank_lines_in_the_series(patched):
    patched.write('patches/series', patched.read('patches/series') + '\n\n')
    assert failure(patched).startswith('patches/series: is not what ./build.sh refresh writes')


# Ownership and whitespace


def test_overlay_file_that_upstream_has(patched):
    patched.write('Lib/asyncio/other.py', 'OTHER = 1\n')
    assert 'Lib/asyncio/other.py: is a file of upstream; ' in '\n'.join(failures(patched))


def test_patch_of_an_overlay_file(patched):
    patched.write(FIRST, patched.read(FIRST).replace('Lib/asyncio/tasks.py', 'Lib/asyncio/mine.py'))
    assert 'which upstream does not have' in patched.run('check', status=1).stderr


@pytest.mark.parametrize('change, complaint', [
    (('return 3\n', 'return 33  \n'), 'adds whitespace at the end of a line'),
    (('return 3\n', 'return  3\n'), 'a hunk changes nothing but whitespace'),
    (('def f4():\n', '\ndef f4():\n'), 'a hunk changes nothing but whitespace'),
    (('return 5\n\n\ndef f6():\n    return 6\n\n\n', 'return 55\n\n\ndef f6():\n    return 6\n\n'),
     'adds or removes empty lines on their own'),
])
def test_noise_in_a_patch(patched, change, complaint):
    patched.edit('Lib/asyncio/tasks.py', *change)
    patched.commit('asyncio: Change a line')
    patched.run('refresh')
    assert complaint in failure(patched)


def test_moving_code_into_a_block_is_no_noise(patched):
    patched.edit('Lib/asyncio/tasks.py', '    return 3\n', '    if True:\n        return 3\n')
    patched.commit('asyncio: Ask before f3 returns')
    patched.run('refresh')
    patched.run('check')


@pytest.mark.parametrize('text, complaint', [
    ('x = 1 \n', 'Lib/asyncio/mine.py:1: whitespace at the end of the line'),
    ('x = 1\r\n', 'Lib/asyncio/mine.py:1: whitespace at the end of the line'),
    ('x = 1', 'Lib/asyncio/mine.py: no newline at the end'),
])
def test_noise_in_the_overlay(patched, text, complaint):
    (patched.root / 'Lib/asyncio/mine.py').write_bytes(text.encode())
    assert failure(patched).startswith(complaint)


# Texts


def test_host_name_of_a_mirror(patched):
    patched.write('README.md', 'one\nhttps://files.pythonhosted' + '.org/x\n')
    assert failure(patched).startswith("README.md:2: names a mirror's host; ")


def test_path_of_the_machine(patched):
    patched.write('README.md', f'cd {patched.root}/examples\n')
    assert failure(patched).startswith('README.md:1: holds the path of this checkout; ')


# News


@pytest.mark.parametrize('path, text, complaint', [
    ('Library/2026-01-02-03-04-05.gh-issue-140000.aBcD.rst', 'Something new.\n', None),
    ('C_API/2026-01-02-03-04-05.gh-issue-140000.aBcD.rst', 'Something new.\n', None),
    ('Asyncio/2026-01-02-03-04-05.gh-issue-140000.aBcD.rst', 'Something new.\n', 'must lie in Misc/NEWS.d/next/'),
    ('Library/level.rst', 'Something new.\n', 'must be called'),
    ('Library/2026-01-02-03-04-05.gh-issue-1.aBcD.rst', 'Something new.\n', 'must be called'),
    ('Library/2026-01-02-03-04-05.gh-issue-140000.aBcD.rst', '\n', 'has no text'),
    ('Library/2026-01-02-03-04-05.gh-issue-140000.aBcD.rst', '- New.\n', 'must not begin with a bullet'),
    ('Library/2026-01-02-03-04-05.gh-issue-140000.aBcD.rst', 'gh-140000: New.\n', 'must not begin with a bullet'),
    ('Library/2026-01-02-03-04-05.gh-issue-140000.aBcD.rst', 'New.\n..\nMore.\n', 'more than one entry'),
])
def test_news(patched, path, text, complaint):
    """Our rules and blurb's own are the same."""
    path = f'Misc/NEWS.d/next/{path}'
    patched.write(path, text)
    inputs = _inputs(patched)
    found = list(lint._news(inputs))
    if complaint is None:
        assert found == []
        Blurbs().load_next(str(patched.root / path))
    else:
        assert len(found) == 1 and complaint in found[0]
        with pytest.raises((BlurbError, AssertionError)):
            Blurbs().load_next(str(patched.root / path))


def test_news_of_the_project_itself():
    """blurb takes the entries that are in the tree."""
    blurbs = Blurbs()
    paths = sorted((ROOT / 'Misc' / 'NEWS.d').rglob('*.rst'))
    for path in paths:
        blurbs.load_next(str(path))
    assert len(blurbs) == len(paths)


def _inputs(patched):
    return project_module.Project(patched.root).read_inputs()


# Generated files


def test_clinic_that_was_not_run(patched):
    patched.edit('Modules/_spammodule.c', '[fresh]', '[stale]')
    patched.commit('asyncio: Add a parameter')
    patched.run('refresh')
    line = failure(patched)
    assert line.startswith('Modules/_spammodule.c: Tools/clinic/clinic.py would write it anew; ')
    assert 'python3 Tools/clinic/clinic.py Modules/_spammodule.c' in line


def test_clinic_that_fails(patched):
    patched.edit('Modules/_spammodule.c', '[fresh]', 'BROKEN')
    patched.commit('asyncio: Add a parameter')
    patched.run('refresh')
    assert 'Tools/clinic/clinic.py Modules/_spammodule.c fails: no such converter; ' in failure(patched)


def test_global_objects_that_were_not_made(patched):
    patched.edit('Modules/_spammodule.c', '_Py_ID(spam)', '_Py_ID(spam)\n_Py_ID(eggs)')
    patched.commit('asyncio: Add a name')
    patched.run('refresh')
    line = failure(patched)
    assert line.startswith('Include/internal/pycore_names.h: Tools/build/generate_global_objects.py would write it ')
    (patched.src / 'Include/internal/pycore_names.h').write_text('_Py_ID(eggs)\n_Py_ID(spam)\n')
    patched.git('commit', '--quiet', '--all', '--fixup', ':/Add a name')
    patched.run('refresh', '--autosquash')
    patched.run('check')


@pytest.mark.parametrize('name, complaint', [('known.h', None), ('unknown.h', 'Makefile.pre.in does not name it')])
def test_make_must_know_of_c_files(patched, name, complaint):
    patched.write(f'Modules/_spam/{name}', '/* nothing */\n')
    if complaint:
        assert complaint in failure(patched)
    else:
        patched.run('check')


# Changed tests of upstream


def change_a_test(project, trailers):
    project.edit(TEST_FILE, 'assert 2', 'assert 3')
    project.commit('asyncio: Expect three in a test', 'Since\nthree is | more.\n\nMore words.', trailers)
    project.run('refresh')


def test_changed_test_without_a_rule(patched):
    change_a_test(patched, 'Category: fork-only\nForwarded: not-needed')
    assert "changes upstream's tests and needs a trailer `Rule: NUMBER`" in failure(patched)


def test_changed_test_and_code_in_one_patch(patched):
    """A test changes in the patch that changes the behavior."""
    patched.edit('Lib/asyncio/tasks.py', 'return 3', 'return 33')
    change_a_test(patched, 'Category: fork-only\nForwarded: not-needed\nRule: 2.1')
    patched.run('check')


def test_changed_tests_are_documented(patched):
    change_a_test(patched, 'Category: fork-only\nForwarded: not-needed\nRule: 2.1, 6a')
    assert '`Test-Rule:` must be like' in failure(patched)
    patched.git('commit', '--quiet', '--amend', '-m', patched.git('log', '-1', '--format=%B', 'HEAD~1').replace(
        '6a', '6.5a'), '--allow-empty')
    patched.git('reset', '--quiet', '--hard', 'HEAD~1')
    patched.git('commit', '--quiet', '--amend', '-m', patched.git('log', '-1', '--format=%B').replace('6a', '6.5a'))
    patched.write('Lib/test/test_asyncio/test_mine.py', 'TEST = 1\n')
    (patched.src / 'Lib/test/test_asyncio/test_mine.py').write_text('TEST = 1\n')
    patched.commit('overlay')
    patched.run('refresh')
    patched.run('check')
    assert patched.read(changed_tests.PATH).splitlines()[-1] == (
        '| `expect-three-in-a-test` | `test_asyncio.test_tasks.Tests.test_b` | 2.1, 6.5a | Since three is \\| more. |')
    patched.write(changed_tests.PATH, 'old\n')
    assert failure(patched).startswith(f'{changed_tests.PATH}: is not current; run ./build.sh refresh')
    patched.run('refresh')
    patched.run('check')


@pytest.mark.parametrize('text, reason', [
    ('It does\nthis.\n\nMore.', 'It does this.'),
    ('It does this.\n\nTwo tests of\nupstream see it.\n\nMore.', 'Two tests of upstream see it.'),
    ('It does this.\n\nTests of upstream see it.', 'Tests of upstream see it.'),
])
def test_reason_for_a_changed_test(text, reason):
    assert changed_tests.find_reason(text) == reason


@pytest.mark.parametrize('line, owner', [
    (1, ''), (3, 'A'), (5, 'A.test_x'), (6, 'A.test_x'), (7, 'A.test_x'), (9, 'A.test_y'), (12, 'A.test_y'),
    (14, 'B.helper'),
])
def test_owner_of_a_line(line, owner):
    text = ('import x\n'             # 1
            'class A:\n'
            '    n = 1\n'            # 3
            '    def test_x(self):\n'
            '        def inner():\n'  # 5
            '            pass\n'
            '        inner()\n'      # 7
            '    async def test_y(\n'
            '        self,\n'        # 9
            '    ):\n'
            '\n'                     # 11
            '        pass\n'
            'class B:\n'             # 13
            '    def helper(self): pass\n')
    assert changed_tests._owners(text)[line] == owner
