# switches: background-errors unretrieved-only
"""A library has task groups of its own, whose tasks are background tasks to asyncio.

So it is with AnyIO's.  The group hears of a failure from the task's callback and raises it where the group is; here the
whole program is cancelled meanwhile.
"""

import asyncio


class Group:
    """Waits for its tasks and raises their errors."""

    async def __aenter__(self):
        self.tasks, self.errors = set(), []
        return self

    def start(self, coro):
        task = asyncio.create_task(coro)
        self.tasks.add(task)
        task.add_done_callback(self.ended)

    def ended(self, task):
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.errors.append(task.exception())

    async def __aexit__(self, *exc):
        while self.tasks:
            await asyncio.wait(self.tasks)
        if self.errors:
            raise ExceptionGroup('of a group', self.errors)


async def fail():
    raise ValueError('expected')


async def main():
    try:
        async with Group() as group:
            group.start(fail())
    except* ValueError:
        await asyncio.sleep(0)
    return 'dealt with'


assert asyncio.run(main()) == 'dealt with'
