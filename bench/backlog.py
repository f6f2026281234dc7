"""A stream that is filled ahead of the ambassador, and swept behind it."""

import asyncio

from numbered import Message, events
from stage import NAMES, SERVICE, Stage
from wire import Wire


def _store(url: str, messages: list[Message]) -> None:
    wire = Wire(url)
    try:
        wire.store(messages)
    finally:
        wire.close()


async def fill(the: Stage, run: str, number: int, *types: str, first: int = 0, size: int = 200) -> None:
    """Store so many events, of these types in turns."""
    chunk = max(1, min(20_000, 64 * 2**20 // size))
    for start in range(first, first + number, chunk):
        made = list(events(run, start, min(chunk, first + number - start), *(types or ("Placed",)), size=size))
        await asyncio.to_thread(_store, the.url, made)


async def left(the: Stage, event_type: str = "Placed", service: str = SERVICE) -> int:
    """Return how many events of a reaction are not acknowledged yet."""
    info = await the.api(f"CONSUMER.INFO.{NAMES.event_stream}.{NAMES.durable(service, event_type)}")
    return int(info["num_pending"]) + int(info["num_ack_pending"])


async def sweep(the: Stage, event_type: str = "Placed") -> None:
    """Remove what the reaction has acknowledged from the stream."""
    info = await the.api(f"CONSUMER.INFO.{NAMES.event_stream}.{NAMES.durable(SERVICE, event_type)}")
    await the.api(f"STREAM.PURGE.{NAMES.event_stream}", {"seq": info["ack_floor"]["stream_seq"] + 1})


async def empty(the: Stage) -> None:
    """Remove every event from the stream."""
    await the.api(f"STREAM.PURGE.{NAMES.event_stream}", {})
