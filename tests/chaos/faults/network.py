"""What networks do to the wires of a replica: between its ambassador and NATS, and between that and the service."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

from chaos.faults.fault import Fault, Missed
from chaos.faults.passing import PassingHarm
from chaos.theatre import Replica
from support.tcp_proxy import TcpProxy

_LATENCY: Final = 0.2
_AT_ONCE: Final = (0.0, 0.0)
_BRIEF: Final = (0.5, 6.0)
_OUTAGE: Final = (8.0, 12.0)
"""Longer than a hop's patience with the bus, and than two time-outs of a call."""
_BEYOND_LEASE: Final = (35.0, 36.0)


@dataclass(frozen=True)
class HarmWire(PassingHarm):
    """A wire of a replica is harmed, and healed after a while."""

    wire: Callable[[Replica], TcpProxy]
    harm: Callable[[TcpProxy], None]

    @contextmanager
    def harmed(self, replica: Replica, chance: Random) -> Iterator[None]:
        proxy = self.wire(replica)
        if self.between == _AT_ONCE and not proxy.connections:
            raise Missed(f"{replica.name} had no connection to lose")
        self.harm(proxy)
        try:
            yield
        finally:
            proxy.heal()


def _to_nats(replica: Replica) -> TcpProxy:
    return replica.to_nats


def _to_service(replica: Replica) -> TcpProxy:
    return replica.to_service


def _cut(proxy: TcpProxy) -> None:
    proxy.cut()


def _cut_off(proxy: TcpProxy) -> None:
    proxy.refuse()
    proxy.cut()


def _black_hole(proxy: TcpProxy) -> None:
    proxy.black_hole()


def _slow_down(proxy: TcpProxy) -> None:
    proxy.delay(_LATENCY)


def _end_untold_at_target(proxy: TcpProxy) -> None:
    proxy.half_open(told="client")


def _end_untold_at_client(proxy: TcpProxy) -> None:
    proxy.half_open(told="target")


FAULTS: Final[tuple[Fault, ...]] = (
    HarmWire("cut-nats", _AT_ONCE, _to_nats, _cut),
    HarmWire("cut-off-nats", _BRIEF, _to_nats, _cut_off),
    HarmWire("black-hole-nats", _BRIEF, _to_nats, _black_hole),
    HarmWire("black-hole-nats-beyond-lease", _BEYOND_LEASE, _to_nats, _black_hole),
    HarmWire("latency-nats", _OUTAGE, _to_nats, _slow_down),
    HarmWire("half-open-nats-untold", _AT_ONCE, _to_nats, _end_untold_at_target),
    HarmWire("half-open-ambassador-untold", _AT_ONCE, _to_nats, _end_untold_at_client),
    HarmWire("cut-service", _AT_ONCE, _to_service, _cut),
    HarmWire("cut-off-service", _BRIEF, _to_service, _cut_off),
    HarmWire("black-hole-service", _OUTAGE, _to_service, _black_hole),
    HarmWire("latency-service", _OUTAGE, _to_service, _slow_down),
    HarmWire("half-open-service-untold", _AT_ONCE, _to_service, _end_untold_at_target),
    HarmWire("half-open-caller-untold", _AT_ONCE, _to_service, _end_untold_at_client),
)
