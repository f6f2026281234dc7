"""Configurations that change while events are in hand: other figures, a reaction that rests for a while, nonsense."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

from msgspec.structs import replace

from chaos.faults.fault import Fault, Missed
from chaos.theatre import Replica, Theatre
from choregos_contract.configuration import Configuration

_EACH: Final = 1.5
"""Seconds that a configuration is in force, more than an ambassador takes to notice it."""
_TIMES: Final = 4
_RESTS: Final = (3.0, 8.0)


@dataclass(frozen=True)
class Reload:
    """An ambassador gets one configuration after the other, with another concurrency each time; one is no configuration."""

    kind: str = "reload"
    lasts: float = (_TIMES + 1) * _EACH
    services: tuple[str, ...] = ()

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        replica = theatre.any_replica(chance, *self.services)
        async with theatre.alone(replica), _restored(replica) as before:
            since = len(replica.ambassador.lines)
            for number in range(1, _TIMES + 1):
                replica.ambassador.configure(_with_concurrency(before, chance.randint(1, 32), number))
                await asyncio.sleep(_EACH)
            replica.ambassador.configure_raw(b'{"version": 1, "generation"')
            await asyncio.sleep(_EACH)
            _must_have_said(replica, "configuration refused", since)


@dataclass(frozen=True)
class Suspend:
    """A reaction of an ambassador is suspended, and resumed; its replica goes on."""

    kind: str = "suspend"
    lasts: float = _RESTS[1]
    services: tuple[str, ...] = ()

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        replica, seconds = theatre.any_replica(chance, *self.services), chance.uniform(*_RESTS)
        async with theatre.alone(replica), _restored(replica) as before:
            chosen = chance.randrange(len(before.reactions))
            reactions = tuple(
                replace(reaction, suspend=number == chosen) for number, reaction in enumerate(before.reactions)
            )
            since = len(replica.ambassador.lines)
            replica.ambassador.configure(replace(before, generation=before.generation + 1, reactions=reactions))
            await asyncio.sleep(seconds)
            _must_have_said(replica, "configured", since)


@dataclass(frozen=True)
class TakeAway:
    """The configuration of an ambassador is gone, for long enough to count as given up, and comes again."""

    kind: str = "configuration-gone"
    lasts: float = _RESTS[1]
    services: tuple[str, ...] = ()

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        replica, seconds = theatre.any_replica(chance, *self.services), chance.uniform(5.5, _RESTS[1])
        async with theatre.alone(replica), _restored(replica):
            since = len(replica.ambassador.lines)
            replica.ambassador.configure_gone()
            await asyncio.sleep(seconds)
            _must_have_said(replica, "configuration gone", since)


@asynccontextmanager
async def _restored(replica: Replica) -> AsyncIterator[Configuration]:
    """Yield the configuration that is mounted, and mount it again afterwards, as its next but some generation."""
    before = replica.ambassador.configuration
    try:
        yield before
    finally:
        replica.ambassador.configure(replace(before, generation=before.generation + _TIMES + 1))


def _must_have_said(replica: Replica, message: str, since: int) -> None:
    """Raise Missed if the ambassador took no note of what it was given."""
    if not any(line["message"] == message for line in replica.ambassador.lines[since:]):
        raise Missed(f"{replica.name} did not say {message!r}")


def _with_concurrency(configuration: Configuration, concurrency: int, later: int) -> Configuration:
    reactions = tuple(
        replace(each, delivery=replace(each.delivery, concurrency=concurrency)) for each in configuration.reactions
    )
    return replace(configuration, generation=configuration.generation + later, reactions=reactions)


FAULTS: Final[tuple[Fault, ...]] = (Reload(), Suspend(), TakeAway())
