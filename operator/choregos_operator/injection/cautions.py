"""What a pod is warned of: it starts, and its owner may be in for a surprise."""

from collections.abc import Collection, Iterator
from math import ceil
from typing import Final

from choregos_contract.configuration import Configuration
from choregos_contract.findings import closest
from choregos_contract.quantities import format_duration
from choregos_operator.annotations import BUS, Tuning, annotation
from choregos_operator.injection.container import PUBLISH_URL, publish_url
from choregos_operator.injection.pod import Manifest, containers, items, spec
from choregos_operator.resource_quantity import amount

USUAL_GRACE: Final = 30
"""Seconds between a pod's notice and its end, where the pod names no others."""
DRAIN_MARGIN: Final = 5
"""Seconds that a drain takes beyond the longest request: to store replies, acknowledge, hand back what arrived."""


def cautions(pod: Manifest, tuning: Tuning, configuration: Configuration | None, bus_name: str) -> tuple[str, ...]:
    """Return a sentence for each surprise. `bus_name` is the one that the ambassador connects to; it may have no object."""
    return (
        *_grace(pod, configuration),
        *_other_bus(configuration, bus_name),
        *_network(pod, tuning),
        *_quality_of_service(pod, tuning),
        *_other_url(pod, tuning),
    )


def undeclared(service: str, known_services: Collection[str]) -> str:
    """Say that no choreography has this service, so that its ambassador has nothing to do yet."""
    meant = closest(service, known_services)
    mend = f'did you mean "{meant}"?' if meant else "apply one"
    return f'no choreography of this namespace has the service "{service}", so its ambassador waits for one; {mend}'


def _grace(pod: Manifest, configuration: Configuration | None) -> Iterator[str]:
    if configuration is None or not configuration.reactions:
        return
    grace = spec(pod).get("terminationGracePeriodSeconds")
    grace = USUAL_GRACE if grace is None else grace
    slowest = max(configuration.reactions, key=lambda reaction: reaction.delivery.timeout)
    timeout = slowest.delivery.timeout
    if grace < timeout:
        yield (
            f"terminationGracePeriodSeconds is {grace}, but {slowest.event} may take {configuration.service}"
            f" {format_duration(timeout)}: cut short, it comes again elsewhere; write {ceil(timeout) + DRAIN_MARGIN} or more"
        )


def _other_bus(configuration: Configuration | None, bus_name: str) -> Iterator[str]:
    if configuration is not None and configuration.bus.bus != bus_name:
        yield (
            f'metadata.annotations["{BUS}"] is "{bus_name}", but the Choreography has {configuration.service} on the bus'
            f' "{configuration.bus.bus}"; remove the annotation'
        )


def _network(pod: Manifest, tuning: Tuning) -> Iterator[str]:
    if spec(pod).get("hostNetwork"):
        yield (
            f"with hostNetwork the ambassador's ports {tuning.publish_port} and {tuning.probes_port} are the node's: a second"
            " such pod cannot run there, and whoever does can publish"
        )


def _quality_of_service(pod: Manifest, tuning: Tuning) -> Iterator[str]:
    """Say that the pod is no longer `Guaranteed`, if it would be so without the ambassador."""
    own = {"cpu": (tuning.cpu_request, tuning.cpu_limit), "memory": (tuning.memory_request, tuning.memory_limit)}
    if all(limit is not None and amount(request) == amount(limit) for request, limit in own.values()):
        return
    theirs = list(containers(pod))
    if theirs and all(_guaranteed(each) for each in theirs):
        names = f"{annotation('cpu_limit')} and {annotation('memory_limit')}"
        yield (
            "the pod's quality of service falls from Guaranteed to Burstable, because the ambassador has no limits equal to"
            f" its requests; set {names}, and the requests alike"
        )


def _guaranteed(container: Manifest) -> bool:
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    try:
        return all(
            name in limits and amount(str(requests.get(name, limits[name]))) == amount(str(limits[name]))
            for name in ("cpu", "memory")
        )
    except ValueError:
        return False  # the API server will have a sentence for it


def _other_url(pod: Manifest, tuning: Tuning) -> Iterator[str]:
    url = publish_url(tuning)
    for container in containers(pod):
        for variable in items(container, "env"):
            value = variable.get("value")
            if variable.get("name") == PUBLISH_URL and value is not None and value.rstrip("/") != url:
                yield (
                    f'the container "{container.get("name")}" sets {PUBLISH_URL} to "{value[:64]}", but its ambassador'
                    f" listens on {url}; remove the variable"
                )
