"""One run of a project's tests: a pytest process, watched, and started again after each test that hangs or crashes."""

import collections
import contextlib
import dataclasses
import json
import os
import re
import select
import signal
import subprocess
import threading
import time
import xml.etree.ElementTree

from survey import native
from survey.projects import HERE, SUPPORT, SurveyError

PLUGIN = HERE / 'plugin'
# Outcomes that are as they should be.
FINE = frozenset({'passed', 'skipped', 'xfailed', 'xpassed'})
# How often a run is taken up again.  A project whose every test hangs would take a day.
_MOST_RESTARTS = 25
# What a run may take without any event: imports, collection, the end.
_SILENCE = 300
# What is no part of the result: settings of the machine or of a continuous integration that tests look at.
_ENVIRONMENT = {'PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'SSL_CERT_FILE', 'TERM'}


@dataclasses.dataclass
class Outcome:
    """What became of one test."""
    outcome: str  # of pytest, or 'hangs' or 'crash'
    seconds: float = 0
    log: str = ''

    @property
    def fine(self):
        return self.outcome in FINE


@dataclasses.dataclass
class Run:
    """What became of all tests of one run."""
    variant: str  # 'stock', 'patched' or native.VARIANT
    switches: str = ''  # the value of $PYTHONASYNCIOLEGACY
    seconds: float = 0
    outcomes: dict = dataclasses.field(default_factory=dict)  # {test: Outcome}
    problems: list = dataclasses.field(default_factory=list)  # what went wrong outside of tests
    anyio: str | None = None  # whose asyncio backend AnyIO had: 'native', 'stock', or None if the tests did without

    def counts(self):
        return collections.Counter(outcome.outcome for outcome in self.outcomes.values())

    def save(self, path):
        """Writes the run to a JSON file, and beside it to one that is in JUnit's format."""
        path.parent.mkdir(parents=True, exist_ok=True)
        data = {**dataclasses.asdict(self), 'outcomes': {
            test: [outcome.outcome, outcome.seconds, outcome.log] for test, outcome in self.outcomes.items()}}
        path.with_suffix('.xml').write_bytes(self._junit())
        temporary = path.with_suffix('.tmp')
        temporary.write_text(json.dumps(data), encoding='utf-8')
        temporary.rename(path)

    @classmethod
    def load(cls, path):
        data = json.loads(path.read_text(encoding='utf-8'))
        data['outcomes'] = {test: Outcome(*values) for test, values in data['outcomes'].items()}
        return cls(**data)

    def _junit(self):
        suite = xml.etree.ElementTree.Element('testsuite', name=f'{self.variant} {self.switches}'.strip(),
                                              tests=str(len(self.outcomes)), time=f'{self.seconds:.1f}')
        for test, outcome in self.outcomes.items():
            module, _, name = test.partition('::')
            case = xml.etree.ElementTree.SubElement(suite, 'testcase', classname=module, name=name,
                                                    time=f'{outcome.seconds:.3f}')
            tag = {'skipped': 'skipped', 'xfailed': 'skipped', 'error': 'error', 'crash': 'error',
                   'hangs': 'error', 'failed': 'failure'}.get(outcome.outcome)
            if tag:
                element = xml.etree.ElementTree.SubElement(case, tag, type=outcome.outcome)
                # (Control characters cannot be in XML.)
                element.text = re.sub(r'[^\t\n\x20-\ud7ff\ue000-\ufffd]', '?', outcome.log)
        return xml.etree.ElementTree.tostring(suite, encoding='utf-8', xml_declaration=True)


# What stands for the folder of the unpacked sdist in names of tests.
_SOURCE = '{source}'

# Frames that say only that pytest was at work.
_OF_PYTEST = re.compile(r'/(_pytest|pluggy)/|/pytest/__main__\.py|"<frozen runpy>"')

# The processes that are running, in all threads.
_alive = set()


_interrupted = threading.Event()


def stop_all():
    """Ends all runs that are under way, without results."""
    _interrupted.set()
    for process in list(_alive):
        _kill(process, signal.SIGKILL)


class Runner:
    """Runs the tests of one project on one interpreter."""

    def __init__(self, project, python, source, scratch, *, variant, switches='', only=None, tick=lambda done: None):
        self._project = project
        self._python = python
        self._source = source
        self._scratch = scratch
        self._only = None if only is None else sorted(only)
        self._tick = tick
        self._run = Run(variant, switches)
        self._running = None  # the test that is under way
        self._started = 0.0
        self._ended = False
        self._events = scratch / 'events'
        self._offset = 0

    def run(self):
        """Returns the Run."""
        start = time.monotonic()
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._events.write_text('')
        for attempt in range(_MOST_RESTARTS + 1):
            status, output = self._process()
            if _interrupted.is_set():
                raise SurveyError(f'{self._project.name}: interrupted')
            if self._ended and self._running is None:
                break
            if self._running is None and status not in (0, 1):
                self._run.problems.append(f'pytest ended with status {status}:\n{output[-4000:]}')
                break
            if attempt == _MOST_RESTARTS:
                self._run.problems.append(f'given up after {_MOST_RESTARTS} tests that hang or crash')
        self._run.seconds = round(time.monotonic() - start, 1)
        return self._run

    def _command(self):
        return [str(self._python), '-m', 'pytest', '-p', 'asyncbis_survey', '-p', 'no:cacheprovider', '--tb=short',
                '-q', '--color=no', *self._project.arguments]

    def _environment(self):
        places = {'support': str(SUPPORT), 'source': str(self._source)}
        env = {name: value for name, value in os.environ.items() if name in _ENVIRONMENT}
        env.update({name: value.format(**places) for name, value in self._project.environment.items()})
        path = [str(PLUGIN), *filter(None, [env.get('PYTHONPATH')])]
        env.update({
            'PYTHONPATH': os.pathsep.join(path), 'PYTHONHASHSEED': '0', 'PYTHONUNBUFFERED': '1',
            'PATH': f'{self._python.parent}:{os.environ["PATH"]}', 'VIRTUAL_ENV': str(self._python.parent.parent),
            'ASYNCBIS_SURVEY_EVENTS': str(self._events), 'ASYNCBIS_SURVEY_PLAN': str(self._scratch / 'plan')})
        if self._run.switches:
            env['PYTHONASYNCIOLEGACY'] = self._run.switches
        if self._run.variant != native.VARIANT:
            # It is not installed, but environments that tests make can bring it.
            env['ASYNCBIS_ANYIO'] = '0'
        return env

    def ask(self, program):
        """Returns what a program prints that is run as the tests are: with their interpreter, folder and environment.

        Raises:
            SurveyError: it fails.
        """
        try:
            done = subprocess.run([str(self._python), '-c', program], cwd=self._source / self._project.folder,
                                  env=self._environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=_SILENCE, check=False)
        except subprocess.TimeoutExpired:
            raise SurveyError(f'{self._project.name}: no answer for {_SILENCE} s to:\n{program}') from None
        if done.returncode:
            raise SurveyError(f'{self._project.name}: exit status {done.returncode} of:\n{program}\n'
                              f'{done.stderr[-3000:]}')
        return done.stdout

    def _process(self):
        """One pytest process for what has not been run yet; returns its exit status and the end of its output."""
        without = [*self._project.deselect, *self._run.outcomes]
        (self._scratch / 'plan').write_text(
            json.dumps({'only': self._only, 'without': without}).replace(_SOURCE, str(self._source)), encoding='utf-8')
        self._ended = False
        self._running = None
        output = self._scratch / 'output'
        with open(output, 'wb') as file:
            process = subprocess.Popen(self._command(), cwd=self._source / self._project.folder, stdin=subprocess.DEVNULL,
                                       env=self._environment(), stdout=file, stderr=subprocess.STDOUT,
                                       start_new_session=True)
        _alive.add(process)
        self._started = time.monotonic()
        hung = False
        try:
            while process.poll() is None:
                if self._read():
                    self._started = time.monotonic()
                limit = self._project.timeout if self._running else _SILENCE
                if time.monotonic() - self._started > limit:
                    hung = True
                    self._end(process)
                    break
                _wait(process, 0.2)
        finally:
            if process.poll() is None:
                _kill(process, signal.SIGKILL)
                process.wait()
            # What tests have left behind must not disturb the next ones.
            _kill(process, signal.SIGKILL)
            _alive.discard(process)
        self._read()
        text = output.read_text(encoding='utf-8', errors='replace')
        if hung:
            with contextlib.suppress(FileNotFoundError):
                text += _stacks(self._events.with_name('events.stacks').read_text(encoding='utf-8', errors='replace'))
        if self._running is not None:
            outcome = 'hangs' if hung else 'crash'
            what = f'no end after {self._project.timeout} s' if hung else f'exit status {process.returncode}'
            self._run.outcomes[self._running] = Outcome(
                outcome, round(time.monotonic() - self._started, 1), f'{what}\n{text[-8000:]}')
        elif hung:
            self._ended = True
            self._run.problems.append(f'nothing happened for {_SILENCE} s outside of tests:\n{text[-4000:]}')
        return process.returncode, text

    def _end(self, process):
        """Lets a process that has stopped moving say where it is, and ends it."""
        _kill(process, signal.SIGUSR1, group=False)
        _wait(process, 2)
        _kill(process, signal.SIGKILL)
        process.wait()

    def _read(self):
        """Takes note of new events; tells if there were any."""
        with open(self._events, encoding='utf-8') as file:
            file.seek(self._offset)
            lines = file.read()
        whole = lines.rpartition('\n')[0]
        if not whole:
            return False
        self._offset += len(whole.encode()) + 1
        for line in whole.split('\n'):
            # (There are tests whose names have the path of their file in it, which is another one in each run.)
            event = json.loads(line.replace(str(self._source), _SOURCE))
            if 'start' in event:
                self._running = event['start']
            elif 'done' in event:
                self._running = None
                self._run.outcomes[event['done']] = Outcome(event['outcome'], event['seconds'], event['log'])
            elif 'end' in event:
                self._ended = True
                self._run.anyio = event['anyio'] or self._run.anyio
        self._tick(len(self._run.outcomes))
        return True


def _stacks(text):
    """Returns what faulthandler has written, without the frames of pytest, which are most of it."""
    return ''.join(line for line in text.splitlines(keepends=True) if not _OF_PYTEST.search(line))


def _wait(process, seconds):
    """Waits for the end of a process, for a while."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        select.select([descriptor], [], [], seconds)
    finally:
        os.close(descriptor)


def _kill(process, number, *, group=True):
    try:
        if group:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
    except ProcessLookupError:
        pass


def prepare(project, source, python):
    """Runs the lines that a recipe has for its unpacked sdist."""
    env = {**os.environ, 'SUPPORT': str(SUPPORT), 'PATH': f'{python.parent}:{os.environ["PATH"]}'}
    for line in project.prepare:
        done = subprocess.run(['bash', '-ec', line], cwd=source, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SurveyError(f'{project.name}: `{line}` of its recipe failed:\n{done.stdout}{done.stderr}')
