"""Probes and metrics, for the kubelet and Prometheus. They tell of this process only, and change nothing.

Readiness is the publish API's: a native sidecar's readiness decides whether the pod serves at all, and a service must
not vanish from its own clients because NATS is away.
"""

import asyncio
from typing import Final

from aiohttp import web

from choregos_ambassador.listener import Limits
from choregos_ambassador.metrics import CONTENT_TYPE, Metrics

LIMITS: Final = Limits(connections=256, request_within=5.0, answer_within=10.0)
"""What the port of the probes allows: the whole pod network may connect to it."""
WAIT_FOR_DRAINED: Final = 16
"""Requests that may wait at `/drained` at once: one for each container of the pod. They must not keep the kubelet out."""

BEGUN_WITHIN: Final = 8.0
"""Seconds that `/drained` waits for a drain to begin: a busy node takes some to start its command. There is none when the
service's container alone is started again, because its liveness probe failed."""
DRAINED_WITHIN: Final = 15.0
"""Seconds that `/drained` waits: half of the time that Kubernetes gives a pod to end, unless it says otherwise."""


class Probes:
    """`/livez`, `/readyz`, `/metrics`; and `/drained`, which keeps the service from SIGTERM while events still go to it.

    The `preStop` hook of the service's own container asks for it. That of the ambassador has to start a process before the
    drain begins, and the service would be gone by then.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.ready = False
        self.draining = asyncio.Event()
        self.drained = asyncio.Event()
        self._metrics = metrics
        self._waiting = 0

    def application(self) -> web.Application:
        """Build the routes."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/livez", self._live),
                web.get("/readyz", self._ready),
                web.get("/metrics", self._exposition),
                web.get("/drained", self._drained),
            ]
        )
        return application

    async def _live(self, _request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _ready(self, _request: web.Request) -> web.Response:
        if self.ready:
            return web.Response(text="ready\n")
        return web.Response(status=503, text="the publish API does not listen yet\n")

    async def _drained(self, _request: web.Request) -> web.Response:
        """Wait until no event is in hand and none will come; the drain is what another has asked for."""
        if self._waiting >= WAIT_FOR_DRAINED:
            return web.Response(status=503, text=f"{WAIT_FOR_DRAINED} requests wait here already\n")
        self._waiting += 1
        try:
            async with asyncio.timeout(DRAINED_WITHIN):
                async with asyncio.timeout(BEGUN_WITHIN):
                    await self.draining.wait()
                await self.drained.wait()
        except TimeoutError:
            return web.Response(status=503, text="not drained in time\n")
        finally:
            self._waiting -= 1
        return web.Response(text="drained\n")

    async def _exposition(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})
