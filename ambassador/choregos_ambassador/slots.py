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
        self.ended = 0
        """Events so far that were taken to their end."""
        self._number = number
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._taken = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[Delivery, float]] = deque()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def number(self) -> int:
        """Slots; if there are fewer now, that holds once some events have ended."""
        return self._number

    @number.setter
    def number(self, number: int) -> None:
        self._number = number
        self._fill()

    @property
    def in_hand(self) -> int:
        """Events in slots, and those that wait for one."""
        return self._taken + len(self._waiting)

    def add(self, delivery: Delivery) -> None:
        """Have an event taken, in the next turn of the loop if there is a slot."""
        self._waiting.append((delivery, self._loop.time()))
        self._fill()

    def release(self, take: Take, waited: float = 0.0) -> bool:
        """Have those taken otherwise, without a slot, that have waited for so many seconds; returns whether there were any."""
        since, found = self._loop.time() - waited, False
        while self._waiting and self._waiting[0][1] <= since:
            found = True
            self._begin(self._waiting.popleft()[0], take)
        return found

    async def empty(self) -> None:
        """Wait until no event is in hand."""
        await self._empty.wait()

    def _fill(self) -> None:
        while self._waiting and self._taken < self._number:
            self._begin(self._waiting.popleft()[0], self._take)

    def _begin(self, delivery: Delivery, take: Take) -> None:
        self._taken += 1
        self._empty.clear()
        task = self._loop.create_task(self._work(delivery, take))
        self._tasks.add(task)  # the loop itself keeps none
        task.add_done_callback(self._tasks.discard)

    async def _work(self, delivery: Delivery, take: Take) -> None:
        """Take one event after the other. The slot is free before anything that the last one's end has woken looks for it."""
        await take(delivery)
        self.ended += 1
        while self._waiting and self._taken <= self._number:
            await self._take(self._waiting.popleft()[0])
            self.ended += 1
        self._taken -= 1
        if not self._taken:
            self._empty.set()
