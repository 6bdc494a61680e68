"""The survey's services: how they are installed, started and stopped."""

import os
import socket
import subprocess
import threading

import pytest

from survey import services
from survey.projects import SurveyError


@pytest.fixture
def server(monkeypatch):
    """The port of a service `web` that can be started."""
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setitem(services.SERVICES, 'web', services.Service(
        package='web', port=port, program='python3', prepare=(('mkdir', '{data}/pages'),),
        command=('python3', '-m', 'http.server', '--bind', '127.0.0.1', '--directory', '{data}/pages', str(port))))
    monkeypatch.setitem(services._LOCKS, 'web', threading.Lock())
    return port


def listens(port):
    try:
        socket.create_connection(('127.0.0.1', port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_service_runs_as_long_as_it_is_wanted(server, tmp_path):
    with services.running(['web'], tmp_path):
        assert listens(server)
        assert (tmp_path / 'web' / 'pages').is_dir()
    assert not listens(server)


def test_service_stops_if_the_tests_fail(server, tmp_path):
    with pytest.raises(ZeroDivisionError), services.running(['web'], tmp_path):
        1 / 0
    assert not listens(server)


def test_service_stops_when_the_survey_is_interrupted(server, tmp_path):
    with services.running(['web'], tmp_path):
        services.stop_all()
        assert not listens(server)


def test_port_that_is_taken(server, tmp_path):
    with socket.create_server(('127.0.0.1', server)):
        with pytest.raises(SurveyError, match=f'something listens on port {server} already'):
            with services.running(['web'], tmp_path):
                pass


def test_unknown_service():
    with pytest.raises(SurveyError, match='no service nonsense. There are: postgresql, '):
        with services.running(['nonsense'], None):
            pass


@pytest.fixture
def apt(monkeypatch, tmp_path):
    """Stand for apt-get on a machine of root: what it was called with, and how it ends."""
    class Apt:
        def __init__(self):
            self.calls = []
            self.fails = False

        def run(self, command, **options):
            # Of two at once, the real one refuses the second.
            assert services._installing.locked()
            assert services._POLICY.stat().st_mode & 0o111 == 0o111
            self.calls.append(command[1:])
            if self.fails:
                raise subprocess.CalledProcessError(100, command, stderr=b'E: Unable to locate package')

    stand_in = Apt()
    monkeypatch.setattr(services, '_POLICY', tmp_path / 'policy-rc.d')
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    monkeypatch.setattr(services.shutil, 'which', {'apt-get': '/usr/bin/apt-get'}.get)
    monkeypatch.setattr(services.subprocess, 'run', stand_in.run)
    return stand_in


ABSENT = services.Service(package='some-server', port=1, program='no-such-program', command=())


def test_missing_program_is_installed(apt):
    services._find(ABSENT)
    assert apt.calls == [['update', '-qq'], ['install', '-yqq', '--no-install-recommends', 'some-server']]
    assert not services._POLICY.exists() and not services._installing.locked()


def test_missing_program_that_cannot_be_installed(apt):
    apt.fails = True
    with pytest.raises(SurveyError, match='(?s)some-server cannot be installed:.*Unable to locate'):
        services._find(ABSENT)
    assert not services._POLICY.exists() and not services._installing.locked()


def test_policy_of_the_machine_is_left_alone(apt):
    services._POLICY.write_text('#!/bin/sh\nexit 0\n')
    services._POLICY.chmod(0o755)
    services._find(ABSENT)
    assert services._POLICY.read_text() == '#!/bin/sh\nexit 0\n'


def test_missing_program_for_a_user(monkeypatch):
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    with pytest.raises(SurveyError, match='sudo apt-get install some-server'):
        services._find(ABSENT)
