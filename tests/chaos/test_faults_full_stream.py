"""The event stream takes nothing more for a while: replies wait for it, and that is nobody's failure."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from support.ambassador import Ambassador
from support.bus import TestBus
from support.scene import Scene, metric, scene
from support.service import Call, always
from support.stage import BYSTANDER, SERVICE, staged

WARM = 20
EVENTS = 12
NO_RETRY = {"timeout": "5s", "retry": 0, "backoffDelay": "50ms", "backoffMax": "200ms"}


@asynccontextmanager
async def full(bus: TestBus) -> AsyncIterator[None]:
    """For the time of the block, the stream may hold less than it does."""
    name = bus.names.event_stream
    before = (await bus.api(f"STREAM.INFO.{name}"))["config"]
    assert before["discard"] == "new"
    await _update(bus, name, before | {"max_bytes": 1})
    yield
    await _update(bus, name, before)


async def _update(bus: TestBus, name: str, config: object) -> None:
    answer = await bus.api(f"STREAM.UPDATE.{name}", config)
    assert "error" not in answer, answer


@asynccontextmanager
async def answered_while_full(shop: Scene, ambassador: Ambassador) -> AsyncIterator[list[str]]:
    """The service has events in hand; the stream is full, and only then they are answered. Yields them, with it still full."""
    may_answer = asyncio.Event()

    async def answer(_: Call) -> web.Response:
        await may_answer.wait()
        return web.Response(body=b"{}", content_type="application/json")

    shop.service.handler = answer
    expected = await shop.publish(EVENTS)
    await shop.service.until_calls(WARM + EVENTS)
    before = len(await shop.bus.events())
    async with full(shop.bus):
        may_answer.set()

        async def has_tried_each() -> bool:
            return await metric(ambassador.probes_url, "choregos_bus_faults_total") >= 2 * EVENTS

        await shop.bus.until(has_tried_each)
        yield expected
        assert len(await shop.bus.events()) == before, "nothing was added, and nothing made room"


@asynccontextmanager
async def warm() -> AsyncIterator[tuple[Scene, Ambassador]]:
    """Past the slow start, with no attempt to spare."""
    async with scene(delivery=NO_RETRY) as shop, shop.ambassador() as ambassador:
        shop.service.handler = always(200, b"{}", content_type="application/json")
        await shop.publish(WARM, prefix="warm")
        await shop.settled()
        yield shop, ambassador


async def test_replies_wait_until_the_bus_has_room_and_the_service_is_not_asked_again() -> None:
    async with warm() as (shop, ambassador):
        async with answered_while_full(shop, ambassador) as expected:
            pass
        await shop.settled()
        assert await shop.causes() == sorted([f"warm{number}" for number in range(WARM)] + expected)
        assert Counter(shop.called()).total() == WARM + EVENTS
        assert not await shop.bus.dead_letters()


async def test_a_bus_that_is_full_for_longer_than_a_hop_waits_buries_nothing() -> None:
    async with warm() as (shop, ambassador):
        async with answered_while_full(shop, ambassador) as expected:
            await ambassador.until(lambda: len(ambassador.hops("hand-back")) >= EVENTS)
        await shop.settled()
        assert await shop.causes() == sorted([f"warm{number}" for number in range(WARM)] + expected)
        assert not await shop.bus.dead_letters()


async def test_the_publish_api_answers_503_while_the_bus_is_full_and_stores_nothing() -> None:
    async with staged({}, emits=("Ordered",)) as stage, aiohttp.ClientSession() as session:

        async def publish() -> int:
            async with session.post(f"{stage.ambassador.publish_url}/events/Ordered", json={}) as answer:
                return answer.status

        assert await publish() == 201
        await stage.bus.until_settled(SERVICE, BYSTANDER)
        async with full(stage.bus):
            assert [await publish() for _ in range(3)] == [503, 503, 503]
        assert len(await stage.bus.events("Ordered")) == 1
        assert await publish() == 201
