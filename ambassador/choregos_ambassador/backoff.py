"""How long an event waits between two attempts."""

import random

from choregos_contract.configuration import Delivery


def ceiling(delivery: Delivery, attempt: int) -> float:
    """Longest wait after an attempt (counted from 1), in seconds: doubled each time, up to `backoffMax`."""
    return min(delivery.backoff_max, delivery.backoff_delay * 2.0 ** min(attempt - 1, 60))


def delay(delivery: Delivery, attempt: int, retry_after: float = 0.0) -> float:
    """Draw a wait with full jitter, in seconds, at least what the service asked for, at most `backoffMax`."""
    drawn = random.uniform(0, ceiling(delivery, attempt))  # noqa: S311  spread, not secrecy
    return min(delivery.backoff_max, max(drawn, retry_after))


def hand_back_delay(delivery: Delivery) -> float:
    """Draw a wait for an event that was not attempted: spread out, so that a recovered service is not overrun."""
    return random.uniform(0.5, 1.0) * min(delivery.backoff_delay, delivery.backoff_max)  # noqa: S311
