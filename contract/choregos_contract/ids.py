"""Identifiers: derived from what they name, so that doing a thing twice names it the same.

A derived identifier is the first 128 bits of the SHA-256 of its parts, joined by NUL (which no CloudEvents string may
hold), in base64url without padding: 22 characters. The first part is the kind, so that two kinds never meet.
"""

import time
from base64 import urlsafe_b64encode
from hashlib import sha256
from secrets import randbits

FAILURE = "failure"
"""The index of the reply that the ambassador itself emits for a reaction that failed for good."""


def derive(kind: str, *parts: str) -> str:
    """Derive the 22-character identifier of one kind from its parts."""
    # An HTTP header that is not UTF-8 comes as lone surrogates; it still names what it names.
    digest = sha256("\0".join((kind, *parts)).encode(errors="surrogatepass")).digest()
    return urlsafe_b64encode(digest[:16])[:22].decode()


def event_record(source: str, event_id: str) -> str:
    """`Nats-Msg-Id` of an event as it enters the bus: its source and id together, never the bare id."""
    return derive("event", source, event_id)


def reply_id(parent_source: str, parent_id: str, service: str, event_type: str, index: int | str) -> str:
    """`ce-id` of the reply at an index, or at FAILURE, of the reaction (service, event type) to its parent."""
    return derive("reply", parent_source, parent_id, service, event_type, str(index))


def reply_record(derived_id: str) -> str:
    """`Nats-Msg-Id` of a reply: its derived id alone, whatever source the service gave on this attempt."""
    return derive("reply-record", derived_id)


def dead_letter_record(stream: str, created: str, sequence: int, service: str) -> str:
    """`Nats-Msg-Id` of a dead letter: the stored event (stream, the stream's creation time, sequence) and the service."""
    return derive("dead-letter", stream, created, str(sequence), service)


def inbox_key(created: str, service: str, event_type: str, source: str, event_id: str, *, redrive: str = "") -> str:
    """Key of an event in the inbox of the reaction (service, event type).

    `created` is the creation time of the event stream: made anew, it begins another history. `redrive` is empty for the
    event itself, and the `Nats-Msg-Id` of a redrive, which is processed anew.
    """
    return derive("inbox", created, service, event_type, source, event_id, redrive)


def keyed_event_id(service: str, event_type: str, key: str) -> str:
    """`ce-id` of an event that a service published with an `Idempotency-Key`."""
    return derive("key", service, event_type, key)


def uuid7(milliseconds: int | None = None) -> str:
    """A new UUIDv7 (RFC 9562): 48 bits of Unix time in milliseconds, then random bits; sorts by time."""
    now = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    random = randbits(80)
    value = (now & (1 << 48) - 1) << 80 | 7 << 76 | (random >> 68) << 64 | 2 << 62 | random & (1 << 62) - 1
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
