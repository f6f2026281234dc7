"""From resources to what each service's ambassador is told.

A service may take part in several choreographies of its bus: its ambassador gets the union. Where two of them claim the
same thing (one reaction, the service's port) the first of the sequence wins; whoever calls sorts the oldest object first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import UNSET
from msgspec.structs import replace

from choregos_contract import event_bus, resources
from choregos_contract.configuration import VERSION, Configuration, Delivery, Idempotency, Reaction, Readiness
from choregos_contract.event_bus import EventBus
from choregos_contract.names import BusNames
from choregos_contract.resources import DEFAULT_BUS, DEFAULT_PORT, Choreography


@dataclass(frozen=True, slots=True)
class Claim:
    """A reaction with the choreography that it comes from."""

    choreography: Choreography
    service: str
    reaction: resources.Reaction


def bus_names(bus: EventBus | None, namespace: str, name: str = DEFAULT_BUS) -> BusNames:
    """Return the identity of a bus. A bus without an object has the default settings, and `name` for its name."""
    stream = bus.spec.stream if bus else event_bus.StreamSpec()
    return BusNames(
        namespace=namespace,
        bus=bus.metadata.name if bus else name,
        prefix=stream.prefix,
        partitions=stream.partitions,
        shards=stream.shards,
    )


def bus_names_of(choreographies: Sequence[Choreography], bus: EventBus | None) -> BusNames:
    """Return the identity of the one bus that these choreographies share; raise ValueError if it is not one."""
    buses = {(each.metadata.namespace, each.spec.bus) for each in choreographies}
    if bus is not None:
        buses.add((bus.metadata.namespace, bus.metadata.name))
    if len(buses) != 1:
        named = ", ".join("/".join(each) for each in sorted(buses))
        raise ValueError(f"choreographies are configured one bus at a time, not for: {named or 'no bus'}")
    namespace, name = buses.pop()
    return bus_names(bus, namespace, name)


def claims(choreographies: Sequence[Choreography]) -> tuple[Claim, ...]:
    """Return every reaction in force: of two claims on one (service, event), the first."""
    found: dict[tuple[str, str], Claim] = {}
    for choreography in choreographies:
        for name, service in choreography.spec.services.items():
            for reaction in service.reactions:
                found.setdefault((name, reaction.event), Claim(choreography, name, reaction))
    return tuple(found.values())


def configurations(
    choreographies: Sequence[Choreography], bus: EventBus | None, *, generation: int
) -> dict[str, Configuration]:
    """Return the configuration of every service of these choreographies, which share one bus.

    Raises ValueError if they do not share one bus.
    """
    if not choreographies:
        return {}
    names = bus_names_of(choreographies, bus)
    window = (bus.spec.stream if bus else event_bus.StreamSpec()).duplicate_window
    claimed: dict[str, list[Claim]] = {}
    for claim in claims(choreographies):
        claimed.setdefault(claim.service, []).append(claim)
    parts_of: dict[str, list[resources.Service]] = {}
    for each in choreographies:
        for name, part in each.spec.services.items():
            parts_of.setdefault(name, []).append(part)
    configured = {}
    for name, parts in parts_of.items():
        port = next((part.port for part in parts if part.port), DEFAULT_PORT)
        reactions = tuple(_reaction(claim, port) for claim in claimed.get(name, ()))
        path = next((part.readiness for part in parts if part.readiness), None)
        configured[name] = Configuration(
            version=VERSION,
            generation=generation,
            service=name,
            bus=names,
            duplicate_window=window,
            readiness=Readiness(port=port, path=path) if reactions else None,
            emits=tuple(dict.fromkeys(event for part in parts for event in part.emits)),
            reactions=reactions,
        )
    return configured


def with_port(configuration: Configuration, port: int) -> Configuration:
    """Return the configuration of one replica that listens elsewhere: `port` stands in for the service's port.

    Reactions that name a port of their own keep it. Without readiness there is no reaction, thus no port to replace.
    """
    if configuration.readiness is None:
        return configuration
    usual = configuration.readiness.port
    return replace(
        configuration,
        readiness=replace(configuration.readiness, port=port),
        reactions=tuple(
            replace(reaction, port=port) if reaction.port == usual else reaction for reaction in configuration.reactions
        ),
    )


def _reaction(claim: Claim, service_port: int) -> Reaction:
    reaction = claim.reaction
    return Reaction(
        event=reaction.event,
        port=reaction.port or service_port,
        path=reaction.path,
        emits=reaction.emits,
        on_success=reaction.on_success,
        on_failure=reaction.on_failure,
        required=reaction.required,
        suspend=reaction.suspend,
        delivery=_delivery(claim.choreography.delivery_of(claim.service, reaction)),
        idempotency=Idempotency(ttl=reaction.idempotency.ttl) if reaction.idempotency else UNSET,
    )


def _delivery(settings: resources.Delivery) -> Delivery:
    return Delivery(**{name: getattr(settings, name) for name in Delivery.__struct_fields__})
