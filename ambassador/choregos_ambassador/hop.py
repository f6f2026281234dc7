"""The hop: the way of one event through the ambassador, a step after the other.

    delivered -> decoded -> (claimed) -> with the service -> judged -> (remembered) -> replies stored -> acknowledged
                                                                  `--> back with a delay, or buried: a dead letter

An event is acknowledged only when everything that follows from it has a publish acknowledgement. Whatever ends this
process in between, JetStream delivers the event again, and the derived ids keep the replies single.
"""

import time
from functools import partial

from msgspec import UNSET

from choregos_ambassador import backoff, records, request
from choregos_ambassador.answer import Answer, NoAnswer, Trouble
from choregos_ambassador.burial import Burial
from choregos_ambassador.claim import UNCLAIMED, Unclaimed
from choregos_ambassador.conclusion import conclude
from choregos_ambassador.dead_letter import Cause, Reason
from choregos_ambassador.delivery import Delivery
from choregos_ambassador.equipment import Equipment
from choregos_ambassador.fail_point import reach
from choregos_ambassador.inbox_entry import Busy, Duplicate
from choregos_ambassador.report import End, Ending
from choregos_ambassador.role import Role
from choregos_ambassador.storing import BusFault, TooLarge
from choregos_ambassador.timestamps import rfc3339
from choregos_ambassador.verdict import Action, Verdict, judge
from choregos_contract import cloudevents_nats
from choregos_contract.event import MAX_HOPS, Event, NotAnEvent
from choregos_contract.names import token


