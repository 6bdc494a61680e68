"""Cancel scopes where memory runs out or an interpreter ends.

What is to be done is done, or an error says that it is not; the process
does not crash or hang.  Each test runs in a process of its own.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import gc
import textwrap
import unittest
from asyncio import tasks
from test import support
from test.support import import_helper
from test.support import threading_helper

from test.test_asyncio import child_utils
from test.test_asyncio import scope_utils
from test.test_asyncio.child_utils import IsolatedTestCase
from test.test_asyncio.memory_utils import MemoryTestCase
from test.test_asyncio.scope_utils import HostileTestCase, matrix


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class MemoryTests(MemoryTestCase):

    async def test_2_8_cancel(self):
        await self.sweep(lambda held, hosts: held[0][0].cancel('why'))

    async def test_2_8_cancel_of_nested_scopes(self):
        await self.sweep(lambda held, hosts: held[0][0].cancel(), scopes=5)

    async def test_2_8_task_cancel(self):
        def action(held, hosts):
            hosts[0].cancel('why')
            hosts[0].cancelling()
            hosts[0].uncancel()

        await self.sweep(action, scopes=2)

    async def test_3_8_wrong_exit(self):
        def action(held, hosts):
            self.force_exit(held[0][0])

        await self.sweep(action, scopes=3)

    async def test_3_6_attributes(self):
        def action(held, hosts):
            scope = held[0][0]
            scope.shield = True
            scope.deadline = self.loop.time() + 50
            scope.deadline = self.loop.time() + 20
            repr(scope)
            scope.cancel_called
            scope.deadline = None
            scope.shield = False

        await self.sweep(action)

    async def test_3_8_enter_and_exit(self):
        for kwargs in {}, {'deadline': 5000}, {'shield': True}, {
                'deadline': 1}:
            def action(held, hosts):
                scope = self.CancelScope(**kwargs)
                with scope:
                    scope.cancel_called

            with self.subTest(kwargs=kwargs):
                await self.sweep(action)

    async def test_3_4_exception_groups(self):
        def action(held, hosts):
            try:
                with self.CancelScope() as scope:
                    scope.cancel()
                    raise group
            except BaseExceptionGroup:
                pass

        group = BaseExceptionGroup('group', [
            asyncio.CancelledError(),
            BaseExceptionGroup('inner', [asyncio.CancelledError(),
                                         ValueError()])])
        await self.sweep(action)

    async def test_6_1_spawn(self):
        async def member():
            await asyncio.sleep(0)

        def action(held, hosts):
            coro = member()
            try:
                group.create_task(coro)
            except BaseException:
                coro.close()
                raise

        try:
            async with asyncio.TaskGroup() as group:
                with support.catch_unraisable_exception():
                    with self.CancelScope(shield=True):
                        await self.sweep(action)
                group.cancel()
        except* (MemoryError, RuntimeError):
            pass        # of a member, in its first step
        self.take_problems()
        await self.assert_sound()

    def run_program(self, main):
        """Let each allocation in the run of a main task fail in turn."""
        self.loop.close()
        for many in False, True:
            lucky = 0
            for start in range(2000):
                scope_utils.ScopeTestCase.setUp(self)   # another loop
                coro = main()
                task = self.loop.create_task(coro)
                stop = 0 if many else start + 1
                try:
                    failed = self.attempt(self.loop.run_forever, start, stop)
                except scope_utils.Deadlock:
                    failed = True
                except BaseException as exc:
                    # What a MemoryError was turned into.
                    failed = True
                    del exc
                lucky = 0 if failed or self.problems else lucky + 1
                task._log_destroy_pending = False
                if self.loop.is_running():
                    # The end of run_forever() has failed.
                    self.loop._thread_id = None
                    asyncio._set_running_loop(None)
                for left in self.all_tasks():
                    left._log_destroy_pending = False
                    left.cancel()
                self.loop.call_later(100, self.loop.stop)
                try:
                    self.loop.run_forever()
                except BaseException:
                    pass
                left = None
                self.loop.close()
                with support.catch_unraisable_exception():
                    del task, coro
                if lucky == 20:
                    break
        gc.collect()
        scope_utils.ScopeTestCase.setUp(self)
        self.run_main(self.assert_sound())

    def test_6_4_group_from_beginning_to_end(self):
        async def main():
            try:
                with self.CancelScope(deadline=self.loop.time() + 50):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(asyncio.sleep(0))
                        group.create_task(self.forever())
                        await asyncio.sleep(0)
                        group.cancel()
            finally:
                self.loop.stop()

        self.run_program(main)

    def test_4_1_timeout_from_beginning_to_end(self):
        async def main():
            try:
                async with asyncio.timeout(0):
                    await self.forever()
            except TimeoutError:
                await asyncio.shield(asyncio.sleep(0))
            finally:
                self.loop.stop()

        self.run_program(main)


PRELUDE = '''\
import sys
PYTHON, EAGER = {settings}
if PYTHON:
    sys.modules['_asyncio'] = None

import asyncio
import gc
import os
import threading
import weakref


def make_loop():
    loop = asyncio.SelectorEventLoop()
    if EAGER:
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def run(main):
    return asyncio.run(main, loop_factory=make_loop)


async def forever():
    await asyncio.get_running_loop().create_future()


async def use():
    """A bit of everything; return True if that comes out right."""
    with asyncio.move_on_after(0.001) as late:
        with asyncio.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                member = group.create_task(forever())
                await forever()
    with asyncio.CancelScope() as outer:
        async with asyncio.TaskGroup() as group:
            group.create_task(forever())
            other = asyncio.create_task(forever())
            outer.cancel('why')
            with asyncio.CancelScope(shield=True):
                await asyncio.sleep(0)
            await forever()
    assert not other.done()
    other.cancel()
    try:
        async with asyncio.timeout(0):
            await forever()
    except TimeoutError:
        pass
    else:
        assert False
    return (late.cancelled_caught and not scope.cancelled_caught
            and outer.cancelled_caught and member.cancelled())


kept = []


async def leave_open():
    """End with everything open."""
    scope = asyncio.CancelScope(deadline=asyncio.get_running_loop().time()
                                + 1000)
    scope.__enter__()
    group = asyncio.TaskGroup()
    await group.__aenter__()
    kept.extend([scope, group, group.create_task(forever())])
    timeout = asyncio.timeout(1000)
    await timeout.__aenter__()
    kept.append(timeout)
    shield = asyncio.CancelScope(shield=True)
    shield.__enter__()
    kept.append(shield)
    await forever()


def leave_pending():
    """Stop a loop amid its tasks, and do not close it."""
    loop = make_loop()
    kept.append(loop)
    kept.append(loop.create_task(leave_open()))
    loop.call_later(0.001, loop.stop)
    loop.run_forever()


def make_cycles():
    cycle = [*kept]
    cycle.append(cycle)
    for thing in kept:
        if hasattr(thing, 'cycle'):
            thing.cycle = cycle
    kept[:] = [cycle]
'''


class InterpreterTestCase(scope_utils.VariantMixin,
                          child_utils.ProgramTestCase):
    """Programs that run in processes of their own."""

    prelude = PRELUDE

    @property
    def settings(self):
        return self.Task is tasks._PyTask, self.eager

    def run_text(self, text, *, code=0, quiet=True):
        """Run a program; return what it has printed."""
        returncode, out, err = child_utils.run_program(
            self.make_text(text, *self.settings))
        self.assertEqual(returncode, code, err)
        if quiet:
            self.assertNotRegex(
                err, 'Traceback|Fatal|Error|Assertion|Segmentation|leaked')
        return out.split()


programs = scope_utils.matrix(case=InterpreterTestCase,
                              variants=scope_utils.TASK_VARIANTS)


@programs
class InterpreterTests:
    """Other interpreters in the process."""

    def run_in_interpreters(self, code, driver):
        import_helper.import_module('concurrent.interpreters')
        code = self.make_text(code, *self.settings)
        return self.run_text(f'CODE = {code!r}\n' + textwrap.dedent(driver))

    def test_2_8_one_after_the_other(self):
        out = self.run_in_interpreters('''
            assert run(use())
            assert run(use())
            print('inside', flush=True)
            ''', '''
            from concurrent import interpreters
            assert run(use())
            for _ in range(4):
                interpreter = interpreters.create()
                interpreter.exec(CODE)
                interpreter.close()
                assert run(use())
            print('outside')
            ''')
        self.assertEqual(out, ['inside'] * 4 + ['outside'])

    def test_2_8_from_within_a_task(self):
        # The other interpreter has a current task of its own: none.
        out = self.run_in_interpreters('''
            try:
                asyncio.current_effective_deadline()
            except RuntimeError:
                print('no task', flush=True)
            assert run(use())
            ''', '''
            from concurrent import interpreters

            async def main():
                interpreter = interpreters.create()
                with asyncio.CancelScope() as scope:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(forever())
                        await asyncio.sleep(0)
                        interpreter.exec(CODE)
                        scope.cancel()
                interpreter.close()
                assert await use()

            run(main())
            print('outside')
            ''')
        self.assertEqual(out, ['no', 'task', 'outside'])

    @threading_helper.requires_working_threading()
    @support.skip_if_sanitizer('gh-129824: making interpreters in threads races '
                               'in the interpreter itself', thread=True)
    def test_2_8_in_threads(self):
        out = self.run_in_interpreters('''
            for _ in range(5):
                assert run(use())
            print('inside', flush=True)
            ''', '''
            from concurrent import interpreters

            def work():
                interpreter = interpreters.create()
                interpreter.exec(CODE)
                interpreter.close()

            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
            for _ in range(5):
                assert run(use())
            for thread in threads:
                thread.join()
            print('outside')
            ''')
        self.assertEqual(out, ['inside'] * 3 + ['outside'])

    def test_3_9_destroyed_while_scopes_are_open(self):
        for ending in '', 'make_cycles()', 'gc.disable(); make_cycles()':
            with self.subTest(ending):
                out = self.run_in_interpreters(f'''
                    leave_pending()
                    leave_pending()
                    {ending}
                    print('inside', flush=True)
                    ''', '''
                    from concurrent import interpreters
                    for _ in range(2):
                        interpreter = interpreters.create()
                        interpreter.exec(CODE)
                        interpreter.close()
                    interpreter = interpreters.create()
                    interpreter.exec(CODE)
                    assert run(use())
                    print('outside')
                    ''')
                self.assertEqual(out, ['inside'] * 3 + ['outside'])


@programs
class ForkTests:
    """fork() within tasks, scopes and groups.

    A child that goes on with the loop of its parent, such as by sys.exit(),
    hangs in stock: its thread has no running loop.
    """

    def setUp(self):
        super().setUp()
        if not support.has_fork_support:
            self.skipTest('requires os.fork()')

    def run_fork(self, child):
        text = '''
            import signal

            async def main():
                with asyncio.CancelScope(
                        deadline=asyncio.get_running_loop().time() + 100
                ) as scope:
                    async with asyncio.TaskGroup() as group:
                        member = group.create_task(forever())
                        background = asyncio.create_task(forever())
                        await asyncio.sleep(0)
                        sys.stdout.flush()
                        pid = os.fork()
                        if not pid:
                            CHILD
                        _, status = os.waitpid(pid, 0)
                        print('status', os.waitstatus_to_exitcode(status))
                        assert not scope.cancel_called
                        assert not member.done() and not background.done()
                        assert await use()
                        scope.cancel()
                        await forever()
                assert scope.cancelled_caught and member.cancelled()
                return await use()

            assert run(main())
            print('parent')
            '''
        indented = textwrap.indent(textwrap.dedent(child).strip(),
                                   ' ' * 28).lstrip()
        out = self.run_text(textwrap.dedent(text.replace('CHILD', indented)))
        self.assertEqual(out[-3:], ['status', '0', 'parent'])
        return out[:-3]

    def test_2_8_child_exits_at_once(self):
        self.assertEqual(self.run_fork('os._exit(0)'), [])

    def test_2_8_child_runs_a_program_of_its_own(self):
        out = self.run_fork('''
            def program():
                assert run(use())
                assert run(use())
                print('child', flush=True)
                os._exit(0)
            # The task of the parent is not current there.
            thread = threading.Thread(target=program)
            thread.start()
            thread.join()
            os._exit(1)
            ''')
        self.assertEqual(out, ['child'])

    def test_2_8_child_runs_a_program_in_the_same_thread(self):
        # As stock does or does not allow it: it neither crashes nor hangs,
        # and a task of the parent is none of the child's.
        out = self.run_fork('''
            try:
                result = run(use())
            except RuntimeError as exc:
                result = True
            assert result
            print('child', flush=True)
            os._exit(0)
            ''')
        self.assertEqual(out, ['child'])

    def test_2_8_child_goes_on_with_the_scopes(self):
        # They are copies; what happens to them is no concern of the parent.
        out = self.run_fork('''
            scope.cancel()
            member.cancel()
            group.cancel()
            scope.deadline = 5
            scope.shield = True
            gc.collect()
            print('child', scope.cancel_called, flush=True)
            os._exit(0)
            ''')
        self.assertEqual(out, ['child', 'True'])


@programs
class ShutdownTests:
    """The interpreter ends while scopes are open."""

    def run_and_end(self, text, *, noisy=False):
        self.assertEqual(self.run_text(text, quiet=not noisy), ['end'])

    def test_3_9_pending_in_globals(self):
        self.run_and_end('''
            leave_pending()
            leave_pending()
            print('end')
            ''')

    def test_3_9_pending_in_cycles(self):
        for prefix in '', 'gc.disable()', 'gc.collect()':
            self.run_and_end(f'''
                leave_pending()
                make_cycles()
                {prefix}
                print('end')
                ''')

    def test_3_9_pending_in_places_that_go_late(self):
        self.run_and_end('''
            import builtins
            leave_pending()
            builtins.kept = kept
            sys.kept = kept[:]
            asyncio.kept = kept[:]
            asyncio.cancelscopes.kept = kept[:]
            sys.modules['asyncio.kept'] = kept[-1]
            print('end')
            ''')

    def test_3_9_task_of_a_loop_that_was_never_closed(self):
        # Its coroutine is closed when nothing can be imported any more.
        for block in 'asyncio.timeout(100)', 'scope_as_async()':
            self.run_and_end(f'''
                import contextlib

                @contextlib.asynccontextmanager
                async def scope_as_async():
                    with asyncio.CancelScope(shield=True):
                        yield

                async def wait():
                    async with {block}:
                        await asyncio.Future()

                async def main():
                    task = asyncio.create_task(wait())
                    await asyncio.sleep(0)
                    task._log_destroy_pending = False
                    kept.append(task)

                loop = asyncio.new_event_loop()
                loop.run_until_complete(main())
                print('end')
                ''')

    def test_3_9_scopes_that_were_never_entered(self):
        self.run_and_end('''
            kept.append(asyncio.CancelScope(deadline=5))
            kept[0].cancel(kept)
            kept.append(asyncio.TaskGroup())
            kept[1].cancel()
            kept.append(asyncio.move_on_after(5))
            print('end')
            ''')

    def test_3_9_finalizers_use_scopes(self):
        # What is there of asyncio by then may be gone in part.
        self.run_and_end('''
            class Guard:
                def __init__(self, scopes):
                    self.scopes = scopes
                def __del__(self):
                    for scope in self.scopes:
                        for action in (scope.cancel, scope.__enter__,
                                       lambda: repr(scope),
                                       lambda: scope.__exit__(None, None,
                                                              None),
                                       lambda: scope.cancel_called,
                                       lambda: setattr(scope, 'shield', True),
                                       lambda: setattr(scope, 'deadline', 5),
                                       lambda: type(scope)()):
                            try:
                                action()
                            except BaseException:
                                pass

            import builtins
            leave_pending()
            builtins.guard = Guard([thing for thing in kept if isinstance(
                thing, asyncio.CancelScope)])
            sys.guard = Guard([asyncio.CancelScope()])
            print('end')
            ''')

    def test_3_9_exit_within_a_task(self):
        returncode = 3
        out = self.run_text('''
            async def main():
                with asyncio.CancelScope(shield=True):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(forever())
                        await asyncio.sleep(0)
                        sys.exit(3)

            run(main())
            ''', code=returncode)
        self.assertEqual(out, [])

    def test_3_9_exit_within_a_runner_that_is_kept(self):
        self.run_and_end('''
            runner = asyncio.Runner(loop_factory=make_loop)

            async def main():
                asyncio.create_task(leave_open())
                await asyncio.sleep(0.001)

            runner.run(main())
            kept.append(runner)
            print('end')
            ''')

    def test_3_9_exit_at_an_exit_handler(self):
        self.run_and_end('''
            import atexit

            def at_exit():
                assert run(use())
                print('end')

            atexit.register(at_exit)
            leave_pending()
            ''')

    @threading_helper.requires_working_threading()
    def test_3_9_daemon_threads_with_running_loops(self):
        self.run_and_end('''
            ready = threading.Barrier(4)

            async def main():
                with asyncio.CancelScope(
                        deadline=asyncio.get_running_loop().time() + 100):
                    async with asyncio.TaskGroup() as group:
                        for _ in range(10):
                            group.create_task(forever())
                        await asyncio.sleep(0)
                        ready.wait()
                        while True:
                            with asyncio.move_on_after(0):
                                await asyncio.sleep(0)
                            await asyncio.sleep(0)

            for _ in range(3):
                threading.Thread(target=run, args=(main(),),
                                 daemon=True).start()
            ready.wait()
            print('end', flush=True)
            ''')

    def test_3_9_generators_are_left_to_the_end(self):
        self.run_and_end('''
            async def generate():
                with asyncio.CancelScope():
                    async with asyncio.TaskGroup() as group:
                        group.create_task(forever())
                        yield
                        yield

            loop = make_loop()

            async def main():
                gen = generate()
                await anext(gen)
                kept.append(gen)
                await forever()

            kept.append(loop.create_task(main()))
            kept.append(loop)
            loop.call_later(0.001, loop.stop)
            loop.run_forever()
            print('end', flush=True)
            ''', noisy=True)


if __name__ == '__main__':
    unittest.main()
