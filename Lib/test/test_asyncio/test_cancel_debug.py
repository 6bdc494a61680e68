"""Tests for what debug mode tells those who port to level cancellation.

What it says of swallowed cancellation is in test_swallowed.
"""

import asyncio
import contextlib
import unittest
from asyncio import _cancel_debug

from test.test_asyncio.scope_utils import matrix, next_line, needs_level_cancel

LOOP = 'waits for shield\\(\\) again and again (at .+), and never'
AWAITS = 'awaits <.+> (at .+), which cancels that task'


@matrix
class PortingTests:

    def setUp(self):
        super().setUp()
        self.loop.set_debug(True)
        _cancel_debug._reported.clear()

    @contextlib.contextmanager
    def one_report(self, pattern, places):
        with self.assertLogs('asyncio', 'WARNING') as cm:
            yield
        self.assertEqual(len(cm.records), 1, cm.output)
        message = cm.records[0].getMessage()
        self.assertRegex(message, pattern)
        self.assertIn(f'{places[0]}', message)
        self.assertIn('with asyncio.CancelScope(shield=True)', message)

    async def in_cancelled_scope(self, body):
        with self.CancelScope() as scope:
            self.loop.call_later(1, scope.cancel)
            await body()

    def takes_a_while(self):
        return self.spawn(asyncio.sleep(3))

    async def test_2_7_loop_around_shield(self):
        async def in_finally():
            task = self.takes_a_while()
            try:
                await self.forever()
            finally:
                turns = 0
                while not task.done() and turns < 50:
                    turns += 1
                    with contextlib.suppress(asyncio.CancelledError):
                        places.append(next_line())
                        await asyncio.shield(task)
                task.cancel()

        async def keeping_the_error():
            task = self.takes_a_while()
            for _ in range(50):
                try:
                    places.append(next_line())
                    await asyncio.shield(task)
                    break
                except asyncio.CancelledError as exc:
                    error = exc
            task.cancel()
            raise error

        async def swallowing():
            task = self.takes_a_while()
            for _ in range(50):
                with contextlib.suppress(asyncio.CancelledError):
                    places.append(next_line())
                    await asyncio.shield(task)
                    break
            task.cancel()
            await self.forever()

        for body in in_finally, keeping_the_error, swallowing:
            with self.subTest(body.__name__):
                places = []
                with self.one_report(LOOP, places):
                    await self.in_cancelled_scope(body)
                # Once is enough.
                with self.assertNoLogs('asyncio', 'WARNING'):
                    await self.in_cancelled_scope(body)

    async def test_2_7_loop_that_is_none(self):
        async def once():
            task = self.takes_a_while()
            try:
                await self.forever()
            finally:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.shield(task)
                task.cancel()

        async def in_several_places():
            task = self.takes_a_while()
            try:
                await asyncio.shield(task)
            finally:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.shield(task)
                task.cancel()

        async def with_a_shielded_scope():
            task = self.takes_a_while()
            try:
                await asyncio.shield(task)
            finally:
                with self.CancelScope(shield=True):
                    await asyncio.shield(task)

        for body in once, in_several_places, with_a_shielded_scope:
            with self.subTest(body.__name__):
                with self.assertNoLogs('asyncio', 'WARNING'):
                    await self.in_cancelled_scope(body)

    @needs_level_cancel
    async def test_5_6_cleanup_that_cancels_what_it_awaits(self):
        async def in_except():
            task = self.takes_a_while()
            try:
                await self.forever()
            except asyncio.CancelledError:
                places.append(next_line())
                await task

        async def in_finally():
            task = self.takes_a_while()
            try:
                await self.forever()
            finally:
                places.append(next_line())
                await task

        async def below():
            places.append(next_line())
            await asyncio.wait_for(self.takes_a_while(), 10)

        async def in_a_function():
            try:
                await self.forever()
            finally:
                await below()

        async def by_task(body):
            task = self.spawn(body())
            await self.settle()
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        for body in in_except, in_finally, in_a_function:
            for cancel in self.in_cancelled_scope, by_task:
                with self.subTest(body.__name__, by=cancel.__name__):
                    _cancel_debug._reported.clear()
                    places = []
                    with self.one_report(AWAITS, places):
                        await cancel(body)
                    with self.assertNoLogs('asyncio', 'WARNING'):
                        await cancel(body)      # Once is enough.

    async def test_5_6_cleanup_that_means_it(self):
        async def cancels_it():
            task = self.takes_a_while()
            try:
                await self.forever()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                with contextlib.suppress(asyncio.CancelledError):
                    await task

        async def it_is_cancelled_as_well():
            async with asyncio.TaskGroup() as group:
                task = group.create_task(asyncio.sleep(3))
                try:
                    await self.forever()
                finally:
                    await task

        async def shielded():
            task = self.takes_a_while()
            try:
                await self.forever()
            finally:
                with self.CancelScope(shield=True):
                    await task

        async def awaits_something_else():
            try:
                await self.forever()
            finally:
                await self.loop.create_future()

        async def awaits_it_already():
            await self.takes_a_while()

        for body in (cancels_it, it_is_cancelled_as_well, shielded,
                     awaits_something_else, awaits_it_already):
            with self.subTest(body.__name__):
                with self.assertNoLogs('asyncio', 'WARNING'):
                    await self.in_cancelled_scope(body)

    async def test_5_6_nothing_outside_of_debug_mode(self):
        async def body():
            task = self.takes_a_while()
            try:
                await self.forever()
            finally:
                await task

        async def host():
            await self.in_cancelled_scope(body)

        self.loop.set_debug(False)
        with self.assertNoLogs('asyncio', 'WARNING'):
            await self.spawn(host())


if __name__ == '__main__':
    unittest.main()
