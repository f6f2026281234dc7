"""The controller as a real process, on a real API server and a real nats-server: apply, edit, and it is wired."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from kubernetes.aio.client import ApiClient
from nats.aio.client import Client

from support.ambassador import Ambassador
from support.audit import Request
from support.bus import connected
from support.choreographed import SHOP, Choreographed, api_client, becomes, reacting
from support.cluster import Cluster
from support.cluster_roles import administrator
from support.nats import NatsServer
from support.operator_process import OperatorProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")
module = pytest_asyncio.fixture(scope="module", loop_scope="module")

ROOT = Path(__file__).resolve().parents[2]
DRONES = ROOT / "examples" / "drone-delivery" / "choreography.yaml"
USER = "controller-under-test"


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer() as running:
        yield running


@module
async def nats(server: NatsServer) -> AsyncIterator[Client]:
    async with connected(server.url) as client:
        yield client


@module
async def api(cluster: Cluster, crds: None) -> AsyncIterator[ApiClient]:
    async with api_client(cluster.kubeconfig) as client:
        yield client


@module
async def controller(cluster: Cluster, crds: None, server: NatsServer) -> AsyncIterator[OperatorProcess]:
    """One for all tests here, each of which has a namespace of its own."""
    user = administrator(cluster, USER)
    with cluster.namespace("release") as release:
        process = OperatorProcess("controller", user, release, CHOREGOS_NATS_URL=server.url)
        async with process as running:
            yield running


@pytest.fixture
def shop(api: ApiClient, namespace: str, nats: Client, controller: OperatorProcess) -> Choreographed:
    return Choreographed(api, namespace, nats)


def writes(cluster: Cluster, namespace: str) -> list[Request]:
    """What the controller changed in a namespace so far."""
    reads = ("get", "list", "watch")
    return [each for each in cluster.requests(USER) if each.namespace == namespace and each.verb not in reads]


# --- apply and edit ---


async def test_apply_leads_to_ready(cluster: Cluster, shop: Choreographed) -> None:
    document = yaml.safe_load(DRONES.read_text())
    document["metadata"].pop("namespace", None)
    await asyncio.to_thread(cluster.apply, document, namespace=shop.namespace)
    wait = ("wait", "--for=condition=Ready", "choreography/drone-delivery", "-n", shop.namespace, "--timeout=60s")
    await asyncio.to_thread(cluster.kubectl, *wait)
    assert len(await shop.durables()) == 6
    for service in ("delivery", "dronescheduler", "ingestion", "package"):
        assert (await shop.configuration(service))["generation"] == 1


async def test_an_edit_reaches_the_durable_then_the_configmap_then_the_pods(shop: Choreographed) -> None:
    await shop.choreography("shop", SHOP)
    await shop.until("shop", "True")
    await shop.pod("payment-1", "payment")
    before = await told(shop, "payment-1", generation=1)
    edited = reacting("OrderPlaced", delivery={"maxInFlight": 77})
    await shop.choreography("shop", {**SHOP, "payment": edited})
    after = await told(shop, "payment-1", generation=2)
    assert after["choregos.dev/configuration-hash"] != before["choregos.dev/configuration-hash"]
    assert (await shop.configuration("payment"))["generation"] == 2
    assert (await shop.configuration("shop"))["generation"] == 1, "its configuration has not changed"
    (durable,) = (await shop.durables()).values()
    assert durable["config"]["max_ack_pending"] == 77


async def told(shop: Choreographed, pod: str, *, generation: int) -> dict[str, str]:
    """Wait until a pod is told of a generation, and return its annotations; the ConfigMap must be there before."""

    async def annotations() -> dict[str, str]:
        found: dict[str, str] = (await shop.get("Pod", pod))["metadata"].get("annotations", {})
        if found.get("choregos.dev/configuration-generation") != str(generation):
            return {}
        assert (await shop.configuration("payment"))["generation"] >= generation, "told before it was written"
        return found

    return await becomes(annotations, f"{pod} is told of generation {generation}")


@pytest.mark.usefixtures("own_cluster")
async def test_what_is_applied_again_unchanged_writes_nothing(cluster: Cluster, shop: Choreographed) -> None:
    await shop.choreography("shop", SHOP)
    await shop.until("shop", "True")
    await shop.pod("payment-1", "payment")
    await told(shop, "payment-1", generation=1)
    await shop.running("payment-1")
    await shop.until("shop", "True", "AllCurrent", of="AmbassadorsCurrent")
    before = writes(cluster, shop.namespace)
    await shop.choreography("shop", SHOP)
    # Another annotation is another pass, and so is another choreography, whose end can be seen.
    await shop.merge("Choreography", "shop", {"metadata": {"annotations": {"note": "seen"}}})
    await shop.choreography("other", {"a": {"emits": ["Other"]}, "b": reacting("Other")})
    await shop.until("other", "True")
    others = ("other", "choregos-a", "choregos-b", "")
    assert [each for each in writes(cluster, shop.namespace)[len(before) :] if each.name not in others] == []


# --- what is between choreographies ---


async def test_of_two_claims_on_a_reaction_the_older_wins_until_it_goes(shop: Choreographed) -> None:
    await shop.choreography("elder", {**SHOP, "payment": reacting("OrderPlaced", delivery={"maxInFlight": 11})})
    await shop.until("elder", "True")
    await older_than_a_second(shop, "elder")
    claim = {"payment": reacting("OrderPlaced", delivery={"maxInFlight": 99})}
    await shop.choreography("younger", claim, events={"OrderPlaced": {"external": True}})
    await shop.until("younger", "False", "Conflict", text="elder")
    assert (await shop.condition("Choreography", "elder", "Ready"))["status"] == "True"
    assert await in_flight(shop) == [11]
    await shop.delete("Choreography", "elder")
    await shop.until("younger", "True")
    assert await in_flight(shop) == [99]


async def in_flight(shop: Choreographed) -> list[int]:
    return [each["config"]["max_ack_pending"] for each in (await shop.durables()).values()]


async def older_than_a_second(shop: Choreographed, name: str) -> None:
    """Wait until what is created now is younger than this one, by the API server's clock, which counts seconds."""
    created = (await shop.get("Choreography", name))["metadata"]["creationTimestamp"]

    async def later() -> bool:
        clock = await shop.apply("ConfigMap", "clock")
        await shop.delete("ConfigMap", "clock")
        return bool(clock["metadata"]["creationTimestamp"] > created)

    await becomes(later, "the next second")


