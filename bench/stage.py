"""What every measurement needs: NATS, a service that costs little, a wired bus, processes and what they cost."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import nginx
import uvloop
from machine import cpu_seconds, rss_mib
from nats.aio.client import Client

from choregos_cli.embedded_nats import embedded_nats
from choregos_cli.ports import free_port
from choregos_cli.processes import Process, Processes
from choregos_contract import cloudevents_nats
from choregos_contract.configuration import Configuration, Delivery, Reaction, Readiness, dump
from choregos_contract.event import Event
from choregos_contract.names import BusNames

NAMES = BusNames(namespace="bench")
SERVICE = "target"
BODY = json.dumps({"order": 1, "filler": "x" * 175}).encode()
"""200 bytes."""
FAST, SLOW, REPLY = "/events", "/slow", "/reply"
"""The service's paths: it answers 204 at once, 204 after 1 ms, or an event `Shipped`."""
SHIPPED = "Shipped"
_MUCH = 2000

__all__ = ["cpu_seconds", "rss_mib"]  # which all measurements take from here


class _Processes(Processes):
    """The processes, and in which order they were started."""

    def __init__(self) -> None:
        self.started: list[Process] = []

    async def start(self, *arguments: Any, **options: Any) -> Process:
        process = await super().start(*arguments, **options)
        self.started.append(process)
        return process


