"""A pytest plugin: writes down what becomes of each test, at once, so that a run that hangs or crashes is not lost.

Every line of $ASYNCBIS_SURVEY_EVENTS is a JSON object: {"start": ID}, {"done": ID, "outcome": ..., "seconds": ...,
"log": ...}, {"collected": [ID, ...]} or {"end": exit status, "anyio": whose asyncio backend AnyIO has}.

$ASYNCBIS_SURVEY_PLAN names a JSON file {"only": [ID, ...] or null, "without": [ID, ...]}: which of the collected tests
to run.

It runs in the project's environment, on the interpreter that is surveyed: standard library and pytest only.
"""

import faulthandler
import json
import os
import re
import signal
import sys

import pytest

# Enough to see what happened, at the end of the text.
_LOG_LIMIT = 12_000
# Parameters that are objects show where they lie (mocks do so in decimal), or the time of day.
_FLEETING = re.compile(r"\b0x[0-9a-fA-F]{6,}|(?<=\bid=')\d{6,}(?=')|(?<=\bdatetime\()(\d+, ){6}\d+")


def _identify(nodeid):
    return _FLEETING.sub(lambda match: '0x' if match[0].startswith('0x') else '...', nodeid)


def _find_anyio_backend():
    """Return 'native' or 'stock', None if AnyIO's asyncio backend has not been imported."""
    # (Tests can depend on what is imported, so nothing is.)
    scope = getattr(sys.modules.get('anyio._backends._asyncio'), 'CancelScope', None)
    if not isinstance(scope, type):
        return None
    native = getattr(sys.modules.get('asyncio'), 'CancelScope', None)
    return 'native' if native is not None and issubclass(scope, native) else 'stock'


class Recorder:
    """Writes the events of one pytest process."""

    def __init__(self, path, plan):
        self._file = open(path, 'a', encoding='utf-8', buffering=1)
        self._plan = plan
        self._outcomes = {}
        self._pid = os.getpid()

    def write(self, **event):
        # A test that forks can come here in the child.
        if os.getpid() == self._pid:
            self._file.write(json.dumps(event) + '\n')

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config, items):
        only, without = self._plan['only'], set(self._plan['without'])
        keep, drop, seen = [], [], {}
        for item in items:
            identity = _identify(item.nodeid)
            # Two tests can have one name, such as when their parameters differ by address only.
            number = seen[identity] = seen.get(identity, 0) + 1
            if number > 1:
                identity += f'#{number}'
            item.asyncbis_identity = identity
            wanted = identity not in without and (only is None or identity in only)
            (keep if wanted else drop).append(item)
        if drop:
            config.hook.pytest_deselected(items=drop)
        items[:] = keep
        self.write(collected=[item.asyncbis_identity for item in keep])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        identity = item.asyncbis_identity
        self.write(start=identity)
        self._outcomes[item.nodeid] = ['passed', 0.0, '']
        try:
            return (yield)
        finally:
            outcome, seconds, log = self._outcomes.pop(item.nodeid)
            self.write(done=identity, outcome=outcome, seconds=round(seconds, 3), log=log[-_LOG_LIMIT:])

    def pytest_runtest_logreport(self, report):
        found = self._outcomes.get(report.nodeid)
        if found is None:
            return
        found[1] += report.duration
        if report.failed:
            found[0] = 'failed' if report.when == 'call' else 'error'
        elif report.skipped and found[0] == 'passed':
            found[0] = 'xfailed' if hasattr(report, 'wasxfail') else 'skipped'
        elif report.passed and report.when == 'call' and hasattr(report, 'wasxfail'):
            found[0] = 'xpassed'
        if report.failed:
            found[2] += f'----- {report.when} -----\n{report.longreprtext}\n'
            for title, text in report.sections:
                found[2] += f'----- {title} -----\n{text[-3000:]}\n'

    def pytest_collectreport(self, report):
        if report.failed:
            identity = f'{_identify(report.nodeid)} (collection)'
            self.write(start=identity)
            self.write(done=identity, outcome='error', seconds=0, log=report.longreprtext[-_LOG_LIMIT:])

    def pytest_sessionfinish(self, session, exitstatus):
        self.write(end=int(exitstatus), anyio=_find_anyio_backend())


def pytest_configure(config):
    path = os.environ.get('ASYNCBIS_SURVEY_EVENTS')
    # Not in the pytest processes that tests of pytest plugins start.
    if path is None or os.environ.get('ASYNCBIS_SURVEY_PID', str(os.getpid())) != str(os.getpid()):
        return
    os.environ['ASYNCBIS_SURVEY_PID'] = str(os.getpid())
    with open(os.environ['ASYNCBIS_SURVEY_PLAN'], encoding='utf-8') as file:
        plan = json.load(file)
    if plan['only'] is not None:
        plan['only'] = set(plan['only'])
    # What the survey sends to a run that has stopped moving.  (Standard error is captured while a test runs.)
    faulthandler.register(signal.SIGUSR1, file=open(f'{path}.stacks', 'w', encoding='utf-8'), all_threads=True)
    config.pluginmanager.register(Recorder(path, plan), 'asyncbis-survey-recorder')
