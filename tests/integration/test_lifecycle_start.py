"""Nothing has to start before anything else: in every order of starts an event is processed, once, and no probe lies."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import permutations

import aiohttp

from choregos_contract.configuration import Configuration
from choregos_contract.configure import configurations
from choregos_contract.resources import Choreography
from support.ambassador import Ambassador
from support.bus import TestBus, connected, wired
from support.choreographies import choreography
from support.nats import NatsServer
from support.service import Service, always

NATS, WIRING, CONFIGURATION, SERVICE, AMBASSADOR = "nats-server", "wiring", "configuration", "service", "ambassador"
STEPS = (NATS, WIRING, CONFIGURATION, SERVICE, AMBASSADOR)
ORDERS = [order for order in permutations(STEPS) if order.index(NATS) < order.index(WIRING)]
"""A bus is wired on a server that is there; everything else may come in any order."""
AT_ONCE = 4
"""Stages that play side by side."""
WELL = {
    "nats",
    "not usable yet",
    "listening",
    "connected",
    "configured",
    "breaker",
    "hop",
    "stopping",
    "draining",
    "stopped",
}
"""All that an ambassador may have to say: that NATS is away, or the bus not wired yet, and not that anything went wrong."""


@dataclass
class Stage:
    """A server and a service that play one order after the other, each in a namespace of its own."""

    server: NatsServer
    service: Service
    session: aiohttp.ClientSession

    async def play(self, order: tuple[str, ...], namespace: str) -> None:
        await asyncio.to_thread(self.server.stop)
        await self.service.stop()
        self.service.calls.clear()
        await Play(self, order, namespace).run()


@dataclass
class Play:
    """One order of starts."""

    stage: Stage
    order: tuple[str, ...]
    namespace: str
    started: list[str] = field(default_factory=list)
    bus: TestBus | None = None
    ambassador: Ambassador | None = None

    async def run(self) -> None:
        self.ambassador = ambassador = Ambassador(self.stage.server.url, None)
        try:
            for step in self.order:
                await self._steps[step]()
                self.started.append(step)
                await self._probe()
            await self._processed()
            ambassador.kill()  # to drain takes as long as a pull may be outstanding, and is another test's
            assert await ambassador.ended() == -signal.SIGKILL, f"it had ended by itself: {self._said()}"
            told = {line["message"] for line in ambassador.lines}
            assert told <= WELL, self._said()
        finally:
            await ambassador.__aexit__()

    @property
    def _steps(self) -> dict[str, Callable[[], Awaitable[None]]]:
        assert self.ambassador
        return {
            NATS: lambda: asyncio.to_thread(self.stage.server.start),
            WIRING: self._wire,
            CONFIGURATION: self._configure,
            SERVICE: self.stage.service.start,
            AMBASSADOR: self.ambassador.start,
        }

    @property
    def _shop(self) -> Choreography:
        reaction = {"event": "Placed", "emits": ["Done"], "onSuccess": "Done"}
        worker = {"port": self.stage.service.port, "emits": ["Asked"], "reactions": [reaction]}
        return choreography({"worker": worker}, namespace=self.namespace)

    @property
    def _configuration(self) -> Configuration:
        return configurations([self._shop], None, generation=1)["worker"]

    async def _wire(self) -> None:
        """Wire the bus, and store the event at once: whatever is not there yet will have to find it."""
        async with connected(self.stage.server.url) as connection:
            bus = await wired(connection, self._shop)
            await bus.publish("Placed", b"{}", "early")

    async def _configure(self) -> None:
        assert self.ambassador
        self.ambassador.configure(self._configuration)

    async def _probe(self) -> None:
        """Alive and ready as soon as it listens; and the publish API takes no event before it can store it."""
        if AMBASSADOR not in self.started:
            return
        assert self.ambassador
        for probe in ("livez", "readyz"):
            async with self.stage.session.get(f"{self.ambassador.probes_url}/{probe}") as answer:
                assert answer.status == 200, self._said()
        if CONFIGURATION not in self.started or NATS in self.started:  # otherwise it would wait for NATS for a while
            status = await self._publish()
            assert status == 503 or set(self.started) >= {NATS, WIRING, CONFIGURATION}, (status, self._said())

    async def _publish(self) -> int:
        assert self.ambassador
        async with self.stage.session.post(f"{self.ambassador.publish_url}/events/Asked", json={}) as answer:
            return answer.status

    async def _processed(self) -> None:
        assert self.ambassador
        async with connected(self.stage.server.url) as connection:
            bus = await wired(connection, self._shop)
            await bus.until_settled("worker", "Placed", 20)
            assert [call.headers["ce-id"] for call in self.stage.service.calls] == ["early"], self._said()
            assert [each.headers["ce-causationid"] for each in await bus.events("Done")] == ["early"], self._said()
            assert not await bus.dead_letters()
            assert await self._publish() == 201, self._said()

    def _said(self) -> str:
        assert self.ambassador
        return f"{' > '.join(self.order)}, at {self.started}:\n{self.ambassador.output.decode()}"


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    server = await asyncio.to_thread(NatsServer)
    await asyncio.to_thread(server.stop)
    with server:
        async with Service() as service, aiohttp.ClientSession() as session:
            service.handler = always(200, b"{}", content_type="application/json")
            yield Stage(server, service, session)


async def test_in_every_order_of_starts_an_event_is_processed_once_and_no_probe_lies() -> None:
    waiting = list(enumerate(ORDERS))
    assert len(waiting) == 60

    async def play_on() -> None:
        async with stage() as here:
            while waiting:
                number, order = waiting.pop()
                await here.play(order, f"n{number}")

    async with asyncio.TaskGroup() as stages:
        for _ in range(AT_ONCE):
            stages.create_task(play_on())
    assert not waiting
