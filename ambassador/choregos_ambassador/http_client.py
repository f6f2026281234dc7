"""The delivery client: one POST at a time over a keep-alive connection, on `asyncio.Protocol` and httptools.

It exists because the hop must know what general clients hide: whether a request left at all, whether the service closed the
connection before it came, and when an answer grows past the limit. A kept connection may be closed under our feet: then
the request goes out once more on a fresh one, which is no attempt. A service that took a request and hung up on it later
was asked, and is not asked again here. Redirects are answers like any other; 1xx answers are passed over (RFC 9110, section 15.2).
A content coding is not undone: no request asks for one.
"""

import asyncio
import socket
from functools import lru_cache
from typing import Final, cast

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from choregos_ambassador.answer import Answer, NoAnswer, Trouble
from choregos_ambassador.deadlines import Deadlines

HEADER_LIMIT: Final = 64 * 1024
"""Bytes of all headers of one answer."""
KEPT: Final = 64
"""Idle connections kept for a target, unless it is told of more requests at once."""
RACE: Final = 0.1
"""Seconds after a request in which a kept connection that ends in good order may have been closed before the request came: a
server that lingers reads what it will not answer. Later, the service has had the request."""
ONE_SEGMENT: Final = 16 * 1024
"""Bytes of a request that comes to a service on loopback as a whole or not at all."""
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})


class HttpClient:
    """Posts to one host and port.

    It remembers the loop: to be asked which one runs, CPython asks the kernel for the process's number.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.loop = asyncio.get_running_loop()
        self._room = KEPT
        self._idle: list[_Connection] = []
        self._closed = False
        self._deadlines: Deadlines[_Exchange] = Deadlines()

    async def post(self, head: bytes, body: bytes, *, timeout: float, limit: int) -> Answer | NoAnswer:  # noqa: ASYNC109
        """Send one request, head and body, and return what came of it.

        `timeout` (seconds) covers all of it; of the answer's body no more than `limit` bytes are read.
        """
        loop = self.loop
        now = loop.time()
        deadline = now + timeout
        exchange = _Exchange(loop.create_future(), limit, now, deadline, len(head) + len(body))
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

    async def _connect(self, deadline: float) -> "_Connection | NoAnswer":
        try:
            async with asyncio.timeout_at(deadline):
                connection = (await self.loop.create_connection(lambda: _Connection(self), self.host, self.port))[1]
        except TimeoutError:
            return NoAnswer(Trouble.UNREACHABLE, f"no connection to {self.host}:{self.port} in time")
        except OSError as error:
            return NoAnswer(Trouble.UNREACHABLE, error.strerror or str(error))
        if connection.transport.is_closing():
            return NoAnswer(Trouble.UNREACHABLE, f"{self.host}:{self.port} closes every connection at once")
        return connection

    def _take(self) -> "_Connection | None":
        """Take the connection that was used last; none that is about to end."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    def keep(self, connection: "_Connection") -> None:
        """Keep a connection for the next request."""
        connection.kept = True
        if self._closed or len(self._idle) >= self._room:
            connection.transport.close()
        else:
            self._idle.append(connection)

    def forget(self, connection: "_Connection") -> None:
        """Drop a connection that has ended."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close the idle connections; those in use close when their answer is there."""
        self._closed = True
        self._drop_idle()

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().transport.close()


class _Exchange(msgspec.Struct, eq=False):
    """One request and what comes back."""

    outcome: asyncio.Future[Answer | NoAnswer]
    limit: int
    begun: float
    deadline: float
    size: int
    connection: "_Connection | None" = None
    closed_under_our_feet: bool = False

    def finish(self, outcome: Answer | NoAnswer) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def fail(self, trouble: Trouble, detail: str) -> None:
        self.finish(NoAnswer(trouble, detail))

    def expire(self) -> None:
        self.fail(Trouble.TIMEOUT, f"{self.deadline - self.begun:g} s")

    def begin_again(self, outcome: asyncio.Future[Answer | NoAnswer]) -> None:
        self.outcome = outcome
        self.closed_under_our_feet = False
        self.connection = None

    def end(self) -> None:
        """Leave no connection in the middle of an answer behind: a late answer must not meet the next request."""
        if self.connection is not None and self.connection.exchange is self:
            self.connection.exchange = None
            self.connection.transport.abort()


