"""check: everything about the series that can be told without building it."""

import contextlib
import io
import itertools
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile

from tools import changed_tests
from tools import export
from tools import git as git_module
from tools import history as history_module
from tools import project as project_module
from tools import python_environment
from tools import ui
from tools import wording

_TRAILERS = ('Category', 'Forwarded', 'Rule', 'Test-Rule', 'Adds')
_CATEGORIES = ('upstreamable', 'backport', 'fork-only')
_FORWARDED = re.compile(r'no|not-needed|https?://\S+')
_SUBJECT_LENGTH = 78
# Verbs whose imperative ends like another form of a verb.
_IMPERATIVES = {'address', 'bring', 'bypass', 'discuss', 'embed', 'exceed', 'feed', 'focus', 'miss', 'need', 'pass',
                'proceed', 'process', 'seed', 'shed', 'speed', 'string', 'succeed', 'suppress'}
# blurb's rules for a news entry: the sections, as folders, and the file's name.
_NEWS_SECTIONS = ('Build', 'C_API', 'Core_and_Builtins', 'Documentation', 'IDLE', 'Library', 'Security', 'Tests',
                  'Tools-Demos', 'Windows', 'macOS')
_NEWS_NAME = re.compile(r'\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d\.gh-issue-(\d+)\.[\w-]+\.rst')
_NEWS_LOWEST_ISSUE = 32426
_HOSTS = re.compile(rb'\b(debian|pypi|pythonhosted|npmjs)[.](org|com)\b')
# The folders that the generators read and write.
_GENERATED_FROM = ('Include', 'Lib', 'Modules', 'Objects', 'PC', 'Parser', 'Programs', 'Python', 'Tools')
_REFRESH = './build.sh refresh'


def check(project, tree, *, source_file=None, offline=False):
    """Run all checks; build/src is left as it is.

    Raises:
        UserError: something is wrong; each failure was printed on a line of its own.
    """
    failures = []
    tree.ensure_upstream(source_file=source_file, offline=offline)
    repository = tree.repository
    failures += _texts(project)
    failures += _language(project, offline)
    failures += _series(project)
    inputs = None
    with _collected(failures):
        inputs = project.read_inputs()
    if inputs:
        failures += _ownership(repository, inputs)
        failures += _overlay_texts(inputs)
        failures += _news(inputs)
        with _collected(failures):
            for name, patch in history_module.parse_patches(repository.git, inputs).items():
                failures += [f'patches/{name}: {problem}' for problem in [*_header(name, patch), *_whitespace(patch)]]
    if inputs and not failures:
        # What follows looks at the patched tree, which makes sense only if there is one.
        with _collected(failures):
            history = history_module.compute(repository, inputs)
            patches, _ = export.export(repository, history.head)
            failures += _export(inputs, patches)
            failures += _document(project, repository, patches, history)
            failures += _dependencies(repository, inputs, history)
            failures += _generators(project, repository, inputs, patches, history)
    for failure in failures:
        print(f'check: {failure}', file=sys.stderr)
    if failures:
        raise ui.UserError(f'check found {len(failures)} problem{"s" if len(failures) > 1 else ""}; the lines above '
                           'say what to do')
    patches = history_module.parse_patches(repository.git, inputs)
    unnamed = len(inputs.overlay) - sum(map(len, history_module.place(inputs.overlay, patches).values()))
    ui.say(f'check: all is well ({len(inputs.patches)} patches, {len(inputs.overlay)} overlay files, {unnamed} of them '
           'added by no patch)')


@contextlib.contextmanager
def _collected(failures):
    """Make a UserError one more failure, on one line."""
    try:
        yield
    except ui.UserError as error:
        failures.append(' '.join(str(error).split()))


def _texts(project):
    """No mirror's host name, no path of this machine, in any file."""
    root = str(project.root).encode()
    # A root like /app could be meant by anybody; one of several parts is this machine's.
    machine = re.compile(rb'(?<![\w.$}-])' + re.escape(root) + rb'\b') if root.count(b'/') > 1 else None
    for path in project.files():
        data = path.read_bytes()
        if b'\0' in data:
            continue
        for number, line in enumerate(data.splitlines(), 1):
            where = f'{path.relative_to(project.root)}:{number}'
            if _HOSTS.search(line):
                yield f"{where}: names a mirror's host; ask the machine's own set-up for it instead"
            if machine and machine.search(line):
                yield f'{where}: holds the path of this checkout; write it relative to the root'


def _language(project, offline):
    """The texts are written in the words of the project, and spelled right."""
    if not (project.root / wording.FOLDER).is_dir():
        return []
    python = python_environment.ensure(project, 'tools-venv', 'tests/requirements.txt', offline=offline)
    paths = [path.relative_to(project.root).as_posix() for path in project.files()]
    return wording.problems(project.root, paths, python)


