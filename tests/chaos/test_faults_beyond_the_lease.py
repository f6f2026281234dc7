"""Faults that outlast the lease, and the duplicate window with it, in real time: stories of half a minute, told at once."""

import asyncio
import signal
from pathlib import Path

import pytest
from aiohttp import web

from support.ambassador import Ambassador
from support.choreographies import event_bus
from support.scene import scene
from support.service import Call
from support.tcp_proxy import TcpProxy

BEYOND_LEASE = 34.0
"""Seconds, more than `ack_wait`."""
LONGER_THAN_AN_ANSWER = 6.0
"""Seconds, each way; an ambassador waits 5 s for JetStream's answer, and that is how far apart two copies arrive."""
PATIENCE = 60.0
WINDOW = 3
BUS = event_bus(stream={"duplicateWindow": f"{WINDOW}s"})
"""What is stored again after the lease is not known by its message id any more."""
DELIVERY = {"timeout": "2m", "retry": 0, "backoffDelay": "50ms"}


def made(_: Call | None = None) -> web.Response:
    return web.Response(body=b"{}", content_type="application/json")


async def who_stopped_with_replies_in_hand_stores_none_that_another_has_stored(directory: Path) -> None:
    async with scene(bus=BUS, delivery=DELIVERY) as shop:
        shop.service.handler = made
        mark = directory / "stopped"
        async with shop.ambassador(None, CHOREGOS_FAIL_POINT=f"before-replies:stop@{mark}") as sleeper:
            await shop.publish(1)
            await shop.service.until_calls(1)
            async with shop.ambassador():
                await shop.service.until_calls(2, PATIENCE)
                await shop.settled()
                await asyncio.sleep(WINDOW + 1)  # the duplicate window
                sleeper.signal(signal.SIGCONT)
                await sleeper.logged("hop", sequence=1)
        assert await shop.causes() == ["e0"]
        assert not await shop.bus.dead_letters()


async def what_a_network_held_back_is_not_stored_after_another_has_done_the_event() -> None:
    """A reply and a dead letter, sent in good time into a black hole that gives them free when they are no longer true."""

    async def answer(call: Call) -> web.Response:
        if len(shop.service.calls) > 2:
            return made()
        await all_here.wait()
        proxy.black_hole()
        return made() if call.headers["ce-id"] == "e0" else web.Response(status=422)

    all_here = asyncio.Barrier(2)
    async with scene(bus=BUS, delivery=DELIVERY) as shop, TcpProxy("127.0.0.1", shop.server.port) as proxy:
        shop.service.handler = made
        async with Ambassador(f"nats://127.0.0.1:{proxy.port}", shop.configuration):
            await shop.publish(20, prefix="warm")
            await shop.settled()
            shop.service.calls.clear()
            shop.service.handler = answer
            await shop.publish(2)
            await shop.service.until_calls(2)
            async with shop.ambassador():
                await shop.service.until_calls(4, PATIENCE)
                await shop.settled()
                await asyncio.sleep(WINDOW + 1)  # the duplicate window
                proxy.heal()
                after = await shop.publish(20, prefix="after")
                await shop.settled()
        assert [each for each in await shop.causes() if each.startswith("e")] == ["e0", "e1"]
        assert set(after) <= set(await shop.causes())
        assert not await shop.bus.dead_letters()


async def a_reply_that_had_no_answer_is_looked_for_before_it_is_sent_again() -> None:
    """Its first copy arrives so long before the second that the stream would take that for something new."""
    async with scene(bus=BUS, delivery=DELIVERY) as shop, TcpProxy("127.0.0.1", shop.server.port) as proxy:
        may_answer = asyncio.Event()

        async def answer(call: Call) -> web.Response:
            await may_answer.wait()
            return made()

        shop.service.handler = answer
        async with Ambassador(f"nats://127.0.0.1:{proxy.port}", shop.configuration) as ambassador:
            await shop.publish(1)
            await shop.service.until_calls(1)
            proxy.delay(LONGER_THAN_AN_ANSWER)
            may_answer.set()
            await ambassador.logged("hop", verdict="hand-back")
            proxy.heal()
            await shop.settled(patience=PATIENCE)
        assert await shop.causes() == ["e0"]


async def who_is_not_told_that_nats_has_left_notices() -> None:
    async with scene(delivery=DELIVERY) as shop, TcpProxy("127.0.0.1", shop.server.port) as proxy:
        shop.service.handler = made
        async with Ambassador(f"nats://127.0.0.1:{proxy.port}", shop.configuration) as untold:
            before = await shop.publish(20, prefix="before")
            await shop.settled()
            proxy.half_open(told="target")
            expected = await shop.publish(20)
            await untold.logged("disconnected")
            await shop.settled(patience=PATIENCE)
        assert await shop.causes() == sorted(before + expected)


@pytest.mark.timeout(150)
async def test_beyond_the_lease(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as stories:
        stories.create_task(who_stopped_with_replies_in_hand_stores_none_that_another_has_stored(tmp_path))
        stories.create_task(what_a_network_held_back_is_not_stored_after_another_has_done_the_event())
        stories.create_task(a_reply_that_had_no_answer_is_looked_for_before_it_is_sent_again())
        stories.create_task(who_is_not_told_that_nats_has_left_notices())
