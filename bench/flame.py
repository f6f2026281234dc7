"""A flame graph of the ambassador at saturation: `bench/flame.py --help`.

py-spy looks at the process from outside, C included, while it takes events from a full stream: once to draw `results/flame.svg`,
once for the tables. It stops the process for each look, so take the parts from here and the speed from elsewhere. On Linux it needs the right to
trace its own children; in a container that is the capability SYS_PTRACE.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import uvloop
from arrivals import sink
from backlog import fill, left
from growth import CONCURRENCY
from stage import Stage, configuration, stage

from choregos_cli.processes import Process

RESULTS = Path(__file__).with_name("results")
PER_SECOND = 500
"""Looks per second."""
_MOST = 12_000
"""Events per second that no ambassador takes while it is looked at."""
_OURS = "(choregos_"
_ROWS = 15
_GRACE = 0.0
"""Seconds to drain in: none, since nobody waits for what is left."""


@dataclass(frozen=True)
class Flame:
    """What the looks found. Counters are of looks, by function."""

    svg: Path
    reactions: int
    looks: int
    self_time: Counter[str]
    """By the function that ran."""
    own_time: Counter[str]
    """By the innermost function of ours that was under way: itself, and all that it called elsewhere."""
    whole_time: Counter[str]
    """By every function of ours that was under way."""


@dataclass(frozen=True)
class Folded:
    """A stack, from the outermost frame to the innermost, and how often it was seen. A frame is `name (file:line)`."""

    frames: tuple[str, ...]
    looks: int

    @classmethod
    def read(cls, line: str) -> "Folded":
        """Read a line of py-spy's format `raw`."""
        stack, _, looks = line.rpartition(" ")
        return cls(tuple(stack.split(";")), int(looks))

    @property
    def ours(self) -> list[str]:
        """The functions of ours in it, by name and module."""
        return [_function(each) for each in self.frames if _OURS in each]


def _function(frame: str) -> str:
    """Name a frame's function without the line that it was at."""
    name, _, place = frame.rpartition(" (")
    file = place.rstrip(")").rpartition(":")[0] or place.rstrip(")")
    return f"{name} ({file.rpartition('/')[2]})"


def counted(stacks: Iterable[Folded], svg: Path, reactions: int) -> Flame:
    """Count the looks by function."""
    self_time: Counter[str] = Counter()
    own_time: Counter[str] = Counter()
    whole_time: Counter[str] = Counter()
    for each in stacks:
        ours = each.ours
        self_time[_function(each.frames[-1])] += each.looks
        own_time[ours[-1] if ours else "-"] += each.looks
        for function in set(ours):
            whole_time[function] += each.looks
    return Flame(svg, reactions, self_time.total(), self_time, own_time, whole_time)


async def measure(the: Stage, *, seconds: float = 8.0, reactions: int = 1) -> Flame:
    """Record an ambassador at saturation, twice for so many seconds; raises RuntimeError if that cannot be done here."""
    types = tuple(f"Placed{each}" for each in range(reactions)) if reactions > 1 else ("Placed",)
    service = await sink(the) if reactions > 1 else None  # nginx takes fewer connections than many reactions open
    await the.fresh_bus(*types)
    port = service.port if service else the.port
    concurrency = CONCURRENCY if reactions > 1 else 32
    process, _ = await the.ambassador(configuration(port, *types, concurrency=concurrency))
    await fill(the, "flame", int(_MOST * 2 * (seconds + 1.0)), *types)
    RESULTS.mkdir(exist_ok=True)
    svg = RESULTS / ("flame.svg" if reactions == 1 else f"flame-{reactions}.svg")
    folded = the.processes.directory / "stacks.folded"
    await _record(the, process, seconds, "flamegraph", svg)
    await _record(the, process, seconds, "raw", folded)
    if not await left(the, types[0]):
        raise RuntimeError("the stream ran dry before the recording ended, so the ambassador was not at saturation")
    await process.stop(_GRACE)
    if service:
        await service.process.stop(_GRACE)
    return counted(map(Folded.read, folded.read_text().splitlines()), svg, reactions)


async def _record(the: Stage, process: Process, seconds: float, kind: str, path: Path) -> None:
    spy = Path(sys.executable).with_name("py-spy")
    if not spy.exists():
        raise RuntimeError("there is no py-spy beside this Python; it is in the dependency group `bench`")
    options = ["--native", "--rate", str(PER_SECOND), "--duration", f"{seconds:.0f}", "--format", kind]
    recorder = await the.start([str(spy), "record", *options, "--output", str(path), "--pid", str(process.pid)])
    async with asyncio.timeout(seconds * 10 + 30):
        code = await recorder.wait()
    if code != 0:
        raise RuntimeError(f"py-spy ended with {code}: " + "\n".join(the.lines[recorder.pid][-5:]))


def section(found: Flame) -> str:
    """Write the report's section."""
    return f"""## Where the time goes

The ambassador with {found.reactions} reaction{"s" * (found.reactions > 1)} at saturation, looked at {PER_SECOND} times a second ({found.looks} looks in which it ran); the graph is `{found.svg.name}`, beside this
report. The first table is by the function that ran; the second by the innermost function of the ambassador that was under way, with all
that it called elsewhere (C, the event loop, the kernel), and the third with all that it called.

| ran itself | |
| --- | --- |
{_rows(found.self_time, found.looks)}

| innermost function of ours | |
| --- | --- |
{_rows(found.own_time, found.looks)}

| function of ours, with all below it | |
| --- | --- |
{_rows(found.whole_time, found.looks)}

`.venv/bin/python bench/flame.py`
"""


def _rows(counter: Counter[str], looks: int) -> str:
    """Write the functions that were seen most, without those that were there at every look."""
    seen = [(name, number) for name, number in counter.most_common() if number < looks]
    return "\n".join(f"| `{name}` | {number / looks:.1%} |" for name, number in seen[:_ROWS])


async def _main(arguments: argparse.Namespace) -> None:
    async with stage() as the:
        found = await measure(the, seconds=arguments.seconds, reactions=arguments.reactions)
    sys.stdout.write(section(found))


def main() -> None:
    """Record, and print the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each of the two recordings")
    parser.add_argument("--reactions", type=int, default=1, help="reactions of the ambassador; with 1 at 32 in flight")
    uvloop.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
