"""The delivery client: one POST at a time over a keep-alive connection, on `asyncio.Protocol` and httptools.

It exists because the hop must know what general clients hide: whether a request left at all, whether the service closed the
connection before it came, and when an answer grows past the limit. A kept connection may be closed under our feet: then
the request goes out once more on a fresh one, which is no attempt. A service that took a request and hung up on it later
was asked, and is not asked again here. Redirects are answers like any other; 1xx answers are passed over (RFC 9110, section 15.2).
A content coding is not undone: no request asks for one.
"""

import asyncio
from typing import Final

from choregos_ambassador.answer import Answer, NoAnswer, Trouble
from choregos_ambassador.deadlines import Deadlines
from choregos_ambassador.http_connection import Connection, Exchange

KEPT: Final = 64
"""Idle connections kept for a target, unless it is told of more requests at once."""
TRIM_EVERY: Final = 10.0
"""Seconds after which connections are closed that were not needed in all that time."""


class HttpClient:
    """Posts to one host and port.

    It remembers the loop: to be asked which one runs, CPython asks the kernel for the process's number.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.loop = asyncio.get_running_loop()
        self._room = KEPT
        self._idle: list[Connection] = []
        self._least_idle = 0
        self._trims: asyncio.TimerHandle | None = None
        self._closed = False
        self._deadlines: Deadlines[Exchange] = Deadlines()

    async def post(self, head: bytes, body: bytes, *, timeout: float, limit: int) -> Answer | NoAnswer:  # noqa: ASYNC109
        """Send one request, head and body, and return what came of it.

        `timeout` (seconds) covers all of it; of the answer's body no more than `limit` bytes are read.
        """
        loop = self.loop
        now = loop.time()
        deadline = now + timeout
        exchange = Exchange(loop.create_future(), limit, now, deadline, len(head) + len(body))
        self._deadlines.add(exchange, loop)
        cut: Answer | NoAnswer | None = None
        try:
            if (kept := self._take()) is not None:
                kept.send(exchange, head, body)
                cut = await exchange.outcome
                if not exchange.closed_under_our_feet:
                    if isinstance(cut, NoAnswer) and cut.trouble is Trouble.TIMEOUT:
                        self._drop_idle()  # perhaps its peer is gone and could not say so: then so are theirs
                    return cut
                exchange.begin_again(loop.create_future())
                self._deadlines.add(exchange, loop)
            connection = await self._connect(deadline)
            if isinstance(connection, NoAnswer):
                return cut or connection  # the service may have had the request, which may be what ended it
            connection.send(exchange, head, body)
            return await exchange.outcome
        finally:
            self._deadlines.discard(exchange)
            exchange.end()

    def expect(self, at_once: int) -> None:
        """Keep a connection for each of so many requests at once: fewer would be opened and closed all the time."""
        self._room = max(KEPT, at_once)

    async def reachable(self, timeout: float = 2.0) -> NoAnswer | None:  # noqa: ASYNC109
        """Try whether the port accepts connections, within `timeout` seconds.

        The connection is closed at once: kept without a request, it would block a service that serves one at a time.
        """
        connection = await self._connect(self.loop.time() + timeout)
        if isinstance(connection, NoAnswer):
            return connection
        connection.transport.close()
        return None

    async def _connect(self, deadline: float) -> Connection | NoAnswer:
        try:
            async with asyncio.timeout_at(deadline):
                connection = (await self.loop.create_connection(lambda: Connection(self), self.host, self.port))[1]
        except TimeoutError:
            return NoAnswer(Trouble.UNREACHABLE, f"no connection to {self.host}:{self.port} in time")
        except OSError as error:
            return NoAnswer(Trouble.UNREACHABLE, error.strerror or str(error))
        if connection.transport.is_closing():
            return NoAnswer(Trouble.UNREACHABLE, f"{self.host}:{self.port} closes every connection at once")
        return connection

    def _take(self) -> Connection | None:
        """Take the connection that was used last; none that is about to end."""
        while self._idle:
            connection = self._idle.pop()
            self._least_idle = min(self._least_idle, len(self._idle))
            if not connection.transport.is_closing():
                return connection
        return None

    def keep(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        connection.kept = True
        if self._closed or len(self._idle) >= self._room:
            connection.transport.close()
            return
        self._idle.append(connection)
        if self._trims is None:
            self._least_idle = len(self._idle)
            self._trims = self.loop.call_later(TRIM_EVERY, self._trim)

    def _trim(self) -> None:
        """Close those that were idle all the time: they were used least lately, and so stand first."""
        needless = min(self._least_idle, len(self._idle))
        for connection in self._idle[:needless]:
            connection.transport.close()
        del self._idle[:needless]
        self._least_idle = len(self._idle)
        self._trims = self.loop.call_later(TRIM_EVERY, self._trim) if self._idle else None

    def forget(self, connection: Connection) -> None:
        """Drop a connection that has ended."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close the idle connections; those in use close when their answer is there."""
        self._closed = True
        if self._trims is not None:
            self._trims.cancel()
        self._drop_idle()

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().transport.close()
