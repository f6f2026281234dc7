"""A bus that is full: its stream takes nothing more for a while, and gives nothing up."""

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Final

from chaos.faults.fault import Fault
from chaos.theatre import Theatre

_FOR: Final = (3.0, 12.0)
"""Seconds; the longer ones outlast a hop's patience with the bus (10)."""


@dataclass(frozen=True)
class FillStream:
    """The event stream may hold no more than it does, and later as much as before (`discard: new`)."""

    kind: str = "stream-full"
    lasts: float = _FOR[1]
    services: tuple[str, ...] = ("nats",)

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        seconds = chance.uniform(*_FOR)
        async with theatre.alone("nats"):
            name = theatre.bus.names.event_stream
            before = (await theatre.bus.api(f"STREAM.INFO.{name}"))["config"]
            await _update(theatre, name, {**before, "max_bytes": 1})
            try:
                await asyncio.sleep(seconds)
            finally:
                await _update(theatre, name, before)


async def _update(theatre: Theatre, name: str, config: object) -> None:
    answer = await theatre.bus.api(f"STREAM.UPDATE.{name}", config)
    assert "error" not in answer, answer


FAULTS: Final[tuple[Fault, ...]] = (FillStream(),)
