"""Servers with two timeouts and a task group for each request, driven over the loopback interface by a second process.

Each is measured by the time that a request takes: of the clock (1 / throughput), of the server's processor, and what the
client sees, at the median and at the 99th percentile.
"""

import json
import pathlib
import subprocess
import sys

_FOLDER = pathlib.Path(__file__).resolve().parent / 'servers'
# The program, what the driver sends, and how many requests take some seconds.
_SERVERS = {'echo': ('echo.py', 'echo', 32_000), 'aiohttp': ('http_aiohttp.py', 'http', 8_000),
            'starlette': ('http_starlette.py', 'http', 8_000)}
NAMES = list(_SERVERS)
_WARM_UP = 0.1  # of the requests
_PATIENCE = 30  # seconds to start or end


def measure(python, name, run, *, requests=None):
    """Run a server and its driver; return what worker.py prints of a case, and more figures in 'extra'."""
    from benchmarks import suites

    program, kind, usual = _SERVERS[name]
    requests = requests or usual
    with subprocess.Popen([python, _FOLDER / program], env=suites.environment(), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip()
            if not port:
                raise RuntimeError('the server does not start')

            def drive(count):
                return json.loads(run([sys.executable, _FOLDER / 'drive.py', kind, port, str(round(count))]))

            drive(requests * _WARM_UP)
            before = _processor_time(server.pid)
            found = drive(requests)
            used = (_processor_time(server.pid) - before) / requests
            server.stdin.close()
            server.wait(_PATIENCE)
        finally:
            server.kill()
    return {'loops': requests, 'values': [found['seconds']], 'warmups': [], 'unit': 'second', 'version': None,
            'extra': {'processor': used, 'p50': found['p50'], 'p99': found['p99']}}


def _processor_time(pid):
    """Return the seconds that the main thread of a process has run so far."""
    return int(pathlib.Path(f'/proc/{pid}/schedstat').read_text(encoding='ascii').split()[0]) / 1e9
