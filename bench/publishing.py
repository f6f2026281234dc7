"""What the publish API costs: `bench/publishing.py --help`.

Connections that are kept, each with one request at a time (`posting.py`, a process): plain JSON, one CloudEvent, batches of CloudEvents. Every
event has an id of its own, so none is dropped as a duplicate, and every answer must be a 201, after the publish acknowledgement.
"""

import argparse
import statistics
import sys
import time
from dataclasses import dataclass

import msgspec
import uvloop
from arrivals import outcome
from stage import NAMES, SERVICE, Stage, cpu_seconds, stage

from choregos_cli.processes import Process
from choregos_contract.configuration import Configuration

_GRACE = 0.0
"""Seconds to drain in: none, since nobody waits for what is left."""


@dataclass(frozen=True)
class Kind:
    """One way to publish."""

    name: str
    mode: str
    size: int = 1


KINDS = (
    Kind("plain JSON", "plain"),
    Kind("one CloudEvent", "binary"),
    Kind("batch of 10", "batch", 10),
    Kind("batch of 100", "batch", 100),
)


@dataclass(frozen=True)
class Cost:
    """One round of one kind."""

    requests: float
    """Requests per second."""
    events: float
    """Events per second."""
    cpu_us: float
    """CPU of the ambassador per event, in microseconds."""
    p50_ms: float
    p99_ms: float
    """Milliseconds from a request to its answer."""


@dataclass(frozen=True)
class Publishing:
    """All that was measured."""

    connections: int
    costs: dict[str, list[Cost]]
    """By kind, a round each in turns."""


async def measure(the: Stage, *, rounds: int = 3, events: int = 8000, connections: int = 16) -> Publishing:
    """Let each kind take its turn. A batch counts as so many events, so all kinds publish the same number."""
    await the.fresh_bus()
    publisher = await _publisher(the, connections)
    await publisher.cost(KINDS[0], 500)
    costs: dict[str, list[Cost]] = {kind.name: [] for kind in KINDS}
    for _ in range(rounds):
        for kind in KINDS:
            costs[kind.name].append(await publisher.cost(kind, events * (1 if kind.size == 1 else 2)))
    await publisher.process.stop(_GRACE)
    return Publishing(connections, costs)


@dataclass(frozen=True)
class _Publisher:
    """An ambassador that takes events in."""

    the: Stage
    process: Process
    port: str
    connections: int

    async def cost(self, kind: Kind, events: int) -> Cost:
        """Publish so many events."""
        before = cpu_seconds(self.process.pid)
        run, requests = f"run-{time.monotonic_ns()}", max(self.connections, events // kind.size)
        told = await outcome(self.the, "posting.py", self.port, kind.mode, run, kind.size, requests, self.connections)
        cpu = cpu_seconds(self.process.pid) - before
        count, seconds = requests * kind.size, told["seconds"]
        return Cost(requests / seconds, count / seconds, cpu / count * 1e6, told["p50_ms"], told["p99_ms"])


async def _publisher(the: Stage, connections: int) -> _Publisher:
    told = Configuration(version=1, generation=1, service=SERVICE, bus=NAMES, emits=("Placed",))
    process, _ = await the.ambassador(told)
    await the.said(process, lambda line: '"configured"' in line)
    listening = msgspec.json.decode(await the.said(process, lambda line: '"listening"' in line))
    return _Publisher(the, process, listening["publish_url"].rpartition(":")[2], connections)


def section(found: Publishing) -> str:
    """Write the report's section."""
    rows = "\n".join(
        f"| {name} | {_spread([each.requests for each in costs])} | {_spread([each.events for each in costs])} "
        f"| {_spread([each.cpu_us for each in costs])} | {statistics.median(each.p50_ms for each in costs):.1f} "
        f"| {statistics.median(each.p99_ms for each in costs):.1f} |"
        for name, costs in found.costs.items()
    )
    return f"""## The publish API

{found.connections} kept connections with one request each at a time, as fast as they are answered; the kinds take turns (median, smallest to largest).
An answer is a 201 after the publish acknowledgement of every event in the request; events of 200 bytes, ids of their own.

| request | requests/s | events/s | CPU per event, us | answered, p50, ms | p99, ms |
| --- | --- | --- | --- | --- | --- |
{rows}

`.venv/bin/python bench/publishing.py`
"""


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


async def _main(arguments: argparse.Namespace) -> None:
    async with stage() as the:
        found = await measure(the, rounds=arguments.rounds, events=arguments.events, connections=arguments.connections)
    sys.stdout.write(section(found))


def main() -> None:
    """Measure, and print the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--events", type=int, default=8000, help="events of one round of one kind (batches: twice as many)"
    )
    parser.add_argument("--connections", type=int, default=16)
    uvloop.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
