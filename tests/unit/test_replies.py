"""From an answer to the next hops: which events a 2xx holds, what is wrong with it, and what goes onto the bus."""

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_ambassador import records, replies
from choregos_ambassador.answer import Answer
from choregos_ambassador.replies import MAX_REPLIES, InvalidReply
from choregos_ambassador.role import Role
from choregos_contract import cloudevents_nats
from choregos_contract.event import Event, checked
from support.events import events, values
from support.roles import role

NOW = "2026-01-02T03:04:05.678Z"
PARENT = checked(
    {
        "specversion": "1.0",
        "id": "p1",
        "source": "/shipping/ingestion",
        "type": "DeliveryRequested",
        "correlationid": "c1",
        "causationid": "p0",
        "choregoshops": "2",
        "partitionkey": "customer 7",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "a=1",
        "datacontenttype": "application/json",
        "dataschema": "https://schemas/1",
        "subject": "not inherited",
    },
    b'{"weight": 1.0}',
)
EMITS = ("PackageCreated", "PackageRefused")
MEMBERS = {"specversion": "1.0", "id": "s1", "source": "/package", "type": "PackageCreated"}


def plain(body: bytes = b'{"ok": 1.00}', content_type: str | None = "application/json", **headers: str) -> Answer:
    named = {"content-type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Answer(200, tuple((name, value) for name, value in named.items() if value is not None), body)


def binary(body: bytes = b"{}", content_type: str | None = "application/json", **members: str) -> Answer:
    return plain(body, content_type, **{f"ce_{name}": value for name, value in {**MEMBERS, **members}.items()})


def structured(**members: Any) -> Answer:
    return plain(json.dumps({**MEMBERS, **members}).encode(), "application/cloudevents+json; charset=utf-8")


def batched(*elements: dict[str, Any]) -> Answer:
    body = json.dumps([{**MEMBERS, **each} for each in elements]).encode()
    return plain(body, "application/cloudevents-batch+json")


def hops(answer: Answer, parent: Event = PARENT, as_: Role | None = None, **reaction: Any) -> list[Event]:
    part = as_ or role(**{"emits": EMITS, **reaction})
    return replies.next_hops(parent, replies.read(answer, part.reaction), part, NOW)


def refused(answer: Answer, **reaction: Any) -> InvalidReply:
    with pytest.raises(InvalidReply) as error:
        hops(answer, **reaction)
    return error.value


# -- which events there are


@pytest.mark.parametrize(
    ("answer", "types"),
    [
        pytest.param(binary(), ["PackageCreated"], id="binary"),
        pytest.param(binary(b"", None), ["PackageCreated"], id="binary, without data"),
        pytest.param(structured(), ["PackageCreated"], id="structured"),
        pytest.param(batched({}, {"type": "PackageRefused"}), list(EMITS), id="batched"),
        pytest.param(batched(), [], id="an empty batch"),
        pytest.param(plain(), [], id="plain JSON"),
        pytest.param(plain(b"<p>", "text/html"), [], id="not JSON"),
        pytest.param(plain(b"", None), [], id="no body"),
        pytest.param(Answer(204), [], id="204"),
        pytest.param(plain(b"broken", content_encoding="gzip"), [], id="no event, in whatever coding"),
    ],
)
def test_without_on_success_only_cloudevents_are_next_hops(answer: Answer, types: list[str]) -> None:
    assert [hop.type for hop in hops(answer)] == types


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8", "application/a+json"])
@pytest.mark.parametrize("body", [b'{"a": 1.00, "a": 2}', b" [1]\n", b"null", b'"text"', b"1", b'{"z":0,"a":1}'])
def test_with_on_success_plain_json_becomes_the_data_byte_for_byte(content_type: str, body: bytes) -> None:
    (hop,) = hops(plain(body, content_type), on_success="PackageCreated")
    assert (hop.type, hop.data) == ("PackageCreated", body)
    assert hop.attributes["datacontenttype"] == content_type
    assert "replyid" not in hop.attributes


@pytest.mark.parametrize("answer", [binary(type="PackageRefused"), structured(type="PackageRefused")])
def test_with_on_success_a_cloudevent_is_taken_as_it_is(answer: Answer) -> None:
    assert [hop.type for hop in hops(answer, on_success="PackageCreated")] == ["PackageRefused"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(204), id="204"),
        pytest.param(plain(b""), id="empty"),
        pytest.param(plain(b"{}", None), id="no content type"),
        pytest.param(plain(b"{}", "text/plain"), id="another content type"),
        pytest.param(plain(b"{"), id="broken"),
        pytest.param(plain(b"{} {}"), id="two documents"),
        pytest.param(plain(b"\xff\xfe"), id="not UTF-8"),
        pytest.param(plain(b'"\xff"'), id="not UTF-8 in a string"),
        pytest.param(plain(b"[" * 100_000 + b"]" * 100_000), id="nested without end"),
        pytest.param(plain(b"{}", content_encoding="gzip"), id="gzip"),
        pytest.param(plain(b"{}", "application/json;\tcharset=utf-8\x80"), id="a content type that no event can have"),
    ],
)
def test_with_on_success_what_is_no_json_is_invalid_at_once(answer: Answer) -> None:
    error = refused(answer, on_success="PackageCreated")
    assert (error.reason, error.retry) == ("invalid-reply", False)


