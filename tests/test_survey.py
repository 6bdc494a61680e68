"""The survey: its list of projects, its runs of tests that hang or crash, and what it concludes."""

import concurrent.futures
import contextlib
import json
import pathlib
import re
import shutil
import sys
import textwrap
import threading
import types

import pytest

from survey import agreement
from survey import attribution
from survey import conduct
from survey import environments
from survey import history
from survey import native
from survey import ports
from survey import projects as projects_module
from survey import report
from survey import runs
from survey import triage
from survey.attribution import Plan
from tools import anyio_suite
from tools import survey as tool

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
    """Run the tests in text as if they were those of a project."""
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
    """Make the runs that are asked for, until there are enough; fail(plan) tells the tests that fail."""
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


def _names(plan):
    return set(attribution.SWITCHES if plan.switches == 'all' else plan.switches.split(','))


def _attribute(fine):
    """What a regression is attributed to that passes under the sets of switches for which fine() is true."""
    found, _ = complete(base(patched=({'a': 'failed'}, {'a': 'failed'})),
                        lambda plan: '' if plan.variant == 'stock' or plan.switches and fine(_names(plan)) else 'a')
    return found.attribute()['a']


def test_it_takes_both_sources_of_level_cancellation():
    assert _attribute(lambda names: {'edge-cancel', 'edge-scopes'} <= names) == ['edge-cancel+edge-scopes']
    assert _attribute(lambda names: {'edge-cancel', 'edge-scopes', 'signals'} <= names) == [
        'edge-cancel+edge-scopes+signals']


def test_either_source_of_level_cancellation_is_enough():
    either = {'edge-cancel', 'edge-scopes'}
    assert _attribute(lambda names: bool(either & names)) == ['edge-cancel', 'edge-scopes']
    assert _attribute(lambda names: bool(either & names) and 'shield' in names) == [
        'edge-cancel+shield', 'edge-scopes+shield']
    failures = {'background-errors', 'unretrieved-only'}
    assert _attribute(lambda names: bool(either & names) and bool(failures & names)) == [
        'edge-cancel+background-errors', 'edge-cancel+unretrieved-only',
        'edge-scopes+background-errors', 'edge-scopes+unretrieved-only']


def test_it_takes_a_certain_source_of_level_cancellation_and_another_switch():
    assert _attribute(lambda names: {'edge-scopes', 'background-errors'} <= names) == ['edge-scopes+background-errors']


def test_all_switches_but_those_of_the_first_step_are_those_of_scopes_and_what_another_one_covers():
    assert set(attribution.SWITCHES) - set(attribution.FIRST_STEP.split(',')) == {'edge-scopes', 'unretrieved-only'}


def test_regressions_are_run_in_the_first_step():
    bad = {'a': 'failed', 'b': 'failed'}

    def fails(plan):
        if plan.variant == 'stock':
            return ''
        needed = {'a': 'edge-scopes', 'b': 'shield'}
        return [test for test, switch in needed.items() if switch not in _names(plan)]

    found, asked = complete(base(patched=(bad, bad)), fails)
    assert [plan.scope for plan in asked if plan.switches == attribution.FIRST_STEP] == ['candidates']
    assert found.attribute() == {'a': ['edge-scopes'], 'b': ['shield']}
    assert found.fine_in_the_first_step() == {'b'}
    project = projects_module.Project('it', '1', 'utility')
    made_result = conduct.describe(project, found.runs, {'stock': 's', 'patched': 'p'})
    assert {test: entry['fine_in_the_first_step'] for test, entry in made_result['regressions'].items()} == {
        'a': False, 'b': True}


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


@pytest.mark.parametrize('known', [True, False])
def test_an_interpreter_that_does_not_know_a_switch_is_refused(tmp_path, monkeypatch, known):
    program = tmp_path / 'python'
    program.write_text(f'#!/bin/sh\necho "$2" >&2\nexit {int(not known)}\n', encoding='utf-8')
    program.chmod(0o755)
    monkeypatch.setenv('PIP_INDEX_URL', 'http://localhost')
    made_environments = environments.Environments(tmp_path, {'patched': program})
    if known:
        made_environments.check_switches(attribution.SWITCHES)
    else:
        with pytest.raises(projects_module.SurveyError, match='does not know a switch.*\n.*edge-scopes'):
            made_environments.check_switches(attribution.SWITCHES)


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
    judgment = triage.Triage(chance=[triage.Chance('it', ['b*'], 'The weather.'), triage.Chance('other', ['c'], '')])
    made = result(a=['shield'], b=['none'], c=['none'])
    made['summary'] = {'regressions': 3, 'flaky': 0}
    made['regressions']['b'].update(stock='passed', patched='failed')
    assert judgment.set_aside(made) == ['b'] and judgment.set_aside(made) == []
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
    judgment = triage.load(tmp_path / 'triage.toml')
    one, two, untriaged = judgment.give_causes({
        'it': {'regressions': {'a[1]': regression('Boom', 'shield'), 'a[2]': regression('', 'shield'),
                               'a[3]': regression('', 'signals'), 'ab': regression('Boom', 'shield')}},
        'its friend': {'regressions': {'a[1]': regression('Boom')}}})
    assert [[test for test, _ in finding.regressions] for finding in one.findings] == [['a[1]'], ['a[1]']]
    assert [[test for test, _ in finding.regressions] for finding in two.findings] == [['a[2]', 'ab']]
    assert [test for test, _ in untriaged.findings[0].regressions] == ['a[3]']
    assert (one.projects, one.regressions, untriaged.id) == (['it', 'its friend'], 2, triage.UNTRIAGED)
    assert [chance.project for chance in judgment.chance] == ['it', 'its friend']


