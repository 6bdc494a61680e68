# switches: edge-scopes
"""A deadline and another timer are due at the very same moment: which comes first?

Stock makes a timer for each timeout(), and of two timers for the same moment the older one comes first.  Here the deadlines of a loop share
one timer, which is set anew when it is due, so that it may be younger than the other.  It takes a loop with virtual time to notice.
"""

import asyncio


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    now = 0.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0].when())
        super()._run_once()


async def main():
    for seconds in 1, 2, 3, 4:
        await asyncio.wait_for(asyncio.sleep(seconds), 5)
    try:
        await asyncio.wait_for(asyncio.sleep(5), 5)
    except TimeoutError:
        return 'timed out'


assert asyncio.run(main(), loop_factory=VirtualTimeLoop) == 'timed out'
