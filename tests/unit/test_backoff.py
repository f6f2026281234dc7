"""Waiting between attempts: doubled, spread out, and never beyond what was set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_ambassador import backoff
from choregos_contract.configuration import Delivery

deliveries = st.builds(
    Delivery, backoff_delay=st.floats(0.001, 1e6, exclude_min=True), backoff_max=st.floats(0.001, 1e6)
)


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 2), (2, 4), (3, 8), (4, 16), (5, 32), (6, 60), (7, 60), (1_000_000, 60)]
)
def test_the_longest_wait_doubles_up_to_the_maximum(attempt: int, longest: float) -> None:
    assert backoff.ceiling(Delivery(), attempt) == longest


def test_five_retries_take_up_to_a_minute_by_default() -> None:
    assert sum(backoff.ceiling(Delivery(), attempt) for attempt in range(1, 6)) == 62


@given(deliveries, st.integers(1, 10_000), st.floats(0, allow_infinity=True, allow_nan=False))
def test_a_wait_is_at_least_what_the_service_asked_for_and_at_most_the_maximum(
    delivery: Delivery, attempt: int, retry_after: float
) -> None:
    delay = backoff.delay(delivery, attempt, retry_after)
    assert min(retry_after, delivery.backoff_max) <= delay <= delivery.backoff_max
    assert delay <= max(retry_after, backoff.ceiling(delivery, attempt))


def test_waits_are_spread_over_the_whole_of_their_range() -> None:
    delays = [backoff.delay(Delivery(), 5) for _ in range(2000)]
    assert min(delays) < 2
    assert max(delays) > 30
    assert 14 < sum(delays) / len(delays) < 18


@given(deliveries)
def test_an_event_that_was_not_attempted_comes_back_soon_but_not_at_once(delivery: Delivery) -> None:
    longest = min(delivery.backoff_delay, delivery.backoff_max)
    assert 0 < longest / 2 <= backoff.hand_back_delay(delivery) <= longest
