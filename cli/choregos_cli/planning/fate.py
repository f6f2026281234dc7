"""What becomes of the durable of a reaction that changes, as the controller will decide it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from choregos_cli.cluster.scene import OfBus
from choregos_contract import plan
from choregos_contract.survey import BusSurvey, DurableState, Reaction
from choregos_contract.wiring import Durable

_ANY: Final = "1970-01-01T00:00:00Z"
"""A plan asks for the time, and what it says does not depend on it."""


class Wiring(StrEnum):
    """What the controller does about the durable of a reaction."""

    CREATE = "create"
    ADOPT = "adopt"
    """There is one of that name, whose position is taken up."""
    UPDATE = "update"
    KEEP = "keep"
    """Only the ambassadors are told anything."""
    ORPHAN = "orphan"
    """It is kept idle for a while, then removed."""
    LEAVE = "leave"
    """There is none, or one that the controller did not make."""
    REFUSE = "refuse"
    WAIT = "wait"
    """Nothing, until the bus can be wired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of a reaction's durable. None is what nobody could say."""

    wiring: Wiring
    durable: str
    start_from: str = ""
    """Where a durable that is created begins."""
    waiting: int | None = None
    """Events that nobody was given yet; of a durable that is created, those that it would be given at once."""
    in_hand: int | None = None
    """Events that are out for delivery."""
    dead_letters: int | None = None
    reason: str = ""
    """Why it is refused, with the mend."""


@dataclass(frozen=True, slots=True)
class Live:
    """What NATS holds of one bus."""

    survey: BusSurvey
    server_version: str
    stored: Mapping[str, int] = field(default_factory=dict)
    """Events of a type, as far as they were counted."""


@dataclass(frozen=True, slots=True)
class Fates:
    """What becomes of the durables of one bus. `waits`: the controller would wire nothing of it."""

    old: OfBus
    new: OfBus
    live: Live | None
    waits: bool

    def of(self, key: Reaction) -> Fate:
        """Return what becomes of a reaction's durable."""
        durable = (self.old if self.waits else self.new).names.durable(*key)
        seen = None
        known = self.live is not None and durable not in self.live.survey.out_of_sight
        if self.live and known:
            seen = self.live.survey.durables.get(durable)
        wiring, reason = self._wiring(key, seen, known=known)
        wanted = self.new.durables.get(key)
        start = wanted.start_from if wanted and wiring is Wiring.CREATE else ""
        if start == "created":
            waiting: int | None = 0
        elif wiring is Wiring.CREATE:
            waiting = self.live.stored.get(key[1]) if self.live else None
        else:
            waiting = (seen.unread if seen else 0) if known else None
        return Fate(
            wiring=wiring,
            durable=durable,
            start_from=start,
            waiting=waiting,
            in_hand=(seen.in_hand if seen else 0) if known else None,
            dead_letters=self.live.survey.dead_letters.get(key, 0) if self.live else None,
            reason=reason,
        )

    def _wiring(self, key: Reaction, seen: DurableState | None, *, known: bool) -> tuple[Wiring, str]:
        was, wanted = self.old.durables.get(key), self.new.durables.get(key)
        if self.waits:
            return Wiring.WAIT, ""
        if wanted is None:
            return (Wiring.LEAVE if known and not (seen and seen.of_cluster) else Wiring.ORPHAN), ""
        if was and was.start_from != wanted.start_from:
            reason = f"startFrom was {was.start_from} and cannot be changed: its position is kept, wherever it began"
            return Wiring.REFUSE, f"{reason}; set it back"
        if self.live and known:
            existing = seen.existing if seen else None
            planned = plan.step(wanted, existing, server_version=self.live.server_version, now=_ANY)
            if isinstance(planned, plan.Refuse):
                return Wiring.REFUSE, f"{planned.reason}; {planned.mend}"
            return _step(was, wanted, there=seen is not None), ""
        return _step(was, wanted, there=was is not None), ""


def _step(was: Durable | None, wanted: Durable, *, there: bool) -> Wiring:
    if not there:
        return Wiring.CREATE
    if was is None:
        return Wiring.ADOPT
    return Wiring.KEEP if was == wanted else Wiring.UPDATE
