"""The bus as a test sees it: wired, written to, and read to the end."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import nats
from nats.aio.client import Client

from choregos_contract import cloudevents_nats
from choregos_contract.configure import bus_names_of
from choregos_contract.event import Event
from choregos_contract.event_bus import EventBus
from choregos_contract.ids import event_record
from choregos_contract.names import BusNames
from choregos_contract.resources import Choreography
from choregos_contract.wire import wire
from choregos_contract.wiring import wanted

API_WITHIN = 20.0
"""Seconds within which JetStream must answer: longer than a cluster takes to elect a leader."""


@dataclass(frozen=True)
class Stored:
    """A message as it stands in a stream. Header names keep their case."""

    sequence: int
    subject: str
    headers: dict[str, str]
    data: bytes


@dataclass(frozen=True)
class TestBus:
    """A connection and the names of one bus."""

    __test__ = False

    connection: Client
    names: BusNames

    async def api(self, subject: str, body: Any = None) -> dict[str, Any]:
        """Ask the JetStream API; again where the server went away in between, or a cluster has no leader."""
        payload = b"" if body is None else json.dumps(body).encode()
        deadline = asyncio.get_running_loop().time() + API_WITHIN
        while asyncio.get_running_loop().time() < deadline:
            try:
                answer = await self.connection.request(f"$JS.API.{subject}", payload, timeout=2)
            except nats.errors.TimeoutError:
                continue
            except nats.errors.NoRespondersError:
                await asyncio.sleep(0.1)
                continue
            return dict(json.loads(answer.data))
        raise AssertionError(f"no answer to {subject}")

    async def publish(self, event_type: str, data: bytes = b"{}", event_id: str = "e1", **attributes: str) -> int:
        """Store an event as an ambassador would; returns its sequence."""
        event = Event(
            {
                "specversion": "1.0",
                "id": event_id,
                "source": "/test",
                "type": event_type,
                "datacontenttype": "application/json",
                **attributes,
            },
            data,
        )
        headers = {**cloudevents_nats.encode(event), "Nats-Msg-Id": event_record(event.source, event.id)}
        return await self.publish_raw(self.names.event_subject(event_type, event.correlation_id), data, headers)

    async def publish_raw(self, subject: str, data: bytes, headers: dict[str, str] | None) -> int:
        return (await self.connection.jetstream().publish(subject, data, headers=headers)).seq

    async def durable(self, service: str, event_type: str) -> dict[str, Any]:
        name = self.names.durable(service, event_type)
        return await self.api(f"CONSUMER.INFO.{self.names.event_stream}.{name}")

    async def shorten_ack_wait(self, service: str, event_type: str, seconds: float) -> None:
        """Have JetStream take an event for lost sooner, for tests in which its holder dies."""
        config = (await self.durable(service, event_type))["config"] | {"ack_wait": int(seconds * 1e9)}
        stream = self.names.event_stream
        body = {"stream_name": stream, "config": config, "action": "update"}
        answer = await self.api(f"CONSUMER.CREATE.{stream}.{config['durable_name']}", body)
        assert "error" not in answer, answer

    async def remake(self, service: str, event_type: str) -> None:
        """Remove the event stream, and make it and one reaction's durable anew."""
        stream, name = self.names.event_stream, self.names.durable(service, event_type)
        config, durable = (await self.api(f"STREAM.INFO.{stream}"))["config"], await self.durable(service, event_type)
        body = {"stream_name": stream, "config": durable["config"], "action": "create"}
        for subject, asked in (
            (f"STREAM.DELETE.{stream}", None),
            (f"STREAM.CREATE.{stream}", config),
            (f"CONSUMER.CREATE.{stream}.{name}", body),
        ):
            answer = await self.api(subject, asked)
            assert "error" not in answer, answer

    async def until_settled(self, service: str, event_type: str, patience: float = 60.0) -> None:
        """Wait until the reaction has nothing to come and nothing in hand."""
        await self.until(self.is_idle, self.names.durable(service, event_type), patience=patience)

    async def until(self, condition: Callable[..., Any], *arguments: Any, patience: float = 60.0) -> None:
        """Ask until a condition holds."""
        deadline = asyncio.get_running_loop().time() + patience
        while not await condition(*arguments):
            assert asyncio.get_running_loop().time() < deadline, f"not within {patience} s: {arguments}"
            await asyncio.sleep(0.02)

    async def is_idle(self, durable: str) -> bool:
        """Whether all that is stored for a durable was delivered, and is settled.

        JetStream counts a message as pending only a moment after it has confirmed it to the publisher.
        """
        info = await self.api(f"CONSUMER.INFO.{self.names.event_stream}.{durable}")
        if info["num_pending"] or info["num_ack_pending"]:
            return False
        filters = info["config"].get("filter_subjects") or [info["config"]["filter_subject"]]
        return all([await self._last(each) <= info["delivered"]["stream_seq"] for each in filters])

    async def _last(self, filter_: str) -> int:
        """The sequence of the last event with such a subject; 0 if there is none."""
        answer = await self.api(f"STREAM.MSG.GET.{self.names.event_stream}", {"last_by_subj": filter_})
        return int(answer["message"]["seq"]) if "message" in answer else 0

    async def events(self, event_type: str | None = None, *, after: int = 0) -> list[Stored]:
        """Every event on the bus, or those of one type, or those stored after a sequence."""
        stored = await self._all(self.names.event_stream, after)
        return [each for each in stored if event_type in (None, each.headers.get("ce-type"))]

    async def dead_letters(self, *, of: int | None = None) -> list[Stored]:
        """Every dead letter, or those of the event at one sequence."""
        stored = await self._all(self.names.dead_letter_stream)
        return [each for each in stored if of is None or each.headers["Choregos-Original-Sequence"] == str(of)]

    async def _all(self, stream: str, after: int = 0) -> list[Stored]:
        state = (await self.api(f"STREAM.INFO.{stream}"))["state"]
        answers = [
            await self.api(f"STREAM.MSG.GET.{stream}", {"seq": sequence})
            for sequence in range(max(state["first_seq"], after + 1), state["last_seq"] + 1)
        ]
        return [_stored(answer["message"]) for answer in answers if "message" in answer]


def _stored(message: dict[str, Any]) -> Stored:
    lines = b64decode(message.get("hdrs", "")).decode(errors="replace").split("\r\n")[1:]
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    return Stored(message["seq"], message["subject"], headers, b64decode(message.get("data", "")))


@asynccontextmanager
async def connected(url: str, **credentials: Any) -> AsyncIterator[Client]:
    """A connection of the test's own; to one of several servers, where there are commas."""
    connection = await nats.connect(url.split(","), max_reconnect_attempts=-1, reconnect_time_wait=0.1, **credentials)
    try:
        yield connection
    finally:
        await connection.close()


async def wired(connection: Client, *choreographies: Choreography, bus: EventBus | None = None) -> TestBus:
    """Wire choreographies, and return their bus."""

    async def ask(subject: str, payload: bytes) -> bytes:
        return (await connection.request(subject, payload, timeout=30)).data

    version = str(connection.connected_server_version)
    names = bus_names_of(choreographies, bus)
    await wire(ask, wanted(choreographies, bus, names.namespace), server_version=version, now="2026-01-01T00:00:00Z")
    return TestBus(connection, names)
