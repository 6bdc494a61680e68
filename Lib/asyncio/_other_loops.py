"""What a Runner needs of event loops that are not asyncio's own.

asyncio's loops close abandoned asynchronous generators in the way that
asyncgens describes, and tell the root group which exception is raised to the
caller of run_until_complete().  Other loops, such as uvloop's, know of
neither, so their run_until_complete() is replaced, and they are given another
hook for generators each time they start to run.
"""

import functools
import sys

from . import asyncgens
from . import base_events
from . import cancelscopes
from . import futures
from . import tasks


def hook_into(loop):
    """Have *loop* close generators as asyncio does, until it stops.

    It sets a hook of its own when it starts to run, so ours is set by a
    callback.
    """
    if (getattr(type(loop), '_asyncgen_finalizer_hook', None)
            is not base_events.BaseEventLoop._asyncgen_finalizer_hook):
        loop.call_soon(_set_finalizer, loop)


def _set_finalizer(loop):
    # A loop without a finalizer does not close generators at all.
    if sys.get_asyncgen_hooks().finalizer is not None:
        sys.set_asyncgen_hooks(finalizer=functools.partial(_finalize, loop))


def _finalize(loop, agen):
    if not loop.is_closed():
        loop.call_soon_threadsafe(asyncgens.close, loop, agen.aclose())


def replace_run_until_complete(loop):
    """Replace the method of a loop that is not asyncio's own.

    Return what restore_run_until_complete() needs.
    """
    own = base_events.BaseEventLoop.run_until_complete
    if (getattr(type(loop), 'run_until_complete', None) in (own, None)
            or 'run_until_complete' in getattr(loop, '__dict__', ())):
        return None
    replacement = functools.partial(_run_until_complete, loop)
    try:
        loop.run_until_complete = replacement
    except AttributeError:
        return None  # Its class has slots.
    return replacement


def restore_run_until_complete(loop, replacement):
    if (replacement is not None
            and vars(loop).get('run_until_complete') is replacement):
        del loop.run_until_complete


def _run_until_complete(loop, future):
    new_task = not futures.isfuture(future)
    if new_task:
        # (A future may belong to another loop, which this one wraps.)
        future = tasks._ensure_future(future, loop)
        future._log_destroy_pending = False
    cancelscopes._set_retrieved(loop, future)
    hook_into(loop)
    try:
        return type(loop).run_until_complete(loop, future)
    except BaseException:
        if new_task and future.done() and not future.cancelled():
            future.exception()  # The caller does not have the task.
        raise
    finally:
        cancelscopes._set_retrieved(loop, None)
        future = None
