"""A transaction is put together from what was seen, in whatever order, and says how it stands."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_cli.happenings import DeadLettered, EventStored, Happening, HopEnded, Verdict
from choregos_cli.transactions import Roles, State, Transaction, Transactions
from choregos_contract.document import load
from support.up_process import SHOP

ROLES = Roles(
    outcomes={"Scheduled": "completed", "Removed": "failed"},
    reactions={
        "Requested": frozenset({"package"}),
        "Created": frozenset({"scheduler"}),
        "Unavailable": frozenset({"package"}),
        "Scheduled": frozenset({"ingestion"}),
        "Removed": frozenset({"ingestion"}),
    },
)


def stored(name: str, sequence: int, cause: str | None = None, **changes: Any) -> EventStored:
    """An event whose id is its name in lower case, stored in the second that is its sequence."""
    values: dict[str, Any] = {
        "time": 100.0 + sequence,
        "stream": "events",
        "sequence": sequence,
        "id": name.lower(),
        "source": "/test/somebody",
        "type": name,
        "correlation_id": "one",
        "causation_id": cause,
        "hops": 0,
        "data": b"{}",
    }
    return EventStored(**values | changes)


def hop(service: str, event: str, verdict: Verdict, *replies: str, **changes: Any) -> HopEnded:
    values: dict[str, Any] = {
        "time": 100.0,
        "service": service,
        "replica": 0,
        "event_id": event.lower(),
        "event_type": event,
        "correlation_id": "one",
        "sequence": 1,
        "attempt": 1,
        "verdict": verdict,
        "replies": replies,
    }
    return HopEnded(**values | changes)


def letter(service: str, event: str, sequence: int = 1, *, failure_emitted: bool = False) -> DeadLettered:
    return DeadLettered(
        time=110.0,
        stream="dead-letters",
        sequence=sequence,
        service=service,
        event_id=event.lower(),
        event_type=event,
        correlation_id="one",
        reason="rejected",
        attempts=1,
        failure_emitted=failure_emitted,
    )


def transaction(happenings: Iterable[Happening]) -> Transaction:
    transactions = Transactions(ROLES)
    for happening in happenings:
        transactions.feed(happening)
    found = transactions.get("one")
    assert found
    return found


COMPLETED: list[Happening] = [
    stored("Requested", 1),
    hop("package", "Requested", "retry"),
    hop("package", "Requested", "done", "Created"),
    stored("Created", 2, "requested"),
    hop("scheduler", "Created", "done", "Scheduled"),
    stored("Scheduled", 3, "created"),
    hop("ingestion", "Scheduled", "done"),
]
REJECTED: list[Happening] = [
    stored("Requested", 1),
    hop("package", "Requested", "dead-letter"),
    letter("package", "Requested"),
]
COMPENSATED: list[Happening] = [
    stored("Requested", 1),
    hop("package", "Requested", "done", "Created"),
    stored("Created", 2, "requested"),
    hop("scheduler", "Created", "dead-letter", "Unavailable"),
    letter("scheduler", "Created", failure_emitted=True),
    stored("Unavailable", 3, "created"),
    hop("package", "Unavailable", "done", "Removed"),
    stored("Removed", 4, "unavailable"),
    hop("ingestion", "Removed", "done"),
]
ENDED: list[Happening] = [stored("Requested", 1), hop("package", "Requested", "done")]
ENDS = [
    (COMPLETED, State.COMPLETED),
    (REJECTED, State.DEAD_LETTERED),
    # A dead letter with a compensation behind it has failed, not stranded.
    (COMPENSATED, State.FAILED),
    (ENDED, State.ENDED),
]


@pytest.mark.parametrize(("happenings", "state"), ENDS)
def test_the_state_is_that_of_the_gravest_end(happenings: list[Happening], state: State) -> None:
    assert transaction(happenings).state() is state


@pytest.mark.parametrize(("happenings", "state"), ENDS)
def test_it_is_running_until_the_last_thing_is_seen(happenings: list[Happening], state: State) -> None:
    for missing in happenings:
        # A retry says nothing of the end, and a dead letter says as much as its hop.
        if isinstance(missing, HopEnded) and missing.verdict in ("retry", "dead-letter"):
            continue
        rest = [each for each in happenings if each is not missing]
        assert transaction(rest).state() is State.RUNNING, missing


@given(st.sampled_from(ENDS).flatmap(lambda end: st.tuples(st.permutations(end[0]), st.just(end[1]))))
def test_the_order_of_seeing_does_not_matter(case: tuple[list[Happening], State]) -> None:
    happenings, state = case
    seen = transaction(happenings)
    assert seen.state() is state
    assert [event.sequence for event in seen.events] == sorted(event.sequence for event in seen.events)


@pytest.mark.parametrize("verdict", ["retry", "hand-back", "lease-lost"])
def test_what_comes_again_is_pending(verdict: Verdict) -> None:
    assert transaction([stored("Requested", 1), hop("package", "Requested", verdict)]).state() is State.RUNNING


@pytest.mark.parametrize(("happenings", "state"), ENDS)
def test_without_hops_empty_durables_settle_it(happenings: list[Happening], state: State) -> None:
    on_the_bus = [each for each in happenings if not isinstance(each, HopEnded)]
    assert transaction(on_the_bus).state(idle=True) is state


def test_an_event_that_nobody_reacts_to_is_settled() -> None:
    assert transaction([stored("Overheard", 1)]).settled


def test_seen_twice_is_once_and_stored_twice_is_a_duplicate() -> None:
    again = stored("Created", 9, "requested")
    assert transaction([*COMPLETED, *COMPLETED]).duplicates == 0
    seen = transaction([*COMPLETED, again, again])
    assert seen.duplicates == 1
    assert seen.repeated == [again]


def test_the_same_id_from_another_source_is_another_event() -> None:
    assert transaction([*COMPLETED, stored("Created", 9, "requested", source="/other")]).duplicates == 0


def test_a_second_outcome_is_one_too_many() -> None:
    seen = transaction([*COMPLETED, stored("Removed", 9, "created")])
    assert seen.duplicates == 1
    assert seen.state(idle=True) is State.FAILED


def test_steps_follow_the_causes_with_times_since_the_root() -> None:
    steps = list(transaction(COMPENSATED).steps())
    assert [(step.event.type, step.depth, step.since_root_s) for step in steps] == [
        ("Requested", 0, 0.0),
        ("Created", 1, 1.0),
        ("Unavailable", 2, 2.0),
        ("Removed", 3, 3.0),
    ]
    assert [len(step.dead_letters) for step in steps] == [0, 1, 0, 0]
    assert [[each.verdict for each in step.hops] for step in steps] == [["done"], ["dead-letter"], ["done"], ["done"]]


def test_an_event_of_an_unknown_cause_is_a_root() -> None:
    (step,) = transaction([stored("Created", 5, "never-seen")]).steps()
    assert (step.depth, step.since_root_s) == (0, 0.0)


def test_transactions_are_told_apart_and_can_be_forgotten() -> None:
    transactions = Transactions(ROLES)
    for name in ("one", "two"):
        transactions.feed(stored("Requested", 1, correlation_id=name))
    assert [each.correlation_id for each in transactions] == ["one", "two"]
    transactions.forget("one")
    assert transactions.get("one") is None
    assert len(transactions) == 1


def test_roles_are_read_off_choreographies() -> None:
    roles = Roles.of(load(SHOP, "shop.yaml").choreographies)
    assert roles == Roles({"OrderPaid": "completed"}, {"OrderPlaced": frozenset({"payments"})})
