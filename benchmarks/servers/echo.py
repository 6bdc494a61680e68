"""An echo server on asyncio's streams: a line is answered by the same line."""

import asyncio
import sys


async def half(line):
    await asyncio.sleep(0)
    return line


async def answer(line):
    """Return the answer to a line, made by two tasks."""
    middle = len(line) // 2
    async with asyncio.TaskGroup() as group:
        halves = [group.create_task(half(part)) for part in (line[:middle], line[middle:])]
    return b''.join(task.result() for task in halves)


async def serve(reader, writer):
    """Answer the lines of a client."""
    while True:
        async with asyncio.timeout(60):
            line = await reader.readline()
        if not line:
            break
        async with asyncio.timeout(10):
            writer.write(await answer(line))
            await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Until it is told to stop.
    await asyncio.to_thread(sys.stdin.read)


if __name__ == '__main__':
    asyncio.run(main())
