"""One cluster for all tests of a worker, and a namespace of its own for each that wants one."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from support.choreographed import Choreographed
from support.cluster import Cluster
from support.commands import Commands
from support.controlled import Controlled, controlled
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(cluster: Cluster, crds: None) -> AsyncIterator[Controlled]:
    """One controller for all tests of a module, each of which has a namespace of its own."""
    with cluster.namespace("release") as release:
        async with controlled(cluster, release) as running, running.controller():
            yield running


@pytest.fixture
def shop(site: Controlled, namespace: str) -> Choreographed:
    """The namespace of a test, as the controller of its module sees it."""
    return Choreographed(site.shop.client, namespace, site.shop.nats)


@pytest.fixture
def commands(site: Controlled, namespace: str) -> Commands:
    """The CLI, in that namespace and on that NATS."""
    return Commands(site.kubeconfig, namespace, site.server.url)
