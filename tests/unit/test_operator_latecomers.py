"""Ambassadors that stay behind are looked at ever more seldom, and soon again when something changes with them."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from choregos_operator.controller.configmaps import Target
from choregos_operator.controller.latecomers import LONGEST_WAIT, Latecomers
from choregos_operator.controller.pods import Ambassador, Pod

BEGUN = datetime(2026, 5, 1, 12, tzinfo=UTC)
SCOPE = ("shop", "default")
POD = Pod(
    namespace="shop", name="a", uid="1", service="payment", created=BEGUN, ambassador=Ambassador.RUNNING, hash="older"
)
OTHER = replace(POD, name="b", uid="2")
TARGET = Target("wanted", 3, "default", BEGUN)


class Watch:
    """Looks as the controller does, each time when the last look said to."""

    def __init__(self) -> None:
        self.latecomers = Latecomers()
        self.now = BEGUN

    def look(
        self,
        *behind: Pod,
        target: Target = TARGET,
        loaded: int | None = 2,
        scope: tuple[str, str] = SCOPE,
    ) -> float | None:
        told = {} if loaded is None else {POD.name: loaded}
        return self.latecomers.again(scope, behind, {"payment": target}, told, self.now)

    def waits(self, number: int, behind: Iterable[Pod] = (POD,)) -> list[float]:
        found = []
        for _ in range(number):
            wait = self.look(*behind)
            assert wait is not None
            found.append(wait)
            self.now += timedelta(seconds=wait)
        return found


def test_the_waits_double_up_to_a_minute() -> None:
    assert Watch().waits(8) == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_nobody_behind_is_nothing_to_wait_for_and_ends_the_backoff() -> None:
    watch = Watch()
    assert watch.look() is None
    watch.waits(6)
    assert watch.look() is None
    assert watch.waits(2) == [2.0, 4.0]


def test_a_change_begins_anew() -> None:
    watch = Watch()
    watch.waits(6)
    assert watch.look(POD, target=replace(TARGET, generation=4)) == 2.0
    watch.waits(6)
    assert watch.look(POD, loaded=1) == 2.0
    for behind in ((POD, OTHER), (OTHER,)):
        watch.waits(6)
        assert watch.look(*behind) == 2.0


def test_looks_for_other_reasons_neither_lengthen_nor_shorten_a_wait() -> None:
    watch = Watch()
    watch.waits(3)
    assert [watch.look(POD) for _ in range(5)] == [16.0] * 5


def test_every_bus_has_a_backoff_of_its_own_and_a_clock_that_is_set_back_does_no_harm() -> None:
    watch = Watch()
    watch.waits(6)
    assert watch.look(POD, scope=("shop", "fast")) == 2.0
    assert watch.look(POD) == LONGEST_WAIT
    watch.now = BEGUN - timedelta(hours=1)
    assert watch.look(POD) == 2.0
