"""What the stream holds of a hop is found as by a walk at the leader, message by message, and at a fraction of its cost."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from choregos_ambassador import message_get, slice_get, slices
from choregos_ambassador.bus import Bus
from choregos_ambassador.credentials import Credentials
from choregos_ambassador.delivery import Delivery
from choregos_ambassador.message_get import Message
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.slices import Place, Slices
from choregos_ambassador.stream_creation import Creation, Creations
from choregos_contract.ids import derive
from support.bus import TestBus, connected, wired
from support.nats import NatsServer
from support.scene import SERVICE, scene, worker
from support.service import always

IDS = [derive("reply", str(number)) for number in range(12)]
TRANSACTIONS = ["t1", "t2"]
read_many = slice_get.read


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


class CountingBus(Bus):
    """Counts what it asks."""

    def __init__(self) -> None:
        super().__init__(Metrics(), Credentials(None))
        self.asked: list[str] = []

    async def request(self, subject: str, payload: bytes = b"") -> bytes:
        self.asked.append(subject)
        return await super().request(subject, payload)


@dataclass
class Past:
    """A bus that begins empty, what was stored on it, and one who looks."""

    bus: TestBus
    own: CountingBus
    slices: Slices
    stored: list[int] = field(default_factory=list)

    @property
    def stream(self) -> str:
        return self.bus.names.event_stream

    async def store(self, transaction: str, event_type: str = "Done", event_id: str = "x", **headers: str) -> int:
        subject = self.bus.names.event_subject(event_type, transaction)
        self.stored.append(await self.bus.publish_raw(subject, b"{}", {"ce-id": event_id, **headers}))
        return self.stored[-1]

    async def place(self, transaction: str, event_type: str | None = None) -> Place:
        created = (await self.bus.api(f"STREAM.INFO.{self.stream}"))["created"]
        return (self.stream, created, self.bus.names.transaction_filter(transaction, event_type))

    async def remake(self) -> None:
        config = (await self.bus.api(f"STREAM.INFO.{self.stream}"))["config"]
        await self.bus.api(f"STREAM.DELETE.{self.stream}")
        await self.bus.api(f"STREAM.CREATE.{self.stream}", config)


@asynccontextmanager
async def past(server: NatsServer) -> AsyncIterator[Past]:
    async with connected(server.url) as connection:
        bus = await wired(connection, worker())
        await bus.api(f"STREAM.PURGE.{bus.names.event_stream}")
        own = CountingBus()
        await own.connect([server.url], "test")
        try:
            yield Past(bus, own, Slices(own))
        finally:
            await own.close()


async def walk(bus: Bus, place: Place, after: int, ids: list[str]) -> dict[str, Message]:
    """What is to be found, and how it was found once."""
    found: dict[str, Message] = {}
    while len(found) < len(ids):
        message = await message_get.next_one(bus, place[0], place[2], after + 1)
        if message is None:
            break
        if (event_id := message.header("ce-id") or "") in ids:
            found.setdefault(event_id, message)
        after = message.seq
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_whatever_was_stored_and_removed_it_finds_what_a_walk_finds(
    seed: int, server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far a replica lags behind that is asked in between, and whatever was looked for before."""
    monkeypatch.setattr(slice_get, "BATCH", 4)
    monkeypatch.setattr(slices, "STEPS", 2)
    monkeypatch.setattr(slices, "MOST", 40)
    asyncio.run(play(Random(seed), server, monkeypatch))


