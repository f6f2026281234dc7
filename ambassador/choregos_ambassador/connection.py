"""The connection to NATS, and requests on it: answered, or a BusFault that says why there will be no answer."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

import msgspec
import nats.errors

from choregos_ambassador.credentials import Credentials
from choregos_ambassador.denials import Denials, read_denial
from choregos_ambassador.jetstream_info import DurableInfo, Info, StreamInfo
from choregos_ambassador.log import log
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.nats_client import PermanentClient
from choregos_ambassador.request_reply import ANSWER_TIMEOUT, Requests
from choregos_ambassador.server_clock import ServerClock, steady
from choregos_ambassador.silence import Silence
from choregos_ambassador.storing import BusFault

PING_EVERY: Final = 5
UNANSWERED_PINGS: Final = 2
"""A connection on which NATS says nothing is given up within 15 s: before any lease can end that was renewed when it still did
(20 s), so that nothing which it holds back can arrive when the event is another's."""


T = TypeVar("T", bound=Info)


class Connection:
    """One NATS connection that is there for good: it waits for the server, and comes back after every cut."""

    def __init__(self, metrics: Metrics, credentials: Credentials) -> None:
        self.client = PermanentClient(credentials)
        self.connected = asyncio.Event()
        self.on_connected: list[Callable[[], None]] = []
        self.clock = ServerClock()
        self._silence = Silence()
        self._metrics = metrics
        self._requests = Requests(self.client)
        self._told: set[str] = set()
        self._denials = Denials(self.client.force_reconnect)

    async def connect(
        self, servers: Sequence[str], name: str, *, handshake_first: bool = False, server_name: str | None = None
    ) -> None:
        """Connect, however long that takes. `handshake_first`, `server_name`: of TLS, as in the settings."""
        await self.client.connect(
            list(servers),
            name=name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,  # which a close waits; the pauses between attempts are the client's own
            connect_timeout=2,
            ping_interval=PING_EVERY,
            max_outstanding_pings=UNANSWERED_PINGS,
            tls_handshake_first=handshake_first,
            tls_hostname=server_name,
            pending_size=0,  # nothing is held back while NATS is away: a stale ACK or NAK would do harm
            error_cb=self._error,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._reconnected,
        )
        await self._requests.start()
        self._up()

    @property
    def max_payload(self) -> int:
        """Largest message that the server takes, in bytes."""
        return self.client.max_payload

    @property
    def server_version(self) -> tuple[int, int]:
        """Major and minor version of the server."""
        version = self.client.connected_server_version
        return (version.major, version.minor)

    async def request(self, subject: str, payload: bytes = b"") -> bytes:
        """Ask a JetStream API subject; raises BusFault."""
        return await self.ask(subject, payload)

    async def durable_info(self, stream: str, durable: str) -> DurableInfo:
        """Ask what JetStream knows of a durable; raises BusFault, with the code of JetStream's error."""
        return await self._info(f"$JS.API.CONSUMER.INFO.{stream}.{durable}", DurableInfo)

    async def stream_info(self, stream: str) -> StreamInfo:
        """Ask what JetStream knows of a stream; raises BusFault, with the code of JetStream's error."""
        return await self._info(f"$JS.API.STREAM.INFO.{stream}", StreamInfo)

    async def _info(self, subject: str, kind: type[T]) -> T:
        """Ask, and note the server's time."""
        asked = steady()
        answer = await self.request(subject)
        try:
            info = msgspec.json.decode(answer, type=kind)
        except msgspec.DecodeError:
            raise BusFault(f"JetStream's answer on {subject} cannot be read") from None
        if info.ts:
            self.clock.told(info.ts, asked)
        if info.error:
            raise BusFault(info.error.description, err_code=info.error.err_code)
        return info

    async def ask(self, subject: str, payload: bytes, headers: bytes = b"") -> bytes:
        """Ask a subject; raises BusFault."""
        asked = time.monotonic()
        try:
            answer = await self._requests.ask(subject, payload, headers)
        except BusFault:
            self._metrics.bus_faults.inc()
            raise
        except (nats.errors.Error, OSError, TimeoutError) as error:
            self._silence.failed(error, asked)
            await self._leave_if_silent()
            raise self._fault(error, subject) from error
        self._silence.answered(answer, asked)
        await self._leave_if_silent()
        return answer

    async def _leave_if_silent(self) -> None:
        """Go on with another server where this one has no JetStream for us, though it keeps the connection."""
        if self.client.is_connected and self._silence.is_long():
            left = self._connected_to
            if await self.client.leave():
                log.warning("left a silent server", nats=left)

    def _fault(self, error: BaseException, subject: str) -> BusFault:
        """Say in words what went wrong, and count it."""
        self._metrics.bus_faults.inc()
        match error:
            case nats.errors.OutboundBufferLimitError() | nats.errors.ConnectionClosedError():
                return BusFault("NATS is not connected")
            case nats.errors.NoRespondersError() if subject.startswith("$JS.API."):
                return BusFault("nobody answers: JetStream is not enabled for this server or account, or not ready")
            case nats.errors.NoRespondersError():
                return BusFault("no stream takes this subject: the bus is not wired, or JetStream is not ready")
            case TimeoutError():
                return BusFault(f"no answer from JetStream within {ANSWER_TIMEOUT:g} s")
            case _:
                return BusFault(str(error) or type(error).__name__)

    @property
    def _connected_to(self) -> str | None:
        return self.client.connected_url.netloc if self.client.connected_url else None

    def _up(self) -> None:
        self.connected.set()
        self._told.clear()
        self._denials.forget()
        self._silence.forget()
        self._metrics.connected.set(1)
        log.info("connected", nats=self._connected_to)
        for told in self.on_connected:
            told()

    async def _reconnected(self) -> None:
        self._metrics.reconnects.inc()
        self._up()

    async def _disconnected(self) -> None:
        # Their answers will not come: asked again, they are there as soon as NATS is.
        self._requests.end("the connection to NATS was cut before its answer")
        if self.connected.is_set():
            self.connected.clear()
            self.clock.forget()
            self._metrics.connected.set(0)
            log.warning("disconnected")

    async def _error(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if denial := read_denial(text):
            self._denials.tell(denial)
            if denial.publish:
                self._requests.end(f"NATS does not permit to publish to {denial.subject}", denial.subject)
        elif text not in self._told:  # once until it is connected, however often it tries
            self._told.add(text)
            log.warning("nats", error=text)

    async def close(self) -> None:
        """Close the connection; that it has just ended by itself is no trouble any more."""
        with suppress(OSError):
            await self.client.close()