@pytest.mark.parametrize("answer", [Answer(204), plain(), batched(), plain(b"<p>", "text/html")])
def test_required_means_that_an_event_there_must_be(answer: Answer) -> None:
    error = refused(answer, required=True)
    assert (error.reason, error.retry) == ("invalid-reply", False)


def test_required_is_content_with_any_event() -> None:
    assert len(hops(binary(), required=True)) == 1
    assert len(hops(plain(), required=True, on_success="PackageCreated")) == 1


@pytest.mark.parametrize(
    "answer",
    [binary(type="Other"), structured(type="Other"), batched({}, {"type": "Other"}), binary(type="packagecreated")],
)
def test_an_event_that_is_not_declared_may_be_at_the_next_attempt(answer: Answer) -> None:
    error = refused(answer)
    assert (error.reason, error.retry) == ("invalid-reply", True)
    assert "is not among the reaction's emits" in error.detail


def test_an_event_is_never_declared_where_a_reaction_emits_none() -> None:
    assert refused(binary(), emits=()).retry


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(binary(id=""), id="an empty id"),
        pytest.param(binary(specversion="0.3"), id="another version"),
        pytest.param(binary(time="yesterday"), id="no time"),
        pytest.param(binary(subject="%ff"), id="not UTF-8 behind the percent signs"),
        pytest.param(binary(nats_msg_id="1"), id="an attribute name with a hyphen"),
        pytest.param(binary(content_encoding="gzip"), id="gzip announced as an attribute"),
        pytest.param(plain(b"{}", "application/cloudevents+json"), id="structured, without attributes"),
        pytest.param(plain(b"{", "application/cloudevents+json"), id="structured, broken"),
        pytest.param(plain(b"[" * 100_000, "application/cloudevents+json"), id="structured, nested without end"),
        pytest.param(plain(b"{}", "application/cloudevents-batch+json"), id="a batch that is no array"),
        pytest.param(plain(b"<x/>", "application/cloudevents+xml"), id="another event format"),
        pytest.param(batched({}, {"id": ""}), id="one of a batch is broken"),
        pytest.param(batched(*[{}] * (MAX_REPLIES + 1)), id="more than an atomic batch can hold"),
        pytest.param(
            Answer(200, (*binary().headers, ("content-encoding", "br"))), id="data that the next service cannot read"
        ),
    ],
)
def test_a_broken_cloudevent_is_invalid_at_once(answer: Answer) -> None:
    error = refused(answer)
    assert (error.reason, error.retry) == ("invalid-reply", False)
    assert len(error.detail) < 500


def test_as_many_events_as_an_atomic_batch_holds_are_taken() -> None:
    assert len(hops(batched(*[{}] * MAX_REPLIES))) == MAX_REPLIES


@pytest.mark.parametrize("headers", [(), binary().headers, structured().headers])
def test_a_body_over_the_limit_is_too_large_whatever_it_was(headers: tuple[tuple[str, str], ...]) -> None:
    error = refused(Answer(200, headers, truncated=True), delivery=role().delivery)
    assert (error.reason, error.retry) == ("reply-too-large", False)
    assert "1048576" in error.detail


# -- what they look like on the bus


def test_a_reply_has_its_place_in_the_transaction() -> None:
    (hop,) = hops(binary(subject="s", time="2020-01-01T00:00:00Z"))
    assert hop.attributes == {
        "specversion": "1.0",
        "id": role().reply_id("/shipping/ingestion", "p1", 0),
        "source": "/package",
        "type": "PackageCreated",
        "subject": "s",
        "time": "2020-01-01T00:00:00Z",
        "datacontenttype": "application/json",
        "replyid": "s1",
        "correlationid": "c1",
        "causationid": "p1",
        "choregoshops": "3",
        "partitionkey": "customer 7",
        "traceparent": PARENT.attributes["traceparent"],
        "tracestate": "a=1",
    }


def test_a_plain_reply_has_source_and_time_from_the_ambassador() -> None:
    (hop,) = hops(plain(), on_success="PackageCreated")
    assert (hop.source, hop.attributes["time"]) == ("/shipping/package", NOW)


def test_what_places_a_reply_cannot_be_overridden_by_the_service() -> None:
    (hop,) = hops(binary(correlationid="mine", causationid="mine", choregoshops="0", replyid="mine"))
    attributes = hop.attributes
    assert (attributes["correlationid"], attributes["causationid"]) == ("c1", "p1")
    assert (attributes["choregoshops"], attributes["replyid"]) == ("3", "s1")


