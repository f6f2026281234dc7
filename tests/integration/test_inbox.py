"""A reaction with an inbox: the service is never called twice at the same time, nor again once its answer is remembered."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from choregos_ambassador.inbox import OWN_REST
from choregos_ambassador.inbox_entry import Entry, State
from choregos_cli.joining import join
from choregos_contract.configuration import Configuration
from choregos_contract.ids import inbox_key
from support.ambassador import Ambassador
from support.bus import Stored
from support.choreographies import reaction
from support.scene import SERVICE, Scene, metric, scene
from support.service import Call, Handler, always
from support.waiting import wait_for

BATCH = b"""[
  {"specversion": "1.0", "id": "1", "source": "/s", "type": "Done", "data": 1},
  {"specversion": "1.0", "id": "2", "source": "/s", "type": "Noted", "data": 2}
]"""
ONCE = {
    "event": "Placed",
    "emits": ["Done", "Noted", "Failed"],
    "onFailure": "Failed",
    "idempotency": {"ttl": "1h"},
    "delivery": {"timeout": "1s"},
}
STALE = 6.0
"""Seconds after which a claim of such a reaction is stale."""
two_replies = always(200, BATCH, content_type="application/cloudevents-batch+json")


class Watched:
    """Answers after a while, and sees how many requests for one event are in the service at once."""

    def __init__(self, answer: Handler = two_replies, seconds: float = 0.0) -> None:
        self._answer = answer
        self._seconds = seconds
        self.inside: Counter[str] = Counter()
        self.most = 0

    async def __call__(self, call: Call) -> web.Response:
        event = call.headers["ce-id"]
        self.inside[event] += 1
        self.most = max(self.most, self.inside[event])
        try:
            await asyncio.sleep(self._seconds)
            answer = self._answer(call)
            return answer if isinstance(answer, web.Response) else await answer
        finally:
            self.inside[event] -= 1


def in_turn(*answers: Handler) -> Handler:
    """Answer so, one after the other, and then as the last one for ever."""
    rest = list(answers)

    def handle(call: Call) -> web.Response | Awaitable[web.Response]:
        return (rest.pop(0) if len(rest) > 1 else rest[0])(call)

    return handle


@asynccontextmanager
async def inbox(*, config: str = "", ack_wait: float = 0.5, **fields: Any) -> AsyncIterator[Scene]:
    """A scene whose reaction has an inbox."""
    async with scene({**ONCE, **fields}, config=config) as shop:
        shop.service.handler = two_replies
        await shop.bus.shorten_ack_wait(SERVICE, "Placed", ack_wait)
        yield shop


async def in_hand(shop: Scene) -> asyncio.Event:
    """Publish an event, and return once the service is called with it; it answers when what is returned is set."""
    gate = asyncio.Event()

    async def wait(call: Call) -> web.Response:
        await gate.wait()
        return two_replies(call)  # type: ignore[return-value]

    shop.service.handler = wait
    await shop.publish(1)
    await shop.service.until_calls(1)
    return gate


async def publish_beyond_the_window(shop: Scene) -> None:
    """Store the event once more, as a producer does of whose copy the stream knows nothing any more."""
    (first,) = [each for each in await shop.bus.events("Placed") if each.headers["ce-id"] == "e0"]
    again = {name: value for name, value in first.headers.items() if name != "Nats-Msg-Id"}
    await shop.bus.publish_raw(first.subject, first.data, again)


def bucket(shop: Scene) -> str:
    return shop.bus.names.inbox_bucket


async def entries(shop: Scene) -> list[Entry]:
    """All entries of the inbox."""
    found: list[Stored] = await shop.bus._all(f"KV_{bucket(shop)}")
    return [msgspec.msgpack.decode(each.data, type=Entry) for each in found]


async def states(shop: Scene) -> list[State]:
    return [each.state for each in await entries(shop)]


async def place(shop: Scene, event_id: str) -> str:
    """The subject of an event's entry."""
    created = (await shop.bus.api(f"STREAM.INFO.{shop.bus.names.event_stream}"))["created"]
    return f"$KV.{bucket(shop)}.{inbox_key(created, SERVICE, 'Placed', '/test', event_id)}"


