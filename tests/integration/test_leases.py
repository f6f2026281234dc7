"""The lease in real time: as long as its holder lives an event is his, and who was asleep has lost it."""

import asyncio
import signal
from collections import Counter

import pytest
from aiohttp import web

from support.scene import scene
from support.service import Call
from support.tcp_proxy import TcpProxy

LONGER = 34.0
"""Seconds, more than `ack_wait`."""
PATIENCE = 60.0
SLOW = {"timeout": "2m", "retry": 0, "backoffDelay": "50ms"}


def made() -> web.Response:
    return web.Response(body=b"{}", content_type="application/json")


async def a_slow_answer_is_waited_for() -> None:
    async def answer(_: Call) -> web.Response:
        await asyncio.sleep(LONGER)
        return made()

    async with scene(delivery=SLOW) as shop:
        shop.service.handler = answer
        async with shop.ambassador(), shop.ambassador():
            await shop.publish(1)
            await shop.settled(patience=PATIENCE)
        assert shop.called() == ["e0"]
        assert await shop.causes() == ["e0"]


async def a_holder_that_slept_neither_hands_back_nor_buries(retry: int) -> None:
    """Its service answers 500 meanwhile: from who holds the lease a NAK, or without retries a dead letter."""
    may_answer = [asyncio.Event(), asyncio.Event()]

    async def answer(_: Call) -> web.Response:
        number = len(shop.service.calls)
        await may_answer[number - 1].wait()
        return web.Response(status=500) if number == 1 else made()

    async with scene(delivery=SLOW | {"retry": retry}) as shop:
        shop.service.handler = answer
        async with shop.ambassador() as sleeper:
            await shop.publish(1)
            await shop.service.until_calls(1)
            sleeper.signal(signal.SIGSTOP)
            may_answer[0].set()
            async with shop.ambassador():
                await shop.service.until_calls(2, PATIENCE)
                sleeper.signal(signal.SIGCONT)
                await sleeper.logged("hop", verdict="lease-lost")
                may_answer[1].set()
                await shop.settled()
        assert shop.called() == ["e0", "e0"]
        assert await shop.causes() == ["e0"]
        assert not await shop.bus.dead_letters()


async def a_holder_that_was_cut_off_neither_hands_back_nor_buries() -> None:
    """What it sent into the dead connection renewed nothing, though nobody told it so."""
    may_answer = [asyncio.Event(), asyncio.Event()]

    async def answer(_: Call) -> web.Response:
        number = len(shop.service.calls)
        await may_answer[number - 1].wait()
        return web.Response(status=500) if number == 1 else made()

    async with scene(delivery=SLOW | {"retry": 0}) as shop:
        shop.service.handler = answer
        async with (
            TcpProxy("127.0.0.1", shop.server.port) as wire,
            shop.ambassador(CHOREGOS_NATS_URL=f"nats://127.0.0.1:{wire.port}") as hermit,
        ):
            await shop.publish(1)
            await shop.service.until_calls(1)
            wire.black_hole()
            async with shop.ambassador():
                await shop.service.until_calls(2, PATIENCE)
                may_answer[0].set()
                await hermit.logged("hop", verdict="lease-lost")
                wire.heal()
                await hermit.until(lambda: sum(line["message"] == "connected" for line in hermit.lines) == 2)
                may_answer[1].set()
                await shop.settled()
        assert shop.called() == ["e0", "e0"]
        assert await shop.causes() == ["e0"]
        assert not await shop.bus.dead_letters()


async def what_waited_in_the_socket_is_not_touched() -> None:
    """Events that were delivered to a stopped process are another's when it wakes: it does not even ask the service."""

    async def answer(_: Call) -> web.Response:
        return made()

    async with scene(delivery=SLOW) as shop:
        shop.service.handler = answer
        async with shop.ambassador() as sleeper:
            await shop.publish(10, prefix="warm")
            await shop.settled()
            sleeper.signal(signal.SIGSTOP)
            await shop.publish(3)
            async with shop.ambassador():
                await shop.service.until_calls(10 + 3, PATIENCE)
                await shop.settled()
                before = len(sleeper.lines)
                sleeper.signal(signal.SIGCONT)
                sleeper.signal(signal.SIGTERM)
                assert await sleeper.ended() == 0
                assert not [line for line in sleeper.lines[before:] if line["message"] == "hop"]
        assert max(Counter(shop.called()).values()) == 1
        assert len(await shop.causes()) == 10 + 3


@pytest.mark.timeout(120)
async def test_leases_in_real_time() -> None:
    """Stories that take half a minute each, told at once."""
    async with asyncio.TaskGroup() as stories:
        stories.create_task(a_slow_answer_is_waited_for())
        stories.create_task(a_holder_that_slept_neither_hands_back_nor_buries(retry=0))
        stories.create_task(a_holder_that_slept_neither_hands_back_nor_buries(retry=5))
        stories.create_task(a_holder_that_was_cut_off_neither_hands_back_nor_buries())
        stories.create_task(what_waited_in_the_socket_is_not_touched())
