"""The demo: what it promises on its last line, and that Ctrl-C ends it at any moment without a trace."""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.up_process import Marked, eventually

DEMO = Path(__file__).parents[2] / "examples" / "drone-delivery" / "demo.py"


class Demo(Marked):
    """The demo as a process, its output in files."""

    def __init__(self, directory: Path) -> None:
        self._output, self._complaints = directory / "output", directory / "complaints"
        with self._output.open("w") as output, self._complaints.open("w") as complaints:
            super().__init__([sys.executable, str(DEMO)], stdout=output, stderr=complaints)

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def complaints(self) -> str:
        return self._complaints.read_text()

    def reached(self, milestone: str) -> bool:
        """Whether it has printed that, or started a process of that name."""
        return milestone in self.output or any(milestone in command for command in self.left().values())


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    running = Demo(tmp_path)
    yield running
    running.close()


def test_every_request_comes_to_an_end_and_nothing_is_lost_or_double(demo: Demo) -> None:
    code = demo.ends(within=60)
    demo.leaves_nothing()

    sums = json.loads(demo.output.splitlines()[-1])
    names = ["requested", "completed", "failed", "dead_lettered", "unfinished", "lost", "duplicates"]
    assert list(sums) == names
    assert (sums["requested"], sums["unfinished"], sums["lost"], sums["duplicates"]) == (50, 0, 0, 0)
    assert sums["completed"] + sums["failed"] + sums["dead_lettered"] == 50
    # The faults that are built in: no drone, and too heavy. Transient ones may add to them, hardly ever.
    assert sums["failed"] >= 4
    assert sums["dead_lettered"] >= 3
    assert code == 0
    assert demo.complaints == ""
    for shown in ("retry 503", "dead letter rejected", "=> DroneUnavailable", "one transaction, hop by hop"):
        assert shown in demo.output


@pytest.mark.parametrize("milestone", ["guard.py", "choregos_ambassador", "ingestion.py", "published", "done"])
def test_ctrl_c_ends_it_at_any_moment_and_leaves_no_process(demo: Demo, milestone: str) -> None:
    eventually(lambda: demo.reached(milestone), milestone)
    demo.signal(signal.SIGINT)
    assert demo.ends() == 130
    demo.leaves_nothing()
    assert demo.complaints == ""