def _series(project):
    """patches/ and patches/series agree."""
    try:
        listed = project_module.series_names((project.patches / 'series').read_text(encoding='utf-8'))
    except FileNotFoundError:
        return  # reported when the inputs are read
    for name in sorted({name for name in listed if listed.count(name) > 1}):
        yield f'patches/series: lists {name} more than once; take out all lines but one'
    for path in sorted(project.patches.iterdir()):
        if path.name != 'series' and path.name not in listed:
            yield f'patches/{path.name}: is not in patches/series; add the line, or remove the file'
    for name in listed:
        if not re.fullmatch(r'[a-z][a-z0-9-]*\.patch', name):
            yield f'patches/series: {name} is no slug; commit it with a plain subject and run {_REFRESH}'


def _ownership(repository, inputs):
    """Overlay files do not exist upstream.  (That patches keep to upstream's files is found when they are applied.)"""
    owned = repository.upstream_paths()
    for path in inputs.overlay:
        if path in owned:
            yield f'{path}: is a file of upstream; remove it here and change it in build/src, by a patch'


def _overlay_texts(inputs):
    """The overlay's files have no whitespace noise."""
    for path, file in inputs.overlay.items():
        if b'\0' in file.data:
            continue
        for number, line in enumerate(file.data.split(b'\n'), 1):
            if line != line.rstrip():
                yield f'{path}:{number}: whitespace at the end of the line; remove it'
        if file.data and not file.data.endswith(b'\n'):
            yield f'{path}: no newline at the end; add it'


def _news(inputs):
    """The news entries are such as blurb takes."""
    for path, file in inputs.overlay.items():
        if not path.startswith('Misc/NEWS.d/'):
            continue
        parts = path.split('/')
        if len(parts) != 5 or parts[2] != 'next' or parts[3] not in _NEWS_SECTIONS:
            yield f'{path}: must lie in Misc/NEWS.d/next/SECTION/, SECTION being one of {" ".join(_NEWS_SECTIONS)}'
            continue
        name = _NEWS_NAME.fullmatch(parts[4])
        if not name or int(name[1]) < _NEWS_LOWEST_ISSUE:
            yield (f'{path}: must be called YYYY-MM-DD-hh-mm-ss.gh-issue-NUMBER.NONCE.rst, NUMBER from '
                   f'{_NEWS_LOWEST_ISSUE} on; `blurb add` does so')
        lines = [line for line in file.data.decode().splitlines() if not line.startswith(('..', '#'))]
        body = '\n'.join(lines).strip()
        if not body:
            yield f'{path}: has no text; write a paragraph'
        if re.match(r'- |Issue #|bpo-|gh-', body, re.IGNORECASE):
            yield f'{path}: must not begin with a bullet or an issue number; blurb adds both'
        if '..' in file.data.decode().splitlines():
            yield f'{path}: holds more than one entry; make a file of each'


# What a patch can be about.
_AREAS = 'asyncio', 'ensurepip'


def _header(name, patch):
    """The message says what it must."""
    hint = f'reword the commit in build/src and run {_REFRESH}'
    if name != patch.name:
        yield f'a patch is named after its subject, this one {patch.name}; run {_REFRESH}, which renames it'
    match = re.fullmatch(rf'(?:{"|".join(_AREAS)}): (\S+) .+', patch.subject)
    if not match:
        yield f'the subject must read `asyncio: Do something`, or begin with another of {", ".join(_AREAS)}; {hint}'
    elif match[1].lower() not in _IMPERATIVES and re.search(r'(ed|ing|[^s]s)$', match[1]):
        yield f'the subject begins with {match[1]!r}, which is no imperative; {hint}'
    if patch.subject.endswith('.') or len(patch.subject) > _SUBJECT_LENGTH:
        yield f'the subject ends with a full stop or has more than {_SUBJECT_LENGTH} characters; {hint}'
    if not patch.text.strip():
        yield f'has no body that says why; {hint}'
    if patch.trailers.get('Category') not in _CATEGORIES:
        yield f'needs a trailer `Category:` with one of {", ".join(_CATEGORIES)}; {hint}'
    if not _FORWARDED.fullmatch(patch.trailers.get('Forwarded', '')):
        yield f'needs a trailer `Forwarded:` with no, not-needed or a URL; {hint}'
    for key in patch.trailers.keys() - {*_TRAILERS}:
        yield f'its trailer `{key}:` means nothing here; known are {", ".join(_TRAILERS)}; {hint}'
    for number in [*patch.rules, *patch.test_rules]:
        if not changed_tests.RULE.fullmatch(number):
            yield f'its trailers `Rule:` and `Test-Rule:` must be like `2.1, 5.3`; {hint}'
            break
    if not set(patch.test_rules) <= set(patch.rules):
        yield f'its trailer `Test-Rule:` names a rule that its trailers `Rule:` do not; {hint}'
    if changed_tests.touches_tests(patch) and not patch.test_rules:
        yield f"changes upstream's tests and needs a trailer `Rule: NUMBER`, the rule that makes it do so; {hint}"


