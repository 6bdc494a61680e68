"""AnyIO on the cancel scopes of asyncbis.

On an interpreter whose asyncio has CancelScope, AnyIO's asyncio backend uses
those scopes instead of imitating them with Task.cancel().  activate() is called
when the interpreter starts; it only adds a path hook, which waits for AnyIO's
backends to be imported.  Set ASYNCBIS_ANYIO=0 to have AnyIO's own backend.

(The name does not begin with "anyio", for there are tools that take all files
whose path begins with that of AnyIO for AnyIO's own, such as blockbuster.)
"""

import sys

# (The module typing is not for each start of an interpreter.)
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._loader import Finder

__all__ = ('TESTED_VERSIONS', 'activate')

__version__ = '1.0.0'

# The releases of AnyIO whose own tests pass with this backend.
TESTED_VERSIONS = ('4.16.0',)


def activate() -> None:
    """Let the next import of AnyIO's asyncio backend bring this one."""
    if _hook not in sys.path_hooks:
        sys.path_hooks.insert(0, _hook)


def _hook(path: str) -> 'Finder':
    # Asked once for each folder that modules are imported from.  A finder on
    # sys.meta_path would be asked for each module, and not for AnyIO's where
    # pytest, whose plugin AnyIO is, imports them to rewrite their assertions.
    if not path.endswith(('/anyio/_backends', '\\anyio\\_backends')):
        raise ImportError
    from ._loader import Finder
    return Finder(path, _hook)
