"""The parts of the file import, as real processes: idempotent, honest in their statuses, and faulty only on demand."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from choregos_ambassador.publish_api import HEADROOM
from support.console_script import choregos
from support.example_services import EXAMPLES, NOBODY, PATIENCE, ExampleProcesses, Start
from support.waiting import wait_for

EXAMPLE = EXAMPLES / "file-import"
MAX_PAYLOAD = 1024 * 1024  # nats-server's default

HEADING = "number,name,email,country\n"
TEXT = HEADING + "C-1,Ada,ada@example.org,GB\nC-2,Emmy,emmy@example.org,DE\n"
CUSTOMERS = [
    {"id": "C-1", "displayName": "Ada", "contact": {"email": "ada@example.org"}, "address": {"countryCode": "GB"}},
    {"id": "C-2", "displayName": "Emmy", "contact": {"email": "emmy@example.org"}, "address": {"countryCode": "DE"}},
]


def received(text: str = TEXT) -> dict[str, Any]:
    return {"importId": hashlib.sha256(text.encode()).hexdigest(), "file": "customers.csv", "text": text}


def adapted(text: str = TEXT, customers: Any = CUSTOMERS) -> dict[str, Any]:
    return {**received(text), "customers": customers}


ID = received()["importId"]


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
    """The ambassador's publish API: answers with the statuses in turn, then with 201; knows a key that it has stored."""

    statuses: list[int] = field(default_factory=list)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    stored: dict[str, Any] = field(default_factory=dict)
    url: str = ""

    async def receive(self, request: web.Request) -> web.Response:
        key, data = request.headers["Idempotency-Key"], await request.json()
        self.requests.append((key, data))
        if self.statuses:
            return web.json_response({"error": "not today"}, status=self.statuses.pop(0), headers={"Retry-After": "1"})
        duplicate = {"duplicate": True} if key in self.stored else {}
        self.stored[key] = data
        return web.json_response({"id": "e-0", "correlationId": "c-0", **duplicate}, status=201)


@pytest.fixture
async def publish_api() -> AsyncIterator[FakePublishApi]:
    fake = FakePublishApi()
    app = web.Application()
    app.router.add_post("/events/FileReceived", fake.receive)
    async with TestServer(app) as server:
        fake.url = str(server.make_url(""))
        yield fake


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def job(processes: ExampleProcesses, publish_api: FakePublishApi, inbox: Path) -> Run:
    """Run the job to its end; returns its exit code and what it wrote."""

    async def run(**environment: str) -> tuple[int, str, str]:
        process = processes.run("job", **{"CHOREGOS_PUBLISH_URL": publish_api.url, "INBOX": str(inbox), **environment})
        output, errors = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
        return process.returncode, output.decode(), errors.decode()

    return run


# The job: ends, tells the truth, and adds nothing when it is run again.


async def test_the_job_publishes_every_file_as_it_is(job: Run, publish_api: FakePublishApi, inbox: Path) -> None:
    strange = '\ufeffnumber,name\r\n"Émilie ""x""",\t \n\n'
    (inbox / "b.csv").write_bytes(strange.encode())
    (inbox / "a.csv").write_bytes(TEXT.encode())
    (inbox / "note.txt").write_text("no customers in here")
    assert await job() == (0, "a.csv: published, correlation id c-0\nb.csv: published, correlation id c-0\n", "")
    expected = [{**received(TEXT), "file": "a.csv"}, {**received(strange), "file": "b.csv"}]
    assert publish_api.requests == [(each["importId"], each) for each in expected]
    again = await job()
    assert again[1].count("known already") == 2, "the files stay where they are"


