"""Latency that a hop adds, at shares of saturation: `bench/latency.py --help`.

An open loop: `load.py` sends each event when it is due, whether the one before arrived or not, and a latency counts from
that time; so a stall shows in every event that it held up (no coordinated omission). Each rate is measured in turns, through bus
and ambassador, and as direct POSTs to the same service by the same pacing. Generator and service are processes of their own, which
read one clock.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import uvloop
from arrivals import Sink, outcome, sink
from backlog import empty, fill
from machine import busy_seconds, cpu_seconds
from stage import Stage, configuration, stage

from choregos_cli.processes import Process
from choregos_contract.configuration import dump

SHARES = (0.1, 0.5, 0.8)
_GRACE = 0.0
"""Seconds to drain in: none, since nobody waits for what is left."""


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds from when an event was due."""

    p50: float
    p99: float
    p999: float

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> "Percentiles":
        """Take them; each is a value that was seen."""
        ordered = sorted(milliseconds)
        return cls(*(ordered[min(len(ordered) - 1, int(len(ordered) * cut))] for cut in (0.5, 0.99, 0.999)))


@dataclass(frozen=True)
class Round:
    """One way, once."""

    arrival: Percentiles
    late_p99: float
    """Milliseconds by which the generator itself was late, at the 99th percentile."""
    late_max: float
    busy: float
    """CPU of the ambassador over the round, as a part of one core."""
    others: float
    """CPU of all that has no part in this, what a hypervisor took included, as a part of one core: what disturbed the round."""


@dataclass(frozen=True)
class Rate:
    """One rate, both ways, a round each in turns."""

    share: float
    per_second: int
    hop: list[Round]
    direct: list[Round]

    def added(self, of: str) -> list[float]:
        """Return hop minus direct, round by round: p50, p99 or p999."""
        pairs = zip(self.hop, self.direct, strict=True)
        return [float(getattr(a.arrival, of)) - float(getattr(b.arrival, of)) for a, b in pairs]


@dataclass(frozen=True)
class Latencies:
    """All that was measured."""

    saturation: float
    """Events per second that arrived while more were published: what all on this machine can do together."""
    full: float
    """Events per second that the ambassador took from a full stream, to the same service."""
    seconds: float
    rates: list[Rate]

    @property
    def half(self) -> Rate:
        """The rate next to half of saturation, which the targets are about."""
        return min(self.rates, key=lambda rate: abs(rate.share - 0.5))

    @property
    def summary(self) -> dict[str, float]:
        """What goes to `summary.json`."""
        names = {"added_p50_ms": "p50", "added_p99_ms": "p99"}
        return {key: round(statistics.median(self.half.added(of)), 3) for key, of in names.items()}


async def saturation(the: Stage, service: Sink, events: int) -> float:
    """Return how many events per second an ambassador takes from a full stream: first to last arrival."""
    await the.fresh_bus("Placed")
    await fill(the, "saturation", events)
    process, path = await the.ambassador(configuration(service.port, "Placed", suspend=True))
    await the.said(process, lambda line: '"configured"' in line)
    await asyncio.sleep(1.0)  # its first readiness probe
    await service.arrivals()
    path.write_bytes(dump(configuration(service.port, "Placed", generation=2)))
    times = [moment for _, moment in await service.received(events)]
    await process.stop(_GRACE)
    return (len(times) - 1) / (times[-1] - times[0]) * 1e9


async def _sustained(the: Stage, service: Sink, rate: float, seconds: float = 5.0) -> float:
    """Return how many events per second arrive while as many are published as the ambassador takes from a full stream.

    To store events costs nats-server as much as to deliver them, and all share the cores: beyond this rate a queue grows.
    """
    told = await outcome(the, "load.py", "hop", the.url, f"run-{time.monotonic_ns()}", "Placed", round(rate), seconds)
    begin, end = (told["start_ns"] + share * seconds * 1e9 for share in (0.2, 1.0))
    arrived = [moment for _, moment in await service.received(told["number"]) if begin <= moment < end]
    await the.settled()
    await empty(the)
    return len(arrived) / (0.8 * seconds)


