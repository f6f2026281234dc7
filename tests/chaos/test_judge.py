"""The judge is judged: whatever is planted, it finds, and it finds nothing in a round that went well."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from chaos.choreography import ROLES, TIMEOUT
from chaos.evidence import Call, Evidence, calls
from chaos.judge import Finding, Wrong, judge
from chaos.ledger import Accepted, Begun, Died, Effect, Ended
from chaos.streams import Letter, Position, StoredEvent, Streams

GOOD, BROKE = "t-good", "t-broke"
"""Two transactions: an order that is closed, and one of a customer who is broke."""


@dataclass
class Round:
    """A round that went well, as lists: a test spoils it."""

    accepted: list[Accepted]
    events: list[StoredEvent]
    letters: list[Letter]
    calls: list[Call]
    effects: list[Effect]
    positions: list[Position]

    def findings(self) -> Sequence[Finding]:
        streams = Streams(tuple(self.events), tuple(self.letters), tuple(self.positions))
        return judge(Evidence(tuple(self.accepted), tuple(self.calls), tuple(self.effects), streams)).findings

    def event(self, event: str) -> StoredEvent:
        return next(each for each in self.events if each.id == event)

    def forget(self, event: str) -> None:
        """Leave an event out of the stream, with all that came of it."""
        self.events = [each for each in self.events if each.id != event]
        self.calls = [each for each in self.calls if each.event != event]
        self.effects = [each for each in self.effects if each.event != event]
        self.letters = [each for each in self.letters if each.event != event]

    def store(self, event: str, kind: str, cause: str, transaction: str, wall: float = 100.0) -> None:
        self.events.append(StoredEvent(len(self.events) + 1, event, kind, "/s", transaction, cause, wall))

    def call(self, event: str, reaction: str, *replies: str, status: int = 200, begun: float = 1.0) -> None:
        self.calls.append(Call(event, reaction, f"key-{event}", 1, begun, begun + 0.1, status, True, replies))
        if status < 300:
            self.effects.append(Effect(event, reaction, f"key-{event}"))


@pytest.fixture
def played() -> Round:
    positions = [Position(role.name, 2, 100, 100, 0) for role in ROLES]
    played = Round([Accepted("o1", GOOD, 1, 0.0), Accepted("o2", BROKE, 1, 0.0)], [], [], [], [], positions)
    for number, transaction in (("1", GOOD), ("2", BROKE)):
        played.store(f"o{number}", "OrderPlaced", "", transaction)
        played.call(f"o{number}", "stock/OrderPlaced", "StockReserved", "InvoiceDrawn")
        played.store(f"s{number}", "StockReserved", f"o{number}", transaction)
        played.store(f"i{number}", "InvoiceDrawn", f"o{number}", transaction)
        played.call(f"i{number}", "shop/InvoiceDrawn")
    played.call("s1", "payment/StockReserved", "PaymentTaken")
    played.store("p1", "PaymentTaken", "s1", GOOD)
    played.call("p1", "shop/PaymentTaken", "OrderClosed")
    played.store("c1", "OrderClosed", "p1", GOOD)
    played.call("s2", "payment/StockReserved", status=422)
    played.store("f2", "PaymentRefused", "s2", BROKE)
    played.letters.append(_letter(played.event("s2")))
    played.call("f2", "stock/PaymentRefused")
    return played


def _letter(event: StoredEvent, service: str = "payment", reason: str = "rejected") -> Letter:
    return Letter(event.sequence, event.id, service, event.type, reason, event.correlation, service == "payment", 100.0)


def test_a_round_that_went_well_has_no_findings(played: Round) -> None:
    assert not played.findings()


def _order_lost(played: Round) -> None:
    for event in ("o1", "s1", "i1", "p1", "c1"):
        played.forget(event)


def _never_called(played: Round) -> None:
    played.calls = [each for each in played.calls if each.event != "i1"]
    played.effects = [each for each in played.effects if each.event != "i1"]


def _refused_and_acknowledged(played: Round) -> None:
    played.calls = [replace(each, status=500) if each.event == "i1" else each for each in played.calls]


def _answered_with_garbage_and_acknowledged(played: Round) -> None:
    played.calls = [replace(each, good=False) if each.event == "i1" else each for each in played.calls]


def _reply_not_stored(played: Round) -> None:
    played.forget("i1")


def _last_reply_not_stored(played: Round) -> None:
    played.forget("c1")


def _letter_lost(played: Round) -> None:
    played.letters.clear()


def _failure_event_lost(played: Round) -> None:
    played.forget("f2")


def _effect_lost(played: Round) -> None:
    played.effects = [each for each in played.effects if each.event != "p1"]


def _past_the_floor(played: Round) -> None:
    _never_called(played)
    of = played.positions
    played.positions = [
        replace(each, floor=50, pending=1) if each.reaction == "shop/InvoiceDrawn" else each for each in of
    ]


def _pending(played: Round, reaction: str, number: int) -> None:
    played.positions = [
        replace(each, floor=0, pending=number) if each.reaction == reaction else each for each in played.positions
    ]


@pytest.mark.parametrize(
    ("plant", "event"),
    [
        (_order_lost, "o1"),
        (_never_called, "i1"),
        (_refused_and_acknowledged, "i1"),
        (_answered_with_garbage_and_acknowledged, "i1"),
        (_reply_not_stored, "o1"),
        (_last_reply_not_stored, "p1"),
        (_letter_lost, "s2"),
        (_failure_event_lost, "s2"),
        (_effect_lost, "p1"),
        (_past_the_floor, "i1"),
    ],
)
def test_a_loss_is_found(played: Round, plant: Callable[[Round], None], event: str) -> None:
    plant(played)
    assert {(each.wrong, each.event) for each in played.findings()} == {(Wrong.LOST, event)}


def _same_reply_twice(played: Round) -> None:
    played.store("i1", "InvoiceDrawn", "o1", GOOD)


def _same_reply_twice_beyond_the_window(played: Round) -> None:
    played.store("i1", "InvoiceDrawn", "o1", GOOD, wall=100_000.0)


def _reply_under_another_id(played: Round) -> None:
    played.store("i9", "InvoiceDrawn", "o1", GOOD)
    played.call("i9", "shop/InvoiceDrawn")


def _letter_twice(played: Round) -> None:
    played.letters.append(played.letters[0])


def _letter_and_reply(played: Round) -> None:
    played.letters.append(_letter(played.event("o1"), "stock", "exhausted"))


def _two_outcomes(played: Round) -> None:
    played.store("c9", "OrderClosed", "p9", GOOD)


def _completed_and_failed(played: Round) -> None:
    """The failure event came first, then the service took the event after all."""
    played.store("p2", "PaymentTaken", "s2", BROKE)
    played.call("s2", "payment/StockReserved", "PaymentTaken", begun=2.0)
    played.call("p2", "shop/PaymentTaken", "OrderClosed", begun=3.0)
    played.store("c2", "OrderClosed", "p2", BROKE)


def _effect_twice(played: Round) -> None:
    played.effects.append(Effect("p1", "shop/PaymentTaken", "another key"))


def _two_calls_at_once(played: Round) -> None:
    played.call("s1", "payment/StockReserved", "PaymentTaken", begun=1.05)
    played.effects.pop()


def _two_calls_while_one_hangs(played: Round) -> None:
    played.calls.append(Call("s1", "payment/StockReserved", "key-s1", 1, begun=0.5))


@pytest.mark.parametrize(
    ("plant", "event"),
    [
        (_same_reply_twice, "i1"),
        (_same_reply_twice_beyond_the_window, "i1"),
        (_reply_under_another_id, "o1"),
        (_letter_twice, "s2"),
        (_letter_and_reply, "o1"),
        (_two_outcomes, "o1"),
        (_completed_and_failed, "s2"),
        (_effect_twice, "p1"),
        (_two_calls_at_once, "s1"),
        (_two_calls_while_one_hangs, "s1"),
    ],
)
def test_a_double_is_found(played: Round, plant: Callable[[Round], None], event: str) -> None:
    plant(played)
    found = played.findings()
    assert {each.wrong for each in found} == {Wrong.DOUBLED}
    assert event in {each.event for each in found}


def _in_hand_for_ever(played: Round) -> None:
    played.forget("c1")
    played.calls = [each for each in played.calls if each.event != "p1"]
    played.effects = [each for each in played.effects if each.event != "p1"]
    sequence = played.event("p1").sequence
    of = played.positions
    played.positions = [
        replace(each, floor=sequence - 1, pending=1) if each.reaction == "shop/PaymentTaken" else each for each in of
    ]


def test_a_stuck_event_is_found(played: Round) -> None:
    _in_hand_for_ever(played)
    assert {(each.wrong, each.event) for each in played.findings()} == {(Wrong.STUCK, "p1")}


def test_what_is_stuck_is_counted_once_whatever_else_is_wrong(played: Round) -> None:
    played.store("c9", "OrderClosed", "p9", GOOD)
    played.store("o3", "OrderPlaced", "", "t-3")
    _pending(played, "stock/OrderPlaced", 1)
    assert [each.event for each in played.findings() if each.wrong is Wrong.STUCK] == ["o3"]


def test_a_loss_is_found_while_another_event_is_in_hand(played: Round) -> None:
    """The floor of the durable is below both: only the number of what is to come tells that one of them is past."""
    _last_reply_not_stored(played)
    played.store("p3", "PaymentTaken", "s3", "t-3")
    _pending(played, "shop/PaymentTaken", 1)
    assert {(each.wrong, each.event) for each in played.findings()} == {(Wrong.LOST, "p1"), (Wrong.STUCK, "p3")}


def test_what_may_be_in_hand_still_is_not_lost(played: Round) -> None:
    """The service answered, and its ambassador has yet to store the reply."""
    _last_reply_not_stored(played)
    _pending(played, "shop/PaymentTaken", 1)
    assert {each.wrong for each in played.findings()} == {Wrong.STUCK}


def test_a_transaction_without_an_outcome_is_stuck_once(played: Round) -> None:
    """Every hop ended well, as far as the ledgers know, and yet nothing came of it."""
    played.forget("p1")
    played.forget("c1")
    played.calls = [replace(each, replies=()) if each.event == "s1" else each for each in played.calls]
    assert [(each.wrong, each.transaction) for each in played.findings()] == [(Wrong.STUCK, GOOD)]


def test_a_transaction_that_ends_in_a_dead_letter_is_settled(played: Round) -> None:
    played.forget("c1")
    played.letters.append(_letter(played.event("p1"), "shop", "exhausted"))
    assert not played.findings()


def test_an_event_that_was_done_twice_with_the_same_replies_is_no_double(played: Round) -> None:
    played.call("o1", "stock/OrderPlaced", "StockReserved", "InvoiceDrawn", begun=40.0)
    played.effects.pop()  # the service knew the key
    assert not played.findings()


def test_a_call_ends_with_its_answer_its_process_or_its_time() -> None:
    begun = [Begun(name, f"process-{name}", "e", "r", "k", 1, 10.0) for name in ("answered", "killed", "hanging")]
    answered, killed, hanging = calls(
        [*begun, Ended("answered", 11.0, 204), Died("process-killed", 12.5), Died("process-killed", 12.0)]
    )
    assert (answered.ended, answered.completed) == (11.0, True)
    assert (killed.ended, killed.completed) == (12.0, False)
    assert (hanging.ended, hanging.completed) == (None, False)


@pytest.mark.parametrize(("later", "findings"), [(TIMEOUT - 1, 1), (TIMEOUT, 0)])
def test_a_call_that_hangs_is_over_when_its_time_is(played: Round, later: float, findings: int) -> None:
    (call,) = [each for each in played.calls if each.event == "s1"]
    played.calls.append(replace(call, begun=call.begun - later, ended=None, status=0))
    assert len(played.findings()) == findings
