"""A NATS cluster loses its leaders, or a node is cut off: what was promised holds, and everybody goes on."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import nats.errors
import nats.js.errors
import pytest
from aiohttp import web
from msgspec.structs import replace

from choregos_ambassador.delivery import ACK_WAIT
from support.ambassador import Ambassador
from support.bus import TestBus, connected
from support.choreographies import event_bus
from support.nats_cluster import NatsCluster
from support.nats_node import NatsNode
from support.publisher import Publisher, publishing
from support.scene import SERVICE, Shop, set_up
from support.service import Call, Handler, always
from support.waiting import wait_for

_namespaces = count()
made = always(200, b'{"made": true}', content_type="application/json")


@pytest.fixture(scope="module")
def running() -> Iterator[NatsCluster]:
    """One cluster for all tests; they, and all that they start, are inside of its network."""
    with NatsCluster() as running:
        yield running


@pytest.fixture
def cluster(running: NatsCluster) -> Iterator[NatsCluster]:
    """The cluster, with every node in its place afterwards."""
    yield running
    running.heal()
    running.start()


@asynccontextmanager
async def shop(cluster: NatsCluster, *reactions: dict[str, Any], **stream: Any) -> AsyncIterator[Shop]:
    """A service on a bus of its own, of which every node has a copy."""
    namespace = f"shop{next(_namespaces)}"
    bus = event_bus(namespace=namespace, stream={"replicas": 3, **stream})
    async with set_up(cluster.url, *reactions, bus=bus, namespace=namespace) as found:
        yield found


@asynccontextmanager
async def seen_from(nodes: Iterable[NatsNode], found: Shop) -> AsyncIterator[Shop]:
    """The same service and bus; the test, and every further ambassador, is connected to these nodes only."""
    url = ",".join(node.url for node in nodes)
    async with connected(url) as connection:
        yield dataclasses.replace(found, nats_url=url, bus=TestBus(connection, found.bus.names))


async def stream_leader(cluster: NatsCluster, found: Shop) -> NatsNode:
    return await asyncio.to_thread(cluster.leader_of, found.bus.names.event_stream)


async def durable_leader(cluster: NatsCluster, found: Shop) -> NatsNode:
    names = found.bus.names
    return await asyncio.to_thread(cluster.leader_of, names.event_stream, names.durable(SERVICE, "Placed"))


def node_of(cluster: NatsCluster, ambassador: Ambassador) -> NatsNode:
    """The node that an ambassador is connected to."""
    latest = next(line for line in reversed(ambassador.lines) if line["message"] == "connected")
    return next(node for node in cluster.nodes if node.url.endswith(latest["nats"]))


class Held:
    """A service that keeps every request until told how to answer them."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[Handler] = asyncio.get_running_loop().create_future()

    async def __call__(self, call: Call) -> web.Response:
        answer = (await self._answer)(call)
        assert isinstance(answer, web.Response)
        return answer

    def answer(self, answer: Handler) -> None:
        self._answer.set_result(answer)


def publishing_ambassador(found: Shop) -> Ambassador:
    """An ambassador of the service, through which it may publish what it reacts to."""
    return found.ambassador(replace(found.configuration, emits=("Placed", "Done")))


async def publish(found: Shop, number: int, prefix: str = "e") -> None:
    """Store so many events, as soon as a node knows who leads the stream."""
    for index in range(number):
        await wait_for(partial(_stored, found, f"{prefix}{index}"), "the event is stored")


async def _stored(found: Shop, event_id: str) -> bool:
    try:
        await found.bus.publish("Placed", b"{}", event_id)
    except (nats.errors.TimeoutError, nats.js.errors.NoStreamResponseError):
        return False
    return True


async def answered(found: Shop, info: str) -> bool:
    """Tell whether the leader of a stream or consumer answers right now."""
    try:
        await found.bus.connection.request(f"$JS.API.{info}", timeout=0.2)
    except (nats.errors.TimeoutError, nats.errors.NoRespondersError):
        return False
    return True


async def test_what_the_publish_api_accepted_outlives_its_streams_leaders(cluster: NatsCluster) -> None:
    async with shop(cluster) as found, publishing_ambassador(found) as ambassador:
        found.service.handler = made
        await ambassador.logged("configured")
        async with publishing(ambassador.publish_url, "Placed") as publisher:
            for _ in range(3):
                before = len(publisher.accepted)
                await publisher.more(20)
                led = await stream_leader(cluster, found)
                led.kill()
                await publisher.more(20)
                await asyncio.to_thread(cluster.start)
                assert len(publisher.accepted) >= before + 40
        await found.settled()
        stored = [each.headers["ce-id"] for each in await found.bus.events("Placed")]
        assert sorted(stored) == sorted(publisher.accepted), "each that was accepted is there, and once"
        assert len(await found.causes()) == len(publisher.accepted)
        assert not await found.bus.dead_letters()


