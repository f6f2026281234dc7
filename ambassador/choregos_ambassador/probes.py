"""Probes and metrics, for the kubelet and Prometheus. They tell of this process only.

Readiness is the publish API's: a native sidecar's readiness decides whether the pod serves at all, and a service must
not vanish from its own clients because NATS is away.
"""

from aiohttp import web

from choregos_ambassador.metrics import CONTENT_TYPE, Metrics


class Probes:
    """`/livez`, `/readyz` and `/metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self.ready = False
        self._metrics = metrics

    def application(self) -> web.Application:
        """Build the routes."""
        application = web.Application()
        application.add_routes(
            [web.get("/livez", self._live), web.get("/readyz", self._ready), web.get("/metrics", self._exposition)]
        )
        return application

    async def _live(self, _request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _ready(self, _request: web.Request) -> web.Response:
        if self.ready:
            return web.Response(text="ready\n")
        return web.Response(status=503, text="the publish API does not listen yet\n")

    async def _exposition(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})
