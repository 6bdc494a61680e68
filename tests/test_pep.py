"""The PEP draft: its programs do what it says of them, its figures are those of the results, and it follows the rules
of the PEP repository."""

import datetime
import inspect
import json
import pathlib
import re
import shutil
import subprocess
import textwrap

import pytest

from tools import pep
from tools import project as project_module
from tools import ui

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXT = (ROOT / pep.DOCUMENT).read_text(encoding='utf-8')
PROGRAMS = {path.stem: path for path in sorted((ROOT / pep.PROGRAMS).glob('*.py'))}
# Exit status of pep_program.py for a program that waits for what cannot happen.
HANGS = 99
MOST_LINES = 830


# The programs.

# What takes back all parts but 1 to 3, and all but these and one other part.  Part 4 is proposed with `unretrieved-only`.
SCOPES = 'edge-cancel,background-errors,shield,signals'
SHIELD = 'edge-cancel,background-errors,signals'
ROOT_GROUP = 'edge-cancel,unretrieved-only,shield,signals'
SIGNALS = 'edge-cancel,unretrieved-only,shield'
TASK_CANCEL = 'background-errors,shield,signals'

# For each program: the switches under which it does what the PEP says; (exit status, output, what the last line of the
# errors says) of stock, and with the PEP.
OUTCOMES = {
    'stuck_timeout': (SCOPES, (HANGS, '', ''), (1, '', 'TimeoutError')),
    'stuck_group': (SCOPES, (HANGS, '', ''), (1, '', 'ValueError: wrong configuration')),
    'swallowed_timeout': (SCOPES, (1, '', "AttributeError: 'TaskGroup' object has no attribute 'cancel'"),
                          (1, '', 'TimeoutError')),
    'lost_result': (SCOPES, (0, 'lost a connection', ''), (0, 'got a connection', '')),
    'commit': (SHIELD, (0, 'connection closed', ''), (0, 'committed connection closed', '')),
    'silent_failure': (ROOT_GROUP, (HANGS, '0.5', ''), (
        1, '0.5', "ZeroDivisionError: division by zero in background task 'Task-2', consume()")),
    'terminated': (SIGNALS, (-15, '', ''), (-15, 'connections closed', '')),
    'stuck_task': (TASK_CANCEL, (HANGS, '', ''), (0, 'cancelled: True', '')),
}


@pytest.fixture(scope='session')
def interpreters():
    """The patched interpreter, and the stock one of the same version."""
    found = {name: ROOT / 'build' / name / 'python' for name in ('stock', 'release')}
    for name, path in found.items():
        if not path.exists():
            subprocess.run(['./build.sh', 'build', '--variant', name], cwd=ROOT, check=True, timeout=3600)
    return found


def run(interpreter, path, *options):
    """Return the exit status, the output, and the end of the errors of a program: its last line with its notes."""
    done = subprocess.run([interpreter, *options, ROOT / 'tests' / 'pep_program.py', path], capture_output=True,
                          text=True, timeout=60)
    status = done.returncode
    output = done.stdout.split('\n')
    if status == HANGS:
        assert output.pop(-2) == 'hangs'
    errors = [line.strip(' |+-') for line in done.stderr.splitlines()]
    errors = [line for line in errors if line]
    last = max([number for number, line in enumerate(errors) if re.match(r'[A-Z]\w*Error\b', line)], default=None)
    return status, ' '.join(' '.join(output).split()), '' if last is None else ' '.join(errors[last:])


@pytest.mark.timeout(3600)  # The first one may build the interpreters.
@pytest.mark.parametrize('name', OUTCOMES)
def test_program(interpreters, name):
    """It fails on stock, and does not with the part that it is about, nor with all parts."""
    switches, on_stock, with_the_pep = OUTCOMES[name]
    assert run(interpreters['stock'], PROGRAMS[name]) == on_stock
    assert run(interpreters['release'], PROGRAMS[name], '-X', f'asyncio_legacy={switches}') == with_the_pep
    assert run(interpreters['release'], PROGRAMS[name]) == with_the_pep


@pytest.mark.parametrize('name', [name for name, outcome in OUTCOMES.items() if outcome[0] != SCOPES])
def test_program_needs_its_part(interpreters, name):
    """With scopes only it fails as on stock."""
    _, on_stock, _ = OUTCOMES[name]
    assert run(interpreters['release'], PROGRAMS[name], '-X', f'asyncio_legacy={SCOPES}') == on_stock


