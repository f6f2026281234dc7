"""The request that brings an event to the service: CloudEvents HTTP binding, binary mode."""

from choregos_ambassador.role import Role
from choregos_contract.cloudevents_http import encode_binary, encode_value
from choregos_contract.event import Event
from choregos_contract.ids import event_record


def opening(role: Role, host: str) -> bytes:
    """Write the part of the head that every event of a role shares."""
    authority = f"[{host}]" if ":" in host else host
    return (
        f"POST {role.reaction.path} HTTP/1.1\r\nhost: {authority}:{role.reaction.port}\r\n"
        "user-agent: choregos-ambassador\r\nprefer: reply\r\n"
    ).encode()


def head(opening_: bytes, event: Event, attempt: int) -> bytes:
    """Write the whole head. `attempt` counts the event's deliveries from 1, an upper bound of attempts."""
    lines = [f"{name}: {value}\r\n" for name, value in encode_binary(event)]
    lines.append(
        f"x-correlation-id: {encode_value(event.correlation_id)}\r\n"
        f"idempotency-key: {event_record(event.source, event.id)}\r\nchoregos-attempt: {attempt}\r\n"
    )
    # W3C Trace Context knows no percent-encoding: what a header cannot hold is left out.
    lines.extend(
        f"{name}: {value}\r\n"
        for name in ("traceparent", "tracestate")
        if (value := event.attributes.get(name)) and value.isascii()
    )
    lines.append(f"content-length: {len(event.data)}\r\n\r\n")
    return opening_ + "".join(lines).encode()
