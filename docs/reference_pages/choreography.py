"""The page of every field of a Choreography and of an EventBus."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from choregos_contract import resources
from choregos_contract.event_bus import EventBus
from choregos_contract.quantities import DURATION_PATTERN, SIZE_PATTERN
from choregos_contract.resources import API_VERSION, Choreography, Resource
from reference_pages.markdown import code, page, table

Schema = dict[str, Any]

_TEXTS: Final = {
    resources.EVENT_NAME: ("event name", "such as `OrderPlaced`; dots are allowed: `shop.order.placed`"),
    resources.LABEL: ("DNS label", "such as `payment`"),
    resources.SUBDOMAIN: ("DNS name", "such as `payment` or `nats.example.com`"),
    resources.PREFIX: ("prefix", "such as `choregos`"),
    resources.PATH: ("path", "such as `/payments?mode=fast`"),
    resources.SERVER: ("server", "such as `nats://nats.nats:4222`"),
    resources.START_FROM: ("start", "`created`, `all`, or a time such as `2026-01-02T03:04:05Z`"),
    DURATION_PATTERN: ("duration", "whole numbers with units, largest first: `500ms`, `30s`, `1h30m`, `7d`; not zero"),
    SIZE_PATTERN: ("size", "bytes: `65536`, or `64Ki`, `1Mi`, `1M`; not zero"),
}


def choreography() -> str:
    """Return the page."""
    return page(
        "Choreography and EventBus",
        f"""
The two kinds of `{API_VERSION}`, field by field. A field that is not listed is refused, and no field or value is one that YAML
1.1 takes for a boolean. What fields must be to one another is told by the [lint codes](../lint-codes.md).

This release reads `idempotency` and does not act on it yet: lint says so. `servers` and `tls` of an `EventBus` are for the
[operator](../concepts/operator.md): `choregos up` takes `--nats`. `compensates` and `description` change nothing at run time;
they are there for lint, for drawings and for readers.""",
        *_kind(Choreography),
        *_kind(EventBus),
        "## Texts",
        table(("text", "what it is"), _TEXTS.values()),
        "As regular expressions:",
        "\n".join(("```text", *(f"{name:<12} {pattern}" for pattern, (name, _) in _TEXTS.items()), "```")),
    )


def _kind(model: type[Resource]) -> Iterator[str]:
    schema = model.model_json_schema(by_alias=True)
    yield f"## {model.__name__}"
    yield schema["description"]
    yield from _section(schema, schema["$defs"], "", frozenset())


def _section(model: Schema, models: dict[str, Schema], path: str, above: frozenset[str]) -> Iterator[str]:
    """Yield the table of a model, then those of the models in its fields."""
    required = model.get("required", ())
    fields = {name: field for name, field in model["properties"].items() if name != "status"}
    if path:
        yield f"### `{path}`"
        yield model["description"]
    yield table(
        ("field", "type", "default", "meaning"),
        (
            (code(name), _type(field), _default(name, field, required), field.get("description", ""))
            for name, field in fields.items()
        ),
    )
    for name, field in fields.items():
        for target, suffix in _targets(field):
            if target == "DeliveryOverrides":
                yield f"### `{path}.{name}`"
                yield """
The fields of `spec.delivery`; what is left out is as it is there. A status that stands in `reject` or `retryOn` here leaves the
other list of `spec.delivery`."""
            elif target not in above:
                yield from _section(models[target], models, f"{path}.{name}{suffix}".strip("."), above | {target})


def _targets(field: Schema) -> Iterator[tuple[str, str]]:
    """Yield the models that a field holds, each with what follows the field's name in a path."""
    for each in (field, *field.get("anyOf", ())):
        if "$ref" in each:
            yield each["$ref"].rpartition("/")[2], ""
        if "$ref" in each.get("items", {}):
            yield each["items"]["$ref"].rpartition("/")[2], "[]"
        for value in each.get("patternProperties", {}).values():
            if "$ref" in value:
                yield value["$ref"].rpartition("/")[2], ".NAME"


def _type(field: Schema) -> str:
    if field.get("pattern") in _TEXTS:
        return _TEXTS[field["pattern"]][0] + _most(field, "maxLength", ", at most {} characters")
    if "anyOf" in field:
        return _type(next(each for each in field["anyOf"] if each.get("type") != "null"))
    if "const" in field or "enum" in field:
        return " or ".join(map(code, field.get("enum", (field.get("const"),))))
    return _TYPES[field.get("type", "object")](field)


def _integer(field: Schema) -> str:
    return f"{field['minimum']} to {field['maximum']}" if "maximum" in field else "number"


def _map(field: Schema) -> str:
    if "patternProperties" not in field:
        return "map of text to text" if "additionalProperties" in field else "object"
    ((pattern, value),) = field["patternProperties"].items()
    return f"map of {_TEXTS[pattern][0]} to {_type(value)}" + _most(field, "maxProperties", "; at most {}")


def _most(field: Schema, bound: str, text: str) -> str:
    return text.format(field[bound]) if bound in field else ""


_TYPES: Final[dict[str, Callable[[Schema], str]]] = {
    "array": lambda field: f"list of {_type(field['items'])}" + _most(field, "maxItems", "; at most {}"),
    "boolean": lambda _: "`true` or `false`",
    "integer": _integer,
    "object": _map,
    "string": lambda field: "text" + _most(field, "maxLength", ", at most {} characters"),
}


def _default(name: str, field: Schema, required: object) -> str:
    assert isinstance(required, tuple | list)
    if name in required:
        return "**required**"
    default = field.get("default")
    if default is None or default == "" or isinstance(default, dict):
        return ""
    return "none" if default == [] else code(default if isinstance(default, str) else json.dumps(default))
