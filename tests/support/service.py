"""A business service whose answers a test decides."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

from support.ports import listening


@dataclass(frozen=True)
class Call:
    """A request as the service got it."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)


Handler = Callable[[Call], web.Response | Awaitable[web.Response]]


def always(status: int = 204, body: bytes = b"", **headers: str) -> Handler:
    """Answer the same to everything."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: web.Response(status=status, body=body, headers=named)


@dataclass
class Service:
    """A plain HTTP server on a free port. `handler` may be replaced while it runs."""

    handler: Handler = field(default_factory=always)
    calls: list[Call] = field(default_factory=list)
    port: int = 0
    _runner: web.AppRunner | None = None
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def start(self) -> None:
        """Listen; on the port of before, if it listened before."""
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        socket_ = socket.create_server(("127.0.0.1", self.port)) if self.port else listening()
        self.port = socket_.getsockname()[1]
        await web.SockSite(self._runner, socket_).start()

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def until_calls(self, number: int, patience: float = 20.0) -> None:
        """Wait until so many events have been posted."""
        try:
            async with asyncio.timeout(patience), self._news:
                await self._news.wait_for(lambda: len(self.calls) >= number)
        except TimeoutError:
            raise AssertionError(f"{len(self.calls)} calls within {patience} s, not {number}") from None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.path_qs, headers, await request.read())
        if request.method == "GET":
            return web.Response(status=204)
        async with self._news:
            self.calls.append(call)
            self._news.notify_all()
        answer = self.handler(call)
        return answer if isinstance(answer, web.Response) else await answer
