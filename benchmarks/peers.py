"""The peers: what a case can be measured on.  An interpreter, a library, and how to run a coroutine function on it."""

import asyncio
import dataclasses
import importlib.metadata
import types


@dataclasses.dataclass(frozen=True)
class Peer:
    """One of the ways to run a case."""
    name: str
    title: str
    patched: bool = False  # whether it runs on the patched interpreter
    package: str = None  # what is installed for it

    def version(self):
        """Return the version of its package, None if it has none."""
        return self.package and importlib.metadata.version(self.package)

    def library(self):
        """Return what the cases use: a namespace with the names that they have in common."""
        return _LIBRARIES.get(self.name, _asyncio)()

    def run(self, function, *arguments, eager=False):
        """Call a coroutine function in an event loop of this peer; return its result."""
        if self.name == 'trio':
            import trio
            return trio.run(function, *arguments)
        if self.name in ('anyio', 'native'):
            import anyio
            return anyio.run(self._call_in_anyio, function, *arguments)

        async def main():
            if eager:
                asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            return await function(*arguments)

        with asyncio.Runner(loop_factory=self.loop_factory()) as runner:
            return runner.run(main())

    async def _call_in_anyio(self, function, *arguments):
        import anyio
        if isinstance(anyio.CancelScope(), getattr(asyncio, 'CancelScope', ())) != (self.name == 'native'):
            raise RuntimeError('the wrong backend of AnyIO is active')
        return await function(*arguments)

    def loop_factory(self):
        """Return what makes its asyncio event loop, None for the usual one."""
        if self.name in ('uvloop', 'rloop'):
            return importlib.import_module(self.name).new_event_loop
        return None


def _asyncio():
    async def sleep_forever():
        await asyncio.get_running_loop().create_future()

    return types.SimpleNamespace(
        **{name: getattr(asyncio, name) for name in ('CancelScope', 'move_on_after', 'move_on_at')
           if hasattr(asyncio, name)},
        Event=asyncio.Event, sleep=asyncio.sleep, sleep_forever=sleep_forever, Cancelled=asyncio.CancelledError)


def _anyio():
    import anyio
    return types.SimpleNamespace(
        CancelScope=anyio.CancelScope, move_on_after=anyio.move_on_after, fail_after=anyio.fail_after,
        open_group=anyio.create_task_group, Event=anyio.Event, sleep=anyio.sleep, sleep_forever=anyio.sleep_forever,
        now=anyio.current_time, Cancelled=asyncio.CancelledError, all_blocked=anyio.wait_all_tasks_blocked)


def _trio():
    import trio
    import trio.testing
    return types.SimpleNamespace(
        CancelScope=trio.CancelScope, move_on_after=trio.move_on_after, fail_after=trio.fail_after,
        open_group=trio.open_nursery, Event=trio.Event, sleep=trio.sleep, sleep_forever=trio.sleep_forever,
        now=trio.current_time, Cancelled=trio.Cancelled, all_blocked=trio.testing.wait_all_tasks_blocked)


def _quattro():
    import quattro
    return types.SimpleNamespace(**{
        **vars(_asyncio()), 'CancelScope': quattro.CancelScope, 'move_on_after': quattro.move_on_after,
        'move_on_at': quattro.move_on_at, 'fail_after': quattro.fail_after, 'TaskGroup': quattro.TaskGroup})


_LIBRARIES = {'anyio': _anyio, 'native': _anyio, 'trio': _trio, 'quattro': _quattro}
STOCK = Peer('stock', 'stock')
PATCHED = Peer('patched', 'patched', patched=True)
PEERS = {peer.name: peer for peer in (
    STOCK, PATCHED,
    Peer('uvloop', 'uvloop', package='uvloop'),
    Peer('rloop', 'RLoop', package='rloop'),
    Peer('anyio', 'AnyIO', package='anyio'),
    Peer('native', 'AnyIO, native', patched=True, package='anyio'),
    Peer('trio', 'Trio', package='trio'),
    Peer('quattro', 'quattro', package='quattro'),
)}
