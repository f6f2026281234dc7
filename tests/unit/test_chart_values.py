"""Every value has its prose, is in the schema, and is used; what contradicts itself is refused with what mends it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from support.helm import BUILT_IN, CHART, HA, OUTSIDE, Manifest, Refused, merged, template, texts

REFERENCE = CHART.parents[1] / "docs" / "reference" / "chart-values.md"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def ours(schema: Manifest, path: str = "") -> Iterator[tuple[str, Manifest]]:
    """Yield each value that the schema names, sections included."""
    for key, node in schema.get("properties", {}).items():
        if "description" in node:
            yield f"{path}{key}", node
            yield from ours(node, f"{path}{key}.")


def at(path: str) -> Any:
    found = VALUES
    for key in path.split("."):
        found = found[key]
    return found


NAMED = dict(ours(SCHEMA))


def leaves(values: Manifest, path: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict) and NAMED[f"{path}{key}"].get("properties") and "required" in NAMED[f"{path}{key}"]:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"


def test_the_values_the_schema_and_the_reference_name_the_same() -> None:
    rows = set(re.findall(r"^\| `([\w.]+)` \|", REFERENCE.read_text(), re.MULTILINE))
    headings = set(re.findall(r"^## `(\w+)`$", REFERENCE.read_text(), re.MULTILINE))
    assert rows | headings == NAMED.keys()
    assert set(leaves(VALUES)) <= NAMED.keys()
    for path in NAMED:
        at(path)  # KeyError if the schema knows more than the values


@pytest.mark.parametrize("path", NAMED)
def test_every_value_has_prose_and_is_refused_if_it_is_unknown(path: str) -> None:
    node = NAMED[path]
    assert node["description"].endswith(".")
    if node["type"] == "object" and "required" in node and path != "global":
        assert node["additionalProperties"] is False
        with pytest.raises(Refused, match="unheard"):
            template(merged(OUTSIDE, nested(path, {"unheard": 1})))


def nested(path: str, value: Any) -> Manifest:
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


MONITORED = {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
MANAGED = {"certificates": {"certManager": {"enabled": True, "issuerRef": {"name": "internal"}}}}
POLICED = {"networkPolicy": {"enabled": True}}
EVERYTHING = [
    merged(HA, MONITORED, MANAGED, {"controller": {"replicas": 3}, "webhook": {"replicas": 3}}, POLICED, nats)
    for nats in (OUTSIDE, BUILT_IN)
]
"""Values with which every other one counts, with either NATS."""
OTHERS: Manifest = {
    "annotations": {"a": "b"},
    "apiServerPorts": [7443],
    "digest": f"sha256:{'0' * 64}",
    "extraEgress": [{"ports": [{"port": 1}]}],
    "extraEnv": [{"name": "A", "value": "b"}],
    "imagePullSecrets": [{"name": "a"}],
    "interval": "7s",
    "logLevel": "debug",
    "pullPolicy": "Always",
    "size": "7Gi",
    "tolerations": [{"key": "a"}],
    "topologySpreadConstraints": [{"topologyKey": "a"}],
    "url": "nats://another:4222",
}
"""By key: another value than the default, where one cannot be made of it."""
SWITCHED = {"enabled", "nats.enabled"}
"""What decides whether anything is rendered at all."""


def another(path: str) -> Any:
    """Return a value that is not the one in EVERYTHING."""
    key, default = path.rpartition(".")[2], at(path)
    if key in OTHERS:
        return OTHERS[key]
    match default:
        case bool():
            return not at_of(EVERYTHING[0], path, default)
        case int() | float():
            return at_of(EVERYTHING[0], path, default) + 7 if key != "minAvailable" else 2
        case str():
            return "another"
        case dict():
            return {"fsGroup": 7} if key == "podSecurityContext" else {"a": "b"}
    raise AssertionError(f"what else could {path} be?")


def at_of(values: Manifest, path: str, default: Any) -> Any:
    for key in path.split("."):
        if key not in values:
            return default
        values = values[key]
    return values


@pytest.mark.parametrize("path", sorted(set(leaves(VALUES)) - SWITCHED))
def test_every_value_makes_a_difference(path: str) -> None:
    def differs(values: Manifest) -> bool:
        try:
            return texts(merged(values, nested(path, another(path)))) != texts(values)
        except Refused:
            return False

    assert any(map(differs, EVERYTHING))


def test_values_of_other_charts_may_be_global() -> None:
    assert template(merged(OUTSIDE, {"global": {"storageClass": "fast"}}))


WRONG: list[Manifest] = [
    {"controller": {"replicas": 0}},
    {"controller": {"replicas": "two"}},
    {"operator": {"logLevel": "loud"}},
    {"operator": {"leaseSeconds": 2}},
    {"operator": {"orphanTtlDays": 0}},
    {"operator": {"image": {"digest": "abc"}}},
    {"operator": {"image": {"pullPolicy": "Sometimes"}}},
    {"webhook": {"port": 0}},
    {"webhook": {"podAnnotations": {"a": 1}}},
    {"webhook": {"extraEnv": [{"value": "nameless"}]}},
    {"nats": {"persistence": {"size": "2G"}}},
    {"nats": {"url": None}},
    {"podSecurityContext": {"runAsNonRoot": False}},
    {"podSecurityContext": {"runAsUser": 0}},
    {"podMonitor": {"interval": "often"}},
    {"networkPolicy": {"apiServerPorts": []}},
    {"fullnameOverride": "Not A Name"},
]


@pytest.mark.parametrize("values", WRONG, ids=str)
def test_a_value_of_a_wrong_type_is_refused_by_its_name(values: Manifest) -> None:
    path = next(iter(leaves_of(values)))
    with pytest.raises(Refused, match=path.rpartition(".")[2]):
        template(merged(OUTSIDE, values))


def leaves_of(values: Manifest, path: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict) and f"{path}{key}" in NAMED:
            yield from leaves_of(value, f"{path}{key}.") if NAMED[f"{path}{key}"].get("required") else [f"{path}{key}"]
        else:
            yield f"{path}{key}"


CONTRADICTIONS: list[tuple[Manifest, str]] = [
    ({}, "set nats.url to yours, such as nats://nats.nats:4222, or nats.enabled=true"),
    (merged(OUTSIDE, BUILT_IN), "remove nats.url to use the built-in NATS, or set nats.enabled=false"),
    ({"nats": {"url": "http://nats:4222"}}, 'nats.url has "http://nats:4222", which is no NATS server; write nats://'),
    ({"nats": {"url": "nats://a:4222,,"}}, 'nats.url has "", which is no NATS server'),
    ({"nats": {"url": "nats://me:secret@a:4222"}}, "put it into a Secret that nats.credentialsSecret names"),
    (merged(BUILT_IN, {"nats": {"credentialsSecret": "x"}}), "remove one of nats.credentialsSecret and nats.enabled"),
    (
        merged(OUTSIDE, {"certificates": {"certManager": {"enabled": True}}}),
        "set certificates.certManager.issuerRef.name",
    ),
    (
        merged(OUTSIDE, {"webhook": {"podDisruptionBudget": {"enabled": True}}}),
        "a drain of their node never ends; raise webhook.replicas above",
    ),
    (
        merged(OUTSIDE, HA, {"controller": {"podDisruptionBudget": {"minAvailable": 2}}}),
        "controller.podDisruptionBudget keeps 2 of 2 pods",
    ),
    (
        merged(OUTSIDE, {"webhook": {"extraEnv": [{"name": "CHOREGOS_LEASE", "value": "x"}]}}),
        "webhook.extraEnv sets CHOREGOS_LEASE, which the chart sets itself; remove it",
    ),
    (
        merged(OUTSIDE, {"controller": {"podLabels": {"choregos.dev/service": "x"}}}),
        "controller.podLabels has choregos.dev/service",
    ),
    (
        merged(BUILT_IN, {"nats": {"podLabels": {"choregos.dev/service": "x"}}}),
        "nats.podLabels has choregos.dev/service, which is for pods of services: this one would wait for itself",
    ),
    (
        merged(OUTSIDE, {"commonLabels": {"choregos.dev/service": "x"}}),
        "commonLabels has choregos.dev/service, which is for pods of services: this one would wait for itself",
    ),
    (
        merged(OUTSIDE, {"commonLabels": {"app.kubernetes.io/part-of": "shop"}}),
        "commonLabels has app.kubernetes.io/part-of, which the chart sets itself",
    ),
    (merged(OUTSIDE, {"enabled": False}), "enabled is false, which is for the `condition`"),
]


@pytest.mark.parametrize(("values", "sentence"), CONTRADICTIONS, ids=[sentence for _, sentence in CONTRADICTIONS])
def test_a_contradiction_is_refused_with_the_sentence_that_mends_it(values: Manifest, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        template(values)
    assert sentence in str(refused.value)
    assert "secret@" not in str(refused.value)


def test_the_values_for_high_availability_differ_from_the_defaults() -> None:
    assert merged(VALUES, HA) != VALUES
