"""The lines of all sections, for people and for programs."""

import locale
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from choregos_cli.checks.catalogue import Level, Line
from choregos_cli.checks.choreographies import choreographies
from choregos_cli.checks.definitions import definitions
from choregos_cli.checks.facts import Facts
from choregos_cli.checks.flow import flow
from choregos_cli.checks.kubernetes import kubernetes
from choregos_cli.checks.nats import nats
from choregos_cli.checks.operator import operator
from choregos_cli.checks.pods import pods
from choregos_cli.checks.webhook import webhook
from choregos_cli.console import printable

SIGNS: Final = {Level.OK: "√", Level.WARNING: "‼", Level.FAILED: "\N{MULTIPLICATION SIGN}", Level.SKIPPED: "-"}
ASCII_SIGNS: Final = {Level.OK: "ok ", Level.WARNING: "!! ", Level.FAILED: "X  ", Level.SKIPPED: "-  "}
_COLOURS: Final = {Level.OK: "green", Level.WARNING: "bold yellow", Level.FAILED: "bold red", Level.SKIPPED: "dim"}


def lines_of(facts: Facts, max_lag: int) -> tuple[Line, ...]:
    """Return what all checks say, section by section."""
    sections = (kubernetes, definitions, operator, webhook, nats, choreographies, pods)
    return (*(line for section in sections for line in section(facts)), *flow(facts, max_lag))


def count(lines: Iterable[Line], level: Level) -> int:
    """Return how many lines are of a level."""
    return sum(line.level is level for line in lines)


def as_json(lines: tuple[Line, ...]) -> dict[str, Any]:
    """Return the result as one JSON document."""
    sections = [
        {"name": str(name), "checks": [_line_as_json(line) for line in of_section]}
        for name, of_section in groupby(lines, key=lambda line: line.check.section)
    ]
    names = {"failed": Level.FAILED, "warnings": Level.WARNING, "skipped": Level.SKIPPED}
    return {"sections": sections} | {name: count(lines, level) for name, level in names.items()}


def show(lines: tuple[Line, ...], console: Console) -> None:
    """Print the result."""
    signs = signs_for(console.encoding)
    for name, of_section in groupby(lines, key=lambda line: line.check.section):
        console.print(Text(str(name), style="bold"))
        console.print("-" * len(name))
        for line in of_section:
            for text in _texts(line, signs):
                console.print(text)
        console.print()
    console.print(_sum(lines))


def signs_for(encoding: str) -> Mapping[Level, str]:
    """Return the signs that an output of this encoding can show."""
    try:
        "".join(SIGNS.values()).encode(encoding or locale.getpreferredencoding())
    except (UnicodeEncodeError, LookupError):
        return ASCII_SIGNS
    return SIGNS


def _texts(line: Line, signs: Mapping[Level, str]) -> Iterator[Text]:
    sign = signs[line.level]
    yield Text.assemble((sign, _COLOURS[line.level]), " ", printable(line.says))
    if line.level in (Level.WARNING, Level.FAILED) or line.hint:
        margin = " " * (len(sign) + 1)
        if line.hint:
            yield Text.assemble(margin, ("hint:", "cyan"), " ", printable(line.hint))
        yield Text.assemble(margin, ("see", "cyan"), " ", line.check.see)


def _sum(lines: tuple[Line, ...]) -> Text:
    failed, warnings, skipped = (count(lines, each) for each in (Level.FAILED, Level.WARNING, Level.SKIPPED))
    parts = [f"{failed} failed", f"{warnings} warning{'' if warnings == 1 else 's'}", f"{skipped} skipped"]
    status = Level.FAILED if failed else Level.WARNING if warnings else Level.OK
    word = {Level.FAILED: "failed", Level.WARNING: "fine, with warnings", Level.OK: "fine"}[status]
    if status is not Level.FAILED and skipped:
        word = (
            f"{'nothing' if status is Level.OK else 'warnings, nothing else'} found wrong, and not all of it was seen"
        )
    return Text.assemble((word, _COLOURS[status]), ": " + ", ".join(parts))


def _line_as_json(line: Line) -> dict[str, Any]:
    return {
        "code": line.check.code,
        "level": str(line.level),
        "says": line.says,
        "hint": line.hint,
        "see": line.check.see,
    }
