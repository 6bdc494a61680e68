"""The processes below this one: who they are, and how all of them are ended."""

import contextlib
import os
import pathlib
import signal


def descendants(root=None):
    """Return the ids of all processes below `root`, which is this process by default.

    The family is read from /proc.  A process whose parent has ended is init's child, and not among them.
    """
    children = {}
    for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
        try:
            text = path.read_text(encoding='utf-8', errors='replace')
        except OSError:
            continue  # it has ended meanwhile
        # The name, in parentheses, can have anything in it.
        parent = int(text.rpartition(')')[2].split()[1])
        children.setdefault(parent, []).append(int(path.parent.name))
    found, left = set(), [os.getpid() if root is None else root]
    while left:
        below = children.get(left.pop(), [])
        found.update(below)
        left += below
    return found


def kill(pids):
    """Kill these processes; those that have ended already are no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


# A shell that starts a script in the background makes it ignore SIGINT, and all its children inherit that.

def accept_sigint():
    """Give SIGINT its default effect, for `preexec_fn`."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def accept_sigint_again():
    """Let this process and its children be interrupted by SIGINT, if it was started with the signal ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
