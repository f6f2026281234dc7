"""When a bus is looked at: soon after a change, again after a failure, and now and then.

One pass at a time for a bus; changes that come while it runs are one more pass after it. However many objects change at
once, a pass sees all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from choregos_operator.log import log
from choregos_operator.mirror import Key

GATHER: Final = 0.1
"""Seconds that a pass waits for what else changes along with what caused it."""
FIRST_BACKOFF: Final = 1.0
LONGEST_BACKOFF: Final = 30.0
AT_ONCE: Final = 4
"""Passes of different buses at one time."""


class ComeAgain(Exception):  # noqa: N818  named by what it means for the caller
    """The pass could not be finished, for a reason that time may mend; the message says which."""


@dataclass(slots=True)
class _Scope:
    due: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0

    def fail(self) -> float:
        """Count a failure; returns the seconds until the next attempt."""
        self.failures += 1
        return min(FIRST_BACKOFF * 2.0 ** (self.failures - 1), LONGEST_BACKOFF)


class Passes:
    """Runs `look` for every scope (namespace, bus) that is marked, as soon as `ready` is set.

    What `look` returns is the seconds after which to look again, or None for when something changes.
    """

    def __init__(self, look: Callable[[Key], Awaitable[float | None]], *, ready: asyncio.Event) -> None:
        self._look = look
        self._ready = ready
        self._scopes: dict[Key, _Scope] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    def mark(self, scope: Key) -> None:
        """Have a scope looked at soon."""
        if scope not in self._tasks:
            self._scopes[scope] = _Scope()
            self._tasks[scope] = asyncio.create_task(self._run(scope), name=f"passes of {'/'.join(scope)}")
        self._scopes[scope].due.set()

    async def close(self) -> None:
        """End all passes, those that run included: every step of them may be repeated."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run(self, name: Key) -> None:
        scope = self._scopes[name]
        await self._ready.wait()
        while True:
            await scope.due.wait()
            await asyncio.sleep(GATHER)
            scope.due.clear()
            async with self._room:
                waits = await self._pass(name, scope)
            if waits:
                scope.due.set()
                await asyncio.sleep(waits)

    async def _pass(self, name: Key, scope: _Scope) -> float:
        """Run one pass; returns the seconds to wait before it is tried again, 0 if it is done."""
        try:
            again = await self._look(name)
        except ComeAgain as reason:
            waits = scope.fail()
            log.warning("coming again", namespace=name[0], bus=name[1], seconds=waits, reason=str(reason))
        except Exception:  # noqa: BLE001  a defect that one bus brings to light must not keep the others from being looked at
            waits = scope.fail()
            log.exception("a pass broke", namespace=name[0], bus=name[1], seconds=waits)
        else:
            scope.failures, waits = 0, 0.0
            if again is not None:
                asyncio.get_running_loop().call_later(again, scope.due.set)
        return waits
