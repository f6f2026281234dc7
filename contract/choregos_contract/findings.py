"""What a check has to say: a stable code, a place in the document, what is wrong there, and how to mend it.

`CATALOGUE` is the one list of codes. A code never changes its meaning; the reference documentation is generated from it.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

DocumentPath = tuple[str | int, ...]
"""Keys and indices from the root of a document, such as `("spec", "services", "package", "port")`."""


class Severity(StrEnum):
    """Whether a finding refuses the document."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of the catalogue."""

    code: str
    severity: Severity
    summary: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and how to mend it; line and column count from 1."""

    code: str
    severity: Severity
    path: DocumentPath
    message: str
    hint: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    resource: str | None = None
    """The object that `path` starts from, as `Kind/namespace/name`."""

    @property
    def place(self) -> str:
        """The path as text, such as `spec.services.package.reactions[1].emits[0]`."""
        return render_path(self.path)

    def __str__(self) -> str:
        position = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        where = " ".join(part for part in (position, self.place) if part)
        return f"{where}: {self.severity} {self.code}: {self.message}; {self.hint}"


_ERRORS: Final = {
    "yaml-syntax": "The text is not YAML.",
    "tab-indentation": "A tab indents a line; YAML allows only spaces there.",
    "duplicate-key": "A mapping holds the same key twice.",
    "boolean-key": "YAML 1.1, which kubectl reads, takes a key such as `on` or `yes` for a boolean.",
    "empty-document": "The text holds no resource.",
    "duplicate-resource": "One file holds the same object twice.",
    "too-large": "The document is larger than any choreography.",
    "unknown-version": "The apiVersion is not one that this release knows.",
    "unknown-kind": "The kind is not one that this release knows.",
    "unknown-field": "A field that does not exist at this place.",
    "not-in-v1alpha1": "A field or kind that is planned, but not in v1alpha1.",
    "missing-field": "A field that must be given is not.",
    "wrong-type": "A value of the wrong type, such as a text where a list belongs.",
    "invalid-value": "A value outside of what the field allows.",
    "invalid-name": "A name that the bus or Kubernetes would not accept.",
    "invalid-path": "An HTTP path that cannot be requested.",
    "invalid-port": "A number that is no TCP port.",
    "invalid-duration": "A duration that cannot be read.",
    "invalid-size": "A size that cannot be read.",
    "unknown-event": "An event is used that `spec.events` does not declare.",
    "duplicate-reaction": "One service reacts twice to one event.",
    "not-in-emits": "`onSuccess` or `onFailure` is not among the events that the reaction emits.",
    "compensates-nothing": "A reaction compensates an event that its service does not react to.",
    "never-emitted": "An event that nothing here emits and that is not external.",
    "endless-cycle": "Events cause one another in a circle that nothing leaves.",
    "outcome-out-of-reach": "Outcomes are declared, but a transaction that begins here reaches none.",
}
_WARNINGS: Final = {
    "no-outcome": "No event is an outcome, so no transaction is ever completed or failed.",
    "unheard-event": "Nobody reacts to an event that is no outcome.",
    "cycle-with-exit": "Events cause one another in a circle; it ends only if a service decides so.",
    "command-like-name": "An event is named as an order; an event is a fact, in the past tense.",
    "uncompensated": "A service acts before another may fail for good, and nothing undoes what it did.",
    "unreachable-reaction": "Reactions that no entry leads to.",
    "long-chain": "A transaction passes through more than eight reactions in a row.",
    "short-duplicate-window": "A retry may come after the stream has forgotten that it stored the replies.",
    "short-inbox-ttl": "The inbox forgets an event before the bus stops delivering it, or knowing its duplicates.",
    "useless-ignore": "The ignore annotation names a code that does not exist or cannot be silenced.",
    "nobody-emits": "No choreography of this namespace and bus emits an event that is declared external.",
    "claimed-twice": "Two choreographies claim the same reaction; the older one keeps it.",
    "conflicting-port": "Two choreographies name different ports for one service.",
    "conflicting-bus": "Two choreographies put one service on different buses.",
}

CATALOGUE: Final[Mapping[str, Rule]] = MappingProxyType(
    {code: Rule(code, Severity.ERROR, summary) for code, summary in _ERRORS.items()}
    | {code: Rule(code, Severity.WARNING, summary) for code, summary in _WARNINGS.items()}
)


def finding(code: str, path: DocumentPath, message: str, hint: str) -> Finding:
    """Return a finding with the severity that the catalogue gives its code; KeyError if it has no entry there."""
    return Finding(code, CATALOGUE[code].severity, path, _in_one_line(message), _in_one_line(hint))


def _in_one_line(text: str) -> str:
    """Spell out what a quoted value may hold: a finding is one line wherever it is written."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def render_path(path: DocumentPath) -> str:
    """Return a path as a reader would write it; keys that are no plain words are quoted in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", part):
            text += f".{part}" if text else part
        else:
            text += f'["{_in_one_line(part)}"]'
    return text


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, or None."""
    by_lower = {name.lower().replace("_", ""): name for name in known}
    matches = difflib.get_close_matches(word.lower().replace("_", ""), by_lower, n=1, cutoff=0.7)
    return by_lower[matches[0]] if matches else None
