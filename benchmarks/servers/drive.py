"""Send requests to a server on this machine, each when the one before has been answered; print figures as JSON.

    python drive.py KIND PORT REQUESTS

KIND is `echo` or `http`.  What each answer says is checked.
"""

import asyncio
import json
import statistics
import sys
import time

CONNECTIONS = 16
_MESSAGE = b'a line that is sent and comes back, of some length, as messages have' + b'.' * 59 + b'\n'
_REQUEST = b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'
_BODY = b'\r\n\r\nnothing'


class Client(asyncio.Protocol):
    """One connection.  A protocol, so that the driver has time to spare."""

    def __init__(self, kind, requests, latencies, done):
        self._request, self._end = (_MESSAGE, _MESSAGE) if kind == 'echo' else (_REQUEST, _BODY)
        self._left = requests
        self._latencies = latencies
        self._done = done
        self._received = b''

    def connection_made(self, transport):
        self._transport = transport
        self._send()

    def _send(self):
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data):
        self._received += data
        if not self._received.endswith(self._end):
            return
        self._latencies.append(time.perf_counter() - self._began)
        whole = self._received == _MESSAGE if self._request is _MESSAGE else self._received.startswith(b'HTTP/1.1 200')
        self._received = b''
        self._left -= 1
        if not whole:
            self._done.set_exception(ValueError('the answer is wrong'))
        elif self._left:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc):
        if not self._done.done():
            if self._left:
                self._done.set_exception(exc or ConnectionError(f'closed with {self._left} requests to go'))
            else:
                self._done.set_result(None)


async def main(kind, port, requests):
    loop = asyncio.get_running_loop()
    latencies, done = [], [loop.create_future() for _ in range(CONNECTIONS)]
    begin = time.perf_counter()
    for future in done:
        await loop.create_connection(lambda: Client(kind, requests // CONNECTIONS, latencies, future), '127.0.0.1', port)
    await asyncio.wait_for(asyncio.gather(*done), 300)
    seconds = time.perf_counter() - begin
    cuts = statistics.quantiles(latencies, n=100)
    print(json.dumps({'seconds': seconds / len(latencies), 'p50': cuts[49], 'p99': cuts[98]}))


if __name__ == '__main__':
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
