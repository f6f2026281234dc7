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
def crds(cluster: Cluster) -> None:
    install(cluster)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    with cluster.namespace() as name:
        yield name
