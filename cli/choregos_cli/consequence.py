"""What an ambassador would make of one attempt: the verdict, and what it would store or wait for. Pure.

The decisions are the ambassador's own (`judge`, `replies`, `backoff`); only the bus is missing, so that nothing here
knows of an event that was delivered before, of a breaker, or of the server's `max_payload`.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from choregos_ambassador import records, replies
from choregos_ambassador.answer import Answer, NoAnswer
from choregos_ambassador.backoff import ceiling
from choregos_ambassador.dead_letter import Cause, Reason
from choregos_ambassador.replies import InvalidReply
from choregos_ambassador.role import Role
from choregos_ambassador.storing import Record
from choregos_ambassador.verdict import Action, judge
from choregos_contract.configuration import Delivery
from choregos_contract.event import Event


class Wait(NamedTuple):
    """Between these, in seconds, the wait before the next attempt is drawn."""

    shortest: float
    longest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequence:
    """The end of a hop. `stored` holds the next hops, or what `onFailure` emits beside the dead letter."""

    verdict: Literal["done", "retry", "hand-back", "dead-letter"]
    status: int | None = None
    error: str = ""
    reason: Reason | None = None
    wait: Wait | None = None
    stored: tuple[Record, ...] = ()


def consequence(outcome: Answer | NoAnswer, event: Event, role: Role, attempt: int, now: str) -> Consequence:
    """Return what follows from the outcome of an attempt, counted from 1. `now` is an RFC 3339 time."""
    verdict = judge(outcome, role.delivery)
    if verdict.action is Action.HAND_BACK:
        return Consequence(verdict="hand-back", error=verdict.error)
    if verdict.action is Action.RETRY:
        cause = Cause(Reason.EXHAUSTED, verdict.error, verdict.status, verdict.said)
        return _retry(cause, event, role, attempt, now, retry_after=verdict.retry_after)
    if verdict.action is Action.REJECT:
        return _dead_letter(Cause(Reason.REJECTED, verdict.error, verdict.status, verdict.said), event, role, now)
    assert isinstance(outcome, Answer)
    try:
        hops = replies.next_hops(event, replies.read(outcome, role.reaction), role, now)
    except InvalidReply as invalid:
        cause = Cause(Reason(invalid.reason), invalid.detail, outcome.status)
        return _retry(cause, event, role, attempt, now) if invalid.retry else _dead_letter(cause, event, role, now)
    stored = tuple(records.of_reply(hop, role.configuration.bus) for hop in hops)
    return Consequence(verdict="done", status=outcome.status, stored=stored)


def wait(delivery: Delivery, attempt: int, retry_after: float = 0.0) -> Wait:
    """Return the range that the wait after an attempt is drawn from."""
    shortest = min(delivery.backoff_max, retry_after)
    return Wait(shortest, max(shortest, ceiling(delivery, attempt)))


def _retry(cause: Cause, event: Event, role: Role, attempt: int, now: str, *, retry_after: float = 0.0) -> Consequence:
    if attempt > role.delivery.retry:
        return _dead_letter(cause, event, role, now)
    drawn = wait(role.delivery, attempt, retry_after)
    return Consequence(verdict="retry", status=cause.status, error=cause.text, wait=drawn)


def _dead_letter(cause: Cause, event: Event, role: Role, now: str) -> Consequence:
    failure = replies.failure(event, cause.reason, role, now)
    stored = () if failure is None else (records.of_reply(failure, role.configuration.bus),)
    return Consequence(verdict="dead-letter", status=cause.status, error=cause.text, reason=cause.reason, stored=stored)
