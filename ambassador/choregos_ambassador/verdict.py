"""The verdict over one attempt: one constant table, and one function that reads it.

A status is looked up in the rows of TABLE from the top; `delivery.reject` and `delivery.retryOn` move a status between
rows, and the header `Choregos-Verdict` has the last word. Whether the replies of an answer that is done are in order is
decided afterwards, in `replies`.
"""

from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import cache
from typing import Final

import msgspec

from choregos_ambassador.answer import Answer, NoAnswer, Trouble
from choregos_contract.configuration import Delivery

VERDICT_HEADER: Final = "choregos-verdict"


class Action(StrEnum):
    """What happens to the event."""

    DONE = "done"
    """The service took it: its replies are stored, then it is acknowledged."""
    RETRY = "retry"
    """Another attempt after a backoff; after the last one a dead letter, reason `exhausted`."""
    REJECT = "reject"
    """A dead letter at once, reason `rejected`."""
    HAND_BACK = "hand-back"
    """No attempt was made: back to the bus, however often."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: what the service answers, the action, and whether it counts towards the breaker."""

    answer: str
    statuses: Container[int]
    action: Action
    breaker: bool = False


TABLE: Final = (
    Row("2xx", range(200, 300), Action.DONE),
    Row("410, 413, 415, 422, 501", frozenset({410, 413, 415, 422, 501}), Action.REJECT),
    Row("429, 503", frozenset({429, 503}), Action.RETRY, breaker=True),
    Row("any other status (3xx, 5xx, 400, 404, 408, 409, 425 ...)", range(1000), Action.RETRY),
)
_ROW_OF: Final = tuple(next(row for row in TABLE if status in row.statuses) for status in range(1000))
TROUBLES: Final = {
    Trouble.UNREACHABLE: Action.HAND_BACK,
    Trouble.TIMEOUT: Action.RETRY,
    Trouble.CUT: Action.RETRY,
    Trouble.MALFORMED: Action.RETRY,
}
OVERRIDES: Final = {"ack": Action.DONE, "retry": Action.RETRY, "reject": Action.REJECT}


class Verdict(msgspec.Struct, frozen=True):
    """What to do with the event, why, and how long the service asked to be left alone (seconds)."""

    action: Action
    breaker: bool = False
    status: int | None = None
    error: str = ""
    said: str = ""
    """The start of an answer's body: for dead letters, and for logs only where they may hold it."""
    retry_after: float = 0.0


@cache
def _done(status: int) -> Verdict:
    """Return what nearly every event comes to, made once."""
    return Verdict(Action.DONE, status=status)


def judge(outcome: Answer | NoAnswer, delivery: Delivery) -> Verdict:
    """Read the table."""
    if isinstance(outcome, NoAnswer):
        error = f"{outcome.trouble}: {outcome.detail}" if outcome.detail else str(outcome.trouble)
        return Verdict(TROUBLES[outcome.trouble], breaker=True, error=error)
    row = _ROW_OF[outcome.status]
    action = row.action
    if outcome.status in delivery.reject:
        action = Action.REJECT
    elif outcome.status in delivery.retry_on:
        action = Action.RETRY
    if said := outcome.header(VERDICT_HEADER):
        action = OVERRIDES.get(said.strip().lower(), action)
    if action is Action.DONE:
        return _done(outcome.status)
    return Verdict(
        action,
        breaker=row.breaker and action is Action.RETRY,
        status=outcome.status,
        error=f"HTTP {outcome.status}",
        said=_excerpt(outcome.body),
        retry_after=_retry_after(outcome.header("retry-after")),
    )


def _excerpt(body: bytes) -> str:
    return " ".join(body[:400].decode(errors="replace").split())[:280]


def _retry_after(value: str | None) -> float:
    """Seconds of a `Retry-After` (RFC 9110, section 10.2.3), which may be a date; 0 for none, nonsense or the past."""
    if value is None:
        return 0.0
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
