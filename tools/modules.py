"""Test modules of CPython, run one process each.

What came of them is kept, so that a long run can go on where it was.
"""

import concurrent.futures
import dataclasses
import json
import os
import re
import shutil
import subprocess
import time
import xml.etree.ElementTree

from tools import project as project_module
from tools import ui

_TOTALS = re.compile(r'^Total tests: run=([\d,]+)(?: \(filtered\))?(?: failures=[\d,]+)?(?: skipped=([\d,]+))?',
                     re.MULTILINE)
_LEAK = re.compile(r'^(\S+ leaked \[.*\] .*, sum=-?\d+)$', re.MULTILINE)
# The runner's exit status if no module was run.
_NO_TESTS_RAN = 4


@dataclasses.dataclass
class Outcome:
    """What came of one run of one module."""
    passed: bool
    tests: int
    skipped: int
    failed: list  # the names of the tests that failed; the module's, if it is not known which
    leaks: list  # what -R says of leaks
    seconds: float


def parse(module, output, report, status, seconds):
    """Return the Outcome of a run of CPython's test runner.

    Args:
        module: the name of the test module.
        output: what the runner printed.
        report: the text of its JUnit report, or None.
        status: its exit status.
        seconds: how long it took.
    """
    totals = list(_TOTALS.finditer(output))
    tests, skipped = (int((number or '0').replace(',', '')) for number in totals[-1].groups()) if totals else (0, 0)
    # A module for which a resource is needed that is not enabled is none that fails.
    passed = status == 0 or (status == _NO_TESTS_RAN and 'skipped (resource denied)' in output)
    failed = [] if passed else _failed_tests(report) or [module]
    return Outcome(passed, tests, skipped, failed, _LEAK.findall(output), round(seconds, 1))


def _failed_tests(report):
    try:
        cases = xml.etree.ElementTree.fromstring(report or '').iter('testcase')
    except xml.etree.ElementTree.ParseError:
        return []  # The runner did not come to its end.
    return sorted({case.get('name') for case in cases
                   if case.find('failure') is not None or case.find('error') is not None})


class Modules:
    """The test modules of one variant, and what came of them on the sources as they are."""

    def __init__(self, project, builder, what, fingerprint, *, options=(), timeout=900):
        """
        Args:
            project: the Project.
            builder: the variant's Builder.
            what: a name for this kind of run.
            fingerprint: that of the sources; other sources have other outcomes.
            options: arguments of the runner.
            timeout: the seconds that a module may take.
        """
        self._builder = builder
        self._options = options
        self._timeout = timeout
        self.name = builder.name
        self._folder = project.build / 'verify' / what / f'{builder.name}-{fingerprint[:12]}'

    def listed(self):
        """Return the names of all modules that there are."""
        result = subprocess.run([str(self._builder.build_python), '-m', 'test', '--list-tests'],
                                cwd=self._builder.folder, env=self._environment(), stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, check=False)
        if result.returncode:
            raise ui.UserError(f'{self.name}: the list of the test modules is not to be had:\n{result.stderr.strip()}')
        return result.stdout.split()

    def forget(self):
        """Forget all outcomes."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def outcomes(self, module):
        """Return the Outcomes of module, the oldest first."""
        try:
            text = (self._folder / f'{module}.json').read_text(encoding='utf-8')
        except FileNotFoundError:
            return []
        return [Outcome(**outcome) for outcome in json.loads(text)]

    def log(self, module):
        """The file with the output of the last run of module."""
        return self._folder / f'{module}.log'

    def run(self, module):
        """Run module once more."""
        scratch = self._folder / f'{module}.tmp'
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        report = scratch / 'report.xml'
        # A worker process, even for one module: the runner then lives to tell of a crash.
        command = [str(self._builder.build_python), '-m', 'test', '-j1', '--verbose3', '--timeout', str(self._timeout),
                   '--tempdir', str(scratch), '--junit-xml', str(report), *self._options, module]
        start = time.monotonic()
        with open(self.log(module), 'w', encoding='utf-8') as log:
            status = subprocess.run(command, cwd=scratch, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=subprocess.STDOUT, check=False).returncode
        outcome = parse(module, self.log(module).read_text(encoding='utf-8', errors='replace'),
                        report.read_text(encoding='utf-8', errors='replace') if report.exists() else None,
                        status, time.monotonic() - start)
        shutil.rmtree(scratch, ignore_errors=True)
        outcomes = [*self.outcomes(module), outcome]
        project_module.write_atomically(self._folder / f'{module}.json', json.dumps(
            [dataclasses.asdict(outcome) for outcome in outcomes], indent=1).encode())

    def _environment(self):
        return ui.clean_environment(**self._builder.environment)


def run_all(what, tasks):
    """Run tasks, pairs of Modules and the name of one, as many at a time as there are processors."""
    if not tasks:
        return
    live = ui.LiveLine()
    with ui.timed(f'{what}: {len(tasks)} runs of test modules'):
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as executor:
            futures = {executor.submit(modules.run, module): (modules, module) for modules, module in tasks}
            try:
                for number, future in enumerate(concurrent.futures.as_completed(futures), 1):
                    future.result()
                    modules, module = futures[future]
                    live.show(f'[{number}/{len(tasks)}] {modules.name}: {module}')
                    if not modules.outcomes(module)[-1].passed:
                        live.clear()
                        ui.say(f'  {modules.name}: {module} failed; log: {modules.log(module)}')
            finally:
                executor.shutdown(wait=False, cancel_futures=True)
        live.clear()
