"""A ConfigMap holds what its service's ambassadors should know; its generation counts the changes, and only those."""

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from choregos_contract.configuration import Configuration, Reaction, load
from choregos_contract.names import BusNames
from choregos_operator.configured import CONFIG_KEY, configmap_name, configuration_hash
from choregos_operator.controller.configmaps import (
    Owner,
    TooLarge,
    configmap,
    is_ours,
    keeping,
    owner_of,
    services_named,
    surplus,
    target,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ORDERS = Owner("orders", "u-1")
HASH = "choregos.dev/configuration-hash"


def configuration(*events: str, service: str = "payment", generation: int = 0) -> Configuration:
    reactions = tuple(Reaction(event=event, port=8080) for event in events)
    names = BusNames(namespace="shop")
    return Configuration(version=1, generation=generation, service=service, bus=names, reactions=reactions)


def stored(manifest: dict[str, Any] | None, version: str = "7") -> dict[str, Any]:
    """The manifest as the API server would hold it."""
    assert manifest is not None
    body = copy.deepcopy(manifest)
    body["metadata"] |= {"namespace": "shop", "uid": "c-1", "resourceVersion": version}
    return body


def written(*events: str) -> dict[str, Any]:
    return stored(configmap(configuration(*events), [ORDERS], None, now=NOW))


def document(manifest: dict[str, Any] | None) -> Configuration:
    assert manifest is not None
    return load(manifest["data"][CONFIG_KEY].encode())


def test_the_hash_does_not_depend_on_the_generation_and_depends_on_all_else() -> None:
    one = configuration("A", generation=1)
    assert configuration_hash(one) == configuration_hash(replace(one, generation=9))
    assert configuration_hash(one) != configuration_hash(configuration("B", generation=1))
    assert configuration_hash(one) != configuration_hash(configuration("A", service="shipping", generation=1))
    assert len(configuration_hash(one)) == 16


def test_a_new_configmap_carries_document_label_hash_and_owners() -> None:
    made = configmap(configuration("A"), [Owner("b", "u-2"), Owner("a", "u-1")], None, now=NOW)
    assert made is not None
    assert made["metadata"]["name"] == "choregos-payment" == configmap_name("payment")
    assert made["metadata"]["labels"] == {"choregos.dev/service": "payment"}
    assert made["metadata"]["annotations"][HASH] == configuration_hash(configuration("A"))
    assert [each["name"] for each in made["metadata"]["ownerReferences"]] == ["a", "b"]
    assert all(each.keys() == {"apiVersion", "kind", "name", "uid"} for each in made["metadata"]["ownerReferences"])
    assert "resourceVersion" not in made["metadata"]
    assert document(made) == configuration("A", generation=1)


def test_what_is_as_wanted_is_left_alone() -> None:
    assert configmap(configuration("A"), [ORDERS], written("A"), now=LATER) is None


def test_a_change_counts_the_generation_up_and_names_the_version_it_replaces() -> None:
    changed = configmap(configuration("A", "B"), [ORDERS], written("A"), now=LATER)
    assert document(changed) == configuration("A", "B", generation=2)
    assert changed is not None
    assert changed["metadata"]["resourceVersion"] == "7"


def test_a_new_owner_changes_no_generation() -> None:
    changed = configmap(configuration("A"), [ORDERS, Owner("more", "u-2")], written("A"), now=LATER)
    assert document(changed).generation == 1
    before, after = target(written("A")), target(stored(changed))
    assert before == after


def _edited_document(body: dict[str, Any]) -> None:
    text = body["data"][CONFIG_KEY].replace("8080", "9090")
    assert text != body["data"][CONFIG_KEY]
    body["data"][CONFIG_KEY] = text


def _damaged_document(body: dict[str, Any]) -> None:
    body["data"][CONFIG_KEY] = body["data"][CONFIG_KEY][:-5]


def _no_data(body: dict[str, Any]) -> None:
    del body["data"]


def _no_label(body: dict[str, Any]) -> None:
    del body["metadata"]["labels"]


def _other_hash(body: dict[str, Any]) -> None:
    body["metadata"]["annotations"][HASH] = "0"


def _no_annotations(body: dict[str, Any]) -> None:
    del body["metadata"]["annotations"]


def _no_owners(body: dict[str, Any]) -> None:
    body["metadata"]["ownerReferences"] = []


def _odd_date(body: dict[str, Any]) -> None:
    body["metadata"]["annotations"]["choregos.dev/configuration-written"] = "yesterday"


@pytest.mark.parametrize(
    "damage",
    [
        _edited_document,
        _damaged_document,
        _no_data,
        _no_label,
        _other_hash,
        _no_annotations,
        _no_owners,
        _odd_date,
    ],
)
def test_an_edit_by_hand_is_undone_and_what_was_undone_stays(damage: Any) -> None:
    body = written("A")
    damage(body)
    before = copy.deepcopy(body)
    mended = configmap(configuration("A"), [ORDERS], body, now=LATER)
    assert body == before, "the mirror's object was changed"
    assert replace(document(mended), generation=0) == configuration("A")
    assert configmap(configuration("A"), [ORDERS], stored(mended), now=LATER) is None


def test_an_edited_document_gets_a_generation_of_its_own() -> None:
    body = written("A")
    _edited_document(body)
    assert document(configmap(configuration("A"), [ORDERS], body, now=LATER)).generation == 2


def test_a_lost_document_goes_on_above_what_an_ambassador_has_loaded() -> None:
    assert document(configmap(configuration("A"), [ORDERS], None, now=NOW, loaded=41)).generation == 42
    damaged = written("A")
    damaged["data"][CONFIG_KEY] = json.dumps({"generation": 12, "version": 99})
    assert document(configmap(configuration("A"), [ORDERS], damaged, now=NOW, loaded=3)).generation == 13


def test_what_others_wrote_beside_ours_stays() -> None:
    body = written("A")
    body["metadata"]["labels"]["team"] = "red"
    body["metadata"]["annotations"]["note"] = "x"
    body["metadata"]["ownerReferences"].insert(0, {"apiVersion": "v1", "kind": "Secret", "name": "s", "uid": "s"})
    body["data"]["other"] = "y"
    assert configmap(configuration("A"), [ORDERS], body, now=LATER) is None
    changed = configmap(configuration("B"), [ORDERS], body, now=LATER)
    assert changed is not None
    assert changed["metadata"]["labels"]["team"] == "red"
    assert changed["metadata"]["annotations"]["note"] == "x"
    assert [each["kind"] for each in changed["metadata"]["ownerReferences"]] == ["Secret", "Choreography"]
    assert changed["data"]["other"] == "y"


def test_a_configuration_beyond_a_configmap_is_refused_with_both_figures() -> None:
    reactions = tuple(Reaction(event=f"E{number}", port=80, path="/" + "x" * 1000) for number in range(1000))
    with pytest.raises(TooLarge, match=r"payment is 1\d{6} bytes, a ConfigMap holds 1048576.*1000 reactions; split"):
        configmap(replace(configuration(), reactions=reactions), [ORDERS], None, now=NOW)


def test_an_immutable_configmap_is_deleted_and_made_anew_with_the_next_generation() -> None:
    body = written("A") | {"immutable": True}
    assert surplus([body], {"payment"}) == ("choregos-payment",)
    made = configmap(configuration("A", "B"), [ORDERS], body, now=LATER)
    assert made is not None
    assert "resourceVersion" not in made["metadata"]
    assert "immutable" not in made
    assert document(made).generation == 2


def test_only_configmaps_of_services_that_nobody_names_are_surplus() -> None:
    def of(service: str, name: str | None = None) -> dict[str, Any]:
        body = stored(configmap(configuration("A", service=service), [ORDERS], None, now=NOW))
        body["metadata"]["name"] = name or body["metadata"]["name"]
        return body

    unlabelled = of("gone")
    del unlabelled["metadata"]["labels"]
    all_of_them = [of("kept"), of("gone"), of("frozen"), of("gone", name="somebody-elses"), unlabelled]
    assert surplus(all_of_them, {"kept"}, {"frozen"}) == ("choregos-gone",)


@given(st.recursive(st.none() | st.text(max_size=3) | st.integers(), lambda inner: st.lists(inner, max_size=3)))
def test_the_services_of_any_object_can_be_asked_for(odd: object) -> None:
    assert services_named({"spec": odd}) == frozenset()
    assert services_named({"spec": {"services": odd}}) == frozenset()
    assert services_named({}) == frozenset()


def test_beside_an_invalid_choreography_nothing_is_taken_away_and_the_valid_one_has_the_say() -> None:
    before = replace(configuration("A", "B"), emits=("X",))
    mine = replace(configuration("A", "C"), emits=("Y",))
    mine = replace(mine, reactions=(replace(mine.reactions[0], suspend=True), mine.reactions[1]))
    kept = keeping(mine, stored(configmap(before, [ORDERS], None, now=NOW)))
    assert [(each.event, each.suspend) for each in kept.reactions] == [("A", True), ("C", False), ("B", False)]
    assert kept.emits == ("Y", "X")
    assert keeping(kept, stored(configmap(kept, [ORDERS], None, now=NOW))) == kept
    assert keeping(mine, None) == mine


def test_a_configmap_is_ours_by_its_label_or_by_what_else_we_write() -> None:
    body = written("A")
    assert is_ours(body)
    body["metadata"]["labels"] = {}
    assert is_ours(body), "other hands took the label away"
    assert not is_ours({"metadata": {"name": "choregos-payment"}})


def test_the_services_of_an_unreadable_choreography_are_known() -> None:
    body = {"metadata": {"name": "n", "uid": "u"}, "spec": {"services": {"a": None, "b": {"prot": 1}}}}
    assert services_named(body) == {"a", "b"}
    assert owner_of(body) == Owner("n", "u")


def test_the_target_is_what_the_configmap_says() -> None:
    found = target(written("A"))
    assert found is not None
    assert (found.hash, found.generation, found.bus, found.written) == (
        configuration_hash(configuration("A")),
        1,
        "default",
        NOW,
    )
    damaged = written("A")
    _damaged_document(damaged)
    assert target(damaged) is None


EDITS = st.lists(
    st.sampled_from(["edit", "damage", "nothing", "unlabel", "drop", "want A", "want B", "want AB"]), max_size=12
)


@given(EDITS)
def test_whatever_hands_do_generations_never_stand_for_two_contents(edits: list[str]) -> None:
    """Short of a document that is gone altogether while nobody has it loaded."""
    wanted: tuple[str, ...] = ("A",)
    body: dict[str, Any] | None = None
    contents: dict[int, str] = {}
    loaded = 0
    damages = {"edit": _edited_document, "damage": _damaged_document, "unlabel": _no_label}
    for edit in edits:
        if edit.startswith("want "):
            wanted = tuple(edit.removeprefix("want "))
        if body is not None and edit in damages:
            damages[edit](body)
        if edit == "drop":
            body = None
        made = configmap(configuration(*wanted), [ORDERS], body, now=NOW, loaded=loaded)
        body = body if made is None else stored(made)
        found = document(body)
        loaded = found.generation
        assert contents.setdefault(found.generation, configuration_hash(found)) == configuration_hash(found)
        assert replace(found, generation=0) == configuration(*wanted)
