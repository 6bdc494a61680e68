"""Run upstream's test_asyncio on every prefix of the series.

    python3 tests/prefixes.py [TEST...]

Needs build/stock and build/release, up to date.  The library of a prefix is put in front of an interpreter whose C
sources are those of the prefix: stock before the patches that touch C, release after the last of them.  A prefix in
between needs a build of its own and is an error here.  Without TEST, which is a module such as test_tasks, it takes
about a minute a patch.

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
# What an interpreter is built from, as far as the series touches it.
COMPILED = 'Modules', 'Include', 'Objects', 'Python', 'Parser'
# What checks the legacy switches at start-up does nothing without them.
START_UP = {'Modules/main.c', 'Python/initconfig.c', 'Python/stdlib_module_names.h'}


def git(*arguments):
    return subprocess.run(['git', *arguments], cwd=SOURCES, check=True, capture_output=True).stdout


def interpreter(commit):
    """Return an interpreter that was built from the C sources of a commit."""
    def changed(since):
        return set(git('diff', '--name-only', since, commit, '--', *COMPILED).decode().split()) - START_UP

    # As long as no file of upstream is changed, files of our own may be there, but nothing compiles them.
    if not changed('upstream').intersection(git('ls-tree', '-r', '--name-only', 'upstream').decode().splitlines()):
        return ROOT / 'build' / 'stock' / 'python'
    if not changed('HEAD'):
        return ROOT / 'build' / 'release' / 'python'
    sys.exit(f'{commit}: the C sources of this prefix are neither those of upstream nor those of the whole series; '
             f'build it by hand: ./build.sh prepare --until PATCH')


def run(commit, tests):
    """Return what `python -m test` says in the end for the library of a commit, and whether it passed."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(['tar', '-x', '-C', folder], input=git('archive', commit, 'Lib'), check=True)
        env = {**os.environ, 'PYTHONPATH': f'{folder}/Lib', 'PYTHONDONTWRITEBYTECODE': '1'}
        done = subprocess.run([interpreter(commit), '-m', 'test', '-j2', '--timeout', '900', *tests], cwd=folder, env=env,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
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
