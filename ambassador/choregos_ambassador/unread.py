"""What a reaction has not acknowledged yet: how old the oldest of it is, and what the stream removed of it unread.

All replicas look, and show what they see. What is gone is counted by one of them: each look is noted in the notes' bucket,
and only who replaces the note of the look before counts what has happened since. So the sum over all replicas is right, and an
ambassador that was not there when it happened compares with the note of one that was.
"""

from typing import Final

import msgspec

from choregos_ambassador import loss
from choregos_ambassador.bus import Bus
from choregos_ambassador.durable_look import DurableLook, Sight
from choregos_ambassador.jetstream_info import NO_STREAM
from choregos_ambassador.log import log
from choregos_ambassador.loss import Look, Loss
from choregos_ambassador.message_get import Message, last
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.removals import Removals
from choregos_ambassador.role import Role
from choregos_ambassador.storing import BusFault, Conflict, Record
from choregos_ambassador.timestamps import rfc3339
from choregos_contract.ids import derive

OLD: Final = 0.8
"""Share of `maxAge` from which on a warning is due."""
FRESH: Final = 10.0
"""Seconds after which a look is noted again, if nothing is gone: one replica's look will do for all."""
RENEW: Final = 3600.0
"""Seconds after which a look that shows nothing new is noted all the same: the bucket forgets old notes."""
TRIES: Final = 3
_ADVICE: Final = (
    "they are in no stream any more: have them published again; raise maxAge or maxBytes of the bus, or find out why "
    "nobody read them in time"
)


class Unread:
    """The unread events of one reaction."""

    def __init__(self, bus: Bus, role: Role, metrics: Metrics) -> None:
        names = role.configuration.bus
        self._bus = bus
        self._event = role.event
        self._look_at = DurableLook(bus, role)
        self._removals = Removals(bus, names.event_stream, names.durable(role.service, role.event))
        self._bucket = f"KV_{names.note_bucket}"
        self._subject = f"$KV.{names.note_bucket}.{derive('unread', role.service, role.event)}"
        self._age = metrics.oldest_age.labels(role.event)
        self._ratio = metrics.oldest_ratio.labels(role.event)
        self._expired = metrics.expired_unread.labels(role.event)
        self._remembered: Look | None = None
        """The last look of this process, for want of a bucket."""
        self._alone = False

    async def start(self) -> None:
        """Listen for advisories; the bus is connected."""
        await self._removals.start()

    async def stop(self) -> None:
        """Listen no more."""
        await self._removals.stop()

    async def look(self) -> Sight:
        """Show how old the oldest event is; raises BusFault."""
        sight = await self._look_at.now()
        self._show(sight)
        return sight

    def _show(self, sight: Sight) -> None:
        self._age.set(sight.age)
        self._ratio.set(sight.ratio)
        if sight.ratio >= OLD:
            log.warning(
                "unread events expire soon",
                event_type=self._event,
                oldest=sight.look.oldest,
                age_s=round(sight.age, 1),
                max_age_s=sight.max_age,
            )

    async def count(self, look: Look) -> None:
        """Count what is gone since the last look that was counted; raises BusFault, and then it is left to the next."""
        advised = self._removals.take()
        if advised:
            self._tell(Loss(len(advised), len(advised), advised[0], advised[-1]))
        note = await self._read_note()
        before = _decode(note) if note else self._remembered
        if before and look.time - before.time < FRESH and not loss.may_be(before, look):
            return
        look, lost = await self._compare(before, look, len(advised))
        if _is_news(before, look) and not (self._alone or await self._note(look, note)):
            return  # another replica has come first, and counts
        self._remembered = look
        self._tell(lost, since=before.time if before else None)

    async def _compare(self, before: Look | None, look: Look, advised: int) -> tuple[Look, Loss]:
        """Return the loss since the look before, and the look up to which it is counted."""
        if before is None:
            return look, loss.unwitnessed(look)
        if before.durable != look.durable or not loss.may_be(before, look):
            return look, Loss()  # another durable has another position; that the first is gone was told
        for _ in range(TRIES):
            earlier, stored = look, await self._look_at.stored_after(before.last)
            look = (await self._look_at.now()).look  # later, for its pending events must have all that were stored
            if look.last == earlier.last:
                break
        # Where there are several servers, deliveries are written down a moment after pending events are.
        deliveries = (await self._look_at.now()).look.deliveries
        return look, loss.between(before, msgspec.structs.replace(look, deliveries=deliveries), stored, advised)

    async def _read_note(self) -> Message | None:
        """Return the last look that was counted. Where there is no bucket, each replica counts alone."""
        try:
            note = await last(self._bus, self._bucket, self._subject)
        except BusFault as fault:
            if fault.err_code != NO_STREAM:
                raise
            if not self._alone:
                log.warning("unread events not noted", event_type=self._event, error=str(fault))
            self._alone = True
            return None
        self._alone = False
        return note

    async def _note(self, look: Look, note: Message | None) -> bool:
        """Leave this look for the next; False if somebody else has done so."""
        try:
            await self._bus.replace(Record(self._subject, {}, msgspec.json.encode(look)), note.seq if note else 0)
        except Conflict:
            return False
        return True

    def _tell(self, lost: Loss, since: float | None = None) -> None:
        if lost.least:
            self._expired.inc(lost.least)
            log.error("events expired unread", **_found(self._event, lost, since))
        elif lost.most:
            log.warning("events may have expired unread", **_found(self._event, lost, since))


def _found(event: str, lost: Loss, since: float | None) -> dict[str, object]:
    return {
        "event_type": event,
        "number": lost.least or None,
        "at_most": lost.most if lost.most > lost.least else None,
        "first_sequence": lost.first,
        "last_sequence": lost.last,
        "since": rfc3339(since) if since else None,
        "advice": _ADVICE,
    }


def _is_news(before: Look | None, look: Look) -> bool:
    return before is None or look.time - before.time > RENEW or msgspec.structs.replace(before, time=look.time) != look


def _decode(note: Message) -> Look | None:
    try:
        return msgspec.json.decode(note.data, type=Look)
    except msgspec.DecodeError:
        return None  # of another release
