"""What the controller knows of a namespace, put together by hand: for tests of what it makes of it."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from choregos_operator.configured import CONFIG_KEY
from choregos_operator.controller.configmaps import configmap
from choregos_operator.controller.observed import CONFIG_MAPS, Observed
from choregos_operator.controller.sight import Sight, sight
from choregos_operator.kube import Kind
from choregos_operator.watching import CHOREOGRAPHIES, EVENT_BUSES

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Watched:
    """The namespace `shop` of a cluster, as the controller knows it; no API server is there."""

    def __init__(self) -> None:
        self.observed = Observed()
        self._version = 0

    def put(self, kind: Kind, name: str, body: dict[str, Any]) -> None:
        self._version += 1
        metadata = {"namespace": "shop", "name": name, "uid": name, "generation": self._version}
        metadata |= {"resourceVersion": str(self._version), "creationTimestamp": "2026-01-01T00:00:00Z"}
        head = {"apiVersion": "choregos.dev/v1alpha1", "kind": kind.kind}
        body = head | body
        self.observed.mirror.put(kind, body | {"metadata": metadata | body.get("metadata", {})})

    def bus(self, name: str = "default", servers: Sequence[str] = (), **stream: Any) -> None:
        self.put(EVENT_BUSES, name, {"spec": {"stream": stream} | ({"servers": list(servers)} if servers else {})})

    def without_bus(self, name: str = "default") -> None:
        self.observed.store.drop({"kind": "EventBus", "metadata": {"namespace": "shop", "name": name}})

    def choreography(
        self, name: str = "shop", bus: str = "default", service: str = "payment", event: str = "A"
    ) -> None:
        services = {service: {"reactions": [{"event": event}]}}
        self.put(
            CHOREOGRAPHIES, name, {"spec": {"bus": bus, "events": {event: {"external": True}}, "services": services}}
        )

    def look(self, bus: str = "default") -> Sight:
        return sight(self.observed, ("shop", bus))

    def configure(self, bus: str = "default", edits: Mapping[str, Any] | None = None) -> None:
        """Write the ConfigMaps of a bus, and edit their documents by hand."""
        seen = self.look(bus)
        for service, configuration in seen.configurations.items():
            manifest = configmap(configuration, seen.owners[service], None, now=NOW)
            assert manifest
            document = json.loads(manifest["data"][CONFIG_KEY]) | dict(edits or {})
            manifest["data"][CONFIG_KEY] = json.dumps(document, separators=(",", ":"))
            self.put(CONFIG_MAPS, f"choregos-{service}", manifest)
