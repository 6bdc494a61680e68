"""How a cancelled scope takes the cancellations out of exception groups (3.4).

Names of tests carry the number of the rule that they check.
"""

import asyncio
import gc
import traceback
import unittest
from asyncio import _background_errors
from asyncio import _cancel_groups
from unittest import mock

from test.test_asyncio.scope_utils import MyBaseError, MyError, matrix


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class ExceptionGroupTests:
    """Rule 3.4."""

    def make_group(self):
        error = ValueError('real')
        inner = BaseExceptionGroup('inner', [asyncio.CancelledError(), error])
        inner.add_note('inner note')
        group = BaseExceptionGroup('outer', [
            asyncio.CancelledError('top'),
            inner,
            BaseExceptionGroup('gone', [asyncio.CancelledError()]),
        ])
        group.add_note('outer note')
        return group, error

    async def test_3_4_cancellations_are_taken_out(self):
        """Trap 8."""
        group, error = self.make_group()
        with self.assertRaises(ExceptionGroup) as cm:
            with self.CancelScope() as scope:
                scope.cancel()
                raise group
        rest = cm.exception
        self.assertEqual(rest.message, 'outer')
        self.assertEqual(rest.__notes__, ['outer note'])
        [inner] = rest.exceptions
        self.assertIs(type(inner), ExceptionGroup)
        self.assertEqual(inner.message, 'inner')
        self.assertEqual(inner.__notes__, ['inner note'])
        self.assertEqual(len(inner.exceptions), 1)
        self.assertIs(inner.exceptions[0], error)
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_3_4_cause_context_and_traceback_are_kept(self):
        group, _ = self.make_group()
        cause = KeyError('cause')

        def raise_it():
            raise group from cause

        rest = None
        try:
            try:
                raise LookupError
            except LookupError as exc:
                context = exc
                with self.CancelScope() as scope:
                    scope.cancel()
                    raise_it()
        except ExceptionGroup as exc:
            rest = exc
        self.assertIs(rest.__cause__, cause)
        self.assertIs(rest.__context__, context)
        self.assertIs(rest.__suppress_context__, True)
        names = [frame.name
                 for frame in traceback.extract_tb(rest.__traceback__)]
        self.assertIn('raise_it', names)

    async def test_3_4_without_cause_or_context(self):
        group, _ = self.make_group()
        with self.assertRaises(ExceptionGroup) as cm:
            with self.CancelScope() as scope:
                scope.cancel()
                raise group
        self.assertIsNone(cm.exception.__cause__)
        self.assertIsNone(cm.exception.__context__)

    async def test_3_4_only_cancellations_are_swallowed(self):
        with self.CancelScope() as scope:
            scope.cancel()
            raise BaseExceptionGroup('outer', [
                asyncio.CancelledError(),
                BaseExceptionGroup('inner', [asyncio.CancelledError()]),
            ])
        self.assert_scope(scope, called=True, caught=True)
        await self.assert_not_cancelled()

    async def test_3_4_lone_error_stays_in_its_group(self):
        error = ValueError()
        with self.assertRaises(ExceptionGroup) as cm:
            with self.CancelScope() as scope:
                scope.cancel()
                raise BaseExceptionGroup(
                    'message', [error, asyncio.CancelledError()])
        self.assertEqual(cm.exception.message, 'message')
        self.assertEqual(len(cm.exception.exceptions), 1)
        self.assertIs(cm.exception.exceptions[0], error)
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_4_group_without_cancellations_is_left_alone(self):
        group = ExceptionGroup('message', [ValueError()])
        with self.assertRaises(ExceptionGroup) as cm:
            with self.CancelScope() as scope:
                scope.cancel()
                raise group
        self.assertIs(cm.exception, group)
        self.assert_scope(scope, called=True, caught=False)

    async def test_3_4_scope_not_cancelled_touches_nothing(self):
        """Trap 9."""
        group, _ = self.make_group()
        with self.assertRaises(BaseExceptionGroup) as cm:
            with self.CancelScope() as scope:
                raise group
        self.assertIs(cm.exception, group)
        self.assert_scope(scope, called=False, caught=False)

    async def test_3_4_outer_scope_splits_if_it_is_cancelled(self):
        group, error = self.make_group()
        seen = None
        with self.assertRaises(ExceptionGroup) as cm:
            with self.CancelScope() as outer:
                try:
                    with self.CancelScope() as inner:
                        inner.cancel()
                        outer.cancel()
                        raise group
                except BaseExceptionGroup as exc:
                    seen = exc
                    raise
        self.assertIs(seen, group)
        self.assert_scope(inner, called=True, caught=False)
        self.assert_scope(outer, called=True, caught=True)
        self.assertIs(cm.exception.exceptions[0].exceptions[0], error)

    async def test_3_4_shielded_scope_splits_below_a_cancelled_one(self):
        group, error = self.make_group()
        with self.assertRaises(ExceptionGroup) as cm:
            with self.CancelScope() as outer:
                with self.CancelScope(shield=True) as inner:
                    inner.cancel()
                    outer.cancel()
                    raise group
        self.assertIs(cm.exception.exceptions[0].exceptions[0], error)
        self.assert_scope(inner, called=True, caught=True)
        self.assert_scope(outer, called=True, caught=False)

    async def test_3_4_base_exceptions_remain(self):
        error = MyBaseError()
        with self.assertRaises(BaseExceptionGroup) as cm:
            with self.CancelScope() as scope:
                scope.cancel()
                raise BaseExceptionGroup(
                    'message', [asyncio.CancelledError(), error])
        self.assertEqual(cm.exception.exceptions, (error,))
        self.assert_scope(scope, called=True, caught=True)

    async def test_3_4_derived_groups_keep_their_type(self):
        class MyGroup(BaseExceptionGroup):
            def derive(self, excs):
                return MyGroup(self.message, excs)

        error = ValueError()
        with self.assertRaises(MyGroup) as cm:
            with self.CancelScope() as scope:
                scope.cancel()
                raise MyGroup('message', [asyncio.CancelledError(), error])
        self.assertEqual(cm.exception.exceptions, (error,))

    async def test_3_4_errors_of_a_task_group(self):
        async def child():
            try:
                await self.forever()
            finally:
                raise error

        error = ValueError()
        with self.assertRaises(ExceptionGroup) as cm:
            with self.CancelScope() as scope:
                async with asyncio.TaskGroup() as group:
                    group.create_task(child())
                    group.create_task(self.forever())
                    await self.settle()
                    scope.cancel()
        self.assertEqual(cm.exception.exceptions, (error,))
        await self.assert_not_cancelled()


