"""A round of faults: nothing is lost, doubled or stuck. And the judge finds in real streams what was planted there."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from chaos import streams
from chaos.customers import Customers
from chaos.evidence import gather
from chaos.judge import judge
from chaos.judgement import Wrong
from chaos.ledger import Accepted, Ledger
from chaos.round import rest
from chaos.streams import StoredEvent
from chaos.theatre import Kind, Runner, Theatre, theatre
from support.bus import Stored

FAULTS = "kill-*,end-*,die-*,outlast-window,cut-*,black-hole-service,latency-*,pause-service,slow-service"
"""Three families and more; all of them in a long round."""
FEWEST = 15
TESTS = Path(__file__).parents[1]


@asynccontextmanager
async def command(tmp_path: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the command in a session of its own, with all its temporary files in one place; see that nothing is left of it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chaos", *options),
        env={**os.environ, "PYTHONPATH": str(TESTS), "TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def left_over(tmp_path: Path) -> list[str]:
    """What is in our temporary directory, and the processes that have it in their environment."""
    found = [str(each) for each in tmp_path.iterdir()]
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={tmp_path}".encode() in (each / "environ").read_bytes():
                found.append((each / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


@pytest.mark.timeout(400)
async def test_a_round_of_a_minute_loses_doubles_and_leaves_nothing(tmp_path: Path) -> None:
    async with command(tmp_path, "--duration", "60s", "--faults", FAULTS, "--every", "2.5s", "--rate", "15") as process:
        output, told = await process.communicate()
        assert process.returncode == 0, told.decode()
    found = json.loads(output.splitlines()[-1])
    assert (found["lost"], found["doubled"], found["stuck"], found["errors"]) == (0, 0, 0, 0), told.decode()
    assert found["faults"] >= FEWEST, told.decode()
    assert found["events"] > 4 * found["accepted"] > 0
    assert found["redelivered"] > 0, "the faults did no harm"
    assert found["recovery"].keys() >= {"outlast-window"}, told.decode()
    assert not left_over(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_round_that_is_interrupted_leaves_no_process_and_no_file(
    number: signal.Signals, tmp_path: Path
) -> None:
    """As Ctrl-C does it: the signal goes to the whole group."""
    async with command(tmp_path, "--faults", "kill-*,end-*", "--every", "0.5s") as process:
        assert process.stderr
        while b"end-nats" not in await process.stderr.readline():
            pass
        os.killpg(process.pid, number)
        async with asyncio.timeout(60):
            _, told = await process.communicate()
        assert process.returncode == 130, told.decode()
    assert not left_over(tmp_path)


async def plant_loss(played: Theatre) -> str:
    """Have the stream lose a reply."""
    invoice = await any_event(played, "InvoiceDrawn")
    answer = await played.bus.api(f"STREAM.MSG.DELETE.{played.bus.names.event_stream}", {"seq": invoice.sequence})
    assert answer["success"]
    return invoice.causation


async def plant_order_lost(played: Theatre) -> str:
    """Promise somebody what nobody stored."""
    ledger = Ledger(played.directory / "customers.ledger")
    ledger.write([Accepted("never-stored", "t", 1, 0.0)])
    ledger.close()
    return "never-stored"


async def plant_reply_twice(played: Theatre) -> str:
    """Store a reply again, past the deduplication."""
    reply = await any_event(played, "PaymentTaken")
    (stored,) = [each for each in await played.bus.events("PaymentTaken") if each.sequence == reply.sequence]
    await store_again(played, stored)
    return reply.id


async def plant_letter_twice(played: Theatre) -> str:
    """Store a dead letter again, past the deduplication."""
    letter = (await played.bus.dead_letters())[0]
    await store_again(played, letter)
    return letter.headers["ce-id"]


async def plant_stuck(played: Theatre) -> str:
    """Store an order that nobody takes: the ambassadors are gone."""
    await played.bus.publish("OrderPlaced", b'{"order": 0, "broke": false}', "nobody-takes-me", correlationid="t")
    return "nobody-takes-me"


async def plant_durable_made_anew(played: Theatre) -> str:
    """Have a durable deleted, and made again from now on: it will never bring what it has not brought yet."""
    stream, durable = played.bus.names.event_stream, played.bus.names.durable("stock", "OrderPlaced")
    config = (await played.bus.durable("stock", "OrderPlaced"))["config"]
    assert "error" not in await played.bus.api(f"CONSUMER.DELETE.{stream}.{durable}")
    for name in ("opt_start_time", "opt_start_seq"):
        config.pop(name, None)
    anew = {"stream_name": stream, "config": config | {"deliver_policy": "new"}}
    assert "error" not in await played.bus.api(f"CONSUMER.DURABLE.CREATE.{stream}.{durable}", anew)
    return "nobody-takes-me"


async def plant_purge(played: Theatre) -> str:
    """Have the stream forget all that customers were promised."""
    *_, order, _ = [each for each in (await streams.read(played.bus)).events if each.type == "OrderPlaced"]
    assert "error" not in await played.bus.api(f"STREAM.PURGE.{played.bus.names.event_stream}")
    return order.id


@pytest.mark.timeout(300)
async def test_what_is_planted_in_real_streams_is_found(tmp_path: Path) -> None:
    planted: dict[Callable[[Theatre], Awaitable[str]], Wrong] = {
        plant_loss: Wrong.LOST,
        plant_order_lost: Wrong.LOST,
        plant_reply_twice: Wrong.DOUBLED,
        plant_letter_twice: Wrong.DOUBLED,
        plant_stuck: Wrong.STUCK,
        plant_durable_made_anew: Wrong.LOST,
        plant_purge: Wrong.LOST,
    }
    async with theatre(tmp_path, Kind.SINGLE, Runner.CHOREGOS) as played:
        await Customers(played, 20, Random(1)).shop(3)
        assert await rest(played, 60)
        assert not await found(played)
        for each in played.replicas:
            await each.ambassador.stop()
        known: set[tuple[Wrong, str]] = set()
        for plant, wrong in planted.items():
            event = await plant(played)
            now = await found(played)
            assert (wrong, event) in now - known, plant.__doc__
            known = now


async def found(played: Theatre) -> set[tuple[Wrong, str]]:
    evidence = await asyncio.to_thread(gather, played.directory, await streams.read(played.bus))
    return {(each.wrong, each.event) for each in judge(evidence).findings}


async def any_event(played: Theatre, event_type: str) -> StoredEvent:
    return next(each for each in (await streams.read(played.bus)).events if each.type == event_type)


async def store_again(played: Theatre, stored: Stored) -> None:
    headers = {name: value for name, value in stored.headers.items() if name != "Nats-Msg-Id"}
    await played.bus.publish_raw(stored.subject, stored.data, headers)
