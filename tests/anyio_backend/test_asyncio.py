"""What the native backend is on asyncio: AnyIO's scopes, and asyncio's own around and inside them."""

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import textwrap
import threading

import anyio
import pytest
from anyio.lowlevel import checkpoint
from conftest import ASYNCIO

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize('anyio_backend', ASYNCIO)]


async def test_a_scope_is_one_of_asyncio():
    with anyio.CancelScope(deadline=anyio.current_time() + 5) as scope:
        assert isinstance(scope, asyncio.CancelScope) and isinstance(scope, anyio.CancelScope)
        assert asyncio.current_scope() is scope
        assert asyncio.current_effective_deadline() == scope.deadline


@pytest.mark.parametrize('block', [
    lambda: asyncio.timeout(0.01),
    lambda: asyncio.move_on_after(0.01),
    lambda: asyncio.TaskGroup(),
], ids=['timeout', 'move_on_after', 'TaskGroup'])
async def test_shield_holds_against_asyncio(block):
    async def run():
        manager = block()
        if isinstance(manager, asyncio.TaskGroup):
            async with manager as group:
                group.create_task(asyncio.sleep(0)).add_done_callback(lambda _: group.cancel())
                await shielded()
        elif isinstance(manager, asyncio.CancelScope):
            with manager:
                await shielded()
        else:
            async with manager:
                await shielded()

    async def shielded():
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.03)
            log.append('not interrupted')
        await checkpoint()
        pytest.fail('the cancellation was lost')

    log = []
    with contextlib.suppress(TimeoutError):
        await run()
    assert log == ['not interrupted']


async def test_shield_holds_against_wait_for():
    async def shielded():
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.03)
            log.append('not interrupted')
        await checkpoint()

    log = []
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(shielded(), 0.01)
    assert log == ['not interrupted']


async def test_asyncio_timeout_below_a_cancelled_scope():
    with anyio.CancelScope() as scope:
        async with asyncio.timeout(5):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_native_cancel_reaches_the_tasks_of_a_group():
    async def host():
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(child)

    async def child():
        try:
            await anyio.sleep_forever()
        finally:
            log.append('cancelled')

    log = []
    task = asyncio.create_task(host())
    await anyio.wait_all_tasks_blocked()
    task.cancel('why')
    with pytest.raises(asyncio.CancelledError, match='why'):
        await task
    assert log == 3 * ['cancelled']


async def test_cancelled_error_that_the_body_of_a_group_gets_from_elsewhere():
    future = asyncio.get_running_loop().create_future()
    future.cancel('elsewhere')
    with pytest.raises(asyncio.CancelledError, match='elsewhere'):
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            await future
    await checkpoint()


async def test_native_cancel_loses_no_lock():
    lock = anyio.Lock()
    task = asyncio.create_task(lock.acquire())
    if not lock.locked():
        await asyncio.sleep(0)
    assert lock.locked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not lock.locked()


async def test_error_of_a_task_is_no_failure_in_the_background():
    async def fail():
        raise ValueError

    with pytest.raises(ExceptionGroup):
        async with anyio.create_task_group() as group:
            group.start_soon(fail)
    await checkpoint()  # Nothing has been cancelled.


async def test_task_that_is_never_run():
    # As after a factory that has failed.
    def fail(loop, coro, **kwargs):
        raise ValueError('no task')

    async def child():
        pytest.fail('it has run')

    loop = asyncio.get_running_loop()
    factory = loop.get_task_factory()
    async with anyio.create_task_group() as group:
        loop.set_task_factory(fail)
        try:
            with pytest.raises(ValueError, match='no task'):
                group.start_soon(child)
        finally:
            loop.set_task_factory(factory)
    assert not group.cancel_scope.cancel_called


async def test_wrong_exit_changes_nothing():
    outer, inner = anyio.CancelScope(), anyio.CancelScope()
    with outer:
        with inner:
            with pytest.raises(RuntimeError, match='order'):
                outer.__exit__(None, None, None)
            outer.cancel()
            with pytest.raises(asyncio.CancelledError):
                await checkpoint()
    await checkpoint()


async def test_shield_is_a_bool():
    with pytest.raises(TypeError):
        anyio.CancelScope(shield=1)


async def test_deadline_says_so():
    with anyio.move_on_after(0):
        with pytest.raises(asyncio.CancelledError, match='deadline'):
            await checkpoint()


