"""Events at a fixed pace, from the process that measures: for `inbox.py`, which compares at a low rate only."""

import asyncio
import statistics
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Latency:
    """Milliseconds from the start of sending to the request's arrival at the service."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Latency":
        """Summarise latencies in seconds."""
        cuts = statistics.quantiles([1000 * each for each in seconds], n=100)
        return cls(cuts[49], cuts[98])


async def paced(
    name: str,
    rate: int,
    seconds: float,
    arrivals: dict[bytes, float],
    send: Callable[[bytes], Coroutine[Any, Any, None]],
) -> list[float]:
    """Send each event when it is due, whatever became of the ones before; returns how long each took from then."""
    sending, due = [], {}
    start = time.perf_counter() + 0.1
    for index in range(int(rate * seconds)):
        moment = start + index / rate
        await asyncio.sleep(max(0.0, moment - time.perf_counter()))
        body = f"{name}-{index}".encode()
        due[body] = moment
        sending.append(asyncio.ensure_future(send(body)))
    await asyncio.gather(*sending)
    await until(lambda: due.keys() <= arrivals.keys())
    return [arrivals[body] - moment for body, moment in due.items()]


async def until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds; raises TimeoutError after half a minute."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  what it waits for is a plain dict
            await asyncio.sleep(0.005)
