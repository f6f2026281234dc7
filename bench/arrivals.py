"""The parties of a measurement that are processes of their own: a sink, and what arrived there; a generator, and what it says."""

import asyncio
import json
import sys
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stage import Stage

from choregos_cli.ports import free_port
from choregos_cli.processes import Process

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Sink:
    """A service that remembers when each event arrived."""

    port: int
    process: Process

    async def arrivals(self) -> list[tuple[int, int]]:
        """Return number and time (nanoseconds) of all arrivals since the last question."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /arrivals HTTP/1.1\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        told: array[int] = array("q")
        told.frombytes(await reader.readexactly(int(head.split(b"content-length: ")[1])))
        writer.close()
        return list(zip(told[::2], told[1::2], strict=True))

    async def received(self, number: int, patience: float = 120.0) -> list[tuple[int, int]]:
        """Return the next `number` arrivals once they are all there; raises RuntimeError if there are more.

        To ask the service costs nobody much, while JetStream counts what is left over all that it has stored.
        """
        found: list[tuple[int, int]] = []
        async with asyncio.timeout(patience):
            while len(found) < number:
                await asyncio.sleep(0.05)
                found += await self.arrivals()
        if len(found) > number:
            raise RuntimeError(f"{number} events were stored and {len(found)} arrived")
        return found


async def sink(the: Stage, answer: str = "") -> Sink:
    """Start a service that answers 204, or an event of the type `answer`."""
    port = free_port(set())
    command = [sys.executable, str(_HERE / "sink.py"), str(port), *([answer] if answer else [])]
    process = await the.start(command)
    await the.said(process, lambda line: line == "ready")
    return Sink(port, process)


async def outcome(the: Stage, script: str, *arguments: object) -> dict[str, Any]:
    """Run a script of this directory to its end, and return the JSON of its last line; raises RuntimeError."""
    process = await the.start([sys.executable, str(_HERE / script), *map(str, arguments)])
    code = await process.wait()
    lines = the.lines[process.pid]
    if code != 0 or not lines:
        raise RuntimeError(f"{script} ended with {code}: " + "\n".join(lines[-20:]))
    found: dict[str, Any] = json.loads(lines[-1])
    return found
