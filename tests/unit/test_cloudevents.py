"""CloudEvents on the wire: the HTTP binding against the project's own SDK, and every byte of the data kept."""

import json
from base64 import b64encode
from datetime import datetime
from typing import Any

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings import http as sdk
from cloudevents.core.bindings.http import HTTPMessage
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from choregos_contract import cloudevents_http, cloudevents_json, cloudevents_nats
from choregos_contract.event import Event, NotAnEvent
from support.events import events, values

REQUIRED = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "OrderPlaced"}
HEADERS = [(f"ce-{name}", value) for name, value in REQUIRED.items()]
STRUCTURED = [("Content-Type", "application/cloudevents+json; charset=UTF-8")]
BATCHED = [("content-type", "application/cloudevents-batch+json")]

bodies = st.sampled_from(
    [
        b"1.00",
        b"-0.0e+00",
        b"12345678901234567890123456789",
        b'{"b": 1, "a": 2, "b": 3}',
        b'{ "a" :\t[ 1 ,\n2 ] }',
        b'"caf\\u00e9 \\/"',
        '{"é": "😀"}'.encode(),
        b"null",
        b"true",
        b"[]",
    ]
)
"""JSON that a parser would write differently."""


def spelled(event: BaseCloudEvent) -> dict[str, Any]:
    """What the SDK read, with the time as RFC 3339 again."""
    return {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in event.get_attributes().items()
    }


def sdk_event(attributes: dict[str, str], data: Any = None) -> CloudEvent:
    """An event as the SDK wants it: with a time, and that as a datetime."""
    written: dict[str, Any] = with_time(attributes)
    return CloudEvent({**written, "time": datetime.fromisoformat(written["time"])}, data)


def with_time(attributes: dict[str, str]) -> dict[str, str]:
    """The SDK makes up the time that an event has not."""
    return {"time": "2026-01-02T03:04:05Z", **attributes}


attributes = st.fixed_dictionaries(
    {"id": values, "source": values, "type": values},
    optional={"subject": values, "correlationid": values, "x1": values},
).map(lambda drawn: with_time({"specversion": "1.0", **drawn}))


class TestHttpAgainstTheSdk:
    @given(attributes, bodies)
    def test_the_sdk_reads_our_binary_mode(self, written: dict[str, str], body: bytes) -> None:
        event = Event({**written, "datacontenttype": "application/json"}, body)
        read = sdk.from_binary_event(HTTPMessage(dict(cloudevents_http.encode_binary(event)), body))
        assert spelled(read) == event.attributes
        assert read.get_data() == json.loads(body)

    @given(attributes, bodies)
    def test_we_read_the_sdks_binary_mode(self, written: dict[str, str], body: bytes) -> None:
        message = sdk.to_binary_event(sdk_event({**written, "datacontenttype": "application/json"}, body))
        (read,) = cloudevents_http.decode(message.headers.items(), message.body)
        assert read == Event({**written, "datacontenttype": "application/json"}, body)

    @given(values)
    def test_header_values_are_spelled_as_the_sdk_spells_them(self, value: str) -> None:
        message = sdk.to_binary_event(sdk_event({**REQUIRED, "x": value}))
        assert cloudevents_http.encode_value(value) == message.headers["ce-x"]
        assert cloudevents_http.decode_value(message.headers["ce-x"]) == value

    def test_a_value_is_plain_if_nothing_in_it_is_to_be_encoded(self) -> None:
        for value in map(chr, range(0x10000)):
            plain = "!" <= value <= "~" and value not in '"%'
            assert cloudevents_http.is_plain(f"a{value}b") is plain
            assert (cloudevents_http.encode_value(value) == value) is plain
        assert cloudevents_http.is_plain("")

    @given(attributes, bodies)
    def test_the_sdk_reads_our_structured_mode(self, written: dict[str, str], body: bytes) -> None:
        event = Event({**written, "datacontenttype": "application/json"}, body)
        message = HTTPMessage({"content-type": cloudevents_json.EVENT_TYPE}, cloudevents_json.encode_event(event))
        read = sdk.from_structured_event(message)
        assert spelled(read) == event.attributes
        assert read.get_data() == json.loads(body)

    @given(attributes, st.binary(min_size=1, max_size=40))
    def test_the_sdk_reads_our_binary_data_in_structured_mode(self, written: dict[str, str], body: bytes) -> None:
        event = Event({**written, "datacontenttype": "image/png"}, body)
        message = HTTPMessage({"content-type": cloudevents_json.EVENT_TYPE}, cloudevents_json.encode_event(event))
        read = sdk.from_structured_event(message)
        assert (spelled(read), read.get_data()) == (event.attributes, body)

    @given(attributes, st.dictionaries(st.text(), st.integers() | st.text(), max_size=3))
    def test_we_read_the_sdks_structured_mode(self, written: dict[str, str], data: dict[str, Any]) -> None:
        message = sdk.to_structured_event(sdk_event(written, data))
        (read,) = cloudevents_http.decode(message.headers.items(), message.body)
        assert read.attributes == {**written, "datacontenttype": "application/json"}
        assert json.loads(read.data) == data

    @given(attributes, st.binary(min_size=1, max_size=40))
    def test_we_read_the_sdks_binary_data_in_structured_mode(self, written: dict[str, str], body: bytes) -> None:
        message = sdk.to_structured_event(sdk_event({**written, "datacontenttype": "image/png"}, body))
        (read,) = cloudevents_http.decode(message.headers.items(), message.body)
        assert read == Event({**written, "datacontenttype": "image/png"}, body)

    @given(st.lists(attributes, max_size=3))
    def test_a_batch_is_an_array_of_what_the_sdk_writes_and_reads(self, written: list[dict[str, str]]) -> None:
        """The SDK has no batched mode; its elements are structured events."""
        documents = [sdk.to_structured_event(sdk_event(each)).body for each in written]
        read = cloudevents_http.decode(BATCHED, b"[" + b",".join(documents) + b"]")
        assert [event.attributes for event in read] == written
        for element, each in zip(json.loads(cloudevents_json.encode_batch(read)), written, strict=True):
            message = HTTPMessage({"content-type": cloudevents_json.EVENT_TYPE}, json.dumps(element).encode())
            assert spelled(sdk.from_structured_event(message)) == each


