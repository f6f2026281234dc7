"""A TCP proxy that does to the connections between two parts what networks do to them."""

import asyncio
import contextlib
import socket
from typing import Self

from support.tcp_link import Conditions, End, Link

_TRY_AGAIN = 0.05
"""Seconds between two looks whether the target, which refused a connection, accepts them again."""


class TcpProxy:
    """Leads from a port of its own to a target. Where the target refuses connections, so does the proxy.

    A fault lasts until `heal`, or until another takes its place; `cut` and `half_open` happen at once and are over.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = host, port
        self.port = 0
        self._conditions = Conditions()
        self._refuses = False
        self._socket: socket.socket | None = None
        self._links: set[Link] = set()
        self._leading: set[asyncio.Task[None]] = set()
        self._awaiting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close_port()
        tasks = [*self._leading, *([self._awaiting] if self._awaiting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the turn of the loop in which what was reset is closed

    @property
    def connections(self) -> int:
        """Connections that a client holds through the proxy."""
        return sum(link.client.is_open for link in self._links)

    def cut(self) -> None:
        """Reset every connection, at both ends."""
        for link in list(self._links):
            link.reset()

    def half_open(self, told: End) -> None:
        """End every connection so that only one end is told; for the other it stays open, and nothing comes of it."""
        for link in list(self._links):
            link.part(told)

    def black_hole(self) -> None:
        """Let nothing through, either way, and accept new connections that lead nowhere; nobody is told.

        What is sent meanwhile is on its way: after `heal` it arrives late, as what TCP sends again does.
        """
        self._become(holds=True)

    def delay(self, seconds: float) -> None:
        """Let everything arrive so much later, each way."""
        self._become(latency=seconds)

    def refuse(self) -> None:
        """Refuse new connections; those that are open live on."""
        self._become(refuses=True)

    def heal(self) -> None:
        """Be a plain wire again. What is half open stays so."""
        self._become()

    def _become(self, *, holds: bool = False, latency: float = 0.0, refuses: bool = False) -> None:
        self._conditions.holds, self._conditions.latency = holds, latency
        for link in list(self._links):
            link.adjust()
        if self._refuses and not refuses:
            self._listen()
        elif refuses and not self._refuses:
            self._hold_port()
        self._refuses = refuses

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            task = asyncio.create_task(self._lead_on(listening.accept()[0]))
            self._leading.add(task)
            task.add_done_callback(self._leading.discard)

    async def _lead_on(self, accepted: socket.socket) -> None:
        """Connect an accepted connection with the target, until it ends; if the target refuses, so do we from now on."""
        link = Link(self._conditions)
        self._links.add(link)
        try:
            await link.accept(accepted)
            await asyncio.get_running_loop().create_connection(lambda: link.target, *self.target)
            await link.ended.wait()
        except OSError:
            self._refuse_as_target_does()
        finally:
            link.reset()
            self._links.discard(link)

    def _refuse_as_target_does(self) -> None:
        if not self._refuses and (self._awaiting is None or self._awaiting.done()):
            self._hold_port()
            self._awaiting = asyncio.create_task(self._await_target())

    async def _await_target(self) -> None:
        """Listen again as soon as the target does."""
        while True:
            await asyncio.sleep(_TRY_AGAIN)
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(*self.target)
                writer.close()
                break
        if not self._refuses:
            self._listen()

    def _listen(self) -> None:
        if self._socket is None:
            self._socket = self._bound()
        self._socket.listen(128)
        asyncio.get_running_loop().add_reader(self._socket, self._accept, self._socket)

    def _hold_port(self) -> None:
        """Keep the port, but listen no more: only then is a connection refused."""
        holder = self._bound()
        self._close_port()
        self._socket = holder

    def _close_port(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _bound(self) -> socket.socket:
        bound = socket.socket()
        # One socket that gives the port up and one that takes it over hold it together for a moment.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.setblocking(False)
        bound.bind(("127.0.0.1", self.port))
        self.port = bound.getsockname()[1]
        return bound
