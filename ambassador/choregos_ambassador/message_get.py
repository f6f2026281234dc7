"""One stored message, read at its stream's leader: a direct get may be served by a replica that lags behind."""

from base64 import b64decode
from datetime import datetime

import msgspec

from choregos_ambassador.bus import Bus
from choregos_ambassador.jetstream_info import NO_MESSAGE, Error
from choregos_ambassador.storing import BusFault
from choregos_ambassador.timestamps import rfc3339


class Message(msgspec.Struct):
    """A message as it stands in a stream."""

    seq: int
    hdrs: str = ""
    data: bytes = b""
    time: datetime | None = None
    """When the stream's leader stored it."""

    def header(self, name: str) -> str | None:
        """Return a header of ours by its exact name; none of these is ever percent-encoded."""
        return header(b64decode(self.hdrs), name)


class _Answer(msgspec.Struct):
    message: Message | None = None
    error: Error | None = None


def header(block: bytes, name: str) -> str | None:
    """Return a header of a block by its exact name, the first if there are more of it."""
    _, found, rest = block.partition(f"\r\n{name}:".encode())
    return rest.partition(b"\r\n")[0].decode(errors="replace").strip() if found else None


async def last(bus: Bus, stream: str, subject: str) -> Message | None:
    """Return the last message of a subject; raises BusFault."""
    return await _get(bus, stream, {"last_by_subj": subject})


async def next_one(bus: Bus, stream: str, subject: str, sequence: int) -> Message | None:
    """Return the first message that a subject or filter holds from a sequence on; raises BusFault."""
    return await _get(bus, stream, {"seq": sequence, "next_by_subj": subject})


async def next_since(bus: Bus, stream: str, subject: str, moment: float) -> Message | None:
    """Return the first message that a subject holds since a moment (Unix time); raises BusFault.

    A server before 2.11 does not know `start_time`, and begins with the first of all.
    """
    return await _get(bus, stream, {"next_by_subj": subject, "start_time": rfc3339(moment)})


async def _get(bus: Bus, stream: str, query: dict[str, str | int]) -> Message | None:
    answered = await bus.request(f"$JS.API.STREAM.MSG.GET.{stream}", msgspec.json.encode(query))
    answer = msgspec.json.decode(answered, type=_Answer)
    if answer.error is not None and answer.error.err_code != NO_MESSAGE:
        raise BusFault(answer.error.description, err_code=answer.error.err_code)
    return answer.message
