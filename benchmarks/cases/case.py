"""What a case is."""

import dataclasses
import time

# Processor time, not wall-clock time: the machine has other work, and what these cases do is compute.  See README.md.
clock = time.process_time


class Wrong(AssertionError):
    """A case has not done what it claims."""


def check(condition, what='the case has not done what it claims'):
    """Raise Wrong unless condition holds."""
    if not condition:
        raise Wrong(what)


def repeat(function):
    """Return a function of a case that calls one as often as is asked for; that one does everything once."""
    async def repeated(library, count, size):
        results = [await function(library, 1, size) for _ in range(count)]
        return tuple(map(sum, zip(*results)))

    return repeated


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A case.

    Args:
        name: how it is called on the command line and in the results.
        about: what one operation is.
        ways: {peers, separated by spaces: function}.  A function is called with the library (see peers.py), how often
            to repeat, and the size; it returns (what was used, for how many operations).  It checks that it has done
            what it claims, outside of what it measures.
        sizes: of what it is about, such as the number of scopes.
        unit: 'second' or 'byte', of what is used.
        eager: whether tasks start eagerly.
        pure: whether asyncio's Python implementation is used.
        repeated: whether it can be repeated often enough that the clock is precise; otherwise it does enough at once.
    """
    name: str
    about: str
    ways: dict
    sizes: tuple = (None,)
    unit: str = 'second'
    eager: bool = False
    pure: bool = False
    repeated: bool = True

    @property
    def peers(self):
        """The names of the peers that it can be run on."""
        return [name for names in self.ways for name in names.split()]

    def function(self, peer):
        """Return the function for a peer."""
        return next(function for names, function in self.ways.items() if peer in names.split())

    def key(self, size):
        """Return what it is called in the results, with a size."""
        return self.name if size is None else f'{self.name}/{size}'
