"""A timeout that stock asyncio never keeps, and that level cancellation does.

The session's cleanup catches the CancelledError and says goodbye to its peer.  The peer is
dead, so the goodbye waits forever; and stock asyncio has spent its one CancelledError already.
Under level cancellation the block is still cancelled and the second await raises as well.

The program uses nothing that stock asyncio lacks: run it on both, side by side.

    hangs_on_stock.py [SECONDS]    give up after SECONDS (default 3) and exit with status 1
"""
import asyncio
import os
import sys
import threading
import time


async def session(peer: asyncio.Event) -> None:
    try:
        await peer.wait()
    except asyncio.CancelledError:
        print("cleanup: the timeout's CancelledError is caught, saying goodbye", flush=True)
        await peer.wait()


async def main() -> None:
    dead_peer = asyncio.Event()  # never set
    async with asyncio.timeout(0.1):
        await session(dead_peer)


def give_up(limit: float) -> None:
    # A thread, and no exception: nothing inside the event loop could end this program.
    print(f"hangs: still running after {limit:g} s, the timeout was 0.1 s", flush=True)
    os._exit(1)


limit = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
watchdog = threading.Timer(limit, give_up, [limit])
watchdog.daemon = True
watchdog.start()
start = time.monotonic()
try:
    asyncio.run(main())
except TimeoutError:
    print(f"ends: TimeoutError after {time.monotonic() - start:.1f} s")
