"""How the outcome of a check becomes lines: one if all is well, else one for each thing that is not."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from choregos_cli.checks.catalogue import CATALOGUE, Level, Line
from choregos_cli.errors import CommandError

T = TypeVar("T")

MOST_LINES: Final = 10
"""Lines of one check; what goes beyond is counted."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """What could not be read, and why."""

    why: str
    hint: str = ""

    @classmethod
    def of(cls, error: CommandError) -> "Unknown":
        """Say why by the error that was raised."""
        return cls(error.what, error.hint)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it should be."""

    says: str
    hint: str = ""
    """Empty for the hint of the check."""
    level: Level | None = None
    """None for the worst of the check."""


def judged(
    code: str, fact: T | Unknown, judge: Callable[[T], Iterable[Fault]], fine: str = "", *, unseen: str = ""
) -> Iterator[Line]:
    """Judge a fact: a line for each fault, else one that says `fine`, or what was asked; skipped if it is unknown.

    `unseen` says which part of the fact could not be read: what has no fault in the rest is not fine for that.
    """
    check = CATALOGUE[code]
    if isinstance(fact, Unknown):
        yield Line(check, Level.SKIPPED, f"{check.asks}: not known, {fact.why}", fact.hint)
        return
    faults = list(judge(fact))
    for fault in faults[:MOST_LINES]:
        yield Line(check, fault.level or check.worst, fault.says, fault.hint or check.hint)
    if more := faults[MOST_LINES:]:
        level = Level.FAILED if any((each.level or check.worst) is Level.FAILED for each in more) else Level.WARNING
        yield Line(check, level, f"and {len(more)} more of this kind", check.hint)
    if unseen:
        yield Line(check, Level.SKIPPED, f"{check.asks}: not known of {unseen}")
    elif not faults:
        yield Line(check, Level.OK, fine or check.asks)


def counted(number: int, one: str, many: str = "") -> str:
    """Return `1 pod`, `2 pods`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def named(names: Sequence[str], most: int = 5) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
