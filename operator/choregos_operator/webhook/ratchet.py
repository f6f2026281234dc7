"""Which errors of an edited object are new: only those refuse, because the stored object lives with the others already.

The checks come in stages, and an error of one stage hides those of the next. An edit that mends the first must not be
refused for what it uncovers; so where the stored object had an error of an earlier stage, later ones count as known.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from choregos_contract.findings import Finding

_STAGES: Final = (
    ("unknown-event", "duplicate-reaction"),
    ("not-in-emits", "compensates-nothing"),
    ("never-emitted",),
    ("endless-cycle",),
    ("outcome-out-of-reach",),
)
_BY_PLACE: Final = ("never-emitted", "endless-cycle")
"""Errors whose sentence tells of the surroundings too, so that an edit elsewhere changes it."""
_COUNT: Final = re.compile(r" \(used in \d+ places\)$")


@dataclass(frozen=True, slots=True)
class Sorted:
    """The errors of an edited object."""

    new: tuple[Finding, ...]
    known: tuple[Finding, ...]


def sort(before: Sequence[Finding], after: Sequence[Finding]) -> Sorted:
    """Tell the errors that an edit brings from those that the stored object had."""
    if before and after and min(map(stage, before)) < min(map(stage, after)):
        return Sorted((), tuple(after))
    left = Counter(map(_identity, before))
    new: list[Finding] = []
    known: list[Finding] = []
    for error in after:
        identity = _identity(error)
        (known if left[identity] else new).append(error)
        left[identity] -= 1 if left[identity] else 0
    return Sorted(tuple(new), tuple(known))


def stage(error: Finding) -> int:
    """Return the stage of the checks that finds an error: 0 for what one field may hold, then those of the graph."""
    return next((number for number, codes in enumerate(_STAGES, 1) if error.code in codes), 0)


def _identity(error: Finding) -> tuple[str, object]:
    """Return what makes two errors the same; no index into a list, because an edit may shift it."""
    if error.code in _BY_PLACE:
        return error.code, tuple(part for part in error.path if isinstance(part, str))
    return error.code, _COUNT.sub("", error.message)