def test_shield_in_cleanup_needs_part_2(interpreters, tmp_path):
    """What part 2 says of `finally: await shield(cleanup())`."""
    path = tmp_path / 'program.py'
    path.write_text(textwrap.dedent('''\
        import asyncio

        async def cleanup():
            await asyncio.sleep(0.1)
            print("cleaned up")

        async def main():
            async with asyncio.timeout(0.1):
                try:
                    await asyncio.sleep(3600)
                finally:
                    await asyncio.shield(cleanup())

        asyncio.run(main())
        '''))
    kept, lost = (1, 'cleaned up', 'TimeoutError'), (1, '', 'TimeoutError')
    assert run(interpreters['stock'], path) == kept
    assert run(interpreters['release'], path, '-X', f'asyncio_legacy={SCOPES}') == lost
    assert run(interpreters['release'], path, '-X', f'asyncio_legacy={SHIELD}') == kept


def test_a_program_that_ends_and_one_that_hangs(interpreters, tmp_path):
    """The loop of pep_program.py waits for nothing, and notices that nothing is left to wait for."""
    path = tmp_path / 'program.py'
    for wait, expected in ('sleep(3600)', (0, 'done', '')), ('Event().wait()', (HANGS, '', '')):
        path.write_text(f'import asyncio\nasync def main():\n    await asyncio.{wait}\n    print("done")\n'
                        'asyncio.run(main())\n')
        assert run(interpreters['stock'], path) == expected


def code_blocks():
    """Return the blocks of code in the PEP."""
    blocks = re.findall(r'^\.\. code-block:: python\n\n((?:   .*\n|\n)+)', TEXT, re.MULTILINE)
    return [textwrap.dedent(block).rstrip('\n') + '\n' for block in blocks]


def test_each_program_is_tested():
    assert PROGRAMS.keys() == OUTCOMES.keys()


def test_programs_stand_in_the_pep():
    """Each as it is in its file, and every block that is a whole program has a file."""
    texts = {name: path.read_text(encoding='utf-8') for name, path in PROGRAMS.items()}
    blocks = code_blocks()
    whole = [block for block in blocks if 'asyncio.run(' in block]
    first = texts['stuck_timeout']
    assert whole[0] == first
    # Of these two only that stands there in which they differ from the first.
    for name in 'stuck_group', 'stuck_task':
        same, _, rest = first.partition('async def main():')
        assert texts[name].startswith(same)
        _, _, end = rest.partition('\n\n')
        assert texts.pop(name)[len(same):].removesuffix('\n' + end) in blocks
    assert set(whole) == set(texts.values())


# The interface.

NAMES = '''
import asyncio, json
print(json.dumps({
    "CancelScope": [name for name in dir(asyncio.CancelScope) if not name.startswith("_")],
    "TaskGroup": [name for name in dir(asyncio.TaskGroup) if not name.startswith("_")],
    "asyncio": dir(asyncio),
}))
'''


def test_interface(interpreters):
    """What the specification lists is there, with these parameters; CancelScope has nothing else but what is said."""
    done = subprocess.run([interpreters['release'], '-c', NAMES], capture_output=True, text=True, timeout=60, check=True)
    names = json.loads(done.stdout)
    listed = {'asyncio': set()}
    for block in code_blocks():
        owner = 'asyncio'
        if not re.match(r'class (CancelScope|TaskGroup)', block):
            continue
        for line in block.splitlines():
            if match := re.match(r'class (\w+)', line):
                owner = match[1]
                listed.setdefault(owner, set())
                listed['asyncio'].add(owner)
            elif match := re.match(r'( *)(?:def )?(\w+)[(:]', line):
                if len(match[1]) in (0, 4) and not match[2].startswith('_'):
                    listed[owner if match[1] else 'asyncio'].add(match[2])
    assert listed['asyncio'] <= set(names['asyncio'])
    assert listed['TaskGroup'] <= set(names['TaskGroup'])
    # cancels_tasks differs from effectively_cancelled with part 6 only.
    assert set(names['CancelScope']) - listed['CancelScope'] == {'cancels_tasks'}
    assert listed['CancelScope'] <= set(names['CancelScope'])


# The figures.

def test_figures():
    """They are those of the results."""
    assert pep.render_figures(TEXT, pep.Results(project_module.Project(ROOT))) == TEXT, (
        'run python3 -m tools.pep figures')


def test_no_figure_is_left_out():
    assert set(re.findall(r'\.\. figures: ([a-z-]+)\n', TEXT)) == pep._RENDERERS.keys()


def test_unknown_figures():
    with pytest.raises(ui.UserError, match='nothing is known of the figures guesses'):
        pep.render_figures('.. figures: guesses\n\n.. end\n', None)


