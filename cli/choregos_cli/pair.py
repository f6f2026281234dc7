"""A service's process and the ambassador beside it, as a pod would hold them.

The ambassador comes first, because its address goes into the service's environment; it keeps that address over restarts.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from choregos_ambassador import drain
from choregos_cli import ambassador_log
from choregos_cli.errors import UnreachableError
from choregos_cli.happenings import (
    Address,
    AmbassadorExited,
    Happening,
    Notice,
    Output,
    ServiceAwaited,
    ServiceExited,
    ServiceStarted,
)
from choregos_cli.kept import Exited, Kept
from choregos_cli.ports import HOST
from choregos_cli.processes import Process, Processes
from choregos_contract.configuration import Configuration, dump

DRAIN_PATIENCE: Final = 30.0
GRACE: Final = 10.0
"""Seconds for running requests to finish, and for a process to end after SIGTERM."""
_AMBASSADOR_PATIENCE: Final = 30.0
_PROBE_EVERY: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one pair is made of: the replica of a service, where it listens, how it is run if it is run here."""

    service: str
    replica: int
    port: int
    configuration: Configuration
    command: tuple[str, ...] = ()
    environment: dict[str, str]
    directory: Path


class Pair:
    """One replica of a service with its ambassador."""

    def __init__(self, part: Part, processes: Processes, nats: str, tell: Callable[[Happening], None]) -> None:
        self._part = part
        self._processes = processes
        self._nats = nats
        self._tell = tell
        self._directory = processes.directory / f"{part.service}-{part.replica}"
        self._address: Address | None = None
        self._heard_of: set[str] = set()
        self._stopping = False
        self._ambassador = Kept(self._start_ambassador, self._exited(AmbassadorExited))
        self._service = Kept(self._start_service, self._exited(ServiceExited))

    @property
    def service(self) -> str:
        """The service's name."""
        return self._part.service

    @property
    def address(self) -> Address:
        """Where the two listen, once they are started."""
        assert self._address, "not started"
        return self._address

    async def start(self) -> None:
        """Start the ambassador, then the service; raises UnreachableError if the ambassador does not come up."""
        self._directory.mkdir()
        (self._directory / "configuration.json").write_bytes(dump(self._part.configuration))
        await self._ambassador.start()
        await self._until(lambda: self._address is not None, "listen")
        if self._part.command:
            await self._service.start()
        else:
            who, which = self.service, self._part.replica
            self._tell(ServiceAwaited(time=time.time(), service=who, replica=which, url=self.address.url))

    async def ready(self, *, tolerant: bool) -> None:
        """Wait until the ambassador is at work and the service, if it is run here, accepts connections.

        A service that ends instead raises UnreachableError; if `tolerant`, it is left to its restarts.
        """
        await self._until(lambda: "connected" in self._heard_of, "connect to NATS")
        await self._until(lambda: "configured" in self._heard_of, "take its configuration")
        while self._part.command and not await _accepts(self._part.port):
            if self._service.fell.is_set():
                if tolerant:
                    return
                what = f"the service {self.service} ended while it was starting"
                raise UnreachableError(what, _said(self._service.process))
            await asyncio.sleep(_PROBE_EVERY)

    async def drain(self) -> None:
        """Let the ambassador finish what it has in hand and take nothing more."""
        if self._address:
            limit = aiohttp.ClientTimeout(total=DRAIN_PATIENCE)
            with suppress(aiohttp.ClientError, TimeoutError):
                async with aiohttp.request(
                    "POST", f"{self._address.publish_url}/drain", headers=dict([drain.HEADER]), timeout=limit
                ):
                    pass

    async def stop_service(self) -> None:
        """End the service."""
        await self._service.stop(GRACE)

    async def stop_ambassador(self) -> None:
        """End the ambassador; what it says of that is of no interest."""
        self._stopping = True
        await self._ambassador.stop(GRACE)

    async def _start_ambassador(self) -> Process:
        known = self._address
        publish, probes = (urlsplit(url).port for url in (known.publish_url, known.probes_url)) if known else (0, 0)
        environment = {
            **os.environ,
            "CHOREGOS_CONFIG": str(self._directory / "configuration.json"),
            "CHOREGOS_NATS_URL": self._nats,
            "CHOREGOS_PUBLISH_PORT": str(publish),
            "CHOREGOS_PROBES_PORT": str(probes),
            "CHOREGOS_PROBES_HOST": HOST,
            "CHOREGOS_TARGET_HOST": HOST,
            "CHOREGOS_LOG_LEVEL": "info",
            "CHOREGOS_LOG_EVENTS": "1",
            "CHOREGOS_LOG_ANSWERS": "1",
        }
        command = (sys.executable, "-m", "choregos_ambassador")
        return await self._processes.start(
            command, environment=environment, directory=self._directory, on_line=self._heard
        )

    async def _start_service(self) -> Process:
        part = self._part
        environment = {
            **part.environment,
            "PORT": str(part.port),
            "CHOREGOS_PUBLISH_URL": self.address.publish_url,
        }
        process = await self._processes.start(
            part.command, environment=environment, directory=part.directory, on_line=self._wrote
        )
        self._tell(
            ServiceStarted(
                time=time.time(), service=part.service, replica=part.replica, pid=process.pid, url=self.address.url
            )
        )
        return process

    def _heard(self, text: str) -> None:
        """Take in a line of the ambassador's log."""
        line = ambassador_log.parse(text)
        if line is None:
            return
        self._heard_of.add(line.message)
        if line.message == "listening":
            url = f"http://{HOST}:{self._part.port}"
            publish, probes = line.fields["publish_url"], line.fields["probes_url"]
            self._address = Address(url=url, publish_url=publish, probes_url=probes)
        happening = ambassador_log.happening(line, self.service, self._part.replica)
        if happening and not (self._stopping and isinstance(happening, Notice)):
            self._tell(happening)

    def _wrote(self, line: str) -> None:
        self._tell(Output(time=time.time(), service=self.service, replica=self._part.replica, line=line))

    def _exited(self, kind: type[ServiceExited] | type[AmbassadorExited]) -> Exited:
        def tell(code: int, output: tuple[str, ...], restart_in_s: float) -> None:
            who, which = self.service, self._part.replica
            now = time.time()
            self._tell(kind(time=now, service=who, replica=which, code=code, output=output, restart_in_s=restart_in_s))

        return tell

    async def _until(self, reached: Callable[[], bool], what: str) -> None:
        """Wait until the ambassador has come so far; raises UnreachableError if it ends or takes too long."""
        deadline = time.monotonic() + _AMBASSADOR_PATIENCE
        while not reached():
            if self._ambassador.fell.is_set() or time.monotonic() > deadline:
                problem = f"the ambassador of {self.service} did not {what}"
                raise UnreachableError(problem, _said(self._ambassador.process))
            await asyncio.sleep(_PROBE_EVERY)


def _said(process: Process | None) -> str:
    tail = "\n".join(process.tail) if process else ""
    return f"its last words:\n{tail}" if tail else "it said nothing"


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
