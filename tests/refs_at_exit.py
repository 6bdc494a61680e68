"""Uses asyncio in all ways that hold references; run with `-X showrefcount`, nothing may be left at exit.

It is no test for pytest: ./build.sh test runs it on the debug build.
"""

import asyncio
import contextlib


async def work(value, delay=0.0):
    await asyncio.sleep(delay)
    return value


async def fail():
    await asyncio.sleep(0)
    raise ValueError('as intended')


async def tasks():
    assert await asyncio.gather(*(work(i) for i in range(10))) == list(range(10))
    task = asyncio.create_task(work(0, 60))
    await asyncio.sleep(0)
    task.cancel('a message')
    with contextlib.suppress(asyncio.CancelledError):
        await task
    never_started = asyncio.create_task(work(1))
    never_started.cancel()
    await asyncio.wait([never_started])
    assert await asyncio.shield(work(2)) == 2
    assert await asyncio.wait_for(work(3), 60) == 3


async def groups():
    async with asyncio.TaskGroup() as group:
        members = [group.create_task(work(i)) for i in range(10)]
    assert [member.result() for member in members] == list(range(10))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(work(0, 60))
    except* ValueError as errors:
        assert len(errors.exceptions) == 1


async def timeouts():
    for delay in (0, 0.001, 60, None):
        try:
            async with asyncio.timeout(delay) as scope:
                await asyncio.sleep(0.01)
        except TimeoutError:
            assert scope.expired()
    async with asyncio.timeout(60) as scope:
        scope.reschedule(None)
        async with asyncio.timeout(30):
            await asyncio.sleep(0)


async def scopes():
    for _ in range(3):
        with asyncio.CancelScope() as outer:
            with asyncio.CancelScope(deadline=asyncio.get_running_loop().time() + 60, shield=True) as inner:
                inner.cancel('inner')
                await asyncio.sleep(60)
            outer.cancel('outer')
            try:
                await asyncio.sleep(60)
            finally:
                with asyncio.move_on_after(60, shield=True):
                    await asyncio.sleep(0)
        assert outer.cancelled_caught
    with asyncio.move_on_after(0.001):
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(work(0, 60))
    asyncio.CancelScope().cancel()


async def main():
    await tasks()
    await groups()
    await timeouts()
    # Stock has none: the program runs there too, to show what is asyncio's own doing.
    if hasattr(asyncio, 'CancelScope'):
        await scopes()


asyncio.run(main())
with asyncio.Runner() as runner:
    runner.get_loop().set_task_factory(asyncio.eager_task_factory)
    runner.run(main())
