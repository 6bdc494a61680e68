"""The test case for code whose allocations fail."""

import asyncio
import functools
import gc
from asyncio import tasks
from test import support
from test.support import import_helper

from test.test_asyncio.child_utils import IsolatedTestCase
from test.test_asyncio.scope_utils import HostileTestCase


class MemoryTestCase(HostileTestCase, IsolatedTestCase):
    """Any allocation can fail: MemoryError, or what should be done is done."""

    def setUp(self):
        if support.Py_DEBUG:
            self.skipTest('a debug build of the interpreter itself does not '
                          'hold out: assertions in _Py_Dealloc(), and '
                          'BaseExceptionGroup.split()')
        if (support.check_sanitizer(address=True)
                and 'exception_groups' in self._testMethodName):
            self.skipTest('without memory BaseExceptionGroup.split() of the '
                          'interpreter itself uses a null pointer')
        if self.Task is tasks._PyTask:
            self.skipTest('an error between any two statements of the one in '
                          'Python leaves half of what it does undone')
        self.testcapi = import_helper.import_module('_testcapi')
        if not hasattr(self.testcapi, 'set_nomemory'):
            self.skipTest('requires _testcapi.set_nomemory()')
        super().setUp()

    def attempt(self, function, start, stop):
        """Call function() and let its allocations fail from start to stop.

        (Counted from 0; with a stop of 0, all of them from start on.)  Return
        whether it has raised MemoryError.
        """
        failed = False
        # Other tests' garbage has to wait: without memory, a coroutine that
        # warns as it is collected makes warnings.c use a null pointer.
        gc.disable()
        self.testcapi.set_nomemory(start, stop)
        try:
            function()
        except MemoryError:
            failed = True
        finally:
            self.testcapi.remove_mem_hooks()
            gc.enable()
        return failed

    async def sweep(self, action, *, scopes=1):
        """Let each allocation of action(scopes, tasks) fail in turn.

        The scopes are nested, and tasks are blocked in the innermost one.
        """
        async def host(held):
            for _ in range(scopes):
                held.append(self.CancelScope())
                held[-1].__enter__()
            await self.forever()

        for many in False, True:
            lucky = 0
            for start in range(500):
                held = [[] for _ in range(3)]
                hosts = [self.spawn(host(h)) for h in held]
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                stop = 0 if many else start + 1
                function = functools.partial(action, held, hosts)
                # In a task of its own, which takes along what is half done.
                actor = self.spawn(self.act(function, start, stop))
                await asyncio.wait([actor])
                failed = (actor.cancelled() or actor.exception() is not None
                          or bool(self.problems))
                # Tracebacks refer to tasks.
                self.problems.clear()
                lucky = 0 if failed else lucky + 1
                del actor
                for task in hosts:
                    task._log_destroy_pending = False
                    for _ in range(3):
                        task.cancel()
                for _ in range(4):
                    await asyncio.sleep(0)
                del hosts, held, function
                task = None
                if lucky == 10:
                    break
            else:
                self.fail('it takes a lot of memory')
        gc.collect()
        self.take_problems()
        await self.assert_sound()

    async def act(self, function, start, stop):
        if self.attempt(function, start, stop):
            raise MemoryError
