"""An API server behind a proxy that can refuse everybody for a while, as one does that has lost its keys."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web
from kubernetes.aio.client import ApiClient


class RefusingProxy:
    """Plain HTTP in front, the administrator's certificate behind."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._refuses = asyncio.Event()

    def refuse(self) -> None:
        """Answer 401 to every request, and cut every watch."""
        self._refuses.set()

    def relent(self) -> None:
        self._refuses.clear()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self._refuses.is_set():
            return web.json_response({"kind": "Status", "code": 401, "message": "Unauthorized"}, status=401)
        headers = {name: request.headers[name] for name in ("Accept", "Content-Type") if name in request.headers}
        body = await request.read() or None
        async with self._session.request(
            request.method, self._url + request.raw_path, data=body, headers=headers
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            await response.prepare(request)
            cut = asyncio.create_task(self._refuses.wait())
            while not cut.done():
                chunk = asyncio.create_task(answer.content.readany())
                await asyncio.wait({cut, chunk}, return_when=asyncio.FIRST_COMPLETED)
                if not chunk.done() or not chunk.result():
                    chunk.cancel()
                    break
                await response.write(chunk.result())
            cut.cancel()
            return response


@asynccontextmanager
async def refusing_proxy(client: ApiClient, kubeconfig: Path) -> AsyncIterator[RefusingProxy]:
    """Put a proxy before the API server of a client, and write a kubeconfig that leads through it."""
    connector = aiohttp.TCPConnector(ssl=client.rest_client.ssl_context)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        proxy = RefusingProxy(session, client.configuration.host)
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            _write(kubeconfig, f"http://127.0.0.1:{runner.addresses[0][1]}")
            yield proxy
        finally:
            proxy.refuse()
            await runner.cleanup()


def _write(kubeconfig: Path, url: str) -> None:
    cluster = {"name": "c", "cluster": {"server": url}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "none"}}
    config = {"current-context": "c", "clusters": [cluster], "contexts": [context], "users": [user]}
    kubeconfig.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **config}))
