"""The CustomResourceDefinitions of this repository, and how a cluster gets them."""

from pathlib import Path

from support.cluster import Cluster

CRDS = Path(__file__).parents[2] / "crds"
FILES = tuple(sorted(CRDS.glob("*.yaml")))


def install(cluster: Cluster) -> None:
    """Apply the definitions, and return when the API server serves them."""
    for file in FILES:
        cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={file}")
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *(f"--filename={file}" for file in FILES))
