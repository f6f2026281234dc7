"""Transactions of three hops: `bench/transactions.py --help`.

A -> service `one` -> B -> service `two` -> C -> service `three`: three ambassadors and three services, each a process. `one` and `two`
answer with a CloudEvent that holds what they got. A transaction is through when its event C arrives at `three`.
"""

import argparse
import asyncio
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop
from arrivals import Sink, outcome, sink
from backlog import empty, fill
from latency import Percentiles
from stage import NAMES, Stage, cpu_seconds, stage

from choregos_cli.processes import Process
from choregos_contract.configuration import Configuration, Delivery, Reaction, Readiness, dump

CHAIN = (("one", "A", "B"), ("two", "B", "C"), ("three", "C", ""))
"""Service, the event it reacts to, and the one it answers with."""
PATIENCE = 120.0
_GRACE = 0.0
"""Seconds to drain in: none, since nobody waits for what is left."""


@dataclass(frozen=True)
class Transactions:
    """All that was measured."""

    per_second: list[float]
    """Transactions per second from a full stream, a round each."""
    cpu_us: list[float]
    """CPU of all three ambassadors per transaction, in microseconds, a round each."""
    rate: int
    """Transactions per second at which latency was measured."""
    latency: list[Percentiles]
    """Milliseconds from when event A was due to the arrival of event C, a round each."""
    late_p99: float
    """Milliseconds by which the generator itself was late, at the 99th percentile; the worst round."""


@dataclass(frozen=True)
class _Link:
    """One service with its ambassador."""

    process: Process
    path: Path
    service: Sink
    told: tuple[str, str, str]

    def configure(self, *, suspend: bool, generation: int) -> None:
        self.path.write_bytes(
            dump(_configuration(self.service.port, *self.told, suspend=suspend, generation=generation))
        )


def _configuration(
    port: int, service: str, event: str, answer: str, *, suspend: bool, generation: int
) -> Configuration:
    emits = (answer,) if answer else ()
    delivery = Delivery(concurrency=32)
    return Configuration(
        version=1,
        generation=generation,
        service=service,
        bus=NAMES,
        readiness=Readiness(port=port),
        emits=emits,
        reactions=(Reaction(event=event, port=port, path="/events", emits=emits, suspend=suspend, delivery=delivery),),
    )


async def _wire(the: Stage) -> None:
    await the.fresh_bus()
    for service, event, _ in CHAIN:
        await the.make_durable(event, service)


async def _start(the: Stage) -> list[_Link]:
    links = []
    for told in CHAIN:
        service = await sink(the, told[2])
        process, path = await the.ambassador(_configuration(service.port, *told, suspend=True, generation=1))
        links.append(_Link(process, path, service, told))
    for link in links:
        await the.said(link.process, lambda line: '"configured"' in line)
    await asyncio.sleep(1.0)  # their first readiness probes
    return links


async def _through(the: Stage) -> None:
    """Return when no reaction has anything to come, or in hand."""
    async with asyncio.timeout(PATIENCE):
        for service, event, _ in CHAIN:
            await the.settled(event, service)


async def saturated(the: Stage, number: int) -> tuple[float, float]:
    """Return transactions per second from a full stream, and CPU microseconds of the ambassadors for each."""
    await _wire(the)
    await fill(the, f"full-{time.monotonic_ns()}", number, "A")
    links = await _start(the)
    before = sum(cpu_seconds(link.process.pid) for link in links)
    for link in links:
        link.configure(suspend=False, generation=2)
    ended = [moment for _, moment in await links[-1].service.received(number)]
    await _through(the)
    cpu = sum(cpu_seconds(link.process.pid) for link in links) - before
    begun = min(moment for _, moment in await links[0].service.arrivals())
    await _stop(links)
    return number / (max(ended) - begun) * 1e9, cpu / number * 1e6


async def _stop(links: list[_Link]) -> None:
    for link in links:
        await link.process.stop(_GRACE)
        await link.service.process.stop(_GRACE)


async def latency(the: Stage, rate: int, seconds: float, rounds: int) -> tuple[list[Percentiles], float]:
    """Measure transactions that begin at a fixed rate, and how late the generator was at worst."""
    await _wire(the)
    links = await _start(the)
    for link in links:
        link.configure(suspend=False, generation=2)
    found, late = [], []
    for each in range(rounds + 1):  # the first is the warm-up
        told = await outcome(the, "load.py", "hop", the.url, f"run-{each}", "A", rate, seconds if each else 3.0)
        await _through(the)
        arrived = dict(await links[-1].service.arrivals())
        if len(arrived) != told["number"]:
            raise RuntimeError(f"{told['number']} transactions were begun and {len(arrived)} came through")
        waited = [(at - told["start_ns"] - number * 1e9 / rate) / 1e6 for number, at in arrived.items()]
        found.append(Percentiles.of(waited))
        late.append(told["late_p99"])
        await empty(the)
    await _stop(links)
    return found[1:], max(late[1:])


async def measure(
    the: Stage, *, rounds: int = 3, number: int = 8000, seconds: float = 8.0, share: float = 0.3
) -> Transactions:
    """Measure saturation, then latency at a share of it."""
    full = [await saturated(the, number) for _ in range(rounds)]
    rate = max(1, round(statistics.median(each[0] for each in full) * share))
    found, late = await latency(the, rate, seconds, rounds)
    return Transactions([each[0] for each in full], [each[1] for each in full], rate, found, late)


def section(found: Transactions) -> str:
    """Write the report's section."""
    p50, p99, p999 = ([getattr(each, of) for each in found.latency] for of in ("p50", "p99", "p999"))
    return f"""## Transactions of three hops

A -> service -> B -> service -> C -> service; three ambassadors, three services and nats-server share the cores. Throughput is from a full stream;
latency is from when event A is due, at a fixed rate, to the arrival of event C at the last service ({len(found.latency)} rounds: median, smallest to largest).

| | |
| --- | --- |
| transactions/s at saturation | {_spread(found.per_second, 0)} |
| CPU of the three ambassadors per transaction, us | {_spread(found.cpu_us, 0)} |
| latency at {found.rate} transactions/s: p50, ms | {_spread(p50, 2)} |
| p99, ms | {_spread(p99, 2)} |
| p99.9, ms | {_spread(p999, 2)} |
| generator late, p99, ms | {found.late_p99:.2f} |

`.venv/bin/python bench/transactions.py`
"""


def _spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


async def _main(arguments: argparse.Namespace) -> None:
    async with stage() as the:
        found = await measure(
            the, rounds=arguments.rounds, number=arguments.number, seconds=arguments.seconds, share=arguments.share
        )
    sys.stdout.write(section(found))


def main() -> None:
    """Measure, and print the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--number", type=int, default=8000, help="transactions of one round at saturation")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of one round of latency")
    parser.add_argument("--share", type=float, default=0.3, help="share of saturation at which latency is measured")
    uvloop.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
