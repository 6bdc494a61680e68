"""Run a program of the PEP on an event loop whose clock jumps to the next timer.

    python pep_program.py PROGRAM

A program that waits for what can no longer happen ends with exit status HANGS, at once, so that no test has to wait to
find out that it hangs.  (What a thread is about to do counts as what cannot happen.)
"""

import asyncio
import os
import runpy
import selectors
import sys

HANGS = 99


class Selector(selectors.DefaultSelector):
    """A selector that does not wait: it moves the clock of its loop on by as much."""

    time = 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and timeout is None:
            # No callback is ready, no timer is set, and no file is ready.
            print('hangs', flush=True)
            os._exit(HANGS)
        if not ready:
            self.time += max(timeout, 0)
        return ready


class Loop(asyncio.SelectorEventLoop):
    """An event loop with virtual time."""

    def __init__(self):
        self._virtual = Selector()
        super().__init__(self._virtual)

    def time(self):
        """Return the virtual time, in seconds."""
        return self._virtual.time


if __name__ == '__main__':
    asyncio.events.new_event_loop = Loop
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name='__main__')
