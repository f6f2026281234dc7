"""A stream that removes what a reaction has not read: how old the oldest event is, is shown; what is gone is counted and told."""

import asyncio
import signal
from typing import Any

from aiohttp import web

from support.ambassador import Ambassador
from support.bus import TestBus
from support.choreographies import event_bus
from support.scene import Scene, metric, scene
from support.service import Call, always
from support.waiting import wait_for

SUSPENDED = {"event": "Placed", "suspend": True}
OTHER = {"event": "Other"}
"""A reaction to other events of the same stream, which must not be counted with those of the first."""
COUNTER = "choregos_expired_unread_events_total"
SECOND = 10**9
RATIO = "choregos_oldest_unacknowledged_event_age_ratio"
AGE = "choregos_oldest_unacknowledged_event_age_seconds"


def losses(ambassador: Ambassador) -> list[dict[str, Any]]:
    told = ("events expired unread", "events may have expired unread")
    return [line for line in ambassador.lines if line["message"] in told]


async def lost(*ambassadors: Ambassador) -> float:
    return sum([await metric(each.probes_url, COUNTER) for each in ambassadors])


async def is_counted(number: int, *ambassadors: Ambassador) -> None:
    async def counted() -> bool:
        return await lost(*ambassadors) >= number

    await wait_for(counted, f"{number} events counted")
    assert await lost(*ambassadors) == number


async def noted(bus: TestBus) -> int:
    """How many looks have been noted."""
    return int((await bus.api(f"STREAM.INFO.KV_{bus.names.note_bucket}"))["state"]["last_seq"])


async def is_noted(bus: TestBus, number: int = 1) -> None:
    """Wait until so many reactions have been looked at."""

    async def enough() -> bool:
        return await noted(bus) >= number

    await wait_for(enough, "a look is noted")


async def expire(bus: TestBus) -> None:
    """Have `maxAge` pass."""
    await changed(bus, max_age=SECOND, duplicate_window=SECOND)
    await is_gone(bus)


async def is_gone(bus: TestBus) -> None:
    async def gone() -> bool:
        return not (await bus.api(f"STREAM.INFO.{bus.names.event_stream}"))["state"]["messages"]

    await wait_for(gone, "all events are removed")


async def changed(bus: TestBus, **config: Any) -> None:
    """Change the stream as somebody with the NATS CLI does."""
    stream = bus.names.event_stream
    before = (await bus.api(f"STREAM.INFO.{stream}"))["config"]
    answer = await bus.api(f"STREAM.UPDATE.{stream}", before | config)
    assert "error" not in answer, answer


async def published(shop: Scene, number: int, prefix: str) -> None:
    """Store so many events of the reaction, and as many others among them."""
    for index in range(number):
        await shop.publish(1, "Other", f"o{prefix}{index}-")
        await shop.publish(1, "Placed", f"{prefix}{index}-")


async def test_what_max_age_removes_of_a_suspended_reaction_is_counted_and_told() -> None:
    async with scene(SUSPENDED, OTHER) as shop:
        await published(shop, 7, "e")
        async with shop.ambassador() as ambassador:
            await is_noted(shop.bus, 2)
            assert await metric(ambassador.probes_url, COUNTER) == 0
            assert await metric(ambassador.probes_url, AGE) > 0
            await expire(shop.bus)
            await is_counted(7, ambassador)
            (line,) = losses(ambassador)
            assert (line["level"], line["number"], line["event_type"]) == ("error", 7, "Placed")
            assert "at_most" not in line
            assert (line["first_sequence"], line["last_sequence"]) == (2, 14)
            assert "publish" in line["advice"]


async def test_each_event_is_counted_once_however_many_replicas_look() -> None:
    async with scene(SUSPENDED, OTHER) as shop:
        await published(shop, 7, "e")
        async with shop.ambassador() as one, shop.ambassador() as other, shop.ambassador() as third:
            await is_noted(shop.bus, 2)
            await expire(shop.bus)
            shop.server.restart()  # so that they all look at once
            await is_counted(7, one, other, third)
            for each in (one, other, third):
                await each.until(lambda each=each: connections(each) == 2)  # type: ignore[misc]
            assert sum(line["number"] for each in (one, other, third) for line in losses(each)) == 7


def connections(ambassador: Ambassador) -> int:
    return sum(line["message"] == "connected" for line in ambassador.lines)


async def test_what_was_removed_while_nobody_was_there_is_noticed_by_the_next_who_is() -> None:
    """What came and went in between, nobody can tell from the other events there: it is told as a possibility."""
    async with scene(SUSPENDED, OTHER) as shop:
        await published(shop, 7, "e")
        async with shop.ambassador() as ambassador:
            await is_noted(shop.bus, 2)
            ambassador.signal(signal.SIGTERM)
            assert await ambassador.ended() == 0
            await published(shop, 3, "later")
            await expire(shop.bus)
            await ambassador.start()
            await is_counted(7, ambassador)
            (line,) = [line for line in losses(ambassador) if line["event_type"] == "Placed"]
            assert (line["number"], line["at_most"]) == (7, 13)


