"""Two signals: the first one shuts a program down in order, the second one does not wait.

A pool of connections holds sessions, a session holds requests: three task groups, one inside
the other.  Press Ctrl-C, or send SIGTERM: each level is cancelled at once and says goodbye
under a shield, the inner ones first, since a group waits for its tasks.  Then run() raises
KeyboardInterrupt, or Terminated, with which the process ends by SIGTERM.  Press Ctrl-C once more
while the goodbyes take their time (`shutdown.py slow`), and no shield holds any longer.
"""
import asyncio
import sys

GOODBYE = 3600 if sys.argv[1:] == ["slow"] else 0.05  # seconds


async def say_goodbye(who: str) -> None:
    with asyncio.CancelScope(shield=True):
        print(f"{who}: says goodbye", flush=True)
        await asyncio.sleep(GOODBYE)
    print(f"{who}: has said goodbye", flush=True)


async def request(who: str) -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        await say_goodbye(who)


async def session(who: str) -> None:
    try:
        async with asyncio.TaskGroup() as requests:
            requests.create_task(request(f"{who}, request 1"))
            requests.create_task(request(f"{who}, request 2"))
    finally:
        await say_goodbye(who)


async def main() -> None:
    try:
        async with asyncio.TaskGroup() as pool:
            pool.create_task(session("session"))
            await asyncio.sleep(0)
            print("running", flush=True)
    finally:
        await say_goodbye("pool")


asyncio.run(main())