class FakeResults:
    """Results in which the figures can be told apart."""

    def __init__(self, first_step=None, missing=('first step', 'edge-scopes'), broken=0, mixed=False):
        self.data = {
            'date': '2026-01-02', 'mixed': mixed, 'totals': {'projects': 3, 'fine_on_stock': 2000, 'regressions': 77},
            'remaining': {'first step': first_step, 'all': 4}, 'missing': dict.fromkeys(missing),
            'left': lambda *switches: 10 + len(switches),
            'history': {'topics': [{'rules': '4.4, 6.8', 'before': broken}]},
            'ports': {'left_out': [{'category': 'anyio', 'projects': [{'regressions': 30}, {'regressions': 3}]}],
                      'totals': {}}}

    def survey(self):
        return self.data


def cells(lines):
    return [re.split(r'  +', line.strip()) for line in lines]


def test_first_step_that_has_been_measured():
    lines = pep._survey(FakeResults(first_step=6, missing=()))
    assert ['1 and 3: scopes', '6', '0.30 %'] in cells(lines)
    assert ['also 5: signals', '12', '0.60 %'] in cells(lines)
    assert not any('switch' in line for line in lines)
    assert '33 of the 77' in ' '.join(lines)


def test_first_step_of_older_results():
    """What was left with `all`, which did not take the scopes back then; the text says so."""
    lines = pep._survey(FakeResults())
    assert ['1 and 3: scopes', '4', '0.20 %'] in cells(lines)
    assert 'before part 1 had a switch' in ' '.join(lines)


@pytest.mark.parametrize('mixed', [False, True])
def test_results_of_several_states(mixed):
    assert ('of an earlier state' in ' '.join(pep._survey(FakeResults(mixed=mixed)))) == mixed


def test_first_step_that_is_missing():
    with pytest.raises(ui.UserError, match='the survey has no runs of the first step'):
        pep._survey(FakeResults(missing=('first step',)))


@pytest.mark.parametrize('broken, said', [(0, 'none of the 2,000 tests'), (7, '7 of the 2,000 tests')])
def test_affinity(broken, said):
    assert said in ' '.join(pep._affinity(FakeResults(broken=broken)))


# The rules of the PEP repository.

TODAY = datetime.date(2026, 12, 1)


def test_lint():
    assert pep.check(TEXT) == []


def test_length():
    """A reader can take it in."""
    assert len(TEXT.splitlines()) <= MOST_LINES


HEADERS = '''\
PEP: 9999
Title: Something
Author: Ann Nonymous <ann@example.org>
Discussions-To: Pending
Status: Draft
Type: Standards Track
Created: 30-Nov-2026
Python-Version: 3.16
Post-History: Pending
'''
SECTIONS = ''.join(f'\n\n{name}\n{"=" * len(name)}\n\nText.\n' for name in pep._SECTIONS)
GOOD = HEADERS + SECTIONS


def test_lint_of_a_good_text():
    assert pep.check(GOOD, TODAY) == []


@pytest.mark.parametrize('old, new, message', [
    ('PEP: 9999', 'PEP: XXXX', '1: the first line must be'),
    ('PEP: 9999', 'PEP: 09', '1: the first line must be'),
    ('Title: Something\n', '', '1: the header Title is missing'),
    ('Title: Something', f'Title: {"x" * 80}', '2: Title: must have from 1 to 79'),
    ('Title: Something', 'Title:Something', '2: the header Title must have a space'),
    ('Status: Draft', 'Status: Draft\nStatus: Draft', '6: the header Status is there twice'),
    ('Status: Draft', 'State: Draft', '5: there is no such header: State: Draft'),
    ('Status: Draft\nType: Standards Track', 'Type: Standards Track\nStatus: Draft', '1: the headers must be in this'),
    ('Status: Draft', 'Status: Perfect', '5: Status: must be one of'),
    ('Type: Standards Track', 'Type: Novel', '6: Type: must be one of'),
    ('Type: Standards Track', 'Type: Standards Track\nTopic: Typing, Packaging', '7: Topic: must be some of'),
    ('Ann Nonymous <ann@example.org>', 'ann@example.org', '3: Author: must be `Name <address>`'),
    ('Ann Nonymous <ann@example.org>', 'Ann Nonymous <nowhere>', '3: Author: must be `Name <address>`'),
    ('Ann Nonymous <ann@example.org>', 'Ann Nonymous\n        Bo Nonymous', '3: Author: a line that is continued'),
    ('Ann Nonymous <ann@example.org>', 'Ann Nonymous,\n          Bo Nonymous', '3: Author: this line is indented'),
    ('Discussions-To: Pending', 'Discussions-To: https://example.org/t/1', '4: Discussions-To: must be `Pending`'),
    ('Discussions-To: Pending', 'Discussions-To: https://discuss.python.org/t/x/1/2', '4: Discussions-To: must be'),
    ('30-Nov-2026', '2026-11-30', '7: Created: must be a date'),
    ('30-Nov-2026', '1-Nov-2026', '7: Created: must be a date'),
    ('30-Nov-2026', '30-Nov-2036', '7: Created: must be neither'),
    ('Python-Version: 3.16', 'Python-Version: next', '8: Python-Version: must be a version'),
    ('Post-History: Pending', 'Post-History: soon', '9: Post-History: must be a date'),
    ('Post-History: Pending', 'Post-History: Pending\nReplaces: 0012', '10: Replaces: must be numbers'),
    ('Motivation\n==========\n', 'Motivation\n=====\n', 'the line below a title must be as long as it'),
    ('\n\n\nMotivation', '\n\nMotivation', 'exactly two blank lines before Motivation'),
    ('\n\n\nMotivation', '\n\n\n\nMotivation', 'exactly two blank lines before Motivation'),
    ('\n\nOpen Issues\n===========\n\nText.\n', '', 'the section Open Issues is missing'),
    ('Copyright\n=========', 'Copyleft\n========', 'the template has no section Copyleft'),
    ('Abstract\n========', 'Motivation\n==========', 'the sections must be in this order'),
    ('Text.', 'Part\n~~~~', 'sections are underlined with'),
    ('Text.', "Part\n''''", 'this section is nested too deeply'),
    ('Text.', 'x' * 80, 'the line is longer than 79'),
    ('Text.', 'Text. ', 'whitespace at the end'),
    ('Text.', 'Text\tand more.', 'a tab in the line'),
    ('Text.', 'See https://peps.python.org/pep-0789/.', 'PEPs are referred to by :pep:'),
    ('Text.', 'See https://www.rfc-editor.org/rfc/rfc2822.', 'RFCs are referred to by :rfc:'),
    ('Text.', 'Call `run()` here.', 'code stands in double backticks'),
    ('Text.', '.. note: this', 'a directive has two colons'),
    ('Text.', 'All ``Task``s end.', 'double backticks must not touch'),
])
def test_lint_finds(old, new, message):
    assert old in GOOD
    problems = pep.check(GOOD.replace(old, new, 1), TODAY)
    assert any(message in problem for problem in problems), problems


