"""Cancel scopes and hostile messages, deadlines and exceptions.

Whatever such an object does in the middle of a change to the tree, the change
ends with a clear outcome, and the tree is sound afterwards.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import copy
import gc
import pickle
import sys
import unittest
from asyncio import cancelscopes
from test import support

from test.test_asyncio.scope_utils import (
    HostileTestCase, MyError, Resurrecting, matrix)


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class MessageTests(HostileTestCase):
    """Messages, deadlines and exceptions that are no mere data."""

    async def test_2_9_message_whose_methods_fail(self):
        class Message:
            def __repr__(self):
                raise MyError
            __str__ = __hash__ = __bool__ = __len__ = __repr__

            def __eq__(self, other):
                raise MyError

        message = Message()
        with self.CancelScope() as scope:
            scope.cancel(message)
            repr(scope)
            for _ in range(2):
                with self.assertRaises(asyncio.CancelledError) as cm:
                    await asyncio.sleep(1)
                self.assertIs(cm.exception.args[0], message)
        task = self.spawn(self.forever())
        await self.settle()
        task.cancel(message)
        with self.assertRaises(asyncio.CancelledError):
            await task
        await self.assert_sound()

    async def test_2_9_finalizer_of_a_message_exits_scopes(self):
        def finalize():
            for scope in scopes:
                results.append(self.force_exit(scope))

        async def host():
            scopes.extend([self.CancelScope(), self.CancelScope()])
            with scopes[0]:
                with scopes[1]:
                    await self.forever()

        scopes, results = [], []
        task = self.spawn(host())
        await self.settle()
        task.cancel(Resurrecting(finalize))
        task.cancel(Resurrecting(finalize))
        task.cancel('last')
        support.gc_collect()
        with self.assertRaises((RuntimeError, asyncio.CancelledError)):
            await task
        task = None
        support.gc_collect()
        self.assertFalse(any(results))
        await self.assert_sound()

    async def test_2_9_finalizer_of_a_message_cancels(self):
        def finalize():
            victim.cancel('finalizer')
            for scope in scopes:
                scope.cancel()
            gc.collect()

        async def host():
            with self.CancelScope() as scope:
                scopes.append(scope)
                await self.forever()

        scopes = []
        victim = self.spawn(host())
        task = self.spawn(host())
        await self.settle()
        task.cancel(Resurrecting(finalize))
        task.cancel('second')
        scopes[0].cancel(Resurrecting(finalize))
        await asyncio.wait([task, victim])
        task = victim2 = None
        support.gc_collect()
        await self.assert_sound()

    async def test_2_9_message_that_drops_the_scope(self):
        # A scope that is not entered is all that has the message.
        scope = self.CancelScope()
        scope.cancel(Resurrecting(lambda: trace.append('gone')))
        trace = []
        del scope
        support.gc_collect()
        self.assertEqual(trace, ['gone'])
        # A cycle through the message.
        scope = self.CancelScope()
        scope.cancel([scope, Resurrecting(lambda: trace.append('cycle'))])
        del scope
        support.gc_collect()
        self.assertEqual(trace, ['gone', 'cycle'])
        await self.assert_sound()

    async def test_3_7_deadline_with_overridden_methods(self):
        class Deadline:
            def __init__(self, action):
                self.action = action

            def __float__(self):
                return self.action()

        def fail():
            raise MyError

        def cancel():
            scope.cancel('deadline')
            return self.loop.time() + 5

        def leave():
            self.force_exit(scope)
            return self.loop.time() + 5

        def again():
            scope.deadline = self.loop.time() + 1
            return self.loop.time() + 5

        def nan():
            return float('nan')

        def rubbish():
            return 'soon'

        for action, error in ((fail, MyError), (cancel, None), (leave, None),
                              (again, None), (nan, ValueError),
                              (rubbish, TypeError)):
            with self.subTest(action.__name__):
                scope = self.CancelScope(deadline=self.loop.time() + 50)
                scope.__enter__()
                before = scope.deadline
                try:
                    scope.deadline = Deadline(action)
                except Exception as exc:
                    self.assertIs(type(exc), error)
                    self.assertEqual(scope.deadline, before)
                else:
                    self.assertIsNone(error)
                    self.assertEqual(scope.deadline, self.loop.time() + 5)
                self.assertIs(scope.cancel_called, action is cancel)
                self.assertIs(self.force_exit(scope), action is not leave)
                await self.assert_not_cancelled()

        def enter():
            scope.__enter__()
            return self.loop.time() + 5

        scope = self.CancelScope()
        scope.deadline = Deadline(enter)
        self.assertEqual(scope.deadline, self.loop.time() + 5)
        await self.assert_cancelled(asyncio.sleep(6), 'deadline exceeded')
        self.assertIs(self.force_exit(scope, asyncio.CancelledError()), True)
        self.assert_scope(scope, called=True, caught=True)
        with self.assertRaises(MyError):
            self.CancelScope(deadline=Deadline(fail))
        with self.assertRaises(MyError):
            asyncio.move_on_after(Deadline(fail))
        with self.assertRaises(ValueError):
            asyncio.move_on_at(Deadline(nan))
        await asyncio.sleep(100)
        await self.assert_sound()

    async def test_3_4_group_that_cannot_be_divided(self):
        class SplitFails(BaseExceptionGroup):
            def split(self, condition):
                raise MyError('split')

        class DeriveFails(BaseExceptionGroup):
            def derive(self, excs):
                raise MyError('derive')

        class DeriveLies(BaseExceptionGroup):
            def derive(self, excs):
                return 42

        class SplitInterrupts(BaseExceptionGroup):
            def split(self, condition):
                raise KeyboardInterrupt

        for cls, error in ((SplitFails, MyError), (DeriveFails, MyError),
                           (DeriveLies, TypeError),
                           (SplitInterrupts, KeyboardInterrupt)):
            with self.subTest(cls.__name__):
                with self.assertRaises(error):
                    with self.CancelScope() as scope:
                        scope.cancel()
                        raise cls('group', [asyncio.CancelledError(),
                                            ValueError()])
                self.assertNotIn(' active', repr(scope))
                await self.assert_not_cancelled()
                # Not asked where there is nothing to take out.
                with self.assertRaises(cls):
                    with self.CancelScope():
                        raise cls('group', [asyncio.CancelledError()])
        await self.assert_sound()

    async def test_3_4_split_changes_the_tree(self):
        class Group(BaseExceptionGroup):
            def split(self, condition):
                test.force_exit(scope)
                test.force_exit(outer)
                scope.cancel()
                gc.collect()
                return None, self

        test = self
        group = Group('group', [asyncio.CancelledError()])
        with self.assertRaisesRegex(RuntimeError, 'already been left'):
            with self.CancelScope() as outer:
                with self.CancelScope() as scope:
                    scope.cancel()
                    raise group
        self.assert_scope(scope, called=True, caught=False)
        await self.assert_sound()

    async def test_3_4_context_property_raises(self):
        class Group(BaseExceptionGroup):
            @property
            def __context__(self):
                if armed:
                    raise MyError

            def derive(self, excs):
                return Group(self.message, excs)

        for excs in ([asyncio.CancelledError()],
                     [asyncio.CancelledError(), ValueError()]):
            group, outcome, armed = Group('group', excs), None, True
            try:
                with self.CancelScope() as scope:
                    scope.cancel()
                    raise group
            except BaseException as exc:
                armed = False
                # (The one in Python has to read it.)
                outcome = type(exc)
            armed = False
            self.assertIn(outcome, (None, Group, MyError))
            self.assert_scope(scope, called=True, caught=True)
        await self.assert_sound()

    async def test_4_3_timeout_and_hostile_groups(self):
        class DeriveFails(BaseExceptionGroup):
            def derive(self, excs):
                raise MyError

        with self.assertRaises(MyError):
            async with asyncio.timeout(0):
                raise DeriveFails('group', [asyncio.CancelledError(),
                                            ValueError()])
        await self.assert_sound()

    async def test_3_3_exit_with_non_exception_arguments(self):
        for args in ((1, 2, 3), ('', '', ''), (None, object(), None),
                     (int, int, int), (None, None, 'tb')):
            with self.subTest(args=args):
                scope = self.CancelScope()
                scope.__enter__()
                scope.cancel()
                self.assertIs(scope.__exit__(*args), False)
                self.assert_scope(scope, called=True, caught=False)
        for args in (), (None,), (None, None), (None,) * 4:
            scope = self.CancelScope()
            scope.__enter__()
            with self.assertRaises(TypeError):
                scope.__exit__(*args)
            self.assertIn(' active', repr(scope))
            self.assertIs(scope.__exit__(None, None, None), False)
        await self.assert_sound()

    async def test_3_4_split_returns_nonsense(self):
        class Group(BaseExceptionGroup):
            def split(self, condition):
                return answer

        for answer in None, (), (self, self, self):
            with self.subTest(answer=answer), self.assertRaises((TypeError, ValueError)):
                with self.CancelScope() as scope:
                    scope.cancel()
                    raise Group('group', [asyncio.CancelledError()])
            await self.assert_not_cancelled()
        answer = (ValueError(), 42)
        with self.assertRaises(TypeError):
            with self.CancelScope() as scope:
                scope.cancel()
                raise Group('group', [asyncio.CancelledError()])
        await self.assert_not_cancelled()


@matrix
class MisuseTests(HostileTestCase):
    """What Python lets anybody try."""

    async def test_3_8_wrong_types_for_all_attributes(self):
        class Odd:
            def __getattr__(self, name):
                raise MyError

        for active in False, True:
            scope = self.CancelScope()
            if active:
                scope.__enter__()
            for value in 'x', [], object(), Odd(), 1j, b'', scope, type:
                with self.assertRaises((TypeError, MyError)):
                    scope.deadline = value
                with self.assertRaises(TypeError):
                    scope.shield = value
            for value in 0, 1, None, 0.0:
                with self.assertRaises(TypeError):
                    scope.shield = value
            with self.assertRaises(OverflowError):
                scope.deadline = 10 ** 400
            with self.assertRaises(ValueError):
                scope.deadline = float('nan')
            for name in ('deadline', 'shield', 'cancel_called',
                         'cancelled_caught', 'cancel'):
                with self.assertRaises((AttributeError, TypeError)):
                    delattr(scope, name)
            for name in 'cancel_called', 'cancelled_caught', 'cancel', 'new':
                with self.assertRaises(AttributeError):
                    setattr(scope, name, True)
            self.assertIsNone(scope.deadline)
            self.assertIs(scope.shield, False)
            self.assert_scope(scope, called=False, caught=False)
            if active:
                scope.__exit__(None, None, None)
        for kwargs in ({'shield': 1}, {'deadline': 'x'}, {'x': 1}):
            with self.assertRaises(TypeError):
                self.CancelScope(**kwargs)
        with self.assertRaises(TypeError):
            self.CancelScope(5)
        await self.assert_sound()

    async def test_3_8_deadlines_at_the_limits(self):
        for deadline in (sys.float_info.max, -sys.float_info.max,
                         float('-inf'), 0, -0.0, 5e-324, True, 2 ** 70):
            with self.subTest(deadline=deadline):
                with self.CancelScope(deadline=deadline) as scope:
                    scope.deadline = deadline
                    expired = deadline <= self.loop.time()
                    self.assertIs(scope.cancel_called, expired)
                    repr(scope)
                await self.assert_not_cancelled()
        for delay in (sys.float_info.max, -sys.float_info.max, float('-inf'),
                      0, -1, False):
            with self.subTest(delay=delay):
                with asyncio.move_on_after(delay) as scope:
                    self.assertIs(scope.cancel_called, delay <= 0)
                    repr(scope)
        self.assertRaises(ValueError, asyncio.move_on_after, float('nan'))
        await self.assert_sound()

    async def test_3_8_no_copies_and_no_pickles(self):
        for active in False, True:
            scope = self.CancelScope()
            if active:
                scope.__enter__()
            for function in copy.copy, copy.deepcopy, pickle.dumps:
                with self.assertRaisesRegex(TypeError, 'CancelScope'):
                    function(scope)
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                with self.assertRaisesRegex(TypeError, 'CancelScope'):
                    scope.__reduce_ex__(protocol)
            with self.assertRaises(TypeError):
                pickle.dumps({'scope': [scope]})
            if active:
                scope.__exit__(None, None, None)
        async with asyncio.TaskGroup() as group, asyncio.timeout(5) as timeout:
            for thing in group, timeout:
                with self.assertRaises(TypeError):
                    pickle.dumps(thing)
                with self.assertRaises(TypeError):
                    copy.deepcopy(thing)
        await self.assert_sound()

    async def test_3_8_no_other_class(self):
        scope = self.CancelScope()
        with self.assertRaises(TypeError):
            scope.__class__ = object
        with self.assertRaises(TypeError):
            object.__new__(self.CancelScope)
            raise TypeError         # the one in Python allows it
        for name in '__dict__', 'anything':
            self.assertFalse(hasattr(scope, name))
        await self.assert_sound()

    async def test_3_8_made_without_new(self):
        # Only the one in Python can be had in that state.
        try:
            scope = object.__new__(self.CancelScope)
        except TypeError:
            return
        for call in (scope.__enter__, scope.cancel, lambda: repr(scope),
                     lambda: scope.deadline, lambda: scope.cancel_called):
            with self.assertRaises(AttributeError):
                call()
        with support.catch_unraisable_exception():
            del scope, call
            support.gc_collect()
        await self.assert_sound()

    async def test_3_8_methods_unbound_with_wrong_types(self):
        cls = self.CancelScope
        names = [name for name in dir(cls)
                 if not hasattr(object, name)
                 and callable(getattr(cls, name))
                 # The one in Python has its internals as well.
                 and (not name.startswith('_') or name.startswith('__'))]
        self.assertIn('__enter__', names)
        self.assertIn('cancel', names)
        wrongs = [object(), 42]
        if cls is not cancelscopes._PyCancelScope:
            wrongs.append(cls)  # The one in Python has all the attributes.
        for name in names:
            if name in ('__init_subclass__', '__del__'):
                continue
            for wrong in None, *wrongs, asyncio.current_task():
                # (A task in Python has a _state, too.)
                with self.assertRaises((TypeError, AttributeError,
                                        RuntimeError)):
                    getattr(cls, name)(wrong)
        for name in ('deadline', 'shield', 'cancel_called',
                     'cancelled_caught', '_member_count', 'deadline_expired'):
            descriptor = cls.__dict__[name]
            for wrong in wrongs:
                with self.assertRaises((TypeError, AttributeError)):
                    descriptor.__get__(wrong)
                with self.assertRaises((TypeError, AttributeError)):
                    descriptor.__set__(wrong, 5)
        for name in '_cancel_requests', '_forget_delivery':
            for wrong in None, object(), 42:
                with self.assertRaises((TypeError, AttributeError)):
                    getattr(cancelscopes, name)(wrong)
        self.assertIs(cancelscopes._is_cancelled(None), False)
        await self.assert_sound()

    async def test_3_8_methods_of_one_kind_on_another(self):
        # A C method refuses a scope in Python, and the other way round.
        kinds = {cancelscopes._PyCancelScope,
                 getattr(cancelscopes, '_CCancelScope', self.CancelScope)}
        for cls in kinds:
            for other in kinds - {cls}:
                for name in '__enter__', 'cancel':
                    with self.assertRaises((TypeError, AttributeError)):
                        getattr(cls, name)(other())
        await self.assert_sound()

    async def test_3_8_private_methods_with_wrong_arguments(self):
        with self.CancelScope() as scope:
            for args in (), ('propagate',):
                with self.assertRaises(TypeError):
                    scope._spawn(*args)
            for errors in 'propagate', 'log', None:
                with self.assertRaises(TypeError):
                    scope._spawn(errors, 42)
            with self.assertRaises(MyError):
                scope._spawn('propagate', self.raise_error)
            scope.cancel()
        with self.assertRaisesRegex(RuntimeError, 'not active'):
            scope._spawn('propagate', print)
        for function in (cancelscopes._spawn_background,):
            with self.assertRaises(TypeError):
                function()
            with self.assertRaises(TypeError):
                function('propagate')
        await self.assert_sound()

    def raise_error(self, *args, **kwargs):
        raise MyError


if __name__ == '__main__':
    unittest.main()
