"""The buses: servers, streams, durables."""

from collections.abc import Iterable, Iterator
from typing import Final

from choregos_cli.checks.catalogue import Level, Line
from choregos_cli.checks.facts import AwayBus, BusFacts, Facts
from choregos_cli.checks.lines import Fault, Unknown, judged, named
from choregos_contract.plan import OLDEST_SERVER, Create, Refuse, Update
from choregos_contract.survey import BusSurvey
from choregos_contract.wiring import Durable, Stream, version

FULL: Final = 0.8
_CLUSTER: Final = 3
_INBOX_MEND: Final = (
    "raise inbox.maxBytes of the EventBus, or shorten idempotency.ttl: a full inbox forgets the oldest events early"
)


def nats(facts: Facts) -> Iterator[Line]:
    """Check the section."""
    buses = facts.buses
    if not isinstance(buses, Unknown) and not buses:
        buses = Unknown("there is neither a choreography nor a bus here")
    answered: tuple[BusFacts, ...] | Unknown = buses if isinstance(buses, Unknown) else _answered(buses)
    yield from judged("nats-reachable", buses, _reachable, _reached(answered))
    away = "" if isinstance(buses, Unknown) else _away(buses)
    yield from judged("nats-jetstream", answered, _jetstream, unseen=away)
    yield from judged("nats-version", answered, _version, unseen=away)
    reached = answered if isinstance(answered, Unknown) else _with_jetstream(answered)
    for code, judge in _ON_A_BUS:
        yield from judged(code, reached, judge, unseen=facts.unseen)


def survey_of(bus: BusFacts) -> BusSurvey:
    """Return what a reached bus holds."""
    assert bus.survey is not None
    return bus.survey


def _answered(buses: tuple[BusFacts | AwayBus, ...]) -> tuple[BusFacts, ...] | Unknown:
    return tuple(each for each in buses if isinstance(each, BusFacts)) or Unknown("no bus was reached")


def _away(buses: tuple[BusFacts | AwayBus, ...]) -> str:
    return named([f"the bus {each}" for each in buses if isinstance(each, AwayBus)])


def _with_jetstream(buses: tuple[BusFacts, ...]) -> tuple[BusFacts, ...] | Unknown:
    return tuple(each for each in buses if each.survey) or Unknown("JetStream is off")


def _reached(buses: tuple[BusFacts, ...] | Unknown) -> str:
    return "" if isinstance(buses, Unknown) else f"NATS answers: {named([f'{bus} at {bus.where}' for bus in buses])}"


def _reachable(buses: tuple[BusFacts | AwayBus, ...]) -> Iterable[Fault]:
    for bus in buses:
        if isinstance(bus, AwayBus):
            yield Fault(f"the bus {bus}: {bus.error.what}", bus.error.hint)


def _jetstream(buses: tuple[BusFacts, ...]) -> Iterable[Fault]:
    for bus in buses:
        if not bus.jetstream:
            yield Fault(f"the bus {bus}: JetStream is off at {bus.where}")


def _version(buses: tuple[BusFacts, ...]) -> Iterable[Fault]:
    for bus in buses:
        if version(bus.server_version) < OLDEST_SERVER:
            yield Fault(f"the bus {bus}: NATS is {bus.server_version}, {'.'.join(map(str, OLDEST_SERVER))} is needed")


def _streams(buses: tuple[BusFacts, ...]) -> Iterable[Fault]:
    for bus in buses:
        for stream in bus.wanted.streams:
            if bus.wanted.durables and stream.name not in survey_of(bus).streams:
                yield Fault(f"the bus {bus}: there is no {stream}")


def _durables(buses: tuple[BusFacts, ...]) -> Iterable[Fault]:
    for bus in buses:
        hidden = survey_of(bus).out_of_sight
        for step in bus.steps:
            if isinstance(step, Create) and isinstance(step.target, Durable) and step.target.name not in hidden:
                yield Fault(f"the bus {bus}: {step.target.service}'s reaction to {step.target.event} has no durable")


def _as_wanted(buses: tuple[BusFacts, ...]) -> Iterable[Fault]:
    for bus in buses:
        for step in bus.steps:
            if isinstance(step, Update):
                yield Fault(f"the bus {bus}: {step.target} differs in {', '.join(step.fields)}")
            elif isinstance(step, Refuse):
                yield Fault(f"the bus {bus}: {step.what}: {step.reason}", step.mend, Level.FAILED)


def _room(buses: tuple[BusFacts, ...]) -> Iterable[Fault]:
    for bus in buses:
        for name, stream in survey_of(bus).streams.items():
            if stream.most > 0 and stream.size >= FULL * stream.most:
                share = 100 * stream.size / stream.most
                says = f"the bus {bus}: the stream {name} is filled to {share:.0f} % of its {stream.most} bytes"
                yield Fault(says, _INBOX_MEND if name == f"KV_{bus.names.inbox_bucket}" else "")


def _replicas(buses: tuple[BusFacts, ...]) -> Iterable[Fault]:
    for bus in buses:
        streams = survey_of(bus).streams
        for name, stream in streams.items():
            wanted = int(stream.existing.config.get("num_replicas", 1))
            if wanted > 1 and len(stream.replicas) < wanted:
                says = f"the stream {name} has {len(stream.replicas)} of its {wanted} replicas"
                yield Fault(f"the bus {bus}: {says}", "", None if stream.leader else Level.FAILED)
        single = [each for each in bus.wanted.streams if _single(each, bus) and each.name in streams]
        if single:
            says = (
                f"NATS is a cluster of {bus.servers}, and its streams have one replica: a machine's loss loses events"
            )
            yield Fault(f"the bus {bus}: {says}")


def _single(stream: Stream, bus: BusFacts) -> bool:
    return stream.replicas == 1 and bus.servers >= _CLUSTER


_ON_A_BUS: Final = (
    ("streams-present", _streams),
    ("durables-present", _durables),
    ("wiring-as-wanted", _as_wanted),
    ("stream-room", _room),
    ("stream-replicas", _replicas),
)