def test_finding_without_a_cause():
    with pytest.raises(projects_module.SurveyError, match='it: there is no cause nonsense'):
        triage.Triage(findings=[triage.Finding('it', ['*'], 'nonsense', '')])


def test_topic_of_a_cause_that_does_not_exist():
    with pytest.raises(projects_module.SurveyError, match='topic it: there is no cause nonsense'):
        triage.Triage(topics=[triage.Topic('it', '', '', '', causes=['nonsense'])])


# AnyIO's native backend.

@pytest.mark.parametrize('lock, version', [
    ('# ["it==1", "anyio==1"]\nattrs==1\nanyio==4.16.0\n', '4.16.0'),
    ('AnyIO[trio] == 3.7.1 ; python_version > "3"\n', '3.7.1'),
    ('aioanyio==1\nanyio-asyncbis==1.0.0\n    # via anyio==1\n', None),
])
def test_version_of_anyio_in_a_lock(lock, version):
    assert native.find_anyio(lock) == version


def _package(tmp_path, **changes):
    """The wheel that the tool makes of anyio_backend/, with texts that are added to some of its files."""
    root = tmp_path / 'root'
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(ROOT / 'anyio_backend', root / 'anyio_backend')
    for name, text in changes.items():
        path, = (root / 'anyio_backend').rglob(f'{name}.*')
        path.write_text(path.read_text(encoding='utf-8') + text, encoding='utf-8')
    return native.Package(tool._put_package(types.SimpleNamespace(root=root, build=tmp_path)))


def test_runs_depend_on_what_the_package_installs(tmp_path):
    before = _package(tmp_path)
    readme, backend = _package(tmp_path, README='More.\n'), _package(tmp_path, _backend='# More.\n')
    assert readme.identity == before.identity != backend.identity
    # A survey that is under way keeps its file.
    assert len({package.path for package in (before, readme, backend)}) == 3
    assert all(package.path.exists() for package in (before, readme, backend))


@pytest.mark.parametrize('arguments, has_package', [(['it'], True), (['it', '--offline'], True), (['--report'], False)])
def test_the_tool_hands_the_package_on(tmp_path, monkeypatch, arguments, has_package):
    monkeypatch.setattr(tool.python_environment, 'ensure', lambda *arguments, **options: 'python')
    monkeypatch.setattr(tool.variants, 'Builder', lambda project, name: types.SimpleNamespace(
        identity=name, build=lambda **options: None))
    monkeypatch.setattr(tool.tree, 'Tree', lambda project: types.SimpleNamespace(fingerprint=lambda without: 'p'))
    monkeypatch.setattr(tool.os, 'chdir', lambda folder: None)
    called = []
    monkeypatch.setattr(tool.os, 'execve', lambda *arguments: called.append(arguments))
    tool.run(types.SimpleNamespace(root=ROOT, build=tmp_path, lock=contextlib.nullcontext), arguments)
    (_, command, _), = called
    assert command[-len(arguments):] == arguments
    assert ('--package' in command) == has_package
    if has_package:
        assert native.Package(pathlib.Path(command[command.index('--package') + 1])).identity


def _answer(**changes):
    return 'Chatter.\n' + json.dumps({'anyio': '4.16.0', 'tested': ['4.16.0'], 'active': True, **changes}) + '\n'


def test_a_backend_that_is_active():
    native.check(projects_module.Project('it', '1', 'utility'), _answer())


def test_a_version_of_anyio_that_the_package_does_not_know():
    with pytest.raises(native.Off, match='^off: anyio 3.7.1$'):
        native.check(projects_module.Project('it', '1', 'utility'), _answer(anyio='3.7.1', active=False))


@pytest.mark.parametrize('answer, complaint', [
    (_answer(active=False), 'knows AnyIO 4.16.0, but AnyIO does not use its backend'),
    (_answer(anyio='5'), 'does not know AnyIO 5, but AnyIO uses its backend'),
    ('', 'AnyIO cannot be asked'),
    ('Chatter.', 'AnyIO cannot be asked'),
])
def test_a_backend_that_is_not_what_it_should_be(answer, complaint):
    with pytest.raises(projects_module.SurveyError, match=complaint):
        native.check(projects_module.Project('it', '1', 'utility'), answer)


def _with_package(known, *bad):
    """(what the result says, the runs that were made) if these tests fail in the runs with the package."""
    made_runs = {}
    comparison = native.Comparison(attribution.Attribution(known), made_runs)
    while plan := comparison.wanted():
        made_runs[plan] = made(**bad[len(made_runs)])
    return comparison.describe(str, anyio='4', package='p'), [plan.name for plan in made_runs]


def test_one_run_with_the_package_is_enough_if_nothing_fails():
    told, asked = _with_package(base(patched=({'a': 'failed'}, {'a': 'failed'})), {})
    assert asked == ['native-1']
    assert (told['left'], told['repaired'], told['flaky']) == ({}, ['a'], [])
    assert (told['state'], told['anyio'], told['package'], told['used']) == ('active', '4', 'p', False)


def test_what_fails_twice_with_the_package_is_left():
    bad = {'a': 'failed', 'b': 'failed', 'c': 'failed'}
    # d fails only with the package; b and e are chance.
    told, asked = _with_package(base(patched=(bad, bad)), dict.fromkeys('abd', 'failed'), dict.fromkeys('ade', 'hangs'))
    assert asked == ['native-1', 'native-2']
    assert {test: entry['native'] for test, entry in told['left'].items()} == {'a': 'hangs', 'd': 'hangs'}
    assert (told['repaired'], told['flaky']) == (['c'], ['b', 'e'])
    assert native.find_new({'native_anyio': told, 'regressions': bad}) == ['d']


def test_what_is_not_fine_on_stock_says_nothing_of_the_package():
    bad = {'a': 'failed'}
    told, asked = _with_package(base(stock=(bad, bad, bad)), {'a': 'failed'})
    assert (told['left'], asked) == ({}, ['native-1'])
    told, _ = _with_package(base(stock=(bad, {}, {})), {'a': 'failed'})
    assert told['left'] == {} and told['flaky'] == []


def test_what_is_flaky_without_the_package_only_counts_with_it():
    told, _ = _with_package(base(patched=({'a': 'failed'}, {})), {'a': 'failed'}, {'a': 'failed'})
    assert list(told['left']) == ['a']


def test_a_test_that_is_not_there_with_the_package_is_left():
    known, made_runs = base(), {}
    comparison = native.Comparison(attribution.Attribution(known), made_runs)
    while plan := comparison.wanted():
        made_runs[plan] = made()
        del made_runs[plan].outcomes['a']
    assert comparison.describe(str, anyio='4', package='p')['left'] == {'a': {'native': 'absent', 'log': ''}}


# An AnyIO whose backend is native unless ASYNCBIS_ANYIO is 0, and on other interpreters than asyncbis as well.
ANYIO = """
    import asyncio, os

    class CancelScope:
        pass

    if os.environ.get('ASYNCBIS_ANYIO') != '0':
        asyncio.CancelScope = CancelScope
    elif not hasattr(asyncio, 'CancelScope'):
        asyncio.CancelScope = int
    run = lambda main: asyncio.new_event_loop().run_until_complete(main())
    """
# Fails only with the package; passes.
ANYIO_TESTS = """
    import asyncio
    from anyio._backends._asyncio import CancelScope
    native = CancelScope is asyncio.CancelScope
    def test_new(): assert not native
    def test_fine(): pass
    """
# Fails by default, and passes with the package.
REPAIRED = """
    def test_repaired(): assert native or '/stock-' in __file__
    """


class AnyIOEnvironments:
    """Stands in for those that make environments: each is this interpreter with the AnyIO above."""

    def __init__(self, folder, *, lock='anyio==4.16.0\n', anyio=ANYIO, version='4.16.0', tests=ANYIO_TESTS):
        self._folder = folder
        self._tests = tests
        self._lock = lock
        self._anyio = anyio
        self._version = version
        self.made = []

    def lock(self, project):
        path = self._folder / 'it.txt'
        path.write_text(self._lock, encoding='utf-8')
        return path

    def venv(self, project, variant):
        self.made.append(variant)
        return pathlib.Path(sys.executable)

    def unpack(self, project, folder):
        for name, text in {
                'anyio/__init__.py': self._anyio,
                'anyio/_backends/__init__.py': '',
                'anyio/_backends/_asyncio.py': 'from anyio import CancelScope',
                f'anyio-{self._version}.dist-info/METADATA': f'Name: anyio\nVersion: {self._version}\n',
                'asyncbis_anyio.py': 'TESTED_VERSIONS = ("4.16.0",)',
                'test_it.py': self._tests}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding='utf-8')
        return folder


def survey_with_package(tmp_path, monkeypatch, *, package='one', patched='p', **options):
    """(result or None, the variants of the runs that were made, what the listener heard)."""
    # Each run takes a second.
    for name, value in ('SWITCHES', ('signals',)), ('STOCK_RUNS', 1), ('PATCHED_RUNS', 1):
        monkeypatch.setattr(attribution, name, value)
    made_environments, listener = AnyIOEnvironments(tmp_path, **options), Listener()
    survey = conduct.Survey(tmp_path / 'build', made_environments, {'stock': 's', 'patched': patched}, listener,
                            runs=tmp_path / 'runs', results=tmp_path / 'results',
                            package=package and types.SimpleNamespace(identity=package))
    result = survey.conduct(projects_module.Project('it', '1', 'utility'))
    if result is not None:
        assert json.loads((tmp_path / 'results' / 'it.json').read_text(encoding='utf-8')) == result
    return result, made_environments.made, listener.text


