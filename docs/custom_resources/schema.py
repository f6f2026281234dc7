"""From a model to a structural schema: the dialect of OpenAPI v3 that the API server takes for a custom resource.

What pydantic writes is plain JSON Schema. The API server wants no references, no unions with null, no patterns for
keys, and a bound on everything that a CEL rule may walk over. An unknown field is not listed, so it is pruned, or
refused where the client asks for that, as kubectl does. An empty default (`[]`, `""`, `false`) is left out: a field that
is not there means the same, and the stored object stays what the user wrote.
"""

from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel

from choregos_contract.quantities import DURATION_PATTERN, SIZE_PATTERN
from custom_resources.rules import LIST_KEYS, PATTERNS, RULES, Rule, of_keys

Schema = dict[str, Any]

_LENGTHS: Final = {DURATION_PATTERN: 51, SIZE_PATTERN: 21}
"""The longest text that these patterns let pass; the models need no other bound."""
_KEPT: Final = ("type", "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "enum", "maxItems")
_RULES: Final = "x-kubernetes-validations"
_INT_OR_STRING: Final = "x-kubernetes-int-or-string"


def structural(model: type[BaseModel]) -> Schema:
    """Return the structural schema of a model, with its rules; KeyError if a map has keys that nothing is said about."""
    whole = model.model_json_schema(by_alias=True)
    return _object(model.__name__, whole, whole.get("$defs", {}))


def with_rules(schema: Schema, rules: Iterable[Rule]) -> Schema:
    """Return a schema with rules after those that it has."""
    entries = [*schema.get(_RULES, ()), *(rule.as_schema() for rule in rules)]
    return schema | {_RULES: entries} if entries else schema


def defaulted(schema: Schema) -> Schema:
    """Return the schema of an object with the default that follows from those of its fields, if any has one.

    It is spelled out because the API server checks the rules of an object against its default as it stands.
    """
    found = {name: field["default"] for name, field in schema["properties"].items() if "default" in field}
    return schema | {"default": found} if found else schema


def _object(name: str, model: Schema, models: dict[str, Schema]) -> Schema:
    """Return the schema of the model of that name."""
    properties = {}
    for field, node in model["properties"].items():
        path = f"{name}.{field}"
        properties[field] = with_rules(_field(node, models), RULES.get(path, ()))
        if key := LIST_KEYS.get(path):
            properties[field] |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    found: Schema = {"description": model["description"], "type": "object", "properties": properties}
    if "required" in model:
        found["required"] = model["required"]
    return with_rules(found, RULES.get(name, ()))


def _field(node: Schema, models: dict[str, Schema]) -> Schema:
    """Return the schema of one field, or of what stands in a list or map."""
    content = _without_null(node)
    described = {"description": node["description"]} if "description" in node else {}
    found = described | _content(content, models) | described
    if "$ref" in content:
        return defaulted(found) if "default" in node else found
    return found | {"default": node["default"]} if node.get("default") else found


def _content(node: Schema, models: dict[str, Schema]) -> Schema:
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return _object(name, models[name], models)
    if "patternProperties" in node:
        return _map(node, models)
    pattern = node.get("pattern", "")
    found = _two_spellings() if _INT_OR_STRING in node else {}
    found |= {key: node[key] for key in _KEPT if key in node}
    if pattern in _LENGTHS:
        found["maxLength"] = _LENGTHS[pattern]
    if "items" in node:
        found |= {"items": _field(node["items"], models), "x-kubernetes-list-type": "atomic"}
    return with_rules(found, PATTERNS.get(pattern, ()))


def _map(node: Schema, models: dict[str, Schema]) -> Schema:
    """Return the schema of a map; OpenAPI has no word on keys, so a rule says it."""
    ((pattern, value),) = node["patternProperties"].items()
    found = {
        "type": "object",
        "maxProperties": node["maxProperties"],
        "additionalProperties": _field(value, models),
    }
    return with_rules(found, [of_keys(pattern, node["propertyNames"]["maxLength"])])


def _two_spellings() -> Schema:
    return {_INT_OR_STRING: True, "anyOf": [{"type": "integer"}, {"type": "string"}], "minimum": 1}


def _without_null(node: Schema) -> Schema:
    """Return what a field holds when it is there; that it may be left out is said by its not being required."""
    choices = [each for each in node.get("anyOf", ()) if each.get("type") != "null"]
    return choices[0] if len(choices) == 1 else node
