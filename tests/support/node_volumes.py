"""Volumes of the test node: directories that wait for claims of the default StorageClass."""

from pathlib import Path
from typing import Any

from support.kubelet import NAME

COUNT = 24
_CLASS = "standard"


def volumes(directory: Path) -> list[dict[str, Any]]:
    """Make the directories, and return the StorageClass and a PersistentVolume for each of them.

    Nobody provisions more of them, and none is used twice: the data of a deleted claim stays until the node ends.
    """
    return [_storage_class(), *(_volume(directory / f"volume-{number}") for number in range(COUNT))]


def _storage_class() -> dict[str, Any]:
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": _CLASS, "annotations": default},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _volume(directory: Path) -> dict[str, Any]:
    directory.mkdir(parents=True)
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NAME]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": directory.name},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": _CLASS,
            "local": {"path": str(directory)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }
