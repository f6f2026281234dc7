"""The ambassador's container: a native sidecar, which is an init container that is restarted always.

It starts before the service and ends after it, so the service can publish from its first to its last moment, and a Job's
pod completes in spite of it (Kubernetes 1.29 or later).
"""

from typing import Any, Final

from choregos_operator.annotations import Tuning
from choregos_operator.bus_identity import Place
from choregos_operator.injection.pod import CONTAINER, HANDSHAKE_FIRST, NATS_URL, SERVER_NAME, Manifest, spec
from choregos_operator.injection.settings import InjectionSettings
from choregos_operator.injection.volumes import CONFIGURATION_FILE, CREDENTIALS_PATH, mounts

METRICS_PORT: Final = "choregos-prom"
"""Name of the port of probes and metrics, for a PodMonitor. `choregos-metrics` has a letter more than Kubernetes takes."""
PUBLISH_URL: Final = "CHOREGOS_PUBLISH_URL"
USER: Final = 65532
"""The image's own user, needed only where the pod would have its containers run as root."""
_EVERY_ADDRESS: Final = "0.0.0.0"  # noqa: S104  the ambassador's default
DRAIN: Final = ("choregos-ambassador", "drain")

_SECURITY: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def publish_url(tuning: Tuning) -> str:
    """Return where the other containers of the pod find the publish API."""
    return f"http://127.0.0.1:{tuning.publish_port}"


def until_drained(tuning: Tuning) -> dict[str, Any]:
    """Return the hook that keeps a container from SIGTERM until its ambassador sends it no more; the kubelet calls it."""
    return {"httpGet": {"path": "/drained", "port": tuning.probes_port}}


def ambassador(pod: Manifest, tuning: Tuning, settings: InjectionSettings, where: Place) -> dict[str, Any]:
    """Return the container for this pod. Its command is the image's."""
    return {
        "name": CONTAINER,
        "image": tuning.image or settings.image,
        "restartPolicy": "Always",
        "env": _environment(tuning, settings.probes_host, where),
        "ports": [{"name": METRICS_PORT, "containerPort": tuning.probes_port}],
        **_probes(tuning.probes_port),
        "lifecycle": {"preStop": {"exec": {"command": list(DRAIN)}}},
        "resources": _resources(tuning),
        "securityContext": _security(pod),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts(),
    }


def _environment(tuning: Tuning, probes_host: str, where: Place) -> list[dict[str, Any]]:
    """Say what the ambassador cannot do without, and what differs from its defaults."""
    usual = Tuning()
    always = {
        "CHOREGOS_CONFIG": CONFIGURATION_FILE,
        NATS_URL: ",".join(where.servers),
        "CHOREGOS_NATS_CREDENTIALS": CREDENTIALS_PATH,
    }
    greeting = {HANDSHAKE_FIRST: "true"} if where.handshake_first else {}
    if where.server_name:
        greeting[SERVER_NAME] = where.server_name
    listening = {} if probes_host == _EVERY_ADDRESS else {"CHOREGOS_PROBES_HOST": probes_host}
    tuned = {
        f"CHOREGOS_{field.upper()}": str(getattr(tuning, field)).lower()
        for field in ("publish_port", "probes_port", "log_level", "log_events", "log_answers")
        if getattr(tuning, field) != getattr(usual, field)
    }
    pod = {"name": "CHOREGOS_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    return [*({"name": name, "value": value} for name, value in (always | greeting | listening | tuned).items()), pod]


def _probes(port: int) -> dict[str, Any]:
    """Return the three probes.

    The service starts when the startup probe succeeds, which is when the publish API listens: it is asked every second, for
    a minute, in which even a small `cpu-limit` lets the process start. Nothing outside the process fails liveness, so it
    only ever ends one that hangs; it is patient, because a restart hands back every event in hand.
    """

    def get(path: str, **times: int) -> dict[str, Any]:
        return {"httpGet": {"path": path, "port": port}, **times}

    return {
        "startupProbe": get("/readyz", periodSeconds=1, timeoutSeconds=1, failureThreshold=60),
        "livenessProbe": get("/livez", periodSeconds=10, timeoutSeconds=5, failureThreshold=6),
        "readinessProbe": get("/readyz", periodSeconds=5, timeoutSeconds=5, failureThreshold=3),
    }


def _resources(tuning: Tuning) -> dict[str, Any]:
    limits = {"cpu": tuning.cpu_limit, "memory": tuning.memory_limit}
    resources: dict[str, Any] = {"requests": {"cpu": tuning.cpu_request, "memory": tuning.memory_request}}
    if given := {name: value for name, value in limits.items() if value is not None}:
        resources["limits"] = given
    return resources


def _security(pod: Manifest) -> dict[str, Any]:
    """Return what "restricted" pod security asks for. The user is the image's, or whichever one the cluster assigns.

    Only if the pod has all of its containers run as root is the user named: the kubelet would refuse to start ours.
    """
    root = (spec(pod).get("securityContext") or {}).get("runAsUser") == 0
    return {**_SECURITY, "runAsUser": USER} if root else dict(_SECURITY)
