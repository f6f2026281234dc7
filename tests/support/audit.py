"""What users asked of an API server, out of its audit log."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": ["system:apiserver", "system:kube-controller-manager"]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True)
class Request:
    """One request; a watch counts from its beginning on."""

    verb: str
    """As a role would name it, such as `list`."""
    group: str
    resource: str
    """With its subresource, as in `pods/status`; the path for what is no resource, such as `/version`."""
    namespace: str
    name: str
    status: int


def requests(log: Path, user: str) -> list[Request]:
    """Read a user's requests, in the order of their answers."""
    found: dict[str, Request] = {}
    for line in log.read_bytes().splitlines(keepends=True):
        # The last line may not be written to its end yet.
        if line.endswith(b"\n") and (event := json.loads(line))["user"].get("username") == user:
            found[event["auditID"]] = _request(event)
    return list(found.values())


def _request(event: dict[str, Any]) -> Request:
    target = event.get("objectRef", {"resource": event["requestURI"].partition("?")[0]})
    resource = "/".join(filter(None, (target.get("resource", ""), target.get("subresource", ""))))
    status = event.get("responseStatus", {}).get("code", 0)
    return Request(
        event["verb"], target.get("apiGroup", ""), resource, target.get("namespace", ""), target.get("name", ""), status
    )
