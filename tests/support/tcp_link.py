"""One connection through a TCP proxy: two sockets, of which each sends what the other receives."""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

End = Literal["client", "target"]
"""The two ends of a connection through the proxy: who opened it, and what it leads to."""

_RESET = struct.pack("ii", 1, 0)


@dataclass
class Conditions:
    """What the wire does now to everything on it. `latency`: seconds, each way."""

    holds: bool = False
    latency: float = 0.0


class Link:
    """One connection. `ended` is set once both its ends are closed."""

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self.ended = asyncio.Event()
        self._passable = asyncio.Event()
        self.client = _Side(self)
        self.target = _Side(self)
        self.client.other, self.target.other = self.target, self.client

    async def accept(self, accepted: socket.socket) -> None:
        """Take the client in, and return once its connection may go on to the target."""
        self.adjust()
        await asyncio.get_running_loop().connect_accepted_socket(lambda: self.client, accepted)
        await self._passable.wait()

    def adjust(self) -> None:
        """Hold back what comes, or let it go on, as the conditions are now."""
        if self.conditions.holds:
            self._passable.clear()
        else:
            self._passable.set()
            if self.client.was_reset or self.target.was_reset:
                self.reset()  # while everything was held back: what it had to send went with it
        self.client.adjust()
        self.target.adjust()

    def reset(self) -> None:
        """End it at both ends, with RST."""
        self.client.reset()
        self.target.reset()

    def part(self, told: End) -> None:
        """Part the ends: one is reset, the other never hears of it."""
        self.client.other = self.target.other = None
        (self.client if told == "client" else self.target).reset()
        self.adjust()

    def side_ended(self) -> None:
        """Take note that one of the ends is closed."""
        if self.client.is_gone and self.target.is_gone:
            self.ended.set()


class _Side(asyncio.Protocol):
    """One of the two sockets. `finished`: the other has nothing more to say."""

    def __init__(self, link: Link) -> None:
        self.other: _Side | None = None
        self.finished = False
        self.full = False
        self._link = link
        self._lost = False
        self._transport: asyncio.Transport | None = None
        self._arriving: deque[Callable[[], None]] = deque()
        self._last = 0.0

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_gone(self) -> bool:
        """Whether it is closed for good, with all sent that was to be sent, or never was there."""
        return self._transport is None or self._lost

    @property
    def was_reset(self) -> bool:
        """Whether it was reset and nobody has read of it yet."""
        if self._transport is None or not self.is_open:
            return False
        raw: Any = self._transport.get_extra_info("socket")
        return bool(raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def adjust(self) -> None:
        """Read, unless everything is held back or the other side has enough to send."""
        if self._transport is None or self._transport.is_closing():
            return
        other = self.other
        if self._link.conditions.holds or (other is not None and (other.full or not other.is_open)):
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def reset(self) -> None:
        """Close it so that whoever is at its end gets RST."""
        if self._transport is not None:
            raw: Any = self._transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()

    def send(self, data: bytes) -> None:
        if self._transport is not None and self.is_open:
            self._transport.write(data)

    def finish(self) -> None:
        """Say that nothing more will come; when both have said so, it is over."""
        self.finished = True
        if self.other is None or self.other.finished:
            self.close()
            if self.other is not None:
                self.other.close()
        elif self._transport is not None and self.is_open:
            self._transport.write_eof()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._link.adjust()
        if self._link.ended.is_set():
            self.reset()  # the other side was cut before this one was there

    def data_received(self, data: bytes) -> None:
        if (other := self.other) is not None:
            self._pass(lambda: other.send(data))

    def eof_received(self) -> bool:
        if (other := self.other) is None:
            return False
        self._pass(other.finish)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if (other := self.other) is not None:
            self._pass(other.close if exc is None else other.reset)
        self._link.side_ended()

    def pause_writing(self) -> None:
        self.full = True
        self._link.adjust()

    def resume_writing(self) -> None:
        self.full = False
        self._link.adjust()

    def _pass(self, act: Callable[[], None]) -> None:
        """Do to the other side what happened here, in the same order and after the latency."""
        latency = self._link.conditions.latency
        if not latency and not self._arriving:
            act()
            return
        loop = asyncio.get_running_loop()
        self._last = max(self._last, loop.time() + latency)
        self._arriving.append(act)
        loop.call_at(self._last, self._arrive)

    def _arrive(self) -> None:
        self._arriving.popleft()()
