"""Utilities of the tests of the legacy switches.

The switches hold for a whole process, so what they do is checked in child
processes, one for each set of switches.  A child runs the cases, which are
classes that @cases registers, on every implementation (see scope_utils), and
prints the outcomes.  In the parent, each case that applies to a set is a test
of its own.

A class of cases says which switches must be on and which must be off.  So those
for a switch that is off show that the others have left that behavior alone.
"""

import asyncio
import functools
import importlib
import json
import signal
import sys
import types
import unittest
from test import support

from test.test_asyncio import child_utils
from test.test_asyncio import scope_utils
from test.test_asyncio.scope_utils import MyError


if not support.has_subprocess_support:
    raise unittest.SkipTest('requires subprocesses')


SWITCHES = ('edge-cancel', 'edge-scopes', 'background-errors',
            'unretrieved-only', 'shield', 'signals')

# The value of the option, and the switches that it stands for, by the name
# that the tests have.
SETS = {
    'none': ('', frozenset()),
    **{name.replace('-', '_'): (name, frozenset({name})) for name in SWITCHES},
    'edge_cancel_and_edge_scopes': ('edge-cancel,edge-scopes',
                                    frozenset({'edge-cancel', 'edge-scopes'})),
    'edge_cancel_and_unretrieved_only': (
        'edge-cancel,unretrieved-only',
        frozenset({'edge-cancel', 'unretrieved-only'})),
    'edge_cancel_and_shield': ('edge-cancel,shield',
                               frozenset({'edge-cancel', 'shield'})),
    'all': ('all', frozenset(SWITCHES)),
}

# Those that the build has.
VARIANTS = [variant for variant in scope_utils.VARIANTS
            if variant.Task is not None and variant.CancelScope is not None]

CASES = []


def cases(*, on=(), off=()):
    """Class decorator: these are cases for sets with *on* and without *off*."""
    def register(cls):
        CASES.append((cls, frozenset(on), frozenset(off)))
        return cls
    return register


def find_cases(module, switches):
    return [cls for cls, on, off in CASES if cls.__module__ == module
            and on <= switches and not off & switches]


def get_names(cls):
    return unittest.TestLoader().getTestCaseNames(cls)


def run_cases(module):
    """In the child: print the outcome of each case, in a line."""
    importlib.import_module(module)
    for cls in find_cases(module, asyncio.legacy()):
        for variant in VARIANTS:
            test_case = types.new_class(
                cls.__name__, (variant, cls, scope_utils.ScopeTestCase))
            for name in get_names(cls):
                problems, _ = child_utils.run_test(test_case(name))
                print(json.dumps([cls.__name__, name, variant.__name__,
                                  problems]), flush=True)


@functools.cache
def run_child(module, set_name):
    """Return the outcomes of the cases of a module on a set of switches.

    They are a dict; cases that a child had no time for, because it died, are
    missing.  With it comes a text that says how the child ended.
    """
    option, _ = SETS[set_name]
    program = (f'from test.test_asyncio import legacy_utils; '
               f'legacy_utils.run_cases({module!r})')
    returncode, out, err = child_utils.run_program(
        program, '-X', f'asyncio_legacy={option}',
        timeout=support.LONG_TIMEOUT)
    outcomes = {}
    for line in out.splitlines():
        *case, problems = json.loads(line)
        outcomes[tuple(case)] = problems
    return outcomes, f'exit code {returncode}\n{err}'


class CaseTests:
    """A class of cases, and a set of switches, as a test case."""

    set_name = None
    cls = None

    def check(self, name):
        outcomes, rest = run_child(self.__module__, self.set_name)
        for variant in VARIANTS:
            case = self.cls.__name__, name, variant.__name__
            with self.subTest(variant=variant.__name__):
                self.assertIn(case, outcomes, rest)
                if outcomes[case]:
                    self.fail(outcomes[case])


class CaseUtils:
    """What the cases have in common; in a child, a ScopeTestCase."""

    def run_program(self, main):
        return asyncio.run(main, loop_factory=lambda: self.loop)

    def get_problems(self):
        """Return what the exception handler of the loop was told."""
        support.gc_collect()
        return [(problem['message'], problem.get('exception'))
                for problem in self.problems]

    async def assert_awaits_work(self):
        await asyncio.sleep(0)
        await asyncio.sleep(1)
        await asyncio.wait_for(asyncio.sleep(1), 10)
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1))

    async def failing(self, delay=1):
        await asyncio.sleep(delay)
        raise MyError

    async def fail_when_cancelled(self):
        try:
            await self.forever()
        finally:
            raise MyError

    async def clean_up_slowly(self, trace, name):
        """Wait until cancelled; then take some time, unprotected."""
        try:
            await self.forever()
        finally:
            trace.append(f'{name}: {asyncio.current_task().cancelling()}')
            await self.assert_awaits_work()
            trace.append(f'{name} done')

    def assert_only(self, errors, *kinds):
        """*errors* is the group that run() raises, of these and no others."""
        self.assertIs(type(errors), ExceptionGroup)
        self.assertEqual(errors.message,
                         'unhandled errors in background tasks')
        self.assertCountEqual([type(exc) for exc in errors.exceptions], kinds)


class SignalUtils(CaseUtils):

    def setUp(self):
        super().setUp()
        # The process that runs the tests may ignore them (nohup).
        for signum, handler in ((signal.SIGINT, signal.default_int_handler),
                                (signal.SIGTERM, signal.SIG_DFL)):
            self.addCleanup(signal.signal, signum,
                            signal.signal(signum, handler))


def make_test(name):
    def test(self):
        self.check(name)
    return test


def make_tests(module):
    """Make the test cases that stand for the cases of a module."""
    for set_name, (_, switches) in SETS.items():
        for cls in find_cases(module, switches):
            members = {name: make_test(name) for name in get_names(cls)}
            members.update(set_name=set_name, cls=cls, __module__=module)
            name = f'{cls.__name__}_{set_name}'
            test_case = type(name, (CaseTests, unittest.TestCase), members)
            setattr(sys.modules[module], name, test_case)
