"""The event: a CloudEvent 1.0 as a value, apart from how it travels.

Every attribute is held in its canonical string form under its bare name (`id`, `time`, `correlationid`), because that
is what both bindings carry; the data is the bytes that the producer wrote, never parsed and written anew.
"""

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache

import msgspec

MAX_HOPS = 64
_NAME = re.compile(r"[a-z0-9]+")
# Section "Type System": no controls, no lone surrogates (raw bytes of a header can come as such), no noncharacters.
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane + last) for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF))
    + "]"
)
_TIME = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?"
    r"([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)


_EVENTS = "application/cloudevents"
"""What the media type of an event begins with. In binary mode it would stand for the data, and say that it is the event."""


class NotAnEvent(ValueError):  # noqa: N818  named by what it means for the caller
    """What arrived is not a CloudEvent; the message says which rule it breaks."""


class Event(msgspec.Struct, frozen=True):
    """A CloudEvent: its attributes in canonical string form, and the bytes of its data."""

    attributes: Mapping[str, str]
    data: bytes = b""

    @property
    def id(self) -> str:
        """The producer's id, unique within the source."""
        return self.attributes["id"]

    @property
    def source(self) -> str:
        """A URI reference that names the producer."""
        return self.attributes["source"]

    @property
    def type(self) -> str:
        """The event's name, past tense."""
        return self.attributes["type"]

    @property
    def correlation_id(self) -> str:
        """The transaction that the event belongs to; an event without one begins its own."""
        return self.attributes.get("correlationid") or self.attributes["id"]

    @property
    def partition_key(self) -> str | None:
        """What orders the event (CloudEvents extension `partitionkey`), where the producer gave it."""
        return self.attributes.get("partitionkey")

    @property
    def hops(self) -> int:
        """How many hops led to the event; 0 for one that a producer published."""
        text = self.attributes.get("choregoshops", "")
        return int(text) if text.isdecimal() and len(text) < 10 else 0


def checked(attributes: Mapping[str, str], data: bytes) -> Event:
    """Build an event, or raise NotAnEvent with the rule of CloudEvents 1.0 (section "Context Attributes") it breaks."""
    for name in ("id", "source", "type"):
        if not attributes.get(name):
            raise NotAnEvent(f"the required attribute '{name}' is missing or empty")
    version = attributes.get("specversion")
    if version != "1.0":
        raise NotAnEvent(
            f"specversion is {version[:40]!r}; this is CloudEvents 1.0" if version else "specversion is missing"
        )
    for name, value in attributes.items():
        if not _is_name(name):
            if name == "data":
                raise NotAnEvent("no attribute may be named 'data'")
            raise NotAnEvent(f"attribute name {name[:40]!r} is not of lower-case letters and digits only")
        # The first test, which nearly every value passes, is for speed: this runs once per attribute of every hop.
        if not (value.isascii() and value.isprintable()) and _FORBIDDEN.search(value):
            raise NotAnEvent(f"attribute '{name[:40]}' holds a control character, a surrogate or a noncharacter")
    content_type = attributes.get("datacontenttype")
    if content_type is not None and content_type.lstrip()[: len(_EVENTS)].lower() == _EVENTS:
        raise NotAnEvent(f"datacontenttype {content_type[:40]!r} would have the data taken for the event itself")
    time = attributes.get("time")
    if time is not None and not _is_time(time):
        raise NotAnEvent(f"time {time[:40]!r} is not an RFC 3339 timestamp")
    return Event(attributes, data)


@lru_cache(maxsize=128)  # few, since each may be as long as all headers
def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name != "data"


def _is_time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return True


def is_json(content_type: str | None) -> bool:
    """Whether a media type says JSON: `application/json`, any `*/json`, or a `+json` suffix (RFC 6839)."""
    essence = (content_type or "").partition(";")[0].strip().lower()
    return essence.endswith(("/json", "+json"))
