"""One node for all end-to-end tests, and a namespace of its own for each that wants one."""

from collections.abc import Iterator

import pytest

from support import node_release
from support.cluster import Cluster
from support.helm import Installed
from support.node import Node
from support.shipping import Shipping


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """A node with real pods; it is always our own, whatever KUBECONFIG says: it must take images from archives."""
    with Node() as running:
        yield running


@pytest.fixture(scope="session")
def cluster(node: Node) -> Cluster:
    return node.cluster


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    with cluster.namespace("e2e") as name:
        yield name


@pytest.fixture(scope="session")
def release(node: Node) -> Installed:
    """Choregos, installed on the node with its own NATS; it goes with the node."""
    return node_release.install(node)


@pytest.fixture(scope="session")
def shipping(node: Node, release: Installed) -> Shipping:
    """The drone delivery, applied and ready."""
    found = Shipping(node)
    node.cluster.kubectl("create", "namespace", found.namespace)
    found.apply()
    return found
