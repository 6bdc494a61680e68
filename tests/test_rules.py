"""docs/rules.md: each rule of the semantics has a patch and a test.

Run as a program with --write, this writes the document.
"""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))  # for the program

import rules  # noqa: E402
from rules import DATA, RULES, TESTS, TRAILERS  # noqa: E402


def test_document_is_current():
    assert rules.DOCUMENT.read_text(encoding='utf-8') == rules.render(), 'run python3 tests/test_rules.py --write'


def test_each_rule_has_a_line_of_text():
    assert list(DATA['text']) == RULES, 'docs/rules.toml has a line for each rule of docs/semantics.md, in that order'
    assert [rule for rule, text in DATA['text'].items() if not text or '|' in text or text.endswith('.')] == []


def check_exemptions(exempt, has):
    """Check that those who are exempt are rules, for a reason, and need it."""
    assert [rule for rule in exempt if rule not in RULES] == [], 'docs/semantics.md has no such rule'
    assert [rule for rule, reason in exempt.items() if not reason] == []
    assert [rule for rule in exempt if has(rule)] == [], 'take these out of docs/rules.toml'


def test_each_rule_has_a_test():
    missing = [rule for rule in RULES if not rules.tests_of(rule) and rule not in DATA['without_test']]
    assert missing == [], 'a test that checks a rule has its number in its name: test_3_3_...'
    check_exemptions(DATA['without_test'], rules.tests_of)


def test_each_rule_has_a_patch():
    missing = [rule for rule in RULES if not rules.patches_of(rule) and rule not in DATA['without_patch']]
    assert missing == [], 'a patch that brings a rule about names it in a trailer `Rule:`'
    check_exemptions(DATA['without_patch'], rules.patches_of)


def test_each_rule_has_documentation():
    missing = [rule for rule in RULES if not rules.documentation_of(rule) and rule not in DATA['without_documentation']]
    assert missing == [], 'docs/rules.toml says where a rule is documented'
    check_exemptions(DATA['without_documentation'], rules.documentation_of)


def test_documentation_is_there():
    assert [rule for rule in DATA['documentation'] if rule not in RULES] == []
    places = [(rule, *place) for rule in RULES for place in rules.documentation_of(rule)]
    assert [place for place in places if not rules.is_documented(*place[1:])] == []


def test_trailers_name_rules():
    assert [(name, rule) for name, numbers in TRAILERS.items() for rule in numbers if rule not in RULES] == []


def test_names_of_tests_have_the_numbers_of_rules():
    """A number that semantics.md does not know is one that has changed, or a slip; that of a section is fine."""
    sections = {rule.partition('.')[0] for rule in RULES}
    unknown = set()
    for _, test in TESTS:
        if found := re.match(r'test_(\d+)(?:_(\d+))?(?:_|$)', test):
            rule = f'{found[1]}.{found[2]}' if found[2] else found[1]
            if rule not in {*RULES, *sections}:
                unknown.add(test)
    assert unknown == set()


if __name__ == '__main__' and sys.argv[1:] == ['--write']:
    rules.DOCUMENT.write_text(rules.render(), encoding='utf-8')
