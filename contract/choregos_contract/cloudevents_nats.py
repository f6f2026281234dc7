"""CloudEvents NATS binding 1.0.3: events in NATS messages. Written in binary mode; structured mode is read too.

Unlike HTTP, `datacontenttype` is an attribute like any other here (`ce-datacontenttype`); a `content-type` that begins
with `application/cloudevents` means structured mode.
"""

from collections.abc import Mapping
from functools import lru_cache

from choregos_contract import cloudevents_json
from choregos_contract.cloudevents_http import decode_value, encode_value, is_plain
from choregos_contract.event import Event, NotAnEvent, checked

_PREFIX = "ce-"
_STRUCTURED = "application/cloudevents"


def encode(event: Event) -> dict[str, str]:
    """Headers of an event in binary mode; the payload is its data as it is."""
    attributes = event.attributes
    if is_plain("".join(attributes.values())):  # at once: one by one, it costs three times as much
        return {_PREFIX + name: value for name, value in attributes.items()}
    return {_PREFIX + name: encode_value(value) for name, value in attributes.items()}


def decode(headers: Mapping[str, str] | None, payload: bytes) -> Event:
    """Decode the event of a NATS message; raises NotAnEvent."""
    if not headers:
        raise NotAnEvent("the message has no headers, so it holds no CloudEvent")
    attributes: dict[str, str] = {}
    for name, value in headers.items():
        attribute = _attribute(name)
        if attribute is None:
            if name.lower() == "content-type" and value.lower().startswith(_STRUCTURED):
                return cloudevents_json.decode_event(payload)
            continue
        if attribute in attributes:
            raise NotAnEvent(f"header {name[:40]!r} stands there twice")
        attributes[attribute] = decode_value(value)
    return checked(attributes, payload)


@lru_cache(maxsize=128)  # few, since each may be as long as all headers
def _attribute(header: str) -> str | None:
    """Name the attribute that a header holds, or None; remembered, since the same few come with every event."""
    lowered = header.lower()
    return lowered[len(_PREFIX) :] if lowered.startswith(_PREFIX) else None
