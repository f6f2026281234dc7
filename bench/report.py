"""The report of `make bench`: what was measured, where, and which of the targets are met."""

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import machine, versions

RESULTS = Path(__file__).with_name("results")
SUMMARY = (
    "cpu_vs_naive",
    "cpu_vs_bare",
    "cpu_vs_naive_replies",
    "throughput_vs_naive",
    "throughput_vs_faststream",
    "added_p50_ms",
    "added_p99_ms",
    "rss_idle_mib",
    "rss_load_mib",
    "first_delivery_s",
)
"""The keys of `summary.json`, which is compared from release to release."""


@dataclass(frozen=True)
class Target:
    """A bound for one figure."""

    figure: str
    says: str
    bound: float
    least: bool = False
    """Whether the figure is to be at least so much; at the most otherwise."""
    unit: str = ""

    def row(self, value: float | None) -> str:
        """Return the row of the table."""
        sign = ">=" if self.least else "<="
        shown = "not measured" if value is None else f"{_number(value)}{self.unit}"
        return f"| {self.says} | {sign} {self.bound:g}{self.unit} | {shown} | {self._verdict(value)} |"

    def _verdict(self, value: float | None) -> str:
        if value is None:
            return ""
        if value >= self.bound if self.least else value <= self.bound:
            return "met"
        return f"**missed** by {_number(abs(value - self.bound))}{self.unit} ({abs(value / self.bound - 1):.1%})"


def _number(value: float) -> str:
    digits = 3 if value < 10 else 1 if value < 1000 else 0
    return f"{value:.{digits}f}"


TARGETS = (
    Target("cpu_vs_naive", "CPU per event / naive (floor)", 0.60),
    Target("cpu_vs_naive", "CPU per event / naive", 0.50),
    Target("cpu_vs_bare", "CPU per event / bare loop", 1.7),
    Target("cpu_vs_naive_replies", "CPU per event with one reply / naive with replies", 0.60),
    Target("throughput_vs_naive", "throughput at saturation / naive", 2.0, least=True),
    Target("throughput_vs_faststream", "throughput at saturation / FastStream", 1.8, least=True),
    Target("added_p50_ms", "latency added per hop at 50 % load, p50", 1.0, unit=" ms"),
    Target("added_p99_ms", "latency added per hop at 50 % load, p99", 4.0, unit=" ms"),
    Target("rss_idle_mib", "RSS idle", 45, unit=" MiB"),
    Target("rss_load_mib", "RSS loaded", 60, unit=" MiB"),
    Target("rss_growth", "RSS at the end of the long run / early in it: flat", 1.05),
    Target("first_delivery_s", "start to first delivery", 0.6, unit=" s"),
    Target("cpu_100_reactions", "CPU per event, 100 reactions / one, at the same rate", 1.10),
    Target("cpu_100_reactions_full", "CPU per event, 100 reactions / one, from a full stream", 1.10),
)


def figures(found: Mapping[str, Any]) -> dict[str, float]:
    """Return every figure that has a target, of the parts that were measured."""
    told: dict[str, float] = {}
    for part in found.values():
        told |= getattr(part, "summary", {})
    if growth := found.get("growth"):
        told["cpu_100_reactions"] = statistics.median(growth.ratios(100))
        told["cpu_100_reactions_full"] = statistics.median(growth.ratios(100, "cpu_us"))
    if memory := found.get("memory"):
        told["rss_growth"] = memory.samples[-1][1] / memory.after(memory.early)
    return told


def summary(found: Mapping[str, Any]) -> dict[str, float]:
    """Return what goes to `summary.json`."""
    told = figures(found)
    return {key: told[key] for key in SUMMARY if key in told}


def head(found: Mapping[str, Any], how: str) -> str:
    """Write what stands above the sections."""
    told = figures(found)
    rows = "\n".join(target.row(told.get(target.figure)) for target in TARGETS)
    return f"""# Benchmark

{how}

* Machine: {machine()}
* Versions: {versions()}
* The ambassador keeps its metrics and writes no line per event. nats-server, the service, the candidate and the benchmark itself share
  the machine's cores; all traffic is on the loopback. Ratios are of runs in turns; figures are medians.

| target | bound | found | |
| --- | --- | --- | --- |
{rows}

```json
{json.dumps(summary(found), indent=2)}
```
"""
