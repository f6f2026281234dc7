"""Notices a NATS server that keeps the connection and has no JetStream for us, because its cluster goes on without it.

Such a server answers pings. What is asked of JetStream gets no answer, or one of a group that nobody leads: as in any
election, but for longer than an election takes.
"""

import time
from typing import Final

import nats.errors

ELECTION: Final = 12.0
"""Seconds that a cluster may take to elect its leaders; nats-server waits up to 9 s before it votes."""
_NOBODY_LEADS: Final = b'"err_code":10008,'
_GROUP: Final = b'"cluster":{'
_ITS_LEADER: Final = b'"leader":"'


class Silence:
    """How long JetStream has said nothing."""

    def __init__(self) -> None:
        self._since: float | None = None

    def answered(self, data: bytes, asked: float) -> None:
        """Take an answer to what was asked at a time of the monotonic clock."""
        if _NOBODY_LEADS in data or (_GROUP in data and _ITS_LEADER not in data):
            self._begin(asked)
        else:
            self._since = None

    def failed(self, error: BaseException, asked: float) -> None:
        """Take the failure of what was asked at a time of the monotonic clock."""
        if isinstance(error, TimeoutError | nats.errors.NoRespondersError):
            self._begin(asked)

    def is_long(self) -> bool:
        """Say, once for each time that it is so, whether this server had better be left."""
        if self._since is None or time.monotonic() - self._since < ELECTION:
            return False
        self._since = None
        return True

    def forget(self) -> None:
        """Begin anew: the connection is another one."""
        self._since = None

    def _begin(self, asked: float) -> None:
        if self._since is None:
            self._since = asked
