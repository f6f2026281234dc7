"""How full the inbox is, asked now and then: a full one forgets the oldest entries before their time, and nobody else says so."""

import asyncio
from typing import Final

from msgspec import UNSET

from choregos_ambassador.bus import Bus
from choregos_ambassador.jetstream_info import StreamInfo
from choregos_ambassador.log import log
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.reactions import Reactions
from choregos_ambassador.storing import BusFault

ASK_EVERY: Final = 15.0
FULL: Final = 0.9
"""Share of its room from which on an inbox counts as full."""


class _Watch:
    """What was last said of it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._told = False

    def look(self, info: StreamInfo, ttl: float) -> None:
        """Show the figures, and warn once of an inbox that forgets before `ttl` (seconds)."""
        room = info.config.max_bytes
        fill = info.state.bytes / room if room > 0 else 0.0
        age = 0.0
        if info.state.messages and info.ts and info.state.first_ts:
            age = max(0.0, (info.ts - info.state.first_ts).total_seconds())
        self._metrics.inbox_fill.set(fill)
        self._metrics.inbox_oldest.set(age)
        forgets = fill >= FULL and age < ttl
        if forgets and not self._told:
            log.warning("inbox full", oldest_s=round(age), ttl_s=ttl, fill_percent=round(100 * fill))
        self._told = forgets


async def watch(bus: Bus, reactions: Reactions, metrics: Metrics) -> None:
    """Ask for ever, while any reaction uses the inbox."""
    watching = _Watch(metrics)
    while True:
        await asyncio.sleep(ASK_EVERY)
        roles = [running.role for running in reactions]
        ttls = [role.reaction.idempotency.ttl for role in roles if role.reaction.idempotency is not UNSET]
        if not ttls:
            continue
        try:
            watching.look(await bus.stream_info(f"KV_{roles[0].configuration.bus.inbox_bucket}"), max(ttls))
        except BusFault as fault:
            log.debug("inbox unknown", error=str(fault))