@pytest.mark.parametrize('fail', [False, True])
async def test_runner_lets_no_test_cancel_the_next(fail, anyio_backend):
    # Both are run in the task of one runner, since the fixture lives that long.
    program = textwrap.dedent(f"""
        import asyncio, pytest
        pytestmark = pytest.mark.anyio

        @pytest.fixture(scope='module')
        def anyio_backend():
            return 'asyncio'

        @pytest.fixture(scope='module')
        async def fixture(anyio_backend):
            yield

        async def test_first(fixture):
            asyncio.current_task().cancel()
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                if {fail}:
                    raise ValueError from None

        async def test_second(fixture):
            await asyncio.sleep(0)
    """)
    result = await run_python('-m', 'pytest', '-p', 'no:cacheprovider', '-q', '-c', os.devnull, '--rootdir=.',
                              'test_it.py', test_it=program)
    assert ('1 failed, 1 passed' if fail else '2 passed') in result.stdout, result.stdout


async def test_runner_blames_the_test_whose_task_in_the_background_fails(anyio_backend):
    program = textwrap.dedent("""
        import asyncio, pytest
        pytestmark = pytest.mark.anyio

        @pytest.fixture(scope='module')
        def anyio_backend():
            return 'asyncio'

        @pytest.fixture(scope='module')
        async def fixture(anyio_backend):
            yield

        async def fail():
            raise ValueError('in the background')

        async def test_first(fixture):
            task = asyncio.create_task(fail())
            await asyncio.sleep(5)

        async def test_second(fixture):
            await asyncio.sleep(0)
    """)
    result = await run_python('-m', 'pytest', '-p', 'no:cacheprovider', '-q', '-c', os.devnull, '--rootdir=.',
                              'test_it.py', test_it=program)
    assert '1 failed, 1 passed' in result.stdout, result.stdout
    assert "FAILED test_it.py::test_first - ValueError('in the background')" in result.stdout, result.stdout


#
# How it gets in
#


async def run_python(*arguments, environment=None, **modules):
    async with anyio.TemporaryDirectory() as folder:
        for name, text in modules.items():
            await (anyio.Path(folder) / f'{name}.py').write_text(text)
        return await anyio.to_thread.run_sync(lambda: subprocess.run(
            [sys.executable, *arguments], cwd=folder, env={**os.environ, **(environment or {})}, capture_output=True,
            text=True, timeout=60))


WHICH = 'import anyio._backends._asyncio as a, asyncio; print(issubclass(a.CancelScope, asyncio.CancelScope))'


async def test_it_is_there():
    result = await run_python('-W', 'error', '-c', WHICH)
    assert (result.stdout, result.stderr) == ('True\n', '')


async def test_switch():
    result = await run_python('-W', 'error', '-c', WHICH, environment={'ASYNCBIS_ANYIO': '0'})
    assert (result.stdout, result.stderr) == ('False\n', '')


async def test_costs_nothing_before():
    result = await run_python('-c', 'import sys; print(*sorted(n for n in sys.modules if "any" in n or "async" in n))')
    assert set(result.stdout.split()) <= {'asyncbis_anyio', '_asyncio_legacy'}


async def test_other_version():
    program = f'import asyncbis_anyio; asyncbis_anyio.TESTED_VERSIONS = ("1.2.3",); {WHICH}; import anyio._backends'
    result = await run_python('-c', program)
    assert result.stdout == 'False\n'
    assert result.stderr.count('RuntimeWarning') == 1
    assert 'only with 1.2.3' in result.stderr and 'ASYNCBIS_ANYIO=0' in result.stderr


async def test_interpreter_without_scopes():
    result = await run_python('-W', 'error', '-c', f'import asyncio as x; S = x.CancelScope; del x.CancelScope\n'
                              'import anyio._backends._asyncio as a; print(issubclass(a.CancelScope, S))')
    assert (result.stdout, result.stderr) == ('False\n', '')


async def test_modules_are_found_as_before():
    result = await run_python('-c', 'import anyio._backends, inspect, pkgutil\n'
                              'print(*sorted(m.name for m in pkgutil.iter_modules(anyio._backends.__path__)))\n'
                              'from anyio._backends import _asyncio as a\n'
                              'print(a.__name__, a.__file__.endswith("_asyncio.py"), a.backend_class.__name__)\n'
                              'print("class StreamProtocol" in inspect.getsource(a))\n'
                              'print("_was_cancel_called" in inspect.getsource(a.CancelScope.cancel))')
    assert result.stdout == ('_asyncio _trio\nanyio._backends._asyncio True AsyncIOBackend\nTrue\nTrue\n'), result


class AnotherLoop:
    """An event loop in a thread of its own, in which a program that shares a group between threads spawns tasks."""

    def __enter__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def run(self, function, *args):
        """Await function(*args) there; as long as it takes, whatever is cancelled here."""
        future = asyncio.run_coroutine_threadsafe(function(*args), self._loop)
        with anyio.CancelScope(shield=True):
            return await asyncio.wrap_future(future)


