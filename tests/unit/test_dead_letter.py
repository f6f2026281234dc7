"""The dead letter: the event as it was, and everything one needs to know to redrive it."""

import json
import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_ambassador.dead_letter import Cause, Reason, letter, reduced
from choregos_ambassador.delivery import Delivery, parse
from choregos_ambassador.storing import Record
from choregos_ambassador.timestamps import rfc3339
from choregos_contract import cloudevents_json, cloudevents_nats
from choregos_contract.event import Event, NotAnEvent
from choregos_contract.ids import dead_letter_record
from support.events import events
from support.roles import role

REJECTED = Cause(Reason.REJECTED)
SUBJECT = "choregos.shipping.default.ev.DeliveryRequested.3.17"
CREATED = "2026-01-01T00:00:00Z"
HEADERS = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/s",
    "ce-type": "DeliveryRequested",
    "Nats-Msg-Id": "not to be copied",
    "Choregos-Wire": "1",
}


def delivered(
    headers: dict[str, str] | None = None,
    data: bytes = b"{}",
    *,
    number: int = 6,
    sequence: int = 1234,
    subject: str = SUBJECT,
) -> Delivery:
    reply = f"$JS.ACK.events.durable.{number}.{sequence}.99.1767323045678000000.7"
    delivery = parse(subject.encode(), reply.encode(), b"", data)
    delivery.headers = HEADERS if headers is None else headers
    return delivery


def written(delivery: Delivery, cause: Cause = REJECTED, *, failure_emitted: bool = False) -> Record:
    return letter(delivery, cause, role(), CREATED, failure_emitted=failure_emitted)


def test_a_letter_says_what_happened_and_where_the_event_stands() -> None:
    record = written(delivered(), Cause(Reason.EXHAUSTED, "HTTP 500 grün\r\nNats-TTL: 1s", 500))
    assert record.subject == "choregos.shipping.default.dl.package.DeliveryRequested.17"
    headers = dict(record.headers)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", headers.pop("Choregos-Last-Time"))
    assert headers == {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/s",
        "ce-type": "DeliveryRequested",
        "Nats-Msg-Id": dead_letter_record("events", CREATED, 1234, "package"),
        "Choregos-Wire": "1",
        "Choregos-Reason": "exhausted",
        "Choregos-Service": "package",
        "Choregos-Event": "DeliveryRequested",
        "Choregos-Attempts": "6",
        "Choregos-Last-Status": "500",
        "Choregos-Last-Error": "HTTP%20500%20gr%C3%BCn%0D%0ANats-TTL:%201s",
        "Choregos-First-Time": "2026-01-02T03:04:05.678Z",
        "Choregos-Original-Stream": "events",
        "Choregos-Original-Subject": SUBJECT,
        "Choregos-Original-Sequence": "1234",
        "Choregos-Failure-Emitted": "false",
        "Choregos-Original-Headers": json.dumps(HEADERS, separators=(",", ":")),
    }


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_written_as_the_word_it_is(reason: Reason) -> None:
    assert written(delivered(), Cause(reason)).headers["Choregos-Reason"] == reason.value


def test_without_a_status_there_is_none() -> None:
    assert "Choregos-Last-Status" not in written(delivered()).headers


def test_a_failure_event_is_marked() -> None:
    assert written(delivered(), failure_emitted=True).headers["Choregos-Failure-Emitted"] == "true"


@given(events())
def test_a_letter_is_the_event_byte_for_byte(event: Event) -> None:
    record = written(delivered(cloudevents_nats.encode(event), event.data))
    assert cloudevents_nats.decode(record.headers, record.payload) == event
    assert record.payload == event.data


@given(events())
def test_a_letter_of_an_event_in_structured_mode_is_one_too(event: Event) -> None:
    document = cloudevents_json.encode_event(event)
    original = {"Content-Type": "application/cloudevents+json", "Nats-TTL": "1s"}
    record = written(delivered(original, document))
    assert record.payload == document
    assert cloudevents_nats.decode(record.headers, record.payload) == cloudevents_json.decode_event(document)


