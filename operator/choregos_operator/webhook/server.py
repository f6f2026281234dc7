"""The life of the webhook's server, in reading order: probes, certificate, admissions, and a farewell.

It answers admissions as soon as there is a certificate, from whatever the Store knows by then; it says that it is ready
once the Store holds everything. At its end it is not ready first and away later: the API server needs a moment to learn
that this replica takes no more, and until then it is served.
"""

import asyncio
import gc
from typing import Final

from aiohttp import web

from choregos_operator.log import log
from choregos_operator.probes import listen, served
from choregos_operator.settings import Settings
from choregos_operator.store import Store
from choregos_operator.webhook.certificate import Certificate
from choregos_operator.webhook.endpoints import Endpoints
from choregos_operator.webhook.metrics import Metrics

LINGER: Final = 5.0
"""Seconds between not being ready any more and taking no more connections."""
LAST_ANSWERS: Final = 5.0
"""Seconds that requests in flight get after that; the API server waits no longer for any."""
KEEP_ALIVE: Final = 180.0
"""Seconds that an idle connection is kept: longer than the API server keeps one (90), or it might just send another
request as we close, and would refuse the object."""


async def serve(
    settings: Settings, store: Store, synced: asyncio.Event, stop: asyncio.Event, *, linger: float = LINGER
) -> None:
    """Serve admissions until `stop`; `synced` is set when the store holds everything. Raises OSError if it cannot listen."""
    metrics = Metrics()
    certificate = Certificate(settings.webhook_certificates, metrics)
    endpoints = Endpoints(settings, store, metrics)

    def missing() -> str | None:
        if stop.is_set():
            return "this replica is going away"
        if certificate.problem:
            return f"no admission can be served: {certificate.problem}"
        return None if synced.is_set() else "the choreographies are not read yet; is the API server there?"

    async with (
        served(settings.probes_host, settings.probes_port, metrics.registry, missing),
        asyncio.TaskGroup() as group,
    ):
        following = group.create_task(certificate.follow(), name="follow the certificate")
        settling = group.create_task(_settle(synced), name="settle")
        await _either(certificate.present, stop)
        if not stop.is_set():
            await _admit(settings, endpoints, certificate, stop, linger)
        following.cancel()
        settling.cancel()


async def _settle(synced: asyncio.Event) -> None:
    """Have collections pass over what is here to stay: walking hundreds of choreographies would hold up admissions."""
    await synced.wait()
    gc.collect()
    gc.freeze()


async def _admit(
    settings: Settings, endpoints: Endpoints, certificate: Certificate, stop: asyncio.Event, linger: float
) -> None:
    runner = web.AppRunner(
        endpoints.application(), access_log=None, shutdown_timeout=LAST_ANSWERS, keepalive_timeout=KEEP_ALIVE
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.webhook_host, settings.webhook_port, ssl_context=certificate.context)
        await listen(site, f"{settings.webhook_host}:{settings.webhook_port} (CHOREGOS_WEBHOOK_PORT)")
        log.info("listening", url=f"https://{settings.webhook_host}:{runner.addresses[0][1]}")
        await stop.wait()
        endpoints.leaving = True
        await asyncio.sleep(linger)
    finally:
        await runner.cleanup()


async def _either(*events: asyncio.Event) -> None:
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
