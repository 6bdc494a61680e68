"""What the tests of scopes among hostile objects have in common."""

import asyncio
import functools
import gc
import importlib
import json
import os
import subprocess
import sys
import unittest
import warnings
from test import support
from test.support import script_helper


class MyError(Exception):
    pass


class MyBaseError(BaseException):
    pass


class Resurrecting:
    """Runs something when it is finalized."""

    def __init__(self, function):
        self.function = function

    def __del__(self):
        self.function()


class HostileTestCase:
    """What the tests have in common; a mixin of a ScopeTestCase."""

    def setUp(self):
        super().setUp()
        # What is destroyed by force complains where nobody is there to hear.
        self.enterContext(warnings.catch_warnings())
        warnings.simplefilter('ignore', RuntimeWarning)
        saved = sys.unraisablehook
        self.addCleanup(setattr, sys, 'unraisablehook', saved)
        self.addCleanup(gc.collect)
        sys.unraisablehook = lambda unraisable: None

    async def assert_sound(self):
        """The tree around the current task does all that it should."""
        await self.assert_not_cancelled()
        with self.CancelScope() as outer:
            with self.CancelScope(shield=True) as inner:
                outer.cancel('outer')
                await asyncio.sleep(0)
            await self.assert_level('outer', times=1)
        self.assert_scope(inner, called=False, caught=False)
        self.assert_scope(outer, called=True, caught=False)
        with self.CancelScope(deadline=self.loop.time() + 1) as scope:
            async with asyncio.TaskGroup() as group:
                member = group.create_task(self.forever())
                await self.forever()
        self.assert_scope(scope, called=True, caught=True)
        self.assertIs(member.cancelled(), True)
        await self.assert_not_cancelled()

    def make_future(self, on_cancel):
        """Return a Future: cancel() calls on_cancel(future, super_cancel)."""
        class Hostile(self.Future):
            def cancel(self, msg=None):
                return on_cancel(self, super().cancel)
        return Hostile(loop=self.loop)

    def force_exit(self, scope, exc=None):
        """Leave a scope from wherever; tell whether that was right."""
        try:
            scope.__exit__(type(exc) if exc else None, exc, None)
        except RuntimeError:
            return False
        return True

    def patch_loop(self, name, function):
        """Replace a method of the loop until unpatch_loop()."""
        setattr(self.loop, name, function)

    def unpatch_loop(self, *names):
        for name in names:
            self.loop.__dict__.pop(name, None)

    def take_problems(self):
        problems, self.problems = self.problems, []
        return [problem['message'] for problem in problems]


# ----- Tests in a child process -----

in_child = False


class IsolatedTestCase(HostileTestCase):
    """A mixin of a ScopeTestCase whose tests run in a child process.

    One child for the class, and another one for the rest if that dies.
    """

    def _callTestMethod(self, method):
        if in_child:
            super()._callTestMethod(method)
            return
        self.loop.close()
        problems, skipped = run_isolated(type(self))[method.__name__]
        if skipped:
            self.skipTest(skipped)
        if problems:
            self.fail(problems)


def run_child(module, class_name, names):
    """What a child does: print what each test comes to, in a line."""
    global in_child
    in_child = True
    cls = getattr(importlib.import_module(module), class_name)
    for name in names:
        print(json.dumps([name]), flush=True)
        result = unittest.TestResult()
        cls(name).run(result)
        problems = [f'{test}\n{text}' for test, text in
                    [*result.errors, *result.failures]]
        skipped = [reason for test, reason in result.skipped]
        print(json.dumps([name, '\n'.join(problems), '\n'.join(skipped)]),
              flush=True)


@functools.cache
def run_isolated(cls):
    """Return {test: (its problems, why it was skipped)}."""
    if not support.has_subprocess_support:
        raise unittest.SkipTest('requires subprocesses')
    left = unittest.TestLoader().getTestCaseNames(cls)
    outcomes = {}
    while left:
        program = (f'from test.test_asyncio import hostile_utils; '
                   f'hostile_utils.run_child({cls.__module__!r}, '
                   f'{cls.__name__!r}, {left!r})')
        env = {}
        if not support.check_sanitizer(address=True):
            env['PYTHONMALLOC'] = 'debug'   # what is freed is overwritten
        returncode, out, err = run_program(program, **env)
        begun = None
        for line in out.splitlines():
            if not line.startswith('["test_'):
                continue        # what the test itself has printed
            name, *outcome = json.loads(line)
            if outcome:
                outcomes[name], begun = outcome, None
            else:
                begun = name
        if begun is None and returncode:
            begun = next((name for name in left if name not in outcomes),
                         left[-1])
        if begun is not None:
            outcomes[begun] = [f'the child died: exit code {returncode}\n'
                               f'{err[-5000:]}', '']
        left = [name for name in left if name not in outcomes]
    return outcomes


def run_program(program, **env):
    """Run a program; return its exit code (None if it hung) and output."""
    with script_helper.spawn_python(
            '-X', 'faulthandler', '-c', program,
            stderr=subprocess.PIPE, text=True,
            env={**os.environ, **env}) as child:
        try:
            out, err = child.communicate(timeout=support.SHORT_TIMEOUT)
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate()
            return None, out, f'it hung\n{err}'
    return child.returncode, out, err
