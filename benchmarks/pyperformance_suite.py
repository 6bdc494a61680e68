"""Benchmarks of pyperformance 1.14 that use asyncio, run by pyperf, one process for each round.

pyperformance itself runs one interpreter after the other.  So its programs are taken from where it is installed, with the
options that their settings name.  They measure processor time, as the cases do (see README.md); of benchmarks that wait, that is
the part that an interpreter can make faster or slower.
"""

import importlib.util
import json
import pathlib
import tempfile

_TREES = [f'async_tree{eager}{kind}{group}' for kind in ('', '_cpu_io_mixed', '_io', '_memoization')
          for eager in ('', '_eager') for group in ('', '_tg')]
GROUPS = [name for name in _TREES if name.endswith('_tg')]
NAMES = ['async_generators', 'coroutines', *_TREES, 'asyncio_tcp', 'asyncio_tcp_ssl', 'asyncio_websockets',
         'tornado_http']
_VALUES = 3
_CLOCK = pathlib.Path(__file__).resolve().parent / 'processor_clock'


def programs():
    """Return {name: (program, options)} of all benchmarks that are installed."""
    import tomllib

    package = pathlib.Path(importlib.util.find_spec('pyperformance').origin).parent
    found = {}
    for settings in sorted((package / 'data-files' / 'benchmarks').glob('bm_*/*.toml')):
        own = tomllib.loads(settings.read_text(encoding='utf-8')).get('tool', {}).get('pyperformance', {})
        folder = settings.parent
        name = own.get('name', folder.name.removeprefix('bm_'))
        found[name] = folder / 'run_benchmark.py', own.get('extra_opts', [])
    return found


def measure(python, name, run):
    """Run a benchmark on an interpreter; return what worker.py prints of a case."""
    program, options = programs()[name]
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, 'out.json')
        run([python, program, '--processes', '1', '--values', str(_VALUES), '--warmups', '1', '--quiet', '--output', out,
             '--inherit-environ', 'PYTHONPATH', *options], PYTHONPATH=str(_CLOCK))
        suite = json.loads(out.read_text(encoding='utf-8'))
    return read(suite)


def read(suite):
    """Return what worker.py prints of a case, from what pyperf has written."""
    benchmark, = suite['benchmarks']
    values = [value for run in benchmark['runs'] for value in run.get('values', ())]
    metadata = {**suite.get('metadata', {}), **benchmark.get('metadata', {}), **benchmark['runs'][-1].get('metadata', {})}
    return {'loops': metadata.get('loops', 1), 'values': values, 'warmups': [], 'unit': 'second',
            'version': '1.14.0'}
