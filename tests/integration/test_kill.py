"""kill -9 at every step of a hop: the event is processed again, and what follows from it is stored once."""

from collections.abc import Awaitable
from pathlib import Path

import pytest
from aiohttp import web

from support.scene import SERVICE, Scene, scene
from support.service import Call, Handler, always

ACK_WAIT = 0.5
EMITTING = {"event": "Placed", "emits": ["Done", "Noted", "Failed"], "onFailure": "Failed"}
REPLIES = b"""[
  {"specversion": "1.0", "id": "1", "source": "/s", "type": "Done", "data": 1},
  {"specversion": "1.0", "id": "2", "source": "/s", "type": "Noted", "data": 2}
]"""
two_replies = always(200, REPLIES, content_type="application/cloudevents-batch+json")


def first(answer: Handler, then: Handler) -> Handler:
    """Answer so once, and otherwise from then on."""
    once = iter((answer,))

    def handle(call: Call) -> web.Response | Awaitable[web.Response]:
        return next(once, then)(call)

    return handle


async def die_and_come_back(shop: Scene, step: str, marker: Path) -> None:
    """Publish an event, have the ambassador killed at a step of its hop, and let a successor settle it."""
    await shop.bus.shorten_ack_wait(SERVICE, "Placed", ACK_WAIT)
    async with shop.ambassador(CHOREGOS_FAIL_POINT=f"{step}@{marker}") as ambassador:
        await shop.publish(1)
        assert await ambassador.ended() == -9
        await ambassador.start()
        await shop.settled()


@pytest.mark.parametrize(
    ("step", "calls"),
    [
        ("delivered", {1}),
        ("before-call", {1}),
        ("after-call", {2}),
        ("before-replies", {2}),
        ("before-commit", {2}),
        ("before-ack", {2}),
        ("after-ack", {1, 2}),  # the acknowledgement may still have been in the process
    ],
)
async def test_replies_are_stored_once(step: str, calls: set[int], tmp_path: Path) -> None:
    async with scene(EMITTING) as shop:
        shop.service.handler = two_replies
        await die_and_come_back(shop, step, tmp_path / "died")
        assert await shop.causes("Done") == await shop.causes("Noted") == ["e0"]
        assert len(shop.service.calls) in calls
        assert not await shop.bus.dead_letters()


async def test_replies_stored_one_by_one_are_completed_by_the_successor(tmp_path: Path) -> None:
    async with scene(EMITTING) as shop:
        stream = shop.bus.names.event_stream
        config = (await shop.bus.api(f"STREAM.INFO.{stream}"))["config"]
        await shop.bus.api(f"STREAM.UPDATE.{stream}", config | {"allow_atomic": False})
        shop.service.handler = two_replies
        await die_and_come_back(shop, "after-single", tmp_path / "died")
        assert await shop.causes("Done") == await shop.causes("Noted") == ["e0"]
        assert len(shop.service.calls) == 2


async def test_replies_stored_in_part_are_no_hop_that_was_done(tmp_path: Path) -> None:
    """The first reply is stored last: what was cut off half way is buried if the service refuses it now."""
    async with scene(EMITTING) as shop:
        stream = shop.bus.names.event_stream
        config = (await shop.bus.api(f"STREAM.INFO.{stream}"))["config"]
        await shop.bus.api(f"STREAM.UPDATE.{stream}", config | {"allow_atomic": False})
        shop.service.handler = first(two_replies, always(422))
        await die_and_come_back(shop, "after-single", tmp_path / "died")
        (letter,) = await shop.bus.dead_letters()
        assert letter.headers["Choregos-Reason"] == "rejected"


async def test_an_event_with_a_dead_letter_is_not_asked_about_again(tmp_path: Path) -> None:
    """No failure event tells of this burial: the letter itself does."""
    async with scene({"event": "Placed", "emits": ["Done"], "onSuccess": "Done"}) as shop:
        shop.service.handler = first(always(422), always(200, b"{}", content_type="application/json"))
        await die_and_come_back(shop, "after-letter", tmp_path / "died")
        assert len(await shop.bus.dead_letters()) == 1
        assert not await shop.causes("Done")
        assert len(shop.service.calls) == 1


@pytest.mark.parametrize("step", ["before-nak", "after-nak"])
async def test_an_attempt_that_failed_is_repeated(step: str, tmp_path: Path) -> None:
    async with scene(EMITTING) as shop:
        shop.service.handler = first(always(500), two_replies)
        await die_and_come_back(shop, step, tmp_path / "died")
        assert await shop.causes() == ["e0"]
        assert not await shop.bus.dead_letters()


@pytest.mark.parametrize(
    ("step", "then"),
    [("after-failure", always(422)), ("after-failure", two_replies), ("after-letter", two_replies)],
    ids=["after-failure, still refused", "after-failure, accepted now", "after-letter, accepted now"],
)
async def test_a_burial_is_brought_to_its_end(step: str, then: Handler, tmp_path: Path) -> None:
    """Once the failure event is stored, what it compensates must not happen after all: the service is not asked again."""
    async with scene(EMITTING) as shop:
        shop.service.handler = first(always(422), then)
        await die_and_come_back(shop, step, tmp_path / "died")
        assert await shop.causes("Failed") == ["e0"]
        (letter,) = await shop.bus.dead_letters()
        assert letter.headers["Choregos-Failure-Emitted"] == "true"
        assert not await shop.causes("Done")
        assert len(shop.service.calls) == 1


async def test_an_event_that_kills_its_ambassador_every_time_becomes_a_dead_letter() -> None:
    """Dead after 3 x (retry + 1) + 10 deliveries without an end: the first ones are the test's, to save time."""
    async with scene(EMITTING, delivery={"retry": 0, "backoffDelay": "20ms"}) as shop:
        await shop.bus.shorten_ack_wait(SERVICE, "Placed", 0.1)
        await shop.publish(1)
        names = shop.bus.names
        deaths = await shop.bus.connection.jetstream().pull_subscribe_bind(
            names.durable(SERVICE, "Placed"), names.event_stream
        )
        for _ in range(11):
            await deaths.fetch(1, timeout=5)
        async with shop.ambassador(CHOREGOS_FAIL_POINT="before-call") as ambassador:
            for _ in range(2):
                assert await ambassador.ended() == -9
                await ambassador.start()
            await shop.settled()
        (letter,) = await shop.bus.dead_letters()
        assert letter.headers["Choregos-Reason"] == "crash-loop"
        assert letter.headers["Choregos-Attempts"] == "14"
        assert not shop.service.calls
        assert await shop.causes("Failed") == ["e0"]
