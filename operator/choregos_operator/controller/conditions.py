"""The conditions of a choreography and of a bus, from what a pass found.

Each question is answered by itself, with one reason of a closed set, and `Ready` sums them up: it takes over the first
answer that stands in the way of events. Two answers do not: that nobody emits an external event yet, because a producer
outside may; and that ambassadors are starting, because pods come and go with every rollout. Without any pod a
choreography is ready, as a Service is without endpoints, so `kubectl wait` may come before the workloads.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Literal

from choregos_contract.findings import Finding, Severity
from choregos_contract.status import LONGEST_MESSAGE, Condition
from choregos_operator.controller.ambassadors import Ambassadors, Standing
from choregos_operator.controller.pods import Pod
from choregos_operator.injection.pod import CONTAINER

Status = Literal["True", "False", "Unknown"]

MOST_NAMED: Final = 5
"""Findings, refusals or pods that a message names; the others are counted."""
_COLLISIONS: Final = frozenset({"claimed-twice", "conflicting-port", "conflicting-bus"})


class Type(StrEnum):
    """What is asked of an object."""

    VALID = "Valid"
    """Whether it can be read and makes sense by itself."""
    WIRED = "Wired"
    """Whether streams, durables and ConfigMaps are as it wants them."""
    GRAPH_COMPLETE = "GraphComplete"
    """Whether it fits together with the other choreographies."""
    AMBASSADORS_CURRENT = "AmbassadorsCurrent"
    """Whether the pods' ambassadors work with what it says."""
    READY = "Ready"
    """The sum: whether its events flow as it says."""


class Reason(StrEnum):
    """Why a condition is as it is. The set only grows, and a word never changes its meaning."""

    VALID = "Valid"
    """Nothing is wrong with the object."""
    INVALID = "Invalid"
    """The object is wrong by itself, so it is not wired; what was wired before stays."""
    WIRED = "Wired"
    """Everything on the bus is as it is wanted."""
    DRIFT = "Drift"
    """Somebody changed a stream by hand; it is left so."""
    REFUSED = "Refused"
    """The bus cannot be made what is wanted."""
    BUS_AWAY = "BusAway"
    """NATS does not answer the controller."""
    NOT_WRITTEN = "NotWritten"
    """A ConfigMap could not be written."""
    COMPLETE = "Complete"
    """Every external event is emitted by somebody."""
    NOBODY_EMITS = "NobodyEmits"
    """An external event is emitted by no choreography."""
    CONFLICT = "Conflict"
    """An older choreography claims the same thing."""
    ALL_CURRENT = "AllCurrent"
    """Every ambassador works with the configuration."""
    NO_PODS = "NoPods"
    """No pod carries the label of one of the services."""
    STARTING = "Starting"
    """Ambassadors have not run yet."""
    BEHIND = "Behind"
    """Ambassadors work with an older configuration."""
    FAILING = "Failing"
    """Ambassadors do not run, and not for lack of time."""
    ON_ANOTHER_BUS = "OnAnotherBus"
    """Ambassadors are connected to another bus than the choreography's."""
    WITHOUT_AMBASSADOR = "WithoutAmbassador"
    """Labelled pods have no ambassador."""
    READY = "Ready"
    """Events flow."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A condition without its date."""

    type: Type
    status: Status
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """How the bus and the ConfigMaps came out, for one object. All texts are sentences that hold the mend."""

    away: str = ""
    """Why NATS could not be asked."""
    refusals: Sequence[str] = ()
    """What the bus cannot be made."""
    unwritten: Sequence[str] = ()
    """ConfigMaps that could not be written, and why."""
    drift: Sequence[str] = ()
    """What somebody changed by hand, and is left so."""
    notes: Sequence[str] = ()
    """What else to know although it is wired, such as a position that was lost."""


def choreography_answers(
    findings: Iterable[Finding], together: Iterable[Finding], wiring: Wiring, ambassadors: Ambassadors
) -> tuple[Answer, ...]:
    """Return the answers about a choreography: `findings` are its own, `together` those beside the others."""
    valid = _valid(findings)
    if valid.status != "True":
        message = "not looked at, because the choreography is invalid; what was wired before stays"
        rest = (Type.WIRED, Type.GRAPH_COMPLETE, Type.AMBASSADORS_CURRENT)
        return _summed_up((valid, *(Answer(each, "Unknown", Reason.INVALID, message) for each in rest)))
    return _summed_up((valid, _wired(wiring), _graph_complete(together), _ambassadors_current(ambassadors)))


def bus_answers(findings: Iterable[Finding], wiring: Wiring) -> tuple[Answer, ...]:
    """Return the answers about a bus."""
    valid = _valid(findings)
    if valid.status != "True":
        message = "not looked at, because the bus is invalid; what was wired before stays"
        return _summed_up((valid, Answer(Type.WIRED, "Unknown", Reason.INVALID, message)))
    return _summed_up((valid, _wired(wiring)))


