"""What instructions.py counts: WORKLOAD COUNT DEPTH, run by the interpreter that is measured."""

import asyncio
import contextlib
import sys


async def bare_yield(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def future(count):
    loop = asyncio.get_running_loop()
    for _ in range(count):
        waiter = loop.create_future()
        loop.call_soon(waiter.set_result, None)
        await waiter


async def create_task(count):
    async def nothing():
        pass

    for _ in range(count):
        await asyncio.create_task(nothing())


async def group_task(count):
    async def nothing():
        pass

    for _ in range(count // 100):
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(nothing())


async def small_group(count):
    async def nothing():
        pass

    for _ in range(count):
        async with asyncio.TaskGroup() as group:
            group.create_task(nothing())


async def shield(count):
    async def nothing():
        pass

    for _ in range(count):
        await asyncio.shield(nothing())


async def timeout(count):
    for _ in range(count):
        async with asyncio.timeout(60):
            pass


async def main(workload, count, depth):
    with contextlib.ExitStack() as scopes:
        for _ in range(depth):
            scopes.enter_context(asyncio.CancelScope())
        await workload(count)


if __name__ == '__main__':
    asyncio.run(main(globals()[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3])))
