"""The other side of examples/api.py: clients that are answered, wait too long, fail and go away.

    api_client.py PORT CLIENTS

Each client makes some requests, one connection for each, all clients at the same time.  Then whatever the server has in
use has to come back to what it was before, and each connection of its pool must be usable.  At the end some clients get
the first lines of their answers, "busy" is printed, and how many of them got all lines.  Needs no more than a stock
asyncio.
"""
import asyncio
import collections
import contextlib
import json
import random
import sys

POOL = 20  # connections that the server has for its own requests
REQUESTS = 5  # of each client
LINES = 4  # of the answers that are read to their end
LIMIT = 30  # seconds for each step, far above what it takes


@contextlib.asynccontextmanager
async def requested(port, target, method="GET"):
    """Send a request, and go away at the end of the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        yield reader
    finally:
        writer.close()


async def answer(port, target):
    """Return the status and the body."""
    async with requested(port, target) as reader:
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def status_of(port, target):
    status, _ = await answer(port, target)
    return status


async def leave_booking(port):
    """Go away anywhere in a request: before it has begun, in the middle, when its time is over and in the cleanup."""
    async with requested(port, "/booking?seconds=3600", "POST"):
        await asyncio.sleep(random.uniform(0, 1.2))


async def leave_feed(port):
    """Go away in the middle of the answer."""
    async with requested(port, "/feed") as reader:
        await reader.readuntil(b"line 0\n")


# What comes of each kind of request.  Under load each may also come too late for its answer, which is 504.
KINDS = [
    (status_of, "/price?seconds=0.01", 200),
    (status_of, "/price?seconds=3600", 504),
    (status_of, "/offers", 200),
    (status_of, "/offers?failing=1", 502),
    (leave_booking,),
    (leave_feed,),
]


async def make(port, kind, late, outcomes):
    function, *arguments = kind
    *arguments, expected = arguments or [None]
    status = await function(port, *arguments)
    if status != expected and not (late and status == 504):
        sys.exit(f"{function.__name__} {arguments}: {status} instead of {expected}")
    outcomes[status or "went away"] += 1


async def load(port, clients):
    outcomes = collections.Counter()

    async def client(number):
        for request in range(REQUESTS):
            await make(port, KINDS[(number + request) % len(KINDS)], True, outcomes)

    try:
        async with asyncio.timeout(LIMIT):
            for kind in KINDS:
                await make(port, kind, False, outcomes)
            await asyncio.gather(*map(client, range(clients)))
    except TimeoutError:
        sys.exit(f"some requests have no answer after {LIMIT} s; the others: {dict(outcomes)}; in use: {await in_use(port)}")
    return outcomes


async def use_whole_pool(port):
    """Use all connections of the pool at the same time, which leaves none that waits to be used again."""
    async with contextlib.AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(requested(port, "/feed")) for _ in range(POOL)]
        lines = [asyncio.create_task(reader.readuntil(b"line 0\n")) for reader in readers]
        _, without = await asyncio.wait(lines, timeout=LIMIT)
    if without:
        sys.exit(f"{len(without)} of the pool's {POOL} connections have been lost")


async def in_use(port):
    status, body = await answer(port, "/status")
    if status != 200:
        sys.exit(f"/status: {status}")
    return json.loads(body)


async def until_in_use(port, expected):
    """Wait until the server has in use what is expected."""
    try:
        async with asyncio.timeout(LIMIT):
            while not expected.items() <= (found := await in_use(port)).items():
                await asyncio.sleep(0.05)
    except TimeoutError:
        sys.exit(f"in use: {found}, expected: {expected}")


async def read_to_the_end(port, clients):
    """Be in the middle of some answers, and return how many of them come to their end."""
    async with asyncio.timeout(LIMIT), contextlib.AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(requested(port, f"/feed?lines={LINES}")) for _ in range(clients)]
        for reader in readers:
            await reader.readuntil(b"line 0\n")
        print("busy", flush=True)
        rests = [await reader.read() for reader in readers]
    return sum(rest.count(b"line") == LINES - 1 and rest.endswith(b"\r\n0\r\n\r\n") for rest in rests)


async def main(port, clients):
    before = await in_use(port)
    outcomes = await load(port, clients)
    await until_in_use(port, {"requests": 1, "seats": 0})  # the 1 is the one that asks
    await use_whole_pool(port)
    await until_in_use(port, before)
    print(", ".join(f"{number} {outcome}" for outcome, number in outcomes.items()), flush=True)
    print(await read_to_the_end(port, POOL), "answers to the end", flush=True)


random.seed(1)
asyncio.run(main(*map(int, sys.argv[1:])))
