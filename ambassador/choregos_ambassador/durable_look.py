"""One look at a reaction's durable, its stream and its oldest unacknowledged event, all of the same moment if possible."""

from contextlib import suppress
from typing import Final

import msgspec

from choregos_ambassador import message_get
from choregos_ambassador.bus import Bus
from choregos_ambassador.jetstream_info import NO_CONSUMER, DurableInfo, StreamInfo
from choregos_ambassador.loss import Look
from choregos_ambassador.role import Role
from choregos_ambassador.storing import BusFault

TRIES: Final = 3
"""A stream that is written to changes between two questions; so often they are asked again."""
_COUNTER_LIVES: Final = 5 * 10**9
"""Nanoseconds until the server removes a consumer that was made to count, if we could not."""


class NoDurable(BusFault):
    """The reaction's durable is gone."""


class Sight(msgspec.Struct, frozen=True):
    """What was seen. `age` of the oldest unacknowledged event and `max_age` in seconds, 0 for none."""

    look: Look
    age: float
    max_age: float

    @property
    def ratio(self) -> float:
        """The share of its time that the oldest event has used up."""
        return self.age / self.max_age if self.max_age else 0.0


class DurableLook:
    """Looks at one durable. Every method raises BusFault."""

    def __init__(self, bus: Bus, role: Role) -> None:
        names = role.configuration.bus
        self._bus = bus
        self._stream = names.event_stream
        self._durable = names.durable(role.service, role.event)
        self._filters = names.durable_filters(role.service, role.event)
        self._counters = names.counters(role.service, role.event)

    async def now(self) -> Sight:
        """Look; again if the stream changed meanwhile, for the figures must fit each other."""
        stream = await self._bus.stream_info(self._stream)
        for _ in range(TRIES):
            before, durable = stream, await self._durable_info()
            oldest = await self._oldest(durable)
            stream = await self._bus.stream_info(self._stream)
            if stream.state == before.state:
                break
        return _sight(before, stream, durable, oldest)

    async def stored_after(self, sequence: int) -> int | None:
        """Count the reaction's events after a sequence of the stream, as many as are there; None where that is not permitted."""
        total = 0
        for counter, filter_ in zip(self._counters, self._filters, strict=True):
            if (counted := await self._count(counter, filter_, sequence)) is None:
                return None
            total += counted
        return total

    async def _oldest(self, durable: DurableInfo) -> message_get.Message | None:
        """Return the oldest event that is not acknowledged. The acknowledgement floor is below the first of them."""
        if not durable.num_pending and not durable.num_ack_pending:
            return None
        start = durable.ack_floor.stream_seq + 1
        found = [await message_get.next_one(self._bus, self._stream, each, start) for each in self._filters]
        return min((message for message in found if message), key=lambda message: message.seq, default=None)

    async def _count(self, counter: str, filter_: str, sequence: int) -> int | None:
        """Have the server count: a consumer that is never read knows what it would have to read."""
        config = {
            "name": counter,
            "filter_subject": filter_,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": sequence + 1,
            "ack_policy": "none",
            "mem_storage": True,
            "inactive_threshold": _COUNTER_LIVES,
        }
        request = msgspec.json.encode({"stream_name": self._stream, "config": config, "action": "create"})
        try:
            answer = await self._bus.request(f"$JS.API.CONSUMER.CREATE.{self._stream}.{counter}.{filter_}", request)
        except BusFault:
            return None
        info = msgspec.json.decode(answer, type=DurableInfo)
        if info.error:
            raise BusFault(info.error.description, err_code=info.error.err_code)
        with suppress(BusFault):
            await self._bus.request(f"$JS.API.CONSUMER.DELETE.{self._stream}.{counter}")
        return info.num_pending

    async def _durable_info(self) -> DurableInfo:
        try:
            return await self._bus.durable_info(self._stream, self._durable)
        except BusFault as fault:
            raise NoDurable(str(fault)) if fault.err_code == NO_CONSUMER else fault from None


def _sight(before: StreamInfo, after: StreamInfo, durable: DurableInfo, oldest: message_get.Message | None) -> Sight:
    """Put together what was asked. Where the stream changed meanwhile, what follows errs on the side of no loss."""
    moment = durable.ts.timestamp() if durable.ts else 0.0
    first_unread = oldest.seq if oldest else before.state.last_seq + 1
    if after.state.first_seq != before.state.first_seq:
        first_unread = min(first_unread, before.state.first_seq)
    look = Look(
        time=moment,
        durable=durable.created,
        first=after.state.first_seq,
        last=after.state.last_seq,
        removed=after.state.num_deleted,
        delivered=durable.delivered.stream_seq,
        deliveries=durable.delivered.consumer_seq,
        pending=durable.num_pending,
        unacknowledged=durable.num_ack_pending,
        oldest=first_unread,
    )
    age = max(0.0, moment - oldest.time.timestamp()) if oldest and oldest.time else 0.0
    return Sight(look, age, after.config.max_age / 1e9)
