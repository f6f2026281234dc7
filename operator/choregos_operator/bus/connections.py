"""The operator's connections to NATS: one for each way there, opened when it is needed, and again when it was closed."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from nats.aio.client import Client, RawCredentials
from nats.errors import AuthorizationError

from choregos_contract.event_bus import EventBus
from choregos_operator.bus import credentials
from choregos_operator.bus.asker import CLOSE_WITHIN, Asker
from choregos_operator.bus.credentials import Credentials
from choregos_operator.bus.faults import BusAway, BusFault, BusUnusable
from choregos_operator.bus.route import Route, route
from choregos_operator.settings import Settings

CONNECT_WITHIN: Final = 5.0
"""Seconds after which NATS counts as away."""
IDLE_FOR: Final = 900.0
"""Seconds after which a connection that nobody used is closed: its bus is gone."""
NAME: Final = "choregos-operator"


class Connections:
    """Gives each bus its connection; buses on the same servers with the same credentials share one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._askers: dict[Route, Asker] = {}
        self._opening: dict[Route, asyncio.Task[Asker]] = {}

    async def asker(self, bus: EventBus | None) -> Asker:
        """Return a connection that stands; None is a bus without an object. Raises BusFault within CONNECT_WITHIN."""
        await self._close_idle()
        way = route(bus, self._settings)
        asker = self._askers.get(way)
        if asker is None or not asker.connected:
            asker = await self._open_once(way)
        asker.last_used = time.monotonic()
        return asker

    async def close(self) -> None:
        """Close all of them."""
        opening = [*self._opening.values()]
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        for asker in self._askers.values():
            await asker.close()
        self._askers.clear()

    async def _open_once(self, way: Route) -> Asker:
        """Open it, or wait with whoever is about it: while NATS is away, many ask at the same moment."""
        task = self._opening.get(way)
        if task is None:
            task = self._opening[way] = asyncio.create_task(_open(way), name=f"connect to {way}")
            task.add_done_callback(lambda done: self._opened(way, done))
        return await asyncio.shield(task)

    def _opened(self, way: Route, task: asyncio.Task[Asker]) -> None:
        del self._opening[way]
        if not task.cancelled() and task.exception() is None:
            self._askers[way] = task.result()

    async def _close_idle(self) -> None:
        long_ago = time.monotonic() - IDLE_FOR
        for way in [way for way, asker in self._askers.items() if asker.last_used < long_ago]:
            await self._askers.pop(way).close()


class _Client(Client):
    """nats-py's client, careful with credentials."""

    def __init__(self, *, wants_tls: bool) -> None:
        super().__init__()
        self._wants_tls = wants_tls

    def _connect_command(self) -> bytes:
        """Send nothing in the clear. To go when nats-py refuses a server without TLS that it was given a context for."""
        assert self._current_server
        scheme = self._current_server.uri.scheme
        encrypted = scheme == "wss" or self._server_info.get("tls_required") or self.options["tls_handshake_first"]
        if (self._wants_tls or scheme == "tls") and not encrypted:
            sentence = "TLS is asked for, and the NATS server does not require it: no credentials are sent"
            raise BusUnusable(sentence, "turn on TLS on the servers, or off for this bus", "TlsMissing")
        return super()._connect_command()

    async def abandon(self) -> None:
        """Close what a failed attempt leaves open; nats-py does not."""
        if self._transport is None:
            return
        self._transport.close()  # type: ignore[no-untyped-call]
        # After a failed TLS handshake the end is never told.
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN):
                await self._transport.wait_closed()  # type: ignore[no-untyped-call]


async def _open(way: Route) -> Asker:
    """Open one connection, with the credentials of this moment; raises BusFault."""
    given = credentials.read(way.credentials)
    client = _Client(wants_tls=way.tls or given.tls is not None)
    asker = Asker(client)
    last: list[Exception] = []

    async def told(error: Exception) -> None:
        last.append(error)
        await asker.told(error)

    try:
        async with asyncio.timeout(CONNECT_WITHIN - CLOSE_WITHIN):
            await _connect(client, way, given, asker, told)
    except BaseException as error:
        await client.abandon()
        if isinstance(error, BusFault) or not isinstance(error, Exception):
            raise
        raise _fault(way, last[-1] if last else error) from error
    return asker


async def _connect(
    client: Client,
    way: Route,
    given: Credentials,
    asker: Asker,
    told: Callable[[Exception], Awaitable[None]],
) -> None:
    await client.connect(
        list(way.servers),
        name=NAME,
        allow_reconnect=False,
        max_reconnect_attempts=1,  # of the first connection: each server twice
        reconnect_time_wait=0,
        connect_timeout=2,
        ping_interval=10,
        max_outstanding_pings=2,
        user=given.user,
        password=given.password,
        token=given.token,
        user_credentials=None if given.jwt_and_seed is None else RawCredentials(given.jwt_and_seed),
        nkeys_seed_str=given.seed,
        tls=given.tls,
        tls_hostname=way.server_name,
        tls_handshake_first=way.handshake_first,
        error_cb=told,
        closed_cb=asker.closed,
    )


def _fault(way: Route, error: Exception) -> BusFault:
    text = str(error) or type(error).__name__
    if isinstance(error, AuthorizationError) or "authorization violation" in text.lower():
        where = f"into {way.credentials}" if way.credentials else "and name them with CHOREGOS_NATS_CREDENTIALS"
        mend = f"put the credentials of a user that these servers know {where}"
        return BusUnusable(f"the NATS servers {way} refuse the operator: {text}", mend, "NotAuthorized")
    if isinstance(error, ssl.SSLError):
        mend = f"put the authority of the servers' certificate as ca.crt into {way.credentials or 'the credentials'}"
        return BusUnusable(f"no TLS with the NATS servers {way}: {text}", mend, "TlsFailed")
    return BusAway(f"the NATS servers {way} do not answer: {text}")
