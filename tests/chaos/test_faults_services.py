"""Services that fall over, again and again, or take their time: every event is done, and those in hand are few."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from support.ambassador import Ambassador
from support.scene import SERVICE, Crowd, Scene, scene
from support.service import Call
from support.service_process import DIE, ServiceProcess

REACTION: dict[str, Any] = {"event": "Placed", "emits": ["Done"], "onSuccess": "Done"}
PATIENT = {"timeout": "5s", "retry": 20, "backoffDelay": "20ms", "backoffMax": "100ms", "concurrency": 8}
EVENTS = 300
LIVES = 3
LIFE = 0.1
"""Seconds that a service lives once events flow."""


@asynccontextmanager
async def before(service: ServiceProcess, **delivery: Any) -> AsyncIterator[tuple[Scene, Ambassador]]:
    """An ambassador before a process."""
    async with scene(REACTION, delivery=PATIENT | delivery) as shop:
        configuration = shop.configured(REACTION | {"port": service.port}, delivery=PATIENT | delivery)
        async with shop.ambassador(configuration) as ambassador:
            yield shop, ambassador


async def test_a_service_that_is_killed_over_and_over_costs_no_event() -> None:
    async with ServiceProcess() as service, before(service) as (shop, ambassador):
        publishing = asyncio.create_task(shop.publish(EVENTS))
        for _ in range(LIVES):
            done = len(ambassador.hops("done"))
            await ambassador.until(lambda done=done: len(ambassador.hops("done")) > done)  # type: ignore[misc]
            await asyncio.sleep(LIFE)
            service.kill()
            await service.ended()
            await shop.publish(20, prefix=f"down{done}-")
            await service.start()
        expected = await publishing
        await shop.settled()
        assert set(expected) <= set(await shop.causes())
        assert max(Counter(await shop.causes()).values()) == 1
        assert not await shop.bus.dead_letters()


async def revive(service: ServiceProcess) -> None:
    while True:
        assert await service.ended() == 1
        await service.start()


async def test_a_service_that_answers_and_dies_has_done_what_it_answered() -> None:
    """It gets one event done in each of its lives; what it had in hand besides is asked again."""
    async with ServiceProcess(DIE) as service, before(service, concurrency=2) as (shop, _):
        expected = await shop.publish(LIVES)
        reviving = asyncio.create_task(revive(service))
        await shop.settled()
        reviving.cancel()
        await asyncio.gather(reviving, return_exceptions=True)
        assert await shop.causes() == sorted(expected)
        assert not await shop.bus.dead_letters()


async def test_a_slow_consumer_holds_no_more_than_it_has_at_once() -> None:
    """The rest stays on the bus, for other replicas; nothing is given out and left to grow old."""
    crowd = Crowd()

    async def answer(_: Call) -> web.Response:
        with crowd:
            await asyncio.sleep(0.1)
        return web.Response(body=b"{}", content_type="application/json")

    async with scene(REACTION, delivery=PATIENT) as shop:
        shop.service.handler = answer
        expected = await shop.publish(100)
        async with shop.ambassador() as ambassador:
            await shop.service.until_calls(20)
            info = await shop.bus.durable(SERVICE, "Placed")
            assert info["num_ack_pending"] <= 2 * PATIENT["concurrency"]  # type: ignore[operator]
            await shop.settled()
            assert not ambassador.hops("hand-back")
        assert Counter(shop.called()) == Counter(expected)
        assert max(crowd.seen) <= PATIENT["concurrency"]  # type: ignore[operator]


@pytest.mark.parametrize("reload", [{"suspend": True}, {"delivery": {"concurrency": 1}}])
async def test_a_reload_in_mid_flight_neither_loses_nor_doubles_a_hop(reload: dict[str, Any]) -> None:
    async def answer(_: Call) -> web.Response:
        await asyncio.sleep(0.02)
        return web.Response(body=b"{}", content_type="application/json")

    async with scene(REACTION, delivery=PATIENT) as shop:
        shop.service.handler = answer
        async with shop.ambassador() as ambassador:
            expected = await shop.publish(EVENTS)
            for generation in (2, 4, 6):
                await shop.service.until_calls(generation * 20)
                ambassador.configure(shop.configured(REACTION | reload, delivery=PATIENT, generation=generation))
                await ambassador.logged("configured", generation=generation)
                ambassador.configure(shop.configured(REACTION, delivery=PATIENT, generation=generation + 1))
                await ambassador.logged("configured", generation=generation + 1)
            await shop.settled()
        assert Counter(shop.called()) == Counter(expected)
        assert await shop.causes() == sorted(expected)