async def test_a_reply_beyond_the_duplicate_window_is_looked_up_at_the_new_leader(
    cluster: NatsCluster, tmp_path: Path
) -> None:
    """The ambassador dies before its ACK, and the leader that knew the reply with it; the stream would take it again."""
    async with shop(cluster, duplicateWindow="1s") as found:
        found.service.handler = made
        await found.bus.shorten_ack_wait(SERVICE, "Placed", 0.5)
        async with found.ambassador(CHOREGOS_FAIL_POINT=f"before-ack@{tmp_path / 'died'}") as ambassador:
            await publish(found, 1)
            assert await ambassador.ended() == -9
            assert await found.causes() == ["e0"]
            (await stream_leader(cluster, found)).kill()
            await stream_leader(cluster, found)
            await wait_for(partial(window_is_over, found), "the stream has forgotten the id")
            await ambassador.start()
            await found.settled()
        assert len(found.service.calls) == 2
        assert await found.causes() == ["e0"]


async def window_is_over(found: Shop) -> bool:
    """Whether the stream takes an event of a moment ago once more; it is one that nobody reacts to."""
    before = len(await found.bus.events("Noise"))
    await found.bus.publish("Noise", b"{}", "noise")
    return len(await found.bus.events("Noise")) > before > 0


@pytest.mark.parametrize("from_clients", [True, False], ids=["from all", "from its peers only"])
async def test_an_ambassador_whose_node_is_cut_off_goes_on_with_another(
    cluster: NatsCluster, from_clients: bool
) -> None:
    async with shop(cluster) as found, found.ambassador() as ambassador:
        found.service.handler = made
        await publish(found, 5)
        await found.settled()
        cut = node_of(cluster, ambassador)
        cluster.partition(cut, from_clients=from_clients)
        await stream_leader(cluster, found)
        async with seen_from((node for node in cluster.nodes if node is not cut), found) as there:
            await publish(there, 5, prefix="late")
            await ambassador.until(lambda: node_of(cluster, ambassador) is not cut)
            if not from_clients:
                await ambassador.logged("left a silent server", nats=cut.url.removeprefix("nats://"))
            await there.settled(patience=60)
            assert len(await there.causes()) == 10
            assert not await there.bus.dead_letters()


@pytest.mark.parametrize(("answer", "calls"), [(always(204), 1), (always(500), 2)], ids=["ACK", "NAK"])
async def test_what_is_settled_during_an_election_is_said_again_to_the_new_leader(
    cluster: NatsCluster, answer: Handler, calls: int
) -> None:
    """JetStream drops what comes in between; without a repetition the event would be back after `ack_wait`."""
    async with shop(cluster, {"event": "Placed"}) as found:
        held = Held()
        found.service.handler = held
        durable = found.bus.names.durable(SERVICE, "Placed")
        info = f"CONSUMER.INFO.{found.bus.names.event_stream}.{durable}"
        led = await durable_leader(cluster, found)
        others = [node for node in cluster.nodes if node is not led]
        async with seen_from(others, found) as there, there.ambassador() as ambassador:
            await publish(there, 1)
            await found.service.until_calls(1)
            led.kill()
            found.service.handler = always(204)
            held.answer(answer)
            settled_at = time.monotonic()
            await ambassador.logged("hop")
            assert not await answered(there, info), "it was settled while there was no leader"
            await there.settled()
            assert time.monotonic() - settled_at < ACK_WAIT - 10
            assert len(found.service.calls) == calls


async def test_a_minority_acknowledges_nothing(cluster: NatsCluster) -> None:
    """It is the leader that is cut off, and for some seconds does not know that it leads no more."""
    async with shop(cluster) as found:
        held = Held()
        found.service.handler = held
        led = await stream_leader(cluster, found)
        async with seen_from([led], found) as there, publishing_ambassador(there) as ambassador:
            await ambassador.logged("configured")
            assert node_of(cluster, ambassador) is led
            publisher = Publisher(ambassador.publish_url, "Placed")
            keys = [f"cut-{number}" for number in range(4)]
            async with aiohttp.ClientSession() as session:
                assert await publisher.publish(session, "before")
                await found.service.until_calls(1)
                cluster.partition(led, from_clients=False)
                held.answer(made)
                assert not any(await asyncio.gather(*(publisher.publish(session, key) for key in keys)))
                assert not ambassador.hops(), "its reply is not stored"
                await asyncio.to_thread(cluster.heal)
                for key in keys:
                    await wait_for(partial(publisher.publish, session, key), "it is accepted")
            await found.settled()
        stored = [each.headers["ce-id"] for each in await found.bus.events("Placed")]
        assert sorted(stored) == sorted(publisher.accepted)
        assert len(await found.causes()) == 5