async def measure(
    the: Stage,
    *,
    rounds: int = 3,
    seconds: float = 8.0,
    shares: Sequence[float] = SHARES,
    per_second: float | None = None,
    events: int = 30_000,
) -> Latencies:
    """Take each rate's rounds in turns; `per_second` is the saturation, if it is known already."""
    service = await sink(the)
    full = per_second or await saturation(the, service, events)
    await the.fresh_bus("Placed")
    process, _ = await the.ambassador(configuration(service.port, "Placed"))
    try:
        await _hop(the, process, service, max(1, round(full * 0.2)), 2.0)  # connections opened, code warm
        top = per_second or await _sustained(the, service, full)
        found = [Rate(share, round(top * share), [], []) for share in shares]
        for _ in range(rounds):
            for rate in found:
                rate.hop.append(await _hop(the, process, service, rate.per_second, seconds))
                rate.direct.append(await _direct(the, process, service, rate.per_second, seconds))
    finally:
        await process.stop(_GRACE)
        await service.process.stop(_GRACE)
    return Latencies(top, full, seconds, found)


async def _hop(the: Stage, ambassador: Process, service: Sink, rate: int, seconds: float) -> Round:
    found = await _round(
        the, ambassador, service, rate, seconds, "hop", the.url, f"run-{time.monotonic_ns()}", "Placed"
    )
    await the.settled()
    await empty(the)
    return found


async def _direct(the: Stage, ambassador: Process, service: Sink, rate: int, seconds: float) -> Round:
    return await _round(the, ambassador, service, rate, seconds, "direct", service.port)


async def _round(the: Stage, ambassador: Process, service: Sink, rate: int, seconds: float, *way: object) -> Round:
    pids = ambassador.pid, the.nats_pid, service.process.pid
    before, all_before, started = [cpu_seconds(pid) for pid in pids], busy_seconds(), time.monotonic()
    told = await outcome(the, "load.py", *way, rate, seconds)
    cpu = [cpu_seconds(pid) - spent for pid, spent in zip(pids, before, strict=True)]
    others = (busy_seconds() - all_before - sum(cpu) - told["cpu"]) / (time.monotonic() - started)
    arrived = dict(await service.received(told["number"]))
    if len(arrived) != told["number"]:
        raise RuntimeError(f"{told['number']} events were sent and {len(arrived)} arrived, others twice")
    waited = [(moment - told["start_ns"] - number * 1e9 / rate) / 1e6 for number, moment in arrived.items()]
    return Round(Percentiles.of(waited), told["late_p99"], told["late_max"], cpu[0] / seconds, max(0.0, others))


def section(found: Latencies) -> str:
    """Write the report's section."""
    rows = "\n".join(row for rate in found.rates for row in _rows(rate))
    return f"""## Latency added per hop

Each event is sent when it is due, whatever became of the ones before, and its latency counts from then to its arrival at the service; once through
bus and ambassador, once as a direct POST, in turns, {found.seconds:g} s each, {len(found.half.hop)} rounds (medians; in brackets smallest to largest).
Saturation is {found.saturation:.0f} events/s: so many arrive while more are published ({found.full:.0f} events/s from a stream that is full already); generator, service, nats-server and ambassador share the cores;
`others` is all else that ran on the machine, which had better be nothing.

| load | way | p50, ms | p99, ms | p99.9, ms | generator late, p99 and worst, ms | ambassador's CPU | others' CPU |
| --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

`.venv/bin/python bench/latency.py`
"""


def _rows(rate: Rate) -> list[str]:
    load = f"{rate.share:.0%}, {rate.per_second}/s"
    ways = [_row(load, way, found) for way, found in (("hop", rate.hop), ("direct", rate.direct))]
    added = " | ".join(_spread(rate.added(of)) for of in ("p50", "p99", "p999"))
    return [*ways, f"| {load} | **added** | {added} | | | |"]


def _row(load: str, way: str, found: list[Round]) -> str:
    arrival = " | ".join(_spread([float(getattr(each.arrival, of)) for each in found]) for of in ("p50", "p99", "p999"))
    late = f"{statistics.median(each.late_p99 for each in found):.2f}, {max(each.late_max for each in found):.1f}"
    busy = statistics.median(each.busy for each in found)
    return f"| {load} | {way} | {arrival} | {late} | {busy:.0%} | up to {max(each.others for each in found):.0%} |"


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


async def _main(arguments: argparse.Namespace) -> None:
    async with stage() as the:
        found = await measure(
            the,
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            per_second=arguments.saturation,
            events=arguments.events,
        )
    sys.stdout.write(section(found))


def main() -> None:
    """Measure, and print the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of one way of one round")
    parser.add_argument("--saturation", type=float, help="events per second, if known; measured otherwise")
    parser.add_argument("--events", type=int, default=30_000, help="events to measure saturation with")
    uvloop.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
