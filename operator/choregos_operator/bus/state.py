"""What a pass over one bus found and did."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from choregos_contract.plan import Refuse
from choregos_contract.survey import Reaction, StreamState
from choregos_operator.bus.drift import Drift
from choregos_operator.bus.positions import Positions


@dataclass(frozen=True, slots=True)
class Change:
    """A stream or a durable that was updated, and which fields of it."""

    name: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """A durable that somebody had removed, made again where it stood: what was done out of order is repeated."""

    service: str
    event: str
    at: int
    """Sequence of the event stream at which it begins."""

    def __str__(self) -> str:
        return (
            f"the durable of {self.service}'s reaction to {self.event} was gone, and is back at sequence {self.at}: "
            "no event is lost, and some may be delivered again"
        )


@dataclass(frozen=True, slots=True)
class Lost:
    """A durable that had been there and was gone, made again as if it were new: nobody remembered where it stood."""

    service: str
    event: str
    start_from: str

    def __str__(self) -> str:
        what = f"the durable of {self.service}'s reaction to {self.event} was gone, and with it its position"
        if self.start_from == "created":
            return f"{what}: what it had not read is not delivered; publish it again if it is needed"
        return f"{what}: it begins again at its startFrom, '{self.start_from}', and events are delivered again"


@dataclass(frozen=True, slots=True)
class Orphan:
    """A durable whose reaction is gone, kept for a while with what it did not read."""

    service: str
    event: str
    pending: int
    since: datetime
    fresh: bool
    """Whether this pass found it so."""
    owner: str = ""
    """The uid of the choreography that it was made for."""
    in_use: bool = False
    """Whether it would have been swept before long, and is not because somebody reads it."""


@dataclass(frozen=True, slots=True)
class BusState:
    """All of it. Figures are those of the beginning of the pass."""

    created: tuple[str, ...] = ()
    updated: tuple[Change, ...] = ()
    refusals: tuple[Refuse, ...] = ()
    drift: tuple[Drift, ...] = ()
    restored: tuple[Restored, ...] = ()
    lost: tuple[Lost, ...] = ()
    remade: tuple[str, ...] = ()
    """Streams that had been there and were gone, with all that they held."""
    orphaned: tuple[Orphan, ...] = ()
    swept: tuple[Reaction, ...] = ()
    out_of_sight: tuple[str, ...] = ()
    """Durables that exist, and that no NATS server can tell of now; they were left alone."""
    pending: Mapping[Reaction, int] = field(default_factory=dict)
    """Events of each wanted reaction that are unread or unacknowledged."""
    dead_letters: Mapping[Reaction, int] = field(default_factory=dict)
    streams: Mapping[str, StreamState] = field(default_factory=dict)
    """By name."""
    positions: Positions = field(default_factory=Positions)
    """To be handed to the next pass over this bus."""
