"""Every step of a hop is one at which some fault ends an ambassador, and no fault waits for a step that is none."""

import re
from collections import Counter

from chaos.faults import ALL
from chaos.faults.processes import CallLate, DieAt, StopAt
from support.console_script import ROOT

REACHED = re.compile(r'\breach\("([a-z-]+)"\)')


def steps() -> Counter[str]:
    modules = (ROOT / "ambassador" / "choregos_ambassador").glob("*.py")
    return Counter(step for module in modules for step in REACHED.findall(module.read_text()))


def test_an_ambassador_dies_at_every_step_that_there_is() -> None:
    assert {each.step for each in ALL.values() if isinstance(each, DieAt)} == steps().keys()


def test_each_step_has_one_place() -> None:
    assert set(steps().values()) == {1}


def test_an_ambassador_stops_only_at_steps_that_there_are() -> None:
    assert {each.step for each in ALL.values() if isinstance(each, StopAt)} <= steps().keys()
    assert any(isinstance(each, CallLate) for each in ALL.values())
    assert "before-call" in steps()
