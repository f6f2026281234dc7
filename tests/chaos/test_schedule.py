"""A seed names one round: moments, kinds and targets."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from chaos.schedule import Card, plan

TOLD = [(2.0, "cut", "a-1"), (7.725, "outage", "a-2"), (9.634, "kill", "b-1")]
CARDS = {
    "kill": Card(5, ("a-1", "a-2", "b-1")),
    "cut": Card(1, ("a-1", "b-1")),
    "stop": Card(38, ("b-1",)),
    "outage": Card(9, ("a-1", "a-2"), everywhere=True),
}


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert plan(7, 60, 2, CARDS) == plan(7, 60, 2, CARDS)
    assert plan(7, 60, 2, CARDS) != plan(8, 60, 2, CARDS)


def test_a_schedule_is_what_it_was_when_its_seed_was_written_down() -> None:
    told = [(strike.moment, strike.kind, strike.target) for strike in plan(1, 20, 4, CARDS)]
    assert told == TOLD


@given(st.integers(0, 2**32), st.integers(10, 90), st.floats(0.5, 10))
def test_every_strike_is_over_when_the_load_is(seed: int, duration: int, every: float) -> None:
    for strike in plan(seed, duration, every, CARDS):
        assert strike.moment + CARDS[strike.kind].lasts <= duration
        assert strike.target in CARDS[strike.kind].targets


@given(st.integers(0, 2**32))
def test_what_lasts_long_comes_while_there_is_time_for_it(seed: int) -> None:
    assert plan(seed, 60, 2, CARDS)[0].kind == "stop"


@given(st.integers(0, 2**32), st.floats(0.5, 5))
def test_no_target_is_hit_twice_at_a_time(seed: int, every: float) -> None:
    until: dict[str, float] = {}
    for strike in plan(seed, 60, every, CARDS):
        card = CARDS[strike.kind]
        for target in ("a-1", "a-2") if card.everywhere else (strike.target,):
            assert until.get(target, 0.0) <= strike.moment
            until[target] = strike.moment + card.lasts


@given(st.integers(0, 2**32))
def test_every_kind_has_its_turn(seed: int) -> None:
    kinds = Counter(strike.kind for strike in plan(seed, 600, 10, CARDS))
    assert set(kinds) == set(CARDS)
    assert kinds["kill"] >= 5


def test_the_chance_of_a_strike_draws_its_target_first() -> None:
    for strike in plan(3, 300, 2, CARDS):
        assert strike.chance().choice(CARDS[strike.kind].targets) == strike.target