@dataclass
class Stage:
    """One run's NATS, its service's port, and the processes."""

    processes: Processes
    url: str
    client: Client
    port: int
    service: str
    """What answers, for the report."""
    nats_pid: int
    service_pid: int
    lines: dict[int, list[str]] = field(default_factory=dict)

    @property
    def is_nginx(self) -> bool:
        """Whether the service is nginx; otherwise something slower stands in for it."""
        return self.service.startswith("nginx")

    async def api(self, subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream's API."""
        payload = json.dumps(body).encode() if body is not None else b""
        answer: dict[str, Any] = json.loads((await self.client.request(f"$JS.API.{subject}", payload, timeout=10)).data)
        if "error" in answer:
            raise RuntimeError(f"{subject}: {answer['error']}")
        return answer

    async def fresh_bus(self, *event_types: str) -> None:
        """Make the bus anew, with a durable for each event type."""
        notes = f"KV_{NAMES.note_bucket}"
        for stream in (NAMES.event_stream, NAMES.dead_letter_stream, notes):
            await self.client.request(f"$JS.API.STREAM.DELETE.{stream}", b"", timeout=10)
        window = {"duplicate_window": int(600e9), "allow_direct": True, "allow_atomic": True, "discard": "new"}
        events = {"name": NAMES.event_stream, "subjects": list(NAMES.event_stream_subjects), **window}
        letters = {"name": NAMES.dead_letter_stream, "subjects": list(NAMES.dead_letter_stream_subjects), **window}
        # An ambassador that starts waits for these: they may say that its service was out when the one before ended.
        bucket = {
            "name": notes,
            "subjects": [f"$KV.{NAMES.note_bucket}.>"],
            "max_msgs_per_subject": 1,
            "allow_direct": True,
        }
        for config in (events, letters, bucket):
            await self.api(f"STREAM.CREATE.{config['name']}", config)
        for event_type in event_types:
            await self.make_durable(event_type)

    async def make_durable(self, event_type: str, service: str = SERVICE) -> None:
        """Make the durable of a reaction."""
        durable = NAMES.durable(service, event_type)
        config = {
            "durable_name": durable,
            "ack_policy": "explicit",
            "ack_wait": int(30e9),
            "max_deliver": -1,
            "max_ack_pending": 10_000,
            "filter_subjects": list(NAMES.durable_filters(service, event_type)),
        }
        body = {"stream_name": NAMES.event_stream, "config": config}
        await self.api(f"CONSUMER.CREATE.{NAMES.event_stream}.{durable}", body)

    async def publish(self, number: int, event_type: str = "Placed") -> None:
        """Store so many events with eight headers and 200 bytes each."""
        window: list[asyncio.Future[Any]] = []
        for index in range(number):
            window.append(asyncio.ensure_future(self.publish_one(f"{event_type}-{index}", event_type)))
            if len(window) == 256:
                await asyncio.gather(*window)
                window.clear()
        await asyncio.gather(*window)

    async def publish_one(self, event_id: str, event_type: str = "Placed", body: bytes = BODY) -> None:
        """Store one event."""
        attributes = {
            "specversion": "1.0",
            "id": event_id,
            "source": "/bench/origin",
            "type": event_type,
            "time": "2026-01-01T00:00:00.000Z",
            "datacontenttype": "application/json",
            "correlationid": event_id,
        }
        event = Event(attributes, body)
        headers = {**cloudevents_nats.encode(event), "Nats-Msg-Id": event_id}
        subject = NAMES.event_subject(event_type, event_id)
        await self.client.request(subject, body, timeout=10, headers=headers)

    async def settled(self, event_type: str = "Placed", service: str = SERVICE) -> None:
        """Return when every event that is stored by now is acknowledged.

        The server is asked seldom while much is left, so that the questions cost next to nothing.
        """
        subject = f"CONSUMER.INFO.{NAMES.event_stream}.{NAMES.durable(service, event_type)}"
        last = await self._last(event_type)
        while True:
            info = await self.api(subject)
            left = info["num_pending"] + info["num_ack_pending"]
            # num_pending counts a stored event a moment after its PubAck, so that alone would end too early.
            if left == 0 and info["delivered"]["stream_seq"] >= last:
                return
            await asyncio.sleep(0.1 if left > _MUCH else 0.005)

    async def _last(self, event_type: str) -> int:
        request = {"last_by_subj": NAMES.durable_filters(SERVICE, event_type)[0]}
        answer = await self.client.request(f"$JS.API.STREAM.MSG.GET.{NAMES.event_stream}", json.dumps(request).encode())
        return int(json.loads(answer.data).get("message", {}).get("seq", 0))

    async def hold(self, event_type: str = "Placed") -> None:
        """Have the server deliver nothing."""
        await self._pause(event_type, {"pause_until": "2099-01-01T00:00:00Z"})

    async def release(self, event_type: str = "Placed") -> None:
        """Have the server deliver again; to pulls that are waiting already it does so from the next stored event on."""
        await self._pause(event_type, {})

    async def _pause(self, event_type: str, until: dict[str, str]) -> None:
        await self.api(f"CONSUMER.PAUSE.{NAMES.event_stream}.{NAMES.durable(SERVICE, event_type)}", until)

    async def start(self, command: list[str], **environment: str) -> Process:
        """Start a process and keep its output's lines."""
        lines: list[str] = []
        process = await self.processes.start(
            command, environment={**os.environ, **environment}, directory=Path.cwd(), on_line=lines.append
        )
        self.lines[process.pid] = lines
        return process

    async def said(self, process: Process, condition: Callable[[str], bool], patience: float = 30.0) -> str:
        """Return the first line of a process for which a condition holds."""
        async with asyncio.timeout(patience):
            while True:
                for line in self.lines[process.pid]:
                    if condition(line):
                        return line
                if not process.running:
                    raise RuntimeError("\n".join(self.lines[process.pid]))
                await asyncio.sleep(0.005)

    async def ambassador(self, configuration: Configuration, *, log_events: bool = False) -> tuple[Process, Path]:
        """Start an ambassador; returns it with the path of its configuration."""
        path = self.processes.directory / f"configuration-{len(self.lines)}.json"
        path.write_bytes(dump(configuration))
        process = await self.start(
            [sys.executable, "-m", "choregos_ambassador"],
            CHOREGOS_CONFIG=str(path),
            CHOREGOS_NATS_URL=self.url,
            CHOREGOS_PUBLISH_PORT="0",
            CHOREGOS_PROBES_PORT="0",
            CHOREGOS_PROBES_HOST="127.0.0.1",
            CHOREGOS_LOG_EVENTS="1" if log_events else "0",
        )
        return process, path


def configuration(
    port: int,
    *event_types: str,
    suspend: bool = False,
    generation: int = 1,
    path: str = FAST,
    emits: tuple[str, ...] = (),
    concurrency: int = 32,
) -> Configuration:
    """Configure the target service: a reaction for each event type, so many requests at a time."""
    delivery = Delivery(concurrency=concurrency)
    return Configuration(
        version=1,
        generation=generation,
        service=SERVICE,
        bus=NAMES,
        readiness=Readiness(port=port),
        emits=emits,
        reactions=tuple(
            Reaction(event=each, port=port, path=path, emits=emits, suspend=suspend, delivery=delivery)
            for each in event_types
        ),
    )


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Set the stage, and clear it away."""
    async with _Processes() as processes, embedded_nats(processes, None) as url:
        (server,) = processes.started
        client = await nats.connect(url)
        try:
            port = free_port(set())
            name, service = await _service(processes, port)
            yield Stage(processes, url, client, port, name, server.pid, service.pid)
        finally:
            await client.close()


async def _service(processes: Processes, port: int) -> tuple[str, Process]:
    """Start nginx, or, where none is to be had, a small asyncio server; returns its name with it."""
    directory = processes.directory / "nginx"
    directory.mkdir()
    try:
        found = await asyncio.to_thread(nginx.find)
        name, command = f"nginx {found.version}", found.command(directory, port, BODY)
    except nginx.NginxError as error:
        name = f"FALLBACK, an asyncio server, because there is no nginx ({error})"
        command = [sys.executable, str(Path(__file__).with_name("service.py")), str(port), BODY.decode()]
    process = await processes.start(command, environment=os.environ, directory=directory, on_line=lambda _: None)
    await _accepts(port, process)
    return name, process


async def _accepts(port: int, process: Process) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                if not process.running:
                    raise RuntimeError("\n".join(process.tail)) from None
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


def run(main: Callable[[], Any]) -> None:
    """Run a measurement on uvloop."""
    uvloop.run(main())
