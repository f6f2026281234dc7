"""What an event costs as the work grows: `bench/growth.py --help`.

* 1, 10 and 100 reactions in one ambassador: the same number of events in all, their types in turns, the candidates in turns.
* One ambassador at rest: its CPU, and every message on NATS for a minute.
* Events of 200 bytes to 512 KiB.
"""

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import nats
import uvloop
from arrivals import Sink, outcome, sink
from backlog import fill
from machine import cpu_seconds, rss_mib
from memory import peak_mib
from nats.aio.msg import Msg
from stage import Stage, configuration, stage

from choregos_cli.processes import Process

REACTIONS = (1, 10, 100)
SIZES = (200, 2 * 1024, 16 * 1024, 128 * 1024, 512 * 1024)
CONCURRENCY = 16
"""Of each reaction, as it is where nothing is said; so 100 reactions may have 1600 events in flight."""
RATE = 2000
"""Events per second of the runs at a rate that is the same for all."""
PACED = 4.0
"""Seconds of such a run."""
_MOST_BYTES = 64 * 2**20
_FEWEST = 200
_WARM = 2000
_GRACE = 0.0
"""Seconds to drain in: none, since nobody waits for what is left."""


@dataclass(frozen=True)
class Spread:
    """One run over so many reactions. CPU in microseconds per event."""

    cpu_us: float
    nats_us: float
    per_second: float
    paced_us: float
    """The ambassador's, at a rate that is the same for all: from a full stream, the server decides how many come at once."""
    rss: float


@dataclass(frozen=True)
class Rest:
    """An ambassador without events. Messages are all that NATS carried, per minute, by what they are."""

    reactions: int
    cpu: float
    """As a part of one core."""
    rss: float
    messages: dict[str, float]


@dataclass(frozen=True)
class Size:
    """One run of events of one size."""

    bytes: int
    events: int
    cpu_us: float
    per_second: float
    rss_peak: float

    @property
    def mb_per_second(self) -> float:
        """Megabytes of bodies per second."""
        return self.bytes * self.per_second / 1e6


@dataclass(frozen=True)
class Growth:
    """All that was measured."""

    events: int
    concurrency: int
    spread: dict[int, list[Spread]]
    """By the number of reactions, a round each."""
    rest: list[Rest]
    sizes: dict[int, list[Size]]
    """By the size in bytes, a round each."""

    def ratios(self, reactions: int, of: str = "paced_us") -> list[float]:
        """Return CPU per event against one reaction's, round by round: at the same rate, or (`cpu_us`) from a full stream."""
        pairs = zip(self.spread[reactions], self.spread[1], strict=True)
        return [float(getattr(a, of)) / float(getattr(b, of)) for a, b in pairs]


def _types(number: int) -> tuple[str, ...]:
    return tuple(f"Placed{each}" for each in range(number))


async def spread(the: Stage, reactions: int, events: int, concurrency: int) -> Spread:
    """Let one ambassador with so many reactions take this number of events, warm."""
    types = _types(reactions)
    service = await sink(the)
    await the.fresh_bus(*types)
    process, _ = await the.ambassador(configuration(service.port, *types, concurrency=concurrency))
    await fill(the, "warm", _WARM, *types)
    await _settled(the, types)
    await service.arrivals()
    before = cpu_seconds(process.pid), cpu_seconds(the.nats_pid)
    await fill(the, "spread", events, *types)
    times = [moment for _, moment in await service.received(events)]
    own, server = cpu_seconds(process.pid) - before[0], cpu_seconds(the.nats_pid) - before[1]
    await _settled(the, types)
    paced = await _paced(the, process, service, types)
    memory = rss_mib(process.pid)
    await process.stop(_GRACE)
    await service.process.stop(_GRACE)
    per_second = (events - 1) / (times[-1] - times[0]) * 1e9
    return Spread(own / events * 1e6, server / events * 1e6, per_second, paced, memory)


async def _paced(the: Stage, process: Process, service: Sink, types: tuple[str, ...]) -> float:
    before = cpu_seconds(process.pid)
    told = await outcome(the, "load.py", "hop", the.url, "paced", ",".join(types), RATE, PACED)
    number = int(told["number"])
    await service.received(number)
    return (cpu_seconds(process.pid) - before) / number * 1e6


async def _settled(the: Stage, types: tuple[str, ...]) -> None:
    for each in types:
        await the.settled(each)


async def rest(the: Stage, reactions: int, seconds: float) -> Rest:
    """Watch an ambassador that has nothing to do, after it has had an event of each type."""
    types = _types(reactions)
    await the.fresh_bus(*types)
    process, _ = await the.ambassador(configuration(the.port, *types, concurrency=CONCURRENCY))
    await fill(the, "rest", reactions, *types)
    await _settled(the, types)
    await asyncio.sleep(6.0)  # longer than a pull waits
    counted: Counter[str] = Counter()
    client = await nats.connect(the.url)

    async def count(message: Msg) -> None:
        counted[_kind(message)] += 1

    await client.subscribe(">", cb=count)
    await client.flush()
    before, started = cpu_seconds(process.pid), time.monotonic()
    await asyncio.sleep(seconds)
    cpu, took = cpu_seconds(process.pid) - before, time.monotonic() - started
    found = {kind: number * 60 / took for kind, number in counted.most_common()}
    memory = rss_mib(process.pid)
    await client.close()
    await process.stop(_GRACE)
    return Rest(reactions, cpu / took, memory, found)


