"""The ledger: an append-only file of what happened, durable before anybody is told.

Moments are of CLOCK_MONOTONIC, which every process of one machine shares, in seconds; `wall` ones are Unix time, to be
compared with what the streams say.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Union

import msgspec


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """A call reached a service. `call` is unique; `process` is the run of the service that took it."""

    call: str
    process: str
    event: str
    reaction: str
    key: str
    attempt: int
    at: float


class Effect(msgspec.Struct, frozen=True):
    """What a call did to the world; it stands in the effects of its service, not in the ledger."""

    event: str
    reaction: str
    key: str
    """Its `Idempotency-Key`; without one it is done each time."""


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """A call is answered, in the next moment; or its caller is gone (`status` 0).

    `replies` are the types of the events in the answer; `good` is false where the service misbehaved.
    """

    call: str
    at: float
    status: int
    good: bool = True
    replies: tuple[str, ...] = ()


class HungUp(msgspec.Struct, frozen=True, tag="hung-up"):
    """A request whose caller had gone when the service came to it, which did nothing with it: no call."""

    event: str
    reaction: str
    at: float


class Died(msgspec.Struct, frozen=True, tag="died"):
    """A run of a service is about to end, or has ended: so have all its calls."""

    process: str
    at: float


class Accepted(msgspec.Struct, frozen=True, tag="accepted"):
    """A customer got a 201: from now on this may not be lost."""

    event: str
    correlation: str
    tries: int
    wall: float


class GivenUp(msgspec.Struct, frozen=True, tag="given-up"):
    """A customer got no 201 in time: the event may be on the bus or not."""

    key: str
    wall: float


class Struck(msgspec.Struct, frozen=True, tag="struck"):
    """A fault, from its begin to its end. `missed` says why it did no harm, `error` why it could not be undone."""

    kind: str
    target: str
    begun_wall: float
    ended_wall: float
    missed: str = ""
    error: str = ""


Record = Union[Begun, Ended, HungUp, Died, Accepted, GivenUp, Struck]  # noqa: UP007  msgspec takes it as a type argument, too

_decoder: Final = msgspec.json.Decoder(Record)
_encode: Final = msgspec.json.Encoder().encode


class Ledger:
    """The writer of one file; a successor goes on where a killed one ended."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")  # whoever was killed in the middle of a line is not continued

    def write(self, records: Iterable[Record]) -> None:
        """Append, and return once it is on the disk."""
        lines = b"".join(_encode(record) + b"\n" for record in records)
        if (written := os.write(self._file, lines)) < len(lines):
            raise OSError(f"the disk took {written} of {len(lines)} bytes")
        os.fdatasync(self._file)

    def close(self) -> None:
        """Write no more."""
        os.close(self._file)


def read(paths: Iterable[Path]) -> Iterator[Record]:
    """Yield the records of these files; raises msgspec.ValidationError if one is no record.

    Half a line was never told to anybody, and is left out.
    """
    for path in paths:
        for line in path.read_bytes().splitlines():
            try:
                yield _decoder.decode(line)
            except msgspec.ValidationError:
                raise
            except msgspec.DecodeError:  # it is no JSON
                continue