async def put(shop: Scene, entry: Entry, event_id: str = "e0") -> None:
    """Write an entry as another ambassador would."""
    await shop.bus.publish_raw(await place(shop, event_id), msgspec.msgpack.encode(entry), None)


async def claims(ambassador: Ambassador, answer: str) -> float:
    """How often the inbox gave this answer."""
    return await metric(ambassador.probes_url, f'choregos_inbox_claims_total{{answer="{answer}",event="Placed"}}')


async def unavailable(ambassador: Ambassador, reason: str) -> float:
    name = f'choregos_inbox_unavailable_total{{event="Placed",reason="{reason}"}}'
    return await metric(ambassador.probes_url, name)


# -- kill -9 at every step


@pytest.mark.parametrize(
    ("step", "calls"),
    [
        ("delivered", 1),
        ("after-claim", 1),
        ("before-call", 1),
        ("after-call", 2),
        ("before-record", 2),
        ("after-record", 1),
        ("before-replies", 1),
        ("before-commit", 1),
        ("before-ack", 1),
        ("after-ack", 1),
    ],
)
async def test_killed_at_any_step_it_calls_once_wherever_it_can_know(step: str, calls: int, tmp_path: Path) -> None:
    """Between the service's answer and its record nobody can know: there, and only there, the service is asked again."""
    async with inbox() as shop:
        shop.service.handler = watched = Watched()
        async with shop.ambassador(CHOREGOS_FAIL_POINT=f"{step}@{tmp_path / 'died'}") as ambassador:
            await shop.publish(1)
            assert await ambassador.ended() == -9
            await ambassador.start()
            await shop.settled()
            assert await shop.causes("Done") == await shop.causes("Noted") == ["e0"]
            assert len(shop.service.calls) == calls
            assert watched.most == 1
            assert await states(shop) == [State.DONE]
            assert not await shop.bus.dead_letters()


async def test_killed_before_it_releases_a_claim_its_successor_waits_until_that_is_stale(tmp_path: Path) -> None:
    async with inbox() as shop:
        shop.service.handler = in_turn(always(503), two_replies)
        async with shop.ambassador(CHOREGOS_FAIL_POINT=f"before-release@{tmp_path / 'died'}") as ambassador:
            await shop.publish(1)
            assert await ambassador.ended() == -9
            await ambassador.start()
            await shop.settled()
            assert await claims(ambassador, "taken-over") == 1
        first, second = shop.service.calls
        assert second.at - first.at >= STALE - 0.5
        assert await shop.causes("Done") == ["e0"]


async def test_a_rejected_event_killed_before_its_dead_letter_is_buried_without_another_call(tmp_path: Path) -> None:
    async with inbox() as shop:
        shop.service.handler = in_turn(always(422), two_replies)
        async with shop.ambassador(CHOREGOS_FAIL_POINT=f"after-record@{tmp_path / 'died'}") as ambassador:
            await shop.publish(1)
            assert await ambassador.ended() == -9
            await ambassador.start()
            await shop.settled()
        (letter,) = await shop.bus.dead_letters()
        assert letter.headers["Choregos-Reason"] == "rejected"
        assert letter.headers["Choregos-Last-Status"] == "422"
        assert await shop.causes("Failed") == ["e0"]
        assert len(shop.service.calls) == 1


# -- two ambassadors


