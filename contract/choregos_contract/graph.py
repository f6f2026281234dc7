"""The graph that choreographies draw: events lead to reactions, reactions lead to events.

A graph holds what shares a namespace and a bus, because event names mean the same thing only there; `scopes` sorts
choreographies that way. Everything keeps the order of the documents, so that the same input gives the same output.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from choregos_contract.findings import DocumentPath
from choregos_contract.resources import Choreography, EventSpec, Reaction


class Scope(NamedTuple):
    """Where an event name means one thing, and where a reaction is unique."""

    namespace: str
    bus: str


@dataclass(frozen=True, slots=True)
class Event:
    """An event, as all choreographies of the graph together declare it."""

    name: str
    description: str = ""
    outcome: Literal["completed", "failed"] | None = None
    external: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One reaction of one service, and where in which choreography it is written."""

    choreography: str
    service: str
    index: int
    reaction: Reaction

    @property
    def event(self) -> str:
        """The event reacted to."""
        return self.reaction.event

    @property
    def emits(self) -> tuple[str, ...]:
        """The events that may follow, each once."""
        return tuple(dict.fromkeys(self.reaction.emits))

    @property
    def path(self) -> DocumentPath:
        """Where the reaction stands in its document."""
        return ("spec", "services", self.service, "reactions", self.index)


class Publication(NamedTuple):
    """A service publishes an event of its own accord."""

    service: str
    event: str


@dataclass(frozen=True)
class Graph:
    """Events, services and the reactions between them."""

    events: tuple[Event, ...]
    services: tuple[str, ...]
    steps: tuple[Step, ...]
    publications: tuple[Publication, ...]

    @cached_property
    def entries(self) -> tuple[str, ...]:
        """Events that begin a transaction: published by a service, or external."""
        published = {publication.event for publication in self.publications}
        return tuple(event.name for event in self.events if event.external or event.name in published)

    @cached_property
    def outcomes(self) -> tuple[str, ...]:
        """Events that end a transaction."""
        return tuple(event.name for event in self.events if event.outcome)

    @cached_property
    def emitted(self) -> frozenset[str]:
        """Events that something in the graph emits."""
        return frozenset(name for step in self.steps for name in step.emits) | {p.event for p in self.publications}

    @cached_property
    def steps_on(self) -> Mapping[str, tuple[Step, ...]]:
        """The reactions to each event."""
        found: dict[str, list[Step]] = {event.name: [] for event in self.events}
        for step in self.steps:
            found.setdefault(step.event, []).append(step)
        return {name: tuple(steps) for name, steps in found.items()}

    @cached_property
    def successors(self) -> Mapping[str, tuple[str, ...]]:
        """The events that each event may cause in one hop."""
        following = {name: [after for step in steps for after in step.emits] for name, steps in self.steps_on.items()}
        following |= {name: [] for name in sorted(self.emitted - following.keys())}
        return {name: tuple(dict.fromkeys(names)) for name, names in following.items()}

    def reachable(self, start: Iterable[str]) -> frozenset[str]:
        """Return the events that may follow from `start`, those included."""
        return reachable(self.successors, start)

    def causes_of(self, event: str) -> frozenset[str]:
        """Return the events that `event` may follow from, itself included."""
        return reachable(self.predecessors, [event])

    @cached_property
    def predecessors(self) -> Mapping[str, tuple[str, ...]]:
        """The events that each event may follow from in one hop."""
        return _turned(self.successors)

    @cached_property
    def components(self) -> tuple[tuple[str, ...], ...]:
        """The strongly connected components of the events, causes before effects."""
        return components(self.successors)

    @cached_property
    def cycles(self) -> tuple[tuple[str, ...], ...]:
        """The components whose events cause one another, or themselves."""
        return tuple(c for c in self.components if len(c) > 1 or c[0] in self.successors[c[0]])

    @cached_property
    def longest_chain(self) -> tuple[Step, ...]:
        """The longest row of reactions that one event may pass through; a cycle counts as a single reaction."""
        longest: dict[str, tuple[Step, ...]] = {}
        for component in reversed(self.components):
            best: tuple[Step, ...] = ()
            for step in (step for name in component for step in self.steps_on.get(name, ())):
                tails = [longest[name] for name in step.emits if name not in component]
                best = max(best, (step, *max(tails, key=len, default=())), key=len)
            longest.update(dict.fromkeys(component, best))
        return max(longest.values(), key=len, default=())


