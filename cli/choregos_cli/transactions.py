"""Transactions, put together again from what was seen of them. Pure: fed with happenings, in any order.

An event is pending while a reaction to it has neither ended its hop nor left a dead letter, or while a reply that a hop
has announced is not stored yet. A transaction none of whose events is pending is settled.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from choregos_cli.happenings import DeadLettered, EventStored, Happening, HopEnded
from choregos_contract.resources import Choreography

Outcome = Literal["completed", "failed"]


class State(StrEnum):
    """How a transaction stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    DEAD_LETTERED = "dead_lettered"
    ENDED = "ended"
    """Settled, with neither an outcome nor a dead letter."""


@dataclass(frozen=True, slots=True)
class Roles:
    """What has to be known of the choreographies: which events are outcomes, and who reacts to what."""

    outcomes: Mapping[str, Outcome]
    reactions: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, choreographies: Iterable[Choreography]) -> "Roles":
        """Read the roles off choreographies that share a namespace and a bus."""
        outcomes: dict[str, Outcome] = {}
        reactions: dict[str, frozenset[str]] = {}
        for choreography in choreographies:
            outcomes |= {name: event.outcome for name, event in choreography.spec.events.items() if event.outcome}
            for name, service in choreography.spec.services.items():
                for reaction in service.reactions:
                    reactions[reaction.event] = reactions.get(reaction.event, frozenset()) | {name}
        return cls(outcomes, reactions)


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a transaction with what led to it and what became of it."""

    event: EventStored
    depth: int
    """Events between it and the root."""
    since_root_s: float
    hops: tuple[HopEnded, ...]
    dead_letters: tuple[DeadLettered, ...]


@dataclass(slots=True)
class Transaction:
    """Everything seen of one correlation id."""

    correlation_id: str
    roles: Roles
    events: list[EventStored] = field(default_factory=list)
    """In the order of the stream, each id once."""
    repeated: list[EventStored] = field(default_factory=list)
    """Events whose id was stored already: there should be none."""
    hops: list[HopEnded] = field(default_factory=list)
    dead_letters: list[DeadLettered] = field(default_factory=list)

    @property
    def outcomes(self) -> tuple[EventStored, ...]:
        """The stored events that end the transaction; more than one is one too many."""
        return tuple(event for event in self.events if event.type in self.roles.outcomes)

    @property
    def duplicates(self) -> int:
        """Events stored twice, and outcomes beyond the first."""
        return len(self.repeated) + max(0, len(self.outcomes) - 1)

    @property
    def last_time(self) -> float:
        """When something was last seen of it; Unix time in seconds."""
        return max((each.time for each in (*self.events, *self.hops, *self.dead_letters)), default=0.0)

    @property
    def settled(self) -> bool:
        """Whether nothing is pending, as far as was seen."""
        known = {event.id for event in self.events}
        if not known or any(hop.event_id not in known for hop in self.hops):
            return False
        return not any(self._pending(event) for event in self.events)

    def state(self, *, idle: bool = False) -> State:
        """Return how the transaction stands. `idle`: every durable is known to be empty, so nothing can be pending."""
        if not idle and not self.settled:
            return State.RUNNING
        ends = {self.roles.outcomes[event.type] for event in self.outcomes}
        for end in (State.FAILED, State.COMPLETED):
            if end.value in ends:
                return end
        return State.DEAD_LETTERED if self.dead_letters else State.ENDED

    def steps(self) -> Iterator[Step]:
        """Yield the events depth first: each followed by those that it caused, in the order of the stream."""
        known = {event.id for event in self.events}
        children: dict[str | None, list[EventStored]] = {}
        for event in self.events:
            parent = event.causation_id if event.causation_id in known else None
            children.setdefault(parent, []).append(event)
        waiting = [(event, 0) for event in reversed(children.pop(None, []))]
        start = self.events[0].time if self.events else 0.0
        while waiting:
            event, depth = waiting.pop()
            yield Step(event, depth, event.time - start, *self._fate(event))
            # Popped, so that ids which claim to cause one another cannot keep us here for ever.
            waiting += [(child, depth + 1) for child in reversed(children.pop(event.id, []))]

    def add(self, happening: EventStored | HopEnded | DeadLettered) -> None:
        """Take in what was seen; the same thing seen twice (same sequence) counts once."""
        if isinstance(happening, HopEnded):
            self.hops.append(happening)
        elif isinstance(happening, DeadLettered):
            if all(letter.sequence != happening.sequence for letter in self.dead_letters):
                self.dead_letters.append(happening)
        else:
            self._add_event(happening)

    def _add_event(self, event: EventStored) -> None:
        if any(event.sequence == other.sequence for other in (*self.events, *self.repeated)):
            return
        if any((event.source, event.id) == (other.source, other.id) for other in self.events):
            self.repeated.append(event)
        else:
            self.events.append(event)
            self.events.sort(key=lambda each: each.sequence)

    def _fate(self, event: EventStored) -> tuple[tuple[HopEnded, ...], tuple[DeadLettered, ...]]:
        return (
            tuple(hop for hop in self.hops if hop.event_id == event.id),
            tuple(letter for letter in self.dead_letters if letter.event_id == event.id),
        )

    def _pending(self, event: EventStored) -> bool:
        hops, letters = self._fate(event)
        ended = {hop.service: hop for hop in hops if hop.verdict in ("done", "dead-letter")}
        if self.roles.reactions.get(event.type, frozenset()) - ended.keys() - {letter.service for letter in letters}:
            return True
        if any(hop.verdict == "dead-letter" and not letters for hop in ended.values()):
            return True
        announced = sum(len(hop.replies) for hop in ended.values())
        announced += sum(letter.failure_emitted and letter.service not in ended for letter in letters)
        return announced > sum(other.causation_id == event.id for other in self.events)


class Transactions:
    """All transactions that were seen, oldest first."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles
        self._found: dict[str, Transaction] = {}

    def __iter__(self) -> Iterator[Transaction]:
        return iter(self._found.values())

    def __len__(self) -> int:
        return len(self._found)

    def get(self, correlation_id: str) -> Transaction | None:
        """Return a transaction, or None if nothing was seen of it."""
        return self._found.get(correlation_id)

    def forget(self, correlation_id: str) -> None:
        """Drop a transaction."""
        self._found.pop(correlation_id, None)

    def feed(self, happening: Happening) -> Transaction | None:
        """Take in a happening; return the transaction that it belongs to, or None if it belongs to none."""
        if not isinstance(happening, EventStored | HopEnded | DeadLettered):
            return None
        key = happening.correlation_id
        transaction = self._found.setdefault(key, Transaction(key, self._roles))
        transaction.add(happening)
        return transaction
