"""Nodes of a NATS cluster that die, stand still, are cut off, are restarted in turn; and leaders that step down."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class KillNode:
    """A node is ended (SIGKILL), and started again after a while on its store."""

    kind: str
    chosen: Choice
    lasts: float = _DOWN[1] + 2
    services: tuple[str, ...] = ("nats",)

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        seconds = chance.uniform(*_DOWN)
        async with theatre.alone("nats"):
            cluster = _cluster(theatre)
            node = await asyncio.to_thread(self.chosen, theatre, cluster, chance)
            node.kill()
            await asyncio.sleep(seconds)
            await asyncio.to_thread(cluster.start)


@dataclass(frozen=True)
class PauseNode:
    """A node stands still (SIGSTOP), connections and all, and goes on as if nothing had happened."""

    kind: str
    chosen: Choice
    lasts: float = _DOWN[1] + 2
    services: tuple[str, ...] = ("nats",)

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        seconds = chance.uniform(*_DOWN)
        async with theatre.alone("nats"):
            cluster = _cluster(theatre)
            node = await asyncio.to_thread(self.chosen, theatre, cluster, chance)
            node.signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                node.signal(signal.SIGCONT)
                await asyncio.to_thread(cluster.until_ready)


@dataclass(frozen=True)
class CutOffNode:
    """A node sees no other node any more, and no client, or clients still; nobody is told. After a while it does again."""

    kind: str
    chosen: Choice
    from_clients: bool = True
    lasts: float = _CUT[1] + _HEALING
    services: tuple[str, ...] = ("nats",)

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        seconds = chance.uniform(*_CUT)
        async with theatre.alone("nats"):
            cluster = _cluster(theatre)
            node = await asyncio.to_thread(self.chosen, theatre, cluster, chance)
            await asyncio.to_thread(cluster.partition, node, from_clients=self.from_clients)
            try:
                await asyncio.sleep(seconds)
            finally:
                await asyncio.to_thread(cluster.heal)


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
    KillNode("kill-stream-leader", _stream_leader),
    KillNode("kill-durable-leader", _durable_leader),
    KillNode("kill-meta-leader", _meta_leader),
    PauseNode("pause-stream-leader", _stream_leader),
    CutOffNode("cut-off-leader", _stream_leader),
    CutOffNode("cut-off-node", _any_node),
    CutOffNode("cut-off-from-peers", _stream_leader, from_clients=False),
    RollingRestart(),
    StepDown("step-down-stream", of_durable=False),
    StepDown("step-down-durable", of_durable=True),
)
