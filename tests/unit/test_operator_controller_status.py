"""Answers are written at once, figures once a minute and on change, and what nobody could count stays."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from choregos_contract.status import Ambassadors, ChoreographyStatus, Condition, EventBusStatus, Orphan
from choregos_operator.controller.status_of import (
    BusFigures,
    ChoreographyFigures,
    bus_status,
    bus_status_of,
    changed,
    choreography_status,
    choreography_status_of,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def condition(**fields: Any) -> Condition:
    values = {"type": "Ready", "status": "True", "reason": "Ready", "last_transition_time": "2026-05-01T12:00:00Z"}
    return Condition.model_validate(values | {"observed_generation": 2} | fields, by_name=True)


def orphan(event: str, pending: int = 0) -> Orphan:
    return Orphan(reaction=f"payment/{event}", pending=pending, since="2026-05-01T12:00:00Z")


FIGURES = ChoreographyFigures(
    services=3, reactions=4, ambassadors=Ambassadors(current=1, total=2), lag=7, dead_letters=0, orphaned=()
)
BEFORE = choreography_status(2, (condition(),), FIGURES, ChoreographyStatus())
OLD = BEFORE.as_reported()


def test_a_status_holds_what_was_found() -> None:
    assert OLD["observedGeneration"] == 2
    assert OLD["ambassadors"] == {"current": 1, "total": 2}
    assert (OLD["services"], OLD["reactions"], OLD["lag"], OLD["deadLetters"]) == (3, 4, 7, 0)
    assert OLD["conditions"][0]["lastTransitionTime"] == "2026-05-01T12:00:00Z"


def test_what_could_not_be_counted_stays_as_it_was() -> None:
    known = choreography_status(2, (), ChoreographyFigures(orphaned=(orphan("A"),)), BEFORE)
    later = choreography_status(2, (), ChoreographyFigures(dead_letters=3), known)
    assert (later.lag, later.dead_letters, later.orphaned, later.ambassadors) == (
        7,
        3,
        (orphan("A"),),
        BEFORE.ambassadors,
    )
    bus = bus_status(1, (), BusFigures(choreographies=1, reactions=2, events=3, dead_letters=4), EventBusStatus())
    assert bus_status(1, (), BusFigures(events=9), bus).as_reported() == bus.as_reported() | {"events": 9}


@pytest.mark.parametrize(
    ("change", "at_once"),
    [
        ({"lag": 8}, False),
        ({"deadLetters": 1}, False),
        ({"ambassadors": {"current": 2, "total": 2}}, False),
        ({"conditions": (condition(message="2 of 2"),)}, False),
        ({"conditions": (condition(status="False"),)}, True),
        ({"conditions": (condition(reason="Behind"),)}, True),
        ({"conditions": (condition(observed_generation=3),)}, True),
        ({"conditions": (condition(), condition(type="Valid"))}, True),
        ({"observedGeneration": 3}, True),
        ({"reactions": 5}, True),
        ({"orphaned": (orphan("A"),)}, True),
    ],
)
def test_answers_are_written_at_once_and_figures_once_a_minute(change: dict[str, Any], at_once: bool) -> None:
    new = ChoreographyStatus.model_validate(BEFORE.model_dump(by_alias=True) | change).as_reported()
    assert new != OLD
    assert changed(OLD, new, now=NOW, last_written=NOW - 59 * SECOND) is at_once
    assert changed(OLD, new, now=NOW, last_written=NOW - 60 * SECOND)
    assert changed(OLD, new, now=NOW, last_written=None)


def test_what_has_not_changed_is_never_written() -> None:
    assert not changed(OLD, BEFORE.as_reported(), now=NOW, last_written=None)


def test_a_status_is_read_back_as_it_was_written() -> None:
    assert choreography_status_of({"status": OLD}) == BEFORE
    assert choreography_status_of({}) == ChoreographyStatus()
    assert bus_status_of({"status": None}) == EventBusStatus()


def test_what_a_newer_release_wrote_costs_no_other_field() -> None:
    odd = OLD | {"lag": "many", "waves": 3}
    assert choreography_status_of({"status": odd}) == BEFORE.model_copy(update={"lag": None})


def test_a_status_lists_the_orphans_with_the_most_events() -> None:
    many = tuple(orphan(f"E{number:03}", pending=number) for number in range(100))
    listed = choreography_status(1, (), ChoreographyFigures(orphaned=many), ChoreographyStatus()).orphaned
    assert [each.pending for each in listed] == list(range(36, 100))