@pytest.mark.parametrize("step", ["after-claim", "before-call"])
async def test_a_stopped_ambassador_that_goes_on_does_not_call_beside_the_one_that_took_over(
    step: str, tmp_path: Path
) -> None:
    """SIGSTOP between claim and call, for longer than the claim lasts: who goes on finds the claim stale, and lets it be."""
    async with inbox() as shop:
        shop.service.handler = watched = Watched(seconds=0.5)
        async with shop.ambassador(CHOREGOS_FAIL_POINT=f"{step}:stop@{tmp_path / 'stopped'}") as stopped:
            await shop.publish(1)
            await wait_for((tmp_path / "stopped").exists, "the stop")
            async with shop.ambassador() as other:
                await shop.service.until_calls(1)
                os.kill(stopped.pid, signal.SIGCONT)
                await shop.settled()
                assert await claims(other, "taken-over") == 1
                await stopped.until(lambda: bool(stopped.hops()))
        assert len(shop.service.calls) == watched.most == 1
        assert await shop.causes("Done") == await shop.causes("Noted") == ["e0"]


async def test_an_event_that_another_ambassador_has_with_the_service_is_no_attempt() -> None:
    """Its lease is lost, its claim is not: who gets the event meanwhile hands it back until the answer is remembered."""
    async with inbox(delivery={"timeout": "5s", "retry": 0}) as shop:
        shop.service.handler = watched = Watched(seconds=3.0)
        async with shop.ambassador() as first, shop.ambassador() as second:
            await shop.publish(1)
            await shop.settled()
            both = [first, second]
            assert len(shop.service.calls) == watched.most == 1
            assert sum([await claims(each, "busy") for each in both]) >= 1
            assert sum([await claims(each, "taken-over") for each in both]) == 0
            assert sum(len(each.hops("retry")) + len(each.hops("dead-letter")) for each in both) == 0
        assert await shop.causes("Done") == ["e0"]


@pytest.mark.parametrize("again", ["redelivered", "published twice"])
async def test_an_event_that_this_process_has_with_the_service_waits_for_a_second(again: str) -> None:
    """Its own entry would let it take the claim over; that it has another delivery in hand it knows by itself."""
    ack_wait = 0.5 if again == "redelivered" else 30.0
    async with inbox(ack_wait=ack_wait, delivery={"timeout": "10s"}) as shop, shop.ambassador() as ambassador:
        await shop.publish(4, prefix="before")  # a breaker that has just closed lets one event in at a time
        await shop.settled()
        shop.service.calls.clear()
        gate = await in_hand(shop)
        if again == "published twice":
            await publish_beyond_the_window(shop)
        await ambassador.until(lambda: bool(ambassador.hops("hand-back")))
        assert len(shop.service.calls) == 1
        gate.set()
        await shop.settled()
        handed_back = ambassador.hops("hand-back")
        assert {each["delay_s"] for each in handed_back} == {OWN_REST}
        assert await claims(ambassador, "busy") == len(handed_back)
        assert await claims(ambassador, "taken-over") == 0
        assert shop.called() == ["e0"]
        assert (await shop.causes("Done")).count("e0") == 1


async def test_two_ambassadors_that_claim_the_same_events_at_once_call_once_each() -> None:
    async with inbox() as shop:
        shop.service.handler = watched = Watched(seconds=0.7)
        async with shop.ambassador(), shop.ambassador():
            published = await shop.publish(20)
            await shop.settled()
        assert sorted(shop.called()) == sorted(published)
        assert watched.most == 1
        assert await shop.causes("Done") == sorted(published)


async def test_a_claim_of_before_is_taken_over_once_it_is_stale() -> None:
    async with inbox() as shop:
        async with shop.ambassador() as ambassador:
            await ambassador.logged("configured")
            await put(shop, Entry(state=State.CLAIMED, owner="somebody", sequence=1, number=1, lasts=3.0))
            await shop.publish(1)
            await shop.settled()
            assert (await claims(ambassador, "busy"), await claims(ambassador, "taken-over")) == (1, 1)
            (busy,) = ambassador.hops("hand-back")
            assert 0 < busy["delay_s"] <= 3.0
        assert len(shop.service.calls) == 1


# -- what is remembered


