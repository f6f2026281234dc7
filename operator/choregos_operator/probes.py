"""What the kubelet and Prometheus ask of either process: `/livez`, `/readyz`, `/metrics`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from choregos_operator.log import log


@asynccontextmanager
async def served(
    host: str, port: int, registry: CollectorRegistry, missing: Callable[[], str | None]
) -> AsyncIterator[str]:
    """Serve the probes meanwhile; yields the URL. `missing` says what the process is not ready without, if anything.

    Raises OSError if it cannot listen.
    """

    async def alive(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_request: web.Request) -> web.Response:
        reason = missing()
        return web.Response(status=503, text=f"{reason}\n") if reason else web.Response(text="ok\n")

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    application = web.Application()
    application.add_routes([web.get("/livez", alive), web.get("/readyz", ready), web.get("/metrics", metrics)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await listen(web.TCPSite(runner, host, port), f"{host}:{port} (CHOREGOS_PROBES_PORT)")
        url = f"http://{host}:{runner.addresses[0][1]}"
        log.info("probes", url=url)
        yield url
    finally:
        await runner.cleanup()


async def listen(site: web.TCPSite, where: str) -> None:
    """Begin to listen; raises OSError with a sentence."""
    try:
        await site.start()
    except OSError as error:
        raise OSError(f"cannot listen on {where}: {error.strerror or error}") from error
