"""Configurations that change while events are in hand: other figures, a reaction that rests for a while, nonsense."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

from msgspec.structs import replace

from chaos.faults.fault import Fault, Missed
from chaos.faults.passing import PassingHarm
from chaos.theatre import Replica, Theatre
from choregos_contract.configuration import Configuration

_EACH: Final = 1.5
"""Seconds that a configuration is in force, more than an ambassador takes to notice it."""
_TIMES: Final = 4
_RESTS: Final = (3.0, 8.0)
_AWAY: Final = (5.5, 8.0)
"""Seconds; longer than an ambassador takes to give up a configuration that is gone."""


@dataclass(frozen=True)
class Reload:
    """An ambassador gets one configuration after the other, with another concurrency each time; one is no configuration."""

    kind: str = "reload"
    lasts: float = (_TIMES + 1) * _EACH
    services: tuple[str, ...] = ()

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        replica = theatre.any_replica(chance, *self.services)
        async with theatre.alone(replica):
            with _restored(replica, "configuration refused") as before:
                for number in range(1, _TIMES + 1):
                    replica.ambassador.configure(_with_concurrency(before, chance.randint(1, 32), number))
                    await asyncio.sleep(_EACH)
                replica.ambassador.configure_raw(b'{"version": 1, "generation"')
                await asyncio.sleep(_EACH)


@dataclass(frozen=True)
class Suspend(PassingHarm):
    """A reaction of an ambassador is suspended, and resumed; its replica goes on."""

    @contextmanager
    def harmed(self, replica: Replica, chance: Random) -> Iterator[None]:
        with _restored(replica, "configured") as before:
            chosen = chance.randrange(len(before.reactions))
            reactions = tuple(
                replace(reaction, suspend=number == chosen) for number, reaction in enumerate(before.reactions)
            )
            replica.ambassador.configure(replace(before, generation=before.generation + 1, reactions=reactions))
            yield


@dataclass(frozen=True)
class TakeAway(PassingHarm):
    """The configuration of an ambassador is gone, for long enough to count as given up, and comes again."""

    @contextmanager
    def harmed(self, replica: Replica, chance: Random) -> Iterator[None]:
        with _restored(replica, "configuration gone"):
            replica.ambassador.configure_gone()
            yield


@contextmanager
def _restored(replica: Replica, said: str) -> Iterator[Configuration]:
    """Yield the configuration that is mounted, and mount it again afterwards, as its next but some generation.

    Raise Missed if the ambassador took no note of what it was given meanwhile: it says so.
    """
    before, since = replica.ambassador.configuration, len(replica.ambassador.lines)
    try:
        yield before
        if not any(line["message"] == said for line in replica.ambassador.lines[since:]):
            raise Missed(f"{replica.name} did not say {said!r}")
    finally:
        replica.ambassador.configure(replace(before, generation=before.generation + _TIMES + 1))


def _with_concurrency(configuration: Configuration, concurrency: int, later: int) -> Configuration:
    reactions = tuple(
        replace(each, delivery=replace(each.delivery, concurrency=concurrency)) for each in configuration.reactions
    )
    return replace(configuration, generation=configuration.generation + later, reactions=reactions)


FAULTS: Final[tuple[Fault, ...]] = (
    Reload(),
    Suspend("suspend", _RESTS),
    TakeAway("configuration-gone", _AWAY),
)
