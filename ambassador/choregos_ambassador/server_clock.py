"""The NATS server's clock, as this process knows it.

Whether a stream still remembers a message id is decided by the server's clock. The machine's own wall clock may be wrong, or
step. So the server's word for the time is kept, and carried on by a clock that nobody sets and that runs on while the
process is stopped, and on Linux while the machine sleeps.
"""

import math
import time
from datetime import datetime
from typing import Final

TRUSTED: Final = 60.0
"""Seconds for which the server's word holds: clocks drift, and a virtual machine may have stood still unawares."""
_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> float:
    """Seconds on a clock that only goes forward, from any origin."""
    return time.clock_gettime(_STEADY)


class ServerClock:
    """What the server last said of the time."""

    def __init__(self) -> None:
        self._ahead = math.inf
        self._told = -math.inf

    def told(self, moment: datetime, asked: float) -> None:
        """Take the time in an answer, which the server wrote after `asked` (of `steady`)."""
        self._ahead, self._told = moment.timestamp() - asked, asked

    def forget(self) -> None:
        """Know nothing any more: the connection was cut, maybe because the machine stood still."""
        self._told = -math.inf

    def latest(self) -> float:
        """Return the latest that it can be on the server now, in seconds of Unix time; infinite where that is unknown."""
        now = steady()
        return now + self._ahead if now - self._told <= TRUSTED else math.inf
