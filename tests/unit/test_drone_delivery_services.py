"""The services of the drone delivery, as real processes: idempotent, honest in their statuses, and faulty only on demand."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from support.example_services import EXAMPLES, NOBODY, PATIENCE, ExampleProcesses, Start
from support.waiting import wait_for

EXAMPLE = EXAMPLES / "drone-delivery"

REQUESTED = {"deliveryId": "d-1", "weightKg": 2.5}
CREATED = {**REQUESTED, "packageId": "package-d-1"}


@pytest.fixture
def processes() -> Iterator[ExampleProcesses]:
    with ExampleProcesses(EXAMPLE) as processes:
        yield processes


@pytest.fixture
async def start(processes: ExampleProcesses) -> AsyncIterator[Start]:
    async with ClientSession() as session:
        yield partial(processes.serve, session)


@dataclass
class FakePublishApi:
    """The ambassador's publish API: keeps what it got, answers `status` once `open` is set."""

    status: int = 201
    open: asyncio.Event = field(default_factory=asyncio.Event)
    keys: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    url: str = ""

    async def receive(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers["Idempotency-Key"])
        self.bodies.append(await request.json())
        await self.open.wait()
        return web.json_response({"id": "e-0", "correlationId": "c-0"}, status=self.status)


@pytest.fixture
async def publish_api() -> AsyncIterator[FakePublishApi]:
    fake = FakePublishApi()
    fake.open.set()
    app = web.Application()
    app.router.add_post("/events/DeliveryRequested", fake.receive)
    async with TestServer(app) as server:
        fake.url = str(server.make_url(""))
        yield fake


# Ingestion: its clients are told the truth.


async def test_a_request_is_accepted_only_after_the_event_is_stored(start: Start, publish_api: FakePublishApi) -> None:
    ingestion = await start("ingestion", CHOREGOS_PUBLISH_URL=publish_api.url)
    publish_api.open.clear()
    wanted = {"id": "d-1", "weightKg": 2.5}
    answer = asyncio.create_task(ingestion.request("POST", "/deliveryrequests", json=wanted))
    await wait_for(lambda: publish_api.bodies, "the event is published")
    assert (await ingestion.request("GET", "/deliveryrequests/d-1"))[0] == 404
    assert not answer.done()
    publish_api.open.set()
    assert await answer == (202, {"id": "d-1", "correlationId": "c-0"})
    assert (publish_api.keys, publish_api.bodies) == (["d-1"], [REQUESTED])
    accepted = {"id": "d-1", "correlationId": "c-0", "status": "accepted", "details": None, "outcomes": 0}
    assert await ingestion.get("/deliveryrequests/d-1") == accepted


async def test_a_request_without_an_id_gets_one(start: Start, publish_api: FakePublishApi) -> None:
    ingestion = await start("ingestion", CHOREGOS_PUBLISH_URL=publish_api.url + "/")
    ids = {(await ingestion.request("POST", "/deliveryrequests", json={"weightKg": 1}))[1]["id"] for _ in range(2)}
    assert ids == set(publish_api.keys)
    assert len(ids) == 2


async def test_a_request_that_is_sent_twice_is_published_once(start: Start, publish_api: FakePublishApi) -> None:
    ingestion = await start("ingestion", CHOREGOS_PUBLISH_URL=publish_api.url)
    wanted = {"id": "d-1", "weightKg": 2.5}
    answers = [await ingestion.request("POST", "/deliveryrequests", json=wanted) for _ in range(2)]
    assert answers == [(202, {"id": "d-1", "correlationId": "c-0"})] * 2
    assert publish_api.keys == ["d-1"]


@pytest.mark.parametrize("status", [None, 503, 403, 200], ids=["refused", "503", "403", "200"])
async def test_what_is_not_stored_is_503_and_may_be_sent_again(
    start: Start, publish_api: FakePublishApi, status: int | None
) -> None:
    publish_api.status = status or 201
    url = publish_api.url if status else NOBODY
    ingestion = await start("ingestion", CHOREGOS_PUBLISH_URL=url)
    async with ingestion.session.post(f"{ingestion.url}/deliveryrequests", json={"weightKg": 1}) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        delivery_id = (await answer.json())["id"]
    assert await ingestion.get("/deliveryrequests") == []
    if status:
        publish_api.status = 201
        again = {"id": delivery_id, "weightKg": 1}
        assert (await ingestion.request("POST", "/deliveryrequests", json=again))[0] == 202
        assert publish_api.keys == [delivery_id] * 2


