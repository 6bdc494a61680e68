"""An HTTP server on aiohttp."""

import asyncio
import sys

from aiohttp import web

import echo


async def handle(request):
    async with asyncio.timeout(60):
        body = await request.read()
        async with asyncio.timeout(10):
            return web.Response(body=await echo.answer(body or b'nothing'))


async def main():
    application = web.Application()
    application.router.add_get('/', handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, '127.0.0.1', 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == '__main__':
    asyncio.run(main())
