"""Variants: the ways in which the one source is configured and built, side by side in build/<variant>/.

In each there are two ways to the same interpreter: build/<variant>/python is what CPython's own tests expect,
build/<variant>/live/bin/python3 (see live.py) is for programs.  In both an edited .py file of the library is in effect
at once.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tarfile

from tools import live
from tools import packages
from tools import project as project_module
from tools import tree as tree_module
from tools import ui
from tools import wheel


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to build."""
    configure: tuple = ()  # arguments of configure, besides those that all variants have
    patched: bool = True  # whether the patch series is in it
    incremental: bool = True  # whether a build may go on from the one before
    make: tuple = ()  # arguments of make
    environment: dict = dataclasses.field(default_factory=dict)  # what a program on it needs; {source} is the folder


# One line makes a variant.
VARIANTS = {
    'release': Variant(),
    'stock': Variant(patched=False),
    'debug': Variant(configure=('--with-pydebug',)),
    # The sanitizers are set up as upstream's own CI does, with the suppressions that upstream has and no others.  What
    # they find ends the program: a report that only scrolls by would be no failure.
    'asan': Variant(configure=('--with-address-sanitizer', '--without-pymalloc', '--with-assertions'), environment={
        # CPython leaves much to the end of the process, so leaks are for the debug variant.  The tests provoke
        # segmentation faults and impossible allocations.
        'ASAN_OPTIONS': 'detect_leaks=0:allocator_may_return_null=1:handle_segv=0:abort_on_error=1'}),
    'ubsan': Variant(configure=('--with-undefined-behavior-sanitizer', '--with-pydebug'), environment={
        'UBSAN_OPTIONS': 'halt_on_error=1:abort_on_error=1:print_stacktrace=1'}),
    'free-threaded': Variant(configure=('--disable-gil',)),
    'tsan': Variant(configure=('--disable-gil', '--with-thread-sanitizer', '--with-pydebug'), environment={
        'TSAN_OPTIONS': 'suppressions={source}/Tools/tsan/suppressions_free_threading.txt:handle_segv=0:exitcode=66'}),
    # Counts the lines and branches of _asyncio that are run (see coverage.py); all else is built as for release.
    'coverage': Variant(make=(
        '--eval=Modules/_asynciomodule.o: OPT = -DNDEBUG -g -fwrapv -O0 -Wall --coverage -fprofile-update=atomic',
        'MODULE__ASYNCIO_LDFLAGS=--coverage')),
    # Not incremental: a profile that was made from other sources would be used on.
    'pgo': Variant(configure=('--enable-optimizations',), incremental=False),
}
DEFAULT = 'release'

# Optional modules that configure leaves out without a word if a library is missing.  Here they are not optional.
MODULES = ('_bz2', '_ctypes', '_curses', '_gdbm', '_hashlib', '_lzma', '_sqlite3', '_ssl', '_uuid', '_zstd',
           'readline', 'zlib')

# Compilers' names that lead to ccache.  It is put on PATH instead of into CC, so that sysconfig keeps naming the real
# compiler: extension modules are built with it on machines that have no ccache.
_CCACHE = '/usr/lib/ccache'


