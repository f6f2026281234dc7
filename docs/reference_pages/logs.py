"""The page of the lines that an ambassador logs, read from its source."""

import inspect
from pathlib import Path

import choregos_ambassador
from reference_pages.markdown import code, page, table
from reference_pages.source import Call, calls, sentence

LEVELS = ("debug", "info", "warning", "error")


def logs() -> str:
    """Return the page."""
    directory = Path(inspect.getfile(choregos_ambassador)).parent
    lines: dict[str, tuple[set[str], dict[str, None]]] = {}
    for path in sorted(directory.glob("*.py")):
        for call in calls(path, "tell", *(f"log.{level}" for level in LEVELS)):
            levels, fields = lines.setdefault(sentence(call.arguments[0], call.within), (set(), {}))
            levels |= _levels(call)
            fields |= dict.fromkeys(name for name in call.keywords if name != "exc_info")
    return page(
        "Log lines of the ambassador",
        """
One JSON object a line, on standard output. Every line has `message`, `level`, `time` (RFC 3339, UTC) and, from the first
configuration on, `service`. A field without a value is left out. Ids, types, statuses and errors are logged; the data of an
event is not, and neither is what a service answers: `said`, the start of an error answer, is there only with
`CHOREGOS_LOG_ANSWERS=1`, since a service may well repeat in it what it was sent. The dead letter has it always.""",
        table(
            ("message", "level", "further fields"),
            (
                (code(message), " or ".join(level for level in LEVELS if level in levels), ", ".join(map(code, fields)))
                for message, (levels, fields) in sorted(lines.items())
            ),
        ),
        """
`hop` is the end of one delivery of one event: `info` if it went well, and then only with `CHOREGOS_LOG_EVENTS=1`; `warning`
otherwise. Its `verdict` and `reason` are the values of the [metrics](metrics.md). `bug` should not be seen: report it.""",
    )


def _levels(call: Call) -> set[str]:
    """Return the level of a call; `tell` is what `report` calls one of two."""
    return {"info", "warning"} if call.name == "tell" else {call.name.removeprefix("log.")}
