"""How far a reaction asks ahead of its slots: as many events as end during one pull, and not one that another could have."""

from hypothesis import given
from hypothesis import strategies as st

from choregos_ambassador.lookahead import PROMPT, Lookahead

counts = st.integers(0, 10_000)
MOST = 16


def after_a_pull(*, took: float, ended: int, known: int = 0) -> int:
    """What is asked for ahead after a pull that took so long, in which so many events came to their end."""
    ahead = Lookahead()
    ahead._last = MOST
    if known:
        ahead.pulled(0, 0, 0.0)
        ahead.arrived(1, known, 0.0, MOST)
    ahead.pulled(100, 1000, 10.0)
    ahead.arrived(101, 1000 + ended, 10.0 + took, MOST)
    return ahead.events


def test_nothing_is_asked_for_ahead_before_a_pull_was_measured() -> None:
    ahead = Lookahead()
    ahead._last = MOST
    ahead.arrived(1, 5, 0.0, MOST)
    assert ahead.events == 0
    ahead.pulled(3, 0, 1.0)
    assert ahead.events == 0


@given(st.floats(0, PROMPT * 0.99), st.integers(0, 100))
def test_it_is_as_many_as_ended_during_the_pull_and_no_more_than_the_most(took: float, ended: int) -> None:
    assert after_a_pull(took=took, ended=ended) == min(ended, MOST)


@given(st.floats(PROMPT * 1.01, 1e6), st.integers(0, 100), st.integers(1, MOST))
def test_where_a_pull_waits_for_events_there_are_none_to_be_had_ahead(took: float, ended: int, known: int) -> None:
    assert after_a_pull(took=took, ended=ended, known=known) == 0


@given(st.integers(1, MOST))
def test_a_service_that_has_become_slow_has_nothing_waiting_after_one_more_pull(known: int) -> None:
    assert after_a_pull(took=PROMPT / 2, ended=0, known=known) == 0


def test_what_arrives_for_an_earlier_pull_does_not_end_the_measuring() -> None:
    ahead = Lookahead()
    ahead._last = MOST
    ahead.pulled(10, 0, 0.0)
    for answered in range(1, 11):
        ahead.arrived(answered, answered, 0.001, MOST)
    assert ahead.events == 0
    ahead.arrived(11, 12, 0.002, MOST)
    assert ahead.events == 12


def test_a_pull_that_is_sent_while_one_is_measured_is_not_measured_itself() -> None:
    ahead = Lookahead()
    ahead._last = MOST
    ahead.pulled(10, 0, 0.0)
    ahead.pulled(14, 3, 0.01)
    ahead.arrived(11, 5, 0.02, MOST)
    assert ahead.events == 5
    ahead.arrived(15, 9, 0.02, MOST)
    assert ahead.events == 5


@given(st.lists(st.tuples(st.booleans(), counts, counts, st.floats(0, 0.2), st.integers(1, 64)), max_size=30))
def test_it_never_exceeds_what_was_allowed_and_is_never_negative(
    plan: list[tuple[bool, int, int, float, int]],
) -> None:
    ahead, asked, ended, now, allowed = Lookahead(), 0, 0, 0.0, {0}
    for is_pull, places, ends, pause, most in plan:
        asked, ended, now = asked + places, ended + ends, now + pause
        if is_pull:
            ahead.pulled(asked, ended, now)
        else:
            before = ahead.events
            ahead.arrived(asked, ended, now, most)
            assert 0 <= ahead.events <= max(before, most)
            allowed.add(ahead.events)
        assert ahead.events in allowed, "it changes as an event arrives, and at no other time"
