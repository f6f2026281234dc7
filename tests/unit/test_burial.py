"""The end of an event whose dead letter the bus cannot hold: it stays with its reaction, and is acknowledged by nobody."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from choregos_ambassador import nats_headers
from choregos_ambassador.burial import Burial
from choregos_ambassador.dead_letter import Reason
from choregos_ambassador.delivery import Delivery, parse
from choregos_ambassador.equipment import Equipment
from choregos_ambassador.outbox import Look
from choregos_ambassador.report import End
from choregos_ambassador.storing import BusFault, Record, TooLarge
from support.roles import role

HEADERS = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "DeliveryRequested"}


@dataclass
class TightBus:
    """A bus, its outbox and its leases, that takes records up to a size; keeps what it was given."""

    limit: int
    tried: list[Record] = field(default_factory=list)
    acknowledged: list[Delivery] = field(default_factory=list)

    async def created(self, delivery: Delivery) -> str:
        return "2026-01-01T00:00:00Z"

    async def store(self, records: Sequence[Record], delivery: Delivery, stored: Look) -> None:
        self.tried += records
        for record in records:
            if record.size > self.limit:
                raise TooLarge(record.size, self.limit)

    def acknowledge(self, delivery: Delivery) -> None:
        self.acknowledged.append(delivery)

    @property
    def burial(self) -> Burial:
        return Burial(cast("Equipment", SimpleNamespace(history=self, outbox=self, leases=self)))


def delivered(**more: str) -> Delivery:
    subject = "choregos.shipping.default.ev.DeliveryRequested.3.17"
    return parse(
        subject.encode(),
        b"$JS.ACK.events.durable.1.1234.99.1767323045678000000.7",
        nats_headers.write({**HEADERS, **more}),
        b"x" * 5000,
    )


async def test_a_letter_that_does_not_fit_even_truncated_is_a_bus_fault_and_nothing_is_acknowledged() -> None:
    bus = TightBus(limit=100)
    with pytest.raises(BusFault, match=r"not even a truncated dead letter fits: \d+ bytes with its headers; .* 100"):
        await bus.burial.bury_unread(delivered(), "no CloudEvent", role())
    assert [each.headers.get("Choregos-Truncated") for each in bus.tried] == [None, "headers", "true"]
    assert bus.tried[-1].payload == b""
    assert bus.acknowledged == []


@pytest.mark.parametrize(
    ("limit", "stored"), [(10_000, None), (6_600, "headers"), (1_000, "true")], ids=["whole", "headers", "neither"]
)
async def test_what_fits_of_a_letter_is_stored_and_then_the_event_is_acknowledged(
    limit: int, stored: str | None
) -> None:
    bus, delivery = TightBus(limit), delivered(**{"x-user": "u" * 2000})
    ending = await bus.burial.bury_unread(delivery, "no CloudEvent", role())
    assert (ending.end, ending.reason) == (End.DEAD_LETTER, Reason.NOT_AN_EVENT)
    assert bus.tried[-1].headers.get("Choregos-Truncated") == stored
    assert bus.acknowledged == [delivery]
