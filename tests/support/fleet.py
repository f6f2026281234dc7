"""A fleet: so many ambassadors' connections to the bus that what they do together shows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from choregos_ambassador.bus import Bus
from choregos_ambassador.credentials import Credentials
from choregos_ambassador.metrics import Metrics

FLEET = 50


@asynccontextmanager
async def fleet(url: str) -> AsyncIterator[list[Bus]]:
    """Connections as the ambassador makes them."""
    buses = [Bus(Metrics(), Credentials(None)) for _ in range(FLEET)]
    await asyncio.gather(*(bus.connect([url], "fleet") for bus in buses))
    try:
        yield buses
    finally:
        await asyncio.gather(*(bus.close() for bus in buses))
