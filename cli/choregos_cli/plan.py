"""`choregos plan FILE...`: what `kubectl apply` of these files would change, and what becomes of the events."""

from typing import Annotated, Any, Literal

import typer

from choregos_cli.cluster import options
from choregos_cli.console import complaints, output, print_json
from choregos_cli.documents import Examined, examine
from choregos_cli.errors import ExitCode, MisuseError
from choregos_cli.interrupts import run_interruptible
from choregos_cli.lint import as_json as findings_as_json
from choregos_cli.lint import show as show_findings
from choregos_cli.planning.made import Asking, Plan, make
from choregos_cli.planning.report import as_json, show


def command(
    files: Annotated[list[str], typer.Argument(help="Files, directories, or `-` for stdin.", metavar="FILE...")],
    *,
    namespace: options.Namespace = None,
    output_: Annotated[
        Literal["text", "json"], typer.Option("--output", "-o", help="For people, or one JSON document.")
    ] = "text",
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Leave with 4 if there are changes.")] = False,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    nats: options.Nats = None,
    nats_credentials: options.NatsCredentials = None,
    release_namespace: options.ReleaseNamespace = None,
) -> int:
    """Tell what `kubectl apply` of choreographies and buses would change, and apply nothing.

    Documents of other kinds are passed over. How many events a change concerns is asked from NATS; while that cannot be
    asked, those figures are unknown, and the rest of the plan holds.
    """
    examined = examine(files)
    if examined.errors:
        return _unsound(examined, json_=output_ == "json")
    if not examined.choreographies and not examined.buses:
        raise MisuseError("there is no choreography and no bus to plan for", "name a file that holds one")
    kubectl = options.kubectl(kubeconfig, context)
    asking = Asking(kubectl, options.given(nats, nats_credentials, release_namespace), namespace)
    made: list[Plan] = []

    async def work() -> None:
        made.append(await make(asking, examined))

    code = run_interruptible(work, told_once=ExitCode.INTERRUPTED)
    if not made:
        return code
    (plan,) = made
    if output_ == "json":
        print_json(as_json(plan))
    else:
        show(plan, output(), complaints())
    if plan.refused:
        return ExitCode.REFUSED
    return ExitCode.CHANGES if exit_code and plan.changes else ExitCode.FINE


def _unsound(examined: Examined, *, json_: bool) -> int:
    """Tell only the findings: what has an error is refused before anything else is asked."""
    if json_:
        found: dict[str, Any] = findings_as_json(examined)
        print_json({"refused": True, "findings": found["findings"], "verdicts": [], "changes": [], "unknown": []})
    else:
        show_findings(examined, complaints())
    return ExitCode.REFUSED
