"""The switches that bring single behaviors of asyncio back.

    -X asyncio_legacy=NAME,...    or    PYTHONASYNCIOLEGACY=NAME,...

One a change, so that whatever a program owes to the old behavior can be
attributed.  They hold for the whole process.  The interpreter imports this
module at start-up if there is anything in it to check, asyncio in any case.
"""

import sys

_KNOWN = {
    'edge-cancel': 'Task.cancel() interrupts one await',
    'edge-scopes': 'a timeout() or TaskGroup interrupts each task once',
    'background-errors': 'the errors of background tasks are logged',
    'unretrieved-only': 'errors of tasks that are awaited are not raised',
    'shield': 'shield() wraps a coroutine in a task',
    'signals': 'SIGINT cancels the main task, SIGTERM is left alone',
}


def _read():
    """Return what the command line asks for, else what the environment does."""
    option = sys._xoptions.get('asyncio_legacy')
    if option is not None:
        return '-X asyncio_legacy', '' if option is True else option
    if not sys.flags.ignore_environment:
        import os
        return ('PYTHONASYNCIOLEGACY',
                os.environ.get('PYTHONASYNCIOLEGACY', ''))
    return '', ''


def _parse(source, value):
    names = {name.strip() for name in value.split(',')} - {''}
    unknown = names - {'all', *_KNOWN}
    if unknown:
        raise SystemExit(
            f'{source}: unknown name {", ".join(sorted(unknown))}; '
            f'known names are {", ".join(_KNOWN)} and all')
    return frozenset(_KNOWN if 'all' in names else names)


_legacy = _parse(*_read())


def legacy():
    """Return the names of the legacy switches in force, as a frozenset."""
    return _legacy
