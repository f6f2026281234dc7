"""A namespace of a real cluster as a test of the controller sees it: what is applied there, and what the controller makes of it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, ApiException, Configuration
from nats.aio.client import Client

from choregos_contract.names import BusNames
from choregos_operator.kube import call
from support.bus import TestBus

GROUP = "choregos.dev/v1alpha1"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
SERVICE = "choregos.dev/service"
SIDECAR = "choregos-ambassador"

Manifest = dict[str, Any]
T = TypeVar("T")

PATIENCE: Final = 100.0
"""Seconds: figures in a condition's message are refreshed once a minute."""


async def becomes(look: Callable[[], Awaitable[T]], what: str, patience: float = PATIENCE) -> T:
    """Look until there is something to see, and return it; raises AssertionError with `what` after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not (found := await look()):
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        await asyncio.sleep(0.05)
    return found


@asynccontextmanager
async def api_client(kubeconfig: Path) -> AsyncIterator[ApiClient]:
    """A client with the rights of a kubeconfig: thirty times as fast as kubectl."""
    configuration = Configuration()
    await config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    configuration.retries = None
    async with ApiClient(configuration) as client:
        yield client


@dataclass(frozen=True)
class Choreographed:
    """One namespace, and the NATS that its buses are on."""

    client: ApiClient
    namespace: str
    nats: Client

    def bus(self, name: str = "default", **names: Any) -> TestBus:
        """One of its buses."""
        return TestBus(self.nats, BusNames(namespace=self.namespace, bus=name, **names))

    async def apply(self, kind: str, name: str, *, subresource: str = "", **content: Any) -> Manifest:
        """Apply an object at the server; what an earlier call said and this one does not is taken away."""
        head = {"apiVersion": _API[kind][0], "kind": kind, "metadata": {"name": name} | content.pop("metadata", {})}
        path = f"{self._path(kind, name)}{subresource}?fieldManager=test&force=true"
        return await self._request("PATCH", path, head | content, APPLY)

    async def merge(self, kind: str, name: str, patch: Mapping[str, Any], *, subresource: str = "") -> Manifest:
        """Edit an object by hand."""
        return await self._request("PATCH", self._path(kind, name) + subresource, patch, MERGE)

    async def delete(self, kind: str, name: str) -> None:
        await self._request("DELETE", self._path(kind, name), None)

    async def find(self, kind: str, name: str) -> Manifest | None:
        """Return an object, if it is there."""
        try:
            return await self._request("GET", self._path(kind, name), None)
        except ApiException as error:
            if error.status != 404:
                raise
            return None

    async def get(self, kind: str, name: str) -> Manifest:
        found = await self.find(kind, name)
        assert found is not None, f"there is no {kind} {name}"
        return found

    async def all(self, kind: str) -> list[Manifest]:
        return list((await self._request("GET", self._path(kind, ""), None))["items"])

    async def choreography(self, name: str, services: Mapping[str, Any], **spec: Any) -> Manifest:
        """Apply a choreography of these services; the events are whatever they name, beside those of `events`."""
        events = {event: {} for service in services.values() for event in _events(service)} | spec.pop("events", {})
        return await self.apply("Choreography", name, spec={"events": events, "services": dict(services), **spec})

    async def condition(self, kind: str, name: str, of: str) -> Manifest:
        """Return a condition of an object as it is now; empty, if it is about an older generation."""
        found = await self.get(kind, name)
        for each in found.get("status", {}).get("conditions", []):
            if each["type"] == of and each["observedGeneration"] == found["metadata"]["generation"]:
                return dict(each)
        return {}

    async def until(
        self, name: str, status: str, reason: str = "", *, of: str = "Ready", kind: str = "Choreography", text: str = ""
    ) -> Manifest:
        """Wait for a condition of the present generation, and return it."""
        found: Manifest = {}

        async def as_wanted() -> bool:
            nonlocal found
            found = await self.condition(kind, name, of)
            as_told = found.get("status") == status and reason in ("", found["reason"])
            return as_told and text in found["message"]

        try:
            await becomes(as_wanted, "the condition")
        except AssertionError:
            raise AssertionError(f"{of} of {kind} {name} should be {status} {reason} {text!r}, is {found}") from None
        return found

    async def configuration(self, service: str) -> Manifest:
        """Return the document that the ambassadors of a service are told; empty, if there is none."""
        found = await self.find("ConfigMap", f"choregos-{service}")
        return dict(json.loads(found["data"]["configuration.json"])) if found else {}

    async def told(self, reason: str, about: str | None = None) -> list[str]:
        """Return the notes of the Kubernetes Events of one reason."""
        events = await self.all("Event")
        return [
            each["note"] for each in events if each["reason"] == reason and about in (None, each["regarding"]["name"])
        ]

    async def until_told(self, reason: str, about: str | None = None) -> str:
        """Wait for a Kubernetes Event, and return its note."""

        async def told() -> list[str]:
            return await self.told(reason, about)

        return (await becomes(told, f"an Event {reason} about {about}"))[0]

    async def pod(self, name: str, service: str, *, ambassador: bool = True) -> None:
        """Create a labelled pod as the webhook leaves it; no kubelet takes it."""
        containers: Manifest = {"containers": [{"name": "app", "image": "app"}]}
        if ambassador:
            containers["initContainers"] = [{"name": SIDECAR, "image": "ambassador", "restartPolicy": "Always"}]
        await self.apply("Pod", name, metadata={"labels": {SERVICE: service}}, spec=containers)

    async def running(self, name: str) -> None:
        """Say of a pod what a kubelet would, once its ambassador runs."""
        started = {"name": SIDECAR, "image": "", "imageID": "", "ready": True, "restartCount": 0}
        state = {"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
        status = {"phase": "Running", "initContainerStatuses": [started | state]}
        await self.merge("Pod", name, {"status": status}, subresource="/status")

    async def durables(self, bus: str = "default") -> dict[str, Manifest]:
        """Return the durables of a bus as NATS tells of them, by name."""
        stream = self.bus(bus).names.event_stream
        found: dict[str, Manifest] = {}
        total = 1
        while len(found) < total:
            page = await self.bus(bus).api(f"CONSUMER.LIST.{stream}", {"offset": len(found)})
            if "error" in page or not page["total"]:
                break
            total = page["total"]
            found |= {each["name"]: each for each in page["consumers"]}
        return found

    def _path(self, kind: str, name: str) -> str:
        version, plural = _API[kind]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        return f"{root}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    async def _request(self, method: str, path: str, body: Any, content_type: str = "application/json") -> Manifest:
        path, _, query = path.partition("?")
        if method in ("GET", "DELETE"):
            return dict(await call(self.client, method, path))
        request = await self.client.param_serialize(
            method,
            path,
            query_params=[tuple(each.split("=")) for each in query.split("&") if each],
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        response = await self.client.call_api(*request, _request_timeout=30)
        answer = await response.read()
        if response.status >= 300:
            raise ApiException.from_response(http_resp=response, body=answer.decode(), data=None)
        return dict(json.loads(answer))


_API = {
    "Choreography": (GROUP, "choreographies"),
    "EventBus": (GROUP, "eventbuses"),
    "ConfigMap": ("v1", "configmaps"),
    "Pod": ("v1", "pods"),
    "Deployment": ("apps/v1", "deployments"),
    "ReplicaSet": ("apps/v1", "replicasets"),
    "Event": ("events.k8s.io/v1", "events"),
    "Lease": ("coordination.k8s.io/v1", "leases"),
}


def _events(service: Mapping[str, Any]) -> Iterator[str]:
    yield from service.get("emits", ())
    for reaction in service.get("reactions", ()):
        yield reaction["event"]
        yield from reaction.get("emits", ())


def reacting(*events: str, **fields: Any) -> Manifest:
    """A service that reacts to these events, each by `fields`."""
    return {"reactions": [{"event": event, "path": f"/{event.lower()}", **fields} for event in events]}


SHOP: Manifest = {"shop": {"emits": ["OrderPlaced"]}, "payment": reacting("OrderPlaced")}
"""The least that makes sense: one who emits, and one who reacts."""
