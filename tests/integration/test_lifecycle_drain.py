"""A drain under load: it takes as long as what is in hand, and not longer than can be said beforehand.

No new event is taken. Pulls that are outstanding end within EXPIRES; a request within the reaction's `timeout`; its
replies are stored within the outbox's PATIENCE or handed back; and settlements are confirmed within CLOSE_WITHIN.
"""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from choregos_ambassador import leases, outbox, pull
from support.ambassador import Ambassador
from support.scene import SERVICE, Scene, scene
from support.service import Call, always

GRACE = 30.0
"""Seconds that Kubernetes gives a pod to end, unless it says otherwise."""
STUMBLE = 2.0
"""Seconds that this machine may take for what takes no time."""
BACKLOG = 3000
WARM = [f"warm{number}" for number in range(20)]
json_answer = always(200, b"{}", content_type="application/json")


def bound(timeout: float, *, away: bool = False) -> float:
    """The longest that a drain takes, in seconds, with NATS there or away."""
    return max(pull.EXPIRES, timeout + (outbox.PATIENCE if away else 0.0)) + leases.CLOSE_WITHIN + STUMBLE


async def drained(ambassador: Ambassador, within: float) -> float:
    """SIGTERM it, and see it end well and in time; returns the seconds that it took."""
    ambassador.signal(signal.SIGTERM)
    started = time.monotonic()
    assert await ambassador.ended() == 0, ambassador.output.decode()
    taken = time.monotonic() - started
    assert taken < within, ambassador.output.decode()
    assert not [line for line in ambassador.lines if line["message"] == "bug"]
    return taken


@asynccontextmanager
async def warm(shop: Scene) -> AsyncIterator[Ambassador]:
    """An ambassador that is past its slow start."""
    shop.service.handler = json_answer
    async with shop.ambassador() as ambassador:
        await shop.publish(len(WARM), prefix="warm")
        await shop.settled()
        shop.service.calls.clear()
        yield ambassador


async def backlog(shop: Scene, number: int) -> list[str]:
    """Store so many events, quickly."""
    ids = [f"e{index:04}" for index in range(number)]
    for first in range(0, number, 200):
        await asyncio.gather(*(shop.bus.publish("Placed", b"{}", each) for each in ids[first : first + 200]))
    return ids


async def test_with_thousands_of_events_to_come_one_after_the_other_drains_and_none_is_lost_or_doubled() -> None:
    """Two ambassadors are drained in the middle of a backlog, while others are at work."""

    async def slowly(_: Call) -> web.Response:
        await asyncio.sleep(0.005)
        return web.Response(body=b"{}", content_type="application/json")

    async with scene() as shop, warm(shop) as first:
        shop.service.handler = slowly
        ids = await backlog(shop, BACKLOG)
        async with shop.ambassador() as second, shop.ambassador() as last:
            for number, leaving in enumerate((first, second), start=1):
                await shop.service.until_calls(number * BACKLOG // 5)
                assert len(shop.service.calls) < BACKLOG, "there is more to come"
                assert await drained(leaving, bound(0.0)) < GRACE / 2
                assert leaving.hops("done")
            await shop.settled()
            assert last.hops("retry") == []
        assert Counter(shop.called()) == dict.fromkeys(ids, 1)
        assert await replies(shop) == Counter([*ids, *WARM])
        assert not await shop.bus.dead_letters()


async def replies(shop: Scene) -> Counter[str]:
    """How many replies there are for each event; read in one go, since there are thousands."""
    found: Counter[str] = Counter()
    stream = shop.bus.connection.jetstream()
    subject = f"{shop.bus.names.root}.ev.Done.*.*"
    subscription = await stream.subscribe(subject, ordered_consumer=True)
    last = (await shop.bus.api(f"STREAM.INFO.{shop.bus.names.event_stream}", {"subjects_filter": subject}))["state"]
    for _ in range(sum(last["subjects"].values())):
        headers = (await subscription.next_msg(5)).headers or {}
        found[headers["ce-causationid"]] += 1
    await subscription.unsubscribe()
    return found


async def test_a_request_that_takes_long_is_finished() -> None:
    async with scene() as shop, warm(shop) as ambassador:
        seconds = 3.0

        async def take_long(_: Call) -> web.Response:
            await asyncio.sleep(seconds)
            return web.Response(body=b"{}", content_type="application/json")

        shop.service.handler = take_long
        ids = await shop.publish(8)
        await shop.service.until_calls(8)
        assert await drained(ambassador, bound(seconds)) > seconds - STUMBLE
        await shop.settled(patience=5)
        assert await shop.causes() == sorted([*ids, *WARM])
        assert sorted(shop.called()) == ids


async def test_a_request_that_never_ends_holds_the_drain_until_its_timeout_and_goes_to_another() -> None:
    async with scene(delivery={"timeout": "2s", "retry": 2, "backoffDelay": "50ms", "backoffMax": "200ms"}) as shop:
        async with warm(shop) as ambassador:

            async def hang(_: Call) -> web.Response:
                await asyncio.Event().wait()
                raise AssertionError

            shop.service.handler = hang
            ids = await shop.publish(3)
            await shop.service.until_calls(3)
            await drained(ambassador, bound(2.0))
        shop.service.handler = json_answer
        shop.service.calls.clear()
        async with shop.ambassador():
            await shop.settled(patience=10)
        assert sorted(shop.called()) == ids
        assert all(int(call.headers["choregos-attempt"]) > 1 for call in shop.service.calls)
        assert await shop.causes() == sorted([*ids, *WARM])


@pytest.mark.parametrize("back", [True, False], ids=["NATS comes back", "NATS stays away"])
async def test_without_nats_a_drain_ends_in_time_and_what_was_done_is_not_lost(back: bool) -> None:
    """Replies that cannot be stored are held for PATIENCE; then the event is left to be delivered again."""
    doors = asyncio.Event()

    async def behind_doors(_: Call) -> web.Response:
        await doors.wait()
        return web.Response(body=b"{}", content_type="application/json")

    async with scene() as shop:
        await shop.bus.shorten_ack_wait(SERVICE, "Placed", 5)
        async with warm(shop) as ambassador:
            shop.service.handler = behind_doors
            ids = await shop.publish(5)
            await shop.service.until_calls(5)
            await asyncio.to_thread(shop.server.stop)
            await ambassador.logged("disconnected")
            ambassador.signal(signal.SIGTERM)
            await ambassador.logged("draining")
            doors.set()
            if back:
                await asyncio.to_thread(shop.server.start)
            started = time.monotonic()
            assert await ambassador.ended() == 0
            assert time.monotonic() - started < bound(0.0, away=True) < GRACE
        if not back:
            await asyncio.to_thread(shop.server.start)
            async with shop.ambassador():
                await shop.settled()
        await shop.settled()
        assert await shop.causes() == sorted([*ids, *WARM])
        assert set(Counter(shop.called()).values()) == {1 if back else 2}
        assert not await shop.bus.dead_letters()
