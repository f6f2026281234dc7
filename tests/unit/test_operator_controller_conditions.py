"""Conditions answer one question each, and Ready says what stands in the way of events."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_contract.findings import Finding, finding
from choregos_contract.status import LONGEST_MESSAGE, Condition
from choregos_operator.controller.ambassadors import Ambassadors, Standing
from choregos_operator.controller.conditions import (
    Answer,
    Reason,
    Type,
    Wiring,
    bus_answers,
    choreography_answers,
    dated,
)
from choregos_operator.controller.pods import Pod

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
POD = Pod(namespace="shop", name="payment-1", uid="p", service="payment", created=NOW)
PATH = ("spec", "events", "A")
ERROR = finding("never-emitted", PATH, "nobody emits it", "emit it")
WARNING = finding("no-outcome", PATH, "nothing ends", "name an outcome")
UNFED = finding("nobody-emits", PATH, 'no choreography emits "A" yet', "apply the one that does")
CLAIMED = finding("claimed-twice", PATH, "orders claims it already", "keep it in one of the two")
PORT = finding("conflicting-port", PATH, "other port", "name one")
BUS = finding("conflicting-bus", PATH, "other bus", "use one")
CURRENT = Ambassadors({Standing.CURRENT: (POD,)})


def pods(standing: Standing, number: int = 1) -> Ambassadors:
    return Ambassadors({Standing.CURRENT: (POD,), standing: (POD,) * number})


def answers(
    findings: tuple[Finding, ...] = (),
    together: tuple[Finding, ...] = (),
    wiring: Wiring = Wiring(),  # noqa: B008
    ambassadors: Ambassadors = CURRENT,
) -> dict[Type, Answer]:
    return {answer.type: answer for answer in choreography_answers(findings, together, wiring, ambassadors)}


@pytest.mark.parametrize(
    ("facts", "type_", "status", "reason"),
    [
        ({}, Type.VALID, "True", Reason.VALID),
        ({"findings": (WARNING,)}, Type.VALID, "True", Reason.VALID),
        ({"findings": (WARNING, ERROR)}, Type.VALID, "False", Reason.INVALID),
        ({"findings": (ERROR,)}, Type.WIRED, "Unknown", Reason.INVALID),
        ({"findings": (ERROR,)}, Type.AMBASSADORS_CURRENT, "Unknown", Reason.INVALID),
        ({}, Type.WIRED, "True", Reason.WIRED),
        ({"wiring": Wiring(drift=["x"])}, Type.WIRED, "True", Reason.DRIFT),
        ({"wiring": Wiring(refusals=["x"], drift=["y"])}, Type.WIRED, "False", Reason.REFUSED),
        ({"wiring": Wiring(unwritten=["x"])}, Type.WIRED, "False", Reason.NOT_WRITTEN),
        ({"wiring": Wiring(away="x")}, Type.WIRED, "Unknown", Reason.BUS_AWAY),
        ({}, Type.GRAPH_COMPLETE, "True", Reason.COMPLETE),
        ({"together": (UNFED,)}, Type.GRAPH_COMPLETE, "False", Reason.NOBODY_EMITS),
        ({"together": (UNFED, CLAIMED)}, Type.GRAPH_COMPLETE, "False", Reason.CONFLICT),
        ({"ambassadors": Ambassadors()}, Type.AMBASSADORS_CURRENT, "True", Reason.NO_PODS),
        ({}, Type.AMBASSADORS_CURRENT, "True", Reason.ALL_CURRENT),
        ({"ambassadors": pods(Standing.STARTING)}, Type.AMBASSADORS_CURRENT, "False", Reason.STARTING),
        ({"ambassadors": pods(Standing.BEHIND)}, Type.AMBASSADORS_CURRENT, "False", Reason.BEHIND),
        ({"ambassadors": pods(Standing.FAILING)}, Type.AMBASSADORS_CURRENT, "False", Reason.FAILING),
        ({"ambassadors": pods(Standing.ASTRAY)}, Type.AMBASSADORS_CURRENT, "False", Reason.ON_ANOTHER_BUS),
        ({"ambassadors": pods(Standing.WITHOUT)}, Type.AMBASSADORS_CURRENT, "False", Reason.WITHOUT_AMBASSADOR),
    ],
)
def test_each_question_has_its_answer(facts: dict[str, Any], type_: Type, status: str, reason: Reason) -> None:
    answer = answers(**facts)[type_]
    assert (answer.status, answer.reason) == (status, reason)
    assert answer.message


@pytest.mark.parametrize(
    ("facts", "status", "reason"),
    [
        ({}, "True", Reason.READY),
        ({"findings": (ERROR,)}, "False", Reason.INVALID),
        ({"wiring": Wiring(away="x")}, "Unknown", Reason.BUS_AWAY),
        ({"wiring": Wiring(refusals=["x"])}, "False", Reason.REFUSED),
        ({"wiring": Wiring(drift=["x"])}, "True", Reason.READY),
        ({"together": (CLAIMED,)}, "False", Reason.CONFLICT),
        ({"together": (PORT,)}, "False", Reason.CONFLICT),
        ({"together": (BUS,)}, "False", Reason.CONFLICT),
        # A producer outside may emit it.
        ({"together": (UNFED,)}, "True", Reason.READY),
        # As a Service is without endpoints.
        ({"ambassadors": Ambassadors()}, "True", Reason.READY),
        # Every rollout would make it flap.
        ({"ambassadors": pods(Standing.STARTING)}, "True", Reason.READY),
        ({"ambassadors": pods(Standing.BEHIND)}, "False", Reason.BEHIND),
        ({"ambassadors": pods(Standing.WITHOUT)}, "False", Reason.WITHOUT_AMBASSADOR),
        # What is worse, or causes the other, comes first.
        ({"wiring": Wiring(refusals=["x"]), "together": (CLAIMED,)}, "False", Reason.REFUSED),
        ({"together": (UNFED,), "ambassadors": pods(Standing.WITHOUT)}, "False", Reason.WITHOUT_AMBASSADOR),
    ],
)
def test_ready_takes_over_what_stands_in_the_way(facts: dict[str, Any], status: str, reason: Reason) -> None:
    found = answers(**facts)
    assert list(found) == ["Valid", "Wired", "GraphComplete", "AmbassadorsCurrent", "Ready"]
    assert (found[Type.READY].status, found[Type.READY].reason) == (status, reason)


def test_a_message_names_place_and_mend() -> None:
    assert answers(findings=(ERROR,))[Type.READY].message == "spec.events.A: nobody emits it; emit it"


def test_a_message_counts_the_pods_and_names_some() -> None:
    message = answers(ambassadors=pods(Standing.WITHOUT, 7))[Type.READY].message
    assert message.startswith("1 of 8 ambassadors are current; pods without an ambassador")
    assert message.count("payment-1") == 5
    assert "and 2 more; restart them" in message


def test_a_bus_is_ready_when_it_is_wired() -> None:
    def found(*findings: Finding, **wiring: Any) -> list[tuple[str, str, str]]:
        return [(each.type, each.status, each.reason) for each in bus_answers(findings, Wiring(**wiring))]

    assert found() == [("Valid", "True", "Valid"), ("Wired", "True", "Wired"), ("Ready", "True", "Ready")]
    assert found(ERROR)[1:] == [("Wired", "Unknown", "Invalid"), ("Ready", "False", "Invalid")]
    assert found(away="x")[1:] == [("Wired", "Unknown", "BusAway"), ("Ready", "Unknown", "BusAway")]


STATUS = st.sampled_from(["True", "False", "Unknown"])


@given(st.lists(st.tuples(STATUS, st.sampled_from(list(Reason)), st.text(max_size=5)), min_size=1, max_size=8))
def test_a_condition_is_dated_when_its_status_changes_and_only_then(steps: list[Any]) -> None:
    before: tuple[Condition, ...] = ()
    for index, (status, reason, message) in enumerate(steps):
        moment = NOW + timedelta(seconds=index)
        after = dated([Answer(Type.WIRED, status, reason, message)], before, generation=index, now=moment)
        fresh = not before or before[0].status != status
        expected = moment.strftime("%Y-%m-%dT%H:%M:%SZ") if fresh else before[0].last_transition_time
        assert after[0].last_transition_time == expected
        assert (after[0].status, after[0].reason, after[0].observed_generation) == (status, reason, index)
        before = after


def test_a_message_keeps_the_bound_of_the_api() -> None:
    cut = dated([Answer(Type.WIRED, "False", Reason.REFUSED, "x" * 40_000)], (), generation=1, now=NOW)
    assert len(cut[0].message) == LONGEST_MESSAGE
