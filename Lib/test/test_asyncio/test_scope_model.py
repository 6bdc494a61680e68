"""Random programs, compared with a model of cancel scopes.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import contextlib
import math
import random
import unittest

from test.test_asyncio.scope_utils import matrix


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


class Model:
    """What a scope is, in as few words as possible."""

    def __init__(self, parent):
        self.parent = parent
        self.cancelled = False
        self.shield = False
        self.requests = 0       # by Task.cancel()

    @property
    def outside(self):
        return (not self.shield and self.parent is not None
                and self.parent.effective)

    @property
    def effective(self):
        return self.cancelled or self.requests > 0 or self.outside

    def find_shield(self):
        """The innermost scope from here with a shield, or the task's own."""
        node = self
        while not node.shield and node.parent is not None:
            node = node.parent
        return node


@matrix
class RandomTests:
    """Rules 1.2, 3.3, 3.6, 3.8 and 5.9: compare with a model."""

    async def run_host(self, rng):
        task = asyncio.current_task()
        own = Model(None)
        requests = []           # the models that they were made to
        stack = []              # pairs of a scope and its model

        def hand_up(model):
            target = model.parent.find_shield()
            target.requests += model.requests
            model.requests = 0
            for i, other in enumerate(requests):
                if other is model:
                    requests[i] = target

        for _ in range(60):
            action = rng.randrange(12)
            current = stack[-1][1] if stack else own
            if action < 4 and len(stack) < 12:
                scope, model = self.CancelScope(), Model(current)
                if rng.random() < 0.3:
                    scope.shield = model.shield = True
                if rng.random() < 0.1:
                    scope.cancel()
                    model.cancelled = True
                scope.__enter__()
                stack.append((scope, model))
            elif action < 6 and stack:
                scope, model = stack.pop()
                effective = model.effective
                caught = (model.cancelled and not model.outside
                          and not model.requests)
                hand_up(model)
                if effective and rng.random() < 0.8:
                    error = asyncio.CancelledError()
                    self.assertEqual(
                        bool(scope.__exit__(type(error), error, None)),
                        caught)
                    self.assertIs(scope.cancelled_caught, caught)
                else:
                    self.assertFalse(scope.__exit__(None, None, None))
                    self.assertIs(scope.cancelled_caught, False)
            elif action == 6 and len(stack) > 1 and rng.random() < 0.3:
                i = rng.randrange(len(stack) - 1)
                scope, model = stack.pop(i)
                hand_up(model)
                with self.assertRaises(RuntimeError):
                    scope.__exit__(None, None, None)
                stack[i][1].parent = model.parent
            elif action < 8 and stack:
                scope, model = rng.choice(stack)
                if rng.random() < 0.4:
                    scope.cancel()
                    model.cancelled = True
            elif action < 10 and stack:
                scope, model = rng.choice(stack)
                model.shield = not model.shield
                scope.shield = model.shield
            elif action == 10 and rng.random() < 0.5:
                task.cancel()
                requests.append(current.find_shield())
                requests[-1].requests += 1
            elif action == 11:
                task.uncancel()
                if requests:
                    # Those to a shielded scope first, the latest first.
                    shielded = [i for i, model in enumerate(requests)
                                if model is not own]
                    i = shielded[-1] if shielded else -1
                    requests.pop(i).requests -= 1

            current = stack[-1][1] if stack else own
            self.assertEqual(
                asyncio.current_effective_deadline() == -math.inf,
                current.effective)
            for _ in range(rng.randrange(3)):
                interrupted = False
                try:
                    if rng.random() < 0.5:
                        await asyncio.sleep(0)
                    else:
                        await asyncio.sleep(1)
                except asyncio.CancelledError:
                    interrupted = True
                self.assertEqual(interrupted, current.effective)
            self.assertGreaterEqual(task.cancelling(), len(requests))
        while stack:
            stack.pop()[0].__exit__(None, None, None)
        self.assertEqual(task.cancelling(), len(requests))
        for _ in requests:
            task.uncancel()
        await self.assert_not_cancelled()

    async def test_1_2_random_scopes_of_one_task(self):
        for seed in range(40):
            with self.subTest(seed=seed):
                await self.spawn(self.run_host(random.Random(seed)))

    async def test_1_2_random_scopes_of_many_tasks(self):
        for seed in range(15):
            with self.subTest(seed=seed):
                await self.check_many_tasks(random.Random(seed))

    async def check_many_tasks(self, rng):
        scopes = []             # pairs of a scope and its model
        waiters = []            # pairs of a future and the model around it
        release = self.loop.create_future()

        async def block(model):
            future = self.loop.create_future()
            waiters.append((future, model))
            with contextlib.suppress(asyncio.CancelledError):
                await future
            with self.CancelScope(shield=True):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.shield(release)

        async def host(parent, depth):
            model = Model(parent)
            with contextlib.ExitStack() as stack:
                for _ in range(rng.randrange(3)):
                    scope = stack.enter_context(self.CancelScope())
                    model = Model(model)
                    scopes.append((scope, model))
                if depth and rng.random() < 0.8:
                    group = Model(model)
                    async with asyncio.TaskGroup() as tg:
                        for _ in range(rng.randrange(4)):
                            tg.create_task(host(group, depth - 1))
                        await block(group)
                else:
                    await block(model)

        hosts = [self.spawn(host(None, 3)) for _ in range(3)]
        await self.settle()
        expected = set()
        for _ in range(30):
            scope, model = rng.choice(scopes)
            if rng.random() < 0.3:
                scope.cancel()
                model.cancelled = True
            else:
                model.shield = not model.shield
                scope.shield = model.shield
            expected |= {future for future, model in waiters
                         if model.effective}
            self.assertEqual({future for future, model in waiters
                              if future.cancelled()}, expected)
            if rng.random() < 0.3:
                await self.settle()
        release.set_result(None)
        for future, model in waiters:
            if not future.done():
                future.set_result(None)
        await asyncio.wait(hosts)
        self.assertEqual([task.cancelled() for task in hosts], [False] * 3)
        for task in hosts:
            self.assertIsNone(task.exception())


if __name__ == '__main__':
    unittest.main()
