"""Nodes of a NATS cluster that die, stand still, are cut off, are restarted in turn; and leaders that step down."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

from chaos.choreography import ROLES
from chaos.faults.fault import Fault, Missed
from chaos.theatre import Theatre
from support.nats_cluster import NatsCluster
from support.nats_node import NatsNode

_DOWN: Final = (0.0, 12.0)
"""Seconds without a node; an election takes up to 9."""
_CUT: Final = (3.0, 20.0)
"""Seconds of a partition; in the longer ones an ambassador finds that its node has nothing for it."""
_HEALING: Final = 10.0

Choice = Callable[[Theatre, NatsCluster, Random], NatsNode]
Harm = Callable[[NatsCluster, NatsNode], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class HarmNode:
    """A node is harmed, and well again after a while, which is between two numbers of seconds."""

    kind: str
    chosen: Choice
    harmed: Harm
    between: tuple[float, float] = _DOWN
    healing: float = 2.0
    services: tuple[str, ...] = ("nats",)

    @property
    def lasts(self) -> float:
        return self.between[1] + self.healing

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        seconds = chance.uniform(*self.between)
        async with theatre.alone("nats"):
            cluster = _cluster(theatre)
            node = await asyncio.to_thread(self.chosen, theatre, cluster, chance)
            async with self.harmed(cluster, node):
                await asyncio.sleep(seconds)


@dataclass(frozen=True)
class RollingRestart:
    """Each node is restarted in order, once the one before it is well."""

    kind: str = "roll-nats"
    lasts: float = 15.0
    services: tuple[str, ...] = ("nats",)

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        async with theatre.alone("nats"):
            await asyncio.to_thread(_cluster(theatre).rolling_restart)


@dataclass(frozen=True)
class StepDown:
    """The leader of the event stream, or of a durable, is told to let another one lead."""

    kind: str
    of_durable: bool
    lasts: float = 1.0
    services: tuple[str, ...] = ("nats",)

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        stream = theatre.bus.names.event_stream
        subject = f"CONSUMER.LEADER.STEPDOWN.{stream}.{_durable(theatre, chance)}"
        async with theatre.alone("nats"):
            _cluster(theatre)
            answer = await theatre.bus.api(subject if self.of_durable else f"STREAM.LEADER.STEPDOWN.{stream}")
            if "error" in answer:
                raise Missed(str(answer["error"]["description"]))


def _cluster(theatre: Theatre) -> NatsCluster:
    if not isinstance(theatre.nats, NatsCluster):
        raise Missed("there is no cluster")
    return theatre.nats


@asynccontextmanager
async def _killed(cluster: NatsCluster, node: NatsNode) -> AsyncIterator[None]:
    """A node is ended (SIGKILL), and started again on its store."""
    node.kill()
    yield
    await asyncio.to_thread(cluster.start)


@asynccontextmanager
async def _paused(cluster: NatsCluster, node: NatsNode) -> AsyncIterator[None]:
    """A node stands still (SIGSTOP), connections and all, and goes on as if nothing had happened."""
    node.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        node.signal(signal.SIGCONT)
        await asyncio.to_thread(cluster.until_ready)


@asynccontextmanager
async def _cut_off(cluster: NatsCluster, node: NatsNode, *, from_clients: bool = True) -> AsyncIterator[None]:
    """A node sees no other node any more, and no client, or clients still; nobody is told. Then it does again."""
    await asyncio.to_thread(cluster.partition, node, from_clients=from_clients)
    try:
        yield
    finally:
        await asyncio.to_thread(cluster.heal)


def _durable(theatre: Theatre, chance: Random) -> str:
    role = chance.choice(ROLES)
    return theatre.bus.names.durable(role.service, role.event)


def _stream_leader(theatre: Theatre, cluster: NatsCluster, chance: Random) -> NatsNode:
    return cluster.leader_of(theatre.bus.names.event_stream)


def _durable_leader(theatre: Theatre, cluster: NatsCluster, chance: Random) -> NatsNode:
    return cluster.leader_of(theatre.bus.names.event_stream, _durable(theatre, chance))


def _meta_leader(theatre: Theatre, cluster: NatsCluster, chance: Random) -> NatsNode:
    return cluster.meta_leader()


def _any_node(theatre: Theatre, cluster: NatsCluster, chance: Random) -> NatsNode:
    return chance.choice(cluster.nodes)


FAULTS: Final[tuple[Fault, ...]] = (
    HarmNode("kill-stream-leader", _stream_leader, _killed),
    HarmNode("kill-durable-leader", _durable_leader, _killed),
    HarmNode("kill-meta-leader", _meta_leader, _killed),
    HarmNode("pause-stream-leader", _stream_leader, _paused),
    HarmNode("cut-off-leader", _stream_leader, _cut_off, _CUT, _HEALING),
    HarmNode("cut-off-node", _any_node, _cut_off, _CUT, _HEALING),
    HarmNode("cut-off-from-peers", _stream_leader, partial(_cut_off, from_clients=False), _CUT, _HEALING),
    RollingRestart(),
    StepDown("step-down-stream", of_durable=False),
    StepDown("step-down-durable", of_durable=True),
)
