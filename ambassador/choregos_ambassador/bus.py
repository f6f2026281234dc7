"""The connection to NATS: records stored with a publish acknowledgement, requests, and what goes wrong with both."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
import nats.errors
from nats.aio.msg import Msg
from nats.nuid import NUID

from choregos_ambassador.credentials import Credentials
from choregos_ambassador.denials import Denials, read_denial
from choregos_ambassador.fail_point import reach
from choregos_ambassador.log import log
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.nats_client import PermanentClient
from choregos_ambassador.server_clock import ServerClock, steady
from choregos_ambassador.silence import Silence

ANSWER_TIMEOUT: Final = 5.0
"""Seconds to wait for JetStream's answer."""
PING_EVERY: Final = 5
UNANSWERED_PINGS: Final = 2
"""A connection on which NATS says nothing is given up within 15 s: before any lease can end that was renewed when it still did
(20 s), so that nothing which it holds back can arrive when the event is another's."""
ATOMIC_SINCE: Final = (2, 12)
MAX_HEADERS: Final = 64 * 1024 - 1
"""Bytes of a header block that a stream takes, whatever `max_payload` is."""
BATCH_HEADERS: Final = 256
"""Bytes, rounded up, that a record grows by as a part of an atomic batch."""
_NO_ATOMIC_PUBLISH: Final = 10174
_BATCH_TOO_LARGE: Final = 10199
_DUPLICATE_IN_BATCH: Final = 10201
_CONFLICTS: Final = frozenset({10071, 10164})
"""Wrong last sequence; the second one while another record of the subject is on its way to the replicas."""
_ONE_BY_ONE: Final = frozenset({_NO_ATOMIC_PUBLISH, _BATCH_TOO_LARGE, _DUPLICATE_IN_BATCH})
"""Errors that say that these records will never do as a batch, though each of them may do alone."""


class BusFault(Exception):  # noqa: N818  named by what it means for the caller
    """The bus did not store it, or did not say so: away, full, too slow. It may be sent again as it is.

    `stored`: of records that were sent one by one, those at the front that were stored before the fault.
    """

    stored: "Sequence[Stored]" = ()
    err_code: int = 0
    """JetStream's own number of what is wrong, if it said so."""


class Conflict(Exception):  # noqa: N818
    """The record's subject is not at the sequence that the record expects: somebody else was quicker."""


class TooLarge(Exception):  # noqa: N818
    """The record is larger than the server takes: sent, it would cost the connection, or be refused for ever."""

    def __init__(self, size: int, limit: int, counted: str = "with its headers") -> None:
        super().__init__(f"{size} bytes {counted}; the NATS server takes {limit}")
        self.size = size
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Record:
    """A message to be stored."""

    subject: str
    headers: Mapping[str, str]
    payload: bytes

    @property
    def size(self) -> int:
        """Bytes that count against `max_payload`: header block and payload."""
        return self.header_size + len(self.payload)

    @property
    def header_size(self) -> int:
        """Bytes of the header block."""
        return 12 + sum(len(name.encode()) + len(value.encode()) + 4 for name, value in self.headers.items())


class _Error(msgspec.Struct):
    code: int
    err_code: int = 0
    description: str = ""


class _StreamInfo(msgspec.Struct):
    created: str = ""


class _Dated(msgspec.Struct):
    ts: datetime | None = None


class Stored(msgspec.Struct):
    """A publish acknowledgement. `duplicate`: the stream had it already."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: _Error | None = None


_stored = msgspec.json.Decoder(Stored)
_dated = msgspec.json.Decoder(_Dated)


class _Wait:
    """A request on its way to an answer, or to a fault that says why there will be none."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.clock = asyncio.timeout(ANSWER_TIMEOUT)
        self.fault = f"no answer from JetStream within {ANSWER_TIMEOUT:g} s"
        self.asked = time.monotonic()
        self.ended = False

    def end(self, fault: str) -> None:
        if not self.clock.expired():
            self.fault = fault
            self.ended = True
            self.clock.reschedule(0)


