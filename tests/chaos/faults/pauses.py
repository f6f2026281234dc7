"""Processes that stand still (SIGSTOP) and go on: their sockets stay open, and nobody is told."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

from chaos.faults.fault import Fault, Missed
from chaos.faults.passing import PassingHarm
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
class Pause(PassingHarm):
    """A process of a replica stands still for a while."""

    part: Callable[[Replica], LoggingProcess]

    @contextmanager
    def harmed(self, replica: Replica, chance: Random) -> Iterator[None]:
        process = self.part(replica)
        process.signal(signal.SIGSTOP)
        try:
            yield
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
    Pause("pause-ambassador", _SHORT, _ambassador),
    Pause("pause-ambassador-beyond-lease", _BEYOND_LEASE, _ambassador),
    Pause("pause-service", (2.0, 12.0), _business),
    PauseNats(),
)
