"""What the controller writes, against a real API server: it takes it, keeps it, and refuses what it should."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from choregos_contract.configuration import Configuration, Reaction
from choregos_contract.names import BusNames
from choregos_contract.status import ChoreographyStatus
from choregos_operator.configured import CONFIG_KEY
from choregos_operator.controller.ambassadors import Ambassadors
from choregos_operator.controller.announcements import Announcement, Announcer, Regarding
from choregos_operator.controller.api import Api, Conflict, Forbidden, NoNamespace, NotThere, Refused
from choregos_operator.controller.conditions import Wiring, choreography_answers, dated
from choregos_operator.controller.configmaps import configmap, owner_of, target
from choregos_operator.controller.eviction import Evictions
from choregos_operator.controller.labels_on_deployments import mislabelled
from choregos_operator.controller.nudge import nudge, nudges
from choregos_operator.controller.pods import pod_of
from choregos_operator.controller.status_of import (
    ChoreographyFigures,
    changed,
    choreography_status,
    choreography_status_of,
    patch,
)
from choregos_operator.kube import Away, connect
from support.certificates import Authority
from support.cluster import Cluster
from support.crds import install
from support.documents import ORDERS
from support.waiting import wait_for

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
AMBASSADOR = {"name": "choregos-ambassador", "image": "ambassador", "restartPolicy": "Always"}
COLLECTION = 90.0
"""Seconds; the garbage collector hears of a new kind every 30 s."""
LABELS = {"choregos.dev/service": "payment", "app": "payment"}


def configuration(*events: str) -> Configuration:
    reactions = tuple(Reaction(event=event, port=8080) for event in events)
    return Configuration(version=1, generation=0, service="payment", bus=BusNames(namespace="x"), reactions=reactions)


@pytest.fixture(scope="module")
def crds(cluster: Cluster) -> None:
    install(cluster)


@asynccontextmanager
async def connected(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    client = await connect()
    try:
        yield Api(client)
    finally:
        await client.close()


@pytest.fixture
async def api(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    async with connected(cluster.kubeconfig, monkeypatch) as found:
        yield found


def orders(cluster: Cluster, namespace: str, name: str = "orders") -> dict[str, Any]:
    text = ORDERS.replace("name: orders, namespace: shop", f"name: {name}, namespace: {namespace}")
    cluster.kubectl("apply", "-f", "-", stdin=text)
    found: dict[str, Any] = cluster.get("choreography", name, "-n", namespace)
    return found


def pod(**changes: Any) -> dict[str, Any]:
    metadata = {"name": "payment-1", "labels": LABELS} | changes.pop("metadata", {})
    spec = {"containers": [{"name": "app", "image": "app"}]} | changes
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def stored(cluster: Cluster, namespace: str, *what: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get(*what, "-n", namespace)
    return found


# --- ConfigMaps ---


async def test_a_configmap_is_created_replaced_and_left_alone(
    cluster: Cluster, crds: None, namespace: str, api: Api
) -> None:
    owners = [owner_of(orders(cluster, namespace))]
    made = configmap(configuration("A"), owners, None, now=NOW)
    assert made is not None
    answer = await api.write_configmap(namespace, made)
    assert configmap(configuration("A"), owners, answer, now=NOW) is None
    assert configmap(configuration("A"), owners, stored(cluster, namespace, "cm", "choregos-payment"), now=NOW) is None
    changed_ = configmap(configuration("B"), owners, answer, now=NOW)
    assert changed_ is not None
    await api.write_configmap(namespace, changed_)
    found = target(stored(cluster, namespace, "cm", "choregos-payment"))
    assert found is not None
    assert found.generation == 2


async def test_who_was_slower_is_told_so_and_overwrites_nothing(
    cluster: Cluster, crds: None, namespace: str, api: Api
) -> None:
    owners = [owner_of(orders(cluster, namespace))]
    made = configmap(configuration("A"), owners, None, now=NOW)
    assert made is not None
    answer = await api.write_configmap(namespace, made)
    with pytest.raises(Conflict, match="already exists"):
        await api.write_configmap(namespace, made)
    cluster.kubectl("annotate", "cm", "choregos-payment", "-n", namespace, "note=x")
    late = configmap(configuration("B"), owners, answer, now=NOW)
    assert late is not None
    with pytest.raises(Conflict, match="modified"):
        await api.write_configmap(namespace, late)
    again = configmap(configuration("B"), owners, stored(cluster, namespace, "cm", "choregos-payment"), now=NOW)
    assert again is not None
    await api.write_configmap(namespace, again)
    metadata = stored(cluster, namespace, "cm", "choregos-payment")["metadata"]
    assert metadata["annotations"]["note"] == "x"


async def test_a_configmap_goes_with_the_last_of_its_choreographies_without_any_operator(
    cluster: Cluster, crds: None, namespace: str, api: Api
) -> None:
    owners = [owner_of(orders(cluster, namespace, name)) for name in ("orders", "more")]
    made = configmap(configuration("A"), owners, None, now=NOW)
    assert made is not None
    await api.write_configmap(namespace, made)
    cluster.kubectl("delete", "choreography", "orders", "-n", namespace, "--timeout=60s")

    def owned_by() -> list[str]:
        metadata = stored(cluster, namespace, "cm", "choregos-payment")["metadata"]
        return [each["name"] for each in metadata["ownerReferences"]]

    await wait_for(lambda: owned_by() == ["more"], "the collector drops the owner that is gone", COLLECTION)
    cluster.kubectl("delete", "choreography", "more", "-n", namespace, "--timeout=60s")

    def gone() -> bool:
        names = [each["metadata"]["name"] for each in stored(cluster, namespace, "cm")["items"]]
        return "choregos-payment" not in names

    await wait_for(gone, "the collector removes the ConfigMap", COLLECTION)


async def test_a_configmap_that_lost_its_label_is_found_and_labelled_again(
    cluster: Cluster, namespace: str, api: Api
) -> None:
    made = configmap(configuration("A"), [], None, now=NOW)
    assert made is not None
    await api.write_configmap(namespace, made)
    cluster.kubectl("label", "cm", "choregos-payment", "-n", namespace, "choregos.dev/service-")
    with pytest.raises(Conflict):
        await api.write_configmap(namespace, made)
    existing = await api.get_configmap(namespace, "choregos-payment")
    mended = configmap(configuration("A"), [], existing, now=NOW)
    assert mended is not None
    answer = await api.write_configmap(namespace, mended)
    assert answer["metadata"]["labels"] == {"choregos.dev/service": "payment"}
    assert answer["data"] == existing["data"]


async def test_only_the_configmap_that_was_seen_is_deleted(cluster: Cluster, namespace: str, api: Api) -> None:
    made = configmap(configuration("A"), [], None, now=NOW)
    assert made is not None
    answer = await api.write_configmap(namespace, made)
    with pytest.raises(Conflict):
        await api.delete_configmap(namespace, "choregos-payment", "00000000-0000-0000-0000-000000000000")
    await api.delete_configmap(namespace, "choregos-payment", answer["metadata"]["uid"])
    for missing in (
        api.delete_configmap(namespace, "choregos-payment", answer["metadata"]["uid"]),
        api.write_configmap(namespace, answer),
    ):
        with pytest.raises(NotThere) as error:
            await missing
        assert error.type is NotThere, "the namespace is there"
    with pytest.raises(NoNamespace):
        await api.write_configmap("nowhere", {**made, "metadata": {**made["metadata"], "namespace": "nowhere"}})


async def test_an_immutable_configmap_is_refused_until_it_is_made_anew(
    cluster: Cluster, namespace: str, api: Api
) -> None:
    made = configmap(configuration("A"), [], None, now=NOW)
    assert made is not None
    answer = await api.write_configmap(namespace, {**made, "immutable": True})
    with pytest.raises(Refused, match="immutable"):
        await api.write_configmap(namespace, {**answer, "data": {CONFIG_KEY: "{}"}})
    anew = configmap(configuration("B"), [], answer, now=NOW)
    assert anew is not None
    await api.delete_configmap(namespace, "choregos-payment", answer["metadata"]["uid"])
    found = target(await api.write_configmap(namespace, anew))
    assert found is not None
    assert found.generation == 2


async def test_in_a_namespace_that_goes_nothing_is_missing_and_nothing_is_forbidden(cluster: Cluster, api: Api) -> None:
    with cluster.namespace("going") as namespace:
        # A finalizer keeps the namespace in its last state for as long as the test needs.
        held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["test.dev/held"]}}
        cluster.apply(held, namespace=namespace)
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")
        try:
            made = configmap(configuration("A"), [], None, now=NOW)
            assert made is not None
            with pytest.raises(NoNamespace, match="being terminated"):
                await api.write_configmap(namespace, made)
            about = Regarding("v1", "ConfigMap", namespace, "held", "u")
            await Announcer(api, "controller").tell([Announcement("Normal", "Wired", "x", about)], now=NOW)
        finally:
            cluster.kubectl(
                "patch", "cm", "held", "-n", namespace, "--type=merge", '-p={"metadata":{"finalizers":null}}'
            )


# --- pods ---


async def test_a_nudged_pod_keeps_its_own_annotations_and_needs_no_second_nudge(
    cluster: Cluster, namespace: str, api: Api
) -> None:
    made = configmap(configuration("A"), [], None, now=datetime.now(UTC))
    assert made is not None
    written = target(await api.write_configmap(namespace, made))
    assert written is not None
    mine = {"annotations": {"mine": "1", "choregos.dev/configuration-hash": written.hash}}
    cluster.apply(
        pod(metadata=mine | {"name": "payment-1", "labels": LABELS}, initContainers=[AMBASSADOR]), namespace=namespace
    )
    found = pod_of(stored(cluster, namespace, "pod", "payment-1"))
    wanted = nudges([found], {"payment": written})
    assert len(wanted) == 1, "the pod may have mounted what was there before"
    assert await nudge(api, wanted) == 1
    body = stored(cluster, namespace, "pod", "payment-1")
    expected = mine["annotations"] | {"choregos.dev/configuration-generation": "1"}
    assert expected.items() <= body["metadata"]["annotations"].items()
    assert nudges([pod_of(body)], {"payment": written}) == ()
    cluster.kubectl("delete", "pod", "payment-1", "-n", namespace, "--force", "--grace-period=0")
    assert await nudge(api, wanted) == 0, "a pod that is gone is no error"


@asynccontextmanager
async def injecting(cluster: Cluster, namespace: str, directory: Path) -> AsyncIterator[None]:
    """Have a webhook give the labelled pods of a namespace an ambassador."""
    authority = Authority(directory)
    pair = authority.issue("webhook")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)

    async def inject(request: web.Request) -> web.Response:
        review = await request.json()
        patch_ = [{"op": "add", "path": "/spec/initContainers", "value": [AMBASSADOR]}]
        encoded = base64.b64encode(json.dumps(patch_).encode()).decode()
        response = {"uid": review.pop("request")["uid"], "allowed": True, "patchType": "JSONPatch", "patch": encoded}
        answer = web.json_response(review | {"response": response})
        answer.force_close()  # while both are there: the loop may end before TLS has said goodbye
        return answer

    application = web.Application()
    application.add_routes([web.post("/inject", inject)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    bundle = base64.b64encode(authority.certificate.read_bytes()).decode()
    webhook = {
        "name": "inject.choregos.dev",
        "clientConfig": {"url": f"https://127.0.0.1:{runner.addresses[0][1]}/inject", "caBundle": bundle},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}
    await asyncio.to_thread(cluster.apply, {**kind, "metadata": {"name": namespace}, "webhooks": [webhook]})
    try:
        yield
    finally:
        await asyncio.to_thread(cluster.kubectl, "delete", "mutatingwebhookconfiguration", namespace)
        await runner.cleanup()


async def pods_of_a_deployment(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "payment"}},
        "template": {"metadata": {"labels": LABELS}, "spec": pod()["spec"]},
    }
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "payment"}, "spec": spec}
    await asyncio.to_thread(cluster.apply, deployment, namespace=namespace)

    def pods() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = stored(cluster, namespace, "pods")["items"]
        return items if len(items) == 2 else []

    return await wait_for(pods, "two pods")


@pytest.mark.usefixtures("own_cluster")
async def test_a_pod_without_ambassador_is_evicted_once_the_next_one_would_have_one(
    cluster: Cluster, namespace: str, api: Api, tmp_path: Path
) -> None:
    evictions = Evictions(api)
    first, second = map(pod_of, await pods_of_a_deployment(cluster, namespace))
    assert "no ambassador either, as a dry run shows" in await evictions.evict(first, NOW)
    async with injecting(cluster, namespace, tmp_path):
        # A webhook configuration takes a moment to be in force.
        async with asyncio.timeout(60):
            while why_not := await evictions.evict(first, NOW):
                assert "dry run" in why_not
        assert await evictions.evict(first, NOW) == "it is gone already"

        def names() -> list[str]:
            items = stored(cluster, namespace, "pods")["items"]
            return [each["metadata"]["name"] for each in items if "initContainers" in each["spec"]]

        replacement = await wait_for(names, "the owner makes another, with its ambassador")
        assert second.name not in replacement


async def test_a_disruption_budget_is_heeded(cluster: Cluster, namespace: str, api: Api) -> None:
    bodies = await pods_of_a_deployment(cluster, namespace)
    for body in bodies:
        # A budget protects pods that run.
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        name = body["metadata"]["name"]
        cluster.kubectl(
            "patch", "pod", name, "-n", namespace, "--subresource=status", f"-p={json.dumps({'status': ready})}"
        )
    budget = {"minAvailable": "100%", "selector": {"matchLabels": {"app": "payment"}}}
    kind = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "all"}}
    cluster.apply({**kind, "spec": budget}, namespace=namespace)

    def in_force() -> bool:
        status: dict[str, Any] = stored(cluster, namespace, "pdb", "all").get("status", {})
        return bool(status.get("currentHealthy") == 2)

    await wait_for(in_force, "the budget counts both pods")
    metadata = bodies[0]["metadata"]
    with pytest.raises(Away, match="disruption budget"):
        await api.evict_pod(namespace, metadata["name"], metadata["uid"])


async def test_only_the_pod_that_was_seen_is_evicted(cluster: Cluster, namespace: str, api: Api) -> None:
    cluster.apply(pod(), namespace=namespace)
    with pytest.raises(Conflict):
        await api.evict_pod(namespace, "payment-1", "00000000-0000-0000-0000-000000000000")
    assert "deletionTimestamp" not in stored(cluster, namespace, "pod", "payment-1")["metadata"]


# --- status and events ---


async def test_a_status_is_written_waited_for_and_belongs_to_its_object(
    cluster: Cluster, crds: None, namespace: str, api: Api
) -> None:
    body = orders(cluster, namespace)
    cluster.kubectl(
        "patch",
        "choreography",
        "orders",
        "-n",
        namespace,
        "--subresource=status",
        "--type=merge",
        '-p={"status":{"lag":5}}',
    )
    body = stored(cluster, namespace, "choreography", "orders")
    conditions = dated(choreography_answers([], [], Wiring(), Ambassadors()), [], generation=1, now=NOW)
    status = choreography_status(1, conditions, ChoreographyFigures(services=3, reactions=2), ChoreographyStatus())
    assert changed(body["status"], status.as_reported(), now=NOW)
    ours = patch(body, status)
    answer = await api.patch_status("Choreography", namespace, "orders", ours)
    assert "lag" not in answer["status"], "what is no longer known goes"
    assert choreography_status_of(answer) == status
    assert not changed(answer["status"], status.as_reported(), now=NOW)
    assert answer["metadata"]["generation"] == 1
    cluster.kubectl("wait", "choreography/orders", "-n", namespace, "--for=condition=Ready", "--timeout=60s")
    with pytest.raises(Conflict):
        await api.patch_status("Choreography", namespace, "orders", [ours[0] | {"value": "another"}, ours[1]])
    with pytest.raises(Refused, match="lag in body should be greater"):
        await api.patch_status("Choreography", namespace, "orders", [ours[0], ours[1] | {"value": {"lag": -1}}])
    with pytest.raises(NotThere):
        await api.patch_status("Choreography", namespace, "nothing", ours)


async def test_an_announcement_is_an_event_beside_its_object_once_in_an_hour(
    cluster: Cluster, namespace: str, api: Api
) -> None:
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "payment", "labels": LABELS}}
    template = {"metadata": {"labels": {"app": "payment"}}, "spec": pod()["spec"]}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "payment"}}, "template": template}
    cluster.apply(workload | {"spec": spec}, namespace=namespace)
    mistake = mislabelled(stored(cluster, namespace, "deployment", "payment"))
    assert mistake is not None
    announcer, now = Announcer(api, "controller-0"), datetime.now(UTC)
    await announcer.tell([mistake, mistake], now=now)
    await announcer.tell([mistake], now=now + timedelta(minutes=59))

    def told() -> list[dict[str, Any]]:
        items = stored(cluster, namespace, "events.v1.events.k8s.io")["items"]
        return [each for each in items if each["reportingController"] == "choregos.dev/controller"]

    assert [(each["type"], each["reason"], each["regarding"]["name"]) for each in told()] == [
        ("Warning", "LabelNotOnPods", "payment")
    ]
    await announcer.tell([mistake], now=now + timedelta(minutes=61))
    assert len(told()) == 2
    shown = cluster.kubectl("events", "--for=deployment/payment", "-n", namespace)
    assert "not on its pods, so they get no ambassador" in shown


# --- what can go wrong ---


async def test_a_missing_right_is_named(cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(cluster.user_kubeconfig("eve"), monkeypatch) as eve:
        with pytest.raises(Forbidden, match=r'"eve" cannot patch resource "pods".*add that right to the ClusterRole'):
            await eve.annotate_pod(namespace, "payment-1", {"a": "b"})


async def test_a_quota_that_is_used_up_is_no_missing_right(cluster: Cluster, namespace: str, api: Api) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q"},
        "spec": {"hard": {"configmaps": "0"}},
    }
    cluster.apply(quota, namespace=namespace)
    await wait_for(
        lambda: stored(cluster, namespace, "quota", "q").get("status", {}).get("hard"), "the quota is in force"
    )
    made = configmap(configuration("A"), [], None, now=NOW)
    assert made is not None
    with pytest.raises(Refused, match="exceeded quota"):
        await api.write_configmap(namespace, made)


async def test_an_api_server_that_is_away_is_no_missing_object(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(cluster.kubeconfig.read_text().replace(cluster.url, "https://127.0.0.1:1"))
    async with connected(elsewhere, monkeypatch) as api:
        with pytest.raises(Away, match="does not answer"):
            await api.get_pod(namespace, "payment-1")
