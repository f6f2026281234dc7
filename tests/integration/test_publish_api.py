"""The publish API over the real process: what it answers, and what is on the bus when it does."""

import asyncio
import io
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import aiohttp
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from choregos_ambassador import publish_api
from choregos_ambassador.bodies import REQUEST_LIMIT
from choregos_ambassador.bus import Bus
from choregos_ambassador.credentials import Credentials
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.publish_api import HEADROOM, PublishApi
from choregos_contract.ids import event_record
from support.ambassador import Ambassador
from support.bus import Stored
from support.stage import SERVICE, Stage, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")

EMITS = ("Ordered", "Billed.EU")
EVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
LIMIT = 1024 * 1024 - HEADROOM


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Publisher:
    """Posts to the publish API of one ambassador."""

    session: aiohttp.ClientSession
    url: str

    async def post(self, path: str, data: bytes | str | io.BytesIO, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.post(f"{self.url}{path}", data=data, headers=named) as answer:
            return Answer(answer.status, answer.headers, await answer.json())

    async def plain(self, document: str = "{}", event: str = "Ordered", **headers: str) -> Answer:
        return await self.post(f"/events/{event}", document, **{"Content_Type": "application/json", **headers})

    async def structured(self, event: dict[str, Any], **headers: str) -> Answer:
        return await self.post("/events", json.dumps(event), Content_Type=EVENT, **headers)

    async def batch(self, *events: dict[str, Any], **headers: str) -> Answer:
        return await self.post("/events", json.dumps(events), Content_Type=BATCH, **headers)


def event(**changes: Any) -> dict[str, Any]:
    """A CloudEvent with an id of its own; a change to None takes the member out."""
    whole = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/shop", "type": "Ordered", "data": {"n": 1}}
    return {name: value for name, value in (whole | changes).items() if value is not None}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with staged({}, emits=EMITS) as stage:
        yield stage


@pytest.fixture
def api(stage: Stage, session: aiohttp.ClientSession) -> Publisher:
    return Publisher(session, stage.ambassador.publish_url)


async def last(stage: Stage) -> int:
    return int((await stage.bus.api(f"STREAM.INFO.{stage.bus.names.event_stream}"))["state"]["last_seq"])


async def stored(stage: Stage, event_id: str) -> Stored:
    (found,) = [each for each in await stage.bus.events() if each.headers.get("ce-id") == event_id]
    return found


# -- 201


async def test_plain_json_becomes_an_event_of_the_service(stage: Stage, api: Publisher) -> None:
    answer = await api.plain('{"n": 1.00, "n":2}\n', X_Correlation_ID="order-1")
    assert answer.status == 201
    assert answer.body.keys() == {"id", "correlationId"}
    assert answer.body["correlationId"] == "order-1"
    found = await stored(stage, answer.body["id"])
    assert found.data == b'{"n": 1.00, "n":2}\n'
    assert found.headers.pop("ce-time")
    assert found.headers == {
        "ce-specversion": "1.0",
        "ce-id": answer.body["id"],
        "ce-source": f"/shipping/{SERVICE}",
        "ce-type": "Ordered",
        "ce-datacontenttype": "application/json",
        "ce-correlationid": "order-1",
        "ce-choregoshops": "0",
        "Nats-Msg-Id": event_record(f"/shipping/{SERVICE}", answer.body["id"]),
        "Choregos-Wire": "1",
    }
    shard = crc32(b"order-1")
    assert found.subject == f"choregos.shipping.default.ev.Ordered.{shard % 16}.{shard % 256}"


async def test_a_binary_event_is_stored_as_it_is(stage: Stage, api: Publisher) -> None:
    given = {"id": "b 1", "source": "/shop", "type": "Billed.EU", "time": "2026-01-02T03:04:05Z", "tenant": "acme"}
    headers = {f"ce-{name}": value.replace(" ", "%20") for name, value in given.items()} | {"ce-specversion": "1.0"}
    data = b"\x00\xff\r\n raw"
    key = {"ce-partitionkey": "p", "ce-correlationid": "c"}
    answer = await api.post("/events", data, Content_Type="image/png", **headers, **key)
    assert (answer.status, answer.body) == (201, {"id": "b 1", "correlationId": "c"})
    found = await stored(stage, "b%201")
    assert found.data == data
    assert found.headers["ce-datacontenttype"] == "image/png"
    assert found.headers["ce-time"] == "2026-01-02T03:04:05Z"
    assert found.headers["ce-tenant"] == "acme"
    assert found.headers["Nats-Msg-Id"] == event_record("/shop", "b 1")
    assert found.subject == f"choregos.shipping.default.ev.Billed%2EEU.{crc32(b'p') % 16}.{crc32(b'c') % 256}"


async def test_a_structured_event_keeps_every_byte_of_its_data(stage: Stage, api: Publisher) -> None:
    document = '{"specversion":"1.0","id":"s1","source":"/shop","type":"Ordered","data":{"n": 1.00,  "n":2e400}}'
    answer = await api.post("/events", document, Content_Type=EVENT)
    assert answer.status == 201
    assert (await stored(stage, "s1")).data == b'{"n": 1.00,  "n":2e400}'


async def test_a_batch_is_answered_element_by_element_and_stored_in_order(stage: Stage, api: Publisher) -> None:
    before = await last(stage)
    events = [event(correlationid=f"c{number}") for number in range(5)]
    answer = await api.batch(*events)
    expected = [{"id": each["id"], "correlationId": each["correlationid"]} for each in events]
    assert (answer.status, answer.body) == (201, {"events": expected})
    found = await stage.bus.events(after=before)
    assert [each.headers["ce-id"] for each in found] == [each["id"] for each in events]


async def test_a_batch_of_one_is_answered_as_a_batch(api: Publisher) -> None:
    answer = await api.batch(event())
    assert answer.status == 201
    assert len(answer.body["events"]) == 1


async def test_an_event_that_is_sent_twice_is_stored_once(stage: Stage, api: Publisher) -> None:
    once = event()
    first, second = await api.structured(once), await api.structured(once)
    assert (first.status, second.status) == (201, 201)
    assert "duplicate" not in first.body
    assert second.body == first.body | {"duplicate": True}
    assert await stored(stage, once["id"])


async def test_a_batch_with_known_elements_says_which(stage: Stage, api: Publisher) -> None:
    known, new = event(), event()
    await api.structured(known)
    answer = await api.batch(known, new, new)
    assert answer.status == 201
    assert [each.get("duplicate", False) for each in answer.body["events"]] == [True, False, True]
    assert await stored(stage, known["id"])
    assert await stored(stage, new["id"])


async def test_the_same_id_from_another_source_is_another_event(api: Publisher) -> None:
    one = event()
    await api.structured(one)
    assert "duplicate" not in (await api.structured(one | {"source": "/elsewhere"})).body


async def test_an_idempotency_key_makes_one_event_of_many_requests(stage: Stage, api: Publisher) -> None:
    first = await api.plain('{"try": 1}', Idempotency_Key="k1")
    second = await api.plain('{"try": 2}', Idempotency_Key="k1")
    other = await api.plain("{}", Idempotency_Key="k2")
    elsewhere = await api.plain("{}", "Billed.EU", Idempotency_Key="k1")
    assert second.body == first.body | {"duplicate": True}
    assert len({first.body["id"], other.body["id"], elsewhere.body["id"]}) == 3
    assert (await stored(stage, first.body["id"])).data == b'{"try": 1}'


async def test_requests_without_a_key_are_events_of_their_own(api: Publisher) -> None:
    first, second = await api.plain(), await api.plain()
    assert first.body["id"] != second.body["id"]
    assert first.body["correlationId"] != second.body["correlationId"]


# -- the transaction


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X_Correlation_ID": "x"}, "x"),
        ({"X_Correlation_ID": "gr%C3%BC%C3%9Fe%201"}, "grüße 1"),
        ({"traceparent": TRACEPARENT}, TRACE_ID),
        ({"X_Correlation_ID": "x", "traceparent": TRACEPARENT}, "x"),
        ({"ce_correlationid": "c", "X_Correlation_ID": "x", "traceparent": TRACEPARENT}, "c"),
    ],
)
async def test_correlation_comes_from_the_first_header_that_has_it(
    stage: Stage, api: Publisher, headers: dict[str, str], expected: str
) -> None:
    binary = {"ce-specversion": "1.0", "ce-id": str(uuid.uuid4()), "ce-source": "/shop", "ce-type": "Ordered"}
    answer = await api.post("/events", b"{}", **binary, **headers)
    assert answer.body["correlationId"] == expected
    found = await stored(stage, answer.body["id"])
    assert found.subject.endswith(f".{crc32(expected.encode()) % 256}")
    assert ("ce-traceparent" in found.headers) == ("traceparent" in headers)
    plain = await api.plain(**headers)
    assert plain.body["correlationId"] == expected


