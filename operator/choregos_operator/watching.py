"""Keeping in step with the API server: list once, then watch, and list again now and then.

kopf watches. A deletion that falls into a gap of its watch (a compacted history, an API server that was away for long) it
never tells, because nothing of ours holds a finalizer; that is what listing again is for.
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from typing import Any, Final

import kopf
from kubernetes.aio.client import ApiClient, ApiException

from choregos_contract.resources import API_VERSION
from choregos_operator.kube import Away, Kind, list_all, message
from choregos_operator.log import log
from choregos_operator.mirror import Mirror
from choregos_operator.waiting import set_within

GROUP, VERSION = API_VERSION.split("/")
CHOREOGRAPHIES: Final = Kind(GROUP, VERSION, "choreographies", "Choreography")
EVENT_BUSES: Final = Kind(GROUP, VERSION, "eventbuses", "EventBus")

COME_AGAIN: Final = 2.0
"""Seconds between two attempts to list at the start."""
CLOSE_WITHIN: Final = 1.0
"""Seconds that the end of the watch is waited for."""
FAREWELL: Final = 0.1
"""Seconds that aiohttp needs after kopf's end to close TLS connections; it offers nothing to wait for."""

# It warns of what is wanted: that signals are not its business.
logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)


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
    clears: bool = False,
) -> None:
    """Keep the mirror in step with every object of these kinds until `stop`; `synced` is set when it holds all.

    Lists everything again every `again` seconds. A watch that ends, because a kind or a right is gone, begins again once
    everything can be listed. If it `clears`, `synced` is cleared until then, for those who must not act on what was.
    """
    while not stop.is_set():
        await _first_listing(client, kinds, mirror, stop, synced.clear if clears else _nothing)
        if stop.is_set():
            return
        synced.set()
        if why := await _watch_until_it_ends(client, kinds, mirror, again, stop):
            log.warning("the watch has ended", reason=why)
            await set_within(stop, COME_AGAIN)


async def _watch_until_it_ends(
    client: ApiClient, kinds: Sequence[Kind], mirror: Mirror, again: float, stop: asyncio.Event
) -> str | None:
    """Watch, and list now and then; returns why neither can go on, or None after `stop`."""
    kopfs = _Watching(kinds, mirror)
    stopping = asyncio.create_task(stop.wait(), name="stop watching")
    try:
        while not stop.is_set():
            ends: set[asyncio.Future[Any]] = {kopfs.ended, stopping}
            await asyncio.wait(ends, timeout=again, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                break
            if kopfs.ended.done():
                return f"kopf ends: {kopfs.ended.exception() or 'it was told nothing'}"
            try:
                with contextlib.suppress(Away):
                    await _list(client, kinds, mirror)
            except ApiException as error:
                return _sentence(error)
        return None
    finally:
        stopping.cancel()
        await kopfs.close()


class _Watching:
    """kopf, in a thread and an event loop of its own.

    In the main thread it takes over the process's signals, and when it ends it cancels every task of its loop that began
    after it, whoever made it.
    """

    def __init__(self, kinds: Sequence[Kind], mirror: Mirror) -> None:
        self._ours = asyncio.get_running_loop()
        self._kinds = kinds
        self._mirror = mirror
        self._stop: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._closed = False
        self._logged_in = False
        self._cancel: Callable[[], object] | None = None
        self._over: asyncio.Future[None] = self._ours.create_future()
        self.ended: asyncio.Future[None] = self._ours.create_future()
        """Done when there is no watch any more, or soon will be none."""
        threading.Thread(target=self._run, name="kopf", daemon=True).start()

    async def close(self) -> None:
        """Have it end, politely first; one that does not end is left behind, for it changes nothing any more."""
        self._closed = True
        if not self._stop.done():
            self._stop.set_result(None)
        await asyncio.wait({self._over}, timeout=CLOSE_WITHIN)
        if not self._over.done() and self._cancel:
            self._cancel()
            await asyncio.wait({self._over}, timeout=CLOSE_WITHIN)
        if self.ended.done():
            self.ended.exception()

    def _run(self) -> None:
        try:
            asyncio.run(self._operate())
        except BaseException as error:  # noqa: BLE001  raised again where somebody hears it
            self._tell(self._end, error)
        else:
            self._tell(self._end, None)

    def _end(self, error: BaseException | None) -> None:
        self._over.set_result(None)
        self._fail(error)

    def _fail(self, error: BaseException | None) -> None:
        if self.ended.done():
            return
        if isinstance(error, Exception):
            self.ended.set_exception(error)
        else:
            self.ended.set_result(None)

    def _tell(self, tell: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # our loop is closed: nobody is left to hear it
            self._ours.call_soon_threadsafe(tell, *arguments)

    async def _operate(self) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        registry, settings = kopf.OperatorRegistry(), kopf.OperatorSettings()
        _configure(settings, self._kinds)
        kopf.on.login(registry=registry)(self._log_in)
        for kind in self._kinds:
            kopf.on.event(kind.group, kind.version, kind.plural, registry=registry)(self._handler(kind))
        try:
            await kopf.operator(
                registry=registry, settings=settings, clusterwide=True, standalone=True, stop_flag=self._stop
            )
        finally:
            await asyncio.sleep(FAREWELL)

    def _log_in(self, **kwargs: Any) -> kopf.ConnectionInfo | None:
        """Log in as `kube.connect` does, once: after a refusal kopf takes no credentials that it had, and waits for ever."""
        if self._logged_in:
            self._tell(self._fail, PermissionError("the API server refused its credentials"))
            return None
        self._logged_in = True
        return _login(**kwargs)

    def _handler(self, kind: Kind) -> Callable[..., Any]:
        def take(event: kopf.RawEvent) -> None:
            if not self._closed:
                (self._mirror.drop if event["type"] == "DELETED" else self._mirror.put)(kind, event["object"])

        async def told(event: kopf.RawEvent, **_: Any) -> None:
            self._tell(take, event)

        return told


async def _first_listing(
    client: ApiClient, kinds: Sequence[Kind], mirror: Mirror, stop: asyncio.Event, waits: Callable[[], None]
) -> None:
    """List as soon as there is an API server, and our kinds on it; says once why it waits, and calls `waits`."""
    told = None
    while not stop.is_set():
        try:
            await _list(client, kinds, mirror)
        except (Away, ApiException) as error:
            waits()
            if (why := _sentence(error)) != told:
                log.warning("waiting for the API server", reason=why)
                told = why
            await set_within(stop, COME_AGAIN)
        else:
            return


def _nothing() -> None:
    """Nobody minds."""


async def _list(client: ApiClient, kinds: Sequence[Kind], mirror: Mirror) -> None:
    for kind in kinds:
        mirror.replace(kind, await list_all(client, kind))


def _sentence(error: Away | ApiException) -> str:
    if isinstance(error, Away):
        return str(error)
    if error.status == 404:
        return "the custom resources are not installed; apply crds/ or install the chart"
    if error.status == 403:
        return f"{message(error)}; bind the operator's ClusterRole to its service account"
    return f"the API server answers {error.status}: {message(error)}"


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


def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """Connect as `kube.connect` does."""
    if os.environ.get("KUBECONFIG"):
        return kopf.login_with_kubeconfig(**kwargs)
    return kopf.login_with_service_account(**kwargs)
