"""How much of the C code of asyncio its tests run, as gcov counts it.

    python3 -m tools.coverage REVISION  measure the project as it was at a revision, with the tests of that revision,
                                        and write tests/results/coverage-REVISION.json

`./build.sh verify coverage` measures the project as it is now, and compares the two.
"""

import datetime
import gzip
import json
import pathlib
import shutil
import subprocess
import sys
import time

from tools import figures
from tools import project as project_module
from tools import ui
from tools import variants

VARIANT = 'coverage'
_OBJECT = 'Modules/_asynciomodule'
# Whose lines count; clinic's are generated.
_FILES = ('Modules/_asynciomodule.c', 'Modules/_asyncio/')


def forget(builder):
    """Forget what was counted so far."""
    (builder.folder / f'{_OBJECT}.gcda').unlink(missing_ok=True)


def measure(builder):
    """Return {file: {'lines': [covered, all], 'branches': [covered, all]}} of the runs of a variant so far.

    Raises:
        UserError: nothing was counted, or gcov fails.
    """
    counted = builder.folder / f'{_OBJECT}.gcda'
    if not counted.exists():
        raise ui.UserError(f'{counted} is missing: has {builder.name} been built with --coverage, and run?')
    scratch = builder.folder / 'gcov'
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        done = subprocess.run(['gcov', '--branch-probabilities', '--json-format', str(counted)], cwd=scratch,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ui.UserError('gcov is missing. It comes with GCC, which the coverage has to be built with.') from None
    reports = list(scratch.glob('*.gcov.json.gz'))
    if done.returncode or len(reports) != 1:
        raise ui.UserError(f'gcov fails: {done.stderr.strip() or done.stdout.strip()}')
    return summarize(json.loads(gzip.decompress(reports[0].read_bytes())), builder.source)


def summarize(report, source):
    """Return what measure() returns, of gcov's report in JSON; source is the folder with the sources."""
    found = {}
    for file in report['files']:
        path = pathlib.Path(report['current_working_directory'], file['file']).resolve()
        if not path.is_relative_to(source.resolve()):
            continue
        name = str(path.relative_to(source.resolve()))
        if not name.startswith(_FILES) or '/clinic/' in name:
            continue
        # A line of a function that is inlined, or a macro's, can be there more than once.
        lines, branches = {}, {}
        for line in file['lines']:
            number = line['line_number']
            lines[number] = lines.get(number, 0) + line['count']
            for index, branch in enumerate(line['branches']):
                key = number, line.get('function_name'), index
                branches[key] = branches.get(key, 0) + branch['count']
        found[name] = {'lines': _count(lines), 'branches': _count(branches)}
    return dict(sorted(found.items()))


def _count(counts):
    return [sum(count > 0 for count in counts.values()), len(counts)]


def total(found, what):
    """Return the part of all lines or branches that was run."""
    covered, everything = (sum(counts[what][index] for counts in found.values()) for index in (0, 1))
    return covered / everything


def main(argv):
    """Run `python -m tools.coverage`; return the exit status."""
    if len(argv) != 1 or argv[0].startswith('-'):
        print(__doc__, file=sys.stderr)
        return 2
    from tools import verify  # It imports this module.
    here = project_module.Project(pathlib.Path(__file__).resolve().parent.parent)
    revision = subprocess.check_output(['git', 'rev-parse', '--short=7', f'{argv[0]}^{{commit}}'], cwd=here.root,
                                       text=True).strip()
    root = here.build / 'verify' / f'coverage-{revision}'
    root.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(['git', 'archive', revision], cwd=here.root, capture_output=True, check=True).stdout
    subprocess.run(['tar', '-x', '-C', str(root)], input=archive, check=True)
    start = time.monotonic()
    there = verify.Verification(project_module.Project(root))
    found, problem = there.coverage(against=None)
    result = {'command': f'python3 -m tools.coverage {revision}', 'date': datetime.date.today().isoformat(),
              'upstream': here.upstream.version, 'sources': there.sources,
              'seconds': round(found.pop('seconds', None) or time.monotonic() - start), 'passed': problem is None, **found}
    figures.write(here, f'coverage-{revision}', result)
    figures.update(here)
    if problem is not None:
        print(problem, file=sys.stderr)
    return 0 if problem is None else 1


if __name__ == '__main__':
    try:
        sys.exit(main(sys.argv[1:]))
    except ui.UserError as error:
        sys.exit(f'error: {error}')
