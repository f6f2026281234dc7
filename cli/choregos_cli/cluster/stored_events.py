"""How many events of a type a bus holds, and when the last and the oldest of them were stored; each one request.

`ask` sends one request to a subject and returns the answer's payload. Every function raises JetStreamError, and what `ask`
raises; a stream that does not exist holds nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from choregos_contract.names import BusNames, token
from choregos_contract.pages import subject_counts, subject_pages
from choregos_contract.wire import STREAM_NOT_FOUND, Ask, JetStreamError, request

_NO_MESSAGE: Final = 10037


async def count_stored(ask: Ask, names: BusNames, event: str) -> int:
    """Return how many events of a type the bus holds: the server counts them by subject; raises ListTooLong, too."""
    pages = subject_pages(ask, names.event_stream, _of_type(names, event))
    return sum([sum(subject_counts(page).values()) async for page in pages])


async def last_stored(ask: Ask, names: BusNames, event: str) -> datetime | None:
    """Return when the last event of a type was stored; None if the bus holds none."""
    return await _stored_at(ask, names, {"last_by_subj": _of_type(names, event)})


async def first_stored(ask: Ask, names: BusNames, event: str, *, after: int) -> datetime | None:
    """Return when the first event of a type behind the sequence `after` was stored; None if there is none."""
    return await _stored_at(ask, names, {"seq": after + 1, "next_by_subj": _of_type(names, event)})


def _of_type(names: BusNames, event: str) -> str:
    return f"{names.root}.ev.{token(event)}.*.*"


async def _stored_at(ask: Ask, names: BusNames, which: Mapping[str, Any]) -> datetime | None:
    stream = names.event_stream
    try:
        found = await request(ask, f"stream {stream}", f"STREAM.MSG.GET.{stream}", msgspec.json.encode(which))
    except JetStreamError as error:
        if error.err_code in (_NO_MESSAGE, STREAM_NOT_FOUND):
            return None
        raise
    return msgspec.convert(found["message"]["time"], datetime)
