"""Business services that are there and are no use: they hang, talk nonsense, fall over, refuse, or take their time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from chaos.faults.fault import Fault, Missed
from chaos.mode import Mode
from chaos.theatre import Replica, Theatre

_RESTARTS: Final = 3
_EVERY: Final = 5.0
_DEATHS: Final = 3
_CALLED_WITHIN: Final = 5.0
_STILL_DYING: Final = 2.0
"""Seconds in which a call that began before it was told to behave may still bring its death."""


@dataclass(frozen=True)
class Misbehave:
    """A service does so for a while. With `everywhere` all its replicas do: then there is nobody to take over."""

    kind: str
    mode: Mode
    everywhere: bool = False
    between: tuple[float, float] = (4.0, 10.0)
    services: tuple[str, ...] = ()

    @property
    def lasts(self) -> float:
        return self.between[1]

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        replica, seconds = theatre.any_replica(chance, *self.services), chance.uniform(*self.between)
        harmed = theatre.of(replica.service_name) if self.everywhere else [replica]
        await _with_all(theatre, harmed, lambda: self._misbehave(harmed, seconds))

    async def _misbehave(self, harmed: list[Replica], seconds: float) -> None:
        for each in harmed:
            each.business.misbehave(self.mode)
        before = [each.business.calls() for each in harmed]
        try:
            await asyncio.sleep(seconds)
        finally:
            for each in harmed:
                each.business.behave()
        if before == [each.business.calls() for each in harmed]:
            raise Missed("nobody called it meanwhile")


@dataclass(frozen=True)
class AnswerAndDie:
    """A service does its work, answers, and dies in the next moment; some times in a row."""

    kind: str = "answer-and-die"
    lasts: float = 10.0
    services: tuple[str, ...] = ()

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        replica = theatre.any_replica(chance, *self.services)
        async with theatre.alone(replica):
            replica.business.misbehave(Mode.DIE)
            try:
                deaths = sum([await _until_dead(replica, _CALLED_WITHIN) for _ in range(_DEATHS)])
            finally:
                replica.business.behave()
            deaths += await _until_dead(replica, _STILL_DYING)
        if not deaths:
            raise Missed("nobody called it meanwhile")


async def _until_dead(replica: Replica, patience: float) -> bool:
    """Wait for its next death, if there is a call that brings it, and start it again; returns whether it died."""
    try:
        async with asyncio.timeout(patience):
            await replica.business.ended()
    except TimeoutError:
        return False
    await replica.business.start()
    return True


@dataclass(frozen=True)
class RestartOften:
    """A service is killed and started again every five seconds."""

    kind: str = "restart-service-often"
    lasts: float = _RESTARTS * _EVERY + 3
    services: tuple[str, ...] = ()

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        replica = theatre.any_replica(chance, *self.services)
        async with theatre.alone(replica):
            for _ in range(_RESTARTS):
                replica.business.kill()
                await replica.business.ended()
                await replica.business.start()
                await asyncio.sleep(_EVERY)


async def _with_all(theatre: Theatre, replicas: list[Replica], act: Callable[[], Awaitable[None]]) -> None:
    """Act with all these replicas held; always taken in the same order, so that no two strikes wait for each other."""
    if not replicas:
        await act()
        return
    async with theatre.alone(replicas[0]):
        await _with_all(theatre, replicas[1:], act)


FAULTS: Final[tuple[Fault, ...]] = (
    Misbehave("hang-service", Mode.HANG),
    Misbehave("garbage-service", Mode.GARBAGE, between=(1.0, 3.0)),
    Misbehave("unavailable-service", Mode.UNAVAILABLE),
    Misbehave("unavailable-everywhere", Mode.UNAVAILABLE, everywhere=True),
    Misbehave("hang-everywhere", Mode.HANG, everywhere=True),
    Misbehave("slow-service", Mode.SLOW),
    AnswerAndDie(),
    RestartOften(),
)
