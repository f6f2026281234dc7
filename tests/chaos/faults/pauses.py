"""Processes that stand still (SIGSTOP) and go on: their sockets stay open, and nobody is told."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from chaos.faults.fault import Fault, Missed
from chaos.theatre import Replica, Theatre
from support.logging_process import LoggingProcess
from support.nats import NatsServer

_SHORT: Final = (0.5, 5.0)
_BEYOND_LEASE: Final = (35.0, 36.0)
"""Seconds: longer than the lease (30) and than the duplicate window (20)."""
_NATS: Final = 10.0
"""Seconds, as long as a hop's patience with the bus."""
_BREATH: Final = 5.0
"""Seconds in which it goes on before the next one may stop it: two pauses in one are longer than the duplicate window, and
then what a customer sends twice is two events, as the publish API says."""


@dataclass(frozen=True)
class Pause:
    """A process of a replica stands still for a while, which is between two numbers of seconds."""

    kind: str
    part: Callable[[Replica], LoggingProcess]
    between: tuple[float, float] = _SHORT
    services: tuple[str, ...] = ()

    @property
    def lasts(self) -> float:
        return self.between[1]

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        replica, seconds = theatre.any_replica(chance, *self.services), chance.uniform(*self.between)
        async with theatre.alone(replica):
            process = self.part(replica)
            process.signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                process.signal(signal.SIGCONT)


@dataclass(frozen=True)
class PauseNats:
    """nats-server stands still, for everybody."""

    kind: str = "pause-nats"
    lasts: float = _NATS + _BREATH
    services: tuple[str, ...] = ("nats",)

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        if not isinstance(theatre.nats, NatsServer):
            raise Missed("a cluster stands still only where its leader does, which is another fault")
        async with theatre.alone("nats"):
            os.kill(theatre.nats.pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(_NATS)
            finally:
                os.kill(theatre.nats.pid, signal.SIGCONT)
            await asyncio.sleep(_BREATH)


def _ambassador(replica: Replica) -> LoggingProcess:
    return replica.ambassador


def _business(replica: Replica) -> LoggingProcess:
    return replica.business


FAULTS: Final[tuple[Fault, ...]] = (
    Pause("pause-ambassador", _ambassador),
    Pause("pause-ambassador-beyond-lease", _ambassador, _BEYOND_LEASE),
    Pause("pause-service", _business, (2.0, 12.0)),
    PauseNats(),
)
