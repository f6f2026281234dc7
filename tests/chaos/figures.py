"""The figures of a round: redeliveries, and how long it took to recover from each kind of fault. Pure."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from chaos.choreography import ENTRY, OUTCOMES, ROLES
from chaos.evidence import Evidence
from chaos.ledger import Struck
from chaos.overlaps import late
from chaos.streams import StoredEvent, Streams


@dataclass(frozen=True)
class Recovery:
    """Seconds from the end of a fault until the last transaction that was under way at its end had its outcome.

    Faults overlap, and a killed holder's events come back after 30 s, whoever was killed: a kind of fault that costs
    nothing itself shows what others cost at the same time.
    """

    n: int
    median_s: float
    p99_s: float


def events(evidence: Evidence) -> int:
    """Count what the bus carried: the orders that were accepted, and every event in the stream that followed from one."""
    return len(evidence.accepted) + sum(each.type != ENTRY for each in evidence.streams.events)


def redelivered(streams: Streams) -> int:
    """Count the deliveries of all durables beyond the first of each event."""
    of_reaction = {role.name: role.event for role in ROLES}
    extra = 0
    for position in streams.positions:
        kind = of_reaction[position.reaction]
        distinct = sum(each.type == kind and each.sequence <= position.delivered for each in streams.events)
        extra += max(0, position.deliveries - distinct)  # a server that was killed may count anew from a while ago
    return extra


def letters(streams: Streams) -> dict[str, int]:
    """Count dead letters by reason; any but `rejected` is the work of a fault."""
    return dict(Counter(each.reason for each in streams.letters))


def excused(evidence: Evidence) -> dict[str, int]:
    """Count what the judge lets pass: what looks like two calls at once to the service, and not to any ambassador.

    `late`: the earlier call was at its time-out, or had been given up, when the later one began. `hung-up`: a request
    was found in the socket when its caller had gone, and left alone.
    """
    return {"late": len(list(late(evidence.calls))), "hung-up": len(evidence.hung_up)}


def recoveries(struck: Sequence[Struck], stored: Sequence[StoredEvent]) -> dict[str, Recovery]:
    """Return the recovery time of each kind of fault."""
    spans = _spans(stored)
    found: defaultdict[str, list[float]] = defaultdict(list)
    for each in struck:
        if not each.missed:
            end = each.ended_wall
            found[each.kind].append(max((last - end for first, last in spans if first <= end < last), default=0.0))
    return {kind: _summary(sorted(times)) for kind, times in sorted(found.items())}


def _spans(stored: Sequence[StoredEvent]) -> list[tuple[float, float]]:
    """When each transaction that has an outcome began, and when it had it."""
    begun: dict[str, float] = {}
    settled: dict[str, float] = {}
    for event in stored:
        begun.setdefault(event.correlation, event.wall)
        if event.type in OUTCOMES:
            settled[event.correlation] = event.wall
    return [(begun[transaction], moment) for transaction, moment in settled.items()]


def _summary(times: Sequence[float]) -> Recovery:
    rank = math.ceil(0.99 * len(times)) - 1
    return Recovery(len(times), round(median(times), 2), round(times[rank], 2))
