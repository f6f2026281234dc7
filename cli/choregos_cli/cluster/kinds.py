"""The kinds of Kubernetes objects that the CLI asks for, and the path of each at the API server."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

OUR_GROUP: Final = "choregos.dev"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind, as `kubectl api-resources` lists it."""

    group: str
    version: str
    plural: str
    kind: str

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, *, namespace: str | None = None, name: str | None = None, **query: str) -> str:
        """Return where the API server has one of them, all of a namespace, or all; `query` as it takes it, if not empty."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, *(("namespaces", quote(namespace, safe="")) if namespace else ()), self.plural]
        if name:
            parts.append(quote(name, safe=""))
        asked = urlencode({key: value for key, value in query.items() if value}, quote_via=quote, safe="")
        return "/".join(parts) + (f"?{asked}" if asked else "")


CHOREOGRAPHIES: Final = Kind(OUR_GROUP, "v1alpha1", "choreographies", "Choreography")
EVENT_BUSES: Final = Kind(OUR_GROUP, "v1alpha1", "eventbuses", "EventBus")
PODS: Final = Kind("", "v1", "pods", "Pod")
SERVICES: Final = Kind("", "v1", "services", "Service")
SECRETS: Final = Kind("", "v1", "secrets", "Secret")
CONFIG_MAPS: Final = Kind("", "v1", "configmaps", "ConfigMap")
NAMESPACES: Final = Kind("", "v1", "namespaces", "Namespace")
DEPLOYMENTS: Final = Kind("apps", "v1", "deployments", "Deployment")
LEASES: Final = Kind("coordination.k8s.io", "v1", "leases", "Lease")
CRDS: Final = Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
MUTATING: Final = Kind(
    "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration"
)
VALIDATING: Final = Kind(
    "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration"
)