class Hop:
    """The steps of one reaction's hops."""

    def __init__(self, role: Role, equipment: Equipment) -> None:
        self._with = equipment
        self._burial = Burial(equipment)
        self.reconfigure(role)

    def reconfigure(self, role: Role) -> None:
        """Take other settings from the next event on."""
        self.role = role
        self._opening = request.opening(role, self._with.targets.host)
        self._client = self._with.targets.client(role.reaction.port)

    async def run(self, delivery: Delivery) -> None:
        """Take an event all the way, and leave it acknowledged, handed back, or to whoever holds its lease now."""
        role, started, event = self.role, time.monotonic(), None
        reach("delivered")
        try:
            event = _decode(delivery, role)
            ending = await self._deliver(delivery, event, role)
        except BusFault as fault:
            ending = await self._hand_back(delivery, role, str(fault))
        finally:
            self._with.leases.let_go(delivery)
        self._with.report.ended(
            role, delivery, event if isinstance(event, Event) else None, ending, time.monotonic() - started
        )

    async def _deliver(self, delivery: Delivery, event: Event | NotAnEvent, role: Role) -> Ending:
        version = delivery.headers.get(records.WIRE_HEADER, records.WIRE_VERSION)
        if version.partition(".")[0] != records.WIRE_VERSION:
            error = f"wire version {version[:20]!r} is not known to this ambassador"
            return await self._hand_back(delivery, role, error, role.delivery.backoff_max)
        if delivery.number > 1 and await self._with.history.is_buried(delivery, role):
            self._with.leases.acknowledge(delivery)
            return Ending(End.DONE, error="an earlier delivery made it a dead letter")
        if isinstance(event, NotAnEvent):
            return await self._burial.bury_unread(delivery, str(event), role)
        if cause := await self._hopeless(delivery, event, role):
            return await self._burial.bury(delivery, event, cause, role)
        if not self._with.gate.is_open_for_events:
            return await self._hand_back(delivery, role, self._with.gate.breaker.reason)
        process = self._process if role.reaction.idempotency is UNSET else self._process_claimed
        return await process(delivery, event, role)

    async def _process_claimed(self, delivery: Delivery, event: Event, role: Role) -> Ending:
        claim = await self._with.inbox.claim(delivery, event, role)
        if isinstance(claim, Busy):
            return await self._hand_back(delivery, role, "the service may have it in hand", claim.rest)
        if isinstance(claim, Duplicate):
            self._with.leases.acknowledge(delivery)
            return Ending(End.DONE, error="the service took the same event before")
        try:
            return await self._process(delivery, event, role, claim)
        finally:
            self._with.inbox.let_go(claim)

    async def _process(self, delivery: Delivery, event: Event, role: Role, claim: Unclaimed = UNCLAIMED) -> Ending:
        outcome = claim.answer or await self._post(delivery, event, role, claim)
        verdict = judge(outcome, role.delivery)
        if claim.answer is None:
            self._tell_gate(delivery, verdict, outcome)
        found = conclude(outcome, verdict, event, role, rfc3339)
        await claim.conclude(outcome if found.final and isinstance(outcome, Answer) else None)
        match found.action:
            case Action.DONE:
                return await self._complete(delivery, event, found.hops, verdict.status, role)
            case Action.HAND_BACK:
                return await self._hand_back(delivery, role, verdict.error)
            case Action.RETRY:
                return await self._retry(delivery, event, found.cause, role, verdict.retry_after)
            case Action.REJECT:
                return await self._burial.bury(delivery, event, found.cause, role)

    async def _hopeless(self, delivery: Delivery, event: Event, role: Role) -> Cause | None:
        """Say why the service need not be asked (again)."""
        if event.hops > MAX_HOPS:
            return Cause(Reason.TOO_MANY_HOPS, f"{event.hops} hops led here, {MAX_HOPS} is the limit")
        if await self._with.notes.is_crash_loop(delivery, role):
            return Cause(Reason.CRASH_LOOP, f"{delivery.number} deliveries, and the last ones came to no end")
        if delivery.number > 1 and (reason := await self._with.history.failure(delivery, event, role)):
            return Cause(
                Reason.recorded(reason), "an earlier delivery failed for good, and its failure event is stored"
            )
        return None

    async def _post(self, delivery: Delivery, event: Event, role: Role, claim: Unclaimed) -> Answer | NoAnswer:
        reach("before-call")
        head = request.head(self._opening, event, delivery.number)
        await claim.begin()
        started = time.monotonic()
        outcome = await self._client.post(
            head, event.data, timeout=role.delivery.timeout, limit=role.delivery.max_reply_bytes
        )
        self._with.report.attempted(role, time.monotonic() - started)
        reach("after-call")
        return outcome

    def _tell_gate(self, delivery: Delivery, verdict: Verdict, outcome: Answer | NoAnswer) -> None:
        if verdict.breaker:
            refused = isinstance(outcome, NoAnswer) and outcome.trouble is Trouble.UNREACHABLE
            self._with.gate.troubled(delivery.sequence, verdict.error, refused=refused)
        else:
            self._with.gate.answered(failed=verdict.action is Action.RETRY and (verdict.status or 0) >= 500)

    async def _complete(
        self, delivery: Delivery, event: Event, hops: list[Event], status: int | None, role: Role
    ) -> Ending:
        """Store the replies, then acknowledge."""
        if delivery.lost and await self._with.history.failure(delivery, event, role):
            return Ending(End.LEASE_LOST, status, "whoever held the event after this process gave it up")
        try:
            await self._store_replies(delivery, event, hops, role)
        except TooLarge as error:
            cause = Cause(Reason.REPLY_TOO_LARGE, f"a reply has {error}", status)
            return await self._burial.bury(delivery, event, cause, role)
        reach("before-ack")
        self._with.leases.acknowledge(delivery)
        reach("after-ack")
        return Ending(End.DONE, status, replies=[hop.type for hop in hops])

    async def _store_replies(self, delivery: Delivery, event: Event, hops: list[Event], role: Role) -> None:
        """Store the next hops once: the stream knows a copy within its duplicate window, beyond it we look."""
        reach("before-replies")
        if not hops:
            return
        age = self._with.bus.clock.latest() - delivery.stored / 1e9
        if (delivery.number > 1 or delivery.lost) and age > role.configuration.duplicate_window / 2:
            there = await self._with.history.replies(delivery, event, [hop.id for hop in hops], role)
            hops = [hop for hop in hops if hop.id not in there]
        look = partial(self._with.history.records, delivery, event, [hop.id for hop in hops], role)
        await self._with.outbox.store([records.of_reply(hop, role.configuration.bus) for hop in hops], delivery, look)

    async def _retry(
        self, delivery: Delivery, event: Event, cause: Cause, role: Role, retry_after: float = 0.0
    ) -> Ending:
        """Give the event back for another attempt, or bury it after the last."""
        if self._with.gate.breaker.gives_up(delivery.sequence, delivery.number, role.delivery.retry):
            return await self._burial.bury(delivery, event, cause, role)
        delay = role.delivery.backoff_max
        if delivery.number <= role.delivery.retry:
            delay = backoff.delay(role.delivery, delivery.number, retry_after)
        ending = await self._hand_back(delivery, role, cause.error, delay)
        ending.status, ending.said = cause.status, cause.said
        if ending.end is End.HAND_BACK:
            ending.end = End.RETRY
        return ending

    async def _hand_back(self, delivery: Delivery, role: Role, error: str, delay: float | None = None) -> Ending:
        """Give the event back to the bus; without a delay of its own it comes back soon, spread out."""
        if delivery.lost:
            return Ending(End.LEASE_LOST, error=error)
        await self._with.notes.handed_back(delivery, role)
        seconds = backoff.hand_back_delay(role.delivery) if delay is None else delay
        self._with.leases.hand_back(delivery, seconds)
        return Ending(End.HAND_BACK, error=error, delay=seconds)


def _decode(delivery: Delivery, role: Role) -> Event | NotAnEvent:
    try:
        event = cloudevents_nats.decode(delivery.headers, delivery.data)
    except NotAnEvent as error:
        return error
    if token(event.type) != role.configuration.bus.type_token(delivery.subject):
        return NotAnEvent(f"ce-type {event.type[:100]!r} is not the type that its subject names")
    return event