def test_a_survey_with_the_package(tmp_path, monkeypatch):
    made_result, asked, heard = survey_with_package(tmp_path, monkeypatch, tests=ANYIO_TESTS + REPAIRED)
    assert list(made_result['regressions']) == ['test_it.py::test_repaired']
    told = made_result['native_anyio']
    assert (told['state'], told['anyio'], told['package'], told['used']) == ('active', '4.16.0', 'one', True)
    assert list(told['left']) == ['test_it.py::test_new']
    assert 'not native' in told['left']['test_it.py::test_new']['log']
    assert told['repaired'] == ['test_it.py::test_repaired']
    assert asked.count('native') == 2 and {'native-1', 'native-2'} <= made_result['runs'].keys()
    assert made_result['interpreters'] == {'stock': 's', 'patched': 'p'}
    assert ('note', 'it: native AnyIO: 1 repaired, 1 left, 1 of them new') in heard


def test_only_the_runs_that_depend_on_what_has_changed_are_made_again(tmp_path, monkeypatch):
    before, asked, _ = survey_with_package(tmp_path, monkeypatch, package=None)
    assert 'native_anyio' not in before and asked == ['stock', 'patched']
    # An earlier survey is completed.
    after, asked, _ = survey_with_package(tmp_path, monkeypatch)
    assert asked == ['native', 'native']
    assert {**before, 'native_anyio': after['native_anyio'], 'runs': after['runs']} == after
    again, asked, _ = survey_with_package(tmp_path, monkeypatch)
    assert asked == [] and again == after
    again, asked, _ = survey_with_package(tmp_path, monkeypatch, package='two')
    assert asked == ['native', 'native'] and again['native_anyio'] == {**after['native_anyio'], 'package': 'two'}
    again, asked, _ = survey_with_package(tmp_path, monkeypatch, patched='p2')
    assert asked == ['patched', 'native', 'native']


def test_a_survey_of_a_project_without_anyio(tmp_path, monkeypatch):
    made_result, asked, _ = survey_with_package(tmp_path, monkeypatch, lock='anyio-asyncbis==1\n')
    assert made_result['native_anyio'] == {'state': 'absent'} and 'native' not in asked


def test_a_survey_with_an_anyio_that_the_package_does_not_know(tmp_path, monkeypatch):
    inactive = ANYIO.replace("os.environ.get('ASYNCBIS_ANYIO') != '0'", 'False')
    made_result, _, heard = survey_with_package(tmp_path, monkeypatch, lock='anyio==3.7.1\n', version='3.7.1',
                                                anyio=inactive)
    assert made_result['native_anyio'] == {'state': 'off', 'anyio': '3.7.1', 'package': 'one'}
    assert not any(name.startswith('native') for name in made_result['runs'])
    assert ('note', 'it: native AnyIO: off: anyio 3.7.1') in heard


@pytest.mark.parametrize('condition, complaint', [
    # The package is active in the environment, and something turns it off for the tests.
    ('"pytest" not in sys.modules', 'run on native used the stock backend of AnyIO.*turns anyio-asyncbis off'),
    # It gets into the other environments.
    ('True', 'run on stock used the native backend of AnyIO.*turns anyio-asyncbis on'),
    # The program that asks fails.
    ('"pytest" in sys.modules or os.environ.get("ASYNCBIS_ANYIO") == "0" or sys.exit("Boom")', 'Boom'),
])
def test_runs_with_another_backend_than_they_should_have_are_not_reported(tmp_path, monkeypatch, condition, complaint):
    condition = condition if condition == 'True' else f'os.environ.get("ASYNCBIS_ANYIO") != "0" and ({condition})'
    text = ANYIO.replace("os.environ.get('ASYNCBIS_ANYIO') != '0'", condition)
    made_result, _, heard = survey_with_package(tmp_path, monkeypatch, anyio=text.replace('os\n', 'os, sys\n'))
    assert made_result is None
    (_, reason), = [text for name, *text in heard if name == 'failed']
    assert re.search(complaint, reason, re.DOTALL)


def test_only_the_environment_of_the_column_gets_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv('PIP_INDEX_URL', 'http://localhost')
    monkeypatch.setattr(environments, 'LOCKS', tmp_path)
    project = projects_module.Project('it', '1', 'utility')
    (tmp_path / 'it.txt').write_text(f'# {json.dumps(project.wanted)}\nanyio==4.16.0\n', encoding='utf-8')
    calls = []
    monkeypatch.setattr(environments.Environments, '_uv', lambda self, *arguments, **options: (
        calls.append([str(argument) for argument in arguments]),
        arguments[0] == 'venv' and arguments[-1].mkdir(parents=True)))

    def make(variant, identity='one'):
        calls.clear()
        package = types.SimpleNamespace(path=tmp_path / 'it.whl', identity=identity)
        made_environments = environments.Environments(tmp_path, {'stock': 'python-s', 'patched': 'python-p'},
                                                      package=package)
        python = made_environments.venv(project, variant)
        installed = [call for call in calls if call[-1].endswith('.whl')]
        return python, [call for call in calls if call[0] == 'venv'], installed

    folders = set()
    for variant, interpreter, wheels in ('stock', 's', 0), ('patched', 'p', 0), ('native', 'p', 1):
        python, venvs, installed = make(variant)
        assert f'python-{interpreter}' in venvs[0] and len(installed) == wheels
        folders.add(python)
    assert len(folders) == 3
    assert make('native')[1:] == ([], []) and make('patched', 'two')[1] == []
    assert len(make('native', 'two')[2]) == 1


