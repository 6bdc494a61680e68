"""The PEP draft: its lint, its figures, and its rendering to HTML.

    python3 -m tools.pep check              say what is wrong with pep/pep-9999.rst
    python3 -m tools.pep figures            bring its figures up to date
    python3 -m tools.pep render [FILE]      render it to FILE, by default build/docs/pep-9999.html

What stands between `.. figures: NAME` and `.. end` is made from committed results: of the survey, of `verify`, and of
benchmarks/instructions.py.  The rules of check() are those of PEP 1, PEP 12 and the checker in the PEP repository.
"""

import datetime
import json
import pathlib
import re
import subprocess
import sys
import textwrap

from tools import figures
from tools import project as project_module
from tools import python_environment
from tools import ui

DOCUMENT = 'pep/pep-9999.rst'
PROGRAMS = 'pep/programs'
INSTRUCTIONS = 'benchmarks/results/instructions.json'
COLUMNS = 79

# In the order of PEP 12.
_HEADERS = ('PEP', 'Title', 'Author', 'Sponsor', 'BDFL-Delegate', 'PEP-Delegate', 'Discussions-To', 'Status', 'Type',
            'Topic', 'Requires', 'Created', 'Python-Version', 'Post-History', 'Replaces', 'Superseded-By', 'Resolution')
_REQUIRED = ('PEP', 'Title', 'Author', 'Discussions-To', 'Status', 'Type', 'Created', 'Post-History')
_STATUSES = ('Accepted', 'Active', 'April Fool!', 'Deferred', 'Draft', 'Final', 'Provisional', 'Rejected', 'Superseded',
             'Withdrawn')
_TYPES = ('Standards Track', 'Informational', 'Process')
_TOPICS = ('Governance', 'Packaging', 'Release', 'Typing')
# In the order of the template; Footnotes and Acknowledgements can be left out, the others cannot.
_SECTIONS = ('Abstract', 'Motivation', 'Specification', 'Rationale', 'Backwards Compatibility', 'Security Implications',
             'How to Teach This', 'Reference Implementation', 'Rejected Ideas', 'Open Issues', 'Acknowledgements',
             'Footnotes', 'Change History', 'Copyright')
_OPTIONAL_SECTIONS = ('Acknowledgements', 'Footnotes')
_PERSON = re.compile(r"[^\W\d_][^\W\d_ ',.-]*(?:[ ',.-]+[^\W\d_]+\.?)*(?: <[\w.+-]+(?:@| at )[\w-]+(?:\.[\w-]+)+>)?")
_THREAD = re.compile(r'https://discuss\.python\.org/t/(?:[a-z][\w-]*/)?\d+/?')
_POST = re.compile(r'`(\S+) <(https://discuss\.python\.org/t/(?:[a-z][\w-]*/)?\d+(?:/\d+)?/?)>`__')
_NUMBERS = re.compile(r'[1-9]\d{0,3}(?:, [1-9]\d{0,3})*')
_VERSION = re.compile(r'[123]\.(?:0|[1-9]\d*)(?:\.[1-9]\d*)?')
_FIRST_YEAR = 1990

# Adornments of sections, from the outside in.
_ADORNMENTS = '=-\''
_DIRECT_LINKS = (
    (re.compile(r'peps\.python\.org/pep-\d|dev/peps/pep-\d', re.IGNORECASE), 'PEPs are referred to by :pep:`NNN`'),
    (re.compile(r'rfc-editor\.org/rfc/|ietf\.org/doc/html/rfc', re.IGNORECASE), 'RFCs are referred to by :rfc:`NNN`'))
# The three rules of pygrep-hooks that the PEP repository applies.
_SINGLE_BACKTICKS = re.compile(r'(?<![:`\w])`[^`<>]+`(?![`_\w])')
_DIRECTIVE_COLON = re.compile(r'^\s*\.\. (?:note|warning|code|code-block|list-table|table|important|tip|versionadded):'
                              r'(?!:)')
_TOUCHING = re.compile(r'\w``\w|``\w+``\w')

_FIGURES = re.compile(r'(\.\. figures: ([a-z-]+)\n).*?(^\.\. end\n)', re.DOTALL | re.MULTILINE)


