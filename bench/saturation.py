"""Throughput, and CPU per event, at saturation: `bench/saturation.py --help`.

Every candidate runs warm first, on events of its own. Then the server is told to hold the durable, the stream is filled, and the
clock starts as the last event is stored in a durable that is released: each candidate is connected and waits with its pulls by then,
so that no start, and no reload of a configuration, is part of a figure. It ends when the last acknowledgement has reached the server.
In each round the candidates take turns in an order that is drawn, and ratios are of two runs of the same round.
"""

import argparse
import asyncio
import random
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import candidates
import uvloop
from backlog import fill
from candidates import Candidate
from machine import busy_seconds, cpu_seconds, rss_mib
from stage import NAMES, SERVICE, Stage, stage

WARM = 3008
"""Events that a candidate takes before it is measured."""
_MOST_OTHERS = 0.25
"""Part of a core that others may take before a run counts as disturbed."""
_TRIES = 3
_BATCH = 32
"""FastStream waits some seconds for a batch that is not full, so nobody's last one may be."""


@dataclass(frozen=True)
class Cost:
    """What one candidate's run took, per event."""

    cpu_us: float
    """CPU time of its process, in microseconds."""
    per_second: float
    """Events per second."""
    rss: float
    """MiB at the end."""
    nats_us: float = 0.0
    """CPU time of nats-server."""
    service_us: float = 0.0
    """CPU time of the service."""
    others: float = 0.0
    """CPU of everything else on the machine, the benchmark itself included, as a part of one core."""


@dataclass(frozen=True)
class Saturation:
    """All that was measured."""

    service: str
    events: int
    seed: int
    costs: dict[Candidate, list[Cost]]
    """A round each."""
    slow_ms: float
    """Milliseconds that the slow path takes, asked by itself."""

    def ratios(self, one: Candidate, other: Candidate, of: str) -> list[float]:
        """Return the ratios of two candidates, round by round."""
        pairs = zip(self.costs[one], self.costs[other], strict=True)
        return [float(getattr(a, of)) / float(getattr(b, of)) for a, b in pairs]

    @property
    def summary(self) -> dict[str, float]:
        """What goes to `summary.json`."""
        return {key: round(statistics.median(self.ratios(*asked)), 3) for key, asked in COMPARED.items()}


COMPARED = {
    "cpu_vs_naive": (candidates.AMBASSADOR, candidates.NAIVE, "cpu_us"),
    "cpu_vs_bare": (candidates.AMBASSADOR, candidates.BARE, "cpu_us"),
    "cpu_vs_naive_replies": (candidates.AMBASSADOR_REPLIES, candidates.NAIVE_REPLIES, "cpu_us"),
    "throughput_vs_naive": (candidates.AMBASSADOR, candidates.NAIVE, "per_second"),
    "throughput_vs_faststream": (candidates.AMBASSADOR, candidates.FASTSTREAM, "per_second"),
}
"""The ratios of `summary.json`."""
ALSO = {
    "CPU, ambassador / FastStream": (candidates.AMBASSADOR, candidates.FASTSTREAM, "cpu_us"),
    "throughput, ambassador / FastStream by batches": (
        candidates.AMBASSADOR,
        candidates.FASTSTREAM_BATCHES,
        "per_second",
    ),
    "throughput with one reply, ambassador / naive": (
        candidates.AMBASSADOR_REPLIES,
        candidates.NAIVE_REPLIES,
        "per_second",
    ),
    "throughput, service of 1 ms, ambassador / naive": (
        candidates.AMBASSADOR_SLOW,
        candidates.NAIVE_SLOW,
        "per_second",
    ),
    "throughput, service of 1 ms, ambassador / FastStream": (
        candidates.AMBASSADOR_SLOW,
        candidates.FASTSTREAM_SLOW,
        "per_second",
    ),
    "CPU, service of 1 ms, ambassador / naive": (candidates.AMBASSADOR_SLOW, candidates.NAIVE_SLOW, "cpu_us"),
    "CPU, a log line per event / none": (candidates.LOGGING, candidates.AMBASSADOR, "cpu_us"),
}
"""Ratios that the report shows beside those."""


async def saturated(the: Stage, candidate: Candidate, events: int) -> Cost:
    """Let one candidate work off a full stream; raises RuntimeError if it did not do the whole job, once."""
    await the.fresh_bus("Placed")
    await fill(the, "warm", WARM)
    process = await candidate.start(the)
    asked = await _requests(the)
    await the.settled()
    await the.hold()
    await fill(the, "full", events - 1)
    pids = process.pid, the.nats_pid, the.service_pid
    before, busy = [cpu_seconds(pid) for pid in pids], busy_seconds()
    await the.release()
    started = time.perf_counter()
    await the.publish_one("the-last")
    await the.settled()
    seconds = time.perf_counter() - started
    cpu = [cpu_seconds(pid) - spent for pid, spent in zip(pids, before, strict=True)]
    others = (busy_seconds() - busy - sum(cpu)) / seconds
    memory = rss_mib(process.pid)
    await _did_it(the, candidate, WARM + events, await _requests(the) - asked - 1)
    process.signal(signal.SIGKILL)  # a polite end would wait for the pulls
    await process.wait()
    own, nats_server, service = (each / events * 1e6 for each in cpu)
    return Cost(own, events / seconds, memory, nats_server, service, others)


async def _undisturbed(the: Stage, candidate: Candidate, events: int) -> Cost:
    """Take a run that others disturbed again, twice at the most; return the least disturbed."""
    runs: list[Cost] = []
    while not runs or (runs[-1].others > _MOST_OTHERS and len(runs) < _TRIES):
        runs.append(await saturated(the, candidate, events))
    return min(runs, key=lambda run: run.others)