def _judge():
    """A result with two regressions, three tests that fail with the package, and triage that knows their causes."""
    made_result = result(a=['shield'], b=['shield'])
    made_result['summary'] = {'regressions': 2, 'flaky': 0}
    for entry in made_result['regressions'].values():
        entry.update(stock='passed', patched='failed', log='Boom')
    logs = {'a': 'Boom', 'b': 'Other', 'c': 'New'}
    made_result['native_anyio'] = {
        'state': 'active', 'anyio': '4', 'package': 'p', 'used': True, 'repaired': [], 'flaky': [],
        'left': {test: {'native': 'failed', 'log': log} for test, log in logs.items()}}
    return made_result


def _causes(made_result, *findings, of_anyio=False):
    judgment = triage.Triage([triage.Cause('one', 'One', '', of_anyio=of_anyio), triage.Cause('two', 'Two', '')],
                              [triage.Finding('it', **finding) for finding in findings])
    causes = judgment.give_causes({'it': made_result})
    return {cause.id: ''.join(left.test for left in cause.left) for cause in causes if cause.left}


BY_DEFAULT = {'tests': ['*'], 'cause': 'one', 'text': ''}
WITH_PACKAGE = {'tests': ['*'], 'cause': 'two', 'text': '', 'native': True}


def test_what_is_left_has_the_cause_that_it_has_by_default():
    assert _causes(_judge(), BY_DEFAULT) == {'one': 'ab', 'untriaged': 'c'}
    # But not if it is another error.
    assert _causes(_judge(), {**BY_DEFAULT, 'log': 'Boom'}) == {'one': 'a', 'untriaged': 'bc'}
    # And not if that is a cause that the package takes away.
    assert _causes(_judge(), BY_DEFAULT, of_anyio=True) == {'untriaged': 'abc'}


def test_what_is_left_has_the_cause_of_a_finding_about_the_package():
    assert _causes(_judge(), BY_DEFAULT, WITH_PACKAGE) == {'two': 'abc'}
    assert _causes(_judge(), BY_DEFAULT, {**WITH_PACKAGE, 'log': 'New'}) == {'one': 'ab', 'two': 'c'}
    judgment = triage.Triage([triage.Cause('two', 'Two', '')], [triage.Finding('it', **WITH_PACKAGE)])
    *_, untriaged = judgment.give_causes({'it': _judge()})
    assert [test for test, _ in untriaged.findings[0].regressions] == ['a', 'b']


def test_what_anyio_is_expected_to_fail_with_the_package_has_a_cause():
    findings = [finding for finding in triage.load().findings if finding.native and finding.project == 'anyio']
    for name in anyio_suite.EXPECTED:
        module, _, test = name.partition('::')
        entry = {'log': "no attribute '_deliver_cancellation'", 'switches': []}
        assert any(finding.covers('anyio', f'tests/{module}.py::{test}[asyncio]', entry) for finding in findings)


def test_finding_about_the_package_with_switches():
    with pytest.raises(projects_module.SurveyError, match='a native finding has no switches'):
        triage.Triage([triage.Cause('two', 'Two', '')], [triage.Finding('it', switches=['shield'], **WITH_PACKAGE)])


def test_what_depends_on_chance_is_set_aside_with_the_package_as_well():
    made_result = _judge()
    made_result['native_anyio']['repaired'] = ['d']
    judgment = triage.Triage(chance=[triage.Chance('it', ['b', 'c', 'd'], 'The weather.')])
    assert judgment.set_aside(made_result) == ['b', 'c', 'd']
    told = made_result['native_anyio']
    assert (list(told['left']), told['repaired'], told['flaky']) == (['a'], [], ['b', 'c', 'd'])
    assert judgment.set_aside(made_result) == []


def test_what_depends_on_chance_because_of_anyio_counts_with_the_package():
    made_result = _judge()
    judgment = triage.Triage(chance=[triage.Chance('it', ['b'], 'Its plugin.', of_anyio=True)])
    assert judgment.set_aside(made_result) == ['b']
    assert list(made_result['native_anyio']['left']) == ['a', 'b', 'c']
    assert native.find_new(made_result) == ['b', 'c']


