"""CloudEvents JSON event format 1.0: one event, or a batch, as a JSON document.

`data` is cut out of the document as it stands, and put back as it stands: numbers keep their digits, objects their
order and duplicate keys.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping

import msgspec

from choregos_contract.event import Event, NotAnEvent, checked, is_json

EVENT_TYPE = "application/cloudevents+json"
BATCH_TYPE = "application/cloudevents-batch+json"

_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a document that is malformed, not UTF-8, or nested without end."""
_WHITE = b" \t\r\n"

_one = msgspec.json.Decoder(dict[str, msgspec.Raw])
_many = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_value = msgspec.json.Decoder(str | bool | int | None)
_text = msgspec.json.Decoder(str)
_any = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def decode_event(document: bytes) -> Event:
    """Decode one event; raises NotAnEvent."""
    try:
        members = _one.decode(document)
    except _BROKEN as error:
        raise NotAnEvent(f"the body is no JSON object: {error}") from None
    return _event(members)


def decode_batch(document: bytes) -> list[Event]:
    """Decode a batch, whole or not at all; raises NotAnEvent that names the element."""
    try:
        elements = _many.decode(document)
    except _BROKEN as error:
        raise NotAnEvent(f"the body is no JSON array of objects: {error}") from None
    events = []
    for index, members in enumerate(elements):
        try:
            events.append(_event(members))
        except NotAnEvent as error:
            raise NotAnEvent(f"element {index} of the batch: {error}") from None
    return events


def encode_event(event: Event) -> bytes:
    """Encode one event; JSON data stands in it as it is, anything else (white space around it too) as base64."""
    return _encoder.encode(_members(event))


def encode_batch(events: Iterable[Event]) -> bytes:
    """Encode events as a batch."""
    return _encoder.encode([_members(event) for event in events])


def _event(members: Mapping[str, msgspec.Raw]) -> Event:
    attributes = {}
    for name, raw in members.items():
        if name in ("data", "data_base64"):
            continue
        value = _attribute(name, raw)
        if value is not None:
            attributes[name] = value
    if "data_base64" in members:
        if "data" in members:
            raise NotAnEvent("data and data_base64 stand there both")
        data = _base64(members["data_base64"])
    elif "data" in members:
        data = _data(members["data"], attributes)
    else:
        data = b""
    return checked(attributes, data)


def _attribute(name: str, raw: msgspec.Raw) -> str | None:
    """The canonical string of an attribute; null means that it is not there (JSON format, section 2.2)."""
    try:
        value = _value.decode(raw)
    except _BROKEN:
        raise NotAnEvent(f"attribute {name[:40]!r} is neither a string, a boolean nor an integer") from None
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _data(raw: msgspec.Raw, attributes: dict[str, str]) -> bytes:
    """The bytes of `data` (JSON format, section 3.1): JSON as it stands, a string under another media type as text."""
    content_type = attributes.setdefault("datacontenttype", "application/json")
    written = bytes(raw)
    if not is_json(content_type) and written.startswith(b'"'):
        try:
            return _text.decode(written).encode()
        except _BROKEN:
            raise NotAnEvent("data is not UTF-8") from None
    return written


def _base64(raw: msgspec.Raw) -> bytes:
    try:
        return b64decode(_text.decode(raw), validate=True)
    except (*_BROKEN, Base64Error, ValueError):
        raise NotAnEvent("data_base64 is not a base64 string") from None


def _members(event: Event) -> dict[str, object]:
    members: dict[str, object] = dict(event.attributes)
    if not event.data:
        return members
    if is_json(event.attributes.get("datacontenttype")) and _is_document(event.data):
        members["data"] = msgspec.Raw(event.data)
    else:
        members["data_base64"] = b64encode(event.data).decode()
    return members


def _is_document(data: bytes) -> bool:
    try:
        _any.decode(data)
    except _BROKEN:
        return False
    return data[0] not in _WHITE and data[-1] not in _WHITE
