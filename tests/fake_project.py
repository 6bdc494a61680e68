"""A project in miniature, whose upstream takes no time to build: what the tests of the tools work on.

Its tarball has a configure and a Makefile that "build" a script which calls the machine's python3.
"""

import hashlib
import io
import os
import pathlib
import subprocess
import sys
import tarfile

from tools import changed_tests
from tools import processes

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIMIT = 120  # seconds that anything may take here; most of it takes less than one

CONFIGURE = r'''#!/bin/sh
# Leaves what the real one does, as far as the tools look at it.
set -e
source=$(dirname "$0")
mkdir libs
printf libs > pybuilddir.txt
cat > libs/_sysconfigdata_fake.py <<END
build_time_vars = {
    'prefix': '/fake/prefix', 'BINDIR': '/fake/prefix/bin', 'VERSION': '9.9',
    'LIBDEST': '/fake/prefix/lib/python9.9', 'DESTSHARED': '/fake/prefix/lib/python9.9/lib-dynload',
    'INCLUDEPY': '/fake/prefix/include/python9.9', 'LIBPL': '/fake/prefix/lib/python9.9/config',
}
END
echo "configured with: $*"
touch pyconfig.h
sed "s|@source@|$source|" "$source/Makefile.pre.in" > Makefile
'''
MAKEFILE = '''all:
\techo once >> made
\trm -f python
\tcp @source@/Programs/python.sh python
\tchmod +x python
'''
PYTHON = f'''#!/bin/sh
# The question which modules are there is answered with: all.
case "$*" in *importlib.import_module*) exit 0;; esac
exec {sys.executable} "$@"
'''
CLINIC = '''import sys
path = sys.argv[1]
text = open(path).read()
if 'BROKEN' in text:
    sys.exit('no such converter')
open(path, 'w').write(text.replace('[stale]', '[fresh]'))
'''
GLOBALS = '''import pathlib
names = sorted({line for path in pathlib.Path('Modules').rglob('*.c') for line in path.read_text().splitlines()
                if line.startswith('_Py_ID')})
pathlib.Path('Include/internal/pycore_names.h').write_text(''.join(f'{name}\\n' for name in names))
'''
FILES = {
    'configure': CONFIGURE,
    'Makefile.pre.in': MAKEFILE + '# deps: Modules/_spam/known.h\n',
    'Programs/python.sh': PYTHON,
    'Include/Python.h': '/* nothing */\n',
    'Include/internal/pycore_names.h': '_Py_ID(spam)\n',
    'Lib/asyncio/tasks.py': ''.join(f'def f{i}():\n    return {i}\n\n\n' for i in range(20)),
    'Lib/asyncio/other.py': 'OTHER = 1\n',
    'Lib/test/test_asyncio/test_tasks.py': 'class Tests:\n    def test_a(self):\n        assert 1\n\n'
                                           '    async def test_b(self):\n        assert 2\n',
    'Modules/_spammodule.c': '/*[clinic input]\n[fresh]\n*/\n_Py_ID(spam)\n',
    'Tools/clinic/clinic.py': CLINIC,
    'Tools/build/generate_global_objects.py': GLOBALS,
}
TRAILERS = 'Category: fork-only\nForwarded: not-needed'


