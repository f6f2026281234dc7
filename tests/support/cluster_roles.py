"""Users of a cluster with rights, for tests that count what one of them asks for."""

from pathlib import Path

from support.cluster import Cluster


def administrator(cluster: Cluster, name: str) -> Path:
    """Return the kubeconfig of a user who may do everything, and is nobody else."""
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
    }
    cluster.apply(binding)
    return cluster.user_kubeconfig(name)
