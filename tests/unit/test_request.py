"""The request to the service: a CloudEvent in binary mode (HTTP binding), which the CloudEvents SDK reads back."""

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from hypothesis import given
from hypothesis import strategies as st

from choregos_ambassador import request
from choregos_contract.cloudevents_http import decode
from choregos_contract.event import Event, checked
from choregos_contract.ids import event_record
from support.events import events
from support.roles import role

EVENT = checked(
    {
        "specversion": "1.0",
        "id": "1",
        "source": "/shipping/ingestion",
        "type": "DeliveryRequested",
        "datacontenttype": "application/json",
        "correlationid": "grün 7",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": 'a=1, b="%20"',
    },
    b'{"weight": 1.0}',
)


def written(event: Event, *, host: str = "127.0.0.1", attempt: int = 1) -> tuple[str, list[tuple[str, str]]]:
    """The request line, and the headers; no line but these."""
    head = request.head(request.opening(role(), host), event, attempt).decode()
    assert head.endswith("\r\n\r\n")
    first, *lines = head[:-4].split("\r\n")
    return first, [(name, value) for name, _, value in (line.partition(": ") for line in lines)]


def test_the_head_says_what_the_service_needs_to_know() -> None:
    line, headers = written(EVENT, attempt=3)
    assert line == "POST /packages HTTP/1.1"
    assert headers == [
        ("host", "127.0.0.1:8080"),
        ("user-agent", "choregos-ambassador"),
        ("prefer", "reply"),
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/shipping/ingestion"),
        ("ce-type", "DeliveryRequested"),
        ("content-type", "application/json"),
        ("ce-correlationid", "gr%C3%BCn%207"),
        ("ce-traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("ce-tracestate", "a=1,%20b=%22%2520%22"),
        ("x-correlation-id", "gr%C3%BCn%207"),
        ("idempotency-key", event_record("/shipping/ingestion", "1")),
        ("choregos-attempt", "3"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", 'a=1, b="%20"'),
        ("content-length", "15"),
    ]


@given(events())
def test_what_is_written_is_the_event_and_no_value_writes_a_header_of_its_own(event: Event) -> None:
    _, headers = written(event)
    assert decode(headers, event.data) == [event]
    assert [name for name, _ in headers].count("content-length") == 1
    assert dict(headers)["content-length"] == str(len(event.data))
    fixed = {"host", "user-agent", "prefer", "content-type", "content-length", "x-correlation-id", "idempotency-key"}
    fixed |= {"choregos-attempt", "traceparent", "tracestate"}
    assert {name for name, _ in headers} <= fixed | {f"ce-{name}" for name in event.attributes}


@given(st.lists(events(), min_size=2, max_size=2))
def test_a_form_that_is_remembered_keeps_nothing_of_the_event_before(both: list[Event]) -> None:
    request._forms.clear()
    first = written(both[0])
    written(both[1])
    assert written(both[0]) == first


def test_however_many_forms_come_few_are_remembered_and_no_long_one() -> None:
    written(checked({**EVENT.attributes, "x" * request.FORM_LENGTH: "1"}, b""))
    for index in range(2 * request.FORMS):
        written(checked({**EVENT.attributes, f"x{index}": "1"}, b""))
        assert len(request._forms) <= request.FORMS
    assert max(map(len, request._forms.values())) <= request.FORM_LENGTH


def test_the_cloudevents_sdk_reads_the_same_event() -> None:
    _, headers = written(EVENT)
    read = from_http_event(HTTPMessage(dict(headers), EVENT.data))
    assert (read.get_id(), read.get_source(), read.get_type()) == ("1", "/shipping/ingestion", "DeliveryRequested")
    assert read.get_extension("correlationid") == "grün 7"
    assert read.get_data() == {"weight": 1.0}


def test_the_idempotency_key_names_the_event_and_not_the_attempt() -> None:
    keys = [dict(written(EVENT, attempt=attempt)[1])["idempotency-key"] for attempt in (1, 2)]
    other = checked({**EVENT.attributes, "source": "/other"}, b"")
    assert keys[0] == keys[1] != dict(written(other)[1])["idempotency-key"]


def test_an_event_without_correlation_is_announced_under_its_own_id() -> None:
    event = checked({"specversion": "1.0", "id": "7", "source": "/s", "type": "T"}, b"")
    assert dict(written(event)[1])["x-correlation-id"] == "7"


@pytest.mark.parametrize("name", ["traceparent", "tracestate"])
@given(value=st.text(min_size=1).filter(lambda text: not text.isascii()))
def test_a_trace_that_no_header_can_hold_is_left_out(name: str, value: str) -> None:
    attributes = {key: each for key, each in EVENT.attributes.items() if key != name}
    _, headers = written(Event({**attributes, name: value.replace("\r", "").replace("\n", "")}))
    assert name not in dict(headers)


@pytest.mark.parametrize(("host", "authority"), [("service", "service:8080"), ("::1", "[::1]:8080")])
def test_the_host_is_written_as_an_authority(host: str, authority: str) -> None:
    assert dict(written(EVENT, host=host)[1])["host"] == authority
