"""Tests cannot hang: their time limits end their children too, and SIGINT works where it is ignored."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from tools import processes
from tools import ui

ROOT = pathlib.Path(__file__).resolve().parent.parent
TESTS = ROOT / 'tests'


def run_pytest(folder, text, *arguments, **options):
    """Run pytest on the tests in text with the limits that these tests have."""
    (folder / 'test_it.py').write_text(textwrap.dedent(text), encoding='utf-8')
    return subprocess.run(
        [sys.executable, '-m', 'pytest', '-c', TESTS / 'pytest.ini', '--rootdir', folder, '-p', 'time_limits', '-rA',
         *arguments, folder],
        cwd=ROOT, env={**os.environ, 'PYTHONPATH': f'{TESTS}:{ROOT}'}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120, **options)


def outcomes(done):
    """Return {test: outcome} from the summary."""
    return {line.split()[1].rpartition('::')[2]: line.split()[0] for line in done.stdout.splitlines()
            if line.startswith(('PASSED ', 'FAILED ', 'ERROR '))}


def is_running(pid):
    try:
        stat = pathlib.Path(f'/proc/{pid}/stat').read_text(encoding='utf-8')
    except FileNotFoundError:
        return False
    return stat.rpartition(')')[2].split()[0] != 'Z'


def assert_ended(pids):
    for pid in pids:
        deadline = time.monotonic() + 30
        while is_running(pid):
            assert time.monotonic() < deadline, f'process {pid} is left'
            time.sleep(0.01)


def test_each_test_has_a_limit(request):
    limit = request.config.getini('timeout')
    assert limit and 60 <= float(limit) <= 600
    # The limit of CI as a whole is 90 minutes.
    assert all(float(mark.args[0]) <= 3600 for item in request.session.items for mark in item.iter_markers('timeout'))


def test_limit_ends_children_that_are_waited_for(tmp_path):
    """A shell and what it has started, one of them in a session of its own, all of which ignore what can be ignored."""
    done = run_pytest(tmp_path, f'''
        import subprocess, pytest

        @pytest.mark.timeout(3)
        def test_hangs():
            with subprocess.Popen(
                    ["sh", "-c", "trap '' INT TERM HUP; echo $$; setsid sleep 1000 & echo $!; sleep 1000"],
                    stdout=subprocess.PIPE, text=True) as process:
                for _ in range(2):
                    with open({str(tmp_path / 'pids')!r}, 'a') as file:
                        file.write(process.stdout.readline())
                process.communicate()

        def test_next():
            pass
        ''')
    assert outcomes(done) == {'test_hangs': 'FAILED', 'test_next': 'PASSED'}, done.stdout
    assert 'Timeout (>3.0s)' in done.stdout
    pids = [int(line) for line in (tmp_path / 'pids').read_text().split()]
    assert len(pids) == 2
    assert_ended(pids)


def test_limit_spares_what_fixtures_have_started(tmp_path):
    done = run_pytest(tmp_path, '''
        import subprocess, threading, pytest

        @pytest.fixture(scope='module')
        def server():
            process = subprocess.Popen(['sleep', '1000'])
            yield process
            assert process.poll() is None
            process.kill()
            process.wait(60)

        @pytest.mark.timeout(2)
        def test_hangs(server):
            threading.Event().wait()

        def test_next(server):
            assert server.poll() is None
        ''')
    assert outcomes(done) == {'test_hangs': 'FAILED', 'test_next': 'PASSED'}, done.stdout


def test_limit_holds_for_the_fixtures_of_a_test_that_has_failed(tmp_path):
    done = run_pytest(tmp_path, '''
        import threading, pytest

        @pytest.fixture
        def slow():
            yield
            threading.Event().wait()

        @pytest.mark.timeout(2)
        def test_fails(slow):
            assert 0

        def test_next():
            pass
        ''')
    assert outcomes(done)['test_next'] == 'PASSED'
    assert '1 failed, 1 passed, 1 error' in done.stdout


def test_step_of_the_build_that_takes_too_long(tmp_path):
    command = ['sh', '-c', 'sleep 1000 & echo $!; wait']
    with pytest.raises(ui.UserError, match='waiting was killed: it took longer than 1.0 s') as info:
        ui.run_logged('waiting', command, log=tmp_path / 'log', cwd=tmp_path, hint='Try again.', limit=1)
    assert str(info.value).endswith('Try again.')
    assert_ended([int((tmp_path / 'log').read_text().splitlines()[1])])


# SIGINT.

def ignore_sigint():
    """What a shell does to a script's background jobs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def test_test_that_sends_sigint_passes_where_it_is_ignored():
    done = subprocess.run([sys.executable, '-m', 'pytest', '-rA', 'tests/test_build.py::test_interrupt'], cwd=ROOT,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240,
                          preexec_fn=ignore_sigint)
    assert outcomes(done) == {'test_interrupt': 'PASSED'}, done.stdout


def test_tests_can_be_interrupted_where_sigint_is_ignored(patched):
    """Upstream's tests send it to themselves, and wait for it."""
    patched.run('prepare')
    patched.edit('Programs/python.sh', (patched.src / 'Programs/python.sh').read_text(), textwrap.dedent('''\
        #!/bin/sh
        case "$*" in *importlib.import_module*) exit 0;; esac
        kill -INT $$
        echo "Total tests: run=1"
        '''))
    with patched.start('test', 'test_mine', preexec_fn=ignore_sigint) as process:
        _, stderr = process.communicate(timeout=120)
    assert 'failed (exit status -2)' in stderr, stderr


@pytest.mark.parametrize('disposition, status', [(ignore_sigint, 0), (processes.accept_sigint, -signal.SIGINT)])
def test_disposition_is_inherited(disposition, status):
    """What the tests above rest on."""
    assert subprocess.run(['sh', '-c', 'kill -INT $$'], timeout=60, preexec_fn=disposition).returncode == status
