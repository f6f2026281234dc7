"""What the bus and the other choreographies of the namespace make of a candidate, and what it does to them: warnings only.

Only what concerns the candidate is looked at, so that an admission among hundreds of choreographies stays cheap.
"""

from collections.abc import Iterator, Sequence

from choregos_contract.graph import graph_of
from choregos_contract.neighbours import collisions
from choregos_contract.resources import Choreography
from choregos_operator.bus_identity import no_such_bus
from choregos_operator.store import Store


def without_bus(candidate: Choreography, store: Store) -> Iterator[str]:
    """Yield that the bus of a choreography is not there: nothing of it is wired until then."""
    namespace, bus = candidate.metadata.namespace, candidate.spec.bus
    if store.stored_bus(namespace, bus) is None and (missing := no_such_bus(bus, namespace)):
        yield f"spec.bus: {missing}"


def upon_others(
    old: Choreography | None, candidate: Choreography, elders: Sequence[Choreography], younger: Sequence[Choreography]
) -> Iterator[str]:
    """Yield what an edit does to other choreographies that was not so before; `old` is None if it cannot be read."""
    before = [old] if old else []
    for other in younger:
        known = {each.message for each in collisions(other, before)}
        for doubt in collisions(other, [candidate]):
            if doubt.message not in known:
                yield f"{other.metadata.name}, which is younger: {doubt.message}; {doubt.hint}"
    yield from _starved(before, candidate, [*elders, *younger])


def _starved(before: Sequence[Choreography], candidate: Choreography, others: Sequence[Choreography]) -> Iterator[str]:
    """Yield the events that the candidate emits no longer and that another one takes from outside."""
    if not (lost := _emitted(before) - _emitted([candidate])):
        return
    for bus in {each.spec.bus for each in before}:
        peers = [other for other in others if other.spec.bus == bus]
        for event in sorted(lost - _emitted(peers)):
            if waiting := [peer.metadata.name for peer in peers if _takes(peer, event)]:
                yield f'no choreography emits "{event}" any more, and {waiting[0]} declares it external'


def _takes(choreography: Choreography, event: str) -> bool:
    spec = choreography.spec.events.get(event)
    return spec is not None and spec.external


def _emitted(choreographies: Sequence[Choreography]) -> frozenset[str]:
    return frozenset(graph_of(choreographies).emitted) if choreographies else frozenset()
