"""The slots of a reaction: no event too many at once, the oldest first, and none forgotten, whatever is changed meanwhile."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from choregos_ambassador.delivery import Delivery
from choregos_ambassador.slots import Slots

TURNS = 5
"""Turns of the event loop in which everything has happened that can."""


def event(sequence: int) -> Delivery:
    return Delivery("s", {}, b"", b"", 1, sequence, 0, "stream")


class Play:
    """Slots whose events end when the test says so."""

    def __init__(self, number: int) -> None:
        self.slots = Slots(number, self._take)
        self.added: list[int] = []
        self.begun: list[int] = []
        self.running: dict[int, asyncio.Event] = {}
        self.crowds: list[tuple[int, int]] = []
        """How many were with the service as one more began, and how many there might have been."""

    async def add(self) -> None:
        self.added.append(len(self.added))
        self.slots.add(event(self.added[-1]))
        await turn()

    async def end(self, which: int) -> None:
        """End one of those that run, if there is any."""
        if self.running:
            self.running.pop(sorted(self.running)[which % len(self.running)]).set()
            await turn()

    async def end_all(self) -> None:
        while self.running:
            await self.end(0)

    async def _take(self, delivery: Delivery) -> None:
        self.begun.append(delivery.sequence)
        self.running[delivery.sequence] = ended = asyncio.Event()
        self.crowds.append((len(self.running), self.slots.number))
        await ended.wait()


async def turn() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


steps = st.lists(
    st.tuples(st.just("add"), st.just(0))
    | st.tuples(st.just("end"), st.integers(0, 9))
    | st.tuples(st.just("number"), st.integers(1, 5)),
    max_size=40,
)


@given(st.integers(1, 5), steps)
def test_never_too_many_at_once_and_none_is_forgotten(number: int, plan: list[tuple[str, int]]) -> None:
    async def play() -> None:
        played = Play(number)
        for what, argument in plan:
            if what == "number":
                played.slots.number = argument
                await turn()
                continue
            before = len(played.begun) - len(played.running)
            await (played.add() if what == "add" else played.end(argument))
            assert len(played.begun) - len(played.running) == before + (what == "end" and len(played.added) > before)
            assert played.slots.in_hand == len(played.added) - played.slots.ended
        await played.end_all()
        assert all(crowd <= most for crowd, most in played.crowds), played.crowds
        assert sorted(played.begun) == played.added, "each once"
        assert (played.slots.in_hand, played.slots.ended) == (0, len(played.added))

    asyncio.run(play())


@given(st.integers(1, 5), st.lists(st.none() | st.integers(0, 9), max_size=40))
def test_the_oldest_is_taken_first(number: int, plan: list[int | None]) -> None:
    async def play() -> None:
        played = Play(number)
        for which in plan:
            await (played.add() if which is None else played.end(which))
        await played.end_all()
        assert played.begun == played.added

    asyncio.run(play())


@given(st.integers(1, 5), steps)
def test_it_is_empty_when_nothing_is_in_hand_and_only_then(number: int, plan: list[tuple[str, int]]) -> None:
    async def play() -> None:
        played = Play(number)
        for what, argument in plan:
            if what == "number":
                played.slots.number = argument
            else:
                await (played.add() if what == "add" else played.end(argument))
            waiter = asyncio.create_task(played.slots.empty())
            await turn()
            assert waiter.done() == (played.slots.in_hand == 0)
            waiter.cancel()
            await asyncio.gather(waiter, return_exceptions=True)
        waiter = asyncio.create_task(played.slots.empty())
        await played.end_all()
        await asyncio.wait_for(waiter, 5)

    asyncio.run(play())


async def test_with_more_slots_the_oldest_is_still_taken_first() -> None:
    played = Play(1)
    for _ in range(2):
        await played.add()
    played.slots.number = 2
    await played.add()
    await played.end_all()
    assert played.begun == [0, 1, 2]


async def test_with_fewer_slots_those_beyond_are_given_up_as_their_events_end() -> None:
    played = Play(3)
    for _ in range(6):
        await played.add()
    played.slots.number = 1
    await played.end(0)
    await played.end(0)
    assert (len(played.running), played.begun) == (1, [0, 1, 2])
    await played.end(0)
    assert (len(played.running), played.begun) == (1, [0, 1, 2, 3])
    await played.end_all()


async def test_what_waits_can_be_taken_otherwise_and_without_a_slot() -> None:
    played, released = Play(1), list[int]()

    async def otherwise(delivery: Delivery) -> None:
        released.append(delivery.sequence)

    for _ in range(4):
        await played.add()
    assert not played.slots.release(otherwise, waited=60.0)
    assert played.slots.release(otherwise)
    await turn()
    assert (released, played.begun) == ([1, 2, 3], [0])
    assert (played.slots.in_hand, played.slots.ended) == (1, 3)
    await played.add()
    assert played.begun == [0], "its slot is still taken"
    await played.end_all()
    assert (played.begun, played.slots.in_hand) == ([0, 4], 0)
    await asyncio.wait_for(played.slots.empty(), 5)


async def test_a_slot_is_free_once_what_its_event_has_woken_runs() -> None:
    """Else nobody would pull for it: what is woken as an event ends pulls for the slots that are free then."""
    free: list[int] = []

    async def take(_delivery: Delivery) -> None:
        asyncio.get_running_loop().call_soon(lambda: free.append(slots.number - slots.in_hand))

    slots = Slots(2, take)
    for sequence in range(2):
        slots.add(event(sequence))
    await asyncio.wait_for(slots.empty(), 5)
    await turn()
    assert free[-1] == 2
