"""A client of the API server that costs little, and a watch that says when something came about."""

import asyncio
import base64
import contextlib
import json
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

import aiohttp

MERGE_PATCH = "application/merge-patch+json"
Object = dict[str, Any]


class Api:
    """Requests of an administrator, each connection kept for the next."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        self._url = config["clusters"][0]["cluster"]["server"]
        connector = aiohttp.TCPConnector(limit=0, ssl=_context(config))
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))

    async def create(self, path: str, body: Object) -> Object:
        """Create an object in a collection."""
        return await self._ask("POST", path, body, "application/json")

    async def patch(self, path: str, body: Object) -> Object:
        """Change the object at a path, or its subresource, by a merge patch."""
        return await self._ask("PATCH", path, body, MERGE_PATCH)

    async def delete(self, path: str) -> Object:
        """Delete the object at a path."""
        return await self._ask("DELETE", path, None, "application/json")

    async def get(self, path: str) -> Object:
        """Return the object or the list at a path."""
        return await self._ask("GET", path, None, "application/json")

    async def events(self, path: str) -> AsyncIterator[tuple[str, Object]]:
        """Yield what is in a collection, then what changes; all of it again where the server cut the watch short."""
        while True:
            async for kind, found in self._watch(path):
                if kind == "ERROR":
                    break
                yield kind, found

    async def _watch(self, path: str) -> AsyncIterator[tuple[str, Object]]:
        query = {"watch": "1", "resourceVersion": "0", "timeoutSeconds": "3600"}
        async with self._session.get(self._url + path, params=query) as answer:
            answer.raise_for_status()
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    yield event["type"], event["object"]

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def _ask(self, method: str, path: str, body: Object | None, content_type: str) -> Object:
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        async with self._session.request(method, self._url + path, data=data, headers=headers) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {answer.status} {text}")
            found: Object = json.loads(text)
            return found


class Watched:
    """The objects of a collection by namespace and name, as a watch tells them."""

    def __init__(self, api: Api, path: str) -> None:
        self._events = api.events(path)
        self._news = asyncio.Condition()
        self.objects: dict[tuple[str, str], Object] = {}

    async def until(self, holds: Callable[[Self], bool], what: str, patience: float = 120.0) -> float:
        """Return the moment (of `time.perf_counter`) at which a condition holds; raises RuntimeError if it never does."""
        try:
            async with asyncio.timeout(patience), self._news:
                await self._news.wait_for(lambda: holds(self))
                return time.perf_counter()
        except TimeoutError:
            raise RuntimeError(f"not within {patience:g} s: {what}") from None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _follow(self) -> None:
        async for kind, found in self._events:
            key = found["metadata"].get("namespace", ""), found["metadata"]["name"]
            async with self._news:
                if kind == "DELETED":
                    self.objects.pop(key, None)
                else:
                    self.objects[key] = found
                self._news.notify_all()


def stands(found: Object | None, condition: str) -> bool:
    """Whether a condition of an object is true, and says so of the object as it is now."""
    if found is None:
        return False
    generation = found["metadata"]["generation"]
    conditions = found.get("status", {}).get("conditions", [])
    return any(
        each["type"] == condition and each["status"] == "True" and each["observedGeneration"] == generation
        for each in conditions
    )


def _context(config: Object) -> ssl.SSLContext:
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    user = config["users"][0]["user"]
    with tempfile.NamedTemporaryFile() as file:  # the ssl module reads a key from a file only
        for part in ("client-certificate-data", "client-key-data"):
            file.write(base64.b64decode(user[part]) + b"\n")
        file.flush()
        context.load_cert_chain(file.name)
    return context
