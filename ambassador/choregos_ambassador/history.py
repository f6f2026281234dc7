"""What the bus already has of a hop: looked up before a rare step that deduplication alone would not make safe."""

from collections.abc import Collection
from typing import Final

from choregos_ambassador import message_get
from choregos_ambassador.bus import Bus
from choregos_ambassador.delivery import Delivery
from choregos_ambassador.message_get import Message
from choregos_ambassador.role import Role
from choregos_ambassador.slices import Slices
from choregos_ambassador.stream_creation import Creations
from choregos_contract.event import Event
from choregos_contract.ids import reply_record

SKEW: Final = 60.0
"""Seconds by which the leaders of two streams may disagree about the time."""


class History:
    """Reads the streams of the bus. Every method raises BusFault."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._creations = Creations(bus)
        self._slices = Slices(bus)

    async def created(self, delivery: Delivery) -> str:
        """Return when the stream was created that an event lies in, as the server writes it."""
        return await self._creations.of(delivery)

    async def replies(self, delivery: Delivery, event: Event, ids: Collection[str], role: Role) -> set[str]:
        """Return which of these replies to an event are stored."""
        slice_ = role.configuration.bus.transaction_filter(event.correlation_id)
        return set(await self._stored(delivery, ids, role, slice_))

    async def records(self, delivery: Delivery, event: Event, ids: Collection[str], role: Role) -> set[str]:
        """Return the message ids of those of these replies that are stored."""
        return {reply_record(each) for each in await self.replies(delivery, event, ids, role)}

    async def failure(self, delivery: Delivery, event: Event, role: Role) -> str | None:
        """Return the reason in the stored failure event that a reaction emitted for an event, or None."""
        if role.reaction.on_failure is None:
            return None
        failure = role.failure_id(event.source, event.id)
        slice_ = role.configuration.bus.transaction_filter(event.correlation_id, role.reaction.on_failure)
        found = (await self._stored(delivery, [failure], role, slice_)).get(failure)
        return None if found is None else found.header("ce-choregosreason") or "exhausted"

    async def is_buried(self, delivery: Delivery, role: Role) -> bool:
        """Return whether a dead letter of the reaction is this event's, among those of its shard since it was stored."""
        names = role.configuration.bus
        stream = names.dead_letter_stream
        subject = names.dead_letter_subject(role.service, role.event, delivery.shard)
        letter = await message_get.next_since(self._bus, stream, subject, delivery.stored / 1e9 - SKEW)
        while letter is not None and not _is_of(letter, delivery):
            letter = await message_get.next_one(self._bus, stream, subject, letter.seq + 1)
        return letter is not None

    async def _stored(self, delivery: Delivery, ids: Collection[str], role: Role, slice_: str) -> dict[str, Message]:
        """Look in no more than a slice of the stream, from the event's own sequence on, for derived ids."""
        stream = role.configuration.bus.event_stream
        place = (stream, await self.created(delivery), slice_)
        return await self._slices.find(place, delivery.sequence, ids)


def _is_of(letter: Message, delivery: Delivery) -> bool:
    return (
        letter.header("Choregos-Original-Sequence") == str(delivery.sequence)
        and letter.header("Choregos-Original-Stream") == delivery.stream
        and letter.header("Choregos-First-Time") == delivery.first_time
    )
