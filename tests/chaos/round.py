"""One round: load and faults, then rest, then the judgement."""

import asyncio
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from chaos import diagnosis, figures, streams
from chaos.customers import Customers
from chaos.evidence import Evidence, gather
from chaos.faults import ALL, Fault, Missed, chosen
from chaos.judge import judge
from chaos.judgement import Judgement, Wrong
from chaos.ledger import Struck
from chaos.options import Options
from chaos.schedule import Card, Strike, plan
from chaos.theatre import Kind, Theatre, kept_directory, theatre

_LOOK_EVERY: Final = 0.5
_OVERDUE: Final = 120.0
"""Seconds after which a strike that does not return is an error of the harness."""


@dataclass(frozen=True)
class Report:
    """What a round found. `directory` is there only if something was wrong."""

    options: Options
    evidence: Evidence
    judgement: Judgement
    settled: bool
    directory: Path
    troubles: tuple[str, ...] = ()
    """What went wrong with the round itself, beside its faults: no judgement holds then."""

    @property
    def struck(self) -> list[Struck]:
        """The faults that did harm."""
        return [each for each in self.evidence.struck if not each.missed]

    @property
    def errors(self) -> list[Struck]:
        """The faults that the harness could not undo."""
        return [each for each in self.evidence.struck if each.error]

    @property
    def good(self) -> bool:
        """Whether nothing was lost, doubled or stuck, all came to rest, and the harness itself did what it should."""
        return self.judgement.good and self.settled and not self.errors and not self.troubles

    def line(self) -> str:
        """The one line of JSON that a round ends with."""
        found, faults = self.evidence.streams, len(self.struck)
        again = figures.redelivered(found)
        values: dict[str, Any] = {
            "events": figures.events(self.evidence),
            "faults": faults,
            **{str(wrong): self.judgement.count(wrong) for wrong in Wrong},
            "redelivered": again,
            "redelivered_per_fault": round(again / faults, 2) if faults else 0.0,
            "seed": self.options.seed,
            "duration": self.options.duration,
            "runner": self.options.runner,
            "nats": self.options.nats,
            "accepted": len(self.evidence.accepted),
            "given_up": len(self.evidence.given_up),
            "missed": len(self.evidence.struck) - faults,
            "errors": len(self.errors) + len(self.troubles),
            "excused": figures.excused(self.evidence),
            "dead_letters": figures.letters(found),
            "settled": self.settled,
            "findings": dict(
                Counter(f"{each.wrong}: {each.sentence}" for each in self.judgement.findings).most_common(12)
            ),
            "recovery": figures.recoveries(self.struck, found.events),
        }
        return msgspec.json.encode(values).decode()


async def play(options: Options, interrupted: asyncio.Event) -> Report:
    """Play a round and judge it; its directory goes away if all is well, or if it was `interrupted` and cancelled."""
    directory = kept_directory()
    say(f"seed {options.seed}: {options.runner} on {options.nats} NATS, logs in {directory}")
    try:
        report = await _played(options, directory)
    except BaseException:
        if interrupted.is_set():  # what else failed, failed of that
            shutil.rmtree(directory)
            raise asyncio.CancelledError from None
        say(f"the round did not come to its end (seed {options.seed}); its logs are kept in {directory}")
        raise
    for line in diagnosis.lines(report.judgement, report.evidence):
        say(line)
    for each in report.errors:
        say(f"the harness failed: {each.kind} of {each.target}: {each.error}")
    for trouble in report.troubles:
        say(f"the round went wrong: {trouble}")
    if report.good:
        shutil.rmtree(directory)
    else:
        say(f"seed {options.seed}; logs and ledgers are kept in {directory}")
    return report


async def _played(options: Options, directory: Path) -> Report:
    async with theatre(directory, options.nats, options.runner) as set_up:
        accepted = await perform(set_up, options)
        settled = await rest(set_up, options.patience)
        found = await streams.read(set_up.bus)
        troubles = [f"{ended} ended by itself" for each in set_up.replicas if (ended := each.ended())]
    evidence = gather(directory, found)
    if (known := len(evidence.accepted)) != accepted:
        troubles.append(f"{accepted} orders were accepted, and the ledger knows {known}")
    return Report(options, evidence, judge(evidence), settled, directory, tuple(troubles))


async def perform(set_up: Theatre, options: Options) -> int:
    """Have customers order and faults strike; returns how many orders were accepted, when all harm is undone."""
    faults = chosen(options.faults, of_cluster=options.nats is Kind.CLUSTER)
    cards = {fault.kind: _card(fault, set_up) for fault in faults}
    strikes = plan(options.seed, options.duration, options.every, cards)
    say(f"{len(strikes)} faults in {options.duration:g} s")
    customers = Customers(set_up, options.rate, Random(options.seed))
    async with asyncio.TaskGroup() as group:
        group.create_task(customers.shop(options.duration))
        begun = time.monotonic()
        for strike in strikes:
            group.create_task(_strike(strike, set_up, begun))
    return customers.accepted


def _card(fault: Fault, set_up: Theatre) -> Card:
    replicas = [each.name for each in set_up.replicas if not fault.services or each.service_name in fault.services]
    return Card(fault.lasts, tuple(replicas) or fault.services, everywhere=getattr(fault, "everywhere", False))


async def _strike(strike: Strike, set_up: Theatre, begun: float) -> None:
    await asyncio.sleep(begun + strike.moment - time.monotonic())
    say(f"{strike.moment:6.1f} s  {strike.kind} {strike.target}")
    struck = Struck(strike.kind, strike.target, time.time(), 0.0)
    try:
        async with asyncio.timeout(_OVERDUE):
            await ALL[strike.kind].strike(set_up, strike.chance())
    except Missed as missed:
        struck = msgspec.structs.replace(struck, missed=str(missed))
        say(f"{time.monotonic() - begun:6.1f} s  {strike.kind} missed: {missed}")
    except Exception as error:  # noqa: BLE001  the round goes on, and fails: it says what the harness could not do
        struck = msgspec.structs.replace(struck, error=f"{type(error).__name__}: {error}"[:2000])
    set_up.ledger.write([msgspec.structs.replace(struck, ended_wall=time.time())])


async def rest(set_up: Theatre, patience: float) -> bool:
    """Wait until no durable has anything to come or in hand, and no event follows; returns whether that was in time."""
    deadline, before = time.monotonic() + patience, tuple[int, ...]()
    while time.monotonic() < deadline:
        now = await streams.positions(set_up.bus)
        state = tuple(each.deliveries for each in now)
        if all(each.idle for each in now) and state == before:
            return True
        before = state
        await asyncio.sleep(_LOOK_EVERY)
    pending = ", ".join(f"{each.reaction} {each.pending}" for each in now if not each.idle)
    say(f"not at rest within {patience:g} s: {pending}")
    return False


def say(text: str) -> None:
    """Tell whoever looks on."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
