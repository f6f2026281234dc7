"""Calls in time: which of them were made while another one of the same event was not over. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Final, TypeVar

from chaos.choreography import ROLES, TIMEOUT
from chaos.evidence import Call

K = TypeVar("K")
T = TypeVar("T")

CLOCK_AHEAD: Final = 0.5
"""Seconds by which the ambassador may have begun to count a time-out before the service wrote down that the call began."""


def late(calls: Iterable[Call]) -> Iterator[Call]:
    """Yield the calls that began before the one before was over for the service, and after it was for its ambassador."""
    for earlier, later in guarded_pairs(grouped(calls, lambda call: (call.event, call.reaction))):
        if over_at(earlier) <= later.begun < (earlier.begun + TIMEOUT if earlier.ended is None else earlier.ended):
            yield later


def guarded_pairs(calls: Mapping[tuple[str, str], Iterable[Call]]) -> Iterator[tuple[Call, Call]]:
    """Yield each call with the next one of its event, of the reactions that have an inbox."""
    guarded = {role.name for role in ROLES if role.idempotent}
    for (_, reaction), each in calls.items():
        if reaction in guarded:
            yield from pairwise(sorted(each, key=lambda call: call.begun))


def over_at(call: Call) -> float:
    """Return when a call is over: answered, its process dead, or its time-out past."""
    timed_out = call.begun + TIMEOUT - CLOCK_AHEAD
    return timed_out if call.ended is None else min(call.ended, timed_out)


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Sort items by a key; those of one key keep their order."""
    found: defaultdict[K, list[T]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return dict(found)