def check(text, today=None):
    """Return what is wrong with the text of a PEP: a list of `line: message`."""
    lines = text.split('\n')
    problems = [*_check_headers(lines, today or datetime.date.today()), *_check_sections(lines), *_check_lines(lines)]
    if not text.endswith('\n') or text.endswith('\n\n'):
        problems.append((len(lines), 'the file must end with exactly one newline'))
    return [f'{number}: {message}' for number, message in sorted(problems)]


def _check_headers(lines, today):
    """Yield (line number, message) of what is wrong with the header."""
    if not re.fullmatch(r'PEP: [1-9]\d{0,3}', lines[0]):
        yield 1, 'the first line must be `PEP: ` and a number from 1 to 9999'
    found = {}
    name = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            break
        match = re.match(r'([A-Za-z-]+):(.*)', line)
        if line[0].isspace():
            if name is None:
                yield number, 'this line continues no header'
            else:
                found[name][1].append(line)
        elif not match or match[1] not in _HEADERS:
            yield number, f'there is no such header: {line}'
        elif match[1] in found:
            yield number, f'the header {match[1]} is there twice'
        else:
            name = match[1]
            if not re.match(r' \S', match[2]):
                yield number, f'the header {name} must have a space after the colon, and a value'
            found[name] = number, [match[2]]
    for name in _REQUIRED:
        if name not in found:
            yield 1, f'the header {name} is missing'
    if list(found) != sorted(found, key=_HEADERS.index):
        yield 1, f'the headers must be in this order: {", ".join(sorted(found, key=_HEADERS.index))}'
    for name, (number, values) in found.items():
        values[0] = values[0].strip()
        for message in _CHECKS_OF_HEADERS.get(name, lambda values, today: ())(values, today):
            yield number, f'{name}: {message}'


def _check_title(values, today):
    if not 1 <= len(values[0]) <= 79 or len(values) > 1:
        yield 'must have from 1 to 79 characters, on one line'


def _check_people(values, today):
    for line in values[1:]:
        if len(line) - len(line.lstrip()) > len('Author: '):
            yield f'this line is indented too far: {line.strip()}'
    for line in values[:-1]:
        if not line.endswith(','):
            yield f'a line that is continued must end with a comma: {line.strip()}'
    for person in ' '.join(value.strip() for value in values).rstrip(',').split(', '):
        if not _PERSON.fullmatch(person):
            yield f'must be `Name <address>`: {person}'


def _one_of(choices):
    def check_choice(values, today):
        if values[0] not in choices:
            yield f'must be one of {", ".join(choices)}'
    return check_choice


def _check_topic(values, today):
    topics = values[0].split(', ')
    if topics != sorted(set(topics)) or not set(topics) <= set(_TOPICS):
        yield f'must be some of {", ".join(_TOPICS)}, in this order'


def _check_numbers(values, today):
    if not _NUMBERS.fullmatch(values[0]):
        yield 'must be numbers of PEPs with a comma and a space between them'


def _check_version(values, today):
    for version in values[0].split(', '):
        if not _VERSION.fullmatch(version):
            yield f'must be a version, such as 3.16: {version}'


def _check_date(value, today):
    try:
        date = datetime.datetime.strptime(value, '%d-%b-%Y').date()
    except ValueError:
        date = None
    if date is None or date.strftime('%d-%b-%Y') != value:
        yield f'must be a date like 01-Jan-2027: {value}'
    elif not _FIRST_YEAR <= date.year or date > today + datetime.timedelta(days=14):
        yield f'must be neither before {_FIRST_YEAR} nor in the future: {value}'


def _check_created(values, today):
    return _check_date(values[0], today)


def _check_discussions(values, today):
    if values[0] != 'Pending' and not _THREAD.fullmatch(values[0]):
        yield 'must be `Pending` or the URL of a thread on discuss.python.org'


def _check_posts(values, today):
    if values == ['Pending']:
        return
    for post in ' '.join(value.strip() for value in values).rstrip(',').split(', '):
        linked = _POST.fullmatch(post)
        yield from _check_date(linked[1] if linked else post, today)


_CHECKS_OF_HEADERS = {
    'Title': _check_title, 'Author': _check_people, 'Sponsor': _check_people, 'BDFL-Delegate': _check_people,
    'PEP-Delegate': _check_people, 'Discussions-To': _check_discussions, 'Status': _one_of(_STATUSES),
    'Type': _one_of(_TYPES), 'Topic': _check_topic, 'Requires': _check_numbers, 'Created': _check_created,
    'Python-Version': _check_version, 'Post-History': _check_posts, 'Replaces': _check_numbers,
    'Superseded-By': _check_numbers,
}


