"""A service that costs little and remembers when each event arrived, as a process: `sink.py PORT [ANSWER]`.

It answers 204 to a POST, or, with ANSWER, an event of that type with the data that it got. `GET /arrivals` tells all
arrivals since the last such question: pairs of eight bytes each, the event's number and the time (CLOCK_MONOTONIC, in
nanoseconds, which all processes of a machine share).
"""

import asyncio
import re
import sys
import time
from array import array
from typing import cast

import uvloop
from numbered import number_of

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_NOTHING = b"HTTP/1.1 204 No Content\r\n\r\n"
_EVENT = (
    "HTTP/1.1 200 OK\r\nce-specversion: 1.0\r\nce-id: {0}\r\nce-source: /bench/sink\r\nce-type: {0}\r\n"
    "content-type: application/json\r\ncontent-length: "
)


class Sink(asyncio.Protocol):
    """One connection."""

    def __init__(self, arrivals: "array[int]", answer: str) -> None:
        self._arrivals = arrivals
        self._opening = _EVENT.format(answer).encode() if answer else b""
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (called by asyncio)."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole (called by asyncio)."""
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._rest, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._rest) < whole:
                return
            request, self._rest = self._rest[:whole], self._rest[whole:]
            self._answer(request, request[end + 4 :])

    def _answer(self, request: bytes, body: bytes) -> None:
        if not request.startswith(b"POST"):
            told = self._arrivals.tobytes()
            del self._arrivals[:]
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(told), told))
            return
        self._arrivals.extend((number_of(body), time.monotonic_ns()))
        self._transport.write(self._opening + b"%d\r\n\r\n%s" % (len(body), body) if self._opening else _NOTHING)


async def _main(port: int, answer: str) -> None:
    arrivals: array[int] = array("q")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(arrivals, answer), "127.0.0.1", port)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), "".join(sys.argv[2:])))
