"""docs/kinds.md: the kinds of fault, with the tests that pin each; and a test for each rule.

Run as a program with --write, this writes the document from kinds.toml.
"""

import fnmatch
import pathlib
import re
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / 'docs' / 'kinds.md'
DATA = tomllib.loads((ROOT / 'tests' / 'kinds.toml').read_text(encoding='utf-8'))
FOLDERS = ROOT / 'Lib' / 'test' / 'test_asyncio', ROOT / 'tests'
HEAD = '''\
# Kinds of fault, and the tests that pin each

Written from [tests/kinds.toml](../tests/kinds.toml) by `python3 tests/test_kinds.py --write`; do not edit. The rules are those of
[semantics.md](semantics.md). A test is named by its module, in [Lib/test/test_asyncio](../Lib/test/test_asyncio) or
[tests](../tests), and its function; `*` stands for anything.

| Kind | Rules | Tests |
| --- | --- | --- |
'''


def find_rules():
    """Return the numbers of the rules; the switches of section 9 count as one."""
    text = (ROOT / 'docs' / 'semantics.md').read_text(encoding='utf-8')
    return {*re.findall(r'^(\d+\.\d+) ', text, re.MULTILINE), *re.findall(r'^## (9) ', text, re.MULTILINE)}


def find_tests():
    """Return {module.test, ...} of the tree."""
    return {f'{path.stem}.{name}' for folder in FOLDERS for path in folder.glob('test_*.py')
            for name in re.findall(r'^ *(?:async )?def (test_\w+)\(', path.read_text(encoding='utf-8'), re.MULTILINE)}


RULES, TESTS = find_rules(), find_tests()


def has_test(rule):
    return any(re.match(rf'\w+\.test_{rule.replace(".", "_")}_(?!\d)', test) for test in TESTS)


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
    names = [path.stem for folder in FOLDERS for path in folder.glob('test_*.py')]
    assert sorted(set(names)) == sorted(names)


def test_each_rule_has_a_test():
    missing = sorted(rule for rule in RULES if not has_test(rule) and rule not in DATA['untested'])
    assert missing == [], 'a test that checks a rule has its number in its name: test_3_3_...'


def test_rules_without_a_test():
    assert [rule for rule in DATA['untested'] if rule not in RULES] == [], 'docs/semantics.md has no such rule'
    assert [rule for rule, reason in DATA['untested'].items() if not reason] == []
    assert [rule for rule in DATA['untested'] if has_test(rule)] == [], 'they have one now: take their lines out of tests/kinds.toml'


def test_names_of_tests_have_the_numbers_of_rules():
    """A number that semantics.md does not know is one that has changed, or a slip; that of a section is fine."""
    sections = {rule.partition('.')[0] for rule in RULES}
    unknown = set()
    for test in TESTS:
        if found := re.match(r'\w+\.test_(\d+)(?:_(\d+))?(?:_|$)', test):
            rule = f'{found[1]}.{found[2]}' if found[2] else found[1]
            if rule not in RULES | sections:
                unknown.add(test)
    assert unknown == set()


if __name__ == '__main__' and sys.argv[1:] == ['--write']:
    DOCUMENT.write_text(render(), encoding='utf-8')
