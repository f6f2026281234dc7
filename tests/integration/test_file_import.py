"""The file import as a whole: job, services, ambassadors and JetStream, all of them real."""

import asyncio
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import pytest_asyncio
import yaml

from choregos_cli.happenings import DeadLettered, EventStored
from choregos_cli.local_run import LocalRun
from support.bus import connected

EXAMPLE = Path(__file__).parents[2] / "examples" / "file-import"
GOOD, REJECTED, REFUSED = (EXAMPLE / "inbox" / f"2026-w{week}.csv" for week in (45, 46, 47))
PATIENCE = 30.0


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy of the example without faults, whose job is run by the test and finds an empty inbox."""
    copy = tmp_path / "file-import"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("*.csv", "__pycache__"))
    local = yaml.safe_load((copy / "choregos.local.yaml").read_text())
    del local["services"]["intake"]
    for service in local["services"].values():
        service["env"]["FAIL_RATE"] = "0"
    (copy / "choregos.local.yaml").write_text(yaml.safe_dump(local))
    return copy


@pytest_asyncio.fixture
async def run(example: Path) -> AsyncIterator[LocalRun]:
    async with LocalRun(example / "choreography.yaml") as running:
        yield running


async def job(run: LocalRun, example: Path) -> str:
    """Run the job to its end, as a CronJob would; return what it wrote."""
    environment = {**os.environ, "CHOREGOS_PUBLISH_URL": run.services["intake"][0].publish_url}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "job.py", cwd=example, env=environment, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE):
        output, _ = await process.communicate()
    assert process.returncode == 0, output
    return output.decode()


async def until_idle(run: LocalRun) -> None:
    deadline = time.monotonic() + PATIENCE
    while not await run.idle():
        assert time.monotonic() < deadline, await run.backlog()
        await asyncio.sleep(0.05)


async def history(run: LocalRun) -> list[str]:
    """The events and dead letters on the bus, each kind in its order; a dead letter by its service and reason."""
    return [
        stored.type if isinstance(stored, EventStored) else f"dead letter of {stored.service}: {stored.reason}"
        for stored in await run.stored()
    ]


async def state(run: LocalRun, service: str, path: str) -> Any:
    def get() -> Any:
        with urlopen(run.services[service][0].url + path, timeout=PATIENCE) as answer:
            return json.load(answer)

    return await asyncio.to_thread(get)


async def outcome(run: LocalRun, event_type: str) -> dict[str, Any]:
    """Wait for an event that ends a transaction; return its data."""
    stored = await run.until(EventStored, lambda event: event.type == event_type, within=PATIENCE)
    return dict(json.loads(stored.data))


async def test_a_good_file_becomes_records(run: LocalRun, example: Path) -> None:
    shutil.copy(GOOD, example / "inbox")
    await job(run, example)
    created = await outcome(run, "RecordsCreated")
    assert (created["file"], created["created"]) == (GOOD.name, 3)
    await until_idle(run)
    assert await history(run) == ["FileReceived", "FileValidated", "FileAdapted", "RecordsCreated"]
    assert (await state(run, "creator", "/customers"))["C-1002"]["displayName"] == "Noether, Emmy"


async def test_a_bad_file_is_rejected_with_the_reasons_per_line(run: LocalRun, example: Path) -> None:
    shutil.copy(REJECTED, example / "inbox")
    await job(run, example)
    rejected = await outcome(run, "FileRejected")
    assert [each["line"] for each in rejected["problems"]] == [3, 4, 5, 5, 5]
    assert rejected["problems"][0]["problem"] == "number must be C- and digits, not '1005'"
    await until_idle(run)
    assert await history(run) == ["FileReceived", "FileRejected"]
    assert await state(run, "creator", "/customers") == {}


async def test_a_poisonous_file_is_undone_and_its_dead_letter_holds_the_original_bytes(
    run: LocalRun, example: Path
) -> None:
    shutil.copy(REFUSED, example / "inbox")
    await job(run, example)
    reverted = await outcome(run, "ImportReverted")
    assert reverted["reason"] == "creation failed: rejected"
    await until_idle(run)

    there = ["FileReceived", "FileValidated", "FileAdapted"]
    back = ["CreationFailed", "BatchRemoved", "ImportReverted"]
    assert await history(run) == [*there, *back, "dead letter of creator: rejected"]
    import_id = reverted["importId"]
    assert await state(run, "validator", "/files") == {import_id: "reverted"}
    assert await state(run, "adaptor", "/batches") == {import_id: "removed"}
    assert await state(run, "creator", "/customers") == {}

    letter = await run.until(DeadLettered)
    assert (letter.event_type, letter.attempts, letter.last_status) == ("FileAdapted", 1, 422)
    assert letter.failure_emitted
    async with connected(run.nats_url) as connection:
        body = (await connection.jetstream().get_msg(letter.stream, letter.sequence)).data
    adapted = await run.until(EventStored, lambda event: event.type == "FileAdapted")
    failed = await run.until(EventStored, lambda event: event.type == "CreationFailed")
    assert body == adapted.data == failed.data
    # The week's file itself: CRLF, quotes and accents as they came.
    assert json.loads(body or b"")["text"].encode() == REFUSED.read_bytes()
    assert b"\r\n" in REFUSED.read_bytes()


async def test_the_job_run_twice_imports_once(run: LocalRun, example: Path) -> None:
    shutil.copy(GOOD, example / "inbox")
    first, second = await job(run, example), await job(run, example)
    assert f"{GOOD.name}: published" in first
    assert second == first.replace("published", "known already")
    await outcome(run, "RecordsCreated")
    await until_idle(run)
    assert await history(run) == ["FileReceived", "FileValidated", "FileAdapted", "RecordsCreated"]


async def test_a_run_after_the_bus_has_forgotten_the_first_changes_nothing(example: Path) -> None:
    """The stream recognises an event for a while only; beyond it, the services know the import."""
    with (example / "choreography.yaml").open("a") as file:
        bus = {"apiVersion": "choregos.dev/v1alpha1", "kind": "EventBus", "spec": {"stream": {"duplicateWindow": "1s"}}}
        file.write("---\n" + yaml.safe_dump({**bus, "metadata": {"name": "default", "namespace": "crm"}}))
    shutil.copy(GOOD, example / "inbox")
    async with LocalRun(example / "choreography.yaml") as run:
        first = await job(run, example)
        created = await outcome(run, "RecordsCreated")
        forgotten = time.monotonic() + 1.0  # the window of the last event, and so of all
        customers = await state(run, "creator", "/customers")
        async with asyncio.timeout(PATIENCE):
            await asyncio.sleep(max(0.0, forgotten - time.monotonic()))
            while await job(run, example) != first:
                pass
        await until_idle(run)

        stored = [event for event in await run.stored() if isinstance(event, EventStored)]
        assert [event.type for event in stored].count("FileReceived") == 2
        assert len({event.id for event in stored}) == 4, "the same events again, by their ids"
        again = [json.loads(event.data) for event in stored if event.type == "RecordsCreated"]
        assert again == [created] * 2
        assert await state(run, "creator", "/customers") == customers


async def test_what_the_creator_did_and_never_told_is_undone_when_its_retries_are_exhausted(example: Path) -> None:
    local = yaml.safe_load((example / "choregos.local.yaml").read_text())
    # With this seed the first attempt fails before its effect, the second after it, and so does the first reversal.
    local["services"]["creator"]["env"] = {"FAIL_RATE": "0.8", "SEED": "5"}
    (example / "choregos.local.yaml").write_text(yaml.safe_dump(local))
    choreography = (example / "choreography.yaml").read_text()
    hasty = choreography.replace("retry: 5, backoffDelay: 1s", "retry: 1, backoffDelay: 10ms")
    assert hasty != choreography
    (example / "choreography.yaml").write_text(hasty)
    shutil.copy(GOOD, example / "inbox")
    async with LocalRun(example / "choreography.yaml") as run:
        await job(run, example)
        assert (await outcome(run, "ImportReverted"))["reason"] == "creation failed: exhausted"
        await until_idle(run)
        letter = await run.until(DeadLettered)
        assert (letter.event_type, letter.attempts) == ("FileAdapted", 2)
        assert "after the effect" in str(letter.last_error)
        assert (await history(run))[-1] == "dead letter of creator: exhausted"
        assert await state(run, "creator", "/customers") == {}


async def test_the_example_as_it_is_survives_its_faults() -> None:
    """What the README promises: the timer runs the job, and each of the three files comes to its own end."""
    async with LocalRun(EXAMPLE / "choreography.yaml") as run:
        for event_type, file in (("RecordsCreated", GOOD), ("FileRejected", REJECTED), ("ImportReverted", REFUSED)):
            assert (await outcome(run, event_type))["file"] == file.name
        await until_idle(run)
        ends = ("RecordsCreated", "FileRejected", "ImportReverted", "dead letter of creator: rejected")
        found = Counter(await history(run))
        assert {end: found[end] for end in ends} == dict.fromkeys(ends, 1)
        assert found["FileReceived"] == 3
        assert sorted(await state(run, "creator", "/customers")) == ["C-1001", "C-1002", "C-1003"]
