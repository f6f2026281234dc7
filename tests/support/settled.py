"""The proof that nothing was lost or done twice, from what stands in the streams alone."""

import logging
import time
from collections.abc import Collection, Iterable
from typing import Final

from choregos_cli.reading import dead_letter_reader, dead_lettered, event_reader, event_stored
from choregos_cli.transactions import Roles, State, Transactions
from choregos_contract.resources import Choreography
from support.bus import TestBus
from support.waiting import wait_for

_log: Final = logging.getLogger(__name__)
SETTLING: float = 180.0
"""Seconds that everything may take to come to its end: a handed-back event waits out its backoff."""


async def settled(bus: TestBus, choreography: Choreography, accepted: Collection[str]) -> Transactions:
    """Wait until nothing is pending, and return the transactions; raises AssertionError if a promise was broken.

    `accepted` are the correlation ids of all that was promised to anybody. Each must have ended, with one outcome.
    """
    durables = [
        bus.names.durable(name, reaction.event)
        for name, service in choreography.spec.services.items()
        for reaction in service.reactions
    ]

    async def all_idle() -> bool:
        before = await _last(bus)
        idle = [await bus.is_idle(durable) for durable in durables]
        return all(idle) and before == await _last(bus)

    started = time.monotonic()
    await wait_for(all_idle, "no reaction has anything before it", SETTLING)
    _log.info("idle after %d s", time.monotonic() - started)
    found = await _transactions(bus, choreography)
    judge(found, frozenset(accepted))
    return found


async def _transactions(bus: TestBus, choreography: Choreography) -> Transactions:
    found = Transactions(Roles.of([choreography]))
    async for message in event_reader(bus.connection, bus.names).to_the_end():
        stored = event_stored(message)
        assert stored, "there is something on the bus that is no event"
        found.feed(stored)
    async for message in dead_letter_reader(bus.connection, bus.names).to_the_end():
        found.feed(dead_lettered(message))
    return found


def judge(found: Transactions, accepted: frozenset[str]) -> None:
    """Raise AssertionError if something accepted is lost, or a transaction has no outcome, two, or an event twice."""
    by_id = {each.correlation_id: each for each in found}
    assert not (lost := accepted - by_id.keys()), f"{len(lost)} of {len(accepted)} accepted deliveries are lost"
    ended = (State.COMPLETED, State.FAILED)
    stuck = [each.correlation_id for each in found if each.state(idle=True) not in ended]
    assert not stuck, _told("came to no outcome", stuck, len(found))
    doubled = [each.correlation_id for each in found if each.duplicates]
    assert not doubled, _told("hold an event twice or two outcomes", doubled, len(found))


def _told(what: str, which: Iterable[str], of: int) -> str:
    names = sorted(which)
    return f"{len(names)} of {of} transactions {what}, such as {', '.join(names[:3])}"


async def _last(bus: TestBus) -> int:
    return int((await bus.api(f"STREAM.INFO.{bus.names.event_stream}"))["state"]["last_seq"])
