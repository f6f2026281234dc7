"""The pages of the lines that an ambassador and the operator log, read from their source."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Final

import choregos_ambassador
import choregos_operator
from reference_pages.markdown import code, explained, page, table
from reference_pages.source import Call, calls, sentence

LEVELS: Final = ("debug", "info", "warning", "error")
_METHODS: Final = tuple(f"{log}.{name}" for log in ("log", "log.log") for name in (*LEVELS, "exception"))
"""How a line is logged; `log` is the logger, or the module that holds it."""


@dataclass
class _Line:
    """One message: its levels, its fields, and the modules that write it."""

    levels: set[str] = field(default_factory=set)
    fields: dict[str, None] = field(default_factory=dict)
    modules: set[Path] = field(default_factory=set)

    @property
    def cells(self) -> tuple[str, str]:
        """Levels and fields."""
        return " or ".join(level for level in LEVELS if level in self.levels), ", ".join(map(code, self.fields))


def logs() -> str:
    """Return the page of the ambassador."""
    return page(
        "Log lines of the ambassador",
        """
One JSON object a line, on standard output. Every line has `message`, `level`, `time` (RFC 3339, UTC) and, from the first
configuration on, `service`. A field without a value is left out. Ids, types, statuses and errors are logged; the data of an
event is not, and neither is what a service answers: `said`, the start of an error answer, is there only with
`CHOREGOS_LOG_ANSWERS=1`, since a service may well repeat in it what it was sent. The dead letter has it always.""",
        table(
            ("message", "level", "further fields"),
            ((code(message), *line.cells) for message, line in sorted(_lines(choregos_ambassador).items())),
        ),
        """
`hop` is the end of one delivery of one event: `info` if it went well, and then only with `CHOREGOS_LOG_EVENTS=1`; `warning`
otherwise. Its `verdict` and `reason` are the values of the [metrics](metrics.md). `bug` should not be seen: report it.""",
    )


def operator_logs() -> str:
    """Return the page of the operator."""
    lines = _lines(choregos_operator)
    meanings = dict(explained(sorted(lines), _OPERATOR))
    return page(
        "Log lines of the operator",
        """
One JSON object a line, on standard output, of both processes. Every line has `message`, `level` and `time` (RFC 3339, UTC). A
field without a value is left out. Names and sentences are logged, never a whole object. `CHOREGOS_LOG_LEVEL` sets the lowest
level; at `debug` the lines of the libraries come with ours, otherwise only their warnings. A line with a traceback has it in
`exception`. The ambassadors' lines are on [a page of their own](logs.md).""",
        *_sections(lines, meanings),
        """
What the controller finds about a choreography or a pod is in [conditions and Events](conditions.md), which last longer than a
log. `failed`, `a pass broke` and `an object cannot be looked at` are defects: report them with their traceback.""",
    )


def _sections(lines: Mapping[str, _Line], meanings: Mapping[str, str]) -> Iterator[str]:
    by_process: dict[str, dict[str, _Line]] = {"Both processes": {}, "The controller": {}, "The webhook": {}}
    for message, line in sorted(lines.items()):
        by_process[_process(line.modules)][message] = line
    for heading, theirs in by_process.items():
        yield f"## {heading}"
        yield table(
            ("message", "level", "further fields", "meaning"),
            ((code(message), *line.cells, meanings[message]) for message, line in theirs.items()),
        )


def _process(modules: Iterable[Path]) -> str:
    """Tell from where a line is written which process writes it; the lease and the certificate are the controller's."""
    rooms = {path.parts[0] for path in modules}
    if rooms <= {"webhook"}:
        return "The webhook"
    return "The controller" if rooms <= {"bus", "certificates", "controller", "lease.py"} else "Both processes"


def _lines(package: ModuleType) -> dict[str, _Line]:
    """Return every line that a package logs, by its message."""
    directory = Path(inspect.getfile(package)).parent
    lines: dict[str, _Line] = {}
    for path in sorted(directory.rglob("*.py")):
        for call in calls(path, "tell", *_METHODS):
            line = lines.setdefault(sentence(call.arguments[0], call.within), _Line())
            line.levels |= _levels(call)
            line.fields |= dict.fromkeys(name for name in call.keywords if name != "exc_info")
            line.modules.add(path.relative_to(directory))
    return lines


def _levels(call: Call) -> set[str]:
    """Return the level of a call; `tell` is what the ambassador's `report` calls one of two."""
    name = call.name.rpartition(".")[2]
    return {"info", "warning"} if name == "tell" else {"error" if name == "exception" else name}


_OPERATOR: Final = {
    "a pass broke": "A defect: the look at this bus ended in an error. It is tried again after so many `seconds`.",
    "an event is not written": "The API server refuses Kubernetes Events, told once while it lasts: a right is missing, or a "
    "quota is used up.",
    "an object cannot be looked at": "A defect that this object brings to light. It counts as invalid; all others go on.",
    "certificate": "`info`: the webhook serves a certificate, up to then. `warning`: its files cannot be used; the last ones "
    "are `served` on, if there were any.",
    "coming again": "A look at this bus could not be finished, for the `reason`; the next is after so many `seconds`.",
    "event": "A Kubernetes Event was written: about whom, and what it says.",
    "failed": "A defect: the object was answered with 500. The API server does as the webhook's `failurePolicy` says.",
    "holding the lease": "This controller works from now on.",
    "listening": "The webhook serves admissions there.",
    "malformed": "Somebody who is not the API server posted, or another version of it: answered with 400.",
    "probes": "Probes and metrics are served there.",
    "refused": "An object was refused, and `why`, as its author was told.",
    "stopped": "The process has ended in order.",
    "stopping": "A signal came; a second one ends the process at once.",
    "the lease could not be reached": "The API server does not answer, or a right is missing: told once for each `reason`. Until the Lease runs out, its holder works on.",
    "the watch has ended": "A kind or a right is gone, or the watch broke: the `reason`. It begins again once everything can be listed.",
    "waiting for the API server": "It does not answer, a right is missing or the resources are not installed: the `reason`. It "
    "goes on by itself.",
    "waiting for the lease": "Another controller, the `holder`, works; this one takes over when it is gone.",
    "webhook certificate": "`info`: a `step` towards the next certificate or authority was taken. `warning`: none could be, for "
    "the `reason`: [the certificate](../operations/certificates.md).",
}
