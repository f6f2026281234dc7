"""When a bus is looked at: soon after a change, again after a failure, and now and then.

One pass at a time for a bus; changes that come while it runs are one more pass after it. However many objects change at
once, a pass sees all of them. A bus that makes passes long, because its servers do not answer, holds up others of its kind
at most, and of those of other namespaces not even all.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from choregos_operator.log import log
from choregos_operator.mirror import Key
from choregos_operator.waiting import set_within

GATHER: Final = 0.1
"""Seconds that a pass waits for what else changes along with what caused it."""
FIRST_BACKOFF: Final = 1.0
"""Seconds between a failure and the next attempt; a change shortens every longer wait, but to no less."""
LONGEST_BACKOFF: Final = 30.0
LONGEST_LOOK: Final = 30.0
"""Seconds after which a pass is given up; the first one of a bus of a thousand durables takes ten."""
AT_ONCE: Final = 4
"""Passes at one time of buses that are well, and as many of the others."""


class ComeAgain(Exception):  # noqa: N818  named by what it means for the caller
    """The pass could not be finished, for a reason that time may mend; the message says which."""


@dataclass(slots=True)
class _Scope:
    due: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0

    def fail(self) -> float:
        """Count a failure; returns the seconds until the next attempt."""
        self.failures += 1
        return min(FIRST_BACKOFF * 2.0 ** min(self.failures - 1, 10), LONGEST_BACKOFF)


class Passes:
    """Runs `look` for every scope (namespace, bus) that is marked, as long as `ready` is set.

    What `look` returns is the seconds after which to look again, or None for when something changes. `apart` tells of the
    scopes whose passes may be long, however well the last one went. `cut_off` is told of a pass that takes too long.
    """

    def __init__(
        self,
        look: Callable[[Key], Awaitable[float | None]],
        *,
        ready: asyncio.Event,
        apart: Callable[[Key], bool] = lambda _scope: False,
        cut_off: Callable[[], None] = lambda: None,
    ) -> None:
        self._look = look
        self._ready = ready
        self._apart = apart
        self._cut_off = cut_off
        self._scopes: dict[Key, _Scope] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self._room_apart = asyncio.Semaphore(AT_ONCE)
        self._namespaces: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def busy(self) -> frozenset[Key]:
        """The scopes that are looked at, or will be if nobody marks them again."""
        return frozenset(self._tasks)

    def mark(self, scope: Key) -> None:
        """Have a scope looked at soon."""
        if scope not in self._tasks:
            self._scopes[scope] = _Scope()
            self._tasks[scope] = asyncio.create_task(self._run(scope), name=f"passes of {'/'.join(scope)}")
        self._scopes[scope].due.set()

    async def close(self) -> None:
        """End all passes, those that run included: every step of them may be repeated."""
        tasks = [*self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, name: Key) -> None:
        """Look as often as it takes; of a scope that waits for nothing, nothing is kept."""
        scope = self._scopes[name]
        try:
            again: float | None = 0.0
            while scope.due.is_set() or again is not None:
                await asyncio.sleep(GATHER)
                async with self._place(name, scope):
                    await self._ready.wait()
                    scope.due.clear()
                    again = await self._pass(name, scope)
                if scope.failures and again is not None:
                    await asyncio.sleep(FIRST_BACKOFF)
                    again = max(again - FIRST_BACKOFF, 0.0)
                if again is not None:
                    await set_within(scope.due, again)
        finally:
            del self._scopes[name], self._tasks[name]

    @contextlib.asynccontextmanager
    async def _place(self, name: Key, scope: _Scope) -> AsyncIterator[None]:
        """Wait for a place: among those that are well, or among the others, of which each namespace has one at a time."""
        if not scope.failures and not self._apart(name):
            async with self._room:
                yield
            return
        # Held by whoever uses it, and forgotten with the last of them.
        namespace = self._namespaces.setdefault(name[0], asyncio.Lock())
        async with namespace, self._room_apart:
            yield

    async def _pass(self, name: Key, scope: _Scope) -> float | None:
        """Run one pass; returns the seconds after which to look again, or None if it is done."""
        try:
            again = await self._bounded(name)
        except ComeAgain as reason:
            again = scope.fail()
            log.warning("coming again", namespace=name[0], bus=name[1], seconds=again, reason=str(reason))
        except Exception:  # noqa: BLE001  a defect that one bus brings to light must not keep the others from being looked at
            again = scope.fail()
            log.exception("a pass broke", namespace=name[0], bus=name[1], seconds=again)
        else:
            scope.failures = 0
        return again

    async def _bounded(self, name: Key) -> float | None:
        try:
            async with asyncio.timeout(LONGEST_LOOK) as clock:
                return await self._look(name)
        except TimeoutError as error:
            if not clock.expired():
                raise
            self._cut_off()
            sentence = f"the pass took longer than {LONGEST_LOOK:g} s; what it has done stands, and the next goes on"
            raise ComeAgain(sentence) from error
