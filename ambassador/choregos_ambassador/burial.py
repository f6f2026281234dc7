"""The end of an event that one reaction could not process: its failure event, its dead letter, the acknowledgement."""

from functools import partial

from choregos_ambassador import dead_letter, records, replies
from choregos_ambassador.dead_letter import Cause, Reason
from choregos_ambassador.delivery import Delivery
from choregos_ambassador.equipment import Equipment
from choregos_ambassador.fail_point import reach
from choregos_ambassador.report import End, Ending
from choregos_ambassador.role import Role
from choregos_ambassador.storing import BusFault, Record, TooLarge
from choregos_ambassador.timestamps import rfc3339
from choregos_contract.event import Event


class Burial:
    """Buries events. Every step is stored before the next, and all of them may be done twice."""

    def __init__(self, equipment: Equipment) -> None:
        self._with = equipment

    async def bury(self, delivery: Delivery, event: Event, cause: Cause, role: Role) -> Ending:
        """Store the failure event and the dead letter, then acknowledge; raises BusFault.

        Not if an earlier delivery went well up to its first reply: then only the acknowledgement was missing.
        """
        if delivery.number > 1 and await self._was_done(delivery, event, role):
            self._with.leases.acknowledge(delivery)
            return Ending(End.DONE, cause.status)
        if delivery.lost:
            return Ending(End.LEASE_LOST, cause.status, cause.error)
        emitted = await self._emit_failure(delivery, event, cause, role)
        await self._store_letter(delivery, cause, role, failure_emitted=bool(emitted))
        return Ending(End.DEAD_LETTER, cause.status, cause.error, reason=cause.reason, said=cause.said, replies=emitted)

    async def bury_unread(self, delivery: Delivery, error: str, role: Role) -> Ending:
        """Bury what cannot be read: no service sees it, and nothing follows from it; raises BusFault."""
        if delivery.lost:
            return Ending(End.LEASE_LOST, error=error)
        await self._store_letter(delivery, Cause(Reason.NOT_AN_EVENT, error), role, failure_emitted=False)
        return Ending(End.DEAD_LETTER, error=error, reason=Reason.NOT_AN_EVENT)

    async def _was_done(self, delivery: Delivery, event: Event, role: Role) -> bool:
        first = role.reply_id(event.source, event.id, 0)
        return bool(role.reaction.emits) and bool(await self._with.history.replies(delivery, event, [first], role))

    async def _emit_failure(self, delivery: Delivery, event: Event, cause: Cause, role: Role) -> list[str]:
        """Store the failure event; returns its type, or nothing where there is none to emit."""
        if cause.reason is Reason.TOO_MANY_HOPS:
            return []  # one more hop is what this event must not have
        failure = replies.failure(event, cause.reason, role, rfc3339())
        if failure is None:
            return []
        if delivery.number == 1 or await self._with.history.failure(delivery, event, role) is None:
            try:
                look = partial(self._with.history.records, delivery, event, [failure.id], role)
                await self._with.outbox.store([records.of_reply(failure, role.configuration.bus)], delivery, look)
            except TooLarge:
                return []
        reach("after-failure")
        return [failure.type]

    async def _store_letter(self, delivery: Delivery, cause: Cause, role: Role, *, failure_emitted: bool) -> None:
        created = await self._with.history.created(delivery)
        letter = dead_letter.letter(delivery, cause, role, created, failure_emitted=failure_emitted)
        for candidate in (letter, *dead_letter.reduced(letter)):
            try:
                await self._with.outbox.store(
                    [candidate], delivery, partial(self._stored_letters, candidate, delivery, role)
                )
                break
            except TooLarge as error:
                too_large = error
        else:
            raise BusFault(f"not even a truncated dead letter fits: {too_large}")
        reach("after-letter")
        self._with.leases.acknowledge(delivery)

    async def _stored_letters(self, letter: Record, delivery: Delivery, role: Role) -> set[str]:
        return {letter.headers["Nats-Msg-Id"]} if await self._with.history.is_buried(delivery, role) else set()
