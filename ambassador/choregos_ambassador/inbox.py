"""The inbox: an event is claimed in it before the call, and not brought to a service that has answered it.

`inbox_entry` has the protocol, `claim` its steps, `inbox_bucket` the bucket.
"""

from functools import partial
from typing import Final

from choregos_ambassador.bus import Bus
from choregos_ambassador.claim import NO_BUCKET, UNCLAIMED, Claim, Unclaimed
from choregos_ambassador.delivery import Delivery
from choregos_ambassador.fail_point import reach
from choregos_ambassador.inbox_bucket import Bucket, Gone, Place
from choregos_ambassador.inbox_entry import Busy, Duplicate, Known
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.role import Role
from choregos_ambassador.stream_creation import Creations
from choregos_contract.event import Event
from choregos_contract.ids import inbox_key

OWN_REST: Final = 1.0
"""Seconds after which an event comes back of which this very process has another delivery in hand."""


class Inbox:
    """The inbox of one bus, as this process uses it."""

    def __init__(self, bus: Bus, metrics: Metrics) -> None:
        self._bucket = Bucket(bus)
        self._creations = Creations(bus)
        self._in_hand: set[Place] = set()
        self._metrics = metrics

    async def claim(self, delivery: Delivery, event: Event, role: Role) -> Unclaimed | Busy | Duplicate:
        """Claim an event for its reaction, or say why the service must not, or need not, be asked now; raises BusFault."""
        place = _place(await self._creations.of(delivery), delivery, event, role)
        claim = Claim(self._bucket, place, delivery, role, partial(self._did_without, role))
        if claim.place in self._in_hand:
            return self._told(role, Busy(OWN_REST))
        if self._bucket.away:
            self._did_without(role, NO_BUCKET)
            return UNCLAIMED
        self._in_hand.add(claim.place)
        won: Unclaimed | Busy | Duplicate = UNCLAIMED
        try:
            won = self._told(role, await claim.win())
        except Gone:
            self._did_without(role, NO_BUCKET)
        finally:
            if won is not claim:
                self.let_go(claim)
        if won is claim:
            reach("after-claim")
        return won

    def let_go(self, claim: Unclaimed) -> None:
        """Take note that an event is no longer in hand."""
        if isinstance(claim, Claim):
            self._in_hand.discard(claim.place)

    def _told(self, role: Role, found: "Claim | Known | Busy | Duplicate") -> Unclaimed | Busy | Duplicate:
        match found:
            case Claim():
                said = "taken-over" if found.took_over else "won"
            case Known():
                said = "done"
            case _:
                said = type(found).__name__.lower()
        self._metrics.inbox_claims.labels(role.event, said).inc()
        return Unclaimed(found.answer) if isinstance(found, Known) else found

    def _did_without(self, role: Role, reason: str) -> None:
        """Count an event that is processed at least once."""
        self._metrics.inbox_unavailable.labels(role.event, reason).inc()


def _place(created: str, delivery: Delivery, event: Event, role: Role) -> Place:
    names = role.configuration.bus
    is_redrive = delivery.subject.startswith(f"{names.root}.rd.")
    redrive = delivery.headers.get("Nats-Msg-Id", "") if is_redrive else ""
    return Place(
        names.inbox_bucket, inbox_key(created, role.service, role.event, event.source, event.id, redrive=redrive)
    )