NO_REQUESTS = [
    b"{",
    b"[]",
    b"[" * 100_000,
    b"\xff",
    b"{}",
    b'{"weightKg": "2"}',
    b'{"weightKg": NaN}',
    b'{"weightKg": 1e999}',
    b'{"weightKg": -1}',
    b'{"id": "a b", "weightKg": 1}',
    b'{"id": "\\ud800", "weightKg": 1}',
]


async def test_a_bad_request_is_400_with_a_sentence_and_never_published(
    start: Start, publish_api: FakePublishApi
) -> None:
    ingestion = await start("ingestion", CHOREGOS_PUBLISH_URL=publish_api.url)
    for body in NO_REQUESTS:
        status, sentence = await ingestion.request("POST", "/deliveryrequests", data=body)
        assert status == 400, body[:40]
        assert "must be" in sentence or "not JSON" in sentence
    assert publish_api.bodies == []


@pytest.mark.parametrize(("kind", "ending"), [("DeliveryScheduled", "completed"), ("PackageRemoved", "failed")])
async def test_a_client_learns_how_its_delivery_ended(start: Start, kind: str, ending: str) -> None:
    ingestion = await start("ingestion")  # the outcome may even come before the publish API's answer
    data = {"deliveryId": "d-1", "droneId": "drone-1"}
    for _ in range(2):
        assert await ingestion.event("/outcomes", kind, data) == (204, "")
    ended = {"id": "d-1", "correlationId": "c-1", "status": ending, "details": data, "outcomes": 1}
    assert await ingestion.get("/deliveryrequests/d-1") == ended
    assert await ingestion.get("/deliveryrequests") == [ended]


async def test_the_correlation_id_of_the_stored_event_wins(start: Start, publish_api: FakePublishApi) -> None:
    """After a lost acknowledgement the publish API may name another one than the stream holds."""
    ingestion = await start("ingestion", CHOREGOS_PUBLISH_URL=publish_api.url)
    await ingestion.request("POST", "/deliveryrequests", json={"id": "d-1", "weightKg": 1})
    assert (await ingestion.get("/deliveryrequests/d-1"))["correlationId"] == "c-0"
    await ingestion.event("/outcomes", "DeliveryScheduled", {"deliveryId": "d-1"})
    assert (await ingestion.get("/deliveryrequests/d-1"))["correlationId"] == "c-1"


async def test_the_first_outcome_stands_and_a_second_one_is_counted(start: Start) -> None:
    ingestion = await start("ingestion")
    await ingestion.event("/outcomes", "DeliveryScheduled", {"deliveryId": "d-1"}, id="e-1")
    await ingestion.event("/outcomes", "PackageRemoved", {"deliveryId": "d-1"}, id="e-2")
    shown = await ingestion.get("/deliveryrequests/d-1")
    assert (shown["status"], shown["outcomes"]) == ("completed", 2)


async def test_the_answer_of_the_publish_api_does_not_undo_an_outcome(
    start: Start, publish_api: FakePublishApi
) -> None:
    ingestion = await start("ingestion", CHOREGOS_PUBLISH_URL=publish_api.url)
    publish_api.open.clear()
    wanted = {"id": "d-1", "weightKg": 2.5}
    answer = asyncio.create_task(ingestion.request("POST", "/deliveryrequests", json=wanted))
    await ingestion.event("/outcomes", "DeliveryScheduled", {"deliveryId": "d-1"})
    publish_api.open.set()
    assert (await answer)[0] == 202
    assert (await ingestion.get("/deliveryrequests/d-1"))["status"] == "completed"


