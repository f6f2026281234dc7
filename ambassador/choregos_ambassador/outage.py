"""The mark that a service ails, left in the notes' bucket for an ambassador that starts amid the outage.

A breaker needs some events to see an outage. What starts anew and finds only a few of them, which have used up their attempts
already, cannot tell an outage from poison: it would bury them. So a breaker that opens by trouble leaves a mark, and one that
closes on a good answer takes it away; who finds it at his start begins as if his own breaker had opened (decision 0015).

All replicas of a service share the mark. One that is well takes it away from under one that ails, which leaves it again when
its breaker opens again, some seconds later. Nothing of this lies in the way of an event.
"""

import asyncio
from typing import Final

import msgspec

from choregos_ambassador import message_get
from choregos_ambassador.bus import Bus
from choregos_ambassador.gate import Gate
from choregos_ambassador.log import log
from choregos_ambassador.storing import BusFault, Record
from choregos_ambassador.tasks import watched
from choregos_ambassador.timestamps import rfc3339
from choregos_contract.configuration import Configuration
from choregos_contract.ids import derive

READ_WITHIN: Final = 5.0
"""Seconds for which a start waits for the bucket; without it, it begins as if there was no mark."""
READ_AGAIN: Final = 0.5
WRITE_AGAIN: Final = 10.0
"""Seconds between two tries."""
_REMOVED: Final = {"KV-Operation": "DEL"}


class _Mark(msgspec.Struct):
    since: str = ""
    reason: str = ""


class Outage:
    """The mark of one service: read at the start, then kept in line with the breaker."""

    def __init__(self, bus: Bus, gate: Gate) -> None:
        self._bus = bus
        self._gate = gate
        self._bucket = ""
        self._subject = ""
        self._wanted: _Mark | None = None
        self._changed = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def follow(self, configuration: Configuration) -> None:
        """Take the mark of this service from now on; at the first call read it, before the first event. The bus is connected."""
        bucket = configuration.bus.note_bucket
        self._bucket, self._subject = f"KV_{bucket}", f"$KV.{bucket}.{derive('outage', configuration.service)}"
        if self._writer is not None:
            return
        if mark := await self._read():
            log.info("outage goes on", since=mark.since, reason=mark.reason)
            self._gate.inherit(f"it failed an ambassador before this one: {mark.reason}")
        self._gate.on_outage = self._tell
        self._writer = watched(self._write_forever(), "mark of an outage")

    async def close(self) -> None:
        """Write no more."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    def _tell(self, reason: str | None) -> None:
        """Take note that the breaker has opened, and why; or that the service has answered well: None."""
        self._wanted = None if reason is None else _Mark(rfc3339(), reason)
        self._changed.set()

    async def _read(self) -> _Mark | None:
        try:
            async with asyncio.timeout(READ_WITHIN):
                return await self._found()
        except TimeoutError:
            log.warning("mark of an outage not read", bucket=self._bucket)
            return None

    async def _found(self) -> _Mark | None:
        while True:
            try:
                message = await message_get.last(self._bus, self._bucket, self._subject)
                return msgspec.json.decode(message.data, type=_Mark) if message and message.data else None
            except msgspec.DecodeError:
                return _Mark()  # of another release: that there is one says enough
            except BusFault:
                await asyncio.sleep(READ_AGAIN)

    async def _write_forever(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._bus.publish(self._record())
            except BusFault as fault:
                log.warning("outage not marked", error=str(fault))
                if self._bus.connected.is_set():
                    await asyncio.sleep(WRITE_AGAIN)
                await self._bus.connected.wait()
                self._changed.set()

    def _record(self) -> Record:
        if self._wanted is None:
            return Record(self._subject, _REMOVED, b"")
        return Record(self._subject, {}, msgspec.json.encode(self._wanted))
