"""`choregos explain FILE...`: what happens after what, and how long it may take, in words."""

from typing import Annotated

import typer
from rich.text import Text

from choregos_cli.console import complaints, output, print_json, printable
from choregos_cli.documents import examine
from choregos_cli.errors import ExitCode, RefusedError
from choregos_cli.lint import show
from choregos_cli.paths import story_of
from choregos_cli.prose import CAVEAT, as_json, prose
from choregos_contract.graph import scopes


def command(
    files: Annotated[list[str], typer.Argument(help="Files, directories, or `-` for stdin.", metavar="FILE...")],
    *,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Tell choreographies in words, path by path, with the longest time that each step may take.

    Files of one namespace and bus are told together. Nothing is told while `choregos lint` finds an error in them.
    """
    examined = examine(files)
    if examined.errors:
        show(examined, complaints())
        return ExitCode.REFUSED
    if not examined.choreographies:
        raise RefusedError("there is no choreography to explain", "name a file that holds one")
    stories = [story_of(scope, choreographies) for scope, choreographies in scopes(examined.choreographies).items()]
    if json_:
        print_json({"stories": [as_json(story) for story in stories]})
        return ExitCode.FINE
    for story in stories:
        for line in (*prose(story), ""):
            output().print(Text(printable(line)))
    output().print(Text(CAVEAT))
    return ExitCode.FINE
