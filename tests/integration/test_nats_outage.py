"""The ambassador starts before everything else, and NATS may go at any time: nothing is lost, and nothing doubled."""

import asyncio
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp import web

from support.ambassador import Ambassador
from support.nats import NatsServer
from support.producer import publish_come_what_may
from support.scene import SERVICE, metric, scene
from support.service import Call, always

json_answer = always(200, b'{"made": true}', content_type="application/json")
FLOWING = 400


async def status(method: str, url: str) -> int:
    async with aiohttp.ClientSession() as session, session.request(method, url, json={}) as answer:
        return answer.status


async def test_the_ambassador_waits_for_nats() -> None:
    async with scene() as shop:
        shop.service.handler = json_answer
        await shop.publish(3)
        shop.server.stop()
        async with shop.ambassador() as ambassador:
            assert await status("GET", f"{ambassador.probes_url}/readyz") == 200
            assert await status("POST", f"{ambassador.publish_url}/events/Placed") == 503
            shop.server.start()
            await ambassador.logged("configured")
            await shop.settled()
        assert await shop.causes() == ["e0", "e1", "e2"]


async def test_the_ambassador_waits_for_the_service() -> None:
    async with scene() as shop:
        shop.service.handler = json_answer
        await shop.service.stop()
        await shop.publish(3)
        async with shop.ambassador() as ambassador:
            await ambassador.logged("configured")
            await shop.service.start()
            await shop.settled()
        assert await shop.causes() == ["e0", "e1", "e2"]
        assert {call.headers["choregos-attempt"] for call in shop.service.calls} == {"1"}


async def test_the_ambassador_waits_for_its_configuration() -> None:
    async with scene() as shop:
        shop.service.handler = json_answer
        await shop.publish(3)
        async with Ambassador(shop.server.url, None) as ambassador:
            assert await status("GET", f"{ambassador.probes_url}/readyz") == 200
            assert await status("POST", f"{ambassador.publish_url}/events/Placed") == 503
            ambassador.configure(shop.configuration)
            await shop.settled()
        assert await shop.causes() == ["e0", "e1", "e2"]


@pytest.mark.parametrize("end", [NatsServer.stop, NatsServer.kill], ids=["SIGTERM", "SIGKILL"])
async def test_nats_restarts_while_events_flow(end: Callable[[NatsServer], None]) -> None:
    """What was on the wire to the ambassador comes back after `ack_wait`, which is short here."""
    async with scene() as shop:
        shop.service.handler = json_answer
        await shop.bus.shorten_ack_wait(SERVICE, "Placed", 1)
        expected = sorted(f"e{index}" for index in range(FLOWING))
        async with shop.ambassador() as ambassador:
            await ambassador.logged("configured")
            producer = asyncio.create_task(publish_come_what_may(shop.bus, expected))
            for restart in (1, 2):
                await shop.service.until_calls(restart * FLOWING // 4)
                end(shop.server)
                shop.server.start()
                done = len(ambassador.hops("done"))
                await ambassador.until(lambda done=done: len(ambassador.hops("done")) > done, patience=5)  # type: ignore[misc]
            await producer
            await shop.settled()
            assert await metric(ambassador.probes_url, "choregos_bus_reconnects_total") == 2
        assert await shop.causes() == expected
        assert not await shop.bus.dead_letters()


async def test_events_in_hand_survive_a_while_without_nats() -> None:
    """Their replies are stored and they are acknowledged once NATS is back; the service is not asked twice."""
    async with scene() as shop:
        answer_now = asyncio.Event()

        async def answer(call: Call) -> web.Response:
            await answer_now.wait()
            return await _made(call)

        shop.service.handler = json_answer
        async with shop.ambassador() as ambassador:
            await shop.publish(20, prefix="warm")  # past the slow start
            await shop.settled()
            shop.service.calls.clear()
            shop.service.handler = answer
            expected = await shop.publish(5)
            await shop.service.until_calls(5)
            shop.server.stop()
            await ambassador.logged("disconnected")
            answer_now.set()

            async def each_was_refused_twice() -> bool:
                return await metric(ambassador.probes_url, "choregos_bus_faults_total") >= 2 * len(expected)

            await shop.bus.until(each_was_refused_twice)
            shop.server.start()
            await shop.settled()
        assert [each for each in await shop.causes() if each.startswith("e")] == expected
        assert sorted(shop.called()) == expected


async def _made(call: Call) -> web.Response:
    answer = json_answer(call)
    assert isinstance(answer, web.Response)
    return answer


async def test_a_reply_that_outlasts_the_patience_with_nats_is_made_again() -> None:
    """An event whose hop gave up is handed back as soon as NATS is there: within its lease, and not after it."""
    async with scene() as shop:
        answer_now = asyncio.Event()

        async def answer(call: Call) -> web.Response:
            await answer_now.wait()
            return await _made(call)

        shop.service.handler = answer
        async with shop.ambassador() as ambassador:
            await shop.publish(1)
            await shop.service.until_calls(1)
            shop.server.stop()
            answer_now.set()
            hop = await ambassador.logged("hop", verdict="hand-back")
            assert hop["error"] == "NATS is not connected"
            shop.server.start()
            await shop.settled(patience=10)
        assert await shop.causes() == ["e0"]
        assert not await shop.bus.dead_letters()
