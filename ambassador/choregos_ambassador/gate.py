"""The gate before the service: keeps the sum of events that are with it, or on their way, within the breaker's limit.

Reactions take places before they pull, and give them back when an event is settled or a pull ran out; with few places,
the reaction that took one last asks last. Beside them stands the prober, who asks the service whether it is ready: often while the breaker is open, now and then otherwise.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from choregos_ambassador.answer import NoAnswer, Trouble
from choregos_ambassador.breaker import Breaker, State
from choregos_ambassador.http_client import HttpClient
from choregos_ambassador.log import log
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.tasks import watched
from choregos_contract.configuration import Readiness

PROBE_OPEN: Final = 0.5
PROBE_CLOSED: Final = 5.0
"""Seconds between two readiness probes, while the breaker is open and otherwise."""
PROBE_TIMEOUT: Final = 2.0


class Gate:
    """One service's breaker with its credit and its prober."""

    def __init__(self, metrics: Metrics) -> None:
        self.breaker = Breaker()
        self.on_outage: Callable[[str | None], None] = lambda _: None
        """Called with the reason when the breaker opens by trouble, and with None when a good answer has closed it."""
        self._client: HttpClient | None = None
        self._readiness: Readiness | None = None
        self._metrics = metrics
        self._taken = 0
        self._in_hand = 0
        self._waiting: list[Callable[[], None]] = []
        self._probe_now = asyncio.Event()
        self._prober: asyncio.Task[None] | None = None

    @property
    def is_open_for_events(self) -> bool:
        """Whether an event in hand may go to the service now.

        Pulls of before the breaker opened still bring events when it is half open already: too many then.
        """
        return self.breaker.limit is None or self._in_hand <= self.breaker.limit

    @property
    def is_limited(self) -> bool:
        """Whether there may be fewer events with the service than the reactions' own concurrency allows."""
        return self.breaker.limit is not None

    @property
    def contended(self) -> bool:
        """Whether several reactions share few places, so that none may hold one without an event for it."""
        return self.breaker.limit is not None and len(self._waiting) > 1

    def join(self, wake: Callable[[], None]) -> None:
        """Have `wake` called whenever there may be credit again."""
        self._waiting.append(wake)

    def part(self, wake: Callable[[], None]) -> None:
        """Undo `join`."""
        self._waiting.remove(wake)

    def take(self, wanted: int, wake: Callable[[], None]) -> int:
        """Take up to `wanted` places with the service, and return how many there were.

        Few places are shared out: no reaction takes more of them than its part.
        """
        limit = self.breaker.limit
        part = 0 if limit is None else max(1, limit // len(self._waiting))
        granted = wanted if limit is None else max(0, min(wanted, part, limit - self._taken))
        self._taken += granted
        if granted and limit is not None:
            self._waiting.remove(wake)
            self._waiting.append(wake)
        return granted

    def enter(self) -> None:
        """Take note of an event in hand, which fills one of the places taken."""
        self._in_hand += 1

    def leave(self) -> None:
        """Take note of its end, and give its place back."""
        self._in_hand -= 1
        self.give_back(1)

    def give_back(self, places: int) -> None:
        """Give places back."""
        self._taken = max(0, self._taken - places)
        if places and self.breaker.limit is not None:
            self._wake()

    def answered(self, *, failed: bool) -> None:
        """Take note of an answer from the service."""
        before = self.breaker.state, self.breaker.limit
        self.breaker.answered(time.monotonic(), failed=failed)
        self._tell(before)

    def troubled(self, sequence: int, reason: str, *, refused: bool) -> None:
        """Take note of a trouble with the service; a refused connection has readiness probed at once."""
        before = self.breaker.state, self.breaker.limit
        self.breaker.troubled(time.monotonic(), sequence, reason)
        if refused:
            self._probe_now.set()
        self._tell(before)

    def inherit(self, reason: str) -> None:
        """Take over an outage that was known before this process, before the first probe."""
        self.breaker.inherit(time.monotonic(), reason)

    def reconfigure(self, client: HttpClient | None, readiness: Readiness | None) -> None:
        """Probe this place from now on; the first call starts the prober."""
        if (client, readiness) != (self._client, self._readiness):
            self._client, self._readiness = client, readiness
            self._probe_now.set()
        if self._prober is None:
            self._prober = watched(self._probe_forever(), "readiness prober")

    async def close(self) -> None:
        """Stop probing."""
        if self._prober is None:
            return
        self._prober.cancel()
        await asyncio.gather(self._prober, return_exceptions=True)

    async def _probe_forever(self) -> None:
        while True:
            trouble = await self._probe()
            before = self.breaker.state, self.breaker.limit
            if trouble is None:
                self.breaker.ready(time.monotonic(), quiet=self._in_hand == 0)
            else:
                self.breaker.not_ready(trouble)
            self._tell(before)
            self._probe_now.clear()
            pause = PROBE_OPEN if self.breaker.state is State.OPEN else PROBE_CLOSED
            try:
                async with asyncio.timeout(pause):
                    await self._probe_now.wait()
            except TimeoutError:
                continue

    async def _probe(self) -> str | None:
        """Ask the service; returns what is wrong, or None."""
        if self._readiness is None or self._client is None:
            return None
        if self._readiness.path is None:
            trouble = await self._reachable(self._client)
            return None if trouble is None else f"port {self._client.port} does not accept: {trouble.detail}"
        head = f"GET {self._readiness.path} HTTP/1.1\r\nHost: {self._client.host}:{self._client.port}\r\n\r\n".encode()
        answer = await self._client.post(head, b"", timeout=PROBE_TIMEOUT, limit=1 << 16)
        if isinstance(answer, NoAnswer):
            return f"{self._readiness.path}: {answer.trouble}"
        return None if 200 <= answer.status < 300 else f"{self._readiness.path} answers {answer.status}"

    async def _reachable(self, client: HttpClient) -> NoAnswer | None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                return await client.reachable()
        except TimeoutError:
            return NoAnswer(Trouble.UNREACHABLE, f"no connection within {PROBE_TIMEOUT:g} s")

    def _tell(self, before: tuple[State, int | None]) -> None:
        """Log and count a change of state, and wake the reactions if there is more room than before."""
        state, limit = self.breaker.state, self.breaker.limit
        if state is not before[0]:
            self._metrics.breaker_changed(state)
            log.info("breaker", state=state, reason=self.breaker.reason or None)
            if state is State.OPEN:
                self._probe_now.set()  # from now on often
            if state is State.OPEN and self.breaker.in_outage:
                self.on_outage(self.breaker.reason)
            if state is State.CLOSED and before[0] is State.HALF_OPEN:
                self.on_outage(None)
        if limit != before[1] and limit != 0:
            self._wake()

    def _wake(self) -> None:
        for wake in self._waiting:
            wake()
