"""A service that is away, however long and however it shows it: no dead letter, everything delivered, no stampede."""

import asyncio
import signal
from functools import partial

import pytest
from aiohttp import web

from choregos_contract.ids import derive
from support.ambassador import Ambassador
from support.scene import SERVICE, Crowd, Scene, scene
from support.service import Call, Handler, always
from support.waiting import wait_for

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


TWO_AILING = {"retry": 11, "backoffDelay": "20ms", "backoffMax": "50ms"}
"""Two events make enough attempts, before they are given up, that the breaker sees the share of failures."""
in_turn = always(503, retry_after="1")
"""Failure of a service that asks for more time than `backoffMax`: so the events come by turns, after just that."""


async def test_restarts_while_the_service_answers_503_cost_nothing() -> None:
    """Two events that have used up their attempts meet ambassadors that could see no outage by them, and are told of it."""
    async with scene({"event": "Placed"}, delivery=TWO_AILING) as shop:
        shop.service.handler = in_turn
        await shop.bus.shorten_ack_wait(SERVICE, "Placed", 1)
        await shop.publish(2)
        async with shop.ambassador() as ambassador:
            await ambassador.until(partial(has_opened, ambassador, 1))
            await wait_for(partial(is_marked, shop), "the outage is marked")
            for number in range(2, 8):
                end, code = ((signal.SIGTERM, 0), (signal.SIGKILL, -9))[number % 2]
                ambassador.signal(end)
                assert await ambassador.ended() == code
                await ambassador.start()
                await ambassador.until(partial(has_opened, ambassador, number))
            assert attempts(shop) > 12, "with fewer deliveries nothing was to be given up"
            assert not await shop.bus.dead_letters()
            shop.service.handler = always(204)
            await shop.settled()
            await wait_for(partial(is_not_marked, shop), "the mark is taken away")
        assert not await shop.bus.dead_letters()


async def test_a_mark_that_stayed_behind_keeps_no_poison_from_its_end() -> None:
    """It is known for poison by the other events, which are answered well."""
    async with scene({"event": "Placed"}, delivery=TWO_AILING) as shop:
        shop.service.handler = in_turn
        await shop.bus.shorten_ack_wait(SERVICE, "Placed", 1)
        await shop.publish(2)
        async with shop.ambassador() as ambassador:
            await wait_for(partial(is_marked, shop), "the outage is marked")
            ambassador.kill()
            await ambassador.ended()
            shop.service.handler = poisoned("poison0")
            await shop.publish(1, prefix="poison")
            await shop.publish(3, prefix="well")
            await ambassador.start()
            await ambassador.logged("outage goes on")
            await shop.settled()
        (letter,) = await shop.bus.dead_letters()
        assert letter.headers["ce-id"] == "poison0"
        assert await is_not_marked(shop)


async def test_a_service_that_is_not_ready_leaves_no_mark() -> None:
    """Readiness says by itself when it is over."""
    async with scene({"event": "Placed"}, delivery=IMPATIENT) as shop:
        async with shop.ambassador() as ambassador:
            await shop.publish(3)
            await shop.settled()
            await shop.service.stop()
            await ambassador.until(partial(has_opened, ambassador, 1))
            await shop.service.start()
            await shop.publish(3, prefix="later")
            await shop.settled()
        assert await is_not_marked(shop)


def poisoned(event_id: str) -> Handler:
    return lambda call: web.Response(status=500 if call.headers["ce-id"] == event_id else 204)


async def is_marked(shop: Scene) -> bool:
    names = shop.bus.names
    subject = f"$KV.{names.note_bucket}.{derive('outage', SERVICE)}"
    answer = await shop.bus.api(f"STREAM.MSG.GET.KV_{names.note_bucket}", {"last_by_subj": subject})
    return bool(answer.get("message", {}).get("data"))


async def is_not_marked(shop: Scene) -> bool:
    return not await is_marked(shop)


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