async def test_a_second_run_sends_the_same_key_whatever_the_file_is_called(
    job: Run, publish_api: FakePublishApi, inbox: Path
) -> None:
    (inbox / "a.csv").write_text(TEXT)
    assert (await job())[0] == 0
    (inbox / "a.csv").rename(inbox / "b.csv")
    assert await job() == (0, "b.csv: known already, correlation id c-0\n", "")
    assert [key for key, _ in publish_api.requests] == [ID, ID]
    (inbox / "b.csv").write_text(TEXT + "C-3,Sophie,sophie@example.org,FR\n")
    assert "published" in (await job())[1]
    assert len(publish_api.stored) == 2


async def test_the_job_tries_again_while_the_bus_is_away(job: Run, publish_api: FakePublishApi, inbox: Path) -> None:
    (inbox / "a.csv").write_text(TEXT)
    publish_api.statuses = [503, 500]
    assert (await job())[0] == 0
    assert publish_api.requests == [(ID, {**received(), "file": "a.csv"})] * 3


@pytest.mark.parametrize("url", [None, NOBODY], ids=["503", "nobody there"])
async def test_the_job_gives_up_with_1_when_its_patience_ends(
    job: Run, publish_api: FakePublishApi, inbox: Path, url: str | None
) -> None:
    for name in ("a.csv", "b.csv"):
        (inbox / name).write_text(TEXT)
    publish_api.statuses = [503] * 100
    code, output, errors = await job(PATIENCE_S="0", **({"CHOREGOS_PUBLISH_URL": url} if url else {}))
    assert (code, output) == (1, "")
    assert [line.partition(":")[0] for line in errors.splitlines()] == ["a.csv", "b.csv"]
    assert all("not stored within 0 s, run the job again" in line for line in errors.splitlines())


async def test_a_file_that_cannot_be_published_is_told_and_keeps_no_other_back(
    job: Run, publish_api: FakePublishApi, inbox: Path
) -> None:
    (inbox / "a.csv").write_bytes(b"\xff\xfe")
    (inbox / "b.csv").write_bytes(b"x" * 65537)
    (inbox / "c.csv").mkdir()
    (inbox / "d.csv").write_text(HEADING)
    (inbox / "e.csv").write_text(TEXT)
    publish_api.statuses = [403]
    code, output, errors = await job()
    assert (code, output) == (1, "e.csv: published, correlation id c-0\n")
    told = ["a.csv: cannot be read as UTF-8", "b.csv: has 65537 bytes", "c.csv: cannot", "d.csv: refused: 403"]
    for line, sentence in zip(errors.splitlines(), told, strict=True):
        assert line.startswith(sentence)
    assert list(publish_api.stored) == [ID]


async def test_an_empty_inbox_is_fine(job: Run, publish_api: FakePublishApi) -> None:
    assert await job() == (0, "", "")
    assert publish_api.requests == []


async def test_the_timer_runs_the_job_again_and_again_whatever_comes_of_it(
    start: Start, publish_api: FakePublishApi, inbox: Path
) -> None:
    (inbox / "a.csv").write_text(TEXT)
    publish_api.statuses = [403]
    timer = await start("timer", EVERY_S="1", CHOREGOS_PUBLISH_URL=publish_api.url, INBOX=str(inbox))

    async def has_run_three_times() -> bool:
        return len(await timer.get("/runs")) >= 3

    await wait_for(has_run_three_times, "three runs of the job")
    assert (await timer.get("/runs"))[:3] == [1, 0, 0]
    assert [key for key, _ in publish_api.requests[:3]] == [ID] * 3
    timer.process.terminate()
    assert await asyncio.to_thread(timer.process.wait, PATIENCE) == 0


async def test_the_job_that_runs_ends_with_the_timer(start: Start, publish_api: FakePublishApi, inbox: Path) -> None:
    (inbox / "a.csv").write_text(TEXT)
    publish_api.statuses = [503] * 100
    timer = await start("timer", EVERY_S="1", CHOREGOS_PUBLISH_URL=publish_api.url, INBOX=str(inbox))
    await wait_for(lambda: publish_api.requests, "the job publishes")
    timer.process.terminate()
    # Its output is shared with the job: it ends only when both have.
    await asyncio.to_thread(timer.process.communicate, timeout=PATIENCE)
    assert timer.process.returncode == 0


