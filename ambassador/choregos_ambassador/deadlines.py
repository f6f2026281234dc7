"""Many deadlines, one timer: it is set to the earliest of them, and rings at the right moment, not some ticks later.

A timer for each costs every event a microsecond, to be cancelled again in all cases but one in a million.
"""

import asyncio
import math
from typing import Generic, Protocol, TypeVar


class Expiring(Protocol):
    """What has a deadline, in the event loop's time."""

    deadline: float

    def expire(self) -> None:
        """End, now that the time is up. Called in the event loop; nothing may be added or discarded meanwhile."""


E = TypeVar("E", bound=Expiring)


class Deadlines(Generic[E]):
    """Expires what is not discarded in time."""

    def __init__(self) -> None:
        self._running: set[E] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._next = math.inf

    def add(self, each: E, loop: asyncio.AbstractEventLoop) -> None:
        """Watch over one more."""
        self._running.add(each)
        if each.deadline < self._next:
            self._set_alarm(each.deadline, loop)

    def discard(self, each: E) -> None:
        """Let it be. An alarm that was set for it stays, and finds nothing to do."""
        self._running.discard(each)

    def _set_alarm(self, moment: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._next = moment
        self._alarm = loop.call_at(moment, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        due, self._alarm, self._next = self._next, None, math.inf
        for each in self._running:
            if each.deadline <= due:
                each.expire()
        later = [each.deadline for each in self._running if each.deadline > due]
        if later:
            self._set_alarm(min(later), loop)
