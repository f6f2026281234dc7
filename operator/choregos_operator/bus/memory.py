"""What a pass knows beyond what it sees: where durables stood, and which were there before.

It turns "there is no such durable" into one of three: a reaction that is new; one whose durable somebody removed, which comes
back where it stood; one whose place nobody remembers, because the controller started after the loss, which is told loudly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from choregos_contract.plan import Create, Step
from choregos_contract.survey import BusSurvey, Reaction, StreamState
from choregos_contract.wiring import Durable, Stream, Wanted
from choregos_operator.bus.positions import Position, Positions, first_position, resume_at
from choregos_operator.bus.state import Lost, Restored


@dataclass(frozen=True)
class Memory:
    """The pass before, and the configurations that ambassadors have."""

    event_stream: str
    found: BusSurvey
    remembered: Positions | None
    promised: frozenset[Reaction]

    def placed(self, durable: Durable) -> Durable:
        """Return the durable with the place to make it at, if it was there before; it may also vanish during the pass."""
        promised = Reaction(durable.service, durable.event) in self.promised
        known = self._seen if durable.name in self.found.durables else self.remembered
        return replace(durable, resume_at=resume_at(durable, known, self._events, promised=promised))

    def restored(self, steps: Sequence[Step]) -> tuple[Restored, ...]:
        """Return what came back where it stood."""
        if self._events is None or self._replaced:
            return ()
        return tuple(
            Restored(durable.service, durable.event, durable.resume_at)
            for durable in _made(steps)
            if durable.resume_at is not None
        )

    def lost(self, steps: Sequence[Step]) -> tuple[Lost, ...]:
        """Return what came back without its place; not what was removed to start anew."""
        remembered = self.remembered.of if self.remembered else {}
        return tuple(
            Lost(durable.service, durable.event, durable.start_from)
            for durable in _made(steps)
            if durable.resume_at is None
            and durable.name not in remembered
            and Reaction(durable.service, durable.event) in self.promised
        )

    def remade(self, steps: Sequence[Step]) -> tuple[str, ...]:
        """Return the streams that had been there and were gone; an inbox may be new beside old streams."""
        before = bool(self.promised or (self.remembered and self.remembered.of))
        streams = (each.target for each in steps if isinstance(each, Create) and isinstance(each.target, Stream))
        made = {stream.name for stream in streams if not stream.inbox}
        return tuple(sorted((made if before else set()) | ({self.event_stream} if self._replaced else set())))

    def positions(
        self, steps: Sequence[Step], wanted: Wanted, frozen: frozenset[str], swept: frozenset[str]
    ) -> Positions:
        """Return what the next pass shall remember: also of durables that could not be made again now."""
        before = self.remembered or Positions()
        if self._events is None and not any(_is(each, self.event_stream) for each in steps):
            return before
        names = {durable.name for durable in wanted.durables}
        kept = {name: each for name, each in before.of.items() if name in names or each.owner in frozen}
        if before.stream_created != self._seen.stream_created:
            kept = {name: replace(each, floor=0) for name, each in kept.items()}
        made = {each.name: at for each in _made(steps) if (at := first_position(each, self._events))}
        of: dict[str, Position] = {**kept, **self._seen.of, **made}
        # The creation of a stream that this pass made is not known: in a fresh stream, the beginning is the right place.
        return Positions(self._seen.stream_created, {name: each for name, each in of.items() if name not in swept})

    @property
    def _events(self) -> StreamState | None:
        return self.found.streams.get(self.event_stream)

    @cached_property
    def _seen(self) -> Positions:
        durables = self.found.durables.values()
        created = self._events.created if self._events else ""
        return Positions(created, {seen.name: Position.of(seen) for seen in durables})

    @property
    def _replaced(self) -> bool:
        """Whether the event stream is another one than before."""
        events, before = self._events, self.remembered and self.remembered.stream_created
        return events is not None and bool(before) and before != events.created


def _made(steps: Sequence[Step]) -> list[Durable]:
    return [each.target for each in steps if isinstance(each, Create) and isinstance(each.target, Durable)]


def _is(each: Step, stream: str) -> bool:
    return isinstance(each, Create) and each.target.name == stream
