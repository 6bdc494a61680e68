"""The survey: its list of projects, its runs of tests that hang or crash, and what it concludes."""

import json
import pathlib
import sys
import textwrap
import threading

import pytest

from survey import agreement
from survey import attribution
from survey import projects as projects_module
from survey import runs
from survey import triage
from survey.attribution import Plan

ROOT = pathlib.Path(__file__).resolve().parent.parent


# The list.

def test_the_list_is_valid():
    projects, excluded = projects_module.load()
    assert not {entry.name for entry in excluded} & projects.keys()
    assert all(entry.reason for entry in excluded)


@pytest.mark.parametrize('text, complaint', [
    ('[[project', 'Expected'),
    ('[[project]]\nname = "a"\nversion = "1"', 'a: these are missing: category'),
    ('[[project]]\nname = "a"\nversion = "1"\ncategory = "utility"\ncolour = "red"', 'a: unknown keys: colour'),
    ('[[project]]\nname = "a"\nversion = "1"\ncategory = "toys"', 'there is no category toys'),
    ('[[project]]\nname = "a"\nversion = "1"\ncategory = "utility"\ndeselect = {"t" = ""}', 'without a reason'),
    ('[[project]]\nname = "a"\nversion = "1"\ncategory = "utility"\n' * 2, 'a is there twice'),
    ('[[projects]]\nname = "a"', 'unknown tables: projects'),
])
def test_mistakes_in_the_list(tmp_path, text, complaint):
    path = tmp_path / 'projects.toml'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(projects_module.SurveyError, match=complaint):
        projects_module.load(path)


# Runs.

def run(tmp_path, text, *, only=None, **settings):
    """Runs the tests in text as if they were those of a project."""
    source = tmp_path / 'source'
    source.mkdir()
    (source / 'test_it.py').write_text(textwrap.dedent(text), encoding='utf-8')
    project = projects_module.Project('it', '1', 'utility', **settings)
    return runs.Runner(project, pathlib.Path(sys.executable), source, tmp_path / 'scratch', variant='stock',
                       switches='', only=only).run()


def outcomes(made):
    return {test.removeprefix('test_it.py::'): outcome.outcome for test, outcome in made.outcomes.items()}


def test_names_that_have_the_folder_in_them(tmp_path):
    text = '''
        import pathlib
        import pytest

        @pytest.mark.parametrize('path', [str(pathlib.Path(__file__).parent / name) for name in ('one', 'two')])
        def test_path(path): pass
        '''
    made = run(tmp_path, text)
    assert outcomes(made) == {'test_path[{source}/one]': 'passed', 'test_path[{source}/two]': 'passed'}
    (tmp_path / 'again').mkdir()
    again = run(tmp_path / 'again', text, only=['test_it.py::test_path[{source}/two]'])
    assert outcomes(again) == {'test_path[{source}/two]': 'passed'}


def test_a_run_that_is_interrupted_is_not_kept(tmp_path, monkeypatch):
    event = threading.Event()
    event.set()
    monkeypatch.setattr(runs, '_interrupted', event)
    with pytest.raises(projects_module.SurveyError, match='interrupted'):
        run(tmp_path, 'def test_passed(): pass')


def test_every_kind_of_outcome(tmp_path):
    made = run(tmp_path, '''
        import pytest

        @pytest.fixture
        def broken():
            raise ValueError('broken')

        def test_passed(): pass
        def test_failed(): assert not 'reason'
        def test_error(broken): pass
        @pytest.mark.skip(reason='no')
        def test_skipped(): pass
        @pytest.mark.xfail
        def test_xfailed(): assert False
        @pytest.mark.xfail
        def test_xpassed(): pass
        @pytest.mark.parametrize('number', [1, 2])
        def test_parameters(number): assert number == 1
        ''')
    assert outcomes(made) == {
        'test_passed': 'passed', 'test_failed': 'failed', 'test_error': 'error', 'test_skipped': 'skipped',
        'test_xfailed': 'xfailed', 'test_xpassed': 'xpassed', 'test_parameters[1]': 'passed',
        'test_parameters[2]': 'failed'}
    assert 'reason' in made.outcomes['test_it.py::test_failed'].log
    assert 'broken' in made.outcomes['test_it.py::test_error'].log
    assert made.problems == []


