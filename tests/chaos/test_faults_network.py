"""What networks do between the ambassador and NATS, or the service: nothing is lost, nothing doubled, nothing stuck."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from support.ambassador import Ambassador
from support.scene import SERVICE, Scene, scene
from support.service import Call, always
from support.tcp_link import End
from support.tcp_proxy import TcpProxy

EVENTS = 80
LATENCY = 0.2
FAST: dict[str, Any] = {"timeout": "1s", "retry": 2, "backoffDelay": "50ms", "backoffMax": "200ms", "concurrency": 8}
OUTAGE = 6.0
"""Seconds, many times the retry budget of FAST."""
json_answer = always(200, b'{"made": true}', content_type="application/json")


@dataclass
class Wire:
    """A shop whose ambassador reaches NATS, or the service, through a proxy."""

    shop: Scene
    proxy: TcpProxy
    ambassador: Ambassador

    async def all_is_well(self, expected: list[str], patience: float = 30.0) -> None:
        """Every event has its reply, once, and none is a dead letter."""
        await self.shop.settled(patience=patience)
        assert await self.shop.causes() == sorted(expected)
        assert not await self.shop.bus.dead_letters()


@asynccontextmanager
async def wire_to_nats(ack_wait: float | None = None) -> AsyncIterator[Wire]:
    async with scene() as shop, TcpProxy("127.0.0.1", shop.server.port) as proxy:
        shop.service.handler = json_answer
        if ack_wait:
            await shop.bus.shorten_ack_wait(SERVICE, "Placed", ack_wait)
        async with Ambassador(f"nats://127.0.0.1:{proxy.port}", shop.configuration) as ambassador:
            await ambassador.logged("configured")
            yield Wire(shop, proxy, ambassador)


@asynccontextmanager
async def wire_to_service(**delivery: Any) -> AsyncIterator[Wire]:
    async with scene(delivery=FAST | delivery) as shop, TcpProxy("127.0.0.1", shop.service.port) as proxy:
        shop.service.handler = json_answer
        through = {"event": "Placed", "emits": ["Done"], "onSuccess": "Done", "port": proxy.port}
        configuration = shop.configured(through, delivery=FAST | delivery)
        async with shop.ambassador(configuration) as ambassador:
            await ambassador.logged("configured")
            yield Wire(shop, proxy, ambassador)


# -- between the ambassador and NATS


async def test_cuts_of_the_connection_to_nats_while_events_flow() -> None:
    """What was on the wire comes back after `ack_wait`, which is short here."""
    async with wire_to_nats(ack_wait=1) as wire:
        publishing = asyncio.create_task(wire.shop.publish(EVENTS))
        for quarter in (1, 2, 3):
            await wire.shop.service.until_calls(quarter * EVENTS // 4)
            wire.proxy.cut()
        await wire.all_is_well(await publishing)


async def test_latency_to_nats_costs_time_and_no_second_delivery() -> None:
    async with wire_to_nats() as wire:
        wire.proxy.delay(LATENCY)
        expected = await wire.shop.publish(EVENTS)
        await wire.all_is_well(expected)
        assert Counter(wire.shop.called()) == Counter(expected)


async def test_a_black_hole_before_nats_shorter_than_the_lease_is_waited_out() -> None:
    """What had an answer when it began is stored when it ends, and the service is not asked again."""
    async with wire_to_nats() as wire:
        may_answer = asyncio.Event()

        async def answer(_: Call) -> web.Response:
            await may_answer.wait()
            return web.Response(body=b"{}", content_type="application/json")

        await wire.shop.publish(20, prefix="warm")
        await wire.shop.settled()
        wire.shop.service.handler = answer
        held = await wire.shop.publish(5, prefix="held")
        await wire.shop.service.until_calls(20 + 5)
        wire.proxy.black_hole()
        may_answer.set()
        later = await wire.shop.publish(5, prefix="later")
        await asyncio.sleep(OUTAGE)  # the fault itself
        wire.proxy.heal()
        await wire.all_is_well([f"warm{number}" for number in range(20)] + held + later)
        assert max(Counter(wire.shop.called()).values()) == 1


async def test_a_connection_that_nats_believes_alive_swallows_nothing_for_good() -> None:
    """The ambassador is told of the end and comes back; its pulls of before still stand, and bring events to nobody."""
    async with wire_to_nats(ack_wait=2) as wire:
        await wire.shop.publish(20, prefix="warm")
        await wire.shop.settled()
        wire.proxy.half_open(told="client")
        expected = await wire.shop.publish(40)
        await wire.all_is_well([f"warm{number}" for number in range(20)] + expected, patience=10)


# -- between the ambassador and the service


async def test_cuts_of_the_connections_to_the_service_in_mid_request() -> None:
    async def answer(_: Call) -> web.Response:
        await asyncio.sleep(0.02)
        return web.Response(body=b"{}", content_type="application/json")

    async with wire_to_service() as wire:
        wire.shop.service.handler = answer
        expected = await wire.shop.publish(EVENTS)
        for quarter in (1, 2, 3):
            await wire.shop.service.until_calls(quarter * EVENTS // 4)
            wire.proxy.cut()
        await wire.all_is_well(expected)


async def test_latency_to_the_service_costs_time_and_no_second_call() -> None:
    async with wire_to_service() as wire:
        wire.proxy.delay(LATENCY)
        expected = await wire.shop.publish(EVENTS)
        await wire.all_is_well(expected)
        assert Counter(wire.shop.called()) == Counter(expected)


async def test_a_black_hole_before_the_service_is_an_outage_and_costs_no_event() -> None:
    """The port accepts all the while, so readiness sees nothing: it takes the time-outs to see it."""
    async with wire_to_service() as wire:
        before = await wire.shop.publish(40, prefix="before")
        await wire.shop.settled()
        wire.proxy.black_hole()
        expected = await wire.shop.publish(60)
        await wire.ambassador.logged("breaker", state="half-open")
        await asyncio.sleep(OUTAGE)  # the fault itself
        wire.proxy.heal()
        await wire.all_is_well(before + expected)


@pytest.mark.parametrize("told", ["client", "target"])
async def test_kept_connections_that_lead_nowhere_cost_no_event(told: End) -> None:
    """One event at a time, so that no breaker sees an outage: as many dead connections are kept as there were at once."""

    async def take_a_while(_: Call) -> web.Response:
        await asyncio.sleep(0.2)
        return web.Response(body=b"{}", content_type="application/json")

    async with wire_to_service() as wire:
        before = await wire.shop.publish(40, prefix="before")
        await wire.shop.settled()
        wire.shop.service.handler = take_a_while
        before += await wire.shop.publish(40, prefix="at-once")
        await wire.shop.settled()
        wire.shop.service.handler = json_answer
        assert wire.proxy.connections > FAST["retry"] + 1
        wire.proxy.half_open(told)
        expected = await wire.shop.publish(1)
        await wire.all_is_well(before + expected)
