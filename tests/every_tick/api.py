"""What asyncio offers that can be awaited: the list that the programs have to cover.

The list is made from asyncio's modules.  What can be seen there is a coroutine function, an asynchronous context
manager or an asynchronous iterator; such a name is covered by a program, or excluded below with a reason.  Whether a
plain function returns something to await cannot be seen, so each of them is in one of the two tables below.  A name
that is in none is an error, which is how an API that is added gets a program.

Names are `function`, `Class.method`, or `loop.method` for those of event loops.
"""

import asyncio
import importlib
import inspect
import pkgutil

# Public, but not on this system, or not for programs.
_MODULES_LEFT_OUT = {
    '__main__': 'the REPL and the command line', 'windows_events': 'Windows', 'windows_utils': 'Windows',
    'proactor_events': 'Windows', 'tools': 'asks other processes', 'sslproto': 'has no API',
    'asyncgens': 'has no API', 'farewells': 'has no API', 'groups': 'has no API', 'interrupts': 'has no API',
    'mixins': 'has no API', 'trsock': 'has no API', 'log': 'has no API', 'constants': 'has no API',
    'format_helpers': 'has no API', 'base_subprocess': 'has no API', 'base_tasks': 'has no API',
}
_MAGIC = {'__aenter__', '__aexit__', '__aiter__', '__anext__', '__await__'}

# Plain functions and methods whose result is to be awaited or iterated over.
AWAITABLE = {'as_completed', 'ensure_future', 'create_task', 'gather', 'shield', 'run_coroutine_threadsafe',
             'wrap_future', 'timeout', 'timeout_at', 'move_on_after', 'move_on_at', 'loop.run_in_executor', 'loop.create_task',
             'TaskGroup.create_task', 'CancelScope.create_task'}
# Plain functions whose result is not.
PLAIN = {
    'all_tasks', 'capture_call_graph', 'create_eager_task_factory', 'current_effective_deadline', 'current_scope',
    'current_task', 'eager_task_factory', 'format_call_graph', 'future_add_to_awaited_by',
    'future_discard_from_awaited_by', 'get_event_loop', 'get_event_loop_policy', 'get_running_loop', 'iscoroutine',
    'iscoroutinefunction', 'isfuture', 'legacy', 'new_event_loop', 'print_call_graph', 'run', 'set_event_loop',
    'set_event_loop_policy', '_enter_task', '_get_running_loop', '_leave_task', '_register_task', '_set_running_loop',
    '_unregister_task', '_register_eager_task', '_swap_current_task', '_unregister_eager_task',
}
# Classes of objects that a program is given, without a name in `asyncio`.
_UNNAMED = {'loop': asyncio.AbstractEventLoop, 'Server': asyncio.Server, 'Process': asyncio.subprocess.Process}
# What has no program of its own, and why.
EXCLUDED = {
    'AbstractServer': 'a base class; see Server',
    'StreamReaderProtocol': 'the inside of streams',
    'SubprocessStreamProtocol': 'the inside of subprocesses',
}


def listed():
    """Return (names that a program has to cover, plain functions that are in no table)."""
    names, unknown = set(), set()
    for info in pkgutil.iter_modules(asyncio.__path__):
        if info.name in _MODULES_LEFT_OUT or info.name.startswith('_'):
            continue
        module = importlib.import_module(f'asyncio.{info.name}')
        public = getattr(module, '__all__', ())
        for name in public:
            value = getattr(module, name)
            if inspect.isclass(value):
                if name not in EXCLUDED:
                    names |= _methods(name, value)
            elif _is_asynchronous(value) or name in AWAITABLE:
                names.add(name)
            elif callable(value) and name not in PLAIN:
                unknown.add(name)
    for name, cls in _UNNAMED.items():
        names |= _methods(name, cls)
    return names, unknown


def _methods(name, cls):
    """Return the names of a public class that are to be covered, each at the class that defines it."""
    if issubclass(cls, asyncio.AbstractEventLoop) and name != 'loop':
        return set()  # They are listed as those of AbstractEventLoop.
    found = set()
    for base in cls.__mro__:
        # A mixin is private, and so is what an abstract class does: their methods are those of each class below.
        if base is not cls and not base.__name__.startswith(('_', 'Abstract')):
            continue
        for method, function in vars(base).items():
            public = method in _MAGIC or not method.startswith('_')
            if public and (_is_asynchronous(function) or method in _MAGIC or f'{name}.{method}' in AWAITABLE):
                found.add(f'{name}.{method}')
    return found


def _is_asynchronous(function):
    function = inspect.unwrap(function) if callable(function) else function
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
