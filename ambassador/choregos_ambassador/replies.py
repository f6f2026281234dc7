"""From an answer to the next hops: which events a 2xx holds, and what they look like on the bus.

A reply's id is derived from its parent and its place, so that an event that is delivered twice stores its replies once.
What the service wrote into the event stays, but for the attributes that this module sets.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from choregos_ambassador.answer import Answer
from choregos_ambassador.role import Role
from choregos_contract import cloudevents_http
from choregos_contract.configuration import Reaction
from choregos_contract.event import Event, NotAnEvent, checked, is_json
from choregos_contract.ids import FAILURE

MAX_REPLIES: Final = 1000
"""The most messages that nats-server takes in one atomic batch (ADR-50)."""

_whole = msgspec.json.Decoder()


@dataclass(eq=False, slots=True)
class InvalidReply(Exception):  # noqa: N818  named by what it means for the caller
    """A 2xx that cannot be taken. `retry`: a later attempt may go well, else it is a dead letter at once."""

    reason: str
    detail: str
    retry: bool = False


def read(answer: Answer, reaction: Reaction) -> Sequence[Event]:
    """Read the events of a 2xx, as the service wrote them; raises InvalidReply."""
    if answer.truncated:
        raise InvalidReply("reply-too-large", f"the body is over {reaction.delivery.max_reply_bytes} bytes")
    is_event = cloudevents_http.is_event(answer.headers)
    if is_event or reaction.on_success is not None:
        _check_coding(answer)
    if is_event:
        events = _events(answer)
    elif reaction.on_success is not None and _is_document(answer):
        events = [_plain(answer, reaction.on_success)]
    elif reaction.on_success is not None:
        raise InvalidReply("invalid-reply", f"onSuccess needs a JSON body, to become the data of {reaction.on_success}")
    else:
        events = []
    undeclared = next((event.type for event in events if event.type not in reaction.emits), None)
    if undeclared is not None:
        raise InvalidReply("invalid-reply", f"{undeclared[:100]} is not among the reaction's emits", retry=True)
    if reaction.required and not events:
        raise InvalidReply("invalid-reply", "the reaction requires an event in the answer, and there is none")
    return events


def _check_coding(answer: Answer) -> None:
    """Refuse data that the next service could not read: an event has no attribute that would tell it the coding."""
    coding = answer.header("content-encoding") or "identity"
    if coding.lower() != "identity":
        raise InvalidReply("invalid-reply", f"the body is encoded ({coding[:20]}), which nobody asked for")


def _events(answer: Answer) -> Sequence[Event]:
    try:
        events = cloudevents_http.decode(answer.headers, answer.body)
    except NotAnEvent as error:
        raise InvalidReply("invalid-reply", f"broken CloudEvent: {error}") from None
    if len(events) > MAX_REPLIES:
        raise InvalidReply("invalid-reply", f"{len(events)} events in one answer; {MAX_REPLIES} is the limit")
    return events


def _is_document(answer: Answer) -> bool:
    if not is_json(answer.header("content-type")):
        return False
    try:
        _whole.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _plain(answer: Answer, event_type: str) -> Event:
    content_type = answer.header("content-type") or "application/json"
    return Event({"type": event_type, "datacontenttype": content_type}, answer.body)


def next_hops(parent: Event, replies: Iterable[Event], role: Role, now: str) -> list[Event]:
    """Give each reply its derived id and its place in the transaction; raises InvalidReply. `now` is an RFC 3339 time."""
    hops = [(reply, _next_hop(parent, reply, index, role, now)) for index, reply in enumerate(replies)]
    try:
        # One that the service wrote as an event was checked when it was read.
        return [hop if "id" in reply.attributes else checked(hop.attributes, hop.data) for reply, hop in hops]
    except NotAnEvent as error:
        raise InvalidReply("invalid-reply", str(error)) from None


def failure(parent: Event, reason: str, role: Role, now: str) -> Event | None:
    """Build the event that `onFailure` names, with the data of the event that failed; None where none is named."""
    if role.reaction.on_failure is None:
        return None
    attributes = {
        "type": role.reaction.on_failure,
        "choregosreason": reason,
        "choregosreaction": f"{role.service}/{role.event}",
    }
    for name in ("datacontenttype", "dataschema"):
        if name in parent.attributes:
            attributes[name] = parent.attributes[name]
    return _next_hop(parent, Event(attributes, parent.data), FAILURE, role, now)


def _next_hop(parent: Event, reply: Event, index: int | str, role: Role, now: str) -> Event:
    attributes = {"specversion": "1.0", "source": role.configuration.source, "time": now, **reply.attributes}
    if "id" in reply.attributes:
        attributes["replyid"] = reply.attributes["id"]
    inherited = ("partitionkey",) if "traceparent" in attributes else ("partitionkey", "traceparent", "tracestate")
    for name in inherited:
        if name in parent.attributes:
            attributes.setdefault(name, parent.attributes[name])
    attributes["id"] = role.reply_id(parent.source, parent.id, index)
    attributes["correlationid"] = parent.correlation_id
    attributes["causationid"] = parent.id
    attributes["choregoshops"] = str(parent.hops + 1)
    return Event(attributes, reply.data)
