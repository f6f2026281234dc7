"""Which ambassadors of a bus run, and what they know, asked over NATS' service API (ADR-32)."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from choregos_contract.names import BusNames

SUBJECT: Final = "$SRV.STATS.choregos-ambassador"
SILENCE: Final = 0.5
"""Seconds without a further answer after which all are taken to have answered."""
PATIENCE: Final = 10.0
"""Seconds for all answers. Of that, 3 for the first one: it may come through a slow tunnel, and if there is nobody, the
server says so at once."""
_FIRST: Final = 3.0


class RunningAmbassador(msgspec.Struct, frozen=True, kw_only=True):
    """One ambassador that answered."""

    id: str
    """Of this process, on the service API."""
    service: str
    pod: str = ""
    """Name of its pod; empty outside a cluster."""
    generation: int = 0
    """Of the configuration that it works by."""
    version: str = ""
    breaker: str = ""
    """`closed` while all is well."""
    breaker_reason: str = ""
    in_flight: Mapping[str, int] = {}
    """Events that it has in hand, by type."""


class _Metadata(msgspec.Struct):
    service: str = ""
    namespace: str = ""
    bus: str = ""
    pod: str = ""


class _Status(msgspec.Struct, rename="camel"):
    version: str = ""
    generation: int = 0
    breaker: str = ""
    breaker_reason: str = ""
    in_flight: dict[str, int] = {}


class _Endpoint(msgspec.Struct):
    data: _Status


class _Stats(msgspec.Struct):
    id: str
    metadata: _Metadata
    endpoints: list[_Endpoint]


async def running_ambassadors(client: Client, names: BusNames) -> tuple[RunningAmbassador, ...]:
    """Return the ambassadors of a bus that answered, by service and pod; raises what nats-py raises."""
    found = [_read(answer) for answer in await _gather(client)]
    of_bus = [
        each for each in found if each and (each.metadata.namespace, each.metadata.bus) == (names.namespace, names.bus)
    ]
    return tuple(sorted(map(_ambassador, of_bus), key=lambda each: (each.service, each.pod, each.id)))


async def _gather(client: Client) -> list[bytes]:
    """Ask everybody, and take answers until there is silence."""
    answers: list[bytes] = []
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    try:
        await client.publish(SUBJECT, reply=inbox)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while message := await _next(subscription, SILENCE if answers else _FIRST):
                    answers.append(message.data)
    finally:
        with suppress(Exception):
            await subscription.unsubscribe()
    return answers


async def _next(subscription: Any, patience: float) -> Msg | None:
    try:
        message: Msg = await subscription.next_msg(timeout=patience)
    except TimeoutError:
        return None
    # Nobody at all: the server says so at once.
    return None if (message.headers or {}).get("Status") == "503" and not message.data else message


def _read(answer: bytes) -> _Stats | None:
    """Read an answer; None for one that no ambassador gives: anybody in the account may take the name."""
    try:
        stats = msgspec.json.decode(answer, type=_Stats)
    except msgspec.DecodeError:
        return None
    return stats if stats.endpoints else None


def _ambassador(stats: _Stats) -> RunningAmbassador:
    status = stats.endpoints[0].data
    return RunningAmbassador(
        id=stats.id,
        service=stats.metadata.service,
        pod=stats.metadata.pod,
        generation=status.generation,
        version=status.version,
        breaker=status.breaker,
        breaker_reason=status.breaker_reason,
        in_flight=status.in_flight,
    )