async def _did_it(the: Stage, candidate: Candidate, number: int, requests: int) -> None:
    info = await the.api(f"CONSUMER.INFO.{NAMES.event_stream}.{NAMES.durable(SERVICE, 'Placed')}")
    streams = [await the.api(f"STREAM.INFO.{name}") for name in (NAMES.event_stream, NAMES.dead_letter_stream)]
    found = {
        "delivered": info["delivered"]["consumer_seq"],
        "stored": streams[0]["state"]["messages"],
        "dead letters": streams[1]["state"]["messages"],
    }
    wanted = {"delivered": number, "stored": number * (2 if candidate.replies else 1), "dead letters": 0}
    if the.is_nginx:
        # Whether the service is ready, the ambassador asks with a connection and no request.
        found["requests"] = requests
        wanted["requests"] = number if candidate.asks_service else 0
    if found != wanted:
        raise RuntimeError(f"{candidate.name} did not do the job: {found} instead of {wanted}")


async def _requests(the: Stage) -> int:
    """Return how many requests nginx has answered, this one included; 0 if another service stands in for it."""
    if not the.is_nginx:
        return 0
    reader, writer = await asyncio.open_connection("127.0.0.1", the.port)
    writer.write(b"GET /status HTTP/1.0\r\n\r\n")
    lines = (await reader.read()).partition(b"\r\n\r\n")[2].splitlines()
    writer.close()
    return int(lines[2].split()[2])


async def _slow_ms(the: Stage, number: int = 200) -> float:
    """Return the median of requests to the slow path, one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", the.port)
    took = []
    for _ in range(number):
        started = time.perf_counter()
        writer.write(b"POST /slow HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        took.append((time.perf_counter() - started) * 1000)
    writer.close()
    return statistics.median(took)


async def measure(
    the: Stage,
    *,
    rounds: int = 5,
    events: int = 20_000,
    seed: int = 1,
    among: Sequence[Candidate] = candidates.ALL,
) -> Saturation:
    """Let the candidates take turns, in an order drawn anew in each round."""
    events -= events % _BATCH
    costs: dict[Candidate, list[Cost]] = {candidate: [] for candidate in among}
    drawn = random.Random(seed)
    for _ in range(rounds):
        for candidate in drawn.sample(list(among), len(among)):
            costs[candidate].append(await _undisturbed(the, candidate, events))
    return Saturation(the.service, events, seed, costs, await _slow_ms(the))


def section(found: Saturation) -> str:
    """Write the report's section."""
    rows = "\n".join(_row(candidate.name, costs) for candidate, costs in found.costs.items())
    rounds = len(next(iter(found.costs.values())))
    ratios = "\n".join(_ratio(f"`{key}`", found.ratios(*asked)) for key, asked in COMPARED.items())
    also = "\n".join(_ratio(key, found.ratios(*asked)) for key, asked in ALSO.items())
    return f"""## At saturation

Service: {found.service}; its slow path takes {found.slow_ms:.2f} ms. {found.events} events a run, 200 bytes with eight headers, 32 in flight, {WARM} others
before the clock runs; {rounds} rounds, the candidates in an order drawn with seed {found.seed}. Of each run it was checked that every event was delivered once,
came to the service once, was acknowledged, and left one reply where there is one. Median, and smallest to largest.

CPU per event, in microseconds, is that of the candidate's process; nats-server's and the service's stand beside it. With two cores, who is at
saturation is whose CPU times throughput comes to a core, or, for all together, to the machine. `others` is everything else that ran, the benchmark
itself included, in per cent of a core; a run in which they took more than {_MOST_OTHERS:.0%} was taken again, twice at the most.{_disturbed(found)}

| candidate | CPU per event, us | events/s | RSS, MiB | nats-server, us | service, us | its core | others |
| --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

Ratios of two runs of one round:

| ratio | median (smallest to largest) |
| --- | --- |
{ratios}
{also}

`.venv/bin/python bench/saturation.py`
"""


def _disturbed(found: Saturation) -> str:
    """Say so where the machine did something else."""
    runs = [each for costs in found.costs.values() for each in costs]
    if disturbed := [each.others for each in runs if each.others > _MOST_OTHERS]:
        return f"\n\n**Disturbed**: in {len(disturbed)} of {len(runs)} runs others took up to {max(disturbed):.0%} of a core; where it is many, run it again."
    return ""


def _row(name: str, costs: list[Cost]) -> str:
    def spread(of: str, digits: int = 0) -> str:
        values = [float(getattr(each, of)) for each in costs]
        return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"

    core = statistics.median(each.cpu_us * each.per_second / 1e6 for each in costs)
    others = statistics.median(each.others for each in costs)
    cells = [name, spread("cpu_us"), spread("per_second"), spread("rss"), spread("nats_us"), spread("service_us")]
    return f"| {' | '.join(cells)} | {core:.0%} | {others:.0%} |"


def _ratio(name: str, values: list[float]) -> str:
    return f"| {name} | {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f}) |"


async def _main(arguments: argparse.Namespace) -> None:
    async with stage() as the:
        found = await measure(the, rounds=arguments.rounds, events=arguments.events, seed=arguments.seed)
    sys.stdout.write(section(found))


def main() -> None:
    """Measure, and print the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=20_000, help="events that each candidate works off in a round")
    parser.add_argument("--seed", type=int, default=1, help="of the order in which the candidates take turns")
    uvloop.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
