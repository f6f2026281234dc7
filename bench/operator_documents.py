"""What is applied: choreographies of five services, and a pod for each service."""

from dataclasses import dataclass
from typing import Any

GROUP = "choregos.dev/v1alpha1"
SERVICE_LABEL = "choregos.dev/service"
_CHAIN = ("Ordered", "Paid", "Reserved", "Packed", "Shipped")
"""The events, in order; each service reacts to one and emits the next, and the first one hears how it ended."""
_SERVICES = ("intake", "payment", "stock", "packing", "shipping")


@dataclass(frozen=True)
class Layout:
    """How many choreographies there are, and in how many namespaces; each namespace has one bus."""

    name: str
    choreographies: int
    namespaces: int

    @property
    def places(self) -> tuple[str, ...]:
        """The namespaces."""
        return tuple(f"bench-{number:02}" for number in range(self.namespaces))

    @property
    def all(self) -> tuple[tuple[str, int], ...]:
        """Namespace and number of each choreography."""
        return tuple((self.places[number % self.namespaces], number) for number in range(self.choreographies))


def choreography(namespace: str, number: int) -> dict[str, Any]:
    """Return a choreography of five services with five reactions; nothing in it has the name of anything in another."""
    events: dict[str, Any] = {f"{event}{number}": {} for event in _CHAIN}
    events[f"{_CHAIN[-1]}{number}"] = {"outcome": "completed"}
    first, *others = services(number)
    spec: dict[str, Any] = {
        first: {
            "port": 8080,
            "emits": [f"{_CHAIN[0]}{number}"],
            "reactions": [{"event": f"{_CHAIN[-1]}{number}", "path": "/outcomes"}],
        }
    }
    for service, event, reply in zip(others, _CHAIN, _CHAIN[1:], strict=False):
        reaction = {"event": f"{event}{number}", "path": "/", "emits": [f"{reply}{number}"]}
        spec[service] = {"port": 8080, "reactions": [reaction | {"onSuccess": f"{reply}{number}"}]}
    return {
        "apiVersion": GROUP,
        "kind": "Choreography",
        "metadata": {"name": name(number), "namespace": namespace},
        "spec": {"delivery": {"timeout": "10s"}, "events": events, "services": spec},
    }


def name(number: int) -> str:
    """Return the name of a choreography."""
    return f"shop-{number:03}"


def services(number: int) -> tuple[str, ...]:
    """Return the services of a choreography, each of which reacts to one event."""
    return tuple(f"{service}-{number:03}" for service in _SERVICES)


def pod(namespace: str, pod_name: str, service: str | None) -> dict[str, Any]:
    """Return a pod as a Deployment makes it; without a service it has no label, and the webhook is not asked."""
    labels = {"app": "shop"} | ({SERVICE_LABEL: service} if service else {})
    resources = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
    probe = {"httpGet": {"path": "/healthz", "port": 8080}}
    container = {
        "name": "app",
        "image": "shop/app:1",
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": "MODE", "value": "fast"}],
        "resources": resources,
        "readinessProbe": probe,
    }
    metadata = {"name": pod_name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


def running() -> dict[str, Any]:
    """Return the status of an injected pod whose ambassador runs, as the kubelet writes it."""
    state = {
        "name": "choregos-ambassador",
        "image": "ambassador",
        "imageID": "ambassador",
        "ready": True,
        "restartCount": 0,
        "started": True,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }
    ready = {"type": "Ready", "status": "True"}
    return {"status": {"phase": "Running", "conditions": [ready], "initContainerStatuses": [state]}}