async def test_of_two_buses_for_a_service_the_older_choreographys_wins_until_it_goes(shop: Choreographed) -> None:
    await shop.apply("EventBus", "side", spec={})
    await shop.choreography("elder", SHOP)
    await shop.until("elder", "True")
    await older_than_a_second(shop, "elder")
    await shop.choreography("younger", {"payment": reacting("Refunded"), "desk": {"emits": ["Refunded"]}}, bus="side")
    await shop.until("younger", "False", "Conflict", text="elder")
    assert (await shop.configuration("payment"))["bus"]["bus"] == "default"
    await shop.delete("Choreography", "elder")
    await shop.until("younger", "True")
    assert (await shop.configuration("payment"))["bus"]["bus"] == "side"
    assert len(await shop.durables("side")) == 1


async def test_a_choreography_on_a_bus_that_is_not_there_says_so_and_is_wired_when_it_comes(
    shop: Choreographed,
) -> None:
    await shop.choreography("shop", SHOP, bus="orders")
    await shop.until("shop", "False", "Refused", of="Wired", text='there is no EventBus "orders"')
    assert await shop.configuration("payment") == {}
    await shop.apply("EventBus", "orders", spec={})
    await shop.until("shop", "True")
    await shop.until("orders", "True", kind="EventBus")
    assert len(await shop.durables("orders")) == 1


async def test_an_edit_that_makes_a_choreography_invalid_changes_nothing_that_was_wired(shop: Choreographed) -> None:
    await shop.choreography("shop", SHOP)
    await shop.choreography("other", {"a": {"emits": ["Other"]}, "b": reacting("Other")})
    await shop.until("shop", "True")
    await shop.until("other", "True")
    before, document = await shop.durables(), await shop.configuration("payment")
    # Nobody emits OrderPaid: it can be stored, and makes no sense.
    await shop.choreography("shop", {**SHOP, "payment": reacting("OrderPaid")})
    await shop.until("shop", "False", "Invalid", of="Valid", text="OrderPaid")
    await shop.until("shop", "Unknown", "Invalid", of="Wired")
    await shop.choreography("other", {"a": {"emits": ["Other"]}, "b": reacting("Other", suspend=True)})
    await shop.until("other", "True")
    after = await shop.durables()
    assert [each["config"] for each in after.values()] == [each["config"] for each in before.values()]
    assert await shop.configuration("payment") == document
    await shop.choreography("shop", SHOP)
    await shop.until("shop", "True")
    assert await shop.configuration("payment") == document


async def test_an_invalid_choreography_keeps_nobody_elses_edit_from_a_service_they_share(shop: Choreographed) -> None:
    more = {"payment": reacting("Refunded"), "desk": {"emits": ["Refunded"]}}
    await shop.choreography("more", more)
    await shop.until("more", "True")
    await shop.choreography("more", {"payment": reacting("Nobody")})
    await shop.until("more", "False", "Invalid")
    await shop.choreography("shop", SHOP)
    await shop.until("shop", "True")
    reactions = (await shop.configuration("payment"))["reactions"]
    assert [each["event"] for each in reactions] == ["OrderPlaced", "Refunded"], "beside what was wired before"


# --- pods ---


async def test_a_pod_of_a_service_that_nobody_declares_gets_its_configuration_when_it_comes(
    shop: Choreographed,
) -> None:
    await shop.pod("payment-1", "payment")
    await shop.running("payment-1")
    await shop.until_told("NotDeclared", "payment-1")
    await shop.choreography("shop", SHOP)
    await told(shop, "payment-1", generation=1)
    await shop.until("shop", "True", "AllCurrent", of="AmbassadorsCurrent")


