"""The types in C that scopes bring: memory, the collector, and their protocols.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import functools
import gc
import unittest
import warnings
from asyncio import events
from asyncio import futures
from asyncio import tasks
from asyncio import timeouts
from unittest import mock

from test.test_asyncio.memory_utils import MemoryTestCase
from test.test_asyncio.scope_utils import matrix


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


def step(awaitable):
    """Run an awaitable that does not suspend; return its result."""
    iterator = awaitable.__await__()
    try:
        iterator.send(None)
    except StopIteration as exc:
        return exc.value
    finally:
        iterator.close()
    raise AssertionError('it suspends')


async def give(value):
    return value


async def fail():
    raise ZeroDivisionError


@matrix
class MemoryTests(MemoryTestCase):

    async def test_4_1_timeout(self):
        def action(held, hosts):
            timeout = asyncio.timeout(50)
            repr(timeout)
            step(timeout.__aenter__())
            try:
                timeout.reschedule(self.loop.time() + 20)
                timeout.when()
                timeout.expired()
                repr(timeout)
            finally:
                step(timeout.__aexit__(None, None, None))

        await self.sweep(action)

    async def test_4_1_timeout_that_expires(self):
        def action(held, hosts):
            timeout = asyncio.timeout(-1)
            step(timeout.__aenter__())
            exc = asyncio.CancelledError()
            try:
                step(timeout.__aexit__(type(exc), exc, None))
            except TimeoutError:
                pass

        await self.sweep(action)

    async def test_4_2_timeout_with_a_shield(self):
        def action(held, hosts):
            timeout = asyncio.timeout_at(self.loop.time() + 50, shield=True)
            step(timeout.__aenter__())
            step(timeout.__aexit__(None, None, None))

        await self.sweep(action)

    async def test_8_1_shield(self):
        def action(held, hosts):
            coro = give('result')
            try:
                step(asyncio.shield(coro))
            finally:
                coro.close()

        await self.sweep(action)

    async def test_8_1_shield_of_what_fails(self):
        def action(held, hosts):
            coro = fail()
            try:
                step(asyncio.shield(coro))
            except ZeroDivisionError:
                pass
            finally:
                coro.close()

        await self.sweep(action)

    async def test_3_11_create_task(self):
        def action(held, hosts):
            coro = give('result')
            try:
                with self.CancelScope() as scope:
                    scope.create_task(coro)
            except BaseException:
                coro.close()
                raise

        await self.sweep(action)

    async def test_3_12_adopt(self):
        def action(held, hosts):
            with self.CancelScope() as scope:
                scope.adopt(hosts[0])

        await self.sweep(action, scopes=2)

    async def test_3_7_effective_deadline(self):
        def action(held, hosts):
            with self.CancelScope(deadline=self.loop.time() + 50):
                asyncio.current_effective_deadline()
                asyncio.current_scope()

        await self.sweep(action)

    async def test_2_8_callbacks(self):
        def action(held, hosts):
            future = futures.Future(loop=self.loop)
            future.add_done_callback(calls.append)
            future.set_result(None)
            handle = events.Handle(calls.append, (None,), self.loop)
            repr(handle)
            handle._run()
            handle.cancel()
            timer = events.TimerHandle(5.0, calls.append, (None,), self.loop)
            repr(timer)
            hash(timer)
            timer.cancel()

        calls = []
        await self.sweep(action)
        self.assertIn(None, calls)


@matrix
class CollectorTests:
    """The collector sees each reference, and may stop looking at any of them.

    It stops at the object that gc.get_referrers() has been asked for.
    """

    def assert_seen(self, *objects):
        for obj in objects:
            for referent in gc.get_referents(obj):
                with self.subTest(obj=type(obj), referent=type(referent)):
                    self.assertTrue(any(
                        referrer is obj
                        for referrer in gc.get_referrers(referent)))

    def assert_others_seen(self):
        """What no program has in its hands, such as the timer of a loop."""
        found = {}
        for obj in gc.get_objects():
            if type(obj).__module__ == '_asyncio':
                found.setdefault(type(obj), []).append(obj)
        for objects in found.values():
            self.assert_seen(*objects[-3:])

    async def test_3_9_scopes(self):
        with self.CancelScope(deadline=self.loop.time() + 50) as outer:
            with self.CancelScope(shield=True) as inner:
                task = self.spawn(self.forever())
                inner.create_task(self.forever())
                inner.adopt(task)
                await self.settle()
                self.assert_seen(outer, inner, task, task._fut_waiter,
                                 asyncio.current_task())
                self.assert_others_seen()
            outer.cancel(['message'])
            self.assert_seen(outer, inner, task)
            self.assert_others_seen()
        await asyncio.wait([task])
        self.assert_seen(task)

    async def test_5_9_request_inside_a_shield(self):
        task = asyncio.current_task()
        with self.CancelScope(shield=True):
            self.loop.call_soon(task.cancel, 'message')
            with self.assertRaises(asyncio.CancelledError):
                await self.forever()
            self.assert_seen(task)
            self.assert_others_seen()
            task.uncancel()

    async def test_2_2_futures(self):
        cancelled, failed, pending = (self.loop.create_future()
                                      for _ in range(3))
        cancelled.cancel(['message'])
        failed.set_exception(ZeroDivisionError())
        for callback in print, repr, None:
            self.assert_seen(pending, pending.__await__())
            if callback is not None:
                pending.add_done_callback(callback)
        pending.remove_done_callback(print)
        pending.remove_done_callback(repr)
        self.assert_seen(cancelled, failed)
        self.assertIsInstance(failed.exception(), ZeroDivisionError)
        task = asyncio.create_task(fail(), errors='await')
        self.assert_seen(task)
        self.assert_others_seen()   # The step of the task is one.
        await asyncio.wait([task])
        self.assert_seen(task)
        self.assertIsInstance(task.exception(), ZeroDivisionError)

    async def test_3_9_timeouts(self):
        timeout = asyncio.timeout(50)
        enter = timeout.__aenter__()
        self.assert_seen(timeout, enter)
        await enter
        leave = timeout.__aexit__(None, None, None)
        self.assert_seen(timeout, enter, leave)
        await leave
        self.assert_seen(timeout, leave)
        try:
            async with asyncio.timeout(0) as timeout:
                await self.forever()
        except TimeoutError as exc:
            leave = timeout.__aexit__(type(exc), exc, exc.__traceback__)
            self.assert_seen(timeout, leave)
            leave.close()

    async def test_8_1_shields(self):
        async def look():
            self.assert_seen(call)

        call = asyncio.shield(look())
        self.assert_seen(call)
        await call
        self.assert_seen(call)

    async def test_2_8_handles(self):
        for debug in False, True:
            self.loop.set_debug(debug)
            handles = [events.Handle(give, (1, 2), self.loop),
                       events.TimerHandle(5.0, give, (1, 2), self.loop)]
            self.assert_seen(*handles)
            for handle in handles:
                handle.cancel()
            self.assert_seen(*handles)


@matrix
class ProtocolTests:
    """What is awaited is used by hand, as by code that is not asyncio's."""

    def iterators(self):
        """Yield what is awaited, each not yet begun; close it after that."""
        coro = give('result')
        iterator = asyncio.shield(coro).__await__()
        yield iterator
        iterator.close()
        coro.close()
        for kwargs in {}, {'shield': True}:
            timeout = asyncio.timeout(50, **kwargs)
            iterator = timeout.__aenter__()
            yield iterator
            iterator.close()
            timeout = asyncio.timeout(50, **kwargs)
            step(timeout.__aenter__())
            iterator = timeout.__aexit__(None, None, None)
            yield iterator
            iterator.close()
            if 'active' in repr(timeout):
                step(timeout.__aexit__(None, None, None))

    def check_throw(self, error, *all_args):
        for args in all_args:
            for iterator in self.iterators():
                with self.subTest(args=args, type=type(iterator)):
                    with warnings.catch_warnings(), self.assertRaises(error):
                        # Of the three arguments of throw().
                        warnings.simplefilter('ignore', DeprecationWarning)
                        iterator.throw(*args)

    async def test_4_1_throw(self):
        exc = ZeroDivisionError('by hand')
        self.check_throw(ZeroDivisionError, (exc,), (type(exc),),
                         (type(exc), exc), (type(exc), 'by hand'),
                         (type(exc), exc, None))

    async def test_4_1_throw_of_what_cannot_be_thrown(self):
        self.check_throw(TypeError, (), (5,), (int,),
                         (ZeroDivisionError, None, None, None))

    async def test_4_1_close(self):
        for iterator in self.iterators():
            self.assertIsNone(iterator.close())

    async def test_4_1_arguments(self):
        timeout = asyncio.timeout(50)
        call = asyncio.shield(give('result'))
        for function, args, kwargs in (
                (timeout.__aenter__, (1,), {}),
                (timeout.__aexit__, (None,), {}),
                (timeout.__aexit__, (None,) * 4, {}),
                (timeout.reschedule, (), {}),
                (asyncio.timeout, (50,), {'shield': None}),
                (asyncio.Timeout, (), {}),
                (asyncio.Timeout, (None,), {'delay': 5}),
                (type(call), (), {}),
                (type(call), (1, 2), {}),
                (type(call), (), {'aw': None})):
            with self.subTest(function=function, args=args, kwargs=kwargs):
                with self.assertRaises(TypeError):
                    function(*args, **kwargs)
        self.assertEqual(await call, 'result')

    async def test_5_7_timeout_in_a_task_of_the_other_implementation(self):
        async def main():
            for kwargs in {}, {'shield': True}:
                async with asyncio.timeout(50, **kwargs) as timeout:
                    self.assertEqual(timeout.when(), self.loop.time() + 50)
                    timeout.reschedule(self.loop.time() + 20)
                    self.assertEqual(timeout.when(), self.loop.time() + 20)
                    self.assertIs(timeout.expired(), False)
                    self.assertIn('active', repr(timeout))
                self.assertIn('finished', repr(timeout))
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(5, **kwargs) as timeout:
                        await self.forever()
                self.assertIs(timeout.expired(), True)
                with self.assertRaises(RuntimeError):
                    timeout.reschedule(None)
            return 'main'

        if self.Task is tasks._PyTask:
            self.skipTest('what the Timeout in C does in a _PyTask')
        # (timeout() asks for the current task.)
        with mock.patch.object(tasks, 'current_task', tasks._py_current_task):
            task = tasks._PyTask(main(), loop=self.loop)
            self.assertEqual(await task, 'main')

    async def test_5_7_timeout_in_python_in_a_task_of_either_kind(self):
        with self.assertRaises(TimeoutError):
            async with timeouts._PyTimeout(self.loop.time() + 5) as timeout:
                await self.forever()
        self.assertIs(timeout.expired(), True)
        with self.assertRaises(asyncio.CancelledError):
            with self.CancelScope() as scope:
                scope.cancel()
                async with timeouts._PyTimeout(self.loop.time()) as timeout:
                    await self.forever()
                self.fail('the scope outside counts')
            raise asyncio.CancelledError
        self.assertIs(scope.cancelled_caught, True)

    async def test_8_1_awaitable_whose_iterator_can_only_be_iterated(self):
        class Awaitable:
            def __await__(self):
                return iter([None, None])

        await asyncio.shield(Awaitable())
        iterator = asyncio.shield(Awaitable()).__await__()
        self.assertIsNone(iterator.send(None))
        with self.assertRaises(ZeroDivisionError):
            iterator.throw(ZeroDivisionError())

    async def test_8_1_coroutine_that_uses_its_own_shield(self):
        async def use(name, *args):
            with self.assertRaisesRegex(ValueError, 'already executing'):
                getattr(iterators[0], name)(*args)
            return name

        for name, *args in (('send', None), ('throw', ZeroDivisionError()),
                            ('close',)):
            with self.subTest(name=name):
                iterators = [asyncio.shield(use(name, *args)).__await__()]
                with self.assertRaises(StopIteration) as cm:
                    iterators[0].send(None)
                self.assertEqual(cm.exception.value, name)

    async def test_3_7_clock_that_is_no_function_of_the_loop(self):
        time = self.loop.time
        for clock in functools.partial(time), lambda: time():
            self.loop.time = clock
            with self.CancelScope(deadline=time() + 5) as scope:
                await self.forever()
            self.assertIs(scope.cancelled_caught, True)

    async def test_3_11_errors_that_are_none_of_the_choices(self):
        with self.CancelScope() as scope:
            for errors in 'nonsense', 5, None:
                coro = give('result')
                with self.assertRaisesRegex(ValueError, 'propagate'):
                    scope.create_task(coro, errors=errors)
                self.assertIsNone(coro.cr_frame)    # It has been closed.


if __name__ == '__main__':
    unittest.main()
