"""test: all the tests, the cheapest first; stops at the first stage that fails."""

import dataclasses
import os
import pathlib
import re
import subprocess
import time

from tools import legacy
from tools import lint
from tools import processes
from tools import python_environment
from tools import tree as tree_module
from tools import ui
from tools import variants

# The variants that `test` covers when it is not told which.
_COVERED = ('release', 'debug', 'free-threaded')
_REQUIREMENTS = 'tests/requirements.txt'
_REFERENCES = 'tests/refs_at_exit.py'
_THREADS = 'tests/threads.py'
# Seconds that a stage may take; the tests in it have limits of their own, far below.
_LIMIT = 75 * 60
# What the runners say of themselves at the end.
_TOTALS = re.compile(r'^=+ (.*\b(?:passed|failed|errors?)\b.*?) =+$|^Total tests: (.*)$|^(Ran \d+ tests?) in ',
                     re.MULTILINE)


@dataclasses.dataclass
class _Stage:
    """What a stage came to."""
    name: str
    seconds: float
    totals: str


class Runner:
    """One run of `test`."""

    def __init__(self, project, *, patterns=(), variant=None, source_file=None, offline=False):
        self._project = project
        self._tree = tree_module.Tree(project)
        self._patterns = patterns
        self._variants = (variant,) if variant else _COVERED
        self._only_variant = variant is not None
        self._source = {'source_file': source_file, 'offline': offline}
        self._stages = []

    def run(self):
        """Run what the patterns and the variant select.

        Raises:
            UserError: a stage failed.
        """
        processes.accept_sigint_again()  # Tests send it to themselves and to children.
        start = time.monotonic()
        try:
            if not self._patterns:
                self._everything()
            else:
                self._selected()
        finally:
            for stage in self._stages:
                ui.say(f'  {stage.name:<40} {ui.duration(stage.seconds):>12}  {stage.totals}')
        ui.say(f'all tests passed in {ui.duration(time.monotonic() - start)}')

    def _everything(self):
        if not self._only_variant:
            self._stage('check', self._check)
            self._pytest(['tests'])
        for number, name in enumerate(self._variants):
            builder = self._build(name)
            ours, upstreams = self._modules(builder)
            # What passed on one variant is not worth a stage of its own on the next.
            if number == 0:
                if ours:
                    self._regrtest(builder, 'our tests', ours)
                self._regrtest(builder, "upstream's test_asyncio", upstreams)
                if not self._only_variant:
                    self._stage(f'{name}: unmodified, all switches', self._run_legacy, builder)
            else:
                self._regrtest(builder, 'test_asyncio and ours', [*ours, *upstreams])
            if name == 'debug':
                self._stage('debug: references at exit', self._references, builder)
            if name in ('free-threaded', 'tsan'):
                self._stage(f'{name}: loops in several threads', self._threads, builder)

    def _selected(self):
        paths = [pattern for pattern in self._patterns if pattern.startswith('tests/')]
        if paths:
            self._pytest(paths)
        names = [pattern for pattern in self._patterns if pattern not in paths]
        if not names:
            return
        builder = self._build(self._variants[0])
        ours, upstreams = self._modules(builder)
        known = {module.rpartition('.')[2]: module for module in [*ours, *upstreams]}
        # A module can be named by the path of its file, too.
        names = [pathlib.PurePath(name).stem if name.endswith('.py') else name for name in names]
        modules = [name for name in names if name in known]
        if modules:
            self._regrtest(builder, ' '.join(modules), [known[name] for name in modules])
        for name in names:
            if name not in modules:
                self._stage(f'{builder.name}: tests like {name}', self._run_unittest, builder, name)

    def _stage(self, name, function, *args):
        start = time.monotonic()
        totals = 'failed'
        try:
            totals = function(*args) or 'passed'
        finally:
            self._stages.append(_Stage(name, time.monotonic() - start, totals))

    def _build(self, name):
        builder = variants.Builder(self._project, name)
        with self._project.lock():
            builder.build(**self._source)
        return builder

    def _check(self):
        with self._project.lock():
            lint.check(self._project, self._tree, **self._source)

    # pytest.

    def _pytest(self, paths):
        self._stage('pytest', self._run_pytest, paths)

    def _run_pytest(self, paths):
        python = python_environment.ensure(self._project, 'tools-venv', _REQUIREMENTS, offline=self._source['offline'])
        # Tests of the README run build.sh: they must be able to tell that they are inside of it already.
        env = ui.clean_environment(**{name: value for name, value in os.environ.items() if name.startswith('ASYNCBIS_')
                                      and name != 'ASYNCBIS_CWD'}, ASYNCBIS_IN_TEST='1')
        log = self._project.logs / 'pytest.log'
        ui.run_logged('pytest', [str(python), '-m', 'pytest', '-ra', *paths], log=log, cwd=self._project.root, env=env,
                      hint='Run one test again with ./build.sh test tests/FILE::TEST', echo=True, limit=_LIMIT)
        return _totals(log)

    # CPython's own runner.

    def _modules(self, builder):
        """Return the names of the overlay's test modules and of upstream's, those of test_asyncio only."""
        owned = self._tree.repository.upstream_paths()
        ours, upstreams = [], []
        folder = builder.source / 'Lib' / 'test'
        for path in sorted([*folder.glob('test_*.py'), *folder.glob('test_asyncio/test_*.py')]):
            relative = path.relative_to(builder.source).as_posix()
            parts = pathlib.PurePosixPath(relative).relative_to('Lib/test').with_suffix('').parts
            name = '.'.join(('test', *parts)) if len(parts) > 1 else parts[0]
            if relative not in owned:
                ours.append(name)
            elif len(parts) > 1:
                upstreams.append(name)
        return ours, upstreams

    def _regrtest(self, builder, name, modules):
        self._stage(f'{builder.name}: {name}', self._run_regrtest, builder, name, modules)

    def _run_regrtest(self, builder, name, modules):
        slug = re.sub(r'[^a-z]+', '-', name.lower().replace("'", '')).strip('-')
        log = self._project.logs / f'{builder.name}-test-{slug}.log'
        command = [str(builder.build_python), '-m', 'test', f'-j{len(os.sched_getaffinity(0))}', '--verbose3',
                   '--timeout', '900', '--tempdir', str(_scratch(builder)), *modules]
        variant = '' if builder.name == variants.DEFAULT else f' --variant {builder.name}'
        ui.run_logged(f'{builder.name}: {name}', command, log=log, cwd=builder.folder,
                      env=ui.clean_environment(**builder.environment),
                      hint=f'Run one test again with ./build.sh test{variant} NAME', echo=True, limit=_LIMIT)
        return _totals(log)

    def _run_legacy(self, builder):
        return legacy.run(self._project, builder, self._project.logs / f'{builder.name}-test-legacy.log')

    def _run_unittest(self, builder, name):
        # unittest instead of CPython's runner: it is silent about modules in which nothing matches, and it fails if
        # nothing matches at all.
        log = self._project.logs / f'{builder.name}-test-matching.log'
        library = builder.source / 'Lib'
        command = [str(builder.build_python), '-m', 'unittest', 'discover', '--verbose', '-k', name,
                   '-s', str(library / 'test' / 'test_asyncio'), '-t', str(library)]
        ui.run_logged(f'{builder.name}: tests like {name}', command, log=log, cwd=_scratch(builder),
                      env=ui.clean_environment(**builder.environment),
                      hint='Run it again with a narrower PATTERN; see ./build.sh help test', echo=True, limit=_LIMIT)
        totals = re.search(r'^Ran (\d+) tests?.*\n\nOK(?: \(skipped=(\d+)\))?$', log.read_text(encoding='utf-8'),
                           re.MULTILINE)
        # (The modules for Windows are counted as skipped tests, whatever the pattern.)
        if totals and totals[1] == totals[2]:
            raise ui.UserError(f'no test of test_asyncio has {name} in its name. See ./build.sh help test')
        return _totals(log)

    def _references(self, builder):
        """The debug build counts references: none may be left at exit, whatever asyncio was used for."""
        program = self._project.root / _REFERENCES
        log = self._project.logs / 'debug-references.log'
        try:
            result = subprocess.run([str(builder.build_python), '-X', 'showrefcount', str(program)], timeout=300,
                                    cwd=builder.folder, env=ui.clean_environment(), stdin=subprocess.DEVNULL,
                                    capture_output=True, text=True, check=False)
        except subprocess.TimeoutExpired as error:
            raise ui.UserError(f'{_REFERENCES} was killed: it took longer than {ui.duration(error.timeout)} on the '
                               f'debug build.\n  See where it hangs: {builder.build_python} {program}') from None
        log.write_text(result.stdout + result.stderr, encoding='utf-8')
        left = (result.stderr.strip().splitlines() or ['nothing'])[-1]
        if result.returncode or left != '[0 refs, 0 blocks]':
            raise ui.UserError(f'{_REFERENCES} leaves references behind on the debug build: {left} (exit status '
                               f'{result.returncode}).\n  Log: {log}\n  Take statements out of the program until the '
                               f'culprit is found: {builder.build_python} -X showrefcount {program}')
        return left

    def _threads(self, builder):
        """Where there is no GIL, event loops in several threads must not get into each other's way."""
        for implementation in 'c', 'python':
            log = self._project.logs / f'{builder.name}-threads-{implementation}.log'
            # (What is not allowed is for `verify threads`.)
            command = [str(builder.build_python), str(self._project.root / _THREADS), '--seconds', '15',
                       '--implementation', implementation]
            ui.run_logged(f'{builder.name}: {_THREADS} on {implementation}', command, log=log, cwd=builder.folder,
                          env=ui.clean_environment(**builder.environment),
                          hint=f'Find out more with {_THREADS} --help', echo=True, limit=600)


def _scratch(builder):
    """Return a folder for the tests to litter: CPython's runner would take one in the sources, which look edited then.
    """
    folder = builder.folder / 'tmp'
    folder.mkdir(exist_ok=True)
    return folder


def _totals(log):
    """Return what the runner that wrote log says at the end."""
    found = [match for match in _TOTALS.finditer(log.read_text(encoding='utf-8'))]
    return next(filter(None, found[-1].groups())).strip() if found else ''