async def test_an_outcome_of_an_unknown_kind_is_rejected_for_good(start: Start) -> None:
    ingestion = await start("ingestion")
    assert (await ingestion.event("/outcomes", "DroneAssigned", {"deliveryId": "d-1"}))[0] == 422


# The other three: the same event again gets the same answer and has one effect.


async def test_the_same_request_twice_packs_one_package(start: Start) -> None:
    package = await start("package")
    for _ in range(2):
        assert await package.event("/packages", "DeliveryRequested", REQUESTED) == (200, CREATED)
    assert await package.get("/packages") == {"d-1": "packed"}


async def test_the_same_drone_twice_schedules_one_flight(start: Start) -> None:
    delivery = await start("delivery")
    assigned = {**CREATED, "droneId": "drone-1"}
    for _ in range(2):
        assert await delivery.event("/deliveries", "DroneAssigned", assigned) == (200, assigned)
    assert await delivery.get("/deliveries") == {"d-1": "drone-1"}


@pytest.mark.parametrize(("rate", "kind"), [("0", "DroneAssigned"), ("1", "DroneUnavailable")])
async def test_the_drone_scheduler_answers_with_one_cloudevent_the_same_each_time(
    start: Start, rate: str, kind: str
) -> None:
    scheduler = await start("dronescheduler", NO_DRONE_RATE=rate)
    answers = []
    for _ in range(2):
        async with scheduler.session.post(f"{scheduler.url}/drones", json=CREATED) as answer:
            attributes = {name: value for name, value in answer.headers.items() if name.startswith("ce-")}
            answers.append((attributes, await answer.json()))
    attributes, data = answers[0]
    assert answers == [(attributes, data)] * 2
    assert attributes["ce-type"] == kind
    assert set(attributes) == {"ce-specversion", "ce-id", "ce-source", "ce-type"}
    assert data["deliveryId"] == "d-1"
    assert await scheduler.get("/drones") == ({"d-1": data["droneId"]} if rate == "0" else {})


async def test_the_share_of_deliveries_without_a_drone_is_as_asked(start: Start) -> None:
    scheduler = await start("dronescheduler", NO_DRONE_RATE="0.3")
    for number in range(200):
        await scheduler.event("/drones", "PackageCreated", {"deliveryId": f"d-{number}"})
    assert 120 <= len(await scheduler.get("/drones")) <= 160


@pytest.mark.parametrize(
    ("data", "reason"),
    [({"deliveryId": "d-1", "reason": "no wind"}, "no wind"), (CREATED, "the drone scheduler failed")],
    ids=["from the scheduler", "from its ambassador"],
)
async def test_a_package_is_removed_whoever_says_that_no_drone_is_there(
    start: Start, data: object, reason: str
) -> None:
    package = await start("package")
    await package.event("/packages", "DeliveryRequested", REQUESTED)
    for _ in range(2):
        removed = {"deliveryId": "d-1", "reason": reason}
        assert await package.event("/packages/removals", "DroneUnavailable", data) == (200, removed)
    assert await package.event("/packages", "DeliveryRequested", REQUESTED) == (200, CREATED)
    assert await package.get("/packages") == {"d-1": "removed"}, "a late repetition must not undo a compensation"


async def test_a_package_that_can_never_be_accepted_is_422(start: Start) -> None:
    package = await start("package")
    for weight in (20.5, 0, "heavy", None):
        assert (await package.event("/packages", "DeliveryRequested", {**REQUESTED, "weightKg": weight}))[0] == 422
    assert await package.get("/packages") == {}


# Faults on demand, and the life of the process.


