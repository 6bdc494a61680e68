"""An aiohttp server whose request handler stays cancelled once it is cancelled.

One client hangs up in the middle of its request, another one stays until the handler's own
timeout() expires.  In both cases every await of the handler is interrupted, however often it
catches the error, and the cleanup that must be done is done under a shield.  aiohttp comes
from PyPI as it is (requirements.txt); with --uvloop the same runs on uvloop's event loop.
"""
import asyncio
import sys

import aiohttp
from aiohttp import web

EXPECTED = ["query cancelled", "retry cancelled", "second retry cancelled", "rolled back"]


class Handler:
    """Handles one request and keeps a record of what it went through."""

    def __init__(self, limit):
        self.limit = limit
        self.started, self.ended = asyncio.Event(), asyncio.Event()
        self.steps = []

    async def __call__(self, request):
        try:
            async with asyncio.timeout(self.limit):
                self.started.set()
                try:
                    await self.query("query", retries=("retry", "second retry"))
                finally:
                    with asyncio.CancelScope(shield=True):
                        await asyncio.sleep(0.01)
                        self.steps.append("rolled back")
            return web.Response()
        except TimeoutError:
            return web.Response(status=504)
        finally:
            self.ended.set()

    async def query(self, name, retries):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.steps.append(f"{name} cancelled")
            if not retries:
                raise
            # What ties up a server under stock asyncio: no client waits for the answer any more.
            await self.query(retries[0], retries[1:])


async def hang_up(port, handler):
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /hang-up HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await handler.started.wait()
    writer.close()
    await writer.wait_closed()
    return "no client to get one"


async def stay(port, handler):
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/stay") as response:
        return response.status


async def main():
    handlers = {"/hang-up": Handler(limit=None), "/stay": Handler(limit=0.1)}
    app = web.Application()
    for path, handler in handlers.items():
        app.router.add_get(path, handler)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    for client, (path, handler) in zip((hang_up, stay), handlers.items()):
        async with asyncio.timeout(10):
            answer = await client(port, handler)
            await handler.ended.wait()
        print(f"{path}: {', '.join(handler.steps)}; answer: {answer}")
    await runner.cleanup()
    return all(handler.steps == EXPECTED for handler in handlers.values())


if "--uvloop" in sys.argv:
    import uvloop
    ended_as_expected = uvloop.run(main())
else:
    ended_as_expected = asyncio.run(main())
sys.exit(0 if ended_as_expected else f"expected of both: {', '.join(EXPECTED)}")
