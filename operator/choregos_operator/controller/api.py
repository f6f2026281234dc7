"""What the controller writes to the API server: each call with the right (RBAC) that it takes.

kube.Away         the server does not answer, or cannot now: come again
ApiError
+-- NotThere      the object is gone
|   +-- NoNamespace  so is its namespace, or it is on its way: nobody is left to work for
+-- Conflict      somebody else was faster: look again
+-- Forbidden     a right is missing in the operator's ClusterRole
+-- Refused       the server will not have it as it is
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec
import orjson
from kubernetes.aio.client import ApiClient

from choregos_contract.resources import API_VERSION
from choregos_operator.kube import JSON, UNWELL, Away, Body, ask

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
PLURALS: Final = {"Choreography": "choreographies", "EventBus": "eventbuses"}
JsonPatch = Sequence[Mapping[str, Any]]


class ApiError(Exception):
    """The API server did not do what it was asked; the message says what, and why."""


class NotThere(ApiError):  # noqa: N818  named by what it means for the caller
    """The object is gone."""


class NoNamespace(NotThere):
    """The namespace is being deleted, or is gone: nothing can be made in it any more."""


class Conflict(ApiError):  # noqa: N818  named by what it means for the caller
    """The object was changed, or made, since it was read."""


class Forbidden(ApiError):  # noqa: N818  named by what it means for the caller
    """The operator's account lacks a right; the message names it."""


class Refused(ApiError):  # noqa: N818  named by what it means for the caller
    """The API server will not have the object as it is; the message is the server's."""


class _Status(msgspec.Struct):
    """The part of `metav1.Status` that tells what went wrong."""

    class Details(msgspec.Struct):
        class Cause(msgspec.Struct):
            reason: str = ""

        causes: list[Cause] = []
        kind: str = ""
        """What was not found, in the plural, such as `namespaces`."""

    message: str = ""
    details: Details | None = None


class Api:
    """The calls that the controller makes, over one client."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def write_configmap(self, namespace: str, manifest: Body) -> Body:
        """Create a ConfigMap, or replace the version of it that the manifest names; returns what is stored.

        Rights: create, update configmaps. Raises Conflict if there is another by now.
        """
        path = f"/api/v1/namespaces/{quote(namespace)}/configmaps"
        if "resourceVersion" in manifest["metadata"]:
            return await self._ask("PUT", f"{path}/{quote(manifest['metadata']['name'])}", manifest)
        return await self._ask("POST", path, manifest)

    async def get_configmap(self, namespace: str, name: str) -> Body:
        """Return a ConfigMap, also one that lost its label and is therefore not watched. Right: get configmaps."""
        return await self._ask("GET", f"/api/v1/namespaces/{quote(namespace)}/configmaps/{quote(name)}")

    async def delete_configmap(self, namespace: str, name: str, uid: str) -> None:
        """Delete a ConfigMap, if it is still the one of that uid. Right: delete configmaps."""
        path = f"/api/v1/namespaces/{quote(namespace)}/configmaps/{quote(name)}"
        await self._ask("DELETE", path, {"preconditions": {"uid": uid}})

    async def annotate_pod(self, namespace: str, name: str, annotations: Mapping[str, str]) -> None:
        """Set annotations of a pod; the others stay. Right: patch pods."""
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}"
        await self._ask("PATCH", path, {"metadata": {"annotations": dict(annotations)}}, MERGE_PATCH)

    async def patch_status(self, kind: str, namespace: str, name: str, patch: JsonPatch) -> Body:
        """Change the status of a Choreography or an EventBus by a JSON patch; returns the object.

        Right: patch choreographies/status, eventbuses/status. Raises Conflict if a test of the patch fails.
        """
        path = f"/apis/{API_VERSION}/namespaces/{quote(namespace)}/{PLURALS[kind]}/{quote(name)}/status"
        return await self._ask("PATCH", path, patch, JSON_PATCH)

    async def create_event(self, namespace: str, manifest: Body) -> None:
        """Write a Kubernetes Event. Right: create events in events.k8s.io."""
        await self._ask("POST", f"/apis/events.k8s.io/v1/namespaces/{quote(namespace)}/events", manifest)

    async def get_pod(self, namespace: str, name: str) -> Body:
        """Return a pod as it is now. Right: get pods."""
        return await self._ask("GET", f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}")

    async def try_pod(self, namespace: str, manifest: Body) -> Body:
        """Return what a pod would become at creation, by a dry run. Right: create pods."""
        return await self._ask("POST", f"/api/v1/namespaces/{quote(namespace)}/pods?dryRun=All", manifest)

    async def evict_pod(self, namespace: str, name: str, uid: str) -> None:
        """Evict the pod of that uid, if a PodDisruptionBudget does not forbid it now; raises Away if it does.

        Right: create pods/eviction.
        """
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        }
        await self._ask("POST", f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}/eviction", eviction)

    async def _ask(
        self, method: str, path: str, body: Body | JsonPatch | None = None, content_type: str = JSON
    ) -> Body:
        answer = await ask(self._client, method, path, body=body, content_type=content_type)
        if answer.status >= 300:
            raise _error(f"{method} {path}", answer.status, answer.content)
        found: Body = orjson.loads(answer.content)
        return found


def _error(what: str, code: int, answer: bytes) -> Exception:
    try:
        status = msgspec.json.decode(answer, type=_Status)
    except msgspec.DecodeError:
        status = _Status(answer.decode(errors="replace")[:1000])
    if code in UNWELL:
        return Away(f"the API server answers {code} to {what}: {status.message}")
    return _kind(code, status)(f"{what}: {_mended(code, status)}")


def _kind(code: int, status: _Status) -> type[ApiError]:
    causes = [cause.reason for cause in status.details.causes] if status.details else []
    missing = status.details.kind if code == 404 and status.details else ""
    if missing == "namespaces" or (code == 403 and "NamespaceTerminating" in causes):
        return NoNamespace
    if code == 404:
        return NotThere
    if code == 401 or _lacks_a_right(code, status):
        return Forbidden
    # Where the content is wrong, the server says what; without a cause, a test of a JSON patch has failed.
    return Conflict if code == 409 or (code == 422 and not causes) else Refused


def _lacks_a_right(code: int, status: _Status) -> bool:
    """A refusal of RBAC names account, verb and resource; quotas and other admission answer 403 as well."""
    return code == 403 and " cannot " in status.message


def _mended(code: int, status: _Status) -> str:
    if code == 401:
        return f"{status.message}; the operator's credentials are not valid here"
    if _lacks_a_right(code, status):
        return f"{status.message}; add that right to the ClusterRole that is bound to the operator's account"
    return status.message
