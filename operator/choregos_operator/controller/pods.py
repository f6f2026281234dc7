"""Pods, as far as the controller is interested in them: read once from the API server's object."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from choregos_operator.annotations import (
    BUS,
    BUS_HASH,
    CONFIGURATION_GENERATION,
    CONFIGURATION_HASH,
    INJECT,
    SERVICE_LABEL,
)
from choregos_operator.injection.pod import CONTAINER
from choregos_operator.kube import Body, without_managed_fields

_STILL_STARTING: Final = (None, "", "ContainerCreating", "PodInitializing")
_STATUS: Final = ("phase", "conditions", "initContainerStatuses", "containerStatuses")


class Ambassador(StrEnum):
    """How the ambassador of a pod is."""

    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Owner:
    """The controller that makes a pod anew when it is gone."""

    api_version: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One labelled pod."""

    namespace: str
    name: str
    uid: str
    service: str
    created: datetime
    over: bool = False
    """It has finished."""
    leaving: bool = False
    """It is being deleted."""
    declined: bool = False
    """Its owner asked for no ambassador."""
    ambassador: Ambassador = Ambassador.ABSENT
    complaint: str = ""
    """Why the ambassador fails, in the kubelet's words."""
    hash: str = ""
    """Hash of the configuration that the pod was last told of."""
    generation: int = 0
    """Its generation; 0 if the webhook told it, which knows no generation."""
    bus: str = ""
    bus_hash: str = ""
    """The servers and the prefix that its ambassador was injected for; empty if nobody knows."""
    ready: bool = False
    owner: Owner | None = None

    @property
    def counts(self) -> bool:
        """Whether an ambassador is to be expected of it."""
        return not (self.over or self.leaving or self.declined)


def pod_of(body: Body) -> Pod:
    """Read a labelled pod; raises KeyError for an object that is none."""
    metadata, status = body["metadata"], body.get("status", {})
    annotations: Mapping[str, str] = metadata.get("annotations", {})
    ambassador, complaint = _ambassador(body)
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        service=metadata["labels"][SERVICE_LABEL],
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        over=status.get("phase") in ("Succeeded", "Failed"),
        leaving="deletionTimestamp" in metadata,
        declined=annotations.get(INJECT) == "false",
        ambassador=ambassador,
        complaint=complaint,
        hash=annotations.get(CONFIGURATION_HASH, ""),
        generation=_number(annotations.get(CONFIGURATION_GENERATION, "")),
        bus=annotations.get(BUS, ""),
        bus_hash=annotations.get(BUS_HASH, ""),
        ready=any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", ())),
        owner=_owner(metadata),
    )


def of_interest(body: Body) -> Body:
    """Return the part of a pod that `pod_of` reads: a tenth of it, and there are many."""
    spec, status = body["spec"], body.get("status", {})
    return {
        **without_managed_fields(body),
        "spec": {
            part: [{"name": each["name"]} for each in spec[part]]
            for part in ("initContainers", "containers")
            if part in spec
        },
        "status": {part: status[part] for part in _STATUS if part in status},
    }


def has_ambassador(body: Body) -> bool:
    """Whether a pod has its ambassador: the container decides, not the label, which anybody can copy into a template."""
    containers = (*body["spec"].get("initContainers", ()), *body["spec"].get("containers", ()))
    return any(each["name"] == CONTAINER for each in containers)


def _ambassador(body: Body) -> tuple[Ambassador, str]:
    if not has_ambassador(body):
        return Ambassador.ABSENT, ""
    status = body.get("status", {})
    reported = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
    state: Mapping[str, Any] = next((each.get("state", {}) for each in reported if each["name"] == CONTAINER), {})
    if "running" in state:
        return Ambassador.RUNNING, ""
    if "terminated" in state:
        return Ambassador.FAILING, state["terminated"].get("reason", "") or "Terminated"
    waiting = state.get("waiting", {}).get("reason")
    return (Ambassador.STARTING, "") if waiting in _STILL_STARTING else (Ambassador.FAILING, waiting)


def _owner(metadata: Mapping[str, Any]) -> Owner | None:
    for reference in metadata.get("ownerReferences", ()):
        if reference.get("controller"):
            return Owner(reference["apiVersion"], reference["kind"], reference["name"])
    return None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
