"""Who has to go when all connections of a port are taken."""

from hypothesis import given
from hypothesis import strategies as st

from choregos_ambassador.connections import Connections

steps = st.lists(st.tuples(st.sampled_from(["wait", "work", "keep", "forget"]), st.integers(0, 5)))


def test_whoever_has_waited_longest_goes_first_then_whoever_was_kept_longest() -> None:
    open_: Connections[str] = Connections(5)
    for name in "abcde":
        open_.wait(name)
    open_.work("a")
    open_.keep("b")
    open_.keep("c")
    assert open_.full
    gone = []
    while (spared := open_.dispensable_for("f")) is not None:
        gone.append(spared)
        open_.forget(spared)
    assert gone == ["d", "e", "b", "c"]
    assert len(open_) == 1


def test_the_host_with_most_connections_gives_one_up_be_it_the_newcomer() -> None:
    open_: Connections[str] = Connections(4, lambda name: name[0])
    open_.wait("b1")
    for name in ("a1", "a2"):
        open_.keep(name)
    open_.work("c1")
    assert open_.dispensable_for("b2") == "a1", "b1 waits, but a has more"
    open_.work("a1")
    assert open_.dispensable_for("a3") == "a2"
    open_.work("a2")
    assert open_.dispensable_for("a3") is None, "a itself has most, and all of them are worked on"
    assert open_.dispensable_for("d1") == "b1"


def test_to_wait_on_is_not_to_begin_anew() -> None:
    open_: Connections[str] = Connections(2)
    open_.wait("a")
    open_.wait("b")
    open_.wait("a")
    assert open_.dispensable_for("c") == "a"


@given(steps)
def test_each_is_at_one_thing_and_none_that_is_worked_on_goes(taken: list[tuple[str, int]]) -> None:
    open_: Connections[int] = Connections(3)
    at: dict[int, str] = {}
    for step, who in taken:
        getattr(open_, step)(who)
        at[who] = step
    here = {who: step for who, step in at.items() if step != "forget"}
    assert len(open_) == len(here)
    assert open_.full == (len(here) >= 3)
    assert all(open_.waits(who) == (step == "wait") for who, step in here.items())
    spared = open_.dispensable_for(9)
    if spared is None:
        assert set(here.values()) <= {"work"}
    else:
        assert here[spared] == ("wait" if "wait" in here.values() else "keep")
