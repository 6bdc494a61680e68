"""Tests of how a process reads its legacy switches.

Names of tests carry the number of the rule that they check.
"""

import asyncio
import importlib
import signal
import subprocess
import sys
import textwrap
import unittest
from test import support
from test.support import os_helper
from test.support import script_helper
from test.support.script_helper import (
    assert_python_failure, assert_python_ok, spawn_python)

from test.test_asyncio.legacy_utils import CASES, SETS, SWITCHES


def tearDownModule():
    asyncio.events._set_event_loop_policy(None)


class SetTests(unittest.TestCase):

    def test_9_each_child_has_its_switches(self):
        program = 'import asyncio; print(*sorted(asyncio.legacy()))'
        for set_name, (option, names) in SETS.items():
            with self.subTest(set_name):
                _, out, _ = assert_python_ok(
                    '-X', f'asyncio_legacy={option}', '-c', program)
                self.assertEqual(out.decode().split(), sorted(names))

    def test_9_each_case_belongs_to_a_set(self):
        for module in 'test_legacy_cancel', 'test_legacy_run':
            importlib.import_module(f'test.test_asyncio.{module}')
        for cls, on, off in CASES:
            with self.subTest(cls.__name__):
                self.assertTrue(any(
                    on <= names and not off & names
                    for _, names in SETS.values()))


class StartUpTests(unittest.TestCase):
    """How the switches are read."""

    def read(self, *options, **env):
        """Return what a child says of asyncio.legacy(), as a string."""
        _, out, err = assert_python_ok(
            *options, '-c',
            'import asyncio; print(*sorted(asyncio.legacy()))', **env)
        self.assertEqual(err, b'')
        return out.decode().strip()

    def test_9_option(self):
        self.assertEqual(self.read('-X', 'asyncio_legacy=shield'), 'shield')
        self.assertEqual(self.read('-X', 'asyncio_legacy=shield,edge-cancel'),
                         'edge-cancel shield')

    def test_9_environment(self):
        self.assertEqual(self.read(PYTHONASYNCIOLEGACY='shield'), 'shield')
        self.assertEqual(self.read(PYTHONASYNCIOLEGACY='shield,edge-cancel'),
                         'edge-cancel shield')

    def test_9_all(self):
        everything = ' '.join(sorted(SWITCHES))
        for value in 'all', 'all,shield', 'shield, all':
            with self.subTest(value):
                self.assertEqual(self.read('-X', f'asyncio_legacy={value}'),
                                 everything)
                self.assertEqual(self.read(PYTHONASYNCIOLEGACY=value),
                                 everything)

    def test_9_spaces_and_repeated_names(self):
        for value in ' shield ,signals', 'signals,shield,,signals,', '\tshield, signals\n':
            with self.subTest(value):
                self.assertEqual(self.read('-X', f'asyncio_legacy={value}'),
                                 'shield signals')
                self.assertEqual(self.read(PYTHONASYNCIOLEGACY=value),
                                 'shield signals')

    def test_9_empty_value(self):
        for option in 'asyncio_legacy', 'asyncio_legacy=', 'asyncio_legacy= , ':
            with self.subTest(option):
                self.assertEqual(self.read('-X', option), '')
        for value in '', ' , ':
            with self.subTest(value):
                self.assertEqual(self.read(PYTHONASYNCIOLEGACY=value), '')

    def test_9_none(self):
        self.assertEqual(self.read(), '')

    def test_9_option_wins_over_the_environment(self):
        for value in 'signals', 'no-such-switch':
            for option, names in {'asyncio_legacy=shield': 'shield',
                                  'asyncio_legacy=': '',
                                  'asyncio_legacy': ''}.items():
                with self.subTest(value=value, option=option):
                    self.assertEqual(
                        self.read('-X', option, PYTHONASYNCIOLEGACY=value),
                        names)

    def test_9_last_option_wins(self):
        # As for every -X option.
        self.assertEqual(self.read('-X', 'asyncio_legacy=shield',
                                   '-X', 'asyncio_legacy=signals'), 'signals')

    def test_9_environment_is_ignored_where_python_is_told_to(self):
        for value in 'signals', 'no-such-switch':
            for option in '-E', '-I':
                with self.subTest(value=value, option=option):
                    self.assertEqual(
                        self.read(option, PYTHONASYNCIOLEGACY=value), '')
                    self.assertEqual(
                        self.read(option, '-X', 'asyncio_legacy=shield',
                                  PYTHONASYNCIOLEGACY=value), 'shield')

    def test_9_another_option_that_begins_alike(self):
        self.assertEqual(self.read('-X', 'asyncio_legacy_shield=no-such-switch'),
                         '')

    def test_9_nothing_is_imported_without_a_switch(self):
        program = ('import sys; print("_asyncio_legacy" in sys.modules, '
                   '"asyncio" in sys.modules)')
        _, out, _ = assert_python_ok('-c', program)
        self.assertEqual(out.split(), [b'False', b'False'])
        _, out, _ = assert_python_ok('-E', '-c', program,
                                     PYTHONASYNCIOLEGACY='shield')
        self.assertEqual(out.split(), [b'False', b'False'])

    def test_9_asyncio_is_not_imported_with_a_switch(self):
        program = 'import sys; print("asyncio" in sys.modules)'
        _, out, _ = assert_python_ok('-X', 'asyncio_legacy=all', '-c', program)
        self.assertEqual(out.split(), [b'False'])

    def test_9_help(self):
        _, out, _ = assert_python_ok('--help-all')
        self.assertIn(b'-X asyncio_legacy=', out)
        self.assertIn(b'PYTHONASYNCIOLEGACY', out)