@pytest.mark.parametrize('old, new', [
    ('Post-History: Pending', 'Post-History: `01-Nov-2026 <https://discuss.python.org/t/scopes/107031>`__,\n'
                              '              02-Nov-2026'),
    ('Discussions-To: Pending', 'Discussions-To: https://discuss.python.org/t/107031'),
    ('Ann Nonymous <ann@example.org>', 'Ann Nonymous,\n        J. Bo Éxámple-Smith Jr. <bo at example.org>'),
    ('Text.', 'See :pep:`789` and `gh-1 <https://example.org>`__ and `Open Issues`_.'),
    ('Text.', '.. code-block:: python\n\n   print(f"`{x}`")'),
    ('Text.', '====  ====\nhead  head\n====  ====\n1     2\n====  ===='),
    ('Text.', f'.. _long: https://example.org/{"x" * 80}'),
])
def test_lint_accepts(old, new):
    assert pep.check(GOOD.replace(old, new, 1), TODAY) == []


def test_lint_of_the_end_of_the_file():
    for end in ('', '\n\n'):
        assert any('exactly one newline' in problem for problem in pep.check(GOOD.rstrip('\n') + end, TODAY))


# HTML.

def test_render(tmp_path):
    """docutils has nothing to say, and all sections and programs are in the HTML."""
    page = pep.render(project_module.Project(ROOT), tmp_path / 'pep.html').read_text(encoding='utf-8')
    for title in re.findall(r'\n\n\n([A-Z][A-Za-z ]+)\n=+\n', TEXT):
        assert f'>{title}</a></h1>' in page
    assert page.count('<pre class="code python') == len(code_blocks())
    assert 'figures:' not in page
    # It can be read on a phone, and in the dark.
    assert 'name="viewport"' in page and 'prefers-color-scheme: dark' in page


def test_render_tells_what_is_wrong(tmp_path):
    project = project_module.Project(tmp_path)
    source = tmp_path / pep.DOCUMENT
    shutil.copytree((ROOT / pep.DOCUMENT).parent, source.parent)
    source.write_text(GOOD.replace('Text.', 'See `Nowhere`_.', 1))
    (tmp_path / 'tests').mkdir()
    (tmp_path / 'tests' / 'requirements.txt').write_bytes((ROOT / 'tests' / 'requirements.txt').read_bytes())
    (tmp_path / 'build').symlink_to(ROOT / 'build')
    target = tmp_path / 'pep.html'
    with pytest.raises(ui.UserError, match='Unknown target name: "nowhere"'):
        pep.render(project, target)
    assert not target.exists()


def test_command_line(capsys):
    assert pep.main(['check']) == 0
    assert pep.main(['rejoice']) == 2
    assert inspect.cleandoc(pep.__doc__) in capsys.readouterr().err
