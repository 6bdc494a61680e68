"""What becomes of background tasks: nothing is lost, neither the task nor its error.

Stock asyncio may collect a task that no object refers to while it runs, and it logs the error of
a task when the garbage collector comes by; the program goes on without it.  Here every task
belongs to a group: that of run(), if to no other.  Its failure is the program's, unless it
was created with errors="log".
"""
import asyncio
import gc


async def forgotten(done: asyncio.Event) -> None:
    # No object refers to this task, nor to what it waits for.
    await asyncio.get_running_loop().run_in_executor(None, gc.collect)
    done.set()


async def fails() -> None:
    raise OSError("the disk is full")


async def main() -> None:
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: print(f"logged: {context['exception']}"))

    done = asyncio.Event()
    asyncio.create_task(forgotten(done))
    await done.wait()
    print("a task without a reference: done all the same")

    asyncio.create_task(fails(), errors="log")
    await asyncio.sleep(0.01)
    print("main goes on")

    asyncio.create_task(fails())
    try:
        await asyncio.sleep(3600)
    finally:
        with asyncio.CancelScope(shield=True):
            await asyncio.sleep(0.01)
            print("main is cancelled, and cleans up")


try:
    asyncio.run(main())
except* OSError as group:
    print(f"run() raised: {group.message}: {group.exceptions[0]}")
