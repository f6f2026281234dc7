"""How a hop ended, as the metrics and the log tell it."""

from enum import StrEnum
from typing import Final

import msgspec

from choregos_ambassador.dead_letter import Reason
from choregos_ambassador.delivery import Delivery
from choregos_ambassador.log import log
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.role import Role
from choregos_contract.event import Event


class End(StrEnum):
    """The ways in which a delivery ends."""

    DONE = "done"
    RETRY = "retry"
    HAND_BACK = "hand-back"
    DEAD_LETTER = "dead-letter"
    LEASE_LOST = "lease-lost"


_DONE: Final = End.DONE


class Ending(msgspec.Struct):
    """The end of one delivery, with what is worth telling. Times in seconds."""

    end: End
    status: int | None = None
    error: str = ""
    said: str = ""
    reason: Reason | None = None
    delay: float | None = None
    replies: list[str] = []


class Report:
    """Tells of every hop in the metrics, and in the log of those that did not go well (or of all)."""

    def __init__(self, metrics: Metrics, *, every_hop: bool, answers: bool) -> None:
        self._metrics = metrics
        self._every_hop = every_hop
        self._answers = answers

    def attempted(self, role: Role, seconds: float) -> None:
        """Take note of an attempt's duration."""
        self._metrics.attempt(role.event).observe(seconds)

    def ended(self, role: Role, delivery: Delivery, event: Event | None, ending: Ending, seconds: float) -> None:
        """Take note of a hop's end. `event` is None for what is no event."""
        self._metrics.hop(role.event, ending.end).inc()
        for reply in ending.replies:
            self._metrics.reply(reply).inc()
        if ending.end is _DONE and not self._every_hop:
            return
        if ending.reason is not None:
            self._metrics.dead_letters.labels(role.event, ending.reason).inc()
        if ending.end is End.LEASE_LOST:
            self._metrics.leases_lost.labels(role.event).inc()
        tell = log.info if ending.end is End.DONE else log.warning
        tell(
            "hop",
            verdict=ending.end,
            event_id=event.id if event else None,
            event_type=role.event,
            correlation_id=event.correlation_id if event else None,
            sequence=delivery.sequence,
            attempt=delivery.number,
            status=ending.status,
            duration_ms=round(seconds * 1000, 2),
            replies=ending.replies or None,
            reason=ending.reason,
            error=ending.error or None,
            said=ending.said or None if self._answers else None,
            delay_s=None if ending.delay is None else round(ending.delay, 3),
        )