class TestRoundTrips:
    """What one side writes, the other reads, byte for byte."""

    @given(events())
    def test_http_binary(self, event: Event) -> None:
        headers = cloudevents_http.encode_binary(event)
        assert cloudevents_http.is_event(headers)
        assert cloudevents_http.decode(headers, event.data) == [event]
        assert all(
            value.isascii() and value.isprintable() and " " not in value for name, value in headers if name[:3] == "ce-"
        )

    @given(events())
    def test_nats(self, event: Event) -> None:
        headers = cloudevents_nats.encode(event)
        assert cloudevents_nats.decode(headers, event.data) == event
        assert all(value.isascii() and value.isprintable() and " " not in value for value in headers.values())

    @given(events())
    def test_json(self, event: Event) -> None:
        document = cloudevents_json.encode_event(event)
        assert cloudevents_json.decode_event(document) == event
        assert cloudevents_http.decode(STRUCTURED, document) == [event]
        assert cloudevents_nats.decode({"Content-Type": "application/cloudevents+json"}, document) == event

    @given(st.lists(events(), max_size=3))
    def test_batch(self, batch: list[Event]) -> None:
        assert cloudevents_http.decode(BATCHED, cloudevents_json.encode_batch(batch)) == batch


class TestData:
    @given(bodies)
    def test_json_stands_in_the_document_as_the_producer_wrote_it(self, body: bytes) -> None:
        event = Event({**REQUIRED, "datacontenttype": "application/json"}, body)
        assert body in cloudevents_json.encode_event(event)
        assert cloudevents_json.decode_event(document(f'"data":{body.decode()}')).data == body

    @pytest.mark.parametrize(
        "body", [b" {}", b"{}\n", b"{", b"1e999", b"\xff", b'"\xff"', b"[" * 5000 + b"]" * 5000, b"1 2", b"NaN"]
    )
    def test_what_json_cannot_hold_exactly_travels_as_base64(self, body: bytes) -> None:
        event = Event({**REQUIRED, "datacontenttype": "application/json"}, body)
        written = cloudevents_json.encode_event(event)
        assert json.loads(written)["data_base64"] == b64encode(body).decode()
        assert cloudevents_json.decode_event(written) == event

    @pytest.mark.parametrize(
        ("members", "content_type", "data"),
        [
            ('"data": "hi \\u00e9"', "application/json", b'"hi \\u00e9"'),
            ('"data": "hi \\u00e9", "datacontenttype": "text/plain"', "text/plain", "hi é".encode()),
            ('"data": {"a":1.0}, "datacontenttype": "text/plain"', "text/plain", b'{"a":1.0}'),
            ('"data": null', "application/json", b"null"),
            ('"data_base64": "AP8=", "datacontenttype": "application/json"', "application/json", b"\0\xff"),
            ('"data_base64": ""', None, b""),
            ('"datacontenttype": "text/plain"', "text/plain", b""),
        ],
    )
    def test_the_json_formats_rules_for_data(self, members: str, content_type: str | None, data: bytes) -> None:
        event = cloudevents_json.decode_event(document(members))
        assert (event.attributes.get("datacontenttype"), event.data) == (content_type, data)

    def test_attributes_of_other_types_get_their_canonical_string(self) -> None:
        event = cloudevents_json.decode_event(document('"a": true, "b": false, "c": -7, "d": null'))
        assert event.attributes == {**REQUIRED, "a": "true", "b": "false", "c": "-7"}


