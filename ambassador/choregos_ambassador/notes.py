"""Notes on events that were handed back in order, so that a long outage is never taken for a crash loop.

JetStream counts deliveries, not how they ended: an event that is given back while its service is away counts as one
that killed its pod. So an event that has come back often is noted, in a key-value bucket, with the number of the
delivery that ended in order (decision 0004).
"""

from typing import Final

from choregos_ambassador import message_get
from choregos_ambassador.bus import Bus
from choregos_ambassador.delivery import Delivery
from choregos_ambassador.log import log
from choregos_ambassador.role import Role
from choregos_ambassador.storing import BusFault, Record
from choregos_contract.ids import derive

MOST_UNWRITTEN: Final = 10_000


class Notes:
    """The notes of one bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._unwritten: dict[str, int] = {}
        """What the bucket did not take: better than nothing, as long as this process lives."""

    async def handed_back(self, delivery: Delivery, role: Role) -> None:
        """Note that this delivery ends in order, if the event has come back often enough for that to matter."""
        if delivery.number <= _late(role):
            return
        subject = _subject(delivery, role)
        try:
            await self._bus.publish(Record(subject, {}, str(delivery.number).encode()))
        except BusFault as fault:
            log.warning("hand-back not noted", sequence=delivery.sequence, error=str(fault))
            self._unwritten[subject] = delivery.number
            if len(self._unwritten) > MOST_UNWRITTEN:
                self._unwritten.pop(next(iter(self._unwritten)))
        else:
            self._unwritten.pop(subject, None)

    async def is_crash_loop(self, delivery: Delivery, role: Role) -> bool:
        """Return whether the event was delivered too often without any end in order; raises BusFault."""
        attempts = role.delivery.retry + 1
        if delivery.number <= 3 * attempts + 10:
            return False
        return delivery.number - await self._last_noted(delivery, role) > attempts + 5

    async def _last_noted(self, delivery: Delivery, role: Role) -> int:
        subject = _subject(delivery, role)
        remembered = self._unwritten.get(subject, 0)
        try:
            note = await message_get.last(self._bus, f"KV_{role.configuration.bus.note_bucket}", subject)
        except BusFault:
            if remembered:
                return remembered
            raise
        return max(remembered, int(note.data) if note else 0)


def _late(role: Role) -> int:
    """So many deliveries are nothing to note yet: well before `is_crash_loop` asks."""
    return 2 * (role.delivery.retry + 1) + 5


def _subject(delivery: Delivery, role: Role) -> str:
    names = role.configuration.bus
    return f"$KV.{names.note_bucket}.{derive('note', role.service, role.event, str(delivery.sequence))}"