def _titles(lines):
    """Yield (index of the line, title, adornment) for each title of a section."""
    for index, (title, adornment) in enumerate(zip(lines, lines[1:])):
        if title.strip() and not title[0].isspace() and re.fullmatch(r'=+|-+|\'+|~+|\^+|"+|\++', adornment):
            # The rows of a simple table look alike, but stand below another such line or are none.
            if index and lines[index - 1].strip() == '' and not re.fullmatch(r'=+(?: +=+)*', title):
                yield index, title, adornment


def _check_sections(lines):
    """Yield (line number, message) of what is wrong with the sections."""
    names = []
    depth = 0
    for index, title, adornment in _titles(lines):
        number = index + 1
        if adornment[0] not in _ADORNMENTS:
            yield number + 1, f'sections are underlined with {" ".join(_ADORNMENTS)}, from the outside in'
            continue
        if len(adornment) != len(title):
            yield number + 1, f'the line below a title must be as long as it: {title}'
        level = _ADORNMENTS.index(adornment[0])
        if level > depth + 1:
            yield number, f'this section is nested too deeply: {title}'
        depth = level
        if level == 0:
            names.append(title)
            if lines[index - 2:index] != ['', ''] or (index > 2 and lines[index - 3] == ''):
                yield number, f'there must be exactly two blank lines before {title}'
            if title not in _SECTIONS:
                yield number, f'the template has no section {title}'
    for name in _SECTIONS:
        if name not in _OPTIONAL_SECTIONS and name not in names:
            yield len(lines), f'the section {name} is missing'
    known = [name for name in names if name in _SECTIONS]
    if known != sorted(set(known), key=_SECTIONS.index):
        yield len(lines), f'the sections must be in this order, each once: {", ".join(_SECTIONS)}'


def _check_lines(lines):
    """Yield (line number, message) of what is wrong with single lines."""
    code = None     # the indentation of the directive whose block of code this is
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS and not re.fullmatch(r'\s*(?:\.\. _.*: )?<?https?://\S+', line):
            yield number, f'the line is longer than {COLUMNS} characters'
        if line != line.rstrip():
            yield number, 'there is whitespace at the end of the line'
        if '\t' in line:
            yield number, 'there is a tab in the line'
        for pattern, message in _DIRECT_LINKS:
            if pattern.search(line):
                yield number, message
        indentation = len(line) - len(line.lstrip())
        if code is not None and line.strip() and indentation <= code:
            code = None
        if code is not None:
            continue
        if re.match(r'\s*\.\. (?:code|code-block)::', line) or (line.endswith('::') and not line.startswith('.. ')):
            code = indentation
        if _SINGLE_BACKTICKS.search(re.sub(r'``.*?``', '', line)):
            yield number, 'code stands in double backticks'
        if _DIRECTIVE_COLON.match(line):
            yield number, 'a directive has two colons'
        if _TOUCHING.search(re.sub(r'(?<!\S)``[^`]+``(?!\w)', '', line)):
            yield number, 'double backticks must not touch a word'


# Figures.

class Results:
    """The committed results that the figures are made from; each is read when it is asked for."""

    def __init__(self, project):
        self._project = project

    def survey(self):
        """Return what the survey's own report shows."""
        # It needs a newer Python than the other verbs do.
        from survey import report
        return report.collect()

    def verify(self):
        """Return {name: result} of the checks of `verify`."""
        return figures.read(self._project)

    def instructions(self):
        """Return {workload: costs}."""
        return json.loads((self._project.root / INSTRUCTIONS).read_text(encoding='utf-8'))


def render_figures(text, results):
    """Return the text of the PEP with its figures made from results."""
    def block(match):
        lines = _RENDERERS[match[2]](results)
        return f'{match[1]}\n{"".join(line + chr(10) for line in lines)}\n{match[3]}'
    unknown = sorted({match[2] for match in _FIGURES.finditer(text)} - _RENDERERS.keys())
    if unknown:
        raise ui.UserError(f'{DOCUMENT}: nothing is known of the figures {", ".join(unknown)}. There are: '
                           f'{", ".join(_RENDERERS)}')
    return _FIGURES.sub(block, text)


