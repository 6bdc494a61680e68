"""The check of the language: what it finds, where it looks, and what its lists have to be like."""

import pathlib
import sys

import pytest

from tools import lint
from tools import project as project_module
from tools import ui
from tools import wording

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORDS = {'nobody': 'no task', 'for ever': 'forever', 'clean-up': 'cleanup', 'by level': 'level-triggered'}


@pytest.mark.parametrize('text, found', [
    ('Nobody waits.\n', [(1, 'Nobody')]),
    ('one\nIt waits for ever\n', [(2, 'for ever')]),
    ('It waits for\n    # ever, by  level\n', [(1, 'for ever'), (2, 'by level')]),
    ('the clean-up, a clean-up-task, no_nobody, nobodys\n', [(1, 'clean-up')]),
    ('before every other\n', []),
])
def test_words(text, found):
    findings = wording.find_words('a.py', text, WORDS)
    assert [(finding.line, finding.word) for finding in findings] == found
    assert all(finding.instead == WORDS[finding.word.lower()] for finding in findings)


def test_misspellings_and_british_spellings():
    texts = {'docs/a.md': 'one\nthe behaviour of teh loop\n', '.b.md': 'optimised\n'}
    findings = wording.find_misspellings(texts, sys.executable)
    assert sorted((finding.path, finding.line, finding.word, finding.instead) for finding in findings) == [
        ('.b.md', 1, 'optimised', 'optimized'), ('docs/a.md', 2, 'behaviour', 'behavior'), ('docs/a.md', 2, 'teh', 'the')]


def test_codespell_that_fails(tmp_path):
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\necho no module >&2; exit 1\n')
    python.chmod(0o755)
    with pytest.raises(ui.UserError, match='codespell failed: no module'):
        wording.find_misspellings({'a': 'b'}, python)


def test_only_our_own_lines_of_a_patch():
    text = ('Subject: a\n\nb\n---\n\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@ nobody\n nobody\n-nobody\n'
            '+nobody\n')
    assert wording.own_text('patches/a.patch', text).split('\n') == [
        'Subject: a', '', 'b', '', '', '', '', '', '', '', '', '+nobody', '']
    assert wording.own_text('docs/a.md', text) == text


@pytest.mark.parametrize('path, looked_at', [
    ('README.md', True), ('docs/a.md', True), ('tools/a.py', True), ('tests/test_a.py', True),
    ('tests/kinds.toml', True), ('tests/differential/run.py', False), ('tests/results/a.json', False), ('survey/report.py', True),
    ('survey/reproductions/a.py', False), ('survey/templates/a.jinja', True), ('survey/results/a.json', False),
    ('Lib/test/test_asyncio/test_a.py', True), ('Modules/_asyncio/scopes.c', True), ('patches/a.patch', True),
    ('anyio_backend/src/asyncbis_anyio/a.py', True), ('upstream.conf', True), ('.gitignore', False),
])
def test_scope(path, looked_at):
    assert wording.in_scope(path) == looked_at


@pytest.fixture
def written(patched):
    """A Project with lists of words."""
    patched.write(wording.WORDS, '# Words.\nnobody, nobody\'s -> no task\n')
    patched.write(wording.ALLOWED, '# Allowed.\n')
    patched.write(wording.UNCOVERED, '')
    return patched


def problems(project):
    paths = [path.relative_to(project.root).as_posix() for path in project_module.Project(project.root).files()]
    return wording.problems(project.root, paths, sys.executable)


def test_nothing_to_find(written):
    assert problems(written) == []


def test_message(written):
    written.write('README.md', 'One.\n\nNobody knows.\n')
    assert problems(written) == [
        "README.md:3: 'Nobody'; write no task (or allow it, in tools/language/allowed.txt)"]


@pytest.mark.parametrize('line, allowed', [
    ('README.md: nobody: it is a name', True), ('*: other, NOBODY: it is a name', True),
    ('docs/*: nobody: it is a name', False),
])
def test_allowed_word(written, line, allowed):
    written.write('README.md', 'Nobody.\n')
    written.write(wording.ALLOWED, f'# Why.\n\n{line}\n')
    found = problems(written)
    assert len(found) == (0 if allowed else 2)
    assert allowed or found[1] == 'tools/language/allowed.txt:3: allows what is nowhere; take the line out'


def test_file_that_is_not_covered_yet(written):
    written.write('README.md', 'Nobody.\n')
    written.write(wording.UNCOVERED, '# Files.\nREADME.md\n')
    assert problems(written) == []
    for text in 'No task.\n', None:
        if text is None:
            (written.root / 'README.md').unlink()
        else:
            written.write('README.md', text)
        found, = problems(written)
        assert found.startswith(f'{wording.UNCOVERED}: lists README.md, which is clean, or not there; take it off')


def test_prune(written, monkeypatch, capsys):
    written.write('README.md', 'Nobody.\n')
    written.write(wording.UNCOVERED, '# Files.\nREADME.md\nDockerfile\n')
    monkeypatch.setattr(wording, '_ROOT', written.root)
    python = written.root / 'build' / 'tools-venv' / 'bin' / 'python'
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    assert wording.main([]) is None
    assert capsys.readouterr().out.startswith("README.md:1: 'Nobody'")
    assert wording.main(['--prune']) is None
    assert written.read(wording.UNCOVERED) == '# Files.\nREADME.md\n'


@pytest.mark.parametrize('path, text', [(wording.WORDS, 'nobody\n'), (wording.ALLOWED, 'README.md: nobody\n')])
def test_line_that_cannot_be_read(written, path, text):
    written.write(path, text)
    with pytest.raises(ui.UserError, match=f'{path}:1: expected .*, got: '):
        problems(written)


def test_check_runs_it(written, monkeypatch):
    """In the project as it is, with the environment that it makes for the purpose."""
    written.write('README.md', 'Nobody.\n')
    monkeypatch.setattr(lint.python_environment, 'ensure', lambda *args, **options: sys.executable)
    found = lint._language(project_module.Project(written.root), False)
    assert [line.partition(';')[0] for line in found] == ["README.md:1: 'Nobody'"]


def test_every_word_of_the_project_has_one_way_to_write_it():
    words = wording.read_words((ROOT / wording.WORDS).read_text(encoding='utf-8'))
    assert {'mend', 'nobody', 'clean-up', 'for ever'} <= words.keys()
    used = set()
    for instead in words.values():
        used.update(finding.word for finding in wording.find_words('words.txt', instead, words))
    assert used == set(), 'what to write instead is not to be written'
