"""Where every durable stood when it was last seen, so that one that is deleted by hand comes back at its old place.

JetStream forgets a durable's position with the durable. Whoever saw it knows that everything up to its acknowledgement
floor was done: made again after the floor, it repeats what was done out of order, and loses nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from choregos_contract.survey import DurableState, StreamState
from choregos_contract.wiring import START_FROM, Durable


@dataclass(frozen=True, slots=True)
class Position:
    """The place of one durable."""

    floor: int
    """Sequence up to which every event is acknowledged."""
    start_from: str
    """Another one than the wanted means that the durable was removed to start anew."""
    owner: str

    @classmethod
    def of(cls, durable: DurableState) -> Self:
        """Return the place of a durable that is seen."""
        return cls(durable.floor, durable.existing.ours.get(START_FROM, ""), durable.owner)


@dataclass(frozen=True, slots=True)
class Positions:
    """The places of all durables of one event stream, by name."""

    stream_created: str = ""
    """Sequences mean nothing in another stream of the same name."""
    of: Mapping[str, Position] = field(default_factory=dict)


def resume_at(
    durable: Durable, remembered: Positions | None, stream: StreamState | None, *, promised: bool
) -> int | None:
    """Return the sequence at which to make a durable that is not there; None if it begins as its `startFrom` says.

    `promised`: an ambassador is configured for it, so that it was there before. In a stream that is made anew whatever
    comes is unread by it, also what comes before the durable is made.
    """
    known = remembered.of.get(durable.name) if remembered else None
    if known is None or known.start_from != durable.start_from:
        return 1 if promised and stream is None else None
    assert remembered
    if stream is None or stream.created != remembered.stream_created:
        return 1
    # A start beyond the end would be waited for, and what comes until then passed over.
    return min(known.floor, stream.last_sequence) + 1


def first_position(durable: Durable, stream: StreamState | None) -> Position | None:
    """Return the place of a durable that was just made, until it is seen; None where only the server knows it."""
    if durable.resume_at is not None:
        return Position(durable.resume_at - 1, durable.start_from, durable.owner)
    floors = {"created": stream.last_sequence if stream else 0, "all": 0}
    floor = floors.get(durable.start_from)
    return None if floor is None else Position(floor, durable.start_from, durable.owner)
