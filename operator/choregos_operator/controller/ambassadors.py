"""Whether the ambassadors work with what is wanted, counted from their pods.

A pod that has finished, that is being deleted, or whose owner declined an ambassador, does not count. One that is still
starting is not behind: it reads its configuration, the present one, when it comes to it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final

from choregos_operator.controller.configmaps import Target
from choregos_operator.controller.pods import Ambassador, Pod

SKEW: Final = timedelta(seconds=30)
"""How far our clock, which dates the document, may be behind the API server's, which dates the pod."""


class Standing(StrEnum):
    """How a pod stands towards the configuration of its service."""

    CURRENT = "current"
    """Its ambassador runs, and works with the configuration."""
    STARTING = "starting"
    """Its ambassador has not run yet."""
    BEHIND = "behind"
    """Its ambassador runs, and works with an older configuration, or may."""
    ASTRAY = "astray"
    """Its ambassador is connected to another bus than its service is on, or to servers that the bus has left; only a
    restart mends that."""
    FAILING = "failing"
    """Its ambassador does not run, and not for lack of time."""
    WITHOUT = "without"
    """It has no ambassador."""


@dataclass(frozen=True, slots=True)
class Ambassadors:
    """The pods of some services, by how they stand."""

    pods: Mapping[Standing, tuple[Pod, ...]] = field(default_factory=dict)

    def of(self, standing: Standing) -> tuple[Pod, ...]:
        """Return the pods that stand so."""
        return self.pods.get(standing, ())

    @property
    def total(self) -> int:
        """Pods of which an ambassador is to be expected."""
        return sum(map(len, self.pods.values()))

    @property
    def current(self) -> int:
        """Those whose ambassador works with the configuration."""
        return len(self.of(Standing.CURRENT))


def ambassadors(
    pods: Iterable[Pod], targets: Mapping[str, Target], loaded: Mapping[str, int] | None = None
) -> Ambassadors:
    """Sort the pods of some services; a pod of a service without a target is only looked at for an ambassador at all.

    `loaded` are the generations that ambassadors report over NATS, by pod. Of a pod that is not among them, what it was
    told has to do.
    """
    found: dict[Standing, tuple[Pod, ...]] = {}
    for pod in pods:
        if pod.counts:
            stands = standing(pod, targets.get(pod.service), (loaded or {}).get(pod.name))
            found[stands] = (*found.get(stands, ()), pod)
    return Ambassadors(found)


def standing(pod: Pod, target: Target | None, loaded: int | None = None) -> Standing:
    """Return how a pod that counts stands."""
    by_container = {
        Ambassador.ABSENT: Standing.WITHOUT,
        Ambassador.FAILING: Standing.FAILING,
        Ambassador.STARTING: Standing.STARTING,
    }
    if pod.ambassador is not Ambassador.ABSENT and target is not None and _elsewhere(pod, target, loaded):
        return Standing.ASTRAY
    if pod.ambassador in by_container:
        return by_container[pod.ambassador]
    if target is None:
        return Standing.CURRENT
    up_to_date = told(pod, target) if loaded is None else loaded == target.generation
    return Standing.CURRENT if up_to_date else Standing.BEHIND


def _elsewhere(pod: Pod, target: Target, loaded: int | None) -> bool:
    """Whether a pod's ambassador is not where its service's bus is.

    That it answers there, with the present document, outweighs what it was injected for: servers have many names.
    """
    if pod.bus not in ("", target.bus):
        return True
    injected_elsewhere = "" not in (pod.bus_hash, target.bus_hash) and pod.bus_hash != target.bus_hash
    return injected_elsewhere and loaded != target.generation


def told(pod: Pod, target: Target) -> bool:
    """Whether the kubelet has cause to show this pod the present document.

    A pod that mounted its volume before the document was written has none, even if the webhook, which looks further
    ahead than the ConfigMap, gave it the right hash.
    """
    if pod.hash != target.hash:
        return False
    return pod.generation == target.generation or (pod.generation == 0 and pod.created > target.written + SKEW)
