"""What the API server last said of choreographies and buses, read once when it said it.

An object that breaks our own reading of it is kept as an invalid one is: what stands of it stays, and nobody else notices.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from choregos_contract.checks import check
from choregos_contract.document import resource_of
from choregos_contract.event_bus import EventBus
from choregos_contract.findings import Finding, Severity, finding
from choregos_contract.resources import DEFAULT_BUS, Choreography
from choregos_operator.kube import Body, Kind
from choregos_operator.log import log
from choregos_operator.mirror import Key


@dataclass(frozen=True, slots=True)
class Stored:
    """One choreography of the API server."""

    body: Body
    """The object as the API server holds it, its status included."""
    choreography: Choreography | None
    """The same, read; None if it cannot be, which only happens past the webhook."""
    findings: tuple[Finding, ...]
    """What is wrong with it by itself, or doubtful."""

    @property
    def age(self) -> tuple[str, str]:
        """Sorts the oldest first, and those of one second by name."""
        return (self.body["metadata"]["creationTimestamp"], self.body["metadata"]["name"])

    @property
    def bus(self) -> str:
        """The name of its bus, also if the rest of it cannot be read."""
        spec = self.body.get("spec")
        return str(spec.get("bus", DEFAULT_BUS)) if isinstance(spec, Mapping) else DEFAULT_BUS

    @property
    def valid(self) -> bool:
        """Whether it can be wired."""
        return self.choreography is not None and all(each.severity is not Severity.ERROR for each in self.findings)


@dataclass(frozen=True, slots=True)
class StoredBus:
    """One bus of the API server."""

    body: Body
    bus: EventBus | None
    """The same, read; None if it cannot be, which only happens past the webhook."""
    findings: tuple[Finding, ...]


class Store:
    """The choreographies and buses of all namespaces."""

    def __init__(self) -> None:
        self._choreographies: dict[str, dict[str, Stored]] = {}
        self._sorted: dict[str, tuple[Stored, ...]] = {}
        self._buses: dict[Key, StoredBus] = {}

    def changed(self, _kind: Kind, body: Body, there: bool) -> None:
        """Take in what a mirror tells."""
        (self.put if there else self.drop)(body)

    def put(self, body: Body) -> None:
        """Take in an object that is new or has changed."""
        (namespace, name), (read, findings) = _key(body), _read(body)
        if body["kind"] == "EventBus":
            self._buses[namespace, name] = StoredBus(body, read if isinstance(read, EventBus) else None, findings)
            return
        stored = Stored(body, read if isinstance(read, Choreography) else None, findings)
        self._choreographies.setdefault(namespace, {})[name] = stored
        self._sorted.pop(namespace, None)

    def drop(self, body: Body) -> None:
        """Forget an object that is gone."""
        namespace, name = _key(body)
        if body["kind"] == "EventBus":
            self._buses.pop((namespace, name), None)
        else:
            left = self._choreographies.get(namespace, {})
            left.pop(name, None)
            if not left:
                self._choreographies.pop(namespace, None)
            self._sorted.pop(namespace, None)

    def bus(self, namespace: str, name: str) -> EventBus | None:
        """Return a bus, if it has an object that can be read."""
        stored = self._buses.get((namespace, name))
        return stored.bus if stored else None

    def stored_bus(self, namespace: str, name: str) -> StoredBus | None:
        """Return a bus, if it has an object."""
        return self._buses.get((namespace, name))

    def of_namespace(self, namespace: str) -> tuple[Stored, ...]:
        """Return a namespace's choreographies, the oldest first."""
        if namespace not in self._choreographies:
            return ()
        if namespace not in self._sorted:
            found = self._choreographies[namespace].values()
            self._sorted[namespace] = tuple(sorted(found, key=lambda stored: stored.age))
        return self._sorted[namespace]

    def of_bus(self, namespace: str, bus: str) -> tuple[Stored, ...]:
        """Return the choreographies of one bus, the oldest first."""
        return tuple(stored for stored in self.of_namespace(namespace) if stored.bus == bus)

    def buses_in(self, namespace: str) -> frozenset[str]:
        """Return the names of the buses that a namespace's choreographies name or that have an object there."""
        named = {stored.bus for stored in self.of_namespace(namespace)}
        return frozenset(named | {name for place, name in self._buses if place == namespace})

    @property
    def scopes(self) -> frozenset[Key]:
        """Namespace and name of every bus that a choreography names or that has an object."""
        places = self._choreographies.keys() | {namespace for namespace, _ in self._buses}
        return frozenset((namespace, bus) for namespace in places for bus in self.buses_in(namespace))


def _read(body: Body) -> tuple[Choreography | EventBus | None, tuple[Finding, ...]]:
    """Read an object and look at it by itself."""
    try:
        read = resource_of(dict(body))
        if isinstance(read, list):
            return None, tuple(read)
        return read, tuple(check(read)) if isinstance(read, Choreography) else ()
    except Exception as error:  # noqa: BLE001  a defect that one object brings to light must not keep us from all others
        namespace, name = _key(body)
        log.exception("an object cannot be looked at", kind=body["kind"], namespace=namespace, name=name)
        message = f"the operator fails to look at this object ({type(error).__name__}): a defect of the operator"
        hint = "report it with the traceback of the operator's log, and write the object otherwise until then"
        return None, (finding("invalid-value", (), message, hint),)


def _key(body: Body) -> Key:
    return body["metadata"]["namespace"], body["metadata"]["name"]
