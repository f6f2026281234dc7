"""A service as fast as Python can be: the fallback where there is no nginx, with nginx's paths (see `nginx.py`).

It also tells when each request arrived, to whoever runs it in-process.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import cast

import httptools
import uvloop

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
SLOW = 0.001
"""Seconds that `/slow` takes."""
_REPLY = (
    "HTTP/1.1 200 OK\r\nce-specversion: 1.0\r\nce-type: Shipped\r\nce-source: /bench/target\r\nce-id: shipped-{}\r\n"
    "content-type: application/json\r\ncontent-length: {}\r\n\r\n"
)


class Service(asyncio.Protocol):
    """One connection. `arrived` is called with each request's body; `reply` is what `/reply` answers."""

    def __init__(self, arrived: Callable[[bytes], object] = lambda _: None, reply: bytes = b"{}") -> None:
        self._arrived = arrived
        self._reply = reply
        self._parser = httptools.HttpRequestParser(self)
        self._path = self._body = self._id = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (called by asyncio)."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        """Feed the parser (called by asyncio)."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Keep the path (called by httptools)."""
        self._path = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the event's id (called by httptools)."""
        if name.lower() == b"ce-id":
            self._id = value

    def on_body(self, body: bytes) -> None:
        """Collect the body (called by httptools)."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer (called by httptools)."""
        body, self._body = self._body, b""
        self._arrived(body)
        if self._path == b"/slow":
            asyncio.get_running_loop().call_later(SLOW, self._transport.write, ANSWER)
        elif self._path == b"/reply":
            self._transport.write(_REPLY.format(self._id.decode(), len(self._reply)).encode() + self._reply)
        else:
            self._transport.write(ANSWER)


async def serve(port: int, arrived: Callable[[bytes], object] = lambda _: None, reply: bytes = b"{}") -> asyncio.Server:
    """Listen on the loopback."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Service(arrived, reply), "127.0.0.1", port)


async def _main(port: int, reply: str) -> None:
    await (await serve(port, reply=reply.encode())).serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), sys.argv[2]))
