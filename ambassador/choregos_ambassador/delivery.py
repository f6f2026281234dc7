"""One delivery of one stored event: what JetStream tells of it, and the lease under which it is held."""

import time
from dataclasses import dataclass, field
from typing import Final

from choregos_ambassador.timestamps import rfc3339

ACK_WAIT: Final = 30.0
"""Seconds after which JetStream gives an event to somebody else, counted from the last sign of progress."""


@dataclass(slots=True, eq=False)
class Delivery:
    """An event as it was delivered. `number` counts its deliveries from 1; `stored` is in nanoseconds of Unix time."""

    subject: str
    headers: dict[str, str]
    data: bytes
    ack_subject: str
    stream: str
    number: int
    sequence: int
    stored: int
    renewed: float = field(default_factory=time.monotonic)

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


def parse(subject: str, reply: str, headers: dict[str, str] | None, data: bytes) -> Delivery:
    """Read a delivered message (ADR-15): `$JS.ACK.<stream>...`, or with domain and account hash in front of the stream."""
    tokens = reply.split(".")
    stream, _, number, sequence, _, stored = tokens[2:8] if len(tokens) == 9 else tokens[4:10]
    return Delivery(subject, headers or {}, data, reply, stream, int(number), int(sequence), int(stored))