@pytest.mark.parametrize("trouble", [always(500), always(503), always(429)], ids=["500", "503", "429"])
async def test_a_retry_releases_the_claim_before_the_event_goes_back(trouble: Handler) -> None:
    async with inbox() as shop:
        shop.service.handler = in_turn(trouble, two_replies)
        async with shop.ambassador() as ambassador, shop.ambassador() as other:
            await shop.publish(1)
            await shop.settled(patience=STALE - 1)
            for each in (ambassador, other):
                assert await claims(each, "busy") == await claims(each, "taken-over") == 0
        assert len(shop.service.calls) == 2
        assert await states(shop) == [State.DONE]


async def test_a_time_out_releases_the_claim() -> None:
    async with inbox() as shop:
        slow = Watched(seconds=1.5)
        shop.service.handler = in_turn(slow, two_replies)
        async with shop.ambassador():
            await shop.publish(1)
            await shop.settled(patience=STALE - 1)
        assert len(shop.service.calls) == 2


async def test_a_service_that_is_not_there_leaves_no_claim_behind() -> None:
    async with inbox() as shop:
        async with shop.ambassador() as ambassador:
            await shop.publish(1, prefix="before")
            await shop.settled()
            await shop.service.stop()
            await shop.publish(3)
            await ambassador.until(lambda: bool(ambassador.hops("hand-back")))
            await shop.service.start()
            await shop.settled()
            assert await claims(ambassador, "busy") == 0
        assert sorted(shop.called()) == ["before0", "e0", "e1", "e2"]


async def test_what_is_replayed_is_what_the_service_said(tmp_path: Path) -> None:
    """The data of the replies is byte for byte, also where they are stored by another process than the one that was told."""
    body = b'{"a":  1.50, "b": "\xc3\xa9"}'
    said = always(201, body, content_type="application/vnd.a+json")
    async with inbox(onSuccess="Done") as shop:
        shop.service.handler = in_turn(said, always(500))
        async with shop.ambassador(CHOREGOS_FAIL_POINT=f"after-record@{tmp_path / 'died'}") as ambassador:
            await shop.publish(1)
            assert await ambassador.ended() == -9
            await ambassador.start()
            await shop.settled()
            assert await claims(ambassador, "done") == 1
            (hop,) = ambassador.hops()
            assert (hop["verdict"], hop["status"], hop["replies"]) == ("done", 201, ["Done"])
        (done,) = await shop.bus.events("Done")
        assert (done.data, done.headers["ce-datacontenttype"]) == (body, "application/vnd.a+json")
        (entry,) = await entries(shop)
        assert entry.answer is not None
        assert entry.answer.body == body


async def test_a_producers_duplicate_beyond_the_window_is_acknowledged_without_a_call() -> None:
    async with inbox() as shop, shop.ambassador() as ambassador:
        await shop.publish(1)
        await shop.settled()
        await publish_beyond_the_window(shop)
        await shop.settled()
        assert await claims(ambassador, "duplicate") == 1
        assert len(shop.service.calls) == 1
        assert await shop.causes("Done") == ["e0"]


@pytest.mark.parametrize("before", [0, 1], ids=["at the same sequence", "at another sequence"])
@pytest.mark.parametrize("same_process", [True, False], ids=["same process", "another process"])
async def test_an_event_stream_that_is_made_anew_is_another_history(before: int, *, same_process: bool) -> None:
    """The inbox remembers what was done in the stream of before; what is published again is done again."""
    async with inbox() as shop:
        async with shop.ambassador() as ambassador:
            await shop.publish(1)
            await shop.settled()
            await shop.bus.remake(SERVICE, "Placed")
            if not same_process:
                ambassador.kill()
                await ambassador.ended()
                await ambassador.start()
            await shop.publish(before, prefix="other")
            await shop.publish(1)
            await shop.settled()
            assert await metric(ambassador.probes_url, "choregos_inbox_unavailable_total") == 0
        assert shop.called().count("e0") == 2
        assert (await shop.causes("Done")).count("e0") == (await shop.causes("Noted")).count("e0") == 1
        assert await states(shop) == [State.DONE] * (2 + before)


