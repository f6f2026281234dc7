"""The mistake that everybody makes once: the label on a Deployment, and not on the template of its pods.

Nothing is injected then, and nothing else would say so.
"""

from collections.abc import Mapping
from typing import Any, Final

from choregos_operator.annotations import SERVICE_LABEL
from choregos_operator.controller.announcements import Announcement, Happened, Regarding
from choregos_operator.kube import Body, Kind

WORKLOADS: Final = (
    Kind("apps", "v1", "deployments", "Deployment", labels=SERVICE_LABEL),
    Kind("apps", "v1", "statefulsets", "StatefulSet", labels=SERVICE_LABEL),
    Kind("apps", "v1", "daemonsets", "DaemonSet", labels=SERVICE_LABEL),
)
"""What is looked at, by its own label. Rights: list, watch."""


def mislabelled(workload: Body) -> Announcement | None:
    """Return what to tell a workload that carries the label while the template of its pods does not."""
    service = _labels(workload).get(SERVICE_LABEL)
    if service is None or SERVICE_LABEL in _labels(workload.get("spec", {}).get("template", {})):
        return None
    message = (
        f"the label {SERVICE_LABEL}: {service} is on the {workload['kind']}, not on its pods, so they get no ambassador:"
        " write it under spec.template.metadata.labels"
    )
    return Announcement("Warning", Happened.LABEL_NOT_ON_PODS, message, Regarding.of(workload))


def _labels(body: Mapping[str, Any]) -> Mapping[str, str]:
    return body.get("metadata", {}).get("labels") or {}