# The services: the same event again gets the same answer and has one effect.


async def test_a_good_file_is_validated_and_goes_on_as_it_came(start: Start) -> None:
    validator = await start("validator")
    for text in (TEXT, "\ufeff" + TEXT.replace("\n", "\r\n"), HEADING + '\n"C-1","Lovelace, ""Ada""",a@b,GB'):
        for _ in range(2):
            expected = (200, "FileValidated", received(text))
            assert await validator.react("/files", "FileReceived", received(text)) == expected
        assert (await validator.get("/files"))[received(text)["importId"]] == "accepted"


REJECTED = [
    ("", [(1, "the first line must be number,name,email,country")]),
    ("name,number\nAda,C-1\n", [(1, "the first line must be number,name,email,country")]),
    (HEADING, [(1, "there is no customer in the file")]),
    (HEADING + "\nC-1,Ada\n", [(3, "there must be 4 cells, not 2")]),
    (
        HEADING + "1,,nobody,gb\n",
        [
            (2, "number must be C- and digits, not '1'"),
            (2, "name must be not empty, not ''"),
            (2, "email must be an address with one @, not 'nobody'"),
            (2, "country must be two capital letters, not 'gb'"),
        ],
    ),
    (HEADING + "C-1,Ada,a@b,GB\n\nC-1,Ada,a@b,GB\n", [(4, "the number 'C-1' stands in line 2 already")]),
    (HEADING + 'C-1,Ada,a@b,GB\n"C-2,Ada,a@b,GB\n', [(3, "this is no CSV: unexpected end of data")]),
    (HEADING + "C-1\n" * 1000, [(line, "there must be 4 cells, not 1") for line in range(2, 22)]),
]


async def test_a_bad_file_is_rejected_line_by_line(start: Start) -> None:
    validator = await start("validator")
    for text, problems in REJECTED:
        for _ in range(2):
            status, kind, data = await validator.react("/files", "FileReceived", received(text))
            assert (status, kind, data.keys()) == (200, "FileRejected", {"importId", "file", "problems"})
            assert [(each["line"], each["problem"]) for each in data["problems"]] == problems
        assert (await validator.get("/files"))[received(text)["importId"]] == "rejected"


async def test_a_late_repetition_does_not_undo_a_compensation(start: Start) -> None:
    validator, adaptor = await start("validator"), await start("adaptor")
    for _ in range(2):
        assert (await validator.react("/files", "FileReceived", received()))[:2] == (200, "FileValidated")
        assert await adaptor.react("/batches", "FileValidated", received()) == (200, None, adapted())
        removed = {"importId": ID, "file": "customers.csv", "reason": "creation failed: rejected"}
        undone = await adaptor.react("/batches/removals", "CreationFailed", adapted(), choregosreason="rejected")
        assert undone == (200, None, removed)
        assert await validator.react("/files/reversals", "BatchRemoved", removed) == (200, None, removed)
    assert (await validator.react("/files", "FileReceived", received()))[:2] == (200, "FileValidated")
    assert await adaptor.react("/batches", "FileValidated", received()) == (200, None, adapted())
    assert await validator.get("/files") == {ID: "reverted"}
    assert await adaptor.get("/batches") == {ID: "removed"}


async def test_the_largest_file_fits_into_an_event_when_it_is_adapted(start: Start) -> None:
    validator, adaptor = await start("validator"), await start("adaptor")
    text, number = HEADING, 0
    while len(text) < 64 * 1024 - 16:
        text, number = f"{text}C-{number},a,a@b,GB\n", number + 1
    assert (await validator.react("/files", "FileReceived", received(text)))[1] == "FileValidated"
    status, _, data = await adaptor.react("/batches", "FileValidated", received(text))
    assert (status, len(data["customers"])) == (200, number)
    assert len(json.dumps(data)) < MAX_PAYLOAD - HEADROOM


