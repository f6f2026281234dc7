"""What the ambassador needs of NATS before it can work, told in words until it is there."""

import asyncio
from typing import Final

from choregos_ambassador.bus import Bus
from choregos_ambassador.jetstream_info import NO_STREAM
from choregos_ambassador.log import log
from choregos_ambassador.storing import BusFault
from choregos_contract.names import BusNames

OLDEST_SERVER: Final = (2, 10)
LOOK_EVERY: Final = 1.0
"""Seconds between two looks."""
_NOT_ENABLED: Final = (10039, 10076)


async def met(bus: Bus, names: BusNames) -> None:
    """Return when the server is new enough, has JetStream, and the bus is wired; say what is missing meanwhile."""
    told: str | None = None
    while True:
        await bus.connected.wait()
        missing = await _missing(bus, names)
        if missing is None:
            return
        if missing != told and bus.connected.is_set():
            log.error("not usable yet", missing=missing)
            told = missing
        await asyncio.sleep(LOOK_EVERY)


async def _missing(bus: Bus, names: BusNames) -> str | None:
    if bus.server_version < OLDEST_SERVER:
        return f"nats-server {_text(OLDEST_SERVER)} or later; this one is {_text(bus.server_version)}"
    try:
        await bus.stream_info(names.event_stream)
    except BusFault as fault:
        return _told(fault, names.event_stream)
    return None


def _told(fault: BusFault, stream: str) -> str:
    if not fault.err_code:
        return f"JetStream, with the permission to ask for the stream {stream}: {fault}"
    if fault.err_code in _NOT_ENABLED:
        return f"JetStream, which is not enabled for this account: {fault}"
    if fault.err_code == NO_STREAM:
        return f"the stream {stream}: the bus is not wired yet"
    return f"the stream {stream}: {fault}"


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
