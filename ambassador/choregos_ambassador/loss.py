"""What two looks at a reaction's durable prove about events that the stream removed unread. Pure.

JetStream tells nobody: what `maxAge`, a purge or a full stream with `discard: old` removes is no longer pending, and that is
all. So the figures of two looks are compared. What was undelivered at the first, or stored since, is at the second still
undelivered, or was delivered in between, or is gone:

    gone = undelivered before + stored since - undelivered now - delivered since

Deliveries are counted by the server with the redeliveries among them, so that this is exact where a reaction stands still
(suspended, its service away), and else the least it can be. An event that is removed while it waits out a backoff is told by
an advisory, to those who are connected. Everything else that may have gone, though it may have been read as well, is bounded
from above: by what is unacknowledged no more, and by how far the stream's removals have come.
"""

import msgspec


class Look(msgspec.Struct, frozen=True, rename="camel"):
    """A durable and its stream at one moment. Sequences are the stream's; `time` is the server's, in Unix seconds."""

    time: float
    durable: str
    """When the durable was created: another one has nothing to do with this one's figures."""
    first: int
    last: int
    removed: int
    """Messages that were removed from between the first and the last."""
    delivered: int
    """Sequence up to which the durable has read."""
    deliveries: int
    """Deliveries ever, each redelivery included."""
    pending: int
    unacknowledged: int
    """Events out for delivery, those that wait out a backoff included."""
    oldest: int
    """No event before this sequence is unacknowledged."""


class Loss(msgspec.Struct, frozen=True):
    """Events that are gone unread: so many at least, so many at most, all of them within these sequences."""

    least: int = 0
    most: int = 0
    first: int = 0
    last: int = 0


def may_be(before: Look, after: Look) -> bool:
    """Return whether the stream has removed anything since that a reaction had not acknowledged."""
    return _removals(before, after) > 0


def between(before: Look, after: Look, stored: int | None, advised: int) -> Loss:
    """Return the loss between two looks, without what advisories told.

    `stored`: events of the reaction that were stored after the first look and are there at the second, None where that is
    unknown. `advised`: events that were removed since while they were out for delivery.
    """
    fewest, most = (0, after.last - max(before.last, after.first - 1)) if stored is None else (stored, stored)
    removals = _removals(before, after)
    undelivered = before.pending + fewest - after.pending - (after.deliveries - before.deliveries)
    least = max(0, min(undelivered, removals))
    settled = before.pending + before.unacknowledged + most - after.pending - after.unacknowledged
    possible = min(settled + _unseen(before, after), removals) - advised
    return Loss(least, max(least, possible), before.oldest, max(after.first - 1, before.oldest))


def unwitnessed(after: Look) -> Loss:
    """Return what may be gone where nobody has looked before, or so long ago that the note of it is gone, too."""
    most = max(0, after.first - 1 - after.delivered)
    return Loss(0, most, after.delivered + 1, after.first - 1) if most else Loss()


def _removals(before: Look, after: Look) -> int:
    """Count the sequences that the stream has removed since, from the oldest unacknowledged event on."""
    return max(0, after.first - max(before.first, before.oldest)) + max(0, after.removed - before.removed)


def _unseen(before: Look, after: Look) -> int:
    """Count the sequences that may have been stored and removed between the looks."""
    at_the_end = after.last - max(before.last, after.first - 1)
    return max(0, after.first - 1 - before.last) + min(max(0, after.removed - before.removed), at_the_end)
