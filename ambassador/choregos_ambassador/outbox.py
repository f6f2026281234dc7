"""The outbox of a hop: stores records, and gives a bus that is away or full some time before it gives up."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from choregos_ambassador.bus import Bus, BusFault, Record
from choregos_ambassador.delivery import Delivery

PATIENCE: Final = 10.0
"""Seconds for which a bus fault holds an event, and with it a slot: the pause that a full bus needs."""
PAUSE: Final = 0.25


class Outbox:
    """Stores what follows from events in hand."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def store(self, records: Sequence[Record], delivery: Delivery) -> None:
        """Store all records, as one batch where the server can; raises BusFault when patience or the lease ends, and TooLarge.

        The same records are sent again as they are: what was stored the first time is known by its message id. Where
        they go one by one, the first goes last: a first reply on the bus proves that all the others are there.
        """
        if not records:
            return
        until = time.monotonic() + PATIENCE
        while True:
            try:
                await self._bus.publish_all(records, first_last=True)
            except BusFault:
                if time.monotonic() > until or delivery.lost:
                    raise
                await asyncio.sleep(PAUSE)
            else:
                return