def write_tarball(path, files, version='9.9.1'):
    """Write a tarball as upstream makes them; return its SHA-256."""
    with tarfile.open(path, 'w:xz') as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f'Python-{version}/{name}')
            member.size = len(text.encode())
            member.mode = 0o755 if text.startswith('#!') else 0o644
            archive.addfile(member, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Process(subprocess.Popen):
    """A child that does not outlive a test that fails, nor do its own children."""

    def __exit__(self, kind, exc, traceback):
        if kind is not None:
            processes.kill({self.pid, *processes.descendants(self.pid)})
        super().__exit__(kind, exc, traceback)


class Project:
    """One such project, and build.sh at work on it."""

    def __init__(self, folder):
        self.folder = folder
        self.root = folder / 'project'
        self.src = self.root / 'build' / 'src'
        self.cache = folder / 'cache' / 'asyncbis'
        self.stubs = folder / 'stubs'
        self.tarball = folder / 'Python-9.9.1.tar.xz'
        if self.root.exists():
            return
        for path in (self.root / 'patches', self.stubs):
            path.mkdir(parents=True)
        self.sha256 = write_tarball(self.tarball, FILES)
        self.pin(self.sha256)
        self.write('patches/series', '# The order.\n\n')
        self.write('.gitignore', '/build/\n')
        self.write(changed_tests.PATH, changed_tests.document(None, [], []))
        # Whatever the machine lacks, the packages count as installed, and docker as missing.
        self.stub('dpkg-query', 'import sys; sys.path.insert(0, {!r})\nfrom tools import packages\n'
                  'for name in packages.BUILD: print("installed", name)'.format(str(ROOT)))
        self.git('init', '--quiet', '--initial-branch=main', where=self.root)
        self.save()

    def pin(self, sha256, url='http://127.0.0.1:9/{release}/Python-{version}.tar.xz'):
        """Write upstream.conf."""
        self.write('upstream.conf', f'version = 9.9.1\nsha256 = {sha256}\nurl = {url}\n'
                   'debian-pool = pool/python{series}_{version}.orig.tar.xz\n')

    def stub(self, name, program):
        """Put a Python program called name first on PATH."""
        path = self.stubs / name
        path.write_text(f'#!{sys.executable}\n{program}\n', encoding='utf-8')
        path.chmod(0o755)

    def environment(self, **changes):
        """Return the environment that build.sh is run in; a change to None removes a variable."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(('ASYNCBIS_', 'GIT_'))}
        env.update(ASYNCBIS_ROOT=str(self.root), XDG_CACHE_HOME=str(self.cache.parent), ASYNCBIS_DEBIAN_SITES='',
                   ASYNCBIS_SOURCE=str(self.tarball), PATH=f'{self.stubs}:{env["PATH"]}', no_proxy='*')
        env.update(changes)
        return {name: value for name, value in env.items() if value is not None}

    def start(self, *args, env=None, **options):
        """Start build.sh."""
        return Process([ROOT / 'build.sh', *args], cwd=self.folder, env=self.environment(**env or {}),
                       text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def run(self, *args, env=None, status=0):
        """Run build.sh; return what came of it, after a look at the exit status."""
        with self.start(*args, env=env) as process:
            stdout, stderr = process.communicate(timeout=LIMIT)
        assert process.returncode == status, stderr
        assert 'Traceback' not in stderr
        return subprocess.CompletedProcess(args, process.returncode, stdout, stderr)

    def fail(self, *args, env=None):
        """Run build.sh, which must fail with one clear message; return the message."""
        stderr = self.run(*args, env=env, status=1).stderr
        assert stderr.count('build.sh: error: ') == 1
        return stderr.partition('build.sh: error: ')[2]

    def write(self, path, text):
        """Write one of the project's files."""
        _write(self.root / path, text)

    def read(self, path):
        """Return the text of one of the project's files."""
        return (self.root / path).read_text(encoding='utf-8')

    def edit(self, path, old, new):
        """Edit a file in build/src."""
        text = (self.src / path).read_text(encoding='utf-8')
        assert old in text
        _write(self.src / path, text.replace(old, new, 1))

    def git(self, *args, where=None, env=None):
        """Run a plain git, in build/src unless told otherwise; return its output."""
        return subprocess.run(
            ['git', '-c', 'user.name=Ada Müller', '-c', 'user.email=ada@example.org', *args], cwd=where or self.src,
            env={**self.environment(), **(env or {})}, check=True, capture_output=True, text=True,
            timeout=LIMIT).stdout.strip()

    def commit(self, subject, body='Because it must be.', trailers=TRAILERS):
        """Commit everything in build/src."""
        self.git('add', '--all')
        self.git('commit', '--quiet', '-m', f'{subject}\n\n{body}\n\n{trailers}')

    def save(self):
        """Commit everything in the project."""
        self.git('add', '--all', where=self.root)
        self.git('commit', '--quiet', '--message', 'state', where=self.root)

    def status(self):
        """Return what `git status` says of the project."""
        return self.git('status', '--porcelain', '--untracked-files=all', where=self.root)

    def subjects(self):
        """Return the subjects of the commits in build/src, the oldest first."""
        return self.git('log', '--reverse', '--format=%s').splitlines()

    def with_two_patches(self):
        """Give the project two patches and two overlay files, all of it exported and committed."""
        self.run('prepare')
        self.edit('Lib/asyncio/tasks.py', 'return 0', 'return "zero"')
        self.commit('asyncio: Make f0 return a word')
        self.edit('Lib/asyncio/tasks.py', 'return 19', 'return "nineteen"')
        self.commit('asyncio: Make f19 return a word')
        _write(self.src / 'Lib/asyncio/mine.py', 'MINE = 1\n')
        _write(self.src / 'Lib/test/test_asyncio/test_mine.py', 'TEST = 1\n')
        self.commit('mine')
        self.run('refresh')
        self.save()
        return self


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')