async def play(chance: Random, server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with past(server) as shop:
        for _ in range(150):
            transaction, event_type = chance.choice(TRANSACTIONS), chance.choice(["Done", "Placed"])
            match chance.choices(("store", "look", "remove", "purge", "remake"), (60, 40, 5, 1, 1))[0]:
                case "store":
                    await shop.store(transaction, event_type, chance.choice([*IDS, "foreign"]))
                case "remove" if shop.stored:
                    await shop.bus.api(f"STREAM.MSG.DELETE.{shop.stream}", {"seq": chance.choice(shop.stored)})
                case "purge":
                    subjects = shop.bus.names.transaction_filter(transaction, event_type)
                    await shop.bus.api(f"STREAM.PURGE.{shop.stream}", {"filter": subjects})
                case "remake":
                    await shop.remake()
                    shop.stored.clear()
                case "look" if shop.stored:
                    monkeypatch.setattr(slice_get, "read", lagging(chance.randrange(5)))
                    place = await shop.place(transaction, chance.choice([None, None, event_type]))
                    after, ids = chance.choice(shop.stored), chance.sample(IDS, chance.randint(1, 3))
                    found = await shop.slices.find(place, after, ids)
                    assert found == await walk(shop.own, place, after, ids)


def lagging(told: int) -> Any:
    """A replica that has no more than so many of what is asked for."""

    async def read(*question: Any) -> list[slice_get.Told] | None:
        answer = await read_many(*question)
        return None if answer is None else answer[:told]

    return read


async def test_a_slice_is_read_once_however_many_events_ask(server: NatsServer) -> None:
    async with past(server) as shop:
        for number in range(3000):
            await shop.bus.connection.publish(
                shop.bus.names.event_subject("Done", "t1"), b"{}", headers={"ce-id": derive("reply", str(number))}
            )
        await shop.store("t1", "Placed", "an event")
        place = await shop.place("t1")
        first = shop.stored[0] - 3000
        last = derive("reply", "2999")
        assert not await shop.slices.find(place, first - 1, [derive("reply", "none")])
        assert len(shop.own.asked) <= 15
        shop.own.asked.clear()
        for number in range(100):
            assert not await shop.slices.find(place, first + number, [derive("reply", f"none {number}")])
        assert len(shop.own.asked) == 100, "each look asks the leader for news, and that is all"
        shop.own.asked.clear()
        found = await shop.slices.find(place, first + 7, [last, derive("reply", "3")])
        assert {each: message.seq for each, message in found.items()} == {last: first + 2999}
        reply = await shop.store("t1", "Done", derive("reply", "3"))
        found = await shop.slices.find(place, first + 7, [derive("reply", "3")])
        assert {each.seq for each in found.values()} == {reply}, "it was stored after the last look"


async def test_looks_at_the_same_time_share_one_reading(server: NatsServer) -> None:
    async with past(server) as shop:
        for number in range(200):
            await shop.store("t1", "Done", derive("reply", str(number)))
        place = await shop.place("t1")
        nobody = [[derive("reply", f"none {number}")] for number in range(16)]
        found = await asyncio.gather(*(shop.slices.find(place, shop.stored[0], each) for each in nobody))
        assert not any(found)
        assert len(shop.own.asked) <= slices.STEPS + 2 + 16


@pytest.mark.parametrize("trouble", ["an older server", "no direct get", "no answer"])
async def test_where_no_replica_tells_the_leader_is_asked_for_every_message(
    trouble: str, server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, asked = slice_get.read, []

    async def counted(*question: Any) -> list[slice_get.Told] | None:
        asked.append(await read(*question))
        return asked[-1]

    monkeypatch.setattr(slice_get, "read", counted)
    async with past(server) as shop:
        config = (await shop.bus.api(f"STREAM.INFO.{shop.stream}"))["config"]
        if trouble == "no direct get":
            await shop.bus.api(f"STREAM.UPDATE.{shop.stream}", config | {"allow_direct": False})
        elif trouble == "an older server":
            monkeypatch.setattr(slice_get, "SINCE", (99, 0))
        else:
            monkeypatch.setattr(slice_get, "WITHIN", 0.1)
            monkeypatch.setattr(slice_get._Answer, "take", lambda *_: None)
        for number in range(10):
            await shop.store("t1", "Done", derive("reply", str(number)))
            await shop.store("t2", "Done", "foreign")
        found = await shop.slices.find(await shop.place("t1"), 0, [derive("reply", "9"), derive("reply", "none")])
        assert [each.seq for each in found.values()] == shop.stored[-2:-1]
        assert len(shop.own.asked) == 12
        assert not await shop.slices.find(await shop.place("t2"), 0, [derive("reply", "none")])
        assert asked == [None], "it is not asked again for a while"
        await shop.bus.api(f"STREAM.UPDATE.{shop.stream}", config)


async def test_headers_of_a_producer_steer_no_reading(server: NatsServer) -> None:
    async with past(server) as shop:
        hostile = {"Nats-Sequence": "9999", "Nats-Stream": "", "Nats-Last-Sequence": "1", "Status": "204"}
        for number in range(10):
            await shop.store("t1", "Done", derive("reply", str(number)), **hostile)
        told = await slice_get.read(shop.own, shop.stream, (await shop.place("t1"))[2], shop.stored[2])
        assert told == [(shop.stored[number], derive("reply", str(number))) for number in range(2, 10)]


@pytest.mark.parametrize("at_once", [True, False], ids=["read at once", "read one by one"])
async def test_a_header_that_stands_there_twice_is_read_the_same_way_by_all(
    at_once: bool, server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what one has read would never be found by another."""
    monkeypatch.setattr(slices, "STEPS", 1 if at_once else 99)
    async with past(server) as shop:
        subject = shop.bus.names.event_subject("Done", "t1").encode()
        begin = await shop.store("t1")
        for block in (
            f"ce-id: {IDS[0]}\r\nce-id: {IDS[1]}\r\n",
            f" ce-id: {IDS[2]}\r\n",
            f"CE-ID: {IDS[3]}\r\n",
            f"x: ce-id: {IDS[5]}\r\nce-id:{IDS[4]} \r\n",
        ):
            shop.own.client.send(subject, b"{}", headers=f"NATS/1.0\r\n{block}\r\n".encode())
        await shop.own.stream_info(shop.stream)
        place = await shop.place("t1")
        found = await shop.slices.find(place, begin - 1, IDS[:6])
        assert found == await walk(shop.own, place, begin - 1, IDS[:6])
        assert sorted(found) == sorted([IDS[0], IDS[4]])


async def test_an_answer_with_a_gap_is_read_up_to_the_gap(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that cannot keep up loses messages; what is behind the gap would hide what is in it."""
    async with past(server) as shop:
        for number in range(5):
            await shop.store("t1", "Done", derive("reply", str(number)))
        take, taken = slice_get._Answer.take, []

        def lossy(answer: Any, *message: bytes) -> None:
            taken.append(message)
            if len(taken) != 3:
                take(answer, *message)

        monkeypatch.setattr(slice_get._Answer, "take", lossy)
        told = await slice_get.read(shop.own, shop.stream, (await shop.place("t1"))[2], 1)
        assert told
        assert [sequence for sequence, _ in told] == shop.stored[:2]


def delivered(stream: str, sequence: int, stored_at: float) -> Delivery:
    return Delivery("s", {}, b"", b"", 1, sequence, int(stored_at * 1e9), stream)


async def test_a_stream_that_was_made_anew_is_noticed_by_the_next_event_of_it(server: NatsServer) -> None:
    """Nobody is told of it: the sequences begin again, and with them another history."""
    async with past(server) as shop:
        creations = Creations(shop.own)

        async def newest() -> Delivery:
            sequence = await shop.store("t1")
            message = await message_get.next_one(shop.own, shop.stream, ">", sequence)
            assert message
            assert message.time
            return delivered(shop.stream, sequence, message.time.timestamp())

        first = await newest()
        before = await creations.of(first)
        for _ in range(3):
            await shop.remake()
            again = await newest()
            assert again.sequence <= first.sequence
            now = await creations.of(again)
            assert now != before
            assert now == (await shop.place("t1"))[1]
            before, first = now, again


@pytest.mark.parametrize(
    ("sequence", "stored", "now", "holds"),
    [
        (10, 99.0, 5.0, True),
        (3, 100.0, 9e9, True),
        (11, 100.1, 6.0, True),
        (11, 100.1, 6.1, False),
        (10, 100.1, 5.0, False),
    ],
    ids=["was there", "was there long ago", "follows", "follows too late to tell", "stands in the place of another"],
)
def test_an_answer_about_a_stream_is_good_for_what_must_lie_in_it(
    sequence: int, stored: float, now: float, holds: bool
) -> None:
    known = Creation("2026-01-02T03:04:05Z", last=10, told=100.0, asked=5.0)
    assert known.holds(sequence, stored, now) is holds


async def test_an_event_at_the_same_sequence_of_a_stream_that_was_made_anew_has_a_dead_letter_of_its_own() -> None:
    """The letters' stream remembers the ids of the letters before for ten minutes."""
    async with scene({"event": "Placed"}) as shop, shop.ambassador():
        shop.service.handler = always(422)
        for letters in (1, 2):
            await shop.publish(1)
            await shop.settled()
            assert len(await shop.bus.dead_letters(of=1)) == letters
            await shop.bus.remake(SERVICE, "Placed")
