"""Make a failing program small: delta debugging on the statements.

shrink() knows nothing about what fails: it takes a predicate, and keeps to programs for which that is true.
"""

import copy
import time

from .programs import OPS, blocks

# What a value of a statement may be replaced by; the first that will do. Times: see _simpler_times().
_SIMPLER = {
    'shield': [False], 'how': ['scope', 'timeout'], 'then': ['swallow', 'reraise'], 'catch': ['cancelled', 'any'],
    'times': [1], 'error': ['E1', 'Exception'], 'deadline': [None], 'delay': [None], 'after': [None, 0],
    'event': ['e1'],
}
_TIMES = 'd', 'deadline', 'delay', 'after'


def shrink(program, fails, seconds=60):
    """Return a small program for which *fails* is true, as it is for *program*; stop after so many seconds."""
    end = time.monotonic() + seconds
    progress = True
    while progress:
        progress = False
        for step in (_remove, _unwrap, _simplify):
            # Each change is tried where the one before was made, as long as the program gets smaller.
            place = 0
            while time.monotonic() < end:
                smaller = step(copy.deepcopy(program), place)
                if smaller is None:
                    break
                if fails(smaller):
                    program, progress = smaller, True
                else:
                    place += 1
        if time.monotonic() >= end:
            break
    return program


def _all_blocks(block):
    yield block
    for statement in block:
        for _, inner in blocks(statement):
            yield from _all_blocks(inner)


def _all_places(program):
    """Pairs of a block and an index, the outermost first."""
    return [(block, index) for block in _all_blocks(program['main']) for index in range(len(block))]


def _remove(program, place):
    """Leave out some statements of a block that stand one after the other: all, half of them ... one of them."""
    for block in _all_blocks(program['main']):
        length = len(block)
        while length:
            pieces = -(-len(block) // length)
            if place < pieces:
                del block[place * length:(place + 1) * length]
                return program
            place -= pieces
            length //= 2
    return None


def _unwrap(program, place):
    """Put one of its blocks in place of a statement, or all of them."""
    for block, index in _all_places(program):
        inner = [inside for _, inside in blocks(block[index])]
        if len(inner) > 1:
            inner.append(sum(inner, []))
        if place < len(inner):
            block[index:index + 1] = inner[place]
            return program
        place -= len(inner)
    return None


def _simplify(program, place):
    """Replace a value by a simpler one."""
    for block, index in _all_places(program):
        statement = block[index]
        for key, value in statement.items():
            if key in OPS[statement['op']] or key in ('op', 'id'):
                continue
            simpler = _simpler(statement['op'], key, value)
            if place < len(simpler):
                statement[key] = simpler[place]
                return program
            place -= len(simpler)
    return None


def _simpler(op, key, value):
    if key == 'shield' and op == 'shield':
        return []
    values = _SIMPLER.get(key, [])
    if key == 'how':
        values = values[:1] if op == 'shielded' else values[1:]
    if value in values:
        return values[:values.index(value)]
    if key in _TIMES and value:
        values = values + [whole for whole in range(1, 6) if whole < value or value != int(value)]
    return values
