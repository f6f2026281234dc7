"""Processes that end, in order or not, and start again; and ambassadors that end or stop at a step of a hop."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from chaos.faults.fault import Fault, Missed
from chaos.mode import Mode
from chaos.processes import AmbassadorProcess, BusinessProcess
from chaos.theatre import Replica, Runner, Theatre, surely
from support.waiting import wait_for

_REACHED_WITHIN: Final = 15.0
"""Seconds in which an ambassador under load is expected at a step."""
_LONGEST_DOWN: Final = 2.0
_STOPPED: Final = 35.0
"""Seconds: longer than the lease (30) and than the duplicate window (20)."""
_TAKEN_OVER: Final = 31.0
"""Seconds: the lease, and half the time that a slow service takes."""
_AROUND: Final = 3.0


@dataclass(frozen=True)
class EndProcess:
    """A process of a replica is ended by a signal, and started again after up to two seconds."""

    kind: str
    part: Callable[[Replica], AmbassadorProcess | BusinessProcess]
    number: signal.Signals
    services: tuple[str, ...] = ()
    lasts: float = 5.0

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        replica, down = theatre.any_replica(chance, *self.services), chance.uniform(0, _LONGEST_DOWN)
        process = self.part(replica)
        async with theatre.alone(replica):
            process.signal(self.number)
            code = await process.ended()
            await asyncio.sleep(down)
            await process.start()
        if code != (0 if self.number is signal.SIGTERM else -self.number) and theatre.runner is Runner.CHOREGOS:
            raise AssertionError(f"{self.kind} of {replica.name}: it ended with {code}")


@dataclass(frozen=True)
class EndNats:
    """NATS is ended, in order or not, and started again on its store after up to two seconds."""

    kind: str
    politely: bool
    services: tuple[str, ...] = ("nats",)
    lasts: float = 5.0

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        down = chance.uniform(0, _LONGEST_DOWN)
        async with theatre.alone("nats"):
            await surely(theatre.nats.stop if self.politely else theatre.nats.kill)
            await asyncio.sleep(down)
            await surely(theatre.nats.start)


@dataclass(frozen=True)
class DieAt:
    """An ambassador kills itself at a step of a hop, under load, and is started again.

    `services`: whose hops come to that step; `provoked`: only while the service misbehaves so.
    """

    step: str
    services: tuple[str, ...] = ()
    provoked: Mode = Mode.BEHAVE
    lasts: float = 12.0

    @property
    def kind(self) -> str:
        return f"die-{self.step}"

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        replica, mark = _chosen(theatre, chance, self.services)
        async with theatre.alone(replica):
            await _arm(replica, f"{self.step}@{mark}")
            replica.business.misbehave(self.provoked)
            try:
                async with asyncio.timeout(_REACHED_WITHIN):
                    code = await replica.ambassador.ended()
                if code != -signal.SIGKILL or not mark.exists():
                    raise AssertionError(f"{replica.name} ended with {code}, and not at {self.step}")
            except TimeoutError:
                raise Missed(f"{replica.name} did not come to {self.step}") from None
            finally:
                replica.business.behave()
                await replica.ambassador.stop()
                await replica.ambassador.start()


@dataclass(frozen=True)
class StopAt:
    """An ambassador stops (SIGSTOP) at a step, and goes on when lease and duplicate window are over: it outlasts both."""

    kind: str
    step: str
    services: tuple[str, ...] = ()
    lasts: float = _STOPPED + 3

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        replica, mark = _chosen(theatre, chance, self.services)
        async with theatre.alone(replica):
            await _arm(replica, f"{self.step}:stop@{mark}")
            try:
                await wait_for(mark.exists, "the fail point", _REACHED_WITHIN)
                await asyncio.sleep(_STOPPED)
            except AssertionError:
                raise Missed(f"{replica.name} did not come to {self.step}") from None
            finally:
                replica.ambassador.signal(signal.SIGCONT)


@dataclass(frozen=True)
class CallLate:
    """An ambassador stops just before a call until another has taken the event over and calls: two calls at once, almost.

    While it goes on, its service takes its time, so that the other's call is under way.
    """

    kind: str = "call-late"
    services: tuple[str, ...] = ("payment",)
    everywhere: bool = True
    lasts: float = _TAKEN_OVER + 2 * _AROUND

    async def strike(self, theatre: Theatre, chance: Random) -> None:
        replica, mark = _chosen(theatre, chance, self.services)
        both = theatre.of(replica.service_name)
        async with theatre.alone_with(both):
            await _arm(replica, f"before-call:stop@{mark}")
            try:
                await wait_for(mark.exists, "the fail point", _REACHED_WITHIN)
                await asyncio.sleep(_TAKEN_OVER - _AROUND)
                for each in both:
                    each.business.misbehave(Mode.SLOW)
                await asyncio.sleep(_AROUND)
                replica.ambassador.signal(signal.SIGCONT)
                await asyncio.sleep(_AROUND)
            except AssertionError:
                raise Missed(f"{replica.name} did not come to its call") from None
            finally:
                replica.ambassador.signal(signal.SIGCONT)
                for each in both:
                    each.business.behave()


def _chosen(theatre: Theatre, chance: Random, services: tuple[str, ...]) -> tuple[Replica, Path]:
    """Draw a replica, and the file in which its ambassador leaves a mark when it comes to the step."""
    if theatre.runner is not Runner.CHOREGOS:
        raise Missed("only an ambassador has fail points")
    return theatre.any_replica(chance, *services), theatre.directory / f"reached-{chance.getrandbits(64):016x}"


async def _arm(replica: Replica, fail_point: str) -> None:
    await replica.ambassador.stop()
    await replica.ambassador.start(fail_point)


def _ambassador(replica: Replica) -> AmbassadorProcess:
    return replica.ambassador


def _business(replica: Replica) -> BusinessProcess:
    return replica.business


FAULTS: Final[tuple[Fault, ...]] = (
    EndProcess("kill-ambassador", _ambassador, signal.SIGKILL),
    EndProcess("end-ambassador", _ambassador, signal.SIGTERM),
    EndProcess("kill-service", _business, signal.SIGKILL),
    EndProcess("end-service", _business, signal.SIGTERM),
    EndNats("kill-nats", politely=False),
    EndNats("end-nats", politely=True),
    DieAt("delivered"),
    DieAt("before-call"),
    DieAt("after-call"),
    DieAt("before-replies"),
    DieAt("before-commit", ("stock",)),
    DieAt("after-single", ("payment", "shop")),
    DieAt("before-ack"),
    DieAt("after-ack"),
    DieAt("confirmed"),
    DieAt("after-failure", ("payment",)),
    DieAt("after-letter", ("payment",)),
    DieAt("before-nak", provoked=Mode.UNAVAILABLE),
    DieAt("after-nak", provoked=Mode.UNAVAILABLE),
    DieAt("after-claim", ("payment",)),
    DieAt("before-record", ("payment",)),
    DieAt("after-record", ("payment",)),
    DieAt("before-release", ("payment",), provoked=Mode.UNAVAILABLE),
    StopAt("outlast-window", "before-ack"),
    CallLate(),
)