async def test_a_redriven_event_is_processed_anew() -> None:
    async with inbox() as shop, shop.ambassador() as ambassador:
        await shop.publish(1)
        await shop.settled()
        (first,) = await shop.bus.events("Placed")
        redriven = {**first.headers, "Nats-Msg-Id": "redrive-1"}
        await shop.bus.publish_raw(shop.bus.names.redrive_subject(SERVICE, "Placed", "e0"), first.data, redriven)
        await shop.settled()
        assert await claims(ambassador, "won") == 2
        assert len(shop.service.calls) == 2


async def test_without_idempotency_nothing_is_claimed() -> None:
    async with scene() as shop, shop.ambassador() as ambassador:
        shop.service.handler = always(200, b"{}", content_type="application/json")
        await shop.publish(3)
        await shop.settled()
        assert await metric(ambassador.probes_url, "choregos_inbox_claims_total") == 0
        answer = await shop.bus.api(f"STREAM.INFO.KV_{bucket(shop)}")
        assert answer["error"]["err_code"] == 10059


# -- the bucket


async def test_a_lost_bucket_is_at_least_once_and_told_and_used_again_when_it_is_back() -> None:
    async with inbox() as shop, shop.ambassador() as ambassador:
        await shop.publish(2)
        await shop.settled()
        config = (await shop.bus.api(f"STREAM.INFO.KV_{bucket(shop)}"))["config"]
        await shop.bus.api(f"STREAM.DELETE.KV_{bucket(shop)}")
        await shop.publish(5, prefix="w")
        await shop.settled(patience=5.0)
        assert await unavailable(ambassador, "no-bucket") == 5
        assert len([line for line in ambassador.lines if line["message"] == "inbox gone"]) == 1
        await shop.bus.api(f"STREAM.CREATE.KV_{bucket(shop)}", config)

        async def used_again() -> bool:
            await shop.publish(1, prefix=f"b{len(shop.service.calls)}-")
            await shop.settled()
            return await claims(ambassador, "won") > 2

        await shop.bus.until(used_again)
        await ambassador.logged("inbox there")
        assert len(shop.service.calls) == len(set(shop.called()))


async def test_a_bucket_that_is_lost_between_claim_and_record_keeps_no_event_back() -> None:
    async with inbox(delivery={"timeout": "10s"}) as shop, shop.ambassador() as ambassador:
        gate = await in_hand(shop)
        await shop.bus.api(f"STREAM.DELETE.KV_{bucket(shop)}")
        gate.set()
        await shop.settled(patience=5.0)
        assert await unavailable(ambassador, "no-bucket") == 1
        assert await shop.causes("Done") == ["e0"]


async def test_an_answer_that_cannot_be_remembered_is_at_least_once_and_counted() -> None:
    """Its replies go one by one or as a batch; the record would be one message with all of them."""
    replies = [
        {"specversion": "1.0", "id": str(index), "source": "/s", "type": "Done", "data": "x" * 3000}
        for index in range(3)
    ]
    async with inbox(config="max_payload: 8192") as shop, shop.ambassador() as ambassador:
        shop.service.handler = always(
            200, json.dumps(replies).encode(), content_type="application/cloudevents-batch+json"
        )
        await shop.publish(1)
        await shop.settled()
        assert await unavailable(ambassador, "answer-too-large") == 1
        assert await shop.causes("Done") == ["e0"] * 3
        assert not await shop.bus.dead_letters()


async def test_an_entry_that_cannot_be_read_is_taken_for_none_and_counted() -> None:
    async with inbox() as shop, shop.ambassador() as ambassador:
        await shop.bus.publish_raw(await place(shop, "e0"), b"from another age", None)
        await shop.publish(1)
        await shop.settled()
        assert await unavailable(ambassador, "unreadable-entry") == 1
        assert await states(shop) == [State.DONE]