def test_order_and_trace_are_inherited_unless_the_service_gives_its_own() -> None:
    trace = "00-11111111111111111111111111111111-2222222222222222-01"
    (hop,) = hops(binary(partitionkey="mine", traceparent=trace))
    assert (hop.partition_key, hop.attributes["traceparent"]) == ("mine", trace)
    assert "tracestate" not in hop.attributes, "the state of another span"
    bare = checked({"specversion": "1.0", "id": "p1", "source": "/s", "type": "DeliveryRequested"}, b"")
    (hop,) = hops(binary(), parent=bare)
    assert not {"partitionkey", "traceparent", "tracestate"} & set(hop.attributes)
    assert (hop.correlation_id, hop.attributes["choregoshops"]) == ("p1", "1")


def test_ids_are_the_same_on_every_reading_whatever_the_service_calls_its_events() -> None:
    first, second = (hops(batched({"id": name}, {"id": name})) for name in ("a", "b"))
    assert [hop.id for hop in first] == [hop.id for hop in second]
    (bare,) = hops(plain(), on_success="PackageCreated")
    assert bare.id == first[0].id


def test_ids_differ_by_place_parent_service_and_event() -> None:
    other_id = checked({**PARENT.attributes, "id": "p2"}, b"")
    other_source = checked({**PARENT.attributes, "source": "/other"}, b"")
    several = [
        *hops(batched({}, {}, {})),
        *hops(binary(), parent=other_id),
        *hops(binary(), parent=other_source),
        *hops(binary(), as_=role(service="other", emits=EMITS)),
        *hops(binary(), as_=role(event="Other", emits=EMITS)),
    ]
    assert len({hop.id for hop in several}) == len(several) == 7


@given(st.binary(max_size=200), st.sampled_from([None, "application/json", "image/png"]))
def test_data_is_stored_byte_for_byte(data: bytes, content_type: str | None) -> None:
    (one,) = hops(binary(data, content_type))
    (other,) = hops(structured(data_base64=b64encode(data).decode(), **_typed(content_type)))
    assert one.data == other.data == data
    assert one.attributes.get("datacontenttype") == other.attributes.get("datacontenttype") == content_type


def _typed(content_type: str | None) -> dict[str, str]:
    return {} if content_type is None else {"datacontenttype": content_type}


@given(st.dictionaries(st.sampled_from(["nats-msg-id", "nats-ttl", "choregos-wire", "status", "description"]), values))
def test_no_header_of_the_service_steers_the_bus(headers: dict[str, str]) -> None:
    answer = binary()
    (hop,) = hops(Answer(200, (*answer.headers, *headers.items()), answer.body))
    record = records.of_reply(hop, role().configuration.bus)
    assert record.headers == records.of_reply(hops(answer)[0], role().configuration.bus).headers
    assert {name for name in record.headers if not name.startswith("ce-")} == {"Nats-Msg-Id", "Choregos-Wire"}


@given(events())
def test_whatever_the_service_writes_the_next_ambassador_can_read(event: Event) -> None:
    """Values are no way to write a header, either."""
    (hop,) = replies.next_hops(PARENT, [event], role(), NOW)
    record = records.of_reply(hop, role().configuration.bus)
    assert cloudevents_nats.decode(record.headers, record.payload) == hop
    assert all(value.isascii() and value.isprintable() for value in record.headers.values())


# -- the failure event


def test_a_failure_carries_the_data_of_the_event_that_failed() -> None:
    part = role(emits=("PackageLost",), on_failure="PackageLost")
    failure = replies.failure(PARENT, "exhausted", part, NOW)
    assert failure is not None
    assert failure.data == PARENT.data
    assert failure.attributes == {
        "specversion": "1.0",
        "id": part.failure_id("/shipping/ingestion", "p1"),
        "source": "/shipping/package",
        "type": "PackageLost",
        "time": NOW,
        "choregosreason": "exhausted",
        "choregosreaction": "package/DeliveryRequested",
        "datacontenttype": "application/json",
        "dataschema": "https://schemas/1",
        "correlationid": "c1",
        "causationid": "p1",
        "choregoshops": "3",
        "partitionkey": "customer 7",
        "traceparent": PARENT.attributes["traceparent"],
        "tracestate": "a=1",
    }


def test_a_failure_is_the_same_whatever_the_reason_and_never_a_reply() -> None:
    part = role(emits=EMITS, on_failure="PackageRefused")
    failures = [replies.failure(PARENT, reason, part, NOW) for reason in ("exhausted", "rejected")]
    assert len({each.id for each in failures if each}) == 1
    assert failures[0]
    assert failures[0].id not in {hop.id for hop in hops(batched({}, {}), as_=part)}


def test_without_on_failure_there_is_none() -> None:
    assert replies.failure(PARENT, "exhausted", role(), NOW) is None
