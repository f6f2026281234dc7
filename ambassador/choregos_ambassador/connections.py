"""Who is connected to a port, what each connection is at, and which one has to go when the house is full. Pure.

A connection waits for a request to become whole, or works on one, or is kept for the next. Work is never ended for a
newcomer. Of the rest, the host with most connections gives one up, which may be the newcomer: so one host alone crowds out
nobody but itself. First goes what has waited longest (a request that is sent at once is whole long before its turn comes),
then what is kept.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

C = TypeVar("C", bound=Hashable)


class Connections(Generic[C]):
    """The open connections of one port, at most `limit` of them; `host_of` tells where one comes from."""

    def __init__(self, limit: int, host_of: Callable[[C], Hashable] = lambda _: None) -> None:
        self.limit = limit
        self._host_of = host_of
        self._hosts: defaultdict[Hashable, _Host[C]] = defaultdict(_Host)
        self._at: dict[C, dict[C, None]] = {}

    def __len__(self) -> int:
        return len(self._at)

    @property
    def full(self) -> bool:
        """Whether one has to go before another can come."""
        return len(self) >= self.limit

    def dispensable_for(self, newcomer: C) -> C | None:
        """Return the connection that is to make room; None if the newcomer has to go."""
        able = [host for host in self._hosts.values() if host.waiting or host.kept]
        if not able:
            return None
        crowd = max(able, key=len)
        own = self._hosts.get(self._host_of(newcomer))
        return None if own is not None and len(own) > len(crowd) else next(iter(crowd.waiting or crowd.kept))

    def wait(self, connection: C) -> None:
        """Note that a connection waits for a request, from now on."""
        if not self.waits(connection):
            self._put(connection, self._hosts[self._host_of(connection)].waiting)

    def work(self, connection: C) -> None:
        """Note that a connection's request is whole."""
        self._put(connection, self._hosts[self._host_of(connection)].working)

    def keep(self, connection: C) -> None:
        """Note that a connection's request is answered."""
        self._put(connection, self._hosts[self._host_of(connection)].kept)

    def waits(self, connection: C) -> bool:
        """Tell whether a connection waits for a request."""
        host = self._hosts.get(self._host_of(connection))
        return host is not None and connection in host.waiting

    def forget(self, connection: C) -> None:
        """Drop a connection that has ended, or will at once."""
        where = self._at.pop(connection, None)
        if where is None:
            return
        del where[connection]
        if not self._hosts[self._host_of(connection)]:
            del self._hosts[self._host_of(connection)]

    def _put(self, connection: C, where: dict[C, None]) -> None:
        if (before := self._at.get(connection)) is not None:
            del before[connection]
        where[connection] = None
        self._at[connection] = where


class _Host(Generic[C]):
    """The connections of one host, by what they are at, and in the order of their coming there."""

    def __init__(self) -> None:
        self.waiting: dict[C, None] = {}
        self.working: dict[C, None] = {}
        self.kept: dict[C, None] = {}

    def __len__(self) -> int:
        return len(self.waiting) + len(self.working) + len(self.kept)
