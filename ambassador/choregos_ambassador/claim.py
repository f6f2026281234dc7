"""A claim: the right to bring one event to the service, from before the call until its answer is remembered.

Where the inbox cannot do its part, the claim is void: the event is processed at least once, as without an inbox.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from choregos_ambassador.answer import Answer
from choregos_ambassador.delivery import Delivery
from choregos_ambassador.fail_point import reach
from choregos_ambassador.inbox_bucket import Bucket, Found, Gone, Place
from choregos_ambassador.inbox_entry import BEGIN_WITHIN, Busy, Duplicate, Entry, Known, State, TakeOver, decide, lasts
from choregos_ambassador.outbox import PATIENCE
from choregos_ambassador.role import Role
from choregos_ambassador.server_clock import steady
from choregos_ambassador.storing import BusFault, Conflict, TooLarge

ROUNDS: Final = 5
"""How often an entry is read again because somebody else was quicker."""
KEPT: Final = 30.0
"""Seconds for which an answer waits to be remembered: longer than replies do, since forgotten it costs another call."""
NO_BUCKET: Final = "no-bucket"
TOO_LARGE: Final = "answer-too-large"
UNREADABLE: Final = "unreadable-entry"
WITHOUT: Final = (NO_BUCKET, TOO_LARGE, UNREADABLE)
"""Why an event is processed at least once although its reaction has an inbox."""
_TAKEN_OVER: Final = "another ambassador has taken the event over"


class Unclaimed:
    """What a hop without an inbox, or one whose answer is known, has in the place of a claim."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer
        """What the service said to this event before: it is not to be asked again."""

    async def begin(self) -> None:
        """See to it that the call may begin now; raises BusFault."""

    async def conclude(self, answer: Answer | None) -> None:
        """Remember an answer for good, or with None release the event for another attempt; raises BusFault."""


UNCLAIMED: Final = Unclaimed()


class Claim(Unclaimed):
    """The right to bring one event to the service."""

    def __init__(
        self, bucket: Bucket, place: Place, delivery: Delivery, role: Role, do_without: Callable[[str], None]
    ) -> None:
        super().__init__()
        assert role.reaction.idempotency is not UNSET
        self._bucket = bucket
        self._delivery = delivery
        self._do_without = do_without
        self._entry = Entry(
            state=State.CLAIMED,
            owner=bucket.owner,
            sequence=delivery.sequence,
            number=delivery.number,
            lasts=lasts(role.delivery.timeout),
        )
        # Whole seconds, as NATS wants them; and no claim may be forgotten during its call.
        self._ttl = int(max(role.reaction.idempotency.ttl, self._entry.lasts)) + 1
        self._revision = 0
        self._sent = 0.0
        self._is_void = False
        self.place = place
        self.took_over = False

    async def win(self) -> "Claim | Known | Busy | Duplicate":
        """Claim the event, or say what came in between; raises BusFault and Gone."""
        for _ in range(ROUNDS):
            with suppress(Conflict):
                await self._renew()
                return self
            decision = self._decide(await self._read())
            if not isinstance(decision, TakeOver):
                return decision
        raise BusFault("others claim the event at the same time")

    def _decide(self, found: Found | None) -> "Known | Busy | Duplicate | TakeOver":
        self._revision = found.revision if found else 0
        if found is None or found.entry is None or found.entry == self._entry:
            return TakeOver()  # it is forgotten, or unreadable, or ours: its acknowledgement was lost
        decision = decide(found.entry, found.age, owner=self._bucket.owner, sequence=self._delivery.sequence)
        self.took_over = isinstance(decision, TakeOver) and found.entry.state is State.CLAIMED
        return decision

    async def begin(self) -> None:
        """Claim once more if so much time has passed that the claim may be stale before the call ends; raises BusFault."""
        for _ in range(ROUNDS):
            if self._is_void or steady() - self._sent <= BEGIN_WITHIN:
                return
            try:
                await self._renew()
            except Conflict:
                raise BusFault(_TAKEN_OVER) from None
            except Gone:
                self._void(NO_BUCKET)
        raise BusFault("the bus is too slow for a claim")

    async def conclude(self, answer: Answer | None) -> None:
        """Write down what came of the call."""
        if self._is_void:
            return
        try:
            await (self._release() if answer is None else self._remember(answer))
        except Gone:
            self._void(NO_BUCKET)
        except TooLarge:
            self._void(TOO_LARGE)

    async def _remember(self, answer: Answer) -> None:
        reach("before-record")
        done = replace(self._entry, state=State.DONE, answer=answer)
        for _ in range(ROUNDS):
            try:
                await self._write(done, patience=KEPT)
            except Conflict:
                found = await self._read()
                self._revision = found.revision if found else 0
                if found and found.entry == done:
                    break  # only its acknowledgement was lost
                if found and found.entry and found.entry != self._entry and found.entry.state is not State.RELEASED:
                    raise BusFault(_TAKEN_OVER) from None
            else:
                break
        else:
            raise BusFault(_TAKEN_OVER)
        reach("after-record")

    async def _release(self) -> None:
        """Tell others that they need not wait; if that fails, the claim is stale soon enough."""
        reach("before-release")
        with suppress(Conflict, BusFault):
            await self._write(replace(self._entry, state=State.RELEASED), patience=0.0)

    async def _renew(self) -> None:
        sent = steady()
        self._revision = await self._write(self._entry)
        self._sent = sent

    async def _write(self, entry: Entry, patience: float = PATIENCE) -> int:
        return await self._bucket.write(
            self.place, entry, self._revision, self._ttl, delivery=self._delivery, patience=patience
        )

    async def _read(self) -> Found | None:
        found = await self._bucket.read(self.place)
        if found and found.entry is None:
            self._do_without(UNREADABLE)
        return found

    def _void(self, reason: str) -> None:
        self._is_void = True
        self._do_without(reason)
