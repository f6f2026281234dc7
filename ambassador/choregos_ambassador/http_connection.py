"""One connection to the service: a request goes out, its answer is read as it comes, and what goes wrong is told apart.

A connection knows whether it was used before, and whether anything came back on it: that decides whether the service has had
a request (`http_client`).
"""

import asyncio
import socket
from functools import lru_cache
from typing import Final, Protocol, cast

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from choregos_ambassador.answer import Answer, NoAnswer, Trouble

HEADER_LIMIT: Final = 64 * 1024
"""Bytes of all headers of one answer."""
RACE: Final = 0.1
"""Seconds after a request in which a kept connection that ends in good order may have been closed before the request came: a
server that lingers reads what it will not answer. Later, the service has had the request."""
ONE_SEGMENT: Final = 16 * 1024
"""Bytes of a request that comes to a service on loopback as a whole or not at all."""
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})


class Owner(Protocol):
    """Whose connections they are."""

    loop: asyncio.AbstractEventLoop

    def keep(self, connection: "Connection") -> None:
        """Take a connection for the next request."""

    def forget(self, connection: "Connection") -> None:
        """Drop a connection that has ended."""


class Exchange(msgspec.Struct, eq=False):
    """One request and what comes back."""

    outcome: asyncio.Future[Answer | NoAnswer]
    limit: int
    begun: float
    deadline: float
    size: int
    connection: "Connection | None" = None
    closed_under_our_feet: bool = False

    def finish(self, outcome: Answer | NoAnswer) -> None:
        """End with this, if it has not ended."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def fail(self, trouble: Trouble, detail: str) -> None:
        """End without an answer."""
        self.finish(NoAnswer(trouble, detail))

    def expire(self) -> None:
        """End for want of an answer in time."""
        self.fail(Trouble.TIMEOUT, f"{self.deadline - self.begun:g} s")

    def begin_again(self, outcome: asyncio.Future[Answer | NoAnswer]) -> None:
        """Forget the connection on which it had no chance."""
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


class Connection(asyncio.Protocol):
    """A connection to the service, and its parser's callbacks."""

    transport: asyncio.Transport

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._parser = HttpResponseParser(self)
        self._partial = _Partial()
        self._unread = 0
        self._silent = True
        self._refused = False
        self.kept = False
        self.exchange: Exchange | None = None

    def send(self, exchange: Exchange, head: bytes, body: bytes) -> None:
        """Write a request."""
        self.exchange = exchange
        exchange.connection = self
        self._silent = True
        if len(body) < ONE_SEGMENT:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))  # not copied once more

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (called by asyncio)."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser (called by asyncio)."""
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
        """Take note of an end in good order, which may be that of an answer (called by asyncio)."""
        if self.exchange is None:
            return
        if self._partial.headers_complete and not self._partial.framed:
            self._complete(keep=False)
        elif self._silent and self.exchange.size <= ONE_SEGMENT:
            # An end in good order, and then a reset as the answer to what was sent: nobody had the request.
            ended: socket.socket = self.transport.get_extra_info("socket")
            self._refused = ended.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell what an end means for the request (called by asyncio)."""
        self._owner.forget(self)
        if self.exchange is None:
            return
        exchange, self.exchange = self.exchange, None
        if self.kept and self._silent and not exchange.outcome.done():
            unread = self._refused or exc is not None
            exchange.closed_under_our_feet = unread or self._owner.loop.time() - exchange.begun < RACE
        if self._refused:
            exchange.fail(Trouble.UNREACHABLE, "the service closed the connection before the request came")
        else:
            exchange.fail(Trouble.CUT, str(exc or "the service closed the connection before its answer was whole"))

    def on_message_begin(self) -> None:
        """Refuse an answer without a request (called by httptools)."""
        if self.exchange is None:
            raise ValueError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, within limits (called by httptools)."""
        self._unread = 0
        partial = self._partial
        partial.header_bytes += len(name) + len(value) + 4
        if partial.header_bytes > HEADER_LIMIT:
            raise ValueError(f"more than {HEADER_LIMIT} bytes of headers")
        if partial.headers_complete:
            return  # a trailer, which is none of the headers (RFC 9110, section 6.5.1)
        partial.headers.append((_name(name), _text(value)))

    def on_headers_complete(self) -> None:
        """See how the end of the body is told (called by httptools)."""
        self._unread = 0
        partial = self._partial
        partial.headers_complete = True
        status = self._parser.get_status_code()
        partial.framed = status in (204, 304) or any(name in _FRAMING for name, _ in partial.headers)

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body, within limits (called by httptools)."""
        self._unread = 0
        partial, exchange = self._partial, self.exchange
        if exchange is None:
            return
        partial.size += len(body)
        partial.body.append(body)
        if partial.size > exchange.limit:
            self._complete(keep=False, truncated=True)

    def on_message_complete(self) -> None:
        """Take the answer as whole, unless it is a 1xx (called by httptools)."""
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
            self._owner.keep(self)
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
