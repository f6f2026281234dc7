"""A port that a flood does not take down: so many connections, and so long for a request, or for reading an answer.

aiohttp has neither limit. So each of its connections is wrapped in one that watches it: a request has to be whole within
`Limits.request_within`, an answer read within `Limits.answer_within`, and when a newcomer finds all places taken, the
connection that can best be spared makes room (`connections` says which), or, while all are worked on, he is turned away.
"""

import asyncio
import logging
import resource
from collections.abc import Callable
from typing import Final, cast

import msgspec
from aiohttp import StreamReader, web
from aiohttp.typedefs import Handler

from choregos_ambassador.connections import Connections
from choregos_ambassador.log import log
from choregos_ambassador.metrics import Metrics

BACKLOG: Final = 1024
"""Connections that the kernel holds until they are accepted, one in each turn of the event loop."""
DESCRIPTORS: Final = 1024
"""File descriptors with which a port takes as many connections as its limits say. With fewer it takes fewer in
proportion, so that some are left for NATS and the service."""
COME_BACK: Final = 1
"""Seconds after which whoever was turned away may come back."""
TELL_EVERY: Final = 60.0
"""Seconds between two lines of the log that say that connections are closed; the metric counts them all."""

_unheard = logging.getLogger("choregos.unheard")
"""What aiohttp says of requests that are none: a traceback for each, with a piece of what was sent, is a second flood."""
_unheard.setLevel(logging.CRITICAL + 1)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one port allows. Times in seconds."""

    connections: int
    request_within: float
    """From the connection, or from the first byte on one that was kept, until the request is whole, body and all."""
    answer_within: float
    """For how long an answer may stay unread."""


class Listener:
    """One application on one port."""

    def __init__(self, name: str, application: web.Application, limits: Limits, metrics: Metrics) -> None:
        self.limits = limits
        self.connections: Connections[_Connection] = Connections(
            _affordable(limits.connections), lambda connection: connection.host
        )
        application.middlewares.append(_watched)
        self._name = name
        self._application = application
        self._shed = {cause: metrics.shed.labels(name, cause) for cause in ("full", "slow")}
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._tell_from = dict.fromkeys(self._shed, 0.0)

    async def open(self, host: str, port: int, *, shutdown_timeout: float) -> int:
        """Listen, and return the port; raises OSError. At `close`, requests in hand get `shutdown_timeout` seconds."""
        # Codings are not undone here: a broken one would be an error of ours, and the half of one pass for the whole body.
        self._runner = web.AppRunner(
            self._application,
            access_log=None,
            logger=_unheard,
            auto_decompress=False,
            shutdown_timeout=shutdown_timeout,
        )
        await self._runner.setup()
        serve = cast("web.Server", self._runner.server)
        create = asyncio.get_running_loop().create_server
        self._server = await create(lambda: _Connection(self, serve), host, port, backlog=BACKLOG)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Listen no more, and let the requests in hand end."""
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def make_room(self, newcomer: "_Connection") -> bool:
        """Have room for a newcomer, at the cost of another connection if need be; tell whether there is."""
        while self.connections.full:
            spared = self.connections.dispensable_for(newcomer)
            if spared is not None:
                spared.end(_TOO_MANY if self.connections.waits(spared) else b"")
            self.tell("full")
            if spared is None:
                return False
        return True

    def tell(self, cause: str) -> None:
        """Count a connection that was closed, and log it now and then, each cause by itself."""
        self._shed[cause].inc()
        now = asyncio.get_running_loop().time()
        if now >= self._tell_from[cause]:
            self._tell_from[cause] = now + TELL_EVERY
            log.warning("connections shed", port=self._name, cause=cause, connections=len(self.connections))


