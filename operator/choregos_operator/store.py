"""What the API server last said of choreographies and buses, read once when it said it."""

from dataclasses import dataclass

from choregos_contract.checks import check
from choregos_contract.document import resource_of
from choregos_contract.findings import Finding, Severity
from choregos_contract.resources import Choreography, EventBus
from choregos_operator.kube import Body, Kind
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
        return str(self.body.get("spec", {}).get("bus", "default"))

    @property
    def valid(self) -> bool:
        """Whether it can be wired."""
        return self.choreography is not None and all(each.severity is not Severity.ERROR for each in self.findings)


class Store:
    """The choreographies and buses of all namespaces."""

    def __init__(self) -> None:
        self._choreographies: dict[Key, Stored] = {}
        self._buses: dict[Key, EventBus] = {}

    def changed(self, _kind: Kind, body: Body, there: bool) -> None:
        """Take in what a mirror tells."""
        (self.put if there else self.drop)(body)

    def put(self, body: Body) -> None:
        """Take in an object that is new or has changed."""
        key, read = _key(body), resource_of(dict(body))
        if body["kind"] == "EventBus":
            if isinstance(read, EventBus):
                self._buses[key] = read
        elif isinstance(read, Choreography):
            self._choreographies[key] = Stored(body, read, tuple(check(read)))
        else:
            self._choreographies[key] = Stored(body, None, tuple(read) if isinstance(read, list) else ())

    def drop(self, body: Body) -> None:
        """Forget an object that is gone."""
        (self._buses if body["kind"] == "EventBus" else self._choreographies).pop(_key(body), None)

    def bus(self, namespace: str, name: str) -> EventBus | None:
        """Return a bus, if it has an object that can be read."""
        return self._buses.get((namespace, name))

    def of_namespace(self, namespace: str) -> tuple[Stored, ...]:
        """Return a namespace's choreographies, the oldest first."""
        found = (stored for key, stored in self._choreographies.items() if key[0] == namespace)
        return tuple(sorted(found, key=lambda stored: stored.age))

    def of_bus(self, namespace: str, bus: str) -> tuple[Stored, ...]:
        """Return the choreographies of one bus, the oldest first."""
        return tuple(stored for stored in self.of_namespace(namespace) if stored.bus == bus)

    @property
    def scopes(self) -> frozenset[Key]:
        """Namespace and name of every bus that a choreography names or that has an object."""
        named = {(key[0], stored.bus) for key, stored in self._choreographies.items()}
        return frozenset(named | self._buses.keys())


def _key(body: Body) -> Key:
    return body["metadata"]["namespace"], body["metadata"]["name"]
