"""The services of an example, as real processes that are started as `choregos up` does, and a client for them."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiohttp import ClientConnectionError, ClientSession

from choregos_cli.ports import free_port
from support.waiting import wait_for

EXAMPLES = Path(__file__).parents[2] / "examples"
NOBODY = "http://127.0.0.1:9"
"""A publish API that is not there."""
PATIENCE = 20.0
"""Seconds that a process is given to listen, or to end."""

Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Service:
    """One running service and a client for it; sends events as an ambassador does, in binary mode."""

    url: str
    process: Process
    session: ClientSession

    async def request(self, method: str, path: str, **how: Any) -> tuple[int, Any]:
        status, _, body = await self._exchange(method, path, **how)
        return status, body

    async def get(self, path: str) -> Any:
        return (await self.request("GET", path))[1]

    async def event(self, path: str, kind: str, data: object, **attributes: str) -> tuple[int, Any]:
        status, _, body = await self.react(path, kind, data, **attributes)
        return status, body

    async def react(self, path: str, kind: str, data: object, **attributes: str) -> tuple[int, str | None, Any]:
        """Post an event; returns the status, the type of the CloudEvent in the answer if there is one, and the body."""
        named = {"specversion": "1.0", "id": "e-1", "source": "/test", "type": kind, "correlationid": "c-1"}
        headers = {f"ce-{name}": value for name, value in {**named, **attributes}.items()}
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        return await self._exchange("POST", path, data=body, headers=headers)

    async def _exchange(self, method: str, path: str, **how: Any) -> tuple[int, str | None, Any]:
        async with self.session.request(method, self.url + path, **how) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, answer.headers.get("ce-type"), await (answer.json() if is_json else answer.text())


Start = Callable[..., Awaitable[Service]]
"""Starts a service by its name, with more environment variables."""


@dataclass
class ExampleProcesses:
    """What runs of the example in `directory`; all of it ends with the block."""

    directory: Path
    _started: list[Process] = field(default_factory=list)

    def run(self, name: str, **environment: str) -> Process:
        """Start one of the example's programs, with these environment variables and no other."""
        program, pipe = [sys.executable, f"{name}.py"], subprocess.PIPE
        process = subprocess.Popen(program, cwd=self.directory, env=environment, stdout=pipe, stderr=pipe)
        self._started.append(process)
        return process

    async def serve(self, session: ClientSession, name: str, **environment: str) -> Service:
        """Start a service on a free port, and wait until it answers."""
        port = free_port(set())
        process = self.run(name, **{"PORT": str(port), "CHOREGOS_PUBLISH_URL": NOBODY, **environment})
        service = Service(f"http://127.0.0.1:{port}", process, session)

        async def listens() -> bool:
            assert process.poll() is None, (await asyncio.to_thread(process.communicate))[1].decode()
            try:
                await service.get("/")
            except ClientConnectionError:
                return False
            return True

        await wait_for(listens, f"{name} listens", PATIENCE)
        return service

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            process.kill()
            process.communicate()
