"""The end of an ambassador: what runs is finished, what arrives goes to another, and nothing waits for a lease."""

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from nats.errors import NoRespondersError

from support.ambassador import Ambassador
from support.scene import SERVICE, Scene, metric, scene
from support.service import Call, always
from support.waiting import wait_for

json_answer = always(200, b'{"made": true}', content_type="application/json")
AT_ONCE = 3.0
"""Seconds in which a process ends that has nothing to wait for."""


class Doors:
    """A service that answers one event after the other as its doors are opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, _: Call) -> web.Response:
        await self.open.wait()
        return web.Response(body=b"{}", content_type="application/json")


@asynccontextmanager
async def under_load(shop: Scene, doors: Doors, held: int = 4) -> AsyncIterator[Ambassador]:
    """An ambassador that is past its slow start, with so many events at the service, and pulls outstanding."""
    shop.service.handler = json_answer
    async with shop.ambassador() as ambassador:
        await ambassador.logged("configured")
        await shop.publish(20, prefix="warm")
        await shop.settled()
        shop.service.calls.clear()
        shop.service.handler = doors
        await shop.publish(held, prefix="held")
        await shop.service.until_calls(held)
        yield ambassador


async def post(url: str, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with aiohttp.ClientSession() as session, session.post(url, json={}, headers=named) as answer:
        return answer.status


async def status(shop: Scene) -> dict[str, Any]:
    """What the ambassador says of itself over NATS, once it listens: its reactions begin at the same time."""
    subject, found = f"{shop.bus.names.root}.status.{SERVICE}", dict[str, Any]()

    async def answered() -> bool:
        with suppress(NoRespondersError):
            found.update(json.loads((await shop.bus.connection.request(subject, timeout=5)).data))
        return bool(found)

    await wait_for(answered, "the ambassador answers over NATS")
    return found


async def test_sigterm_finishes_what_runs_and_hands_back_what_arrives() -> None:
    """What arrives on pulls of before is with a second ambassador in no time, not after the 30 s of `ack_wait`."""
    async with scene() as shop:
        doors = Doors()
        async with under_load(shop, doors) as leaving:
            leaving.signal(signal.SIGTERM)
            await leaving.logged("draining")
            await shop.publish(8, prefix="late")
            shop.service.handler = json_answer
            async with shop.ambassador():
                await shop.service.until_calls(4 + 8)
                assert {call.headers["ce-id"] for call in shop.service.calls[:4]} == {f"held{n}" for n in range(4)}
                assert await post(f"{leaving.publish_url}/events/Placed") == 503, (
                    "up until the end (Placed is not ours)"
                )
                doors.open.set()
                assert await leaving.ended() == 0
                await shop.settled(patience=5)
        assert max(Counter(shop.called()).values()) == 1
        assert max(Counter(await shop.causes()).values()) == 1
        assert len(await shop.causes()) == 20 + 4 + 8
        assert any(int(call.headers["choregos-attempt"]) > 1 for call in shop.service.calls[4:]), "handed back before"


async def test_post_drain_answers_when_nothing_is_in_hand_and_the_publish_api_stays() -> None:
    async with scene() as shop:
        doors = Doors()
        async with under_load(shop, doors) as ambassador:
            drain = asyncio.create_task(post(f"{ambassador.publish_url}/drain", choregos_drain="1"))
            await ambassador.logged("draining")
            again = asyncio.create_task(post(f"{ambassador.publish_url}/drain", choregos_drain="1"))
            assert await post(f"{ambassador.publish_url}/events/Placed") == 503
            assert not drain.done()
            assert (await status(shop))["draining"] is True
            assert await metric(ambassador.probes_url, "choregos_draining") == 1
            doors.open.set()
            assert (await drain, await again) == (200, 200)
            await shop.settled(patience=5)
            await shop.publish(1, prefix="late")
            assert await post(f"{ambassador.publish_url}/events/Placed") == 503
            ambassador.signal(signal.SIGTERM)
            started = time.monotonic()
            assert await ambassador.ended() == 0
            assert time.monotonic() - started < AT_ONCE
        assert "late0" not in shop.called()
        assert len(await shop.causes()) == 20 + 4


async def test_a_request_that_the_service_was_talked_into_drains_nothing() -> None:
    """A server-side request forgery reaches loopback, and sets no header."""
    async with scene() as shop:
        shop.service.handler = json_answer
        async with shop.ambassador() as ambassador:
            await ambassador.logged("configured")
            assert await post(f"{ambassador.publish_url}/drain") == 403
            assert await post(f"{ambassador.publish_url}/drain", choregos_drain="yes") == 403
            assert (await status(shop))["draining"] is False
            assert await metric(ambassador.probes_url, "choregos_draining") == 0
            await shop.publish(1)
            await shop.settled()
        assert await shop.causes() == ["e0"]


async def test_a_second_signal_ends_at_once() -> None:
    async with scene() as shop, under_load(shop, Doors()) as ambassador:
        ambassador.signal(signal.SIGTERM)
        await ambassador.logged("draining")
        started = time.monotonic()
        ambassador.signal(signal.SIGTERM)
        assert await ambassador.ended() == 128 + signal.SIGTERM
        assert time.monotonic() - started < 1


async def test_sigterm_before_nats_or_a_configuration_was_there() -> None:
    async with scene() as shop:
        shop.server.stop()
        for waiting in (Ambassador(shop.server.url, None), shop.ambassador()):
            async with waiting as ambassador:
                ambassador.signal(signal.SIGINT)
                started = time.monotonic()
                assert await ambassador.ended() == 0
                assert time.monotonic() - started < AT_ONCE
                assert not any("Traceback" in str(line) for line in ambassador.lines)


async def test_sigterm_while_nats_is_away_ends_within_the_lease() -> None:
    async with scene() as shop:
        doors = Doors()
        async with under_load(shop, doors, held=1) as ambassador:
            shop.server.stop()
            await ambassador.logged("disconnected")
            ambassador.signal(signal.SIGTERM)
            await ambassador.logged("draining")
            shop.server.start()
            doors.open.set()
            assert await ambassador.ended() == 0
            await shop.settled(patience=5)
        assert len(await shop.causes()) == 20 + 1


async def test_two_ambassadors_of_one_service_share_its_events() -> None:
    events = 300
    async with scene() as shop:
        shop.service.handler = json_answer
        async with shop.ambassador() as one, shop.ambassador() as other:
            for each in (one, other):
                await each.logged("breaker", state="closed")
            await shop.publish(events)
            await shop.settled()
            hops = [len(each.hops("done")) for each in (one, other)]
        assert sum(hops) == events
        assert min(hops) > events / 10, hops
        assert max(Counter(shop.called()).values()) == 1
        assert max(Counter(await shop.causes()).values()) == 1


async def test_a_port_that_is_taken_is_one_clear_sentence() -> None:
    async with scene() as shop:
        ambassador = shop.ambassador(CHOREGOS_PUBLISH_PORT=str(shop.service.port))
        with pytest.raises(AssertionError, match=f"error: cannot listen on 127.0.0.1:{shop.service.port}"):
            await ambassador.__aenter__()
        assert await ambassador.ended() == 1
        assert b"Traceback" not in ambassador.output