def update(project):
    """Bring the figures in the PEP up to date."""
    path = project.root / DOCUMENT
    text = render_figures(path.read_text(encoding='utf-8'), Results(project))
    project_module.write_atomically(path, text.encode())


def _table(head, *rows):
    """Return the lines of a simple table; numbers stand to the right."""
    def cell(value):
        return f'{value:,}' if isinstance(value, int) else str(value)

    widths = [max(len(cell(row[column])) for row in (head, *rows)) for column in range(len(head))]
    rule = '  '.join('=' * width for width in widths)
    lines = [rule, '  '.join(f'{text:{width}}' for text, width in zip(head, widths)).rstrip(), rule]
    for row in rows:
        lines.append('  '.join(
            f'{cell(value):>{width}}' if column else f'{cell(value):{width}}'
            for column, (value, width) in enumerate(zip(row, widths))).rstrip())
    return [*lines, rule]


# What each part adds, from the first step to everything, by the legacy switches that are left on.  None: the column of
# the first step, which has runs of its own.
_CUMULATED = (
    ('1 and 3: scopes', None),
    ('also 2: ``shield()``', ('edge-cancel', 'background-errors', 'signals')),
    ('also 4: root group', ('unretrieved-only', 'edge-cancel', 'signals')),
    ('also 5: signals', ('unretrieved-only', 'edge-cancel')),
    ('also 6: ``Task.cancel()``', ('unretrieved-only',)),
    ('all, and 4 with failures that are awaited', ()),
)


_DERIVED = ('The survey was made before part 1 had a switch.  The first row is what was left',
            'with all other switches on.', '')


def _survey(results):
    data = results.survey()
    totals = data['totals']
    rows = []
    for title, switches in _CUMULATED:
        left = _first_step(data) if switches is None else data['left'](*switches)
        rows.append((title, left, f'{100 * left / totals["fine_on_stock"]:.2f} %'))
    waiting = sum(project['regressions'] for entry in data['ports']['left_out'] if entry['category'] == 'anyio'
                  for project in entry['projects'])
    return [*_prose(f'Survey of {data["date"]}: {totals["projects"]} projects, with {totals["fine_on_stock"]:,} tests '
                    'that pass on CPython 3.14.7 in each of three runs.'
                    + ('  Some of the results are of an earlier state of the reference implementation.' if data['mixed']
                       else '')), '',
            *_table(('Parts in force', 'Tests that break', 'Share'), *rows), '',
            *(_DERIVED if data['remaining']['first step'] is None else []),
            *_prose(f"{waiting} of the {totals['regressions']} are tests of AnyIO and of projects on top of it, which "
                    "need no change of their own once AnyIO's backend uses the scopes.")]


def _first_step(data):
    """Return how many regressions are left with scopes only."""
    column = data['remaining']['first step']
    if column is not None:
        return column
    if 'edge-scopes' not in data['missing']:
        raise ui.UserError('the survey has no runs of the first step. Make them: ./build.sh survey')
    # These results are older than the switch `edge-scopes`: with `all` the scopes were as they are in the first step.
    return data['remaining']['all']


def _affinity(results):
    data = results.survey()
    topic, = [topic for topic in data['history']['topics'] if topic['rules'] == '4.4, 6.8']
    return _prose(f'In a survey in which such an exit was still an error for ``timeout()`` and ``TaskGroup``, '
                  f'{topic["before"] or "none"} of the {data["totals"]["fine_on_stock"]:,} tests broke for it.')


def _ports(results):
    ports = results.survey()['ports']
    totals, cleanup = ports['totals'], ports['causes']['cleanup']
    awaited = ports['causes']['awaited-failure']
    return _prose(f'{totals["projects"]} of the projects that break were ported for everything at once: '
                  f'{totals["places"]} places, {totals["added"]} lines added and {totals["removed"]} removed.  '
                  f'{cleanup["places"]} of the places, in {cleanup["projects"]} projects, are cleanup that awaits; '
                  f'{awaited["places"]} are failures that are awaited, most of which part 4 does not count.')


_NATIVE = 'patched interpreter, native backend'


def _anyio(results):
    result = results.verify()['anyio']
    passed = sum(counts['passed'] for counts in result['ways'][_NATIVE].values())
    return _prose(f"* AnyIO {result['version']}'s own tests with its backend on these scopes: {passed:,} pass.  Of "
                  f'those that pass without the change, {len(result["new_failures"]) or "none"} fails, but for '
                  f'{len(result["expected"])} that look into the emulation.', indent='  ')


