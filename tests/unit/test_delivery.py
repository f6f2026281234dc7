"""A delivery as JetStream tells of it, in the reply subject (ADR-15) of either version, and the lease on it."""

import time

import pytest

from choregos_ambassador.delivery import ACK_WAIT, Delivery, parse

SUBJECT = "choregos.shipping.default.ev.OrderPlaced.3.17"
STREAM = "choregos_shipping_default_events"
TOLD = f"{STREAM}.choregos_package_OrderPlaced.4.1234.99.1767323045000000001.7"

BLOCK = b"NATS/1.0\r\nce-id: 1\r\n\r\n"


def delivered() -> Delivery:
    return parse(SUBJECT.encode(), f"$JS.ACK.{TOLD}".encode(), b"", b"")


@pytest.mark.parametrize(
    "reply",
    [
        f"$JS.ACK.{TOLD}",
        f"$JS.ACK._.ACCHASH.{TOLD}",
        f"$JS.ACK.hub.ACCHASH.{TOLD}.r4nd0m",
        f"$JS.ACK.hub.ACCHASH.{TOLD}.r4nd0m.and.more",
    ],
    ids=["9 tokens", "11 tokens", "12 tokens", "more than 12 tokens"],
)
def test_every_version_of_the_reply_subject_tells_the_same(reply: str) -> None:
    delivery = parse(SUBJECT.encode(), reply.encode(), BLOCK, b"{}")
    assert (delivery.stream, delivery.number, delivery.sequence) == (STREAM, 4, 1234)
    assert delivery.stored == 1767323045000000001, "nanoseconds, to the last digit"
    assert (delivery.subject, delivery.ack_subject) == (SUBJECT, reply.encode())
    assert (delivery.headers, delivery.data) == ({"ce-id": "1"}, b"{}")


def test_a_message_without_headers_has_none() -> None:
    assert delivered().headers == {}


def test_two_deliveries_of_one_event_are_two() -> None:
    """They are held side by side for a moment, when an event comes back before its lease is let go."""
    first, second = (delivered() for _ in range(2))
    assert len({first, second}) == 2


def test_a_lease_is_lost_when_nothing_was_heard_for_as_long_as_jetstream_waits() -> None:
    delivery = delivered()
    assert not delivery.lost
    delivery.renewed = time.monotonic() - ACK_WAIT + 5
    assert not delivery.lost
    delivery.renewed = time.monotonic() - ACK_WAIT - 0.001
    assert delivery.lost
    delivery.renewed = time.monotonic()
    assert not delivery.lost
