"""One cluster for all tests of a worker, and a namespace of its own for each that wants one."""

from collections.abc import Iterator

import pytest

from support.cluster import Cluster
from support.crds import install


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with Cluster() as running:
        yield running


@pytest.fixture(scope="session")
def own_cluster(cluster: Cluster) -> Cluster:
    """The same, for a test that must not, or cannot, be run on the cluster of somebody else.

    Such as one that stops the API server, reads its log, removes the definitions with all that others made of them, or
    has it call a server of the test's own.
    """
    if not cluster.owned:
        pytest.skip(
            "the cluster of KUBECONFIG is not stopped, emptied or read, nor does it call us; unset it to run this"
        )
    return cluster


@pytest.fixture(scope="session")
def crds(cluster: Cluster) -> None:
    install(cluster)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    with cluster.namespace() as name:
        yield name
