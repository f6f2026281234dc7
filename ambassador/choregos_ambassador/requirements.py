"""What the ambassador needs of NATS before it can work, told in words until it is there."""

import asyncio
from typing import Final

import msgspec

from choregos_ambassador.bus import Bus
from choregos_ambassador.log import log
from choregos_ambassador.storing import BusFault
from choregos_contract.names import BusNames

OLDEST_SERVER: Final = (2, 10)
LOOK_EVERY: Final = 1.0
"""Seconds between two looks."""
_NOT_ENABLED: Final = (10039, 10076)
_NO_STREAM: Final = 10059


class _Error(msgspec.Struct):
    description: str = ""
    err_code: int = 0


class _Answer(msgspec.Struct):
    error: _Error | None = None


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
        answer = await bus.info(f"STREAM.INFO.{names.event_stream}")
    except BusFault as fault:
        return f"JetStream, with the permission to ask for the stream {names.event_stream}: {fault}"
    error = msgspec.json.decode(answer, type=_Answer).error
    if error is None:
        return None
    if error.err_code in _NOT_ENABLED:
        return f"JetStream, which is not enabled for this account: {error.description}"
    if error.err_code == _NO_STREAM:
        return f"the stream {names.event_stream}: the bus is not wired yet"
    return f"the stream {names.event_stream}: {error.description}"


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