class TestModes:
    @pytest.mark.parametrize(
        ("headers", "claims"),
        [
            ([("CE-SpecVersion", "1.0")], True),
            ([("Content-Type", "Application/CloudEvents+json")], True),
            ([("content-type", "application/cloudevents-batch+json")], True),
            ([("content-type", "application/json")], False),
            ([("ce-id", "1")], False),
            ([], False),
        ],
    )
    def test_which_messages_claim_to_be_events(self, headers: list[tuple[str, str]], claims: bool) -> None:
        assert cloudevents_http.is_event(headers) is claims

    def test_header_names_are_read_in_any_case(self) -> None:
        headers = [(name.upper(), value) for name, value in HEADERS]
        assert cloudevents_http.decode(headers, b"x") == [Event(REQUIRED, b"x")]
        assert cloudevents_nats.decode(dict(headers), b"x") == Event(REQUIRED, b"x")

    def test_other_headers_are_no_attributes(self) -> None:
        assert cloudevents_http.decode([*HEADERS, ("host", "x"), ("cedar", "x")], b"")[0].attributes == REQUIRED
        assert cloudevents_nats.decode({**dict(HEADERS), "Nats-Msg-Id": "x"}, b"").attributes == REQUIRED

    def test_datacontenttype_is_the_content_type_in_http_and_an_attribute_in_nats(self) -> None:
        event = Event({**REQUIRED, "datacontenttype": "text/plain"})
        assert ("content-type", "text/plain") in cloudevents_http.encode_binary(event)
        assert "ce-datacontenttype" not in dict(cloudevents_http.encode_binary(event))
        assert cloudevents_nats.encode(event)["ce-datacontenttype"] == "text/plain"
        headers = [*HEADERS, ("ce-datacontenttype", "image/png"), ("content-type", "text/plain")]
        assert cloudevents_http.decode(headers, b"") == [event]

    @pytest.mark.parametrize(
        ("written", "value"),
        [
            ('"a\\"b"', 'a"b'),
            ('"%20"', " "),
            ("%zz", "%zz"),
            ("100%", "100%"),
            ("Euro %E2%82%AC", "Euro €"),
            ("€", "€"),
            ('"', '"'),
        ],
    )
    def test_values_of_older_and_sloppy_producers_are_understood(self, written: str, value: str) -> None:
        assert cloudevents_http.decode([*HEADERS, ("ce-x", written)], b"")[0].attributes["x"] == value


def document(members: str) -> bytes:
    return f"{json.dumps(REQUIRED)[:-1]},{members}}}".encode()


DEEP = b"[" * 100_000

HOSTILE_DOCUMENTS = [
    (b"", "no JSON object"),
    (b"\xef\xbb\xbf{}", "no JSON object"),
    (b"[]", "no JSON object"),
    (b"null", "no JSON object"),
    (b"{", "no JSON object"),
    (b'{"\xff": 1}', "no JSON object"),
    (b'{"a": "\\ud800"}', "no JSON object"),
    (b'{"a": "b"} {}', "no JSON object"),
    (b'{"data": ' + DEEP, "no JSON object"),
    (b'{"data": ' + DEEP + b"]" * len(DEEP) + b"}", "no JSON object"),
    (b"{}", "'id' is missing"),
    (document('"data": NaN'), "no JSON object"),
    (document('"data": 01'), "no JSON object"),
    (document('"data": "a\nb"'), "no JSON object"),
    (document('"x": 1.5'), "'x' is neither"),
    (document('"x": {}'), "'x' is neither"),
    (document('"x": [1]'), "'x' is neither"),
    (document('"x": ' + "9" * 5000), "'x' is neither"),
    (document('"x": "Q"').replace(b"Q", b"\xff"), "'x' is neither"),
    (document('"x": "\\n"'), "control character"),
    (document('"X": "1"'), "lower-case"),
    (document('"id": null'), "'id' is missing"),
    (document('"specversion": 1'), "specversion is '1'"),
    (document('"data": 1, "data_base64": "AA=="'), "stand there both"),
    (document('"data_base64": "A"'), "not a base64 string"),
    (document('"data_base64": "AA=\\u00e9"'), "not a base64 string"),
    (document('"data_base64": null'), "not a base64 string"),
    (document('"datacontenttype": "text/plain", "data": "Q"').replace(b"Q", b"\xff"), "not UTF-8"),
]