def _kind(message: Msg) -> str:
    """Say what a message is: a pull, a question to JetStream, or an answer."""
    if message.subject.startswith("$JS.API.CONSUMER.MSG.NEXT."):
        return "pulls"
    if message.subject.startswith("$JS.API."):
        return "questions"
    return "answers" if message.subject.startswith("_INBOX.") else "others"


async def sized(the: Stage, size: int) -> Size:
    """Let an ambassador take events of one size from a full stream."""
    events = max(_FEWEST, min(10_000, _MOST_BYTES // size))
    await the.fresh_bus("Placed")
    process, _ = await the.ambassador(configuration(the.port, "Placed", concurrency=CONCURRENCY))
    await fill(the, "warm", max(_FEWEST, events // 10), size=size)
    await the.settled()
    await the.hold()
    await fill(the, "sized", events - 1, size=size)
    before = cpu_seconds(process.pid)
    await the.release()
    started = time.perf_counter()
    await the.publish_one("the-last")
    await the.settled()
    seconds, cpu = time.perf_counter() - started, cpu_seconds(process.pid) - before
    peak = peak_mib(process.pid)
    await process.stop(_GRACE)
    return Size(size, events, cpu / events * 1e6, events / seconds, peak)


async def measure(
    the: Stage,
    *,
    rounds: int = 5,
    events: int = 20_000,
    concurrency: int = CONCURRENCY,
    seconds: float = 60.0,
    seed: int = 1,
) -> Growth:
    """Take all measurements; `seconds` is how long an ambassador at rest is watched."""
    drawn = random.Random(seed)
    found: dict[int, list[Spread]] = {number: [] for number in REACTIONS}
    sizes: dict[int, list[Size]] = {size: [] for size in SIZES}
    for _ in range(rounds):
        for number in drawn.sample(REACTIONS, len(REACTIONS)):
            found[number].append(await spread(the, number, events, concurrency))
    for _ in range(max(1, rounds // 2)):
        for size in drawn.sample(SIZES, len(SIZES)):
            sizes[size].append(await sized(the, size))
    resting = [await rest(the, number, seconds) for number in (1, 100)]
    return Growth(events, concurrency, found, resting, sizes)


def section(found: Growth) -> str:
    """Write the report's section."""
    return f"""## As the work grows

{found.events} events in all, spread evenly over the reactions of one ambassador, {found.concurrency} in flight for each reaction at the most (what holds where nothing
is said); warm, the numbers of reactions in turns. Once at {RATE} events/s, the same for all, and once from a full stream, where it is the server's and the
service's pace too. Ratios are of two runs of the same round; median, smallest to largest.

| reactions | CPU per event at {RATE}/s, us | against one | CPU per event, full stream, us | against one | nats-server, us | events/s | RSS, MiB |
| --- | --- | --- | --- | --- | --- | --- | --- |
{_rows(_spread_rows(found))}

At rest, with nothing to deliver (all messages that NATS carried):

| reactions | CPU, of a core | RSS, MiB | messages per minute |
| --- | --- | --- | --- |
{_rows(_rest_rows(found))}

Events of other sizes, from a full stream, {CONCURRENCY} in flight:

| bytes | events | CPU per event, us | events/s | MB/s | RSS, highest, MiB |
| --- | --- | --- | --- | --- | --- |
{_rows(_size_rows(found))}

`.venv/bin/python bench/growth.py`
"""


def _rows(rows: Iterator[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _spread_rows(found: Growth) -> Iterator[tuple[str, ...]]:
    for number, runs in found.spread.items():
        yield (
            str(number),
            _between([each.paced_us for each in runs]),
            _between(found.ratios(number), 3),
            _between([each.cpu_us for each in runs]),
            _between(found.ratios(number, "cpu_us"), 3),
            _between([each.nats_us for each in runs]),
            _between([each.per_second for each in runs]),
            _between([each.rss for each in runs], 1),
        )


def _rest_rows(found: Growth) -> Iterator[tuple[str, ...]]:
    for each in found.rest:
        kinds = ", ".join(f"{kind} {number:.0f}" for kind, number in each.messages.items())
        yield str(each.reactions), f"{each.cpu:.2%}", f"{each.rss:.1f}", f"{sum(each.messages.values()):.0f} ({kinds})"


def _size_rows(found: Growth) -> Iterator[tuple[str, ...]]:
    for size, runs in found.sizes.items():
        yield (
            f"{size:,}",
            str(runs[0].events),
            _between([each.cpu_us for each in runs]),
            _between([each.per_second for each in runs]),
            f"{statistics.median(each.mb_per_second for each in runs):.1f}",
            _between([each.rss_peak for each in runs], 1),
        )


def _between(values: list[float], digits: int = 0) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


async def _main(arguments: argparse.Namespace) -> None:
    async with stage() as the:
        found = await measure(the, **vars(arguments))
    sys.stdout.write(section(found))


def main() -> None:
    """Measure, and print the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=20_000, help="events of one run over the reactions")
    parser.add_argument("--concurrency", type=int, default=CONCURRENCY, help="events in flight for each reaction")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long an ambassador at rest is watched")
    parser.add_argument("--seed", type=int, default=1, help="of the order in which the runs take turns")
    uvloop.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
