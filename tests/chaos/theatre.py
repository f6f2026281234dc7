"""The theatre: every process of a round, and the wires between them, each of which a fault may harm.

customers -> ambassador <- to_nats -> nats-server
                 `-- to_service -> business service        two replicas of each of three services
"""

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, Protocol
from urllib.parse import urlsplit

from chaos import choreography
from chaos.ledger import Ledger
from chaos.processes import AmbassadorProcess, BusinessProcess, NaiveLoop, running
from choregos_contract.configure import configurations, with_port
from support.bus import TestBus, connected, wired
from support.nats import NatsServer
from support.nats_cluster import NatsCluster
from support.ports import free_port
from support.stepped_clock import SteppedClock, compiler
from support.tcp_proxy import TcpProxy

REPLICAS: Final = 2


class Nats(Protocol):
    """A nats-server, or a cluster of them. Every method waits, and belongs in a thread (`surely`)."""

    @property
    def url(self) -> str:
        """The URLs of all servers, separated by commas."""
        ...

    def start(self) -> None:
        """Start what does not run."""
        ...

    def stop(self) -> None:
        """End it in order."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


class Kind(StrEnum):
    """What NATS is."""

    SINGLE = "single"
    CLUSTER = "cluster"


class Runner(StrEnum):
    """What carries the events."""

    CHOREGOS = "choregos"
    """The ambassadors."""
    NAIVE = "naive"
    """A loop of nats-py and aiohttp: POST, publish what was answered, acknowledge."""
    HASTY = "hasty"
    """The same, but it acknowledges as soon as it has the 2xx, and then publishes."""


@dataclass(frozen=True, eq=False)
class Replica:
    """One pod, as it were: a business service, its ambassador, and the two wires of that."""

    name: str
    service_name: str
    ambassador: AmbassadorProcess
    business: BusinessProcess
    to_nats: TcpProxy
    to_service: TcpProxy
    clock: SteppedClock | None
    """The wall clock of the ambassador; none where there is no C compiler."""

    def ended(self) -> str:
        """Name the process of it that runs no more, though no fault has it in hand; nothing if both run."""
        of = {"ambassador": self.ambassador, "business": self.business}
        return ", ".join(f"{part} of {self.name}" for part, process in of.items() if process.has_ended)


@dataclass
class Theatre:
    """All of it, while a round runs."""

    nats: Nats
    replicas: list[Replica]
    bus: TestBus
    directory: Path
    """Ledgers, effects, modes, logs and the marks of fail points."""
    ledger: Ledger
    """What the round itself has to tell: faults, and what it killed."""
    runner: Runner = Runner.CHOREGOS
    _locks: defaultdict[object, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    @asynccontextmanager
    async def alone(self, part: object) -> AsyncIterator[None]:
        """Hold a part (a replica, the string `nats`), so that no other fault strikes it meanwhile; waits for it.

        What has ended although no fault ended it is an error: the harness hides no crash by starting it again.
        """
        async with self._locks[part]:
            if isinstance(part, Replica) and (ended := part.ended()):
                raise AssertionError(f"{ended} ended by itself")
            yield

    @asynccontextmanager
    async def alone_with(self, replicas: Iterable[Replica]) -> AsyncIterator[None]:
        """Hold several replicas; always taken in the same order, so that no two strikes wait for each other."""
        async with AsyncExitStack() as held:
            for replica in sorted(replicas, key=lambda each: each.name):
                await held.enter_async_context(self.alone(replica))
            yield

    def any_replica(self, chance: Random, *services: str) -> Replica:
        """Draw a replica, or one of these services."""
        return chance.choice([each for each in self.replicas if not services or each.service_name in services])

    def of(self, service: str) -> list[Replica]:
        """Return the replicas of a service."""
        return [each for each in self.replicas if each.service_name == service]


@asynccontextmanager
async def theatre(directory: Path, nats: Kind, runner: Runner) -> AsyncIterator[Theatre]:
    """Set everything up, with what it writes in `directory`; nothing that was started outlives the block."""
    async with AsyncExitStack() as stack:
        # A cluster moves this thread into a network of its own, and whatever is started from here on with it.
        server = stack.enter_context(NatsServer()) if nats is Kind.SINGLE else stack.enter_context(NatsCluster())
        connection = await stack.enter_async_context(connected(server.url, error_cb=_known, ping_interval=3))
        bus = choreography.bus(replicas=1 if nats is Kind.SINGLE else 3)
        wires = await wired(connection, choreography.CHOREOGRAPHY, bus=bus)
        ledger = Ledger(directory / "round.ledger")
        stack.callback(ledger.close)
        built = Theatre(server, [], wires, directory, ledger, runner)
        for name in choreography.SERVICES:
            for number in range(1, REPLICAS + 1):
                built.replicas.append(await _replica(built, stack, name, number))
        processes = [part for each in built.replicas for part in (each.business, each.ambassador)]
        await stack.enter_async_context(running(*processes))
        yield built


async def surely(act: Callable[[], None]) -> None:
    """Act in a thread, and return when it is done, also where the round is cancelled meanwhile: nothing starts behind it."""
    acting = asyncio.ensure_future(asyncio.to_thread(act))
    try:
        await asyncio.shield(acting)
    except asyncio.CancelledError:
        await asyncio.wait([acting])
        raise


async def _known(_: Exception) -> None:
    """Say nothing of what the faults do to the round's own connection."""


async def _replica(built: Theatre, stack: AsyncExitStack, service: str, number: int) -> Replica:
    name, port = f"{service}-{number}", free_port()
    servers = built.nats.url.split(",")
    home = urlsplit(servers[number % len(servers)])
    assert home.hostname
    assert home.port
    to_nats = await stack.enter_async_context(TcpProxy(home.hostname, home.port))
    to_service = await stack.enter_async_context(TcpProxy("127.0.0.1", port))
    configured = configurations([choreography.CHOREOGRAPHY], choreography.bus(), generation=1)[service]
    make = AmbassadorProcess if built.runner is Runner.CHOREGOS else partial(NaiveLoop, built.runner)
    clock = stack.enter_context(SteppedClock()) if compiler() else None
    ambassador = make(
        f"nats://127.0.0.1:{to_nats.port}",
        with_port(configured, to_service.port),
        built.directory / f"{name}.ambassador.log",
        **(clock.environment if clock else {}),
    )
    business = BusinessProcess(name, port, built.directory, built.ledger)
    return Replica(name, service, ambassador, business, to_nats, to_service, clock)


def kept_directory() -> Path:
    """Make a directory for what a round writes; the round removes it if all is well."""
    return Path(tempfile.mkdtemp(prefix="choregos-chaos-"))
