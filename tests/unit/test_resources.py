"""The models of the resources: what a document may hold, and what follows from what it leaves out."""

import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from choregos_contract.event_bus import EventBus, StreamSpec
from choregos_contract.resources import (
    API_VERSION,
    EVENT_NAME,
    Choreography,
    Delivery,
    DeliveryOverrides,
    EventName,
    Label,
    Path,
    Reaction,
    Resource,
)

YAML_1_1_BOOLEANS = {"y", "yes", "n", "no", "true", "false", "on", "off"}


def models(root: type[BaseModel] = Resource) -> Iterator[type[BaseModel]]:
    for model in root.__subclasses__():
        yield model
        yield from models(model)


def choices(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    for part in get_args(annotation):
        yield from choices(part)


@pytest.mark.parametrize("model", list(models()), ids=lambda model: model.__name__)
def test_no_field_or_choice_is_a_yaml_boolean_and_every_field_is_described(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert (field.alias or name).lower() not in YAML_1_1_BOOLEANS
        assert not {choice.lower() for choice in choices(field.annotation)} & YAML_1_1_BOOLEANS
        assert field.description
        assert field.description.endswith((".", ")")), name


@pytest.mark.parametrize("model", [Choreography, EventBus])
def test_every_text_and_list_of_a_spec_is_bounded(model: type[BaseModel]) -> None:
    schema = model.model_json_schema()
    for name, part in schema["$defs"].items():
        for field, rule in part["properties"].items():
            if name == "Metadata" or "pattern" in rule:
                continue
            for each in rule.get("anyOf", [rule]):
                bounded = {"string": "maxLength", "array": "maxItems", "object": "maxProperties", "integer": "maximum"}
                if each.get("type") in bounded and not {"enum", "pattern"} & each.keys():
                    assert bounded[each["type"]] in each, (name, field)


def test_a_reactions_settings_lie_over_the_choreographys_and_those_over_the_defaults() -> None:
    reaction = Reaction(event="A", delivery=DeliveryOverrides(timeout="5s"))
    choreography = Choreography.model_validate(
        {
            "apiVersion": API_VERSION,
            "kind": "Choreography",
            "metadata": {"name": "a", "resourceVersion": "7"},
            "spec": {
                "delivery": {"timeout": "10s", "retry": 1},
                "events": {"A": {"external": True}},
                "services": {"s": {"reactions": [reaction.model_dump(mode="json", by_alias=True)]}},
            },
            "status": {"conditions": []},
        }
    )
    assert choreography.delivery_of("s", reaction) == Delivery(timeout="5s", retry=1)
    assert choreography.delivery_of("s", Reaction(event="A")) == Delivery(timeout="10s", retry=1)


def test_a_status_that_a_reaction_names_leaves_the_other_list_of_the_defaults() -> None:
    defaults = Delivery(reject=(400, 404), retry_on=(415,))
    assert DeliveryOverrides(retry_on=(400,)).over(defaults).reject == (404,)
    assert DeliveryOverrides(reject=(415,)).over(defaults).retry_on == ()
    assert DeliveryOverrides(retry=0).over(defaults) == defaults.model_copy(update={"retry": 0})


def test_the_bus_has_the_documented_defaults() -> None:
    stream = StreamSpec()
    assert (stream.prefix, stream.replicas, stream.storage) == ("choregos", 1, "file")
    assert (stream.partitions, stream.shards, stream.duplicate_window) == (16, 256, 600.0)


def test_the_schema_spells_defaults_as_users_do() -> None:
    properties = Delivery.model_json_schema()["properties"]
    assert properties["timeout"]["default"] == "30s"
    assert properties["maxReplyBytes"]["default"] == "1Mi"


def accepts(kind: Any, text: str) -> bool:
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return False
    return True


@given(st.from_regex(EVENT_NAME, fullmatch=True) | st.text(max_size=12))
def test_an_event_name_holds_only_what_a_subject_can_carry(text: str) -> None:
    plain = re.fullmatch(r"[A-Za-z0-9_.-]+", text, re.ASCII) is not None and len(text) <= 100
    parts = text.split(".")
    right = plain and text[0].isalpha() and all(parts) and len(parts) <= 16
    assert accepts(EventName, text) == right


@given(st.text(alphabet="ab0-A._\n", max_size=6))
def test_a_label_is_what_kubernetes_takes_for_one(text: str) -> None:
    right = bool(text) and set(text) <= set("ab0-") and text[0] != "-" and text[-1] != "-"
    assert accepts(Label, text) == right


@pytest.mark.parametrize(
    ("text", "right"),
    [("/", True), ("/a?b=c", True), ("a", False), ("/a b", False), ("/a#b", False), ("/a\n", False), ("", False)],
)
def test_a_path_can_stand_in_a_request_line(text: str, right: bool) -> None:
    assert accepts(Path, text) == right


@pytest.mark.parametrize("text", ["created", "all", "2026-01-31T12:00:00Z", "2026-01-31t12:00:00.5+02:00"])
def test_a_reaction_starts_from_a_word_or_a_moment(text: str) -> None:
    assert Reaction(event="A", start_from=text).start_from == text


@pytest.mark.parametrize("text", ["now", "2026-01-31", "2026-02-30T12:00:00Z", "2026-01-31T12:00:00"])
def test_a_reaction_starts_from_nothing_else(text: str) -> None:
    with pytest.raises(ValidationError):
        Reaction(event="A", start_from=text)
