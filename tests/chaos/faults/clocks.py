"""Wall clocks that are wrong: an ambassador's jumps by an hour and back, while events are in its hands.

nats-server's own clock cannot be stepped from outside without the whole machine's: it is a Go program, which asks the
kernel and no library, and time namespaces leave the wall clock alone.
"""

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Final

from chaos.faults.fault import Fault, Missed
from chaos.theatre import Theatre

_HOUR: Final = 3600
_LONGEST: Final = 15.0


@dataclass(frozen=True)
class StepClock:
    """The clock of an ambassador jumps ahead, then behind, and is right again."""

    kind: str = "step-clock"
    lasts: float = 2 * _LONGEST
    services: tuple[str, ...] = ()

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        replica = theatre.any_replica(chance, *self.services)
        steps = chance.sample((_HOUR, -_HOUR), 2)
        if replica.clock is None:
            raise Missed("there is no C compiler here (cc, gcc or clang), and so no clock that can be stepped")
        async with theatre.alone(replica):
            try:
                for step in steps:
                    replica.clock.step(step)
                    await asyncio.sleep(chance.uniform(2.0, _LONGEST))
            finally:
                replica.clock.step(0)


FAULTS: Final[tuple[Fault, ...]] = (StepClock(),)
