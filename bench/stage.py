"""What every measurement needs: NATS, a service that answers 204, a wired bus, processes and what they cost."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import uvloop
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
_TICK = os.sysconf("SC_CLK_TCK")
_NGINX = """worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }} }}
"""


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


@dataclass
class Stage:
    """One run's NATS, its service's port, and the processes."""

    processes: Processes
    url: str
    client: Client
    port: int
    service: str
    """What answers, for the report."""
    lines: dict[int, list[str]] = field(default_factory=dict)

    async def api(self, subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream's API."""
        payload = json.dumps(body).encode() if body is not None else b""
        answer: dict[str, Any] = json.loads((await self.client.request(f"$JS.API.{subject}", payload, timeout=10)).data)
        if "error" in answer:
            raise RuntimeError(f"{subject}: {answer['error']}")
        return answer

    async def fresh_bus(self, *event_types: str) -> None:
        """Make the bus anew, with a durable for each event type."""
        for stream in (NAMES.event_stream, NAMES.dead_letter_stream):
            await self.client.request(f"$JS.API.STREAM.DELETE.{stream}", b"", timeout=10)
        window = {"duplicate_window": int(600e9), "allow_direct": True, "allow_atomic": True, "discard": "new"}
        events = {"name": NAMES.event_stream, "subjects": list(NAMES.event_stream_subjects), **window}
        letters = {"name": NAMES.dead_letter_stream, "subjects": list(NAMES.dead_letter_stream_subjects), **window}
        for config in (events, letters):
            await self.api(f"STREAM.CREATE.{config['name']}", config)
        for event_type in event_types:
            await self._make_durable(event_type)

    async def _make_durable(self, event_type: str) -> None:
        durable = NAMES.durable(SERVICE, event_type)
        config = {
            "durable_name": durable,
            "ack_policy": "explicit",
            "ack_wait": int(30e9),
            "max_deliver": -1,
            "max_ack_pending": 10_000,
            "filter_subjects": list(NAMES.durable_filters(SERVICE, event_type)),
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

    async def settled(self, event_type: str = "Placed") -> None:
        """Return when the durable has nothing to come and nothing in hand."""
        subject = f"CONSUMER.INFO.{NAMES.event_stream}.{NAMES.durable(SERVICE, event_type)}"
        while True:
            info = await self.api(subject)
            if info["num_pending"] == 0 and info["num_ack_pending"] == 0:
                return
            await asyncio.sleep(0.02)

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


def configuration(port: int, *event_types: str, suspend: bool = False, generation: int = 1) -> Configuration:
    """Configure the target service: a reaction for each event type, 32 requests at a time."""
    return Configuration(
        version=1,
        generation=generation,
        service=SERVICE,
        bus=NAMES,
        readiness=Readiness(port=port),
        reactions=tuple(
            Reaction(event=each, port=port, path="/events", suspend=suspend, delivery=Delivery(concurrency=32))
            for each in event_types
        ),
    )


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Set the stage, and clear it away."""
    async with Processes() as processes, embedded_nats(processes, None) as url:
        client = await nats.connect(url)
        try:
            port = free_port(set())
            yield Stage(processes, url, client, port, await _service(processes, port))
        finally:
            await client.close()


async def _service(processes: Processes, port: int) -> str:
    """Start nginx, or, where there is none, a small asyncio server; returns its name."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is not None:
        directory = processes.directory / "nginx"
        directory.mkdir()
        (directory / "nginx.conf").write_text(_NGINX.format(directory=directory, port=port))
        command = [nginx, "-p", str(directory), "-c", str(directory / "nginx.conf")]
        name = "nginx answering 204"
    else:
        command = [sys.executable, str(Path(__file__).with_name("service.py")), str(port)]
        name = "fallback: an asyncio server answering 204 (there is no nginx on this machine)"
    process = await processes.start(
        command, environment=os.environ, directory=processes.directory, on_line=lambda _: None
    )
    await _accepts(port, process)
    return name


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
