"""The porting guide keeps its promises: each program fails before and passes after the change, as the text says.

The comment above a block names its program: `.. before: NAME` or `.. after: NAME`, the latter with `, stock` if it also has to
pass on an interpreter without scopes.  A block "after" that does not run anything itself is put into the program "before":
its functions and classes take the place of those of the same name; if there are none, it goes before main().  The comment's
other lines say what has to come of it:

    fails          how the last line that Python prints begins; without it, the program has to pass
    status         the exit status; without it, 1 if it fails, otherwise 0
    stock-status   the exit status on stock, otherwise 0
    output         what is printed
    options        of the interpreter
    switch         the legacy switches with which it passes, one at a time

`.. report: NAME` stands above what debug mode prints for the program "before"; "..." is anything.
"""

import ast
import os
import pathlib
import re
import signal
import subprocess

import pytest

from tools import project as project_module
from tools import variants

pytest_plugins = ['interpreters']
# The first test here may have to build an interpreter.
pytestmark = pytest.mark.timeout(2400)

ROOT = pathlib.Path(__file__).resolve().parent.parent
GUIDE = ROOT / 'Doc' / 'howto' / 'asyncio-level-cancellation.rst'
PYTHON = variants.Builder(project_module.Project(ROOT), variants.DEFAULT).python
LIMIT = 20  # seconds, for programs that take a fraction of one

_BLOCK = re.compile(r'''
    ^\.\.[ ](?P<kind>before|after|report):[ ](?P<name>[\w-]+)(?P<stock>,[ ]stock)?\n
    (?P<expected>(?:[ ]{3}\S.*\n)*)\n
    (?:::|\.\.[ ]code-block::[ ]\w+)\n\n
    (?P<text>(?:[ ]{3}.*\n|\n)+)''', re.MULTILINE | re.VERBOSE)
_EXPECTED = {'fails', 'status', 'stock-status', 'output', 'options', 'switch'}


class Block:
    """A program of the guide, or a report, with what is expected of it."""

    def __init__(self, match):
        self.kind, self.name, self.stock = match['kind'], match['name'], match['stock'] is not None
        self.text = '\n'.join(line[3:] for line in match['text'].split('\n'))
        self.expected = dict(re.findall(r'^ {3}([\w-]+): (.*)$', match['expected'], re.MULTILINE))
        assert len(self.expected) == match['expected'].count('\n'), f'{self.name}: {match["expected"]}'
        assert self.expected.keys() <= _EXPECTED, f'{self.name}: {match["expected"]}'

    @property
    def options(self):
        return self.expected.get('options', '').split()


TEXT = GUIDE.read_text(encoding='utf-8')
BLOCKS = [Block(match) for match in _BLOCK.finditer(TEXT)]
BEFORE = {block.name: block for block in BLOCKS if block.kind == 'before'}
AFTER = [block for block in BLOCKS if block.kind == 'after']
REPORTS = [block for block in BLOCKS if block.kind == 'report']
# What debug mode has something to say about before the change, and not after it.
REPORTED = {block.name for block in REPORTS} | {name for name, block in BEFORE.items() if block.options}


def definitions(source):
    """Return {name: the lines of the function, class or assignment} of the module, as (first, last), from 0."""
    result = {}
    for node in ast.parse(source).body:
        for name in {getattr(node, 'name', None)} | {getattr(target, 'id', None) for target in getattr(node, 'targets', ())}:
            if name is not None:
                result[name] = node.lineno - 1, node.end_lineno
    return result


def complete(block):
    """Return the program that a block "after" stands for."""
    if 'asyncio.run(' in block.text:
        return block.text
    before = BEFORE[block.name].text
    lines, old, new = before.split('\n'), definitions(before), definitions(block.text)
    replaced = sorted((old[name] for name in new if name in old), reverse=True)
    if not replaced:
        first = old['main'][0]
        return '\n'.join([*lines[:first], block.text, *lines[first:]])
    for first, last in replaced:
        del lines[first:last]
    # What is replaced may be used as soon as the module runs.
    first = replaced[-1][0]
    return '\n'.join([*lines[:first], block.text, *lines[first:]])


@pytest.fixture(scope='session', autouse=True)
def built():
    subprocess.run(['./build.sh', 'build'], cwd=ROOT, check=True, timeout=1800)


@pytest.fixture
def run(tmp_path):
    """Run a program, and return its exit status and what it prints."""
    def run(python, source, options=(), switch=None):
        path = tmp_path / 'program.py'
        path.write_text(source, encoding='utf-8')
        env = {name: value for name, value in os.environ.items() if not name.startswith('PYTHON')}
        if switch is not None:
            env['PYTHONASYNCIOLEGACY'] = switch
        # A script's background job ignores SIGINT.
        done = subprocess.run([python, *options, path], env=env, capture_output=True, text=True, timeout=LIMIT, check=False,
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        return done.returncode, done.stdout + done.stderr
    return run


def raised(output):
    """Return the exception that ended the program, as in the last line of a traceback, without the name of its module."""
    found = re.findall(r'^(?: {2}\| )?(?:[a-z]\w*\.)*([A-Z]\w+(?::.*)?)$', output, re.MULTILINE)
    return found[-1] if found else ''


def test_all_blocks_are_run():
    named = len(re.findall(r'^\.\. (?:before|after|report): ', TEXT, re.MULTILINE))
    assert named == len(BLOCKS)
    # The first one is the empty line of the comment that explains all this.
    assert len(re.findall(r'^::$', TEXT, re.MULTILINE)) == len(BEFORE) + len(AFTER)
    assert len(BEFORE) == sum(block.kind == 'before' for block in BLOCKS)
    assert BEFORE.keys() <= {block.name for block in AFTER}


@pytest.mark.parametrize('block', BEFORE.values(), ids=lambda block: block.name)
def test_before(run, stock, block):
    expected = block.expected
    assert 'fails' in expected or 'output' in expected
    status, output = run(PYTHON, block.text, block.options)
    assert status == int(expected.get('status', 'fails' in expected)), output
    assert raised(output).startswith(expected.get('fails', '')), output
    said = expected.get('output')
    assert said is None or said in ' '.join(output.split())

    passes = int(expected.get('stock-status', 0))
    status, output = run(stock, block.text, block.options)
    assert status == passes and (said is None or said not in output), output
    for switch in expected.get('switch', '').split():
        status, output = run(PYTHON, block.text, block.options, switch)
        assert status == passes, f'{switch}: {output}'


@pytest.mark.parametrize('block', AFTER, ids=[f'{block.name}-{index}' for index, block in enumerate(AFTER)])
def test_after(run, stock, block):
    source = complete(block)
    passes = int(block.expected.get('status', 0))
    for options in [[], ['-X', 'dev']] if block.name in REPORTED else [[]]:
        status, output = run(PYTHON, source, options)
        assert status == passes, output
        assert 'cancelled' not in output and 'another task' not in output, output
    status, output = run(stock, source)
    # What is said to need a new version does.
    assert status == (passes if block.stock else 1), output


@pytest.mark.parametrize('block', REPORTS, ids=lambda block: block.name)
def test_report(run, block):
    status, output = run(PYTHON, BEFORE[block.name].text, ['-X', 'dev'])
    pattern = '.*?'.join(re.escape(part) for part in ' '.join(block.text.split()).split('...'))
    assert re.search(pattern, ' '.join(output.split())), output
