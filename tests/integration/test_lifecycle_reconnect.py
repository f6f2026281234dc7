"""Many ambassadors lose the same server at the same moment; they come back one by one, and soon."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

import aiohttp
import nats
from nats.aio.client import Client

from choregos_ambassador.bus import Bus
from choregos_ambassador.credentials import Credentials
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.nats_client import LONGEST_PAUSE
from support.fleet import FLEET, fleet
from support.nats import NatsServer
from support.ports import free_port
from support.producer import publish_come_what_may
from support.scene import scene
from support.service import always
from support.waiting import wait_for

OUTAGE = 1.5
"""Seconds: the second attempt is over for many, and not the third."""
AT_ONCE = 0.1
FEW = 30
"""How many of the fleet may come in AT_ONCE: twice what chance brings about, for a machine that stumbles."""
BACK_WITHIN = LONGEST_PAUSE + 2.0
"""Seconds after the server is back in which all are: the longest pause, and the connection itself."""
REPLICAS = 3


@asynccontextmanager
async def plain_fleet(url: str) -> AsyncIterator[list[Client]]:
    """Connections as nats-py makes them, when it is told the same."""

    async def told(_: Exception) -> None:
        """It is away, as we know."""

    options = {"max_reconnect_attempts": -1, "reconnect_time_wait": 1, "error_cb": told}
    clients = await asyncio.gather(*(nats.connect(url, name="plain", **options) for _ in range(FLEET)))
    try:
        yield clients
    finally:
        await asyncio.gather(*(client.close() for client in clients))


async def begun(monitoring: int, name: str) -> list[float]:
    """When the server accepted each of the connections of that name that it has now; times of day, in order."""
    url = f"http://127.0.0.1:{monitoring}/connz?limit={4 * FLEET}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        connections = (await answer.json())["connections"]
    return sorted(_seconds(each["start"]) for each in connections if each.get("name") == name)


def _seconds(text: str) -> float:
    """Read RFC 3339 with nanoseconds, of which Python reads six digits."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or '0'}")


def crowd(times: list[float]) -> int:
    """The most that came within AT_ONCE."""
    return max(sum(1 for each in times if first <= each < first + AT_ONCE) for first in times)


async def outage(server: NatsServer) -> None:
    await asyncio.to_thread(server.stop)
    await asyncio.sleep(OUTAGE)  # the outage itself
    await asyncio.to_thread(server.start)


async def test_fifty_ambassadors_come_back_one_by_one_where_nats_pys_own_clients_come_all_at_once() -> None:
    monitoring = free_port()
    with NatsServer(f'http: "127.0.0.1:{monitoring}"') as server:
        async with fleet(server.url) as ours, plain_fleet(server.url) as plain:
            await outage(server)
            back = asyncio.get_running_loop().time()
            async with asyncio.timeout(BACK_WITHIN):
                await asyncio.gather(*(bus.connected.wait() for bus in ours))
            taken = asyncio.get_running_loop().time() - back
            await wait_for(lambda: all(client.is_connected for client in plain), "nats-py is back")
            spread, lockstep = await begun(monitoring, "fleet"), await begun(monitoring, "plain")
    assert len(spread) == len(lockstep) == FLEET
    assert crowd(spread) <= FEW, [round(each - spread[0], 3) for each in spread]
    assert taken <= BACK_WITHIN
    assert crowd(lockstep) > FEW, "nats-py's pauses are drawn by chance now: ours can go"


async def test_a_restart_that_takes_no_time_is_met_one_by_one_too() -> None:
    """All notice it at the same moment, and the server is there for the first of them."""
    monitoring = free_port()
    with NatsServer(f'http: "127.0.0.1:{monitoring}"') as server:
        async with fleet(server.url) as ours:
            await asyncio.to_thread(server.restart)
            async with asyncio.timeout(BACK_WITHIN):
                for bus in ours:
                    await wait_for(lambda bus=bus: bus.client.stats["reconnects"] == 1)  # type: ignore[misc]
            spread = await begun(monitoring, "fleet")
    assert len(spread) == FLEET
    assert crowd(spread) <= FEW, [round(each - spread[0], 3) for each in spread]


async def test_the_first_connection_waits_for_nothing() -> None:
    """Only who has had a connection, or was refused one, waits."""
    with NatsServer() as server:
        bus = Bus(Metrics(), Credentials(None))
        async with asyncio.timeout(0.8):
            await bus.connect([server.url], "first")
        await bus.close()


async def test_where_another_server_is_there_nobody_waits_for_the_one_that_is_gone() -> None:
    """The servers are tried one after the other, and a pause comes only after all of them."""
    with NatsServer() as lost, NatsServer() as there:
        lost.stop()
        started = asyncio.get_running_loop().time()
        bus = Bus(Metrics(), Credentials(None))
        await bus.connect([lost.url] * 5 + [there.url], "first")
        assert asyncio.get_running_loop().time() - started < 0.8
        await bus.close()


async def test_three_replicas_lose_nothing_while_a_fleet_comes_back_with_them() -> None:
    """NATS is restarted twice under load, with all of the fleet connected."""
    produced: list[str] = []
    async with scene() as shop, fleet(shop.server.url), AsyncExitStack() as replicas:
        shop.service.handler = always(200, b"{}", content_type="application/json")
        await shop.bus.shorten_ack_wait("worker", "Placed", 1)
        running = [await replicas.enter_async_context(shop.ambassador()) for _ in range(REPLICAS)]
        for restart in (1, 2):
            events = [f"{restart}-{number}" for number in range(150)]
            produced += events
            before = len(shop.service.calls)
            producer = asyncio.create_task(publish_come_what_may(shop.bus, events))
            await shop.service.until_calls(before + len(events) // 4)
            await asyncio.to_thread(shop.server.restart)
            for each in running:
                await each.until(
                    lambda each=each, times=restart + 1: _times(each.lines, "connected") == times,  # type: ignore[misc]
                    BACK_WITHIN,
                )
            await producer
        await shop.settled()
        assert await shop.causes() == sorted(produced)
        assert not await shop.bus.dead_letters()


def _times(lines: list[dict[str, object]], message: str) -> int:
    return len([line for line in lines if line["message"] == message])