async def test_without_any_the_correlation_is_new_and_sorts_by_time(api: Publisher) -> None:
    answers = [await api.plain() for _ in range(2)]
    ids = [uuid.UUID(each.body["correlationId"]) for each in answers]
    assert [each.version for each in ids] == [7, 7]


async def test_a_trace_that_is_broken_is_not_taken(stage: Stage, api: Publisher) -> None:
    answer = await api.plain(traceparent="00-zz-1-01", tracestate="vendor=1")
    assert answer.status == 201
    assert uuid.UUID(answer.body["correlationId"]).version == 7
    assert "ce-traceparent" not in (await stored(stage, answer.body["id"])).headers


# -- refused by what it is

REFUSED: dict[str, tuple[int, str, bytes, dict[str, str]]] = {
    "no event": (400, "/events", b"{}", {"Content-Type": "application/json"}),
    "not JSON": (400, "/events", b"{", {"Content-Type": EVENT}),
    "no id": (400, "/events", json.dumps(event(id=None)).encode(), {"Content-Type": EVENT}),
    "empty source": (400, "/events", json.dumps(event(source="")).encode(), {"Content-Type": EVENT}),
    "old version": (400, "/events", json.dumps(event(specversion="0.3")).encode(), {"Content-Type": EVENT}),
    "bad time": (400, "/events", json.dumps(event(time="now")).encode(), {"Content-Type": EVENT}),
    "bad attribute": (400, "/events", json.dumps(event(A_b="c")).encode(), {"Content-Type": EVENT}),
    "line feed": (400, "/events", json.dumps(event(tenant="a\nb")).encode(), {"Content-Type": EVENT}),
    "unknown format": (400, "/events", b"x", {"Content-Type": "application/cloudevents+avro"}),
    "empty batch": (400, "/events", b"[]", {"Content-Type": BATCH}),
    "no batch": (400, "/events", b"{}", {"Content-Type": BATCH}),
    "broken element": (400, "/events", json.dumps([event(), event(id=None)]).encode(), {"Content-Type": BATCH}),
    "binary without type": (400, "/events", b"", {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s"}),
    "bad percent-encoding": (400, "/events/Ordered", b"{}", {"X-Correlation-ID": "%ff"}),
    "plain, not JSON": (400, "/events/Ordered", b"{'n'", {"Content-Type": "application/json"}),
    "plain, not UTF-8": (400, "/events/Ordered", b'"\xff"', {"Content-Type": "application/json"}),
    "plain, endless": (400, "/events/Ordered", b"[" * 100_000, {"Content-Type": "application/json"}),
    "text": (415, "/events/Ordered", b"hello", {"Content-Type": "text/plain"}),
    "compressed": (415, "/events/Ordered", b"{}", {"Content-Type": "application/json", "Content-Encoding": "gzip"}),
    "form": (415, "/events/Ordered", b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}),
    "undeclared": (503, "/events/Undeclared", b"{}", {"Content-Type": "application/json"}),
    "undeclared element": (
        503,
        "/events",
        json.dumps([event(), event(type="Undeclared")]).encode(),
        {"Content-Type": BATCH},
    ),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_refused_says_why_and_stores_nothing(
    stage: Stage, api: Publisher, refused: tuple[int, str, bytes, dict[str, str]]
) -> None:
    status, path, data, headers = refused
    before = await last(stage)
    answer = await api.post(path, data, **{"Content-Type": "application/json"} | headers)
    assert answer.status == status
    assert len(answer.body["error"]) > 10
    assert await last(stage) == before
    assert ("Retry-After" in answer.headers) == (status == 503)


async def test_an_undeclared_event_is_named_with_those_that_are_declared(api: Publisher) -> None:
    answer = await api.plain(event="Undeclared")
    assert "Undeclared" in answer.body["error"]
    assert "Ordered" in answer.body["error"]


async def test_too_large_an_event_is_told_both_figures(stage: Stage, api: Publisher) -> None:
    before = await last(stage)
    answer = await api.plain('"' + "x" * LIMIT + '"')
    assert answer.status == 413
    assert answer.body["limit"] == LIMIT
    assert LIMIT < answer.body["size"] < LIMIT + 1000
    assert str(answer.body["size"]) in answer.body["error"]
    batch = await api.batch(event(), event(data="x" * LIMIT))
    assert batch.status == 413
    assert await last(stage) == before


async def test_an_event_up_to_the_limit_is_taken(api: Publisher) -> None:
    too_large = await api.plain('"' + "x" * LIMIT + '"')
    fitting = LIMIT - (too_large.body["size"] - LIMIT)
    assert (await api.plain('"' + "x" * fitting + '"')).status == 201
    assert (await api.plain('"' + "x" * (fitting + 1) + '"')).status == 413


async def test_more_headers_than_a_stream_takes_are_too_large(stage: Stage, api: Publisher) -> None:
    before = await last(stage)
    answer = await api.structured(event(long="x" * 70_000))
    assert answer.status == 413
    assert answer.body["size"] > answer.body["limit"]
    assert await last(stage) == before


async def test_too_large_a_request_is_told_the_limit(api: Publisher) -> None:
    answer = await api.post("/events/Ordered", io.BytesIO(b"x" * (REQUEST_LIMIT + 1)), Content_Type="application/json")
    assert (answer.status, answer.body["limit"]) == (413, REQUEST_LIMIT)


async def test_an_undeclared_event_is_forbidden_once_the_configuration_has_settled(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two minutes of a start or a reload, in which it may be declared by a configuration on its way, are over."""
    api = PublishApi(Bus(Metrics(), Credentials(None)), Metrics(), asyncio.Future)
    api.configure(stage.configuration)
    async with TestClient(TestServer(api.application())) as client:
        early = await client.post("/events/Undeclared", json={})
        monkeypatch.setattr(publish_api, "SETTLING", 0.0)
        late = await client.post("/events/Undeclared", json={})
        assert (early.status, early.headers["Retry-After"]) == (503, "5")
        assert late.status == 403
        assert "Retry-After" not in late.headers
        assert "Undeclared" in (await late.json())["error"]


# -- refused by what is not there


async def test_without_a_configuration_it_is_to_be_tried_again(stage: Stage, session: aiohttp.ClientSession) -> None:
    async with Ambassador(stage.server.url, None) as ambassador:
        api = Publisher(session, ambassador.publish_url)
        answer = await api.plain()
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        ambassador.configure(stage.configuration)
        await ambassador.logged("configured")
        assert (await api.plain()).status == 201


@pytest.fixture
async def own_stage() -> AsyncIterator[Stage]:
    """A stage whose bus the test may spoil."""
    async with staged({}, emits=EMITS) as stage:
        yield stage


@pytest.mark.asyncio(loop_scope="function")
async def test_a_full_bus_is_to_be_tried_again_and_takes_a_batch_whole_or_not_at_all(own_stage: Stage) -> None:
    stage = own_stage
    await stage.bus.until_settled(SERVICE, "Bystander")
    async with aiohttp.ClientSession() as session:
        api = Publisher(session, stage.ambassador.publish_url)
        before = await last(stage)
        await change_stream(stage, max_msgs=before + 1, discard="new")
        batch = [event(), event()]
        answer = await api.batch(*batch)
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert await last(stage) == before
        assert (await api.structured(event())).status == 201
        full = await api.structured(event())
        assert full.status == 503
        assert "maximum messages" in full.body["error"]
        await change_stream(stage, max_msgs=-1)
        again = await api.batch(*batch)
        assert (again.status, [each.get("duplicate") for each in again.body["events"]]) == (201, [None, None])


@pytest.mark.asyncio(loop_scope="function")
async def test_a_batch_that_is_stored_in_part_is_told_element_by_element(own_stage: Stage) -> None:
    """The stream takes no atomic batch, as that of an older server; the same batch may be sent again."""
    stage = own_stage
    await stage.bus.until_settled(SERVICE, "Bystander")
    async with aiohttp.ClientSession() as session:
        api = Publisher(session, stage.ambassador.publish_url)
        before = await last(stage)
        await change_stream(stage, allow_atomic=False, max_msgs=before + 1, discard="new")
        batch = [event(), event(), event()]
        answer = await api.batch(*batch)
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert [each["id"] for each in answer.body["events"]] == [each["id"] for each in batch]
        assert ["error" in each for each in answer.body["events"]] == [False, True, True]
        await change_stream(stage, max_msgs=-1)
        again = await api.batch(*batch)
        assert again.status == 201
        assert [each.get("duplicate", False) for each in again.body["events"]] == [True, False, False]


async def change_stream(stage: Stage, **changes: Any) -> None:
    name = stage.bus.names.event_stream
    config = (await stage.bus.api(f"STREAM.INFO.{name}"))["config"]
    answer = await stage.bus.api(f"STREAM.UPDATE.{name}", config | changes)
    assert "error" not in answer, answer


@pytest.mark.asyncio(loop_scope="function")
async def test_a_bus_that_is_not_wired_is_to_be_tried_again(own_stage: Stage) -> None:
    await own_stage.bus.api(f"STREAM.DELETE.{own_stage.bus.names.event_stream}")
    async with aiohttp.ClientSession() as session:
        answer = await Publisher(session, own_stage.ambassador.publish_url).plain()
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "not wired" in answer.body["error"]


@pytest.mark.asyncio(loop_scope="function")
async def test_while_nats_is_away_it_waits_a_while_and_then_is_to_be_tried_again(own_stage: Stage) -> None:
    stage = own_stage
    async with aiohttp.ClientSession() as session:
        api = Publisher(session, stage.ambassador.publish_url)
        await asyncio.to_thread(stage.server.kill)
        await stage.ambassador.logged("disconnected")
        answer = await api.plain()
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        waiting = asyncio.create_task(api.plain())
        await asyncio.to_thread(stage.server.start)
        assert (await waiting).status == 201, "NATS came back within the request's time"


@pytest.mark.asyncio(loop_scope="function")
async def test_a_201_is_never_lost_whatever_happens_to_nats(own_stage: Stage) -> None:
    stage, ended = own_stage, asyncio.Event()
    promised: list[str] = []

    async def are_promised(number: int) -> bool:
        return len(promised) >= number

    async def produce(name: str) -> None:
        """Publish one event after the other, each as often as it takes."""
        number = 0
        while not ended.is_set():
            number += 1
            once = event(id=f"{name}-{number}")
            while (await publisher.structured(once)).status != 201:
                pass
            promised.append(once["id"])

    async with aiohttp.ClientSession() as session:
        publisher = Publisher(session, stage.ambassador.publish_url)
        producers = [asyncio.create_task(produce(name)) for name in "abcd"]
        for _ in range(3):
            await stage.bus.until(are_promised, len(promised) + 100)
            await asyncio.to_thread(stage.server.kill)
            await asyncio.to_thread(stage.server.start)
        ended.set()
        await asyncio.gather(*producers)
    on_the_bus = [each.headers["ce-id"] for each in await stage.bus.events("Ordered")]
    assert sorted(on_the_bus) == sorted(promised)
