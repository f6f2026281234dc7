"""Many deadlines on one timer: each rings when it is due, once, and none that was discarded; on a clock that the test moves."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from choregos_ambassador.deadlines import Deadlines


class Handle:
    """A timer of the clock."""

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """The part of an event loop that deadlines use."""

    def __init__(self) -> None:
        self.now = 0.0
        self.handles: list[Handle] = []
        self.between: Callable[[], None] = lambda: None
        """What goes on between two alarms."""

    def call_at(self, when: float, call: Callable[..., None], *arguments: Any) -> Handle:
        self.handles.append(Handle(when, lambda: call(*arguments)))
        return self.handles[-1]

    @property
    def set(self) -> list[Handle]:
        return [each for each in self.handles if not each.cancelled]

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything ring at its moment."""
        until = self.now + seconds
        while due := sorted((each for each in self.set if each.when <= until), key=lambda each: each.when):
            self.now = max(self.now, due[0].when)
            due[0].cancel()
            due[0].call()
            self.between()
        self.now = until

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return cast("asyncio.AbstractEventLoop", self)


class Watched:
    """Something with a deadline, which tells when it was over."""

    def __init__(self, deadline: float, clock: Clock) -> None:
        self.deadline = deadline
        self.clock = clock
        self.expired: list[float] = []

    def expire(self) -> None:
        self.expired.append(self.clock.now)


plans = st.lists(
    st.tuples(st.just("add"), st.integers(0, 20))
    | st.tuples(st.just("discard"), st.integers(0, 20))
    | st.tuples(st.just("advance"), st.integers(0, 10)),
    max_size=50,
)


@given(plans)
def test_each_expires_at_its_moment_and_none_that_was_discarded(plan: list[tuple[str, int]]) -> None:
    clock, deadlines = Clock(), Deadlines[Watched]()
    running: list[Watched] = []

    def discard_expired() -> None:
        """As who waited for it does, in the loop's next turn."""
        for each in running:
            if each.expired:
                deadlines.discard(each)

    clock.between = discard_expired
    for what, number in [*plan, ("advance", 30)]:
        if what == "add":
            running.append(Watched(clock.now + number, clock))
            deadlines.add(running[-1], clock.loop)
        elif what == "discard" and running:
            discarded = running.pop(number % len(running))
            deadlines.discard(discarded)
            assert discarded.expired == []
        elif what == "advance":
            clock.advance(number)
            for each in running:
                assert each.expired == ([each.deadline] if each.deadline <= clock.now else [])
            running = [each for each in running if not each.expired]
        assert len(clock.set) <= 1, "one timer for all"
    assert running == []


def test_a_timer_is_not_set_anew_for_each() -> None:
    clock, deadlines = Clock(), Deadlines[Watched]()
    for number in range(1000):
        each = Watched(10 + number / 1000, clock)
        deadlines.add(each, clock.loop)
        deadlines.discard(each)
    assert len(clock.handles) == 1


def test_an_alarm_for_one_that_was_discarded_passes_on_to_the_next() -> None:
    clock, deadlines = Clock(), Deadlines[Watched]()
    early, late = Watched(1, clock), Watched(3, clock)
    deadlines.add(early, clock.loop)
    deadlines.add(late, clock.loop)
    deadlines.discard(early)
    clock.advance(2)
    assert (early.expired, late.expired) == ([], [])
    clock.advance(2)
    assert late.expired == [3]


def test_nothing_is_left_to_ring_when_there_is_nothing_to_watch() -> None:
    clock, deadlines = Clock(), Deadlines[Watched]()
    only = Watched(1, clock)
    deadlines.add(only, clock.loop)
    deadlines.discard(only)
    clock.advance(5)
    assert clock.set == []
    again = Watched(7, clock)
    deadlines.add(again, clock.loop)
    clock.advance(2)
    assert again.expired == [7]
