"""Make a failing program small: delta debugging on the statements.

shrink() knows nothing about what fails: it takes a predicate, and keeps to programs for which that is true.  What a
program is, is known by a module: programs, for those that Trio can run, or stock_programs.
"""

import copy
import time

from . import programs


def shrink(program, fails, seconds=60, language=programs):
    """Return a small program for which *fails* is true, as it is for *program*; stop after so many seconds."""
    end = time.monotonic() + seconds
    progress = True
    while progress:
        progress = False
        for step in (_remove, _unwrap, _simplify):
            # Each change is tried where the one before was made, as long as the program gets smaller.
            place = 0
            while time.monotonic() < end:
                smaller = step(copy.deepcopy(program), place, language)
                if smaller is None:
                    break
                if fails(smaller):
                    program, progress = smaller, True
                else:
                    place += 1
        if time.monotonic() >= end:
            break
    return program


def _all_blocks(block, language):
    yield block
    for statement in block:
        for _, inner in language.blocks(statement):
            yield from _all_blocks(inner, language)


def _all_places(program, language):
    """Pairs of a block and an index, the outermost first."""
    return [(block, index) for block in _all_blocks(program['main'], language) for index in range(len(block))]


def _remove(program, place, language):
    """Leave out some statements of a block that stand one after the other: all, half of them ... one of them."""
    for block in _all_blocks(program['main'], language):
        length = len(block)
        while length:
            pieces = -(-len(block) // length)
            if place < pieces:
                del block[place * length:(place + 1) * length]
                return program
            place -= pieces
            length //= 2
    return None


def _unwrap(program, place, language):
    """Put one of its blocks in place of a statement, or all of them."""
    for block, index in _all_places(program, language):
        inner = [inside for _, inside in language.blocks(block[index])]
        if len(inner) > 1:
            inner.append(sum(inner, []))
        if place < len(inner):
            block[index:index + 1] = inner[place]
            return program
        place -= len(inner)
    return None


def _simplify(program, place, language):
    """Replace a value by a simpler one."""
    for block, index in _all_places(program, language):
        statement = block[index]
        for key, value in statement.items():
            if key in language.OPS[statement['op']] or key in ('op', 'id'):
                continue
            simpler = language.simpler(statement['op'], key, value)
            if place < len(simpler):
                statement[key] = simpler[place]
                return program
            place -= len(simpler)
    return None
