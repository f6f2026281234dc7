"""Leases and settlements: keeps held events held, and sees that ACK and NAK arrive.

Every event in hand is renewed (`+WPI`) every 10 s from its receipt on; that counts from when it was sent, and only once
JetStream has confirmed it: what went into a dead connection renews nothing. An ACK or NAK is sent with a reply subject, too,
and again until JetStream confirms it or the lease ends; whoever settles an event does not wait for that.
"""

import asyncio
import time
from contextlib import suppress
from typing import Final

import msgspec
import nats.errors

from choregos_ambassador import nats_headers
from choregos_ambassador.bus import Bus
from choregos_ambassador.delivery import ACK_WAIT, Delivery
from choregos_ambassador.fail_point import reach
from choregos_ambassador.log import log
from choregos_ambassador.tasks import watched

RENEW_EVERY: Final = 10.0
CONFIRM_WITHIN: Final = 2
TICK: Final = 0.5
"""Seconds between two looks at what is held."""
CLOSE_WITHIN: Final = 5.0
"""Seconds that the end of the process waits for confirmations."""
PAUSED: Final = 2.0
"""Seconds without such a look from which on the process counts as having been paused."""

_ACK: Final = b"+ACK"
_PROGRESS: Final = b"+WPI"


class _Unconfirmed(msgspec.Struct, eq=False):
    delivery: Delivery
    verb: bytes
    sent: float


class Leases:
    """All events in hand of this process, and the settlements that are not confirmed yet."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._held: set[Delivery] = set()
        self._unconfirmed: dict[bytes, _Unconfirmed] = {}
        self._renewals: dict[bytes, _Unconfirmed] = {}
        self._awake = time.monotonic()
        self._inbox = bus.client.new_inbox().encode()
        self._number = 0
        self._all_confirmed = asyncio.Event()
        self._all_confirmed.set()
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to renew and to listen for confirmations; the bus is connected."""
        self._awake = time.monotonic()
        await self._bus.client.receive(f"{self._inbox.decode()}.*", self._confirmed)
        self._keeper = watched(self._keep_forever(), "lease keeper")

    def hold(self, delivery: Delivery) -> None:
        """Renew the lease of an event from now on.

        It counts from the last moment at which this process was known to run: what arrives after a pause (SIGSTOP, a
        frozen machine) may have waited in the socket for longer than the lease, and be somebody else's by now.
        """
        delivery.renewed = self._awake
        self._held.add(delivery)

    def let_go(self, delivery: Delivery) -> None:
        """Renew it no longer; JetStream gives it to somebody after `ack_wait`."""
        self._held.discard(delivery)

    def acknowledge(self, delivery: Delivery) -> None:
        """Tell JetStream that the hop is done. Allowed after the lease, too: what was done is done."""
        self._settle(delivery, _ACK)

    def hand_back(self, delivery: Delivery, seconds: float) -> None:
        """Give the event back, to be delivered again after so long; not once the lease is lost, for it is another's."""
        reach("before-nak")
        if not delivery.lost:
            self._settle(delivery, b"-NAK " + msgspec.json.encode({"delay": int(seconds * 1e9)}))
        self.let_go(delivery)
        reach("after-nak")

    async def close(self) -> None:
        """Wait a while for every settlement to be confirmed, then stop; what was not is delivered again."""
        try:
            async with asyncio.timeout(CLOSE_WITHIN if self._bus.connected.is_set() else 0):
                await self._all_confirmed.wait()
        except TimeoutError:
            log.warning("settlements unconfirmed", number=len(self._unconfirmed))
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    def _settle(self, delivery: Delivery, verb: bytes) -> None:
        self.let_go(delivery)
        reply = self._next_reply()
        self._unconfirmed[reply] = settlement = _Unconfirmed(delivery, verb, time.monotonic())
        self._all_confirmed.clear()
        self._send(reply, settlement)

    def _next_reply(self) -> bytes:
        self._number += 1
        return b"%b.%d" % (self._inbox, self._number)

    def _send(self, reply: bytes, message: _Unconfirmed) -> None:
        # What cannot be sent now is not confirmed either, and so sent again by the keeper, until the lease ends.
        with suppress(nats.errors.Error):
            self._bus.client.send(message.delivery.ack_subject, message.verb, reply=reply, at_once=False)

    def _confirmed(self, reply: bytes, _reply: bytes, headers: bytes, _payload: bytes) -> None:
        if headers and nats_headers.status(headers):
            return  # nobody there to confirm it: between two leaders, say
        if renewal := self._renewals.pop(reply, None):
            renewal.delivery.renewed = max(renewal.delivery.renewed, renewal.sent)
        else:
            reach("confirmed")
            self._forget(reply)

    def _forget(self, reply: bytes) -> None:
        self._unconfirmed.pop(reply, None)
        if not self._unconfirmed:
            self._all_confirmed.set()

    async def _keep_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            self._renew_all(now)
            for reply, settlement in list(self._unconfirmed.items()):
                self._insist(reply, settlement, now)
            if now - self._awake < PAUSED or await self._caught_up():
                self._awake = now

    async def _caught_up(self) -> bool:
        """After a pause of the process, read what has waited in the socket before anything counts as fresh."""
        try:
            await self._bus.client.flush(CONFIRM_WITHIN)
        except (nats.errors.Error, OSError, TimeoutError, RuntimeError):
            return False  # the last is uvloop's, of a connection whose end nobody has been told of yet
        return True

    def _renew_all(self, now: float) -> None:
        """Renew what is due, and again what was not confirmed; what is lost is never renewed, for it is another's."""
        self._renewals = {reply: each for reply, each in self._renewals.items() if now - each.sent <= ACK_WAIT}
        asked = {each.delivery for each in self._renewals.values() if now - each.sent < CONFIRM_WITHIN}
        for delivery in self._held - asked:
            if RENEW_EVERY <= now - delivery.renewed <= ACK_WAIT:
                self._renew(delivery, now)

    def _renew(self, delivery: Delivery, now: float) -> None:
        reply = self._next_reply()
        self._renewals[reply] = renewal = _Unconfirmed(delivery, _PROGRESS, now)
        self._send(reply, renewal)

    def _insist(self, reply: bytes, settlement: _Unconfirmed, now: float) -> None:
        if settlement.delivery.lost:
            log.warning("settlement unconfirmed", sequence=settlement.delivery.sequence, verb=settlement.verb.decode())
            self._forget(reply)
        elif now - settlement.sent >= CONFIRM_WITHIN:
            settlement.sent = now
            self._send(reply, settlement)
