"""The slots of a reaction: so many of its events are on their hops at once, and those that came early wait for a free one."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from choregos_ambassador.delivery import Delivery

Take = Callable[[Delivery], Coroutine[Any, Any, None]]
"""Takes an event to its end, and handles whatever goes wrong."""


class Slots:
    """Has each event taken in a slot, the oldest first. A slot takes one event after the other as long as one waits."""

    def __init__(self, number: int, take: Take) -> None:
        self.number = number
        """Of events at once; lowered, it is kept to once some have ended."""
        self.ended = 0
        """Events so far that were taken to their end."""
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._taken = 0
        self._waiting: deque[Delivery] = deque()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def in_hand(self) -> int:
        """Events in slots, and those that wait for one."""
        return self._taken + len(self._waiting)

    @property
    def oldest(self) -> Delivery | None:
        """The event that has waited longest for a slot."""
        return self._waiting[0] if self._waiting else None

    def add(self, delivery: Delivery) -> None:
        """Have an event taken, in the next turn of the loop if there is a slot."""
        if self._taken < self.number:
            self._begin(delivery, self._take)
        else:
            self._waiting.append(delivery)

    def release(self, take: Take) -> None:
        """Have all that wait taken otherwise, without a slot."""
        while self._waiting:
            self._begin(self._waiting.popleft(), take)

    async def empty(self) -> None:
        """Wait until no event is in hand."""
        await self._empty.wait()

    def _begin(self, delivery: Delivery, take: Take) -> None:
        self._taken += 1
        self._empty.clear()
        self._loop.create_task(self._work(delivery, take))

    async def _work(self, delivery: Delivery, take: Take) -> None:
        while True:
            await take(delivery)
            self.ended += 1
            if not self._waiting or self._taken > self.number:
                break
            delivery, take = self._waiting.popleft(), self._take
        self._taken -= 1
        if not self._taken:
            self._empty.set()
