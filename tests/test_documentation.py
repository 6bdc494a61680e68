"""The documentation keeps its promises: its examples are run, and each public name has an entry.

This needs no Sphinx; ./build.sh docs makes the HTML.
"""

import functools
import json
import pathlib
import re
import subprocess

import pytest

import doc_examples
from tools import documentation
from tools import project as project_module
from tools import tree as tree_module

pytest_plugins = ['interpreters']
# The first test here builds an interpreter.
pytestmark = pytest.mark.timeout(2400)

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBRARY = 'build/src/Doc/library'
# Pages with examples of ours.  (test_no_page_is_left_out looks for others.)
PAGES = [f'{LIBRARY}/asyncio-cancelscopes.rst', f'{LIBRARY}/asyncio-dev.rst', f'{LIBRARY}/asyncio-runner.rst',
         f'{LIBRARY}/asyncio-task.rst', 'build/src/Doc/howto/asyncio-stuck-programs.rst',
         'build/src/Doc/whatsnew/3.16.rst']
# Prints the public names of asyncio and of its classes.
NAMES = """if True:
    import asyncio, json
    classes = [value for name in asyncio.__all__ if isinstance(value := getattr(asyncio, name), type)]
    print(json.dumps({'asyncio': asyncio.__all__, **{
        value.__name__: [name for name in dir(value) if not name.startswith('_')] for value in classes}}))
"""
# Prints a signature without annotations.
SIGNATURE = """if True:
    import asyncio, inspect
    signature = inspect.signature(asyncio.{name})
    print(inspect.Signature([parameter.replace(annotation=parameter.empty)
                             for parameter in signature.parameters.values() if parameter.name != 'self']))
"""


def run(*arguments):
    """Run a program on the patched interpreter."""
    return subprocess.run(['./build.sh', 'run', *arguments], cwd=ROOT, capture_output=True, text=True, timeout=1800)


@functools.cache
def library_text():
    """Return the text of all pages about asyncio."""
    return '\n'.join(path.read_text(encoding='utf-8') for path in sorted((ROOT / LIBRARY).glob('asyncio*.rst')))


@pytest.mark.parametrize('page', PAGES)
def test_examples(page):
    done = run('tests/doc_examples.py', page)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r': (\d+) examples, 0 failed\n$', done.stdout)[1]) > 0


def test_no_page_is_left_out():
    run('-c', '')  # makes build/src
    changed = documentation.pages(tree_module.Tree(project_module.Project(ROOT)))
    assert f'build/src/{changed[0]}' and set(PAGES) == {
        f'build/src/{name}' for name in changed
        if doc_examples.find_blocks((ROOT / 'build' / 'src' / name).read_text(encoding='utf-8'))}


@pytest.mark.parametrize('page', [PAGES[0], PAGES[-1]])
def test_every_block_is_run(page):
    """A page of ours has no block of code besides those that test_examples runs."""
    text = (ROOT / page).read_text(encoding='utf-8')
    assert not re.search(r'^(?! *\.\. ).*::$', text, re.MULTILINE)
    assert not re.search(r'\.\. (code-block|code|sourcecode|literalinclude)::', text)


def test_every_public_name_has_an_entry(stock):
    ours = json.loads(run('-c', NAMES).stdout)
    before = json.loads(subprocess.run([stock, '-c', NAMES], capture_output=True, text=True, timeout=60,
                                       check=True).stdout)
    text = library_text()
    missing = [name for name in set(ours['asyncio']) - set(before['asyncio'])
               if not re.search(rf'^\.\. (class|function|exception|data):: {name}\b', text, re.MULTILINE)]
    for owner, names in ours.items():
        if owner == 'asyncio' or owner == 'Terminated':  # (That one has what each exception has.)
            continue
        _, _, entry = text.partition(f'.. class:: {owner}(')
        entry = re.split(r'^\.\. (?:class|function|exception)::', entry, maxsplit=1, flags=re.MULTILINE)[0]
        missing += [f'{owner}.{name}' for name in set(names) - set(before.get(owner, ()))
                    if not re.search(rf'^ +\.\. (method|attribute):: {name}\b', entry, re.MULTILINE)]
    assert missing == []


@pytest.mark.parametrize('name', ['CancelScope', 'CancelScope.adopt', 'CancelScope.cancel', 'CancelScope.create_task',
                                  'TaskGroup.cancel', 'Timeout', 'current_effective_deadline', 'current_scope',
                                  'legacy', 'move_on_after', 'move_on_at', 'timeout', 'timeout_at'])
def test_signature(name):
    """An entry names the parameters that there are, in their order, with their default values."""
    actual = run('-c', SIGNATURE.format(name=name)).stdout.strip()
    owner, _, short = name.rpartition('.')
    text = library_text().replace('\\\n', ' ')
    if owner:
        _, _, text = text.partition(f'.. class:: {owner}(')
    entry = re.search(rf'^ *\.\. (?:class|function|method):: {short}(\(.*\))$', text, re.MULTILINE)[1]
    entry = re.sub(r'\s+', ' ', entry).replace('"', "'")
    assert entry == actual


