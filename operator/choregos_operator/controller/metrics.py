"""Prometheus metrics of the controller. Namespaces, buses, choreographies and services are labels; events and pods never.

A gauge of something that is gone must go as well, so each is set for a whole owner at a time, a bus or a namespace.
"""

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Rows:
    """The rows of one gauge whose first labels, the owner, say who sets them."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._of: dict[tuple[str, ...], set[tuple[str, ...]]] = {}

    def set(self, owner: tuple[str, ...], values: Mapping[tuple[str, ...], float]) -> None:
        """Show these rows of an owner, by their other labels, and no others of it."""
        for gone in self._of.get(owner, set()) - values.keys():
            self._gauge.remove(*owner, *gone)
        for labels, value in values.items():
            self._gauge.labels(*owner, *labels).set(value)
        if values:
            self._of[owner] = set(values)
        else:
            self._of.pop(owner, None)


class Metrics:
    """All metrics of the controller, in the registry that its probes serve."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.passes = Counter("choregos_passes", "Looks at a bus, by how they ended", ["outcome"], registry=registry)
        self.pass_seconds = Histogram(
            "choregos_pass_seconds", "From the beginning to the end of a pass", buckets=BUCKETS, registry=registry
        )
        self.nudges = Counter("choregos_nudged_pods", "Pods told of a new configuration", registry=registry)
        self.evictions = Counter(
            "choregos_evictions", "Pods without an ambassador that were to be evicted", ["outcome"], registry=registry
        )
        self._ready = self._rows("choregos_ready", "1 if a choreography is ready", "namespace", "bus", "choreography")
        self._pods = self._rows(
            "choregos_pods", "Labelled pods by how they stand", "namespace", "bus", "service", "standing"
        )
        self._connected = self._rows("choregos_bus_connected", "1 if NATS answers for a bus", "namespace", "bus")
        self._lag = self._rows(
            "choregos_bus_lag_events", "Events that the reactions of a bus have yet to process", "namespace", "bus"
        )
        self._letters = self._rows("choregos_bus_dead_letters", "Dead letters that a bus keeps", "namespace", "bus")
        self._orphans = self._rows(
            "choregos_bus_orphans", "Durables of a bus whose reaction is gone", "namespace", "bus"
        )

    def ready(self, namespace: str, bus: str, choreographies: Mapping[str, bool]) -> None:
        """Show which choreographies of a bus are ready."""
        self._ready.set((namespace, bus), {(name,): float(ready) for name, ready in choreographies.items()})

    def pods(self, namespace: str, bus: str, counts: Mapping[tuple[str, str], int]) -> None:
        """Show the pods of a bus, by service and standing."""
        self._pods.set((namespace, bus), {row: float(count) for row, count in counts.items()})

    def bus(
        self,
        namespace: str,
        bus: str,
        *,
        connected: bool,
        lag: int | None = None,
        dead_letters: int | None = None,
        orphans: int | None = None,
    ) -> None:
        """Show how a bus is; a figure that nobody knows is not shown."""
        self._connected.set((namespace, bus), {(): float(connected)})
        for rows, figure in ((self._lag, lag), (self._letters, dead_letters), (self._orphans, orphans)):
            rows.set((namespace, bus), {} if figure is None else {(): figure})

    def forget(self, namespace: str, bus: str) -> None:
        """Show a bus no longer that nobody uses any more."""
        for rows in (self._ready, self._pods, self._connected, self._lag, self._letters, self._orphans):
            rows.set((namespace, bus), {})

    def _rows(self, name: str, text: str, *labels: str) -> Rows:
        return Rows(Gauge(name, text, labels, registry=self._registry))
