"""Events that are asked for ahead of the slots: none that another replica could have, and none that is lost with its place."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

from choregos_ambassador.reaction import SWEEP
from support.ambassador import Ambassador
from support.scene import SERVICE, Scene, metric, scene
from support.service import Call
from support.waiting import wait_for

REACTION: Final = {"event": "Placed"}
SLOTS: Final = 16
AT_ONCE: Final = 3.0
"""Seconds in which a process ends that has nothing to wait for."""


class Doors:
    """A service that answers at once while its doors are open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.closes_after = 0
        """Of so many requests more, the last one closes the doors behind it."""

    async def __call__(self, _: Call) -> web.Response:
        if self.closes_after:
            self.closes_after -= 1
            if not self.closes_after:
                self.open.clear()
        await self.open.wait()
        return web.Response(status=204)


async def in_hand(ambassador: Ambassador) -> float:
    return await metric(ambassador.probes_url, "choregos_in_flight")


@asynccontextmanager
async def with_events_waiting(shop: Scene) -> AsyncIterator[tuple[Ambassador, Doors, list[str]]]:
    """An ambassador that has asked ahead, as the service stops answering: all slots are taken, and events wait for one."""
    doors = Doors()
    shop.service.handler = doors
    expected: list[str] = []
    async with shop.ambassador(CHOREGOS_LOG_EVENTS="0") as ambassador:
        await ambassador.logged("configured")
        expected += await shop.publish(100, prefix="warm")
        await shop.settled()
        for attempt in range(20):
            doors.closes_after = 150
            expected += await shop.publish(1, prefix=f"first{attempt}-")
            more = asyncio.create_task(_flood(shop, 400, f"more{attempt}-"))
            await wait_for(lambda: not doors.open.is_set(), "the doors are closed")
            expected += await more
            await wait_for(lambda: _steady(ambassador), "nothing moves")
            if await in_hand(ambassador) > SLOTS:
                break
            doors.open.set()
            await shop.settled()
        assert await in_hand(ambassador) > SLOTS, "nothing was asked for ahead"
        yield ambassador, doors, expected


async def _steady(ambassador: Ambassador) -> bool:
    before = await in_hand(ambassador)
    await asyncio.sleep(0.1)
    return before >= SLOTS and await in_hand(ambassador) == before


async def _flood(shop: Scene, number: int, prefix: str) -> list[str]:
    ids = [f"{prefix}{each}" for each in range(number)]
    for start in range(0, number, 50):
        await asyncio.gather(*(shop.bus.publish("Placed", b"{}", each) for each in ids[start : start + 50]))
    return ids


async def out(shop: Scene) -> int:
    """How many events are out for delivery, or acknowledged a moment ago."""
    counts = [int((await shop.bus.durable(SERVICE, "Placed"))["num_ack_pending"]) for _ in range(2)]
    return min(counts)


async def test_a_slow_service_has_no_event_waiting_here_that_another_replica_could_have() -> None:
    async with scene(REACTION, delivery={"concurrency": 2}) as shop:
        async with shop.ambassador() as ambassador:
            await ambassador.logged("configured")
            await shop.publish(100, prefix="quick")
            await shop.settled()

            async def slowly(_: Call) -> web.Response:
                await asyncio.sleep(0.3)
                return web.Response(status=204)

            shop.service.handler = slowly
            shop.service.calls.clear()
            await shop.publish(20, prefix="slow")
            seen = []
            while len(shop.service.calls) < 18:
                if len(shop.service.calls) > 4:  # by then it has found out that the service is slow
                    seen.append(await out(shop))
                await asyncio.sleep(0.02)
            await shop.settled()
        assert max(seen) == 2, Counter(seen)
        assert max(Counter(shop.called()).values()) == 1


async def test_a_fast_service_has_every_event_once() -> None:
    async with scene(REACTION, delivery={"concurrency": 2}) as shop:
        async with shop.ambassador(CHOREGOS_LOG_EVENTS="0") as ambassador:
            await ambassador.logged("configured")
            ids = await _flood(shop, 1000, "e")
            await shop.settled()
        assert sorted(shop.called()) == sorted(ids)


async def test_a_drain_hands_back_what_waits_for_a_slot_and_loses_none() -> None:
    async with scene(REACTION) as shop, with_events_waiting(shop) as (leaving, doors, ids):
        waiting = await in_hand(leaving) - SLOTS
        called = set(shop.called())
        leaving.signal(signal.SIGTERM)
        await leaving.logged("draining")
        started = time.monotonic()
        doors.open.set()
        assert await leaving.ended() == 0
        assert time.monotonic() - started < AT_ONCE
        assert set(shop.called()) == called, f"none of the {waiting} that waited goes to the service now"
        async with shop.ambassador():
            await shop.settled(patience=10)
        assert sorted(shop.called()) == sorted(ids)


async def test_what_waits_for_a_slot_goes_to_another_replica_where_the_service_does_not_answer() -> None:
    async with scene(REACTION, delivery={"timeout": "60s"}) as shop, with_events_waiting(shop) as (stuck, _, _ids):
        await wait_for(lambda: _only_slots(stuck), "what waits is handed on", 2 * SWEEP + AT_ONCE)
        assert await in_hand(stuck) == SLOTS, "those at the service stay"


async def test_a_reaction_that_is_suspended_hands_back_what_waits_for_a_slot_and_loses_none() -> None:
    async with scene(REACTION) as shop, with_events_waiting(shop) as (ambassador, doors, ids):
        called = set(shop.called())
        suspended: dict[str, Any] = {**REACTION, "suspend": True}
        ambassador.configure(shop.configured(suspended))
        await ambassador.logged("configured", generation=2)
        doors.open.set()
        await wait_for(lambda: _nothing(ambassador), "nothing is in hand")
        assert set(shop.called()) == called
        ambassador.configure(shop.configured(REACTION, generation=3))
        await ambassador.logged("configured", generation=3)
        await shop.settled(patience=20)
        assert sorted(shop.called()) == sorted(ids)


async def _only_slots(ambassador: Ambassador) -> bool:
    return await in_hand(ambassador) <= SLOTS


async def _nothing(ambassador: Ambassador) -> bool:
    return await in_hand(ambassador) == 0
