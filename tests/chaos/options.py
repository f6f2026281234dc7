"""What a round may be told."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import randbelow
from typing import Final

from chaos.faults import ALL, chosen
from chaos.theatre import Kind, Runner


@dataclass(frozen=True)
class Options:
    """The options of one round. Times in seconds, `rate` in orders per second, `every` between two faults on average."""

    duration: float = 60.0
    seed: int = 1
    nats: Kind = Kind.SINGLE
    runner: Runner = Runner.CHOREGOS
    faults: str = ""
    rate: float = 25.0
    every: float = 2.0
    settle: float = 150.0

    @property
    def patience(self) -> float:
        """Seconds to wait for rest: a loop that hands back for ever what is refused for good never comes to it."""
        return self.settle if self.runner is Runner.CHOREGOS else min(self.settle, _TWO_LEASES)


_TWO_LEASES: Final = 75.0


def parse(arguments: Sequence[str]) -> tuple[Options, bool]:
    """Read the command line; returns the options, and whether all runners are to be compared."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description="Play a round of faults, and judge it.")
    usual = Options()
    parser.add_argument("--duration", type=seconds, default=usual.duration, help="of the load, such as 60s or 20m")
    parser.add_argument("--seed", type=int, help="of the schedule; drawn if left out")
    parser.add_argument("--nats", type=Kind, choices=list(Kind), default=usual.nats)
    parser.add_argument("--runner", type=Runner, choices=list(Runner), default=usual.runner)
    parser.add_argument("--faults", default=usual.faults, help=f"kinds or patterns, with commas: {', '.join(ALL)}")
    parser.add_argument("--rate", type=float, default=usual.rate, help="orders per second")
    parser.add_argument("--every", type=seconds, default=usual.every, help="seconds between two faults, on average")
    parser.add_argument("--settle", type=seconds, default=usual.settle, help="until all must be at rest after the load")
    parser.add_argument("--compare", action="store_true", help="play it with every runner, one after the other")
    given = vars(parser.parse_args(arguments))
    compare = given.pop("compare")
    if given["seed"] is None:
        given["seed"] = randbelow(2**31)
    try:
        chosen(given["faults"], of_cluster=given["nats"] is Kind.CLUSTER)
    except ValueError as error:
        parser.error(str(error))
    return Options(**given), compare


def seconds(text: str) -> float:
    """Read a duration such as `90`, `60s` or `20m`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 60s or 20m")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2] or "s"]
