"""A NATS server that does nothing but write down what it is sent, and when, connection by connection."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, cast

from support.ports import listening

_INFO: Final = (
    b'INFO {"server_id":"S","version":"2.12.0","proto":1,"headers":true,"max_payload":1048576,"jetstream":true}\r\n'
)


class Visit(asyncio.Protocol):
    """One connection. `reads`: what was read at once, and when."""

    def __init__(self) -> None:
        self.reads: list[tuple[float, bytes]] = []

    @property
    def heard(self) -> bytes:
        """All that was read."""
        return b"".join(data for _, data in self.reads)

    def cut(self) -> None:
        """End the connection, and send nothing more."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(_INFO)

    def data_received(self, data: bytes) -> None:
        self.reads.append((time.monotonic(), data))
        self._transport.write(b"PONG\r\n" * data.count(b"PING\r\n"))


@dataclass
class ListeningServer:
    """`visits`: the connections until now."""

    url: str = ""
    visits: list[Visit] = field(default_factory=list)

    def visited(self) -> Visit:
        self.visits.append(Visit())
        return self.visits[-1]


@asynccontextmanager
async def listening_server() -> AsyncIterator[ListeningServer]:
    """Listen on a free port of the loopback."""
    with listening() as own:
        playing = ListeningServer(f"nats://127.0.0.1:{own.getsockname()[1]}")
        server = await asyncio.get_running_loop().create_server(playing.visited, sock=own)
        try:
            yield playing
        finally:
            server.close()
            for each in playing.visits:
                each.cut()
