"""The last part of a pass: conditions and figures into the objects' status, and Kubernetes Events for what happened."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from choregos_contract import status
from choregos_contract.status import Condition, Reported
from choregos_contract.survey import Reaction
from choregos_contract.wiring import Durable
from choregos_operator.bus.state import BusState, Orphan
from choregos_operator.configured import configmap_name
from choregos_operator.controller import announcements
from choregos_operator.controller.ambassadors import Ambassadors, ambassadors
from choregos_operator.controller.announcements import Announcement, Announcer, Regarding, transitions
from choregos_operator.controller.api import Api, NotThere
from choregos_operator.controller.conditions import Type, Wiring, bus_answers, choreography_answers, dated
from choregos_operator.controller.configuring import Configured
from choregos_operator.controller.metrics import Metrics
from choregos_operator.controller.observed import Observed
from choregos_operator.controller.sight import Sight
from choregos_operator.controller.status_of import (
    BusFigures,
    ChoreographyFigures,
    bus_status,
    bus_status_of,
    changed,
    choreography_status,
    choreography_status_of,
    patch,
)
from choregos_operator.controller.wiring import Outcome
from choregos_operator.kube import Body
from choregos_operator.store import Stored
from choregos_operator.watching import CHOREOGRAPHIES, EVENT_BUSES


class Reporting:
    """Writes what is to be known of a bus and its choreographies, when it is news."""

    def __init__(
        self, api: Api, observed: Observed, announcer: Announcer, metrics: Metrics, *, kept: timedelta
    ) -> None:
        self._api = api
        self._observed = observed
        self._announcer = announcer
        self._metrics = metrics
        self._kept = kept
        self._written: dict[str, datetime] = {}

    async def report(self, seen: Sight, outcome: Outcome, configured: Configured, now: datetime) -> None:
        """Report about every choreography of the bus, then about the bus."""
        one = _Report(seen, outcome, configured, now, self._kept)
        ready = {}
        for stored in seen.stored:
            conditions, new = one.of_choreography(stored)
            ready[stored.body["metadata"]["name"]] = _is_ready(conditions)
            before = choreography_status_of(stored.body)
            about = Regarding.of(stored.body)
            news = [*transitions(about, before.conditions, conditions), *one.happened(about, stored)]
            # Told first: what fails between the two is told twice, not never.
            await self._announcer.tell(news, now=now)
            await self._write(stored.body, before, new, now)
        if seen.stored_bus:
            await self._report_bus(seen, one, now)
        self._measure(seen, outcome, ready)

    async def _report_bus(self, seen: Sight, one: "_Report", now: datetime) -> None:
        assert seen.stored_bus
        body = seen.stored_bus.body
        conditions, new = one.of_bus()
        before = bus_status_of(body)
        about = Regarding.of(body)
        news = [*transitions(about, before.conditions, conditions), *one.happened_to_bus(about)]
        await self._announcer.tell(news, now=now)
        await self._write(body, before, new, now)

    async def _write(self, body: Body, before: Reported, new: Reported, now: datetime) -> None:
        uid, metadata = body["metadata"]["uid"], body["metadata"]
        if not changed(before.as_reported(), new.as_reported(), now=now, last_written=self._written.get(uid)):
            return
        try:
            written = await self._api.patch_status(
                body["kind"], metadata["namespace"], metadata["name"], patch(body, new)
            )
        except NotThere:
            return  # deleted since: nobody is left to read it
        self._written[uid] = now
        self._observed.wrote(CHOREOGRAPHIES if body["kind"] == "Choreography" else EVENT_BUSES, written)

    def _measure(self, seen: Sight, outcome: Outcome, ready: Mapping[str, bool]) -> None:
        if not seen.stored and seen.stored_bus is None:
            self._metrics.forget(*seen.scope)
            return
        self._metrics.ready(*seen.scope, ready)
        state = outcome.state
        self._metrics.bus(
            *seen.scope,
            connected=not outcome.fault,
            lag=sum(state.pending.values()) if state else None,
            dead_letters=sum(state.dead_letters.values()) if state else None,
            orphans=len(state.orphaned) if state else None,
        )


class _Report:
    """What a pass has to say: pure, from what it saw and did."""

    def __init__(self, seen: Sight, outcome: Outcome, configured: Configured, now: datetime, kept: timedelta) -> None:
        self._seen = seen
        self._outcome = outcome
        self._state = outcome.state or BusState()
        self._configured = configured
        self._now = now
        self._kept = kept
        self._durables: dict[str, list[Durable]] = {}
        for durable in seen.wanted.durables if outcome.state else ():
            self._durables.setdefault(durable.owner, []).append(durable)
        owners = {str(durable): owner for owner, durables in self._durables.items() for durable in durables}
        self._obstacles = [seen.obstacle] if seen.obstacle else []
        self._refused = [(owners.get(each.what), str(each)) for each in self._state.refusals]

    def of_choreography(self, stored: Stored) -> tuple[tuple[Condition, ...], Reported]:
        """Return conditions and status of a choreography."""
        before, generation = choreography_status_of(stored.body), stored.body["metadata"]["generation"]
        together = self._seen.together.get(stored.choreography.identity, ()) if stored.choreography else ()
        standing = self._standing(stored)
        answers = choreography_answers(stored.findings, together, self._wiring(stored), standing)
        conditions = dated(answers, before.conditions, generation=generation, now=self._now)
        return conditions, choreography_status(generation, conditions, self._figures(stored, standing), before)

    def of_bus(self) -> tuple[tuple[Condition, ...], Reported]:
        """Return conditions and status of the bus."""
        stored = self._seen.stored_bus
        assert stored
        before, generation = bus_status_of(stored.body), stored.body["metadata"]["generation"]
        wiring = Wiring(
            away=self._outcome.away,
            refusals=[*self._obstacles, *self._outcome.unusable, *map(str, self._state.refusals)],
            drift=[str(drift) for drift in self._state.drift],
        )
        conditions = dated(
            bus_answers(stored.findings, wiring), before.conditions, generation=generation, now=self._now
        )
        return conditions, bus_status(generation, conditions, self._bus_figures(), before)

    def happened(self, about: Regarding, stored: Stored) -> Iterator[Announcement]:
        """Yield what happened to the reactions of a choreography."""
        for service in stored.choreography.spec.services if stored.choreography else ():
            if service in self._configured.edited:
                yield announcements.edited(about, f"the ConfigMap {configmap_name(service)}")
        if self._outcome.fresh:
            yield from self._happened_on_bus(about, stored.body["metadata"]["uid"])

    def _happened_on_bus(self, about: Regarding, uid: str) -> Iterator[Announcement]:
        mine = set(self._reactions(uid))
        yield from (
            announcements.restored(about, found)
            for found in self._state.restored
            if (found.service, found.event) in mine
        )
        yield from (announcements.lost(about, gone) for gone in self._state.lost if (gone.service, gone.event) in mine)
        names = {durable.name for durable in self._durables.get(uid, ())}
        yield from (announcements.edited(about, f"durable {name}") for name in self._outcome.edited if name in names)
        yield from (
            announcements.orphaned(about, orphan, self._kept)
            for orphan in self._state.orphaned
            if orphan.fresh and orphan.owner == uid
        )

    def happened_to_bus(self, about: Regarding) -> Iterator[Announcement]:
        """Yield what happened to the streams, and to durables that are no choreography's any more."""
        if not self._outcome.fresh:
            return
        yield from (announcements.remade(about, stream) for stream in self._state.remade)
        yield from (announcements.swept(about, reaction) for reaction in self._state.swept)
        for orphan in self._unowned():
            if orphan.fresh:
                yield announcements.orphaned(about, orphan, self._kept)

    def _wiring(self, stored: Stored) -> Wiring:
        """Refusals of other choreographies' durables are not this one's business."""
        uid = stored.body["metadata"]["uid"]
        refusals = [refusal for owner, refusal in self._refused if owner in (None, uid)]
        services = stored.choreography.spec.services if stored.choreography else {}
        return Wiring(
            away=self._outcome.away,
            refusals=[*self._obstacles, *self._outcome.unusable, *refusals],
            unwritten=[text for name, text in self._configured.unwritten.items() if name in services],
            drift=[str(drift) for drift in self._state.drift],
            notes=[f"durable {name} cannot be seen now" for name in self._state.out_of_sight],
        )

    def _standing(self, stored: Stored) -> Ambassadors:
        services = stored.choreography.spec.services if stored.choreography else {}
        pods = (pod for pod in self._seen.pods if pod.service in services)
        return ambassadors(pods, self._configured.targets, self._outcome.loaded_by_pod)

    def _figures(self, stored: Stored, standing: Ambassadors) -> ChoreographyFigures:
        if stored.choreography is None:
            return ChoreographyFigures()
        services, known = stored.choreography.spec.services, self._outcome.state is not None
        mine = list(self._reactions(stored.body["metadata"]["uid"]))
        return ChoreographyFigures(
            services=len(services),
            reactions=sum(len(service.reactions) for service in services.values()),
            ambassadors=status.Ambassadors(current=standing.current, total=standing.total),
            lag=_sum(self._state.pending, mine) if known else None,
            dead_letters=_sum(self._state.dead_letters, mine) if known else None,
            orphaned=_orphans(each for each in self._state.orphaned if each.owner == stored.body["metadata"]["uid"])
            if known
            else None,
        )

    def _bus_figures(self) -> BusFigures:
        known = self._outcome.state is not None
        events = self._state.streams.get(self._seen.names.event_stream)
        return BusFigures(
            choreographies=len(self._seen.stored),
            reactions=sum(map(len, self._durables.values())) if known else None,
            events=(events.messages if events else 0) if known else None,
            dead_letters=sum(self._state.dead_letters.values()) if known else None,
            orphaned=_orphans(self._unowned()) if known else None,
        )

    def _reactions(self, uid: str) -> Iterator[Reaction]:
        yield from (Reaction(durable.service, durable.event) for durable in self._durables.get(uid, ()))

    def _unowned(self) -> list[Orphan]:
        uids = {stored.body["metadata"]["uid"] for stored in self._seen.stored}
        return [orphan for orphan in self._state.orphaned if orphan.owner not in uids]


def _sum(counts: Mapping[Reaction, int], reactions: Iterable[Reaction]) -> int:
    return sum(counts.get(reaction, 0) for reaction in reactions)


def _orphans(found: Iterable[Orphan]) -> tuple[status.Orphan, ...]:
    return tuple(
        status.Orphan(
            reaction=f"{each.service}/{each.event}",
            pending=each.pending,
            since=each.since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        for each in found
    )


def _is_ready(conditions: Iterable[Condition]) -> bool:
    return any(each.type == Type.READY and each.status == "True" for each in conditions)
