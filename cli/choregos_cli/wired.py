"""Waiting for somebody else to wire the bus, and saying what is missing, in the ambassador's log."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError

from choregos_ambassador.log import log
from choregos_contract.names import BusNames

LOOK_EVERY: Final = 0.5
"""Seconds between two looks."""
HINT: Final = "have the operator or `choregos up` wire the choreography, or give --wire with --file"
_PATIENCE: Final = 5.0


async def until_wired(client: Client, bus: BusNames, reactions: Sequence[tuple[str, str]]) -> float:
    """Wait until the event stream and the durables of these reactions (service, event) are there.

    Returns the stream's duplicate window in seconds. NATS may be away meanwhile.
    """
    stream = f"STREAM.INFO.{bus.event_stream}"
    needed = {stream: {"stream": bus.event_stream}}
    for service, event in reactions:
        durable = bus.durable(service, event)
        fields = {"durable": durable, "of_service": service, "event_type": event}
        needed[f"CONSUMER.INFO.{bus.event_stream}.{durable}"] = fields
    told: set[str] = set()
    while True:
        found = {subject: await _info(client, subject) for subject in needed}
        missing = {subject for subject, info in found.items() if info is None}
        if (info := found[stream]) and not missing:
            return float(info["config"].get("duplicate_window", 0)) / 1e9
        for subject, fields in needed.items():
            if subject in missing - told:
                log.error("not wired", **fields, hint=HINT)
        told = missing
        await asyncio.sleep(LOOK_EVERY)


async def _info(client: Client, subject: str) -> dict[str, Any] | None:
    """Return what JetStream knows of a stream or durable, None if there is none; patient while nobody answers."""
    told = ""
    while True:
        try:
            answer = await client.request(f"$JS.API.{subject}", b"", timeout=_PATIENCE)
        except (NatsError, OSError, TimeoutError) as error:
            if (text := str(error) or type(error).__name__) != told:
                log.warning("wiring unknown", asked=subject, error=text)
            told = text
            await asyncio.sleep(LOOK_EVERY)
        else:
            read = msgspec.json.decode(answer.data, type=dict[str, Any])
            return None if "error" in read else read
