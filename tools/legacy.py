"""The legacy switches: with all of them in force, upstream's own, unmodified test_asyncio passes, but for a list.

The list is tests/legacy-all.txt: a test a line, then a colon and the reason why no switch brings its behavior back.  A
test on it that passes is an error as well: the list says what there is to say, no more.
"""

import io
import os
import re
import shutil
import subprocess
import tarfile
import xml.etree.ElementTree

from tools import git as git_module
from tools import ui

LIST = 'tests/legacy-all.txt'
_TESTS = 'Lib/test/test_asyncio'


def read_list(text, path=LIST):
    """Return {test: reason}.

    Raises:
        UserError: a line has no reason.
    """
    listed = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith('#'):
            test, _, reason = line.partition(':')
            if not reason.strip():
                raise ui.UserError(f'{path}: {test} has no reason.\n  Write it behind a colon.')
            listed[test.strip()] = reason.strip()
    return listed


def failed_tests(report):
    """Return (the set of tests that failed, the number of all) according to a JUnit report.

    Named without the package and without the class's module path: test_tasks.SomeTests.test_this.
    """
    cases = list(xml.etree.ElementTree.fromstring(report).iter('testcase'))
    failed = {case.get('name').removeprefix('test.test_asyncio.') for case in cases
              if case.find('failure') is not None or case.find('error') is not None}
    return failed, len(cases)


def lost_modules(output, failed):
    """Return the modules that failed according to what the runner printed and of which the report has no failed test.

    They crashed or took too long, and none of their tests is in the report.
    """
    summary = re.search(r'^\d+ tests? failed:\n((?: +.*\n)+)', output, re.MULTILINE)
    modules = {name.removeprefix('test.').removeprefix('test_asyncio.') for name in summary[1].split()} if summary else ()
    return sorted(set(modules) - {test.partition('.')[0] for test in failed})


def compare(failed, listed, path=LIST, what="upstream's test_asyncio with -X asyncio_legacy=all"):
    """Raise UserError if other tests failed than those listed in the file path."""
    problems = [f'{test} fails, and {path} does not have it' for test in sorted(failed - listed)]
    problems += [f'{test} passes, but {path} says that it fails' for test in sorted(listed - failed)]
    if problems:
        raise ui.UserError(f'{what}:\n  ' + '\n  '.join(problems))


def run(project, builder, log):
    """Run upstream's test_asyncio with all switches on the interpreter of builder; return what to say of it."""
    listed = read_list((project.root / LIST).read_text(encoding='utf-8'))
    folder = builder.folder / 'legacy'
    _lay_out(builder.source, folder)
    report = folder / 'report.xml'
    tests = str(len(os.sched_getaffinity(0)))
    command = [str(builder.build_python), '-m', 'test', f'-j{tests}', '--verbose3', '--timeout', '300',
               '--tempdir', str(folder), '--junit-xml', str(report), 'test_asyncio']
    # The workers of the runner inherit the environment, not -X.
    env = ui.clean_environment(PYTHONPATH=str(folder), PYTHONASYNCIOLEGACY='all')
    what = f"{builder.name}: upstream's unmodified test_asyncio with all legacy switches"
    with ui.timed(what), open(log, 'wb') as out:
        subprocess.run(command, cwd=builder.folder, env=env, stdin=subprocess.DEVNULL, stdout=out,
                       stderr=subprocess.STDOUT, check=False)
    if not report.exists():
        raise ui.UserError(f"upstream's test_asyncio did not come to its end with all legacy switches.\n  Log: {log}")
    failed, number = failed_tests(report.read_text(encoding='utf-8'))
    if lost := lost_modules(log.read_text(encoding='utf-8', errors='replace'), failed):
        raise ui.UserError(f"upstream's test_asyncio with all legacy switches: {', '.join(lost)} did not come to the end."
                           f'\n  Log: {log}')
    compare(failed, set(listed))
    return f'run={number:,} failures={len(failed)}, all of them in {LIST}'


def _lay_out(source, folder):
    """Make a package `test` in folder that is the one of source but for upstream's test_asyncio."""
    shutil.rmtree(folder, ignore_errors=True)
    package = folder / 'test'
    package.mkdir(parents=True)
    for path in (source / 'Lib' / 'test').iterdir():
        if path.name not in ('test_asyncio', '__pycache__'):
            (package / path.name).symlink_to(path)
    archive = git_module.Git(source).bytes('archive', 'upstream', _TESTS)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            member.name = member.name.removeprefix('Lib/')
            if member.name.startswith('test/'):
                tar.extract(member, folder)
