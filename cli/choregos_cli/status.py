"""`choregos status [CHOREOGRAPHY...]`: live figures of choreographies, reaction by reaction."""

import asyncio
import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import typer
from rich.live import Live

from choregos_cli.cluster import options
from choregos_cli.cluster.bus import Given
from choregos_cli.cluster.kubectl import Kubectl
from choregos_cli.console import output, print_json
from choregos_cli.errors import ExitCode, RefusedError, UnreachableError
from choregos_cli.interrupts import run_interruptible
from choregos_cli.live.figures import Seen, Shown, figures
from choregos_cli.live.look import Looker
from choregos_cli.live.report import as_json, text
from choregos_contract.findings import closest

EVERY: Final = 2.0
"""Seconds from one look to the next."""
_WIDE: Final = 240
"""Columns where there is no terminal that has a width."""


def command(
    choreographies: Annotated[
        list[str] | None, typer.Argument(help="Names; all if left out.", metavar="CHOREOGRAPHY")
    ] = None,
    *,
    namespace: options.Namespace = None,
    all_namespaces: options.AllNamespaces = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every 2 s, until Ctrl-C.")] = False,
    rate: Annotated[bool, typer.Option("--rate", help="Look twice, 2 s apart, and tell the rates.")] = False,
    output_: Annotated[
        Literal["text", "json"], typer.Option("--output", "-o", help="For people, or one JSON document a look.")
    ] = "text",
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    nats: options.Nats = None,
    nats_credentials: options.NatsCredentials = None,
    release_namespace: options.ReleaseNamespace = None,
) -> int:
    """Show live figures of choreographies: what waits, what is out for delivery, what failed, who serves.

    What cannot be read, for a lack of rights or because NATS is away, is shown as `?` and named at the end; the exit
    code is 3 then.
    """
    options.refuse_both(namespace, all_namespaces)
    showing = _Showing(
        options.kubectl(kubeconfig, context),
        options.given(nats, nats_credentials, release_namespace),
        choreographies or [],
        json=output_ == "json",
    )
    work = showing.watch if watch else showing.twice if rate else showing.once
    told_once = ExitCode.FINE if watch else ExitCode.INTERRUPTED
    return run_interruptible(lambda: work(namespace, everywhere=all_namespaces), told_once=told_once)


class _Showing:
    """Looks, and prints what was seen."""

    def __init__(self, kubectl: Kubectl, given: Given, names: list[str], *, json: bool) -> None:
        self._kubectl = kubectl
        self._given = given
        self._names = names
        self._json = json
        self._console = output()
        if not self._console.is_terminal:
            self._console.width = _WIDE

    async def once(self, namespace: str | None, *, everywhere: bool) -> int:
        """Show one look."""
        async with await self._looker(namespace, everywhere) as looker:
            seen = await self._look(looker)
            return self._show(looker, seen, None)

    async def twice(self, namespace: str | None, *, everywhere: bool) -> int:
        """Show the second of two looks."""
        async with await self._looker(namespace, everywhere) as looker:
            before = await self._look(looker)
            await asyncio.sleep(EVERY)
            return self._show(looker, await self._look(looker), before)

    async def watch(self, namespace: str | None, *, everywhere: bool) -> int:
        """Show one look after the other; on a terminal each in the place of the last."""
        async with await self._looker(namespace, everywhere) as looker:
            before: dict[str, Seen] | None = None
            with self._screen() as live:
                while True:
                    seen = await self._look_again(looker, before)
                    self._show(looker, seen, before or {}, live)
                    before = seen
                    await asyncio.sleep(EVERY)

    def _screen(self) -> AbstractContextManager[Live | None]:
        if self._console.is_terminal and not self._json:
            return Live(console=self._console, auto_refresh=False, screen=True)
        return nullcontext()

    async def _looker(self, namespace: str | None, everywhere: bool) -> Looker:
        where = None if everywhere else namespace or await self._kubectl.namespace()
        return Looker(self._kubectl, self._given, where)

    async def _look(self, looker: Looker) -> dict[str, Seen]:
        seen = await looker.look(self._names)
        for name in self._names:
            if name not in looker.known:
                near = closest(name, looker.known)
                hint = f"did you mean {near!r}?" if near else "look into all namespaces with -A, or leave the name out"
                raise RefusedError(f"there is no choreography {name!r} here", hint)
        return seen

    async def _look_again(self, looker: Looker, before: dict[str, Seen] | None) -> dict[str, Seen]:
        """Look; while the API server is away, what was seen last stays, and why is told."""
        try:
            return await self._look(looker)
        except UnreachableError as error:
            if before is None:
                raise
            looker.unknown = (error.what,)
            return before

    def _show(
        self, looker: Looker, seen: dict[str, Seen], before: dict[str, Seen] | None, live: Live | None = None
    ) -> int:
        now = datetime.now(UTC)
        shown: list[Shown] = []
        for namespace, each in sorted(seen.items()):
            shown += figures(each, now, (before or {}).get(namespace))
        if self._json:
            print_json(as_json(shown, looker.unknown))
        else:
            page = text(shown, looker.unknown, now=now, rates=before is not None)
            live.update(page, refresh=True) if live else self._console.print(page)
            sys.stdout.flush()
        return ExitCode.UNREACHABLE if looker.unknown else ExitCode.FINE
