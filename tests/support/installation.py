"""A release with Deployments, as `choregos check` finds it; no kubelet runs, so the test says how each pod is.

The processes of the operator are real, and run beside the cluster. The Deployments hold their settings, as the chart's do.
"""

import json
from functools import partial
from importlib.metadata import version
from typing import Any, Final

from support.cluster import Cluster
from support.release import Release
from support.waiting import eventually

PROCESSES: Final = ("controller", "webhook")
AMBASSADOR: Final = "choregos-ambassador"


class Installation:
    """The Deployments of a release, and the status of pods."""

    def __init__(self, cluster: Cluster, release: Release) -> None:
        self.cluster = cluster
        self.release = release
        self.namespace = release.namespace

    def install(self) -> None:
        """Make both Deployments, and have their pods be ready."""
        self.cluster.apply(*(self._deployment(each) for each in PROCESSES), namespace=self.namespace)
        for process in PROCESSES:
            self.ready(self.pod(process), True)
            eventually(partial(self._available, process), f"the {process} is available")

    def pod(self, process: str) -> str:
        """Name of a process's pod."""
        labels = f"app.kubernetes.io/component={process}"
        found = eventually(
            lambda: self.cluster.get("pods", "-n", self.namespace, "-l", labels)["items"], f"the {process} has its pod"
        )
        return str(found[0]["metadata"]["name"])

    def ready(self, pod: str, ready: bool) -> None:
        """Say whether a pod of the release is ready."""
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": "2026-01-01T00:00:00Z"}
        self._status(self.namespace, pod, {"phase": "Running", "conditions": [condition]})

    def unavailable(self, process: str) -> None:
        """Have the pod of a process fail, and return when its Deployment says so."""
        self.ready(self.pod(process), False)
        eventually(lambda: not self._available(process), f"the {process} is not available")

    def ambassador(self, namespace: str, pod: str, state: dict[str, Any]) -> None:
        """Say how the ambassador of a pod is, in the kubelet's words."""
        status = {"name": AMBASSADOR, "image": "x", "imageID": "x", "ready": "running" in state, "restartCount": 0}
        reported = [{**status, "state": state}]
        phase = "Running" if "running" in state else "Pending"
        self._status(namespace, pod, {"phase": phase, "initContainerStatuses": reported})

    def image(self, process: str, tag: str) -> None:
        """Give a process an image of another version."""
        image = f"{process}=ghcr.io/choregos/operator:{tag}"
        self.cluster.kubectl("set", "image", f"deployment/choregos-{process}", image, "-n", self.namespace)

    def _available(self, process: str) -> int:
        found = self.cluster.get("deployment", f"choregos-{process}", "-n", self.namespace)
        return int(found["status"].get("availableReplicas", 0))

    def _status(self, namespace: str, pod: str, status: dict[str, Any]) -> None:
        patch = json.dumps({"status": status})
        self.cluster.kubectl("patch", "pod", pod, "-n", namespace, "--subresource=status", f"--patch={patch}")

    def _deployment(self, process: str) -> dict[str, Any]:
        labels = {"app.kubernetes.io/name": "choregos", "app.kubernetes.io/component": process}
        settings = self.release.settings
        told = {
            "NAMESPACE": self.namespace,
            "NATS_URL": settings.nats_url,
            "LEASE": settings.lease,
            "WEBHOOK_SECRET": settings.webhook_secret,
            "WEBHOOK_CONFIGURATION": settings.webhook_configuration,
            "AMBASSADOR_IMAGE": settings.ambassador_image,
        }
        container = {
            "name": process,
            "image": f"ghcr.io/choregos/operator:{version('choregos')}",
            "env": [{"name": f"CHOREGOS_{name}", "value": value} for name, value in told.items()],
        }
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": f"choregos-{process}", "labels": labels | {"app.kubernetes.io/part-of": "choregos"}},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"serviceAccountName": f"{self.namespace}-{process}", "containers": [container]},
                },
            },
        }
