"""What the controller says of choreographies and buses, in its own sentences."""

from collections.abc import Iterable, Iterator
from typing import Final

from choregos_cli.checks.catalogue import Line
from choregos_cli.checks.facts import Facts
from choregos_cli.checks.lines import Fault, Unknown, counted, judged
from choregos_cli.cluster.kubectl import Object

READY: Final = "Ready"


def choreographies(facts: Facts) -> Iterator[Line]:
    """Check the section."""
    number = 0
    if not isinstance(facts.resources, Unknown):
        number = sum(each["kind"] == "Choreography" for each in facts.resources)
    yield from judged("choreographies-observed", facts.resources, _observed)
    yield from judged(
        "choreographies-ready",
        facts.resources,
        _ready,
        f"{counted(number, 'choreography', 'choreographies')}, all Ready",
    )
    yield from judged("choreographies-whole", facts.resources, _whole)


def _observed(found: tuple[Object, ...]) -> Iterable[Fault]:
    for each in found:
        status, generation = each.get("status") or {}, each["metadata"].get("generation", 0)
        if not status.get("conditions"):
            yield Fault(f"the controller has not looked at {_name(each)} yet")
        elif status.get("observedGeneration", 0) < generation:
            yield Fault(f"the controller has not looked at the last edit of {_name(each)} yet")


def _ready(found: tuple[Object, ...]) -> Iterable[Fault]:
    for each in found:
        for condition in _conditions(each):
            if condition["type"] == READY and condition["status"] != "True":
                yield Fault(f"{_name(each)} is not Ready ({condition['reason']}): {condition.get('message', '')}")


def _whole(found: tuple[Object, ...]) -> Iterable[Fault]:
    """Tell what does not stand in the way of Ready, which has taken over the sentence of what does."""
    for each in found:
        conditions = _conditions(each)
        told = {
            (condition["reason"], condition.get("message")) for condition in conditions if condition["type"] == READY
        }
        for condition in conditions:
            sentence = condition["reason"], condition.get("message")
            if condition["type"] != READY and condition["status"] != "True" and sentence not in told:
                yield Fault(
                    f"{_name(each)}: {condition['type']} is {condition['status']} ({sentence[0]}): {sentence[1] or ''}"
                )


def _conditions(each: Object) -> list[Object]:
    return list((each.get("status") or {}).get("conditions") or ())


def _name(each: Object) -> str:
    return f"{each['kind']} {each['metadata']['namespace']}/{each['metadata']['name']}"
