"""Objects for Kubernetes that run the image of `support.probe_image`."""

from collections.abc import Mapping
from typing import Any

from support.probe_image import PROBE


def container(name: str, *arguments: str, **more: Any) -> dict[str, Any]:
    """Return a container that runs a command of the probe."""
    return {"name": name, "image": PROBE, "args": list(arguments), **more}


def serving(name: str, port: int, text: str) -> dict[str, Any]:
    """Return a container that answers HTTP requests with a text, and is ready when it does."""
    return container(name, "serve", str(port), text, readinessProbe=_answer(port))


def sidecar(name: str, port: int, text: str) -> dict[str, Any]:
    """Return a native sidecar that does the same; what comes after it starts once it answers."""
    return {**container(name, "serve", str(port), text), "restartPolicy": "Always", "startupProbe": _answer(port)}


def pod(name: str, *containers: Mapping[str, Any], **spec: Any) -> dict[str, Any]:
    """Return a pod with the label `app`, which is its name."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": list(containers), "terminationGracePeriodSeconds": 5, **spec},
    }


def service(name: str, app: str, port: int, target: int, **spec: Any) -> dict[str, Any]:
    """Return a Service for the pods of an app."""
    ports = [{"port": port, "targetPort": target}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": app}, "ports": ports, **spec},
    }


def _answer(port: int) -> dict[str, Any]:
    return {"httpGet": {"port": port}, "periodSeconds": 1, "failureThreshold": 30}
