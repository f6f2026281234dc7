"""How far behind each reaction is, asked from JetStream now and then, and shown in the metrics."""

import asyncio
import random
from typing import Final

from choregos_ambassador.bus import Bus
from choregos_ambassador.durable_look import NoDurable
from choregos_ambassador.log import log
from choregos_ambassador.loss import Look
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.reaction import RunningReaction
from choregos_ambassador.reactions import Reactions
from choregos_ambassador.server_clock import steady
from choregos_ambassador.storing import BusFault
from choregos_ambassador.unread import Unread

ASK_EVERY: Final = 15.0
"""Seconds between two looks at a reaction, more or less, so that replicas do not keep step."""
TICK: Final = 1.0
CROWDED: Final = 0.8
"""Share of `maxInFlight` from which on a warning is due: once it is full, events in backoff block new ones."""


class Lag:
    """Looks at every reaction, for the first time as soon as it runs and whenever NATS is back."""

    def __init__(self, bus: Bus, reactions: Reactions, metrics: Metrics) -> None:
        self._bus = bus
        self._reactions = reactions
        self._metrics = metrics
        self._unread: dict[RunningReaction, Unread] = {}
        self._due: dict[RunningReaction, float] = {}
        bus.on_connected.append(self._due.clear)

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(TICK)
            if self._bus.connected.is_set():
                await self._forget_those_gone()
                for running in self._reactions:
                    if steady() >= self._due.get(running, 0.0):
                        self._due[running] = steady() + ASK_EVERY * random.uniform(0.8, 1.2)  # noqa: S311  spread
                        await self._ask(running)

    async def _ask(self, running: RunningReaction) -> None:
        event = running.role.event
        try:
            unread = await self._unread_of(running)
            sight = await unread.look()
            self._show(running, sight.look)
            await unread.count(sight.look)
        except NoDurable:
            running.durable_gone(True)
        except BusFault as fault:
            log.debug("lag unknown", event_type=event, error=str(fault))

    async def _unread_of(self, running: RunningReaction) -> Unread:
        if running not in self._unread:
            self._unread[running] = unread = Unread(self._bus, running.role, self._metrics)
            await unread.start()
        return self._unread[running]

    async def _forget_those_gone(self) -> None:
        for running in self._unread.keys() - set(self._reactions):
            await self._unread.pop(running).stop()
            self._due.pop(running, None)

    def _show(self, running: RunningReaction, look: Look) -> None:
        event, most = running.role.event, running.role.delivery.max_in_flight
        self._metrics.pending.labels(event).set(look.pending)
        self._metrics.unacknowledged.labels(event).set(look.unacknowledged)
        if look.unacknowledged >= CROWDED * most:
            log.warning(
                "many events out for delivery",
                event_type=event,
                unacknowledged=look.unacknowledged,
                max_in_flight=most,
            )
