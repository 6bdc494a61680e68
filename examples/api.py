"""A FastAPI service that calls another service, under clients that go away, time out and fail.

In each of these cases AnyIO cancels something in the middle of a request: the block of
fail_after(), the task group of a response whose client has gone, the siblings of a task that
failed.  What stands under a shield is done all the same, here and in httpx, which has to give each
connection back to its pool.  And an error that `except*` deals with ends one request, no others.

Nothing here knows of asyncbis.  The packages come from PyPI as they are, and the program runs on a
stock interpreter as well.  SIGTERM ends it when all requests in work have been answered.

    ./build.sh venv DIR && DIR/bin/python -m pip install -r examples/requirements.txt
    DIR/bin/python examples/api.py [PORT] [--uvloop]

    curl '127.0.0.1:PORT/price?seconds=0.1'             an answer
    curl '127.0.0.1:PORT/price?seconds=9'               504: it takes too long
    curl -X POST '127.0.0.1:PORT/booking?seconds=9'     the same, or press Ctrl+C before: no seat stays held
    curl '127.0.0.1:PORT/offers?failing=1'              502: one of three requests fails, two are cancelled
    curl 127.0.0.1:PORT/feed                            lines, until you press Ctrl+C
    curl 127.0.0.1:PORT/status                          what is in use: after all this, what it was before
"""
import asyncio
import contextlib
import itertools
import os
import socket
import sys
import time

import anyio
import httpx
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware

LIMIT = 1  # seconds until a client gets an answer
POOL = 20  # connections to the other service

unanswered = 0  # requests
seats: set[object] = set()  # that are held
connections: set[asyncio.StreamWriter] = set()  # that the other service has accepted


class Transport(httpx.AsyncHTTPTransport):
    """Let a request be cancelled only before it asks for a connection, and again once it has one.

    In between, httpcore 1.0.9 can lose the connection, on any interpreter (encode/httpcore#1093).
    """

    async def handle_async_request(self, request):
        async def trace(event, info):  # an extension of httpx
            if event == "http11.send_request_headers.started":
                scope.shield = False

        request.extensions["trace"] = trace
        with anyio.CancelScope(shield=True) as scope:
            return await super().handle_async_request(request)


@contextlib.asynccontextmanager
async def lifespan(app):
    async with await asyncio.start_server(serve_other, "127.0.0.1") as other:
        url = "http://{}:{}".format(*other.sockets[0].getsockname())
        transport = Transport(limits=httpx.Limits(max_connections=POOL, max_keepalive_connections=POOL))
        timeout = httpx.Timeout(None, connect=10)  # The other limits are those of fail_after().
        async with httpx.AsyncClient(base_url=url, transport=transport, timeout=timeout) as client:
            # Requests wait for this semaphore, so that none waits for a connection under the shield.
            yield {"client": client, "free": anyio.Semaphore(POOL)}
    print(f"pool closed, {len(seats)} seats held", flush=True)


class Measure(BaseHTTPMiddleware):
    """Count the requests that have no answer yet, and tell each client how long it waited."""

    async def dispatch(self, request, call_next):
        global unanswered
        unanswered += 1
        start = time.monotonic()
        try:
            response = await call_next(request)
        finally:
            unanswered -= 1
        response.headers["X-Seconds"] = f"{time.monotonic() - start:.3f}"
        return response


app = FastAPI(lifespan=lifespan)
app.add_middleware(Measure)


async def ask(request, path):
    """Ask the other service."""
    async with request.state.free:
        response = await request.state.client.get(path)
    return response.raise_for_status().text


@app.exception_handler(TimeoutError)
async def too_late(request, error):
    return Response(status_code=504)


@app.get("/price")
async def price(request: Request, seconds: float = 0):
    with anyio.fail_after(LIMIT):
        return {"price": await ask(request, f"/answer/{seconds}")}


@contextlib.asynccontextmanager
async def while_connected(request):
    """Cancel the block when the client goes away: uvicorn does not."""

    async def watch():
        while (await request.receive())["type"] != "http.disconnect":
            pass
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        yield
        group.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def seat_held(request):
    seat = object()
    seats.add(seat)
    try:
        yield
    finally:
        # The block may have been cancelled, but the request that gives the seat back must be made.
        with anyio.CancelScope(shield=True):
            await ask(request, "/answer/0.01")
            seats.remove(seat)


@app.post("/booking")
async def booking(request: Request, seconds: float = 0):
    """Pay while a seat is held, as long as the client waits for it and no longer than the limit."""
    with anyio.fail_after(LIMIT):
        async with while_connected(request), seat_held(request):
            return {"receipt": await ask(request, f"/answer/{seconds}")}
    return Response(status_code=499)  # The client has gone.


@app.get("/offers")
async def offers(request: Request, failing: bool = False):
    """Ask for three offers at once.  If one request fails, the task group cancels the other two."""
    found, problems = [], []  # (An except* block can neither return nor raise a plain exception.)

    async def look_for(path):
        found.append(await ask(request, path))

    with anyio.fail_after(LIMIT):
        try:
            async with anyio.create_task_group() as group:
                for path in ["/answer/0.1", "/answer/0.1", "/hang-up" if failing else "/answer/0"]:
                    group.start_soon(look_for, path)
        except* httpx.HTTPError as errors:
            problems = [str(error) for error in errors.exceptions]
    if problems:
        raise HTTPException(502, problems)
    return {"offers": found}


@app.get("/feed")
async def feed(request: Request, lines: int = -1):
    """Pass on lines as they come.  If the client goes away, Starlette cancels this in the middle."""

    async def relay():
        # The generator makes the request itself, so a generator that never starts has nothing to close.
        async with request.state.free, request.state.client.stream("GET", f"/feed/{lines}") as response:
            async for chunk in response.aiter_bytes():
                yield chunk

    return StreamingResponse(relay(), media_type="text/plain")


@app.get("/status")
async def status():
    return {
        "tasks": len(anyio.get_running_tasks()),
        "descriptors": len(os.listdir("/dev/fd")),
        "connections": len(connections),
        "requests": unanswered,
        "seats": len(seats),
    }


# The other service.  It would be another program; to have it here keeps the example in one file.

async def serve_other(reader, writer):
    """Answer the requests of a connection until it is closed, which ends what is in work."""
    connections.add(writer)
    try:
        async with anyio.create_task_group() as group:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    group.start_soon(answer, writer, head.split()[1].decode())
            group.cancel_scope.cancel()
    finally:
        writer.close()
        connections.remove(writer)


async def answer(writer, path):
    match path.split("/")[1:]:
        case ["answer", seconds]:
            await anyio.sleep(float(seconds))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n42")
        case ["feed", lines]:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for number in itertools.count() if lines == "-1" else range(int(lines)):
                line = b"line %d\n" % number
                writer.write(b"%x\r\n%b\r\n" % (len(line), line))
                await anyio.sleep(0.5)
            writer.write(b"0\r\n\r\n")
        case ["hang-up"]:
            writer.close()


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--uvloop"]
    listener = socket.create_server(("127.0.0.1", int(arguments[0]) if arguments else 0), backlog=1024)
    print("port", listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, loop="uvloop" if "--uvloop" in sys.argv else "asyncio", log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])