async def test_an_import_is_done_once_and_never_again_over_a_later_one(start: Start) -> None:
    creator = await start("creator")
    moved = {**CUSTOMERS[0], "address": {"countryCode": "NL"}}
    done = {"importId": ID, "file": "customers.csv", "created": 2, "updated": 0}
    for _ in range(2):
        assert await creator.react("/customers", "FileAdapted", adapted()) == (200, None, done)
    later = (await creator.react("/customers", "FileAdapted", adapted("later", [moved])))[2]
    assert (later["created"], later["updated"]) == (0, 1)
    assert await creator.react("/customers", "FileAdapted", adapted()) == (200, None, done)
    assert await creator.get("/customers") == {"C-1": moved, "C-2": CUSTOMERS[1]}


async def test_a_batch_that_the_target_will_not_have_is_422_and_nothing_of_it_is_created(start: Start) -> None:
    creator = await start("creator")
    abroad = {**CUSTOMERS[1], "address": {"countryCode": "SE"}}
    status, _, sentence = await creator.react("/customers", "FileAdapted", adapted("x", [CUSTOMERS[0], abroad]))
    assert status == 422
    assert sentence == "no customers are kept in the country of C-2; it must be one of DE, FR, GB, NL"
    no_batches: list[Any] = [None, {}, "C-1", [None], [{"id": "C-1"}], [{"id": 1, "address": {"countryCode": "GB"}}]]
    for batch in no_batches:
        assert (await creator.react("/customers", "FileAdapted", adapted("y", batch)))[0] == 422, batch
    assert await creator.get("/customers") == {}


async def test_an_effect_whose_answer_never_arrived_is_undone(start: Start) -> None:
    creator = await start("creator")
    first, moved = CUSTOMERS[0], {**CUSTOMERS[0], "address": {"countryCode": "NL"}}
    await creator.react("/customers", "FileAdapted", adapted("week 1", [first]))
    await creator.react("/customers", "FileAdapted", adapted("week 2", [moved, CUSTOMERS[1]]))
    for _ in range(2):
        failed = adapted("week 2", [moved, CUSTOMERS[1]])
        assert (await creator.react("/customers/reversals", "CreationFailed", failed))[0] == 204
        assert await creator.get("/customers") == {"C-1": first}
        assert (await creator.react("/customers", "FileAdapted", failed))[0] == 422, "a late repetition"


async def test_what_a_later_file_wrote_is_left_alone_by_a_compensation(start: Start) -> None:
    creator = await start("creator")
    moved = {**CUSTOMERS[0], "address": {"countryCode": "NL"}}
    await creator.react("/customers", "FileAdapted", adapted("week 1", CUSTOMERS))
    await creator.react("/customers", "FileAdapted", adapted("week 2", [moved]))
    await creator.react("/customers/reversals", "CreationFailed", adapted("week 1", CUSTOMERS))
    assert await creator.get("/customers") == {"C-1": moved}


async def test_the_compensation_of_what_was_never_done_leaves_the_way_open_for_a_redrive(start: Start) -> None:
    creator = await start("creator")
    assert (await creator.react("/customers/reversals", "CreationFailed", adapted()))[0] == 204
    assert (await creator.react("/customers", "FileAdapted", adapted()))[0] == 200


REACTIONS = [
    ("validator", "/files"),
    ("validator", "/files/reversals"),
    ("adaptor", "/batches"),
    ("adaptor", "/batches/removals"),
    ("creator", "/customers"),
    ("creator", "/customers/reversals"),
]
NO_DATA = [b"{", b"\xff", b"[]", b"{}", b'{"importId": 1}', b'{"importId": "g"}', b"[" * 100_000]


