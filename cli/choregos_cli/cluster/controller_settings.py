"""What the controller of a cluster was told: its Deployment, found by its labels, and the NATS servers in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from choregos_cli.cluster.complaints import INSTALL, ForbiddenError
from choregos_cli.cluster.kinds import DEPLOYMENTS
from choregos_cli.cluster.kubectl import Kubectl, Object
from choregos_cli.errors import MisuseError, UnreachableError

USUAL_NAMESPACE: Final = "choregos-system"
LABELS: Final = "app.kubernetes.io/part-of=choregos,app.kubernetes.io/component in (controller,webhook)"
COMPONENT: Final = "app.kubernetes.io/component"


@dataclass(frozen=True, slots=True)
class Component:
    """One Deployment of the operator."""

    deployment: Object

    @property
    def namespace(self) -> str:
        """The release's namespace."""
        return str(self.deployment["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """Name of the Deployment."""
        return str(self.deployment["metadata"]["name"])

    @property
    def is_controller(self) -> bool:
        """Whether it is the controller."""
        return (self.deployment["metadata"].get("labels") or {}).get(COMPONENT) == "controller"

    @property
    def container(self) -> Mapping[str, Any]:
        """The container of the operator: the one that is told CHOREGOS_* variables, else the first."""
        containers = self.deployment["spec"]["template"]["spec"]["containers"]
        told = (each for each in containers if any(v["name"].startswith("CHOREGOS_") for v in each.get("env") or ()))
        found: Mapping[str, Any] = next(told, containers[0])
        return found

    @property
    def version(self) -> str:
        """The image's tag; empty if it has none."""
        name, _, tag = str(self.container["image"]).partition("@")[0].rpartition(":")
        return tag if name and "/" not in tag else ""

    def setting(self, name: str) -> str | None:
        """Return a variable that stands in the Deployment itself, such as `NATS_URL`; None if it is set elsewhere."""
        variables = {each["name"]: each.get("value") for each in self.container.get("env") or ()}
        return variables.get(f"CHOREGOS_{name}")


async def components(kubectl: Kubectl, namespace: str | None = None) -> tuple[Component, ...]:
    """Return the operator's Deployments, of all namespaces unless one is named; raises CommandError.

    Who may not look everywhere is shown the namespace where Choregos usually is.
    """
    try:
        found = await kubectl.all(DEPLOYMENTS, namespace=namespace, labels=LABELS)
    except ForbiddenError:
        if namespace:
            raise
        found = await kubectl.all(DEPLOYMENTS, namespace=USUAL_NAMESPACE, labels=LABELS)
    return tuple(Component(each) for each in found if COMPONENT in (each["metadata"].get("labels") or {}))


async def controller(kubectl: Kubectl, namespace: str | None = None) -> Component:
    """Return the controller's Deployment; raises UnreachableError if there is none, MisuseError if there are several."""
    found = [each for each in await components(kubectl, namespace) if each.is_controller]
    if not found:
        where = f"in the namespace {namespace}" if namespace else "in this cluster"
        raise UnreachableError(f"there is no controller of Choregos {where}", INSTALL)
    if len(found) > 1:
        named = ", ".join(f"{each.namespace}/{each.name}" for each in found)
        raise MisuseError(
            f"there are {len(found)} controllers of Choregos: {named}", "say which: --release-namespace NS"
        )
    return found[0]
