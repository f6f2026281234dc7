"""A slice of a stream, read many messages at a time by direct get (ADR-31), from whichever replica answers.

A replica may lag behind the stream's leader, but it has no gaps: what it tells is so, as far as it goes. Whoever needs to know
what else the leader has asks the leader for the rest (`message_get`).
"""

import asyncio
from contextlib import suppress
from typing import Final

import msgspec
import nats.errors

from choregos_ambassador import nats_headers
from choregos_ambassador.bus import Bus
from choregos_ambassador.message_get import header

SINCE: Final = (2, 11)
"""The first NATS version that answers one direct get with many messages."""
BATCH: Final = 1000
"""Messages of one answer at most ..."""
BATCH_BYTES: Final = 4 << 20
"""... and bytes, since each comes with its body."""
WITHIN: Final = 5.0
"""Seconds in which the next message of an answer must come."""
_NO_MORE: Final = ("204", "404")

Told = tuple[int, str]
"""The sequence of a message, and its `ce-id`, empty where it has none."""


async def read(bus: Bus, stream: str, subjects: str, sequence: int) -> list[Told] | None:
    """Return the first messages from a sequence on whose subject is among `subjects`; None where nobody tells."""
    if bus.server_version < SINCE:
        return None
    answer = _Answer()
    inbox = bus.client.new_inbox()
    query = {"seq": sequence, "next_by_subj": subjects, "batch": BATCH, "max_bytes": BATCH_BYTES}
    with suppress(nats.errors.Error, OSError):
        subscription = await bus.client.receive(inbox, answer.take)
        try:
            bus.client.send(f"$JS.API.DIRECT.GET.{stream}".encode(), msgspec.json.encode(query), reply=inbox.encode())
            await answer.whole()
        finally:
            await subscription.unsubscribe()
    return answer.told or ([] if answer.is_empty else None)


class _Answer:
    """What came so far of the answer: only as much as has no gap, should one of its messages be lost."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.is_empty = False
        """Whether somebody said that there are none."""
        self._last = "0"
        self._news = asyncio.Event()
        self._ended = False

    def take(self, _subject: bytes, _reply: bytes, block: bytes, _payload: bytes) -> None:
        """Take a message of the stream, or the status that ends the answer, which has no sequence of its own."""
        headers = nats_headers.read(block)
        self._news.set()
        number = headers.get("Nats-Sequence", "")
        if self._ended or headers.get("Nats-Last-Sequence") != self._last or not number.isdecimal():
            self._ended = True
            self.is_empty = nats_headers.status(block).startswith(_NO_MORE)
        else:
            self._last = number
            self.told.append((int(number), header(block, "ce-id") or ""))

    async def whole(self) -> None:
        """Wait for its end, or until no more of it comes."""
        with suppress(TimeoutError):
            while not self._ended:
                self._news.clear()
                async with asyncio.timeout(WITHIN):
                    await self._news.wait()