def test_hangs_and_crashes_do_not_take_the_others_with_them(tmp_path):
    made = run(tmp_path, '''
        import os, threading

        def test_first(): pass
        def test_hangs(): threading.Event().wait()
        def test_between(): pass
        def test_crash(): os.abort()
        def test_exit(): os._exit(0)
        def test_last(): pass
        ''', timeout=2)
    assert outcomes(made) == {'test_first': 'passed', 'test_hangs': 'hangs', 'test_between': 'passed',
                              'test_crash': 'crash', 'test_exit': 'crash', 'test_last': 'passed'}
    # Where it hangs.
    stack = made.outcomes['test_it.py::test_hangs'].log.splitlines()
    assert stack[-1].endswith('in test_hangs') and not any('/_pytest/' in line for line in stack)
    assert made.problems == []


def test_a_part_of_the_tests(tmp_path):
    made = run(tmp_path, '''
        def test_one(): pass
        def test_two(): pass
        def test_three(): pass
        ''', only={'test_it.py::test_one', 'test_it.py::test_three'},
               deselect={'test_it.py::test_three': 'needs the moon'})
    assert outcomes(made) == {'test_one': 'passed'}


def test_module_that_cannot_be_imported(tmp_path):
    made = run(tmp_path, 'import nowhere_to_be_found')
    assert [outcome.outcome for outcome in made.outcomes.values()] == ['error']
    assert 'nowhere_to_be_found' in next(iter(made.outcomes.values())).log


def test_pytest_that_does_not_start(tmp_path):
    made = run(tmp_path, 'def test_it(): pass', arguments=('--no-such-option',))
    assert made.outcomes == {}
    assert 'no-such-option' in made.problems[0]


def test_names_with_addresses_are_the_same_in_each_run(tmp_path):
    made = run(tmp_path, '''
        import pytest
        @pytest.mark.parametrize('thing', [1, 2], ids=['<object at 0x7fd7a4cf3ba0>', '<object at 0x7fd7a4cf3bb0>'])
        def test_it(thing): pass
        ''')
    assert list(outcomes(made)) == ['test_it[<object at 0x>]', 'test_it[<object at 0x>]#2']


def test_names_of_mocks_are_the_same_in_each_run(tmp_path):
    made = run(tmp_path, '''
        import pytest
        from unittest import mock
        @pytest.mark.parametrize('thing', [1], ids=[str(mock.Mock(spec=int))])
        def test_it(thing): pass
        ''')
    assert list(outcomes(made)) == ["test_it[<Mock spec='int' id='...'>]"]


def test_names_with_the_time_are_the_same_in_each_run(tmp_path):
    made = run(tmp_path, '''
        import datetime
        import pytest
        now = datetime.datetime.now().replace(microsecond=1)
        @pytest.mark.parametrize('thing', [1, 2], ids=[f'a-{now!r}', repr(datetime.datetime(2020, 1, 2))])
        def test_it(thing): pass
        ''')
    assert list(outcomes(made)) == ['test_it[a-datetime.datetime(...)]', 'test_it[datetime.datetime(2020, 1, 2, 0, 0)]']


def test_runs_are_kept(tmp_path):
    made = run(tmp_path, 'def test_it(): assert "\\x00" == 1')
    made.save(tmp_path / 'run.json')
    assert runs.Run.load(tmp_path / 'run.json') == made
    assert b'<failure' in (tmp_path / 'run.xml').read_bytes()


# Attribution.

def made(**bad):
    """A Run of the tests a to f, all of which pass but those named."""
    return runs.Run('', '', 0, {test: runs.Outcome(bad.get(test, 'passed')) for test in 'abcdef'})


def base(stock=({}, {}, {}), patched=({}, {})):
    plans = attribution.base_plans()
    return dict(zip(plans, [made(**bad) for bad in (*stock, *patched)], strict=True))


def complete(known, fails):
    """Makes the runs that are asked for, until there are enough; fails(plan) tells the tests that fail."""
    asked = []
    while wanted := attribution.Attribution(known).wanted():
        for plan in wanted:
            assert plan not in known
            asked.append(plan)
            known[plan] = made(**dict.fromkeys(fails(plan), 'failed'))
    return attribution.Attribution(known), asked


def test_nothing_breaks():
    found, asked = complete(base(), lambda plan: [])
    assert (found.attribute(), asked) == ({}, [])


def test_what_fails_on_stock_or_now_and_then_is_no_regression():
    bad = {'a': 'failed', 'b': 'failed'}
    found, _ = complete(base(stock=(bad, {'a': 'error'}, {'a': 'failed'}), patched=({**bad, 'c': 'failed'}, bad)),
                        lambda plan: [])
    assert found.attribute() == {}
    assert found.flaky == {'b', 'c'}
    assert found.summary() == {'tests': 6, 'flaky': 2, 'failing_on_stock': 1, 'regressions': 0, 'mended': 0}


