"""What stands in the streams, as plain values."""

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from nats.aio.msg import Msg

from chaos.choreography import ROLES
from support.bus import TestBus

_BATCH: Final = 500
_QUIET: Final = 10.0
"""Seconds without a message after which a batch counts as cut off, and is asked for again."""


@dataclass(frozen=True)
class StoredEvent:
    """An event in the stream; `wall` is when the stream took it, Unix time; `data` its body, JSON in one spelling."""

    sequence: int
    id: str
    type: str
    source: str
    correlation: str
    causation: str
    wall: float
    data: str = ""


@dataclass(frozen=True)
class Letter:
    """A dead letter: of which stored event, for whom, and why."""

    event_sequence: int
    event: str
    service: str
    event_type: str
    reason: str
    correlation: str
    failure_emitted: bool
    wall: float
    data: str = ""

    @property
    def reaction(self) -> str:
        """The reaction that could not process the event."""
        return f"{self.service}/{self.event_type}"


@dataclass(frozen=True)
class Position:
    """Where a durable stands: deliveries so far, the last event delivered, what is behind it for good, what is to come."""

    reaction: str
    deliveries: int
    delivered: int
    floor: int
    pending: int

    @property
    def idle(self) -> bool:
        """Whether nothing is to come and nothing in hand."""
        return not self.pending


@dataclass(frozen=True)
class Streams:
    """All of it."""

    events: tuple[StoredEvent, ...]
    letters: tuple[Letter, ...]
    positions: tuple[Position, ...]


async def positions(bus: TestBus) -> tuple[Position, ...]:
    """Ask where the durables stand."""
    found = []
    for role in ROLES:
        info = await bus.durable(role.service, role.event)
        found.append(
            Position(
                role.name,
                info["delivered"]["consumer_seq"],
                info["delivered"]["stream_seq"],
                info["ack_floor"]["stream_seq"],
                info["num_pending"] + info["num_ack_pending"],
            )
        )
    return tuple(found)


async def read(bus: TestBus) -> Streams:
    """Read both streams to their ends."""
    events = await _messages(bus, bus.names.event_stream)
    letters = await _messages(bus, bus.names.dead_letter_stream)
    return Streams(
        tuple(_event(message) for message in events),
        tuple(_letter(message) for message in letters),
        await positions(bus),
    )


async def _messages(bus: TestBus, stream: str) -> list[Msg]:
    """Fetch every message by direct get, in batches (ADR-31); raises AssertionError if there are fewer than it says."""
    there = (await bus.api(f"STREAM.INFO.{stream}"))["state"]["messages"]
    found: list[Msg] = []
    while len(found) < there:
        seen, before = int(_headers(found[-1])["Nats-Sequence"]) if found else 0, len(found)
        found += await _batch(bus, stream, seen + 1)
        assert len(found) > before, f"{stream} ends with {seen}, after {before} of {there} messages"
    return found


async def _batch(bus: TestBus, stream: str, start: int) -> list[Msg]:
    inbox = bus.connection.new_inbox()
    subscription = await bus.connection.subscribe(inbox)
    body: dict[str, Any] = {"seq": start, "batch": _BATCH, "next_by_subj": ">"}
    try:
        await bus.connection.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(body).encode(), reply=inbox)
        found: list[Msg] = []
        async with asyncio.timeout(_QUIET):
            while "Nats-Sequence" in _headers(message := await subscription.next_msg(timeout=_QUIET)):
                found.append(message)
        return found
    finally:
        await subscription.unsubscribe()


def _headers(message: Msg) -> dict[str, str]:
    return message.headers or {}


def _wall(headers: dict[str, str]) -> float:
    return datetime.fromisoformat(headers["Nats-Time-Stamp"]).timestamp()


def _data(message: Msg) -> str:
    try:
        return json.dumps(json.loads(message.data), sort_keys=True)
    except ValueError:
        return repr(message.data)


def _event(message: Msg) -> StoredEvent:
    headers = _headers(message)
    return StoredEvent(
        int(headers["Nats-Sequence"]),
        headers["ce-id"],
        headers["ce-type"],
        headers["ce-source"],
        headers["ce-correlationid"],
        headers.get("ce-causationid", ""),
        _wall(headers),
        _data(message),
    )


def _letter(message: Msg) -> Letter:
    headers = _headers(message)
    return Letter(
        int(headers["Choregos-Original-Sequence"]),
        headers.get("ce-id", ""),
        headers["Choregos-Service"],
        headers["Choregos-Event"],
        headers["Choregos-Reason"],
        headers.get("ce-correlationid", ""),
        headers["Choregos-Failure-Emitted"] == "true",
        _wall(headers),
        _data(message),
    )
