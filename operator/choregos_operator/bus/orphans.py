"""Durables that no choreography wants any more.

They are kept for a while, marked with the moment: a rename, a prune or a mistake that is taken back loses no position, for the
plan takes the mark away from what is wanted again. Only what was made for an object of a cluster is ever touched, but nothing
on a durable says of which: where another cluster has the same prefix, namespace and bus on the same NATS account, its durables
look like orphans here. What somebody reads is therefore never swept, and its time begins anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from choregos_contract.survey import DurableState
from choregos_contract.wiring import ORPHANED


@dataclass(frozen=True, slots=True)
class Mark:
    """It is an orphan from now on."""

    durable: DurableState


@dataclass(frozen=True, slots=True)
class Keep:
    """It is an orphan already, and not for long enough."""

    durable: DurableState
    since: datetime


@dataclass(frozen=True, slots=True)
class Renew:
    """It is an orphan, and in use: its time begins anew."""

    durable: DurableState


@dataclass(frozen=True, slots=True)
class Sweep:
    """It has been an orphan for too long, and nobody uses it."""

    durable: DurableState


@dataclass(frozen=True, slots=True)
class Unmark:
    """It is none: its choreography exists, though nobody can tell what that wants."""

    durable: DurableState


Verdict = Mark | Keep | Renew | Sweep | Unmark


def orphans(
    existing: Iterable[DurableState], wanted: frozenset[str], frozen: frozenset[str], now: datetime, ttl: timedelta
) -> tuple[Verdict, ...]:
    """Return what becomes of durables that are not among `wanted` (names).

    `frozen` are the uids of choreographies that exist, and are invalid or cannot be read. Whose owner is no uid was made on
    somebody's own machine, and who has no owner was made by others: both are let be.
    """
    ours = (each for each in existing if each.of_cluster and each.name not in wanted)
    return tuple(verdict for each in ours if (verdict := _verdict(each, frozen, now, ttl)))


def _verdict(durable: DurableState, frozen: frozenset[str], now: datetime, ttl: timedelta) -> Verdict | None:
    marked = durable.existing.ours.get(ORPHANED)
    if durable.owner in frozen:
        return None if marked is None else Unmark(durable)
    since = None if marked is None else _moment(marked)
    if since is None:
        return Mark(durable)
    if durable.in_use:
        # Well before its time: between two reads it looks idle, and many looks should have found it so.
        return Renew(durable) if now - since >= ttl / 2 else Keep(durable, since)
    return Sweep(durable) if now - since >= ttl else Keep(durable, since)


def _moment(text: str) -> datetime | None:
    """Read a mark; None if other hands made it unreadable, so that it is made anew."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
