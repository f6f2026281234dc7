"""Events whose body begins with their number, so that who sends and who receives can be compared event by event."""

from collections.abc import Iterator

from stage import NAMES

_OPENING = b'{"number":'
_DIGITS = 10
SMALLEST = len(_OPENING) + _DIGITS + len(b',"filler":""}')

Message = tuple[str, dict[str, str], bytes]
"""Subject, headers, body."""


def body(number: int, size: int = 200) -> bytes:
    """Return a JSON document of `size` bytes."""
    return b'%s1%09d,"filler":"%s"}' % (_OPENING, number, b"x" * (size - SMALLEST))


def number_of(document: bytes) -> int:
    """Return the number of a body."""
    start = len(_OPENING) + 1
    return int(document[start : start + _DIGITS - 1])


def event(run: str, number: int, event_type: str = "Placed", size: int = 200) -> Message:
    """Return an event with eight headers, as the bus holds it. `run` keeps the ids of two runs apart."""
    event_id = f"{run}-{number}"
    headers = {
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-source": "/bench/origin",
        "ce-type": event_type,
        "ce-time": "2026-01-01T00:00:00.000Z",
        "ce-datacontenttype": "application/json",
        "ce-correlationid": event_id,
        "Nats-Msg-Id": event_id,
    }
    return NAMES.event_subject(event_type, event_id), headers, body(number, size)


def events(run: str, first: int, number: int, *types: str, size: int = 200) -> Iterator[Message]:
    """Yield events from the number `first` on, their types in turns."""
    for each in range(first, first + number):
        yield event(run, each, types[each % len(types)], size)
