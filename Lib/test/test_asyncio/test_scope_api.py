"""What a CancelScope tells, subclasses of it, and who gets a task's error.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import copy
import pickle
import threading
import unittest
import weakref
from asyncio import cancelscopes
from asyncio import tasks
from test import support
from test.support import threading_helper

from test.test_asyncio.scope_utils import matrix, needs_level_cancel


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


def current_scope(test, task=None):
    """asyncio.current_scope(), as it is for the kind of task in use."""
    if test.Task is tasks._PyTask:
        return cancelscopes._py_current_scope(task)
    return asyncio.current_scope(task)


@matrix
class GetterTests:
    """Section 3: what a scope tells."""

    async def test_3_cancel_message(self):
        scope = self.CancelScope()
        self.assertIsNone(scope.cancel_message)
        scope.cancel('first')
        scope.cancel('second')
        self.assertEqual(scope.cancel_message, 'first')
        with scope:
            self.assertEqual(scope.cancel_message, 'first')
            await asyncio.sleep(0)
        self.assertEqual(scope.cancel_message, 'first')
        with self.CancelScope() as scope:
            scope.cancel()
            self.assertIsNone(scope.cancel_message)

    @needs_level_cancel
    async def test_1_2_cancels_tasks(self):
        async def host():
            with self.CancelScope() as scope:
                scopes.append(scope)
                task = scope.create_task(member())
                self.assertIs(scope.cancels_tasks, False)
                with contextlib.suppress(asyncio.CancelledError):
                    await self.forever()
                # Task.cancel() stops at the edge of the task.
                self.assertEqual((scope.effectively_cancelled,
                                  scope.cancels_tasks), (True, False))
                with self.CancelScope(shield=True):
                    await self.settle()
                self.assertIs(task.done(), False)
                asyncio.current_task().uncancel()
                outer.cancel()
                self.assertIs(scope.cancels_tasks, True)
                scope.shield = True
                self.assertIs(scope.cancels_tasks, False)
                scope.cancel()
                self.assertIs(scope.cancels_tasks, True)
            self.assertIs(scope.cancels_tasks, False)

        async def member():
            await self.forever()

        scopes = []
        with self.CancelScope() as outer:
            task = outer.create_task(host())
            await self.settle()
            task.cancel()
            with self.CancelScope(shield=True):
                await task
        self.assertIs(self.CancelScope().cancels_tasks, False)

    async def test_2_9_message_of_a_deadline(self):
        when = self.loop.time() + 1
        with self.CancelScope(deadline=when) as scope:
            for _ in range(2):
                await self.assert_cancelled(self.forever(), 'deadline exceeded')
            self.assertEqual(scope.cancel_message, 'deadline exceeded')
            # Inside another scope, and in a task below.
            with self.CancelScope():
                await self.assert_cancelled(asyncio.sleep(0),
                                            'deadline exceeded')
            task = scope.create_task(self.forever())
            await self.assert_cancelled(self.settle(), 'deadline exceeded')
            with self.CancelScope(shield=True):
                await self.settle()
            self.assertIs(task.cancelled(), True)
        with self.CancelScope(deadline=when) as scope:
            await self.assert_cancelled(asyncio.sleep(0), 'deadline exceeded')
        with self.CancelScope(deadline=self.loop.time() + 1) as scope:
            scope.cancel('mine')
            await asyncio.sleep(0)
        self.assertEqual(scope.cancel_message, 'mine')

    async def test_2_9_no_message_of_a_timeout(self):
        # As on stock.
        async with asyncio.timeout(1) as timeout:
            await self.assert_cancelled(self.forever())
        self.assertIs(timeout.expired(), True)

    async def test_3_deadline_expired(self):
        now = self.loop.time()
        with self.CancelScope(deadline=now + 1) as scope:
            self.assertIs(scope.deadline_expired, False)
            await self.forever()
        self.assertIs(scope.deadline_expired, True)
        with self.CancelScope(deadline=now + 5) as scope:
            scope.cancel()
            await asyncio.sleep(0)
        self.assertIs(scope.deadline_expired, False)
        self.assertIs(scope.cancelled_caught, True)

    async def test_1_2_effectively_cancelled(self):
        unentered = self.CancelScope()
        self.assertIs(unentered.effectively_cancelled, False)
        with self.CancelScope() as outer:
            with self.CancelScope(shield=True) as shielded:
                with self.CancelScope() as inner:
                    outer.cancel()
                    self.assertIs(outer.effectively_cancelled, True)
                    self.assertIs(shielded.effectively_cancelled, False)
                    self.assertIs(inner.effectively_cancelled, False)
                    shielded.shield = False
                    self.assertIs(shielded.effectively_cancelled, True)
                    self.assertIs(inner.effectively_cancelled, True)
                    self.assertIs(inner.cancel_called, False)
                    # Outside the tree, a scope has no parent.
                    self.assertIs(unentered.effectively_cancelled, False)
            self.assertIs(inner.effectively_cancelled, False)
        self.assertIs(outer.effectively_cancelled, True)
        unentered.cancel()
        self.assertIs(unentered.effectively_cancelled, True)

    async def test_1_2_effectively_cancelled_by_a_deadline_that_has_passed(self):
        # The timer has not run.
        now = self.loop.time()
        with self.CancelScope(deadline=now + 1) as outer:
            with self.CancelScope() as middle:
                with self.CancelScope(shield=True) as inner:
                    self.loop.advance(2)
                    self.assertIs(middle.effectively_cancelled, True)
                    self.assertIs(outer.effectively_cancelled, True)
                    self.assertIs(inner.effectively_cancelled, False)
        early = self.CancelScope(deadline=now + 1)
        self.assertIs(early.effectively_cancelled, True)
        self.assertIs(self.CancelScope(deadline=now + 9).effectively_cancelled,
                      False)

    @needs_level_cancel
    async def test_1_2_effectively_cancelled_of_a_cancelled_task(self):
        async def main():
            with self.CancelScope() as scope:
                scopes.append(scope)
                await self.forever()

        scopes = []
        task = self.spawn(main())
        await self.settle()
        self.assertIs(scopes[0].effectively_cancelled, False)
        task.cancel()
        self.assertIs(scopes[0].effectively_cancelled, True)
        await self.assert_cancelled(task)

    async def test_1_2_effectively_cancelled_in_another_thread(self):
        def look():
            seen.append([scope.effectively_cancelled
                         for scope in (outer, inner)])

        seen = []
        self.loop.set_debug(True)
        with self.CancelScope(deadline=self.loop.time() + 9) as outer:
            with self.CancelScope(shield=True) as inner:
                for _ in range(2):
                    thread = threading.Thread(target=look)
                    thread.start()
                    thread.join()
                    outer.cancel()
        self.assertEqual(seen, [[False, False], [True, False]])


@matrix
class CurrentScopeTests:
    """asyncio.current_scope()."""

    async def test_3_current_scope(self):
        self.assertIsNone(current_scope(self))
        with self.CancelScope() as outer:
            self.assertIs(current_scope(self), outer)
            with self.CancelScope() as inner:
                self.assertIs(current_scope(self), inner)
            self.assertIs(current_scope(self), outer)
        self.assertIsNone(current_scope(self))

    async def test_3_current_scope_of_another_task(self):
        async def inside():
            self.assertIsNone(current_scope(self))
            with self.CancelScope() as scope:
                scopes.append(scope)
                await self.forever()

        scopes = []
        with self.CancelScope() as mine:
            task = self.spawn(inside())
            await self.settle()
            self.assertIs(current_scope(self, task), scopes[0])
            self.assertIs(current_scope(self), mine)
            self.assertIs(current_scope(self, asyncio.current_task()), mine)
        task.cancel()
        await self.assert_cancelled(task)
        self.assertIsNone(current_scope(self, task))

    @threading_helper.requires_working_threading()
    async def test_3_current_scope_in_another_thread(self):
        def look():
            found.append(current_scope(self, task))

        found = []
        task = asyncio.current_task()
        with self.CancelScope() as scope:
            with threading_helper.start_threads(
                    [threading.Thread(target=look)]):
                pass
        self.assertEqual(found, [scope])

    @threading_helper.requires_working_threading()
    def test_3_loop_that_goes_on_in_another_thread(self):
        # With scopes that were entered before.
        async def host():
            with self.CancelScope() as outer:
                with self.CancelScope(shield=True) as scope:
                    await gate
                    found.append(asyncio.current_scope() is scope)
                    found.append(cancelscopes._shielding_scope() is scope)
                    outer.cancel()
                    found.append(await asyncio.gather(number(), number()))

        async def number():
            await asyncio.sleep(0)
            return 1

        found = []
        gate = self.loop.create_future()
        task = self.spawn(host())
        self.loop.run_until_complete(asyncio.sleep(0))
        gate.set_result(None)
        with threading_helper.start_threads([threading.Thread(
                target=self.loop.run_until_complete, args=(task,))]):
            pass
        self.assertEqual(found, [True, True, [1, 1]])
        self.assertIsNone(task.result())

    @needs_level_cancel
    async def test_3_is_cancelled(self):
        # The task as a whole, while it is not done.
        async def member():
            await self.assert_cancelled(self.forever())

        with self.CancelScope() as scope:
            for task in self.spawn(member()), scope.create_task(member()):
                await self.settle()
                self.assertIs(cancelscopes._is_cancelled(task), False)
                task.cancel()
                self.assertIs(cancelscopes._is_cancelled(task), True)
                await task
                self.assertIs(cancelscopes._is_cancelled(task), False)

    async def test_3_current_scope_of_timeouts_and_groups(self):
        async with asyncio.TaskGroup() as group:
            self.assertIs(current_scope(self), group.cancel_scope)
            async with asyncio.timeout(5):
                scope = current_scope(self)
                self.assertIsInstance(scope, asyncio.CancelScope)
                self.assertEqual(scope.deadline, self.loop.time() + 5)
        self.assertIsNone(current_scope(self))

    async def test_3_current_scope_keeps_nothing_alive(self):
        scope = self.CancelScope()
        with scope:
            current_scope(self)
        reference = weakref.ref(scope)
        del scope
        support.gc_collect()
        self.assertIsNone(reference())

    async def test_3_current_scope_of_what_is_no_task(self):
        for wrong in self.loop.create_future(), object(), 42:
            with self.assertRaisesRegex(TypeError, 'must be an asyncio.Task'):
                current_scope(self, wrong)

    def test_3_current_scope_without_a_task(self):
        self.assertIsNone(current_scope(self))
        seen = []
        self.loop.call_soon(lambda: seen.append(current_scope(self)))
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()
        self.assertEqual(seen, [None])


@matrix
class SubclassTests:
    """Section 3: a CancelScope can be subclassed."""

    async def test_3_arguments_of_its_own(self):
        class Named(self.CancelScope):
            def __init__(self, name, **options):
                super().__init__(**options)
                self.name = name

        deadline = self.loop.time() + 1
        with Named('mine', deadline=deadline, shield=True) as scope:
            self.assertIs(current_scope(self), scope)
            self.assertEqual((scope.name, scope.deadline, scope.shield),
                             ('mine', deadline, True))
            await self.forever()
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_without_init_of_the_base(self):
        class Bare(self.CancelScope):
            def __init__(self, anything):
                pass

        with Bare(1) as scope:
            self.assertEqual((scope.deadline, scope.shield), (None, False))
            scope.cancel()
            await asyncio.sleep(0)
        self.assertIs(scope.cancelled_caught, True)

    async def test_3_init_once_more(self):
        scope = self.CancelScope(deadline=5, shield=True)
        scope.__init__()
        self.assertEqual((scope.deadline, scope.shield), (None, False))
        with self.assertRaises(ValueError):
            scope.__init__(shield=True, deadline=float('nan'))
        with self.assertRaises(TypeError):
            scope.__init__(shield=1, deadline=5)
        self.assertEqual((scope.deadline, scope.shield), (None, False))
        with self.CancelScope(deadline=self.loop.time() + 1) as outer:
            with scope:
                with self.assertRaisesRegex(RuntimeError, 'initialized again'):
                    scope.__init__(shield=True)
                self.assertIs(scope.shield, False)
                await self.forever()
        self.assertIs(outer.cancelled_caught, True)
        with self.assertRaisesRegex(RuntimeError, 'initialized again'):
            scope.__init__()

    async def test_3_init_once_more_after_a_delay(self):
        scope = cancelscopes._py_move_on_after(1)
        if self.Task is not tasks._PyTask:
            scope = asyncio.move_on_after(1)
        scope.__init__(deadline=self.loop.time() + 5)
        start = self.loop.time()
        with scope:
            await self.forever()
        self.assertEqual(self.loop.time(), start + 5)

    async def test_3_overridden_methods(self):
        class Logging(self.CancelScope):
            def __enter__(self):
                log.append('enter')
                return super().__enter__()

            def __exit__(self, *args):
                log.append('exit')
                return super().__exit__(*args)

            def cancel(self, msg=None):
                log.append('cancel')
                super().cancel(msg)

        log = []
        with Logging() as scope:
            scope.cancel('why')
            await self.assert_cancelled(asyncio.sleep(0), 'why')
        # The deadline needs no method.
        with Logging(deadline=self.loop.time() + 1) as scope:
            await self.forever()
        self.assertIs(scope.cancelled_caught, True)
        self.assertEqual(log, ['enter', 'cancel', 'exit', 'enter', 'exit'])

    async def test_3_attributes_slots_and_other_bases(self):
        class Mixin:
            def hello(self):
                return 'hello', self.value

        class Slotted(self.CancelScope):
            __slots__ = ('value',)

        class Both(Mixin, Slotted):
            pass

        class Other(self.CancelScope, Mixin):
            value = 5

        scope = Both()
        scope.value = 3
        scope.more = 4
        self.assertEqual(scope.hello(), ('hello', 3))
        self.assertEqual(Other().hello(), ('hello', 5))
        with self.assertRaises(AttributeError):
            Slotted().other = 1
        with scope, Other(), Slotted():
            scope.cancel()
            await asyncio.sleep(0)
        self.assertIs(scope.cancelled_caught, True)

    async def test_3_cycles_and_weak_references(self):
        class Scope(self.CancelScope):
            pass

        scope = Scope()
        scope.me = scope
        references = [weakref.ref(scope)]
        with scope:
            scope.cancel(scope)
            with Scope() as inner:
                inner.outer = scope
                references.append(weakref.ref(inner))
        del scope, inner
        support.gc_collect()
        self.assertEqual([r() for r in references], [None, None])

    async def test_3_dropped_while_it_is_active(self):
        class Scope(self.CancelScope):
            def __del__(self):
                deleted.append(self.name)

        async def host():
            scope = Scope()
            scope.name = 'it'
            scope.__enter__()
            scope.cancel()
            del scope
            support.gc_collect()
            # A Python scope stays around the code of its task.
            self.assertEqual(deleted, [] if is_python else ['it'])

        is_python = self.CancelScope is cancelscopes._PyCancelScope
        deleted = []
        await self.spawn(host())
        support.gc_collect()
        self.assertEqual(deleted, ['it'])
        await self.assert_not_cancelled()

    async def test_3_neither_pickled_nor_copied(self):
        global Picklable
        class Picklable(self.CancelScope):
            pass

        for scope in self.CancelScope(), Picklable():
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                with self.assertRaisesRegex(TypeError, 'cannot pickle'):
                    pickle.dumps(scope, protocol)
            for function in copy.copy, copy.deepcopy:
                with self.assertRaisesRegex(TypeError, 'cannot pickle'):
                    function(scope)

    async def test_3_new_class_of_the_same_kind(self):
        class Scope(self.CancelScope):
            pass

        async def member():
            with Scope() as scope:
                scopes.append(scope)
                await self.forever()

        scopes = []
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(member())
            await self.settle()
            scopes[1].cancel()
            await self.settle()
            group.cancel()
        self.assertEqual([s.cancelled_caught for s in scopes],
                         [False, True, False])


@matrix
class ErrorsAwaitTests:
    """Section 9: errors="await"."""

    async def fail(self, error):
        await asyncio.sleep(1)
        raise error

    async def expect(self, create_task):
        error = LookupError('mine')
        task = create_task(self.fail(error), errors='await')
        with self.assertRaises(LookupError) as cm:
            await task
        self.assertIs(cm.exception, error)
        task = create_task(self.fail(error), errors='await')
        await asyncio.sleep(2)
        with self.assertRaises(LookupError):
            await task
        self.assertEqual(asyncio.current_task().cancelling(), 0)

    async def test_9_errors_await(self):
        await self.expect(asyncio.create_task)
        await self.expect(self.loop.create_task)

    async def test_9_errors_await_in_a_group(self):
        async with asyncio.TaskGroup() as group:
            other = group.create_task(self.forever())
            await self.expect(group.create_task)
            self.assertFalse(other.done())
            other.cancel()

    async def test_9_errors_await_is_logged_if_it_is_not_retrieved(self):
        async with asyncio.TaskGroup() as group:
            group.create_task(self.fail(LookupError('mine')), errors='await')
        support.gc_collect()
        problems, self.problems = self.problems, []
        self.assertEqual([str(p['exception']) for p in problems], ['mine'])
        self.assertRegex(problems[0]['message'], 'never retrieved')

    async def test_9_wrong_value_names_the_right_ones(self):
        async def never():
            self.fail()

        message = '"propagate", "log" or "await", not \'raise\''
        async with asyncio.TaskGroup() as group:
            for create in (asyncio.create_task, self.loop.create_task,
                           group.create_task):
                with self.assertRaisesRegex(ValueError, message):
                    create(never(), errors='raise')
                with self.assertRaises(ValueError):
                    create(never(), errors=None)


if __name__ == '__main__':
    unittest.main()
