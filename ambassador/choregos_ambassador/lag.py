"""How far behind each reaction is, asked from JetStream now and then, and shown in the metrics."""

import asyncio
from typing import Final

import msgspec

from choregos_ambassador.bus import Bus, BusFault
from choregos_ambassador.log import log
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.reaction import RunningReaction
from choregos_ambassador.reactions import Reactions

ASK_EVERY: Final = 15.0
CROWDED: Final = 0.8
"""Share of `maxInFlight` from which on a warning is due: once it is full, events in backoff block new ones."""


_NO_CONSUMER: Final = 10014


class _Error(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Info(msgspec.Struct):
    num_pending: int = 0
    num_ack_pending: int = 0
    error: _Error | None = None


async def watch(bus: Bus, reactions: Reactions, metrics: Metrics) -> None:
    """Ask for ever."""
    while True:
        await asyncio.sleep(ASK_EVERY)
        for running in reactions:
            try:
                await _ask(bus, running, metrics)
            except BusFault as fault:
                log.debug("lag unknown", event_type=running.role.event, error=str(fault))


async def _ask(bus: Bus, running: RunningReaction, metrics: Metrics) -> None:
    role = running.role
    names = role.configuration.bus
    subject = f"$JS.API.CONSUMER.INFO.{names.event_stream}.{names.durable(role.service, role.event)}"
    info = msgspec.json.decode(await bus.request(subject), type=_Info)
    if info.error is not None:
        if info.error.err_code == _NO_CONSUMER:
            running.durable_gone(True)
        raise BusFault(info.error.description)
    metrics.pending.labels(role.event).set(info.num_pending)
    metrics.unacknowledged.labels(role.event).set(info.num_ack_pending)
    if info.num_ack_pending >= CROWDED * role.delivery.max_in_flight:
        log.warning(
            "many events out for delivery",
            event_type=role.event,
            unacknowledged=info.num_ack_pending,
            max_in_flight=role.delivery.max_in_flight,
        )
