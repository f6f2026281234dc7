"""Memory of an ambassador, and how soon it delivers: `bench/memory.py --help`.

Idle: started anew each time with one event that waits already, looked at a while after that is delivered. Loaded: the highest
and the last resident memory of a run from a full stream. Then a long run, fed in chunks and looked at every 50 000 events; what
is acknowledged is removed from the stream meanwhile.
"""

import argparse
import asyncio
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop
from arrivals import sink
from backlog import fill, left, sweep
from stage import Stage, configuration, rss_mib, stage

EVERY = 50_000
_CHUNK = 25_000
_GRACE = 0.0
"""Seconds to drain in: none, since nobody waits for what is left."""


@dataclass(frozen=True)
class Start:
    """One start: seconds from the process' start, and MiB a while after."""

    ready: float
    first_delivery: float
    rss: float


@dataclass(frozen=True)
class Memory:
    """All that was measured. MiB."""

    starts: list[Start]
    load_peak: float
    load_end: float
    """At saturation, over `load_events` events."""
    load_events: int
    samples: list[tuple[int, float]]
    """Resident memory after so many events of the long run."""
    per_second: float
    """Events per second over the long run, its publishing and sweeping included."""

    def after(self, events: int) -> float:
        """Return the resident memory after that many events, or the next sample before."""
        return [rss for number, rss in self.samples if number <= max(events, self.samples[0][0])][-1]

    @property
    def early(self) -> int:
        """The number of events against which the last sample is held: by then every pool and cache is filled."""
        return min(200_000, self.samples[len(self.samples) // 2][0])

    @property
    def summary(self) -> dict[str, float]:
        """What goes to `summary.json`."""
        return {
            "rss_idle_mib": round(statistics.median(each.rss for each in self.starts), 1),
            "rss_load_mib": round(self.load_peak, 1),
            "first_delivery_s": round(statistics.median(each.first_delivery for each in self.starts), 3),
        }


def peak_mib(pid: int) -> float:
    """Return the highest resident memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


async def start(the: Stage) -> Start:
    """Start an ambassador for whom an event waits."""
    service = await sink(the)
    await the.fresh_bus("Placed")
    await fill(the, "first", 1)
    started = time.monotonic_ns()
    process, _ = await the.ambassador(configuration(service.port, "Placed"))
    await the.said(process, lambda line: '"listening"' in line)
    ready = time.monotonic_ns()
    await the.settled()
    await asyncio.sleep(1.0)  # idle again
    memory = rss_mib(process.pid)
    [(_, arrived)] = await service.arrivals()
    await process.stop(_GRACE)
    await service.process.stop(_GRACE)
    return Start((ready - started) / 1e9, (arrived - started) / 1e9, memory)


async def loaded(the: Stage, events: int) -> tuple[float, float]:
    """Return the highest and the last resident memory of a run from a full stream."""
    await the.fresh_bus("Placed")
    await fill(the, "loaded", events)
    process, _ = await the.ambassador(configuration(the.port, "Placed"))
    await the.settled()
    found = peak_mib(process.pid), rss_mib(process.pid)
    await process.stop(_GRACE)
    return found


async def endured(the: Stage, events: int) -> tuple[list[tuple[int, float]], float]:
    """Return the resident memory after every 50 000 events of a long run, and its events per second."""
    await the.fresh_bus("Placed")
    process, _ = await the.ambassador(configuration(the.port, "Placed"))
    samples: list[tuple[int, float]] = []
    every, stored, started = min(EVERY, events), 0, time.monotonic()
    while not samples or samples[-1][0] < events:
        waiting = await left(the)
        if waiting < _CHUNK and stored < events:
            number = min(_CHUNK, events - stored)
            await fill(the, "endured", number, first=stored)
            stored += number
            continue
        done = stored - waiting
        if done // every > len(samples):
            samples.append((done // every * every, rss_mib(process.pid)))
            await sweep(the)
        await asyncio.sleep(0.1)
    seconds = time.monotonic() - started
    await process.stop(_GRACE)
    return samples, events / seconds


async def measure(the: Stage, *, starts: int = 7, load: int = 40_000, events: int = 1_000_000) -> Memory:
    """Take all three measurements."""
    begun = [await start(the) for _ in range(starts)]
    peak, end = await loaded(the, load)
    samples, per_second = await endured(the, events)
    return Memory(begun, peak, end, load, samples, per_second)


def section(found: Memory) -> str:
    """Write the report's section."""
    ready, first, idle = ([getattr(each, of) for each in found.starts] for of in ("ready", "first_delivery", "rss"))
    last, memory = found.samples[-1]
    early = found.after(found.early)
    course = ", ".join(f"{number // 1000}k {rss:.1f}" for number, rss in found.samples)
    return f"""## Memory, and the first delivery

{len(found.starts)} starts with an event that waits already, counted from the start of the process (median, smallest to largest; idle: a second later). Loaded:
{found.load_events} events from a full stream. The long run is fed in chunks of {_CHUNK} and looked at every {EVERY} events; what is acknowledged is removed from the stream.

| | |
| --- | --- |
| start to ready (listening), s | {_spread(ready, 3)} |
| start to first delivery, s | {_spread(first, 3)} |
| RSS idle, MiB | {_spread(idle, 1)} |
| RSS loaded, peak and end, MiB | {found.load_peak:.1f}, {found.load_end:.1f} |
| RSS after {found.early:,} events, MiB | {early:.1f} |
| RSS after {last:,} events, MiB | {memory:.1f} ({memory - early:+.1f}, {memory / early - 1:+.1%}; {found.per_second:.0f} events/s) |

RSS by events: {course}.

`.venv/bin/python bench/memory.py`
"""


def _spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


async def _main(arguments: argparse.Namespace) -> None:
    async with stage() as the:
        found = await measure(the, starts=arguments.starts, load=arguments.load, events=arguments.events)
    sys.stdout.write(section(found))


def main() -> None:
    """Measure, and print the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--load", type=int, default=40_000, help="events of the run from a full stream")
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the long run")
    uvloop.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
