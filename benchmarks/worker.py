"""Measure one case on one peer, in this process and on this interpreter; print the figures as JSON.

    python worker.py CASE[/SIZE] PEER
    python worker.py --once PEER [CASE[/SIZE] ...]

`suites.py` runs it.  The case is repeated until it has used enough processor time for the clock to be precise; that is
also its warm-up.  Then it is run as often as there is time for.  With --once, cases are only run once, to see that they do
what they claim.
"""

import inspect
import json
import pathlib
import sys
import time

_ENOUGH = 0.05  # seconds of processor time that a run is to use
_RUNS = 4
_LIMIT = 2  # seconds after which no further run begins


def measure(case, size, peer):
    """Return {'loops', 'values', 'warmups', 'unit'}: of one operation, each value; pairs (loops, value) of warm-ups."""
    library = peer.library()

    def once(count):
        used, operations = run(case, size, peer, library, count)
        return used, used / operations

    end = time.monotonic() + _LIMIT
    loops, warmups = 1, []
    while True:
        used, value = once(loops)
        warmups.append((loops, value))
        if not case.repeated or used >= _ENOUGH:
            break
        # At most ten times as often at once: the first runs are slow.
        loops = max(loops + 1, min(loops * 10, round(loops * 1.2 * _ENOUGH / max(used, 1e-9))))
    values = []
    while not values or (len(values) < _RUNS and time.monotonic() < end):
        if not values and time.monotonic() >= end and len(warmups) == 1:
            values.append(warmups.pop()[1])  # So slow that once is enough.
        else:
            values.append(once(loops)[1])
        if case.unit == 'byte':
            break
    return {'loops': loops, 'values': values, 'warmups': warmups, 'unit': case.unit}


def run(case, size, peer, library, count):
    """Run a case in its event loop, if it needs one; return what it returns."""
    function = case.function(peer.name)
    if inspect.iscoroutinefunction(function):
        return peer.run(function, library, count, size, eager=case.eager)
    return function(library, count, size)


def main(*words):
    # In place of this folder, whose modules are those of the package.
    sys.path[0] = str(pathlib.Path(__file__).resolve().parent.parent)
    once = words[0] == '--once'
    name, *names = words[1:] if once else reversed(words)
    if any(word.startswith('pure_') for word in names):
        sys.modules['_asyncio'] = None
    from benchmarks import cases
    from benchmarks import peers

    peer = peers.PEERS[name]
    if once:
        for case, size in cases.selected(names):
            run(case, size, peer, peer.library(), 1)
        return
    (case, size), = cases.selected(names)
    print(json.dumps({**measure(case, size, peer), 'version': peer.version()}))


if __name__ == '__main__':
    main(*sys.argv[1:])