def dated(
    answers: Iterable[Answer], before: Iterable[Condition], *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Return the conditions to report: one whose status is as before keeps its date."""
    known = {condition.type: condition for condition in before}
    moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return tuple(
        Condition(
            type=answer.type,
            status=answer.status,
            reason=answer.reason,
            message=_cut(answer.message),
            last_transition_time=old.last_transition_time
            if (old := known.get(answer.type)) and old.status == answer.status
            else moment,
            observed_generation=generation,
        )
        for answer in answers
    )


def _valid(findings: Iterable[Finding]) -> Answer:
    errors = [found for found in findings if found.severity is Severity.ERROR]
    if errors:
        return Answer(Type.VALID, "False", Reason.INVALID, _listed(map(_sentence, errors)))
    return Answer(Type.VALID, "True", Reason.VALID, "nothing is wrong with it")


def _wired(wiring: Wiring) -> Answer:
    if wiring.away:
        return Answer(Type.WIRED, "Unknown", Reason.BUS_AWAY, wiring.away)
    if wiring.refusals:
        return Answer(Type.WIRED, "False", Reason.REFUSED, _listed(wiring.refusals))
    if wiring.unwritten:
        return Answer(Type.WIRED, "False", Reason.NOT_WRITTEN, _listed(wiring.unwritten))
    if wiring.drift:
        return Answer(Type.WIRED, "True", Reason.DRIFT, _listed([*wiring.drift, *wiring.notes]))
    message = "; ".join(["streams, durables and configurations are as wanted", *wiring.notes])
    return Answer(Type.WIRED, "True", Reason.WIRED, message)


def _graph_complete(together: Iterable[Finding]) -> Answer:
    """A collision is told alone, because it is what stands in the way."""
    found = list(together)
    if collisions := [each for each in found if each.code in _COLLISIONS]:
        return Answer(Type.GRAPH_COMPLETE, "False", Reason.CONFLICT, _listed(map(_sentence, collisions)))
    if unfed := [each for each in found if each.code == "nobody-emits"]:
        return Answer(Type.GRAPH_COMPLETE, "False", Reason.NOBODY_EMITS, _listed(map(_sentence, unfed)))
    return Answer(Type.GRAPH_COMPLETE, "True", Reason.COMPLETE, "every event has somebody who emits it")


_ABOUT_PODS: Final = (
    (
        Standing.WITHOUT,
        Reason.WITHOUT_AMBASSADOR,
        "without an ambassador, so that no event reaches them",
        "restart them",
    ),
    (Standing.ASTRAY, Reason.ON_ANOTHER_BUS, "with an ambassador on another bus or on other servers", "restart them"),
    (Standing.FAILING, Reason.FAILING, "with an ambassador that does not run", f"look at their container {CONTAINER}"),
    (Standing.BEHIND, Reason.BEHIND, "with an older configuration", "they should load the new one within seconds"),
    (Standing.STARTING, Reason.STARTING, "with an ambassador that has not started yet", "wait for them"),
)
"""The worst comes first, and is the one that is told."""


def _ambassadors_current(ambassadors: Ambassadors) -> Answer:
    if not ambassadors.total:
        message = "no pod carries the label choregos.dev/service of one of its services yet"
        return Answer(Type.AMBASSADORS_CURRENT, "True", Reason.NO_PODS, message)
    count = f"{ambassadors.current} of {ambassadors.total} ambassadors are current"
    for standing, reason, how, mend in _ABOUT_PODS:
        if pods := ambassadors.of(standing):
            message = f"{count}; pods {how}: {_named(pods)}; {mend}"
            return Answer(Type.AMBASSADORS_CURRENT, "False", reason, message)
    return Answer(Type.AMBASSADORS_CURRENT, "True", Reason.ALL_CURRENT, count)


def _summed_up(answers: tuple[Answer, ...]) -> tuple[Answer, ...]:
    """Add `Ready`: the first answer that stands in the way, else that events flow."""
    for answer in answers:
        if answer.status != "True" and answer.reason not in (Reason.NOBODY_EMITS, Reason.STARTING):
            return (*answers, Answer(Type.READY, answer.status, answer.reason, answer.message))
    # Ready without any pod, too: then it says so, for a misspelt label looks the same.
    waits = next((each.message for each in answers if each.reason in (Reason.NO_PODS, Reason.STARTING)), None)
    return (*answers, Answer(Type.READY, "True", Reason.READY, f"wired; {waits}" if waits else "events flow"))


def _sentence(found: Finding) -> str:
    return f"{found.place}: {found.message}; {found.hint}"


def _named(pods: Sequence[Pod]) -> str:
    return _joined([f"{pod.name} ({pod.complaint})" if pod.complaint else pod.name for pod in pods], ", ")


def _listed(sentences: Iterable[str]) -> str:
    return _joined(list(sentences), ". ")


def _joined(texts: Sequence[str], glue: str) -> str:
    more = f"{glue}and {len(texts) - MOST_NAMED} more" if len(texts) > MOST_NAMED else ""
    return glue.join(texts[:MOST_NAMED]) + more


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 3] + "..."
