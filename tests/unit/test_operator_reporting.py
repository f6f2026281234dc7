"""What a pass says of each object: its own troubles, those of the bus, and nobody else's."""

from collections import Counter
from datetime import timedelta

import pytest

from choregos_contract.plan import Refuse
from choregos_contract.status import Condition
from choregos_contract.wiring import Durable
from choregos_operator.bus.state import BusState
from choregos_operator.controller.configuring import Configured
from choregos_operator.controller.reporting import _Report
from choregos_operator.controller.wiring import Outcome
from support.watched import NOW, Watched


def report(watched: Watched, outcome: Outcome) -> _Report:
    return _Report(watched.look(), outcome, Configured({}, {}, frozenset()), NOW, timedelta(days=7))


def wired(conditions: tuple[Condition, ...]) -> Condition:
    return next(each for each in conditions if each.type == "Wired")


def several(number: int) -> Watched:
    watched = Watched()
    for each in range(number):
        watched.choreography(f"c{each}", service=f"s{each}")
    return watched


def test_a_durable_that_is_refused_is_told_to_its_own_choreography_a_stream_to_all() -> None:
    watched = several(2)
    seen = watched.look()
    durable = str(seen.wanted.durables[1])
    one = report(watched, Outcome(BusState(refusals=(Refuse(durable, "it is refused", "mend it"),))))
    assert [wired(one.of_choreography(each)[0]).status for each in seen.stored] == ["True", "False"]
    one = report(watched, Outcome(BusState(refusals=(Refuse("stream x", "it is refused", "mend it"),))))
    assert [wired(one.of_choreography(each)[0]).status for each in seen.stored] == ["False", "False"]


def test_what_keeps_a_bus_from_being_wired_is_told_to_the_bus_as_well() -> None:
    watched = several(1)
    watched.configure()
    watched.bus(prefix="other")
    one = report(watched, Outcome())
    (stored,) = watched.look().stored
    for condition in (wired(one.of_bus()[0]), wired(one.of_choreography(stored)[0])):
        assert (condition.status, condition.reason) == ("False", "Refused")
        assert "put the EventBus default back as it was" in condition.message


def test_a_report_about_many_choreographies_names_each_durable_once(monkeypatch: pytest.MonkeyPatch) -> None:
    named: Counter[str] = Counter()
    plain = Durable.__str__

    def counted(durable: Durable) -> str:
        named[durable.name] += 1
        return plain(durable)

    monkeypatch.setattr(Durable, "__str__", counted)
    watched = several(20)
    one = report(watched, Outcome(BusState()))
    for stored in watched.look().stored:
        one.of_choreography(stored)
    assert set(named.values()) == {1}
    assert len(named) == 20
