"""One delivery of one stored event: what JetStream tells of it, and the lease under which it is held."""

import time
from typing import Final

import msgspec

from choregos_ambassador import nats_headers
from choregos_ambassador.timestamps import rfc3339

ACK_WAIT: Final = 30.0
"""Seconds after which JetStream gives an event to somebody else, counted from the last sign of progress."""


class Delivery(msgspec.Struct, eq=False):
    """An event as it was delivered. `number` counts its deliveries from 1; `stored` is in nanoseconds of Unix time."""

    subject: str
    headers: dict[str, str]
    data: bytes
    ack_subject: bytes
    number: int
    sequence: int
    stored: int
    stream: str
    renewed: float = msgspec.field(default_factory=time.monotonic)

    @property
    def shard(self) -> str:
        """The last token of its subject."""
        return self.subject.rpartition(".")[2]

    @property
    def first_time(self) -> str:
        """When the bus stored the event."""
        return rfc3339(self.stored / 1e9)

    @property
    def lost(self) -> bool:
        """Whether the lease has run out: then somebody else may hold the event already."""
        return time.monotonic() - self.renewed > ACK_WAIT


def parse(subject: bytes, reply: bytes, headers: bytes, data: bytes) -> Delivery:
    """Read a delivered message (ADR-15): `$JS.ACK.<stream>...`, or with domain and account hash in front of the stream."""
    tokens = reply.split(b".")
    stream, _, number, sequence, _, stored = tokens[2:8] if len(tokens) == 9 else tokens[4:10]
    return Delivery(
        subject.decode(errors="replace"),
        nats_headers.read(headers) if headers else {},
        data,
        reply,
        int(number),
        int(sequence),
        int(stored),
        stream.decode(),
    )
