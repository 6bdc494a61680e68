"""What asyncbis changes in typeshed's stubs of asyncio.

Functions and classes are found by name, not by line or layout: typeshed's stubs in mypy and pyright differ in both.
"""

import ast
import builtins
import pathlib
import sys

_FUNCTIONS = ast.FunctionDef, ast.AsyncFunctionDef
_ASSIGNMENTS = ast.Assign, ast.AnnAssign


class AnchorError(Exception):
    """The stubs are not what is expected: a name is missing, say, or what would be added is there."""


def apply(stdlib):
    """Change the stubs of asyncio in the folder stdlib.

    Raise AnchorError, with the stubs half changed, if they are not what is expected.
    """
    folder = stdlib / 'asyncio'
    scopes = pathlib.Path(__file__).with_name('cancelscopes.pyi').read_bytes()
    if b'def disjoint_base(' not in (stdlib / 'typing_extensions.pyi').read_bytes():
        # New in 2025.  (It tells checkers which classes cannot be bases of the same class.)
        scopes = scopes.replace(b', disjoint_base', b'').replace(b'@disjoint_base\n', b'')
    (folder / 'cancelscopes.pyi').write_bytes(scopes)

    with _Stub(folder / '__init__.pyi') as stub:
        stub.add_import('from .cancelscopes import *')
        stub.append('def legacy() -> frozenset[str]: ...')
        stub.add_to_all('CancelScope', 'current_effective_deadline', 'current_scope', 'move_on_after', 'move_on_at',
                        'CancelScopeGraphEntry', 'Terminated', 'legacy')

    with _Stub(folder / 'exceptions.pyi') as stub:
        stub.append('class Terminated(KeyboardInterrupt): ...')
        stub.add_to_all('Terminated')

    with _Stub(folder / 'graph.pyi') as stub:
        stub.add_import('from .cancelscopes import CancelScope')
        stub.add_import('from .tasks import Task')
        stub.add_before('FutureCallGraph',
                        '@dataclass(frozen=True, slots=True)',
                        'class CancelScopeGraphEntry:',
                        '    scope: CancelScope',
                        '    kind: str',
                        '    host: Task[Any] | None',
                        '    origin: str | None')
        stub.add_to_class('FutureCallGraph', 'cancel_scopes: tuple[CancelScopeGraphEntry, ...] = ()')
        stub.add_to_all('CancelScopeGraphEntry')

    with _Stub(folder / 'timeouts.pyi') as stub:
        for function in 'Timeout.__init__', 'timeout', 'timeout_at':
            stub.add_keyword(function, 'shield', 'bool = False')

    # Handle is a C type, whose slots have another order.
    with _Stub(folder / 'events.pyi') as stub:
        stub.remove('Handle.__slots__', missing_ok=True)

    # Only these loops: others, such as uvloop's, refuse the argument.  (asyncio.create_task() takes it on every loop.)
    with _Stub(folder / 'base_events.pyi') as stub:
        stub.add_import('from .cancelscopes import _Errors')
        stub.add_keyword('BaseEventLoop.create_task', 'errors', '_Errors = "propagate"')

    with _Stub(folder / 'taskgroups.pyi') as stub:
        stub.add_import('from .cancelscopes import CancelScope, _Errors')
        stub.add_keyword('TaskGroup.create_task', 'errors', '_Errors = "propagate"')
        # Not bool, although a group that was cancelled swallows the CancelledError: a checker would then complain of
        # each function that returns from within a group.
        stub.set_result('TaskGroup.__aexit__', 'bool | None')
        # Python 3.15 has one as well.
        stub.remove('TaskGroup.cancel', missing_ok=True)
        stub.remove('TaskGroup._on_task_done', missing_ok=True)
        stub.remove('TaskGroup._tasks', missing_ok=True)
        stub.add_to_class('TaskGroup',
                          '@property', 'def _tasks(self) -> set[Task[Any]]: ...',
                          '@property', 'def cancel_scope(self) -> CancelScope: ...',
                          'def cancel(self, msg: object = None) -> None: ...')

    with _Stub(folder / 'tasks.pyi') as stub:
        stub.add_import('from .cancelscopes import _Errors')
        stub.add_keyword('create_task', 'errors', '_Errors = "propagate"')
        stub.replace(
            'shield',
            '@overload',
            'def shield(arg: Future[_T]) -> Future[_T]: ...  # type: ignore[overload-overlap]',
            '@overload',
            # Without Any: mypy infers nothing from overloads, such as those of gather(), if that is in what they get.
            'def shield(arg: Coroutine[Any, Any, _T]) -> Coroutine[_TaskYieldType, None, _T]: ...',
            '@overload',
            'def shield(arg: Awaitable[_T]) -> Awaitable[_T]: ...')


