"""The drone delivery with faults: fifty requests, one flow step by step, and the sums, counted on the bus.

    python demo.py        # or `make demo` in the root of the project

One service request in ten fails and is tried again, four deliveries find no drone and are undone, three packages are too
heavy for any drone. The last line on stdout is JSON; the exit code is 0 only if every request came to an end, and
nothing was lost or done twice.
"""

import os
import signal
import sys

if __name__ == "__main__":
    # Importing takes a moment, and Ctrl-C may come at any moment.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
from rich.table import Table
from rich.text import Text

from choregos_cli.console import output, print_error
from choregos_cli.errors import CommandError, ExitCode
from choregos_cli.flow import Lines, hop_line
from choregos_cli.interrupts import run_interruptible
from choregos_cli.local_run import LocalRun
from choregos_cli.transactions import State, Transaction, Transactions

REQUESTS: Final = 50
AT_ONCE: Final = 4
TOO_HEAVY: Final = 16
"""Every sixteenth package is."""
TRIES: Final = 10
PATIENCE: Final = 45.0
"""Seconds for everything to come to an end."""
STATE_FOR_CLIENTS: Final = {State.COMPLETED: "completed", State.FAILED: "failed", State.DEAD_LETTERED: "accepted"}
"""What ingestion tells its clients; of a dead letter nobody told it."""

Views = Mapping[str, Mapping[str, Any]]


async def demo() -> int:
    """Run the demo and return its exit code."""
    started = time.monotonic()
    run = LocalRun(Path(__file__).with_name("choreography.yaml"))
    seen: Transactions | None = None

    async def watch() -> None:
        nonlocal seen
        show = Lines(output(), lambda: run.roles, outputs=False)
        async for happening in run.chronicle:
            show(happening)
            seen = seen or Transactions(run.roles)
            seen.feed(happening)

    watching = asyncio.create_task(watch())
    try:
        async with run:
            url = run.services["ingestion"][0].url
            requested = await request_all(url)
            idle = await all_done(run)
            stored = Transactions(run.roles)
            for happening in await run.stored():
                stored.feed(happening)
            views = await deliveries(url)
    finally:
        await watching
    assert seen
    show_one(seen)
    sums = tally(requested, stored, views, idle=idle)
    show_sums(sums, seen, time.monotonic() - started)
    print(json.dumps(sums, separators=(",", ":")), flush=True)
    return 0 if is_fine(sums) else 1


async def request_all(url: str) -> list[str]:
    """Request every delivery, a few at a time, and return the ids of those that ingestion has accepted."""
    numbers = iter(range(1, REQUESTS + 1))
    accepted: list[str] = []

    async def customer(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            wanted = {"id": f"demo-{number:02}", "weightKg": 30 if number % TOO_HEAVY == 0 else 1 + number % 5}
            if await request(session, f"{url}/deliveryrequests", wanted):
                accepted.append(str(wanted["id"]))

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session:
        await asyncio.gather(*(customer(session) for _ in range(AT_ONCE)))
    return accepted


async def request(session: aiohttp.ClientSession, url: str, wanted: Mapping[str, object]) -> bool:
    """Request one delivery; as long as it is not accepted, again with the same id, as ingestion asks its clients to."""
    for _ in range(TRIES):
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.post(url, json=wanted) as answer:
                if answer.status == 202:
                    return True
        await asyncio.sleep(0.5)
    return False


async def all_done(run: LocalRun) -> bool:
    """Wait until no reaction has anything before it; False if that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not await run.idle():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.2)
    return True


async def deliveries(url: str) -> Views:
    """Return every delivery as ingestion knows it, by id."""
    async with aiohttp.request("GET", f"{url}/deliveryrequests") as answer:
        return {delivery["id"]: delivery for delivery in await answer.json()}


def tally(requested: Iterable[str], stored: Transactions, views: Views, *, idle: bool) -> dict[str, int]:
    """Return the sums of what is on the bus, compared with what was requested and with what clients are told."""
    sums = Counter[str]()
    by_request: dict[str, list[Transaction]] = {}
    for transaction in stored:
        by_request.setdefault(delivery_id(transaction), []).append(transaction)
        sums["duplicates"] += transaction.duplicates
    for request_id in requested:
        sums["requested"] += 1
        found = by_request.pop(request_id, [])
        view = views.get(request_id, {})
        sums["duplicates"] += max(0, len(found) - 1) + max(0, view.get("outcomes", 0) - 1)
        # The bus holds no hops, so only empty durables can say that nothing is on its way any more.
        state = found[0].state(idle=True) if found else State.ENDED
        if state in STATE_FOR_CLIENTS and view.get("status") == STATE_FOR_CLIENTS[state]:
            sums[state] += 1
        else:
            sums["lost" if idle else "unfinished"] += 1
    sums["duplicates"] += len(by_request)  # transactions that nobody has requested
    names = ("requested", "completed", "failed", "dead_lettered", "unfinished", "lost", "duplicates")
    return {name: sums[name] for name in names}


def delivery_id(transaction: Transaction) -> str:
    """Return the request that a transaction began with."""
    root = next((event for event in transaction.events if event.causation_id is None), None)
    return str(json.loads(root.data)["deliveryId"]) if root else ""


def is_fine(sums: Mapping[str, int]) -> bool:
    """Whether every request was made, came to one of the three ends, and nothing was lost or done twice."""
    ended = sums["completed"] + sums["failed"] + sums["dead_lettered"]
    return REQUESTS == sums["requested"] == ended and not (sums["unfinished"] or sums["lost"] or sums["duplicates"])


def show_one(seen: Transactions) -> None:
    """Show the transaction with the most to tell: one that was undone or tried again."""
    chosen = max(seen, key=lambda each: (each.state() is State.FAILED, len(each.hops)), default=None)
    if chosen is None:
        return
    console = output()
    console.print(Text.assemble("\n", ("one transaction, hop by hop", "bold"), f"  {chosen.correlation_id}"))
    for step in chosen.steps():
        event, indent = step.event, "  " * step.depth
        console.print(
            Text.assemble(
                (f"{step.since_root_s:8.3f} s  ", "dim"), indent, (event.type, "bold"), f"  by {event.source}"
            )
        )
        for hop in step.hops:
            since = hop.time - chosen.events[0].time
            console.print(Text.assemble((f"{since:8.3f} s  ", "dim"), f"{indent}  ", hop_line(hop)))


def show_sums(sums: Mapping[str, int], seen: Transactions, seconds: float) -> None:
    """Show what came of the requests, and what it took."""
    hops = Counter(hop.verdict for transaction in seen for hop in transaction.hops)
    times = sorted(max(event.time for event in each.events) - each.events[0].time for each in seen if each.outcomes)
    table = Table(title="\nwhat came of them", title_justify="left", title_style="bold", show_header=False)
    for name, number in sums.items():
        table.add_row(name.replace("_", " "), str(number))
    table.add_section()
    table.add_row("hops done, retried", f"{hops['done']}, {hops['retry']}")
    if times:
        table.add_row("request to outcome, median and longest", f"{times[len(times) // 2]:.3f} s, {times[-1]:.3f} s")
    table.add_row("the whole demo", f"{seconds:.1f} s")
    output().print(table)


def main() -> int:
    """Run the demo; Ctrl-C ends it with 130."""
    try:
        return run_interruptible(demo, told_once=ExitCode.INTERRUPTED)
    except CommandError as error:
        print_error(error.what, error.hint)
        return error.code


if __name__ == "__main__":
    sys.exit(main())
