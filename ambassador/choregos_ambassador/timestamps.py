"""Times as the bus carries them."""

import time
from datetime import UTC, datetime
from functools import lru_cache


def rfc3339(seconds: float | None = None) -> str:
    """Write a Unix time, or now, in UTC with milliseconds."""
    if seconds is not None:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    now = time.time_ns() // 10**6
    return f"{_second(now // 1000)}.{now % 1000:03d}Z"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    """Remembered: what is stored now is mostly of the same second as what was stored before."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
