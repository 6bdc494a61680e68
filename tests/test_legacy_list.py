"""The run of upstream's unmodified tests with all legacy switches: the list of those that fail."""

import pathlib

import pytest

from tools import legacy
from tools import ui

REPORT = '''<testsuites><testsuite>
  <testcase name="test.test_asyncio.test_tasks.SomeTests.test_good" status="run"/>
  <testcase name="test.test_asyncio.test_tasks.SomeTests.test_bad" status="run"><failure>x</failure></testcase>
  <testcase name="test.test_asyncio.test_tasks.SomeTests.test_broken" status="run"><error>x</error></testcase>
  <testcase name="test.test_asyncio.test_tasks.SomeTests.test_skipped" status="notrun"><skipped>x</skipped></testcase>
</testsuite></testsuites>'''


def test_report():
    assert legacy.failed_tests(REPORT) == (
        {'test_tasks.SomeTests.test_bad', 'test_tasks.SomeTests.test_broken'}, 4)


@pytest.mark.parametrize('output, lost', [
    ('2 tests failed:\n    test_asyncio.test_hangs test_asyncio.test_tasks\n\n30 tests OK.\n', ['test_hangs']),
    ('1 test failed:\n    test.test_asyncio.test_tasks\n\n30 tests OK.\n', []),
    ('All 31 tests OK.\n', []),
])
def test_module_without_a_report(output, lost):
    assert legacy.lost_modules(output, {'test_tasks.SomeTests.test_bad'}) == lost


def test_list():
    text = '# A comment: no test\n\ntest_tasks.SomeTests.test_bad: a reason: with a colon\n'
    assert legacy.read_list(text) == {'test_tasks.SomeTests.test_bad': 'a reason: with a colon'}


def test_every_test_of_the_list_has_a_reason():
    with pytest.raises(ui.UserError, match='test_bad has no reason'):
        legacy.read_list('test_tasks.SomeTests.test_bad:\n')


@pytest.mark.parametrize('failed, listed, problem', [
    ({'a', 'b'}, {'a'}, 'b fails, and .* does not have it'),
    ({'a'}, {'a', 'b'}, 'b passes, but .* says that it fails'),
])
def test_the_list_must_be_exact(failed, listed, problem):
    with pytest.raises(ui.UserError, match=problem):
        legacy.compare(failed, listed)
    legacy.compare(listed, listed)


def test_no_more_than_ten():
    text = (pathlib.Path(__file__).parent.parent / legacy.LIST).read_text(encoding='utf-8')
    assert len(legacy.read_list(text)) <= 10
