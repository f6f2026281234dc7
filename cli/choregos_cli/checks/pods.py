"""The labelled pods, and the ambassadors in them."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from choregos_cli.checks.catalogue import Line
from choregos_cli.checks.facts import BusFacts, Facts
from choregos_cli.checks.lines import Fault, Unknown, counted, judged
from choregos_cli.cluster.ambassadors import RunningAmbassador
from choregos_cli.cluster.kubectl import Object

SERVICE_LABEL: Final = "choregos.dev/service"
INJECT: Final = "choregos.dev/inject"
IMAGE: Final = "choregos.dev/image"
AMBASSADOR: Final = "choregos-ambassador"
_STARTING: Final = (None, "", "ContainerCreating", "PodInitializing")


def pods(facts: Facts) -> Iterator[Line]:
    """Check the section."""
    found = facts.pods if isinstance(facts.pods, Unknown) else tuple(filter(_counts, facts.pods))
    number = 0 if isinstance(found, Unknown) else len(found)
    yield from judged("pods-injected", found, _injected, f"{counted(number, 'labelled pod')}, each with an ambassador")
    yield from judged("pods-ready", found, _ready)
    yield from judged("pods-version", _wanted_image(facts), partial(_version, found=found))
    answers = _answers(facts)
    yield from judged("pods-answer", answers, partial(_answer, found=found))
    current = facts.generations if isinstance(facts.generations, Unknown) else answers
    yield from judged("pods-current", current, partial(_current, generations=facts.generations))
    yield from judged("pods-breaker", answers, _breakers)


def container_of(pod: Object) -> Mapping[str, Any] | None:
    """Return the ambassador's container of a pod."""
    containers = (*(pod["spec"].get("initContainers") or ()), *(pod["spec"].get("containers") or ()))
    return next((each for each in containers if each["name"] == AMBASSADOR), None)


def _counts(pod: Object) -> bool:
    metadata = pod["metadata"]
    over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    declined = (metadata.get("annotations") or {}).get(INJECT) == "false"
    return not (over or declined or "deletionTimestamp" in metadata)


def _injected(found: tuple[Object, ...]) -> Iterable[Fault]:
    for pod in found:
        if container_of(pod) is None:
            yield Fault(
                f"the pod {_name(pod)} is labelled for {_service(pod)}, and has no ambassador: no event reaches it"
            )


def _ready(found: tuple[Object, ...]) -> Iterable[Fault]:
    for pod in found:
        if container_of(pod) is not None and (why := _failing(pod)):
            yield Fault(f"the ambassador of the pod {_name(pod)} does not run: {why}")


def _failing(pod: Object) -> str:
    """Return why the ambassador of a pod does not run, in the kubelet's words; empty if it runs, or is about to."""
    status = _container_status(pod)
    state = status.get("state") or {}
    if "terminated" in state:
        return str(state["terminated"].get("reason") or "Terminated")
    waiting = (state.get("waiting") or {}).get("reason")
    if waiting not in _STARTING:
        return str(waiting)
    return "its readiness probe fails" if "running" in state and status.get("ready") is False else ""


def _runs(pod: Object) -> bool:
    return "running" in (_container_status(pod).get("state") or {})


def _container_status(pod: Object) -> Mapping[str, Any]:
    status = pod.get("status") or {}
    reported = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return next((each for each in reported if each["name"] == AMBASSADOR), {})


def _wanted_image(facts: Facts) -> str | Unknown:
    if isinstance(facts.components, Unknown):
        return facts.components
    images = (each.setting("AMBASSADOR_IMAGE") for each in facts.components if not each.is_controller)
    return next((image for image in images if image), Unknown("the webhook's Deployment does not name the image"))


def _version(wanted: str, *, found: tuple[Object, ...] | Unknown) -> Iterable[Fault]:
    for pod in () if isinstance(found, Unknown) else found:
        container = container_of(pod)
        own = (pod["metadata"].get("annotations") or {}).get(IMAGE)
        if container is not None and container["image"] not in (wanted, own):
            yield Fault(f"the pod {_name(pod)} has {container['image']}, the operator injects {wanted}")


def _answers(facts: Facts) -> Mapping[tuple[str, str], RunningAmbassador] | Unknown:
    """Return the ambassadors that answered, by namespace and pod."""
    if isinstance(facts.reached, Unknown):
        return facts.reached
    found: dict[tuple[str, str], RunningAmbassador] = {}
    for bus in facts.reached:
        if isinstance(bus.ambassadors, Unknown):
            return bus.ambassadors
        found |= _of_pods(bus)
    return found


def _of_pods(bus: BusFacts) -> dict[tuple[str, str], RunningAmbassador]:
    assert not isinstance(bus.ambassadors, Unknown)
    return {(bus.names.namespace, each.pod or each.id): each for each in bus.ambassadors}


def _answer(
    answers: Mapping[tuple[str, str], RunningAmbassador], *, found: tuple[Object, ...] | Unknown
) -> Iterable[Fault]:
    for pod in () if isinstance(found, Unknown) else found:
        metadata = pod["metadata"]
        if _runs(pod) and (metadata["namespace"], metadata["name"]) not in answers:
            yield Fault(f"the ambassador of the pod {_name(pod)} runs, and does not answer over NATS")


def _current(
    answers: Mapping[tuple[str, str], RunningAmbassador], *, generations: Mapping[tuple[str, str], int] | Unknown
) -> Iterable[Fault]:
    assert not isinstance(generations, Unknown)
    for (namespace, pod), ambassador in answers.items():
        wanted = generations.get((namespace, ambassador.service))
        if wanted is not None and ambassador.generation < wanted:
            says = f"has generation {ambassador.generation} of its configuration, {wanted} is the present one"
            yield Fault(f"the ambassador {namespace}/{pod} {says}")


def _breakers(answers: Mapping[tuple[str, str], RunningAmbassador]) -> Iterable[Fault]:
    for (namespace, pod), ambassador in answers.items():
        if ambassador.breaker not in ("", "closed"):
            why = f": {ambassador.breaker_reason}" if ambassador.breaker_reason else ""
            yield Fault(f"the breaker of {namespace}/{pod} ({ambassador.service}) is {ambassador.breaker}{why}")


def _name(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _service(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(SERVICE_LABEL))
