"""When the stream was created that an event lies in: it tells the sequences of one stream from those of another of its name.

Somebody may remove a stream and make it anew while this process lives. So it is asked for again, but not for every event.
"""

import time
from dataclasses import dataclass
from typing import Final

from choregos_ambassador.bus import Bus
from choregos_ambassador.delivery import Delivery
from choregos_ambassador.storing import BusFault

BELIEVED: Final = 1.0
"""Seconds for which nothing is asked for an event that was stored since the last answer, if its sequence fits."""


@dataclass(frozen=True, slots=True)
class Creation:
    """What a stream's leader said: when it was created, as the server writes it, its last sequence then, and the time."""

    created: str
    last: int
    told: float
    """Unix time, by the leader's clock."""
    asked: float
    """Of the monotonic clock."""

    def holds(self, sequence: int, stored: float, now: float) -> bool:
        """Say whether an event lies in this very stream: it was there at that time, or came after what was there."""
        return stored <= self.told or (sequence > self.last and now - self.asked <= BELIEVED)


class Creations:
    """The creation times of streams, as of the last time that they were asked for."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: dict[str, Creation] = {}

    async def of(self, delivery: Delivery) -> str:
        """Return when the stream of an event was created; raises BusFault."""
        known = self._known.get(delivery.stream)
        if known is None or not known.holds(delivery.sequence, delivery.stored / 1e9, time.monotonic()):
            self._known[delivery.stream] = known = await self._ask(delivery.stream)
        return known.created

    async def _ask(self, stream: str) -> Creation:
        asked = time.monotonic()
        info = await self._bus.stream_info(stream)
        if not info.ts:
            raise BusFault("JetStream does not tell the time")
        return Creation(info.created, info.state.last_seq, info.ts.timestamp(), asked)
