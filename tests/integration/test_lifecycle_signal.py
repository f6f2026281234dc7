"""A signal at any moment: early ones end the process well, a second one ends it at once, and nothing in hand is lost."""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from choregos_contract.configure import configurations
from support.ambassador import Ambassador
from support.nats import NatsServer
from support.scene import SERVICE, Scene, scene, worker
from support.service import Call, always
from support.waiting import wait_for

BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
AT_ONCE = 3.0
"""Seconds in which a process ends that has nothing in hand and nothing to wait for."""
PATIENCE = 20.0
json_answer = always(200, b"{}", content_type="application/json")


def listens_for_sigterm(pid: int) -> bool:
    """Whether the process has a handler for SIGTERM, which Python itself does not give it."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) & 1 << (signal.SIGTERM - 1))


async def ends_well(ambassador: Ambassador, number: int) -> None:
    """Send the signal, and see the process end at once, as one that was asked to."""
    ambassador.signal(number)
    started = time.monotonic()
    assert await ambassador.ended() == 0, ambassador.output.decode()
    assert time.monotonic() - started < AT_ONCE
    assert b"Traceback" not in ambassador.output
    assert not [line for line in ambassador.lines if line["message"] == "bug"]


@BOTH
async def test_a_signal_while_the_process_still_loads_its_modules_ends_it_well(number: signal.Signals) -> None:
    """As the first process of a container, it would never hear of a signal that it has no handler for."""
    settings = {"CHOREGOS_CONFIG": "/nowhere/configuration.json", "CHOREGOS_NATS_URL": "nats://127.0.0.1:1"}
    ports = {"CHOREGOS_PUBLISH_PORT": "0", "CHOREGOS_PROBES_PORT": "0"}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "choregos_ambassador"), env=os.environ | settings | ports, stdout=pipe, stderr=pipe
    )
    async with asyncio.timeout(PATIENCE):
        await wait_for(lambda: listens_for_sigterm(process.pid), "it listens for SIGTERM")
        os.kill(process.pid, number)
        output, complaint = await process.communicate()
    assert (process.returncode, output, complaint) == (0, b"", b""), "it ended before it had begun"


@BOTH
async def test_a_signal_while_nats_accepts_and_says_nothing_ends_it_well(number: signal.Signals) -> None:
    async with (
        silent_server() as (port, heard),
        Ambassador(f"nats://127.0.0.1:{port}", configurations([worker()], None, generation=1)[SERVICE]) as ambassador,
    ):
        await heard.wait()
        await ends_well(ambassador, number)


@BOTH
async def test_a_signal_before_the_bus_is_wired_ends_it_well(number: signal.Signals) -> None:
    with NatsServer() as server:
        async with Ambassador(server.url, configurations([worker()], None, generation=1)[SERVICE]) as ambassador:
            await ambassador.logged("not usable yet")
            await ends_well(ambassador, number)


@BOTH
async def test_a_signal_while_nats_is_tried_again_ends_it_well(number: signal.Signals) -> None:
    async with scene() as shop, shop.ambassador() as ambassador:
        await ambassador.logged("configured")
        await asyncio.to_thread(shop.server.stop)
        await ambassador.logged("disconnected")
        await ends_well(ambassador, number)


@pytest.mark.parametrize(
    ("sudden", "code"),
    [(signal.SIGINT, 128 + signal.SIGINT), (signal.SIGKILL, -signal.SIGKILL)],
    ids=["a second signal", "the end of the grace period"],
)
async def test_what_was_in_hand_at_a_sudden_end_comes_to_another(sudden: signal.Signals, code: int) -> None:
    """A request that outlasts the grace period is cut off by SIGKILL; what it was for is delivered again."""
    async with scene() as shop:
        await shop.bus.shorten_ack_wait(SERVICE, "Placed", 2)
        async with in_hand(shop, 5) as ambassador:
            ambassador.signal(signal.SIGTERM)
            await ambassador.logged("draining")
            started = time.monotonic()
            ambassador.signal(sudden)
            assert await ambassador.ended() == code
            assert time.monotonic() - started < 1
        shop.service.handler = json_answer
        async with shop.ambassador():
            await shop.settled()
        assert await shop.causes() == sorted([f"e{n}" for n in range(5)] + [f"warm{n}" for n in range(20)])
        assert Counter(shop.called()) == {f"e{n}": 2 for n in range(5)}, "once more, and not oftener"
        assert not await shop.bus.dead_letters()


@asynccontextmanager
async def in_hand(shop: Scene, number: int) -> AsyncIterator[Ambassador]:
    """An ambassador past its slow start, with so many events at a service that never answers."""

    async def hang(_: Call) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    shop.service.handler = json_answer
    async with shop.ambassador() as ambassador:
        await shop.publish(20, prefix="warm")
        await shop.settled()
        shop.service.calls.clear()
        shop.service.handler = hang
        await shop.publish(number)
        await shop.service.until_calls(number)
        yield ambassador


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A server that accepts, and greets nobody; the event is set at the first connection."""
    heard = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set()
        while await reader.read(1 << 16):
            pass
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard
