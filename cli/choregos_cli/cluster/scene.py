"""What a namespace holds that Choregos heeds, as one value; and what it would hold after an apply. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from choregos_contract.checks import check
from choregos_contract.configuration import Configuration
from choregos_contract.configure import Claim, bus_names, claims, configurations
from choregos_contract.document import resource_of
from choregos_contract.event_bus import EventBus
from choregos_contract.findings import Severity
from choregos_contract.names import BusNames
from choregos_contract.precedence import on_their_bus
from choregos_contract.resources import DEFAULT_BUS, Choreography
from choregos_contract.survey import Reaction
from choregos_contract.wiring import Durable, Wanted, wanted

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Scene:
    """The choreographies that can be wired, oldest first, and the buses of one namespace."""

    namespace: str
    choreographies: tuple[Choreography, ...] = ()
    buses: Mapping[str, EventBus] = field(default_factory=dict)
    """By name."""
    unreadable: tuple[str, ...] = ()
    """Identities of choreographies that are stored and have an error: the controller changes nothing of theirs."""

    @cached_property
    def used(self) -> frozenset[str]:
        """Names of the buses that there are, or that a choreography names."""
        return frozenset(each.spec.bus for each in self.choreographies) | self.buses.keys()

    def of(self, bus: str) -> "OfBus":
        """Return the part that is on one bus."""
        in_force = tuple(each for each in self._in_force if each.spec.bus == bus)
        return OfBus(self.namespace, bus, in_force, self.buses.get(bus))

    @cached_property
    def _in_force(self) -> tuple[Choreography, ...]:
        return on_their_bus(self.choreographies)


@dataclass(frozen=True)
class OfBus:
    """What is on one bus: each choreography with the services that are its own to have."""

    namespace: str
    name: str
    choreographies: tuple[Choreography, ...]
    bus: EventBus | None

    @property
    def names(self) -> BusNames:
        """Every name on the bus."""
        return bus_names(self.bus, self.namespace, self.name)

    @property
    def exists(self) -> bool:
        """Whether there is such a bus; without it nothing is wired."""
        return self.bus is not None or self.name == DEFAULT_BUS

    @cached_property
    def claims(self) -> Mapping[Reaction, Claim]:
        """The reactions in force."""
        found = claims(self.choreographies) if self.exists else ()
        return {Reaction(each.service, each.reaction.event): each for each in found}

    @cached_property
    def configurations(self) -> Mapping[str, Configuration]:
        """What each service's ambassadors are told."""
        return configurations(self.choreographies, self.bus, generation=0) if self.exists else {}

    @cached_property
    def durables(self) -> Mapping[Reaction, Durable]:
        """The durables that the controller wants."""
        found = self._wanted.durables if self.exists else ()
        return {Reaction(each.service, each.event): each for each in found}

    @property
    def _wanted(self) -> Wanted:
        return wanted(self.choreographies, self.bus, self.namespace)


def scene(namespace: str, objects: Iterable[Object]) -> Scene:
    """Return the scene of a namespace's stored choreographies and buses."""
    choreographies, buses, unreadable = [], {}, []
    for each in sorted(objects, key=_age):
        read = resource_of(each)
        match read:
            case EventBus():
                buses[read.metadata.name] = read
            case Choreography() if not any(found.severity is Severity.ERROR for found in check(read)):
                choreographies.append(read)
            case _:
                unreadable.append(f"{each['kind']}/{namespace}/{each['metadata']['name']}")
    return Scene(namespace, tuple(choreographies), buses, tuple(unreadable))


def applied(stored: Iterable[Object], tried: Iterable[Object]) -> tuple[Object, ...]:
    """Return the stored objects with those that an apply would store in their places.

    What is edited keeps its age. What is new is the youngest: the API server was only asked to try.
    """
    after = {_key(each): each for each in stored}
    for each in tried:
        before = after.get(_key(each))
        metadata = {**each["metadata"]}
        if before is None:
            metadata["creationTimestamp"] = "~"  # sorts behind every time
        after[_key(each)] = {**each, "metadata": metadata}
    return tuple(after.values())


def _key(each: Object) -> tuple[str, str]:
    return each["kind"], each["metadata"]["name"]


def _age(each: Object) -> tuple[str, str]:
    """Sort the oldest first, and those of one second by name, as the controller does."""
    return str(each["metadata"].get("creationTimestamp") or ""), each["metadata"]["name"]
