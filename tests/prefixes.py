"""Run test_asyncio on every prefix of the series.

    python3 tests/prefixes.py [TEST...]

Needs build/stock and build/release, up to date.  The library of a prefix is put in front of an interpreter whose C
sources are those of the prefix: stock before the patches that touch C, release after the last of them, and in between
one that is built here, in build/prefixes, with what the prefix before has left there.  Without TEST, which is a module
such as test_tasks, it takes about a minute a patch, and some minutes more for each that touches C.

A prefix has the files that its patches add (trailer `Adds:`), and no others of those that patches add.  So a module, C
file or header has to come with the first patch that uses it, and a test file of our own with the first patch on which
all of its tests pass: from there on it runs on every prefix.

On the prefix that has scopes, timeout(), TaskGroup and shield(), but neither the root task group nor level-triggered
Task.cancel(), upstream's own, unmodified test_asyncio passes as well, but for the tests that first-step.txt lists, each
with its reason.
"""

import fnmatch
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import legacy  # noqa: E402
from tools import ui  # noqa: E402

SOURCES = ROOT / 'build' / 'src'
FOLDER = ROOT / 'build' / 'prefixes'
# What an interpreter is built from, as far as the series touches it.
COMPILED = 'Modules', 'Include', 'Objects', 'Python', 'Parser'
# Of the patch after the first step.
NEXT_STEP = 'asyncio: Give each Runner a root task group'
LIST = 'tests/first-step.txt'
HANGS = 'hangs: '
UNMODIFIED = "upstream's unmodified tests before the root task group"
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


def compare(failed, text):
    """Raise UserError if other tests failed than those that text, the content of LIST, lists."""
    listed = set()
    for pattern, reason in legacy.read_list(text, LIST).items():
        if not reason.startswith(HANGS):
            listed |= set(fnmatch.filter(failed, pattern)) or {pattern}
    legacy.compare(failed, listed, LIST, UNMODIFIED)


def run_unmodified(commit, tests):
    """Run upstream's own test_asyncio with the library of a commit; return the same as run()."""
    text = (ROOT / LIST).read_text(encoding='utf-8')
    hang = [pattern.rpartition('.')[2] for pattern, reason in legacy.read_list(text, LIST).items()
            if reason.startswith(HANGS)]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(['tar', '-x', '-C', folder], input=git('archive', commit, 'Lib'), check=True)
        shutil.rmtree(pathlib.Path(folder, 'Lib/test/test_asyncio'))
        subprocess.run(['tar', '-x', '-C', folder], input=git('archive', 'upstream', 'Lib/test/test_asyncio'), check=True)
        report = pathlib.Path(folder, 'report.xml')
        env = {**os.environ, 'PYTHONPATH': f'{folder}/Lib', 'PYTHONDONTWRITEBYTECODE': '1'}
        done = subprocess.run(
            [interpreter(commit), '-m', 'test', '-j2', '--timeout', '300', '--junit-xml', report,
             *(f'--ignore=*{test}' for test in hang), *tests],
            cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if not report.exists():
            return done.stdout[-2000:], False
        failed, number = legacy.failed_tests(report.read_text(encoding='utf-8'))
    total = f'Total tests: run={number:,} failures={len(failed)}'
    if lost := legacy.lost_modules(done.stdout, failed):
        return f'{total}; {", ".join(lost)} did not come to the end', False
    try:
        compare(failed, text)
    except ui.UserError as error:
        return f'{total}; {error}', False
    return f'{total}, all of them in {LIST}', True


def main(tests):
    whole = not tests
    tests = [f'test_asyncio.{test}' for test in tests] or ['test_asyncio']
    failed, before = 0, None
    for line in git('log', '--reverse', '--format=%h %s', 'upstream..HEAD').decode().splitlines():
        commit, subject = line.split(' ', 1)
        outcomes = [(subject, *run(commit, tests))]
        if subject == NEXT_STEP and whole:
            outcomes.insert(0, (UNMODIFIED, *run_unmodified(before, tests)))
        for what, said, passed in outcomes:
            print(f'{"passed" if passed else "FAILED"}  {what}: {said}', flush=True)
            failed += not passed
        before = commit
    return f'{failed} prefixes fail' if failed else None


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
