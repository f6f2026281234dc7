"""The pull loop over NATS core (ADR-13, ADR-37): asks JetStream for as many events as there are free slots.

nats-py's own `fetch` is not used: it swallows an event whose producer set a header `Status`, and does not notice that
its consumer is gone. A status message has no reply subject; that, and nothing else, tells it from an event.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
import nats.errors
from nats.aio.subscription import Subscription

from choregos_ambassador import nats_headers
from choregos_ambassador.bus import Bus
from choregos_ambassador.delivery import Delivery, parse
from choregos_ambassador.jetstream_info import NO_CONSUMER, NO_STREAM
from choregos_ambassador.log import log
from choregos_ambassador.storing import BusFault
from choregos_ambassador.tasks import watched

EXPIRES: Final = 5.0
"""Seconds that one pull waits for events; none at all while few events may be under way at once, see `pull`."""
GRACE: Final = 2.0
"""Seconds after the last pull's end in which its status must have come; then it is taken for lost."""

STATUSES: Final = (
    ("404 No Messages", 0.25),
    ("408", 0.0),
    ("409 Batch Completed", 0.0),
    ("409 Message Size Exceeds MaxBytes", 0.0),
    ("409 Leadership Change", 0.5),
    ("409 Server Shutdown", 0.5),
    ("409 Exceeded MaxWaiting", 1.0),
)
"""Routine statuses that end a pull, and how many seconds to wait before the next one."""
ROUTINE: Final = tuple(status for status, _ in STATUSES)
GONE: Final = ("404 Consumer Not Found", "409 Consumer Deleted")
"""Statuses that say that there is no such durable."""
UNANSWERED: Final = "503"
"""Nobody listens to the durable's pulls. Once it may be between two leaders; twice in a row it is gone, or JetStream is away."""
_MISSING: Final = (NO_CONSUMER, NO_STREAM)
"""Errors of JetStream that say that there is no such durable, or no such stream."""
PAUSE: Final = 1.0
"""Seconds after any other status, which is logged, since it is no routine."""


@dataclass(slots=True)
class _Lane:
    """Pulls that share an inbox. An event does not tell which pull it answers, only which lane it came on.

    `outstanding`: places asked for and not answered yet. `given_up`: number of the last pull that was taken for lost.
    `ends`: time by which every pull of the lane has ended.
    """

    inbox: str
    outstanding: int = 0
    given_up: int = 0
    ends: float = 0.0
    subscription: Subscription | None = None


class Puller:
    """The pulls of one durable.

    Two lanes take turns: one is pulled on while the other comes to its end, and what is outstanding on it then is lost.
    So places that a dead leader has swallowed come back, however busy the reaction is.
    """

    def __init__(
        self,
        bus: Bus,
        stream: str,
        durable: str,
        *,
        arrived: Callable[[Delivery], None],
        returned: Callable[[int, float], None],
        gone: Callable[[bool], None],
    ) -> None:
        self._bus = bus
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}".encode()
        self._stream = stream
        self._durable = durable
        self._arrived = arrived
        self._returned = returned
        self._gone = gone
        self._lanes = [_Lane(bus.client.new_inbox()), _Lane(bus.client.new_inbox())]
        self._number = 0
        self.asked = 0
        """Places asked for, ever."""
        self._unanswered = False
        self._asking: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def outstanding(self) -> int:
        """Places asked for and not answered yet."""
        one, other = self._lanes
        return one.outstanding + other.outstanding

    async def start(self) -> None:
        """Subscribe; the bus is connected."""
        for lane in self._lanes:
            received = partial(self._received, lane)
            lane.subscription = await self._bus.client.receive(f"{lane.inbox}.*.*", received)

    def pull(self, batch: int, *, wait: bool = True) -> None:
        """Ask for `batch` more events.

        Without `wait`, for those that are there now: a reaction without events keeps no place from one with events.
        """
        lane = self._lanes[0]
        lane.ends = time.monotonic() + EXPIRES + GRACE
        lane.outstanding += batch
        self.asked += batch
        self._idle.clear()
        self._number += 1
        patience = {"expires": int(EXPIRES * 1e9)} if wait else {"no_wait": True}
        request = msgspec.json.encode({"batch": batch, **patience})
        try:
            self._bus.client.send(self._subject, request, reply=f"{lane.inbox}.{self._number}.{batch}".encode())
        except nats.errors.Error:
            self._give_back(lane, batch, PAUSE)

    def forget_lost(self) -> None:
        """Take pulls for lost whose end should have come, and which a cut connection or a new leader has swallowed."""
        if time.monotonic() > self._lanes[1].ends:
            self._give_up(self._lanes[1])
            self._lanes.reverse()

    def forget_all(self) -> None:
        """Take every pull for lost: the connection was cut."""
        for lane in self._lanes:
            self._give_up(lane)

    async def stop(self) -> None:
        """Wait for the end of every outstanding pull (pull no more before), then unsubscribe."""
        while self.outstanding and self._bus.client.is_connected:
            try:
                async with asyncio.timeout(0.25):
                    await self._idle.wait()
            except TimeoutError:
                self.forget_lost()
        self.forget_all()
        for lane in self._lanes:
            subscription, lane.subscription = lane.subscription, None
            if subscription is not None and not self._bus.client.is_closed:
                await subscription.unsubscribe()

    def _received(self, lane: _Lane, subject: bytes, reply: bytes, headers: bytes, data: bytes) -> None:
        if not reply:
            self._status(lane, subject, headers)
            return
        delivery = parse(subject, reply, headers, data)  # first: what is none of JetStream's fills no place
        self._taken(lane, 1)
        self._told(gone=False)
        self._arrived(delivery)

    def _status(self, lane: _Lane, subject: bytes, headers: bytes) -> None:
        status = nats_headers.status(headers)
        if status.startswith("100"):
            return
        pause = next((seconds for prefix, seconds in STATUSES if status.startswith(prefix)), PAUSE)
        if status.startswith(UNANSWERED):
            if self._unanswered and self._asking is None:
                self._asking = watched(self._ask(), "look for the durable")
            self._unanswered = True
        elif status.startswith(GONE):
            self._told(gone=True)
        else:
            self._told(gone=False)
            if not status.startswith(ROUTINE):
                log.warning("pull refused", durable=self._durable, status=status)
        # The pull's own subject ends in its number and batch; how much of the batch is left, the server says.
        _, number, batch = subject.decode().rsplit(".", 2)
        left = nats_headers.read(headers).get("Nats-Pending-Messages", "")
        places = int(left if left.isdecimal() else batch) if int(number) > lane.given_up else 0
        self._give_back(lane, places, pause)

    async def _ask(self) -> None:
        """Ask JetStream whether it is gone; a server that is about to stop has none, and nobody answers this either."""
        try:
            await self._bus.durable_info(self._stream, self._durable)
        except BusFault as fault:
            if fault.err_code in _MISSING and self._unanswered:
                self._gone(True)
        finally:
            self._asking = None

    def _told(self, *, gone: bool) -> None:
        self._unanswered = False
        self._gone(gone)

    def _give_up(self, lane: _Lane) -> None:
        lane.given_up = self._number
        self._give_back(lane, lane.outstanding)

    def _give_back(self, lane: _Lane, places: int, pause: float = 0.0) -> None:
        self._returned(self._taken(lane, places), pause)

    def _taken(self, lane: _Lane, places: int) -> int:
        """Return how many of these places were indeed outstanding."""
        places = min(places, lane.outstanding)
        lane.outstanding -= places
        if not self.outstanding:
            self._idle.set()
        return places