def test_skipped_on_the_patched_interpreter_is_fine_but_absent_is_not():
    known = base(patched=({'a': 'skipped'}, {'a': 'skipped'}))
    for plan in attribution.base_plans():
        if plan.variant == 'patched':
            del known[plan].outcomes['b']
    assert attribution.Attribution(known).regressions == {'b'}


def test_a_test_that_stock_does_not_have_is_flaky():
    known = base()
    for plan, made_run in known.items():
        if plan.variant == 'patched':
            made_run.outcomes['another name'] = runs.Outcome('failed')
    found = attribution.Attribution(known)
    assert found.flaky == {'another name'}
    assert not found.regressions
    assert found.summary()['failing_on_stock'] == 0


def test_mended():
    bad = {'a': 'failed'}
    assert attribution.Attribution(base(stock=(bad, bad, bad))).mended == {'a'}


def test_one_switch_helps():
    bad = {'a': 'failed', 'b': 'hangs'}

    def fails(plan):
        if plan.variant == 'stock':
            return ''
        return {'': 'ab', 'edge-cancel': 'b', 'all': ''}.get(plan.switches, 'ab' if plan.switches != 'shield' else 'a')

    found, asked = complete(base(patched=(bad, bad)), fails)
    assert found.attribute() == {'a': ['edge-cancel'], 'b': ['shield']}
    assert {plan.scope for plan in asked} == {'candidates'}


def test_two_switches_help_each():
    bad = {'a': 'failed'}
    found, _ = complete(base(patched=(bad, bad)), lambda plan: '' if plan.variant == 'stock' or plan.switches in (
        'background-errors', 'unretrieved-only', 'all') else 'a')
    assert found.attribute() == {'a': ['background-errors', 'unretrieved-only']}


def test_it_takes_two_switches():
    bad = {'a': 'failed'}

    def fails(plan):
        names = attribution.SWITCHES if plan.switches == 'all' else plan.switches.split(',')
        return '' if plan.variant == 'stock' or {'shield', 'signals'} <= set(names) else 'a'

    found, _ = complete(base(patched=(bad, bad)), fails)
    assert found.attribute() == {'a': ['shield+signals']}


def test_it_takes_a_switch_and_one_of_two_alternatives():
    bad = {'a': 'failed', 'b': 'failed'}

    def fails(plan):
        names = set(attribution.SWITCHES if plan.switches == 'all' else plan.switches.split(','))
        if plan.variant == 'stock':
            return ''
        either = {'background-errors', 'unretrieved-only'} & names
        return ''.join([*('a' if not ('edge-cancel' in names and either) else ''),
                        *('b' if not {'edge-cancel', 'background-errors'} <= names else '')])

    found, _ = complete(base(patched=(bad, bad)), fails)
    assert found.attribute() == {'a': ['edge-cancel+background-errors', 'edge-cancel+unretrieved-only'],
                                 'b': ['edge-cancel+background-errors']}


def test_what_only_all_switches_help_with_by_chance():
    bad = {'a': 'failed'}
    found, _ = complete(base(patched=(bad, bad)), lambda plan: '' if plan.variant == 'stock' or (
        plan.switches.count(',') and plan.switches != attribution.all_but('shield')) or plan.switches == 'all' else 'a')
    assert found.attribute() == {'a': ['all']}


def test_no_switch_helps():
    bad = {'a': 'crash'}
    found, _ = complete(base(patched=(bad, bad)), lambda plan: '' if plan.variant == 'stock' else 'a')
    assert found.attribute() == {'a': ['none']}


def test_what_the_candidates_alone_do_not_show_is_looked_for_in_the_whole_suite():
    bad = {'a': 'failed', 'b': 'failed'}

    def fails(plan):
        if plan.variant == 'stock' or plan.switches in ('edge-cancel', 'all'):
            return ''
        return 'b' if plan.scope == 'candidates' else 'ab'

    found, asked = complete(base(patched=(bad, bad)), fails)
    assert found.attribute() == {'a': ['edge-cancel'], 'b': ['edge-cancel']}
    assert {plan.scope for plan in asked} == {'candidates', 'all'}


def test_names_of_runs():
    assert Plan('stock', number=2).name == 'stock-2'
    assert Plan('patched', 'shield,signals', 'candidates').name == 'patched-shield+signals-candidates-1'


# Two surveys.

def result(version='1', *, flaky=(), **regressions):
    return {'name': 'it', 'version': version, 'interpreters': {'stock': 's', 'patched': 'p'},
            'tests': dict.fromkeys('abcd', 'passed'), 'flaky': dict.fromkeys(flaky, []),
            'regressions': {test: {'switches': switches} for test, switches in regressions.items()}}


