"""The other side of examples/server.py: some hundred connections that ask as fast as they are answered.

    server_client.py PORT CONNECTIONS

Prints a line when each connection has had its first answer, and at the end, when the server has closed them all, how many
requests were accepted and how many answered.  Needs no more than a stock asyncio.
"""
import asyncio
import sys


async def ask(port, busy, totals):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0
    try:
        while True:
            writer.write(b"request %d\n" % number)
            if await reader.readline() != b"accepted request %d\n" % number:
                break
            totals["accepted"] += 1
            if await reader.readline() != b"answer REQUEST %d\n" % number:
                break
            totals["answered"] += 1
            if number == 0:
                busy.release()
            number += 1
    except ConnectionError:
        pass  # It was closed with the next request on its way.
    finally:
        writer.close()


async def main(port, connections):
    totals = {"accepted": 0, "answered": 0}
    busy = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(ask(port, busy, totals)) for _ in range(connections)]
    for _ in tasks:
        await busy.acquire()
    print("busy", flush=True)
    await asyncio.gather(*tasks)
    print("accepted {accepted}, answered {answered}".format(**totals), flush=True)


asyncio.run(main(*map(int, sys.argv[1:])))
