"""How a server that has been cancelled parts with its clients."""

from . import cancelscopes
from . import events
from . import futures

# How long a client may take nothing of what is to be sent to it, in seconds.
_PATIENCE = 1.0


class Farewell(futures.Future):
    """What Server.serve_forever() waits for when it has been cancelled.

    The handlers that are cancelled together with the server end by
    themselves; below a shield they may still answer their clients.  Then the
    connections are closed.  A client that does not read would keep its
    connection from being closed, so when nothing has been sent to any client
    for a while, the connections are aborted.

    The cancellation that is under way does not end the wait, which a shield
    would do as well.  A further Task.cancel() does.
    """

    def __init__(self, server, loop):
        super().__init__(loop=loop)
        self._server = server
        self._host = cancelscopes._current_task()
        self._handlers = set()
        self._sizes = None
        self._timer = None
        self._aborted = False

    def start(self):
        for transport in self._server._clients:
            handler = _find_handler(transport)
            if (handler is not None and not handler.done()
                    and cancelscopes._is_cancelled(handler)):
                self._handlers.add(handler)
        for handler in list(self._handlers):
            handler.add_done_callback(self._handler_done)
        if not self._handlers:
            self._close_clients()

    def cancel(self, msg=None):
        if (self.done()
                # It is interrupted at its yield, like everything in a
                # cancelled scope.
                or cancelscopes._current_task() is self._host):
            return False
        return super().cancel(msg=msg)

    def stop(self):
        """Abort the connections that are still open."""
        for handler in self._handlers:
            handler.remove_done_callback(self._handler_done)
        self._handlers.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._server._waiters is not None:
            self._server.abort_clients()

    def _handler_done(self, handler):
        self._handlers.discard(handler)
        if not self._handlers:
            self._close_clients()

    def _close_clients(self):
        if self.done():
            return
        self._server.close_clients()
        if self._server._waiters is None:
            self.set_result(None)
        else:
            self._server._waiters.append(self)
            self._sizes = self._measure()
            self._look_later()

    def _measure(self):
        return {id(transport): transport.get_write_buffer_size()
                for transport in self._server._clients}

    def _look_later(self):
        self._timer = self.get_loop().call_later(_PATIENCE, self._look)

    def _look(self):
        if self.done():
            return
        sizes = self._measure()
        if sizes != self._sizes:
            self._sizes = sizes
        elif self._aborted:
            # The transports ignore abort() as well.
            self.set_result(None)
            return
        else:
            self._aborted = True
            self._server.abort_clients()
        self._look_later()


def _find_handler(transport):
    """Return the task that handles a client of start_server(), or None."""
    protocol = transport.get_protocol()
    protocol = getattr(protocol, '_app_protocol', protocol)  # TLS
    return getattr(protocol, '_handler', None)


async def part(server):
    """Close the connections of *server*, whose task has been cancelled."""
    farewell = Farewell(server, events.get_running_loop())
    try:
        farewell.start()
        await farewell
    finally:
        farewell.stop()
        farewell = None