def test_two_surveys_that_agree():
    compared = agreement.compare(result(a=['shield'], b=['none'], flaky='c'), result(a=['shield'], flaky='bd'))
    assert agreement.agrees(compared)
    assert compared == {'tests': 4, 'regressions': 1, 'only_in_the_first': [], 'only_in_the_second': [],
                        'flaky_in_one': ['b'], 'attributed_differently': {}}


def test_two_surveys_that_do_not_agree():
    compared = agreement.compare(result(a=['shield'], b=['none']), result(a=['signals'], c=['none']))
    assert not agreement.agrees(compared)
    assert compared['only_in_the_first'] == ['b'] and compared['only_in_the_second'] == ['c']
    assert compared['attributed_differently'] == {'a': [['shield'], ['signals']]}


def test_what_depends_on_chance_is_set_aside():
    judgement = triage.Triage(chance=[triage.Chance('it', ['b*'], 'The weather.'), triage.Chance('other', ['c'], '')])
    made = result(a=['shield'], b=['none'], c=['none'])
    made['summary'] = {'regressions': 3, 'flaky': 0}
    made['regressions']['b'].update(stock='passed', patched='failed')
    assert judgement.set_aside(made) == ['b'] and judgement.set_aside(made) == []
    assert made['regressions'].keys() == {'a', 'c'} and made['flaky'] == {'b': ['passed', 'failed']}
    assert made['summary'] == {'regressions': 2, 'flaky': 1}


def test_what_depends_on_chance_is_no_disagreement(tmp_path, monkeypatch):
    monkeypatch.setattr(triage, 'load', lambda: triage.Triage(chance=[triage.Chance('it', ['b'], 'The weather.')]))
    made = result(a=['shield'], b=['none'])
    made['summary'] = {'regressions': 2, 'flaky': 0}
    made['regressions']['b'].update(stock='passed', patched='failed')
    for folder, content in (('first', made), ('second', result(a=['shield']))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'it.json').write_text(json.dumps(content), encoding='utf-8')
    compared = agreement.write(tmp_path / 'first', tmp_path / 'second', tmp_path / 'agreement.json')['projects']['it']
    assert agreement.agrees(compared) and compared['chance'] == ['b'] and compared['flaky_in_one'] == []


# What the regressions come from.

def regression(log='', *switches):
    return {'log': log, 'switches': list(switches)}


def test_first_finding_that_covers_a_regression_gives_it_its_cause(tmp_path):
    (tmp_path / 'triage.toml').write_text('''
        cause = [{id = "one", title = "One", text = ""}, {id = "two", title = "Two", text = ""}]
        finding = [
            {project = ["it", "its friend"], tests = ["a[*"], log = "Boom", cause = "one", text = ""},
            {project = "it", tests = ["a*"], switches = ["shield"], cause = "two", text = ""},
        ]
        chance = [{project = ["it", "its friend"], tests = ["d"], text = "The weather."}]
        ''', encoding='utf-8')
    judgement = triage.load(tmp_path / 'triage.toml')
    one, two, untriaged = judgement.give_causes({
        'it': {'regressions': {'a[1]': regression('Boom', 'shield'), 'a[2]': regression('', 'shield'),
                               'a[3]': regression('', 'signals'), 'ab': regression('Boom', 'shield')}},
        'its friend': {'regressions': {'a[1]': regression('Boom')}}})
    assert [[test for test, _ in finding.regressions] for finding in one.findings] == [['a[1]'], ['a[1]']]
    assert [[test for test, _ in finding.regressions] for finding in two.findings] == [['a[2]', 'ab']]
    assert [test for test, _ in untriaged.findings[0].regressions] == ['a[3]']
    assert (one.projects, one.regressions, untriaged.id) == (['it', 'its friend'], 2, triage.UNTRIAGED)
    assert [chance.project for chance in judgement.chance] == ['it', 'its friend']


def test_finding_without_a_cause():
    with pytest.raises(projects_module.SurveyError, match='it: there is no cause nonsense'):
        triage.Triage(findings=[triage.Finding('it', ['*'], 'nonsense', '')])


def test_only_surveys_of_the_same_things_are_compared(tmp_path):
    for folder, version in (('first', '1'), ('second', '1'), ('third', '2')):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'it.json').write_text(json.dumps(result(version, a=['none'])), encoding='utf-8')
    path = tmp_path / 'agreement.json'
    assert agreement.write(tmp_path / 'first', tmp_path / 'second', path)['projects']['it']['regressions'] == 1
    assert agreement.write(tmp_path / 'first', tmp_path / 'third', path)['projects'] == {}
    assert json.loads(path.read_text(encoding='utf-8'))['projects'] == {}
