"""A kubelet for a few pods: an ambassador process for each, and its ConfigMap in a file that follows.

As the real one does, it looks at the ConfigMap when the pod's object changes, and only then.
"""

import asyncio
import contextlib
from contextlib import AsyncExitStack
from typing import Self

from operator_api import Api, Object
from operator_documents import SERVICE_LABEL, running

from choregos_operator.configured import CONFIG_KEY, configmap_name
from support.ambassador import Ambassador


class Kubelet:
    """Runs pods that stand in the API server already."""

    def __init__(self, api: Api, nats_url: str) -> None:
        self._api, self._nats_url = api, nats_url
        self._stack = AsyncExitStack()
        self._ambassadors: dict[tuple[str, str], Ambassador] = {}
        self._annotations: dict[tuple[str, str], Object] = {}

    async def run(self, pods: list[Object]) -> None:
        """Start the ambassadors of these pods, and say in their status that they run."""
        for pod in pods:
            namespace, name = key = _key(pod)
            ambassador = Ambassador(self._nats_url, None, CHOREGOS_POD=name, CHOREGOS_TARGET_HOST="127.0.0.1")
            self._ambassadors[key] = ambassador
            await self._mount(pod)
            await self._stack.enter_async_context(ambassador)
            await self._api.patch(f"/api/v1/namespaces/{namespace}/pods/{name}/status", running())

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._stack.aclose()

    async def _follow(self) -> None:
        async for _, pod in self._api.events("/api/v1/pods"):
            if _key(pod) in self._ambassadors:
                await self._mount(pod)

    async def _mount(self, pod: Object) -> None:
        key, annotations = _key(pod), pod["metadata"].get("annotations", {})
        if self._annotations.get(key) != annotations:
            self._annotations[key] = annotations
            name = configmap_name(pod["metadata"]["labels"][SERVICE_LABEL])
            found = await self._api.get(f"/api/v1/namespaces/{key[0]}/configmaps/{name}")
            self._ambassadors[key].configure_raw(found["data"][CONFIG_KEY].encode())


def _key(pod: Object) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]
