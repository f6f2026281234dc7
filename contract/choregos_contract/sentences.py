"""What the models refuse, said in our own words: one finding for each mistake, with the mend.

The models validate, this module explains. It is the only place that knows pydantic's error types; a type that it does
not know yet is still told as a finding, never shown raw.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from choregos_contract import resources
from choregos_contract.findings import DocumentPath, Finding, closest, finding
from choregos_contract.quantities import DurationError, QuantityError
from choregos_contract.source import Document

_LABEL_HINT: Final = "write at most 63 lower-case letters, digits and -, beginning and ending with a letter or digit"
_PATTERNS: Final = {
    resources.EVENT_NAME: (
        "invalid-name",
        "is no name for an event",
        "begin with a letter; then letters, digits, _ and -, in up to 16 parts separated by single dots",
    ),
    resources.LABEL: ("invalid-name", "is not a DNS label", _LABEL_HINT),
    resources.SUBDOMAIN: ("invalid-name", "is not a DNS name", "write lower-case letters, digits, - and single dots"),
    resources.PREFIX: ("invalid-name", "is no prefix", "write at most 16 lower-case letters, digits and -"),
    resources.PATH: ("invalid-path", "is not an HTTP path", 'begin with "/"; leave out spaces and "#"'),
    resources.SERVER: (
        "invalid-value",
        "is no NATS server",
        'write one such as "nats://nats.nats:4222"; user and password belong into the Secret choregos-bus-<bus>',
    ),
    resources.START_FROM: (
        "invalid-value",
        "is no place to start from",
        'write created, all, or a time such as "2026-01-31T12:00:00Z"',
    ),
}
_TYPES: Final = {
    "string_type": ("a text", "write a text"),
    "int_type": ("a whole number", "write a whole number, without quotes"),
    "bool_type": ("true or false", "write true or false, without quotes"),
    "tuple_type": ("a list", "write a list, such as [A, B]"),
    "dict_type": ("a mapping", "write its fields below it, or {} if it needs none"),
    "model_type": ("a mapping", "write its fields below it, or {} if it needs none"),
}
_RULES: Final[dict[str, tuple[DocumentPath, str, str]]] = {
    "both_ways": (("retryOn",), "the same status stands in reject and in retryOn", "keep it in one of them"),
    "window_beyond_age": (
        ("duplicateWindow",),
        "duplicateWindow is longer than maxAge",
        "shorten it; the stream remembers no longer than it keeps",
    ),
    "small_inbox": (
        ("maxBytes",),
        "the inbox has less than 1Mi, and would forget a large answer at once",
        "write 1Mi or more; 256Mi is the default",
    ),
    "bus_name": (("metadata", "name"), "the name of an EventBus is not a DNS label", _LABEL_HINT),
    "moment": ((), "this day or hour does not exist", 'write a time such as "2026-01-31T12:00:00Z"'),
}
_PLANNED: Final = frozenset(
    "namespace grpc protocol when schema order join deadline outbox publish dataschema expirytime dataref".split()  # noqa: SIM905 - a list of words
)


def explain(error: ValidationError, model: type[BaseModel], document: Document) -> list[Finding]:
    """Return the findings that stand for what `model` refused in a document."""
    details = error.errors(include_url=False)
    misspelt = set(_misspelt(details, model))
    return [
        _explain(each, model, document)
        for each in details
        if not (each["type"] == "missing" and each["loc"] in misspelt)
    ]


def _misspelt(details: Iterable[ErrorDetails], model: type[BaseModel]) -> Iterator[DocumentPath]:
    """Yield the paths that unknown fields were probably meant for; that those are missing is the same mistake."""
    for each in details:
        if each["type"] == "extra_forbidden":
            *around, name = each["loc"]
            fields = _fields(_model_at(model, tuple(around)))
            if meant := closest(str(name), fields):
                yield (*around, meant)
            elif section := _section(fields, str(name)):
                yield (*around, section, name)


def _explain(error: ErrorDetails, model: type[BaseModel], document: Document) -> Finding:
    path: DocumentPath = tuple(part for part in error["loc"] if part != "[key]")
    match error["type"]:
        case "extra_forbidden":
            return _unknown_field(path, _model_at(model, path[:-1]))
        case "missing":
            return finding("missing-field", path, f'the field "{path[-1]}" is missing', f'add "{path[-1]}"')
        case kind if kind in _TYPES:
            return _wrong_type(path, kind, error["input"], document)
        case kind if kind in _RULES:
            field, message, hint = _RULES[kind]
            return finding("invalid-value", (*path, *field), message, hint)
        case "value_error" | "string_pattern_mismatch":
            return _unreadable(path, error)
        case _:
            return _out_of_bounds(path, error)


def _unknown_field(path: DocumentPath, model: type[BaseModel]) -> Finding:
    name, fields = str(path[-1]), _fields(model)
    if name in _PLANNED:
        return finding("not-in-v1alpha1", path, f'the field "{name}" is not in v1alpha1', "remove it")
    if meant := closest(name, fields):
        return finding("unknown-field", path, f'there is no field "{name}" here', f'did you mean "{meant}"?')
    if section := _section(fields, name):
        return finding("unknown-field", path, f'there is no field "{name}" here', f'put it under "{section}"')
    hint = f"remove it, or use one of {', '.join(sorted(fields))}"
    return finding("unknown-field", path, f'there is no field "{name}" here', hint)


def _unreadable(path: DocumentPath, error: ErrorDetails) -> Finding:
    context = error.get("ctx", {})
    if isinstance(quantity := context.get("error"), QuantityError):
        code = "invalid-duration" if isinstance(quantity, DurationError) else "invalid-size"
        return finding(code, path, quantity.problem, quantity.mend)
    if context.get("pattern") in _PATTERNS:
        code, message, hint = _PATTERNS[context["pattern"]]
        holds_password = context["pattern"] == resources.SERVER and "@" in error["input"]
        # Findings go to logs and into a status, where a password has no place.
        subject = "a URL with a user, a password or a token" if holds_password else _quoted(error["input"])
        return finding(code, path, f"{subject} {message}", hint)
    return _out_of_bounds(path, error)


def _wrong_type(path: DocumentPath, kind: str, value: object, document: Document) -> Finding:
    wanted, hint = _TYPES[kind]
    written = document.place(path).text
    if kind == "string_type" and isinstance(value, bool):
        word = written or str(value).lower()
        return finding("wrong-type", path, f"YAML reads {word} as a boolean", f'put it in quotes, "{word}"')
    if kind == "string_type" and isinstance(value, int | float):
        return finding(
            "wrong-type", path, f"{value} is a number, not a text", f'put it in quotes, "{written or value}"'
        )
    if kind == "int_type" and path[-1] == "port":
        return finding(
            "invalid-port", path, f"{_quoted(value)} is no port", "write a number from 1 to 65535, without quotes"
        )
    if kind == "tuple_type" and isinstance(value, str):
        return finding("wrong-type", path, f"{_quoted(value)} is not a list", f"write [{value[:60]}]")
    return finding("wrong-type", path, f"{_quoted(value)} is not {wanted}", hint)


def _out_of_bounds(path: DocumentPath, error: ErrorDetails) -> Finding:
    value, context = error["input"], error.get("ctx", {})
    if error["type"] == "literal_error":
        return _no_choice(path, str(value), str(context["expected"]))
    if error["type"] in ("greater_than_equal", "less_than_equal"):
        if path[-1] == "port":
            return finding("invalid-port", path, f"{value} is no port", "write a number from 1 to 65535")
        side, bound = ("least", context["ge"]) if "ge" in context else ("most", context["le"])
        return finding("invalid-value", path, f"{value} is out of bounds", f"write at {side} {bound}")
    if error["type"] == "string_too_long":
        code = (
            "invalid-name" if error["loc"][-1] == "[key]" or path[-1] in ("event", "name", "bus") else "invalid-value"
        )
        return finding(code, path, f"{_quoted(value)} is too long", f"write at most {context['max_length']} characters")
    if error["type"] == "too_long":
        return finding("invalid-value", path, "there are too many of these", f"write at most {context['max_length']}")
    return finding("invalid-value", path, f"{_quoted(value)} cannot stand here", "see the reference of this field")


def _no_choice(path: DocumentPath, value: str, expected: str) -> Finding:
    choices = expected.replace("'", "").replace(" or ", ", ").split(", ")
    meant = closest(value, choices)
    hint = f'did you mean "{meant}"?' if meant else f"write {' or '.join(choices)}"
    return finding("invalid-value", path, f"{_quoted(value)} is none of the choices here", hint)


def _quoted(value: object) -> str:
    """Return a value as a reader of the document knows it, cut to a line's length."""
    if value is None:
        return "an empty value"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _section(fields: dict[str, type[BaseModel] | None], name: str) -> str | None:
    """Return the field under which a field of this name exists."""
    return next((around for around, inner in fields.items() if inner and name in _fields(inner)), None)


def _fields(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """Return the fields of a model as they are written in a document, each with the model inside it, if there is one."""
    return {field.alias or name: _inner(field.annotation) for name, field in model.model_fields.items()}


def _inner(annotation: Any) -> type[BaseModel] | None:
    """Find the model in an annotation such as `Delivery | None`, `tuple[Reaction, ...]` or `dict[str, Service]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in reversed(get_args(annotation)) if (found := _inner(part))), None)


def _model_at(model: type[BaseModel], path: DocumentPath) -> type[BaseModel]:
    """Return the model that describes the mapping at a path; indices and free keys lead nowhere by themselves."""
    rest = iter(path)
    for part in rest:
        annotation = next((f.annotation for n, f in model.model_fields.items() if part in (n, f.alias)), None)
        if inner := _inner(annotation):
            model = inner
            if not _is_model(annotation):
                next(rest, None)
    return model


def _is_model(annotation: Any) -> bool:
    """Tell a model, or an optional one, from a list or mapping of models, which takes an index or key to enter."""
    return all(isinstance(part, type) and not get_args(part) for part in (get_args(annotation) or (annotation,)))