_WORKLOADS = {
    'bare_yield': '``await sleep(0)``', 'future': 'wait for a future', 'create_task': '``create_task()``',
    'group_task': 'a member of a group of 100', 'small_group': 'a group with one member',
    'timeout': '``async with timeout()``', 'shield': '``shield(coroutine)``, part 2',
}


def _performance(results):
    costs = results.instructions()
    deep = costs['bare_yield_deep']
    rows = [(title, costs[name]['stock'], costs[name]['patched'], f'{100 * costs[name]["ratio"] - 100:+.1f} %')
            for name, title in _WORKLOADS.items()]
    return ['Machine instructions, with all parts in force:', '',
            *_table(('Operation', 'CPython 3.14', 'This PEP', 'Change'), *rows), '',
            *_prose(f'Below {deep["depth"]:,} nested scopes ``sleep(0)`` takes {deep["deep"]:,} instructions, below '
                    f'none {deep["flat"]:,}.')]


def _nets(results):
    verify = results.verify()
    programs = verify['differential']['runs'].values()
    stdlib = verify['stdlib']
    threads = [run for name, result in verify.items() if name.startswith('threads-')
               for runs in result['runs'].values() for run in runs.values()]
    points = (
        f'{sum(run["compared"] for run in programs):,} random programs of scopes, groups and timeouts, which were run '
        f'on Trio as well: {sum(len(run["divergences"] or ()) for run in programs) or "no"} divergence.',
        f"CPython's whole test suite, {stdlib['patched']['tests']:,} tests: "
        f'{sum(map(len, stdlib["new_failures"].values())) or "no"} new failure.',
        f'{sum(run.get("programs", 0) for run in threads):,} programs in several threads at once, without the GIL and '
        f'under ThreadSanitizer: {sum(run.get("failures", 0) for run in threads) or "no"} failure.')
    return [line for point in points for line in _prose(f'* {point}', indent='  ')]


def _prose(text, indent=''):
    """Return text as lines of a PEP."""
    return textwrap.wrap(text, COLUMNS, subsequent_indent=indent, break_on_hyphens=False)


_RENDERERS = {'survey': _survey, 'affinity': _affinity, 'ports': _ports, 'anyio': _anyio, 'performance': _performance,
              'nets': _nets}


# HTML.

def render(project, target=None, *, offline=False):
    """Render the PEP to HTML and return the path of the file.

    Args:
        target: the file; by default build/docs/pep-9999.html.

    Raises:
        UserError: docutils has something to say, be it only a warning.
    """
    source = project.root / DOCUMENT
    target = pathlib.Path(target) if target else project.build / 'docs' / source.with_suffix('.html').name
    python = python_environment.ensure(project, 'tools-venv', 'tests/requirements.txt', offline=offline)
    target.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [str(python), '-E', '-m', 'docutils', '--reader=pep', '--writer=pep_html', '--report=info', '--halt=warning',
         f'--template={source.with_name("template.html")}', f'--stylesheet={source.with_name("style.css")}',
         '--strip-comments', '--no-datestamp', '--no-source-link', '--no-file-insertion', '--syntax-highlight=short',
         '--input-encoding=utf-8', '--output-encoding=utf-8', str(source), str(target)],
        cwd=project.root, capture_output=True, text=True)
    if done.returncode or done.stderr:
        target.unlink(missing_ok=True)
        raise ui.UserError(f'{DOCUMENT} cannot be rendered:\n{done.stderr.strip()}')
    return target


def main(argv):
    """Run `python -m tools.pep`; return the exit status."""
    project = project_module.Project(pathlib.Path(__file__).resolve().parent.parent)
    verb, words = (argv[0] if argv else ''), argv[1:]
    if verb == 'check' and not words:
        problems = check((project.root / DOCUMENT).read_text(encoding='utf-8'))
        for problem in problems:
            print(f'{DOCUMENT}:{problem}', file=sys.stderr)
        return 1 if problems else 0
    if verb == 'figures' and not words:
        update(project)
        return 0
    if verb == 'render' and len(words) <= 1:
        print(render(project, *words))
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == '__main__':
    try:
        sys.exit(main(sys.argv[1:]))
    except ui.UserError as error:
        sys.exit(f'error: {error}')
