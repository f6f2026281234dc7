"""One pass over one bus, in reading order: look, wire, write the configurations, tell the pods, report.

The order is a promise: durables stand before a configuration lets anybody publish, and a pod is nudged after its ConfigMap
was written. Every step either stands or is done again by the next pass, so the process may be killed between any two.
"""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from choregos_operator.bus.connections import Connections
from choregos_operator.bus_identity import bus_hash, place
from choregos_operator.controller.ambassadors import Ambassadors, Standing, ambassadors
from choregos_operator.controller.announcements import Announcer, evicted, not_declared, without_ambassador
from choregos_operator.controller.api import Api, ApiError, Forbidden, NoNamespace, Refused
from choregos_operator.controller.configuring import Configured, Configuring
from choregos_operator.controller.eviction import Evictions
from choregos_operator.controller.labels_on_deployments import mislabelled
from choregos_operator.controller.latecomers import Latecomers
from choregos_operator.controller.metrics import Metrics
from choregos_operator.controller.nudge import farewells, nudge, nudges
from choregos_operator.controller.observed import Observed
from choregos_operator.controller.passes import ComeAgain
from choregos_operator.controller.reporting import Reporting
from choregos_operator.controller.sight import Sight, sight
from choregos_operator.controller.wiring import Outcome, Wirer
from choregos_operator.kube import Away
from choregos_operator.mirror import Key
from choregos_operator.settings import Settings

SWEEP_DELAY: Final = 2.0
"""Seconds beyond the moment at which an orphan may be swept."""


class Reconciler:
    """Looks at buses; what it remembers between two looks makes them cheaper and kinder, and may be forgotten."""

    def __init__(
        self,
        settings: Settings,
        api: Api,
        observed: Observed,
        announcer: Announcer,
        metrics: Metrics,
        *,
        connections: Connections,
    ) -> None:
        self._settings = settings
        self._api = api
        self._observed = observed
        self._announcer = announcer
        self._metrics = metrics
        self._evictions = Evictions(api)
        self._latecomers = Latecomers()
        self._wirer = Wirer(settings, connections)
        self._configuring = Configuring(api, observed)
        self._reporting = Reporting(api, observed, announcer, metrics, kept=timedelta(days=settings.orphan_ttl_days))

    async def look(self, scope: Key) -> float | None:
        """Run one pass; returns the seconds after which to look again, if it knows; raises ComeAgain."""
        with self._metrics.pass_seconds.time():
            try:
                again = await self._pass(sight(self._observed, scope), datetime.now(UTC))
            except NoNamespace:
                self._metrics.passes.labels("gone").inc()
                self._latecomers.forget(scope)
                return None  # so are the objects
            except (Away, ApiError) as error:
                self._metrics.passes.labels("api-error").inc()
                raise ComeAgain(str(error)) from error
            except ComeAgain:
                self._metrics.passes.labels("bus-fault").inc()
                raise
            else:
                self._metrics.passes.labels("done").inc()
                return again

    async def _pass(self, seen: Sight, now: datetime) -> float | None:
        outcome = await self._wirer.wire(seen, now)
        configured = self._located(await self._configuring.configure(seen, outcome, now), seen)
        untold = await self._nudge(seen, configured)
        standing = ambassadors(seen.pods, configured.targets, outcome.loaded_by_pod)
        await self._reporting.report(seen, outcome, configured, now)
        unsaid = await self._tell_owners(seen, standing, now)
        paused = await self._evict(seen, now) if self._settings.evict_uninjected else None
        if outcome.fault:
            raise ComeAgain(str(outcome.fault)) from outcome.fault
        if hindrances := [str(each) for each in (configured.undeleted, untold, unsaid) if each]:
            raise ApiError("; ".join(hindrances))
        behind = standing.of(Standing.BEHIND)
        soon = self._latecomers.again(seen.scope, behind, configured.targets, outcome.loaded_by_pod, now)
        waits = (soon, paused, self._until_sweep(seen, outcome, now))
        return min((each for each in waits if each is not None), default=None)

    def _located(self, configured: Configured, seen: Sight) -> Configured:
        """Add where ambassadors should be connected, as far as it is known."""
        where = "" if seen.obstacle else bus_hash(seen.bus, place(seen.bus, self._settings.servers))
        targets = {service: replace(target, bus_hash=where) for service, target in configured.targets.items()}
        return replace(configured, targets=targets)

    def _until_sweep(self, seen: Sight, outcome: Outcome, now: datetime) -> float | None:
        """Return when to look again at a bus that nobody speaks of any more: when its first orphan is to be swept."""
        if seen.stored or seen.stored_bus or outcome.state is None or not outcome.state.orphaned:
            return None
        kept = timedelta(days=self._settings.orphan_ttl_days)
        first = min(orphan.since for orphan in outcome.state.orphaned)
        return max((first + kept - now).total_seconds(), 0.0) + SWEEP_DELAY

    async def _nudge(self, seen: Sight, configured: Configured) -> ApiError | None:
        """Tell pods of their configuration; returns what kept it from them, which must not keep us from reporting."""
        try:
            wanted = (*nudges(seen.pods, configured.targets), *farewells(seen.undeclared))
            told = await nudge(self._api, wanted)
        except (Forbidden, Refused) as error:
            return error
        self._metrics.nudges.inc(told)
        return None

    async def _tell_owners(self, seen: Sight, standing: Ambassadors, now: datetime) -> ApiError | None:
        """Tell pods and workloads what is wrong with them; returns what kept it from them."""
        counts = Counter((pod.service, kind.value) for kind, pods in standing.pods.items() for pod in pods)
        self._metrics.pods(*seen.scope, counts)
        without = standing.of(Standing.WITHOUT)
        pods = map(without_ambassador, without)
        idle = (not_declared(pod) for pod in seen.undeclared if pod not in without)
        workloads = filter(None, map(mislabelled, seen.workloads))
        return await self._announcer.tell([*pods, *idle, *workloads], now=now)

    async def _evict(self, seen: Sight, now: datetime) -> float | None:
        """Evict whom it may; returns the seconds after which it may the next."""
        for pod in self._evictions.due(seen.pods, now):
            why_not = await self._evictions.evict(pod, now)
            self._metrics.evictions.labels("refused" if why_not else "evicted").inc()
            if not why_not:
                await self._announcer.tell([evicted(pod)], now=now)
        return self._evictions.again(seen.pods, now)
