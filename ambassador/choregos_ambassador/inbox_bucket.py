"""The key-value bucket that the inbox is kept in: entries written by compare-and-set, and read at the leader.

Whether the bucket is really gone, or only does not answer between two leaders, is asked before anything follows from it.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import msgspec

from choregos_ambassador import message_get
from choregos_ambassador.bus import Bus
from choregos_ambassador.delivery import Delivery
from choregos_ambassador.inbox_entry import Entry
from choregos_ambassador.jetstream_info import NO_STREAM
from choregos_ambassador.log import log
from choregos_ambassador.outbox import PAUSE
from choregos_ambassador.storing import BusFault, Record
from choregos_contract.ids import uuid7

LOOK_AGAIN: Final = 1.0
"""Seconds for which a bucket that is gone is not asked for again."""
TTL: Final = "Nats-TTL"
TTL_SINCE: Final = (2, 11)
_NO_TTL: Final = 10166
"""The bucket was made for an older server, and nobody has updated it yet."""


class Gone(Exception):  # noqa: N818  named by what it means for the caller
    """There is no such bucket."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the entry of one event is."""

    bucket: str
    key: str

    @property
    def stream(self) -> str:
        """The stream that is the bucket."""
        return f"KV_{self.bucket}"

    @property
    def subject(self) -> str:
        """The subject that is the key."""
        return f"$KV.{self.bucket}.{self.key}"


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that is there; `age` in seconds, by the bus's own clock."""

    entry: Entry | None
    """None if it cannot be read."""
    revision: int
    age: float


class Bucket:
    """The inbox bucket as this process reads and writes it."""

    def __init__(self, bus: Bus) -> None:
        self.owner = uuid7()
        """Who writes here: unique to the life of this process."""
        self._bus = bus
        self._gone = False
        self._asked = 0.0
        self._knows_ttl = False
        bus.on_connected.append(self._connected)

    @property
    def away(self) -> bool:
        """Whether it was gone a moment ago, so that it need not be asked for."""
        return self._gone and time.monotonic() - self._asked < LOOK_AGAIN

    async def write(
        self, place: Place, entry: Entry, revision: int, ttl: int, *, delivery: Delivery, patience: float
    ) -> int:
        """Write an entry for `ttl` seconds if the last one has this revision, and return its own.

        Raises Conflict, Gone, TooLarge, and BusFault when patience (seconds) or the lease ends.
        """
        payload, until = msgspec.msgpack.encode(entry), time.monotonic() + patience
        while True:
            headers = {TTL: f"{ttl}s"} if self._knows_ttl else {}
            try:
                stored = await self._bus.replace(Record(place.subject, headers, payload), revision)
            except BusFault as fault:
                if fault.err_code == _NO_TTL and TTL in headers:
                    self._knows_ttl = False  # it lives as long as the bucket keeps anything, then
                    continue
                await self._raise_if_gone(place)
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(PAUSE)
                if delivery.lost:
                    raise
            else:
                self._answered(place)
                return stored.seq

    async def read(self, place: Place) -> Found | None:
        """Read an entry; raises BusFault and Gone."""
        try:
            message = await message_get.last(self._bus, place.stream, place.subject)
            now = (await self._bus.stream_info(place.stream)).ts if message else None
        except BusFault:
            await self._raise_if_gone(place)
            raise
        if message is None:
            return None
        if now is None or message.time is None:
            raise BusFault("JetStream does not tell the time")
        return Found(_decoded(message.data), message.seq, (now - message.time).total_seconds())

    async def _raise_if_gone(self, place: Place) -> None:
        try:
            await self._bus.stream_info(place.stream)
        except BusFault as fault:
            if fault.err_code != NO_STREAM:
                return
        else:
            return
        if not self._gone:
            log.warning("inbox gone", bucket=place.bucket)
        self._gone, self._asked = True, time.monotonic()
        raise Gone

    def _answered(self, place: Place) -> None:
        if self._gone:
            self._gone = False
            log.info("inbox there", bucket=place.bucket)

    def _connected(self) -> None:
        self._knows_ttl, self._asked = self._bus.server_version >= TTL_SINCE, 0.0


def _decoded(data: bytes) -> Entry | None:
    try:
        return msgspec.msgpack.decode(data, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        log.warning("inbox entry unreadable", size=len(data))
        return None
