"""The cases, by subject.  Each is a Case; CASES has them all, in the order of the report."""

import importlib

from benchmarks.cases.case import Case

_MODULES = 'scopes', 'deadlines', 'shields', 'groups', 'cancelling', 'tasks', 'processes', 'memory', 'pure'
CASES = {value.name: value for module in _MODULES
         for value in vars(importlib.import_module(f'benchmarks.cases.{module}')).values() if isinstance(value, Case)}


def selected(words):
    """Return [(Case, size)] of what words name, such as `scope`, `cancel_by_scope` or `cancel_by_scope/1000`.

    Raises:
        LookupError: there is no such case.
    """
    found = []
    for word in words or CASES:
        name, slash, size = word.partition('/')
        case = CASES.get(name)
        if case is None:
            raise LookupError(f'there is no case {name}. There are: {", ".join(CASES)}')
        if not slash:
            found += [(case, each) for each in case.sizes]
        elif size.isdecimal() and int(size) in case.sizes:
            found.append((case, int(size)))
        else:
            raise LookupError(f'there is no case {word}. {name} has: {", ".join(map(case.key, case.sizes))}')
    return found


def overview():
    """Return a table of the cases."""
    lines = []
    for case in CASES.values():
        sizes = f'; {", ".join(f"{size:,}" for size in case.sizes)}' if case.sizes != (None,) else ''
        lines += [f'  {case.name:<22}{case.about}{sizes}', f'{"":24}{", ".join(case.peers)}']
    return '\n'.join(lines)
