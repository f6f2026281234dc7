"""A service that answers 204 to everything, as fast as Python can: the fallback where there is no nginx.

It also tells when each request arrived, to whoever runs it in-process.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import cast

import httptools
import uvloop

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Service(asyncio.Protocol):
    """One connection. `arrived` is called with each request's body."""

    def __init__(self, arrived: Callable[[bytes], object] = lambda _: None) -> None:
        self._arrived = arrived
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (called by asyncio)."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        """Feed the parser (called by asyncio)."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Collect the body (called by httptools)."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer (called by httptools)."""
        body, self._body = self._body, b""
        self._arrived(body)
        self._transport.write(ANSWER)


async def serve(port: int, arrived: Callable[[bytes], object] = lambda _: None) -> asyncio.Server:
    """Listen on the loopback."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Service(arrived), "127.0.0.1", port)


async def _main(port: int) -> None:
    await (await serve(port)).serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1])))
