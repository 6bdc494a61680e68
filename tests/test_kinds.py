"""docs/kinds.md: the kinds of fault, with the tests that pin each.

Run as a program with --write, this writes the document from kinds.toml.
"""

import fnmatch
import pathlib
import sys
import tomllib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))  # for the program

import rules  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / 'docs' / 'kinds.md'
DATA = tomllib.loads((ROOT / 'tests' / 'kinds.toml').read_text(encoding='utf-8'))
HEAD = '''\
# Kinds of fault, and the tests that pin each

Written from [tests/kinds.toml](../tests/kinds.toml) by `python3 tests/test_kinds.py --write`; do not edit. The rules are those of
[semantics.md](semantics.md). A test is named by its module, in [Lib/test/test_asyncio](../Lib/test/test_asyncio) or
[tests](../tests), and its function; `*` stands for anything.

| Kind | Rules | Tests |
| --- | --- | --- |
'''


RULES = set(rules.RULES)
TESTS = {f'{module}.{test}' for module, test in rules.TESTS}


def render():
    rows = (f"| {kind['kind']} | {', '.join(kind['rules'])} | {', '.join(f'`{test}`' for test in kind['tests'])} |\n"
            for kind in DATA['kind'])
    return HEAD + ''.join(rows)


def test_document_is_current():
    assert DOCUMENT.read_text(encoding='utf-8') == render(), 'run python3 tests/test_kinds.py --write'


@pytest.mark.parametrize('kind', DATA['kind'], ids=lambda kind: kind['kind'])
def test_kind(kind):
    assert set(kind) <= {'kind', 'rules', 'cases', 'tests'}
    assert kind['tests'] and '|' not in kind['kind'] and not kind['kind'].endswith('.')
    assert [rule for rule in kind['rules'] if rule not in RULES] == [], 'docs/semantics.md has no such rule'
    assert [test for test in kind['tests'] if not fnmatch.filter(TESTS, test)] == [], 'there is no such test'


def test_modules_have_different_names():
    names = [path.stem for folder in rules.FOLDERS for path in folder.glob('test_*.py')]
    assert sorted(set(names)) == sorted(names)


if __name__ == '__main__' and sys.argv[1:] == ['--write']:
    DOCUMENT.write_text(render(), encoding='utf-8')
