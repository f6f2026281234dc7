"""`make bench`: what a hop costs, against what one would write by hand, all in one run.

Writes `bench/results/report.md` and `bench/results/summary.json`. Figures are ratios and medians over rounds in which
the candidates take turns, so that a machine whose speed drifts slows all of them alike.
"""

import argparse
import asyncio
import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uvloop
from service import serve
from stage import NAMES, SERVICE, Stage, configuration, cpu_seconds, rss_mib, stage

from choregos_ambassador.answer import Answer
from choregos_ambassador.http_client import HttpClient
from choregos_cli.ports import free_port
from choregos_cli.processes import Process
from choregos_contract.configuration import dump

RESULTS = Path(__file__).with_name("results")
GRACE = 10.0


@dataclass(frozen=True)
class Cost:
    """What a number of events cost one process."""

    cpu_us: float
    """CPU time per event, in microseconds."""
    per_second: float
    """Events per second."""
    rss: float
    """MiB at the end."""


async def saturated(the: Stage, name: str, events: int) -> Cost:
    """Let one candidate work off a full stream."""
    await the.fresh_bus("Placed")
    await the.publish(events)
    process, go = await _candidate(the, name)
    before, started = cpu_seconds(process.pid), time.perf_counter()
    await go()
    await the.settled()
    seconds, cpu = time.perf_counter() - started, cpu_seconds(process.pid) - before
    memory = rss_mib(process.pid)
    await process.stop(GRACE)
    return Cost(cpu / events * 1e6, events / seconds, memory)


async def _candidate(the: Stage, name: str) -> tuple[Process, Callable[[], "asyncio.Future[None]"]]:
    if name.startswith("ambassador"):
        process, path = await the.ambassador(
            configuration(the.port, "Placed", suspend=True), log_events=name == "ambassador, a log line per event"
        )
        await the.said(process, lambda line: '"configured"' in line)
        await asyncio.sleep(1.0)  # its first readiness probe, before the clock runs

        async def go() -> None:
            path.write_bytes(dump(configuration(the.port, "Placed", generation=2)))

        return process, lambda: asyncio.ensure_future(go())
    target = [] if name == "bare" else [f"http://127.0.0.1:{the.port}/events"]
    script = str(Path(__file__).with_name("loops.py"))
    durable = NAMES.durable(SERVICE, "Placed")
    process = await the.start([sys.executable, script, name, the.url, NAMES.event_stream, durable, *target])
    await the.said(process, lambda line: line == "ready")
    return process, lambda: asyncio.ensure_future(the.client.publish("bench.go"))


@dataclass(frozen=True)
class Latency:
    """Milliseconds from the start of sending to the request's arrival at the service."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Latency":
        """Summarise latencies in seconds."""
        cuts = statistics.quantiles([1000 * each for each in seconds], n=100)
        return cls(cuts[49], cuts[98])


async def latencies(the: Stage, rate: int, seconds: float) -> tuple[Latency, Latency]:
    """Measure events at a fixed rate through the bus and the ambassador, then the same as direct POSTs.

    Each is sent when its time has come, whether the one before has arrived or not, and its latency counts from that
    time: a stall shows in every event that it held up.
    """
    arrivals: dict[bytes, float] = {}
    port = free_port(set())
    server = await serve(port, lambda body: arrivals.setdefault(body, time.perf_counter()))
    await the.fresh_bus("Placed")
    process, _ = await the.ambassador(configuration(port, "Placed"))
    await the.publish_one("warm-up", body=b"warm-up")
    await _until(lambda: b"warm-up" in arrivals)
    hop = await _paced("hop", rate, seconds, arrivals, lambda body: the.publish_one(body.decode(), body=body))
    await process.stop(GRACE)
    client = HttpClient("127.0.0.1", port)

    async def post(body: bytes) -> None:
        head = f"POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        outcome = await client.post(head, body, timeout=10, limit=1024)
        assert isinstance(outcome, Answer), outcome

    direct = await _paced("direct", rate, seconds, arrivals, post)
    client.close()
    server.close()
    await server.wait_closed()
    return Latency.of(hop), Latency.of(direct)


async def _paced(
    name: str,
    rate: int,
    seconds: float,
    arrivals: dict[bytes, float],
    send: Callable[[bytes], Coroutine[Any, Any, None]],
) -> list[float]:
    sending, due = [], {}
    start = time.perf_counter() + 0.1
    for index in range(int(rate * seconds)):
        moment = start + index / rate
        await asyncio.sleep(max(0.0, moment - time.perf_counter()))
        body = f"{name}-{index}".encode()
        due[body] = moment
        sending.append(asyncio.ensure_future(send(body)))
    await asyncio.gather(*sending)
    await _until(lambda: due.keys() <= arrivals.keys())
    return [arrivals[body] - moment for body, moment in due.items()]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  what it waits for is a plain dict
            await asyncio.sleep(0.005)


async def first_delivery(the: Stage) -> tuple[float, float]:
    """Return seconds from an ambassador's start to its first delivery, and its resident memory a while after."""
    arrived = asyncio.Event()
    port = free_port(set())
    server = await serve(port, lambda _: arrived.set())
    await the.fresh_bus("Placed")
    await the.publish(1)
    started = time.perf_counter()
    process, _ = await the.ambassador(configuration(port, "Placed"))
    await asyncio.wait_for(arrived.wait(), 30)
    seconds = time.perf_counter() - started
    await asyncio.sleep(1.0)  # idle again
    memory = rss_mib(process.pid)
    await process.stop(GRACE)
    server.close()
    await server.wait_closed()
    return seconds, memory


