"""What the controller goes through: NATS away, the API server away, conflicts, and the end of namespaces and definitions."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client import ApiException

from support.choreographed import SHOP, Choreographed, api_client, becomes, reacting
from support.cluster import Cluster
from support.controlled import Controlled, controlled
from support.crds import FILES, install
from support.operator_process import OperatorProcess
from support.secret import Secret

MANY = {"a": {"emits": ["Asked"]}, "b": reacting("Asked")}


@pytest.fixture
async def site(cluster: Cluster, crds: None, namespace: str) -> AsyncIterator[Controlled]:
    async with controlled(cluster, namespace) as running:
        yield running


def passes_that_broke(controller: OperatorProcess) -> list[dict[str, Any]]:
    return [line for line in controller.lines if line["message"] == "a pass broke"]


# --- NATS ---


async def test_while_nats_is_away_the_rest_goes_on_and_it_is_wired_when_nats_comes(site: Controlled) -> None:
    shop = site.shop
    site.server.stop()
    async with site.controller() as controller:
        await shop.choreography("shop", SHOP)
        away = await shop.until("shop", "Unknown", "BusAway", of="Wired")
        assert "do not answer" in away["message"]
        assert "tried again" in away["message"]
        await shop.choreography("broken", {"payment": reacting("Nobody")})
        await shop.until("broken", "False", "Invalid", of="Valid")
        await shop.pod("payment-1", "payment", ambassador=False)
        await shop.until_told("NoAmbassador", "payment-1")
        assert await shop.configuration("payment") == {}
        site.server.start()
        await shop.until("shop", "True", of="Wired")
        assert (await shop.configuration("payment"))["generation"] == 1
        site.server.stop()
        await shop.choreography("shop", {**SHOP, "payment": reacting("OrderPlaced", suspend=True)})
        await shop.until("shop", "Unknown", "BusAway", of="Wired")
        assert (await shop.configuration("payment"))["generation"] == 1
        site.server.start()
        await shop.until("shop", "True", of="Wired")
        assert (await shop.configuration("payment"))["generation"] == 2
        assert not passes_that_broke(controller)


REFUSING = """
authorization {{ users: [
  {{user: test, password: test}}
  {{user: operator, password: operator, permissions: {{publish: {{allow: [">"], deny: [{denied}]}}, subscribe: [">"]}}}}
] }}
"""


async def test_no_configuration_allows_a_publish_before_the_durables_stand(
    cluster: Cluster, crds: None, namespace: str, tmp_path: Path
) -> None:
    refusing = REFUSING.format(denied='"$JS.API.CONSUMER.CREATE.>"')
    async with controlled(cluster, namespace, refusing, user="test", password="test") as site:
        shop = site.shop
        credentials = Secret(tmp_path / "credentials", username="operator", password="operator")
        async with site.controller(nats_credentials=str(credentials)):
            await shop.choreography("shop", SHOP)
            await shop.until("shop", "False", "Refused", of="Wired", text="consumer.create")
            assert (await shop.bus().api(f"STREAM.INFO.{shop.bus().names.event_stream}"))["config"]
            assert await shop.all("ConfigMap") == [
                each for each in await shop.all("ConfigMap") if "ca.crt" in each["data"]
            ]
            site.server.reload(REFUSING.format(denied='"nothing"'))
            await shop.until("shop", "True")
            assert await shop.configuration("shop")
            assert len(await shop.durables()) == 1


# --- the API server ---


@pytest.mark.usefixtures("own_cluster")
async def test_it_goes_on_after_the_api_server_was_away(cluster: Cluster, site: Controlled) -> None:
    shop = site.shop
    async with site.controller() as controller:
        await shop.choreography("shop", SHOP)
        await shop.until("shop", "True")
        await asyncio.to_thread(cluster.restart_api_server)
        async with api_client(cluster.kubeconfig) as client:
            after = Choreographed(client, shop.namespace, shop.nats)
            await after.choreography("shop", {**SHOP, "payment": reacting("OrderPlaced", suspend=True)})
            await after.choreography("more", MANY)
            await after.until("shop", "True")
            await after.until("more", "True")
            assert (await after.configuration("payment"))["generation"] == 2
        assert not passes_that_broke(controller)


async def test_it_converges_while_others_write_the_same_objects(site: Controlled) -> None:
    shop = site.shop
    async with site.controller() as controller:
        await shop.choreography("shop", SHOP)
        await shop.until("shop", "True")

        async def meddle() -> None:
            for number in range(10_000):
                with contextlib.suppress(ApiException):
                    await shop.merge("ConfigMap", "choregos-payment", {"data": {"theirs": str(number)}})
                    status = {"status": {"lag": number}}
                    await shop.merge("Choreography", "shop", status, subresource="/status")

        meddling = asyncio.create_task(meddle())
        try:
            for number in range(1, 31):
                edited = reacting("OrderPlaced", delivery={"maxInFlight": number})
                await shop.choreography("shop", {**SHOP, "payment": edited})
        finally:
            meddling.cancel()
            await asyncio.gather(meddling, return_exceptions=True)
        await shop.until("shop", "True")
        (durable,) = (await shop.durables()).values()
        assert durable["config"]["max_ack_pending"] == 30
        assert not passes_that_broke(controller)


# --- the webhook ---


async def test_no_pod_is_evicted_while_the_next_one_would_have_no_ambassador_either(site: Controlled) -> None:
    shop, labels = site.shop, {"choregos.dev/service": "payment"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app"}]}}
    async with site.controller(evict_uninjected="true") as controller:
        await shop.choreography("shop", SHOP)
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        await shop.apply("ReplicaSet", "payment", spec=spec)
        (pod,) = await becomes(lambda: shop.all("Pod"), "the pod")
        await shop.until("shop", "False", "WithoutAmbassador", text=pod["metadata"]["name"])
        refused = frozenset({("outcome", "refused")})

        async def considered() -> bool:
            return (await controller.metrics()).get("choregos_evictions_total", {}).get(refused, 0) > 0

        await becomes(considered, "an eviction was considered")
        assert [each["metadata"]["uid"] for each in await shop.all("Pod")] == [pod["metadata"]["uid"]]


# --- what is deleted ---


async def test_a_namespace_that_is_deleted_while_it_is_wired_goes_and_its_streams_stay(
    cluster: Cluster, site: Controlled
) -> None:
    with cluster.namespace("doomed") as doomed:
        shop = Choreographed(site.shop.client, doomed, site.shop.nats)
        async with site.controller() as controller:
            await shop.choreography("shop", SHOP)
            await shop.apply("EventBus", "default", spec={})
            await shop.until("shop", "True")
            await shop.until("default", "True", kind="EventBus")
            sequence = await shop.bus().publish("OrderPlaced")
            for number in range(3):
                await shop.pod(f"payment-{number}", "payment")
            known = len(controller.lines)
            await asyncio.to_thread(cluster.kubectl, "delete", "namespace", doomed, "--timeout=60s")
            # It looks at something else afterwards.
            await site.shop.choreography("shop", SHOP)
            await site.shop.until("shop", "True")
            complaints = [line for line in controller.lines[known:] if line["level"] in ("warning", "error")]
            assert complaints == []
            assert [each.sequence for each in await shop.bus().events()] == [sequence]


async def test_without_a_controller_everything_can_be_deleted(cluster: Cluster, site: Controlled) -> None:
    shop = site.shop
    async with site.controller() as controller:
        await shop.apply("EventBus", "default", spec={})
        await shop.choreography("shop", SHOP)
        await shop.pod("payment-1", "payment")
        await shop.until("shop", "True")
        await shop.until("default", "True", kind="EventBus")
        controller.kill()
        await controller.ended()
    for what in ("choreography/shop", "eventbus/default"):
        await asyncio.to_thread(cluster.kubectl, "delete", what, "-n", shop.namespace, "--timeout=60s")


@pytest.mark.usefixtures("own_cluster")
async def test_it_recovers_when_the_definitions_were_away(cluster: Cluster, site: Controlled) -> None:
    shop = site.shop
    async with site.controller(sweep_seconds="1") as controller:
        await shop.choreography("shop", SHOP)
        await shop.until("shop", "True")
        (before,) = (await shop.durables()).values()
        try:
            for file in FILES:
                await asyncio.to_thread(cluster.kubectl, "delete", "--filename", file, "--timeout=60s")
            await controller.until(lambda: "custom resources are not installed" in json.dumps(controller.lines))
        finally:
            await asyncio.to_thread(install, cluster)
        await shop.choreography("shop", SHOP)
        await shop.until("shop", "True")
        (after,) = (await shop.durables()).values()
        assert after["created"] == before["created"], "the position is kept"
        assert not passes_that_broke(controller)
