"""`choregos lint FILE...`: every finding with its line and its mend, for people and for programs."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from choregos_cli.console import output, print_json, printable
from choregos_cli.documents import Examined, examine
from choregos_cli.errors import ExitCode
from choregos_contract.findings import Finding, Severity

_COLOURS = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}


def command(
    files: Annotated[list[str], typer.Argument(help="Files, directories, or `-` for stdin.", metavar="FILE...")],
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings fail, too.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Check choreographies and buses, offline.

    Files that are given together are also checked against one another. Of a directory, every *.yaml and *.yml below
    it that mentions choregos.dev is read; documents of other kinds are passed over.
    """
    examined = examine(files)
    if json_:
        print_json(as_json(examined))
    else:
        show(examined, output())
    failed = examined.errors or (strict and examined.warnings)
    return ExitCode.REFUSED if failed else ExitCode.FINE


def as_json(examined: Examined) -> dict[str, Any]:
    """Return the findings as one JSON document."""
    fields = ("file", "line", "column", "code", "severity", "message", "hint")
    findings = [{"path": found.place} | {name: getattr(found, name) for name in fields} for found in examined.findings]
    return {"findings": findings, "errors": examined.errors, "warnings": examined.warnings}


def show(examined: Examined, console: Console) -> None:
    """Print the findings and their sum."""
    for found in examined.findings:
        _show_one(found, examined.texts.get(found.file or "", ""), console)
    where = f"in {_counted(len(examined.texts), 'file')}"
    if examined.findings:
        console.print(f"{_counted(examined.errors, 'error')}, {_counted(examined.warnings, 'warning')} {where}")
    elif resources := len(examined.choreographies) + len(examined.buses):
        console.print(Text.assemble(("fine", "green"), f": {_counted(resources, 'resource')} {where}"))
    else:
        console.print(f"nothing to check: no choreography and no bus {where}")


def _show_one(found: Finding, text: str, console: Console) -> None:
    where = ":".join(str(part) for part in (found.file, found.line, found.column) if part is not None)
    label = (f"{found.severity}[{found.code}]", _COLOURS[found.severity])
    console.print(Text.assemble((printable(where), "bold"), ": ", label, " ", printable(found.message)))
    lines = text.splitlines()
    if console.is_terminal and found.line is not None and found.line <= len(lines):
        _show_line(lines[found.line - 1], found.line, found.column or 1, console)
    console.print(Text.assemble("  ", ("hint:", "cyan"), " ", printable(found.hint)))


def _show_line(line: str, number: int, column: int, console: Console) -> None:
    """Print the source line with a caret below the column; tabs become one space so that the caret stands right."""
    margin = f"{number:>6} | "
    console.print(Text.assemble((margin, "dim"), printable(line.expandtabs(1))))
    console.print(Text.assemble((" " * (len(margin) - 2) + "| ", "dim"), " " * (column - 1), ("^", "bold")))


def _counted(number: int, one: str) -> str:
    return f"{number} {one}{'' if number == 1 else 's'}"
