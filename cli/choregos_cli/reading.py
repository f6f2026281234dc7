"""Reading a stream from the side: no consumer is made, nothing is acknowledged, nobody is disturbed.

Messages are fetched one after the other by direct get (ADR-31, `next_by_subj`), so the position is ours alone and
outlives a restart of the server.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from choregos_cli.happenings import DeadLettered, EventStored
from choregos_cli.interrupts import raise_swallowed_cancel
from choregos_contract import cloudevents_nats
from choregos_contract.cloudevents_http import decode_value
from choregos_contract.event import NotAnEvent
from choregos_contract.names import BusNames

_PATIENCE: Final = 5.0
_POLL: Final = 0.25
"""Seconds after which is looked again if no publish wakes us: a stream stores a message a moment after it is heard."""

Stored = EventStored | DeadLettered


class StreamReader:
    """A position in one stream."""

    def __init__(self, client: Client, stream: str, subject: str, start: int = 1) -> None:
        self._client = client
        self._stream = stream
        self._subject = subject
        self._next = start

    async def take(self) -> Msg | None:
        """Return the next message, or None if there is none yet; raises nats.errors.Error if the bus is away."""
        request = json.dumps({"seq": self._next, "next_by_subj": self._subject}).encode()
        message = await self._client.request(f"$JS.API.DIRECT.GET.{self._stream}", request, timeout=_PATIENCE)
        raise_swallowed_cancel()
        headers = message.headers or {}
        if "Nats-Sequence" not in headers:
            return None
        self._next = int(headers["Nats-Sequence"]) + 1
        return message

    async def to_the_end(self) -> AsyncIterator[Msg]:
        """Yield every message from the position on, until there is none."""
        while message := await self.take():
            yield message

    async def follow(self) -> AsyncIterator[Msg]:
        """Yield every message from the position on, for ever; waits while the bus is away."""
        published = asyncio.Event()

        async def wake(_: Msg) -> None:
            published.set()

        subscription = await self._client.subscribe(self._subject, cb=wake)
        try:
            while True:
                published.clear()
                with suppress(NatsError):
                    async for message in self.to_the_end():
                        yield message
                with suppress(TimeoutError):
                    async with asyncio.timeout(_POLL):
                        await published.wait()
        finally:
            with suppress(NatsError):
                await subscription.unsubscribe()


def event_reader(client: Client, bus: BusNames, start: int = 1) -> StreamReader:
    """Return a reader of a bus's events; what is redriven to one reaction is not among them."""
    return StreamReader(client, bus.event_stream, f"{bus.root}.ev.*.*.*", start)


def dead_letter_reader(client: Client, bus: BusNames, start: int = 1) -> StreamReader:
    """Return a reader of a bus's dead letters."""
    return StreamReader(client, bus.dead_letter_stream, bus.dead_letter_stream_subjects[0], start)


def event_stored(message: Msg) -> EventStored | None:
    """Return what a message of the event stream says; None if it is no event."""
    headers = message.headers or {}
    try:
        event = cloudevents_nats.decode(headers, message.data)
    except NotAnEvent:
        return None
    return EventStored(
        time=_time(headers),
        stream=headers["Nats-Stream"],
        sequence=int(headers["Nats-Sequence"]),
        id=event.id,
        source=event.source,
        type=event.type,
        correlation_id=event.correlation_id,
        causation_id=event.attributes.get("causationid"),
        hops=event.hops,
        data=event.data,
    )


def dead_lettered(message: Msg) -> DeadLettered:
    """Return what a message of the dead-letter stream says."""
    headers = message.headers or {}
    status = headers.get("Choregos-Last-Status", "")
    return DeadLettered(
        time=_time(headers),
        stream=headers["Nats-Stream"],
        sequence=int(headers["Nats-Sequence"]),
        service=headers.get("Choregos-Service", ""),
        event_id=headers.get("ce-id", ""),
        event_type=headers.get("Choregos-Event", ""),
        correlation_id=headers.get("ce-correlationid") or headers.get("ce-id", ""),
        reason=headers.get("Choregos-Reason", ""),
        attempts=int(headers.get("Choregos-Attempts", "0")),
        last_status=int(status) if status.isdecimal() else None,
        last_error=decode_value(headers.get("Choregos-Last-Error", "")) or None,
        failure_emitted=headers.get("Choregos-Failure-Emitted") == "true",
    )


def _time(headers: Mapping[str, str]) -> float:
    # Nanoseconds, which datetime would refuse before Python 3.11 and cuts since.
    return datetime.fromisoformat(headers["Nats-Time-Stamp"]).timestamp()
