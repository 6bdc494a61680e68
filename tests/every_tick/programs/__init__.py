"""The programs: a small use of each API; see ../cases.py for their form."""

from . import locks, processes, sockets, streams, tasks, transports

__all__ = 'locks', 'processes', 'sockets', 'streams', 'tasks', 'transports'