def test_every_new_name_is_in_the_index():
    index = (ROOT / LIBRARY / 'asyncio-api-index.rst').read_text(encoding='utf-8')
    for name in ('CancelScope', 'move_on_after', 'move_on_at', 'current_effective_deadline', 'current_scope'):
        assert f'`{name}`' in index
    toctree = (ROOT / LIBRARY / 'asyncio.rst').read_text(encoding='utf-8')
    assert '   asyncio-cancelscopes.rst\n' in toctree


def test_references_of_news_exist():
    """What a news entry refers to has an entry in the documentation."""
    text = library_text()
    for path in sorted((ROOT / 'build' / 'src' / 'Misc' / 'NEWS.d' / 'next').glob('*/*.rst')):
        news = path.read_text(encoding='utf-8')
        for name in re.findall(r':(?:class|func|meth|attr|exc):`~?asyncio\.([\w.]+)`', news):
            short = name.rpartition('.')[2]
            assert re.search(rf':: (?:\w+\.)?{short}\b', text), f'{path.name}: {name}'


# The table that compares this with other versions; what it says of Trio and AnyIO is not run here.

COMMON = {'timeout() starts': 'on creation', 'result, Task.cancel()': 'lost',
          'cancelled from outside': 'CancelledError', 'timeout() in another task': 'no error',
          'TaskGroup in another task': 'no error'}


def test_comparison_with_stock(stock):
    done = subprocess.run([stock, 'tests/comparison.py'], cwd=ROOT, capture_output=True, text=True, timeout=60,
                          check=True)
    assert json.loads(done.stdout) == COMMON | {
        'interruptions': 1, 'result, timeout()': 'lost', 'before its start': 'does not run',
        'new task': 'RuntimeError', 'shield()': ['another task', False]}


def test_comparison():
    assert json.loads(run('tests/comparison.py').stdout) == COMMON | {
        'interruptions': 3, 'result, timeout()': 'kept', 'before its start': 'runs to its first await',
        'new task': 'accepted', 'shield()': ['the same task', True], 'CancelScope in another task': 'RuntimeError'}


# doc_examples itself.

PAGE = """\
.. testsetup::

   import asyncio

Text:

.. testcode::
   :hide:

   async def main():
       print('one', end='')
       print(' line')

   asyncio.run(main())

.. testoutput::
   :options: +ELLIPSIS

   one...

.. testcode::

   raise ValueError('wrong')

.. testoutput::

   Traceback (most recent call last):
     ...
   ValueError: wrong

.. doctest::

   >>> 1 + 1
   2

Not to be run::

   1 / 0
"""


def examine(tmp_path, text):
    path = tmp_path / 'page.rst'
    path.write_text(text)
    return doc_examples.run(path)


def test_a_page_passes(tmp_path):
    assert examine(tmp_path, PAGE) == (0, 4)


@pytest.mark.parametrize('old, new', [
    ('one...', 'two...'),
    ('   2\n', '   3\n'),
    ('ValueError: wrong', 'OSError: wrong'),
    ("raise ValueError('wrong')", 'pass'),
    ('asyncio.run(main())', 'asyncio.run(main)'),
    ('   import asyncio\n', '   pass\n'),
])
def test_a_page_fails(tmp_path, capsys, old, new):
    failed, _ = examine(tmp_path, PAGE.replace(old, new))
    assert failed > 0
    assert 'page.rst' in capsys.readouterr().out


def test_output_without_code(tmp_path):
    with pytest.raises(ValueError, match='line 3: there is no testcode'):
        examine(tmp_path, '.. testoutput::\n\n   x\n')


def test_find_warnings(tmp_path):
    text = '\n'.join([
        f'{tmp_path}/Doc/library/ours.rst:12: WARNING: py:class reference target not found: X [ref.class]',
        f'{tmp_path}/Doc/library/theirs.rst:3: WARNING: undefined label',
        f'{tmp_path}/Doc/library/ours.rst: WARNING: document is not included in any toctree',
        'matplotlib is not installed',
    ])
    assert documentation.find_warnings(text, tmp_path, ['Doc/library/ours.rst']) == [
        'Doc/library/ours.rst:12: WARNING: py:class reference target not found: X [ref.class]',
        'Doc/library/ours.rst: WARNING: document is not included in any toctree']


def test_links_to_pages_that_are_not_here_lead_elsewhere(tmp_path):
    (tmp_path / 'library').mkdir()
    (tmp_path / 'library' / 'there.html').touch()
    page = tmp_path / 'library' / 'ours.html'
    page.write_text('<a href="there.html#x">1</a> <a href="re.html#re.sub">2</a> <a class="x" href="../about.html">3</a> '
                    '<a href="#top">4</a> <a href="https://example.org/a.html">5</a>')
    for _ in range(2):
        documentation.lead_elsewhere(tmp_path, ['Doc/library/ours.rst'], '3.14')
        assert re.findall('href="(.*?)"', page.read_text()) == [
            'there.html#x', 'https://docs.python.org/3.14/library/re.html#re.sub',
            'https://docs.python.org/3.14/about.html', '#top', 'https://example.org/a.html']
