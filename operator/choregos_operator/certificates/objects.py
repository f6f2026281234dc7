"""The two kinds of object that a rotation touches, as the API server has them: the Secret, and the webhook configurations.

Every write names the version that was read, so that a change in between is seen: the API server answers 409.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from kubernetes.aio.client import ApiClient, ApiException

from choregos_operator.certificates.secret import (
    ANNOUNCED,
    KEYS,
    REPLACED,
    Held,
    annotations_of,
    data_of,
    read,
)
from choregos_operator.kube import JSON, Body, call

FIELD_MANAGER: Final = "choregos-certificates"
ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
KINDS: Final = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")


@dataclass(frozen=True, slots=True)
class Configuration:
    """A webhook configuration."""

    path: str
    version: str
    bundles: Mapping[str, bytes]
    """The bundle of each webhook, by its name."""


class Objects:
    """The objects of one release. Every method raises Away, and ApiException for what the API server refuses."""

    def __init__(self, client: ApiClient, namespace: str, secret: str, configuration: str) -> None:
        self._client = client
        self._secrets = f"/api/v1/namespaces/{namespace}/secrets"
        self._namespace, self._name = namespace, secret
        self._configurations = [f"{ADMISSION}/{kind}/{configuration}" for kind in KINDS]

    async def secret(self) -> Body | None:
        """Return the Secret, if there is one."""
        return await self._get(f"{self._secrets}/{self._name}")

    async def configurations(self) -> list[Configuration]:
        """Return those of the two webhook configurations that are there."""
        bodies = [(path, await self._get(path)) for path in self._configurations]
        return [_configuration(path, body) for path, body in bodies if body]

    async def write(self, before: Body | None, held: Held) -> None:
        """Make the Secret, or write it over as it was read; what is not ours in it stays."""
        if before is None:
            await self._send("POST", self._secrets, self._new_secret(held))
        else:
            await self._send("PUT", f"{self._secrets}/{self._name}", _changed(before, held))

    async def publish(self, configuration: Configuration, bundle: bytes) -> None:
        """Write the bundle to every webhook of a configuration."""
        encoded = base64.b64encode(bundle).decode()
        webhooks = [{"name": name, "clientConfig": {"caBundle": encoded}} for name in configuration.bundles]
        patch = {"metadata": {"resourceVersion": configuration.version}, "webhooks": webhooks}
        await self._send("PATCH", configuration.path, patch, "application/strategic-merge-patch+json")

    def _new_secret(self, held: Held) -> Body:
        labels = {"app.kubernetes.io/name": "choregos", "app.kubernetes.io/managed-by": "choregos-operator"}
        metadata = {"name": self._name, "namespace": self._namespace, "labels": labels}
        return _changed({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata}, held)

    async def _get(self, path: str) -> Body | None:
        try:
            body: Body = await call(self._client, "GET", path)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return body

    async def _send(self, method: str, path: str, body: Body, content_type: str = JSON) -> None:
        query = {"fieldManager": FIELD_MANAGER}
        await call(self._client, method, path, query=query, body=body, content_type=content_type)


def held_of(body: Body | None, now: datetime) -> Held:
    """Read what can be used of a Secret, or of none."""
    if body is None:
        return Held()
    data = {key: _decoded(value) for key, value in (body.get("data") or {}).items()}
    return read(data, body["metadata"].get("annotations") or {}, now)


def _configuration(path: str, body: Body) -> Configuration:
    webhooks = body.get("webhooks") or []
    bundles = {each["name"]: _decoded(each["clientConfig"].get("caBundle") or "") for each in webhooks}
    return Configuration(path, body["metadata"]["resourceVersion"], bundles)


def _changed(body: Body, held: Held) -> dict[str, Any]:
    metadata = body["metadata"]
    others = {name: text for name, text in (metadata.get("annotations") or {}).items() if name not in _ANNOTATIONS}
    foreign = {key: value for key, value in (body.get("data") or {}).items() if key not in KEYS}
    data = {key: base64.b64encode(value).decode() for key, value in data_of(held).items()}
    return {
        **body,
        "metadata": {**metadata, "annotations": {**others, **annotations_of(held)}},
        "data": {**foreign, **data},
    }


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return b""


_ANNOTATIONS: Final = (ANNOUNCED, REPLACED)
