"""When to look again at ambassadors that are behind: soon at first, and ever more seldom the longer they stay so.

One that hangs, or whose kubelet is away, may be behind for days, and every look asks NATS and the API server.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from choregos_operator.controller.configmaps import Target
from choregos_operator.controller.pods import Pod
from choregos_operator.mirror import Key

FIRST_WAIT: Final = 2.0
"""Seconds; doubled with each look, up to the longest."""
LONGEST_WAIT: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Who is behind, and with what; for as long as that is the same, `since` stands."""

    whom: frozenset[tuple[str, int | None, Target | None]]
    since: datetime


class Latecomers:
    """Remembers of each bus since when the same ambassadors are behind."""

    def __init__(self) -> None:
        self._waiting: dict[Key, _Waiting] = {}

    def again(
        self,
        scope: Key,
        behind: Iterable[Pod],
        targets: Mapping[str, Target],
        loaded: Mapping[str, int],
        now: datetime,
    ) -> float | None:
        """Return the seconds after which to look at a bus again; None if nobody is behind.

        It follows from the time that has passed, however many looks there were for other reasons.
        """
        whom = frozenset((pod.uid, loaded.get(pod.name), targets.get(pod.service)) for pod in behind)
        if not whom:
            self.forget(scope)
            return None
        if (known := self._waiting.get(scope)) is None or known.whom != whom:
            known = self._waiting[scope] = _Waiting(whom, now)
        return min(FIRST_WAIT + max((now - known.since).total_seconds(), 0.0), LONGEST_WAIT)

    def forget(self, scope: Key) -> None:
        """Drop what is known of a bus."""
        self._waiting.pop(scope, None)