async def test_a_labelled_pod_without_an_ambassador_is_told_counted_and_left_alone(
    shop: Choreographed, controller: OperatorProcess
) -> None:
    await shop.choreography("shop", SHOP)
    await shop.pod("payment-1", "payment", ambassador=False)
    await shop.until("shop", "False", "WithoutAmbassador", text="payment-1")
    assert "no event reaches it" in await shop.until_told("NoAmbassador", "payment-1")
    row = {"namespace": shop.namespace, "bus": "default", "service": "payment", "standing": "without"}
    assert (await controller.metrics())["choregos_pods"][frozenset(row.items())] == 1
    assert await shop.find("Pod", "payment-1")


async def test_a_label_on_a_deployment_but_not_on_its_template_is_told(shop: Choreographed) -> None:
    app = {"app": "payment"}
    template = {"metadata": {"labels": app}, "spec": {"containers": [{"name": "app", "image": "app"}]}}
    spec: dict[str, Any] = {"replicas": 0, "selector": {"matchLabels": app}, "template": template}
    await shop.apply("Deployment", "payment", metadata={"labels": {"choregos.dev/service": "payment"}}, spec=spec)
    assert "spec.template.metadata.labels" in await shop.until_told("LabelNotOnPods", "payment")


async def test_ambassadors_are_counted_as_current_by_what_they_themselves_tell(
    shop: Choreographed, server: NatsServer
) -> None:
    await shop.choreography("shop", SHOP)
    await shop.until("shop", "True")
    async with (
        Ambassador(server.url, None, CHOREGOS_POD="payment-1") as one,
        Ambassador(server.url, None, CHOREGOS_POD="payment-2") as other,
    ):
        for number, ambassador in enumerate((one, other), 1):
            await mount(shop, ambassador)
            await shop.pod(f"payment-{number}", "payment")
            await shop.running(f"payment-{number}")
        await shop.until("shop", "True", "AllCurrent", of="AmbassadorsCurrent", text="2 of 2")
        await shop.choreography("shop", {**SHOP, "payment": reacting("OrderPlaced", delivery={"timeout": "7s"})})
        await shop.until("shop", "False", "Behind", of="AmbassadorsCurrent", text="0 of 2")
        await mount(shop, one)
        await shop.until("shop", "False", "Behind", of="AmbassadorsCurrent", text="1 of 2")
        await mount(shop, other)
        await shop.until("shop", "True", "AllCurrent", of="AmbassadorsCurrent", text="2 of 2")


async def mount(shop: Choreographed, ambassador: Ambassador) -> None:
    """Do what a kubelet does."""
    found = await shop.get("ConfigMap", "choregos-payment")
    ambassador.configure_raw(found["data"]["configuration.json"].encode())


# --- the process ---


async def test_what_the_controller_writes_bears_its_name(shop: Choreographed) -> None:
    await shop.pod("payment-1", "payment")
    await shop.running("payment-1")
    await shop.choreography("shop", SHOP)
    await shop.until("shop", "False", "Behind", of="AmbassadorsCurrent")
    written = await shop.get("ConfigMap", "choregos-payment")
    assert [each["manager"] for each in written["metadata"]["managedFields"]] == ["choregos"]
    for kind, name, part in (("Choreography", "shop", "f:status"), ("Pod", "payment-1", "f:metadata")):
        fields = (await shop.get(kind, name))["metadata"]["managedFields"]
        assert part in next(each["fieldsV1"] for each in fields if each["manager"] == "choregos"), kind


async def test_the_metrics_tell_of_passes_choreographies_and_buses(
    shop: Choreographed, controller: OperatorProcess
) -> None:
    await shop.choreography("shop", SHOP)
    await shop.until("shop", "True")
    place = {"namespace": shop.namespace, "bus": "default"}
    bus, one = frozenset(place.items()), frozenset({**place, "choreography": "shop"}.items())

    async def measured() -> bool:
        return one in (await controller.metrics()).get("choregos_ready", {})

    await becomes(measured, "the choreography is measured")
    found = await controller.metrics()
    assert found["choregos_ready"][one] == 1
    assert found["choregos_bus_connected"][bus] == 1
    assert found["choregos_bus_lag_events"][bus] == 0
    assert found["choregos_bus_dead_letters"][bus] == 0
    assert found["choregos_bus_orphans"][bus] == 0
    assert found["choregos_passes_total"][frozenset({("outcome", "done")})] > 0
    assert sum(found["choregos_pass_seconds_count"].values()) > 0
    await shop.delete("Choreography", "shop")

    async def forgotten() -> bool:
        return bus not in (await controller.metrics()).get("choregos_bus_connected", {})

    await becomes(forgotten, "what is gone is shown no longer")


async def test_nothing_of_kopfs_is_written_and_no_finalizer(shop: Choreographed) -> None:
    await shop.choreography("shop", SHOP)
    await shop.apply("EventBus", "default", spec={})
    await shop.pod("payment-1", "payment")
    await told(shop, "payment-1", generation=1)
    await shop.until("shop", "True")
    for kind in ("Choreography", "EventBus", "ConfigMap", "Pod"):
        for each in await shop.all(kind):
            assert "finalizers" not in each["metadata"], each
            assert "kopf" not in str(each["metadata"]).lower(), each
