"""The page of conditions and Kubernetes Events: every reason, where it is seen, and what to do."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from choregos_contract.findings import finding
from choregos_contract.quantities import format_duration
from choregos_operator.controller.ambassadors import Ambassadors, Standing
from choregos_operator.controller.announcements import CONTROLLER, QUIET, Happened
from choregos_operator.controller.conditions import (
    Answer,
    Reason,
    Type,
    Wiring,
    bus_answers,
    choreography_answers,
)
from choregos_operator.controller.pods import Pod
from reference_pages.markdown import code, explained, page, table
from reference_pages.source import attribute_docs

_NOTHING: Final = "nothing"
_POD: Final = Pod(namespace="", name="", uid="", service="", created=datetime.fromtimestamp(0, UTC))
_MENDS: Final[dict[str, str]] = {
    Reason.VALID: _NOTHING,
    Reason.INVALID: "Correct what the message names; `choregos lint` finds the same on your machine.",
    Reason.WIRED: _NOTHING,
    Reason.DRIFT: "Set the stream back, or write into the EventBus what it is now. Until then it is left as it is.",
    Reason.REFUSED: "The message says what cannot be, and how to mend it: a field that cannot change, a missing EventBus.",
    Reason.BUS_AWAY: "Bring NATS back, or mend address, credentials or permissions as the message says. It is tried again.",
    Reason.NOT_WRITTEN: "Give back the right or the quota that the message names, or make the choreography smaller.",
    Reason.COMPLETE: _NOTHING,
    Reason.NOBODY_EMITS: "Nothing, if a producer outside of the cluster emits it; otherwise apply the choreography that does.",
    Reason.CONFLICT: "Take the reaction, port or bus out of one of the two choreographies. The older one works meanwhile.",
    Reason.ALL_CURRENT: _NOTHING,
    Reason.NO_PODS: "Nothing, if they come later; otherwise label the pod template.",
    Reason.STARTING: "Wait; if it lasts, `kubectl describe` the pods that the message names.",
    Reason.BEHIND: "Wait some seconds; if it lasts, look at the log of the ambassadors that the message names.",
    Reason.FAILING: "`kubectl logs POD -c choregos-ambassador --previous`.",
    Reason.ON_ANOTHER_BUS: "Restart the pods: an ambassador connects to one bus, for life.",
    Reason.WITHOUT_AMBASSADOR: "Restart the pods, once the webhook is there.",
    Reason.READY: _NOTHING,
}
_GONE: Final = "Choreography; once that is deleted, its EventBus, if there is one"
_HAPPENED: Final = {
    Happened.EVENTS_PENDING: ("Warning", "Put the reaction back if they matter: it goes on where it was."),
    Happened.REACTION_ORPHANED: ("Normal", _NOTHING),
    Happened.REACTION_SWEPT: ("Normal", _NOTHING),
    Happened.ORPHAN_IN_USE: (
        "Warning",
        "Stop the pods that read it. If they are another cluster's, give one of the clusters' buses another `prefix`.",
    ),
    Happened.POSITION_RESTORED: ("Warning", "Keep others from deleting durables; some events come a second time."),
    Happened.POSITION_LOST: ("Warning", "Publish again what was not read, if it is needed."),
    Happened.STREAM_REMADE: ("Warning", "Publish again what is needed, and keep others from deleting streams."),
    Happened.EDITED_BY_HAND: ("Warning", "Change the choreography or the EventBus instead."),
    Happened.NO_AMBASSADOR: ("Warning", "Restart the pod, once the webhook is there."),
    Happened.NOT_DECLARED: (
        "Warning",
        "Apply the choreography, or correct the label. The pod's ambassador waits meanwhile.",
    ),
    Happened.EVICTED: ("Normal", _NOTHING),
    Happened.LABEL_NOT_ON_PODS: ("Warning", "Write the label under `spec.template.metadata.labels`."),
}


def conditions() -> str:
    """Return the page."""
    return page(
        "Conditions and Kubernetes Events",
        """
