"""Print, as JSON, what the page on cancel scopes says of this interpreter in the table that compares it with others."""

import asyncio
import json
import warnings

warnings.simplefilter('ignore')
facts = {}


async def count_interruptions():
    """Wait three times below an expired timeout, and catch what that raises."""
    count = 0
    try:
        async with asyncio.timeout(0):
            for _ in range(3):
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    count += 1
    except TimeoutError:
        pass
    return count


async def find_relative_start():
    """Return when the time limit of a timeout() begins to count."""
    timeout = asyncio.timeout(0.02)
    await asyncio.sleep(0.04)
    try:
        async with timeout:
            await asyncio.sleep(0.001)
    except TimeoutError:
        return 'on creation'
    return 'on entry'


async def get_result_in_time():
    """Wait for a result that is there when Task.cancel() is called."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    task = asyncio.current_task()

    def act():
        future.set_result('kept')
        task.cancel()

    loop.call_soon(act)
    try:
        return await future
    except asyncio.CancelledError:
        task.uncancel()
        return 'lost'


async def get_result_below_timeout():
    """The same with an expired timeout: its timer is due right after that which gives the result."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    try:
        async with asyncio.timeout(0.02) as timeout:
            loop.call_at(timeout.when() - 1e-9, future.set_result, 'kept')
            result = 'lost'
            result = await future
    except TimeoutError:
        pass
    return result


async def cancel_before_start():
    started = []

    async def work():
        started.append(True)
        await asyncio.sleep(0)
        started.append(False)

    task = asyncio.create_task(work())
    task.cancel()
    await asyncio.wait([task])
    return {(): 'does not run', (True,): 'runs to its first await'}[tuple(started)]


async def spawn_in_failed_group():
    async def fail():
        raise OSError

    said = 'accepted'
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                try:
                    group.create_task(asyncio.sleep(0))
                except RuntimeError:
                    said = 'RuntimeError'
    except* OSError:
        pass
    return said


async def cancel_group_from_outside():
    async def host():
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1))

    task = asyncio.create_task(host())
    await asyncio.sleep(0.01)
    task.cancel()
    try:
        await task
    except BaseException as error:
        return type(error).__name__


async def leave_in_another_task(manager):
    if not hasattr(manager, '__aenter__'):
        async def enter():
            return manager.__enter__()

        async def leave():
            return manager.__exit__(None, None, None)
    else:
        enter = manager.__aenter__

        async def leave():
            return await manager.__aexit__(None, None, None)
    await asyncio.create_task(enter())
    try:
        await asyncio.gather(leave())
    except RuntimeError:
        return 'RuntimeError'
    return 'no error'


async def shield_coroutine():
    """Return the task that shield() runs a coroutine in, and what becomes of the wait if it is cancelled."""
    async def work():
        await asyncio.sleep(0.02)
        done.append(asyncio.current_task())

    async def host():
        await asyncio.shield(work())
        done.append('waited')

    done = []
    task = asyncio.create_task(host())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0.03)
    return ['the same task' if done[0] is task else 'another task', 'waited' in done]


async def main():
    facts['interruptions'] = await count_interruptions()
    facts['timeout() starts'] = await find_relative_start()
    facts['result, Task.cancel()'] = await asyncio.create_task(get_result_in_time())
    facts['result, timeout()'] = await get_result_below_timeout()
    facts['before its start'] = await cancel_before_start()
    facts['new task'] = await spawn_in_failed_group()
    facts['cancelled from outside'] = await cancel_group_from_outside()
    facts['timeout() in another task'] = await leave_in_another_task(asyncio.timeout(1))
    facts['TaskGroup in another task'] = await leave_in_another_task(asyncio.TaskGroup())
    facts['shield()'] = await shield_coroutine()
    if hasattr(asyncio, 'CancelScope'):
        facts['CancelScope in another task'] = await leave_in_another_task(asyncio.CancelScope())


asyncio.run(main())
print(json.dumps(facts))
