"""A producer that stores events on the bus whatever happens: each again until it is acknowledged, as a producer must."""

import asyncio
from collections.abc import Iterable

import nats.errors

from support.bus import TestBus

_WITHIN = 0.5


async def publish_come_what_may(bus: TestBus, event_ids: Iterable[str]) -> None:
    """Store these events, one after the other."""
    for event_id in event_ids:
        while True:
            if await _is_acknowledged(bus, event_id):
                break
            await asyncio.sleep(0.02)


async def produce(bus: TestBus, ended: asyncio.Event) -> list[str]:
    """Store one event after the other until told to end; returns the ids of those that were acknowledged."""
    stored: list[str] = []
    while not ended.is_set():
        event_id = f"e{len(stored):04}"
        if await _is_acknowledged(bus, event_id):
            stored.append(event_id)
            await asyncio.sleep(0.002)
        else:
            await asyncio.sleep(0.05)
    return stored


async def _is_acknowledged(bus: TestBus, event_id: str) -> bool:
    """Publish once, and tell whether that was confirmed."""
    try:
        async with asyncio.timeout(_WITHIN):
            await bus.publish("Placed", b"{}", event_id)
    except (nats.errors.Error, OSError, TimeoutError):
        return False
    return True
