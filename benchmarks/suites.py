"""The suites: what is measured by turns.  The cases, benchmarks of pyperformance, and servers.

A suite is a list of Items.  Its figures are in results/VARIANT for the cases, and in results/VARIANT-NAME for the others.
"""

import dataclasses
import json
import os
import pathlib
import subprocess

from benchmarks import cases
from benchmarks import peers
from benchmarks import pyperformance_suite
from benchmarks import server_suite

WORKER = pathlib.Path(__file__).resolve().parent / 'worker.py'
LIMIT = 600  # seconds that a process may take


@dataclasses.dataclass(frozen=True)
class Item:
    """Something that is measured.

    Args:
        key: its name in the results.
        peers: the names of what it is measured on.
        work: called with an interpreter and the name of a peer, measures it in a process of its own; returns what
            worker.py prints.
    """
    key: str
    peers: tuple
    work: object


def environment(**changes):
    """Return the environment of what is measured: the user's, without what would steer it, and with changes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(('PYTHON', 'ASYNCBIS_'))}
    return {**kept, **changes}


def _cases(words):
    items = []
    for case, size in cases.selected(words):
        names = tuple(name for name in peers.PEERS if name in case.peers)
        items.append(Item(case.key(size), names, lambda python, peer, key=case.key(size): _run_case(python, key, peer)))
    return items


def _run_case(python, key, peer):
    return json.loads(run([python, WORKER, key, peer]))


def run(command, **changes):
    """Run a program, with changes to its environment; return what it prints.

    Raises:
        RuntimeError: it failed; the last line that it has printed says why.
    """
    try:
        done = subprocess.run(command, env=environment(**changes), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f'it took longer than {LIMIT} seconds') from None
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f'exit status {done.returncode}'])[-1])
    return done.stdout


def _both(module, words):
    """Return the Items of a suite that is measured on both interpreters alone."""
    names = list(module.NAMES)
    for word in words:
        if word not in names:
            raise LookupError(f'there is no {word}. There are: {", ".join(names)}')
    return [Item(name, ('stock', 'patched'), lambda python, peer, name=name: module.measure(python, name, run))
            for name in words or names]


def select(suite, words):
    """Return the Items of a suite that words name, all if there are none.

    Raises:
        LookupError: a word names nothing.
    """
    return SUITES[suite](words)


SUITES = {'cases': _cases, 'pyperformance': lambda words: _both(pyperformance_suite, words),
          'server': lambda words: _both(server_suite, words)}
