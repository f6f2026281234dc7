"""The figures of `choregos status`, from what the API server and NATS told at one moment. Pure.

What could not be asked is None, never a number.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from choregos_cli.cluster.pods import ServicePods
from choregos_cli.cluster.scene import OfBus, Scene
from choregos_contract.graph import graph_of
from choregos_contract.names import BusNames
from choregos_contract.resources import DEFAULT_BUS, Choreography
from choregos_contract.running import RunningAmbassador
from choregos_contract.survey import BusSurvey, DurableState, Reaction

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """An event that begins transactions, as the bus holds it."""

    event: str
    stored: int | None = None
    last: datetime | None = None
    """When the last one was stored."""


@dataclass(frozen=True, slots=True)
class SeenBus:
    """One look at a bus."""

    names: BusNames
    survey: BusSurvey
    running: tuple[RunningAmbassador, ...]
    entries: Mapping[str, Entry]
    oldest: Mapping[str, datetime]
    """When the oldest event was stored that is not acknowledged, by durable."""
    at: float
    """Seconds, on a clock that only goes forward."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that was found about one namespace."""

    scene: Scene
    objects: tuple[Object, ...]
    """The choreographies as the API server has them."""
    pods: Mapping[str, ServicePods] | None
    generations: Mapping[str, int] | None
    """Generation of the configuration that each service's ambassadors should work with."""
    buses: Mapping[str, SeenBus]
    """By name; a bus that could not be asked is left out."""


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """One service of a choreography."""

    name: str
    ready: int | None
    """Pods that have an ambassador and serve."""
    pods: int | None
    current: int | None
    """Ambassadors that work with the present configuration."""
    ambassadors: int | None
    """Ambassadors that answer."""
    breakers: Mapping[str, int] | None
    """Ambassadors by the state of their breaker."""
    reasons: tuple[str, ...]
    """Why breakers are not closed."""


@dataclass(frozen=True, slots=True)
class ReactionRow:
    """One reaction of a choreography."""

    service: str
    event: str
    note: str = ""
    """`suspended`, `no durable`, or who has it instead."""
    waiting: int | None = None
    """Stored events that nobody was given yet."""
    unacknowledged: int | None = None
    """Events out for delivery, those that wait out a backoff included."""
    redelivered: int | None = None
    """Those of them that were delivered more than once."""
    in_hand: int | None = None
    """Events that ambassadors say they have in hand now."""
    oldest: float | None = None
    """Age in seconds of the oldest event that is not acknowledged; None if there is none."""
    dead_letters: int | None = None
    rate: float | None = None
    """Deliveries that ended, per second; None without an earlier look."""


@dataclass(frozen=True, slots=True)
class OrphanRow:
    """A durable that is kept for a reaction which the choreography no longer has."""

    service: str
    event: str
    pending: int
    """Events that are waiting or out for delivery."""
    since: str
    """RFC 3339."""


@dataclass(frozen=True, slots=True)
class Room:
    """How full a stream is."""

    messages: int
    size: int
    most: int


@dataclass(frozen=True, slots=True)
class Shown:
    """One choreography."""

    namespace: str
    name: str
    bus: str
    age: float
    """Seconds."""
    conditions: tuple[Mapping[str, str], ...]
    events: Room | None
    dead_letters: Room | None
    entries: tuple[Entry, ...] = ()
    services: tuple[ServiceRow, ...] = ()
    reactions: tuple[ReactionRow, ...] = ()
    orphaned: tuple[OrphanRow, ...] = ()


def figures(seen: Seen, now: datetime, earlier: Seen | None = None) -> Iterator[Shown]:
    """Yield the choreographies of a namespace; with an `earlier` look, their rates as well."""
    by_name = {each.metadata.name: each for each in seen.scene.choreographies}
    for body in seen.objects:
        metadata, spec = body["metadata"], body.get("spec") or {}
        name, bus = metadata["name"], str(spec.get("bus", DEFAULT_BUS))
        look, before = seen.buses.get(bus), earlier.buses.get(bus) if earlier else None
        choreography = by_name.get(name)
        parts: dict[str, Any] = {}
        if choreography:
            parts["entries"] = tuple(_entries(choreography, look))
            parts["services"] = tuple(_service(each, seen, look) for each in choreography.spec.services)
            parts["reactions"] = tuple(_reactions(choreography, seen.scene.of(bus), look, before, now))
        yield Shown(
            namespace=metadata["namespace"],
            name=name,
            bus=bus,
            age=(now - datetime.fromisoformat(metadata["creationTimestamp"])).total_seconds(),
            conditions=tuple((body.get("status") or {}).get("conditions") or ()),
            events=_room(look, look.names.event_stream if look else ""),
            dead_letters=_room(look, look.names.dead_letter_stream if look else ""),
            orphaned=tuple(_orphaned(metadata.get("uid", ""), look)),
            **parts,
        )


