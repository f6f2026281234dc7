"""When which fault strikes: pure and seeded, so that a seed names one schedule."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

FIRST: Final = 2.0
"""Seconds of load before the first strike."""
LONG: Final = 20.0
"""Seconds from which on a strike lasts long. There is one such at a time: else the bus would see little of the others."""
_BETWEEN: Final = 1.0
"""Seconds that a target has between two strikes, for those that take longer than they should."""
_TRIES: Final = 20


@dataclass(frozen=True)
class Card:
    """A kind of fault: how many seconds a strike lasts, what it may hit, and whether it hits both replicas at once."""

    lasts: float
    targets: tuple[str, ...]
    everywhere: bool = False


@dataclass(frozen=True)
class Strike:
    """One fault to come. `moment` in seconds of load; `target` is what is drawn first from `seed`."""

    moment: float
    kind: str
    target: str
    seed: int

    def chance(self) -> Random:
        """All chance that the fault may use."""
        return Random(self.seed)


def plan(seed: int, duration: float, every: float, cards: Mapping[str, Card]) -> tuple[Strike, ...]:
    """Plan strikes, one in `every` seconds on the average, each over by `duration` if its kind keeps its time.

    They overlap, but no two hit one target at a time. Kinds are drawn like cards, so that each comes as often as any
    other that fits; what lasts long is dealt first, for later there is no time for it.
    """
    chance, strikes, moment, deck, busy = Random(seed), list[Strike](), FIRST, list[str](), dict[str, float]()
    while fitting := [kind for kind in sorted(cards) if moment + cards[kind].lasts <= duration]:
        deck = [kind for kind in deck if kind in fitting] or _dealt(fitting, cards, chance)
        strike = next((found for kind in deck if (found := _aimed(moment, kind, cards[kind], busy, chance))), None)
        if strike:
            deck.remove(strike.kind)
            strikes.append(strike)
            _occupy(strike, cards[strike.kind], busy)
        moment += chance.expovariate(1 / every)
    return tuple(strikes)


def _dealt(kinds: list[str], cards: Mapping[str, Card], chance: Random) -> list[str]:
    return sorted(chance.sample(kinds, len(kinds)), key=lambda kind: cards[kind].lasts < LONG)


def _aimed(moment: float, kind: str, card: Card, busy: Mapping[str, float], chance: Random) -> Strike | None:
    """Draw seeds until one hits what is free."""
    for _ in range(_TRIES):
        own = chance.getrandbits(64)
        strike = Strike(round(moment, 3), kind, Random(own).choice(card.targets), own)
        if all(busy.get(each, 0.0) <= moment for each in _held(strike, card)):
            return strike
    return None


def _occupy(strike: Strike, card: Card, busy: dict[str, float]) -> None:
    for each in _held(strike, card):
        busy[each] = strike.moment + card.lasts + _BETWEEN


def _held(strike: Strike, card: Card) -> tuple[str, ...]:
    service = strike.target.rpartition("-")[0]
    replicas = tuple(each for each in card.targets if card.everywhere and each.rpartition("-")[0] == service)
    return (*(replicas or (strike.target,)), *(["something for long"] if card.lasts >= LONG else []))
