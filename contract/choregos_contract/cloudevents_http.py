"""CloudEvents HTTP binding 1.0.2: events in requests and responses, in binary, structured and batched mode."""

import re
from collections.abc import Iterable
from urllib.parse import unquote

from choregos_contract import cloudevents_json
from choregos_contract.event import Event, NotAnEvent, checked

_PREFIX = "ce-"
_STRUCTURED = "application/cloudevents"
_TO_ENCODE = re.compile(r'[^!#$&-~]|["%]')
_PLAIN = bytes(code for code in range(ord("!"), ord("~") + 1) if code not in b'"%')

Headers = Iterable[tuple[str, str]]


def is_plain(text: str) -> bool:
    """Whether a text, be it many values in one, holds nothing that `encode_value` would have to encode."""
    return text.isascii() and not text.encode().translate(None, _PLAIN)  # an eighth of what a regular expression costs


def encode_value(value: str) -> str:
    """Percent-encode an attribute's value (section 3.1.3.2): what is not printable ASCII, space, `"` and `%`."""
    if is_plain(value):
        return value
    return _TO_ENCODE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode(errors="replace")), value)


def decode_value(value: str) -> str:
    """Undo `encode_value`; a value in double quotes, as older producers wrote it, is unquoted first."""
    if value[:1] == '"' == value[-1:] and len(value) > 1:
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    if "%" not in value:
        return value
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise NotAnEvent(f"header value {value[:40]!r} is not percent-encoded UTF-8") from None


def encode_binary(event: Event) -> list[tuple[str, str]]:
    """Headers of an event in binary mode; the body is its data as it is."""
    return [
        (header_name(name), value if name == "datacontenttype" else encode_value(value))
        for name, value in event.attributes.items()
    ]


def header_name(attribute: str) -> str:
    """Name the header that holds an attribute (section 3.1.3.1)."""
    return "content-type" if attribute == "datacontenttype" else _PREFIX + attribute


def is_event(headers: Headers) -> bool:
    """Whether an HTTP message claims to hold CloudEvents, in whichever mode."""
    for name, value in headers:
        lowered = name.lower()
        if lowered == "ce-specversion" or (lowered == "content-type" and value.lower().startswith(_STRUCTURED)):
            return True
    return False


def decode(headers: Headers, body: bytes) -> list[Event]:
    """Decode the events of an HTTP message: one, or a batch's; raises NotAnEvent."""
    lowered = list(_lowered(headers))
    content_type = next((value for name, value in lowered if name == "content-type"), "")
    essence = content_type.partition(";")[0].strip().lower()
    if not essence.startswith(_STRUCTURED):
        return [_binary(lowered, body)]
    if essence == cloudevents_json.EVENT_TYPE:
        return [cloudevents_json.decode_event(body)]
    if essence == cloudevents_json.BATCH_TYPE:
        return cloudevents_json.decode_batch(body)
    raise NotAnEvent(f"event format {essence[:60]!r} is not supported; send JSON ({cloudevents_json.EVENT_TYPE})")


def _binary(headers: Headers, body: bytes) -> Event:
    attributes: dict[str, str] = {}
    for name, value in headers:
        if name == "content-type":
            attribute, decoded = "datacontenttype", value
        elif name.startswith(_PREFIX) and name != "ce-datacontenttype":
            attribute, decoded = name[len(_PREFIX) :], decode_value(value)
        else:
            continue
        if attribute in attributes:
            raise NotAnEvent(f"header {name[:40]!r} stands there twice")
        attributes[attribute] = decoded
    return checked(attributes, body)


def _lowered(headers: Headers) -> Headers:
    return ((name.lower(), value) for name, value in headers)
