"""The verdict: every status and every trouble falls into its row, and what the service says has the last word."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_ambassador.answer import Answer, NoAnswer, Trouble
from choregos_ambassador.verdict import Action, Verdict, judge
from choregos_contract.configuration import Delivery

DEFAULT = Delivery()
REJECTED = {410, 413, 415, 422, 501}
AILING = {429, 503}
"""Statuses that say that the service has too much to do, whatever the event."""


@pytest.mark.parametrize("status", range(100, 600))
def test_every_status_falls_into_its_row(status: int) -> None:
    verdict = judge(Answer(status), DEFAULT)
    if 200 <= status < 300:
        assert verdict == Verdict(Action.DONE, status=status)
    elif status in REJECTED:
        assert verdict == Verdict(Action.REJECT, status=status, error=f"HTTP {status}")
    else:
        assert verdict == Verdict(Action.RETRY, breaker=status in AILING, status=status, error=f"HTTP {status}")


@pytest.mark.parametrize("status", [0, 99, 600, 999])
def test_a_status_that_http_does_not_know_is_tried_again(status: int) -> None:
    assert judge(Answer(status), DEFAULT).action is Action.RETRY


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_but_tried_again(status: int) -> None:
    assert judge(Answer(status, (("location", "http://elsewhere/"),)), DEFAULT).action is Action.RETRY


@pytest.mark.parametrize(
    ("trouble", "action"),
    [
        (Trouble.TIMEOUT, Action.RETRY),
        (Trouble.CUT, Action.RETRY),
        (Trouble.MALFORMED, Action.RETRY),
        (Trouble.UNREACHABLE, Action.HAND_BACK),
    ],
)
def test_every_trouble_counts_towards_the_breaker_and_only_unreachable_is_no_attempt(
    trouble: Trouble, action: Action
) -> None:
    assert judge(NoAnswer(trouble, "why"), DEFAULT) == Verdict(action, breaker=True, error=f"{trouble}: why")
    assert judge(NoAnswer(trouble), DEFAULT).error == str(trouble)
    assert set(Trouble) == {Trouble.TIMEOUT, Trouble.CUT, Trouble.MALFORMED, Trouble.UNREACHABLE}


@pytest.mark.parametrize("status", [200, 204, 302, 400, 404, 409, 429, 500, 503])
def test_reject_moves_a_status_to_the_rejected(status: int) -> None:
    verdict = judge(Answer(status), Delivery(reject=(status,)))
    assert (verdict.action, verdict.breaker) == (Action.REJECT, False)
    assert judge(Answer(418), Delivery(reject=(status,))).action is Action.RETRY


@pytest.mark.parametrize("status", [200, *sorted(REJECTED)])
def test_retry_on_moves_a_status_to_the_retried(status: int) -> None:
    assert judge(Answer(status), Delivery(retry_on=(status,))).action is Action.RETRY
    assert judge(Answer(status), Delivery(retry_on=(418,))) == judge(Answer(status), DEFAULT)


@pytest.mark.parametrize("form", ["{}", "  {} ", "\t{}"])
@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
@pytest.mark.parametrize("action", [Action.DONE, Action.RETRY, Action.REJECT])
@pytest.mark.parametrize("status", [200, 302, 400, 410, 429, 500, 503])
def test_the_services_word_is_the_last(form: str, case: Callable[[str], str], action: Action, status: int) -> None:
    word = {Action.DONE: "ack", Action.RETRY: "retry", Action.REJECT: "reject"}[action]
    answer = Answer(status, (("choregos-verdict", form.format(case(word))),))
    verdict = judge(answer, Delivery(reject=(400,), retry_on=(410,)))
    assert (verdict.action, verdict.status) == (action, status)
    assert verdict.breaker == (status in AILING and action is Action.RETRY)


@pytest.mark.parametrize("word", ["", "nack", "ack, retry", "acknowledged", "ack;", "\x00ack", "true"])
@pytest.mark.parametrize("status", [200, 410, 500, 503])
def test_an_unknown_word_is_ignored(word: str, status: int) -> None:
    assert judge(Answer(status, (("choregos-verdict", word),)), DEFAULT) == judge(Answer(status), DEFAULT)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("0000000000007", 7),
        ("99999999999", 99_999_999_999),
        ("-5", 0),
        ("1.5", 0),
        ("", 0),
        ("soon", 0),
        ("²", 0),
        ("٣", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", 0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999999", 0),
    ],
)
def test_retry_after_is_read_in_seconds_and_nonsense_and_the_past_are_none(value: str, seconds: float) -> None:
    assert judge(Answer(503, (("retry-after", value),)), DEFAULT).retry_after == seconds


@pytest.mark.parametrize("form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"])
def test_retry_after_is_read_as_a_date_in_every_form_of_http(form: str) -> None:
    value = (datetime.now(UTC) + timedelta(seconds=100)).strftime(form)
    assert 90 < judge(Answer(503, (("retry-after", value),)), DEFAULT).retry_after <= 100


def test_retry_after_in_another_time_zone_names_the_same_moment() -> None:
    moment = (datetime.now(UTC) + timedelta(seconds=100)).astimezone()
    assert 90 < judge(Answer(429, (("retry-after", format_datetime(moment)),)), DEFAULT).retry_after <= 100


@given(
    st.text() | st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ ([+-]\d+|GMT)", fullmatch=True) | st.just("9" * 5000)
)
def test_no_retry_after_is_a_bug(value: str) -> None:
    assert judge(Answer(503, (("retry-after", value),)), DEFAULT).retry_after >= 0


def test_retry_after_says_nothing_beside_a_done() -> None:
    assert judge(Answer(200, (("retry-after", "9"),)), DEFAULT).retry_after == 0


def test_the_verdict_quotes_the_start_of_the_body_in_one_line_apart_from_the_error() -> None:
    verdict = judge(Answer(422, body=b'{\n  "error": "no\tweight"\n}'), DEFAULT)
    assert (verdict.error, verdict.said) == ("HTTP 422", '{ "error": "no weight" }')
    assert len(judge(Answer(500, body=b"x" * 10_000), DEFAULT).said) == 280
    assert judge(Answer(500, body=b"\xff\xfe"), DEFAULT).said == "\ufffd\ufffd"
