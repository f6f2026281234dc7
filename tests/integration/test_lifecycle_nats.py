"""NATS is rolled: it leaves politely, comes back elsewhere, or tells of others; events go on, each of them once."""

import asyncio
import os
import signal
from typing import Any, Self

import pytest

from choregos_ambassador.bus import Bus
from choregos_ambassador.credentials import Credentials
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.nats_client import LONGEST_PAUSE
from support.bus import TestBus, connected
from support.fleet import fleet
from support.nats import NatsServer
from support.ports import free_port
from support.producer import produce
from support.scene import metric, scene
from support.service import always
from support.waiting import wait_for

BACK_WITHIN = LONGEST_PAUSE + 2.0
json_answer = always(200, b"{}", content_type="application/json")


async def test_a_server_that_leaves_politely_is_served_to_the_end_and_found_again() -> None:
    """Lame duck mode, as NATS' own chart ends a pod: JetStream goes first, the connections after it, one by one."""
    config = 'lame_duck_duration: "30s", lame_duck_grace_period: "0s"'
    async with scene(config=config) as shop, fleet(shop.server.url) as others:
        shop.service.handler = json_answer
        await shop.bus.shorten_ack_wait("worker", "Placed", 1)
        async with shop.ambassador() as ambassador:
            ended = asyncio.Event()
            producer = asyncio.create_task(produce(shop.bus, ended))
            await shop.service.until_calls(100)
            os.kill(shop.server.pid, signal.SIGUSR2)

            async def asks_in_vain() -> bool:
                return await metric(ambassador.probes_url, "choregos_bus_faults_total") >= 1

            await wait_for(asks_in_vain, "JetStream has gone, and the connection is there")
            assert _times(ambassador.lines, "disconnected") == 0
            await asyncio.to_thread(
                shop.server.kill
            )  # the end of its grace period; it would close the last one after 30 s
            await asyncio.to_thread(shop.server.start)
            async with asyncio.timeout(BACK_WITHIN):
                await asyncio.gather(*(bus.connected.wait() for bus in others))
            await ambassador.until(lambda: _times(ambassador.lines, "connected") == 2, BACK_WITHIN)
            before = len(shop.service.calls)
            await shop.service.until_calls(before + 50)
            ended.set()
            produced = await producer
            await shop.settled()
            assert [line for line in ambassador.lines if line["level"] == "error"] == []
            assert await metric(ambassador.probes_url, "choregos_consumer_present") == 1
        assert await shop.causes() == sorted(produced)
        assert not await shop.bus.dead_letters()


async def test_a_server_that_comes_back_on_another_port_is_found_by_its_other_url() -> None:
    async with scene() as shop:
        shop.service.handler = json_answer
        here, there = shop.server.port, free_port()
        urls = f"nats://127.0.0.1:{there},nats://127.0.0.1:{here}"
        async with shop.ambassador(CHOREGOS_NATS_URL=urls) as ambassador:
            await shop.publish(5, prefix="here")
            await shop.settled()
            await asyncio.to_thread(shop.server.stop)
            shop.server.port = there
            await asyncio.to_thread(shop.server.start)
            await ambassador.until(lambda: _times(ambassador.lines, "connected") == 2, BACK_WITHIN)
            async with connected(shop.server.url) as connection:
                shop.bus = TestBus(connection, shop.bus.names)
                await shop.publish(5, prefix="there")
                await shop.settled()
                assert await shop.causes() == [f"{where}{n}" for where in ("here", "there") for n in range(5)]


async def test_a_server_that_a_server_has_told_of_is_found_when_that_one_has_gone() -> None:
    """In INFO's `connect_urls`, as every server of a cluster tells of the others."""
    async with scene() as shop, Teller(f"127.0.0.1:{shop.server.port}") as teller:
        shop.service.handler = json_answer
        ids = await shop.publish(5)
        async with shop.ambassador(CHOREGOS_NATS_URL=f"nats://127.0.0.1:{teller.port}") as ambassador:
            await ambassador.logged("connected", nats=f"127.0.0.1:{teller.port}")
            teller.go()
            await ambassador.until(lambda: _times(ambassador.lines, "connected") == 2, BACK_WITHIN)
            await shop.settled()
        assert await shop.causes() == ids


async def test_a_name_is_looked_up_for_every_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod that was made anew has another address, and the name of before."""
    loop = asyncio.get_running_loop()
    look_up, addresses = loop.getaddrinfo, ["127.0.0.2"]
    asked = asyncio.Event()

    async def names(host: str, *arguments: Any, **options: Any) -> Any:
        if host != "nats.example":
            return await look_up(host, *arguments, **options)
        asked.set()
        return await look_up(addresses[-1], *arguments, **options)

    monkeypatch.setattr(loop, "getaddrinfo", names)
    with NatsServer() as server:
        bus = Bus(Metrics(), Credentials(None))
        connecting = asyncio.create_task(bus.connect([f"nats://nats.example:{server.port}"], "test"))
        await asked.wait()
        assert not bus.connected.is_set()
        addresses.append("127.0.0.1")
        async with asyncio.timeout(BACK_WITHIN):
            await connecting
        await bus.close()


class Teller:
    """As much of a server as it takes to tell of another one, and to go."""

    def __init__(self, other: str) -> None:
        self._info = b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576,"headers":true,' + (
            f'"connect_urls":["{other}"]}}\r\n'.encode()
        )
        self._clients: list[asyncio.StreamWriter] = []
        self._listening: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.go()

    def go(self) -> None:
        assert self._listening
        self._listening.close()
        for client in self._clients:
            client.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.append(writer)
        writer.write(self._info)
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")


def _times(lines: list[dict[str, object]], message: str) -> int:
    return len([line for line in lines if line["message"] == message])
