"""Admission reviews as the API server posts them, and objects as it has completed them by then."""

from typing import Any

import orjson

from choregos_operator.webhook.admission import Request, read

UID = "0e0cd10b-77b8-4b4c-8e7c-9cd76ab02c56"
NAMESPACE = "shop"


def review(
    new: dict[str, Any] | None, old: dict[str, Any] | None = None, *, namespace: str = NAMESPACE, **request: Any
) -> bytes:
    """A review's body: a creation, or the update of `old`."""
    body = new or old or {}
    group, _, version = str(body.get("apiVersion", "v1")).rpartition("/")
    head = {
        "uid": UID,
        "kind": {"group": group, "version": version, "kind": body.get("kind", "Pod")},
        "resource": {"group": group, "version": version, "resource": "things"},
        "operation": "UPDATE" if old else "CREATE",
        "namespace": namespace,
        "name": body.get("metadata", {}).get("name", ""),
        "userInfo": {"username": "jane", "groups": ["system:authenticated"]},
        "object": new,
        "oldObject": old,
        "dryRun": False,
        "options": None,
    }
    return orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": head | request})


def request(new: dict[str, Any] | None, old: dict[str, Any] | None = None, **fields: Any) -> Request:
    """The same, read."""
    return read(review(new, old, **fields))


def choreography(
    events: dict[str, Any], services: dict[str, Any], *, name: str = "orders", age: int = 0, **spec: Any
) -> dict[str, Any]:
    """A choreography in the namespace; the one with the lowest `age` is the oldest, without it has no time yet."""
    metadata = {"name": name, "namespace": NAMESPACE, "uid": f"uid-of-{name}"}
    if age:
        metadata["creationTimestamp"] = f"2026-01-01T00:00:{age:02}Z"
    return {
        "apiVersion": "choregos.dev/v1alpha1",
        "kind": "Choreography",
        "metadata": metadata,
        "spec": {"events": events, "services": services, **spec},
    }


def event_bus(*, name: str = "default", **spec: Any) -> dict[str, Any]:
    """An EventBus in the namespace."""
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "choregos.dev/v1alpha1", "kind": "EventBus", "metadata": metadata, "spec": spec}


def orders(*, name: str = "orders", age: int = 0, **spec: Any) -> dict[str, Any]:
    """A choreography of two services without a finding."""
    events = {"OrderPlaced": {}, "OrderPaid": {"outcome": "completed"}}
    pays = {"event": "OrderPlaced", "path": "/payments", "emits": ["OrderPaid"], "onSuccess": "OrderPaid"}
    services = {"front": {"port": 8080, "emits": ["OrderPlaced"]}, "payment": {"port": 8080, "reactions": [pays]}}
    return choreography(events, services, name=name, age=age, **spec)
