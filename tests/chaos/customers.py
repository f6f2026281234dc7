"""Customers: they place orders through the publish APIs of the shop, and remember what was accepted.

A customer asks again, with the same `Idempotency-Key` and at either replica, until he gets a 201. He gives up while the
duplicate window of his first request lasts: whoever asks again after it may be served twice, as the guarantees say.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from random import Random
from typing import Final

import aiohttp

from chaos.choreography import ENTRY, ENTRY_SERVICE
from chaos.ledger import Accepted, GivenUp, Ledger
from chaos.theatre import Theatre

BROKE: Final = 0.1
"""The share of orders that `payment` refuses."""
ANSWER_WITHIN: Final = 4.0
GIVE_UP_AFTER: Final = 6.0
"""Seconds; an ambassador may wait 3 s for NATS before it publishes, and a NATS that stands still take 10 s to store it: all that
is less than the duplicate window (20 s)."""
PAUSE: Final = 0.1


@dataclass
class Customers:
    """The load of a round: so many orders per second."""

    theatre: Theatre
    rate: float
    chance: Random
    accepted: int = 0

    async def shop(self, duration: float) -> None:
        """Place orders for so long; returns when the last of them is accepted or given up."""
        ledger = Ledger(self.theatre.directory / "customers.ledger")
        limit = aiohttp.ClientTimeout(total=ANSWER_WITHIN)
        try:
            async with aiohttp.ClientSession(timeout=limit) as session, asyncio.TaskGroup() as orders:
                clock = asyncio.get_running_loop().time
                begun = clock()
                for number in range(int(duration * self.rate)):
                    await asyncio.sleep(begun + number / self.rate - clock())
                    orders.create_task(self._order(number, session, ledger))
        finally:
            ledger.close()

    async def _order(self, number: int, session: aiohttp.ClientSession, ledger: Ledger) -> None:
        key = f"order-{number}"
        body = json.dumps({"order": number, "broke": self.chance.random() < BROKE}).encode()
        first, tries = time.monotonic(), 0
        while time.monotonic() - first < GIVE_UP_AFTER:
            tries += 1
            if answer := await self._ask(number + tries, key, body, session):
                ledger.write([Accepted(answer["id"], answer["correlationId"], tries, time.time())])
                self.accepted += 1
                return
            await asyncio.sleep(PAUSE * min(tries, 5))
        ledger.write([GivenUp(key, time.time())])

    async def _ask(self, turn: int, key: str, body: bytes, session: aiohttp.ClientSession) -> dict[str, str] | None:
        replicas = self.theatre.of(ENTRY_SERVICE)
        replica = replicas[turn % len(replicas)]
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        try:
            async with session.post(
                f"{replica.ambassador.publish_url}/events/{ENTRY}", data=body, headers=headers
            ) as got:
                return dict(await got.json()) if got.status == 201 else None
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None
