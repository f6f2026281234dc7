"""The two objects that the API server is asked to try, and to store neither: a labelled pod, and a wrong choreography."""

import json
from typing import Any, Final

from choregos_cli.checks.facts import Trial
from choregos_cli.checks.lines import Unknown
from choregos_cli.cluster.complaints import KubernetesRefused
from choregos_cli.cluster.kubectl import Kubectl
from choregos_cli.cluster.pods import SERVICE_LABEL
from choregos_cli.errors import CommandError
from choregos_contract.resources import API_VERSION

NAME: Final = "choregos-check"
_RESTRICTED: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_RESOURCES: Final = {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1m", "memory": "1Mi"}}
POD: Final[dict[str, Any]] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": f"{NAME}-", "labels": {SERVICE_LABEL: NAME}},
    "spec": {
        "containers": [
            {"name": "service", "image": "none.invalid/none", "resources": _RESOURCES, "securityContext": _RESTRICTED}
        ]
    },
}
"""It keeps every rule of the strictest namespace, so that it is the webhook alone that is tried."""
CHOREOGRAPHY: Final[dict[str, Any]] = {
    "apiVersion": API_VERSION,
    "kind": "Choreography",
    "metadata": {"generateName": f"{NAME}-"},
    "spec": {
        "events": {"CheckAsked": {"external": True}, "CheckAnswered": {}},
        "services": {NAME: {"reactions": [{"event": "CheckAsked"}]}},
    },
}
"""Nobody emits `CheckAnswered`: more than the schema can see, so that it is the webhook that has to refuse it."""
ERROR: Final = "never-emitted"
"""The code of that error, which stands in the webhook's refusal."""


async def tried(kubectl: Kubectl, what: dict[str, Any], namespace: str) -> Trial | Unknown:
    """Have an object tried in a namespace."""
    try:
        found = await kubectl.try_create(json.dumps(what).encode(), namespace=namespace)
    except KubernetesRefused as refused:
        return Trial(refused)
    except CommandError as error:
        return Unknown.of(error)
    return Trial(found.objects[0])
