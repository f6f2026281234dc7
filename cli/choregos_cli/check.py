"""`choregos check`: everything that Choregos stands on in a cluster, a line each, and for what is wrong the mend."""

import asyncio
import time
from enum import StrEnum
from typing import Annotated, Final

import typer

from choregos_cli.checks.catalogue import Level, Line
from choregos_cli.checks.flow import MAX_LAG
from choregos_cli.checks.reading import read_facts
from choregos_cli.checks.report import as_json, count, lines_of, show
from choregos_cli.cluster import options
from choregos_cli.cluster.bus import Given
from choregos_cli.cluster.kubectl import Kubectl
from choregos_cli.console import output, print_json
from choregos_cli.errors import ExitCode, MisuseError, RefusedError, UnreachableError
from choregos_cli.interrupts import run_interruptible
from choregos_contract.quantities import DurationError, parse_duration

_AGAIN: Final = 2.0
"""Seconds between two looks of `--wait`."""


class Output(StrEnum):
    """How the result is printed."""

    TEXT = "text"
    JSON = "json"


def command(
    *,
    namespace: options.Namespace = None,
    all_namespaces: options.AllNamespaces = False,
    format_: Annotated[Output, typer.Option("--output", "-o", help="Print lines, or one JSON document.")] = Output.TEXT,
    wait: Annotated[
        str, typer.Option("--wait", metavar="DURATION", help="Look again until nothing fails, for so long, as 2m.")
    ] = "0s",
    max_lag: Annotated[
        int, typer.Option("--max-lag", metavar="N", min=0, help="Events that a reaction may be behind.")
    ] = MAX_LAG,
    nats: options.Nats = None,
    nats_credentials: options.NatsCredentials = None,
    release_namespace: options.ReleaseNamespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> int:
    """Check the cluster, the operator, NATS, and how events flow in a namespace.

    It changes nothing: two objects are tried in a dry run of the API server. What you may not read is skipped, and the
    right that is missing is named. NATS inside of the cluster is reached by `kubectl port-forward`.
    """
    options.refuse_both(namespace, all_namespaces)
    patience = _seconds(wait)
    kubectl = options.kubectl(kubeconfig, context)
    given = options.given(nats, nats_credentials, release_namespace)

    async def look() -> int:
        where = None if all_namespaces else namespace or await kubectl.namespace()
        lines = await _look(kubectl, where, given, max_lag, time.monotonic() + patience)
        if format_ is Output.JSON:
            print_json(as_json(lines))
        else:
            show(lines, output())
        return ExitCode.REFUSED if count(lines, Level.FAILED) else ExitCode.FINE

    return run_interruptible(look, told_once=ExitCode.INTERRUPTED)


async def _look(
    kubectl: Kubectl, namespace: str | None, given: Given, max_lag: int, deadline: float
) -> tuple[Line, ...]:
    """Look until nothing fails, or the time is over; raises CommandError if the API server does not answer then."""
    while True:
        last = time.monotonic() >= deadline
        try:
            lines = lines_of(await read_facts(kubectl, namespace, given), max_lag)
        except (UnreachableError, RefusedError):
            if last:
                raise
        else:
            if last or not count(lines, Level.FAILED):
                return lines
        await asyncio.sleep(_AGAIN)


def _seconds(wait: str) -> float:
    try:
        return parse_duration(wait)
    except DurationError as error:
        raise MisuseError(f"--wait: {error.problem}", error.mend) from None
