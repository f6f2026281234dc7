"""The breaker: when it opens, how it closes again, and what can never happen to it."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from choregos_ambassador.breaker import (
    DISTINCT,
    ENOUGH,
    IN_A_ROW,
    PAUSE_MAX,
    PAUSE_MIN,
    SLOW_START_END,
    WINDOW,
    Breaker,
    State,
)

GOOD, BAD = "good", "bad"
"""An answer that says nothing against the service, and one that does (500). A number is a trouble with that event."""


def closed(at: float = 0.0) -> Breaker:
    breaker = Breaker()
    breaker.ready(at)
    assert breaker.state is State.CLOSED
    return breaker


def play(breaker: Breaker, history: Iterable[str | int], at: float = 0.0, every: float = 0.0) -> float:
    """Play a history, with so many seconds between any two of it; returns when it ended."""
    for each in history:
        if isinstance(each, int):
            breaker.troubled(at, each, "timeout")
        else:
            breaker.answered(at, failed=each == BAD)
        at += every
    return at


def state_of(breaker: Breaker) -> State:
    """Its state, which the type checker would otherwise believe to be the one last looked at."""
    return breaker.state


def tripped(at: float = 0.0) -> Breaker:
    breaker = closed(at)
    play(breaker, [1, 2, 3, 4, 5], at)
    assert breaker.state is State.OPEN
    return breaker


def test_it_starts_open_and_the_first_good_probe_closes_it() -> None:
    breaker = Breaker()
    assert (breaker.state, breaker.limit) == (State.OPEN, 0)
    breaker.ready(0.0)
    assert (breaker.state, breaker.limit, breaker.reason) == (State.CLOSED, 1, "")


@pytest.mark.parametrize(
    ("history", "opens"),
    [
        pytest.param([1, 2, 3, 4, 5], True, id="five troubles with five events"),
        pytest.param([1, 1, 1, 2, 3], True, id="five troubles with three events"),
        pytest.param([1, 2, 3, 4], False, id="four"),
        pytest.param([1, 2, 1, 2, 1, 2, 1, 2], False, id="two events, however often"),
        pytest.param([1] * 9 + [2] * 9, False, id="two events, one after the other"),
        pytest.param([1, 1, 1, 1, 2, 1, 1, 1, 1, 3], True, id="three events, the first again and again"),
        pytest.param([1, 2, 3, 4, GOOD, 5, 6, 7, 8], False, id="a good answer in between"),
        pytest.param([1, 2, 3, 4, BAD, 5, 6, 7, 8], False, id="a bad answer in between is an answer, too"),
        pytest.param([1, 2, GOOD, 3, 4, 5, 6, 7], True, id="five after a good answer"),
        pytest.param([BAD] * 10, False, id="answers are no troubles"),
    ],
)
def test_troubles_in_a_row_with_enough_events_open_it(history: list[str | int], opens: bool) -> None:
    breaker = closed()
    play(breaker, history)
    assert (breaker.state is State.OPEN) == opens
    assert ("in a row" in breaker.reason) == opens


@given(
    st.lists(st.sampled_from([GOOD, BAD, 1, 2, 3, 4]), max_size=60),
)
def test_it_opens_on_a_row_exactly_when_five_troubles_came_from_three_events(history: list[str | int]) -> None:
    """Played slowly, so that their share never means anything."""
    breaker, row = closed(), list[int]()
    for at, each in enumerate(history):
        play(breaker, [each], at)
        row = [*row, each] if isinstance(each, int) else []
        if len(row) >= 5 and len(set(row)) >= 3:
            assert breaker.state is State.OPEN
            return
        assert breaker.state is State.CLOSED


@given(st.lists(st.sampled_from([1, 2]), max_size=200))
def test_one_or_two_poison_events_alone_never_open_it_by_their_row(history: list[int]) -> None:
    breaker = closed()
    play(breaker, history, every=1.0)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize(
    ("history", "every", "opens"),
    [
        pytest.param([GOOD, BAD] * 10, 0.1, True, id="half of twenty"),
        pytest.param([GOOD, BAD] * 9 + [GOOD], 0.1, False, id="half of nineteen"),
        pytest.param([GOOD] * 10 + [BAD] * 9 + [GOOD] * 9, 0.1, False, id="less than half"),
        pytest.param([GOOD] * 10 + [BAD] * 10, 0.1, True, id="all at the end"),
        pytest.param([GOOD, 1] * 10, 0.1, True, id="troubles count as failures"),
        pytest.param([GOOD] * 100, 0.1, False, id="nothing but good answers"),
        pytest.param([BAD] * 100, 1.0, False, id="too few in ten seconds"),
        pytest.param([BAD] * 100, 0.4, True, id="enough in ten seconds"),
        pytest.param([GOOD] * 200 + [BAD] * 30, 0.05, False, id="the good ones are not forgotten within the window"),
    ],
)
def test_half_of_enough_answers_within_the_window_open_it(history: list[str | int], every: float, opens: bool) -> None:
    breaker = closed()
    play(breaker, history, every=every)
    assert (breaker.state is State.OPEN) == opens
    assert ("were failures" in breaker.reason) == opens


def test_what_is_older_than_the_window_counts_no_more() -> None:
    breaker = closed()
    play(breaker, [BAD] * (ENOUGH - 1), at=0.0)
    play(breaker, [GOOD, BAD] * 9, at=WINDOW + 1)
    assert state_of(breaker) is State.CLOSED
    play(breaker, [GOOD, BAD], at=WINDOW + 1)
    assert state_of(breaker) is State.OPEN


@pytest.mark.parametrize("make", [closed, tripped])
def test_a_service_that_is_not_ready_opens_it_and_one_that_is_ready_again_closes_it(
    make: Callable[[], Breaker],
) -> None:
    breaker = make()
    breaker.not_ready("/healthz answers 503")
    assert (breaker.state, breaker.limit) == (State.OPEN, 0)
    assert (breaker.reason == "/healthz answers 503") == (make is closed), "the first reason stays"
    breaker.ready(100.0)
    assert state_of(breaker) is (State.CLOSED if make is closed else State.HALF_OPEN)


def test_half_open_one_good_answer_closes_it_and_a_slow_start_follows() -> None:
    breaker = tripped()
    breaker.ready(PAUSE_MIN)
    assert (breaker.state, breaker.limit) == (State.HALF_OPEN, 1)
    limits = []
    for _ in range(SLOW_START_END):
        play(breaker, [GOOD], PAUSE_MIN)
        limits.append(breaker.limit)
    assert state_of(breaker) is State.CLOSED
    assert limits == [*range(1, SLOW_START_END), None]


@pytest.mark.parametrize("again", [BAD, 6])
def test_half_open_one_failure_opens_it_again_and_every_pause_is_twice_as_long(again: str | int) -> None:
    breaker, now, pauses = tripped(), 0.0, []
    for _ in range(6):
        began = now
        while breaker.state is State.OPEN:
            now += 0.25
            breaker.ready(now)
        pauses.append(now - began)
        play(breaker, [again], now)
        assert (breaker.state, breaker.limit) == (State.OPEN, 0)
    assert pauses == [1.0, 2.0, 4.0, 8.0, PAUSE_MAX, PAUSE_MAX]


def test_after_it_closed_the_first_pause_is_short_again() -> None:
    breaker = tripped()
    breaker.ready(PAUSE_MIN)
    play(breaker, [6], PAUSE_MIN)
    breaker.ready(10.0)
    play(breaker, [GOOD, 1, 2, 3, 4, 5], 10.0)
    assert state_of(breaker) is State.OPEN
    breaker.ready(10.0 + PAUSE_MIN)
    assert state_of(breaker) is State.HALF_OPEN


def test_not_ready_while_half_open_is_a_good_probe_away_from_half_open() -> None:
    breaker = tripped()
    breaker.ready(PAUSE_MIN)
    breaker.not_ready("gone")
    assert (breaker.state, breaker.limit, breaker.reason) == (State.OPEN, 0, "gone")
    breaker.ready(PAUSE_MIN)
    assert state_of(breaker) is State.HALF_OPEN


@pytest.mark.parametrize("history", [range(6, 106), [BAD] * 100, [GOOD] * 100])
def test_what_was_under_way_when_it_opened_changes_nothing_any_more(history: Iterable[str | int]) -> None:
    breaker = tripped()
    before = deepcopy(breaker)
    play(breaker, history, every=0.001)
    assert breaker == before


def test_a_failure_does_not_widen_a_slow_start() -> None:
    breaker = closed()
    play(breaker, [GOOD, BAD, 1, GOOD])
    assert breaker.limit == 3


def proven(breaker: Breaker) -> Breaker:
    breaker.ready(0.0)
    breaker.answered(0.0, failed=False)
    return breaker


def test_an_event_is_given_up_after_its_last_attempt_and_not_before() -> None:
    breaker = proven(Breaker())
    assert [breaker.gives_up(7, number, 2) for number in (1, 2, 3)] == [False, False, True]


def test_a_breaker_that_saw_every_attempt_needs_no_good_answer_to_give_up() -> None:
    breaker = Breaker()
    breaker.ready(0.0)
    assert [breaker.gives_up(7, number, 2) for number in (1, 2, 3)] == [False, False, True]
    assert breaker.gives_up(8, 1, 0), "no retry is no retry"


def test_an_event_of_before_is_spared_once_until_the_service_has_answered_well() -> None:
    breaker = Breaker()
    breaker.ready(0.0)
    assert [breaker.gives_up(7, number, 2) for number in (5, 6)] == [False, True]
    breaker.answered(0.0, failed=False)
    assert breaker.gives_up(8, 5, 2)


def test_nothing_is_given_up_while_it_is_open_and_the_doubt_begins_anew() -> None:
    breaker = proven(Breaker())
    breaker.not_ready("away")
    assert not breaker.gives_up(7, 9, 2)
    breaker.ready(1.0)
    assert not breaker.gives_up(8, 9, 2)
    assert breaker.gives_up(8, 10, 2)


def test_one_that_inherits_an_outage_gives_nothing_up_until_a_good_answer() -> None:
    """It knows no event of before, and neither does it need any: its predecessor has seen enough of them."""
    breaker = Breaker()
    breaker.inherit(0.0, "503")
    breaker.ready(0.5)
    assert state_of(breaker) is State.OPEN, "after a pause"
    breaker.ready(PAUSE_MIN)
    assert state_of(breaker) is State.HALF_OPEN
    assert not any(breaker.gives_up(7, number, 2) for number in (5, 6, 7))
    breaker.answered(PAUSE_MIN, failed=False)
    assert state_of(breaker) is State.CLOSED
    assert breaker.gives_up(7, 8, 2)


def test_an_outage_lasts_from_the_trouble_that_opened_it_to_a_good_answer() -> None:
    breaker = closed()
    assert not breaker.in_outage
    breaker.not_ready("away")
    assert not breaker.in_outage, "readiness says by itself when that is over"
    breaker = tripped()
    assert breaker.in_outage
    breaker.not_ready("away")
    breaker.ready(PAUSE_MIN)
    assert breaker.in_outage
    breaker.answered(PAUSE_MIN, failed=False)
    assert not breaker.in_outage


class Life(RuleBasedStateMachine):
    """Any life of a breaker."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now = 1000.0
        self.begun = False

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.5, 1.0, 5.0, 11.0, 1e6]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: not self.begun)
    @rule()
    def an_outage_is_inherited(self) -> None:
        self.breaker.inherit(self.now, "503")
        self.begun = True

    @rule()
    def probe_is_good(self) -> None:
        self.begun = True
        self.breaker.ready(self.now)

    @rule()
    def probe_fails(self) -> None:
        self.begun = True
        self.breaker.not_ready("no")
        assert self.breaker.state is State.OPEN

    @rule(times=st.integers(1, 30), failed=st.booleans())
    def service_answers(self, times: int, failed: bool) -> None:
        before = self.breaker.state
        for _ in range(times):
            self.breaker.answered(self.now, failed=failed)
        if not failed:
            assert self.breaker.state is (before if before is State.OPEN else State.CLOSED)

    @rule(times=st.integers(1, 30), event=st.integers(1, 5))
    def event_gets_into_trouble(self, times: int, event: int) -> None:
        for _ in range(times):
            self.breaker.troubled(self.now, event, "timeout")

    @precondition(lambda self: self.breaker.state is State.HALF_OPEN)
    @rule(event=st.integers(1, 5))
    def probing_event_gets_into_trouble(self, event: int) -> None:
        self.breaker.troubled(self.now, event, "timeout")
        assert self.breaker.state is State.OPEN

    @invariant()
    def limit_is_that_of_the_state(self) -> None:
        match self.breaker.state:
            case State.OPEN:
                assert self.breaker.limit == 0
            case State.HALF_OPEN:
                assert self.breaker.limit == 1
            case State.CLOSED:
                assert self.breaker.limit is None or 1 <= self.breaker.limit < SLOW_START_END

    @invariant()
    def reason_is_there_unless_it_is_closed(self) -> None:
        assert bool(self.breaker.reason) == (self.breaker.state is not State.CLOSED)

    @invariant()
    def memory_is_bounded(self) -> None:
        held = [getattr(self.breaker, each.name) for each in fields(Breaker)]
        assert all(
            len(each) <= max(WINDOW, IN_A_ROW, DISTINCT)
            for each in held
            if hasattr(each, "__len__") and not isinstance(each, str)
        )

    @invariant()
    def it_recovers_with_its_service(self) -> None:
        breaker, now = deepcopy(self.breaker), self.now + PAUSE_MAX
        breaker.ready(now)
        assert breaker.state is not State.OPEN
        play(breaker, [GOOD] * (SLOW_START_END + 1), now)
        assert (breaker.state, breaker.limit) == (State.CLOSED, None)


Life.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase
