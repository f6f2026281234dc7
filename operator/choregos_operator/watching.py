"""Keeping in step with the API server: list once, then watch, and list again now and then.

kopf watches. A deletion that falls into a gap of its watch (a compacted history, an API server that was away for long) it
never tells, because nothing of ours holds a finalizer; that is what listing again is for.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from typing import Any, Final

import kopf
from kubernetes.aio.client import ApiClient, ApiException

from choregos_contract.resources import API_VERSION
from choregos_operator.kube import Away, Kind, list_all
from choregos_operator.log import log
from choregos_operator.mirror import Mirror

GROUP, VERSION = API_VERSION.split("/")
CHOREOGRAPHIES: Final = Kind(GROUP, VERSION, "choreographies", "Choreography")
EVENT_BUSES: Final = Kind(GROUP, VERSION, "eventbuses", "EventBus")

COME_AGAIN: Final = 2.0
"""Seconds between two attempts to list at the start."""


class _Patience:
    """Waits between attempts to reach the API server, in seconds: without an end, for kopf gives up after the last."""

    def __iter__(self) -> Iterator[float]:
        return chain((0.5, 1.0, 2.0), repeat(5.0))


async def watch(
    client: ApiClient,
    kinds: Sequence[Kind],
    mirror: Mirror,
    *,
    synced: asyncio.Event,
    again: float,
    stop: asyncio.Event,
) -> None:
    """Keep the mirror in step with every object of these kinds until `stop`; `synced` is set when it holds all.

    Lists everything again every `again` seconds. Raises what ends kopf.
    """
    await _first_listing(client, kinds, mirror, stop)
    synced.set()
    watching = asyncio.create_task(_run_kopf(kinds, mirror, stop), name="watch")
    try:
        while not stop.is_set() and not watching.done():
            await asyncio.wait({watching}, timeout=again)
            with contextlib.suppress(Away):
                await _list(client, kinds, mirror)
        await watching
    finally:
        watching.cancel()
        await asyncio.wait({watching})


async def _first_listing(client: ApiClient, kinds: Sequence[Kind], mirror: Mirror, stop: asyncio.Event) -> None:
    """List as soon as there is an API server, and our kinds on it; says once why it waits."""
    told = None
    while not stop.is_set():
        try:
            await _list(client, kinds, mirror)
        except (Away, ApiException) as error:
            if (why := _sentence(error)) != told:
                log.warning("waiting for the API server", reason=why)
                told = why
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), COME_AGAIN)
        else:
            return


async def _list(client: ApiClient, kinds: Sequence[Kind], mirror: Mirror) -> None:
    for kind in kinds:
        mirror.replace(kind, await list_all(client, kind))


def _sentence(error: Away | ApiException) -> str:
    if isinstance(error, Away):
        return str(error)
    if error.status == 404:
        return "the custom resources are not installed; apply crds/ or install the chart"
    if error.status == 403:
        return f"forbidden: {error.body}; bind the operator's ClusterRole to its service account"
    return f"the API server answers {error.status}: {error.body}"


async def _run_kopf(kinds: Sequence[Kind], mirror: Mirror, stop: asyncio.Event) -> None:
    registry, settings = kopf.OperatorRegistry(), kopf.OperatorSettings()
    _configure(settings, kinds)
    kopf.on.login(registry=registry)(_login)
    for kind in kinds:
        kopf.on.event(kind.group, kind.version, kind.plural, registry=registry)(_handler(kind, mirror))
    await kopf.operator(registry=registry, settings=settings, clusterwide=True, standalone=True, stop_flag=stop)


def _configure(settings: kopf.OperatorSettings, kinds: Sequence[Kind]) -> None:
    """Nothing of kopf's own is ever written: no finalizer, no annotation, no event; the names are ours all the same."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.error_backoffs = _Patience()
    settings.persistence.finalizer = f"{GROUP}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=f"kopf.{GROUP}")
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=f"kopf.{GROUP}")
    for kind in kinds:
        if kind.labels:
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = kind.labels


def _handler(kind: Kind, mirror: Mirror) -> Callable[..., Any]:
    async def told(event: kopf.RawEvent, **_: Any) -> None:
        (mirror.drop if event["type"] == "DELETED" else mirror.put)(kind, event["object"])

    return told


def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """Connect as `kube.connect` does."""
    if os.environ.get("KUBECONFIG"):
        return kopf.login_with_kubeconfig(**kwargs)
    return kopf.login_with_service_account(**kwargs)
