"""What fields must be to one another, as far as CEL can say it: the rules that the API server itself enforces.

They hold where no webhook answers, and they are few on purpose: a rule stands here only if its refusal names the field,
what is wrong and the mend as well as the findings of `lint` do, because the API server tells it first. A rule that looks
at `oldSelf` guards what an edit may not change. The bounds of the models keep the estimated cost of each rule below half
of what the API server allows; a test says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from choregos_contract.quantities import DURATION_PATTERN, LONGEST, SIZE_PATTERN, format_duration
from choregos_contract.resources import EVENT_NAME, LABEL, START_FROM


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `x-kubernetes-validations`."""

    rule: str
    """What must be true, in CEL."""
    message: str
    """What is wrong, and the mend: a sentence, or the CEL that makes one if `spoken` is what it falls back to."""
    spoken: str = ""
    """The plain sentence, where `message` is CEL."""
    field: str = ""
    """The field to name, as a path from where the rule stands."""
    reason: str = ""
    """FieldValueForbidden, FieldValueDuplicate, or nothing for FieldValueInvalid."""

    def as_schema(self) -> dict[str, Any]:
        """Return the entry."""
        message = {"message": self.spoken or self.message}
        if self.spoken:
            message["messageExpression"] = self.message
        rest = {"fieldPath": self.field, "reason": self.reason}
        return {"rule": self.rule, **message, **{name: value for name, value in rest.items() if value}}


def _immutable(field: str, why: str, mend: str) -> Rule:
    what = f"{field} cannot be changed"
    return Rule(
        "self == oldSelf",
        f"'{what} from %s: {why}; {mend}'.format([oldSelf])",
        spoken=f"{what}: {why}; {mend}",
        reason="FieldValueForbidden",
    )


def _of_the_stream(field: str, why: str) -> Rule:
    return _immutable(field, why, "set it back, or make another EventBus and let this one run dry")


def _emitted(field: str) -> Rule:
    what = "which is not among the events that this reaction emits; add it to emits"
    return Rule(
        f"!has(self.{field}) || (has(self.emits) && self.{field} in self.emits)",
        f"'{field} names %s, {what}'.format([self.{field}])",
        spoken=f"{field} names an event {what}",
        field=f".{field}",
    )


def _declared(field: str, known: str, unknown: str) -> Rule:
    """Return the rule that services use declared events only.

    Both expressions follow a list of the service: `known` tells whether all its events are, `unknown` is the first that
    is not. The list is looked up again for the sentence because only then its bounds are known to who estimates costs.
    """
    right = f"!has(self.services[s].{field}) || self.services[s].{field}.{known}"
    wrong = f"self.services[self.services.filter(s, !({right}))[0]].{field}.{unknown}"
    # The braces, because the API server drops a key that has no value, as if it had not been written.
    mend = "is not declared; declare it under spec.events, with at least `{}`, or mend its name"
    return Rule(
        f"self.services.all(s, {right})",
        f"'the event %s {mend}'.format([{wrong}])",
        spoken=f"an event that a service uses {mend}",
        field=".services",
    )


_ONE_VERDICT: Final = Rule(
    "!has(self.reject) || !has(self.retryOn) || !self.reject.exists(status, status in self.retryOn)",
    "'the status %d stands in reject and in retryOn; keep it in one of them'"
    ".format([self.reject.filter(status, status in self.retryOn)[0]])",
    spoken="the same status stands in reject and in retryOn; keep it in one of them",
    field=".retryOn",
)
_UNDOABLE: Final = "!has(r.compensates) || (r.compensates != r.event && r.compensates in events)"
_LABEL_MEND: Final = "write at most 63 lower-case letters, digits and -, beginning and ending with a letter or digit"


def _milliseconds(text: str) -> str:
    """Return the CEL that reads a duration; CEL knows no days, so they are taken off and counted apart."""
    day = f"{text}.indexOf('d')"
    days = f"({day} < 0 ? 0 : int({text}.substring(0, {day})) * 86400000)"
    return f"{days} + duration({text}.substring({day} + 1) + '0s').getMilliseconds()"


RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "EventBus": (
        Rule(
            "size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')",
            f"metadata.name, the name of an EventBus, is not a DNS label; {_LABEL_MEND}",
        ),
    ),
    "StreamSpec": (
        Rule(
            f"{_milliseconds('self.duplicateWindow')} <= {_milliseconds('self.maxAge')}",
            "duplicateWindow is longer than maxAge; shorten it, the stream remembers no longer than it keeps",
            field=".duplicateWindow",
        ),
    ),
    "StreamSpec.prefix": (_of_the_stream("prefix", "every name on the bus begins with it"),),
    "StreamSpec.storage": (_of_the_stream("storage", "a stream never changes where it is kept"),),
    "StreamSpec.partitions": (_of_the_stream("partitions", "the subjects of all events were made with it"),),
    "StreamSpec.shards": (_of_the_stream("shards", "the subjects of all events were made with it"),),
    "Delivery": (_ONE_VERDICT,),
    "DeliveryOverrides": (_ONE_VERDICT,),
    "Reaction": (_emitted("onSuccess"), _emitted("onFailure")),
    "Reaction.startFrom": (_immutable("startFrom", "the reaction has a position by now", "set it back"),),
    "Service": (
        Rule(
            f"!has(self.reactions) || [self.reactions.map(r, r.event)].all(events, self.reactions.all(r, {_UNDOABLE}))",
            "'compensates names %s, which this service has no other reaction to; name an event that it reacts to'.format("
            "[[self.reactions.map(r, r.event)].map(events, self.reactions.filter(r, !("
            f"{_UNDOABLE}))[0].compensates)[0]])",
            spoken="compensates names an event that this service has no other reaction to; name one that it reacts to",
            field=".reactions",
        ),
    ),
    "ChoreographySpec": (
        _declared("emits", "all(e, e in self.events)", "filter(e, !(e in self.events))[0]"),
        _declared("reactions", "all(r, r.event in self.events)", "filter(r, !(r.event in self.events))[0].event"),
        _declared(
            "reactions",
            "all(r, !has(r.emits) || r.emits.all(e, e in self.events))",
            "map(r, has(r.emits), r.emits.filter(e, !(e in self.events))).filter(es, es.size() > 0)[0][0]",
        ),
    ),
}
"""The rules of a model, or of one field (`Model.field`)."""

PATTERNS: Final[Mapping[str, tuple[Rule, ...]]] = {
    DURATION_PATTERN: (
        Rule("self.matches('[1-9]')", "too short; write at least 1ms"),
        Rule(
            f"{_milliseconds('self')} <= {round(LONGEST * 1000)}",
            f"too long; write at most {format_duration(LONGEST)}",
        ),
    ),
    SIZE_PATTERN: (Rule("type(self) == int || self.matches('[1-9]')", "too small; write at least 1 byte"),),
    START_FROM: (
        Rule(
            "self in ['created', 'all'] || timestamp(self.upperAscii()) > timestamp('0001-01-01T00:00:00Z')",
            "this day or hour does not exist; write a time such as 2026-01-31T12:00:00Z",
        ),
    ),
}
"""The rules of every field with that pattern."""

LIST_KEYS: Final[Mapping[str, str]] = {
    "Service.reactions": "event",
    "ChoreographyStatus.conditions": "type",
    "ChoreographyStatus.orphaned": "reaction",
    "EventBusStatus.conditions": "type",
    "EventBusStatus.orphaned": "reaction",
}
"""Lists whose entries are known by a field of theirs, so that an edit of one entry can be told from another entry."""

_KEY_MENDS: Final = {
    EVENT_NAME: "begin with a letter; then letters, digits, _ and -, in up to 16 parts separated by single dots",
    LABEL: _LABEL_MEND,
}


def of_keys(pattern: str, longest: int) -> Rule:
    """Return the rule for the keys of a map."""
    mend = _KEY_MENDS[pattern]
    right = f"size(key) <= {longest} && key.matches('{pattern}')".replace("\\", "\\\\")
    return Rule(
        f"self.all(key, {right})",
        f"'%s cannot stand here; {mend}'.format([self.filter(key, !({right}))[0]])",
        spoken=f"a name cannot stand here; {mend}",
    )