def test_two_surveys_with_the_package_are_compared():
    first, second = _judge(), _judge()
    del second['native_anyio']['left']['a'], second['native_anyio']['left']['b']
    second['native_anyio']['flaky'] = ['b']
    compared = agreement.compare(first, second)
    assert compared['native_anyio'] == {'left': 1, 'only_in_the_first': ['a'], 'only_in_the_second': [],
                                        'flaky_in_one': ['b']}
    assert not agreement.agrees(compared)
    second['native_anyio']['flaky'] = ['a', 'b']
    assert agreement.agrees(agreement.compare(first, second))
    second['native_anyio']['package'] = 'another'
    assert 'native_anyio' not in agreement.compare(first, second)
    assert report._repeated_native([]) is None
    assert report._repeated_native([compared['native_anyio']]) == {'left': 1, 'only_in_one': 1, 'flaky': 1}


def test_what_the_report_says_of_the_package(tmp_path):
    off, without, old = _judge(), _judge(), _judge()
    off['native_anyio'] = {'state': 'off', 'anyio': '3', 'package': 'p'}
    del without['native_anyio'], old['native_anyio']
    results = {'it': _judge(), 'off': off, 'without': without, 'old': old}
    (tmp_path / 'without.txt').write_text('attrs==1\n', encoding='utf-8')
    (tmp_path / 'old.txt').write_text('anyio==4\n', encoding='utf-8')
    native.complete(results, tmp_path)
    assert {name: native.count(each) for name, each in results.items()} == {
        'it': 3, 'off': 2, 'without': 2, 'old': None}
    told = native.summarize(results)
    assert (told['missing'], told['total'], told['off'], told['absent']) == (['old'], None, {'off': '3'}, ['without'])
    del results['old']
    told = native.summarize(results)
    assert (told['missing'], told['total'], told['regressions'], told['left'], told['new']) == ([], 7, 2, 3, 1)

    causes = triage.Triage([triage.Cause('one', 'One', '')], [triage.Finding('it', **BY_DEFAULT)]).give_causes(results)
    one, untriaged = report._native_causes(causes, results)
    assert (one['before'], one['left'], one['new']) == (2, 2, 0)
    assert (untriaged['before'], untriaged['left'], untriaged['new']) == (0, 1, 1)
    assert [(test['test'], test['new']) for test in untriaged['groups'][0]['tests']] == [('c', True)]


# Then and now.

def _judged(**tests):
    """A result, and a Triage that has its cause and a topic."""
    made = result(**{test: ['none'] for test in tests})
    made.update(date='2020-01-01', summary={'tests': 4, 'flaky': 0, 'failing_on_stock': 0})
    for test, log in tests.items():
        made['regressions'][test].update(log=log)
    judgment = triage.Triage(
        [triage.Cause('one', 'One', '')], [triage.Finding('it', ['*'], 'one', '')],
        topics=[triage.Topic('stop', 'Stop', '7.3', 'Ends.', log='StopIt', causes=['one'])])
    return {'it': made}, judgment


def test_what_has_become_of_earlier_regressions(tmp_path):
    path = tmp_path / 'previous.json'
    results, judgment = _judged(a='StopIt', b='StopIt', c='')
    assert history.compare(results, [], [], path) is None
    history.remember(results, judgment, path)
    results, judgment = _judged(b='StopIt', d='StopIt')
    results['it']['interpreters']['patched'] = 'another'
    compared = history.compare(results, judgment.give_causes(results), judgment.topics, path)
    assert (compared['before'], compared['now'], compared['again'], compared['not_again']) == (3, 2, ['it'], [])
    topic, = compared['topics']
    assert (topic['before'], topic['now'], topic['gone'], topic['projects']) == (2, 2, 1, ['it'])
    assert compared['causes']['one'] == {'title': 'One', 'before': 3, 'now': 2, 'gone': 2}


def test_results_that_have_not_been_made_again_are_called_so(tmp_path):
    path = tmp_path / 'previous.json'
    results, judgment = _judged(a='StopIt')
    history.remember(results, judgment, path)
    results, judgment = _judged(a='StopIt')
    assert history.compare(results, judgment.give_causes(results), judgment.topics, path)['not_again'] == ['it']


# The report.

def test_results_of_before_say_nothing_of_new_columns():
    project = projects_module.Project('it', '1', 'utility')
    made = result(a=['shield'], b=['edge-cancel+shield'])
    made['summary'] = {'tests': 4, 'flaky': 0, 'failing_on_stock': 0, 'regressions': 2, 'mended': 0}
    made['runs'] = {name: {'switches': name, 'seconds': 1} for name in ('edge-cancel', 'shield', 'all')}
    made['runs']['patched-1'] = {'switches': '', 'seconds': 1}
    row = report._row(project, made)
    assert row['switches'] == {'edge-cancel': 2, 'edge-scopes': None, 'background-errors': None,
                               'unretrieved-only': None, 'shield': 1, 'signals': None, 'first step': None, 'all': 0}
    for regression in made['regressions'].values():
        regression['fine_in_the_first_step'] = True
    assert report._row(project, made)['switches']['first step'] == 0
    made['regressions'] = {}
    assert set(report._row(project, made)['switches'].values()) == {0}


# Ports.

def write_port(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / f'{name}.toml').write_text(textwrap.dedent(text), encoding='utf-8')


def load_ports(folder):
    return ports.load(folder, causes={'cleanup', 'swallowed'})


EDIT = """
    [[edit]]
    in = "installed"
    file = "it/core.py"
    cause = "cleanup"
    tried = ["stock", "patched"]
    old = "one"
    new = "two"
    """


