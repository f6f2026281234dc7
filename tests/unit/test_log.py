"""The log: a line of JSON for each thing that is said, whatever it is said of."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from choregos_ambassador import log as logging
from choregos_ambassador.log import LEVELS, log

Said = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "always", {})
    monkeypatch.setattr(log, "least", log.least)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Return the lines since the last call."""
    return lambda: [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_has_its_fields_then_level_time_and_message(said: Said) -> None:
    logging.name_service("package")
    log.info("hop", event_type="Placed", attempts=2)
    (line,) = said()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("time"))
    expected = {"service": "package", "event_type": "Placed", "attempts": 2, "level": "info", "message": "hop"}
    assert list(line.items()) == list(expected.items())


@pytest.mark.parametrize("least", LEVELS)
def test_what_is_below_the_level_is_not_written(least: str, said: Said) -> None:
    logging.configure(least)
    for level in LEVELS:
        getattr(log, level)("told")
    assert [line["level"] for line in said()] == list(LEVELS[LEVELS.index(least) :])


def test_a_field_without_a_value_is_left_out(said: Said) -> None:
    log.info("breaker", state="closed", reason=None, limit=0)
    (line,) = said()
    assert "reason" not in line
    assert line["limit"] == 0


def test_an_exception_comes_with_its_traceback(said: Said) -> None:
    try:
        raise ValueError("what is wrong\nin two lines")
    except ValueError as error:
        log.error("bug", error=repr(error), exc_info=error)
    (line,) = said()
    assert "exc_info" not in line
    assert line["exception"].startswith("Traceback (most recent call last):")
    assert line["exception"].endswith("ValueError: what is wrong\nin two lines")


def test_a_value_that_is_no_json_is_written_as_python_shows_it(said: Said) -> None:
    log.warning("nats", error=OSError(13, "denied"))
    assert said()[0]["error"] == "PermissionError(13, 'denied')"
