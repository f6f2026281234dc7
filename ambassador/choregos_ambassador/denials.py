"""What NATS does not permit: told, though not once for each message, and got over as soon as it is permitted."""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from choregos_ambassador.log import log

INBOX: Final = "_INBOX."
DENIED_EVERY: Final = 10.0
"""Seconds after which a permission that is missing again for the same kind of subject is told again."""
_PERMISSION: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Denial:
    """A permission that is missing: to publish to the subject, or else to subscribe to it."""

    publish: bool
    subject: str

    @property
    def kind(self) -> str:
        """What all subjects share that differ in their last tokens, as those of ACKs do."""
        return ".".join(self.subject.split(".")[:-1][:5]) if self.publish else self.subject


def read_denial(error: str) -> Denial | None:
    """Read what the server says of a permission that is missing; None if it speaks of something else."""
    denied = _PERMISSION.search(error)
    return Denial(denied[1].lower() == "publish", denied[2]) if denied else None


class Denials:
    """The denials of one connection. `reconnect` makes it anew, for nothing else subscribes again."""

    def __init__(self, reconnect: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._reconnect = reconnect
        self._told: dict[str, float] = {}
        self._resubscribes: asyncio.TimerHandle | None = None
        self._reconnecting: asyncio.Task[None] | None = None

    def tell(self, denial: Denial) -> None:
        """Write a line, but one of a kind within ten seconds; without answers nothing works, so ask for the inbox again."""
        now = time.monotonic()
        if now - self._told.get(denial.kind, -DENIED_EVERY) >= DENIED_EVERY:
            self._told[denial.kind] = now
            log.error("permission missing", action="publish" if denial.publish else "subscribe", subject=denial.subject)
        if denial.subject.startswith(INBOX) and not denial.publish and self._resubscribes is None:
            self._resubscribes = asyncio.get_running_loop().call_later(DENIED_EVERY, self._subscribe_again)

    def forget(self) -> None:
        """Tell of each kind again: the connection is a new one."""
        self._told.clear()

    def _subscribe_again(self) -> None:
        self._resubscribes = None
        self._reconnecting = asyncio.ensure_future(self._reconnect())
