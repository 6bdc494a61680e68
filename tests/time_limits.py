"""A pytest plugin that makes the time limits of pytest-timeout hold for the children of a test as well.

pytest-timeout raises an error in the test by SIGALRM, once.  That is not enough here: a test that is interrupted while
it waits for a child often waits for it again in the `finally` or the `with` that the error passes, and with a test that
has failed pytest-timeout's limit ends, so that its fixtures can take forever.  So here the processes that the test has
started are killed first, and the error is raised again every GRACE seconds until the test and its fixtures are through.

SIGALRM rather than the method `thread`, which ends the whole process: the other tests still run, fixtures still clean
up (the Docker engine is one of them), and there is a report.
"""

import signal

import pytest
import pytest_timeout

from tools import processes

GRACE = 20  # seconds


class Limit:
    """The limit of the test that runs."""

    def __init__(self):
        self.running = False
        self.spared = set()     # processes that were there before, such as a server that many tests use

    def start(self, item, settings):
        def on_alarm(signum, frame):
            processes.kill(processes.descendants() - self.spared)
            pytest_timeout.timeout_sigalrm(item, settings)

        self.running = True
        signal.signal(signal.SIGALRM, on_alarm)
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, GRACE)

    def stop(self):
        if self.running:
            self.running = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)


_limit = Limit()


def pytest_timeout_set_timer(item, settings):
    """In place of pytest-timeout's own timer."""
    _limit.start(item, settings)
    return True


def pytest_timeout_cancel_timer(item):
    """Not yet: pytest-timeout also asks for this when a test has failed, whose fixtures have yet to end."""
    return True


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    _limit.spared = processes.descendants()
    try:
        return (yield)
    finally:
        _limit.stop()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item):
    # What the fixtures have started is theirs to end.
    _limit.spared = processes.descendants()
    return (yield)