def graph_of(choreographies: Iterable[Choreography]) -> Graph:
    """Return the graph of choreographies that share a namespace and a bus."""
    events: dict[str, Event] = {}
    services: dict[str, None] = {}
    steps: list[Step] = []
    publications: dict[Publication, None] = {}
    for choreography in choreographies:
        for name, spec in choreography.spec.events.items():
            events[name] = _merged(name, events.get(name), spec)
        for service, content in choreography.spec.services.items():
            services[service] = None
            publications.update((Publication(service, event), None) for event in content.emits)
            named = enumerate(content.reactions)
            steps.extend(Step(choreography.metadata.name, service, index, reaction) for index, reaction in named)
    return Graph(tuple(events.values()), tuple(services), tuple(steps), tuple(publications))


def _merged(name: str, known: Event | None, spec: EventSpec) -> Event:
    """Return an event that two choreographies declare: external only if it is so for both."""
    if known is None:
        return Event(name, spec.description, spec.outcome, spec.external)
    description, outcome = known.description or spec.description, known.outcome or spec.outcome
    return Event(name, description, outcome, known.external and spec.external)


def scopes(choreographies: Iterable[Choreography]) -> dict[Scope, tuple[Choreography, ...]]:
    """Sort choreographies by the namespace and bus that they share."""
    found: dict[Scope, tuple[Choreography, ...]] = {}
    for choreography in choreographies:
        scope = Scope(choreography.metadata.namespace, choreography.spec.bus)
        found[scope] = (*found.get(scope, ()), choreography)
    return found


def reachable(successors: Mapping[str, Sequence[str]], start: Iterable[str]) -> frozenset[str]:
    """Return every node that a walk from `start` may visit, those included."""
    seen = set(start)
    waiting = list(seen)
    while waiting:
        fresh = set(successors.get(waiting.pop(), ())) - seen
        seen |= fresh
        waiting.extend(fresh)
    return frozenset(seen)


def shortest_cycle(successors: Mapping[str, Sequence[str]], start: str) -> tuple[str, ...]:
    """Return the shortest way from `start` back to it, both ends included; empty if there is none."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    for way in ways:
        for after in successors.get(way[-1], ()):
            if after == start:
                return (*way, start)
            if after not in seen:
                seen.add(after)
                ways.append((*way, after))
    return ()


def components(successors: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Return the strongly connected components in topological order (Kosaraju's algorithm, without recursion)."""
    before = _turned(successors)
    position = {name: index for index, name in enumerate(successors)}
    seen: set[str] = set()
    found = (_post_order(before, [name], seen) for name in reversed(_post_order(successors, successors, set())))
    return tuple(tuple(sorted(members, key=position.__getitem__)) for members in found if members)


def _turned(successors: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return the same graph with every edge the other way round."""
    before: dict[str, list[str]] = {name: [] for name in successors}
    for name, following in successors.items():
        for after in following:
            before[after].append(name)
    return {name: tuple(names) for name, names in before.items()}


def _post_order(successors: Mapping[str, Sequence[str]], roots: Iterable[str], seen: set[str]) -> list[str]:
    """Return the unseen nodes below `roots`, each after all that it leads to; marks them as seen."""
    order: list[str] = []
    for root in roots:
        if root in seen:
            continue
        seen.add(root)
        stack = [(root, iter(successors[root]))]
        while stack:
            name, following = stack[-1]
            after = next((after for after in following if after not in seen), None)
            if after is None:
                order.append(name)
                stack.pop()
            else:
                seen.add(after)
                stack.append((after, iter(successors[after])))
    return order
