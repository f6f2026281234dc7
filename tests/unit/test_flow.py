"""What a run shows: one line of JSON each, `ready` first; or lines for people, in which what went wrong stands out."""

import json
from io import StringIO

import pytest
from rich.console import Console

from choregos_cli import ambassador_log
from choregos_cli.flow import JsonLines, Lines
from choregos_cli.happenings import (
    Address,
    DeadLettered,
    EventStored,
    Happening,
    HopEnded,
    Notice,
    Output,
    Ready,
    ServiceExited,
    ServiceStarted,
    as_json,
)
from choregos_cli.transactions import Roles

ADDRESS = Address(url="http://h:1", publish_url="http://h:2", probes_url="http://h:3")
READY = Ready(time=1.0, nats="nats://h:4", services={"package": (ADDRESS,)})
STARTED = ServiceStarted(time=0.5, service="package", replica=0, pid=7, url="http://h:1")
PUBLISHED = EventStored(
    time=2.0,
    stream="events",
    sequence=1,
    id="e1",
    source="/test/ingestion",
    type="Requested",
    correlation_id="0123456789abcdef",
    causation_id=None,
    hops=0,
    data=b"secret",
)
LINE = {
    "time": "2026-01-02T03:04:05.678Z",
    "level": "warning",
    "message": "hop",
    "service": "package",
    "verdict": "retry",
    "event_id": "e1",
    "event_type": "Requested",
    "correlation_id": "0123456789abcdef",
    "sequence": 1,
    "attempt": 2,
    "status": 503,
    "duration_ms": 12.34,
    "error": "HTTP 503 \x1b[31mbusy",
    "delay_s": 1.5,
}
ROLES = Roles({"Done": "completed"}, {"Requested": frozenset({"package"})})


def hop(**changes: object) -> HopEnded:
    line = ambassador_log.parse(json.dumps(LINE | changes))
    assert line
    happening = ambassador_log.happening(line, "package", 0)
    assert isinstance(happening, HopEnded)
    return happening


def shown(*happenings: Happening, outputs: bool = True) -> str:
    text = StringIO()
    lines = Lines(Console(file=text, width=200, highlight=False, markup=False), lambda: ROLES, outputs=outputs)
    for happening in happenings:
        lines(happening)
    return text.getvalue()


def test_ready_is_the_first_line_whatever_came_before(capsys: pytest.CaptureFixture[str]) -> None:
    lines = JsonLines()
    lines(STARTED)
    assert capsys.readouterr().out == ""
    lines(READY)
    lines(PUBLISHED)
    ready, started, published = map(json.loads, capsys.readouterr().out.splitlines())
    assert ready == {
        "event": "ready",
        "nats": "nats://h:4",
        "services": {"package": [{"url": "http://h:1", "publishUrl": "http://h:2", "probesUrl": "http://h:3"}]},
    }
    assert started["event"] == "service-started"
    assert published["correlationId"] == "0123456789abcdef"


def test_json_holds_no_data_of_events() -> None:
    assert "secret" not in json.dumps(as_json(PUBLISHED))
    assert as_json(PUBLISHED)["time"] == "1970-01-01T00:00:02.000Z"


def test_a_line_of_the_ambassador_is_read_back() -> None:
    happening = hop(replies=["A", "B"])
    assert happening.time == pytest.approx(1767323045.678)
    assert (happening.verdict, happening.status, happening.delay_s) == ("retry", 503, 1.5)
    assert happening.replies == ("A", "B")


@pytest.mark.parametrize("text", ["Traceback (most recent call last):", "", "3", "[]", "{}", '{"message": "hop"}'])
def test_what_is_no_line_of_the_log_is_none(text: str) -> None:
    assert ambassador_log.parse(text) is None


@pytest.mark.parametrize(
    ("message", "level", "told"),
    [
        ("connected", "info", False),
        ("configured", "info", False),
        ("breaker", "info", True),
        ("disconnected", "warning", True),
        ("durable gone", "error", True),
    ],
)
def test_only_what_is_worth_it_becomes_a_notice(message: str, level: str, told: bool) -> None:
    line = ambassador_log.parse(json.dumps({"message": message, "level": level, "service": "package", "status": 409}))
    assert line
    notice = ambassador_log.happening(line, "package", 0)
    assert isinstance(notice, Notice) is told
    if isinstance(notice, Notice):
        assert notice.details == {"status": 409}


def test_a_hop_is_a_line_and_steers_no_terminal() -> None:
    text = shown(hop())
    assert "89abcdef  Requested -> package  retry 503  attempt 2  12 ms  again in 1.5 s" in text
    assert "\x1b[31m" not in text


def test_a_settled_transaction_has_a_line_of_its_own() -> None:
    letter = DeadLettered(
        time=5.0,
        stream="dead",
        sequence=1,
        service="package",
        event_id="e1",
        event_type="Requested",
        correlation_id="0123456789abcdef",
        reason="rejected",
        attempts=1,
        last_error="HTTP 422",
    )
    text = shown(PUBLISHED, letter)
    assert "Requested published" in text
    assert "dead letter rejected: HTTP 422" in text
    assert "transaction dead lettered after 3.00 s" in text


def test_a_crash_shows_the_last_words_and_the_start_after_it() -> None:
    exited = ServiceExited(
        time=3.0, service="package", replica=0, code=1, output=("no\x1b[2Jdatabase",), restart_in_s=0.5
    )
    text = shown(STARTED, exited, STARTED)
    assert "package ended with exit code 1; again in 0.5 s\n    no\\x1b[2Jdatabase" in text
    # The first start is no news, the second is.
    assert text.count("package started") == 1


def test_outputs_can_be_left_out() -> None:
    output = Output(time=3.0, service="package", replica=1, line="hello")
    assert "package[1] | hello" in shown(output)
    assert shown(output, outputs=False) == ""