class _Partial(msgspec.Struct, eq=False):
    """An answer that is being read."""

    headers: list[tuple[str, str]] = []
    header_bytes: int = 0
    headers_complete: bool = False
    framed: bool = False
    """Its end can be told from its headers; otherwise it ends with the connection."""
    body: list[bytes] = []
    size: int = 0


class _Connection(asyncio.Protocol):
    """A connection to the service, and its parser's callbacks."""

    transport: asyncio.Transport

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._parser = HttpResponseParser(self)
        self._partial = _Partial()
        self._unread = 0
        self._silent = True
        self._refused = False
        self.kept = False
        self.exchange: _Exchange | None = None

    def send(self, exchange: _Exchange, head: bytes, body: bytes) -> None:
        """Write a request."""
        self.exchange = exchange
        exchange.connection = self
        self._silent = True
        if len(body) < ONE_SEGMENT:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))  # not copied once more

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.exchange is None:
            self.transport.abort()  # an answer that nobody asked for
            return
        self._silent = False
        self._unread += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._broken("an upgrade nobody asked for")
        except HttpParserError as error:
            self._broken(str(error.__context__ or error))
        if self._unread > HEADER_LIMIT:
            self._broken(f"more than {HEADER_LIMIT} bytes of one header")

    def eof_received(self) -> None:
        if self.exchange is None:
            return
        if self._partial.headers_complete and not self._partial.framed:
            self._complete(keep=False)
        elif self._silent and self.exchange.size <= ONE_SEGMENT:
            # An end in good order, and then a reset as the answer to what was sent: nobody had the request.
            ended: socket.socket = self.transport.get_extra_info("socket")
            self._refused = ended.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.forget(self)
        if self.exchange is None:
            return
        exchange, self.exchange = self.exchange, None
        if self.kept and self._silent and not exchange.outcome.done():
            unread = self._refused or exc is not None
            exchange.closed_under_our_feet = unread or self._client.loop.time() - exchange.begun < RACE
        if self._refused:
            exchange.fail(Trouble.UNREACHABLE, "the service closed the connection before the request came")
        else:
            exchange.fail(Trouble.CUT, str(exc or "the service closed the connection before its answer was whole"))

    # -- httptools

    def on_message_begin(self) -> None:
        if self.exchange is None:
            raise ValueError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._unread = 0
        partial = self._partial
        partial.header_bytes += len(name) + len(value) + 4
        if partial.header_bytes > HEADER_LIMIT:
            raise ValueError(f"more than {HEADER_LIMIT} bytes of headers")
        if partial.headers_complete:
            return  # a trailer, which is none of the headers (RFC 9110, section 6.5.1)
        partial.headers.append((_name(name), _text(value)))

    def on_headers_complete(self) -> None:
        self._unread = 0
        partial = self._partial
        partial.headers_complete = True
        status = self._parser.get_status_code()
        partial.framed = status in (204, 304) or any(name in _FRAMING for name, _ in partial.headers)

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        partial, exchange = self._partial, self.exchange
        if exchange is None:
            return
        partial.size += len(body)
        partial.body.append(body)
        if partial.size > exchange.limit:
            self._complete(keep=False, truncated=True)

    def on_message_complete(self) -> None:
        self._unread = 0
        if self._parser.get_status_code() < 200:
            self._partial = _Partial()
            return
        self._complete(keep=self._parser.should_keep_alive())

    def _complete(self, *, keep: bool, truncated: bool = False) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            return
        partial, self._partial = self._partial, _Partial()
        body = b"" if truncated else b"".join(partial.body)
        status = self._parser.get_status_code()
        # With a part of the request still unsent, the service answered early and may never read the rest.
        if keep and not self.transport.is_closing() and not self.transport.get_write_buffer_size():
            self._client.keep(self)
        else:
            self.transport.abort()
        exchange.finish(Answer(status, tuple(partial.headers), body, truncated))

    def _broken(self, detail: str) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.fail(Trouble.MALFORMED, detail)
        self.transport.abort()


@lru_cache(maxsize=64)  # few, since each may have as many bytes as all headers may
def _name(name: bytes) -> str:
    return name.decode("latin-1").lower()


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
