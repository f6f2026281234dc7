"""Pods as users write them, labelled for the service `payment`; as a controller would create them from a template."""

from typing import Any

from choregos_contract.configuration import Configuration
from choregos_contract.configure import configurations
from choregos_operator.injection import InjectionSettings
from support.choreographies import choreography

SERVICE = "payment"
SETTINGS = InjectionSettings(image="registry.example/ambassador:1", nats_url="nats://nats.nats:4222")
LABELS = {"choregos.dev/service": SERVICE, "app": "shop"}

RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def container(name: str = "app", **fields: Any) -> dict[str, Any]:
    """A container that the strictest namespace takes."""
    resources = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}}
    return {"name": name, "image": f"shop/{name}:1", "resources": resources, "securityContext": RESTRICTED, **fields}


def pod(*containers: dict[str, Any], annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A labelled pod; without containers, it has one."""
    metadata: dict[str, Any] = {"generateName": "shop-", "labels": dict(LABELS)}
    if annotations is not None:
        metadata["annotations"] = annotations
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": list(containers or (container(),)), **spec},
    }


def configured(**service: Any) -> Configuration:
    """The configuration of the pods' service, which has one reaction unless it is given others."""
    reactions = [{"event": "Ordered", "emits": ["Paid"], "onSuccess": "Paid"}]
    shop = choreography({SERVICE: {"port": 8080, "reactions": reactions, **service}})
    return configurations([shop], None, generation=1)[SERVICE]


_PORTS = [{"name": "http", "containerPort": 8080}, {"name": "syslog", "containerPort": 9480, "protocol": "UDP"}]
_PROBED = {"httpGet": {"path": "/healthz", "port": "http"}}

PODS: dict[str, dict[str, Any]] = {
    "of a Deployment": pod(container(ports=_PORTS, readinessProbe=_PROBED, env=[{"name": "MODE", "value": "fast"}])),
    "of a Job": pod(restartPolicy="Never", activeDeadlineSeconds=600),
    "with init containers": pod(initContainers=[container("migrate"), container("warm-up")]),
    "with another sidecar": pod(
        initContainers=[container("mesh", restartPolicy="Always"), container("migrate", env=[])],
        volumes=[{"name": "scratch", "emptyDir": {}}],
    ),
    "of many containers": pod(
        container(volumeMounts=[{"name": "settings", "mountPath": "/settings"}]),
        container("cache"),
        container("proxy", env=[{"name": "CHOREGOS_PUBLISH_URL", "value": "http://127.0.0.1:9480"}]),
        volumes=[{"name": "settings", "configMap": {"name": "settings", "optional": True}}],
        terminationGracePeriodSeconds=90,
    ),
    "as an assigned user": pod(securityContext={"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000}),
    "without a token": pod(automountServiceAccountToken=False),
    "with tuning": pod(
        annotations={
            "choregos.dev/cpu-request": "0.1",
            "choregos.dev/memory-limit": "256Mi",
            "choregos.dev/publish-port": "9580",
            "choregos.dev/probes-port": "9581",
            "choregos.dev/log-events": "true",
            "choregos.dev/bus": "orders",
            "example.com/team": "shop",
        }
    ),
}
"""By what they are like. None of them gives cause for a refusal."""