@dataclass(frozen=True)
class Found:
    """All that was measured."""

    service: str
    costs: dict[str, list[Cost]]
    """By candidate, a round each."""
    hop: Latency
    direct: Latency
    first_delivery_s: float
    rss_idle_mib: float


async def measure(rounds: int, events: int, seconds: float, seed: int) -> Found:
    """Take all measurements."""
    names = ["bare", "naive", "ambassador", "ambassador, a log line per event"]
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    drawn = random.Random(seed)
    async with stage() as the:
        starts = [await first_delivery(the) for _ in range(rounds)]
        for _ in range(rounds):
            for name in drawn.sample(names, len(names)):
                costs[name].append(await saturated(the, name, events))
        hop, direct = await latencies(the, 100, seconds)
        return Found(
            service=the.service,
            costs=costs,
            hop=hop,
            direct=direct,
            first_delivery_s=statistics.median(each[0] for each in starts),
            rss_idle_mib=statistics.median(each[1] for each in starts),
        )


def summary(found: Found) -> dict[str, float]:
    """Return the figures that are compared from release to release."""
    costs = found.costs
    return {
        "cpu_vs_naive": _ratio(costs, "ambassador", "naive", lambda cost: cost.cpu_us),
        "cpu_vs_bare": _ratio(costs, "ambassador", "bare", lambda cost: cost.cpu_us),
        "cpu_log_events_vs_off": _ratio(
            costs, "ambassador, a log line per event", "ambassador", lambda cost: cost.cpu_us
        ),
        "throughput_vs_naive": _ratio(costs, "ambassador", "naive", lambda cost: cost.per_second),
        "added_p50_ms": round(found.hop.p50 - found.direct.p50, 3),
        "added_p99_ms": round(found.hop.p99 - found.direct.p99, 3),
        "rss_idle_mib": round(found.rss_idle_mib, 1),
        "rss_load_mib": round(statistics.median(cost.rss for cost in costs["ambassador"]), 1),
        "first_delivery_s": round(found.first_delivery_s, 3),
    }


def _ratio(costs: dict[str, list[Cost]], one: str, other: str, of: Callable[[Cost], float]) -> float:
    """Return the median of the ratios round by round."""
    return round(statistics.median(of(a) / of(b) for a, b in zip(costs[one], costs[other], strict=True)), 3)


def report(found: Found, figures: dict[str, float], arguments: argparse.Namespace) -> str:
    """Write the report."""
    rows = "\n".join(
        f"| {name} | {_spread([each.cpu_us for each in cost])} | {_spread([each.per_second for each in cost])} "
        f"| {_spread([each.rss for each in cost])} |"
        for name, cost in found.costs.items()
    )
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("choregos", "nats-py", "aiohttp", "uvloop", "httptools")
    )
    return f"""# Benchmark

`make bench`, with {arguments.events} events a round, {arguments.rounds} rounds, seed {arguments.seed}. Python
{platform.python_version()}, {versions}. Service: {found.service}. Events of 200 bytes with eight headers, 32 at a time.

At saturation (median, and smallest to largest):

| candidate | CPU per event, us | events/s | RSS, MiB |
| --- | --- | --- | --- |
{rows}

At 100 events/s, from the moment an event is due to its arrival at the service: through bus and ambassador p50
{found.hop.p50:.2f} ms, p99 {found.hop.p99:.2f} ms; as a direct POST p50 {found.direct.p50:.2f} ms, p99 {found.direct.p99:.2f} ms.

```json
{json.dumps(figures, indent=2)}
```
"""


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def main() -> None:
    """Measure, write, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=20_000, help="events that each candidate works off in a round")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each latency measurement")
    parser.add_argument("--seed", type=int, default=1, help="of the order in which the candidates take turns")
    arguments = parser.parse_args()
    found = uvloop.run(measure(arguments.rounds, arguments.events, arguments.seconds, arguments.seed))
    figures = summary(found)
    text = report(found, figures, arguments)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "report.md").write_text(text)
    (RESULTS / "summary.json").write_text(json.dumps(figures, indent=2) + "\n")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
