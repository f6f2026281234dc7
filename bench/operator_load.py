"""So many requests at one time, each followed by the next, and how long each took."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

AT_ONCE = 20
Item = TypeVar("Item")


@dataclass(frozen=True)
class Load:
    """What a load met with."""

    p50: float
    """Milliseconds from request to answer."""
    p99: float
    per_second: float

    @classmethod
    def of(cls, seconds: Sequence[float], elapsed: float) -> Self:
        """Summarise latencies in seconds."""
        cuts = statistics.quantiles([1000 * each for each in seconds], n=100)
        return cls(cuts[49], cuts[98], len(seconds) / elapsed)


async def load(request: Callable[[Item], Awaitable[object]], items: Sequence[Item]) -> Load:
    """Make a request of each item, `AT_ONCE` at a time, and say how they went."""
    began = time.perf_counter()
    seconds = await spread(request, items)
    return Load.of(seconds, time.perf_counter() - began)


async def spread(
    request: Callable[[Item], Awaitable[object]], items: Sequence[Item], at_once: int = AT_ONCE
) -> list[float]:
    """Make a request of each item, so many at a time; returns the seconds that each took."""
    waiting, seconds = iter(items), list[float]()

    async def one_after_another() -> None:
        for item in waiting:
            began = time.perf_counter()
            await request(item)
            seconds.append(time.perf_counter() - began)

    await asyncio.gather(*(one_after_another() for _ in range(at_once)))
    return seconds
