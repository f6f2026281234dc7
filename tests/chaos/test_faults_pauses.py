"""Processes that stand still and go on: whoever waits for them waits, and nothing is lost, doubled or buried."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from support.scene import scene
from support.service import Call
from support.service_process import ServiceProcess
from support.stage import staged

PAUSE = 3.0
NATS_PAUSE = 11.0
"""Seconds: longer than a hop's patience with the bus."""
FAST = {"timeout": "1s", "retry": 2, "backoffDelay": "50ms", "backoffMax": "200ms", "concurrency": 8}


@asynccontextmanager
async def standing_still(pid: int) -> AsyncIterator[None]:
    """Stop a process for the time of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def answer_in_time(_: Call) -> web.Response:
    await asyncio.sleep(0.02)
    return web.Response(body=b"{}", content_type="application/json")


async def test_a_pause_shorter_than_the_lease_costs_no_second_delivery() -> None:
    async with scene() as shop:
        shop.service.handler = answer_in_time
        async with shop.ambassador() as ambassador, shop.ambassador():
            expected = await shop.publish(200)
            await shop.service.until_calls(40)
            async with standing_still(ambassador.pid):
                await asyncio.sleep(PAUSE)  # the fault itself
            await shop.settled()
        assert Counter(shop.called()) == Counter(expected)
        assert await shop.causes() == sorted(expected)


async def test_a_nats_server_that_stands_still_loses_and_doubles_nothing() -> None:
    async with scene() as shop:
        shop.service.handler = answer_in_time
        async with shop.ambassador():
            expected = await shop.publish(200)
            await shop.service.until_calls(40)
            async with standing_still(shop.server.pid):
                await asyncio.sleep(NATS_PAUSE)  # the fault itself
            await shop.settled(patience=45)
        assert await shop.causes() == sorted(expected)
        assert not await shop.bus.dead_letters()


async def test_a_service_that_stands_still_is_an_outage_and_costs_no_event() -> None:
    """Its port accepts all the while, as the kernel does that for it."""
    reaction = {"event": "Placed", "emits": ["Done"], "onSuccess": "Done"}
    async with (
        scene(reaction, delivery=FAST) as shop,
        ServiceProcess() as service,
        shop.ambassador(shop.configured(reaction | {"port": service.port}, delivery=FAST)) as ambassador,
    ):
        before = await shop.publish(40, prefix="before")
        await shop.settled()
        async with standing_still(service.pid):
            expected = await shop.publish(60)
            await ambassador.logged("breaker", state="half-open")
            await asyncio.sleep(PAUSE)  # the fault itself
        await shop.settled()
        assert await shop.causes() == sorted(before + expected)
        assert not await shop.bus.dead_letters()


async def test_who_has_hung_up_on_a_paused_ambassador_has_published_nothing() -> None:
    """He asks again elsewhere; stored when the ambassador goes on, it might be beyond the duplicate window of that."""
    impatient = aiohttp.ClientTimeout(total=0.5)
    async with staged({}, emits=("Ordered",)) as stage, aiohttp.ClientSession() as session:
        url = f"{stage.ambassador.publish_url}/events/Ordered"
        async with standing_still(stage.ambassador.pid):
            for _ in range(5):
                with pytest.raises(TimeoutError):
                    await session.post(url, json={"hung": "up"}, timeout=impatient)
        async with session.post(url, json={"waits": True}) as answer:
            assert answer.status == 201
        assert [each.data for each in await stage.bus.events("Ordered")] == [b'{"waits": true}']
