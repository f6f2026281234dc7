"""The outbox of a hop: stores records, and gives a bus that is away or full some time before it gives up."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from choregos_ambassador.bus import Bus
from choregos_ambassador.delivery import Delivery
from choregos_ambassador.storing import BusFault, Record

PATIENCE: Final = 10.0
"""Seconds for which a bus fault holds an event, and with it a slot: the pause that a full bus needs."""
PAUSE: Final = 0.25


Look = Callable[[], Awaitable[Collection[str]]]
"""Looks which records are stored already, by their message ids; raises BusFault."""


class Outbox:
    """Stores what follows from events in hand."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def store(self, records: Sequence[Record], delivery: Delivery, stored: Look) -> None:
        """Store all records, as one batch where the server can; raises BusFault when patience or the lease ends, and TooLarge.

        What had no answer may be on its way still, before a server that stands still, and be stored so long before its
        copy that the stream takes that for something new. So `stored` is asked first, which comes after the first copy.
        Where records go one by one, the first goes last: a first reply on the bus proves that all the others are there.
        """
        until, unknown = time.monotonic() + PATIENCE, False
        while records:
            try:
                if unknown:
                    there = await stored()
                    records = [record for record in records if record.headers["Nats-Msg-Id"] not in there]
                if records:
                    await self._bus.publish_all(records, first_last=True)
            except BusFault as fault:
                unknown = unknown or not fault.err_code or bool(fault.stored)
                await asyncio.sleep(PAUSE)
                if time.monotonic() > until or delivery.lost:  # asked after the pause, in which the process may stop
                    raise
            else:
                return
