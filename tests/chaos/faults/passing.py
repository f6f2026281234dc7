"""Harm to one replica that passes: done, kept up for a while, and undone."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from random import Random

from chaos.theatre import Replica, Theatre


@dataclass(frozen=True)
class PassingHarm(ABC):
    """A replica is harmed, and healed after a while, which is between two numbers of seconds."""

    kind: str
    between: tuple[float, float]
    services: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def lasts(self) -> float:
        return self.between[1]

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        replica, seconds = theatre.any_replica(chance, *self.services), chance.uniform(*self.between)
        async with theatre.alone(replica):
            with self.harmed(replica, chance):
                await asyncio.sleep(seconds)

    @abstractmethod
    def harmed(self, replica: Replica, chance: Random) -> AbstractContextManager[None]:
        """Harm it for the time of the block; raise Missed if there is nothing to harm, or nothing was harmed."""
