"""Servers that tests talk to, from Debian's packages, each started for a project's runs and stopped after them.

They listen on localhost, on their usual ports, since that is where tests look; so two projects that use the same one
take turns.
"""

import contextlib
import dataclasses
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time

from survey.projects import SurveyError


@dataclasses.dataclass(frozen=True)
class Service:
    """How a server is installed and started.  {data} is a folder that is its own."""
    package: str
    port: int
    command: tuple
    program: str  # which is looked for
    user: str = 'root'
    prepare: tuple = ()  # commands, before the start
    environment: dict = dataclasses.field(default_factory=dict)


SERVICES = {
    'postgresql': Service(
        package='postgresql', port=5432, program='postgres', user='postgres',
        prepare=(('initdb', '--auth=trust', '--username=postgres', '--encoding=UTF8', '--pgdata={data}/data'),),
        command=('postgres', '-D', '{data}/data', '-c', 'listen_addresses=localhost', '-c', 'fsync=off',
                 '-c', 'unix_socket_directories={data}', '-c', 'max_connections=200',
                 '-c', 'max_prepared_transactions=10')),
    'redis': Service(package='redis-server', port=6379, program='redis-server',
                     command=('redis-server', '--port', '6379', '--bind', '127.0.0.1', '--save', '', '--dir', '{data}',
                              '--enable-debug-command', 'local')),
    'mosquitto': Service(package='mosquitto', port=1883, program='mosquitto', command=('mosquitto', '-p', '1883')),
    'memcached': Service(package='memcached', port=11211, program='memcached', user='nobody',
                         command=('memcached', '-l', '127.0.0.1', '-p', '11211')),
    'rabbitmq': Service(package='rabbitmq-server', port=5672, program='rabbitmq-server', user='rabbitmq',
                        command=('rabbitmq-server',), environment={
                            'RABBITMQ_NODENAME': 'asyncbis@localhost', 'RABBITMQ_MNESIA_BASE': '{data}/mnesia',
                            'RABBITMQ_LOG_BASE': '{data}/log', 'HOME': '{data}'}),
}

# Says if a package may start what it brings.
_POLICY = pathlib.Path('/usr/sbin/policy-rc.d')

_installing = threading.Lock()
_LOCKS = {name: threading.Lock() for name in SERVICES}
# Debian keeps servers out of the way of ordinary users.
_PLACES = '/usr/sbin:/usr/lib/postgresql/*/bin:/usr/lib/rabbitmq/bin'


# The servers that are running, in all threads.
_alive = set()


@contextlib.contextmanager
def running(names, folder):
    """Context manager: the services of these names are running, with what they store below folder."""
    unknown = [name for name in names if name not in SERVICES]
    if unknown:
        raise SurveyError(f'there is no service {unknown[0]}. There are: {", ".join(SERVICES)}')
    with contextlib.ExitStack() as stack:
        for name in sorted(names):
            stack.enter_context(_LOCKS[name])
            stack.enter_context(_running(name, SERVICES[name], pathlib.Path(folder) / name))
        yield


@contextlib.contextmanager
def _running(name, service, folder):
    if _answers(service.port):
        raise SurveyError(f'something listens on port {service.port} already, where the survey wants to start '
                          f'{service.program}. Stop it.')
    program = _find(service)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if os.geteuid() == 0:
        shutil.chown(folder, service.user)
        # Its user has to get there.
        for parent in folder.parents:
            if parent.stat().st_mode & 0o11 != 0o11 and str(parent) != '/':
                parent.chmod(parent.stat().st_mode | 0o11)
    path = f'{program.parent}:{os.environ["PATH"]}'
    env = {**os.environ, 'PATH': path,
           **{key: value.format(data=folder) for key, value in service.environment.items()}}

    def spell(command):
        words = [word.format(data=folder) for word in command]
        if os.geteuid() == 0 and service.user != 'root':
            group = pwd.getpwnam(service.user).pw_gid  # Its name need not be that of the user.
            words = ['setpriv', '--reuid', service.user, '--regid', str(group), '--init-groups', *words]
        return words

    with open(folder.parent / f'{name}.log', 'wb') as log:
        for command in service.prepare:
            subprocess.run(spell(command), cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                           check=True)
        process = subprocess.Popen(spell(service.command), cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log, start_new_session=True)
    _alive.add(process)
    try:
        deadline = time.monotonic() + 90
        while not _answers(service.port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SurveyError(f'{name} does not start. See {folder.parent / f"{name}.log"}')
            time.sleep(0.1)
        yield
    finally:
        _stop(process)
        _alive.discard(process)


def _stop(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def stop_all():
    """Stops all services, for a survey that is interrupted: the next one needs their ports."""
    for process in list(_alive):
        _stop(process)


def _answers(port):
    with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), 1):
        return True
    return False


def _find(service):
    """Returns where the program is; installs its package if it is nowhere."""
    program = _look(service.program)
    if program is None:
        if os.geteuid() != 0 or not shutil.which('apt-get'):
            raise SurveyError(f'{service.program} is missing. Install it, for instance with: '
                              f'sudo apt-get install {service.package}')
        # (Of two at once, apt-get refuses the second.)
        with _installing:
            _install(service.package)
        program = _look(service.program)
    return program


def _install(package):
    env = {**os.environ, 'DEBIAN_FRONTEND': 'noninteractive',
           # Packages start their servers at once unless that is forbidden.
           'RUNLEVEL': '1'}
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text('#!/bin/sh\nexit 101\n', encoding='utf-8')
        _POLICY.chmod(0o755)
    try:
        for command in ['apt-get', 'update', '-qq'], ['apt-get', 'install', '-yqq', '--no-install-recommends', package]:
            subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    except subprocess.CalledProcessError as error:
        raise SurveyError(f'{package} cannot be installed:\n{error.stderr.decode()[-2000:]}') from None
    finally:
        if ours:
            _POLICY.unlink()


def _look(program):
    for place in _PLACES.split(':'):
        for folder in sorted(pathlib.Path('/').glob(place[1:]), reverse=True):
            if (folder / program).exists():
                return folder / program
    found = shutil.which(program)
    return None if found is None else pathlib.Path(found)
