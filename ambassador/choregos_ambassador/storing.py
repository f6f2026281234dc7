"""Storing on the bus: the record that goes out, the acknowledgement that comes back, and what goes wrong."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import msgspec

from choregos_ambassador import nats_headers
from choregos_ambassador.jetstream_info import Error

MAX_HEADERS: Final = 64 * 1024 - 1
"""Bytes of a header block that a stream takes, whatever `max_payload` is."""


class BusFault(Exception):  # noqa: N818  named by what it means for the caller
    """The bus did not store it, or did not say so: away, full, too slow. It may be sent again as it is.

    `err_code`: JetStream's own number of what is wrong, if it said so.
    """

    stored: "Sequence[Stored]" = ()
    """Of records that were sent one by one, those at the front that were stored before the fault."""

    def __init__(self, error: str, *, err_code: int = 0) -> None:
        super().__init__(error)
        self.err_code = err_code


class Conflict(Exception):  # noqa: N818
    """The record's subject is not at the sequence that the record expects: somebody else was quicker."""


class TooLarge(Exception):  # noqa: N818
    """The record is larger than the server takes: sent, it would cost the connection, or be refused for ever."""

    def __init__(self, size: int, limit: int, counted: str = "with its headers") -> None:
        super().__init__(f"{size} bytes {counted}; the NATS server takes {limit}")
        self.size = size
        self.limit = limit


class Record(msgspec.Struct, frozen=True, dict=True):
    """A message to be stored."""

    subject: str
    headers: Mapping[str, str]
    payload: bytes

    @cached_property
    def block(self) -> bytes:
        """The header block."""
        return nats_headers.write(self.headers)

    @property
    def size(self) -> int:
        """Bytes that count against `max_payload`: header block and payload."""
        return len(self.block) + len(self.payload)


class Stored(msgspec.Struct):
    """A publish acknowledgement. `duplicate`: the stream had it already."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: Error | None = None


_stored = msgspec.json.Decoder(Stored)


def acknowledgement(answer: bytes) -> Stored:
    """Read what JetStream answered to a publish; raises BusFault where it is nothing of the kind."""
    try:
        return _stored.decode(answer)
    except msgspec.DecodeError:
        raise BusFault("JetStream's answer is no publish acknowledgement") from None