class Broken(ExceptionGroup):
    def derive(self, excs):
        raise MyError('no derive()')


class BrokenBase(BaseExceptionGroup):
    def derive(self, excs):
        raise MyError('no derive()')


class BrokenSplit(BaseExceptionGroup):
    def split(self, condition):
        raise MyError('no split()')


@matrix
class SplitTests:

    def leave_cancelled(self, error):
        """Return what comes out of a cancelled scope."""
        try:
            with self.CancelScope() as scope:
                scope.cancel()
                raise error
        except BaseException as exc:
            return exc, scope.cancelled_caught
        finally:
            error = None
        return None, scope.cancelled_caught

    async def test_3_4_without_a_cancellation_it_is_not_touched(self):
        for cls in Broken, BrokenSplit:
            error = cls('mine', [ValueError(), KeyError()])
            outer = BaseExceptionGroup('outer', [error, OSError()])
            self.assertEqual(self.leave_cancelled(error), (error, False))
            self.assertEqual(self.leave_cancelled(outer), (outer, False))
            self.assertIs(outer.exceptions[0], error)

    async def test_3_4_part_without_a_cancellation_is_not_touched(self):
        broken = Broken('mine', [ValueError()])
        error = BaseExceptionGroup('outer', [broken, asyncio.CancelledError()])
        rest, caught = self.leave_cancelled(error)
        self.assertIs(type(rest), ExceptionGroup)
        self.assertEqual(rest.exceptions, (broken,))
        self.assertIs(caught, True)

    async def test_3_4_what_is_kept(self):
        def made(cls, *args):
            try:
                raise cls(*args) from OSError('cause')
            except cls as exc:
                exc.add_note('a note')
                exc.__context__ = TypeError('context')
                return exc

        inner = made(BaseExceptionGroup, 'inner',
                     [ValueError(1), asyncio.CancelledError()])
        gone = made(BaseExceptionGroup, 'gone', [asyncio.CancelledError()])
        error = made(BaseExceptionGroup, 'outer',
                     [inner, gone, KeyError(2), asyncio.CancelledError()])
        tracebacks = inner.__traceback__, error.__traceback__
        rest, caught = self.leave_cancelled(error)
        self.assertIs(caught, True)
        self.assertEqual(repr(rest), "ExceptionGroup('outer', "
                         "[ExceptionGroup('inner', [ValueError(1)]), "
                         "KeyError(2)])")
        for old, new in (inner, rest.exceptions[0]), (error, rest):
            self.assertEqual(new.__notes__, ['a note'])
            self.assertIsNot(new.__notes__, old.__notes__)
            self.assertIs(new.__cause__, old.__cause__)
            self.assertIs(new.__context__, old.__context__)
            self.assertIs(new.__suppress_context__, True)
        self.assertIs(rest.exceptions[0].__traceback__, tracebacks[0])
        places = []
        tb = rest.__traceback__
        while tb is not None:
            places.append(tb)
            tb = tb.tb_next
        self.assertIn(tracebacks[1], places)
        # The original is as it was.
        self.assertEqual(len(error.exceptions), 4)

    async def test_3_4_nothing_is_left(self):
        error = BaseExceptionGroup('outer', [
            BaseExceptionGroup('inner', [asyncio.CancelledError()]),
            asyncio.CancelledError()])
        self.assertEqual(self.leave_cancelled(error), (None, True))

    async def test_3_4_error_of_derive_tells_of_the_group(self):
        for cls in BrokenBase, BrokenSplit:
            error = cls('mine', [asyncio.CancelledError(), ValueError()])
            exc, caught = self.leave_cancelled(error)
            self.assertIs(type(exc), MyError)
            self.assertIs(exc.__context__, error)
            await self.assert_not_cancelled()
        # A part, in what a group raises.
        error = BrokenBase('mine', [asyncio.CancelledError(), ValueError()])
        with self.assertRaises(MyError) as cm:
            async with asyncio.TaskGroup():
                raise error
        found = []
        exc = cm.exception
        while exc is not None:
            found.append(exc)
            exc = exc.__context__
        self.assertTrue(any(
            isinstance(exc, BaseExceptionGroup) and error in exc.exceptions
            for exc in found))
        await self.assert_not_cancelled()

    async def test_3_4_deep_groups(self):
        for leaf in ValueError(), asyncio.CancelledError():
            error = leaf
            for _ in range(20_000):
                error = BaseExceptionGroup('level', [error])
            exc, caught = self.leave_cancelled(error)
            if caught:
                self.assertIsNone(exc)
            else:
                self.assertIs(exc, error)
            # Taking it apart, without a recursion in its deallocation.
            del exc
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]

    async def test_3_4_group_that_is_there_many_times(self):
        # 2 ** 100 ways lead to the cancellation.
        error = BaseExceptionGroup('leaf', [asyncio.CancelledError(), MyError()])
        for _ in range(100):
            error = BaseExceptionGroup('level', [error, error])
        rest, caught = self.leave_cancelled(error)
        self.assertIs(caught, True)
        for _ in range(100):
            self.assertIs(rest.exceptions[0], rest.exceptions[1])
            rest = rest.exceptions[0]
        self.assertEqual([type(exc) for exc in rest.exceptions], [MyError])

    def count_looks(self):
        """Count how often the members of a group are looked at."""
        looks = []

        def get_members(group):
            looks.append(group)
            return real(group)

        real = _cancel_groups._get_members
        patcher = mock.patch.object(_cancel_groups, '_get_members', get_members)
        patcher.start()
        self.addCleanup(patcher.stop)
        return looks

    async def test_3_4_groups_nested_by_tasks(self):
        async def nested(depth):
            await asyncio.sleep(0)
            try:
                async with asyncio.TaskGroup() as group:
                    if depth == 1:
                        raise MyError
                    group.create_task(nested(depth - 1))
            finally:
                await asyncio.sleep(0)

        costs = []
        for depth in 50, 100:
            looks = self.count_looks()
            with self.assertRaises(ExceptionGroup) as cm:
                await nested(depth)
            costs.append(len(looks))
            exc, levels = cm.exception, 0
            while isinstance(exc, ExceptionGroup):
                exc, levels = exc.exceptions[0], levels + 1
            self.assertEqual((type(exc), levels), (MyError, depth))
            del exc, cm
        self.assertLessEqual(costs[1], 2 * costs[0] + 10)

    async def test_3_4_groups_nested_in_timeouts_and_wrapped(self):
        async def nested(depth):
            await asyncio.sleep(0)
            try:
                async with asyncio.timeout(50), asyncio.TaskGroup() as group:
                    if depth == 1:
                        raise MyError
                    group.create_task(nested(depth - 1))
            except ExceptionGroup as exc:
                raise ExceptionGroup('mine', [exc, KeyError(depth)])

        costs = []
        for depth in 50, 100:
            looks = self.count_looks()
            with self.assertRaises(ExceptionGroup):
                await nested(depth)
            costs.append(len(looks))
        self.assertLessEqual(costs[1], 2 * costs[0] + 20)

    async def test_3_4_what_was_found_is_forgotten(self):
        # (assertRaises() would clear the frames.)
        try:
            async with asyncio.TaskGroup():
                raise MyError
        except ExceptionGroup as exc:
            self.assertIn(exc, _cancel_groups._found_free)
            key = id(exc)
            # A group that is derived from it is another one.
            other = exc.derive([asyncio.CancelledError()])
            self.assertNotIn(other, _cancel_groups._found_free)
        else:
            self.fail('no error')
        gc.collect()
        self.assertNotIn(key, _cancel_groups._found_free._witnesses)

    async def test_3_4_cancellation_that_is_put_in_on_the_way(self):
        try:
            with self.CancelScope() as scope:
                scope.cancel()
                try:
                    async with asyncio.TaskGroup():
                        raise MyError
                except ExceptionGroup as exc:
                    raise BaseExceptionGroup(
                        'more', [exc, asyncio.CancelledError()])
        except BaseExceptionGroup as exc:
            self.assertEqual(
                repr(exc), "ExceptionGroup('more', [ExceptionGroup("
                "'unhandled errors in a TaskGroup', [MyError()])])")
        else:
            self.fail('no error')
        self.assertIs(scope.cancelled_caught, True)


class RootGroupTests(unittest.TestCase):

    def test_3_4_root_group(self):
        broken = Broken('mine', [ValueError()])
        mixed = BaseExceptionGroup('mixed', [KeyError(),
                                             asyncio.CancelledError()])
        gone = BaseExceptionGroup('gone', [asyncio.CancelledError()])

        async def fail(error):
            raise error

        async def main():
            for error in broken, mixed, gone:
                asyncio.create_task(fail(error))
            await asyncio.Event().wait()

        with self.assertRaises(ExceptionGroup) as cm:
            asyncio.run(main())
        self.assertIs(cm.exception.exceptions[0], broken)
        self.assertEqual(repr(cm.exception.exceptions[1:]),
                         "(ExceptionGroup('mixed', [KeyError()]),)")

    def test_3_4_interrupt_beside_a_group_that_cannot_be_divided(self):
        broken = Broken('mine', [ValueError()])
        self.assertEqual(_background_errors.without([broken], KeyboardInterrupt()),
                         [broken])


if __name__ == '__main__':
    unittest.main()
