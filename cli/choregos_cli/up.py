"""`choregos up FILE...`: run choreographies on this machine and show what flows."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from choregos_cli.console import complaints, output
from choregos_cli.documents import examine
from choregos_cli.errors import ExitCode, MisuseError
from choregos_cli.flow import JsonLines, Lines, Show
from choregos_cli.interrupts import run_interruptible
from choregos_cli.lint import show as show_findings
from choregos_cli.local_run import LocalRun


def command(
    files: Annotated[
        list[str], typer.Argument(help="Choreographies of one bus, and the bus itself.", metavar="FILE...")
    ],
    *,
    nats: Annotated[
        str | None, typer.Option("--nats", metavar="URL", help="Join a running NATS server; several by commas.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="DIR", help="Keep what the embedded NATS server stores.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one line of JSON for everything that happens.")] = False,
) -> int:
    """Run the services of choreographies on this machine, each with its ambassador.

    NATS is embedded unless --nats names a server. Each service is started by its command in the choregos.local.yaml
    beside the choreography; one without a command is yours to start. Ctrl-C finishes the events in hand, then ends
    everything; a second one ends at once.

    Exit code 0: ended by Ctrl-C or SIGTERM, and drained; 130: by a second one; 1, 2, 3: it did not start.
    """
    if "-" in files:
        raise MisuseError("a choreography from stdin has no place to run in", "name its file")
    if nats and store:
        raise MisuseError("--store is for the embedded server, --nats for another one", "leave out one of them")
    examined = examine(files)
    if examined.findings:
        show_findings(examined, complaints())
    if examined.errors:
        return ExitCode.REFUSED
    run = LocalRun(*files, nats=nats, store=store, tolerant=True)
    return run_interruptible(lambda: up(run, JsonLines() if json_ else Lines(output(), lambda: run.roles)))


async def up(run: LocalRun, show: Show) -> None:
    """Keep a run going, and show it, until we are cancelled or nobody reads any more."""
    showing = asyncio.create_task(_show(run, show))
    try:
        async with run:
            await asyncio.shield(showing)
    except BrokenPipeError:
        # Python would complain a second time when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        await asyncio.gather(showing, return_exceptions=True)


async def _show(run: LocalRun, show: Show) -> None:
    async for happening in run.chronicle:
        show(happening)
