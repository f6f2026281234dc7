"""What two looks at a durable prove: never more than was lost, never silence where something was."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from choregos_ambassador.loss import Look, Loss, between, may_be, unwitnessed


def look(**figures: int) -> Look:
    usual = {"first": 1, "last": 100, "removed": 0, "delivered": 0, "deliveries": 0, "pending": 10, "unacknowledged": 0}
    return Look(time=0.0, durable="d", **{"oldest": 1, **usual, **figures})


@pytest.mark.parametrize(
    ("after", "stored", "expected"),
    [
        pytest.param({"pending": 10}, 0, (0, 0), id="nothing happened"),
        pytest.param({"pending": 4, "first": 61}, 0, (6, 6), id="it stands still and six are gone"),
        pytest.param({"pending": 9, "first": 61, "last": 105}, 5, (6, 6), id="and others came"),
        pytest.param({"pending": 0, "first": 111, "last": 110}, 0, (10, 20), id="all are gone, and what came since"),
        pytest.param({"pending": 4, "deliveries": 6}, 0, (0, 0), id="six were delivered and read"),
        pytest.param(
            {"pending": 4, "deliveries": 6, "first": 51}, 0, (0, 6), id="six were delivered, and removed since"
        ),
        pytest.param({"pending": 4, "deliveries": 2, "first": 51}, 0, (4, 6), id="two at most of six were delivered"),
        pytest.param({"pending": 4, "removed": 6}, 0, (6, 6), id="six are gone from between"),
    ],
)
def test_the_loss_between_two_looks(after: dict[str, int], stored: int, expected: tuple[int, int]) -> None:
    found = between(look(), look(**after), stored, 0)
    assert (found.least, found.most) == expected


def test_what_advisories_told_is_not_told_again_as_a_possibility() -> None:
    before, after = look(pending=0, unacknowledged=5), look(pending=0, first=51)
    assert between(before, after, 0, 5).most == 0
    assert between(before, after, 0, 3).most == 2


def test_a_quiet_reaction_in_a_stream_that_moves_on_has_lost_nothing() -> None:
    before = look(first=50, pending=0, oldest=101)
    after = look(first=80, last=101, pending=0, deliveries=1, oldest=102)
    assert not may_be(before, after), "all that was removed had been read"


def test_where_nobody_has_looked_before_a_position_behind_the_stream_is_told() -> None:
    assert unwitnessed(look(delivered=20, first=31)) == Loss(0, 10, 21, 30)
    assert unwitnessed(look(delivered=40, first=31)) == Loss()


@dataclass
class Simulation:
    """A stream with one durable that reads every other event of it, as JetStream does."""

    first: int = 1
    last: int = 0
    there: dict[int, bool] = field(default_factory=dict)
    """Sequences in the stream, and whether they are the reaction's."""
    delivered: int = 0
    deliveries: int = 0
    out: set[int] = field(default_factory=set)
    lost: int = 0
    advised: int = 0

    def store(self, ours: bool) -> None:
        self.last += 1
        self.there[self.last] = ours

    def pending(self) -> list[int]:
        return [each for each, ours in self.there.items() if ours and each > self.delivered]

    def deliver(self) -> None:
        if pending := self.pending():
            self.delivered = pending[0]
            self.out.add(self.delivered)
            self.deliveries += 1

    def remove(self, sequence: int) -> None:
        ours = self.there.pop(sequence)
        if sequence in self.out:
            self.out.remove(sequence)
            self.advised += 1
        elif ours and sequence > self.delivered:
            self.lost += 1
        while self.first <= self.last and self.first not in self.there:
            self.first += 1

    def look(self) -> Look:
        pending = self.pending()
        return look(
            first=self.first,
            last=self.last,
            removed=self.last - self.first + 1 - len(self.there),
            delivered=self.delivered,
            deliveries=self.deliveries,
            pending=len(pending),
            unacknowledged=len(self.out),
            oldest=min((*self.out, *pending), default=self.last + 1),
        )


class Lives(RuleBasedStateMachine):
    """Any life of a stream and a reaction between two looks."""

    def __init__(self) -> None:
        super().__init__()
        self.real = Simulation()
        self.before = self.real.look()

    @rule(ours=st.lists(st.booleans(), min_size=1, max_size=6))
    def events_are_stored(self, ours: list[bool]) -> None:
        for each in ours:
            self.real.store(each)

    @rule(times=st.integers(1, 4))
    def events_are_delivered(self, times: int) -> None:
        for _ in range(times):
            self.real.deliver()

    @precondition(lambda self: self.real.out)
    @rule(data=st.data())
    def one_is_acknowledged(self, data: st.DataObject) -> None:
        self.real.out.remove(data.draw(st.sampled_from(sorted(self.real.out))))

    @precondition(lambda self: self.real.out)
    @rule()
    def one_is_delivered_again(self) -> None:
        self.real.deliveries += 1

    @rule(number=st.integers(1, 5))
    def the_oldest_are_removed(self, number: int) -> None:
        for sequence in sorted(self.real.there)[:number]:
            self.real.remove(sequence)

    @precondition(lambda self: self.real.there and not self.before.removed)
    @rule(data=st.data())
    def one_is_deleted(self, data: st.DataObject) -> None:
        """Not while there are gaps of before: the server does not tell a gap that leaves from one that comes."""
        self.real.remove(data.draw(st.sampled_from(sorted(self.real.there))))

    @rule()
    def somebody_looks(self) -> None:
        self.before = self.real.look()
        self.real.lost = self.real.advised = 0

    @invariant()
    def what_is_found_is_right(self) -> None:
        after = self.real.look()
        if not may_be(self.before, after):
            assert not self.real.lost
            return
        stored = sum(ours for sequence, ours in self.real.there.items() if sequence > self.before.last)
        found = between(self.before, after, stored, self.real.advised)
        assert found.least <= self.real.lost <= found.most, (found, self.real)
        vague = between(self.before, after, None, self.real.advised)
        assert vague.least <= found.least <= found.most <= vague.most
        if after.deliveries == self.before.deliveries and after.last == self.before.last:
            assert found.least == self.real.lost, "exact while it stands still"


Lives.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestLives = Lives.TestCase
