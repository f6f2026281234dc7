"""The labelled pods, and the ambassadors in them."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from choregos_cli.checks.catalogue import Line
from choregos_cli.checks.facts import BusFacts, Facts
from choregos_cli.checks.lines import Fault, Unknown, counted, judged
from choregos_cli.cluster.kubectl import Object
from choregos_cli.cluster.pods import AMBASSADOR, SERVICE_LABEL, container_of, counts
from choregos_contract.resources import DEFAULT_BUS
from choregos_contract.running import RunningAmbassador

BUS: Final = "choregos.dev/bus"
IMAGE: Final = "choregos.dev/image"
T = TypeVar("T")
_STARTING: Final = (None, "", "ContainerCreating", "PodInitializing")


def pods(facts: Facts) -> Iterator[Line]:
    """Check the section."""
    found = facts.pods if isinstance(facts.pods, Unknown) else tuple(filter(counts, facts.pods))
    number = 0 if isinstance(found, Unknown) else len(found)
    yield from judged("pods-injected", found, _injected, f"{counted(number, 'labelled pod')}, each with an ambassador")
    yield from judged("pods-ready", found, _ready)
    yield from judged("pods-version", _with(found, _wanted_image(facts)), _version)
    answers = _answers(facts)
    unseen = facts.unseen
    yield from judged("pods-answer", _with(_on_reached_buses(facts, found), answers), _answer, unseen=unseen)
    current = facts.generations if isinstance(facts.generations, Unknown) else answers
    yield from judged("pods-current", current, partial(_current, generations=facts.generations), unseen=unseen)
    yield from judged("pods-breaker", answers, _breakers, unseen=unseen)


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


def _with(found: tuple[Object, ...] | Unknown, fact: T | Unknown) -> tuple[tuple[Object, ...], T] | Unknown:
    """Return the pods and what is to be known about them; Unknown if either is."""
    if isinstance(found, Unknown):
        return found
    return fact if isinstance(fact, Unknown) else (found, fact)


def _version(pods_and_image: tuple[tuple[Object, ...], str]) -> Iterable[Fault]:
    found, wanted = pods_and_image
    for pod in found:
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


def _on_reached_buses(facts: Facts, found: tuple[Object, ...] | Unknown) -> tuple[Object, ...] | Unknown:
    """Return the pods whose ambassadors could have answered."""
    if isinstance(found, Unknown) or isinstance(facts.reached, Unknown):
        return found
    reached = {str(bus) for bus in facts.reached}
    return tuple(pod for pod in found if f"{pod['metadata']['namespace']}/{_bus(pod)}" in reached)


def _bus(pod: Object) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(BUS, DEFAULT_BUS))


def _of_pods(bus: BusFacts) -> dict[tuple[str, str], RunningAmbassador]:
    assert not isinstance(bus.ambassadors, Unknown)
    return {(bus.names.namespace, each.pod or each.id): each for each in bus.ambassadors}


def _answer(
    pods_and_answers: tuple[tuple[Object, ...], Mapping[tuple[str, str], RunningAmbassador]],
) -> Iterable[Fault]:
    found, answers = pods_and_answers
    for pod in found:
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
