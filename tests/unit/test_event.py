"""The event as a value: what CloudEvents 1.0 asks of its attributes, and the defaults that follow from them."""

import pytest
from hypothesis import given

from choregos_contract.event import Event, NotAnEvent, checked, is_json
from support.events import events

REQUIRED = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "OrderPlaced"}


@given(events())
def test_every_event_of_the_type_system_is_accepted_as_it_is(event: Event) -> None:
    assert checked(event.attributes, event.data) == event


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": ""}, "'id' is missing or empty"),
        ({"source": None}, "'source' is missing or empty"),
        ({"type": None}, "'type' is missing or empty"),
        ({"specversion": None}, "specversion is missing"),
        ({"specversion": "0.3"}, "specversion is '0.3'"),
        ({"specversion": "9" * 9999}, r"specversion is '9{40}'"),
        ({"datacontenttype": "application/cloudevents+json"}, "taken for the event itself"),
        ({"datacontenttype": " Application/CloudEvents-batch+json"}, "taken for the event itself"),
        ({"Upper": "x"}, "lower-case letters and digits"),
        ({"with_underscore": "x"}, "lower-case letters and digits"),
        ({"": "x"}, "lower-case letters and digits"),
        ({"ümlaut": "x"}, "lower-case letters and digits"),
        ({"data": "x"}, "no attribute may be named 'data'"),
        ({"x": "a\nb"}, "'x' holds a control character"),
        ({"x": "\x85"}, "'x' holds a control character"),
        ({"x": "\udcff"}, "a surrogate"),
        ({"x": "\ufdd0"}, "noncharacter"),
        ({"x": "\U0010ffff"}, "noncharacter"),
        ({"subject": "a\r\nNats-Msg-Id: 1"}, "control character"),
        ({"time": ""}, "not an RFC 3339 timestamp"),
        ({"time": "2026-01-02"}, "not an RFC 3339 timestamp"),
        ({"time": "2026-01-02T03:04:05"}, "not an RFC 3339 timestamp"),
        ({"time": "2026-01-02 03:04:05Z"}, "not an RFC 3339 timestamp"),
        ({"time": "2026-02-30T03:04:05Z"}, "not an RFC 3339 timestamp"),
        ({"time": "٢٠٢٦-01-02T03:04:05Z"}, "not an RFC 3339 timestamp"),
        ({"time": "2026-01-02T24:04:05Z"}, "not an RFC 3339 timestamp"),
        ({"time": "2026-01-02T03:04:05Z\n"}, "control character"),
    ],
)
def test_what_breaks_a_rule_is_no_event_and_says_which(change: dict[str, str | None], reason: str) -> None:
    attributes = {name: value for name, value in {**REQUIRED, **change}.items() if value is not None}
    with pytest.raises(NotAnEvent, match=reason):
        checked(attributes, b"")


def test_an_event_without_correlation_begins_its_own_transaction() -> None:
    assert Event(REQUIRED).correlation_id == "1"
    assert Event({**REQUIRED, "correlationid": "7"}).correlation_id == "7"
    assert Event({**REQUIRED, "correlationid": ""}).correlation_id == "1"


@pytest.mark.parametrize(
    ("text", "hops"), [(None, 0), ("", 0), ("3", 3), ("64", 64), ("-1", 0), ("x", 0), ("9" * 5000, 0), ("²", 0)]
)
def test_hops_are_a_count_whatever_a_producer_wrote(text: str | None, hops: int) -> None:
    assert Event(REQUIRED if text is None else {**REQUIRED, "choregoshops": text}).hops == hops


@pytest.mark.parametrize(
    ("content_type", "json"),
    [
        ("application/json", True),
        ("text/json", True),
        ("Application/JSON ; charset=utf-8", True),
        ("application/vnd.order+json", True),
        ("application/jsonlines", False),
        ("text/plain; format=application/json", False),
        ("json", False),
        ("", False),
        (None, False),
    ],
)
def test_a_media_type_says_whether_data_is_json(content_type: str | None, json: bool) -> None:
    assert is_json(content_type) is json
