"""What the controller sees of the cluster, and which bus every change is the business of.

What the controller writes itself comes back from the watch, and must not set off another pass: a status is no change of an
object, and of what was just written the mirror knows the version already.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from choregos_contract.precedence import on_their_bus
from choregos_contract.resources import DEFAULT_BUS, Choreography
from choregos_operator.annotations import SERVICE_LABEL
from choregos_operator.controller.labels_on_deployments import WORKLOADS
from choregos_operator.controller.pods import Pod, of_interest, pod_of
from choregos_operator.kube import Body, Kind
from choregos_operator.mirror import Key, Mirror
from choregos_operator.store import Store
from choregos_operator.watching import CHOREOGRAPHIES, EVENT_BUSES

CONFIG_MAPS: Final = Kind("", "v1", "configmaps", "ConfigMap", labels=SERVICE_LABEL)
PODS: Final = Kind("", "v1", "pods", "Pod", labels=SERVICE_LABEL, kept=of_interest)
KINDS: Final = (CHOREOGRAPHIES, EVENT_BUSES, CONFIG_MAPS, PODS, *WORKLOADS)


class Observed:
    """The objects of the cluster."""

    def __init__(self) -> None:
        self.store = Store()
        self.mirror = Mirror(self._changed)
        self._mark: Callable[[Key], None] = _nobody
        self._known: dict[tuple[str, Key], object] = {}
        self._homes: dict[str, dict[str, str]] = {}

    def tell(self, mark: Callable[[Key], None]) -> None:
        """Have `mark` called for every bus that a change concerns."""
        self._mark = mark

    def wrote(self, kind: Kind, body: Body) -> None:
        """Take in what this process has just written, as the API server stored it."""
        self.mirror.put(kind, body)

    def in_force(self, namespace: str) -> tuple[Choreography, ...]:
        """Return a namespace's valid choreographies, oldest first, each with the services that are its own to have."""
        stored = self.store.of_namespace(namespace)
        return on_their_bus(each.choreography for each in stored if each.valid and each.choreography)

    def home(self, namespace: str, service: str) -> str:
        """Return the name of the bus that a service is on, `default` if nobody declares it."""
        if not self.store.of_namespace(namespace):
            return DEFAULT_BUS  # and nothing is kept of namespaces that come and go
        if namespace not in self._homes:
            choreographies = self.in_force(namespace)
            self._homes[namespace] = {name: each.spec.bus for each in choreographies for name in each.spec.services}
        return self._homes[namespace].get(service, DEFAULT_BUS)

    def elsewhere(self, scope: Key) -> bool:
        """Whether a bus names servers of its own, of which nobody knows how they answer."""
        bus = self.store.bus(*scope)
        return bus is not None and bool(bus.spec.servers)

    def configmap(self, namespace: str, name: str) -> Body | None:
        """Return a ConfigMap that carries our label."""
        return self.mirror.get(CONFIG_MAPS, namespace, name)

    def configmaps(self, namespace: str) -> Iterator[Body]:
        """Yield a namespace's ConfigMaps that carry our label."""
        return self.mirror.of(CONFIG_MAPS, namespace)

    def pods(self, namespace: str, bus: str) -> tuple[Pod, ...]:
        """Return the labelled pods whose service is on a bus."""
        pods = map(pod_of, self.mirror.of(PODS, namespace))
        return tuple(pod for pod in pods if self.home(namespace, pod.service) == bus)

    def workloads(self, namespace: str, bus: str) -> Iterator[Body]:
        """Yield the workloads whose own label names a service of a bus."""
        for kind in WORKLOADS:
            for body in self.mirror.of(kind, namespace):
                if self.home(namespace, _service(body)) == bus:
                    yield body

    def _changed(self, kind: Kind, body: Body, there: bool) -> None:
        namespace = body["metadata"]["namespace"]
        if kind not in (CHOREOGRAPHIES, EVENT_BUSES):
            self._mark((namespace, self.home(namespace, _service(body))))
            return
        before = self.store.buses_in(namespace)
        self.store.changed(kind, body, there)
        if self._is_news(kind, body, there):
            self._homes.pop(namespace, None)
            # Who wins a collision may be on another bus.
            for bus in before | self.store.buses_in(namespace):
                self._mark((namespace, bus))

    def _is_news(self, kind: Kind, body: Body, there: bool) -> bool:
        """Whether more than the status has changed."""
        metadata: dict[str, Any] = body["metadata"]
        key = kind.plural, (metadata["namespace"], metadata["name"])
        seen = (metadata["uid"], metadata["generation"], metadata.get("annotations")) if there else None
        before = self._known.get(key)
        if seen is None:
            self._known.pop(key, None)
        else:
            self._known[key] = seen
        return seen != before


def _service(body: Body) -> str:
    return str(body["metadata"]["labels"][SERVICE_LABEL])


def _nobody(_scope: Key) -> None:
    """Nobody is told yet."""
