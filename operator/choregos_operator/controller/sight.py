"""What one pass works with: everything about one bus, taken from the objects at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from choregos_contract.checks import check_together
from choregos_contract.configuration import Configuration
from choregos_contract.configure import bus_names, configurations
from choregos_contract.event_bus import EventBus
from choregos_contract.findings import Finding, Severity
from choregos_contract.names import BusNames
from choregos_contract.resources import Choreography
from choregos_contract.survey import Reaction
from choregos_contract.wiring import Wanted, wanted
from choregos_operator.bus_identity import no_such_bus
from choregos_operator.configured import configmap_name
from choregos_operator.controller.configmaps import Owner, document, owner_of, services_named
from choregos_operator.controller.moved import moved
from choregos_operator.controller.observed import Observed
from choregos_operator.controller.pods import Pod
from choregos_operator.kube import Body
from choregos_operator.mirror import Key
from choregos_operator.store import Stored, StoredBus


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One bus of one namespace, and all that has to do with it."""

    namespace: str
    bus_name: str
    stored: tuple[Stored, ...]
    """The choreographies that name the bus, oldest first, the invalid ones too."""
    choreographies: tuple[Choreography, ...]
    """Those that are in force, each with the services that are its own to have."""
    stored_bus: StoredBus | None
    together: Mapping[str, tuple[Finding, ...]]
    """What is doubtful between the choreographies of the namespace, by the identity of the one that is told."""
    frozen: Mapping[str, frozenset[str]]
    """Of choreographies that are invalid: uid, and the services that they name. Nothing of theirs is changed."""
    declared: frozenset[str]
    """The services that choreographies in force declare, on any bus of the namespace."""
    pods: tuple[Pod, ...]
    workloads: tuple[Body, ...]
    configmaps: Mapping[str, Body]
    """By service, as far as the service is on this bus."""
    labelled_configmaps: tuple[Body, ...]
    """All of the namespace that carry our label."""

    @property
    def scope(self) -> Key:
        """Namespace and name of the bus."""
        return self.namespace, self.bus_name

    @property
    def bus(self) -> EventBus | None:
        """The bus, if it has an object that can be read."""
        return self.stored_bus.bus if self.stored_bus else None

    @property
    def names(self) -> BusNames:
        """Every name on the bus."""
        return bus_names(self.bus, self.namespace, self.bus_name)

    @cached_property
    def obstacle(self) -> str:
        """Why nothing can be wired, in a sentence with the mend; empty if it can."""
        if self.stored_bus is None and (missing := no_such_bus(self.bus_name, self.namespace)):
            return missing
        if self.stored_bus is not None and self.stored_bus.bus is None:
            wrong = "; ".join(f"{each.place}: {each.message}" for each in self.stored_bus.findings)
            return f"the EventBus {self.bus_name} cannot be read ({wrong}); mend it"
        services = self.declared | self.frozen_services
        return moved(self.labelled_configmaps, services, self.names, explicit=self.bus is not None)

    @cached_property
    def wanted(self) -> Wanted:
        """The streams and durables that should be; nothing for a bus that nobody speaks of any more."""
        if not self.choreographies and self.bus is None:
            return Wanted((), ())
        return wanted(self.choreographies, self.bus, self.namespace)

    @cached_property
    def configurations(self) -> dict[str, Configuration]:
        """What each service's ambassadors should be told, of generation 0."""
        return configurations(self.choreographies, self.bus, generation=0)

    @cached_property
    def promised(self) -> frozenset[Reaction]:
        """The reactions that ambassadors are configured for on this bus, whose durables thus were there."""
        told = (found for body in self.configmaps.values() if (found := document(body)) and found.bus == self.names)
        return frozenset(Reaction(each.service, reaction.event) for each in told for reaction in each.reactions)

    @cached_property
    def frozen_services(self) -> frozenset[str]:
        """The services whose configuration stays as it is."""
        return frozenset[str]().union(*self.frozen.values())

    @property
    def undeclared(self) -> tuple[Pod, ...]:
        """The pods of services that nobody declares, not even an invalid choreography."""
        known = self.declared | self.frozen_services
        return tuple(pod for pod in self.pods if pod.counts and pod.service not in known)

    @cached_property
    def owners(self) -> Mapping[str, tuple[Owner, ...]]:
        """The choreographies that the ConfigMap of each service belongs to."""
        named: dict[str, frozenset[str]] = {
            each.metadata.uid: frozenset(each.spec.services) for each in self.choreographies
        }
        named |= self.frozen
        found: dict[str, list[Owner]] = {}
        for each in self.stored:
            for service in named.get(each.body["metadata"]["uid"], ()):
                found.setdefault(service, []).append(owner_of(each.body))
        return {service: tuple(owners) for service, owners in found.items()}


def sight(observed: Observed, scope: Key) -> Sight:
    """Look at one bus."""
    namespace, bus = scope
    everyone = observed.store.of_namespace(namespace)
    in_force = observed.in_force(namespace)
    declared = frozenset(service for each in in_force for service in each.spec.services)
    configmaps = tuple(observed.configmaps(namespace))
    by_name = {body["metadata"]["name"]: body for body in configmaps}
    mine = [service for service in declared if observed.home(namespace, service) == bus]
    return Sight(
        namespace=namespace,
        bus_name=bus,
        stored=observed.store.of_bus(namespace, bus),
        choreographies=tuple(each for each in in_force if each.spec.bus == bus),
        stored_bus=observed.store.stored_bus(namespace, bus),
        together=_together(everyone),
        frozen={each.body["metadata"]["uid"]: services_named(each.body) for each in everyone if not each.valid},
        declared=declared,
        pods=observed.pods(namespace, bus),
        workloads=tuple(observed.workloads(namespace, bus)),
        configmaps={each: by_name[name] for each in mine if (name := configmap_name(each)) in by_name},
        labelled_configmaps=configmaps,
    )


def _together(everyone: tuple[Stored, ...]) -> dict[str, tuple[Finding, ...]]:
    valid = [each.choreography for each in everyone if each.valid and each.choreography]
    found: dict[str, tuple[Finding, ...]] = {}
    for each in check_together(valid):
        assert each.severity is Severity.WARNING
        assert each.resource
        found[each.resource] = (*found.get(each.resource, ()), each)
    return found
