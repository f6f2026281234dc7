"""The command `choregos` as somebody runs it who has a kubeconfig of the cluster, and its kubectl."""

import subprocess

from support import binaries
from support.cluster import Cluster
from support.console_script import choregos


def on(cluster: Cluster, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run the command against a cluster."""
    environment = {
        "KUBECONFIG": str(cluster.kubeconfig),
        "KUBECTL": str(binaries.find("kubectl")),
        "KUBECACHEDIR": str(cluster.kubeconfig.with_suffix(".cache")),
    }
    return choregos(*arguments, stdin=stdin.encode(), env=environment)
