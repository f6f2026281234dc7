"""`choregos invoke SERVICE/EVENT`: one hop by hand, without a bus: the request, the answer, and what would follow."""

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated

import typer
from msgspec.structs import replace

from choregos_ambassador import admission, request
from choregos_ambassador.answer import Answer, NoAnswer
from choregos_ambassador.http_client import HttpClient
from choregos_ambassador.role import Role
from choregos_ambassador.timestamps import rfc3339
from choregos_cli import invoke_report
from choregos_cli.consequence import consequence
from choregos_cli.console import complaints, output, print_json
from choregos_cli.documents import examine
from choregos_cli.errors import ExitCode, MisuseError, UnreachableError
from choregos_cli.given_data import given_data
from choregos_cli.interrupts import run_interruptible
from choregos_cli.invoke_report import Report
from choregos_cli.lint import show
from choregos_cli.one_bus import DEFAULT_FILE, OneBus, one_bus, reaction_of
from choregos_cli.ports import HOST
from choregos_cli.target import Target, target
from choregos_contract.configuration import Configuration
from choregos_contract.event import Event


def command(
    reaction: Annotated[str, typer.Argument(help="Such as payment/OrderPlaced.", metavar="SERVICE/EVENT")],
    *,
    files: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", metavar="FILE", help="The choreography; may be repeated.", show_default=False),
    ] = None,
    data: Annotated[
        str, typer.Option("--data", "-d", help="The event's data, JSON: the text itself, `-` for stdin, or `@FILE`.")
    ] = "{}",
    to: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the service listens; on this machine if left out.")
    ] = None,
    attempt: Annotated[int, typer.Option(min=1, help="The attempt that it is taken for.")] = 1,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Post an event to a service as its ambassador would, and print what would follow. Nothing is stored.

    Exit code 0: done; 1: a retry or a dead letter would follow; 3: nobody listens there.
    """
    service, slash, event_type = reaction.partition("/")
    if not (service and slash and event_type):
        raise MisuseError(f"{reaction!r} names no reaction", "write SERVICE/EVENT, such as payment/OrderPlaced")
    examined = examine(files or [DEFAULT_FILE])
    if examined.errors:
        show(examined, complaints())
        return ExitCode.REFUSED
    everything = one_bus(examined)
    configuration = everything.configuration(service)
    found = reaction_of(configuration, event_type)
    where = target(to, "--to") if to else Target(HOST, found.port)
    role = Role(configuration, replace(found, port=where.port))
    invocation = Invocation(role, _event(event_type, given_data(data), everything, configuration), where, attempt)
    return run_interruptible(lambda: _invoke(invocation, json_=json_), told_once=ExitCode.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class Invocation:
    """What is sent where: the event, as the reaction that it is for would get it at an attempt."""

    role: Role
    event: Event
    where: Target
    attempt: int

    async def run(self) -> Report:
        """Make the request, and report what came of it."""
        role, event, delivery = self.role, self.event, self.role.delivery
        head = request.head(request.opening(role, self.where.host), event, self.attempt)
        client = HttpClient(*self.where)
        started = time.monotonic()
        try:
            outcome: Answer | NoAnswer = await client.post(
                head, event.data, timeout=delivery.timeout, limit=delivery.max_reply_bytes
            )
        finally:
            client.close()
            # A transport that is closed says so to its protocol in the next turn of the loop.
            await asyncio.sleep(0)
        seconds = time.monotonic() - started
        follows = consequence(outcome, event, role, self.attempt, rfc3339())
        return Report(role, self.attempt, head, event.data, outcome, seconds, follows)


async def _invoke(invocation: Invocation, *, json_: bool) -> int:
    report = await invocation.run()
    if json_:
        print_json(invoke_report.as_json(report))
    else:
        invoke_report.show(report, output())
    if report.follows.verdict == "hand-back":
        host, port = invocation.where
        hint = "start the service, or name its address with --to; an ambassador would wait for it"
        raise UnreachableError(f"nobody takes the event at {host}:{port}: {report.follows.error}", hint)
    return ExitCode.FINE if report.follows.verdict == "done" else ExitCode.REFUSED


def _event(event_type: str, data: bytes, everything: OneBus, configuration: Configuration) -> Event:
    """Build the event as the publish API would; raises MisuseError if it would refuse the data.

    Its source is a service that emits it, or, for an event from outside, the one that it is for.
    """
    emitters = [
        each
        for each in everything.configurations().values()
        if event_type in each.emits or any(event_type in reaction.emits for reaction in each.reactions)
    ]
    try:
        return admission.event(event_type, [], data, emitters[0] if emitters else configuration)
    except admission.Refusal as refusal:
        raise MisuseError(f"--data cannot be the data of {event_type}: {refusal}", "give it JSON") from refusal
