"""One pass over one bus: look, compare, and do what is missing.

Nothing is remembered of a pass that was cut short: whoever comes next looks again and finishes, for every step either stands
or does not. A pass over a bus that is as it is wanted costs the survey and nothing else.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from choregos_contract.names import BusNames
from choregos_contract.pages import ListTooLong
from choregos_contract.plan import Create, Existing, Nothing, Refuse, Step, Update, refuse_server, step
from choregos_contract.survey import BusSurvey, Reaction, survey
from choregos_contract.wire import (
    CONSUMER_NOT_FOUND,
    STREAM_NOT_FOUND,
    JetStreamError,
    Planner,
    request,
    settle,
    update_durable,
)
from choregos_contract.wiring import ORPHANED, Durable, Stream, Wanted
from choregos_operator.bus.asker import Asks
from choregos_operator.bus.drift import Drift, StreamPlan, plan_stream
from choregos_operator.bus.faults import BusUnusable, of_jetstream
from choregos_operator.bus.memory import Memory
from choregos_operator.bus.orphans import Keep, Mark, Renew, Sweep, Unmark, Verdict, orphans
from choregos_operator.bus.pipeline import pipelined
from choregos_operator.bus.positions import Positions
from choregos_operator.bus.state import BusState, Change, Orphan

_GONE = (CONSUMER_NOT_FOUND, STREAM_NOT_FOUND)


async def bring_about(
    asker: Asks,
    wanted: Wanted,
    *,
    names: BusNames,
    frozen: frozenset[str],
    now: datetime,
    orphan_ttl: timedelta,
    remembered: Positions | None = None,
    promised: frozenset[Reaction] = frozenset(),
) -> BusState:
    """Bring about what is wanted of a bus, and return what was found and done.

    `frozen`: uids of choreographies of which nothing is wanted because they cannot be read, and nothing given up either.
    `now` has a time zone. `remembered`: the `positions` of the pass before. `promised`: reactions that an ambassador is
    configured for, whose durables thus were there before. What is refused is in the state; raises BusFault if NATS is away,
    or will not have us at all.
    """
    if refusal := refuse_server(asker.server_version):
        raise BusUnusable(f"{refusal.what}: {refusal.reason}", refusal.mend, "NatsTooOld")
    try:
        found = await survey(asker.ask, names)
        one = _Pass(asker, wanted, names, found, now.astimezone(UTC))
        memory = Memory(names.event_stream, found, remembered, promised)
        return await one.run(memory, frozen, orphan_ttl)
    except JetStreamError as error:
        raise of_jetstream(error) from error
    except ListTooLong as error:
        raise BusUnusable(str(error), error.mend, "ListTooLong") from error


@dataclass(frozen=True, slots=True)
class _Pass:
    asker: Asks
    wanted: Wanted
    names: BusNames
    found: BusSurvey
    now: datetime

    async def run(self, memory: Memory, frozen: frozenset[str], ttl: timedelta) -> BusState:
        """Streams first; durables if all of them stand; then what nobody wants."""
        steps, drift = await self._streams()
        verdicts: tuple[Verdict, ...] = ()
        if not any(isinstance(each, Refuse) for each in steps):
            steps += await pipelined(self._durable, map(memory.placed, self.wanted.durables))
            names = frozenset(durable.name for durable in self.wanted.durables)
            verdicts = orphans(self.found.durables.values(), names, frozen, self.now, ttl)
            await pipelined(self._dispose, [each for each in verdicts if not isinstance(each, Keep)])
        swept = [each.durable for each in verdicts if isinstance(each, Sweep)]
        return BusState(
            created=tuple(each.target.name for each in steps if isinstance(each, Create)),
            updated=tuple(Change(each.target.name, each.fields) for each in steps if isinstance(each, Update)),
            refusals=tuple(each for each in steps if isinstance(each, Refuse)),
            drift=drift,
            restored=memory.restored(steps),
            lost=memory.lost(steps),
            remade=memory.remade(steps),
            orphaned=tuple(orphan for each in verdicts if (orphan := self._orphan(each))),
            swept=tuple(durable.reaction for durable in swept),
            out_of_sight=tuple(sorted(self.found.out_of_sight)),
            pending=self._pending(),
            dead_letters=self.found.dead_letters,
            streams=self.found.streams,
            positions=memory.positions(steps, self.wanted, frozen, frozenset(each.name for each in swept)),
        )

    async def _streams(self) -> tuple[list[Step], tuple[Drift, ...]]:
        steps: list[Step] = []
        drift: tuple[Drift, ...] = ()
        for stream in self.wanted.streams:
            first = self._stream_plan(
                stream, found.existing if (found := self.found.streams.get(stream.name)) else None
            )
            drift += first.drift
            steps.append(await self._settled(stream, partial(self._stream_step, stream), first.step))
        return steps, drift

    def _stream_plan(self, stream: Stream, existing: Existing | None) -> StreamPlan:
        version, explicit = self.asker.server_version, self.wanted.explicit
        return plan_stream(stream, existing, server_version=version, now=self._moment, explicit=explicit)

    def _stream_step(self, stream: Stream, existing: Existing | None) -> Step:
        return self._stream_plan(stream, existing).step

    async def _durable(self, durable: Durable) -> Step:
        if durable.name in self.found.out_of_sight:
            return Nothing(durable)
        plan = partial(step, durable, server_version=self.asker.server_version, now=self._moment)
        seen = self.found.durables.get(durable.name)
        return await self._settled(durable, plan, plan(seen.existing if seen else None))

    async def _settled(self, target: Stream | Durable, planner: Planner, first: Step) -> Step:
        """Apply one step; what is refused to one target is no reason to leave the others undone."""
        try:
            return await settle(self.asker.ask, target, planner, first)
        except JetStreamError as error:
            fault = of_jetstream(error)
            if fault.reason != "JetStreamRefused":
                raise
            return Refuse(str(target), f"JetStream refuses it: {error.description}", fault.mend)

    async def _dispose(self, verdict: Verdict) -> None:
        """Mark or sweep one durable; that it is gone meanwhile is no harm."""
        seen, stream = verdict.durable, self.names.event_stream
        match verdict:
            case Sweep():
                subject, body = f"CONSUMER.DELETE.{stream}.{seen.name}", b""
            case Mark() | Renew() | Unmark():
                metadata = {**seen.existing.config["metadata"], ORPHANED: self._moment}
                if isinstance(verdict, Unmark):
                    del metadata[ORPHANED]
                subject, body = update_durable(stream, seen.name, {**seen.existing.config, "metadata": metadata})
            case Keep():
                return
        try:
            await request(self.asker.ask, f"durable {seen.name} of stream {stream}", subject, body)
        except JetStreamError as error:
            if error.err_code not in _GONE:
                raise

    def _orphan(self, verdict: Verdict) -> Orphan | None:
        if not isinstance(verdict, Mark | Keep | Renew):
            return None
        service, event = verdict.durable.reaction
        return Orphan(
            service,
            event,
            verdict.durable.lag,
            since=verdict.since if isinstance(verdict, Keep) else self.now,
            fresh=not isinstance(verdict, Keep),
            owner=verdict.durable.owner,
            in_use=isinstance(verdict, Renew),
        )

    def _pending(self) -> dict[Reaction, int]:
        found = self.found.durables
        return {
            Reaction(each.service, each.event): found[each.name].lag
            for each in self.wanted.durables
            if each.name in found
        }

    @property
    def _moment(self) -> str:
        return self.now.isoformat(timespec="seconds").replace("+00:00", "Z")
