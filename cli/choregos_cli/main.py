"""The console script `choregos`: finds the command, and turns whatever ends it into a sentence and an exit code.

A command is a module of this package whose function `command` has the options as its parameters and returns an exit
code. It is imported only when it is asked for: `lint` has no use for a NATS client.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from choregos_cli.console import complaints, print_error
from choregos_cli.errors import CommandError, ExitCode

PROGRAM: Final = "choregos"
COMMANDS: Final = ("up", "lint", "graph", "explain", "publish", "invoke", "ambassador", "check", "plan", "status")

_HELP: Final = """Event choreography for services that stay plain HTTP servers.

\b
Exit codes:
  0    fine
  1    a finding is an error, a check failed, or the event was refused
  2    the command line is wrong, or an input cannot be read
  3    the bus or the service could not be reached
  4    the plan holds changes, and --exit-code was given
  70   a defect in choregos itself
  130  interrupted

CHOREGOS_DEBUG=1 shows the traceback of an error, NO_COLOR=1 prints without colours.
"""


class _Commands(TyperGroup):
    """The commands, each imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is typer's
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the signature is typer's
        if cmd_name not in COMMANDS:
            return None
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(cmd_name)(import_module(f"choregos_cli.{cmd_name}").command)
        return typer.main.get_command(single)


app = typer.Typer(cls=_Commands, add_completion=False, no_args_is_help=True, rich_markup_mode=None)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"choregos {version('choregos')}")
        raise typer.Exit


@app.callback(help=_HELP)
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Hold the options that stand before the command."""


def main(arguments: Sequence[str], program: str = PROGRAM) -> int:
    """Run one command line, the program's name left out, and return its exit code."""
    try:
        ended = typer.main.get_command(app).main(arguments, prog_name=program, standalone_mode=False)
    except CommandError as error:
        return _failed(error.what, error.hint, error.code)
    except typer.TyperException as error:
        return _failed(error.format_message().rstrip("."), _usage_hint(error), ExitCode.MISUSED)
    except Exception as error:  # noqa: BLE001 - the last door: a user gets a sentence, never a traceback
        what = f"a defect in choregos: {type(error).__name__}: {error}"
        return _failed(what, "report it, please, with what CHOREGOS_DEBUG=1 shows", ExitCode.DEFECT)
    if ended == ExitCode.INTERRUPTED:
        complaints().print("interrupted")
    return ended or ExitCode.FINE


def run() -> NoReturn:
    """Run the command line of this process; never returns."""
    sys.exit(main(sys.argv[1:]))


def run_plugin() -> NoReturn:
    """The same for `kubectl-choregos`, which kubectl runs as `kubectl choregos`."""
    sys.exit(main(sys.argv[1:], f"kubectl {PROGRAM}"))


def _failed(what: str, hint: str, code: ExitCode) -> ExitCode:
    if os.environ.get("CHOREGOS_DEBUG", "0") not in ("", "0"):
        traceback.print_exc()
    print_error(what, hint)
    return code


def _usage_hint(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"see `{context.command_path if context else 'choregos'} --help`"
