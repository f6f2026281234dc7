"""Admission to the publish API: which events a request holds, the transaction they belong to, and what is refused."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_ambassador import admission
from choregos_ambassador.admission import Refusal
from choregos_contract.event import Event
from choregos_contract.ids import derive, keyed_event_id
from support.roles import configuration

Headers = list[tuple[str, str]]

JSON = [("Content-Type", "application/json")]
MEMBERS = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "OrderPlaced"}
BINARY = [(f"Ce-{name}", value) for name, value in MEMBERS.items()]
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
OTHER_TRACEPARENT = "00-11111111111111111111111111111111-2222222222222222-00"
UUID7 = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
DERIVED = derive("correlation", "/shop", "1")


def structured(**members: Any) -> tuple[Headers, bytes]:
    return [("content-type", "application/cloudevents+json")], json.dumps({**MEMBERS, **members}).encode()


def batched(*elements: dict[str, Any]) -> tuple[Headers, bytes]:
    body = json.dumps([{**MEMBERS, **each} for each in elements]).encode()
    return [("content-type", "Application/CloudEvents-Batch+JSON; charset=utf-8")], body


def one(headers: Headers, body: bytes = b"{}") -> Event:
    (event,), batch = admission.events(headers, body)
    assert not batch
    return event


def plain(headers: Headers | None = None, body: bytes = b"{}", event_type: str = "OrderPlaced") -> Event:
    return admission.event(event_type, JSON if headers is None else headers, body, configuration())


def without_time(event: Event) -> dict[str, str]:
    return {name: value for name, value in event.attributes.items() if name != "time"}


# -- CloudEvents


def test_a_cloudevent_in_binary_mode_is_taken_with_what_it_says() -> None:
    event = one([*BINARY, *JSON, ("Ce-Subject", "gr%C3%BCn"), ("Ce-Time", "2026-01-02T03:04:05Z")], b' {"a": 1.00}')
    assert event.data == b' {"a": 1.00}'
    assert event.attributes == {
        **MEMBERS,
        "datacontenttype": "application/json",
        "subject": "grün",
        "time": "2026-01-02T03:04:05Z",
        "correlationid": DERIVED,
        "choregoshops": "0",
    }


def test_a_cloudevent_in_structured_mode_is_the_same_event() -> None:
    headers, body = structured(subject="grün", time="2026-01-02T03:04:05Z", data={"a": 1.00})
    event = one(headers, body)
    assert event.data == b'{"a": 1.0}'
    assert without_time(event) == {
        **MEMBERS,
        "datacontenttype": "application/json",
        "subject": "grün",
        "correlationid": DERIVED,
        "choregoshops": "0",
    }


def test_a_batch_is_as_many_events_and_is_known_as_a_batch() -> None:
    several: list[dict[str, Any]] = [{}, {"id": "2", "correlationid": "c"}]
    for elements in (several[:1], several):
        events, batch = admission.events(*batched(*elements))
        assert batch
        assert [event.id for event in events] == ["1", "2"][: len(elements)]
        assert [event.correlation_id for event in events] == [DERIVED, "c"][: len(elements)]


@pytest.mark.parametrize(
    "content_type", ["application/x-batch+json", "application/json; kind=batch", "application/batch"]
)
def test_only_a_batch_is_one(content_type: str) -> None:
    assert one([*BINARY, ("content-type", content_type)]).attributes["datacontenttype"] == content_type


@given(st.binary())
def test_data_is_taken_byte_for_byte(data: bytes) -> None:
    assert one(BINARY, data).data == data


def test_an_event_without_a_time_gets_one() -> None:
    assert re.fullmatch(TIME, one(BINARY).attributes["time"])


@pytest.mark.parametrize(("written", "hops"), [("3", "3"), ("-1", "0"), ("x", "0"), ("9" * 50, "0")])
def test_hops_are_a_number_or_none_were_made(written: str, hops: str) -> None:
    assert one([*BINARY, ("ce-choregoshops", written)]).attributes["choregoshops"] == hops


# -- plain JSON


def test_plain_json_becomes_an_event_of_the_service() -> None:
    event = plain(body=b' {"a": 1.00}')
    attributes = dict(event.attributes)
    assert event.data == b' {"a": 1.00}'
    assert re.fullmatch(UUID7, attributes.pop("id"))
    assert re.fullmatch(UUID7, attributes.pop("correlationid"))
    assert re.fullmatch(TIME, attributes.pop("time"))
    assert attributes == {
        "specversion": "1.0",
        "source": "/shipping/package",
        "type": "OrderPlaced",
        "datacontenttype": "application/json",
        "choregoshops": "0",
    }


def test_no_two_plain_events_are_the_same() -> None:
    first, second = plain(), plain()
    assert first.id != second.id
    assert first.correlation_id != second.correlation_id


@pytest.mark.parametrize("body", [b"", b"null", b"[1]", b'"text"', b'{"a": 1, "a": 2}'])
@pytest.mark.parametrize("headers", [[], JSON, [("content-type", "application/vnd.order+json; v=1")]])
def test_any_json_will_do(headers: Headers, body: bytes) -> None:
    event = plain(headers, body)
    assert event.data == body
    assert event.attributes["datacontenttype"] == dict(headers or JSON).popitem()[1]


def test_an_idempotency_key_makes_the_same_request_the_same_event_in_the_same_transaction() -> None:
    first, second = (plain([*JSON, ("Idempotency-Key", "order 7")]) for _ in range(2))
    assert without_time(first) == without_time(second)
    assert first.id == keyed_event_id("package", "OrderPlaced", "order 7")


def test_another_key_or_type_is_another_event() -> None:
    headers = [*JSON, ("idempotency-key", "7")]
    several = [plain(headers), plain(headers, event_type="OrderChanged"), plain([*JSON, ("idempotency-key", "8")])]
    assert len({event.id for event in several}) == len({event.correlation_id for event in several}) == 3


def test_an_empty_key_is_none() -> None:
    """Otherwise the second event of all that were sent with it would be taken for a copy of the first."""
    headers = [*JSON, ("Idempotency-Key", "")]
    assert plain(headers).id != plain(headers).id


# -- the transaction

CORRELATION = [
    (("ce-correlationid", "from%20the%20event"), "from the event"),
    (("X-Correlation-ID", "from%20the%20header"), "from the header"),
    (("traceparent", TRACEPARENT), TRACE_ID),
]


@pytest.mark.parametrize("first", range(len(CORRELATION)))
@pytest.mark.parametrize("mode", ["binary", "structured", "plain"])
def test_correlation_comes_from_the_event_then_the_header_then_the_trace(mode: str, first: int) -> None:
    headers = [header for header, _ in reversed(CORRELATION[first:])]
    if mode == "binary":
        event = one([*BINARY, *headers])
    elif mode == "plain":
        event = plain([*JSON, *headers])
    else:
        within, body = structured(**({"correlationid": "from the event"} if first == 0 else {}))
        event = one([*within, *(header for header in headers if header[0] != "ce-correlationid")], body)
    assert event.correlation_id == CORRELATION[first][1]


def test_correlation_may_come_from_the_trace_that_the_event_carries() -> None:
    event = one([*BINARY, ("ce-traceparent", TRACEPARENT), ("traceparent", OTHER_TRACEPARENT), ("tracestate", "a=1")])
    assert event.correlation_id == TRACE_ID
    assert event.attributes["traceparent"] == TRACEPARENT
    assert "tracestate" not in event.attributes, "that one belongs to the other trace"


@pytest.mark.parametrize("headers", [BINARY, [*BINARY, ("x-correlation-id", "")], [*BINARY, ("ce-correlationid", "")]])
def test_an_event_that_is_sent_twice_comes_to_the_same_transaction(headers: Headers) -> None:
    assert one(headers).correlation_id == one(headers).correlation_id == DERIVED


def test_the_trace_of_the_request_becomes_that_of_the_event() -> None:
    for event in (
        one([*BINARY, ("traceparent", TRACEPARENT), ("tracestate", "a=1, b=2")]),
        plain([*JSON, ("Traceparent", TRACEPARENT), ("Tracestate", "a=1, b=2")]),
    ):
        assert event.attributes["traceparent"] == TRACEPARENT
        assert event.attributes["tracestate"] == "a=1, b=2"


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "nonsense",
        TRACE_ID,
        "00--b7ad6b7169203331-01",
        f"00-{TRACE_ID[:-1]}-b7ad6b7169203331-01",
        f"00-{TRACE_ID.upper()}-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{'g' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE_ID}",
    ],
)
def test_a_trace_without_an_id_is_none(traceparent: str) -> None:
    event = one([*BINARY, ("traceparent", traceparent), ("tracestate", "a=1")])
    assert event.correlation_id == DERIVED
    assert not {"traceparent", "tracestate"} & set(event.attributes)


# -- refusals


@pytest.mark.parametrize(
    ("headers", "body", "sentence"),
    [
        pytest.param(JSON, b"{}", "this is no CloudEvent; plain JSON goes to /events/NAME-OF-THE-EVENT", id="plain"),
        pytest.param([], b"", "this is no CloudEvent; plain JSON goes to /events/NAME-OF-THE-EVENT", id="nothing"),
        pytest.param(BINARY[:1], b"", "required attribute 'id' is missing", id="no id"),
        pytest.param([*BINARY[1:], ("ce-specversion", "0.3")], b"", "specversion is '0.3'", id="another version"),
        pytest.param([*BINARY, ("ce-id", "2")], b"", "'ce-id' stands there twice", id="two ids"),
        pytest.param([*BINARY, ("ce-time", "now")], b"", "not an RFC 3339 timestamp", id="no time"),
        pytest.param([*BINARY, ("ce-subject", "%FF")], b"", "not percent-encoded UTF-8", id="attribute not UTF-8"),
        pytest.param([*BINARY, ("ce-subject", "\udcff")], b"", "surrogate", id="attribute of raw bytes"),
        pytest.param([*BINARY, ("x-correlation-id", "%FF")], b"", "not percent-encoded UTF-8", id="bad correlation"),
        pytest.param([*BINARY, ("x-correlation-id", "\udcff")], b"", "'correlationid' holds", id="raw correlation"),
        pytest.param([*BINARY, ("x-correlation-id", "a%0Ab")], b"", "control character", id="correlation in two lines"),
        pytest.param(structured()[0], b"{", "the body is no JSON object", id="broken"),
        pytest.param(structured()[0], b"[]", "the body is no JSON object", id="a list"),
        pytest.param(structured()[0], b"[" * 100_000, "the body is no JSON object", id="nested without end"),
        pytest.param(*structured(id=None), "required attribute 'id' is missing", id="structured, no id"),
        pytest.param(batched()[0], b"{}", "no JSON array of objects", id="a batch that is none"),
        pytest.param(*batched(), "the batch is empty", id="an empty batch"),
        pytest.param(*batched({}, {"type": ""}), "element 1 of the batch", id="one of a batch"),
        pytest.param(
            [("content-type", "application/cloudevents+avro")], b"", "is not supported", id="another event format"
        ),
    ],
)
def test_what_is_no_cloudevent_is_refused_with_a_sentence(headers: Headers, body: bytes, sentence: str) -> None:
    with pytest.raises(Refusal, match=re.escape(sentence)) as refusal:
        admission.events(headers, body)
    _check_refusal(refusal.value, 400)


@pytest.mark.parametrize(
    ("headers", "body", "status", "sentence"),
    [
        pytest.param(JSON, b"{", 400, "the body is not JSON", id="broken"),
        pytest.param(JSON, b"{} {}", 400, "the body is not JSON", id="two documents"),
        pytest.param(JSON, b" ", 400, "the body is not JSON", id="white space"),
        pytest.param(JSON, b'"\xff"', 400, "the body is not JSON", id="not UTF-8"),
        pytest.param(JSON, b"[" * 100_000 + b"]" * 100_000, 400, "the body is not JSON", id="nested without end"),
        pytest.param(
            [("content-type", "text/plain")], b"{}", 415, "'text/plain'; other data goes to /events", id="text"
        ),
        pytest.param([("content-type", "text/\udcff")], b"{}", 415, "other data goes to /events", id="raw bytes"),
        pytest.param([("content-type", "a" * 9000)], b"{}", 415, "other data goes to /events", id="a long type"),
        pytest.param(structured()[0], structured()[1], 400, "this is a CloudEvent", id="structured"),
        pytest.param([*BINARY, *JSON], b"{}", 400, "this is a CloudEvent", id="binary"),
        pytest.param([*JSON, ("x-correlation-id", "%FF")], b"{}", 400, "percent-encoded UTF-8", id="bad correlation"),
        pytest.param([*JSON, ("ce-correlationid", "%FF")], b"{}", 400, "percent-encoded UTF-8", id="bad attribute"),
        pytest.param(
            [("content-type", "application/json;\udcff")], b"{}", 400, "'datacontenttype' holds", id="raw type"
        ),
    ],
)
def test_what_is_no_plain_json_is_refused_with_a_sentence(
    headers: Headers, body: bytes, status: int, sentence: str
) -> None:
    with pytest.raises(Refusal, match=re.escape(sentence)) as refusal:
        plain(headers, body)
    _check_refusal(refusal.value, status)


@pytest.mark.parametrize("event_type", ["", "a\nb", "\udcff"])
def test_a_type_that_no_event_can_have_is_refused(event_type: str) -> None:
    with pytest.raises(Refusal, match="type") as refusal:
        plain(event_type=event_type)
    _check_refusal(refusal.value, 400)


def _check_refusal(refusal: Refusal, status: int) -> None:
    assert refusal.status == status
    assert refusal.retry_after is None
    assert list(refusal.body) == ["error"]
    assert json.dumps(refusal.body, ensure_ascii=False).encode(), "it can be written as an answer"
    assert len(str(refusal)) < 500
