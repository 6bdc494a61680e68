"""Serves the module of AnyIO's asyncio backend with native cancel scopes.

The stock module is executed as it is.  Then _backend.py is executed in the same
namespace, where it replaces what has to do with cancellation, so that all the
code of the stock module uses the replacements, and so that the module keeps the
name by which AnyIO, its tests and its users know it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import pkgutil
import sys
import warnings
from collections.abc import Callable, Iterator
from types import CodeType, ModuleType
from typing import Any

from . import TESTED_VERSIONS

_MODULE = 'anyio._backends._asyncio'


class Finder:
    """Finds the modules in the folder of AnyIO's backends.

    As the finder does that would be used otherwise, but that the asyncio backend
    gets a loader of its own.
    """

    def __init__(self, path: str, hook: Callable[[str], Any]) -> None:
        for other in sys.path_hooks:
            if other is not hook:
                try:
                    self._finder = other(path)
                except ImportError:
                    continue
                return
        raise ImportError(f'no finder for {path!r}', path=path)

    def find_spec(
        self, fullname: str, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        spec: importlib.machinery.ModuleSpec | None
        spec = self._finder.find_spec(fullname, target)
        if (
            spec is not None
            and spec.loader is not None
            and fullname == _MODULE
            and os.environ.get('ASYNCBIS_ANYIO') != '0'
        ):
            spec.loader = _Loader(spec.loader)
        return spec

    def iter_modules(self, prefix: str = '') -> Iterator[tuple[str, bool]]:
        """Let pkgutil see the modules."""
        modules: Iterator[tuple[str, bool]]
        # What pkgutil.iter_modules() asks for each folder.
        modules = pkgutil.iter_importer_modules(  # type: ignore[attr-defined]
            self._finder, prefix
        )
        return modules

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)


class _Loader(importlib.abc.Loader):
    """Executes the stock module and then, in the same namespace, _backend.py."""

    def __init__(self, stock: Any) -> None:
        self._stock = stock

    def create_module(
        self, spec: importlib.machinery.ModuleSpec
    ) -> ModuleType | None:
        module: ModuleType | None = self._stock.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._stock.exec_module(module)
        if _is_usable():
            exec(_get_code(), module.__dict__)

    def __getattr__(self, name: str) -> Any:
        # The source and the resources are those of the stock module.
        return getattr(self._stock, name)


def _is_usable() -> bool:
    import asyncio

    if not hasattr(asyncio, 'CancelScope'):
        return False  # This interpreter is not asyncbis.
    try:
        version = importlib.metadata.version('anyio')
    except importlib.metadata.PackageNotFoundError:
        version = 'of an unknown version'
    if version in TESTED_VERSIONS:
        return True
    warnings.warn(
        f'anyio-asyncbis is off, for it has not been tested with AnyIO {version}, '
        f'only with {", ".join(TESTED_VERSIONS)}; AnyIO uses its own asyncio '
        f'backend. Install one of these versions or a newer anyio-asyncbis, or '
        f'set ASYNCBIS_ANYIO=0 to be told no more.',
        RuntimeWarning,
        stacklevel=2,
    )
    return False


def _get_code() -> CodeType:
    """Return the code of _backend.py, from its bytecode file if there is one."""
    assert __package__ is not None
    spec = importlib.util.find_spec(f'{__package__}._backend')
    assert spec is not None
    loader = spec.loader
    assert isinstance(loader, importlib.abc.InspectLoader)
    code = loader.get_code(spec.name)
    assert code is not None
    return code
