"""A producer that publishes through an ambassador whatever happens, and remembers what it was promised."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import aiohttp

from support.waiting import wait_for

_PAUSE = 0.05
"""Seconds between two events of one producer."""


@dataclass
class Publisher:
    """Publishes one event after the other, each with the same key until it is accepted."""

    publish_url: str
    event_type: str
    accepted: list[str] = field(default_factory=list)
    """Ids of the events that were answered with 201: none of them may be lost."""
    refused: list[int] = field(default_factory=list)
    """The other answers."""
    _ended: bool = False

    async def run(self, name: str) -> None:
        """Publish until told to end; the last event is accepted, too."""
        async with aiohttp.ClientSession() as session:
            for number in count():
                key = f"{name}-{number}"
                await wait_for(partial(self.publish, session, key), f"{key} is accepted")
                if self._ended:
                    return
                await asyncio.sleep(_PAUSE)

    async def publish(self, session: aiohttp.ClientSession, key: str) -> bool:
        """Publish once, and tell whether it was accepted."""
        url = f"{self.publish_url}/events/{self.event_type}"
        async with session.post(url, json={}, headers={"Idempotency-Key": key}) as answer:
            if answer.status == 201:
                self.accepted.append((await answer.json())["id"])
            else:
                self.refused.append(answer.status)
            return answer.status == 201

    async def more(self, count: int) -> None:
        """Wait until so many more are accepted."""
        wanted = len(self.accepted) + count
        await wait_for(lambda: len(self.accepted) >= wanted, f"{wanted} events are accepted")

    def end(self) -> None:
        """Have them end."""
        self._ended = True


@asynccontextmanager
async def publishing(publish_url: str, event_type: str, at_once: int = 4) -> AsyncIterator[Publisher]:
    """Have so many producers publish meanwhile; at the end they have been accepted with all that they sent."""
    publisher = Publisher(publish_url, event_type)
    running = [asyncio.create_task(publisher.run(str(number))) for number in range(at_once)]
    try:
        yield publisher
    finally:
        publisher.end()
        async with asyncio.timeout(60):
            await asyncio.gather(*running)
