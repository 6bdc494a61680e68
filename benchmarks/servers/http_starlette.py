"""An HTTP server on uvicorn, Starlette and AnyIO."""

import asyncio
import sys

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route


async def half(part, parts):
    await anyio.sleep(0)
    parts.append(part)


async def handle(request):
    with anyio.fail_after(60):
        body = await request.body() or b'nothing'
        with anyio.fail_after(10):
            middle, parts = len(body) // 2, []
            async with anyio.create_task_group() as group:
                group.start_soon(half, body[:middle], parts)
                group.start_soon(half, body[middle:], parts)
            return Response(b''.join(parts))


async def main():
    # On asyncio's own event loop, whatever else is installed.
    config = uvicorn.Config(Starlette(routes=[Route('/', handle)]), host='127.0.0.1', port=0, loop='none',
                            log_level='warning', access_log=False, lifespan='off')
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == '__main__':
    asyncio.run(main())
