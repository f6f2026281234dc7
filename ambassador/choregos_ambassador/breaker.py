"""The breaker: decides how many events may be with the service at once. Pure; the clock is an argument.

    open ──ready, after a pause──▶ half open ──an answer──▶ closed, slow start ──▶ closed
      ◀──────────trouble──────────────┘                        │
      ◀────────────── not ready, or too much trouble ──────────┘

Open, nothing is pulled and readiness is probed; half open, one event at a time; then one more for each answer that
comes back well, until the reactions' own concurrency is the limit. It starts open, because nothing is known yet but what
one before it may have left.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

IN_A_ROW: Final = 5
"""So many troubles without an answer in between open the breaker ..."""
DISTINCT: Final = 3
"""... if they came from at least so many distinct events."""
WINDOW: Final = 10
"""Seconds over which the share of failures is counted."""
ENOUGH: Final = 20
"""So many answers it takes before their share means anything."""
SHARE: Final = 0.5
PAUSE_MIN: Final = 1.0
PAUSE_MAX: Final = 10.0
"""Seconds between two tries to close again; doubled each time in between."""
QUIET: Final = 10.0
"""Seconds without any event after which a closed breaker has no limit any more: there is no herd to hold back."""
SLOW_START_END: Final = 64
"""In flight, from which on the reactions' own concurrency is the only limit."""


class State(StrEnum):
    """Where the breaker is."""

    OPEN = "open"
    HALF_OPEN = "half-open"
    CLOSED = "closed"


@dataclass(slots=True)
class _Second:
    second: int
    answers: int = 0
    failures: int = 0


@dataclass(slots=True)
class Breaker:
    """State of one service's breaker. `limit`: events that may be with the service at once, None for no limit."""

    state: State = State.OPEN
    limit: int | None = 0
    reason: str = "the service has not been ready yet"
    _row: int = 0
    _row_events: set[int] = field(default_factory=set)
    _seconds: deque[_Second] = field(default_factory=deque)
    _pause: float = 0.0
    _not_before: float = 0.0
    _closed: float = 0.0
    _proven: bool = False
    _retried: set[int] = field(default_factory=set)

    @property
    def in_outage(self) -> bool:
        """Whether it opened by trouble, not by readiness alone, and no good answer has come since."""
        return bool(self._pause)

    def inherit(self, now: float, reason: str) -> None:
        """Begin as one that has just opened by trouble: so it was when a breaker before this one was last heard of."""
        self._trip(now, reason)

    def ready(self, now: float, *, quiet: bool = False) -> None:
        """Take a good readiness probe. `quiet`: no event is with the service."""
        if self.state is State.CLOSED and quiet and now - self._closed >= QUIET:
            self.limit = None
        if self.state is not State.OPEN or now < self._not_before:
            return
        if self._pause:
            self.state, self.limit = State.HALF_OPEN, 1
        else:
            self._close(now)

    def not_ready(self, reason: str) -> None:
        """Take a failed readiness probe. Recovery from it needs no half-open state: the next good probe closes."""
        if self.state is not State.OPEN:
            self._open(reason)

    def answered(self, now: float, *, failed: bool) -> None:
        """Take an answer. `failed`: it says something about the service (5xx), not about the event (4xx)."""
        if self.state is State.OPEN:
            return  # a straggler from before it opened, which changes nothing
        if not failed:
            self._proven = True
            self._retried.clear()
        self._end_row()
        if self.state is State.HALF_OPEN:
            if failed:
                self._trip(now, "it failed again while half open")
            else:
                self._close(now)
            return
        if self.limit and not failed:
            self.limit = None if self.limit + 1 >= SLOW_START_END else self.limit + 1
        self._count(now, failed=failed)

    def troubled(self, now: float, event: int, reason: str) -> None:
        """Take a time-out, a broken or refused connection, a 429 or a 503; `event` is its sequence in the stream."""
        if self.state is State.OPEN:
            return
        if self.state is State.HALF_OPEN:
            self._trip(now, reason)
            return
        self._row += 1
        if len(self._row_events) < DISTINCT:
            self._row_events.add(event)
        if self._row >= IN_A_ROW and len(self._row_events) == DISTINCT:
            self._trip(now, f"{self._row} troubles in a row, the last: {reason}")
            return
        self._count(now, failed=True)

    def gives_up(self, event: int, number: int, retry: int) -> bool:
        """Say whether delivery `number` of an event, which got a retry verdict, was its last: it is to be buried.

        While the breaker is not closed it is the service that ails, and nothing is given up. Nor is an event of before,
        the first time it comes, by a breaker that has just closed on a readiness probe and has seen no good answer: the
        service may ail still, as it did when the event used up its attempts.
        """
        known = self._proven or number == 1 or event in self._retried
        if number > retry and known and self.state is State.CLOSED:
            self._retried.discard(event)
            return True
        if not self._proven:
            self._retried.add(event)
        return False

    def _count(self, now: float, *, failed: bool) -> None:
        """Keep one sum of answers and failures a second, for as many seconds as the window has."""
        second = int(now)
        if not self._seconds or self._seconds[-1].second != second:
            self._seconds.append(_Second(second))
            while self._seconds[0].second <= second - WINDOW:
                self._seconds.popleft()
        self._seconds[-1].answers += 1
        self._seconds[-1].failures += failed
        if not failed:
            return
        answers = sum(each.answers for each in self._seconds)
        failures = sum(each.failures for each in self._seconds)
        if answers >= ENOUGH and failures >= SHARE * answers:
            self._trip(now, f"{failures} of {answers} answers in {WINDOW} s were failures")

    def _trip(self, now: float, reason: str) -> None:
        self._pause = min(PAUSE_MAX, self._pause * 2 or PAUSE_MIN)
        self._not_before = now + self._pause
        self._open(reason)

    def _open(self, reason: str) -> None:
        self.state, self.limit, self.reason = State.OPEN, 0, reason
        self._proven = False
        self._retried.clear()
        self._forget()

    def _close(self, now: float) -> None:
        self._closed = now
        self.state, self.limit, self.reason = State.CLOSED, 1, ""
        self._pause = 0.0
        self._forget()

    def _forget(self) -> None:
        self._end_row()
        self._seconds.clear()

    def _end_row(self) -> None:
        self._row = 0
        self._row_events.clear()
