"""Any headers and bytes are events or NotAnEvent; what is an event is the same event on every way that it may travel."""

from collections.abc import Iterable
from contextlib import suppress

from choregos_contract import cloudevents_http, cloudevents_json, cloudevents_nats
from choregos_contract.event import Event, NotAnEvent
from fuzz.message import MESSAGES, parse


def seeds() -> Iterable[bytes]:
    return MESSAGES


def consume(data: bytes) -> None:
    headers, body = parse(data)
    try:
        events = cloudevents_http.decode(headers, body)
    except NotAnEvent:
        events = []
    else:
        if not any(name.lower() == "content-type" and "cloudevents" in value.lower() for name, value in headers):
            assert [event.data for event in events] == [body], "binary mode keeps every byte"
    with suppress(NotAnEvent):
        events.append(cloudevents_nats.decode(dict(headers), body))
    for event in events:
        _travels(event)
    if events:
        assert cloudevents_json.decode_batch(cloudevents_json.encode_batch(events)) == events


def _travels(event: Event) -> None:
    over_nats = cloudevents_nats.encode(event)
    assert all(value.isascii() and value.isprintable() and " " not in value for value in over_nats.values())
    assert cloudevents_nats.decode(over_nats, event.data) == event
    over_http = cloudevents_http.encode_binary(event)
    assert not any("\r" in value or "\n" in value for _, value in over_http)
    assert cloudevents_http.decode(over_http, event.data) == [event]
    assert cloudevents_json.decode_event(cloudevents_json.encode_event(event)) == event
