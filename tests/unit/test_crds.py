"""The CustomResourceDefinitions as files: what can be seen of them without an API server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from choregos_contract.quantities import DURATION_PATTERN, SIZE_PATTERN
from choregos_contract.status import MOST_ORPHANS, Ambassadors, ChoreographyStatus, Condition, EventBusStatus, Orphan

CRDS = Path(__file__).parents[2] / "crds"
FILES = sorted(CRDS.glob("*.yaml"))
NOW = "2026-01-31T12:00:00Z"

Schema = dict[str, Any]


def schema_of(file: Path) -> Schema:
    (version,) = yaml.safe_load(file.read_text())["spec"]["versions"]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    for inner, mark in (("items", "[]"), ("additionalProperties", ".NAME")):
        if inner in schema:
            yield from nodes(schema[inner], path + mark)


OURS = [
    pytest.param(path, node, id=f"{file.stem.rpartition('_')[2]}{path}")
    for file in FILES
    for path, node in nodes(schema_of(file))
    if path not in (".metadata", ".apiVersion", ".kind")
]


def test_there_is_a_definition_of_each_kind_and_it_is_yaml_that_people_can_read() -> None:
    assert [file.name for file in FILES] == ["choregos.dev_choreographies.yaml", "choregos.dev_eventbuses.yaml"]
    for file in FILES:
        assert "&id" not in file.read_text()


@pytest.mark.parametrize(("path", "node"), OURS)
def test_a_schema_is_structural(path: str, node: Schema) -> None:
    assert not {"$ref", "$defs", "title", "oneOf", "allOf", "patternProperties", "nullable", "const"} & node.keys()
    assert ("anyOf" in node) == (node.get("x-kubernetes-int-or-string") is True) == ("type" not in node)
    assert not ("properties" in node and "additionalProperties" in node)


@pytest.mark.parametrize(("path", "node"), OURS)
def test_every_field_is_described(path: str, node: Schema) -> None:
    if not path.endswith(("[]", ".NAME")):
        assert node["description"].endswith((".", ")"))


@pytest.mark.parametrize(("path", "node"), OURS)
def test_whatever_a_rule_may_walk_over_is_bounded(path: str, node: Schema) -> None:
    match node.get("type"):
        case "string":
            assert "maxLength" in node or "enum" in node
        case "array":
            assert "maxItems" in node
        case "integer":
            assert {"minimum", "maximum"} <= node.keys()
        case "object":
            assert "maxProperties" in node if "additionalProperties" in node else node["properties"]
        case None:
            assert {"maxLength", "minimum"} <= node.keys()


@pytest.mark.parametrize(("path", "node"), OURS)
def test_a_rule_says_what_is_wrong_and_how_to_mend_it_also_without_the_values(path: str, node: Schema) -> None:
    for rule in node.get("x-kubernetes-validations", ()):
        assert ";" in rule["message"]
        assert "%" not in rule["message"]


@pytest.mark.parametrize(("path", "node"), OURS)
def test_only_a_default_that_says_something_is_stored(path: str, node: Schema) -> None:
    assert node.get("default", "something") not in ([], {}, "", False, None)


def test_the_bound_of_a_quantity_is_what_its_pattern_lets_pass() -> None:
    longest = {DURATION_PATTERN: "999999999d999999999h999999999m999999999s999999999ms", SIZE_PATTERN: f"{'9' * 19}Mi"}
    found = {node["pattern"]: node for file in FILES for _, node in nodes(schema_of(file)) if "pattern" in node}
    for pattern, text in longest.items():
        assert found[pattern]["maxLength"] == len(text)


def test_a_status_is_reported_as_the_schema_names_it_and_without_what_is_not_known() -> None:
    ready = Condition(type="Ready", status="True", reason="Wired", last_transition_time=NOW)
    status = ChoreographyStatus(
        observed_generation=2,
        conditions=(ready,),
        ambassadors=Ambassadors(current=1, total=2),
        orphaned=(Orphan(reaction="payment/OrderPlaced", pending=3, since=NOW),),
    )
    assert status.as_reported() == {
        "observedGeneration": 2,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Wired",
                "message": "",
                "lastTransitionTime": NOW,
                "observedGeneration": 0,
            }
        ],
        "ambassadors": {"current": 1, "total": 2},
        "orphaned": [{"reaction": "payment/OrderPlaced", "pending": 3, "since": NOW}],
    }


def test_a_status_holds_no_more_than_the_api_server_takes() -> None:
    orphan = Orphan(reaction="payment/OrderPlaced", pending=3, since=NOW)
    with pytest.raises(ValidationError):
        EventBusStatus(orphaned=(orphan,) * (MOST_ORPHANS + 1))
    with pytest.raises(ValidationError):
        Condition(type="Ready", status="True", reason="not one word", last_transition_time=NOW)
