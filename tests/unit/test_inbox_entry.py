"""The protocol of the inbox: at no time are two calls for one event under way, and none begins once one is remembered."""

from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from choregos_ambassador.answer import Answer
from choregos_ambassador.inbox_entry import (
    BEGIN_WITHIN,
    Busy,
    Decision,
    Duplicate,
    Entry,
    Known,
    State,
    TakeOver,
    decide,
    lasts,
)

TIMEOUT = 10.0
LASTS = lasts(TIMEOUT)
ANSWER = Answer(200, (("content-type", "application/json"),), b"{}")


def entry(state: State, owner: str = "other", **fields: Any) -> Entry:
    return Entry(state=state, owner=owner, sequence=1, number=1, lasts=LASTS, **fields)


@pytest.mark.parametrize(
    ("found", "age", "sequence", "decision"),
    [
        (entry(State.DONE, answer=ANSWER), 0.0, 1, Known(ANSWER)),
        (entry(State.DONE, answer=ANSWER), 9e9, 1, Known(ANSWER)),
        (entry(State.DONE, answer=ANSWER), 0.0, 2, Duplicate()),
        (entry(State.RELEASED), 0.0, 1, TakeOver()),
        (entry(State.CLAIMED), 0.0, 1, Busy(LASTS)),
        (entry(State.CLAIMED), LASTS - 1, 2, Busy(1.0)),
        (entry(State.CLAIMED), LASTS, 1, TakeOver()),
        (entry(State.CLAIMED), -3600.0, 1, Busy(LASTS + 3600)),
        (entry(State.CLAIMED, "me"), 0.0, 1, TakeOver()),
    ],
)
def test_what_an_entry_means(found: Entry, age: float, sequence: int, decision: Decision) -> None:
    assert decide(found, age, owner="me", sequence=sequence) == decision


def test_a_call_that_begins_late_still_ends_before_its_claim_is_stale() -> None:
    assert BEGIN_WITHIN + TIMEOUT < LASTS


@pytest.mark.parametrize("state", State)
def test_an_entry_is_read_as_it_was_written(state: State) -> None:
    answer = Answer(204, (("x", "é"), ("x", "")), bytes(range(256))) if state is State.DONE else None
    written = entry(state, answer=answer)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(written), type=Entry) == written


def test_an_entry_of_a_later_release_is_read_for_what_is_known() -> None:
    later = msgspec.msgpack.encode({"state": "released", "owner": "o", "sequence": 1, "number": 2, "colour": "red"})
    assert msgspec.msgpack.decode(later, type=Entry).state is State.RELEASED


@dataclass
class Ambassador:
    """One process in the model: what it does at the moment, and what it knows."""

    life: int = 0
    step: str = "idle"
    sequence: int = 1
    revision: int = 0
    """Of the entry that it will replace."""
    sent: float = 0.0
    call: int = 0


class Protocol:
    """Three ambassadors with one event, and its duplicate, in any order of steps, pauses and deaths.

    A call ends by its answer or its time-out; that its ambassador dies ends nothing at the service.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.revision = 0
        self.stored: tuple[Entry, int, float] | None = None
        self.ambassadors = [Ambassador() for _ in range(3)]
        self.calls: dict[int, float] = {}
        """The calls under way, and when each is over at the latest."""
        self.begun = 0
        self.begun_when_done = 0
        self.remembered = False

    def owner(self, number: int) -> str:
        return f"{number}-{self.ambassadors[number].life}"

    def write(self, number: int, state: State, answer: Answer | None = None) -> bool:
        """Compare and set."""
        one = self.ambassadors[number]
        if one.revision != (self.stored[1] if self.stored else 0):
            return False
        self.revision += 1
        one.revision = self.revision
        self.remembered |= state is State.DONE
        fields = {"sequence": one.sequence, "number": 1, "lasts": LASTS, "answer": answer}
        self.stored = (Entry(state=state, owner=self.owner(number), **fields), self.revision, self.now)  # type: ignore[arg-type]
        return True

    def goes_on(self, number: int, sequence: int, *, good: bool) -> None:
        """One of them makes its next step."""
        one = self.ambassadors[number]
        match one.step:
            case "idle":
                self._is_delivered(number, sequence)
            case "claims":
                one.sent, one.step = self.now, "claim arrives"
            case "claim arrives":
                one.step = "claimed" if self.write(number, State.CLAIMED) else "idle"
            case "claimed" if self.now - one.sent > BEGIN_WITHIN:
                one.step = "claims"  # once more, on what it has
            case "claimed":
                self._begins(one)
            case "calls":
                one.step = "records" if self.calls.pop(one.call, None) is not None and good else "releases"
            case "records":
                self.write(number, State.DONE, ANSWER)
                one.step = "idle"
            case "releases":
                self.write(number, State.RELEASED)
                one.step = "idle"

    def _is_delivered(self, number: int, sequence: int) -> None:
        one = self.ambassadors[number]
        one.sequence, one.revision = sequence, 0
        if self.stored is not None:
            found, one.revision, at = self.stored
            decision = decide(found, self.now - at, owner=self.owner(number), sequence=sequence)
            if not isinstance(decision, TakeOver):
                return
        one.step = "claims"

    def _begins(self, one: Ambassador) -> None:
        self.begun += 1
        self.begun_when_done += self.remembered
        one.call, one.step = self.begun, "calls"
        self.calls[one.call] = self.now + TIMEOUT

    def dies(self, number: int) -> None:
        self.ambassadors[number] = Ambassador(life=self.ambassadors[number].life + 1)

    def time_passes(self, seconds: float) -> None:
        """Stopped processes need no rule: they are those that make no step meanwhile."""
        self.now += seconds
        self.calls = {call: until for call, until in self.calls.items() if until > self.now}

    def is_forgotten(self) -> None:
        """The ttl of an answer is over."""
        if self.stored is not None and self.stored[0].state is State.DONE:
            self.stored = None
            self.remembered = False

    def something_happens(self, chance: Random) -> None:
        """Mostly one of them goes on; now and then one dies, or time passes, or the answer's ttl ends."""
        match chance.choices(("step", "while", "death", "ttl"), (80, 15, 3, 2))[0]:
            case "step":
                self.goes_on(chance.randrange(3), chance.randint(1, 2), good=chance.random() < 0.5)
            case "while":
                self.time_passes(chance.choice((0.5, 2.0, 4.0, TIMEOUT, LASTS, 60.0)))
            case "death":
                self.dies(chance.randrange(3))
            case _:
                self.is_forgotten()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_no_two_calls_at_once_and_none_once_an_answer_is_remembered(seed: int) -> None:
    protocol, chance = Protocol(), Random(seed)
    for _ in range(300):
        protocol.something_happens(chance)
        assert len(protocol.calls) <= 1
        assert protocol.begun_when_done == 0
    assert protocol.begun
