"""The ways through a choreography: who is told after whom, and how long each may take. Pure.

A time is an upper bound of what the delivery settings allow: every attempt runs into its time-out, every backoff is as
long as it can be drawn. What no setting bounds is not in it: an outage, a queue, a `Retry-After`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

from choregos_ambassador.backoff import ceiling
from choregos_contract.configuration import Delivery
from choregos_contract.configure import configurations
from choregos_contract.event import MAX_HOPS
from choregos_contract.graph import Graph, Scope, Step, graph_of
from choregos_contract.resources import Choreography

MOST_REACTIONS: Final = MAX_HOPS + 1
"""Reactions in a row: an event that a producer published has no hop behind it, and the one with `MAX_HOPS` still runs."""


class Way(NamedTuple):
    """Reactions that follow one another, and the seconds that they take at most."""

    seconds: float = 0.0
    steps: tuple[Step, ...] = ()


class Mention(NamedTuple):
    """An event where the tale comes by it: an entry, or what the reaction `after` may emit."""

    event: str
    after: Step | None
    told: bool
    """What follows from it has been told already."""


@dataclass(frozen=True)
class Story:
    """The choreographies of one namespace and bus, and the settings in force for each reaction (service, event)."""

    scope: Scope
    names: tuple[str, ...]
    graph: Graph
    deliveries: Mapping[tuple[str, str], Delivery]

    def delivery(self, step: Step) -> Delivery:
        """Return the settings of a reaction."""
        return self.deliveries[step.service, step.event]

    def tale(self) -> Iterator[tuple[int, Mention | Step]]:
        """Yield the entries, and below each what follows from it, with the depth; every event's reactions only once."""
        told: set[str] = set()
        waiting: list[tuple[int, str | Step, Step | None]] = [
            (0, entry, None) for entry in reversed(self.graph.entries)
        ]
        while waiting:
            depth, this, after = waiting.pop()
            if isinstance(this, Step):
                yield depth, this
                waiting += [(depth + 1, event, this) for event in reversed(this.emits)]
            else:
                yield depth, Mention(this, after, this in told)
                steps = () if this in told else self.graph.steps_on.get(this, ())
                waiting += [(depth + 1, step, None) for step in reversed(steps)]
                told.add(this)

    def never_reached(self) -> tuple[Step, ...]:
        """Return the reactions that no entry leads to."""
        reached = self.graph.reachable(self.graph.entries)
        return tuple(step for step in self.graph.steps if step.event not in reached)

    @cached_property
    def longest(self) -> Mapping[str, Way]:
        """The way from each event that may take longest; in a circle it goes on until an event has too many hops."""
        ways: dict[str, Way] = {}
        for _ in range(MOST_REACTIONS):
            further = {event: self._longest_by(steps, ways) for event, steps in self.graph.steps_on.items()}
            if further == ways:
                break
            ways = further
        return ways

    def _longest_by(self, steps: Sequence[Step], ways: Mapping[str, Way]) -> Way:
        """Return the longest way that begins with one of the steps and goes on by one of the ways."""
        best = Way()
        for step in steps:
            rest = max((ways.get(event, Way()) for event in step.emits), key=lambda way: way.seconds, default=Way())
            seconds = time_to_dead_letter(self.delivery(step)) + rest.seconds
            if seconds > best.seconds:
                best = Way(seconds, (step, *rest.steps))
        return best


def story_of(scope: Scope, choreographies: Sequence[Choreography]) -> Story:
    """Return the story of choreographies that share a namespace and bus; of two claims on one reaction, the first."""
    graph = graph_of(choreographies)
    in_force: dict[tuple[str, str], Step] = {}
    for step in graph.steps:
        in_force.setdefault((step.service, step.event), step)
    deliveries = {
        (service, reaction.event): reaction.delivery
        for service, configuration in configurations(choreographies, None, generation=1).items()
        for reaction in configuration.reactions
    }
    names = tuple(each.metadata.name for each in choreographies)
    return Story(scope, names, replace(graph, steps=tuple(in_force.values())), deliveries)


def time_to_dead_letter(delivery: Delivery) -> float:
    """Return the seconds from the first request to the dead letter, at most; no success comes later either."""
    waits = sum(ceiling(delivery, attempt) for attempt in range(1, delivery.retry + 1))
    return (delivery.retry + 1) * delivery.timeout + waits
