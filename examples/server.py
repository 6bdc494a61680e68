"""A server that answers what it has accepted before it obeys SIGTERM.

A request is a line; the answer is the line in capitals, after some work.  Once a request has
been read it is put under a shield, so the signal that cancels everything stops the server from
accepting more, and interrupts the clients that are silent, but no request in work.  Bytes that
arrived in the same instant as the signal are not lost: a result is never lost to a scope.

    ./build.sh run examples/server.py [PORT]
"""
import asyncio
import sys

accepted = answered = 0


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    global accepted, answered
    try:
        while line := await reader.readline():
            accepted += 1
            with asyncio.CancelScope(shield=True):
                writer.write(b"accepted " + line)
                await asyncio.sleep(0.05)  # the work
                writer.write(b"answer " + line.upper())
                await writer.drain()
            answered += 1
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(handle, "127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 0, backlog=1024)
    print("port", *server.sockets[0].getsockname()[1:], flush=True)
    await server.serve_forever()


try:
    asyncio.run(main())  # returns when the last handler has ended
finally:
    print(f"accepted {accepted}, answered {answered}", flush=True)
