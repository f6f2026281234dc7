"""The proof of the end-to-end tests finds what it is there to find."""

from dataclasses import replace

import pytest

from choregos_cli.happenings import EventStored
from choregos_cli.transactions import Roles, Transactions
from support.settled import judge

ROLES = Roles({"Done": "completed", "Undone": "failed"}, {"Asked": frozenset({"worker"})})
ASKED = EventStored(
    time=1.0, stream="events", sequence=1, id="a", source="/shop", type="Asked", correlation_id="one", causation_id=None,
    hops=0, data=b"{}",
)  # fmt: skip
DONE = replace(ASKED, sequence=2, id="b", type="Done", causation_id="a", hops=1)


def seen(*events: EventStored) -> Transactions:
    found = Transactions(ROLES)
    for event in events:
        found.feed(event)
    return found


def test_a_transaction_with_one_outcome_is_fine() -> None:
    judge(seen(ASKED, DONE), frozenset({"one"}))


def test_what_was_accepted_and_is_not_there_is_lost() -> None:
    with pytest.raises(AssertionError, match=r"1 of 2 accepted deliveries are lost"):
        judge(seen(ASKED, DONE), frozenset({"one", "two"}))


def test_without_an_outcome_it_is_stuck() -> None:
    with pytest.raises(AssertionError, match=r"1 of 1 transactions came to no outcome, such as one"):
        judge(seen(ASKED), frozenset({"one"}))


@pytest.mark.parametrize(
    "second",
    [replace(DONE, sequence=3), replace(DONE, sequence=3, id="c"), replace(DONE, sequence=3, id="c", type="Undone")],
    ids=["an event again", "an outcome again", "the other outcome"],
)
def test_what_is_there_twice_is_doubled(second: EventStored) -> None:
    with pytest.raises(AssertionError, match="hold an event twice or two outcomes"):
        judge(seen(ASKED, DONE, second), frozenset({"one"}))