class Builder:
    """Builds one variant of a project."""

    def __init__(self, project, name):
        if name not in VARIANTS:
            raise ui.UserError(f'there is no variant {name}. There are: {", ".join(VARIANTS)}')
        self._project = project
        self._variant = VARIANTS[name]
        self.name = name
        self.identity = None  # what it was built from, once it is
        self.folder = project.build / name

    @property
    def python(self):
        """The interpreter for programs."""
        return self.folder / 'live' / 'bin' / 'python3'

    @property
    def source(self):
        """The folder with the sources that it is built from."""
        return self._project.src if self._variant.patched else self._project.build / 'upstream'

    @property
    def build_python(self):
        """The interpreter for CPython's own tests."""
        return self.folder / 'python'

    @property
    def environment(self):
        """What has to be in the environment of a program that runs on it, {name: value}."""
        return {name: value.format(source=self.source) for name, value in self._variant.environment.items()}

    def build(self, *, source_file=None, offline=False):
        """Bring source and build up to date; do nothing that is done already."""
        if not self._stamp('configured').exists():
            # Before anything else: what follows needs git already, and a build that lacks a library takes minutes to
            # find that out.
            packages.ensure(packages.BUILD, log=self._project.logs, offline=offline)
        tree = tree_module.Tree(self._project)
        tree.sync(source_file=source_file, offline=offline)
        fingerprint = tree.fingerprint() if self._variant.patched else self._pristine(tree)
        if self._variant.incremental:
            configured = self._configure()
        else:
            # The stamp is void as soon as the sources are others: then everything is made anew.
            configured = self._configure(fingerprint)
        self._make(f'{configured} {fingerprint}', tree)
        if self._variant.patched and (self._project.root / wheel.FOLDER).exists():
            library, = (self.folder / 'live' / 'lib').glob('python3*')
            wheel.put(self._project.root, library)
        self.identity = fingerprint

    def _pristine(self, tree):
        """Unpack the commit `upstream`; return the id of its tree."""
        stamp = self._project.build / 'upstream.stamp'
        identity = tree.repository.tree_of(tree.repository.upstream)
        if _read(stamp) != identity:
            shutil.rmtree(self.source, ignore_errors=True)
            with ui.timed('unpacking upstream for the variant without patches'):
                with tree.git.popen('archive', identity, stdout=subprocess.PIPE) as process:
                    with tarfile.open(fileobj=process.stdout, mode='r|') as archive:
                        archive.extractall(self.source)
            project_module.write_atomically(stamp, identity.encode())
        return identity

    def _configure(self, *more):
        """Run configure, unless it ran with the same arguments before; return the stamp."""
        arguments = [str(self.source / 'configure'), *self._variant.configure]
        identity = json.dumps([[*arguments, *self._variant.make], _digest(self.source / 'configure'), more,
                               {name: os.environ.get(name) for name in ('CC', 'CFLAGS', 'CPPFLAGS', 'LDFLAGS')}])
        stamp = self._stamp('configured')
        if _read(stamp) != identity:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            ui.run_logged(f'configuring {self.name}', arguments, log=self._log('configure'), cwd=self.folder,
                          env=self._environment(), hint='The reason is mostly at the end of '
                          f'{self.folder / "config.log"}; after fixing it run the same command again.')
            project_module.write_atomically(stamp, identity.encode())
        return hashlib.sha256(identity.encode()).hexdigest()

    def _make(self, identity, tree):
        """Run make, unless it ran on the same sources before."""
        stamp = self._stamp('made')
        if _read(stamp) == identity and self.python.exists():
            return
        stamp.unlink(missing_ok=True)
        jobs = len(os.sched_getaffinity(0))
        hint = 'Fix what the compiler complains about'
        if self._variant.patched:
            hint += ' (work in build/src, it is built as it stands)'
        hint += f'; if it makes no sense: ./build.sh clean --variant {self.name}'
        ui.run_logged(f'building {self.name}', ['make', f'-j{jobs}', *self._variant.make], log=self._log('make'),
                      cwd=self.folder, env=self._environment(), hint=hint)
        self._check_modules()
        live.update(self.source, self.folder)
        # If a file was edited while make ran, neither the old sources nor the new ones have been built.
        if not self._variant.patched or identity.endswith(' ' + tree.fingerprint()):
            project_module.write_atomically(stamp, identity.encode())

    def _check_modules(self):
        """Raise UserError if a module was left out because its library is missing."""
        program = ('import importlib, sys\n'
                   'for name in sys.argv[1:]:\n'
                   '    try: importlib.import_module(name)\n'
                   '    except ImportError: print(name)\n')
        result = subprocess.run([self.build_python, '-E', '-s', '-c', program, *MODULES], env=self._environment(),
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if result.returncode:
            raise ui.UserError(f'the interpreter that was built does not start:\n{result.stderr.strip()}\n'
                               f'  Log of the build: {self._log("make")}')
        if result.stdout.split():
            raise ui.UserError(f'these modules were not built: {" ".join(result.stdout.split())}\n'
                               f'  Install the headers of their libraries, then ./build.sh clean --variant {self.name} '
                               f'and build again. The log: {self._log("make")}')

    def _environment(self):
        """Return the environment of configure and make, which run the interpreter as well."""
        changes = self.environment
        if pathlib.Path(_CCACHE).is_dir():
            changes['PATH'] = f'{_CCACHE}:{os.environ["PATH"]}'
        return ui.clean_environment(**changes)

    def _stamp(self, step):
        return self.folder / f'asyncbis-{step}'

    def _log(self, step):
        return self._project.logs / f'{self.name}-{step}.log'


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(path):
    """Return the text of the file at path, or None if there is none."""
    try:
        return path.read_text(encoding='utf-8')
    except FileNotFoundError:
        return None
