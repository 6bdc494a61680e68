"""What the stand-alone stress programs have in common: which implementation of asyncio they run on, and their report.

Import it before asyncio: it is here that the C accelerator is put out of reach.
"""

import argparse
import json
import pathlib
import subprocess
import sys


def parser(description):
    """Return a parser that knows the options that all of them take."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument('--seed', type=int, default=1, help='where the random numbers begin; default: 1')
    result.add_argument('--implementation', choices=('c', 'python', 'both'), default='both',
                        help='that of tasks, futures and scopes; both: one after the other; default: both')
    result.add_argument('--out', metavar='FILE', type=pathlib.Path, help='write the figures to FILE, as JSON')
    return result


def run(arguments, function):
    """Call function(arguments), which returns (figures, the list of failures), on each implementation asked for.

    Writes the figures, {implementation: figures}, and ends the program.
    """
    results = {}
    failed = False
    if arguments.implementation == 'both':
        # Each needs a process of its own.
        for name in 'c', 'python':
            status, results[name] = _run_other(name, arguments.out)
            failed = failed or status != 0
    else:
        figures, failures = function(arguments)
        for failure in failures:
            print(f'FAILED: {failure}', flush=True)
        failed = bool(failures)
        figures['failures'] = len(failures)
        results[arguments.implementation] = figures
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(results, indent=1) + '\n', encoding='utf-8')
    sys.exit(1 if failed else 0)


def _run_other(name, out):
    """Run the program once more, with one implementation; return its exit status and figures."""
    print(f'implementation: {name}', flush=True)
    # (argparse lets the last one of equal options count.)
    command = [sys.executable, *subprocess._args_from_interpreter_flags(), *sys.argv, '--implementation', name]
    status = subprocess.run(command, check=False).returncode
    if status < 0:
        print(f'FAILED: killed by signal {-status}', flush=True)
    if out is None or not out.exists():
        return status, {'status': status}
    figures = json.loads(out.read_text(encoding='utf-8')).get(name, {})
    out.unlink()
    return status, {**figures, 'status': status}


def choose(arguments):
    """Put the C accelerator out of reach if the pure-Python implementation was asked for."""
    if arguments.implementation == 'python':
        assert 'asyncio' not in sys.modules
        sys.modules['_asyncio'] = None
