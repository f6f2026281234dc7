"""`choregos graph FILE...`: the choreography as a picture, drawn from the files alone."""

import sys
from typing import Annotated

import typer

from choregos_cli.console import complaints
from choregos_cli.documents import examine
from choregos_cli.errors import ExitCode, RefusedError
from choregos_cli.lint import show
from choregos_contract.diagrams import Format, render
from choregos_contract.graph import graph_of, scopes


def command(
    files: Annotated[list[str], typer.Argument(help="Files, directories, or `-` for stdin.", metavar="FILE...")],
    *,
    to: Annotated[Format, typer.Option("--format", help="The language of the drawing.")] = "mermaid",
    json_: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> int:
    """Draw choreographies: who reacts to what, and what comes of it.

    Several files give one drawing. Nothing is drawn while `choregos lint` finds an error in them.
    """
    examined = examine(files)
    if examined.errors:
        show(examined, complaints())
        return ExitCode.REFUSED
    if not examined.choreographies:
        raise RefusedError("there is no choreography to draw", "name a file that holds one")
    if len(found := scopes(examined.choreographies)) > 1:
        names = ", ".join(f"{scope.namespace}/{scope.bus}" for scope in found)
        hint = "draw them one by one; an event's name means one thing only within a namespace and bus"
        raise RefusedError(f"these choreographies do not share a namespace and bus: {names}", hint)
    sys.stdout.write(render(graph_of(examined.choreographies), "json" if json_ else to))
    return ExitCode.FINE
