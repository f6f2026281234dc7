"""Choregos on a node, as the README installs it: by Helm, with a NATS of its own, from images that the node holds."""

from functools import partial
from typing import Any, Final

from support import images
from support.helm import BUILT_IN, NAMESPACE, Installed, Values
from support.node import Node
from support.waiting import eventually

SELECTOR: Final = "app.kubernetes.io/part-of=choregos"
INSTALLING: Final = 180.0
"""Seconds that it may take until all of it is ready."""


def install(node: Node, values: Values = BUILT_IN) -> Installed:
    """Give the node all images of this tree, install the chart, and return when everything is ready."""
    for image in images.build().values():
        node.load(image.archive)
    release = Installed(node.cluster, NAMESPACE)
    release.install(values)
    ready(release)
    return release


def ready(release: Installed) -> None:
    """Wait until the pods are as wanted, and none of others is left; and until the API server trusts the webhook."""
    for part in release.cluster.kubectl(
        "get", "deployments,statefulsets", "-n", release.namespace, "-l", SELECTOR, "-o", "name"
    ).split():
        eventually(partial(rolled, release, part), f"{part} is as wanted", INSTALLING)
    eventually(lambda: all(ca_bundles(release)), "the API server trusts the webhook", INSTALLING)


def rolled(release: Installed, part: str) -> bool:
    """Whether a Deployment or StatefulSet has its pods, all of the present template and ready, and no other."""
    found = release.cluster.get(part, "-n", release.namespace)
    status, wanted = found.get("status", {}), found["spec"]["replicas"]
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
    seen = status.get("observedGeneration") == found["metadata"]["generation"]
    selector = ",".join(f"{name}={value}" for name, value in found["spec"]["selector"]["matchLabels"].items())
    return seen and counts == [wanted] * 4 and len(pods(release, selector)) == wanted


def pods(release: Installed, selector: str = SELECTOR) -> list[dict[str, Any]]:
    """Return the release's pods that a selector names, those that are ending included."""
    return list(release.cluster.get("pods", "-n", release.namespace, "-l", selector)["items"])


def ca_bundles(release: Installed) -> list[str]:
    """Return the authority that each webhook is trusted by, empty where there is none yet."""
    kinds = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")
    found = [release.cluster.get(kind, release.release)["webhooks"] for kind in kinds]
    return [str(hook["clientConfig"].get("caBundle", "")) for hooks in found for hook in hooks]