def entries_of(choreographies: Iterable[Choreography]) -> tuple[str, ...]:
    """Return the events that begin transactions of any of these."""
    return tuple(dict.fromkeys(event for each in choreographies for event in graph_of([each]).entries))


def _entries(choreography: Choreography, look: SeenBus | None) -> Iterator[Entry]:
    for event in graph_of([choreography]).entries:
        yield look.entries.get(event, Entry(event)) if look else Entry(event)


def _room(look: SeenBus | None, stream: str) -> Room | None:
    found = look.survey.streams.get(stream) if look else None
    return Room(found.messages, found.size, found.most) if found else None


def _orphaned(uid: str, look: SeenBus | None) -> Iterator[OrphanRow]:
    for each in look.survey.durables.values() if look and uid else ():
        if each.orphaned_since and each.owner == uid:
            yield OrphanRow(*each.reaction, each.lag, each.orphaned_since)


def _service(name: str, seen: Seen, look: SeenBus | None) -> ServiceRow:
    pods = None if seen.pods is None else seen.pods.get(name, ServicePods())
    running = None if look is None else [each for each in look.running if each.service == name]
    generation = None if seen.generations is None else seen.generations.get(name)
    current = None
    if running is not None and generation is not None:
        current = sum(each.generation >= generation for each in running)
    return ServiceRow(
        name=name,
        ready=None if pods is None else len(pods.ready),
        pods=None if pods is None else len(pods.all),
        current=current,
        ambassadors=None if running is None else len(running),
        breakers=None if running is None else dict(Counter(each.breaker for each in running)),
        reasons=tuple(dict.fromkeys(each.breaker_reason for each in running or () if each.breaker_reason)),
    )


def _reactions(
    choreography: Choreography, part: OfBus, look: SeenBus | None, before: SeenBus | None, now: datetime
) -> Iterator[ReactionRow]:
    for service, its in choreography.spec.services.items():
        for reaction in its.reactions:
            key = Reaction(service, reaction.event)
            claim = part.claims.get(key)
            if claim is None:
                yield ReactionRow(*key, "not wired: its bus, or its service's, is another")
            elif (owner := claim.choreography.metadata.name) != choreography.metadata.name:
                yield ReactionRow(*key, f"claimed by {owner}")
            else:
                yield _row(key, look, before, now, suspended=reaction.suspend)


def _row(key: Reaction, look: SeenBus | None, before: SeenBus | None, now: datetime, *, suspended: bool) -> ReactionRow:
    note = "suspended" if suspended else ""
    if look is None:
        return ReactionRow(*key, note)
    name = look.names.durable(*key)
    letters = look.survey.dead_letters.get(key, 0)
    durable = look.survey.durables.get(name)
    if durable is None:
        unseen = "out of sight" if name in look.survey.out_of_sight else "no durable"
        return ReactionRow(*key, note or unseen, dead_letters=letters)
    oldest = look.oldest.get(name)
    return ReactionRow(
        *key,
        note,
        waiting=durable.unread,
        unacknowledged=durable.in_hand,
        redelivered=durable.redelivered,
        in_hand=sum(each.in_flight.get(key.event, 0) for each in look.running if each.service == key.service),
        oldest=max((now - oldest).total_seconds(), 0.0) if oldest and durable.lag else None,
        dead_letters=letters,
        rate=_rate(durable, look, before),
    )


def _rate(durable: DurableState, look: SeenBus, before: SeenBus | None) -> float | None:
    """Return how many deliveries ended per second: those that began, less what more is out than before."""
    was = before.survey.durables.get(durable.name) if before else None
    if before is None or was is None or look.at <= before.at:
        return None
    ended = (durable.delivered - durable.in_hand) - (was.delivered - was.in_hand)
    return max(ended, 0) / (look.at - before.at)


def behind(survey: BusSurvey) -> Sequence[DurableState]:
    """Return the durables that have something before them, and thus an oldest event."""
    return [each for each in survey.durables.values() if each.ours and each.lag]
