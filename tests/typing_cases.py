"""What type checkers make of asyncio's new names; see test_typing.py.  It is checked, not run.

Both mypy and pyright complain of a `type: ignore` that they do not need.
"""
import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, assert_type


async def number() -> int:
    return 1


def scope_attributes(scope: asyncio.CancelScope, task: asyncio.Task[str]) -> None:
    assert_type(scope.cancel_called, bool)
    assert_type(scope.cancel_message, Any | None)
    assert_type(scope.cancelled_caught, bool)
    assert_type(scope.cancels_tasks, bool)
    assert_type(scope.deadline_expired, bool)
    assert_type(scope.effectively_cancelled, bool)
    assert_type(scope.deadline, float | None)
    assert_type(scope.shield, bool)
    scope.deadline = 3
    scope.deadline = None
    scope.shield = True
    scope.cancel()
    scope.cancel("enough")
    scope.adopt(task)
    scope.cancel_called = True  # type: ignore[misc]
    scope.shield = None  # type: ignore[assignment]
    scope.adopt(number())  # type: ignore[arg-type]


def scope_arguments() -> None:
    asyncio.CancelScope(deadline=3, shield=True)
    asyncio.CancelScope(deadline=None)
    asyncio.CancelScope(3)  # type: ignore[call-arg]
    assert_type(asyncio.move_on_after(1), asyncio.CancelScope)
    assert_type(asyncio.move_on_at(None, shield=True), asyncio.CancelScope)
    assert_type(asyncio.current_effective_deadline(), float)
    assert_type(asyncio.current_scope(), asyncio.CancelScope | None)
    assert_type(asyncio.legacy(), frozenset[str])
    asyncio.move_on_after()  # type: ignore[call-arg]


async def scope_tasks(task: asyncio.Task[str]) -> None:
    assert_type(asyncio.current_scope(task), asyncio.CancelScope | None)
    with asyncio.CancelScope() as scope:
        assert_type(scope, asyncio.CancelScope)
        assert_type(scope.create_task(number(), name="n", errors="propagate"), asyncio.Task[int])
        scope.create_task(number(), errors="ignore")  # type: ignore[arg-type]


async def scope_swallows() -> int:  # type: ignore[return]
    with asyncio.move_on_after(1):
        return await number()


async def scope_goes_on() -> str:
    with asyncio.move_on_after(1):
        while True:
            await number()
    return "the checkers know that this line is reached"


async def timeouts() -> int:
    # These raise TimeoutError, so nothing is said of a missing return.
    async with asyncio.timeout(1, shield=True) as timeout, asyncio.timeout_at(None, shield=False):
        assert_type(timeout, asyncio.Timeout)
        asyncio.Timeout(1, shield=True)
        asyncio.timeout(1, True)  # type: ignore[call-arg]
        return await number()


async def groups() -> int:
    async with asyncio.TaskGroup() as group:
        assert_type(group.cancel_scope, asyncio.CancelScope)
        group.cancel()
        group.cancel("enough")
        assert_type(group.create_task(number(), errors="log", eager_start=True), asyncio.Task[int])
        group.create_task(number(), errors=None)  # type: ignore[arg-type]
        return await number()


class Group(asyncio.TaskGroup):
    """A subclass as one writes it for stock asyncio."""

    async def __aexit__(self, *args: Any) -> None:
        await super().__aexit__(*args)


async def tasks() -> None:
    assert_type(asyncio.create_task(number(), errors="await"), asyncio.Task[int])
    asyncio.create_task(number(), errors="raise")  # type: ignore[arg-type]
    loop = asyncio.new_event_loop()
    loop.create_task(number(), errors="log")  # type: ignore[call-arg]
    own = asyncio.SelectorEventLoop()
    assert_type(own.create_task(number(), errors="log"), asyncio.Task[int])


async def shields(task: asyncio.Task[str], awaitable: Awaitable[bytes]) -> None:
    coroutine: Coroutine[Any, Any, int] = asyncio.shield(number())
    await coroutine
    assert_type(asyncio.shield(task), asyncio.Future[str])
    asyncio.shield(number())  # type: ignore[unused-coroutine]
    assert_type(asyncio.shield(awaitable), Awaitable[bytes])
    assert_type(await asyncio.shield(number()), int)
    assert_type(await asyncio.shield(task), str)
    assert_type(asyncio.create_task(asyncio.shield(number())), asyncio.Task[int])
    assert_type(await asyncio.gather(asyncio.shield(number()), asyncio.shield(task)), tuple[int, str])
    assert_type(await asyncio.wait_for(asyncio.shield(task), 1), str)
    asyncio.shield(number()).add_done_callback(print)  # type: ignore[attr-defined]
    asyncio.shield(1)  # type: ignore[call-overload]


def main() -> None:
    try:
        assert_type(asyncio.run(number()), int)
    except asyncio.Terminated as exc:
        interrupt: KeyboardInterrupt = exc
        raise interrupt


def call_graph(graph: asyncio.FutureCallGraph) -> None:
    assert_type(graph.cancel_scopes, tuple[asyncio.CancelScopeGraphEntry, ...])
    for entry in graph.cancel_scopes:
        assert_type(entry.scope, asyncio.CancelScope)
        assert_type(entry.kind, str)
        assert_type(entry.host, asyncio.Task[Any] | None)
        assert_type(entry.origin, str | None)
