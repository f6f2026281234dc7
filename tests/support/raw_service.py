"""A business service on a bare socket, of whose answers a test writes every byte."""

import asyncio
import inspect
import socket
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
import uvloop

PATIENCE = 10.0


@dataclass
class Wire:
    """One connection, seen from the service. `number` counts the connections from 1."""

    number: int
    reader: StreamReader
    writer: StreamWriter
    service: "RawService"

    async def request(self) -> bytes:
        """Read one request, head and body; raises EOFError once the client has hung up."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next((line.split(b":")[1] for line in head.lower().split(b"\r\n") if b"content-length" in line), b"0")
        request = head + await self.reader.readexactly(int(length))
        self.service.requests.append(request)
        return request

    def say(self, answer: bytes) -> None:
        self.writer.write(answer)

    async def hung_up(self) -> None:
        """Wait until the client has closed the connection."""
        while await self.reader.read(1 << 16):
            pass


Script = Callable[[Wire], Awaitable[None]]


def answering(*answers: bytes) -> Script:
    """On each connection answer one request after the other, and then wait for the client to hang up."""

    async def script(wire: Wire) -> None:
        for answer in answers:
            await wire.request()
            wire.say(answer)
        await wire.hung_up()

    return script


@dataclass
class RawService:
    """Plays a script on every connection.

    It ends when every script has ended, which takes a client that leaves no socket open; a client that does fails the
    test, and so does an error in a script.
    """

    script: Script
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    _listening: socket.socket | None = None
    _playing: set["asyncio.Task[None]"] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self._listening.setblocking(False)
        self.port = self._listening.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listening, self._accept, self._listening)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        if self._playing:
            ended, open_ = await asyncio.wait(self._playing, timeout=PATIENCE)
            for each in open_:
                each.cancel()
            await asyncio.gather(*open_, return_exceptions=True)
            assert not open_, f"{len(open_)} connections were left open"
            for each in ended:
                each.result()

    def refuse(self) -> None:
        """Accept no further connection."""
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None

    def _accept(self, listening: socket.socket) -> None:
        self.connections += 1
        self._playing.add(asyncio.create_task(self._play(self.connections, listening.accept()[0])))

    async def _play(self, number: int, accepted: socket.socket) -> None:
        wire = Wire(number, *await asyncio.open_connection(sock=accepted), self)
        try:
            await self.script(wire)
        except (IncompleteReadError, ConnectionError):
            pass  # the client hung up, which is its right
        finally:
            wire.writer.close()
            await asyncio.gather(wire.writer.wait_closed(), return_exceptions=True)


def on_each_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on asyncio's own event loop, and on the one that the ambassador runs on."""

    def run(loop: Callable[[], asyncio.AbstractEventLoop], **arguments: Any) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(asyncio.wait_for(test(**arguments), 6 * PATIENCE))

    signature = inspect.signature(test)
    loop = inspect.Parameter("loop", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), loop], return_annotation=None
    )
    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    run.pytestmark = getattr(test, "pytestmark", [])  # type: ignore[attr-defined]
    factories = [asyncio.new_event_loop, uvloop.new_event_loop]
    parametrized: Callable[..., None] = pytest.mark.parametrize("loop", factories, ids=["asyncio", "uvloop"])(run)
    return parametrized