def test_the_ports_are_valid():
    found = ports.load()
    projects, _ = projects_module.load()
    assert found.keys() <= projects.keys()
    assert all(edit.tried for port in found.values() for edit in port.edits)


@pytest.mark.parametrize('text, complaint', [
    (EDIT.replace('old = "one"', ''), r'it/core.py: these are missing: old'),
    (EDIT.replace('in = "installed"', ''), r'these are missing: in'),
    (EDIT.replace('installed', 'elsewhere'), '`in` is installed or tests'),
    (EDIT.replace('cleanup', 'weather'), 'there is no cause weather'),
    (EDIT.replace('"patched"', '"pypy"'), '`tried` names stock, patched'),
    (EDIT.replace('new = "two"', 'new = "one"'), 'old and new are the same'),
    (EDIT + '    line = 3', 'unknown keys: line'),
    ('color = "red"\n' + EDIT, 'unknown keys: color'),
    ('left_out = "weather"', 'there is no category weather'),
    ('left_out = "anyio"\n' + EDIT, 'give it edits, or say with left_out'),
    ('note = "x"', 'give it edits, or say with left_out'),
    ('uses = ["other"]', 'uses other, which has no port'),
])
def test_mistakes_in_ports(tmp_path, text, complaint):
    write_port(tmp_path, 'it', text)
    with pytest.raises(projects_module.SurveyError, match=complaint):
        load_ports(tmp_path)


def edit(**changes):
    return ports.Edit(**{'file': 'it.py', 'where': 'installed', 'cause': 'cleanup', 'old': 'one', 'new': 'two',
                         'tried': ('stock', 'patched'), **changes})


@pytest.mark.parametrize('text, times', [('', 1), ('one one', 1), ('one', 2)])
def test_an_edit_matches_as_often_as_it_says(tmp_path, text, times):
    (tmp_path / 'it.py').write_text(text, encoding='utf-8')
    with pytest.raises(projects_module.SurveyError, match=f'it.py: an edit matches {text.count("one")} times'):
        edit(times=times).apply(tmp_path)
    assert (tmp_path / 'it.py').read_text(encoding='utf-8') == text


def test_an_edit_of_a_file_that_is_not_there(tmp_path):
    with pytest.raises(projects_module.SurveyError, match='it.py: cannot be edited'):
        edit().apply(tmp_path)


def test_an_edit_leaves_other_links_to_the_file_alone(tmp_path):
    cached = tmp_path / 'cached.py'
    cached.write_text('one = 1\n', encoding='utf-8')
    (tmp_path / 'it.py').hardlink_to(cached)
    edit().apply(tmp_path)
    assert (tmp_path / 'it.py').read_text(encoding='utf-8') == 'two = 1\n'
    assert cached.read_text(encoding='utf-8') == 'one = 1\n'


def test_price_of_a_port():
    port = ports.Port('it', (edit(old='a\nb\n', new='a\nc\nd\n'), edit(times=3), edit(cause='swallowed', new='')))
    assert port.price() == {'cleanup': {'places': 4, 'added': 5, 'removed': 4},
                            'swallowed': {'places': 1, 'added': 0, 'removed': 1}}


def test_what_is_said_of_an_edit_does_not_make_its_trial_outdated():
    def digest(**changes):
        return ports.Port('it', (edit(**changes),)).digest

    assert digest() == digest(why='Because.', cause='swallowed', tried=())
    assert len({digest(), digest(new='three'), digest(times=2), digest(where='tests')}) == 4


class Environments:
    """Stands in for those that make environments: everything is this interpreter, and a folder of two tests."""

    def __init__(self, folder, test):
        self._folder = folder
        self._test = test
        self.edits = []

    def venv(self, project, variant, *, edits=None):
        self.edits.append((variant, edits))
        return pathlib.Path(sys.executable)

    def unpack(self, project, folder):
        folder.mkdir(parents=True)
        (folder / 'it').mkdir()
        (folder / 'src' / 'it').mkdir(parents=True)
        (folder / 'src' / 'it' / 'core.py').write_text('one = 1\n', encoding='utf-8')
        (folder / 'it' / 'core.py').write_text('one = 1\n', encoding='utf-8')
        (folder / 'it' / 'test_it.py').write_text(textwrap.dedent(self._test), encoding='utf-8')
        return folder


class Listener:
    def __init__(self):
        self.text = []

    def __getattr__(self, name):
        return lambda *arguments: self.text.append((name, *arguments))


def try_port(tmp_path, monkeypatch, text, test, **options):
    monkeypatch.setattr(triage, 'load', lambda: triage.Triage([triage.Cause('cleanup', '', '')]))
    write_port(tmp_path / 'ports', 'it', text)
    made_result = {'name': 'it', 'version': '1', 'tests': {f'it/test_it.py::test_{name}': 'passed' for name in 'abc'},
                   'flaky': {'it/test_it.py::test_c': []}, 'failing_on_stock': {}, 'summary': {},
                   'regressions': {'it/test_it.py::test_a': {}}}
    (tmp_path / 'it.json').write_text(json.dumps(made_result), encoding='utf-8')
    made_environments, listener = Environments(tmp_path, test), Listener()
    trial = ports.Trial(tmp_path / 'build', made_environments, {}, listener, load_ports(tmp_path / 'ports'),
                        results=tmp_path, file=tmp_path / 'ports.json', **options)
    entry = trial.conduct(projects_module.Project('it', '1', 'utility'))
    return entry, made_environments, listener


