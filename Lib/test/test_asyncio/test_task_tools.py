"""Tests of the tools that look at tasks (10.2), and of python -m asyncio.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import io
import itertools
import os
import re
import subprocess
import sys
import textwrap
import unittest
from test import support
from test.support import script_helper

from test.test_asyncio.scope_utils import MyError, matrix

try:
    from _remote_debugging import PROCESS_VM_READV_SUPPORTED
except ImportError:
    PROCESS_VM_READV_SUPPORTED = None


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


@matrix
class ReprTests:
    """Rule 10.2: repr() of tasks, as in stock."""

    def repr(self, task):
        # The type of the Future and the callbacks are not of interest.
        text = re.sub(r' wait_for=<[^>]*>| cb=\[[^\]]*\]', '', repr(task))
        return re.sub(r' running at [^>]*>', ' running>',
                      re.sub(r' done, defined at [^>]*>', ' done>', text))

    async def named(self):
        await self.forever()

    def expected(self, status, state='running', more=''):
        method = type(self).named.__qualname__
        return f"<Task {status} name='name' coro=<{method}() {state}>{more}>"

    async def test_10_2_repr_of_a_pending_task(self):
        task = self.spawn(self.named(), name='name')
        await self.settle()
        self.assertIn(' wait_for=<', repr(task))
        self.assertEqual(self.repr(task), self.expected('pending'))
        task.cancel()
        self.assertEqual(self.repr(task), self.expected('cancelling'))
        await asyncio.wait([task])
        self.assertEqual(self.repr(task), self.expected('cancelled', 'done'))

    async def test_10_2_repr_of_the_members_of_a_group(self):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.named(), name='name')
            await self.settle()
            self.assertEqual(self.repr(task), self.expected('pending'))
            group.cancel()
        self.assertEqual(self.repr(task), self.expected('cancelled', 'done'))

    def test_10_2_repr_of_a_background_task(self):
        async def main():
            nonlocal task
            task = asyncio.create_task(self.named(), name='name')
            await self.settle()
            self.assertEqual(self.repr(task), self.expected('pending'))

        task = None
        asyncio.run(main(), loop_factory=lambda: self.loop)
        self.assertEqual(self.repr(task), self.expected('cancelled', 'done'))

    async def test_10_2_repr_after_an_uncancel(self):
        async def body():
            asyncio.current_task().cancel()
            cancelling = repr(asyncio.current_task())
            asyncio.current_task().uncancel()
            return cancelling, repr(asyncio.current_task())

        cancelling, pending = await self.spawn(body())
        self.assertStartsWith(cancelling, '<Task cancelling ')
        self.assertStartsWith(pending, '<Task pending ')

    async def test_10_2_repr_in_a_scope(self):
        # As cancelling() has it, by rule 5.3.
        task = asyncio.current_task()
        with self.CancelScope() as scope:
            self.assertStartsWith(repr(task), '<Task pending ')
            scope.cancel()
            await self.assert_cancelled(asyncio.sleep(0))
            self.assertStartsWith(repr(task), '<Task cancelling ')
            await asyncio.sleep(0)
        self.assertStartsWith(repr(task), '<Task pending ')

    async def test_10_2_repr_of_a_finished_task(self):
        async def named(outcome):
            await asyncio.sleep(1)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        for outcome, shown in (1, 'result=1'), (MyError(), 'exception=MyError()'):
            task = self.spawn(named(outcome), name='name')
            await asyncio.wait([task])
            self.assertStartsWith(repr(task), "<Task finished name='name' coro=<")
            self.assertEndsWith(repr(task), f'{shown}>')
            task.exception()

    async def test_10_2_repr_of_a_task_in_shield(self):
        async def body():
            await asyncio.shield(self.named())

        task = self.spawn(body(), name='name')
        await self.settle()
        self.assertStartsWith(repr(task), "<Task pending name='name' coro=<")
        self.assertIn('.<locals>.body() running at ', repr(task))
        task.cancel()
        self.assertStartsWith(repr(task), "<Task cancelling name='name' ")
        task._fut_waiter.set_result(None)
        await asyncio.wait([task])


@matrix
class CallGraphTests:
    """Rule 10.2: print_call_graph()."""

    def print(self, task=None):
        """Return what is printed, without what differs from run to run."""
        file = io.StringIO()
        asyncio.print_call_graph(task, file=file)
        lines = []
        for line in file.getvalue().splitlines():
            line = re.sub(r'id=0x\w+', 'id', line)
            line = re.sub(r'File .*, line \d+, in (async )?', '', line)
            lines.append(line.replace(type(self).__qualname__ + '.', ''))
        return lines

    def get_awaited_by(self, task):
        """Return the names of the tasks that await the *task*, and so on."""
        def walk(node):
            return {above.future.get_name(): walk(above)
                    for above in node.awaited_by}
        return walk(asyncio.capture_call_graph(task))

    async def leaf(self):
        await self.forever()

    async def branch(self):
        await self.leaf()

    def assert_stack(self, lines, *functions):
        """The first call stack that was printed has these functions."""
        printed = ' '.join(lines[1:]).split('Awaited by:')[0]
        positions = [printed.find(f'{name}()') for name in functions]
        self.assertNotIn(-1, positions, printed)
        self.assertEqual(positions, sorted(positions), printed)

    async def test_10_2_members_of_a_group_are_awaited_by_the_host(self):
        async def host():
            async with asyncio.TaskGroup() as group:
                members.append(group.create_task(self.branch(), name='one'))
                members.append(group.create_task(self.branch(), name='two'))

        members = []
        task = self.spawn(host(), name='host')
        await self.settle()
        for member in members:
            self.assertEqual(self.get_awaited_by(member), {'host': {}})
            lines = self.print(member)
            self.assert_stack(lines, 'leaf', 'branch')
            self.assertEqual(lines[0],
                             f"* Task(name={member.get_name()!r}, id)")
            self.assertIn("    * Task(name='host', id)", lines)
        self.assertEqual(self.get_awaited_by(task), {})
        self.assert_stack(self.print(task), 'host')
        await self.stop(task)
        for member in members:
            self.assertEqual(self.get_awaited_by(member), {})

    async def stop(self, task):
        task.cancel()
        await asyncio.wait([task])

    def get_scopes(self, task):
        """Return the lines of the first task about its scopes."""
        lines = self.print(task)
        if '  + Cancel scopes:' not in lines:
            return []
        lines = lines[lines.index('  + Cancel scopes:') + 1:]
        return [line.removeprefix('  |   ') for line in itertools.takewhile(
            lambda line: line.startswith('  |   '), lines)]

    async def test_10_2_scopes_around_a_task(self):
        async def worker():
            with self.CancelScope(shield=True):
                async with asyncio.timeout(30):
                    await self.forever()

        async def host():
            with self.CancelScope() as scope:
                scopes.append(scope)
                async with asyncio.TaskGroup() as group:
                    tasks.append(group.create_task(worker(), name='worker'))

        scopes, tasks = [], []
        tasks.append(self.spawn(host(), name='host'))
        await self.settle()
        host_task, worker_task = sorted(tasks, key=asyncio.Task.get_name)
        self.assertEqual(self.get_scopes(worker_task),
                         ['timeout(), deadline in 30 s',
                          'CancelScope, shielded'])
        self.assertEqual(self.get_scopes(host_task),
                         ['TaskGroup', 'CancelScope'])
        scopes[0].cancel('why')
        self.assertEqual(
            self.get_scopes(worker_task),
            ['timeout(), deadline in 30 s', 'CancelScope, shielded',
             "CancelScope of host, cancelled, message 'why'"])
        worker_task.cancel()
        # Around all that the task has entered.
        self.assertEqual(
            self.get_scopes(worker_task),
            ['timeout(), deadline in 30 s', 'CancelScope, shielded',
             'Task.cancel(), in force: 1',
             "CancelScope of host, cancelled, message 'why'"])

        entries = asyncio.capture_call_graph(worker_task).cancel_scopes
        self.assertEqual(
            [(entry.kind, entry.host.get_name()) for entry in entries
             if entry.host is not None],
            [('timeout()', 'worker'), ('CancelScope', 'worker'),
             ('TaskGroup', 'host'), ('CancelScope', 'host')])
        self.assertIs(entries[0].scope, asyncio.current_scope(worker_task))
        self.assertIs(entries[3].scope, scopes[0])
        self.assertEqual({entry.origin for entry in entries}, {None})
        entries[1].scope.shield = False
        await asyncio.wait(tasks)
        for task in tasks:
            self.assertEqual(self.get_scopes(task), [])

    async def test_10_2_scope_with_a_repr_of_its_own(self):
        class Mine(self.CancelScope):
            def __repr__(self):
                return 'mine'

        async def worker():
            await self.forever()

        async def host():
            with Mine() as scope:
                scopes.append(scope)
                tasks.append(scope.create_task(worker()))
                await asyncio.wait(tasks)

        scopes, tasks = [], []
        host_task = self.spawn(host(), name='host')
        await self.settle()
        scopes[0].cancel('why')
        self.assertEqual(self.get_scopes(tasks[0]),
                         ["CancelScope of host, cancelled, message 'why'"])
        await asyncio.wait([host_task])

    async def test_10_2_scope_of_run(self):
        # It is printed only if it is cancelled.
        self.assertEqual(self.get_scopes(asyncio.current_task()), [])

    async def test_10_2_where_a_scope_was_entered(self):
        self.loop.set_debug(True)

        async def work():
            with self.CancelScope():
                await self.forever()

        task = self.spawn(work())
        await self.settle()
        [line] = self.get_scopes(task)
        self.assertRegex(line, r'\ACancelScope, entered at .*:\d+ in .*work')
        await self.stop(task)

    async def test_10_2_member_that_is_done_is_awaited_no_more(self):
        async with asyncio.TaskGroup() as group:
            done = group.create_task(asyncio.sleep(0), name='done')
            pending = group.create_task(self.forever(), name='pending')
            await self.settle()
            name = asyncio.current_task().get_name()
            self.assertEqual(self.get_awaited_by(done), {})
            self.assertEqual(self.get_awaited_by(pending), {name: {}})
            group.cancel()

    async def test_10_2_groups_in_groups(self):
        async def outer():
            async with asyncio.TaskGroup() as group:
                group.create_task(inner(), name='inner')

        async def inner():
            async with asyncio.TaskGroup() as group:
                members.append(group.create_task(self.branch(), name='leaf'))

        members = []
        task = self.spawn(outer(), name='outer')
        await self.settle()
        self.assertEqual(self.get_awaited_by(members[0]),
                         {'inner': {'outer': {}}})
        await self.stop(task)

    async def test_10_2_shield_of_a_coroutine(self):
        async def host():
            await asyncio.shield(self.branch())

        task = self.spawn(host(), name='host')
        await self.settle()
        lines = self.print(task)
        self.assertEqual(lines[0], "* Task(name='host', id)")
        # All in one task.
        self.assert_stack(lines, 'leaf', 'branch', 'host')
        self.assertEqual(self.get_awaited_by(task), {})
        task._fut_waiter.set_result(None)
        await task

    async def test_10_2_shield_of_a_task(self):
        async def host():
            await asyncio.shield(inner)

        inner = self.spawn(self.branch(), name='inner')
        task = self.spawn(host(), name='host')
        await self.settle()
        self.assertEqual(self.get_awaited_by(inner), {'host': {}})
        self.assert_stack(self.print(inner), 'leaf', 'branch')
        await self.stop(task)
        await self.stop(inner)

    async def test_10_2_scopes_and_timeouts(self):
        async def host():
            with self.CancelScope():
                async with asyncio.timeout(100):
                    await self.branch()

        task = self.spawn(host(), name='host')
        await self.settle()
        self.assert_stack(self.print(task), 'leaf', 'branch', 'host')
        self.assertEqual(self.get_awaited_by(task), {})
        await self.stop(task)

    async def test_10_2_current_task(self):
        async def member():
            await asyncio.sleep(0)
            printed.extend(self.print())

        printed = []
        async with asyncio.TaskGroup() as group:
            group.create_task(member(), name='member')
        self.assertEqual(printed[0], "* Task(name='member', id)")
        self.assert_stack(printed, 'member')
        name = asyncio.current_task().get_name()
        self.assertIn(f'    * Task(name={name!r}, id)', printed)

    def test_10_2_background_tasks_are_not_awaited(self):
        async def main():
            task = asyncio.create_task(self.branch(), name='background')
            await self.settle()
            self.assert_stack(self.print(task), 'leaf', 'branch')
            return self.get_awaited_by(task)

        self.assertEqual(
            asyncio.run(main(), loop_factory=lambda: self.loop), {})


@support.requires_subprocess()
class ToolTests(unittest.TestCase):
    """Rule 10.2: python -m asyncio ps and pstree."""

    PROGRAM = textwrap.dedent('''\
        import asyncio

        async def leaf():
            await asyncio.sleep(3600)

        async def branch():
            await leaf()

        async def shielded():
            await asyncio.shield(branch())

        async def failing():
            await asyncio.sleep(0)
            raise ValueError

        async def main():
            background = [
                asyncio.create_task(branch(), name='background'),
                asyncio.create_task(shielded(), name='shielded'),
                asyncio.create_task(asyncio.shield(asyncio.shield(branch())),
                                    name='shield'),
                asyncio.create_task(failing(), name='failing', errors='log'),
            ]
            async with asyncio.TaskGroup() as group:
                group.create_task(branch(), name='one')
                group.create_task(branch(), name='two')
                announce(5)

        def announce(turns):
            # When everybody is blocked, and the one that fails is gone.
            if turns:
                asyncio.get_running_loop().call_soon(announce, turns - 1)
            else:
                print('ready')

        asyncio.run(main())
        ''')

    SCOPES = textwrap.dedent('''\
        import asyncio

        async def refuse():
            with asyncio.CancelScope(shield=True):
                async with asyncio.timeout(3600):
                    await asyncio.sleep(7200)

        async def main():
            loop = asyncio.get_running_loop()
            with asyncio.CancelScope() as scope:
                async with asyncio.TaskGroup() as group:
                    refusing = group.create_task(refuse(), name='refusing')
                    group.create_task(asyncio.sleep(7200), name='sleeping')
                    loop.call_soon(loop.call_soon, loop.call_soon, stop, scope,
                                   refusing)

        def stop(scope, task):
            scope.cancel('enough, \N{EURO SIGN}')
            task.cancel(None)
            asyncio.get_running_loop().call_soon(
                asyncio.get_running_loop().call_soon, print, 'ready')

        asyncio.run(main())
        ''')

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # As test_external_inspection decides it.
        if getattr(asyncio.tasks, '_CTask', None) is None:
            raise unittest.SkipTest('requires the C _asyncio module')
        if PROCESS_VM_READV_SUPPORTED is None:
            raise unittest.SkipTest('requires _remote_debugging')
        if sys.platform not in ('linux', 'darwin', 'win32'):
            raise unittest.SkipTest('processes cannot be inspected here')
        if sys.platform == 'linux' and not PROCESS_VM_READV_SUPPORTED:
            raise unittest.SkipTest('requires process_vm_readv')

    def inspect(self, command, program=PROGRAM, *options):
        """Return what the command prints about a child that is waiting."""
        with script_helper.spawn_python('-u', *options, '-c', program,
                                        stderr=subprocess.DEVNULL,
                                        text=True) as child:
            try:
                self.assertEqual(child.stdout.readline(), 'ready\n')
                result = subprocess.run(
                    [sys.executable, '-X', 'utf8', '-m', 'asyncio', command,
                     str(child.pid)],
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    encoding='utf-8', timeout=support.LONG_TIMEOUT)
            finally:
                child.kill()
        if 'insufficient permissions' in result.stdout:
            self.skipTest('processes may not be inspected')
        self.assertEqual(result.returncode, 0, result.stdout)
        return result.stdout

    def test_10_2_pstree(self):
        # The nearest task above each task, and the functions below it.
        above, functions = {}, {}
        path = []
        printed = self.inspect('pstree')
        for line in printed.splitlines():
            indentation, _, label = line.partition('── ')
            del path[len(indentation) // 4:]
            if label.startswith('(T)'):
                name = label.removeprefix('(T)').partition(' [')[0].strip()
                above[name] = next(
                    (task for task in reversed(path) if task in above), None)
                functions[name] = []
            else:
                name = ''
                task = next(task for task in reversed(path) if task in above)
                functions[task].append(label.split()[0])
            path.append(name)

        self.assertEqual(above, {
            'Task-1': None, 'background': None, 'shielded': None,
            'shield': None,
            'one': 'Task-1', 'two': 'Task-1'}, printed)
        self.assertIn('main', functions['Task-1'])
        for name in 'background', 'shield', 'one', 'two':
            self.assertEqual(functions[name], ['branch', 'leaf', 'sleep'])
        self.assertEqual(functions['shielded'],
                         ['shielded', 'branch', 'leaf', 'sleep'])

    def test_10_2_ps(self):
        printed = self.inspect('ps')
        names = [line.split()[2] for line in printed.splitlines()[2:]]
        self.assertCountEqual(
            names, ['Task-1', 'background', 'shielded', 'shield', 'one',
                    'two'], printed)

    def assert_scopes(self, found, *expected):
        """Check what is said of scopes; *expected* has no time."""
        found = re.sub(r'deadline in \d\d\d\d(\.\d+)? s', 'deadline', found)
        found = re.sub(r'entered at .*?:(?=\d)', 'entered at line ', found)
        self.assertEqual(found.split('; '), list(expected))

    def test_10_2_scopes_in_pstree(self):
        texts = {}
        for line in self.inspect('pstree', self.SCOPES).splitlines():
            if '(T)' in line:
                name, _, text = line.partition('(T) ')[2].partition(' [')
                texts[name] = text.removesuffix(']')
        message = "message 'enough, \N{EURO SIGN}'"
        self.assertEqual(list(texts), ['Task-1', 'refusing'])
        self.assert_scopes(texts['Task-1'], 'TaskGroup',
                           f'CancelScope, cancelled, {message}')
        self.assert_scopes(
            texts['refusing'], 'timeout(), deadline', 'CancelScope, shielded',
            'Task.cancel(), in force',
            f'CancelScope of Task-1, cancelled, {message}')

    def test_10_2_scopes_in_ps(self):
        title, _, *rows = self.inspect(
            'ps', self.SCOPES, '-X', 'dev').splitlines()
        column = title.index('cancel scopes')
        texts = {row.split()[2]: row[column:] for row in rows}
        message = "message 'enough, \N{EURO SIGN}'"
        self.assertEqual(list(texts), ['Task-1', 'refusing'])
        self.assert_scopes(
            texts['Task-1'],
            'TaskGroup, entered at line 11 in main()',
            f'CancelScope, cancelled, {message}, entered at line 10 in main()')
        self.assert_scopes(
            texts['refusing'],
            'timeout(), deadline, entered at line 5 in refuse()',
            'CancelScope, shielded, entered at line 4 in refuse()',
            'Task.cancel(), in force',
            f'CancelScope of Task-1, cancelled, {message}, '
            'entered at line 10 in main()')


@support.requires_subprocess()
class ReplTests(unittest.TestCase):
    """python -m asyncio has no root group."""

    def run_repl(self, *lines):
        env = os.environ | {'PYTHON_BASIC_REPL': '1', 'TERM': 'dumb'}
        env.pop('PYTHONSTARTUP', None)
        result = subprocess.run(
            [sys.executable, '-q', '-m', 'asyncio'],
            input=''.join(f'{line}\n' for line in lines), env=env,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=support.LONG_TIMEOUT)
        self.assertEqual(result.returncode, 0, result.stdout)
        return result.stdout

    def test_7_7_repl_goes_on_after_a_background_failure(self):
        printed = self.run_repl(
            'async def failing(): raise ValueError("background")',
            '',
            'task = asyncio.create_task(failing())',
            'await asyncio.sleep(0)',
            'print("done:", task.done())',
            'await asyncio.sleep(0, print("still", "there"))',
            'await task',
            'print("after", "it")',
            'async with asyncio.TaskGroup() as g: x = g.create_task(failing())',
            '',
            'print("after", "the group")',
            'await asyncio.sleep(0, asyncio.current_task().cancelling())')
        self.assertIn('done: True', printed)
        self.assertIn('still there', printed)
        self.assertIn('ValueError: background', printed)
        self.assertIn('after it', printed)
        self.assertIn('unhandled errors in a TaskGroup', printed)
        self.assertIn('after the group', printed)
        self.assertEndsWith(printed.split('exiting')[0].strip(), '0\n>>>')

    def test_7_7_repl_logs_a_failure_that_was_not_retrieved(self):
        printed = self.run_repl(
            'async def failing(): raise ValueError("background")',
            '',
            'task = asyncio.create_task(failing())',
            'await asyncio.sleep(0)',
            'del task',
            'import gc; print("collected", gc.collect() >= 0)',
            'await asyncio.sleep(0, print("still", "there"))')
        self.assertIn('Task exception was never retrieved', printed)
        self.assertIn('collected True', printed)
        self.assertIn('still there', printed)

    def test_7_7_repl_keeps_other_background_tasks(self):
        printed = self.run_repl(
            'async def failing(): raise ValueError("background")',
            '',
            'other = asyncio.create_task(asyncio.sleep(3600))',
            'task = asyncio.create_task(failing())',
            'await asyncio.sleep(0)',
            'print("other:", other.done(), other.cancelling())')
        self.assertIn('other: False 0', printed)


if __name__ == '__main__':
    unittest.main()
