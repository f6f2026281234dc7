"""What the outbox does with a bus that refuses, or says nothing: it never has two copies of a record under way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from choregos_ambassador import outbox
from choregos_ambassador.bus import Bus
from choregos_ambassador.delivery import Delivery, parse
from choregos_ambassador.outbox import Outbox
from choregos_ambassador.storing import BusFault, Record

FULL = 10077
"""JetStream's number for a stream that is full."""


def fault(err_code: int = 0) -> BusFault:
    made = BusFault("no answer" if not err_code else "full")
    made.err_code = err_code
    return made


@dataclass
class MoodyBus:
    """Ends each publish as it is told to, one after the other, and is well from then on; keeps the order of what is done."""

    moods: list[BusFault]
    done: list[tuple[str, list[str]]] = field(default_factory=list)
    there: set[str] = field(default_factory=set)
    looks: list[BusFault] = field(default_factory=list)

    async def publish_all(self, records: Sequence[Record], *, first_last: bool) -> None:
        self.done.append(("sent", [record.headers["Nats-Msg-Id"] for record in records]))
        if self.moods:
            raise self.moods.pop(0)

    async def look(self) -> set[str]:
        self.done.append(("looked", []))
        if self.looks:
            raise self.looks.pop(0)
        return self.there

    async def store(self, *ids: str) -> None:
        records = [Record("subject", {"Nats-Msg-Id": each}, b"") for each in ids]
        await Outbox(cast("Bus", self)).store(records, delivered(), self.look)


def delivered() -> Delivery:
    return parse(b"s", b"$JS.ACK.events.durable.1.1234.99.1767323045678000000.7", b"", b"")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PAUSE", 0.0)


async def test_what_was_refused_is_sent_again_as_it_is() -> None:
    bus = MoodyBus([fault(FULL), fault(FULL)])
    await bus.store("a", "b")
    assert bus.done == [("sent", ["a", "b"])] * 3


async def test_what_had_no_answer_is_looked_for_and_only_what_is_missing_is_sent_again() -> None:
    bus = MoodyBus([fault()], there={"a"})
    await bus.store("a", "b")
    assert bus.done == [("sent", ["a", "b"]), ("looked", []), ("sent", ["b"])]


async def test_what_had_no_answer_and_is_stored_is_not_sent_again() -> None:
    bus = MoodyBus([fault()], there={"a", "b"})
    await bus.store("a", "b")
    assert bus.done == [("sent", ["a", "b"]), ("looked", [])]


async def test_nothing_is_sent_again_before_a_look_has_its_answer() -> None:
    bus = MoodyBus([fault()], looks=[fault(), fault()])
    await bus.store("a")
    assert bus.done == [("sent", ["a"]), *3 * [("looked", [])], ("sent", ["a"])]


async def test_once_unknown_a_record_is_looked_for_even_after_a_refusal() -> None:
    """The refusal is of the second copy; the first may be under way still."""
    bus = MoodyBus([fault(), fault(FULL)])
    await bus.store("a")
    assert bus.done == [("sent", ["a"]), ("looked", []), ("sent", ["a"]), ("looked", []), ("sent", ["a"])]


async def test_no_records_ask_nothing_of_the_bus() -> None:
    bus = MoodyBus([fault()])
    await bus.store()
    assert bus.done == []
