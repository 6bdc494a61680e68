"""Run by a patched interpreter: print, as JSON, which implementations the overlay's test modules test.

    python parity_probe.py MODULE…

For each module and each body of tests (a class of tests, whatever the implementation) that is the set of tests that
each variant has. Then how the C functions and classes compare with their counterparts in Python.
"""

import importlib
import inspect
import json
import sys
import unittest
import _asyncio
from asyncio import _shields
from asyncio import cancelscopes
from asyncio import events
from asyncio import futures
from asyncio import tasks
from asyncio import timeouts

LOADER = unittest.TestLoader()


def find_variant(cls):
    """Return 'C lazy', 'Python eager' and so on; None for a class that says nothing of it."""
    kind = getattr(cls, 'tasks', None)              # those that run programs with signals
    if not isinstance(kind, str):
        task = getattr(cls, 'Task', None)
        if not isinstance(task, type):
            return None
        kind = 'Python' if issubclass(task, tasks._PyTask) else 'C'
    elif kind not in ('C', 'Python'):
        kind = 'Python'                             # where there is no accelerator
    return f'{kind} {"eager" if getattr(cls, "eager", False) else "lazy"}'


def find_body(cls, module):
    """Return the name of the class that the tests of a class come from."""
    for base in cls.__mro__[1:]:
        if (base.__module__ == module.__name__ and not issubclass(base, unittest.TestCase)
                and cls.__name__.startswith(f'{base.__name__}_')):
            return base.__name__
    return cls.__name__


def read_module(name):
    """Return {body: {variant: [test, …]}} of a module."""
    module = importlib.import_module(f'test.test_asyncio.{name}')
    legacy_utils = importlib.import_module('test.test_asyncio.legacy_utils')
    bodies = {}

    def add(body, variant, tests):
        found = bodies.setdefault(body, {}).setdefault(variant or 'plain', [])
        found.extend(test for test in tests if test not in found)

    for cls in list(vars(module).values()):
        if not (isinstance(cls, type) and issubclass(cls, unittest.TestCase) and cls.__module__ == module.__name__):
            continue
        names = LOADER.getTestCaseNames(cls)
        if not names:
            continue
        case = getattr(cls, 'cls', None)
        if isinstance(case, type):                  # legacy switches: each child runs all variants
            for variant in legacy_utils.VARIANTS:
                add(case.__name__, find_variant(variant), names)
        else:
            add(find_body(cls, module), find_variant(cls), names)
    return bodies


def describe(thing):
    """Return the signature and the docstring, which are the interface.

    That something can be passed by position only, as `self` of a method in C, is no part of it, nor are line breaks.
    """
    signature = None
    if callable(thing):
        parameters = inspect.signature(thing).parameters.values()
        signature = [[p.name, 'positional' if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) else p.kind.name,
                      repr(p.default)] for p in parameters]
    return {'signature': signature, 'doc': ' '.join((thing.__doc__ or '').split())}


def find_counterpart(name):
    """Return the pure-Python function or class that has the name in _asyncio, or None."""
    for module in cancelscopes, tasks, futures, events, timeouts, _shields:
        for candidate in f'_py_{name.lstrip("_")}', f'_py_{name}', f'_Py{name}':
            if hasattr(module, candidate):
                return getattr(module, candidate)
    return None


def compare_functions():
    """Return {name: {'c': …, 'python': …}} of all that _asyncio has; None where there is no counterpart."""
    def describe_named(thing):
        return {'doc': thing.__doc__} if isinstance(thing, type) else describe(thing)

    found = {}
    for name, thing in vars(_asyncio).items():
        if callable(thing) and not name.startswith('__'):
            counterpart = find_counterpart(name)
            found[name] = {'c': describe_named(thing), 'python': counterpart and describe_named(counterpart)}
    return found


def compare_scopes():
    """Return the same of what CancelScope has: itself, its public names, and those for groups, which are ours."""
    c, py = cancelscopes._CCancelScope, cancelscopes._PyCancelScope
    members = {'': {'c': describe(c), 'python': describe(py)}}
    for member in sorted({*vars(c), *vars(py)}):
        if not member.startswith('__') or member in ('__enter__', '__exit__'):
            members[member] = {'c': describe(vars(c)[member]) if member in vars(c) else None,
                               'python': describe(vars(py)[member]) if member in vars(py) else None}
    return members


def main():
    print(json.dumps({'modules': {name: read_module(name) for name in sys.argv[1:]},
                      'functions': compare_functions(), 'scopes': compare_scopes()}))


if __name__ == '__main__':
    main()
