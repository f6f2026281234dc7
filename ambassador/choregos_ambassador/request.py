"""The request that brings an event to the service: CloudEvents HTTP binding, binary mode."""

from collections.abc import Mapping
from typing import Final

from choregos_ambassador.role import Role
from choregos_contract.cloudevents_http import encode_value, header_name, is_plain
from choregos_contract.event import Event
from choregos_contract.ids import event_record

FORMS: Final = 256
"""Forms of heads that are remembered, each of up to `FORM_LENGTH` characters."""
FORM_LENGTH: Final = 4096
_TRACE: Final = ("traceparent", "tracestate")

_forms: dict[tuple[str, ...], str] = {}


def opening(role: Role, host: str) -> bytes:
    """Write the part of the head that every event of a role shares."""
    authority = f"[{host}]" if ":" in host else host
    return (
        f"POST {role.reaction.path} HTTP/1.1\r\nhost: {authority}:{role.reaction.port}\r\n"
        "user-agent: choregos-ambassador\r\nprefer: reply\r\n"
    ).encode()


def head(opening_: bytes, event: Event, attempt: int) -> bytes:
    """Write the whole head. `attempt` counts the event's deliveries from 1, an upper bound of attempts."""
    attributes = event.attributes
    names = tuple(attributes)
    values, correlation_id = attributes.values(), event.correlation_id
    key = event_record(event.source, event.id)
    trace = _trace(attributes) if "traceparent" in attributes or "tracestate" in attributes else ""
    form = _forms.get(names) or _new_form(names)
    if is_plain("".join(values)):
        lines = form % (*values, correlation_id, key, attempt, trace, len(event.data))
    else:
        encoded = (value if name == "datacontenttype" else encode_value(value) for name, value in attributes.items())
        lines = form % (*encoded, encode_value(correlation_id), key, attempt, trace, len(event.data))
    return opening_ + lines.encode()


def _new_form(names: tuple[str, ...]) -> str:
    """Write the head with a place for each value. Remembered: an event mostly has the same attributes as the one before."""
    form = "".join(f"{header_name(name)}: %s\r\n" for name in names) + (
        "x-correlation-id: %s\r\nidempotency-key: %s\r\nchoregos-attempt: %d\r\n%scontent-length: %d\r\n\r\n"
    )
    if len(form) <= FORM_LENGTH:
        if len(_forms) >= FORMS:
            _forms.clear()
        _forms[names] = form
    return form


def _trace(attributes: Mapping[str, str]) -> str:
    """W3C Trace Context knows no percent-encoding: what a header cannot hold is left out."""
    return "".join(f"{name}: {value}\r\n" for name in _TRACE if (value := attributes.get(name)) and value.isascii())
