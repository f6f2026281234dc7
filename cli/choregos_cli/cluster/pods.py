"""The labelled pods of each service: which have their ambassador, and which are ready. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

SERVICE_LABEL: Final = "choregos.dev/service"
AMBASSADOR: Final = "choregos-ambassador"
"""Name of the container that the webhook injects."""
_OVER: Final = ("Succeeded", "Failed")
_DECLINED: Final = "choregos.dev/inject"


@dataclass(frozen=True, slots=True)
class ServicePods:
    """The pods of one service that run, and are not on their way out."""

    all: tuple[str, ...] = ()
    with_ambassador: tuple[str, ...] = ()
    ready: tuple[str, ...] = ()
    """Those that have an ambassador and serve."""

    @property
    def without(self) -> tuple[str, ...]:
        """Those that have no ambassador."""
        return tuple(name for name in self.all if name not in self.with_ambassador)


def pods_by_service(pods: Iterable[Mapping[str, Any]]) -> dict[str, ServicePods]:
    """Return the labelled pods that count, by the service that they are replicas of."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for pod in pods:
        if counts(pod):
            found.setdefault(pod["metadata"]["labels"][SERVICE_LABEL], []).append(pod)
    return {service: _of(mine) for service, mine in found.items()}


def _of(pods: Iterable[Mapping[str, Any]]) -> ServicePods:
    injected = [pod for pod in pods if container_of(pod) is not None]
    return ServicePods(
        tuple(pod["metadata"]["name"] for pod in pods),
        tuple(pod["metadata"]["name"] for pod in injected),
        tuple(pod["metadata"]["name"] for pod in injected if _ready(pod)),
    )


def counts(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is to have an ambassador, and is neither over nor on its way out."""
    metadata = pod["metadata"]
    declined = (metadata.get("annotations") or {}).get(_DECLINED) == "false"
    over = (pod.get("status") or {}).get("phase") in _OVER
    return not (declined or over or "deletionTimestamp" in metadata)


def container_of(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the ambassador's container of a pod."""
    spec = pod["spec"]
    containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    return next((each for each in containers if each["name"] == AMBASSADOR), None)


def _ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