async def test_a_full_inbox_forgets_the_oldest_and_says_so() -> None:
    async with inbox() as shop:
        stream = f"KV_{bucket(shop)}"
        config = (await shop.bus.api(f"STREAM.INFO.{stream}"))["config"]
        await shop.bus.api(f"STREAM.UPDATE.{stream}", config | {"max_bytes": 10_000})
        async with shop.ambassador() as ambassador:
            published = await shop.publish(60)
            await shop.settled()
            assert sorted(shop.called()) == sorted(published)
            kept = await entries(shop)
            assert 0 < len(kept) < 60
            full = await ambassador.logged("inbox full")
            assert full["ttl_s"] == 3600
            assert full["oldest_s"] < 60
            assert await metric(ambassador.probes_url, "choregos_inbox_fill_ratio") >= 0.9


async def test_the_server_forgets_an_entry_when_its_reactions_ttl_is_over() -> None:
    """Two reactions share the bucket; from 2.11 on each entry lives for its own reaction's ttl."""
    brief = {"event": "Brief", "idempotency": {"ttl": "1s"}, "delivery": {"timeout": "100ms"}}
    async with scene(ONCE, brief) as shop, shop.ambassador():
        config = (await shop.bus.api(f"STREAM.INFO.KV_{bucket(shop)}"))["config"]
        assert (config["max_age"], config["allow_msg_ttl"]) == (3600 * 10**9, True)
        await shop.publish(1)
        await shop.bus.publish("Brief", b"{}", "brief")
        await shop.settled("Placed", "Brief")
        assert len(await entries(shop)) == 2

        async def one_is_left() -> bool:
            return len(await entries(shop)) == 1

        await shop.bus.until(one_is_left)


async def test_a_bucket_of_an_older_server_is_used_without_a_ttl_for_each_key() -> None:
    async with inbox() as shop:
        stream = f"KV_{bucket(shop)}"
        config = (await shop.bus.api(f"STREAM.INFO.{stream}"))["config"]
        del config["allow_msg_ttl"]
        await shop.bus.api(f"STREAM.DELETE.{stream}")
        await shop.bus.api(f"STREAM.CREATE.{stream}", config)
        async with shop.ambassador() as ambassador:
            await shop.publish(3)
            await shop.settled()
            assert await claims(ambassador, "won") == 3
            assert await metric(ambassador.probes_url, "choregos_inbox_unavailable_total") == 0
        assert await states(shop) == [State.DONE] * 3


async def test_nats_that_is_away_between_claim_and_record_delays_the_hop_and_no_more() -> None:
    async with inbox(ack_wait=30.0, delivery={"timeout": "10s"}) as shop, shop.ambassador() as ambassador:
        gate = await in_hand(shop)
        shop.server.kill()
        gate.set()
        await ambassador.logged("disconnected")
        shop.server.start()
        await shop.settled()
        assert len(shop.service.calls) == 1
        assert await shop.causes("Done") == ["e0"]
        assert await metric(ambassador.probes_url, "choregos_inbox_unavailable_total") == 0


async def test_a_reload_turns_the_inbox_on() -> None:
    async with inbox() as shop:
        plain: Configuration = shop.configured({name: value for name, value in ONCE.items() if name != "idempotency"})
        async with shop.ambassador(plain) as ambassador:
            await shop.publish(1)
            await shop.settled()
            assert await claims(ambassador, "won") == 0
            ambassador.configure(shop.configured(ONCE, generation=3))
            await ambassador.until(lambda: len([x for x in ambassador.lines if x["message"] == "configured"]) == 2)
            await shop.publish(1, prefix="f")
            await shop.settled()
            assert await claims(ambassador, "won") == 1


async def test_up_wires_an_inbox_and_never_shortens_one() -> None:
    async with scene() as shop:
        ages = []
        for ttl in ("1h", "3h", "1h"):
            await join(shop.bus.connection, [reaction("package", "OrderPlaced", idempotency={"ttl": ttl})], None)
            ages.append((await shop.bus.api(f"STREAM.INFO.KV_{bucket(shop)}"))["config"]["max_age"] // 3600 // 10**9)
        assert ages == [1, 3, 3]
