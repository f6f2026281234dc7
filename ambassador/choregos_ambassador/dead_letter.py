"""The dead letter: the event as it was, and in headers why one reaction could not process it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from choregos_ambassador.delivery import Delivery
from choregos_ambassador.records import WIRE_HEADER, WIRE_VERSION
from choregos_ambassador.role import Role
from choregos_ambassador.storing import Record
from choregos_ambassador.timestamps import rfc3339
from choregos_contract.cloudevents_http import encode_value
from choregos_contract.ids import dead_letter_record

# Any other name may be one that a NATS client refuses to write; it stands among the original headers alone.
_ATTRIBUTE: Final = re.compile(r"ce-[a-z0-9]+|content-type")


class Reason(StrEnum):
    """Why an event became a dead letter. The set is closed; the reference docs are made from it."""

    EXHAUSTED = "exhausted"
    """The last attempt got a retry verdict."""
    REJECTED = "rejected"
    """The service refused it for good: 410, 413, 415, 422, 501, a status of `delivery.reject`, or its own word."""
    INVALID_REPLY = "invalid-reply"
    """The service took it, and its answer cannot be the next hop."""
    REPLY_TOO_LARGE = "reply-too-large"
    """The answer, or an event in it, is larger than `delivery.maxReplyBytes` or the server's `max_payload`."""
    NOT_AN_EVENT = "not-an-event"
    """No CloudEvent, or of another type than its subject says."""
    TOO_MANY_HOPS = "too-many-hops"
    """More than 64 hops led to it: the choreography goes round in circles."""
    CRASH_LOOP = "crash-loop"
    """It was delivered again and again, and no delivery came to an end: it may be what kills the pod."""

    @classmethod
    def recorded(cls, text: str) -> "Reason":
        """Read a reason from the bus; one that a newer release invented counts as `exhausted`."""
        return next((reason for reason in cls if reason == text), cls.EXHAUSTED)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why, with what is known of the last attempt."""

    reason: Reason
    error: str = ""
    status: int | None = None
    said: str = ""
    """What the service said of it, if it answered."""

    @property
    def text(self) -> str:
        """The error and what the service said, at most 300 characters."""
        return f"{self.error} {self.said}".strip()[:300]


def letter(delivery: Delivery, cause: Cause, role: Role, stream_created: str, *, failure_emitted: bool) -> Record:
    """Write the dead letter of an event; its body is the event's, byte for byte."""
    original = {name: value for name, value in delivery.headers.items() if _ATTRIBUTE.fullmatch(name.lower())}
    headers = {
        **original,
        "Nats-Msg-Id": dead_letter_record(delivery.stream, stream_created, delivery.sequence, role.service),
        WIRE_HEADER: WIRE_VERSION,
        "Choregos-Reason": str(cause.reason),
        "Choregos-Service": role.service,
        "Choregos-Event": role.event,
        "Choregos-Attempts": str(delivery.number),
        "Choregos-Last-Error": encode_value(cause.text),
        "Choregos-First-Time": delivery.first_time,
        "Choregos-Last-Time": rfc3339(),
        "Choregos-Original-Stream": delivery.stream,
        "Choregos-Original-Subject": delivery.subject,
        "Choregos-Original-Sequence": str(delivery.sequence),
        "Choregos-Failure-Emitted": "true" if failure_emitted else "false",
        "Choregos-Original-Headers": msgspec.json.encode(delivery.headers).decode(),
    }
    if cause.status is not None:
        headers["Choregos-Last-Status"] = str(cause.status)
    return Record(
        role.configuration.bus.dead_letter_subject(role.service, role.event, delivery.shard), headers, delivery.data
    )


def reduced(letter: Record) -> Iterator[Record]:
    """Yield what is kept of a letter that does not fit into a message; its mark says what is missing.

    First all but the original headers; then nothing but where the event stands, and why it is here.
    """
    kept = {name: value for name, value in letter.headers.items() if name != "Choregos-Original-Headers"}
    yield Record(letter.subject, {**kept, "Choregos-Truncated": "headers"}, letter.payload)
    ours = {name: value for name, value in kept.items() if name == "Nats-Msg-Id" or name.startswith("Choregos-")}
    yield Record(letter.subject, {**ours, "Choregos-Truncated": "true"}, b"")
