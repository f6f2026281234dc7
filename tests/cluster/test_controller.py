"""The controller as a real process, on a real API server and a real nats-server: apply, and it is wired."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from nats.aio.client import Client

from support.bus import connected
from support.cluster import Cluster
from support.nats import NatsServer
from support.operator_process import OperatorProcess
from support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
DRONES = ROOT / "examples" / "drone-delivery" / "choreography.yaml"


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer() as running:
        yield running


@pytest.fixture(scope="session")
def crds(cluster: Cluster) -> None:
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        cluster.kubectl("apply", "--server-side", "-f", file)
    cluster.kubectl(
        "wait", "--for=condition=Established", "crd", "choreographies.choregos.dev", "eventbuses.choregos.dev"
    )


@pytest.fixture
async def nats(server: NatsServer) -> AsyncIterator[Client]:
    async with connected(server.url) as client:
        yield client


@pytest.fixture
async def controller(
    cluster: Cluster, crds: None, namespace: str, server: NatsServer
) -> AsyncIterator[OperatorProcess]:
    async with OperatorProcess("controller", cluster.kubeconfig, namespace, CHOREGOS_NATS_URL=server.url) as running:
        yield running


def condition(cluster: Cluster, namespace: str, name: str, kind: str) -> dict[str, Any]:
    conditions = cluster.get("choreography", name, "-n", namespace).get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


async def test_apply_leads_to_wired(
    cluster: Cluster, namespace: str, controller: OperatorProcess, nats: Client
) -> None:
    document = yaml.safe_load(DRONES.read_text())
    document["metadata"].pop("namespace", None)
    cluster.apply(document, namespace=namespace)
    await asyncio.to_thread(
        cluster.kubectl,
        "wait",
        "--for=condition=Ready",
        "choreography/drone-delivery",
        "-n",
        namespace,
        "--timeout=20s",
    )
    streams = [each.config.name for each in await nats.jetstream().streams_info()]
    assert f"choregos_{namespace}_default_events" in streams
    consumers = await nats.jetstream().consumers_info(f"choregos_{namespace}_default_events")
    assert len(consumers) == 6
    configmaps = cluster.get("configmaps", "-n", namespace, "-l", "choregos.dev/service")["items"]
    assert sorted(each["metadata"]["name"] for each in configmaps) == [
        "choregos-delivery",
        "choregos-dronescheduler",
        "choregos-ingestion",
        "choregos-package",
    ]
    assert json.loads(configmaps[0]["data"]["configuration.json"])["generation"] == 1
