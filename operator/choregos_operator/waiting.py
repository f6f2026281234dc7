"""Waiting for what may happen earlier."""

import asyncio
import contextlib


async def set_within(event: asyncio.Event, seconds: float) -> None:
    """Return when the event is set, or so many seconds have passed."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