class UnknownNameTests(unittest.TestCase):

    def assert_refused(self, source, names, returncode, out, err):
        self.assertNotEqual(returncode, 0)
        # It says so before the program runs.
        self.assertEqual(out, b'')
        lines = err.decode().splitlines()
        self.assertEqual(len(lines), 1, lines)
        for word in (source, *names, *SWITCHES, 'all'):
            self.assertIn(word, lines[0])

    def check(self, *args, names=('no-such-switch',)):
        value = ','.join(['shield', *names])
        self.assert_refused('-X asyncio_legacy', names, *assert_python_failure(
            '-X', f'asyncio_legacy={value}', *args))
        self.assert_refused('PYTHONASYNCIOLEGACY', names, *assert_python_failure(
            *args, PYTHONASYNCIOLEGACY=value))

    def test_9_command(self):
        self.check('-c', 'print("ran")')

    def test_9_command_that_uses_asyncio(self):
        self.check('-c', 'import asyncio; print("ran")')

    def test_9_module(self):
        self.check('-m', 'this')

    def test_9_script(self):
        with os_helper.temp_dir() as folder:
            script = script_helper.make_script(folder, 'script', 'print("ran")')
            self.check(script)

    def test_9_folder(self):
        with os_helper.temp_dir() as folder:
            script_helper.make_script(folder, '__main__', 'print("ran")')
            self.check(folder)

    def test_9_stdin(self):
        for args in (), ('-',):
            with self.subTest(args):
                with spawn_python('-X', 'asyncio_legacy=no-such-switch', *args,
                                  stderr=subprocess.PIPE) as child:
                    out, err = child.communicate(b'print("ran")\n')
                self.assert_refused('-X asyncio_legacy', ['no-such-switch'],
                                    child.returncode, out, err)

    def test_9_interactive(self):
        with spawn_python('-i', '-q', '-X', 'asyncio_legacy=no-such-switch',
                          '-c', 'print("ran")',
                          stderr=subprocess.PIPE) as child:
            out, err = child.communicate(b'print("ran")\n')
        # This option makes a traceback of every way to exit.
        self.assert_refused('-X asyncio_legacy', ['no-such-switch'],
                            child.returncode, out, err.splitlines()[-1])

    def test_9_several_names(self):
        self.check('-c', 'print("ran")', names=['no-such-switch', 'another'])

    def test_9_near_misses(self):
        for name in 'Shield', 'edge_cancel', 'ALL', 'none', 'shield signals':
            with self.subTest(name):
                self.check('-c', 'print("ran")', names=[name])


@unittest.skipIf(sys.platform == 'win32',
                 'a process cannot be sent SIGINT or SIGTERM')
class SignalProcessTests(unittest.TestCase):
    """The signals come from outside, while the loop waits."""

    PROGRAM = textwrap.dedent('''\
        import asyncio
        import signal

        # The process that runs the tests may ignore them (nohup).
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

        async def background():
            try:
                await asyncio.sleep(3600)
            finally:
                print('background ends')

        async def main():
            task = asyncio.create_task(background())
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(print, 'ready')
            try:
                await asyncio.sleep(3600)
            finally:
                with asyncio.CancelScope(shield=True):
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                print('main ends', task.cancelling())

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print('KeyboardInterrupt')
        ''')

    def interrupt(self, option, signum):
        with spawn_python('-u', '-X', f'asyncio_legacy={option}',
                          '-c', self.PROGRAM, text=True) as child:
            self.assertEqual(child.stdout.readline(), 'ready\n')
            child.send_signal(signum)
            try:
                out, _ = child.communicate(timeout=support.SHORT_TIMEOUT)
            finally:
                child.kill()
        return child.returncode, out.splitlines()

    def test_9_sigint(self):
        for option in 'signals', 'all', 'edge-cancel,signals':
            with self.subTest(option):
                self.assertEqual(
                    self.interrupt(option, signal.SIGINT),
                    (0, ['main ends 0', 'background ends',
                         'KeyboardInterrupt']))

    def test_9_sigterm(self):
        for option in 'signals', 'all':
            with self.subTest(option):
                self.assertEqual(self.interrupt(option, signal.SIGTERM),
                                 (-signal.SIGTERM, []))

    def test_9_signals_without_the_switch(self):
        others = ','.join(name for name in SWITCHES if name != 'signals')
        returncode, out = self.interrupt(others, signal.SIGINT)
        self.assertEqual(returncode, 0)
        self.assertEqual(out, ['background ends', 'main ends 1',
                               'KeyboardInterrupt'])
        returncode, out = self.interrupt(others, signal.SIGTERM)
        self.assertEqual(returncode, 0)
        self.assertEqual(out, ['background ends', 'main ends 1',
                               'KeyboardInterrupt'])


if __name__ == '__main__':
    unittest.main()
