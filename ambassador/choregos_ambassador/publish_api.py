"""The publish API on loopback: the way in for events that a service, or a producer outside, emits of its own accord.

It answers after the publish acknowledgement, never before: a 201 is an event that is on the bus.
"""

import asyncio
import ipaddress
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from aiohttp import web

from choregos_ambassador import admission, drain, records
from choregos_ambassador.admission import Refusal
from choregos_ambassador.bodies import REQUEST_LIMIT, Bodies, NoRoom, Place
from choregos_ambassador.bodies import TooLarge as BodyTooLarge
from choregos_ambassador.bus import Bus
from choregos_ambassador.listener import Limits
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.nats_client import LONGEST_PAUSE
from choregos_ambassador.storing import BusFault, Record, Stored, TooLarge
from choregos_contract.configuration import Configuration
from choregos_contract.event import Event
from choregos_contract.ids import event_record

HEADROOM: Final = 16 * 1024
"""Bytes of `max_payload` that an event leaves free, for the headers that later hops and a dead letter add."""
LIMITS: Final = Limits(connections=512, request_within=30.0, answer_within=30.0)
"""What the port of the publish API allows: a pod's own service is behind its connections."""
RECONNECT_WITHIN: Final = LONGEST_PAUSE + 1.0
"""Seconds for which a request waits for NATS to come back, before it is told to come back itself: as long as the ambassador may take
to notice that it is back."""
TURNS: Final = 3
"""Turns of the event loop in which the end of a connection is read that has waited in its socket, behind the request."""
SETTLING: Final = 120.0
"""Seconds after a start or a reload in which an undeclared event may be one whose configuration is on its way."""


class PublishApi:
    """Takes events in over HTTP."""

    def __init__(self, bus: Bus, metrics: Metrics, drain: Callable[[], asyncio.Future[None]]) -> None:
        self._bus = bus
        self._metrics = metrics
        self._drain = drain
        self._bodies = Bodies()
        self._configuration: Configuration | None = None
        self._configured = time.monotonic()

    def configure(self, configuration: Configuration) -> None:
        """Admit the events of this configuration from now on."""
        self._configuration = configuration
        self._configured = time.monotonic()

    def application(self) -> web.Application:
        """Build the routes."""
        application = web.Application()
        application.add_routes(
            [
                web.post("/events", self._publish),
                web.post("/events/{type}", self._publish),
                web.post("/drain", self._drained),
            ]
        )
        return application

    async def _publish(self, request: web.Request) -> web.Response:
        try:
            response = _json(201, await self._admit_and_store(request))
        except Refusal as refusal:
            response = _json(refusal.status, refusal.body, retry_after=refusal.retry_after)
        if not request.content.is_eof():
            response.force_close()  # the rest of the body is for nobody, and where a broken one ends, nobody knows
        self._metrics.published.labels(str(response.status)).inc()
        return response

    async def _admit_and_store(self, request: web.Request) -> Mapping[str, object]:
        try:
            with self._bodies.place() as place:
                return await self._read_and_store(request, place)
        except NoRoom as full:
            raise Refusal(503, str(full), retry_after=1) from full

    async def _read_and_store(self, request: web.Request, place: Place) -> Mapping[str, object]:
        configuration = self._configuration
        if configuration is None:
            raise Refusal(503, "this ambassador has no configuration yet", retry_after=1)
        try:
            body = await place.read(request)
        except BodyTooLarge as error:
            raise Refusal(413, f"the request has more than {REQUEST_LIMIT} bytes", limit=REQUEST_LIMIT) from error
        except web.RequestPayloadError as error:
            raise Refusal(400, f"the body is no HTTP: {error}") from error
        headers = [(name, value) for name, value in request.headers.items()]
        event_type = request.match_info.get("type")
        if event_type is None:
            events, batch = admission.events(headers, body)
        else:
            events, batch = [admission.event(event_type, headers, body, configuration)], False
        self._check_declared(events, configuration)
        await self._wait_for_bus()
        writes = [records.of_event(each, configuration.bus, event_record(each.source, each.id)) for each in events]
        self._check_sizes(writes)
        await _check_present(request)
        stored = await self._store(events, writes)
        results = [_result(event, each) for event, each in zip(events, stored, strict=True)]
        return {"events": results} if batch else results[0]

    def _check_declared(self, events: list[Event], configuration: Configuration) -> None:
        undeclared = sorted({event.type for event in events} - set(configuration.emits))
        if not undeclared:
            return
        reason = (
            f"{', '.join(undeclared)[:300]} is not among the events that {configuration.service} emits"
            f" ({', '.join(configuration.emits) or 'none'}); add it to the service's emits in the Choreography"
        )
        if time.monotonic() - self._configured < SETTLING:
            raise Refusal(503, reason, retry_after=5)
        raise Refusal(403, reason)

    async def _wait_for_bus(self) -> None:
        try:
            async with asyncio.timeout(RECONNECT_WITHIN):
                await self._bus.connected.wait()
        except TimeoutError:
            raise Refusal(503, "NATS is not connected", retry_after=2) from None

    def _check_sizes(self, writes: list[Record]) -> None:
        limit = self._bus.max_payload - HEADROOM
        for record in writes:
            if record.size > limit:
                error = f"the event has {record.size} bytes with its headers; {limit} is the limit"
                raise Refusal(413, error, size=record.size, limit=limit)

    async def _store(self, events: list[Event], writes: list[Record]) -> list[Stored]:
        """Store the events, a batch as one where the server can; a batch stored in part is told element by element."""
        try:
            return await self._bus.publish_all(writes)
        except TooLarge as error:
            raise Refusal(413, str(error), size=error.size, limit=error.limit) from error
        except BusFault as fault:
            if not fault.stored:
                raise Refusal(503, str(fault), retry_after=2) from fault
            outcomes: list[Stored | str] = [*fault.stored, *(len(events) - len(fault.stored)) * [str(fault)]]
            results = [_result(event, outcome) for event, outcome in zip(events, outcomes, strict=True)]
            reason = "not every event was stored; send the same batch again"
            raise Refusal(503, reason, retry_after=2, events=results) from fault

    async def _drained(self, request: web.Request) -> web.Response:
        """Start the drain, and answer when no event is in hand; what a pod's `preStop` hook calls."""
        name, value = drain.HEADER
        if request.headers.get(name) != value or not _on_loopback(request):
            reason = (
                f"a drain is asked for from loopback, with the header {name}: {value}; run choregos-ambassador drain"
            )
            return _json(403, {"error": reason})
        await asyncio.shield(self._drain())
        return _json(200, {"drained": True})


async def _check_present(request: web.Request) -> None:
    """Store nothing for who has hung up: he asks again, and elsewhere that may be stored long before this process goes on."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
    if request.transport is None or request.transport.is_closing():
        raise Refusal(503, "whoever asked has hung up")


def _on_loopback(request: web.Request) -> bool:
    """Tell whether whoever asks shares our network namespace: he is in this pod, or on this machine."""
    peer = None if request.transport is None else request.transport.get_extra_info("peername")
    if not peer:
        return False
    address = ipaddress.ip_address(peer[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _result(event: Event, stored: Stored | str) -> dict[str, object]:
    result: dict[str, object] = {"id": event.id, "correlationId": event.correlation_id}
    if isinstance(stored, str):
        result["error"] = stored
    elif stored.duplicate:
        result["duplicate"] = True
    return result


def _json(status: int, body: Mapping[str, object], retry_after: int | None = None) -> web.Response:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json", headers=headers)