class TestHostileInput:
    """Nothing that arrives raises anything but NotAnEvent, and that says why."""

    @pytest.mark.parametrize(("body", "reason"), HOSTILE_DOCUMENTS)
    def test_documents(self, body: bytes, reason: str) -> None:
        with pytest.raises(NotAnEvent, match=reason):
            cloudevents_http.decode(STRUCTURED, body)
        with pytest.raises(NotAnEvent, match=reason):
            cloudevents_nats.decode({"content-type": cloudevents_json.EVENT_TYPE}, body)

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"{}", "no JSON array"),
            (b"[null]", "no JSON array"),
            (b"[[]]", "no JSON array"),
            (DEEP, "no JSON array"),
            (b'[{"a":' + DEEP, "no JSON array"),
            (b"[" + json.dumps(REQUIRED).encode() + b",{}]", "element 1 of the batch: the required attribute 'id'"),
        ],
    )
    def test_batches_whole_or_not_at_all(self, body: bytes, reason: str) -> None:
        with pytest.raises(NotAnEvent, match=reason):
            cloudevents_http.decode(BATCHED, body)

    @pytest.mark.parametrize(
        ("headers", "reason"),
        [
            ([], "'id' is missing"),
            (HEADERS[1:], "specversion is missing"),
            ([*HEADERS, ("CE-ID", "2")], "'ce-id' stands there twice"),
            ([*HEADERS, ("content-type", "a/b"), ("Content-Type", "c/d")], "'content-type' stands there twice"),
            ([*HEADERS, ("ce-", "x")], "lower-case"),
            ([*HEADERS, ("ce-data", "x")], "named 'data'"),
            ([*HEADERS, ("ce-a-b", "x")], "lower-case"),
            ([*HEADERS, ("ce-x", "%0d%0aNats-Msg-Id: 1")], "control character"),
            ([*HEADERS, ("ce-x", "%FF")], "not percent-encoded UTF-8"),
            ([*HEADERS, ("ce-x", "%ED%A0%80")], "not percent-encoded UTF-8"),
            ([*HEADERS, ("ce-x", "\udcff")], "surrogate"),
            ([*HEADERS, ("content-type", "\udcff")], "surrogate"),
            ([("content-type", "application/cloudevents")], "not supported"),
            ([("content-type", "application/cloudevents+xml")], "not supported"),
            ([("content-type", "application/cloudevents-" + "x" * 500 + "+json")], "not supported"),
        ],
    )
    def test_http_headers(self, headers: list[tuple[str, str]], reason: str) -> None:
        with pytest.raises(NotAnEvent, match=reason):
            cloudevents_http.decode(headers, b"{}")

    @pytest.mark.parametrize(
        ("headers", "reason"),
        [
            (None, "no headers"),
            ({}, "no headers"),
            ({"Status": "503"}, "'id' is missing"),
            ({**dict(HEADERS), "CE-Id": "2"}, "stands there twice"),
            ({**dict(HEADERS), "ce-x": "%0A"}, "control character"),
            ({**dict(HEADERS), "ce-x": "%FF"}, "not percent-encoded UTF-8"),
        ],
    )
    def test_nats_headers(self, headers: dict[str, str] | None, reason: str) -> None:
        with pytest.raises(NotAnEvent, match=reason):
            cloudevents_nats.decode(headers, b"{}")

    @pytest.mark.parametrize("name", ["ce-\udc90", "ce-a\nb"])
    def test_a_sentence_can_be_written_down_whatever_it_quotes(self, name: str) -> None:
        """It becomes an answer, a header of a dead letter, a line of the log. (Found by `make fuzz`.)"""
        twice = [*HEADERS, (name, "1"), (name.upper(), "2")]
        for decode in (lambda: cloudevents_http.decode(twice, b""), lambda: cloudevents_nats.decode(dict(twice), b"")):
            with pytest.raises(NotAnEvent, match="twice") as refused:
                decode()
            assert str(refused.value).encode().isascii()
            assert str(refused.value).isprintable()
        with pytest.raises(NotAnEvent, match="neither a string") as refused:
            cloudevents_json.decode_event(document('"a\\nb": []'))
        assert str(refused.value).isprintable()

    @given(
        st.lists(st.tuples(st.sampled_from(["ce-id", "ce-x", "content-type", "ce-Ü"]), st.text()), max_size=4),
        st.binary(),
    )
    def test_anything(self, headers: list[tuple[str, str]], body: bytes) -> None:
        with pytest.raises(NotAnEvent):
            cloudevents_http.decode(headers, body)
        with pytest.raises(NotAnEvent):
            cloudevents_nats.decode(dict(headers), body)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        )
    )
    def test_any_json(self, value: Any) -> None:
        with pytest.raises(NotAnEvent):
            cloudevents_json.decode_event(json.dumps(value).encode())