How a choreography or a bus stands is in the conditions of its status, as `kubectl describe` shows them; what happened to it is
told by Kubernetes Events beside them. Each condition has a reason, one word of the sets below, which only grow, and a message
that names the objects and the mend. `Ready` takes over the first answer that stands in the way of events, so that
`kubectl wait --for=condition=Ready` waits for the right thing.""",
        "## Conditions",
        table(
            ("condition", "of", "tells"),
            ((code(each), _kinds(each), attribute_docs(Type)[each.name]) for each in Type),
        ),
        "## Reasons",
        _reasons(),
        """
A choreography without any pod is ready, as a Service is without endpoints: applying it may come before the workloads. Figures in
the status (lag, dead letters, orphans) are at most a minute old and written only when they change; for live ones, ask the bus.""",
        "## Events",
        f"""
Each is written once, and not again within {format_duration(QUIET.total_seconds())}; their `reportingController` is
`{CONTROLLER}`. A condition that changes for the worse or the better is an Event, too, with the
condition's reason; pods that start and ambassadors that load a new configuration are none.""",
        _events(),
        """
What the webhook warns of, `kubectl` prints when the object is applied: the [lint codes](../lint-codes.md) of level warning, what an
edit does to events that are unread, and what is doubtful about a [pod](annotations.md). It refuses by the lint codes of level
error.""",
    )


def _reasons() -> str:
    return table(
        ("reason", "condition", "`Ready`", "meaning", "what to do"),
        (
            (code(reason), *_seen(Reason(reason)), attribute_docs(Reason)[Reason(reason).name], mend)
            for reason, mend in explained(Reason, _MENDS)
        ),
    )


def _events() -> str:
    return table(
        ("reason", "type", "about", "meaning", "what to do"),
        (
            (
                code(reason),
                _HAPPENED[Happened(reason)][0],
                _about(Happened(reason)),
                attribute_docs(Happened)[Happened(reason).name],
                mend,
            )
            for reason, mend in explained(Happened, {each: mend for each, (_, mend) in _HAPPENED.items()})
        ),
    )


def _kinds(asked: Type) -> str:
    buses = {answer.type for answer in bus_answers((), Wiring())}
    return "Choreography, EventBus" if asked in buses else "Choreography"


def _seen(reason: Reason) -> tuple[str, str]:
    """Return where a reason is seen beside `Ready`, and how `Ready` is then; from what the code answers."""
    found = [(answer, answers[-1]) for answers in _answers() for answer in answers if answer.reason is reason]
    beside = [pair for pair in found if pair[0].type is not Type.READY] or found
    if not beside:
        raise LookupError(f"nothing on this page leads to the reason {reason}; add it to _answers")
    (answer, ready), *_ = beside
    return code(f"{answer.type}={answer.status}"), code(ready.status)


def _answers() -> Iterator[tuple[Answer, ...]]:
    """Yield the answers of every kind."""
    well, nobody = Wiring(), Ambassadors()
    wrong = finding("never-emitted", (), "", "")
    yield choreography_answers((wrong,), (), well, nobody)
    for wiring in (
        well,
        Wiring(drift=("",)),
        Wiring(refusals=("",)),
        Wiring(away="away"),
        Wiring(unwritten=("",)),
    ):
        yield choreography_answers((), (), wiring, nobody)
    for other in ("nobody-emits", "claimed-twice"):
        yield choreography_answers((), (finding(other, (), "", ""),), well, nobody)
    for standing in Standing:
        yield choreography_answers((), (), well, Ambassadors({standing: (_POD,)}))


def _about(reason: Happened) -> str:
    """Return the kinds of object that an Event is beside."""
    special = {
        Happened.REACTION_SWEPT: "EventBus",
        Happened.ORPHAN_IN_USE: _GONE,
        Happened.STREAM_REMADE: "EventBus",
        Happened.REACTION_ORPHANED: _GONE,
        Happened.EVENTS_PENDING: _GONE,
        Happened.NO_AMBASSADOR: "Pod",
        Happened.NOT_DECLARED: "Pod",
        Happened.EVICTED: "Pod",
        Happened.LABEL_NOT_ON_PODS: "Deployment, StatefulSet, DaemonSet",
    }
    return special.get(reason, "Choreography")
