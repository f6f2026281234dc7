"""What is mounted into the ambassador: its configuration, and what it needs to sign in to NATS.

Both are optional, so that a pod starts before its choreography is there; the files come later, and the ambassador waits
for them. There is no emptyDir: for one, the cluster autoscaler would not move the pod.
"""

from typing import Any, Final

from choregos_operator.configured import CONFIG_KEY, configmap_name

CONFIGURATION: Final = "choregos-configuration"
CREDENTIALS: Final = "choregos-bus"
CONFIGURATION_PATH: Final = "/etc/choregos/configuration"
CREDENTIALS_PATH: Final = "/etc/choregos/bus"
CONFIGURATION_FILE: Final = f"{CONFIGURATION_PATH}/{CONFIG_KEY}"
TOKEN_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  a path
"""Where the API server mounts the token of the pod's ServiceAccount into every container that has nothing there."""


def volumes(service: str, bus: str) -> list[dict[str, Any]]:
    """Return the pod's volumes for the ambassador."""
    return [
        {"name": CONFIGURATION, "configMap": {"name": configmap_name(service), "optional": True}},
        {"name": CREDENTIALS, "secret": {"secretName": f"choregos-bus-{bus}", "optional": True}},
    ]


def mounts() -> list[dict[str, Any]]:
    """Return where the ambassador finds them: as directories, because a single file would never follow a change."""
    return [
        {"name": CONFIGURATION, "mountPath": CONFIGURATION_PATH, "readOnly": True},
        {"name": CREDENTIALS, "mountPath": CREDENTIALS_PATH, "readOnly": True},
        # The ambassador never talks to the API server. The admission plugin that hands out tokens runs after webhooks, too,
        # and the pod may say only for all of its containers that it wants none: so the place is taken.
        {"name": CONFIGURATION, "mountPath": TOKEN_PATH, "readOnly": True},
    ]
