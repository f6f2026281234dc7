"""The server's clock is known from the server's own word, whatever the machine's wall clock says."""

import math
from datetime import UTC, datetime

import pytest

from choregos_ambassador import server_clock
from choregos_ambassador.server_clock import TRUSTED, ServerClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(server_clock, "steady", lambda: now[0])
    return now


@pytest.fixture(autouse=True)
def _wrong_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)


def test_it_is_unknown_until_the_server_has_said_something() -> None:
    assert ServerClock().latest() == math.inf


def test_it_goes_on_from_the_moment_at_which_the_server_was_asked(steady: list[float]) -> None:
    """So it is never behind the server: an event is never taken for younger than it is."""
    clock = ServerClock()
    asked = steady[0]
    steady[0] += 3
    clock.told(NOON, asked)
    assert clock.latest() == NOON.timestamp() + 3
    steady[0] += 7
    assert clock.latest() == NOON.timestamp() + 10


def test_a_word_that_is_old_or_of_a_lost_connection_holds_no_longer(steady: list[float]) -> None:
    clock = ServerClock()
    clock.told(NOON, steady[0])
    steady[0] += TRUSTED + 1
    assert clock.latest() == math.inf
    clock.told(NOON, steady[0])
    assert clock.latest() == NOON.timestamp()
    clock.forget()
    assert clock.latest() == math.inf