async def test_what_is_no_event_of_ours_is_rejected_for_good_with_a_sentence(start: Start) -> None:
    services = {name: await start(name) for name in ("validator", "adaptor", "creator")}
    for name, path in REACTIONS:
        without_texts = [] if path == "/customers/reversals" else [json.dumps({"importId": ID, "file": 7}).encode()]
        for body in [*NO_DATA, *without_texts]:
            status, _, sentence = await services[name].react(path, "Any", body)
            assert status == 422, (path, body)
            assert "must carry" in sentence or "not JSON" in sentence
    for text in ("", TEXT + "one cell\n", TEXT + '"'):
        status, _, sentence = await services["adaptor"].react("/batches", "FileValidated", received(text))
        assert (status, sentence.startswith("text is no file of customers")) == (422, True)
    assert await services["adaptor"].get("/batches") == {}


# Faults on demand, and the life of the process.


async def test_half_of_the_faults_come_before_the_effect_and_half_after_it(start: Start) -> None:
    adaptor, twin = await start("adaptor", FAIL_RATE="0.5", SEED="7"), await start("adaptor", FAIL_RATE="0.5", SEED="7")
    files = [received(TEXT + f"C-{number},x,a@b,GB\n") for number in range(3, 203)]
    statuses = [(await adaptor.react("/batches", "FileValidated", each))[0] for each in files]
    refused, prepared = statuses.count(503), len(await adaptor.get("/batches"))
    assert statuses.count(200) + refused == 200
    assert 80 <= refused <= 120
    assert 30 <= prepared - statuses.count(200) <= 70, "refused, but with its effect"
    again = [(await twin.event("/batches", "FileValidated", each))[0] for each in files]
    assert again == statuses, "a seed makes the faults the same"


async def test_every_reaction_can_fail_and_faults_spare_clients(start: Start) -> None:
    for name in ("validator", "adaptor", "creator"):
        service = await start(name, FAIL_RATE="1")
        for path in (path for of, path in REACTIONS if of == name):
            assert (await service.react(path, "Any", {**adapted(), "reason": "x"}))[0] == 503, path
        assert isinstance(
            await service.get({"validator": "/files", "adaptor": "/batches"}.get(name, "/customers")), dict
        )


@pytest.mark.parametrize(
    ("name", "environment", "sentence"),
    [
        ("validator", {}, "PORT must be a number from 0 to 65535, not ''"),
        ("creator", {"PORT": "0", "FAIL_RATE": "10%"}, "FAIL_RATE must be a number from 0 to 1, not '10%'"),
        ("timer", {"PORT": "0", "EVERY_S": "0"}, "EVERY_S must be a number from 1 to 604800, not '0'"),
        ("job", {}, "CHOREGOS_PUBLISH_URL must be a URL such as http://127.0.0.1:9480, not ''"),
        ("job", {"CHOREGOS_PUBLISH_URL": NOBODY, "INBOX": "/no/where"}, "INBOX must be a directory, not '/no/where'"),
        ("job", {"PATIENCE_S": "nan"}, "PATIENCE_S must be a number from 0 to 3600, not 'nan'"),
    ],
)
def test_a_bad_setting_ends_the_start_with_one_sentence(
    processes: ExampleProcesses, name: str, environment: dict[str, str], sentence: str
) -> None:
    process = processes.run(name, **environment)
    output, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output, error.decode().strip()) == (1, b"", sentence)


def test_the_local_file_starts_what_is_there() -> None:
    choreography = yaml.safe_load((EXAMPLE / "choreography.yaml").read_text())
    local = yaml.safe_load((EXAMPLE / "choregos.local.yaml").read_text())["services"]
    assert local.keys() == choreography["spec"]["services"].keys()
    for name, service in local.items():
        assert service["command"] == ["python", "timer.py" if name == "intake" else f"{name}.py"]
        assert (EXAMPLE / service["command"][1]).is_file()


def test_the_choreography_lints_without_a_finding() -> None:
    linted = choregos("lint", "--strict", str(EXAMPLE))
    assert (linted.returncode, linted.stdout) == (0, "fine: 1 resource in 1 file\n")
