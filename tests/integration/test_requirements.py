"""What NATS lacks is said in words, and the ambassador begins by itself when it is there."""

import asyncio
from typing import Any, cast

import pytest

from choregos_ambassador import requirements
from choregos_ambassador.bus import Bus
from choregos_ambassador.jetstream_info import StreamInfo
from choregos_ambassador.log import log
from choregos_ambassador.storing import BusFault
from choregos_contract.configure import configurations
from choregos_contract.names import BusNames
from support.ambassador import Ambassador
from support.bus import connected, wired
from support.nats import NatsServer
from support.scene import SERVICE, worker
from support.service import Service


async def missing(ambassador: Ambassador, words: str) -> None:
    """Wait until the ambassador says that it lacks this."""
    await ambassador.until(
        lambda: any(words in line["missing"] for line in ambassador.lines if line["message"] == "not usable yet")
    )


@pytest.mark.parametrize(
    ("config", "mended"),
    [
        ("", "jetstream {}"),
        (
            "jetstream {}, accounts { A { jetstream: disabled, users: [{user: a, password: a}] } }, no_auth_user: a",
            "jetstream {}, accounts { A { jetstream: enabled, users: [{user: a, password: a}] } }, no_auth_user: a",
        ),
    ],
    ids=["server", "account"],
)
async def test_without_jetstream_then_without_streams_it_says_so_and_then_begins(config: str, mended: str) -> None:
    with NatsServer(config, jetstream=False) as server:
        async with Service() as service, connected(server.url) as connection:
            shop = worker(port=service.port)
            async with Ambassador(server.url, configurations([shop], None, generation=1)[SERVICE]) as ambassador:
                await missing(ambassador, "not enabled for this")
                server.stop()
                server.configure(mended)
                server.start()
                await missing(ambassador, "the stream choregos_shipping_default_events: the bus is not wired yet")
                assert not [line for line in ambassador.lines if line["message"] == "configured"]
                bus = await wired(connection, shop)
                await ambassador.logged("configured")
                await bus.publish("Placed")
                await service.until_calls(1)


class OldServer:
    """As much of a bus as `requirements` asks; an older server than can be had."""

    def __init__(self, *answers: StreamInfo | BusFault, version: tuple[int, int] = (2, 10)) -> None:
        self.server_version = version
        self.connected = asyncio.Event()
        self.connected.set()
        self._answers = list(answers)

    async def stream_info(self, stream: str) -> StreamInfo:
        assert stream == "choregos_n_default_events"
        answer = self._answers.pop(0)
        if isinstance(answer, BusFault):
            raise answer
        return answer


async def until_met(bus: OldServer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run to the end; returns what was said to be missing."""
    monkeypatch.setattr(requirements, "LOOK_EVERY", 0)
    told: list[str] = []
    monkeypatch.setattr(log, "error", lambda _message, *, missing: told.append(missing))
    await requirements.met(cast("Bus", bus), BusNames(namespace="n"))
    return told


async def test_an_older_server_is_named_with_the_oldest_that_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = OldServer(StreamInfo(), version=(2, 9))
    waiting = asyncio.create_task(until_met(bus, monkeypatch))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    bus.server_version = (2, 10)
    assert await waiting == ["nats-server 2.10 or later; this one is 2.9"]


def error(code: int, description: str) -> BusFault:
    return BusFault(description, err_code=code)


async def test_each_thing_that_is_missing_is_said_once_until_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [BusFault("no answer")] * 3 + [error(10039, "not enabled")] * 2
    answers += [error(10059, "stream not found")] * 3 + [error(1, "odd")] * 2 + [StreamInfo(created="2026")]
    assert await until_met(OldServer(*answers), monkeypatch) == [
        "JetStream, with the permission to ask for the stream choregos_n_default_events: no answer",
        "JetStream, which is not enabled for this account: not enabled",
        "the stream choregos_n_default_events: the bus is not wired yet",
        "the stream choregos_n_default_events: odd",
    ]


async def test_while_nats_is_away_nothing_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = OldServer(StreamInfo())
    bus.connected.clear()
    waiting = asyncio.create_task(until_met(bus, monkeypatch))
    for _ in range(10):
        await asyncio.sleep(0)
    bus.connected.set()
    assert await waiting == []
