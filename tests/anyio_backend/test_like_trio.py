"""Where AnyIO's own asyncio backend differs from Trio, the native one does not: each test is run on both."""

import threading
import time

import anyio
import pytest
from anyio import from_thread, get_cancelled_exc_class, to_thread
from anyio.lowlevel import checkpoint

pytestmark = pytest.mark.anyio


async def sleep_shielded(seconds):
    with anyio.CancelScope(shield=True):
        await anyio.sleep(seconds)


async def test_spawn_into_a_cancelled_group_whose_host_is_shielded():
    async def child():
        log.append('started')
        try:
            await anyio.sleep_forever()
        finally:
            log.append('cancelled')

    log = []
    async with anyio.create_task_group() as group:
        group.cancel()
        with anyio.CancelScope(shield=True):
            group.start_soon(child)
            await anyio.wait_all_tasks_blocked()
            assert log == ['started', 'cancelled']


async def test_cancellation_is_felt_at_the_await_and_not_a_turn_later():
    async def set_event():
        event.set()

    event = anyio.Event()
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            group.start_soon(set_event)
            scope.cancel()
            await event.wait()  # The event is set in the same turn of the loop.
            pytest.fail('the cancellation came too late')
    assert scope.cancelled_caught


async def test_cancellation_of_a_blocked_task_comes_before_what_happens_next():
    async def wait():
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await event.wait()
            pytest.fail('the cancellation was lost')

    scopes = []
    event = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        scopes[0].cancel()
        event.set()
    assert scopes[0].cancelled_caught


async def test_outer_cancellation_that_all_tasks_of_a_group_swallow():
    async def swallow():
        with anyio.CancelScope():
            try:
                await anyio.sleep_forever()
            except get_cancelled_exc_class():
                pass

    async def cancel_outer():
        await anyio.wait_all_tasks_blocked()
        outer.cancel()

    passed = False
    async with anyio.create_task_group() as other:
        with anyio.CancelScope() as outer:
            other.start_soon(cancel_outer)
            async with anyio.create_task_group() as group:
                group.start_soon(swallow)
            assert not group.cancel_scope.cancel_called
            passed = True  # The wait for the tasks is not where it is raised.
            await checkpoint()
            pytest.fail('the cancellation was lost')
    assert passed
    assert outer.cancelled_caught


async def test_outer_cancellation_that_a_task_of_a_group_passes_on():
    async def cancel_outer():
        await anyio.wait_all_tasks_blocked()
        outer.cancel()

    async with anyio.create_task_group() as other:
        with anyio.CancelScope() as outer:
            other.start_soon(cancel_outer)
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
            pytest.fail('the cancellation was lost')
    assert outer.cancelled_caught
    assert not group.cancel_scope.cancelled_caught


async def test_outer_cancellation_of_a_group_whose_tasks_have_ended():
    with anyio.CancelScope() as outer:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            await anyio.wait_all_tasks_blocked()
            outer.cancel()
            await sleep_shielded(0.01)
        pytest.fail('the Cancelled of the task was lost')
    assert outer.cancelled_caught


async def test_shielded_and_cancelled_group():
    with anyio.CancelScope() as outer:
        outer.cancel()
        async with anyio.create_task_group() as group:
            group.cancel_scope.shield = True
            group.start_soon(anyio.sleep_forever)
            await anyio.sleep(0.01)
            group.cancel()
            with pytest.raises(get_cancelled_exc_class()):
                await checkpoint()
        assert group.cancel_scope.cancelled_caught
        with pytest.raises(get_cancelled_exc_class()):
            await checkpoint()
    assert not outer.cancelled_caught


async def test_shield_that_a_task_sets_as_its_group_waits():
    async def protect():
        try:
            await anyio.sleep_forever()
        except get_cancelled_exc_class():
            group.cancel_scope.shield = True
        await anyio.sleep(0.01)
        log.append('done')

    async def cancel_outer():
        await anyio.wait_all_tasks_blocked()
        outer.cancel()

    log = []
    async with anyio.create_task_group() as other:
        with anyio.CancelScope() as outer:
            other.start_soon(cancel_outer)
            async with anyio.create_task_group() as group:
                group.start_soon(protect)
            log.append('left')
    assert log == ['done', 'left']


async def test_group_with_errors_and_with_what_it_has_cancelled():
    async def fail():
        raise ValueError

    with pytest.raises(ExceptionGroup) as info:
        async with anyio.create_task_group() as group:
            group.start_soon(fail)
            group.start_soon(anyio.sleep_forever)
    assert [type(exc) for exc in info.value.exceptions] == [ValueError]
    assert group.cancel_scope.cancelled_caught


async def test_failure_cancels_siblings_before_they_run_again():
    async def fail():
        await event.wait()
        raise ValueError

    async def go_on():
        await event.wait()
        log.append('woken')
        await checkpoint()
        pytest.fail('the sibling went on')

    log = []
    event = anyio.Event()
    with pytest.raises(ExceptionGroup):
        async with anyio.create_task_group() as group:
            group.start_soon(fail)
            group.start_soon(go_on)
            await anyio.wait_all_tasks_blocked()
            event.set()


async def test_error_of_a_start_that_is_cancelled():
    async def fail(*, task_status):
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError('clean-up failed')

    async with anyio.create_task_group() as group:
        with pytest.raises(ValueError, match='clean-up failed'):
            with anyio.move_on_after(0.01):
                await group.start(fail)


async def test_start_into_a_cancelled_group():
    async def start(*, task_status):
        await checkpoint()  # It is the caller's so far.
        task_status.started('value')
        try:
            await checkpoint()
        finally:
            log.append('cancelled')

    log = []
    async with anyio.create_task_group() as other:
        async with anyio.create_task_group() as group:
            group.cancel()
            with anyio.CancelScope(shield=True):
                assert await group.start(start) == 'value'
    assert log == ['cancelled']
    assert not other.cancel_scope.cancel_called


def run_from_thread(log):
    async def function():
        log.append('begin')
        await checkpoint()
        log.append('end')

    try:
        from_thread.run(function)
    except BaseException as exc:
        log.append(type(exc).__name__)


async def test_from_thread_below_a_scope_that_was_cancelled_before():
    def work():
        from_thread.run_sync(scope.cancel)
        run_from_thread(log)

    log = []
    with anyio.CancelScope() as scope:
        await to_thread.run_sync(work)
    assert log[0] == 'begin' and 'end' not in log and 'Cancelled' in log[1]


async def test_from_thread_below_a_shield():
    def work():
        from_thread.run_sync(outer.cancel)
        from_thread.check_cancelled()
        run_from_thread(log)

    log = []
    with anyio.CancelScope() as outer:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(work)
    assert log == ['begin', 'end']


async def test_abandoned_thread_asks_if_it_is_cancelled():
    def work():
        from_thread.run_sync(scope.cancel)
        release.wait(10)
        try:
            from_thread.check_cancelled()
        except BaseException as exc:
            log.append(type(exc))
        done.set()

    log = []
    release, done = threading.Event(), threading.Event()
    with anyio.CancelScope() as scope:
        await to_thread.run_sync(work, abandon_on_cancel=True)
    assert scope.cancelled_caught
    release.set()
    await to_thread.run_sync(done.wait, 10)
    assert log == [get_cancelled_exc_class()]


async def test_scope_is_used_once():
    scope = anyio.CancelScope()
    with scope:
        with pytest.raises(RuntimeError):
            scope.__enter__()
    with pytest.raises(RuntimeError):
        scope.__enter__()
    # None of that has harmed anything.
    await checkpoint()


async def test_cancel_after_the_exit():
    with anyio.CancelScope() as scope:
        pass
    assert not scope.cancel_called
    scope.cancel('late')
    assert scope.cancel_called
    assert not scope.cancelled_caught
    await checkpoint()


async def test_shield_is_a_bool():
    scope = anyio.CancelScope()
    with pytest.raises(TypeError):
        scope.shield = None


async def test_cancellations_in_a_group_are_filtered():
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await checkpoint()
        except get_cancelled_exc_class() as exc:
            raise BaseExceptionGroup('all', [exc, BaseExceptionGroup('inner', [exc])])
    assert scope.cancelled_caught
    with pytest.raises(BaseExceptionGroup) as info:
        with anyio.CancelScope() as scope:
            scope.cancel()
            try:
                await checkpoint()
            except get_cancelled_exc_class() as exc:
                raise BaseExceptionGroup('some', [exc, ValueError()])
    assert [type(exc) for exc in info.value.exceptions] == [ValueError]
    assert scope.cancelled_caught


async def test_nested_5000_deep():
    scopes = [anyio.CancelScope() for _ in range(5000)]
    for scope in scopes:
        scope.__enter__()
    scopes[0].cancel()
    with pytest.raises(get_cancelled_exc_class()):
        await checkpoint()
    for scope in reversed(scopes):
        scope.__exit__(None, None, None)
    await checkpoint()


async def test_effective_deadline_and_pending_cancellation():
    async def child(*, task_status):
        task_status.started(anyio.get_current_task())
        await sleep_shielded(0.05)

    async with anyio.create_task_group() as group:
        info = await group.start(child)
        assert not info.has_pending_cancellation()
        assert anyio.current_effective_deadline() == float('inf')
        group.cancel()
        assert anyio.current_effective_deadline() == -float('inf')
        assert anyio.get_current_task().has_pending_cancellation()
        with anyio.CancelScope(shield=True):
            assert not anyio.get_current_task().has_pending_cancellation()


async def test_no_cpu_while_a_straggler_is_shielded():
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(sleep_shielded, 0.5)
        await anyio.wait_all_tasks_blocked()
        before = time.process_time()
        group.cancel()
    assert time.process_time() - before < 0.25


async def test_no_cpu_while_a_condition_waits_for_its_lock():
    async def wait():
        async with condition:
            await condition.wait()

    condition = anyio.Condition()
    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        async with condition:
            before = time.process_time()
            group.cancel()
            await sleep_shielded(0.5)
            assert time.process_time() - before < 0.25
