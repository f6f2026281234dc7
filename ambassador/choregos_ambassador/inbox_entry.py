"""Who may bring an event to the service: the protocol of the inbox as values, and the one decision in it. Pure.

An event has one entry. It is `claimed` before the call and then either `done`, with the service's answer, or `released`.
Every change is a compare-and-set, so that of two who try one wins. A claim is stale once the call that it is for must have
ended: a call begins within BEGIN_WITHIN of the claim, and the delivery's `timeout` ends it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from choregos_ambassador.answer import Answer
from choregos_contract.configuration import CLAIM_SLACK

BEGIN_WITHIN: Final = 3.0
"""Seconds after a claim was sent within which its call begins; what is left of the slack is for a timer that fires late."""


class State(StrEnum):
    """The states of an entry."""

    CLAIMED = "claimed"
    RELEASED = "released"
    DONE = "done"


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the inbox holds of one event. `owner` is unique to a process's life; `number` counts the deliveries."""

    state: State
    owner: str
    sequence: int
    number: int
    lasts: float = 0.0
    """Seconds, by the bus's own clock, for which a claim is not stale."""
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Busy:
    """The service may have it at this moment; look again after `rest` seconds."""

    rest: float


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The service took the same event before, stored under another sequence: a producer published it twice."""


@dataclass(frozen=True, slots=True)
class Known:
    """The service has answered this very event."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Nobody is with the service on its behalf: claim it in the place of what is there."""


Decision = Busy | Duplicate | Known | TakeOver


def lasts(timeout: float) -> float:
    """Return for how long a claim is good whose call takes `timeout` seconds at most."""
    return timeout + CLAIM_SLACK


def decide(entry: Entry, age: float, *, owner: str, sequence: int) -> Decision:
    """Say what an entry of this age (seconds) means to one who would bring the event at `sequence` to the service.

    `owner`: this process, which has no other delivery of the event in hand.
    """
    if entry.state is State.DONE and entry.answer is not None:
        return Known(entry.answer) if entry.sequence == sequence else Duplicate()
    if entry.state is not State.CLAIMED or entry.owner == owner:
        return TakeOver()
    rest = entry.lasts - age
    return Busy(rest) if rest > 0 else TakeOver()
