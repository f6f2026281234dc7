"""A service that is away, however long and however it shows it: no dead letter, everything delivered, no stampede."""

import asyncio
import signal
from functools import partial

import pytest
from aiohttp import web

from support.ambassador import Ambassador
from support.scene import Crowd, Scene, scene
from support.service import Call, always

CONCURRENCY = 8
IMPATIENT = {"timeout": "2s", "retry": 1, "backoffDelay": "50ms", "backoffMax": "200ms", "concurrency": CONCURRENCY}
"""After less than half a second of failed attempts, an event is a dead letter."""
LONG = 5.0
"""Seconds, many times the whole retry budget of IMPATIENT."""


def attempts(shop: Scene) -> int:
    """The most deliveries that any event needed, as the service was told."""
    return max(int(call.headers["choregos-attempt"]) for call in shop.service.calls)


async def test_an_outage_much_longer_than_the_retry_budget_costs_nothing() -> None:
    crowd = Crowd()

    async def answer(_: Call) -> web.Response:
        with crowd:
            await asyncio.sleep(0.01)
        return web.Response(status=204)

    async with scene({"event": "Placed"}, delivery=IMPATIENT) as shop:
        shop.service.handler = answer
        async with shop.ambassador() as ambassador:
            await shop.publish(40, prefix="before")
            await shop.settled()
            crowd.seen.clear()
            shop.service.calls.clear()
            await shop.service.stop()
            expected = await shop.publish(60)
            await ambassador.logged("breaker", state="open")
            await asyncio.sleep(LONG)  # the outage itself
            tried = len(ambassador.hops("hand-back"))
            assert tried <= 2 * CONCURRENCY, "an open breaker pulls nothing"
            await shop.service.start()
            await shop.settled()
        assert sorted(shop.called()) == sorted(expected)
        assert attempts(shop) <= 2
        assert not await shop.bus.dead_letters()
        assert crowd.seen[0] == 1
        assert all(at_once <= before + 1 for before, at_once in enumerate(crowd.seen)), "one more for each good answer"
        assert CONCURRENCY // 2 < max(crowd.seen) <= CONCURRENCY


async def test_a_service_that_answers_503_for_long_costs_nothing() -> None:
    """Closed, half open and closed again: while the breaker is not closed, no attempt is the last one."""
    events = 12
    crowd = Crowd()
    probes: list[str] = []

    async def fail(call: Call) -> web.Response:
        with crowd:
            probes.append(call.headers["ce-id"])
        return web.Response(status=503)

    async with scene({"event": "Placed"}, delivery=IMPATIENT | {"retry": 3, "backoffDelay": "200ms"}) as shop:
        shop.service.handler = fail
        async with shop.ambassador() as ambassador:
            expected = await shop.publish(events)
            await ambassador.until(lambda: half_opened(ambassador.lines) >= 2)
            await shop.service.until_calls(7)
            shop.service.handler = always(204)
            await shop.settled()
        assert not await shop.bus.dead_letters()
        assert set(shop.called()) == set(expected)
        assert len(probes) <= 5 + half_opened(ambassador.lines), "half open, one event at a time"
        assert max(crowd.seen) == 1


def half_opened(lines: list[dict[str, object]]) -> int:
    return sum(line["message"] == "breaker" and line.get("state") == "half-open" for line in lines)


async def test_six_restarts_while_the_service_is_down_cost_nothing() -> None:
    async with scene({"event": "Placed"}, delivery=IMPATIENT | {"retry": 0}) as shop:
        await shop.service.stop()
        expected = await shop.publish(10)
        async with shop.ambassador() as ambassador:
            for number in range(1, 7):
                await ambassador.until(partial(has_configured, ambassador, number))
                end, code = ((signal.SIGTERM, 0), (signal.SIGKILL, -9))[number % 2]
                ambassador.signal(end)
                assert await ambassador.ended() == code
                await ambassador.start()
            await shop.service.start()
            await shop.settled()
        assert sorted(shop.called()) == expected
        assert not await shop.bus.dead_letters()


async def test_restarts_while_the_service_answers_503_cost_nothing() -> None:
    """Events that have used up their attempts already meet an ambassador that knows nothing of the outage."""
    quick = {"retry": 2, "backoffDelay": "100ms", "backoffMax": "200ms"}
    async with scene({"event": "Placed"}, delivery=quick) as shop:
        shop.service.handler = always(503)
        # Those in the hands of one that is killed are away until their lease ends: each must find others, or it sees no outage.
        await shop.publish(150)
        async with shop.ambassador() as ambassador:
            for number in range(1, 7):
                await ambassador.until(partial(has_opened, ambassador, number))
                ambassador.kill()
                await ambassador.ended()
                await ambassador.start()
            assert not await shop.bus.dead_letters()
            shop.service.handler = always(204)
            await shop.settled()
        assert not await shop.bus.dead_letters()


def has_opened(ambassador: Ambassador, times: int) -> bool:
    return len([line for line in ambassador.lines if line["message"] == "breaker" and line["state"] == "open"]) >= times


def has_configured(ambassador: Ambassador, times: int) -> bool:
    return len([line for line in ambassador.lines if line["message"] == "configured"]) == times


@pytest.mark.parametrize("bucket", [True, False], ids=["noted", "not noted"])
async def test_hand_backs_without_end_are_no_crash_loop(bucket: bool) -> None:
    """Readiness is well while the reaction's own port refuses: the event comes back, again and again, in good order.

    Where the notes' bucket is gone, the process still knows what it has handed back itself.
    """
    async with (
        scene() as elsewhere,
        scene(
            {"event": "Placed", "port": elsewhere.service.port},
            delivery=IMPATIENT | {"retry": 0, "backoffDelay": "5ms"},
        ) as shop,
    ):
        await elsewhere.service.stop()
        if not bucket:
            await shop.bus.api(f"STREAM.DELETE.KV_{shop.bus.names.note_bucket}")
        async with shop.ambassador() as ambassador:
            await shop.publish(1)
            # 3 x (retry + 1) + 10 deliveries is where a crash loop may begin
            await ambassador.until(lambda: any(hop["attempt"] > 18 for hop in ambassador.hops("hand-back")))
            await elsewhere.service.start()
            await shop.settled()
        assert elsewhere.called() == ["e0"]
        assert not await shop.bus.dead_letters()


async def test_half_open_every_reaction_gets_its_turn() -> None:
    """The events of one reaction may fail for reasons of their own; they must not keep the breaker from closing."""
    reactions = ({"event": "Ailing", "path": "/ailing"}, {"event": "Well", "path": "/well"})
    async with scene(*reactions, delivery=IMPATIENT | {"retry": 9}) as shop:
        shop.service.handler = always(503)
        await shop.publish(5, "Ailing", "a")
        await shop.publish(5, "Well", "w")
        async with shop.ambassador() as ambassador:
            await ambassador.until(lambda: half_opened(ambassador.lines) == 1)
            before = len(shop.service.calls)
            await ambassador.until(lambda: half_opened(ambassador.lines) == 2)
            await shop.service.until_calls(before + 2)
        assert {call.path for call in shop.service.calls[-2:]} == {"/ailing", "/well"}
        assert not await shop.bus.dead_letters()
