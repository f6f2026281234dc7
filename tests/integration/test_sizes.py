"""Small, large and far too large: what arrives, what is refused with figures, and how much memory any of it takes.

Memory is the peak of the process since it began (VmHWM), against the peak of one that has had small events only.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from choregos_ambassador.publish_api import HEADROOM
from support.ambassador import Ambassador
from support.raw_service import RawService, Wire
from support.service import Call, always
from support.stage import SERVICE, Stage, staged

KIB = 1024
MIB = 1024 * KIB
CONCURRENCY = 16
LARGE = 900 * KIB
COPIES = 2
"""Of a large event in hand: its payload, and one on its way from or to a socket."""
SLACK = 16 * MIB
"""What the allocator keeps, and what more code that ran takes."""
REACTIONS: dict[str, dict[str, Any]] = {
    "Plain": {},
    "Converting": {"emits": ["Done"], "onSuccess": "Done"},
}


def peak(ambassador: Ambassador) -> int:
    """Peak of resident memory, in bytes."""
    status = Path(f"/proc/{ambassador.pid}/status").read_text()
    return next(int(line.split()[1]) * KIB for line in status.splitlines() if line.startswith("VmHWM:"))


@asynccontextmanager
async def stage(config: str = "", **fields: Any) -> AsyncIterator[Stage]:
    reactions = {name: {**reaction, **fields} for name, reaction in REACTIONS.items()}
    delivery = {"timeout": "20s", "retry": 0, "concurrency": CONCURRENCY}
    async with staged(reactions, config=config, emits=("Ordered",), delivery=delivery) as stage:
        yield stage


async def post(stage: Stage, data: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{stage.ambassador.publish_url}/events"
    async with aiohttp.ClientSession() as session, session.post(url, data=data, headers=named) as answer:
        return answer.status, await answer.json()


def binary(event_id: str) -> dict[str, str]:
    return {"ce-specversion": "1.0", "ce-id": event_id, "ce-source": "/shop", "ce-type": "Ordered"}


async def test_what_nats_cannot_hold_is_refused_with_both_figures_or_buried() -> None:
    narrow = 64 * KIB
    async with stage(f"max_payload: {narrow}") as on:
        status, told = await post(on, b"x" * narrow, **binary("o1"))
        assert (status, told["limit"]) == (413, narrow - HEADROOM)
        assert narrow < told["size"] < narrow + KIB
        assert str(told["size"]) in told["error"]
        assert str(told["limit"]) in told["error"]
        answer = always(200, b'"' + b"x" * narrow + b'"', content_type="application/json")
        outcome = await on.play("Converting", answer)
        assert outcome.letter.headers["Choregos-Reason"] == "reply-too-large"
        assert str(narrow) in outcome.letter.headers["Choregos-Last-Error"]
        assert outcome.replies == []
        assert not [line for line in on.ambassador.lines if line["message"] == "disconnected"]


async def test_a_body_of_no_bytes_goes_both_ways() -> None:
    """From the publish API to the bus, from the bus to the service, and back as the data of a reply."""
    async with stage() as on:
        assert (await post(on, b"", **binary("empty")))[0] == 201
        (ordered,) = await on.bus.events("Ordered")
        assert ordered.data == b""
        reply = {"ce-specversion": "1.0", "ce-id": "r", "ce-source": "/s", "ce-type": "Done"}
        outcome = await on.play("Converting", always(200, b"", **reply), b"")
        (call,) = outcome.calls
        assert (call.body, call.headers["content-length"]) == (b"", "0")
        assert [each.data for each in outcome.replies] == [b""]
        assert outcome.letters == []


async def as_many_as_may_be(arrived: list[Any]) -> bool:
    return len(arrived) == CONCURRENCY


@pytest.mark.parametrize("event", ["Plain", "Converting"])
async def test_large_events_at_full_speed_take_memory_for_those_in_hand(event: str) -> None:
    """With Converting, each is answered with as much as it brought: then there is the answer, and the reply to store."""
    number, data = 200, json.dumps("x" * (LARGE - 2)).encode()
    ways = 1 if event == "Plain" else 2
    async with stage() as on:
        answers = {"Plain": always(204), "Converting": always(200, data, content_type="application/json")}
        before = peak(on.ambassador)
        arrived: list[tuple[str, bool]] = []
        all_published = asyncio.Event()

        async def take(call: Call) -> web.Response:
            arrived.append((call.headers["ce-id"], call.body == data))
            on.service.calls.clear()  # or the test itself would hold them all
            await all_published.wait()
            answered = answers[event](call)
            assert isinstance(answered, web.Response)
            return answered

        on.service.handler = take
        published = [await on.bus.publish(event, data, f"large-{each}") for each in range(number)]
        await on.bus.until(as_many_as_may_be, arrived)
        all_published.set()
        await on.bus.until_settled(SERVICE, event, 60)
        assert sorted(arrived) == sorted((f"large-{each}", True) for each in range(number))
        done = {hop["sequence"] for hop in on.ambassador.hops("done")}
        assert done >= set(published)
        grown = peak(on.ambassador) - before
        assert grown < CONCURRENCY * LARGE * COPIES * ways + SLACK, f"{grown / MIB:.0f} MiB"


async def test_an_answer_of_100_mb_is_neither_held_nor_taken_for_done() -> None:
    size = 100 * 1000 * 1000

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.say(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        wire.say(b"Transfer-Encoding: chunked\r\n\r\n" if wire.number % 2 else b"Content-Length: %d\r\n\r\n" % size)
        chunk = b"10000\r\n" + b"1" * 0x10000 + b"\r\n"
        for _ in range(size // 0x10000):
            wire.say(chunk)
            await wire.writer.drain()

    async with RawService(script) as huge, stage(port=huge.port) as on:
        before = peak(on.ambassador)
        played = [await on.publish("Converting", always()) for _ in range(8)]
        outcomes = [await on.outcome(*each) for each in played]
        assert [each.letter.headers["Choregos-Reason"] for each in outcomes] == ["reply-too-large"] * 8
        assert huge.connections == 8
        limit = next(each.delivery.max_reply_bytes for each in on.configuration.reactions if each.event == "Converting")
        grown = peak(on.ambassador) - before
        assert grown < 8 * limit * 2 + SLACK, f"{grown / MIB:.0f} MiB"
