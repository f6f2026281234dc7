"""One running reaction: fills its slots with pulls, and sends each event that arrives on its hop."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from choregos_ambassador.delivery import Delivery
from choregos_ambassador.equipment import Equipment
from choregos_ambassador.hop import Hop
from choregos_ambassador.log import log
from choregos_ambassador.lookahead import Lookahead
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.pull import EXPIRES, Puller
from choregos_ambassador.role import Role
from choregos_ambassador.slots import Slots
from choregos_ambassador.tasks import watched

SWEEP: Final = 2.0
"""Seconds between two looks for lost pulls, and for events that came early and have waited as long for a slot."""
GATHER: Final = 0.001
"""Seconds that a few free slots wait for more, so that events which end together share one pull."""
RETURN_AT_ONCE: Final = 0.25
"""Seconds after which an event that came too late for a draining reaction is there for another replica."""


class RunningReaction:
    """A reaction at work, from `start` to `stop`."""

    def __init__(self, hop: Hop, equipment: Equipment, metrics: Metrics) -> None:
        self.hop = hop
        self._bus = equipment.bus
        self._gate = equipment.gate
        self._leases = equipment.leases
        self._notes = equipment.notes
        self._loop = asyncio.get_running_loop()
        self._slots = Slots(self.role.delivery.concurrency, self._take)
        self._lookahead = Lookahead()
        self._pulling = False
        self._woken = False
        self._resumes = 0.0
        self._sweeper: asyncio.Task[None] | None = None
        metrics.in_flight.labels(self.role.event).set_function(lambda: self._slots.in_hand)
        self._present = metrics.consumer_present.labels(self.role.event)
        names = self.role.configuration.bus
        self._puller = Puller(
            self._bus,
            names.event_stream,
            names.durable(self.role.service, self.role.event),
            arrived=self._arrived,
            returned=self._returned,
            gone=self.durable_gone,
        )
        self._gone = False
        self._present.set(1)

    @property
    def in_hand(self) -> int:
        """Events in hand."""
        return self._slots.in_hand

    @property
    def role(self) -> Role:
        """The reaction's settings, as they are now."""
        return self.hop.role

    @property
    def _active(self) -> bool:
        return self._pulling and not self.role.reaction.suspend

    async def start(self) -> None:
        """Begin to pull; the bus is connected."""
        await self._puller.start()
        self._pulling = True
        self._gate.join(self._wake)
        self._bus.on_connected.append(self._reconnected)
        self._sweeper = watched(self._sweep_forever(), f"sweeper of {self.role.event}")
        self._wake()

    def reconfigure(self, role: Role) -> None:
        """Take other settings from the next event on; those in hand end as they began."""
        self.hop.reconfigure(role)
        self._slots.number = role.delivery.concurrency
        if not self._active:
            self._slots.release(self._hand_on)
        self._wake()

    async def drain(self) -> None:
        """Send no new pull, hand back what still arrives, and wait until no event is in hand."""
        if self._pulling:
            self._pulling = False
            self._gate.part(self._wake)
            self._bus.on_connected.remove(self._reconnected)
        self._slots.release(self._hand_on)
        await self._puller.stop()
        await self._slots.empty()

    async def stop(self) -> None:
        """Drain, and end."""
        await self.drain()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)

    def _wake(self) -> None:
        """Refill soon: with many slots free in the next turn of the loop, with few a moment later."""
        if not self._woken:
            self._woken = True
            many = self._free * 4 >= self._slots.number
            self._loop.call_later(max(0.0 if many else GATHER, self._resumes - self._loop.time()), self._refill)

    @property
    def _free(self) -> int:
        ahead = 0 if self._gate.is_limited else self._lookahead.events
        return self._slots.number + ahead - self._slots.in_hand - self._puller.outstanding

    def _refill(self) -> None:
        """Pull for the free slots; while half of them are pulled for already, what there is will come without more."""
        self._woken = False
        if not self._active or not self._bus.connected.is_set():
            return
        free = self._free
        if free <= 0 or self._puller.outstanding * 2 >= self._slots.number:
            return
        if places := self._gate.take(free, self._wake):
            self._lookahead.pulled(self._puller.asked, self._slots.ended, self._loop.time())
            self._puller.pull(places, wait=places == free or not self._gate.contended)

    def _arrived(self, delivery: Delivery) -> None:
        self._leases.hold(delivery)
        self._gate.enter()
        answered = self._puller.asked - self._puller.outstanding
        self._lookahead.arrived(answered, self._slots.ended, self._loop.time(), self._slots.number)
        self._slots.add(delivery)
        if not self._active:
            self._slots.release(self._hand_on)

    async def _take(self, delivery: Delivery) -> None:
        """Send an event on its hop, or hand it back if it is not wanted any more."""
        await self._end(self.hop.run(delivery) if self._active and not delivery.lost else self._decline(delivery))

    async def _hand_on(self, delivery: Delivery) -> None:
        """Hand back what came early, and has no slot: another replica may have one."""
        await self._end(self._decline(delivery))

    async def _end(self, way: Coroutine[Any, Any, None]) -> None:
        try:
            await way
        except Exception as error:  # noqa: BLE001  every foreseen trouble is handled in it, and the next event may go well
            log.error("bug", event_type=self.role.event, error=repr(error), exc_info=error)
        self._gate.leave()
        self._wake()

    async def _decline(self, delivery: Delivery) -> None:
        """Hand back what a pull of before brings: after the last of these pulls, or at once for another replica."""
        await self._notes.handed_back(delivery, self.role)
        self._leases.hand_back(delivery, EXPIRES if self.role.reaction.suspend else RETURN_AT_ONCE)

    def _returned(self, places: int, pause: float) -> None:
        self._gate.give_back(places)
        if pause:
            self._resumes = self._loop.time() + pause
        self._wake()

    def _reconnected(self) -> None:
        self._puller.forget_all()
        self._wake()

    def durable_gone(self, gone: bool) -> None:
        """Take note of whether the durable is there, and say so when that changes."""
        if gone == self._gone:
            return
        self._gone = gone
        self._present.set(not gone)
        durable = self.role.configuration.bus.durable(self.role.service, self.role.event)
        if gone:
            log.error("durable gone", event_type=self.role.event, durable=durable)
        else:
            log.info("durable there", event_type=self.role.event, durable=durable)

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            self._puller.forget_lost()
            if self._slots.release(self._hand_on, waited=SWEEP):
                self._lookahead.events = 0
            self._wake()