class Bus:
    """One NATS connection that is there for good: it waits for the server, and comes back after every cut."""

    def __init__(self, metrics: Metrics, credentials: Credentials) -> None:
        self.client = PermanentClient(credentials)
        self.connected = asyncio.Event()
        self.on_connected: list[Callable[[], None]] = []
        self.clock = ServerClock()
        self._silence = Silence()
        self._metrics = metrics
        self._batches = NUID()
        self._waits: set[_Wait] = set()
        self._created: dict[str, str] = {}
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

    @property
    def atomic(self) -> bool:
        """Whether the server stores a batch as one (ADR-50)."""
        return self.client.is_connected and self.server_version >= ATOMIC_SINCE

    async def publish(self, record: Record) -> Stored:
        """Store one record; raises BusFault or TooLarge, and Conflict if it expects a sequence."""
        self.check_size(record)
        return self._accepted(await self._ask(record.subject, record.payload, dict(record.headers)))

    async def replace(self, record: Record, last: int) -> bool:
        """Store a record if `last` is the last sequence of its subject, 0 for none; whether it was. Raises BusFault."""
        headers = {**record.headers, "Nats-Expected-Last-Subject-Sequence": str(last)}
        try:
            await self.publish(Record(record.subject, headers, record.payload))
        except Conflict:
            return False
        return True

    async def publish_all(self, records: Sequence[Record], *, first_last: bool = False) -> list[Stored]:
        """Store records in order, as one atomic batch where the server can (ADR-50); raises BusFault or TooLarge.

        `first_last`: where they must go one by one, the first of them goes last, to prove that all the others are there.
        """
        for record in records:
            self.check_size(record)
        if len(records) > 1 and self.atomic and all(self._fits_batch(record) for record in records):
            stored = await self._publish_atomically(records)
            if stored is not None:
                return stored
        return await self._publish_singly([*records[1:], *records[:1]] if first_last else records)

    def check_size(self, record: Record) -> None:
        """Raise TooLarge where the server would cut the connection, or the stream refuse the record for ever."""
        if self.client.is_connected and record.size > self.max_payload:
            raise TooLarge(record.size, self.max_payload)
        if record.header_size > MAX_HEADERS:
            raise TooLarge(record.header_size, MAX_HEADERS, "of headers")

    def _fits_batch(self, record: Record) -> bool:
        return record.size + BATCH_HEADERS <= self.max_payload and record.header_size + BATCH_HEADERS <= MAX_HEADERS

    async def request(self, subject: str, payload: bytes = b"") -> bytes:
        """Ask a JetStream API subject; raises BusFault."""
        return (await self._ask(subject, payload, None)).data

    async def info(self, subject: str) -> bytes:
        """Ask for `$JS.API.<subject>`, an information about a stream or consumer, and note the server's time; raises BusFault."""
        asked = steady()
        answer = await self.request(f"$JS.API.{subject}")
        if moment := _dated.decode(answer).ts:
            self.clock.told(moment, asked)
        return answer

    async def stream_created(self, stream: str) -> str:
        """Return the creation time of a stream, as the server writes it; raises BusFault."""
        if stream not in self._created:
            info = msgspec.json.decode(await self.info(f"STREAM.INFO.{stream}"), type=_StreamInfo)
            if not info.created:
                raise BusFault(f"there is no stream {stream}")
            self._created[stream] = info.created
        return self._created[stream]

    async def _publish_singly(self, records: Sequence[Record]) -> list[Stored]:
        stored: list[Stored] = []
        for record in records:
            try:
                stored.append(await self.publish(record))
            except BusFault as fault:
                fault.stored = stored
                raise
            reach("after-single")
        return stored

    async def _publish_atomically(self, records: Sequence[Record]) -> list[Stored] | None:
        """Store all or nothing; None if the server will not take these as a batch, so that they go one by one.

        A batch in which one record is a duplicate is refused whole: it was stored before, if perhaps by halves.
        """
        batch = self._batches.next().decode()
        for index, record in enumerate(records[:-1], start=1):
            await self._send(record, {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(index)})
        reach("before-commit")
        last = records[-1]
        commit = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(len(records)), "Nats-Batch-Commit": "1"}
        message = await self._ask(last.subject, last.payload, {**last.headers, **commit})
        error = _read(message).error
        if error is not None and error.err_code in _ONE_BY_ONE:
            log.debug("batch refused", error=error.description)
            return None
        answer = self._accepted(message)
        return [Stored(answer.stream, answer.seq - len(records) + index) for index in range(1, len(records) + 1)]

    async def _send(self, record: Record, extra: Mapping[str, str]) -> None:
        try:
            await self.client.publish(record.subject, record.payload, headers={**record.headers, **extra})
        except (nats.errors.Error, OSError) as error:
            raise self._fault(error) from error

    async def _ask(self, subject: str, payload: bytes, headers: dict[str, str] | None) -> Msg:
        wait = _Wait(subject)
        self._waits.add(wait)
        try:
            async with wait.clock:
                answer = await self.client.request(subject, payload, timeout=ANSWER_TIMEOUT, headers=headers)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            if not wait.ended:
                self._silence.failed(error, wait.asked)
                await self._leave_if_silent()
            raise self._fault(error, wait) from error
        finally:
            self._waits.discard(wait)
        self._silence.answered(answer.data, wait.asked)
        await self._leave_if_silent()
        return answer

    async def _leave_if_silent(self) -> None:
        """Go on with another server where this one has no JetStream for us, though it keeps the connection."""
        if self.client.is_connected and self._silence.is_long():
            left = self._connected_to
            if await self.client.leave():
                log.warning("left a silent server", nats=left)

    def _accepted(self, answer: Msg) -> Stored:
        stored = _read(answer)
        if stored.error is not None:
            if stored.error.err_code in _CONFLICTS:
                raise Conflict(stored.error.description)
            self._metrics.bus_faults.inc()
            fault = BusFault(stored.error.description)
            fault.err_code = stored.error.err_code
            raise fault
        return stored

    def _fault(self, error: BaseException, wait: _Wait | None = None) -> BusFault:
        self._metrics.bus_faults.inc()
        match error:
            case nats.errors.OutboundBufferLimitError() | nats.errors.ConnectionClosedError():
                return BusFault("NATS is not connected")
            case nats.errors.NoRespondersError() if wait and wait.subject.startswith("$JS.API."):
                return BusFault("nobody answers: JetStream is not enabled for this server or account, or not ready")
            case nats.errors.NoRespondersError():
                return BusFault("no stream takes this subject: the bus is not wired, or JetStream is not ready")
            case TimeoutError() if wait:
                return BusFault(wait.fault)
            case _:
                return BusFault(str(error) or type(error).__name__)

    @property
    def _connected_to(self) -> str | None:
        return self.client.connected_url.netloc if self.client.connected_url else None

    def _up(self) -> None:
        self.connected.set()
        self._created.clear()
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
        for wait in self._waits:  # its answer will not come: asked again, it is there as soon as NATS is
            wait.end("the connection to NATS was cut before its answer")
        if self.connected.is_set():
            self.connected.clear()
            self.clock.forget()
            self._metrics.connected.set(0)
            log.warning("disconnected")

    async def _error(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if denial := read_denial(text):
            self._denials.tell(denial)
            for wait in self._waits:
                if denial.publish and wait.subject == denial.subject:
                    wait.end(f"NATS does not permit to publish to {denial.subject}")
        elif text not in self._told:  # once until it is connected, however often it tries
            self._told.add(text)
            log.warning("nats", error=text)

    async def close(self) -> None:
        """Close the connection."""
        await self.client.close()


def _read(answer: Msg) -> Stored:
    try:
        return _stored.decode(answer.data)
    except msgspec.DecodeError:
        raise BusFault("JetStream's answer is no publish acknowledgement") from None