async def test_what_somebody_purges_is_counted() -> None:
    async with scene(SUSPENDED, OTHER) as shop:
        await published(shop, 9, "e")
        async with shop.ambassador() as ambassador:
            await is_noted(shop.bus, 2)
            answer = await shop.bus.api(f"STREAM.PURGE.{shop.bus.names.event_stream}", {"seq": 9})
            assert answer["purged"] == 8
            shop.server.restart()
            await is_counted(4, ambassador)


async def test_what_somebody_purges_from_between_is_counted() -> None:
    """The events of one type alone, with older ones of others before them."""
    async with scene(SUSPENDED, OTHER) as shop:
        await published(shop, 9, "e")
        async with shop.ambassador() as ambassador:
            await is_noted(shop.bus, 2)
            names = shop.bus.names
            await shop.bus.api(f"STREAM.PURGE.{names.event_stream}", {"filter": f"{names.root}.ev.Placed.>"})
            shop.server.restart()
            await is_counted(9, ambassador)


async def test_what_a_full_stream_that_discards_the_old_removes_is_counted_while_new_events_come() -> None:
    async with scene(SUSPENDED, OTHER) as shop:
        await changed(shop.bus, discard="old", max_msgs=40)
        await published(shop, 15, "e")
        async with shop.ambassador() as ambassador:
            await is_noted(shop.bus, 2)
            await published(shop, 10, "more")
            shop.server.restart()
            await is_counted(5, ambassador)
            (line,) = losses(ambassador)
            assert "at_most" not in line
            assert not await counters(shop.bus), "what was made to count is gone"


async def counters(bus: TestBus) -> list[str]:
    names = (await bus.api(f"CONSUMER.NAMES.{bus.names.event_stream}"))["consumers"]
    return [name for name in names if "~" in name]


async def test_events_that_are_removed_while_they_wait_out_a_backoff_are_counted() -> None:
    slow = {"retry": 9, "backoffDelay": "1m", "backoffMax": "1m"}
    async with scene({"event": "Placed"}, delivery=slow) as shop:
        shop.service.handler = always(409)
        async with shop.ambassador() as ambassador:
            await is_noted(shop.bus)
            await shop.publish(6)
            await shop.service.until_calls(6)
            await expire(shop.bus)
            await is_counted(6, ambassador)
            assert sum(line["number"] for line in losses(ambassador) if line["level"] == "error") == 6


async def test_a_busy_reaction_that_reads_everything_in_time_has_lost_nothing() -> None:
    """Though between two looks the stream removes everything there was, and some events take a second attempt."""

    async def answer(call: Call) -> web.Response:
        again = call.headers["choregos-attempt"] == "1" and call.headers["ce-id"].endswith("7")
        return web.Response(status=409 if again else 204)

    async with scene({"event": "Placed"}, bus=short_lived("2s")) as shop:
        shop.service.handler = answer
        async with shop.ambassador() as ambassador:
            await is_noted(shop.bus)
            index = 0
            while await noted(shop.bus) < 3:
                index += 1
                await shop.publish(1, prefix=f"e{index}-")
                await asyncio.sleep(0.02)
            await shop.settled()
            assert not [line for line in losses(ambassador) if line["level"] == "error"]
            assert await lost(ambassador) == 0


async def test_a_warning_comes_before_the_oldest_event_is_gone() -> None:
    async with scene(SUSPENDED, bus=short_lived("3s")) as shop:
        over = asyncio.Event()
        writing = asyncio.create_task(keep_writing(shop, over))
        try:
            await wait_for(lambda: oldest_went(shop.bus), "the first event is gone")
            async with shop.ambassador() as ambassador:
                line = await ambassador.logged("unread events expire soon", event_type="Placed")
                assert line["max_age_s"] == 3.0
                assert 0.8 <= await metric(ambassador.probes_url, RATIO) < 1.5
                assert line["age_s"] > 2.3
        finally:
            over.set()
            await writing


async def oldest_went(bus: TestBus) -> bool:
    return bool((await bus.api(f"STREAM.INFO.{bus.names.event_stream}"))["state"]["first_seq"] > 1)


async def keep_writing(shop: Scene, over: asyncio.Event) -> None:
    index = 0
    while not over.is_set():
        index += 1
        await shop.publish(1, prefix=f"w{index}-")
        await asyncio.sleep(0.05)


def short_lived(max_age: str) -> Any:
    return event_bus(stream={"maxAge": max_age, "duplicateWindow": "1s"})
