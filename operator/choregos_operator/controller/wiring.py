"""The bus part of a pass, and what is remembered of it.

A pass that a pod or a ConfigMap set off needs no look at the bus: what was found at the last one will do until the next
sweep, as long as the same is wanted.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from choregos_contract.names import BusNames
from choregos_contract.running import RunningAmbassador
from choregos_contract.wiring import Wanted
from choregos_operator.bus.ambassadors import ambassadors
from choregos_operator.bus.bring_about import bring_about
from choregos_operator.bus.connections import Connections
from choregos_operator.bus.faults import BusAway, BusFault
from choregos_operator.bus.positions import Positions
from choregos_operator.bus.route import Route, route
from choregos_operator.bus.state import BusState
from choregos_operator.controller.sight import Sight
from choregos_operator.mirror import Key
from choregos_operator.settings import Settings

ANSWERS_LAST = 1.0
"""Seconds for which what ambassadors answered over NATS will do for another bus as well."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the bus came out."""

    state: BusState | None = None
    """What was found and done; None if the bus could not be looked at, or there is none."""
    fault: BusFault | None = None
    """Why it could not be looked at."""
    fresh: bool = False
    """Whether the state is of this pass, and what it did is news."""
    edited: tuple[str, ...] = ()
    """Durables that were put right though nobody wanted anything else: other hands were there."""
    running: tuple[RunningAmbassador, ...] = ()

    @property
    def away(self) -> str:
        """Why NATS could not be asked, which mends itself."""
        return str(self.fault) if isinstance(self.fault, BusAway) else ""

    @property
    def unusable(self) -> tuple[str, ...]:
        """Why NATS will not have us as we are, which somebody has to mend."""
        return () if self.fault is None or self.away else (str(self.fault),)

    @property
    def loaded_by_pod(self) -> dict[str, int]:
        """The generation that each pod's ambassador works with, as far as it told."""
        return {each.pod: each.generation for each in self.running if each.pod}

    @property
    def loaded_by_service(self) -> Mapping[str, int]:
        """The highest generation that an ambassador of each service works with."""
        found: dict[str, int] = defaultdict(int)
        for each in self.running:
            found[each.service] = max(found[each.service], each.generation)
        return found


Place = tuple[Route, BusNames]
"""Which streams of which servers: what was seen of others says nothing of these."""


@dataclass(slots=True)
class _Memory:
    place: Place
    positions: Positions | None = None
    asked: tuple[Wanted, frozenset[str]] | None = None
    looked: datetime | None = None
    state: BusState = field(default_factory=BusState)


class Wirer:
    """Brings the buses about."""

    def __init__(self, settings: Settings, connections: Connections) -> None:
        self._settings = settings
        self._connections = connections
        self._ttl = timedelta(days=settings.orphan_ttl_days)
        self._lasts = timedelta(seconds=settings.sweep_seconds / 2)
        self._memories: dict[Key, _Memory] = {}

    async def wire(self, seen: Sight, now: datetime) -> Outcome:
        """Bring about what is wanted of one bus; a bus that cannot be asked is an outcome, not an error."""
        if seen.obstacle:
            return Outcome()
        memory, wanted = self._memory(seen), seen.wanted
        if not (wanted.streams or memory.positions):
            del self._memories[seen.scope]
            return Outcome()
        asked = wanted, frozenset(seen.frozen)
        try:
            asker = await self._connections.asker(seen.bus)
            running = await ambassadors(asker, seen.names, max_age=ANSWERS_LAST) if seen.pods else ()
            if memory.asked == asked and memory.looked and now - memory.looked < self._lasts:
                return Outcome(memory.state, running=running)
            state = await bring_about(
                asker,
                wanted,
                names=seen.names,
                frozen=asked[1],
                now=now,
                orphan_ttl=self._ttl,
                remembered=memory.positions,
                promised=seen.promised,
            )
        except BusFault as fault:
            memory.looked = None
            return Outcome(fault=fault)
        edited = tuple(each.name for each in state.updated) if memory.asked == asked else ()
        # What was refused may be granted by the time of the next pass.
        memory.positions, memory.asked, memory.state = state.positions, asked, state
        memory.looked = None if state.refusals else now
        if not wanted.streams and not state.orphaned:
            del self._memories[seen.scope]  # nobody speaks of this bus any more, and nothing of it is left to be swept
        return Outcome(state, fresh=True, edited=edited, running=running)

    def _memory(self, seen: Sight) -> _Memory:
        """Return what is remembered of a bus: nothing, if it is on other servers or has other streams than before."""
        place = route(seen.bus, self._settings), seen.names
        memory = self._memories.get(seen.scope)
        if memory is None or memory.place != place:
            memory = self._memories[seen.scope] = _Memory(place)
        return memory
