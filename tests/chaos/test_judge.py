"""The judge is judged: whatever is planted, it finds, and it finds nothing in a round that went well."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from chaos.choreography import ROLES, TIMEOUT
from chaos.evidence import Call, Evidence, calls
from chaos.judge import judge
from chaos.judgement import Finding, Wrong
from chaos.ledger import Accepted, Begun, Died, Effect, Ended
from chaos.overlaps import late
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
        self.events.append(StoredEvent(len(self.events) + 1, event, kind, "/s", transaction, cause, wall, transaction))

    def change(self, event: str, **values: Any) -> None:
        """Have something else stand in the stream."""
        self.events = [replace(each, **values) if each.id == event else each for each in self.events]

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
    emitted = service == "payment"
    return Letter(
        event.sequence, event.id, service, event.type, reason, event.correlation, emitted, 100.0, event.correlation
    )


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


def _two_customers_promised_the_same(played: Round) -> None:
    played.accepted.append(Accepted("o1", GOOD, 1, 0.0))


def _answer_of_another(played: Round) -> None:
    """A connection that is used again brings the answer of the request before."""
    played.change("c1", data=BROKE)


def _cause_removed(played: Round) -> None:
    """The stream removed what was processed: nothing of it can be proved."""
    played.events = [each for each in played.events if each.id != "p1"]


def _letter_of_something_else(played: Round) -> None:
    played.letters[0] = replace(played.letters[0], data="cut off")


def _letter_that_denies_its_failure_event(played: Round) -> None:
    played.letters[0] = replace(played.letters[0], failure_emitted=False)


def _given_up_unasked(played: Round) -> None:
    """An outage took it for poison."""
    played.letters[0] = replace(played.letters[0], reason="crash-loop")


def _given_up_without_a_refusal(played: Round) -> None:
    played.calls = [replace(each, status=503) if each.event == "s2" else each for each in played.calls]


def _reply_of_an_older_attempt(played: Round) -> None:
    """What is stored is no answer that was ever given."""
    played.calls = [replace(each, replies=("PaymentRefused",)) if each.event == "s1" else each for each in played.calls]


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
        (_two_customers_promised_the_same, "o1"),
        (_answer_of_another, "c1"),
        (_given_up_unasked, "s2"),
        (_given_up_without_a_refusal, "s2"),
        (_letter_of_something_else, "s2"),
        (_letter_that_denies_its_failure_event, "s2"),
    ],
)
def test_a_loss_is_found(played: Round, plant: Callable[[Round], None], event: str) -> None:
    plant(played)
    assert {(each.wrong, each.event) for each in played.findings()} == {(Wrong.LOST, event)}


def test_a_purge_is_found(played: Round) -> None:
    """The stream is emptied: what customers were promised is gone, whatever the ledgers say of calls."""
    played.events = []
    assert {(each.wrong, each.event) for each in played.findings()} == {(Wrong.LOST, "o1"), (Wrong.LOST, "o2")}


def test_an_event_that_follows_from_nothing_is_found(played: Round) -> None:
    _cause_removed(played)
    assert {(each.wrong, each.event) for each in played.findings()} == {(Wrong.LOST, "s1"), (Wrong.LOST, "c1")}


def test_a_durable_that_was_made_anew_behind_an_event_has_lost_it(played: Round) -> None:
    """It begins after an event that nobody processed, and has one in hand that somebody did."""
    _never_called(played)
    later, reaction = played.event("i2").sequence, "shop/InvoiceDrawn"
    of = played.positions
    played.positions = [replace(each, floor=later - 1, pending=1) if each.reaction == reaction else each for each in of]
    found = {(each.wrong, each.event) for each in played.findings()}
    assert found == {(Wrong.LOST, "i1"), (Wrong.STUCK, "i2")}


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
    played.call("o1", "stock/OrderPlaced", status=503, begun=0.0)
    played.letters.append(_letter(played.event("o1"), "stock", "exhausted"))


def _order_under_another_id(played: Round) -> None:
    """A customer asked again, and his key was not honoured: a second transaction that ends as well as the first."""
    played.store("o9", "OrderPlaced", "", "t-9")
    played.change("o9", data=BROKE)
    played.call("o9", "stock/OrderPlaced", "StockReserved", "InvoiceDrawn")
    played.store("s9", "StockReserved", "o9", "t-9")
    played.store("i9", "InvoiceDrawn", "o9", "t-9")
    played.change("s9", data=BROKE)
    played.change("i9", data=BROKE)
    played.call("i9", "shop/InvoiceDrawn")
    played.call("s9", "payment/StockReserved", status=422)
    played.store("f9", "PaymentRefused", "s9", "t-9")
    played.change("f9", data=BROKE)
    played.letters.append(replace(_letter(played.event("s9")), data=BROKE))
    played.call("f9", "stock/PaymentRefused")


def _another_key(played: Round) -> None:
    """What such a call does is another effect, sooner or later."""
    (call,) = [each for each in played.calls if each.event == "p1"]
    played.calls.append(replace(call, key="another", begun=50.0, ended=50.1, status=503))


def _never_emitted(played: Round) -> None:
    played.store("x1", "PaymentTaken", "o1", GOOD)
    played.call("x1", "shop/PaymentTaken")


def _reply_beside_the_answer(played: Round) -> None:
    """One event was answered, and two are stored: from two attempts that were answered differently."""
    played.calls = [replace(each, replies=("StockReserved",)) if each.event == "o1" else each for each in played.calls]


def _two_outcomes(played: Round) -> None:
    played.store("c9", "OrderClosed", "p1", GOOD)


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
        (_order_under_another_id, "o9"),
        (_another_key, "p1"),
        (_reply_beside_the_answer, "o1"),
        (_reply_of_an_older_attempt, "s1"),
        (_never_emitted, "x1"),
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


@pytest.mark.parametrize(("reaction", "event"), [("shop/InvoiceDrawn", "i1"), ("payment/StockReserved", "s1")])
def test_an_event_that_is_never_acknowledged_is_stuck_though_all_that_follows_is_there(
    played: Round, reaction: str, event: str
) -> None:
    _pending(played, reaction, 1)
    assert [(each.wrong, each.event) for each in played.findings()] == [(Wrong.STUCK, event)]


def test_a_durable_that_counts_what_is_not_in_the_stream_is_stuck(played: Round) -> None:
    _pending(played, "shop/InvoiceDrawn", 5)
    found = played.findings()
    assert len(found) == 5
    assert {each.wrong for each in found} == {Wrong.STUCK}


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
    orphan = (Wrong.LOST, "p3")  # its cause is not there, either
    found = {(each.wrong, each.event) for each in played.findings()}
    assert found == {(Wrong.LOST, "p1"), (Wrong.STUCK, "p3"), orphan}


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


def test_a_dead_letter_beside_the_way_to_an_outcome_does_not_stand_for_it(played: Round) -> None:
    played.forget("p1")
    played.forget("c1")
    played.calls = [replace(each, replies=()) if each.event == "s1" else each for each in played.calls]
    played.call("i1", "shop/InvoiceDrawn", status=503, begun=0.0)
    played.letters.append(_letter(played.event("i1"), "shop", "exhausted"))
    assert [(each.wrong, each.transaction) for each in played.findings()] == [(Wrong.STUCK, GOOD)]


def test_a_transaction_that_ends_in_a_dead_letter_is_settled(played: Round) -> None:
    played.forget("c1")
    played.calls = [replace(each, status=503) if each.event == "p1" else each for each in played.calls]
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


@pytest.mark.parametrize(
    ("since", "excused"), [(TIMEOUT - 1, 0), (TIMEOUT - 0.25, 1), (TIMEOUT + 2, 1), (TIMEOUT + 4, 0)]
)
def test_what_the_service_sees_and_no_ambassador_is_counted(since: float, excused: int) -> None:
    """The earlier call was answered three seconds after its time-out, which its caller did not wait for."""
    earlier = Call("e", "payment/StockReserved", "k", 1, 10.0, 10.0 + TIMEOUT + 3, 200, True)
    later = replace(earlier, begun=10.0 + since, ended=None)
    assert len(list(late([later, earlier]))) == excused
    unguarded = [replace(each, reaction="shop/PaymentTaken") for each in (earlier, later)]
    assert not list(late(unguarded))
