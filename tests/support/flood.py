"""A flood: thousands of connections to one port, each of which sends its piece and then what its rhythm says."""

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from support.waiting import wait_for

HERE = "127.0.0.1"
AT_ONCE = 200
"""Connections that are being made at the same time."""
SPARE = 500
"""File descriptors that the test itself keeps."""


@dataclass
class Drop(asyncio.Protocol):
    """One connection: what it got, and whether it is still open."""

    flood: "Flood"
    got: bytes = b""
    open: bool = False
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.open = True
        if not self.flood.reading:
            self.transport.pause_reading()
        if self.flood.piece:
            self.transport.write(self.flood.piece)

    def data_received(self, data: bytes) -> None:
        self.got = (self.got + data)[:2000]

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False

    def send(self, piece: bytes) -> None:
        if self.open and self.transport is not None and not self.transport.is_closing():
            self.transport.write(piece)


@dataclass
class Flood:
    """So many connections to a port of loopback; `piece` is what each sends at once."""

    port: int
    piece: bytes = b""
    reading: bool = True
    host: str = HERE
    """Where it comes from; on Linux every address of 127.0.0.0/8 is of this machine."""
    drops: list[Drop] = field(default_factory=list)
    refused: int = 0

    async def rise(self, number: int) -> None:
        """Make that many connections, as fast as can be."""
        left = iter(range(number))
        await asyncio.gather(*(self._pour(left) for _ in range(AT_ONCE)))

    async def _pour(self, left: Iterable[int]) -> None:
        loop = asyncio.get_running_loop()
        # A port that is asked for by name is nobody else's: of those there are too few for several floods at a time.
        source = None if self.host == HERE else (self.host, 0)
        for _ in left:
            try:
                come = loop.create_connection(lambda: Drop(self), HERE, self.port, local_addr=source)
                drop = (await come)[1]
            except OSError:
                self.refused += 1
            else:
                self.drops.append(drop)

    @property
    def open(self) -> list[Drop]:
        """Those that are still connected."""
        return [drop for drop in self.drops if drop.open]

    def answers(self, which: Callable[[Drop], bool] = lambda _: True) -> set[bytes]:
        """The first lines of all that was answered."""
        return {drop.got.partition(b"\r\n")[0] for drop in self.drops if drop.got and which(drop)}

    def drip(self, piece: bytes) -> None:
        """Have every connection send a little more."""
        for drop in self.drops:
            drop.send(piece)

    async def ebb(self) -> None:
        """End every connection."""
        for drop in self.open:
            if drop.transport is not None:
                drop.transport.abort()
        await wait_for(lambda: not self.open, "every connection has ended")


@asynccontextmanager
async def flood(port: int, piece: bytes = b"", *, reading: bool = True, host: str = HERE) -> AsyncIterator[Flood]:
    """A flood that ends with its block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    flood = Flood(port, piece, reading, host)
    try:
        yield flood
    finally:
        await flood.ebb()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def affordable(number: int) -> int:
    """As many connections as this machine lets the test have, up to `number`."""
    return min(number, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE)
