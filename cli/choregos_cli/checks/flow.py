"""Whether events flow: what is left behind, what waits, and for how long."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from choregos_cli.checks.catalogue import Line
from choregos_cli.checks.facts import BusFacts, Facts
from choregos_cli.checks.lines import Fault, counted, judged
from choregos_cli.checks.nats import survey_of
from choregos_contract.quantities import format_duration
from choregos_contract.survey import DurableState

MAX_LAG: Final = 1000
BUSY: Final = 0.8
_HALF: Final = 0.5


def flow(facts: Facts, max_lag: int = MAX_LAG) -> Iterator[Line]:
    """Check the section."""
    reached, unseen = facts.reached, facts.unseen
    yield from judged("dead-letters", reached, _dead_letters, unseen=unseen)
    yield from judged("lag", reached, partial(_lag, bound=max_lag), _behind(max_lag), unseen=unseen)
    yield from judged("in-flight", reached, _in_flight, unseen=unseen)
    yield from judged("event-age", reached, partial(_age, now=facts.now), unseen=unseen)
    yield from judged("suspended", reached, _suspended, unseen=unseen)
    yield from judged("orphans", reached, _orphans, unseen=unseen)


def _behind(bound: int) -> str:
    return f"no reaction is more than {counted(bound, 'event')} behind"


def _dead_letters(buses: tuple[BusFacts, ...]) -> Iterable[Fault]:
    for bus in buses:
        for reaction, count in sorted(survey_of(bus).dead_letters.items()):
            yield Fault(f"the bus {bus}: {reaction} has {counted(count, 'dead letter')}")


def _lag(buses: tuple[BusFacts, ...], *, bound: int) -> Iterable[Fault]:
    for bus, durable in _in_use(buses):
        if durable.lag > bound:
            yield Fault(f"the bus {bus}: {durable.reaction} is {counted(durable.lag, 'event')} behind")


def _in_flight(buses: tuple[BusFacts, ...]) -> Iterable[Fault]:
    for bus, durable in _in_use(buses):
        if durable.max_in_flight > 0 and durable.in_hand >= BUSY * durable.max_in_flight:
            says = f"has {durable.in_hand} of its maxInFlight {durable.max_in_flight} out for delivery"
            yield Fault(f"the bus {bus}: {durable.reaction} {says}")


def _age(buses: tuple[BusFacts, ...], *, now: datetime) -> Iterable[Fault]:
    for bus in buses:
        max_age = next((each.max_age for each in bus.wanted.streams if each.name == bus.names.event_stream), 0.0)
        for reaction, stored in sorted(bus.oldest.items()):
            age = now - stored
            if max_age and age > timedelta(seconds=_HALF * max_age):
                spelt = f"{format_duration(int(age.total_seconds()))} of its maxAge {format_duration(max_age)}"
                yield Fault(f"the bus {bus}: the oldest event that waits for {reaction} has used {spelt}")


def _suspended(buses: tuple[BusFacts, ...]) -> Iterable[Fault]:
    for bus in buses:
        for reaction in sorted(bus.suspended):
            yield Fault(f"the bus {bus}: {reaction} is suspended")


def _orphans(buses: tuple[BusFacts, ...]) -> Iterable[Fault]:
    for bus in buses:
        for durable in survey_of(bus).durables.values():
            if durable.orphaned_since:
                says = f"nobody reacts any more as {durable.reaction}, since {durable.orphaned_since}"
                yield Fault(f"the bus {bus}: {says}; {counted(durable.lag, 'event')} would be lost with its durable")


def _in_use(buses: tuple[BusFacts, ...]) -> Iterator[tuple[BusFacts, DurableState]]:
    for bus in buses:
        for durable in survey_of(bus).durables.values():
            if durable.ours and not durable.orphaned_since:
                yield bus, durable
