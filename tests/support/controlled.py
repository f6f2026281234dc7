"""One controller with all that it needs, for tests that take something of it away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.bus import connected
from support.choreographed import Choreographed, api_client
from support.cluster import Cluster
from support.nats import NatsServer
from support.operator_process import OperatorProcess


@dataclass(frozen=True)
class Controlled:
    """A namespace of choreographies, which is the release's as well, its NATS, and how to start controllers for it."""

    shop: Choreographed
    server: NatsServer
    kubeconfig: Path

    def controller(self, **settings: str) -> OperatorProcess:
        """A controller; `async with` starts it. Settings are named as in the environment, without the prefix."""
        variables = {f"CHOREGOS_{name.upper()}": value for name, value in settings.items()}
        variables.setdefault("CHOREGOS_NATS_URL", self.server.url)
        return OperatorProcess("controller", self.kubeconfig, self.shop.namespace, **variables)


@asynccontextmanager
async def controlled(
    cluster: Cluster, namespace: str, config: str = "", **credentials: Any
) -> AsyncIterator[Controlled]:
    """Start NATS, with `config` in its own format, and connect to it and to the API server; no controller runs yet.

    `credentials` are the test's own, for nats-py.
    """
    with NatsServer(config) as server:
        async with connected(server.url, **credentials) as nats, api_client(cluster.kubeconfig) as client:
            yield Controlled(Choreographed(client, namespace, nats), server, cluster.kubeconfig)