class _Stub:
    """A stub that is being changed; a context manager, which writes it on exit."""

    def __init__(self, path):
        self._path = path

    def __enter__(self):
        try:
            self._parse(self._path.read_bytes())
        except FileNotFoundError:
            raise AnchorError(f'there is no {self._path.name}') from None
        self._undefined = self._find_undefined()
        return self

    def __exit__(self, exc_type, exc, tb):
        if exc is not None:
            return
        if undefined := self._find_undefined() - self._undefined:
            self._fail(f'does not define {", ".join(sorted(undefined))}')
        self._path.write_bytes(self._source)

    def _find_undefined(self):
        """Return the names that are used, but not defined anywhere in the stub."""
        used, defined = set(), set(dir(builtins))
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Name):
                (used if isinstance(node.ctx, ast.Load) else defined).add(node.id)
            elif isinstance(node, ast.alias):
                defined.add(node.asname or node.name.partition('.')[0])
            elif isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                defined.add(node.name)
        return used - defined

    def add_import(self, line):
        """Add *line* after the last import that stands below no `if`."""
        imports = [node for node in self._tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        if not imports:
            self._fail('imports nothing')
        at = self._offset(imports[-1].end_lineno + 1, 0)
        self._splice((at, at, f'{line}\n'))

    def add_to_all(self, *names):
        """Add names to each list or tuple that is assigned to __all__."""
        found = [node.value for node in ast.walk(self._tree) if isinstance(node, ast.Assign)
                 and isinstance(node.targets[0], ast.Name) and node.targets[0].id == '__all__']
        if not found or not all(isinstance(node, (ast.List, ast.Tuple)) and node.elts for node in found):
            self._fail('assigns no list or tuple of names to __all__')
        text = ''.join(f'"{name}", ' for name in names)
        starts = [self._offset(node.elts[0].lineno, node.elts[0].col_offset) for node in found]
        self._splice(*((at, at, text) for at in starts))

    def append(self, line):
        """Add *line* at the end."""
        end = len(self._source)
        self._splice((end, end, f'\n{line}\n'))

    def add_to_class(self, name, *lines):
        """Add lines at the end of a class."""
        splices = []
        for node in self._find(name, ast.ClassDef):
            at = self._offset(node.end_lineno + 1, 0)
            indent = ' ' * node.body[-1].col_offset
            if node.body[-1].lineno == node.lineno:
                self._fail(f'has a {name} on a single line')
            splices.append((at, at, ''.join(f'{indent}{line}\n' for line in lines)))
        self._splice(*splices)

    def add_before(self, name, *lines):
        """Add lines before a class."""
        nodes = self._find(name, ast.ClassDef)
        self._splice(*((at, at, ''.join(f'{line}\n{" " * node.col_offset}' for line in (*lines, '')))
                       for node in nodes for at in [self._span(node)[0]]))

    def add_keyword(self, name, parameter, rest):
        """Add a keyword-only parameter to each definition of a function."""
        splices = []
        for node in self._find(name):
            arguments = node.args
            parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            if arguments.vararg or arguments.kwarg or not parameters:
                self._fail(f'has parameters of {name} that are not expected')
            if parameter in [argument.arg for argument in parameters]:
                self._fail(f'has a parameter {parameter} of {name} already')
            defaults = [default for default in [*arguments.defaults, *arguments.kw_defaults] if default]
            end = max(self._offset(part.end_lineno, part.end_col_offset) for part in [*parameters, *defaults])
            star = '' if arguments.kwonlyargs else '*, '
            splices.append((end, end, f', {star}{parameter}: {rest}'))
        self._splice(*splices)

    def set_result(self, name, result):
        """Change the type of what a function returns."""
        nodes = self._find(name)
        if not all(node.returns for node in nodes):
            self._fail(f'does not say what {name} returns')
        self._splice(*((*self._span(node.returns), result) for node in nodes))

    def replace(self, name, *lines):
        """Replace each definition of a function."""
        nodes = self._find(name)
        if any(node.decorator_list for node in nodes):
            self._fail(f'has overloads of {name}')
        self._splice(*((*self._span(node), f'\n{" " * node.col_offset}'.join(lines)) for node in nodes))

    def remove(self, name, *, missing_ok=False):
        """Remove each definition of a function or attribute."""
        # (It can be all there is in the block of an `if`.)
        self._splice(*((*self._span(node), 'pass')
                       for node in self._find(name, (*_FUNCTIONS, *_ASSIGNMENTS), missing_ok=missing_ok)))

    def _find(self, name, kinds=_FUNCTIONS, *, missing_ok=False):
        """Return the definitions of a name, also those that depend on the version of Python."""
        *path, last = name.split('.')
        bodies = [self._tree.body]
        for part in path:
            bodies = [node.body for body in bodies for node in _statements(body)
                      if isinstance(node, ast.ClassDef) and node.name == part]
        found = [node for body in bodies for node in _statements(body) if isinstance(node, kinds) and last == (
            getattr(_target(node), 'id', None) if isinstance(node, _ASSIGNMENTS) else node.name)]
        if not found and not missing_ok:
            self._fail(f'has no {name}')
        return found

    def _span(self, node):
        first = min([node, *getattr(node, 'decorator_list', ())], key=lambda part: part.lineno)
        # (The @ of a decorator is in the column of the definition.)
        return self._offset(first.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)

    def _offset(self, line, column):
        return sum(map(len, self._source.splitlines(keepends=True)[:line - 1])) + column

    def _splice(self, *splices):
        """Replace parts of the source, each given as (start, end, text)."""
        source = self._source
        for start, end, text in sorted(splices, reverse=True):
            source = source[:start] + text.encode() + source[end:]
        self._parse(source)

    def _parse(self, source):
        if not source.endswith(b'\n'):
            source += b'\n'
        self._source = source
        try:
            self._tree = ast.parse(source, self._path)
        except SyntaxError as error:
            version = '.'.join(map(str, sys.version_info[:2]))
            self._fail(f'is not in the syntax of this Python, {version} (line {error.lineno}: {error.msg})')

    def _fail(self, what):
        raise AnchorError(f'{self._path.name} {what}')


def _target(node):
    """Return what an assignment is to."""
    return node.target if isinstance(node, ast.AnnAssign) else node.targets[0]


def _statements(body):
    """Yield the statements of a body, with those below an `if`."""
    for node in body:
        if isinstance(node, ast.If):
            yield from _statements(node.body)
            yield from _statements(node.orelse)
        else:
            yield node