names = st.from_regex(r"[!-9;-~]{1,20}", fullmatch=True) | st.sampled_from(
    ["Nats-TTL", "nats-rollup", "NATS-EXPECTED-STREAM", "Choregos-Reason", "choregos-wire", "Status", "Description"]
)


@given(st.dictionaries(names, st.text(st.characters(codec="utf-8", exclude_characters="\r\n"))))
def test_no_header_of_the_producer_steers_the_bus_or_is_taken_for_ours_and_none_is_lost(
    headers: dict[str, str],
) -> None:
    record = written(delivered(headers))
    ours = dict(written(delivered({})).headers)
    for name in ("Choregos-Last-Time", "Choregos-Original-Headers"):
        ours.pop(name)
    assert ours.items() <= record.headers.items()
    added = set(record.headers) - set(ours) - {"Choregos-Last-Time", "Choregos-Original-Headers"}
    assert all(name.lower().startswith(("ce-", "content-type")) for name in added)
    kept = record.headers["Choregos-Original-Headers"]
    assert json.loads(kept) == headers
    assert "\n" not in kept
    assert "\r" not in kept


def test_the_record_is_named_after_the_event_and_the_service_so_that_twice_is_once() -> None:
    first = written(delivered(number=6), Cause(Reason.EXHAUSTED)).headers["Nats-Msg-Id"]
    again = written(delivered(number=7), Cause(Reason.REJECTED, "else")).headers["Nats-Msg-Id"]
    redriven = written(delivered(sequence=9)).headers["Nats-Msg-Id"]
    other = letter(delivered(), Cause(Reason.REJECTED), role(service="other"), CREATED, failure_emitted=False)
    assert first == again
    assert len({first, redriven, other.headers["Nats-Msg-Id"]}) == 3


def test_the_letter_of_a_redriven_event_keeps_its_shard() -> None:
    subject = "choregos.shipping.default.rd.package.DeliveryRequested.17"
    record = written(delivered(subject=subject))
    assert record.subject == "choregos.shipping.default.dl.package.DeliveryRequested.17"
    assert record.headers["Choregos-Original-Subject"] == subject


@given(st.text(max_size=2000))
def test_an_error_is_bounded_and_cannot_break_out_of_its_header(error: str) -> None:
    text = written(delivered(), Cause(Reason.REJECTED, error)).headers["Choregos-Last-Error"]
    assert text.isascii()
    assert len(text) <= 300 * 12
    assert not text or text.isprintable()
    if max(error[:300], default="") < "\ud800":
        assert unquote(text) == error.strip()[:300]


def test_a_letter_that_would_not_fit_says_where_the_event_stands_and_that_it_is_not_whole() -> None:
    whole = written(delivered(data=b"x" * 1000), Cause(Reason.REJECTED, "e", 422))
    without_originals, short = reduced(whole)
    assert without_originals.payload == whole.payload
    kept = {name: value for name, value in whole.headers.items() if name != "Choregos-Original-Headers"}
    assert without_originals.headers == {**kept, "Choregos-Truncated": "headers"}
    assert short.subject == whole.subject
    assert short.payload == b""
    expected = {
        name: value
        for name, value in whole.headers.items()
        if not name.startswith("ce-") and name != "Choregos-Original-Headers"
    }
    assert short.headers == {**expected, "Choregos-Truncated": "true"}
    with pytest.raises(NotAnEvent):
        cloudevents_nats.decode(short.headers, short.payload)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "1970-01-01T00:00:00.000Z"), (1767323045.678, "2026-01-02T03:04:05.678Z")],
)
def test_times_are_written_in_utc_with_milliseconds(seconds: float, text: str) -> None:
    assert rfc3339(seconds) == text


def test_a_recorded_reason_that_a_newer_release_invented_is_read_as_exhausted() -> None:
    assert Reason.recorded("rejected") is Reason.REJECTED
    assert Reason.recorded("struck-by-lightning") is Reason.EXHAUSTED
