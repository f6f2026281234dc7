"""The wall clock of an ambassador jumps by an hour: no reply is stored twice, and nothing waits for the clock."""

import asyncio
from itertools import cycle
from pathlib import Path

import pytest
from aiohttp import web

from support.choreographies import event_bus
from support.scene import SERVICE, scene
from support.service import Call, always
from support.stepped_clock import SteppedClock, compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler here: no process has a clock of its own")

HOUR = 3600
ACK_WAIT = 1.5
SHORT_WINDOW = "1s"
"""Shorter than the lease: what comes back after it, the stream knows no longer by its message id."""
EVENTS = 200
json_answer = always(200, b'{"made": true}', content_type="application/json")


@pytest.mark.parametrize("jump", [-HOUR, 0, HOUR])
async def test_replies_are_stored_once_beyond_the_duplicate_window_whatever_the_clock_says(
    jump: int, tmp_path: Path
) -> None:
    bus = event_bus(stream={"duplicateWindow": SHORT_WINDOW})
    with SteppedClock() as clock:
        async with scene(bus=bus) as shop:
            shop.service.handler = json_answer
            await shop.bus.shorten_ack_wait(SERVICE, "Placed", ACK_WAIT)
            died = f"before-ack@{tmp_path / 'died'}"
            async with shop.ambassador(None, CHOREGOS_FAIL_POINT=died, **clock.environment) as ambassador:
                await shop.publish(1)
                assert await ambassador.ended() == -9
                clock.step(jump)
                await ambassador.start()
                await shop.settled()
            assert len(shop.service.calls) == 2
            assert await shop.causes() == ["e0"]


async def test_a_clock_that_jumps_to_and_fro_stops_nothing_and_loses_nothing() -> None:
    """Each event fails once: its backoff must not be an hour."""
    jumps = cycle((HOUR, -HOUR, 0))

    async def answer(call: Call) -> web.Response:
        if len(shop.service.calls) % 20 == 0:
            clock.step(next(jumps))
        if call.headers["choregos-attempt"] == "1":
            return web.Response(status=409)
        await asyncio.sleep(0.005)
        return web.Response(body=b"{}", content_type="application/json")

    with SteppedClock() as clock:
        async with scene() as shop:
            shop.service.handler = answer
            async with shop.ambassador(None, **clock.environment) as ambassador:
                expected = await shop.publish(EVENTS)
                await shop.settled(patience=20)
                hours = {line["time"][:13] for line in ambassador.lines}
                assert len(hours) >= 3, "the ambassador goes by the stepped clock"
            assert await shop.causes() == sorted(expected)
            assert not await shop.bus.dead_letters()
