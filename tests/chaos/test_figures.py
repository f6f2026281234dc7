"""The figures of a round mean what they say."""

from chaos import figures
from chaos.choreography import ROLES
from chaos.ledger import Struck
from chaos.streams import Position, StoredEvent, Streams


def event(number: int, kind: str, transaction: str, wall: float) -> StoredEvent:
    return StoredEvent(number, f"e{number}", kind, "/s", transaction, "", wall)


STORED = (
    event(1, "OrderPlaced", "a", 10.0),
    event(2, "OrderClosed", "a", 11.0),
    event(3, "OrderPlaced", "b", 12.0),
    event(4, "OrderPlaced", "c", 16.0),
    event(5, "PaymentRefused", "c", 21.5),
    event(6, "OrderClosed", "b", 50.0),
)


def recovered(*ends: float) -> figures.Recovery:
    return figures.recoveries([Struck("kill", "shop-1", 0.0, end) for end in ends], STORED)["kill"]


def test_recovery_is_the_time_until_the_last_transaction_under_way_has_its_outcome() -> None:
    assert recovered(10.5) == figures.Recovery(1, 0.5, 0.5)
    assert recovered(20.0) == figures.Recovery(1, 30.0, 30.0)


def test_recovery_is_nothing_where_nothing_was_under_way() -> None:
    assert recovered(11.5) == recovered(60.0) == figures.Recovery(1, 0.0, 0.0)


def test_recovery_is_told_by_median_and_worst() -> None:
    assert recovered(20.0, 49.0, 60.0) == figures.Recovery(3, 1.0, 30.0)


def test_a_fault_that_missed_has_no_recovery() -> None:
    assert figures.recoveries([Struck("kill", "shop-1", 0.0, 20.0, missed="not reached")], STORED) == {}


def test_redeliveries_are_the_deliveries_beyond_the_first_of_each_event() -> None:
    idle = tuple(Position(role.name, 0, 0, 0, 0) for role in ROLES if role.name != "stock/OrderPlaced")
    placed = Position("stock/OrderPlaced", deliveries=7, delivered=3, floor=3, pending=0)
    assert figures.redelivered(Streams(STORED, (), (placed, *idle))) == 5
