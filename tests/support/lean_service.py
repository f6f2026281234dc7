"""A business service that does next to nothing: what an ambassador costs beside it is the ambassador's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, cast

import httptools

from support.ports import listening

REPLY: Final = "/reply"
"""The path that is answered with an event, `Done`; every other one with 204."""
_NOTHING: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
_EVENT: Final = (
    b"HTTP/1.1 200 OK\r\nce-specversion: 1.0\r\nce-type: Done\r\nce-source: /lean\r\nce-id: 1\r\n"
    b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
)


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._answer = _NOTHING

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._answer = _EVENT if url == REPLY.encode() else _NOTHING

    def on_message_complete(self) -> None:
        self._transport.write(self._answer)


@asynccontextmanager
async def lean_service() -> AsyncIterator[int]:
    """Serve in this event loop; yields the port."""
    with listening() as own:
        server = await asyncio.get_running_loop().create_server(_Connection, sock=own)
        try:
            yield int(own.getsockname()[1])
        finally:
            server.close()
