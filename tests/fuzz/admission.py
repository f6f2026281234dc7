"""Whatever is sent to the publish API is a refusal with a sentence, or an event that the bus can hold as it was sent.

The first line of an input says where it goes: nothing for `/events`, else the type in `/events/TYPE`.
"""

import json
from collections.abc import Iterable

from choregos_ambassador import admission, records
from choregos_ambassador.admission import Refusal
from choregos_contract import cloudevents_nats
from choregos_contract.configuration import Configuration
from choregos_contract.event import Event
from choregos_contract.names import BusNames
from fuzz.message import MESSAGES, parse

CONFIGURATION = Configuration(version=1, generation=1, service="shop", bus=BusNames(namespace="shipping"), emits=("A",))


def seeds() -> Iterable[bytes]:
    yield from (b"\n" + message for message in MESSAGES)
    yield b'OrderPlaced\nidempotency-key: k\nx-correlation-id: c\n\n{"a": [1, 2.50]}'
    yield b"Order.Placed\ncontent-type: application/vnd.x+json\ncontent-encoding: gzip\n\n{}"


def consume(data: bytes) -> None:
    where, _, message = data.partition(b"\n")
    event_type = where.decode(errors="surrogateescape")
    headers, body = parse(message)
    try:
        if event_type:
            events = [admission.event(event_type, headers, body, CONFIGURATION)]
            assert (events[0].type, events[0].data) == (event_type, body)
        else:
            events, batch = admission.events(headers, body)
            assert events
            assert batch or len(events) == 1
    except Refusal as refusal:
        _is_designed(refusal)
        return
    for event in events:
        _can_be_stored(event)


def _is_designed(refusal: Refusal) -> None:
    assert refusal.status in (400, 415)
    assert json.dumps(refusal.body, ensure_ascii=False).encode()
    assert 10 < len(str(refusal)) < 1000


def _can_be_stored(event: Event) -> None:
    assert event.correlation_id
    assert event.attributes["time"]
    record = records.of_event(event, CONFIGURATION.bus, "id")
    tokens = record.subject.split(".")
    assert len(tokens) == 7
    assert all(token.isascii() and token.isprintable() and not set(token) & set(" *>") for token in tokens)
    assert int(tokens[5]) < 16
    assert int(tokens[6]) < 256
    assert record.size > len(event.data)
    written = {name: value for name, value in record.headers.items() if name.startswith("ce-")}
    assert cloudevents_nats.decode(written, record.payload) == event
