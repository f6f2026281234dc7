"""The life of the controller: wait for the Lease, then keep in step with the cluster and run a pass for every change."""

import asyncio
from typing import Final

from kubernetes.aio.client import ApiClient
from prometheus_client import CollectorRegistry

from choregos_operator.bus.connections import Connections
from choregos_operator.certificates.keeper import Keeper
from choregos_operator.controller.announcements import Announcer
from choregos_operator.controller.api import Api
from choregos_operator.controller.metrics import Metrics
from choregos_operator.controller.observed import KINDS, Observed
from choregos_operator.controller.passes import Passes
from choregos_operator.controller.reconcile import Reconciler
from choregos_operator.kube import connect
from choregos_operator.lease import Lease
from choregos_operator.probes import served
from choregos_operator.settings import Settings
from choregos_operator.waiting import set_within
from choregos_operator.watching import watch

MOST_IN_A_SWEEP: Final = 10
"""Buses that are looked at within `sweep_seconds`: at its default, that is a request each second to NATS."""


async def live(settings: Settings, stop: asyncio.Event, *, identity: str) -> None:
    """Reconcile while the Lease is held, until `stop`; raises lease.Lost, OSError, and what ends the watch."""
    registry = CollectorRegistry()
    async with (
        served(settings.probes_host, settings.probes_port, registry, lambda: None),
        await connect() as client,
    ):
        lease = Lease(
            client,
            namespace=settings.namespace,
            name=settings.lease,
            identity=identity,
            duration=settings.lease_seconds,
        )
        holding = asyncio.create_task(lease.hold(lambda: _work(settings, client, registry, identity, stop)))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({holding, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if holding.done():
                holding.result()
        finally:
            stopping.cancel()
            holding.cancel()
            await asyncio.gather(holding, stopping, return_exceptions=True)


async def _work(
    settings: Settings, client: ApiClient, registry: CollectorRegistry, identity: str, stop: asyncio.Event
) -> None:
    """Look at every bus whose objects change, once all of them are known, and at all of them at every sweep."""
    api, connections, observed, synced = Api(client), Connections(settings), Observed(), asyncio.Event()
    announcer, metrics = Announcer(api, identity), Metrics(registry)
    reconciler = Reconciler(settings, api, observed, announcer, metrics, connections=connections)
    cut_off = metrics.passes.labels("cut-off").inc
    passes = Passes(reconciler.look, ready=synced, apart=observed.elsewhere, cut_off=cut_off)
    observed.tell(passes.mark)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(Keeper(client, settings, registry).run(stop), name="webhook certificate")
            group.create_task(_sweep(settings, observed, passes, stop), name="sweep")
            group.create_task(
                watch(
                    client, KINDS, observed.mirror, synced=synced, again=settings.sweep_seconds, stop=stop, clears=True
                ),
                name="keep in step",
            )
    finally:
        await passes.close()
        await connections.close()


async def _sweep(settings: Settings, observed: Observed, passes: Passes, stop: asyncio.Event) -> None:
    """Look at every bus now and then, one after the other, for what changed without a notice.

    A look takes a handful of requests to NATS: where there are many buses, it is the time between two looks that grows.
    """
    while not stop.is_set():
        scopes = sorted(observed.store.scopes)
        for scope in scopes:
            passes.mark(scope)
            await set_within(stop, settings.sweep_seconds / min(len(scopes), MOST_IN_A_SWEEP))
        if not scopes:
            await set_within(stop, settings.sweep_seconds)
