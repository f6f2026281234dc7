"""`make bench`: what a hop costs, against what one would write by hand, and what it costs as work grows.

Writes `bench/results/report.md` and `bench/results/summary.json`, part by part, so that what is measured is kept if a later part
fails. With `--only`, the report is of these parts and goes to `bench/results/only.md`.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import flame
import growth
import latency
import memory
import publishing
import saturation
import transactions
import uvloop
from report import RESULTS, SUMMARY, head, summary
from stage import stage


@dataclass(frozen=True)
class Part:
    """One module: its measurement, its section of the report, what `--quick` changes, and whether it draws."""

    measure: Callable[..., Awaitable[Any]]
    section: Callable[[Any], str]
    quick: Mapping[str, Any] = field(default_factory=dict)
    draws: bool = False


PARTS = {
    "saturation": Part(saturation.measure, saturation.section, {"rounds": 1, "events": 10_000}, draws=True),
    "latency": Part(latency.measure, latency.section, {"rounds": 1, "seconds": 4.0, "events": 10_000}),
    "transactions": Part(transactions.measure, transactions.section, {"rounds": 1, "number": 4000, "seconds": 4.0}),
    "publishing": Part(publishing.measure, publishing.section, {"rounds": 1, "events": 4000}),
    "memory": Part(memory.measure, memory.section, {"starts": 3, "load": 20_000, "events": 150_000}),
    "growth": Part(growth.measure, growth.section, {"rounds": 1, "events": 10_000, "seconds": 10.0}, draws=True),
    "flame": Part(flame.measure, flame.section, {"seconds": 3.0}),
}


@dataclass
class Run:
    """One run: what was found so far, and what could not be measured, by the parts' names."""

    arguments: argparse.Namespace
    begun: str
    found: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def report(self) -> Path:
        """Where the report goes."""
        return RESULTS / ("only.md" if self.arguments.only else "report.md")

    async def measure(self) -> None:
        """Measure the parts, each on a stage of its own, and write the report anew after each."""
        for name in self.arguments.only or PARTS:
            started = time.monotonic()
            try:
                async with stage() as the:
                    self.found[name] = await PARTS[name].measure(the, **self._options(PARTS[name]))
            except RuntimeError as error:
                self.failed[name] = str(error)
            sys.stderr.write(f"{name}: {self.failed.get(name, 'measured')}, {time.monotonic() - started:.0f} s\n")
            self._write()

    def _options(self, part: Part) -> dict[str, Any]:
        options = dict(part.quick) if self.arguments.quick else {}
        return options | {"seed": self.arguments.seed} if part.draws else options

    def _write(self) -> None:
        sections = [PARTS[name].section(part) for name, part in self.found.items()]
        sections += [f"## Not measured: {name}\n\n```\n{error}\n```\n" for name, error in self.failed.items()]
        self.report.write_text("\n".join([head(self.found, self.begun), *sections]))
        if not self.arguments.only:
            (RESULTS / "summary.json").write_text(json.dumps(summary(self.found), indent=2) + "\n")


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PARTS)}")
    return names


def _begun(arguments: argparse.Namespace) -> str:
    effort = "`--quick`, so one round of little, nothing to quote; " if arguments.quick else ""
    load = os.getloadavg()[0]
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {effort}orders drawn with seed {arguments.seed}; load average before: {load:.1f}."


def main() -> None:
    """Measure, write, and print; the exit code is 1 if something could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=_names, help=f"some of {', '.join(PARTS)}; separated by commas")
    parser.add_argument("--quick", action="store_true", help="few rounds, some minutes: a first look, nothing to quote")
    parser.add_argument("--seed", type=int, default=1, help="of the orders in which candidates take turns")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    run = Run(arguments, _begun(arguments))
    uvloop.run(run.measure())
    sys.stdout.write(run.report.read_text())
    whole = arguments.only or tuple(summary(run.found)) == SUMMARY
    sys.exit(1 if run.failed or not whole else 0)


if __name__ == "__main__":
    main()