TESTS = """
    from it import core
    def test_a(): assert core.two == 1 and 'two' in open('src/it/core.py').read()
    def test_b(): pass
    def test_c(): assert False
    """


def test_a_port_is_tried_on_both_interpreters(tmp_path, monkeypatch):
    entry, made_environments, _ = try_port(tmp_path, monkeypatch, EDIT, TESTS)
    assert entry['regressions'] == 1 and entry['tests'] == 2
    assert {variant: entry[variant]['failing'] for variant in ports.VARIANTS} == {'stock': {}, 'patched': {}}
    assert [(variant, len(edits)) for variant, edits in made_environments.edits] == [('stock', 1), ('patched', 1)]
    assert ports.read(tmp_path / 'ports.json') == {'it': entry}


def test_a_port_that_breaks_a_test(tmp_path, monkeypatch):
    entry, _, listener = try_port(tmp_path, monkeypatch, EDIT, TESTS.replace('pass', 'core.one'))
    assert list(entry['stock']['failing']) == list(entry['patched']['failing']) == ['it/test_it.py::test_b']
    assert any(name == 'note' and 'test_b' in text[0] for name, *text in listener.text)


def test_tests_that_wait_for_anyio_are_counted_apart(tmp_path, monkeypatch):
    text = 'awaits_anyio = ["it/*::test_b"]\n' + textwrap.dedent(EDIT)
    entry, _, _ = try_port(tmp_path, monkeypatch, text, TESTS.replace('pass', 'core.one'))
    assert list(entry['stock']['failing']) == entry['awaiting_anyio'] == ['it/test_it.py::test_b']
    assert entry['patched']['failing'] == {}


def test_what_fails_once_only_does_not_count(tmp_path, monkeypatch):
    flag = tmp_path / 'flag'
    entry, _, _ = try_port(tmp_path, monkeypatch, EDIT, TESTS.replace('pass', f"""
        import pathlib
        flag = pathlib.Path({str(flag)!r})
        first = not flag.exists()
        flag.touch()
        assert not first
    """))
    assert entry['stock']['failing'] == {}


def test_ports_that_are_tried_at_the_same_time_are_all_kept(tmp_path):
    path = tmp_path / 'ports.json'
    names = [f'p{number}' for number in range(20)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: ports.keep(path, name, {'of': name}), names))
    assert ports.read(path) == {name: {'of': name} for name in names}


def test_a_quick_trial_runs_the_regressions_and_writes_nothing(tmp_path, monkeypatch):
    entry, _, _ = try_port(tmp_path, monkeypatch, EDIT, TESTS.replace('pass', 'core.one'), quick=True)
    assert entry['stock']['failing'] == {} and not (tmp_path / 'ports.json').exists()


def test_what_the_report_says_of_ports(tmp_path, monkeypatch):
    entry, _, _ = try_port(tmp_path, monkeypatch, EDIT, TESTS)
    write_port(tmp_path / 'ports', 'changed', EDIT.replace('two', 'three'))
    write_port(tmp_path / 'ports', 'waiting', 'left_out = "anyio"')
    found = load_ports(tmp_path / 'ports')
    results = {name: {'regressions': {'a': {}}} for name in ('it', 'changed', 'waiting', 'other')}
    summary = ports.summarize(results, found, {'it': entry, 'changed': entry})
    assert [(row['name'], row['state']) for row in summary['rows']] == [('changed', 'outdated'), ('it', 'tried')]
    assert summary['missing'] == ['other'] and summary['untried'] == ['changed'] and summary['elsewhere'] == ['it']
    results['it']['interpreters'] = entry['interpreters']
    assert ports.summarize(results, found, {'it': entry})['elsewhere'] == []
    assert summary['totals'] == {'projects': 2, 'places': 2, 'added': 2, 'removed': 2, 'before': 1, 'left': 0,
                                 'awaiting_anyio': 0, 'broken_on_stock': 0, 'untried': 1, 'left_out': 1}
    assert [(group['category'], [project['name'] for project in group['projects']])
            for group in summary['left_out']] == [('anyio', ['waiting'])]


def test_only_surveys_of_the_same_things_are_compared(tmp_path):
    for folder, version in (('first', '1'), ('second', '1'), ('third', '2')):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'it.json').write_text(json.dumps(result(version, a=['none'])), encoding='utf-8')
    path = tmp_path / 'agreement.json'
    assert agreement.write(tmp_path / 'first', tmp_path / 'second', path)['projects']['it']['regressions'] == 1
    assert agreement.write(tmp_path / 'first', tmp_path / 'third', path)['projects'] == {}
    assert json.loads(path.read_text(encoding='utf-8'))['projects'] == {}