async def test_group_waits_for_a_task_that_another_loop_spawns():
    ended = []

    async def task(name, *, task_status=anyio.TASK_STATUS_IGNORED):
        task_status.started(name)
        await anyio.sleep(0.01)
        ended.append((name, threading.get_ident()))

    async def spawn(group):
        group.start_soon(task, 'start_soon')
        assert await group.start(task, 'start') == 'start'

    with AnotherLoop() as other:
        async with anyio.create_task_group() as group:
            await other.run(spawn, group)
    assert sorted(name for name, _ in ended) == ['start', 'start_soon']
    assert {thread for _, thread in ended} == {other._thread.ident}


@pytest.mark.parametrize('end', ['cancel', 'cancel in the body', 'failure', 'failure there'])
async def test_end_of_a_group_cancels_a_task_that_another_loop_has_spawned(end):
    ended = []

    async def task(*, task_status=anyio.TASK_STATUS_IGNORED):
        task_status.started()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(threading.get_ident())

    async def fail():
        raise LookupError('failed there')

    async def spawn(group):
        await group.start(task)
        if end == 'failure there':
            group.start_soon(fail)

    async def cancel(scope):
        scope.cancel()

    with AnotherLoop() as other, (pytest.raises(ExceptionGroup) if 'failure' in end else contextlib.nullcontext()):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                await other.run(spawn, group)
                if end == 'cancel':
                    group.start_soon(cancel, scope)  # While the host waits for the tasks.
                elif end == 'cancel in the body':
                    group.cancel_scope.cancel()
                elif end == 'failure':
                    raise LookupError('failed here')
    assert ended == [other._thread.ident]


async def test_task_that_another_loop_spawns_in_a_cancelled_group_is_cancelled():
    cancelled = threading.Event()

    async def spawn_more(group, *, task_status):
        task_status.started()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await asyncio.to_thread(cancelled.wait)
            group.start_soon(anyio.sleep_forever)

    with AnotherLoop() as other:
        async with anyio.create_task_group() as group:
            await other.run(group.start, spawn_more, group)
            group.cancel_scope.cancel()
            # The group waits by then, and has told the tasks that it had.
            asyncio.get_running_loop().call_later(0.05, cancelled.set)


async def test_last_task_of_another_loop_ends_as_the_group_begins_to_wait(monkeypatch):
    from anyio._backends import _asyncio as backend
    end = threading.Event()

    class Join(backend._Join):
        def __init__(self, group):
            super().__init__(group)
            end.set()
            while group._tasks:  # Another thread removes it.
                pass

    async def spawn(group):
        group.start_soon(asyncio.to_thread, end.wait)

    monkeypatch.setattr(backend, '_Join', Join)
    with AnotherLoop() as other:
        async with anyio.create_task_group() as group:
            await other.run(spawn, group)


async def test_start_in_another_loop_outlives_the_cancellation_of_the_group():
    """Until a task has started, it belongs to whoever has called start()."""
    events = []

    async def task(*, task_status):
        await anyio.sleep(0)
        events.append('starting')
        ready.set()
        await asyncio.to_thread(cancelled.wait)
        task_status.started('started')
        try:
            await anyio.sleep_forever()
        finally:
            events.append('ended')

    async def start(group):
        events.append(await group.start(task))

    ready, cancelled = threading.Event(), threading.Event()
    with AnotherLoop() as other:
        async with anyio.create_task_group() as group:
            future = asyncio.run_coroutine_threadsafe(start(group), other._loop)
            await asyncio.to_thread(ready.wait)
            group.cancel_scope.cancel()
            # The group has told the tasks of other loops by the time that they run this.
            asyncio.get_running_loop().call_later(0.05, cancelled.set)
    with anyio.CancelScope(shield=True):
        await asyncio.wrap_future(future)
    assert sorted(events) == ['ended', 'started', 'starting']


async def test_spawning_where_no_event_loop_runs_leaves_no_coroutine():
    async def task():
        pass

    async with anyio.create_task_group() as group:
        with pytest.raises(RuntimeError, match='no running event loop'):
            await asyncio.to_thread(group.start_soon, task)
        gc.collect()  # A coroutine that is never awaited is a warning, and here an error.


async def test_failed_spawn_in_another_loop_leaves_nothing_in_the_group():
    def refuse(loop, coro, **kwargs):
        raise LookupError

    async def spawn(group):
        asyncio.get_running_loop().set_task_factory(refuse)
        with pytest.raises(LookupError):
            group.start_soon(anyio.sleep, 0)

    with AnotherLoop() as other:
        async with anyio.create_task_group() as group:
            await other.run(spawn, group)
            assert not group._distant


async def test_start_of_a_function_that_reports_before_it_returns_its_coroutine():
    async def task():
        return 8

    def report(*, task_status):
        task_status.started(5)
        return task()

    async with anyio.create_task_group() as group:
        handle = await group.start(report, return_handle=True)
        assert (handle.start_value, await handle) == (5, 8)