class _Connection(asyncio.Protocol):
    """One of aiohttp's connections, and the watch over it."""

    transport: asyncio.Transport

    def __init__(self, listener: Listener, serve: web.Server) -> None:
        self._listener = listener
        self._connections = listener.connections
        self._serve = serve
        self._served: asyncio.Protocol | None = None
        self.host: object = None
        """Where it comes from."""
        self._ended = False
        self._body: StreamReader | None = None
        """That of the request in hand, or of one that was answered before it was read to the end."""
        self._answered = True
        self._for_request = _Clock(listener.limits.request_within, self._request_is_late)
        self._for_answer = _Clock(listener.limits.answer_within, self._answer_is_late)

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.host = (transport.get_extra_info("peername") or (None,))[0]
        if not self._listener.make_room(self):
            self.end(_TOO_MANY)
            return
        self._wait()
        self._served = self._serve()
        self._served.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._ended or self._served is None:
            return
        if self._body is None:
            self._wait()
        self._served.data_received(data)
        self._look_at_the_body()

    def eof_received(self) -> bool | None:
        return None if self._served is None else self._served.eof_received()

    def pause_writing(self) -> None:
        self._for_answer.start()
        if self._served is not None:
            self._served.pause_writing()

    def resume_writing(self) -> None:
        self._for_answer.stop()
        if self._served is not None:
            self._served.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        if self._served is not None:
            self._served.connection_lost(exc)
        self._served = self._body = None

    # -- what the connection is at

    def begin(self, request: web.Request) -> None:
        """Note that a request has begun: its head is there, its body perhaps not."""
        if not self._ended:
            self._body, self._answered = request.content, False
            self._wait()
            self._look_at_the_body()

    def rest(self) -> None:
        """Note that the request is answered, from the next turn of the event loop on, when the answer has been written."""
        asyncio.get_running_loop().call_soon(self._rest)

    def _rest(self) -> None:
        # What is still to come of the request's body is no new request.
        if not self._ended:
            self._answered = True
            self._for_request.stop()
            self._connections.keep(self)
            self._look_at_the_body()

    def end(self, answer: bytes) -> None:
        """Close the connection: with an answer that aiohttp knows nothing of, or without one."""
        self._leave()
        if answer:
            self.transport.write(answer)
        if not answer and self.transport.get_write_buffer_size():
            self.transport.abort()  # it would stay open for as long as nobody reads
        else:
            self.transport.close()

    def _wait(self) -> None:
        self._connections.wait(self)
        self._for_request.start()

    def _look_at_the_body(self) -> None:
        if self._body is None or not self._body.is_eof():
            return
        if self._answered:
            self._body = None
        else:
            self._for_request.stop()
            self._connections.work(self)

    def _request_is_late(self) -> None:
        self._look_at_the_body()
        if self._connections.waits(self):
            self.end(_TOO_SLOW)
            self._listener.tell("slow")

    def _answer_is_late(self) -> None:
        self.end(b"")
        self._listener.tell("slow")

    def _leave(self) -> None:
        self._ended = True
        self._for_request.stop()
        self._for_answer.stop()
        self._connections.forget(self)


class _Clock:
    """Calls when something took too long; started twice, it runs on."""

    def __init__(self, seconds: float, late: Callable[[], None]) -> None:
        self._seconds = seconds
        self._late = late
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._late)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@web.middleware
async def _watched(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell the connection when one of its requests begins and ends, and log what no handler should raise."""
    transport = request.transport
    connection = None if transport is None else cast("_Connection", transport.get_protocol())
    if connection is not None:
        connection.begin(request)
    try:
        return await handler(request)
    except (web.HTTPException, ConnectionError):
        raise  # no such route, or whoever asked has gone
    except Exception as error:
        log.error("bug", task=f"{request.method} request", error=repr(error), exc_info=error)
        raise
    finally:
        if connection is not None:
            connection.rest()


def _affordable(connections: int) -> int:
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors == resource.RLIM_INFINITY:
        return connections
    return max(1, min(connections, connections * descriptors // DESCRIPTORS))


def _answer(status: str, error: str, *headers: str) -> bytes:
    body = msgspec.json.encode({"error": error})
    described = ("Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close", *headers)
    return "\r\n".join((f"HTTP/1.1 {status}", *described, "", "")).encode() + body


_TOO_MANY: Final = _answer(
    "503 Service Unavailable",
    "there are too many connections, and this one was still without a whole request; send it again on a new one",
    f"Retry-After: {COME_BACK}",
)
_TOO_SLOW: Final = _answer(
    "408 Request Timeout", "the request did not become whole in time; send it again on a new connection"
)
