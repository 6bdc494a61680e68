import asyncio
import signal

async def main():
    loop = asyncio.get_running_loop()
    loop.call_later(0.1, signal.raise_signal, signal.SIGTERM)
    try:
        await asyncio.Event().wait()    # serve
    finally:
        print("connections closed")

asyncio.run(main())