async def test_half_of_the_faults_come_before_the_effect_and_half_after_it(start: Start) -> None:
    delivery = await start("delivery", FAIL_RATE="0.5", SEED="7")
    statuses = [
        (await delivery.event("/deliveries", "DroneAssigned", {"deliveryId": f"d-{number}", "droneId": "x"}))[0]
        for number in range(200)
    ]
    refused, flights = statuses.count(503), len(await delivery.get("/deliveries"))
    assert statuses.count(200) + refused == 200
    assert 80 <= refused <= 120
    assert 30 <= flights - statuses.count(200) <= 70, "refused, but with its effect"

    twin = await start("delivery", FAIL_RATE="0.5", SEED="7")
    again = [
        (await twin.event("/deliveries", "DroneAssigned", {"deliveryId": f"d-{number}", "droneId": "x"}))[0]
        for number in range(200)
    ]
    assert again == statuses, "a seed makes the faults the same"


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("ingestion", ["/outcomes"]),
        ("package", ["/packages", "/packages/removals"]),
        ("dronescheduler", ["/drones"]),
        ("delivery", ["/deliveries"]),
    ],
)
async def test_every_reaction_refuses_what_is_no_event_of_ours_and_can_fail(
    start: Start, name: str, paths: list[str]
) -> None:
    sound, failing = await start(name), await start(name, FAIL_RATE="1")
    for path in paths:
        for body in (b"{", b"[]", b"{}", b'{"deliveryId": ""}', b'{"deliveryId": 1}'):
            status, sentence = await sound.request("POST", path, data=body)
            assert status == 400, body
            assert "must" in sentence or "not JSON" in sentence
        assert (await failing.event(path, "DeliveryScheduled", {**CREATED, "droneId": "x"}))[0] == 503


async def test_faults_spare_probes_and_clients(start: Start, publish_api: FakePublishApi) -> None:
    package = await start("package", FAIL_RATE="1")
    assert (await package.request("GET", "/healthz"))[0] == 200
    ingestion = await start("ingestion", FAIL_RATE="1", CHOREGOS_PUBLISH_URL=publish_api.url)
    assert (await ingestion.request("POST", "/deliveryrequests", json={"weightKg": 1}))[0] == 202


async def test_sigterm_lets_a_running_request_finish(start: Start) -> None:
    delivery = await start("delivery", SLOW_MS="600")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(delivery.url.rpartition(":")[2]))
    body = b'{"deliveryId": "d-1", "droneId": "x"}'
    head = f"POST /deliveries HTTP/1.1\r\nHost: x\r\nce-type: DroneAssigned\r\nContent-Length: {len(body)}\r\n"
    began = time.monotonic()
    writer.write(head.encode() + b"Expect: 100-continue\r\n\r\n" + body)
    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"  # so the request is being handled
    delivery.process.send_signal(signal.SIGTERM)
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    assert b"HTTP/1.1 200 OK" in answer
    assert time.monotonic() - began >= 0.6
    writer.close()
    await writer.wait_closed()
    assert await asyncio.to_thread(delivery.process.wait, PATIENCE) == 0


@pytest.mark.parametrize(
    ("name", "environment", "sentence"),
    [
        ("package", {}, "PORT must be a number from 0 to 65535, not ''"),
        ("package", {"PORT": "70000"}, "PORT must be a number from 0 to 65535, not '70000'"),
        ("delivery", {"PORT": "0", "FAIL_RATE": "10%"}, "FAIL_RATE must be a number from 0 to 1, not '10%'"),
        ("delivery", {"PORT": "0", "SLOW_MS": "nan"}, "SLOW_MS must be a number from 0 to 600000, not 'nan'"),
        ("dronescheduler", {"PORT": "0", "NO_DRONE_RATE": "2"}, "NO_DRONE_RATE must be a number from 0 to 1, not '2'"),
        ("ingestion", {"PORT": "0"}, "CHOREGOS_PUBLISH_URL must be a URL such as http://127.0.0.1:9480, not ''"),
    ],
)
def test_a_bad_setting_ends_the_start_with_one_sentence(
    processes: ExampleProcesses, name: str, environment: dict[str, str], sentence: str
) -> None:
    process = processes.run(name, **environment)
    output, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output, error.decode().strip()) == (1, b"", sentence)


def test_the_local_file_starts_what_is_there() -> None:
    local = yaml.safe_load((EXAMPLE / "choregos.local.yaml").read_text())
    assert set(local["services"]) == {"ingestion", "package", "dronescheduler", "delivery"}
    for name, service in local["services"].items():
        assert service["command"] == ["python", f"{name}.py"]
        assert (EXAMPLE / f"{name}.py").is_file()
        assert all(isinstance(value, str) for value in service["env"].values())
