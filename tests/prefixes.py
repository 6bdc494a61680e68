"""Run test_asyncio on every prefix of the series.

    python3 tests/prefixes.py [TEST...]

Needs build/stock and build/release, up to date.  The library of a prefix is put in front of an interpreter whose C
sources are those of the prefix: stock before the patches that touch C, release after the last of them, and in between
one that is built here, in build/prefixes, with what the prefix before has left there.  Without TEST, which is a module
such as test_tasks, it takes about a minute a patch, and some minutes more for each that touches C.

A prefix has the files that its patches add (trailer `Adds:`), and no others of those that patches add.  So a module, C
file or header has to come with the first patch that uses it, and a test file of our own with the first patch on which
all of its tests pass: from there on it runs on every prefix.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = ROOT / 'build' / 'src'
FOLDER = ROOT / 'build' / 'prefixes'
# What an interpreter is built from, as far as the series touches it.
COMPILED = 'Modules', 'Include', 'Objects', 'Python', 'Parser'
# What checks the legacy switches at start-up does nothing without them.
START_UP = {'Modules/main.c', 'Python/initconfig.c', 'Python/stdlib_module_names.h'}


def git(*arguments, **environment):
    return subprocess.run(['git', *arguments], cwd=SOURCES, check=True, capture_output=True,
                          env={**os.environ, **environment}).stdout


def interpreter(commit):
    """Return an interpreter that was built from the C sources of a commit; build it if there is none."""
    def changed(since):
        return set(git('diff', '--name-only', since, commit, '--', *COMPILED).decode().split()) - START_UP

    # As long as no file of upstream is changed, files of our own may be there, but nothing compiles them.
    if not changed('upstream').intersection(git('ls-tree', '-r', '--name-only', 'upstream').decode().splitlines()):
        return ROOT / 'build' / 'stock' / 'python'
    if not changed('HEAD'):
        return ROOT / 'build' / 'release' / 'python'
    return build(commit)


def build(commit):
    """Build the interpreter of a commit; return it."""
    source, target, log = FOLDER / 'src', FOLDER / 'build', FOLDER / 'log'
    for folder in source, target:
        folder.mkdir(parents=True, exist_ok=True)
    # Only files that differ are written, so that make does no more than it must.
    git('read-tree', '--reset', '-u', commit, GIT_DIR=str(SOURCES / '.git'), GIT_WORK_TREE=str(source),
        GIT_INDEX_FILE=str(FOLDER / 'index'))
    env = {**os.environ, 'PATH': f'/usr/lib/ccache:{os.environ["PATH"]}'}
    with open(log, 'wb') as output:
        for command in [[source / 'configure']] * (not (target / 'Makefile').exists()) + [
                ['make', f'-j{len(os.sched_getaffinity(0))}']]:
            if subprocess.run(command, cwd=target, env=env, stdout=output, stderr=subprocess.STDOUT).returncode:
                sys.exit(f'{commit} does not build; the end of {log} says why')
    return target / 'python'


def run(commit, tests):
    """Return what `python -m test` says in the end for the library of a commit, and whether it passed."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(['tar', '-x', '-C', folder], input=git('archive', commit, 'Lib'), check=True)
        env = {**os.environ, 'PYTHONPATH': f'{folder}/Lib', 'PYTHONDONTWRITEBYTECODE': '1'}
        done = subprocess.run([interpreter(commit), '-m', 'test', '-j2', '--timeout', '900', *tests], cwd=folder,
                              env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    total = [line for line in done.stdout.splitlines() if line.startswith('Total tests:')]
    return (total[-1] if total else done.stdout[-2000:]), done.returncode == 0


def main(tests):
    tests = [f'test_asyncio.{test}' for test in tests] or ['test_asyncio']
    failed = 0
    for line in git('log', '--reverse', '--format=%h %s', 'upstream..HEAD').decode().splitlines():
        commit, subject = line.split(' ', 1)
        said, passed = run(commit, tests)
        print(f'{"passed" if passed else "FAILED"}  {subject}: {said}', flush=True)
        failed += not passed
    return f'{failed} prefixes fail' if failed else None


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
