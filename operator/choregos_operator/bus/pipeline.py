"""Many requests at once, but not all at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

AT_ONCE: Final = 16
"""Requests on their way: enough to hide the round trip, few enough for a NATS server that has other work."""

Item = TypeVar("Item")
Result = TypeVar("Result")


async def pipelined(work: Callable[[Item], Awaitable[Result]], items: Iterable[Item]) -> list[Result]:
    """Return the results in the order of the items; the first error ends all that is under way, and is raised."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(item: Item) -> Result:
        async with places:
            return await work(item)

    # No TaskGroup: before Python 3.13 it leaves the task that it failed in counted as cancelled.
    tasks = [asyncio.ensure_future(one(item)) for item in items]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
