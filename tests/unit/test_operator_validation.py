"""What may be stored: the linter's errors refuse, what is not new refuses nothing, and an edit says what it does."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_contract.findings import CATALOGUE, Severity, finding
from choregos_operator.store import Store
from choregos_operator.webhook import ratchet
from choregos_operator.webhook.validation import Review, answer, validate
from support.admission_reviews import NAMESPACE, choreography, event_bus, orders, request

WEEK = 7 * 86400.0
Body = dict[str, Any]
Edit = Callable[[Body], object]


def reviewed(new: Body, old: Body | None = None, *stored: Body, **fields: Any) -> Review:
    store = Store()
    for body in stored:
        store.put(body)
    return validate(request(new, old, **fields), store, orphan_ttl=WEEK)


def edited(body: Body, edit: Edit) -> Body:
    new = copy.deepcopy(body)
    edit(new)
    return new


def reaction(body: Body, service: str = "payment") -> Body:
    found: Body = body["spec"]["services"][service]["reactions"][0]
    return found


def codes(review: Review) -> list[str]:
    return [error.code for error in review.errors]


def told(review: Review, *words: str) -> bool:
    return any(all(word in warning for word in words) for warning in review.warnings)


def misspell(body: Body) -> None:
    reaction(body)["event"] = "OrderPlcaed"


def test_a_sound_choreography_is_stored_without_a_word() -> None:
    assert reviewed(orders()) == Review()


def test_an_error_refuses_and_names_the_place_the_event_and_the_mend() -> None:
    body = edited(orders(), misspell)
    refusal = answer(request(body), reviewed(body)).refusal
    assert refusal is not None
    assert (refusal.code, refusal.reason) == (422, "Invalid")
    for part in ("spec.services.payment.reactions[0].event", '"OrderPlcaed"', 'did you mean "OrderPlaced"?'):
        assert part in refusal.message
    assert refusal.causes[0].field == "spec.services.payment.reactions[0].event"
    assert refusal.causes[0].message.endswith("[unknown-event]")


def test_every_error_is_told_up_to_a_bound() -> None:
    events: Body = {f"Event{number}": {} for number in range(30)}
    body = choreography(events, {"front": {}})
    refusal = answer(request(body), reviewed(body)).refusal
    assert refusal is not None
    assert len(refusal.causes) == 21
    assert "and 10 more" in refusal.causes[-1].message


def test_the_namespace_and_a_name_to_come_are_the_requests() -> None:
    body = orders()
    body["metadata"] = {"generateName": "orders-"}
    assert reviewed(body, namespace="elsewhere") == Review()


@pytest.mark.parametrize("fields", [{"operation": "DELETE"}, {"subResource": "status"}])
def test_deletions_and_subresources_always_pass(fields: Body) -> None:
    assert reviewed(edited(orders(), misspell), **fields) == Review()


# --- ratcheting


def _meta(body: Body) -> None:
    body["metadata"]["labels"] = {"team": "shop"}


def _respelled(body: Body) -> None:
    body["spec"]["delivery"] = {"timeout": "30s", "backoffMax": "60s"}


def _deleted(body: Body) -> None:
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    misspell(body)


def _status(body: Body) -> None:
    body["status"] = {"conditions": []}


@pytest.mark.parametrize("edit", [_meta, _respelled, _deleted, _status], ids=lambda edit: edit.__name__)
def test_an_update_that_leaves_the_spec_or_deletes_passes(edit: Edit) -> None:
    stored = edited(orders(), lambda body: body["spec"]["events"].update(Ghost={}))
    assert codes(reviewed(stored)) == ["never-emitted"]
    assert reviewed(edited(stored, edit), stored).allowed


def test_a_spec_that_cannot_be_read_and_is_not_changed_passes() -> None:
    stored = orders(unheardOf=True)
    assert codes(reviewed(stored)) == ["unknown-field"]
    assert reviewed(edited(stored, _meta), stored) == Review()


def test_changing_what_is_silenced_tells_the_warnings_anew_and_refuses_nothing() -> None:
    stored = edited(orders(), lambda body: body["spec"]["events"].update(Ghost={}))
    new = edited(stored, lambda body: body["metadata"].update(annotations={"choregos.dev/ignore": "no-outcome"}))
    review = reviewed(new, stored)
    assert review.allowed
    assert told(review, "not mended", "never-emitted")


def _ghost(body: Body) -> None:
    body["spec"]["events"]["Ghost"] = {}


def _second_ghost(body: Body) -> None:
    body["spec"]["events"]["Phantom"] = {}


def _heard_ghost(body: Body) -> None:
    """The sentence about the ghost changes, because somebody reacts to it now."""
    body["spec"]["services"]["front"]["reactions"] = [{"event": "Ghost"}]


def _described(body: Body) -> None:
    body["spec"]["events"]["OrderPaid"]["description"] = "The money is there."


def _shifted(body: Body) -> None:
    """The misspelt reaction is the second one now."""
    body["spec"]["services"]["payment"]["reactions"].insert(0, {"event": "OrderPaid"})


def _misspelt_twice(body: Body) -> None:
    misspell(body)
    body["spec"]["services"]["front"]["reactions"] = [{"event": "OrderPlcaed"}]


def _mended_once(body: Body) -> None:
    body["spec"]["services"]["front"]["reactions"] = []


def _ghost_behind_typo(body: Body) -> None:
    misspell(body)
    _ghost(body)


def _typo_mended(body: Body) -> None:
    reaction(body)["event"] = "OrderPlaced"


def _bad_port(body: Body) -> None:
    body["spec"]["services"]["payment"]["port"] = 0


def _second_bad_port(body: Body) -> None:
    body["spec"]["services"]["front"]["port"] = 0


RATCHET: dict[str, tuple[Edit, Edit, list[str], str]] = {
    # what the stored object has, the edit, the errors that refuse, the code of an error that is only warned of
    "an error that was there": (_ghost, _described, [], "never-emitted"),
    "an error whose sentence changes with the rest": (_ghost, _heard_ghost, [], "never-emitted"),
    "an error of the same kind at another place": (_ghost, _second_ghost, ["never-emitted"], "never-emitted"),
    "an error that moves in its list": (misspell, _shifted, [], "unknown-event"),
    "one of two places mended": (_misspelt_twice, _mended_once, [], "unknown-event"),
    "an error that the mended one hid": (_ghost_behind_typo, _typo_mended, [], "never-emitted"),
    "an error of an earlier stage": (_ghost, misspell, ["unknown-event"], ""),
    "the same value at a second place": (_bad_port, _second_bad_port, ["invalid-port"], "invalid-port"),
    "a new error in a sound object": (_described, _ghost, ["never-emitted"], ""),
    "an object mended": (_ghost, lambda body: body["spec"]["events"].pop("Ghost"), [], ""),
    "an object whose fields can be read again": (_bad_port, lambda body: body.update(orders()), [], ""),
}


@pytest.mark.parametrize(("before", "edit", "refusing", "known"), RATCHET.values(), ids=RATCHET)
def test_only_what_an_edit_brings_refuses(before: Edit, edit: Edit, refusing: list[str], known: str) -> None:
    stored = edited(orders(), before)
    review = reviewed(edited(stored, edit), stored)
    assert codes(review) == refusing
    assert told(review, "not mended", f"[{known}]") == bool(known)


def test_every_error_of_the_graph_has_its_stage() -> None:
    graph = list(CATALOGUE)[list(CATALOGUE).index("unknown-event") :]
    errors = [code for code in graph if CATALOGUE[code].severity is Severity.ERROR]
    stages = [ratchet.stage(finding(code, (), "", "")) for code in errors]
    assert 0 not in stages
    assert stages == sorted(stages)
    assert ratchet.stage(finding("invalid-port", (), "", "")) == 0


ERRORS = st.lists(
    st.builds(
        lambda code, place, message: finding(code, ("spec", place), message, ""),
        st.sampled_from([code for code, rule in CATALOGUE.items() if rule.severity is Severity.ERROR]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["x", "y", "x (used in 2 places)"]),
    ),
    max_size=6,
)


@given(ERRORS, ERRORS)
def test_ratcheting_loses_no_error_and_never_refuses_what_was_there(before: Any, after: Any) -> None:
    told = ratchet.sort(before, after)
    assert sorted(map(str, told.new + told.known)) == sorted(map(str, after))
    assert ratchet.sort(before, before).new == ()
    assert before or told.known == ()


# --- edits


IMMUTABLE: dict[str, tuple[Body, Body, str]] = {
    "prefix": ({"prefix": "one"}, {"prefix": "two"}, "spec.stream.prefix"),
    "partitions": ({}, {"partitions": 32}, "spec.stream.partitions"),
    "shards": ({"shards": 64}, {}, "spec.stream.shards"),
    "storage": ({"storage": "file"}, {"storage": "memory"}, "spec.stream.storage"),
}


@pytest.mark.parametrize(("before", "after", "place"), IMMUTABLE.values(), ids=IMMUTABLE)
def test_what_names_the_streams_of_a_bus_cannot_be_changed(before: Body, after: Body, place: str) -> None:
    review = reviewed(event_bus(stream=after), event_bus(stream=before))
    assert [error.place for error in review.errors] == [place]
    assert "cannot be changed" in review.errors[0].message
    assert review.errors[0].hint.startswith("write ")


def test_a_default_written_out_changes_nothing() -> None:
    written = event_bus(stream={"prefix": "choregos", "partitions": 16, "shards": 256, "storage": "file"})
    assert reviewed(written, event_bus()) == Review()


def _starting(start: str, **spec: Any) -> Body:
    body = orders(**spec)
    reaction(body)["startFrom"] = start
    return body


def test_where_a_reaction_began_cannot_be_changed() -> None:
    review = reviewed(_starting("all"), _starting("created"))
    assert [error.place for error in review.errors] == ["spec.services.payment.reactions[0].startFrom"]
    assert '"created"' in review.errors[0].message


def test_the_same_moment_in_another_zone_is_no_change() -> None:
    assert reviewed(_starting("2026-01-01T01:00:00+01:00"), _starting("2026-01-01T00:00:00Z")).allowed


def test_on_another_bus_a_reaction_may_begin_elsewhere() -> None:
    assert reviewed(_starting("all", bus="fast"), _starting("created")).allowed


def _other_event(body: Body) -> None:
    reaction(body)["event"] = "OrderPaid"
    reaction(body).update(emits=[], onSuccess=None)
    body["spec"]["services"]["front"]["emits"].append("OrderPaid")


def _renamed_service(body: Body) -> None:
    body["spec"]["services"]["billing"] = body["spec"]["services"].pop("payment")


@pytest.mark.parametrize("edit", [_other_event, _renamed_service], ids=lambda edit: edit.__name__)
def test_a_reaction_that_goes_is_warned_of_with_how_long_its_events_stay(edit: Edit) -> None:
    review = reviewed(edited(orders(), edit), orders())
    assert review.allowed
    assert told(review, "spec.services.payment", '"OrderPlaced"', "unread events", "7d")


def test_a_reaction_that_another_choreography_claims_too_is_not_gone() -> None:
    twin = orders(name="twin", age=1)
    assert not told(reviewed(edited(orders(), _renamed_service), orders(), twin), "unread events")
    assert told(reviewed(edited(orders(), _renamed_service), orders(), orders(name="twin", age=1, bus="b")), "unread")


def test_a_bus_that_is_not_there_is_a_warning() -> None:
    sentence = 'spec.bus: there is no EventBus "fast" in shop; apply it, or write `bus: default`'
    assert reviewed(orders(bus="fast")) == Review(warnings=(sentence,))
    assert reviewed(orders(bus="fast"), None, event_bus(name="fast")) == Review()
    assert reviewed(orders(bus="fast"), None, event_bus(name="fast", servers=["nowhere"])) == Review(), "it is there"
    assert sentence in reviewed(orders(bus="fast"), orders()).warnings
    assert reviewed(orders()) == Review(), "the bus that needs no object"


def test_a_move_to_another_bus_is_warned_of_once() -> None:
    review = reviewed(orders(bus="fast"), orders())
    assert len([warning for warning in review.warnings if "unread events" in warning]) == 1
    assert told(review, "spec.bus", '"fast"', '"default"', "7d")
    assert not told(reviewed(orders(bus="fast"), orders(), orders(name="twin", age=1)), "unread events")


BUS_EDITS: dict[str, tuple[Body, Body, tuple[str, ...]]] = {
    "servers": ({}, {"servers": ["nats://n:4222"]}, ("spec.servers", "no event moves")),
    "age": ({}, {"stream": {"maxAge": "1d"}}, ("spec.stream.maxAge", "older than 1d", "read or unread")),
    "room": ({}, {"stream": {"maxBytes": "1Mi"}}, ("spec.stream.maxBytes", "more than 1Mi", "refuses")),
    "letters' age": ({}, {"deadLetters": {"maxAge": "1d"}}, ("spec.deadLetters.maxAge", "dead letters older")),
    "letters' room": ({}, {"deadLetters": {"maxBytes": "1Mi"}}, ("spec.deadLetters.maxBytes", "takes no dead letter")),
    "inbox's room": ({}, {"inbox": {"maxBytes": "1Mi"}}, ("spec.inbox.maxBytes", "forgets its oldest events")),
}


@pytest.mark.parametrize(("before", "after", "words"), BUS_EDITS.values(), ids=BUS_EDITS)
def test_an_edit_of_a_bus_says_what_it_does(before: Body, after: Body, words: tuple[str, ...]) -> None:
    assert told(reviewed(event_bus(**after), event_bus(**before)), *words)
    assert reviewed(event_bus(**before), event_bus(**after)).allowed
    assert reviewed(event_bus(**after)) == Review()


def test_a_window_that_gets_too_short_is_told_for_the_choreographies_of_the_bus() -> None:
    short = event_bus(stream={"duplicateWindow": "10s"})
    assert told(reviewed(short, event_bus(), orders(age=1)), "orders: spec.delivery", "short-duplicate-window")
    assert reviewed(short, event_bus(), orders(age=1, bus="other")) == Review()
    assert reviewed(event_bus(stream={"duplicateWindow": "10s", "replicas": 3}), short, orders(age=1)) == Review()


def test_a_bus_that_is_in_use_with_the_defaults_says_what_stays_behind() -> None:
    review = reviewed(event_bus(stream={"prefix": "mine"}), None, orders(age=1))
    assert review.allowed
    assert told(review, "spec.stream", "default prefix", "stays behind")
    assert reviewed(event_bus(stream={"replicas": 3}), None, orders(age=1)) == Review()
    assert reviewed(event_bus(stream={"prefix": "mine"}), None, orders(age=1, bus="other")) == Review()


# --- the others of the namespace


def _consumer(name: str = "analytics", age: int = 0, **spec: Any) -> Body:
    events = {"OrderPaid": {"external": True}}
    return choreography(events, {"analytics": {"reactions": [{"event": "OrderPaid"}]}}, name=name, age=age, **spec)


def test_an_external_event_that_nobody_emits_is_a_warning() -> None:
    assert told(reviewed(_consumer()), "spec.events.OrderPaid", "nobody-emits")
    assert not told(reviewed(_consumer(), None, orders(age=1)), "nobody-emits")
    assert told(reviewed(_consumer(), None, orders(age=1, bus="other")), "nobody-emits")


def test_the_annotation_silences_what_the_others_make_doubtful() -> None:
    body = _consumer()
    body["metadata"]["annotations"] = {"choregos.dev/ignore": "long-chain, nobody-emits"}
    assert not told(reviewed(body), "nobody-emits")


def test_a_new_choreography_is_the_youngest_and_told_what_is_claimed_already() -> None:
    review = reviewed(orders(name="a-twin"), None, orders(age=1))
    assert review.allowed
    assert told(review, "claimed-twice", "orders claims the reaction")


def test_an_edit_keeps_its_age_so_the_younger_one_loses() -> None:
    younger = orders(name="twin", age=2)
    elder = edited(orders(age=1), lambda body: body["spec"]["services"].pop("payment"))
    elder["spec"]["events"].pop("OrderPaid")
    review = reviewed(orders(age=1), elder, younger)
    assert not told(review, "[claimed-twice]")
    assert told(review, "twin, which is younger", "orders claims the reaction")
    again = edited(orders(age=1), _described)
    assert not told(reviewed(again, orders(age=1), younger), "twin")


def test_an_invalid_choreography_claims_nothing() -> None:
    assert not told(reviewed(orders(name="twin"), None, edited(orders(age=1), _ghost)), "claimed-twice")


def test_an_event_that_is_emitted_no_longer_is_told_if_somebody_waits_for_it() -> None:
    def _unpaid(body: Body) -> None:
        reaction(body).update(emits=[], onSuccess=None)
        body["spec"]["events"] = {"OrderPlaced": {"outcome": "completed"}}

    review = reviewed(edited(orders(age=1), _unpaid), orders(age=1), _consumer(age=2))
    assert told(review, '"OrderPaid"', "analytics declares it external")
    helped = reviewed(edited(orders(age=1), _unpaid), orders(age=1), _consumer(age=2), orders(name="twin", age=3))
    assert not told(helped, "analytics declares")
    elsewhere = reviewed(edited(orders(age=1), _unpaid), orders(age=1), _consumer(age=2, bus="other"))
    assert not told(elsewhere, "analytics declares")


def test_the_bus_of_the_store_decides_whether_the_window_is_too_short() -> None:
    short = event_bus(stream={"duplicateWindow": "10s"})
    assert told(reviewed(orders(), None, short), "short-duplicate-window")
    assert short["metadata"]["namespace"] == NAMESPACE


def test_a_choreography_with_errors_is_not_told_its_doubts_too() -> None:
    assert reviewed(edited(_consumer(), lambda body: body["spec"]["events"].update(Ghost={}))).warnings == ()
