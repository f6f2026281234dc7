"""A scene for tests of resilience: bus and service are there, ambassadors come and go, and so may everything else."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from choregos_contract.configuration import Configuration
from choregos_contract.configure import configurations
from choregos_contract.event_bus import EventBus
from choregos_contract.resources import Choreography
from support.ambassador import Ambassador
from support.bus import TestBus, connected, wired
from support.choreographies import choreography
from support.nats import NatsServer
from support.service import Call, Service

SERVICE = "worker"
QUICK = {"timeout": "10s", "retry": 2, "backoffDelay": "50ms", "backoffMax": "200ms"}


@dataclass
class Shop:
    """One service and what it needs."""

    nats_url: str
    bus: TestBus
    service: Service
    configuration: Configuration

    def ambassador(self, configuration: Configuration | None = None, **environment: str) -> Ambassador:
        """An ambassador of the service; `async with` starts it."""
        return Ambassador(self.nats_url, configuration or self.configuration, **environment)

    def configured(self, *reactions: Mapping[str, Any], generation: int = 2, **spec: Any) -> Configuration:
        """Another configuration of the service."""
        shop = worker(*reactions, port=self.service.port, **spec)
        return configurations([shop], None, generation=generation)[SERVICE]

    async def publish(self, number: int, event_type: str = "Placed", prefix: str = "e") -> list[str]:
        """Store so many events; returns their ids."""
        ids = [f"{prefix}{index}" for index in range(number)]
        for event_id in ids:
            await self.bus.publish(event_type, b"{}", event_id)
        return ids

    async def settled(self, *event_types: str, patience: float = 30.0) -> None:
        """Wait until nothing is to come and nothing in hand."""
        for event_type in event_types or ("Placed",):
            await self.bus.until_settled(SERVICE, event_type, patience)

    async def causes(self, event_type: str = "Done") -> list[str]:
        """The ids of the events that these replies were stored for, sorted: twice where a reply is double."""
        return sorted(each.headers["ce-causationid"] for each in await self.bus.events(event_type))

    def called(self) -> list[str]:
        """The ids of the events in the order of the requests."""
        return ids(self.service.calls)


@dataclass
class Scene(Shop):
    """One service, and a nats-server of its own."""

    server: NatsServer


def ids(calls: Iterable[Call]) -> list[str]:
    return [call.headers["ce-id"] for call in calls]


def worker(*reactions: Mapping[str, Any], port: int = 8080, **spec: Any) -> Choreography:
    """A choreography of one service; without reactions, it makes Done out of Placed."""
    listed = reactions or ({"event": "Placed", "emits": ["Done"], "onSuccess": "Done"},)
    return choreography({SERVICE: {"port": port, "reactions": list(listed)}}, **{"delivery": QUICK, **spec})


@asynccontextmanager
async def scene(
    *reactions: Mapping[str, Any], config: str = "", credentials: Mapping[str, Any] | None = None, **spec: Any
) -> AsyncIterator[Scene]:
    """Wire a bus and start the service; `config` is nats-server's, `credentials` are the test's own, for nats-py."""
    with NatsServer(config) as server:
        async with set_up(server.url, *reactions, credentials=credentials, **spec) as shop:
            yield Scene(**vars(shop), server=server)


@asynccontextmanager
async def set_up(
    nats_url: str,
    *reactions: Mapping[str, Any],
    bus: EventBus | None = None,
    credentials: Mapping[str, Any] | None = None,
    **spec: Any,
) -> AsyncIterator[Shop]:
    """Wire a bus on servers that are there already, and start the service."""
    async with connected(nats_url, **credentials or {}) as connection, Service() as service:
        listed = worker(*reactions, port=service.port, **spec)
        test_bus = await wired(connection, listed, bus=bus)
        yield Shop(nats_url, test_bus, service, configurations([listed], bus, generation=1)[SERVICE])


@dataclass
class Crowd:
    """Watches how many requests the service has at once."""

    now: int = 0
    seen: list[int] = field(default_factory=list)
    """The number of requests at each arrival."""

    def __enter__(self) -> None:
        self.now += 1
        self.seen.append(self.now)

    def __exit__(self, *_: object) -> None:
        self.now -= 1


async def metric(url: str, name: str) -> float:
    """The sum of all series of a metric; 0 where there is none."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    found = [line for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
    return sum(float(line.rpartition(" ")[2]) for line in found)