def _whitespace(patch):
    """The diff has neither whitespace noise nor lines that change nothing."""
    path, hunk = '', []
    for line in [*patch.diff.decode('utf-8', 'replace').split('\n'), '@@']:
        if line.startswith('+++ '):
            path = line[6:]
        elif line.startswith(('@@', 'diff --git ')):
            yield from _hunk_noise(path, hunk)
            hunk = []
        elif line.startswith((' ', '+', '-')) and not line.startswith('--- '):
            hunk.append(line)


def _hunk_noise(path, hunk):
    changes = [line for line in hunk if line[0] != ' ']
    if changes and _squeezed(changes, '-') == _squeezed(changes, '+'):
        yield f'{path}: a hunk changes nothing but whitespace; leave those lines as upstream has them'
        return
    for changed, run in itertools.groupby(hunk, lambda line: line[0] != ' '):
        if changed and not ''.join(line[1:] for line in run).strip():
            yield f'{path}: a hunk adds or removes empty lines on their own; leave them as upstream has them'
    for line in changes:
        if line[0] == '+' and line != line.rstrip():
            yield f'{path}: adds whitespace at the end of a line, {line[1:].strip()!r}; remove it'


def _squeezed(lines, sign):
    return ''.join(''.join(line[1:].split()) for line in lines if line[0] == sign)


def _export(inputs, patches):
    """What refresh would write is what is there.

    A patch that applies with an offset, or that was edited by hand, is thereby found too: its hunk headers and index
    lines are not those that the export gives.
    """
    exported = {patch.name: patch.format() for patch in patches}
    for name in inputs.patches:
        if exported.get(name) != inputs.patches[name]:
            yield f'patches/{name}: is not what {_REFRESH} writes (applies with an offset, or edited by hand?); run it'
    if list(exported) == list(inputs.patches) and export.merge_series(
            inputs.series, list(exported)) != inputs.series:
        yield f'patches/series: is not what {_REFRESH} writes; run it'


def _document(project, repository, patches, history):
    """docs/changed-tests.md is current."""
    try:
        present = (project.root / changed_tests.PATH).read_text(encoding='utf-8')
    except FileNotFoundError:
        present = None
    if present != changed_tests.document(repository.git, patches, history.commits):
        yield f'{changed_tests.PATH}: is not current; run {_REFRESH}'


def _dependencies(repository, inputs, history):
    """make knows of each C file in a folder of its own, so that an edit of it is compiled."""
    makefile = None
    for path in inputs.overlay:
        if re.fullmatch(r'Modules/\w+/(.+/)?\w+\.[ch]', path):
            if makefile is None:
                makefile = repository.git.bytes('show', f'{history.head}:Makefile.pre.in').decode()
            if path not in makefile:
                yield (f'{path}: Makefile.pre.in does not name it, so an edit of it would not be compiled; add it to '
                       "its module's MODULE_..._DEPS, by a patch")


def _generators(project, repository, inputs, patches, history):
    """Argument Clinic and generate_global_objects.py have nothing to do."""
    touched = {path for patch in patches for path in patch.paths} | inputs.overlay.keys()
    if not any(path.endswith(('.c', '.h')) for path in touched):
        return
    if sys.version_info >= (3, 10):
        python = sys.executable
    else:
        python = project.build / 'release' / 'python'
        if not python.exists():
            yield 'Argument Clinic: needs a python3 from 3.10 on; install one, or run ./build.sh build first'
            return
    with tempfile.TemporaryDirectory(prefix='check-', dir=project.build) as name:
        folder = pathlib.Path(name)
        tops = set(repository.git.text('ls-tree', '--name-only', history.head).splitlines())
        archive = repository.git.bytes('archive', history.head, *[top for top in _GENERATED_FROM if top in tops])
        with tarfile.open(fileobj=io.BytesIO(archive)) as content:
            content.extractall(folder)
        for path in sorted(touched):
            file = folder / path
            # (A .c.h file is what Clinic writes, and a patch may remove a file.)
            if path.endswith(('.c', '.h')) and file.exists() and b'[clinic input]' in file.read_bytes():
                output = file.parent / 'clinic' / f'{file.name}.h'
                yield from _runs_idle(python, folder, ['Tools/clinic/clinic.py', path], [file, output])
        yield from _runs_idle(python, folder, ['Tools/build/generate_global_objects.py'],
                              sorted((folder / 'Include' / 'internal').glob('*.h')))


def _runs_idle(python, folder, command, files):
    """Run a generator; yield a failure if it fails or changes one of files."""
    def contents():
        return [file.read_bytes() if file.exists() else None for file in files]

    before = contents()
    result = subprocess.run([python, *command], cwd=folder, env=ui.clean_environment(), stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, check=False)
    hint = f'in build/src run `python3 {" ".join(command)}`, commit, and {_REFRESH}'
    if result.returncode:
        said = ' '.join((result.stdout + result.stderr).split())[-400:]
        yield f'{" ".join(command)} fails: {said}; fix that in build/src, commit, and {_REFRESH}'
        return
    for file, old, new in zip(files, before, contents()):
        if old != new:
            yield f'{file.relative_to(folder)}: {command[0]} would write it anew; {hint}'
